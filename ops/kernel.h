/* How a node becomes an instruction: layouts, lowering, kernels.
 *
 * The planner walks a bound graph (all shapes known) in order. For each node it fills a gm_lower with the layouts in which
 * the inputs are at hand, calls the operator's `lower`, inserts reorders where the wanted layout differs, and places
 * outputs and scratch in the arena. Where `lower` is missing or declines, the reference kernel runs on plain layouts. */
#ifndef GM_OPS_KERNEL_H
#define GM_OPS_KERNEL_H

#include "graph/operator.h"

/* The memory layout of one value.
 *
 * `block` describes activations [N, C, spatial...]: element (n, c, s) is at n*C*S + (c / block)*S*block + s*block +
 * c % block, where C % block == 0. block 1 is plain row-major (NCHW), block C is channels-last, 8 and 16 are oneDNN's
 * blocked layouts. Everything else (weights in the order a convolution wants) is `opaque`: only oneDNN and flat loops over
 * all elements understand it. No layout here has padding: bytes == elements * size. */
typedef struct gm_layout {
    int64_t block;      /* >= 1; 0: opaque */
    const void *opaque; /* ops/onednn.c's own description; compared by gm_layout_equal */
} gm_layout;

extern const gm_layout gm_layout_plain; /* block 1 */
extern const gm_layout gm_layout_any;   /* block -1: state whose layout nobody has chosen yet; a wish for no change */

bool gm_layout_is_plain(gm_layout layout);
bool gm_layout_is_any(gm_layout layout);
bool gm_layout_equal(gm_layout a, gm_layout b);
/* A layout that a kernel gave lives as long as that kernel; a kept one until it is dropped. */
gm_status gm_layout_keep(gm_context *context, gm_layout layout, gm_layout *kept_out);
void gm_layout_drop(gm_context *context, gm_layout kept);
/* "plain", "blocked 16", "channels last", "oneDNN": for gmrun inspect. */
const char *gm_layout_name(gm_layout layout);

typedef struct gm_kernel_arguments {
    void *const *in;  /* per node input; NULL for an omitted one */
    void *const *out; /* per node output; NULL for one nobody wants */
    void *scratch;    /* scratch_bytes, 64-byte aligned */
    uint64_t seed;    /* of the model or as overridden */
    uint64_t run;     /* how often the step has run */
    int threads;
    bool override_seeds; /* `seed` also replaces seeds that nodes carry themselves */
    int64_t row, batch;  /* this run is for the examples row ... row + batch - 1 of many (0 and 1 otherwise) */
} gm_kernel_arguments;

typedef struct gm_kernel {
    gm_status (*run)(const void *state, const gm_kernel_arguments *arguments);
    void (*destroy)(void *state); /* may be NULL; frees what lower made outside the pool (oneDNN primitives) */
    void *state;                  /* in lower->pool unless destroy frees it */
} gm_kernel;

#define GM_MAX_ARITY                                                                                                   \
    8 /* of nodes with a non-NULL `lower`, except updates and fused groups, which use the arrays' counts */

typedef struct gm_lower {
    gm_context *context;
    gm_pool *pool; /* lives as long as the plan */
    const gm_graph *graph;
    const gm_node *node;
    int threads;
    bool reference; /* asked to use reference kernels only */
    bool direct;    /* no convolution by transforms (Winograd): --math direct */

    /* in: which of op->formulations is asked for, 0: what the operator thinks best. Another one that there is not for these
     * shapes is declined. out: the one that was taken, where it has a name. */
    int formulation;

    /* in: layouts in which the inputs are now (gm_layout_any for a state entry not laid out yet). */
    const gm_layout *in_layout;
    /* in: which outputs somebody reads. */
    const bool *out_wanted;
    /* in: which outputs are read plain by all who read them, so that another layout would cost a reorder; NULL: none. */
    const bool *out_plain;

    /* out, preset by the planner: in_want[i] = plain for every input, out_layout[i] = plain. A kernel that can take an
     * input as it is copies in_layout[i] to in_want[i] (never `any`: choose plain or your own wish for it). */
    gm_layout *in_want;
    gm_layout *out_layout;
    /* out: output o may be written over input i's memory when that dies here: in_place[o] = i, preset -1. */
    int *in_place;
    /* out: the output is the very memory of this input (Reshape, Identity on plain data): alias[o] = i, preset -1. No
     * kernel runs then unless another output needs one. */
    int *alias;
    size_t scratch_bytes;
    gm_kernel kernel;
    double flops; /* for the profile; 0 when not said */
} gm_lower;

/* Presets what `lower` fills: plain layouts, nothing in place, no alias, no scratch, the default formulation. */
void gm_lower_preset(gm_lower *lower);
/* Description of a value for lowering: concrete dims. */
int64_t gm_lower_dim(const gm_lower *lower, gm_value_id value, int axis);
int64_t gm_lower_count(const gm_lower *lower, gm_value_id value);
bool gm_lower_all_float(const gm_lower *lower); /* all given inputs and outputs are GM_FLOAT */

/* A kernel that runs the operator's reference function on plain tensors. */
gm_status gm_lower_reference(gm_lower *lower);
/* An instruction that copies one value from a layout into another (equal layouts: a plain copy). dims, rank: concrete. */
gm_status gm_lower_reorder(gm_context *context, gm_pool *pool, gm_type type, int rank, const int64_t *dims,
                           gm_layout from, gm_layout to, size_t *scratch_bytes_out, gm_kernel *kernel_out);

/* The compute library: "oneDNN 2.6.3, avx512". */
const char *gm_compute_name(void);

#endif
