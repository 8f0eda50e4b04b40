/* Det and gmodel.DetGrad: determinants of the square matrices in the last two axes. */
#include "graph/operator.h"

#include <math.h>
#include <string.h>

static gm_status check_square(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    char text[160];
    if (x.rank < 2 || (gm_dim_is_known(x.dims[x.rank - 1]) && gm_dim_is_known(x.dims[x.rank - 2]) &&
                       x.dims[x.rank - 1] != x.dims[x.rank - 2]))
        return gm_node_fail(graph, node, "X must be [..., n, n], found %s",
                            gm_shape_text(graph, node->inputs[0], text, sizeof text));
    return GM_OK;
}

/* https://onnx.ai/onnx/operators/onnx__Det.html: X[..., n, n] -> [...] */
static gm_status infer_det(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    GM_TRY(check_square(graph, node));
    gm_set_output(graph, node, 0, x.type, x.rank - 2, x.dims);
    return graph->status;
}

/* Elimination with the largest pivot of each column; overwrites a[n * n]. */
static double determinant(double *a, int64_t n)
{
    double product = 1.0;
    for (int64_t k = 0; k < n; k++) {
        int64_t pivot = k;
        for (int64_t i = k + 1; i < n; i++)
            pivot = fabs(a[i * n + k]) > fabs(a[pivot * n + k]) ? i : pivot;
        product *= a[pivot * n + k];
        if (a[pivot * n + k] == 0.0 || isnan(product))
            return product;
        for (int64_t j = k; pivot != k && j < n; j++) {
            double other = a[k * n + j];
            a[k * n + j] = a[pivot * n + j];
            a[pivot * n + j] = other;
        }
        product = pivot == k ? product : -product;
        for (int64_t i = k + 1; i < n; i++) {
            double factor = a[i * n + k] / a[k * n + k];
            for (int64_t j = k; j < n; j++)
                a[i * n + j] -= factor * a[k * n + j];
        }
    }
    return product;
}

/* Matrix `at` without row `row` and column `column` (-1: with all) in `out`; returns its size. */
static int64_t copy_minor(const gm_tensor *x, int64_t at, int64_t row, int64_t column, double *out)
{
    int64_t n = x->dims[x->rank - 1], count = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            if (i != row && j != column)
                out[count++] = gm_get(x, (at * n + i) * n + j);
    return row < 0 ? n : n - 1;
}

static double *scratch(const gm_compute *compute)
{
    const gm_tensor *x = &compute->in[0];
    size_t n = (size_t)x->dims[x->rank - 1];
    return gm_alloc_array(compute->context, n * n + 1, sizeof(double));
}

static gm_status reference_det(const gm_compute *compute)
{
    const gm_tensor *x = &compute->in[0], *y = &compute->out[0];
    double *matrix = scratch(compute);
    if (!matrix)
        return GM_ERROR_MEMORY;
    for (int64_t i = 0; i < gm_tensor_count(y); i++)
        gm_set(y, i, determinant(matrix, copy_minor(x, i, -1, -1, matrix)));
    gm_free(compute->context, matrix);
    return GM_OK;
}

static gm_status gradient_det(gm_gradient *g)
{
    g->dx[0] = gm_emit2(g->graph, "gmodel.DetGrad", g->node->inputs[0], g->dy[0]);
    return g->graph->status;
}

const gm_operator gm_op_det = {.domain = "",
                               .name = "Det",
                               .since = 22,
                               .inputs = "X",
                               .outputs = "Y",
                               .types = GM_TYPES_FLOATING,
                               .infer = infer_det,
                               .gradient = gradient_det,
                               .reference = reference_det};

/* dX = dY * (the cofactors of X), which are there for singular matrices too: n * n determinants */
static gm_status infer_det_grad(gm_graph *graph, gm_node *node)
{
    const gm_value *x = gm_value_of(graph, node->inputs[0]), *dy = gm_value_of(graph, node->inputs[1]);
    GM_TRY(gm_infer_same_type(graph, node));
    GM_TRY(check_square(graph, node));
    if (dy->rank != x->rank - 2 || memcmp(dy->dims, x->dims, (size_t)dy->rank * sizeof dy->dims[0]) != 0)
        return gm_node_fail(graph, node, "dY must have one element per matrix");
    gm_set_output_like(graph, node, 0, node->inputs[0]);
    return graph->status;
}

static gm_status reference_det_grad(const gm_compute *compute)
{
    const gm_tensor *x = &compute->in[0], *dy = &compute->in[1], *dx = &compute->out[0];
    int64_t n = x->dims[x->rank - 1];
    double *matrix = scratch(compute);
    if (!matrix)
        return GM_ERROR_MEMORY;
    for (int64_t i = 0; i < gm_tensor_count(dx); i++) {
        int64_t at = i / (n * n), row = i / n % n, column = i % n;
        double cofactor = determinant(matrix, copy_minor(x, at, row, column, matrix));
        gm_set(dx, i, gm_get(dy, at) * ((row + column) % 2 ? -cofactor : cofactor));
    }
    gm_free(compute->context, matrix);
    return GM_OK;
}

const gm_operator gm_op_det_grad = {.domain = "gmodel",
                                    .name = "DetGrad",
                                    .since = 1,
                                    .inputs = "X dY",
                                    .outputs = "dX",
                                    .types = GM_TYPES_FLOATING,
                                    .infer = infer_det_grad,
                                    .reference = reference_det_grad};
