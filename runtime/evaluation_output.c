/* What an evaluation of the schedule leaves: a line of news, and a row of OUT/<its name>.csv. */
#include "runtime/csv.h"
#include "runtime/evaluation.h"
#include "runtime/trainer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define WIDEST 64 /* elements of a figure that get columns of their own; larger ones are for gmrun eval */

static int64_t count_of(const gm_tensor_view *view)
{
    int64_t count = 1;
    for (int i = 0; i < view->rank; i++)
        count *= view->dims[i];
    return count;
}

/* A NaN has no sign here: which one it has depends on processor and compiler, and would be printed. */
static double number_at(const gm_tensor_view *view, int64_t index)
{
    gm_tensor tensor = {view->type, view->rank, {0}, view->data};
    double number;
    memcpy(tensor.dims, view->dims, sizeof tensor.dims);
    number = gm_get(&tensor, index);
    return isnan(number) ? (double)NAN : number;
}

/* Calls `add` for each number with its column: "accuracy", "histogram[3]". */
static void each_number(const gm_evaluation *evaluation, gm_text *text,
                        void (*add)(gm_text *text, const char *column, double value))
{
    for (size_t i = 0; i < gm_evaluation_count(evaluation); i++) {
        gm_tensor_view view;
        char column[256];
        if (gm_evaluation_value(evaluation, i, &view) != GM_OK || count_of(&view) > WIDEST)
            continue;
        for (int64_t k = 0; k < count_of(&view); k++) {
            if (view.rank)
                snprintf(column, sizeof column, "%s[%lld]", view.name, (long long)k);
            else
                snprintf(column, sizeof column, "%s", view.name);
            add(text, column, number_at(&view, k));
        }
    }
}

static void add_column(gm_text *text, const char *column, double value)
{
    gm_text_add(text, ",%s", column);
}

static void add_value(gm_text *text, const char *column, double value)
{
    gm_text_add(text, ",%.9g", value);
}

static void add_news(gm_text *text, const char *column, double value)
{
    if (!strchr(column, '['))
        gm_text_add(text, "%s %s %.6g", text->length ? "," : "", column, value);
}

static gm_status write_row(const gm_evaluation *evaluation, const gm_trainer *trainer, int64_t epoch, const char *path)
{
    gm_context *context = trainer->context;
    gm_csv *csv = NULL;
    gm_text header, row;
    gm_status status = GM_ERROR_MEMORY;
    gm_text_init(&header, context);
    gm_text_init(&row, context);
    gm_text_add(&header, "epoch,iteration");
    each_number(evaluation, &header, add_column);
    gm_text_add(&row, "%lld,%lld", (long long)epoch, (long long)trainer->position.total);
    each_number(evaluation, &row, add_value);
    gm_text_add(&row, "\n");
    if (!header.failed && !row.failed)
        status = gm_csv_open(context, path, header.data, 1, trainer->position.total - 1, &csv);
    if (status == GM_OK)
        status = gm_csv_add(csv, row.data);
    gm_csv_close(csv);
    gm_text_destroy(&header);
    gm_text_destroy(&row);
    return status;
}

gm_status gm_output_evaluation(gm_output *output, gm_trainer *trainer, const char *name,
                               const gm_evaluation *evaluation, int64_t epoch)
{
    const char *directory = gm_output_directory(output);
    gm_text news;
    char path[1200];
    gm_text_init(&news, trainer->context);
    each_number(evaluation, &news, add_news);
    if (news.length && trainer->position.iteration)
        gm_log(trainer->context, "iteration %lld, %s:%s", (long long)trainer->position.total, name, news.data);
    else if (news.length)
        gm_log(trainer->context, "epoch %lld, %s:%s", (long long)epoch, name, news.data);
    gm_text_destroy(&news);
    if (!directory)
        return GM_OK;
    snprintf(path, sizeof path, "%s/%s.csv", directory, name);
    return write_row(evaluation, trainer, epoch, path);
}
