/* gmrun weights: parameters and buffers of a model alone, listed, written and read. */
#include <stdio.h>
#include <string.h>

#include "tools/gmrun.h"

enum { SAVE = 256, LOAD, PARTIAL };

static const option_line options[] = {
    {"save", SAVE, "OUT", "write them: OUT.safetensors, or a folder of .npy files"},
    {"load", LOAD, "IN", "take them from IN.safetensors, or from a folder of .npy files"},
    {"output", 'o', "NEW", "where the model with those of --load goes"},
    {"partial", PARTIAL, NULL, "those of IN that the model has, and no others"},
    {0},
};

typedef struct request {
    const char *file, *save, *load, *output;
    gm_weights_options how;
} request;

static gm_status list(const gm_model *model)
{
    for (size_t i = 0; i < gm_model_parameter_count(model); i++) {
        gm_parameter_info info;
        gm_tensor_view view = {.name = NULL};
        char shape[128];
        gm_status status = gm_model_parameter_info(model, i, &info);
        if (status != GM_OK)
            return status;
        view.type = info.type;
        view.rank = info.rank;
        memcpy(view.dims, info.dims, sizeof view.dims);
        printf("%-9s  %-24s  %s\n", info.is_buffer ? "buffer" : "parameter", shape_text(shape, sizeof shape, &view),
               info.path);
    }
    return GM_OK;
}

static gm_status work(gm_model *model, const request *r)
{
    gm_status status = GM_OK;
    if (r->load) {
        status = gm_model_load_weights(model, r->load, &r->how);
        if (status == GM_OK)
            status = gm_model_save(model, r->output);
    }
    if (status == GM_OK && r->save)
        status = gm_model_save_weights(model, r->save);
    if (status == GM_OK && !r->save && !r->load)
        status = list(model);
    return status;
}

static int run(const command *self, int argc, char **argv)
{
    request r = {.file = NULL};
    const char *value;
    int letter, result = EXIT_FAILED;
    gm_weights_options_default(&r.how, sizeof r.how);
    while ((letter = next_option(self, argc, argv, &value)) >= 0)
        switch (letter) {
        case SAVE:
            r.save = value;
            break;
        case LOAD:
            r.load = value;
            break;
        case 'o':
            r.output = value;
            break;
        default:
            r.how.partial = 1;
        }
    if (letter != OPTION_END)
        return letter == OPTION_HELP ? EXIT_DONE : EXIT_USAGE;
    if (!take_words(self, argc, argv, 1, 1, &r.file))
        return EXIT_USAGE;
    if (!r.load != !r.output)
        return usage_error(self, r.load ? "--load needs --output NEW" : "--output needs --load IN");
    if (r.how.partial && !r.load)
        return usage_error(self, "--partial needs --load IN");
    gm_context *context = open_context(NULL, &result);
    gm_model *model = context ? open_model(context, r.file, NULL, &result) : NULL;
    if (model) {
        gm_status status = work(model, &r);
        result = status == GM_OK ? EXIT_DONE : report_failure(context, status);
    }
    gm_model_destroy(model);
    gm_context_destroy(context);
    return result;
}

const command command_weights = {
    "weights",
    "FILE [--save OUT] [--load IN [--partial] --output NEW]",
    "Lists the parameters of a model, writes them, or makes a model with others.",
    options,
    run,
};
