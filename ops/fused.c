/* gmodel.Fused: a group of elementwise nodes as one node. The tile machine runs it (ops/tile.c); here are its shapes and its
 * reference kernel, which runs the body node by node. */
#include "ops/tile.h"

#include "graph/interpret.h"

#include <string.h>

static gm_status fused_infer(gm_graph *graph, gm_node *node)
{
    const gm_graph *body = node->body;
    for (size_t o = 0; body && o < node->output_count && o < body->output_count; o++) {
        const gm_value *value = gm_value_of(body, body->outputs[o].value);
        gm_set_output(graph, node, o, value->type, value->rank, value->dims);
    }
    return graph->status;
}

/* Runs the body node by node. Draws inside have paths, and so keys, of their own. */
static gm_status fused_reference(const gm_compute *compute)
{
    const gm_node *node = compute->node;
    const gm_graph *body = node->body;
    gm_pool *pool = gm_pool_create(compute->context);
    const gm_tensor **inputs = pool ? gm_pool_array(pool, node->input_count + 1, sizeof *inputs) : NULL;
    uint64_t seed = compute->key ^ gm_hash64(node->path ? node->path : "");
    gm_tensor *values = NULL;
    gm_status status = inputs ? GM_OK : GM_ERROR_MEMORY;
    for (size_t i = 0; inputs && i < node->input_count; i++)
        inputs[i] = &compute->in[i];
    if (status == GM_OK)
        status = gm_graph_interpret(body, pool, inputs, NULL, seed, compute->run, &values);
    for (size_t o = 0; status == GM_OK && o < node->output_count; o++)
        if (compute->out[o].data)
            memcpy(compute->out[o].data, values[body->outputs[o].value].data, gm_tensor_bytes(&compute->out[o]));
    gm_pool_destroy(pool);
    return status;
}

/* A group of elementwise nodes (node->body): inputs and outputs are those of the body, in order. Made by gm_graph_fuse.
 */
const gm_operator gm_op_fused = {.domain = "gmodel",
                                 .name = "Fused",
                                 .since = 1,
                                 .inputs = "X",
                                 .outputs = "Y...",
                                 .types = 0,
                                 .flags = GM_OP_VARIADIC,
                                 .infer = fused_infer,
                                 .reference = fused_reference,
                                 .lower = gm_tile_lower};
