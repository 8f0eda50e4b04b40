/* The graph: values and nodes in arrays, indices instead of pointers, one pool per graph.
 *
 * Values are in SSA form: each is an input, a constant, a state entry (parameter, buffer, optimizer slot) or one output
 * of one node. Nodes stand in an order in which every value is defined before its use. Shapes may be symbolic.
 *
 * Building is sticky: the first failure is kept in graph->status, after which every gm_emit returns 0 and does nothing,
 * so that rules can be written as plain expressions and checked once at the end. Value 0 is "no value" (an omitted optional
 * input). */
#ifndef GM_GRAPH_IR_H
#define GM_GRAPH_IR_H

#include "graph/dim.h"
#include "graph/tensor.h"

typedef uint32_t gm_value_id; /* 0: none */
typedef struct gm_graph gm_graph;
typedef struct gm_operator gm_operator;

typedef enum gm_value_kind {
    GM_VALUE_NONE,
    GM_VALUE_INPUT,
    GM_VALUE_CONSTANT,
    GM_VALUE_STATE,
    GM_VALUE_NODE
} gm_value_kind;

/* Numbered as in ONNX (AttributeProto.AttributeType). */
typedef enum gm_attribute_kind {
    GM_ATTRIBUTE_FLOAT = 1,
    GM_ATTRIBUTE_INT = 2,
    GM_ATTRIBUTE_STRING = 3,
    GM_ATTRIBUTE_TENSOR = 4,
    GM_ATTRIBUTE_GRAPH = 5,
    GM_ATTRIBUTE_FLOATS = 6,
    GM_ATTRIBUTE_INTS = 7,
    GM_ATTRIBUTE_STRINGS = 8
} gm_attribute_kind;

typedef struct gm_attribute {
    const char *name;
    gm_attribute_kind kind;
    int64_t i;          /* INT */
    double f;           /* FLOAT */
    const char *s;      /* STRING */
    const gm_tensor *t; /* TENSOR */
    const gm_graph *g;  /* GRAPH */
    size_t count;       /* FLOATS, INTS, STRINGS */
    const double *floats;
    /* `shape` of RandomNormal, RandomUniform (and kin): each is a gm_dim, maybe symbolic; gm_graph_bind
       fills in the numbers */
    const int64_t *ints;
    const char *const *strings;
} gm_attribute;

gm_attribute gm_attribute_int(const char *name, int64_t value);
gm_attribute gm_attribute_float(const char *name, double value);
gm_attribute gm_attribute_string(const char *name, const char *value);
gm_attribute gm_attribute_ints(const char *name, const int64_t *values, size_t count);
gm_attribute gm_attribute_tensor(const char *name, const gm_tensor *value);

typedef struct gm_value {
    const char *name; /* unique in the graph, for people */
    gm_value_kind kind;
    gm_type type;
    int rank;
    gm_dim dims[GM_MAX_RANK];
    uint32_t node;             /* NODE: index of the producer */
    uint32_t output;           /* NODE: which of its outputs */
    uint32_t state;            /* STATE: index into the program's state table; INPUT: index into graph->inputs */
    const gm_tensor *constant; /* CONSTANT */
    /* Integer vectors and scalars whose elements are known, maybe symbolically (results of Shape, constants): `content`
     * has one gm_dim per element. NULL: unknown. */
    const gm_dim *content;
    size_t content_count;
} gm_value;

typedef struct gm_node {
    const gm_operator *op;
    /* Place of the statement through the calls: "critic/real/discriminator.h1.Dropout". Names random draws, tells errors
     * and profiles where a node came from. */
    const char *path;
    gm_location where;
    gm_value_id *inputs, *outputs; /* 0: left out */
    size_t input_count, output_count;
    const gm_attribute *attributes;
    size_t attribute_count;
    const gm_graph *body; /* gmodel.Fused: the nodes of the group; NULL otherwise */
    bool dead;            /* set by rewrites; gm_graph_compact removes it */
} gm_node;

typedef struct gm_graph_input {
    const char *name; /* as the caller feeds it: an input's name or a draw's path */
    gm_value_id value;
    bool is_draw;
} gm_graph_input;

typedef struct gm_graph_output {
    const char *name;
    gm_value_id value;
} gm_graph_output;

/* After all nodes have run, state entry `state` receives `value`, in the order of the list. */
typedef struct gm_assign {
    uint32_t state;
    gm_value_id value;
} gm_assign;

struct gm_graph {
    gm_context *context;
    gm_pool *pool;
    gm_symbols *symbols; /* shared by the graphs of one program */
    const char *name;
    gm_status status; /* sticky */

    gm_value *values; /* values[0] is unused */
    size_t value_count, value_capacity;
    gm_node *nodes;
    size_t node_count, node_capacity;
    gm_graph_input *inputs;
    size_t input_count, input_capacity;
    gm_graph_output *outputs;
    size_t output_count, output_capacity;
    gm_assign *assigns;
    size_t assign_count, assign_capacity;

    /* Given to nodes that gm_emit makes; set by whoever builds. */
    const char *path;
    gm_location where;
    bool training; /* mode that nodes with no training_mode of their own follow */
    /* Not NULL: a node whose inputs are all constants is computed as it is added, while that takes no more than these bytes,
     * which are counted down. */
    size_t *eager;
};

/* symbols may be NULL: a table of its own. The graph lives in `pool`. NULL: no memory. */
gm_graph *gm_graph_create(gm_pool *pool, gm_symbols *symbols, const char *name);

/* --- Values ---------------------------------------------------------------------------------------------------------- */
static inline gm_value *gm_value_of(const gm_graph *graph, gm_value_id id)
{
    return &graph->values[id];
}
gm_value_id gm_graph_add_input(gm_graph *graph, const char *name, gm_type type, int rank, const gm_dim *dims,
                               bool is_draw);
/* The one value that stands for a state entry in this graph (made at first use). */
gm_value_id gm_graph_state(gm_graph *graph, uint32_t state, const char *name, gm_type type, int rank,
                           const gm_dim *dims);
/* the tensor is not copied: same or longer life */
gm_value_id gm_graph_constant(gm_graph *graph, const gm_tensor *tensor);
void gm_graph_add_output(gm_graph *graph, const char *name, gm_value_id value);
void gm_graph_add_assign(gm_graph *graph, uint32_t state, gm_value_id value);

gm_value_id gm_const_scalar(gm_graph *graph, gm_type type, double value);
gm_value_id gm_const_ints(gm_graph *graph, const int64_t *values, size_t count); /* int64[count] */
/* The tensor behind a constant value, or NULL. */
const gm_tensor *gm_constant_of(const gm_graph *graph, gm_value_id id);
/* The number of a constant of one element; false: it is none. */
bool gm_constant_number(const gm_graph *graph, gm_value_id id, double *number_out);
/* The node that makes a value, or NULL. */
const gm_node *gm_producer_of(const gm_graph *graph, gm_value_id id);
/* The same, or NULL where it is not of the operator of this name. */
const gm_node *gm_made_by(const gm_graph *graph, gm_value_id id, const char *op);
/* How often nodes read a value, and outputs and assigns of the graph. */
size_t gm_use_count(const gm_graph *graph, gm_value_id id);
bool gm_shape_is_known(const gm_value *value); /* no dim is symbolic */
bool gm_same_type_and_shape(const gm_value *a, const gm_value *b);
/* The (maybe symbolic) elements of an integer value of rank 0 or 1; false when they are not known. */
bool gm_content_of(const gm_graph *graph, gm_value_id id, const gm_dim **content_out, size_t *count_out);

/* --- Nodes ----------------------------------------------------------------------------------------------------------- */
/* Appends a node, checks arity and attributes, infers types and shapes; an operator that is defined by others
 * (operator.expand) is replaced by them at once. `domain_and_name`: "Conv", "gmodel.ConvWeightGrad".
 * inputs may hold 0. Attribute and input arrays are copied. Fills output_count ids into outputs (0 entries for outputs the
 * node does not have). All zero after a failure. */
void gm_emit_many(gm_graph *graph, const char *domain_and_name, const gm_value_id *inputs, size_t input_count,
                  const gm_attribute *attributes, size_t attribute_count, gm_value_id *outputs, size_t output_count);
/* The same by operator; returns graph->status. */
gm_status gm_graph_add_node(gm_graph *graph, const gm_operator *op, const gm_value_id *inputs, size_t input_count,
                            const gm_attribute *attributes, size_t attribute_count, gm_value_id *outputs,
                            size_t output_count);
/* The same with one output, and up to three inputs without attributes. */
gm_value_id gm_emit(gm_graph *graph, const char *name, const gm_value_id *inputs, size_t input_count,
                    const gm_attribute *attributes, size_t attribute_count);
gm_value_id gm_emit1(gm_graph *graph, const char *name, gm_value_id a);
gm_value_id gm_emit2(gm_graph *graph, const char *name, gm_value_id a, gm_value_id b);
gm_value_id gm_emit3(gm_graph *graph, const char *name, gm_value_id a, gm_value_id b, gm_value_id c);
/* With one attribute. */
gm_value_id gm_emit1_with(gm_graph *graph, const char *name, gm_value_id a, gm_attribute attribute);
gm_value_id gm_emit2_with(gm_graph *graph, const char *name, gm_value_id a, gm_value_id b, gm_attribute attribute);

/* Attribute of a node, or the operator's default; fallback when neither is there. */
const gm_attribute *gm_node_attribute(const gm_node *node, const char *name); /* NULL: not given and no default */
int64_t gm_node_int(const gm_node *node, const char *name, int64_t fallback);
double gm_node_float(const gm_node *node, const char *name, double fallback);
const char *gm_node_string(const gm_node *node, const char *name, const char *fallback);
/* Returns the count (0 when absent) and the values. */
size_t gm_node_ints(const gm_node *node, const char *name, const int64_t **values_out);
bool gm_same_attributes(const gm_node *a, const gm_node *b); /* the same ones given, in the same order */

/* Fails the graph with "file:line:column: node 'path' (Op): text". Returns the status. */
gm_status gm_node_fail(gm_graph *graph, const gm_node *node, const char *format, ...) GM_PRINTF(3, 4);
gm_status gm_graph_fail(gm_graph *graph, gm_status status, const char *format, ...) GM_PRINTF(3, 4);

/* --- Passes (graph/rewrite.c, graph/bind.c, graph/print.c) ------------------------------------------------------------ */
/* Deep copy into another pool, with symbols replaced and shapes inferred anew; Shape of a known shape becomes a constant.
 * With `fed` (paths of random draws, count) those draws become inputs of the same name. *map_out (may be NULL) tells for
 * each old value its new one (0: dropped). NULL: failed, see the context. */
gm_graph *gm_graph_bind(const gm_graph *graph, gm_pool *pool, const gm_binding *bindings, size_t binding_count,
                        const char *const *fed, size_t fed_count, gm_value_id **map_out);
gm_status gm_graph_fold(gm_graph *graph);        /* constant folding by reference kernels, x * 1, x + 0, ... */
gm_status gm_graph_merge(gm_graph *graph);       /* common subexpressions; never random draws or buffer writes */
gm_status gm_graph_remove_dead(gm_graph *graph); /* what no output and no assign needs */
/* Batch normalization of inference into the layer before it (graph/fold_norm.c); parameters must be constants. */
gm_status gm_graph_fold_normalization(gm_graph *graph);
gm_status gm_graph_simplify(gm_graph *graph); /* fold, merge, remove_dead until nothing changes */
/* Gradients of several losses that pass through the same operators, from one number per example each, become one pass and
 * multiplications by these numbers, where that saves a heavy node (graph/merge_backward.c). The graph is simplified; without
 * known shapes nothing is done. Other results than before, within rounding. */
gm_status gm_graph_merge_backward(gm_graph *graph);
/* Matrix products over one term become broadcasting elementwise products (graph/outer_product.c); shapes must be known. */
gm_status gm_graph_spread_outer_products(gm_graph *graph);
/* Updates of tables whose gradient is made of gathered rows only become updates of those rows (graph/sparse.c); shapes
 * must be known. `keep` (one per state entry, may be NULL): true leaves it as it is. */
gm_status gm_graph_sparsify(gm_graph *graph, const bool *keep);
/* gradients of a rectifier before Dropout take the sign of what Dropout kept (graph/share_signs.c) */
gm_status gm_graph_share_signs(gm_graph *graph);
/* gradients of a rectifier behind batch normalization are taken inside its gradient (graph/gate_norm.c) */
gm_status gm_graph_gate_normalization(gm_graph *graph);
/* elementwise chains become gmodel.Fused nodes; shapes must be known */
gm_status gm_graph_fuse(gm_graph *graph);
void gm_graph_replace(gm_graph *graph, gm_value_id old_value, gm_value_id new_value); /* in all uses */
gm_status gm_graph_compact(gm_graph *graph);                                          /* removes dead nodes */
gm_status gm_graph_sort(gm_graph *graph); /* restores definition-before-use order, stable */
void gm_graph_print(const gm_graph *graph, gm_text *text);

/* d sum(y[k] * seed[k]) / d wrt[i] for all i in one backward walk; seeds may be 0 (ones). grads_out[i] is 0 where y does
 * not depend on wrt[i]. Fails (GM_ERROR_MODEL) naming the node when an operator on the way has no gradient. */
gm_status gm_autodiff(gm_graph *graph, const gm_value_id *y, const gm_value_id *seeds, size_t y_count,
                      const gm_value_id *wrt, size_t wrt_count, gm_value_id *grads_out);

#endif
