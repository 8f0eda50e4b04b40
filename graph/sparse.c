/* Sparse updates. A table that a loss reaches through Gather on axis 0 alone has the gradient
 *
 *     GatherGrad(rows, ids, shape) [+ GatherGrad(rows', ids', shape) ...]
 *
 * which is zero but for the rows that were gathered. Where its optimizer does nothing for a zero gradient, the pairs
 * (ids, rows) go straight into an update of these rows: gmodel.SGD becomes gmodel.SparseSGD for this table, and the
 * gradient of the table's size is made no more, unless something else reads it. Exact: the same numbers. */
#include "graph/operator.h"

#include <string.h>

#define MOST_TERMS 1000 /* of one sum: a table that is gathered more often is updated as a whole */

/* (ids, rows) of one table. */
typedef struct sparse_gradient {
    gm_value_id *pairs; /* ids, rows, ids, rows ... */
    size_t count, capacity;
} sparse_gradient;

/* The place of a parameter in the inputs of an optimizer; see ops/optimizer.c. */
typedef struct sparse_place {
    size_t parameters, slots, head, given;
} sparse_place;

static bool same_dims(const gm_dim *a, const gm_dim *b, int count)
{
    return count == 0 || memcmp(a, b, (size_t)count * sizeof *a) == 0;
}

/* GatherGrad on axis 0 whose rows are shaped as Gather's result. */
static bool is_scatter(const gm_graph *graph, const gm_node *node, const gm_value *x)
{
    const gm_value *rows, *ids;
    int64_t axis = gm_node_int(node, "axis", 0);
    if (strcmp(node->op->name, "GatherGrad") != 0 || (axis != 0 && axis != -x->rank))
        return false;
    rows = gm_value_of(graph, node->inputs[0]);
    ids = gm_value_of(graph, node->inputs[1]);
    return rows->rank == ids->rank + x->rank - 1 && same_dims(rows->dims, ids->dims, ids->rank) &&
           same_dims(rows->dims + ids->rank, x->dims + 1, x->rank - 1);
}

/* Takes `gradient` apart into the terms of its sum, in their order. *whole_out: all of them are gathered rows. */
static gm_status take_apart(gm_graph *graph, gm_value_id gradient, const gm_value *x, int depth, sparse_gradient *found,
                            bool *whole_out)
{
    const gm_node *node = gm_producer_of(graph, gradient);
    const gm_value *value = gm_value_of(graph, gradient);
    *whole_out = false;
    if (!node || depth > MOST_TERMS || value->rank != x->rank || !same_dims(value->dims, x->dims, x->rank))
        return GM_OK;
    if (strcmp(node->op->name, "Add") == 0) {
        GM_TRY(take_apart(graph, node->inputs[0], x, depth + 1, found, whole_out));
        return *whole_out ? take_apart(graph, node->inputs[1], x, depth + 1, found, whole_out) : GM_OK;
    }
    if (!is_scatter(graph, node, x))
        return GM_OK;
    if (!gm_pool_grow(graph->pool, (void **)&found->pairs, &found->capacity, found->count + 2, sizeof *found->pairs))
        return graph->status = GM_ERROR_MEMORY;
    found->pairs[found->count++] = node->inputs[1];
    found->pairs[found->count++] = node->inputs[0];
    *whole_out = true;
    return GM_OK;
}

static bool is_read(const gm_graph *graph, gm_value_id id)
{
    for (size_t n = 0; n < graph->node_count; n++)
        for (size_t i = 0; !graph->nodes[n].dead && i < graph->nodes[n].input_count; i++)
            if (graph->nodes[n].inputs[i] == id)
                return true;
    return false;
}

static sparse_place place_of(const gm_node *node, size_t slots)
{
    sparse_place place = {.parameters = node->output_count / (1 + slots), .slots = slots};
    place.head = (size_t)node->op->update_input(node, 0);
    place.given = node->input_count - place.head - place.parameters * (2 + slots);
    return place;
}

/* May parameter p of the node be updated by rows? A table whose new value the step reads (`update`) is left as it is. */
static gm_status find_rows(gm_graph *graph, const gm_node *node, const sparse_place *place, size_t p, const bool *keep,
                           sparse_gradient *found, bool *can_out)
{
    *can_out = false;
    found->count = 0;
    for (size_t k = 0; k <= place->slots; k++) {
        gm_value_id output = node->outputs[k * place->parameters + p];
        const gm_value *state =
            gm_value_of(graph, node->inputs[node->op->update_input(node, k * place->parameters + p)]);
        if (!output || is_read(graph, output) || state->kind != GM_VALUE_STATE || state->type != GM_FLOAT ||
            (keep && keep[state->state]))
            return GM_OK;
    }
    return take_apart(graph, node->inputs[place->head + place->parameters + p],
                      gm_value_of(graph, node->inputs[place->head + p]), 0, found, can_out);
}

/* The attributes that the operator of rows has too; the others have no effect here. */
static size_t kept_attributes(const gm_node *node, const gm_operator *op, gm_attribute *kept)
{
    size_t count = 0;
    for (size_t i = 0; i < node->attribute_count; i++)
        for (size_t k = 0; k < op->attribute_count; k++)
            if (strcmp(op->attributes[k].name, node->attributes[i].name) == 0)
                kept[count++] = node->attributes[i];
    return count;
}

static gm_status emit_rows(gm_graph *graph, gm_node node, const sparse_place *place, size_t p,
                           const sparse_gradient *found)
{
    const gm_operator *op = gm_operator_find_name(node.op->row_update);
    gm_value_id *inputs =
        gm_pool_array(graph->pool, place->head + 1 + place->slots + found->count + place->given, sizeof *inputs);
    gm_value_id *outputs = gm_pool_array(graph->pool, 1 + place->slots, sizeof *outputs);
    gm_attribute *attributes = gm_pool_array(graph->pool, node.attribute_count + 1, sizeof *attributes);
    size_t count = 0;
    if (!inputs || !outputs || !attributes)
        return graph->status = GM_ERROR_MEMORY;
    for (size_t i = 0; i < place->head; i++)
        inputs[count++] = node.inputs[i];
    for (size_t k = 0; k <= place->slots; k++)
        inputs[count++] = node.inputs[node.op->update_input(&node, k * place->parameters + p)];
    for (size_t i = 0; i < found->count; i++)
        inputs[count++] = found->pairs[i];
    for (size_t i = node.input_count - place->given; i < node.input_count; i++)
        inputs[count++] = node.inputs[i];
    graph->path = node.path;
    graph->where = node.where;
    GM_TRY(gm_graph_add_node(graph, op, inputs, count, attributes, kept_attributes(&node, op, attributes), outputs,
                             1 + place->slots));
    for (size_t k = 0; k <= place->slots; k++)
        gm_graph_replace(graph, node.outputs[k * place->parameters + p], outputs[k]);
    return graph->status;
}

/* Takes the parameters out of the node that are updated by rows; without others it goes. */
static void leave_others(gm_graph *graph, gm_node *node, const sparse_place *place, const bool *by_rows)
{
    size_t in = place->head, out = 0;
    for (size_t role = 0; role < 2 + place->slots; role++)
        for (size_t p = 0; p < place->parameters; p++)
            if (!by_rows[p])
                node->inputs[in++] = node->inputs[place->head + role * place->parameters + p];
    for (size_t i = node->input_count - place->given; i < node->input_count; i++)
        node->inputs[in++] = node->inputs[i];
    for (size_t k = 0; k <= place->slots; k++)
        for (size_t p = 0; p < place->parameters; p++)
            if (!by_rows[p]) {
                gm_value_id id = node->outputs[k * place->parameters + p];
                gm_value_of(graph, id)->output = (uint32_t)out;
                node->outputs[out++] = id;
            }
    node->input_count = in;
    node->output_count = out;
    node->dead = out == 0;
}

static gm_status sparsify_node(gm_graph *graph, size_t index, const bool *keep)
{
    gm_node node = graph->nodes[index]; /* a copy: the array may move */
    size_t least, most, least_out, slots, found_some = 0;
    sparse_gradient found = {0};
    sparse_place place;
    bool *by_rows;
    gm_operator_arity(gm_operator_find_name(node.op->row_update), &least, &most, &least_out, &slots);
    slots = least_out - 1;
    place = place_of(&node, slots);
    by_rows = gm_pool_array(graph->pool, place.parameters + 1, sizeof *by_rows);
    if (!by_rows)
        return graph->status = GM_ERROR_MEMORY;
    for (size_t p = 0; p < place.parameters; p++) {
        GM_TRY(find_rows(graph, &node, &place, p, keep, &found, &by_rows[p]));
        if (by_rows[p])
            GM_TRY(emit_rows(graph, node, &place, p, &found));
        found_some += by_rows[p];
    }
    if (found_some)
        leave_others(graph, &graph->nodes[index], &place, by_rows);
    return GM_OK;
}

gm_status gm_graph_sparsify(gm_graph *graph, const bool *keep)
{
    size_t count = graph->node_count;
    const char *path = graph->path;
    gm_location where = graph->where;
    for (size_t n = 0; n < count && graph->status == GM_OK; n++)
        if (graph->nodes[n].op->row_update && graph->nodes[n].op->is_idle(&graph->nodes[n]))
            GM_TRY(sparsify_node(graph, n, keep));
    graph->path = path;
    graph->where = where;
    return gm_graph_remove_dead(graph);
}
