/* Graphs as text for people, close to ONNX's own: one node per line with the types of its outputs and its place.
 *
 *   generator (float[N, 100] z) => (image = v7) {
 *     state float[100, 784] generator.h.Dense.W
 *     v5: float[N, 784] = Gemm <transB = 1> (z, generator.h.Dense.W)  # generator.h.Dense
 *     ...
 *     assign generator.h.Dense.W = v9
 *   } */
#include "graph/ir.h"
#include "graph/operator.h"

#include <math.h>
#include <string.h>

#define SHOWN_ELEMENTS 8
#define MAX_NESTING    8

static void put_type(const gm_graph *graph, gm_value_id id, gm_text *text)
{
    char dims[256];
    const gm_value *value = gm_value_of(graph, id);
    gm_text_add(text, "%s", gm_type_name(value->type));
    if (value->rank > 0)
        gm_text_add(text, "%s", gm_dims_print(graph->symbols, value->rank, value->dims, dims, sizeof dims));
}

static void put_float(double value, gm_text *text)
{
    gm_text_add(text, "%.9g", value);
    if (isfinite(value) && value == floor(value) && fabs(value) < 1e9)
        gm_text_add(text, ".0");
}

/* The elements of a small constant, the type and a few elements of a large one. */
static void put_tensor(const gm_tensor *tensor, gm_text *text)
{
    const gm_type_info *info = gm_type_find(tensor->type);
    int64_t count = gm_tensor_count(tensor), shown = count > SHOWN_ELEMENTS ? 2 : count;
    if (tensor->rank > 1 || shown < count) {
        gm_text_add(text, "%s[", gm_type_name(tensor->type));
        for (int i = 0; i < tensor->rank; i++)
            gm_text_add(text, i > 0 ? ", %lld" : "%lld", (long long)tensor->dims[i]);
        gm_text_add(text, "] ");
    }
    if (!info || !info->bytes || !tensor->data) {
        gm_text_add(text, "{...}");
        return;
    }
    if (tensor->rank > 0)
        gm_text_add(text, tensor->rank > 1 || shown < count ? "{" : "[");
    for (int64_t i = 0; i < shown; i++) {
        if (i > 0)
            gm_text_add(text, ", ");
        if (info->floating)
            put_float(gm_get(tensor, i), text);
        else
            gm_text_add(text, "%lld", (long long)gm_get_int(tensor, i));
    }
    if (shown < count)
        gm_text_add(text, ", ...");
    if (tensor->rank > 0)
        gm_text_add(text, tensor->rank > 1 || shown < count ? "}" : "]");
}

static void put_value(const gm_graph *graph, gm_value_id id, gm_text *text)
{
    const gm_value *value;
    if (id == 0 || id >= graph->value_count) {
        gm_text_add(text, "\"\"");
        return;
    }
    value = gm_value_of(graph, id);
    if (value->kind == GM_VALUE_CONSTANT && value->constant)
        put_tensor(value->constant, text);
    else
        gm_text_add(text, "%s", value->name);
}

static void put_attribute(const gm_attribute *attribute, gm_text *text)
{
    gm_text_add(text, "%s = ", attribute->name);
    if (attribute->kind >= GM_ATTRIBUTE_FLOATS)
        gm_text_add(text, "[");
    switch (attribute->kind) {
    case GM_ATTRIBUTE_INT:
        gm_text_add(text, "%lld", (long long)attribute->i);
        break;
    case GM_ATTRIBUTE_FLOAT:
        put_float(attribute->f, text);
        break;
    case GM_ATTRIBUTE_STRING:
        gm_text_add(text, "\"%s\"", attribute->s);
        break;
    case GM_ATTRIBUTE_TENSOR:
        put_tensor(attribute->t, text);
        break;
    case GM_ATTRIBUTE_GRAPH:
        gm_text_add(text, "{ %zu nodes }", attribute->g->node_count);
        break;
    case GM_ATTRIBUTE_INTS:
        for (size_t i = 0; i < attribute->count; i++)
            gm_text_add(text, i > 0 ? ", %lld" : "%lld", (long long)attribute->ints[i]);
        break;
    case GM_ATTRIBUTE_FLOATS:
        for (size_t i = 0; i < attribute->count; i++) {
            gm_text_add(text, "%s", i > 0 ? ", " : "");
            put_float(attribute->floats[i], text);
        }
        break;
    case GM_ATTRIBUTE_STRINGS:
        for (size_t i = 0; i < attribute->count; i++)
            gm_text_add(text, i > 0 ? ", \"%s\"" : "\"%s\"", attribute->strings[i]);
        break;
    }
    if (attribute->kind >= GM_ATTRIBUTE_FLOATS)
        gm_text_add(text, "]");
}

static void put_graph(const gm_graph *graph, int depth, gm_text *text);

static void put_node(const gm_graph *graph, const gm_node *node, int depth, gm_text *text)
{
    gm_text_add(text, "%*s", 2 * depth, "");
    for (size_t i = 0; i < node->output_count; i++) {
        gm_text_add(text, "%s", i > 0 ? ", " : "");
        put_value(graph, node->outputs[i], text);
        if (node->outputs[i]) {
            gm_text_add(text, ": ");
            put_type(graph, node->outputs[i], text);
        }
    }
    gm_text_add(text, " = %s%s%s", node->op->domain, node->op->domain[0] ? "." : "", node->op->name);
    for (size_t i = 0; i < node->attribute_count; i++) {
        gm_text_add(text, "%s", i > 0 ? ", " : " <");
        put_attribute(&node->attributes[i], text);
    }
    gm_text_add(text, node->attribute_count ? "> (" : " (");
    for (size_t i = 0; i < node->input_count; i++) {
        gm_text_add(text, "%s", i > 0 ? ", " : "");
        put_value(graph, node->inputs[i], text);
    }
    gm_text_add(text, ")");
    if (node->path && node->path[0])
        gm_text_add(text, "  # %s", node->path);
    gm_text_add(text, "\n");
    if (node->body && depth < MAX_NESTING)
        put_graph(node->body, depth + 1, text);
}

static void put_header(const gm_graph *graph, int depth, gm_text *text)
{
    gm_text_add(text, "%*s%s (", 2 * depth, "", graph->name);
    for (size_t i = 0; i < graph->input_count; i++) {
        gm_text_add(text, "%s%s", i > 0 ? ", " : "", graph->inputs[i].is_draw ? "draw " : "");
        put_type(graph, graph->inputs[i].value, text);
        gm_text_add(text, " %s", graph->inputs[i].name);
    }
    gm_text_add(text, ") => (");
    for (size_t i = 0; i < graph->output_count; i++) {
        gm_text_add(text, "%s%s = ", i > 0 ? ", " : "", graph->outputs[i].name);
        put_value(graph, graph->outputs[i].value, text);
    }
    gm_text_add(text, ") {\n");
}

static void put_state_name(const gm_graph *graph, uint32_t state, gm_text *text)
{
    for (size_t i = 1; i < graph->value_count; i++)
        if (graph->values[i].kind == GM_VALUE_STATE && graph->values[i].state == state) {
            gm_text_add(text, "%s", graph->values[i].name);
            return;
        }
    gm_text_add(text, "state %u", state);
}

static void put_graph(const gm_graph *graph, int depth, gm_text *text)
{
    put_header(graph, depth, text);
    for (size_t i = 1; i < graph->value_count; i++)
        if (graph->values[i].kind == GM_VALUE_STATE) {
            gm_text_add(text, "%*sstate ", 2 * depth + 2, "");
            put_type(graph, (gm_value_id)i, text);
            gm_text_add(text, " %s\n", graph->values[i].name);
        }
    for (size_t i = 0; i < graph->node_count; i++)
        if (!graph->nodes[i].dead)
            put_node(graph, &graph->nodes[i], depth + 1, text);
    for (size_t i = 0; i < graph->assign_count; i++) {
        gm_text_add(text, "%*sassign ", 2 * depth + 2, "");
        put_state_name(graph, graph->assigns[i].state, text);
        gm_text_add(text, " = ");
        put_value(graph, graph->assigns[i].value, text);
        gm_text_add(text, "\n");
    }
    gm_text_add(text, "%*s}\n", 2 * depth, "");
}

void gm_graph_print(const gm_graph *graph, gm_text *text)
{
    put_graph(graph, 0, text);
}
