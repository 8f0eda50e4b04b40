/* Conv (opset 11), ConvTranspose (opset 11), gmodel.ConvWeightGrad: shapes and gradients. Kernels: ops/conv_kernels.c.
 *
 *   Conv            X [N, C, s...], W [M, C / g, k...], B [M]?  -> Y [N, M, t...]
 *   ConvTranspose   X [N, M, t...], W [M, C / g, k...], B [C]?  -> Y [N, C, s...]
 *   ConvWeightGrad  X [N, C, s...], dY [N, M, t...]             -> dW [M, C / g, k...], dB [M]?: the sums of dY
 *
 * Each is linear in both of its arguments, and together they are closed under differentiation: with one window,
 * <Conv(X, W), dY> = <X, ConvTranspose(dY, W)> = <W, ConvWeightGrad(X, dY)>. */
#include "ops/conv_window.h"

#include <string.h>

static gm_status read_window(gm_graph *graph, const gm_node *node, int rank, const int64_t *kernel, gm_window *window)
{
    const char *problem = gm_window_read(node, rank, kernel, window);
    return problem ? gm_node_fail(graph, node, "%s", problem) : GM_OK;
}

/* Types equal, ranks 3 to 5 and equal, group fits. Copies of the first two inputs. */
static gm_status check_inputs(gm_graph *graph, gm_node *node, gm_value *first, gm_value *second, int64_t *group)
{
    char a[160], b[160];
    *first = *gm_value_of(graph, node->inputs[0]);
    *second = *gm_value_of(graph, node->inputs[1]);
    *group = gm_node_int(node, "group", 1);
    GM_TRY(gm_infer_same_type(graph, node));
    if (first->rank < 3 || first->rank > 2 + GM_MAX_SPATIAL || second->rank != first->rank)
        return gm_node_fail(graph, node, "expected two tensors of the same rank, 3 to 5, found %s and %s",
                            gm_shape_text(graph, node->inputs[0], a, sizeof a),
                            gm_shape_text(graph, node->inputs[1], b, sizeof b));
    if (!gm_dim_is_known(first->dims[1]) || !gm_dim_is_known(second->dims[1]) || first->dims[1] < 1)
        return gm_node_fail(graph, node, "the number of channels must be known, found %s and %s",
                            gm_shape_text(graph, node->inputs[0], a, sizeof a),
                            gm_shape_text(graph, node->inputs[1], b, sizeof b));
    if (*group < 1 || first->dims[1] % *group != 0)
        return gm_node_fail(graph, node, "group %lld does not divide the %lld channels", (long long)*group,
                            (long long)first->dims[1]);
    return GM_OK;
}

static gm_status check_weights(gm_graph *graph, gm_node *node, const gm_value *weights)
{
    char text[160];
    for (int i = 0; i < weights->rank; i++)
        if (!gm_dim_is_known(weights->dims[i]) || weights->dims[i] < 1)
            return gm_node_fail(graph, node, "the shape of the weights must be known, found %s",
                                gm_shape_text(graph, node->inputs[1], text, sizeof text));
    return GM_OK;
}

static gm_status check_bias(gm_graph *graph, gm_node *node, int64_t channels)
{
    char text[160];
    const gm_value *bias;
    if (node->input_count < 3 || !node->inputs[2])
        return GM_OK;
    bias = gm_value_of(graph, node->inputs[2]);
    if (bias->rank != 1 || bias->dims[0] != channels)
        return gm_node_fail(graph, node, "the bias must have shape [%lld], found %s", (long long)channels,
                            gm_shape_text(graph, node->inputs[2], text, sizeof text));
    return GM_OK;
}

static gm_status infer_conv(gm_graph *graph, gm_node *node)
{
    gm_value x, w;
    gm_window window;
    gm_dim dims[GM_MAX_RANK];
    int64_t group;
    GM_TRY(check_inputs(graph, node, &x, &w, &group));
    GM_TRY(check_weights(graph, node, &w));
    if (w.dims[1] * group != x.dims[1] || w.dims[0] % group != 0)
        return gm_node_fail(graph, node,
                            "weights [%lld, %lld, ...] with group %lld do not fit an input of %lld channels",
                            (long long)w.dims[0], (long long)w.dims[1], (long long)group, (long long)x.dims[1]);
    GM_TRY(check_bias(graph, node, w.dims[0]));
    GM_TRY(read_window(graph, node, x.rank, w.dims + 2, &window));
    GM_TRY(gm_window_resolve(graph, node, &window, x.dims + 2, false, dims + 2));
    dims[0] = x.dims[0];
    dims[1] = w.dims[0];
    gm_set_output(graph, node, 0, x.type, x.rank, dims);
    return graph->status;
}

static gm_status infer_conv_transpose(gm_graph *graph, gm_node *node)
{
    gm_value x, w;
    gm_window window;
    gm_dim dims[GM_MAX_RANK];
    int64_t group;
    GM_TRY(check_inputs(graph, node, &x, &w, &group));
    GM_TRY(check_weights(graph, node, &w));
    if (w.dims[0] != x.dims[1])
        return gm_node_fail(graph, node, "weights [%lld, ...] do not fit an input of %lld channels",
                            (long long)w.dims[0], (long long)x.dims[1]);
    GM_TRY(check_bias(graph, node, w.dims[1] * group));
    GM_TRY(read_window(graph, node, x.rank, w.dims + 2, &window));
    GM_TRY(gm_window_resolve_transposed(graph, node, &window, x.dims + 2, dims + 2));
    dims[0] = x.dims[0];
    dims[1] = gm_dim_mul(graph->symbols, w.dims[1], group);
    gm_set_output(graph, node, 0, x.type, x.rank, dims);
    return graph->status;
}

static gm_status infer_conv_weight_grad(gm_graph *graph, gm_node *node)
{
    gm_value x, dy;
    gm_window window;
    gm_dim dims[GM_MAX_RANK], small[GM_MAX_SPATIAL];
    int64_t group;
    GM_TRY(check_inputs(graph, node, &x, &dy, &group));
    GM_TRY(read_window(graph, node, x.rank, NULL, &window));
    GM_TRY(gm_window_resolve(graph, node, &window, x.dims + 2, false, small));
    if (dy.dims[1] % group != 0 || dy.dims[0] != x.dims[0] ||
        memcmp(small, dy.dims + 2, (size_t)window.spatial * sizeof small[0]) != 0) {
        char a[160], b[160];
        return gm_node_fail(graph, node, "a window over %s does not give %s",
                            gm_shape_text(graph, node->inputs[0], a, sizeof a),
                            gm_shape_text(graph, node->inputs[1], b, sizeof b));
    }
    dims[0] = dy.dims[1];
    dims[1] = x.dims[1] / group;
    memcpy(dims + 2, window.kernel, (size_t)window.spatial * sizeof dims[0]);
    gm_set_output(graph, node, 0, x.type, x.rank, dims);
    gm_set_output(graph, node, 1, x.type, 1, dims);
    return graph->status;
}

/* --- Gradients ---------------------------------------------------------------------------------------------------- */

/* The window of one node with explicit pads, as attributes for the three operators. */
typedef struct window_attributes {
    gm_window window;
    int64_t pads[2 * GM_MAX_SPATIAL], output_padding[GM_MAX_SPATIAL];
    gm_attribute list[6];
} window_attributes;

/* big, small: sizes of the spatial axes. The high pads are those that the small side needs exactly, plus the
 * output_padding that ConvTranspose needs to reach the big size. */
static gm_status describe_window(gm_gradient *g, gm_value_id big, gm_value_id small, const int64_t *kernel,
                                 bool transposed, window_attributes *out)
{
    const gm_value *b = gm_value_of(g->graph, big), *s = gm_value_of(g->graph, small);
    gm_window *window = &out->window;
    gm_dim sizes[GM_MAX_SPATIAL];
    GM_TRY(read_window(g->graph, g->node, b->rank, kernel, window));
    if (transposed)
        GM_TRY(gm_window_resolve_transposed(g->graph, g->node, window, s->dims + 2, sizes));
    else
        GM_TRY(gm_window_resolve(g->graph, g->node, window, b->dims + 2, false, sizes));
    for (int i = 0; i < window->spatial; i++) {
        int64_t reach, over = 0;
        if (gm_dim_is_known(b->dims[2 + i])) {
            reach = (s->dims[2 + i] - 1) * window->stride[i] + gm_window_extent(window, i);
            over = b->dims[2 + i] + window->low[i] + window->high[i] - reach; /* positions that no window covers */
        } else if (window->stride[i] != 1) {
            return gm_node_fail(g->graph, g->node,
                                "its gradient needs a known size of spatial axis %d, or stride 1 there", i);
        }
        out->output_padding[i] = over < window->stride[i] ? over : 0;
        if (over >= window->stride[i]) /* longer than a ConvTranspose may be padded: shorten the end instead */
            window->high[i] -= over;
        out->pads[i] = window->low[i];
        out->pads[i + window->spatial] = window->high[i];
    }
    out->list[0] = gm_attribute_ints("kernel_shape", window->kernel, (size_t)window->spatial);
    out->list[1] = gm_attribute_ints("strides", window->stride, (size_t)window->spatial);
    out->list[2] = gm_attribute_ints("pads", out->pads, 2 * (size_t)window->spatial);
    out->list[3] = gm_attribute_ints("dilations", window->dilation, (size_t)window->spatial);
    out->list[4] = gm_attribute_int("group", gm_node_int(g->node, "group", 1));
    out->list[5] = gm_attribute_ints("output_padding", out->output_padding, (size_t)window->spatial);
    return GM_OK;
}

static gm_value_id emit_conv(gm_gradient *g, const window_attributes *a, gm_value_id x, gm_value_id w)
{
    return gm_emit(g->graph, "Conv", (gm_value_id[]){x, w}, 2, a->list, 5);
}

static gm_value_id emit_transpose(gm_gradient *g, const window_attributes *a, gm_value_id dy, gm_value_id w)
{
    return gm_emit(g->graph, "ConvTranspose", (gm_value_id[]){dy, w}, 2, a->list, 6);
}

static gm_value_id emit_weight_grad(gm_gradient *g, const window_attributes *a, gm_value_id x, gm_value_id dy)
{
    return gm_emit(g->graph, "gmodel.ConvWeightGrad", (gm_value_id[]){x, dy}, 2, a->list, 5);
}

static bool wants_bias_gradient(const gm_gradient *g)
{
    return g->node->input_count > 2 && g->node->inputs[2] && g->wanted[2];
}

/* dB = sum of dY over batch and space. */
static void bias_gradient(gm_gradient *g)
{
    int64_t axes[1 + GM_MAX_SPATIAL] = {0, 2, 3, 4};
    size_t count = (size_t)gm_value_of(g->graph, g->dy[0])->rank - 1;
    g->dx[2] = gm_emit2_with(g->graph, "ReduceSum", g->dy[0], gm_const_ints(g->graph, axes, count),
                             gm_attribute_int("keepdims", 0));
}

/* dX = ConvTranspose(dY, W), dW and dB = ConvWeightGrad(X, dY) */
static gm_status conv_gradient(gm_gradient *g)
{
    const gm_node *node = g->node;
    gm_value w = *gm_value_of(g->graph, node->inputs[1]);
    window_attributes window;
    GM_TRY(describe_window(g, node->inputs[0], node->outputs[0], w.dims + 2, false, &window));
    if (g->wanted[0])
        g->dx[0] = emit_transpose(g, &window, g->dy[0], node->inputs[1]);
    if (g->wanted[1] && wants_bias_gradient(g)) {
        gm_value_id inputs[2] = {node->inputs[0], g->dy[0]};
        gm_emit_many(g->graph, "gmodel.ConvWeightGrad", inputs, 2, window.list, 5, g->dx + 1, 2);
    } else if (g->wanted[1]) {
        g->dx[1] = emit_weight_grad(g, &window, node->inputs[0], g->dy[0]);
    } else if (wants_bias_gradient(g)) {
        bias_gradient(g);
    }
    return g->graph->status;
}

/* dX = Conv(dY, W), dW = ConvWeightGrad(dY, X) */
static gm_status conv_transpose_gradient(gm_gradient *g)
{
    const gm_node *node = g->node;
    gm_value w = *gm_value_of(g->graph, node->inputs[1]);
    window_attributes window;
    GM_TRY(describe_window(g, node->outputs[0], node->inputs[0], w.dims + 2, true, &window));
    if (g->wanted[0])
        g->dx[0] = emit_conv(g, &window, g->dy[0], node->inputs[1]);
    if (g->wanted[1])
        g->dx[1] = emit_weight_grad(g, &window, g->dy[0], node->inputs[0]);
    if (wants_bias_gradient(g))
        bias_gradient(g);
    return g->graph->status;
}

/* With V the gradient by dW and u by dB: dX = ConvTranspose(dY, V), d(dY) = Conv(X, V) + u */
static gm_status conv_weight_grad_gradient(gm_gradient *g)
{
    const gm_node *node = g->node;
    int64_t wide[2 + GM_MAX_SPATIAL] = {1, -1, 1, 1, 1};
    gm_value_id V = g->dy[0], u = node->output_count > 1 ? g->dy[1] : 0;
    size_t rank = (size_t)gm_value_of(g->graph, node->inputs[1])->rank;
    window_attributes window;
    GM_TRY(describe_window(g, node->inputs[0], node->inputs[1], NULL, false, &window));
    if (g->wanted[0] && V)
        g->dx[0] = emit_transpose(g, &window, node->inputs[1], V);
    if (g->wanted[1] && V)
        g->dx[1] = u ? gm_emit(g->graph, "Conv", (gm_value_id[]){node->inputs[0], V, u}, 3, window.list, 5)
                     : emit_conv(g, &window, node->inputs[0], V);
    else if (g->wanted[1])
        g->dx[1] = gm_expand_like(g->graph, gm_emit2(g->graph, "Reshape", u, gm_const_ints(g->graph, wide, rank)),
                                  node->inputs[1]);
    return g->graph->status;
}

/* --- Tables ------------------------------------------------------------------------------------------------------- */

#define WINDOW_ATTRIBUTES                                                                                              \
    {.name = "auto_pad", .kind = GM_ATTRIBUTE_STRING, .presence = GM_DEFAULT, .s = "NOTSET"},                          \
        {.name = "dilations", .kind = GM_ATTRIBUTE_INTS},                                                              \
        {.name = "group", .kind = GM_ATTRIBUTE_INT, .presence = GM_DEFAULT, .i = 1},                                   \
        {.name = "kernel_shape", .kind = GM_ATTRIBUTE_INTS}, {.name = "pads", .kind = GM_ATTRIBUTE_INTS},              \
    {                                                                                                                  \
        .name = "strides", .kind = GM_ATTRIBUTE_INTS                                                                   \
    }

static const gm_attribute_schema conv_attributes[] = {WINDOW_ATTRIBUTES};
static const gm_attribute_schema conv_transpose_attributes[] = {
    WINDOW_ATTRIBUTES,
    {.name = "output_padding", .kind = GM_ATTRIBUTE_INTS},
    {.name = "output_shape", .kind = GM_ATTRIBUTE_INTS},
};

const gm_operator gm_op_conv = {
    .domain = "",
    .name = "Conv",
    .since = 11,
    .flags = GM_OP_HEAVY,
    .inputs = "X W B?",
    .outputs = "Y",
    .types = GM_TYPES_FLOATING,
    .attributes = conv_attributes,
    .attribute_count = GM_COUNT(conv_attributes),
    .infer = infer_conv,
    .gradient = conv_gradient,
    .reference = gm_conv_reference,
    .lower = gm_conv_lower,
    .formulations = gm_conv_formulations,
};

const gm_operator gm_op_conv_transpose = {
    .domain = "",
    .name = "ConvTranspose",
    .since = 11,
    .flags = GM_OP_HEAVY,
    .inputs = "X W B?",
    .outputs = "Y",
    .types = GM_TYPES_FLOATING,
    .attributes = conv_transpose_attributes,
    .attribute_count = GM_COUNT(conv_transpose_attributes),
    .infer = infer_conv_transpose,
    .gradient = conv_transpose_gradient,
    .reference = gm_conv_transpose_reference,
    .lower = gm_conv_transpose_lower,
    .formulations = gm_conv_formulations,
};

const gm_operator gm_op_conv_weight_grad = {
    .domain = "gmodel",
    .name = "ConvWeightGrad",
    .since = 1,
    .flags = GM_OP_HEAVY,
    .inputs = "X dY",
    .outputs = "dW dB?",
    .types = GM_TYPES_FLOATING,
    .attributes = conv_attributes,
    .attribute_count = GM_COUNT(conv_attributes),
    .infer = infer_conv_weight_grad,
    .gradient = conv_weight_grad_gradient,
    .reference = gm_conv_weight_grad_reference,
    .lower = gm_conv_weight_grad_lower,
    .formulations = gm_conv_formulations,
};
