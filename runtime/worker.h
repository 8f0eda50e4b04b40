/* A thread that takes over work which must not hold up the one that computes. */
#ifndef GM_RUNTIME_WORKER_H
#define GM_RUNTIME_WORKER_H

#include "graph/base.h"

typedef struct gm_worker gm_worker;
typedef void (*gm_job)(void *argument);

/* *worker_out is NULL where no thread is to be had; every function here takes that for a worker. Signals stay with the
 * other threads. */
gm_status gm_worker_create(gm_context *context, gm_worker **worker_out);
void gm_worker_destroy(gm_worker *worker); /* does first what it was given */

/* Jobs run one at a time, in the order in which they come. Waits while several are waiting already; without a worker
 * the job is done at once. One thread adds and waits. What the caller wrote before is seen by the job. */
void gm_worker_add(gm_worker *worker, gm_job job, void *argument);
/* Until every job is done; what they wrote is then seen by the caller. */
void gm_worker_wait(gm_worker *worker);

#endif
