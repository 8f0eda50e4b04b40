/* MatMul (opset 13) and Gemm (opset 13).
 *
 *   MatMul  A [batch..., M, K], B [batch..., K, N] -> Y [batch..., M, N], batches broadcast as in NumPy; an A of rank 1
 * is a row and a B of rank 1 a column, whose axis Y does not have Gemm    Y [M, N] = alpha op(A) op(B) + beta C, C
 * broadcast to [M, N] */
#include "ops/onednn.h"
#include "ops/vector.h"

#include <string.h>

#define PARALLEL_ELEMENTS 16384

/* --- Sizes -------------------------------------------------------------------------------------------------------- */

/* A product in plain numbers. Batches count over the broadcast batch axes; steps are 0 along a broadcast axis. */
typedef struct product_shape {
    int64_t m, n, k;
    bool transpose_a, transpose_b;
    int batch_rank;
    int64_t batches, batch[GM_MAX_RANK];
    int64_t a_step[GM_MAX_RANK], b_step[GM_MAX_RANK]; /* in matrices */
} product_shape;

static void batch_steps(int rank, const int64_t *dims, int batch_rank, int64_t *steps)
{
    int64_t step = 1;
    for (int i = batch_rank - 1; i >= 0; i--) {
        int axis = i - (batch_rank - (rank - 2));
        steps[i] = axis >= 0 && dims[axis] != 1 ? step : 0;
        step *= axis >= 0 ? dims[axis] : 1;
    }
}

static void matmul_shape(int a_rank, const int64_t *a, int b_rank, const int64_t *b, product_shape *s)
{
    memset(s, 0, sizeof *s);
    s->m = a_rank > 1 ? a[a_rank - 2] : 1;
    s->k = a[a_rank - 1];
    s->n = b_rank > 1 ? b[b_rank - 1] : 1;
    s->batch_rank = a_rank > b_rank ? a_rank - 2 : b_rank - 2;
    s->batch_rank = s->batch_rank > 0 ? s->batch_rank : 0;
    s->batches = 1;
    batch_steps(a_rank, a, s->batch_rank, s->a_step);
    batch_steps(b_rank, b, s->batch_rank, s->b_step);
    for (int i = 0; i < s->batch_rank; i++) {
        int at_a = i - (s->batch_rank - (a_rank - 2)), at_b = i - (s->batch_rank - (b_rank - 2));
        int64_t from_a = at_a >= 0 ? a[at_a] : 1, from_b = at_b >= 0 ? b[at_b] : 1;
        s->batch[i] = from_a == 1 ? from_b : from_a;
        s->batches *= s->batch[i];
    }
}

static void gemm_shape(const gm_node *node, const int64_t *a, const int64_t *b, product_shape *s)
{
    memset(s, 0, sizeof *s);
    s->transpose_a = gm_node_int(node, "transA", 0) != 0;
    s->transpose_b = gm_node_int(node, "transB", 0) != 0;
    s->m = a[s->transpose_a];
    s->k = a[!s->transpose_a];
    s->n = b[!s->transpose_b];
    s->batches = 1;
}

static void matrix_of(const product_shape *s, int64_t batch, int64_t *a_out, int64_t *b_out)
{
    *a_out = *b_out = 0;
    for (int i = s->batch_rank - 1; i >= 0; i--) {
        *a_out += batch % s->batch[i] * s->a_step[i];
        *b_out += batch % s->batch[i] * s->b_step[i];
        batch /= s->batch[i];
    }
}

/* --- Inference ---------------------------------------------------------------------------------------------------- */

static gm_status infer_matmul(gm_graph *graph, gm_node *node)
{
    gm_value a = *gm_value_of(graph, node->inputs[0]), b = *gm_value_of(graph, node->inputs[1]);
    char left[160], right[160];
    gm_dim dims[GM_MAX_RANK], inner;
    int batch_rank, rank = 0;
    GM_TRY(gm_infer_same_type(graph, node));
    if (a.rank < 1 || b.rank < 1)
        return gm_node_fail(graph, node, "takes no scalars; use Mul");
    inner = b.dims[b.rank > 1 ? b.rank - 2 : 0];
    if (a.dims[a.rank - 1] != inner)
        return gm_node_fail(graph, node,
                            "shapes %s and %s do not fit: the last axis of A is not the first of B's matrix",
                            gm_shape_text(graph, node->inputs[0], left, sizeof left),
                            gm_shape_text(graph, node->inputs[1], right, sizeof right));
    batch_rank = (a.rank > b.rank ? a.rank : b.rank) - 2;
    for (int i = 0; i < batch_rank; i++) {
        int at_a = i - (batch_rank - (a.rank - 2)), at_b = i - (batch_rank - (b.rank - 2));
        gm_dim from_a = at_a >= 0 ? a.dims[at_a] : 1, from_b = at_b >= 0 ? b.dims[at_b] : 1;
        if (from_a != from_b && from_a != 1 && from_b != 1)
            return gm_node_fail(graph, node, "the batch axes of shapes %s and %s do not broadcast",
                                gm_shape_text(graph, node->inputs[0], left, sizeof left),
                                gm_shape_text(graph, node->inputs[1], right, sizeof right));
        dims[rank++] = from_a == 1 ? from_b : from_a;
    }
    if (a.rank > 1)
        dims[rank++] = a.dims[a.rank - 2];
    if (b.rank > 1)
        dims[rank++] = b.dims[b.rank - 1];
    gm_set_output(graph, node, 0, a.type, rank, dims);
    return graph->status;
}

static gm_status infer_gemm(gm_graph *graph, gm_node *node)
{
    gm_value a = *gm_value_of(graph, node->inputs[0]), b = *gm_value_of(graph, node->inputs[1]);
    int ta = gm_node_int(node, "transA", 0) != 0, tb = gm_node_int(node, "transB", 0) != 0;
    char left[160], right[160];
    gm_dim dims[2];
    GM_TRY(gm_infer_same_type(graph, node));
    if (a.rank != 2 || b.rank != 2 || a.dims[!ta] != b.dims[tb])
        return gm_node_fail(graph, node, "expected matrices that fit, found %s%s and %s%s",
                            gm_shape_text(graph, node->inputs[0], left, sizeof left), ta ? " transposed" : "",
                            gm_shape_text(graph, node->inputs[1], right, sizeof right), tb ? " transposed" : "");
    dims[0] = a.dims[ta];
    dims[1] = b.dims[!tb];
    if (node->input_count > 2 && node->inputs[2]) {
        const gm_value *c = gm_value_of(graph, node->inputs[2]);
        bool fits = c->rank <= 2;
        for (int i = 0; fits && i < c->rank; i++)
            fits = c->dims[i] == 1 || c->dims[i] == dims[2 - c->rank + i];
        if (!fits)
            return gm_node_fail(graph, node, "C of shape %s does not broadcast to %s",
                                gm_shape_text(graph, node->inputs[2], left, sizeof left),
                                gm_dims_print(graph->symbols, 2, dims, right, sizeof right));
    }
    gm_set_output(graph, node, 0, a.type, 2, dims);
    return graph->status;
}

/* --- Gradients ---------------------------------------------------------------------------------------------------- */

static gm_value_id emit_gemm(gm_graph *graph, gm_value_id a, gm_value_id b, bool transpose_a, bool transpose_b,
                             double alpha)
{
    gm_attribute list[3] = {gm_attribute_int("transA", transpose_a), gm_attribute_int("transB", transpose_b),
                            gm_attribute_float("alpha", alpha)};
    return gm_emit(graph, "Gemm", (gm_value_id[]){a, b}, 2, list, 3);
}

/* dA = alpha dY op(B)^T and dB = alpha op(A)^T dY, each transposed where the argument was; dC = beta dY summed to C */
static gm_status gemm_gradient(gm_gradient *g)
{
    const gm_node *node = g->node;
    gm_value_id a = node->inputs[0], b = node->inputs[1], dy = g->dy[0];
    bool ta = gm_node_int(node, "transA", 0) != 0, tb = gm_node_int(node, "transB", 0) != 0;
    double alpha = gm_node_float(node, "alpha", 1.0), beta = gm_node_float(node, "beta", 1.0);
    if (g->wanted[0])
        g->dx[0] = ta ? emit_gemm(g->graph, b, dy, tb, true, alpha) : emit_gemm(g->graph, dy, b, false, !tb, alpha);
    if (g->wanted[1])
        g->dx[1] = tb ? emit_gemm(g->graph, dy, a, true, ta, alpha) : emit_gemm(g->graph, a, dy, !ta, false, alpha);
    if (node->input_count > 2 && node->inputs[2] && g->wanted[2]) {
        gm_value_id dc = gm_sum_to_like(g->graph, dy, node->inputs[2]);
        g->dx[2] = beta == 1.0 ? dc : gm_emit2(g->graph, "Mul", dc, gm_scalar_like(g->graph, dc, beta));
    }
    return g->graph->status;
}

static gm_value_id swap_last(gm_graph *graph, gm_value_id x)
{
    int64_t perm[GM_MAX_RANK];
    int rank;
    if (graph->status != GM_OK || !x)
        return 0;
    rank = gm_value_of(graph, x)->rank;
    for (int i = 0; i < rank; i++)
        perm[i] = i < rank - 2 ? i : i == rank - 2 ? rank - 1 : rank - 2;
    return gm_emit1_with(graph, "Transpose", x, gm_attribute_ints("perm", perm, (size_t)rank));
}

static gm_value_id insert_axis(gm_graph *graph, gm_value_id x, int64_t axis)
{
    return gm_emit2(graph, "Unsqueeze", x, gm_const_ints(graph, &axis, 1));
}

/* Sums a gradient over broadcast batch axes and gives it the shape of `like` (whose vectors became matrices). */
static gm_value_id take_back(gm_graph *graph, gm_value_id dx, gm_value_id matrix, gm_value_id like)
{
    dx = gm_sum_to_like(graph, dx, matrix);
    return matrix == like ? dx : gm_emit2(graph, "Reshape", dx, gm_shape_of(graph, like));
}

/* [batch..., r, c] -> [batch * r, c] */
static gm_value_id flatten_rows(gm_graph *graph, gm_value_id x)
{
    int64_t shape[2] = {-1, 0};
    if (graph->status != GM_OK || !x)
        return 0;
    shape[1] = gm_value_of(graph, x)->dims[gm_value_of(graph, x)->rank - 1];
    return gm_emit2(graph, "Reshape", x, gm_const_ints(graph, shape, 2));
}

/* dA = dY B^T, dB = A^T dY; with one matrix B for all batches, dB is one product over all their rows. */
static gm_status matmul_gradient(gm_gradient *g)
{
    gm_graph *graph = g->graph;
    gm_value_id a = g->node->inputs[0], b = g->node->inputs[1], dy = g->dy[0], left = a, right = b;
    int a_rank = gm_value_of(graph, a)->rank, b_rank = gm_value_of(graph, b)->rank;
    if (b_rank == 1) {
        right = insert_axis(graph, b, 1);
        dy = insert_axis(graph, dy, gm_value_of(graph, dy)->rank);
    }
    if (a_rank == 1 && graph->status == GM_OK) {
        left = insert_axis(graph, a, 0);
        dy = insert_axis(graph, dy, gm_value_of(graph, dy)->rank - 1);
    }
    if (graph->status != GM_OK)
        return graph->status;
    gm_value l = *gm_value_of(graph, left), r = *gm_value_of(graph, right);
    if (l.rank == 2 && r.rank == 2) {
        if (g->wanted[0])
            g->dx[0] = take_back(graph, emit_gemm(graph, dy, right, false, true, 1.0), left, a);
        if (g->wanted[1])
            g->dx[1] = take_back(graph, emit_gemm(graph, left, dy, true, false, 1.0), right, b);
        return graph->status;
    }
    if (g->wanted[0])
        g->dx[0] = take_back(graph, gm_emit2(graph, "MatMul", dy, swap_last(graph, right)), left, a);
    if (!g->wanted[1])
        return graph->status;
    if (r.rank == 2 && gm_dim_is_known(l.dims[l.rank - 1]) && gm_dim_is_known(r.dims[1]))
        g->dx[1] = take_back(
            graph, emit_gemm(graph, flatten_rows(graph, left), flatten_rows(graph, dy), true, false, 1.0), right, b);
    else
        g->dx[1] = take_back(graph, gm_emit2(graph, "MatMul", swap_last(graph, left), dy), right, b);
    return graph->status;
}

/* --- Reference ---------------------------------------------------------------------------------------------------- */

/* Element (row, column) of a matrix that starts at `base`, `rows` x `columns` after transposing. */
static int64_t at(int64_t base, bool transpose, int64_t rows, int64_t columns, int64_t row, int64_t column)
{
    return base + (transpose ? column * rows + row : row * columns + column);
}

static inline double load(const gm_tensor *tensor, int64_t index)
{
    return tensor->type == GM_FLOAT    ? (double)((const float *)tensor->data)[index]
           : tensor->type == GM_DOUBLE ? ((const double *)tensor->data)[index]
                                       : gm_get(tensor, index);
}

static gm_status matmul_reference(const gm_compute *compute)
{
    const gm_tensor *a = &compute->in[0], *b = &compute->in[1], *y = &compute->out[0];
    bool floating = gm_type_find(a->type)->floating;
    product_shape s;
    matmul_shape(a->rank, a->dims, b->rank, b->dims, &s);
    for (int64_t i = 0; i < s.batches * s.m * s.n; i++) {
        int64_t row = i / s.n % s.m, column = i % s.n, matrix_a, matrix_b;
        double sum = 0.0;
        uint64_t exact = 0; /* integers wrap around as in NumPy */
        matrix_of(&s, i / s.n / s.m, &matrix_a, &matrix_b);
        for (int64_t k = 0; k < s.k; k++) {
            int64_t p = at(matrix_a * s.m * s.k, false, s.m, s.k, row, k),
                    q = at(matrix_b * s.k * s.n, false, s.k, s.n, k, column);
            if (floating)
                sum += load(a, p) * load(b, q);
            else
                exact += (uint64_t)gm_get_int(a, p) * (uint64_t)gm_get_int(b, q);
        }
        if (floating)
            gm_set(y, i, sum);
        else
            gm_set_wrapped(y, i, (int64_t)exact);
    }
    return GM_OK;
}

/* Index into C of element (row, column) of [M, N]. */
static int64_t broadcast_index(int rank, const int64_t *dims, int64_t row, int64_t column)
{
    int64_t columns = rank > 0 ? dims[rank - 1] : 1, rows = rank > 1 ? dims[0] : 1;
    return (rows == 1 ? 0 : row) * columns + (columns == 1 ? 0 : column);
}

static gm_status gemm_reference(const gm_compute *compute)
{
    const gm_tensor *a = &compute->in[0], *b = &compute->in[1], *y = &compute->out[0];
    const gm_tensor *c = compute->node->input_count > 2 && compute->in[2].data ? &compute->in[2] : NULL;
    double alpha = gm_node_float(compute->node, "alpha", 1.0), beta = gm_node_float(compute->node, "beta", 1.0);
    product_shape s;
    gemm_shape(compute->node, a->dims, b->dims, &s);
    for (int64_t i = 0; i < s.m * s.n; i++) {
        int64_t row = i / s.n, column = i % s.n;
        double sum = 0.0;
        for (int64_t k = 0; k < s.k; k++)
            sum += load(a, at(0, s.transpose_a, s.m, s.k, row, k)) * load(b, at(0, s.transpose_b, s.k, s.n, k, column));
        sum *= alpha;
        if (c)
            sum += beta * load(c, broadcast_index(c->rank, c->dims, row, column));
        gm_set(y, i, sum);
    }
    return GM_OK;
}

/* --- Lowering ----------------------------------------------------------------------------------------------------- */

/* How a product is cut for threads: each computes some rows or columns of C, or some terms of all its sums. The largest of
 * the three matrices is cut along its rows as they lie in memory: the weights, mostly, so that a thread finds those rows, and
 * their gradients, where it has left them itself, in this product and in the others of the layer and in the optimizer. */
typedef enum product_cut { CUT_NOT, CUT_ROWS, CUT_COLUMNS, CUT_TERMS } product_cut;

typedef struct product_state {
    gm_context *context;
    product_cut cut;
    int parts;
    product_shape shape;
    float alpha, beta;
    bool has_c;
    int c_rank;
    int64_t c_dims[2];
} product_state;

static void fill_with_c(const product_state *s, const float *c, float *y, int threads)
{
    int64_t m = s->shape.m, n = s->shape.n;
    int64_t columns = s->c_rank > 0 ? s->c_dims[s->c_rank - 1] : 1;
#pragma omp parallel for num_threads(threads) schedule(static) if (m * n > PARALLEL_ELEMENTS)
    for (int64_t row = 0; row < m; row++) {
        const float *from = c + broadcast_index(s->c_rank, s->c_dims, row, 0);
        float *to = y + row * n;
        if (columns == n)
            memcpy(to, from, (size_t)n * sizeof *to);
        else
            for (int64_t i = 0; i < n; i++)
                to[i] = from[0];
    }
}

/* Part `part` of a product that is cut, on the calling thread. Parts of CUT_TERMS but the first go to scratch. */
static bool run_part(const product_state *s, const gm_kernel_arguments *arguments, int64_t part)
{
    const product_shape *p = &s->shape;
    const float *a = arguments->in[0], *b = arguments->in[1];
    float *y = arguments->out[0];
    int64_t whole = s->cut == CUT_ROWS ? p->m : s->cut == CUT_COLUMNS ? p->n : p->k;
    int64_t first = whole * part / s->parts, count = whole * (part + 1) / s->parts - first;
    gm_gemm_shape shape = gm_gemm_dense(p->transpose_a, p->transpose_b, p->m, p->n, p->k);
    float beta = s->has_c ? s->beta : 0.0f;
    switch (s->cut) {
    case CUT_ROWS:
        shape.m = count;
        a += first * (p->transpose_a ? 1 : p->k);
        y += first * p->n;
        break;
    case CUT_COLUMNS:
        shape.n = count;
        b += first * (p->transpose_b ? p->k : 1);
        y += first;
        break;
    default:
        shape.k = count;
        a += first * (p->transpose_a ? p->m : 1);
        b += first * (p->transpose_b ? 1 : p->n);
        if (part > 0) {
            y = (float *)arguments->scratch + (part - 1) * p->m * p->n;
            beta = 0.0f;
        }
        break;
    }
    return gm_dnnl_gemm(&shape, s->alpha, a, b, beta, y);
}

GM_VECTOR static void add_rows(const float *from, float *to, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        to[i] += from[i];
}

static gm_status run_cut_product(const void *state, const gm_kernel_arguments *arguments)
{
    const product_state *s = state;
    int64_t size = s->shape.m * s->shape.n;
    int failed = 0;
    if (s->has_c)
        fill_with_c(s, arguments->in[2], arguments->out[0], arguments->threads);
#pragma omp parallel num_threads(arguments->threads) reduction(+ : failed)
    {
#pragma omp for schedule(static)
        for (int part = 0; part < s->parts; part++)
            failed += !run_part(s, arguments, part);
        if (s->cut == CUT_TERMS) {
#pragma omp for schedule(static)
            for (int share = 0; share < s->parts; share++) {
                int64_t first = size * share / s->parts, count = size * (share + 1) / s->parts - first;
                for (int part = 1; part < s->parts; part++)
                    add_rows((const float *)arguments->scratch + (part - 1) * size + first,
                             (float *)arguments->out[0] + first, count);
            }
        }
    }
    return failed ? gm_fail(s->context, GM_ERROR_INTERNAL, "oneDNN refuses a matrix product") : GM_OK;
}

#define CUT_FLOPS   2e6 /* smaller products are not cut */
#define LEAST_ROWS  16  /* of a part; also of C, or the vectors' own paths are better */
#define LEAST_TERMS 64

static void choose_cut(product_state *state, int threads)
{
    const product_shape *s = &state->shape;
    int64_t a = s->m * s->k, b = s->k * s->n, c = s->m * s->n, most;
    state->cut = CUT_NOT;
    if (threads < 2 || s->batches > 1 || s->m < LEAST_ROWS || s->n < LEAST_ROWS ||
        2.0 * (double)a * (double)s->n < CUT_FLOPS)
        return;
    if (c >= a && c >= b)
        state->cut = CUT_ROWS;
    else if (b > a)
        state->cut = s->transpose_b ? CUT_COLUMNS : c <= b / 4 ? CUT_TERMS : CUT_NOT;
    else
        state->cut = !s->transpose_a ? CUT_ROWS : c <= a / 4 ? CUT_TERMS : CUT_NOT;
    most = state->cut == CUT_ROWS      ? s->m / LEAST_ROWS
           : state->cut == CUT_COLUMNS ? s->n / LEAST_ROWS
                                       : s->k / LEAST_TERMS;
    state->parts = most < threads ? (int)most : threads;
    if (state->parts < threads) /* idle threads: oneDNN's own way is better */
        state->cut = CUT_NOT;
}

static gm_status run_product(const void *state, const gm_kernel_arguments *arguments)
{
    const product_state *s = state;
    const product_shape *p = &s->shape;
    const float *a = arguments->in[0], *b = arguments->in[1];
    float *y = arguments->out[0];
    gm_gemm_shape shape = gm_gemm_dense(p->transpose_a, p->transpose_b, p->m, p->n, p->k);
    if (s->has_c)
        fill_with_c(s, arguments->in[2], y, arguments->threads);
    for (int64_t i = 0; i < p->batches; i++) {
        int64_t matrix_a, matrix_b;
        matrix_of(p, i, &matrix_a, &matrix_b);
        if (!gm_dnnl_gemm(&shape, s->alpha, a + matrix_a * p->m * p->k, b + matrix_b * p->k * p->n,
                          s->has_c ? s->beta : 0.0f, y + i * p->m * p->n))
            return gm_fail(s->context, GM_ERROR_INTERNAL, "oneDNN refuses a matrix product");
    }
    return GM_OK;
}

static void matrix_strides(int rank, const int64_t *dims, bool transpose, int64_t *strides)
{
    int64_t step = dims[rank - 1] * dims[rank - 2];
    strides[rank - 1] = transpose ? dims[rank - 2] : 1;
    strides[rank - 2] = transpose ? 1 : dims[rank - 1];
    for (int i = rank - 3; i >= 0; i--) {
        strides[i] = step;
        step *= dims[i];
    }
}

static const gm_md *matrix_md(gm_dnnl *dnnl, const product_shape *s, const int64_t *steps, int64_t rows,
                              int64_t columns, bool transpose)
{
    int rank = s->batch_rank + 2;
    int64_t dims[GM_MAX_RANK + 2], strides[GM_MAX_RANK + 2];
    for (int i = 0; i < s->batch_rank; i++)
        dims[i] = !steps || steps[i] ? s->batch[i] : 1;
    dims[rank - 2] = rows;
    dims[rank - 1] = columns;
    matrix_strides(rank, dims, transpose, strides);
    return gm_md_strided(dnnl, rank, dims, strides);
}

/* As a oneDNN matmul primitive; *declined where that has none. */
static gm_status lower_primitive(gm_lower *lower, const product_shape *s, bool bias, bool *declined)
{
    gm_dnnl_operand operands[4] = {{DNNL_ARG_SRC, NULL, GM_DNNL_IN, 0},
                                   {DNNL_ARG_WEIGHTS, NULL, GM_DNNL_IN, 1},
                                   {DNNL_ARG_DST, NULL, GM_DNNL_OUT, 0},
                                   {DNNL_ARG_BIAS, NULL, GM_DNNL_IN, 2}};
    dnnl_primitive_desc_t descriptor = NULL;
    gm_dnnl *dnnl;
    gm_status status = GM_OK;
    *declined = s->batch_rank + 2 > GM_DNNL_MAX_RANK;
    if (*declined)
        return GM_OK;
    dnnl = gm_dnnl_create(lower->context, lower->pool, lower->threads);
    if (!dnnl)
        return gm_failure(lower->context);
    operands[0].md = matrix_md(dnnl, s, s->a_step, s->m, s->k, s->transpose_a);
    operands[1].md = matrix_md(dnnl, s, s->b_step, s->k, s->n, s->transpose_b);
    operands[2].md = matrix_md(dnnl, s, NULL, s->m, s->n, false);
    operands[3].md = bias ? gm_md_plain(dnnl, 2, (int64_t[]){1, s->n}) : NULL;
    if (operands[0].md && operands[1].md && operands[2].md && (!bias || operands[3].md))
        descriptor = gm_dnnl_matmul(dnnl, operands[0].md, operands[1].md, operands[3].md, operands[2].md);
    *declined = !descriptor || strncmp(gm_dnnl_implementation(descriptor), "ref", 3) == 0;
    if (!*declined)
        status = gm_dnnl_add_step(dnnl, descriptor, operands, bias ? 4 : 3);
    if (*declined || status != GM_OK) {
        gm_dnnl_destroy(dnnl);
        return status;
    }
    gm_dnnl_finish(dnnl, &lower->scratch_bytes, &lower->kernel);
    return GM_OK;
}

static gm_status lower_product(gm_lower *lower, const product_state *wanted, bool prefer_primitive, bool bias)
{
    const product_shape *s = &wanted->shape;
    product_state *state;
    bool declined = true;
    if (s->m < 1 || s->n < 1 || s->k < 1 || s->batches < 1)
        return GM_OK;
    lower->flops = 2.0 * (double)s->batches * (double)s->m * (double)s->n * (double)s->k;
    state = gm_pool_alloc(lower->pool, sizeof *state);
    if (!state)
        return GM_ERROR_MEMORY;
    *state = *wanted;
    choose_cut(state, lower->threads);
    if (state->cut == CUT_NOT && prefer_primitive)
        GM_TRY(lower_primitive(lower, s, bias, &declined));
    if (!declined)
        return GM_OK;
    lower->scratch_bytes =
        state->cut == CUT_TERMS ? (size_t)(state->parts - 1) * (size_t)(s->m * s->n) * sizeof(float) : 0;
    lower->kernel = (gm_kernel){state->cut == CUT_NOT ? run_product : run_cut_product, NULL, state};
    return GM_OK;
}

static gm_status lower_matmul(gm_lower *lower)
{
    const gm_value *a = gm_value_of(lower->graph, lower->node->inputs[0]);
    const gm_value *b = gm_value_of(lower->graph, lower->node->inputs[1]);
    product_state state = {.context = lower->context, .alpha = 1.0f};
    product_shape *s = &state.shape;
    if (lower->reference || !gm_lower_all_float(lower))
        return GM_OK;
    matmul_shape(a->rank, a->dims, b->rank, b->dims, s);
    if (b->rank <= 2) { /* one matrix for all batches: one tall product */
        s->m *= s->batches;
        s->batches = 1;
        s->batch_rank = 0;
    }
    return lower_product(lower, &state, s->batches > 1, false);
}

/* The gemm function is the better one for most shapes, vectors above all, and for products that get something added;
 * the primitive packs a large transposed B about twice as fast ([128, 1024] x [1024, 1024] on AVX-512). */
static gm_status lower_gemm(gm_lower *lower)
{
    const gm_node *node = lower->node;
    const gm_value *c = node->input_count > 2 && node->inputs[2] ? gm_value_of(lower->graph, node->inputs[2]) : NULL;
    product_state state = {.context = lower->context};
    product_shape *s = &state.shape;
    bool bias;
    if (lower->reference || !gm_lower_all_float(lower))
        return GM_OK;
    gemm_shape(node, gm_value_of(lower->graph, node->inputs[0])->dims, gm_value_of(lower->graph, node->inputs[1])->dims,
               s);
    state.alpha = (float)gm_node_float(node, "alpha", 1.0);
    state.beta = (float)gm_node_float(node, "beta", 1.0);
    state.has_c = c && state.beta != 0.0f;
    if (c) {
        state.c_rank = c->rank;
        memcpy(state.c_dims, c->dims, (size_t)c->rank * sizeof c->dims[0]);
    }
    bias = state.has_c && state.beta == 1.0f && c->rank >= 1 && c->dims[c->rank - 1] == s->n &&
           (c->rank == 1 || c->dims[0] == 1);
    return lower_product(lower, &state,
                         s->transpose_b && s->k >= 512 && s->n >= 64 && state.alpha == 1.0f && (bias || !state.has_c),
                         bias);
}

/* --- Tables ------------------------------------------------------------------------------------------------------- */

#define MATRIX_TYPES                                                                                                   \
    (GM_TYPES_FLOATING | GM_TYPES(GM_INT32) | GM_TYPES(GM_INT64) | GM_TYPES(GM_UINT32) | GM_TYPES(GM_UINT64))

const gm_operator gm_op_matmul = {
    .domain = "",
    .name = "MatMul",
    .since = 13,
    .flags = GM_OP_HEAVY,
    .inputs = "A B",
    .outputs = "Y",
    .types = MATRIX_TYPES,
    .infer = infer_matmul,
    .gradient = matmul_gradient,
    .reference = matmul_reference,
    .lower = lower_matmul,
};

static const gm_attribute_schema gemm_attributes[] = {
    {.name = "alpha", .kind = GM_ATTRIBUTE_FLOAT, .presence = GM_DEFAULT, .f = 1.0},
    {.name = "beta", .kind = GM_ATTRIBUTE_FLOAT, .presence = GM_DEFAULT, .f = 1.0},
    {.name = "transA", .kind = GM_ATTRIBUTE_INT, .presence = GM_DEFAULT, .i = 0},
    {.name = "transB", .kind = GM_ATTRIBUTE_INT, .presence = GM_DEFAULT, .i = 0},
};

static const gm_older older_gemm[] = {{7, GM_OLDER_IGNORED, "broadcast", .i = 0}, {0}};

const gm_operator gm_op_gemm = {
    .domain = "",
    .name = "Gemm",
    .since = 13,
    .flags = GM_OP_HEAVY,
    .inputs = "A B C?",
    .outputs = "Y",
    .types = MATRIX_TYPES,
    .attributes = gemm_attributes,
    .attribute_count = GM_COUNT(gemm_attributes),
    .older = older_gemm,
    .infer = infer_gemm,
    .gradient = gemm_gradient,
    .reference = gemm_reference,
    .lower = lower_gemm,
};
