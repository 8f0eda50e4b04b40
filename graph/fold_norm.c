/* Folds batch normalization of inference into the convolution or matrix product before it:
 *   y = (W x + b - mean) * scale / sqrt(var + epsilon) + bias  is  (s W) x + (s (b - mean) + bias),  s = scale / sqrt(...)
 * (Jacob et al. 2018, section 3.2). Weights and statistics must be constants of the graph. */
#include "graph/operator.h"

#include <math.h>
#include <string.h>

typedef struct affine { /* of one normalization, by channel */
    int64_t channels;
    double *factor, *mean, *bias;
} affine;

/* False: not all of it is constant. */
static bool read_affine(gm_graph *graph, const gm_node *norm, affine *a)
{
    const gm_tensor *part[4];
    double epsilon = gm_node_float(norm, "epsilon", 1e-5);
    for (size_t i = 0; i < 4; i++)
        if (!(part[i] = gm_constant_of(graph, norm->inputs[1 + i])))
            return false;
    a->channels = gm_tensor_count(part[0]);
    a->factor = gm_pool_array(graph->pool, (size_t)a->channels + 1, 3 * sizeof *a->factor);
    if (!a->factor)
        return graph->status = GM_ERROR_MEMORY, false;
    a->mean = a->factor + a->channels;
    a->bias = a->mean + a->channels;
    for (int64_t c = 0; c < a->channels; c++) {
        a->factor[c] = gm_get(part[0], c) / sqrt(gm_get(part[3], c) + epsilon);
        a->bias[c] = gm_get(part[1], c);
        a->mean[c] = gm_get(part[2], c);
    }
    return true;
}

/* The axis of the weights that counts output channels; -1: this node cannot take a factor for each. */
static int channel_axis(const gm_graph *graph, const gm_node *node)
{
    const gm_tensor *weights = node->input_count > 1 ? gm_constant_of(graph, node->inputs[1]) : NULL;
    const gm_tensor *bias = node->input_count > 2 ? gm_constant_of(graph, node->inputs[2]) : NULL;
    bool has_bias = node->input_count > 2 && node->inputs[2];
    if (!weights || node->op->domain[0] || (has_bias && (!bias || bias->rank != 1)))
        return -1;
    if (strcmp(node->op->name, "Conv") == 0)
        return 0;
    if (strcmp(node->op->name, "ConvTranspose") == 0)
        return gm_node_int(node, "group", 1) == 1 ? 1 : -1;
    if (strcmp(node->op->name, "MatMul") == 0)
        return weights->rank == 2 && gm_value_of(graph, node->inputs[0])->rank == 2 ? 1 : -1;
    if (strcmp(node->op->name, "Gemm") == 0)
        return gm_node_float(node, "alpha", 1) == 1 && gm_node_float(node, "beta", 1) == 1
                   ? gm_node_int(node, "transB", 0) ? 0 : 1
                   : -1;
    return -1;
}

static gm_value_id scaled_weights(gm_graph *graph, const gm_tensor *weights, int axis, const affine *a)
{
    gm_tensor *scaled = gm_tensor_copy(graph->pool, weights);
    int64_t inner = 1;
    if (!scaled)
        return graph->status = GM_ERROR_MEMORY, 0;
    for (int i = axis + 1; i < weights->rank; i++)
        inner *= weights->dims[i];
    for (int64_t i = 0; i < gm_tensor_count(weights); i++)
        gm_set(scaled, i, gm_get(weights, i) * a->factor[i / inner % a->channels]);
    return gm_graph_constant(graph, scaled);
}

static gm_value_id moved_bias(gm_graph *graph, const gm_tensor *bias, gm_type type, const affine *a)
{
    gm_tensor *moved = gm_tensor_create(graph->pool, type, 1, &a->channels);
    if (!moved)
        return graph->status = GM_ERROR_MEMORY, 0;
    for (int64_t c = 0; c < a->channels; c++) {
        double old = bias ? gm_get(bias, gm_tensor_count(bias) == 1 ? 0 : c) : 0;
        gm_set(moved, c, (old - a->mean[c]) * a->factor[c] + a->bias[c]);
    }
    return gm_graph_constant(graph, moved);
}

static bool fold(gm_graph *graph, gm_node *norm)
{
    gm_value_id x = norm->inputs[0], *inputs, weights, bias;
    gm_node *node;
    const gm_tensor *old;
    affine a;
    int axis;
    if (gm_value_of(graph, x)->kind != GM_VALUE_NODE || gm_use_count(graph, x) != 1)
        return false;
    node = &graph->nodes[gm_value_of(graph, x)->node];
    axis = channel_axis(graph, node);
    if (axis < 0 || !read_affine(graph, norm, &a))
        return false;
    old = gm_constant_of(graph, node->inputs[1]);
    if (old->dims[axis] != a.channels)
        return false;
    weights = scaled_weights(graph, old, axis, &a);
    bias = moved_bias(graph, node->input_count > 2 ? gm_constant_of(graph, node->inputs[2]) : NULL, old->type, &a);
    inputs = gm_pool_array(graph->pool, 3, sizeof *inputs);
    if (!weights || !bias || !inputs)
        return false;
    gm_value_of(graph, weights)->name = gm_value_of(graph, node->inputs[1])->name;
    inputs[0] = node->inputs[0];
    inputs[1] = weights;
    inputs[2] = bias;
    node->inputs = inputs;
    node->input_count = 3;
    if (strcmp(node->op->name, "MatMul") == 0)
        node->op = gm_operator_find("", "Gemm");
    norm->dead = true;
    gm_graph_replace(graph, norm->outputs[0], x);
    return true;
}

gm_status gm_graph_fold_normalization(gm_graph *graph)
{
    const gm_operator *norm = gm_operator_find("", "BatchNormalization");
    for (size_t n = 0; n < graph->node_count && graph->status == GM_OK; n++)
        if (!graph->nodes[n].dead && graph->nodes[n].op == norm)
            fold(graph, &graph->nodes[n]);
    return graph->status == GM_OK ? gm_graph_compact(graph) : graph->status;
}
