/* Winograd's convolutions of every kernel and stride against the plain loops in double arithmetic. */
#include "graph/operator.h"
#include "tests/lower_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    if (getenv("GMODEL_SHOW_ERRORS"))
        printf("%s %s: relative error %.3g\n", name, what, sqrt(error / size));
    ck_assert_msg(sqrt(error / size) < 1e-5, "%s %s: relative error %.3g", name, what, sqrt(error / size));
}

static void run(const char *name, const int64_t *kernel, const int64_t *stride, const int64_t *pads,
                const int64_t *more, gm_tensor **inputs, size_t count, const int *wishes, size_t outputs)
{
    gm_attribute list[] = {gm_attribute_ints("kernel_shape", kernel, 2), gm_attribute_ints("strides", stride, 2),
                           gm_attribute_ints("pads", pads, 4), gm_attribute_ints("output_padding", more, 2)};
    size_t attributes = strcmp(name, "ConvTranspose") == 0 ? 4 : 3;
    gm_graph *graph = gm_graph_create(check.pool, NULL, "exact");
    gm_tensor *exact[3], *values;
    gm_value_id in[3], out[2];
    const gm_tensor *fed[3];
    char what[80];
    snprintf(what, sizeof what, "kernel %d stride %d", (int)kernel[0], (int)stride[0]);
    lower_check_node(&check, name, inputs, count, list, attributes, outputs, wishes, 1e-3);
    ck_assert(check.lowered);
    for (size_t i = 0; i < count; i++) { /* again in double, so that only the fast kernel's rounding remains */
        const gm_tensor *from = inputs[i];
        exact[i] = gm_tensor_create(check.pool, GM_DOUBLE, from->rank, from->dims);
        for (int64_t k = 0; k < gm_tensor_count(from); k++)
            gm_set(exact[i], k, gm_get(from, k));
        in[i] = gm_graph_add_input(graph, i ? i == 1 ? "b" : "c" : "a", GM_DOUBLE, from->rank, from->dims, false);
        fed[i] = exact[i];
    }
    gm_emit_many(graph, name, in, count, list, attributes, out, outputs);
    ck_assert_msg(graph->status == GM_OK, "%s", gm_context_message(check.context));
    ck_assert_int_eq(gm_graph_interpret(graph, check.pool, fed, NULL, 0, 0, &values), GM_OK);
    for (size_t o = 0; o < outputs; o++)
        small_error(name, what, &check.out[o], &values[out[o]]);
}

static const int64_t kernels[][2] = {{5, 1}, {5, 2}, {4, 2}, {3, 1}}; /* and strides */
static const int64_t pads[][4] = {{2, 2, 2, 2}, {0, 0, 0, 0}, {1, 3, 2, 0}};
static const int blocks[] = {LOWER_PLAIN, 8, 16, LOWER_LAST};

START_TEST(forward_data_and_weights_agree_with_plain_loops)
{
    const int64_t *pad = pads[_i % 3], k = kernels[_i / 4][0], s = kernels[_i / 4][1];
    int block = blocks[_i % 4];
    int64_t n = 5, c = 32, m = 64, oh = 7,
            ow = 9; /* the big side: two rows and a column that no window reaches, if any */
    int64_t h = (oh - 1) * s + k - pad[0] - pad[2] + s / 2, w = (ow - 1) * s + k - pad[1] - pad[3];
    const int64_t kernel[] = {k, k}, stride[] = {s, s}, more[] = {s / 2, 0};
    gm_tensor *x = lower_random(&check, GM_FLOAT, 4, (int64_t[]){n, c, h, w}, -1, 1);
    gm_tensor *weights = lower_random(&check, GM_FLOAT, 4, (int64_t[]){m, c, k, k}, -1, 1);
    gm_tensor *dy = lower_random(&check, GM_FLOAT, 4, (int64_t[]){n, m, oh, ow}, -1, 1);
    gm_tensor *bias_m = lower_random(&check, GM_FLOAT, 1, &m, -1, 1),
              *bias_c = lower_random(&check, GM_FLOAT, 1, &c, -1, 1);
    int wishes[] = {block, LOWER_ANY, LOWER_PLAIN};
    for (int plain = 0; plain < 2; plain++) { /* as whoever reads the result wants it */
        check.out_plain = plain;
        run("Conv", kernel, stride, pad, more, (gm_tensor *[]){x, weights, bias_m}, 2 + _i % 2, wishes, 1);
        ck_assert_int_eq(check.out_layout[0].block, plain ? 1 : 16);
    }
    run("ConvTranspose", kernel, stride, pad, more, (gm_tensor *[]){dy, weights, bias_c}, 2 + _i % 2, wishes, 1);
    run("gmodel.ConvWeightGrad", kernel, stride, pad, more, (gm_tensor *[]){x, dy}, 2, (int[]){block, block},
        1 + _i % 2);
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
    tcase_add_loop_test(tests, forward_data_and_weights_agree_with_plain_loops, 0, 16);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
