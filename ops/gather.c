/* Operators that pick entries by index: Gather and GatherElements with their gradients, and OneHot. Every index is
 * checked before it is used. */
#include "ops/axes.h"
#include "ops/strided.h"

#include <string.h>

#define MOVABLE           (GM_TYPES_NUMERIC | GM_TYPES(GM_BOOL))
#define PARALLEL_ELEMENTS 16384
#define AHEAD             8 /* rows between the one that is fetched and the one that is copied */
#define FETCH_BYTES       1024
#define LINE_BYTES        64

/* data as [outer, length, inner] around the axis; `count` indices */
typedef struct gather_form {
    int64_t outer, length, inner, count;
} gather_form;

static gather_form form_of(const gm_node *node, const gm_tensor *data, const gm_tensor *indices)
{
    gather_form form = {1, 1, 1, gm_tensor_count(indices)};
    int64_t axis = gm_node_int(node, "axis", 0);
    axis = axis < 0 ? axis + data->rank : axis;
    for (int i = 0; i < data->rank; i++)
        *(i < axis ? &form.outer : i == axis ? &form.length : &form.inner) *= data->dims[i];
    return form;
}

/* Element i of the indices, in [0, length). */
static gm_status index_at(gm_context *context, const char *name, const gm_tensor *indices, int64_t i, int64_t length,
                          int64_t *index_out)
{
    int64_t index = gm_get_int(indices, i);
    *index_out = index < 0 ? index + length : index;
    if (*index_out < 0 || *index_out >= length)
        return gm_fail(context, GM_ERROR_DATA, "%s: index %lld is outside [%lld, %lld)", name, (long long)index,
                       (long long)-length, (long long)length);
    return GM_OK;
}

static gm_status check_index_type(gm_graph *graph, gm_node *node, size_t input)
{
    gm_type type = gm_value_of(graph, node->inputs[input])->type;
    if (type == GM_INT64 || type == GM_INT32)
        return GM_OK;
    return gm_node_fail(graph, node, "the indices must be int64 or int32, found %s", gm_type_name(type));
}

/* --- Gather
 * ------------------------------------------------------------------------------------------------------------ */

/* https://onnx.ai/onnx/operators/onnx__Gather.html: data[.., length, ..], indices[i..] -> [.., i.., ..] */
static gm_status infer_gather(gm_graph *graph, gm_node *node)
{
    gm_value data = *gm_value_of(graph, node->inputs[0]), indices = *gm_value_of(graph, node->inputs[1]);
    gm_dim dims[2 * GM_MAX_RANK], picked[GM_MAX_RANK];
    const gm_dim *content;
    int64_t at[GM_MAX_RANK];
    size_t length, count;
    int axis, rank = 0;
    GM_TRY(check_index_type(graph, node, 1));
    GM_TRY(gm_infer_axis(graph, node, gm_node_int(node, "axis", 0), data.rank, &axis));
    for (int i = 0; i < axis; i++)
        dims[rank++] = data.dims[i];
    for (int i = 0; i < indices.rank; i++)
        dims[rank++] = indices.dims[i];
    for (int i = axis + 1; i < data.rank; i++)
        dims[rank++] = data.dims[i];
    gm_set_output(graph, node, 0, data.type, rank, dims);
    if (graph->status != GM_OK || data.rank != 1 || indices.rank > 1 ||
        !gm_content_of(graph, node->inputs[0], &content, &length) ||
        !gm_known_ints(graph, node->inputs[1], GM_MAX_RANK, at, &count))
        return graph->status;
    for (size_t i = 0; i < count; i++) {
        int64_t index = at[i] < 0 ? at[i] + (int64_t)length : at[i];
        if (index < 0 || index >= (int64_t)length)
            return gm_node_fail(graph, node, "index %lld is outside the %zu elements", (long long)at[i], length);
        picked[i] = content[index];
    }
    return gm_set_content(graph, node, 0, picked, count);
}

static gm_status gradient_gather(gm_gradient *g)
{
    gm_value_id inputs[3] = {g->dy[0], g->node->inputs[1], gm_shape_of(g->graph, g->node->inputs[0])};
    gm_attribute axis = gm_attribute_int("axis", gm_node_int(g->node, "axis", 0));
    g->dx[0] = gm_emit(g->graph, "gmodel.GatherGrad", inputs, 3, &axis, 1);
    return g->graph->status;
}

/* The same for indices that are int64 or int32 and were checked before. */
static inline int64_t checked_index(const gm_tensor *indices, int64_t i, int64_t length)
{
    int64_t index =
        indices->type == GM_INT64 ? ((const int64_t *)indices->data)[i] : ((const int32_t *)indices->data)[i];
    return index < 0 ? index + length : index;
}

/* Rows of tables that do not fit into caches are asked for before their turn comes. */
static inline void fetch_row(const char *row, size_t bytes)
{
    for (size_t at = 0; at < bytes && at < FETCH_BYTES; at += LINE_BYTES)
        __builtin_prefetch(row + at);
}

/* Shared by the reference and the fast kernel, which differ in the number of threads. */
static gm_status gather(gm_context *context, const gather_form *form, const gm_tensor *indices, size_t item,
                        const char *data, char *out, int threads)
{
    size_t bytes = (size_t)form->inner * item;
    int64_t rows = form->outer * form->count, index;
    for (int64_t i = 0; i < form->count; i++)
        if (checked_index(indices, i, form->length) < 0 || checked_index(indices, i, form->length) >= form->length)
            return index_at(context, "Gather", indices, i, form->length, &index);
#pragma omp parallel for num_threads(threads)                                                                          \
    schedule(static) if (threads > 1 && rows * form->inner > PARALLEL_ELEMENTS)
    for (int64_t row = 0; row < rows; row++) {
        int64_t at = checked_index(indices, row % form->count, form->length);
        if (form->outer == 1 && row + AHEAD < rows)
            fetch_row(data + (size_t)checked_index(indices, row + AHEAD, form->length) * bytes, bytes);
        memcpy(out + (size_t)row * bytes, data + (size_t)(row / form->count * form->length + at) * bytes, bytes);
    }
    return GM_OK;
}

static gm_status reference_gather(const gm_compute *compute)
{
    const gm_tensor *data = &compute->in[0];
    gather_form form = form_of(compute->node, data, &compute->in[1]);
    return gather(compute->context, &form, &compute->in[1], gm_type_bytes(data->type), data->data, compute->out[0].data,
                  1);
}

typedef struct gather_state {
    gm_context *context;
    gather_form form;
    gm_tensor indices;
    size_t item;
} gather_state;

static gm_status run_gather(const void *state_pointer, const gm_kernel_arguments *arguments)
{
    const gather_state *state = state_pointer;
    gm_tensor indices = state->indices;
    indices.data = arguments->in[1];
    return gather(state->context, &state->form, &indices, state->item, arguments->in[0], arguments->out[0],
                  arguments->threads);
}

static gm_status make_gather_state(gm_lower *lower, const gm_tensor *data, const gm_tensor *indices,
                                   gather_state **state_out)
{
    gather_state *state = *state_out = gm_pool_alloc(lower->pool, sizeof *state);
    if (!state)
        return GM_ERROR_MEMORY;
    *state = (gather_state){lower->context, form_of(lower->node, data, indices), *indices, gm_type_bytes(data->type)};
    return GM_OK;
}

static gm_status lower_gather(gm_lower *lower)
{
    gm_compute compute;
    gather_state *state;
    if (lower->reference)
        return GM_OK;
    GM_TRY(gm_lower_describe(lower, &compute));
    GM_TRY(make_gather_state(lower, &compute.in[0], &compute.in[1], &state));
    lower->kernel = (gm_kernel){run_gather, NULL, state};
    return GM_OK;
}

static const gm_attribute_schema axis_attributes[] = {{"axis", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0}};
const gm_operator gm_op_gather = {.domain = "",
                                  .name = "Gather",
                                  .since = 13,
                                  .inputs = "data indices",
                                  .outputs = "output",
                                  .types = MOVABLE,
                                  .attributes = axis_attributes,
                                  .attribute_count = GM_COUNT(axis_attributes),
                                  .infer = infer_gather,
                                  .gradient = gradient_gather,
                                  .reference = reference_gather,
                                  .lower = lower_gather};

/* --- gmodel.GatherGrad(dy, indices, shape) -> zeros of that shape, to which the entries of dy are added where Gather
 * took them --- */

static gm_status infer_gather_grad(gm_graph *graph, gm_node *node)
{
    gm_dim dims[GM_MAX_RANK];
    int rank, axis;
    GM_TRY(check_index_type(graph, node, 1));
    GM_TRY(gm_infer_target(graph, node, node->inputs[2], &rank, dims));
    GM_TRY(gm_infer_axis(graph, node, gm_node_int(node, "axis", 0), rank, &axis));
    if (gm_value_of(graph, node->inputs[0])->rank != rank - 1 + gm_value_of(graph, node->inputs[1])->rank)
        return gm_node_fail(graph, node, "the ranks of dy, indices and shape do not fit");
    gm_set_output(graph, node, 0, gm_value_of(graph, node->inputs[0])->type, rank, dims);
    return graph->status;
}

static gm_status gradient_gather_grad(gm_gradient *g)
{
    if (g->wanted[0])
        g->dx[0] = gm_emit2_with(g->graph, "Gather", g->dy[0], g->node->inputs[1],
                                 gm_attribute_int("axis", gm_node_int(g->node, "axis", 0)));
    return g->graph->status;
}

static bool gather_grad_fits(const gather_form *form, const gm_tensor *dy)
{
    return gm_tensor_count(dy) == form->outer * form->count * form->inner;
}

static gm_status reference_gather_grad(const gm_compute *compute)
{
    const gm_tensor *dy = &compute->in[0], *indices = &compute->in[1], *dx = &compute->out[0];
    gather_form form = form_of(compute->node, dx, indices);
    int64_t at;
    if (!gather_grad_fits(&form, dy))
        return gm_fail(compute->context, GM_ERROR_DATA, "GatherGrad: dy does not have the shape that the indices give");
    memset(dx->data, 0, gm_tensor_bytes(dx));
    for (int64_t o = 0; o < form.outer; o++)
        for (int64_t i = 0; i < form.count; i++) {
            GM_TRY(index_at(compute->context, "GatherGrad", indices, i, form.length, &at));
            for (int64_t k = 0; k < form.inner; k++) {
                int64_t to = (o * form.length + at) * form.inner + k;
                gm_set(dx, to, gm_get(dx, to) + gm_get(dy, (o * form.count + i) * form.inner + k));
            }
        }
    return GM_OK;
}

/* Threads share out the columns, or the outer entries where there are several: each element of dx is summed by one
 * thread, in the order of the indices. */
static gm_status run_gather_grad(const void *state_pointer, const gm_kernel_arguments *arguments)
{
    const gather_state *state = state_pointer;
    const gather_form *form = &state->form;
    const float *dy = arguments->in[0];
    float *dx = arguments->out[0];
    gm_tensor indices = state->indices;
    bool columns = form->outer == 1;
    int64_t index, parts = columns ? (form->inner + 15) / 16 : form->outer;
    indices.data = arguments->in[1];
    for (int64_t i = 0; i < form->count; i++)
        GM_TRY(index_at(state->context, "GatherGrad", &indices, i, form->length, &index));
#pragma omp parallel for num_threads(arguments->threads)                                                               \
    schedule(static) if (form->outer * (form->count + form->length) * form->inner > PARALLEL_ELEMENTS)
    for (int64_t p = 0; p < parts; p++) {
        int64_t o = columns ? 0 : p, first = columns ? p * 16 : 0;
        int64_t width = columns ? (form->inner - first < 16 ? form->inner - first : 16) : form->inner;
        for (int64_t r = 0; r < form->length; r++)
            memset(dx + (o * form->length + r) * form->inner + first, 0, (size_t)width * sizeof *dx);
        for (int64_t i = 0; i < form->count; i++) {
            int64_t at = gm_get_int(&indices, i);
            const float *from = dy + (o * form->count + i) * form->inner + first;
            float *to = dx + (o * form->length + (at < 0 ? at + form->length : at)) * form->inner + first;
            for (int64_t k = 0; k < width; k++)
                to[k] += from[k];
        }
    }
    return GM_OK;
}

static gm_status lower_gather_grad(gm_lower *lower)
{
    gm_compute compute;
    gather_state *state;
    if (lower->reference || gm_value_of(lower->graph, lower->node->inputs[0])->type != GM_FLOAT)
        return GM_OK;
    GM_TRY(gm_lower_describe(lower, &compute));
    GM_TRY(make_gather_state(lower, &compute.out[0], &compute.in[1], &state));
    if (gather_grad_fits(&state->form, &compute.in[0]))
        lower->kernel = (gm_kernel){run_gather_grad, NULL, state};
    return GM_OK;
}

const gm_operator gm_op_gather_grad = {.domain = "gmodel",
                                       .name = "GatherGrad",
                                       .since = 1,
                                       .inputs = "dy indices shape",
                                       .outputs = "dx",
                                       .types = GM_TYPES_NUMERIC,
                                       .attributes = axis_attributes,
                                       .attribute_count = GM_COUNT(axis_attributes),
                                       .infer = infer_gather_grad,
                                       .gradient = gradient_gather_grad,
                                       .reference = reference_gather_grad,
                                       .lower = lower_gather_grad};

/* --- GatherElements
 * ---------------------------------------------------------------------------------------------------- */

/* https://onnx.ai/onnx/operators/onnx__GatherElements.html: out[i][j] = data[indices[i][j]][j] for axis 0 */
static gm_status infer_gather_elements(gm_graph *graph, gm_node *node)
{
    gm_value data = *gm_value_of(graph, node->inputs[0]), indices = *gm_value_of(graph, node->inputs[1]);
    char a[160], b[160];
    int axis;
    bool fits = indices.rank == data.rank;
    GM_TRY(check_index_type(graph, node, 1));
    GM_TRY(gm_infer_axis(graph, node, gm_node_int(node, "axis", 0), data.rank, &axis));
    for (int i = 0; fits && i < data.rank; i++)
        fits = i == axis || !gm_dim_is_known(data.dims[i]) || !gm_dim_is_known(indices.dims[i]) ||
               indices.dims[i] <= data.dims[i];
    if (!fits)
        return gm_node_fail(graph, node, "indices %s do not fit data %s",
                            gm_shape_text(graph, node->inputs[1], a, sizeof a),
                            gm_shape_text(graph, node->inputs[0], b, sizeof b));
    gm_set_output(graph, node, 0, data.type, indices.rank, indices.dims);
    return graph->status;
}

static gm_status gradient_gather_elements(gm_gradient *g)
{
    gm_value_id inputs[3] = {g->dy[0], g->node->inputs[1], gm_shape_of(g->graph, g->node->inputs[0])};
    gm_attribute axis = gm_attribute_int("axis", gm_node_int(g->node, "axis", 0));
    g->dx[0] = gm_emit(g->graph, "gmodel.GatherElementsGrad", inputs, 3, &axis, 1);
    return g->graph->status;
}

/* Where element i of the indices points in `data`. */
static gm_status element_at(const gm_compute *compute, const gm_tensor *data, const gm_tensor *indices, int64_t i,
                            int64_t *at_out)
{
    int64_t axis = gm_node_int(compute->node, "axis", 0), stride = 1, rest = i, at = 0, index;
    axis = axis < 0 ? axis + data->rank : axis;
    for (int k = data->rank; k-- > 0;) {
        index = rest % indices->dims[k];
        rest /= indices->dims[k];
        if (k == axis)
            GM_TRY(index_at(compute->context, compute->node->op->name, indices, i, data->dims[k], &index));
        at += index * stride;
        stride *= data->dims[k];
    }
    *at_out = at;
    return at < stride ? GM_OK
                       : gm_fail(compute->context, GM_ERROR_DATA, "%s: the indices are larger than the data",
                                 compute->node->op->name);
}

static gm_status reference_gather_elements(const gm_compute *compute)
{
    const gm_tensor *data = &compute->in[0], *indices = &compute->in[1], *out = &compute->out[0];
    size_t item = gm_type_bytes(data->type);
    int64_t count = gm_tensor_count(indices), at;
    for (int64_t i = 0; i < count; i++) {
        GM_TRY(element_at(compute, data, indices, i, &at));
        memcpy((char *)out->data + (size_t)i * item, (const char *)data->data + (size_t)at * item, item);
    }
    return GM_OK;
}

const gm_operator gm_op_gather_elements = {.domain = "",
                                           .name = "GatherElements",
                                           .since = 13,
                                           .inputs = "data indices",
                                           .outputs = "output",
                                           .types = MOVABLE,
                                           .attributes = axis_attributes,
                                           .attribute_count = GM_COUNT(axis_attributes),
                                           .infer = infer_gather_elements,
                                           .gradient = gradient_gather_elements,
                                           .reference = reference_gather_elements};

static gm_status infer_gather_elements_grad(gm_graph *graph, gm_node *node)
{
    gm_dim dims[GM_MAX_RANK];
    int rank, axis;
    GM_TRY(check_index_type(graph, node, 1));
    GM_TRY(gm_infer_target(graph, node, node->inputs[2], &rank, dims));
    GM_TRY(gm_infer_axis(graph, node, gm_node_int(node, "axis", 0), rank, &axis));
    if (gm_value_of(graph, node->inputs[0])->rank != rank || gm_value_of(graph, node->inputs[1])->rank != rank)
        return gm_node_fail(graph, node, "dy, indices and shape must have one rank");
    gm_set_output(graph, node, 0, gm_value_of(graph, node->inputs[0])->type, rank, dims);
    return graph->status;
}

static gm_status gradient_gather_elements_grad(gm_gradient *g)
{
    if (g->wanted[0])
        g->dx[0] = gm_emit2_with(g->graph, "GatherElements", g->dy[0], g->node->inputs[1],
                                 gm_attribute_int("axis", gm_node_int(g->node, "axis", 0)));
    return g->graph->status;
}

static gm_status reference_gather_elements_grad(const gm_compute *compute)
{
    const gm_tensor *dy = &compute->in[0], *indices = &compute->in[1], *dx = &compute->out[0];
    int64_t count = gm_tensor_count(indices), at;
    if (!gm_tensor_same_shape(dy, indices))
        return gm_fail(compute->context, GM_ERROR_DATA, "GatherElementsGrad: dy and indices differ in shape");
    memset(dx->data, 0, gm_tensor_bytes(dx));
    for (int64_t i = 0; i < count; i++) {
        GM_TRY(element_at(compute, dx, indices, i, &at));
        gm_set(dx, at, gm_get(dx, at) + gm_get(dy, i));
    }
    return GM_OK;
}

const gm_operator gm_op_gather_elements_grad = {.domain = "gmodel",
                                                .name = "GatherElementsGrad",
                                                .since = 1,
                                                .inputs = "dy indices shape",
                                                .outputs = "dx",
                                                .types = GM_TYPES_NUMERIC,
                                                .attributes = axis_attributes,
                                                .attribute_count = GM_COUNT(axis_attributes),
                                                .infer = infer_gather_elements_grad,
                                                .gradient = gradient_gather_elements_grad,
                                                .reference = reference_gather_elements_grad};

/* --- OneHot
 * ------------------------------------------------------------------------------------------------------------ */

/* https://onnx.ai/onnx/operators/onnx__OneHot.html: indices[i..], depth, values[2] = (off, on) -> [i.., depth] with the
 * new axis at `axis`; an index outside [-depth, depth) is off everywhere. */
static gm_status infer_one_hot(gm_graph *graph, gm_node *node)
{
    gm_value indices = *gm_value_of(graph, node->inputs[0]), values = *gm_value_of(graph, node->inputs[2]);
    const gm_tensor *constant = gm_constant_of(graph, node->inputs[1]);
    const gm_dim *content;
    gm_dim dims[GM_MAX_RANK + 1], depth = gm_dim_unknown(graph->symbols);
    size_t count;
    int axis, from = 0;
    GM_TRY(gm_infer_axis(graph, node, gm_node_int(node, "axis", -1), indices.rank + 1, &axis));
    if (gm_content_of(graph, node->inputs[1], &content, &count) && count == 1)
        depth = content[0];
    else if (constant && gm_tensor_count(constant) == 1)
        depth = gm_get_int(constant, 0);
    if (constant && depth < 0)
        return gm_node_fail(graph, node, "the depth is %lld", (long long)depth);
    if (values.rank != 1 || values.dims[0] != 2)
        return gm_node_fail(graph, node, "the values must be two: off and on");
    for (int i = 0; i <= indices.rank; i++)
        dims[i] = i == axis ? depth : indices.dims[from++];
    gm_set_output(graph, node, 0, values.type, indices.rank + 1, dims);
    return graph->status;
}

static gm_status reference_one_hot(const gm_compute *compute)
{
    const gm_tensor *indices = &compute->in[0], *values = &compute->in[2], *out = &compute->out[0];
    int64_t axis = gm_node_int(compute->node, "axis", -1), inner = 1, count = gm_tensor_count(out), depth;
    size_t item = gm_type_bytes(out->type);
    axis = axis < 0 ? axis + out->rank : axis;
    depth = out->dims[axis];
    for (int i = (int)axis + 1; i < out->rank; i++)
        inner *= out->dims[i];
    for (int64_t i = 0; i < count; i++) {
        int64_t index = gm_get_int(indices, i / (depth * inner) * inner + i % inner);
        bool on = (index < 0 ? index + depth : index) == i / inner % depth;
        memcpy((char *)out->data + (size_t)i * item, (const char *)values->data + (on ? item : 0), item);
    }
    return GM_OK;
}

static const gm_attribute_schema one_hot_attributes[] = {{"axis", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = -1}};
const gm_operator gm_op_one_hot = {.domain = "",
                                   .name = "OneHot",
                                   .since = 11,
                                   .inputs = "indices depth values",
                                   .outputs = "output",
                                   .types = GM_TYPES_NUMERIC,
                                   .attributes = one_hot_attributes,
                                   .attribute_count = GM_COUNT(one_hot_attributes),
                                   .infer = infer_one_hot,
                                   .zero_gradient = true,
                                   .reference = reference_one_hot};
