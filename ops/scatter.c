/* Operators that write at indices, and GatherND, which reads there: ScatterElements, Scatter, ScatterND, GatherND with its
 * gradient, TensorScatter. Every index is checked before it is used. */
#include "ops/axes.h"
#include "ops/strided.h"

#include <math.h>
#include <string.h>

#define MOVABLE (GM_TYPES_NUMERIC | GM_TYPES(GM_BOOL))

/* --- What both kinds share -------------------------------------------------------------------------------------------- */

typedef enum reduction { REPLACE, ADD, MULTIPLY, LARGER, SMALLER, REDUCTIONS } reduction;

static reduction reduction_of(const gm_node *node)
{
    static const char *const names[REDUCTIONS] = {"none", "add", "mul", "max", "min"};
    const char *name = gm_node_string(node, "reduction", "none");
    int found = 0;
    while (found < REDUCTIONS && strcmp(names[found], name) != 0)
        found++;
    return (reduction)found;
}

static gm_status check_reduction(gm_graph *graph, gm_node *node)
{
    if (reduction_of(node) == REDUCTIONS)
        return gm_node_fail(graph, node, "reduction must be none, add, mul, max or min, found '%s'",
                            gm_node_string(node, "reduction", ""));
    if (gm_value_of(graph, node->inputs[0])->type != gm_value_of(graph, node->inputs[2])->type)
        return gm_node_fail(graph, node, "the data are %s and the updates %s; the types must be equal",
                            gm_type_name(gm_value_of(graph, node->inputs[0])->type),
                            gm_type_name(gm_value_of(graph, node->inputs[2])->type));
    return GM_OK;
}

static double combine_reals(reduction how, double a, double b)
{
    if (how == ADD)
        return a + b;
    if (how == MULTIPLY)
        return a * b;
    if (isnan(a) || isnan(b))
        return NAN;
    return (how == LARGER) == (a > b) ? a : b;
}

static int64_t combine_integers(reduction how, int64_t a, int64_t b, bool is_signed)
{
    uint64_t p = (uint64_t)a, q = (uint64_t)b;
    bool greater = is_signed ? a > b : p > q;
    if (how == ADD)
        return (int64_t)(p + q);
    if (how == MULTIPLY)
        return (int64_t)(p * q);
    return (how == LARGER) == greater ? a : b;
}

/* y[to] = y[to] combined with `count` elements of x from `from` on */
static void combine(reduction how, const gm_tensor *y, int64_t to, const gm_tensor *x, int64_t from, int64_t count)
{
    const gm_type_info *type = gm_type_find(y->type);
    if (how == REPLACE)
        memcpy((char *)y->data + (size_t)to * type->bytes, (const char *)x->data + (size_t)from * type->bytes,
               (size_t)count * type->bytes);
    else if (type->floating)
        for (int64_t i = 0; i < count; i++)
            gm_set(y, to + i, combine_reals(how, gm_get(y, to + i), gm_get(x, from + i)));
    else
        for (int64_t i = 0; i < count; i++)
            gm_set_wrapped(y, to + i,
                           combine_integers(how, gm_get_int(y, to + i), gm_get_int(x, from + i), type->is_signed));
}

static gm_status index_in(const gm_compute *compute, int64_t index, int64_t length, int64_t *index_out)
{
    *index_out = index < 0 ? index + length : index;
    if (*index_out < 0 || *index_out >= length)
        return gm_fail(compute->context, GM_ERROR_DATA, "%s: index %lld is outside [%lld, %lld)",
                       compute->node->op->name, (long long)index, (long long)-length, (long long)length);
    return GM_OK;
}

static gm_status check_indices(gm_graph *graph, gm_node *node, bool narrow_too)
{
    gm_type type = gm_value_of(graph, node->inputs[1])->type;
    if (type == GM_INT64 || (narrow_too && type == GM_INT32))
        return GM_OK;
    return gm_node_fail(graph, node, "the indices must be int64%s, found %s", narrow_too ? " or int32" : "",
                        gm_type_name(type));
}

static bool may_be_equal(gm_dim a, gm_dim b)
{
    return a == b || !gm_dim_is_known(a) || !gm_dim_is_known(b);
}

static gm_status only_replace_and_add(const gm_gradient *g)
{
    return gm_node_fail(g->graph, g->node, "has a gradient for reduction none and add only");
}

/* --- ScatterElements -------------------------------------------------------------------------------------------------- */

/* https://onnx.ai/onnx/operators/onnx__ScatterElements.html: y = data; y[indices[i][j]][j] = updates[i][j] for axis 0 */
static gm_status infer_scatter_elements(gm_graph *graph, gm_node *node)
{
    gm_value data = *gm_value_of(graph, node->inputs[0]), indices = *gm_value_of(graph, node->inputs[1]);
    gm_value updates = *gm_value_of(graph, node->inputs[2]);
    bool fits = indices.rank == data.rank && updates.rank == data.rank;
    char text[3][160];
    int axis;
    GM_TRY(check_reduction(graph, node));
    GM_TRY(check_indices(graph, node, true));
    GM_TRY(gm_infer_axis(graph, node, gm_node_int(node, "axis", 0), data.rank, &axis));
    for (int i = 0; fits && i < data.rank; i++)
        fits = may_be_equal(indices.dims[i], updates.dims[i]) &&
               (i == axis || !gm_dim_is_known(data.dims[i]) || !gm_dim_is_known(indices.dims[i]) ||
                indices.dims[i] <= data.dims[i]);
    if (!fits)
        return gm_node_fail(graph, node, "indices %s and updates %s do not fit data %s",
                            gm_shape_text(graph, node->inputs[1], text[0], sizeof text[0]),
                            gm_shape_text(graph, node->inputs[2], text[1], sizeof text[1]),
                            gm_shape_text(graph, node->inputs[0], text[2], sizeof text[2]));
    return gm_infer_unary(graph, node);
}

static gm_status reference_scatter_elements(const gm_compute *compute)
{
    const gm_tensor *indices = &compute->in[1], *updates = &compute->in[2], *y = &compute->out[0];
    int64_t axis = gm_node_int(compute->node, "axis", 0), count = gm_tensor_count(indices);
    int64_t strides[GM_MAX_RANK] = {0};
    reduction how = reduction_of(compute->node);
    axis = axis < 0 ? axis + y->rank : axis;
    gm_row_strides(y->rank, y->dims, strides);
    if (!gm_tensor_same_shape(indices, updates))
        return gm_fail(compute->context, GM_ERROR_DATA, "ScatterElements: indices and updates differ in shape");
    memcpy(y->data, compute->in[0].data, gm_tensor_bytes(y));
    for (int64_t i = 0; i < count; i++) {
        int64_t rest = i, to = 0, at;
        for (int k = y->rank; k-- > 0; rest /= indices->dims[k]) {
            at = k == axis ? gm_get_int(indices, i) : rest % indices->dims[k];
            GM_TRY(index_in(compute, at, y->dims[k], &at));
            to += at * strides[k];
        }
        combine(how, y, to, updates, i, 1);
    }
    return GM_OK;
}

/* none: d data = dy with zeros where it was overwritten; add: d data = dy. d updates = dy at the indices (of several updates
 * of one element, which ONNX leaves undefined for none, each gets it). */
static gm_status gradient_scatter_elements(gm_gradient *g)
{
    gm_graph *graph = g->graph;
    gm_value_id indices = g->node->inputs[1], updates = g->node->inputs[2];
    gm_attribute axis = gm_attribute_int("axis", gm_node_int(g->node, "axis", 0));
    reduction how = reduction_of(g->node);
    if (how != REPLACE && how != ADD)
        return only_replace_and_add(g);
    if (g->wanted[0])
        g->dx[0] = how == ADD ? g->dy[0]
                              : gm_emit(graph, "ScatterElements",
                                        (gm_value_id[]){g->dy[0], indices, gm_zeros_like(graph, updates)}, 3, &axis, 1);
    if (g->wanted[2])
        g->dx[2] = gm_emit2_with(graph, "GatherElements", g->dy[0], indices, axis);
    return graph->status;
}

static const gm_attribute_schema scatter_elements_attributes[] = {
    {"axis", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0}, {"reduction", GM_ATTRIBUTE_STRING, GM_DEFAULT, .s = "none"}};
const gm_operator gm_op_scatter_elements = {.domain = "",
                                            .name = "ScatterElements",
                                            .since = 18,
                                            .inputs = "data indices updates",
                                            .outputs = "output",
                                            .types = MOVABLE,
                                            .attributes = scatter_elements_attributes,
                                            .attribute_count = GM_COUNT(scatter_elements_attributes),
                                            .infer = infer_scatter_elements,
                                            .gradient = gradient_scatter_elements,
                                            .reference = reference_scatter_elements};

/* Scatter: the name of ScatterElements before version 11. */
static gm_status expand_scatter(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    outputs[0] = gm_emit(graph, "ScatterElements", node->inputs, 3, node->attributes, node->attribute_count);
    return graph->status;
}

const gm_operator gm_op_scatter = {.domain = "",
                                   .name = "Scatter",
                                   .since = 11,
                                   .inputs = "data indices updates",
                                   .outputs = "output",
                                   .types = MOVABLE,
                                   .attributes = scatter_elements_attributes,
                                   .attribute_count = 1,
                                   .infer = infer_scatter_elements,
                                   .expand = expand_scatter};

/* --- ScatterND, GatherND ---------------------------------------------------------------------------------------------- */

/* Indices are tuples of length k along their last axis: each names, behind `batch` axes that data and indices have in
 * common, a slice of the data. */
typedef struct tuple_form {
    int batch, length;
    int64_t batches, tuples; /* tuples per batch */
    int64_t slice, entry;    /* elements of a slice, and of the data per batch */
} tuple_form;

static tuple_form form_of(const gm_node *node, const gm_tensor *data, const gm_tensor *indices)
{
    tuple_form form = {(int)gm_node_int(node, "batch_dims", 0), (int)indices->dims[indices->rank - 1], 1, 1, 1, 1};
    for (int i = 0; i < indices->rank - 1; i++)
        *(i < form.batch ? &form.batches : &form.tuples) *= indices->dims[i];
    for (int i = form.batch; i < data->rank; i++)
        form.entry *= data->dims[i];
    for (int i = form.batch + form.length; i < data->rank; i++)
        form.slice *= data->dims[i];
    return form;
}

/* Where the slice that tuple number t names begins in `data`. */
static gm_status slice_at(const gm_compute *compute, const tuple_form *form, const gm_tensor *data,
                          const gm_tensor *indices, int64_t t, int64_t *at_out)
{
    int64_t at = 0, index;
    for (int i = 0; i < form->length; i++) {
        int64_t length = data->dims[form->batch + i];
        GM_TRY(index_in(compute, gm_get_int(indices, t * form->length + i), length, &index));
        at = at * length + index;
    }
    *at_out = t / form->tuples * form->entry + at * form->slice;
    return GM_OK;
}

/* Shape [batch.., tuples.., slice..] of what the tuples name in data of this shape. */
static gm_status infer_tuples(gm_graph *graph, gm_node *node, int rank, const gm_dim *data, int *rank_out, gm_dim *dims)
{
    gm_value indices = *gm_value_of(graph, node->inputs[1]);
    int64_t batch = gm_node_int(node, "batch_dims", 0), length;
    GM_TRY(check_indices(graph, node, false));
    if (indices.rank < 1 || !gm_dim_is_known(indices.dims[indices.rank - 1]))
        return gm_node_fail(graph, node, "the last axis of the indices must have a known size");
    length = indices.dims[indices.rank - 1];
    if (batch < 0 || batch >= indices.rank || length + batch > rank)
        return gm_node_fail(graph, node, "%lld batch axes and tuples of %lld indices do not fit data of rank %d",
                            (long long)batch, (long long)length, rank);
    for (int i = 0; i < batch; i++)
        if (!may_be_equal(indices.dims[i], data[i]))
            return gm_node_fail(graph, node,
                                "axis %d, a batch axis, has %lld entries in the indices and %lld in the data", i,
                                (long long)indices.dims[i], (long long)data[i]);
    if (indices.rank - 1 + rank - length - batch > GM_MAX_RANK)
        return gm_node_fail(graph, node, "the slices would have a rank above %d", GM_MAX_RANK);
    *rank_out = 0;
    for (int i = 0; i < indices.rank - 1; i++)
        dims[(*rank_out)++] = indices.dims[i];
    for (int i = (int)(batch + length); i < rank; i++)
        dims[(*rank_out)++] = data[i];
    return GM_OK;
}

static gm_status check_slices(gm_graph *graph, gm_node *node, size_t input, int rank, const gm_dim *dims)
{
    gm_value value = *gm_value_of(graph, node->inputs[input]);
    bool fits = value.rank == rank;
    char a[160], b[160];
    for (int i = 0; fits && i < rank; i++)
        fits = may_be_equal(value.dims[i], dims[i]);
    return fits ? GM_OK
                : gm_node_fail(graph, node, "the updates are %s; the indices ask for the shape %s",
                               gm_shape_text(graph, node->inputs[input], a, sizeof a),
                               gm_dims_print(graph->symbols, rank, dims, b, sizeof b));
}

/* https://onnx.ai/onnx/operators/onnx__ScatterND.html: y = data; y[indices[i..]] = updates[i..] */
static gm_status infer_scatter_nd(gm_graph *graph, gm_node *node)
{
    gm_value data = *gm_value_of(graph, node->inputs[0]);
    gm_dim dims[GM_MAX_RANK];
    int rank;
    GM_TRY(check_reduction(graph, node));
    GM_TRY(infer_tuples(graph, node, data.rank, data.dims, &rank, dims));
    GM_TRY(check_slices(graph, node, 2, rank, dims));
    return gm_infer_unary(graph, node);
}

static gm_status write_slices(const gm_compute *compute, const gm_tensor *indices, const gm_tensor *updates,
                              reduction how)
{
    const gm_tensor *y = &compute->out[0];
    tuple_form form = form_of(compute->node, y, indices);
    int64_t at;
    if (gm_tensor_count(updates) != form.batches * form.tuples * form.slice)
        return gm_fail(compute->context, GM_ERROR_DATA,
                       "%s: the updates do not have the shape that the indices ask for", compute->node->op->name);
    for (int64_t t = 0; t < form.batches * form.tuples; t++) {
        GM_TRY(slice_at(compute, &form, y, indices, t, &at));
        combine(how, y, at, updates, t * form.slice, form.slice);
    }
    return GM_OK;
}

static gm_status reference_scatter_nd(const gm_compute *compute)
{
    memcpy(compute->out[0].data, compute->in[0].data, gm_tensor_bytes(&compute->out[0]));
    return write_slices(compute, &compute->in[1], &compute->in[2], reduction_of(compute->node));
}

/* As of ScatterElements. */
static gm_status gradient_scatter_nd(gm_gradient *g)
{
    gm_graph *graph = g->graph;
    gm_value_id indices = g->node->inputs[1], updates = g->node->inputs[2];
    reduction how = reduction_of(g->node);
    if (how != REPLACE && how != ADD)
        return only_replace_and_add(g);
    if (g->wanted[0])
        g->dx[0] =
            how == ADD ? g->dy[0] : gm_emit3(graph, "ScatterND", g->dy[0], indices, gm_zeros_like(graph, updates));
    if (g->wanted[2])
        g->dx[2] = gm_emit2(graph, "GatherND", g->dy[0], indices);
    return graph->status;
}

static const gm_attribute_schema scatter_nd_attributes[] = {
    {"reduction", GM_ATTRIBUTE_STRING, GM_DEFAULT, .s = "none"}};
const gm_operator gm_op_scatter_nd = {.domain = "",
                                      .name = "ScatterND",
                                      .since = 18,
                                      .inputs = "data indices updates",
                                      .outputs = "output",
                                      .types = MOVABLE,
                                      .attributes = scatter_nd_attributes,
                                      .attribute_count = GM_COUNT(scatter_nd_attributes),
                                      .infer = infer_scatter_nd,
                                      .gradient = gradient_scatter_nd,
                                      .reference = reference_scatter_nd};

/* https://onnx.ai/onnx/operators/onnx__GatherND.html: y[i..] = data[indices[i..]] */
static gm_status infer_gather_nd(gm_graph *graph, gm_node *node)
{
    gm_value data = *gm_value_of(graph, node->inputs[0]);
    gm_dim dims[GM_MAX_RANK];
    int rank;
    GM_TRY(infer_tuples(graph, node, data.rank, data.dims, &rank, dims));
    gm_set_output(graph, node, 0, data.type, rank, dims);
    return graph->status;
}

static gm_status reference_gather_nd(const gm_compute *compute)
{
    const gm_tensor *data = &compute->in[0], *indices = &compute->in[1], *y = &compute->out[0];
    tuple_form form = form_of(compute->node, data, indices);
    size_t item = gm_type_bytes(data->type);
    int64_t at;
    for (int64_t t = 0; t < form.batches * form.tuples; t++) {
        GM_TRY(slice_at(compute, &form, data, indices, t, &at));
        memcpy((char *)y->data + (size_t)(t * form.slice) * item, (const char *)data->data + (size_t)at * item,
               (size_t)form.slice * item);
    }
    return GM_OK;
}

static gm_status gradient_gather_nd(gm_gradient *g)
{
    gm_value_id inputs[3] = {g->dy[0], g->node->inputs[1], gm_shape_of(g->graph, g->node->inputs[0])};
    gm_attribute batch = gm_attribute_int("batch_dims", gm_node_int(g->node, "batch_dims", 0));
    if (g->wanted[0])
        g->dx[0] = gm_emit(g->graph, "gmodel.GatherNDGrad", inputs, 3, &batch, 1);
    return g->graph->status;
}

static const gm_attribute_schema batch_attributes[] = {{"batch_dims", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0}};
const gm_operator gm_op_gather_nd = {.domain = "",
                                     .name = "GatherND",
                                     .since = 13,
                                     .inputs = "data indices",
                                     .outputs = "output",
                                     .types = MOVABLE,
                                     .attributes = batch_attributes,
                                     .attribute_count = GM_COUNT(batch_attributes),
                                     .infer = infer_gather_nd,
                                     .gradient = gradient_gather_nd,
                                     .reference = reference_gather_nd};

/* gmodel.GatherNDGrad(dy, indices, shape) -> zeros of that shape, to which dy is added where GatherND took it */
static gm_status infer_gather_nd_grad(gm_graph *graph, gm_node *node)
{
    gm_dim data[GM_MAX_RANK], dims[GM_MAX_RANK];
    int data_rank, rank;
    GM_TRY(gm_infer_target(graph, node, node->inputs[2], &data_rank, data));
    GM_TRY(infer_tuples(graph, node, data_rank, data, &rank, dims));
    GM_TRY(check_slices(graph, node, 0, rank, dims));
    gm_set_output(graph, node, 0, gm_value_of(graph, node->inputs[0])->type, data_rank, data);
    return graph->status;
}

static gm_status reference_gather_nd_grad(const gm_compute *compute)
{
    memset(compute->out[0].data, 0, gm_tensor_bytes(&compute->out[0]));
    return write_slices(compute, &compute->in[1], &compute->in[0], ADD);
}

static gm_status gradient_gather_nd_grad(gm_gradient *g)
{
    if (g->wanted[0])
        g->dx[0] = gm_emit2_with(g->graph, "GatherND", g->dy[0], g->node->inputs[1],
                                 gm_attribute_int("batch_dims", gm_node_int(g->node, "batch_dims", 0)));
    return g->graph->status;
}

const gm_operator gm_op_gather_nd_grad = {.domain = "gmodel",
                                          .name = "GatherNDGrad",
                                          .since = 1,
                                          .inputs = "dy indices shape",
                                          .outputs = "dx",
                                          .types = GM_TYPES_NUMERIC,
                                          .attributes = batch_attributes,
                                          .attribute_count = GM_COUNT(batch_attributes),
                                          .infer = infer_gather_nd_grad,
                                          .gradient = gradient_gather_nd_grad,
                                          .reference = reference_gather_nd_grad};

/* --- TensorScatter ---------------------------------------------------------------------------------------------------- */

static bool is_circular(const gm_node *node)
{
    return strcmp(gm_node_string(node, "mode", "linear"), "circular") == 0;
}

/* https://onnx.ai/onnx/operators/onnx__TensorScatter.html: the cache [batch, .., length, ..] with the update
 * [batch, .., n <= length, ..] written from write_indices[batch] on (0 without them) along `axis` */
static gm_status infer_tensor_scatter(gm_graph *graph, gm_node *node)
{
    gm_value cache = *gm_value_of(graph, node->inputs[0]), update = *gm_value_of(graph, node->inputs[1]);
    bool fits = cache.rank == update.rank && cache.type == update.type;
    char text[2][160];
    int axis;
    if (!is_circular(node) && strcmp(gm_node_string(node, "mode", "linear"), "linear") != 0)
        return gm_node_fail(graph, node, "mode must be linear or circular, found '%s'",
                            gm_node_string(node, "mode", ""));
    GM_TRY(gm_infer_axis(graph, node, gm_node_int(node, "axis", -2), cache.rank, &axis));
    if (axis == 0)
        return gm_node_fail(graph, node, "axis 0 is that of the batch; the sequence needs another");
    for (int i = 0; fits && i < cache.rank; i++)
        fits = may_be_equal(cache.dims[i], update.dims[i]) || (i == axis && update.dims[i] < cache.dims[i]);
    if (!fits)
        return gm_node_fail(graph, node, "the update %s does not fit the cache %s along axis %d",
                            gm_shape_text(graph, node->inputs[1], text[0], sizeof text[0]),
                            gm_shape_text(graph, node->inputs[0], text[1], sizeof text[1]), axis);
    if (node->input_count > 2 && node->inputs[2]) {
        gm_value at = *gm_value_of(graph, node->inputs[2]);
        if (at.type != GM_INT64 || at.rank != 1 || !may_be_equal(at.dims[0], cache.dims[0]))
            return gm_node_fail(graph, node, "write_indices must be int64 with one element per entry of the batch");
    }
    return gm_infer_unary(graph, node);
}

static gm_status reference_tensor_scatter(const gm_compute *compute)
{
    const gm_tensor *update = &compute->in[1], *y = &compute->out[0];
    const gm_tensor *first = compute->node->input_count > 2 && compute->in[2].data ? &compute->in[2] : NULL;
    int64_t axis = gm_node_int(compute->node, "axis", -2), rows = 1, inner = 1, length, n;
    axis = axis < 0 ? axis + y->rank : axis;
    length = y->dims[axis];
    n = update->dims[axis];
    for (int i = 0; i < y->rank; i++)
        *(i < axis ? &rows : &inner) *= i == axis ? 1 : y->dims[i];
    if (n > length || gm_tensor_count(update) != rows * n * inner || (first && gm_tensor_count(first) != y->dims[0]))
        return gm_fail(compute->context, GM_ERROR_DATA, "TensorScatter: the update does not fit the cache");
    memcpy(y->data, compute->in[0].data, gm_tensor_bytes(y));
    for (int64_t r = 0; r < rows; r++) {
        int64_t start = first ? gm_get_int(first, r / (rows / y->dims[0])) : 0;
        if (is_circular(compute->node) && length)
            start %= length; /* a negative one stays negative */
        if (start < 0 || start > length || (!is_circular(compute->node) && start + n > length))
            return gm_fail(compute->context, GM_ERROR_DATA,
                           "TensorScatter: %lld entries from %lld on do not fit the %lld of the cache", (long long)n,
                           (long long)start, (long long)length);
        for (int64_t i = 0; i < n; i++)
            combine(REPLACE, y, (r * length + (start + i) % length) * inner, update, (r * n + i) * inner, inner);
    }
    return GM_OK;
}

static const gm_attribute_schema tensor_scatter_attributes[] = {
    {"axis", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = -2}, {"mode", GM_ATTRIBUTE_STRING, GM_DEFAULT, .s = "linear"}};
const gm_operator gm_op_tensor_scatter = {.domain = "",
                                          .name = "TensorScatter",
                                          .since = 24,
                                          .inputs = "past_cache update write_indices?",
                                          .outputs = "present_cache",
                                          .types = MOVABLE,
                                          .attributes = tensor_scatter_attributes,
                                          .attribute_count = GM_COUNT(tensor_scatter_attributes),
                                          .infer = infer_tensor_scatter,
                                          .reference = reference_tensor_scatter};
