/* Operators that repeat, block, mask and reverse: Tile, DepthToSpace, SpaceToDepth, Trilu, EyeLike, ReverseSequence,
 * CenterCropPad. Most are made of Reshape, Transpose, Expand, Where and Pad. */
#include "ops/axes.h"
#include "ops/strided.h"

#include <string.h>

#define MOVABLE (GM_TYPES_NUMERIC | GM_TYPES(GM_BOOL))

/* --- Tile ----------------------------------------------------------------------------------------------------------- */

/* https://onnx.ai/onnx/operators/onnx__Tile.html: x[d..], repeats[rank] -> [d * repeats..] */
static gm_status infer_tile(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    gm_dim repeats[GM_MAX_RANK];
    int count;
    GM_TRY(gm_infer_target(graph, node, node->inputs[1], &count, repeats));
    if (count != x.rank)
        return gm_node_fail(graph, node, "%d repeats for an input of rank %d; one per axis is needed", count, x.rank);
    for (int i = 0; i < x.rank; i++)
        x.dims[i] = gm_dim_mul(graph->symbols, x.dims[i], repeats[i]);
    gm_set_output(graph, node, 0, x.type, x.rank, x.dims);
    return graph->status;
}

/* x with axis `axis` repeated: [.., d, ..] -> [.., 1, d, ..] -> [.., r, d, ..] -> [.., r d, ..] */
static gm_value_id repeat_axis(gm_graph *graph, gm_value_id id, int axis, int64_t repeats)
{
    gm_value x = *gm_value_of(graph, id);
    gm_value_id apart = gm_emit2(graph, "Unsqueeze", id, gm_const_ints(graph, (int64_t[]){axis}, 1));
    gm_axis_size joined[GM_MAX_RANK];
    int64_t target[GM_MAX_RANK];
    for (int i = 0; i <= x.rank; i++)
        target[i] = i == axis ? repeats : 1;
    for (int i = 0; i < x.rank; i++)
        joined[i] = (gm_axis_size){x.dims[i], id, i};
    joined[axis] = (gm_axis_size){gm_dim_mul(graph->symbols, x.dims[axis], repeats), 0, 0};
    apart = gm_emit2(graph, "Expand", apart, gm_const_ints(graph, target, (size_t)x.rank + 1));
    return gm_reshape_to(graph, apart, x.rank, joined);
}

/* Declines where a repeat is no number yet (it is one when the graph is bound) and at the highest rank. */
static gm_status expand_tile(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    int64_t repeats[GM_MAX_RANK];
    size_t count;
    gm_value_id y = node->inputs[0];
    if (gm_value_of(graph, y)->rank == GM_MAX_RANK ||
        !gm_known_ints(graph, node->inputs[1], GM_MAX_RANK, repeats, &count))
        return GM_OK;
    for (int i = (int)count; i-- > 0 && graph->status == GM_OK;)
        if (repeats[i] != 1)
            y = repeat_axis(graph, y, i, repeats[i]);
    outputs[0] = y == node->inputs[0] ? gm_emit1(graph, "Identity", y) : y;
    return graph->status;
}

static gm_status reference_tile(const gm_compute *compute)
{
    const gm_tensor *x = &compute->in[0], *repeats = &compute->in[1], *y = &compute->out[0];
    size_t item = gm_type_bytes(x->type);
    int64_t count = gm_tensor_count(y), strides[GM_MAX_RANK] = {0};
    bool fits = gm_tensor_count(repeats) == x->rank;
    gm_row_strides(x->rank, x->dims, strides);
    for (int i = 0; fits && i < x->rank; i++)
        fits = x->dims[i] ? y->dims[i] % x->dims[i] == 0 && y->dims[i] / x->dims[i] == gm_get_int(repeats, i)
                          : y->dims[i] == 0;
    if (!fits)
        return gm_fail(compute->context, GM_ERROR_DATA, "Tile: the repeats do not give the planned shape");
    for (int64_t i = 0; i < count; i++) {
        int64_t rest = i, from = 0;
        for (int k = y->rank; k-- > 0; rest /= y->dims[k])
            from += rest % y->dims[k] % x->dims[k] * strides[k];
        memcpy((char *)y->data + (size_t)i * item, (const char *)x->data + (size_t)from * item, item);
    }
    return GM_OK;
}

const gm_operator gm_op_tile = {.domain = "",
                                .name = "Tile",
                                .since = 13,
                                .inputs = "input repeats",
                                .outputs = "output",
                                .types = MOVABLE,
                                .infer = infer_tile,
                                .expand = expand_tile,
                                .reference = reference_tile};

/* --- DepthToSpace, SpaceToDepth --------------------------------------------------------------------------------------- */

/* Both: blocksize b, mode DCR or CRD, input of rank 4. https://onnx.ai/onnx/operators/onnx__DepthToSpace.html */
static gm_status block_form(gm_graph *graph, const gm_node *node, const gm_value *x, int64_t *size_out, bool *crd_out)
{
    const char *mode = gm_node_string(node, "mode", "DCR");
    *size_out = gm_node_int(node, "blocksize", 0);
    *crd_out = strcmp(mode, "CRD") == 0;
    if (*size_out < 1 || *size_out > 32767)
        return gm_node_fail(graph, node, "blocksize must be from 1 to 32767, found %lld", (long long)*size_out);
    if (!*crd_out && strcmp(mode, "DCR") != 0)
        return gm_node_fail(graph, node, "mode must be DCR or CRD, found '%s'", mode);
    if (x->rank != 4)
        return gm_node_fail(graph, node, "the input must be [N, C, H, W], found rank %d", x->rank);
    return GM_OK;
}

static gm_dim shared_out(gm_graph *graph, gm_dim size, int64_t parts)
{
    gm_dim exact = gm_dim_div_exact(graph->symbols, size, parts);
    return exact == GM_DIM_ERROR && !gm_dim_is_known(size) ? gm_dim_window(graph->symbols, size, 0, parts, 0, false)
                                                           : exact;
}

/* [N, C, H, W] -> [N, C / b^2, H b, W b] */
static gm_status infer_depth_to_space(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    int64_t size;
    bool crd;
    GM_TRY(block_form(graph, node, &x, &size, &crd));
    if (gm_dim_is_known(x.dims[1]) && x.dims[1] % (size * size))
        return gm_node_fail(graph, node, "%lld channels do not divide by blocksize * blocksize = %lld",
                            (long long)x.dims[1], (long long)(size * size));
    x.dims[1] = shared_out(graph, x.dims[1], size * size);
    x.dims[2] = gm_dim_mul(graph->symbols, x.dims[2], size);
    x.dims[3] = gm_dim_mul(graph->symbols, x.dims[3], size);
    gm_set_output(graph, node, 0, x.type, 4, x.dims);
    return graph->status;
}

/* [N, C, H, W] -> [N, C b^2, H / b, W / b] */
static gm_status infer_space_to_depth(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    int64_t size;
    bool crd;
    GM_TRY(block_form(graph, node, &x, &size, &crd));
    for (int i = 2; i < 4; i++) {
        if (gm_dim_is_known(x.dims[i]) && x.dims[i] % size)
            return gm_node_fail(graph, node, "axis %d has %lld elements, which do not divide by the blocksize %lld", i,
                                (long long)x.dims[i], (long long)size);
        x.dims[i] = shared_out(graph, x.dims[i], size);
    }
    x.dims[1] = gm_dim_mul(graph->symbols, x.dims[1], size * size);
    gm_set_output(graph, node, 0, x.type, 4, x.dims);
    return graph->status;
}

/* x as [N, five..], its axes in the order `perm`, then [N, three..]. */
static gm_value_id regroup(gm_graph *graph, gm_value_id x, const int64_t *five, const int64_t *perm,
                           const int64_t *three)
{
    gm_dim batch = gm_value_of(graph, x)->dims[0];
    gm_axis_size apart[6] = {{batch, x, 0}}, together[4] = {{batch, x, 0}};
    for (int i = 0; i < 5; i++)
        apart[i + 1] = (gm_axis_size){five[i], 0, 0};
    for (int i = 0; i < 3; i++)
        together[i + 1] = (gm_axis_size){three[i], 0, 0};
    return gm_reshape_to(
        graph, gm_emit1_with(graph, "Transpose", gm_reshape_to(graph, x, 6, apart), gm_attribute_ints("perm", perm, 6)),
        4, together);
}

static bool sizes_known(const gm_value *x)
{
    return gm_dim_is_known(x->dims[1]) && gm_dim_is_known(x->dims[2]) && gm_dim_is_known(x->dims[3]);
}

/* Only N may be symbolic; else the node waits until the graph is bound. */
static gm_status expand_depth_to_space(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    int64_t b, c = x.dims[1], h = x.dims[2], w = x.dims[3];
    bool crd;
    GM_TRY(block_form(graph, node, &x, &b, &crd));
    if (!sizes_known(&x))
        return GM_OK;
    c /= b * b;
    outputs[0] =
        regroup(graph, node->inputs[0], crd ? (int64_t[]){c, b, b, h, w} : (int64_t[]){b, b, c, h, w},
                crd ? (int64_t[]){0, 1, 4, 2, 5, 3} : (int64_t[]){0, 3, 4, 1, 5, 2}, (int64_t[]){c, h * b, w * b});
    return graph->status;
}

static gm_status expand_space_to_depth(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    int64_t b, c = x.dims[1], h = x.dims[2], w = x.dims[3];
    bool crd;
    GM_TRY(block_form(graph, node, &x, &b, &crd));
    if (!sizes_known(&x))
        return GM_OK;
    h /= b;
    w /= b;
    outputs[0] =
        regroup(graph, node->inputs[0], (int64_t[]){c, h, b, w, b},
                crd ? (int64_t[]){0, 1, 3, 5, 2, 4} : (int64_t[]){0, 3, 5, 1, 2, 4}, (int64_t[]){c * b * b, h, w});
    return graph->status;
}

static const gm_attribute_schema block_attributes[] = {{"blocksize", GM_ATTRIBUTE_INT, GM_REQUIRED, .i = 0},
                                                       {"mode", GM_ATTRIBUTE_STRING, GM_DEFAULT, .s = "DCR"}};
const gm_operator gm_op_depth_to_space = {.domain = "",
                                          .name = "DepthToSpace",
                                          .since = 28,
                                          .inputs = "input",
                                          .outputs = "output",
                                          .types = MOVABLE,
                                          .attributes = block_attributes,
                                          .attribute_count = GM_COUNT(block_attributes),
                                          .infer = infer_depth_to_space,
                                          .expand = expand_depth_to_space};
const gm_operator gm_op_space_to_depth = {.domain = "",
                                          .name = "SpaceToDepth",
                                          .since = 28,
                                          .inputs = "input",
                                          .outputs = "output",
                                          .types = MOVABLE,
                                          .attributes = block_attributes,
                                          .attribute_count = GM_COUNT(block_attributes),
                                          .infer = infer_space_to_depth,
                                          .expand = expand_space_to_depth};

/* --- Trilu, EyeLike --------------------------------------------------------------------------------------------------- */

/* 0, 1, ... below the size of an axis */
static gm_value_id count_axis(gm_graph *graph, gm_value_id x, int axis)
{
    gm_dim size = gm_value_of(graph, x)->dims[axis];
    gm_attribute ends[2] = {gm_attribute_int("start", axis), gm_attribute_int("end", axis + 1)};
    gm_value_id limit = gm_dim_is_known(size) ? gm_const_scalar(graph, GM_INT64, (double)size)
                                              : gm_emit1(graph, "Squeeze", gm_emit(graph, "Shape", &x, 1, ends, 2));
    return gm_emit3(graph, "Range", gm_const_scalar(graph, GM_INT64, 0.0), limit,
                    gm_const_scalar(graph, GM_INT64, 1.0));
}

/* int64[rows, columns]: column - row, the number of the diagonal */
static gm_value_id diagonals(gm_graph *graph, gm_value_id x)
{
    int rank = gm_value_of(graph, x)->rank;
    gm_value_id rows = count_axis(graph, x, rank - 2), columns = count_axis(graph, x, rank - 1);
    rows = gm_emit2(graph, "Unsqueeze", rows, gm_const_ints(graph, (int64_t[]){1}, 1));
    return gm_emit2(graph, "Sub", columns, rows);
}

/* https://onnx.ai/onnx/operators/onnx__Trilu.html: x[.., rows, columns], zero below (upper) or above diagonal k */
static gm_status infer_trilu(gm_graph *graph, gm_node *node)
{
    if (gm_value_of(graph, node->inputs[0])->rank < 2)
        return gm_node_fail(graph, node, "the input must have two axes at least, found rank %d",
                            gm_value_of(graph, node->inputs[0])->rank);
    if (node->input_count > 1 && node->inputs[1]) {
        gm_value k = *gm_value_of(graph, node->inputs[1]);
        if (k.type != GM_INT64 || k.rank > 1 || (k.rank == 1 && k.dims[0] != 1))
            return gm_node_fail(graph, node, "k must be one int64");
    }
    return gm_infer_unary(graph, node);
}

static gm_status expand_trilu(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value_id x = node->inputs[0], k = node->input_count > 1 ? node->inputs[1] : 0, keep;
    bool upper = gm_node_int(node, "upper", 1) != 0;
    k = k ? gm_reshape_to(graph, k, 0, NULL) : gm_const_scalar(graph, GM_INT64, 0.0);
    keep = gm_emit2(graph, upper ? "GreaterOrEqual" : "LessOrEqual", diagonals(graph, x), k);
    outputs[0] = gm_emit3(graph, "Where", keep, x, gm_scalar_like(graph, x, 0.0));
    return graph->status;
}

static const gm_attribute_schema trilu_attributes[] = {{"upper", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 1}};
const gm_operator gm_op_trilu = {.domain = "",
                                 .name = "Trilu",
                                 .since = 14,
                                 .inputs = "input k?",
                                 .outputs = "output",
                                 .types = MOVABLE,
                                 .attributes = trilu_attributes,
                                 .attribute_count = GM_COUNT(trilu_attributes),
                                 .infer = infer_trilu,
                                 .expand = expand_trilu};

/* https://onnx.ai/onnx/operators/onnx__EyeLike.html: ones on diagonal k, zeros elsewhere, in the shape of the input */
static gm_status infer_eye_like(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    gm_type type = (gm_type)gm_node_int(node, "dtype", x.type);
    if (x.rank != 2)
        return gm_node_fail(graph, node, "the input must be a matrix, found rank %d", x.rank);
    if (!(MOVABLE & GM_TYPES(type)) || !gm_type_find(type))
        return gm_node_fail(graph, node, "dtype %d is no type of numbers that is known here", (int)type);
    gm_set_output(graph, node, 0, type, 2, x.dims);
    return graph->status;
}

static gm_status expand_eye_like(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_type type = (gm_type)gm_node_int(node, "dtype", gm_value_of(graph, node->inputs[0])->type);
    int64_t k = gm_node_int(node, "k", 0);
    gm_value_id on = gm_emit2(graph, "Equal", diagonals(graph, node->inputs[0]),
                              gm_reshape_to(graph, gm_const_ints(graph, &k, 1), 0, NULL));
    outputs[0] = gm_emit1_with(graph, "Cast", on, gm_attribute_int("to", type));
    return graph->status;
}

static const gm_attribute_schema eye_like_attributes[] = {{"dtype", GM_ATTRIBUTE_INT, GM_OPTIONAL, .i = 0},
                                                          {"k", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0}};
const gm_operator gm_op_eye_like = {.domain = "",
                                    .name = "EyeLike",
                                    .since = 22,
                                    .inputs = "input",
                                    .outputs = "output",
                                    .types = MOVABLE,
                                    .attributes = eye_like_attributes,
                                    .attribute_count = GM_COUNT(eye_like_attributes),
                                    .infer = infer_eye_like,
                                    .zero_gradient = true,
                                    .expand = expand_eye_like};

/* --- ReverseSequence -------------------------------------------------------------------------------------------------- */

static int64_t axis_of(const gm_node *node, const char *name, int64_t fallback, int rank)
{
    int64_t axis = gm_node_int(node, name, fallback);
    return axis < 0 ? axis + rank : axis;
}

/* https://onnx.ai/onnx/operators/onnx__ReverseSequence.html: the first lens[b] entries of each sequence, backwards */
static gm_status infer_reverse_sequence(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]), lens = *gm_value_of(graph, node->inputs[1]);
    int batch, time;
    GM_TRY(gm_infer_axis(graph, node, gm_node_int(node, "batch_axis", 1), x.rank, &batch));
    GM_TRY(gm_infer_axis(graph, node, gm_node_int(node, "time_axis", 0), x.rank, &time));
    if (batch == time)
        return gm_node_fail(graph, node, "batch_axis and time_axis are both %d", batch);
    if (lens.type != GM_INT64 || lens.rank != 1 ||
        (lens.dims[0] != x.dims[batch] && gm_dim_is_known(lens.dims[0]) && gm_dim_is_known(x.dims[batch])))
        return gm_node_fail(graph, node, "sequence_lens must be int64 with one element per entry of axis %d", batch);
    return gm_infer_unary(graph, node);
}

/* Reversing twice is the identity: dx is dy reversed. */
static gm_status gradient_reverse_sequence(gm_gradient *g)
{
    if (g->wanted[0])
        g->dx[0] = gm_emit(g->graph, "ReverseSequence", (gm_value_id[]){g->dy[0], g->node->inputs[1]}, 2,
                           g->node->attributes, g->node->attribute_count);
    return g->graph->status;
}

static gm_status reference_reverse_sequence(const gm_compute *compute)
{
    const gm_tensor *x = &compute->in[0], *lens = &compute->in[1], *y = &compute->out[0];
    int64_t batch = axis_of(compute->node, "batch_axis", 1, x->rank), count = gm_tensor_count(x);
    int64_t time = axis_of(compute->node, "time_axis", 0, x->rank), strides[GM_MAX_RANK] = {0};
    size_t item = gm_type_bytes(x->type);
    gm_row_strides(x->rank, x->dims, strides);
    if (gm_tensor_count(lens) != x->dims[batch])
        return gm_fail(compute->context, GM_ERROR_DATA, "ReverseSequence: %lld lengths for %lld sequences",
                       (long long)gm_tensor_count(lens), (long long)x->dims[batch]);
    for (int64_t i = 0; i < x->dims[batch]; i++)
        if (gm_get_int(lens, i) < 0 || gm_get_int(lens, i) > x->dims[time])
            return gm_fail(compute->context, GM_ERROR_DATA, "ReverseSequence: length %lld is outside [0, %lld]",
                           (long long)gm_get_int(lens, i), (long long)x->dims[time]);
    for (int64_t i = 0; i < count; i++) {
        int64_t length = gm_get_int(lens, i / strides[batch] % x->dims[batch]);
        int64_t at = i / strides[time] % x->dims[time];
        int64_t from = at < length ? i + (length - 1 - 2 * at) * strides[time] : i;
        memcpy((char *)y->data + (size_t)i * item, (const char *)x->data + (size_t)from * item, item);
    }
    return GM_OK;
}

static const gm_attribute_schema reverse_attributes[] = {{"batch_axis", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 1},
                                                         {"time_axis", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0}};
const gm_operator gm_op_reverse_sequence = {.domain = "",
                                            .name = "ReverseSequence",
                                            .since = 28,
                                            .inputs = "input sequence_lens",
                                            .outputs = "Y",
                                            .types = MOVABLE,
                                            .attributes = reverse_attributes,
                                            .attribute_count = GM_COUNT(reverse_attributes),
                                            .infer = infer_reverse_sequence,
                                            .gradient = gradient_reverse_sequence,
                                            .reference = reference_reverse_sequence};

/* --- CenterCropPad ---------------------------------------------------------------------------------------------------- */

/* The target of each axis of x: its own size where the node names none. */
static gm_status center_targets(gm_graph *graph, gm_node *node, gm_value *x, gm_dim *targets)
{
    const int64_t *axes;
    size_t axis_count = gm_node_ints(node, "axes", &axes), count;
    gm_dim sizes[GM_MAX_RANK];
    bool seen[GM_MAX_RANK] = {false};
    if (!gm_shape_elements(graph, node->inputs[1], GM_MAX_RANK, sizes, &count)) {
        gm_infer_known(graph, node, 1);
        return graph->status != GM_OK ? graph->status : gm_node_fail(graph, node, "the shape must be known integers");
    }
    if (!gm_node_attribute(node, "axes"))
        axis_count = (size_t)x->rank;
    if (count != axis_count)
        return gm_node_fail(graph, node, "the shape has %zu elements for %zu axes", count, axis_count);
    memcpy(targets, x->dims, sizeof x->dims);
    for (size_t i = 0; i < count; i++) {
        int axis = (int)i;
        if (gm_node_attribute(node, "axes"))
            GM_TRY(gm_infer_axis(graph, node, axes[i], x->rank, &axis));
        if (seen[axis])
            return gm_node_fail(graph, node, "axis %d is listed twice", axis);
        if (sizes[i] == GM_DIM_INFER)
            return gm_node_fail(graph, node, "axis %d of the shape is negative", axis);
        seen[axis] = true;
        targets[axis] = sizes[i];
    }
    return GM_OK;
}

/* https://onnx.ai/onnx/operators/onnx__CenterCropPad.html */
static gm_status infer_center_crop_pad(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    gm_dim targets[GM_MAX_RANK];
    GM_TRY(center_targets(graph, node, &x, targets));
    gm_set_output(graph, node, 0, x.type, x.rank, targets);
    return graph->status;
}

/* One Pad, with negative pads where it crops; an odd element more is dropped or added behind. Declines where a size that
 * changes is symbolic. */
static gm_status expand_center_crop_pad(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]), y = *gm_value_of(graph, node->outputs[0]);
    int64_t pads[2 * GM_MAX_RANK];
    for (int i = 0; i < x.rank; i++) {
        int64_t more;
        if (x.dims[i] != y.dims[i] && (!gm_dim_is_known(x.dims[i]) || !gm_dim_is_known(y.dims[i])))
            return GM_OK;
        more = x.dims[i] == y.dims[i] ? 0 : y.dims[i] - x.dims[i];
        pads[i] = more / 2; /* towards zero */
        pads[x.rank + i] = more - more / 2;
    }
    outputs[0] = gm_emit2(graph, "Pad", node->inputs[0], gm_const_ints(graph, pads, 2 * (size_t)x.rank));
    return graph->status;
}

static const gm_attribute_schema center_attributes[] = {{"axes", GM_ATTRIBUTE_INTS, GM_OPTIONAL, .i = 0}};
const gm_operator gm_op_center_crop_pad = {.domain = "",
                                           .name = "CenterCropPad",
                                           .since = 18,
                                           .inputs = "input_data shape",
                                           .outputs = "output_data",
                                           .types = MOVABLE,
                                           .attributes = center_attributes,
                                           .attribute_count = GM_COUNT(center_attributes),
                                           .infer = infer_center_crop_pad,
                                           .expand = expand_center_crop_pad};
