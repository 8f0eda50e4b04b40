/* Line plots as PNG pictures. */
#ifndef GM_RUNTIME_PLOT_H
#define GM_RUNTIME_PLOT_H

#include "graph/base.h"

/* One line; points that are not finite are left out. */
typedef struct gm_plot_line {
    const char *name;
    const double *y; /* count of them, `stride` apart */
    size_t stride;
} gm_plot_line;

/* What to draw: lines over x (count numbers, `x_stride` apart, rising). */
typedef struct gm_plot {
    const char *x_name;
    const double *x;
    size_t x_stride, count;
    const gm_plot_line *lines;
    size_t line_count;
} gm_plot;

/* Draws the lines with ticks, numbers and a legend into 960 x 600 pixels. */
gm_status gm_plot_lines(gm_context *context, const char *path, const gm_plot *plot);

#endif
