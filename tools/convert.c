/* gmrun convert and gmrun export: from one encoding of a model to another; one network for inference. */
#include <stdio.h>
#include <string.h>

#include "tools/gmrun.h"

enum { TO = 256, NETWORK, ADOPT, EXTERNAL, SET, SETTINGS_MAX = 64 };

static const option_line convert_options[] = {
    {"to", TO, "KIND",
     "binary, text, onnx or onnx-text (default: by TO: .onnx, .txt is ONNX text, .gmodel the other kind of .gmodel)"},
    {"network", NETWORK, "NAME", "which network goes into ONNX (default: the main one)"},
    {"set", SET, "NAME=VALUE", SET_HELP},
    {"adopt", ADOPT, NULL, "take the ONNX graph that another tool changed, and drop the source"},
    {"external-data", EXTERNAL, NULL, "tensors of 1 KiB and more go into a second file, TO.data"},
    {0},
};

static const option_line export_options[] = {
    {"network", NETWORK, "NAME", "which network (default: the main one)"},
    {"to", TO, "OUT", "OUT.onnx, or OUT.gmodel"},
    {0},
};

typedef struct convert_request {
    const char *words[2], *kind;
    gm_convert_options options;
    const char *settings[SETTINGS_MAX];
} convert_request;

static const struct {
    const char *name;
    gm_file_kind kind;
} kinds[] = {
    {"binary", GM_FILE_BINARY}, {"text", GM_FILE_TEXT}, {"onnx", GM_FILE_ONNX}, {"onnx-text", GM_FILE_ONNX_TEXT}};

/* OUT.onnx is ONNX, OUT.txt ONNX text; OUT.gmodel a text when FROM is a binary .gmodel, else binary. */
static bool find_kind(const command *self, convert_request *request)
{
    const char *names[sizeof kinds / sizeof kinds[0]];
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        names[i] = kinds[i].name;
        request->options.kind = kinds[i].kind;
        if (request->kind && !strcmp(request->kind, kinds[i].name))
            return true;
    }
    if (request->kind) {
        const char *near = nearest(request->kind, names, sizeof kinds / sizeof kinds[0]);
        usage_error(self, "--to wants binary, text, onnx or onnx-text, not '%s'%s%s%s", request->kind,
                    near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
        return false;
    }
    if (ends_with(request->words[1], ".onnx"))
        request->options.kind = GM_FILE_ONNX;
    else if (ends_with(request->words[1], ".txt"))
        request->options.kind = GM_FILE_ONNX_TEXT;
    else if (ends_with(request->words[1], ".gmodel"))
        request->options.kind = is_binary_model(request->words[0]) && ends_with(request->words[0], ".gmodel")
                                    ? GM_FILE_TEXT
                                    : GM_FILE_BINARY;
    else {
        usage_error(self, "'%s' ends neither in .gmodel, .onnx nor .txt: say --to binary, text, onnx or onnx-text",
                    request->words[1]);
        return false;
    }
    return true;
}

static bool take_option(const command *self, convert_request *request, int letter, const char *value)
{
    switch (letter) {
    case TO:
        request->kind = value;
        return true;
    case NETWORK:
        request->options.network = value;
        return true;
    case ADOPT:
        request->options.adopt = 1;
        return true;
    case EXTERNAL:
        request->options.external_data = 1;
        return true;
    case SET:
        if (request->options.setting_count == SETTINGS_MAX) {
            usage_error(self, "at most %d --set", SETTINGS_MAX);
            return false;
        }
        request->settings[request->options.setting_count++] = value;
        return true;
    default:
        return false;
    }
}

static int run_convert(const command *self, int argc, char **argv)
{
    convert_request request = {.kind = NULL};
    const char *value;
    int letter, result = EXIT_FAILED;
    gm_convert_options_default(&request.options, sizeof request.options);
    request.options.settings = request.settings;
    while ((letter = next_option(self, argc, argv, &value)) >= 0)
        if (!take_option(self, &request, letter, value))
            return EXIT_USAGE;
    if (letter != OPTION_END)
        return letter == OPTION_HELP ? EXIT_DONE : EXIT_USAGE;
    if (!take_words(self, argc, argv, 2, 2, request.words) || !find_kind(self, &request))
        return EXIT_USAGE;
    gm_context *context = open_context(NULL, &result);
    if (!context)
        return result;
    gm_status status = gm_convert(context, request.words[0], request.words[1], &request.options);
    result = status == GM_OK ? EXIT_DONE : report_failure(context, status);
    gm_context_destroy(context);
    return result;
}

static int run_export(const command *self, int argc, char **argv)
{
    convert_request request = {.kind = NULL};
    const char *value;
    int letter, result = EXIT_FAILED;
    while ((letter = next_option(self, argc, argv, &value)) >= 0)
        if (!take_option(self, &request, letter, value))
            return EXIT_USAGE;
    if (letter != OPTION_END)
        return letter == OPTION_HELP ? EXIT_DONE : EXIT_USAGE;
    if (!take_words(self, argc, argv, 1, 1, request.words))
        return EXIT_USAGE;
    if (!request.kind || (!ends_with(request.kind, ".onnx") && !ends_with(request.kind, ".gmodel")))
        return usage_error(self, "--to OUT.onnx or --to OUT.gmodel is missing");
    gm_context *context = open_context(NULL, &result);
    gm_model *model = context ? open_model(context, request.words[0], NULL, &result) : NULL;
    if (model) {
        gm_status status = gm_model_export(model, request.options.network, request.kind,
                                           ends_with(request.kind, ".onnx") ? GM_FILE_ONNX : GM_FILE_BINARY);
        result = status == GM_OK ? EXIT_DONE : report_failure(context, status);
    }
    gm_model_destroy(model);
    gm_context_destroy(context);
    return result;
}

const command command_convert = {
    "convert",
    "FROM TO [--to KIND] [--network NAME] [--adopt] [--external-data] [--set NAME=VALUE]...",
    "Turns .gmodel texts, binaries, ONNX and ONNX texts into each other.",
    convert_options,
    run_convert,
};

const command command_export = {
    "export",
    "FILE [--network NAME] --to OUT.onnx|OUT.gmodel",
    "Writes one network for inference, batch normalization folded, nothing of training left.",
    export_options,
    run_export,
};
