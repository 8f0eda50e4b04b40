/* oneDNN 2.6 and 3.x behind one small interface: the only place that knows its API.
 *
 * A gm_dnnl is one instruction of a plan: the memory descriptors, primitives and memories that it owns, and the list of
 * steps that a run executes. Operators describe tensors (gm_md_*), ask for a primitive descriptor, look at the layouts
 * that it wants, add steps, and end with gm_dnnl_finish. Everything is float32. */
#ifndef GM_OPS_ONEDNN_H
#define GM_OPS_ONEDNN_H

#include "ops/kernel.h"

#include <oneapi/dnnl/dnnl.h>

#define GM_DNNL_MAX_RANK  6 /* 3-D convolution with groups: [G, M, C, d, h, w] */
#define GM_DNNL_MAX_ARGS  6
#define GM_DNNL_MAX_STEPS 8

typedef struct gm_dnnl gm_dnnl;
typedef struct gm_md gm_md; /* a memory descriptor, owned by its gm_dnnl */

/* Where the data of a step's argument come from. */
typedef enum gm_dnnl_place { GM_DNNL_IN, GM_DNNL_OUT, GM_DNNL_SCRATCH } gm_dnnl_place;

typedef struct gm_dnnl_operand {
    int argument; /* DNNL_ARG_SRC, ... */
    const gm_md *md;
    gm_dnnl_place place;
    size_t index; /* of the node's input or output; byte offset into scratch */
} gm_dnnl_operand;

/* The calling thread works with `threads` OpenMP threads (0: as many as it has) until finish or destroy. NULL: failed,
 * message set. */
gm_dnnl *gm_dnnl_create(gm_context *context, gm_pool *pool, int threads);
void gm_dnnl_destroy(gm_dnnl *dnnl); /* NULL is a no-op */
/* Hands the finished instruction over: kernel_out->destroy destroys the gm_dnnl. */
void gm_dnnl_finish(gm_dnnl *dnnl, size_t *scratch_bytes_out, gm_kernel *kernel_out);
/* Runs the steps, for kernels that do something of their own besides; arguments as for gm_kernel.run. */
gm_status gm_dnnl_run(const void *dnnl, const gm_kernel_arguments *arguments);
/* Puts the caller's number of OpenMP threads back; finish and destroy do so too. */
void gm_dnnl_restore_threads(gm_dnnl *dnnl);
size_t gm_dnnl_reserve(gm_dnnl *dnnl, size_t bytes); /* offset of new scratch memory, 64-byte aligned */
size_t gm_dnnl_scratch_bytes(const gm_dnnl *dnnl);

/* --- Memory descriptors: NULL after a failure (no memory, or oneDNN declines) ------------------------------------- */
gm_md *gm_md_any(gm_dnnl *dnnl, int rank, const int64_t *dims);
gm_md *gm_md_strided(gm_dnnl *dnnl, int rank, const int64_t *dims, const int64_t *strides);
gm_md *gm_md_plain(gm_dnnl *dnnl, int rank, const int64_t *dims);
/* A gm_layout of a value: block 1, 8, 16 or C of activations (rank 3 to 5), or opaque (then `dims` may split the
 * channels into groups, as long as it has the rank and dims of the opaque descriptor). NULL for others. */
gm_md *gm_md_of_layout(gm_dnnl *dnnl, int rank, const int64_t *dims, gm_layout layout);
gm_md *gm_md_of_primitive(gm_dnnl *dnnl, const_dnnl_primitive_desc_t descriptor, dnnl_query_t what);
size_t gm_md_bytes(const gm_md *md);
bool gm_md_is_padded(const gm_md *md); /* more elements than the tensor has, or of a kind that cannot be looked into */
bool gm_md_equal(const gm_md *a, const gm_md *b); /* the same order in memory: strides of axes of size 1 do not count */
/* As a gm_layout: `block` where it is one of an activation [N, C, ...], else plain or opaque. Must not be padded. */
gm_layout gm_md_layout(const gm_md *md, bool activation);

/* --- Primitives --------------------------------------------------------------------------------------------------- */
typedef enum gm_convolution_kind {
    GM_CONVOLUTION_FORWARD,
    GM_CONVOLUTION_DATA,
    GM_CONVOLUTION_WEIGHTS
} gm_convolution_kind;

typedef struct gm_dnnl_window { /* spatial axes; dilation counts from 0 as oneDNN does */
    dnnl_dims_t strides, dilations, low, high;
} gm_dnnl_window;

/* All return NULL where oneDNN has no implementation; the descriptor belongs to `dnnl`. implementation: the first is taken
 * whose name has this in it; NULL: the one that oneDNN likes best. (Counting does not tell them apart: in 2.6 a primitive in
 * oneDNN's cache may come twice.) */
dnnl_primitive_desc_t gm_dnnl_convolution(gm_dnnl *dnnl, gm_convolution_kind kind, const gm_md *source,
                                          const gm_md *weights, const gm_md *bias, const gm_md *destination,
                                          const gm_dnnl_window *window, const char *implementation);
dnnl_primitive_desc_t gm_dnnl_matmul(gm_dnnl *dnnl, const gm_md *source, const gm_md *weights, const gm_md *bias,
                                     const gm_md *destination);
/* A product of row-major matrices, C [M, N] = alpha op(A) op(B) + beta C; A: [M, K], or [K, M] with transpose_a; B: [K, N], or
 * [N, K]. The steps are from one row in memory to the next, in floats. */
typedef struct gm_gemm_shape {
    bool transpose_a, transpose_b;
    int64_t m, n, k, a_step, b_step, c_step;
} gm_gemm_shape;
/* Of whole matrices, whose rows lie one behind the other. */
gm_gemm_shape gm_gemm_dense(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k);
/* With as many OpenMP threads as the caller has set; inside a parallel region on the calling thread alone. False: refused. */
bool gm_dnnl_gemm(const gm_gemm_shape *shape, float alpha, const float *a, const float *b, float beta, float *c);
/* "jit:avx512_core": for tests and measurements. */
const char *gm_dnnl_implementation(const_dnnl_primitive_desc_t descriptor);

/* Adds a step; its scratchpad is reserved. */
gm_status gm_dnnl_add_step(gm_dnnl *dnnl, const_dnnl_primitive_desc_t descriptor, const gm_dnnl_operand *operands,
                           size_t count);
/* Adds a copy from one layout into another; nothing fails when they are equal. */
gm_status gm_dnnl_add_reorder(gm_dnnl *dnnl, const gm_dnnl_operand *from, const gm_dnnl_operand *to);

/* The opaque descriptions behind gm_layout. */
void *gm_dnnl_opaque_copy(gm_context *context, const void *opaque); /* NULL: no memory */
void gm_dnnl_opaque_free(gm_context *context, void *opaque);
void gm_dnnl_opaque_dims(const void *opaque, int *rank_out, int64_t *dims_out); /* at most GM_DNNL_MAX_RANK */
bool gm_dnnl_opaque_equal(const void *a, const void *b);

#endif
