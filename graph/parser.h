/* What the files of the parser share: graph/parser.c (entry, recovery), parser_declaration.c, parser_statement.c,
 * parser_expression.c, parser_type.c (types, tensors, graphs). A parser that has failed goes on returning NULL or false
 * until the declaration is left; gm_parser_wrong then only counts once. */
#ifndef GM_GRAPH_PARSER_H
#define GM_GRAPH_PARSER_H

#include "graph/ast.h"
#include "graph/lexer.h"

/* The current token and two ahead; a copy is a bookmark. */
typedef struct gm_cursor {
    gm_lexer lexer;
    gm_token token, next, after;
} gm_cursor;

typedef struct gm_parser {
    gm_pool *pool;
    gm_context *context;
    gm_cursor cursor;
    gm_location last; /* of the token before the current one */
    int depth;        /* recursion, at most GM_AST_MAX_DEPTH */
    int errors;
    bool failed;      /* in this declaration */
    bool onnx;        /* plain ONNX text: nodes only */
    bool literals;    /* `inf` and `nan` are numbers here */
    gm_status status; /* GM_ERROR_MEMORY ends everything */
} gm_parser;

/* --- graph/parser.c ----------------------------------------------------------------------------------------------- */
void gm_parser_advance(gm_parser *p);
void gm_cursor_advance(gm_cursor *cursor);
bool gm_parser_at(const gm_parser *p, int kind);
bool gm_parser_next_is(const gm_parser *p, int kind);
bool gm_parser_at_word(const gm_parser *p, const char *word);
/* A NAME or a STRING, which may stand for a name. */
bool gm_parser_at_name(const gm_parser *p);
bool gm_parser_accept(gm_parser *p, int kind);
bool gm_parser_accept_word(gm_parser *p, const char *word);
bool gm_parser_expect(gm_parser *p, int kind, const char *what);
bool gm_parser_expect_word(gm_parser *p, const char *word);
/* "expected WHAT, found TOKEN" at the current token; always false. */
bool gm_parser_wrong(gm_parser *p, const char *what);
/* The same with the nearest of `words` (NULL-terminated) added. */
bool gm_parser_wrong_word(gm_parser *p, const char *what, const char *const *words);
/* An error in free words at a place; always false. */
bool gm_parser_error(gm_parser *p, gm_location where, const char *format, ...) GM_PRINTF(3, 4);
bool gm_parser_enter(gm_parser *p); /* one level deeper; false: too deep. Always followed by gm_parser_leave */
void gm_parser_leave(gm_parser *p);
void *gm_parser_new(gm_parser *p, size_t bytes);
/* Makes room for one more zeroed item behind *count and counts it; returns the array, perhaps moved, or NULL. */
void *gm_parser_push(gm_parser *p, void *items, size_t *count, size_t item_bytes);
const char *gm_parser_name(gm_parser *p, const char *what);     /* NAME */
const char *gm_parser_quotable(gm_parser *p, const char *what); /* NAME or STRING */
const char *gm_parser_string(gm_parser *p, const char *what);   /* STRING */

/* --- graph/parser_expression.c ------------------------------------------------------------------------------------ */
gm_ast_expression *gm_parser_expression(gm_parser *p);
gm_ast_expression *gm_parser_value(gm_parser *p);    /* of an attribute */
gm_ast_expression *gm_parser_constant(gm_parser *p); /* an expression in which inf and nan are numbers */
gm_ast_expression *gm_parser_list(gm_parser *p);
gm_ast_expression *gm_parser_initializer(gm_parser *p); /* behind ~ : path [attributes] [arguments] */
gm_ast_expression *gm_parser_data(gm_parser *p);        /* { numbers and strings } */
gm_ast_expression *gm_parser_node(gm_parser *p, gm_ast_expression_kind kind, gm_location where);
bool gm_parser_raise(gm_parser *p, gm_ast_expression *node); /* sets the height from the children */
/* declaring: a bare name declares an attribute (function headers), else it is a positional value. */
bool gm_parser_attributes(gm_parser *p, gm_ast_attributes *attributes, bool declaring);
bool gm_parser_header(gm_parser *p, gm_ast_attributes *attributes); /* <name: value, ...> of ONNX text */
bool gm_parser_path(gm_parser *p, gm_ast_path *path);
/* A number token with an optional sign before it, or inf and nan. */
bool gm_parser_number(gm_parser *p, bool negative, gm_ast_expression *node);
bool gm_parser_at_literal_name(const gm_parser *p); /* inf, infinity, nan in any case */

/* --- graph/parser_type.c ------------------------------------------------------------------------------------------ */
bool gm_parser_at_type(const gm_parser *p);  /* a type, followed by what may follow a type in a value */
bool gm_parser_at_typed(const gm_parser *p); /* a type, followed by a name */
gm_ast_type *gm_parser_type(gm_parser *p);
gm_ast_expression *gm_parser_tensor(gm_parser *p, gm_ast_type *type); /* {1, 2} or ["location": "file"] behind a type */
/* ( type name, ... ): initializers where ONNX has them; dotted names in the inputs of steps. */
typedef enum gm_parameter_style {
    GM_PARAMETER_PLAIN,
    GM_PARAMETER_INITIALIZED,
    GM_PARAMETER_DOTTED
} gm_parameter_style;
gm_ast_parameter *gm_parser_parameters(gm_parser *p, int close, gm_parameter_style style, size_t *count_out);
bool gm_parser_signature(gm_parser *p, gm_ast_signature *signature);
bool gm_parser_at_graph(const gm_parser *p);
gm_ast_graph *gm_parser_graph(gm_parser *p);

/* --- graph/parser_statement.c ------------------------------------------------------------------------------------- */
bool gm_parser_body(gm_parser *p, gm_ast_body *body, gm_location *end_out);
int gm_parser_body_height(const gm_ast_body *body);

/* --- graph/parser_declaration.c ----------------------------------------------------------------------------------- */
/* True if a declaration may begin here: its keyword, and behind it what follows one. */
bool gm_parser_at_declaration(const gm_cursor *cursor);
bool gm_parser_declaration(gm_parser *p, gm_ast_declaration *declaration);
bool gm_parser_onnx_function(gm_parser *p, gm_ast_declaration *declaration);

#endif
