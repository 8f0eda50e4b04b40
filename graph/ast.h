/* Syntax tree of a .gmodel text: what graph/parser.c makes, graph/printer.c prints and graph/elaborate*.c gives meaning.
 * All nodes live in the pool of the file. Lists are arrays with counts. See docs/language.md for the grammar. */
#ifndef GM_GRAPH_AST_H
#define GM_GRAPH_AST_H

#include "graph/tensor.h"

#define GM_AST_MAX_DEPTH 256

typedef struct gm_ast_expression gm_ast_expression;
typedef struct gm_ast_statement gm_ast_statement;
typedef struct gm_ast_graph gm_ast_graph;

/* --- Types and dimensions ---------------------------------------------------------------------------------------------- */
typedef enum gm_ast_dim_kind {
    GM_AST_DIM_UNKNOWN,  /* ? */
    GM_AST_DIM_ELLIPSIS, /* ... */
    GM_AST_DIM_EXPRESSION /* number, const, attribute, symbol, arithmetic; a quoted symbol is a GM_AST_STRING expression */
} gm_ast_dim_kind;

typedef struct gm_ast_dim {
    gm_ast_dim_kind kind;
    gm_ast_expression *expression;
    gm_location where;
} gm_ast_dim;

typedef struct gm_ast_type {
    gm_type type; /* GM_TYPE_UNDEFINED: no type written, as in `=> (y)` */
    /* false: `float` alone, a scalar in a param or a data field; any in a signature that says float[] */
    bool has_shape;
    bool any_shape; /* `float[]` */
    gm_ast_dim *dims;
    size_t dim_count;
    /* "seq", "map", "optional", "sparse_tensor": ONNX types kept as text in `text`; NULL for tensors */
    const char *constructor;
    const char *text;
    gm_location where;
} gm_ast_type;

typedef struct gm_ast_parameter { /* of a signature: `float[N, latent] z`, or just `z` */
    gm_ast_type *type;            /* NULL: not written */
    const char *name;
    gm_ast_expression *default_value; /* ONNX graph inputs `float x = {1}`: initializer; NULL */
    gm_location where;
} gm_ast_parameter;

/* --- Attributes -------------------------------------------------------------------------------------------------------- */
typedef struct gm_ast_attribute {
    const char *name;         /* NULL: positional */
    const char *type;         /* written attribute type (`alpha: float = 1`), or NULL */
    gm_ast_expression *value; /* NULL: declared without default (function headers) */
    gm_location where;
} gm_ast_attribute;

typedef struct gm_ast_attributes {
    gm_ast_attribute *items;
    size_t count;
    bool written; /* `<` `>` stood there, maybe empty */
} gm_ast_attributes;

/* --- Expressions ------------------------------------------------------------------------------------------------------- */
typedef enum gm_ast_expression_kind {
    GM_AST_NUMBER,    /* text as written, `is_float`, `number` (double) and `integer` */
    GM_AST_STRING,    /* "..." : unescaped bytes in `text` */
    GM_AST_PATH,      /* name, or name.name.name; quoted parts allowed: `parts` */
    GM_AST_LIST,      /* [a, b, c]: items; ["k": v, ...]: items k, v, ... and text is ":" */
    GM_AST_CALL,      /* path [:overload] <attributes> (arguments): also `load("f")` and `copy(x)` */
    GM_AST_NEGATE,    /* items[0] */
    GM_AST_BINARY,    /* op is one of + - * / ^; items[0], items[1] */
    GM_AST_REFERENCE, /* @name: attribute of the enclosing ONNX function; text = name */
    /* float[3] {1, 2, 3}: type, tensor, name in parts[0] if written; external data: text is set, items
       are key, value, ...; strings and types that gm_type lacks: items */
    GM_AST_TENSOR,
    GM_AST_TYPE,  /* a bare type as an attribute value: type */
    GM_AST_GRAPH, /* an attribute that is a graph */
    GM_AST_DATA   /* {1, 2, 3} behind `param W : float[3] =`: items are numbers/strings */
} gm_ast_expression_kind;

struct gm_ast_expression {
    gm_ast_expression_kind kind;
    gm_location where;
    int height; /* 1 for a leaf; at most GM_AST_MAX_DEPTH, so that recursion over a tree is safe */
    const char *text;
    bool is_float;
    double number;
    int64_t integer;
    char op;
    const char **parts; /* PATH and CALL */
    size_t part_count;
    const char *overload;
    gm_ast_attributes attributes;
    bool attributes_behind; /* `Op (x) <a = 1>`: order kept for the printer */
    bool has_arguments;     /* CALL written with ( ) */
    gm_ast_expression **items;
    /* LIST, CALL arguments ("" is an omitted argument: STRING with empty text), NEGATE, BINARY, DATA */
    size_t item_count;
    gm_tensor *tensor;
    gm_ast_type *type;
    gm_ast_graph *graph;
};

/* --- Statements -------------------------------------------------------------------------------------------------------- */
typedef enum gm_ast_statement_kind {
    GM_AST_ASSIGN, /* [label] outputs = value */
    GM_AST_PARAM,  /* param name : type ~ call | = value, when condition */
    GM_AST_BUFFER,
    GM_AST_MINIMIZE, /* minimize value over paths except excepts with optimizer <attributes> */
    GM_AST_UPDATE,   /* update paths[0] = value */
    GM_AST_REPORT,   /* items: [name =] expr [as path] */
    GM_AST_WRITE,
    GM_AST_MEAN,
    GM_AST_RESULT
} gm_ast_statement_kind;

typedef struct gm_ast_path {
    const char **parts;
    size_t part_count;
    gm_location where;
} gm_ast_path;

typedef struct gm_ast_item { /* of report, write, mean, result */
    const char *name;        /* NULL: the expression's own name */
    gm_ast_expression *value;
    gm_ast_path *as; /* `as png`, `as words.name`; NULL */
    gm_location where;
} gm_ast_item;

struct gm_ast_statement {
    gm_ast_statement_kind kind;
    gm_location where;
    const char *label;    /* [label], or NULL */
    const char **outputs; /* ASSIGN: names, "" for a skipped one; PARAM, BUFFER: outputs[0] is the name */
    size_t output_count;
    /* ASSIGN in ONNX text: `float[N] y = ...`: per output, NULL entries where not written; may be NULL */
    gm_ast_type **output_types;
    gm_ast_expression *value;
    gm_ast_type *type;              /* PARAM, BUFFER */
    gm_ast_expression *initializer; /* PARAM, BUFFER: call or bare path behind ~; NULL when `=` (then in value) */
    gm_ast_expression *condition;   /* when; NULL */
    gm_ast_path *paths;             /* MINIMIZE over, UPDATE target */
    size_t path_count;
    gm_ast_path *excepts;
    size_t except_count;
    const char *optimizer; /* behind with */
    gm_ast_attributes attributes;
    gm_ast_item *items;
    size_t item_count;
};

typedef struct gm_ast_body {
    gm_ast_statement *statements;
    size_t count;
} gm_ast_body;

typedef struct gm_ast_signature {
    gm_ast_parameter *inputs;
    size_t input_count;
    gm_ast_parameter *outputs;
    size_t output_count;
    bool has_inputs; /* `( )` written (steps may leave it out) */
} gm_ast_signature;

/* An ONNX graph `name (inputs) => (outputs) <initializers, value infos> { nodes }`. */
struct gm_ast_graph {
    const char *name;
    gm_ast_signature signature;
    gm_ast_parameter *values; /* of the <...> list: type, name, default_value */
    size_t value_count;
    gm_ast_body body;
    gm_location where;
};

/* --- Declarations ------------------------------------------------------------------------------------------------------ */
typedef enum gm_ast_declaration_kind {
    GM_AST_MODEL,
    GM_AST_IMPORT,
    GM_AST_CONST,
    GM_AST_OPTIMIZER,
    GM_AST_DATA_SET,
    GM_AST_NETWORK,
    GM_AST_FUNCTION,
    GM_AST_STEP,
    GM_AST_SAMPLE,
    GM_AST_EVALUATE,
    GM_AST_TRAIN
} gm_ast_declaration_kind;

typedef struct gm_ast_field { /* of a data declaration */
    const char *name;
    gm_ast_type *type;
    gm_ast_expression *range; /* list behind `in`, or NULL */
    gm_location where;
} gm_ast_field;

typedef enum gm_ast_entry_kind { GM_AST_RUN, GM_AST_EVERY, GM_AST_AT } gm_ast_entry_kind;
typedef struct gm_ast_train_entry {
    gm_ast_entry_kind kind;
    gm_ast_expression *count;   /* RUN: behind repeat, NULL for 1; EVERY: n */
    bool iterations;            /* EVERY n iterations */
    gm_ast_expression **epochs; /* AT */
    size_t epoch_count;
    const char **names; /* RUN: one */
    size_t name_count;
    gm_location where;
} gm_ast_train_entry;

typedef struct gm_ast_declaration {
    gm_ast_declaration_kind kind;
    gm_location where, end; /* end: the closing brace, for messages */
    bool onnx;              /* NETWORK, FUNCTION: made of plain ONNX, whose rules its body follows (elaborate_onnx.c) */
    const char **names;     /* networks of one body have several; CONST too, with items */
    size_t name_count;
    gm_ast_attributes attributes;  /* MODEL, OPTIMIZER, DATA_SET, FUNCTION: what it is called with */
    gm_ast_attributes header;      /* FUNCTION of an ONNX text: domain, opset_import, overload ... before its name */
    gm_ast_parameter *value_infos; /* FUNCTION of an ONNX text: the types of the <...> list */
    size_t value_info_count;
    const char *text; /* IMPORT: file; OPTIMIZER, DATA_SET: what is named behind `=` */
    /* CONST: per name; NETWORK `= load(...)`/`= copy(...)`: one call; EVALUATE over: one */
    gm_ast_expression **values;
    size_t value_count;
    gm_ast_signature signature;
    gm_ast_body body;
    gm_ast_field *fields; /* DATA_SET */
    size_t field_count;
    const char *on;    /* SAMPLE, EVALUATE: set, or NULL */
    const char **sets; /* TRAIN */
    size_t set_count;
    gm_ast_expression *batch, *epochs, *iterations; /* TRAIN */
    gm_ast_train_entry *entries;
    size_t entry_count;
} gm_ast_declaration;

/* An ONNX text: '<' header '>' graph function*. */
typedef struct gm_ast_onnx {
    gm_ast_attributes header; /* ir_version, opset_import (list of "domain": version as STRING, NUMBER pairs), ... */
    gm_ast_graph *graph;
    gm_ast_declaration *functions; /* kind FUNCTION: domain and opset_import in header, overload in text */
    size_t function_count;
    bool external; /* the elements of some tensors lay in other files */
} gm_ast_onnx;

typedef struct gm_ast_file {
    const char *name;
    gm_ast_declaration *declarations;
    size_t declaration_count;
    gm_ast_onnx *onnx; /* set for ONNX text; then no declarations */
} gm_ast_file;

/* Parses `text` (not kept, except through copies in the pool). Syntax errors are added with gm_diagnose to those gathered
 * since the caller's last gm_clear_message; the parser goes on at the closing brace of the declaration. GM_ERROR_MODEL when there was any; *file_out is then still set to what could be
 * read. Nesting is limited (256), so that no text can exhaust the stack. */
gm_status gm_parse(gm_pool *pool, const char *text, size_t bytes, const char *name, gm_ast_file **file_out);

/* Prints a tree in canonical form; parsing the result gives an equal tree. */
void gm_ast_print(const gm_ast_file *file, gm_text *text);

#endif
