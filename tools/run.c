/* gmrun run: one pass of a network over .npy inputs; every output becomes a .npy file. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/gmrun.h"

enum { NETWORK = 256, INPUT, OUTPUT_DIRECTORY, THREADS, MATH, INPUTS_MAX = 32 };

static const option_line options[] = {
    {"network", NETWORK, "NAME", "which network or sample (default: the main network)"},
    {"input", INPUT, "NAME=FILE.npy", "the array of one input; repeated for each"},
    {"output-dir", OUTPUT_DIRECTORY, "DIR", "where NAME.npy of each output goes; made if needed"},
    {"threads", THREADS, "T", THREADS_HELP},
    {"math", MATH, "HOW", MATH_HELP},
    {0},
};

typedef struct run_request {
    const char *file, *network, *directory;
    compute_request how;
    size_t input_count;
    char names[INPUTS_MAX][256];
    const char *paths[INPUTS_MAX];
    gm_tensor_view arrays[INPUTS_MAX];
} run_request;

static bool same_shape(const gm_tensor_view *a, const gm_tensor_view *b)
{
    if (a->type != b->type || a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dims[i] != b->dims[i])
            return false;
    return true;
}

static const gm_tensor_view *array_of(const run_request *request, const char *name)
{
    for (size_t i = 0; i < request->input_count; i++)
        if (!strcmp(request->names[i], name))
            return &request->arrays[i];
    return NULL;
}

/* Whether every array fits the session's inputs. With `say`, prints the first that does not. */
static bool arrays_fit(const gm_session *session, const run_request *request, bool say)
{
    for (size_t i = 0; i < gm_session_input_count(session); i++) {
        gm_tensor_view wanted;
        if (gm_session_input(session, i, &wanted) != GM_OK)
            return false;
        const gm_tensor_view *array = array_of(request, wanted.name);
        if (array && same_shape(array, &wanted))
            continue;
        char left[160], right[160];
        shape_text(left, sizeof left, &wanted);
        if (say && !array)
            error_line("the input '%s' is missing: --input %s=FILE.npy of %s", wanted.name, wanted.name, left);
        else if (say)
            error_line("the input '%s' must be %s, but its file has %s%s", wanted.name, left,
                       shape_text(right, sizeof right, array),
                       array->type == GM_DOUBLE && wanted.type == GM_FLOAT ? "; save it as numpy.float32" : "");
        return false;
    }
    return true;
}

/* Every --input names an input of the network. */
static bool names_known(const gm_session *session, const run_request *request)
{
    const char *names[INPUTS_MAX];
    size_t count = 0;
    gm_tensor_view view;
    for (size_t i = 0; i < gm_session_input_count(session) && count < INPUTS_MAX; i++)
        if (gm_session_input(session, i, &view) == GM_OK)
            names[count++] = view.name;
    for (size_t i = 0; i < request->input_count; i++) {
        size_t at = 0;
        while (at < count && strcmp(names[at], request->names[i]))
            at++;
        if (at < count)
            continue;
        const char *near = nearest(request->names[i], names, count);
        near = near ? near : count ? names[0] : NULL;
        error_line("there is no input '%s'%s%s%s", request->names[i], near ? "; did you mean '" : "", near ? near : "",
                   near ? "'?" : "");
        return false;
    }
    return true;
}

/* For a message: the first dimension of an array that has as many dimensions as its input, else 1. */
static int64_t likely_batch(const gm_model *model, const run_request *request)
{
    gm_session *session = NULL;
    gm_tensor_view wanted;
    int64_t batch = 1;
    if (gm_session_create(model, request->network, NULL, &session) != GM_OK)
        return 1;
    for (size_t i = 0; i < gm_session_input_count(session) && batch == 1; i++) {
        const gm_tensor_view *array =
            gm_session_input(session, i, &wanted) == GM_OK ? array_of(request, wanted.name) : NULL;
        if (array && array->rank && array->rank == wanted.rank)
            batch = array->dims[0];
    }
    gm_session_destroy(session);
    return batch;
}

/* N is the first dimension of some input, we cannot see of which: the first value that makes all arrays fit. */
static gm_session *open_session(gm_context *context, const gm_model *model, const run_request *request, int *exit_out)
{
    gm_session_options settings;
    gm_session *session = NULL;
    gm_session_options_default(&settings, sizeof settings);
    for (size_t i = 0; i <= request->input_count; i++) {
        const gm_tensor_view *array = i < request->input_count ? &request->arrays[i] : NULL;
        settings.batch = array && array->rank ? array->dims[0] : 1;
        gm_session_destroy(session);
        session = NULL;
        gm_status status = gm_session_create(model, request->network, &settings, &session);
        if (status != GM_OK) {
            *exit_out = report_failure(context, status);
            return NULL;
        }
        if (arrays_fit(session, request, false))
            return session;
    }
    gm_session_destroy(session);
    session = NULL;
    settings.batch = likely_batch(model, request);
    if (gm_session_create(model, request->network, &settings, &session) == GM_OK && names_known(session, request))
        arrays_fit(session, request, true);
    gm_session_destroy(session);
    *exit_out = EXIT_USAGE;
    return NULL;
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
    if (!names_known(session, request)) {
        gm_session_destroy(session);
        return EXIT_USAGE;
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
        return read_number("--threads", value, 1, &request->how.threads);
    case MATH:
        return read_math(self, value, &request->how.direct);
    default:
        return false;
    }
}

static int read_and_run(gm_context *context, const gm_model *model, run_request *request)
{
    size_t got = 0;
    gm_status status = GM_OK;
    while (got < request->input_count) {
        status = gm_read_npy(context, request->paths[got], &request->arrays[got]);
        if (status != GM_OK)
            break;
        got++;
    }
    int result = status == GM_OK ? run_network(context, model, request) : report_failure(context, status);
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
    gm_model *model = context ? open_model(context, request->file, NULL, &status) : NULL;
    if (model)
        status = read_and_run(context, model, request);
    gm_model_destroy(model);
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
    "FILE [--network NAME] [--input NAME=FILE.npy]... --output-dir DIR [--threads T] [--math HOW]",
    "Runs a network once over NumPy arrays.",
    options,
    run,
};
