/* Measuring the ways in which one instruction can be computed. See runtime/tune.h. */
#ifndef GM_RUNTIME_TUNE_MEASURE_H
#define GM_RUNTIME_TUNE_MEASURE_H

#include "ops/kernel.h"

/* The fastest of lower->node->op->formulations on random inputs; where they are equally fast within a few per cent, the
 * operator's own choice. -1: there is none to take, or not enough memory to try. `lower` is not changed. */
int gm_tune_measure(const gm_lower *lower);
/* "AMD EPYC (family 25, model 17)", or "unknown processor". */
void gm_tune_processor(char *text, size_t bytes);

#endif
