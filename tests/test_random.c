/* Random draws: known values of the generator, any cut of a draw, layouts, threads, seeds, Dropout and RandomChoice. */
#include <stdlib.h>

#include "tests/lower_check.h"

static lower_check check;

static void setup(void)
{
    lower_check_begin(&check);
}

static void teardown(void)
{
    lower_check_end(&check);
}

/* The known-answer vectors that Salmon et al. publish with the generator: counter, key, result. */
START_TEST(philox_known_answers)
{
    uint32_t words[4];
    gm_philox(0, 0, 0, words);
    ck_assert_uint_eq(words[0], 0x6627e8d5u);
    ck_assert_uint_eq(words[1], 0xe169c58du);
    ck_assert_uint_eq(words[2], 0xbc57ac4cu);
    ck_assert_uint_eq(words[3], 0x9b00dbd8u);
    gm_philox(UINT64_MAX, UINT64_MAX, UINT64_MAX, words);
    ck_assert_uint_eq(words[0], 0x408f276du);
    ck_assert_uint_eq(words[1], 0x41c83b0eu);
    ck_assert_uint_eq(words[2], 0xa20bc7c6u);
    ck_assert_uint_eq(words[3], 0x6d5451fdu);
    /* counter 243f6a88 85a308d3 13198a2e 03707344, key a4093822 299f31d0 */
    gm_philox(0x299f31d0a4093822u, 0x0370734413198a2eu, 0x85a308d3243f6a88u, words);
    ck_assert_uint_eq(words[0], 0xd16cfe09u);
    ck_assert_uint_eq(words[1], 0x94fdccebu);
    ck_assert_uint_eq(words[2], 0x5001e420u);
    ck_assert_uint_eq(words[3], 0x24126ea1u);
}
END_TEST

START_TEST(a_draw_may_be_cut_anywhere)
{
    float whole[300], part[300];
    for (int kind = 0; kind < 2; kind++) {
        void (*draw)(uint64_t, uint64_t, uint64_t, size_t, float *) = kind ? gm_normal : gm_uniform;
        draw(77, 5, 0, 300, whole);
        for (int round = 0; round < 300; round++) {
            size_t first = (size_t)lower_draw_int(&check, 0, 299);
            size_t count = (size_t)lower_draw_int(&check, 0, 300 - (int64_t)first);
            draw(77, 5, first, count, part);
            ck_assert(memcmp(part, whole + first, count * sizeof *part) == 0);
        }
        for (uint64_t i = 0; i < 300; i++) {
            double exact = kind ? gm_normal_at(77, 5, i) : gm_uniform_at(77, 5, i);
            ck_assert_msg(fabs((double)whole[i] - exact) <= (kind ? 1e-6 : 0), "element %d: %.9g, exactly %.9g", (int)i,
                          (double)whole[i], exact);
        }
    }
}
END_TEST

START_TEST(moments_are_right)
{
    enum { COUNT = 200000 };
    gm_tensor *x = gm_tensor_create(check.pool, GM_FLOAT, 1, (int64_t[]){COUNT});
    const float *value = x->data;
    for (int kind = 0; kind < 2; kind++) {
        double sum = 0, squares = 0, low = INFINITY, high = -INFINITY;
        (kind ? gm_normal : gm_uniform)(12345, 0, 0, COUNT, x->data);
        for (size_t i = 0; i < COUNT; i++) {
            sum += (double)value[i];
            squares += (double)value[i] * (double)value[i];
            low = fmin(low, (double)value[i]);
            high = fmax(high, (double)value[i]);
        }
        ck_assert_double_eq_tol(sum / COUNT, kind ? 0 : 0.5, 0.01);
        ck_assert_double_eq_tol(squares / COUNT, kind ? 1 : 1.0 / 3, 0.01);
        ck_assert(kind ? low < -4 && high > 4 && high < 5.8 : low >= 0 && high < 1);
    }
}
END_TEST

static gm_tensor like(int rank, const int64_t *dims)
{
    return *lower_random(&check, GM_FLOAT, rank, dims, -1, 1);
}

/* The kernels give what the reference gives, whatever the layout of the tensor they are shaped like. */
START_TEST(kernels_draw_by_row_major_index)
{
    static const int64_t shapes[][4] = {{2, 32, 7, 7}, {3, 16, 1, 5}, {1, 48, 17, 23}, {2, 3, 5, 5}};
    static const int wishes[] = {LOWER_PLAIN, 8, 16, LOWER_LAST, LOWER_ANY};
    gm_attribute uniform[] = {gm_attribute_float("low", -2), gm_attribute_float("high", 3)};
    gm_attribute normal[] = {gm_attribute_float("mean", 1), gm_attribute_float("scale", 0.5)};
    gm_tensor *ratio = gm_tensor_create(check.pool, GM_FLOAT, 0, NULL);
    gm_set(ratio, 0, 0.3);
    for (size_t k = 0; k < GM_COUNT(shapes); k++)
        for (size_t w = 0; w < GM_COUNT(wishes); w++) {
            gm_tensor x = like(4, shapes[k]);
            int wish[2] = {wishes[w], LOWER_PLAIN};
            lower_check_node(&check, "gmodel.RandomMask", (gm_tensor *[]){&x, ratio}, 2, NULL, 0, 1, wish, 0);
            ck_assert(check.lowered);
            if (wishes[w] == 8 && shapes[k][1] % 8 == 0)
                ck_assert_int_eq(check.out_layout[0].block, 8);
            lower_check_node(&check, "RandomUniformLike", (gm_tensor *[]){&x}, 1, uniform, 2, 1, wish, 0);
            lower_check_node(&check, "RandomNormalLike", (gm_tensor *[]){&x}, 1, normal, 2, 1, wish, 0);
            ck_assert(check.lowered);
        }
}
END_TEST

START_TEST(any_number_of_threads_draws_the_same)
{
    gm_attribute shape = gm_attribute_ints("shape", (int64_t[]){100, 333}, 2);
    float *first = NULL;
    for (check.threads = 1; check.threads <= 4; check.threads++) {
        lower_check_node(&check, "RandomNormal", NULL, 0, &shape, 1, 1, NULL, 0);
        ck_assert(check.lowered);
        first = first ? first : check.out[0].data;
        ck_assert(memcmp(first, check.out[0].data, gm_tensor_bytes(&check.out[0])) == 0);
    }
}
END_TEST

START_TEST(keys_of_nodes)
{
    gm_attribute seed = gm_attribute_float("seed", 7);
    gm_node node = {.path = "step/z.RandomNormal"};
    gm_draw draw = gm_draw_of(&node);
    uint64_t run = 9;
    ck_assert(gm_draw_key(&draw, 3, true, &run) == (3 ^ gm_hash64("step/z.RandomNormal")) && run == 9);
    node.attributes = &seed;
    node.attribute_count = 1;
    draw = gm_draw_of(&node);
    ck_assert(gm_draw_key(&draw, 3, false, &run) == (7 ^ gm_hash64("step/z.RandomNormal")) && run == 0);
    run = 9;
    ck_assert(gm_draw_key(&draw, 3, true, &run) == (3 ^ gm_hash64("step/z.RandomNormal")) && run == 0);
}
END_TEST

/* --- Dropout ------------------------------------------------------------------------------------------------------------- */

typedef struct dropout_result {
    const float *x, *y, *dx;
    const uint8_t *keep;
    int64_t count, kept;
} dropout_result;

static dropout_result drop(double ratio, bool training)
{
    gm_tensor *x = lower_random(&check, GM_FLOAT, 2, (int64_t[]){100, 100}, 1, 2), *dy = x, *values;
    gm_graph *graph = gm_graph_create(check.pool, NULL, "dropout");
    gm_value_id in[2], out[2], dx, seed;
    dropout_result result = {.x = x->data, .count = 10000};
    graph->training = training;
    in[0] = gm_graph_add_input(graph, "x", GM_FLOAT, 2, x->dims, false);
    in[1] = gm_const_scalar(graph, GM_FLOAT, ratio);
    gm_emit_many(graph, "Dropout", in, 2, NULL, 0, out, 2);
    seed = gm_graph_constant(graph, dy);
    gm_autodiff(graph, out, &seed, 1, in, 1, &dx);
    ck_assert_msg(graph->status == GM_OK, "%s", gm_context_message(check.context));
    ck_assert_int_eq(gm_graph_interpret(graph, check.pool, (const gm_tensor *[]){x}, NULL, 4, 2, &values), GM_OK);
    result.y = values[out[0]].data;
    result.keep = values[out[1]].data;
    result.dx = values[dx].data;
    for (int64_t i = 0; i < result.count; i++)
        result.kept += result.keep[i];
    return result;
}

START_TEST(dropout_scales_what_it_keeps)
{
    dropout_result r = drop(0.25, true);
    ck_assert_int_gt(r.kept, 7300);
    ck_assert_int_lt(r.kept, 7700);
    for (int64_t i = 0; i < r.count; i++) {
        float expected = r.keep[i] ? r.x[i] * (float)(1 / 0.75) : 0;
        ck_assert(r.y[i] == expected);
        ck_assert(fabsf(r.dx[i] - expected) <= 1e-6f * expected); /* dy is x: the gradient is the same map */
    }
}
END_TEST

START_TEST(dropout_is_the_identity_elsewhere)
{
    dropout_result evaluated = drop(0.25, false), nothing = drop(0, true), all = drop(1, true);
    ck_assert_int_eq(evaluated.kept, evaluated.count);
    ck_assert(memcmp(evaluated.x, evaluated.y, 40000) == 0);
    ck_assert(memcmp(nothing.x, nothing.y, 40000) == 0);
    ck_assert_int_eq(all.kept, 0);
    for (int64_t i = 0; i < all.count; i++)
        ck_assert(all.y[i] == 0);
}
END_TEST

START_TEST(dropout_rejects_a_ratio_outside)
{
    gm_graph *graph = gm_graph_create(check.pool, NULL, "dropout");
    gm_value_id x = gm_graph_add_input(graph, "x", GM_FLOAT, 1, (gm_dim[]){5}, false);
    graph->training = true;
    gm_emit2(graph, "Dropout", x, gm_const_scalar(graph, GM_FLOAT, 1.5));
    ck_assert_int_eq(graph->status, GM_ERROR_MODEL);
    ck_assert_ptr_nonnull(strstr(gm_context_message(check.context), "[0, 1]"));
}
END_TEST

/* --- Bernoulli ----------------------------------------------------------------------------------------------------------- */

START_TEST(bernoulli_follows_its_probabilities)
{
    gm_graph *graph = gm_graph_create(check.pool, NULL, "bernoulli");
    gm_tensor *p = lower_random(&check, GM_DOUBLE, 2, (int64_t[]){3, 10000}, 0, 1), *values;
    gm_value_id y;
    for (int64_t i = 0; i < 30000; i++) /* never, sometimes, always */
        gm_set(p, i, i < 10000 ? 0.0 : i < 20000 ? 0.3 : 1.0);
    y = gm_emit1_with(graph, "Bernoulli", gm_graph_constant(graph, p), gm_attribute_int("dtype", GM_INT8));
    ck_assert_msg(graph->status == GM_OK, "%s", gm_context_message(check.context));
    ck_assert_int_eq(gm_value_of(graph, y)->type, GM_INT8);
    ck_assert_int_eq(gm_graph_interpret(graph, check.pool, NULL, NULL, 4, 2, &values), GM_OK);
    for (int64_t row = 0; row < 3; row++) {
        int64_t ones = 0;
        for (int64_t i = 0; i < 10000; i++)
            ones += gm_get_int(&values[y], row * 10000 + i);
        ck_assert_msg(row == 1 ? ones > 2800 && ones < 3200 : ones == 5000 * row, "row %d: %d", (int)row, (int)ones);
    }
    gm_emit1_with(graph, "Bernoulli", gm_graph_constant(graph, p), gm_attribute_int("dtype", GM_STRING));
    ck_assert_ptr_nonnull(strstr(gm_context_message(check.context), "dtype must be"));
}
END_TEST

/* --- RandomChoice ---------------------------------------------------------------------------------------------------- */

static gm_tensor *harmonic(int64_t count)
{
    gm_tensor *weights = gm_tensor_create(check.pool, GM_DOUBLE, 1, &count);
    for (int64_t i = 0; i < count; i++)
        gm_set(weights, i, 1.0 / (double)(i + 1));
    return weights;
}

static const int64_t *choices(const gm_tensor *weights, int64_t count, uint64_t seed, uint64_t run)
{
    gm_graph *graph = gm_graph_create(check.pool, NULL, "check");
    gm_value_id y = gm_emit1_with(graph, "gmodel.RandomChoice", gm_graph_constant(graph, weights),
                                  gm_attribute_ints("shape", &count, 1));
    gm_tensor *values;
    ck_assert_msg(graph->status == GM_OK, "%s", gm_context_message(check.context));
    ck_assert_int_eq(gm_graph_interpret(graph, check.pool, NULL, NULL, seed, run, &values), GM_OK);
    return values[y].data;
}

/* Numbers of the NumPy program in docs/random.md, keys key(1, "check") and key(4, "check"). */
START_TEST(choices_are_those_of_numpy)
{
    static const double few[] = {1, 0, 2.5, 0.25, 7, 3, 0, 1};
    static const int64_t of_few[] = {0, 4, 4, 4, 2, 2, 4, 4, 5, 4, 4, 4};
    static const int64_t of_many[] = {481, 447, 145, 7, 2, 147, 522, 9,  80, 253, 78,  23, 214,
                                      41,  474, 202, 6, 0, 0,   4,   15, 5,  24,  491, 95};
    gm_tensor *weights = gm_tensor_create(check.pool, GM_FLOAT, 1, (int64_t[]){8});
    for (int64_t i = 0; i < 8; i++)
        gm_set(weights, i, few[i]);
    ck_assert(memcmp(choices(weights, 12, 1, 0), of_few, sizeof of_few) == 0);
    ck_assert(memcmp(choices(harmonic(1000), 25, 4, 3), of_many, sizeof of_many) == 0);
}
END_TEST

/* Whether the table is made by the plan or in each run, and by how many threads the numbers are drawn. */
START_TEST(choices_do_not_depend_on_tables_and_threads)
{
    gm_attribute shape = gm_attribute_ints("shape", (int64_t[]){3, 7001}, 2);
    gm_tensor *weights = harmonic(5000);
    const void *first = NULL;
    for (int round = 0; round < 8; round++) {
        check.constants = round % 2;
        check.threads = 1 + round / 2;
        lower_check_node(&check, "gmodel.RandomChoice", &weights, 1, &shape, 1, 1, NULL, 0);
        ck_assert(check.lowered);
        first = first ? first : check.out[0].data;
        ck_assert(memcmp(first, check.out[0].data, gm_tensor_bytes(&check.out[0])) == 0);
    }
}
END_TEST

/* Against the expected counts: chi-square of 7 degrees of freedom stays under 24.3 but for one time in a thousand. */
START_TEST(choices_follow_their_weights)
{
    enum { DRAWS = 100000, ENTRIES = 10 };
    static const double weight[ENTRIES] = {3, 0, 1, 10, 0.125, 5, 0, 2, 7, 0.5};
    gm_tensor *weights = gm_tensor_create(check.pool, GM_DOUBLE, 1, (int64_t[]){ENTRIES});
    int64_t counts[ENTRIES] = {0};
    const int64_t *drawn;
    double total = 0, chi_square = 0;
    for (int64_t i = 0; i < ENTRIES; i++) {
        gm_set(weights, i, weight[i]);
        total += weight[i];
    }
    drawn = choices(weights, DRAWS, 2, 0);
    for (int64_t i = 0; i < DRAWS; i++)
        counts[drawn[i]]++;
    for (int i = 0; i < ENTRIES; i++) {
        double expected = DRAWS * weight[i] / total;
        if (weight[i] == 0)
            ck_assert_int_eq(counts[i], 0);
        else
            chi_square += ((double)counts[i] - expected) * ((double)counts[i] - expected) / expected;
    }
    ck_assert_msg(chi_square < 24.3, "chi-square %g", chi_square);
}
END_TEST

START_TEST(choices_reject_weights_that_are_none)
{
    static const double bad[][2] = {{1, -1}, {0, 0}, {1, NAN}, {INFINITY, 1}};
    int64_t count = 5;
    for (size_t k = 0; k < GM_COUNT(bad); k++) {
        gm_tensor *weights = gm_tensor_create(check.pool, GM_DOUBLE, 1, (int64_t[]){2}), *values;
        gm_graph *graph = gm_graph_create(check.pool, NULL, "check");
        gm_set(weights, 0, bad[k][0]);
        gm_set(weights, 1, bad[k][1]);
        gm_emit1_with(graph, "gmodel.RandomChoice", gm_graph_constant(graph, weights),
                      gm_attribute_ints("shape", &count, 1));
        gm_clear_message(check.context);
        ck_assert_int_eq(gm_graph_interpret(graph, check.pool, NULL, NULL, 1, 0, &values), GM_ERROR_DATA);
        ck_assert_ptr_nonnull(strstr(gm_context_message(check.context), "weights"));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("random");
    TCase *tests = tcase_create("draws");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, philox_known_answers);
    tcase_add_test(tests, a_draw_may_be_cut_anywhere);
    tcase_add_test(tests, moments_are_right);
    tcase_add_test(tests, kernels_draw_by_row_major_index);
    tcase_add_test(tests, any_number_of_threads_draws_the_same);
    tcase_add_test(tests, keys_of_nodes);
    tcase_add_test(tests, dropout_scales_what_it_keeps);
    tcase_add_test(tests, dropout_is_the_identity_elsewhere);
    tcase_add_test(tests, dropout_rejects_a_ratio_outside);
    tcase_add_test(tests, bernoulli_follows_its_probabilities);
    tcase_add_test(tests, choices_are_those_of_numpy);
    tcase_add_test(tests, choices_do_not_depend_on_tables_and_threads);
    tcase_add_test(tests, choices_follow_their_weights);
    tcase_add_test(tests, choices_reject_weights_that_are_none);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
