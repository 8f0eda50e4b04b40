/* A context that counts its allocations, and can let one of them fail. */
#ifndef GM_TESTS_COUNTING_H
#define GM_TESTS_COUNTING_H

#include <stdlib.h>

#include "runtime/gmodel.h"

typedef struct gm_counter {
    long count, fail_at; /* fail_at 0: never */
} gm_counter;

static void *counting_allocate(size_t bytes, void *user)
{
    gm_counter *counter = user;
    counter->count++;
    return counter->count == counter->fail_at ? NULL : malloc(bytes);
}

static void counting_release(void *memory, void *user)
{
    (void)user;
    free(memory);
}

/* NULL: there is none, because an allocation failed. */
static gm_context *counted_context(gm_counter *counter)
{
    gm_context_options options;
    gm_context *counted = NULL;
    gm_context_options_default(&options, sizeof options);
    options.allocate = counting_allocate;
    options.release = counting_release;
    options.user = counter;
    if (gm_context_create(&options, &counted) != GM_OK)
        return NULL;
    return counted;
}

#endif
