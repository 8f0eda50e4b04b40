/* A syntax tree of plain ONNX as a ModelProto: what onnx_tree.c reads, the other way. */
#include "graph/onnx_proto.h"
#include "graph/onnx_tree.h"

#include <string.h>

typedef struct builder {
    gm_pool *pool;
    gm_context *context;
    const char *file;
    gm_external *external; /* NULL: none */
} builder;

static void *make(builder *b, const ProtobufCMessageDescriptor *type)
{
    ProtobufCMessage *message = gm_pool_alloc(b->pool, type->sizeof_message);
    if (message)
        protobuf_c_message_init(type, message);
    return message;
}

static void *array(builder *b, size_t count, size_t bytes)
{
    return gm_pool_array(b->pool, count ? count : 1, bytes);
}

static ProtobufCBinaryData bytes_of(const char *text)
{
    return (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
}

static char *text_of(const char *text)
{
    return (char *)(uintptr_t)text; /* only read */
}

static gm_status refuse(builder *b, gm_location where, const char *what)
{
    return gm_fail(b->context, GM_ERROR_UNSUPPORTED, "%s:%d:%d: %s cannot be written as ONNX", b->file, where.line,
                   where.column, what);
}

/* --- Numbers --- */

/* A number with its sign; false: no number. */
static bool number(const gm_ast_expression *item, double *real, int64_t *whole, bool *is_float)
{
    bool negative = item->kind == GM_AST_NEGATE;
    const gm_ast_expression *plain = negative ? item->items[0] : item;
    if (plain->kind != GM_AST_NUMBER)
        return false;
    *real = negative ? -plain->number : plain->number;
    *whole = negative ? -plain->integer : plain->integer;
    *is_float = plain->is_float;
    return true;
}

/* --- Tensors and types --- */

static gm_status strings(builder *b, const char *name, const gm_tensor *data, Onnx__TensorProto *proto)
{
    const char *const *texts = data->data;
    int64_t count = gm_tensor_count(data);
    proto->name = name ? text_of(name) : NULL;
    proto->n_dims = (size_t)data->rank;
    proto->dims = gm_pool_copy(b->pool, data->dims, (size_t)data->rank * sizeof *data->dims + 1);
    proto->has_data_type = 1;
    proto->data_type = GM_STRING;
    proto->string_data = gm_pool_array(b->pool, (size_t)count + 1, sizeof *proto->string_data);
    if (!proto->dims || !proto->string_data)
        return GM_ERROR_MEMORY;
    for (; proto->n_string_data < (size_t)count; proto->n_string_data++)
        proto->string_data[proto->n_string_data] = bytes_of(texts[proto->n_string_data]);
    return GM_OK;
}

static gm_status tensor(builder *b, const char *name, const gm_ast_expression *from, Onnx__TensorProto **out)
{
    const gm_tensor *data = from->tensor;
    Onnx__TensorProto *proto = *out = make(b, &onnx__tensor_proto__descriptor);
    size_t bytes;
    if (!proto)
        return GM_ERROR_MEMORY;
    if (data && data->type == GM_STRING)
        return strings(b, name, data, proto);
    if (!data || !gm_onnx_tensor_bytes(data->type, (size_t)data->rank, data->dims, INT64_MAX, &bytes))
        return refuse(b, from->where, "a tensor of this kind");
    proto->name = name ? text_of(name) : NULL;
    proto->n_dims = (size_t)data->rank;
    proto->dims = gm_pool_copy(b->pool, data->dims, (size_t)data->rank * sizeof *data->dims + 1);
    proto->has_data_type = 1;
    proto->data_type = (int32_t)data->type;
    proto->has_raw_data = 1;
    proto->raw_data = (ProtobufCBinaryData){bytes, data->data};
    if (!gm_onnx_is_little_endian()) {
        if (!(proto->raw_data.data = gm_pool_copy(b->pool, data->data, bytes)))
            return GM_ERROR_MEMORY;
        gm_onnx_swap_bytes(proto->raw_data.data, bytes, gm_type_bytes(data->type));
    }
    if (proto->dims && b->external && bytes >= b->external->threshold)
        return gm_onnx_write_external(b->pool, b->external, proto->raw_data.data, bytes, proto);
    return proto->dims ? GM_OK : GM_ERROR_MEMORY;
}

static gm_status dimension(builder *b, const gm_ast_dim *from, Onnx__TensorShapeProto__Dimension *out)
{
    const gm_ast_expression *size = from->expression;
    if (from->kind == GM_AST_DIM_UNKNOWN)
        return GM_OK;
    if (from->kind == GM_AST_DIM_EXPRESSION && size->kind == GM_AST_NUMBER && !size->is_float) {
        out->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        out->dim_value = size->integer;
        return GM_OK;
    }
    if (from->kind != GM_AST_DIM_EXPRESSION ||
        !(size->kind == GM_AST_STRING || (size->kind == GM_AST_PATH && size->part_count == 1)))
        return refuse(b, from->where, "a dimension that is neither a number nor a name");
    out->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
    out->dim_param = text_of(size->kind == GM_AST_STRING ? size->text : size->parts[0]);
    return GM_OK;
}

static gm_status type(builder *b, const gm_ast_type *from, Onnx__TypeProto **out)
{
    Onnx__TypeProto__Tensor *shaped = make(b, &onnx__type_proto__tensor__descriptor);
    if (from->constructor) {
        GM_TRY(gm_onnx_type_read(b->pool, from->text, out));
        return *out ? GM_OK : refuse(b, from->where, "a type of this kind");
    }
    if (!shaped || !(*out = make(b, &onnx__type_proto__descriptor)))
        return GM_ERROR_MEMORY;
    (*out)->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    (*out)->tensor_type = shaped;
    shaped->has_elem_type = 1;
    shaped->elem_type = (int32_t)from->type;
    if (from->any_shape)
        return GM_OK;
    if (!(shaped->shape = make(b, &onnx__tensor_shape_proto__descriptor)) ||
        !(shaped->shape->dim = array(b, from->dim_count, sizeof *shaped->shape->dim)))
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < from->dim_count; i++) {
        if (!(shaped->shape->dim[i] = make(b, &onnx__tensor_shape_proto__dimension__descriptor)))
            return GM_ERROR_MEMORY;
        GM_TRY(dimension(b, &from->dims[i], shaped->shape->dim[i]));
    }
    shaped->shape->n_dim = from->dim_count;
    return GM_OK;
}

static gm_status value_info(builder *b, const gm_ast_parameter *from, Onnx__ValueInfoProto **out)
{
    if (!(*out = make(b, &onnx__value_info_proto__descriptor)))
        return GM_ERROR_MEMORY;
    (*out)->name = text_of(from->name);
    return from->type ? type(b, from->type, &(*out)->type) : GM_OK;
}

/* --- Attributes --- */

static gm_status graph(builder *b, const gm_ast_graph *from, Onnx__GraphProto **out);

static gm_status list_attribute(builder *b, const gm_ast_expression *from, int kind, Onnx__AttributeProto *out)
{
    bool strings = from->item_count ? from->items[0]->kind == GM_AST_STRING : kind == GM_ATTRIBUTE_STRINGS;
    bool floats = kind == GM_ATTRIBUTE_FLOATS, is_float;
    size_t count = from->item_count;
    double real;
    int64_t whole;
    for (size_t i = 0; i < count && !strings; i++)
        floats = floats || (number(from->items[i], &real, &whole, &is_float) && is_float);
    out->type = strings  ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS
                : floats ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS
                         : ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
    out->strings = array(b, count, sizeof *out->strings);
    out->floats = array(b, count, sizeof *out->floats);
    out->ints = array(b, count, sizeof *out->ints);
    if (!out->strings || !out->floats || !out->ints)
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < count; i++) {
        if (strings != (from->items[i]->kind == GM_AST_STRING) ||
            (!strings && !number(from->items[i], &real, &whole, &is_float)))
            return refuse(b, from->where, "a list of this kind");
        if (strings) {
            out->strings[i] = bytes_of(from->items[i]->text);
        } else {
            out->floats[i] = (float)real;
            out->ints[i] = whole;
        }
    }
    *(strings ? &out->n_strings : floats ? &out->n_floats : &out->n_ints) = count;
    return GM_OK;
}

static gm_status scalar_attribute(builder *b, const gm_ast_expression *from, bool floats, Onnx__AttributeProto *out)
{
    double real;
    int64_t whole;
    bool is_float;
    if (!number(from, &real, &whole, &is_float))
        return refuse(b, from->where, "an attribute of this kind");
    floats = floats || is_float;
    out->type = floats ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT : ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
    out->has_f = floats;
    out->f = floats ? (float)real : 0;
    out->has_i = !floats;
    out->i = floats ? 0 : whole;
    return GM_OK;
}

/* The kind that is written behind the name ("alpha : float = 1"), for values that do not show it. */
static int written_kind(const char *name)
{
    static const struct {
        const char *name;
        int kind;
    } kinds[] = {{"float", 1}, {"int", 2},    {"string", 3}, {"tensor", 4},
                 {"graph", 5}, {"floats", 6}, {"ints", 7},   {"strings", 8}};
    for (size_t i = 0; name && i < GM_COUNT(kinds); i++)
        if (strcmp(kinds[i].name, name) == 0)
            return kinds[i].kind;
    return 0;
}

static gm_status attribute(builder *b, const gm_ast_attribute *from, Onnx__AttributeProto **out)
{
    Onnx__AttributeProto *made = *out = make(b, &onnx__attribute_proto__descriptor);
    const gm_ast_expression *value = from->value;
    int kind = written_kind(from->type);
    if (!made)
        return GM_ERROR_MEMORY;
    made->name = text_of(from->name);
    made->has_type = 1;
    made->type = (Onnx__AttributeProto__AttributeType)kind;
    switch (value->kind) {
    case GM_AST_REFERENCE:
        made->ref_attr_name = text_of(value->text);
        made->has_type = kind != 0;
        return GM_OK;
    case GM_AST_STRING:
        made->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING;
        made->has_s = 1;
        made->s = bytes_of(value->text);
        return GM_OK;
    case GM_AST_TENSOR:
        made->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR;
        return tensor(b, value->part_count ? value->parts[0] : NULL, value, &made->t);
    case GM_AST_GRAPH:
        made->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH;
        return graph(b, value->graph, &made->g);
    case GM_AST_LIST:
        return list_attribute(b, value, kind, made);
    case GM_AST_TYPE:
        made->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TYPE_PROTO;
        return type(b, value->type, &made->tp);
    default:
        return scalar_attribute(b, value, kind == GM_ATTRIBUTE_FLOAT, made);
    }
}

static gm_status attributes(builder *b, const gm_ast_attributes *from, bool with_values, Onnx__AttributeProto ***out,
                            size_t *count_out)
{
    if (!(*out = array(b, from->count, sizeof **out)))
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < from->count; i++)
        if (from->items[i].value || !with_values)
            GM_TRY(attribute(b, &from->items[i], &(*out)[(*count_out)++]));
    return GM_OK;
}

/* --- Nodes --- */

static gm_status node(builder *b, const gm_ast_statement *from, Onnx__NodeProto **out)
{
    const gm_ast_expression *call = from->value;
    Onnx__NodeProto *made = *out = make(b, &onnx__node_proto__descriptor);
    gm_text domain;
    if (!made || !(made->input = array(b, call->item_count, sizeof *made->input)) ||
        !(made->output = array(b, from->output_count, sizeof *made->output)))
        return GM_ERROR_MEMORY;
    if (call->kind != GM_AST_CALL || from->kind != GM_AST_ASSIGN)
        return refuse(b, from->where, "a statement that is no node");
    gm_text_init(&domain, b->context);
    for (size_t i = 0; i + 1 < call->part_count; i++)
        gm_text_add(&domain, "%s%s", i ? "." : "", call->parts[i]);
    if (domain.data)
        made->domain = gm_pool_string(b->pool, domain.data);
    gm_text_destroy(&domain);
    made->op_type = text_of(call->parts[call->part_count - 1]);
    made->overload = call->overload ? text_of(call->overload) : NULL;
    made->name = from->label ? text_of(from->label) : NULL;
    for (size_t i = 0; i < call->item_count; i++) {
        const gm_ast_expression *item = call->items[i];
        if (item->kind != GM_AST_STRING && (item->kind != GM_AST_PATH || item->part_count != 1))
            return refuse(b, item->where, "an input that is no name");
        made->input[made->n_input++] = text_of(item->kind == GM_AST_STRING ? item->text : item->parts[0]);
    }
    for (size_t i = 0; i < from->output_count; i++)
        made->output[made->n_output++] = text_of(from->outputs[i]);
    return attributes(b, &call->attributes, false, &made->attribute, &made->n_attribute);
}

static gm_status nodes(builder *b, const gm_ast_body *from, Onnx__NodeProto ***out, size_t *count_out)
{
    if (!(*out = array(b, from->count, sizeof **out)))
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < from->count; i++)
        GM_TRY(node(b, &from->statements[i], &(*out)[(*count_out)++]));
    return GM_OK;
}

/* --- Graphs, functions, the model --- */

static gm_status initializer(builder *b, const gm_ast_parameter *from, Onnx__GraphProto *out)
{
    return tensor(b, from->name, from->default_value, &out->initializer[out->n_initializer++]);
}

static gm_status graph(builder *b, const gm_ast_graph *from, Onnx__GraphProto **out)
{
    const gm_ast_signature *signature = &from->signature;
    Onnx__GraphProto *made = *out = make(b, &onnx__graph_proto__descriptor);
    if (!made || !(made->input = array(b, signature->input_count, sizeof *made->input)) ||
        !(made->output = array(b, signature->output_count, sizeof *made->output)) ||
        !(made->value_info = array(b, from->value_count, sizeof *made->value_info)) ||
        !(made->initializer = array(b, from->value_count + signature->input_count, sizeof *made->initializer)))
        return GM_ERROR_MEMORY;
    made->name = text_of(from->name);
    for (size_t i = 0; i < signature->input_count; i++) {
        GM_TRY(value_info(b, &signature->inputs[i], &made->input[made->n_input++]));
        if (signature->inputs[i].default_value)
            GM_TRY(initializer(b, &signature->inputs[i], made));
    }
    for (size_t i = 0; i < signature->output_count; i++)
        GM_TRY(value_info(b, &signature->outputs[i], &made->output[made->n_output++]));
    for (size_t i = 0; i < from->value_count; i++)
        if (from->values[i].default_value)
            GM_TRY(initializer(b, &from->values[i], made));
        else
            GM_TRY(value_info(b, &from->values[i], &made->value_info[made->n_value_info++]));
    return nodes(b, &from->body, &made->node, &made->n_node);
}

static const gm_ast_expression *header_value(const gm_ast_attributes *header, const char *name)
{
    for (size_t i = 0; i < header->count; i++)
        if (header->items[i].name && strcmp(header->items[i].name, name) == 0)
            return header->items[i].value;
    return NULL;
}

static char *header_text(const gm_ast_attributes *header, const char *name)
{
    const gm_ast_expression *value = header_value(header, name);
    return value && value->kind == GM_AST_STRING ? text_of(value->text) : NULL;
}

static gm_status opsets(builder *b, const gm_ast_attributes *header, Onnx__OperatorSetIdProto ***out, size_t *count_out)
{
    const gm_ast_expression *versions = header_value(header, "opset_import");
    size_t count = versions ? versions->item_count / 2 : 0;
    if (!(*out = array(b, count, sizeof **out)))
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < count; i++) {
        Onnx__OperatorSetIdProto *made = (*out)[i] = make(b, &onnx__operator_set_id_proto__descriptor);
        if (!made)
            return GM_ERROR_MEMORY;
        made->domain = text_of(versions->items[2 * i]->text);
        made->has_version = 1;
        made->version = versions->items[2 * i + 1]->integer;
    }
    *count_out = count;
    return GM_OK;
}

static gm_status function(builder *b, const gm_ast_declaration *from, Onnx__FunctionProto **out)
{
    const gm_ast_signature *signature = &from->signature;
    Onnx__FunctionProto *made = *out = make(b, &onnx__function_proto__descriptor);
    if (!made || !(made->input = array(b, signature->input_count, sizeof *made->input)) ||
        !(made->output = array(b, signature->output_count, sizeof *made->output)) ||
        !(made->attribute = array(b, from->attributes.count, sizeof *made->attribute)))
        return GM_ERROR_MEMORY;
    made->name = text_of(from->names[0]);
    made->domain = header_text(&from->header, "domain");
    made->overload = header_text(&from->header, "overload");
    for (size_t i = 0; i < signature->input_count; i++)
        made->input[made->n_input++] = text_of(signature->inputs[i].name);
    for (size_t i = 0; i < signature->output_count; i++)
        made->output[made->n_output++] = text_of(signature->outputs[i].name);
    for (size_t i = 0; i < from->attributes.count; i++)
        if (!from->attributes.items[i].value)
            made->attribute[made->n_attribute++] = text_of(from->attributes.items[i].name);
    GM_TRY(attributes(b, &from->attributes, true, &made->attribute_proto, &made->n_attribute_proto));
    GM_TRY(opsets(b, &from->header, &made->opset_import, &made->n_opset_import));
    return nodes(b, &from->body, &made->node, &made->n_node);
}

gm_status gm_onnx_untree(gm_pool *pool, const gm_ast_file *file, gm_external *external, void **data_out,
                         size_t *bytes_out)
{
    builder b = {pool, gm_pool_context(pool), file->name, external};
    const gm_ast_onnx *onnx = file->onnx;
    const gm_ast_expression *version = header_value(&onnx->header, "ir_version");
    Onnx__ModelProto model;
    onnx__model_proto__init(&model);
    model.has_ir_version = 1;
    model.ir_version = version && version->integer ? version->integer : GM_ONNX_IR_VERSION;
    model.producer_name = header_text(&onnx->header, "producer_name");
    model.producer_version = header_text(&onnx->header, "producer_version");
    model.domain = header_text(&onnx->header, "domain");
    model.doc_string = header_text(&onnx->header, "doc_string");
    GM_TRY(opsets(&b, &onnx->header, &model.opset_import, &model.n_opset_import));
    GM_TRY(graph(&b, onnx->graph, &model.graph));
    if (!(model.functions = array(&b, onnx->function_count, sizeof *model.functions)))
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < onnx->function_count; i++)
        GM_TRY(function(&b, &onnx->functions[i], &model.functions[model.n_functions++]));
    *bytes_out = onnx__model_proto__get_packed_size(&model);
    if (*bytes_out > GM_ONNX_MAX_BYTES)
        return gm_fail(b.context, GM_ERROR_UNSUPPORTED, "a model of more than 2 GiB cannot be stored in one file");
    if (!(*data_out = gm_pool_alloc(pool, *bytes_out + 1)))
        return GM_ERROR_MEMORY;
    onnx__model_proto__pack(&model, *data_out);
    return GM_OK;
}
