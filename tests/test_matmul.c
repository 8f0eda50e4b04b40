/* MatMul and Gemm: shapes, fast kernels against plain loops. */
#include "graph/operator.h"
#include "tests/lower_check.h"

#include <stdlib.h>

static lower_check check;

static void setup(void)
{
    lower_check_begin(&check);
}

static void teardown(void)
{
    lower_check_end(&check);
}

typedef struct matmul_case {
    int a_rank, b_rank, y_rank;
    int64_t a[5], b[5], y[5];
} matmul_case;

static const matmul_case cases[] = {
    {2, 2, 2, {5, 7}, {7, 3}, {5, 3}},
    {1, 2, 1, {7}, {7, 3}, {3}},
    {2, 1, 1, {5, 7}, {7}, {5}},
    {1, 1, 0, {7}, {7}, {0}},
    {3, 2, 3, {4, 5, 7}, {7, 3}, {4, 5, 3}},
    {3, 3, 3, {4, 5, 7}, {4, 7, 3}, {4, 5, 3}},
    {4, 3, 4, {2, 1, 5, 7}, {4, 7, 3}, {2, 4, 5, 3}},
    {2, 4, 4, {5, 7}, {2, 3, 7, 6}, {2, 3, 5, 6}},
    {1, 3, 2, {7}, {4, 7, 3}, {4, 3}},
    {3, 1, 2, {4, 5, 7}, {7}, {4, 5}},
    {5, 4, 5, {2, 1, 3, 4, 8}, {5, 1, 8, 2}, {2, 5, 3, 4, 2}},
    {2, 2, 2, {64, 784}, {784, 96}, {64, 96}},
};

START_TEST(matmul_broadcasts_as_numpy)
{
    const matmul_case *c = &cases[_i];
    gm_tensor *a = lower_random(&check, GM_FLOAT, c->a_rank, c->a, -1, 1);
    gm_tensor *b = lower_random(&check, GM_FLOAT, c->b_rank, c->b, -1, 1);
    lower_check_node(&check, "MatMul", (gm_tensor *[]){a, b}, 2, NULL, 0, 1, NULL, 1e-4);
    ck_assert(check.lowered);
    ck_assert_int_eq(check.out[0].rank, c->y_rank);
    for (int i = 0; i < c->y_rank; i++)
        ck_assert_int_eq(check.out[0].dims[i], c->y[i]);
    a = lower_random(&check, GM_INT64, c->a_rank, c->a, -9, 9);
    b = lower_random(&check, GM_INT64, c->b_rank, c->b, -9, 9);
    lower_check_node(&check, "MatMul", (gm_tensor *[]){a, b}, 2, NULL, 0, 1, NULL, 0);
    ck_assert(!check.lowered);
}
END_TEST

START_TEST(matmul_of_known_numbers)
{
    float left[6] = {1, 2, 3, 4, 5, 6}, right[6] = {1, 0, 0, 1, 2, 3};
    gm_tensor a = {GM_FLOAT, 2, {2, 3}, left}, b = {GM_FLOAT, 2, {3, 2}, right};
    static const double expected[4] = {7, 11, 16, 23};
    lower_check_node(&check, "MatMul", (gm_tensor *[]){&a, &b}, 2, NULL, 0, 1, NULL, 0);
    for (int i = 0; i < 4; i++)
        ck_assert_double_eq(gm_get(&check.out[0], i), expected[i]);
}
END_TEST

/* transA, transB by the loop; C of every rank, small sizes and those that take the primitive. */
START_TEST(gemm_equals_plain_loops)
{
    static const int64_t sizes[][3] = {{5, 3, 7}, {1, 1, 1}, {33, 64, 600}, {17, 1, 90}, {1, 65, 513}, {40, 130, 512}};
    bool ta = _i & 1, tb = _i & 2;
    for (size_t i = 0; i < GM_COUNT(sizes); i++)
        for (int c_kind = 0; c_kind < 6; c_kind++) {
            int64_t m = sizes[i][0], n = sizes[i][1], k = sizes[i][2];
            int64_t c_dims[6][2] = {{0, 0}, {n, 0}, {1, n}, {m, 1}, {m, n}, {1, 0}};
            static const int c_ranks[6] = {0, 1, 2, 2, 2, 1};
            bool plain = c_kind < 3;
            gm_attribute list[4] = {gm_attribute_int("transA", ta), gm_attribute_int("transB", tb),
                                    gm_attribute_float("alpha", plain ? 1.0 : 0.5),
                                    gm_attribute_float("beta", plain ? 1.0 : -2.0)};
            gm_tensor *a = lower_random(&check, GM_FLOAT, 2, ta ? (int64_t[]){k, m} : (int64_t[]){m, k}, -1, 1);
            gm_tensor *b = lower_random(&check, GM_FLOAT, 2, tb ? (int64_t[]){n, k} : (int64_t[]){k, n}, -1, 1);
            gm_tensor *c = c_kind ? lower_random(&check, GM_FLOAT, c_ranks[c_kind], c_dims[c_kind], -1, 1) : NULL;
            lower_check_node(&check, "Gemm", (gm_tensor *[]){a, b, c}, 3, list, 4, 1, NULL, 1e-4);
            ck_assert(check.lowered);
        }
}
END_TEST

START_TEST(wrong_shapes_are_named)
{
    gm_graph *graph = gm_graph_create(check.pool, NULL, "shape");
    gm_value_id a = gm_graph_add_input(graph, "a", GM_FLOAT, 2, (gm_dim[]){2, 3}, false);
    gm_value_id b = gm_graph_add_input(graph, "b", GM_FLOAT, 2, (gm_dim[]){4, 3}, false);
    gm_emit2(graph, "MatMul", a, b);
    ck_assert_int_eq(graph->status, GM_ERROR_MODEL);
    ck_assert_ptr_nonnull(strstr(gm_context_message(check.context), "float[2, 3]"));
    ck_assert_ptr_nonnull(strstr(gm_context_message(check.context), "float[4, 3]"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("matmul");
    TCase *kernels = tcase_create("kernels");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(kernels, setup, teardown);
    tcase_add_loop_test(kernels, matmul_broadcasts_as_numpy, 0, (int)GM_COUNT(cases));
    tcase_add_test(kernels, matmul_of_known_numbers);
    tcase_add_loop_test(kernels, gemm_equals_plain_loops, 0, 4);
    tcase_add_test(kernels, wrong_shapes_are_named);
    suite_add_tcase(suite, kernels);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
