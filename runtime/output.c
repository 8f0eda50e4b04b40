/* Files of a training run: metrics.csv, iterations.csv, curves.png, samples/, checkpoints. */
#include "runtime/csv.h"
#include "runtime/file.h"
#include "runtime/plot.h"
#include "runtime/png.h"
#include "runtime/trainer.h"
#include "runtime/writer.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LEAST_WIDTH 400 /* of a sample picture, in pixels: smaller grids are enlarged */

typedef struct gm_planned_sample {
    const gm_entry *entry;
    gm_plan *plan;
} gm_planned_sample;

struct gm_output {
    gm_trainer *trainer;
    gm_pool *pool;
    const char *directory;
    gm_csv *metrics, *iterations; /* iterations: NULL where no schedule asks for it */
    gm_planned_sample *samples;
    size_t sample_count, write_count; /* writes of all samples together */
    gm_writer *writer;                /* of samples and curves */
    double last_curves;               /* when they were handed to it */
    atomic_llong curves_nanoseconds;  /* that they took; -1: not written yet */
    bool fresh;                       /* this training began anew, and has not been saved yet */
};

const char *gm_output_directory(const gm_output *output)
{
    return output ? output->directory : NULL;
}

/* --- metrics.csv, iterations.csv
 * -------------------------------------------------------------------------------------------------------------- */

static int64_t completed_epochs(const gm_trainer *trainer)
{
    int64_t sum = trainer->position.epoch;
    for (int64_t i = 0; i < trainer->position.block; i++)
        sum += trainer->program->trains[i].epochs;
    return sum;
}

/* A table of the reports. column and last: which rows of an older one stay, see gm_csv_open. */
static gm_status open_table(gm_output *output, const char *name, int column, int64_t last, gm_csv **csv_out)
{
    const gm_trainer *trainer = output->trainer;
    char *path = gm_pool_printf(output->pool, "%s/%s", output->directory, name);
    gm_text header;
    gm_status status;
    if (!path)
        return GM_ERROR_MEMORY;
    gm_text_init(&header, trainer->context);
    gm_text_add(&header, "epoch,iteration");
    for (size_t i = 0; i < trainer->report_count; i++)
        gm_text_add(&header, ",%s", trainer->reports[i].name);
    gm_text_add(&header, ",seconds");
    status = header.failed ? GM_ERROR_MEMORY : gm_csv_open(trainer->context, path, header.data, column, last, csv_out);
    gm_text_destroy(&header);
    return status;
}

static gm_status open_tables(gm_output *output)
{
    const gm_trainer *trainer = output->trainer;
    bool often = false;
    for (size_t t = 0; t < trainer->program->train_count; t++)
        for (size_t i = 0; i < trainer->program->trains[t].schedule_count; i++)
            often = often || trainer->program->trains[t].schedule[i].is_report;
    GM_TRY(open_table(output, "metrics.csv", 0, output->fresh ? -1 : completed_epochs(trainer), &output->metrics));
    return often ? open_table(output, "iterations.csv", 1, output->fresh ? -1 : trainer->position.total,
                              &output->iterations)
                 : GM_OK;
}

/* A row of the means over the epoch, or over the window since the last row of iterations.csv. */
static gm_status add_row(const gm_output *output, gm_csv *csv, int64_t epoch, bool window, double seconds)
{
    const gm_trainer *trainer = output->trainer;
    gm_text row;
    gm_status status;
    gm_text_init(&row, trainer->context);
    gm_text_add(&row, "%lld,%lld", (long long)epoch, (long long)trainer->position.total);
    for (size_t i = 0; i < trainer->report_count; i++) {
        const gm_report_mean *mean = window ? &trainer->reports[i].window : &trainer->reports[i].epoch;
        if (mean->count)
            gm_text_add(&row, ",%.9g", mean->sum / (double)mean->count);
        else
            gm_text_add(&row, ",");
    }
    gm_text_add(&row, ",%.3f\n", seconds);
    status = row.failed ? GM_ERROR_MEMORY : gm_csv_add(csv, row.data);
    gm_text_destroy(&row);
    return status;
}

gm_status gm_output_metrics(gm_output *output, int64_t epoch, double seconds)
{
    return output ? add_row(output, output->metrics, epoch, false, seconds) : GM_OK;
}

gm_status gm_output_iterations(gm_output *output, int64_t epoch, double seconds)
{
    return output && output->iterations ? add_row(output, output->iterations, epoch, true, seconds) : GM_OK;
}

/* --- curves.png --- */

typedef struct curves {
    gm_output *output;
    const char *path;
    gm_plot plot;
} curves;

static gm_status write_curves(gm_context *context, const void *what)
{
    const curves *file = what;
    double start = gm_now();
    gm_status status = gm_plot_lines(context, file->path, &file->plot);
    atomic_store(&file->output->curves_nanoseconds, (long long)((gm_now() - start) * 1e9));
    return status;
}

/* Lines of the reports over the iterations of a table. */
static gm_status plot_table(gm_output *output, gm_pool *pool, const char *name, curves **curves_out)
{
    size_t count = output->trainer->report_count;
    char *table_path = gm_pool_printf(pool, "%s/%s", output->directory, name);
    char *path = gm_pool_printf(pool, "%s/curves.png", output->directory);
    gm_plot_line *lines = gm_pool_array(pool, count + 1, sizeof *lines);
    curves *file = gm_pool_alloc(pool, sizeof *file);
    gm_csv_table table;
    if (!table_path || !path || !lines || !file)
        return GM_ERROR_MEMORY;
    GM_TRY(gm_csv_read(pool, table_path, &table));
    if (table.rows < 2 || table.columns != count + 3)
        return GM_OK;
    for (size_t i = 0; i < count; i++)
        lines[i] = (gm_plot_line){table.names[i + 2], table.values + i + 2, table.columns};
    bool often = output->iterations != NULL;
    file->output = output;
    file->path = path;
    file->plot = (gm_plot){
        often ? "iteration" : "epoch", table.values + (often ? 1 : 0), table.columns, table.rows, lines, count};
    *curves_out = file;
    return GM_OK;
}

static bool curves_are_due(const gm_output *output)
{
    long long taken = atomic_load(&output->curves_nanoseconds);
    return taken >= 0 && gm_now() - output->last_curves >= 50e-9 * (double)taken;
}

/* Nothing while the table has fewer than two rows. */
gm_status gm_output_curves(gm_output *output, bool last)
{
    gm_pool *pool;
    curves *file = NULL;
    gm_status status;
    if (!output || !output->trainer->report_count || (!last && !curves_are_due(output)))
        return GM_OK;
    pool = gm_pool_create(output->trainer->context);
    status =
        pool ? plot_table(output, pool, output->iterations ? "iterations.csv" : "metrics.csv", &file) : GM_ERROR_MEMORY;
    if (status != GM_OK || !file) {
        gm_pool_destroy(pool);
        return status;
    }
    output->last_curves = gm_now();
    atomic_store(&output->curves_nanoseconds, -1);
    return gm_writer_add(output->writer, pool, write_curves, file);
}

/* --- Samples
 * -------------------------------------------------------------------------------------------------------------------
 */

static gm_status plan_sample(gm_output *output, const char *name, gm_planned_sample **sample_out)
{
    gm_trainer *trainer = output->trainer;
    gm_plan_options options = {.batch = 1, .reference = trainer->reference};
    gm_planned_sample *sample;
    for (size_t i = 0; i < output->sample_count; i++)
        if (strcmp(output->samples[i].entry->name, name) == 0) {
            *sample_out = &output->samples[i];
            return GM_OK;
        }
    sample = &output->samples[output->sample_count];
    sample->entry = gm_program_entry(trainer->program, GM_ENTRY_SAMPLE, name);
    if (!sample->entry)
        return gm_fail(trainer->context, GM_ERROR_MODEL, "the train block names '%s', which is no sample", name);
    GM_TRY(gm_plan_create(trainer->context, sample->entry->graph, trainer->store, &options, &sample->plan));
    output->sample_count++;
    *sample_out = sample;
    return GM_OK;
}

static bool is_picture(const gm_tensor_view *view)
{
    return view->type == GM_FLOAT && view->rank == 4 && (view->dims[1] == 1 || view->dims[1] == 3);
}

static bool is_scatter(const gm_tensor_view *view)
{
    return view->type == GM_FLOAT && view->rank == 2 && view->dims[1] == 2;
}

/* An array on its way to a file. */
typedef struct array_file {
    const char *path;
    gm_tensor_view view;
    double low, high; /* the range of a picture's values, or of what a scatter plot shows */
} array_file;

static gm_status write_grid(gm_context *context, const void *what)
{
    const array_file *file = what;
    return gm_write_png_grid(context, file->path, &file->view, file->low, file->high, 0, LEAST_WIDTH);
}

static gm_status write_scatter(gm_context *context, const void *what)
{
    const array_file *file = what;
    return gm_write_scatter(context, file->path, &file->view, file->low, file->high);
}

static gm_status write_npy(gm_context *context, const void *what)
{
    const array_file *file = what;
    return gm_write_npy(context, file->path, &file->view);
}

/* Rows of numbers, the last axis along a line. */
static gm_status write_table(gm_context *context, const void *what)
{
    const array_file *file = what;
    const gm_tensor_view *view = &file->view;
    gm_tensor tensor = {view->type, view->rank, {0}, view->data};
    int64_t width = view->rank ? view->dims[view->rank - 1] : 1, count;
    gm_text text;
    gm_status status;
    memcpy(tensor.dims, view->dims, sizeof tensor.dims);
    count = gm_tensor_count(&tensor);
    gm_text_init(&text, context);
    for (int64_t i = 0; i < count; i++)
        gm_text_add(&text, "%.9g%c", gm_get(&tensor, i), (i + 1) % width == 0 ? '\n' : ' ');
    status =
        text.failed ? GM_ERROR_MEMORY : gm_file_replace(context, file->path, text.data ? text.data : "", text.length);
    gm_text_destroy(&text);
    return status;
}

static const struct {
    const char *extension;
    gm_write_file write;
} formats[] = {
    [GM_WRITE_PNG] = {"png", write_grid},
    [GM_WRITE_SCATTER] = {"png", write_scatter},
    [GM_WRITE_NPY] = {"npy", write_npy},
    [GM_WRITE_TEXT] = {"txt", write_table},
};

/* "" where the file writes one thing, else "-picture", or "-grid-picture" where several samples write a picture. */
static void name_suffix(const gm_output *output, const gm_entry *sample, const gm_write *write, char *suffix,
                        size_t bytes)
{
    const gm_program *program = output->trainer->program;
    size_t same = 0;
    suffix[0] = '\0';
    if (output->write_count < 2)
        return;
    for (size_t i = 0; i < program->entry_count; i++)
        for (size_t k = 0; k < program->entries[i].write_count; k++)
            same += strcmp(program->entries[i].writes[k].name, write->name) == 0;
    if (same > 1)
        snprintf(suffix, bytes, "-%s-%s", sample->name, write->name);
    else
        snprintf(suffix, bytes, "-%s", write->name);
}

/* What scatter plots show: the declared range of a field of points, so that pictures of a run can be laid side by side; else
 * each picture has its own. */
static void points_range(const gm_program *program, double *low_out, double *high_out)
{
    *low_out = *high_out = 0;
    for (size_t i = 0; i < program->data_count; i++)
        for (size_t k = 0; k < program->data[i].field_count; k++) {
            const gm_data_field *field = &program->data[i].fields[k];
            if (field->has_range && field->rank == 1 && field->dims[0] == 2) {
                *low_out = field->low;
                *high_out = field->high;
                return;
            }
        }
}

static gm_status write_one(gm_output *output, const gm_entry *sample, const gm_write *write, const gm_tensor_view *view,
                           const char *label)
{
    const gm_program *program = output->trainer->program;
    gm_pool *pool = gm_pool_create(output->trainer->context);
    array_file *file = pool ? gm_pool_alloc(pool, sizeof *file) : NULL;
    gm_write_format format = write->format;
    char suffix[200];
    if (format == GM_WRITE_BY_SHAPE)
        format = is_picture(view) ? GM_WRITE_PNG : is_scatter(view) ? GM_WRITE_SCATTER : GM_WRITE_NPY;
    name_suffix(output, sample, write, suffix, sizeof suffix);
    if (file) {
        file->path =
            gm_pool_printf(pool, "%s/samples/%s%s.%s", output->directory, label, suffix, formats[format].extension);
        file->view = *view;
        file->view.name = NULL; /* the plan's, like the data */
        file->view.data = gm_pool_copy(pool, view->data, view->bytes);
        if (format == GM_WRITE_SCATTER)
            points_range(program, &file->low, &file->high);
        else
            gm_program_picture_range(program, &file->low, &file->high);
    }
    if (!file || !file->path || !file->view.data) {
        gm_pool_destroy(pool);
        return GM_ERROR_MEMORY;
    }
    return gm_writer_add(output->writer, pool, formats[format].write, file);
}

gm_status gm_output_sample(gm_output *output, const char *name, const char *label,
                           gm_status (*feed)(gm_plan *plan, const gm_entry *entry, void *user), void *user)
{
    gm_planned_sample *sample = NULL;
    if (!output)
        return GM_OK;
    GM_TRY(plan_sample(output, name, &sample));
    GM_TRY(feed(sample->plan, sample->entry, user));
    GM_TRY(gm_plan_run(sample->plan, output->trainer->seed, (uint64_t)output->trainer->position.total, false));
    for (size_t i = 0; i < sample->entry->write_count; i++) {
        gm_tensor_view view;
        gm_plan_output(sample->plan, i, &view);
        GM_TRY(write_one(output, sample->entry, &sample->entry->writes[i], &view, label));
    }
    return GM_OK;
}

gm_status gm_output_finish(gm_output *output)
{
    return output ? gm_writer_finish(output->writer) : GM_OK;
}

/* --- Checkpoints, life
 * ----------------------------------------------------------------------------------------------------------- */

/* A training that begins anew where another one has saved: that one's checkpoint gets a second name before it is
 * replaced. A file system without hard links just replaces it. */
static void keep_old_checkpoint(gm_output *output, const char *path)
{
    char old[1200];
    output->fresh = false;
    if (access(path, F_OK) != 0)
        return;
    snprintf(old, sizeof old, "%s/checkpoint-old.gmodel", output->directory);
    if ((unlink(old) == 0 || errno == ENOENT) && link(path, old) == 0)
        gm_log(output->trainer->context, "%s was there from another training: it is kept as %s", path, old);
}

gm_status gm_output_checkpoint(gm_output *output, const char *copy)
{
    char path[1200];
    if (!output)
        return GM_OK;
    if (copy) {
        snprintf(path, sizeof path, "%s/checkpoint-%s.gmodel", output->directory, copy);
        GM_TRY(gm_trainer_save(output->trainer, path));
    }
    snprintf(path, sizeof path, "%s/checkpoint.gmodel", output->directory);
    if (output->fresh)
        keep_old_checkpoint(output, path);
    return gm_trainer_save(output->trainer, path);
}

static void remove_file(const gm_output *output, const char *name)
{
    char path[1200];
    if (snprintf(path, sizeof path, "%s/%s", output->directory, name) < (int)sizeof path)
        unlink(path);
}

/* Curves and tables of an older training in this folder, which this one may not write itself or adds rows to: they would
 * pass for its own. */
static void remove_old_tables(const gm_output *output)
{
    const gm_program *program = output->trainer->program;
    char name[256];
    remove_file(output, "curves.png");
    remove_file(output, "iterations.csv");
    for (size_t i = 0; i < program->entry_count; i++)
        if (program->entries[i].kind == GM_ENTRY_EVALUATION &&
            snprintf(name, sizeof name, "%s.csv", program->entries[i].name) < (int)sizeof name)
            remove_file(output, name);
}

static gm_status create(gm_output *output, const char *directory)
{
    gm_context *context = output->trainer->context;
    const gm_program *program = output->trainer->program;
    char *samples = gm_pool_printf(output->pool, "%s/samples", directory);
    bool any_sample = false;
    output->directory = gm_pool_string(output->pool, directory);
    output->samples = gm_pool_array(output->pool, program->entry_count + 1, sizeof *output->samples);
    if (!samples || !output->directory || !output->samples)
        return GM_ERROR_MEMORY;
    if (strlen(directory) > 900)
        return gm_fail(context, GM_ERROR_ARGUMENT, "the name of the output folder is too long");
    for (size_t i = 0; i < program->entry_count; i++) {
        output->write_count += program->entries[i].write_count;
        any_sample = any_sample || program->entries[i].kind == GM_ENTRY_SAMPLE;
    }
    GM_TRY(gm_make_directories(context, any_sample ? samples : directory));
    gm_file_remove_stale(directory);
    gm_file_remove_stale(samples);
    if (output->fresh)
        remove_old_tables(output);
    GM_TRY(gm_writer_create(context, &output->writer));
    return open_tables(output);
}

gm_status gm_output_create(gm_trainer *trainer, const char *directory, gm_output **output_out)
{
    gm_pool *pool;
    gm_output *output;
    gm_status status;
    if (!directory)
        return GM_OK;
    pool = gm_pool_create(trainer->context);
    output = pool ? gm_pool_alloc(pool, sizeof *output) : NULL;
    if (!output) {
        gm_pool_destroy(pool);
        return GM_ERROR_MEMORY;
    }
    output->trainer = trainer;
    output->pool = pool;
    output->fresh = trainer->position.total == 0;
    status = create(output, directory);
    if (status != GM_OK) {
        gm_output_destroy(output);
        return status;
    }
    *output_out = output;
    return GM_OK;
}

void gm_output_destroy(gm_output *output)
{
    if (!output)
        return;
    gm_writer_destroy(output->writer);
    gm_csv_close(output->metrics);
    gm_csv_close(output->iterations);
    for (size_t i = 0; i < output->sample_count; i++)
        gm_plan_destroy(output->samples[i].plan);
    gm_pool_destroy(output->pool);
}
