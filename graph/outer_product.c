/* Outer products: a matrix product that sums over one term only multiplies each row of a column by a row. As a broadcasting
 * Mul it joins the elementwise nodes that read it, and is stored for none of them; a column of ones leaves the row alone.
 *
 *   Gemm(a [M, 1], b [1, N]) = Mul(a, b),  and seen as [M, d...] through Reshape: Mul(a [M, 1, ...], b [1, d...])
 *
 * So the gradient of a layer with one result, the logit of a discriminator, goes into what comes before it. */
#include "graph/operator.h"

#include <string.h>

static bool all_ones(const gm_graph *graph, gm_value_id id)
{
    const gm_tensor *tensor = gm_constant_of(graph, id);
    for (int64_t i = 0; tensor && i < gm_tensor_count(tensor); i++)
        if (gm_get(tensor, i) != 1.0)
            return false;
    return tensor != NULL;
}

static bool is_outer_product(const gm_graph *graph, const gm_node *node)
{
    const gm_value *a;
    if (node->dead || node->body || node->op->domain[0] || strcmp(node->op->name, "Gemm") != 0 ||
        (node->input_count > 2 && node->inputs[2]) || gm_node_float(node, "alpha", 1) != 1)
        return false;
    a = gm_value_of(graph, node->inputs[0]);
    return a->type == GM_FLOAT && gm_shape_is_known(gm_value_of(graph, node->outputs[0])) &&
           a->dims[gm_node_int(node, "transA", 0) ? 0 : 1] == 1;
}

/* A value with these dims, of which those that it does not have are 1: column: all but the first; else the first alone. */
static gm_value_id shaped(gm_graph *graph, gm_value_id id, const gm_value *like, bool column)
{
    int64_t dims[GM_MAX_RANK];
    for (int i = 0; i < like->rank; i++)
        dims[i] = (i > 0) == column ? 1 : like->dims[i];
    return gm_emit2(graph, "Reshape", id, gm_const_ints(graph, dims, (size_t)like->rank));
}

/* The product in the shape of value `id`, [M, d...], in whose place it comes. */
static void put(gm_graph *graph, gm_value_id column, gm_value_id row, gm_value_id id)
{
    gm_value like = *gm_value_of(graph, id);
    gm_value_id wide = shaped(graph, row, &like, false), result;
    if (all_ones(graph, column))
        result = gm_emit2(graph, "Expand", wide, gm_const_ints(graph, like.dims, (size_t)like.rank));
    else
        result = gm_emit2(graph, "Mul", shaped(graph, column, &like, true), wide);
    if (result)
        gm_graph_replace(graph, id, result);
}

/* Reads node `reader` the product as [M, d...] of known dims? */
static bool keeps_rows(const gm_graph *graph, const gm_node *reader, const gm_value *product)
{
    const gm_value *value;
    if (reader->dead || reader->body || strcmp(reader->op->name, "Reshape") != 0)
        return false;
    value = gm_value_of(graph, reader->outputs[0]);
    return value->rank > 1 && gm_shape_is_known(value) && value->dims[0] == product->dims[0];
}

static void rewrite(gm_graph *graph, size_t n)
{
    gm_node node = graph->nodes[n];
    gm_value_id product = node.outputs[0];
    gm_value value = *gm_value_of(graph, product);
    size_t readers = graph->node_count;
    graph->path = node.path;
    graph->where = node.where;
    for (size_t k = n + 1; k < readers && graph->status == GM_OK; k++) {
        gm_node reader = graph->nodes[k];
        if (reader.input_count == 0 || reader.inputs[0] != product || !keeps_rows(graph, &reader, &value))
            continue;
        put(graph, node.inputs[0], node.inputs[1], reader.outputs[0]);
        graph->nodes[k].dead = true;
    }
    put(graph, node.inputs[0], node.inputs[1], product);
    graph->nodes[n].dead = true;
}

gm_status gm_graph_spread_outer_products(gm_graph *graph)
{
    const char *path = graph->path;
    gm_location where = graph->where;
    size_t count = graph->node_count;
    bool changed = false;
    for (size_t n = 0; n < count && graph->status == GM_OK; n++)
        if (is_outer_product(graph, &graph->nodes[n])) {
            rewrite(graph, n);
            changed = true;
        }
    graph->path = path;
    graph->where = where;
    if (!changed || graph->status != GM_OK)
        return graph->status;
    GM_TRY(gm_graph_compact(graph));
    GM_TRY(gm_graph_sort(graph));
    return gm_graph_simplify(graph);
}
