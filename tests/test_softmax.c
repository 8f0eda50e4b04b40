/* Softmax, LogSoftmax and the cross entropies made of them. */
#include "tests/gradcheck.h"
#include "tests/lower_check.h"
#include "tests/numbers.h"

/* log(softmax(1, 2, 3)) = -2.4076059, -1.4076059, -0.4076059 */
static const numbers_case results[] = {
    {.op = "Softmax", IN("1x3 [1 2 3]"), .expected = "0.0900306 0.2447285 0.6652410"},
    {.op = "Softmax", IN("2 [1000 1000]"), .expected = "0.5 0.5"},
    {.op = "Softmax", IN("2x2 [1 5 1 5]"), WITH(GRAD_INT("axis", 0)), .expected = "0.5 0.5 0.5 0.5"},
    {.op = "LogSoftmax", IN("3 [1 2 3]"), .expected = "-2.4076059 -1.4076059 -0.4076059"},
    {.op = "LogSoftmax", IN("2 [0 -1000]"), .expected = "0 -1000"},
    {.op = "SoftmaxCrossEntropyLoss", IN("2x3 [1 2 3 3 2 1]", "int 2 [0 0]"), .expected = "1.4076059"},
    {.op = "SoftmaxCrossEntropyLoss",
     IN("2x3 [1 2 3 3 2 1]", "int 2 [0 0]"),
     WITH(GRAD_STRING("reduction", "sum")),
     .expected = "2.8152118"},
    {.op = "SoftmaxCrossEntropyLoss",
     IN("2x3 [1 2 3 3 2 1]", "int 2 [0 0]"),
     WITH(GRAD_STRING("reduction", "none")),
     .expected = "2.4076059 0.4076059"},
    {.op = "SoftmaxCrossEntropyLoss",
     IN("2x3 [1 2 3 3 2 1]", "int 2 [-1 0]"),
     WITH(GRAD_INT("ignore_index", -1)),
     .expected = "0.4076059"},
    {.op = "SoftmaxCrossEntropyLoss",
     IN("2x3 [1 2 3 3 2 1]", "int 2 [0 1]", "3 [1 3 0]"),
     .expected = "1.6576059"}, /* (2.4076059 + 3 * 1.4076059) / 4 */
    {.op = "SoftmaxCrossEntropyLoss",
     IN("1x3 [1 2 3]", "int 1 [2]"),
     .outputs = 2,
     .expected = "0.4076059 -2.4076059 -1.4076059 -0.4076059"},
    {.op = "SoftmaxCrossEntropyLoss", IN("1x2x2 [0 0 0 0]", "int 1x2 [1 0]"), .expected = "0.6931472"},
    {.op = "NegativeLogLikelihoodLoss", IN("2x2 [-1 -2 -3 -4]", "int 2 [1 0]"), .expected = "2.5"},
};

static const numbers_case errors[] = {
    {.op = "Softmax", IN("2x2"), WITH(GRAD_INT("axis", 2)), .expected = "outside"},
    {.op = "SoftmaxCrossEntropyLoss", IN("Nx3", "int Nx3"), .expected = "do not fit"},
    {.op = "SoftmaxCrossEntropyLoss", IN("Nx3", "N"), .expected = "must be int64"},
    {.op = "SoftmaxCrossEntropyLoss", IN("Nx3", "int N"), WITH(GRAD_STRING("reduction", "max")), .expected = "'max'"},
};

static const numbers_case shapes[] = {
    {.op = "SoftmaxCrossEntropyLoss", IN("Nx10", "int N"), .outputs = 2, .expected = "float float[N, 10]"},
    {.op = "SoftmaxCrossEntropyLoss",
     IN("Nx10x4", "int Nx4"),
     WITH(GRAD_STRING("reduction", "none")),
     .expected = "float[N, 4]"},
};

START_TEST(RowsLikeReference)
{
    static const char *const names[] = {"Softmax", "LogSoftmax"};
    static const int64_t dims[][3] = {{1, 1, 1}, {2, 3, 10}, {4, 100, 33}, {1, 3, 5000}};
    lower_check check;
    lower_check_begin(&check);
    for (size_t i = 0; i < GM_COUNT(dims); i++) {
        gm_attribute axis = gm_attribute_int("axis", 1);
        gm_tensor *x = lower_random(&check, GM_FLOAT, 3, dims[i], -20, 20);
        lower_check_node(&check, names[_i], &x, 1, NULL, 0, 1, NULL, 1e-5);
        ck_assert(check.lowered);
        lower_check_node(&check, names[_i], &x, 1, &axis, 1, 1, NULL, 1e-5);
    }
    lower_check_end(&check);
}
END_TEST

NUMBERS_MAIN("softmax", tcase_add_loop_test(all, RowsLikeReference, 0, 2))
