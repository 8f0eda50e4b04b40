/* Building graphs: values, nodes, attributes. */
#include "graph/ir.h"

#include "graph/interpret.h"
#include "graph/operator.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

gm_attribute gm_attribute_int(const char *name, int64_t value)
{
    return (gm_attribute){.name = name, .kind = GM_ATTRIBUTE_INT, .i = value};
}

gm_attribute gm_attribute_float(const char *name, double value)
{
    return (gm_attribute){.name = name, .kind = GM_ATTRIBUTE_FLOAT, .f = value};
}

gm_attribute gm_attribute_string(const char *name, const char *value)
{
    return (gm_attribute){.name = name, .kind = GM_ATTRIBUTE_STRING, .s = value};
}

gm_attribute gm_attribute_ints(const char *name, const int64_t *values, size_t count)
{
    return (gm_attribute){.name = name, .kind = GM_ATTRIBUTE_INTS, .ints = values, .count = count};
}

gm_attribute gm_attribute_tensor(const char *name, const gm_tensor *value)
{
    return (gm_attribute){.name = name, .kind = GM_ATTRIBUTE_TENSOR, .t = value};
}

gm_graph *gm_graph_create(gm_pool *pool, gm_symbols *symbols, const char *name)
{
    gm_graph *graph = gm_pool_alloc(pool, sizeof *graph);
    if (!graph)
        return NULL;
    graph->context = gm_pool_context(pool);
    graph->pool = pool;
    graph->symbols = symbols ? symbols : gm_symbols_create(pool);
    graph->name = gm_pool_string(pool, name);
    graph->path = graph->name;
    if (!graph->symbols || !graph->name ||
        !gm_pool_grow(pool, (void **)&graph->values, &graph->value_capacity, 64, sizeof *graph->values))
        return NULL;
    graph->value_count = 1;
    return graph;
}

gm_status gm_graph_fail(gm_graph *graph, gm_status status, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    if (graph->status != GM_OK)
        return graph->status;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    graph->status = status;
    if (status == GM_ERROR_MEMORY)
        return gm_fail(graph->context, status, "%s", text);
    gm_diagnose(graph->context, graph->where, "%s", text);
    return status;
}

gm_status gm_node_fail(gm_graph *graph, const gm_node *node, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    if (graph->status != GM_OK)
        return graph->status;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    graph->status = GM_ERROR_MODEL;
    gm_diagnose(graph->context, node->where, "node '%s' (%s): %s", node->path ? node->path : "", node->op->name, text);
    return graph->status;
}

static gm_status out_of_memory(gm_graph *graph)
{
    if (graph->status == GM_OK)
        graph->status = GM_ERROR_MEMORY; /* the pool set the message */
    return graph->status;
}

/* --- Values
 * ------------------------------------------------------------------------------------------------------------ */

static gm_value_id add_value(gm_graph *graph, gm_value_kind kind, const char *name)
{
    gm_value *value;
    if (graph->status != GM_OK)
        return 0;
    if (graph->value_count >= UINT32_MAX / 2 ||
        !gm_pool_grow(graph->pool, (void **)&graph->values, &graph->value_capacity, graph->value_count + 1,
                      sizeof *graph->values)) {
        out_of_memory(graph);
        return 0;
    }
    value = &graph->values[graph->value_count];
    memset(value, 0, sizeof *value);
    value->kind = kind;
    value->name = name ? gm_pool_string(graph->pool, name) : gm_pool_printf(graph->pool, "v%zu", graph->value_count);
    if (!value->name) {
        out_of_memory(graph);
        return 0;
    }
    return (gm_value_id)graph->value_count++;
}

static void set_shape(gm_value *value, gm_type type, int rank, const gm_dim *dims)
{
    value->type = type;
    value->rank = rank;
    for (int i = 0; i < rank && i < GM_MAX_RANK; i++)
        value->dims[i] = dims[i];
}

static bool shape_fits(gm_graph *graph, const char *name, int rank, const gm_dim *dims)
{
    if (rank < 0 || rank > GM_MAX_RANK)
        gm_graph_fail(graph, GM_ERROR_UNSUPPORTED, "a tensor of rank %d: at most %d is supported", rank, GM_MAX_RANK);
    else if (!gm_shape_fits(rank, dims))
        gm_graph_fail(graph, GM_ERROR_UNSUPPORTED, "the shape of '%s' is too large for any machine", name);
    else
        return true;
    return false;
}

gm_value_id gm_graph_add_input(gm_graph *graph, const char *name, gm_type type, int rank, const gm_dim *dims,
                               bool is_draw)
{
    gm_value_id id;
    if (!shape_fits(graph, name, rank, dims) || (id = add_value(graph, GM_VALUE_INPUT, name)) == 0)
        return 0;
    set_shape(&graph->values[id], type, rank, dims);
    if (!gm_pool_grow(graph->pool, (void **)&graph->inputs, &graph->input_capacity, graph->input_count + 1,
                      sizeof *graph->inputs)) {
        out_of_memory(graph);
        return 0;
    }
    graph->values[id].state = (uint32_t)graph->input_count;
    graph->inputs[graph->input_count++] = (gm_graph_input){graph->values[id].name, id, is_draw};
    return id;
}

gm_value_id gm_graph_state(gm_graph *graph, uint32_t state, const char *name, gm_type type, int rank,
                           const gm_dim *dims)
{
    gm_value_id id;
    for (size_t i = 1; i < graph->value_count; i++)
        if (graph->values[i].kind == GM_VALUE_STATE && graph->values[i].state == state)
            return (gm_value_id)i;
    if (!shape_fits(graph, name, rank, dims) || (id = add_value(graph, GM_VALUE_STATE, name)) == 0)
        return 0;
    set_shape(&graph->values[id], type, rank, dims);
    graph->values[id].state = state;
    return id;
}

gm_value_id gm_graph_constant(gm_graph *graph, const gm_tensor *tensor)
{
    gm_value_id id;
    gm_dim dims[GM_MAX_RANK] = {0};
    int64_t count = gm_tensor_count(tensor);
    if (!shape_fits(graph, "constant", tensor->rank, tensor->dims) ||
        (id = add_value(graph, GM_VALUE_CONSTANT, NULL)) == 0)
        return 0;
    for (int i = 0; i < tensor->rank; i++)
        dims[i] = tensor->dims[i];
    set_shape(&graph->values[id], tensor->type, tensor->rank, dims);
    graph->values[id].constant = tensor;
    if ((tensor->type == GM_INT64 || tensor->type == GM_INT32) && tensor->rank <= 1 && count <= 64) {
        gm_dim *content = gm_pool_array(graph->pool, (size_t)count + 1, sizeof *content);
        if (!content) {
            out_of_memory(graph);
            return 0;
        }
        /* A negative number (-1 in a Reshape) is not a dimension: its content stays unknown, the constant is read. */
        for (int64_t i = 0; i < count; i++)
            content[i] = gm_get_int(tensor, i);
        for (int64_t i = 0; i < count; i++)
            if (content[i] < 0)
                return id;
        graph->values[id].content = content;
        graph->values[id].content_count = (size_t)count;
    }
    return id;
}

void gm_graph_add_output(gm_graph *graph, const char *name, gm_value_id value)
{
    char *copy;
    if (graph->status != GM_OK)
        return;
    copy = gm_pool_string(graph->pool, name);
    if (!copy || !gm_pool_grow(graph->pool, (void **)&graph->outputs, &graph->output_capacity, graph->output_count + 1,
                               sizeof *graph->outputs)) {
        out_of_memory(graph);
        return;
    }
    graph->outputs[graph->output_count++] = (gm_graph_output){copy, value};
}

void gm_graph_add_assign(gm_graph *graph, uint32_t state, gm_value_id value)
{
    if (graph->status != GM_OK)
        return;
    if (!gm_pool_grow(graph->pool, (void **)&graph->assigns, &graph->assign_capacity, graph->assign_count + 1,
                      sizeof *graph->assigns)) {
        out_of_memory(graph);
        return;
    }
    graph->assigns[graph->assign_count++] = (gm_assign){state, value};
}

gm_value_id gm_const_scalar(gm_graph *graph, gm_type type, double value)
{
    gm_tensor *tensor;
    if (graph->status != GM_OK)
        return 0;
    tensor = gm_tensor_create(graph->pool, type, 0, NULL);
    if (!tensor) {
        out_of_memory(graph);
        return 0;
    }
    gm_set(tensor, 0, value);
    return gm_graph_constant(graph, tensor);
}

gm_value_id gm_const_ints(gm_graph *graph, const int64_t *values, size_t count)
{
    gm_tensor *tensor;
    if (graph->status != GM_OK)
        return 0;
    tensor = gm_tensor_create(graph->pool, GM_INT64, 1, (int64_t[]){(int64_t)count});
    if (!tensor) {
        out_of_memory(graph);
        return 0;
    }
    for (size_t i = 0; i < count; i++)
        ((int64_t *)tensor->data)[i] = values[i];
    return gm_graph_constant(graph, tensor);
}

const gm_tensor *gm_constant_of(const gm_graph *graph, gm_value_id id)
{
    return id && graph->values[id].kind == GM_VALUE_CONSTANT ? graph->values[id].constant : NULL;
}

bool gm_constant_number(const gm_graph *graph, gm_value_id id, double *number_out)
{
    const gm_tensor *tensor = gm_constant_of(graph, id);
    if (!tensor || !tensor->data || gm_tensor_count(tensor) != 1)
        return false;
    *number_out = gm_get(tensor, 0);
    return true;
}

const gm_node *gm_producer_of(const gm_graph *graph, gm_value_id id)
{
    const gm_value *value = gm_value_of(graph, id);
    return id && value->kind == GM_VALUE_NODE ? &graph->nodes[value->node] : NULL;
}

const gm_node *gm_made_by(const gm_graph *graph, gm_value_id id, const char *op)
{
    const gm_node *node = gm_producer_of(graph, id);
    return node && !node->dead && !node->body && strcmp(node->op->name, op) == 0 ? node : NULL;
}

size_t gm_use_count(const gm_graph *graph, gm_value_id id)
{
    size_t uses = 0;
    for (size_t n = 0; n < graph->node_count; n++)
        for (size_t i = 0; i < graph->nodes[n].input_count && !graph->nodes[n].dead; i++)
            uses += graph->nodes[n].inputs[i] == id;
    for (size_t i = 0; i < graph->output_count; i++)
        uses += graph->outputs[i].value == id;
    for (size_t i = 0; i < graph->assign_count; i++)
        uses += graph->assigns[i].value == id;
    return uses;
}

bool gm_shape_is_known(const gm_value *value)
{
    for (int i = 0; i < value->rank; i++)
        if (!gm_dim_is_known(value->dims[i]))
            return false;
    return true;
}

bool gm_same_type_and_shape(const gm_value *a, const gm_value *b)
{
    return a->type == b->type && a->rank == b->rank &&
           memcmp(a->dims, b->dims, (size_t)a->rank * sizeof a->dims[0]) == 0;
}

bool gm_content_of(const gm_graph *graph, gm_value_id id, const gm_dim **content_out, size_t *count_out)
{
    if (!id || !graph->values[id].content)
        return false;
    *content_out = graph->values[id].content;
    *count_out = graph->values[id].content_count;
    return true;
}

/* --- Attributes
 * -------------------------------------------------------------------------------------------------------- */

static const char *kind_name(gm_attribute_kind kind)
{
    static const char *const names[] = {"?",       "a float",          "an int",         "a string",         "a tensor",
                                        "a graph", "a list of floats", "a list of ints", "a list of strings"};
    return (unsigned)kind < GM_COUNT(names) ? names[kind] : "?";
}

/* int -> float, [ints] -> [floats], int -> [ints] where the schema asks; everything else must match. */
static bool convert_attribute(gm_graph *graph, gm_attribute *attribute, gm_attribute_kind wanted)
{
    if (attribute->kind == wanted)
        return true;
    if (attribute->kind == GM_ATTRIBUTE_INT && wanted == GM_ATTRIBUTE_FLOAT) {
        attribute->f = (double)attribute->i;
    } else if (attribute->kind == GM_ATTRIBUTE_FLOAT && wanted == GM_ATTRIBUTE_INT &&
               attribute->f == floor(attribute->f) && fabs(attribute->f) < 9e15) {
        attribute->i = (int64_t)attribute->f;
    } else if (attribute->kind == GM_ATTRIBUTE_INTS && wanted == GM_ATTRIBUTE_FLOATS) {
        double *floats = gm_pool_array(graph->pool, attribute->count + 1, sizeof *floats);
        if (!floats)
            return false;
        for (size_t i = 0; i < attribute->count; i++)
            floats[i] = (double)attribute->ints[i];
        attribute->floats = floats;
    } else if (attribute->count == 0 &&
               (attribute->kind == GM_ATTRIBUTE_INTS || attribute->kind == GM_ATTRIBUTE_FLOATS ||
                attribute->kind == GM_ATTRIBUTE_STRINGS) &&
               (wanted == GM_ATTRIBUTE_INTS || wanted == GM_ATTRIBUTE_FLOATS || wanted == GM_ATTRIBUTE_STRINGS)) {
        attribute->kind = wanted;
    } else {
        return false;
    }
    attribute->kind = wanted;
    return true;
}

static gm_status check_attributes(gm_graph *graph, gm_node *node, gm_attribute *attributes)
{
    const gm_operator *op = node->op;
    for (size_t i = 0; i < node->attribute_count; i++) {
        const gm_attribute_schema *schema = NULL;
        for (size_t k = 0; k < op->attribute_count && !schema; k++)
            if (strcmp(op->attributes[k].name, attributes[i].name) == 0)
                schema = &op->attributes[k];
        if (!schema) {
            gm_spelling spelling;
            gm_spelling_init(&spelling, attributes[i].name);
            for (size_t k = 0; k < op->attribute_count; k++)
                gm_spelling_offer(&spelling, op->attributes[k].name);
            return gm_node_fail(graph, node, "unknown attribute '%s'%s%s%s", attributes[i].name,
                                spelling.best ? "; did you mean '" : "", spelling.best ? spelling.best : "",
                                spelling.best ? "'?" : "");
        }
        for (size_t k = 0; k < i; k++)
            if (strcmp(attributes[k].name, attributes[i].name) == 0)
                return gm_node_fail(graph, node, "attribute '%s' is given twice", attributes[i].name);
        if (!convert_attribute(graph, &attributes[i], schema->kind))
            return gm_node_fail(graph, node, "attribute '%s' must be %s, found %s", attributes[i].name,
                                kind_name(schema->kind), kind_name(attributes[i].kind));
    }
    for (size_t k = 0; k < op->attribute_count; k++) {
        bool found = op->attributes[k].presence != GM_REQUIRED;
        for (size_t i = 0; i < node->attribute_count && !found; i++)
            found = strcmp(op->attributes[k].name, attributes[i].name) == 0;
        if (!found)
            return gm_node_fail(graph, node, "attribute '%s' (%s) is missing", op->attributes[k].name,
                                kind_name(op->attributes[k].kind));
    }
    return GM_OK;
}

static bool copy_attribute(gm_pool *pool, gm_attribute *attribute)
{
    if (!(attribute->name = gm_pool_string(pool, attribute->name)))
        return false;
    if (attribute->kind == GM_ATTRIBUTE_STRING && !(attribute->s = gm_pool_string(pool, attribute->s)))
        return false;
    if (attribute->kind == GM_ATTRIBUTE_INTS &&
        !(attribute->ints = gm_pool_copy(pool, attribute->ints, attribute->count * sizeof *attribute->ints)))
        return false;
    if (attribute->kind == GM_ATTRIBUTE_FLOATS &&
        !(attribute->floats = gm_pool_copy(pool, attribute->floats, attribute->count * sizeof *attribute->floats)))
        return false;
    if (attribute->kind == GM_ATTRIBUTE_STRINGS) {
        const char **strings = gm_pool_array(pool, attribute->count + 1, sizeof *strings);
        if (!strings)
            return false;
        for (size_t i = 0; i < attribute->count; i++)
            if (!(strings[i] = gm_pool_string(pool, attribute->strings[i])))
                return false;
        attribute->strings = strings;
    }
    return true;
}

const gm_attribute *gm_node_attribute(const gm_node *node, const char *name)
{
    for (size_t i = 0; i < node->attribute_count; i++)
        if (strcmp(node->attributes[i].name, name) == 0)
            return &node->attributes[i];
    return NULL;
}

static const gm_attribute_schema *attribute_default(const gm_node *node, const char *name)
{
    for (size_t i = 0; i < node->op->attribute_count; i++)
        if (strcmp(node->op->attributes[i].name, name) == 0 && node->op->attributes[i].presence == GM_DEFAULT)
            return &node->op->attributes[i];
    return NULL;
}

int64_t gm_node_int(const gm_node *node, const char *name, int64_t fallback)
{
    const gm_attribute *attribute = gm_node_attribute(node, name);
    const gm_attribute_schema *schema = attribute ? NULL : attribute_default(node, name);
    return attribute ? attribute->i : schema ? schema->i : fallback;
}

double gm_node_float(const gm_node *node, const char *name, double fallback)
{
    const gm_attribute *attribute = gm_node_attribute(node, name);
    const gm_attribute_schema *schema = attribute ? NULL : attribute_default(node, name);
    return attribute ? attribute->f : schema ? schema->f : fallback;
}

const char *gm_node_string(const gm_node *node, const char *name, const char *fallback)
{
    const gm_attribute *attribute = gm_node_attribute(node, name);
    const gm_attribute_schema *schema = attribute ? NULL : attribute_default(node, name);
    return attribute ? attribute->s : schema && schema->s ? schema->s : fallback;
}

size_t gm_node_ints(const gm_node *node, const char *name, const int64_t **values_out)
{
    const gm_attribute *attribute = gm_node_attribute(node, name);
    *values_out = attribute ? attribute->ints : NULL;
    return attribute ? attribute->count : 0;
}

/* --- Nodes
 * ------------------------------------------------------------------------------------------------------------- */

static gm_status unknown_operator(gm_graph *graph, const char *name)
{
    gm_spelling spelling;
    gm_spelling_init(&spelling, name);
    for (size_t i = 0; i < gm_operator_count(); i++)
        if (gm_operator_at(i))
            gm_spelling_offer(&spelling, gm_operator_at(i)->name);
    return gm_graph_fail(graph, GM_ERROR_MODEL, "unknown operator '%s'%s%s%s", name,
                         spelling.best ? "; did you mean '" : "", spelling.best ? spelling.best : "",
                         spelling.best ? "'?" : "");
}

static gm_status check_arity(gm_graph *graph, const gm_node *node)
{
    size_t min_in, max_in, min_out, max_out;
    gm_operator_arity(node->op, &min_in, &max_in, &min_out, &max_out);
    if (node->input_count < min_in || node->input_count > max_in) {
        if (max_in == SIZE_MAX)
            return gm_node_fail(graph, node, "takes at least %zu inputs (%s), found %zu", min_in, node->op->inputs,
                                node->input_count);
        if (min_in == max_in)
            return gm_node_fail(graph, node, "takes %zu input%s (%s), found %zu", min_in, min_in == 1 ? "" : "s",
                                node->op->inputs, node->input_count);
        return gm_node_fail(graph, node, "takes %zu to %zu inputs (%s), found %zu", min_in, max_in, node->op->inputs,
                            node->input_count);
    }
    if (node->output_count > max_out)
        return gm_node_fail(graph, node, "has at most %zu output%s (%s), found %zu", max_out, max_out == 1 ? "" : "s",
                            node->op->outputs, node->output_count);
    for (size_t i = 0; i < min_in; i++)
        if (!node->inputs[i])
            return gm_node_fail(graph, node, "input %zu of (%s) must not be left out", i + 1, node->op->inputs);
    if (node->input_count && node->inputs[0]) {
        gm_type type = graph->values[node->inputs[0]].type;
        if (node->op->types && !(node->op->types & GM_TYPES(type)))
            return gm_node_fail(graph, node, "does not take %s", gm_type_name(type));
    }
    return GM_OK;
}

/* Replaces the node just added by the operators that define it. */
static gm_status expand_node(gm_graph *graph, size_t index)
{
    gm_node node = graph->nodes[index];
    gm_value_id *outputs = gm_pool_array(graph->pool, node.output_count + 1, sizeof *outputs);
    if (!outputs)
        return out_of_memory(graph);
    gm_status status = node.op->expand(graph, &node, outputs);
    if (status != GM_OK && graph->status == GM_OK)
        graph->status = status;
    if (graph->status == GM_OK && outputs[0]) {
        graph->nodes[index].dead = true;
        memcpy(node.outputs, outputs, node.output_count * sizeof *outputs);
    }
    return graph->status;
}

gm_status gm_graph_add_node(gm_graph *graph, const gm_operator *op, const gm_value_id *inputs, size_t input_count,
                            const gm_attribute *attributes, size_t attribute_count, gm_value_id *outputs,
                            size_t output_count)
{
    gm_node *node;
    size_t index = graph->node_count;
    gm_attribute *copies;
    if (!gm_pool_grow(graph->pool, (void **)&graph->nodes, &graph->node_capacity, graph->node_count + 1,
                      sizeof *graph->nodes))
        return out_of_memory(graph);
    node = &graph->nodes[graph->node_count];
    memset(node, 0, sizeof *node);
    node->op = op;
    node->path = graph->path;
    node->where = graph->where;
    node->input_count = input_count;
    node->output_count = output_count;
    node->attribute_count = attribute_count;
    node->inputs = gm_pool_copy(graph->pool, inputs, input_count * sizeof *inputs);
    node->outputs = gm_pool_array(graph->pool, output_count + 1, sizeof *node->outputs);
    copies = gm_pool_copy(graph->pool, attributes, attribute_count * sizeof *attributes);
    if (!node->inputs || !node->outputs || !copies)
        return out_of_memory(graph);
    for (size_t i = 0; i < attribute_count; i++)
        if (!copy_attribute(graph->pool, &copies[i]))
            return out_of_memory(graph);
    node->attributes = copies;
    for (size_t i = 0; i < input_count; i++)
        if (inputs[i] >= graph->value_count)
            return gm_graph_fail(graph, GM_ERROR_INTERNAL, "an input of %s does not exist", op->name);
    GM_TRY(check_arity(graph, node));
    GM_TRY(check_attributes(graph, node, copies));
    for (size_t i = 0; i < output_count; i++) {
        gm_value_id id = add_value(graph, GM_VALUE_NODE, NULL);
        if (!id)
            return graph->status;
        node->outputs[i] = id;
        graph->values[id].node = (uint32_t)graph->node_count;
        graph->values[id].output = (uint32_t)i;
    }
    graph->node_count++;
    if (op->infer) {
        gm_status status = op->infer(graph, node);
        if (status != GM_OK && graph->status == GM_OK)
            graph->status = status;
    }
    if (op->expand && graph->status == GM_OK)
        expand_node(graph, index);
    if (graph->status == GM_OK)
        memcpy(outputs, graph->nodes[index].outputs, output_count * sizeof *outputs);
    if (graph->eager && graph->status == GM_OK)
        gm_node_compute(graph, index, outputs);
    return graph->status;
}

void gm_emit_many(gm_graph *graph, const char *domain_and_name, const gm_value_id *inputs, size_t input_count,
                  const gm_attribute *attributes, size_t attribute_count, gm_value_id *outputs, size_t output_count)
{
    const gm_operator *op;
    memset(outputs, 0, output_count * sizeof *outputs);
    if (graph->status != GM_OK)
        return;
    op = gm_operator_find_name(domain_and_name);
    if (!op) {
        unknown_operator(graph, domain_and_name);
        return;
    }
    gm_graph_add_node(graph, op, inputs, input_count, attributes, attribute_count, outputs, output_count);
}

gm_value_id gm_emit(gm_graph *graph, const char *name, const gm_value_id *inputs, size_t input_count,
                    const gm_attribute *attributes, size_t attribute_count)
{
    gm_value_id output;
    gm_emit_many(graph, name, inputs, input_count, attributes, attribute_count, &output, 1);
    return output;
}

gm_value_id gm_emit1(gm_graph *graph, const char *name, gm_value_id a)
{
    return gm_emit(graph, name, &a, 1, NULL, 0);
}

gm_value_id gm_emit2(gm_graph *graph, const char *name, gm_value_id a, gm_value_id b)
{
    return gm_emit(graph, name, (gm_value_id[]){a, b}, 2, NULL, 0);
}

gm_value_id gm_emit3(gm_graph *graph, const char *name, gm_value_id a, gm_value_id b, gm_value_id c)
{
    return gm_emit(graph, name, (gm_value_id[]){a, b, c}, 3, NULL, 0);
}

gm_value_id gm_emit1_with(gm_graph *graph, const char *name, gm_value_id a, gm_attribute attribute)
{
    return gm_emit(graph, name, &a, 1, &attribute, 1);
}

gm_value_id gm_emit2_with(gm_graph *graph, const char *name, gm_value_id a, gm_value_id b, gm_attribute attribute)
{
    return gm_emit(graph, name, (gm_value_id[]){a, b}, 2, &attribute, 1);
}
