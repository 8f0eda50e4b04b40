/* Declarations: model, import, const, optimizer, data, network, function, step, sample, evaluate, train. */
#include "graph/parser.h"

#include <string.h>

static bool add_name(gm_parser *p, const char ***names, size_t *count, const char *name)
{
    const char **all = name ? gm_parser_push(p, (void *)*names, count, sizeof *all) : NULL;
    if (!all)
        return false;
    *names = all;
    all[*count - 1] = name;
    return true;
}

static bool add_expression(gm_parser *p, gm_ast_expression ***items, size_t *count, gm_ast_expression *item)
{
    gm_ast_expression **all = item ? gm_parser_push(p, *items, count, sizeof *all) : NULL;
    if (!all)
        return false;
    *items = all;
    all[*count - 1] = item;
    return true;
}

static bool one_name(gm_parser *p, gm_ast_declaration *d, const char *what)
{
    return add_name(p, &d->names, &d->name_count, gm_parser_quotable(p, what));
}

/* --- Short declarations ------------------------------------------------------------------------------------------- */

static bool model(gm_parser *p, gm_ast_declaration *d)
{
    return one_name(p, d, "the name of the model") && gm_parser_attributes(p, &d->attributes, false);
}

static bool import(gm_parser *p, gm_ast_declaration *d)
{
    d->text = gm_parser_string(p, "a file name in quotes");
    return d->text;
}

static bool constant(gm_parser *p, gm_ast_declaration *d)
{
    do {
        if (!one_name(p, d, "the name of a const") || !gm_parser_expect(p, '=', "'=' and a value") ||
            !add_expression(p, &d->values, &d->value_count, gm_parser_constant(p)))
            return false;
    } while (gm_parser_accept(p, ','));
    return true;
}

static bool optimizer(gm_parser *p, gm_ast_declaration *d)
{
    if (!one_name(p, d, "the name of an optimizer") || !gm_parser_expect(p, '=', "'=' and a kind of optimizer"))
        return false;
    d->text = gm_parser_name(p, "a kind of optimizer (Adam, SGD ...)");
    return d->text && (!gm_parser_at(p, '<') || gm_parser_attributes(p, &d->attributes, false));
}

static bool field(gm_parser *p, gm_ast_field *field)
{
    field->where = p->cursor.token.where;
    field->name = gm_parser_name(p, "a field or '}'");
    if (!field->name || !gm_parser_expect(p, ':', "':' and a type") || !(field->type = gm_parser_type(p)))
        return false;
    if (gm_parser_at_word(p, "in") && gm_parser_next_is(p, '[')) {
        gm_parser_advance(p);
        field->range = gm_parser_list(p);
    }
    return !p->failed;
}

static bool data(gm_parser *p, gm_ast_declaration *d)
{
    if (!one_name(p, d, "the name of a data set") || !gm_parser_expect(p, '=', "'=' and a source"))
        return false;
    d->text = gm_parser_name(p, "a source (mnist, idx, images ...)");
    if (!d->text || (gm_parser_at(p, '<') && !gm_parser_attributes(p, &d->attributes, false)))
        return false;
    if (!gm_parser_expect(p, '{', "'{' and the fields"))
        return false;
    while (!p->failed && !gm_parser_at(p, '}')) {
        gm_ast_field item = {0};
        if (!field(p, &item))
            return false;
        gm_ast_field *all = gm_parser_push(p, d->fields, &d->field_count, sizeof *all);
        if (!all)
            return false;
        d->fields = all;
        all[d->field_count - 1] = item;
        gm_parser_accept(p, ',');
    }
    d->end = p->cursor.token.where;
    return gm_parser_expect(p, '}', "a field or '}'");
}

/* --- Networks, functions, steps ----------------------------------------------------------------------------------- */

/* Behind `network name =` */
static bool taken(gm_parser *p, gm_ast_declaration *d)
{
    gm_parser_advance(p);
    if (!gm_parser_at_word(p, "load") && !gm_parser_at_word(p, "copy"))
        return gm_parser_wrong(p, "load(...) or copy(...)");
    gm_ast_expression *call = gm_parser_expression(p);
    if (call && call->kind != GM_AST_CALL)
        return gm_parser_error(p, call->where, "expected '(' and a file or network behind load or copy");
    return add_expression(p, &d->values, &d->value_count, call);
}

static bool network(gm_parser *p, gm_ast_declaration *d)
{
    do {
        if (!one_name(p, d, "the name of a network"))
            return false;
    } while (gm_parser_accept(p, ','));
    if (d->name_count == 1 && gm_parser_at(p, '='))
        return taken(p, d);
    return gm_parser_signature(p, &d->signature) && gm_parser_body(p, &d->body, &d->end);
}

static bool function(gm_parser *p, gm_ast_declaration *d)
{
    if (!one_name(p, d, "the name of a function"))
        return false;
    if (gm_parser_at(p, '<') && !gm_parser_attributes(p, &d->attributes, true))
        return false;
    return gm_parser_signature(p, &d->signature) && gm_parser_body(p, &d->body, &d->end);
}

/* [inputs] body */
static bool inputs_and_body(gm_parser *p, gm_ast_declaration *d)
{
    if (gm_parser_at(p, '(')) {
        d->signature.has_inputs = true;
        d->signature.inputs = gm_parser_parameters(p, ')', GM_PARAMETER_DOTTED, &d->signature.input_count);
    }
    return !p->failed && gm_parser_body(p, &d->body, &d->end);
}

static bool step(gm_parser *p, gm_ast_declaration *d)
{
    return one_name(p, d, "the name of a step") && inputs_and_body(p, d);
}

static bool sample(gm_parser *p, gm_ast_declaration *d)
{
    if (!one_name(p, d, "the name of a sample"))
        return false;
    if (gm_parser_accept_word(p, "on") && !(d->on = gm_parser_name(p, "a data set")))
        return false;
    return inputs_and_body(p, d);
}

static bool evaluate(gm_parser *p, gm_ast_declaration *d)
{
    if (!one_name(p, d, "the name of an evaluation"))
        return false;
    if (gm_parser_accept_word(p, "over")) {
        if (!add_expression(p, &d->values, &d->value_count, gm_parser_expression(p)))
            return false;
        if (!gm_parser_accept_word(p, "draw") && !gm_parser_expect_word(p, "draws"))
            return false;
    } else if (gm_parser_accept_word(p, "on") && !(d->on = gm_parser_name(p, "a data set"))) {
        return false;
    }
    return inputs_and_body(p, d);
}

/* --- Train -------------------------------------------------------------------------------------------------------- */

static bool is_epochs(const gm_token *token)
{
    return gm_token_is(token, "epochs") || gm_token_is(token, "epoch");
}

static bool is_iterations(const gm_token *token)
{
    return gm_token_is(token, "iterations") || gm_token_is(token, "iteration");
}

static bool expect_unit(gm_parser *p, bool (*is_unit)(const gm_token *token), const char *what)
{
    if (p->failed || !is_unit(&p->cursor.token))
        return gm_parser_wrong(p, what);
    gm_parser_advance(p);
    return true;
}

static bool entry_names(gm_parser *p, gm_ast_train_entry *entry)
{
    do {
        if (!add_name(p, &entry->names, &entry->name_count, gm_parser_name(p, "a sample, an evaluation or checkpoint")))
            return false;
    } while (gm_parser_accept(p, ','));
    return true;
}

/* Behind `every`: expr ('epochs' | 'iterations') id, ... */
static bool every(gm_parser *p, gm_ast_train_entry *entry)
{
    entry->kind = GM_AST_EVERY;
    entry->count = gm_parser_expression(p);
    entry->iterations = is_iterations(&p->cursor.token);
    return entry->count && expect_unit(p, entry->iterations ? is_iterations : is_epochs, "'epochs' or 'iterations'") &&
           entry_names(p, entry);
}

/* Behind `at`: 'epochs' num, ... id, ... */
static bool at_epochs(gm_parser *p, gm_ast_train_entry *entry)
{
    entry->kind = GM_AST_AT;
    gm_parser_advance(p);
    do {
        gm_ast_expression *epoch = gm_parser_node(p, GM_AST_NUMBER, p->cursor.token.where);
        if (!epoch || !gm_parser_number(p, false, epoch) ||
            !add_expression(p, &entry->epochs, &entry->epoch_count, epoch))
            return false;
    } while (gm_parser_accept(p, ','));
    return entry_names(p, entry);
}

static bool train_entry(gm_parser *p, gm_ast_train_entry *entry)
{
    int next = p->cursor.next.kind;
    bool alone = next == '}' || next == GM_TOKEN_END;
    entry->where = p->cursor.token.where;
    if (gm_parser_at_word(p, "at") && is_epochs(&p->cursor.next) && p->cursor.after.kind == GM_TOKEN_NUMBER) {
        gm_parser_advance(p);
        return at_epochs(p, entry);
    }
    if (!alone && gm_parser_accept_word(p, "every"))
        return every(p, entry);
    entry->kind = GM_AST_RUN;
    if (!alone && gm_parser_accept_word(p, "repeat") && !(entry->count = gm_parser_expression(p)))
        return false;
    return add_name(p, &entry->names, &entry->name_count, gm_parser_name(p, "a step, repeat, every, at or '}'"));
}

static bool train_entries(gm_parser *p, gm_ast_declaration *d)
{
    if (!gm_parser_expect(p, '{', "'{' and the steps"))
        return false;
    while (!p->failed && !gm_parser_at(p, '}')) {
        gm_ast_train_entry entry = {0};
        if (!train_entry(p, &entry))
            return false;
        gm_ast_train_entry *all = gm_parser_push(p, d->entries, &d->entry_count, sizeof *all);
        if (!all)
            return false;
        d->entries = all;
        all[d->entry_count - 1] = entry;
    }
    d->end = p->cursor.token.where;
    return gm_parser_expect(p, '}', "a step or '}'");
}

/* `batch` and `epochs` may be names of sets: then a comma or one of the two words stands behind them. */
static bool at_set(const gm_parser *p)
{
    const gm_token *next = &p->cursor.next, *after = &p->cursor.after;
    bool word = gm_token_is(next, "batch") || gm_token_is(next, "epochs");
    if (!gm_parser_at(p, GM_TOKEN_NAME))
        return false;
    if (!gm_parser_at_word(p, "batch") && !gm_parser_at_word(p, "epochs"))
        return true;
    return next->kind == ',' ||
           (word && after->kind != '{' && !gm_token_is(after, "of") && !gm_token_is(after, "epochs"));
}

static bool train(gm_parser *p, gm_ast_declaration *d)
{
    if (at_set(p)) {
        do {
            if (!add_name(p, &d->sets, &d->set_count, gm_parser_name(p, "a data set")))
                return false;
        } while (gm_parser_accept(p, ','));
    }
    if (gm_parser_accept_word(p, "batch") && !(d->batch = gm_parser_expression(p)))
        return false;
    if (!gm_parser_expect_word(p, "epochs") || !(d->epochs = gm_parser_expression(p)))
        return false;
    if (gm_parser_accept_word(p, "of")) {
        d->iterations = gm_parser_expression(p);
        if (!d->iterations || !expect_unit(p, is_iterations, "'iterations'"))
            return false;
    }
    return train_entries(p, d);
}

/* --- All ---------------------------------------------------------------------------------------------------------- */

typedef struct keyword {
    const char *word;
    gm_ast_declaration_kind kind;
    bool (*parse)(gm_parser *p, gm_ast_declaration *declaration);
} keyword;

static const keyword keywords[] = {
    {"model", GM_AST_MODEL, model},          {"import", GM_AST_IMPORT, import},
    {"const", GM_AST_CONST, constant},       {"optimizer", GM_AST_OPTIMIZER, optimizer},
    {"data", GM_AST_DATA_SET, data},         {"network", GM_AST_NETWORK, network},
    {"function", GM_AST_FUNCTION, function}, {"step", GM_AST_STEP, step},
    {"sample", GM_AST_SAMPLE, sample},       {"evaluate", GM_AST_EVALUATE, evaluate},
    {"train", GM_AST_TRAIN, train},
};

bool gm_parser_at_declaration(const gm_cursor *cursor)
{
    int next = cursor->next.kind;
    if (next != GM_TOKEN_NAME && next != GM_TOKEN_STRING)
        return false;
    for (size_t i = 0; i < GM_COUNT(keywords); i++)
        if (gm_token_is(&cursor->token, keywords[i].word))
            return true;
    return false;
}

bool gm_parser_declaration(gm_parser *p, gm_ast_declaration *declaration)
{
    static const char *const words[] = {"model",    "import", "const",  "optimizer", "data",  "network",
                                        "function", "step",   "sample", "evaluate",  "train", NULL};
    declaration->where = p->cursor.token.where;
    for (size_t i = 0; i < GM_COUNT(keywords); i++) {
        if (!gm_parser_accept_word(p, keywords[i].word))
            continue;
        declaration->kind = keywords[i].kind;
        bool read = keywords[i].parse(p, declaration) && !p->failed;
        if (declaration->end.line == 0)
            declaration->end = p->last;
        return read;
    }
    return gm_parser_wrong_word(p, "a declaration (model, import, const, data, network, function, step, train ...)",
                                words);
}

/* [<header>] name [<attributes>] (inputs) => (outputs) [<types>] { nodes } */
bool gm_parser_onnx_function(gm_parser *p, gm_ast_declaration *d)
{
    d->kind = GM_AST_FUNCTION;
    d->where = p->cursor.token.where;
    if (gm_parser_at(p, '<') && !gm_parser_header(p, &d->header))
        return false;
    for (size_t i = 0; i < d->header.count; i++) {
        const gm_ast_attribute *item = &d->header.items[i];
        if (strcmp(item->name, "overload") == 0 && item->value->kind == GM_AST_STRING)
            d->text = item->value->text;
    }
    if (!one_name(p, d, "the name of a function"))
        return false;
    if (gm_parser_at(p, '<') && !gm_parser_attributes(p, &d->attributes, true))
        return false;
    if (!gm_parser_signature(p, &d->signature))
        return false;
    if (gm_parser_at(p, '<')) {
        d->value_infos = gm_parser_parameters(p, '>', GM_PARAMETER_PLAIN, &d->value_info_count);
        if (!d->value_infos)
            return false;
    }
    return gm_parser_body(p, &d->body, &d->end);
}
