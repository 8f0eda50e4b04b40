/* What the theory of generative models says, found by programs of the language: the best discriminator and the divergence
 * that it measures, distances of distributions that do not overlap, gradients through draws, the gradient of a softmax. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/gmodel.h"

#define LOG2  0.693147180559945
#define MODEL "model m <gmodel = 1, opset = 21, seed = 3>\n"

static gm_context *context;
static gm_model *model;
static gm_trainer *trainer;

static void require(gm_status status)
{
    ck_assert_msg(status == GM_OK, "%s", gm_context_message(context));
}

/* Loads a program and trains it, if it has something to train. */
static void run(const char *text, int trains)
{
    require(gm_model_load_memory(context, text, strlen(text), "t.gmodel", NULL, &model));
    if (!trains)
        return;
    require(gm_trainer_create(model, NULL, &trainer));
    require(gm_trainer_run(trainer, NULL));
}

/* The elements of one figure of the program's evaluation `e`. */
static void figure(const char *name, double *out, size_t count)
{
    gm_evaluation *evaluation;
    int found = 0;
    require(trainer ? gm_evaluation_create_for_trainer(trainer, "e", NULL, &evaluation)
                    : gm_evaluation_create(model, "e", NULL, &evaluation));
    require(gm_evaluation_run(evaluation));
    for (size_t i = 0; i < gm_evaluation_count(evaluation); i++) {
        gm_tensor_view view;
        require(gm_evaluation_value(evaluation, i, &view));
        if (strcmp(view.name, name) != 0)
            continue;
        found = 1;
        ck_assert_uint_eq(view.bytes, count * sizeof(float));
        for (size_t k = 0; k < count; k++)
            out[k] = (double)((const float *)view.data)[k];
    }
    ck_assert_msg(found, "no figure %s", name);
    gm_evaluation_destroy(evaluation);
}

static void is_near(const char *name, double wanted, double tolerance)
{
    double found;
    figure(name, &found, 1);
    ck_assert_msg(fabs(found - wanted) <= tolerance, "%s is %.9g, expected %.9g within %g", name, found, wanted,
                  tolerance);
}

/* --- Entropy, cross entropy and their difference, in bits --- */

START_TEST(cross_entropy_is_entropy_and_divergence)
{
    run(MODEL "evaluate e {\n"
              "  P = [0.11, 0.29, 0.41, 0.19]\n  Q = [0.1, 0.3, 0.4, 0.2]\n"
              "  result entropy = -sum(P * Log(P)) / Log(2), cross = -sum(P * Log(Q)) / Log(2),"
              " divergence = sum(P * Log(P / Q)) / Log(2)\n}\n",
        0);
    is_near("entropy", 1.850802, 2e-6);
    is_near("cross", 1.852289, 2e-6);
    is_near("divergence", 0.001487, 2e-6);
}
END_TEST

/* --- The best discriminator is p / (p + q); its value -2 log 2 + 2 JSD(p, q) (Goodfellow et al. 2014, eq. 2 and 6) --- */

START_TEST(trained_discriminator_measures_the_divergence)
{
    static const double best[] = {0.2, 0.4, 0.6, 0.8}; /* p / (p + q) */
    double found[4];
    run(MODEL "network D () => (float[4] logit) { param logit : float[4] = 0 }\n"
              "function game (float[4] l) => (float v) {\n"
              "  v = -sum([0.1, 0.2, 0.3, 0.4] * Softplus(-l)) - sum([0.4, 0.3, 0.2, 0.1] * Softplus(l))\n}\n"
              "step fit { v = -game(D())  minimize v over D with SGD <rate = 4> }\n"
              "evaluate e { result d = Sigmoid(D()), value = game(D()) }\n"
              "train epochs 1 of 200 iterations { fit }\n",
        1);
    figure("d", found, 4);
    for (int i = 0; i < 4; i++)
        ck_assert_double_eq_tol(found[i], best[i], 1e-4);
    is_near("value", -2 * LOG2 + 2 * 0.106441, 1e-5); /* JSD of (.1 .2 .3 .4) and (.4 .3 .2 .1) */
}
END_TEST

/* --- Points beside their shifted copies: the divergence is log 2 for any shift, the Wasserstein distance is the shift --- */

/* A critic whose slope may be at most 1, against the transport cost on a line: the mean distance of the sorted points.
 * The penalty is one-sided: on a line the usual one, (|slope| - 1)^2, keeps a critic that starts with the wrong sign there. */
START_TEST(critic_measures_how_far_and_the_divergence_does_not)
{
    static const double shifts[] = {0.5, 2};
    for (size_t i = 0; i < 2; i++) {
        char text[2048];
        double shift = shifts[i], estimate, sorted;
        snprintf(text, sizeof text,
                 MODEL "network C (float[N, 1] x) => (float[N, 1] score) {\n"
                       "  h = Relu(Dense <64> (x))\n  score = Dense <1> (h)\n}\n"
                       "function cost () => (float y) {\n"
                       "  p = TopK <axis = 0> (RandomUniform <shape = [512], high = 0.4> (), [512])\n"
                       "  q = TopK <axis = 0> (RandomUniform <shape = [512], high = 0.4> () + %g, [512])\n"
                       "  y = mean(Abs(p - q))\n}\n"
                       "step fit {\n  p = RandomUniform <shape = [N, 1], high = 0.4> ()\n"
                       "  q = RandomUniform <shape = [N, 1], high = 0.4> () + %g\n"
                       "  a = RandomUniform <shape = [N, 1]> ()\n  between = a * p + (1 - a) * q\n"
                       "  steep = Relu(norm(gradient(C(between), between)) - 1)\n"
                       "  loss = wgan_critic_loss(C(p), C(q)) + 100 * mean(steep ^ 2)\n"
                       "  minimize loss over C with Adam <rate = 0.01 * (1 - iteration / 600)>\n}\n"
                       "evaluate e over 2000 draws {\n  p = RandomUniform <shape = [N, 1], high = 0.4> ()\n"
                       "  mean estimate = C(p) - C(p + %g)\n  result sorted = cost()\n}\n"
                       "train batch 128 epochs 1 of 600 iterations { fit }\n",
                 shift, shift, shift);
        run(text, 1);
        figure("estimate", &estimate, 1);
        figure("sorted", &sorted, 1);
        ck_assert_double_eq_tol(sorted, shift, 0.02);
        ck_assert_double_eq_tol(estimate, shift, 0.05 * shift);
        gm_trainer_destroy(trainer);
        gm_model_destroy(model);
        trainer = NULL;
        model = NULL;
    }
    /* of two distributions on (0, d) and (d, 0) cells: no shared support */
    run(MODEL
        "evaluate e {\n  P = [0.5, 0.5, 0.0, 0.0]\n  Q = [0.0, 0.0, 0.3, 0.7]\n  M = 0.5 * (P + Q)\n"
        "  tiny = 1e-30\n"
        "  result jsd = 0.5 * sum(P * (Log(Max(P, tiny)) - Log(M))) + 0.5 * sum(Q * (Log(Max(Q, tiny)) - Log(M)))\n}\n",
        0);
    is_near("jsd", LOG2, 1e-6);
}
END_TEST

/* --- Gradients through a draw: d E[z^2] / d mu = 2 mu, d E[z^2] / d log var = var (Kingma & Welling 2014) --- */

START_TEST(gradients_pass_through_draws)
{
    run(MODEL "evaluate e over 200000 draws {\n"
              "  mu = 0 * RandomUniform <shape = [N, 1]> () + 1.5\n  logvar = 0 * mu + Log(0.25)\n"
              "  z = draw_normal(mu, logvar)\n"
              "  mean by_mu = gradient(z ^ 2, mu), by_logvar = gradient(z ^ 2, logvar)\n}\n",
        0);
    is_near("by_mu", 3, 0.01);
    is_near("by_logvar", 0.25, 0.01);
}
END_TEST

/* --- Word vectors by softmax: the gradient of log P(o | c) to v_c is u_o - sum of P(w | c) u_w (Mikolov et al. 2013) --- */

START_TEST(softmax_gradient_is_observed_less_expected)
{
    double by_rule[3], by_gradient[3];
    run(MODEL "evaluate e {\n"
              "  U = [[0.1, 0.7, -0.3], [0.5, -0.2, 0.4], [-0.6, 0.3, 0.2], [0.0, 0.9, 0.8]]\n"
              "  v = RandomNormal <shape = [1, 3], seed = 2> ()\n  score = MatMul(v, Transpose(U))\n"
              "  loss = cross_entropy(score, [2])\n"
              "  result gradient = -gradient(loss, v), rule = Slice(U, [2], [3], [0]) - MatMul(Softmax(score), U)\n}\n",
        0);
    figure("gradient", by_gradient, 3);
    figure("rule", by_rule, 3);
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq_tol(by_gradient[i], by_rule[i], 1e-6);
    ck_assert_double_gt(fabs(by_rule[0]), 0.1);
}
END_TEST

/* The probabilities that the Huffman tree gives to all words sum to 1 whatever the parameters are. */
START_TEST(hierarchical_softmax_is_a_distribution)
{
    double total;
    gm_run_options options;
    gm_evaluation *evaluation;
    gm_tensor_view view;
    gm_run_options_default(&options, sizeof options);
    options.steps = 50;
    require(gm_model_load(context, GM_TEST_SOURCE "/../models/skipgram-hierarchical.gmodel", NULL, &model));
    require(gm_trainer_create(model, NULL, &trainer));
    require(gm_trainer_run(trainer, &options));
    require(gm_evaluation_create_for_trainer(trainer, "probability", NULL, &evaluation));
    require(gm_evaluation_run(evaluation));
    require(gm_evaluation_value(evaluation, 0, &view));
    ck_assert_uint_eq(view.bytes, sizeof(float));
    total = (double)((const float *)view.data)[0];
    ck_assert_double_eq_tol(total, 1, 1e-5);
    gm_evaluation_destroy(evaluation);
}
END_TEST

static void open_context(void)
{
    gm_context_options options;
    gm_context_options_default(&options, sizeof options);
    options.threads = 1;
    require(gm_context_create(&options, &context));
    model = NULL;
    trainer = NULL;
}

static void close_context(void)
{
    gm_trainer_destroy(trainer);
    gm_model_destroy(model);
    gm_context_destroy(context);
}

int main(void)
{
    Suite *suite = suite_create("theory");
    TCase *tests = tcase_create("theory");
    SRunner *runner;
    int failed;
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, open_context, close_context);
    tcase_add_test(tests, cross_entropy_is_entropy_and_divergence);
    tcase_add_test(tests, trained_discriminator_measures_the_divergence);
    tcase_add_test(tests, critic_measures_how_far_and_the_divergence_does_not);
    tcase_add_test(tests, gradients_pass_through_draws);
    tcase_add_test(tests, softmax_gradient_is_observed_less_expected);
    tcase_add_test(tests, hierarchical_softmax_is_a_distribution);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
