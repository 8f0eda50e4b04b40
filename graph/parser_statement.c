/* Statements. No word is reserved: a first word that is followed by '=' or ',' is a name that gets a value. */
#include "graph/parser.h"

#include <string.h>

int gm_parser_body_height(const gm_ast_body *body)
{
    int height = 0;
    for (size_t i = 0; i < body->count; i++) {
        const gm_ast_statement *s = &body->statements[i];
        const gm_ast_expression *parts[] = {s->value, s->initializer, s->condition};
        for (size_t k = 0; k < GM_COUNT(parts); k++)
            if (parts[k] && parts[k]->height > height)
                height = parts[k]->height;
        for (size_t k = 0; k < s->attributes.count; k++)
            if (s->attributes.items[k].value && s->attributes.items[k].value->height > height)
                height = s->attributes.items[k].value->height;
        for (size_t k = 0; k < s->item_count; k++)
            if (s->items[k].value && s->items[k].value->height > height)
                height = s->items[k].value->height;
    }
    return height;
}

/* The word is a keyword here unless it is about to get a value itself. */
static bool at_keyword(const gm_parser *p, const char *word)
{
    return gm_parser_at_word(p, word) && !gm_parser_next_is(p, '=') && !gm_parser_next_is(p, ',');
}

/* --- Assignments -------------------------------------------------------------------------------------------------- */

static bool add_output(gm_parser *p, gm_ast_statement *s, gm_ast_type *type, const char *name)
{
    size_t count = s->output_count;
    const char **names = name ? gm_parser_push(p, (void *)s->outputs, &s->output_count, sizeof *names) : NULL;
    gm_ast_type **types = names ? gm_parser_push(p, s->output_types, &count, sizeof *types) : NULL;
    if (!types)
        return false;
    s->outputs = names;
    s->output_types = types;
    names[count - 1] = name;
    types[count - 1] = type;
    return true;
}

/* [type] name, ... ; nothing before a comma is a skipped output */
static bool outputs(gm_parser *p, gm_ast_statement *s)
{
    bool typed = false;
    while (!p->failed && !gm_parser_at(p, '=')) {
        gm_ast_type *type = NULL;
        if (gm_parser_at(p, ',')) {
            if (!add_output(p, s, NULL, ""))
                return false;
        } else {
            if (gm_parser_at_typed(p)) {
                type = gm_parser_type(p);
                typed = true;
            }
            if (!add_output(p, s, type, gm_parser_quotable(p, "the name of a value")))
                return false;
        }
        if (!gm_parser_accept(p, ','))
            break;
    }
    if (!typed)
        s->output_types = NULL;
    return gm_parser_expect(p, '=', s->output_count > 1 ? "',' or '=' behind a name" : "'=' and an expression");
}

static bool assignment(gm_parser *p, gm_ast_statement *s)
{
    s->kind = GM_AST_ASSIGN;
    return outputs(p, s) && (s->value = gm_parser_expression(p));
}

static bool label(gm_parser *p, gm_ast_statement *s)
{
    if (!gm_parser_accept(p, '['))
        return true;
    if (gm_parser_at_name(p))
        s->label = gm_parser_quotable(p, "a label");
    if (s->label && !*s->label)
        s->label = NULL;
    return gm_parser_expect(p, ']', "a label and ']'");
}

/* --- Keyword statements: each begins behind its word -------------------------------------------------------------- */

/* name ':' type ['~' call | '=' (expr | data)] ['when' expr] */
static bool parameter(gm_parser *p, gm_ast_statement *s)
{
    const char *name = gm_parser_quotable(p, "the name of a parameter or buffer");
    if (!name || !add_output(p, s, NULL, name) || !gm_parser_expect(p, ':', "':' and a type"))
        return false;
    s->output_types = NULL;
    s->type = gm_parser_type(p);
    if (!s->type)
        return false;
    if (gm_parser_accept(p, '~')) {
        s->initializer = gm_parser_initializer(p);
    } else if (gm_parser_accept(p, '=')) {
        s->value = gm_parser_at(p, '{') ? gm_parser_data(p) : gm_parser_constant(p);
    }
    if (!p->failed && at_keyword(p, "when")) {
        gm_parser_advance(p);
        s->condition = gm_parser_expression(p);
    }
    return !p->failed;
}

static bool paths(gm_parser *p, gm_ast_path **paths_out, size_t *count)
{
    do {
        gm_ast_path path = {0};
        if (!gm_parser_path(p, &path))
            return false;
        gm_ast_path *all = gm_parser_push(p, *paths_out, count, sizeof *all);
        if (!all)
            return false;
        *paths_out = all;
        all[*count - 1] = path;
    } while (gm_parser_accept(p, ','));
    return true;
}

/* expr 'over' paths ['except' paths] 'with' id [attrs] */
static bool minimize(gm_parser *p, gm_ast_statement *s)
{
    s->value = gm_parser_expression(p);
    if (!s->value || !gm_parser_expect_word(p, "over") || !paths(p, &s->paths, &s->path_count))
        return false;
    if (gm_parser_accept_word(p, "except") && !paths(p, &s->excepts, &s->except_count))
        return false;
    if (!gm_parser_expect_word(p, "with"))
        return false;
    s->optimizer = gm_parser_name(p, "an optimizer");
    return s->optimizer && (!gm_parser_at(p, '<') || gm_parser_attributes(p, &s->attributes, false));
}

/* path '=' expr */
static bool update(gm_parser *p, gm_ast_statement *s)
{
    gm_ast_path *path = gm_parser_new(p, sizeof *path);
    if (!path || !gm_parser_path(p, path) || !gm_parser_expect(p, '=', "'=' and an expression"))
        return false;
    s->paths = path;
    s->path_count = 1;
    s->value = gm_parser_expression(p);
    return s->value;
}

/* [name '='] expr ['as' path], ... */
static bool items(gm_parser *p, gm_ast_statement *s)
{
    do {
        gm_ast_item item = {.where = p->cursor.token.where};
        if (gm_parser_at_name(p) && gm_parser_next_is(p, '=')) {
            item.name = gm_parser_quotable(p, "a name");
            gm_parser_advance(p);
        }
        item.value = gm_parser_expression(p);
        if (!item.value)
            return false;
        if (at_keyword(p, "as")) {
            gm_parser_advance(p);
            item.as = gm_parser_new(p, sizeof *item.as);
            if (!item.as || !gm_parser_path(p, item.as))
                return false;
        }
        gm_ast_item *all = gm_parser_push(p, s->items, &s->item_count, sizeof *all);
        if (!all)
            return false;
        s->items = all;
        all[s->item_count - 1] = item;
    } while (gm_parser_accept(p, ','));
    return !p->failed;
}

typedef struct keyword {
    const char *word;
    gm_ast_statement_kind kind;
    bool (*parse)(gm_parser *p, gm_ast_statement *s);
} keyword;

static const keyword keywords[] = {
    {"param", GM_AST_PARAM, parameter}, {"buffer", GM_AST_BUFFER, parameter}, {"minimize", GM_AST_MINIMIZE, minimize},
    {"update", GM_AST_UPDATE, update},  {"report", GM_AST_REPORT, items},     {"write", GM_AST_WRITE, items},
    {"mean", GM_AST_MEAN, items},       {"result", GM_AST_RESULT, items},
};

static bool unknown(gm_parser *p)
{
    static const char *const words[] = {"param", "buffer", "minimize", "update", "report",
                                        "write", "mean",   "result",   NULL};
    if (p->onnx)
        return gm_parser_wrong(p, "a node (name = Operator (inputs)) or '}'");
    if (gm_parser_at(p, GM_TOKEN_NAME) && !gm_parser_next_is(p, '[') && !gm_parser_next_is(p, '('))
        return gm_parser_wrong_word(p, "a statement (name = expression, or param, minimize, report ...) or '}'", words);
    return gm_parser_wrong(p, "a statement (name = expression, or param, minimize, report ...) or '}'");
}

static bool statement(gm_parser *p, gm_ast_statement *s)
{
    s->where = p->cursor.token.where;
    if (gm_parser_at(p, '['))
        return label(p, s) && assignment(p, s);
    if (!gm_parser_at_name(p) && !gm_parser_at(p, '=') && !gm_parser_at(p, ','))
        return unknown(p);
    bool name = gm_parser_at(p, GM_TOKEN_NAME) && !gm_parser_next_is(p, '=') && !gm_parser_next_is(p, ',');
    if (!name || gm_parser_at_typed(p))
        return assignment(p, s);
    for (size_t i = 0; i < GM_COUNT(keywords) && !p->onnx; i++) {
        if (!gm_parser_at_word(p, keywords[i].word))
            continue;
        s->kind = keywords[i].kind;
        gm_parser_advance(p);
        return keywords[i].parse(p, s);
    }
    return unknown(p);
}

bool gm_parser_body(gm_parser *p, gm_ast_body *body, gm_location *end_out)
{
    gm_location start = p->cursor.token.where;
    if (!gm_parser_expect(p, '{', "'{' and statements"))
        return false;
    while (!p->failed && !gm_parser_at(p, '}')) {
        gm_ast_statement s = {0};
        if (gm_parser_at(p, GM_TOKEN_END))
            return gm_parser_error(p, p->cursor.token.where,
                                   "expected '}' to close the '{' of line %d, found the end of the file", start.line);
        if (!statement(p, &s))
            return false;
        gm_ast_statement *all = gm_parser_push(p, body->statements, &body->count, sizeof *all);
        if (!all)
            return false;
        body->statements = all;
        all[body->count - 1] = s;
    }
    *end_out = p->cursor.token.where;
    return gm_parser_expect(p, '}', "'}'");
}
