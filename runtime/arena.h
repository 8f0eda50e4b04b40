/* Where everything lies in the arena: a pure function from times of life and sizes to offsets.
 *
 * Records that share memory (an output over its dying input, a view of the same bytes) are merged by the caller into
 * one record from the first to the last use of either. */
#ifndef GM_RUNTIME_ARENA_H
#define GM_RUNTIME_ARENA_H

#include "graph/base.h"

typedef struct gm_arena_record {
    size_t first, last; /* times (numbers of instructions) of the first and the last use, both included */
    size_t size;        /* bytes; 0: takes no room, offset 0 */
    size_t alignment;   /* a power of two; 0: 64 */
    size_t offset;      /* result: a multiple of alignment */
} gm_arena_record;

/* Fills in offsets such that records alive at one time never overlap. *total_out: bytes of the arena.
 * *max_alive_out: the largest sum of sizes alive at one time, which no placement can go below. Depends on nothing but
 * the records. Records are changed only on success. Takes some milliseconds for hundreds of records, at most about
 * a second for tens of thousands.
 * GM_ERROR_ARGUMENT: first > last, or an alignment that is no power of two. GM_ERROR_MEMORY: the sum does not fit. */
gm_status gm_arena_place(gm_context *context, gm_arena_record *records, size_t count, size_t *total_out,
                         size_t *max_alive_out);

#endif
