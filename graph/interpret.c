/* Runs graphs with the reference kernels. */
#include "graph/interpret.h"

#include "graph/operator.h"

#include <string.h>

static gm_status describe(const gm_graph *graph, gm_value_id id, gm_tensor *tensor)
{
    const gm_value *value = gm_value_of(graph, id);
    memset(tensor, 0, sizeof *tensor);
    tensor->type = value->type;
    tensor->rank = value->rank;
    for (int i = 0; i < value->rank; i++) {
        if (!gm_dim_is_known(value->dims[i]))
            return gm_fail(graph->context, GM_ERROR_ARGUMENT, "value '%s' has a symbolic shape; bind it first",
                           value->name);
        tensor->dims[i] = value->dims[i];
    }
    return GM_OK;
}

gm_status gm_node_interpret(const gm_graph *graph, const gm_node *node, gm_pool *pool, const gm_tensor *in,
                            gm_tensor *out, uint64_t seed, uint64_t run)
{
    gm_compute compute = {graph->context, node, in, out, seed, run, 0, 1};
    const gm_attribute *own_seed = gm_node_attribute(node, "seed");
    if (!node->op->reference)
        return gm_fail(graph->context, GM_ERROR_UNSUPPORTED, "operator %s has no reference kernel", node->op->name);
    if (own_seed) {
        compute.key = own_seed->kind == GM_ATTRIBUTE_INT ? (uint64_t)own_seed->i : (uint64_t)(int64_t)own_seed->f;
        compute.run = 0;
    }
    compute.key ^= gm_hash64(node->path ? node->path : "");
    for (size_t i = 0; i < node->output_count; i++) {
        gm_tensor *fresh;
        if (!node->outputs[i]) {
            memset(&out[i], 0, sizeof out[i]);
            continue;
        }
        GM_TRY(describe(graph, node->outputs[i], &out[i]));
        fresh = gm_tensor_create(pool, out[i].type, out[i].rank, out[i].dims);
        if (!fresh)
            return GM_ERROR_MEMORY;
        out[i] = *fresh;
    }
    return node->op->reference(&compute);
}

gm_status gm_graph_interpret(const gm_graph *graph, gm_pool *pool, const gm_tensor *const *inputs,
                             const gm_tensor *const *states, uint64_t seed, uint64_t run, gm_tensor **values_out)
{
    gm_tensor *values = gm_pool_array(pool, graph->value_count, sizeof *values);
    if (!values)
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < graph->input_count; i++)
        values[graph->inputs[i].value] = *inputs[i];
    for (size_t i = 1; i < graph->value_count; i++) {
        if (graph->values[i].kind == GM_VALUE_CONSTANT)
            values[i] = *graph->values[i].constant;
        else if (graph->values[i].kind == GM_VALUE_STATE && states)
            values[i] = *states[graph->values[i].state];
    }
    for (size_t n = 0; n < graph->node_count; n++) {
        const gm_node *node = &graph->nodes[n];
        gm_tensor *in, *out;
        if (node->dead)
            continue;
        in = gm_pool_array(pool, node->input_count + 1, sizeof *in);
        out = gm_pool_array(pool, node->output_count + 1, sizeof *out);
        if (!in || !out)
            return GM_ERROR_MEMORY;
        for (size_t i = 0; i < node->input_count; i++)
            if (node->inputs[i])
                in[i] = values[node->inputs[i]];
        GM_TRY(gm_node_interpret(graph, node, pool, in, out, seed, run));
        for (size_t i = 0; i < node->output_count; i++)
            if (node->outputs[i])
                values[node->outputs[i]] = out[i];
    }
    *values_out = values;
    return GM_OK;
}

static bool is_computable(const gm_graph *graph, const gm_node *node)
{
    if (node->dead || node->body || !node->op->reference || (node->op->flags & (GM_OP_RANDOM | GM_OP_UPDATE)))
        return false;
    for (size_t i = 0; i < node->input_count; i++)
        if (node->inputs[i] && graph->values[node->inputs[i]].kind != GM_VALUE_CONSTANT)
            return false;
    for (size_t i = 0; i < node->output_count; i++) {
        const gm_value *value = node->outputs[i] ? &graph->values[node->outputs[i]] : NULL;
        if (value && !gm_type_bytes(value->type))
            return false;
        for (int k = 0; value && k < value->rank; k++)
            if (!gm_dim_is_known(value->dims[k]))
                return false;
    }
    return true;
}

#define CHEAP_ELEMENTS 1048576            /* that a node may give at load */
#define HEAVY_STEPS    (INT64_C(1) << 27) /* outputs times elements of the smallest input */

bool gm_node_is_cheap(const gm_graph *graph, const gm_node *node, int64_t most)
{
    int64_t in = 0, smallest = INT64_MAX, out = 0;
    for (size_t i = 0; i < node->input_count; i++)
        if (node->inputs[i]) {
            int64_t count = gm_tensor_count(graph->values[node->inputs[i]].constant);
            in += count;
            smallest = count && count < smallest ? count : smallest;
        }
    for (size_t i = 0; i < node->output_count; i++) {
        const gm_value *value = node->outputs[i] ? &graph->values[node->outputs[i]] : NULL;
        int64_t count = 1;
        for (int k = 0; value && k < value->rank; k++)
            count *= value->dims[k];
        out += value ? count : 0;
    }
    if (out > most && out > in)
        return false;
    return !(node->op->flags & GM_OP_HEAVY) || smallest == INT64_MAX || out <= HEAVY_STEPS / smallest;
}

static size_t output_bytes(const gm_graph *graph, const gm_node *node)
{
    size_t bytes = 0;
    for (size_t i = 0; i < node->output_count; i++) {
        const gm_value *value = node->outputs[i] ? &graph->values[node->outputs[i]] : NULL;
        size_t own = value ? gm_type_bytes(value->type) : 0;
        for (int k = 0; value && k < value->rank; k++)
            own *= (size_t)value->dims[k];
        bytes += own + 256; /* and what describes it */
    }
    return bytes;
}

/* Shape and friends: a small integer vector whose elements are all known numbers. */
static const gm_tensor *known_content(gm_graph *graph, gm_value_id id)
{
    const gm_value value = graph->values[id];
    int64_t count = (int64_t)value.content_count;
    gm_tensor *tensor;
    if (!value.content || value.rank > 1)
        return NULL;
    for (int64_t i = 0; i < count; i++)
        if (!gm_dim_is_known(value.content[i]))
            return NULL;
    tensor = gm_tensor_create(graph->pool, value.type, value.rank, &count);
    for (int64_t i = 0; tensor && i < count; i++)
        gm_set_int(tensor, i, value.content[i]);
    return tensor;
}

gm_status gm_node_compute(gm_graph *graph, size_t index, gm_value_id *outputs)
{
    const gm_node *node = &graph->nodes[index];
    gm_tensor *in = gm_pool_array(graph->pool, node->input_count + 1, sizeof *in);
    gm_tensor *out = gm_pool_array(graph->pool, node->output_count + 1, sizeof *out);
    if (!in || !out)
        return graph->status = GM_ERROR_MEMORY;
    if (index + 1 != graph->node_count || node->dead)
        return GM_OK;
    const gm_tensor *content =
        node->output_count == 1 && node->outputs[0] ? known_content(graph, node->outputs[0]) : NULL;
    if (content) {
        outputs[0] = gm_graph_constant(graph, content);
        graph->node_count--;
        return graph->status;
    }
    if (!is_computable(graph, node) || !gm_node_is_cheap(graph, node, CHEAP_ELEMENTS) ||
        output_bytes(graph, node) > *graph->eager)
        return GM_OK;
    *graph->eager -= output_bytes(graph, node);
    for (size_t i = 0; i < node->input_count; i++)
        if (node->inputs[i])
            in[i] = *graph->values[node->inputs[i]].constant;
    gm_status status = gm_node_interpret(graph, node, graph->pool, in, out, 0, 0);
    if (status != GM_OK)
        return graph->status = status;
    for (size_t i = 0; i < node->output_count; i++) {
        gm_tensor *kept = node->outputs[i] ? gm_pool_copy(graph->pool, &out[i], sizeof out[i]) : NULL;
        if (node->outputs[i] && !kept)
            return graph->status = GM_ERROR_MEMORY;
        outputs[i] = kept ? gm_graph_constant(graph, kept) : 0;
    }
    graph->node_count--;
    return graph->status;
}
