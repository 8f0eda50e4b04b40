/* Splits a .gmodel text into tokens. Comments run from # or // to the end of the line. */
#include "graph/lexer.h"

#include <stdio.h>
#include <string.h>

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

void gm_lexer_init(gm_lexer *lexer, const char *text, size_t bytes, const char *file)
{
    if (bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) { /* byte order mark */
        text += 3;
        bytes -= 3;
    }
    *lexer = (gm_lexer){text, text + bytes, text, file, 1};
}

static void new_line(gm_lexer *lexer)
{
    lexer->line++;
    lexer->line_start = lexer->at;
}

/* Returns true if a line began in between. */
static bool skip_blanks(gm_lexer *lexer)
{
    bool first = lexer->at == lexer->line_start;
    while (lexer->at < lexer->end) {
        char c = *lexer->at;
        if (c == '\n') {
            lexer->at++;
            new_line(lexer);
            first = true;
        } else if (c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f') {
            lexer->at++;
        } else if (c == '#' || (c == '/' && lexer->end - lexer->at > 1 && lexer->at[1] == '/')) {
            const char *stop = memchr(lexer->at, '\n', (size_t)(lexer->end - lexer->at));
            lexer->at = stop ? stop : lexer->end;
        } else {
            break;
        }
    }
    return first;
}

/* digits [. digits] [e [+-] digits] */
static void read_number(gm_lexer *lexer, gm_token *token)
{
    const char *at = lexer->at, *end = lexer->end;
    while (at < end && is_digit(*at))
        at++;
    if (at < end && *at == '.' && !(at + 1 < end && at[1] == '.')) {
        at++;
        while (at < end && is_digit(*at))
            at++;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        const char *exponent = at + 1;
        if (exponent < end && (*exponent == '+' || *exponent == '-'))
            exponent++;
        if (exponent < end && is_digit(*exponent)) {
            while (exponent < end && is_digit(*exponent))
                exponent++;
            at = exponent;
        }
    }
    token->kind = GM_TOKEN_NUMBER;
    if (at < end && is_letter(*at)) {
        while (at < end && (is_letter(*at) || is_digit(*at)))
            at++;
        token->kind = GM_TOKEN_WRONG;
        token->problem = "a number with letters in it";
    }
    lexer->at = at;
}

static void read_string(gm_lexer *lexer, gm_token *token)
{
    gm_lexer start = *lexer;
    bool zero = false;
    lexer->at++;
    while (lexer->at < lexer->end && *lexer->at != '"') {
        if (*lexer->at == '\\' && lexer->end - lexer->at > 1)
            lexer->at++;
        char c = *lexer->at++;
        zero = zero || c == '\0';
        if (c == '\n')
            new_line(lexer);
    }
    if (lexer->at < lexer->end) {
        lexer->at++;
        token->kind = zero ? GM_TOKEN_WRONG : GM_TOKEN_STRING;
        token->problem = zero ? "a string with a zero byte in it" : NULL;
        return;
    }
    /* The rest of the line, so that the reader can go on behind it. */
    *lexer = start;
    const char *stop = memchr(lexer->at, '\n', (size_t)(lexer->end - lexer->at));
    lexer->at = stop ? stop : lexer->end;
    token->kind = GM_TOKEN_WRONG;
    token->problem = "a string without closing quote";
}

gm_token gm_lexer_next(gm_lexer *lexer)
{
    gm_token token = {0};
    token.first_in_line = skip_blanks(lexer);
    token.text = lexer->at;
    token.where = (gm_location){lexer->file, lexer->line, (int)(lexer->at - lexer->line_start) + 1};
    if (lexer->at == lexer->end)
        return token;
    const char *start = lexer->at;
    size_t left = (size_t)(lexer->end - start);
    if (is_letter(*start)) {
        while (lexer->at < lexer->end && (is_letter(*lexer->at) || is_digit(*lexer->at)))
            lexer->at++;
        token.kind = GM_TOKEN_NAME;
    } else if (is_digit(*start)) {
        read_number(lexer, &token);
    } else if (*start == '"') {
        read_string(lexer, &token);
    } else if (left >= 2 && memcmp(start, "=>", 2) == 0) {
        token.kind = GM_TOKEN_ARROW;
        lexer->at += 2;
    } else if (left >= 3 && memcmp(start, "...", 3) == 0) {
        token.kind = GM_TOKEN_ELLIPSIS;
        lexer->at += 3;
    } else {
        bool known = *start != '\0' && strchr("()[]{}<>=,:.~@?+-*/^", *start);
        token.kind = known ? *start : GM_TOKEN_WRONG;
        token.problem = known ? NULL : "a byte that has no meaning here";
        lexer->at++;
    }
    token.length = (size_t)(lexer->at - start);
    return token;
}

bool gm_token_is(const gm_token *token, const char *word)
{
    return token->kind == GM_TOKEN_NAME && token->length == strlen(word) &&
           memcmp(token->text, word, token->length) == 0;
}

char *gm_token_string(gm_pool *pool, const gm_token *token)
{
    if (token->kind != GM_TOKEN_STRING)
        return gm_pool_substring(pool, token->text, token->length);
    char *text = gm_pool_substring(pool, token->text + 1, token->length - 2);
    if (!text || !memchr(text, '\\', token->length - 2))
        return text;
    char *out = text;
    for (const char *in = text; *in; in++) {
        if (*in == '\\' && in[1])
            in++;
        *out++ = *in;
    }
    *out = '\0';
    return text;
}

const char *gm_token_describe(const gm_token *token, char *buffer, size_t bytes)
{
    int shown = token->length > 40 ? 40 : (int)token->length;
    const char *more = token->length > 40 ? "..." : "";
    const char *line_end = memchr(token->text, '\n', (size_t)shown);
    if (line_end) {
        shown = (int)(line_end - token->text);
        more = "...";
    }
    switch (token->kind) {
    case GM_TOKEN_END:
        snprintf(buffer, bytes, "the end of the file");
        break;
    case GM_TOKEN_NAME:
    case GM_TOKEN_NUMBER:
        snprintf(buffer, bytes, "'%.*s%s'", shown, token->text, more);
        break;
    case GM_TOKEN_STRING:
        snprintf(buffer, bytes, "the string %.*s%s", shown, token->text, more);
        break;
    case GM_TOKEN_WRONG:
        if (token->length == 1 && ((unsigned char)*token->text < 32 || (unsigned char)*token->text > 126))
            snprintf(buffer, bytes, "%s (0x%02x)", token->problem, (unsigned char)*token->text);
        else if (token->length == 1)
            snprintf(buffer, bytes, "%s (%c)", token->problem, *token->text);
        else if (*token->text == '"')
            snprintf(buffer, bytes, "%s", token->problem);
        else
            snprintf(buffer, bytes, "%s (%.*s%s)", token->problem, shown, token->text, more);
        break;
    default:
        snprintf(buffer, bytes, "'%.*s'", shown, token->text);
        break;
    }
    return buffer;
}
