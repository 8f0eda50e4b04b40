/* Pictures as PNG files, beyond the public gm_write_png. */
#ifndef GM_RUNTIME_PNG_H
#define GM_RUNTIME_PNG_H

#include "graph/tensor.h"

/* gm_write_png with a grid of `columns` pictures per row (0: near-square), each pixel drawn as a square of so many that
 * the grid is at least about `least_width` wide. */
gm_status gm_write_png_grid(gm_context *context, const char *path, const gm_tensor_view *view, double low, double high,
                            int64_t columns, int64_t least_width);
/* points = [n, 2] of numbers, drawn as dots into 512x512 pixels with a frame, ticks, numbers and the axes through 0. The
 * frame shows [low, high] in both directions; with low >= high the square around all finite points, rounded up. Points
 * that are not finite or outside are left out. */
gm_status gm_write_scatter(gm_context *context, const char *path, const gm_tensor_view *points, double low,
                           double high);

/* Encodes and writes 8-bit pixels, 1 (gray) or 3 (RGB) channels, row by row. */
gm_status gm_write_pixels(gm_context *context, const char *path, const uint8_t *pixels, int64_t width, int64_t height,
                          int channels);

#endif
