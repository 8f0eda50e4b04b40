/* Inside of gm_evaluation: what the schedule of a training run needs beyond gmodel.h. */
#ifndef GM_RUNTIME_EVALUATION_H
#define GM_RUNTIME_EVALUATION_H

#include "runtime/data.h"
#include "runtime/model.h"

/* The model or the trainer that is evaluated. */
typedef struct gm_evaluated {
    gm_model *model;
    gm_store *store;           /* its parameters now; must outlive the evaluation */
    const gm_dataset *dataset; /* of the entry's `on`, where it is open already; NULL: opened by the evaluation */
    int64_t batch;
    uint64_t seed; /* with a store */
} gm_evaluated;

/* options: as of gm_evaluation_create, all fields filled. */
gm_status gm_evaluation_open(const gm_evaluated *what, const gm_entry *entry, const gm_evaluation_options *options,
                             gm_evaluation **evaluation_out);

#endif
