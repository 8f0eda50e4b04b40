/* Evaluations: each example counts once, whatever the batch; results are computed from means; mistakes are told. */
#include "runtime/gmodel.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODEL  "model m <gmodel = 1, opset = 21, seed = 3>\n"
#define DIGITS "data digits = mnist <part = \"test\"> { image : float[784] in [0, 1], label : int64 }\n"
#define NET    "network net (float[N, 784] x) => (float[N, 10] y) { y = Dense <10> (x) }\n"

static gm_context *context;
static gm_model *model;

static void require(gm_status status)
{
    ck_assert_msg(status == GM_OK, "%s: %s", gm_status_name(status), gm_context_message(context));
}

static void setup(void)
{
    require(gm_context_create(NULL, &context));
    model = NULL;
}

static void teardown(void)
{
    gm_model_destroy(model);
    gm_context_destroy(context);
}

static void load(const char *text)
{
    gm_model_destroy(model);
    model = NULL;
    require(gm_model_load_memory(context, text, strlen(text), "t.gmodel", NULL, &model));
}

static gm_evaluation *evaluated(const char *name, int64_t batch, int64_t limit, int64_t draws)
{
    gm_evaluation_options options;
    gm_evaluation *evaluation = NULL;
    gm_evaluation_options_default(&options, sizeof options);
    options.batch = batch;
    options.limit = limit;
    options.draws = draws;
    require(gm_evaluation_create(model, name, &options, &evaluation));
    require(gm_evaluation_run(evaluation));
    return evaluation;
}

static double figure(const gm_evaluation *evaluation, const char *name, size_t at)
{
    for (size_t i = 0; i < gm_evaluation_count(evaluation); i++) {
        gm_tensor_view view;
        require(gm_evaluation_value(evaluation, i, &view));
        if (strcmp(view.name, name) == 0) {
            ck_assert_int_eq(view.type, GM_FLOAT);
            ck_assert_uint_lt(at, view.bytes / sizeof(float));
            return (double)((const float *)view.data)[at];
        }
    }
    ck_abort_msg("there is no figure '%s'", name);
    return 0;
}

/* --- Means --- */

START_TEST(a_mean_counts_each_example_once_whatever_the_batch)
{
    static const int64_t batches[] = {1, 7, 64, 250, 1000, INT64_MAX};
    double share = 0, bright = 0, whole = 0;
    load(MODEL DIGITS "evaluate e on digits (float[N, 784] image, int64[N] label) {\n"
                      "  mean label_share = OneHot(label, 10, [0.0, 1.0]), bright = ReduceMean(image, [1]),"
                      " whole = mean(image)\n}\n");
    for (size_t i = 0; i < sizeof batches / sizeof batches[0]; i++) {
        gm_evaluation *e = evaluated("e", batches[i], 250, 0);
        double sum = 0;
        ck_assert_int_eq(gm_evaluation_examples(e), 250);
        for (size_t k = 0; k < 10; k++)
            sum += figure(e, "label_share", k);
        ck_assert_double_eq_tol(sum, 1, 1e-6);
        ck_assert_double_eq_tol(figure(e, "label_share", 3) * 250, round(figure(e, "label_share", 3) * 250), 1e-4);
        if (i == 0) {
            share = figure(e, "label_share", 3);
            bright = figure(e, "bright", 0);
            whole = figure(e, "whole", 0);
            ck_assert_double_eq_tol(bright, whole, 1e-6);
        }
        ck_assert_double_eq(figure(e, "label_share", 3), share);
        ck_assert_double_eq_tol(figure(e, "bright", 0), bright, 1e-6);
        ck_assert_double_eq_tol(figure(e, "whole", 0), whole, 1e-6); /* a scalar weighs as many rows as its batch has */
        gm_evaluation_destroy(e);
    }
}
END_TEST

START_TEST(draws_are_the_same_numbers_whatever_the_batch)
{
    static const int64_t batches[] = {1, 3, 50, 64, 500, INT64_MAX};
    double first[4] = {0};
    load(MODEL "network half (float[N, 3] x) => (float[N, 3] y) { y = Dropout(x, 0.5) }\n"
               "evaluate e over 101 draws {\n"
               "  z = RandomNormal <shape = [N, 3]> ()\n  u = RandomUniform <shape = [N], seed = 5> ()\n"
               "  d = half <training = 1> (z + 10)\n"
               "  mean m = z, second = z ^ 2, u, d\n}\n");
    for (size_t i = 0; i < sizeof batches / sizeof batches[0]; i++) {
        gm_evaluation *e = evaluated("e", batches[i], 0, 0);
        double found[4] = {figure(e, "m", 2), figure(e, "second", 0), figure(e, "u", 0), figure(e, "d", 1)};
        ck_assert_int_eq(gm_evaluation_examples(e), 101);
        if (i == 0)
            memcpy(first, found, sizeof first);
        for (size_t k = 0; k < 4; k++)
            ck_assert_msg(fabs(found[k] - first[k]) < 2e-6 * (1 + fabs(first[k])), "batch %lld, figure %zu: %g, not %g",
                          (long long)batches[i], k, found[k], first[k]);
        gm_evaluation_destroy(e);
    }
    ck_assert_double_eq_tol(first[0], 0, 0.35);
    ck_assert_double_eq_tol(first[1], 1, 0.5);
    ck_assert_double_eq_tol(first[2], 0.5, 0.12);
    ck_assert_double_eq_tol(first[3], 10, 4);
    gm_evaluation *more = evaluated("e", 50, 0, 20000);
    ck_assert_int_eq(gm_evaluation_examples(more), 20000);
    ck_assert_double_eq_tol(figure(more, "m", 1), 0, 0.03);
    ck_assert_double_eq_tol(figure(more, "second", 2), 1, 0.05);
    gm_evaluation_destroy(more);
}
END_TEST

/* --- Results --- */

START_TEST(results_are_computed_from_means_and_from_each_other)
{
    load(MODEL "evaluate e over 10 draws {\n"
               "  p = [0.11, 0.29, 0.41, 0.19] + 0 * RandomUniform <shape = [N, 4]> ()\n"
               "  mean marginal = p\n"
               "  logs = Log(marginal) / Log(2.0)\n"
               "  result entropy = -sum(marginal * logs), twice = 2 * entropy, count = N\n  result logs\n}\n");
    gm_evaluation *e = evaluated("e", 4, 0, 0);
    gm_tensor_view view;
    ck_assert_uint_eq(gm_evaluation_count(e), 5);
    ck_assert_double_eq_tol(figure(e, "entropy", 0), 1.850802, 2e-6);
    ck_assert_double_eq_tol(figure(e, "twice", 0), 2 * 1.850802, 4e-6);
    ck_assert_double_eq_tol(figure(e, "logs", 0), log2(0.11), 1e-5);
    require(gm_evaluation_value(e, 3, &view));
    ck_assert_str_eq(view.name, "count");
    ck_assert_int_eq(gm_evaluation_value(e, 5, &view), GM_ERROR_ARGUMENT);
    ck_assert_ptr_null(gm_evaluation_label(e, 0, 1));
    gm_evaluation_destroy(e);
}
END_TEST

START_TEST(without_examples_there_are_results_of_parameters)
{
    load(MODEL "network x () => (float v) { param v : float = 4 }\nevaluate e { result root = Sqrt(x()) }\n");
    gm_evaluation *e = evaluated("e", 0, 0, 0);
    ck_assert_int_eq(gm_evaluation_examples(e), 0);
    ck_assert_double_eq(figure(e, "root", 0), 2);
    gm_evaluation_destroy(e);
}
END_TEST

START_TEST(tables_of_a_data_set_are_constants_and_frozen)
{
    char file[64] = "/tmp/gmodel-test-XXXXXX";
    load(MODEL "data points = ring <modes = 4, radius = 2, width = 0.5, count = 100> { x : float[2] }\n"
               "network fixed () => (float[4, 2] v) { buffer v : float[4, 2] = points.centre }\n"
               "evaluate e { result far = sum(fixed() * points.centre), wide = 2 * points.width }\n");
    gm_evaluation *e = evaluated("e", 0, 0, 0);
    ck_assert_double_eq_tol(figure(e, "far", 0), 16, 1e-5);
    ck_assert_double_eq_tol(figure(e, "wide", 0), 1, 1e-6);
    gm_evaluation_destroy(e);
    ck_assert_int_ge(mkstemp(file), 0);
    require(gm_model_save(model, file));
    gm_model_destroy(model);
    model = NULL;
    require(gm_model_load(context, file, NULL, &model));
    e = evaluated("e", 0, 0, 0);
    ck_assert_double_eq_tol(figure(e, "far", 0), 16, 1e-5);
    gm_evaluation_destroy(e);
    unlink(file);
}
END_TEST

/* --- In a schedule --- */

static char folder[64];

static char *read_text(const char *name)
{
    static char text[4096];
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s is not there", path);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    return text;
}

static void train(const char *resume, int64_t epochs)
{
    gm_trainer_options options;
    gm_run_options run;
    gm_trainer *trainer = NULL;
    gm_trainer_options_default(&options, sizeof options);
    options.resume = resume;
    require(gm_trainer_create(model, &options, &trainer));
    gm_run_options_default(&run, sizeof run);
    run.out_directory = folder;
    run.epochs = epochs;
    require(gm_trainer_run(trainer, &run));
    gm_trainer_destroy(trainer);
}

/* f(x, y) = x y, in turns: y goes up, x goes down. */
static const char minmax[] =
    MODEL "network x () => (float v) { param v : float = 1 }\nnetwork y () => (float v) { param v : float = 1 }\n"
          "step up { minimize -(x() * y()) over y with SGD <rate = 1> }\n"
          "step down { minimize x() * y() over x with SGD <rate = 1> }\n"
          "evaluate table { result x = x(), y = y() }\n"
          "train epochs 6 of 1 iteration { up down  every 1 epoch table }\n";
static const char minmax_table[] = "epoch,iteration,x,y\n1,1,-1,2\n2,2,-2,1\n3,3,-1,-1\n4,4,1,-2\n5,5,2,-1\n6,6,1,1\n";

START_TEST(a_schedule_writes_a_row_each_time)
{
    char checkpoint[128];
    strcpy(folder, "/tmp/gmodel-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(checkpoint, sizeof checkpoint, "%s/checkpoint.gmodel", folder);
    load(minmax);
    train(NULL, 0);
    ck_assert_str_eq(read_text("table.csv"), minmax_table);
    train(NULL, 4); /* anew: its rows replace those of the longer one */
    train(checkpoint, 6);
    ck_assert_str_eq(read_text("table.csv"), minmax_table);
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

/* Its sign, which the processor chooses, is not told. */
START_TEST(what_is_not_a_number_has_no_sign)
{
    char command[128], text[1200];
    strcpy(folder, "/tmp/gmodel-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(text, sizeof text,
             MODEL "network x () => (float v) { param v : float = 1 }\n"
                   "step up { minimize -x() over x with SGD <rate = 1>}\n"
                   "evaluate table { result plus_root = Sqrt(-x()), minus_root = -Sqrt(-x()) }\n"
                   "train epochs 1 of 1 iteration { up  every 1 epoch table }\n");
    load(text);
    train(NULL, 0);
    ck_assert_str_eq(read_text("table.csv"), "epoch,iteration,plus_root,minus_root\n1,1,nan,nan\n");
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

START_TEST(a_trainers_evaluation_follows_its_parameters)
{
    gm_trainer *trainer = NULL;
    gm_evaluation *e = NULL;
    load(minmax);
    require(gm_trainer_create(model, NULL, &trainer));
    require(gm_evaluation_create_for_trainer(trainer, "table", NULL, &e));
    require(gm_evaluation_run(e));
    ck_assert_double_eq(figure(e, "y", 0), 1);
    require(gm_trainer_step(trainer, "up", NULL, 0));
    require(gm_evaluation_run(e));
    ck_assert_double_eq(figure(e, "y", 0), 2);
    gm_evaluation_destroy(e);
    gm_trainer_destroy(trainer);
}
END_TEST

/* --- Mistakes --- */

typedef struct mistake {
    const char *text, *message;
} mistake;

static const mistake mistakes[] = {
    {"evaluate e { mean m = 1.0 }\n",
     "t.gmodel:4:19: a mean needs examples: evaluate e on SET (...) or evaluate e over 1000 draws"},
    {"evaluate e on digits (float[N, 784] image) { mean m = ReduceMean(image, [0]) }\n",
     "t.gmodel:4:51: the mean 'm' must have a row for each of the N examples, or be a scalar; found float[1, 784]"},
    {"evaluate e on digits (float[N, 784] image) { result r = mean(image) }\n",
     "t.gmodel:4:53: the result 'r' depends on the examples ('image'): take a mean of it first, and compute with that"},
    {"evaluate e on digits (float[N, 784] image) { mean a = mean(image)  mean b = mean(image) - a }\n",
     "t.gmodel:4:73: the mean 'b' depends on the mean 'a', which is known only after the last batch"},
    {"evaluate e on digits (float[N, 784] image) { h = net(image) }\n",
     "t.gmodel:4:1: this evaluate tells nothing: it needs a mean or a result"},
    {"evaluate e over 0 draws { mean m = 1.0 }\n", "t.gmodel:4:1: the number of draws must be at least 1, found 0"},
    {"evaluate e on digitz (float[N, 784] image) { mean m = mean(image) }\n",
     "t.gmodel:4:1: there is no data set 'digitz'; did you mean 'digits'?"},
    {"evaluate e on digits (float[N, 28] image) { mean m = mean(image) }\n",
     "t.gmodel:4:1: the input 'image' of 'e' is float[N, 28], but a row of the field 'image' is float[784]"},
    {"evaluate e { result a = 1.0, a = 2.0 }\n", "t.gmodel:4:30: this evaluate has the result 'a' twice"},
    {"sample e { write y = RandomNormal <shape = [2, 2]> () }\nevaluate e { result a = 1.0 }\n",
     "t.gmodel:5:1: 'e' is a sample already; a train block could not tell them apart"},
    {"evaluate metrics { result a = 1.0 }\n",
     "t.gmodel:4:1: metrics.csv of a training holds the reports; choose another name than 'metrics'"},
    {"evaluate iterations { result a = 1.0 }\n",
     "t.gmodel:4:1: iterations.csv of a training holds the reports; choose another name than 'iterations'"},
    {"evaluate checkpoint { result a = 1.0 }\n",
     "t.gmodel:4:1: 'checkpoint' stands for the checkpoint in a train block; choose another name"},
    {"sample checkpoint { write y = RandomNormal <shape = [2, 2]> () }\n",
     "t.gmodel:4:1: 'checkpoint' stands for the checkpoint in a train block; choose another name"},
    {"evaluate e { result epoch = 1.0 }\n",
     "t.gmodel:4:21: the tables have a column 'epoch' of their own: result another_name = ..."},
    {"evaluate e over 3 draws { mean iteration = 1.0 }\n",
     "t.gmodel:4:32: the tables have a column 'iteration' of their own: mean another_name = ..."},
    {"evaluate e { result \"a,b\" = 1.0 }\n",
     "t.gmodel:4:21: the name 'a,b' cannot be a column of a table: result another_name = ..."},
    {"evaluate e { result a = sum(digits.centre) }\n", "t.gmodel:4:29: the data set has no table 'centre'"},
    /* a table that is opened behind a mistake takes nothing from it */
    {"data p = ring <modes = 8, radius = 2, width = 0.02, count = 50> { x : float[2] }\n"
     "evaluate e { result a = sum(nosuch), b = sum(p.centre) }\n",
     "t.gmodel:5:29: unknown name 'nosuch'"},
    {"const c = digits.count\nevaluate e { result a = 1.0 }\n",
     "t.gmodel:4:11: 'digits.count' is known in bodies, not here: a const is made before the data are looked at"},
    {"evaluate e { result a = 1 as words.name }\n",
     "t.gmodel:4:21: behind 'as' of a result stands a table of words: as words.name"},
    {"evaluate e { minimize 1.0 over net with SGD <rate = 1> }\n", "t.gmodel:4:14: 'minimize' stands only in a step"},
    {"step fit (float[N, 784] image) { minimize mean(net(image)) over net with SGD <rate = 1> }\n"
     "train digits batch 8 epochs 1 { fit  every 1 epoch quality }\n",
     "t.gmodel:5:38: there is no sample or evaluate 'quality'"},
};

START_TEST(mistakes_are_told_where_they_are)
{
    char text[2048];
    gm_model *made = NULL;
    snprintf(text, sizeof text, MODEL DIGITS NET "%s", mistakes[_i].text);
    ck_assert_int_eq(gm_model_load_memory(context, text, strlen(text), "t.gmodel", NULL, &made), GM_ERROR_MODEL);
    ck_assert_str_eq(gm_context_message(context), mistakes[_i].message);
}
END_TEST

START_TEST(an_unknown_evaluation_is_told)
{
    gm_evaluation *e = NULL;
    load(MODEL "evaluate quality { result a = 1.0 }\n");
    ck_assert_int_eq(gm_evaluation_create(model, "qualiti", NULL, &e), GM_ERROR_ARGUMENT);
    ck_assert_str_eq(gm_context_message(context), "the model has no evaluate 'qualiti'; did you mean 'quality'?");
    ck_assert_ptr_null(e);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("evaluation");
    TCase *cases = tcase_create("evaluation");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, a_mean_counts_each_example_once_whatever_the_batch);
    tcase_add_test(cases, draws_are_the_same_numbers_whatever_the_batch);
    tcase_add_test(cases, results_are_computed_from_means_and_from_each_other);
    tcase_add_test(cases, without_examples_there_are_results_of_parameters);
    tcase_add_test(cases, tables_of_a_data_set_are_constants_and_frozen);
    tcase_add_test(cases, a_schedule_writes_a_row_each_time);
    tcase_add_test(cases, what_is_not_a_number_has_no_sign);
    tcase_add_test(cases, a_trainers_evaluation_follows_its_parameters);
    tcase_add_loop_test(cases, mistakes_are_told_where_they_are, 0, sizeof mistakes / sizeof mistakes[0]);
    tcase_add_test(cases, an_unknown_evaluation_is_told);
    suite_add_tcase(suite, cases);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
