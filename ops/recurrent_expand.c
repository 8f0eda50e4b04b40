/* RNN, GRU, LSTM unrolled over time. What the inputs give to all gates of all steps is one matrix product; each step then
 * adds the product of the last state. Gradients, fusion and fast kernels are those of the operators that stand here. */
#include "ops/recurrent.h"

#include <string.h>

#define MOST_STEPS 512 /* of both directions together: beyond it the graph would grow too large */

typedef struct unrolled {
    gm_graph *graph;
    const gm_node *node;
    gm_recurrent r;
    int64_t steps, hidden;
    gm_dim batch;
    int direction;
    const gm_activation *f;
    /* of the direction at hand; weights [H, G*H], and for GRU [H, 2*H] and [H, H] apart */
    gm_value_id weights, candidate_weights, candidate_bias, peephole[3];
    gm_value_id x_sums[4], h, c; /* of the step at hand: [N, H] each */
} unrolled;

static gm_value_id emit2(unrolled *u, const char *name, gm_value_id a, gm_value_id b)
{
    return gm_emit2(u->graph, name, a, b);
}

static gm_value_id times(unrolled *u, gm_value_id x, double factor)
{
    return factor == 1 ? x : emit2(u, "Mul", x, gm_scalar_like(u->graph, x, factor));
}

static gm_value_id plus(unrolled *u, gm_value_id x, double term)
{
    return term == 0 ? x : emit2(u, "Add", x, gm_scalar_like(u->graph, x, term));
}

static gm_value_id apply(unrolled *u, int which, gm_value_id x)
{
    const gm_activation *f = &u->f[which];
    gm_attribute attributes[2] = {gm_attribute_float("alpha", f->alpha), gm_attribute_float("beta", f->beta)};
    if (strcmp(f->name, "Affine") == 0)
        return plus(u, times(u, x, f->alpha), f->beta);
    if (strcmp(f->name, "ScaledTanh") == 0)
        return times(u, gm_emit1(u->graph, "Tanh", times(u, x, f->beta)), f->alpha);
    return gm_emit(u->graph, f->name, &x, 1, attributes, (size_t)f->takes_alpha + f->takes_beta);
}

static gm_value_id activate(unrolled *u, int which, gm_value_id x)
{
    if (u->r.clip > 0)
        x = gm_emit3(u->graph, "Clip", x, gm_scalar_like(u->graph, x, -u->r.clip),
                     gm_scalar_like(u->graph, x, u->r.clip));
    return apply(u, which, x);
}

/* --- One step --------------------------------------------------------------------------------------------------------- */

static void gates_of(unrolled *u, gm_value_id sums, int count, gm_value_id *gates)
{
    gm_split_equal(u->graph, sums, 1, count, u->hidden, gates);
}

static void step_rnn(unrolled *u)
{
    u->h = activate(u, 0, emit2(u, "Add", u->x_sums[0], emit2(u, "MatMul", u->h, u->weights)));
}

/* z = f(..), r = f(..); h~ = g(Xt Wh + (r . h) Rh + b), or with linear_before_reset g(Xt Wh + r . (h Rh + b));
 * h' = (1 - z) h~ + z h */
static void step_gru(unrolled *u)
{
    gm_value_id sums[2], z, reset, inner, candidate;
    gates_of(u, emit2(u, "MatMul", u->h, u->weights), 2, sums);
    z = activate(u, 0, emit2(u, "Add", u->x_sums[0], sums[0]));
    reset = activate(u, 0, emit2(u, "Add", u->x_sums[1], sums[1]));
    inner = u->r.linear_before_reset ? u->h : emit2(u, "Mul", reset, u->h);
    inner = emit2(u, "MatMul", inner, u->candidate_weights);
    if (u->candidate_bias)
        inner = emit2(u, "Add", inner, u->candidate_bias);
    if (u->r.linear_before_reset)
        inner = emit2(u, "Mul", reset, inner);
    candidate = activate(u, 1, emit2(u, "Add", u->x_sums[2], inner));
    u->h = emit2(u, "Add", candidate, emit2(u, "Mul", z, emit2(u, "Sub", u->h, candidate)));
}

static gm_value_id with_peephole(unrolled *u, gm_value_id sum, int which, gm_value_id c)
{
    return u->peephole[which] ? emit2(u, "Add", sum, emit2(u, "Mul", u->peephole[which], c)) : sum;
}

static void step_lstm(unrolled *u)
{
    gm_value_id sums[4], input, forget, output; /* i o f c */
    gates_of(u, emit2(u, "MatMul", u->h, u->weights), 4, sums);
    for (int g = 0; g < 4; g++)
        sums[g] = emit2(u, "Add", u->x_sums[g], sums[g]);
    input = activate(u, 0, with_peephole(u, sums[0], 0, u->c));
    forget = u->r.input_forget ? emit2(u, "Sub", gm_scalar_like(u->graph, input, 1), input)
                               : activate(u, 0, with_peephole(u, sums[2], 2, u->c));
    u->c = emit2(u, "Add", emit2(u, "Mul", forget, u->c), emit2(u, "Mul", input, activate(u, 1, sums[3])));
    output = activate(u, 0, with_peephole(u, sums[1], 1, u->c));
    u->h = emit2(u, "Mul", output, apply(u, 2, u->c));
}

static void (*const step_of[])(unrolled *) = {step_rnn, step_gru, step_lstm};

/* --- One direction ---------------------------------------------------------------------------------------------------- */

static gm_value_id input_of(const unrolled *u, size_t index)
{
    return u->node->input_count > index ? u->node->inputs[index] : 0;
}

/* Entry `index` along an axis, which goes. */
static gm_value_id part(unrolled *u, gm_value_id x, int64_t axis, int index)
{
    gm_attribute along = gm_attribute_int("axis", axis);
    return emit2(
        u, "Squeeze",
        gm_emit(u->graph, "Slice",
                (gm_value_id[]){x, gm_const_ints(u->graph, &(int64_t){index}, 1),
                                gm_const_ints(u->graph, &(int64_t){index + 1}, 1), gm_const_ints(u->graph, &axis, 1)},
                4, NULL, 0),
        gm_const_ints(u->graph, &along.i, 1));
}

static gm_value_id transposed(unrolled *u, gm_value_id x)
{
    return gm_emit1_with(u->graph, "Transpose", x, gm_attribute_ints("perm", (const int64_t[]){1, 0}, 2));
}

/* [N, H]: the state before the first step. */
static gm_value_id first_state(unrolled *u, size_t input)
{
    gm_axis_size axes[2] = {{u->batch, u->node->inputs[0], u->r.batch_first ? 0 : 1}, {u->hidden, 0, 0}};
    if (input_of(u, input))
        return part(u, input_of(u, input), u->r.batch_first ? 1 : 0, u->direction);
    return emit2(u, "Expand", gm_scalar_like(u->graph, u->node->inputs[0], 0), gm_shape_vector(u->graph, 2, axes));
}

/* Weights and biases of the direction; returns W X + b of all gates, [T, N, G*H] (layout 1: [N, T, G*H]). */
static gm_value_id prepare_direction(unrolled *u)
{
    int64_t rows = u->r.gates * u->hidden;
    bool gru = u->r.kind == GM_GRU;
    gm_value_id sums = part(u, u->node->inputs[1], 0, u->direction), halves[2], bias = 0;
    gm_value_id recurrent = transposed(u, part(u, u->node->inputs[2], 0, u->direction)), parts[3] = {0};
    sums = emit2(u, "MatMul", u->node->inputs[0], transposed(u, sums));
    u->weights = recurrent;
    u->candidate_bias = 0;
    if (gru) {
        gm_split_equal(u->graph, recurrent, 1, 3, u->hidden, parts);
        u->weights =
            gm_emit(u->graph, "Concat", parts, 2, &(gm_attribute){.name = "axis", GM_ATTRIBUTE_INT, .i = 1}, 1);
        u->candidate_weights = parts[2];
    }
    if (input_of(u, 3)) {
        gm_split_equal(u->graph, part(u, input_of(u, 3), 0, u->direction), 0, 2, rows, halves);
        bias = halves[1];
        if (gru) { /* the candidate's recurrent bias may be scaled by the reset gate */
            gm_split_equal(u->graph, halves[1], 0, 3, u->hidden, parts);
            u->candidate_bias = parts[2];
            parts[2] = gm_zeros_like(u->graph, parts[2]);
            bias = gm_join(u->graph, parts, 0, 3);
        }
        sums = emit2(u, "Add", sums, emit2(u, "Add", halves[0], bias));
    }
    memset(u->peephole, 0, sizeof u->peephole);
    if (input_of(u, 7))
        gm_split_equal(u->graph, part(u, input_of(u, 7), 0, u->direction), 0, 3, u->hidden, u->peephole);
    return sums;
}

/* bool[N, 1]: is step t within the sequence? 0 where all are of full length. */
static gm_value_id alive(unrolled *u, int64_t t)
{
    gm_value_id lengths = input_of(u, 4);
    return lengths ? emit2(u, "Greater", emit2(u, "Unsqueeze", lengths, gm_const_ints(u->graph, &(int64_t){1}, 1)),
                           gm_scalar_like(u->graph, lengths, (double)t))
                   : 0;
}

/* One step; returns what goes into Y, [N, H]. */
static gm_value_id run_step(unrolled *u, gm_value_id x_sums, int64_t t)
{
    gm_value_id mask = alive(u, t), h = u->h, c = u->c, y;
    x_sums = emit2(u, "Squeeze", x_sums, gm_const_ints(u->graph, &(int64_t){u->r.batch_first ? 1 : 0}, 1));
    gates_of(u, x_sums, u->r.gates, u->x_sums);
    step_of[u->r.kind](u);
    y = u->h;
    if (mask) {
        y = gm_emit3(u->graph, "Where", mask, u->h, gm_scalar_like(u->graph, u->h, 0));
        u->h = gm_emit3(u->graph, "Where", mask, u->h, h);
        if (u->r.kind == GM_LSTM)
            u->c = gm_emit3(u->graph, "Where", mask, u->c, c);
    }
    return y;
}

/* [T, N, H] (layout 1: [N, T, H]) of the direction; u->h and u->c are the last states then. */
static gm_value_id run_direction(unrolled *u, gm_value_id *steps)
{
    int64_t axis = u->r.batch_first ? 1 : 0;
    gm_value_id sums = prepare_direction(u), y;
    u->f = u->r.activations + u->direction * u->r.activation_count;
    u->h = first_state(u, 5);
    u->c = u->r.kind == GM_LSTM ? first_state(u, 6) : 0;
    gm_split_equal(u->graph, sums, axis, u->steps, 1, steps);
    for (int64_t s = 0; s < u->steps && u->graph->status == GM_OK; s++) {
        int64_t t = gm_recurrent_backward(&u->r, u->direction) ? u->steps - 1 - s : s;
        y = run_step(u, steps[t], t);
        steps[t] = emit2(u, "Unsqueeze", y, gm_const_ints(u->graph, &axis, 1));
    }
    return gm_join(u->graph, steps, axis, u->steps);
}

gm_status gm_recurrent_expand(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    unrolled u = {.graph = graph, .node = node, .hidden = gm_value_of(graph, node->inputs[2])->dims[2]};
    gm_value_id parts[3][2] = {{0}}, *steps;
    int64_t y_axis, state_axis;
    char buffer[128];
    if (gm_recurrent_read(node, &u.r, buffer, sizeof buffer))
        return GM_OK;
    u.steps = x.dims[u.r.batch_first ? 1 : 0];
    u.batch = x.dims[u.r.batch_first ? 0 : 1];
    if (!gm_dim_is_known(u.steps) || u.steps < 1 || u.steps * u.r.directions > MOST_STEPS)
        return GM_OK;
    steps = gm_pool_array(graph->pool, (size_t)u.steps, sizeof *steps);
    if (!steps)
        return graph->status = GM_ERROR_MEMORY;
    y_axis = u.r.batch_first ? 2 : 1;
    state_axis = u.r.batch_first ? 1 : 0;
    for (u.direction = 0; u.direction < u.r.directions && graph->status == GM_OK; u.direction++) {
        parts[0][u.direction] = emit2(&u, "Unsqueeze", run_direction(&u, steps), gm_const_ints(graph, &y_axis, 1));
        parts[1][u.direction] = emit2(&u, "Unsqueeze", u.h, gm_const_ints(graph, &state_axis, 1));
        if (u.c)
            parts[2][u.direction] = emit2(&u, "Unsqueeze", u.c, gm_const_ints(graph, &state_axis, 1));
    }
    for (size_t i = 0; i < node->output_count && graph->status == GM_OK; i++)
        outputs[i] = gm_join(graph, parts[i], i ? state_axis : y_axis, u.r.directions);
    return graph->status;
}
