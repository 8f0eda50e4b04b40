/* gmrun inspect: what a model file declares, the graph of one part after each stage, its memory plan. */
#include <stdio.h>
#include <stdlib.h>

#include "tools/gmrun.h"

enum { BATCH = 256, PLAN, SET, DATA };

static const option_line options[] = {
    {"batch", BATCH, "N", "the value of N (default: the batch of the file)"},
    {"plan", PLAN, NULL, "the memory plan instead of the graph (without NAME: of the main network)"},
    {"set", SET, "NAME=VALUE", SET_HELP},
    {"data", DATA, "DIR", DATA_HELP},
    {0},
};

static const struct {
    gm_part part;
    const char *title;
} parts[] = {
    {GM_PART_DATA, "data"},      {GM_PART_NETWORK, "networks"},       {GM_PART_STEP, "steps"},
    {GM_PART_SAMPLE, "samples"}, {GM_PART_EVALUATION, "evaluations"},
};

static void print_parts(const gm_model *model)
{
    const char *main_network = gm_model_main_network(model);
    printf("model       %s\n", gm_model_name(model));
    for (size_t kind = 0; kind < sizeof parts / sizeof parts[0]; kind++) {
        size_t count = gm_model_part_count(model, parts[kind].part);
        if (!count)
            continue;
        printf("%-11s", parts[kind].title);
        for (size_t i = 0; i < count; i++)
            printf(" %s", gm_model_part_name(model, parts[kind].part, i));
        if (parts[kind].part == GM_PART_NETWORK && main_network)
            printf("  (main: %s)", main_network);
        putchar('\n');
    }
}

typedef struct inspect_request {
    const char *words[2]; /* the file, and a part of it or NULL */
    const char **settings;
    gm_model_options model;
    int64_t batch; /* 0: the file's */
    bool plan;
} inspect_request;

static gm_status inspect(const gm_model *model, const inspect_request *request)
{
    const char *name = request->words[1];
    if (!name && request->plan)
        name = gm_model_main_network(model);
    if (name)
        return gm_model_describe(model, request->plan ? "plan" : "graph", name, request->batch, write_text, stdout);
    print_parts(model);
    return gm_model_describe(model, "parameters", NULL, 0, write_text, stdout);
}

static int inspect_file(const inspect_request *request)
{
    int result = EXIT_FAILED;
    gm_context *context = open_context(NULL, &result);
    gm_model *model = context ? open_model(context, request->words[0], &request->model, &result) : NULL;
    if (model) {
        gm_status status = inspect(model, request);
        result = status == GM_OK ? EXIT_DONE : report_failure(context, status);
    }
    gm_model_destroy(model);
    gm_context_destroy(context);
    return result;
}

static bool take_option(inspect_request *request, int letter, const char *value)
{
    switch (letter) {
    case PLAN:
        request->plan = true;
        return true;
    case SET:
        request->settings[request->model.setting_count++] = value;
        return true;
    case DATA:
        request->model.data_directory = value;
        return true;
    default:
        return read_number("--batch", value, 1, &request->batch);
    }
}

static int inspect_words(const command *self, int argc, char **argv, inspect_request *request)
{
    const char *value;
    int letter;
    while ((letter = next_option(self, argc, argv, &value)) >= 0)
        if (!take_option(request, letter, value))
            return EXIT_USAGE;
    if (letter != OPTION_END)
        return letter == OPTION_HELP ? EXIT_DONE : EXIT_USAGE;
    if (!take_words(self, argc, argv, 1, 2, request->words))
        return EXIT_USAGE;
    if (request->batch && !request->plan && !request->words[1])
        return usage_error(self, "--batch is for a graph or a plan: name what to show");
    request->model.settings = request->settings;
    return inspect_file(request);
}

static int run(const command *self, int argc, char **argv)
{
    inspect_request request = {.settings = calloc((size_t)argc + 1, sizeof *request.settings)};
    int result = EXIT_FAILED;
    gm_model_options_default(&request.model, sizeof request.model);
    if (request.settings)
        result = inspect_words(self, argc, argv, &request);
    else
        error_line("out of memory");
    free(request.settings);
    return result;
}

const command command_inspect = {
    "inspect",
    "FILE [NAME] [--batch N] [--plan] [--set NAME=VALUE]... [--data DIR]",
    "Shows parameters, or the graph or memory plan of one network, step, sample or evaluation.",
    options,
    run,
};
