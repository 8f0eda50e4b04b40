/* Reductions of float32: what ops/reduce.c asks of ops/reduce_kernels.c. */
#ifndef GM_OPS_REDUCE_H
#define GM_OPS_REDUCE_H

#include "ops/kernel.h"

typedef enum gm_reduction { GM_REDUCE_SUM, GM_REDUCE_MEAN, GM_REDUCE_MAX, GM_REDUCE_MIN, GM_REDUCE_PROD } gm_reduction;

/* Fills lower->kernel, or leaves it NULL where the pattern of axes is none of the fast ones. mask: reduced axes of `x`
 * (concrete dims). Inputs are taken in any layout in which the reduction is a sweep. */
gm_status gm_reduce_lower(gm_lower *lower, gm_reduction reduction, const gm_tensor *x, const bool *mask);

#endif
