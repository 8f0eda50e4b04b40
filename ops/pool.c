/* MaxPool (opset 12), AveragePool (opset 19), gmodel.MaxPoolGrad, gmodel.AveragePoolGrad.
 *
 *   MaxPool          X [N, C, s...]            -> Y [N, C, t...], Indices int64 [N, C, t...]?
 *   AveragePool      X [N, C, s...]            -> Y [N, C, t...]
 *   MaxPoolGrad      X [N, C, s...], dY        -> dX; among equal maxima of a window the first takes all
 *   AveragePoolGrad  dY; input_shape = [s...]  -> dX [N, C, s...]
 *
 * Pads never win a maximum, NaN always does. AveragePool divides by the number of positions inside the data, or with count_include_pad
 * inside data and pads; a window that hangs over the pads (ceil_mode) counts only what is inside. */
#include "ops/conv_window.h"
#include "ops/vector.h"

#include <math.h>
#include <string.h>

#define PARALLEL_ELEMENTS 16384
#define LARGEST_KERNEL    4096 /* positions; beyond it the windows are not written out */

/* --- Inference ---------------------------------------------------------------------------------------------------- */

static gm_status read_window(gm_graph *graph, const gm_node *node, int rank, gm_window *window)
{
    const char *problem = gm_window_read(node, rank, NULL, window);
    return problem ? gm_node_fail(graph, node, "%s", problem) : GM_OK;
}

static gm_status pooled_dims(gm_graph *graph, gm_node *node, gm_dim *dims)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    gm_window window;
    GM_TRY(read_window(graph, node, x.rank, &window));
    memcpy(dims, x.dims, sizeof x.dims);
    return gm_window_resolve(graph, node, &window, x.dims + 2, gm_node_int(node, "ceil_mode", 0) != 0, dims + 2);
}

static gm_status infer_pool(gm_graph *graph, gm_node *node)
{
    gm_dim dims[GM_MAX_RANK];
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    GM_TRY(pooled_dims(graph, node, dims));
    gm_set_output(graph, node, 0, x.type, x.rank, dims);
    gm_set_output(graph, node, 1, GM_INT64, x.rank, dims);
    return graph->status;
}

static gm_status infer_max_pool_grad(gm_graph *graph, gm_node *node)
{
    gm_dim dims[GM_MAX_RANK];
    const gm_value *x = gm_value_of(graph, node->inputs[0]), *dy = gm_value_of(graph, node->inputs[1]);
    char a[160], b[160];
    GM_TRY(gm_infer_same_type(graph, node));
    GM_TRY(pooled_dims(graph, node, dims));
    if (x->rank != dy->rank || memcmp(dims, dy->dims, (size_t)x->rank * sizeof dims[0]) != 0)
        return gm_node_fail(graph, node, "pooling %s does not give %s",
                            gm_shape_text(graph, node->inputs[0], a, sizeof a),
                            gm_shape_text(graph, node->inputs[1], b, sizeof b));
    gm_set_output_like(graph, node, 0, node->inputs[0]);
    return graph->status;
}

static gm_status infer_average_pool_grad(gm_graph *graph, gm_node *node)
{
    gm_value dy = *gm_value_of(graph, node->inputs[0]);
    gm_dim small[GM_MAX_SPATIAL];
    const int64_t *sizes;
    size_t count = gm_node_ints(node, "input_shape", &sizes);
    char text[160];
    gm_window window;
    GM_TRY(read_window(graph, node, dy.rank, &window));
    for (size_t i = 0; i < count; i++)
        if (count != (size_t)window.spatial || sizes[i] < 1)
            return gm_node_fail(graph, node, "input_shape needs one positive number per spatial axis");
    GM_TRY(gm_window_resolve(graph, node, &window, sizes, gm_node_int(node, "ceil_mode", 0) != 0, small));
    if (memcmp(small, dy.dims + 2, (size_t)window.spatial * sizeof small[0]) != 0)
        return gm_node_fail(graph, node, "pooling input_shape does not give %s",
                            gm_shape_text(graph, node->inputs[0], text, sizeof text));
    memcpy(dy.dims + 2, sizes, (size_t)window.spatial * sizeof dy.dims[0]);
    gm_set_output(graph, node, 0, dy.type, dy.rank, dy.dims);
    return graph->status;
}

/* --- Gradients ---------------------------------------------------------------------------------------------------- */

/* The node's window with explicit pads, for nodes of the other pooling operators. */
typedef struct pool_attributes {
    gm_window window;
    int64_t pads[2 * GM_MAX_SPATIAL];
    gm_attribute list[7];
    size_t count;
} pool_attributes;

static gm_status describe_pool(gm_gradient *g, const gm_dim *big, int rank, pool_attributes *out)
{
    const gm_node *node = g->node;
    gm_window *window = &out->window;
    gm_dim small[GM_MAX_SPATIAL];
    size_t spatial = (size_t)rank - 2;
    GM_TRY(read_window(g->graph, node, rank, window));
    GM_TRY(gm_window_resolve(g->graph, node, window, big, gm_node_int(node, "ceil_mode", 0) != 0, small));
    for (size_t i = 0; i < spatial; i++) {
        if (window->auto_pad != GM_PAD_EXPLICIT && !gm_dim_is_known(big[i]) && window->stride[i] != 1)
            return gm_node_fail(g->graph, node, "its gradient needs a known size of spatial axis %zu", i);
        out->pads[i] = window->low[i];
        out->pads[i + spatial] = window->high[i];
    }
    out->list[out->count++] = gm_attribute_ints("kernel_shape", window->kernel, spatial);
    out->list[out->count++] = gm_attribute_ints("strides", window->stride, spatial);
    out->list[out->count++] = gm_attribute_ints("pads", out->pads, 2 * spatial);
    out->list[out->count++] = gm_attribute_ints("dilations", window->dilation, spatial);
    if (window->auto_pad == GM_PAD_EXPLICIT)
        out->list[out->count++] = gm_attribute_int("ceil_mode", gm_node_int(node, "ceil_mode", 0));
    return GM_OK;
}

static gm_status max_pool_gradient(gm_gradient *g)
{
    gm_value x = *gm_value_of(g->graph, g->node->inputs[0]);
    pool_attributes p = {.count = 0};
    if (!g->dy[0])
        return GM_OK;
    GM_TRY(describe_pool(g, x.dims + 2, x.rank, &p));
    g->dx[0] =
        gm_emit(g->graph, "gmodel.MaxPoolGrad", (gm_value_id[]){g->node->inputs[0], g->dy[0]}, 2, p.list, p.count);
    return g->graph->status;
}

/* By dY: the elements of the given gradient where the maxima stand. By X: zero almost everywhere. */
static gm_status max_pool_grad_gradient(gm_gradient *g)
{
    gm_value x = *gm_value_of(g->graph, g->node->inputs[0]);
    pool_attributes p = {.count = 0};
    gm_value_id results[2];
    if (!g->wanted[1])
        return GM_OK;
    GM_TRY(describe_pool(g, x.dims + 2, x.rank, &p));
    gm_emit_many(g->graph, "MaxPool", g->node->inputs, 1, p.list, p.count, results, 2);
    g->dx[1] =
        gm_emit2(g->graph, "Gather",
                 gm_emit2(g->graph, "Reshape", g->dy[0], gm_const_ints(g->graph, (int64_t[]){-1}, 1)), results[1]);
    return g->graph->status;
}

static gm_status average_pool_gradient(gm_gradient *g)
{
    gm_value x = *gm_value_of(g->graph, g->node->inputs[0]);
    pool_attributes p = {.count = 0};
    GM_TRY(describe_pool(g, x.dims + 2, x.rank, &p));
    for (int i = 2; i < x.rank; i++)
        if (!gm_dim_is_known(x.dims[i]))
            return gm_node_fail(g->graph, g->node, "its gradient needs a known size of spatial axis %d", i - 2);
    p.list[p.count++] = gm_attribute_int("count_include_pad", gm_node_int(g->node, "count_include_pad", 0));
    p.list[p.count++] = gm_attribute_ints("input_shape", x.dims + 2, (size_t)x.rank - 2);
    g->dx[0] = gm_emit(g->graph, "gmodel.AveragePoolGrad", g->dy, 1, p.list, p.count);
    return g->graph->status;
}

static gm_status average_pool_grad_gradient(gm_gradient *g)
{
    int rank = gm_value_of(g->graph, g->node->inputs[0])->rank;
    const int64_t *sizes;
    pool_attributes p = {.count = 0};
    gm_node_ints(g->node, "input_shape", &sizes);
    GM_TRY(describe_pool(g, sizes, rank, &p));
    p.list[p.count++] = gm_attribute_int("count_include_pad", gm_node_int(g->node, "count_include_pad", 0));
    g->dx[0] = gm_emit(g->graph, "AveragePool", g->dy, 1, p.list, p.count);
    return g->graph->status;
}

/* --- Geometry ----------------------------------------------------------------------------------------------------- */

/* Sizes filled up to three spatial axes with leading ones; rows of [positions][block] for each (n, channel group). */
typedef struct pool_shape {
    int64_t rows, block, bigs, smalls;
    int64_t big[GM_MAX_SPATIAL], small[GM_MAX_SPATIAL], kernel[GM_MAX_SPATIAL], stride[GM_MAX_SPATIAL];
    int64_t dilation[GM_MAX_SPATIAL], low[GM_MAX_SPATIAL], high[GM_MAX_SPATIAL];
    bool include_pad, column_major;
} pool_shape;

/* Kernel positions of one window that lie inside the data: [from, to) per axis, and the divisor of an average. */
typedef struct pool_span {
    int64_t at[GM_MAX_SPATIAL], from[GM_MAX_SPATIAL], to[GM_MAX_SPATIAL];
    int64_t divisor;
} pool_span;

static pool_shape pool_shape_of(const gm_node *node, int rank, const int64_t *big, const int64_t *small, int64_t block)
{
    gm_window window;
    int skip;
    gm_window_read(node, rank, NULL, &window); /* cannot fail: shape inference did the same */
    gm_window_pads(&window, big + 2);
    skip = GM_MAX_SPATIAL - window.spatial;
    pool_shape s = {.rows = big[0] * (big[1] / block), .block = block, .bigs = 1, .smalls = 1};
    s.include_pad = gm_node_int(node, "count_include_pad", 0) != 0;
    s.column_major = gm_node_int(node, "storage_order", 0) != 0;
    for (int i = 0; i < GM_MAX_SPATIAL; i++) {
        bool real = i >= skip;
        s.big[i] = real ? big[2 + i - skip] : 1;
        s.small[i] = real ? small[2 + i - skip] : 1;
        s.kernel[i] = real ? window.kernel[i - skip] : 1;
        s.stride[i] = real ? window.stride[i - skip] : 1;
        s.dilation[i] = real ? window.dilation[i - skip] : 1;
        s.low[i] = real ? window.low[i - skip] : 0;
        s.high[i] = real ? window.high[i - skip] : 0;
        s.bigs *= s.big[i];
        s.smalls *= s.small[i];
    }
    return s;
}

/* How many of the kernel's positions at + k * dilation lie in [0, limit), and the first of them. */
static int64_t count_inside(int64_t at, int64_t dilation, int64_t kernel, int64_t limit, int64_t *first)
{
    int64_t from = at < 0 ? (-at + dilation - 1) / dilation : 0;
    int64_t to = limit > at ? (limit - at + dilation - 1) / dilation : 0;
    *first = from;
    to = to < kernel ? to : kernel;
    return to > from ? to - from : 0;
}

static pool_span span_of(const pool_shape *s, int64_t small)
{
    pool_span span = {.divisor = 1};
    for (int i = GM_MAX_SPATIAL - 1; i >= 0; i--) {
        int64_t padded, unused;
        span.at[i] = small % s->small[i] * s->stride[i] - s->low[i];
        small /= s->small[i];
        padded = s->include_pad ? count_inside(span.at[i] + s->low[i], s->dilation[i], s->kernel[i],
                                               s->big[i] + s->low[i] + s->high[i], &unused)
                                : 0;
        span.to[i] = count_inside(span.at[i], s->dilation[i], s->kernel[i], s->big[i], &span.from[i]);
        span.divisor *= s->include_pad ? padded : span.to[i];
        span.to[i] += span.from[i];
    }
    span.divisor = span.divisor ? span.divisor : 1;
    return span;
}

static inline int64_t position_of(const pool_shape *s, const pool_span *span, int64_t d, int64_t h, int64_t w)
{
    return ((span->at[0] + d * s->dilation[0]) * s->big[1] + span->at[1] + h * s->dilation[1]) * s->big[2] +
           span->at[2] + w * s->dilation[2];
}

#define FOR_WINDOW(span)                                                                                               \
    for (int64_t d = (span).from[0]; d < (span).to[0]; d++)                                                            \
        for (int64_t h = (span).from[1]; h < (span).to[1]; h++)                                                        \
            for (int64_t w = (span).from[2]; w < (span).to[2]; w++)

/* --- Reference ---------------------------------------------------------------------------------------------------- */

/* Position of the first maximum of a window in channel row `row`; -1 when it lies in the pads altogether. */
static int64_t first_maximum(const pool_shape *s, const gm_tensor *x, int64_t row, int64_t small, double *value)
{
    pool_span span = span_of(s, small);
    int64_t best = -1;
    *value = -INFINITY;
    FOR_WINDOW(span)
    {
        int64_t at = position_of(s, &span, d, h, w);
        double v = gm_get(x, row * s->bigs + at);
        if (best < 0 || v > *value || v != v) { /* NaN goes on */
            best = at;
            *value = v;
        }
    }
    return best;
}

/* Position as MaxPool's storage_order counts it. */
static int64_t index_of(const pool_shape *s, int64_t position)
{
    int64_t w = position % s->big[2], h = position / s->big[2] % s->big[1], d = position / s->big[2] / s->big[1];
    return s->column_major ? (w * s->big[1] + h) * s->big[0] + d : position;
}

static gm_status max_pool_reference(const gm_compute *compute)
{
    const gm_tensor *x = &compute->in[0], *y = &compute->out[0];
    const gm_tensor *indices = compute->node->output_count > 1 && compute->out[1].data ? &compute->out[1] : NULL;
    const int64_t *small = y->data || !indices ? y->dims : indices->dims;
    pool_shape s = pool_shape_of(compute->node, x->rank, x->dims, small, 1);
    for (int64_t i = 0; i < s.rows * s.smalls; i++) {
        double value;
        int64_t row = i / s.smalls, at = first_maximum(&s, x, row, i % s.smalls, &value);
        if (y->data)
            gm_set(y, i, value);
        if (indices)
            gm_set_int(indices, i, row * s.bigs + index_of(&s, at < 0 ? 0 : at));
    }
    return GM_OK;
}

static gm_status max_pool_grad_reference(const gm_compute *compute)
{
    const gm_tensor *x = &compute->in[0], *dy = &compute->in[1], *dx = &compute->out[0];
    pool_shape s = pool_shape_of(compute->node, x->rank, x->dims, dy->dims, 1);
    memset(dx->data, 0, gm_tensor_bytes(dx));
    for (int64_t i = 0; i < s.rows * s.smalls; i++) {
        double value;
        int64_t at = first_maximum(&s, x, i / s.smalls, i % s.smalls, &value);
        if (at >= 0) {
            at += i / s.smalls * s.bigs;
            gm_set(dx, at, gm_get(dx, at) + gm_get(dy, i));
        }
    }
    return GM_OK;
}

static gm_status average_pool_reference(const gm_compute *compute)
{
    const gm_tensor *x = &compute->in[0], *y = &compute->out[0];
    pool_shape s = pool_shape_of(compute->node, x->rank, x->dims, y->dims, 1);
    for (int64_t i = 0; i < s.rows * s.smalls; i++) {
        pool_span span = span_of(&s, i % s.smalls);
        double total = 0.0;
        FOR_WINDOW(span)
        total += gm_get(x, i / s.smalls * s.bigs + position_of(&s, &span, d, h, w));
        gm_set(y, i, total / (double)span.divisor);
    }
    return GM_OK;
}

static gm_status average_pool_grad_reference(const gm_compute *compute)
{
    const gm_tensor *dy = &compute->in[0], *dx = &compute->out[0];
    pool_shape s = pool_shape_of(compute->node, dx->rank, dx->dims, dy->dims, 1);
    memset(dx->data, 0, gm_tensor_bytes(dx));
    for (int64_t i = 0; i < s.rows * s.smalls; i++) {
        pool_span span = span_of(&s, i % s.smalls);
        double share = gm_get(dy, i) / (double)span.divisor;
        FOR_WINDOW(span)
        {
            int64_t at = i / s.smalls * s.bigs + position_of(&s, &span, d, h, w);
            gm_set(dx, at, gm_get(dx, at) + share);
        }
    }
    return GM_OK;
}

/* --- Fast kernels: one row [positions][block] at a time ------------------------------------------------------------ */

enum { LANES = 16 };
typedef enum pool_kind { MAXIMUM, AVERAGE, MAXIMUM_GRAD, AVERAGE_GRAD } pool_kind;

/* The windows of a row, written out once: window i covers positions[start[i] .. start[i + 1]). */
typedef struct pool_table {
    int32_t *start, *positions;
    float *factor; /* 1 / divisor */
} pool_table;

static gm_status make_table(gm_pool *pool, const pool_shape *s, pool_table *table)
{
    size_t most = (size_t)(s->smalls * s->kernel[0] * s->kernel[1] * s->kernel[2]);
    int32_t count = 0;
    table->start = gm_pool_array(pool, (size_t)s->smalls + 1, sizeof *table->start);
    table->positions = gm_pool_array(pool, most + 1, sizeof *table->positions);
    table->factor = gm_pool_array(pool, (size_t)s->smalls + 1, sizeof *table->factor);
    if (!table->start || !table->positions || !table->factor)
        return GM_ERROR_MEMORY;
    for (int64_t i = 0; i < s->smalls; i++) {
        pool_span span = span_of(s, i);
        FOR_WINDOW(span)
        table->positions[count++] = (int32_t)position_of(s, &span, d, h, w);
        table->start[i + 1] = count;
        table->factor[i] = 1.0f / (float)span.divisor;
    }
    return GM_OK;
}

GM_VECTOR static void max_row(const pool_shape *s, const pool_table *table, const float *x, float *y)
{
    for (int64_t i = 0; i < s->smalls; i++) {
        float *to = y + i * s->block;
        for (int64_t l = 0; l < s->block; l++)
            to[l] = -INFINITY;
        for (int32_t k = table->start[i]; k < table->start[i + 1]; k++) {
            const float *from = x + table->positions[k] * s->block;
            for (int64_t l = 0; l < s->block; l++)
                to[l] = from[l] > to[l] || from[l] != from[l] ? from[l] : to[l];
        }
    }
}

GM_VECTOR static void average_row(const pool_shape *s, const pool_table *table, const float *x, float *y)
{
    for (int64_t i = 0; i < s->smalls; i++) {
        float *to = y + i * s->block, factor = table->factor[i];
        for (int64_t l = 0; l < s->block; l++)
            to[l] = 0.0f;
        for (int32_t k = table->start[i]; k < table->start[i + 1]; k++) {
            const float *from = x + table->positions[k] * s->block;
            for (int64_t l = 0; l < s->block; l++)
                to[l] += from[l];
        }
        for (int64_t l = 0; l < s->block; l++)
            to[l] *= factor;
    }
}

/* Some lanes of one window: the maximum, then dy to the first place that has it (or that is NaN). */
static inline __attribute__((always_inline)) void spread_maxima(const int32_t *positions, int32_t count, int64_t block,
                                                                const float *x, const float *dy, float *dx, int lanes)
{
    float value[LANES], left[LANES];
    memcpy(value, x + positions[0] * block, (size_t)lanes * sizeof *value);
    memcpy(left, dy, (size_t)lanes * sizeof *left);
    for (int32_t k = 1; k < count; k++) {
        const float *from = x + positions[k] * block;
#pragma omp simd
        for (int l = 0; l < lanes; l++)
            value[l] = from[l] > value[l] ? from[l] : value[l];
    }
    for (int32_t k = 0; k < count; k++) {
        const float *from = x + positions[k] * block;
        float *to = dx + positions[k] * block;
#pragma omp simd
        for (int l = 0; l < lanes; l++) {
            bool less = from[l] < value[l];
            to[l] += less ? 0.0f : left[l];
            left[l] = less ? left[l] : 0.0f;
        }
    }
}

GM_VECTOR static void max_grad_row(const pool_shape *s, const pool_table *table, const float *x, const float *dy,
                                   float *dx)
{
    int64_t block = s->block, first;
    memset(dx, 0, (size_t)(s->bigs * block) * sizeof *dx);
    for (int64_t i = 0; i < s->smalls; i++) {
        const int32_t *positions = table->positions + table->start[i];
        int32_t count = table->start[i + 1] - table->start[i];
        if (!count)
            continue;
        for (first = 0; first + LANES <= block; first += LANES) /* a constant number stays in registers */
            spread_maxima(positions, count, block, x + first, dy + i * block + first, dx + first, LANES);
        if (first < block)
            spread_maxima(positions, count, block, x + first, dy + i * block + first, dx + first, (int)(block - first));
    }
}

GM_VECTOR static void average_grad_row(const pool_shape *s, const pool_table *table, const float *dy, float *dx)
{
    memset(dx, 0, (size_t)(s->bigs * s->block) * sizeof *dx);
    for (int64_t i = 0; i < s->smalls; i++) {
        const float *from = dy + i * s->block;
        float factor = table->factor[i];
        for (int32_t k = table->start[i]; k < table->start[i + 1]; k++) {
            float *to = dx + table->positions[k] * s->block;
            for (int64_t l = 0; l < s->block; l++)
                to[l] += from[l] * factor;
        }
    }
}

/* The same for rows of one channel, where there are no lanes to share the work of a window. */
static void run_line(pool_kind kind, const pool_shape *s, const pool_table *table, const float *in, const float *dy,
                     float *out)
{
    if (kind == MAXIMUM_GRAD || kind == AVERAGE_GRAD)
        memset(out, 0, (size_t)s->bigs * sizeof *out);
    for (int64_t i = 0; i < s->smalls; i++) {
        int32_t end = table->start[i + 1], best = -1, nan = 0;
        float value = kind == MAXIMUM ? -INFINITY : 0.0f;
        if (kind == AVERAGE_GRAD) {
            for (int32_t k = table->start[i]; k < end; k++)
                out[table->positions[k]] += in[i] * table->factor[i];
        } else if (kind == AVERAGE) {
            for (int32_t k = table->start[i]; k < end; k++)
                value += in[table->positions[k]];
            out[i] = value * table->factor[i];
        } else if (kind == MAXIMUM) {
            for (int32_t k = table->start[i]; k < end; k++) { /* a comparison drops a NaN: count them */
                float x = in[table->positions[k]];
                nan += x != x;
                value = x > value ? x : value;
            }
            out[i] = nan ? NAN : value;
        } else {
            for (int32_t k = table->start[i]; k < end; k++) {
                float x = in[table->positions[k]];
                bool more = best < 0 || x > value || x != x;
                best = more ? table->positions[k] : best;
                value = more ? x : value;
            }
            if (best >= 0)
                out[best] += dy[i];
        }
    }
}

typedef struct pool_state {
    pool_kind kind;
    pool_shape shape;
    pool_table table;
} pool_state;

static void run_row(const pool_state *state, const gm_kernel_arguments *arguments, int64_t row)
{
    const pool_shape *s = &state->shape;
    int64_t big = row * s->bigs * s->block, small = row * s->smalls * s->block;
    const float *first = arguments->in[0];
    float *out = arguments->out[0];
    bool out_is_big = state->kind == MAXIMUM_GRAD || state->kind == AVERAGE_GRAD;
    if (s->block == 1)
        run_line(state->kind, s, &state->table, first + (state->kind == AVERAGE_GRAD ? small : big),
                 state->kind == MAXIMUM_GRAD ? (const float *)arguments->in[1] + small : NULL,
                 out + (out_is_big ? big : small));
    else if (state->kind == MAXIMUM)
        max_row(s, &state->table, first + big, out + small);
    else if (state->kind == AVERAGE)
        average_row(s, &state->table, first + big, out + small);
    else if (state->kind == MAXIMUM_GRAD)
        max_grad_row(s, &state->table, first + big, (const float *)arguments->in[1] + small, out + big);
    else
        average_grad_row(s, &state->table, first + small, out + big);
}

static gm_status run_pool(const void *state_pointer, const gm_kernel_arguments *arguments)
{
    const pool_state *state = state_pointer;
    const pool_shape *s = &state->shape;
#pragma omp parallel for num_threads(arguments->threads)                                                               \
    schedule(static) if (s->rows * s->bigs * s->block > PARALLEL_ELEMENTS)
    for (int64_t row = 0; row < s->rows; row++)
        run_row(state, arguments, row);
    return GM_OK;
}

static gm_status lower_pool(gm_lower *lower, pool_kind kind)
{
    const gm_node *node = lower->node;
    const gm_value *first = gm_value_of(lower->graph, node->inputs[0]), *out, *big, *small;
    gm_layout layout = lower->in_layout[0];
    int64_t kernel;
    pool_state *state;
    if (lower->reference || !node->outputs[0] || (node->output_count > 1 && node->outputs[1]) ||
        !gm_lower_all_float(lower))
        return GM_OK;
    out = gm_value_of(lower->graph, node->outputs[0]);
    big = kind == AVERAGE_GRAD ? out : first;
    small = kind == AVERAGE_GRAD ? first : kind == MAXIMUM_GRAD ? gm_value_of(lower->graph, node->inputs[1]) : out;
    if (layout.block < 1 || big->dims[1] % layout.block != 0)
        layout = gm_layout_plain;
    if (!(state = gm_pool_alloc(lower->pool, sizeof *state)))
        return GM_ERROR_MEMORY;
    state->kind = kind;
    state->shape = pool_shape_of(node, big->rank, big->dims, small->dims, layout.block);
    kernel = state->shape.kernel[0] * state->shape.kernel[1] * state->shape.kernel[2];
    if (kernel > LARGEST_KERNEL || state->shape.bigs >= INT32_MAX || state->shape.smalls >= INT32_MAX / kernel)
        return GM_OK;
    GM_TRY(make_table(lower->pool, &state->shape, &state->table));
    for (size_t i = 0; i < node->input_count; i++)
        lower->in_want[i] = layout;
    lower->out_layout[0] = layout;
    lower->kernel = (gm_kernel){run_pool, NULL, state};
    return GM_OK;
}

static gm_status lower_max_pool(gm_lower *lower)
{
    return lower_pool(lower, MAXIMUM);
}

static gm_status lower_max_pool_grad(gm_lower *lower)
{
    return lower_pool(lower, MAXIMUM_GRAD);
}

static gm_status lower_average_pool(gm_lower *lower)
{
    return lower_pool(lower, AVERAGE);
}

static gm_status lower_average_pool_grad(gm_lower *lower)
{
    return lower_pool(lower, AVERAGE_GRAD);
}

/* --- Tables ------------------------------------------------------------------------------------------------------- */

#define WINDOW_ATTRIBUTES                                                                                              \
    {.name = "auto_pad", .kind = GM_ATTRIBUTE_STRING, .presence = GM_DEFAULT, .s = "NOTSET"},                          \
        {.name = "ceil_mode", .kind = GM_ATTRIBUTE_INT, .presence = GM_DEFAULT, .i = 0},                               \
        {.name = "dilations", .kind = GM_ATTRIBUTE_INTS},                                                              \
        {.name = "kernel_shape", .kind = GM_ATTRIBUTE_INTS, .presence = GM_REQUIRED},                                  \
        {.name = "pads", .kind = GM_ATTRIBUTE_INTS},                                                                   \
    {                                                                                                                  \
        .name = "strides", .kind = GM_ATTRIBUTE_INTS                                                                   \
    }

static const gm_attribute_schema max_attributes[] = {
    WINDOW_ATTRIBUTES,
    {.name = "storage_order", .kind = GM_ATTRIBUTE_INT, .presence = GM_DEFAULT, .i = 0},
};
static const gm_attribute_schema average_attributes[] = {
    WINDOW_ATTRIBUTES,
    {.name = "count_include_pad", .kind = GM_ATTRIBUTE_INT, .presence = GM_DEFAULT, .i = 0},
};
static const gm_attribute_schema average_grad_attributes[] = {
    WINDOW_ATTRIBUTES,
    {.name = "count_include_pad", .kind = GM_ATTRIBUTE_INT, .presence = GM_DEFAULT, .i = 0},
    {.name = "input_shape", .kind = GM_ATTRIBUTE_INTS, .presence = GM_REQUIRED},
};

const gm_operator gm_op_max_pool = {
    .domain = "",
    .name = "MaxPool",
    .since = 12,
    .flags = GM_OP_HEAVY,
    .inputs = "X",
    .outputs = "Y Indices?",
    .types = GM_TYPES_FLOATING | GM_TYPES(GM_INT8) | GM_TYPES(GM_UINT8),
    .attributes = max_attributes,
    .attribute_count = GM_COUNT(max_attributes),
    .infer = infer_pool,
    .gradient = max_pool_gradient,
    .reference = max_pool_reference,
    .lower = lower_max_pool,
};

const gm_operator gm_op_max_pool_grad = {
    .domain = "gmodel",
    .name = "MaxPoolGrad",
    .since = 1,
    .flags = GM_OP_HEAVY,
    .inputs = "X dY",
    .outputs = "dX",
    .types = GM_TYPES_FLOATING,
    .attributes = max_attributes,
    .attribute_count = GM_COUNT(max_attributes),
    .infer = infer_max_pool_grad,
    .gradient = max_pool_grad_gradient,
    .reference = max_pool_grad_reference,
    .lower = lower_max_pool_grad,
};

const gm_operator gm_op_average_pool = {
    .domain = "",
    .name = "AveragePool",
    .since = 19,
    .flags = GM_OP_HEAVY,
    .inputs = "X",
    .outputs = "Y",
    .types = GM_TYPES_FLOATING,
    .attributes = average_attributes,
    .attribute_count = GM_COUNT(average_attributes),
    .infer = infer_pool,
    .gradient = average_pool_gradient,
    .reference = average_pool_reference,
    .lower = lower_average_pool,
};

const gm_operator gm_op_average_pool_grad = {
    .domain = "gmodel",
    .name = "AveragePoolGrad",
    .since = 1,
    .flags = GM_OP_HEAVY,
    .inputs = "dY",
    .outputs = "dX",
    .types = GM_TYPES_FLOATING,
    .attributes = average_grad_attributes,
    .attribute_count = GM_COUNT(average_grad_attributes),
    .infer = infer_average_pool_grad,
    .gradient = average_pool_grad_gradient,
    .reference = average_pool_grad_reference,
    .lower = lower_average_pool_grad,
};
