/* Elementwise operators: gradients, values at the edges, the vector functions against libm, the tile machine against
 * the reference kernels in every layout, and fusion. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/tile.h"
#include "tests/gradcheck.h"
#include "tests/lower_check.h"
#include "tests/numbers.h"

#pragma GCC diagnostic ignored "-Wmissing-field-initializers" /* rows of tables say what is not zero */

static lower_check check;

static void setup(void)
{
    lower_check_begin(&check);
}

static void teardown(void)
{
    lower_check_end(&check);
}

/* --- Gradients
 * --------------------------------------------------------------------------------------------------------- */

static const gradcheck_case gradients[] = {
    {"Add", {"Nx3x4", "3x1"}},
    {"Add", {"scalar", "Nx3"}},
    {"Sub", {"3x1", "Nx3x4"}},
    {"Mul", {"Nx3x4", "3x1"}},
    {"Mul", {"Nx3", "scalar"}},
    {"Div", {"Nx3", "3 0.5 2"}},
    {"Mod", {"Nx3", "double scalar [7]"}, {GRAD_INT("fmod", 1)}},
    {"Pow", {"Nx3", "double scalar [2]"}},
    {"Pow", {"Nx3", "double scalar [3]"}},
    {"Pow", {"Nx3 0.5 2", "double scalar [-1.5]"}},
    {"Pow", {"Nx3 0.5 2", "3"}},
    {"Neg", {"Nx3"}},
    {"Abs", {"Nx3"}},
    {"Sign", {"Nx3"}},
    {"Exp", {"Nx3"}},
    {"Log", {"Nx3 0.5 2"}},
    {"Sqrt", {"Nx3 0.5 2"}},
    {"Reciprocal", {"Nx3 0.5 2"}},
    {"Sin", {"Nx3"}},
    {"Cos", {"Nx3"}},
    {"Erf", {"Nx3"}},
    {"Relu", {"Nx3x4"}},
    {"LeakyRelu", {"Nx3x4"}, {GRAD_FLOAT("alpha", 0.3)}},
    {"LeakyRelu", {"Nx3x4"}, {GRAD_FLOAT("alpha", -0.5)}},
    {"Tanh", {"Nx3"}},
    {"Sigmoid", {"Nx3"}},
    {"Softplus", {"Nx3"}},
    {"Min", {"Nx3", "3", "Nx1"}},
    {"Max", {"Nx3", "3", "Nx1"}},
    {"Max", {"Nx3"}},
    {"Clip", {"Nx3x4", "double scalar [-0.5]", "double scalar [0.7]"}, .kinks = {-0.5, 0.7}},
    {"Clip", {"Nx3x4", "", "double scalar [0.7]"}, .kinks = {0.7}},
    {"Clip", {"Nx3x4", "scalar -0.3 -0.2", "scalar 0.2 0.3"}},
    {"Where", {"bool 3 [0 1 1]", "Nx3", "Nx1"}},
    {"Cast", {"Nx3"}, {GRAD_INT("to", GM_DOUBLE)}},
    {"Elu", {"Nx3x4"}, {GRAD_FLOAT("alpha", 1.5)}},
    {"Selu", {"Nx3x4"}},
    {"HardSigmoid", {"Nx3x4"}},
    {"HardSwish", {"Nx3x4"}},
    {"Softsign", {"Nx3"}},
    {"Mish", {"Nx3"}},
    {"Gelu", {"Nx3"}},
    {"Gelu", {"Nx3"}, {GRAD_STRING("approximate", "tanh")}},
    {"PRelu", {"Nx3x4", "3x1"}},
    {"Sum", {"Nx3", "3", "Nx1"}},
    {"Mean", {"Nx3", "3", "Nx1"}},
};

START_TEST(gradient_is_the_difference_quotient)
{
    gradcheck(&gradients[_i]);
}
END_TEST

/* --- Integers ------------------------------------------------------------------------------------------------------- */

#define UP   "9223372036854775808"  /* 2^63, which is no int64 */
#define MOST "18446744073709549568" /* 2^64 - 2048 */

/* Results keep the low bits of their type; uint64 is no int64. */
static const numbers_case wrapped[] = {
    {.op = "Add", IN("uint8 3 [200 1 255]", "uint8 3 [100 2 1]"), .expected = "44 3 0"},
    {.op = "Sub", IN("uint16 2 [0 5]", "uint16 2 [1 2]"), .expected = "65535 3"},
    {.op = "Mul", IN("int8 3 [100 -128 16]", "int8 3 [2 -1 8]"), .expected = "-56 -128 -128"},
    {.op = "Mul", IN("uint32 1 [4000000000]", "uint32 1 [3]"), .expected = "3410065408"},
    {.op = "Neg", IN("int8 2 [-128 5]"), .expected = "-128 -5"},
    {.op = "Pow", IN("int32 1 [3]", "int32 1 [21]"), .expected = "1870418611"},
    {.op = "Add", IN("int32 1 [2147483647]", "int32 1 [1]"), .expected = "-2147483648"},
    {.op = "Cast", IN("int16 3 [200 -1 32767]"), WITH(GRAD_INT("to", GM_INT8)), .expected = "-56 -1 -1"},
    {.op = "Cast", IN("int 2 [-1 4294967297]"), WITH(GRAD_INT("to", GM_UINT32)), .expected = "4294967295 1"},
    {.op = "Cast", IN("uint64 2 [" UP " 7]"), WITH(GRAD_INT("to", GM_INT64)), .expected = "-" UP " 7"},
    {.op = "Cast", IN("int 2 [256 0]"), WITH(GRAD_INT("to", GM_BOOL)), .expected = "1 0"},
    {.op = "Cast", IN("2 [1e9 -7.9]"), WITH(GRAD_INT("to", GM_INT8)), .expected = "127 -7"}, /* reals end at the ends */
    {.op = "Add", IN("uint64 2 [" UP " " UP "]", "uint64 2 [2048 " UP "]"), .expected = "9223372036854777856 0"},
    {.op = "Div", IN("uint64 2 [" MOST " 7]", "uint64 2 [2048 0]"), .expected = "9007199254740991 0"},
    {.op = "Mod", IN("uint64 1 [" MOST "]", "uint64 1 [4096]"), .expected = "2048"},
    {.op = "Pow", IN("uint64 1 [2]", "uint64 1 [63]"), .expected = UP},
    {.op = "Max", IN("uint64 2 [" UP " 1]", "uint64 2 [1 2]"), .expected = UP " 2"},
    {.op = "Min", IN("uint64 2 [" UP " 1]", "uint64 2 [1 2]"), .expected = "1 1"},
    {.op = "Less", IN("uint64 2 [" UP " 1]", "uint64 2 [1 2]"), .expected = "0 1"},
    {.op = "GreaterOrEqual", IN("uint64 2 [" UP " 1]", "uint64 2 [1 2]"), .expected = "1 0"},
    {.op = "Sign", IN("uint64 2 [" UP " 0]"), .expected = "1 0"},
    {.op = "Abs", IN("uint64 1 [" UP "]"), .expected = UP},
    {.op = "Clip", IN("uint64 3 [" MOST " 3 9]", "uint64 scalar [4]", "uint64 scalar [" UP "]"), .expected = UP " 4 9"},
    {.op = "Clip", IN("uint64 1 [" UP "]"), .expected = UP},
    {.op = "CumSum",
     IN("int32 3 [2147483647 1 1]", "int scalar [0]"),
     .expected = "2147483647 -2147483648 -2147483647"},
    {.op = "MatMul", IN("int32 1x2 [65536 65536]", "int32 2x1 [32768 1]"), .expected = "-2147418112"},
    {.op = "ReduceSum", IN("int32 2 [2147483647 1]"), .expected = "-2147483648"},
    {.op = "ScatterElements",
     IN("uint8 2 [250 1]", "int 2 [0 0]", "uint8 2 [5 6]"),
     WITH(GRAD_STRING("reduction", "add")),
     .expected = "5 1"},
};

START_TEST(integers_keep_their_low_bits)
{
    numbers_check_result(&wrapped[_i]);
}
END_TEST

/* --- Vector functions against libm
 * ------------------------------------------------------------------------------------- */

typedef struct function_case {
    gm_tile_code code;
    double (*exact)(double);
    double low, high; /* sampled range */
    double ulps;
} function_case;

static double exact_sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

static double exact_softplus(double x)
{
    return x > 40 ? x : log1p(exp(x));
}

static const function_case functions[] = {
    {GM_TILE_EXP, exp, -110, 90, 2},
    {GM_TILE_EXP, exp, -1, 1, 2},
    {GM_TILE_LOG, log, 1e-30, 1e30, 2},
    {GM_TILE_LOG, log, 0.5, 2, 2},
    {GM_TILE_LOG, log, 1e-44, 1e-37, 2},
    {GM_TILE_TANH, tanh, -10, 10, 3},
    {GM_TILE_TANH, tanh, -1e-3, 1e-3, 3},
    {GM_TILE_SIGMOID, exact_sigmoid, -100, 100, 3},
    {GM_TILE_SIGMOID, exact_sigmoid, -2, 2, 3},
    {GM_TILE_SOFTPLUS, exact_softplus, -100, 100, 3},
    {GM_TILE_SOFTPLUS, exact_softplus, -2, 2, 3},
    {GM_TILE_SIN, sin, -10, 10, 1},
    {GM_TILE_SIN, sin, -90000, 90000, 1},
    {GM_TILE_SIN, sin, -1e30, 1e30, 1},
    {GM_TILE_COS, cos, -10, 10, 1},
    {GM_TILE_COS, cos, -90000, 90000, 1},
    {GM_TILE_SQRT, sqrt, 0, 1e10, 0.51},
    {GM_TILE_RECIPROCAL, NULL, 0.1, 10, 0.51},
};

/* Half of a sample lies evenly in [low, high], half evenly in the exponent. */
static float sample(double low, double high)
{
    double magnitude;
    if (lower_draw(&check, 0, 1) < 0.5 && !(low > 0))
        return (float)lower_draw(&check, low, high);
    if (low > 0)
        return (float)exp(lower_draw(&check, log(low), log(high)));
    magnitude = exp(lower_draw(&check, log(1e-12), log(high)));
    return (float)(lower_draw(&check, 0, 1) < 0.5 && low < 0 ? fmax(-magnitude, low) : magnitude);
}

static double ulps_off(float got, double exact)
{
    float nearest = (float)exact;
    double unit = fmax((double)nextafterf(fabsf(nearest), INFINITY) - fabs((double)nearest), ldexp(1, -149));
    if ((double)got == exact || (isinf(nearest) && got == nearest))
        return 0;
    return fabs((double)got - exact) / unit;
}

START_TEST(vector_functions_are_accurate)
{
    const function_case *f = &functions[_i];
    const gm_tile_loop *sets[] = {gm_tile_loops(), gm_tile_loops_base()};
    float x[4096], y[2][4096];
    double worst = 0;
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < GM_COUNT(x); i++)
            x[i] = sample(f->low, f->high);
        for (int k = 0; k < 2; k++)
            sets[k][f->code](y[k], x, NULL, NULL, 0, GM_COUNT(x));
        ck_assert_msg(memcmp(y[0], y[1], sizeof y[0]) == 0, "instruction sets differ");
        for (size_t i = 0; i < GM_COUNT(x); i++) {
            double off = ulps_off(y[0][i], f->exact ? f->exact((double)x[i]) : 1.0 / (double)x[i]);
            worst = off > worst ? off : worst;
            ck_assert_msg(off <= f->ulps, "function %d at %.9g: %.9g is %.2f units off", _i, x[i], y[0][i], off);
        }
    }
}
END_TEST

START_TEST(vector_functions_have_their_limits)
{
    static const struct {
        gm_tile_code code;
        float x, y;
    } limits[] = {
        {GM_TILE_EXP, -INFINITY, 0},
        {GM_TILE_EXP, INFINITY, INFINITY},
        {GM_TILE_EXP, 0, 1},
        {GM_TILE_EXP, 1000, INFINITY},
        {GM_TILE_EXP, -1000, 0},
        {GM_TILE_LOG, 0, -INFINITY},
        {GM_TILE_LOG, INFINITY, INFINITY},
        {GM_TILE_LOG, 1, 0},
        {GM_TILE_LOG, -1, NAN},
        {GM_TILE_LOG, -INFINITY, NAN},
        {GM_TILE_TANH, INFINITY, 1},
        {GM_TILE_TANH, -INFINITY, -1},
        {GM_TILE_TANH, 0, 0},
        {GM_TILE_TANH, -1e-40f, -1e-40f},
        {GM_TILE_SIGMOID, INFINITY, 1},
        {GM_TILE_SIGMOID, -INFINITY, 0},
        {GM_TILE_SIGMOID, 0, 0.5f},
        {GM_TILE_SOFTPLUS, INFINITY, INFINITY},
        {GM_TILE_SOFTPLUS, -INFINITY, 0},
        {GM_TILE_SOFTPLUS, 1000, 1000},
        {GM_TILE_SIN, INFINITY, NAN},
        {GM_TILE_COS, -INFINITY, NAN},
        {GM_TILE_SIN, 0, 0},
        {GM_TILE_COS, 0, 1},
        {GM_TILE_RELU, -0.0f, -0.0f},
        {GM_TILE_SIGN, -3, -1},
        {GM_TILE_SIGN, 0, 0},
        {GM_TILE_STEP, 0, 0.25f},
        {GM_TILE_STEP, 1e-40f, 1},
        {GM_TILE_LEAKY_RELU, -4, -1},
        {GM_TILE_ROUND, 2.5f, 2},
        {GM_TILE_ROUND, -1.5f, -2},
        {GM_TILE_SQRT, -1, NAN},
        {GM_TILE_RECIPROCAL, 0, INFINITY},
    };
    static const gm_tile_code nan_in_nan_out[] = {GM_TILE_EXP,      GM_TILE_LOG, GM_TILE_TANH, GM_TILE_SIGMOID,
                                                  GM_TILE_SOFTPLUS, GM_TILE_SIN, GM_TILE_COS,  GM_TILE_RELU,
                                                  GM_TILE_SIGN,     GM_TILE_ABS, GM_TILE_SQRT, GM_TILE_LEAKY_RELU};
    float not_a_number = NAN, y;
    for (size_t i = 0; i < GM_COUNT(limits); i++) {
        gm_tile_loops()[limits[i].code](&y, &limits[i].x, NULL, NULL, 0.25f, 1);
        ck_assert_msg(y == limits[i].y || (isnan(y) && isnan(limits[i].y)), "code %d at %g: %g, not %g", limits[i].code,
                      limits[i].x, y, limits[i].y);
    }
    for (size_t i = 0; i < GM_COUNT(nan_in_nan_out); i++) {
        gm_tile_loops()[nan_in_nan_out[i]](&y, &not_a_number, NULL, NULL, 0.25f, 1);
        ck_assert_msg(isnan(y), "code %d of NaN: %g", nan_in_nan_out[i], y);
    }
    for (int k = 0; k < 2; k++) { /* NaN on either side, as NumPy's minimum and maximum */
        float a = k ? NAN : 1, b = k ? 1 : NAN;
        gm_tile_loops()[GM_TILE_MIN](&y, &a, &b, NULL, 0, 1);
        ck_assert(isnan(y));
        gm_tile_loops()[GM_TILE_MAX](&y, &a, &b, NULL, 0, 1);
        ck_assert(isnan(y));
    }
}
END_TEST

/* --- Fast kernels against plain ones
 * -------------------------------------------------------------------------------------- */

static const char *const unary[] = {"Neg",  "Abs",       "Sign",     "Exp",         "Sqrt",         "Reciprocal",
                                    "Sin",  "Cos",       "Floor",    "Ceil",        "Round",        "Erf",
                                    "Relu", "LeakyRelu", "Tanh",     "Log",         "IsNaN",        "Clip",
                                    "Max",  "Sigmoid",   "Softplus", "gmodel.Step", "gmodel.Detach"};
static const char *const binary[] = {"Add", "Sub",   "Mul",  "Div",     "Pow",         "Min",
                                     "Max", "Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"};
static const int wishes[] = {LOWER_PLAIN, 8, 16, LOWER_LAST, LOWER_ANY};

static gm_tensor *random_bool(int rank, const int64_t *dims)
{
    gm_tensor *tensor = gm_tensor_create(check.pool, GM_BOOL, rank, dims);
    for (int64_t i = 0; i < gm_tensor_count(tensor); i++)
        gm_set_int(tensor, i, lower_draw_int(&check, 0, 1));
    return tensor;
}

/* Dims that broadcast with `full`: fewer axes, some of them 1. */
static int broadcast_dims(int rank, const int64_t *full, int64_t *dims)
{
    int cut = (int)lower_draw_int(&check, 0, rank);
    for (int i = cut; i < rank; i++)
        dims[i - cut] = lower_draw_int(&check, 0, 1) ? 1 : full[i];
    return rank - cut;
}

static const int64_t shapes[][4] = {{2, 16, 5, 7}, {3, 32, 1, 1}, {1, 48, 13, 11}, {2, 3, 4, 5}, {2, 32, 17, 16}};

START_TEST(unary_kernels_agree_with_reference)
{
    for (size_t k = 0; k < GM_COUNT(shapes); k++)
        for (size_t w = 0; w < GM_COUNT(wishes); w++) {
            gm_tensor *x = lower_random(&check, GM_FLOAT, 4, shapes[k], 0.1, 4);
            lower_check_node(&check, unary[_i], &x, 1, NULL, 0, 1, &wishes[w], 1e-6);
            ck_assert(check.lowered || strcmp(unary[_i], "gmodel.Detach") == 0);
            if (wishes[w] == 16 && shapes[k][1] % 16 == 0)
                ck_assert_int_eq(check.out_layout[0].block, 16);
        }
}
END_TEST

START_TEST(binary_kernels_agree_with_reference)
{
    for (int round = 0; round < 20; round++) {
        const int64_t *full = shapes[round % (int)GM_COUNT(shapes)];
        int64_t dims[GM_MAX_RANK];
        int rank = round < 10 ? 4 : broadcast_dims(4, full, dims);
        gm_tensor *in[2] = {lower_random(&check, GM_FLOAT, 4, full, 0.1, 2),
                            lower_random(&check, GM_FLOAT, rank, round < 10 ? full : dims, 0.1, 2)};
        int wish[2] = {wishes[lower_draw_int(&check, 0, 4)], wishes[lower_draw_int(&check, 0, 4)]};
        if (round % 2) {
            gm_tensor *swap = in[0];
            in[0] = in[1];
            in[1] = swap;
        }
        if (round % 7 == 0)
            in[1] = in[0];
        lower_check_node(&check, binary[_i], in, 2, NULL, 0, 1, wish, 2e-6);
        ck_assert(check.lowered);
    }
}
END_TEST

/* Weights, say, beside a batch: they are read in the layout of the batch. */
START_TEST(one_picture_for_all_examples)
{
    for (size_t k = 0; k < GM_COUNT(shapes); k++)
        for (size_t w = 0; w < GM_COUNT(wishes); w++)
            for (int swapped = 0; swapped < 2; swapped++) {
                int64_t one[4] = {1, shapes[k][1], shapes[k][2], shapes[k][3]};
                gm_tensor *full = lower_random(&check, GM_FLOAT, 4, shapes[k], 0.1, 2);
                gm_tensor *picture = lower_random(&check, GM_FLOAT, 4, one, 0.1, 2);
                gm_tensor *in[2] = {swapped ? picture : full, swapped ? full : picture};
                int wish[2] = {swapped ? LOWER_PLAIN : wishes[w], swapped ? wishes[w] : LOWER_PLAIN};
                lower_check_node(&check, "Sub", in, 2, NULL, 0, 1, wish, 2e-6);
                ck_assert(check.lowered);
                if (wishes[w] == 16 && shapes[k][1] % 16 == 0)
                    ck_assert_int_eq(check.out_layout[0].block, 16);
            }
}
END_TEST

START_TEST(where_takes_bools_and_broadcasts)
{
    for (int round = 0; round < 20; round++) {
        const int64_t *full = shapes[round % (int)GM_COUNT(shapes)];
        int64_t dims[3][GM_MAX_RANK];
        int rank[3], whole = round % 4;
        gm_tensor *in[3];
        int wish[3] = {wishes[lower_draw_int(&check, 0, 4)], wishes[lower_draw_int(&check, 0, 4)], 16};
        for (int k = 0; k < 3; k++) {
            rank[k] = broadcast_dims(4, full, dims[k]);
            if (k == whole || whole == 3) {
                rank[k] = 4;
                memcpy(dims[k], full, sizeof shapes[0]);
            }
        }
        in[0] = random_bool(rank[0], dims[0]);
        in[1] = lower_random(&check, GM_FLOAT, rank[1], dims[1], -1, 1);
        in[2] = lower_random(&check, GM_FLOAT, rank[2], dims[2], -1, 1);
        lower_check_node(&check, "Where", in, 3, NULL, 0, 1, wish, 0);
    }
}
END_TEST

START_TEST(bool_kernels_and_casts)
{
    static const char *const logic[] = {"And", "Or", "Xor"};
    const int64_t *full = shapes[0];
    for (size_t w = 0; w < GM_COUNT(wishes); w++) {
        int wish[2] = {wishes[w], wishes[w]};
        gm_attribute to_bool = gm_attribute_int("to", GM_BOOL), to_float = gm_attribute_int("to", GM_FLOAT);
        gm_attribute to_int = gm_attribute_int("to", GM_INT64);
        gm_tensor *in[2] = {random_bool(4, full), random_bool(4, full)};
        gm_tensor *x = lower_random(&check, GM_FLOAT, 4, full, -3, 3);
        ((float *)x->data)[3] = 0;
        for (size_t k = 0; k < GM_COUNT(logic); k++)
            lower_check_node(&check, logic[k], in, 2, NULL, 0, 1, wish, 0);
        lower_check_node(&check, "Not", in, 1, NULL, 0, 1, wish, 0);
        lower_check_node(&check, "Cast", in, 1, &to_float, 1, 1, wish, 0);
        lower_check_node(&check, "Cast", &x, 1, &to_bool, 1, 1, wish, 0);
        lower_check_node(&check, "Cast", &x, 1, &to_int, 1, 1, wish, 0);
        lower_check_node(&check, "Cast", &x, 1, &to_float, 1, 1, wish, 0);
    }
}
END_TEST

/* --- Values
 * ------------------------------------------------------------------------------------------------------------------ */

static int64_t integers(const char *op, int64_t a, int64_t b, const gm_attribute *attribute)
{
    gm_tensor *x = gm_tensor_create(check.pool, GM_INT64, 0, NULL),
              *y = gm_tensor_create(check.pool, GM_INT64, 0, NULL);
    gm_set_int(x, 0, a);
    gm_set_int(y, 0, b);
    lower_check_node(&check, op, (gm_tensor *[]){x, y}, 2, attribute, attribute ? 1 : 0, 1, NULL, 0);
    return gm_get_int(&check.out[0], 0);
}

START_TEST(integers_are_exact_and_never_trap)
{
    gm_attribute c_mod = gm_attribute_int("fmod", 1);
    int64_t big = ((int64_t)1 << 62) + 1;
    ck_assert(integers("Add", big, 2, NULL) == big + 2);
    ck_assert(integers("Sub", 3, big, NULL) == 3 - big);
    ck_assert(integers("Mul", 3037000499, 3037000499, NULL) == 3037000499 * 3037000499);
    ck_assert_int_eq(integers("Div", -7, 2, NULL), -3);
    ck_assert_int_eq(integers("Div", 7, 0, NULL), 0);
    ck_assert(integers("Div", INT64_MIN, -1, NULL) == INT64_MIN);
    ck_assert_int_eq(integers("Mod", -7, 3, NULL), 2);
    ck_assert_int_eq(integers("Mod", 7, -3, NULL), -2);
    ck_assert_int_eq(integers("Mod", -7, 3, &c_mod), -1);
    ck_assert_int_eq(integers("Mod", 7, 0, NULL), 0);
    ck_assert_int_eq(integers("Pow", 3, 13, NULL), 1594323);
    ck_assert_int_eq(integers("Pow", 2, -1, NULL), 0);
    ck_assert_int_eq(integers("Equal", big, big - 1, NULL), 0);
    ck_assert_int_eq(integers("Less", big - 1, big, NULL), 1);
    ck_assert(integers("Max", big, big - 1, NULL) == big);
}
END_TEST

/* Clip: NaN stays; where the bounds cross, the upper one wins. */
START_TEST(clip_bounds)
{
    gm_tensor *x = gm_tensor_create(check.pool, GM_FLOAT, 1, (int64_t[]){4});
    gm_tensor *low = gm_tensor_create(check.pool, GM_FLOAT, 0, NULL),
              *high = gm_tensor_create(check.pool, GM_FLOAT, 0, NULL);
    static const float values[4] = {-5, 0, 5, 2};
    memcpy(x->data, values, sizeof values);
    gm_set(low, 0, 1);
    gm_set(high, 0, 3);
    lower_check_node(&check, "Clip", (gm_tensor *[]){x, low, high}, 3, NULL, 0, 1, NULL, 0);
    ck_assert(gm_get(&check.out[0], 0) == 1 && gm_get(&check.out[0], 2) == 3 && gm_get(&check.out[0], 3) == 2);
    lower_check_node(&check, "Clip", (gm_tensor *[]){x, NULL, high}, 3, NULL, 0, 1, NULL, 0);
    ck_assert(gm_get(&check.out[0], 0) == -5 && gm_get(&check.out[0], 2) == 3);
    gm_set(high, 0, 0);
    lower_check_node(&check, "Clip", (gm_tensor *[]){x, low, high}, 3, NULL, 0, 1, NULL, 0);
    for (int i = 0; i < 4; i++)
        ck_assert(gm_get(&check.out[0], i) == 0);
}
END_TEST

/* Constant exponents: x^2 is x * x to the last bit, on both paths. */
START_TEST(square_is_exact)
{
    gm_tensor *x = lower_random(&check, GM_FLOAT, 1, (int64_t[]){3000}, -3, 3);
    gm_graph *graph = gm_graph_create(check.pool, NULL, "square");
    gm_value_id in = gm_graph_add_input(graph, "x", GM_FLOAT, 1, x->dims, false);
    gm_value_id y = gm_emit2(graph, "Pow", in, gm_const_scalar(graph, GM_FLOAT, 2)), dx, seed;
    gm_tensor *values, *ones = lower_random(&check, GM_FLOAT, 1, x->dims, 1, 1);
    seed = gm_graph_constant(graph, ones);
    gm_autodiff(graph, &y, &seed, 1, &in, 1, &dx);
    ck_assert_int_eq(graph->status, GM_OK);
    ck_assert_int_eq(gm_graph_interpret(graph, check.pool, (const gm_tensor *[]){x}, NULL, 1, 0, &values), GM_OK);
    for (int64_t i = 0; i < 3000; i++) {
        float v = ((float *)x->data)[i];
        ck_assert(((float *)values[y].data)[i] == v * v);
        ck_assert(((float *)values[dx].data)[i] == 2 * v);
    }
}
END_TEST

START_TEST(detach_cuts_the_gradient)
{
    gm_graph *graph = gm_graph_create(check.pool, NULL, "detach");
    gm_value_id in = gm_graph_add_input(graph, "x", GM_FLOAT, 0, NULL, false);
    gm_value_id y = gm_emit1(graph, "gmodel.Detach", gm_emit2(graph, "Mul", in, in)), dx;
    ck_assert_int_eq(gm_autodiff(graph, &y, NULL, 1, &in, 1, &dx), GM_OK);
    ck_assert_uint_eq(dx, 0);
}
END_TEST

/* --- Fusion ------------------------------------------------------------------------------------------------------------------ */

/* A random graph of elementwise nodes over a few inputs; Mod, which the machine does not take, stands for all others. */
static gm_graph *random_graph(int nodes, gm_value_id *inputs, gm_tensor **tensors, size_t input_count)
{
    static const int64_t full[4] = {2, 16, 6, 6}, channel[4] = {1, 16, 1, 1};
    static const char *const one[] = {"Tanh", "Neg", "LeakyRelu", "Sigmoid", "gmodel.Step", "Cos"};
    static const char *const two[] = {"Add", "Sub", "Mul", "Max"};
    gm_graph *graph = gm_graph_create(check.pool, NULL, "random");
    gm_value_id values[128];
    size_t count = 0;
    char path[32];
    for (; count < input_count; count++) {
        const int64_t *dims = count + 1 == input_count ? channel : full;
        tensors[count] = lower_random(&check, GM_FLOAT, 4, dims, -1, 1);
        snprintf(path, sizeof path, "in%zu", count);
        values[count] = inputs[count] = gm_graph_add_input(graph, path, GM_FLOAT, 4, dims, false);
    }
    for (int n = 0; n < nodes; n++) {
        gm_value_id a = values[lower_draw_int(&check, n > 6 ? (int64_t)count - 6 : 0, (int64_t)count - 1)];
        gm_value_id b = values[lower_draw_int(&check, 0, (int64_t)count - 1)];
        int64_t kind = lower_draw_int(&check, 0, 9);
        snprintf(path, sizeof path, "step/n%d", n);
        graph->path = gm_pool_string(check.pool, path);
        if (kind < 4)
            values[count++] = gm_emit1(graph, one[lower_draw_int(&check, 0, 5)], a);
        else if (kind < 7)
            values[count++] = gm_emit2(graph, two[lower_draw_int(&check, 0, 3)], a, b);
        else if (kind == 7)
            values[count++] = gm_emit2(graph, "Mod", a, inputs[0]);
        else if (kind == 8)
            values[count++] = gm_emit3(graph, "Where", gm_emit2(graph, "Less", a, b), b, a);
        else
            values[count++] =
                gm_emit3(graph, "Where", gm_emit2(graph, "gmodel.RandomMask", a, gm_const_scalar(graph, GM_FLOAT, 0.4)),
                         a, gm_const_scalar(graph, GM_FLOAT, 0));
    }
    for (int o = 0; o < 4; o++) {
        snprintf(path, sizeof path, "out%d", o);
        gm_graph_add_output(graph, path, values[(int)count - 1 - o * 2]);
    }
    ck_assert_msg(graph->status == GM_OK, "%s", gm_context_message(check.context));
    return graph;
}

static size_t count_fused(const gm_graph *graph)
{
    size_t fused = 0;
    for (size_t n = 0; n < graph->node_count; n++)
        fused += graph->nodes[n].body != NULL;
    return fused;
}

/* Fills lowering of a node with all full-shape inputs in the given layout. */
static void lower_fused(const gm_graph *graph, const gm_node *node, gm_layout wish, gm_lower *lower)
{
    gm_layout *layouts = gm_pool_array(check.pool, 64, sizeof *layouts);
    int *marks = gm_pool_array(check.pool, 64, sizeof *marks);
    bool *wanted = gm_pool_array(check.pool, 64, sizeof *wanted);
    for (size_t i = 0; i < 64; i++) {
        layouts[i] = gm_layout_plain;
        wanted[i] = true;
        marks[i] = -1;
    }
    for (size_t i = 0; i < node->input_count; i++)
        if (gm_value_of(graph, node->inputs[i])->dims[2] > 1)
            layouts[i] = wish;
    *lower = (gm_lower){.context = check.context,
                        .pool = check.pool,
                        .graph = graph,
                        .node = node,
                        .threads = 2,
                        .in_layout = layouts,
                        .out_wanted = wanted,
                        .in_want = layouts + 16,
                        .out_layout = layouts + 32,
                        .in_place = marks,
                        .alias = marks + 32};
    ck_assert_int_eq(node->op->lower(lower), GM_OK);
    ck_assert(lower->kernel.run != NULL);
}

/* Runs one fused node on tensors; with in_place, every output is written over the input that the kernel allows. */
static void run_fused(const gm_graph *graph, const gm_node *node, const gm_tensor *values, gm_layout wish,
                      bool in_place)
{
    void *in[16] = {0}, *out[16] = {0}, *scratch;
    bool follows = false;
    gm_lower lower;
    for (size_t i = 0; i < node->input_count; i++)
        follows = follows || gm_value_of(graph, node->inputs[i])->dims[2] > 1;
    lower_fused(graph, node, wish, &lower);
    for (size_t i = 0; i < node->input_count; i++)
        in[i] = lower_reordered(&check, &values[node->inputs[i]], values[node->inputs[i]].data, gm_layout_plain,
                                lower.in_want[i]);
    for (size_t o = 0; o < node->output_count; o++) {
        const gm_tensor *expected = &values[node->outputs[o]];
        out[o] = in_place && lower.in_place[o] >= 0 ? in[lower.in_place[o]]
                                                    : gm_pool_alloc(check.pool, gm_tensor_bytes(expected));
    }
    scratch = gm_alloc(check.context, lower.scratch_bytes);
    gm_kernel_arguments arguments = {.in = in, .out = out, .scratch = scratch, .seed = 1, .run = 3, .threads = 2};
    ck_assert_int_eq(lower.kernel.run(lower.kernel.state, &arguments), GM_OK);
    gm_free(check.context, scratch);
    for (size_t o = 0; o < node->output_count; o++) {
        gm_tensor got = values[node->outputs[o]];
        got.data = lower_reordered(&check, &got, out[o], lower.out_layout[o], gm_layout_plain);
        lower_compare(&got, &values[node->outputs[o]], 1e-5, "Fused", o);
        if (follows)
            ck_assert_int_eq(lower.out_layout[o].block, wish.block);
    }
}

START_TEST(fused_graphs_compute_the_same)
{
    gm_value_id inputs[4];
    gm_tensor *tensors[4], *before, *after;
    size_t nodes;
    check.draws = (uint64_t)_i * 1000;
    gm_graph *graph = random_graph(10 + 2 * _i, inputs, tensors, 4);
    ck_assert_int_eq(gm_graph_interpret(graph, check.pool, (const gm_tensor *const *)tensors, NULL, 1, 3, &before),
                     GM_OK);
    nodes = graph->node_count;
    ck_assert_msg(gm_graph_fuse(graph) == GM_OK, "%s", gm_context_message(check.context));
    ck_assert_uint_gt(count_fused(graph), 0);
    ck_assert_uint_lt(graph->node_count, nodes);
    ck_assert_int_eq(gm_graph_interpret(graph, check.pool, (const gm_tensor *const *)tensors, NULL, 1, 3, &after),
                     GM_OK);
    for (size_t o = 0; o < graph->output_count; o++) {
        gm_value_id id = graph->outputs[o].value;
        ck_assert(memcmp(before[id].data, after[id].data, gm_tensor_bytes(&before[id])) == 0);
    }
    for (size_t n = 0; n < graph->node_count; n++)
        if (graph->nodes[n].body)
            for (int k = 0; k < 6; k++)
                run_fused(graph, &graph->nodes[n], after, (gm_layout){k < 2 ? 1 : k < 4 ? 8 : 16, NULL}, k % 2);
}
END_TEST

/* d LeakyRelu, d Dropout and the loss's factor: one pass, reading dy, y and the mask. */
START_TEST(gradient_chain_is_one_group)
{
    static const gm_dim dims[4] = {4, 16, 8, 8};
    gm_graph *graph = gm_graph_create(check.pool, NULL, "chain");
    gm_value_id x = gm_graph_add_input(graph, "x", GM_FLOAT, 4, dims, false), dy, y[2], dx;
    graph->training = true;
    dy = gm_graph_add_input(graph, "dy", GM_FLOAT, 4, dims, false);
    gm_emit_many(graph, "Dropout",
                 (gm_value_id[]){gm_emit1_with(graph, "LeakyRelu", x, gm_attribute_float("alpha", 0.3)),
                                 gm_const_scalar(graph, GM_FLOAT, 0.25)},
                 2, NULL, 0, y, 2);
    gm_autodiff(graph, y, &dy, 1, &x, 1, &dx);
    gm_graph_add_output(graph, "y", y[0]);
    gm_graph_add_output(graph, "dx", dx);
    ck_assert_msg(gm_graph_fuse(graph) == GM_OK, "%s", gm_context_message(check.context));
    ck_assert_uint_le(graph->node_count, 2);
    for (size_t n = 0; n < graph->node_count; n++)
        ck_assert_ptr_nonnull(graph->nodes[n].body);
}
END_TEST

/* a -> outside -> c and a -> c: a and c must not be one group. */
START_TEST(groups_stay_convex)
{
    static const gm_dim dims[1] = {100};
    gm_graph *graph = gm_graph_create(check.pool, NULL, "convex");
    gm_value_id x = gm_graph_add_input(graph, "x", GM_FLOAT, 1, dims, false);
    gm_value_id a = gm_emit1(graph, "Exp", x);
    gm_value_id outside = gm_emit2(graph, "Mod", a, x);
    gm_graph_add_output(graph, "y", gm_emit2(graph, "Add", a, outside));
    ck_assert_int_eq(gm_graph_fuse(graph), GM_OK);
    ck_assert_uint_eq(count_fused(graph), 0);
    ck_assert_uint_eq(graph->node_count, 3);
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("elementwise");
    TCase *rules = tcase_create("gradients");
    tcase_add_loop_test(rules, gradient_is_the_difference_quotient, 0, (int)GM_COUNT(gradients));
    suite_add_tcase(all, rules);
    TCase *values = tcase_create("values");
    tcase_add_checked_fixture(values, setup, teardown);
    tcase_add_loop_test(values, integers_keep_their_low_bits, 0, (int)GM_COUNT(wrapped));
    tcase_add_loop_test(values, vector_functions_are_accurate, 0, (int)GM_COUNT(functions));
    tcase_add_test(values, vector_functions_have_their_limits);
    tcase_add_loop_test(values, unary_kernels_agree_with_reference, 0, (int)GM_COUNT(unary));
    tcase_add_loop_test(values, binary_kernels_agree_with_reference, 0, (int)GM_COUNT(binary));
    tcase_add_test(values, one_picture_for_all_examples);
    tcase_add_test(values, where_takes_bools_and_broadcasts);
    tcase_add_test(values, bool_kernels_and_casts);
    tcase_add_test(values, integers_are_exact_and_never_trap);
    tcase_add_test(values, clip_bounds);
    tcase_add_test(values, square_is_exact);
    tcase_add_test(values, detach_cuts_the_gradient);
    suite_add_tcase(all, values);
    TCase *fusion = tcase_create("fusion");
    tcase_add_checked_fixture(fusion, setup, teardown);
    tcase_add_loop_test(fusion, fused_graphs_compute_the_same, 0, 20);
    tcase_add_test(fusion, gradient_chain_is_one_group);
    tcase_add_test(fusion, groups_stay_convex);
    suite_add_tcase(all, fusion);
    return all;
}

int main(void)
{
    SRunner *runner = srunner_create(suite());
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
