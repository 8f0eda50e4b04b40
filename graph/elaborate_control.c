/* Elaboration: If, Loop, Scan and Gradient (ONNX). The graph is static, so their bodies become part of it: the branch that a known
 * condition takes, both branches with a Where behind them otherwise; the turns of a loop one behind the other. Gradients and
 * planning need nothing for them. Conditions and numbers of turns must be known at load. */
#include "graph/elaborate.h"

#include <string.h>

typedef struct control {
    elaborator *e;
    const gm_ast_expression *call;
    el_value *inputs;
    el_value *outputs;
    size_t wanted;
} control;

static void *make(elaborator *e, size_t count, size_t bytes)
{
    void *memory = gm_pool_array(e->pool, count ? count : 1, bytes);
    if (!memory)
        el_out_of_memory(e);
    return memory;
}

/* --- Attributes --- */

static const gm_ast_expression *attribute(const control *c, const char *name)
{
    for (size_t i = 0; i < c->call->attributes.count; i++)
        if (c->call->attributes.items[i].name && strcmp(c->call->attributes.items[i].name, name) == 0)
            return c->call->attributes.items[i].value;
    return NULL;
}

static const gm_ast_graph *graph_attribute(const control *c, const char *name)
{
    const gm_ast_expression *value = attribute(c, name);
    if (value && value->kind == GM_AST_GRAPH && value->graph)
        return value->graph;
    el_error(c->e, c->call->where, "'%s' needs the attribute '%s', a graph", c->call->parts[0], name);
    return NULL;
}

/* Entry `index` of a list of whole numbers; `fallback` where the attribute is left out. */
static bool list_entry(const control *c, const char *name, size_t index, int64_t fallback, int64_t *out)
{
    const gm_ast_expression *value = attribute(c, name);
    *out = fallback;
    if (!value)
        return true;
    if (value->kind != GM_AST_LIST || index >= value->item_count)
        return el_error(c->e, c->call->where, "the attribute '%s' needs a number for each of them", name), false;
    return el_to_integer(c->e, el_evaluate_attribute(c->e, value->items[index]), value->where, name, out);
}

/* --- Bodies --- */

static bool define_values(elaborator *e, const gm_ast_graph *graph)
{
    for (size_t i = 0; i < graph->value_count; i++) {
        const gm_ast_parameter *value = &graph->values[i];
        gm_value_id id;
        if (!value->default_value)
            continue;
        id = el_to_tensor(e, el_evaluate(e, value->default_value), GM_TYPE_UNDEFINED, value->where);
        if (!id || !el_define(e, &e->frame->names, value->name, el_tensor(id), value->where))
            return false;
    }
    return true;
}

static bool define_inputs(elaborator *e, const gm_ast_graph *graph, const el_value *inputs, size_t count)
{
    if (graph->signature.input_count != count) {
        el_error(e, graph->where, "the graph '%s' has %zu inputs, but is given %zu", graph->name,
                 graph->signature.input_count, count);
        return false;
    }
    for (size_t i = 0; i < count; i++)
        if (!el_define(e, &e->frame->names, graph->signature.inputs[i].name, inputs[i], graph->where))
            return false;
    return true;
}

static bool take_outputs(elaborator *e, const gm_ast_graph *graph, el_value *outputs)
{
    for (size_t i = 0; i < graph->signature.output_count; i++) {
        const char *name = graph->signature.outputs[i].name;
        el_name *found = el_find(&e->frame->names, name);
        gm_value_id id;
        for (const el_frame *outer = e->frame->outer; outer && !found; outer = outer->outer)
            found = el_find(&outer->names, name);
        if (!found) {
            el_error(e, graph->where, "the output '%s' of the graph '%s' never gets a value", name, graph->name);
            return false;
        }
        id = el_to_tensor(e, found->value, GM_TYPE_UNDEFINED, graph->where);
        if (!id)
            return false;
        outputs[i] = el_tensor(id);
    }
    return true;
}

/* The body is evaluated where the node stands and sees the names around it. `label` tells its nodes apart. */
static bool run_graph(elaborator *e, const gm_ast_graph *graph, const char *label, int64_t turn, const el_value *inputs,
                      size_t input_count, el_value *outputs)
{
    const el_frame *around = e->frame;
    el_frame frame = {.parent = around,
                      .outer = around,
                      .declaration = around->declaration,
                      .callable = around->callable,
                      .prelude = around->prelude,
                      .scope = around->scope,
                      .made = around->made,
                      .network = around->network,
                      .training = around->training};
    bool good;
    if (e->depth >= EL_MAX_CALL_DEPTH)
        return el_error(e, graph->where, "graphs and calls are nested more than %d deep", EL_MAX_CALL_DEPTH), false;
    if (!el_has_room(e, graph->where))
        return false;
    frame.path = turn < 0 ? gm_pool_printf(e->pool, "%s.%s", around->statement_path, label)
                          : gm_pool_printf(e->pool, "%s.%s_%lld", around->statement_path, label, (long long)turn);
    if (!frame.path)
        return el_out_of_memory(e), false;
    if (around->statement_owner && !(frame.owner = gm_pool_printf(e->pool, "%s.%s", around->statement_owner, label)))
        return el_out_of_memory(e), false;
    e->frame = &frame;
    e->depth++;
    good = define_values(e, graph) && define_inputs(e, graph, inputs, input_count);
    if (good) {
        el_body(e, &graph->body);
        good = take_outputs(e, graph, outputs);
    }
    e->depth--;
    e->frame = (el_frame *)(uintptr_t)around;
    return good;
}

/* The bool or whole number behind a value; false: it is not known, nothing was reported. */
static bool known(const control *c, el_value value, int64_t *out)
{
    const gm_tensor *constant;
    if (value.kind == EL_NUMBER && !value.is_float) {
        *out = value.integer;
        return true;
    }
    if (value.kind != EL_TENSOR)
        return false;
    constant = gm_constant_of(c->e->graph, value.id);
    if (!constant || gm_tensor_count(constant) != 1)
        return false;
    *out = gm_get_int(constant, 0);
    return true;
}

static bool unknown_turns(const control *c, const char *what)
{
    el_unsupported(c->e, c->call->where, "%s of %s must be known at load", what, c->call->parts[0]);
    return false;
}

/* --- If --- */

static bool same_shape(const gm_graph *graph, gm_value_id a, gm_value_id b)
{
    const gm_value *x = gm_value_of(graph, a), *y = gm_value_of(graph, b);
    return x->type == y->type && x->rank == y->rank && memcmp(x->dims, y->dims, (size_t)x->rank * sizeof *x->dims) == 0;
}

static bool choose(control *c, const gm_ast_graph *then_graph, const gm_ast_graph *else_graph, size_t count)
{
    elaborator *e = c->e;
    el_value *taken = make(e, count, sizeof *taken), *other = make(e, count, sizeof *other);
    gm_value_id condition = el_to_tensor(e, c->inputs[0], GM_BOOL, c->call->where), parts[2];
    if (!taken || !other || !condition || !run_graph(e, then_graph, "then", -1, NULL, 0, taken) ||
        !run_graph(e, else_graph, "else", -1, NULL, 0, other))
        return false;
    parts[0] = condition;
    parts[1] = gm_const_ints(e->graph, NULL, 0);
    if (gm_value_of(e->graph, condition)->rank && !(condition = el_emit(e, "Reshape", c->call->where, parts, 2)))
        return false;
    for (size_t i = 0; i < c->wanted; i++) {
        gm_value_id inputs[3] = {condition, taken[i].id, other[i].id};
        if (!same_shape(e->graph, taken[i].id, other[i].id))
            return el_unsupported(e, c->call->where,
                                  "the branches of If give different shapes, so its condition must be known at load"),
                   false;
        c->outputs[i] = el_tensor(el_emit(e, "Where", c->call->where, inputs, 3));
        if (!c->outputs[i].id)
            return false;
    }
    return true;
}

static bool run_if(control *c)
{
    const gm_ast_graph *then_graph = graph_attribute(c, "then_branch"), *else_graph = graph_attribute(c, "else_branch");
    size_t count = then_graph ? then_graph->signature.output_count : 0;
    int64_t condition;
    el_value *values;
    if (!then_graph || !else_graph)
        return false;
    if (c->call->item_count != 1 || else_graph->signature.output_count != count || c->wanted > count)
        return el_error(c->e, c->call->where, "If takes one input, and its branches give %zu and %zu outputs", count,
                        else_graph->signature.output_count),
               false;
    if (!known(c, c->inputs[0], &condition))
        return choose(c, then_graph, else_graph, count);
    if (!(values = make(c->e, count, sizeof *values)) ||
        !run_graph(c->e, condition ? then_graph : else_graph, condition ? "then" : "else", -1, NULL, 0, values))
        return false;
    memcpy(c->outputs, values, c->wanted * sizeof *values);
    return true;
}

/* --- Stacking what the turns give --- */

typedef struct stack {
    gm_value_id *items;
    size_t count, capacity;
} stack;

static bool push(elaborator *e, stack *s, gm_value_id id, int64_t axis)
{
    gm_value_id inputs[2] = {id, gm_const_ints(e->graph, &axis, 1)};
    if (!gm_pool_grow(e->pool, (void **)&s->items, &s->capacity, s->count + 1, sizeof *s->items))
        return el_out_of_memory(e), false;
    return (s->items[s->count++] = el_emit(e, "Unsqueeze", (gm_location){0}, inputs, 2)) != 0;
}

/* No turn was run: an empty tensor of the declared type. */
static gm_value_id empty_stack(elaborator *e, const gm_ast_parameter *output, gm_location where)
{
    const gm_ast_type *type = output->type;
    int64_t dims[GM_MAX_RANK] = {0};
    gm_tensor *tensor;
    bool good = type && type->type && type->has_shape && type->dim_count + 1 <= GM_MAX_RANK;
    for (size_t i = 0; good && i < type->dim_count; i++) {
        const gm_ast_expression *dim = type->dims[i].expression;
        good = dim && dim->kind == GM_AST_NUMBER;
        dims[i + 1] = good ? dim->integer : 0;
    }
    if (!good)
        return el_unsupported(e, where, "a loop without a turn needs the shape of its output '%s'", output->name), 0;
    tensor = gm_tensor_create(e->graph->pool, type->type, (int)type->dim_count + 1, dims);
    return tensor ? gm_graph_constant(e->graph, tensor) : (el_out_of_memory(e), 0);
}

static el_value join(elaborator *e, const stack *s, int64_t axis, bool backwards, gm_location where)
{
    gm_attribute attribute = gm_attribute_int("axis", axis);
    gm_value_id id;
    for (size_t i = 0; backwards && i < s->count / 2; i++) {
        gm_value_id swapped = s->items[i];
        s->items[i] = s->items[s->count - 1 - i];
        s->items[s->count - 1 - i] = swapped;
    }
    el_place_node(e, where, e->frame->statement_path);
    id = gm_emit(e->graph, "Concat", s->items, s->count, &attribute, 1);
    return el_take_graph_error(e) ? el_failed : el_tensor(id);
}

/* --- Loop --- */

static bool run_turns(control *c, const gm_ast_graph *body, el_value *carried, size_t carried_count, stack *stacks,
                      int64_t turns, int64_t condition)
{
    elaborator *e = c->e;
    size_t scans = body->signature.output_count - 1 - carried_count;
    el_value *inputs = make(e, carried_count + 2, sizeof *inputs);
    el_value *outputs = make(e, body->signature.output_count, sizeof *outputs);
    if (!inputs || !outputs)
        return false;
    for (int64_t turn = 0; turn < turns && condition; turn++) {
        inputs[0] = el_tensor(gm_const_scalar(e->graph, GM_INT64, (double)turn));
        inputs[1] = el_tensor(gm_const_scalar(e->graph, GM_BOOL, 1));
        memcpy(inputs + 2, carried, carried_count * sizeof *carried);
        if (!run_graph(e, body, "turn", turn, inputs, carried_count + 2, outputs))
            return false;
        memcpy(carried, outputs + 1, carried_count * sizeof *carried);
        for (size_t k = 0; k < scans; k++)
            if (!push(e, &stacks[k], outputs[1 + carried_count + k].id, 0))
                return false;
        if (turn + 1 < turns && !known(c, outputs[0], &condition))
            return unknown_turns(c, "the condition");
    }
    return true;
}

static bool run_loop(control *c)
{
    const gm_ast_graph *body = graph_attribute(c, "body");
    size_t inputs = c->call->item_count, carried_count = inputs > 2 ? inputs - 2 : 0, scans;
    int64_t turns = INT64_MAX, condition = 1;
    el_value *carried = make(c->e, carried_count, sizeof *carried);
    stack *stacks;
    if (!body || !carried)
        return false;
    if (body->signature.output_count < 1 + carried_count)
        return el_error(c->e, c->call->where, "the body of Loop gives %zu outputs, fewer than its %zu carried values",
                        body->signature.output_count, carried_count + 1),
               false;
    scans = body->signature.output_count - 1 - carried_count;
    if (inputs > 0 && c->inputs[0].kind != EL_ABSENT && !known(c, c->inputs[0], &turns))
        return unknown_turns(c, "the number of turns");
    if (inputs > 1 && c->inputs[1].kind != EL_ABSENT && !known(c, c->inputs[1], &condition))
        return unknown_turns(c, "the condition");
    if (!(stacks = make(c->e, scans, sizeof *stacks)))
        return false;
    for (size_t i = 0; i < carried_count; i++) {
        gm_value_id id = el_to_tensor(c->e, c->inputs[2 + i], GM_TYPE_UNDEFINED, c->call->where);
        if (!id)
            return false;
        carried[i] = el_tensor(id);
    }
    if (!run_turns(c, body, carried, carried_count, stacks, turns, condition))
        return false;
    for (size_t i = 0; i < c->wanted; i++) {
        if (i >= carried_count + scans)
            return el_error(c->e, c->call->where, "Loop has %zu outputs here", carried_count + scans), false;
        if (i < carried_count)
            c->outputs[i] = carried[i];
        else if (stacks[i - carried_count].count)
            c->outputs[i] = join(c->e, &stacks[i - carried_count], 0, false, c->call->where);
        else
            c->outputs[i] = el_tensor(empty_stack(c->e, &body->signature.outputs[1 + i], c->call->where));
        if (c->outputs[i].kind == EL_FAILED || !c->outputs[i].id)
            return false;
    }
    return true;
}

/* --- Scan --- */

typedef struct scan {
    const gm_ast_graph *body;
    size_t states, scanned, stacked;
    int64_t length;
    int64_t axes[64], directions[64]; /* of the scanned inputs */
} scan;

#define MAX_SCANNED 64

static bool prepare_scan(control *c, scan *s)
{
    elaborator *e = c->e;
    int64_t scanned = 0;
    const gm_ast_expression *count = attribute(c, "num_scan_inputs");
    if (!(s->body = graph_attribute(c, "body")))
        return false;
    if (!count || !el_to_integer(e, el_evaluate_attribute(e, count), c->call->where, "num_scan_inputs", &scanned))
        return count ? false : (el_error(e, c->call->where, "Scan needs the attribute 'num_scan_inputs'"), false);
    if (scanned < 1 || scanned > MAX_SCANNED || (size_t)scanned > c->call->item_count)
        return el_error(e, c->call->where, "num_scan_inputs must be 1 to %zu, found %lld", c->call->item_count,
                        (long long)scanned),
               false;
    s->scanned = (size_t)scanned;
    s->states = c->call->item_count - s->scanned;
    if (s->body->signature.output_count < s->states)
        return el_error(e, c->call->where, "the body of Scan gives %zu outputs, fewer than its %zu states",
                        s->body->signature.output_count, s->states),
               false;
    s->stacked = s->body->signature.output_count - s->states;
    s->length = -1;
    for (size_t i = 0; i < s->scanned; i++) {
        gm_value_id id = el_to_tensor(e, c->inputs[s->states + i], GM_TYPE_UNDEFINED, c->call->where);
        const gm_value *value;
        if (!id || !list_entry(c, "scan_input_axes", i, 0, &s->axes[i]) ||
            !list_entry(c, "scan_input_directions", i, 0, &s->directions[i]))
            return false;
        c->inputs[s->states + i] = el_tensor(id);
        value = gm_value_of(e->graph, id);
        s->axes[i] += s->axes[i] < 0 ? value->rank : 0;
        if (s->axes[i] < 0 || s->axes[i] >= value->rank)
            return el_error(e, c->call->where, "scan_input_axes: input %zu has no such axis", i), false;
        if (!gm_dim_is_known(value->dims[s->axes[i]]))
            return unknown_turns(c, "the length of the sequence");
        if (s->length >= 0 && s->length != value->dims[s->axes[i]])
            return el_error(e, c->call->where, "the sequences of Scan have %lld and %lld elements",
                            (long long)s->length, (long long)value->dims[s->axes[i]]),
                   false;
        s->length = value->dims[s->axes[i]];
    }
    return true;
}

static bool scan_turns(control *c, const scan *s, el_value *states, stack *stacks)
{
    elaborator *e = c->e;
    el_value *inputs = make(e, c->call->item_count, sizeof *inputs);
    el_value *outputs = make(e, s->body->signature.output_count, sizeof *outputs);
    if (!inputs || !outputs)
        return false;
    for (int64_t turn = 0; turn < s->length; turn++) {
        memcpy(inputs, states, s->states * sizeof *states);
        for (size_t i = 0; i < s->scanned; i++) {
            int64_t at = s->directions[i] ? s->length - 1 - turn : turn;
            gm_attribute axis = gm_attribute_int("axis", s->axes[i]);
            el_place_node(e, c->call->where, e->frame->statement_path);
            inputs[s->states + i] = el_tensor(gm_emit2_with(e->graph, "Gather", c->inputs[s->states + i].id,
                                                            gm_const_scalar(e->graph, GM_INT64, (double)at), axis));
            if (el_take_graph_error(e))
                return false;
        }
        if (!run_graph(e, s->body, "turn", turn, inputs, c->call->item_count, outputs))
            return false;
        memcpy(states, outputs, s->states * sizeof *states);
        for (size_t k = 0; k < s->stacked; k++) {
            gm_value_id id = outputs[s->states + k].id;
            int64_t axis;
            if (!list_entry(c, "scan_output_axes", k, 0, &axis) || !push(e, &stacks[k], id, axis))
                return false;
        }
    }
    return true;
}

static bool run_scan(control *c)
{
    scan s = {0};
    el_value *states;
    stack *stacks;
    if (el_opset(c->e, "") < 9)
        return el_unsupported(c->e, c->call->where, "Scan of operator sets before 9 is not supported"), false;
    if (!prepare_scan(c, &s) || !(states = make(c->e, s.states, sizeof *states)) ||
        !(stacks = make(c->e, s.stacked, sizeof *stacks)))
        return false;
    for (size_t i = 0; i < s.states; i++) {
        gm_value_id id = el_to_tensor(c->e, c->inputs[i], GM_TYPE_UNDEFINED, c->call->where);
        if (!id)
            return false;
        states[i] = el_tensor(id);
    }
    if (!scan_turns(c, &s, states, stacks))
        return false;
    for (size_t i = 0; i < c->wanted; i++) {
        int64_t axis, direction;
        size_t k = i - s.states;
        if (i >= s.body->signature.output_count)
            return el_error(c->e, c->call->where, "Scan has %zu outputs here", s.body->signature.output_count), false;
        if (i < s.states) {
            c->outputs[i] = states[i];
            continue;
        }
        if (!list_entry(c, "scan_output_axes", k, 0, &axis) ||
            !list_entry(c, "scan_output_directions", k, 0, &direction))
            return false;
        if (s.length)
            c->outputs[i] = join(c->e, &stacks[k], axis, direction != 0, c->call->where);
        else
            c->outputs[i] = el_tensor(empty_stack(c->e, &s.body->signature.outputs[i], c->call->where));
        if (c->outputs[i].kind == EL_FAILED || !c->outputs[i].id)
            return false;
    }
    return true;
}

/* --- Gradient --- */

static gm_value_id named_value(control *c, const char *name)
{
    elaborator *e = c->e;
    el_name *found = el_find(&e->frame->names, name);
    if (!found)
        return el_error(e, c->call->where, "Gradient names '%s', which has no value here", name), 0;
    return el_to_tensor(e, found->value, GM_TYPE_UNDEFINED, c->call->where);
}

/* https://github.com/onnx/onnx/blob/main/docs/Operators-preview-training.md: d sum(y) / d x for each x of `xs`, all of them
 * values of the graph around it; the values of `zs` are constants. */
static bool run_gradient(control *c)
{
    elaborator *e = c->e;
    const gm_ast_expression *xs = attribute(c, "xs"), *y = attribute(c, "y");
    size_t count = xs && xs->kind == GM_AST_LIST ? xs->item_count : 0;
    gm_value_id *wrt = make(e, count, sizeof *wrt), *gradients = make(e, count, sizeof *gradients), of;
    if (!wrt || !gradients)
        return false;
    if (!count || !y || y->kind != GM_AST_STRING || c->wanted > count)
        return el_error(e, c->call->where, "Gradient needs the attributes 'xs' (names) and 'y' (a name)"), false;
    for (size_t i = 0; i < count; i++)
        if (xs->items[i]->kind != GM_AST_STRING || !(wrt[i] = named_value(c, xs->items[i]->text)))
            return false;
    if (!(of = named_value(c, y->text)) || e->broken)
        return false;
    el_place_node(e, c->call->where, e->frame->statement_path);
    if (gm_autodiff(e->graph, &of, NULL, 1, wrt, count, gradients) != GM_OK || el_take_graph_error(e))
        return el_take_graph_error(e), false;
    for (size_t i = 0; i < c->wanted; i++)
        c->outputs[i] = el_tensor(gradients[i] ? gradients[i] : gm_zeros_like(e->graph, wrt[i]));
    return !el_take_graph_error(e);
}

/* --- Which --- */

static const struct {
    const char *name;
    bool (*run)(control *c);
} operators[] = {
    {"If", run_if},
    {"Loop", run_loop},
    {"Scan", run_scan},
    {"ai.onnx.preview.training.Gradient", run_gradient},
};

bool el_control_call(elaborator *e, const char *name, const gm_ast_expression *call, el_value *outputs, size_t wanted,
                     size_t *count_out)
{
    control c = {.e = e, .call = call, .outputs = outputs, .wanted = wanted};
    for (size_t i = 0; i < GM_COUNT(operators); i++) {
        if (strcmp(name, operators[i].name) != 0)
            continue;
        *count_out = 0;
        if (!(c.inputs = make(e, call->item_count, sizeof *c.inputs)))
            return true;
        for (size_t k = 0; k < call->item_count; k++)
            if ((c.inputs[k] = el_evaluate(e, call->items[k])).kind == EL_FAILED)
                return true;
        if (operators[i].run(&c))
            *count_out = wanted;
        return true;
    }
    return false;
}
