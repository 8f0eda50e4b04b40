/* Rewrites that keep the meaning: folding, simplification, common subexpressions, dead code, order. */
#include "graph/interpret.h"
#include "graph/operator.h"

#include <string.h>

static gm_status no_memory(gm_graph *graph)
{
    return graph->status = GM_ERROR_MEMORY;
}

void gm_graph_replace(gm_graph *graph, gm_value_id old_value, gm_value_id new_value)
{
    if (old_value == new_value)
        return;
    for (size_t n = 0; n < graph->node_count; n++)
        for (size_t i = 0; i < graph->nodes[n].input_count; i++)
            if (graph->nodes[n].inputs[i] == old_value)
                graph->nodes[n].inputs[i] = new_value;
    for (size_t i = 0; i < graph->output_count; i++)
        if (graph->outputs[i].value == old_value)
            graph->outputs[i].value = new_value;
    for (size_t i = 0; i < graph->assign_count; i++)
        if (graph->assigns[i].value == old_value)
            graph->assigns[i].value = new_value;
}

gm_status gm_graph_compact(gm_graph *graph)
{
    size_t kept = 0;
    for (size_t n = 0; n < graph->node_count; n++) {
        if (graph->nodes[n].dead)
            continue;
        if (kept != n)
            graph->nodes[kept] = graph->nodes[n];
        for (size_t i = 0; i < graph->nodes[kept].output_count; i++)
            if (graph->nodes[kept].outputs[i] && graph->values[graph->nodes[kept].outputs[i]].kind == GM_VALUE_NODE)
                graph->values[graph->nodes[kept].outputs[i]].node = (uint32_t)kept;
        kept++;
    }
    graph->node_count = kept;
    return graph->status;
}

/* --- Order: definitions before uses, otherwise as it was (depth first from each node in turn, with an explicit stack)
 * ---- */

gm_status gm_graph_sort(gm_graph *graph)
{
    size_t count = graph->node_count, placed = 0, depth;
    gm_node *sorted = gm_pool_array(graph->pool, count + 1, sizeof *sorted);
    uint8_t *state = gm_pool_array(graph->pool, count + 1, 1); /* 0 new, 1 on the stack, 2 placed */
    size_t *stack = gm_pool_array(graph->pool, count + 1, sizeof *stack);
    size_t *next = gm_pool_array(graph->pool, count + 1, sizeof *next);
    if (!sorted || !state || !stack || !next)
        return no_memory(graph);
    for (size_t root = 0; root < count; root++) {
        if (state[root])
            continue;
        depth = 0;
        stack[depth++] = root;
        state[root] = 1;
        while (depth) {
            size_t n = stack[depth - 1];
            bool pushed = false;
            while (next[n] < graph->nodes[n].input_count && !pushed) {
                gm_value_id input = graph->nodes[n].inputs[next[n]++];
                size_t producer;
                if (!input || graph->values[input].kind != GM_VALUE_NODE)
                    continue;
                producer = graph->values[input].node;
                if (state[producer] == 1)
                    return gm_graph_fail(graph, GM_ERROR_INTERNAL, "the graph has a cycle through node '%s'",
                                         graph->nodes[producer].path);
                if (state[producer] == 0) {
                    state[producer] = 1;
                    stack[depth++] = producer;
                    pushed = true;
                }
            }
            if (pushed)
                continue;
            state[n] = 2;
            sorted[placed++] = graph->nodes[n];
            depth--;
        }
    }
    if (count)
        memcpy(graph->nodes, sorted, count * sizeof *sorted);
    return gm_graph_compact(graph);
}

/* --- Dead code
 * ----------------------------------------------------------------------------------------------------------- */

gm_status gm_graph_remove_dead(gm_graph *graph)
{
    bool *needed = gm_pool_array(graph->pool, graph->value_count, sizeof *needed);
    if (!needed)
        return no_memory(graph);
    for (size_t i = 0; i < graph->output_count; i++)
        needed[graph->outputs[i].value] = true;
    for (size_t i = 0; i < graph->assign_count; i++)
        needed[graph->assigns[i].value] = true;
    for (size_t n = graph->node_count; n-- > 0;) {
        gm_node *node = &graph->nodes[n];
        bool live = false;
        for (size_t i = 0; i < node->output_count && !node->dead; i++)
            live = live || (node->outputs[i] && needed[node->outputs[i]]);
        if (!live) {
            node->dead = true;
            continue;
        }
        for (size_t i = 0; i < node->input_count; i++)
            needed[node->inputs[i]] = true;
    }
    return gm_graph_compact(graph);
}

/* --- Common subexpressions
 * ------------------------------------------------------------------------------------------------ */

static uint64_t mix(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * 0x9E3779B97F4A7C15u ^ (hash >> 29);
}

static uint64_t hash_node(const gm_node *node)
{
    uint64_t hash = mix(gm_hash64(node->op->name), node->input_count);
    for (size_t i = 0; i < node->input_count; i++)
        hash = mix(hash, node->inputs[i]);
    return hash;
}

static bool same_attribute(const gm_attribute *a, const gm_attribute *b)
{
    if (a->kind != b->kind || a->count != b->count || strcmp(a->name, b->name) != 0)
        return false;
    switch (a->kind) {
    case GM_ATTRIBUTE_INT:
        return a->i == b->i;
    case GM_ATTRIBUTE_FLOAT:
        return memcmp(&a->f, &b->f, sizeof a->f) == 0;
    case GM_ATTRIBUTE_STRING:
        return strcmp(a->s, b->s) == 0;
    case GM_ATTRIBUTE_INTS:
        return memcmp(a->ints, b->ints, a->count * sizeof *a->ints) == 0;
    case GM_ATTRIBUTE_FLOATS:
        return memcmp(a->floats, b->floats, a->count * sizeof *a->floats) == 0;
    case GM_ATTRIBUTE_TENSOR:
        return a->t == b->t;
    default:
        return false;
    }
}

bool gm_same_attributes(const gm_node *a, const gm_node *b)
{
    if (a->attribute_count != b->attribute_count)
        return false;
    for (size_t i = 0; i < a->attribute_count; i++)
        if (!same_attribute(&a->attributes[i], &b->attributes[i]))
            return false;
    return true;
}

static bool same_node(const gm_node *a, const gm_node *b)
{
    if (a->op != b->op || a->input_count != b->input_count || a->body || b->body || a->output_count != b->output_count)
        return false;
    if (memcmp(a->inputs, b->inputs, a->input_count * sizeof *a->inputs) != 0)
        return false;
    return gm_same_attributes(a, b);
}

static bool same_constant(const gm_tensor *a, const gm_tensor *b)
{
    return a->type == b->type && gm_type_bytes(a->type) && gm_tensor_same_shape(a, b) &&
           memcmp(a->data, b->data, gm_tensor_bytes(a)) == 0;
}

/* Equal constants become one value, so that equal nodes are found above them. */
static void merge_constants(gm_graph *graph, gm_value_id *map)
{
    for (size_t i = 1; i < graph->value_count; i++) {
        map[i] = (gm_value_id)i;
        if (graph->values[i].kind != GM_VALUE_CONSTANT || gm_tensor_bytes(graph->values[i].constant) > 256)
            continue;
        for (size_t k = 1; k < i; k++)
            if (map[k] == k && graph->values[k].kind == GM_VALUE_CONSTANT &&
                same_constant(graph->values[k].constant, graph->values[i].constant)) {
                map[i] = (gm_value_id)k;
                break;
            }
    }
}

gm_status gm_graph_merge(gm_graph *graph)
{
    size_t buckets = 64;
    gm_value_id *map = gm_pool_array(graph->pool, graph->value_count, sizeof *map);
    uint32_t *table;
    while (buckets < graph->node_count * 2)
        buckets *= 2;
    table = gm_pool_array(graph->pool, buckets, sizeof *table);
    if (!map || !table)
        return no_memory(graph);
    merge_constants(graph, map);
    for (size_t n = 0; n < graph->node_count; n++) {
        gm_node *node = &graph->nodes[n];
        size_t slot;
        if (node->dead)
            continue;
        for (size_t i = 0; i < node->input_count; i++)
            node->inputs[i] = map[node->inputs[i]];
        if (node->op->flags & (GM_OP_RANDOM | GM_OP_UPDATE))
            continue;
        for (slot = hash_node(node) & (buckets - 1); table[slot]; slot = (slot + 1) & (buckets - 1)) {
            const gm_node *twin = &graph->nodes[table[slot] - 1];
            if (!same_node(twin, node))
                continue;
            for (size_t i = 0; i < node->output_count; i++)
                if (node->outputs[i] && twin->outputs[i])
                    map[node->outputs[i]] = twin->outputs[i];
            node->dead = true;
            break;
        }
        if (!node->dead)
            table[slot] = (uint32_t)(n + 1);
    }
    for (size_t i = 0; i < graph->output_count; i++)
        graph->outputs[i].value = map[graph->outputs[i].value];
    for (size_t i = 0; i < graph->assign_count; i++)
        graph->assigns[i].value = map[graph->assigns[i].value];
    return gm_graph_compact(graph);
}

/* --- Folding
 * ------------------------------------------------------------------------------------------------------------- */

/* A result of up to this many elements is worth computing at load; more only when the constants it comes from are
 * larger. */
#define FOLD_ELEMENTS 4096

static bool can_fold(const gm_graph *graph, const gm_node *node)
{
    if (node->body || !node->op->reference || (node->op->flags & (GM_OP_RANDOM | GM_OP_UPDATE)))
        return false;
    for (size_t i = 0; i < node->input_count; i++) {
        if (!node->inputs[i])
            continue;
        if (graph->values[node->inputs[i]].kind != GM_VALUE_CONSTANT)
            return false;
    }
    for (size_t i = 0; i < node->output_count; i++) {
        const gm_value *value = node->outputs[i] ? &graph->values[node->outputs[i]] : NULL;
        if (value && (!gm_shape_is_known(value) || !gm_type_bytes(value->type)))
            return false;
    }
    return gm_node_is_cheap(graph, node, FOLD_ELEMENTS);
}

static gm_status fold_node(gm_graph *graph, size_t index)
{
    gm_node *node = &graph->nodes[index];
    gm_tensor *in = gm_pool_array(graph->pool, node->input_count + 1, sizeof *in);
    gm_tensor *out = gm_pool_array(graph->pool, node->output_count + 1, sizeof *out);
    if (!in || !out)
        return no_memory(graph);
    for (size_t i = 0; i < node->input_count; i++)
        if (node->inputs[i])
            in[i] = *graph->values[node->inputs[i]].constant;
    GM_TRY(gm_node_interpret(graph, node, graph->pool, in, out, 0, 0));
    for (size_t i = 0; i < node->output_count; i++) {
        gm_tensor *kept;
        if (!node->outputs[i])
            continue;
        kept = gm_pool_copy(graph->pool, &out[i], sizeof out[i]);
        if (!kept)
            return no_memory(graph);
        gm_graph_replace(graph, node->outputs[i], gm_graph_constant(graph, kept));
    }
    graph->nodes[index].dead = true;
    return graph->status;
}

/* Shape and friends: a small integer vector whose elements are all known numbers becomes a constant. */
static bool fold_content(gm_graph *graph, size_t index)
{
    gm_node *node = &graph->nodes[index];
    gm_value_id old = node->output_count == 1 ? node->outputs[0] : 0;
    gm_value value;
    gm_tensor *tensor;
    int64_t dims[1];
    if (!old || !graph->values[old].content)
        return false;
    value = graph->values[old];
    for (size_t i = 0; i < value.content_count; i++)
        if (!gm_dim_is_known(value.content[i]))
            return false;
    dims[0] = (int64_t)value.content_count;
    tensor = gm_tensor_create(graph->pool, value.type, value.rank, dims);
    if (!tensor) {
        no_memory(graph);
        return false;
    }
    for (size_t i = 0; i < value.content_count; i++)
        gm_set_int(tensor, (int64_t)i, value.content[i]);
    gm_graph_replace(graph, old, gm_graph_constant(graph, tensor));
    graph->nodes[index].dead = true;
    return true;
}

/* --- Algebra
 * ------------------------------------------------------------------------------------------------------------- */

static bool is_splat(const gm_graph *graph, gm_value_id id, double number)
{
    double value;
    return gm_constant_number(graph, id, &value) && value == number;
}

typedef struct gm_neutral {
    const char *op;
    int neutral_input; /* which input is the neutral element; -1: the operator keeps its first input when shapes agree
                        */
    double number;
} gm_neutral;

static const gm_neutral neutrals[] = {
    {"Mul", 1, 1.0},    {"Mul", 0, 1.0}, {"Add", 1, 0.0},     {"Add", 0, 0.0},    {"Sub", 1, 0.0},
    {"Div", 1, 1.0},    {"Pow", 1, 1.0}, {"Identity", -1, 0}, {"SumTo", -1, 0},   {"Expand", -1, 0},
    {"Reshape", -1, 0}, {"Cast", -1, 0}, {"Flatten", -1, 0},  {"Squeeze", -1, 0}, {"Unsqueeze", -1, 0},
};

/* x * 1, x + 0, Expand to the shape it has, ...: the value that the node's result equals, or 0. */
static gm_value_id kept_input(const gm_graph *graph, const gm_node *node)
{
    for (size_t i = 0; i < GM_COUNT(neutrals); i++) {
        const gm_neutral *rule = &neutrals[i];
        size_t keep = rule->neutral_input == 0 ? 1 : 0;
        if (strcmp(rule->op, node->op->name) != 0 || keep >= node->input_count || node->body)
            continue;
        if (rule->neutral_input >= 0 && !is_splat(graph, node->inputs[rule->neutral_input], rule->number))
            continue;
        if (gm_same_type_and_shape(gm_value_of(graph, node->inputs[keep]), gm_value_of(graph, node->outputs[0])))
            return node->inputs[keep];
    }
    return 0;
}

/* An elementwise node broadcasts by itself: it need not read an Expand when another input already has the full shape.
 */
static bool skip_expand(gm_graph *graph, gm_node *node)
{
    bool changed = false;
    if (!(node->op->flags & GM_OP_ELEMENTWISE) || node->input_count < 2 || node->body)
        return false;
    for (size_t i = 0; i < node->input_count; i++) {
        const gm_value *value = &graph->values[node->inputs[i]];
        bool other_is_full = false;
        if (!node->inputs[i] || value->kind != GM_VALUE_NODE ||
            strcmp(graph->nodes[value->node].op->name, "Expand") != 0)
            continue;
        for (size_t k = 0; k < node->input_count; k++) {
            const gm_value *other = &graph->values[node->inputs[k]];
            other_is_full = other_is_full || (k != i && node->inputs[k] && node->inputs[k] != node->inputs[i] &&
                                              other->rank == graph->values[node->outputs[0]].rank &&
                                              memcmp(other->dims, graph->values[node->outputs[0]].dims,
                                                     (size_t)other->rank * sizeof other->dims[0]) == 0);
        }
        if (other_is_full) {
            node->inputs[i] = graph->nodes[value->node].inputs[0];
            changed = true;
        }
    }
    return changed;
}

static gm_status fold_once(gm_graph *graph, bool *changed)
{
    size_t count = graph->node_count;
    for (size_t n = 0; n < count && graph->status == GM_OK; n++) {
        gm_node *node = &graph->nodes[n];
        gm_value_id kept;
        if (node->dead)
            continue;
        if (fold_content(graph, n)) {
            *changed = true;
        } else if (can_fold(graph, node)) {
            GM_TRY(fold_node(graph, n));
            *changed = true;
        } else if ((kept = kept_input(graph, node)) != 0) {
            gm_graph_replace(graph, node->outputs[0], kept);
            node->dead = true;
            *changed = true;
        } else if (skip_expand(graph, node)) {
            *changed = true;
        }
    }
    return graph->status;
}

gm_status gm_graph_fold(gm_graph *graph)
{
    bool changed = false;
    GM_TRY(fold_once(graph, &changed));
    return gm_graph_compact(graph);
}

gm_status gm_graph_simplify(gm_graph *graph)
{
    bool changed = true;
    for (int round = 0; changed && round < 16; round++) {
        size_t before = graph->node_count;
        changed = false;
        GM_TRY(fold_once(graph, &changed));
        GM_TRY(gm_graph_compact(graph));
        GM_TRY(gm_graph_merge(graph));
        GM_TRY(gm_graph_remove_dead(graph));
        changed = changed || graph->node_count != before;
    }
    return graph->status;
}
