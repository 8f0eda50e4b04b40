/* Gradients of rectifiers before Dropout: the sign is taken from what Dropout kept, where that is the same. */
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

typedef enum change { NONE, LESS, OTHER_MASK, SECOND_READER, IS_OUTPUT } change;

/* A rectifier, Dropout and their gradient as they are after simplification; returns the Step node's output. */
static gm_value_id build(gm_graph *graph, change how)
{
    static const gm_dim dims[2] = {16, 40};
    gm_value_id x = gm_graph_add_input(graph, "x", GM_FLOAT, 2, dims, false);
    gm_value_id g = gm_graph_add_input(graph, "g", GM_FLOAT, 2, dims, false);
    gm_value_id y = gm_emit1_with(graph, "LeakyRelu", x, gm_attribute_float("alpha", 0.3));
    gm_value_id ratio = gm_const_scalar(graph, GM_FLOAT, 0.4), zero = gm_const_scalar(graph, GM_FLOAT, 0);
    gm_value_id scale = gm_const_scalar(graph, GM_FLOAT, how == LESS ? 0.5 : 1 / 0.6), mask, other, kept, masked, step;
    graph->path = "a";
    mask = gm_emit2(graph, "gmodel.RandomMask", y, ratio);
    graph->path = "b";
    other = how == OTHER_MASK ? gm_emit2(graph, "gmodel.RandomMask", y, ratio) : mask;
    kept = gm_emit3(graph, "Where", mask, gm_emit2(graph, "Mul", y, scale), zero);
    masked = gm_emit2(graph, "Mul", gm_emit3(graph, "Where", other, g, zero), scale);
    step = gm_emit1_with(graph, "gmodel.Step", y, gm_attribute_float("slope", 0.3));
    gm_graph_add_output(graph, "kept", kept);
    gm_graph_add_output(graph, "dx", gm_emit2(graph, "Mul", masked, step));
    if (how == SECOND_READER)
        gm_graph_add_output(graph, "more", gm_emit2(graph, "Add", step, g));
    if (how == IS_OUTPUT)
        gm_graph_add_output(graph, "more", step);
    ck_assert_msg(graph->status == GM_OK, "%s", gm_context_message(check.context));
    return step;
}

START_TEST(the_sign_is_taken_where_it_is_the_same)
{
    gm_graph *graph = gm_graph_create(check.pool, NULL, "signs");
    gm_value_id step = build(graph, (change)_i), before, now;
    gm_tensor *inputs[2], *old, *new;
    for (int i = 0; i < 2; i++)
        inputs[i] = lower_random(&check, GM_FLOAT, 2, (int64_t[]){16, 40}, -1, 1);
    before = graph->nodes[graph->values[step].node].inputs[0];
    ck_assert_int_eq(gm_graph_interpret(graph, check.pool, (const gm_tensor *const *)inputs, NULL, 1, 3, &old), GM_OK);
    ck_assert_int_eq(gm_graph_share_signs(graph), GM_OK);
    now = graph->nodes[graph->values[step].node].inputs[0];
    if (_i == NONE)
        ck_assert_uint_eq(now, graph->outputs[0].value);
    else
        ck_assert_uint_eq(now, before);
    ck_assert_int_eq(gm_graph_interpret(graph, check.pool, (const gm_tensor *const *)inputs, NULL, 1, 3, &new), GM_OK);
    for (size_t o = 0; o < graph->output_count; o++) { /* == : -0 and 0 may change places */
        gm_value_id id = graph->outputs[o].value;
        for (int64_t k = 0; k < gm_tensor_count(&old[id]); k++)
            ck_assert_double_eq(gm_get(&old[id], k), gm_get(&new[id], k));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("share_signs");
    TCase *tests = tcase_create("rewrite");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, the_sign_is_taken_where_it_is_the_same, NONE, IS_OUTPUT + 1);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
