/* The whole schedule of a file: blocks, epochs, rounds, samples, checkpoints. */
#include "runtime/batch.h"
#include "runtime/context.h"
#include "runtime/evaluation.h"
#include "runtime/trainer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void gm_run_options_default(gm_run_options *options, size_t struct_size)
{
    gm_run_options defaults = {.struct_size = struct_size};
    gm_options_give(options, struct_size, &defaults, sizeof defaults);
}

typedef struct gm_opened { /* a data set in use, by declaration */
    const gm_data_declaration *declaration;
    gm_dataset *dataset;
} gm_opened;

typedef struct gm_run {
    gm_trainer *trainer;
    const gm_run_options *options;
    const gm_train *block;
    gm_output *output;
    gm_trace *trace;
    gm_opened *opened;
    size_t opened_count;
    gm_batcher *batcher;
    const void *const *fields; /* of the round's batch; NULL before the first of the round */
    int64_t block_epochs, epoch_rounds, draws_per_round;
    int64_t rounds_done; /* in this call */
    double start, last_checkpoint, checkpoint_seconds;
    gm_position saved;         /* where the last checkpoint stands */
    double window_start, rate; /* rounds per second over the last window of some seconds */
    int64_t window_rounds;
    double *report_means;
    const char **report_names;
    gm_evaluation **evaluations; /* per entry of the program; NULL: not used yet */
} gm_run;

/* --- Data
 * --------------------------------------------------------------------------------------------------------------------
 */

static gm_status open_set(gm_run *run, const char *name, gm_dataset **dataset_out)
{
    gm_trainer *trainer = run->trainer;
    const gm_data_declaration *declaration = gm_program_data(trainer->program, name);
    gm_data_options options = {trainer->model->data_directory, trainer->model->directory, trainer->seed};
    if (!declaration)
        return gm_fail(trainer->context, GM_ERROR_MODEL, "there is no data set '%s'", name);
    for (size_t i = 0; i < run->opened_count; i++)
        if (run->opened[i].declaration == declaration) {
            *dataset_out = run->opened[i].dataset;
            return GM_OK;
        }
    GM_TRY(gm_dataset_open(trainer->context, declaration, &options, dataset_out));
    run->opened[run->opened_count++] = (gm_opened){declaration, *dataset_out};
    return GM_OK;
}

static bool uses_data(const gm_step *step)
{
    for (size_t i = 0; i < step->entry->graph->input_count; i++)
        if (!gm_is_trainer_scalar(step->entry->graph->inputs[i].name))
            return true;
    return false;
}

/* Batches one round takes: one for each repetition of a repeated step, and one for the plain steps before the first. */
static int64_t count_draws(const gm_run *run)
{
    int64_t draws = 0;
    for (size_t i = 0; i < run->block->schedule_count; i++) {
        const gm_schedule *entry = &run->block->schedule[i];
        const gm_step *step = entry->kind == GM_SCHEDULE_STEP ? gm_trainer_find_step(run->trainer, entry->name) : NULL;
        if (!step || !uses_data(step))
            continue;
        if (entry->count > 1)
            draws += entry->count;
        else if (draws == 0)
            draws = 1;
    }
    return draws;
}

static gm_status open_block(gm_run *run)
{
    gm_trainer *trainer = run->trainer;
    const gm_dataset **sets = gm_pool_array(trainer->pool, run->block->set_count + 1, sizeof *sets);
    int64_t batches;
    if (!sets)
        return GM_ERROR_MEMORY;
    gm_batcher_destroy(run->batcher);
    run->batcher = NULL;
    run->draws_per_round = count_draws(run);
    run->epoch_rounds = run->block->iterations;
    if (run->block->set_count) {
        for (size_t i = 0; i < run->block->set_count; i++) {
            gm_dataset *dataset;
            GM_TRY(open_set(run, run->block->sets[i], &dataset));
            sets[i] = dataset;
        }
        GM_TRY(gm_batcher_create(trainer->context, sets, run->block->set_count, trainer->batch, trainer->seed,
                                 run->options->limit, &run->batcher));
        batches = gm_batcher_epoch_length(run->batcher);
        if (!run->epoch_rounds)
            run->epoch_rounds = batches / (run->draws_per_round ? run->draws_per_round : 1);
        if (!run->epoch_rounds)
            return gm_fail(trainer->context, GM_ERROR_DATA,
                           "a round takes %lld batches of %lld examples, but data set '%s' has only %lld",
                           (long long)run->draws_per_round, (long long)trainer->batch, run->block->sets[0],
                           (long long)batches);
    } else if (!run->epoch_rounds) {
        return gm_fail(trainer->context, GM_ERROR_MODEL, "a train block without data needs `of k iterations`");
    }
    return GM_OK;
}

/* The batcher stands where the position says. With `of k iterations` epochs run on through the data. */
static gm_status seek(gm_run *run)
{
    const gm_position *position = &run->trainer->position;
    int64_t length, batch;
    if (!run->batcher)
        return GM_OK;
    length = gm_batcher_epoch_length(run->batcher);
    if (run->block->iterations) {
        batch = (position->epoch * run->epoch_rounds + position->iteration) * run->draws_per_round;
        return gm_batcher_seek(run->batcher, batch / length, batch % length);
    }
    return gm_batcher_seek(run->batcher, position->epoch, position->iteration * run->draws_per_round);
}

/* "image" or "photos.image". */
static bool field_matches(const gm_batcher *batcher, size_t index, const char *input)
{
    const char *field = gm_batcher_field(batcher, index)->name;
    const char *set = gm_dataset_name(gm_batcher_field_set(batcher, index));
    size_t length = strlen(set);
    if (strcmp(input, field) == 0)
        return true;
    return strncmp(input, set, length) == 0 && input[length] == '.' && strcmp(input + length + 1, field) == 0;
}

static gm_status bind_batch(gm_run *run, gm_step *step)
{
    for (size_t i = 0; i < gm_plan_input_count(step->plan); i++) {
        gm_tensor_view view;
        bool found = false;
        gm_plan_input(step->plan, i, &view);
        if (gm_is_trainer_scalar(view.name))
            continue;
        for (size_t k = 0; run->batcher && k < gm_batcher_field_count(run->batcher) && !found; k++)
            if (field_matches(run->batcher, k, view.name)) {
                gm_plan_bind_input(step->plan, i, run->fields[k]);
                found = true;
            }
        if (!found)
            return gm_fail(run->trainer->context, GM_ERROR_MODEL,
                           "step %s reads '%s', which no data set of its train line has", step->entry->name, view.name);
    }
    return GM_OK;
}

/* --- A round
 * -------------------------------------------------------------------------------------------------------------------
 */

static gm_status run_step(gm_run *run, gm_step *step, bool fresh_batch)
{
    gm_trainer *trainer = run->trainer;
    if (uses_data(step)) {
        if (!run->batcher)
            return gm_fail(trainer->context, GM_ERROR_MODEL, "step %s reads data, but its train line names no data set",
                           step->entry->name);
        if (fresh_batch || !run->fields)
            GM_TRY(gm_batcher_next(run->batcher, &run->fields));
        GM_TRY(bind_batch(run, step));
    }
    GM_TRY(gm_trace_before(run->trace, step));
    GM_TRY(gm_trainer_run_step(trainer, step));
    return gm_trace_after(run->trace, step);
}

static gm_status run_round(gm_run *run)
{
    gm_trainer *trainer = run->trainer;
    run->fields = NULL;
    trainer->epoch = (float)trainer->position.epoch;
    trainer->epochs = (float)run->block_epochs;
    trainer->iteration = (float)trainer->position.total;
    for (size_t i = 0; i < run->block->schedule_count; i++) {
        const gm_schedule *entry = &run->block->schedule[i];
        gm_step *step;
        if (entry->kind != GM_SCHEDULE_STEP)
            continue;
        step = gm_trainer_find_step(trainer, entry->name);
        if (!step)
            return gm_fail(trainer->context, GM_ERROR_MODEL, "the train block names '%s', which is no step",
                           entry->name);
        for (int64_t k = 0; k < entry->count; k++)
            GM_TRY(run_step(run, step, entry->count > 1));
    }
    trainer->position.iteration++;
    trainer->position.total++;
    run->rounds_done++;
    return GM_OK;
}

static int64_t epochs_before(const gm_run *run)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < run->trainer->position.block; i++)
        sum += run->trainer->program->trains[i].epochs;
    return sum;
}

/* --- Samples and checkpoints
 * --------------------------------------------------------------------------------------------------- */

/* Feeds a sample `on` a set with the set's first rows. */
static gm_status feed_sample(gm_plan *plan, const gm_entry *entry, void *user)
{
    gm_run *run = user;
    gm_context *context = run->trainer->context;
    gm_dataset *dataset;
    gm_tensor_view view;
    if (!entry->data)
        return GM_OK;
    GM_TRY(open_set(run, entry->data, &dataset));
    for (size_t f = 0; f < gm_dataset_field_count(dataset); f++) {
        const gm_dataset_field *field = gm_dataset_field_at(dataset, f);
        int64_t input = gm_plan_find_input(plan, field->name), count;
        void **buffers;
        int64_t *rows;
        if (input < 0)
            continue;
        gm_plan_input(plan, (size_t)input, &view);
        count = view.rank ? view.dims[0] : 1;
        if (count > gm_dataset_row_count(dataset))
            return gm_fail(context, GM_ERROR_DATA, "sample %s takes %lld rows, but data set '%s' has %lld", entry->name,
                           (long long)count, entry->data, (long long)gm_dataset_row_count(dataset));
        if (view.bytes != (size_t)count * field->row_bytes)
            return gm_fail(context, GM_ERROR_MODEL, "sample %s: input '%s' is not shaped as the field of data set '%s'",
                           entry->name, view.name, entry->data);
        rows = gm_alloc_array(context, (size_t)count, sizeof *rows);
        buffers = gm_alloc_array(context, gm_dataset_field_count(dataset), sizeof *buffers);
        if (rows && buffers) {
            for (int64_t i = 0; i < count; i++)
                rows[i] = i;
            buffers[f] = view.data;
            gm_dataset_gather(dataset, rows, (size_t)count, buffers);
        }
        gm_free(context, rows);
        gm_free(context, buffers);
        if (!rows || !buffers)
            return GM_ERROR_MEMORY;
    }
    return GM_OK;
}

static gm_status open_evaluation(gm_run *run, const gm_entry *entry, gm_evaluation **evaluation_out)
{
    gm_trainer *trainer = run->trainer;
    gm_evaluated what = {
        .model = trainer->model, .store = trainer->store, .batch = trainer->batch, .seed = trainer->seed};
    gm_evaluation_options options = {
        .struct_size = sizeof options, .limit = run->options->limit, .reference = trainer->reference};
    gm_dataset *dataset;
    if (entry->data) {
        GM_TRY(open_set(run, entry->data, &dataset));
        what.dataset = dataset;
    }
    return gm_evaluation_open(&what, entry, &options, evaluation_out);
}

static gm_status evaluate(gm_run *run, const gm_entry *entry)
{
    gm_trainer *trainer = run->trainer;
    gm_evaluation **evaluation = &run->evaluations[entry - trainer->program->entries];
    if (!*evaluation)
        GM_TRY(open_evaluation(run, entry, evaluation));
    GM_TRY(gm_evaluation_run(*evaluation));
    return gm_output_evaluation(run->output, trainer, entry->name, *evaluation,
                                epochs_before(run) + trainer->position.epoch);
}

static gm_status save_checkpoint(gm_run *run, const char *copy)
{
    double start = gm_now();
    if (!copy && run->last_checkpoint > 0 && memcmp(&run->saved, &run->trainer->position, sizeof run->saved) == 0)
        return GM_OK; /* nothing has changed since */
    GM_TRY(gm_output_checkpoint(run->output, copy));
    run->saved = run->trainer->position;
    run->last_checkpoint = gm_now();
    run->checkpoint_seconds = run->last_checkpoint - start;
    return GM_OK;
}

/* What the schedule wants after `epochs` epochs (of the block) or, when epoch_ended is false, after this round. */
static bool is_due(const gm_run *run, const gm_schedule *entry, bool epoch_ended)
{
    const gm_position *position = &run->trainer->position;
    if (entry->kind == GM_SCHEDULE_EVERY_ITERATIONS)
        return !epoch_ended && entry->count > 0 && position->total % entry->count == 0;
    if (!epoch_ended)
        return false;
    if (entry->kind == GM_SCHEDULE_EVERY_EPOCHS)
        return entry->count > 0 && position->epoch % entry->count == 0;
    for (size_t i = 0; entry->kind == GM_SCHEDULE_AT_EPOCHS && i < entry->epoch_count; i++)
        if (entry->epochs[i] == position->epoch)
            return true;
    return false;
}

static gm_status report_window(gm_run *run)
{
    gm_trainer *trainer = run->trainer;
    GM_TRY(gm_output_iterations(run->output, epochs_before(run) + trainer->position.epoch, gm_now() - run->start));
    for (size_t i = 0; i < trainer->report_count; i++)
        trainer->reports[i].window = (gm_report_mean){0};
    return GM_OK;
}

static gm_status run_due(gm_run *run, bool epoch_ended)
{
    const gm_position *position = &run->trainer->position;
    for (size_t i = 0; i < run->block->schedule_count; i++) {
        const gm_schedule *entry = &run->block->schedule[i];
        char label[64];
        if (!is_due(run, entry, epoch_ended))
            continue;
        if (epoch_ended)
            snprintf(label, sizeof label, "epoch-%04lld", (long long)position->epoch);
        else
            snprintf(label, sizeof label, "iteration-%07lld", (long long)position->total);
        if (entry->is_report) {
            GM_TRY(report_window(run));
        } else if (entry->is_checkpoint) {
            if (epoch_ended || !run->output)
                GM_TRY(save_checkpoint(run, label));
            else
                GM_TRY(save_checkpoint(run, NULL));
        } else {
            const gm_entry *evaluation = gm_program_entry(run->trainer->program, GM_ENTRY_EVALUATION, entry->name);
            if (evaluation)
                GM_TRY(evaluate(run, evaluation));
            else
                GM_TRY(gm_output_sample(run->output, entry->name, label, feed_sample, run));
        }
    }
    return GM_OK;
}

/* Before the first round: pictures of the untrained model, for each sample that the schedule names. */
static gm_status first_samples(gm_run *run)
{
    if (run->trainer->position.total || !run->output)
        return GM_OK;
    for (size_t i = 0; i < run->block->schedule_count; i++) {
        const gm_schedule *entry = &run->block->schedule[i];
        if (entry->kind != GM_SCHEDULE_STEP && gm_program_entry(run->trainer->program, GM_ENTRY_SAMPLE, entry->name))
            GM_TRY(gm_output_sample(run->output, entry->name, "epoch-0000", feed_sample, run));
    }
    return GM_OK;
}

/* --- Progress
 * ------------------------------------------------------------------------------------------------------------------ */

static int64_t total_epochs(const gm_run *run)
{
    const gm_program *program = run->trainer->program;
    int64_t sum = 0;
    if (program->train_count == 1)
        return run->block_epochs;
    for (size_t i = 0; i < program->train_count; i++)
        sum += program->trains[i].epochs;
    return sum;
}

#define RATE_WINDOW_SECONDS 5.0

/* Rounds per second: of the last full window, until then since the start. */
static double current_rate(gm_run *run)
{
    double time = gm_now(), since = time - run->window_start;
    if (since >= RATE_WINDOW_SECONDS) {
        run->rate = (double)(run->rounds_done - run->window_rounds) / since;
        run->window_start = time;
        run->window_rounds = run->rounds_done;
    }
    if (run->rate > 0)
        return run->rate;
    return since > 0 ? (double)run->rounds_done / since : 0;
}

static bool tell(gm_run *run, bool epoch_ended)
{
    gm_trainer *trainer = run->trainer;
    gm_progress progress = {0};
    if (!run->options->progress)
        return false;
    for (size_t i = 0; i < trainer->report_count; i++) {
        const gm_report_mean *mean = &trainer->reports[i].epoch;
        if (!mean->count) /* of a step that this block does not run */
            continue;
        run->report_names[progress.report_count] = trainer->reports[i].name;
        run->report_means[progress.report_count++] = mean->sum / (double)mean->count;
    }
    progress.epoch = epochs_before(run) + trainer->position.epoch;
    progress.epochs = total_epochs(run);
    progress.iteration = trainer->position.iteration;
    progress.iterations = run->epoch_rounds;
    progress.total_iterations = trainer->position.total;
    progress.seconds = gm_now() - run->start;
    progress.rounds_per_second = current_rate(run);
    progress.epoch_ended = epoch_ended;
    progress.report_names = run->report_names;
    progress.reports = run->report_means;
    return run->options->progress(&progress, run->options->user) != 0;
}

/* --- Epochs, blocks
 * ------------------------------------------------------------------------------------------------------------ */

/* The rolling checkpoint: after every epoch, but never more than a twentieth of the time. */
static gm_status rolling_checkpoint(gm_run *run)
{
    if (run->last_checkpoint > 0 && gm_now() - run->last_checkpoint < 20 * run->checkpoint_seconds)
        return GM_OK;
    return save_checkpoint(run, NULL);
}

static gm_status end_epoch(gm_run *run, bool *stop)
{
    gm_trainer *trainer = run->trainer;
    trainer->position.epoch++;
    trainer->position.iteration = 0;
    GM_TRY(gm_output_metrics(run->output, epochs_before(run) + trainer->position.epoch, gm_now() - run->start));
    *stop = tell(run, true) || *stop;
    for (size_t i = 0; i < trainer->report_count; i++)
        trainer->reports[i].epoch = (gm_report_mean){0};
    GM_TRY(run_due(run, true));
    GM_TRY(gm_output_curves(run->output, false));
    return rolling_checkpoint(run);
}

static gm_status run_block(gm_run *run, bool *stop, bool *interrupted)
{
    gm_trainer *trainer = run->trainer;
    GM_TRY(open_block(run));
    if (trainer->position.iteration >= run->epoch_rounds)
        return gm_fail(
            trainer->context, GM_ERROR_MODEL,
            "the checkpoint stands at iteration %lld of an epoch, but epochs have only %lld now (other data, batch "
            "or limit?)",
            (long long)trainer->position.iteration, (long long)run->epoch_rounds);
    GM_TRY(seek(run));
    for (size_t i = 0; i < run->block->schedule_count; i++) {
        gm_step *step = run->block->schedule[i].kind == GM_SCHEDULE_STEP
                            ? gm_trainer_find_step(trainer, run->block->schedule[i].name)
                            : NULL;
        if (step)
            GM_TRY(gm_trainer_plan_step(trainer, step, NULL, 0));
    }
    GM_TRY(first_samples(run));
    run->window_start = gm_now();
    run->window_rounds = run->rounds_done;
    while (trainer->position.epoch < run->block_epochs && !*stop) {
        GM_TRY(run_round(run));
        if (tell(run, false))
            *stop = *interrupted = true;
        GM_TRY(run_due(run, false));
        if (trainer->position.iteration == run->epoch_rounds) {
            bool asked = false;
            GM_TRY(end_epoch(run, &asked));
            if (asked)
                *stop = *interrupted = true;
            if (!run->block->iterations && trainer->position.epoch < run->block_epochs)
                GM_TRY(seek(run)); /* past what an incomplete round would have taken */
        }
        if (run->options->steps > 0 && run->rounds_done >= run->options->steps)
            *stop = true;
    }
    return GM_OK;
}

static gm_status run_all(gm_run *run)
{
    gm_trainer *trainer = run->trainer;
    const gm_program *program = trainer->program;
    bool stop = false, interrupted = false;
    if (!program->train_count)
        return gm_fail(trainer->context, GM_ERROR_MODEL, "the model has no `train` declaration");
    if (trainer->position.block >= (int64_t)program->train_count)
        trainer->position.block = (int64_t)program->train_count - 1;
    while (!stop) {
        int64_t before;
        run->block = &program->trains[trainer->position.block];
        before = epochs_before(run);
        run->block_epochs = run->block->epochs;
        if (run->options->epochs > 0 && program->train_count == 1)
            run->block_epochs = run->options->epochs;
        else if (run->options->epochs > 0 && run->options->epochs - before < run->block_epochs)
            run->block_epochs = run->options->epochs - before > 0 ? run->options->epochs - before : 0;
        GM_TRY(run_block(run, &stop, &interrupted));
        if (stop || trainer->position.block + 1 >= (int64_t)program->train_count ||
            (run->options->epochs > 0 && before + trainer->position.epoch >= run->options->epochs))
            break;
        trainer->position = (gm_position){trainer->position.block + 1, 0, 0, trainer->position.total};
    }
    if (run->rounds_done) {
        GM_TRY(save_checkpoint(run, NULL));
        GM_TRY(gm_output_curves(run->output, true));
    }
    GM_TRY(gm_output_finish(run->output));
    GM_TRY(gm_trace_finish(run->trace));
    if (interrupted)
        return gm_fail(trainer->context, GM_ERROR_INTERRUPTED, "stopped after iteration %lld of epoch %lld",
                       (long long)trainer->position.iteration, (long long)trainer->position.epoch + 1);
    return GM_OK;
}

gm_status gm_trainer_run(gm_trainer *trainer, const gm_run_options *options)
{
    gm_run_options own = {.struct_size = sizeof own};
    gm_run run = {.trainer = trainer, .options = &own};
    gm_status status;
    if (!trainer)
        return GM_ERROR_ARGUMENT;
    gm_clear_message(trainer->context);
    GM_TRY(gm_options_take(trainer->context, "gm_run_options", options,
                           offsetof(gm_run_options, user) + sizeof own.user, &own, sizeof own));
    run.start = gm_now();
    run.opened = gm_pool_array(trainer->pool, trainer->program->data_count + 1, sizeof *run.opened);
    run.report_means = gm_pool_array(trainer->pool, trainer->report_count + 1, sizeof *run.report_means);
    run.report_names = gm_pool_array(trainer->pool, trainer->report_count + 1, sizeof *run.report_names);
    run.evaluations = gm_pool_array(trainer->pool, trainer->program->entry_count + 1, sizeof(gm_evaluation *));
    if (!run.opened || !run.report_means || !run.report_names || !run.evaluations)
        return GM_ERROR_MEMORY;
    if (own.trace_directory)
        trainer->keep_gradients = trainer->expose_draws = true;
    status = gm_output_create(trainer, own.out_directory, &run.output);
    if (status == GM_OK && own.trace_directory)
        status = gm_trace_create(trainer, own.trace_directory, &run.trace);
    if (status == GM_OK)
        status = run_all(&run);
    for (size_t i = 0; i < trainer->program->entry_count; i++)
        gm_evaluation_destroy(run.evaluations[i]);
    gm_trace_destroy(run.trace);
    gm_output_destroy(run.output);
    gm_batcher_destroy(run.batcher);
    for (size_t i = 0; i < run.opened_count; i++)
        gm_dataset_close(run.opened[i].dataset);
    return status;
}
