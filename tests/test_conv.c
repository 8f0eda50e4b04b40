/* Conv, ConvTranspose, gmodel.ConvWeightGrad: shapes, fast kernels against plain loops, adjointness, gradients. */
#include "graph/operator.h"
#include "tests/gradcheck.h"
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

/* One convolution problem, drawn at random. */
typedef struct problem {
    int spatial;
    int64_t batch, group, c, m;
    int64_t big[5], weights[5], small[5];
    int64_t stride[3], dilation[3], pads[6], output_padding[3];
    gm_attribute list[6];
} problem;

static void finish_problem(problem *p)
{
    for (int i = 0; i < p->spatial; i++) {
        int64_t room =
            p->big[2 + i] + p->pads[i] + p->pads[i + p->spatial] - (p->weights[2 + i] - 1) * p->dilation[i] - 1;
        p->small[2 + i] = room / p->stride[i] + 1;
        p->output_padding[i] = room % p->stride[i];
    }
    p->big[0] = p->small[0] = p->batch;
    p->big[1] = p->c;
    p->small[1] = p->weights[0] = p->m;
    p->weights[1] = p->c / p->group;
    p->list[0] = gm_attribute_ints("kernel_shape", p->weights + 2, (size_t)p->spatial);
    p->list[1] = gm_attribute_ints("strides", p->stride, (size_t)p->spatial);
    p->list[2] = gm_attribute_ints("pads", p->pads, 2 * (size_t)p->spatial);
    p->list[3] = gm_attribute_ints("dilations", p->dilation, (size_t)p->spatial);
    p->list[4] = gm_attribute_int("group", p->group);
    p->list[5] = gm_attribute_ints("output_padding", p->output_padding, (size_t)p->spatial);
}

static void draw_problem(problem *p, int spatial)
{
    static const int64_t channels[] = {1, 3, 8, 16, 64, 20};
    memset(p, 0, sizeof *p);
    p->spatial = spatial;
    p->batch = lower_draw_int(&check, 1, 3);
    p->c = channels[lower_draw_int(&check, 0, 5)];
    p->m = channels[lower_draw_int(&check, 0, 5)];
    p->group = 1;
    if (lower_draw(&check, 0, 1) < 0.3) {
        p->group = p->c % 4 == 0 && p->m % 4 == 0 ? 4 : p->c == p->m ? p->c : 1;
    }
    for (int i = 0; i < spatial; i++) {
        p->weights[2 + i] = lower_draw_int(&check, 1, spatial == 3 ? 3 : 5);
        p->stride[i] = lower_draw_int(&check, 1, 3);
        p->dilation[i] = lower_draw(&check, 0, 1) < 0.3 ? 2 : 1;
        p->pads[i] = lower_draw_int(&check, 0, p->weights[2 + i] - 1);
        p->pads[i + spatial] = lower_draw_int(&check, 0, p->weights[2 + i] - 1);
        p->big[2 + i] = lower_draw_int(&check, (p->weights[2 + i] - 1) * p->dilation[i] + 1, spatial == 3 ? 8 : 14);
    }
    finish_problem(p);
}

static void check_problem(problem *p, int wish, int *lowered)
{
    double tolerance = p->batch > 3 ? 2e-4 : 2e-5; /* long sums */
    int rank = p->spatial + 2;
    gm_tensor *x = lower_random(&check, GM_FLOAT, rank, p->big, -1, 1);
    gm_tensor *w = lower_random(&check, GM_FLOAT, rank, p->weights, -1, 1);
    gm_tensor *y = lower_random(&check, GM_FLOAT, rank, p->small, -1, 1);
    gm_tensor *b = lower_random(&check, GM_FLOAT, 1, &p->m, -1, 1);
    gm_tensor *c = lower_random(&check, GM_FLOAT, 1, &p->c, -1, 1);
    int wishes[3] = {wish, LOWER_ANY, LOWER_ANY}, both[2] = {wish, wish};
    lower_check_node(&check, "Conv", (gm_tensor *[]){x, w}, 2, p->list, 5, 1, wishes, tolerance);
    *lowered += check.lowered;
    lower_check_node(&check, "Conv", (gm_tensor *[]){x, w, b}, 3, p->list, 5, 1, wishes, tolerance);
    *lowered += check.lowered;
    lower_check_node(&check, "ConvTranspose", (gm_tensor *[]){y, w}, 2, p->list, 6, 1, wishes, tolerance);
    *lowered += check.lowered;
    lower_check_node(&check, "ConvTranspose", (gm_tensor *[]){y, w, c}, 3, p->list, 6, 1, wishes, tolerance);
    *lowered += check.lowered;
    lower_check_node(&check, "gmodel.ConvWeightGrad", (gm_tensor *[]){x, y}, 2, p->list, 5, 1, both, tolerance);
    *lowered += check.lowered;
    lower_check_node(&check, "gmodel.ConvWeightGrad", (gm_tensor *[]){x, y}, 2, p->list, 5, 2, both, tolerance);
    *lowered += check.lowered;
}

START_TEST(fast_kernels_equal_plain_loops)
{
    static const int wishes[] = {LOWER_PLAIN, 8, 16, LOWER_LAST};
    int lowered = 0, rounds = 24;
    check.draws = (uint64_t)_i * 1000 + 7;
    for (int i = 0; i < rounds; i++) {
        problem p;
        draw_problem(&p, _i + 1);
        check_problem(&p, wishes[i % 4], &lowered);
    }
    ck_assert_int_eq(lowered, rounds * 6);
}
END_TEST

START_TEST(dcgan_layers_need_no_plain_weights)
{
    problem p = {.spatial = 2,
                 .batch = 4,
                 .group = 1,
                 .c = 64,
                 .m = 128,
                 .stride = {2, 2},
                 .dilation = {1, 1},
                 .pads = {1, 1, 2, 2}};
    int lowered = 0;
    p.big[2] = p.big[3] = 14;
    p.weights[2] = p.weights[3] = 5;
    finish_problem(&p);
    check_problem(&p, 16, &lowered);
    ck_assert_int_eq(lowered, 6);
    p.c = 1;
    p.m = 64;
    p.big[2] = p.big[3] = 28;
    finish_problem(&p);
    check_problem(&p, LOWER_PLAIN, &lowered);
    ck_assert_int_eq(lowered, 12);
}
END_TEST

/* Emits one node over inputs of the given shapes; returns the output's dims through `dims`, or the status. */
static gm_status shape_of(const char *op, int rank, const int64_t *x, const int64_t *w, const gm_attribute *list,
                          size_t count, gm_dim *dims)
{
    gm_graph *graph = gm_graph_create(check.pool, NULL, "shape");
    gm_value_id a = gm_graph_add_input(graph, "x", GM_FLOAT, rank, x, false);
    gm_value_id b = gm_graph_add_input(graph, "w", GM_FLOAT, rank, w, false);
    gm_value_id y = gm_emit(graph, op, (gm_value_id[]){a, b}, 2, list, count);
    if (graph->status == GM_OK)
        memcpy(dims, gm_value_of(graph, y)->dims, (size_t)rank * sizeof *dims);
    return graph->status;
}

START_TEST(auto_pad_gives_the_sizes_of_onnx)
{
    int64_t x[4] = {1, 1, 5, 6}, w[4] = {1, 1, 3, 3}, strides[2] = {2, 2}, shape[2] = {10, 8}, padding[2] = {1, 1};
    gm_attribute list[2] = {gm_attribute_ints("strides", strides, 2), gm_attribute_string("auto_pad", "SAME_UPPER")};
    gm_dim dims[4];
    ck_assert_int_eq(shape_of("Conv", 4, x, w, list, 2, dims), GM_OK);
    ck_assert_int_eq(dims[2], 3);
    ck_assert_int_eq(dims[3], 3);
    ck_assert_int_eq(shape_of("ConvTranspose", 4, x, w, list, 2, dims), GM_OK);
    ck_assert_int_eq(dims[2], 10);
    ck_assert_int_eq(dims[3], 12);
    list[1] = gm_attribute_string("auto_pad", "VALID");
    ck_assert_int_eq(shape_of("Conv", 4, x, w, list, 2, dims), GM_OK);
    ck_assert_int_eq(dims[2], 2);
    ck_assert_int_eq(dims[3], 2);
    list[1] = gm_attribute_ints("output_shape", shape, 2);
    ck_assert_int_eq(shape_of("ConvTranspose", 4, x, w, list, 2, dims), GM_OK);
    ck_assert_int_eq(dims[2], 10);
    ck_assert_int_eq(dims[3], 8);
    list[1] = gm_attribute_ints("output_padding", padding, 2);
    ck_assert_int_eq(shape_of("ConvTranspose", 4, x, w, list, 2, dims), GM_OK);
    ck_assert_int_eq(dims[2], 12);
    ck_assert_int_eq(dims[3], 14);
}
END_TEST

START_TEST(wrong_shapes_are_named)
{
    int64_t x[4] = {1, 4, 5, 5}, w[4] = {2, 3, 3, 3}, large[4] = {2, 4, 7, 7}, pads[3] = {0, 0, 0};
    gm_attribute list[1] = {gm_attribute_ints("pads", pads, 3)};
    gm_dim dims[4];
    ck_assert_int_eq(shape_of("Conv", 4, x, w, NULL, 0, dims), GM_ERROR_MODEL);
    ck_assert_ptr_nonnull(strstr(gm_context_message(check.context), "4 channels"));
    gm_clear_message(check.context);
    ck_assert_int_eq(shape_of("Conv", 4, x, large, NULL, 0, dims), GM_ERROR_MODEL);
    ck_assert_ptr_nonnull(strstr(gm_context_message(check.context), "7 positions"));
    gm_clear_message(check.context);
    w[1] = 4;
    ck_assert_int_eq(shape_of("Conv", 4, x, w, list, 1, dims), GM_ERROR_MODEL);
    ck_assert_ptr_nonnull(strstr(gm_context_message(check.context), "pads"));
    gm_clear_message(check.context);
    ck_assert_int_eq(shape_of("ConvTranspose", 4, x, w, NULL, 0, dims), GM_ERROR_MODEL);
    ck_assert_ptr_nonnull(strstr(gm_context_message(check.context), "do not fit"));
}
END_TEST

static gm_tensor run_reference(const char *op, gm_tensor *const *in, size_t count, const gm_attribute *list,
                               size_t attributes)
{
    gm_graph *graph = gm_graph_create(check.pool, NULL, "reference");
    gm_value_id ids[3], out;
    gm_tensor values[3], y[1];
    for (size_t i = 0; i < count; i++) {
        values[i] = *in[i];
        ids[i] = gm_graph_add_input(graph, "in", in[i]->type, in[i]->rank, in[i]->dims, false);
    }
    out = gm_emit(graph, op, ids, count, list, attributes);
    ck_assert_msg(graph->status == GM_OK, "%s", gm_context_message(check.context));
    ck_assert_int_eq(
        gm_node_interpret(graph, &graph->nodes[gm_value_of(graph, out)->node], check.pool, values, y, 0, 0), GM_OK);
    return y[0];
}

static double inner_product(const gm_tensor *a, const gm_tensor *b)
{
    double sum = 0;
    ck_assert(gm_tensor_same_shape(a, b));
    for (int64_t i = 0; i < gm_tensor_count(a); i++)
        sum += gm_get(a, i) * gm_get(b, i);
    return sum;
}

/* <Conv(X, W), V> = <X, ConvTranspose(V, W)> = <W, ConvWeightGrad(X, V)>, in double */
START_TEST(the_three_are_adjoint)
{
    for (int i = 0; i < 12; i++) {
        problem p;
        draw_problem(&p, i % 3 + 1);
        int rank = p.spatial + 2;
        gm_tensor *x = lower_random(&check, GM_DOUBLE, rank, p.big, -1, 1);
        gm_tensor *w = lower_random(&check, GM_DOUBLE, rank, p.weights, -1, 1);
        gm_tensor *v = lower_random(&check, GM_DOUBLE, rank, p.small, -1, 1);
        gm_tensor y = run_reference("Conv", (gm_tensor *[]){x, w}, 2, p.list, 5);
        gm_tensor t = run_reference("ConvTranspose", (gm_tensor *[]){v, w}, 2, p.list, 6);
        gm_tensor g = run_reference("gmodel.ConvWeightGrad", (gm_tensor *[]){x, v}, 2, p.list, 5);
        double expected = inner_product(&y, v);
        ck_assert_double_eq_tol(inner_product(x, &t), expected, 1e-9 * (1 + fabs(expected)));
        ck_assert_double_eq_tol(inner_product(w, &g), expected, 1e-9 * (1 + fabs(expected)));
    }
}
END_TEST

/* First and second order, where pads must be worked out or the far end is not covered. */
static const gradcheck_case gradients[] = {
    {.op = "Conv",
     .inputs = {"Nx2x5x6", "2x2x3x3"},
     .attributes = {GRAD_INTS("strides", 2, 2), GRAD_STRING("auto_pad", "SAME_UPPER")}},
    {.op = "Conv",
     .inputs = {"Nx2x5x6", "2x2x2x3", "2"},
     .attributes = {GRAD_INTS("strides", 3, 2), GRAD_STRING("auto_pad", "SAME_LOWER")}},
    {.op = "Conv",
     .inputs = {"Nx1x7", "2x1x2"},
     .attributes = {GRAD_INTS("strides", 3), GRAD_STRING("auto_pad", "VALID")}},
    {.op = "Conv",
     .inputs = {"1x2x3x3x3", "2x1x2x2x2"},
     .attributes = {GRAD_INT("group", 2), GRAD_INTS("pads", 1, 0, 0, 0, 0, 1)}},
    {.op = "ConvTranspose",
     .inputs = {"Nx2x2x2", "2x1x5x5"},
     .attributes = {GRAD_INTS("strides", 2, 2), GRAD_STRING("auto_pad", "SAME_UPPER")}},
    {.op = "ConvTranspose",
     .inputs = {"Nx2x3", "2x2x1"},
     .attributes = {GRAD_INTS("strides", 2), GRAD_STRING("auto_pad", "SAME_UPPER")}},
    {.op = "ConvTranspose",
     .inputs = {"Nx2x3", "2x1x3", "2"},
     .attributes = {GRAD_INT("group", 2), GRAD_INTS("strides", 2), GRAD_INTS("output_shape", 6)}},
    {.op = "ConvTranspose",
     .inputs = {"Nx1x3", "1x2x3"},
     .attributes = {GRAD_INTS("dilations", 3), GRAD_INTS("output_padding", 2), GRAD_INTS("pads", 1, 2)}},
    {.op = "gmodel.ConvWeightGrad",
     .inputs = {"Nx2x6", "Nx4x2"},
     .attributes = {GRAD_INTS("kernel_shape", 3), GRAD_INTS("strides", 2), GRAD_INT("group", 2)}},
};

START_TEST(gradients_agree_with_differences)
{
    gradcheck(&gradients[_i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("conv");
    TCase *kernels = tcase_create("kernels");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(kernels, setup, teardown);
    tcase_set_timeout(kernels, 60);
    tcase_add_loop_test(kernels, fast_kernels_equal_plain_loops, 0, 3);
    tcase_add_test(kernels, dcgan_layers_need_no_plain_weights);
    tcase_add_test(kernels, auto_pad_gives_the_sizes_of_onnx);
    tcase_add_test(kernels, wrong_shapes_are_named);
    tcase_add_test(kernels, the_three_are_adjoint);
    tcase_add_loop_test(kernels, gradients_agree_with_differences, 0, (int)GM_COUNT(gradients));
    suite_add_tcase(suite, kernels);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
