/* gm_trainer: parameters in training, steps run one at a time, checkpoints. The whole schedule is run.c's. */
#include "runtime/trainer.h"

#include "graph/operator.h"
#include "runtime/context.h"
#include "runtime/file.h"
#include "runtime/initialize.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void gm_trainer_options_default(gm_trainer_options *options, size_t struct_size)
{
    gm_trainer_options defaults = {.struct_size = struct_size};
    gm_options_give(options, struct_size, &defaults, sizeof defaults);
}

bool gm_is_trainer_scalar(const char *name)
{
    return strcmp(name, "epoch") == 0 || strcmp(name, "epochs") == 0 || strcmp(name, "iteration") == 0;
}

/* --- Making
 * ---------------------------------------------------------------------------------------------------------------- */

static gm_status collect_steps(gm_trainer *trainer)
{
    const gm_program *program = trainer->program;
    size_t reports = 0;
    trainer->steps = gm_pool_array(trainer->pool, program->entry_count + 1, sizeof *trainer->steps);
    if (!trainer->steps)
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < program->entry_count; i++)
        if (program->entries[i].kind == GM_ENTRY_STEP) {
            gm_step *step = &trainer->steps[trainer->step_count++];
            step->entry = &program->entries[i];
            step->first_report = reports;
            step->report_count = step->entry->report_count;
            step->loss_count = step->entry->graph->output_count - step->report_count;
            reports += step->report_count;
        }
    trainer->reports = gm_pool_array(trainer->pool, reports + 1, sizeof *trainer->reports);
    if (!trainer->reports)
        return GM_ERROR_MEMORY;
    for (size_t s = 0; s < trainer->step_count; s++)
        for (size_t i = 0; i < trainer->steps[s].report_count; i++)
            trainer->reports[trainer->report_count++] =
                (gm_report_value){.name = trainer->steps[s].entry->graph->outputs[i].name, .value = NAN};
    return GM_OK;
}

static gm_status copy_model(gm_trainer *trainer)
{
    const gm_store *from = trainer->model->store;
    for (size_t i = 0; i < trainer->program->state_count; i++) {
        gm_tensor slot = gm_store_describe(trainer->store, (uint32_t)i);
        slot.data = trainer->store->entries[i].data;
        if (from->entries[i].data)
            memcpy(slot.data, from->entries[i].data, from->entries[i].bytes);
        else
            GM_TRY(gm_initialize_state(trainer->context, &trainer->program->states[i], trainer->model->seed, &slot));
    }
    return GM_OK;
}

static gm_status resume(gm_trainer *trainer, const char *path);

gm_status gm_trainer_create(const gm_model *model, const gm_trainer_options *options, gm_trainer **trainer_out)
{
    gm_trainer_options own = {.struct_size = sizeof own};
    gm_trainer *trainer;
    gm_pool *pool;
    gm_status status;
    if (!model || !trainer_out)
        return GM_ERROR_ARGUMENT;
    gm_clear_message(model->context);
    GM_TRY(gm_options_take(model->context, "gm_trainer_options", options,
                           offsetof(gm_trainer_options, resume) + sizeof own.resume, &own, sizeof own));
    if (own.batch < 0)
        return gm_fail(model->context, GM_ERROR_ARGUMENT, "a batch of %lld is not possible", (long long)own.batch);
    pool = gm_pool_create(model->context);
    trainer = pool ? gm_pool_alloc(pool, sizeof *trainer) : NULL;
    if (!trainer) {
        gm_pool_destroy(pool);
        return GM_ERROR_MEMORY;
    }
    trainer->context = model->context;
    trainer->model = (gm_model *)(uintptr_t)model;
    trainer->program = model->program;
    trainer->pool = pool;
    trainer->reference = own.reference != 0;
    trainer->batch = own.batch ? own.batch : model->program->train_count ? model->program->trains[0].batch : 0;
    trainer->batch = trainer->batch ? trainer->batch : 1;
    trainer->epochs = model->program->train_count ? (float)model->program->trains[0].epochs : 1;
    trainer->seed = model->seed;
    trainer->batch_given = own.batch != 0;
    trainer->model->users++;
    status = collect_steps(trainer);
    if (status == GM_OK)
        status = gm_store_create(trainer->context, trainer->program, true, &trainer->store);
    if (status == GM_OK)
        status = copy_model(trainer);
    if (status == GM_OK && own.resume)
        status = resume(trainer, own.resume);
    if (status != GM_OK) {
        gm_trainer_destroy(trainer);
        return status;
    }
    *trainer_out = trainer;
    return GM_OK;
}

void gm_trainer_destroy(gm_trainer *trainer)
{
    if (!trainer)
        return;
    for (size_t i = 0; i < trainer->step_count; i++)
        gm_plan_destroy(trainer->steps[i].plan);
    gm_store_destroy(trainer->store);
    trainer->model->users--;
    gm_pool_destroy(trainer->pool);
}

/* --- Steps
 * ------------------------------------------------------------------------------------------------------------------ */

gm_step *gm_trainer_find_step(const gm_trainer *trainer, const char *name)
{
    for (size_t i = 0; i < trainer->step_count; i++)
        if (strcmp(trainer->steps[i].entry->name, name) == 0)
            return &trainer->steps[i];
    return NULL;
}

static gm_status find_step(const gm_trainer *trainer, const char *name, gm_step **step_out)
{
    gm_spelling spelling;
    if ((*step_out = name ? gm_trainer_find_step(trainer, name) : NULL))
        return GM_OK;
    gm_spelling_init(&spelling, name ? name : "");
    for (size_t i = 0; i < trainer->step_count; i++)
        gm_spelling_offer(&spelling, trainer->steps[i].entry->name);
    return gm_fail(trainer->context, GM_ERROR_ARGUMENT, "the model has no step '%s'%s%s%s", name ? name : "",
                   spelling.best ? "; did you mean '" : "", spelling.best ? spelling.best : "",
                   spelling.best ? "'?" : "");
}

gm_status gm_trainer_plan_step(gm_trainer *trainer, gm_step *step, const char *const *fed, size_t fed_count)
{
    gm_plan_options options = {.batch = trainer->batch,
                               .fed = fed,
                               .fed_count = fed_count,
                               .reference = trainer->reference,
                               .expose_draws = trainer->expose_draws};
    if (step->plan)
        return GM_OK;
    if (trainer->keep_gradients) {
        options.gradients = step->entry->gradients;
        options.gradient_count = step->entry->gradient_count;
    }
    gm_clear_message(trainer->context);
    return gm_plan_create(trainer->context, step->entry->graph, trainer->store, &options, &step->plan);
}

static void bind_scalars(gm_trainer *trainer, gm_step *step)
{
    static const char *const names[] = {"epoch", "epochs", "iteration"};
    const float *values[] = {&trainer->epoch, &trainer->epochs, &trainer->iteration};
    for (size_t i = 0; i < GM_COUNT(names); i++) {
        int64_t index = gm_plan_find_input(step->plan, names[i]);
        if (index >= 0)
            gm_plan_bind_input(step->plan, (size_t)index, values[i]);
    }
}

static double scalar_of(const gm_tensor_view *view)
{
    gm_tensor tensor = {view->type, 0, {0}, view->data};
    return gm_get(&tensor, 0);
}

static gm_status not_finite(const gm_trainer *trainer, const gm_step *step, const char *what, const char *name,
                            double value)
{
    return gm_fail(
        trainer->context, GM_ERROR_NUMERIC,
        "step %s: the %s %s is %s at iteration %lld of epoch %lld; lower the rate, or look for a logarithm or "
        "division of 0",
        step->entry->name, what, name, isnan(value) ? "not a number" : "infinite",
        (long long)trainer->position.iteration + 1, (long long)trainer->position.epoch + 1);
}

/* The losses are the outputs behind the reports, named "loss.<node>". */
static gm_status check_losses(const gm_trainer *trainer, const gm_step *step)
{
    for (size_t i = 0; i < step->loss_count; i++) {
        gm_tensor_view view;
        gm_plan_output(step->plan, step->report_count + i, &view);
        if (!isfinite(scalar_of(&view)))
            return not_finite(trainer, step, "loss", view.name + strlen("loss."), scalar_of(&view));
    }
    return GM_OK;
}

gm_status gm_trainer_run_step(gm_trainer *trainer, gm_step *step)
{
    gm_status status;
    bind_scalars(trainer, step);
    GM_TRY(gm_plan_run(step->plan, trainer->seed, step->run, false));
    step->run++;
    status = check_losses(trainer, step);
    for (size_t i = 0; i < step->report_count; i++) {
        gm_report_value *report = &trainer->reports[step->first_report + i];
        gm_tensor_view view;
        gm_plan_output(step->plan, i, &view);
        report->value = scalar_of(&view);
        report->epoch.sum += report->value;
        report->epoch.count++;
        report->window.sum += report->value;
        report->window.count++;
        if (status == GM_OK && !isfinite(report->value))
            status = not_finite(trainer, step, "report", report->name, report->value);
    }
    return status;
}

/* Names of the fed draws among the feeds; checks that every name is known and every data input there. */
static bool is_draw_path(const gm_graph *graph, const char *name)
{
    for (size_t n = 0; n < graph->node_count; n++)
        if (!graph->nodes[n].dead && (graph->nodes[n].op->flags & GM_OP_RANDOM) && graph->nodes[n].path &&
            strcmp(graph->nodes[n].path, name) == 0)
            return true;
    return false;
}

static gm_status unknown_feed(const gm_trainer *trainer, const gm_step *step, const char *name)
{
    const gm_graph *graph = step->entry->graph;
    gm_spelling spelling;
    gm_spelling_init(&spelling, name);
    for (size_t i = 0; i < graph->input_count; i++)
        gm_spelling_offer(&spelling, graph->inputs[i].name);
    for (size_t n = 0; n < graph->node_count; n++)
        if ((graph->nodes[n].op->flags & GM_OP_RANDOM) && graph->nodes[n].path)
            gm_spelling_offer(&spelling, graph->nodes[n].path);
    return gm_fail(trainer->context, GM_ERROR_ARGUMENT, "step %s has no input or random draw '%s'%s%s%s",
                   step->entry->name, name, spelling.best ? "; did you mean '" : "", spelling.best ? spelling.best : "",
                   spelling.best ? "'?" : "");
}

static gm_status plan_for_feeds(gm_trainer *trainer, gm_step *step, const gm_feed *feeds, size_t feed_count)
{
    const char **fed;
    size_t fed_count = 0;
    if (step->plan)
        return GM_OK;
    fed = gm_pool_array(trainer->pool, feed_count + 1, sizeof *fed);
    if (!fed)
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < feed_count; i++)
        if (is_draw_path(step->entry->graph, feeds[i].name))
            fed[fed_count++] = feeds[i].name;
    return gm_trainer_plan_step(trainer, step, fed, fed_count);
}

gm_status gm_trainer_step(gm_trainer *trainer, const char *name, const gm_feed *feeds, size_t feed_count)
{
    gm_step *step;
    gm_clear_message(trainer->context);
    GM_TRY(find_step(trainer, name, &step));
    GM_TRY(plan_for_feeds(trainer, step, feeds, feed_count));
    for (size_t i = 0; i < feed_count; i++) {
        int64_t index = gm_plan_find_input(step->plan, feeds[i].name);
        gm_tensor_view view;
        if (index < 0 && is_draw_path(step->entry->graph, feeds[i].name))
            return gm_fail(trainer->context, GM_ERROR_ARGUMENT,
                           "draw '%s' was not fed at the first run of step %s, which fixed the set of fed draws",
                           feeds[i].name, name);
        if (index < 0)
            return unknown_feed(trainer, step, feeds[i].name);
        gm_plan_input(step->plan, (size_t)index, &view);
        if (view.bytes != feeds[i].bytes || !feeds[i].data)
            return gm_fail(trainer->context, GM_ERROR_ARGUMENT, "'%s' of step %s has %zu bytes, not %zu", feeds[i].name,
                           name, view.bytes, feeds[i].bytes);
        gm_plan_bind_input(step->plan, (size_t)index, feeds[i].data);
    }
    for (size_t i = 0; i < gm_plan_input_count(step->plan); i++) {
        gm_tensor_view view;
        bool found = false;
        gm_plan_input(step->plan, i, &view);
        for (size_t k = 0; k < feed_count && !found; k++)
            found = strcmp(feeds[k].name, view.name) == 0;
        if (!found && !gm_is_trainer_scalar(view.name))
            return gm_fail(trainer->context, GM_ERROR_ARGUMENT,
                           "step %s needs '%s', which is not among the arrays given", name, view.name);
    }
    return gm_trainer_run_step(trainer, step);
}

/* --- Reports, feeds
 * ---------------------------------------------------------------------------------------------------------- */

gm_status gm_trainer_report(const gm_trainer *trainer, const char *name, double *value_out)
{
    gm_spelling spelling;
    gm_spelling_init(&spelling, name);
    for (size_t i = 0; i < trainer->report_count; i++) {
        if (strcmp(trainer->reports[i].name, name) == 0) {
            *value_out = trainer->reports[i].value;
            return GM_OK;
        }
        gm_spelling_offer(&spelling, trainer->reports[i].name);
    }
    return gm_fail(trainer->context, GM_ERROR_ARGUMENT, "there is no report '%s'%s%s%s", name,
                   spelling.best ? "; did you mean '" : "", spelling.best ? spelling.best : "",
                   spelling.best ? "'?" : "");
}

size_t gm_trainer_report_count(const gm_trainer *trainer)
{
    return trainer->report_count;
}

const char *gm_trainer_report_name(const gm_trainer *trainer, size_t index)
{
    return index < trainer->report_count ? trainer->reports[index].name : NULL;
}

/* The index-th input or draw of a graph; 0: none. */
static gm_value_id feed_value(const gm_graph *graph, size_t index, const char **name_out, int *is_draw_out)
{
    for (size_t i = 0; i < graph->input_count; i++) {
        if (gm_is_trainer_scalar(graph->inputs[i].name) || index-- > 0)
            continue;
        *name_out = graph->inputs[i].name;
        *is_draw_out = graph->inputs[i].is_draw;
        return graph->inputs[i].value;
    }
    for (size_t n = 0; n < graph->node_count; n++) {
        if (graph->nodes[n].dead || !(graph->nodes[n].op->flags & GM_OP_RANDOM) || index-- > 0)
            continue;
        *name_out = graph->nodes[n].path;
        *is_draw_out = 1;
        return graph->nodes[n].outputs[0];
    }
    return 0;
}

size_t gm_trainer_feed_count(const gm_trainer *trainer, const char *name)
{
    const gm_step *step = gm_trainer_find_step(trainer, name);
    const char *feed;
    size_t count = 0;
    int is_draw;
    while (step && feed_value(step->entry->graph, count, &feed, &is_draw))
        count++;
    return count;
}

gm_status gm_trainer_feed(const gm_trainer *trainer, const char *name, size_t index, gm_tensor_view *view_out,
                          int *is_draw_out)
{
    gm_step *step;
    const char *feed = NULL;
    const gm_value *value;
    gm_value_id id;
    gm_symbols *symbols;
    GM_TRY(find_step(trainer, name, &step));
    symbols = step->entry->graph->symbols;
    id = feed_value(step->entry->graph, index, &feed, is_draw_out);
    if (!id)
        return gm_fail(trainer->context, GM_ERROR_ARGUMENT, "step %s has no input or draw number %zu", name, index);
    value = gm_value_of(step->entry->graph, id);
    memset(view_out, 0, sizeof *view_out);
    view_out->name = feed;
    view_out->type = value->type;
    view_out->rank = value->rank;
    view_out->bytes = gm_type_bytes(value->type);
    gm_binding binding = {gm_dim_symbol(symbols, "N"), trainer->batch};
    for (int i = 0; i < value->rank; i++) {
        view_out->dims[i] = gm_dim_bind(symbols, value->dims[i], &binding, 1);
        view_out->bytes *= (size_t)view_out->dims[i];
    }
    return GM_OK;
}

/* --- State
 * -------------------------------------------------------------------------------------------------------------------
 */

size_t gm_trainer_state_count(const gm_trainer *trainer)
{
    return trainer->program->state_count;
}

gm_status gm_trainer_state(const gm_trainer *trainer, size_t index, gm_tensor_view *view_out)
{
    const gm_state_entry *entry;
    if (index >= trainer->program->state_count)
        return gm_fail(trainer->context, GM_ERROR_ARGUMENT, "there is no state entry number %zu", index);
    entry = &trainer->program->states[index];
    memset(view_out, 0, sizeof *view_out);
    view_out->name = entry->path;
    view_out->type = entry->type;
    view_out->rank = entry->rank;
    memcpy(view_out->dims, entry->dims, sizeof entry->dims);
    view_out->bytes = trainer->store->entries[index].bytes;
    return GM_OK;
}

static gm_status find_state(const gm_trainer *trainer, const char *path, size_t bytes, uint32_t *state_out)
{
    int64_t state = gm_program_state(trainer->program, path);
    if (state < 0) {
        gm_spelling spelling;
        gm_spelling_init(&spelling, path);
        for (size_t i = 0; i < trainer->program->state_count; i++)
            gm_spelling_offer(&spelling, trainer->program->states[i].path);
        return gm_fail(trainer->context, GM_ERROR_ARGUMENT, "there is no parameter, buffer or slot '%s'%s%s%s", path,
                       spelling.best ? "; did you mean '" : "", spelling.best ? spelling.best : "",
                       spelling.best ? "'?" : "");
    }
    if (bytes != trainer->store->entries[state].bytes)
        return gm_fail(trainer->context, GM_ERROR_ARGUMENT, "'%s' has %zu bytes, not %zu", path,
                       trainer->store->entries[state].bytes, bytes);
    *state_out = (uint32_t)state;
    return GM_OK;
}

gm_status gm_trainer_read(const gm_trainer *trainer, const char *path, void *data, size_t bytes)
{
    uint32_t state = 0;
    GM_TRY(find_state(trainer, path, bytes, &state));
    return gm_store_read(trainer->store, state, data);
}

gm_status gm_trainer_write(gm_trainer *trainer, const char *path, const void *data, size_t bytes)
{
    uint32_t state = 0;
    GM_TRY(find_state(trainer, path, bytes, &state));
    return gm_store_write(trainer->store, state, data);
}

gm_status gm_trainer_keep_gradients(gm_trainer *trainer, int on)
{
    for (size_t i = 0; i < trainer->step_count; i++)
        if (trainer->steps[i].plan && trainer->keep_gradients != (on != 0))
            return gm_fail(trainer->context, GM_ERROR_ARGUMENT,
                           "gradients are to be kept or not before the first step runs");
    trainer->keep_gradients = on != 0;
    return GM_OK;
}

gm_status gm_trainer_gradient_norm(const gm_trainer *trainer, const char *name, const char *path, double *norm_out)
{
    gm_step *step;
    gm_tensor_view view;
    GM_TRY(find_step(trainer, name, &step));
    for (size_t i = step->report_count; step->plan && i < gm_plan_output_count(step->plan); i++) {
        gm_plan_output(step->plan, i, &view);
        if (strncmp(view.name, "gradient.", 9) == 0 && strcmp(view.name + 9, path) == 0) {
            *norm_out = scalar_of(&view);
            return GM_OK;
        }
    }
    return gm_fail(trainer->context, GM_ERROR_ARGUMENT, "step %s kept no gradient of '%s'", name, path);
}

/* --- Plans
 * ---------------------------------------------------------------------------------------------------------------------
 */

gm_status gm_trainer_plan(gm_trainer *trainer, const char *name, gm_plan_info *info_out)
{
    gm_step *step;
    GM_TRY(find_step(trainer, name, &step));
    GM_TRY(gm_trainer_plan_step(trainer, step, NULL, 0));
    gm_plan_info_of(step->plan, info_out);
    return GM_OK;
}

gm_status gm_trainer_profile(gm_trainer *trainer, const char *name, int on)
{
    gm_step *step;
    GM_TRY(find_step(trainer, name, &step));
    GM_TRY(gm_trainer_plan_step(trainer, step, NULL, 0));
    return gm_plan_profile(step->plan, on);
}

size_t gm_trainer_profile_count(const gm_trainer *trainer, const char *name)
{
    const gm_step *step = gm_trainer_find_step(trainer, name);
    return step && step->plan ? gm_plan_profile_count(step->plan) : 0;
}

gm_status gm_trainer_profile_entry(const gm_trainer *trainer, const char *name, size_t index,
                                   gm_profile_entry *entry_out)
{
    const gm_step *step = gm_trainer_find_step(trainer, name);
    if (!step || !step->plan || !gm_plan_profile_entry(step->plan, index, entry_out))
        return gm_fail(trainer->context, GM_ERROR_ARGUMENT, "there is no profile entry number %zu", index);
    return GM_OK;
}

/* --- Checkpoints
 * --------------------------------------------------------------------------------------------------------------- */

/* What a checkpoint holds beside the program's own state: int64[4] "gmodel.position" (block, epoch, iteration, total);
 * int64[3] "gmodel.run" (seed, batch, whether convolutions are direct), without which a run would not go on bit for bit;
 * per step int64 "gmodel.run.<step>"; per report double[4] "gmodel.report.<name>" (sum, count of the running epoch; the same since the last row of iterations.csv). */
static gm_status extra_tensors(const gm_trainer *trainer, gm_pool *pool, gm_named_tensor **extra_out, size_t *count_out)
{
    gm_named_tensor *extra = gm_pool_array(pool, 2 + trainer->step_count + trainer->report_count, sizeof *extra);
    gm_tensor *position = gm_tensor_create(pool, GM_INT64, 1, (int64_t[]){4});
    gm_tensor *settings = gm_tensor_create(pool, GM_INT64, 1, (int64_t[]){3});
    size_t count = 0;
    if (!extra || !position || !settings)
        return GM_ERROR_MEMORY;
    const int64_t numbers[] = {trainer->position.block, trainer->position.epoch, trainer->position.iteration,
                               trainer->position.total};
    memcpy(position->data, numbers, sizeof numbers);
    extra[count++] = (gm_named_tensor){"gmodel.position", position};
    const int64_t how[] = {(int64_t)trainer->seed, trainer->batch, trainer->context->options.direct_math != 0};
    memcpy(settings->data, how, sizeof how);
    extra[count++] = (gm_named_tensor){"gmodel.run", settings};
    for (size_t i = 0; i < trainer->step_count; i++) {
        gm_tensor *run = gm_tensor_create(pool, GM_INT64, 0, NULL);
        char *name = gm_pool_printf(pool, "gmodel.run.%s", trainer->steps[i].entry->name);
        if (!run || !name)
            return GM_ERROR_MEMORY;
        *(int64_t *)run->data = (int64_t)trainer->steps[i].run;
        extra[count++] = (gm_named_tensor){name, run};
    }
    for (size_t i = 0; i < trainer->report_count; i++) {
        gm_tensor *sums = gm_tensor_create(pool, GM_DOUBLE, 1, (int64_t[]){4});
        char *name = gm_pool_printf(pool, "gmodel.report.%s", trainer->reports[i].name);
        if (!sums || !name)
            return GM_ERROR_MEMORY;
        const gm_report_value *report = &trainer->reports[i];
        const double means[] = {report->epoch.sum, (double)report->epoch.count, report->window.sum,
                                (double)report->window.count};
        memcpy(sums->data, means, sizeof means);
        extra[count++] = (gm_named_tensor){name, sums};
    }
    *extra_out = extra;
    *count_out = count;
    return GM_OK;
}

static gm_status save(const gm_trainer *trainer, const gm_target *target)
{
    gm_pool *pool = gm_pool_create(trainer->context);
    gm_named_tensor *extra;
    size_t count;
    gm_status status = pool ? extra_tensors(trainer, pool, &extra, &count) : GM_ERROR_MEMORY;
    if (status == GM_OK)
        status = gm_store_save(trainer->store, true, extra, count, target);
    gm_pool_destroy(pool);
    return status;
}

gm_status gm_trainer_save(const gm_trainer *trainer, const char *path)
{
    if (!path)
        return gm_fail(trainer->context, GM_ERROR_ARGUMENT, "gm_trainer_save: the path is NULL");
    return save(trainer, &(gm_target){.path = path});
}

gm_status gm_trainer_save_memory(const gm_trainer *trainer, void **data_out, size_t *bytes_out)
{
    if (!data_out || !bytes_out)
        return gm_fail(trainer->context, GM_ERROR_ARGUMENT, "gm_trainer_save_memory: an argument is NULL");
    return save(trainer, &(gm_target){.data_out = data_out, .bytes_out = bytes_out});
}

/* A run goes on with the seed and the batch that it began with; asking for others is a mistake. */
static gm_status resume_settings(gm_trainer *trainer, const gm_container *container, const char *path)
{
    const gm_named_tensor *settings = gm_find_tensor(container->training, container->training_count, "gmodel.run");
    const int64_t *how;
    if (!settings)
        return GM_OK; /* of a version that did not write it */
    if (settings->tensor->type != GM_INT64 || gm_tensor_count(settings->tensor) != 3)
        return gm_fail(trainer->context, GM_ERROR_MODEL, "%s: 'gmodel.run' is damaged", path);
    how = settings->tensor->data;
    if (trainer->model->seed_given && (int64_t)trainer->seed != how[0])
        return gm_fail(trainer->context, GM_ERROR_ARGUMENT,
                       "%s: this training has the seed %llu; it cannot go on with the seed %llu", path,
                       (unsigned long long)how[0], (unsigned long long)trainer->seed);
    if (how[1] < 1 || (trainer->batch_given && trainer->batch != how[1]))
        return gm_fail(trainer->context, GM_ERROR_ARGUMENT,
                       "%s: this training has batches of %lld; it cannot go on with batches of %lld", path,
                       (long long)how[1], (long long)trainer->batch);
    trainer->seed = (uint64_t)how[0];
    trainer->batch = how[1];
    if ((how[2] != 0) != (trainer->context->options.direct_math != 0))
        gm_log(trainer->context, "%s: so far trained with --math %s: from here on results differ in their last digits",
               path, how[2] ? "direct" : "fast");
    return GM_OK;
}

static gm_status resume_position(gm_trainer *trainer, const gm_container *container, const char *path)
{
    const gm_named_tensor *position = gm_find_tensor(container->training, container->training_count, "gmodel.position");
    const int64_t *numbers;
    if (!position || position->tensor->type != GM_INT64 || gm_tensor_count(position->tensor) != 4)
        return gm_fail(trainer->context, GM_ERROR_MODEL,
                       "%s: holds no position in a training run (it was not written as a checkpoint)", path);
    numbers = position->tensor->data;
    for (int i = 0; i < 4; i++)
        if (numbers[i] < 0)
            return gm_fail(trainer->context, GM_ERROR_MODEL, "%s: the position in the training run is negative", path);
    trainer->position = (gm_position){numbers[0], numbers[1], numbers[2], numbers[3]};
    for (size_t i = 0; i < trainer->step_count; i++) {
        char name[256];
        const gm_named_tensor *run;
        snprintf(name, sizeof name, "gmodel.run.%s", trainer->steps[i].entry->name);
        run = gm_find_tensor(container->training, container->training_count, name);
        if (!run || run->tensor->type != GM_INT64 || gm_tensor_count(run->tensor) != 1)
            return gm_fail(trainer->context, GM_ERROR_MODEL, "%s: does not say how often step '%s' has run", path,
                           trainer->steps[i].entry->name);
        trainer->steps[i].run = (uint64_t)gm_get_int(run->tensor, 0);
    }
    for (size_t i = 0; i < trainer->report_count; i++) {
        char name[256];
        const gm_named_tensor *sums;
        snprintf(name, sizeof name, "gmodel.report.%s", trainer->reports[i].name);
        sums = gm_find_tensor(container->training, container->training_count, name);
        if (!sums || sums->tensor->type != GM_DOUBLE || gm_tensor_count(sums->tensor) != 4)
            continue; /* a report added since: its mean starts here */
        trainer->reports[i].epoch = (gm_report_mean){gm_get(sums->tensor, 0), (int64_t)gm_get(sums->tensor, 1)};
        trainer->reports[i].window = (gm_report_mean){gm_get(sums->tensor, 2), (int64_t)gm_get(sums->tensor, 3)};
    }
    return GM_OK;
}

static bool same_sources(const gm_container *container, const gm_program *program)
{
    for (size_t i = 0; i < program->source_count && i < container->source_count; i++)
        if (container->sources[i].bytes != program->sources[i].bytes ||
            memcmp(container->sources[i].text, program->sources[i].text, program->sources[i].bytes) != 0)
            return false;
    return container->source_count == program->source_count;
}

static gm_status resume_from(gm_trainer *trainer, gm_pool *pool, const char *data, size_t bytes, const char *path)
{
    gm_container *container;
    const gm_program *program = trainer->program;
    if (gm_encoding_of(data, bytes) != GM_ENCODING_BINARY)
        return gm_fail(trainer->context, GM_ERROR_MODEL, "%s: is a text, which holds no position to resume from", path);
    GM_TRY(gm_container_decode(pool, data, bytes, path, &container));
    if (strcmp(container->model_name, program->name) != 0)
        return gm_fail(trainer->context, GM_ERROR_MODEL, "%s: is a checkpoint of model '%s', this is model '%s'", path,
                       container->model_name, program->name);
    if (!same_sources(container, program))
        gm_log(trainer->context, "%s was made from another text of the model; going on with the text given now", path);
    GM_TRY(resume_settings(trainer, container, path));
    GM_TRY(gm_store_restore(trainer->store, container, true, path));
    return resume_position(trainer, container, path);
}

static gm_status resume(gm_trainer *trainer, const char *path)
{
    char *data;
    size_t bytes;
    gm_pool *pool;
    gm_status status;
    GM_TRY(gm_read_file(trainer->context, path, &data, &bytes));
    pool = gm_pool_create(trainer->context);
    status = pool ? resume_from(trainer, pool, data, bytes, path) : GM_ERROR_MEMORY;
    gm_pool_destroy(pool);
    gm_free(trainer->context, data);
    return status;
}
