/* gmrun eval: runs the `evaluate` declarations of a model or checkpoint and prints what they find. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/gmrun.h"

enum { DATA = 256, SET, SAMPLES, LIMIT, BATCH, SEED, THREADS, MATH };

static const option_line options[] = {
    {"data", DATA, "DIR", DATA_HELP},
    {"set", SET, "NAME=VALUE", SET_HELP},
    {"samples", SAMPLES, "N", "so many draws instead of the file's `over n draws`"},
    {"limit", LIMIT, "EXAMPLES", "only the first examples of each data set"},
    {"batch", BATCH, "N", "examples at a time, which changes no number (default: the file's batch)"},
    {"seed", SEED, "S", "other random draws"},
    {"threads", THREADS, "T", THREADS_HELP},
    {"math", MATH, "HOW", MATH_HELP},
    {0},
};

typedef struct eval_request {
    const char *file, **names, **settings;
    gm_model_options model;
    gm_evaluation_options evaluation;
    compute_request how;
} eval_request;

enum { WIDEST_ROW = 12, MOST_ROWS = 40 };

/* --- Printing --- */

static void print_number(const gm_evaluation *evaluation, size_t index, const gm_tensor_view *view, size_t at)
{
    const char *label = NULL;
    if (view->type == GM_INT64 || view->type == GM_INT32) {
        int64_t number = view->type == GM_INT64 ? ((const int64_t *)view->data)[at] : ((const int32_t *)view->data)[at];
        label = gm_evaluation_label(evaluation, index, number);
        if (label)
            printf(" %-14s", label);
        else
            printf(" %lld", (long long)number);
    } else if (view->type == GM_FLOAT) {
        float number = ((const float *)view->data)[at];
        printf(" %.6g", isnan(number) ? (double)NAN : (double)number); /* never -nan */
    } else if (view->type == GM_DOUBLE) {
        double number = ((const double *)view->data)[at];
        printf(" %.9g", isnan(number) ? (double)NAN : number);
    } else if (view->type == GM_BOOL) {
        printf(" %s", ((const unsigned char *)view->data)[at] ? "true" : "false");
    } else {
        printf(" ?");
    }
}

/* A scalar beside its name, a vector in one line, anything else a row for each of its last axis. */
static void print_figure(const gm_evaluation *evaluation, size_t index, const gm_tensor_view *view)
{
    size_t count = element_count(view);
    size_t width = view->rank ? (size_t)view->dims[view->rank - 1] : 1;
    size_t rows = width ? count / width : 0;
    printf("  %-18s", view->name);
    if (rows > 1)
        printf("\n");
    for (size_t row = 0; row < rows && row < MOST_ROWS; row++) {
        if (rows > 1)
            printf("   ");
        for (size_t k = 0; k < width && k < WIDEST_ROW; k++)
            print_number(evaluation, index, view, row * width + k);
        printf(width > WIDEST_ROW ? " ... (%zu in all)\n" : "\n", width);
    }
    if (rows > MOST_ROWS)
        printf("    ... (%zu rows in all)\n", rows);
}

static gm_status print_evaluation(const char *name, const gm_evaluation *evaluation)
{
    if (gm_evaluation_examples(evaluation))
        printf("%s (%lld examples)\n", name, (long long)gm_evaluation_examples(evaluation));
    else
        printf("%s\n", name);
    for (size_t i = 0; i < gm_evaluation_count(evaluation); i++) {
        gm_tensor_view view;
        gm_status status = gm_evaluation_value(evaluation, i, &view);
        if (status != GM_OK)
            return status;
        print_figure(evaluation, i, &view);
    }
    fflush(stdout);
    return GM_OK;
}

/* --- Running --- */

static gm_status evaluate(const gm_model *model, const eval_request *request, const char *name)
{
    gm_evaluation *evaluation = NULL;
    gm_status status = gm_evaluation_create(model, name, &request->evaluation, &evaluation);
    if (status == GM_OK)
        status = gm_evaluation_run(evaluation);
    if (status == GM_OK)
        status = print_evaluation(name, evaluation);
    gm_evaluation_destroy(evaluation);
    return status;
}

static int evaluate_all(const eval_request *request)
{
    int result = EXIT_FAILED;
    gm_context *context = open_context(&request->how, &result);
    gm_model *model = context ? open_model(context, request->file, &request->model, &result) : NULL;
    if (model) {
        gm_status status = GM_OK;
        size_t count = gm_model_part_count(model, GM_PART_EVALUATION);
        if (!count) {
            error_line("%s has no `evaluate`", request->file);
            status = GM_ERROR_ARGUMENT;
        }
        for (const char **name = request->names; *name && status == GM_OK; name++)
            status = evaluate(model, request, *name);
        for (size_t i = 0; !*request->names && i < count && status == GM_OK; i++)
            status = evaluate(model, request, gm_model_part_name(model, GM_PART_EVALUATION, i));
        result = status == GM_OK ? EXIT_DONE : !count ? EXIT_USAGE : report_failure(context, status);
    }
    gm_model_destroy(model);
    gm_context_destroy(context);
    return result;
}

static bool take_option(const command *self, int letter, const char *value, eval_request *request)
{
    switch (letter) {
    case DATA:
        request->model.data_directory = value;
        return true;
    case SET:
        request->settings[request->model.setting_count++] = value;
        return true;
    case SAMPLES:
        return read_number("--samples", value, 1, &request->evaluation.draws);
    case LIMIT:
        return read_number("--limit", value, 1, &request->evaluation.limit);
    case BATCH:
        return read_number("--batch", value, 1, &request->evaluation.batch);
    case SEED:
        request->evaluation.has_seed = 1;
        return read_seed(value, &request->evaluation.seed);
    case THREADS:
        return read_threads(value, &request->how);
    default:
        return read_math(self, value, &request->how.direct);
    }
}

static int evaluate_words(const command *self, int argc, char **argv, eval_request *request)
{
    const char *value;
    int letter;
    while ((letter = next_option(self, argc, argv, &value)) != OPTION_END) {
        if (letter == OPTION_HELP)
            return EXIT_DONE;
        if (letter == OPTION_ERROR || !take_option(self, letter, value, request))
            return EXIT_USAGE;
    }
    if (!take_words(self, argc, argv, 1, argc, request->names))
        return EXIT_USAGE;
    request->file = *request->names++;
    request->model.settings = request->settings;
    return evaluate_all(request);
}

static int run(const command *self, int argc, char **argv)
{
    eval_request request = {.names = calloc((size_t)argc + 1, sizeof *request.names),
                            .settings = calloc((size_t)argc + 1, sizeof *request.settings)};
    const char **names = request.names;
    int result = EXIT_FAILED;
    gm_model_options_default(&request.model, sizeof request.model);
    gm_evaluation_options_default(&request.evaluation, sizeof request.evaluation);
    if (request.names && request.settings)
        result = evaluate_words(self, argc, argv, &request);
    else
        error_line("out of memory");
    free(names);
    free(request.settings);
    return result;
}

const command command_eval = {
    "eval",
    "FILE [NAME]... [--data DIR] [--set NAME=VALUE]... [--samples N] [--limit EXAMPLES]\n"
    "                  [--batch N] [--seed S] [--threads T] [--math HOW]",
    "Runs the evaluations of a model or checkpoint and prints what they find.",
    options,
    run,
};
