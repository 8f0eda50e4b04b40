/* Reductions: symbolic shapes, known results, fast kernels in every layout against the reference. */
#include "tests/gradcheck.h"
#include "tests/lower_check.h"
#include "tests/numbers.h"

static const numbers_case shapes[] = {
    {.op = "ReduceSum", IN("Nx3x4"), .expected = "float[1, 1, 1]"},
    {.op = "ReduceSum", IN("Nx3x4"), WITH(GRAD_INT("keepdims", 0)), .expected = "float"},
    {.op = "ReduceSum", IN("Nx3x4", "int 2 [0 -1]"), WITH(GRAD_INT("keepdims", 0)), .expected = "float[3]"},
    {.op = "ReduceMean", IN("Nx3x4", "int 1 [1]"), .expected = "float[N, 1, 4]"},
    {.op = "ReduceMean", IN("Nx3"), WITH(GRAD_INT("noop_with_empty_axes", 1)), .expected = "float[N, 3]"},
    {.op = "ReduceMax", IN("Nx3x4"), WITH(GRAD_INTS("axes", -1)), .expected = "float[N, 3, 1]"},
    {.op = "ArgMax", IN("Nx3x4"), WITH(GRAD_INT("axis", 1), GRAD_INT("keepdims", 0)), .expected = "int64[N, 4]"},
};

static const numbers_case errors[] = {
    {.op = "ReduceSum", IN("Nx3", "int 1 [2]"), .expected = "outside"},
    {.op = "ReduceSum", IN("Nx3", "int 2 [1 -1]"), .expected = "twice"},
    {.op = "ReduceSum", IN("Nx3", "int 1"), .expected = "constant"},
    {.op = "ArgMax", IN("Nx3"), WITH(GRAD_INT("axis", 5)), .expected = "outside"},
};

#define SIX "2x3 [1 -2 3 4 5 -6]"
static const numbers_case results[] = {
    {.op = "ReduceSum", IN(SIX, "int 1 [0]"), .expected = "5 3 -3"},
    {.op = "ReduceMax", IN("uint64 3 [1 9223372036854775808 2]"), .expected = "9223372036854775808"},
    {.op = "ReduceMin", IN("uint64 2 [9223372036854775808 3]"), .expected = "3"},
    {.op = "ReduceMax", IN("bool 2x2 [1 0 0 0]", "int 1 [1]"), .expected = "1 0"},
    {.op = "ReduceMin", IN("bool 2x2 [1 0 1 1]", "int 1 [1]"), .expected = "0 1"},
    {.op = "ReduceSum", IN("int 2x2 [9007199254740993 1 2 3]", "int 1 [1]"), .expected = "9007199254740994 5"},
    {.op = "ReduceMean", IN(SIX, "int 1 [1]"), .expected = "0.6666667 1"},
    {.op = "ReduceMax", IN(SIX, "int 1 [1]"), .expected = "3 5"},
    {.op = "ReduceMin", IN(SIX), .expected = "-6"},
    {.op = "ReduceProd", IN(SIX, "int 1 [1]"), .expected = "-6 -120"},
    {.op = "ReduceL1", IN(SIX, "int 1 [1]"), .expected = "6 15"},
    {.op = "ReduceL2", IN("2 [3 4]"), .expected = "5"},
    {.op = "ReduceSumSquare", IN(SIX, "int 1 [-1]"), .expected = "14 77"},
    {.op = "ReduceLogSum", IN("2 [1 1.718281828]"), .expected = "1"},
    {.op = "ReduceLogSumExp", IN("2 [1000 1000]"), .expected = "1000.6931472"},
    {.op = "ReduceSum", IN("3 [1 2 3]"), WITH(GRAD_INT("noop_with_empty_axes", 1)), .expected = "1 2 3"},
    {.op = "ReduceSum", IN("0x2 [ ]", "int 1 [0]"), .expected = "0 0"},
    {.op = "gmodel.SumTo", IN(SIX, "int 2 [1 3]"), .expected = "5 3 -3"},
    {.op = "gmodel.SumTo", IN(SIX, "int 1 [1]"), .expected = "5"},
    {.op = "gmodel.SumTo", IN(SIX, "int 0 []"), .expected = "5"},
    {.op = "ArgMax", IN("2x3 [1 3 3 4 4 -6]"), WITH(GRAD_INT("axis", 1)), .expected = "1 0"},
    {.op = "ArgMax",
     IN("2x3 [1 3 3 4 4 -6]"),
     WITH(GRAD_INT("axis", 1), GRAD_INT("select_last_index", 1)),
     .expected = "2 1"},
    {.op = "ArgMin", IN("2x3 [1 3 3 4 4 -6]"), .expected = "0 0 1"},
};

START_TEST(ShapesAreInferredSymbolically)
{
    numbers_check_shape(&shapes[_i]);
}
END_TEST

START_TEST(WrongNodesAreRefused)
{
    numbers_check_error(&errors[_i]);
}
END_TEST

START_TEST(ResultsAreRight)
{
    numbers_check_result(&results[_i]);
}
END_TEST

/* --- Fast kernels against the reference
 * --------------------------------------------------------------------------------- */

static lower_check check;

static void setup(void)
{
    lower_check_begin(&check);
}

static void teardown(void)
{
    lower_check_end(&check);
}

static gm_tensor *axes_of(unsigned mask, int rank)
{
    int64_t axes[GM_MAX_RANK], count = 0;
    gm_tensor *tensor;
    for (int i = 0; i < rank; i++)
        if (mask >> i & 1)
            axes[count++] = i;
    tensor = gm_tensor_create(check.pool, GM_INT64, 1, &count);
    for (int64_t i = 0; i < count; i++)
        gm_set_int(tensor, i, axes[i]);
    return tensor;
}

static const char *const names[] = {"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"};

/* Every set of axes of [N, C, H, W] in every layout. */
START_TEST(EverySetOfAxesInEveryLayout)
{
    static const int wishes[] = {LOWER_PLAIN, 8, 16, LOWER_LAST, LOWER_ANY};
    check.constants = 2;
    for (unsigned mask = 1; mask < 16; mask++)
        for (size_t w = 0; w < GM_COUNT(wishes); w++) {
            gm_tensor *x = lower_random(&check, GM_FLOAT, 4, (int64_t[]){3, 16, 5, 4}, -1, 2);
            gm_attribute keep = gm_attribute_int("keepdims", mask % 2);
            lower_check_node(&check, names[_i], (gm_tensor *[]){x, axes_of(mask, 4)}, 2, &keep, 1, 1,
                             (int[]){wishes[w], LOWER_PLAIN}, 1e-6);
            ck_assert(check.lowered);
            if (mask == 13 && wishes[w] > 0) /* N, H, W: the gradient of a bias needs no reorder */
                ck_assert_int_eq(check.in_want[0].block, wishes[w]);
        }
}
END_TEST

START_TEST(RandomShapesAndAxes)
{
    check.constants = 2;
    for (int turn = 0; turn < 60; turn++) {
        int64_t dims[6];
        int rank = (int)lower_draw_int(&check, 1, 6);
        unsigned mask = (unsigned)lower_draw_int(&check, 1, (1 << rank) - 1);
        for (int i = 0; i < rank; i++)
            dims[i] = lower_draw_int(&check, 1, turn % 6 ? 5 : rank > 3 ? 7 : 50);
        lower_check_node(&check, names[_i],
                         (gm_tensor *[]){lower_random(&check, GM_FLOAT, rank, dims, -1, 2), axes_of(mask, rank)}, 2,
                         NULL, 0, 1, NULL, 1e-6);
    }
}
END_TEST

START_TEST(LargeSumsAreExactEnoughAndRepeat)
{
    static const int64_t shape[][2] = {{100003, 1}, {1, 100003}, {3001, 67}, {67, 3001}};
    check.constants = 2;
    for (size_t i = 0; i < GM_COUNT(shape); i++)
        for (unsigned mask = 1; mask < 4; mask++)
            for (check.threads = 1; check.threads <= 3; check.threads++) {
                lower_check_node(&check, "ReduceSum",
                                 (gm_tensor *[]){lower_random(&check, GM_FLOAT, 2, shape[i], 0, 1), axes_of(mask, 2)},
                                 2, NULL, 0, 1, NULL, 1e-6);
                ck_assert(check.lowered);
            }
}
END_TEST

START_TEST(SumDoesNotDependOnThreads)
{
    gm_tensor *x = lower_random(&check, GM_FLOAT, 4, (int64_t[]){8, 3, 40, 40}, -1, 1);
    double sums[3][3];
    check.constants = 2;
    for (int t = 0; t < 3; t++) {
        check.threads = t + 1;
        lower_check_node(&check, "ReduceSum", (gm_tensor *[]){x, axes_of(13, 4)}, 2, NULL, 0, 1, NULL, 1e-6);
        for (int c = 0; c < 3; c++)
            sums[t][c] = gm_get(&check.out[0], c);
    }
    ck_assert(memcmp(sums[0], sums[1], sizeof sums[0]) == 0 && memcmp(sums[0], sums[2], sizeof sums[0]) == 0);
}
END_TEST

START_TEST(NotANumberReachesTheResult)
{
    gm_tensor *x = lower_random(&check, GM_FLOAT, 2, (int64_t[]){2, 40}, -1, 1);
    gm_graph *graph = gm_graph_create(check.pool, NULL, "nan");
    gm_tensor *values;
    gm_set(x, 17, (double)NAN);
    for (size_t i = 0; i < GM_COUNT(names); i++) {
        gm_value_id y = gm_emit2(graph, names[i], gm_graph_constant(graph, x), gm_const_ints(graph, (int64_t[]){1}, 1));
        ck_assert_int_eq(gm_graph_interpret(graph, check.pool, NULL, NULL, 0, 0, &values), GM_OK);
        ck_assert(isnan(gm_get(&values[y], 0)));
        ck_assert(!isnan(gm_get(&values[y], 1)));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reduce");
    TCase *rules = tcase_create("rules"), *kernels = tcase_create("kernels");
    SRunner *runner;
    int failed;
    tcase_add_loop_test(rules, ShapesAreInferredSymbolically, 0, (int)GM_COUNT(shapes));
    tcase_add_loop_test(rules, WrongNodesAreRefused, 0, (int)GM_COUNT(errors));
    tcase_add_loop_test(rules, ResultsAreRight, 0, (int)GM_COUNT(results));
    tcase_add_checked_fixture(kernels, setup, teardown);
    tcase_add_loop_test(kernels, EverySetOfAxesInEveryLayout, 0, (int)GM_COUNT(names));
    tcase_add_loop_test(kernels, RandomShapesAndAxes, 0, (int)GM_COUNT(names));
    tcase_add_test(kernels, LargeSumsAreExactEnoughAndRepeat);
    tcase_add_test(kernels, SumDoesNotDependOnThreads);
    tcase_add_test(kernels, NotANumberReachesTheResult);
    suite_add_tcase(suite, rules);
    suite_add_tcase(suite, kernels);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
