/* Tokens of a .gmodel text. No reserved words: a word is a name, and the parser decides by its place. */
#ifndef GM_GRAPH_LEXER_H
#define GM_GRAPH_LEXER_H

#include "graph/base.h"

/* Punctuation is its own character: '(' is the kind of "(". */
typedef enum gm_token_kind {
    GM_TOKEN_END = 0,
    GM_TOKEN_NAME = 256,
    GM_TOKEN_NUMBER,
    GM_TOKEN_STRING,   /* the text includes the quotes */
    GM_TOKEN_ARROW,    /* => */
    GM_TOKEN_ELLIPSIS, /* ... */
    GM_TOKEN_WRONG     /* a byte or a literal that cannot be read; `problem` says why */
} gm_token_kind;

typedef struct gm_token {
    int kind;
    const char *text; /* in the source, not terminated */
    size_t length;
    gm_location where;
    bool first_in_line;
    const char *problem;
} gm_token;

/* A position in a text; a copy of it is a bookmark to come back to. */
typedef struct gm_lexer {
    const char *at, *end, *line_start;
    const char *file;
    int line;
} gm_lexer;

void gm_lexer_init(gm_lexer *lexer, const char *text, size_t bytes, const char *file);
/* After the end of the text every further token is GM_TOKEN_END. */
gm_token gm_lexer_next(gm_lexer *lexer);

bool gm_token_is(const gm_token *token, const char *word); /* a NAME that reads `word` */
/* The value of a STRING (a backslash stands for the byte behind it, as in ONNX), the text of any other token; NULL: no
 * memory. */
char *gm_token_string(gm_pool *pool, const gm_token *token);
/* "name 'h0'", "'}'", "end of file" for messages; returns `buffer`. */
const char *gm_token_describe(const gm_token *token, char *buffer, size_t bytes);

#endif
