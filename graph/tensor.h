/* Element types and dense row-major tensors. */
#ifndef GM_GRAPH_TENSOR_H
#define GM_GRAPH_TENSOR_H

#include "graph/base.h"

#define GM_MAX_RANK 8

/* A dense row-major array. `data` may be NULL for a description only. Owner: whoever made it (mostly a pool). */
typedef struct gm_tensor {
    gm_type type;
    int rank;
    int64_t dims[GM_MAX_RANK];
    void *data;
} gm_tensor;

typedef struct gm_type_info {
    gm_type type;
    const char *name; /* ONNX text: "float", "int64", ... */
    size_t bytes;     /* of one element; 0 for types that are not stored as plain numbers (string) */
    bool floating, is_signed;
} gm_type_info;

const gm_type_info *gm_type_find(gm_type type);        /* NULL: unknown */
const gm_type_info *gm_type_by_name(const char *name); /* NULL: unknown */
const char *gm_type_name(gm_type type);                /* "undefined" when unknown */
size_t gm_type_bytes(gm_type type);                    /* 0 when unknown */

int64_t gm_tensor_count(const gm_tensor *tensor); /* elements; 1 for a scalar */
size_t gm_tensor_bytes(const gm_tensor *tensor);
/* Zeroed data in the pool; NULL: no memory or size overflow (message set). */
gm_tensor *gm_tensor_create(gm_pool *pool, gm_type type, int rank, const int64_t *dims);
gm_tensor *gm_tensor_copy(gm_pool *pool, const gm_tensor *tensor);
/* Larger shapes are refused wherever they come from, so that sums and products of sizes cannot overflow: 2^40 along an axis, 2^44
 * elements (axes of size 0 do not count). Negative dims are symbols (graph/dim.h), of which nothing is known here. */
bool gm_shape_fits(int rank, const int64_t *dims);
bool gm_tensor_same_shape(const gm_tensor *a, const gm_tensor *b);

/* Element access by flat index through the widest exact type: reference kernels work on these. Conversions from double
 * to integers truncate and saturate (NaN gives 0); to bool: != 0; float16/bfloat16 round to nearest even. */
double gm_get(const gm_tensor *tensor, int64_t index);
void gm_set(const gm_tensor *tensor, int64_t index, double value);
int64_t gm_get_int(const gm_tensor *tensor, int64_t index);
void gm_set_int(const gm_tensor *tensor, int64_t index, int64_t value);
/* The same for results of integer arithmetic: integers keep the low bits, as those of C and NumPy do. */
void gm_set_wrapped(const gm_tensor *tensor, int64_t index, int64_t value);

#endif
