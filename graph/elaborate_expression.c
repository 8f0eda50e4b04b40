/* Elaboration: expressions and the choice of what a call means. */
#include "graph/elaborate.h"

#include <string.h>

void el_place_node(elaborator *e, gm_location where, const char *path)
{
    e->graph->where = el_place(e, where);
    e->graph->path = path;
}

const char *el_callee_path(elaborator *e, const char *name, char separator, const char **owner_out)
{
    el_frame *frame = e->frame;
    el_count *callee = NULL;
    const char *path, *owner = NULL;
    for (size_t i = 0; i < frame->callee_count && !callee; i++)
        if (strcmp(frame->callees[i].name, name) == 0)
            callee = &frame->callees[i];
    if (!callee) {
        if (!gm_pool_grow(e->pool, (void **)&frame->callees, &frame->callee_capacity, frame->callee_count + 1,
                          sizeof *frame->callees)) {
            el_out_of_memory(e);
            return NULL;
        }
        callee = &frame->callees[frame->callee_count++];
        *callee = (el_count){name, 0};
    }
    do { /* a function may be called Dense_2 */
        const char *plain = callee->name;
        callee->count++;
        name = callee->count == 1 ? plain : gm_pool_printf(e->pool, "%s_%d", plain, callee->count);
    } while (name && callee->count > 1 && el_callable_find(e, name));
    path = name ? gm_pool_printf(e->pool, "%s%c%s", frame->statement_path, separator, name) : NULL;
    if (path && frame->statement_owner)
        owner = gm_pool_printf(e->pool, "%s.%s", frame->statement_owner, name);
    if (!path || (frame->statement_owner && !owner)) {
        el_out_of_memory(e);
        return NULL;
    }
    if (owner_out)
        *owner_out = owner;
    return path;
}

bool el_has_room(elaborator *e, gm_location where)
{
    if (e->fatal == GM_OK && ++e->work > e->most_work) {
        el_error(e, where, "the model has more than %lld nodes and calls, which is the most for a file of its size",
                 (long long)e->most_work);
        e->fatal = GM_ERROR_MODEL;
    }
    return e->fatal == GM_OK;
}

gm_value_id el_emit(elaborator *e, const char *name, gm_location where, const gm_value_id *inputs, size_t count)
{
    const char *dot = strrchr(name, '.');
    const char *path = gm_pool_printf(e->pool, "%s.%s", e->frame->statement_path, dot ? dot + 1 : name);
    gm_value_id id;
    if (!path) {
        el_out_of_memory(e);
        return 0;
    }
    if (!el_has_room(e, where))
        return 0;
    el_place_node(e, where, path);
    id = gm_emit(e->graph, name, inputs, count, NULL, 0);
    return el_take_graph_error(e) ? 0 : id;
}

/* --- Names ---------------------------------------------------------------------------------------------------------------- */

static bool in_step(const elaborator *e)
{
    return e->frame && !e->frame->callable && e->frame->declaration && e->frame->declaration->kind == GM_AST_STEP;
}

/* epoch, epochs, iteration: float inputs of the step at their first use. */
static el_value progress_value(elaborator *e, const char *name)
{
    for (size_t i = 0; i < e->graph->input_count; i++)
        if (strcmp(e->graph->inputs[i].name, name) == 0)
            return el_tensor(e->graph->inputs[i].value);
    gm_value_id id = gm_graph_add_input(e->graph, name, GM_FLOAT, 0, NULL, false);
    return el_take_graph_error(e) ? el_failed : el_tensor(id);
}

static bool is_progress(const char *name)
{
    return strcmp(name, "epoch") == 0 || strcmp(name, "epochs") == 0 || strcmp(name, "iteration") == 0;
}

static const gm_ast_declaration *find_declaration(const elaborator *e, gm_ast_declaration_kind kind, const char *name)
{
    for (size_t i = 0; i < e->file->declaration_count; i++)
        if (e->file->declarations[i].kind == kind && e->file->declarations[i].name_count &&
            strcmp(e->file->declarations[i].names[0], name) == 0)
            return &e->file->declarations[i];
    return NULL;
}

/* "generator.h0.Dense.W", or while an update runs over several parameters, "generator" with the suffix of the one at hand. */
static bool state_value(elaborator *e, const char *path, el_value *value_out)
{
    int64_t index = e->update_suffix ? -1 : gm_program_state(e->program, path);
    if (e->update_suffix && strcmp(path, e->update_target) == 0) {
        index = e->update_state;
    } else if (e->update_suffix) {
        const char *full = gm_pool_printf(e->pool, "%s%s", path, e->update_suffix);
        if (!full) {
            *value_out = el_out_of_memory(e);
            return true;
        }
        index = gm_program_state(e->program, full);
        if (index < 0)
            index = gm_program_state(e->program, path);
    }
    if (index < 0 || e->program->states[index].kind > GM_STATE_BUFFER)
        return false;
    *value_out = (el_value){.kind = EL_STATE, .state = (uint32_t)index};
    return true;
}

static el_value unknown_name(elaborator *e, const char *name, gm_location where)
{
    gm_spelling spelling;
    el_callable *callable = el_callable_find(e, name);
    if (callable && callable->declaration->kind == GM_AST_NETWORK && e->update_suffix)
        return el_error(e, where, "the network '%s' has no '%s%s' to go with the parameter that is updated", name, name,
                        e->update_suffix);
    if (callable)
        return el_error(e, where, "'%s' is a %s: call it with ( )", name,
                        callable->declaration->kind == GM_AST_NETWORK ? "network" : "function");
    if (strcmp(name, "N") == 0 && e->frame && e->frame->declaration && e->frame->declaration->kind == GM_AST_SAMPLE)
        return el_error(e, where, "N, the batch, is known only in steps and networks: write a number in a sample");
    if (find_declaration(e, GM_AST_DATA_SET, name))
        return el_error(e, where, "'%s' is a data set, not a value: take its fields as inputs of the step", name);
    if (is_progress(name))
        return el_error(e, where, "'%s' is known only in the body of a step", name);
    gm_spelling_init(&spelling, name);
    if (e->frame)
        el_offer_names(&e->frame->names, &spelling);
    el_offer_names(el_consts(e), &spelling);
    for (size_t i = 0; e->update_suffix && i < e->callable_count; i++)
        if (e->callables[i].declaration->kind == GM_AST_NETWORK)
            gm_spelling_offer(&spelling, e->callables[i].name);
    return el_error(e, where, "unknown name '%s'%s", name, el_hint(e, &spelling));
}

static el_value name_value(elaborator *e, const char *name, gm_location where)
{
    el_value value;
    el_name *found = e->frame ? el_find(&e->frame->names, name) : NULL;
    for (const el_frame *outer = e->frame ? e->frame->outer : NULL; outer && !found; outer = outer->outer)
        found = el_find(&outer->names, name);
    if (!found && e->frame)
        found = el_find(&e->frame->sizes, name);
    if (!found)
        found = el_find(el_consts(e), name);
    if (found) {
        e->broken = e->broken || found->value.kind == EL_FAILED;
        return found->value;
    }
    if (e->graph && state_value(e, name, &value))
        return value;
    if (in_step(e) && e->graph && is_progress(name))
        return progress_value(e, name);
    return unknown_name(e, name, where);
}

static el_value path_value(elaborator *e, const gm_ast_expression *expression)
{
    const char *path;
    el_value value;
    el_name *found;
    gm_spelling spelling;
    if (expression->part_count == 1)
        return name_value(e, expression->parts[0], expression->where);
    path = el_join(e, expression->parts, expression->part_count);
    if (!path)
        return el_failed;
    if (e->frame && (found = el_find(&e->frame->names, path))) { /* an input such as photos.image */
        e->broken = e->broken || found->value.kind == EL_FAILED;
        return found->value;
    }
    const gm_data_declaration *data =
        e->frame && e->frame->scope ? NULL : gm_program_data(e->program, expression->parts[0]);
    for (size_t i = 0; data && i < data->field_count; i++)
        if (strcmp(data->fields[i].name, expression->parts[1]) == 0)
            return el_error(e, expression->where, "'%s' is a field of the data set '%s': make it an input of the step",
                            expression->parts[1], data->name);
    if (expression->part_count == 2 && el_is_data_set(e, expression->parts[0]))
        return el_table_value(e, expression->parts[0], expression->parts[1], expression->where);
    if (e->graph && state_value(e, path, &value))
        return value;
    gm_spelling_init(&spelling, path);
    for (size_t i = 0; i < e->program->state_count; i++)
        gm_spelling_offer(&spelling, e->program->states[i].path);
    return el_error(e, expression->where, "there is no parameter '%s'%s", path, el_hint(e, &spelling));
}

/* --- gradient, detach --- */

/* gradient(y, x): d sum(y) / d x, of the shape of x. */
static el_value gradient_call(elaborator *e, const gm_ast_expression *call, el_value *values)
{
    gm_value_id y, x, gradient = 0;
    const char *path;
    if (call->item_count != 2)
        return el_error(e, call->where, "gradient takes 2 inputs (y, x), found %zu", call->item_count);
    if (el_is_literal(values[1]) || el_is_literal(values[0]))
        return el_error(e, call->where, "gradient takes two values of the graph, found a number");
    y = el_to_tensor(e, values[0], GM_TYPE_UNDEFINED, call->where);
    x = el_to_tensor(e, values[1], GM_TYPE_UNDEFINED, call->where);
    if (!y || !x || !(path = el_callee_path(e, "gradient", '.', NULL)))
        return el_failed;
    if (e->broken)
        return el_failed; /* the graph may hold half a node: nothing can be differentiated */
    el_place_node(e, call->where, path);
    if (gm_autodiff(e->graph, &y, NULL, 1, &x, 1, &gradient) == GM_OK && !gradient)
        gradient = gm_zeros_like(e->graph, x);
    return el_take_graph_error(e) ? el_failed : el_tensor(gradient);
}

static el_value detach_call(elaborator *e, const gm_ast_expression *call, el_value *values)
{
    gm_value_id id;
    if (call->item_count != 1)
        return el_error(e, call->where, "detach takes 1 input, found %zu", call->item_count);
    if (el_is_constant(values[0]))
        return values[0];
    id = el_to_tensor(e, values[0], GM_TYPE_UNDEFINED, call->where);
    return id ? el_tensor(el_emit(e, "gmodel.Detach", call->where, &id, 1)) : el_failed;
}

/* --- Calls ---------------------------------------------------------------------------------------------------------------- */

/* Of a plain ONNX model: node, operator and its set. */
static size_t unknown_operator(elaborator *e, const char *name, gm_location where)
{
    const char *dot = strrchr(name, '.');
    const char *domain = dot ? gm_pool_substring(e->pool, name, (size_t)(dot - name)) : "";
    const char *path = el_callee_path(e, dot ? dot + 1 : name, '.', NULL);
    if (!domain || !path)
        el_out_of_memory(e);
    else
        el_unsupported(e, where, "node '%s' (%s, operator set %lld): this operator is not supported", path, name,
                       (long long)el_opset(e, domain));
    return 0;
}

static size_t unknown_callable(elaborator *e, const char *name, gm_location where)
{
    gm_spelling spelling;
    if (e->incomplete) {
        e->broken = true;
        return 0;
    }
    if (el_in_onnx(e))
        return unknown_operator(e, name, where);
    gm_spelling_init(&spelling, name);
    el_offer_callables(e, &spelling);
    for (size_t i = 0; i < gm_operator_count(); i++)
        if (gm_operator_at(i))
            gm_spelling_offer(&spelling, gm_operator_at(i)->name);
    el_error(e, where, "'%s' is not a network, a function or an operator that is known here%s", name,
             el_hint(e, &spelling));
    return 0;
}

static const gm_operator *find_operator(elaborator *e, const char *name)
{
    const gm_operator *op = gm_operator_find_name(name);
    const char *full;
    if (op || strchr(name, '.') || el_in_onnx(e))
        return op;
    full = gm_pool_printf(e->pool, "gmodel.%s", name);
    return full ? gm_operator_find_name(full) : NULL;
}

static bool evaluate_arguments(elaborator *e, const gm_ast_expression *call, el_value *values)
{
    bool good = true;
    for (size_t i = 0; i < call->item_count; i++) {
        values[i] = el_evaluate(e, call->items[i]);
        good = good && values[i].kind != EL_FAILED;
    }
    return good;
}

static size_t evaluate_named_call(elaborator *e, const gm_ast_expression *call, el_value *outputs, size_t wanted)
{
    const char *name = el_join(e, call->parts, call->part_count);
    bool onnx = el_in_onnx(e);
    el_callable *callable;
    const gm_operator *op;
    el_value *values;
    if (!name)
        return 0;
    if (!e->graph) {
        el_error(e, call->where, "'%s' cannot be called here: a constant is made of numbers, consts and + - * / ^",
                 name);
        return 0;
    }
    if (onnx && call->overload && !(name = el_onnx_name(e, "", name, call->overload)))
        return 0;
    callable = el_callable_find(e, name);
    if (callable)
        return el_call(e, callable, call, outputs, wanted);
    size_t count;
    if (el_control_call(e, name, call, outputs, wanted, &count))
        return count;
    values = gm_pool_array(e->pool, call->item_count + 1, sizeof *values);
    if (!values) {
        el_out_of_memory(e);
        return 0;
    }
    if (!onnx && (strcmp(name, "gradient") == 0 || strcmp(name, "detach") == 0)) {
        if (call->attributes.count) {
            el_error(e, call->attributes.items[0].where, "'%s' has no attributes", name);
            return 0;
        }
        if (!evaluate_arguments(e, call, values))
            return 0;
        outputs[0] = name[0] == 'g' ? gradient_call(e, call, values) : detach_call(e, call, values);
        return outputs[0].kind == EL_FAILED ? 0 : 1;
    }
    if (strcmp(name, "load") == 0 || strcmp(name, "copy") == 0) {
        el_error(e, call->where, "%s(...) stands only in 'network NAME = %s(...)'", name, name);
        return 0;
    }
    op = find_operator(e, name);
    if (!op)
        return unknown_callable(e, name, call->where);
    if ((op->flags & GM_OP_UPDATE) && !onnx) {
        el_error(e, call->where, "'%s' updates parameters: it stands behind `with` of a minimize", name);
        return 0;
    }
    return evaluate_arguments(e, call, values) ? el_operator_call(e, op, call, values, outputs, wanted) : 0;
}

/* Inside the arguments of a call sizes are numbers again, wherever the call stands. */
static size_t evaluate_call(elaborator *e, const gm_ast_expression *call, el_value *outputs, size_t wanted)
{
    bool whole_sizes = e->whole_sizes;
    size_t count;
    e->whole_sizes = false;
    count = evaluate_named_call(e, call, outputs, wanted);
    e->whole_sizes = whole_sizes;
    return count;
}

size_t el_evaluate_many(elaborator *e, const gm_ast_expression *expression, el_value *outputs, size_t wanted)
{
    size_t count;
    for (size_t i = 0; i < wanted; i++)
        outputs[i] = el_failed;
    if (e->fatal != GM_OK)
        return 0;
    if (expression->kind == GM_AST_CALL) {
        count = evaluate_call(e, expression, outputs, wanted);
        for (size_t i = count; i < wanted; i++)
            outputs[i] = el_failed;
        if (count && count < wanted)
            el_error(e, expression->where, "%zu names stand before '=', but the call gives %zu value%s", wanted, count,
                     count == 1 ? "" : "s");
        return count;
    }
    if (wanted > 1) {
        el_error(e, expression->where, "%zu names stand before '=', but the expression gives one value", wanted);
        return 0;
    }
    outputs[0] = el_evaluate(e, expression);
    return outputs[0].kind == EL_FAILED ? 0 : 1;
}

/* --- Infix arithmetic ------------------------------------------------------------------------------------------------------ */

static const char *infix_operator(char op)
{
    return op == '+' ? "Add" : op == '-' ? "Sub" : op == '*' ? "Mul" : op == '/' ? "Div" : "Pow";
}

static bool arithmetic_operand(elaborator *e, el_value value, const gm_ast_expression *expression)
{
    char text[160];
    gm_location where = expression->where;
    if (value.kind == EL_FAILED)
        return false;
    if (value.kind == EL_ABSENT && expression->kind == GM_AST_PATH) {
        el_error(e, where, "'%s' has no value here (left out by `when`, or an output that this mode lacks)",
                 expression->parts[0]);
        return false;
    }
    if (value.kind != EL_ABSENT && value.kind != EL_STRING && value.kind != EL_TYPE)
        return true;
    el_error(e, where, "arithmetic needs numbers or tensors, found %s", el_describe(e, value, text, sizeof text));
    return false;
}

static el_value negate(elaborator *e, const gm_ast_expression *expression)
{
    el_value value = el_evaluate(e, expression->items[0]);
    gm_value_id id;
    if (!arithmetic_operand(e, value, expression->items[0]))
        return el_failed;
    if (value.kind == EL_NUMBER || (value.kind == EL_DIM && (!e->graph || e->whole_sizes))) {
        if (value.kind == EL_DIM)
            return el_error(e, expression->where, "a size cannot be negative");
        if (value.is_float || value.integer == INT64_MIN)
            return el_real(-value.number);
        return el_integer(-value.integer);
    }
    id = el_to_tensor(e, value, value.kind == EL_DIM ? GM_FLOAT : GM_TYPE_UNDEFINED, expression->where);
    return id ? el_tensor(el_emit(e, "Neg", expression->where, &id, 1)) : el_failed;
}

static gm_type value_type(elaborator *e, el_value value)
{
    return value.kind == EL_TENSOR ? gm_value_of(e->graph, value.id)->type : e->program->states[value.state].type;
}

static bool is_scalar_constant(el_value value)
{
    return value.kind == EL_NUMBER || value.kind == EL_DIM;
}

/* 1 / N, N / 2, 0.5 * N: no sizes, but numbers all the same where a number may stand. */
static bool is_real_of_size(elaborator *e, char op, el_value a, el_value b)
{
    el_value size;
    return e->graph && !e->whole_sizes && (a.kind == EL_DIM || b.kind == EL_DIM) &&
           !el_size_arithmetic(e, op, a, b, &size);
}

/* 0 * l for a single number l, such as a term of a loss that a const switches off. */
static bool is_switched_off(elaborator *e, el_value value)
{
    const gm_node *node = e->graph && value.kind == EL_TENSOR ? gm_producer_of(e->graph, value.id) : NULL;
    const gm_value *product = node ? gm_value_of(e->graph, value.id) : NULL;
    double factor;
    if (!node || product->rank != 0 || !gm_type_find(product->type)->floating || strcmp(node->op->name, "Mul") != 0)
        return false;
    return (gm_constant_number(e->graph, node->inputs[0], &factor) && factor == 0) ||
           (gm_constant_number(e->graph, node->inputs[1], &factor) && factor == 0);
}

/* a + 0 * l, a - 0 * l, 0 * l + a for single numbers: a, so that nothing of the term is computed. Returns false for others. */
static bool leave_out(elaborator *e, char op, el_value a, el_value b, el_value *kept_out)
{
    bool first = op == '+' && is_switched_off(e, a), second = (op == '+' || op == '-') && is_switched_off(e, b);
    *kept_out = second ? a : b;
    return (first || second) && kept_out->kind == EL_TENSOR && gm_value_of(e->graph, kept_out->id)->rank == 0;
}

static el_value binary(elaborator *e, const gm_ast_expression *expression)
{
    el_value a = el_evaluate(e, expression->items[0]), b = el_evaluate(e, expression->items[1]), kept;
    gm_type type = GM_TYPE_UNDEFINED;
    gm_value_id inputs[2];
    if (!arithmetic_operand(e, a, expression->items[0]) || !arithmetic_operand(e, b, expression->items[1]))
        return el_failed;
    if (is_scalar_constant(a) && is_scalar_constant(b) && !is_real_of_size(e, expression->op, a, b))
        return el_arithmetic(e, expression->op, a, b, expression->where);
    if (!e->graph)
        return el_error(e, expression->where, "a constant is made of numbers, consts and + - * / ^");
    if (leave_out(e, expression->op, a, b, &kept))
        return kept;
    if (!el_is_literal(a))
        type = value_type(e, a);
    else if (!el_is_literal(b))
        type = value_type(e, b);
    else if ((is_scalar_constant(a) && is_scalar_constant(b)) || el_has_point(a) || el_has_point(b))
        type = GM_FLOAT;
    inputs[0] = el_to_tensor(e, a, type, expression->where);
    inputs[1] = inputs[0] ? el_to_tensor(e, b, type, expression->where) : 0;
    if (!inputs[0] || !inputs[1])
        return el_failed;
    return el_tensor(el_emit(e, infix_operator(expression->op), expression->where, inputs, 2));
}

/* --- Expressions ----------------------------------------------------------------------------------------------------------- */

static el_value list_value(elaborator *e, const gm_ast_expression *expression, bool attribute)
{
    el_value list = {.kind = EL_LIST, .count = expression->item_count};
    list.items = gm_pool_array(e->pool, list.count + 1, sizeof *list.items);
    if (!list.items)
        return el_out_of_memory(e);
    bool whole_sizes = e->whole_sizes, good = true;
    e->whole_sizes = true;
    for (size_t i = 0; i < list.count && good; i++) {
        list.items[i] =
            attribute ? el_evaluate_attribute(e, expression->items[i]) : el_evaluate(e, expression->items[i]);
        good = list.items[i].kind != EL_FAILED;
    }
    e->whole_sizes = whole_sizes;
    return good ? list : el_failed;
}

/* @name: an attribute of the function. */
static el_value reference_value(elaborator *e, const gm_ast_expression *expression)
{
    const char *name = el_in_onnx(e) ? gm_pool_printf(e->pool, "@%s", expression->text) : expression->text;
    return name ? name_value(e, name, expression->where) : el_out_of_memory(e);
}

static el_value evaluate(elaborator *e, const gm_ast_expression *expression, bool attribute)
{
    el_value output = el_failed;
    switch (expression->kind) {
    case GM_AST_NUMBER:
        return expression->is_float ? el_real(expression->number) : el_integer(expression->integer);
    case GM_AST_STRING:
        if (attribute)
            return el_string(expression->text);
        if (expression->text[0] == '\0')
            return (el_value){.kind = EL_ABSENT};
        return name_value(e, expression->text, expression->where);
    case GM_AST_PATH:
        return path_value(e, expression);
    case GM_AST_LIST:
    case GM_AST_DATA:
        return list_value(e, expression, attribute);
    case GM_AST_CALL:
        el_evaluate_many(e, expression, &output, 1);
        return output;
    case GM_AST_NEGATE:
        return negate(e, expression);
    case GM_AST_BINARY:
        return binary(e, expression);
    case GM_AST_TYPE:
        return (el_value){.kind = EL_TYPE, .type = expression->type->type};
    case GM_AST_TENSOR:
        if (e->graph && expression->tensor) {
            gm_value_id id = gm_graph_constant(e->graph, expression->tensor);
            return el_take_graph_error(e) ? el_failed : el_tensor(id);
        }
        return el_unsupported(e, expression->where, "a tensor of this kind cannot stand here");
    case GM_AST_REFERENCE:
        return reference_value(e, expression);
    default:
        return el_unsupported(e, expression->where, "a graph stands only in the attributes of If, Loop and Scan");
    }
}

el_value el_evaluate(elaborator *e, const gm_ast_expression *expression)
{
    return e->fatal == GM_OK && expression ? evaluate(e, expression, false) : el_failed;
}

el_value el_evaluate_attribute(elaborator *e, const gm_ast_expression *expression)
{
    bool whole_sizes = e->whole_sizes;
    el_value value;
    if (e->fatal != GM_OK || !expression)
        return el_failed;
    e->whole_sizes = true;
    value = evaluate(e, expression, true);
    e->whole_sizes = whole_sizes;
    return value;
}
