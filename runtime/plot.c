/* Line plots: see runtime/plot.h. */
#include "runtime/plot.h"

#include "runtime/font.h"
#include "runtime/png.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 960, HEIGHT = 600, LEFT = 90, RIGHT = 24, EDGE = 16, BOTTOM = 64, SCALE = 2, LEGEND_ROW = 26 };

typedef struct colour {
    uint8_t red, green, blue;
} colour;

static const colour black = {20, 20, 20}, grey = {120, 120, 120}, pale = {230, 230, 230};
static const colour inks[] = {{31, 99, 180}, {214, 84, 20}, {36, 145, 60}, {160, 60, 170},
                              {190, 30, 60}, {100, 90, 20}, {0, 150, 160}, {110, 110, 110}};

typedef struct canvas {
    uint8_t *pixels; /* [HEIGHT, WIDTH, 3] */
    int64_t top;     /* of the frame: the legend stands above it */
    double x_low, x_high, y_low, y_high;
} canvas;

static void dot(const canvas *c, int64_t x, int64_t y, colour ink)
{
    if (x < 0 || x >= WIDTH || y < 0 || y >= HEIGHT)
        return;
    uint8_t *at = c->pixels + 3 * (y * WIDTH + x);
    at[0] = ink.red;
    at[1] = ink.green;
    at[2] = ink.blue;
}

static void box(const canvas *c, int64_t x, int64_t y, int64_t width, int64_t height, colour ink)
{
    for (int64_t j = y; j < y + height; j++)
        for (int64_t i = x; i < x + width; i++)
            dot(c, i, j, ink);
}

/* --- Letters --- */

static int64_t text_width(const char *text)
{
    int64_t width = 0;
    for (; *text; text++)
        width += (gm_glyph_width(gm_glyph(*text)) + 1) * SCALE;
    return width;
}

static void draw_text(const canvas *c, int64_t x, int64_t y, const char *text, colour ink)
{
    for (; *text; text++) {
        const char *rows = gm_glyph(*text);
        int64_t width = gm_glyph_width(rows);
        for (int64_t row = 0; row < gm_glyph_height(rows); row++)
            for (int64_t i = 0; i < width; i++)
                if (rows[row * (width + 1) + i] == '#')
                    box(c, x + i * SCALE, y + row * SCALE, SCALE, SCALE, ink);
        x += (width + 1) * SCALE;
    }
}

/* --- Axes --- */

static double to_x(const canvas *c, double x)
{
    return LEFT + (x - c->x_low) / (c->x_high - c->x_low) * (WIDTH - LEFT - RIGHT);
}

static double to_y(const canvas *c, double y)
{
    return HEIGHT - BOTTOM - (y - c->y_low) / (c->y_high - c->y_low) * (HEIGHT - c->top - BOTTOM);
}

/* A step of 1, 2 or 5 times a power of ten that divides the range into at most `most` parts. */
static double round_step(double range, int most)
{
    double power = pow(10, floor(log10(range / most)));
    while (true) {
        for (int k = 0; k < 3; k++) {
            static const double factors[] = {1, 2, 5};
            if (range / (factors[k] * power) <= most)
                return factors[k] * power;
        }
        power *= 10;
    }
}

static void widen(double *low, double *high)
{
    if (!(*low <= *high)) {
        *low = 0;
        *high = 1;
    } else if (*high - *low < 1e-9 * fmax(fabs(*low), fabs(*high)) || *high == *low) {
        double by = fmax(fabs(*low) * 0.1, 1e-3);
        *low -= by;
        *high += by;
    }
}

static void draw_ticks(const canvas *c)
{
    double x_step = fmax(1, round_step(c->x_high - c->x_low, 10)); /* epochs and iterations are whole */
    double y_step = round_step(c->y_high - c->y_low, 8);
    char text[32];
    for (double k = ceil(c->y_low / y_step); k * y_step <= c->y_high; k++) {
        int64_t y = (int64_t)to_y(c, k * y_step);
        box(c, LEFT, y, WIDTH - LEFT - RIGHT, 1, pale);
        snprintf(text, sizeof text, "%.6g", k * y_step == 0 ? 0.0 : k * y_step);
        draw_text(c, LEFT - 8 - text_width(text), y - GM_GLYPH_ROWS * SCALE / 2, text, black);
    }
    for (double k = ceil(c->x_low / x_step); k * x_step <= c->x_high; k++) {
        int64_t x = (int64_t)to_x(c, k * x_step);
        box(c, x, c->top, 1, HEIGHT - c->top - BOTTOM, pale);
        snprintf(text, sizeof text, "%.6g", k * x_step);
        draw_text(c, x - text_width(text) / 2, HEIGHT - BOTTOM + 8, text, black);
    }
    box(c, LEFT, c->top, 1, HEIGHT - c->top - BOTTOM, grey);
    box(c, LEFT, HEIGHT - BOTTOM, WIDTH - LEFT - RIGHT, 1, grey);
}

/* --- Lines --- */

static void draw_segment(const canvas *c, double x0, double y0, double x1, double y1, colour ink)
{
    int64_t steps = (int64_t)ceil(fmax(fabs(x1 - x0), fabs(y1 - y0))) + 1;
    for (int64_t i = 0; i <= steps; i++) {
        double share = (double)i / (double)steps;
        box(c, (int64_t)(x0 + share * (x1 - x0)) - 1, (int64_t)(y0 + share * (y1 - y0)) - 1, 2, 2, ink);
    }
}

static void draw_line(const canvas *c, const gm_plot *plot, const gm_plot_line *line, colour ink)
{
    double last_x = NAN, last_y = NAN;
    for (size_t i = 0; i < plot->count; i++) {
        double y = line->y[i * line->stride], at_x = to_x(c, plot->x[i * plot->x_stride]), at_y = to_y(c, y);
        if (!isfinite(y))
            continue;
        if (isfinite(last_y))
            draw_segment(c, last_x, last_y, at_x, at_y, ink);
        else
            draw_segment(c, at_x, at_y, at_x, at_y, ink);
        last_x = at_x;
        last_y = at_y;
    }
}

/* Names behind strokes of their colours, in rows above the frame; returns where the rows end. Without `draw` it only
 * measures. */
static int64_t legend(const canvas *c, const gm_plot *plot, bool draw)
{
    int64_t x = LEFT, y = EDGE;
    for (size_t i = 0; i < plot->line_count; i++) {
        const char *name = plot->lines[i].name;
        int64_t width = 36 + text_width(name) + 28;
        if (x > LEFT && x + width > WIDTH - RIGHT) {
            x = LEFT;
            y += LEGEND_ROW;
        }
        if (draw) {
            box(c, x, y + GM_GLYPH_ROWS * SCALE / 2 - 1, 26, 3, inks[i % GM_COUNT(inks)]);
            draw_text(c, x + 36, y, name, black);
        }
        x += width;
    }
    return y + LEGEND_ROW;
}

static void choose_ranges(canvas *c, const gm_plot *plot)
{
    c->x_low = plot->count ? plot->x[0] : 0;
    c->x_high = plot->count ? plot->x[(plot->count - 1) * plot->x_stride] : 1;
    c->y_low = INFINITY;
    c->y_high = -INFINITY;
    for (size_t k = 0; k < plot->line_count; k++)
        for (size_t i = 0; i < plot->count; i++) {
            double y = plot->lines[k].y[i * plot->lines[k].stride];
            if (!isfinite(y))
                continue;
            c->y_low = fmin(c->y_low, y);
            c->y_high = fmax(c->y_high, y);
        }
    widen(&c->x_low, &c->x_high);
    widen(&c->y_low, &c->y_high);
    double margin = 0.04 * (c->y_high - c->y_low);
    c->y_low -= margin;
    c->y_high += margin;
}

gm_status gm_plot_lines(gm_context *context, const char *path, const gm_plot *plot)
{
    canvas c = {.pixels = gm_alloc(context, 3 * WIDTH * HEIGHT)};
    gm_status status;
    if (!c.pixels)
        return GM_ERROR_MEMORY;
    memset(c.pixels, 255, 3 * WIDTH * HEIGHT);
    choose_ranges(&c, plot);
    c.top = legend(&c, plot, false) + 4;
    draw_ticks(&c);
    for (size_t k = 0; k < plot->line_count; k++)
        draw_line(&c, plot, &plot->lines[k], inks[k % GM_COUNT(inks)]);
    draw_text(&c, (LEFT + WIDTH - RIGHT - text_width(plot->x_name)) / 2, HEIGHT - 28, plot->x_name, grey);
    legend(&c, plot, true);
    status = gm_write_pixels(context, path, c.pixels, WIDTH, HEIGHT, 3);
    gm_free(context, c.pixels);
    return status;
}
