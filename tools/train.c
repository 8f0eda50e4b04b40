/* gmrun train: runs the whole schedule of a model file. */
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/gmrun.h"

enum { DATA = 256, OUT, EPOCHS, STEPS, BATCH, LIMIT, SET, SEED, THREADS, MATH, TUNE, RESUME, TRACE };

static const option_line options[] = {
    {"data", DATA, "DIR", DATA_HELP},
    {"out", OUT, "DIR", "metrics, samples and checkpoint go here (default: runs/<model name>)"},
    {"epochs", EPOCHS, "N", "instead of the epochs of the file"},
    {"steps", STEPS, "N", "stop after N rounds"},
    {"batch", BATCH, "N", "instead of the batch of the file"},
    {"limit", LIMIT, "EXAMPLES", "use only so many examples of each data set"},
    {"set", SET, "NAME=VALUE", SET_HELP},
    {"seed", SEED, "S", "instead of the seed of the file"},
    {"threads", THREADS, "T", THREADS_HELP},
    {"math", MATH, "HOW", MATH_HELP},
    {"tune", TUNE, "FILE", TUNE_HELP},
    {"resume", RESUME, NULL, "continue from DIR/checkpoint.gmodel of --out"},
    {"trace", TRACE, "DIR", "write every input, draw, report and parameter of each round"},
    {0},
};

typedef struct train_request {
    const char *model_path;
    const char *out;
    compute_request how;
    bool resume;
    const char **words; /* of the command line as given, NULL at the end: getopt_long reorders argv */
    const char **settings;
    gm_model_options model;
    gm_trainer_options trainer;
    gm_run_options run;
} train_request;

static atomic_int interrupted;

/* The first SIGINT or SIGTERM asks the training to stop, the second one ends the program at once. */
static void *wait_for_signals(void *stops)
{
    int number = 0;
    while (sigwait(stops, &number))
        ;
    atomic_store(&interrupted, 1);
    while (sigwait(stops, &number))
        ;
    signal(number, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, stops, NULL);
    raise(number);
    return NULL;
}

/* Called before any other thread starts: all of them block the signals, which one thread of their own takes. A handler
 * would not do: oneDNN's matrix kernels point the stack register into the heap, where a signal that comes in the middle
 * of one would write its frame over other memory. SIGTERM is what a batch system sends. SIGPIPE is ignored since Ctrl-C
 * on `gmrun train | tee log` ends tee first, and must not kill before the training is saved. */
static void catch_interrupt(void)
{
    static sigset_t stops;
    pthread_t thread;
    sigemptyset(&stops);
    sigaddset(&stops, SIGINT);
    sigaddset(&stops, SIGTERM);
    signal(SIGPIPE, SIG_IGN);
    pthread_sigmask(SIG_BLOCK, &stops, NULL);
    if (pthread_create(&thread, NULL, wait_for_signals, &stops))
        pthread_sigmask(SIG_UNBLOCK, &stops, NULL); /* they kill, as without us */
    else
        pthread_detach(thread);
}

static int on_progress(const gm_progress *progress, void *user)
{
    progress_show(user, progress);
    return atomic_load(&interrupted) || progress_unread(user);
}

/* The name of a folder. */
static bool take_folder(const command *self, const char *option, const char *value, const char **folder)
{
    if (!value[0])
        usage_error(self, "%s wants the name of a folder, not ''", option);
    *folder = value;
    return value[0] != 0;
}

static bool add_setting(const command *self, train_request *request, const char *text)
{
    if (!strchr(text, '=') || text[0] == '=') {
        usage_error(self, "--set wants NAME=VALUE, not '%s'", text);
        return false;
    }
    request->settings[request->model.setting_count++] = text;
    return true;
}

static bool take_option(const command *self, train_request *request, int letter, const char *value)
{
    switch (letter) {
    case DATA:
        return take_folder(self, "--data", value, &request->model.data_directory);
    case OUT:
        return take_folder(self, "--out", value, &request->out);
    case EPOCHS:
        return read_number("--epochs", value, 1, &request->run.epochs);
    case STEPS:
        return read_number("--steps", value, 1, &request->run.steps);
    case BATCH:
        return read_number("--batch", value, 1, &request->trainer.batch);
    case LIMIT:
        return read_number("--limit", value, 1, &request->run.limit);
    case SET:
        return add_setting(self, request, value);
    case SEED:
        request->model.has_seed = 1;
        return read_seed(value, &request->model.seed);
    case THREADS:
        return read_threads(value, &request->how);
    case MATH:
        return read_math(self, value, &request->how.direct);
    case TUNE:
        return read_tune(self, value, &request->how.tune);
    case RESUME:
        request->resume = true;
        return true;
    case TRACE:
        return take_folder(self, "--trace", value, &request->run.trace_directory);
    default:
        return false;
    }
}

/* A word of a command line, quoted where the shell would change it. */
static void print_word(const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=./,:+@%";
    if (word[0] && !word[strspn(word, plain)]) {
        printf(" %s", word);
        return;
    }
    printf(" '");
    for (; *word; word++)
        if (*word == '\'')
            printf("'\\''");
        else
            putchar(*word);
    putchar('\'');
}

/* The command that continues this run, with the words it was given. */
static void print_resume(const train_request *request)
{
    printf("stopped and saved; to go on:\n  gmrun");
    for (const char *const *word = request->words; *word; word++)
        print_word(*word);
    puts(request->resume ? "" : " --resume");
}

/* " NAME" where it is in the folder of this training. */
static void print_made(const train_request *request, const char *name)
{
    char path[PATH_MAX];
    if (join_path(path, sizeof path, request->out, name) && !access(path, F_OK))
        printf(" %s", name);
}

static void print_end(const train_request *request, const progress_display *display, const gm_model *model)
{
    static const char *const made[] = {"metrics.csv", "iterations.csv", "curves.png", "samples", "checkpoint.gmodel"};
    char table[256];
    if (display->rounds)
        printf("done: %lld step%s; %s has", (long long)display->rounds, display->rounds == 1 ? "" : "s", request->out);
    else
        printf("nothing was left to do; %s has", request->out);
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++)
        print_made(request, made[i]);
    for (size_t i = 0; i < gm_model_part_count(model, GM_PART_EVALUATION); i++) {
        snprintf(table, sizeof table, "%s.csv", gm_model_part_name(model, GM_PART_EVALUATION, i));
        print_made(request, table);
    }
    putchar('\n');
}

static int train_model(const gm_model *model, gm_context *context, train_request *request)
{
    char out[PATH_MAX], checkpoint[PATH_MAX];
    gm_trainer *trainer = NULL;
    if (!gm_model_part_count(model, GM_PART_TRAIN)) {
        error_line("%s declares no training: a `train` block is needed", request->model_path);
        return EXIT_USAGE;
    }
    if (!request->out) {
        if (!join_path(out, sizeof out, "runs", gm_model_name(model)))
            return EXIT_USAGE;
        request->out = out;
    }
    if (!join_path(checkpoint, sizeof checkpoint, request->out, "checkpoint.gmodel"))
        return EXIT_USAGE;
    if (request->resume && access(checkpoint, R_OK)) {
        error_line("nothing to resume: there is no %s", checkpoint);
        return EXIT_USAGE;
    }
    request->trainer.resume = request->resume ? checkpoint : NULL;
    request->run.out_directory = request->out;
    gm_status status = gm_trainer_create(model, &request->trainer, &trainer);
    if (status != GM_OK)
        return report_failure(context, status);
    if (!make_directories(request->out)) {
        gm_trainer_destroy(trainer);
        return EXIT_FAILED;
    }
    progress_display display;
    progress_start(&display, request->run.steps);
    request->run.progress = on_progress;
    request->run.user = &display;
    status = gm_trainer_run(trainer, &request->run);
    progress_end(&display);
    gm_trainer_destroy(trainer);
    if (status == GM_ERROR_INTERRUPTED) {
        print_resume(request);
        return EXIT_FAILED;
    }
    if (status != GM_OK)
        return report_failure(context, status);
    print_end(request, &display, model);
    return EXIT_DONE;
}

static int train_request_run(const command *self, train_request *request, int argc, char **argv)
{
    const char *value;
    int letter;
    gm_model_options_default(&request->model, sizeof request->model);
    gm_trainer_options_default(&request->trainer, sizeof request->trainer);
    gm_run_options_default(&request->run, sizeof request->run);
    while ((letter = next_option(self, argc, argv, &value)) >= 0)
        if (!take_option(self, request, letter, value))
            return EXIT_USAGE;
    if (letter != OPTION_END)
        return letter == OPTION_HELP ? EXIT_DONE : EXIT_USAGE;
    if (!take_words(self, argc, argv, 1, 1, &request->model_path))
        return EXIT_USAGE;
    request->model.settings = request->settings;
    catch_interrupt();

    int status = EXIT_FAILED;
    gm_context *context = open_context(&request->how, &status);
    gm_model *model = context ? open_model(context, request->model_path, &request->model, &status) : NULL;
    if (model)
        status = train_model(model, context, request);
    gm_model_destroy(model);
    gm_context_destroy(context);
    return status;
}

static int run(const command *self, int argc, char **argv)
{
    train_request request = {.settings = calloc((size_t)argc + 1, sizeof *request.settings),
                             .words = calloc((size_t)argc + 1, sizeof *request.words)};
    int status = EXIT_FAILED;
    if (request.settings && request.words) {
        memcpy(request.words, argv, (size_t)argc * sizeof *argv);
        status = train_request_run(self, &request, argc, argv);
    } else {
        error_line("out of memory");
    }
    free(request.settings);
    free(request.words);
    return status;
}

const command command_train = {
    "train",
    "MODEL [--data DIR] [--out DIR] [--epochs N] [--steps N] [--batch N] [--limit EXAMPLES]\n"
    "                   [--set NAME=VALUE]... [--seed S] [--threads T] [--math HOW] [--tune FILE]\n"
    "                   [--resume] [--trace DIR]",
    "Trains a model as its file declares.",
    options,
    run,
};
