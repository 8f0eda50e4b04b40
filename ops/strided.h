/* Copies between strided views: what transposing, slicing, concatenating, splitting and broadcasting come down to. */
#ifndef GM_OPS_STRIDED_H
#define GM_OPS_STRIDED_H

#include "ops/kernel.h"

/* out[out_offset + sum(i_k * out[k])] = in[in_offset + sum(i_k * in[k])] for every index below dims. Strides count
 * items; those of `in` may be 0 (repeat) or negative. */
typedef struct gm_strided {
    size_t item; /* bytes */
    int rank;
    int64_t dims[GM_MAX_RANK], in[GM_MAX_RANK], out[GM_MAX_RANK];
    int64_t in_offset, out_offset;
} gm_strided;

void gm_row_strides(int rank, const int64_t *dims, int64_t *strides);
/* Item by item: for reference kernels. */
void gm_strided_copy_plain(const gm_strided *copy, const void *in, void *out);
/* Drops axes of size 1 and joins axes that lie together; then gm_strided_copy is fast. */
void gm_strided_simplify(gm_strided *copy);
void gm_strided_copy(const gm_strided *copy, const void *in, void *out, int threads);

/* A node as a list of strided copies. */
typedef struct gm_move_part {
    gm_strided copy;
    size_t in, out; /* indices of the node's input and output */
} gm_move_part;

typedef struct gm_move {
    size_t count;
    gm_move_part parts[GM_MAX_ARITY];
    bool zero;          /* output 0 is zeroed first */
    size_t data_inputs; /* inputs [0, data_inputs) are moved, later ones are parameters */
    /* Where only whole batches and runs of channels move: a number of channels that divides every run and every first
     * channel. A layout whose block divides it then needs no reorder. 0: plain data only. */
    int64_t channel_unit;
} gm_move;

/* Describes the node from the shapes of all tensors and the data of the parameters. */
typedef gm_status (*gm_describe_move)(const gm_compute *compute, gm_move *move);

gm_status gm_move_reference(const gm_compute *compute, gm_describe_move describe);
/* Declines where a parameter is not a constant. */
gm_status gm_move_lower(gm_lower *lower, gm_describe_move describe);

/* Bound tensors of a node for lowering; `data` is that of constants and known contents (pool), else NULL. */
gm_status gm_lower_describe(gm_lower *lower, gm_compute *compute_out);

#endif
