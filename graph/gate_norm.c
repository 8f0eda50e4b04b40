/* Rectifier behind batch normalization: the rectifier's gradient is taken inside the normalization's, which reads the
 * rectifier's result beside dY, so that dY * Step(y) is never stored:
 *   BatchNormalizationGrad(X, ..., Mul(dY, Step(y))) = BatchNormalizationGrad(X, ..., dY, y) */
#include "graph/operator.h"

#include <string.h>

static bool take_gate(gm_graph *graph, gm_node *norm)
{
    const gm_node *mul = gm_made_by(graph, norm->inputs[4], "Mul"), *step = NULL;
    gm_value_id dy = 0, *inputs;
    gm_attribute *attributes;
    if (!mul || gm_use_count(graph, norm->inputs[4]) != 1)
        return false;
    for (int i = 0; i < 2 && !step; i++) {
        step = gm_made_by(graph, mul->inputs[i], "Step");
        dy = mul->inputs[1 - i];
    }
    if (!step || !gm_same_type_and_shape(gm_value_of(graph, dy), gm_value_of(graph, norm->inputs[0])) ||
        !gm_same_type_and_shape(gm_value_of(graph, step->inputs[0]), gm_value_of(graph, norm->inputs[0])))
        return false;
    inputs = gm_pool_array(graph->pool, 6, sizeof *inputs);
    attributes = gm_pool_array(graph->pool, norm->attribute_count + 1, sizeof *attributes);
    if (!inputs || !attributes)
        return graph->status = GM_ERROR_MEMORY, false;
    memcpy(inputs, norm->inputs, 4 * sizeof *inputs);
    inputs[4] = dy;
    inputs[5] = step->inputs[0];
    if (norm->attribute_count)
        memcpy(attributes, norm->attributes, norm->attribute_count * sizeof *attributes);
    attributes[norm->attribute_count++] = gm_attribute_float("slope", gm_node_float(step, "slope", 0.0));
    norm->attributes = attributes;
    norm->inputs = inputs;
    norm->input_count = 6;
    return true;
}

gm_status gm_graph_gate_normalization(gm_graph *graph)
{
    bool changed = false;
    if (graph->status != GM_OK)
        return graph->status;
    for (size_t n = 0; n < graph->node_count; n++) {
        gm_node *norm = &graph->nodes[n];
        if (!norm->dead && strcmp(norm->op->name, "BatchNormalizationGrad") == 0 && norm->input_count == 5)
            changed |= take_gate(graph, norm);
    }
    if (graph->status == GM_OK && changed)
        GM_TRY(gm_graph_remove_dead(graph));
    return graph->status;
}
