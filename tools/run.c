/* gmrun run: one pass of a network over .npy inputs; every output becomes a .npy file. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/gmrun.h"

enum { NETWORK = 256, INPUT, OUTPUT_DIRECTORY, THREADS, MATH, TUNE, INPUTS_MAX = 32, SIZES_MAX = 31 };

static const option_line options[] = {
    {"network", NETWORK, "NAME", "which network or sample (default: the main network)"},
    {"input", INPUT, "NAME=FILE.npy", "the array of one input; repeated for each"},
    {"output-dir", OUTPUT_DIRECTORY, "DIR", "where NAME.npy of each output goes; made if needed"},
    {"threads", THREADS, "T", THREADS_HELP},
    {"math", MATH, "HOW", MATH_HELP},
    {"tune", TUNE, "FILE", TUNE_HELP},
    {0},
};

typedef struct run_request {
    const char *file, *network, *directory;
    compute_request how;
    size_t input_count;
    char names[INPUTS_MAX][256];
    const char *paths[INPUTS_MAX];
    gm_tensor_view arrays[INPUTS_MAX];
    bool fixed[INPUTS_MAX]; /* given at load: decides shapes */
} run_request;

static const gm_tensor_view *array_of(const run_request *request, const char *name)
{
    for (size_t i = 0; i < request->input_count; i++)
        if (!strcmp(request->names[i], name))
            return &request->arrays[i];
    return NULL;
}

static bool same_shape(const gm_tensor_view *a, const gm_value_info *wanted)
{
    if (a->type != wanted->type || a->rank != wanted->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (wanted->dims[i] >= 0 && a->dims[i] != wanted->dims[i])
            return false;
    return true;
}

/* "float[N, 784]" */
static const char *wanted_text(char *buffer, size_t bytes, const gm_value_info *wanted)
{
    gm_tensor_view type = {.type = wanted->type};
    size_t length;
    shape_text(buffer, bytes, &type);
    buffer[strcspn(buffer, "[")] = '\0';
    length = strlen(buffer);
    for (int i = 0; i < wanted->rank && length < bytes; i++) {
        const char *before = i ? ", " : "[";
        length += (size_t)(wanted->dims[i] >= 0
                               ? snprintf(buffer + length, bytes - length, "%s%lld", before, (long long)wanted->dims[i])
                               : snprintf(buffer + length, bytes - length, "%s%s", before,
                                          wanted->symbols[i] ? wanted->symbols[i] : "?"));
    }
    if (wanted->rank && length < bytes)
        snprintf(buffer + length, bytes - length, "]");
    return buffer;
}

/* Every --input names an input of the network. Those that were fixed at load are none of it any more. */
static bool names_known(const gm_model *model, const run_request *request)
{
    const char *names[INPUTS_MAX];
    size_t count = 0, all = gm_model_input_count(model, request->network);
    gm_value_info info;
    for (size_t i = 0; i < all && count < INPUTS_MAX; i++)
        if (gm_model_input(model, request->network, i, &info) == GM_OK)
            names[count++] = info.name;
    for (size_t i = 0; i < request->input_count; i++) {
        size_t at = 0;
        while (at < count && strcmp(names[at], request->names[i]))
            at++;
        if (at < count || request->fixed[i])
            continue;
        const char *near = nearest(request->names[i], names, count);
        near = near ? near : count ? names[0] : NULL;
        error_line("there is no input '%s'%s%s%s", request->names[i], near ? "; did you mean '" : "", near ? near : "",
                   near ? "'?" : "");
        return false;
    }
    return true;
}

/* Takes the sizes of named dimensions from the arrays; the first array that does not fit is told. */
static bool take_sizes(const gm_model *model, const run_request *request, gm_dimension *sizes, size_t *count)
{
    size_t inputs = gm_model_input_count(model, request->network);
    gm_value_info wanted;
    char left[160], right[160];
    for (size_t i = 0; i < inputs; i++) {
        if (gm_model_input(model, request->network, i, &wanted) != GM_OK)
            return false;
        const gm_tensor_view *array = array_of(request, wanted.name);
        if (!array) {
            error_line("the input '%s' is missing: --input %s=FILE.npy of %s", wanted.name, wanted.name,
                       wanted_text(left, sizeof left, &wanted));
            return false;
        }
        bool fits = same_shape(array, &wanted);
        for (int k = 0; fits && k < wanted.rank; k++) {
            size_t at = 0;
            if (!wanted.symbols[k])
                continue;
            while (at < *count && strcmp(sizes[at].name, wanted.symbols[k]))
                at++;
            if (at == *count && *count < SIZES_MAX)
                sizes[(*count)++] = (gm_dimension){wanted.symbols[k], array->dims[k]};
            else if (at < *count && sizes[at].size != array->dims[k]) {
                error_line("the dimension %s is %lld in one input and %lld in '%s'", wanted.symbols[k],
                           (long long)sizes[at].size, (long long)array->dims[k], wanted.name);
                return false;
            }
        }
        if (fits)
            continue;
        error_line("the input '%s' must be %s, but its file has %s%s", wanted.name,
                   wanted_text(left, sizeof left, &wanted), shape_text(right, sizeof right, array),
                   array->type == GM_DOUBLE && wanted.type == GM_FLOAT ? "; save it as numpy.float32" : "");
        return false;
    }
    return true;
}

static gm_session *open_session(gm_context *context, const gm_model *model, const run_request *request, int *exit_out)
{
    gm_dimension sizes[SIZES_MAX];
    gm_session_options settings;
    gm_session *session = NULL;
    gm_session_options_default(&settings, sizeof settings);
    *exit_out = EXIT_USAGE;
    if (gm_model_input_count(model, request->network) == 0 && gm_model_output_count(model, request->network) == 0) {
        *exit_out = report_failure(context, GM_ERROR_ARGUMENT); /* there is no such network */
        return NULL;
    }
    if (!names_known(model, request) || !take_sizes(model, request, sizes, &settings.dimension_count))
        return NULL;
    settings.dimensions = sizes;
    gm_status status = gm_session_create(model, request->network, &settings, &session);
    if (status != GM_OK)
        *exit_out = report_failure(context, status);
    return session;
}

static gm_status write_outputs(gm_context *context, const gm_session *session, const char *directory)
{
    for (size_t i = 0; i < gm_session_output_count(session); i++) {
        gm_tensor_view view;
        char name[256], path[PATH_MAX], shape[160];
        gm_status status = gm_session_output(session, i, &view);
        if (status != GM_OK)
            return status;
        snprintf(name, sizeof name, "%.200s.npy", view.name);
        for (char *at = name; *at; at++)
            if (*at == '/')
                *at = '_';
        if (!join_path(path, sizeof path, directory, name))
            return GM_ERROR_ARGUMENT;
        status = gm_write_npy(context, path, &view);
        if (status != GM_OK)
            return status;
        printf("%s: %s\n", path, shape_text(shape, sizeof shape, &view));
    }
    return GM_OK;
}

static int run_network(gm_context *context, const gm_model *model, run_request *request)
{
    int result = EXIT_FAILED;
    gm_session *session = open_session(context, model, request, &result);
    if (!session)
        return result;
    gm_status status = GM_OK;
    for (size_t i = 0; status == GM_OK && i < gm_session_input_count(session); i++) {
        gm_tensor_view view;
        status = gm_session_input(session, i, &view);
        if (status == GM_OK)
            memcpy(view.data, array_of(request, view.name)->data, view.bytes);
    }
    if (status == GM_OK)
        status = gm_session_run(session);
    bool made = status != GM_OK || make_directories(request->directory);
    if (status == GM_OK && made)
        status = write_outputs(context, session, request->directory);
    result = status != GM_OK ? report_failure(context, status) : made ? EXIT_DONE : EXIT_FAILED;
    gm_session_destroy(session);
    return result;
}

static bool add_input(const command *self, run_request *request, const char *text)
{
    const char *equal = strchr(text, '=');
    size_t length = equal ? (size_t)(equal - text) : 0;
    if (!length || !equal[1] || length >= sizeof request->names[0]) {
        usage_error(self, "--input wants NAME=FILE.npy, not '%s'", text);
        return false;
    }
    if (request->input_count == INPUTS_MAX) {
        usage_error(self, "at most %d inputs", INPUTS_MAX);
        return false;
    }
    snprintf(request->names[request->input_count], sizeof request->names[0], "%.*s", (int)length, text);
    for (size_t i = 0; i < request->input_count; i++)
        if (!strcmp(request->names[i], request->names[request->input_count])) {
            usage_error(self, "the input '%s' is given twice", request->names[i]);
            return false;
        }
    request->paths[request->input_count++] = equal + 1;
    return true;
}

static bool take_option(const command *self, run_request *request, int letter, const char *value)
{
    switch (letter) {
    case NETWORK:
        request->network = value;
        return true;
    case INPUT:
        return add_input(self, request, value);
    case OUTPUT_DIRECTORY:
        request->directory = value;
        return true;
    case THREADS:
        return read_threads(value, &request->how);
    case MATH:
        return read_math(self, value, &request->how.direct);
    case TUNE:
        return read_tune(self, value, &request->how.tune);
    default:
        return false;
    }
}

/* A plain ONNX model may need the values of whole numbers among its inputs to know its shapes: where it does not load
 * without, it gets those. */
static gm_model *load_model(gm_context *context, run_request *request, int *exit_out)
{
    gm_tensor_view fixed[INPUTS_MAX];
    gm_model_options settings;
    gm_model *model = NULL;
    gm_model_options_default(&settings, sizeof settings);
    gm_status status = gm_model_load(context, request->file, NULL, &model);
    if (status == GM_OK)
        return model;
    for (size_t i = 0; i < request->input_count; i++) {
        gm_type type = request->arrays[i].type;
        if (type == GM_FLOAT || type == GM_DOUBLE || type == GM_FLOAT16 || type == GM_BFLOAT16)
            continue;
        request->fixed[i] = true;
        fixed[settings.fixed_count] = request->arrays[i];
        fixed[settings.fixed_count++].name = request->names[i];
    }
    settings.fixed = fixed;
    if (settings.fixed_count && (status == GM_ERROR_MODEL || status == GM_ERROR_UNSUPPORTED) &&
        gm_model_load(context, request->file, &settings, &model) == GM_OK)
        return model;
    return open_model(context, request->file, NULL, exit_out); /* tells the first message again */
}

static int read_and_run(gm_context *context, run_request *request)
{
    size_t got = 0;
    int result = EXIT_FAILED;
    gm_status status = GM_OK;
    while (got < request->input_count) {
        status = gm_read_npy(context, request->paths[got], &request->arrays[got]);
        if (status != GM_OK)
            break;
        got++;
    }
    gm_model *model = status == GM_OK ? load_model(context, request, &result) : NULL;
    if (status != GM_OK)
        result = report_failure(context, status);
    else if (model)
        result = run_network(context, model, request);
    gm_model_destroy(model);
    for (size_t i = 0; i < got; i++)
        gm_release(context, request->arrays[i].data);
    return result;
}

static int parse_and_run(const command *self, run_request *request, int argc, char **argv)
{
    const char *value;
    int letter, status = EXIT_FAILED;
    while ((letter = next_option(self, argc, argv, &value)) >= 0)
        if (!take_option(self, request, letter, value))
            return EXIT_USAGE;
    if (letter != OPTION_END)
        return letter == OPTION_HELP ? EXIT_DONE : EXIT_USAGE;
    if (!take_words(self, argc, argv, 1, 1, &request->file))
        return EXIT_USAGE;
    if (!request->directory)
        return usage_error(self, "--output-dir DIR is missing");
    gm_context *context = open_context(&request->how, &status);
    if (context)
        status = read_and_run(context, request);
    gm_context_destroy(context);
    return status;
}

static int run(const command *self, int argc, char **argv)
{
    run_request *request = calloc(1, sizeof *request);
    if (!request) {
        error_line("out of memory");
        return EXIT_FAILED;
    }
    int status = parse_and_run(self, request, argc, argv);
    free(request);
    return status;
}

const command command_run = {
    "run",
    "FILE [--network NAME] [--input NAME=FILE.npy]... --output-dir DIR [--threads T] [--math HOW] [--tune FILE]",
    "Runs a network once over NumPy arrays.",
    options,
    run,
};
