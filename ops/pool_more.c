/* Poolings beside MaxPool and AveragePool: over whole pictures (made of reductions), with the p-norm, and the inverse of
 * MaxPool. */
#include "ops/conv_window.h"

#include <math.h>
#include <string.h>

/* --- GlobalAveragePool, GlobalMaxPool, GlobalLpPool --- */

static gm_status infer_global(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    if (x.rank < 2)
        return gm_node_fail(graph, node, "needs [N, C, ...], found rank %d", x.rank);
    for (int i = 2; i < x.rank; i++)
        x.dims[i] = 1;
    gm_set_output(graph, node, 0, x.type, x.rank, x.dims);
    return graph->status;
}

/* Behind the channels nothing is left to reduce where the rank is 2. */
static gm_value_id reduce_spatial(gm_graph *graph, const char *name, gm_value_id x)
{
    int rank = graph->status == GM_OK && x ? gm_value_of(graph, x)->rank : 2;
    int64_t axes[GM_MAX_RANK];
    for (int i = 2; i < rank; i++)
        axes[i - 2] = i;
    return rank == 2 ? gm_emit1(graph, "Identity", x)
                     : gm_emit2(graph, name, x, gm_const_ints(graph, axes, (size_t)rank - 2));
}

static gm_status expand_global_average(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    outputs[0] = reduce_spatial(graph, "ReduceMean", node->inputs[0]);
    return graph->status;
}

static gm_status expand_global_max(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    outputs[0] = reduce_spatial(graph, "ReduceMax", node->inputs[0]);
    return graph->status;
}

static gm_value_id power(gm_graph *graph, gm_value_id x, double exponent)
{
    return gm_emit2(graph, "Pow", x, gm_scalar_like(graph, x, exponent));
}

static gm_status check_norm(gm_graph *graph, const gm_node *node)
{
    if (gm_node_int(node, "p", 2) < 1)
        return gm_node_fail(graph, node, "p must be at least 1, found %lld", (long long)gm_node_int(node, "p", 2));
    return GM_OK;
}

static gm_status infer_global_lp(gm_graph *graph, gm_node *node)
{
    GM_TRY(check_norm(graph, node));
    return infer_global(graph, node);
}

static gm_status expand_global_lp(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    double p = (double)gm_node_int(node, "p", 2);
    gm_value_id sum = reduce_spatial(graph, "ReduceSum", power(graph, gm_emit1(graph, "Abs", node->inputs[0]), p));
    outputs[0] = power(graph, sum, 1 / p);
    return graph->status;
}

static const gm_attribute_schema p_attributes[] = {{"p", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 2}};

#define GLOBAL(symbol, text, infer_rule, expansion, ...)                                                               \
    const gm_operator symbol = {.domain = "",                                                                          \
                                .name = text,                                                                          \
                                .since = 22,                                                                           \
                                .inputs = "X",                                                                         \
                                .outputs = "Y",                                                                        \
                                .types = GM_TYPES_FLOATING,                                                            \
                                .infer = infer_rule,                                                                   \
                                .expand = expansion,                                                                   \
                                __VA_ARGS__}
GLOBAL(gm_op_global_average_pool, "GlobalAveragePool", infer_global, expand_global_average, );
GLOBAL(gm_op_global_max_pool, "GlobalMaxPool", infer_global, expand_global_max, );
GLOBAL(gm_op_global_lp_pool, "GlobalLpPool", infer_global_lp, expand_global_lp, .attributes = p_attributes,
       .attribute_count = GM_COUNT(p_attributes));

/* --- LpPool: (sum |x|^p)^(1/p) over each window; pads count as zeros --- */

static gm_status read_window(gm_graph *graph, const gm_node *node, int rank, gm_window *window)
{
    const char *trouble = gm_window_read(node, rank, NULL, window);
    return trouble ? gm_node_fail(graph, node, "%s", trouble) : GM_OK;
}

static gm_status infer_lp_pool(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    gm_dim dims[GM_MAX_RANK];
    gm_window window;
    GM_TRY(check_norm(graph, node));
    GM_TRY(read_window(graph, node, x.rank, &window));
    memcpy(dims, x.dims, sizeof dims);
    GM_TRY(gm_window_resolve(graph, node, &window, x.dims + 2, gm_node_int(node, "ceil_mode", 0) != 0, dims + 2));
    gm_set_output(graph, node, 0, x.type, x.rank, dims);
    return graph->status;
}

/* The average of |x|^p times the size of a window is its sum: AveragePool's gradient and fast path serve. Not where windows
 * may hang over the end. */
static gm_status expand_lp_pool(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_attribute attributes[8];
    size_t count = 0;
    double p = (double)gm_node_int(node, "p", 2), size = 1;
    gm_value_id x = power(graph, gm_emit1(graph, "Abs", node->inputs[0]), p);
    const int64_t *kernel;
    if (gm_node_int(node, "ceil_mode", 0) || node->attribute_count > 7)
        return GM_OK;
    for (size_t i = 0; i < node->attribute_count; i++)
        if (strcmp(node->attributes[i].name, "p") != 0)
            attributes[count++] = node->attributes[i];
    attributes[count++] = gm_attribute_int("count_include_pad", 1);
    for (size_t i = 0, n = gm_node_ints(node, "kernel_shape", &kernel); i < n; i++)
        size *= (double)kernel[i];
    x = gm_emit(graph, "AveragePool", &x, 1, attributes, count);
    outputs[0] = power(graph, gm_emit2(graph, "Mul", x, gm_scalar_like(graph, x, size)), 1 / p);
    return graph->status;
}

/* The sum of |x|^p over the window at `position` of a plane. */
static double window_sum(const gm_window *window, const gm_tensor *x, int64_t plane, const int64_t *position, double p)
{
    int64_t points = 1;
    double sum = 0;
    for (int i = 0; i < window->spatial; i++)
        points *= window->kernel[i];
    for (int64_t k = 0; k < points; k++) {
        int64_t rest = k, at = 0, weight = 1;
        bool inside = true;
        for (int i = window->spatial; i-- > 0; rest /= window->kernel[i]) {
            int64_t big =
                position[i] * window->stride[i] - window->low[i] + rest % window->kernel[i] * window->dilation[i];
            inside = inside && big >= 0 && big < x->dims[2 + i];
            at += big * weight;
            weight *= x->dims[2 + i];
        }
        if (inside)
            sum += pow(fabs(gm_get(x, plane * weight + at)), p);
    }
    return sum;
}

static gm_status reference_lp_pool(const gm_compute *compute)
{
    const gm_tensor *x = &compute->in[0], *y = &compute->out[0];
    double p = (double)gm_node_int(compute->node, "p", 2);
    int64_t inner = 1;
    gm_window window;
    if (gm_window_read(compute->node, x->rank, NULL, &window))
        return gm_fail(compute->context, GM_ERROR_INTERNAL, "LpPool: its window is not valid");
    gm_window_pads(&window, x->dims + 2);
    for (int i = 2; i < y->rank; i++)
        inner *= y->dims[i];
    for (int64_t i = 0; i < gm_tensor_count(y); i++) {
        int64_t position[GM_MAX_SPATIAL] = {0}, rest = i % inner;
        for (int k = window.spatial; k-- > 0; rest /= y->dims[2 + k])
            position[k] = rest % y->dims[2 + k];
        gm_set(y, i, pow(window_sum(&window, x, i / inner, position, p), 1 / p));
    }
    return GM_OK;
}

static const gm_attribute_schema lp_attributes[] = {
    {"kernel_shape", GM_ATTRIBUTE_INTS, GM_REQUIRED, .i = 0},
    {"strides", GM_ATTRIBUTE_INTS, GM_OPTIONAL, .i = 0},
    {"dilations", GM_ATTRIBUTE_INTS, GM_OPTIONAL, .i = 0},
    {"pads", GM_ATTRIBUTE_INTS, GM_OPTIONAL, .i = 0},
    {"auto_pad", GM_ATTRIBUTE_STRING, GM_DEFAULT, .s = "NOTSET"},
    {"ceil_mode", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0},
    {"p", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 2},
};

/* https://onnx.ai/onnx/operators/onnx__LpPool.html */
const gm_operator gm_op_lp_pool = {.domain = "",
                                   .name = "LpPool",
                                   .since = 22,
                                   .flags = GM_OP_HEAVY,
                                   .inputs = "X",
                                   .outputs = "Y",
                                   .types = GM_TYPES_FLOATING,
                                   .attributes = lp_attributes,
                                   .attribute_count = GM_COUNT(lp_attributes),
                                   .infer = infer_lp_pool,
                                   .expand = expand_lp_pool,
                                   .reference = reference_lp_pool};

/* --- MaxUnpool: each element of X goes to its place in the picture that MaxPool had taken it from --- */

/* (small - 1) * stride + kernel - pads */
static gm_status unpooled_dims(gm_graph *graph, const gm_node *node, gm_window *window, gm_dim *dims)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    GM_TRY(read_window(graph, node, x.rank, window));
    memcpy(dims, x.dims, sizeof x.dims);
    return gm_window_resolve_transposed(graph, node, window, x.dims + 2, dims + 2);
}

static gm_status infer_max_unpool(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]), indices = *gm_value_of(graph, node->inputs[1]);
    gm_dim dims[GM_MAX_RANK];
    gm_window window;
    if (indices.type != GM_INT64 || indices.rank != x.rank ||
        memcmp(indices.dims, x.dims, (size_t)x.rank * sizeof *x.dims) != 0)
        return gm_node_fail(graph, node, "the indices must be int64, of the shape of X");
    GM_TRY(unpooled_dims(graph, node, &window, dims));
    if (node->input_count > 2 && node->inputs[2]) {
        const gm_tensor *shape = gm_infer_known(graph, node, 2);
        if (!shape)
            return graph->status;
        if (shape->rank != 1 || shape->dims[0] != x.rank)
            return gm_node_fail(graph, node, "output_shape needs %d numbers", x.rank);
        for (int i = 0; i < x.rank; i++) {
            int64_t size = gm_get_int(shape, i);
            if (size < 0 || (gm_dim_is_known(dims[i]) && size < dims[i]))
                return gm_node_fail(graph, node, "output_shape is smaller than what the window gives in axis %d", i);
            dims[i] = size;
        }
    }
    gm_set_output(graph, node, 0, x.type, x.rank, dims);
    return graph->status;
}

static gm_status reference_max_unpool(const gm_compute *compute)
{
    const gm_tensor *x = &compute->in[0], *indices = &compute->in[1], *y = &compute->out[0];
    gm_tensor inner = *y; /* the picture of the window, at the beginning of each axis of y */
    gm_window window;
    if (gm_window_read(compute->node, x->rank, NULL, &window))
        return gm_fail(compute->context, GM_ERROR_INTERNAL, "MaxUnpool: its window is not valid");
    gm_window_pads_transposed(&window, x->dims + 2);
    for (int i = 0; i < window.spatial; i++)
        inner.dims[2 + i] = (x->dims[2 + i] - 1) * window.stride[i] + window.kernel[i] - window.low[i] - window.high[i];
    for (int64_t i = 0; i < gm_tensor_count(y); i++)
        gm_set(y, i, 0);
    for (int64_t i = 0; i < gm_tensor_count(x); i++) {
        int64_t from = gm_get_int(indices, i), to = 0, weight = 1;
        if (from < 0 || from >= gm_tensor_count(&inner))
            return gm_fail(compute->context, GM_ERROR_DATA, "MaxUnpool: index %lld is outside [0, %lld)",
                           (long long)from, (long long)gm_tensor_count(&inner));
        for (int k = y->rank; k-- > 0; from /= inner.dims[k]) {
            to += from % inner.dims[k] * weight;
            weight *= y->dims[k];
        }
        gm_set(y, to, gm_get(x, i));
    }
    return GM_OK;
}

static const gm_attribute_schema unpool_attributes[] = {{"kernel_shape", GM_ATTRIBUTE_INTS, GM_REQUIRED, .i = 0},
                                                        {"strides", GM_ATTRIBUTE_INTS, GM_OPTIONAL, .i = 0},
                                                        {"pads", GM_ATTRIBUTE_INTS, GM_OPTIONAL, .i = 0}};

/* https://onnx.ai/onnx/operators/onnx__MaxUnpool.html */
const gm_operator gm_op_max_unpool = {.domain = "",
                                      .name = "MaxUnpool",
                                      .since = 22,
                                      .inputs = "X I output_shape?",
                                      .outputs = "output",
                                      .types = GM_TYPES_FLOATING,
                                      .attributes = unpool_attributes,
                                      .attribute_count = GM_COUNT(unpool_attributes),
                                      .infer = infer_max_unpool,
                                      .reference = reference_max_unpool};
