/* What the commands of gmrun share: their table, option parsing, error lines, small helpers. */
#ifndef GMRUN_H
#define GMRUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/gmodel.h"

/* Exit statuses, as documented in `gmrun --help`. */
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* One line of a command's --help. `letter` is a short option if it is a printable character, else any value from 256.
 */
typedef struct option_line {
    const char *name; /* NULL ends the table */
    int letter;
    const char *argument; /* NULL: a switch */
    const char *help;
} option_line;

typedef struct command {
    const char *name;
    const char *synopsis;
    const char *summary;
    const option_line *options;
    int (*run)(const struct command *self, int argc, char **argv);
} command;

extern const command command_bench, command_check, command_convert, command_eval, command_export, command_inspect,
    command_ops, command_run, command_sample, command_train, command_weights;

/* ---- options.c ---- */

/* Results of next_option besides the letters of the table. */
enum { OPTION_END = -1, OPTION_HELP = -2, OPTION_ERROR = -3 };
/* The next option of argv; *value_out is its argument. Help and errors have been printed when it returns those. */
int next_option(const command *self, int argc, char **argv, const char **value_out);
/* The arguments left after the options: between least and most of them, stored in words (NULL where absent). */
bool take_words(const command *self, int argc, char **argv, int least, int most, const char **words);
/* A whole number of at least `least`; false after an error line. */
bool read_number(const char *option, const char *text, int64_t least, int64_t *value_out);
bool read_number_between(const char *option, const char *text, int64_t least, int64_t most, int64_t *value_out);
/* Any number of 64 bits. */
bool read_seed(const char *text, uint64_t *value_out);
void print_command_help(const command *self);
/* `gmrun: ...` and the hint to read --help; returns EXIT_USAGE. */
int usage_error(const command *self, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The name nearest to `word`, or NULL if none is near. */
const char *nearest(const char *word, const char *const *names, size_t count);

/* ---- common.c ---- */

/* `gmrun: ...` on stderr. */
void error_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints the context's message. Returns the exit status: EXIT_USAGE for what is wrong with arguments or model,
 * EXIT_FAILED for what went wrong while working. */
int report_failure(const gm_context *context, gm_status status);
/* How the commands that compute do it: --threads and --math. */
typedef struct compute_request {
    int64_t threads;  /* 0: one per processor */
    bool direct;      /* --math direct */
    const char *tune; /* --tune; NULL: not given */
} compute_request;
/* The number behind --threads; false after an error line. */
bool read_threads(const char *text, compute_request *how);
/* As many as a context starts of itself: one per processor, within its limit. */
int64_t default_threads(void);
/* The word behind --math; false after an error line. */
bool read_math(const command *self, const char *word, bool *direct_out);
/* The file behind --tune, likewise. */
bool read_tune(const command *self, const char *path, const char **tune_out);
#define DATA_HELP    "where data sets are looked for first (then $GMODEL_DATA, data/ beside the model)"
#define SET_HELP     "replace a const of the file; may be repeated"
#define THREADS_HELP "default: one per processor"
#define TUNE_HELP    "time each way to compute, take the fastest; FILE remembers them for the next time"
#define MATH_HELP    "fast (default), or direct: no convolution by transforms (they differ by 5e-6)"
/* A context that logs to stderr; on failure prints and stores the exit status. how NULL: defaults. */
gm_context *open_context(const compute_request *how, int *exit_out);
/* Loads; on failure prints and stores the exit status (EXIT_USAGE also when the file cannot be read). */
gm_model *open_model(gm_context *context, const char *path, const gm_model_options *options, int *exit_out);
/* Whether the file begins like the binary encoding. */
bool is_binary_model(const char *path);
/* Called before a line is logged, to clear a progress line; see progress.c. */
void before_log(void);
/* mkdir -p; false after an error line. */
bool make_directories(const char *path);
/* Joins with '/'; false after an error line when it does not fit. */
bool join_path(char *path, size_t size, const char *directory, const char *name);
bool ends_with(const char *text, const char *end);
void write_text(const char *text, void *user); /* to the FILE * in user */
/* "float[64, 100]" */
const char *shape_text(char *text, size_t size, const gm_tensor_view *view);
size_t element_count(const gm_tensor_view *view);

/* Plain random numbers for benchmark inputs and for networks that are sampled without a `sample`. */
typedef struct random_state {
    uint64_t state;
} random_state;
double random_uniform(random_state *random); /* [0, 1) */
double random_normal(random_state *random);
/* Fills an input: floats normal, integers 0 or 1. */
void fill_random(random_state *random, const gm_tensor_view *view, void *data);

/* ---- progress.c ---- */

typedef struct progress_display {
    bool terminal;
    int64_t step_limit;    /* 0: none */
    int64_t rounds;        /* of this run */
    int64_t rounds_before; /* of the runs that this one goes on from */
    double last_drawn;     /* seconds of the run */
    double epoch_started;  /* seconds of the run */
    bool unread;           /* nobody reads the pipe any more */
} progress_display;

void progress_start(progress_display *display, int64_t step_limit);
void progress_show(progress_display *display, const gm_progress *progress);
/* Whether the lines went to a pipe whose reader has ended. */
bool progress_unread(const progress_display *display);
void progress_end(progress_display *display);
/* One bar line of at most `width` characters, without newline: for a terminal. */
void progress_bar_line(char *line, size_t size, int width, const gm_progress *progress, double seconds_left);

#endif
