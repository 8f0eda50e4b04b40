/* First values of state entries. */
#ifndef GM_RUNTIME_INITIALIZE_H
#define GM_RUNTIME_INITIALIZE_H

#include "graph/program.h"

/* Fills `target` (type, shape as the entry, data allocated, dense row-major) from the entry's initializer. Random ones
 * are Philox draws keyed by seed XOR gm_hash64(entry->path), run 0, element = flat row-major index, so that a
 * parameter's values depend on nothing but the seed, its path and its shape. */
gm_status gm_initialize_state(gm_context *context, const gm_state_entry *entry, uint64_t seed, const gm_tensor *target);

#endif
