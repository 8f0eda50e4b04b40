/* Choosing among the ways in which an operator can be computed (gm_operator.formulations) by measuring them.
 *
 * While a plan is made, the tuner of the context is asked for each instruction that has a choice. What it remembers for that
 * instruction it answers; else each way is lowered and run on buffers of its own in the shapes and with the number of threads
 * of the plan, and the fastest is taken: the best time of several runs, with the reorders of inputs that it would need. Which
 * layouts its output causes further on does not count.
 *
 * What was chosen stays in a text file:
 *
 *   gmodel tuning 1
 *   machine gmodel 0.1.0; oneDNN 2.6.3, avx512; AMD EPYC (family 25, model 17)
 *   winograd Conv threads 2 float[256, 64, 28, 28] blocked 16 float[64, 64, 5, 5] any -> float[256, 64, 28, 28] pads 2,2,2,2
 *   end 1
 *
 * A tuner may be used by several threads at once. Instructions are measured one at a time. */
#ifndef GM_RUNTIME_TUNE_H
#define GM_RUNTIME_TUNE_H

#include "ops/kernel.h"

typedef struct gm_tuner gm_tuner;

/* Reads the file at `path`; what is wrong with it is told to the context's log and is no error. */
gm_status gm_tuner_create(gm_context *context, const char *path, gm_tuner **tuner_out);
void gm_tuner_destroy(gm_tuner *tuner); /* NULL is a no-op */
/* Sets lower->formulation for an operator that has some; the rest of `lower` is as the planner presets it. again: what was
 * answered before was declined by the operator, and is forgotten. */
gm_status gm_tuner_choose(gm_tuner *tuner, gm_lower *lower, bool again);
/* Writes the file if there is something new, with what others wrote there in the meantime. A failure is told to the log. */
void gm_tuner_keep(gm_tuner *tuner);
/* How many instructions were measured so far. */
size_t gm_tuner_measured(gm_tuner *tuner);

#endif
