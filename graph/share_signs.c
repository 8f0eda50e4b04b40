/* Rectifier before Dropout: their gradients need the sign of the rectifier's result and the mask. What Dropout kept has that
 * sign wherever the mask lets anything through,
 *   Mul(Where(mask, g, 0), Step(x)) = Mul(Where(mask, g, 0), Step(Where(mask, x * s, 0)))   for s >= 1,
 * and is alive anyway, as the input of the next layer: so x need not be kept from the forward pass to the backward pass. */
#include "graph/operator.h"

#include <string.h>

/* x of x * s and s; s = 1 where there is no such product. */
static gm_value_id unscaled(const gm_graph *graph, gm_value_id id, double *scale_out)
{
    const gm_node *mul = gm_made_by(graph, id, "Mul");
    *scale_out = 1.0;
    for (int i = 0; mul && i < 2; i++)
        if (gm_constant_number(graph, mul->inputs[1 - i], scale_out))
            return mul->inputs[i];
    *scale_out = 1.0;
    return id;
}

/* Where(mask, v, 0): returns its node. */
static const gm_node *masked(const gm_graph *graph, gm_value_id id)
{
    const gm_node *where = gm_made_by(graph, id, "Where");
    double zero;
    return where && gm_constant_number(graph, where->inputs[2], &zero) && zero == 0.0 ? where : NULL;
}

/* The mask under which the other factor of a product with value `step` lets nothing through; 0: there is none. */
static gm_value_id mask_of_reader(const gm_graph *graph, const gm_node *node, gm_value_id step)
{
    double scale;
    const gm_node *where;
    if (strcmp(node->op->name, "Mul") != 0 || node->body || node->inputs[0] == node->inputs[1])
        return 0;
    where = masked(graph, unscaled(graph, node->inputs[node->inputs[0] == step], &scale));
    return where ? where->inputs[0] : 0;
}

/* The mask that all readers of a value multiply it under; 0: not all do, or not under the same. */
static gm_value_id mask_of_all_readers(const gm_graph *graph, gm_value_id step)
{
    gm_value_id mask = 0;
    for (size_t i = 0; i < graph->output_count; i++)
        if (graph->outputs[i].value == step)
            return 0;
    for (size_t i = 0; i < graph->assign_count; i++)
        if (graph->assigns[i].value == step)
            return 0;
    for (size_t n = 0; n < graph->node_count; n++)
        for (size_t i = 0; i < graph->nodes[n].input_count && !graph->nodes[n].dead; i++) {
            gm_value_id here;
            if (graph->nodes[n].inputs[i] != step)
                continue;
            here = mask_of_reader(graph, &graph->nodes[n], step);
            if (!here || (mask && here != mask))
                return 0;
            mask = here;
        }
    return mask;
}

/* Where(mask, x * s, 0) with s >= 1; 0: the graph has none. */
static gm_value_id find_kept(const gm_graph *graph, gm_value_id mask, gm_value_id x)
{
    for (size_t n = 0; n < graph->node_count; n++) {
        const gm_node *where = graph->nodes[n].output_count ? masked(graph, graph->nodes[n].outputs[0]) : NULL;
        double scale;
        if (where && where->inputs[0] == mask && unscaled(graph, where->inputs[1], &scale) == x && scale >= 1.0)
            return where->outputs[0];
    }
    return 0;
}

gm_status gm_graph_share_signs(gm_graph *graph)
{
    bool changed = false;
    if (graph->status != GM_OK)
        return graph->status;
    for (size_t n = 0; n < graph->node_count; n++) {
        gm_node *step = &graph->nodes[n];
        gm_value_id mask, kept;
        if (step->dead || strcmp(step->op->name, "Step") != 0 || !(mask = mask_of_all_readers(graph, step->outputs[0])))
            continue;
        kept = find_kept(graph, mask, step->inputs[0]);
        if (kept) {
            step->inputs[0] = kept;
            changed = true;
        }
    }
    return changed ? gm_graph_sort(graph) : GM_OK;
}
