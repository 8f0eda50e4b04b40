/* Elementwise operators: schemas and gradients. Gradients are made of elementwise operators again, so that they
 * differentiate and fuse. Kernels: ops/elementwise.c (reference) and ops/tile.c (float32). */
#include "ops/elementwise.h"

#include <math.h>

#define TYPES_COMPARED (GM_TYPES_NUMERIC | GM_TYPES(GM_BOOL))

/* --- Shorthands of gradient rules -------------------------------------------------------------------------------- */

static gm_value_id add(gm_graph *graph, gm_value_id a, gm_value_id b)
{
    return gm_emit2(graph, "Add", a, b);
}

static gm_value_id mul(gm_graph *graph, gm_value_id a, gm_value_id b)
{
    return gm_emit2(graph, "Mul", a, b);
}

static gm_value_id scale(gm_graph *graph, gm_value_id a, double factor)
{
    return factor == 1.0 ? a : mul(graph, a, gm_scalar_like(graph, a, factor));
}

static gm_value_id neg(gm_graph *graph, gm_value_id a)
{
    return gm_emit1(graph, "Neg", a);
}

/* bool -> 0 or 1 of like's type */
static gm_value_id indicator(gm_graph *graph, gm_value_id condition, gm_value_id like)
{
    gm_type type = graph->status == GM_OK ? gm_value_of(graph, like)->type : GM_FLOAT;
    return gm_emit1_with(graph, "Cast", condition, gm_attribute_int("to", type));
}

/* dx[input] = dy summed to the shape of that input */
static void give(gm_gradient *g, size_t input, gm_value_id dx)
{
    if (g->graph->status == GM_OK)
        g->dx[input] = gm_sum_to_like(g->graph, dx, g->node->inputs[input]);
}

#define X  (g->node->inputs[0])
#define B  (g->node->inputs[1])
#define Y  (g->node->outputs[0])
#define DY (g->dy[0])

/* --- Shapes ------------------------------------------------------------------------------------------------------ */

gm_status gm_infer_comparison(gm_graph *graph, gm_node *node)
{
    gm_dim dims[GM_MAX_RANK];
    int rank;
    GM_TRY(gm_infer_same_type(graph, node));
    GM_TRY(gm_infer_broadcast(graph, node, node->inputs, node->input_count, &rank, dims));
    gm_set_output(graph, node, 0, GM_BOOL, rank, dims);
    return graph->status;
}

/* Pow: the exponent may have another type; the result has the base's. */
static gm_status pow_infer(gm_graph *graph, gm_node *node)
{
    gm_dim dims[GM_MAX_RANK];
    int rank;
    GM_TRY(gm_infer_broadcast(graph, node, node->inputs, 2, &rank, dims));
    gm_set_output(graph, node, 0, gm_value_of(graph, node->inputs[0])->type, rank, dims);
    return graph->status;
}

static gm_status where_infer(gm_graph *graph, gm_node *node)
{
    const gm_value *x = gm_value_of(graph, node->inputs[1]), *y = gm_value_of(graph, node->inputs[2]);
    gm_dim dims[GM_MAX_RANK];
    int rank;
    if (x->type != y->type)
        return gm_node_fail(graph, node, "X has type %s and Y %s; they must be equal (use Cast)", gm_type_name(x->type),
                            gm_type_name(y->type));
    GM_TRY(gm_infer_broadcast(graph, node, node->inputs, 3, &rank, dims));
    gm_set_output(graph, node, 0, gm_value_of(graph, node->inputs[1])->type, rank, dims);
    return graph->status;
}

static gm_status clip_infer(gm_graph *graph, gm_node *node)
{
    GM_TRY(gm_infer_same_type(graph, node));
    for (size_t i = 1; i < node->input_count; i++)
        if (node->inputs[i] && gm_value_of(graph, node->inputs[i])->rank != 0) {
            const gm_value *bound = gm_value_of(graph, node->inputs[i]);
            if (bound->rank != 1 || bound->dims[0] != 1)
                return gm_node_fail(graph, node, "%s must be a scalar", i == 1 ? "min" : "max");
        }
    return gm_infer_unary(graph, node);
}

static gm_status cast_infer(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    gm_type to = (gm_type)gm_node_int(node, "to", 0);
    if (!gm_type_find(to) || to == GM_STRING || x.type == GM_STRING)
        return gm_node_fail(graph, node, "cannot cast %s to %s", gm_type_name(x.type), gm_type_name(to));
    gm_set_output(graph, node, 0, to, x.rank, x.dims);
    if (x.content && to == GM_INT64 && graph->status == GM_OK) {
        gm_value *y = gm_value_of(graph, node->outputs[0]);
        y->content = x.content;
        y->content_count = x.content_count;
    }
    return graph->status;
}

/* Add, Sub, Mul of whole numbers that are known, maybe symbolically: 2 * N in a shape stays 2*N. */
static gm_status arithmetic_infer(gm_graph *graph, gm_node *node)
{
    const gm_value *a, *b;
    gm_value *y;
    gm_dim result, x[2];
    gm_dim *content;
    GM_TRY(gm_infer_elementwise(graph, node));
    a = gm_value_of(graph, node->inputs[0]);
    b = gm_value_of(graph, node->inputs[1]);
    y = gm_value_of(graph, node->outputs[0]);
    if (y->type != GM_INT64 || y->rank != 0 || !a->content || !b->content)
        return graph->status;
    x[0] = a->content[0];
    x[1] = b->content[0];
    result = node->op->name[0] == 'A'   ? gm_dim_add(graph->symbols, x[0], x[1])
             : node->op->name[0] == 'S' ? gm_dim_sub(graph->symbols, x[0], x[1])
                                        : gm_dim_mul(graph->symbols, x[0], x[1]);
    if (result == GM_DIM_ERROR)
        return graph->status;
    content = gm_pool_alloc(graph->pool, sizeof *content);
    if (!content)
        return gm_graph_fail(graph, GM_ERROR_MEMORY, "no memory");
    *content = result;
    y->content = content;
    y->content_count = 1;
    return graph->status;
}

/* --- Arithmetic -------------------------------------------------------------------------------------------------- */

static gm_status add_gradient(gm_gradient *g)
{
    for (size_t i = 0; i < 2; i++)
        if (g->wanted[i])
            give(g, i, DY);
    return g->graph->status;
}

static gm_status sub_gradient(gm_gradient *g)
{
    if (g->wanted[0])
        give(g, 0, DY);
    if (g->wanted[1])
        give(g, 1, neg(g->graph, DY));
    return g->graph->status;
}

static gm_status mul_gradient(gm_gradient *g)
{
    if (g->wanted[0])
        give(g, 0, mul(g->graph, DY, B));
    if (g->wanted[1])
        give(g, 1, mul(g->graph, DY, X));
    return g->graph->status;
}

/* da = dy / b, db = -dy y / b */
static gm_status div_gradient(gm_gradient *g)
{
    gm_value_id share = gm_emit2(g->graph, "Div", DY, B);
    if (g->wanted[0])
        give(g, 0, share);
    if (g->wanted[1])
        give(g, 1, neg(g->graph, mul(g->graph, share, Y)));
    return g->graph->status;
}

/* d(x mod b) = dx (b constant) */
static gm_status mod_gradient(gm_gradient *g)
{
    if (g->wanted[0])
        give(g, 0, DY);
    if (g->wanted[1])
        return gm_node_fail(g->graph, g->node, "has no gradient for its divisor");
    return g->graph->status;
}

/* c x^(c - 1), for a constant c, in the fewest operators. */
static gm_value_id power_slope(gm_graph *graph, gm_value_id x, double c)
{
    if (c == 2.0)
        return scale(graph, x, 2.0);
    return scale(graph, gm_emit2(graph, "Pow", x, gm_scalar_like(graph, x, c - 1.0)), c);
}

/* da = dy b a^(b - 1); db = dy y ln a, 0 where a <= 0 */
static gm_status pow_gradient(gm_gradient *g)
{
    gm_graph *graph = g->graph;
    double c;
    if (g->wanted[0] && gm_constant_number(g->graph, B, &c)) {
        if (c == 1.0)
            give(g, 0, DY);
        else if (c != 0.0)
            give(g, 0, mul(graph, DY, power_slope(graph, X, c)));
    } else if (g->wanted[0]) {
        gm_value_id b = indicator(graph, B, X);
        gm_value_id less = gm_emit2(graph, "Sub", b, gm_scalar_like(graph, X, 1.0));
        give(g, 0, mul(graph, DY, mul(graph, b, gm_emit2(graph, "Pow", X, less))));
    }
    if (g->wanted[1]) {
        gm_value_id positive = gm_emit2(graph, "Greater", X, gm_scalar_like(graph, X, 0.0));
        gm_value_id safe = gm_emit3(graph, "Where", positive, X, gm_scalar_like(graph, X, 1.0));
        give(g, 1, mul(graph, DY, mul(graph, Y, gm_emit1(graph, "Log", safe))));
    }
    return graph->status;
}

static gm_status neg_gradient(gm_gradient *g)
{
    give(g, 0, neg(g->graph, DY));
    return g->graph->status;
}

static gm_status abs_gradient(gm_gradient *g)
{
    give(g, 0, mul(g->graph, DY, gm_emit1(g->graph, "Sign", X)));
    return g->graph->status;
}

/* --- Functions --------------------------------------------------------------------------------------------------- */

static gm_status exp_gradient(gm_gradient *g)
{
    give(g, 0, mul(g->graph, DY, Y));
    return g->graph->status;
}

static gm_status log_gradient(gm_gradient *g)
{
    give(g, 0, gm_emit2(g->graph, "Div", DY, X));
    return g->graph->status;
}

/* dx = dy / (2 y) */
static gm_status sqrt_gradient(gm_gradient *g)
{
    give(g, 0, gm_emit2(g->graph, "Div", scale(g->graph, DY, 0.5), Y));
    return g->graph->status;
}

/* dx = -dy y^2 */
static gm_status reciprocal_gradient(gm_gradient *g)
{
    give(g, 0, neg(g->graph, mul(g->graph, DY, mul(g->graph, Y, Y))));
    return g->graph->status;
}

static gm_status sin_gradient(gm_gradient *g)
{
    give(g, 0, mul(g->graph, DY, gm_emit1(g->graph, "Cos", X)));
    return g->graph->status;
}

static gm_status cos_gradient(gm_gradient *g)
{
    give(g, 0, neg(g->graph, mul(g->graph, DY, gm_emit1(g->graph, "Sin", X))));
    return g->graph->status;
}

/* dx = dy 2 / sqrt(pi) exp(-x^2) */
static gm_status erf_gradient(gm_gradient *g)
{
    gm_graph *graph = g->graph;
    gm_value_id bell = gm_emit1(graph, "Exp", neg(graph, mul(graph, X, X)));
    give(g, 0, mul(graph, DY, scale(graph, bell, 1.1283791670955126)));
    return graph->status;
}

/* Step of a rectifier: 1 where it passes, `slope` elsewhere. Taken at y, which has the sign of x, so that x may die. */
static gm_value_id step(gm_gradient *g, double slope)
{
    return gm_emit1_with(g->graph, "gmodel.Step", slope >= 0.0 ? Y : X, gm_attribute_float("slope", slope));
}

static gm_status relu_gradient(gm_gradient *g)
{
    give(g, 0, mul(g->graph, DY, step(g, 0.0)));
    return g->graph->status;
}

static gm_status leaky_relu_gradient(gm_gradient *g)
{
    give(g, 0, mul(g->graph, DY, step(g, gm_node_float(g->node, "alpha", 0.01))));
    return g->graph->status;
}

/* dx = dy (1 - y^2) */
static gm_status tanh_gradient(gm_gradient *g)
{
    gm_graph *graph = g->graph;
    give(g, 0, mul(graph, DY, gm_emit2(graph, "Sub", gm_scalar_like(graph, Y, 1.0), mul(graph, Y, Y))));
    return graph->status;
}

/* dx = dy y (1 - y) */
static gm_status sigmoid_gradient(gm_gradient *g)
{
    gm_graph *graph = g->graph;
    give(g, 0, mul(graph, DY, mul(graph, Y, gm_emit2(graph, "Sub", gm_scalar_like(graph, Y, 1.0), Y))));
    return graph->status;
}

static gm_status softplus_gradient(gm_gradient *g)
{
    give(g, 0, mul(g->graph, DY, gm_emit1(g->graph, "Sigmoid", X)));
    return g->graph->status;
}

/* --- Choice ------------------------------------------------------------------------------------------------------ */

/* Min, Max: to the chosen operand; equal ones share. */
static gm_status extreme_gradient(gm_gradient *g)
{
    gm_graph *graph = g->graph;
    size_t count = g->node->input_count;
    gm_value_id shares = 0;
    gm_value_id *chosen = gm_pool_array(graph->pool, count, sizeof *chosen);
    if (!chosen)
        return graph->status = GM_ERROR_MEMORY;
    if (count == 1) {
        give(g, 0, DY);
        return graph->status;
    }
    for (size_t i = 0; i < count; i++) {
        chosen[i] = indicator(graph, gm_emit2(graph, "Equal", g->node->inputs[i], Y), Y);
        shares = shares ? add(graph, shares, chosen[i]) : chosen[i];
    }
    shares = gm_emit2(graph, "Div", DY, shares);
    for (size_t i = 0; i < count; i++)
        if (g->wanted[i])
            give(g, i, mul(graph, shares, chosen[i]));
    return graph->status;
}

/* dx = dy where min <= x <= max; a bound gets dy where it took effect. */
static gm_status clip_gradient(gm_gradient *g)
{
    gm_graph *graph = g->graph;
    gm_value_id low = g->node->input_count > 1 ? g->node->inputs[1] : 0;
    gm_value_id high = g->node->input_count > 2 ? g->node->inputs[2] : 0;
    gm_value_id below = low ? gm_emit2(graph, "Less", X, low) : 0;
    gm_value_id above = high ? gm_emit2(graph, "Greater", X, high) : 0;
    gm_value_id zero = gm_scalar_like(graph, X, 0.0), dx = DY;
    if (below)
        dx = gm_emit3(graph, "Where", below, zero, dx);
    if (above)
        dx = gm_emit3(graph, "Where", above, zero, dx);
    give(g, 0, dx);
    if (below && g->wanted[1])
        give(g, 1, gm_emit3(graph, "Where", below, DY, zero));
    if (above && g->wanted[2])
        give(g, 2, gm_emit3(graph, "Where", above, DY, zero));
    return graph->status;
}

static gm_status where_gradient(gm_gradient *g)
{
    gm_graph *graph = g->graph;
    gm_value_id zero = gm_scalar_like(graph, Y, 0.0);
    if (g->wanted[1])
        give(g, 1, gm_emit3(graph, "Where", X, DY, zero));
    if (g->wanted[2])
        give(g, 2, gm_emit3(graph, "Where", X, zero, DY));
    return graph->status;
}

static gm_status cast_gradient(gm_gradient *g)
{
    gm_type type = gm_value_of(g->graph, X)->type;
    const gm_type_info *info = gm_type_find(type);
    if (info && info->floating)
        g->dx[0] = gm_emit1_with(g->graph, "Cast", DY, gm_attribute_int("to", type));
    return g->graph->status;
}

/* --- Older sets ----------------------------------------------------------------------------------------------------- */

/* Before 7 B is laid along the axes of A that begin at `axis`, and only where `broadcast` says so. */
static const gm_older older_binary[] = {
    {7, GM_OLDER_ATTRIBUTE, "broadcast", .i = 0}, {7, GM_OLDER_ATTRIBUTE, "axis", .i = 0}, {0}};

static gm_status upgrade_binary(gm_older_node *node)
{
    gm_graph *graph = node->graph;
    const gm_attribute *axis = node->opset < 7 ? gm_older_attribute(node, "axis") : NULL;
    int64_t axes[GM_MAX_RANK];
    size_t count = 0;
    if (!axis || node->input_count < 2)
        return GM_OK;
    int rank = gm_value_of(graph, node->inputs[0])->rank, own = gm_value_of(graph, node->inputs[1])->rank;
    for (int64_t at = axis->i + own; at < rank && axis->i >= 0; at++, count++)
        axes[count] = own + (int64_t)count;
    if (count)
        node->inputs[1] = gm_emit2(graph, "Unsqueeze", node->inputs[1], gm_const_ints(graph, axes, count));
    return graph->status;
}

#define OLDER_BINARY .older = older_binary, .upgrade = upgrade_binary

static const gm_older older_clip[] = {
    {11, GM_OLDER_INPUT, "min", .input = 1}, {11, GM_OLDER_INPUT, "max", .input = 2}, {0}};

/* Before 6 the type is a word: "FLOAT". */
static const gm_older older_cast[] = {{6, GM_OLDER_ATTRIBUTE, "to", .i = 0}, {0}};

static gm_status upgrade_cast(gm_older_node *node)
{
    gm_attribute *to = gm_older_attribute(node, "to");
    char name[16] = "";
    const gm_type_info *type;
    if (!to || to->kind != GM_ATTRIBUTE_STRING)
        return GM_OK;
    for (size_t i = 0; to->s[i] && i + 1 < sizeof name; i++)
        name[i] = (char)(to->s[i] >= 'A' && to->s[i] <= 'Z' ? to->s[i] - 'A' + 'a' : to->s[i]);
    if (!(type = gm_type_by_name(name)))
        return gm_graph_fail(node->graph, GM_ERROR_MODEL, "Cast: there is no type '%s'", to->s);
    *to = gm_attribute_int("to", type->type);
    return GM_OK;
}

/* --- The operators ------------------------------------------------------------------------------------------------ */

#define ATTRIBUTES(table) .attributes = table, .attribute_count = GM_COUNT(table)

/* An ONNX operator, with the row of the tables that computes it. */
#define ELEMENTWISE(symbol, text, version, in, type_set, infer_rule, code, ...)                                        \
    ELEMENTWISE_FLAGS(symbol, text, version, in, type_set, infer_rule, code, GM_OP_ELEMENTWISE, __VA_ARGS__)
#define EXTREME(symbol, text, code)                                                                                    \
    ELEMENTWISE_FLAGS(symbol, text, 13, "data_0", GM_TYPES_NUMERIC, gm_infer_elementwise, code,                        \
                      GM_OP_ELEMENTWISE | GM_OP_VARIADIC, .gradient = extreme_gradient)
#define ELEMENTWISE_FLAGS(symbol, text, version, in, type_set, infer_rule, code, flag_set, ...)                        \
    const gm_operator symbol = {.domain = "",                                                                          \
                                .name = text,                                                                          \
                                .since = version,                                                                      \
                                .inputs = in,                                                                          \
                                .outputs = "Y",                                                                        \
                                .types = type_set,                                                                     \
                                .flags = flag_set,                                                                     \
                                .infer = infer_rule,                                                                   \
                                .reference = gm_elementwise_reference,                                                 \
                                .lower = gm_tile_lower,                                                                \
                                .tile_instruction = code,                                                              \
                                __VA_ARGS__}

static const gm_attribute_schema leaky_attributes[] = {{"alpha", GM_ATTRIBUTE_FLOAT, GM_DEFAULT, .f = 0.01}};
static const gm_attribute_schema step_attributes[] = {{"slope", GM_ATTRIBUTE_FLOAT, GM_DEFAULT, .f = 0.0}};
static const gm_attribute_schema mod_attributes[] = {{"fmod", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0}};
static const gm_attribute_schema cast_attributes[] = {{"to", GM_ATTRIBUTE_INT, GM_REQUIRED, .i = 0},
                                                      {"saturate", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 1}};

ELEMENTWISE(gm_op_add, "Add", 14, "A B", GM_TYPES_NUMERIC, arithmetic_infer, GM_TILE_ADD, .gradient = add_gradient,
            OLDER_BINARY);
ELEMENTWISE(gm_op_sub, "Sub", 14, "A B", GM_TYPES_NUMERIC, arithmetic_infer, GM_TILE_SUB, .gradient = sub_gradient,
            OLDER_BINARY);
ELEMENTWISE(gm_op_mul, "Mul", 14, "A B", GM_TYPES_NUMERIC, arithmetic_infer, GM_TILE_MUL, .gradient = mul_gradient,
            OLDER_BINARY);
ELEMENTWISE(gm_op_div, "Div", 14, "A B", GM_TYPES_NUMERIC, gm_infer_elementwise, GM_TILE_DIV, .gradient = div_gradient,
            OLDER_BINARY);
ELEMENTWISE(gm_op_pow, "Pow", 15, "X Y", GM_TYPES_NUMERIC, pow_infer, GM_TILE_POW, .gradient = pow_gradient,
            OLDER_BINARY);
/* not of the tile machine: no flag, no lower */
const gm_operator gm_op_mod = {.domain = "",
                               .name = "Mod",
                               .since = 13,
                               .inputs = "A B",
                               .outputs = "C",
                               .types = GM_TYPES_NUMERIC,
                               ATTRIBUTES(mod_attributes),
                               .infer = gm_infer_elementwise,
                               .gradient = mod_gradient,
                               .reference = gm_elementwise_reference,
                               .tile_instruction = GM_TILE_MOD};
ELEMENTWISE(gm_op_neg, "Neg", 13, "X", GM_TYPES_NUMERIC, gm_infer_unary, GM_TILE_NEG, .gradient = neg_gradient);
ELEMENTWISE(gm_op_abs, "Abs", 13, "X", GM_TYPES_NUMERIC, gm_infer_unary, GM_TILE_ABS, .gradient = abs_gradient);
ELEMENTWISE(gm_op_sign, "Sign", 13, "X", GM_TYPES_NUMERIC, gm_infer_unary, GM_TILE_SIGN, .zero_gradient = true);
ELEMENTWISE(gm_op_exp, "Exp", 13, "X", GM_TYPES_FLOATING, gm_infer_unary, GM_TILE_EXP, .gradient = exp_gradient);
ELEMENTWISE(gm_op_log, "Log", 13, "X", GM_TYPES_FLOATING, gm_infer_unary, GM_TILE_LOG, .gradient = log_gradient);
ELEMENTWISE(gm_op_sqrt, "Sqrt", 13, "X", GM_TYPES_FLOATING, gm_infer_unary, GM_TILE_SQRT, .gradient = sqrt_gradient);
ELEMENTWISE(gm_op_reciprocal, "Reciprocal", 13, "X", GM_TYPES_FLOATING, gm_infer_unary, GM_TILE_RECIPROCAL,
            .gradient = reciprocal_gradient);
ELEMENTWISE(gm_op_sin, "Sin", 7, "X", GM_TYPES_FLOATING, gm_infer_unary, GM_TILE_SIN, .gradient = sin_gradient);
ELEMENTWISE(gm_op_cos, "Cos", 7, "X", GM_TYPES_FLOATING, gm_infer_unary, GM_TILE_COS, .gradient = cos_gradient);
ELEMENTWISE(gm_op_erf, "Erf", 13, "X", GM_TYPES_FLOATING, gm_infer_unary, GM_TILE_ERF, .gradient = erf_gradient);
ELEMENTWISE(gm_op_floor, "Floor", 13, "X", GM_TYPES_FLOATING, gm_infer_unary, GM_TILE_FLOOR, .zero_gradient = true);
ELEMENTWISE(gm_op_ceil, "Ceil", 13, "X", GM_TYPES_FLOATING, gm_infer_unary, GM_TILE_CEIL, .zero_gradient = true);
ELEMENTWISE(gm_op_round, "Round", 11, "X", GM_TYPES_FLOATING, gm_infer_unary, GM_TILE_ROUND, .zero_gradient = true);
ELEMENTWISE(gm_op_relu, "Relu", 14, "X", GM_TYPES_NUMERIC, gm_infer_unary, GM_TILE_RELU, .gradient = relu_gradient);
ELEMENTWISE(gm_op_leaky_relu, "LeakyRelu", 16, "X", GM_TYPES_FLOATING, gm_infer_unary, GM_TILE_LEAKY_RELU,
            .gradient = leaky_relu_gradient, ATTRIBUTES(leaky_attributes));
ELEMENTWISE(gm_op_tanh, "Tanh", 13, "X", GM_TYPES_FLOATING, gm_infer_unary, GM_TILE_TANH, .gradient = tanh_gradient);
ELEMENTWISE(gm_op_sigmoid, "Sigmoid", 13, "X", GM_TYPES_FLOATING, gm_infer_unary, GM_TILE_SIGMOID,
            .gradient = sigmoid_gradient);
ELEMENTWISE(gm_op_softplus, "Softplus", 1, "X", GM_TYPES_FLOATING, gm_infer_unary, GM_TILE_SOFTPLUS,
            .gradient = softplus_gradient);
EXTREME(gm_op_min, "Min", GM_TILE_MIN);
EXTREME(gm_op_max, "Max", GM_TILE_MAX);
ELEMENTWISE(gm_op_clip, "Clip", 13, "X min? max?", GM_TYPES_NUMERIC, clip_infer, GM_TILE_CLIP,
            .gradient = clip_gradient, .older = older_clip);
ELEMENTWISE(gm_op_where, "Where", 16, "condition X Y", GM_TYPES(GM_BOOL), where_infer, GM_TILE_WHERE,
            .gradient = where_gradient);
ELEMENTWISE(gm_op_equal, "Equal", 19, "A B", TYPES_COMPARED, gm_infer_comparison, GM_TILE_EQUAL, .zero_gradient = true,
            OLDER_BINARY);
ELEMENTWISE(gm_op_less, "Less", 13, "A B", GM_TYPES_NUMERIC, gm_infer_comparison, GM_TILE_LESS, .zero_gradient = true,
            OLDER_BINARY);
ELEMENTWISE(gm_op_greater, "Greater", 13, "A B", GM_TYPES_NUMERIC, gm_infer_comparison, GM_TILE_GREATER,
            .zero_gradient = true, OLDER_BINARY);
ELEMENTWISE(gm_op_less_or_equal, "LessOrEqual", 16, "A B", GM_TYPES_NUMERIC, gm_infer_comparison, GM_TILE_LESS_EQUAL,
            .zero_gradient = true);
ELEMENTWISE(gm_op_greater_or_equal, "GreaterOrEqual", 16, "A B", GM_TYPES_NUMERIC, gm_infer_comparison,
            GM_TILE_GREATER_EQUAL, .zero_gradient = true);
ELEMENTWISE(gm_op_and, "And", 7, "A B", GM_TYPES(GM_BOOL), gm_infer_comparison, GM_TILE_AND, .zero_gradient = true,
            OLDER_BINARY);
ELEMENTWISE(gm_op_or, "Or", 7, "A B", GM_TYPES(GM_BOOL), gm_infer_comparison, GM_TILE_OR, .zero_gradient = true,
            OLDER_BINARY);
ELEMENTWISE(gm_op_xor, "Xor", 7, "A B", GM_TYPES(GM_BOOL), gm_infer_comparison, GM_TILE_XOR, .zero_gradient = true,
            OLDER_BINARY);
ELEMENTWISE(gm_op_not, "Not", 1, "X", GM_TYPES(GM_BOOL), gm_infer_unary, GM_TILE_NOT, .zero_gradient = true);
ELEMENTWISE(gm_op_is_nan, "IsNaN", 20, "X", GM_TYPES_FLOATING, gm_infer_comparison, GM_TILE_IS_NAN,
            .zero_gradient = true);
ELEMENTWISE(gm_op_cast, "Cast", 13, "input", TYPES_COMPARED, cast_infer, GM_TILE_CAST, .gradient = cast_gradient,
            ATTRIBUTES(cast_attributes), .older = older_cast, .upgrade = upgrade_cast);

/* The identity through which no gradient flows: `detach(x)`. */
const gm_operator gm_op_detach = {.domain = "gmodel",
                                  .name = "Detach",
                                  .since = 1,
                                  .inputs = "X",
                                  .outputs = "Y",
                                  .types = TYPES_COMPARED,
                                  .flags = GM_OP_ELEMENTWISE,
                                  .infer = gm_infer_unary,
                                  .zero_gradient = true,
                                  .reference = gm_elementwise_reference,
                                  .lower = gm_tile_lower,
                                  .tile_instruction = GM_TILE_COPY};

/* The slope of a rectifier: 1 where x > 0, `slope` elsewhere (so at 0). Constant on both sides: its gradient is zero.
 */
const gm_operator gm_op_step = {.domain = "gmodel",
                                .name = "Step",
                                .since = 1,
                                .inputs = "X",
                                .outputs = "Y",
                                .types = GM_TYPES_NUMERIC,
                                .flags = GM_OP_ELEMENTWISE,
                                .infer = gm_infer_unary,
                                .zero_gradient = true,
                                .reference = gm_elementwise_reference,
                                .lower = gm_tile_lower,
                                .tile_instruction = GM_TILE_STEP,
                                ATTRIBUTES(step_attributes)};
