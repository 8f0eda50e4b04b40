/* gm_evaluation: means over a data set or over many draws, and what is computed from them. */
#include "runtime/evaluation.h"

#include "runtime/context.h"
#include "runtime/plan.h"
#include "runtime/trainer.h"

#include <string.h>

#define DEFAULT_BATCH 100

typedef struct gm_average {
    int64_t row_count; /* elements of one example's value */
    bool per_batch;    /* a scalar that stands for all examples of its batch */
    double *sum;
    gm_tensor value; /* float, without the axis of the examples */
} gm_average;

struct gm_evaluation {
    gm_context *context;
    gm_pool *pool;
    gm_model *model;
    const gm_entry *entry;
    gm_store *view;  /* of the model's; NULL: a trainer's store is read */
    gm_store *store; /* what the plans read */
    gm_dataset *own; /* opened here */
    const gm_dataset *dataset;
    gm_plan *full, *rest, *results; /* of a whole batch, of the incomplete last one, of what is computed once */
    gm_average *averages;
    int64_t *rows;
    void **buffers;
    int64_t batch, examples; /* examples: 0 where there is nothing to average */
    uint64_t seed;
    bool override_seeds;
};

void gm_evaluation_options_default(gm_evaluation_options *options, size_t struct_size)
{
    gm_evaluation_options defaults = {.struct_size = struct_size};
    gm_options_give(options, struct_size, &defaults, sizeof defaults);
}

/* --- Making one --- */

static gm_status open_data(gm_evaluation *evaluation, const gm_evaluated *what, int64_t limit)
{
    const gm_model *model = evaluation->model;
    const gm_data_declaration *declaration = gm_program_data(model->program, evaluation->entry->data);
    gm_data_options options = {model->data_directory, model->directory, model->seed};
    evaluation->dataset = what->dataset;
    if (!evaluation->dataset) {
        if (!declaration)
            return gm_fail(evaluation->context, GM_ERROR_MODEL, "there is no data set '%s'", evaluation->entry->data);
        GM_TRY(gm_dataset_open(evaluation->context, declaration, &options, &evaluation->own));
        evaluation->dataset = evaluation->own;
    }
    evaluation->examples = gm_dataset_row_count(evaluation->dataset);
    if (limit > 0 && limit < evaluation->examples)
        evaluation->examples = limit;
    if (evaluation->examples < 1)
        return gm_fail(evaluation->context, GM_ERROR_DATA, "data set '%s' has no rows to evaluate",
                       evaluation->entry->data);
    evaluation->batch = evaluation->batch < evaluation->examples ? evaluation->batch : evaluation->examples;
    evaluation->rows = gm_pool_array(evaluation->pool, (size_t)evaluation->batch, sizeof *evaluation->rows);
    evaluation->buffers =
        gm_pool_array(evaluation->pool, gm_dataset_field_count(evaluation->dataset), sizeof *evaluation->buffers);
    return evaluation->rows && evaluation->buffers ? GM_OK : GM_ERROR_MEMORY;
}

static gm_status plan(gm_evaluation *evaluation, const gm_graph *graph, int64_t batch, bool reference, gm_plan **out)
{
    gm_plan_options options = {.batch = batch, .reference = reference};
    return gm_plan_create(evaluation->context, graph, evaluation->store, &options, out);
}

/* Room for sums and averages, shaped as the batch's outputs without their first axis. */
static gm_status make_averages(gm_evaluation *evaluation)
{
    const gm_entry *entry = evaluation->entry;
    gm_plan *any = evaluation->full ? evaluation->full : evaluation->rest;
    evaluation->averages = gm_pool_array(evaluation->pool, entry->mean_count + 1, sizeof *evaluation->averages);
    if (!evaluation->averages)
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < entry->mean_count; i++) {
        gm_average *average = &evaluation->averages[i];
        gm_tensor_view view;
        gm_tensor *value;
        gm_plan_output(any, i, &view);
        average->per_batch = view.rank == 0;
        value = gm_tensor_create(evaluation->pool, GM_FLOAT, view.rank ? view.rank - 1 : 0, view.dims + 1);
        if (!value)
            return GM_ERROR_MEMORY;
        average->value = *value;
        average->row_count = gm_tensor_count(value);
        average->sum = gm_pool_array(evaluation->pool, (size_t)average->row_count + 1, sizeof *average->sum);
        if (!average->sum)
            return GM_ERROR_MEMORY;
    }
    return GM_OK;
}

static gm_status make_plans(gm_evaluation *evaluation, bool reference)
{
    const gm_entry *entry = evaluation->entry;
    int64_t rest;
    if (entry->mean_count) {
        rest = evaluation->examples % evaluation->batch;
        if (evaluation->examples >= evaluation->batch)
            GM_TRY(plan(evaluation, entry->graph, evaluation->batch, reference, &evaluation->full));
        if (rest)
            GM_TRY(plan(evaluation, entry->graph, rest, reference, &evaluation->rest));
        GM_TRY(make_averages(evaluation));
    }
    if (entry->results)
        GM_TRY(plan(evaluation, entry->results, evaluation->examples, reference, &evaluation->results));
    return GM_OK;
}

static gm_status create(gm_evaluation *evaluation, const gm_evaluated *what, const gm_evaluation_options *options)
{
    const gm_entry *entry = evaluation->entry;
    evaluation->batch = options->batch ? options->batch : what->batch ? what->batch : DEFAULT_BATCH;
    evaluation->seed = options->has_seed ? options->seed : what->store ? what->seed : evaluation->model->seed;
    evaluation->override_seeds = options->has_seed != 0;
    evaluation->store = what->store;
    if (entry->data)
        GM_TRY(open_data(evaluation, what, options->limit));
    else
        evaluation->examples = entry->draws && options->draws ? options->draws : entry->draws;
    if (!what->store) {
        GM_TRY(gm_store_view(evaluation->model->store, &evaluation->view));
        evaluation->store = evaluation->view;
    }
    return make_plans(evaluation, options->reference != 0);
}

gm_status gm_evaluation_open(const gm_evaluated *what, const gm_entry *entry, const gm_evaluation_options *options,
                             gm_evaluation **evaluation_out)
{
    gm_context *context = what->model->context;
    gm_pool *pool;
    gm_evaluation *evaluation;
    gm_status status;
    if (options->batch < 0 || options->draws < 0 || options->limit < 0)
        return gm_fail(context, GM_ERROR_ARGUMENT, "batch, draws and limit of an evaluation cannot be negative");
    pool = gm_pool_create(context);
    evaluation = pool ? gm_pool_alloc(pool, sizeof *evaluation) : NULL;
    if (!evaluation) {
        gm_pool_destroy(pool);
        return GM_ERROR_MEMORY;
    }
    evaluation->context = context;
    evaluation->pool = pool;
    evaluation->model = what->model;
    evaluation->entry = entry;
    evaluation->model->users++;
    status = create(evaluation, what, options);
    if (status != GM_OK) {
        gm_evaluation_destroy(evaluation);
        return status;
    }
    *evaluation_out = evaluation;
    return GM_OK;
}

static gm_status find_entry(const gm_model *model, const char *name, const gm_entry **entry_out)
{
    const gm_program *program = model->program;
    gm_spelling spelling;
    *entry_out = name ? gm_program_entry(program, GM_ENTRY_EVALUATION, name) : NULL;
    if (*entry_out)
        return GM_OK;
    gm_spelling_init(&spelling, name ? name : "");
    for (size_t i = 0; i < program->entry_count; i++)
        if (program->entries[i].kind == GM_ENTRY_EVALUATION)
            gm_spelling_offer(&spelling, program->entries[i].name);
    return gm_fail(model->context, GM_ERROR_ARGUMENT, "the model has no evaluate '%s'%s%s%s", name ? name : "",
                   spelling.best ? "; did you mean '" : "", spelling.best ? spelling.best : "",
                   spelling.best ? "'?" : "");
}

static gm_status create_for(const gm_evaluated *what, const char *name, const gm_evaluation_options *options,
                            gm_evaluation **evaluation_out)
{
    gm_evaluation_options own = {.struct_size = sizeof own};
    gm_context *context = what->model->context;
    const gm_entry *entry = NULL;
    gm_clear_message(context);
    GM_TRY(gm_options_take(context, "gm_evaluation_options", options,
                           offsetof(gm_evaluation_options, reference) + sizeof own.reference, &own, sizeof own));
    GM_TRY(find_entry(what->model, name, &entry));
    return gm_evaluation_open(what, entry, &own, evaluation_out);
}

gm_status gm_evaluation_create(const gm_model *model, const char *name, const gm_evaluation_options *options,
                               gm_evaluation **evaluation_out)
{
    gm_evaluated what = {.model = (gm_model *)(uintptr_t)model};
    if (!model || !evaluation_out)
        return GM_ERROR_ARGUMENT;
    if (model->program->train_count)
        what.batch = model->program->trains[0].batch;
    return create_for(&what, name, options, evaluation_out);
}

gm_status gm_evaluation_create_for_trainer(gm_trainer *trainer, const char *name, const gm_evaluation_options *options,
                                           gm_evaluation **evaluation_out)
{
    gm_evaluated what;
    if (!trainer || !evaluation_out)
        return GM_ERROR_ARGUMENT;
    what = (gm_evaluated){
        .model = trainer->model, .store = trainer->store, .batch = trainer->batch, .seed = trainer->seed};
    return create_for(&what, name, options, evaluation_out);
}

void gm_evaluation_destroy(gm_evaluation *evaluation)
{
    if (!evaluation)
        return;
    gm_plan_destroy(evaluation->full);
    gm_plan_destroy(evaluation->rest);
    gm_plan_destroy(evaluation->results);
    gm_store_destroy(evaluation->view);
    gm_dataset_close(evaluation->own);
    evaluation->model->users--;
    gm_pool_destroy(evaluation->pool);
}

/* --- Running --- */

/* The index of the field that feeds an input: "image", or "photos.image". -1: none. */
static int64_t field_of(const gm_dataset *dataset, const char *input)
{
    const char *set = gm_dataset_name(dataset);
    size_t length = strlen(set);
    if (strncmp(input, set, length) == 0 && input[length] == '.')
        input += length + 1;
    for (size_t f = 0; f < gm_dataset_field_count(dataset); f++)
        if (strcmp(gm_dataset_field_at(dataset, f)->name, input) == 0)
            return (int64_t)f;
    return -1;
}

static gm_status feed(gm_evaluation *evaluation, gm_plan *to, int64_t first, int64_t count)
{
    const gm_dataset *dataset = evaluation->dataset;
    if (!dataset)
        return GM_OK;
    for (int64_t i = 0; i < count; i++)
        evaluation->rows[i] = first + i;
    for (size_t f = 0; f < gm_dataset_field_count(dataset); f++)
        evaluation->buffers[f] = NULL;
    for (size_t i = 0; i < gm_plan_input_count(to); i++) {
        gm_tensor_view view;
        int64_t field;
        gm_plan_input(to, i, &view);
        field = field_of(dataset, view.name);
        if (field < 0 || view.bytes != (size_t)count * gm_dataset_field_at(dataset, (size_t)field)->row_bytes)
            return gm_fail(evaluation->context, GM_ERROR_MODEL,
                           "evaluate %s: the input '%s' is not shaped as a field of the data set '%s'",
                           evaluation->entry->name, view.name, gm_dataset_name(dataset));
        evaluation->buffers[field] = view.data;
    }
    gm_dataset_gather(dataset, evaluation->rows, (size_t)count, evaluation->buffers);
    return GM_OK;
}

static void add_batch(gm_evaluation *evaluation, const gm_plan *from, int64_t count)
{
    for (size_t i = 0; i < evaluation->entry->mean_count; i++) {
        gm_average *average = &evaluation->averages[i];
        const float *values;
        gm_tensor_view view;
        gm_plan_output(from, i, &view);
        values = view.data;
        if (average->per_batch) {
            average->sum[0] += (double)values[0] * (double)count;
            continue;
        }
        for (int64_t row = 0; row < count; row++)
            for (int64_t k = 0; k < average->row_count; k++)
                average->sum[k] += (double)values[row * average->row_count + k];
    }
}

static gm_status run_batches(gm_evaluation *evaluation)
{
    for (size_t i = 0; i < evaluation->entry->mean_count; i++)
        memset(evaluation->averages[i].sum, 0,
               (size_t)evaluation->averages[i].row_count * sizeof *evaluation->averages[i].sum);
    for (int64_t row = 0; row < evaluation->examples; row += evaluation->batch) {
        int64_t left = evaluation->examples - row;
        int64_t count = left < evaluation->batch ? left : evaluation->batch;
        gm_plan *now = count == evaluation->batch ? evaluation->full : evaluation->rest;
        GM_TRY(feed(evaluation, now, row, count));
        GM_TRY(gm_plan_run_rows(now, evaluation->seed, 0, evaluation->override_seeds, row, count));
        add_batch(evaluation, now, count);
    }
    for (size_t i = 0; i < evaluation->entry->mean_count; i++) {
        gm_average *average = &evaluation->averages[i];
        for (int64_t k = 0; k < average->row_count; k++)
            gm_set(&average->value, k, average->sum[k] / (double)evaluation->examples);
    }
    return GM_OK;
}

static gm_status run_results(gm_evaluation *evaluation)
{
    const gm_entry *entry = evaluation->entry;
    for (size_t i = 0; i < gm_plan_input_count(evaluation->results); i++) {
        gm_tensor_view view;
        gm_plan_input(evaluation->results, i, &view);
        for (size_t k = 0; k < entry->mean_count; k++)
            if (strcmp(entry->figures[k].name, view.name) == 0)
                memcpy(view.data, evaluation->averages[k].value.data, view.bytes);
    }
    return gm_plan_run(evaluation->results, evaluation->seed, 0, evaluation->override_seeds);
}

gm_status gm_evaluation_run(gm_evaluation *evaluation)
{
    gm_clear_message(evaluation->context);
    if (evaluation->entry->mean_count)
        GM_TRY(run_batches(evaluation));
    return evaluation->results ? run_results(evaluation) : GM_OK;
}

/* --- What it found --- */

size_t gm_evaluation_count(const gm_evaluation *evaluation)
{
    return evaluation->entry->figure_count;
}

int64_t gm_evaluation_examples(const gm_evaluation *evaluation)
{
    return evaluation->examples;
}

gm_status gm_evaluation_value(const gm_evaluation *evaluation, size_t index, gm_tensor_view *view_out)
{
    const gm_entry *entry = evaluation->entry;
    if (index >= entry->figure_count)
        return gm_fail(evaluation->context, GM_ERROR_ARGUMENT, "there is no figure number %zu", index);
    if (index < entry->mean_count) {
        const gm_tensor *value = &evaluation->averages[index].value;
        *view_out = (gm_tensor_view){
            .type = value->type, .rank = value->rank, .bytes = gm_tensor_bytes(value), .data = value->data};
        memcpy(view_out->dims, value->dims, sizeof view_out->dims);
    } else {
        gm_plan_output(evaluation->results, index - entry->mean_count, view_out);
    }
    view_out->name = entry->figures[index].name;
    return GM_OK;
}

const char *gm_evaluation_label(const gm_evaluation *evaluation, size_t index, int64_t number)
{
    const gm_tensor *names = index < evaluation->entry->figure_count ? evaluation->entry->figures[index].names : NULL;
    if (!names || number < 0 || number >= gm_tensor_count(names))
        return NULL;
    return ((const char *const *)names->data)[number];
}
