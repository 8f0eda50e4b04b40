/* BatchNormalization, gmodel.BatchNormalizationTraining, gmodel.BatchNormalizationGrad: fast kernels against plain loops
 * in every layout, soundness of the statistics, expansion in training mode. */
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

typedef struct norm_case {
    int rank;
    int64_t dims[5];
} norm_case;

static const norm_case cases[] = {
    {4, {3, 16, 5, 7}},    {4, {2, 48, 3, 3}}, {4, {20, 64, 7, 7}}, {3, {5, 8, 33}},
    {5, {2, 16, 3, 4, 5}}, {2, {37, 130}},     {2, {256, 200}},     {2, {1, 5}},
    {4, {4, 1, 28, 28}},   {4, {6, 3, 1, 1}},  {2, {140, 1100}},    {4, {9, 1024, 1, 1}},
};
static const int wishes[] = {LOWER_PLAIN, 8, 16, LOWER_LAST};

START_TEST(fast_kernels_equal_plain_loops)
{
    const norm_case *c = &cases[_i];
    gm_attribute epsilon = gm_attribute_float("epsilon", 1e-3);
    gm_attribute gated[2] = {epsilon, gm_attribute_float("slope", 0.3)};
    for (size_t k = 0; k < GM_COUNT(wishes); k++) {
        int wish[6] = {wishes[k], 0, 0, 0, wishes[(k + 1) % GM_COUNT(wishes)], wishes[(k + 2) % GM_COUNT(wishes)]};
        gm_tensor *x = lower_random(&check, GM_FLOAT, c->rank, c->dims, -1, 3);
        gm_tensor *dy = lower_random(&check, GM_FLOAT, c->rank, c->dims, -1, 1);
        gm_tensor *scale = lower_random(&check, GM_FLOAT, 1, c->dims + 1, 0.5, 2);
        gm_tensor *b = lower_random(&check, GM_FLOAT, 1, c->dims + 1, -1, 1);
        gm_tensor *mean = lower_random(&check, GM_FLOAT, 1, c->dims + 1, 0.5, 1.5);
        gm_tensor *var = lower_random(&check, GM_FLOAT, 1, c->dims + 1, 0.2, 2);
        gm_tensor *gate = lower_random(&check, GM_FLOAT, c->rank, c->dims, -1, 1);
        gm_tensor *inference[5] = {x, scale, b, mean, var}, *grad[6] = {x, scale, mean, var, dy, gate};
        lower_check_node(&check, "BatchNormalization", inference, 5, &epsilon, 1, 1, wish, 1e-5);
        ck_assert(check.lowered);
        lower_check_node(&check, "gmodel.BatchNormalizationTraining", inference, 3, &epsilon, 1, 3, wish, 1e-4);
        ck_assert(check.lowered);
        ck_assert(gm_layout_equal(check.out_layout[0], lower_layout_of(x, wishes[k])));
        lower_check_node(&check, "gmodel.BatchNormalizationGrad", grad, 5, &epsilon, 1, 3, wish, 1e-4);
        ck_assert(check.lowered);
        lower_check_node(&check, "gmodel.BatchNormalizationGrad", grad, 6, gated, 2, 3, wish, 1e-4);
        ck_assert(check.lowered);
    }
}
END_TEST

/* A mean a thousand times the deviation must not swallow the variance. */
START_TEST(variance_survives_a_large_mean)
{
    int64_t dims[4] = {8, 16, 14, 14}, one = 16;
    gm_tensor *x = lower_random(&check, GM_FLOAT, 4, dims, 999, 1001);
    gm_tensor *scale = lower_random(&check, GM_FLOAT, 1, &one, 1, 1),
              *b = lower_random(&check, GM_FLOAT, 1, &one, 0, 0);
    for (size_t k = 0; k < GM_COUNT(wishes); k++) {
        lower_check_node(&check, "gmodel.BatchNormalizationTraining", (gm_tensor *[]){x, scale, b}, 3, NULL, 0, 3,
                         (int[]){wishes[k], 0, 0}, 5e-4);
        for (int c = 0; c < 16; c++)
            ck_assert_double_eq_tol(gm_get(&check.out[2], c), 1.0 / 3.0, 0.05);
    }
}
END_TEST

START_TEST(results_do_not_depend_on_threads)
{
    static const int64_t shapes[][4] = {{33, 32, 9, 9}, {33, 1120, 1, 1}};
    const int64_t *dims = shapes[_i], one = dims[1];
    gm_tensor *x = lower_random(&check, GM_FLOAT, 4, dims, -1, 1), *dy = lower_random(&check, GM_FLOAT, 4, dims, -1, 1);
    gm_tensor *v = lower_random(&check, GM_FLOAT, 1, &one, 0.5, 1);
    for (size_t k = 0; k < GM_COUNT(wishes); k++) {
        gm_tensor first[3];
        for (int threads = 1; threads < 6; threads += 2) {
            check.threads = threads;
            lower_check_node(&check, "gmodel.BatchNormalizationGrad", (gm_tensor *[]){x, v, v, v, dy}, 5, NULL, 0, 3,
                             (int[]){wishes[k], 0, 0, 0, wishes[k]}, 1e-4);
            for (int o = 0; o < 3; o++) {
                if (threads > 1)
                    ck_assert_mem_eq(first[o].data, check.out[o].data, gm_tensor_bytes(&first[o]));
                else
                    first[o] = check.out[o];
            }
        }
    }
}
END_TEST

/* training, by mode or attribute: three outputs, running = momentum * running + (1 - momentum) * batch */
static gm_tensor *run_graph(bool training, const gm_attribute *list, size_t count, const gm_tensor *const *in,
                            gm_value_id *outputs)
{
    gm_graph *graph = gm_graph_create(check.pool, NULL, "expand");
    gm_value_id ids[5];
    gm_tensor *values = NULL;
    for (int i = 0; i < 5; i++)
        ids[i] = gm_graph_add_input(graph, "in", in[i]->type, in[i]->rank, in[i]->dims, false);
    graph->training = training;
    gm_emit_many(graph, "BatchNormalization", ids, 5, list, count, outputs, 3);
    ck_assert_msg(graph->status == GM_OK, "%s", gm_context_message(check.context));
    ck_assert_int_eq(gm_graph_compact(graph), GM_OK);
    ck_assert_int_eq(gm_graph_interpret(graph, check.pool, in, NULL, 0, 0, &values), GM_OK);
    return values;
}

START_TEST(training_mode_blends_running_statistics)
{
    int64_t dims[3] = {2, 1, 2}, one = 1;
    double numbers[4] = {1, 3, 5, 7}, scale = 2, b = 1, mean = 10, var = 1;
    gm_tensor x = {GM_DOUBLE, 3, {dims[0], dims[1], dims[2]}, numbers}, s = {GM_DOUBLE, 1, {one}, &scale};
    gm_tensor shift = {GM_DOUBLE, 1, {one}, &b}, m = {GM_DOUBLE, 1, {one}, &mean}, v = {GM_DOUBLE, 1, {one}, &var};
    const gm_tensor *in[5] = {&x, &s, &shift, &m, &v};
    gm_attribute list[3] = {gm_attribute_float("momentum", 0.75), gm_attribute_float("epsilon", 0.0),
                            gm_attribute_int("training_mode", 0)};
    gm_value_id outputs[3];
    gm_tensor *values = run_graph(true, list, 2, in, outputs);
    ck_assert_double_eq_tol(gm_get(&values[outputs[0]], 0), 1 + 2 * (1 - 4) / sqrt(5.0), 1e-12);
    ck_assert_double_eq_tol(gm_get(&values[outputs[1]], 0), 0.75 * 10 + 0.25 * 4, 1e-12);
    ck_assert_double_eq_tol(gm_get(&values[outputs[2]], 0), 0.75 * 1 + 0.25 * 5, 1e-12);
    values = run_graph(true, list, 3, in, outputs); /* an explicit mode wins */
    ck_assert_double_eq_tol(gm_get(&values[outputs[0]], 0), 1 + 2 * (1 - 10), 1e-12);
    ck_assert_double_eq(gm_get(&values[outputs[1]], 0), 10);
    ck_assert_double_eq(gm_get(&values[outputs[2]], 0), 1);
    list[2] = gm_attribute_int("training_mode", 1);
    values = run_graph(false, list, 3, in, outputs);
    ck_assert_double_eq_tol(gm_get(&values[outputs[1]], 0), 8.5, 1e-12);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("norm");
    TCase *kernels = tcase_create("kernels");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(kernels, setup, teardown);
    tcase_add_loop_test(kernels, fast_kernels_equal_plain_loops, 0, (int)GM_COUNT(cases));
    tcase_add_test(kernels, variance_survives_a_large_mean);
    tcase_add_loop_test(kernels, results_do_not_depend_on_threads, 0, 2);
    tcase_add_test(kernels, training_mode_blends_running_statistics);
    suite_add_tcase(suite, kernels);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
