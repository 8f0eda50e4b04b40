/* Elaboration: calls of operators: types of literals, attributes, the mode. */
#include "graph/elaborate.h"
#include "graph/older.h"

#include <string.h>

/* Inputs whose literals take the type of the other inputs of the set; elementwise operators: all. */
static const struct {
    const char *name;
    unsigned inputs;
} same_type_inputs[] = {
    {"Concat", ~0u},
    {"Gemm", 7u},
    {"MatMul", 3u},
    {"PRelu", 3u},
    {"Pad", 5u},
    {"Range", 7u},
    {"SwiGLU", 3u},
    {"BitShift", 3u},
    {"BitwiseAnd", 3u},
    {"BitwiseOr", 3u},
    {"BitwiseXor", 3u},
    {"ScatterElements", 5u},
    {"Scatter", 5u},
    {"ScatterND", 5u},
    {"TensorScatter", 3u},
    {"Einsum", ~0u},
    {"Sum", ~0u},
    {"Mean", ~0u},
    {"Mod", 3u},
    {"LayerNormalization", 7u},
    {"RMSNormalization", 3u},
    {"InstanceNormalization", 7u},
    {"GroupNormalization", 7u},
};

static unsigned literal_group(const gm_operator *op)
{
    if (strcmp(op->name, "Where") == 0)
        return 6u;
    if (op->flags & GM_OP_ELEMENTWISE)
        return ~0u;
    for (size_t i = 0; i < GM_COUNT(same_type_inputs); i++)
        if (strcmp(same_type_inputs[i].name, op->name) == 0)
            return same_type_inputs[i].inputs;
    return 1u;
}

bool el_is_literal(el_value value)
{
    return value.kind == EL_NUMBER || value.kind == EL_LIST || value.kind == EL_DIM;
}

bool el_has_point(el_value value)
{
    for (size_t i = 0; value.kind == EL_LIST && i < value.count; i++)
        if (el_has_point(value.items[i]))
            return true;
    return value.kind == EL_NUMBER && value.is_float;
}

/* The type for literals of the group, from its first tensor, else from the literals and what the operator takes. */
static gm_type literal_type(elaborator *e, const gm_operator *op, const el_value *values, size_t count, unsigned group)
{
    bool point = false;
    for (size_t i = 0; i < count; i++) {
        if (!(group & (1u << (i < 31 ? i : 31))))
            continue;
        if (values[i].kind == EL_TENSOR)
            return gm_value_of(e->graph, values[i].id)->type;
        if (values[i].kind == EL_STATE)
            return e->program->states[values[i].state].type;
        point = point || el_has_point(values[i]);
    }
    if (op->types && !(op->types & GM_TYPES(GM_INT64)) && (op->types & GM_TYPES(GM_FLOAT)) && (group & 1u))
        return GM_FLOAT;
    return point ? GM_FLOAT : GM_INT64;
}

static bool operator_inputs(elaborator *e, const gm_operator *op, el_value *values, size_t count, gm_value_id *inputs,
                            gm_location where)
{
    unsigned group = literal_group(op);
    gm_type type = literal_type(e, op, values, count, group);
    for (size_t i = 0; i < count; i++) {
        bool grouped = group & (1u << (i < 31 ? i : 31));
        gm_type wanted = grouped ? type : GM_TYPE_UNDEFINED;
        if (strcmp(op->name, "Dropout") == 0 && i > 0)
            wanted = i == 1 ? GM_FLOAT : GM_BOOL;
        if ((strcmp(op->name, "Resize") == 0 && (i == 1 || i == 2)) || (strcmp(op->name, "Upsample") == 0 && i == 1))
            wanted = GM_FLOAT;
        if (values[i].kind == EL_ABSENT)
            continue;
        inputs[i] = el_to_tensor(e, values[i], el_is_literal(values[i]) ? wanted : GM_TYPE_UNDEFINED, where);
        if (!inputs[i])
            return false;
    }
    return true;
}

static const gm_attribute_schema *find_schema(const gm_operator *op, const char *name)
{
    for (size_t i = 0; i < op->attribute_count; i++)
        if (strcmp(op->attributes[i].name, name) == 0)
            return &op->attributes[i];
    return NULL;
}

static bool has_size(el_value value)
{
    for (size_t i = 0; value.kind == EL_LIST && i < value.count; i++)
        if (has_size(value.items[i]))
            return true;
    return value.kind == EL_DIM;
}

static bool operator_attribute(elaborator *e, const gm_operator *op, const gm_ast_attribute *item, gm_attribute *out)
{
    const gm_attribute_schema *schema = item->name ? find_schema(op, item->name) : NULL;
    bool older = item->name && gm_older_has(op, el_opset(e, op->domain), item->name);
    bool random = (op->flags & GM_OP_RANDOM) != 0, shape;
    gm_spelling spelling;
    el_value value;
    if (!item->name) {
        el_error(e, item->where, "attributes of the operator %s must be written with their names: <name = value>",
                 op->name);
        return false;
    }
    if (!schema && !older) {
        gm_spelling_init(&spelling, item->name);
        for (size_t i = 0; i < op->attribute_count; i++)
            gm_spelling_offer(&spelling, op->attributes[i].name);
        el_error(e, item->where, "the operator %s has no attribute '%s'%s", op->name, item->name,
                 el_hint(e, &spelling));
        return false;
    }
    if (item->value && item->value->kind == GM_AST_TENSOR && item->value->tensor) {
        *out = gm_attribute_tensor(item->name, item->value->tensor);
        return true;
    }
    value = el_evaluate_attribute(e, item->value);
    shape = random && strcmp(item->name, "shape") == 0;
    if (has_size(value) && !shape) {
        el_error(e, item->where, "attribute '%s' must be known at load, but holds a size that changes with the batch",
                 item->name);
        return false;
    }
    bool seed = random && strcmp(item->name, "seed") == 0;
    return el_to_attribute(e, item->name,
                           seed               ? GM_ATTRIBUTE_INT
                           : schema && !older ? (int)schema->kind
                                              : 0,
                           value, item->where, out);
}

/* A reference to an attribute of the function that its caller did not give. */
static bool is_left_out(elaborator *e, const gm_ast_attribute *item)
{
    const char *name;
    if (!el_in_onnx(e) || !item->value || item->value->kind != GM_AST_REFERENCE)
        return false;
    name = gm_pool_printf(e->pool, "@%s", item->value->text);
    return name && !el_find(&e->frame->names, name);
}

/* All attributes, with room for a few more. */
static gm_attribute *operator_attributes(elaborator *e, const gm_operator *op, const gm_ast_attributes *written,
                                         size_t *count_out)
{
    gm_attribute *attributes = gm_pool_array(e->pool, written->count + 6, sizeof *attributes);
    bool good = true;
    *count_out = 0;
    if (!attributes) {
        el_out_of_memory(e);
        return NULL;
    }
    for (size_t i = 0; i < written->count; i++)
        if (!is_left_out(e, &written->items[i]))
            good = operator_attribute(e, op, &written->items[i], &attributes[(*count_out)++]) && good;
    return good ? attributes : NULL;
}

static bool check_arity(elaborator *e, const gm_operator *op, gm_location where, size_t inputs, size_t outputs)
{
    size_t least, most, least_out, most_out;
    gm_operator_arity(op, &least, &most, &least_out, &most_out);
    if (inputs < least || inputs > most) {
        if (most == SIZE_MAX)
            el_error(e, where, "the operator %s takes at least %zu input%s (%s), found %zu", op->name, least,
                     least == 1 ? "" : "s", op->inputs, inputs);
        else if (least == most)
            el_error(e, where, "the operator %s takes %zu input%s%s%s%s, found %zu", op->name, least,
                     least == 1 ? "" : "s", least ? " (" : "", least ? op->inputs : "", least ? ")" : "", inputs);
        else
            el_error(e, where, "the operator %s takes %zu to %zu inputs (%s), found %zu", op->name, least, most,
                     op->inputs, inputs);
        return false;
    }
    if (outputs <= most_out)
        return true;
    el_error(e, where, "the operator %s has %zu output%s (%s), but %zu names stand before '='", op->name, most_out,
             most_out == 1 ? "" : "s", op->outputs, outputs);
    return false;
}

/* Writes the mode that BatchNormalization and Dropout follow. Returns the number of outputs there are in that mode. */
static size_t follow_mode(elaborator *e, const gm_operator *op, gm_attribute *attributes, size_t *attribute_count,
                          gm_value_id *inputs, size_t *input_count, size_t wanted)
{
    bool training = e->frame->training;
    if (strcmp(op->name, "BatchNormalization") == 0) {
        gm_attribute *written = NULL;
        for (size_t i = 0; i < *attribute_count; i++)
            if (strcmp(attributes[i].name, "training_mode") == 0)
                written = &attributes[i];
        if (written && e->frame->made && e->frame->declaration && e->frame->declaration->onnx) /* of load */
            written->i = training;
        else if (written)
            training = written->i != 0;
        else
            attributes[(*attribute_count)++] = gm_attribute_int("training_mode", training);
        return training || wanted < 1 ? wanted : 1;
    }
    if (strcmp(op->name, "Dropout") == 0 && (*input_count < 3 || !inputs[2])) {
        inputs[2] = gm_const_scalar(e->graph, GM_BOOL, training);
        *input_count = 3;
    }
    return wanted;
}

/* The call on its way into the graph. */
typedef struct operator_node {
    gm_older_node node;
    const char *path;
    bool older;
} operator_node;

static bool begin_node(elaborator *e, const gm_operator *op, const gm_ast_expression *call, el_value *values,
                       size_t wanted, operator_node *made)
{
    gm_older_node *node = &made->node;
    *node = (gm_older_node){.graph = e->graph, .op = op, .opset = el_opset(e, op->domain)};
    node->input_count = call->item_count;
    node->output_count = wanted;
    node->inputs = gm_pool_array(e->pool, call->item_count + 9, sizeof *node->inputs);
    node->outputs = gm_pool_array(e->pool, wanted + 3, sizeof *node->outputs);
    if (!node->inputs || !node->outputs) {
        el_out_of_memory(e);
        return false;
    }
    made->older = gm_older_applies(op, node->opset);
    if (!made->older && !check_arity(e, op, call->where, call->item_count, wanted))
        return false;
    node->attributes = operator_attributes(e, op, &call->attributes, &node->attribute_count);
    if (!node->attributes || !(made->path = el_callee_path(e, op->name, '.', NULL)) || !el_has_room(e, call->where))
        return false;
    el_place_node(e, call->where, made->path);
    return operator_inputs(e, op, values, call->item_count, node->inputs, call->where);
}

/* Exporters write BatchNormalization with its one output of inference: in training its running statistics are written too. */
static bool takes_statistics(const elaborator *e, const gm_operator *op, const el_value *values, size_t count,
                             size_t wanted)
{
    if (strcmp(op->name, "BatchNormalization") != 0 || !el_in_onnx(e) || !e->frame->training || !e->writes_buffers ||
        wanted != 1 || count != 5)
        return false;
    return values[3].kind == EL_STATE && values[4].kind == EL_STATE &&
           e->program->states[values[3].state].kind == GM_STATE_BUFFER &&
           e->program->states[values[4].state].kind == GM_STATE_BUFFER;
}

size_t el_operator_call(elaborator *e, const gm_operator *op, const gm_ast_expression *call, el_value *values,
                        el_value *outputs, size_t wanted)
{
    operator_node made = {0};
    gm_older_node *node = &made.node;
    size_t present = wanted;
    bool statistics = false;
    if (!begin_node(e, op, call, values, wanted, &made))
        return 0;
    el_place_node(e, call->where, made.path);
    if (made.older)
        gm_older_upgrade(node);
    while (node->input_count && !node->inputs[node->input_count - 1])
        node->input_count--;
    if (!node->done && e->graph->status == GM_OK) {
        present =
            follow_mode(e, op, node->attributes, &node->attribute_count, node->inputs, &node->input_count, wanted);
        statistics = takes_statistics(e, op, values, call->item_count, wanted);
        present = statistics ? 3 : present;
        gm_graph_add_node(e->graph, op, node->inputs, node->input_count, node->attributes, node->attribute_count,
                          node->outputs, present);
    }
    if (el_take_graph_error(e))
        return 0;
    for (size_t i = 1; statistics && i < 3; i++)
        el_state_assign(e, values[2 + i].state, node->outputs[i]);
    for (size_t i = 0; i < wanted; i++)
        outputs[i] = i < present && node->outputs[i] ? el_tensor(node->outputs[i]) : (el_value){.kind = EL_ABSENT};
    return wanted;
}
