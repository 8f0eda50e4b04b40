/* Memory of a program's state: parameters, buffers, optimizer slots, counters; each in the layout that compute wants.
 */
#ifndef GM_RUNTIME_STORE_H
#define GM_RUNTIME_STORE_H

#include "graph/program.h"
#include "ops/kernel.h"

typedef struct gm_store_entry {
    void *data;
    size_t bytes;
    gm_layout layout; /* gm_layout_any: contents are plain, and the first plan that cares may choose */
    bool shared;      /* data belongs to the store this one is a view of */
} gm_store_entry;

typedef struct gm_store {
    gm_context *context;
    const gm_program *program;
    gm_pool *pool;
    gm_store_entry *entries; /* one per program->states */
    size_t bytes;            /* owned memory of all entries */
} gm_store;

/* Zeroed memory for every entry; without `training` only for parameters and buffers (the data of the others is NULL). The
 * program must live longer. */
gm_status gm_store_create(gm_context *context, const gm_program *program, bool training, gm_store **store_out);
/* Reads the entries of `base` (which must be plain and outlive it), copying only what a plan wants in another layout.
 */
gm_status gm_store_view(const gm_store *base, gm_store **store_out);
void gm_store_destroy(gm_store *store); /* NULL is a no-op */

/* Fills every entry from its initializer. */
gm_status gm_store_initialize(gm_store *store, uint64_t seed);
/* Gives an entry that is still `any` its layout, converting the contents. */
gm_status gm_store_choose_layout(gm_store *store, uint32_t state, gm_layout layout);
/* The entry's contents where they are dense row-major, else NULL. */
const void *gm_store_plain_data(const gm_store *store, uint32_t state);
/* Dense row-major copies out of and into an entry. */
gm_status gm_store_read(const gm_store *store, uint32_t state, void *data);
gm_status gm_store_write(gm_store *store, uint32_t state, const void *data);

/* Description of an entry as a tensor without data. */
gm_tensor gm_store_describe(const gm_store *store, uint32_t state);

#endif
