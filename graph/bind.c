/* Copies a graph, replacing symbolic dimensions by numbers and chosen random draws by inputs. */
#include "graph/operator.h"

#include <string.h>

typedef struct gm_copy {
    const gm_graph *from;
    gm_graph *to;
    gm_value_id *map;
    const gm_binding *bindings;
    size_t binding_count;
} gm_copy;

static void bound_dims(const gm_copy *copy, const gm_value *value, gm_dim *dims)
{
    for (int i = 0; i < value->rank; i++)
        dims[i] = gm_dim_bind(copy->to->symbols, value->dims[i], copy->bindings, copy->binding_count);
}

static bool is_fed(const gm_node *node, const char *const *fed, size_t fed_count)
{
    if (!(node->op->flags & GM_OP_RANDOM))
        return false;
    for (size_t i = 0; i < fed_count; i++)
        if (node->path && strcmp(node->path, fed[i]) == 0)
            return true;
    return false;
}

static gm_status copy_sources(gm_copy *copy)
{
    const gm_graph *from = copy->from;
    gm_dim dims[GM_MAX_RANK];
    for (size_t i = 0; i < from->input_count; i++) {
        const gm_value *value = gm_value_of(from, from->inputs[i].value);
        bound_dims(copy, value, dims);
        copy->map[from->inputs[i].value] =
            gm_graph_add_input(copy->to, from->inputs[i].name, value->type, value->rank, dims, from->inputs[i].is_draw);
    }
    for (size_t i = 1; i < from->value_count; i++) {
        const gm_value *value = &from->values[i];
        if (value->kind == GM_VALUE_CONSTANT) {
            copy->map[i] = gm_graph_constant(copy->to, value->constant);
        } else if (value->kind == GM_VALUE_STATE) {
            bound_dims(copy, value, dims);
            copy->map[i] = gm_graph_state(copy->to, value->state, value->name, value->type, value->rank, dims);
        }
    }
    return copy->to->status;
}

/* `shape` of a random draw holds gm_dims (see ir.h): the numbers for its symbols are filled in. */
static gm_status bind_shape(gm_copy *copy, const gm_node *node, const gm_attribute **attributes_out)
{
    gm_attribute *attributes;
    *attributes_out = node->attributes;
    if (!(node->op->flags & GM_OP_RANDOM) || !gm_node_attribute(node, "shape"))
        return GM_OK;
    attributes = gm_pool_copy(copy->to->pool, node->attributes, node->attribute_count * sizeof *attributes);
    if (!attributes)
        return copy->to->status = GM_ERROR_MEMORY;
    for (size_t i = 0; i < node->attribute_count; i++) {
        int64_t *dims;
        if (strcmp(attributes[i].name, "shape") != 0 || attributes[i].kind != GM_ATTRIBUTE_INTS)
            continue;
        dims = gm_pool_array(copy->to->pool, attributes[i].count + 1, sizeof *dims);
        if (!dims)
            return copy->to->status = GM_ERROR_MEMORY;
        for (size_t k = 0; k < attributes[i].count; k++)
            dims[k] = gm_dim_bind(copy->to->symbols, attributes[i].ints[k], copy->bindings, copy->binding_count);
        attributes[i].ints = dims;
    }
    *attributes_out = attributes;
    return GM_OK;
}

static gm_status copy_node(gm_copy *copy, const gm_node *node, bool fed)
{
    gm_graph *to = copy->to;
    const gm_attribute *attributes;
    gm_value_id *inputs = gm_pool_array(to->pool, node->input_count + 1, sizeof *inputs);
    gm_value_id *outputs = gm_pool_array(to->pool, node->output_count + 1, sizeof *outputs);
    if (!inputs || !outputs)
        return to->status = GM_ERROR_MEMORY;
    if (fed) {
        gm_dim dims[GM_MAX_RANK];
        const gm_value *value = gm_value_of(copy->from, node->outputs[0]);
        bound_dims(copy, value, dims);
        copy->map[node->outputs[0]] = gm_graph_add_input(to, node->path, value->type, value->rank, dims, true);
        return to->status;
    }
    for (size_t i = 0; i < node->input_count; i++)
        inputs[i] = node->inputs[i] ? copy->map[node->inputs[i]] : 0;
    to->path = node->path;
    to->where = node->where;
    GM_TRY(bind_shape(copy, node, &attributes));
    GM_TRY(gm_graph_add_node(to, node->op, inputs, node->input_count, attributes, node->attribute_count, outputs,
                             node->output_count));
    to->nodes[to->node_count - 1].body = node->body;
    for (size_t i = 0; i < node->output_count; i++) {
        if (!node->outputs[i])
            continue;
        copy->map[node->outputs[i]] = outputs[i];
        if (to->values[outputs[i]].kind == GM_VALUE_NODE)
            to->values[outputs[i]].name = copy->from->values[node->outputs[i]].name;
    }
    return GM_OK;
}

gm_graph *gm_graph_bind(const gm_graph *graph, gm_pool *pool, const gm_binding *bindings, size_t binding_count,
                        const char *const *fed, size_t fed_count, gm_value_id **map_out)
{
    gm_copy copy = {graph, gm_graph_create(pool, graph->symbols, graph->name), NULL, bindings, binding_count};
    copy.map = gm_pool_array(pool, graph->value_count, sizeof *copy.map);
    if (!copy.to || !copy.map || copy_sources(&copy) != GM_OK)
        return NULL;
    copy.to->training = graph->training;
    for (size_t n = 0; n < graph->node_count; n++)
        if (!graph->nodes[n].dead &&
            copy_node(&copy, &graph->nodes[n], is_fed(&graph->nodes[n], fed, fed_count)) != GM_OK)
            return NULL;
    for (size_t i = 0; i < graph->output_count; i++)
        gm_graph_add_output(copy.to, graph->outputs[i].name, copy.map[graph->outputs[i].value]);
    for (size_t i = 0; i < graph->assign_count; i++)
        gm_graph_add_assign(copy.to, graph->assigns[i].state, copy.map[graph->assigns[i].value]);
    copy.to->path = graph->path;
    copy.to->where = graph->where;
    if (map_out)
        *map_out = copy.map;
    return copy.to->status == GM_OK ? copy.to : NULL;
}
