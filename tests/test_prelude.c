/* The functions of the prelude against numbers worked out by hand, and what they do in corner cases. Each expression is the
 * result of an `evaluate` without data. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/gmodel.h"

typedef struct expression {
    const char *text;
    double values[18]; /* the first of the result */
    size_t count;
} expression;

#define LOG2   0.693147180559945
#define V(...) {__VA_ARGS__}, sizeof((double[]){__VA_ARGS__}) / sizeof(double)

/* With p = 1 / (1 + exp(-l)): Softplus(l) = -log(1 - p). */
static const expression expressions[] = {
    {"mean([1.0, 2.0, 6.0])", V(3)},
    {"sum([[1.0, 2.0], [3.0, 4.0]])", V(10)},
    {"gan_discriminator_loss([0.0, 0.0], [0.0])", V(2 * LOG2)},
    {"gan_discriminator_loss([1.0], [-2.0])", V(0.313261687518223 + 0.126928011042973)},
    {"gan_generator_loss([100.0])", V(0)},
    {"gan_generator_loss([-100.0])", V(100)},
    {"minimax_generator_loss([0.0])", V(-LOG2)},
    {"minimax_generator_loss([100.0])", V(-100)},
    {"smooth_discriminator_loss <smoothing = 0.25> ([2.0], [0.0])", V(0.126928011042973 + LOG2 + 0.5)},
    {"lsgan_discriminator_loss([3.0], [1.0, -3.0])", V(2 + 2.5)},
    {"lsgan_generator_loss([3.0, 1.0])", V(1)},
    {"wgan_critic_loss([4.0, 6.0], [1.0, 2.0])", V(-3.5)},
    {"wgan_generator_loss([1.0, 2.0])", V(-1.5)},
    {"hinge_discriminator_loss([3.0, 0.5], [-3.0, 1.0])", V(0.25 + 1)},
    {"hinge_generator_loss([3.0, 0.5])", V(-1.75)},
    {"norm([[3.0, 4.0], [0.0, 0.0]])", V(5, 0)},
    {"bernoulli([[0.0, 0.0], [0.0, 0.0]], [[0.0, 1.0], [0.5, 1.0]])", V(2 * LOG2)},
    {"bernoulli([[-100.0, 100.0]], [[0.0, 1.0]])", V(0)},
    {"gaussian([[1.0, 2.0], [0.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]])", V(1.5)},
    {"kl_normal([[0.0, 0.0]], [[0.0, 0.0]])", V(0)},
    {"kl_normal([[2.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]])", V((2 + 0.359140914229523) / 2)},
    {"standard_normal([[1.0, 1.0]])", V(1 + 1.837877066409345)},
    /* log(l / tanh(l / 2)); by the series at 0 and, below 0.04, near it */
    {"continuous_bernoulli_log_normaliser([[0.0, 0.0]])", V(2 * LOG2)},
    {"continuous_bernoulli_log_normaliser([[0.03]])", V(0.693222176623)},
    {"continuous_bernoulli_log_normaliser([[2.0]])", V(0.965488649472)},
    {"continuous_bernoulli_log_normaliser([[-2.0]])", V(0.965488649472)},
    {"continuous_bernoulli_log_normaliser([[-200.0]])", V(5.298317366548)},
    {"cross_entropy([[0.0, 0.0, 0.0, 0.0]], [2])", V(2 * LOG2)},
    {"cross_entropy([[100.0, 0.0], [0.0, 100.0]], [0, 0])", V(50)},
    {"smooth_cross_entropy <smoothing = 0.2> ([[100.0, 0.0]], [0])", V(10)},
    {"binary_cross_entropy([0.0, 100.0], [0.3, 0.75])", V((LOG2 + 25) / 2)},
    {"mean_squared_error([1.0, 2.0], [0.0, 0.0])", V(2.5)},
    {"accuracy([[1.0, 2.0, 0.0], [3.0, 2.0, 0.0]], [1, 1])", V(1, 0)},
    {"label_histogram([[1.0, 2.0], [3.0, 2.0]])", V(0, 1, 1, 0)},
    {"inception_score([0.25, 0.25, 0.25, 0.25], 0.0)", V(4)}, /* sure of each, all alike often */
    {"inception_score([1.0, 0.0], 0.0)", V(1)},
    {"inception_score([0.5, 0.5], -0.693147180559945)", V(1)}, /* never sure */
    {"drawn([[5.0, 5.0]])", V(5, 5)},
    {"normal_layer([[1.0, 3.0], [-7.0, -5.0]])", V(-0.999995, 0.999995, -0.999995, 0.999995)},
    {"penalty([[3.0, 4.0], [0.0, 0.0]])", V(10 * (16 + 1) / 2.0)}, /* d |x|^2 / 2 is x, of length 5 and 0 */
    {"penalty_gradient([[3.0, 4.0]])", V(10 * 2 * 4 * 0.6, 10 * 2 * 4 * 0.8)},
    {"penalty_gradient([[0.0, 0.0]])", V(0, 0)}, /* not 0 / 0 */
    {"doubled([[[[1.0, 3.0]]]])", V(1, 1, 3, 3, 1, 1, 3, 3)},
    {"smooth([[[[1.0, 3.0]]]])",
     V(1, 1, 1.66666667, 2.33333333, 3, 3, 1, 1, 1.66666667, 2.33333333, 3, 3, 1, 1, 1.66666667, 2.33333333, 3, 3)},
    {"pooled([[[[1.0, 2.0, 9.0], [3.0, 4.0, 9.0], [9.0, 9.0, 9.0]]]])", V(4)},
};

static const char *const declarations =
    "model m <gmodel = 1, opset = 21>\n"
    "function drawn (float[N, D] mu) => (float[N, D] z) { z = draw_normal(mu, mu - 1000) }\n"
    "network normal_layer (float[N, 2] x) => (float[N, 2] y) { y = LayerNorm(x) }\n"
    "function penalty (float[N, D] x) => (float y) {\n"
    "  y = gradient_penalty(0.5 * ReduceSum(x * x, [1]), x)\n}\n"
    "function penalty_gradient (float[N, D] x) => (float[N, D] y) { y = gradient(penalty(x), x) }\n"
    "function pooled (float[N, C, H, W] x) => (y) { y = MaxPool2d(x) }\n"
    "function doubled (float[N, C, H, W] x) => (y) { y = Upsample2d(x) }\n"
    "function smooth (float[N, C, H, W] x) => (y) { y = Upsample2d <3, mode = \"linear\"> (x) }\n";

static gm_context *context;

static void require(gm_status status, const char *what)
{
    ck_assert_msg(status == GM_OK, "%s: %s", what, gm_context_message(context));
}

START_TEST(expression_is_right)
{
    const expression *e = &expressions[_i];
    char text[4096];
    gm_model *model;
    gm_evaluation *evaluation;
    gm_tensor_view view;
    snprintf(text, sizeof text, "%sevaluate e { result r = %s }\n", declarations, e->text);
    require(gm_model_load_memory(context, text, strlen(text), "t.gmodel", NULL, &model), e->text);
    require(gm_evaluation_create(model, "e", NULL, &evaluation), e->text);
    require(gm_evaluation_run(evaluation), e->text);
    require(gm_evaluation_value(evaluation, 0, &view), e->text);
    ck_assert_int_eq(view.type, GM_FLOAT);
    ck_assert_msg(view.bytes == e->count * sizeof(float), "%s has %zu elements", e->text, view.bytes / sizeof(float));
    for (size_t i = 0; i < e->count; i++) {
        double found = (double)((const float *)view.data)[i];
        ck_assert_msg(fabs(found - e->values[i]) <= 2e-6 * (1 + fabs(e->values[i])), "%s at %zu: %.9g, expected %.9g",
                      e->text, i, found, e->values[i]);
    }
    gm_evaluation_destroy(evaluation);
    gm_model_destroy(model);
}
END_TEST

/* Layers with parameters: names, counts and how their first values spread. */
START_TEST(layers_have_their_parameters)
{
    static const struct {
        const char *layer, *shape, *path;
        size_t count;
        double limit; /* of the values; 0: not looked at */
    } cases[] = {
        {"Dense <3>", "6", "n.y.Dense.W", 21, 0.816496580927726}, /* sqrt(6 / (6 + 3)) */
        {"Dense <3, bias = 0>", "6", "n.y.Dense.W", 18, 0},
        {"Dense <64, biases = \"pytorch_uniform\">", "4", "n.y.Dense.b", 320, 0.5},
        {"Linear <64>", "4", "n.y.Linear.b", 320, 0.5},
        {"Linear <64>", "4", "n.y.Linear.W", 320, 0.5},
        {"Linear <62, weights = \"glorot_uniform\">", "4", "n.y.Linear.W", 310, 0.301511344577764}, /* sqrt(6 / 66) */
        {"Conv2d <32, kernel = 3, biases = \"pytorch_uniform\">", "4, 8, 8", "n.y.Conv2d.b", 32 * 36 + 32, 1 / 6.0},
        {"Conv2d <12, kernel = 3>", "4, 8, 8", "n.y.Conv2d.W", 12 * 37, 0.204124145231932}, /* sqrt(6 / 144) */
        {"Conv2d <12, kernel = 3, weights = \"he_uniform\">", "4, 8, 8", "n.y.Conv2d.W", 12 * 37, 0.408248290463863},
        {"ConvTranspose2d <4, kernel = 3, stride = 2>", "8, 5, 5", "n.y.ConvTranspose2d.W", 292, 0},
        {"LayerNorm", "7", "n.y.LayerNorm.scale", 14, 0},
        {"BatchNorm", "7, 2", "n.y.BatchNorm.shift", 14, 0},
        {"Maxout <5, pieces = 3>", "2", "n.y.Maxout.y.Dense.W", 45, 0},
        {"Residual <9>", "4", "n.y.Residual.h.Dense.W", 4 * 9 + 9 + 9 * 4 + 4, 0},
        {"ResidualConv2d", "4, 6, 6", "n.y.ResidualConv2d.h.BatchNorm.scale", 2 * (4 * 36 + 8), 0},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        char text[512];
        gm_model *model;
        size_t total = 0;
        int found = 0;
        snprintf(text, sizeof text,
                 "model m <gmodel = 1, opset = 21>\nnetwork n (float[N, %s] x) => (float[] y) { y = %s(x) }\n",
                 cases[k].shape, cases[k].layer);
        require(gm_model_load_memory(context, text, strlen(text), "t.gmodel", NULL, &model), cases[k].layer);
        for (size_t i = 0; i < gm_model_parameter_count(model); i++) {
            gm_parameter_info info;
            size_t count = 1;
            float values[2048], largest = 0;
            require(gm_model_parameter_info(model, i, &info), cases[k].layer);
            for (int d = 0; d < info.rank; d++)
                count *= (size_t)info.dims[d];
            total += info.is_buffer ? 0 : count;
            if (strcmp(info.path, cases[k].path) != 0)
                continue;
            found = 1;
            require(gm_model_read(model, info.path, values, count * sizeof values[0]), cases[k].layer);
            for (size_t v = 0; v < count; v++)
                largest = fmaxf(largest, fabsf(values[v]));
            if (cases[k].limit > 0)
                ck_assert_msg((double)largest <= cases[k].limit && (double)largest > 0.8 * cases[k].limit,
                              "%s: values up to %g, limit %g", cases[k].layer, (double)largest, cases[k].limit);
        }
        ck_assert_msg(found, "%s has no %s", cases[k].layer, cases[k].path);
        ck_assert_msg(total == cases[k].count, "%s has %zu parameters, expected %zu", cases[k].layer, total,
                      cases[k].count);
        gm_model_destroy(model);
    }
}
END_TEST

static void open_context(void)
{
    gm_context_options options;
    gm_context_options_default(&options, sizeof options);
    options.threads = 1;
    require(gm_context_create(&options, &context), "context");
}

static void close_context(void)
{
    gm_context_destroy(context);
}

int main(void)
{
    Suite *suite = suite_create("prelude");
    TCase *tests = tcase_create("functions");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(tests, open_context, close_context);
    tcase_add_loop_test(tests, expression_is_right, 0, (int)(sizeof expressions / sizeof expressions[0]));
    tcase_add_test(tests, layers_have_their_parameters);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
