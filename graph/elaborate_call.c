/* Elaboration: headers, bodies, and calls of networks and functions, which are evaluated in place. */
#include "graph/elaborate.h"

#include <stdio.h>
#include <string.h>

/* Plain ONNX calls nothing but its own functions. */
static el_callable *onnx_function(const elaborator *e, const char *name)
{
    for (size_t i = 0; i < e->callable_count; i++)
        if (e->callables[i].declaration->onnx && e->callables[i].declaration->kind == GM_AST_FUNCTION &&
            e->callables[i].home == e->frame->scope && strcmp(e->callables[i].name, name) == 0)
            return &e->callables[i];
    return NULL;
}

el_callable *el_callable_find(const elaborator *e, const char *name)
{
    if (el_in_onnx(e))
        return onnx_function(e, name);
    bool prelude_only = e->frame && e->frame->prelude;
    const el_module *home = e->frame ? e->frame->scope : NULL;
    for (int prelude = prelude_only ? 1 : 0; prelude < 2; prelude++)
        for (size_t i = 0; i < e->callable_count; i++)
            if (e->callables[i].prelude == (prelude == 1) && e->callables[i].home == (prelude ? NULL : home) &&
                strcmp(e->callables[i].name, name) == 0)
                return &e->callables[i];
    return NULL;
}

const el_names *el_consts(const elaborator *e)
{
    static const el_names none = {0};
    if (!e->frame)
        return &e->consts;
    return e->frame->prelude ? &none : e->frame->scope ? &e->frame->scope->consts : &e->consts;
}

void el_offer_callables(const elaborator *e, gm_spelling *spelling)
{
    const el_module *home = e->frame ? e->frame->scope : NULL;
    for (size_t i = 0; i < e->callable_count; i++)
        if (el_in_onnx(e) ? e->callables[i].home == home && e->callables[i].declaration->onnx &&
                                e->callables[i].declaration->kind == GM_AST_FUNCTION
                          : e->callables[i].home == home || e->callables[i].prelude)
            gm_spelling_offer(spelling, e->callables[i].name);
}

/* --- Dimensions ----------------------------------------------------------------------------------------------------------- */

static bool is_symbol_name(const elaborator *e, const gm_ast_expression *expression, const char **name_out)
{
    *name_out = NULL;
    if (expression->kind == GM_AST_STRING)
        *name_out = expression->text;
    else if (expression->kind == GM_AST_PATH && expression->part_count == 1)
        *name_out = expression->parts[0];
    if (!*name_out)
        return false;
    return expression->kind == GM_AST_STRING || el_in_onnx(e) || ((*name_out)[0] >= 'A' && (*name_out)[0] <= 'Z');
}

typedef enum el_dim_state { EL_DIM_KNOWN, EL_DIM_UNBOUND, EL_DIM_WRONG } el_dim_state;

/* KNOWN: *dim_out; UNBOUND: a symbol not seen yet, *name_out. */
static el_dim_state evaluate_dim(elaborator *e, const gm_ast_dim *dim, gm_dim *dim_out, const char **name_out)
{
    const char *name;
    bool symbol = is_symbol_name(e, dim->expression, &name);
    el_name *found = name ? el_find(&e->frame->sizes, name) : NULL;
    gm_spelling spelling;
    *name_out = name;
    if (name && !found)
        found = el_find(&e->frame->names, name);
    if (name && !found)
        found = el_find(el_consts(e), name);
    if (found) {
        const char *what = gm_pool_printf(e->pool, "the dimension '%s'", name);
        e->broken = e->broken || found->value.kind == EL_FAILED;
        return what && el_to_size(e, found->value, dim->where, what, dim_out) ? EL_DIM_KNOWN : EL_DIM_WRONG;
    }
    if (symbol)
        return EL_DIM_UNBOUND;
    if (!name)
        return el_to_size(e, el_evaluate_attribute(e, dim->expression), dim->where, "a dimension", dim_out)
                   ? EL_DIM_KNOWN
                   : EL_DIM_WRONG;
    gm_spelling_init(&spelling, name);
    el_offer_names(&e->frame->names, &spelling);
    el_offer_names(el_consts(e), &spelling);
    el_error(
        e, dim->where,
        "unknown dimension '%s': it is neither a const nor an attribute, and dimensions that inputs bind start with a "
        "capital letter%s",
        name, el_hint(e, &spelling));
    return EL_DIM_WRONG;
}

static size_t add_dim_text(char *buffer, size_t bytes, size_t length, const char *name)
{
    return (size_t)snprintf(buffer + length, bytes - length, "%s%.30s", strchr(buffer, '[') ? ", " : "[", name);
}

/* "float[N, 100]": known sizes as numbers. */
static const char *type_text(elaborator *e, const gm_ast_type *type, char *buffer, size_t bytes)
{
    size_t length = (size_t)snprintf(buffer, bytes, "%s", type->type ? gm_type_name(type->type) : "");
    if (type->any_shape)
        snprintf(buffer + length, bytes - length, "[]");
    if (type->any_shape || !type->has_shape)
        return buffer;
    for (size_t i = 0; i < type->dim_count && length + 40 < bytes; i++) {
        const char *name = "?";
        char number[32];
        gm_dim dim = 0;
        bool ellipsis = type->dims[i].kind == GM_AST_DIM_ELLIPSIS;
        if (ellipsis && e->frame->has_ellipsis) {
            for (int k = 0; k < e->frame->ellipsis_rank && length + 40 < bytes; k++)
                length += add_dim_text(buffer, bytes, length,
                                       gm_dim_print(e->program->symbols, e->frame->ellipsis[k], number, sizeof number));
            continue;
        }
        if (ellipsis) {
            name = "...";
        } else if (type->dims[i].kind == GM_AST_DIM_EXPRESSION) {
            int errors = e->errors;
            el_dim_state state = evaluate_dim(e, &type->dims[i], &dim, &name);
            if (state == EL_DIM_KNOWN)
                name = gm_dim_print(e->program->symbols, dim, number, sizeof number);
            if (e->errors != errors || !name)
                name = "?";
        }
        length += add_dim_text(buffer, bytes, length, name);
    }
    snprintf(buffer + length, bytes - length, strchr(buffer, '[') ? "]" : "[]");
    return buffer;
}

static bool add_dim(elaborator *e, const gm_ast_type *type, int *rank, gm_dim *dims, gm_dim dim)
{
    if (*rank >= GM_MAX_RANK) {
        el_error(e, type->where, "a shape has at most %d dimensions", GM_MAX_RANK);
        return false;
    }
    dims[(*rank)++] = dim;
    return true;
}

bool el_type_dims(elaborator *e, const gm_ast_type *type, int *rank_out, gm_dim *dims_out)
{
    int rank = 0;
    for (size_t i = 0; i < type->dim_count; i++) {
        gm_dim dim = 0;
        const char *name;
        el_dim_state state;
        if (type->dims[i].kind != GM_AST_DIM_EXPRESSION) {
            el_error(e, type->dims[i].where, "every dimension must be known here");
            return false;
        }
        state = evaluate_dim(e, &type->dims[i], &dim, &name);
        if (state == EL_DIM_UNBOUND)
            el_error(e, type->dims[i].where, "the dimension '%s' is not bound by an input", name);
        if (state != EL_DIM_KNOWN || !add_dim(e, type, &rank, dims_out, dim))
            return false;
    }
    *rank_out = rank;
    return true;
}

/* --- Inputs of a graph ------------------------------------------------------------------------------------------------------ */

/* `...` of a network that stands alone: the batch if it comes first, nothing behind other dimensions. */
static bool standalone_ellipsis(elaborator *e, const gm_ast_type *type, size_t index, int *rank, gm_dim *dims)
{
    el_frame *frame = e->frame;
    if (!frame->has_ellipsis) {
        frame->has_ellipsis = true;
        frame->ellipsis_rank = index == 0 ? 1 : 0;
        frame->ellipsis[0] = gm_dim_symbol(e->program->symbols, "N");
    }
    for (int i = 0; i < frame->ellipsis_rank; i++)
        if (!add_dim(e, type, rank, dims, frame->ellipsis[i]))
            return false;
    return true;
}

static bool input_dims(elaborator *e, const gm_ast_parameter *input, int *rank_out, gm_dim *dims)
{
    const gm_ast_type *type = input->type;
    int rank = 0;
    for (size_t i = 0; i < type->dim_count; i++) {
        const gm_ast_dim *item = &type->dims[i];
        gm_dim dim = 0;
        const char *name;
        if (item->kind == GM_AST_DIM_ELLIPSIS) {
            if (!standalone_ellipsis(e, type, i, &rank, dims))
                return false;
            continue;
        }
        if (item->kind == GM_AST_DIM_UNKNOWN) {
            dim = gm_dim_unknown(e->program->symbols);
        } else {
            el_dim_state state = evaluate_dim(e, item, &dim, &name);
            if (state == EL_DIM_WRONG)
                return false;
            if (state == EL_DIM_UNBOUND) {
                dim = gm_dim_symbol(e->program->symbols, name);
                if (!el_define(e, &e->frame->sizes, name, el_size(dim), item->where))
                    return false;
            }
        }
        if (!add_dim(e, type, &rank, dims, dim))
            return false;
    }
    *rank_out = rank;
    return true;
}

/* The tensor that the caller gave for an input whose values must be known. */
static const gm_tensor *fixed_input(const elaborator *e, const char *name)
{
    for (size_t i = 0; e->options && i < e->options->fixed_count; i++)
        if (strcmp(e->options->fixed[i].name, name) == 0)
            return e->options->fixed[i].tensor;
    return NULL;
}

/* Dimensions are bound to those of the tensor. */
static el_value fixed_value(elaborator *e, const gm_ast_parameter *input, const gm_tensor *tensor)
{
    gm_value_id id = gm_graph_constant(e->graph, tensor);
    const char *what = gm_pool_printf(e->pool, "the input '%s'", input->name);
    if (!what)
        return el_out_of_memory(e);
    if (el_take_graph_error(e) || !el_match_type(e, input->type, id, true, input->where, what))
        return el_failed;
    return el_tensor(id);
}

static el_value untyped_input(elaborator *e, const gm_ast_parameter *input)
{
    if (input->type && input->type->constructor)
        return el_unsupported(e, input->where, "the input '%s' is a %s; only tensors are supported", input->name,
                              input->type->constructor);
    return el_error(e, input->where, "the input '%s' needs a type and a shape, such as float[N, 784]", input->name);
}

bool el_header_inputs(elaborator *e, const gm_ast_signature *signature)
{
    bool good = true;
    for (size_t i = 0; i < signature->input_count; i++) {
        const gm_ast_parameter *input = &signature->inputs[i];
        gm_dim dims[GM_MAX_RANK] = {0};
        int rank = 0;
        el_value value = el_failed;
        const gm_tensor *fixed = fixed_input(e, input->name);
        if (fixed) {
            value = fixed_value(e, input, fixed);
        } else if (!input->type || !input->type->type || input->type->any_shape || input->type->constructor) {
            untyped_input(e, input);
        } else if (input->default_value) {
            el_unsupported(e, input->where, "an input with a value is not supported: declare '%s' as param or const",
                           input->name);
        } else if (input_dims(e, input, &rank, dims)) {
            e->graph->where = input->where;
            value = el_tensor(gm_graph_add_input(e->graph, input->name, input->type->type, rank, dims, false));
            if (el_take_graph_error(e))
                value = el_failed;
        }
        good = el_define(e, &e->frame->names, input->name, value, input->where) && value.kind != EL_FAILED && good;
    }
    return good;
}

/* --- Checking types against headers ----------------------------------------------------------------------------------------- */

static bool is_anonymous(const elaborator *e, gm_dim dim)
{
    char text[64];
    return strcmp(gm_dim_print(e->program->symbols, dim, text, sizeof text), "?") == 0;
}

static bool match_ellipsis(elaborator *e, const gm_value *value, int at, int rank, bool bind)
{
    el_frame *frame = e->frame;
    if (!frame->has_ellipsis) {
        if (!bind)
            return false;
        frame->has_ellipsis = true;
        frame->ellipsis_rank = rank;
        memcpy(frame->ellipsis, value->dims + at, (size_t)rank * sizeof *frame->ellipsis);
        return true;
    }
    if (frame->ellipsis_rank != rank)
        return false;
    for (int i = 0; i < rank; i++)
        if (frame->ellipsis[i] != value->dims[at + i])
            return false;
    return true;
}

/* false without a diagnostic: the shapes differ; *wrong: a dimension could not be evaluated, which was reported. */
static bool match_dims(elaborator *e, const gm_ast_type *type, const gm_value *value, bool bind, bool *wrong)
{
    int ellipsis = 0, at = 0;
    for (size_t i = 0; i < type->dim_count; i++)
        ellipsis += type->dims[i].kind == GM_AST_DIM_ELLIPSIS;
    if (ellipsis ? value->rank < (int)type->dim_count - 1 : value->rank != (int)type->dim_count)
        return false;
    for (size_t i = 0; i < type->dim_count; i++) {
        const gm_ast_dim *item = &type->dims[i];
        gm_dim dim = 0, actual = value->dims[at];
        const char *name;
        if (item->kind == GM_AST_DIM_ELLIPSIS) {
            int rank = value->rank - (int)type->dim_count + 1;
            if (!match_ellipsis(e, value, at, rank, bind))
                return false;
            at += rank;
            continue;
        }
        at++;
        if (item->kind == GM_AST_DIM_UNKNOWN)
            continue;
        el_dim_state state = evaluate_dim(e, item, &dim, &name);
        if (state == EL_DIM_UNBOUND && !bind)
            el_error(e, item->where, "the dimension '%s' is not bound by an input", name);
        if (state == EL_DIM_WRONG || (state == EL_DIM_UNBOUND && !bind)) {
            *wrong = true;
            return false;
        }
        if (state == EL_DIM_UNBOUND) {
            if (!el_define(e, &e->frame->sizes, name, el_size(actual), item->where)) {
                *wrong = true;
                return false;
            }
        } else if (dim != actual && !is_anonymous(e, actual)) {
            return false;
        }
    }
    return true;
}

bool el_match_type(elaborator *e, const gm_ast_type *type, gm_value_id id, bool bind, gm_location where,
                   const char *what)
{
    char expected[256], found[256];
    bool wrong = false, same;
    gm_value value;
    if (!type || !id || type->type == GM_TYPE_UNDEFINED)
        return true;
    if (type->constructor) {
        el_unsupported(e, where, "%s is a %s, which is not supported: only tensors are", what, type->constructor);
        return false;
    }
    value = *gm_value_of(e->graph, id);
    same = value.type == type->type;
    if (same && !type->any_shape)
        same = type->has_shape ? match_dims(e, type, &value, bind, &wrong) : value.rank == 0;
    if (same || wrong)
        return same;
    gm_shape_text(e->graph, id, found, sizeof found);
    el_error(e, where, "%s must be %s%s, found %s", what, type_text(e, type, expected, sizeof expected),
             type->has_shape || type->any_shape ? "" : " (a scalar)", found);
    return false;
}

/* --- Statements --------------------------------------------------------------------------------------------------------------- */

bool el_begin_statement(elaborator *e, const char *name, gm_location where)
{
    el_frame *frame = e->frame;
    el_name *old = el_find(&frame->statements, name);
    if (old) {
        el_error(e, where,
                 "two statements are called '%s' (the other in line %d): parameters and random draws are named after "
                 "them, so give one a label: [name] in front",
                 name, old->where.line);
        return false;
    }
    if (!el_define(e, &frame->statements, name, el_integer(0), where))
        return false;
    frame->callee_count = 0;
    frame->statement_path = gm_pool_printf(e->pool, "%s%c%s", frame->path, frame->callable ? '.' : '/', name);
    frame->statement_owner = frame->owner ? gm_pool_printf(e->pool, "%s.%s", frame->owner, name) : NULL;
    if (!frame->statement_path || (frame->owner && !frame->statement_owner)) {
        el_out_of_memory(e);
        return false;
    }
    return true;
}

/* A buffer before '=' receives its next value, in training mode and inside a step. */
static void assign_output(elaborator *e, const gm_ast_statement *statement, size_t index, el_value value)
{
    const char *name = statement->outputs[index];
    el_name *old = el_find(&e->frame->names, name);
    const gm_state_entry *state;
    if (!old || old->value.kind != EL_STATE) {
        const gm_ast_type *type = statement->output_types && !el_in_onnx(e) ? statement->output_types[index] : NULL;
        if (el_define(e, &e->frame->names, name, value, statement->where) && value.kind == EL_TENSOR && type)
            el_match_type(e, type, value.id, true, statement->where, name);
        return;
    }
    state = &e->program->states[old->value.state];
    if (state->kind != GM_STATE_BUFFER) {
        el_error(e, statement->where,
                 "'%s' is a parameter: only minimize and update write it; declare it as buffer to assign it", name);
        return;
    }
    if (value.kind == EL_FAILED || value.kind == EL_ABSENT || !e->writes_buffers || !e->frame->training)
        return;
    gm_value_id id = el_to_tensor(e, value, state->type, statement->where);
    if (!id)
        return;
    const gm_value *found = gm_value_of(e->graph, id);
    bool same = found->type == state->type && found->rank == state->rank;
    for (int i = 0; same && i < state->rank; i++)
        same = found->dims[i] == state->dims[i];
    if (same) {
        el_state_assign(e, old->value.state, id);
        return;
    }
    char expected[160], actual[160];
    el_error(e, statement->where, "the buffer '%s' has the shape %s, its next value %s", name,
             gm_dims_print(e->program->symbols, state->rank, state->dims, expected, sizeof expected),
             gm_shape_text(e->graph, id, actual, sizeof actual));
}

void el_assign_statement(elaborator *e, const gm_ast_statement *statement)
{
    el_value *values = gm_pool_array(e->pool, statement->output_count + 1, sizeof *values);
    const char *name = statement->label;
    el_name *old;
    for (size_t i = 0; i < statement->output_count && !name; i++)
        if (statement->outputs[i][0])
            name = statement->outputs[i];
    if (!values) {
        el_out_of_memory(e);
        return;
    }
    old = name && !statement->label ? el_find(&e->frame->names, name) : NULL;
    if (old && old->value.kind != EL_STATE) {
        el_error(e, statement->where, "'%s' has a value already, from line %d: each name gets one", name,
                 old->where.line);
        return;
    }
    if (!el_begin_statement(e, name ? name : "_", statement->where)) {
        for (size_t i = 0; i < statement->output_count; i++)
            if (statement->outputs[i][0] && !el_find(&e->frame->names, statement->outputs[i]))
                el_define(e, &e->frame->names, statement->outputs[i], el_failed, statement->where);
        return;
    }
    el_evaluate_many(e, statement->value, values, statement->output_count);
    for (size_t i = 0; i < statement->output_count; i++)
        if (statement->outputs[i][0])
            assign_output(e, statement, i, values[i]);
}

void el_body(elaborator *e, const gm_ast_body *body)
{
    for (size_t i = 0; i < body->count && e->fatal == GM_OK; i++) {
        const gm_ast_statement *statement = &body->statements[i];
        if (statement->kind == GM_AST_ASSIGN)
            el_assign_statement(e, statement);
        else if (statement->kind == GM_AST_PARAM || statement->kind == GM_AST_BUFFER)
            el_param_statement(e, statement);
        else
            el_keyword_statement(e, statement);
    }
}

/* --- Calls --------------------------------------------------------------------------------------------------------------------- */

static void report_cycle(elaborator *e, const el_callable *callable, gm_location where)
{
    gm_text text;
    gm_text_init(&text, e->context);
    const el_frame *chain[EL_MAX_CALL_DEPTH + 1];
    size_t count = 0;
    for (const el_frame *frame = e->frame; frame && count < GM_COUNT(chain); frame = frame->parent) {
        if (frame->callable)
            chain[count++] = frame;
        if (frame->callable == callable)
            break;
    }
    while (count-- > 0)
        gm_text_add(&text, "%s -> ", chain[count]->callable->name);
    gm_text_add(&text, "%s", callable->name);
    el_error(e, where, "a call goes round in a circle: %s", text.data ? text.data : "");
    gm_text_destroy(&text);
}

static const gm_ast_attribute *attribute_of_call(const gm_ast_attributes *written, const char *name, size_t index)
{
    for (size_t i = 0; i < written->count; i++)
        if (written->items[i].name ? strcmp(written->items[i].name, name) == 0 : i == index)
            return &written->items[i];
    return NULL;
}

static bool unknown_attributes(elaborator *e, const el_callable *callable, const gm_ast_attributes *written)
{
    const gm_ast_attributes *header = &callable->declaration->attributes;
    for (size_t i = 0; i < written->count; i++) {
        const gm_ast_attribute *item = &written->items[i];
        bool known = !item->name && i < header->count;
        gm_spelling spelling;
        if (!item->name && i >= header->count) {
            el_error(e, item->where, "'%s' has %zu attribute%s, found one more", callable->name, header->count,
                     header->count == 1 ? "" : "s");
            return true;
        }
        gm_spelling_init(&spelling, item->name ? item->name : "");
        for (size_t k = 0; k < header->count; k++) {
            known = known || strcmp(header->items[k].name, item->name) == 0;
            gm_spelling_offer(&spelling, header->items[k].name);
        }
        for (size_t k = 0; k < i; k++)
            if (item->name && known &&
                strcmp(written->items[k].name ? written->items[k].name : header->items[k].name, item->name) == 0) {
                el_error(e, item->where, "the attribute '%s' is given twice", item->name);
                return true;
            }
        if (!known) {
            el_error(e, item->where, "'%s' has no attribute '%s'%s", callable->name, item->name, el_hint(e, &spelling));
            return true;
        }
    }
    return false;
}

/* Defines the attributes of a function in its frame: given ones are evaluated where the call stands, defaults inside. */
static bool bind_attributes(elaborator *e, el_frame *frame, const gm_ast_expression *call)
{
    const gm_ast_attributes *header = &frame->callable->declaration->attributes;
    el_frame *caller = e->frame;
    if (unknown_attributes(e, frame->callable, &call->attributes))
        return false;
    for (size_t i = 0; i < header->count; i++) {
        const gm_ast_attribute *item = &header->items[i], *given = attribute_of_call(&call->attributes, item->name, i);
        el_value value;
        char text[160];
        if (!given && !item->value && !frame->declaration->onnx) {
            el_error(e, call->where, "'%s' needs the attribute '%s'", frame->callable->name, item->name);
            return false;
        }
        if (!given && !item->value)
            continue; /* of plain ONNX: a reference to it is then left out too */
        e->frame = given ? caller : frame;
        value = el_evaluate_attribute(e, given ? given->value : item->value);
        e->frame = caller;
        if (value.kind == EL_FAILED)
            return false;
        if (!el_is_constant(value)) {
            el_error(e, given ? given->where : item->where, "the attribute '%s' must be known at load, found %s",
                     item->name, el_describe(e, value, text, sizeof text));
            return false;
        }
        if (item->type && strcmp(item->type, "float") == 0 && value.kind == EL_NUMBER)
            value = el_real(value.number);
        const char *name = frame->declaration->onnx ? gm_pool_printf(e->pool, "@%s", item->name) : item->name;
        if (!name || !el_define(e, &frame->names, name, value, item->where))
            return false;
    }
    return true;
}

static bool bind_training(elaborator *e, el_frame *frame, const gm_ast_expression *call)
{
    for (size_t i = 0; i < call->attributes.count; i++) {
        const gm_ast_attribute *item = &call->attributes.items[i];
        int64_t training;
        if (!item->name || strcmp(item->name, "training") != 0) {
            el_error(e, item->where, "a network has one attribute, 'training' (0 or 1)%s%s%s",
                     item->name ? ", found '" : "", item->name ? item->name : "", item->name ? "'" : "");
            return false;
        }
        if (!el_to_integer(e, el_evaluate_attribute(e, item->value), item->where, "the attribute 'training'",
                           &training))
            return false;
        if (training != 0 && training != 1) {
            el_error(e, item->where, "the attribute 'training' must be 0 or 1, found %lld", (long long)training);
            return false;
        }
        frame->training = training == 1;
    }
    return true;
}

static bool bind_inputs(elaborator *e, el_frame *frame, const gm_ast_expression *call, const el_value *values)
{
    const gm_ast_signature *signature = &frame->declaration->signature;
    el_frame *caller = e->frame;
    bool failed = frame->callable->failed, good = true;
    for (size_t i = 0; i < signature->input_count && good; i++) {
        const gm_ast_parameter *input = &signature->inputs[i];
        el_value value = values[i];
        const char *what = gm_pool_printf(e->pool, "input '%s' of '%s'", input->name, frame->callable->name);
        if (!what) {
            el_out_of_memory(e);
            return false;
        }
        if (value.kind != EL_ABSENT) {
            gm_type type = input->type ? input->type->type : GM_TYPE_UNDEFINED;
            gm_value_id id =
                el_to_tensor(e, value, value.kind == EL_TENSOR ? GM_TYPE_UNDEFINED : type, call->items[i]->where);
            if (!id)
                return false;
            value = el_tensor(id);
            e->frame = frame;
            good = el_match_type(e, input->type, id, true, call->items[i]->where, what);
            e->frame = caller;
        }
        good = good && el_define(e, &frame->names, input->name, value, input->where);
    }
    frame->callable->failed = failed; /* a wrong argument is the caller's mistake */
    return good;
}

/* The outputs of the body, held against the header. */
static size_t collect_outputs(elaborator *e, el_frame *frame, el_value *outputs, size_t wanted)
{
    const gm_ast_signature *signature = &frame->declaration->signature;
    for (size_t i = 0; i < wanted; i++) {
        const gm_ast_parameter *output = &signature->outputs[i];
        el_name *found = el_find(&frame->names, output->name);
        gm_spelling spelling;
        gm_value_id id;
        for (size_t k = 0; k < i; k++)
            if (strcmp(signature->outputs[k].name, output->name) == 0) {
                el_error(e, output->where, "'%s' has two outputs called '%s'", frame->callable->name, output->name);
                return 0;
            }
        if (!found) {
            gm_spelling_init(&spelling, output->name);
            el_offer_names(&frame->names, &spelling);
            el_error(e, output->where, "the output '%s' of '%s' never gets a value%s", output->name,
                     frame->callable->name, el_hint(e, &spelling));
            return 0;
        }
        id = el_to_tensor(e, found->value, output->type ? output->type->type : GM_TYPE_UNDEFINED, output->where);
        const char *what = gm_pool_printf(e->pool, "output '%s' of '%s'", output->name, frame->callable->name);
        if (!id || !what || !el_match_type(e, output->type, id, false, output->where, what))
            return 0;
        outputs[i] = el_tensor(id);
    }
    return wanted;
}

static bool check_call(elaborator *e, const el_callable *callable, const gm_ast_expression *call, size_t wanted)
{
    const gm_ast_signature *signature = &callable->declaration->signature;
    if (callable->declaration->value_count) {
        el_error(e, call->where, "the loaded network calls '%s', which is itself made by load or copy: load that too",
                 callable->name);
        return false;
    }
    if (callable->running) {
        report_cycle(e, callable, call->where);
        return false;
    }
    if (e->depth >= EL_MAX_CALL_DEPTH) {
        el_error(e, call->where, "calls are nested more than %d deep", EL_MAX_CALL_DEPTH);
        return false;
    }
    if (callable->declaration->onnx ? call->item_count > signature->input_count
                                    : call->item_count != signature->input_count) {
        el_error(e, call->where, "'%s' takes %zu input%s, found %zu", callable->name, signature->input_count,
                 signature->input_count == 1 ? "" : "s", call->item_count);
        return false;
    }
    if (wanted > signature->output_count) {
        el_error(e, call->where, "'%s' has %zu output%s, but %zu names stand before '='", callable->name,
                 signature->output_count, signature->output_count == 1 ? "" : "s", wanted);
        return false;
    }
    return el_has_room(e, call->where);
}

static void note_network_call(elaborator *e, const el_callable *callable)
{
    for (const el_frame *frame = e->frame; frame; frame = frame->parent)
        if (frame->callable && frame->callable->calls)
            frame->callable->calls[callable - e->callables] = true;
}

/* Whose parameters these are. A network that a loaded one calls has its own: "judge.decoder". */
static void enter_network(elaborator *e, el_frame *frame)
{
    const el_callable *callable = frame->callable;
    frame->network = callable->name;
    if (callable->root || callable->original)
        frame->made = callable;
    else if (!callable->home)
        frame->made = NULL;
    else if (frame->made && strcmp(frame->made->root, callable->name) == 0)
        frame->network = frame->made->name;
    else if (frame->made && !(frame->network = gm_pool_printf(e->pool, "%s.%s", frame->made->name, callable->name)))
        el_out_of_memory(e);
    frame->owner = frame->network;
}

size_t el_call(elaborator *e, el_callable *callable, const gm_ast_expression *call, el_value *outputs, size_t wanted)
{
    el_frame *caller = e->frame;
    bool network = callable->declaration->kind == GM_AST_NETWORK;
    el_frame frame = {.parent = caller, .declaration = callable->declaration, .callable = callable};
    size_t inputs = callable->declaration->signature.input_count;
    el_value *values = gm_pool_array(e->pool, inputs + call->item_count + 1, sizeof *values);
    gm_location call_site = e->call_site;
    size_t count = 0;
    if (!values) {
        el_out_of_memory(e);
        return 0;
    }
    if (callable->failed && !callable->running) {
        e->broken = true;
        return 0;
    }
    if (!check_call(e, callable, call, wanted))
        return 0;
    for (size_t i = 0; i < call->item_count; i++)
        if ((values[i] = el_evaluate(e, call->items[i])).kind == EL_FAILED)
            return 0;
    for (size_t i = call->item_count; i < inputs; i++)
        values[i].kind = EL_ABSENT;
    frame.prelude = callable->prelude;
    frame.scope = callable->scope;
    frame.made = caller->made;
    frame.training = caller->training;
    frame.path = el_callee_path(e, callable->name, network ? '/' : '.', &frame.owner);
    frame.network = caller->network;
    if (network) {
        enter_network(e, &frame);
        note_network_call(e, callable);
    }
    if (!frame.path || !(network ? bind_training(e, &frame, call) : bind_attributes(e, &frame, call)) ||
        !bind_inputs(e, &frame, call, values))
        return 0;
    if (callable->prelude && !e->call_site.file) {
        e->call_site = call->where;
        e->call_site_told = false;
    }
    e->frame = &frame;
    e->depth++;
    callable->running = true;
    el_body(e, &callable->declaration->body);
    count = collect_outputs(e, &frame, outputs, wanted);
    callable->running = false;
    e->depth--;
    e->frame = caller;
    e->call_site = call_site;
    return count;
}

/* --- A network alone ------------------------------------------------------------------------------------------------------------ */

void el_graph_begin(elaborator *e, gm_graph *graph, const gm_ast_declaration *entry)
{
    e->graph = graph;
    e->entry = entry;
    e->broken = false;
    e->writes_buffers = false;
    if (e->current)
        memset(e->current, 0, e->current_capacity * sizeof *e->current);
    if (e->written)
        memset(e->written, 0, e->written_capacity * sizeof *e->written);
}

gm_graph *el_network_graph(elaborator *e, el_callable *callable, bool training)
{
    const gm_ast_declaration *declaration = callable->declaration;
    const gm_ast_signature *signature = &declaration->signature;
    gm_graph *graph = gm_graph_create(e->pool, e->program->symbols, callable->name);
    el_value *outputs = gm_pool_array(e->pool, signature->output_count + 1, sizeof *outputs);
    el_frame frame = {.declaration = declaration, .callable = callable, .training = training};
    bool good;
    if (!graph || !outputs) {
        el_out_of_memory(e);
        return NULL;
    }
    el_graph_begin(e, graph, declaration);
    graph->training = training;
    graph->eager = declaration->onnx ? &e->eager_bytes : NULL;
    frame.path = callable->name;
    frame.scope = callable->scope;
    enter_network(e, &frame);
    e->frame = &frame;
    callable->running = true;
    good = el_header_inputs(e, signature);
    if (good) {
        el_body(e, &declaration->body);
        if (!e->broken && collect_outputs(e, &frame, outputs, signature->output_count) == signature->output_count)
            for (size_t i = 0; i < signature->output_count; i++)
                gm_graph_add_output(graph, signature->outputs[i].name, outputs[i].id);
    }
    callable->running = false;
    e->frame = NULL;
    el_take_graph_error(e);
    graph->path = graph->name;
    return !good || e->broken || e->fatal != GM_OK ? NULL : graph;
}
