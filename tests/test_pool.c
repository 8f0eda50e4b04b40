/* MaxPool, AveragePool and their gradients: shapes, known numbers, fast kernels against plain loops. */
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

/* A random problem of _i + 1 spatial axes; equal numbers are frequent, so that the first maximum matters. */
START_TEST(fast_kernels_equal_plain_loops)
{
    static const int64_t channels[] = {1, 3, 8, 16, 64, 80};
    static const int wishes[] = {LOWER_PLAIN, 8, 16, LOWER_LAST};
    int spatial = _i + 1, rank = spatial + 2;
    check.draws = (uint64_t)_i * 77;
    for (int round = 0; round < 24; round++) {
        int64_t kernel[3], strides[3], dilations[3], pads[6], dims[5];
        int wish[2] = {wishes[round % 4], wishes[round / 4 % 4]};
        dims[0] = lower_draw_int(&check, 1, 3);
        dims[1] = channels[lower_draw_int(&check, 0, 5)];
        for (int i = 0; i < spatial; i++) {
            kernel[i] = lower_draw_int(&check, 1, 3);
            strides[i] = lower_draw_int(&check, 1, 3);
            dilations[i] = lower_draw_int(&check, 1, 2);
            pads[i] = lower_draw_int(&check, 0, kernel[i] - 1);
            pads[i + spatial] = lower_draw_int(&check, 0, kernel[i] - 1);
            dims[2 + i] = lower_draw_int(&check, (kernel[i] - 1) * dilations[i] + 1, 11);
        }
        gm_attribute list[7] = {gm_attribute_ints("kernel_shape", kernel, (size_t)spatial),
                                gm_attribute_ints("strides", strides, (size_t)spatial),
                                gm_attribute_ints("pads", pads, 2 * (size_t)spatial),
                                gm_attribute_ints("dilations", dilations, (size_t)spatial),
                                gm_attribute_int("ceil_mode", round % 2),
                                gm_attribute_int("count_include_pad", round / 2 % 2),
                                gm_attribute_ints("input_shape", dims + 2, (size_t)spatial)};
        gm_tensor *x = lower_random(&check, GM_FLOAT, rank, dims, -2, 2), *dy;
        for (int64_t i = 0; i < gm_tensor_count(x); i++)
            gm_set(x, i, floor(gm_get(x, i)));
        lower_check_node(&check, "MaxPool", (gm_tensor *[]){x}, 1, list, 5, 1, wish, 0);
        ck_assert(check.lowered);
        ck_assert(gm_layout_equal(check.out_layout[0], lower_layout_of(x, wish[0])));
        lower_check_node(&check, "AveragePool", (gm_tensor *[]){x}, 1, list, 6, 1, wish, 1e-6);
        ck_assert(check.lowered);
        dy = lower_random(&check, GM_FLOAT, rank, check.out[0].dims, -1, 1);
        lower_check_node(&check, "gmodel.MaxPoolGrad", (gm_tensor *[]){x, dy}, 2, list, 5, 1, wish, 1e-6);
        ck_assert(check.lowered);
        lower_check_node(&check, "gmodel.AveragePoolGrad", (gm_tensor *[]){dy}, 1, list, 7, 1, wish, 1e-6);
        ck_assert(check.lowered);
    }
}
END_TEST

static void expect(size_t output, const double *numbers, int64_t count)
{
    ck_assert_int_eq(gm_tensor_count(&check.out[output]), count);
    for (int64_t i = 0; i < count; i++)
        ck_assert_double_eq_tol(gm_get(&check.out[output], i), numbers[i], 1e-6);
}

START_TEST(indices_follow_the_storage_order)
{
    int64_t kernel[2] = {2, 2}, strides[2] = {2, 2};
    float numbers[50];
    gm_tensor x = {GM_FLOAT, 4, {2, 1, 5, 5}, numbers};
    gm_attribute list[3] = {gm_attribute_ints("kernel_shape", kernel, 2), gm_attribute_ints("strides", strides, 2),
                            gm_attribute_int("storage_order", 1)};
    for (int i = 0; i < 50; i++)
        numbers[i] = (float)(i % 25 + 1);
    lower_check_node(&check, "MaxPool", (gm_tensor *[]){&x}, 1, list, 2, 2, NULL, 0);
    expect(0, (double[]){7, 9, 17, 19, 7, 9, 17, 19}, 8);
    expect(1, (double[]){6, 8, 16, 18, 31, 33, 41, 43}, 8);
    lower_check_node(&check, "MaxPool", (gm_tensor *[]){&x}, 1, list, 3, 2, NULL, 0);
    expect(1, (double[]){6, 16, 8, 18, 31, 41, 33, 43}, 8);
}
END_TEST

START_TEST(averages_count_what_they_should)
{
    int64_t kernel[2] = {3, 3}, pads[4] = {1, 1, 1, 1}, strides[2] = {2, 2};
    float numbers[16];
    gm_tensor x = {GM_FLOAT, 4, {1, 1, 4, 4}, numbers};
    gm_attribute list[5] = {gm_attribute_ints("kernel_shape", kernel, 2), gm_attribute_ints("strides", strides, 2),
                            gm_attribute_ints("pads", pads, 4), gm_attribute_int("count_include_pad", 0),
                            gm_attribute_int("ceil_mode", 0)};
    for (int i = 0; i < 16; i++)
        numbers[i] = 1.0f;
    lower_check_node(&check, "AveragePool", (gm_tensor *[]){&x}, 1, list, 5, 1, NULL, 1e-6);
    expect(0, (double[]){1, 1, 1, 1}, 4);
    list[3].i = 1;
    lower_check_node(&check, "AveragePool", (gm_tensor *[]){&x}, 1, list, 5, 1, NULL, 1e-6);
    expect(0, (double[]){4.0 / 9, 6.0 / 9, 6.0 / 9, 1}, 4);
    list[4].i = 1; /* the third window of an axis begins at 3 and hangs over: 2 of 3 positions are data or pads */
    lower_check_node(&check, "AveragePool", (gm_tensor *[]){&x}, 1, list, 5, 1, NULL, 1e-6);
    expect(0, (double[]){4.0 / 9, 6.0 / 9, 2.0 / 6, 6.0 / 9, 1, 3.0 / 6, 2.0 / 6, 3.0 / 6, 1.0 / 4}, 9);
}
END_TEST

START_TEST(windows_beyond_the_data_do_not_count)
{
    int64_t kernel[1] = {1}, strides[1] = {3}, size = 0;
    float numbers[5] = {1, 2, 3, 4, 5};
    gm_tensor x = {GM_FLOAT, 3, {1, 1, 5}, numbers};
    gm_attribute list[3] = {gm_attribute_ints("kernel_shape", kernel, 1), gm_attribute_ints("strides", strides, 1),
                            gm_attribute_int("ceil_mode", 1)};
    lower_check_node(&check, "MaxPool", (gm_tensor *[]){&x}, 1, list, 3, 1, NULL, 0);
    expect(0, (double[]){1, 4}, 2);
    list[2] = gm_attribute_string("auto_pad", "SAME_LOWER");
    kernel[0] = 4;
    size = 2;
    lower_check_node(&check, "MaxPool", (gm_tensor *[]){&x}, 1, list, 3, 1, NULL, 0);
    expect(0, (double[]){3, 5}, size);
}
END_TEST

START_TEST(the_first_maximum_takes_the_gradient)
{
    int64_t kernel[2] = {2, 2};
    float numbers[9] = {1, 5, 5, 5, 5, 0, 5, 0, 0}, ones[4] = {1, 10, 100, 1000};
    gm_tensor x = {GM_FLOAT, 4, {1, 1, 3, 3}, numbers}, dy = {GM_FLOAT, 4, {1, 1, 2, 2}, ones};
    gm_attribute list[1] = {gm_attribute_ints("kernel_shape", kernel, 2)};
    lower_check_node(&check, "gmodel.MaxPoolGrad", (gm_tensor *[]){&x, &dy}, 2, list, 1, 1, NULL, 0);
    expect(0, (double[]){0, 11, 0, 100, 1000, 0, 0, 0, 0}, 9);
}
END_TEST

START_TEST(a_missing_kernel_shape_is_named)
{
    gm_graph *graph = gm_graph_create(check.pool, NULL, "shape");
    gm_value_id x = gm_graph_add_input(graph, "x", GM_FLOAT, 4, (gm_dim[]){1, 1, 4, 4}, false);
    gm_emit1(graph, "MaxPool", x);
    ck_assert_int_eq(graph->status, GM_ERROR_MODEL);
    ck_assert_ptr_nonnull(strstr(gm_context_message(check.context), "kernel_shape"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool");
    TCase *kernels = tcase_create("kernels");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(kernels, setup, teardown);
    tcase_add_loop_test(kernels, fast_kernels_equal_plain_loops, 0, 3);
    tcase_add_test(kernels, indices_follow_the_storage_order);
    tcase_add_test(kernels, averages_count_what_they_should);
    tcase_add_test(kernels, windows_beyond_the_data_do_not_count);
    tcase_add_test(kernels, the_first_maximum_takes_the_gradient);
    tcase_add_test(kernels, a_missing_kernel_shape_is_named);
    suite_add_tcase(suite, kernels);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
