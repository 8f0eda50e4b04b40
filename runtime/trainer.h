/* Inside of gm_trainer, shared by trainer.c (steps, state), run.c (the schedule), output.c (files) and trace.c. */
#ifndef GM_RUNTIME_TRAINER_H
#define GM_RUNTIME_TRAINER_H

#include "runtime/model.h"
#include "runtime/plan.h"

typedef struct gm_step {
    const gm_entry *entry;
    gm_plan *plan;                     /* NULL until its first run */
    uint64_t run;                      /* completed runs: the counter of its random draws */
    size_t first_report, report_count; /* in trainer->reports */
    size_t loss_count;                 /* outputs behind the reports */
} gm_step;

typedef struct gm_report_mean {
    double sum;
    int64_t count;
} gm_report_mean;

typedef struct gm_report_value {
    const char *name;
    double value;                 /* of the last run of its step; NaN before */
    gm_report_mean epoch, window; /* over the running epoch; since the last row of iterations.csv */
} gm_report_value;

typedef struct gm_position {
    int64_t block;     /* of the train declarations */
    int64_t epoch;     /* completed epochs of the block */
    int64_t iteration; /* completed rounds of the epoch */
    int64_t total;     /* completed rounds since the start */
} gm_position;

struct gm_trainer {
    gm_context *context;
    gm_model *model;
    gm_program *program;
    gm_pool *pool;
    gm_store *store;
    gm_step *steps;
    size_t step_count;
    gm_report_value *reports;
    size_t report_count;
    int64_t batch;
    uint64_t seed;    /* of draws and shuffles */
    bool batch_given; /* by the caller, not by the file */
    bool reference, keep_gradients, expose_draws;
    gm_position position;
    float epoch, epochs, iteration; /* what the scalars of the language read */
};

/* Plans a step for feeding `fed` draws; does nothing when it is planned. */
gm_status gm_trainer_plan_step(gm_trainer *trainer, gm_step *step, const char *const *fed, size_t fed_count);
gm_step *gm_trainer_find_step(const gm_trainer *trainer, const char *name); /* NULL: none (no message) */
/* Binds what the step's plan reads from the trainer itself (epoch, iteration), runs it, reads its reports. */
gm_status gm_trainer_run_step(gm_trainer *trainer, gm_step *step);
/* "epoch", "epochs", "iteration". */
bool gm_is_trainer_scalar(const char *name);

/* --- output.c
 * ------------------------------------------------------------------------------------------------------------ */
typedef struct gm_output gm_output;
/* directory NULL: nothing is written and *output_out is NULL. Rows of metrics.csv beyond the trainer's position are
 * dropped. */
gm_status gm_output_create(gm_trainer *trainer, const char *directory, gm_output **output_out);
void gm_output_destroy(gm_output *output); /* NULL is a no-op, for the next ones too */
gm_status gm_output_metrics(gm_output *output, int64_t epoch, double seconds);
gm_status gm_output_iterations(gm_output *output, int64_t epoch, double seconds);
/* Curves and samples are written by a thread of their own (runtime/writer.h): a failure may be told by a later one. */
/* Not `last`: left out while the one before is being drawn, and where drawing would take more than a fiftieth of the time. */
gm_status gm_output_curves(gm_output *output, bool last);
/* Writes every `write` of a sample; `rows` feeds a sample `on` a set (see run.c). label: "epoch-0001". */
gm_status gm_output_sample(gm_output *output, const char *sample, const char *label,
                           gm_status (*feed)(gm_plan *plan, const gm_entry *entry, void *user), void *user);
gm_status gm_output_finish(gm_output *output);            /* waits until all of them are written */
const char *gm_output_directory(const gm_output *output); /* NULL: nothing is written */
/* A row of NAME.csv (epoch, iteration, every number of small figures; rows of the same point and later are replaced), and
 * a line of news with its scalars. `output` may be NULL. (runtime/evaluation_output.c) */
gm_status gm_output_evaluation(gm_output *output, gm_trainer *trainer, const char *name,
                               const gm_evaluation *evaluation, int64_t epoch);
/* checkpoint.gmodel; `copy` not NULL: also a copy of that name. */
gm_status gm_output_checkpoint(gm_output *output, const char *copy);

/* --- trace.c
 * ------------------------------------------------------------------------------------------------------------- */
typedef struct gm_trace gm_trace;
gm_status gm_trace_create(gm_trainer *trainer, const char *directory, gm_trace **trace_out);
void gm_trace_destroy(gm_trace *trace); /* NULL is a no-op, for the next ones too */
gm_status gm_trace_before(gm_trace *trace, const gm_step *step);
gm_status gm_trace_after(gm_trace *trace, const gm_step *step);
gm_status gm_trace_finish(gm_trace *trace);

#endif
