/* Layers of models that keep a state instead of all keys: LinearAttention and CausalConvWithState. */
#include "ops/axes.h"

#include <math.h>
#include <string.h>

#define MOST_STEPS 512 /* unrolled; longer sequences go by the plain kernel */

/* --- LinearAttention -------------------------------------------------------------------------------------------------- */

/* https://onnx.ai/onnx/operators/onnx__LinearAttention.html: query[B, T, Hq*K], key[B, T, H*K], value[B, T, H*V],
 * past_state[B, H, K, V]?, decay[B, T, H or H*K]?, beta[B, T, H or 1]? -> output[B, T, Hq*V], present_state like the past
 * one. For each step and head, with g = 1 and no correction where the rule has none:
 *   S = exp(g) S;  v = beta (v - S^T k);  S = S + k v^T;  o = scale S^T q */
typedef struct linear_attention {
    bool gated, delta;
    int64_t heads, group, keys, values; /* H, Hq / H, K, V */
    int64_t decay_size, beta_size;      /* last axes of decay and beta */
    double scale;
} linear_attention;

static int64_t last_axis(const gm_graph *graph, gm_value_id id)
{
    const gm_value *value = gm_value_of(graph, id);
    return value->dims[value->rank - 1];
}

static gm_value_id optional(const gm_node *node, size_t index)
{
    return node->input_count > index ? node->inputs[index] : 0;
}

static gm_status read_attributes(gm_graph *graph, const gm_node *node, linear_attention *out)
{
    const char *rule = gm_node_string(node, "update_rule", "gated_delta");
    int64_t query_heads = gm_node_int(node, "q_num_heads", 0);
    memset(out, 0, sizeof *out);
    out->heads = gm_node_int(node, "kv_num_heads", 0);
    out->delta = strcmp(rule, "delta") == 0 || strcmp(rule, "gated_delta") == 0;
    out->gated = strncmp(rule, "gated", 5) == 0;
    if (!out->delta && strcmp(rule, "linear") != 0 && strcmp(rule, "gated") != 0)
        return gm_node_fail(graph, node, "update_rule must be linear, gated, delta or gated_delta, found '%s'", rule);
    if (out->heads < 1 || query_heads < 1 || query_heads % out->heads != 0)
        return gm_node_fail(graph, node, "q_num_heads (%lld) must be a positive multiple of kv_num_heads (%lld)",
                            (long long)query_heads, (long long)out->heads);
    out->group = query_heads / out->heads;
    if (out->gated != (optional(node, 4) != 0) || out->delta != (optional(node, 5) != 0))
        return gm_node_fail(graph, node, "update_rule '%s' %s a decay and %s a beta", rule,
                            out->gated ? "needs" : "has not", out->delta ? "needs" : "has not");
    return GM_OK;
}

static gm_status read_linear(gm_graph *graph, const gm_node *node, linear_attention *out)
{
    static const char *const names[] = {"query", "key", "value", "past_state", "decay", "beta"};
    GM_TRY(read_attributes(graph, node, out));
    for (size_t i = 0; i < node->input_count; i++)
        if (node->inputs[i] && (gm_value_of(graph, node->inputs[i])->rank != (i == 3 ? 4 : 3) ||
                                !gm_dim_is_known(last_axis(graph, node->inputs[i]))))
            return gm_node_fail(graph, node, "%s needs %d axes, and a last one that is known", names[i],
                                i == 3 ? 4 : 3);
    out->keys = last_axis(graph, node->inputs[1]) / out->heads;
    out->values = last_axis(graph, node->inputs[2]) / out->heads;
    if (out->keys < 1 || out->values < 1 || last_axis(graph, node->inputs[1]) != out->keys * out->heads ||
        last_axis(graph, node->inputs[2]) != out->values * out->heads ||
        last_axis(graph, node->inputs[0]) != out->keys * out->heads * out->group)
        return gm_node_fail(graph, node, "the last axes of query, key and value do not fit %lld and %lld heads",
                            (long long)(out->heads * out->group), (long long)out->heads);
    out->decay_size = optional(node, 4) ? last_axis(graph, node->inputs[4]) : 0;
    out->beta_size = optional(node, 5) ? last_axis(graph, node->inputs[5]) : 0;
    if (out->gated && out->decay_size != out->heads && out->decay_size != out->heads * out->keys)
        return gm_node_fail(graph, node, "the last axis of decay must be %lld or %lld, found %lld",
                            (long long)out->heads, (long long)(out->heads * out->keys), (long long)out->decay_size);
    if (out->delta && out->beta_size != out->heads && out->beta_size != 1)
        return gm_node_fail(graph, node, "the last axis of beta must be %lld or 1, found %lld", (long long)out->heads,
                            (long long)out->beta_size);
    out->scale = gm_node_float(node, "scale", 0);
    if (out->scale == 0)
        out->scale = 1 / sqrt((double)out->keys);
    return GM_OK;
}

static gm_status infer_linear(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    gm_type state_type = optional(node, 3) ? gm_value_of(graph, node->inputs[3])->type : x.type;
    linear_attention a;
    gm_dim state[4];
    GM_TRY(read_linear(graph, node, &a));
    memcpy(state, (gm_dim[]){x.dims[0], a.heads, a.keys, a.values}, sizeof state);
    for (size_t i = 1; i < node->input_count; i++) {
        const gm_value *value = node->inputs[i] ? gm_value_of(graph, node->inputs[i]) : NULL;
        bool fits = !value || i == 3 ? true : value->dims[0] == x.dims[0] && value->dims[1] == x.dims[1];
        if (value && i == 3)
            fits = memcmp(value->dims, state, sizeof state) == 0;
        if (!fits)
            return gm_node_fail(graph, node, "input %zu does not fit the query and the heads", i + 1);
    }
    x.dims[2] = a.heads * a.group * a.values;
    gm_set_output(graph, node, 0, x.type, 3, x.dims);
    if (node->output_count > 1)
        gm_set_output(graph, node, 1, state_type, 4, state);
    return graph->status;
}

typedef struct unrolled {
    gm_graph *graph;
    gm_type type; /* that is computed in */
    int64_t steps;
} unrolled;

/* The steps of an input [B, T, D], each reshaped to `dims` (0: B). NULL: out of memory. */
static gm_value_id *steps_of(unrolled *u, gm_value_id x, const int64_t *dims, size_t rank)
{
    gm_value_id *steps = gm_pool_array(u->graph->pool, (size_t)u->steps, sizeof *steps);
    if (!steps || !x)
        return steps;
    x = gm_emit1_with(u->graph, "Cast", x, gm_attribute_int("to", u->type));
    gm_split_equal(u->graph, x, 1, u->steps, 1, steps);
    for (int64_t t = 0; t < u->steps && u->graph->status == GM_OK; t++)
        steps[t] = gm_emit2(u->graph, "Reshape", steps[t], gm_const_ints(u->graph, dims, rank));
    return steps;
}

static gm_value_id first_state(unrolled *u, const gm_node *node, const linear_attention *a)
{
    gm_axis_size axes[4] = {{gm_value_of(u->graph, node->inputs[0])->dims[0], node->inputs[0], 0},
                            {a->heads, 0, 0},
                            {a->keys, 0, 0},
                            {a->values, 0, 0}};
    if (optional(node, 3))
        return gm_emit1_with(u->graph, "Cast", node->inputs[3], gm_attribute_int("to", u->type));
    return gm_emit2(u->graph, "Expand", gm_const_scalar(u->graph, u->type, 0), gm_shape_vector(u->graph, 4, axes));
}

static gm_status expand_linear(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    gm_type state_type = optional(node, 3) ? gm_value_of(graph, node->inputs[3])->type : x.type;
    unrolled u = {graph, x.type == GM_DOUBLE ? GM_DOUBLE : GM_FLOAT, x.dims[1]};
    gm_value_id *query, *columns, *rows, *values, *decay, *beta, state;
    linear_attention a;
    GM_TRY(read_linear(graph, node, &a));
    if (!gm_dim_is_known(u.steps) || u.steps < 1 || u.steps > MOST_STEPS)
        return GM_OK;
    query = steps_of(&u, node->inputs[0], (int64_t[]){0, a.heads, a.group, a.keys}, 4);
    columns = steps_of(&u, node->inputs[1], (int64_t[]){0, a.heads, a.keys, 1}, 4);
    rows = steps_of(&u, node->inputs[1], (int64_t[]){0, a.heads, 1, a.keys}, 4);
    values = steps_of(&u, node->inputs[2], (int64_t[]){0, a.heads, 1, a.values}, 4);
    decay = steps_of(&u, optional(node, 4), (int64_t[]){0, a.heads, a.decay_size / a.heads, 1}, 4);
    beta = steps_of(&u, optional(node, 5), (int64_t[]){0, a.beta_size, 1, 1}, 4);
    if (!query || !columns || !rows || !values || !decay || !beta)
        return graph->status = GM_ERROR_MEMORY;
    state = first_state(&u, node, &a);
    for (int64_t t = 0; t < u.steps && graph->status == GM_OK; t++) {
        gm_value_id v = values[t], o;
        if (a.gated)
            state = gm_emit2(graph, "Mul", state, gm_emit1(graph, "Exp", decay[t]));
        if (a.delta)
            v = gm_emit2(graph, "Mul", beta[t], gm_emit2(graph, "Sub", v, gm_emit2(graph, "MatMul", rows[t], state)));
        state = gm_emit2(graph, "Add", state, gm_emit2(graph, "Mul", columns[t], v));
        o = gm_emit2(graph, "MatMul", query[t], state);
        o = gm_emit2(graph, "Mul", o, gm_scalar_like(graph, o, a.scale));
        query[t] =
            gm_emit2(graph, "Reshape", o, gm_const_ints(graph, (int64_t[]){0, 1, a.heads * a.group * a.values}, 3));
    }
    outputs[0] = gm_emit1_with(graph, "Cast", gm_join(graph, query, 1, u.steps), gm_attribute_int("to", x.type));
    if (node->output_count > 1)
        outputs[1] = gm_emit1_with(graph, "Cast", state, gm_attribute_int("to", state_type));
    return graph->status;
}

/* One head of one example: state[K, V], row by row. */
typedef struct head_walk {
    const gm_compute *compute;
    linear_attention a;
    int64_t example, head, steps;
    double *state, *correction; /* [K, V], [V] */
} head_walk;

static double entry(const head_walk *w, size_t input, int64_t t, int64_t size, int64_t at)
{
    return gm_get(&w->compute->in[input], (w->example * w->steps + t) * size + at);
}

static void update_state(head_walk *w, int64_t t)
{
    const linear_attention *a = &w->a;
    bool per_key = a->decay_size > a->heads;
    for (int64_t k = 0; k < a->keys && a->gated; k++) {
        double g = exp(entry(w, 4, t, a->decay_size, per_key ? w->head * a->keys + k : w->head));
        for (int64_t v = 0; v < a->values; v++)
            w->state[k * a->values + v] *= g;
    }
    for (int64_t v = 0; v < a->values; v++) {
        double found = 0, value = entry(w, 2, t, a->heads * a->values, w->head * a->values + v);
        for (int64_t k = 0; k < a->keys && a->delta; k++)
            found += w->state[k * a->values + v] * entry(w, 1, t, a->heads * a->keys, w->head * a->keys + k);
        if (a->delta)
            value = entry(w, 5, t, a->beta_size, a->beta_size == 1 ? 0 : w->head) * (value - found);
        w->correction[v] = value;
    }
    for (int64_t k = 0; k < a->keys; k++)
        for (int64_t v = 0; v < a->values; v++)
            w->state[k * a->values + v] += entry(w, 1, t, a->heads * a->keys, w->head * a->keys + k) * w->correction[v];
}

static void walk_head(head_walk *w)
{
    const linear_attention *a = &w->a;
    const gm_compute *compute = w->compute;
    int64_t area = a->keys * a->values, at = (w->example * a->heads + w->head) * area, heads = a->heads * a->group;
    for (int64_t i = 0; i < area; i++)
        w->state[i] = optional(compute->node, 3) ? gm_get(&compute->in[3], at + i) : 0;
    for (int64_t t = 0; t < w->steps; t++) {
        update_state(w, t);
        for (int64_t q = w->head * a->group; q < (w->head + 1) * a->group; q++)
            for (int64_t v = 0; v < a->values; v++) {
                double sum = 0;
                for (int64_t k = 0; k < a->keys; k++)
                    sum += w->state[k * a->values + v] * entry(w, 0, t, heads * a->keys, q * a->keys + k);
                gm_set(&compute->out[0], ((w->example * w->steps + t) * heads + q) * a->values + v, a->scale * sum);
            }
    }
    for (int64_t i = 0; i < area && compute->node->output_count > 1 && compute->out[1].data; i++)
        gm_set(&compute->out[1], at + i, w->state[i]);
}

static gm_status reference_linear(const gm_compute *compute)
{
    const gm_node *node = compute->node;
    head_walk w = {.compute = compute, .steps = compute->in[0].dims[1]};
    linear_attention *a = &w.a;
    const char *rule = gm_node_string(node, "update_rule", "gated_delta");
    a->heads = gm_node_int(node, "kv_num_heads", 1);
    a->group = gm_node_int(node, "q_num_heads", 1) / a->heads;
    a->keys = compute->in[1].dims[2] / a->heads;
    a->values = compute->in[2].dims[2] / a->heads;
    a->gated = strncmp(rule, "gated", 5) == 0;
    a->delta = strcmp(rule, "delta") == 0 || strcmp(rule, "gated_delta") == 0;
    a->decay_size = a->gated ? compute->in[4].dims[2] : 0;
    a->beta_size = a->delta ? compute->in[5].dims[2] : 0;
    a->scale = gm_node_float(node, "scale", 0);
    if (a->scale == 0)
        a->scale = 1 / sqrt((double)a->keys);
    w.state = gm_alloc(compute->context, (size_t)(a->keys + 1) * (size_t)a->values * sizeof *w.state);
    if (!w.state)
        return GM_ERROR_MEMORY;
    w.correction = w.state + a->keys * a->values;
    for (w.example = 0; w.example < compute->in[0].dims[0]; w.example++)
        for (w.head = 0; w.head < a->heads; w.head++)
            walk_head(&w);
    gm_free(compute->context, w.state);
    return GM_OK;
}

static const gm_attribute_schema linear_attributes[] = {
    {"q_num_heads", GM_ATTRIBUTE_INT, GM_REQUIRED, .i = 0},
    {"kv_num_heads", GM_ATTRIBUTE_INT, GM_REQUIRED, .i = 0},
    {"scale", GM_ATTRIBUTE_FLOAT, GM_DEFAULT, .f = 0},
    {"update_rule", GM_ATTRIBUTE_STRING, GM_DEFAULT, .s = "gated_delta"},
    {"chunk_size", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 64}, /* a hint for other implementations */
};

const gm_operator gm_op_linear_attention = {.domain = "",
                                            .name = "LinearAttention",
                                            .since = 27,
                                            .flags = GM_OP_HEAVY,
                                            .inputs = "query key value past_state? decay? beta?",
                                            .outputs = "output present_state?",
                                            .types = GM_TYPES_FLOATING,
                                            .attributes = linear_attributes,
                                            .attribute_count = GM_COUNT(linear_attributes),
                                            .infer = infer_linear,
                                            .expand = expand_linear,
                                            .reference = reference_linear};

/* --- CausalConvWithState ---------------------------------------------------------------------------------------------- */

/* https://onnx.ai/onnx/operators/onnx__CausalConvWithState.html: input[B, C, L], weight[C, 1, k], bias[C]?,
 * past_state[B, C, k - 1]? -> output[B, C, L], present_state like the past one */
static gm_status infer_causal(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]), w = *gm_value_of(graph, node->inputs[1]);
    const char *activation = gm_node_string(node, "activation", "none");
    gm_dim state[3];
    if (x.rank != 3 || w.rank != 3 || !gm_dim_is_known(w.dims[0]) || !gm_dim_is_known(w.dims[2]) || w.dims[2] < 1 ||
        w.dims[0] != x.dims[1] || w.dims[1] != 1)
        return gm_node_fail(graph, node, "needs input[B, C, L] and weight[C, 1, k], C and k known");
    if (strcmp(activation, "none") != 0 && strcmp(activation, "silu") != 0 && strcmp(activation, "swish") != 0)
        return gm_node_fail(graph, node, "activation must be none, silu or swish, found '%s'", activation);
    memcpy(state, (gm_dim[]){x.dims[0], x.dims[1], w.dims[2] - 1}, sizeof state);
    if (optional(node, 3)) {
        const gm_value *past = gm_value_of(graph, node->inputs[3]);
        if (past->rank != 3 || memcmp(past->dims, state, sizeof state) != 0)
            return gm_node_fail(graph, node, "past_state must be [B, C, k - 1]");
    }
    GM_TRY(gm_infer_same_type(graph, node));
    gm_set_output(graph, node, 0, x.type, 3, x.dims);
    if (node->output_count > 1)
        gm_set_output(graph, node, 1, x.type, 3, state);
    return graph->status;
}

static gm_status expand_causal(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    int64_t channels = gm_value_of(graph, node->inputs[1])->dims[0];
    int64_t past = gm_value_of(graph, node->inputs[1])->dims[2] - 1;
    gm_attribute group = gm_attribute_int("group", channels), axis = gm_attribute_int("axis", 2);
    gm_axis_size sizes[3] = {{x.dims[0], node->inputs[0], 0}, {channels, 0, 0}, {past, 0, 0}};
    gm_value_id state = optional(node, 3), padded = node->inputs[0], y;
    if (!state)
        state = gm_emit2(graph, "Expand", gm_scalar_like(graph, padded, 0), gm_shape_vector(graph, 3, sizes));
    if (past > 0)
        padded = gm_emit(graph, "Concat", (gm_value_id[]){state, padded}, 2, &axis, 1);
    y = gm_emit(graph, "Conv", (gm_value_id[]){padded, node->inputs[1], optional(node, 2)}, optional(node, 2) ? 3 : 2,
                &group, 1);
    if (strcmp(gm_node_string(node, "activation", "none"), "none") != 0)
        y = gm_emit2(graph, "Mul", y, gm_emit1(graph, "Sigmoid", y));
    outputs[0] = y;
    if (node->output_count > 1)
        outputs[1] = past == 0 ? state
                               : gm_emit(graph, "Slice",
                                         (gm_value_id[]){padded, gm_const_ints(graph, &(int64_t){-past}, 1),
                                                         gm_const_ints(graph, &(int64_t){INT64_MAX}, 1),
                                                         gm_const_ints(graph, &axis.i, 1)},
                                         4, NULL, 0);
    return graph->status;
}

static const gm_attribute_schema causal_attributes[] = {{"activation", GM_ATTRIBUTE_STRING, GM_DEFAULT, .s = "none"}};

const gm_operator gm_op_causal_conv_with_state = {.domain = "",
                                                  .name = "CausalConvWithState",
                                                  .since = 27,
                                                  .inputs = "input weight bias? past_state?",
                                                  .outputs = "output present_state?",
                                                  .types = GM_TYPES_FLOATING,
                                                  .attributes = causal_attributes,
                                                  .attribute_count = GM_COUNT(causal_attributes),
                                                  .infer = infer_causal,
                                                  .expand = expand_causal};
