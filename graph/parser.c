/* Entry of the parser: tokens at hand, messages, recovery behind an error, the two kinds of file. */
#include "graph/parser.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>

/* --- Tokens ------------------------------------------------------------------------------------------------------- */

void gm_cursor_advance(gm_cursor *cursor)
{
    cursor->token = cursor->next;
    cursor->next = cursor->after;
    cursor->after = gm_lexer_next(&cursor->lexer);
}

void gm_parser_advance(gm_parser *p)
{
    p->last = p->cursor.token.where;
    gm_cursor_advance(&p->cursor);
}

bool gm_parser_at(const gm_parser *p, int kind)
{
    return p->cursor.token.kind == kind;
}

bool gm_parser_next_is(const gm_parser *p, int kind)
{
    return p->cursor.next.kind == kind;
}

bool gm_parser_at_word(const gm_parser *p, const char *word)
{
    return gm_token_is(&p->cursor.token, word);
}

bool gm_parser_at_name(const gm_parser *p)
{
    return gm_parser_at(p, GM_TOKEN_NAME) || gm_parser_at(p, GM_TOKEN_STRING);
}

bool gm_parser_accept(gm_parser *p, int kind)
{
    if (p->failed || !gm_parser_at(p, kind))
        return false;
    gm_parser_advance(p);
    return true;
}

bool gm_parser_accept_word(gm_parser *p, const char *word)
{
    if (p->failed || !gm_parser_at_word(p, word))
        return false;
    gm_parser_advance(p);
    return true;
}

bool gm_parser_expect(gm_parser *p, int kind, const char *what)
{
    if (gm_parser_accept(p, kind))
        return true;
    return gm_parser_wrong(p, what);
}

bool gm_parser_expect_word(gm_parser *p, const char *word)
{
    char what[64];
    if (gm_parser_accept_word(p, word))
        return true;
    snprintf(what, sizeof what, "'%s'", word);
    return gm_parser_wrong(p, what);
}

/* --- Messages ----------------------------------------------------------------------------------------------------- */

bool gm_parser_error(gm_parser *p, gm_location where, const char *format, ...)
{
    char line[512];
    va_list arguments;
    if (p->failed)
        return false;
    p->failed = true;
    p->errors++;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    gm_diagnose(p->context, where, "%s", line);
    return false;
}

bool gm_parser_wrong(gm_parser *p, const char *what)
{
    char found[128];
    gm_token_describe(&p->cursor.token, found, sizeof found);
    return gm_parser_error(p, p->cursor.token.where, "expected %s, found %s", what, found);
}

bool gm_parser_wrong_word(gm_parser *p, const char *what, const char *const *words)
{
    char found[128], wanted[64];
    gm_spelling spelling;
    const gm_token *token = &p->cursor.token;
    if (token->kind != GM_TOKEN_NAME || token->length >= sizeof wanted)
        return gm_parser_wrong(p, what);
    memcpy(wanted, token->text, token->length);
    wanted[token->length] = '\0';
    gm_spelling_init(&spelling, wanted);
    for (; *words; words++)
        gm_spelling_offer(&spelling, *words);
    if (!spelling.best)
        return gm_parser_wrong(p, what);
    gm_token_describe(token, found, sizeof found);
    return gm_parser_error(p, token->where, "expected %s, found %s; did you mean '%s'?", what, found, spelling.best);
}

bool gm_parser_enter(gm_parser *p)
{
    if (++p->depth <= GM_AST_MAX_DEPTH)
        return true;
    return gm_parser_error(p, p->cursor.token.where, "expected at most %d nested levels, found more", GM_AST_MAX_DEPTH);
}

void gm_parser_leave(gm_parser *p)
{
    p->depth--;
}

/* --- Memory and names --------------------------------------------------------------------------------------------- */

static void *out_of_memory(gm_parser *p)
{
    p->failed = true;
    p->status = GM_ERROR_MEMORY;
    return NULL;
}

void *gm_parser_new(gm_parser *p, size_t bytes)
{
    void *memory = p->status == GM_OK ? gm_pool_alloc(p->pool, bytes) : NULL;
    return memory ? memory : out_of_memory(p);
}

/* The capacity is not kept: it is the power of two at or above the count. */
void *gm_parser_push(gm_parser *p, void *items, size_t *count, size_t item_bytes)
{
    size_t used = *count;
    if (p->status != GM_OK)
        return NULL;
    if ((used & (used - 1)) == 0) { /* 0, 1, 2, 4, ...: full */
        void *larger = gm_pool_array(p->pool, used ? 2 * used : 1, item_bytes);
        if (!larger)
            return out_of_memory(p);
        if (used)
            memcpy(larger, items, used * item_bytes);
        items = larger;
    }
    (*count)++;
    return items;
}

static const char *take(gm_parser *p)
{
    const char *text = gm_token_string(p->pool, &p->cursor.token);
    if (!text)
        return out_of_memory(p);
    gm_parser_advance(p);
    return text;
}

const char *gm_parser_name(gm_parser *p, const char *what)
{
    if (!p->failed && gm_parser_at(p, GM_TOKEN_NAME))
        return take(p);
    gm_parser_wrong(p, what);
    return NULL;
}

const char *gm_parser_quotable(gm_parser *p, const char *what)
{
    if (!p->failed && gm_parser_at_name(p))
        return take(p);
    gm_parser_wrong(p, what);
    return NULL;
}

const char *gm_parser_string(gm_parser *p, const char *what)
{
    if (!p->failed && gm_parser_at(p, GM_TOKEN_STRING))
        return take(p);
    gm_parser_wrong(p, what);
    return NULL;
}

/* --- Files -------------------------------------------------------------------------------------------------------- */

/* Behind an error: goes to the closing brace of the declaration that began at `start`, or to the next line that begins
 * as a declaration does, at the column of this one. */
static void recover(gm_parser *p, const gm_cursor *start)
{
    const char *problem = p->cursor.token.text;
    int line = p->cursor.token.where.line;
    gm_cursor cursor = *start;
    int column = start->token.where.column, braces = 0;
    p->depth = 0;
    p->literals = false;
    for (bool first = true; cursor.token.kind != GM_TOKEN_END; first = false) {
        bool behind = cursor.token.where.line >= line && !first;
        if (behind && cursor.token.first_in_line && cursor.token.where.column <= column &&
            gm_parser_at_declaration(&cursor))
            break;
        if (cursor.token.kind == '{')
            braces++;
        if (cursor.token.kind == '}' && --braces <= 0 && cursor.token.text >= problem) {
            gm_cursor_advance(&cursor);
            /* Not the braces of a tensor in the header. */
            if (cursor.token.kind == GM_TOKEN_END || cursor.token.first_in_line || gm_parser_at_declaration(&cursor))
                break;
            continue;
        }
        gm_cursor_advance(&cursor);
    }
    p->cursor = cursor;
    p->failed = p->status != GM_OK;
}

static bool go_on(const gm_parser *p)
{
    return p->status == GM_OK && p->errors < GM_MAX_DIAGNOSTICS && !gm_parser_at(p, GM_TOKEN_END);
}

static void parse_declarations(gm_parser *p, gm_ast_file *file)
{
    while (go_on(p)) {
        gm_cursor start = p->cursor;
        gm_ast_declaration declaration = {0};
        bool read = gm_parser_declaration(p, &declaration);
        if (!read)
            recover(p, &start);
        if (p->status != GM_OK || !read)
            continue;
        gm_ast_declaration *all = gm_parser_push(p, file->declarations, &file->declaration_count, sizeof *all);
        if (!all)
            return;
        file->declarations = all;
        all[file->declaration_count - 1] = declaration;
    }
}

/* [<header>] graph function*; ends at the first error, for such a text was not written by hand. */
static void parse_onnx(gm_parser *p, gm_ast_file *file)
{
    gm_ast_onnx *onnx = gm_parser_new(p, sizeof *onnx);
    if (!onnx)
        return;
    p->onnx = true;
    file->onnx = onnx;
    if (gm_parser_at(p, '<') && !gm_parser_header(p, &onnx->header))
        return;
    onnx->graph = gm_parser_graph(p);
    while (onnx->graph && go_on(p)) {
        gm_ast_declaration function = {0};
        if (!gm_parser_onnx_function(p, &function))
            return;
        gm_ast_declaration *all = gm_parser_push(p, onnx->functions, &onnx->function_count, sizeof *all);
        if (!all)
            return;
        onnx->functions = all;
        all[onnx->function_count - 1] = function;
    }
}

/* A graph's name is followed by its inputs, a declaration's keyword never. */
static bool is_onnx(const gm_parser *p)
{
    return gm_parser_at(p, '<') ||
           (gm_parser_at_name(p) && (gm_parser_next_is(p, '(') || gm_parser_next_is(p, GM_TOKEN_ARROW)));
}

gm_status gm_parse(gm_pool *pool, const char *text, size_t bytes, const char *name, gm_ast_file **file_out)
{
    gm_parser parser = {.pool = pool, .context = gm_pool_context(pool)};
    gm_parser *p = &parser;
    if (bytes > INT32_MAX)
        return gm_fail(p->context, GM_ERROR_MODEL, "%s: expected a text of less than 2 GiB, found %zu bytes", name,
                       bytes);
    gm_ast_file *file = gm_parser_new(p, sizeof *file);
    if (!file || !(file->name = gm_pool_string(pool, name)))
        return GM_ERROR_MEMORY;
    gm_lexer_init(&p->cursor.lexer, text, bytes, file->name);
    for (int i = 0; i < 3; i++)
        gm_cursor_advance(&p->cursor);
    /* Numbers have a point in every country. */
    locale_t plain = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    locale_t before = plain ? uselocale(plain) : (locale_t)0;
    if (is_onnx(p))
        parse_onnx(p, file);
    else
        parse_declarations(p, file);
    if (plain) {
        uselocale(before);
        freelocale(plain);
    }
    GM_TRY(p->status);
    *file_out = file;
    return p->errors ? GM_ERROR_MODEL : GM_OK;
}
