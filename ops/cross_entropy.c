/* SoftmaxCrossEntropyLoss and NegativeLogLikelihoodLoss, made of other operators.
 *
 * https://onnx.ai/onnx/operators/onnx__SoftmaxCrossEntropyLoss.html: scores [N, C, d..], labels int [N, d..], weights [C]?
 * -> loss (a scalar, or [N, d..] with reduction "none"), log_prob [N, C, d..]? */
#include "graph/operator.h"

#include <string.h>

static gm_status infer_loss(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]), labels = *gm_value_of(graph, node->inputs[1]);
    const char *reduction = gm_node_string(node, "reduction", "mean");
    bool none = strcmp(reduction, "none") == 0, fits = x.rank >= 2 && labels.rank == x.rank - 1;
    char a[160], b[160];
    for (int i = 0; fits && i < labels.rank; i++)
        fits = labels.dims[i] == x.dims[i ? i + 1 : 0];
    if (!fits)
        return gm_node_fail(graph, node, "labels %s do not fit %s; expected [N, ...] for [N, C, ...]",
                            gm_shape_text(graph, node->inputs[1], a, sizeof a),
                            gm_shape_text(graph, node->inputs[0], b, sizeof b));
    if (labels.type != GM_INT64 && labels.type != GM_INT32)
        return gm_node_fail(graph, node, "labels must be int64 or int32, found %s", gm_type_name(labels.type));
    if (!none && strcmp(reduction, "mean") != 0 && strcmp(reduction, "sum") != 0)
        return gm_node_fail(graph, node, "reduction must be none, mean or sum, found '%s'", reduction);
    gm_set_output(graph, node, 0, x.type, none ? labels.rank : 0, labels.dims);
    gm_set_output(graph, node, 1, x.type, x.rank, x.dims);
    return graph->status;
}

/* The loss from log-probabilities: -w[label] * log_prob[label], 0 where the label is ignored. */
static gm_value_id loss_of(gm_graph *graph, const gm_node *node, gm_value_id log_prob)
{
    const char *reduction = gm_node_string(node, "reduction", "mean");
    gm_value_id labels = node->inputs[1], weights = node->input_count > 2 ? node->inputs[2] : 0, kept = 0, weight = 0;
    gm_value_id class_axis = gm_const_ints(graph, (int64_t[]){1}, 1), loss, all;
    gm_type type = gm_value_of(graph, node->inputs[0])->type;
    if (gm_node_attribute(node, "ignore_index")) {
        gm_value_id ignored = gm_emit2(graph, "Equal", labels,
                                       gm_scalar_like(graph, labels, (double)gm_node_int(node, "ignore_index", 0)));
        kept = gm_emit1_with(graph, "Cast", gm_emit1(graph, "Not", ignored), gm_attribute_int("to", type));
        labels = gm_emit3(graph, "Where", ignored, gm_scalar_like(graph, labels, 0.0), labels);
    }
    if (weights) {
        weight = gm_emit2(graph, "Gather", weights, labels);
        weight = kept ? gm_emit2(graph, "Mul", weight, kept) : weight;
    } else {
        weight = kept;
    }
    loss = gm_emit2_with(graph, "GatherElements", log_prob, gm_emit2(graph, "Unsqueeze", labels, class_axis),
                         gm_attribute_int("axis", 1));
    loss = gm_emit1(graph, "Neg", gm_emit2(graph, "Squeeze", loss, class_axis));
    if (weight)
        loss = gm_emit2(graph, "Mul", loss, weight);
    if (strcmp(reduction, "none") == 0)
        return loss;
    if (strcmp(reduction, "mean") == 0 && !weight)
        return gm_emit1_with(graph, "ReduceMean", loss, gm_attribute_int("keepdims", 0));
    loss = gm_emit1_with(graph, "ReduceSum", loss, gm_attribute_int("keepdims", 0));
    if (strcmp(reduction, "sum") == 0)
        return loss;
    all = gm_emit1_with(graph, "ReduceSum", weight, gm_attribute_int("keepdims", 0));
    return gm_emit2(graph, "Div", loss, all);
}

static gm_status expand_cross_entropy(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_node copy = *node; /* the array of nodes may move */
    gm_value_id log_prob = gm_emit1_with(graph, "LogSoftmax", copy.inputs[0], gm_attribute_int("axis", 1));
    outputs[0] = loss_of(graph, &copy, log_prob);
    if (copy.output_count > 1)
        outputs[1] = log_prob;
    return graph->status;
}

static gm_status expand_likelihood(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_node copy = *node;
    outputs[0] = loss_of(graph, &copy, copy.inputs[0]);
    return graph->status;
}

static const gm_attribute_schema loss_attributes[] = {{"ignore_index", GM_ATTRIBUTE_INT, GM_OPTIONAL, .i = 0},
                                                      {"reduction", GM_ATTRIBUTE_STRING, GM_DEFAULT, .s = "mean"}};
const gm_operator gm_op_softmax_cross_entropy_loss = {.domain = "",
                                                      .name = "SoftmaxCrossEntropyLoss",
                                                      .since = 13,
                                                      .inputs = "scores labels weights?",
                                                      .outputs = "output log_prob?",
                                                      .types = GM_TYPES_FLOATING,
                                                      .attributes = loss_attributes,
                                                      .attribute_count = GM_COUNT(loss_attributes),
                                                      .infer = infer_loss,
                                                      .expand = expand_cross_entropy};
const gm_operator gm_op_negative_log_likelihood_loss = {.domain = "",
                                                        .name = "NegativeLogLikelihoodLoss",
                                                        .since = 22,
                                                        .inputs = "input target weight?",
                                                        .outputs = "loss",
                                                        .types = GM_TYPES_FLOATING,
                                                        .attributes = loss_attributes,
                                                        .attribute_count = GM_COUNT(loss_attributes),
                                                        .infer = infer_loss,
                                                        .expand = expand_likelihood};
