/* The loops of the tile machine, included once per instruction set by ops/tile_loops.c with GM_TILE_NAME(x) defined. No
 * include guard on purpose. dst may be the same memory as an operand, element for element: `ivdep` says so. */

#define GM_LOOP(name, expression)                                                                                      \
    static void GM_TILE_NAME(name)(float *dst, const float *a, const float *b, const float *c, float p, size_t n)      \
    {                                                                                                                  \
        _Pragma("GCC ivdep") for (size_t i = 0; i < n; i++)                                                            \
        {                                                                                                              \
            dst[i] = (expression);                                                                                     \
        }                                                                                                              \
    }

GM_LOOP(copy, a[i])
GM_LOOP(add, a[i] + b[i])
GM_LOOP(sub, a[i] - b[i])
GM_LOOP(mul, a[i] * b[i])
GM_LOOP(div, a[i] / b[i])
GM_LOOP(min, a[i] < b[i] || a[i] != a[i] ? a[i] : b[i])
GM_LOOP(max, a[i] > b[i] || a[i] != a[i] ? a[i] : b[i])
GM_LOOP(equal, a[i] == b[i] ? 1.0f : 0.0f)
GM_LOOP(less, a[i] < b[i] ? 1.0f : 0.0f)
GM_LOOP(greater, a[i] > b[i] ? 1.0f : 0.0f)
GM_LOOP(less_equal, a[i] <= b[i] ? 1.0f : 0.0f)
GM_LOOP(greater_equal, a[i] >= b[i] ? 1.0f : 0.0f)
GM_LOOP(or, a[i] + b[i] > 0.0f ? 1.0f : 0.0f)
GM_LOOP(xor, a[i] != b[i] ? 1.0f : 0.0f)
GM_LOOP(not, 1.0f - a[i])
GM_LOOP(to_bool, a[i] != 0.0f ? 1.0f : 0.0f)
GM_LOOP(neg, -a[i])
GM_LOOP(abs, fabsf(a[i]))
GM_LOOP(sign, a[i] > 0.0f ? 1.0f : a[i] < 0.0f ? -1.0f : a[i])
GM_LOOP(exp, gm_fast_exp(a[i]))
GM_LOOP(log, gm_fast_log(a[i]))
GM_LOOP(sqrt, sqrtf(a[i]))
GM_LOOP(reciprocal, 1.0f / a[i])
GM_LOOP(floor, floorf(a[i]))
GM_LOOP(ceil, ceilf(a[i]))
GM_LOOP(round, rintf(a[i]))
GM_LOOP(erf, erff(a[i]))
GM_LOOP(pow, powf(a[i], b[i]))
GM_LOOP(relu, a[i] < 0.0f ? 0.0f : a[i])
GM_LOOP(leaky_relu, a[i] < 0.0f ? a[i] * p : a[i])
GM_LOOP(step, a[i] > 0.0f ? 1.0f : p)
GM_LOOP(tanh, gm_fast_tanh(a[i]))
GM_LOOP(sigmoid, gm_fast_sigmoid(a[i]))
GM_LOOP(softplus, gm_fast_softplus(a[i]))
GM_LOOP(is_nan, a[i] != a[i] ? 1.0f : 0.0f)

/* a where the condition holds: without a branch both sides are read anyway */
static void GM_TILE_NAME(where)(float *dst, const float *a, const float *b, const float *c, float p, size_t n)
{
    _Pragma("GCC ivdep") for (size_t i = 0; i < n; i++)
    {
        float yes = b[i], no = c[i];
        dst[i] = a[i] != 0.0f ? yes : no;
    }
}

static bool GM_TILE_NAME(angles_fit)(const float *a, size_t n)
{
    int bad = 0;
    for (size_t i = 0; i < n; i++)
        bad |= !(fabsf(a[i]) <= GM_FAST_ANGLE);
    return !bad;
}

static void GM_TILE_NAME(sin)(float *dst, const float *a, const float *b, const float *c, float p, size_t n)
{
    if (!GM_TILE_NAME(angles_fit)(a, n)) {
        for (size_t i = 0; i < n; i++)
            dst[i] = sinf(a[i]);
        return;
    }
    _Pragma("GCC ivdep") for (size_t i = 0; i < n; i++)
    {
        dst[i] = gm_fast_sin(a[i], 0);
    }
}

static void GM_TILE_NAME(cos)(float *dst, const float *a, const float *b, const float *c, float p, size_t n)
{
    if (!GM_TILE_NAME(angles_fit)(a, n)) {
        for (size_t i = 0; i < n; i++)
            dst[i] = cosf(a[i]);
        return;
    }
    _Pragma("GCC ivdep") for (size_t i = 0; i < n; i++)
    {
        dst[i] = gm_fast_sin(a[i], 1);
    }
}

static const gm_tile_loop GM_TILE_NAME(loops)[GM_TILE_CODES] = {
    [GM_TILE_COPY] = GM_TILE_NAME(copy),
    [GM_TILE_ADD] = GM_TILE_NAME(add),
    [GM_TILE_SUB] = GM_TILE_NAME(sub),
    [GM_TILE_MUL] = GM_TILE_NAME(mul),
    [GM_TILE_DIV] = GM_TILE_NAME(div),
    [GM_TILE_POW] = GM_TILE_NAME(pow),
    [GM_TILE_MIN] = GM_TILE_NAME(min),
    [GM_TILE_MAX] = GM_TILE_NAME(max),
    [GM_TILE_EQUAL] = GM_TILE_NAME(equal),
    [GM_TILE_LESS] = GM_TILE_NAME(less),
    [GM_TILE_GREATER] = GM_TILE_NAME(greater),
    [GM_TILE_LESS_EQUAL] = GM_TILE_NAME(less_equal),
    [GM_TILE_GREATER_EQUAL] = GM_TILE_NAME(greater_equal),
    [GM_TILE_AND] = GM_TILE_NAME(mul),
    [GM_TILE_OR] = GM_TILE_NAME(or),
    [GM_TILE_XOR] = GM_TILE_NAME(xor),
    [GM_TILE_NOT] = GM_TILE_NAME(not ),
    [GM_TILE_NEG] = GM_TILE_NAME(neg),
    [GM_TILE_ABS] = GM_TILE_NAME(abs),
    [GM_TILE_SIGN] = GM_TILE_NAME(sign),
    [GM_TILE_EXP] = GM_TILE_NAME(exp),
    [GM_TILE_LOG] = GM_TILE_NAME(log),
    [GM_TILE_SQRT] = GM_TILE_NAME(sqrt),
    [GM_TILE_RECIPROCAL] = GM_TILE_NAME(reciprocal),
    [GM_TILE_SIN] = GM_TILE_NAME(sin),
    [GM_TILE_COS] = GM_TILE_NAME(cos),
    [GM_TILE_FLOOR] = GM_TILE_NAME(floor),
    [GM_TILE_CEIL] = GM_TILE_NAME(ceil),
    [GM_TILE_ROUND] = GM_TILE_NAME(round),
    [GM_TILE_ERF] = GM_TILE_NAME(erf),
    [GM_TILE_RELU] = GM_TILE_NAME(relu),
    [GM_TILE_LEAKY_RELU] = GM_TILE_NAME(leaky_relu),
    [GM_TILE_STEP] = GM_TILE_NAME(step),
    [GM_TILE_TANH] = GM_TILE_NAME(tanh),
    [GM_TILE_SIGMOID] = GM_TILE_NAME(sigmoid),
    [GM_TILE_SOFTPLUS] = GM_TILE_NAME(softplus),
    [GM_TILE_WHERE] = GM_TILE_NAME(where),
    [GM_TILE_IS_NAN] = GM_TILE_NAME(is_nan),
    [GM_TILE_TO_BOOL] = GM_TILE_NAME(to_bool),
};

#undef GM_LOOP
