/* Where each position of a resized axis looks, and with which weights.
 * https://onnx.ai/onnx/operators/onnx__Resize.html; the cubic kernel is that of R. Keys, "Cubic convolution
 * interpolation for digital image processing", 1981, equation (4) with ONNX's coefficient a. */
#include "ops/resize.h"

#include <math.h>

/* x / scale */
static double unscaled(const gm_resize_axis *axis, double x)
{
    return x * axis->denominator / axis->numerator;
}

/* The length that the scale asks for, which need not be whole: what ONNX's tests take for align_corners. */
static double wished_length(const gm_resize_axis *axis)
{
    return (double)axis->in * axis->numerator / axis->denominator;
}

/* The coordinate on the old axis of position i on the new one. */
static double coordinate_of(gm_resize_coordinate coordinate, const gm_resize_axis *axis, int64_t i)
{
    double last = (double)(axis->in - 1), x = (double)i, width = (axis->end - axis->start) * last;
    switch (coordinate) {
    case GM_RESIZE_PYTORCH_HALF_PIXEL:
        return axis->out > 1 ? unscaled(axis, x + 0.5) - 0.5 : 0.0;
    case GM_RESIZE_HALF_PIXEL_SYMMETRIC: /* the middle stays the middle */
        return unscaled(axis, x + 0.5 - 0.5 * (double)axis->out) + 0.5 * (double)axis->in - 0.5;
    case GM_RESIZE_ALIGN_CORNERS:
        return axis->out > 1 ? x * last / (wished_length(axis) - 1.0) : 0.0;
    case GM_RESIZE_ASYMMETRIC:
        return unscaled(axis, x);
    case GM_RESIZE_CROP:
        return axis->start * last + (axis->out > 1 ? x * width / (double)(axis->out - 1) : 0.5 * width);
    case GM_RESIZE_HALF_ONLY:
        return unscaled(axis, x + 0.5);
    default:
        return unscaled(axis, x + 0.5) - 0.5;
    }
}

static double nearest(gm_resize_round mode, double x)
{
    switch (mode) {
    case GM_RESIZE_FLOOR:
        return floor(x);
    case GM_RESIZE_CEIL:
        return ceil(x);
    case GM_RESIZE_ROUND_PREFER_CEIL:
        return floor(x) + (x - floor(x) >= 0.5);
    default:
        return floor(x) + (x - floor(x) > 0.5);
    }
}

/* The weight of a position at distance d, which is zero from 1 (linear) or 2 (cubic) on. */
static double weight_at(const gm_resize *resize, double d)
{
    double a = resize->cubic_a;
    d = fabs(d);
    if (resize->mode == GM_RESIZE_LINEAR)
        return d < 1.0 ? 1.0 - d : 0.0;
    if (d <= 1.0)
        return ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0;
    return d < 2.0 ? ((d - 5.0) * d + 8.0) * d * a - 4.0 * a : 0.0;
}

/* How much wider than one position the kernel is: more where antialiasing makes it reach over what is left out. */
static double stretch_of(const gm_resize *resize, const gm_resize_axis *axis)
{
    double wide = axis->denominator / axis->numerator;
    return resize->antialias && wide > 1.0 ? wide : 1.0;
}

static int64_t clamp_index(double x, int64_t count)
{
    return !(x > 0.0) ? 0 : x > (double)(count - 1) ? count - 1 : (int64_t)x;
}

/* Appends to taps; positions beyond the ends are those of the ends, or with exclude_outside none. */
static void add_window(const gm_resize *resize, const gm_resize_axis *axis, double x, gm_resize_taps *taps, int64_t *at)
{
    double stretch = stretch_of(resize, axis), reach = (resize->mode == GM_RESIZE_LINEAR ? 1.0 : 2.0) * stretch;
    double last = ceil(x + reach) - 1.0, total = 0.0;
    int64_t first = *at;
    for (double p = floor(x - reach) + 1.0; p <= last; p += 1.0) {
        double weight = weight_at(resize, (p - x) / stretch);
        int64_t index = clamp_index(p, axis->in);
        if (weight == 0.0 || (resize->exclude_outside && (p < 0.0 || p > (double)(axis->in - 1))))
            continue;
        total += weight;
        if (*at == first || taps->index[*at - 1] != index) {
            taps->index[*at] = index;
            taps->weight[(*at)++] = 0.0;
        }
        taps->weight[*at - 1] += weight;
    }
    if (*at == first) { /* all of it outside: zero, but not extrapolated */
        taps->index[*at] = clamp_index(x, axis->in);
        taps->weight[(*at)++] = 0.0;
    }
    if ((resize->antialias || resize->exclude_outside) && total != 0.0)
        for (int64_t k = first; k < *at; k++)
            taps->weight[k] /= total;
}

static gm_status allocate(gm_pool *pool, int64_t in, int64_t out, int64_t capacity, gm_resize_taps *taps)
{
    *taps = (gm_resize_taps){.in = in, .out = out};
    taps->start = gm_pool_array(pool, (size_t)out + 1, sizeof *taps->start);
    taps->index = gm_pool_array(pool, (size_t)capacity + 1, sizeof *taps->index);
    taps->weight = gm_pool_array(pool, (size_t)capacity + 1, sizeof *taps->weight);
    return taps->start && taps->index && taps->weight ? GM_OK : GM_ERROR_MEMORY;
}

gm_status gm_resize_make_taps(gm_pool *pool, const gm_resize *resize, int axis_index, gm_resize_taps *taps)
{
    const gm_resize_axis *axis = &resize->axes[axis_index];
    double widest = resize->mode == GM_RESIZE_NEAREST ? 1.0 : 4.0 * ceil(stretch_of(resize, axis)) + 1.0;
    int64_t capacity, at = 0;
    widest = widest < (double)axis->in ? widest : (double)axis->in;
    if (__builtin_mul_overflow(axis->out, (int64_t)widest + 1, &capacity) || capacity > INT64_MAX / 16)
        return gm_fail_memory(gm_pool_context(pool));
    GM_TRY(allocate(pool, axis->in, axis->out, capacity, taps));
    for (int64_t i = 0; i < axis->out; i++) {
        double x = coordinate_of(resize->coordinate, axis, i);
        taps->start[i] = at;
        if (resize->coordinate == GM_RESIZE_CROP && !(x >= 0.0 && x <= (double)(axis->in - 1)))
            continue;
        if (resize->mode != GM_RESIZE_NEAREST) {
            add_window(resize, axis, x, taps, &at);
            continue;
        }
        taps->index[at] = clamp_index(nearest(resize->round, x), axis->in);
        taps->weight[at++] = 1.0;
    }
    taps->start[axis->out] = at;
    return GM_OK;
}

gm_status gm_resize_transpose_taps(gm_pool *pool, const gm_resize_taps *taps, gm_resize_taps *transposed)
{
    int64_t count = taps->start[taps->out], *next;
    GM_TRY(allocate(pool, taps->out, taps->in, count, transposed));
    if (!(next = gm_pool_array(pool, (size_t)taps->in + 1, sizeof *next)))
        return GM_ERROR_MEMORY;
    for (int64_t k = 0; k < count; k++)
        transposed->start[taps->index[k] + 1]++;
    for (int64_t i = 0; i < taps->in; i++)
        next[i] = transposed->start[i + 1] += transposed->start[i];
    for (int64_t i = taps->out; i-- > 0;)
        for (int64_t k = taps->start[i]; k < taps->start[i + 1]; k++) {
            int64_t to = --next[taps->index[k]];
            transposed->index[to] = i;
            transposed->weight[to] = taps->weight[k];
        }
    return GM_OK;
}
