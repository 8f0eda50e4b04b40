/* A rectifier's gradient behind batch normalization is taken inside the normalization's gradient, with the same results. */
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

typedef enum change { LEAKY, PLAIN, SWAPPED, SECOND_READER, IS_OUTPUT, BROADCAST, CHANGES } change;

static const gm_dim dims[4] = {4, 6, 3, 3}, one[4] = {1, 6, 3, 3}, channels[1] = {6};

/* The gradient of a rectifier and of the normalization before it, as they are after simplification. */
static void build(gm_graph *graph, change how)
{
    gm_value_id x = gm_graph_add_input(graph, "x", GM_FLOAT, 4, dims, false), in[5] = {x}, out[3], step, dy;
    gm_value_id y = gm_graph_add_input(graph, "y", GM_FLOAT, 4, how == BROADCAST ? one : dims, false);
    gm_value_id g = gm_graph_add_input(graph, "g", GM_FLOAT, 4, dims, false);
    gm_attribute epsilon = gm_attribute_float("epsilon", 1e-3);
    for (int i = 1; i < 4; i++)
        in[i] = gm_graph_add_input(graph, i == 1 ? "scale" : i == 2 ? "mean" : "var", GM_FLOAT, 1, channels, false);
    step = gm_emit1_with(graph, "gmodel.Step", y, gm_attribute_float("slope", how == PLAIN ? 0.0 : 0.3));
    dy = how == SWAPPED ? gm_emit2(graph, "Mul", step, g) : gm_emit2(graph, "Mul", g, step);
    in[4] = dy;
    gm_emit_many(graph, "gmodel.BatchNormalizationGrad", in, 5, &epsilon, 1, out, 3);
    for (int i = 0; i < 3; i++)
        gm_graph_add_output(graph, i == 0 ? "dx" : i == 1 ? "dscale" : "db", out[i]);
    if (how == SECOND_READER)
        gm_graph_add_output(graph, "more", gm_emit2(graph, "Add", dy, g));
    if (how == IS_OUTPUT)
        gm_graph_add_output(graph, "more", dy);
    ck_assert_msg(graph->status == GM_OK, "%s", gm_context_message(check.context));
}

static const gm_node *norm_of(const gm_graph *graph)
{
    return gm_made_by(graph, graph->outputs[0].value, "BatchNormalizationGrad");
}

START_TEST(the_gate_is_taken_where_nobody_else_reads)
{
    gm_graph *graph = gm_graph_create(check.pool, NULL, "gate");
    bool taken = _i <= SWAPPED;
    gm_tensor *inputs[6], *old, *new;
    const gm_node *norm;
    double before[3][4 * 6 * 9];
    build(graph, (change)_i);
    for (int i = 0; i < 6; i++)
        inputs[i] = i < 3 ? lower_random(&check, GM_FLOAT, 4, _i == BROADCAST && i == 1 ? one : dims, -1, 1)
                          : lower_random(&check, GM_FLOAT, 1, channels, 0.5, 2);
    ck_assert_int_eq(gm_graph_interpret(graph, check.pool, (const gm_tensor *const *)inputs, NULL, 1, 3, &old), GM_OK);
    for (size_t o = 0; o < 3; o++)
        for (int64_t k = 0; k < gm_tensor_count(&old[graph->outputs[o].value]); k++)
            before[o][k] = gm_get(&old[graph->outputs[o].value], k);
    ck_assert_int_eq(gm_graph_gate_normalization(graph), GM_OK);
    norm = norm_of(graph);
    ck_assert_ptr_nonnull(norm);
    ck_assert_uint_eq(norm->input_count, taken ? 6 : 5);
    if (taken) {
        ck_assert_uint_eq(graph->node_count, 1);
        ck_assert_uint_eq(norm->inputs[5], graph->inputs[1].value);
        ck_assert_double_eq(gm_node_float(norm, "slope", -1), _i == PLAIN ? 0.0 : 0.3);
        ck_assert_double_eq(gm_node_float(norm, "epsilon", -1), 1e-3);
    }
    ck_assert_int_eq(gm_graph_interpret(graph, check.pool, (const gm_tensor *const *)inputs, NULL, 1, 3, &new), GM_OK);
    for (size_t o = 0; o < 3; o++)
        for (int64_t k = 0; k < gm_tensor_count(&new[graph->outputs[o].value]); k++)
            ck_assert_double_eq_tol(before[o][k], gm_get(&new[graph->outputs[o].value], k), 1e-6);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gate_norm");
    TCase *tests = tcase_create("rewrite");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, the_gate_is_taken_where_nobody_else_reads, 0, CHANGES);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
