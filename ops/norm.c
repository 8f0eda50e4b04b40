/* BatchNormalization (opset 15), gmodel.BatchNormalizationTraining, gmodel.BatchNormalizationGrad: rules and plain
 * kernels. S. Ioffe, C. Szegedy, "Batch Normalization" (2015). Channels are axis 1; statistics run over all other axes.
 *
 *   BatchNormalization           X [N, C, ...], scale, B, mean, var [C] -> Y = (X - mean) * scale / sqrt(var + epsilon) + B
 *   BatchNormalizationTraining   X, scale, B -> Y, mean [C], var [C] (of the batch, biased); Y as above with these
 *   BatchNormalizationGrad       X, scale, mean, var, dY, gate? -> dX, dscale, dB
 *
 * gate: the result of a rectifier that follows, whose gradient is taken on the way: dY counts `slope` times where gate is
 * not positive (graph/gate_norm.c). *
 * In training mode BatchNormalization becomes BatchNormalizationTraining and the blending of running statistics. */
#include "ops/norm.h"

#include <math.h>
#include <string.h>

/* --- Inference ---------------------------------------------------------------------------------------------------- */

/* X has channels; inputs first ... last are vectors of as many. */
static gm_status check_channels(gm_graph *graph, gm_node *node, size_t first, size_t last)
{
    const gm_value *x = gm_value_of(graph, node->inputs[0]);
    char a[160], b[160];
    GM_TRY(gm_infer_same_type(graph, node));
    if (x->rank < 2)
        return gm_node_fail(graph, node, "takes tensors [N, C, ...], found %s",
                            gm_shape_text(graph, node->inputs[0], a, sizeof a));
    for (size_t i = first; i <= last; i++) {
        const gm_value *v = gm_value_of(graph, node->inputs[i]);
        if (v->rank != 1 || v->dims[0] != x->dims[1])
            return gm_node_fail(graph, node, "input %zu of (%s) has shape %s; it needs one number per channel of %s",
                                i + 1, node->op->inputs, gm_shape_text(graph, node->inputs[i], b, sizeof b),
                                gm_shape_text(graph, node->inputs[0], a, sizeof a));
    }
    return GM_OK;
}

static gm_status infer_inference(gm_graph *graph, gm_node *node)
{
    GM_TRY(check_channels(graph, node, 1, 4));
    gm_set_output_like(graph, node, 0, node->inputs[0]);
    gm_set_output_like(graph, node, 1, node->inputs[3]);
    gm_set_output_like(graph, node, 2, node->inputs[4]);
    return graph->status;
}

static gm_status infer_training(gm_graph *graph, gm_node *node)
{
    if (node->output_count != 3)
        return gm_node_fail(graph, node, "has three outputs (%s)", node->op->outputs);
    GM_TRY(check_channels(graph, node, 1, 2));
    gm_set_output_like(graph, node, 0, node->inputs[0]);
    gm_set_output_like(graph, node, 1, node->inputs[1]);
    gm_set_output_like(graph, node, 2, node->inputs[1]);
    return graph->status;
}

static gm_status infer_grad(gm_graph *graph, gm_node *node)
{
    const gm_value *x = gm_value_of(graph, node->inputs[0]);
    GM_TRY(check_channels(graph, node, 1, 3));
    for (size_t i = 4; i < node->input_count; i++)
        if (node->inputs[i] && !gm_same_type_and_shape(x, gm_value_of(graph, node->inputs[i])))
            return gm_node_fail(graph, node, "X and %s have different shapes", i == 4 ? "dY" : "gate");
    gm_set_output_like(graph, node, 0, node->inputs[0]);
    gm_set_output_like(graph, node, 1, node->inputs[1]);
    gm_set_output_like(graph, node, 2, node->inputs[1]);
    return graph->status;
}

/* --- Emitting expressions over channels --------------------------------------------------------------------------- */

/* One node's expressions: X's axes without the channel, and epsilon. */
typedef struct channel_math {
    gm_graph *graph;
    int64_t axes[GM_MAX_RANK];
    size_t axis_count;
    gm_value_id shape; /* [1, -1, 1, ...] */
    gm_value_id x;
} channel_math;

static channel_math channel_math_of(gm_graph *graph, gm_value_id x)
{
    channel_math m = {.graph = graph, .x = x};
    int64_t shape[GM_MAX_RANK];
    int rank = gm_value_of(graph, x)->rank;
    for (int i = 0; i < rank; i++) {
        shape[i] = i == 1 ? -1 : 1;
        if (i != 1)
            m.axes[m.axis_count++] = i;
    }
    m.shape = gm_const_ints(graph, shape, (size_t)rank);
    return m;
}

static gm_value_id mul(const channel_math *m, gm_value_id a, gm_value_id b)
{
    return gm_emit2(m->graph, "Mul", a, b);
}

static gm_value_id sub(const channel_math *m, gm_value_id a, gm_value_id b)
{
    return gm_emit2(m->graph, "Sub", a, b);
}

/* Of two values that may be absent. */
static gm_value_id add(const channel_math *m, gm_value_id a, gm_value_id b)
{
    return !a ? b : !b ? a : gm_emit2(m->graph, "Add", a, b);
}

static gm_value_id scaled(const channel_math *m, gm_value_id a, double factor)
{
    return mul(m, a, gm_scalar_like(m->graph, a, factor));
}

/* [C] -> [1, C, 1, ...] */
static gm_value_id wide(const channel_math *m, gm_value_id vector)
{
    return gm_emit2(m->graph, "Reshape", vector, m->shape);
}

/* [N, C, ...] -> [C] */
static gm_value_id sum(const channel_math *m, gm_value_id tensor)
{
    return gm_emit2_with(m->graph, "ReduceSum", tensor, gm_const_ints(m->graph, m->axes, m->axis_count),
                         gm_attribute_int("keepdims", 0));
}

/* [C] divided by the number of elements of a channel */
static gm_value_id mean_of_sum(const channel_math *m, gm_value_id vector)
{
    return gm_emit2(m->graph, "Div", vector, gm_count_along(m->graph, m->x, m->axes, m->axis_count));
}

/* 1 / sqrt(var + epsilon) */
static gm_value_id inverse_deviation(const channel_math *m, gm_value_id var, double epsilon)
{
    gm_value_id sum_of = gm_emit2(m->graph, "Add", var, gm_scalar_like(m->graph, var, epsilon));
    return gm_emit1(m->graph, "Reciprocal", gm_emit1(m->graph, "Sqrt", sum_of));
}

/* --- Expansion ---------------------------------------------------------------------------------------------------- */

static bool trains(const gm_graph *graph, const gm_node *node)
{
    return gm_node_int(node, "training_mode", graph->training) != 0;
}

/* momentum * running + (1 - momentum) * batch */
static gm_value_id blend(gm_graph *graph, gm_value_id running, gm_value_id batch, double momentum)
{
    return gm_emit2(graph, "Add", gm_emit2(graph, "Mul", running, gm_scalar_like(graph, running, momentum)),
                    gm_emit2(graph, "Mul", batch, gm_scalar_like(graph, batch, 1.0 - momentum)));
}

static gm_status expand_batch_normalization(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    double epsilon = gm_node_float(node, "epsilon", 1e-5), momentum = gm_node_float(node, "momentum", 0.9);
    gm_attribute list[2] = {gm_attribute_float("epsilon", epsilon), gm_attribute_int("training_mode", 0)};
    gm_value_id results[3];
    if (trains(graph, node)) {
        gm_emit_many(graph, "gmodel.BatchNormalizationTraining", node->inputs, 3, list, 1, results, 3);
        outputs[0] = results[0];
        for (size_t i = 1; i < node->output_count; i++)
            outputs[i] = node->outputs[i] ? blend(graph, node->inputs[2 + i], results[i], momentum) : 0;
    } else if (node->output_count > 1) { /* running statistics stay as they are */
        outputs[0] = gm_emit(graph, "BatchNormalization", node->inputs, 5, list, 2);
        for (size_t i = 1; i < node->output_count; i++)
            outputs[i] = node->inputs[2 + i];
    }
    return graph->status; /* else: stays as it is */
}

/* --- Gradients ---------------------------------------------------------------------------------------------------- */

/* y = (x - mean) r scale + B with r = (var + epsilon)^(-1/2), all five independent:
 *   dX = dY scale r, dscale = sum dY (x - mean) r, dB = sum dY, dmean = -scale r dB,
 *   dvar = -1/2 scale r^3 sum dY (x - mean) */
static gm_status inference_gradient(gm_gradient *g)
{
    const gm_node *node = g->node;
    gm_value_id x = node->inputs[0], scale = node->inputs[1], dy = g->dy[0];
    channel_math m = channel_math_of(g->graph, x);
    gm_value_id r, a, db = 0, correlated = 0;
    if (!dy)
        return GM_OK;
    r = inverse_deviation(&m, node->inputs[4], gm_node_float(node, "epsilon", 1e-5));
    a = mul(&m, scale, r);
    if (g->wanted[2] || g->wanted[3])
        db = sum(&m, dy);
    if (g->wanted[1] || g->wanted[4])
        correlated = sum(&m, mul(&m, dy, sub(&m, x, wide(&m, node->inputs[3]))));
    if (g->wanted[0])
        g->dx[0] = mul(&m, dy, wide(&m, a));
    if (g->wanted[1])
        g->dx[1] = mul(&m, correlated, r);
    if (g->wanted[2])
        g->dx[2] = db;
    if (g->wanted[3])
        g->dx[3] = gm_emit1(g->graph, "Neg", mul(&m, a, db));
    if (g->wanted[4])
        g->dx[4] = scaled(&m, mul(&m, mul(&m, a, mul(&m, r, r)), correlated), -0.5);
    return g->graph->status;
}

/* By Y: gmodel.BatchNormalizationGrad. By the statistics, M elements to a channel:
 *   dX += dmean / M + dvar 2 (x - mean) / M */
static gm_status training_gradient(gm_gradient *g)
{
    const gm_node *node = g->node;
    gm_value_id x = node->inputs[0], mean = node->outputs[1], var = node->outputs[2], dx = 0;
    channel_math m = channel_math_of(g->graph, x);
    if (g->dy[0]) {
        gm_attribute epsilon = gm_attribute_float("epsilon", gm_node_float(node, "epsilon", 1e-5));
        gm_value_id inputs[5] = {x, node->inputs[1], mean, var, g->dy[0]}, results[3];
        gm_emit_many(g->graph, "gmodel.BatchNormalizationGrad", inputs, 5, &epsilon, 1, results, 3);
        dx = results[0];
        for (int i = 1; i < 3; i++)
            if (g->wanted[i])
                g->dx[i] = results[i];
    }
    if (g->wanted[0] && g->dy[2])
        dx = add(&m, dx, mul(&m, sub(&m, x, wide(&m, mean)), wide(&m, scaled(&m, mean_of_sum(&m, g->dy[2]), 2.0))));
    if (g->wanted[0] && g->dy[1])
        dx = add(&m, dx, gm_expand_like(g->graph, wide(&m, mean_of_sum(&m, g->dy[1])), x));
    if (g->wanted[0])
        g->dx[0] = dx;
    return g->graph->status;
}

static bool has_gate(const gm_node *node)
{
    return node->input_count > 5 && node->inputs[5];
}

/* Second order. With h = (x - mean) r, a = scale r, p = sum dY h, b = sum dY, the node computes
 *   dX = a (dY - b / M - h p / M), dscale = p, dB = b
 * as a function of five independent inputs. For gradients V, u, w by its outputs, A1 = sum V, A2 = sum V h:
 *   by dY   a (V - A1 / M - h A2 / M) + u h + w
 *   by h    dY (u - a A2 / M) - V a p / M                      =: H
 *   by a    sum V dY - A1 b / M - A2 p / M                     =: k
 *   by x    H r;   by mean  -r sum H;   by scale  k r
 *   by var  -1/2 r^3 (sum H (x - mean) + k scale) */
static gm_status grad_gradient(gm_gradient *g)
{
    const gm_node *node = g->node;
    gm_value_id x = node->inputs[0], scale = node->inputs[1], dy = node->inputs[4];
    gm_value_id V = g->dy[0], u = g->dy[1], w = g->dy[2], step = 0;
    channel_math m = channel_math_of(g->graph, x);
    gm_value_id r = inverse_deviation(&m, node->inputs[3], gm_node_float(node, "epsilon", 1e-5));
    gm_value_id centred = sub(&m, x, wide(&m, node->inputs[2])), h = mul(&m, centred, wide(&m, r));
    gm_value_id a = mul(&m, scale, r), by_dy = 0, by_h = 0, k = 0, factor = u, by_r;
    if (has_gate(node)) {
        step = gm_emit1_with(g->graph, "gmodel.Step", node->inputs[5],
                             gm_attribute_float("slope", gm_node_float(node, "slope", 0.0)));
        dy = mul(&m, dy, step);
    }
    if (V) {
        gm_value_id a1 = sum(&m, V), a2 = sum(&m, mul(&m, V, h)), p = sum(&m, mul(&m, dy, h)), b = sum(&m, dy);
        gm_value_id mean1 = mean_of_sum(&m, a1), mean2 = mean_of_sum(&m, a2);
        by_dy = mul(&m, sub(&m, sub(&m, V, wide(&m, mean1)), mul(&m, h, wide(&m, mean2))), wide(&m, a));
        by_h = gm_emit1(g->graph, "Neg", mul(&m, V, wide(&m, mul(&m, a, mean_of_sum(&m, p)))));
        k = sub(&m, sub(&m, sum(&m, mul(&m, V, dy)), mul(&m, mean1, b)), mul(&m, mean2, p));
        factor = gm_emit1(g->graph, "Neg", mul(&m, a, mean2));
        factor = add(&m, factor, u);
    }
    if (u)
        by_dy = add(&m, by_dy, mul(&m, h, wide(&m, u)));
    if (w)
        by_dy = add(&m, by_dy, gm_expand_like(g->graph, wide(&m, w), x));
    if (factor)
        by_h = add(&m, by_h, mul(&m, dy, wide(&m, factor)));
    if (g->wanted[4])
        g->dx[4] = by_dy && step ? mul(&m, by_dy, step) : by_dy;
    if (!by_h)
        return g->graph->status;
    by_r = sum(&m, mul(&m, by_h, centred));
    if (k)
        by_r = add(&m, by_r, mul(&m, k, scale));
    if (g->wanted[0])
        g->dx[0] = mul(&m, by_h, wide(&m, r));
    if (g->wanted[1] && k)
        g->dx[1] = mul(&m, k, r);
    if (g->wanted[2])
        g->dx[2] = gm_emit1(g->graph, "Neg", mul(&m, r, sum(&m, by_h)));
    if (g->wanted[3])
        g->dx[3] = scaled(&m, mul(&m, mul(&m, r, mul(&m, r, r)), by_r), -0.5);
    return g->graph->status;
}

/* --- Reference ---------------------------------------------------------------------------------------------------- */

typedef struct plain_shape {
    int64_t batch, channels, positions;
} plain_shape;

static plain_shape plain_shape_of(const gm_tensor *x)
{
    plain_shape s = {x->dims[0], x->dims[1], 1};
    for (int i = 2; i < x->rank; i++)
        s.positions *= x->dims[i];
    return s;
}

/* Index of element i (counted over batch and positions) of channel c. */
static int64_t element(const plain_shape *s, int64_t c, int64_t i)
{
    return (i / s->positions * s->channels + c) * s->positions + i % s->positions;
}

static void normalize_channel(const plain_shape *s, int64_t c, const gm_tensor *x, const gm_tensor *y, double mean,
                              double a, double b)
{
    for (int64_t i = 0; i < s->batch * s->positions; i++)
        gm_set(y, element(s, c, i), (gm_get(x, element(s, c, i)) - mean) * a + b);
}

static gm_status inference_reference(const gm_compute *compute)
{
    const gm_tensor *in = compute->in;
    double epsilon = gm_node_float(compute->node, "epsilon", 1e-5);
    plain_shape s = plain_shape_of(&in[0]);
    for (int64_t c = 0; c < s.channels; c++)
        normalize_channel(&s, c, &in[0], &compute->out[0], gm_get(&in[3], c),
                          gm_get(&in[1], c) / sqrt(gm_get(&in[4], c) + epsilon), gm_get(&in[2], c));
    return GM_OK;
}

static gm_status training_reference(const gm_compute *compute)
{
    const gm_tensor *in = compute->in, *out = compute->out;
    double epsilon = gm_node_float(compute->node, "epsilon", 1e-5);
    plain_shape s = plain_shape_of(&in[0]);
    int64_t count = s.batch * s.positions;
    for (int64_t c = 0; c < s.channels; c++) {
        double mean = 0.0, var = 0.0;
        for (int64_t i = 0; i < count; i++)
            mean += gm_get(&in[0], element(&s, c, i));
        mean /= (double)count;
        for (int64_t i = 0; i < count; i++) {
            double d = gm_get(&in[0], element(&s, c, i)) - mean;
            var += d * d;
        }
        var /= (double)count;
        if (out[0].data)
            normalize_channel(&s, c, &in[0], &out[0], mean, gm_get(&in[1], c) / sqrt(var + epsilon), gm_get(&in[2], c));
        if (compute->node->output_count > 1 && out[1].data)
            gm_set(&out[1], c, mean);
        if (compute->node->output_count > 2 && out[2].data)
            gm_set(&out[2], c, var);
    }
    return GM_OK;
}

/* dY as it counts. */
static double gated(const gm_compute *compute, const gm_tensor *gate, double slope, int64_t at)
{
    double dy = gm_get(&compute->in[4], at);
    return gate && !(gm_get(gate, at) > 0.0) ? dy * slope : dy;
}

static gm_status grad_reference(const gm_compute *compute)
{
    const gm_tensor *x = &compute->in[0], *out = compute->out, *gate = has_gate(compute->node) ? &compute->in[5] : NULL;
    double epsilon = gm_node_float(compute->node, "epsilon", 1e-5), slope = gm_node_float(compute->node, "slope", 0.0);
    size_t outputs = compute->node->output_count;
    plain_shape s = plain_shape_of(x);
    int64_t count = s.batch * s.positions;
    for (int64_t c = 0; c < s.channels; c++) {
        double mean = gm_get(&compute->in[2], c), r = 1.0 / sqrt(gm_get(&compute->in[3], c) + epsilon);
        double a = gm_get(&compute->in[1], c) * r, b = 0.0, p = 0.0;
        for (int64_t i = 0; i < count; i++) {
            double d = gated(compute, gate, slope, element(&s, c, i));
            b += d;
            p += d * (gm_get(x, element(&s, c, i)) - mean) * r;
        }
        for (int64_t i = 0; out[0].data && i < count; i++) {
            int64_t at = element(&s, c, i);
            double h = (gm_get(x, at) - mean) * r;
            gm_set(&out[0], at, a * (gated(compute, gate, slope, at) - b / (double)count - h * p / (double)count));
        }
        if (outputs > 1 && out[1].data)
            gm_set(&out[1], c, p);
        if (outputs > 2 && out[2].data)
            gm_set(&out[2], c, b);
    }
    return GM_OK;
}

/* --- Tables ------------------------------------------------------------------------------------------------------- */

static const gm_attribute_schema attributes[] = {
    {.name = "epsilon", .kind = GM_ATTRIBUTE_FLOAT, .presence = GM_DEFAULT, .f = 1e-5},
    {.name = "momentum", .kind = GM_ATTRIBUTE_FLOAT, .presence = GM_DEFAULT, .f = 0.9},
    {.name = "training_mode", .kind = GM_ATTRIBUTE_INT}, /* not given: as the graph */
};

static const gm_attribute_schema grad_attributes[] = {
    {.name = "epsilon", .kind = GM_ATTRIBUTE_FLOAT, .presence = GM_DEFAULT, .f = 1e-5},
    {.name = "slope", .kind = GM_ATTRIBUTE_FLOAT, .presence = GM_DEFAULT, .f = 0.0},
};

static const gm_older older[] = {
    {7, GM_OLDER_ATTRIBUTE, "is_test", .i = 0}, {9, GM_OLDER_ATTRIBUTE, "spatial", .i = 0}, {0}};

static gm_status upgrade(gm_older_node *node)
{
    const gm_attribute *spatial = gm_older_attribute(node, "spatial"), *test = gm_older_attribute(node, "is_test");
    if (node->opset < 9 && spatial && spatial->i == 0)
        return gm_graph_fail(node->graph, GM_ERROR_UNSUPPORTED,
                             "BatchNormalization with statistics of each place (spatial = 0) is not supported");
    if (node->opset < 7)
        gm_older_set(node, gm_attribute_int("training_mode", !test || test->i == 0));
    return GM_OK;
}

const gm_operator gm_op_batch_normalization = {
    .domain = "",
    .name = "BatchNormalization",
    .since = 15,
    .inputs = "X scale B input_mean input_var",
    .outputs = "Y running_mean? running_var?",
    .types = GM_TYPES_FLOATING,
    .attributes = attributes,
    .attribute_count = GM_COUNT(attributes),
    .older = older,
    .upgrade = upgrade,
    .infer = infer_inference,
    .expand = expand_batch_normalization,
    .gradient = inference_gradient,
    .reference = inference_reference,
    .lower = gm_batch_normalization_lower,
};

const gm_operator gm_op_batch_normalization_training = {
    .domain = "gmodel",
    .name = "BatchNormalizationTraining",
    .since = 1,
    .inputs = "X scale B",
    .outputs = "Y mean var",
    .types = GM_TYPES_FLOATING,
    .attributes = attributes,
    .attribute_count = 1,
    .infer = infer_training,
    .gradient = training_gradient,
    .reference = training_reference,
    .lower = gm_batch_normalization_training_lower,
};

const gm_operator gm_op_batch_normalization_grad = {
    .domain = "gmodel",
    .name = "BatchNormalizationGrad",
    .since = 1,
    .inputs = "X scale mean var dY gate?",
    .outputs = "dX dscale dB",
    .types = GM_TYPES_FLOATING,
    .attributes = grad_attributes,
    .attribute_count = GM_COUNT(grad_attributes),
    .infer = infer_grad,
    .gradient = grad_gradient,
    .reference = grad_reference,
    .lower = gm_batch_normalization_grad_lower,
};
