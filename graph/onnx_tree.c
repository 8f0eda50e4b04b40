/* A plain ONNX model as a syntax tree: the same tree that its text would give (graph/parser.c), so that everything behind
 * it knows one form only. Tensors keep their bytes; documentation strings and metadata are left out. */
#include "graph/onnx_proto.h"
#include "graph/onnx_tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_GRAPH_DEPTH 24 /* graphs within attributes of nodes of graphs */

typedef struct builder {
    gm_pool *pool;
    gm_context *context;
    gm_location where; /* the file; a binary has no lines */
    int depth;
    bool external; /* a tensor lay in another file */
} builder;

static void *make(builder *b, size_t count, size_t bytes)
{
    return gm_pool_array(b->pool, count ? count : 1, bytes);
}

static const char *text_or_empty(const char *text)
{
    return text ? text : "";
}

static gm_ast_expression *expression(builder *b, gm_ast_expression_kind kind)
{
    gm_ast_expression *made = make(b, 1, sizeof *made);
    if (made) {
        made->kind = kind;
        made->where = b->where;
        made->height = 1;
    }
    return made;
}

static gm_ast_expression *integer(builder *b, int64_t value)
{
    gm_ast_expression *made = expression(b, GM_AST_NUMBER);
    if (!made)
        return NULL;
    made->integer = value;
    made->number = (double)value;
    made->text = gm_pool_printf(b->pool, "%lld", (long long)value);
    return made->text ? made : NULL;
}

static gm_ast_expression *real(builder *b, float value)
{
    gm_ast_expression *made = expression(b, GM_AST_NUMBER);
    if (!made)
        return NULL;
    made->is_float = true;
    made->number = value;
    for (int digits = 6; digits <= 9; digits++) { /* the fewest that give the same float */
        made->text = gm_pool_printf(b->pool, "%.*g", digits, (double)value);
        if (!made->text || strtof(made->text, NULL) == value)
            break;
    }
    return made->text ? made : NULL;
}

static gm_ast_expression *string(builder *b, const char *text)
{
    gm_ast_expression *made = expression(b, GM_AST_STRING);
    if (made)
        made->text = text;
    return made;
}

static gm_ast_expression *value_name(builder *b, const char *name)
{
    gm_ast_expression *made;
    if (!name || !name[0])
        return string(b, "");
    made = expression(b, GM_AST_PATH);
    if (!made || !(made->parts = make(b, 1, sizeof *made->parts)))
        return NULL;
    made->parts[0] = name;
    made->part_count = 1;
    return made;
}

static gm_ast_expression *list(builder *b, size_t count)
{
    gm_ast_expression *made = expression(b, GM_AST_LIST);
    if (!made || !(made->items = make(b, count, sizeof *made->items)))
        return NULL;
    made->item_count = count;
    made->height = 2;
    return made;
}

/* --- Types --- */

static gm_status dimension(builder *b, const Onnx__TensorShapeProto__Dimension *from, gm_ast_dim *dim)
{
    dim->where = b->where;
    dim->kind = GM_AST_DIM_EXPRESSION;
    if (from->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE)
        dim->expression = integer(b, from->dim_value);
    else if (from->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM && from->dim_param &&
             from->dim_param[0])
        dim->expression =
            gm_onnx_is_name(from->dim_param) ? value_name(b, from->dim_param) : string(b, from->dim_param);
    else
        dim->kind = GM_AST_DIM_UNKNOWN;
    return dim->expression || dim->kind == GM_AST_DIM_UNKNOWN ? GM_OK : GM_ERROR_MEMORY;
}

static gm_status type(builder *b, const Onnx__TypeProto *from, gm_ast_type **out)
{
    const Onnx__TypeProto__Tensor *tensor;
    gm_ast_type *made;
    *out = NULL;
    if (!from || from->value_case == ONNX__TYPE_PROTO__VALUE__NOT_SET)
        return GM_OK;
    if (!(made = *out = make(b, 1, sizeof *made)))
        return GM_ERROR_MEMORY;
    made->where = b->where;
    tensor = from->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ? from->tensor_type : NULL;
    if (!tensor || !gm_type_find((gm_type)tensor->elem_type)) {
        made->constructor = made->text = gm_onnx_type_text(b->pool, from);
        return made->text ? GM_OK : GM_ERROR_MEMORY;
    }
    made->type = (gm_type)tensor->elem_type;
    made->any_shape = made->has_shape = !tensor->shape;
    if (!tensor->shape)
        return GM_OK;
    made->dim_count = tensor->shape->n_dim;
    made->has_shape = made->dim_count > 0; /* `float` alone is a scalar */
    if (!(made->dims = make(b, made->dim_count, sizeof *made->dims)))
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < made->dim_count; i++)
        GM_TRY(dimension(b, tensor->shape->dim[i], &made->dims[i]));
    return GM_OK;
}

static gm_status tensor_type(builder *b, const gm_tensor *tensor, gm_ast_type **out)
{
    gm_ast_type *made = *out = make(b, 1, sizeof *made);
    if (!made || !(made->dims = make(b, (size_t)tensor->rank, sizeof *made->dims)))
        return GM_ERROR_MEMORY;
    *made = (gm_ast_type){.type = tensor->type, .has_shape = tensor->rank > 0, .dims = made->dims, .where = b->where};
    made->dim_count = (size_t)tensor->rank;
    for (int i = 0; i < tensor->rank; i++) {
        made->dims[i] = (gm_ast_dim){GM_AST_DIM_EXPRESSION, integer(b, tensor->dims[i]), b->where};
        if (!made->dims[i].expression)
            return GM_ERROR_MEMORY;
    }
    return GM_OK;
}

static gm_status tensor(builder *b, const Onnx__TensorProto *from, gm_ast_expression **out)
{
    gm_ast_expression *made = *out = expression(b, GM_AST_TENSOR);
    if (!made || !(made->parts = make(b, 1, sizeof *made->parts)))
        return GM_ERROR_MEMORY;
    if (from->name && from->name[0]) {
        made->parts[0] = from->name;
        made->part_count = 1;
    }
    GM_TRY(gm_onnx_read_tensor(b->pool, b->where.file, from, &made->tensor));
    b->external |= from->n_external_data > 0;
    return tensor_type(b, made->tensor, &made->type);
}

/* --- Attributes --- */

static gm_status graph(builder *b, const Onnx__GraphProto *from, gm_ast_graph **out);

static const char *bytes_text(builder *b, ProtobufCBinaryData bytes)
{
    return gm_pool_substring(b->pool, (const char *)bytes.data, bytes.len);
}

static gm_status list_attribute(builder *b, const Onnx__AttributeProto *from, gm_ast_expression **out)
{
    size_t count = from->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS ? from->n_floats
                   : from->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS ? from->n_ints
                                                                               : from->n_strings;
    gm_ast_expression *made = *out = list(b, count);
    for (size_t i = 0; made && i < count; i++) {
        if (from->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS)
            made->items[i] = real(b, from->floats[i]);
        else if (from->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS)
            made->items[i] = integer(b, from->ints[i]);
        else
            made->items[i] = string(b, bytes_text(b, from->strings[i]));
        if (!made->items[i] || (made->items[i]->kind == GM_AST_STRING && !made->items[i]->text))
            return GM_ERROR_MEMORY;
    }
    return made ? GM_OK : GM_ERROR_MEMORY;
}

/* Very old files leave the type out: it is then what is there. */
static int attribute_type(const Onnx__AttributeProto *from)
{
    if (from->has_type && from->type != ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__UNDEFINED)
        return (int)from->type;
    return from->has_f       ? GM_ATTRIBUTE_FLOAT
           : from->has_i     ? GM_ATTRIBUTE_INT
           : from->has_s     ? GM_ATTRIBUTE_STRING
           : from->t         ? GM_ATTRIBUTE_TENSOR
           : from->g         ? GM_ATTRIBUTE_GRAPH
           : from->n_floats  ? GM_ATTRIBUTE_FLOATS
           : from->n_strings ? GM_ATTRIBUTE_STRINGS
                             : GM_ATTRIBUTE_INTS;
}

static gm_status attribute_value(builder *b, const Onnx__AttributeProto *from, gm_ast_expression **out)
{
    switch (attribute_type(from)) {
    case GM_ATTRIBUTE_FLOAT:
        *out = real(b, from->f);
        return *out ? GM_OK : GM_ERROR_MEMORY;
    case GM_ATTRIBUTE_INT:
        *out = integer(b, from->i);
        return *out ? GM_OK : GM_ERROR_MEMORY;
    case GM_ATTRIBUTE_STRING:
        *out = string(b, bytes_text(b, from->s));
        return *out && (*out)->text ? GM_OK : GM_ERROR_MEMORY;
    case GM_ATTRIBUTE_FLOATS:
    case GM_ATTRIBUTE_INTS:
    case GM_ATTRIBUTE_STRINGS:
        return list_attribute(b, from, out);
    case GM_ATTRIBUTE_TENSOR:
        if (from->t)
            return tensor(b, from->t, out);
        break;
    case GM_ATTRIBUTE_GRAPH:
        if (!from->g)
            break;
        *out = expression(b, GM_AST_GRAPH);
        return *out ? graph(b, from->g, &(*out)->graph) : GM_ERROR_MEMORY;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TYPE_PROTO:
        if (!from->tp)
            break;
        *out = expression(b, GM_AST_TYPE);
        return *out ? type(b, from->tp, &(*out)->type) : GM_ERROR_MEMORY;
    default:
        break;
    }
    return gm_fail(b->context, GM_ERROR_UNSUPPORTED,
                   "%s: attribute '%s' has a value of kind %d, which is not supported", b->where.file,
                   text_or_empty(from->name), attribute_type(from));
}

static const char *kind_name(int kind)
{
    static const char *const names[] = {NULL, "float", "int", "string", "tensor", "graph", "floats", "ints", "strings"};
    return kind > 0 && kind < (int)GM_COUNT(names) ? names[kind] : NULL;
}

/* What a value does not show is written behind the name: `alpha: float = 2`. */
static const char *shown_type(const Onnx__AttributeProto *from, const gm_ast_expression *value)
{
    int kind = attribute_type(from);
    bool shown = kind != GM_ATTRIBUTE_FLOAT && kind != GM_ATTRIBUTE_FLOATS;
    if (kind == GM_ATTRIBUTE_FLOAT)
        shown = strpbrk(value->text, ".en") != NULL;
    for (size_t i = 0; kind == GM_ATTRIBUTE_FLOATS && i < value->item_count; i++)
        shown = shown || strpbrk(value->items[i]->text, ".en");
    if (kind >= GM_ATTRIBUTE_FLOATS && value->item_count == 0)
        shown = false;
    return shown ? NULL : kind_name(kind);
}

static gm_status attributes(builder *b, Onnx__AttributeProto *const *from, size_t count, gm_ast_attributes *out)
{
    out->items = make(b, count, sizeof *out->items);
    out->count = count;
    out->written = count > 0;
    if (!out->items)
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < count; i++) {
        out->items[i].name = text_or_empty(from[i]->name);
        out->items[i].where = b->where;
        if (from[i]->ref_attr_name && from[i]->ref_attr_name[0]) {
            gm_ast_expression *reference = out->items[i].value = expression(b, GM_AST_REFERENCE);
            if (!reference)
                return GM_ERROR_MEMORY;
            reference->text = from[i]->ref_attr_name;
            out->items[i].type = kind_name(attribute_type(from[i]));
            continue;
        }
        GM_TRY(attribute_value(b, from[i], &out->items[i].value));
        out->items[i].type = shown_type(from[i], out->items[i].value);
    }
    return GM_OK;
}

/* --- Nodes --- */

/* Domain and operator as the text has them: "ai.onnx.ml", "Scaler" are four parts. 0: no memory. */
static size_t call_parts(builder *b, const char *domain, const char *name, const char ***parts_out)
{
    size_t count = 0;
    const char **parts = make(b, strlen(domain) + 2, sizeof *parts);
    bool is_default = !domain[0] || strcmp(domain, "ai.onnx") == 0;
    for (const char *at = domain; parts && !is_default; at++) {
        size_t length = strcspn(at, ".");
        if (!(parts[count++] = gm_pool_substring(b->pool, at, length)))
            return 0;
        at += length;
        if (!*at)
            break;
    }
    *parts_out = parts;
    if (parts)
        parts[count++] = name;
    return count;
}

static gm_status node(builder *b, const Onnx__NodeProto *from, gm_ast_statement *statement)
{
    const char *domain = text_or_empty(from->domain), *name = text_or_empty(from->op_type);
    gm_ast_expression *call = expression(b, GM_AST_CALL);
    statement->kind = GM_AST_ASSIGN;
    statement->where = b->where;
    statement->value = call;
    statement->output_count = from->n_output;
    statement->outputs = make(b, from->n_output, sizeof *statement->outputs);
    if (!call || !statement->outputs || !(call->items = make(b, from->n_input, sizeof *call->items)))
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < from->n_output; i++)
        statement->outputs[i] = text_or_empty(from->output[i]);
    call->part_count = call_parts(b, domain, name, &call->parts);
    if (!call->part_count)
        return GM_ERROR_MEMORY;
    call->overload = from->overload && from->overload[0] ? from->overload : NULL;
    call->has_arguments = true;
    call->item_count = from->n_input;
    call->height = 2;
    for (size_t i = 0; i < from->n_input; i++)
        if (!(call->items[i] = value_name(b, from->input[i])))
            return GM_ERROR_MEMORY;
    return attributes(b, from->attribute, from->n_attribute, &call->attributes);
}

static gm_status body(builder *b, Onnx__NodeProto *const *nodes, size_t count, gm_ast_body *out)
{
    out->statements = make(b, count, sizeof *out->statements);
    out->count = count;
    if (!out->statements)
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < count; i++)
        GM_TRY(node(b, nodes[i], &out->statements[i]));
    return GM_OK;
}

/* --- Graphs and functions --- */

static gm_status parameters(builder *b, Onnx__ValueInfoProto *const *from, size_t count, gm_ast_parameter **out)
{
    if (!(*out = make(b, count, sizeof **out)))
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < count; i++) {
        (*out)[i].name = text_or_empty(from[i]->name);
        (*out)[i].where = b->where;
        GM_TRY(type(b, from[i]->type, &(*out)[i].type));
    }
    return GM_OK;
}

static gm_ast_parameter *parameter_named(gm_ast_parameter *list_of, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list_of[i].name, name) == 0)
            return &list_of[i];
    return NULL;
}

/* Initializers are first values of inputs of the same name, else values of their own. */
static gm_status values(builder *b, const Onnx__GraphProto *from, gm_ast_graph *made)
{
    gm_ast_parameter *infos;
    made->values = make(b, from->n_initializer + from->n_value_info, sizeof *made->values);
    if (!made->values)
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < from->n_initializer; i++) {
        const char *name = text_or_empty(from->initializer[i]->name);
        gm_ast_parameter *at = parameter_named(made->signature.inputs, made->signature.input_count, name);
        gm_ast_expression *value;
        if (!at) {
            at = &made->values[made->value_count++];
            at->name = name;
            at->where = b->where;
        }
        GM_TRY(tensor(b, from->initializer[i], &value));
        at->default_value = value;
        at->type = value->type;
    }
    GM_TRY(parameters(b, from->value_info, from->n_value_info, &infos));
    memcpy(made->values + made->value_count, infos, from->n_value_info * sizeof *infos);
    made->value_count += from->n_value_info;
    return GM_OK;
}

static gm_status graph(builder *b, const Onnx__GraphProto *from, gm_ast_graph **out)
{
    gm_ast_graph *made = *out = make(b, 1, sizeof *made);
    if (!made)
        return GM_ERROR_MEMORY;
    if (from->n_sparse_initializer)
        return gm_fail(b->context, GM_ERROR_UNSUPPORTED, "%s: sparse initializers are not supported", b->where.file);
    if (++b->depth > MAX_GRAPH_DEPTH)
        return gm_fail(b->context, GM_ERROR_UNSUPPORTED, "%s: graphs are nested more than %d deep", b->where.file,
                       MAX_GRAPH_DEPTH);
    made->name = from->name && from->name[0] ? from->name : "main";
    made->where = b->where;
    made->signature.has_inputs = true;
    made->signature.input_count = from->n_input;
    made->signature.output_count = from->n_output;
    GM_TRY(parameters(b, from->input, from->n_input, &made->signature.inputs));
    GM_TRY(parameters(b, from->output, from->n_output, &made->signature.outputs));
    GM_TRY(values(b, from, made));
    GM_TRY(body(b, from->node, from->n_node, &made->body));
    b->depth--;
    return GM_OK;
}

static gm_status names(builder *b, char *const *from, size_t count, gm_ast_parameter **out)
{
    if (!(*out = make(b, count, sizeof **out)))
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < count; i++)
        (*out)[i] = (gm_ast_parameter){.name = text_or_empty(from[i]), .where = b->where};
    return GM_OK;
}

/* ["": 21, "ai.onnx.ml": 3] */
static gm_ast_expression *opsets(builder *b, Onnx__OperatorSetIdProto *const *from, size_t count)
{
    gm_ast_expression *made = list(b, 2 * count);
    if (made)
        made->text = ":";
    for (size_t i = 0; made && i < count; i++) {
        made->items[2 * i] = string(b, text_or_empty(from[i]->domain));
        made->items[2 * i + 1] = integer(b, from[i]->version);
        if (!made->items[2 * i] || !made->items[2 * i + 1])
            return NULL;
    }
    return made;
}

static void add_header(builder *b, gm_ast_attributes *header, const char *name, gm_ast_expression *value)
{
    header->written = true;
    header->items[header->count++] = (gm_ast_attribute){.name = name, .value = value, .where = b->where};
}

static bool add_text(builder *b, gm_ast_attributes *header, const char *name, const char *text)
{
    gm_ast_expression *value = text && text[0] ? string(b, text) : NULL;
    if (value)
        add_header(b, header, name, value);
    return value || !text || !text[0];
}

static gm_status function(builder *b, const Onnx__FunctionProto *from, gm_ast_declaration *made)
{
    gm_ast_attributes *header = &made->header;
    gm_ast_attributes defaults;
    gm_ast_expression *versions = opsets(b, from->opset_import, from->n_opset_import);
    made->kind = GM_AST_FUNCTION;
    made->where = made->end = b->where;
    made->names = make(b, 1, sizeof *made->names);
    header->items = make(b, 3, sizeof *header->items);
    if (!made->names || !header->items || !versions)
        return GM_ERROR_MEMORY;
    made->names[0] = text_or_empty(from->name);
    made->name_count = 1;
    if (!add_text(b, header, "domain", from->domain))
        return GM_ERROR_MEMORY;
    add_header(b, header, "opset_import", versions);
    if (!add_text(b, header, "overload", from->overload))
        return GM_ERROR_MEMORY;
    GM_TRY(attributes(b, from->attribute_proto, from->n_attribute_proto, &defaults));
    made->attributes.items = make(b, from->n_attribute + defaults.count, sizeof *made->attributes.items);
    if (!made->attributes.items)
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < from->n_attribute; i++)
        made->attributes.items[made->attributes.count++] =
            (gm_ast_attribute){.name = text_or_empty(from->attribute[i]), .where = b->where};
    for (size_t i = 0; i < defaults.count; i++)
        made->attributes.items[made->attributes.count++] = defaults.items[i];
    made->attributes.written = made->attributes.count > 0;
    made->signature.has_inputs = true;
    made->signature.input_count = from->n_input;
    made->signature.output_count = from->n_output;
    GM_TRY(names(b, from->input, from->n_input, &made->signature.inputs));
    GM_TRY(names(b, from->output, from->n_output, &made->signature.outputs));
    return body(b, from->node, from->n_node, &made->body);
}

gm_status gm_onnx_tree(gm_pool *pool, const void *data, size_t bytes, const char *name, gm_ast_file **file_out)
{
    builder b = {.pool = pool, .context = gm_pool_context(pool), .where = {name, 0, 0}};
    gm_ast_file *file = make(&b, 1, sizeof *file);
    gm_ast_onnx *onnx = make(&b, 1, sizeof *onnx);
    const Onnx__ModelProto *model;
    gm_ast_expression *version, *versions;
    if (!file || !onnx)
        return GM_ERROR_MEMORY;
    GM_TRY(gm_onnx_unpack(pool, data, bytes, name, &model));
    version = integer(&b, model->ir_version);
    versions = opsets(&b, model->opset_import, model->n_opset_import);
    onnx->header.items = make(&b, 4, sizeof *onnx->header.items);
    onnx->functions = make(&b, model->n_functions, sizeof *onnx->functions);
    if (!version || !versions || !onnx->header.items || !onnx->functions)
        return GM_ERROR_MEMORY;
    add_header(&b, &onnx->header, "ir_version", version);
    add_header(&b, &onnx->header, "opset_import", versions);
    if (!add_text(&b, &onnx->header, "producer_name", model->producer_name) ||
        !add_text(&b, &onnx->header, "producer_version", model->producer_version))
        return GM_ERROR_MEMORY;
    GM_TRY(graph(&b, model->graph, &onnx->graph));
    for (; onnx->function_count < model->n_functions; onnx->function_count++)
        GM_TRY(function(&b, model->functions[onnx->function_count], &onnx->functions[onnx->function_count]));
    onnx->external = b.external;
    file->name = name;
    file->onnx = onnx;
    *file_out = file;
    return GM_OK;
}
