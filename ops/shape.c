/* Operators that look at shapes or give the same elements another shape. */
#include "ops/axes.h"
#include "ops/strided.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#define MOVABLE     (GM_TYPES_NUMERIC | GM_TYPES(GM_BOOL))
#define MAX_CONTENT 64

static gm_status copy_reference(const gm_compute *compute)
{
    if (compute->out[0].data != compute->in[0].data)
        memcpy(compute->out[0].data, compute->in[0].data, gm_tensor_bytes(&compute->out[0]));
    return GM_OK;
}

/* The same bytes: plain data, and any blocked activation of a single position per channel. */
static gm_status lower_alias(gm_lower *lower)
{
    const gm_value *x = gm_value_of(lower->graph, lower->node->inputs[0]);
    gm_layout layout = lower->in_layout[0];
    int64_t positions = 1;
    for (int i = 2; i < x->rank; i++)
        positions *= x->dims[i];
    if (layout.block > 1 && positions == 1)
        lower->in_want[0] = layout;
    lower->alias[0] = 0;
    return GM_OK;
}

/* Gradient of everything that keeps the elements: dy in the shape of x. */
static gm_status reshape_back(gm_gradient *g)
{
    if (g->wanted[0])
        g->dx[0] = gm_emit2(g->graph, "Reshape", g->dy[0], gm_shape_of(g->graph, g->node->inputs[0]));
    return g->graph->status;
}

/* Contents survive what only changes the shape. */
static gm_status pass_content(gm_graph *graph, gm_node *node)
{
    const gm_dim *content;
    size_t count;
    if (graph->status == GM_OK && gm_value_of(graph, node->outputs[0])->rank <= 1 &&
        gm_content_of(graph, node->inputs[0], &content, &count))
        return gm_set_content(graph, node, 0, content, count);
    return graph->status;
}

/* --- Shape, Size
 * ------------------------------------------------------------------------------------------------------- */

/* https://onnx.ai/onnx/operators/onnx__Shape.html: x[rank] -> int64[end - start] */
static void shape_range(const gm_node *node, int rank, int *start_out, int *end_out)
{
    int64_t start = gm_node_int(node, "start", 0), end = gm_node_int(node, "end", rank);
    start = start < 0 ? start + rank : start;
    end = end < 0 ? end + rank : end;
    start = start < 0 ? 0 : start > rank ? rank : start;
    end = end < start ? start : end > rank ? rank : end;
    *start_out = (int)start;
    *end_out = (int)end;
}

static gm_status infer_shape(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    int start, end;
    shape_range(node, x.rank, &start, &end);
    gm_set_output(graph, node, 0, GM_INT64, 1, (gm_dim[]){end - start});
    return gm_set_content(graph, node, 0, x.dims + start, (size_t)(end - start));
}

static gm_status reference_shape(const gm_compute *compute)
{
    int start, end;
    shape_range(compute->node, compute->in[0].rank, &start, &end);
    for (int i = start; i < end; i++)
        gm_set_int(&compute->out[0], i - start, compute->in[0].dims[i]);
    return GM_OK;
}

static gm_status infer_size(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    gm_dim count = 1;
    for (int i = 0; i < x.rank; i++)
        count = gm_dim_mul(graph->symbols, count, x.dims[i]);
    gm_set_output(graph, node, 0, GM_INT64, 0, NULL);
    return gm_set_content(graph, node, 0, &count, 1);
}

static gm_status reference_size(const gm_compute *compute)
{
    gm_set_int(&compute->out[0], 0, gm_tensor_count(&compute->in[0]));
    return GM_OK;
}

typedef struct numbers_state {
    size_t count;
    int64_t numbers[GM_MAX_RANK];
} numbers_state;

static gm_status run_numbers(const void *state_pointer, const gm_kernel_arguments *arguments)
{
    const numbers_state *state = state_pointer;
    memcpy(arguments->out[0], state->numbers, state->count * sizeof state->numbers[0]);
    return GM_OK;
}

/* Shape and Size read no data: no reorder of the input is worth it. */
static gm_status lower_numbers(gm_lower *lower)
{
    numbers_state *state = gm_pool_alloc(lower->pool, sizeof *state);
    gm_compute compute;
    gm_tensor out;
    if (!state)
        return GM_ERROR_MEMORY;
    GM_TRY(gm_lower_describe(lower, &compute));
    out = compute.out[0];
    out.data = state->numbers;
    compute.out = &out;
    state->count = (size_t)gm_tensor_count(&out);
    GM_TRY(lower->node->op->reference(&compute));
    if (!gm_layout_is_any(lower->in_layout[0]))
        lower->in_want[0] = lower->in_layout[0];
    lower->kernel = (gm_kernel){run_numbers, NULL, state};
    return GM_OK;
}

static const gm_attribute_schema shape_attributes[] = {{"start", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0},
                                                       {"end", GM_ATTRIBUTE_INT, GM_OPTIONAL, .i = 0}};
const gm_operator gm_op_shape = {.domain = "",
                                 .name = "Shape",
                                 .since = 15,
                                 .inputs = "data",
                                 .outputs = "shape",
                                 .types = MOVABLE,
                                 .attributes = shape_attributes,
                                 .attribute_count = GM_COUNT(shape_attributes),
                                 .infer = infer_shape,
                                 .zero_gradient = true,
                                 .reference = reference_shape,
                                 .lower = lower_numbers};
const gm_operator gm_op_size = {.domain = "",
                                .name = "Size",
                                .since = 13,
                                .inputs = "data",
                                .outputs = "size",
                                .types = MOVABLE,
                                .infer = infer_size,
                                .zero_gradient = true,
                                .reference = reference_size,
                                .lower = lower_numbers};

/* --- Identity, Constant
 * ------------------------------------------------------------------------------------------------ */

static gm_status infer_identity(gm_graph *graph, gm_node *node)
{
    gm_set_output_like(graph, node, 0, node->inputs[0]);
    return pass_content(graph, node);
}

static gm_status gradient_identity(gm_gradient *g)
{
    g->dx[0] = g->wanted[0] ? g->dy[0] : 0;
    return GM_OK;
}

static gm_status lower_identity(gm_lower *lower)
{
    if (!gm_layout_is_any(lower->in_layout[0]))
        lower->in_want[0] = lower->in_layout[0];
    lower->out_layout[0] = lower->in_want[0];
    lower->alias[0] = 0;
    return GM_OK;
}

const gm_operator gm_op_identity = {.domain = "",
                                    .name = "Identity",
                                    .since = 21,
                                    .inputs = "input",
                                    .outputs = "output",
                                    .types = MOVABLE,
                                    .infer = infer_identity,
                                    .gradient = gradient_identity,
                                    .reference = copy_reference,
                                    .lower = lower_identity};

/* https://onnx.ai/onnx/operators/onnx__Constant.html: exactly one of the attributes, which becomes a constant value. */
static gm_tensor *constant_tensor(gm_graph *graph, const gm_attribute *a)
{
    bool whole = a->kind == GM_ATTRIBUTE_INT || a->kind == GM_ATTRIBUTE_INTS;
    bool list = a->kind == GM_ATTRIBUTE_INTS || a->kind == GM_ATTRIBUTE_FLOATS;
    gm_tensor *tensor =
        gm_tensor_create(graph->pool, whole ? GM_INT64 : GM_FLOAT, list ? 1 : 0, (int64_t[]){(int64_t)a->count});
    for (size_t i = 0; tensor && i < (list ? a->count : 1); i++)
        if (whole)
            gm_set_int(tensor, (int64_t)i, list ? a->ints[i] : a->i);
        else
            gm_set(tensor, (int64_t)i, list ? a->floats[i] : a->f);
    return tensor;
}

static gm_status expand_constant(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    const gm_tensor *tensor;
    if (node->attribute_count != 1)
        return gm_node_fail(graph, node,
                            "exactly one of value, value_int, value_ints, value_float, value_floats must be "
                            "given, found %zu",
                            node->attribute_count);
    tensor = node->attributes[0].kind == GM_ATTRIBUTE_TENSOR ? node->attributes[0].t
                                                             : constant_tensor(graph, &node->attributes[0]);
    if (!tensor)
        return graph->status = GM_ERROR_MEMORY;
    outputs[0] = gm_graph_constant(graph, tensor);
    return graph->status;
}

static const gm_attribute_schema constant_attributes[] = {{"value", GM_ATTRIBUTE_TENSOR, GM_OPTIONAL, .i = 0},
                                                          {"value_int", GM_ATTRIBUTE_INT, GM_OPTIONAL, .i = 0},
                                                          {"value_ints", GM_ATTRIBUTE_INTS, GM_OPTIONAL, .i = 0},
                                                          {"value_float", GM_ATTRIBUTE_FLOAT, GM_OPTIONAL, .i = 0},
                                                          {"value_floats", GM_ATTRIBUTE_FLOATS, GM_OPTIONAL, .i = 0}};
const gm_operator gm_op_constant = {.domain = "",
                                    .name = "Constant",
                                    .since = 21,
                                    .inputs = "",
                                    .outputs = "output",
                                    .types = MOVABLE,
                                    .attributes = constant_attributes,
                                    .attribute_count = GM_COUNT(constant_attributes),
                                    .zero_gradient = true,
                                    .expand = expand_constant};

/* --- ConstantOfShape, Range
 * -------------------------------------------------------------------------------------------- */

static gm_status infer_constant_of_shape(gm_graph *graph, gm_node *node)
{
    const gm_attribute *value = gm_node_attribute(node, "value");
    gm_dim dims[GM_MAX_RANK];
    int rank;
    if (value && gm_tensor_count(value->t) != 1)
        return gm_node_fail(graph, node, "attribute 'value' must have one element, found %lld",
                            (long long)gm_tensor_count(value->t));
    GM_TRY(gm_infer_target(graph, node, node->inputs[0], &rank, dims));
    gm_set_output(graph, node, 0, value ? value->t->type : GM_FLOAT, rank, dims);
    return graph->status;
}

static gm_status reference_constant_of_shape(const gm_compute *compute)
{
    const gm_attribute *value = gm_node_attribute(compute->node, "value");
    const gm_tensor *out = &compute->out[0];
    size_t item = gm_type_bytes(out->type);
    int64_t count = gm_tensor_count(out);
    for (int64_t i = 0; i < count; i++)
        if (value)
            memcpy((char *)out->data + (size_t)i * item, value->t->data, item);
        else
            gm_set(out, i, 0.0);
    return GM_OK;
}

static const gm_attribute_schema constant_of_shape_attributes[] = {{"value", GM_ATTRIBUTE_TENSOR, GM_OPTIONAL, .i = 0}};
const gm_operator gm_op_constant_of_shape = {.domain = "",
                                             .name = "ConstantOfShape",
                                             .since = 21,
                                             .inputs = "shape",
                                             .outputs = "output",
                                             .types = GM_TYPES(GM_INT64),
                                             .attributes = constant_of_shape_attributes,
                                             .attribute_count = GM_COUNT(constant_of_shape_attributes),
                                             .infer = infer_constant_of_shape,
                                             .zero_gradient = true,
                                             .reference = reference_constant_of_shape};

/* https://onnx.ai/onnx/operators/onnx__Range.html: start, start + delta, ... below limit; all scalars of one type. */
static double range_count(double start, double limit, double delta)
{
    return fmax(0.0, ceil((limit - start) / delta));
}

static gm_status infer_range(gm_graph *graph, gm_node *node)
{
    const gm_tensor *known[3];
    int64_t from[3];
    size_t n[3];
    gm_type type = gm_value_of(graph, node->inputs[0])->type;
    gm_dim count = gm_dim_unknown(graph->symbols), content[MAX_CONTENT];
    const gm_dim *limit;
    size_t limit_count;
    bool all = true, numbers = true;
    GM_TRY(gm_infer_same_type(graph, node));
    for (size_t i = 0; i < 3; i++) {
        known[i] = gm_constant_of(graph, node->inputs[i]);
        all = all && known[i] && gm_tensor_count(known[i]) == 1;
        numbers = gm_known_ints(graph, node->inputs[i], 1, &from[i], &n[i]) && n[i] == 1 && numbers;
    }
    if (all || numbers) {
        double start = all ? gm_get(known[0], 0) : (double)from[0], delta = all ? gm_get(known[2], 0) : (double)from[2];
        double size = range_count(start, all ? gm_get(known[1], 0) : (double)from[1], delta);
        if (delta == 0.0 || !(size < (double)INT_MAX))
            return gm_node_fail(graph, node, "the range from %g by %g has no valid number of elements", start, delta);
        count = (gm_dim)size;
    } else if (gm_known_ints(graph, node->inputs[0], 1, &from[0], &n[0]) && from[0] == 0 &&
               gm_known_ints(graph, node->inputs[2], 1, &from[2], &n[2]) && from[2] == 1 &&
               gm_content_of(graph, node->inputs[1], &limit, &limit_count) && limit_count == 1) {
        count = limit[0];
    }
    gm_set_output(graph, node, 0, type, 1, &count);
    if (!numbers || count > MAX_CONTENT)
        return graph->status;
    for (gm_dim i = 0; i < count; i++) {
        content[i] = from[0] + i * from[2];
        if (content[i] < 0)
            return graph->status; /* a negative number is no content */
    }
    return gm_set_content(graph, node, 0, content, (size_t)count);
}

static gm_status reference_range(const gm_compute *compute)
{
    const gm_tensor *in = compute->in, *out = &compute->out[0];
    bool floating = gm_type_find(out->type)->floating;
    double size = range_count(gm_get(&in[0], 0), gm_get(&in[1], 0), gm_get(&in[2], 0));
    int64_t count = gm_tensor_count(out);
    if (size != (double)count)
        return gm_fail(compute->context, GM_ERROR_DATA, "Range has %g elements where %lld were planned", size,
                       (long long)count);
    for (int64_t i = 0; i < count; i++)
        if (floating)
            gm_set(out, i, gm_get(&in[0], 0) + (double)i * gm_get(&in[2], 0));
        else
            gm_set_int(out, i,
                       (int64_t)((uint64_t)gm_get_int(&in[0], 0) + (uint64_t)i * (uint64_t)gm_get_int(&in[2], 0)));
    return GM_OK;
}

const gm_operator gm_op_range = {.domain = "",
                                 .name = "Range",
                                 .since = 11,
                                 .inputs = "start limit delta",
                                 .outputs = "output",
                                 .types = GM_TYPES_NUMERIC,
                                 .infer = infer_range,
                                 .zero_gradient = true,
                                 .reference = reference_range};

/* --- Reshape, Flatten, Squeeze, Unsqueeze
 * ------------------------------------------------------------------------------ */

static gm_dim product(gm_graph *graph, const gm_dim *dims, int from, int to)
{
    gm_dim result = 1;
    for (int i = from; i < to; i++)
        result = gm_dim_mul(graph->symbols, result, dims[i]);
    return result;
}

/* The one -1 of a target: what the other axes leave of x. */
static gm_status infer_minus_one(gm_graph *graph, gm_node *node, const gm_value *x, gm_dim *dims, int rank, int at)
{
    gm_dim all = product(graph, x->dims, 0, x->rank), rest;
    char a[160], b[160];
    dims[at] = 1;
    rest = product(graph, dims, 0, rank);
    dims[at] = rest == 0 ? GM_DIM_ERROR : gm_dim_div_exact(graph->symbols, all, rest);
    if (dims[at] == GM_DIM_ERROR)
        return gm_node_fail(graph, node, "%s has %s elements, not a multiple of the %s that the other axes ask for",
                            gm_shape_text(graph, node->inputs[0], a, sizeof a),
                            gm_dim_print(graph->symbols, all, b, sizeof b),
                            gm_dim_print(graph->symbols, rest, (char[96]){0}, 96));
    return GM_OK;
}

/* https://onnx.ai/onnx/operators/onnx__Reshape.html: 0 copies the axis of x (unless allowzero), one -1 is inferred. */
static gm_status infer_reshape(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    gm_dim dims[GM_MAX_RANK], before, after;
    bool allow_zero = gm_node_int(node, "allowzero", 0) != 0;
    size_t count;
    int rank, inferred = -1;
    char a[160], b[160];
    if (!gm_shape_elements(graph, node->inputs[1], GM_MAX_RANK, dims, &count)) {
        GM_TRY(gm_infer_target(graph, node, node->inputs[1], &rank, dims));
        gm_set_output(graph, node, 0, x.type, rank, dims);
        return graph->status;
    }
    rank = (int)count;
    for (int i = 0; i < rank; i++) {
        if (dims[i] == 0 && !allow_zero) {
            if (i >= x.rank)
                return gm_node_fail(graph, node, "0 at axis %d of the shape: %s has no such axis", i,
                                    gm_shape_text(graph, node->inputs[0], a, sizeof a));
            dims[i] = x.dims[i];
        } else if (dims[i] == GM_DIM_INFER) {
            if (inferred >= 0)
                return gm_node_fail(graph, node, "the shape holds -1 more than once");
            inferred = i;
        }
    }
    if (inferred >= 0)
        GM_TRY(infer_minus_one(graph, node, &x, dims, rank, inferred));
    before = product(graph, x.dims, 0, x.rank);
    after = product(graph, dims, 0, rank);
    if (before != after && gm_dim_is_known(before) && gm_dim_is_known(after))
        return gm_node_fail(graph, node, "%s has %lld elements and the shape %s %lld",
                            gm_shape_text(graph, node->inputs[0], a, sizeof a), (long long)before,
                            gm_dims_print(graph->symbols, rank, dims, b, sizeof b), (long long)after);
    gm_set_output(graph, node, 0, x.type, rank, dims);
    return pass_content(graph, node);
}

/* https://onnx.ai/onnx/operators/onnx__Flatten.html: [product of axes before `axis`, product of the others] */
static gm_status infer_flatten(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    int64_t axis = gm_node_int(node, "axis", 1);
    if (axis < -x.rank || axis > x.rank)
        return gm_node_fail(graph, node, "axis %lld is outside [%d, %d]", (long long)axis, -x.rank, x.rank);
    axis = axis < 0 ? axis + x.rank : axis;
    gm_set_output(graph, node, 0, x.type, 2,
                  (gm_dim[]){product(graph, x.dims, 0, (int)axis), product(graph, x.dims, (int)axis, x.rank)});
    return graph->status;
}

static gm_status infer_squeeze(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    bool mask[GM_MAX_RANK], given;
    gm_dim dims[GM_MAX_RANK];
    int rank = 0;
    GM_TRY(gm_infer_axes(graph, node, 1, x.rank, mask, &given));
    for (int i = 0; i < x.rank; i++) {
        bool drop = given ? mask[i] : x.dims[i] == 1;
        if (drop && x.dims[i] != 1 && gm_dim_is_known(x.dims[i]))
            return gm_node_fail(graph, node, "axis %d has size %lld; only axes of size 1 can be squeezed", i,
                                (long long)x.dims[i]);
        if (drop && x.dims[i] != 1)
            return gm_node_fail(graph, node, "axis %d has a symbolic size; only axes of size 1 can be squeezed", i);
        if (!drop)
            dims[rank++] = x.dims[i];
    }
    gm_set_output(graph, node, 0, x.type, rank, dims);
    return pass_content(graph, node);
}

static gm_status infer_unsqueeze(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    bool mask[GM_MAX_RANK], given;
    gm_dim dims[GM_MAX_RANK];
    int64_t axes[GM_MAX_RANK];
    const int64_t *list;
    size_t count = gm_node_ints(node, "axes", &list);
    int rank, from = 0;
    if (node->input_count > 1 && node->inputs[1] && !gm_known_ints(graph, node->inputs[1], GM_MAX_RANK, axes, &count))
        return gm_node_fail(graph, node, "the axes must be a constant of at most %d integers", GM_MAX_RANK);
    rank = x.rank + (int)count;
    if (rank > GM_MAX_RANK)
        return gm_node_fail(graph, node, "the result would have rank %d; at most %d is supported", rank, GM_MAX_RANK);
    GM_TRY(gm_infer_axes(graph, node, 1, rank, mask, &given));
    for (int i = 0; i < rank; i++)
        dims[i] = mask[i] ? 1 : x.dims[from++];
    gm_set_output(graph, node, 0, x.type, rank, dims);
    return pass_content(graph, node);
}

static const gm_attribute_schema reshape_attributes[] = {{"allowzero", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0}};
static const gm_older older_reshape[] = {{5, GM_OLDER_INPUT, "shape", .input = 1, .type = GM_INT64}, {0}};
const gm_operator gm_op_reshape = {.domain = "",
                                   .name = "Reshape",
                                   .since = 21,
                                   .inputs = "data shape",
                                   .outputs = "reshaped",
                                   .types = MOVABLE,
                                   .attributes = reshape_attributes,
                                   .attribute_count = GM_COUNT(reshape_attributes),
                                   .older = older_reshape,
                                   .infer = infer_reshape,
                                   .gradient = reshape_back,
                                   .reference = copy_reference,
                                   .flags = GM_OP_VIEW,
                                   .lower = lower_alias};
static const gm_attribute_schema flatten_attributes[] = {{"axis", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 1}};
const gm_operator gm_op_flatten = {.domain = "",
                                   .name = "Flatten",
                                   .since = 21,
                                   .inputs = "input",
                                   .outputs = "output",
                                   .types = MOVABLE,
                                   .attributes = flatten_attributes,
                                   .attribute_count = GM_COUNT(flatten_attributes),
                                   .infer = infer_flatten,
                                   .gradient = reshape_back,
                                   .reference = copy_reference,
                                   .flags = GM_OP_VIEW,
                                   .lower = lower_alias};
static const gm_attribute_schema axes_attributes[] = {{"axes", GM_ATTRIBUTE_INTS, GM_OPTIONAL, .i = 0}}; /* before 13 */
static const gm_older older_axes[] = {{13, GM_OLDER_INPUT, "axes", .input = 1, .type = GM_INT64}, {0}};
const gm_operator gm_op_squeeze = {.domain = "",
                                   .name = "Squeeze",
                                   .since = 21,
                                   .inputs = "data axes?",
                                   .outputs = "squeezed",
                                   .types = MOVABLE,
                                   .attributes = axes_attributes,
                                   .attribute_count = GM_COUNT(axes_attributes),
                                   .older = older_axes,
                                   .infer = infer_squeeze,
                                   .gradient = reshape_back,
                                   .reference = copy_reference,
                                   .flags = GM_OP_VIEW,
                                   .lower = lower_alias};
const gm_operator gm_op_unsqueeze = {.domain = "",
                                     .name = "Unsqueeze",
                                     .since = 21,
                                     .inputs = "data axes?",
                                     .outputs = "expanded",
                                     .types = MOVABLE,
                                     .attributes = axes_attributes,
                                     .attribute_count = GM_COUNT(axes_attributes),
                                     .older = older_axes,
                                     .infer = infer_unsqueeze,
                                     .gradient = reshape_back,
                                     .reference = copy_reference,
                                     .flags = GM_OP_VIEW,
                                     .lower = lower_alias};

/* --- Transpose, Expand
 * ------------------------------------------------------------------------------------------------- */

/* perm[i]: the axis of x that becomes axis i of y; reversed order when not given. */
static gm_status permutation(gm_graph *graph, const gm_node *node, int rank, int64_t *perm)
{
    const int64_t *given;
    size_t count = gm_node_ints(node, "perm", &given);
    bool seen[GM_MAX_RANK] = {false};
    if (!count && (rank == 0 || !gm_node_attribute(node, "perm"))) {
        for (int i = 0; i < rank; i++)
            perm[i] = rank - 1 - i;
        return GM_OK;
    }
    for (size_t i = 0; i < count; i++) {
        if (count != (size_t)rank || given[i] < 0 || given[i] >= rank || seen[given[i]]) {
            if (graph)
                gm_node_fail(graph, node, "perm must list the axes 0 to %d once each", rank - 1);
            return GM_ERROR_MODEL;
        }
        seen[given[i]] = true;
        perm[i] = given[i];
    }
    return count == (size_t)rank ? GM_OK : gm_node_fail(graph, node, "perm is empty; the input has rank %d", rank);
}

static gm_status infer_transpose(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    int64_t perm[GM_MAX_RANK] = {0};
    gm_dim dims[GM_MAX_RANK];
    GM_TRY(permutation(graph, node, x.rank, perm));
    for (int i = 0; i < x.rank; i++)
        dims[i] = x.dims[perm[i]];
    gm_set_output(graph, node, 0, x.type, x.rank, dims);
    return graph->status;
}

/* dx = Transpose(dy) by the inverse permutation */
static gm_status gradient_transpose(gm_gradient *g)
{
    int rank = gm_value_of(g->graph, g->node->inputs[0])->rank;
    int64_t perm[GM_MAX_RANK] = {0}, inverse[GM_MAX_RANK] = {0};
    GM_TRY(permutation(g->graph, g->node, rank, perm));
    for (int i = 0; i < rank; i++)
        inverse[perm[i]] = i;
    g->dx[0] = gm_emit1_with(g->graph, "Transpose", g->dy[0], gm_attribute_ints("perm", inverse, (size_t)rank));
    return g->graph->status;
}

static gm_status describe_transpose(const gm_compute *compute, gm_move *move)
{
    const gm_tensor *x = &compute->in[0], *y = &compute->out[0];
    gm_strided *copy = &move->parts[move->count++].copy;
    int64_t perm[GM_MAX_RANK] = {0}, strides[GM_MAX_RANK] = {0};
    GM_TRY(permutation(NULL, compute->node, x->rank, perm));
    copy->item = gm_type_bytes(x->type);
    copy->rank = x->rank;
    gm_row_strides(x->rank, x->dims, strides);
    gm_row_strides(y->rank, y->dims, copy->out);
    for (int i = 0; i < x->rank; i++) {
        copy->dims[i] = y->dims[i];
        copy->in[i] = strides[perm[i]];
    }
    return GM_OK;
}

static gm_status reference_transpose(const gm_compute *compute)
{
    return gm_move_reference(compute, describe_transpose);
}

static gm_status lower_transpose(gm_lower *lower)
{
    return gm_move_lower(lower, describe_transpose);
}

static const gm_attribute_schema transpose_attributes[] = {{"perm", GM_ATTRIBUTE_INTS, GM_OPTIONAL, .i = 0}};
const gm_operator gm_op_transpose = {.domain = "",
                                     .name = "Transpose",
                                     .since = 21,
                                     .inputs = "data",
                                     .outputs = "transposed",
                                     .types = MOVABLE,
                                     .attributes = transpose_attributes,
                                     .attribute_count = GM_COUNT(transpose_attributes),
                                     .infer = infer_transpose,
                                     .gradient = gradient_transpose,
                                     .reference = reference_transpose,
                                     .lower = lower_transpose};

/* https://onnx.ai/onnx/operators/onnx__Expand.html: NumPy broadcasting of x with a shape; axes of 1 in the shape keep
 * x's. */
static gm_status infer_expand(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    gm_dim target[GM_MAX_RANK], dims[GM_MAX_RANK];
    int target_rank, rank;
    char a[160], b[160];
    GM_TRY(gm_infer_target(graph, node, node->inputs[1], &target_rank, target));
    rank = x.rank > target_rank ? x.rank : target_rank;
    for (int i = 0; i < rank; i++) {
        gm_dim from = i < rank - x.rank ? 1 : x.dims[i - (rank - x.rank)];
        gm_dim to = i < rank - target_rank ? 1 : target[i - (rank - target_rank)];
        if (from != to && from != 1 && to != 1)
            return gm_node_fail(graph, node, "%s does not expand to %s: axis %d of the result",
                                gm_shape_text(graph, node->inputs[0], a, sizeof a),
                                gm_dims_print(graph->symbols, target_rank, target, b, sizeof b), i);
        dims[i] = to == 1 ? from : to;
    }
    gm_set_output(graph, node, 0, x.type, rank, dims);
    return graph->status;
}

static gm_status gradient_expand(gm_gradient *g)
{
    if (g->wanted[0])
        g->dx[0] = gm_sum_to_like(g->graph, g->dy[0], g->node->inputs[0]);
    return g->graph->status;
}

static gm_status describe_expand(const gm_compute *compute, gm_move *move)
{
    const gm_tensor *x = &compute->in[0], *y = &compute->out[0];
    gm_strided *copy = &move->parts[move->count++].copy;
    int64_t strides[GM_MAX_RANK] = {0};
    copy->item = gm_type_bytes(x->type);
    copy->rank = y->rank;
    gm_row_strides(x->rank, x->dims, strides);
    gm_row_strides(y->rank, y->dims, copy->out);
    for (int i = 0; i < y->rank; i++) {
        int from = i - (y->rank - x->rank);
        copy->dims[i] = y->dims[i];
        copy->in[i] = from >= 0 && x->dims[from] != 1 ? strides[from] : 0;
    }
    return GM_OK;
}

static gm_status reference_expand(const gm_compute *compute)
{
    return gm_move_reference(compute, describe_expand);
}

/* The shape is in the graph already; its data are not read. */
static gm_status lower_expand(gm_lower *lower)
{
    return gm_move_lower(lower, describe_expand);
}

const gm_operator gm_op_expand = {.domain = "",
                                  .name = "Expand",
                                  .since = 13,
                                  .inputs = "input shape",
                                  .outputs = "output",
                                  .types = MOVABLE,
                                  .infer = infer_expand,
                                  .gradient = gradient_expand,
                                  .reference = reference_expand,
                                  .lower = lower_expand};
