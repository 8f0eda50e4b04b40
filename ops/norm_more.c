/* Normalizations made of other operators: LayerNormalization, RMSNormalization, InstanceNormalization,
 * GroupNormalization, MeanVarianceNormalization, LpNormalization, LRN.
 *
 * The first four are (x - mean) / sqrt(variance + epsilon) * scale + shift; they differ in the axes that mean and (biased)
 * variance run over. J. Ba et al., "Layer Normalization" (2016); B. Zhang, R. Sennrich, "Root Mean Square Layer
 * Normalization" (2019); D. Ulyanov et al., "Instance Normalization" (2016); Y. Wu, K. He, "Group Normalization" (2018). */
#include "graph/operator.h"

#include <string.h>

/* --- What they share ---------------------------------------------------------------------------------------------- */

static gm_value_id add_number(gm_graph *graph, gm_value_id x, double number)
{
    return gm_emit2(graph, "Add", x, gm_scalar_like(graph, x, number));
}

static gm_value_id cast(gm_graph *graph, gm_value_id x, gm_type type)
{
    return gm_value_of(graph, x)->type == type ? x : gm_emit1_with(graph, "Cast", x, gm_attribute_int("to", type));
}

/* Axes first ... rank - 1 as a constant. */
static gm_value_id axes_from(gm_graph *graph, int first, int rank)
{
    int64_t axes[GM_MAX_RANK];
    for (int i = first; i < rank; i++)
        axes[i - first] = i;
    return gm_const_ints(graph, axes, (size_t)(rank - first));
}

static gm_value_id mean_over(gm_graph *graph, gm_value_id x, gm_value_id axes)
{
    return gm_emit2(graph, "ReduceMean", x, axes);
}

/* 1 / sqrt(mean(x^2) + epsilon) over the axes */
static gm_value_id inverse_root(gm_graph *graph, gm_value_id x, gm_value_id axes, double epsilon)
{
    gm_value_id square = mean_over(graph, gm_emit2(graph, "Mul", x, x), axes);
    return gm_emit1(graph, "Reciprocal", gm_emit1(graph, "Sqrt", add_number(graph, square, epsilon)));
}

/* x of zero mean and unit variance over the axes. */
static gm_value_id standardized(gm_graph *graph, gm_value_id x, gm_value_id axes, double epsilon)
{
    gm_value_id centred = gm_emit2(graph, "Sub", x, mean_over(graph, x, axes));
    return gm_emit2(graph, "Mul", centred, inverse_root(graph, centred, axes, epsilon));
}

static gm_value_id scaled_shifted(gm_graph *graph, gm_value_id x, gm_value_id scale, gm_value_id shift)
{
    gm_value_id y = gm_emit2(graph, "Mul", x, scale);
    return shift ? gm_emit2(graph, "Add", y, shift) : y;
}

/* The type in which statistics are computed: stash_type, but double where x is. */
static gm_type stash_of(const gm_graph *graph, const gm_node *node)
{
    gm_type type = gm_value_of(graph, node->inputs[0])->type;
    return type == GM_DOUBLE ? type : (gm_type)gm_node_int(node, "stash_type", GM_FLOAT);
}

static gm_status check_stash(gm_graph *graph, gm_node *node)
{
    int64_t type = gm_node_int(node, "stash_type", GM_FLOAT);
    if (type < 0 || type >= 32 || !(GM_TYPES_FLOATING & 1u << type))
        return gm_node_fail(graph, node, "stash_type must be a floating type (1: float), found %lld", (long long)type);
    return GM_OK;
}

/* Input `index` broadcasts to the shape of x. */
static gm_status check_fits(gm_graph *graph, gm_node *node, size_t index)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    gm_dim dims[GM_MAX_RANK];
    int rank;
    char a[160], b[160];
    GM_TRY(gm_infer_broadcast(graph, node, (gm_value_id[]){node->inputs[0], node->inputs[index]}, 2, &rank, dims));
    if (rank != x.rank || memcmp(dims, x.dims, (size_t)rank * sizeof dims[0]) != 0)
        return gm_node_fail(graph, node, "%s does not broadcast to %s",
                            gm_shape_text(graph, node->inputs[index], a, sizeof a),
                            gm_shape_text(graph, node->inputs[0], b, sizeof b));
    return GM_OK;
}

/* x is [N, C, ...] of at least that rank; scale and shift are vectors of C. */
static gm_status check_channels(gm_graph *graph, gm_node *node, int rank)
{
    const gm_value *x = gm_value_of(graph, node->inputs[0]);
    char a[160], b[160];
    GM_TRY(gm_infer_same_type(graph, node));
    if (x->rank < rank)
        return gm_node_fail(graph, node, "takes tensors [N, C, ...] of at least %d axes, found %s", rank,
                            gm_shape_text(graph, node->inputs[0], a, sizeof a));
    for (size_t i = 1; i < node->input_count; i++) {
        const gm_value *v = gm_value_of(graph, node->inputs[i]);
        if (v->rank != 1 || v->dims[0] != x->dims[1])
            return gm_node_fail(graph, node, "input %zu of (%s) has shape %s; it needs one number per channel of %s",
                                i + 1, node->op->inputs, gm_shape_text(graph, node->inputs[i], b, sizeof b),
                                gm_shape_text(graph, node->inputs[0], a, sizeof a));
    }
    return GM_OK;
}

/* [C] -> [C, 1, ...]: aligned with axis 1 of x */
static gm_value_id over_channels(gm_graph *graph, gm_value_id vector, gm_value_id x)
{
    return gm_emit2(graph, "Unsqueeze", vector, axes_from(graph, 1, gm_value_of(graph, x)->rank - 1));
}

/* --- LayerNormalization, RMSNormalization ------------------------------------------------------------------------- */

/* https://onnx.ai/onnx/operators/onnx__LayerNormalization.html: statistics over the axes from `axis` on. Mean and InvStdDev
 * keep these axes with size 1 and have the type stash_type. */
static gm_status infer_layer(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    int axis;
    GM_TRY(check_stash(graph, node));
    GM_TRY(gm_infer_same_type(graph, node));
    GM_TRY(gm_infer_axis(graph, node, gm_node_int(node, "axis", -1), x.rank, &axis));
    for (size_t i = 1; i < node->input_count; i++)
        if (node->inputs[i])
            GM_TRY(check_fits(graph, node, i));
    gm_set_output_like(graph, node, 0, node->inputs[0]);
    for (int i = axis; i < x.rank; i++)
        x.dims[i] = 1;
    for (size_t i = 1; i < 3; i++)
        gm_set_output(graph, node, i, (gm_type)gm_node_int(node, "stash_type", GM_FLOAT), x.rank, x.dims);
    return graph->status;
}

static gm_value_id normalized_axes(gm_graph *graph, const gm_node *node)
{
    int rank = gm_value_of(graph, node->inputs[0])->rank;
    int64_t axis = gm_node_int(node, "axis", -1);
    return axes_from(graph, (int)(axis < 0 ? axis + rank : axis), rank);
}

static gm_status expand_layer(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_type type = gm_value_of(graph, node->inputs[0])->type;
    gm_type told = (gm_type)gm_node_int(node, "stash_type", GM_FLOAT);
    gm_value_id x = cast(graph, node->inputs[0], stash_of(graph, node)), axes = normalized_axes(graph, node);
    gm_value_id mean = mean_over(graph, x, axes), centred = gm_emit2(graph, "Sub", x, mean);
    gm_value_id inverse = inverse_root(graph, centred, axes, gm_node_float(node, "epsilon", 1e-5));
    gm_value_id y = cast(graph, gm_emit2(graph, "Mul", centred, inverse), type);
    outputs[0] = scaled_shifted(graph, y, node->inputs[1], node->input_count > 2 ? node->inputs[2] : 0);
    if (node->output_count > 1)
        outputs[1] = cast(graph, mean, told);
    if (node->output_count > 2)
        outputs[2] = cast(graph, inverse, told);
    return graph->status;
}

/* https://onnx.ai/onnx/operators/onnx__RMSNormalization.html: the result has the type of the scale. */
static gm_status infer_rms(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    gm_type type = gm_value_of(graph, node->inputs[1])->type;
    int axis;
    GM_TRY(check_stash(graph, node));
    if (!(GM_TYPES_FLOATING & GM_TYPES(type)))
        return gm_node_fail(graph, node, "the scale must be floating, found %s", gm_type_name(type));
    GM_TRY(gm_infer_axis(graph, node, gm_node_int(node, "axis", -1), x.rank, &axis));
    GM_TRY(check_fits(graph, node, 1));
    gm_set_output(graph, node, 0, type, x.rank, x.dims);
    return graph->status;
}

static gm_status expand_rms(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_type type = gm_value_of(graph, node->inputs[1])->type;
    gm_value_id x = cast(graph, node->inputs[0], stash_of(graph, node));
    gm_value_id inverse = inverse_root(graph, x, normalized_axes(graph, node), gm_node_float(node, "epsilon", 1e-5));
    outputs[0] = scaled_shifted(graph, cast(graph, gm_emit2(graph, "Mul", x, inverse), type), node->inputs[1], 0);
    return graph->status;
}

static const gm_attribute_schema layer_attributes[] = {{"axis", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = -1},
                                                       {"epsilon", GM_ATTRIBUTE_FLOAT, GM_DEFAULT, .f = 1e-5},
                                                       {"stash_type", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = GM_FLOAT}};
const gm_operator gm_op_layer_normalization = {.domain = "",
                                               .name = "LayerNormalization",
                                               .since = 17,
                                               .inputs = "X Scale B?",
                                               .outputs = "Y Mean? InvStdDev?",
                                               .types = GM_TYPES_FLOATING,
                                               .attributes = layer_attributes,
                                               .attribute_count = GM_COUNT(layer_attributes),
                                               .infer = infer_layer,
                                               .expand = expand_layer};
const gm_operator gm_op_rms_normalization = {.domain = "",
                                             .name = "RMSNormalization",
                                             .since = 23,
                                             .inputs = "X scale",
                                             .outputs = "Y",
                                             .types = GM_TYPES_FLOATING,
                                             .attributes = layer_attributes,
                                             .attribute_count = GM_COUNT(layer_attributes),
                                             .infer = infer_rms,
                                             .expand = expand_rms};

/* --- InstanceNormalization, GroupNormalization -------------------------------------------------------------------- */

static gm_status infer_instance(gm_graph *graph, gm_node *node)
{
    GM_TRY(check_channels(graph, node, 3));
    gm_set_output_like(graph, node, 0, node->inputs[0]);
    return graph->status;
}

/* https://onnx.ai/onnx/operators/onnx__InstanceNormalization.html: statistics of each channel of each example. */
static gm_status expand_instance(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value_id x = node->inputs[0], axes = axes_from(graph, 2, gm_value_of(graph, x)->rank);
    outputs[0] = scaled_shifted(graph, standardized(graph, x, axes, gm_node_float(node, "epsilon", 1e-5)),
                                over_channels(graph, node->inputs[1], x), over_channels(graph, node->inputs[2], x));
    return graph->status;
}

static gm_status infer_group(gm_graph *graph, gm_node *node)
{
    int64_t groups = gm_node_int(node, "num_groups", 0);
    const gm_value *x = gm_value_of(graph, node->inputs[0]);
    GM_TRY(check_stash(graph, node));
    GM_TRY(check_channels(graph, node, 2));
    if (groups < 1 || (gm_dim_is_known(x->dims[1]) && x->dims[1] % groups != 0))
        return gm_node_fail(graph, node, "num_groups is %lld; it must divide the number of channels, %lld",
                            (long long)groups, (long long)x->dims[1]);
    if (!gm_dim_is_known(x->dims[1]))
        return gm_node_fail(graph, node, "the number of channels must be known");
    gm_set_output_like(graph, node, 0, node->inputs[0]);
    return graph->status;
}

/* https://onnx.ai/onnx/operators/onnx__GroupNormalization.html (set 21): statistics of num_groups equal runs of channels.
 * x as [N, groups, elements of a group]; the last may be symbolic. */
static gm_status expand_group(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    int64_t groups = gm_node_int(node, "num_groups", 1), split[3] = {0, groups, x.dims[1] / groups};
    gm_value_id rows = cast(graph, node->inputs[0], stash_of(graph, node));
    for (int i = 2; i < x.rank; i++)
        split[2] = gm_dim_mul(graph->symbols, split[2], x.dims[i]);
    split[2] = gm_dim_is_known(split[2]) ? split[2] : -1;
    rows = gm_emit2(graph, "Reshape", rows, gm_const_ints(graph, split, 3));
    rows = standardized(graph, rows, axes_from(graph, 2, 3), gm_node_float(node, "epsilon", 1e-5));
    rows = gm_emit2(graph, "Reshape", cast(graph, rows, x.type), gm_shape_of(graph, node->inputs[0]));
    outputs[0] = scaled_shifted(graph, rows, over_channels(graph, node->inputs[1], node->inputs[0]),
                                over_channels(graph, node->inputs[2], node->inputs[0]));
    return graph->status;
}

static const gm_attribute_schema instance_attributes[] = {{"epsilon", GM_ATTRIBUTE_FLOAT, GM_DEFAULT, .f = 1e-5}};
const gm_operator gm_op_instance_normalization = {.domain = "",
                                                  .name = "InstanceNormalization",
                                                  .since = 22,
                                                  .inputs = "input scale B",
                                                  .outputs = "output",
                                                  .types = GM_TYPES_FLOATING,
                                                  .attributes = instance_attributes,
                                                  .attribute_count = GM_COUNT(instance_attributes),
                                                  .infer = infer_instance,
                                                  .expand = expand_instance};
static const gm_attribute_schema group_attributes[] = {{"num_groups", GM_ATTRIBUTE_INT, GM_REQUIRED, .i = 0},
                                                       {"epsilon", GM_ATTRIBUTE_FLOAT, GM_DEFAULT, .f = 1e-5},
                                                       {"stash_type", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = GM_FLOAT}};
const gm_operator gm_op_group_normalization = {.domain = "",
                                               .name = "GroupNormalization",
                                               .since = 21,
                                               .inputs = "X scale bias",
                                               .outputs = "Y",
                                               .types = GM_TYPES_FLOATING,
                                               .attributes = group_attributes,
                                               .attribute_count = GM_COUNT(group_attributes),
                                               .infer = infer_group,
                                               .expand = expand_group};

/* --- MeanVarianceNormalization, LpNormalization ------------------------------------------------------------------- */

static const int64_t usual_axes[] = {0, 2, 3};

static size_t listed_axes(const gm_node *node, const int64_t **axes_out)
{
    size_t count = gm_node_ints(node, "axes", axes_out);
    if (gm_node_attribute(node, "axes"))
        return count;
    *axes_out = usual_axes;
    return GM_COUNT(usual_axes);
}

static gm_status infer_mean_variance(gm_graph *graph, gm_node *node)
{
    const int64_t *axes;
    size_t count = listed_axes(node, &axes);
    int rank = gm_value_of(graph, node->inputs[0])->rank, axis;
    for (size_t i = 0; i < count; i++)
        GM_TRY(gm_infer_axis(graph, node, axes[i], rank, &axis));
    return gm_infer_unary(graph, node);
}

/* https://onnx.ai/onnx/operators/onnx__MeanVarianceNormalization.html: (x - mean) / (deviation + 1e-9). The root of a
 * variance of 0 has no derivative: there it is 0, and so is its slope. */
static gm_status expand_mean_variance(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    const int64_t *list;
    size_t count = listed_axes(node, &list);
    gm_value_id x = node->inputs[0], axes, centred, variance, flat, zero, deviation;
    if (count == 0 || gm_value_of(graph, x)->rank == 0) { /* each element is its own mean */
        outputs[0] = gm_zeros_like(graph, x);
        return graph->status;
    }
    axes = gm_const_ints(graph, list, count);
    centred = gm_emit2(graph, "Sub", x, mean_over(graph, x, axes));
    variance = mean_over(graph, gm_emit2(graph, "Mul", centred, centred), axes);
    zero = gm_scalar_like(graph, x, 0.0);
    flat = gm_emit2(graph, "Equal", variance, zero);
    deviation = gm_emit1(graph, "Sqrt", gm_emit3(graph, "Where", flat, gm_scalar_like(graph, x, 1.0), variance));
    deviation = gm_emit3(graph, "Where", flat, zero, deviation);
    outputs[0] = gm_emit2(graph, "Div", centred, add_number(graph, deviation, 1e-9));
    return graph->status;
}

static gm_status infer_lp(gm_graph *graph, gm_node *node)
{
    int64_t p = gm_node_int(node, "p", 2);
    int axis;
    if (p != 1 && p != 2)
        return gm_node_fail(graph, node, "p must be 1 or 2, found %lld", (long long)p);
    GM_TRY(gm_infer_axis(graph, node, gm_node_int(node, "axis", -1), gm_value_of(graph, node->inputs[0])->rank, &axis));
    return gm_infer_unary(graph, node);
}

/* https://onnx.ai/onnx/operators/onnx__LpNormalization.html: x / norm, and 0 where the norm is 0. */
static gm_status expand_lp(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    int64_t axis = gm_node_int(node, "axis", -1);
    bool square = gm_node_int(node, "p", 2) == 2;
    gm_value_id x = node->inputs[0], axes = gm_const_ints(graph, &axis, 1);
    gm_value_id size = gm_emit2(graph, square ? "ReduceSumSquare" : "ReduceL1", x, axes);
    gm_value_id nothing = gm_emit2(graph, "Equal", size, gm_scalar_like(graph, x, 0.0));
    size = gm_emit3(graph, "Where", nothing, gm_scalar_like(graph, x, 1.0), size);
    outputs[0] = gm_emit2(graph, "Div", x, square ? gm_emit1(graph, "Sqrt", size) : size);
    return graph->status;
}

static const gm_attribute_schema mean_variance_attributes[] = {{"axes", GM_ATTRIBUTE_INTS, GM_OPTIONAL, .i = 0}};
const gm_operator gm_op_mean_variance_normalization = {.domain = "",
                                                       .name = "MeanVarianceNormalization",
                                                       .since = 13,
                                                       .inputs = "X",
                                                       .outputs = "Y",
                                                       .types = GM_TYPES_FLOATING,
                                                       .attributes = mean_variance_attributes,
                                                       .attribute_count = GM_COUNT(mean_variance_attributes),
                                                       .infer = infer_mean_variance,
                                                       .expand = expand_mean_variance};
static const gm_attribute_schema lp_attributes[] = {{"axis", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = -1},
                                                    {"p", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 2}};
const gm_operator gm_op_lp_normalization = {.domain = "",
                                            .name = "LpNormalization",
                                            .since = 22,
                                            .inputs = "input",
                                            .outputs = "output",
                                            .types = GM_TYPES_FLOATING,
                                            .attributes = lp_attributes,
                                            .attribute_count = GM_COUNT(lp_attributes),
                                            .infer = infer_lp,
                                            .expand = expand_lp};

/* --- LRN ---------------------------------------------------------------------------------------------------------- */

static gm_status infer_lrn(gm_graph *graph, gm_node *node)
{
    const gm_value *x = gm_value_of(graph, node->inputs[0]);
    int64_t size = gm_node_int(node, "size", 0);
    char a[160];
    if (x->rank < 2 || x->rank >= GM_MAX_RANK)
        return gm_node_fail(graph, node, "takes tensors [N, C, ...] of 2 to %d axes, found %s", GM_MAX_RANK - 1,
                            gm_shape_text(graph, node->inputs[0], a, sizeof a));
    if (size < 1 || size > 1 << 16)
        return gm_node_fail(graph, node, "size must be between 1 and 65536 channels, found %lld", (long long)size);
    return gm_infer_unary(graph, node);
}

/* https://onnx.ai/onnx/operators/onnx__LRN.html: x / (bias + alpha * m)^beta with m the mean of x^2 over a window of `size`
 * channels, those beyond the ends counting as 0: an AveragePool over the channels of [N, 1, C, ...]. */
static gm_status expand_lrn(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    int64_t size = gm_node_int(node, "size", 1), before = (size - 1) / 2;
    int64_t kernel[GM_MAX_RANK], pads[2 * GM_MAX_RANK] = {0};
    gm_value_id x = node->inputs[0], axis = gm_const_ints(graph, (int64_t[]){1}, 1), window;
    size_t spatial = (size_t)gm_value_of(graph, x)->rank - 1;
    for (size_t i = 0; i < spatial; i++)
        kernel[i] = i ? 1 : size;
    pads[0] = before;
    pads[spatial] = size - 1 - before;
    gm_attribute list[3] = {gm_attribute_ints("kernel_shape", kernel, spatial),
                            gm_attribute_ints("pads", pads, 2 * spatial), gm_attribute_int("count_include_pad", 1)};
    window = gm_emit2(graph, "Unsqueeze", gm_emit2(graph, "Mul", x, x), axis);
    window = gm_emit2(graph, "Squeeze", gm_emit(graph, "AveragePool", &window, 1, list, 3), axis);
    window = gm_emit2(graph, "Mul", window, gm_scalar_like(graph, x, gm_node_float(node, "alpha", 1e-4)));
    window = add_number(graph, window, gm_node_float(node, "bias", 1.0));
    window = gm_emit2(graph, "Pow", window, gm_scalar_like(graph, x, gm_node_float(node, "beta", 0.75)));
    outputs[0] = gm_emit2(graph, "Div", x, window);
    return graph->status;
}

static const gm_attribute_schema lrn_attributes[] = {{"size", GM_ATTRIBUTE_INT, GM_REQUIRED, .i = 0},
                                                     {"alpha", GM_ATTRIBUTE_FLOAT, GM_DEFAULT, .f = 1e-4},
                                                     {"beta", GM_ATTRIBUTE_FLOAT, GM_DEFAULT, .f = 0.75},
                                                     {"bias", GM_ATTRIBUTE_FLOAT, GM_DEFAULT, .f = 1.0}};
const gm_operator gm_op_lrn = {.domain = "",
                               .name = "LRN",
                               .since = 13,
                               .inputs = "X",
                               .outputs = "Y",
                               .types = GM_TYPES_FLOATING,
                               .attributes = lrn_attributes,
                               .attribute_count = GM_COUNT(lrn_attributes),
                               .infer = infer_lrn,
                               .expand = expand_lrn};
