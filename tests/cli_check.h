/* Running gmrun as its user does, in a scratch directory: for the suites of the command line. */
#ifndef CLI_CHECK_H
#define CLI_CHECK_H

#include <check.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tools/gmrun.h"

static const char *gmrun; /* the program under test, argv[1] */
static char scratch[] = "/tmp/gmodel_cli_XXXXXX";
static char output[1 << 16]; /* what the last command printed, both streams */

/* Two numbers that chase each other: trains without any data. */
static const char chase[] __attribute__((unused)) =
    "model chase <gmodel = 1, opset = 21, seed = 3>\n"
    "const rate = 0.1\n"
    "network x () => (float v) { param v : float = 1 }\n"
    "network y () => (float v) { param v : float = 1 }\n"
    "step up { minimize -(x() * y()) over y with Adam <rate = rate>\n"
    "  report height = x() * y() }\n"
    "step down { minimize x() * y() over x with Adam <rate = rate> }\n"
    "train epochs 4 of 5 iteration { up down every 1 epoch checkpoint }\n";

static const char pictures[] __attribute__((unused)) =
    "model pictures <gmodel = 1, opset = 21>\n"
    "network paint (float[N, 3] z) => (float[N, 1, 4, 4] image) {\n"
    "  image = Tanh(Reshape(Dense <16> (z), [0, 1, 4, 4]))\n}\n"
    "sample grid { write picture = paint(RandomNormal <shape = [4, 3], seed = 7> ()) }\n";

static void path_in(char *path, size_t size, const char *name)
{
    ck_assert(snprintf(path, size, "%s/%s", scratch, name) < (int)size);
}

static inline void write_model(const char *name, const char *text)
{
    char path[256];
    path_in(path, sizeof path, name);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    ck_assert_int_eq(fclose(file), 0);
}

/* Runs `gmrun ARGUMENTS` in the scratch directory; returns the exit status. */
static inline int run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline int run(const char *format, ...)
{
    char line[2048];
    int at = snprintf(line, sizeof line, "cd %s && { '%s' ", scratch, gmrun);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + at, sizeof line - (size_t)at, format, arguments);
    va_end(arguments);
    strncat(line, "; } 2>&1", sizeof line - strlen(line) - 1);
    FILE *pipe = popen(line, "r");
    ck_assert_ptr_nonnull(pipe);
    size_t length = fread(output, 1, sizeof output - 1, pipe);
    output[length] = 0;
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define ck_exits(expected, ...)                                                                                        \
    do {                                                                                                               \
        int got_ = run(__VA_ARGS__);                                                                                   \
        ck_assert_msg(got_ == (expected), "exit status %d: %s", got_, output);                                         \
    } while (0)

static inline void ck_says(const char *text)
{
    ck_assert_msg(strstr(output, text) != NULL, "'%s' is not in: %s", text, output);
}

static inline bool exists(const char *name)
{
    char path[256];
    path_in(path, sizeof path, name);
    return access(path, F_OK) == 0;
}

static inline size_t read_file(const char *name, char *data, size_t size)
{
    char path[256];
    path_in(path, sizeof path, name);
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s is missing", path);
    size_t length = fread(data, 1, size, file);
    fclose(file);
    return length;
}

static inline void ck_same_file(const char *a, const char *b)
{
    static char left[1 << 20], right[1 << 20];
    size_t left_length = read_file(a, left, sizeof left), right_length = read_file(b, right, sizeof right);
    ck_assert_uint_eq(left_length, right_length);
    ck_assert_uint_lt(left_length, sizeof left);
    ck_assert_mem_eq(left, right, left_length);
}

/* How often `text` begins a line of the output. */
static inline int lines_with(const char *text)
{
    int count = 0;
    for (const char *at = output; at; at = strchr(at, '\n')) {
        at += *at == '\n';
        count += !strncmp(at, text, strlen(text));
    }
    return count;
}

static inline void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline void shell(const char *format, ...)
{
    char line[2048];
    int at = snprintf(line, sizeof line, "cd %s && ", scratch);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + at, sizeof line - (size_t)at, format, arguments);
    va_end(arguments);
    ck_assert_msg(system(line) == 0, "%s", line);
}

/* Starts `gmrun ARGUMENTS`, its output in log.txt, and waits until `file` is there. */
static inline pid_t start(const char *arguments, const char *file)
{
    char line[1024];
    snprintf(line, sizeof line, "cd %s && exec '%s' %s >log.txt 2>&1", scratch, gmrun, arguments);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (!child) {
        execl("/bin/sh", "sh", "-c", line, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 5000 && !exists(file); i++)
        nanosleep(&(struct timespec){0, 2000000}, NULL);
    ck_assert(exists(file));
    return child;
}

static inline int end(pid_t child)
{
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    output[read_file("log.txt", output, sizeof output - 1)] = 0;
    return status;
}

static void remove_scratch(void)
{
    char line[64];
    snprintf(line, sizeof line, "rm -rf %s", scratch);
    if (system(line))
        fprintf(stderr, "%s was not removed\n", scratch);
}

/* Runs the suite in a scratch directory: argv[1] is the program under test. */
static int run_suite(int argc, char **argv, const char *name, void (*add)(TCase *))
{
    char program[PATH_MAX];
    if (argc != 2 || !realpath(argv[1], program) || !mkdtemp(scratch)) {
        fprintf(stderr, "usage: %s GMRUN\n", argv[0]);
        return 2;
    }
    gmrun = program;
    Suite *suite = suite_create(name);
    TCase *cases = tcase_create(name);
    tcase_set_timeout(cases, 60);
    add(cases);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    remove_scratch();
    return failed != 0;
}

#endif
