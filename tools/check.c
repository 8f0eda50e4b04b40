/* gmrun check: whether a model file is right: syntax, names, shapes, gradients of every step. */
#include <stdio.h>
#include <stdlib.h>

#include "tools/gmrun.h"

enum { SET = 256, DATA };

static const option_line options[] = {
    {"set", SET, "NAME=VALUE", SET_HELP},
    {"data", DATA, "DIR", DATA_HELP},
    {0},
};

static void say_nothing(const char *text, void *user)
{
    (void)text;
    (void)user;
}

/* Compiles every network, step and sample, for shapes and gradients that loading did not have to look at. */
static gm_status compile_all(const gm_model *model)
{
    static const gm_part parts[] = {GM_PART_NETWORK, GM_PART_STEP, GM_PART_SAMPLE, GM_PART_EVALUATION};
    for (size_t kind = 0; kind < sizeof parts / sizeof parts[0]; kind++)
        for (size_t i = 0; i < gm_model_part_count(model, parts[kind]); i++) {
            const char *name = gm_model_part_name(model, parts[kind], i);
            gm_status status = gm_model_describe(model, "graph", name, 0, say_nothing, NULL);
            if (status != GM_OK)
                return status;
        }
    return GM_OK;
}

static int64_t trained_elements(const gm_model *model)
{
    int64_t sum = 0;
    for (size_t i = 0; i < gm_model_parameter_count(model); i++) {
        gm_parameter_info info;
        int64_t count = 1;
        if (gm_model_parameter_info(model, i, &info) != GM_OK || info.is_buffer)
            continue;
        for (int d = 0; d < info.rank; d++)
            count *= info.dims[d];
        sum += count;
    }
    return sum;
}

/* "chase.gmodel: good: 2 networks, 1 step, 2 trained numbers": what there is none of is left out. */
static void print_good(const char *file, const gm_model *model)
{
    static const struct {
        gm_part part;
        const char *title;
    } parts[] = {
        {GM_PART_NETWORK, "network"},
        {GM_PART_STEP, "step"},
        {GM_PART_SAMPLE, "sample"},
        {GM_PART_EVALUATION, "evaluation"},
    };
    int64_t trained = trained_elements(model);
    printf("%s: good: ", file);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        size_t count = gm_model_part_count(model, parts[i].part);
        if (count)
            printf("%zu %s%s, ", count, parts[i].title, count == 1 ? "" : "s");
    }
    printf("%lld trained number%s\n", (long long)trained, trained == 1 ? "" : "s");
}

static int check(const char *file, const gm_model_options *settings)
{
    int result = EXIT_FAILED;
    gm_context *context = open_context(NULL, &result);
    gm_model *model = context ? open_model(context, file, settings, &result) : NULL;
    if (model) {
        gm_status status = compile_all(model);
        result = status == GM_OK ? EXIT_DONE : report_failure(context, status);
        if (status == GM_OK)
            print_good(file, model);
    }
    gm_model_destroy(model);
    gm_context_destroy(context);
    return result;
}

static int run(const command *self, int argc, char **argv)
{
    const char **settings = calloc((size_t)argc + 1, sizeof *settings), *value, *file;
    gm_model_options options_of_model;
    int letter, result = EXIT_USAGE;
    if (!settings) {
        error_line("out of memory");
        return EXIT_FAILED;
    }
    gm_model_options_default(&options_of_model, sizeof options_of_model);
    options_of_model.settings = settings;
    while ((letter = next_option(self, argc, argv, &value)) >= 0)
        if (letter == DATA)
            options_of_model.data_directory = value;
        else
            settings[options_of_model.setting_count++] = value;
    if (letter == OPTION_HELP)
        result = EXIT_DONE;
    else if (letter == OPTION_END && take_words(self, argc, argv, 1, 1, &file))
        result = check(file, &options_of_model);
    free(settings);
    return result;
}

const command command_check = {
    "check",
    "FILE [--set NAME=VALUE]... [--data DIR]",
    "Checks a model file: syntax, names, shapes, gradients.",
    options,
    run,
};
