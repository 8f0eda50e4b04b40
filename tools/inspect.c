/* gmrun inspect: what a model file declares, the graph of one part after each stage, its memory plan. */
#include <stdio.h>

#include "tools/gmrun.h"

enum { BATCH = 256, PLAN };

static const option_line options[] = {
    {"batch", BATCH, "N", "the value of N (default: the batch of the file)"},
    {"plan", PLAN, NULL, "the memory plan instead of the graph"},
    {0},
};

static const struct {
    gm_part part;
    const char *title;
} parts[] = {
    {GM_PART_DATA, "data"},
    {GM_PART_NETWORK, "networks"},
    {GM_PART_STEP, "steps"},
    {GM_PART_SAMPLE, "samples"},
};

static void print_parts(const gm_model *model)
{
    const char *main_network = gm_model_main_network(model);
    printf("model     %s\n", gm_model_name(model));
    for (size_t kind = 0; kind < sizeof parts / sizeof parts[0]; kind++) {
        size_t count = gm_model_part_count(model, parts[kind].part);
        if (!count)
            continue;
        printf("%-9s", parts[kind].title);
        for (size_t i = 0; i < count; i++)
            printf(" %s", gm_model_part_name(model, parts[kind].part, i));
        if (parts[kind].part == GM_PART_NETWORK && main_network)
            printf("  (main: %s)", main_network);
        putchar('\n');
    }
}

static gm_status inspect(const gm_model *model, const char *name, bool plan, int64_t batch)
{
    if (!name && plan)
        name = gm_model_main_network(model);
    if (name)
        return gm_model_describe(model, plan ? "plan" : "graph", name, batch, write_text, stdout);
    print_parts(model);
    return gm_model_describe(model, "parameters", NULL, batch, write_text, stdout);
}

static int run(const command *self, int argc, char **argv)
{
    const char *value, *words[2];
    int64_t batch = 0;
    bool plan = false;
    int letter, result = EXIT_FAILED;
    while ((letter = next_option(self, argc, argv, &value)) >= 0) {
        if (letter == PLAN)
            plan = true;
        else if (!read_number("--batch", value, 1, &batch))
            return EXIT_USAGE;
    }
    if (letter != OPTION_END)
        return letter == OPTION_HELP ? EXIT_DONE : EXIT_USAGE;
    if (!take_words(self, argc, argv, 1, 2, words))
        return EXIT_USAGE;
    gm_context *context = open_context(NULL, &result);
    gm_model *model = context ? open_model(context, words[0], NULL, &result) : NULL;
    if (model) {
        gm_status status = inspect(model, words[1], plan, batch);
        result = status == GM_OK ? EXIT_DONE : report_failure(context, status);
    }
    gm_model_destroy(model);
    gm_context_destroy(context);
    return result;
}

const command command_inspect = {
    "inspect",
    "FILE [NAME] [--batch N] [--plan]",
    "Shows parameters, or the graph or memory plan of one network, step or sample.",
    options,
    run,
};
