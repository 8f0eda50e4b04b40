/* The public context: creation from options, the message of the last error, version and status names. */
#include "runtime/context.h"

#include "runtime/tune.h"

#include <omp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_THREADS = 1024 };

static const char *const status_names[] = {
    [GM_OK] = "ok",
    [GM_ERROR_MEMORY] = "out of memory",
    [GM_ERROR_ARGUMENT] = "wrong argument",
    [GM_ERROR_MODEL] = "error in the model",
    [GM_ERROR_FILE] = "file error",
    [GM_ERROR_DATA] = "error in the data",
    [GM_ERROR_UNSUPPORTED] = "not supported",
    [GM_ERROR_NUMERIC] = "loss is not finite",
    [GM_ERROR_INTERRUPTED] = "interrupted",
    [GM_ERROR_INTERNAL] = "internal error",
};

const char *gm_version(void)
{
    return "0.1.0";
}

int gm_version_number(void)
{
    return 100;
}

const char *gm_status_name(gm_status status)
{
    size_t index = (size_t)status;
    return index < GM_COUNT(status_names) ? status_names[index] : "unknown status";
}

/* The caller's struct_size, which is the first field of every options struct. */
static size_t given_size(const void *given)
{
    size_t size;
    memcpy(&size, given, sizeof size);
    return size;
}

gm_status gm_options_take(gm_context *context, const char *name, const void *given, size_t smallest, void *ours,
                          size_t our_size)
{
    if (given != NULL) {
        size_t size = given_size(given);
        if (size < smallest)
            return gm_fail(context, GM_ERROR_ARGUMENT,
                           "%s.struct_size is %zu, expected at least %zu: fill the struct with its _default function",
                           name, size, smallest);
        memcpy(ours, given, size < our_size ? size : our_size);
    }
    memcpy(ours, &our_size, sizeof our_size);
    return GM_OK;
}

void gm_options_give(void *options, size_t struct_size, const void *defaults, size_t our_size)
{
    if (options == NULL || struct_size < sizeof struct_size)
        return;
    memset(options, 0, struct_size);
    memcpy(options, defaults, struct_size < our_size ? struct_size : our_size);
    memcpy(options, &struct_size, sizeof struct_size);
}

static void *default_allocate(size_t bytes, void *user)
{
    (void)user;
    return malloc(bytes);
}

static void default_release(void *memory, void *user)
{
    (void)user;
    free(memory);
}

void gm_context_options_default(gm_context_options *options, size_t struct_size)
{
    const gm_context_options defaults = {.struct_size = sizeof defaults};
    gm_options_give(options, struct_size, &defaults, sizeof defaults);
}

/* Tells contexts apart, one at the address of an earlier one too. */
static uint64_t next_serial(void)
{
    static atomic_uint_least64_t last;
    return atomic_fetch_add(&last, 1) + 1;
}

gm_status gm_context_create(const gm_context_options *options, gm_context **context_out)
{
    gm_context_options ours;
    gm_context_options_default(&ours, sizeof ours);
    if (context_out == NULL)
        return GM_ERROR_ARGUMENT;
    if (options != NULL) {
        size_t size = given_size(options);
        if (size < offsetof(gm_context_options, direct_math) + sizeof ours.direct_math)
            return GM_ERROR_ARGUMENT;
        memcpy(&ours, options, size < sizeof ours ? size : sizeof ours);
        ours.struct_size = sizeof ours;
    }
    if ((ours.allocate == NULL) != (ours.release == NULL) || ours.threads < -1 || ours.threads > MAX_THREADS ||
        (ours.tune != NULL && ours.tune[0] == '\0'))
        return GM_ERROR_ARGUMENT;
    if (ours.allocate == NULL) {
        ours.allocate = default_allocate;
        ours.release = default_release;
    }
    if (ours.threads == 0) {
        int processors = omp_get_num_procs();
        ours.threads = processors < 1 ? 1 : processors > MAX_THREADS ? MAX_THREADS : processors;
    }
    if (ours.threads < 0)
        ours.threads = omp_get_max_threads() > MAX_THREADS ? MAX_THREADS : omp_get_max_threads();
    gm_context *context = ours.allocate(sizeof *context, ours.user);
    if (context == NULL)
        return GM_ERROR_MEMORY;
    memset(context, 0, sizeof *context);
    context->options = ours;
    context->serial = next_serial();
    context->own_memory = ours.allocate != default_allocate;
    context->options.tune = NULL;
    if (ours.tune != NULL) {
        gm_status status = gm_tuner_create(context, ours.tune, &context->tuner);
        if (status != GM_OK) {
            gm_context_destroy(context);
            return status;
        }
    }
    *context_out = context;
    return GM_OK;
}

void gm_context_destroy(gm_context *context)
{
    if (context == NULL)
        return;
    gm_context_options options = context->options;
    gm_tuner_destroy(context->tuner);
    options.release(context, options.user);
}

const char *gm_context_message(const gm_context *context)
{
    return context != NULL ? gm_report_of(context)->message : "";
}

void gm_release(gm_context *context, void *memory)
{
    if (context != NULL)
        gm_free(context, memory);
}
