/* RNN, GRU, LSTM: attributes, shapes, and plain kernels for any number of steps.
 *
 * https://onnx.ai/onnx/operators/onnx__LSTM.html (GRU, RNN): X[T, N, I], W[D, G*H, I], R[D, G*H, H], B[D, 2*G*H]?,
 * sequence_lens[N]?, initial_h[D, N, H]?, and for LSTM initial_c[D, N, H]?, P[D, 3*H]? -> Y[T, D, N, H], Y_h[D, N, H],
 * Y_c[D, N, H]; D directions, G gates. Behind the end of a sequence Y is zero, Y_h and Y_c are as at its end. */
#include "ops/recurrent.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* --- Attributes ------------------------------------------------------------------------------------------------------- */

#define ACTIVATION(symbol, expression)                                                                                 \
    static double symbol(double x, double alpha, double beta)                                                          \
    {                                                                                                                  \
        (void)alpha, (void)beta;                                                                                       \
        return expression;                                                                                             \
    }
ACTIVATION(affine, alpha *x + beta)
ACTIVATION(relu, x > 0 ? x : 0)
ACTIVATION(leaky_relu, x >= 0 ? x : alpha * x)
ACTIVATION(thresholded_relu, x >= alpha ? x : 0)
ACTIVATION(tangent, tanh(x))
ACTIVATION(scaled_tanh, alpha *tanh(beta *x))
ACTIVATION(sigmoid, x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)))
ACTIVATION(hard_sigmoid, fmin(fmax(alpha *x + beta, 0), 1))
ACTIVATION(elu, x >= 0 ? x : alpha * expm1(x))
ACTIVATION(softsign, x / (1 + fabs(x)))
ACTIVATION(softplus, fmax(x, 0) + log1p(exp(-fabs(x))))

static const gm_activation activations[] = {
    {"Affine", true, true, 1, 0, affine},
    {"Relu", false, false, 0, 0, relu},
    {"LeakyRelu", true, false, 0.01, 0, leaky_relu},
    {"ThresholdedRelu", true, false, 1, 0, thresholded_relu},
    {"Tanh", false, false, 0, 0, tangent},
    {"ScaledTanh", true, true, 1, 1, scaled_tanh},
    {"Sigmoid", false, false, 0, 0, sigmoid},
    {"HardSigmoid", true, true, 0.2, 0.5, hard_sigmoid},
    {"Elu", true, false, 1, 0, elu},
    {"Softsign", false, false, 0, 0, softsign},
    {"Softplus", false, false, 0, 0, softplus},
};

/* Models in the wild spell the names in upper and lower case. */
static const gm_activation *find_activation(const char *name)
{
    for (size_t i = 0; i < GM_COUNT(activations); i++)
        if (strcasecmp(activations[i].name, name) == 0)
            return &activations[i];
    return NULL;
}

/* The values of activation_alpha and activation_beta go in turn to the functions that take one. */
static const char *read_activations(const gm_node *node, gm_recurrent *out, char *buffer, size_t bytes)
{
    const gm_attribute *names = gm_node_attribute(node, "activations");
    const gm_attribute *alphas = gm_node_attribute(node, "activation_alpha");
    const gm_attribute *betas = gm_node_attribute(node, "activation_beta");
    size_t count = (size_t)(out->activation_count * out->directions), alpha = 0, beta = 0;
    if (names && names->count != count) {
        snprintf(buffer, bytes, "activations needs %zu names, found %zu", count, names->count);
        return buffer;
    }
    for (size_t i = 0; i < count; i++) {
        bool gate = i % (size_t)out->activation_count == 0 && out->kind != GM_RNN;
        const gm_activation *found = find_activation(names ? names->strings[i] : gate ? "Sigmoid" : "Tanh");
        if (!found) {
            snprintf(buffer, bytes, "'%.64s' is no activation of this operator", names->strings[i]);
            return buffer;
        }
        out->activations[i] = *found;
        if (found->takes_alpha && alphas && alpha < alphas->count)
            out->activations[i].alpha = alphas->floats[alpha++];
        if (found->takes_beta && betas && beta < betas->count)
            out->activations[i].beta = betas->floats[beta++];
    }
    return NULL;
}

const char *gm_recurrent_read(const gm_node *node, gm_recurrent *out, char *buffer, size_t bytes)
{
    const char *direction = gm_node_string(node, "direction", "forward");
    bool both = strcmp(direction, "bidirectional") == 0;
    memset(out, 0, sizeof *out);
    out->kind = node->op->name[0] == 'R' ? GM_RNN : node->op->name[0] == 'G' ? GM_GRU : GM_LSTM;
    out->gates = (int[]){1, 3, 4}[out->kind];
    out->activation_count = (int[]){1, 2, 3}[out->kind];
    out->directions = both ? 2 : 1;
    out->reverse = strcmp(direction, "reverse") == 0;
    if (!both && !out->reverse && strcmp(direction, "forward") != 0)
        return "direction must be forward, reverse or bidirectional";
    out->batch_first = gm_node_int(node, "layout", 0) != 0;
    out->linear_before_reset = gm_node_int(node, "linear_before_reset", 0) != 0;
    out->input_forget = gm_node_int(node, "input_forget", 0) != 0;
    out->clip = gm_node_float(node, "clip", 0);
    if (!(out->clip >= 0))
        return "clip must not be negative";
    return read_activations(node, out, buffer, bytes);
}

/* --- Shapes ----------------------------------------------------------------------------------------------------------- */

/* Input `index`, where it is given, must have these dims. */
static gm_status check_input(gm_graph *graph, gm_node *node, size_t index, const char *what, int rank,
                             const gm_dim *dims)
{
    const gm_value *value;
    char found[160];
    if (node->input_count <= index || !node->inputs[index])
        return GM_OK;
    value = gm_value_of(graph, node->inputs[index]);
    for (int i = 0; value->rank == rank && i < rank; i++)
        if (value->dims[i] != dims[i] && gm_dim_is_known(value->dims[i]) && gm_dim_is_known(dims[i]))
            rank = -1;
    if (value->rank != rank)
        return gm_node_fail(graph, node, "%s does not fit X, W and R: found %s", what,
                            gm_shape_text(graph, node->inputs[index], found, sizeof found));
    return GM_OK;
}

static gm_status check_shapes(gm_graph *graph, gm_node *node, const gm_recurrent *r)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]), w = *gm_value_of(graph, node->inputs[1]);
    gm_value weights = *gm_value_of(graph, node->inputs[2]);
    gm_dim hidden = weights.rank == 3 ? weights.dims[2] : 0, batch = x.rank == 3 ? x.dims[r->batch_first ? 0 : 1] : 0;
    int64_t d = r->directions, gates = r->gates, given = gm_node_int(node, "hidden_size", hidden);
    if (x.rank != 3 || w.rank != 3 || weights.rank != 3)
        return gm_node_fail(graph, node, "X, W and R need 3 axes each, found %d, %d and %d", x.rank, w.rank,
                            weights.rank);
    if (!gm_dim_is_known(hidden) || hidden < 1 || given != hidden)
        return gm_node_fail(graph, node, "hidden_size and the last axis of R must be known and equal");
    GM_TRY(check_input(graph, node, 1, "W", 3, (gm_dim[]){d, gates * hidden, x.dims[2]}));
    GM_TRY(check_input(graph, node, 2, "R", 3, (gm_dim[]){d, gates * hidden, hidden}));
    GM_TRY(check_input(graph, node, 3, "B", 2, (gm_dim[]){d, 2 * gates * hidden}));
    GM_TRY(check_input(graph, node, 4, "sequence_lens", 1, (gm_dim[]){batch}));
    for (size_t i = 5; i < 7; i++)
        GM_TRY(check_input(graph, node, i, i == 5 ? "initial_h" : "initial_c", 3,
                           r->batch_first ? (gm_dim[]){batch, d, hidden} : (gm_dim[]){d, batch, hidden}));
    return check_input(graph, node, 7, "P", 2, (gm_dim[]){d, 3 * hidden});
}

static gm_status infer_recurrent(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    gm_recurrent r;
    char buffer[128];
    const char *trouble = gm_recurrent_read(node, &r, buffer, sizeof buffer);
    gm_dim steps, batch, hidden;
    if (trouble)
        return gm_node_fail(graph, node, "%s", trouble);
    for (size_t i = 1; i < node->input_count; i++)
        if (node->inputs[i] && gm_value_of(graph, node->inputs[i])->type != (i == 4 ? GM_INT32 : x.type))
            return gm_node_fail(graph, node, "input %zu must be of type %s", i + 1,
                                gm_type_find(i == 4 ? GM_INT32 : x.type)->name);
    GM_TRY(check_shapes(graph, node, &r));
    steps = x.dims[r.batch_first ? 1 : 0];
    batch = x.dims[r.batch_first ? 0 : 1];
    hidden = gm_value_of(graph, node->inputs[2])->dims[2];
    gm_set_output(graph, node, 0, x.type, 4,
                  r.batch_first ? (gm_dim[]){batch, steps, r.directions, hidden}
                                : (gm_dim[]){steps, r.directions, batch, hidden});
    for (size_t i = 1; i < node->output_count; i++)
        gm_set_output(graph, node, i, x.type, 3,
                      r.batch_first ? (gm_dim[]){batch, r.directions, hidden}
                                    : (gm_dim[]){r.directions, batch, hidden});
    return graph->status;
}

/* --- Plain kernels ---------------------------------------------------------------------------------------------------- */

typedef struct cell { /* one direction, one example */
    const gm_recurrent *r;
    const gm_activation *f;
    const gm_compute *compute;
    int64_t direction, hidden, inputs;
    double *h, *c, *old_h, *x_sums, *h_sums; /* [hidden] three times, [gates * hidden] twice */
} cell;

static const gm_tensor *given(const gm_compute *compute, size_t input)
{
    return compute->node->input_count > input && compute->in[input].data ? &compute->in[input] : NULL;
}

static double activate(const cell *m, int which, double x)
{
    const gm_activation *f = &m->f[which];
    if (m->r->clip > 0)
        x = fmin(fmax(x, -m->r->clip), m->r->clip);
    return f->value(x, f->alpha, f->beta);
}

/* Row k of R times `h`, and its bias. */
static double recurrent_sum(const cell *m, int64_t k, const double *h)
{
    const gm_tensor *weights = &m->compute->in[2], *bias = given(m->compute, 3);
    int64_t rows = m->r->gates * m->hidden;
    double sum = bias ? gm_get(bias, (m->direction * 2 + 1) * rows + k) : 0;
    for (int64_t j = 0; j < m->hidden; j++)
        sum += h[j] * gm_get(weights, (m->direction * rows + k) * m->hidden + j);
    return sum;
}

static void sum_gates(cell *m, int64_t x_at)
{
    const gm_tensor *x = &m->compute->in[0], *weights = &m->compute->in[1], *bias = given(m->compute, 3);
    int64_t rows = m->r->gates * m->hidden;
    for (int64_t k = 0; k < rows; k++) {
        double sum = bias ? gm_get(bias, m->direction * 2 * rows + k) : 0;
        for (int64_t i = 0; i < m->inputs; i++)
            sum += gm_get(x, x_at + i) * gm_get(weights, (m->direction * rows + k) * m->inputs + i);
        m->x_sums[k] = sum;
        m->h_sums[k] = recurrent_sum(m, k, m->h);
    }
}

static void step_rnn(cell *m)
{
    for (int64_t j = 0; j < m->hidden; j++)
        m->h[j] = activate(m, 0, m->x_sums[j] + m->h_sums[j]);
}

static void step_gru(cell *m)
{
    int64_t n = m->hidden;
    double *reset = m->h_sums + n, *masked = m->old_h;
    for (int64_t j = 0; j < n; j++) {
        reset[j] = activate(m, 0, m->x_sums[n + j] + reset[j]);
        masked[j] = reset[j] * m->h[j];
    }
    for (int64_t j = 0; j < n; j++) {
        double z = activate(m, 0, m->x_sums[j] + m->h_sums[j]);
        double more = m->r->linear_before_reset ? reset[j] * m->h_sums[2 * n + j] : recurrent_sum(m, 2 * n + j, masked);
        m->h[j] = (1 - z) * activate(m, 1, m->x_sums[2 * n + j] + more) + z * m->h[j];
    }
}

static void step_lstm(cell *m)
{
    const gm_tensor *peephole = given(m->compute, 7);
    int64_t n = m->hidden, at = m->direction * 3 * n;
    for (int64_t j = 0; j < n; j++) {
        double sums[4], p[3] = {0, 0, 0}, old = m->c[j], input, forget;
        for (int g = 0; g < 4; g++)
            sums[g] = m->x_sums[g * n + j] + m->h_sums[g * n + j];
        for (int g = 0; peephole && g < 3; g++) /* i o f */
            p[g] = gm_get(peephole, at + g * n + j);
        input = activate(m, 0, sums[0] + p[0] * old);
        forget = m->r->input_forget ? 1 - input : activate(m, 0, sums[2] + p[2] * old);
        m->c[j] = forget * old + input * activate(m, 1, sums[3]);
        m->h[j] = activate(m, 0, sums[1] + p[1] * m->c[j]) * m->f[2].value(m->c[j], m->f[2].alpha, m->f[2].beta);
    }
}

static void (*const step_of[])(cell *) = {step_rnn, step_gru, step_lstm};

static void copy_state(const gm_tensor *from, int64_t at, double *to, int64_t count)
{
    for (int64_t j = 0; j < count; j++)
        to[j] = from ? gm_get(from, at + j) : 0;
}

static void store(const gm_tensor *to, int64_t at, const double *from, int64_t count)
{
    for (int64_t j = 0; to->data && j < count; j++)
        gm_set(to, at + j, from ? from[j] : 0);
}

/* All steps of example n. */
static gm_status run_sequence(cell *m, int64_t n)
{
    const gm_compute *compute = m->compute;
    const gm_tensor *x = &compute->in[0], *lengths = given(compute, 4);
    bool batch_first = m->r->batch_first;
    int64_t steps = x->dims[batch_first ? 1 : 0], batch = x->dims[batch_first ? 0 : 1], d = m->direction;
    int64_t length = lengths ? gm_get_int(lengths, n) : steps;
    int64_t state_at = (batch_first ? n * m->r->directions + d : d * batch + n) * m->hidden;
    if (length < 0 || length > steps)
        return gm_fail(compute->context, GM_ERROR_DATA, "%s: sequence length %lld is outside [0, %lld]",
                       compute->node->op->name, (long long)length, (long long)steps);
    copy_state(given(compute, 5), state_at, m->h, m->hidden);
    copy_state(given(compute, 6), state_at, m->c, m->hidden);
    for (int64_t s = 0; s < steps; s++) {
        int64_t t = gm_recurrent_backward(m->r, (int)d) ? steps - 1 - s : s;
        int64_t row = batch_first ? n * steps + t : t * batch + n;
        int64_t y_at = batch_first ? row * m->r->directions + d : (t * m->r->directions + d) * batch + n;
        if (t < length) {
            sum_gates(m, row * m->inputs);
            step_of[m->r->kind](m);
        }
        store(&compute->out[0], y_at * m->hidden, t < length ? m->h : NULL, m->hidden);
    }
    for (size_t i = 1; i < compute->node->output_count; i++)
        store(&compute->out[i], state_at, i == 1 ? m->h : m->c, m->hidden);
    return GM_OK;
}

static gm_status reference_recurrent(const gm_compute *compute)
{
    const gm_tensor *x = &compute->in[0];
    gm_recurrent r;
    char buffer[128];
    cell m = {.r = &r, .compute = compute, .hidden = compute->in[2].dims[2], .inputs = x->dims[2]};
    gm_status status = GM_OK;
    double *memory;
    if (gm_recurrent_read(compute->node, &r, buffer, sizeof buffer))
        return gm_fail(compute->context, GM_ERROR_INTERNAL, "%s: wrong attributes", compute->node->op->name);
    memory = gm_alloc(compute->context, (size_t)(3 + 2 * r.gates) * (size_t)m.hidden * sizeof *memory);
    if (!memory)
        return GM_ERROR_MEMORY;
    m.h = memory;
    m.c = m.h + m.hidden;
    m.old_h = m.c + m.hidden;
    m.x_sums = m.old_h + m.hidden;
    m.h_sums = m.x_sums + r.gates * m.hidden;
    for (m.direction = 0; m.direction < r.directions; m.direction++)
        for (int64_t n = 0; n < x->dims[r.batch_first ? 0 : 1] && status == GM_OK; n++) {
            m.f = r.activations + m.direction * r.activation_count;
            status = run_sequence(&m, n);
        }
    gm_free(compute->context, memory);
    return status;
}

/* --- Entries ---------------------------------------------------------------------------------------------------------- */

#define SHARED_ATTRIBUTES                                                                                              \
    {"activations", GM_ATTRIBUTE_STRINGS, GM_OPTIONAL, .i = 0},                                                        \
        {"activation_alpha", GM_ATTRIBUTE_FLOATS, GM_OPTIONAL, .i = 0},                                                \
        {"activation_beta", GM_ATTRIBUTE_FLOATS, GM_OPTIONAL, .i = 0},                                                 \
        {"clip", GM_ATTRIBUTE_FLOAT, GM_OPTIONAL, .i = 0},                                                             \
        {"direction", GM_ATTRIBUTE_STRING, GM_DEFAULT, .s = "forward"},                                                \
        {"hidden_size", GM_ATTRIBUTE_INT, GM_OPTIONAL, .i = 0},                                                        \
    {                                                                                                                  \
        "layout", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0                                                                 \
    }

static const gm_attribute_schema rnn_attributes[] = {SHARED_ATTRIBUTES};
static const gm_attribute_schema gru_attributes[] = {SHARED_ATTRIBUTES,
                                                     {"linear_before_reset", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0}};
static const gm_attribute_schema lstm_attributes[] = {SHARED_ATTRIBUTES,
                                                      {"input_forget", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0}};

#define RECURRENT(symbol, text, more_inputs, output_names, list)                                                       \
    const gm_operator symbol = {.domain = "",                                                                          \
                                .name = text,                                                                          \
                                .since = 22,                                                                           \
                                .flags = GM_OP_HEAVY,                                                                  \
                                .inputs = "X W R B? sequence_lens? initial_h?" more_inputs,                            \
                                .outputs = output_names,                                                               \
                                .types = GM_TYPES_FLOATING,                                                            \
                                .attributes = list,                                                                    \
                                .attribute_count = GM_COUNT(list),                                                     \
                                .infer = infer_recurrent,                                                              \
                                .expand = gm_recurrent_expand,                                                         \
                                .reference = reference_recurrent}
RECURRENT(gm_op_rnn, "RNN", "", "Y Y_h?", rnn_attributes);
RECURRENT(gm_op_gru, "GRU", "", "Y Y_h?", gru_attributes);
RECURRENT(gm_op_lstm, "LSTM", " initial_c? P?", "Y Y_h? Y_c?", lstm_attributes);
