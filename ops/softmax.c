/* Softmax and LogSoftmax along one axis. https://onnx.ai/onnx/operators/onnx__Softmax.html (13: one axis, the last one
 * by default). */
#include "ops/elementwise.h"
#include "ops/axes.h"
#include "ops/strided.h"

#include <math.h>

#define PARALLEL_ELEMENTS 4096 /* exp is dear: threads pay earlier than for a copy */

static gm_status infer_softmax(gm_graph *graph, gm_node *node)
{
    int axis;
    GM_TRY(gm_infer_axis(graph, node, gm_node_int(node, "axis", -1), gm_value_of(graph, node->inputs[0])->rank, &axis));
    return gm_infer_unary(graph, node);
}

static gm_value_id sum_along(gm_gradient *g, gm_value_id x)
{
    int64_t axis = gm_node_int(g->node, "axis", -1);
    return gm_emit2(g->graph, "ReduceSum", x, gm_const_ints(g->graph, &axis, 1));
}

/* dx = y * (dy - sum(dy * y)) */
static gm_status gradient_softmax(gm_gradient *g)
{
    gm_value_id y = g->node->outputs[0], dy = g->dy[0];
    gm_value_id sum = sum_along(g, gm_emit2(g->graph, "Mul", dy, y));
    g->dx[0] = gm_emit2(g->graph, "Mul", y, gm_emit2(g->graph, "Sub", dy, sum));
    return g->graph->status;
}

/* dx = dy - exp(y) * sum(dy) */
static gm_status gradient_log_softmax(gm_gradient *g)
{
    gm_value_id y = g->node->outputs[0], dy = g->dy[0];
    gm_value_id scaled = gm_emit2(g->graph, "Mul", gm_emit1(g->graph, "Exp", y), sum_along(g, dy));
    g->dx[0] = gm_emit2(g->graph, "Sub", dy, scaled);
    return g->graph->status;
}

/* x as [outer, length, inner] around the axis */
static void around_axis(const gm_node *node, const gm_tensor *x, int64_t *outer, int64_t *length, int64_t *inner)
{
    int64_t axis = gm_node_int(node, "axis", -1);
    axis = axis < 0 ? axis + x->rank : axis;
    *outer = *inner = 1;
    *length = x->rank ? x->dims[axis] : 1;
    for (int i = 0; i < x->rank; i++)
        *(i < axis ? outer : inner) *= i == axis ? 1 : x->dims[i];
}

static gm_status reference(const gm_compute *compute, bool logarithm)
{
    const gm_tensor *x = &compute->in[0], *y = &compute->out[0];
    int64_t outer, length, inner;
    around_axis(compute->node, x, &outer, &length, &inner);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            int64_t first = o * length * inner + i;
            double most = -(double)INFINITY, sum = 0.0;
            for (int64_t k = 0; k < length; k++)
                most = fmax(most, gm_get(x, first + k * inner));
            for (int64_t k = 0; k < length; k++)
                sum += exp(gm_get(x, first + k * inner) - most);
            for (int64_t k = 0; k < length; k++) {
                double shifted = gm_get(x, first + k * inner) - most;
                gm_set(y, first + k * inner, logarithm ? shifted - log(sum) : exp(shifted) / sum);
            }
        }
    return GM_OK;
}

static gm_status reference_softmax(const gm_compute *compute)
{
    return reference(compute, false);
}

static gm_status reference_log_softmax(const gm_compute *compute)
{
    return reference(compute, true);
}

/* --- Rows of float32
 * --------------------------------------------------------------------------------------------------- */

typedef struct softmax_state {
    int64_t rows, length;
    bool logarithm;
} softmax_state;

static void softmax_row(const float *x, float *y, int64_t length, bool logarithm)
{
    float most = -INFINITY, sum = 0.0f;
    for (int64_t k = 0; k < length; k++)
        most = x[k] > most || isnan(x[k]) ? x[k] : most;
    if (logarithm) {
        for (int64_t k = 0; k < length; k++)
            sum += expf(x[k] - most);
        sum = most + logf(sum);
        for (int64_t k = 0; k < length; k++)
            y[k] = x[k] - sum;
        return;
    }
    for (int64_t k = 0; k < length; k++)
        sum += y[k] = expf(x[k] - most);
    sum = 1.0f / sum;
    for (int64_t k = 0; k < length; k++)
        y[k] *= sum;
}

static gm_status run_softmax(const void *state_pointer, const gm_kernel_arguments *arguments)
{
    const softmax_state *state = state_pointer;
    const float *x = arguments->in[0];
    float *y = arguments->out[0];
#pragma omp parallel for num_threads(arguments->threads)                                                               \
    schedule(static) if (state->rows * state->length > PARALLEL_ELEMENTS)
    for (int64_t r = 0; r < state->rows; r++)
        softmax_row(x + r * state->length, y + r * state->length, state->length, state->logarithm);
    return GM_OK;
}

static gm_status lower(gm_lower *lower, bool logarithm)
{
    gm_compute compute;
    softmax_state *state = gm_pool_alloc(lower->pool, sizeof *state);
    int64_t inner;
    if (!state)
        return GM_ERROR_MEMORY;
    GM_TRY(gm_lower_describe(lower, &compute));
    around_axis(lower->node, &compute.in[0], &state->rows, &state->length, &inner);
    if (lower->reference || !gm_lower_all_float(lower) || inner != 1)
        return GM_OK;
    state->logarithm = logarithm;
    lower->in_place[0] = 0;
    lower->kernel = (gm_kernel){run_softmax, NULL, state};
    return GM_OK;
}

static gm_status lower_softmax(gm_lower *l)
{
    return lower(l, false);
}

static gm_status lower_log_softmax(gm_lower *l)
{
    return lower(l, true);
}

gm_status gm_upgrade_softmax(gm_older_node *node)
{
    gm_graph *graph = node->graph;
    const gm_attribute *given = gm_older_attribute(node, "axis");
    int rank = gm_value_of(graph, node->inputs[0])->rank;
    int64_t axis = given ? given->i : 1;
    gm_value_id flat;
    axis += axis < 0 ? rank : 0;
    gm_older_set(node, gm_attribute_int("axis", -1));
    if (axis == rank - 1 || axis < 0 || axis > rank || rank == 0)
        return axis < 0 || axis > rank ? gm_graph_fail(graph, GM_ERROR_MODEL, "%s: axis %lld is outside [0, %d]",
                                                       node->op->name, (long long)axis, rank)
                                       : GM_OK;
    flat = gm_emit1_with(graph, "Flatten", node->inputs[0], gm_attribute_int("axis", axis));
    flat = gm_emit1_with(graph, node->op->name, flat, gm_attribute_int("axis", -1));
    node->outputs[0] = gm_emit2(graph, "Reshape", flat, gm_shape_of(graph, node->inputs[0]));
    node->done = true;
    return graph->status;
}

static const gm_attribute_schema softmax_attributes[] = {{"axis", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = -1}};
const gm_operator gm_op_softmax = {.domain = "",
                                   .name = "Softmax",
                                   .since = 13,
                                   .inputs = "input",
                                   .outputs = "output",
                                   .types = GM_TYPES_FLOATING,
                                   .attributes = softmax_attributes,
                                   .attribute_count = GM_COUNT(softmax_attributes),
                                   .upgrade = gm_upgrade_softmax,
                                   .infer = infer_softmax,
                                   .gradient = gradient_softmax,
                                   .reference = reference_softmax,
                                   .lower = lower_softmax};
const gm_operator gm_op_log_softmax = {.domain = "",
                                       .name = "LogSoftmax",
                                       .since = 13,
                                       .inputs = "input",
                                       .outputs = "output",
                                       .types = GM_TYPES_FLOATING,
                                       .attributes = softmax_attributes,
                                       .attribute_count = GM_COUNT(softmax_attributes),
                                       .upgrade = gm_upgrade_softmax,
                                       .infer = infer_softmax,
                                       .gradient = gradient_log_softmax,
                                       .reference = reference_log_softmax,
                                       .lower = lower_log_softmax};
