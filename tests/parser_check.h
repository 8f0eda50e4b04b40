/* Checks on the parser that the suite and the fuzz target share: two trees are equal but for their places, and a text
 * that parses is equal to what is printed of it. */
#ifndef GM_TESTS_PARSER_CHECK_H
#define GM_TESTS_PARSER_CHECK_H

#include "graph/ast.h"

#include <string.h>

static bool same_expression(const gm_ast_expression *a, const gm_ast_expression *b);
static bool same_graph(const gm_ast_graph *a, const gm_ast_graph *b);

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_texts(const char *const *a, size_t a_count, const char *const *b, size_t b_count)
{
    if (a_count != b_count)
        return false;
    for (size_t i = 0; i < a_count; i++)
        if (!same_text(a[i], b[i]))
            return false;
    return true;
}

static bool same_type(const gm_ast_type *a, const gm_ast_type *b)
{
    if (!a || !b)
        return a == b;
    if (a->type != b->type || a->has_shape != b->has_shape || a->any_shape != b->any_shape ||
        a->dim_count != b->dim_count || !same_text(a->constructor, b->constructor) || !same_text(a->text, b->text))
        return false;
    for (size_t i = 0; i < a->dim_count; i++)
        if (a->dims[i].kind != b->dims[i].kind || !same_expression(a->dims[i].expression, b->dims[i].expression))
            return false;
    return true;
}

static bool same_tensor(const gm_tensor *a, const gm_tensor *b)
{
    if (!a || !b)
        return a == b;
    if (a->type != b->type || !gm_tensor_same_shape(a, b) || memcmp(a->data, b->data, gm_tensor_bytes(a)) != 0)
        return false;
    for (int64_t i = 0; a->type == GM_STRING && i < gm_tensor_count(a); i++)
        if (strcmp(((const char *const *)a->data)[i], ((const char *const *)b->data)[i]) != 0)
            return false;
    return true;
}

static bool same_attributes(const gm_ast_attributes *a, const gm_ast_attributes *b)
{
    if (a->count != b->count || a->written != b->written)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!same_text(a->items[i].name, b->items[i].name) || !same_text(a->items[i].type, b->items[i].type) ||
            !same_expression(a->items[i].value, b->items[i].value))
            return false;
    return true;
}

static bool same_expressions(gm_ast_expression *const *a, size_t a_count, gm_ast_expression *const *b, size_t b_count)
{
    if (a_count != b_count)
        return false;
    for (size_t i = 0; i < a_count; i++)
        if (!same_expression(a[i], b[i]))
            return false;
    return true;
}

static bool same_expression(const gm_ast_expression *a, const gm_ast_expression *b)
{
    if (!a || !b)
        return a == b;
    return a->kind == b->kind && a->height == b->height && same_text(a->text, b->text) && a->is_float == b->is_float &&
           memcmp(&a->number, &b->number, sizeof a->number) == 0 && a->integer == b->integer && a->op == b->op &&
           same_texts(a->parts, a->part_count, b->parts, b->part_count) && same_text(a->overload, b->overload) &&
           same_attributes(&a->attributes, &b->attributes) && a->attributes_behind == b->attributes_behind &&
           a->has_arguments == b->has_arguments && same_expressions(a->items, a->item_count, b->items, b->item_count) &&
           same_tensor(a->tensor, b->tensor) && same_type(a->type, b->type) && same_graph(a->graph, b->graph);
}

static bool same_paths(const gm_ast_path *a, size_t a_count, const gm_ast_path *b, size_t b_count)
{
    if (a_count != b_count)
        return false;
    for (size_t i = 0; i < a_count; i++)
        if (!same_texts(a[i].parts, a[i].part_count, b[i].parts, b[i].part_count))
            return false;
    return true;
}

static bool same_items(const gm_ast_statement *a, const gm_ast_statement *b)
{
    if (a->item_count != b->item_count)
        return false;
    for (size_t i = 0; i < a->item_count; i++) {
        const gm_ast_item *x = &a->items[i], *y = &b->items[i];
        if (!same_text(x->name, y->name) || !same_expression(x->value, y->value) || !x->as != !y->as ||
            (x->as && !same_paths(x->as, 1, y->as, 1)))
            return false;
    }
    return true;
}

static bool same_statement(const gm_ast_statement *a, const gm_ast_statement *b)
{
    if (!a->output_types != !b->output_types)
        return false;
    for (size_t i = 0; a->output_types && i < a->output_count && i < b->output_count; i++)
        if (!same_type(a->output_types[i], b->output_types[i]))
            return false;
    return a->kind == b->kind && same_text(a->label, b->label) &&
           same_texts(a->outputs, a->output_count, b->outputs, b->output_count) &&
           same_expression(a->value, b->value) && same_type(a->type, b->type) &&
           same_expression(a->initializer, b->initializer) && same_expression(a->condition, b->condition) &&
           same_paths(a->paths, a->path_count, b->paths, b->path_count) &&
           same_paths(a->excepts, a->except_count, b->excepts, b->except_count) &&
           same_text(a->optimizer, b->optimizer) && same_attributes(&a->attributes, &b->attributes) && same_items(a, b);
}

static bool same_body(const gm_ast_body *a, const gm_ast_body *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!same_statement(&a->statements[i], &b->statements[i]))
            return false;
    return true;
}

static bool same_parameters(const gm_ast_parameter *a, size_t a_count, const gm_ast_parameter *b, size_t b_count)
{
    if (a_count != b_count)
        return false;
    for (size_t i = 0; i < a_count; i++)
        if (!same_type(a[i].type, b[i].type) || !same_text(a[i].name, b[i].name) ||
            !same_expression(a[i].default_value, b[i].default_value))
            return false;
    return true;
}

static bool same_signature(const gm_ast_signature *a, const gm_ast_signature *b)
{
    return a->has_inputs == b->has_inputs && same_parameters(a->inputs, a->input_count, b->inputs, b->input_count) &&
           same_parameters(a->outputs, a->output_count, b->outputs, b->output_count);
}

static bool same_graph(const gm_ast_graph *a, const gm_ast_graph *b)
{
    if (!a || !b)
        return a == b;
    return same_text(a->name, b->name) && same_signature(&a->signature, &b->signature) &&
           same_parameters(a->values, a->value_count, b->values, b->value_count) && same_body(&a->body, &b->body);
}

static bool same_fields(const gm_ast_declaration *a, const gm_ast_declaration *b)
{
    if (a->field_count != b->field_count)
        return false;
    for (size_t i = 0; i < a->field_count; i++)
        if (!same_text(a->fields[i].name, b->fields[i].name) || !same_type(a->fields[i].type, b->fields[i].type) ||
            !same_expression(a->fields[i].range, b->fields[i].range))
            return false;
    return true;
}

static bool same_entries(const gm_ast_declaration *a, const gm_ast_declaration *b)
{
    if (a->entry_count != b->entry_count)
        return false;
    for (size_t i = 0; i < a->entry_count; i++) {
        const gm_ast_train_entry *x = &a->entries[i], *y = &b->entries[i];
        if (x->kind != y->kind || x->iterations != y->iterations || !same_expression(x->count, y->count) ||
            !same_expressions(x->epochs, x->epoch_count, y->epochs, y->epoch_count) ||
            !same_texts(x->names, x->name_count, y->names, y->name_count))
            return false;
    }
    return true;
}

static bool same_declaration(const gm_ast_declaration *a, const gm_ast_declaration *b)
{
    return a->kind == b->kind && same_texts(a->names, a->name_count, b->names, b->name_count) &&
           same_attributes(&a->attributes, &b->attributes) && same_attributes(&a->header, &b->header) &&
           same_parameters(a->value_infos, a->value_info_count, b->value_infos, b->value_info_count) &&
           same_text(a->text, b->text) && same_expressions(a->values, a->value_count, b->values, b->value_count) &&
           same_signature(&a->signature, &b->signature) && same_body(&a->body, &b->body) && same_fields(a, b) &&
           same_text(a->on, b->on) && same_texts(a->sets, a->set_count, b->sets, b->set_count) &&
           same_expression(a->batch, b->batch) && same_expression(a->epochs, b->epochs) &&
           same_expression(a->iterations, b->iterations) && same_entries(a, b);
}

static bool same_declarations(const gm_ast_declaration *a, size_t a_count, const gm_ast_declaration *b, size_t b_count)
{
    if (a_count != b_count)
        return false;
    for (size_t i = 0; i < a_count; i++)
        if (!same_declaration(&a[i], &b[i]))
            return false;
    return true;
}

static bool same_file(const gm_ast_file *a, const gm_ast_file *b)
{
    if (!a->onnx != !b->onnx)
        return false;
    if (a->onnx &&
        (!same_attributes(&a->onnx->header, &b->onnx->header) || !same_graph(a->onnx->graph, b->onnx->graph) ||
         !same_declarations(a->onnx->functions, a->onnx->function_count, b->onnx->functions, b->onnx->function_count)))
        return false;
    return same_declarations(a->declarations, a->declaration_count, b->declarations, b->declaration_count);
}

/* Parses, prints and parses again. NULL: a text that does not parse, or one that came back equal; else what went wrong.
 */
static const char *check_round_trip(gm_pool *pool, const char *data, size_t bytes, gm_status *status_out)
{
    gm_context *context = gm_pool_context(pool);
    gm_ast_file *first = NULL, *second = NULL;
    gm_text once, twice;
    const char *problem = NULL;
    gm_clear_message(context);
    *status_out = gm_parse(pool, data, bytes, "first", &first);
    if (*status_out != GM_OK)
        return gm_context_message(context)[0] ? NULL : "failed without a message";
    gm_text_init(&once, context);
    gm_text_init(&twice, context);
    gm_ast_print(first, &once);
    gm_text_add(&once, "%s", "");
    gm_clear_message(context);
    if (gm_parse(pool, once.data ? once.data : "", once.length, "second", &second) != GM_OK) {
        problem = "the printed text does not parse";
    } else {
        gm_ast_print(second, &twice);
        if (!same_file(first, second))
            problem = "the printed text is another tree";
        else if (once.length != twice.length || (once.length && memcmp(once.data, twice.data, once.length) != 0))
            problem = "printed again the text differs";
    }
    gm_text_destroy(&once);
    gm_text_destroy(&twice);
    return problem;
}

#endif
