/* gmrun sample: pictures (or rows) made by a model's `sample`, or by its main network from normal noise. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/gmrun.h"

enum { SEED = 256, SAMPLE, THREADS, MATH, TUNE };

static const option_line options[] = {
    {"count", 'n', "COUNT", "how many pictures (default: 64)"},
    {"output", 'o', "FILE", "a .png grid, or .npy for the numbers (default: grid.png)"},
    {"seed", SEED, "S", "another seed, other pictures"},
    {"sample", SAMPLE, "NAME", "which sample of the file (default: the first that needs no data)"},
    {"threads", THREADS, "T", THREADS_HELP},
    {"math", MATH, "HOW", MATH_HELP},
    {"tune", TUNE, "FILE", TUNE_HELP},
    {0},
};

typedef struct sample_request {
    const char *file, *output, *name;
    int64_t count;
    compute_request how;
    bool has_seed;
    uint64_t seed;
} sample_request;

/* Rows collected from one run after the other, of the shape of `view` but for its first dimension. */
typedef struct collection {
    gm_tensor_view view;
    size_t row_bytes;
    int64_t rows;
    int told; /* the exit status when an error line was printed; else 0 */
} collection;

static bool is_rows(const gm_tensor_view *view)
{
    return view->rank >= 2 && view->dims[0] > 0;
}

/* Bytes of memory that there are; more than any machine has when that is unknown. */
static double machine_bytes(void)
{
    double pages = (double)sysconf(_SC_PHYS_PAGES), page = (double)sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? pages * page : 0x1p63;
}

static gm_status collect(collection *all, const gm_tensor_view *part, int64_t wanted)
{
    if (!all->view.data) {
        all->view = *part;
        all->row_bytes = part->bytes / (size_t)part->dims[0];
        all->view.data = NULL;
        double bytes = (double)all->row_bytes * (double)wanted;
        if (all->row_bytes && bytes < machine_bytes())
            all->view.data = malloc(all->row_bytes * (size_t)wanted);
        if (!all->view.data) {
            error_line("%lld rows need %.6g bytes, which this machine does not have; take a smaller -n",
                       (long long)wanted, bytes);
            all->told = EXIT_FAILED;
            return GM_ERROR_MEMORY;
        }
    }
    int64_t rows = part->dims[0] < wanted - all->rows ? part->dims[0] : wanted - all->rows;
    memcpy((char *)all->view.data + (size_t)all->rows * all->row_bytes, part->data, (size_t)rows * all->row_bytes);
    all->rows += rows;
    all->view.dims[0] = all->rows;
    all->view.bytes = (size_t)all->rows * all->row_bytes;
    return GM_OK;
}

/* Why what was asked for is no grid of pictures, behind the name of what makes it; NULL: it is one. */
static const char *objection(const sample_request *request, const gm_session *session, const gm_tensor_view *view)
{
    if (request->name && gm_session_input_count(session))
        return "reads a data set: `gmrun train` writes it";
    if (!is_rows(view))
        return "makes one thing, not rows of them: `gmrun run` writes it as .npy";
    if (view->rank == 2 && view->dims[1] == 2 && ends_with(request->output, ".png"))
        return "makes points, not pictures: `-o FILE.npy` takes their numbers";
    return NULL;
}

/* One run with its own seed: samples have a fixed number of rows and the same draws each time. */
static gm_status sample_once(const gm_model *model, const sample_request *request, const char *name, uint64_t round,
                             collection *all)
{
    gm_session_options settings;
    gm_session *session = NULL;
    gm_tensor_view view;
    random_state random = {request->seed + round};
    gm_session_options_default(&settings, sizeof settings);
    settings.batch = request->count < 64 ? request->count : 64;
    settings.has_seed = request->has_seed || round;
    settings.seed = request->seed + round;
    gm_status status = gm_session_create(model, name, &settings, &session);
    for (size_t i = 0; status == GM_OK && i < gm_session_input_count(session); i++) {
        status = gm_session_input(session, i, &view);
        if (status == GM_OK)
            fill_random(&random, &view, view.data);
    }
    if (status == GM_OK)
        status = gm_session_run(session);
    if (status == GM_OK)
        status = gm_session_output(session, 0, &view);
    const char *reason = status == GM_OK ? objection(request, session, &view) : NULL;
    if (reason) {
        error_line("%s %s", name, reason);
        all->told = EXIT_USAGE;
        status = GM_ERROR_ARGUMENT;
    }
    if (status == GM_OK)
        status = collect(all, &view, request->count);
    gm_session_destroy(session);
    return status;
}

/* The first sample that runs without data, else the main network. */
static const char *choose(const gm_model *model)
{
    for (size_t i = 0; i < gm_model_part_count(model, GM_PART_SAMPLE); i++) {
        const char *name = gm_model_part_name(model, GM_PART_SAMPLE, i);
        gm_session *session = NULL;
        if (gm_session_create(model, name, NULL, &session) != GM_OK)
            continue;
        size_t inputs = gm_session_input_count(session);
        gm_session_destroy(session);
        if (!inputs)
            return name;
    }
    return gm_model_main_network(model);
}

static bool known_sample(const gm_model *model, const char *name)
{
    const char *names[64];
    size_t count = gm_model_part_count(model, GM_PART_SAMPLE);
    count = count > 64 ? 64 : count;
    for (size_t i = 0; i < count; i++) {
        names[i] = gm_model_part_name(model, GM_PART_SAMPLE, i);
        if (!strcmp(names[i], name))
            return true;
    }
    const char *near = nearest(name, names, count);
    if (near)
        error_line("the file has no sample '%s'; did you mean '%s'?", name, near);
    else
        error_line("the file has no sample '%s'%s%s", name, count ? "; its first is " : "", count ? names[0] : "");
    return false;
}

static gm_status write_grid(gm_context *context, const gm_model *model, const char *path, const gm_tensor_view *view)
{
    double low, high;
    gm_model_picture_range(model, &low, &high);
    return gm_write_png(context, path, view, low, high);
}

static int sample_model(gm_context *context, const gm_model *model, const sample_request *request)
{
    if (request->name && !known_sample(model, request->name))
        return EXIT_USAGE;
    const char *name = request->name ? request->name : choose(model);
    if (!name) {
        error_line("%s has neither a sample nor a network", request->file);
        return EXIT_USAGE;
    }
    if (!is_binary_model(request->file))
        error_line("%s is a text without weights: its parameters are fresh, not trained", request->file);
    collection all = {0};
    gm_status status = GM_OK;
    for (uint64_t round = 0; status == GM_OK && all.rows < request->count; round++)
        status = sample_once(model, request, name, round, &all);
    if (status == GM_OK)
        status = ends_with(request->output, ".npy") ? gm_write_npy(context, request->output, &all.view)
                                                    : write_grid(context, model, request->output, &all.view);
    int result = EXIT_DONE;
    if (all.told)
        result = all.told;
    else if (status != GM_OK)
        result = report_failure(context, status);
    else
        printf("%s: %lld of %s\n", request->output, (long long)all.rows, name);
    free(all.view.data);
    return result;
}

static bool take_option(const command *self, sample_request *request, int letter, const char *value)
{
    switch (letter) {
    case 'n':
        return read_number("-n", value, 1, &request->count);
    case 'o':
        request->output = value;
        return true;
    case SEED:
        request->has_seed = true;
        return read_seed(value, &request->seed);
    case SAMPLE:
        request->name = value;
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

static int run(const command *self, int argc, char **argv)
{
    sample_request request = {.count = 64, .output = "grid.png"};
    const char *value;
    int letter, status = EXIT_FAILED;
    while ((letter = next_option(self, argc, argv, &value)) >= 0)
        if (!take_option(self, &request, letter, value))
            return EXIT_USAGE;
    if (letter != OPTION_END)
        return letter == OPTION_HELP ? EXIT_DONE : EXIT_USAGE;
    if (!take_words(self, argc, argv, 1, 1, &request.file))
        return EXIT_USAGE;
    if (!ends_with(request.output, ".png") && !ends_with(request.output, ".npy"))
        return usage_error(self, "-o wants a file called .png or .npy, not '%s'", request.output);
    gm_context *context = open_context(&request.how, &status);
    gm_model *model = context ? open_model(context, request.file, NULL, &status) : NULL;
    if (model)
        status = sample_model(context, model, &request);
    gm_model_destroy(model);
    gm_context_destroy(context);
    return status;
}

const command command_sample = {
    "sample",
    "FILE [-n COUNT] [-o FILE] [--seed S] [--sample NAME] [--threads T] [--math HOW] [--tune FILE]",
    "Writes pictures made by a model as one grid.",
    options,
    run,
};
