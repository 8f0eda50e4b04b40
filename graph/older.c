/* Nodes of older operator sets in their present form, by the rows that stand beside each operator. */
#include "graph/older.h"

#include <string.h>

gm_attribute *gm_older_attribute(const gm_older_node *node, const char *name)
{
    for (size_t i = 0; i < node->attribute_count; i++)
        if (strcmp(node->attributes[i].name, name) == 0)
            return &node->attributes[i];
    return NULL;
}

void gm_older_set(gm_older_node *node, gm_attribute attribute)
{
    gm_attribute *old = gm_older_attribute(node, attribute.name);
    if (old)
        *old = attribute;
    else
        node->attributes[node->attribute_count++] = attribute;
}

static const gm_older *next_row(const gm_operator *op, int64_t opset, const gm_older *row)
{
    row = row ? row + 1 : op->older;
    while (row && row->before && opset >= row->before)
        row++;
    return row && row->before ? row : NULL;
}

bool gm_older_has(const gm_operator *op, int64_t opset, const char *attribute)
{
    for (const gm_older *row = next_row(op, opset, NULL); row; row = next_row(op, opset, row))
        if (strcmp(row->attribute, attribute) == 0)
            return true;
    return opset < 6 && strcmp(attribute, "consumed_inputs") == 0;
}

bool gm_older_applies(const gm_operator *op, int64_t opset)
{
    return opset < op->since && (op->upgrade || next_row(op, opset, NULL) || opset < 6);
}

static double number_at(const gm_attribute *attribute, size_t index)
{
    switch (attribute->kind) {
    case GM_ATTRIBUTE_FLOAT:
        return attribute->f;
    case GM_ATTRIBUTE_FLOATS:
        return attribute->floats[index];
    case GM_ATTRIBUTE_INTS:
        return (double)attribute->ints[index];
    default:
        return (double)attribute->i;
    }
}

/* A scalar, or a vector of the attribute's numbers. */
static gm_value_id as_input(gm_older_node *node, const gm_attribute *attribute, gm_type type)
{
    bool list = attribute->kind == GM_ATTRIBUTE_FLOATS || attribute->kind == GM_ATTRIBUTE_INTS;
    int64_t count = list ? (int64_t)attribute->count : 1;
    gm_tensor *tensor;
    if (type == GM_TYPE_UNDEFINED)
        type = gm_value_of(node->graph, node->inputs[0])->type;
    tensor = gm_tensor_create(node->graph->pool, type, list ? 1 : 0, &count);
    if (!tensor) {
        node->graph->status = GM_ERROR_MEMORY;
        return 0;
    }
    for (int64_t i = 0; i < count; i++) {
        bool whole = attribute->kind == GM_ATTRIBUTE_INTS || attribute->kind == GM_ATTRIBUTE_INT;
        if (whole && !gm_type_find(type)->floating)
            gm_set_int(tensor, i, attribute->kind == GM_ATTRIBUTE_INTS ? attribute->ints[i] : attribute->i);
        else
            gm_set(tensor, i, number_at(attribute, (size_t)i));
    }
    return gm_graph_constant(node->graph, tensor);
}

static void apply_row(gm_older_node *node, const gm_older *row)
{
    const gm_attribute *attribute = gm_older_attribute(node, row->attribute);
    if (row->what == GM_OLDER_DEFAULT && !attribute)
        gm_older_set(node, gm_attribute_int(row->attribute, row->i));
    if (row->what != GM_OLDER_INPUT || !attribute)
        return;
    while (node->input_count <= row->input)
        node->inputs[node->input_count++] = 0;
    node->inputs[row->input] = as_input(node, attribute, row->type);
}

/* Attributes that the present operator lacks, or that are inputs now. */
static void drop_attributes(gm_older_node *node)
{
    size_t kept = 0;
    for (size_t i = 0; i < node->attribute_count; i++) {
        bool known = false;
        for (size_t k = 0; k < node->op->attribute_count; k++)
            known = known || strcmp(node->op->attributes[k].name, node->attributes[i].name) == 0;
        for (const gm_older *row = next_row(node->op, node->opset, NULL); row;
             row = next_row(node->op, node->opset, row))
            known = known && (row->what != GM_OLDER_INPUT || strcmp(row->attribute, node->attributes[i].name) != 0);
        if (known)
            node->attributes[kept++] = node->attributes[i];
    }
    node->attribute_count = kept;
}

gm_status gm_older_upgrade(gm_older_node *node)
{
    if (!gm_older_applies(node->op, node->opset))
        return node->graph->status;
    for (const gm_older *row = next_row(node->op, node->opset, NULL); row; row = next_row(node->op, node->opset, row))
        apply_row(node, row);
    if (node->op->upgrade && node->opset < node->op->since && node->graph->status == GM_OK) {
        gm_status status = node->op->upgrade(node);
        if (status != GM_OK && node->graph->status == GM_OK)
            node->graph->status = status;
    }
    drop_attributes(node);
    return node->graph->status;
}
