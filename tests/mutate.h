/* Mutations of model files, for tests/test_mutations.c and the driver tests/fuzz_models.c: deterministic in their seed. And the
 * frame in which a mutated file is loaded, planned and run: an allocator that counts and has an end. */
#ifndef GM_TESTS_MUTATE_H
#define GM_TESTS_MUTATE_H

#include "runtime/gmodel.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Random numbers: splitmix64 --- */

static inline uint64_t mutate_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static inline size_t mutate_below(uint64_t *state, size_t end)
{
    return end ? (size_t)(mutate_next(state) % end) : 0;
}

/* --- Mutations --- */

typedef struct mutant {
    unsigned char *data; /* room for `capacity` */
    size_t bytes, capacity;
    uint64_t state;
} mutant;

/* Puts `count` bytes in the place of `gone` at `at`; cuts where there is no room. */
static inline void mutate_splice(mutant *m, size_t at, size_t gone, const void *bytes, size_t count)
{
    size_t rest = m->bytes - at - gone;
    if (at + count + rest > m->capacity)
        rest = m->capacity > at + count ? m->capacity - at - count : 0;
    if (at + count > m->capacity)
        return;
    memmove(m->data + at + count, m->data + at + gone, rest);
    memcpy(m->data + at, bytes, count);
    m->bytes = at + count + rest;
}

static const char *const mutate_words[] = {
    "0",
    "-1",
    "1",
    "9",
    "1000000007",
    "99999999999",
    "9223372036854775807",
    "-9223372036854775808",
    "1e300",
    "nan",
    "-inf",
    "\"",
    "{",
    "}",
    "(",
    ")",
    "<",
    ">",
    "[",
    "]",
    ",",
    "=",
    ":",
    ".",
    "=>",
    "#",
    "\n",
    "\\",
    "\xff\xfe",
    "é",
    "N",
    "x",
    "y",
    "float",
    "int64",
    "string",
    "bool",
    "bfloat16",
    "seq(float)",
    "param",
    "network",
    "function",
    "step",
    "minimize",
    "over",
    "with",
    "SGD",
    "load",
    "import",
    "copy",
    "gradient",
    "detach",
    "graph",
    "Loop",
    "Scan",
    "If",
    "Constant",
    "ConstantOfShape",
    "Expand",
    "Tile",
    "Range",
    "Concat",
    "MatMul",
    "Conv",
    "Reshape",
    "Identity",
    "Resize",
    "float[65536, 65536]",
    "[1000000]",
    "<shape = [100000, 100000]>",
};

static inline void mutate_word(mutant *m)
{
    const char *word = mutate_words[mutate_below(&m->state, sizeof mutate_words / sizeof mutate_words[0])];
    size_t at = mutate_below(&m->state, m->bytes + 1);
    size_t gone = mutate_below(&m->state, 3) ? 0 : mutate_below(&m->state, 12);
    mutate_splice(m, at, gone < m->bytes - at ? gone : m->bytes - at, word, strlen(word));
}

/* Another number in the place of one that is there. */
static inline void mutate_number(mutant *m)
{
    size_t at = mutate_below(&m->state, m->bytes), end;
    const char *word = mutate_words[mutate_below(&m->state, 9)];
    while (at < m->bytes && (m->data[at] < '0' || m->data[at] > '9'))
        at++;
    for (end = at; end < m->bytes && m->data[end] >= '0' && m->data[end] <= '9';)
        end++;
    if (end > at)
        mutate_splice(m, at, end - at, word, strlen(word));
}

static inline void mutate_bytes(mutant *m)
{
    static const unsigned char extremes[][10] = {{0},
                                                 {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
                                                 {0x80, 0x80, 0x80, 0x80, 8},
                                                 {0xff, 0xff, 0x7f},
                                                 {0x7f},
                                                 {1}};
    static const size_t lengths[] = {1, 10, 5, 3, 1, 1};
    size_t which = mutate_below(&m->state, 6), at = mutate_below(&m->state, m->bytes), gone = lengths[which];
    bool over = mutate_below(&m->state, 2);
    if (!over)
        gone = 0;
    mutate_splice(m, at, gone < m->bytes - at ? gone : m->bytes - at, extremes[which], lengths[which]);
}

static inline void mutate_run(mutant *m)
{
    unsigned char copy[256];
    size_t length = 1 + mutate_below(&m->state, mutate_below(&m->state, 4) ? 16 : sizeof copy);
    size_t from = mutate_below(&m->state, m->bytes), to;
    if (length > m->bytes - from)
        length = m->bytes - from;
    memcpy(copy, m->data + from, length);
    switch (mutate_below(&m->state, 3)) {
    case 0: /* gone */
        mutate_splice(m, from, length, "", 0);
        break;
    case 1: /* twice */
        mutate_splice(m, from, 0, copy, length);
        break;
    default: /* elsewhere too */
        to = mutate_below(&m->state, m->bytes);
        mutate_splice(m, to, length < m->bytes - to ? length : m->bytes - to, copy, length);
    }
}

static inline void mutate_once(mutant *m)
{
    size_t at = mutate_below(&m->state, m->bytes);
    if (!m->bytes)
        return;
    switch (mutate_below(&m->state, 8)) {
    case 0:
        m->bytes = at;
        break;
    case 1:
    case 2:
        m->data[at] ^= (unsigned char)(1u << mutate_below(&m->state, 8));
        break;
    case 3:
        m->data[at] = (unsigned char)mutate_next(&m->state);
        break;
    case 4:
        mutate_bytes(m);
        break;
    case 5:
        mutate_run(m);
        break;
    case 6:
        mutate_number(m);
        break;
    default:
        mutate_word(m);
    }
}

/* One to four mutations of `seed_bytes`. */
static inline void mutate(mutant *m, const void *seed, size_t bytes, uint64_t number)
{
    size_t count;
    m->state = number * 0x2545f4914f6cdd1du + 1;
    m->bytes = bytes < m->capacity ? bytes : m->capacity;
    memcpy(m->data, seed, m->bytes);
    count = 1 + mutate_below(&m->state, mutate_below(&m->state, 3) ? 1 : 4);
    while (count--)
        mutate_once(m);
}

/* --- The frame --- */

typedef struct frame {
    size_t alive, peak, cap, blocks;
    bool capped; /* an allocation beyond the cap was asked for */
} frame;

static inline void *frame_allocate(size_t bytes, void *user)
{
    frame *f = user;
    size_t *memory;
    if (bytes > f->cap || f->alive > f->cap - bytes) {
        f->capped = true;
        return NULL;
    }
    memory = malloc(bytes + 16);
    if (!memory)
        return NULL;
    memory[0] = bytes;
    f->alive += bytes;
    f->blocks++;
    if (f->alive > f->peak)
        f->peak = f->alive;
    return memory + 2;
}

static inline void frame_release(void *pointer, void *user)
{
    frame *f = user;
    size_t *memory = (size_t *)pointer - 2;
    f->alive -= memory[0];
    f->blocks--;
    free(memory);
}

typedef enum frame_result { FRAME_REFUSED, FRAME_LOADED, FRAME_RAN } frame_result;

#define FRAME_SPARE ((size_t)64 << 20) /* beside eight times the file */

/* Loads, plans for a batch of 1 and, where that is small, runs a file. *trouble_out: NULL, or what must not be. */
static inline frame_result frame_try(const void *data, size_t bytes, const char *name, frame *f,
                                     const char **trouble_out)
{
    gm_context_options options;
    gm_context *context = NULL;
    gm_model *model = NULL;
    gm_session *session = NULL;
    gm_plan_info info;
    gm_status status;
    frame_result result = FRAME_REFUSED;
    memset(f, 0, sizeof *f);
    f->cap = FRAME_SPARE + 8 * bytes;
    *trouble_out = NULL;
    gm_context_options_default(&options, sizeof options);
    options.allocate = frame_allocate;
    options.release = frame_release;
    options.user = f;
    options.threads = 1;
    if (gm_context_create(&options, &context) != GM_OK)
        return *trouble_out = "no context", result;
    status = gm_model_load_memory(context, data, bytes, name, NULL, &model);
    if (status == GM_OK) {
        result = FRAME_LOADED;
        if (gm_model_main_network(model) && gm_session_create(model, NULL, NULL, &session) == GM_OK &&
            gm_session_plan(session, &info) == GM_OK && info.arena_bytes < (1 << 20) && info.instructions < 2000) {
            (void)gm_session_run(session);
            result = FRAME_RAN;
        }
    } else if (!gm_context_message(context)[0]) {
        *trouble_out = "refused without a reason";
    } else if (status == GM_ERROR_INTERNAL) {
        *trouble_out = "an internal error";
    }
    gm_session_destroy(session);
    gm_model_destroy(model);
    if (*trouble_out)
        fprintf(stderr, "%s\n", gm_context_message(context));
    gm_context_destroy(context);
    if (f->blocks)
        *trouble_out = "memory is not given back";
    return result;
}

#endif
