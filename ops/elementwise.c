/* The reference kernel of elementwise operators: one loop with NumPy broadcasting, and a table with one scalar rule per
 * operator. */
#include "ops/elementwise.h"

#include <math.h>
#include <string.h>

#define MAX_OPERANDS 64 /* of variadic Min and Max */

/* x: one element of each input; p: parameters of the node (slope). */
typedef double (*real_rule)(const double *x, size_t count, double p);
typedef int64_t (*integer_rule)(const int64_t *x, size_t count, double p);

#define REAL(name, expression)                                                                                         \
    static double real_##name(const double *x, size_t count, double p)                                                 \
    {                                                                                                                  \
        return (expression);                                                                                           \
    }
/* of integers as they are stored; the result keeps as many low bits as its type has */
#define INTEGER(name, expression)                                                                                      \
    static int64_t integer_##name(const int64_t *x, size_t count, double p)                                            \
    {                                                                                                                  \
        return (expression);                                                                                           \
    }

/* C's % and NumPy's: the result has the divisor's sign. */
static double floor_mod(double a, double b)
{
    double r = fmod(a, b);
    return r != 0.0 && (r < 0.0) != (b < 0.0) ? r + b : r;
}

static int64_t integer_floor_mod(int64_t a, int64_t b)
{
    int64_t r = b == 0 || b == -1 ? 0 : a % b;
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

static int64_t integer_divide(int64_t a, int64_t b)
{
    if (b == 0)
        return 0;
    return b == -1 ? (int64_t)(0u - (uint64_t)a) : a / b; /* INT64_MIN / -1 wraps */
}

static uint64_t natural_power(uint64_t factor, uint64_t exponent)
{
    uint64_t result = 1;
    for (; exponent; exponent >>= 1, factor *= factor)
        result *= exponent & 1 ? factor : 1;
    return result;
}

static int64_t integer_power(int64_t base, int64_t exponent)
{
    if (exponent < 0)
        return base == 1 ? 1 : base == -1 ? (exponent % 2 ? -1 : 1) : 0;
    return (int64_t)natural_power((uint64_t)base, (uint64_t)exponent);
}

static double real_min(const double *x, size_t count, double p)
{
    double best = x[0];
    for (size_t i = 1; i < count; i++)
        best = best < x[i] || best != best ? best : x[i];
    return best;
}

static double real_max(const double *x, size_t count, double p)
{
    double best = x[0];
    for (size_t i = 1; i < count; i++)
        best = best > x[i] || best != best ? best : x[i];
    return best;
}

static int64_t integer_min(const int64_t *x, size_t count, double p)
{
    int64_t best = x[0];
    for (size_t i = 1; i < count; i++)
        best = best < x[i] ? best : x[i];
    return best;
}

static int64_t integer_max(const int64_t *x, size_t count, double p)
{
    int64_t best = x[0];
    for (size_t i = 1; i < count; i++)
        best = best > x[i] ? best : x[i];
    return best;
}

static int64_t integer_natural_min(const int64_t *x, size_t count, double p)
{
    int64_t best = x[0];
    for (size_t i = 1; i < count; i++)
        best = (uint64_t)best < (uint64_t)x[i] ? best : x[i];
    return best;
}

static int64_t integer_natural_max(const int64_t *x, size_t count, double p)
{
    int64_t best = x[0];
    for (size_t i = 1; i < count; i++)
        best = (uint64_t)best > (uint64_t)x[i] ? best : x[i];
    return best;
}

static double real_sigmoid(const double *x, size_t count, double p)
{
    double e = exp(-fabs(x[0]));
    return (x[0] >= 0.0 ? 1.0 : e) / (1.0 + e);
}

REAL(copy, x[0])
REAL(add, x[0] + x[1])
REAL(sub, x[0] - x[1])
REAL(mul, x[0] * x[1])
REAL(div, x[0] / x[1])
REAL(pow, pow(x[0], x[1]))
REAL(mod, p != 0.0 ? fmod(x[0], x[1]) : floor_mod(x[0], x[1]))
REAL(equal, x[0] == x[1])
REAL(less, x[0] < x[1])
REAL(greater, x[0] > x[1])
REAL(less_equal, x[0] <= x[1])
REAL(greater_equal, x[0] >= x[1])
REAL(and, x[0] != 0.0 && x[1] != 0.0)
REAL(or, x[0] != 0.0 || x[1] != 0.0)
REAL(xor, (x[0] != 0.0) != (x[1] != 0.0))
REAL(not, x[0] == 0.0)
REAL(neg, -x[0])
REAL(abs, fabs(x[0]))
REAL(sign, x[0] > 0.0 ? 1.0 : x[0] < 0.0 ? -1.0 : x[0])
REAL(exp, exp(x[0]))
REAL(log, log(x[0]))
REAL(sqrt, sqrt(x[0]))
REAL(reciprocal, 1.0 / x[0])
REAL(sin, sin(x[0]))
REAL(cos, cos(x[0]))
REAL(floor, floor(x[0]))
REAL(ceil, ceil(x[0]))
REAL(round, rint(x[0])) /* halves to even */
REAL(erf, erf(x[0]))
REAL(relu, x[0] < 0.0 ? 0.0 : x[0])
REAL(leaky_relu, x[0] < 0.0 ? x[0] * p : x[0])
REAL(step, x[0] > 0.0 ? 1.0 : p)
REAL(tanh, tanh(x[0]))
REAL(softplus, fmax(x[0], 0.0) + log1p(exp(-fabs(x[0]))) + (x[0] != x[0] ? x[0] : 0.0))
REAL(where, x[0] != 0.0 ? x[1] : x[2])
REAL(is_nan, x[0] != x[0])

INTEGER(copy, x[0])
INTEGER(add, (int64_t)((uint64_t)x[0] + (uint64_t)x[1]))
INTEGER(sub, (int64_t)((uint64_t)x[0] - (uint64_t)x[1]))
INTEGER(mul, (int64_t)((uint64_t)x[0] * (uint64_t)x[1]))
INTEGER(div, integer_divide(x[0], x[1]))
INTEGER(pow, integer_power(x[0], x[1]))
INTEGER(mod, p != 0.0 ? (x[1] == 0 || x[1] == -1 ? 0 : x[0] % x[1]) : integer_floor_mod(x[0], x[1]))
INTEGER(equal, x[0] == x[1])
INTEGER(less, x[0] < x[1])
INTEGER(greater, x[0] > x[1])
INTEGER(less_equal, x[0] <= x[1])
INTEGER(greater_equal, x[0] >= x[1])
INTEGER(neg, (int64_t)(0u - (uint64_t)x[0]))
INTEGER(abs, x[0] < 0 ? (int64_t)(0u - (uint64_t)x[0]) : x[0])
INTEGER(sign, (x[0] > 0) - (x[0] < 0))
INTEGER(relu, x[0] < 0 ? 0 : x[0])
INTEGER(where, x[0] ? x[1] : x[2])

/* uint64, where the sign of the stored number matters: N(i) is operand i as it is. */
#define N(i)                      ((uint64_t)x[i])
#define NATURAL(name, expression) INTEGER(natural_##name, (int64_t)(expression))
NATURAL(div, x[1] == 0 ? 0 : N(0) / N(1))
NATURAL(pow, natural_power(N(0), N(1)))
NATURAL(mod, x[1] == 0 ? 0 : N(0) % N(1))
NATURAL(less, N(0) < N(1))
NATURAL(greater, N(0) > N(1))
NATURAL(less_equal, N(0) <= N(1))
NATURAL(greater_equal, N(0) >= N(1))
NATURAL(sign, x[0] != 0)

typedef struct element_rule {
    real_rule real;
    integer_rule integer; /* NULL: integers go through double */
    integer_rule natural; /* of uint64; NULL: as other integers */
} element_rule;

static const element_rule rules[GM_TILE_CODES] = {
    [GM_TILE_COPY] = {real_copy, integer_copy, NULL},
    [GM_TILE_ADD] = {real_add, integer_add, NULL},
    [GM_TILE_SUB] = {real_sub, integer_sub, NULL},
    [GM_TILE_MUL] = {real_mul, integer_mul, NULL},
    [GM_TILE_DIV] = {real_div, integer_div, integer_natural_div},
    [GM_TILE_POW] = {real_pow, integer_pow, integer_natural_pow},
    [GM_TILE_MOD] = {real_mod, integer_mod, integer_natural_mod},
    [GM_TILE_MIN] = {real_min, integer_min, integer_natural_min},
    [GM_TILE_MAX] = {real_max, integer_max, integer_natural_max},
    [GM_TILE_EQUAL] = {real_equal, integer_equal, NULL},
    [GM_TILE_LESS] = {real_less, integer_less, integer_natural_less},
    [GM_TILE_GREATER] = {real_greater, integer_greater, integer_natural_greater},
    [GM_TILE_LESS_EQUAL] = {real_less_equal, integer_less_equal, integer_natural_less_equal},
    [GM_TILE_GREATER_EQUAL] = {real_greater_equal, integer_greater_equal, integer_natural_greater_equal},
    [GM_TILE_AND] = {real_and, NULL, NULL},
    [GM_TILE_OR] = {real_or, NULL, NULL},
    [GM_TILE_XOR] = {real_xor, NULL, NULL},
    [GM_TILE_NOT] = {real_not, NULL, NULL},
    [GM_TILE_NEG] = {real_neg, integer_neg, NULL},
    [GM_TILE_ABS] = {real_abs, integer_abs, integer_copy},
    [GM_TILE_SIGN] = {real_sign, integer_sign, integer_natural_sign},
    [GM_TILE_EXP] = {real_exp, NULL, NULL},
    [GM_TILE_LOG] = {real_log, NULL, NULL},
    [GM_TILE_SQRT] = {real_sqrt, NULL, NULL},
    [GM_TILE_RECIPROCAL] = {real_reciprocal, NULL, NULL},
    [GM_TILE_SIN] = {real_sin, NULL, NULL},
    [GM_TILE_COS] = {real_cos, NULL, NULL},
    [GM_TILE_FLOOR] = {real_floor, NULL, NULL},
    [GM_TILE_CEIL] = {real_ceil, NULL, NULL},
    [GM_TILE_ROUND] = {real_round, NULL, NULL},
    [GM_TILE_ERF] = {real_erf, NULL, NULL},
    [GM_TILE_RELU] = {real_relu, integer_relu, integer_copy},
    [GM_TILE_LEAKY_RELU] = {real_leaky_relu, NULL, NULL},
    [GM_TILE_STEP] = {real_step, NULL, NULL},
    [GM_TILE_TANH] = {real_tanh, NULL, NULL},
    [GM_TILE_SIGMOID] = {real_sigmoid, NULL, NULL},
    [GM_TILE_SOFTPLUS] = {real_softplus, NULL, NULL},
    [GM_TILE_WHERE] = {real_where, integer_where, NULL},
    [GM_TILE_CAST] = {real_copy, integer_copy, NULL},
    [GM_TILE_IS_NAN] = {real_is_nan, NULL, NULL},
};

static bool is_integer(gm_type type)
{
    return (GM_TYPES_INTEGER & GM_TYPES(type)) || type == GM_BOOL;
}

/* Steps of each operand's flat index per output axis; 0 along axes that broadcast. */
typedef struct operand {
    const gm_tensor *tensor;
    int64_t index;
    int64_t step[GM_MAX_RANK];
} operand;

static void place(operand *it, const gm_tensor *tensor, const gm_tensor *out)
{
    int64_t stride = 1;
    memset(it, 0, sizeof *it);
    it->tensor = tensor;
    for (int axis = tensor->rank - 1; axis >= 0; axis--) {
        int at = axis + out->rank - tensor->rank;
        if (at >= 0 && tensor->dims[axis] != 1)
            it->step[at] = stride;
        stride *= tensor->dims[axis];
    }
}

/* Moves all operands to the next element of the output, row-major. */
static void advance(operand *operands, size_t count, const gm_tensor *out, int64_t *position)
{
    for (int axis = out->rank - 1; axis >= 0; axis--) {
        position[axis]++;
        for (size_t k = 0; k < count; k++)
            operands[k].index += operands[k].step[axis];
        if (position[axis] < out->dims[axis])
            return;
        for (size_t k = 0; k < count; k++)
            operands[k].index -= operands[k].step[axis] * out->dims[axis];
        position[axis] = 0;
    }
}

static void run_integer(integer_rule rule, operand *operands, size_t count, const gm_tensor *out, double p)
{
    int64_t x[MAX_OPERANDS], position[GM_MAX_RANK] = {0}, total = gm_tensor_count(out);
    for (int64_t i = 0; i < total; i++) {
        for (size_t k = 0; k < count; k++)
            x[k] = gm_get_int(operands[k].tensor, operands[k].index);
        gm_set_wrapped(out, i, rule(x, count, p));
        advance(operands, count, out, position);
    }
}

static void run_real(real_rule rule, operand *operands, size_t count, const gm_tensor *out, double p)
{
    double x[MAX_OPERANDS];
    int64_t position[GM_MAX_RANK] = {0}, total = gm_tensor_count(out);
    for (int64_t i = 0; i < total; i++) {
        for (size_t k = 0; k < count; k++)
            x[k] = gm_get(operands[k].tensor, operands[k].index);
        gm_set(out, i, rule(x, count, p));
        advance(operands, count, out, position);
    }
}

/* Clip: absent bounds are infinite, so that the rule sees x, low, high. Bounds broadcast as any operand. */
static void run_clip(operand *operands, const gm_tensor *out, bool integers)
{
    int64_t position[GM_MAX_RANK] = {0}, total = gm_tensor_count(out);
    const gm_tensor *low = operands[1].tensor->data ? operands[1].tensor : NULL;
    const gm_tensor *high = operands[2].tensor->data ? operands[2].tensor : NULL;
    for (int64_t i = 0; i < total; i++) {
        if (integers && out->type == GM_UINT64) {
            uint64_t x = (uint64_t)gm_get_int(operands[0].tensor, operands[0].index);
            uint64_t least = low ? (uint64_t)gm_get_int(low, operands[1].index) : 0;
            uint64_t most = high ? (uint64_t)gm_get_int(high, operands[2].index) : UINT64_MAX;
            x = x < least ? least : x;
            gm_set_int(out, i, (int64_t)(x > most ? most : x));
        } else if (integers) {
            int64_t x = gm_get_int(operands[0].tensor, operands[0].index);
            x = low && x < gm_get_int(low, operands[1].index) ? gm_get_int(low, operands[1].index) : x;
            x = high && x > gm_get_int(high, operands[2].index) ? gm_get_int(high, operands[2].index) : x;
            gm_set_int(out, i, x);
        } else {
            double x = gm_get(operands[0].tensor, operands[0].index);
            x = low && x < gm_get(low, operands[1].index) ? gm_get(low, operands[1].index) : x;
            x = high && x > gm_get(high, operands[2].index) ? gm_get(high, operands[2].index) : x;
            gm_set(out, i, x);
        }
        advance(operands, 3, out, position);
    }
}

static double parameter(const gm_node *node)
{
    switch (node->op->tile_instruction) {
    case GM_TILE_LEAKY_RELU:
        return gm_node_float(node, "alpha", 0.01);
    case GM_TILE_STEP:
        return gm_node_float(node, "slope", 0.0);
    case GM_TILE_MOD:
        return (double)gm_node_int(node, "fmod", 0);
    default:
        return 0.0;
    }
}

gm_status gm_elementwise_reference(const gm_compute *compute)
{
    const gm_node *node = compute->node;
    const element_rule *rule = &rules[node->op->tile_instruction];
    const gm_tensor none = {0};
    operand operands[MAX_OPERANDS];
    size_t count = node->input_count;
    bool integers = is_integer(compute->out[0].type), natural = compute->out[0].type == GM_UINT64;
    if (!compute->out[0].data)
        return GM_OK;
    if (count > MAX_OPERANDS)
        return gm_fail(compute->context, GM_ERROR_UNSUPPORTED, "%s of %zu inputs: at most %d are supported",
                       node->op->name, count, MAX_OPERANDS);
    for (size_t i = 0; i < count; i++) {
        place(&operands[i], &compute->in[i], &compute->out[0]);
        integers = integers && (!compute->in[i].data || is_integer(compute->in[i].type));
        natural = natural || (compute->in[i].data && compute->in[i].type == GM_UINT64);
    }
    for (size_t i = count; i < 3; i++)
        place(&operands[i], &none, &compute->out[0]);
    if (node->op->tile_instruction == GM_TILE_CLIP)
        run_clip(operands, &compute->out[0], integers);
    else if (integers && rule->integer)
        run_integer(natural && rule->natural ? rule->natural : rule->integer, operands, count, &compute->out[0],
                    parameter(node));
    else
        run_real(rule->real, operands, count, &compute->out[0], parameter(node));
    return GM_OK;
}
