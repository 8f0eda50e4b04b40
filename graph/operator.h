/* What an operator is: schema, shape inference, gradient, reference kernel, lowering. One constant of this type per
 * operator stands in a file of ops/, and one line in ops/ops.def lists it. See ops/TEMPLATE.c. */
#ifndef GM_GRAPH_OPERATOR_H
#define GM_GRAPH_OPERATOR_H

#include "graph/ir.h"

typedef struct gm_attribute_schema {
    const char *name;
    gm_attribute_kind kind;
    enum { GM_OPTIONAL, GM_REQUIRED, GM_DEFAULT } presence;
    /* GM_DEFAULT: the value of an INT (i), FLOAT (f) or STRING (s) that is not given. */
    int64_t i;
    double f;
    const char *s;
} gm_attribute_schema;

/* Sets of element types, for checks and for the table that `gmrun ops` prints. */
#define GM_TYPES(type)    (1u << (type))
#define GM_TYPES_FLOATING (GM_TYPES(GM_FLOAT) | GM_TYPES(GM_DOUBLE) | GM_TYPES(GM_FLOAT16) | GM_TYPES(GM_BFLOAT16))
#define GM_TYPES_INTEGER                                                                                               \
    (GM_TYPES(GM_UINT8) | GM_TYPES(GM_INT8) | GM_TYPES(GM_UINT16) | GM_TYPES(GM_INT16) | GM_TYPES(GM_INT32) |          \
     GM_TYPES(GM_INT64) | GM_TYPES(GM_UINT32) | GM_TYPES(GM_UINT64))
#define GM_TYPES_NUMERIC (GM_TYPES_FLOATING | GM_TYPES_INTEGER)
#define GM_TYPES_ALL     (GM_TYPES_NUMERIC | GM_TYPES(GM_BOOL) | GM_TYPES(GM_STRING))

enum {
    GM_OP_ELEMENTWISE = 1, /* output element i depends on element i of each (broadcast) input: may join a fused group */
    /* draws numbers: never merged, never folded. The integers of a `shape` attribute of such a node
       are gm_dims (symbolic ones too): binding a graph binds them */
    GM_OP_RANDOM = 2,
    GM_OP_UPDATE = 4,   /* optimizer: output k overwrites the state behind an input (see update_inputs) */
    GM_OP_VARIADIC = 8, /* the last declared input repeats */
    GM_OP_ROWS = 16,    /* with GM_OP_UPDATE: overwrites rows of its states, which must be plain */
    GM_OP_VIEW = 64,    /* the result is the memory of the first input, read as another shape: that must be plain */
    GM_OP_HEAVY = 32 /* takes far more steps than it has inputs and outputs: constants are folded where it is small */
};

/* --- Older operator sets ---------------------------------------------------------------------------------------------- */
/* One difference of the operator as sets below `before` had it. The rows of an operator end with one whose `before` is 0. */
typedef struct gm_older {
    int before;
    enum {
        GM_OLDER_IGNORED,  /* the attribute says nothing that still matters */
        GM_OLDER_INPUT,    /* the attribute is an input now: number or list, of `type` (UNDEFINED: that of input 0) */
        GM_OLDER_DEFAULT,  /* where the attribute is left out, it is the INT i */
        GM_OLDER_ATTRIBUTE /* one that only `upgrade` reads */
    } what;
    const char *attribute;
    size_t input;
    gm_type type;
    int64_t i;
} gm_older;

/* A node of an older set on its way: `upgrade` turns it into the present form, or emits what stands for it. */
typedef struct gm_older_node {
    gm_graph *graph;
    const gm_operator *op;
    int64_t opset;
    gm_value_id *inputs; /* room for 8 more */
    size_t input_count;
    gm_attribute *attributes; /* room for 4 more; those of the rows above are still there, and go afterwards */
    size_t attribute_count;
    gm_value_id *outputs;
    size_t output_count;
    bool done; /* set: `outputs` are filled */
} gm_older_node;

/* --- Gradient --------------------------------------------------------------------------------------------------------- */
typedef struct gm_gradient {
    gm_graph *graph;
    /* inputs and outputs are usable as values. Copied: stays valid while nodes are added */
    const gm_node *node;
    const gm_value_id *dy; /* per output: gradient of the loss by it, 0 where none arrives */
    const bool *wanted;    /* per input: is its gradient needed? */
    gm_value_id *dx;       /* per input: set by the rule; 0: none */
} gm_gradient;

/* --- Reference kernel ------------------------------------------------------------------------------------------------- */
typedef struct gm_compute {
    gm_context *context;
    const gm_node *node;
    const gm_tensor *in;  /* per input; data == NULL for an omitted one */
    const gm_tensor *out; /* per output; data == NULL for one nobody wants. Allocated, shaped, not zeroed */
    uint64_t key;         /* random draws: seed XOR hash64(path), see ops/philox.h */
    uint64_t run;         /* random draws: how often this step has run. See gm_draw_key in ops/philox.h for both */
    int64_t row, batch;   /* random draws: the examples row ... row + batch - 1 of many; see gm_draw_first there */
} gm_compute;

struct gm_lower; /* ops/kernel.h */

struct gm_operator {
    const char *domain; /* "" for ONNX's own, "gmodel", "ai.onnx.preview.training" */
    const char *name;
    int since;          /* the operator-set version whose semantics this entry has */
    const char *inputs; /* names for messages, '?' marks optional: "X W B?" */
    const char *outputs;
    unsigned types; /* allowed types of the first input (first output where there is none) */
    unsigned flags;
    const gm_attribute_schema *attributes;
    size_t attribute_count;
    const gm_older *older; /* how nodes of older sets differ; NULL: in nothing */
    /* What the rows cannot say; called for a node of a set below `since`, behind them. gm_graph_fail refuses. */
    gm_status (*upgrade)(gm_older_node *node);

    /* Sets type and shape of every output: gm_set_output. */
    gm_status (*infer)(gm_graph *graph, gm_node *node);
    /* Fills dx for wanted inputs by emitting nodes. NULL: not differentiable, unless `zero_gradient`. */
    gm_status (*gradient)(gm_gradient *gradient);
    bool zero_gradient; /* the derivative is zero wherever it exists (Floor, comparisons, Shape): cuts silently */
    /* Defined by other operators: emits them and fills outputs, which stand for the node's from then on; leaves outputs[0]
     * 0 to decline. Called by gm_emit after infer; the node then needs neither gradient nor kernels. */
    gm_status (*expand)(gm_graph *graph, const gm_node *node, gm_value_id *outputs);
    /* Plain C on dense row-major tensors of any allowed type; float64 arithmetic for floating types. Also folds constants. */
    gm_status (*reference)(const gm_compute *compute);
    /* Fast path for float32: see ops/kernel.h. NULL: the reference kernel serves. Leaves lower->kernel.run NULL to decline. */
    gm_status (*lower)(struct gm_lower *lower);
    /* Names of the ways in which `lower` can do it, without spaces, ended by NULL: gm_lower.formulation counts in them, and
     * 0 is no way of its own but the operator's choice, "default". NULL: there is one way only. */
    const char *const *formulations;
    /* GM_OP_UPDATE: for each output the index of the input whose state it overwrites. -1 ends the use of the table. */
    const int *update_inputs;
    /* The same for operators of any number of parameters; asked first where it is given. -1: none. */
    int (*update_input)(const gm_node *node, size_t output);
    /* GM_OP_UPDATE: the operator that updates only the rows of one table which the step gathered (graph/sparse.c), and
     * whether this node may leave the others: it does nothing for a zero gradient. NULL: there is none. */
    const char *row_update;
    bool (*is_idle)(const gm_node *node);
    /* GM_OP_ELEMENTWISE: the instruction of the tile machine, see ops/tile.h; 0: none (cannot be fused). */
    int tile_instruction;
};

/* All operators, from ops.def (ops/registry.c). */
const gm_operator *gm_operator_find(const char *domain, const char *name); /* NULL: unknown. "" and "ai.onnx" are one */
const gm_operator *gm_operator_find_name(const char *name);                /* "Conv", "gmodel.ConvWeightGrad" */
size_t gm_operator_count(void);
const gm_operator *gm_operator_at(size_t index);
/* Inputs: least and most (SIZE_MAX when variadic); outputs likewise, from the name lists. */
void gm_operator_arity(const gm_operator *op, size_t *min_in, size_t *max_in, size_t *min_out, size_t *max_out);

/* May the node be a member of a gmodel.Fused group? Elementwise, one output, float and bool only, shapes known
 * (graph/fuse.c). */
bool gm_node_fusible(const gm_graph *graph, const gm_node *node);

/* --- Helpers for upgrade ---------------------------------------------------------------------------------------------- */
gm_attribute *gm_older_attribute(const gm_older_node *node, const char *name); /* NULL: not given */
void gm_older_set(gm_older_node *node, gm_attribute attribute);                /* replaces one of the same name */

/* --- Helpers for infer ------------------------------------------------------------------------------------------------ */
void gm_set_output(gm_graph *graph, gm_node *node, size_t output, gm_type type, int rank, const gm_dim *dims);
void gm_set_output_like(gm_graph *graph, gm_node *node, size_t output, gm_value_id value);
/* NumPy broadcasting of all inputs given; fails naming both shapes. */
gm_status gm_infer_broadcast(gm_graph *graph, gm_node *node, const gm_value_id *inputs, size_t count, int *rank_out,
                             gm_dim *dims_out);
gm_status gm_infer_same_type(gm_graph *graph, gm_node *node);   /* all inputs have the first one's type */
gm_status gm_infer_unary(gm_graph *graph, gm_node *node);       /* output like input 0 */
gm_status gm_infer_elementwise(gm_graph *graph, gm_node *node); /* one type, broadcast shape */
/* Normalizes an axis in [-rank, rank) or fails. */
gm_status gm_infer_axis(gm_graph *graph, gm_node *node, int64_t axis, int rank, int *axis_out);
/* The constant behind an input on whose values the shape of the result depends; NULL: fails, saying so. */
const gm_tensor *gm_infer_known(gm_graph *graph, gm_node *node, size_t input);
const char *gm_shape_text(const gm_graph *graph, gm_value_id value, char *buffer, size_t bytes); /* "float[N, 784]" */

/* --- Helpers for gradient --------------------------------------------------------------------------------------------- */
/* Sums `dy` down to the shape of `like`, undoing broadcasting; emits nothing when the shapes are equal. */
gm_value_id gm_sum_to_like(gm_graph *graph, gm_value_id dy, gm_value_id like);
gm_value_id gm_expand_like(gm_graph *graph, gm_value_id x, gm_value_id like);
gm_value_id gm_zeros_like(gm_graph *graph, gm_value_id like);
gm_value_id gm_ones_like(gm_graph *graph, gm_value_id like);
gm_value_id gm_shape_of(gm_graph *graph, gm_value_id value); /* int64[rank]; a constant where known */
/* Number of elements of `value` along axes (all when count == 0), as a scalar of value's type. */
gm_value_id gm_count_along(gm_graph *graph, gm_value_id value, const int64_t *axes, size_t count);
gm_value_id gm_scalar_like(gm_graph *graph, gm_value_id like, double value); /* constant scalar of like's type */

#endif
