/* Batch normalization: what ops/norm.c (rules) and ops/norm_kernels.c (fast kernels) share. */
#ifndef GM_OPS_NORM_H
#define GM_OPS_NORM_H

#include "ops/kernel.h"

gm_status gm_batch_normalization_lower(gm_lower *lower);
gm_status gm_batch_normalization_training_lower(gm_lower *lower);
gm_status gm_batch_normalization_grad_lower(gm_lower *lower);

#endif
