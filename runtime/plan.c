/* Planning: from a symbolic graph to instructions with layouts. */
#include "runtime/plan_internal.h"
#include "runtime/tune.h"

#include <stdio.h>
#include <string.h>

typedef struct gm_reordered {
    uint32_t from, to;
} gm_reordered;

static uint32_t add_buffer(gm_plan *plan, gm_place place, uint32_t index, size_t bytes, gm_layout layout,
                           gm_value_id value)
{
    gm_buffer *buffer;
    if (!gm_pool_grow(plan->pool, (void **)&plan->buffers, &plan->buffer_capacity, plan->buffer_count + 1,
                      sizeof *plan->buffers))
        return GM_NO_BUFFER;
    buffer = &plan->buffers[plan->buffer_count];
    memset(buffer, 0, sizeof *buffer);
    buffer->root = (uint32_t)plan->buffer_count;
    buffer->place = place;
    buffer->index = index;
    buffer->bytes = bytes;
    buffer->layout = layout;
    buffer->value = value;
    return (uint32_t)plan->buffer_count++;
}

uint32_t gm_plan_root(const gm_plan *plan, uint32_t buffer)
{
    while (plan->buffers[buffer].root != buffer)
        buffer = plan->buffers[buffer].root;
    return buffer;
}

static gm_instruction *add_instruction(gm_plan *plan, const char *name, const gm_node *node, size_t in_count,
                                       size_t out_count)
{
    gm_instruction *instruction;
    if (!gm_pool_grow(plan->pool, (void **)&plan->instructions, &plan->instruction_capacity,
                      plan->instruction_count + 1, sizeof *plan->instructions))
        return NULL;
    instruction = &plan->instructions[plan->instruction_count];
    memset(instruction, 0, sizeof *instruction);
    instruction->name = name;
    instruction->node = node;
    instruction->in_count = in_count;
    instruction->out_count = out_count;
    instruction->in = gm_pool_array(plan->pool, in_count + 1, sizeof *instruction->in);
    instruction->out = gm_pool_array(plan->pool, out_count + 1, sizeof *instruction->out);
    instruction->in_place = gm_pool_array(plan->pool, out_count + 1, sizeof *instruction->in_place);
    instruction->in_pointers = gm_pool_array(plan->pool, in_count + 1, sizeof *instruction->in_pointers);
    instruction->out_pointers = gm_pool_array(plan->pool, out_count + 1, sizeof *instruction->out_pointers);
    instruction->scratch = GM_NO_BUFFER;
    if (!instruction->in || !instruction->out || !instruction->in_place || !instruction->in_pointers ||
        !instruction->out_pointers)
        return NULL;
    for (size_t i = 0; i < out_count; i++)
        instruction->in_place[i] = -1;
    plan->instruction_count++;
    return instruction;
}

static gm_status value_bytes(const gm_plan *plan, gm_value_id id, size_t *bytes_out)
{
    const gm_value *value = gm_value_of(plan->graph, id);
    size_t bytes = gm_type_bytes(value->type);
    char text[160];
    if (!bytes)
        return gm_fail(plan->context, GM_ERROR_UNSUPPORTED, "value '%s' has type %s, which cannot be computed with",
                       value->name, gm_type_name(value->type));
    for (int i = 0; i < value->rank; i++) {
        if (!gm_dim_is_known(value->dims[i]))
            return gm_fail(plan->context, GM_ERROR_MODEL,
                           "value '%s' of %s has shape %s, which is not known before running", value->name,
                           plan->graph->name, gm_shape_text(plan->graph, id, text, sizeof text));
        if (value->dims[i] && bytes > ((size_t)1 << 46) / (size_t)value->dims[i])
            return gm_fail(plan->context, GM_ERROR_MEMORY, "value '%s' of %s with shape %s does not fit into memory",
                           value->name, plan->graph->name, gm_shape_text(plan->graph, id, text, sizeof text));
        bytes *= (size_t)value->dims[i];
    }
    *bytes_out = bytes;
    return GM_OK;
}

/* The layout in which a buffer can be offered: of a state entry that nobody has laid out yet, any. */
static gm_layout buffer_layout(const gm_plan *plan, uint32_t buffer)
{
    const gm_buffer *b = &plan->buffers[buffer];
    return b->place == GM_PLACE_STATE && b->root == buffer ? plan->store->entries[b->index].layout : b->layout;
}

/* The buffer of a source value (input, constant, state), made at first use. */
static gm_status source_buffer(gm_plan *plan, gm_value_id id)
{
    const gm_value *value = gm_value_of(plan->graph, id);
    gm_place place = value->kind == GM_VALUE_CONSTANT ? GM_PLACE_CONSTANT
                     : value->kind == GM_VALUE_STATE  ? GM_PLACE_STATE
                                                      : GM_PLACE_INPUT;
    size_t bytes;
    uint32_t buffer;
    if (plan->value_buffer[id] != GM_NO_BUFFER)
        return GM_OK;
    if (value->kind == GM_VALUE_NODE || value->kind == GM_VALUE_NONE)
        return gm_fail(plan->context, GM_ERROR_INTERNAL, "value '%s' is used before it is computed", value->name);
    GM_TRY(value_bytes(plan, id, &bytes));
    buffer = add_buffer(plan, place, value->state, bytes, gm_layout_plain, id);
    if (buffer == GM_NO_BUFFER)
        return GM_ERROR_MEMORY;
    if (place == GM_PLACE_CONSTANT)
        plan->buffers[buffer].pointer = value->constant->data;
    plan->value_buffer[id] = buffer;
    return GM_OK;
}

/* Adds an instruction that copies `from` into `to` (of another layout, or the same). */
static gm_status add_copy(gm_plan *plan, uint32_t from, uint32_t to)
{
    const gm_value *value = gm_value_of(plan->graph, plan->buffers[from].value);
    gm_layout a = buffer_layout(plan, from), b = buffer_layout(plan, to);
    a = gm_layout_is_any(a) ? gm_layout_plain : a;
    b = gm_layout_is_any(b) ? gm_layout_plain : b;
    bool same = gm_layout_equal(a, b);
    gm_instruction *copy = add_instruction(plan, same ? "copy" : "reorder", NULL, 1, 1);
    if (!copy)
        return GM_ERROR_MEMORY;
    copy->in[0] = from;
    copy->out[0] = to;
    plan->reorders += !same;
    return gm_lower_reorder(plan->context, plan->pool, value->type, value->rank, value->dims, a, b,
                            &copy->scratch_bytes, &copy->kernel);
}

/* The value of `buffer` in another layout: made once. */
static gm_status reorder(gm_plan *plan, uint32_t buffer, gm_layout wanted, uint32_t *buffer_out)
{
    uint32_t fresh;
    for (size_t i = 0; i < plan->reordered_count; i++)
        if (plan->reordered[i].from == buffer && gm_layout_equal(plan->buffers[plan->reordered[i].to].layout, wanted)) {
            *buffer_out = plan->reordered[i].to;
            return GM_OK;
        }
    fresh = add_buffer(plan, GM_PLACE_ARENA, 0, plan->buffers[buffer].bytes, wanted, plan->buffers[buffer].value);
    if (fresh == GM_NO_BUFFER || !gm_pool_grow(plan->pool, (void **)&plan->reordered, &plan->reordered_capacity,
                                               plan->reordered_count + 1, sizeof *plan->reordered))
        return GM_ERROR_MEMORY;
    plan->reordered[plan->reordered_count++] = (gm_reordered){buffer, fresh};
    *buffer_out = fresh;
    return add_copy(plan, buffer, fresh);
}

/* The buffer to read for an input that a kernel wants in layout `wanted`. */
static gm_status input_buffer(gm_plan *plan, gm_value_id id, gm_layout wanted, uint32_t *buffer_out)
{
    uint32_t buffer = plan->value_buffer[id];
    gm_layout has = buffer_layout(plan, buffer);
    if (gm_layout_is_any(wanted))
        wanted = gm_layout_plain;
    if (gm_layout_is_any(has)) {
        GM_TRY(gm_store_choose_layout(plan->store, plan->buffers[buffer].index, wanted));
        has = wanted;
    }
    if (!gm_layout_equal(has, wanted))
        return reorder(plan, buffer, wanted, buffer_out);
    *buffer_out = buffer;
    return GM_OK;
}

typedef struct gm_use {
    bool *read;         /* per value: somebody reads it */
    bool *read_blocked; /* per value: by somebody who may take it in another than the plain layout */
    uint32_t *assigned; /* per value: state entry that receives it in place + 1, or 0 */
} gm_use;

/* One node on its way to an instruction. */
typedef struct gm_lowering {
    const gm_node *node;
    gm_lower lower;
    gm_layout *in_layout;
    bool *out_wanted, *out_plain;
    uint32_t *in;   /* buffers to read, in the layouts that the kernel wants */
    bool all_alias; /* no kernel: every wanted output is some input's memory */
} gm_lowering;

static gm_status begin_lowering(gm_plan *plan, const gm_node *node, const gm_use *use, gm_lowering *l)
{
    size_t in_count = node->input_count, out_count = node->output_count;
    *l = (gm_lowering){.node = node,
                       .lower = {.context = plan->context,
                                 .pool = plan->pool,
                                 .graph = plan->graph,
                                 .node = node,
                                 .threads = plan->context->options.threads,
                                 .reference = plan->reference,
                                 .direct = plan->context->options.direct_math != 0}};
    l->in_layout = gm_pool_array(plan->pool, in_count + 1, sizeof *l->in_layout);
    l->out_wanted = gm_pool_array(plan->pool, out_count + 1, sizeof *l->out_wanted);
    l->out_plain = gm_pool_array(plan->pool, out_count + 1, sizeof *l->out_plain);
    l->in = gm_pool_array(plan->pool, in_count + 1, sizeof *l->in);
    l->lower.in_want = gm_pool_array(plan->pool, in_count + 1, sizeof *l->lower.in_want);
    l->lower.out_layout = gm_pool_array(plan->pool, out_count + 1, sizeof *l->lower.out_layout);
    l->lower.in_place = gm_pool_array(plan->pool, out_count + 1, sizeof *l->lower.in_place);
    l->lower.alias = gm_pool_array(plan->pool, out_count + 1, sizeof *l->lower.alias);
    if (!l->in_layout || !l->out_wanted || !l->out_plain || !l->in || !l->lower.in_want || !l->lower.out_layout ||
        !l->lower.in_place || !l->lower.alias)
        return GM_ERROR_MEMORY;
    l->lower.in_layout = l->in_layout;
    l->lower.out_wanted = l->out_wanted;
    l->lower.out_plain = l->out_plain;
    for (size_t i = 0; i < in_count; i++) {
        l->in_layout[i] = gm_layout_plain;
        if (!node->inputs[i])
            continue;
        GM_TRY(source_buffer(plan, node->inputs[i]));
        l->in_layout[i] = buffer_layout(plan, plan->value_buffer[node->inputs[i]]);
    }
    for (size_t i = 0; i < out_count; i++) {
        l->out_wanted[i] = node->outputs[i] && use->read[node->outputs[i]];
        l->out_plain[i] = l->out_wanted[i] && !use->read_blocked[node->outputs[i]];
    }
    return GM_OK;
}

/* What a kernel finds that says nothing about layouts: everything plain, nothing shared. */
/* The operator's fast kernel, in the way that measuring has found best where that is asked for. */
static gm_status lower_fast(gm_plan *plan, gm_lowering *l)
{
    gm_tuner *tuner = plan->context->tuner;
    int asked;
    if (!tuner || !l->node->op->formulations)
        return l->node->op->lower(&l->lower);
    GM_TRY(gm_tuner_choose(tuner, &l->lower, false));
    asked = l->lower.formulation;
    GM_TRY(l->node->op->lower(&l->lower));
    if (l->lower.kernel.run || !asked)
        return GM_OK;
    gm_lower_preset(&l->lower);
    GM_TRY(gm_tuner_choose(tuner, &l->lower, true));
    return l->node->op->lower(&l->lower);
}

static gm_status choose_kernel(gm_plan *plan, gm_lowering *l)
{
    gm_lower_preset(&l->lower);
    if (l->node->op->lower && !plan->reference)
        GM_TRY(lower_fast(plan, l));
    l->all_alias = true;
    for (size_t i = 0; i < l->node->output_count; i++)
        l->all_alias = l->all_alias && (l->lower.alias[i] >= 0 || !l->out_wanted[i]);
    if (l->lower.kernel.run || l->all_alias)
        return GM_OK;
    gm_lower_preset(&l->lower);
    return gm_lower_reference(&l->lower);
}

static gm_status wanted_inputs(gm_plan *plan, gm_lowering *l)
{
    for (size_t i = 0; i < l->node->input_count; i++) {
        l->in[i] = GM_NO_BUFFER;
        if (l->node->inputs[i])
            GM_TRY(input_buffer(plan, l->node->inputs[i], l->lower.in_want[i], &l->in[i]));
    }
    return GM_OK;
}

/* The buffer of output i: in the arena, the state that it updates, or the memory of an input. */
static gm_status output_buffer(gm_plan *plan, const gm_use *use, const gm_lowering *l, size_t i, uint32_t *buffer_out)
{
    gm_value_id id = l->node->outputs[i];
    uint32_t state = use->assigned[id], buffer;
    size_t bytes;
    GM_TRY(value_bytes(plan, id, &bytes));
    if (state)
        GM_TRY(gm_store_choose_layout(plan->store, state - 1, l->lower.out_layout[i]));
    buffer = add_buffer(plan, state ? GM_PLACE_STATE : GM_PLACE_ARENA, state ? state - 1 : 0, bytes,
                        l->lower.out_layout[i], id);
    if (buffer == GM_NO_BUFFER)
        return GM_ERROR_MEMORY;
    if (l->lower.alias[i] >= 0)
        plan->buffers[buffer].root = l->in[l->lower.alias[i]];
    plan->value_buffer[id] = buffer;
    *buffer_out = buffer;
    return GM_OK;
}

static gm_status lower_node(gm_plan *plan, const gm_node *node, const gm_use *use)
{
    gm_lowering l;
    gm_instruction *instruction = NULL;
    gm_status status;
    GM_TRY(begin_lowering(plan, node, use, &l));
    GM_TRY(choose_kernel(plan, &l));
    status = wanted_inputs(plan, &l);
    if (status == GM_OK && l.lower.kernel.run) {
        instruction = add_instruction(plan, node->op->name, node, node->input_count, node->output_count);
        status = instruction ? GM_OK : GM_ERROR_MEMORY;
    }
    if (status != GM_OK) {
        if (l.lower.kernel.destroy)
            l.lower.kernel.destroy(l.lower.kernel.state);
        return status;
    }
    if (instruction) {
        instruction->kernel = l.lower.kernel;
        instruction->formulation = l.lower.formulation > 0 ? node->op->formulations[l.lower.formulation] : NULL;
        instruction->flops = l.lower.flops;
        instruction->scratch_bytes = l.lower.scratch_bytes;
        memcpy(instruction->in, l.in, node->input_count * sizeof *l.in);
        for (size_t i = 0; i < node->output_count; i++)
            instruction->out[i] = GM_NO_BUFFER;
    }
    for (size_t i = 0; i < node->output_count; i++) {
        uint32_t buffer;
        if (!l.out_wanted[i])
            continue;
        GM_TRY(output_buffer(plan, use, &l, i, &buffer));
        if (instruction && l.lower.alias[i] < 0) {
            instruction->out[i] = buffer;
            instruction->in_place[i] = use->assigned[node->outputs[i]] ? -1 : l.lower.in_place[i];
        }
    }
    return GM_OK;
}

/* --- Assigns
 * ------------------------------------------------------------------------------------------------------------- */

/* The state an update operator's output overwrites, or -1. */
static int64_t updated_state(const gm_graph *graph, gm_value_id id)
{
    const gm_value *value = gm_value_of(graph, id);
    const gm_node *node;
    int input;
    if (value->kind != GM_VALUE_NODE)
        return -1;
    node = &graph->nodes[value->node];
    if (!(node->op->flags & GM_OP_UPDATE) || !node->op->update_input)
        return -1;
    input = node->op->update_input(node, value->output);
    if (input < 0 || graph->values[node->inputs[input]].kind != GM_VALUE_STATE)
        return -1;
    return graph->values[node->inputs[input]].state;
}

static gm_status find_uses(gm_plan *plan, gm_use *use)
{
    const gm_graph *graph = plan->graph;
    use->read = gm_pool_array(plan->pool, graph->value_count, sizeof *use->read);
    use->read_blocked = gm_pool_array(plan->pool, graph->value_count, sizeof *use->read_blocked);
    use->assigned = gm_pool_array(plan->pool, graph->value_count, sizeof *use->assigned);
    if (!use->read || !use->read_blocked || !use->assigned)
        return GM_ERROR_MEMORY;
    for (size_t n = 0; n < graph->node_count; n++)
        for (size_t i = 0; i < graph->nodes[n].input_count; i++) {
            gm_value_id id = graph->nodes[n].inputs[i];
            use->read[id] = true;
            use->read_blocked[id] = use->read_blocked[id] || !(graph->nodes[n].op->flags & GM_OP_VIEW);
        }
    for (size_t i = 0; i < graph->output_count; i++)
        use->read[graph->outputs[i].value] = true;
    for (size_t i = 0; i < graph->assign_count; i++)
        use->read[graph->assigns[i].value] = true;
    /* Updates work in place, on the state itself: their order after all readers is the sorted order (late nodes). */
    for (size_t n = 0; n < graph->node_count; n++)
        for (size_t i = 0; i < graph->nodes[n].output_count; i++) {
            gm_value_id id = graph->nodes[n].outputs[i];
            int64_t state = id ? updated_state(graph, id) : -1;
            if (state >= 0)
                use->assigned[id] = (uint32_t)state + 1;
        }
    return GM_OK;
}

/* Moves updates, and what reads their results, behind everything else: they overwrite what others read. */
static gm_status move_updates_last(gm_plan *plan)
{
    gm_graph *graph = plan->graph;
    bool *late = gm_pool_array(plan->pool, graph->value_count, sizeof *late);
    bool *written = gm_pool_array(plan->pool, plan->store->program->state_count + 1, sizeof *written);
    gm_node *nodes = gm_pool_array(plan->pool, graph->node_count + 1, sizeof *nodes);
    uint8_t *is_late = gm_pool_array(plan->pool, graph->node_count + 1, 1);
    size_t placed = 0;
    if (!late || !written || !nodes || !is_late)
        return GM_ERROR_MEMORY;
    for (size_t n = 0; n < graph->node_count; n++) {
        const gm_node *node = &graph->nodes[n];
        is_late[n] = (node->op->flags & GM_OP_UPDATE) != 0;
        for (size_t i = 0; i < node->input_count; i++)
            is_late[n] = is_late[n] || late[node->inputs[i]];
        for (size_t i = 0; i < node->output_count; i++)
            if (node->outputs[i])
                late[node->outputs[i]] = is_late[n];
    }
    for (int pass = 0; pass < 2; pass++)
        for (size_t n = 0; n < graph->node_count; n++)
            if (is_late[n] == pass)
                nodes[placed++] = graph->nodes[n];
    if (placed)
        memcpy(graph->nodes, nodes, placed * sizeof *nodes);
    for (size_t n = 0; n < graph->node_count; n++) {
        const gm_node *node = &graph->nodes[n];
        for (size_t i = 0; i < node->input_count; i++) {
            const gm_value *value = gm_value_of(graph, node->inputs[i]);
            if (node->inputs[i] && value->kind == GM_VALUE_STATE && written[value->state] &&
                !(node->op->flags & GM_OP_UPDATE))
                return gm_fail(plan->context, GM_ERROR_INTERNAL, "node '%s' reads '%s' after its update", node->path,
                               value->name);
        }
        for (size_t i = 0; i < node->output_count; i++) {
            int64_t state = node->outputs[i] ? updated_state(graph, node->outputs[i]) : -1;
            if (state >= 0)
                written[state] = true;
        }
    }
    return gm_graph_compact(graph);
}

static bool is_assign_target(const gm_graph *graph, uint32_t state)
{
    for (size_t i = 0; i < graph->assign_count; i++)
        if (graph->assigns[i].state == state)
            return true;
    return false;
}

static gm_status add_assigns(gm_plan *plan)
{
    gm_graph *graph = plan->graph;
    uint32_t *from = gm_pool_array(plan->pool, graph->assign_count + 1, sizeof *from);
    if (!from)
        return GM_ERROR_MEMORY;
    /* What stands in another state that is about to change is saved first. */
    for (size_t i = 0; i < graph->assign_count; i++) {
        gm_value_id id = graph->assigns[i].value;
        const gm_buffer *root;
        GM_TRY(source_buffer(plan, id));
        from[i] = plan->value_buffer[id];
        root = &plan->buffers[gm_plan_root(plan, from[i])];
        if (root->place == GM_PLACE_STATE && root->index != graph->assigns[i].state &&
            is_assign_target(graph, root->index)) {
            gm_layout layout = buffer_layout(plan, from[i]);
            uint32_t saved = add_buffer(plan, GM_PLACE_ARENA, 0, root->bytes,
                                        gm_layout_is_any(layout) ? gm_layout_plain : layout, id);
            if (saved == GM_NO_BUFFER)
                return GM_ERROR_MEMORY;
            GM_TRY(add_copy(plan, from[i], saved));
            from[i] = saved;
        }
    }
    for (size_t i = 0; i < graph->assign_count; i++) {
        const gm_buffer *root = &plan->buffers[gm_plan_root(plan, from[i])];
        gm_layout layout = buffer_layout(plan, from[i]);
        uint32_t target;
        if (root->place == GM_PLACE_STATE && root->index == graph->assigns[i].state)
            continue; /* updated in place */
        GM_TRY(gm_store_choose_layout(plan->store, graph->assigns[i].state,
                                      gm_layout_is_any(layout) ? gm_layout_plain : layout));
        target = add_buffer(plan, GM_PLACE_STATE, graph->assigns[i].state, root->bytes,
                            plan->store->entries[graph->assigns[i].state].layout, graph->assigns[i].value);
        if (target == GM_NO_BUFFER)
            return GM_ERROR_MEMORY;
        GM_TRY(add_copy(plan, from[i], target));
    }
    return GM_OK;
}

/* --- Outputs
 * ------------------------------------------------------------------------------------------------------------- */

/* Each graph output gets plain memory outside the arena that a caller may replace. */
static gm_status add_outputs(gm_plan *plan)
{
    gm_graph *graph = plan->graph;
    plan->output_buffer = gm_pool_array(plan->pool, graph->output_count + 1, sizeof *plan->output_buffer);
    if (!plan->output_buffer)
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < graph->output_count; i++) {
        gm_value_id id = graph->outputs[i].value;
        uint32_t buffer, root;
        GM_TRY(source_buffer(plan, id));
        GM_TRY(input_buffer(plan, id, gm_layout_plain, &buffer));
        root = gm_plan_root(plan, buffer);
        if (plan->buffers[root].place != GM_PLACE_ARENA) {
            uint32_t target =
                add_buffer(plan, GM_PLACE_OUTPUT, (uint32_t)i, plan->buffers[root].bytes, gm_layout_plain, id);
            if (target == GM_NO_BUFFER)
                return GM_ERROR_MEMORY;
            GM_TRY(add_copy(plan, buffer, target));
            root = target;
        }
        plan->buffers[root].place = GM_PLACE_OUTPUT;
        plan->buffers[root].index = (uint32_t)i;
        plan->output_buffer[i] = root;
    }
    return GM_OK;
}

static gm_status add_inputs(gm_plan *plan)
{
    plan->input_buffer = gm_pool_array(plan->pool, plan->graph->input_count + 1, sizeof *plan->input_buffer);
    if (!plan->input_buffer)
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < plan->graph->input_count; i++) {
        GM_TRY(source_buffer(plan, plan->graph->inputs[i].value));
        plan->input_buffer[i] = plan->value_buffer[plan->graph->inputs[i].value];
    }
    return GM_OK;
}

/* --- Entry
 * --------------------------------------------------------------------------------------------------------------- */

/* L2 norms of gradients as further outputs: sqrt(sum(g * g)). */
static gm_status add_gradient_norms(gm_plan *plan, const gm_plan_options *options, const gm_value_id *map)
{
    gm_graph *graph = plan->graph;
    for (size_t i = 0; i < options->gradient_count; i++) {
        gm_value_id g = map[options->gradients[i].value];
        gm_value_id norm =
            gm_emit1(graph, "Sqrt",
                     gm_emit1_with(graph, "ReduceSum", gm_emit2(graph, "Mul", g, g), gm_attribute_int("keepdims", 0)));
        char *name =
            gm_pool_printf(plan->pool, "gradient.%s", plan->store->program->states[options->gradients[i].state].path);
        if (!name)
            return GM_ERROR_MEMORY;
        gm_graph_add_output(graph, name, norm);
    }
    return graph->status;
}

static gm_status expose_draws(gm_plan *plan)
{
    gm_graph *graph = plan->graph;
    for (size_t n = 0; n < graph->node_count; n++) {
        const gm_node *node = &graph->nodes[n];
        char *name;
        if (node->dead || !(node->op->flags & GM_OP_RANDOM))
            continue;
        name = gm_pool_printf(plan->pool, "draw.%s", node->path);
        if (!name)
            return GM_ERROR_MEMORY;
        gm_graph_add_output(graph, name, node->outputs[0]);
    }
    return graph->status;
}

/* Tables are updated by rows where that is exact. Rows need the plain layout: whoever comes later takes it as it is. */
static gm_status sparsify(gm_plan *plan)
{
    const gm_store *store = plan->store;
    bool *keep = gm_pool_array(plan->pool, store->program->state_count + 1, sizeof *keep);
    if (!keep)
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < store->program->state_count; i++)
        keep[i] = !gm_layout_is_any(store->entries[i].layout) && !gm_layout_is_plain(store->entries[i].layout);
    GM_TRY(gm_graph_sparsify(plan->graph, keep));
    for (size_t n = 0; n < plan->graph->node_count; n++) {
        const gm_node *node = &plan->graph->nodes[n];
        for (size_t o = 0; (node->op->flags & GM_OP_ROWS) && o < node->output_count; o++) {
            const gm_value *state = gm_value_of(plan->graph, node->inputs[node->op->update_input(node, o)]);
            if (state->kind == GM_VALUE_STATE)
                GM_TRY(gm_store_choose_layout(plan->store, state->state, gm_layout_plain));
        }
    }
    return GM_OK;
}

/* Inputs of sizes that were given wrongly are told by their sizes, before shapes are inferred from them. */
static gm_status check_inputs(const gm_graph *graph, const gm_binding *bindings, size_t count)
{
    for (size_t i = 0; i < graph->input_count; i++) {
        const gm_value *value = gm_value_of(graph, graph->inputs[i].value);
        gm_dim dims[GM_MAX_RANK];
        double bytes = (double)gm_type_bytes(value->type);
        for (int k = 0; k < value->rank; k++) {
            dims[k] = gm_dim_bind(graph->symbols, value->dims[k], bindings, count);
            bytes *= dims[k] > 0 ? (double)dims[k] : 1;
        }
        if (!gm_shape_fits(value->rank, dims))
            return gm_fail(graph->context, GM_ERROR_MEMORY,
                           "input '%s' of %s would have %.3g bytes, which does not fit into any memory; take a smaller "
                           "batch",
                           graph->inputs[i].name, graph->name, bytes);
    }
    return GM_OK;
}

static gm_status make_graph(gm_plan *plan, const gm_graph *graph, const gm_plan_options *options)
{
    size_t count = options->size_count;
    gm_binding *bindings = gm_pool_array(plan->pool, count + 1, sizeof *bindings);
    gm_value_id *map;
    if (!bindings)
        return GM_ERROR_MEMORY;
    if (count)
        memcpy(bindings, options->sizes, count * sizeof *bindings);
    if (options->batch)
        bindings[count++] = (gm_binding){gm_dim_symbol(graph->symbols, "N"), options->batch};
    GM_TRY(check_inputs(graph, bindings, count));
    plan->graph = gm_graph_bind(graph, plan->pool, bindings, count, options->fed, options->fed_count, &map);
    if (!plan->graph)
        return gm_failure(plan->context);
    GM_TRY(add_gradient_norms(plan, options, map));
    if (options->expose_draws)
        GM_TRY(expose_draws(plan));
    GM_TRY(gm_graph_simplify(plan->graph));
    if (!plan->reference) {
        GM_TRY(gm_graph_merge_backward(plan->graph));
        GM_TRY(gm_graph_spread_outer_products(plan->graph));
        GM_TRY(sparsify(plan));
        GM_TRY(gm_graph_gate_normalization(plan->graph));
        GM_TRY(gm_graph_share_signs(plan->graph));
        GM_TRY(gm_graph_fuse(plan->graph));
    }
    GM_TRY(gm_graph_sort(plan->graph));
    return move_updates_last(plan);
}

static gm_status make_plan(gm_plan *plan, const gm_graph *graph, const gm_plan_options *options)
{
    gm_use use;
    GM_TRY(make_graph(plan, graph, options));
    plan->value_buffer = gm_pool_array(plan->pool, plan->graph->value_count, sizeof *plan->value_buffer);
    if (!plan->value_buffer)
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < plan->graph->value_count; i++)
        plan->value_buffer[i] = GM_NO_BUFFER;
    GM_TRY(find_uses(plan, &use));
    GM_TRY(add_inputs(plan));
    for (size_t n = 0; n < plan->graph->node_count; n++)
        GM_TRY(lower_node(plan, &plan->graph->nodes[n], &use));
    GM_TRY(add_outputs(plan));
    GM_TRY(add_assigns(plan));
    return gm_plan_place(plan);
}

gm_status gm_plan_create(gm_context *context, const gm_graph *graph, gm_store *store, const gm_plan_options *options,
                         gm_plan **plan_out)
{
    gm_pool *pool = gm_pool_create(context);
    gm_plan *plan = pool ? gm_pool_alloc(pool, sizeof *plan) : NULL;
    gm_status status = GM_ERROR_MEMORY;
    if (plan) {
        plan->context = context;
        plan->pool = pool;
        plan->store = store;
        plan->reference = options->reference;
        plan->without_arena = options->without_arena;
        plan->stale = true;
        gm_clear_message(context);
        status = make_plan(plan, graph, options);
        if (status != GM_OK) {
            gm_plan_destroy(plan);
            return status;
        }
        if (context->tuner)
            gm_tuner_keep(context->tuner);
        *plan_out = plan;
        return GM_OK;
    }
    gm_pool_destroy(pool);
    return status;
}

void gm_plan_destroy(gm_plan *plan)
{
    if (!plan)
        return;
    for (size_t i = 0; i < plan->instruction_count; i++)
        if (plan->instructions[i].kernel.destroy)
            plan->instructions[i].kernel.destroy(plan->instructions[i].kernel.state);
    for (size_t i = 0; i < plan->buffer_count; i++)
        if (plan->buffers[i].root == i &&
            (plan->buffers[i].place == GM_PLACE_INPUT || plan->buffers[i].place == GM_PLACE_OUTPUT))
            gm_free(plan->context, plan->buffers[i].pointer);
    if (!plan->without_arena)
        gm_free(plan->context, plan->arena);
    gm_pool_destroy(plan->pool);
}
