/* Matrix products over one term become broadcasting products, with the same results; others stay. */
#include "graph/interpret.h"
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

enum { ROWS = 5, COLUMNS = 12 };

typedef struct product {
    int64_t terms;
    bool transpose_a, transpose_b, ones, bias, flat; /* flat: somebody reads it as it is */
    double alpha;
    bool stays;
} product;

static const product products[] = {
    {1, false, true, false, false, false, 1, false}, {1, false, false, false, false, true, 1, false},
    {1, true, true, false, false, true, 1, false},   {1, true, false, true, false, false, 1, false},
    {1, false, true, true, false, true, 1, false},   {2, false, true, false, false, false, 1, true},
    {1, false, true, false, true, false, 1, true},   {1, false, true, false, false, false, 2, true},
};

static gm_value_id matrix(gm_graph *graph, const char *name, bool transpose, int64_t rows, int64_t columns)
{
    const gm_dim dims[2] = {transpose ? columns : rows, transpose ? rows : columns};
    return gm_graph_add_input(graph, name, GM_FLOAT, 2, dims, false);
}

static void build(gm_graph *graph, const product *p)
{
    static const int64_t seen[4] = {ROWS, 3, 2, 2};
    gm_attribute list[3] = {gm_attribute_int("transA", p->transpose_a), gm_attribute_int("transB", p->transpose_b),
                            gm_attribute_float("alpha", p->alpha)};
    gm_value_id in[3] = {matrix(graph, "a", p->transpose_a, ROWS, p->terms),
                         matrix(graph, "b", p->transpose_b, p->terms, COLUMNS),
                         matrix(graph, "c", false, ROWS, COLUMNS)},
                mask, result;
    static const gm_dim wide[4] = {ROWS, 3, 2, 2};
    if (p->ones) {
        gm_tensor *ones = gm_tensor_create(graph->pool, GM_FLOAT, 2, gm_value_of(graph, in[0])->dims);
        for (int64_t i = 0; i < ROWS; i++)
            gm_set(ones, i, 1);
        in[0] = gm_graph_constant(graph, ones);
    }
    mask = gm_graph_add_input(graph, "g", GM_FLOAT, 4, wide, false);
    result = gm_emit(graph, "Gemm", in, p->bias ? 3 : 2, list, 3);
    gm_graph_add_output(
        graph, "y", gm_emit2(graph, "Mul", gm_emit2(graph, "Reshape", result, gm_const_ints(graph, seen, 4)), mask));
    if (p->flat)
        gm_graph_add_output(graph, "flat", result);
    ck_assert_msg(graph->status == GM_OK, "%s", gm_context_message(check.context));
}

static size_t count_of(const gm_graph *graph, const char *op)
{
    size_t count = 0;
    for (size_t n = 0; n < graph->node_count; n++)
        count += strcmp(graph->nodes[n].op->name, op) == 0;
    return count;
}

START_TEST(products_over_one_term_broadcast)
{
    const product *p = &products[_i];
    gm_graph *graph = gm_graph_create(check.pool, NULL, "outer");
    gm_tensor *inputs[4], *old, *new;
    double before[2][ROWS * COLUMNS];
    build(graph, p);
    for (int i = 0; i < 4; i++) {
        const gm_value *value = gm_value_of(graph, graph->inputs[i].value);
        inputs[i] = lower_random(&check, GM_FLOAT, value->rank, value->dims, -1, 1);
    }
    ck_assert_int_eq(gm_graph_interpret(graph, check.pool, (const gm_tensor *const *)inputs, NULL, 1, 3, &old), GM_OK);
    for (size_t o = 0; o < graph->output_count; o++)
        for (int64_t k = 0; k < ROWS * COLUMNS; k++)
            before[o][k] = gm_get(&old[graph->outputs[o].value], k);
    ck_assert_int_eq(gm_graph_spread_outer_products(graph), GM_OK);
    ck_assert_uint_eq(count_of(graph, "Gemm"), p->stays);
    ck_assert_uint_eq(count_of(graph, "Mul"), 1 + (size_t)(!p->stays && !p->ones) * (1 + p->flat));
    ck_assert_uint_eq(count_of(graph, "Expand"), p->ones && p->flat); /* the other Mul broadcasts by itself */
    ck_assert_int_eq(gm_graph_interpret(graph, check.pool, (const gm_tensor *const *)inputs, NULL, 1, 3, &new), GM_OK);
    for (size_t o = 0; o < graph->output_count; o++)
        for (int64_t k = 0; k < ROWS * COLUMNS; k++)
            ck_assert_double_eq_tol(before[o][k], gm_get(&new[graph->outputs[o].value], k), 1e-6);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("outer_product");
    TCase *tests = tcase_create("rewrite");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, products_over_one_term_broadcast, 0, (int)GM_COUNT(products));
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
