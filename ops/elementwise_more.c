/* Activations that are made of other elementwise operators, and CastLike, IsInf and Hardmax: each is its defining formula
 * (ONNX operator pages), emitted in its place, and so needs neither gradient nor kernels. */
#include "ops/elementwise.h"

#include <math.h>

static gm_value_id scalar(gm_graph *graph, gm_value_id like, double value)
{
    return gm_scalar_like(graph, like, value);
}

static gm_value_id times(gm_graph *graph, gm_value_id a, double factor)
{
    return gm_emit2(graph, "Mul", a, scalar(graph, a, factor));
}

/* Types of 16 bits are widened for a formula of several steps and narrowed behind it, so that it rounds once; integers
 * go through double. */
static gm_value_id cast(gm_graph *graph, gm_value_id x, gm_type type)
{
    bool same = graph->status != GM_OK || gm_value_of(graph, x)->type == type;
    return same ? x : gm_emit1_with(graph, "Cast", x, gm_attribute_int("to", type));
}

static gm_value_id widened(gm_graph *graph, gm_value_id x)
{
    gm_type type = gm_value_of(graph, x)->type;
    bool wide = type == GM_FLOAT || type == GM_DOUBLE, whole = (GM_TYPES_INTEGER & GM_TYPES(type)) != 0;
    return wide ? x : cast(graph, x, whole ? GM_DOUBLE : GM_FLOAT);
}

/* y in the type of the node's first input */
static gm_value_id narrowed(gm_graph *graph, const gm_node *node, gm_value_id y)
{
    return cast(graph, y, gm_value_of(graph, node->inputs[0])->type);
}

/* scale * (x > 0 ? x : alpha (e^x - 1)); the exponent never sees a positive x, which could overflow. */
static gm_value_id exponential_unit(gm_graph *graph, gm_value_id x, double alpha, double factor)
{
    gm_value_id zero = scalar(graph, x, 0.0);
    gm_value_id negative = gm_emit2(graph, "Min", x, zero);
    gm_value_id curve = gm_emit2(graph, "Sub", gm_emit1(graph, "Exp", negative), scalar(graph, x, 1.0));
    gm_value_id y = gm_emit3(graph, "Where", gm_emit2(graph, "Greater", x, zero), x, times(graph, curve, alpha));
    return factor == 1.0 ? y : times(graph, y, factor);
}

static gm_status elu_expand(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    outputs[0] = narrowed(
        graph, node, exponential_unit(graph, widened(graph, node->inputs[0]), gm_node_float(node, "alpha", 1.0), 1.0));
    return graph->status;
}

static gm_status selu_expand(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    outputs[0] = narrowed(graph, node,
                          exponential_unit(graph, widened(graph, node->inputs[0]), gm_node_float(node, "alpha", 0),
                                           gm_node_float(node, "gamma", 0)));
    return graph->status;
}

/* max(0, min(1, alpha x + beta)) */
static gm_status hard_sigmoid_expand(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value_id x = widened(graph, node->inputs[0]);
    gm_value_id line = gm_emit2(graph, "Add", times(graph, x, gm_node_float(node, "alpha", 0.2)),
                                scalar(graph, x, gm_node_float(node, "beta", 0.5)));
    outputs[0] = narrowed(graph, node, gm_emit3(graph, "Clip", line, scalar(graph, x, 0.0), scalar(graph, x, 1.0)));
    return graph->status;
}

/* x max(0, min(1, x / 6 + 1/2)) */
static gm_status hard_swish_expand(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value_id x = widened(graph, node->inputs[0]);
    gm_value_id line = gm_emit2(graph, "Add", times(graph, x, 1.0 / 6.0), scalar(graph, x, 0.5));
    outputs[0] = narrowed(
        graph, node,
        gm_emit2(graph, "Mul", x, gm_emit3(graph, "Clip", line, scalar(graph, x, 0.0), scalar(graph, x, 1.0))));
    return graph->status;
}

/* x / (1 + |x|) */
static gm_status softsign_expand(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value_id x = widened(graph, node->inputs[0]);
    outputs[0] =
        narrowed(graph, node,
                 gm_emit2(graph, "Div", x, gm_emit2(graph, "Add", gm_emit1(graph, "Abs", x), scalar(graph, x, 1.0))));
    return graph->status;
}

/* x tanh(softplus(x)) */
static gm_status mish_expand(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value_id x = widened(graph, node->inputs[0]);
    outputs[0] =
        narrowed(graph, node, gm_emit2(graph, "Mul", x, gm_emit1(graph, "Tanh", gm_emit1(graph, "Softplus", x))));
    return graph->status;
}

/* x / 2 (1 + erf(x / sqrt 2)), or with approximate = "tanh": x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) */
static gm_status gelu_expand(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value_id x = widened(graph, node->inputs[0]), bend;
    if (gm_node_string(node, "approximate", "none")[0] == 't') {
        gm_value_id cube = gm_emit2(graph, "Mul", x, gm_emit2(graph, "Mul", x, x));
        gm_value_id inner = gm_emit2(graph, "Add", x, times(graph, cube, 0.044715));
        bend = gm_emit1(graph, "Tanh", times(graph, inner, 0.79788456080286536));
    } else {
        bend = gm_emit1(graph, "Erf", times(graph, x, 0.70710678118654752));
    }
    outputs[0] = narrowed(
        graph, node, gm_emit2(graph, "Mul", times(graph, x, 0.5), gm_emit2(graph, "Add", bend, scalar(graph, x, 1.0))));
    return graph->status;
}

/* x < 0 ? slope x : x, slope broadcast to x */
static gm_status prelu_expand(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value_id x = node->inputs[0];
    gm_value_id below = gm_emit2(graph, "Less", x, scalar(graph, x, 0.0));
    outputs[0] = gm_emit3(graph, "Where", below, gm_emit2(graph, "Mul", node->inputs[1], x), x);
    return graph->status;
}

/* x > alpha ? x : 0 */
static gm_status thresholded_relu_expand(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value_id x = node->inputs[0];
    gm_value_id above = gm_emit2(graph, "Greater", x, scalar(graph, x, gm_node_float(node, "alpha", 1.0)));
    outputs[0] = gm_emit3(graph, "Where", above, x, scalar(graph, x, 0.0));
    return graph->status;
}

/* x > 0 ? x : alpha (e^(x / alpha) - 1); as in exponential_unit the exponent never sees a positive x. */
static gm_status celu_expand(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value_id x = widened(graph, node->inputs[0]), zero = scalar(graph, x, 0.0);
    double alpha = gm_node_float(node, "alpha", 1.0);
    gm_value_id power, curve;
    if (alpha == 0.0)
        return gm_node_fail(graph, node, "alpha is 0; x is divided by it");
    power = gm_emit1(graph, "Exp", times(graph, gm_emit2(graph, "Min", x, zero), 1.0 / alpha));
    curve = times(graph, gm_emit2(graph, "Sub", power, scalar(graph, x, 1.0)), alpha);
    outputs[0] = narrowed(graph, node, gm_emit3(graph, "Where", gm_emit2(graph, "Greater", x, zero), x, curve));
    return graph->status;
}

/* x < -lambd ? x + bias : x > lambd ? x - bias : 0; integers go through double, for bias and lambd are no integers. */
static gm_status shrink_expand(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    double lambd = gm_node_float(node, "lambd", 0.5), bias = gm_node_float(node, "bias", 0.0);
    gm_value_id x = widened(graph, node->inputs[0]), low, high, y;
    low = gm_emit2(graph, "Less", x, scalar(graph, x, -lambd));
    high = gm_emit2(graph, "Greater", x, scalar(graph, x, lambd));
    y = gm_emit3(graph, "Where", high, gm_emit2(graph, "Sub", x, scalar(graph, x, bias)), scalar(graph, x, 0.0));
    y = gm_emit3(graph, "Where", low, gm_emit2(graph, "Add", x, scalar(graph, x, bias)), y);
    outputs[0] = narrowed(graph, node, y);
    return graph->status;
}

/* x / (1 + e^(-alpha x)), in the wide type */
static gm_value_id swish(gm_graph *graph, const gm_node *node)
{
    gm_value_id x = widened(graph, node->inputs[0]);
    double alpha = gm_node_float(node, "alpha", 1.0);
    return gm_emit2(graph, "Mul", x, gm_emit1(graph, "Sigmoid", alpha == 1.0 ? x : times(graph, x, alpha)));
}

static gm_status swish_expand(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    outputs[0] = narrowed(graph, node, swish(graph, node));
    return graph->status;
}

/* swish(A) B */
static gm_status swiglu_expand(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value_id b = widened(graph, node->inputs[1]);
    outputs[0] = narrowed(graph, node, gm_emit2(graph, "Mul", swish(graph, node), b));
    return graph->status;
}

/* A and B have one shape: nothing broadcasts. */
static gm_status swiglu_infer(gm_graph *graph, gm_node *node)
{
    gm_value a = *gm_value_of(graph, node->inputs[0]), b = *gm_value_of(graph, node->inputs[1]);
    char text[2][160];
    bool same = a.rank == b.rank;
    for (int i = 0; same && i < a.rank; i++)
        same = a.dims[i] == b.dims[i] || !gm_dim_is_known(a.dims[i]) || !gm_dim_is_known(b.dims[i]);
    if (!same)
        return gm_node_fail(graph, node, "A is %s and B %s; their shapes must be equal",
                            gm_shape_text(graph, node->inputs[0], text[0], sizeof text[0]),
                            gm_shape_text(graph, node->inputs[1], text[1], sizeof text[1]));
    return gm_infer_elementwise(graph, node);
}

/* Equal to infinity, to its negative, or to either; to none: x < x, which nothing is. */
static gm_status is_inf_expand(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value_id x = node->inputs[0];
    bool negative = gm_node_int(node, "detect_negative", 1) != 0,
         positive = gm_node_int(node, "detect_positive", 1) != 0;
    if (negative && positive)
        x = gm_emit1(graph, "Abs", x);
    outputs[0] = negative || positive ? gm_emit2(graph, "Equal", x, scalar(graph, x, positive ? INFINITY : -INFINITY))
                                      : gm_emit2(graph, "Less", x, x);
    return graph->status;
}

static gm_status cast_like_infer(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    gm_set_output(graph, node, 0, gm_value_of(graph, node->inputs[1])->type, x.rank, x.dims);
    return graph->status;
}

static gm_status cast_like_expand(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_attribute attributes[2] = {gm_attribute_int("to", gm_value_of(graph, node->inputs[1])->type),
                                  gm_attribute_int("saturate", gm_node_int(node, "saturate", 1))};
    outputs[0] = gm_emit(graph, "Cast", node->inputs, 1, attributes, 2);
    return graph->status;
}

static gm_status hardmax_infer(gm_graph *graph, gm_node *node)
{
    int axis;
    GM_TRY(gm_infer_axis(graph, node, gm_node_int(node, "axis", -1), gm_value_of(graph, node->inputs[0])->rank, &axis));
    return gm_infer_unary(graph, node);
}

/* 1 at the first greatest element along the axis, 0 elsewhere */
static gm_status hardmax_expand(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value_id x = node->inputs[0], off = scalar(graph, x, 0.0), on = scalar(graph, x, 1.0), depth, values, at;
    int rank = gm_value_of(graph, x)->rank;
    int64_t axis = gm_node_int(node, "axis", -1);
    gm_attribute where = gm_attribute_int("axis", axis < 0 ? axis + rank : axis);
    gm_attribute ends[2] = {gm_attribute_int("start", where.i), gm_attribute_int("end", where.i + 1)};
    gm_attribute arg[2] = {where, gm_attribute_int("keepdims", 0)};
    gm_value_id zero = gm_const_ints(graph, (int64_t[]){0}, 1);
    values = gm_emit2_with(graph, "Concat", gm_emit2(graph, "Unsqueeze", off, zero),
                           gm_emit2(graph, "Unsqueeze", on, zero), gm_attribute_int("axis", 0));
    at = gm_emit(graph, "ArgMax", &x, 1, arg, 2);
    depth = gm_emit(graph, "Shape", &x, 1, ends, 2);
    outputs[0] = gm_emit(graph, "OneHot", (gm_value_id[]){at, depth, values}, 3, &where, 1);
    return graph->status;
}

static gm_value_id total(gm_graph *graph, const gm_node *node)
{
    gm_value_id sum = node->inputs[0];
    for (size_t i = 1; i < node->input_count; i++)
        sum = gm_emit2(graph, "Add", sum, node->inputs[i]);
    return sum;
}

static gm_status sum_expand(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    outputs[0] = total(graph, node);
    return graph->status;
}

/* ONNX's Mean: of its operands, not over axes. */
static gm_status mean_expand(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value_id sum = total(graph, node);
    outputs[0] = node->input_count == 1 ? sum : times(graph, sum, 1.0 / (double)node->input_count);
    return graph->status;
}

static const gm_attribute_schema elu_attributes[] = {{"alpha", GM_ATTRIBUTE_FLOAT, GM_DEFAULT, .f = 1.0}};
static const gm_attribute_schema selu_attributes[] = {
    {"alpha", GM_ATTRIBUTE_FLOAT, GM_DEFAULT, .f = 1.67326319217681884765625},
    {"gamma", GM_ATTRIBUTE_FLOAT, GM_DEFAULT, .f = 1.05070102214813232421875}};
static const gm_attribute_schema hard_sigmoid_attributes[] = {{"alpha", GM_ATTRIBUTE_FLOAT, GM_DEFAULT, .f = 0.2},
                                                              {"beta", GM_ATTRIBUTE_FLOAT, GM_DEFAULT, .f = 0.5}};
static const gm_attribute_schema gelu_attributes[] = {{"approximate", GM_ATTRIBUTE_STRING, GM_DEFAULT, .s = "none"}};
static const gm_attribute_schema shrink_attributes[] = {{"bias", GM_ATTRIBUTE_FLOAT, GM_DEFAULT, .f = 0.0},
                                                        {"lambd", GM_ATTRIBUTE_FLOAT, GM_DEFAULT, .f = 0.5}};
static const gm_attribute_schema is_inf_attributes[] = {{"detect_negative", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 1},
                                                        {"detect_positive", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 1}};
static const gm_attribute_schema cast_like_attributes[] = {
    {"saturate", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 1},
    {"round_mode", GM_ATTRIBUTE_STRING, GM_DEFAULT, .s = "up"}}; /* of types that are not here */
static const gm_attribute_schema hardmax_attributes[] = {{"axis", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = -1}};

#define EXPANDED(symbol, text, version, in, infer_rule, rule, ...)                                                     \
    EXPANDED_TYPES(symbol, text, version, in, GM_TYPES_FLOATING, infer_rule, rule, __VA_ARGS__)
#define EXPANDED_TYPES(symbol, text, version, in, type_set, infer_rule, rule, ...)                                     \
    const gm_operator symbol = {.domain = "",                                                                          \
                                .name = text,                                                                          \
                                .since = version,                                                                      \
                                .inputs = in,                                                                          \
                                .outputs = "Y",                                                                        \
                                .types = type_set,                                                                     \
                                .infer = infer_rule,                                                                   \
                                .expand = rule,                                                                        \
                                __VA_ARGS__}
/* Before 7 a vector of slopes has one for each channel. */
static gm_status upgrade_prelu(gm_older_node *node)
{
    gm_graph *graph = node->graph;
    int rank = node->input_count == 2 ? gm_value_of(graph, node->inputs[0])->rank : 0;
    int64_t axes[GM_MAX_RANK];
    if (node->opset >= 7 || rank < 3 || gm_value_of(graph, node->inputs[1])->rank != 1)
        return GM_OK;
    for (int i = 0; i < rank - 2; i++)
        axes[i] = i + 1;
    node->inputs[1] = gm_emit2(graph, "Unsqueeze", node->inputs[1], gm_const_ints(graph, axes, (size_t)rank - 2));
    return graph->status;
}

#define ATTRIBUTES(table) .attributes = table, .attribute_count = GM_COUNT(table)

EXPANDED(gm_op_elu, "Elu", 6, "X", gm_infer_unary, elu_expand, ATTRIBUTES(elu_attributes));
EXPANDED(gm_op_selu, "Selu", 6, "X", gm_infer_unary, selu_expand, ATTRIBUTES(selu_attributes));
EXPANDED(gm_op_hard_sigmoid, "HardSigmoid", 6, "X", gm_infer_unary, hard_sigmoid_expand,
         ATTRIBUTES(hard_sigmoid_attributes));
EXPANDED(gm_op_hard_swish, "HardSwish", 14, "X", gm_infer_unary, hard_swish_expand, );
EXPANDED(gm_op_softsign, "Softsign", 1, "X", gm_infer_unary, softsign_expand, );
EXPANDED(gm_op_mish, "Mish", 18, "X", gm_infer_unary, mish_expand, );
EXPANDED(gm_op_gelu, "Gelu", 20, "X", gm_infer_unary, gelu_expand, ATTRIBUTES(gelu_attributes));
EXPANDED(gm_op_prelu, "PRelu", 16, "X slope", gm_infer_elementwise, prelu_expand, .upgrade = upgrade_prelu);
EXPANDED(gm_op_sum, "Sum", 13, "data_0", gm_infer_elementwise, sum_expand, .flags = GM_OP_VARIADIC);
EXPANDED(gm_op_mean, "Mean", 13, "data_0", gm_infer_elementwise, mean_expand, .flags = GM_OP_VARIADIC);
EXPANDED(gm_op_thresholded_relu, "ThresholdedRelu", 22, "X", gm_infer_unary, thresholded_relu_expand,
         ATTRIBUTES(elu_attributes));
EXPANDED(gm_op_celu, "Celu", 28, "X", gm_infer_unary, celu_expand, ATTRIBUTES(elu_attributes));
EXPANDED_TYPES(gm_op_shrink, "Shrink", 9, "input", GM_TYPES_NUMERIC, gm_infer_unary, shrink_expand,
               ATTRIBUTES(shrink_attributes));
EXPANDED(gm_op_onnx_swish, "Swish", 24, "X", gm_infer_unary, swish_expand, ATTRIBUTES(elu_attributes));
EXPANDED(gm_op_swiglu, "SwiGLU", 28, "A B", swiglu_infer, swiglu_expand, ATTRIBUTES(elu_attributes));
EXPANDED(gm_op_is_inf, "IsInf", 20, "X", gm_infer_comparison, is_inf_expand, ATTRIBUTES(is_inf_attributes),
         .zero_gradient = true);
EXPANDED_TYPES(gm_op_cast_like, "CastLike", 25, "input target_type", GM_TYPES_NUMERIC | GM_TYPES(GM_BOOL),
               cast_like_infer, cast_like_expand, ATTRIBUTES(cast_like_attributes));
EXPANDED(gm_op_hardmax, "Hardmax", 13, "input", hardmax_infer, hardmax_expand, ATTRIBUTES(hardmax_attributes),
         .zero_gradient = true, .upgrade = gm_upgrade_softmax);
