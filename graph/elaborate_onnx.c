/* Elaboration: a plain ONNX model becomes declarations of the language: its graph a network, its functions functions, its
 * initializers parameters, buffers or constants. Their bodies keep ONNX's rules (declaration.onnx): names of operators and
 * functions only, attributes apart from values, optional inputs that may be left out. */
#include "graph/elaborate.h"

#include <string.h>

static void *make(elaborator *e, size_t count, size_t bytes)
{
    void *memory = gm_pool_array(e->pool, count ? count : 1, bytes);
    if (!memory)
        el_out_of_memory(e);
    return memory;
}

/* --- Versions --- */

static const gm_ast_expression *header_value(const gm_ast_attributes *header, const char *name)
{
    for (size_t i = 0; i < header->count; i++)
        if (header->items[i].name && strcmp(header->items[i].name, name) == 0)
            return header->items[i].value;
    return NULL;
}

static const char *header_text(const gm_ast_attributes *header, const char *name)
{
    const gm_ast_expression *value = header_value(header, name);
    return value && value->kind == GM_AST_STRING ? value->text : "";
}

static bool same_domain(const char *a, const char *b)
{
    a = strcmp(a, "ai.onnx") == 0 ? "" : a;
    b = strcmp(b, "ai.onnx") == 0 ? "" : b;
    return strcmp(a, b) == 0;
}

/* 0: the header does not say. */
static int64_t opset_of(const gm_ast_attributes *header, const char *domain)
{
    const gm_ast_expression *versions = header_value(header, "opset_import");
    for (size_t i = 0; versions && i + 1 < versions->item_count; i += 2)
        if (versions->items[i]->kind == GM_AST_STRING && same_domain(versions->items[i]->text, domain))
            return versions->items[i + 1]->integer;
    return 0;
}

int64_t el_opset(const elaborator *e, const char *domain)
{
    const el_frame *frame = e->frame;
    int64_t version = 0;
    if (frame && frame->prelude)
        return INT64_MAX;
    if (frame && frame->declaration && frame->declaration->onnx)
        version = opset_of(&frame->declaration->header, domain);
    if (version || domain[0])
        return version ? version : 1;
    return frame && frame->scope ? frame->scope->opset : e->program->opset;
}

/* --- Names --- */

const char *el_onnx_name(elaborator *e, const char *domain, const char *name, const char *overload)
{
    bool plain = !domain || !domain[0] || same_domain(domain, "");
    const char *full = gm_pool_printf(e->pool, "%s%s%s%s%s", plain ? "" : domain, plain ? "" : ".", name,
                                      overload && overload[0] ? ":" : "", overload ? overload : "");
    if (!full)
        el_out_of_memory(e);
    return full;
}

/* --- Initializers --- */

typedef enum role { ROLE_PARAMETER, ROLE_BUFFER, ROLE_CONSTANT } role;

/* Inputs that are no parameters although they may be floats: running statistics, and what decides a shape. */
static const struct {
    const char *operator_name;
    size_t from, to; /* inputs */
    role role;
} roles[] = {
    {"BatchNormalization", 3, 4, ROLE_BUFFER}, {"Resize", 1, 3, ROLE_CONSTANT},
    {"Upsample", 1, 1, ROLE_CONSTANT},         {"Range", 0, 2, ROLE_CONSTANT},
    {"Dropout", 1, 2, ROLE_CONSTANT},          {"Clip", 1, 2, ROLE_CONSTANT},
    {"QuantizeLinear", 1, 2, ROLE_CONSTANT},   {"DequantizeLinear", 1, 2, ROLE_CONSTANT},
};

static role use_role(const gm_ast_expression *call, size_t input)
{
    for (size_t i = 0; call->part_count == 1 && i < GM_COUNT(roles); i++)
        if (strcmp(roles[i].operator_name, call->parts[0]) == 0 && input >= roles[i].from && input <= roles[i].to)
            return roles[i].role;
    return ROLE_PARAMETER;
}

static role role_of(const gm_ast_body *body, const char *name, gm_type type)
{
    const gm_type_info *info = gm_type_find(type);
    role found = ROLE_PARAMETER;
    if (!info || !info->floating)
        return ROLE_CONSTANT;
    for (size_t i = 0; i < body->count; i++) {
        const gm_ast_expression *call = body->statements[i].value;
        for (size_t k = 0; k < call->item_count; k++)
            if (call->items[k]->kind == GM_AST_PATH && strcmp(call->items[k]->parts[0], name) == 0) {
                role here = use_role(call, k);
                found = here > found ? here : found;
            }
    }
    return found;
}

static bool initializer_statement(elaborator *e, const gm_ast_graph *graph, const gm_ast_parameter *value, bool weights,
                                  gm_ast_statement *out)
{
    gm_ast_expression *tensor = value->default_value;
    role found;
    if (tensor->kind != GM_AST_TENSOR || !tensor->tensor)
        return el_unsupported(e, value->where, "the initializer '%s' is not made of numbers", value->name), false;
    if (!(out->outputs = make(e, 1, sizeof *out->outputs)))
        return false;
    found = role_of(&graph->body, value->name, tensor->tensor->type);
    out->kind = found == ROLE_CONSTANT ? GM_AST_ASSIGN : found == ROLE_BUFFER ? GM_AST_BUFFER : GM_AST_PARAM;
    out->where = value->where;
    out->outputs[0] = value->name;
    out->output_count = 1;
    out->value = tensor;
    if (found == ROLE_CONSTANT)
        return true;
    out->type = tensor->type;
    if (weights)
        return true;
    if (!(out->value = make(e, 1, sizeof *out->value)))
        return false;
    *out->value = (gm_ast_expression){.kind = GM_AST_NUMBER, .where = value->where, .height = 1, .text = "0"};
    return true;
}

/* --- Declarations --- */

static bool add_input(elaborator *e, const gm_ast_parameter *from, gm_ast_signature *signature)
{
    gm_ast_parameter *to = &signature->inputs[signature->input_count++];
    gm_ast_type *type;
    *to = *from;
    to->default_value = NULL;
    if (!from->type || from->type->constructor || from->type->any_shape)
        return true;
    if (!(type = make(e, 1, sizeof *type)))
        return false;
    *type = *from->type;
    if (!(type->dims = make(e, type->dim_count, sizeof *type->dims)))
        return false;
    for (size_t i = 0; i < type->dim_count; i++) { /* a size without a name gets one, by which it can be given */
        gm_ast_expression *name;
        type->dims[i] = from->type->dims[i];
        if (type->dims[i].kind != GM_AST_DIM_UNKNOWN)
            continue;
        if (!(name = make(e, 1, sizeof *name)))
            return false;
        *name = (gm_ast_expression){.kind = GM_AST_STRING, .where = from->where, .height = 1};
        if (!(name->text = gm_pool_printf(e->pool, "%s.%zu", from->name, i)))
            return el_out_of_memory(e), false;
        type->dims[i] = (gm_ast_dim){GM_AST_DIM_EXPRESSION, name, from->where};
    }
    to->type = type;
    return true;
}

static bool network(elaborator *e, const gm_ast_onnx *onnx, bool weights, gm_ast_declaration *made)
{
    const gm_ast_graph *graph = onnx->graph;
    size_t inputs = graph->signature.input_count, outputs = graph->signature.output_count, at = 0;
    made->kind = GM_AST_NETWORK;
    made->onnx = true;
    made->where = made->end = graph->where;
    made->header = onnx->header;
    made->names = make(e, 1, sizeof *made->names);
    made->signature.has_inputs = true;
    made->signature.inputs = make(e, inputs, sizeof *made->signature.inputs);
    made->signature.outputs = make(e, outputs, sizeof *made->signature.outputs);
    made->signature.output_count = outputs;
    made->body.statements = make(e, inputs + graph->value_count + graph->body.count, sizeof *made->body.statements);
    if (!made->names || !made->signature.inputs || !made->signature.outputs || !made->body.statements)
        return false;
    made->names[0] = graph->name;
    made->name_count = 1;
    for (size_t i = 0; i < inputs; i++) {
        const gm_ast_parameter *input = &graph->signature.inputs[i];
        if (input->default_value ? !initializer_statement(e, graph, input, weights, &made->body.statements[at++])
                                 : !add_input(e, input, &made->signature))
            return false;
    }
    for (size_t i = 0; i < outputs; i++) /* declared shapes may be anything; the inferred ones count */
        made->signature.outputs[i] =
            (gm_ast_parameter){.name = graph->signature.outputs[i].name, .where = graph->signature.outputs[i].where};
    for (size_t i = 0; i < graph->value_count; i++)
        if (graph->values[i].default_value &&
            !initializer_statement(e, graph, &graph->values[i], weights, &made->body.statements[at++]))
            return false;
    memcpy(made->body.statements + at, graph->body.statements, graph->body.count * sizeof *graph->body.statements);
    made->body.count = at + graph->body.count;
    return true;
}

static bool function(elaborator *e, const gm_ast_declaration *from, gm_ast_declaration *made)
{
    *made = *from;
    made->onnx = true;
    if (!(made->names = make(e, 1, sizeof *made->names)))
        return false;
    made->names[0] =
        el_onnx_name(e, header_text(&from->header, "domain"), from->names[0], header_text(&from->header, "overload"));
    return made->names[0] != NULL;
}

static bool model(elaborator *e, const gm_ast_onnx *onnx, gm_ast_declaration *made)
{
    static const char *const names[] = {"gmodel", "onnx", "opset"};
    int64_t values[3] = {1, 1, opset_of(&onnx->header, "")};
    made->kind = GM_AST_MODEL;
    made->where = onnx->graph->where;
    made->names = make(e, 1, sizeof *made->names);
    made->attributes.items = make(e, 3, sizeof *made->attributes.items);
    made->attributes.count = values[2] ? 3 : 2;
    made->attributes.written = true;
    if (!made->names || !made->attributes.items)
        return false;
    made->names[0] = onnx->graph->name;
    made->name_count = 1;
    for (size_t i = 0; i < made->attributes.count; i++) {
        gm_ast_expression *value = make(e, 1, sizeof *value);
        if (!value)
            return false;
        *value = (gm_ast_expression){.kind = GM_AST_NUMBER, .where = made->where, .height = 1};
        value->integer = values[i];
        value->number = (double)values[i];
        if (!(value->text = gm_pool_printf(e->pool, "%lld", (long long)values[i])))
            return el_out_of_memory(e), false;
        made->attributes.items[i] = (gm_ast_attribute){.name = names[i], .value = value, .where = made->where};
    }
    return true;
}

gm_ast_file *el_onnx_file(elaborator *e, const gm_ast_file *file, bool weights)
{
    const gm_ast_onnx *onnx = file->onnx;
    gm_ast_file *made = make(e, 1, sizeof *made);
    if (!made || !(made->declarations = make(e, onnx->function_count + 2, sizeof *made->declarations)))
        return NULL;
    made->name = file->name;
    if (!model(e, onnx, &made->declarations[0]) || !network(e, onnx, weights, &made->declarations[1]))
        return NULL;
    for (size_t i = 0; i < onnx->function_count; i++)
        if (!function(e, &onnx->functions[i], &made->declarations[2 + i]))
            return NULL;
    made->declaration_count = 2 + onnx->function_count;
    return made;
}
