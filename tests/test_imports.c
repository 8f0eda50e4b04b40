/* Files that a text names: import, load, copy. A checkpoint of such a model needs none of them. */
#include "runtime/gmodel.h"

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static gm_context *context;
static gm_model *model;
static char folder[64];

static void require(gm_status status)
{
    ck_assert_msg(status == GM_OK, "%s: %s", gm_status_name(status), gm_context_message(context));
}

static const char *in_folder(const char *name)
{
    static char paths[4][128];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(in_folder(name), "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text, 1, strlen(text), file), strlen(text));
    fclose(file);
}

static void setup(void)
{
    require(gm_context_create(NULL, &context));
    model = NULL;
    strcpy(folder, "/tmp/gmodel-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void teardown(void)
{
    char command[128];
    gm_model_destroy(model);
    gm_context_destroy(context);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

static gm_status try_load(const char *name, const char *setting)
{
    gm_model_options options;
    gm_model_options_default(&options, sizeof options);
    options.settings = &setting;
    options.setting_count = setting != NULL;
    gm_model_destroy(model);
    model = NULL;
    return gm_model_load(context, in_folder(name), &options, &model);
}

static void load(const char *name, const char *setting)
{
    require(try_load(name, setting));
}

static void fails_with(const char *name, const char *message)
{
    char expected[1024];
    ck_assert_int_ne(try_load(name, NULL), GM_OK);
    snprintf(expected, sizeof expected, message, folder, folder);
    ck_assert_str_eq(gm_context_message(context), expected);
}

static void read_parameter(const char *path, float *values, size_t count)
{
    require(gm_model_read(model, path, values, count * sizeof *values));
}

/* Trains for some epochs and writes OUT; resumes from the checkpoint there if asked. */
static void train(const char *out, int64_t epochs, bool resume)
{
    gm_trainer_options options;
    gm_run_options run;
    gm_trainer *trainer = NULL;
    char checkpoint[192];
    gm_trainer_options_default(&options, sizeof options);
    snprintf(checkpoint, sizeof checkpoint, "%s/checkpoint.gmodel", in_folder(out));
    options.resume = resume ? checkpoint : NULL;
    require(gm_trainer_create(model, &options, &trainer));
    gm_run_options_default(&run, sizeof run);
    run.out_directory = in_folder(out);
    run.epochs = epochs;
    require(gm_trainer_run(trainer, &run));
    gm_trainer_destroy(trainer);
}

static double evaluate(const char *evaluation_name, const char *figure)
{
    gm_evaluation *evaluation = NULL;
    gm_tensor_view view = {0};
    double value;
    require(gm_evaluation_create(model, evaluation_name, NULL, &evaluation));
    require(gm_evaluation_run(evaluation));
    for (size_t i = 0; i < gm_evaluation_count(evaluation); i++) {
        require(gm_evaluation_value(evaluation, i, &view));
        if (strcmp(view.name, figure) == 0)
            break;
    }
    ck_assert_str_eq(view.name, figure);
    value = (double)((const float *)view.data)[0];
    gm_evaluation_destroy(evaluation);
    return value;
}

#define BASE                                                                                                           \
    "model base <gmodel = 1, opset = 21, seed = 5>\n"                                                                  \
    "const width = 4, twice = 2 * width, rate = 0.5\n"                                                                 \
    "network net (float[N, 3] x) => (float[N, twice] y) { y = Dense <twice> (x) }\n"                                   \
    "network other (float[N, 3] x) => (float[N, 1] y) { y = Dense <1> (x) }\n"                                         \
    "step fit {\n  x = RandomNormal <shape = [N, 3]> ()\n"                                                             \
    "  minimize mean(net(x) ^ 2) over net with SGD <rate = rate>\n}\n"                                                 \
    "train batch 4 epochs 2 of 3 iterations { fit }\n"

/* --- import --- */

START_TEST(a_declaration_replaces_an_imported_one)
{
    gm_parameter_info info;
    write_file("base.gmodel", BASE);
    write_file("mine.gmodel", "import \"base.gmodel\"\n"
                              "const width = 5\n"
                              "network other (float[N, 3] x) => (float[N, 2] y) { y = Dense <2, bias = 0> (x) }\n");
    load("mine.gmodel", NULL);
    ck_assert_str_eq(gm_model_name(model), "base");
    ck_assert_uint_eq(gm_model_parameter_count(model), 3);
    require(gm_model_parameter_info(model, 0, &info));
    ck_assert_str_eq(info.path, "net.y.Dense.W");
    ck_assert_int_eq(info.dims[1], 10); /* a const computed from the replaced one follows it */
    require(gm_model_parameter_info(model, 2, &info));
    ck_assert_str_eq(info.path, "other.y.Dense.W");
    ck_assert_int_eq(info.dims[1], 2);
    load("mine.gmodel", "width=7");
    require(gm_model_parameter_info(model, 0, &info));
    ck_assert_int_eq(info.dims[1], 14);
}
END_TEST

START_TEST(imports_go_through_folders_and_come_once)
{
    char command[128];
    snprintf(command, sizeof command, "mkdir %s/sub", folder);
    ck_assert_int_eq(system(command), 0);
    write_file("sub/base.gmodel", BASE);
    write_file("sub/a.gmodel", "import \"base.gmodel\"\nconst rate = 0.25\n");
    write_file("sub/b.gmodel", "import \"base.gmodel\"\n");
    write_file("top.gmodel", "import \"sub/a.gmodel\"\nimport \"sub/b.gmodel\"\nmodel top <gmodel = 1>\n");
    load("top.gmodel", NULL);
    ck_assert_str_eq(gm_model_name(model), "top");
    ck_assert_uint_eq(gm_model_part_count(model, GM_PART_NETWORK), 2);
}
END_TEST

START_TEST(a_checkpoint_contains_what_was_imported)
{
    float before[24], after[24];
    write_file("base.gmodel", BASE);
    write_file("mine.gmodel", "import \"base.gmodel\"\nmodel mine <gmodel = 1, seed = 2>\n");
    load("mine.gmodel", NULL);
    train("out", 2, false);
    load("out/checkpoint.gmodel", NULL);
    read_parameter("net.y.Dense.W", before, 24);
    unlink(in_folder("base.gmodel"));
    unlink(in_folder("mine.gmodel"));
    load("out/checkpoint.gmodel", NULL);
    read_parameter("net.y.Dense.W", after, 24);
    ck_assert_mem_eq(before, after, sizeof before);
    train("out", 3, true);
    load("out/checkpoint.gmodel", NULL);
    read_parameter("net.y.Dense.W", after, 24);
    ck_assert_mem_ne(before, after, sizeof before);
}
END_TEST

START_TEST(wrong_imports_are_told)
{
    write_file("a.gmodel", "import \"b.gmodel\"\n");
    write_file("b.gmodel", "import \"a.gmodel\"\n");
    fails_with("a.gmodel", "%s/b.gmodel:1:1: 'a.gmodel' imports itself, through others");
    write_file("c.gmodel", "model m <gmodel = 1>\nimport \"none.gmodel\"\n");
    fails_with("c.gmodel", "%s/c.gmodel:2:1: none.gmodel: cannot be opened: No such file or directory");
    write_file("d.gmodel", "model m <gmodel = 1>\nnetwork n (float[N] x) => (y) { y = Relo(x) }\n");
    write_file("e.gmodel", "import \"d.gmodel\"\n");
    fails_with("e.gmodel", "%s/d.gmodel:2:37: 'Relo' is not a network, a function or an operator that is known here; "
                           "did you mean 'Relu'?");
    write_file("base.gmodel", BASE);
    load("base.gmodel", NULL);
    require(gm_model_save(model, in_folder("binary.gmodel")));
    write_file("f.gmodel", "model m <gmodel = 1>\nimport \"binary.gmodel\"\n");
    fails_with("f.gmodel", "%s/f.gmodel:2:1: 'binary.gmodel' is a binary model; import takes a text, `load` takes a "
                           "trained network");
}
END_TEST

/* --- load --- */

static const char judged[] =
    "model judged <gmodel = 1, opset = 21>\n"
    "const judge_file = \"out/checkpoint.gmodel\", width = 1\n"
    "network judge = load(judge_file, \"net\")\n"
    "network mine (float[N, 3] x) => (float[N, 3] y) { y = Dense <3> (x) }\n"
    "network chain (float[N, 3] x) => (y) { y = judge(mine(x)) }\n"
    "step fit {\n  minimize mean(chain(RandomNormal <shape = [N, 3]> ()) ^ 2) over chain, mine\n"
    "    with SGD <rate = 0.1>\n}\n"
    "evaluate e { result first = Slice(judge([[1.0, 0.0, 0.0]]), [0], [1], [1]) }\n"
    "train batch 4 epochs 1 of 3 iterations { fit }\n";

START_TEST(a_loaded_network_keeps_its_weights_settings_and_is_not_trained)
{
    float weights[42], kept[42], mine[9], trained[9];
    write_file("base.gmodel", BASE);
    load("base.gmodel", "width=7"); /* the loaded file's own const, not the one of the file that loads it */
    train("out", 1, false);
    load("out/checkpoint.gmodel", NULL);
    read_parameter("net.y.Dense.W", weights, 42);
    write_file("judged.gmodel", judged);
    load("judged.gmodel", NULL);
    read_parameter("judge.y.Dense.W", kept, 42);
    ck_assert_mem_eq(weights, kept, sizeof weights);
    ck_assert_double_eq_tol(evaluate("e", "first"), (double)weights[0], 1.0); /* plus the bias */
    read_parameter("mine.y.Dense.W", mine, 9);
    train("second", 1, false);
    unlink(in_folder("out/checkpoint.gmodel"));
    unlink(in_folder("judged.gmodel"));
    load("second/checkpoint.gmodel", NULL);
    read_parameter("judge.y.Dense.W", kept, 42);
    read_parameter("mine.y.Dense.W", trained, 9);
    ck_assert_mem_eq(weights, kept, sizeof weights);
    ck_assert_mem_ne(mine, trained, sizeof mine);
    train("second", 2, true);
    load("second/checkpoint.gmodel", NULL);
    read_parameter("judge.y.Dense.W", kept, 42);
    ck_assert_mem_eq(weights, kept, sizeof weights);
}
END_TEST

/* A plain ONNX model is as good: its floating initializers are parameters, those of BatchNormalization buffers. */
START_TEST(a_plain_onnx_model_is_loaded_and_trained)
{
    float weight[4], mean[2], again[4];
    gm_trainer *trainer = NULL;
    gm_convert_options options;
    gm_convert_options_default(&options, sizeof options);
    options.kind = GM_FILE_ONNX;
    write_file("body.txt", "< ir_version: 10, opset_import: [\"\" : 21] >\n"
                           "body (float[N, 2] x) => (float[N, 2] y)\n"
                           "<float[2, 2] \"fc.weight\" = {1, 2, 3, 4}, float[2] one = {1, 1}, float[2] mean = {5, 6},\n"
                           " float[2] variance = {1, 1}, float[2] zero = {0, 0}>\n"
                           "{\n  h = MatMul(x, \"fc.weight\")\n  c = Constant <value_float = 0.5> ()\n  s = Mul(h, c)\n"
                           "  y = BatchNormalization <training_mode = 0> (s, one, zero, mean, variance)\n}\n");
    require(gm_convert(context, in_folder("body.txt"), in_folder("body.onnx"), &options));
    write_file("m.gmodel",
               "model m <gmodel = 1, opset = 21>\nnetwork pre = load(\"body.onnx\")\n"
               "network all (float[N, 2] x) => (float[N, 2] y) { y = Relu(pre(x)) }\n"
               "step fit (float[N, 2] x) {\n  minimize mean(pre(x) ^ 2) over pre with SGD <rate = 0.1>\n}\n");
    load("m.gmodel", NULL);
    require(gm_model_read(model, "pre.fc.weight", weight, sizeof weight));
    ck_assert_float_eq(weight[2], 3);
    require(gm_model_read(model, "pre.mean", mean, sizeof mean));
    ck_assert_float_eq(mean[1], 6);
    require(gm_trainer_create(model, NULL, &trainer));
    require(gm_trainer_step(trainer, "fit", &(gm_feed){"x", (float[]){1, 2}, 2 * sizeof(float)}, 1));
    require(gm_trainer_read(trainer, "pre.mean", mean, sizeof mean));
    ck_assert_float_ne(mean[1], 6); /* the mode is the step's: the running mean follows */
    require(gm_trainer_read(trainer, "pre.one", mean, sizeof mean));
    ck_assert_float_eq_tol(mean[1], 1, 0.5f);
    require(gm_trainer_read(trainer, "pre.fc.weight", weight, sizeof weight));
    require(gm_trainer_save(trainer, in_folder("c.gmodel")));
    gm_trainer_destroy(trainer);
    ck_assert_int_eq(unlink(in_folder("body.onnx")), 0);
    load("c.gmodel", NULL); /* has everything */
    require(gm_model_read(model, "pre.fc.weight", again, sizeof again));
    ck_assert_int_eq(memcmp(again, weight, sizeof again), 0);
    write_file("broken.onnx", "\x08\x08");
    write_file("b.gmodel", "model m <gmodel = 1, opset = 21>\nnetwork pre = load(\"broken.onnx\")\n");
    ck_assert_int_eq(try_load("b.gmodel", NULL), GM_ERROR_MODEL);
    ck_assert_ptr_nonnull(strstr(gm_context_message(context), "b.gmodel:2:20: "));
    ck_assert_ptr_nonnull(strstr(gm_context_message(context), "broken.onnx"));
}
END_TEST

START_TEST(networks_that_a_loaded_one_calls_come_with_it)
{
    float stored[9], loaded[9], mean[3];
    write_file("base.gmodel",
               "model base <gmodel = 1, opset = 21, main = outer>\n"
               "function double (float[N, K] x) => (y) { y = 2.0 * x }\n"
               "network inner (float[N, 3] x) => (float[N, 3] y) { y = BatchNorm(Dense <3, bias = 0> (x)) }\n"
               "network outer (float[N, 3] x) => (float[N, 3] y) { y = double(inner(x)) + Dense <3> (x) }\n");
    load("base.gmodel", NULL);
    read_parameter("inner.y.Dense.W", stored, 9);
    mean[0] = 3;
    mean[1] = mean[2] = 0;
    for (size_t i = 0; i < gm_model_parameter_count(model); i++) {
        gm_parameter_info info;
        require(gm_model_parameter_info(model, i, &info));
        if (info.is_buffer && strstr(info.path, ".m"))
            require(gm_model_write(model, info.path, mean, sizeof mean));
    }
    require(gm_model_save(model, in_folder("binary.gmodel")));
    write_file("user.gmodel", "model user <gmodel = 1, opset = 21>\nnetwork inner (float[N, 2] x) => (y) { y = "
                              "Dense <1> (x) }\nnetwork o = load(\"binary.gmodel\")\n"
                              "evaluate e { result at = o([[0.0, 0.0, 0.0]]) }\n");
    load("user.gmodel", NULL);
    read_parameter("o.inner.y.Dense.W", loaded, 9);
    ck_assert_mem_eq(stored, loaded, sizeof stored);
    ck_assert_double_lt(evaluate("e", "at"), -4); /* 2 (0 - 3) / sqrt(1 + eps) + b */
}
END_TEST

START_TEST(wrong_loads_are_told)
{
    write_file("base.gmodel", BASE);
    write_file("a.gmodel", "model m <gmodel = 1>\nnetwork j = load(\"base.gmodel\", \"net\")\n");
    fails_with("a.gmodel", "%s/a.gmodel:2:18: 'base.gmodel' is a text without weights; load takes a trained model: a "
                           "checkpoint.gmodel");
    load("base.gmodel", NULL);
    require(gm_model_save(model, in_folder("binary.gmodel")));
    write_file("b.gmodel", "model m <gmodel = 1>\nnetwork j = load(\"binary.gmodel\", \"nett\")\n");
    fails_with("b.gmodel", "%s/b.gmodel:2:13: 'binary.gmodel' has no network 'nett'; did you mean 'net'?");
    write_file("c.gmodel", "model m <gmodel = 1>\nnetwork j = load(3)\nnetwork k = copy(none)\n");
    fails_with("c.gmodel", "%s/c.gmodel:2:18: the file must be a string: load(\"classifier.gmodel\", \"classifier\")\n"
                           "%s/c.gmodel:3:18: this file has no network 'none'");
}
END_TEST

/* --- copy --- */

static const char averaged[] = "model averaged <gmodel = 1, opset = 21, seed = 4>\n"
                               "network net (float[N, 3] x) => (float[N, 2] y) { y = BatchNorm(Dense <2> (x)) }\n"
                               "network shadow = copy(net)\n"
                               "step fit {\n  minimize mean(net(RandomNormal <shape = [N, 3]> ())) over net with SGD "
                               "<rate = 0.5>\n  update shadow = 0.75 * shadow + 0.25 * net\n}\n"
                               "train batch 4 epochs 1 of 1 iteration { fit }\n";

START_TEST(a_copy_starts_equal_follows_by_update_and_shares_buffers)
{
    float net[6], shadow[6], start[6];
    gm_trainer *trainer = NULL;
    write_file("averaged.gmodel", averaged);
    load("averaged.gmodel", NULL);
    read_parameter("net.y.Dense.W", start, 6);
    read_parameter("shadow.y.Dense.W", shadow, 6);
    ck_assert_mem_eq(start, shadow, sizeof start);
    for (size_t i = 0; i < gm_model_parameter_count(model); i++) {
        gm_parameter_info info;
        require(gm_model_parameter_info(model, i, &info));
        ck_assert_msg(!info.is_buffer || strcmp(info.network, "net") == 0, "%s", info.path);
    }
    require(gm_trainer_create(model, NULL, &trainer));
    require(gm_trainer_step(trainer, "fit", NULL, 0));
    require(gm_trainer_read(trainer, "net.y.Dense.W", net, sizeof net));
    require(gm_trainer_read(trainer, "shadow.y.Dense.W", shadow, sizeof shadow));
    ck_assert_mem_ne(start, net, sizeof net);
    for (size_t i = 0; i < 6; i++)
        ck_assert_double_eq_tol((double)shadow[i], 0.75 * (double)start[i] + 0.25 * (double)net[i], 1e-6);
    gm_trainer_destroy(trainer);
    train("out", 1, false);
    write_file("user.gmodel",
               "model user <gmodel = 1, opset = 21>\nnetwork g = load(\"out/checkpoint.gmodel\", \"shadow\")\n");
    load("out/checkpoint.gmodel", NULL);
    read_parameter("shadow.y.Dense.W", shadow, 6);
    load("user.gmodel", NULL);
    read_parameter("g.y.Dense.W", net, 6);
    ck_assert_mem_eq(net, shadow, sizeof net);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("imports");
    TCase *cases = tcase_create("imports");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, a_declaration_replaces_an_imported_one);
    tcase_add_test(cases, imports_go_through_folders_and_come_once);
    tcase_add_test(cases, a_checkpoint_contains_what_was_imported);
    tcase_add_test(cases, wrong_imports_are_told);
    tcase_add_test(cases, a_loaded_network_keeps_its_weights_settings_and_is_not_trained);
    tcase_add_test(cases, a_plain_onnx_model_is_loaded_and_trained);
    tcase_add_test(cases, networks_that_a_loaded_one_calls_come_with_it);
    tcase_add_test(cases, wrong_loads_are_told);
    tcase_add_test(cases, a_copy_starts_equal_follows_by_update_and_shares_buffers);
    suite_add_tcase(suite, cases);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
