/* Elaboration: gives the syntax tree meaning. Bodies are interpreted straight into a gm_graph: a call to a network or a
 * function is evaluated in place, so each node is inferred as it is made and every error has a place in the text.
 *
 *   elaborate.c              the file: consts, data, networks, steps, samples, train blocks
 *   elaborate_import.c       the files that a text names
 *   elaborate_load.c         networks made by load and copy
 *   elaborate_data.c         data sets, the inputs that they feed
 *   elaborate_value.c        literals, conversion to tensors and attributes, diagnostics
 *   elaborate_expression.c   expressions
 *   elaborate_operator.c     operator calls
 *   elaborate_control.c      If, Loop, Scan
 *   elaborate_onnx.c         plain ONNX models as declarations of the language
 *   elaborate_call.c         headers, calls of networks and functions, bodies
 *   elaborate_state.c        parameters, buffers, initializers
 *   elaborate_step.c         minimize, update, report, write
 *   elaborate_evaluation.c   evaluate: mean, result
 *   elaborate_optimizer.c    optimizer nodes and their slots
 */
#ifndef GM_GRAPH_ELABORATE_H
#define GM_GRAPH_ELABORATE_H

#include "graph/ast.h"
#include "graph/operator.h"
#include "graph/program.h"

#define EL_MAX_CALL_DEPTH 64
/* What loops, nested doubling and sizes could blow up must stay in proportion to the file: calls and nodes of one model, and
 * bytes of constants that are computed at load. */
#define EL_WORK           20000
#define EL_WORK_PER_BYTE  0.125
#define EL_EAGER_BYTES    ((size_t)24 << 20)
#define EL_EAGER_PER_BYTE 4

/* --- Values ------------------------------------------------------------------------------------------------------------ */
typedef enum el_kind {
    EL_FAILED, /* its definition failed and was reported: silent from here on */
    EL_ABSENT, /* an omitted optional input: "" or a `param ... when` that is not there */
    EL_NUMBER, /* a literal or const without a type yet */
    EL_DIM,    /* a symbolic size, such as N */
    EL_STRING,
    EL_LIST,
    EL_TYPE,
    EL_TENSOR, /* a value of the current graph */
    EL_STATE   /* a parameter or buffer: stands for its current version in the graph */
} el_kind;

typedef struct el_value el_value;
struct el_value {
    el_kind kind;
    bool is_float;   /* NUMBER: written with a point, or not a whole number */
    double number;   /* NUMBER */
    int64_t integer; /* NUMBER without is_float */
    gm_dim dim;      /* DIM */
    const char *text;
    el_value *items; /* LIST */
    size_t count;
    gm_type type;
    gm_value_id id;
    uint32_t state;
};

typedef struct el_name {
    const char *name;
    el_value value;
    gm_location where;
} el_name;

typedef struct el_names {
    el_name *items;
    size_t count, capacity;
} el_names;

/* --- Callables and bodies ---------------------------------------------------------------------------------------------- */
/* A loaded file: a name space of its own. */
typedef struct el_module {
    const gm_ast_file *file;
    el_names consts;
    int64_t opset;                        /* that its text is written for */
    const char *prefix;                   /* of its names in the program: "FILE:" */
    const struct gm_container *container; /* its tensors; NULL: the program's own checkpoint has them */
} el_module;

typedef struct el_callable {
    const char *name;
    const gm_ast_declaration *declaration;
    bool prelude;
    el_module *home;         /* where it is known by its name; NULL: the model's file (or the prelude) */
    el_module *scope;        /* where the names of its body are looked up; NULL: the model's file */
    const char *root;        /* made by load: what the network is called in its file; NULL: not loaded */
    const char *buffer_root; /* made by load: where its buffers are in its file */
    const char *original;    /* made by copy: of this network of the model; NULL: no copy */
    bool failed;             /* an error in it was reported: calls are silent */
    bool running;            /* being evaluated: a second entry is a cycle */
    bool *calls;             /* NETWORK: per callable, called networks (filled when it is elaborated alone) */
} el_callable;

typedef struct el_count {
    const char *name;
    int count;
} el_count;

/* One body being evaluated. */
typedef struct el_frame {
    const struct el_frame *parent;
    const struct el_frame *outer; /* of a graph within a node: the body around it, whose names it sees; NULL */
    const gm_ast_declaration *declaration;
    el_callable *callable;   /* NULL: step or sample */
    bool prelude;            /* sees no consts of the file */
    el_module *scope;        /* whose consts and callables it sees; NULL: the file's */
    const el_callable *made; /* the network made by load or copy in which it is evaluated; NULL: none */
    el_names names;
    el_names sizes; /* dimensions that inputs bound; a value of the same name hides one in expressions */
    bool has_ellipsis;
    int ellipsis_rank;
    gm_dim ellipsis[GM_MAX_RANK];
    const char *path;    /* of nodes: "critic/real/discriminator" */
    const char *owner;   /* of parameters: "discriminator", "generator.h0.Dense"; NULL: none may be made here */
    const char *network; /* that owns them */
    const char *statement_path, *statement_owner;
    el_names statements; /* names so far: parameters and draws are called after them */
    el_count *callees;   /* of the current statement, to number repeated ones */
    size_t callee_count, callee_capacity;
    bool training;
} el_frame;

/* --- Steps ------------------------------------------------------------------------------------------------------------- */
struct el_optimizer; /* a line of the table in elaborate_optimizer.c */

/* What stands behind `with`. */
typedef struct el_optimizer_use {
    const struct el_optimizer *optimizer;
    const gm_ast_attributes *attributes;
    const char *shared; /* name of the declared optimizer whose state is shared, NULL for one's own */
    gm_location where;
} el_optimizer_use;

typedef struct el_minimize {
    const gm_ast_statement *statement;
    el_optimizer_use use;
    gm_value_id loss, rate;
    gm_value_id
        hypers[6]; /* values of attributes that change from run to run, in the order of the optimizer's table; 0 */
    const char *path;
    uint32_t *parameters; /* those with a gradient */
    gm_value_id *gradients;
    size_t count;
} el_minimize;

typedef struct el_step {
    const char *name;
    bool *used; /* per state: read by the forward graph */
    size_t used_count;
    gm_location where;
} el_step;

typedef struct elaborator {
    gm_context *context;
    gm_pool *pool;
    gm_program *program;
    const gm_program_options *options;
    const gm_ast_file *file; /* imports merged */
    const char *main_path;   /* of the model, for messages */
    /* While a loaded file is read: its sources, or NULL, and what names of its files begin with. */
    const struct gm_container *container;
    const char *prefix;
    gm_status fatal;         /* no memory, or too much work: everything stops */
    bool incomplete;         /* an `import` was refused: unknown names are silent */
    int errors, unsupported; /* diagnostics so far; how many of them name something that this library does not do */

    el_callable *callables;
    size_t callable_count, callable_capacity;
    el_names consts;
    el_names columns; /* report names of the file */
    el_step *steps;
    size_t step_count, step_capacity;
    bool *reached; /* per state: a minimize or an update writes it */
    size_t reached_capacity;

    /* The graph being built. */
    gm_graph *graph;
    const gm_ast_declaration *entry; /* whose body it is */
    bool broken;                     /* an error was reported: it is not differentiated */
    bool writes_buffers;
    gm_value_id *current; /* per state: its newest value in this graph, 0: not read yet */
    bool *written;        /* per state: assigned at the end of the step */
    size_t current_capacity, written_capacity;
    el_frame *frame;
    bool whole_sizes;      /* in shapes, lists and attributes N / 2 must be a size; elsewhere it is a real number */
    gm_location call_site; /* of the call into the prelude, where its errors are shown */
    bool call_site_told;   /* the first of them was: the others follow from it */
    int depth;
    int64_t work, most_work;
    size_t eager_bytes; /* left */
    /* Statements of the step that are carried out at its end. */
    el_minimize *minimizes;
    size_t minimize_count, minimize_capacity;
    const gm_ast_statement **updates;
    size_t update_count, update_capacity;
    gm_write *writes;
    size_t write_count, write_capacity;
    struct el_evaluation *evaluation;     /* the one being elaborated; NULL outside */
    int keyword_count[GM_AST_RESULT + 1]; /* statements of each kind so far: "minimize_2" */
    /* While an `update` runs: its target, the entry at hand, and what stands behind the target in the entry's path ("" or
     * ".h0.Dense.W"; NULL outside), which is looked for behind the names of other networks too. */
    const char *update_target, *update_suffix;
    uint32_t update_state;
} elaborator;

extern const el_value el_failed;

/* --- elaborate_value.c ------------------------------------------------------------------------------------------------- */
/* Reports one diagnostic; returns the failed value. */
el_value el_error(elaborator *e, gm_location where, const char *format, ...) GM_PRINTF(3, 4);
el_value el_unsupported(elaborator *e, gm_location where, const char *format, ...) GM_PRINTF(3, 4);
el_value el_out_of_memory(elaborator *e);
/* Moves an error of the graph into the diagnostics. True when there was one. */
bool el_take_graph_error(elaborator *e);
gm_location el_place(const elaborator *e, gm_location where);
/* ", did you mean 'x'?" or "". */
const char *el_hint(elaborator *e, const gm_spelling *spelling);

el_value el_integer(int64_t value);
el_value el_real(double value);
el_value el_size(gm_dim dim);
el_value el_tensor(gm_value_id id);
el_value el_string(const char *text);
bool el_is_constant(el_value value); /* number, size, string, list of them, type */
const char *el_describe(elaborator *e, el_value value, char *buffer, size_t bytes);
/* A whole size for every batch: false where there is none; nothing is reported. */
bool el_size_arithmetic(elaborator *e, char op, el_value a, el_value b, el_value *result_out);
el_value el_arithmetic(elaborator *e, char op, el_value a, el_value b, gm_location where);
/* The whole number behind a constant; reports otherwise. `what` as in "the batch". */
bool el_to_integer(elaborator *e, el_value value, gm_location where, const char *what, int64_t *out);
bool el_to_number(elaborator *e, el_value value, gm_location where, const char *what, double *out);
bool el_to_size(elaborator *e, el_value value, gm_location where, const char *what, gm_dim *out);
/* A value of the graph; literals become constants of `type` (GM_TYPE_UNDEFINED: int64, or float with a point). 0: failed or
 * absent. */
gm_value_id el_to_tensor(elaborator *e, el_value value, gm_type type, gm_location where);
/* Fills an attribute from a constant; kind 0 takes the kind that the value suggests. */
bool el_to_attribute(elaborator *e, const char *name, int kind, el_value value, gm_location where, gm_attribute *out);

el_name *el_find(const el_names *names, const char *name);
bool el_define(elaborator *e, el_names *names, const char *name, el_value value, gm_location where);
void el_offer_names(const el_names *names, gm_spelling *spelling);
/* Grows an array of the elaborator and zeroes the new part. */
bool el_grow(elaborator *e, void **items, size_t *capacity, size_t needed, size_t item_bytes);
const char *el_join(elaborator *e, const char *const *parts, size_t count); /* "a.b.c"; NULL: no memory */

/* --- elaborate_expression.c -------------------------------------------------------------------------------------------- */
el_value el_evaluate(elaborator *e, const gm_ast_expression *expression);
el_value el_evaluate_attribute(elaborator *e,
                               const gm_ast_expression *expression); /* strings and types are constants */
/* Up to `wanted` outputs of a call; returns how many there are (0: failed, all are then failed). */
size_t el_evaluate_many(elaborator *e, const gm_ast_expression *expression, el_value *outputs, size_t wanted);
/* Path of the next callee of that name in the statement: separator '.' or '/'; numbered when it repeats. */
const char *el_callee_path(elaborator *e, const char *name, char separator, const char **owner_out);
/* Where the nodes made next come from. */
void el_place_node(elaborator *e, gm_location where, const char *path);
bool el_has_room(elaborator *e, gm_location where); /* false: the model is too large, which was reported */
gm_value_id el_emit(elaborator *e, const char *name, gm_location where, const gm_value_id *inputs, size_t count);

/* --- elaborate_operator.c --------------------------------------------------------------------------------------------- */
bool el_is_literal(el_value value);
bool el_has_point(el_value value); /* a number, or one in the list, is written with a point */
size_t el_operator_call(elaborator *e, const gm_operator *op, const gm_ast_expression *call, el_value *values,
                        el_value *outputs, size_t wanted);

/* --- elaborate_onnx.c --------------------------------------------------------------------------------------------------- */
/* The declarations that a plain ONNX model stands for: `model`, the graph as a network, its functions. With `weights`
 * parameters carry their tensors, else 0 (for a text). NULL: reported. */
gm_ast_file *el_onnx_file(elaborator *e, const gm_ast_file *file, bool weights);
/* What a function of a plain ONNX model is called among the callables: "domain.name:overload". */
const char *el_onnx_name(elaborator *e, const char *domain, const char *name, const char *overload);
/* The version of the operators of a domain that the body at hand was written for. */
int64_t el_opset(const elaborator *e, const char *domain);
/* Is the body at hand one of plain ONNX? */
static inline bool el_in_onnx(const elaborator *e)
{
    return e->frame && e->frame->declaration && e->frame->declaration->onnx;
}

/* --- elaborate_control.c ------------------------------------------------------------------------------------------------- */
/* If, Loop, Scan and ONNX's Gradient are carried out here: their graphs become part of the one around them. False: not one of them. */
bool el_control_call(elaborator *e, const char *name, const gm_ast_expression *call, el_value *outputs, size_t wanted,
                     size_t *count_out);

/* --- elaborate_call.c -------------------------------------------------------------------------------------------------- */
el_callable *el_callable_find(const elaborator *e, const char *name);
void el_offer_callables(const elaborator *e, gm_spelling *spelling);
size_t el_call(elaborator *e, el_callable *callable, const gm_ast_expression *call, el_value *outputs, size_t wanted);
/* Dimensions written in a type, all of which must be known here (consts, attributes, bound symbols). */
bool el_type_dims(elaborator *e, const gm_ast_type *type, int *rank_out, gm_dim *dims_out);
/* Makes graph inputs of a header and defines their names. */
bool el_header_inputs(elaborator *e, const gm_ast_signature *signature);
/* Holds the type of a header or statement against a value; binds new symbols when `bind`. `what`: "input x of f". */
bool el_match_type(elaborator *e, const gm_ast_type *type, gm_value_id id, bool bind, gm_location where,
                   const char *what);
bool el_begin_statement(elaborator *e, const char *name, gm_location where);
void el_assign_statement(elaborator *e, const gm_ast_statement *statement);
void el_body(elaborator *e, const gm_ast_body *body);
/* A network alone, in one mode. NULL: failed. */
gm_graph *el_network_graph(elaborator *e, el_callable *callable, bool training);
void el_graph_begin(elaborator *e, gm_graph *graph, const gm_ast_declaration *entry);

/* --- elaborate_state.c ------------------------------------------------------------------------------------------------- */
void el_param_statement(elaborator *e, const gm_ast_statement *statement);
gm_value_id el_state_value(elaborator *e, uint32_t state);
void el_state_assign(elaborator *e, uint32_t state,
                     gm_value_id value); /* a new version, written at the end of the step */
/* Adds an entry, or finds the one of that path. -1: no memory. */
int64_t el_state_add(elaborator *e, const gm_state_entry *entry);

/* --- elaborate_import.c ------------------------------------------------------------------------------------------------- */
/* Paths are seen from the model's folder. All report at `where` and return false (NULL) on failure. */
bool el_read_file(elaborator *e, const char *path, gm_location where, const char **data_out, size_t *bytes_out);
bool el_decode(elaborator *e, const char *path, const char *data, size_t bytes, gm_location where,
               struct gm_container **container_out);
/* What a file says of itself is told at `where`, beside the errors found so far, which are `before`. */
void el_tell_failure(elaborator *e, const gm_report *before, gm_status status, gm_location where);
const char *el_source_name(elaborator *e, const char *path); /* under which a file is kept; NULL: no memory */
bool el_add_source(elaborator *e, const char *path, const char *text, size_t bytes);
gm_ast_file *el_parse(elaborator *e, const char *path, const char *text, size_t bytes);
/* The file with the declarations of what it imports. path: of the file. NULL: no memory. */
gm_ast_file *el_with_imports(elaborator *e, gm_ast_file *file, const char *path);

/* --- elaborate_load.c ---------------------------------------------------------------------------------------------------- */
/* Fills the callable of `network NAME = load(FILE, NETWORK)` or `= copy(NETWORK)`, or marks it as failed. */
void el_make_network(elaborator *e, size_t callable);
/* In a copied network: a buffer becomes the original's, a parameter gets its twin. */
bool el_adopt_state(elaborator *e, gm_state_entry *entry);
/* In a loaded network: the first value is the file's. path: of the entry before it was adopted. */
bool el_load_state(elaborator *e, const char *path, gm_state_entry *entry);
/* Whether a network was made by load or copy, or is called by one that was loaded. */
bool el_is_made(const elaborator *e, const char *network);

/* --- elaborate.c ----------------------------------------------------------------------------------------------------------- */
/* Adds the networks and functions of a file; home: NULL for the model's own and the prelude. */
void el_add_callables(elaborator *e, const gm_ast_file *file, bool prelude, el_module *home);
/* Evaluates its consts into e->consts; settings are looked up behind e->prefix. */
void el_take_consts(elaborator *e, const gm_ast_file *file);
/* The consts that the present frame sees. */
const el_names *el_consts(const elaborator *e);

/* --- elaborate_data.c -------------------------------------------------------------------------------------------------- */
void el_data_declaration(elaborator *e, const gm_ast_declaration *declaration);
/* words.count, points.centre: a small whole or real number is one, anything else a constant of the graph. */
el_value el_table_value(elaborator *e, const char *set, const char *table, gm_location where);
/* The tensor behind it. NULL: reported. */
const gm_tensor *el_table(elaborator *e, const char *set, const char *table, gm_location where);
bool el_is_data_set(const elaborator *e, const char *name);
/* Holds the inputs of a step or sample against the fields of the sets that feed it. */
void el_check_inputs(elaborator *e, gm_entry_kind kind, const char *name, const char *const *sets, size_t set_count,
                     gm_location where);

/* --- elaborate_step.c -------------------------------------------------------------------------------------------------- */
bool el_step_entry(elaborator *e, const gm_ast_declaration *declaration, gm_entry *entry); /* steps and samples */
void el_keyword_statement(elaborator *e, const gm_ast_statement *statement);
/* What an item of report, write, mean or result is called: its own name, else the name that it shows. NULL: reported. */
const char *el_item_name(elaborator *e, const gm_ast_item *item, const char *word);
/* An item is called by its name: "picture"; where a statement has that name already, "write.picture". */
bool el_begin_item(elaborator *e, const gm_ast_item *item, const char *name, const char *word);
/* N is the batch in every step and evaluation, with data or without. */
bool el_define_batch(elaborator *e, gm_location where);

/* --- elaborate_evaluation.c --------------------------------------------------------------------------------------------- */
bool el_evaluation_entry(elaborator *e, const gm_ast_declaration *declaration, gm_entry *entry);
void el_mean_item(elaborator *e, const gm_ast_item *item);
void el_result_item(elaborator *e, const gm_ast_item *item);

/* --- elaborate_optimizer.c --------------------------------------------------------------------------------------------- */
/* Finds what `with` names, an optimizer or one that the file declares; false: reported. */
bool el_optimizer_find(elaborator *e, const gm_ast_statement *statement, el_optimizer_use *use_out);
/* The rate as a float scalar of the graph, and the other attributes that are no constants, evaluated in the frame of the
 * step. */
void el_optimizer_values(elaborator *e, el_minimize *minimize);
/* Adds the node of one minimize with its slots and its counter. `step` and `network` name them. */
bool el_optimizer_emit(elaborator *e, const el_minimize *minimize, const char *step, const char *network);
bool el_optimizer_declaration(elaborator *e, const gm_ast_declaration *declaration);

#endif
