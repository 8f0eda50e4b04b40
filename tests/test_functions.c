/* Functions of single elements beyond arithmetic: activations, trigonometry, bits; known results, shapes, messages. */
#include "tests/gradcheck.h"
#include "tests/numbers.h"

static const numbers_case results[] = {
    {.op = "ThresholdedRelu", IN("4 [-1 2 1 3]"), WITH(GRAD_FLOAT("alpha", 2.0)), .expected = "0 0 0 3"},
    {.op = "Celu", IN("3 [-2 0 3]"), WITH(GRAD_FLOAT("alpha", 2.0)), .expected = "-1.2642411 0 3"},
    {.op = "Celu", IN("2 [-2 1000]"), WITH(GRAD_FLOAT("alpha", 1.0)), .expected = "-0.86466472 1000"},
    {.op = "Shrink",
     IN("5 [-2 -1 0 1 2]"),
     WITH(GRAD_FLOAT("lambd", 1.5), GRAD_FLOAT("bias", 0.25)),
     .expected = "-1.75 0 0 0 1.75"},
    {.op = "Shrink", IN("int 3 [-2 0 2]"), WITH(GRAD_FLOAT("lambd", 1.5), GRAD_FLOAT("bias", 1)), .expected = "-1 0 1"},
    {.op = "Swish", IN("2 [1 -2]"), WITH(GRAD_FLOAT("alpha", 0.5)), .expected = "0.62245933 -0.53788284"},
    {.op = "SwiGLU", IN("2 [1 -1]", "2 [2 4]"), .expected = "1.4621172 -1.0757657"},
    {.op = "IsInf", IN("4 [inf -inf nan 1]"), .expected = "1 1 0 0"},
    {.op = "IsInf", IN("3 [inf -inf nan]"), WITH(GRAD_INT("detect_negative", 0)), .expected = "1 0 0"},
    {.op = "IsInf", IN("3 [inf -inf nan]"), WITH(GRAD_INT("detect_positive", 0)), .expected = "0 1 0"},
    {.op = "IsInf",
     IN("3 [inf -inf nan]"),
     WITH(GRAD_INT("detect_positive", 0), GRAD_INT("detect_negative", 0)),
     .expected = "0 0 0"},
    {.op = "CastLike", IN("3 [1.5 -1.5 0]", "int 1 [0]"), .expected = "1 -1 0"},
    {.op = "CastLike", IN("3 [1.5 -1.5 0]", "bool 1 [0]"), .expected = "1 1 0"},
    {.op = "Hardmax", IN("2x3 [1 3 3 4 2 1]"), .expected = "0 1 0 1 0 0"},
    {.op = "Hardmax", IN("2x3 [1 3 3 4 2 1]"), WITH(GRAD_INT("axis", 0)), .expected = "0 1 1 1 0 0"},
    {.op = "Tan", IN("2 [0.5 -1]"), .expected = "0.54630249 -1.5574077"},
    {.op = "Asin", IN("2 [0.5 -1]"), .expected = "0.52359878 -1.5707963"},
    {.op = "Acos", IN("2 [0.5 -1]"), .expected = "1.0471976 3.1415927"},
    {.op = "Atan", IN("2 [0.5 -1]"), .expected = "0.46364761 -0.78539816"},
    {.op = "Sinh", IN("2 [0.5 -1]"), .expected = "0.52109531 -1.1752012"},
    {.op = "Cosh", IN("2 [0.5 -1]"), .expected = "1.1276260 1.5430806"},
    {.op = "Asinh", IN("2 [0.5 -1]"), .expected = "0.48121183 -0.88137359"},
    {.op = "Acosh", IN("2 [1.5 10]"), .expected = "0.96242365 2.9932228"},
    {.op = "Atanh", IN("2 [0.5 -0.25]"), .expected = "0.54930614 -0.25541281"},
    {.op = "BitwiseAnd", IN("int 3 [12 -1 7]", "int 1 [10]"), .expected = "8 10 2"},
    {.op = "BitwiseOr", IN("int 2x1 [12 1]", "int 2 [3 -1]"), .expected = "15 -1 3 -1"},
    {.op = "BitwiseXor", IN("int 2 [12 -1]", "int 2 [10 1]"), .expected = "6 -2"},
    {.op = "BitwiseNot", IN("int 3 [0 5 -1]"), .expected = "-1 -6 0"},
    {.op = "BitShift",
     IN("int 4 [1 5 -3 7]", "int 4 [4 1 1 64]"),
     WITH(GRAD_STRING("direction", "LEFT")),
     .expected = "16 10 -6 0"},
    {.op = "BitShift",
     IN("int 6 [16 5 -3 7 -7 -8]", "int 6 [4 0 1 64 -1 2]"),
     WITH(GRAD_STRING("direction", "RIGHT")),
     .expected = "1 5 -2 0 -1 -2"},
    {.op = "BitCast", IN("2 [1 -2]"), WITH(GRAD_INT("to", GM_INT32)), .expected = "1065353216 -1073741824"},
    {.op = "BitCast", IN("int 1 [4607182418800017408]"), WITH(GRAD_INT("to", GM_DOUBLE)), .expected = "1"},
};

static const numbers_case shapes[] = {
    {.op = "SwiGLU", IN("Nx3", "Nx3"), .expected = "float[N, 3]"},
    {.op = "CastLike", IN("Nx3", "int 2"), .expected = "int64[N, 3]"},
    {.op = "Hardmax", IN("NxC"), .expected = "float[N, C]"},
    {.op = "Hardmax", IN("NxC"), WITH(GRAD_INT("axis", 0)), .expected = "float[N, C]"},
    {.op = "IsInf", IN("NxC"), .expected = "bool[N, C]"},
    {.op = "BitCast", IN("Nx2"), WITH(GRAD_INT("to", GM_UINT32)), .expected = "uint32[N, 2]"},
    {.op = "BitShift", IN("int Nx1", "int 3"), WITH(GRAD_STRING("direction", "LEFT")), .expected = "int64[N, 3]"},
};

static const numbers_case errors[] = {
    {.op = "Celu", IN("3"), WITH(GRAD_FLOAT("alpha", 0.0)), .expected = "alpha is 0"},
    {.op = "SwiGLU", IN("2x3", "3"), .expected = "must be equal"},
    {.op = "Hardmax", IN("2x3"), WITH(GRAD_INT("axis", 2)), .expected = "outside"},
    {.op = "BitCast", IN("3"), WITH(GRAD_INT("to", GM_INT64)), .expected = "32 bits"},
    {.op = "BitShift", IN("int 3", "int 3"), WITH(GRAD_STRING("direction", "UP")), .expected = "LEFT or RIGHT"},
    {.op = "BitwiseAnd", IN("3", "3"), .expected = "does not take float"},
};

/* Before 13 the axes from `axis` on are one. */
START_TEST(HardmaxOfAnOlderSet)
{
    static const numbers_case c = {.op = "Hardmax", IN("2x2x2 [1 2 3 0 5 5 5 4]"), .expected = "0 0 1 0 1 0 0 0"};
    numbers_check_older(&c, 11);
}
END_TEST

NUMBERS_MAIN("functions", tcase_add_test(all, HardmaxOfAnOlderSet))
