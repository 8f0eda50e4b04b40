/* The writer of the binary encoding: an ONNX ModelProto that points at the caller's tensors, packed into one block. */
#include "graph/onnx_proto.h"
#include "graph/operator.h"

#include <stdio.h>
#include <string.h>

typedef struct writer {
    gm_context *context;
    gm_pool *pool; /* of the messages; gone after packing */
    const gm_container *container;
    Onnx__ModelProto model;
    Onnx__GraphProto *graph;
    gm_name_set values, nodes;
    const char **value_names; /* per value of the view */
    bool *used;               /* per value of the view: read by a node or an output */
    size_t tensor_bytes;      /* so far */
} writer;

/* A message of the pool, or NULL. */
static void *make(writer *w, const ProtobufCMessageDescriptor *type)
{
    ProtobufCMessage *message = gm_pool_alloc(w->pool, type->sizeof_message);
    if (message)
        protobuf_c_message_init(type, message);
    return message;
}

static char *string(writer *w, const char *text)
{
    return gm_pool_string(w->pool, text ? text : "");
}

/* --- Tensors ------------------------------------------------------------------------------------------------------- */

static gm_status make_tensor(writer *w, const char *name, const gm_tensor *tensor, Onnx__TensorProto **out)
{
    Onnx__TensorProto *proto;
    bool external;
    size_t bytes;
    if (tensor->rank < 0 || tensor->rank > GM_MAX_RANK ||
        !gm_onnx_tensor_bytes(tensor->type, (size_t)tensor->rank, tensor->dims, INT64_MAX, &bytes) ||
        (bytes && !tensor->data))
        return gm_fail(w->context, GM_ERROR_UNSUPPORTED, "tensor '%s' of type %s cannot be stored", name,
                       gm_type_name(tensor->type));
    external = w->container->external && bytes >= w->container->external->threshold;
    if (!external && bytes > GM_ONNX_MAX_BYTES - w->tensor_bytes)
        return gm_fail(w->context, GM_ERROR_UNSUPPORTED, "a model of more than 2 GiB cannot be stored in one file");
    w->tensor_bytes += external ? 0 : bytes;
    proto = make(w, &onnx__tensor_proto__descriptor);
    if (!proto || !(proto->name = string(w, name)) ||
        !(proto->dims = gm_pool_copy(w->pool, tensor->dims, (size_t)tensor->rank * sizeof *tensor->dims)))
        return GM_ERROR_MEMORY;
    proto->n_dims = (size_t)tensor->rank;
    proto->has_data_type = 1;
    proto->data_type = (int32_t)tensor->type;
    proto->has_raw_data = 1;
    proto->raw_data = (ProtobufCBinaryData){bytes, tensor->data};
    if (!gm_onnx_is_little_endian()) {
        if (!(proto->raw_data.data = gm_pool_copy(w->pool, tensor->data, bytes)))
            return GM_ERROR_MEMORY;
        gm_onnx_swap_bytes(proto->raw_data.data, bytes, gm_type_bytes(tensor->type));
    }
    *out = proto;
    return external ? gm_onnx_write_external(w->pool, w->container->external, proto->raw_data.data, bytes, proto)
                    : GM_OK;
}

static gm_status add_initializers(writer *w, Onnx__GraphProto *graph, const gm_named_tensor *tensors, size_t count,
                                  gm_name_set *names)
{
    size_t constants = w->container->view ? w->container->view->value_count : 0;
    graph->initializer = gm_pool_array(w->pool, count + constants, sizeof *graph->initializer);
    if (!graph->initializer)
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < count; i++) {
        bool added;
        if (!tensors[i].name || !tensors[i].name[0])
            return gm_fail(w->context, GM_ERROR_ARGUMENT, "a tensor to store has no name");
        GM_TRY(gm_name_set_add(names, tensors[i].name, &added));
        if (!added)
            return gm_fail(w->context, GM_ERROR_ARGUMENT, "two tensors to store are named '%s'", tensors[i].name);
        GM_TRY(make_tensor(w, tensors[i].name, tensors[i].tensor, &graph->initializer[i]));
    }
    graph->n_initializer = count;
    return GM_OK;
}

/* --- Names of the view --------------------------------------------------------------------------------------------- */

/* `wanted`, or with _2, _3 ... behind it when it is taken. */
static gm_status unique_name(writer *w, gm_name_set *names, const char *wanted, const char **name_out)
{
    const char *base = wanted && wanted[0] ? wanted : "v";
    const char *name = string(w, base);
    for (int i = 2; name; i++) {
        bool added;
        GM_TRY(gm_name_set_add(names, name, &added));
        if (added) {
            *name_out = name;
            return GM_OK;
        }
        name = gm_pool_printf(w->pool, "%s_%d", base, i);
    }
    return GM_ERROR_MEMORY;
}

static gm_status reserve_name(writer *w, const char *name)
{
    bool added;
    GM_TRY(gm_name_set_add(&w->values, name, &added));
    return added ? GM_OK
                 : gm_fail(w->context, GM_ERROR_MODEL, "network '%s': two inputs, outputs or parameters are named '%s'",
                           w->container->view->name, name);
}

static void mark_used(writer *w)
{
    const gm_graph *view = w->container->view;
    for (size_t i = 0; i < view->node_count; i++)
        for (size_t k = 0; k < view->nodes[i].input_count && !view->nodes[i].dead; k++)
            w->used[view->nodes[i].inputs[k]] = true;
    for (size_t i = 0; i < view->output_count; i++)
        w->used[view->outputs[i].value] = true;
}

static gm_status name_state(writer *w, gm_value_id id)
{
    const gm_value *value = gm_value_of(w->container->view, id);
    const gm_program *program = w->container->program;
    const char *path = program && value->state < program->state_count ? program->states[value->state].path : NULL;
    if (!path || !gm_name_set_has(&w->values, path))
        return gm_fail(w->context, GM_ERROR_INTERNAL, "network '%s' reads '%s', which is not among the stored tensors",
                       w->container->view->name, path ? path : value->name);
    w->value_names[id] = path;
    return GM_OK;
}

/* Inputs and outputs keep their names, parameters have their paths, all others are made unique. */
static gm_status name_values(writer *w)
{
    const gm_graph *view = w->container->view;
    for (size_t i = 0; i < view->input_count; i++) {
        GM_TRY(reserve_name(w, view->inputs[i].name));
        w->value_names[view->inputs[i].value] = view->inputs[i].name;
    }
    for (size_t i = 0; i < view->output_count; i++) {
        gm_value_id id = view->outputs[i].value;
        if (w->value_names[id] && strcmp(w->value_names[id], view->outputs[i].name) == 0)
            continue; /* an output that is the input of the same name */
        GM_TRY(reserve_name(w, view->outputs[i].name));
        if (gm_value_of(view, id)->kind == GM_VALUE_NODE && !w->value_names[id])
            w->value_names[id] = view->outputs[i].name;
    }
    for (gm_value_id id = 1; id < view->value_count; id++) {
        const gm_value *value = gm_value_of(view, id);
        if (value->kind == GM_VALUE_STATE && w->used[id])
            GM_TRY(name_state(w, id));
        else if (!w->value_names[id] && (value->kind == GM_VALUE_NODE || w->used[id]))
            GM_TRY(unique_name(w, &w->values, value->name, &w->value_names[id]));
    }
    return GM_OK;
}

/* --- Types --------------------------------------------------------------------------------------------------------- */

static gm_status set_dimension(writer *w, gm_dim dim, Onnx__TensorShapeProto__Dimension *out)
{
    char text[256];
    if (gm_dim_is_known(dim)) {
        out->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        out->dim_value = dim;
        return GM_OK;
    }
    gm_dim_print(w->container->view->symbols, dim, text, sizeof text);
    if (strchr(text, '?') || strlen(text) == sizeof text - 1)
        return GM_OK; /* unknown: a dimension without value */
    out->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
    out->dim_param = string(w, text);
    return out->dim_param ? GM_OK : GM_ERROR_MEMORY;
}

static gm_status make_value_info(writer *w, const char *name, gm_value_id id, Onnx__ValueInfoProto **out)
{
    const gm_value *value = gm_value_of(w->container->view, id);
    Onnx__ValueInfoProto *info = make(w, &onnx__value_info_proto__descriptor);
    Onnx__TypeProto *type = make(w, &onnx__type_proto__descriptor);
    Onnx__TypeProto__Tensor *tensor = make(w, &onnx__type_proto__tensor__descriptor);
    Onnx__TensorShapeProto *shape = make(w, &onnx__tensor_shape_proto__descriptor);
    if (!info || !type || !tensor || !shape || !(info->name = string(w, name)) ||
        !(shape->dim = gm_pool_array(w->pool, (size_t)value->rank, sizeof *shape->dim)))
        return GM_ERROR_MEMORY;
    info->type = type;
    type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type->tensor_type = tensor;
    tensor->has_elem_type = 1;
    tensor->elem_type = (int32_t)value->type;
    tensor->shape = shape;
    for (int i = 0; i < value->rank; i++) {
        if (!(shape->dim[i] = make(w, &onnx__tensor_shape_proto__dimension__descriptor)))
            return GM_ERROR_MEMORY;
        GM_TRY(set_dimension(w, value->dims[i], shape->dim[i]));
    }
    shape->n_dim = (size_t)value->rank;
    *out = info;
    return GM_OK;
}

/* --- Nodes --------------------------------------------------------------------------------------------------------- */

static bool copy_strings(writer *w, Onnx__AttributeProto *proto, const gm_attribute *attribute)
{
    proto->strings = gm_pool_array(w->pool, attribute->count, sizeof *proto->strings);
    for (size_t i = 0; i < attribute->count && proto->strings; i++)
        proto->strings[i] = (ProtobufCBinaryData){strlen(attribute->strings[i]), (uint8_t *)attribute->strings[i]};
    proto->n_strings = proto->strings ? attribute->count : 0;
    return proto->strings != NULL;
}

static bool copy_floats(writer *w, Onnx__AttributeProto *proto, const gm_attribute *attribute)
{
    proto->floats = gm_pool_array(w->pool, attribute->count, sizeof *proto->floats);
    for (size_t i = 0; i < attribute->count && proto->floats; i++)
        proto->floats[i] = (float)attribute->floats[i];
    proto->n_floats = proto->floats ? attribute->count : 0;
    return proto->floats != NULL;
}

static gm_status make_attribute(writer *w, const gm_attribute *attribute, Onnx__AttributeProto **out)
{
    Onnx__AttributeProto *proto = make(w, &onnx__attribute_proto__descriptor);
    if (!proto || !(proto->name = string(w, attribute->name)))
        return GM_ERROR_MEMORY;
    *out = proto;
    proto->has_type = 1;
    proto->type = (Onnx__AttributeProto__AttributeType)attribute->kind;
    switch (attribute->kind) {
    case GM_ATTRIBUTE_FLOAT:
        proto->has_f = 1;
        proto->f = (float)attribute->f;
        return GM_OK;
    case GM_ATTRIBUTE_INT:
        proto->has_i = 1;
        proto->i = attribute->i;
        return GM_OK;
    case GM_ATTRIBUTE_STRING:
        proto->has_s = 1;
        proto->s = (ProtobufCBinaryData){strlen(attribute->s), (uint8_t *)attribute->s};
        return GM_OK;
    case GM_ATTRIBUTE_TENSOR:
        return make_tensor(w, attribute->name, attribute->t, &proto->t);
    case GM_ATTRIBUTE_FLOATS:
        return copy_floats(w, proto, attribute) ? GM_OK : GM_ERROR_MEMORY;
    case GM_ATTRIBUTE_INTS:
        proto->ints = gm_pool_copy(w->pool, attribute->ints, attribute->count * sizeof *attribute->ints);
        proto->n_ints = attribute->count;
        return proto->ints ? GM_OK : GM_ERROR_MEMORY;
    case GM_ATTRIBUTE_STRINGS:
        return copy_strings(w, proto, attribute) ? GM_OK : GM_ERROR_MEMORY;
    case GM_ATTRIBUTE_GRAPH:
        break;
    }
    return gm_fail(w->context, GM_ERROR_UNSUPPORTED, "attribute '%s' is a graph, which cannot be stored yet",
                   attribute->name);
}

/* A node without attributes; arrays sized, names of inputs and outputs set by the caller. */
static Onnx__NodeProto *make_node(writer *w, const char *place, const char *domain, const char *op, size_t inputs,
                                  size_t outputs)
{
    Onnx__NodeProto *proto = make(w, &onnx__node_proto__descriptor);
    const char *name = NULL, *wanted = gm_pool_printf(w->pool, "%s%s%s", place, place[0] ? "/" : "", op);
    if (!proto || !wanted || unique_name(w, &w->nodes, wanted, &name) != GM_OK)
        return NULL;
    proto->name = (char *)name;
    proto->op_type = (char *)op;
    proto->domain = domain[0] ? (char *)domain : NULL;
    proto->input = gm_pool_array(w->pool, inputs, sizeof *proto->input);
    proto->output = gm_pool_array(w->pool, outputs, sizeof *proto->output);
    proto->n_input = inputs;
    proto->n_output = outputs;
    return proto->input && proto->output ? proto : NULL;
}

static gm_status append_node(writer *w, Onnx__NodeProto *node)
{
    if (!node)
        return GM_ERROR_MEMORY;
    w->graph->node[w->graph->n_node++] = node;
    return GM_OK;
}

/* Constants are nodes, so that the initializers of a .gmodel are nothing but parameters and buffers; in plain ONNX they are
 * initializers. */
static gm_status add_constant(writer *w, gm_value_id id)
{
    if (w->container->source_count == 0) /* plain ONNX */
        return make_tensor(w, w->value_names[id], gm_value_of(w->container->view, id)->constant,
                           &w->graph->initializer[w->graph->n_initializer++]);
    const gm_value *value = gm_value_of(w->container->view, id);
    Onnx__NodeProto *node = make_node(w, w->value_names[id], "", "Constant", 0, 1);
    gm_attribute attribute = gm_attribute_tensor("value", value->constant);
    if (!node || !(node->attribute = gm_pool_array(w->pool, 1, sizeof *node->attribute)))
        return GM_ERROR_MEMORY;
    node->output[0] = (char *)w->value_names[id];
    node->n_attribute = 1;
    GM_TRY(make_attribute(w, &attribute, &node->attribute[0]));
    return append_node(w, node);
}

static gm_status add_node(writer *w, const gm_node *node)
{
    Onnx__NodeProto *proto;
    size_t inputs = node->input_count, outputs = node->output_count, min_in, max_in, min_out, max_out;
    if (node->body)
        return gm_fail(w->context, GM_ERROR_INTERNAL, "a fused graph cannot be stored");
    gm_operator_arity(node->op, &min_in, &max_in, &min_out, &max_out);
    while (inputs > 0 && !node->inputs[inputs - 1])
        inputs--;
    while (outputs > 1 && outputs > min_out && !w->used[node->outputs[outputs - 1]])
        outputs--;
    proto = make_node(w, node->path ? node->path : "", node->op->domain, node->op->name, inputs, outputs);
    if (!proto)
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < inputs; i++)
        proto->input[i] = (char *)(node->inputs[i] ? w->value_names[node->inputs[i]] : "");
    for (size_t i = 0; i < outputs; i++)
        proto->output[i] = (char *)(node->outputs[i] ? w->value_names[node->outputs[i]] : "");
    proto->attribute = gm_pool_array(w->pool, node->attribute_count, sizeof *proto->attribute);
    if (!proto->attribute)
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < node->attribute_count; i++)
        GM_TRY(make_attribute(w, &node->attributes[i], &proto->attribute[i]));
    proto->n_attribute = node->attribute_count;
    return append_node(w, proto);
}

/* A graph output that is an input, a parameter, a constant or another output: ONNX wants a value of its own. */
static gm_status add_identity(writer *w, const gm_graph_output *output)
{
    const char *name = w->value_names[output->value];
    Onnx__NodeProto *node;
    if (strcmp(name, output->name) == 0)
        return GM_OK;
    if (!(node = make_node(w, output->name, "", "Identity", 1, 1)))
        return GM_ERROR_MEMORY;
    node->input[0] = (char *)name;
    node->output[0] = (char *)output->name;
    return append_node(w, node);
}

static gm_status add_nodes(writer *w)
{
    const gm_graph *view = w->container->view;
    w->graph->node =
        gm_pool_array(w->pool, view->value_count + view->node_count + view->output_count, sizeof *w->graph->node);
    if (!w->graph->node)
        return GM_ERROR_MEMORY;
    for (gm_value_id id = 1; id < view->value_count; id++)
        if (gm_value_of(view, id)->kind == GM_VALUE_CONSTANT && w->used[id])
            GM_TRY(add_constant(w, id));
    for (size_t i = 0; i < view->node_count; i++)
        if (!view->nodes[i].dead)
            GM_TRY(add_node(w, &view->nodes[i]));
    for (size_t i = 0; i < view->output_count; i++)
        GM_TRY(add_identity(w, &view->outputs[i]));
    return GM_OK;
}

/* --- The view ------------------------------------------------------------------------------------------------------ */

static bool is_graph_output(const gm_graph *view, const char *name)
{
    for (size_t i = 0; i < view->output_count; i++)
        if (strcmp(view->outputs[i].name, name) == 0)
            return true;
    return false;
}

/* Types of inputs, outputs and everything between that something reads. */
static gm_status add_value_infos(writer *w)
{
    const gm_graph *view = w->container->view;
    Onnx__GraphProto *graph = w->graph;
    graph->input = gm_pool_array(w->pool, view->input_count, sizeof *graph->input);
    graph->output = gm_pool_array(w->pool, view->output_count, sizeof *graph->output);
    graph->value_info = gm_pool_array(w->pool, view->value_count, sizeof *graph->value_info);
    if (!graph->input || !graph->output || !graph->value_info)
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < view->input_count; i++)
        GM_TRY(make_value_info(w, view->inputs[i].name, view->inputs[i].value, &graph->input[i]));
    graph->n_input = view->input_count;
    for (size_t i = 0; i < view->output_count; i++)
        GM_TRY(make_value_info(w, view->outputs[i].name, view->outputs[i].value, &graph->output[i]));
    graph->n_output = view->output_count;
    for (gm_value_id id = 1; id < view->value_count; id++) {
        const gm_value *value = gm_value_of(view, id);
        if (value->kind == GM_VALUE_NODE && w->used[id] && !view->nodes[value->node].dead &&
            !is_graph_output(view, w->value_names[id]))
            GM_TRY(make_value_info(w, w->value_names[id], id, &graph->value_info[graph->n_value_info++]));
    }
    return GM_OK;
}

/* Ids come from rewrites and are indices from here on. */
static gm_status check_view(writer *w)
{
    const gm_graph *view = w->container->view;
    bool sound = true;
    for (size_t i = 0; i < view->node_count; i++) {
        for (size_t k = 0; k < view->nodes[i].input_count; k++)
            sound &= view->nodes[i].inputs[k] < view->value_count;
        for (size_t k = 0; k < view->nodes[i].output_count; k++)
            sound &= view->nodes[i].outputs[k] < view->value_count;
    }
    for (size_t i = 0; i < view->output_count; i++)
        sound &= view->outputs[i].value > 0 && view->outputs[i].value < view->value_count;
    return sound ? GM_OK : gm_fail(w->context, GM_ERROR_INTERNAL, "network '%s' has a value that is none", view->name);
}

static gm_status add_view(writer *w)
{
    const gm_graph *view = w->container->view;
    GM_TRY(check_view(w));
    w->value_names = gm_pool_array(w->pool, view->value_count, sizeof *w->value_names);
    w->used = gm_pool_array(w->pool, view->value_count, sizeof *w->used);
    if (!w->value_names || !w->used)
        return GM_ERROR_MEMORY;
    mark_used(w);
    GM_TRY(name_values(w));
    GM_TRY(add_nodes(w));
    return add_value_infos(w);
}

/* --- The model ----------------------------------------------------------------------------------------------------- */

static gm_status add_opset(writer *w, const char *domain, int64_t version)
{
    Onnx__OperatorSetIdProto *opset;
    for (size_t i = 0; i < w->model.n_opset_import; i++)
        if (strcmp(w->model.opset_import[i]->domain, domain) == 0)
            return GM_OK;
    opset = make(w, &onnx__operator_set_id_proto__descriptor);
    if (!opset)
        return GM_ERROR_MEMORY;
    opset->domain = (char *)domain;
    opset->has_version = 1;
    opset->version = version;
    w->model.opset_import[w->model.n_opset_import++] = opset;
    return GM_OK;
}

/* Nodes are in the present form of their operators, which may be newer than the model's set. */
static int64_t view_opset(const writer *w)
{
    const gm_graph *view = w->container->view;
    int64_t opset = w->container->opset;
    for (size_t i = 0; view && i < view->node_count; i++)
        if (!view->nodes[i].dead && !view->nodes[i].op->domain[0] && view->nodes[i].op->since > opset)
            opset = view->nodes[i].op->since;
    return opset;
}

/* Every domain used: ONNX's own at that version, the others at 1. */
static gm_status add_opsets(writer *w)
{
    w->model.opset_import = gm_pool_array(w->pool, w->graph->n_node + 1, sizeof *w->model.opset_import);
    if (!w->model.opset_import)
        return GM_ERROR_MEMORY;
    GM_TRY(add_opset(w, "", view_opset(w)));
    for (size_t i = 0; i < w->graph->n_node; i++)
        if (w->graph->node[i]->domain)
            GM_TRY(add_opset(w, w->graph->node[i]->domain, 1));
    return GM_OK;
}

/* The length of the longest valid UTF-8 sequence at p: 0 when there is none. Zero bytes, overlong forms and surrogates
 * are not valid (Unicode 15, table 3-7). */
static size_t utf8_length(const unsigned char *p, size_t left)
{
    size_t length = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    if (length > left || p[0] == 0)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return length;
}

static gm_status add_metadata(writer *w, const char *prefix, const char *key, const char *value, size_t bytes)
{
    Onnx__StringStringEntryProto *entry = make(w, &onnx__string_string_entry_proto__descriptor);
    size_t length;
    for (size_t i = 0; i < bytes; i += length)
        if ((length = utf8_length((const unsigned char *)value + i, bytes - i)) == 0)
            return gm_fail(w->context, GM_ERROR_MODEL, "%s: byte %zu is not UTF-8 text, so it cannot be stored", key,
                           i);
    if (!entry || !(entry->key = gm_pool_printf(w->pool, "%s%s", prefix, key)) ||
        !(entry->value = gm_pool_substring(w->pool, value, bytes)))
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < w->model.n_metadata_props; i++)
        if (strcmp(w->model.metadata_props[i]->key, entry->key) == 0)
            return gm_fail(w->context, GM_ERROR_MODEL, "'%s' would be stored twice", entry->key);
    w->model.metadata_props[w->model.n_metadata_props++] = entry;
    return GM_OK;
}

static gm_status add_all_metadata(writer *w)
{
    const gm_container *c = w->container;
    char digest[GM_ONNX_DIGEST_TEXT], count[24];
    if (c->source_count == 0) /* plain ONNX */
        return GM_OK;
    w->model.metadata_props =
        gm_pool_array(w->pool, 3 + c->source_count + c->setting_count, sizeof *w->model.metadata_props);
    if (!w->model.metadata_props)
        return GM_ERROR_MEMORY;
    GM_TRY(gm_onnx_digest(w->context, w->graph, NULL, 0, digest));
    GM_TRY(add_metadata(w, "", GM_ONNX_FORMAT_KEY, GM_ONNX_FORMAT, strlen(GM_ONNX_FORMAT)));
    GM_TRY(add_metadata(w, "", GM_ONNX_VIEW_KEY, digest, strlen(digest)));
    snprintf(count, sizeof count, "%zu", c->training_count);
    GM_TRY(add_metadata(w, "", GM_ONNX_COUNT_KEY, count, strlen(count)));
    for (size_t i = 0; i < c->source_count; i++)
        GM_TRY(add_metadata(w, GM_ONNX_SOURCE_KEY, c->sources[i].name, c->sources[i].text, c->sources[i].bytes));
    for (size_t i = 0; i < c->setting_count; i++)
        GM_TRY(add_metadata(w, GM_ONNX_SETTING_KEY, c->settings[i].name, c->settings[i].value,
                            strlen(c->settings[i].value)));
    return GM_OK;
}

static gm_status add_training(writer *w)
{
    Onnx__TrainingInfoProto *info;
    gm_name_set names = {.pool = w->pool};
    if (w->container->training_count == 0)
        return GM_OK;
    info = make(w, &onnx__training_info_proto__descriptor);
    w->model.training_info = gm_pool_array(w->pool, 1, sizeof *w->model.training_info);
    if (!info || !w->model.training_info || !(info->algorithm = make(w, &onnx__graph_proto__descriptor)))
        return GM_ERROR_MEMORY;
    info->algorithm->name = "training";
    w->model.training_info[0] = info;
    w->model.n_training_info = 1;
    return add_initializers(w, info->algorithm, w->container->training, w->container->training_count, &names);
}

static gm_status build(writer *w)
{
    const gm_container *c = w->container;
    onnx__model_proto__init(&w->model);
    w->values.pool = w->nodes.pool = w->pool;
    w->graph = make(w, &onnx__graph_proto__descriptor);
    if (!w->graph || !(w->graph->name = string(w, c->model_name && c->model_name[0] ? c->model_name : "model")))
        return GM_ERROR_MEMORY;
    w->model.has_ir_version = 1;
    w->model.ir_version = GM_ONNX_IR_VERSION;
    w->model.producer_name = GM_ONNX_PRODUCER;
    w->model.graph = w->graph;
    GM_TRY(add_initializers(w, w->graph, c->parameters, c->parameter_count, &w->values));
    if (c->view)
        GM_TRY(add_view(w));
    GM_TRY(add_opsets(w));
    GM_TRY(add_training(w));
    return add_all_metadata(w);
}

static gm_status packed_size(const writer *w, size_t *bytes_out)
{
    *bytes_out = onnx__model_proto__get_packed_size(&w->model);
    if (*bytes_out > GM_ONNX_MAX_BYTES)
        return gm_fail(w->context, GM_ERROR_UNSUPPORTED, "a model of more than 2 GiB cannot be stored in one file");
    return GM_OK;
}

static gm_status pack(writer *w, void **data_out, size_t *bytes_out)
{
    size_t bytes;
    uint8_t *data;
    GM_TRY(packed_size(w, &bytes));
    data = gm_alloc(w->context, bytes);
    if (!data)
        return GM_ERROR_MEMORY;
    onnx__model_proto__pack(&w->model, data);
    *data_out = data;
    *bytes_out = bytes;
    return GM_OK;
}

gm_status gm_container_encode(gm_context *context, const gm_container *container, void **data_out, size_t *bytes_out)
{
    writer w = {.context = context, .container = container, .pool = gm_pool_create(context)};
    gm_status status = w.pool ? build(&w) : GM_ERROR_MEMORY;
    if (status == GM_OK)
        status = pack(&w, data_out, bytes_out);
    gm_pool_destroy(w.pool);
    return status;
}

typedef struct stream_buffer {
    ProtobufCBuffer base;
    gm_status (*write)(void *user, const void *data, size_t bytes);
    void *user;
    gm_status status;
} stream_buffer;

static void append_to_stream(ProtobufCBuffer *buffer, size_t bytes, const uint8_t *data)
{
    stream_buffer *stream = (stream_buffer *)buffer;
    if (stream->status == GM_OK)
        stream->status = stream->write(stream->user, data, bytes);
}

gm_status gm_container_stream(gm_context *context, const gm_container *container,
                              gm_status (*write)(void *user, const void *data, size_t bytes), void *user)
{
    writer w = {.context = context, .container = container, .pool = gm_pool_create(context)};
    stream_buffer stream = {{append_to_stream}, write, user, GM_OK};
    size_t bytes;
    stream.status = w.pool ? build(&w) : GM_ERROR_MEMORY;
    if (stream.status == GM_OK)
        stream.status = packed_size(&w, &bytes);
    if (stream.status == GM_OK)
        onnx__model_proto__pack_to_buffer(&w.model, &stream.base);
    gm_pool_destroy(w.pool);
    return stream.status;
}
