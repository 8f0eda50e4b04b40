/* Context, errors, memory pools, strings: what every other file of the library stands on. */
#ifndef GM_GRAPH_BASE_H
#define GM_GRAPH_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/gmodel.h"

#if defined(__GNUC__)
#define GM_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define GM_PRINTF(text, first)
#endif

#define GM_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Returns a failed status to the caller; the only macro that touches control flow. */
#define GM_TRY(expression)                                                                                             \
    do {                                                                                                               \
        gm_status gm_try_status_ = (expression);                                                                       \
        if (gm_try_status_ != GM_OK)                                                                                   \
            return gm_try_status_;                                                                                     \
    } while (0)

#define GM_MESSAGE_BYTES   16384
#define GM_MAX_DIAGNOSTICS 20

/* The opaque gm_context of the public header. It does not change: several threads may work with it. */
struct gm_context {
    gm_context_options options; /* allocator, threads, seed, log: filled with defaults */
    struct gm_tuner *tuner;     /* runtime/tune.h, with a lock of its own; NULL: nothing is measured */
    bool own_memory;            /* the caller gave the allocator: only the caller's threads may call it */
    uint64_t serial;            /* no other context of the process has the same */
};

/* What went wrong last. Each thread has its own, which is about one context: work with another clears it. */
typedef struct gm_report {
    uint64_t serial; /* of the context */
    char message[GM_MESSAGE_BYTES];
    size_t length;
    gm_status status; /* that the message is about */
    int diagnostics;  /* lines gathered by gm_diagnose since the last gm_clear_message */
} gm_report;
gm_report *gm_report_of(const gm_context *context);

/* A place in a text file. file == NULL: no place. line and column count from 1. */
typedef struct gm_location {
    const char *file;
    int line, column;
} gm_location;

/* Sets the context's message (replacing an earlier one) and returns `status`. One line, no full stop, says what was
 * expected, what was found and what to do. */
gm_status gm_fail(gm_context *context, gm_status status, const char *format, ...) GM_PRINTF(3, 4);
gm_status gm_fail_memory(gm_context *context);

/* The status of the last failure, for calls that return NULL; GM_ERROR_INTERNAL when there is none. */
gm_status gm_failure(const gm_context *context);

/* Adds one line "file:line:column: text" to the message; silent after GM_MAX_DIAGNOSTICS lines. Returns
 * GM_ERROR_MODEL so that a caller can `return gm_diagnose(...)`. */
gm_status gm_diagnose(gm_context *context, gm_location where, const char *format, ...) GM_PRINTF(3, 4);
void gm_clear_message(gm_context *context);

double gm_now(void); /* seconds, of a clock that is never set back */

/* Hands a line to the context's log callback; nothing happens without one. */
void gm_log(const gm_context *context, const char *format, ...) GM_PRINTF(2, 3);

/* Zeroed memory from the context's allocator, 64-byte aligned; NULL when there is none (the message is then set). A
 * size of 0 gives a valid pointer. */
void *gm_alloc(gm_context *context, size_t bytes);
void *gm_alloc_array(gm_context *context, size_t count, size_t item_bytes); /* NULL on overflow too */
void gm_free(gm_context *context, void *memory);                            /* NULL is a no-op */

/* A pool hands out memory that lives until the whole pool is destroyed. */
typedef struct gm_pool gm_pool;
gm_pool *gm_pool_create(gm_context *context); /* NULL: no memory, message set */
void gm_pool_destroy(gm_pool *pool);          /* NULL is a no-op */
gm_context *gm_pool_context(const gm_pool *pool);
void *gm_pool_alloc(gm_pool *pool, size_t bytes); /* zeroed, 16-byte aligned (64 for 4 KiB and more); NULL: no memory */
void *gm_pool_array(gm_pool *pool, size_t count, size_t item_bytes);
void *gm_pool_copy(gm_pool *pool, const void *data, size_t bytes);
char *gm_pool_string(gm_pool *pool, const char *text);
char *gm_pool_substring(gm_pool *pool, const char *text, size_t length);
char *gm_pool_printf(gm_pool *pool, const char *format, ...) GM_PRINTF(2, 3);
/* Grows an array that lives in the pool to hold at least `needed` items (doubling); false: no memory.
 * Use: gm_pool_grow(pool, (void **)&items, &capacity, count + 1, sizeof *items). */
bool gm_pool_grow(gm_pool *pool, void **items, size_t *capacity, size_t needed, size_t item_bytes);

/* A growing text. After a failed growth `failed` is set and the text stays as it was. */
typedef struct gm_text {
    gm_context *context;
    char *data; /* always terminated once something was added; NULL before */
    size_t length, capacity;
    bool failed;
} gm_text;
void gm_text_init(gm_text *text, gm_context *context);
void gm_text_add(gm_text *text, const char *format, ...) GM_PRINTF(2, 3);
void gm_text_add_bytes(gm_text *text, const char *data, size_t length);
void gm_text_destroy(gm_text *text);

/* 64-bit FNV-1a: offset 14695981039346656037, prime 1099511628211. */
uint64_t gm_hash64(const char *text);
uint64_t gm_hash64_bytes(const void *data, size_t bytes);

/* The candidate nearest in spelling (edit distance at most 2, or a third of the length; 1 for up to 3 letters), or NULL. Feed candidates one by
 * one: gm_spelling_init, gm_spelling_offer..., then read `best`. */
typedef struct gm_spelling {
    const char *wanted, *best;
    size_t distance;
} gm_spelling;
void gm_spelling_init(gm_spelling *spelling, const char *wanted);
void gm_spelling_offer(gm_spelling *spelling, const char *candidate);

/* Reads a whole file; *data_out (freed with gm_free) carries one terminating zero byte beyond *bytes_out. */
gm_status gm_read_file(gm_context *context, const char *path, char **data_out, size_t *bytes_out);

#endif
