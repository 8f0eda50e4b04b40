/* Axes, known integers, contents, shapes. See axes.h. */
#include "ops/axes.h"
#include "ops/kernel.h"

#include <string.h>

bool gm_known_ints(const gm_graph *graph, gm_value_id id, size_t capacity, int64_t *values_out, size_t *count_out)
{
    const gm_tensor *constant = gm_constant_of(graph, id);
    const gm_dim *content;
    size_t count;
    if (constant && constant->rank <= 1 && (GM_TYPES_INTEGER & GM_TYPES(constant->type))) {
        count = (size_t)gm_tensor_count(constant);
        for (size_t i = 0; i < count && i < capacity; i++)
            values_out[i] = gm_get_int(constant, (int64_t)i);
    } else if (gm_content_of(graph, id, &content, &count)) {
        for (size_t i = 0; i < count && i < capacity; i++) {
            if (!gm_dim_is_known(content[i]))
                return false;
            values_out[i] = content[i];
        }
    } else {
        return false;
    }
    *count_out = count;
    return count <= capacity;
}

static bool looks_through(const gm_node *node)
{
    static const char *const names[] = {"Cast", "Identity", "Unsqueeze", "Squeeze", "Reshape"};
    for (size_t i = 0; i < GM_COUNT(names); i++)
        if (strcmp(node->op->name, names[i]) == 0)
            return true;
    return false;
}

static bool shape_elements(const gm_graph *graph, gm_value_id id, size_t capacity, gm_dim *dims, size_t *count,
                           int depth)
{
    const gm_value *value = gm_value_of(graph, id);
    const gm_tensor *constant = gm_constant_of(graph, id);
    const gm_dim *content;
    size_t n;
    if (!id || depth > 8)
        return false;
    if (gm_content_of(graph, id, &content, &n)) {
        if (*count + n > capacity)
            return false;
        memcpy(dims + *count, content, n * sizeof *dims);
        *count += n;
        return true;
    }
    if (constant && constant->rank <= 1 && (constant->type == GM_INT64 || constant->type == GM_INT32)) {
        n = (size_t)gm_tensor_count(constant);
        for (size_t i = 0; i < n; i++) {
            int64_t element = gm_get_int(constant, (int64_t)i);
            if (*count >= capacity || element < -1)
                return false;
            dims[(*count)++] = element == -1 ? GM_DIM_INFER : element;
        }
        return true;
    }
    if (value->kind == GM_VALUE_NODE) {
        const gm_node *node = &graph->nodes[value->node];
        if (strcmp(node->op->name, "Concat") == 0) {
            for (size_t i = 0; i < node->input_count; i++)
                if (!shape_elements(graph, node->inputs[i], capacity, dims, count, depth + 1))
                    return false;
            return true;
        }
        if (looks_through(node))
            return shape_elements(graph, node->inputs[0], capacity, dims, count, depth + 1);
    }
    return false;
}

bool gm_shape_elements(const gm_graph *graph, gm_value_id id, size_t capacity, gm_dim *dims_out, size_t *count_out)
{
    *count_out = 0;
    return shape_elements(graph, id, capacity, dims_out, count_out, 0);
}

gm_status gm_infer_target(gm_graph *graph, gm_node *node, gm_value_id id, int *rank_out, gm_dim *dims_out)
{
    const gm_value *value = gm_value_of(graph, id);
    size_t count;
    if (value->type != GM_INT64 || value->rank > 1)
        return gm_node_fail(graph, node, "the shape must be an int64 vector");
    if (gm_shape_elements(graph, id, GM_MAX_RANK, dims_out, &count)) {
        *rank_out = (int)count;
        for (size_t i = 0; i < count; i++)
            if (dims_out[i] == GM_DIM_INFER)
                return gm_node_fail(graph, node, "axis %zu of the shape is -1; a size is needed", i);
        return GM_OK;
    }
    if (value->rank != 1 || !gm_dim_is_known(value->dims[0]) || value->dims[0] > GM_MAX_RANK)
        return gm_node_fail(graph, node,
                            "the rank of the result is not known; the shape needs a known length of at most %d",
                            GM_MAX_RANK);
    *rank_out = (int)value->dims[0];
    for (int i = 0; i < *rank_out; i++)
        dims_out[i] = gm_dim_unknown(graph->symbols);
    return GM_OK;
}

gm_status gm_set_content(gm_graph *graph, gm_node *node, size_t output, const gm_dim *content, size_t count)
{
    gm_dim *copy;
    if (graph->status != GM_OK || output >= node->output_count || !node->outputs[output])
        return graph->status;
    for (size_t i = 0; i < count; i++)
        if (content[i] == GM_DIM_ERROR)
            return GM_OK;
    copy = gm_pool_copy(graph->pool, content, count * sizeof *content);
    if (!copy)
        return graph->status = GM_ERROR_MEMORY;
    gm_value_of(graph, node->outputs[output])->content = copy;
    gm_value_of(graph, node->outputs[output])->content_count = count;
    return GM_OK;
}

gm_status gm_infer_axes(gm_graph *graph, gm_node *node, size_t input, int rank, bool *mask, bool *given_out)
{
    int64_t values[GM_MAX_RANK] = {0};
    const int64_t *axes = values;
    size_t count = 0;
    memset(mask, 0, GM_MAX_RANK * sizeof *mask);
    if (node->input_count > input && node->inputs[input]) {
        if (!gm_known_ints(graph, node->inputs[input], GM_MAX_RANK, values, &count))
            return gm_node_fail(graph, node, "input %zu (the axes) must be a constant of at most %d integers",
                                input + 1, GM_MAX_RANK);
    } else {
        count = gm_node_ints(node, "axes", &axes);
    }
    for (size_t i = 0; i < count; i++) {
        int axis;
        GM_TRY(gm_infer_axis(graph, node, axes[i], rank, &axis));
        if (mask[axis])
            return gm_node_fail(graph, node, "axis %d is listed twice", axis);
        mask[axis] = true;
    }
    *given_out = count > 0;
    return GM_OK;
}

gm_value_id gm_const_axes(gm_graph *graph, const bool *mask, int rank)
{
    int64_t axes[GM_MAX_RANK];
    size_t count = 0;
    for (int i = 0; i < rank; i++)
        if (mask[i])
            axes[count++] = i;
    return gm_const_ints(graph, axes, count);
}

gm_value_id gm_shape_vector(gm_graph *graph, int rank, const gm_axis_size *axes)
{
    int64_t run[GM_MAX_RANK];
    size_t length = 0, parts = 0;
    gm_value_id part[2 * GM_MAX_RANK];
    gm_attribute axis = gm_attribute_int("axis", 0);
    for (int i = 0; i < rank; i++) {
        gm_attribute ends[2] = {gm_attribute_int("start", axes[i].axis), gm_attribute_int("end", axes[i].axis + 1)};
        bool known = gm_dim_is_known(axes[i].size);
        if (known || !axes[i].of)
            run[length++] = known ? axes[i].size : -1;
        if (length && (i + 1 == rank || (!known && axes[i].of))) {
            part[parts++] = gm_const_ints(graph, run, length);
            length = 0;
        }
        if (!known && axes[i].of)
            part[parts++] = gm_emit(graph, "Shape", &axes[i].of, 1, ends, 2);
    }
    if (parts < 2)
        return parts ? part[0] : gm_const_ints(graph, run, 0);
    return gm_emit(graph, "Concat", part, parts, &axis, 1);
}

gm_value_id gm_reshape_to(gm_graph *graph, gm_value_id x, int rank, const gm_axis_size *axes)
{
    const gm_value *value;
    bool same, inferred = false;
    if (graph->status != GM_OK || !x)
        return 0;
    value = gm_value_of(graph, x);
    same = value->rank == rank;
    for (int i = 0; i < rank; i++) {
        same = same && value->dims[i] == axes[i].size;
        inferred = inferred || (!gm_dim_is_known(axes[i].size) && !axes[i].of);
    }
    return same ? x
                : gm_emit2_with(graph, "Reshape", x, gm_shape_vector(graph, rank, axes),
                                gm_attribute_int("allowzero", !inferred));
}

/* --- Many parts ------------------------------------------------------------------------------------------------------- */

#define FAN GM_MAX_ARITY

void gm_split_equal(gm_graph *graph, gm_value_id x, int64_t axis, int64_t count, int64_t each, gm_value_id *parts_out)
{
    gm_attribute along = gm_attribute_int("axis", axis);
    int64_t groups = count < FAN ? count : FAN, at = 0, sizes[FAN], lengths[FAN];
    gm_value_id pieces[FAN];
    if (count == 1) {
        parts_out[0] = x;
        return;
    }
    for (int64_t i = 0; i < groups; i++) {
        sizes[i] = count / groups + (i < count % groups);
        lengths[i] = sizes[i] * each;
    }
    gm_emit_many(graph, "Split", (gm_value_id[]){x, gm_const_ints(graph, lengths, (size_t)groups)}, 2, &along, 1,
                 pieces, (size_t)groups);
    for (int64_t i = 0; i < groups && graph->status == GM_OK; at += sizes[i++])
        gm_split_equal(graph, pieces[i], axis, sizes[i], each, parts_out + at);
}

gm_value_id gm_join(gm_graph *graph, const gm_value_id *parts, int64_t axis, int64_t count)
{
    gm_attribute along = gm_attribute_int("axis", axis);
    int64_t groups = count < FAN ? count : FAN, at = 0;
    gm_value_id pieces[FAN];
    if (count == 1)
        return parts[0];
    for (int64_t i = 0; i < groups; i++) {
        int64_t size = count / groups + (i < count % groups);
        pieces[i] = gm_join(graph, parts + at, axis, size);
        at += size;
    }
    return gm_emit(graph, "Concat", pieces, (size_t)groups, &along, 1);
}
