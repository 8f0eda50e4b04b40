/* Options of the commands: libc's getopt_long driven by each command's table, with the nearest spelling on a mistake.
 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/gmrun.h"

enum { OPTIONS_MAX = 24, WORD_MAX = 48 };

void print_command_help(const command *self)
{
    printf("usage: gmrun %s%s%s\n\n%s\n\n", self->name, self->synopsis[0] ? " " : "", self->synopsis, self->summary);
    for (const option_line *line = self->options; line->name; line++) {
        char left[64];
        int at = isprint(line->letter) ? snprintf(left, sizeof left, "-%c, ", line->letter) : 0;
        snprintf(left + at, sizeof left - (size_t)at, "--%s%s%s", line->name, line->argument ? " " : "",
                 line->argument ? line->argument : "");
        printf("  %-22s %s\n", left, line->help);
    }
    printf("  %-22s %s\n", "-h, --help", "print this");
}

int usage_error(const command *self, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    error_line("%s (see `gmrun %s --help`)", text, self->name);
    return EXIT_USAGE;
}

static size_t least_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Number of insertions, deletions, replacements and swaps of neighbours between two words (optimal string alignment).
 */
static size_t distance(const char *a, const char *b)
{
    size_t rows[3][WORD_MAX + 1];
    size_t a_length = strlen(a), b_length = strlen(b);
    if (a_length > WORD_MAX || b_length > WORD_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= b_length; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);
            best = least_of(best, least_of(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                best = least_of(best, above2[j - 2] + 1);
            row[j] = best;
        }
    }
    return rows[a_length % 3][b_length];
}

const char *nearest(const char *word, const char *const *names, size_t count)
{
    const char *best = NULL;
    size_t best_distance = strlen(word) / 3 + 2; /* this far is no likeness */
    for (size_t i = 0; i < count; i++) {
        size_t d = distance(word, names[i]);
        if (d < best_distance) {
            best_distance = d;
            best = names[i];
        }
    }
    return best;
}

static int bad_option(const command *self, char **argv)
{
    for (const option_line *line = self->options; line->name; line++)
        if (optopt == line->letter) {
            usage_error(self, "--%s takes no value", line->name);
            return OPTION_ERROR;
        }
    if (optopt) {
        usage_error(self, "unknown option '-%c'", optopt);
        return OPTION_ERROR;
    }
    char word[WORD_MAX + 1];
    const char *names[OPTIONS_MAX + 1];
    size_t count = 0;
    snprintf(word, sizeof word, "%s", argv[optind - 1] + 2);
    word[strcspn(word, "=")] = 0;
    for (const option_line *line = self->options; line->name && count < OPTIONS_MAX; line++)
        names[count++] = line->name;
    names[count++] = "help";
    const char *near = nearest(word, names, count);
    if (near)
        usage_error(self, "unknown option '--%s'; did you mean '--%s'?", word, near);
    else
        usage_error(self, "unknown option '--%s'", word);
    return OPTION_ERROR;
}

int next_option(const command *self, int argc, char **argv, const char **value_out)
{
    struct option longs[OPTIONS_MAX + 2] = {{0}};
    char shorts[2 * OPTIONS_MAX + 4] = ":h";
    size_t count = 0, at = strlen(shorts);
    for (const option_line *line = self->options; line->name && count < OPTIONS_MAX; line++) {
        longs[count++] =
            (struct option){line->name, line->argument ? required_argument : no_argument, NULL, line->letter};
        if (isprint(line->letter)) {
            shorts[at++] = (char)line->letter;
            if (line->argument)
                shorts[at++] = ':';
        }
    }
    longs[count] = (struct option){"help", no_argument, NULL, 'h'};
    opterr = 0;
    int letter = getopt_long(argc, argv, shorts, longs, NULL);
    *value_out = optarg;
    if (letter == 'h') {
        print_command_help(self);
        return OPTION_HELP;
    }
    if (letter == '?')
        return bad_option(self, argv);
    if (letter == ':') {
        usage_error(self, "option '%s' wants a value", argv[optind - 1]);
        return OPTION_ERROR;
    }
    return letter == -1 ? OPTION_END : letter;
}

bool take_words(const command *self, int argc, char **argv, int least, int most, const char **words)
{
    int count = argc - optind;
    if (count < least) {
        usage_error(self, "an argument is missing: gmrun %s %.*s", self->name, (int)strcspn(self->synopsis, " "),
                    self->synopsis);
        return false;
    }
    if (count > most) {
        usage_error(self, "unexpected argument '%s'", argv[optind + most]);
        return false;
    }
    for (int i = 0; i < most; i++)
        words[i] = i < count ? argv[optind + i] : NULL;
    return true;
}

bool read_number_between(const char *option, const char *text, int64_t least, int64_t most, int64_t *value_out)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10); /* the nearest number when there is none of 64 bits */
    bool is_number = end != text && !*end;
    if (is_number && !errno && value >= least && value <= most) {
        *value_out = value;
        return true;
    }
    if (most < INT64_MAX)
        error_line("%s wants a whole number from %lld to %lld, not '%s'", option, (long long)least, (long long)most,
                   text);
    else if (is_number && value > least)
        error_line("%s wants a whole number of at most %lld, not '%s'", option, (long long)most, text);
    else
        error_line("%s wants a whole number of at least %lld, not '%s'", option, (long long)least, text);
    return false;
}

bool read_number(const char *option, const char *text, int64_t least, int64_t *value_out)
{
    return read_number_between(option, text, least, INT64_MAX, value_out);
}

bool read_seed(const char *text, uint64_t *value_out)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 0);
    if (errno || end == text || *end || strchr(text, '-')) {
        error_line("--seed wants a whole number from 0 to 2^64 - 1, not '%s'", text);
        return false;
    }
    *value_out = value;
    return true;
}
