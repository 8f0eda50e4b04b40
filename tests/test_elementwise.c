/* Elementwise operators: gradients, values at the edges, the vector functions against libm, the tile machine against the
 * reference kernels in every layout, and fusion. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/interpret.h"
#include "ops/tile.h"
#include "tests/gradcheck.h"

#pragma GCC diagnostic ignored "-Wmissing-field-initializers" /* rows of tables say what is not zero */

static gm_context *context;
static gm_pool *pool;

static void setup(void)
{
    ck_assert_int_eq(gm_context_create(NULL, &context), GM_OK);
    pool = gm_pool_create(context);
    ck_assert_ptr_nonnull(pool);
}

static void teardown(void)
{
    gm_pool_destroy(pool);
    gm_context_destroy(context);
}

/* --- Gradients --------------------------------------------------------------------------------------------------------- */

static const gradcheck_case gradients[] = {
    {"Add", {"Nx3x4", "3x1"}},
    {"Add", {"scalar", "Nx3"}},
    {"Sub", {"3x1", "Nx3x4"}},
    {"Mul", {"Nx3x4", "3x1"}},
    {"Mul", {"Nx3", "scalar"}},
    {"Div", {"Nx3", "3 0.5 2"}},
    {"Mod", {"Nx3", "double scalar [7]"}, {GRAD_INT("fmod", 1)}},
    {"Pow", {"Nx3", "double scalar [2]"}},
    {"Pow", {"Nx3", "double scalar [3]"}},
    {"Pow", {"Nx3 0.5 2", "double scalar [-1.5]"}},
    {"Pow", {"Nx3 0.5 2", "3"}},
    {"Neg", {"Nx3"}},
    {"Abs", {"Nx3"}},
    {"Sign", {"Nx3"}},
    {"Exp", {"Nx3"}},
    {"Log", {"Nx3 0.5 2"}},
    {"Sqrt", {"Nx3 0.5 2"}},
    {"Reciprocal", {"Nx3 0.5 2"}},
    {"Sin", {"Nx3"}},
    {"Cos", {"Nx3"}},
    {"Erf", {"Nx3"}},
    {"Relu", {"Nx3x4"}},
    {"LeakyRelu", {"Nx3x4"}, {GRAD_FLOAT("alpha", 0.3)}},
    {"LeakyRelu", {"Nx3x4"}, {GRAD_FLOAT("alpha", -0.5)}},
    {"Tanh", {"Nx3"}},
    {"Sigmoid", {"Nx3"}},
    {"Softplus", {"Nx3"}},
    {"Min", {"Nx3", "3", "Nx1"}},
    {"Max", {"Nx3", "3", "Nx1"}},
    {"Max", {"Nx3"}},
    {"Clip", {"Nx3x4", "double scalar [-0.5]", "double scalar [0.7]"}, .kinks = {-0.5, 0.7}},
    {"Clip", {"Nx3x4", "", "double scalar [0.7]"}, .kinks = {0.7}},
    {"Clip", {"Nx3x4", "scalar -0.3 -0.2", "scalar 0.2 0.3"}},
    {"Where", {"bool 3 [0 1 1]", "Nx3", "Nx1"}},
    {"Cast", {"Nx3"}, {GRAD_INT("to", GM_DOUBLE)}},
    {"Elu", {"Nx3x4"}, {GRAD_FLOAT("alpha", 1.5)}},
    {"Selu", {"Nx3x4"}},
    {"HardSigmoid", {"Nx3x4"}},
    {"HardSwish", {"Nx3x4"}},
    {"Softsign", {"Nx3"}},
    {"Mish", {"Nx3"}},
    {"Gelu", {"Nx3"}},
    {"Gelu", {"Nx3"}, {GRAD_STRING("approximate", "tanh")}},
    {"PRelu", {"Nx3x4", "3x1"}},
    {"Sum", {"Nx3", "3", "Nx1"}},
    {"Mean", {"Nx3", "3", "Nx1"}},
};

START_TEST(gradient_is_the_difference_quotient)
{
    if (gm_operator_find_name("gmodel.SumTo") && gm_operator_find_name("Shape"))
        gradcheck(&gradients[_i]);
}
END_TEST

/*MORE*/
static Suite *suite(void)
{
    Suite *all = suite_create("elementwise");
    TCase *rules = tcase_create("gradients");
    tcase_add_loop_test(rules, gradient_is_the_difference_quotient, 0, (int)GM_COUNT(gradients));
    suite_add_tcase(all, rules);
    TCase *values = tcase_create("values");
    tcase_add_checked_fixture(values, setup, teardown);
    suite_add_tcase(all, values);
    return all;
}

int main(void)
{
    SRunner *runner = srunner_create(suite());
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
