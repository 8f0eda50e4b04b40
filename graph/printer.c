/* Prints a syntax tree in canonical form: one statement a line, two blanks a level, parentheses only where they are
 * needed. Comments are not part of the tree. */
#include "graph/ast.h"

#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_expression(gm_text *text, const gm_ast_expression *node, int level, int indent);
static void print_graph(gm_text *text, const gm_ast_graph *graph, int indent);

/* --- Names -------------------------------------------------------------------------------------------------------- */

static bool is_identifier(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    return *name && !(*name >= '0' && *name <= '9') && name[strspn(name, letters)] == '\0';
}

static void print_string(gm_text *text, const char *string)
{
    gm_text_add_bytes(text, "\"", 1);
    for (const char *at = string; *at; at++) {
        if (*at == '"' || *at == '\\')
            gm_text_add_bytes(text, "\\", 1);
        gm_text_add_bytes(text, at, 1);
    }
    gm_text_add_bytes(text, "\"", 1);
}

static void print_name(gm_text *text, const char *name)
{
    if (is_identifier(name))
        gm_text_add(text, "%s", name);
    else
        print_string(text, name);
}

static void print_names(gm_text *text, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        gm_text_add(text, "%s", i ? ", " : "");
        print_name(text, names[i]);
    }
}

static void print_parts(gm_text *text, const char *const *parts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        gm_text_add(text, "%s", i ? "." : "");
        print_name(text, parts[i]);
    }
}

/* The name of an input of a step may be a path, `photos.image`. */
static void print_dotted(gm_text *text, const char *name)
{
    char part[256];
    const char *at = name;
    bool plain = true;
    do {
        size_t length = strcspn(at, ".");
        plain = plain && length < sizeof part;
        if (plain) {
            memcpy(part, at, length);
            part[length] = '\0';
            plain = is_identifier(part);
        }
        at += length + (at[length] == '.');
    } while (plain && *at);
    if (plain && at[-1] != '.')
        gm_text_add(text, "%s", name);
    else
        print_string(text, name);
}

static void print_line(gm_text *text, int indent)
{
    gm_text_add(text, "\n%*s", indent * 2, "");
}

/* --- Types and tensors -------------------------------------------------------------------------------------------- */

static void print_type(gm_text *text, const gm_ast_type *type)
{
    if (type->text) {
        gm_text_add(text, "%s", type->text);
        return;
    }
    gm_text_add(text, "%s", gm_type_name(type->type));
    if (!type->has_shape)
        return;
    gm_text_add(text, "[");
    for (size_t i = 0; i < type->dim_count; i++) {
        gm_text_add(text, "%s", i ? ", " : "");
        if (type->dims[i].kind == GM_AST_DIM_UNKNOWN)
            gm_text_add(text, "?");
        else if (type->dims[i].kind == GM_AST_DIM_ELLIPSIS)
            gm_text_add(text, "...");
        else
            print_expression(text, type->dims[i].expression, 1, 0);
    }
    gm_text_add(text, "]");
}

/* The shortest decimal that reads back as the same number. */
static void print_real(gm_text *text, double value, bool single)
{
    char digits[64];
    if (!isfinite(value)) {
        gm_text_add(text, "%s%s", signbit(value) ? "-" : "", isnan(value) ? "nan" : "inf");
        return;
    }
    for (int precision = single ? 6 : 15; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (single ? (double)strtof(digits, NULL) == value : strtod(digits, NULL) == value)
            break;
    }
    gm_text_add(text, "%s", digits);
}

/* As ONNX text has it: float16 and bfloat16 as bit patterns. */
static void print_element(gm_text *text, const gm_tensor *tensor, int64_t index)
{
    if (tensor->type == GM_STRING)
        print_string(text, ((const char *const *)tensor->data)[index]);
    else if (tensor->type == GM_FLOAT || tensor->type == GM_DOUBLE)
        print_real(text, gm_get(tensor, index), tensor->type == GM_FLOAT);
    else if (tensor->type == GM_FLOAT16 || tensor->type == GM_BFLOAT16)
        gm_text_add(text, "%u", (unsigned)((const uint16_t *)tensor->data)[index]);
    else if (tensor->type == GM_UINT64)
        gm_text_add(text, "%" PRIu64, ((const uint64_t *)tensor->data)[index]);
    else
        gm_text_add(text, "%" PRId64, gm_get_int(tensor, index));
}

static void print_pairs(gm_text *text, const gm_ast_expression *node, int indent)
{
    gm_text_add(text, "[");
    for (size_t i = 0; i + 1 < node->item_count; i += 2) {
        gm_text_add(text, "%s", i ? ", " : "");
        print_expression(text, node->items[i], 0, indent);
        gm_text_add(text, " : ");
        print_expression(text, node->items[i + 1], 0, indent);
    }
    gm_text_add(text, "]");
}

/* What stands behind the type: {values} or [external data] */
static void print_data(gm_text *text, const gm_ast_expression *node)
{
    if (node->text) {
        print_pairs(text, node, 0);
        return;
    }
    gm_text_add(text, "{");
    for (size_t i = 0; i < node->item_count; i++) {
        gm_text_add(text, "%s", i ? ", " : "");
        print_expression(text, node->items[i], 1, 0);
    }
    for (int64_t i = 0; node->tensor && i < gm_tensor_count(node->tensor); i++) {
        gm_text_add(text, "%s", i ? ", " : "");
        print_element(text, node->tensor, i);
    }
    gm_text_add(text, "}");
}

/* --- Attributes --------------------------------------------------------------------------------------------------- */

static bool is_word_of(const char *word, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(word, *words) == 0)
            return true;
    return false;
}

static bool is_constructor(const char *word)
{
    static const char *const words[] = {"seq", "map", "optional", "sparse_tensor", "opaque", NULL};
    return is_word_of(word, words);
}

static bool is_element_type(const char *word)
{
    static const char *const words[] = {"complex64",      "complex128", "float8e4m3fn", "float8e4m3fnuz", "float8e5m2",
                                        "float8e5m2fnuz", "float8e8m0", "float6e2m3",   "float6e3m2",     "float4e2m1",
                                        "uint4",          "int4",       "uint2",        "int2",           NULL};
    return is_word_of(word, words) || gm_type_by_name(word);
}

static const gm_ast_expression *leftmost(const gm_ast_expression *node)
{
    while (node->kind == GM_AST_BINARY)
        node = node->items[0];
    return node;
}

/* A value of an attribute that would read as a type, a list or a typed attribute without parentheses around it. */
static bool misleads(const gm_ast_expression *node)
{
    const gm_ast_expression *first = leftmost(node);
    if (first->kind == GM_AST_LIST)
        return first != node;
    if (first->part_count != 1 || (first->kind != GM_AST_PATH && first->kind != GM_AST_CALL))
        return false;
    if (first->kind == GM_AST_PATH)
        return first == node && is_element_type(first->parts[0]);
    return first->overload || is_constructor(first->parts[0]);
}

/* indent counts the lines of a graph that is a value. */
static void print_attributes(gm_text *text, const gm_ast_attributes *attributes, int indent)
{
    gm_text_add(text, "<");
    for (size_t i = 0; i < attributes->count; i++) {
        const gm_ast_attribute *item = &attributes->items[i];
        gm_text_add(text, "%s", i ? ", " : "");
        if (item->name)
            print_name(text, item->name);
        if (item->type)
            gm_text_add(text, ": %s", item->type);
        if (item->name && item->value)
            gm_text_add(text, " = ");
        if (item->value)
            print_expression(text, item->value, 0, indent);
    }
    gm_text_add(text, ">");
}

/* --- Expressions -------------------------------------------------------------------------------------------------- */

/* How tightly a node binds: 1 sum, 2 product, 3 sign, 4 power, 5 anything else. */
static int binding(const gm_ast_expression *node)
{
    if (node->kind == GM_AST_NEGATE || (node->kind == GM_AST_NUMBER && node->text[0] == '-'))
        return 3;
    if (node->kind != GM_AST_BINARY)
        return 5;
    return node->op == '^' ? 4 : node->op == '*' || node->op == '/' ? 2 : 1;
}

static void print_items(gm_text *text, const gm_ast_expression *node, int level, int indent)
{
    for (size_t i = 0; i < node->item_count; i++) {
        gm_text_add(text, "%s", i ? ", " : "");
        print_expression(text, node->items[i], level, indent);
    }
}

static void print_call(gm_text *text, const gm_ast_expression *node, int indent)
{
    bool before = node->attributes.written && !node->attributes_behind;
    print_parts(text, node->parts, node->part_count);
    if (node->overload)
        gm_text_add(text, ":%s", node->overload);
    if (before) {
        gm_text_add(text, " ");
        print_attributes(text, &node->attributes, indent);
    }
    if (node->has_arguments) {
        gm_text_add(text, before ? " (" : "(");
        print_items(text, node, 1, indent);
        gm_text_add(text, ")");
    }
    if (node->attributes.written && node->attributes_behind) {
        gm_text_add(text, " ");
        print_attributes(text, &node->attributes, indent);
    }
}

static void print_binary(gm_text *text, const gm_ast_expression *node, int indent)
{
    int level = binding(node);
    print_expression(text, node->items[0], node->op == '^' ? 5 : level, indent);
    gm_text_add(text, " %c ", node->op);
    print_expression(text, node->items[1], node->op == '^' ? 3 : level + 1, indent);
}

static void print_tensor(gm_text *text, const gm_ast_expression *node)
{
    print_type(text, node->type);
    gm_text_add(text, " ");
    if (node->part_count) {
        print_name(text, node->parts[0]);
        gm_text_add(text, " ");
    }
    print_data(text, node);
}

static void print_bare(gm_text *text, const gm_ast_expression *node, int level, int indent)
{
    switch (node->kind) {
    case GM_AST_NUMBER:
        gm_text_add(text, "%s", node->text);
        break;
    case GM_AST_STRING:
        print_string(text, node->text);
        break;
    case GM_AST_PATH:
        print_parts(text, node->parts, node->part_count);
        break;
    case GM_AST_LIST:
        if (node->text) {
            print_pairs(text, node, indent);
            break;
        }
        gm_text_add(text, "[");
        print_items(text, node, level == 0 ? 0 : 1, indent);
        gm_text_add(text, "]");
        break;
    case GM_AST_CALL:
        print_call(text, node, indent);
        break;
    case GM_AST_NEGATE:
        gm_text_add(text, "-");
        print_expression(text, node->items[0], 3, indent);
        break;
    case GM_AST_BINARY:
        print_binary(text, node, indent);
        break;
    case GM_AST_REFERENCE:
        gm_text_add(text, "@");
        print_name(text, node->text);
        break;
    case GM_AST_TENSOR:
        print_tensor(text, node);
        break;
    case GM_AST_TYPE:
        print_type(text, node->type);
        break;
    case GM_AST_GRAPH:
        print_graph(text, node->graph, indent);
        break;
    case GM_AST_DATA:
        print_data(text, node);
        break;
    }
}

/* level: the least binding that needs no parentheses here; 0: the value of an attribute. */
static void print_expression(gm_text *text, const gm_ast_expression *node, int level, int indent)
{
    bool parentheses = binding(node) < level || (level == 0 && misleads(node));
    if (parentheses)
        gm_text_add(text, "(");
    print_bare(text, node, parentheses ? 1 : level, indent);
    if (parentheses)
        gm_text_add(text, ")");
}

/* --- Statements --------------------------------------------------------------------------------------------------- */

static void print_paths(gm_text *text, const gm_ast_path *paths, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        gm_text_add(text, "%s", i ? ", " : "");
        print_parts(text, paths[i].parts, paths[i].part_count);
    }
}

static void print_assignment(gm_text *text, const gm_ast_statement *s, int indent)
{
    if (s->label || s->output_count == 0) { /* without outputs a label keeps this from the line before */
        gm_text_add(text, "[");
        if (s->label)
            print_name(text, s->label);
        gm_text_add(text, "] ");
    }
    for (size_t i = 0; i < s->output_count; i++) {
        gm_text_add(text, "%s", i ? ", " : "");
        if (s->output_types && s->output_types[i]) {
            print_type(text, s->output_types[i]);
            gm_text_add(text, " ");
        }
        print_name(text, s->outputs[i]);
    }
    gm_text_add(text, s->output_count ? " = " : "= ");
    print_expression(text, s->value, 1, indent);
}

static void print_parameter(gm_text *text, const gm_ast_statement *s, int indent)
{
    gm_text_add(text, s->kind == GM_AST_PARAM ? "param " : "buffer ");
    print_name(text, s->outputs[0]);
    gm_text_add(text, " : ");
    print_type(text, s->type);
    if (s->initializer) {
        gm_text_add(text, " ~ ");
        print_expression(text, s->initializer, 1, indent);
    } else if (s->value) {
        gm_text_add(text, " = ");
        print_expression(text, s->value, 1, indent);
    }
    if (s->condition) {
        gm_text_add(text, " when ");
        print_expression(text, s->condition, 1, indent);
    }
}

static void print_minimize(gm_text *text, const gm_ast_statement *s, int indent)
{
    gm_text_add(text, "minimize ");
    print_expression(text, s->value, 1, indent);
    gm_text_add(text, " over ");
    print_paths(text, s->paths, s->path_count);
    if (s->except_count) {
        gm_text_add(text, " except ");
        print_paths(text, s->excepts, s->except_count);
    }
    gm_text_add(text, " with %s", s->optimizer);
    if (s->attributes.written) {
        gm_text_add(text, " ");
        print_attributes(text, &s->attributes, indent);
    }
}

static void print_update(gm_text *text, const gm_ast_statement *s, int indent)
{
    gm_text_add(text, "update ");
    print_paths(text, s->paths, s->path_count);
    gm_text_add(text, " = ");
    print_expression(text, s->value, 1, indent);
}

static void print_report(gm_text *text, const gm_ast_statement *s, int indent)
{
    const char *word = s->kind == GM_AST_REPORT  ? "report"
                       : s->kind == GM_AST_WRITE ? "write"
                       : s->kind == GM_AST_MEAN  ? "mean"
                                                 : "result";
    gm_text_add(text, "%s ", word);
    for (size_t i = 0; i < s->item_count; i++) {
        gm_text_add(text, "%s", i ? ", " : "");
        if (s->items[i].name) {
            print_name(text, s->items[i].name);
            gm_text_add(text, " = ");
        }
        print_expression(text, s->items[i].value, 1, indent);
        if (s->items[i].as) {
            gm_text_add(text, " as ");
            print_paths(text, s->items[i].as, 1);
        }
    }
}

static void print_body(gm_text *text, const gm_ast_body *body, int indent)
{
    gm_text_add(text, "{");
    for (size_t i = 0; i < body->count; i++) {
        const gm_ast_statement *s = &body->statements[i];
        print_line(text, indent + 1);
        if (s->kind == GM_AST_ASSIGN)
            print_assignment(text, s, indent + 1);
        else if (s->kind == GM_AST_PARAM || s->kind == GM_AST_BUFFER)
            print_parameter(text, s, indent + 1);
        else if (s->kind == GM_AST_MINIMIZE)
            print_minimize(text, s, indent + 1);
        else if (s->kind == GM_AST_UPDATE)
            print_update(text, s, indent + 1);
        else
            print_report(text, s, indent + 1);
    }
    print_line(text, indent);
    gm_text_add(text, "}");
}

/* --- Signatures and graphs ---------------------------------------------------------------------------------------- */

static void print_parameters(gm_text *text, const gm_ast_parameter *items, size_t count, bool dotted)
{
    for (size_t i = 0; i < count; i++) {
        gm_text_add(text, "%s", i ? ", " : "");
        if (items[i].type) {
            print_type(text, items[i].type);
            gm_text_add(text, " ");
        }
        if (dotted)
            print_dotted(text, items[i].name);
        else
            print_name(text, items[i].name);
        if (items[i].default_value) {
            gm_text_add(text, " = ");
            print_data(text, items[i].default_value);
        }
    }
}

static void print_signature(gm_text *text, const gm_ast_signature *signature)
{
    if (signature->has_inputs) {
        gm_text_add(text, "(");
        print_parameters(text, signature->inputs, signature->input_count, false);
        gm_text_add(text, ") ");
    }
    gm_text_add(text, "=> (");
    print_parameters(text, signature->outputs, signature->output_count, false);
    gm_text_add(text, ") ");
}

static void print_values(gm_text *text, const gm_ast_parameter *values, size_t count)
{
    if (count == 0)
        return;
    gm_text_add(text, "<");
    print_parameters(text, values, count, false);
    gm_text_add(text, "> ");
}

static void print_graph(gm_text *text, const gm_ast_graph *graph, int indent)
{
    if (is_constructor(graph->name))
        print_string(text, graph->name);
    else
        print_name(text, graph->name);
    gm_text_add(text, " ");
    print_signature(text, &graph->signature);
    print_values(text, graph->values, graph->value_count);
    print_body(text, &graph->body, indent);
}

/* --- Declarations ------------------------------------------------------------------------------------------------- */

static void print_written(gm_text *text, const gm_ast_attributes *attributes)
{
    if (!attributes->written)
        return;
    gm_text_add(text, " ");
    print_attributes(text, attributes, 0);
}

static void print_model(gm_text *text, const gm_ast_declaration *d)
{
    print_names(text, d->names, d->name_count);
    print_written(text, &d->attributes);
}

static void print_import(gm_text *text, const gm_ast_declaration *d)
{
    print_string(text, d->text);
}

static void print_const(gm_text *text, const gm_ast_declaration *d)
{
    for (size_t i = 0; i < d->name_count; i++) {
        gm_text_add(text, "%s", i ? ", " : "");
        print_name(text, d->names[i]);
        gm_text_add(text, " = ");
        print_expression(text, d->values[i], 1, 0);
    }
}

static void print_optimizer(gm_text *text, const gm_ast_declaration *d)
{
    print_name(text, d->names[0]);
    gm_text_add(text, " = %s", d->text);
    print_written(text, &d->attributes);
}

static void print_data_set(gm_text *text, const gm_ast_declaration *d)
{
    print_optimizer(text, d);
    gm_text_add(text, " { ");
    for (size_t i = 0; i < d->field_count; i++) {
        gm_text_add(text, "%s%s : ", i ? ", " : "", d->fields[i].name);
        print_type(text, d->fields[i].type);
        if (d->fields[i].range) {
            gm_text_add(text, " in ");
            print_expression(text, d->fields[i].range, 1, 0);
        }
    }
    gm_text_add(text, " }");
}

static void print_network(gm_text *text, const gm_ast_declaration *d)
{
    print_names(text, d->names, d->name_count);
    if (d->value_count) {
        gm_text_add(text, " = ");
        print_expression(text, d->values[0], 1, 0);
        return;
    }
    print_written(text, &d->attributes);
    gm_text_add(text, " ");
    print_signature(text, &d->signature);
    print_values(text, d->value_infos, d->value_info_count);
    print_body(text, &d->body, 0);
}

static void print_step(gm_text *text, const gm_ast_declaration *d)
{
    print_names(text, d->names, d->name_count);
    if (d->on)
        gm_text_add(text, " on %s", d->on);
    if (d->value_count) {
        gm_text_add(text, " over ");
        print_expression(text, d->values[0], 1, 0);
        gm_text_add(text, " draws");
    }
    if (d->signature.has_inputs) {
        gm_text_add(text, " (");
        print_parameters(text, d->signature.inputs, d->signature.input_count, true);
        gm_text_add(text, ")");
    }
    gm_text_add(text, " ");
    print_body(text, &d->body, 0);
}

/* Behind `train`, `batch` and `epochs` an expression that begins with one of these words needs parentheses. */
static void print_count(gm_text *text, const char *word, const gm_ast_expression *node)
{
    const gm_ast_expression *first = leftmost(node);
    bool named = first->part_count && (strcmp(first->parts[0], "batch") == 0 || strcmp(first->parts[0], "epochs") == 0);
    gm_text_add(text, named ? "%s (" : "%s ", word);
    print_expression(text, node, 1, 0);
    gm_text_add(text, named ? ") " : " ");
}

static void print_entry(gm_text *text, const gm_ast_train_entry *entry)
{
    if (entry->kind == GM_AST_RUN && entry->count) {
        gm_text_add(text, "repeat ");
        print_expression(text, entry->count, 1, 0);
        gm_text_add(text, " ");
    } else if (entry->kind == GM_AST_EVERY) {
        gm_text_add(text, "every ");
        print_expression(text, entry->count, 1, 0);
        gm_text_add(text, entry->iterations ? " iterations " : " epochs ");
    } else if (entry->kind == GM_AST_AT) {
        gm_text_add(text, "at epochs ");
        for (size_t i = 0; i < entry->epoch_count; i++)
            gm_text_add(text, "%s%s", i ? ", " : "", entry->epochs[i]->text);
        gm_text_add(text, " ");
    }
    print_names(text, entry->names, entry->name_count);
}

static void print_train(gm_text *text, const gm_ast_declaration *d)
{
    print_names(text, d->sets, d->set_count);
    gm_text_add(text, "%s", d->set_count ? " " : "");
    if (d->batch)
        print_count(text, "batch", d->batch);
    print_count(text, "epochs", d->epochs);
    if (d->iterations) {
        gm_text_add(text, "of ");
        print_expression(text, d->iterations, 1, 0);
        gm_text_add(text, " iterations ");
    }
    gm_text_add(text, "{");
    for (size_t i = 0; i < d->entry_count; i++) {
        print_line(text, 1);
        print_entry(text, &d->entries[i]);
    }
    gm_text_add(text, "\n}");
}

typedef struct declaration_printer {
    const char *word;
    void (*print)(gm_text *text, const gm_ast_declaration *declaration);
} declaration_printer;

static const declaration_printer printers[] = {
    [GM_AST_MODEL] = {"model", print_model},         [GM_AST_IMPORT] = {"import", print_import},
    [GM_AST_CONST] = {"const", print_const},         [GM_AST_OPTIMIZER] = {"optimizer", print_optimizer},
    [GM_AST_DATA_SET] = {"data", print_data_set},    [GM_AST_NETWORK] = {"network", print_network},
    [GM_AST_FUNCTION] = {"function", print_network}, [GM_AST_STEP] = {"step", print_step},
    [GM_AST_SAMPLE] = {"sample", print_step},        [GM_AST_EVALUATE] = {"evaluate", print_step},
    [GM_AST_TRAIN] = {"train", print_train},
};

static void print_header(gm_text *text, const gm_ast_attributes *header)
{
    if (!header->written)
        return;
    gm_text_add(text, "<");
    for (size_t i = 0; i < header->count; i++) {
        gm_text_add(text, "%s  %s: ", i ? ",\n" : "\n", header->items[i].name);
        print_expression(text, header->items[i].value, 0, 1);
    }
    gm_text_add(text, "\n>\n");
}

static void print_onnx(gm_text *text, const gm_ast_onnx *onnx)
{
    print_header(text, &onnx->header);
    if (onnx->graph)
        print_graph(text, onnx->graph, 0);
    for (size_t i = 0; i < onnx->function_count; i++) {
        gm_text_add(text, "\n");
        print_header(text, &onnx->functions[i].header);
        print_network(text, &onnx->functions[i]);
    }
    gm_text_add(text, "\n");
}

void gm_ast_print(const gm_ast_file *file, gm_text *text)
{
    /* Numbers have a point in every country. */
    locale_t plain = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    locale_t before = plain ? uselocale(plain) : (locale_t)0;
    if (file->onnx)
        print_onnx(text, file->onnx);
    for (size_t i = 0; i < file->declaration_count; i++) {
        const declaration_printer *printer = &printers[file->declarations[i].kind];
        gm_text_add(text, "%s ", printer->word);
        printer->print(text, &file->declarations[i]);
        gm_text_add(text, "\n");
    }
    if (plain) {
        uselocale(before);
        freelocale(plain);
    }
}
