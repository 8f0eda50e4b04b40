/* Helpers that operators' shape inference and gradient rules share. */
#include "graph/operator.h"

#include <stdio.h>
#include <string.h>

/* Counts "X W B?": the names, those without '?', for both lists. */
static void count_names(const char *names, bool variadic, size_t *min_out, size_t *max_out)
{
    size_t least = 0, most = 0;
    for (const char *at = names ? names : ""; *at;) {
        size_t length = strcspn(at, " ");
        if (length) {
            most++;
            if (at[length - 1] != '?')
                least = most;
        }
        at += length + (at[length] == ' ');
    }
    *min_out = least;
    *max_out = variadic ? SIZE_MAX : most;
}

void gm_operator_arity(const gm_operator *op, size_t *min_in, size_t *max_in, size_t *min_out, size_t *max_out)
{
    bool variadic_out = (op->flags & GM_OP_UPDATE) || (op->outputs && strstr(op->outputs, "..."));
    count_names(op->inputs, (op->flags & GM_OP_VARIADIC) != 0, min_in, max_in);
    count_names(op->outputs, variadic_out, min_out, max_out);
}

/* --- Inference
 * --------------------------------------------------------------------------------------------------------- */

void gm_set_output(gm_graph *graph, gm_node *node, size_t output, gm_type type, int rank, const gm_dim *dims)
{
    gm_value *value;
    if (output >= node->output_count || !node->outputs[output])
        return;
    if (rank < 0 || rank > GM_MAX_RANK) {
        gm_node_fail(graph, node, "the result would have rank %d; at most %d is supported", rank, GM_MAX_RANK);
        return;
    }
    if (!gm_shape_fits(rank, dims)) {
        double bytes = (double)gm_type_bytes(type);
        for (int i = 0; i < rank; i++)
            bytes *= dims[i] > 0 ? (double)dims[i] : 1;
        gm_node_fail(graph, node, "the result would have %.3g bytes, which is too large for any machine", bytes);
        return;
    }
    value = gm_value_of(graph, node->outputs[output]);
    value->type = type;
    value->rank = rank;
    for (int i = 0; i < rank; i++) {
        if (dims[i] == GM_DIM_ERROR) {
            gm_node_fail(graph, node, "axis %d of the result has no valid size", i);
            return;
        }
        value->dims[i] = dims[i];
    }
}

void gm_set_output_like(gm_graph *graph, gm_node *node, size_t output, gm_value_id like)
{
    gm_value copy = *gm_value_of(graph, like);
    gm_set_output(graph, node, output, copy.type, copy.rank, copy.dims);
}

const char *gm_shape_text(const gm_graph *graph, gm_value_id id, char *buffer, size_t bytes)
{
    const gm_value *value;
    int length;
    if (!id) {
        snprintf(buffer, bytes, "(none)");
        return buffer;
    }
    value = gm_value_of(graph, id);
    length = snprintf(buffer, bytes, "%s", gm_type_name(value->type));
    if (value->rank > 0 && length > 0 && (size_t)length < bytes)
        gm_dims_print(graph->symbols, value->rank, value->dims, buffer + length, bytes - (size_t)length);
    return buffer;
}

gm_status gm_infer_broadcast(gm_graph *graph, gm_node *node, const gm_value_id *inputs, size_t count, int *rank_out,
                             gm_dim *dims_out)
{
    int rank = 0;
    for (size_t k = 0; k < count; k++)
        if (inputs[k] && gm_value_of(graph, inputs[k])->rank > rank)
            rank = gm_value_of(graph, inputs[k])->rank;
    for (int i = 0; i < rank; i++) {
        gm_dim dim = 1;
        for (size_t k = 0; k < count; k++) {
            const gm_value *value = inputs[k] ? gm_value_of(graph, inputs[k]) : NULL;
            int axis = value ? i - (rank - value->rank) : -1;
            if (axis < 0 || value->dims[axis] == 1 || value->dims[axis] == dim)
                continue;
            if (dim != 1) {
                char a[160], b[160];
                return gm_node_fail(graph, node, "shapes %s and %s do not broadcast: axis %d is not equal",
                                    gm_shape_text(graph, inputs[0], a, sizeof a),
                                    gm_shape_text(graph, inputs[k], b, sizeof b), i);
            }
            dim = value->dims[axis];
        }
        dims_out[i] = dim;
    }
    *rank_out = rank;
    return GM_OK;
}

gm_status gm_infer_same_type(gm_graph *graph, gm_node *node)
{
    gm_type type = GM_TYPE_UNDEFINED;
    for (size_t i = 0; i < node->input_count; i++) {
        const gm_value *value;
        if (!node->inputs[i])
            continue;
        value = gm_value_of(graph, node->inputs[i]);
        if (type == GM_TYPE_UNDEFINED)
            type = value->type;
        else if (value->type != type)
            return gm_node_fail(graph, node, "inputs have types %s and %s; they must be equal (use Cast)",
                                gm_type_name(type), gm_type_name(value->type));
    }
    return GM_OK;
}

gm_status gm_infer_unary(gm_graph *graph, gm_node *node)
{
    gm_set_output_like(graph, node, 0, node->inputs[0]);
    return graph->status;
}

gm_status gm_infer_elementwise(gm_graph *graph, gm_node *node)
{
    gm_dim dims[GM_MAX_RANK];
    int rank;
    GM_TRY(gm_infer_same_type(graph, node));
    GM_TRY(gm_infer_broadcast(graph, node, node->inputs, node->input_count, &rank, dims));
    gm_set_output(graph, node, 0, gm_value_of(graph, node->inputs[0])->type, rank, dims);
    return graph->status;
}

const gm_tensor *gm_infer_known(gm_graph *graph, gm_node *node, size_t input)
{
    const gm_tensor *constant = gm_constant_of(graph, node->inputs[input]);
    if (!constant)
        gm_node_fail(graph, node, "input %zu of (%s) decides the shape of the result: its values must be known at load",
                     input + 1, node->op->inputs);
    return constant;
}

gm_status gm_infer_axis(gm_graph *graph, gm_node *node, int64_t axis, int rank, int *axis_out)
{
    if (axis < -rank || axis >= rank)
        return gm_node_fail(graph, node, "axis %lld is outside [%d, %d)", (long long)axis, -rank, rank);
    *axis_out = (int)(axis < 0 ? axis + rank : axis);
    return GM_OK;
}

/* --- Gradients
 * --------------------------------------------------------------------------------------------------------- */

static bool same_dims(const gm_graph *graph, gm_value_id a, gm_value_id b)
{
    const gm_value *x = gm_value_of(graph, a), *y = gm_value_of(graph, b);
    return x->rank == y->rank && memcmp(x->dims, y->dims, (size_t)x->rank * sizeof x->dims[0]) == 0;
}

gm_value_id gm_shape_of(gm_graph *graph, gm_value_id id)
{
    const gm_value *value;
    if (graph->status != GM_OK || !id)
        return 0;
    value = gm_value_of(graph, id);
    for (int i = 0; i < value->rank; i++)
        if (!gm_dim_is_known(value->dims[i]))
            return gm_emit1(graph, "Shape", id);
    int64_t dims[GM_MAX_RANK];
    int rank = value->rank;
    memcpy(dims, value->dims, (size_t)rank * sizeof dims[0]);
    return gm_const_ints(graph, dims, (size_t)rank);
}

gm_value_id gm_sum_to_like(gm_graph *graph, gm_value_id dy, gm_value_id like)
{
    if (graph->status != GM_OK || !dy || !like || same_dims(graph, dy, like))
        return dy;
    return gm_emit2(graph, "gmodel.SumTo", dy, gm_shape_of(graph, like));
}

gm_value_id gm_expand_like(gm_graph *graph, gm_value_id x, gm_value_id like)
{
    if (graph->status != GM_OK || !x || !like || same_dims(graph, x, like))
        return x;
    return gm_emit2(graph, "Expand", x, gm_shape_of(graph, like));
}

gm_value_id gm_scalar_like(gm_graph *graph, gm_value_id like, double value)
{
    if (graph->status != GM_OK || !like)
        return 0;
    return gm_const_scalar(graph, gm_value_of(graph, like)->type, value);
}

gm_value_id gm_zeros_like(gm_graph *graph, gm_value_id like)
{
    return gm_expand_like(graph, gm_scalar_like(graph, like, 0.0), like);
}

gm_value_id gm_ones_like(gm_graph *graph, gm_value_id like)
{
    return gm_expand_like(graph, gm_scalar_like(graph, like, 1.0), like);
}

gm_value_id gm_count_along(gm_graph *graph, gm_value_id id, const int64_t *axes, size_t count)
{
    gm_dim product = 1;
    const gm_value *value;
    gm_value_id dims;
    if (graph->status != GM_OK || !id)
        return 0;
    value = gm_value_of(graph, id);
    for (size_t i = 0; i < (count ? count : (size_t)value->rank); i++) {
        int64_t axis = count ? axes[i] : (int64_t)i;
        axis = axis < 0 ? axis + value->rank : axis;
        product = gm_dim_mul(graph->symbols, product, value->dims[axis]);
    }
    if (gm_dim_is_known(product))
        return gm_scalar_like(graph, id, (double)product);
    /* Size of the symbolic axes at run time: a product over the gathered entries of Shape. */
    gm_type type = value->type;
    if (!count) {
        dims = gm_emit1(graph, "Size", id);
    } else {
        gm_value_id shape = gm_emit1(graph, "Shape", id);
        dims = 0;
        for (size_t i = 0; i < count; i++) {
            int64_t axis = axes[i] < 0 ? axes[i] + gm_value_of(graph, id)->rank : axes[i];
            gm_tensor *index = graph->status == GM_OK ? gm_tensor_create(graph->pool, GM_INT64, 0, NULL) : NULL;
            gm_value_id one;
            if (!index) {
                if (graph->status == GM_OK)
                    graph->status = GM_ERROR_MEMORY;
                return 0;
            }
            *(int64_t *)index->data = axis;
            one = gm_emit2(graph, "Gather", shape, gm_graph_constant(graph, index));
            dims = dims ? gm_emit2(graph, "Mul", dims, one) : one;
        }
    }
    return gm_emit1_with(graph, "Cast", dims, gm_attribute_int("to", type));
}
