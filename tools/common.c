/* Small helpers of the commands: error lines, opening context and model, paths, random inputs. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/gmrun.h"

void error_line(const char *format, ...)
{
    before_log();
    fputs("gmrun: ", stderr);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

/* "FILE:LINE:COLUMN: " of a file that is there, which editors jump to where it begins the line. */
static bool begins_with_place(const char *message)
{
    char path[PATH_MAX];
    for (const char *at = strchr(message, ':'); at; at = strchr(at + 1, ':')) {
        size_t line = strspn(at + 1, "0123456789"), column = 0;
        if (line && at[line + 1] == ':')
            column = strspn(at + line + 2, "0123456789");
        if (column && at[line + column + 2] == ':')
            return snprintf(path, sizeof path, "%.*s", (int)(at - message), message) < (int)sizeof path &&
                   !access(path, F_OK);
    }
    return false;
}

int report_failure(const gm_context *context, gm_status status)
{
    const char *message = gm_context_message(context);
    if (!message[0])
        message = gm_status_name(status);
    if (strchr(message, '\n') || begins_with_place(message)) {
        before_log();
        fprintf(stderr, "%s\n", message); /* diagnostics of a model file: each line says its place */
    } else {
        error_line("%s", message);
    }
    bool asked_wrongly = status == GM_ERROR_ARGUMENT || status == GM_ERROR_MODEL || status == GM_ERROR_UNSUPPORTED;
    return asked_wrongly ? EXIT_USAGE : EXIT_FAILED;
}

static void log_line(const char *line, void *user)
{
    (void)user;
    before_log();
    fprintf(stderr, "%s\n", line);
}

enum { THREADS_MAX = 1024 }; /* that a context takes */

bool read_threads(const char *text, compute_request *how)
{
    return read_number_between("--threads", text, 1, THREADS_MAX, &how->threads);
}

int64_t default_threads(void)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    return processors < 1 ? 1 : processors > THREADS_MAX ? THREADS_MAX : processors;
}

bool read_math(const command *self, const char *word, bool *direct_out)
{
    *direct_out = strcmp(word, "direct") == 0;
    if (*direct_out || strcmp(word, "fast") == 0)
        return true;
    usage_error(self, "--math wants fast or direct, not '%s'", word);
    return false;
}

bool read_tune(const command *self, const char *path, const char **tune_out)
{
    *tune_out = path;
    if (path[0])
        return true;
    usage_error(self, "--tune wants the name of a file, not ''");
    return false;
}

gm_context *open_context(const compute_request *how, int *exit_out)
{
    gm_context_options options;
    gm_context *context = NULL;
    gm_context_options_default(&options, sizeof options);
    options.log = log_line;
    if (how) {
        options.threads = (int)how->threads; /* THREADS_MAX at most */
        options.direct_math = how->direct;
        options.tune = how->tune;
    }
    gm_status status = gm_context_create(&options, &context);
    *exit_out = EXIT_FAILED;
    if (status != GM_OK)
        error_line("%s", gm_status_name(status));
    return context;
}

gm_model *open_model(gm_context *context, const char *path, const gm_model_options *options, int *exit_out)
{
    gm_model *model = NULL;
    gm_status status = gm_model_load(context, path, options, &model);
    if (status == GM_OK)
        return model;
    *exit_out = report_failure(context, status);
    if (status == GM_ERROR_FILE)
        *exit_out = EXIT_USAGE;
    return NULL;
}

bool is_binary_model(const char *path)
{
    FILE *file = fopen(path, "rb");
    int first = file ? fgetc(file) : EOF;
    if (file)
        fclose(file);
    return first == 0x08; /* field 1 of a ModelProto, ir_version; no text begins with a backspace */
}

bool make_directories(const char *path)
{
    char part[PATH_MAX];
    if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part) {
        error_line("the path is too long: %s", path);
        return false;
    }
    for (char *at = part + 1;; at++) {
        if (*at && *at != '/')
            continue;
        char kept = *at;
        *at = 0;
        struct stat info;
        int problem = mkdir(part, 0777) ? errno : 0;
        if (problem == EEXIST)
            problem = stat(part, &info) ? errno : S_ISDIR(info.st_mode) ? 0 : ENOTDIR;
        if (problem) {
            error_line("%s: the directory cannot be made: %s", part, strerror(problem));
            return false;
        }
        *at = kept;
        if (!kept)
            return true;
    }
}

bool join_path(char *path, size_t size, const char *directory, const char *name)
{
    if (snprintf(path, size, "%s/%s", directory, name) < (int)size)
        return true;
    error_line("the path is too long: %s/%s", directory, name);
    return false;
}

bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && !strcmp(text + length - end_length, end);
}

void write_text(const char *text, void *user)
{
    fputs(text, user);
}

static const struct {
    gm_type type;
    const char *name;
} type_names[] = {
    {GM_FLOAT, "float"},       {GM_UINT8, "uint8"},   {GM_INT8, "int8"},     {GM_UINT16, "uint16"},
    {GM_INT16, "int16"},       {GM_INT32, "int32"},   {GM_INT64, "int64"},   {GM_BOOL, "bool"},
    {GM_FLOAT16, "float16"},   {GM_DOUBLE, "double"}, {GM_UINT32, "uint32"}, {GM_UINT64, "uint64"},
    {GM_BFLOAT16, "bfloat16"},
};

const char *shape_text(char *text, size_t size, const gm_tensor_view *view)
{
    const char *type = "?";
    for (size_t i = 0; i < sizeof type_names / sizeof type_names[0]; i++)
        if (type_names[i].type == view->type)
            type = type_names[i].name;
    size_t at = (size_t)snprintf(text, size, "%s[", type);
    for (int i = 0; i < view->rank && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%lld", i ? ", " : "", (long long)view->dims[i]);
    if (at < size)
        snprintf(text + at, size - at, "]");
    return text;
}

size_t element_count(const gm_tensor_view *view)
{
    size_t count = 1;
    for (int i = 0; i < view->rank; i++)
        count *= (size_t)view->dims[i];
    return count;
}

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t random_bits(random_state *random)
{
    uint64_t x = random->state += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

double random_uniform(random_state *random)
{
    return (double)(random_bits(random) >> 11) * 0x1p-53;
}

double random_normal(random_state *random)
{
    double radius = sqrt(-2 * log(1 - random_uniform(random)));
    return radius * cos(6.283185307179586 * random_uniform(random));
}

void fill_random(random_state *random, const gm_tensor_view *view, void *data)
{
    size_t count = element_count(view);
    size_t width = count ? view->bytes / count : 0;
    memset(data, 0, view->bytes);
    for (size_t i = 0; i < count; i++) {
        if (view->type == GM_FLOAT)
            ((float *)data)[i] = (float)random_normal(random);
        else if (view->type == GM_DOUBLE)
            ((double *)data)[i] = random_normal(random);
        else if (view->type != GM_FLOAT16 && view->type != GM_BFLOAT16 && width)
            ((uint8_t *)data)[i * width] = random_bits(random) & 1; /* little endian, as oneDNN's processors are */
    }
}
