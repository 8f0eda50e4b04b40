/* Reductions made of others: ReduceL1, ReduceL2, ReduceSumSquare, ReduceLogSum, ReduceLogSumExp. Axes and attributes are
 * those of ReduceSum. */
#include "graph/operator.h"

#include <string.h>

/* A reduction of x with the axes of the node, by the operator `name`. keep < 0: keepdims as the node says. */
static gm_value_id reduce(gm_graph *graph, const gm_node *node, const char *name, gm_value_id x, int keep)
{
    gm_attribute attributes[3] = {
        gm_attribute_int("keepdims", keep < 0 ? gm_node_int(node, "keepdims", 1) : keep),
        gm_attribute_int("noop_with_empty_axes", gm_node_int(node, "noop_with_empty_axes", 0))};
    const int64_t *axes;
    size_t count = gm_node_ints(node, "axes", &axes);
    gm_value_id inputs[2] = {x, node->input_count > 1 ? node->inputs[1] : 0};
    attributes[2] = gm_attribute_ints("axes", axes, count);
    return gm_emit(graph, name, inputs, node->input_count, attributes, count ? 3 : 2);
}

/* expand runs after infer: the outputs have the type and shape of ReduceSum's, which infers them once more. */
static gm_status infer_like_sum(gm_graph *graph, gm_node *node)
{
    return gm_operator_find("", "ReduceSum")->infer(graph, node);
}

static gm_status expand_l1(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    outputs[0] = reduce(graph, node, "ReduceSum", gm_emit1(graph, "Abs", node->inputs[0]), -1);
    return graph->status;
}

static gm_status expand_sum_square(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    outputs[0] = reduce(graph, node, "ReduceSum", gm_emit2(graph, "Mul", node->inputs[0], node->inputs[0]), -1);
    return graph->status;
}

static gm_status expand_l2(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    expand_sum_square(graph, node, outputs);
    outputs[0] = gm_emit1(graph, "Sqrt", outputs[0]);
    return graph->status;
}

static gm_status expand_log_sum(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    outputs[0] = gm_emit1(graph, "Log", reduce(graph, node, "ReduceSum", node->inputs[0], -1));
    return graph->status;
}

/* log(sum(exp(x - m))) + m with m = max(x), which is a constant for the gradient: its two contributions cancel. */
static gm_status expand_log_sum_exp(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value_id x = gm_emit1(graph, "gmodel.Detach", node->inputs[0]);
    gm_value_id wide = reduce(graph, node, "ReduceMax", x, 1), most = reduce(graph, node, "ReduceMax", x, -1);
    gm_value_id sum =
        reduce(graph, node, "ReduceSum", gm_emit1(graph, "Exp", gm_emit2(graph, "Sub", node->inputs[0], wide)), -1);
    outputs[0] = gm_emit2(graph, "Add", gm_emit1(graph, "Log", sum), most);
    return graph->status;
}

static const gm_attribute_schema reduce_attributes[] = {
    {"keepdims", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 1},
    {"noop_with_empty_axes", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0},
    {"axes", GM_ATTRIBUTE_INTS, GM_OPTIONAL, .i = 0}, /* before 18 */
};

static const gm_older older_reduce[] = {{18, GM_OLDER_INPUT, "axes", .input = 1, .type = GM_INT64}, {0}};

#define COMPOSED(symbol, text, expansion)                                                                              \
    const gm_operator symbol = {.domain = "",                                                                          \
                                .name = text,                                                                          \
                                .since = 18,                                                                           \
                                .inputs = "data axes?",                                                                \
                                .outputs = "reduced",                                                                  \
                                .types = GM_TYPES_FLOATING | GM_TYPES(GM_INT32) | GM_TYPES(GM_INT64),                  \
                                .attributes = reduce_attributes,                                                       \
                                .attribute_count = GM_COUNT(reduce_attributes),                                        \
                                .older = older_reduce,                                                                 \
                                .infer = infer_like_sum,                                                               \
                                .expand = expansion}

COMPOSED(gm_op_reduce_l1, "ReduceL1", expand_l1);
COMPOSED(gm_op_reduce_l2, "ReduceL2", expand_l2);
COMPOSED(gm_op_reduce_sum_square, "ReduceSumSquare", expand_sum_square);
COMPOSED(gm_op_reduce_log_sum, "ReduceLogSum", expand_log_sum);
COMPOSED(gm_op_reduce_log_sum_exp, "ReduceLogSumExp", expand_log_sum_exp);
