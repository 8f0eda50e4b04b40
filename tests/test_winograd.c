/* Winograd's 5x5 convolutions against the plain loops in double arithmetic. */
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

/* The root mean square of the error by that of the result; both stated bounds are from docs/design.md. */
static void small_error(const char *name, const char *what, const gm_tensor *got, const gm_tensor *expected)
{
    double error = 0, size = 0;
    for (int64_t i = 0; i < gm_tensor_count(expected); i++) {
        error += (gm_get(got, i) - gm_get(expected, i)) * (gm_get(got, i) - gm_get(expected, i));
        size += gm_get(expected, i) * gm_get(expected, i);
    }
    ck_assert_msg(sqrt(error / size) < 1e-5, "%s %s: relative error %.3g", name, what, sqrt(error / size));
}

static void run(const char *name, gm_tensor *a, gm_tensor *b, const int64_t *pads, const int *wishes)
{
    gm_attribute list[] = {gm_attribute_ints("kernel_shape", (int64_t[]){5, 5}, 2), gm_attribute_ints("pads", pads, 4)};
    gm_graph *graph = gm_graph_create(check.pool, NULL, "exact");
    gm_tensor *exact[2], *values;
    gm_value_id in[2], out;
    const gm_tensor *inputs[2];
    lower_check_node(&check, name, (gm_tensor *[]){a, b}, 2, list, 2, 1, wishes, 1e-3);
    ck_assert(check.lowered);
    for (int i = 0; i < 2; i++) { /* again in double, so that only the fast kernel's rounding remains */
        const gm_tensor *from = i ? b : a;
        exact[i] = gm_tensor_create(check.pool, GM_DOUBLE, from->rank, from->dims);
        for (int64_t k = 0; k < gm_tensor_count(from); k++)
            gm_set(exact[i], k, gm_get(from, k));
        in[i] = gm_graph_add_input(graph, i ? "b" : "a", GM_DOUBLE, from->rank, from->dims, false);
        inputs[i] = exact[i];
    }
    out = gm_emit(graph, name, in, 2, list, 2);
    ck_assert_msg(graph->status == GM_OK, "%s", gm_context_message(check.context));
    ck_assert_int_eq(gm_graph_interpret(graph, check.pool, inputs, NULL, 0, 0, &values), GM_OK);
    small_error(name, "", &check.out[0], &values[out]);
}

static const int64_t pads[][4] = {{2, 2, 2, 2}, {0, 0, 0, 0}, {1, 3, 2, 0}};
static const int blocks[] = {LOWER_PLAIN, 8, 16, LOWER_LAST};

START_TEST(forward_data_and_weights_agree_with_plain_loops)
{
    const int64_t *pad = pads[_i % 3];
    int block = blocks[_i % 4];
    int64_t n = 6, c = 64, m = 80, h = 9, w = 11, oh = h + pad[0] + pad[2] - 4, ow = w + pad[1] + pad[3] - 4;
    gm_tensor *x = lower_random(&check, GM_FLOAT, 4, (int64_t[]){n, c, h, w}, -1, 1);
    gm_tensor *weights = lower_random(&check, GM_FLOAT, 4, (int64_t[]){m, c, 5, 5}, -1, 1);
    gm_tensor *dy = lower_random(&check, GM_FLOAT, 4, (int64_t[]){n, m, oh, ow}, -1, 1);
    run("Conv", x, weights, pad, (int[]){block, LOWER_ANY});
    run("ConvTranspose", dy, weights, pad, (int[]){block, LOWER_ANY});
    run("gmodel.ConvWeightGrad", x, dy, pad, (int[]){block, block});
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("winograd");
    TCase *tests = tcase_create("kernels");
    SRunner *runner;
    int failed;
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, forward_data_and_weights_agree_with_plain_loops, 0, 4);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
