/* Groups elementwise nodes into gmodel.Fused nodes: one pass over memory instead of one per node.
 *
 * Nodes are visited from last to first, and each tries to join the group of its first reader, so that a value made for
 * one reader only (the slope of a rectifier, say) is made where it is read, and never stored. A group stays convex: no
 * path leaves it and comes back. Groups count as one node for that, so no two of them can come to wait for each other.
 */
#include "graph/operator.h"

#include <string.h>

#define MAX_NODES   24 /* limits of one group */
#define MAX_INPUTS  12
#define MAX_OUTPUTS 6
#define NO_UNIT     UINT32_MAX

typedef struct gm_fuser {
    gm_graph *graph;
    uint32_t *unit; /* node -> the last node of its group, or itself */
    uint32_t *head; /* unit -> its first member in the list that `next` makes */
    uint32_t *next; /* node -> another member, NO_UNIT at the end */
    bool *eligible;
    size_t *reader_start; /* value -> its readers: readers[start[v]] ... */
    uint32_t *readers;
    bool *kept;      /* value: an output or an assign of the graph */
    uint32_t *stack; /* of the path search */
    bool *seen;
} gm_fuser;

/* --- Which nodes
 * -------------------------------------------------------------------------------------------------------- */

static bool is_small_constant(const gm_graph *graph, gm_value_id id)
{
    double number;
    return gm_constant_number(graph, id, &number);
}

static bool fits_tiles(const gm_value *value)
{
    return gm_shape_is_known(value) && (value->type == GM_FLOAT || value->type == GM_BOOL);
}

bool gm_node_fusible(const gm_graph *graph, const gm_node *node)
{
    if (node->dead || node->body || !(node->op->flags & GM_OP_ELEMENTWISE) || !node->op->tile_instruction ||
        node->output_count != 1 || !node->outputs[0] || !node->input_count || !node->inputs[0])
        return false;
    for (size_t i = 0; i < node->input_count; i++)
        if (node->inputs[i] && !fits_tiles(gm_value_of(graph, node->inputs[i])) &&
            !is_small_constant(graph, node->inputs[i]))
            return false;
    return fits_tiles(gm_value_of(graph, node->outputs[0]));
}

/* --- What the graph looks like ---------------------------------------------------------------------------------------
 */

static bool index_readers(gm_fuser *f)
{
    gm_graph *graph = f->graph;
    size_t uses = 0;
    for (size_t n = 0; n < graph->node_count; n++)
        uses += graph->nodes[n].input_count;
    f->reader_start = gm_pool_array(graph->pool, graph->value_count + 2, sizeof *f->reader_start);
    f->readers = gm_pool_array(graph->pool, uses + 1, sizeof *f->readers);
    if (!f->reader_start || !f->readers)
        return false;
    for (size_t n = 0; n < graph->node_count; n++)
        for (size_t i = 0; i < graph->nodes[n].input_count; i++)
            f->reader_start[graph->nodes[n].inputs[i] + 2]++;
    for (size_t v = 2; v < graph->value_count + 2; v++)
        f->reader_start[v] += f->reader_start[v - 1];
    for (size_t n = 0; n < graph->node_count; n++)
        for (size_t i = 0; i < graph->nodes[n].input_count; i++)
            f->readers[f->reader_start[graph->nodes[n].inputs[i] + 1]++] = (uint32_t)n;
    return true;
}

static bool prepare(gm_fuser *f)
{
    gm_graph *graph = f->graph;
    f->unit = gm_pool_array(graph->pool, graph->node_count + 1, sizeof *f->unit);
    f->head = gm_pool_array(graph->pool, graph->node_count + 1, sizeof *f->head);
    f->next = gm_pool_array(graph->pool, graph->node_count + 1, sizeof *f->next);
    f->eligible = gm_pool_array(graph->pool, graph->node_count + 1, sizeof *f->eligible);
    f->kept = gm_pool_array(graph->pool, graph->value_count + 1, sizeof *f->kept);
    f->stack = gm_pool_array(graph->pool, graph->node_count + 1, sizeof *f->stack);
    f->seen = gm_pool_array(graph->pool, graph->node_count + 1, sizeof *f->seen);
    if (!f->unit || !f->head || !f->next || !f->eligible || !f->kept || !f->stack || !f->seen || !index_readers(f))
        return false;
    for (size_t n = 0; n < graph->node_count; n++) {
        f->unit[n] = f->head[n] = (uint32_t)n;
        f->next[n] = NO_UNIT;
        f->eligible[n] = gm_node_fusible(graph, &graph->nodes[n]);
    }
    for (size_t i = 0; i < graph->output_count; i++)
        f->kept[graph->outputs[i].value] = true;
    for (size_t i = 0; i < graph->assign_count; i++)
        f->kept[graph->assigns[i].value] = true;
    return true;
}

static bool same_shape(const gm_graph *graph, size_t a, size_t b)
{
    const gm_value *x = gm_value_of(graph, graph->nodes[a].outputs[0]);
    const gm_value *y = gm_value_of(graph, graph->nodes[b].outputs[0]);
    return x->rank == y->rank && memcmp(x->dims, y->dims, (size_t)x->rank * sizeof x->dims[0]) == 0;
}

static uint32_t producer(const gm_graph *graph, gm_value_id id)
{
    const gm_value *value = gm_value_of(graph, id);
    return id && value->kind == GM_VALUE_NODE ? value->node : NO_UNIT;
}

/* --- Legality
 * ---------------------------------------------------------------------------------------------------------- */

/* Pushes the units that unit `at` reads from, itself not. True when one of them is `wanted`. */
static bool push_sources(gm_fuser *f, uint32_t at, uint32_t wanted, size_t *depth)
{
    const gm_graph *graph = f->graph;
    bool found = false;
    for (uint32_t n = f->head[at]; n != NO_UNIT; n = f->next[n])
        for (size_t i = 0; i < graph->nodes[n].input_count; i++) {
            uint32_t from = producer(graph, graph->nodes[n].inputs[i]);
            uint32_t unit = from == NO_UNIT ? NO_UNIT : f->unit[from];
            found = found || (unit == wanted && unit != NO_UNIT);
            if (unit == NO_UNIT || unit == wanted || f->seen[unit])
                continue;
            f->seen[unit] = true;
            f->stack[(*depth)++] = unit;
        }
    return found;
}

/* Is there a path from unit `from` to unit `to` through some other unit? Walks backward from `to`. */
static bool reaches_around(gm_fuser *f, uint32_t from, uint32_t to)
{
    size_t depth = 0;
    memset(f->seen, 0, f->graph->node_count * sizeof *f->seen);
    f->seen[to] = true;
    push_sources(f, to, from, &depth); /* a direct edge is no way around */
    while (depth)
        if (push_sources(f, f->stack[--depth], from, &depth))
            return true;
    return false;
}

/* Inputs and outputs that a group has: values from outside, values read outside. */
typedef struct gm_group {
    gm_value_id inputs[MAX_INPUTS + 1], outputs[MAX_OUTPUTS + 1];
    size_t input_count, output_count, nodes;
    bool fits;
} gm_group;

static void add_once(gm_value_id *list, size_t *count, size_t limit, gm_value_id id, bool *fits)
{
    for (size_t i = 0; i < *count; i++)
        if (list[i] == id)
            return;
    if (*count == limit)
        *fits = false;
    else
        list[(*count)++] = id;
}

static bool inside(const gm_fuser *f, size_t node, uint32_t a, uint32_t b)
{
    return f->unit[node] == a || f->unit[node] == b;
}

/* Adds what unit `unit` brings into the group that units a and b (maybe equal) make together. */
static void describe_members(const gm_fuser *f, uint32_t unit, uint32_t a, uint32_t b, gm_group *group)
{
    const gm_graph *graph = f->graph;
    for (uint32_t n = f->head[unit]; n != NO_UNIT && group->fits; n = f->next[n]) {
        const gm_node *node = &graph->nodes[n];
        gm_value_id out = node->outputs[0];
        bool read_outside;
        group->nodes++;
        for (size_t i = 0; i < node->input_count; i++) {
            uint32_t from = producer(graph, node->inputs[i]);
            if (node->inputs[i] && (from == NO_UNIT || !inside(f, from, a, b)) &&
                !is_small_constant(graph, node->inputs[i]))
                add_once(group->inputs, &group->input_count, MAX_INPUTS, node->inputs[i], &group->fits);
        }
        read_outside = f->kept[out];
        for (size_t r = f->reader_start[out]; r < f->reader_start[out + 1] && !read_outside; r++)
            read_outside = !inside(f, f->readers[r], a, b);
        if (read_outside)
            add_once(group->outputs, &group->output_count, MAX_OUTPUTS, out, &group->fits);
    }
}

static void describe_group(const gm_fuser *f, uint32_t a, uint32_t b, gm_group *group)
{
    memset(group, 0, sizeof *group);
    group->fits = true;
    describe_members(f, a, a, b, group);
    if (a != b)
        describe_members(f, b, a, b, group);
    group->fits = group->fits && group->nodes <= MAX_NODES && group->input_count > 0;
}

/* --- Grouping
 * ---------------------------------------------------------------------------------------------------------- */

static bool may_merge(gm_fuser *f, uint32_t a, uint32_t b)
{
    gm_group group;
    if (!f->eligible[a] || !f->eligible[b] || !same_shape(f->graph, a, b))
        return false;
    describe_group(f, a, b, &group);
    return group.fits && !reaches_around(f, a, b) && !reaches_around(f, b, a);
}

static void merge_units(gm_fuser *f, uint32_t a, uint32_t b)
{
    uint32_t name = a > b ? a : b, other = a > b ? b : a, last = f->head[other];
    for (uint32_t n = f->head[other]; n != NO_UNIT; n = f->next[n]) {
        f->unit[n] = name;
        last = n;
    }
    f->next[last] = f->head[name];
    f->head[name] = f->head[other];
}

/* The unit of the node joins that of its first reader that it may. A value that several units read becomes an output of
 * the group all the same; only a value kept by the graph or read by nodes of another kind alone finds no group. */
static void join_reader(gm_fuser *f, uint32_t n)
{
    gm_value_id out = f->graph->nodes[n].outputs[0];
    for (size_t r = f->reader_start[out]; r < f->reader_start[out + 1]; r++) {
        uint32_t unit = f->unit[f->readers[r]], own = f->unit[n];
        if (unit != own && may_merge(f, own, unit)) {
            merge_units(f, own, unit);
            return;
        }
    }
}

static void group_nodes(gm_fuser *f)
{
    for (size_t n = f->graph->node_count; n-- > 0;)
        if (f->eligible[n])
            join_reader(f, (uint32_t)n);
}

/* --- Rebuilding
 * -------------------------------------------------------------------------------------------------------- */

static gm_value_id body_input(gm_graph *body, gm_value_id *map, const gm_graph *graph, gm_value_id id)
{
    const gm_value *value = gm_value_of(graph, id);
    if (!map[id])
        map[id] = is_small_constant(graph, id)
                      ? gm_graph_constant(body, value->constant)
                      : gm_graph_add_input(body, value->name, value->type, value->rank, value->dims, false);
    return map[id];
}

/* The members, copied into a graph of their own. */
static gm_graph *build_body(gm_fuser *f, uint32_t unit, const gm_group *group)
{
    gm_graph *graph = f->graph, *body = gm_graph_create(graph->pool, graph->symbols, "fused");
    gm_value_id *map = gm_pool_array(graph->pool, graph->value_count, sizeof *map);
    if (!body || !map)
        return NULL;
    for (size_t i = 0; i < group->input_count; i++)
        body_input(body, map, graph, group->inputs[i]);
    for (size_t n = 0; n <= unit; n++) {
        const gm_node *node = &graph->nodes[n];
        gm_value_id *inputs;
        if (f->unit[n] != unit)
            continue;
        inputs = gm_pool_array(graph->pool, node->input_count + 1, sizeof *inputs);
        if (!inputs)
            return NULL;
        for (size_t i = 0; i < node->input_count; i++)
            inputs[i] = node->inputs[i] ? body_input(body, map, graph, node->inputs[i]) : 0;
        body->path = node->path;
        body->where = node->where;
        if (gm_graph_add_node(body, node->op, inputs, node->input_count, node->attributes, node->attribute_count,
                              &map[node->outputs[0]], 1) != GM_OK)
            return NULL;
    }
    for (size_t o = 0; o < group->output_count; o++)
        gm_graph_add_output(body, gm_value_of(graph, group->outputs[o])->name, map[group->outputs[o]]);
    return body->status == GM_OK ? body : NULL;
}

/* The last member's place takes the group; the outputs stay the same values. */
static gm_status replace_group(gm_fuser *f, uint32_t unit, const gm_operator *fused)
{
    gm_graph *graph = f->graph;
    gm_node *node = &graph->nodes[unit];
    gm_graph *body;
    gm_group group;
    describe_group(f, unit, unit, &group);
    if (group.nodes < 2 || !group.output_count)
        return GM_OK;
    body = build_body(f, unit, &group);
    if (!body)
        return graph->status = GM_ERROR_MEMORY;
    for (uint32_t n = f->head[unit]; n != NO_UNIT; n = f->next[n]) {
        graph->nodes[n].dead = n != unit;
        graph->values[graph->nodes[n].outputs[0]].node = unit;
    }
    node->op = fused;
    node->body = body;
    node->attributes = NULL;
    node->attribute_count = 0;
    node->input_count = group.input_count;
    node->output_count = group.output_count;
    node->inputs = gm_pool_copy(graph->pool, group.inputs, group.input_count * sizeof *group.inputs);
    node->outputs = gm_pool_copy(graph->pool, group.outputs, group.output_count * sizeof *group.outputs);
    if (!node->inputs || !node->outputs)
        return graph->status = GM_ERROR_MEMORY;
    for (size_t o = 0; o < group.output_count; o++) {
        graph->values[group.outputs[o]].node = unit;
        graph->values[group.outputs[o]].output = (uint32_t)o;
    }
    return GM_OK;
}

gm_status gm_graph_fuse(gm_graph *graph)
{
    const gm_operator *fused = gm_operator_find_name("gmodel.Fused");
    gm_fuser f = {.graph = graph};
    if (graph->status != GM_OK || !fused)
        return graph->status;
    GM_TRY(gm_graph_remove_dead(graph)); /* dead readers would make outputs that nobody wants */
    if (!prepare(&f))
        return graph->status = GM_ERROR_MEMORY;
    group_nodes(&f);
    for (size_t n = 0; n < graph->node_count; n++)
        if (f.unit[n] == n && f.eligible[n])
            GM_TRY(replace_group(&f, (uint32_t)n, fused));
    GM_TRY(gm_graph_compact(graph));
    return gm_graph_sort(graph);
}
