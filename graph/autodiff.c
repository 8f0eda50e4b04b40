/* Reverse-mode differentiation, graph to graph: gradients are new nodes of the same graph, made by the operators'
 * rules. */
#include "graph/operator.h"

#include <string.h>

typedef struct gm_walk {
    gm_graph *graph;
    size_t value_count; /* values that existed before the walk */
    size_t node_count;
    bool *depends;         /* value depends on one of wrt through differentiable steps */
    gm_value_id *gradient; /* value -> sum of the contributions so far */
} gm_walk;

static bool is_floating(const gm_value *value)
{
    const gm_type_info *info = gm_type_find(value->type);
    return info && info->floating;
}

static void find_dependents(gm_walk *walk, const gm_value_id *wrt, size_t wrt_count)
{
    gm_graph *graph = walk->graph;
    for (size_t i = 0; i < wrt_count; i++)
        if (wrt[i])
            walk->depends[wrt[i]] = true;
    for (size_t n = 0; n < walk->node_count; n++) {
        const gm_node *node = &graph->nodes[n];
        bool any = false;
        if (node->dead || node->op->zero_gradient)
            continue;
        for (size_t i = 0; i < node->input_count && !any; i++)
            any = node->inputs[i] && walk->depends[node->inputs[i]];
        for (size_t i = 0; any && i < node->output_count; i++)
            if (node->outputs[i] && is_floating(&graph->values[node->outputs[i]]))
                walk->depends[node->outputs[i]] = true;
    }
}

static void contribute(gm_walk *walk, gm_value_id value, gm_value_id gradient)
{
    gm_value_id *sum = &walk->gradient[value];
    *sum = *sum ? gm_emit2(walk->graph, "Add", *sum, gradient) : gradient;
}

/* A rule must return gradients shaped as the inputs; anything else is our defect, found here and not by wrong numbers.
 */
static gm_status check_shape(gm_graph *graph, const gm_node *node, size_t input, gm_value_id dx)
{
    const gm_value *x = gm_value_of(graph, node->inputs[input]), *g = gm_value_of(graph, dx);
    char a[160], b[160];
    if (x->type == g->type && x->rank == g->rank && memcmp(x->dims, g->dims, (size_t)x->rank * sizeof x->dims[0]) == 0)
        return GM_OK;
    return gm_graph_fail(graph, GM_ERROR_INTERNAL, "the gradient of %s for input %zu has shape %s, not %s",
                         node->op->name, input, gm_shape_text(graph, dx, a, sizeof a),
                         gm_shape_text(graph, node->inputs[input], b, sizeof b));
}

static gm_status differentiate_node(gm_walk *walk, size_t index, gm_value_id *dy, gm_value_id *dx, bool *wanted)
{
    gm_graph *graph = walk->graph;
    gm_node node = graph->nodes[index]; /* a copy: the array may move */
    gm_gradient rule = {graph, &node, dy, wanted, dx};
    bool any_dy = false, any_wanted = false;
    if (node.dead || node.op->zero_gradient)
        return GM_OK;
    for (size_t i = 0; i < node.output_count; i++) {
        dy[i] = node.outputs[i] ? walk->gradient[node.outputs[i]] : 0;
        any_dy = any_dy || dy[i];
    }
    for (size_t i = 0; i < node.input_count; i++) {
        wanted[i] = node.inputs[i] && walk->depends[node.inputs[i]];
        any_wanted = any_wanted || wanted[i];
        dx[i] = 0;
    }
    if (!any_dy || !any_wanted)
        return GM_OK;
    graph->path = node.path;
    graph->where = node.where;
    if (!node.op->gradient)
        return gm_node_fail(graph, &node, "this operator has no gradient, and a loss needs it");
    gm_status status = node.op->gradient(&rule);
    if (status != GM_OK && graph->status == GM_OK)
        graph->status = status;
    for (size_t i = 0; i < node.input_count && graph->status == GM_OK; i++) {
        if (!wanted[i] || !dx[i])
            continue;
        GM_TRY(check_shape(graph, &node, i, dx[i]));
        contribute(walk, node.inputs[i], dx[i]);
    }
    return graph->status;
}

gm_status gm_autodiff(gm_graph *graph, const gm_value_id *y, const gm_value_id *seeds, size_t y_count,
                      const gm_value_id *wrt, size_t wrt_count, gm_value_id *grads_out)
{
    gm_walk walk = {graph, graph->value_count, graph->node_count, NULL, NULL};
    const char *path = graph->path;
    gm_location where = graph->where;
    size_t widest = 1;
    gm_value_id *dy, *dx;
    bool *wanted;
    memset(grads_out, 0, wrt_count * sizeof *grads_out);
    if (graph->status != GM_OK)
        return graph->status;
    for (size_t n = 0; n < graph->node_count; n++) {
        widest = graph->nodes[n].input_count > widest ? graph->nodes[n].input_count : widest;
        widest = graph->nodes[n].output_count > widest ? graph->nodes[n].output_count : widest;
    }
    walk.depends = gm_pool_array(graph->pool, walk.value_count, sizeof *walk.depends);
    walk.gradient = gm_pool_array(graph->pool, walk.value_count, sizeof *walk.gradient);
    dy = gm_pool_array(graph->pool, widest, sizeof *dy);
    dx = gm_pool_array(graph->pool, widest, sizeof *dx);
    wanted = gm_pool_array(graph->pool, widest, sizeof *wanted);
    if (!walk.depends || !walk.gradient || !dy || !dx || !wanted)
        return graph->status = GM_ERROR_MEMORY;
    find_dependents(&walk, wrt, wrt_count);
    for (size_t k = 0; k < y_count; k++)
        if (y[k] && walk.depends[y[k]])
            contribute(&walk, y[k], seeds && seeds[k] ? seeds[k] : gm_ones_like(graph, y[k]));
    for (size_t n = walk.node_count; n-- > 0 && graph->status == GM_OK;)
        differentiate_node(&walk, n, dy, dx, wanted);
    graph->path = path;
    graph->where = where;
    for (size_t i = 0; i < wrt_count && graph->status == GM_OK; i++)
        grads_out[i] = wrt[i] ? walk.gradient[wrt[i]] : 0;
    return graph->status;
}
