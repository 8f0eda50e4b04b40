/* Operators that order the elements along an axis: ArgMax, ArgMin, TopK. */
#include "ops/axes.h"

#include <math.h>
#include <string.h>

/* x as [outer, length, inner] around the axis */
typedef struct line_form {
    int64_t outer, length, inner;
} line_form;

static line_form form_of(const gm_tensor *x, int64_t axis)
{
    line_form form = {1, 1, 1};
    axis = axis < 0 ? axis + x->rank : axis;
    for (int i = 0; i < x->rank; i++)
        *(i < axis ? &form.outer : i == axis ? &form.length : &form.inner) *= x->dims[i];
    return form;
}

/* Is element a before element b, the larger (or smaller) first? Integers compare exactly; NaN counts as the largest. */
static int compare(const gm_tensor *x, int64_t a, int64_t b)
{
    if (gm_type_find(x->type)->floating) {
        double p = gm_get(x, a), q = gm_get(x, b);
        return isnan(p) || isnan(q) ? isnan(p) - isnan(q) : (p > q) - (p < q);
    }
    return (gm_get_int(x, a) > gm_get_int(x, b)) - (gm_get_int(x, a) < gm_get_int(x, b));
}

/* --- ArgMax, ArgMin
 * --------------------------------------------------------------------------------------------------- */

/* https://onnx.ai/onnx/operators/onnx__ArgMax.html: int64; the first of equal ones unless select_last_index */
static gm_status infer_arg(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    gm_dim dims[GM_MAX_RANK];
    int axis, rank = 0;
    GM_TRY(gm_infer_axis(graph, node, gm_node_int(node, "axis", 0), x.rank, &axis));
    for (int i = 0; i < x.rank; i++)
        if (i != axis)
            dims[rank++] = x.dims[i];
        else if (gm_node_int(node, "keepdims", 1))
            dims[rank++] = 1;
    gm_set_output(graph, node, 0, GM_INT64, rank, dims);
    return graph->status;
}

static gm_status reference_arg(const gm_compute *compute, int sign)
{
    const gm_tensor *x = &compute->in[0];
    line_form form = form_of(x, gm_node_int(compute->node, "axis", 0));
    bool last = gm_node_int(compute->node, "select_last_index", 0) != 0;
    if (form.length == 0 && form.outer * form.inner > 0)
        return gm_fail(compute->context, GM_ERROR_DATA, "%s: the axis is empty", compute->node->op->name);
    for (int64_t o = 0; o < form.outer; o++)
        for (int64_t i = 0; i < form.inner; i++) {
            int64_t first = o * form.length * form.inner + i, best = 0;
            for (int64_t k = 1; k < form.length; k++) {
                int order = sign * compare(x, first + k * form.inner, first + best * form.inner);
                best = order > 0 || (order == 0 && last) ? k : best;
            }
            gm_set_int(&compute->out[0], o * form.inner + i, best);
        }
    return GM_OK;
}

static gm_status reference_arg_max(const gm_compute *compute)
{
    return reference_arg(compute, 1);
}

static gm_status reference_arg_min(const gm_compute *compute)
{
    return reference_arg(compute, -1);
}

static const gm_attribute_schema arg_attributes[] = {{"axis", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0},
                                                     {"keepdims", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 1},
                                                     {"select_last_index", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0}};
const gm_operator gm_op_arg_max = {.domain = "",
                                   .name = "ArgMax",
                                   .since = 13,
                                   .inputs = "data",
                                   .outputs = "reduced",
                                   .types = GM_TYPES_NUMERIC,
                                   .attributes = arg_attributes,
                                   .attribute_count = GM_COUNT(arg_attributes),
                                   .infer = infer_arg,
                                   .zero_gradient = true,
                                   .reference = reference_arg_max};
const gm_operator gm_op_arg_min = {.domain = "",
                                   .name = "ArgMin",
                                   .since = 13,
                                   .inputs = "data",
                                   .outputs = "reduced",
                                   .types = GM_TYPES_NUMERIC,
                                   .attributes = arg_attributes,
                                   .attribute_count = GM_COUNT(arg_attributes),
                                   .infer = infer_arg,
                                   .zero_gradient = true,
                                   .reference = reference_arg_min};

/* --- TopK
 * ------------------------------------------------------------------------------------------------------------- */

/* https://onnx.ai/onnx/operators/onnx__TopK.html: X[.., n, ..], K[1] -> Values[.., k, ..], Indices; among equal elements the
 * lower index first. Always sorted. */
static gm_status infer_top_k(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    int64_t k;
    size_t count;
    int axis;
    GM_TRY(gm_infer_axis(graph, node, gm_node_int(node, "axis", -1), x.rank, &axis));
    if (!gm_known_ints(graph, node->inputs[1], 1, &k, &count) || count != 1 || k < 0)
        return gm_node_fail(graph, node, "K must be a constant with one number that is not negative");
    if (gm_dim_is_known(x.dims[axis]) && k > x.dims[axis])
        return gm_node_fail(graph, node, "K is %lld, but axis %d has %lld elements", (long long)k, axis,
                            (long long)x.dims[axis]);
    x.dims[axis] = k;
    gm_set_output(graph, node, 0, x.type, x.rank, x.dims);
    gm_set_output(graph, node, 1, GM_INT64, x.rank, x.dims);
    return graph->status;
}

/* Keeps the best k so far in order: insertion, for k is small. */
static void insert(const gm_tensor *x, const line_form *form, int64_t first, int sign, int64_t at, int64_t k,
                   int64_t *best, int64_t *count)
{
    int64_t place = *count;
    while (place > 0 && sign * compare(x, first + at * form->inner, first + best[place - 1] * form->inner) > 0)
        place--;
    if (place >= k)
        return;
    *count += *count < k;
    memmove(best + place + 1, best + place, (size_t)(*count - place - 1) * sizeof *best);
    best[place] = at;
}

static gm_status reference_top_k(const gm_compute *compute)
{
    const gm_node *node = compute->node;
    const gm_tensor *x = &compute->in[0], *values = &compute->out[0];
    bool has_indices = node->output_count > 1 && compute->out[1].data;
    const gm_tensor *shape = values->data ? values : &compute->out[1];
    int64_t axis = gm_node_int(node, "axis", -1), k, *best;
    int sign = gm_node_int(node, "largest", 1) ? 1 : -1;
    line_form form = form_of(x, axis);
    k = shape->dims[axis < 0 ? axis + shape->rank : axis];
    if (k > form.length)
        return gm_fail(compute->context, GM_ERROR_DATA, "TopK: K is %lld, but the axis has %lld elements", (long long)k,
                       (long long)form.length);
    best = gm_alloc_array(compute->context, (size_t)k + 1, sizeof *best);
    if (!best)
        return GM_ERROR_MEMORY;
    for (int64_t o = 0; o < form.outer; o++)
        for (int64_t i = 0; i < form.inner; i++) {
            int64_t first = o * form.length * form.inner + i, count = 0;
            for (int64_t at = 0; at < form.length; at++)
                insert(x, &form, first, sign, at, k, best, &count);
            for (int64_t r = 0; r < k; r++) {
                int64_t to = (o * k + r) * form.inner + i, from = first + best[r] * form.inner;
                size_t item = gm_type_bytes(x->type);
                if (values->data)
                    memcpy((char *)values->data + (size_t)to * item, (const char *)x->data + (size_t)from * item, item);
                if (has_indices)
                    gm_set_int(&compute->out[1], to, best[r]);
            }
        }
    gm_free(compute->context, best);
    return GM_OK;
}

/* dX = zeros with dValues at the indices. A node without the second output gets a twin that has it. */
static gm_status gradient_top_k(gm_gradient *g)
{
    gm_graph *graph = g->graph;
    gm_node node = *g->node;
    gm_attribute axis = gm_attribute_int("axis", gm_node_int(&node, "axis", -1));
    gm_value_id outputs[2] = {node.outputs[0], node.output_count > 1 ? node.outputs[1] : 0};
    if (!g->wanted[0] || !g->dy[0])
        return GM_OK;
    if (!outputs[1])
        gm_emit_many(graph, "TopK", node.inputs, 2, node.attributes, node.attribute_count, outputs, 2);
    g->dx[0] = gm_emit(graph, "gmodel.GatherElementsGrad",
                       (gm_value_id[]){g->dy[0], outputs[1], gm_shape_of(graph, node.inputs[0])}, 3, &axis, 1);
    return graph->status;
}

static const gm_attribute_schema top_k_attributes[] = {{"axis", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = -1},
                                                       {"largest", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 1},
                                                       {"sorted", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 1}};
static const gm_older older_top_k[] = {{10, GM_OLDER_INPUT, "k", .input = 1, .type = GM_INT64}, {0}};
const gm_operator gm_op_top_k = {.domain = "",
                                 .name = "TopK",
                                 .since = 11,
                                 .inputs = "X K",
                                 .outputs = "Values Indices?",
                                 .types = GM_TYPES_NUMERIC,
                                 .attributes = top_k_attributes,
                                 .attribute_count = GM_COUNT(top_k_attributes),
                                 .older = older_top_k,
                                 .infer = infer_top_k,
                                 .gradient = gradient_top_k,
                                 .reference = reference_top_k};
