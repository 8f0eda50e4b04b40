/* Activations that are made of other elementwise operators: each is its defining formula (ONNX operator pages), emitted
 * in its place, and so needs neither gradient nor kernels. */
#include "ops/elementwise.h"

static gm_value_id scalar(gm_graph *graph, gm_value_id like, double value)
{
    return gm_scalar_like(graph, like, value);
}

static gm_value_id times(gm_graph *graph, gm_value_id a, double factor)
{
    return gm_emit2(graph, "Mul", a, scalar(graph, a, factor));
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
    outputs[0] = exponential_unit(graph, node->inputs[0], gm_node_float(node, "alpha", 1.0), 1.0);
    return graph->status;
}

static gm_status selu_expand(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    outputs[0] =
        exponential_unit(graph, node->inputs[0], gm_node_float(node, "alpha", 0), gm_node_float(node, "gamma", 0));
    return graph->status;
}

/* max(0, min(1, alpha x + beta)) */
static gm_status hard_sigmoid_expand(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value_id x = node->inputs[0];
    gm_value_id line = gm_emit2(graph, "Add", times(graph, x, gm_node_float(node, "alpha", 0.2)),
                                scalar(graph, x, gm_node_float(node, "beta", 0.5)));
    outputs[0] = gm_emit3(graph, "Clip", line, scalar(graph, x, 0.0), scalar(graph, x, 1.0));
    return graph->status;
}

/* x max(0, min(1, x / 6 + 1/2)) */
static gm_status hard_swish_expand(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value_id x = node->inputs[0];
    gm_value_id line = gm_emit2(graph, "Add", times(graph, x, 1.0 / 6.0), scalar(graph, x, 0.5));
    outputs[0] = gm_emit2(graph, "Mul", x, gm_emit3(graph, "Clip", line, scalar(graph, x, 0.0), scalar(graph, x, 1.0)));
    return graph->status;
}

/* x / (1 + |x|) */
static gm_status softsign_expand(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value_id x = node->inputs[0];
    outputs[0] = gm_emit2(graph, "Div", x, gm_emit2(graph, "Add", gm_emit1(graph, "Abs", x), scalar(graph, x, 1.0)));
    return graph->status;
}

/* x tanh(softplus(x)) */
static gm_status mish_expand(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value_id x = node->inputs[0];
    outputs[0] = gm_emit2(graph, "Mul", x, gm_emit1(graph, "Tanh", gm_emit1(graph, "Softplus", x)));
    return graph->status;
}

/* x / 2 (1 + erf(x / sqrt 2)), or with approximate = "tanh": x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) */
static gm_status gelu_expand(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value_id x = node->inputs[0], bend;
    if (gm_node_string(node, "approximate", "none")[0] == 't') {
        gm_value_id cube = gm_emit2(graph, "Mul", x, gm_emit2(graph, "Mul", x, x));
        gm_value_id inner = gm_emit2(graph, "Add", x, times(graph, cube, 0.044715));
        bend = gm_emit1(graph, "Tanh", times(graph, inner, 0.79788456080286536));
    } else {
        bend = gm_emit1(graph, "Erf", times(graph, x, 0.70710678118654752));
    }
    outputs[0] = gm_emit2(graph, "Mul", times(graph, x, 0.5), gm_emit2(graph, "Add", bend, scalar(graph, x, 1.0)));
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

#define EXPANDED(symbol, text, version, in, infer_rule, rule, ...)                                                     \
    const gm_operator symbol = {.domain = "",                                                                          \
                                .name = text,                                                                          \
                                .since = version,                                                                      \
                                .inputs = in,                                                                          \
                                .outputs = "Y",                                                                        \
                                .types = GM_TYPES_FLOATING,                                                            \
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
