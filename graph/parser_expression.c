/* Expressions, attribute lists, attribute values, literal data. */
#include "graph/parser.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Nodes -------------------------------------------------------------------------------------------------------- */

gm_ast_expression *gm_parser_node(gm_parser *p, gm_ast_expression_kind kind, gm_location where)
{
    gm_ast_expression *node = gm_parser_new(p, sizeof *node);
    if (!node)
        return NULL;
    node->kind = kind;
    node->where = where;
    node->height = 1;
    return node;
}

static int height_of(const gm_ast_expression *node)
{
    return node ? node->height : 0;
}

bool gm_parser_raise(gm_parser *p, gm_ast_expression *node)
{
    int height = node->graph ? gm_parser_body_height(&node->graph->body) : 0;
    for (size_t i = 0; i < node->item_count; i++)
        if (height_of(node->items[i]) > height)
            height = height_of(node->items[i]);
    for (size_t i = 0; i < node->attributes.count; i++)
        if (height_of(node->attributes.items[i].value) > height)
            height = height_of(node->attributes.items[i].value);
    node->height = height + 1;
    if (p->depth + node->height <= GM_AST_MAX_DEPTH + 1)
        return true;
    return gm_parser_error(p, node->where,
                           "expected at most %d nested levels, found more (name a part of this expression)",
                           GM_AST_MAX_DEPTH);
}

static bool add_item(gm_parser *p, gm_ast_expression *node, gm_ast_expression *item)
{
    if (!item)
        return false;
    gm_ast_expression **items = gm_parser_push(p, node->items, &node->item_count, sizeof *items);
    if (!items)
        return false;
    node->items = items;
    items[node->item_count - 1] = item;
    return true;
}

/* --- Numbers ------------------------------------------------------------------------------------------------------ */

static bool same_letters(const gm_token *token, const char *word)
{
    size_t length = strlen(word);
    if (token->length != length)
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = token->text[i];
        if ((c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) != word[i])
            return false;
    }
    return true;
}

bool gm_parser_at_literal_name(const gm_parser *p)
{
    const gm_token *token = &p->cursor.token;
    return token->kind == GM_TOKEN_NAME &&
           (same_letters(token, "inf") || same_letters(token, "nan") || same_letters(token, "infinity"));
}

bool gm_parser_number(gm_parser *p, bool negative, gm_ast_expression *node)
{
    const gm_token *token = &p->cursor.token;
    gm_location where = token->where;
    if (p->failed)
        return false;
    if (token->kind != GM_TOKEN_NUMBER && !gm_parser_at_literal_name(p))
        return gm_parser_wrong(p, "a number");
    char *text = gm_parser_new(p, token->length + 2);
    if (!text)
        return false;
    text[0] = '-';
    memcpy(text + negative, token->text, token->length);
    node->text = text;
    if (token->kind == GM_TOKEN_NAME) {
        double value = same_letters(token, "nan") ? (double)NAN : (double)INFINITY;
        node->is_float = true;
        node->number = negative ? -value : value;
        node->integer = 0;
        gm_parser_advance(p);
        return true;
    }
    node->is_float = memchr(text, '.', token->length + negative) || strpbrk(text, "eE");
    node->number = strtod(text, NULL);
    errno = 0;
    node->integer = node->is_float ? 0 : (int64_t)strtoll(text, NULL, 10);
    bool overflow = node->is_float ? !isfinite(node->number) : errno == ERANGE;
    gm_parser_advance(p);
    return !overflow || gm_parser_error(p, where, "expected a number that fits %s, found %.40s%s",
                                        node->is_float ? "double" : "int64 (write a point behind it for a float)", text,
                                        strlen(text) > 40 ? "..." : "");
}

static gm_ast_expression *number(gm_parser *p, bool negative, gm_location where)
{
    gm_ast_expression *node = gm_parser_node(p, GM_AST_NUMBER, where);
    return node && gm_parser_number(p, negative, node) ? node : NULL;
}

/* --- Paths -------------------------------------------------------------------------------------------------------- */

static bool add_part(gm_parser *p, const char ***parts, size_t *count, const char *part)
{
    const char **larger = part ? gm_parser_push(p, (void *)*parts, count, sizeof *larger) : NULL;
    if (!larger)
        return false;
    *parts = larger;
    larger[*count - 1] = part;
    return true;
}

static bool parts(gm_parser *p, const char ***parts_out, size_t *count)
{
    do {
        if (!add_part(p, parts_out, count, gm_parser_quotable(p, "a name")))
            return false;
    } while (gm_parser_accept(p, '.'));
    return true;
}

bool gm_parser_path(gm_parser *p, gm_ast_path *path)
{
    path->where = p->cursor.token.where;
    return parts(p, &path->parts, &path->part_count);
}

/* --- Calls and lists ---------------------------------------------------------------------------------------------- */

/* ( expression, ... ); nothing before a comma is an omitted argument, a comma before the parenthesis says nothing. */
static bool arguments(gm_parser *p, gm_ast_expression *call)
{
    bool literals = p->literals;
    if (!gm_parser_expect(p, '(', "'(' and the arguments of a call"))
        return false;
    p->literals = false;
    call->has_arguments = true;
    while (!p->failed && !gm_parser_at(p, ')')) {
        gm_ast_expression *argument;
        if (gm_parser_at(p, ',')) {
            argument = gm_parser_node(p, GM_AST_STRING, p->cursor.token.where);
            if (argument)
                argument->text = "";
        } else {
            argument = gm_parser_expression(p);
        }
        if (!add_item(p, call, argument))
            break;
        if (!gm_parser_accept(p, ','))
            break;
    }
    p->literals = literals;
    return gm_parser_expect(p, ')', "',' or ')' behind an argument");
}

static gm_ast_expression *path_or_call(gm_parser *p)
{
    gm_location where = p->cursor.token.where;
    gm_ast_expression *node = gm_parser_node(p, GM_AST_PATH, where);
    if (!node || !parts(p, &node->parts, &node->part_count))
        return NULL;
    if (gm_parser_at(p, ':') && gm_parser_next_is(p, GM_TOKEN_NAME)) {
        gm_parser_advance(p);
        node->overload = gm_parser_name(p, "an overload");
    }
    if (gm_parser_at(p, '<')) {
        if (!gm_parser_attributes(p, &node->attributes, false))
            return NULL;
    } else if (!gm_parser_at(p, '(')) {
        if (node->overload)
            gm_parser_wrong(p, "'(' or '<' behind an overload");
        return p->failed ? NULL : node;
    }
    node->kind = GM_AST_CALL;
    if (!arguments(p, node))
        return NULL;
    if (!node->attributes.written && gm_parser_at(p, '<')) {
        node->attributes_behind = true;
        if (!gm_parser_attributes(p, &node->attributes, false))
            return NULL;
    }
    return gm_parser_raise(p, node) ? node : NULL;
}

gm_ast_expression *gm_parser_initializer(gm_parser *p)
{
    gm_ast_expression *node = gm_parser_node(p, GM_AST_PATH, p->cursor.token.where);
    if (!node || !parts(p, &node->parts, &node->part_count))
        return NULL;
    if (gm_parser_at(p, '<') && !gm_parser_attributes(p, &node->attributes, false))
        return NULL;
    if (gm_parser_at(p, '(') && !arguments(p, node))
        return NULL;
    if (node->attributes.written || node->has_arguments)
        node->kind = GM_AST_CALL;
    return gm_parser_raise(p, node) ? node : NULL;
}

gm_ast_expression *gm_parser_list(gm_parser *p)
{
    gm_ast_expression *list = gm_parser_node(p, GM_AST_LIST, p->cursor.token.where);
    if (!list || !gm_parser_expect(p, '[', "a list"))
        return NULL;
    while (!p->failed && !gm_parser_at(p, ']')) {
        if (!add_item(p, list, gm_parser_expression(p)) || !gm_parser_accept(p, ','))
            break;
    }
    if (!gm_parser_expect(p, ']', "',' or ']' behind an item of a list"))
        return NULL;
    return gm_parser_raise(p, list) ? list : NULL;
}

/* --- Expressions -------------------------------------------------------------------------------------------------- */

static gm_ast_expression *parenthesis(gm_parser *p)
{
    gm_parser_advance(p);
    gm_ast_expression *inner = gm_parser_expression(p);
    return inner && gm_parser_expect(p, ')', "')'") ? inner : NULL;
}

static gm_ast_expression *primary(gm_parser *p)
{
    const gm_token *token = &p->cursor.token;
    if (token->kind == GM_TOKEN_NUMBER)
        return number(p, false, token->where);
    if (token->kind == GM_TOKEN_STRING && !gm_parser_next_is(p, '.')) {
        gm_ast_expression *node = gm_parser_node(p, GM_AST_STRING, token->where);
        if (node)
            node->text = gm_parser_string(p, "a string");
        return node && node->text ? node : NULL;
    }
    if (p->literals && gm_parser_at_literal_name(p) && !gm_parser_next_is(p, '(') && !gm_parser_next_is(p, '<') &&
        !gm_parser_next_is(p, '.'))
        return number(p, false, token->where);
    if (gm_parser_at_name(p))
        return path_or_call(p);
    if (token->kind == '[')
        return gm_parser_list(p);
    if (token->kind == '(')
        return parenthesis(p);
    gm_parser_wrong(p, "an expression");
    return NULL;
}

static gm_ast_expression *operation(gm_parser *p, char op, gm_location where, gm_ast_expression *a,
                                    gm_ast_expression *b)
{
    gm_ast_expression *node = gm_parser_node(p, b ? GM_AST_BINARY : GM_AST_NEGATE, where);
    if (!node)
        return NULL;
    node->op = op;
    if (!add_item(p, node, a) || (b && !add_item(p, node, b)))
        return NULL;
    return gm_parser_raise(p, node) ? node : NULL;
}

static gm_ast_expression *unary(gm_parser *p);

/* primary ['^' unary] */
static gm_ast_expression *power(gm_parser *p)
{
    gm_ast_expression *base = primary(p);
    gm_location where = p->cursor.token.where;
    if (!base || !gm_parser_accept(p, '^'))
        return base;
    gm_ast_expression *exponent = unary(p);
    return exponent ? operation(p, '^', where, base, exponent) : NULL;
}

/* '-' unary | power. The least int64 has no positive counterpart, so its sign belongs to the literal. */
static gm_ast_expression *unary(gm_parser *p)
{
    gm_ast_expression *result = NULL;
    gm_location where = p->cursor.token.where;
    if (gm_parser_enter(p) && gm_parser_accept(p, '-')) {
        const gm_token *token = &p->cursor.token;
        if (token->kind == GM_TOKEN_NUMBER && token->length == 19 &&
            memcmp(token->text, "9223372036854775808", 19) == 0) {
            result = number(p, true, where);
        } else {
            result = unary(p);
            result = result ? operation(p, '-', where, result, NULL) : NULL;
        }
    } else if (!p->failed) {
        result = power(p);
    }
    gm_parser_leave(p);
    return result;
}

static gm_ast_expression *term(gm_parser *p)
{
    gm_ast_expression *left = unary(p);
    while (left && (gm_parser_at(p, '*') || gm_parser_at(p, '/'))) {
        gm_token op = p->cursor.token;
        gm_parser_advance(p);
        gm_ast_expression *right = unary(p);
        left = right ? operation(p, (char)op.kind, op.where, left, right) : NULL;
    }
    return left;
}

gm_ast_expression *gm_parser_expression(gm_parser *p)
{
    gm_ast_expression *left = term(p);
    while (left && (gm_parser_at(p, '+') || gm_parser_at(p, '-'))) {
        gm_token op = p->cursor.token;
        gm_parser_advance(p);
        gm_ast_expression *right = term(p);
        left = right ? operation(p, (char)op.kind, op.where, left, right) : NULL;
    }
    return left;
}

gm_ast_expression *gm_parser_constant(gm_parser *p)
{
    bool literals = p->literals;
    p->literals = true;
    gm_ast_expression *value = gm_parser_expression(p);
    p->literals = literals;
    return value;
}

gm_ast_expression *gm_parser_data(gm_parser *p)
{
    gm_ast_expression *data = gm_parser_node(p, GM_AST_DATA, p->cursor.token.where);
    if (!data || !gm_parser_expect(p, '{', "'{' and data"))
        return NULL;
    while (!p->failed && !gm_parser_at(p, '}')) {
        gm_location where = p->cursor.token.where;
        gm_ast_expression *item;
        if (gm_parser_at(p, GM_TOKEN_STRING)) {
            item = gm_parser_node(p, GM_AST_STRING, where);
            if (item)
                item->text = gm_parser_string(p, "a string");
        } else {
            bool negative = gm_parser_accept(p, '-');
            item = number(p, negative, where);
        }
        if (p->failed || !add_item(p, data, item) || !gm_parser_accept(p, ','))
            break;
    }
    return gm_parser_expect(p, '}', "',' or '}' behind a value") && gm_parser_raise(p, data) ? data : NULL;
}

/* --- Attributes --------------------------------------------------------------------------------------------------- */

/* [value, ...], or ["key" : value, ...] */
static gm_ast_expression *value_list(gm_parser *p)
{
    gm_ast_expression *list = gm_parser_node(p, GM_AST_LIST, p->cursor.token.where);
    if (!list || !gm_parser_expect(p, '[', "a list"))
        return NULL;
    if (gm_parser_at(p, GM_TOKEN_STRING) && gm_parser_next_is(p, ':'))
        list->text = ":";
    while (!p->failed && !gm_parser_at(p, ']')) {
        if (!add_item(p, list, gm_parser_value(p)))
            break;
        if (list->text && (list->items[list->item_count - 1]->kind != GM_AST_STRING || !gm_parser_accept(p, ':'))) {
            gm_parser_wrong(p, "\"key\" : value");
            break;
        }
        if ((list->text && !add_item(p, list, gm_parser_value(p))) || !gm_parser_accept(p, ','))
            break;
    }
    if (!gm_parser_expect(p, ']', "',' or ']' behind an item of a list"))
        return NULL;
    return gm_parser_raise(p, list) ? list : NULL;
}

static gm_ast_expression *reference(gm_parser *p)
{
    gm_ast_expression *node = gm_parser_node(p, GM_AST_REFERENCE, p->cursor.token.where);
    gm_parser_advance(p);
    if (node)
        node->text = gm_parser_quotable(p, "the name of an attribute behind '@'");
    return node && node->text ? node : NULL;
}

/* A type alone, or a tensor: type [name] ['='] data */
static gm_ast_expression *type_or_tensor(gm_parser *p)
{
    gm_location where = p->cursor.token.where;
    gm_ast_type *type = gm_parser_type(p);
    if (!type)
        return NULL;
    if (!gm_parser_at_name(p) && !gm_parser_at(p, '=') && !gm_parser_at(p, '{') && !gm_parser_at(p, '[')) {
        gm_ast_expression *node = gm_parser_node(p, GM_AST_TYPE, where);
        if (node)
            node->type = type;
        return node;
    }
    const char **name = NULL;
    size_t count = 0;
    if (gm_parser_at_name(p) && !add_part(p, &name, &count, gm_parser_quotable(p, "a name")))
        return NULL;
    gm_parser_accept(p, '=');
    gm_ast_expression *node = gm_parser_tensor(p, type);
    if (!node)
        return NULL;
    node->where = where;
    node->parts = name;
    node->part_count = count;
    return node;
}

static gm_ast_expression *plain_value(gm_parser *p)
{
    if (gm_parser_at(p, '@'))
        return reference(p);
    if (gm_parser_at(p, '['))
        return value_list(p);
    if (gm_parser_at_type(p))
        return type_or_tensor(p);
    if (!gm_parser_at_graph(p))
        return gm_parser_constant(p);
    gm_ast_expression *node = gm_parser_node(p, GM_AST_GRAPH, p->cursor.token.where);
    if (!node || !(node->graph = gm_parser_graph(p)))
        return NULL;
    return gm_parser_raise(p, node) ? node : NULL;
}

gm_ast_expression *gm_parser_value(gm_parser *p)
{
    bool literals = p->literals;
    p->literals = true;
    gm_ast_expression *value = gm_parser_enter(p) ? plain_value(p) : NULL;
    gm_parser_leave(p);
    p->literals = literals;
    return value;
}

static bool attribute(gm_parser *p, gm_ast_attribute *attribute, bool declaring)
{
    attribute->where = p->cursor.token.where;
    bool named = gm_parser_at(p, GM_TOKEN_NAME) && (gm_parser_next_is(p, '=') || gm_parser_next_is(p, ':'));
    if (!named && !declaring) {
        attribute->value = gm_parser_value(p);
        return attribute->value;
    }
    attribute->name = gm_parser_quotable(p, "the name of an attribute");
    if (gm_parser_accept(p, ':'))
        attribute->type = gm_parser_name(p, "the type of an attribute (float, int, string, tensor, graph, floats ...)");
    if (declaring && !gm_parser_at(p, '='))
        return !p->failed;
    if (!gm_parser_expect(p, '=', "'=' and the value of an attribute"))
        return false;
    attribute->value = gm_parser_value(p);
    return attribute->value;
}

bool gm_parser_attributes(gm_parser *p, gm_ast_attributes *attributes, bool declaring)
{
    if (!gm_parser_expect(p, '<', "'<' and attributes"))
        return false;
    attributes->written = true;
    while (!p->failed && !gm_parser_at(p, '>')) {
        gm_ast_attribute item = {0};
        if (!attribute(p, &item, declaring))
            return false;
        gm_ast_attribute *items = gm_parser_push(p, attributes->items, &attributes->count, sizeof *items);
        if (!items)
            return false;
        attributes->items = items;
        items[attributes->count - 1] = item;
        if (!gm_parser_accept(p, ','))
            break;
    }
    return gm_parser_expect(p, '>', "',' or '>' behind an attribute");
}

bool gm_parser_header(gm_parser *p, gm_ast_attributes *attributes)
{
    if (!gm_parser_expect(p, '<', "'<' and a header"))
        return false;
    attributes->written = true;
    while (!p->failed && !gm_parser_at(p, '>')) {
        gm_ast_attribute *items = gm_parser_push(p, attributes->items, &attributes->count, sizeof *items);
        if (!items)
            return false;
        attributes->items = items;
        gm_ast_attribute *item = &items[attributes->count - 1];
        item->where = p->cursor.token.where;
        item->name = gm_parser_name(p, "ir_version, opset_import or another word of a header");
        if (!gm_parser_expect(p, ':', "':' and a value") || !(item->value = gm_parser_value(p)))
            return false;
        if (!gm_parser_accept(p, ','))
            break;
    }
    return gm_parser_expect(p, '>', "',' or '>' behind a value of the header");
}
