/* Context messages, memory, pools, text, hashing, spelling, files. */
#include "graph/base.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* --- Messages
 * ---------------------------------------------------------------------------------------------------------- */

static void clear(gm_report *report)
{
    report->message[0] = 0;
    report->length = 0;
    report->diagnostics = 0;
    report->status = GM_OK;
}

gm_report *gm_report_of(const gm_context *context)
{
    static _Thread_local gm_report report;
    if (report.serial != context->serial) {
        clear(&report);
        report.serial = context->serial;
    }
    return &report;
}

static void append(gm_report *report, const char *format, va_list arguments)
{
    size_t room = GM_MESSAGE_BYTES - report->length;
    int written = vsnprintf(report->message + report->length, room, format, arguments);
    if (written > 0)
        report->length += (size_t)written < room ? (size_t)written : room - 1;
}

static void append_text(gm_report *report, const char *format, ...) GM_PRINTF(2, 3);
static void append_text(gm_report *report, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    append(report, format, arguments);
    va_end(arguments);
}

void gm_clear_message(gm_context *context)
{
    clear(gm_report_of(context));
}

gm_status gm_fail(gm_context *context, gm_status status, const char *format, ...)
{
    gm_report *report = gm_report_of(context);
    va_list arguments;
    if (status == GM_ERROR_INTERNAL && report->status == GM_ERROR_MEMORY)
        return report->status; /* the reason stays: what could not be made for want of memory fails in turn */
    clear(report);
    va_start(arguments, format);
    append(report, format, arguments);
    va_end(arguments);
    report->status = status;
    return status;
}

gm_status gm_failure(const gm_context *context)
{
    gm_status status = gm_report_of(context)->status;
    return status != GM_OK ? status : GM_ERROR_INTERNAL;
}

gm_status gm_fail_memory(gm_context *context)
{
    return gm_fail(context, GM_ERROR_MEMORY, "out of memory");
}

gm_status gm_diagnose(gm_context *context, gm_location where, const char *format, ...)
{
    gm_report *report = gm_report_of(context);
    va_list arguments;
    if (report->diagnostics == 0)
        clear(report);
    report->status = GM_ERROR_MODEL;
    if (report->diagnostics++ >= GM_MAX_DIAGNOSTICS)
        return GM_ERROR_MODEL;
    if (report->diagnostics > 1)
        append_text(report, "\n");
    if (where.file && where.line)
        append_text(report, "%s:%d:%d: ", where.file, where.line, where.column);
    else if (where.file)
        append_text(report, "%s: ", where.file);
    va_start(arguments, format);
    append(report, format, arguments);
    va_end(arguments);
    return GM_ERROR_MODEL;
}

double gm_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

void gm_log(const gm_context *context, const char *format, ...)
{
    char line[1024];
    va_list arguments;
    if (!context->options.log)
        return;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    context->options.log(line, context->options.user);
}

/* --- Memory
 * ------------------------------------------------------------------------------------------------------------ */

/* A block is preceded by the pointer that the allocator gave. */
void *gm_alloc(gm_context *context, size_t bytes)
{
    const size_t extra = 64 + sizeof(void *);
    unsigned char *raw;
    uintptr_t aligned;
    if (bytes > SIZE_MAX - extra) {
        gm_fail_memory(context);
        return NULL;
    }
    raw = context->options.allocate ? context->options.allocate(bytes + extra, context->options.user)
                                    : malloc(bytes + extra);
    if (!raw) {
        gm_fail(context, GM_ERROR_MEMORY, "out of memory: %zu bytes were asked for", bytes);
        return NULL;
    }
    aligned = ((uintptr_t)raw + sizeof(void *) + 63) & ~(uintptr_t)63;
    ((void **)aligned)[-1] = raw;
    memset((void *)aligned, 0, bytes);
    return (void *)aligned;
}

void *gm_alloc_array(gm_context *context, size_t count, size_t item_bytes)
{
    if (item_bytes && count > SIZE_MAX / item_bytes) {
        gm_fail_memory(context);
        return NULL;
    }
    return gm_alloc(context, count * item_bytes);
}

void gm_free(gm_context *context, void *memory)
{
    void *raw;
    if (!memory)
        return;
    raw = ((void **)memory)[-1];
    if (context->options.release)
        context->options.release(raw, context->options.user);
    else
        free(raw);
}

/* --- Pools
 * ------------------------------------------------------------------------------------------------------------- */

typedef struct gm_chunk {
    struct gm_chunk *next;
    size_t used, bytes;
} gm_chunk;

struct gm_pool {
    gm_context *context;
    gm_chunk *chunks;
};

#define CHUNK_HEADER ((sizeof(gm_chunk) + 63) & ~(size_t)63)
#define CHUNK_BYTES  ((size_t)1 << 16)
#define LARGE_BYTES  4096

gm_pool *gm_pool_create(gm_context *context)
{
    gm_pool *pool = gm_alloc(context, sizeof *pool);
    if (pool)
        pool->context = context;
    return pool;
}

void gm_pool_destroy(gm_pool *pool)
{
    if (!pool)
        return;
    for (gm_chunk *chunk = pool->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        gm_free(pool->context, chunk);
    }
    gm_free(pool->context, pool);
}

gm_context *gm_pool_context(const gm_pool *pool)
{
    return pool->context;
}

void *gm_pool_alloc(gm_pool *pool, size_t bytes)
{
    gm_chunk *chunk = pool->chunks;
    size_t alignment = bytes >= LARGE_BYTES ? 64 : 16;
    size_t start = chunk ? (chunk->used + alignment - 1) & ~(alignment - 1) : 0;
    if (!chunk || start > chunk->bytes || chunk->bytes - start < bytes) {
        size_t wanted = bytes > CHUNK_BYTES / 4 ? bytes : CHUNK_BYTES;
        gm_chunk *fresh;
        if (wanted > SIZE_MAX - CHUNK_HEADER) {
            gm_fail_memory(pool->context);
            return NULL;
        }
        fresh = gm_alloc(pool->context, CHUNK_HEADER + wanted);
        if (!fresh)
            return NULL;
        fresh->bytes = wanted;
        if (chunk && wanted == bytes) { /* a chunk of its own: the current one stays open */
            fresh->next = chunk->next;
            chunk->next = fresh;
        } else {
            fresh->next = chunk;
            pool->chunks = fresh;
        }
        chunk = fresh;
        start = 0;
    }
    chunk->used = start + bytes;
    return (unsigned char *)chunk + CHUNK_HEADER + start;
}

void *gm_pool_array(gm_pool *pool, size_t count, size_t item_bytes)
{
    if (item_bytes && count > SIZE_MAX / item_bytes) {
        gm_fail_memory(pool->context);
        return NULL;
    }
    return gm_pool_alloc(pool, count * item_bytes);
}

void *gm_pool_copy(gm_pool *pool, const void *data, size_t bytes)
{
    void *copy = gm_pool_alloc(pool, bytes);
    if (copy && bytes)
        memcpy(copy, data, bytes);
    return copy;
}

char *gm_pool_substring(gm_pool *pool, const char *text, size_t length)
{
    char *copy = gm_pool_alloc(pool, length + 1);
    if (copy && length)
        memcpy(copy, text, length);
    return copy;
}

char *gm_pool_string(gm_pool *pool, const char *text)
{
    return gm_pool_substring(pool, text, strlen(text));
}

char *gm_pool_printf(gm_pool *pool, const char *format, ...)
{
    va_list arguments;
    int length;
    char *text;
    va_start(arguments, format);
    length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0)
        return NULL;
    text = gm_pool_alloc(pool, (size_t)length + 1);
    if (!text)
        return NULL;
    va_start(arguments, format);
    vsnprintf(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return text;
}

bool gm_pool_grow(gm_pool *pool, void **items, size_t *capacity, size_t needed, size_t item_bytes)
{
    size_t larger = *capacity ? *capacity * 2 : 8;
    void *fresh;
    if (needed <= *capacity)
        return true;
    if (larger < needed)
        larger = needed;
    fresh = gm_pool_array(pool, larger, item_bytes);
    if (!fresh)
        return false;
    if (*items)
        memcpy(fresh, *items, *capacity * item_bytes);
    *items = fresh;
    *capacity = larger;
    return true;
}

/* --- Text
 * -------------------------------------------------------------------------------------------------------------- */

void gm_text_init(gm_text *text, gm_context *context)
{
    memset(text, 0, sizeof *text);
    text->context = context;
}

void gm_text_add_bytes(gm_text *text, const char *data, size_t length)
{
    if (text->failed)
        return;
    if (length >= text->capacity - text->length) {
        size_t larger = text->capacity ? text->capacity * 2 : 256;
        char *fresh;
        while (larger - text->length <= length)
            larger *= 2;
        fresh = gm_alloc(text->context, larger);
        if (!fresh) {
            text->failed = true;
            return;
        }
        if (text->data)
            memcpy(fresh, text->data, text->length);
        gm_free(text->context, text->data);
        text->data = fresh;
        text->capacity = larger;
    }
    memcpy(text->data + text->length, data, length);
    text->length += length;
    text->data[text->length] = 0;
}

void gm_text_add(gm_text *text, const char *format, ...)
{
    char small[512];
    va_list arguments;
    int length;
    va_start(arguments, format);
    length = vsnprintf(small, sizeof small, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    if ((size_t)length < sizeof small) {
        gm_text_add_bytes(text, small, (size_t)length);
        return;
    }
    char *large = gm_alloc(text->context, (size_t)length + 1);
    if (!large) {
        text->failed = true;
        return;
    }
    va_start(arguments, format);
    vsnprintf(large, (size_t)length + 1, format, arguments);
    va_end(arguments);
    gm_text_add_bytes(text, large, (size_t)length);
    gm_free(text->context, large);
}

void gm_text_destroy(gm_text *text)
{
    gm_free(text->context, text->data);
    text->data = NULL;
    text->length = text->capacity = 0;
}

/* --- Hash, spelling, files
 * --------------------------------------------------------------------------------------------- */

uint64_t gm_hash64_bytes(const void *data, size_t bytes)
{
    const unsigned char *byte = data;
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ byte[i]) * 1099511628211u;
    return hash;
}

uint64_t gm_hash64(const char *text)
{
    return gm_hash64_bytes(text, strlen(text));
}

#define SPELLING_MAX 63

/* Edit distance with transpositions (restricted Damerau-Levenshtein). */
static size_t edit_distance(const char *a, const char *b)
{
    size_t rows[3][SPELLING_MAX + 2];
    size_t length_a = strlen(a), length_b = strlen(b);
    if (length_a > SPELLING_MAX || length_b > SPELLING_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= length_b; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= length_a; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= length_b; j++) {
            size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);
            best = above[j] + 1 < best ? above[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && two_above[j - 2] + 1 < best)
                best = two_above[j - 2] + 1;
            row[j] = best;
        }
    }
    return rows[length_a % 3][length_b];
}

void gm_spelling_init(gm_spelling *spelling, const char *wanted)
{
    spelling->wanted = wanted;
    spelling->best = NULL;
    spelling->distance = SIZE_MAX;
}

void gm_spelling_offer(gm_spelling *spelling, const char *candidate)
{
    size_t length = strlen(spelling->wanted);
    size_t limit = length <= 3 ? 1 : length / 3 > 2 ? length / 3 : 2;
    size_t distance = edit_distance(spelling->wanted, candidate);
    if (distance <= limit && distance < length && distance < spelling->distance) {
        spelling->best = candidate;
        spelling->distance = distance;
    }
}

gm_status gm_read_file(gm_context *context, const char *path, char **data_out, size_t *bytes_out)
{
    size_t capacity = 1 << 16, length = 0;
    FILE *file = fopen(path, "rb");
    char *data;
    if (!file)
        return gm_fail(context, GM_ERROR_FILE, "%s: cannot be opened: %s", path, strerror(errno));
    if (fseek(file, 0, SEEK_END) == 0) {
        long end = ftell(file);
        if (end > 0 && end < LONG_MAX) /* a directory answers with the largest number; reading it then fails */
            capacity = (size_t)end + 1;
        rewind(file);
    }
    data = gm_alloc(context, capacity + 1);
    if (!data) {
        fclose(file);
        return GM_ERROR_MEMORY;
    }
    for (;;) {
        size_t got = fread(data + length, 1, capacity - length, file);
        length += got;
        if (length < capacity)
            break;
        char *larger = gm_alloc(context, capacity * 2 + 1);
        if (!larger) {
            gm_free(context, data);
            fclose(file);
            return GM_ERROR_MEMORY;
        }
        memcpy(larger, data, length);
        gm_free(context, data);
        data = larger;
        capacity *= 2;
    }
    if (ferror(file)) {
        int error = errno;
        fclose(file);
        gm_free(context, data);
        return gm_fail(context, GM_ERROR_FILE, "%s: cannot be read: %s", path, strerror(error));
    }
    fclose(file);
    data[length] = 0;
    *data_out = data;
    *bytes_out = length;
    return GM_OK;
}
