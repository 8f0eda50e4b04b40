/* Attention and RotaryEmbedding, made of other operators.
 *
 * A. Vaswani et al., "Attention Is All You Need" (2017): Y = softmax(scale Q K^T + bias) V in each head. Grouped queries (J.
 * Ainslie et al., 2023): consecutive heads of Q share one of K and V. J. Su et al., "RoFormer" (2021): rotary positions.
 *
 * Inside, B examples, H heads of queries, G of keys and values (H a multiple of G), L queries, S keys, D numbers to a head:
 * Q [B, H, L, D], K [B, G, S, D], V [B, G, S, E] -> Y [B, H, L, E]. float16 and bfloat16 are computed in float. */
#include "graph/operator.h"

#include <math.h>
#include <string.h>

/* --- What they share ---------------------------------------------------------------------------------------------- */

static gm_value_id optional_input(const gm_node *node, size_t index)
{
    return index < node->input_count ? node->inputs[index] : 0;
}

static bool wants_output(const gm_node *node, size_t index)
{
    return index < node->output_count && node->outputs[index];
}

static gm_value_id cast(gm_graph *graph, gm_value_id x, gm_type type)
{
    return gm_value_of(graph, x)->type == type ? x : gm_emit1_with(graph, "Cast", x, gm_attribute_int("to", type));
}

static gm_value_id times(gm_graph *graph, gm_value_id x, double factor)
{
    return gm_emit2(graph, "Mul", x, gm_scalar_like(graph, x, factor));
}

static gm_value_id unsqueeze(gm_graph *graph, gm_value_id x, int64_t axis)
{
    return gm_emit2(graph, "Unsqueeze", x, gm_const_ints(graph, &axis, 1));
}

static gm_value_id reshape(gm_graph *graph, gm_value_id x, const int64_t *shape, size_t rank)
{
    return gm_emit2(graph, "Reshape", x, gm_const_ints(graph, shape, rank));
}

static gm_value_id transpose(gm_graph *graph, gm_value_id x, int64_t a, int64_t b, int64_t c, int64_t d)
{
    return gm_emit1_with(graph, "Transpose", x, gm_attribute_ints("perm", (int64_t[]){a, b, c, d}, 4));
}

/* A size for a target shape: -1 where it is symbolic. */
static int64_t size_or_rest(gm_dim dim)
{
    return gm_dim_is_known(dim) ? dim : -1;
}

/* [B, S, heads * D] -> [B, S, heads, D] */
static gm_value_id split_heads(gm_graph *graph, gm_value_id x, int64_t heads)
{
    gm_dim width = gm_value_of(graph, x)->dims[2];
    return reshape(graph, x, (int64_t[]){0, 0, heads, gm_dim_is_known(width) ? width / heads : -1}, 4);
}

/* --- Attention: checks -------------------------------------------------------------------------------------------- */

/* Where the inputs stand. */
enum { QUERY, KEY, VALUE, MASK, PAST_KEY, PAST_VALUE, LENGTHS };

/* Sizes of a node; those of inputs of rank 3 are told by q_num_heads and kv_num_heads. */
typedef struct attention_shape {
    int rank;
    int64_t heads, groups;
    gm_dim batch, queries, keys, past, width, value_width;
} attention_shape;

static gm_status attention_heads(gm_graph *graph, const gm_node *node, const gm_value *const *in, attention_shape *s)
{
    static const char *const names[3] = {"q_num_heads", "kv_num_heads", "kv_num_heads"};
    char text[160];
    for (size_t i = 0; i < 3; i++) {
        int64_t told = gm_node_int(node, names[i], 0), heads;
        gm_dim width = in[i]->dims[s->rank - 1];
        if (s->rank == 3 && told < 1)
            return gm_node_fail(graph, node, "inputs of rank 3 need the attribute %s", names[i]);
        if (s->rank == 3 && gm_dim_is_known(width) && width % told != 0)
            return gm_node_fail(graph, node, "%s, %lld, does not divide the last axis of %s", names[i], (long long)told,
                                gm_shape_text(graph, node->inputs[i], text, sizeof text));
        heads = s->rank == 3 ? told : in[i]->dims[1];
        if (!gm_dim_is_known(heads) || heads < 1 || (s->rank == 4 && told && told != heads))
            return gm_node_fail(graph, node, "the number of heads, axis 1 of %s, must be known and %s if that is given",
                                gm_shape_text(graph, node->inputs[i], text, sizeof text), names[i]);
        if (i == 2 && heads != s->groups)
            return gm_node_fail(graph, node, "K has %lld heads and V %lld", (long long)s->groups, (long long)heads);
        *(i ? &s->groups : &s->heads) = heads;
    }
    if (s->heads % s->groups != 0)
        return gm_node_fail(graph, node, "%lld heads of queries are no multiple of the %lld of keys",
                            (long long)s->heads, (long long)s->groups);
    return GM_OK;
}

/* Width of a head; a symbolic one of rank 3 is its quotient. */
static gm_dim head_width(gm_graph *graph, const gm_value *value, int64_t heads)
{
    gm_dim width = value->dims[value->rank - 1];
    return value->rank == 3 ? gm_dim_div_exact(graph->symbols, width, heads) : width;
}

static gm_status attention_shape_of(gm_graph *graph, const gm_node *node, attention_shape *s)
{
    const gm_value *in[3];
    gm_value_id past = optional_input(node, PAST_KEY);
    char a[160], b[160], c[160];
    int sequence;
    for (size_t i = 0; i < 3; i++)
        in[i] = gm_value_of(graph, node->inputs[i]);
    *s = (attention_shape){.rank = in[0]->rank};
    sequence = s->rank - 2;
    if ((s->rank != 3 && s->rank != 4) || in[1]->rank != s->rank || in[2]->rank != s->rank)
        return gm_node_fail(graph, node, "Q, K and V must have the same rank, 3 or 4, found %s, %s, %s",
                            gm_shape_text(graph, node->inputs[0], a, sizeof a),
                            gm_shape_text(graph, node->inputs[1], b, sizeof b),
                            gm_shape_text(graph, node->inputs[2], c, sizeof c));
    GM_TRY(attention_heads(graph, node, in, s));
    s->batch = in[0]->dims[0];
    s->queries = in[0]->dims[s->rank == 3 ? 1 : 2];
    s->keys = in[1]->dims[s->rank == 3 ? 1 : 2];
    s->width = head_width(graph, in[0], s->heads);
    s->value_width = head_width(graph, in[2], s->groups);
    if (head_width(graph, in[1], s->groups) != s->width || in[1]->dims[0] != s->batch || in[2]->dims[0] != s->batch ||
        in[2]->dims[s->rank == 3 ? 1 : sequence] != s->keys)
        return gm_node_fail(graph, node, "Q %s, K %s and V %s do not fit: batch, width of a head (Q, K), keys (K, V)",
                            gm_shape_text(graph, node->inputs[0], a, sizeof a),
                            gm_shape_text(graph, node->inputs[1], b, sizeof b),
                            gm_shape_text(graph, node->inputs[2], c, sizeof c));
    if (past && gm_value_of(graph, past)->rank == 4)
        s->past = gm_value_of(graph, past)->dims[2];
    return GM_OK;
}

/* The past of K (V): [B, G, past, D] of its type. */
static gm_status check_past(gm_graph *graph, gm_node *node, size_t index, const attention_shape *s, gm_dim width)
{
    const gm_value *past = gm_value_of(graph, node->inputs[index]), *now = gm_value_of(graph, node->inputs[index - 3]);
    gm_dim expected[4] = {s->batch, s->groups, s->past, width};
    char a[160], b[160];
    if (past->type == now->type && past->rank == 4 && memcmp(past->dims, expected, sizeof expected) == 0)
        return GM_OK;
    return gm_node_fail(graph, node, "input %zu, %s, must be %s%s", index + 1,
                        gm_shape_text(graph, node->inputs[index], a, sizeof a), gm_type_name(now->type),
                        gm_dims_print(graph->symbols, 4, expected, b, sizeof b));
}

/* The mask broadcasts to [B, H, L, past + S]; its last axis may be shorter. */
static gm_status check_mask(gm_graph *graph, gm_node *node, const attention_shape *s)
{
    gm_value mask = *gm_value_of(graph, node->inputs[MASK]);
    gm_dim all = gm_dim_add(graph->symbols, s->past, s->keys);
    gm_dim full[4] = {s->batch, s->heads, s->queries, all}, last = mask.rank ? mask.dims[mask.rank - 1] : 1;
    bool fits = mask.rank >= 1 && mask.rank <= 4;
    char a[160], b[160];
    for (int i = 0; fits && i < mask.rank - 1; i++)
        fits = mask.dims[i] == 1 || mask.dims[i] == full[4 - mask.rank + i];
    if (fits && last != all)
        fits = gm_dim_is_known(last) && gm_dim_is_known(all) && last < all;
    return fits ? GM_OK
                : gm_node_fail(graph, node, "attn_mask %s does not broadcast to %s",
                               gm_shape_text(graph, node->inputs[MASK], a, sizeof a),
                               gm_dims_print(graph->symbols, 4, full, b, sizeof b));
}

static gm_status check_attention_attributes(gm_graph *graph, gm_node *node)
{
    int64_t precision = gm_node_int(node, "softmax_precision", GM_FLOAT), mode;
    mode = gm_node_int(node, "qk_matmul_output_mode", 0);
    if (precision < 0 || precision >= 32 || !(GM_TYPES_FLOATING & 1u << precision))
        return gm_node_fail(graph, node, "softmax_precision must be a floating type, found %lld", (long long)precision);
    if (mode < 0 || mode > 3)
        return gm_node_fail(graph, node, "qk_matmul_output_mode must be 0, 1, 2 or 3, found %lld", (long long)mode);
    if (!(gm_node_float(node, "softcap", 0.0) >= 0.0))
        return gm_node_fail(graph, node, "softcap must not be negative, found %g", gm_node_float(node, "softcap", 0.0));
    if (gm_node_int(node, "left_window_size", -1) < -1 || gm_node_int(node, "right_window_size", -1) < -1)
        return gm_node_fail(graph, node, "a window size must be -1 (unbounded), 0 or positive");
    return GM_OK;
}

static gm_status infer_attention(gm_graph *graph, gm_node *node)
{
    attention_shape s;
    gm_type type = gm_value_of(graph, node->inputs[QUERY])->type, value = gm_value_of(graph, node->inputs[VALUE])->type;
    gm_value_id lengths = optional_input(node, LENGTHS);
    bool past = optional_input(node, PAST_KEY) != 0;
    GM_TRY(check_attention_attributes(graph, node));
    if (gm_value_of(graph, node->inputs[KEY])->type != type || !(GM_TYPES_FLOATING & GM_TYPES(value)))
        return gm_node_fail(graph, node, "Q and K must have the same type and V a floating one, found %s, %s, %s",
                            gm_type_name(type), gm_type_name(gm_value_of(graph, node->inputs[KEY])->type),
                            gm_type_name(value));
    if (past != (optional_input(node, PAST_VALUE) != 0))
        return gm_node_fail(graph, node, "past_key and past_value must be given together");
    if (past && lengths)
        return gm_node_fail(graph, node, "nonpad_kv_seqlen does not go with past_key and past_value");
    GM_TRY(attention_shape_of(graph, node, &s));
    if (past) {
        GM_TRY(check_past(graph, node, PAST_KEY, &s, s.width));
        GM_TRY(check_past(graph, node, PAST_VALUE, &s, s.value_width));
    }
    if (optional_input(node, MASK))
        GM_TRY(check_mask(graph, node, &s));
    if (lengths) {
        const gm_value *value_of = gm_value_of(graph, lengths);
        if (value_of->type != GM_INT64 || value_of->rank != 1 || value_of->dims[0] != s.batch)
            return gm_node_fail(graph, node, "nonpad_kv_seqlen must hold one int64 per example");
    }
    return graph->status;
}

/* --- Attention: which keys a query sees --------------------------------------------------------------------------- */

/* 0, 1, ... below the size of an axis: int64. */
static gm_value_id positions(gm_graph *graph, gm_value_id of, int64_t axis)
{
    gm_value_id size =
        gm_emit2(graph, "Gather", gm_shape_of(graph, of), gm_const_scalar(graph, GM_INT64, (double)axis));
    return gm_emit3(graph, "Range", gm_const_scalar(graph, GM_INT64, 0), size, gm_const_scalar(graph, GM_INT64, 1));
}

static gm_value_id both(gm_graph *graph, gm_value_id a, gm_value_id b)
{
    return !a ? b : !b ? a : gm_emit2(graph, "And", a, b);
}

/* What limits the keys: `live` (bool, 0: all) and what is added to their scores (`bias`, 0: nothing). Both broadcast to [B,
 * H, L, S]. */
typedef struct attention_mask {
    gm_value_id live, bias;
    bool may_be_empty; /* some query may see no key at all */
} attention_mask;

/* [B] -> [B, 1, 1, 1] */
static gm_value_id per_example(gm_graph *graph, gm_value_id vector)
{
    return gm_emit2(graph, "Unsqueeze", vector, gm_const_ints(graph, (int64_t[]){1, 2, 3}, 3));
}

/* Key j is seen from position p = offset + query: j <= p (causal), p - left <= j, j <= p + right. The offset is the number
 * of keys before the first query: those of the past, or of the lengths what is not queried. */
static void mask_by_position(gm_graph *graph, const gm_node *node, gm_value_id q, gm_value_id k, attention_mask *mask)
{
    int64_t left = gm_node_int(node, "left_window_size", -1), right = gm_node_int(node, "right_window_size", -1);
    gm_value_id lengths = optional_input(node, LENGTHS), past = optional_input(node, PAST_KEY), j, p;
    bool causal = gm_node_int(node, "is_causal", 0) != 0;
    if (!causal && left < 0 && right < 0 && !lengths)
        return;
    j = positions(graph, k, 2);
    p = unsqueeze(graph, positions(graph, q, 2), 1);
    if (lengths) {
        gm_value_id queries = gm_emit2(graph, "Gather", gm_shape_of(graph, q), gm_const_scalar(graph, GM_INT64, 2));
        lengths = per_example(graph, lengths);
        p = gm_emit2(graph, "Add", p, gm_emit2(graph, "Sub", lengths, queries));
        mask->live = gm_emit2(graph, "Less", j, lengths);
    } else if (past) {
        p = gm_emit2(graph, "Add", p,
                     gm_emit2(graph, "Gather", gm_shape_of(graph, past), gm_const_scalar(graph, GM_INT64, 2)));
    }
    if (causal)
        mask->live = both(graph, mask->live, gm_emit2(graph, "LessOrEqual", j, p));
    if (left >= 0)
        mask->live = both(graph, mask->live,
                          gm_emit2(graph, "GreaterOrEqual", j,
                                   gm_emit2(graph, "Sub", p, gm_const_scalar(graph, GM_INT64, (double)left))));
    if (right >= 0)
        mask->live = both(graph, mask->live,
                          gm_emit2(graph, "LessOrEqual", j,
                                   gm_emit2(graph, "Add", p, gm_const_scalar(graph, GM_INT64, (double)right))));
    mask->may_be_empty = lengths || left >= 0 || right >= 0;
}

/* attn_mask, filled up to the number of keys. A bias of -infinity hides its key whatever the score is. */
static void mask_by_input(gm_graph *graph, gm_value_id input, const attention_shape *s, gm_type type,
                          attention_mask *mask)
{
    gm_value value = *gm_value_of(graph, input);
    gm_dim all = gm_dim_add(graph->symbols, s->past, s->keys), last = value.dims[value.rank - 1];
    bool boolean = value.type == GM_BOOL;
    if (!boolean)
        input = cast(graph, input, type);
    if (last != all) {
        int64_t pads[2 * GM_MAX_RANK] = {0};
        gm_value_id fill = boolean ? gm_const_scalar(graph, GM_BOOL, 0) : gm_const_scalar(graph, type, -INFINITY);
        pads[2 * value.rank - 1] = all - last;
        input = gm_emit3(graph, "Pad", input, gm_const_ints(graph, pads, 2 * (size_t)value.rank), fill);
    }
    mask->may_be_empty = true;
    if (!boolean) {
        mask->bias = input;
        input = gm_emit2(graph, "Greater", input, gm_const_scalar(graph, type, -INFINITY));
    }
    mask->live = both(graph, mask->live, input);
}

/* Probabilities over the keys; *biased_out: the scores as they come to the softmax. Rows that see no key are 0: they take
 * other numbers through the softmax, so that neither they nor their gradients are undefined. */
static gm_value_id attention_softmax(gm_graph *graph, gm_value_id scores, const attention_mask *mask, gm_type type,
                                     gm_value_id *biased_out)
{
    gm_type own = gm_value_of(graph, scores)->type;
    gm_value_id zero = gm_const_scalar(graph, own, 0.0), row = 0, p;
    if (mask->bias)
        scores = gm_emit2(graph, "Add", scores, mask->bias);
    if (mask->live)
        scores = gm_emit3(graph, "Where", mask->live, scores, gm_const_scalar(graph, own, -INFINITY));
    *biased_out = scores;
    if (mask->live && mask->may_be_empty) {
        row = gm_emit2(graph, "ReduceMax", cast(graph, mask->live, own), gm_const_ints(graph, (int64_t[]){-1}, 1));
        row = gm_emit2(graph, "Greater", row, zero);
        scores = gm_emit3(graph, "Where", row, scores, zero);
    }
    p = cast(graph, gm_emit1(graph, "Softmax", cast(graph, scores, type)), own);
    return row ? gm_emit3(graph, "Where", row, p, zero) : p;
}

/* --- Attention: the product --------------------------------------------------------------------------------------- */

/* K or V as [B, G, S, D], behind its past. */
static gm_value_id with_past(gm_graph *graph, const gm_node *node, size_t index, const attention_shape *s)
{
    gm_value_id x = node->inputs[index], past = optional_input(node, index + 3);
    if (s->rank == 3)
        x = transpose(graph, split_heads(graph, x, s->groups), 0, 2, 1, 3);
    return past
               ? gm_emit(graph, "Concat", (gm_value_id[]){past, x}, 2, (gm_attribute[]){gm_attribute_int("axis", 2)}, 1)
               : x;
}

/* Heads that share a key stand behind each other: [B, H, L, D] is [B, G, H / G * L, D] as it stands. */
static gm_value_id grouped_product(gm_graph *graph, gm_value_id a, gm_value_id b, const attention_shape *s)
{
    gm_dim rows = gm_dim_mul(graph->symbols, s->queries, s->heads / s->groups);
    if (s->heads == s->groups)
        return gm_emit2(graph, "MatMul", a, b);
    a = reshape(graph, a, (int64_t[]){0, s->groups, size_or_rest(rows), 0}, 4);
    return reshape(graph, gm_emit2(graph, "MatMul", a, b), (int64_t[]){0, s->heads, size_or_rest(s->queries), 0}, 4);
}

/* x * scale, or x / sqrt(D) */
static gm_value_id scaled_queries(gm_graph *graph, const gm_node *node, gm_value_id q, gm_dim width)
{
    if (gm_node_attribute(node, "scale"))
        return times(graph, q, gm_node_float(node, "scale", 1.0));
    if (gm_dim_is_known(width))
        return times(graph, q, width > 0 ? 1.0 / sqrt((double)width) : 1.0);
    return gm_emit2(graph, "Div", q, gm_emit1(graph, "Sqrt", gm_count_along(graph, q, (int64_t[]){3}, 1)));
}

static gm_type wider(gm_type a, gm_type b)
{
    return a == GM_DOUBLE || b == GM_DOUBLE ? GM_DOUBLE : GM_FLOAT;
}

/* https://onnx.ai/onnx/operators/onnx__Attention.html */
static gm_status expand_attention(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_type told = gm_value_of(graph, node->inputs[QUERY])->type, type = wider(told, told);
    gm_type precision = wider(type, (gm_type)gm_node_int(node, "softmax_precision", GM_FLOAT));
    double cap = gm_node_float(node, "softcap", 0.0);
    attention_shape s;
    attention_mask mask = {0};
    gm_value_id q = node->inputs[QUERY], k, v, stages[4], y; /* stages: by qk_matmul_output_mode */
    GM_TRY(attention_shape_of(graph, node, &s));
    if (s.rank == 3)
        q = transpose(graph, split_heads(graph, q, s.heads), 0, 2, 1, 3);
    k = with_past(graph, node, KEY, &s);
    v = with_past(graph, node, VALUE, &s);
    q = scaled_queries(graph, node, cast(graph, q, type), s.width);
    stages[0] = grouped_product(graph, q, transpose(graph, cast(graph, k, type), 0, 1, 3, 2), &s);
    stages[1] = cap > 0.0 ? times(graph, gm_emit1(graph, "Tanh", times(graph, stages[0], 1.0 / cap)), cap) : stages[0];
    GM_TRY(graph->status);
    mask_by_position(graph, node, q, k, &mask);
    if (optional_input(node, MASK))
        mask_by_input(graph, node->inputs[MASK], &s, type, &mask);
    GM_TRY(graph->status);
    stages[3] = attention_softmax(graph, stages[1], &mask, precision, &stages[2]);
    y = grouped_product(graph, stages[3], cast(graph, v, type), &s);
    if (s.rank == 3) {
        gm_dim width = gm_dim_mul(graph->symbols, s.value_width, s.heads);
        y = reshape(graph, transpose(graph, y, 0, 2, 1, 3), (int64_t[]){0, 0, size_or_rest(width)}, 3);
    }
    GM_TRY(graph->status);
    outputs[0] = cast(graph, y, told);
    if (wants_output(node, 1))
        outputs[1] = k;
    if (wants_output(node, 2))
        outputs[2] = v;
    if (wants_output(node, 3))
        outputs[3] = cast(graph, stages[gm_node_int(node, "qk_matmul_output_mode", 0)], told);
    return graph->status;
}

static const gm_attribute_schema attention_attributes[] = {
    {"is_causal", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0},
    {"kv_num_heads", GM_ATTRIBUTE_INT, GM_OPTIONAL, .i = 0},
    {"left_window_size", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = -1},
    {"q_num_heads", GM_ATTRIBUTE_INT, GM_OPTIONAL, .i = 0},
    {"qk_matmul_output_mode", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0},
    {"right_window_size", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = -1},
    {"scale", GM_ATTRIBUTE_FLOAT, GM_OPTIONAL, .f = 0.0},
    {"softcap", GM_ATTRIBUTE_FLOAT, GM_DEFAULT, .f = 0.0},
    {"softmax_precision", GM_ATTRIBUTE_INT, GM_OPTIONAL, .i = 0}};
const gm_operator gm_op_attention = {.domain = "",
                                     .name = "Attention",
                                     .since = 25,
                                     .inputs = "Q K V attn_mask? past_key? past_value? nonpad_kv_seqlen?",
                                     .outputs = "Y present_key? present_value? qk_matmul_output?",
                                     .types = GM_TYPES_FLOATING,
                                     .attributes = attention_attributes,
                                     .attribute_count = GM_COUNT(attention_attributes),
                                     .infer = infer_attention,
                                     .expand = expand_attention};

/* --- RotaryEmbedding ---------------------------------------------------------------------------------------------- */

/* Numbers of a head, and how many of them turn. */
static gm_status rotary_widths(gm_graph *graph, const gm_node *node, gm_dim *head_out, int64_t *turned_out)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]), cosine = *gm_value_of(graph, node->inputs[1]);
    int64_t heads = gm_node_int(node, "num_heads", 0), turned = gm_node_int(node, "rotary_embedding_dim", 0);
    char a[160], b[160];
    if (x.rank != 3 && x.rank != 4)
        return gm_node_fail(graph, node, "takes tensors of rank 3 or 4, found %s",
                            gm_shape_text(graph, node->inputs[0], a, sizeof a));
    if (x.rank == 3 && (heads < 1 || !gm_dim_is_known(x.dims[2]) || x.dims[2] % heads != 0))
        return gm_node_fail(graph, node, "an input of rank 3, %s, needs num_heads, which divides its last axis",
                            gm_shape_text(graph, node->inputs[0], a, sizeof a));
    *head_out = x.rank == 3 ? x.dims[2] / heads : x.dims[3];
    *turned_out = turned ? turned : *head_out;
    if (!gm_dim_is_known(*head_out) || *turned_out < 0 || *turned_out > *head_out || *turned_out % 2 != 0)
        return gm_node_fail(graph, node, "an even part of a head must turn, found %lld of %lld (of %s)",
                            (long long)*turned_out, (long long)*head_out,
                            gm_shape_text(graph, node->inputs[0], a, sizeof a));
    if (cosine.rank < 2 || cosine.dims[cosine.rank - 1] != *turned_out / 2)
        return gm_node_fail(graph, node, "the last axis of the caches must be %lld, half of what turns, found %s",
                            (long long)*turned_out / 2, gm_shape_text(graph, node->inputs[1], b, sizeof b));
    return GM_OK;
}

static gm_status infer_rotary(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]), cosine = *gm_value_of(graph, node->inputs[1]);
    gm_value sine = *gm_value_of(graph, node->inputs[2]);
    gm_value_id ids = optional_input(node, 3);
    gm_dim head, at[2] = {x.dims[0], x.dims[x.rank == 3 ? 1 : 2]};
    int64_t turned;
    bool fits;
    char a[160], b[160];
    if (cosine.type != x.type || sine.type != x.type)
        return gm_node_fail(graph, node, "the caches must be %s like X, found %s and %s", gm_type_name(x.type),
                            gm_type_name(cosine.type), gm_type_name(sine.type));
    GM_TRY(rotary_widths(graph, node, &head, &turned));
    if (sine.rank != cosine.rank || memcmp(sine.dims, cosine.dims, (size_t)sine.rank * sizeof(gm_dim)) != 0)
        return gm_node_fail(graph, node, "the caches have different shapes, %s and %s",
                            gm_shape_text(graph, node->inputs[1], a, sizeof a),
                            gm_shape_text(graph, node->inputs[2], b, sizeof b));
    if (ids) {
        const gm_value *value = gm_value_of(graph, ids);
        fits =
            value->type == GM_INT64 && value->rank == 2 && cosine.rank == 2 && memcmp(value->dims, at, sizeof at) == 0;
    } else {
        fits = cosine.rank == 3 && memcmp(cosine.dims, at, sizeof at) == 0;
    }
    if (!fits)
        return gm_node_fail(graph, node,
                            "the caches must be [batch, sequence, half] without position_ids, else [positions, "
                            "half] with int64 ids [batch, sequence], found %s and %s",
                            gm_shape_text(graph, node->inputs[1], a, sizeof a), gm_shape_text(graph, ids, b, sizeof b));
    return gm_infer_unary(graph, node);
}

static gm_value_id slice_last(gm_graph *graph, gm_value_id x, int64_t start, int64_t end, int64_t step)
{
    gm_value_id inputs[5] = {x, gm_const_ints(graph, &start, 1), gm_const_ints(graph, &end, 1),
                             gm_const_ints(graph, (int64_t[]){3}, 1), gm_const_ints(graph, &step, 1)};
    return gm_emit(graph, "Slice", inputs, 5, NULL, 0);
}

static gm_value_id concat_last(gm_graph *graph, gm_value_id a, gm_value_id b)
{
    return gm_emit2_with(graph, "Concat", a, b, gm_attribute_int("axis", -1));
}

/* https://onnx.ai/onnx/operators/onnx__RotaryEmbedding.html: pairs (a, b) of a head become (a cos - b sin, a sin + b cos). The
 * pairs are neighbours (interleaved), or from the two halves of what turns. Computed on [B, H, L, D], or [B, L, H, D] where
 * X has rank 3: the caches get a 1 in the place of the heads. */
static gm_status expand_rotary(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    bool interleaved = gm_node_int(node, "interleaved", 0) != 0, flat = gm_value_of(graph, node->inputs[0])->rank == 3;
    gm_value_id x = node->inputs[0], ids = optional_input(node, 3), cosine = node->inputs[1], sine = node->inputs[2];
    gm_value_id a, b, real, imaginary, y;
    gm_dim head;
    int64_t turned;
    GM_TRY(rotary_widths(graph, node, &head, &turned));
    if (flat)
        x = split_heads(graph, x, gm_node_int(node, "num_heads", 1));
    cosine = unsqueeze(graph, ids ? gm_emit2(graph, "Gather", cosine, ids) : cosine, flat ? 2 : 1);
    sine = unsqueeze(graph, ids ? gm_emit2(graph, "Gather", sine, ids) : sine, flat ? 2 : 1);
    a = interleaved ? slice_last(graph, x, 0, turned, 2) : slice_last(graph, x, 0, turned / 2, 1);
    b = interleaved ? slice_last(graph, x, 1, turned, 2) : slice_last(graph, x, turned / 2, turned, 1);
    real = gm_emit2(graph, "Sub", gm_emit2(graph, "Mul", cosine, a), gm_emit2(graph, "Mul", sine, b));
    imaginary = gm_emit2(graph, "Add", gm_emit2(graph, "Mul", sine, a), gm_emit2(graph, "Mul", cosine, b));
    if (interleaved) {
        y = concat_last(graph, unsqueeze(graph, real, 4), unsqueeze(graph, imaginary, 4));
        y = reshape(graph, y, (int64_t[]){0, 0, 0, turned}, 4);
    } else {
        y = concat_last(graph, real, imaginary);
    }
    if (turned < head)
        y = concat_last(graph, y, slice_last(graph, x, turned, head, 1));
    outputs[0] = flat ? gm_emit2(graph, "Reshape", y, gm_shape_of(graph, node->inputs[0])) : y;
    return graph->status;
}

static const gm_attribute_schema rotary_attributes[] = {{"interleaved", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0},
                                                        {"num_heads", GM_ATTRIBUTE_INT, GM_OPTIONAL, .i = 0},
                                                        {"rotary_embedding_dim", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0}};
const gm_operator gm_op_rotary_embedding = {.domain = "",
                                            .name = "RotaryEmbedding",
                                            .since = 23,
                                            .inputs = "X cos_cache sin_cache position_ids?",
                                            .outputs = "Y",
                                            .types = GM_TYPES_FLOATING,
                                            .attributes = rotary_attributes,
                                            .attribute_count = GM_COUNT(rotary_attributes),
                                            .infer = infer_rotary,
                                            .expand = expand_rotary};
