/* How training shows itself: one updating line on a terminal, plain lines elsewhere. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tools/gmrun.h"

static bool bar_stands; /* whether a bar is on the terminal's current line: error lines clear it first */

static const char clear_line[] = "\r\033[K";

void before_log(void)
{
    if (!bar_stands)
        return;
    bar_stands = false;
    fputs(clear_line, stdout);
    fflush(stdout);
}

static int terminal_width(void)
{
    struct winsize size;
    if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col > 0)
        return size.ws_col;
    return 80;
}

void progress_start(progress_display *display, int64_t step_limit)
{
    const char *terminal = getenv("TERM");
    *display = (progress_display){.step_limit = step_limit, .last_drawn = -1};
    display->terminal = isatty(STDOUT_FILENO) && terminal && strcmp(terminal, "dumb");
}

/* Rounds still to do, until the schedule or the limit on rounds ends. */
static double rounds_left(const progress_display *display, const gm_progress *progress)
{
    double left = (double)(progress->epochs - progress->epoch) * (double)progress->iterations;
    if (!progress->epoch_ended)
        left -= (double)progress->iteration;
    if (display->step_limit && left > (double)(display->step_limit - display->rounds))
        left = (double)(display->step_limit - display->rounds);
    return left > 0 ? left : 0;
}

static void time_text(char *text, size_t size, double seconds)
{
    long long whole = seconds < 0 ? 0 : seconds > 1e9 ? 1000000000 : (long long)(seconds + 0.5);
    if (whole >= 3600)
        snprintf(text, size, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
    else
        snprintf(text, size, "%lld:%02lld", whole / 60, whole % 60);
}

/* Appends " NAME VALUE" for as many reports as fit in `room` characters. */
static void add_reports(char *line, size_t size, size_t room, const gm_progress *progress)
{
    size_t at = strlen(line);
    for (size_t i = 0; i < progress->report_count; i++) {
        char part[96];
        int length = snprintf(part, sizeof part, "  %s %.4g", progress->report_names[i], progress->reports[i]);
        if (length < 0 || at + (size_t)length >= size || at + (size_t)length > room)
            return;
        memcpy(line + at, part, (size_t)length + 1);
        at += (size_t)length;
    }
}

static int64_t epoch_number(const gm_progress *progress)
{
    return progress->epoch + !progress->epoch_ended; /* people count the epoch that runs */
}

void progress_bar_line(char *line, size_t size, int width, const gm_progress *progress, double seconds_left)
{
    char left[32], head[64], tail[96], bar[40] = "";
    if (width < 1 || size < 2) {
        if (size)
            line[0] = 0;
        return;
    }
    time_text(left, sizeof left, seconds_left);
    snprintf(head, sizeof head, "epoch %lld/%lld", (long long)epoch_number(progress), (long long)progress->epochs);
    snprintf(tail, sizeof tail, " %lld/%lld  %.3g steps/s  %s left", (long long)progress->iteration,
             (long long)progress->iterations, progress->rounds_per_second, left);
    int room = width - (int)(strlen(head) + strlen(tail)) - 3;
    int cells = room > 60 ? 20 : room > 24 ? 10 : 0;
    if (cells) {
        double share = progress->iterations ? (double)progress->iteration / (double)progress->iterations : 0;
        int full = (int)(share * cells + 1e-9);
        bar[0] = ' ';
        bar[1] = '[';
        for (int i = 0; i < cells; i++)
            bar[2 + i] = i < full ? '=' : i == full ? '>' : ' ';
        bar[2 + cells] = ']';
    }
    snprintf(line, size, "%s%s%s", head, bar, tail);
    add_reports(line, size, (size_t)width, progress);
    if (strlen(line) > (size_t)width)
        line[width] = 0;
}

/* The line that stays: at the end of an epoch, and every ten seconds where there is no terminal. */
static void print_plain(progress_display *display, const gm_progress *progress)
{
    char line[2048];
    int at =
        snprintf(line, sizeof line, "epoch %lld/%lld", (long long)epoch_number(progress), (long long)progress->epochs);
    if (!progress->epoch_ended)
        at += snprintf(line + at, sizeof line - (size_t)at, "  step %lld/%lld", (long long)progress->iteration,
                       (long long)progress->iterations);
    snprintf(line + at, sizeof line - (size_t)at, "  %.1f s  %.3g steps/s", progress->seconds - display->epoch_started,
             progress->rounds_per_second);
    add_reports(line, sizeof line, display->terminal ? (size_t)terminal_width() - 1 : sizeof line, progress);
    before_log();
    puts(line);
    if (fflush(stdout))
        display->unread = errno == EPIPE;
}

static void draw_bar(const progress_display *display, const gm_progress *progress)
{
    char line[1024];
    int width = terminal_width() - 1; /* the last column would wrap */
    double rate = progress->rounds_per_second;
    double seconds = rate > 0 ? rounds_left(display, progress) / rate : 0;
    progress_bar_line(line, sizeof line, width > 1000 ? 1000 : width, progress, seconds);
    printf("%s%s", clear_line, line);
    fflush(stdout);
    bar_stands = true;
}

void progress_show(progress_display *display, const gm_progress *progress)
{
    if (!display->rounds)
        display->rounds_before = progress->total_iterations - 1;
    display->rounds = progress->total_iterations - display->rounds_before;
    if (progress->epoch_ended) {
        print_plain(display, progress);
        display->epoch_started = display->last_drawn = progress->seconds;
        return;
    }
    double pause = display->terminal ? 0.1 : 10;
    if (display->last_drawn < 0 && !display->terminal)
        display->last_drawn = 0;
    if (display->last_drawn >= 0 && progress->seconds - display->last_drawn < pause)
        return;
    display->last_drawn = progress->seconds;
    if (display->terminal)
        draw_bar(display, progress);
    else
        print_plain(display, progress);
}

bool progress_unread(const progress_display *display)
{
    return display->unread;
}

void progress_end(progress_display *display)
{
    (void)display;
    before_log();
}
