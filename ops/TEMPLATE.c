/* How to add an operator: a worked example, gmodel.Swish(x, beta) = x * sigmoid(beta * x). Only tests/test_gradients.c builds it.
 *
 *   1. Copy this file, or add the operator to the file of its family (one subject per file, under 800 lines), and list a
 *      new file in ops/meson.build.
 *   2. Add GM_OPERATOR(gm_op_...) to ops/ops.def. With that the operator is known to the language, to ONNX files, to
 *      autodiff, to the planner and to `gmrun ops`.
 *   3. Add one line to tests/test_gradients.c (the suite fails while an operator with a gradient has none), and known
 *      results, shapes and errors to the suite of the family; see tests/numbers.h:
 *          {.op = "gmodel.Swish", IN("Nx3"), WITH(GRAD_FLOAT("beta", 0.5))},                     first and second order
 *          {.op = "gmodel.Swish", IN("2 [0 1]"), .expected = "0 0.7310586"},                     a known result
 *      and, if it has a fast kernel, one call of lower_check_node (tests/lower_check.h) against the reference kernel.
 *
 * Ask first whether the operator can be defined by others: then `infer` and `expand` are all it needs (ReduceL2 in
 * reduce_more.c is three lines), and gradients of any order, fusion and every layout come for free. */
#include "ops/kernel.h"

#include <math.h>

/* Attributes: name, kind, GM_REQUIRED, GM_OPTIONAL or GM_DEFAULT with the value. gm_node_float and kin read them. Those
 * of the node and their kinds have been checked before `infer` runs; their ranges have not. */
static const gm_attribute_schema swish_attributes[] = {{"beta", GM_ATTRIBUTE_FLOAT, GM_DEFAULT, .f = 1.0}};

/* Types and shapes of the outputs. Dimensions may be symbolic: compute with gm_dim_add, gm_dim_mul and so on, never with
 * + and *. Whatever is wrong with the node is said here, by gm_node_fail: it knows the line and the path of the node. A
 * graph is inferred twice: as written, and once more with numbers in place of the symbols. */
static gm_status infer_swish(gm_graph *graph, gm_node *node)
{
    if (!isfinite(gm_node_float(node, "beta", 1.0)))
        return gm_node_fail(graph, node, "beta must be finite");
    gm_set_output_like(graph, node, 0, node->inputs[0]);
    return graph->status;
}

/* dx = dy * (s + beta * x * s * (1 - s)) with s = sigmoid(beta * x)
 *
 * Emits nodes of operators that have gradients themselves, so that the second order works. Building is sticky: after a
 * failure every gm_emit returns 0, so write expressions and return graph->status. Each dx must have exactly the type and
 * shape of its input (autodiff checks): gm_sum_to_like undoes broadcasting. The node's inputs and outputs may be used. */
static gm_status gradient_swish(gm_gradient *g)
{
    gm_graph *graph = g->graph;
    gm_value_id x = g->node->inputs[0];
    gm_value_id scaled = gm_emit2(graph, "Mul", x, gm_scalar_like(graph, x, gm_node_float(g->node, "beta", 1.0)));
    gm_value_id s = gm_emit1(graph, "Sigmoid", scaled);
    gm_value_id rest = gm_emit2(graph, "Sub", gm_scalar_like(graph, x, 1.0), s);
    gm_value_id slope = gm_emit2(graph, "Add", s, gm_emit2(graph, "Mul", gm_emit2(graph, "Mul", scaled, s), rest));
    if (g->wanted[0])
        g->dx[0] = gm_emit2(graph, "Mul", g->dy[0], slope);
    return graph->status;
}

/* Plain C on dense row-major tensors of any allowed type, in double. Tests hold it against differences, and fast kernels
 * against it, so write what is obviously right. Outputs are allocated but not zeroed; an input left out, or an output that
 * nobody wants, has data == NULL. Values that come with the data (indices) are not to be trusted. */
static gm_status reference_swish(const gm_compute *compute)
{
    const gm_tensor *x = &compute->in[0], *y = &compute->out[0];
    double beta = gm_node_float(compute->node, "beta", 1.0);
    int64_t count = gm_tensor_count(y);
    for (int64_t i = 0; i < count; i++)
        gm_set(y, i, gm_get(x, i) / (1.0 + exp(-beta * gm_get(x, i))));
    return GM_OK;
}

/* The fast kernel has two halves: `lower` runs once while planning and keeps what it found in a state (in lower->pool, never
 * in globals), `run` is called for each step and neither allocates nor fails on what could have been checked before. */
typedef struct swish_state {
    int64_t count;
    float beta;
} swish_state;

static gm_status run_swish(const void *state_pointer, const gm_kernel_arguments *arguments)
{
    const swish_state *state = state_pointer;
    const float *x = arguments->in[0];
    float *y = arguments->out[0];
    /* Static schedule and no sum across threads: the same bits for any number of threads. */
#pragma omp parallel for num_threads(arguments->threads) schedule(static) if (state->count > 16384)
    for (int64_t i = 0; i < state->count; i++)
        y[i] = x[i] / (1.0f + expf(-state->beta * x[i]));
    return GM_OK;
}

/* Leaving lower->kernel.run NULL declines: the reference kernel runs on plain layouts. This kernel works element by element,
 * so it takes x in any layout and gives y the same one, and it may write over x. */
static gm_status lower_swish(gm_lower *lower)
{
    swish_state *state;
    if (lower->reference || !gm_lower_all_float(lower))
        return GM_OK;
    state = gm_pool_alloc(lower->pool, sizeof *state);
    if (!state)
        return GM_ERROR_MEMORY;
    *state =
        (swish_state){gm_lower_count(lower, lower->node->inputs[0]), (float)gm_node_float(lower->node, "beta", 1.0)};
    if (!gm_layout_is_any(lower->in_layout[0]))
        lower->in_want[0] = lower->in_layout[0];
    lower->out_layout[0] = lower->in_want[0];
    lower->in_place[0] = 0;
    lower->kernel = (gm_kernel){run_swish, NULL, state};
    return GM_OK;
}

/* A '?' marks an optional input or output. `since` is the operator-set version whose meaning this entry has; operators of
 * our own are in the domain "gmodel" and count from 1. */
const gm_operator gm_op_swish = {.domain = "gmodel",
                                 .name = "Swish",
                                 .since = 1,
                                 .inputs = "x",
                                 .outputs = "y",
                                 .types = GM_TYPES_FLOATING,
                                 .attributes = swish_attributes,
                                 .attribute_count = GM_COUNT(swish_attributes),
                                 .infer = infer_swish,
                                 .gradient = gradient_swish,
                                 .reference = reference_swish,
                                 .lower = lower_swish};
