/* gmrun bench: how long a step, a round of steps or a network takes, its memory, and the time of each operator. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "tools/gmrun.h"

enum { STEP = 256, NETWORK, BATCH, RUNS, JSON, EACH, SET, THREADS, MATH, TUNE, DATA };
enum { WARM_UPS = 3, PROFILED_MAX = 10, STEPS_MAX = 8, SETTINGS_MAX = 64, RUNS_MAX = 1000000 };

static const option_line options[] = {
    {"step", STEP, "NAME", "measure a training step; repeated: a round of these steps, in this order"},
    {"network", NETWORK, "NAME", "measure a network or sample"},
    {"batch", BATCH, "N", "the value of N (default: the batch of the file for a step, 1 for a network)"},
    {"runs", RUNS, "K", "timed runs (default: 20)"},
    {"json", JSON, NULL, "one JSON object instead of text"},
    {"each", EACH, NULL, "times of every instruction instead of every operator"},
    {"set", SET, "NAME=VALUE", SET_HELP},
    {"threads", THREADS, "T", THREADS_HELP},
    {"math", MATH, "HOW", MATH_HELP},
    {"tune", TUNE, "FILE", TUNE_HELP},
    {"data", DATA, "DIR", DATA_HELP},
    {0},
};

typedef struct bench_request {
    const char *file, *network, *data;
    const char *steps[STEPS_MAX], *settings[SETTINGS_MAX];
    size_t step_count, setting_count;
    int64_t batch, runs;
    compute_request how;
    bool json, each;
} bench_request;

/* One step with random arrays for its data inputs. */
typedef struct fed_step {
    const char *name;
    gm_feed *feeds;
    size_t feed_count;
} fed_step;

/* What is measured: a round of steps of a trainer, or a session. */
typedef struct subject {
    gm_trainer *trainer;
    fed_step steps[STEPS_MAX];
    size_t step_count;
    gm_session *session;
    int64_t batch; /* rows of its first data input; 0: it has none */
} subject;

static gm_status subject_run(const subject *it)
{
    gm_status status = it->trainer ? GM_OK : gm_session_run(it->session);
    for (size_t i = 0; status == GM_OK && i < it->step_count; i++)
        status = gm_trainer_step(it->trainer, it->steps[i].name, it->steps[i].feeds, it->steps[i].feed_count);
    return status;
}

static gm_status subject_profile(const subject *it, int on)
{
    gm_status status = it->trainer ? GM_OK : gm_session_profile(it->session, on);
    for (size_t i = 0; status == GM_OK && i < it->step_count; i++)
        status = gm_trainer_profile(it->trainer, it->steps[i].name, on);
    return status;
}

/* Of several steps the sums: each has an arena of its own. They share the state. */
static gm_status subject_plan(const subject *it, gm_plan_info *info)
{
    gm_status status = it->trainer ? GM_OK : gm_session_plan(it->session, info);
    if (it->trainer)
        *info = (gm_plan_info){0};
    for (size_t i = 0; status == GM_OK && i < it->step_count; i++) {
        gm_plan_info one;
        status = gm_trainer_plan(it->trainer, it->steps[i].name, &one);
        if (status != GM_OK)
            break;
        info->arena_bytes += one.arena_bytes;
        info->max_alive_bytes += one.max_alive_bytes;
        info->state_bytes = one.state_bytes;
        info->instructions += one.instructions;
        info->reorders += one.reorders;
    }
    return status;
}

static gm_status make_feeds(subject *it, fed_step *step)
{
    random_state random = {1};
    size_t count = gm_trainer_feed_count(it->trainer, step->name);
    step->feeds = calloc(count + 1, sizeof *step->feeds);
    for (size_t i = 0; step->feeds && i < count; i++) {
        gm_tensor_view view;
        int is_draw = 0;
        gm_status status = gm_trainer_feed(it->trainer, step->name, i, &view, &is_draw);
        if (status != GM_OK)
            return status;
        if (is_draw) /* stays the step's own */
            continue;
        void *data = malloc(view.bytes ? view.bytes : 1);
        if (!data)
            return GM_ERROR_MEMORY;
        fill_random(&random, &view, data);
        if (!it->batch && view.rank)
            it->batch = view.dims[0];
        step->feeds[step->feed_count++] = (gm_feed){view.name, data, view.bytes};
    }
    return step->feeds ? GM_OK : GM_ERROR_MEMORY;
}

static gm_status open_steps(subject *it, const gm_model *model, const bench_request *request)
{
    gm_trainer_options settings;
    gm_plan_info plan;
    gm_trainer_options_default(&settings, sizeof settings);
    settings.batch = request->batch;
    gm_status status = gm_trainer_create(model, &settings, &it->trainer);
    for (size_t i = 0; status == GM_OK && i < request->step_count; i++) {
        fed_step *step = &it->steps[it->step_count++];
        step->name = request->steps[i];
        status =
            gm_trainer_plan(it->trainer, step->name, &plan); /* refuses what does not fit before the inputs are made */
        if (status == GM_OK)
            status = make_feeds(it, step);
    }
    return status;
}

static gm_status subject_open(subject *it, const gm_model *model, const bench_request *request)
{
    *it = (subject){0};
    if (request->step_count)
        return open_steps(it, model, request);
    gm_session_options settings;
    gm_session_options_default(&settings, sizeof settings);
    settings.batch = request->batch;
    it->batch = request->batch ? request->batch : 1;
    gm_status status = gm_session_create(model, request->network, &settings, &it->session);
    random_state random = {1};
    for (size_t i = 0; status == GM_OK && i < gm_session_input_count(it->session); i++) {
        gm_tensor_view view;
        status = gm_session_input(it->session, i, &view);
        if (status == GM_OK)
            fill_random(&random, &view, view.data);
    }
    return status;
}

static void subject_close(subject *it)
{
    for (size_t s = 0; s < it->step_count; s++) {
        for (size_t i = 0; i < it->steps[s].feed_count; i++)
            free((void *)it->steps[s].feeds[i].data);
        free(it->steps[s].feeds);
    }
    gm_trainer_destroy(it->trainer);
    gm_session_destroy(it->session);
}

static double median(const double *sorted, int64_t count)
{
    return (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
}

static double now_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec * 1e-6;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* times[0..runs) sorted, after the warm-ups. */
static gm_status measure(const subject *it, double *times, int64_t runs)
{
    for (int64_t i = -WARM_UPS; i < runs; i++) {
        double start = now_ms();
        gm_status status = subject_run(it);
        if (status != GM_OK)
            return status;
        if (i >= 0)
            times[i] = now_ms() - start;
    }
    qsort(times, (size_t)runs, sizeof *times, by_value);
    return GM_OK;
}

/* A pass of its own, so that the clock reads inside it do not disturb the timed runs. Returns its length in runs. */
static gm_status profile(const subject *it, const bench_request *request, int64_t *profiled_out)
{
    *profiled_out = request->runs < PROFILED_MAX ? request->runs : PROFILED_MAX;
    gm_status status = subject_profile(it, request->each ? GM_PROFILE_INSTRUCTIONS : GM_PROFILE_OPERATORS);
    for (int64_t i = 0; status == GM_OK && i < *profiled_out; i++)
        status = subject_run(it);
    return status;
}

static void print_json(const bench_request *request, int64_t batch, const double *times, const gm_plan_info *plan,
                       long long peak)
{
    printf("{\"compute\": \"%s\", \"%s\": \"", gm_compute_version(), request->network ? "network" : "step");
    for (size_t i = 0; i < request->step_count; i++)
        printf("%s%s", i ? "+" : "", request->steps[i]);
    printf("%s\", \"batch\": %lld, \"threads\": %lld, \"runs\": %lld, \"median_ms\": %.6g, \"min_ms\": %.6g, "
           "\"arena_bytes\": %zu, \"max_alive_bytes\": %zu, \"state_bytes\": %zu, \"instructions\": %zu, "
           "\"reorders\": %zu, \"peak_rss_bytes\": %lld, \"operators\": {",
           request->network ? request->network : "", (long long)batch, (long long)request->how.threads,
           (long long)request->runs, median(times, request->runs), times[0], plan->arena_bytes, plan->max_alive_bytes,
           plan->state_bytes, plan->instructions, plan->reorders, peak);
}

static void print_plain(const double *times, const bench_request *request, const gm_plan_info *plan, long long peak)
{
    printf("median_ms        %.4g\nmin_ms           %.4g\narena_bytes      %zu\nmax_alive_bytes  %zu\n"
           "peak_rss_bytes   %lld\n%s\n",
           median(times, request->runs), times[0], plan->arena_bytes, plan->max_alive_bytes, peak,
           request->each ? "instructions (ms per run, GFLOP/s of those that count them)" : "operators (ms per run)");
}

/* --- Profile --- */

typedef struct profile_rows {
    gm_profile_entry *rows;
    size_t count;
} profile_rows;

/* Operators of several steps are added up; instructions are rows of their own. */
static void add_entry(profile_rows *all, const gm_profile_entry *entry, bool each)
{
    size_t at = 0;
    while (!each && at < all->count && strcmp(all->rows[at].operator_name, entry->operator_name))
        at++;
    if (each || at == all->count) {
        all->rows[all->count++] = *entry;
        return;
    }
    all->rows[at].milliseconds += entry->milliseconds;
    all->rows[at].calls += entry->calls;
    all->rows[at].flops += entry->flops;
}

static int longest_first(const void *a, const void *b)
{
    double x = ((const gm_profile_entry *)a)->milliseconds, y = ((const gm_profile_entry *)b)->milliseconds;
    return (x < y) - (x > y);
}

static gm_status collect_profile(const subject *it, bool each, profile_rows *all)
{
    size_t capacity = it->trainer ? 0 : gm_session_profile_count(it->session);
    gm_profile_entry entry;
    gm_status status = GM_OK;
    for (size_t s = 0; s < it->step_count; s++)
        capacity += gm_trainer_profile_count(it->trainer, it->steps[s].name);
    all->rows = calloc(capacity + 1, sizeof *all->rows);
    if (!all->rows)
        return GM_ERROR_MEMORY;
    for (size_t i = 0; !it->trainer && status == GM_OK && i < capacity; i++)
        if ((status = gm_session_profile_entry(it->session, i, &entry)) == GM_OK)
            add_entry(all, &entry, each);
    for (size_t s = 0; s < it->step_count; s++)
        for (size_t i = 0; status == GM_OK && i < gm_trainer_profile_count(it->trainer, it->steps[s].name); i++)
            if ((status = gm_trainer_profile_entry(it->trainer, it->steps[s].name, i, &entry)) == GM_OK)
                add_entry(all, &entry, each);
    qsort(all->rows, all->count, sizeof *all->rows, longest_first);
    return status;
}

static void print_profile(const profile_rows *all, const bench_request *request, int64_t profiled)
{
    for (size_t i = 0; i < all->count; i++) {
        const gm_profile_entry *entry = &all->rows[i];
        double each = entry->milliseconds / (double)profiled;
        if (request->json)
            printf("%s\"%s\": %.6g", i ? ", " : "", entry->operator_name, each);
        else if (request->each)
            printf("  %9.4f %7.1f  %s\n", each, entry->flops / entry->milliseconds * 1e-6, entry->operator_name);
        else
            printf("  %-32s %10.4f  in %llu calls\n", entry->operator_name, each,
                   (unsigned long long)(entry->calls / (uint64_t)profiled));
    }
    if (request->json)
        puts("}}");
}

static gm_status bench(const subject *it, const bench_request *request, double *times)
{
    gm_plan_info plan;
    profile_rows rows = {0};
    int64_t profiled = 1;
    gm_status status = measure(it, times, request->runs);
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    long long peak = (long long)usage.ru_maxrss * 1024; /* Linux counts in KiB */
    if (status == GM_OK)
        status = profile(it, request, &profiled);
    if (status == GM_OK)
        status = subject_plan(it, &plan);
    if (status == GM_OK)
        status = collect_profile(it, request->each, &rows);
    if (status == GM_OK && request->json)
        print_json(request, request->batch ? request->batch : it->batch, times, &plan, peak);
    else if (status == GM_OK)
        print_plain(times, request, &plan, peak);
    if (status == GM_OK)
        print_profile(&rows, request, profiled);
    free(rows.rows);
    return status;
}

static int bench_model(gm_context *context, const gm_model *model, const bench_request *request)
{
    subject it;
    double *times = calloc((size_t)request->runs, sizeof *times);
    if (!times) {
        error_line("out of memory");
        return EXIT_FAILED;
    }
    gm_status status = subject_open(&it, model, request);
    if (status == GM_OK)
        status = bench(&it, request, times);
    int result = status == GM_OK ? EXIT_DONE : report_failure(context, status);
    subject_close(&it);
    free(times);
    return result;
}

static bool take_option(const command *self, bench_request *request, int letter, const char *value)
{
    switch (letter) {
    case STEP:
        if (request->step_count == STEPS_MAX) {
            usage_error(self, "at most %d --step", STEPS_MAX);
            return false;
        }
        request->steps[request->step_count++] = value;
        return true;
    case NETWORK:
        request->network = value;
        return true;
    case BATCH:
        return read_number("--batch", value, 1, &request->batch);
    case RUNS:
        return read_number_between("--runs", value, 1, RUNS_MAX, &request->runs);
    case JSON:
        request->json = true;
        return true;
    case EACH:
        request->each = true;
        return true;
    case SET:
        if (request->setting_count == SETTINGS_MAX) {
            usage_error(self, "at most %d --set", SETTINGS_MAX);
            return false;
        }
        request->settings[request->setting_count++] = value;
        return true;
    case THREADS:
        return read_threads(value, &request->how);
    case MATH:
        return read_math(self, value, &request->how.direct);
    case TUNE:
        return read_tune(self, value, &request->how.tune);
    case DATA:
        request->data = value;
        return true;
    default:
        return false;
    }
}

static int run(const command *self, int argc, char **argv)
{
    bench_request request = {.runs = 20};
    gm_model_options model_options;
    const char *value;
    int letter, status = EXIT_FAILED;
    while ((letter = next_option(self, argc, argv, &value)) >= 0)
        if (!take_option(self, &request, letter, value))
            return EXIT_USAGE;
    if (letter != OPTION_END)
        return letter == OPTION_HELP ? EXIT_DONE : EXIT_USAGE;
    if (!take_words(self, argc, argv, 1, 1, &request.file))
        return EXIT_USAGE;
    if (!request.how.threads)
        request.how.threads = default_threads();
    if (!request.step_count == !request.network)
        return usage_error(self, "one of --step NAME and --network NAME says what to measure");
    gm_model_options_default(&model_options, sizeof model_options);
    model_options.data_directory = request.data;
    model_options.settings = request.settings;
    model_options.setting_count = request.setting_count;
    gm_context *context = open_context(&request.how, &status);
    gm_model *model = context ? open_model(context, request.file, &model_options, &status) : NULL;
    if (model)
        status = bench_model(context, model, &request);
    gm_model_destroy(model);
    gm_context_destroy(context);
    return status;
}

const command command_bench = {
    "bench",
    "MODEL --step NAME... | --network NAME [--batch N] [--runs K] [--json] [--each]\n"
    "                   [--set NAME=VALUE]... [--threads T] [--math HOW] [--tune FILE]\n"
    "                   [--data DIR]",
    "Measures time and memory of steps or a network.",
    options,
    run,
};
