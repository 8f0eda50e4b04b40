/* Reductions along axes: ReduceSum, ReduceMean, ReduceMax, ReduceMin, ReduceProd, and gmodel.SumTo, the inverse of
 * Expand.
 *
 * https://onnx.ai/onnx/operators/onnx__ReduceSum.html and its kin: the axes are a constant second input (an attribute
 * in older versions); without axes all are reduced, unless noop_with_empty_axes. */
#include "ops/axes.h"
#include "ops/reduce.h"
#include "ops/strided.h"

#include <math.h>
#include <string.h>

/* --- Shapes
 * ------------------------------------------------------------------------------------------------------------ */

static gm_status reduced_axes(gm_graph *graph, gm_node *node, bool *mask)
{
    int rank = gm_value_of(graph, node->inputs[0])->rank;
    bool given;
    GM_TRY(gm_infer_axes(graph, node, 1, rank, mask, &given));
    for (int i = 0; i < rank && !given; i++)
        mask[i] = gm_node_int(node, "noop_with_empty_axes", 0) == 0;
    return GM_OK;
}

static gm_status infer_reduce(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    bool mask[GM_MAX_RANK], keep = gm_node_int(node, "keepdims", 1) != 0;
    gm_dim dims[GM_MAX_RANK];
    int rank = 0;
    GM_TRY(reduced_axes(graph, node, mask));
    for (int i = 0; i < x.rank; i++)
        if (!mask[i])
            dims[rank++] = x.dims[i];
        else if (keep)
            dims[rank++] = 1;
    gm_set_output(graph, node, 0, x.type, rank, dims);
    return graph->status;
}

/* gmodel.SumTo(x, shape int64[r]) -> x summed along the axes that broadcasting `shape` to x's shape would repeat */
static gm_status infer_sum_to(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    gm_dim dims[GM_MAX_RANK];
    int rank;
    char a[160], b[160];
    GM_TRY(gm_infer_target(graph, node, node->inputs[1], &rank, dims));
    for (int i = 0; i < rank; i++) {
        int from = x.rank - rank + i;
        if (from < 0 || (dims[i] != 1 && dims[i] != x.dims[from]))
            return gm_node_fail(graph, node, "%s does not sum to the shape %s",
                                gm_shape_text(graph, node->inputs[0], a, sizeof a),
                                gm_dims_print(graph->symbols, rank, dims, b, sizeof b));
    }
    gm_set_output(graph, node, 0, x.type, rank, dims);
    return graph->status;
}

/* --- Gradients
 * --------------------------------------------------------------------------------------------------------- */

/* `value` (shaped like the output) with the reduced axes back, as size 1. */
static gm_value_id with_axes(gm_gradient *g, gm_value_id value, const bool *mask)
{
    int rank = gm_value_of(g->graph, g->node->inputs[0])->rank;
    bool any = false;
    for (int i = 0; i < rank; i++)
        any = any || mask[i];
    if (!any || gm_node_int(g->node, "keepdims", 1) != 0)
        return value;
    return gm_emit2(g->graph, "Unsqueeze", value, gm_const_axes(g->graph, mask, rank));
}

static gm_status gradient_sum(gm_gradient *g)
{
    gm_node node = *g->node;
    bool mask[GM_MAX_RANK];
    GM_TRY(reduced_axes(g->graph, &node, mask));
    g->dx[0] = gm_expand_like(g->graph, with_axes(g, g->dy[0], mask), node.inputs[0]);
    return g->graph->status;
}

/* dx = dy / count, repeated */
static gm_status gradient_mean(gm_gradient *g)
{
    gm_node node = *g->node;
    int rank = gm_value_of(g->graph, node.inputs[0])->rank;
    int64_t axes[GM_MAX_RANK];
    size_t count = 0;
    bool mask[GM_MAX_RANK];
    gm_value_id dy;
    GM_TRY(reduced_axes(g->graph, &node, mask));
    for (int i = 0; i < rank; i++)
        if (mask[i])
            axes[count++] = i;
    dy = with_axes(g, g->dy[0], mask);
    if (count)
        dy = gm_emit2(g->graph, "Div", dy, gm_count_along(g->graph, node.inputs[0], axes, count));
    g->dx[0] = gm_expand_like(g->graph, dy, node.inputs[0]);
    return g->graph->status;
}

/* dx = dy * (x == y) / (number of elements equal to y): elements that tie share the gradient equally. */
static gm_status gradient_extreme(gm_gradient *g)
{
    gm_graph *graph = g->graph;
    gm_node node = *g->node;
    gm_type type = gm_value_of(graph, node.inputs[0])->type;
    bool mask[GM_MAX_RANK];
    gm_value_id hit, ties, axes;
    GM_TRY(reduced_axes(graph, &node, mask));
    axes = gm_const_axes(graph, mask, gm_value_of(graph, node.inputs[0])->rank);
    hit = gm_emit1_with(graph, "Cast", gm_emit2(graph, "Equal", node.inputs[0], with_axes(g, node.outputs[0], mask)),
                        gm_attribute_int("to", type));
    ties = gm_emit2_with(graph, "ReduceSum", hit, axes, gm_attribute_int("noop_with_empty_axes", 1));
    g->dx[0] = gm_emit2(graph, "Mul", hit, gm_emit2(graph, "Div", with_axes(g, g->dy[0], mask), ties));
    return graph->status;
}

/* dx = dy * y / x: not a number where x is 0. */
static gm_status gradient_prod(gm_gradient *g)
{
    gm_node node = *g->node;
    bool mask[GM_MAX_RANK];
    gm_value_id scaled;
    GM_TRY(reduced_axes(g->graph, &node, mask));
    scaled = with_axes(g, gm_emit2(g->graph, "Mul", g->dy[0], node.outputs[0]), mask);
    g->dx[0] = gm_emit2(g->graph, "Div", scaled, node.inputs[0]);
    return g->graph->status;
}

static gm_status gradient_sum_to(gm_gradient *g)
{
    if (g->wanted[0])
        g->dx[0] = gm_expand_like(g->graph, g->dy[0], g->node->inputs[0]);
    return g->graph->status;
}

/* --- Reference
 * --------------------------------------------------------------------------------------------------------- */

/* Strides of the output along x's axes: 0 where reduced. Found by comparing shapes, which says all that matters: an
 * axis of size 1 is both. `keeps`: the output has all of x's axes. */
static void output_strides(const gm_tensor *x, const bool *mask, int64_t *strides)
{
    int64_t stride = 1;
    for (int i = x->rank; i-- > 0;) {
        strides[i] = mask[i] ? 0 : stride;
        stride *= mask[i] ? 1 : x->dims[i];
    }
}

static double start_value(gm_reduction reduction)
{
    return reduction == GM_REDUCE_MAX    ? -(double)INFINITY
           : reduction == GM_REDUCE_MIN  ? (double)INFINITY
           : reduction == GM_REDUCE_PROD ? 1.0
                                         : 0.0;
}

static double join(gm_reduction reduction, double sum, double x)
{
    switch (reduction) {
    case GM_REDUCE_MAX:
        return x > sum || isnan(x) ? x : sum;
    case GM_REDUCE_MIN:
        return x < sum || isnan(x) ? x : sum;
    case GM_REDUCE_PROD:
        return sum * x;
    default:
        return sum + x;
    }
}

static int64_t join_integers(gm_reduction reduction, bool natural, int64_t sum, int64_t x)
{
    bool greater = natural ? (uint64_t)x > (uint64_t)sum : x > sum;
    switch (reduction) {
    case GM_REDUCE_MAX:
        return greater ? x : sum;
    case GM_REDUCE_MIN:
        return greater ? sum : x;
    case GM_REDUCE_PROD:
        return (int64_t)((uint64_t)sum * (uint64_t)x);
    default:
        return (int64_t)((uint64_t)sum + (uint64_t)x);
    }
}

static int64_t locate(const gm_tensor *x, const int64_t *strides, int64_t at)
{
    int64_t to = 0;
    for (int i = x->rank; i-- > 0; at /= x->dims[i])
        to += at % x->dims[i] * strides[i];
    return to;
}

static gm_status reduce_integers(const gm_compute *compute, gm_reduction reduction, const int64_t *strides)
{
    const gm_tensor *x = &compute->in[0], *y = &compute->out[0];
    int64_t count = gm_tensor_count(x), results = gm_tensor_count(y);
    bool natural = x->type == GM_UINT64; /* stored in the bits of an int64 */
    int64_t *sums = gm_alloc_array(compute->context, (size_t)results + 1, sizeof *sums);
    if (!sums)
        return GM_ERROR_MEMORY;
    for (int64_t i = 0; i < results; i++)
        sums[i] = reduction == GM_REDUCE_MAX    ? (x->type == GM_BOOL || natural ? 0 : INT64_MIN)
                  : reduction == GM_REDUCE_MIN  ? (x->type == GM_BOOL ? 1
                                                   : natural          ? -1
                                                                      : INT64_MAX)
                  : reduction == GM_REDUCE_PROD ? 1
                                                : 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t to = locate(x, strides, i);
        sums[to] = join_integers(reduction, natural, sums[to], gm_get_int(x, i));
    }
    for (int64_t i = 0; i < results; i++)
        gm_set_wrapped(y, i, reduction == GM_REDUCE_MEAN && count > 0 ? sums[i] / (count / results) : sums[i]);
    gm_free(compute->context, sums);
    return GM_OK;
}

static gm_status reduce_reference(const gm_compute *compute, gm_reduction reduction, const bool *mask)
{
    const gm_tensor *x = &compute->in[0], *y = &compute->out[0];
    int64_t count = gm_tensor_count(x), results = gm_tensor_count(y), strides[GM_MAX_RANK] = {0};
    double *sums;
    output_strides(x, mask, strides);
    if (!gm_type_find(x->type)->floating)
        return reduce_integers(compute, reduction, strides);
    sums = gm_alloc_array(compute->context, (size_t)results + 1, sizeof *sums);
    if (!sums)
        return GM_ERROR_MEMORY;
    for (int64_t i = 0; i < results; i++)
        sums[i] = start_value(reduction);
    for (int64_t i = 0; i < count; i++) {
        int64_t to = locate(x, strides, i);
        sums[to] = join(reduction, sums[to], gm_get(x, i));
    }
    for (int64_t i = 0; i < results; i++)
        gm_set(y, i, reduction == GM_REDUCE_MEAN ? sums[i] / ((double)count / (double)results) : sums[i]);
    gm_free(compute->context, sums);
    return GM_OK;
}

/* The axes of a node, from tensors. False: they do not fit the output. */
static bool mask_of(const gm_compute *compute, bool *mask)
{
    const gm_node *node = compute->node;
    const gm_tensor *x = &compute->in[0];
    const gm_tensor *axes = node->input_count > 1 && compute->in[1].data ? &compute->in[1] : NULL;
    const int64_t *list;
    size_t count = gm_node_ints(node, "axes", &list);
    int64_t results = 1;
    memset(mask, 0, GM_MAX_RANK * sizeof *mask);
    if (axes)
        count = (size_t)gm_tensor_count(axes);
    for (size_t i = 0; i < count; i++) {
        int64_t axis = axes ? gm_get_int(axes, (int64_t)i) : list[i];
        axis = axis < 0 ? axis + x->rank : axis;
        if (axis < 0 || axis >= x->rank)
            return false;
        mask[axis] = true;
    }
    for (int i = 0; i < x->rank; i++) {
        mask[i] = count ? mask[i] : gm_node_int(node, "noop_with_empty_axes", 0) == 0;
        results *= mask[i] ? 1 : x->dims[i];
    }
    return results == gm_tensor_count(&compute->out[0]);
}

/* gmodel.SumTo: by comparing the shapes. */
static bool mask_of_shapes(const gm_compute *compute, bool *mask)
{
    const gm_tensor *x = &compute->in[0], *y = &compute->out[0];
    memset(mask, 0, GM_MAX_RANK * sizeof *mask);
    for (int i = 0; i < x->rank; i++) {
        int to = i - (x->rank - y->rank);
        mask[i] = to < 0 || y->dims[to] != x->dims[i];
        if (mask[i] && to >= 0 && y->dims[to] != 1)
            return false;
    }
    return true;
}

/* One row per operator: what it computes and where its axes come from. */
typedef bool (*mask_rule)(const gm_compute *compute, bool *mask);

static gm_status run_reference(const gm_compute *compute, gm_reduction reduction, mask_rule rule)
{
    bool mask[GM_MAX_RANK];
    if (!rule(compute, mask))
        return gm_fail(compute->context, GM_ERROR_DATA, "%s: the axes do not give the planned shape",
                       compute->node->op->name);
    return reduce_reference(compute, reduction, mask);
}

static gm_status run_lower(gm_lower *lower, gm_reduction reduction, mask_rule rule)
{
    const gm_node *node = lower->node;
    gm_compute compute;
    bool mask[GM_MAX_RANK];
    if (lower->reference || gm_value_of(lower->graph, node->inputs[0])->type != GM_FLOAT)
        return GM_OK;
    GM_TRY(gm_lower_describe(lower, &compute));
    if ((rule == mask_of && node->input_count > 1 && node->inputs[1] && !compute.in[1].data) || !rule(&compute, mask))
        return GM_OK;
    return gm_reduce_lower(lower, reduction, &compute.in[0], mask);
}

static const gm_older older_reduce[] = {{18, GM_OLDER_INPUT, "axes", .input = 1, .type = GM_INT64}, {0}};

#define REDUCTION(symbol, text, version, in, code, rule, infer_rule, gradient_rule, schema, schema_count)              \
    static gm_status reference_##symbol(const gm_compute *compute)                                                     \
    {                                                                                                                  \
        return run_reference(compute, code, rule);                                                                     \
    }                                                                                                                  \
    static gm_status lower_##symbol(gm_lower *lower)                                                                   \
    {                                                                                                                  \
        return run_lower(lower, code, rule);                                                                           \
    }                                                                                                                  \
    const gm_operator symbol = {.domain = code == GM_REDUCE_SUM && schema_count == 0 ? "gmodel" : "",                  \
                                .name = text,                                                                          \
                                .since = version,                                                                      \
                                .inputs = in,                                                                          \
                                .outputs = "reduced",                                                                  \
                                .types = GM_TYPES_NUMERIC |                                                            \
                                         (code == GM_REDUCE_MAX || code == GM_REDUCE_MIN ? GM_TYPES(GM_BOOL) : 0),     \
                                .attributes = schema,                                                                  \
                                .attribute_count = schema_count,                                                       \
                                .older = schema_count == 0 ? NULL : older_reduce,                                      \
                                .infer = infer_rule,                                                                   \
                                .gradient = gradient_rule,                                                             \
                                .reference = reference_##symbol,                                                       \
                                .lower = lower_##symbol};

static const gm_attribute_schema reduce_attributes[] = {
    {"keepdims", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 1},
    {"noop_with_empty_axes", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0},
    {"axes", GM_ATTRIBUTE_INTS, GM_OPTIONAL, .i = 0}, /* before 18 (ReduceSum: 13) */
};

REDUCTION(gm_op_reduce_sum, "ReduceSum", 13, "data axes?", GM_REDUCE_SUM, mask_of, infer_reduce, gradient_sum,
          reduce_attributes, GM_COUNT(reduce_attributes))
REDUCTION(gm_op_reduce_mean, "ReduceMean", 18, "data axes?", GM_REDUCE_MEAN, mask_of, infer_reduce, gradient_mean,
          reduce_attributes, GM_COUNT(reduce_attributes))
REDUCTION(gm_op_reduce_max, "ReduceMax", 20, "data axes?", GM_REDUCE_MAX, mask_of, infer_reduce, gradient_extreme,
          reduce_attributes, GM_COUNT(reduce_attributes))
REDUCTION(gm_op_reduce_min, "ReduceMin", 20, "data axes?", GM_REDUCE_MIN, mask_of, infer_reduce, gradient_extreme,
          reduce_attributes, GM_COUNT(reduce_attributes))
REDUCTION(gm_op_reduce_prod, "ReduceProd", 18, "data axes?", GM_REDUCE_PROD, mask_of, infer_reduce, gradient_prod,
          reduce_attributes, GM_COUNT(reduce_attributes))
REDUCTION(gm_op_sum_to, "SumTo", 1, "x shape", GM_REDUCE_SUM, mask_of_shapes, infer_sum_to, gradient_sum_to, NULL, 0)
