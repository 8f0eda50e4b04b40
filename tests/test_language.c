/* The language through gm_program_compile and the public API: every kind of error with its place and words, and what programs
 * mean: paths, sharing, modes, buffers, gradients, optimizers, updates, settings. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/operator.h"
#include "graph/program.h"

static gm_context *context;

/* --- Errors --- */

#define HEAD "model m <gmodel = 1, opset = 21>\n"
#define NET  "network net (float[N, 4] x) => (float[N, 2] y) { y = Dense <2> (x) }\n"

typedef struct gm_mistake {
    const char *name, *text, *message;
} gm_mistake;

static const gm_mistake mistakes[] = {
    {"unknown_declaration", HEAD "netwrk n (float[N, 4] x) => (y) { y = Relu(x) }\n",
     "t.gmodel:2:1: expected a declaration (model, import, const, data, network, function, step, train ...), found "
     "'netwrk'; did you mean 'network'?"},
    {"unknown_statement",
     HEAD NET "step fit (float[N, 4] x) {\n"
              "  loss = mean(net(x))\n"
              "  minimise loss over net with SGD <rate = 0.1>\n"
              "}\n",
     "t.gmodel:5:3: expected a statement (name = expression, or param, minimize, report ...) or '}', found 'minimise'; "
     "did you mean 'minimize'?"},
    {"unknown_operator", HEAD "network n (float[N, 4] x) => (float[N, 4] y) { y = LeakyRelo(x) }\n",
     "t.gmodel:2:52: 'LeakyRelo' is not a network, a function or an operator that is known here; did you mean "
     "'LeakyRelu'?"},
    {"unknown_attribute", HEAD "network n (float[N, 4] x) => (float[N, 4] y) { y = LeakyRelu <alhpa = 0.1> (x) }\n",
     "t.gmodel:2:63: the operator LeakyRelu has no attribute 'alhpa'; did you mean 'alpha'?"},
    {"unknown_function_attribute",
     HEAD "network n (float[N, 4] x) => (float[N, 4] y) { y = Dense <4, bais = 0> (x) }\n",
     "t.gmodel:2:62: 'Dense' has no attribute 'bais'; did you mean 'bias'?"},
    {"unknown_name", HEAD "network n (float[N, 4] input) => (float[N, 4] y) { y = Relu(inptu) }\n",
     "t.gmodel:2:61: unknown name 'inptu'; did you mean 'input'?"},
    {"wrong_arity", HEAD "network n (float[N, 4] x) => (float[N, 4] y) { y = Add(x) }\n",
     "t.gmodel:2:52: the operator Add takes 2 inputs (A B), found 1"},
    {"wrong_arity_function", HEAD "network n (float[N, 4] x) => (float[N, 4] y) { y = Dense <4> (x, x) }\n",
     "t.gmodel:2:52: 'Dense' takes 1 input, found 2"},
    {"shape_mismatch",
     HEAD "network n (float[N, 4] x, float[N, 5] z) => (float[N, 4] y) {\n"
          "  y = Relu(x + z)\n"
          "}\n",
     "t.gmodel:3:14: node 'n.y.Add' (Add): shapes float[N, 4] and float[N, 5] do not broadcast: axis 1 is not equal"},
    {"output_shape", HEAD "network n (float[N, 4] x) => (float[N, 3] y) { y = Dense <4> (x) }\n",
     "t.gmodel:2:31: output 'y' of 'n' must be float[N, 3], found float[N, 4]"},
    {"unknown_dimension",
     HEAD "const latent = 3\n"
          "network n (float[N, latnet] x) => (y) { y = Relu(x) }\n",
     "t.gmodel:3:21: unknown dimension 'latnet': it is neither a const nor an attribute, and dimensions that inputs "
     "bind start with a capital letter; did you mean 'latent'?"},
    {"cycle",
     HEAD "network a (float[N, 4] x) => (float[N, 4] y) { y = b(x) }\n"
          "network b (float[N, 4] x) => (float[N, 4] y) { y = a(x) }\n",
     "t.gmodel:3:52: a call goes round in a circle: a -> b -> a"},
    {"unreached",
     HEAD NET "network other (float[N, 2] x) => (float[N, 1] y) { y = Dense <1> (x) }\n"
              "step fit (float[N, 4] x) {\n"
              "  loss = mean(other(net(x)))\n"
              "  minimize loss over net with SGD <rate = 0.1>\n"
              "}\n"
              "train epochs 1 of 1 iteration { fit }\n",
     "t.gmodel:3:56: no minimize reaches the parameter 'other.y.Dense.W', which step 'fit' uses; name it behind "
     "`over`, or declare it a buffer if it shall stay as it is\n"
     "t.gmodel:3:56: no minimize reaches the parameter 'other.y.Dense.b', which step 'fit' uses; name it behind "
     "`over`, or declare it a buffer if it shall stay as it is"},
    {"independent",
     HEAD NET "network other (float[N, 4] x) => (float[N, 1] y) { y = Dense <1> (x) }\n"
              "step fit (float[N, 4] x) {\n"
              "  loss = mean(net(x))\n"
              "  minimize loss over other with SGD <rate = 0.1>\n"
              "}\n",
     "t.gmodel:6:3: the loss depends on no parameter behind 'over'; gradients may be cut by detach"},
    {"detached",
     HEAD NET "step fit (float[N, 4] x) {\n"
              "  loss = mean(detach(net(x)))\n"
              "  minimize loss over net with SGD <rate = 0.1>\n"
              "}\n",
     "t.gmodel:5:3: the loss depends on no parameter behind 'over'; gradients may be cut by detach"},
    {"twice",
     HEAD NET "step fit (float[N, 4] x) {\n"
              "  loss = mean(net(x))\n"
              "  minimize loss over net with SGD <rate = 0.1>\n"
              "  minimize 2 * loss over net with SGD <rate = 0.1>\n"
              "}\n",
     "t.gmodel:6:3: the parameter 'net.y.Dense.W' stands behind two minimize statements of the step 'fit': minimize "
     "the sum of the losses"},
    {"non_scalar",
     HEAD NET "step fit (float[N, 4] x) {\n"
              "  loss = mean(net(x) ^ 2)\n"
              "  minimize loss over net with SGD <rate = 0.1>\n"
              "  report Mean(net(x))\n"
              "}\n",
     "t.gmodel:6:10: report needs a name here: report NAME = ..."},
    {"duplicate", HEAD NET "network net (float[N, 4] x) => (float[N, 2] y) { y = Dense <2> (x) }\n",
     "t.gmodel:3:1: 'net' is declared twice"},
    {"no_version",
     "model m <opset = 21>\n"
     "network net (float[N, 4] x) => (float[N, 2] y) { y = Dense <2> (x) }\n",
     "t.gmodel:1:1: the version of the language is missing: model m <gmodel = 1, ...>"},
    {"no_model", "network net (float[N, 4] x) => (float[N, 2] y) { y = Dense <2> (x) }\n",
     "t.gmodel:1:1: the file must begin with: model NAME <gmodel = 1, opset = 21>"},
    {"write_in_step",
     HEAD NET "step fit (float[N, 4] x) {\n"
              "  loss = mean(net(x) ^ 2)\n"
              "  minimize loss over net with SGD <rate = 0.1>\n"
              "  write x\n"
              "}\n",
     "t.gmodel:6:3: 'write' stands only in a sample"},
    {"minimize_in_sample", HEAD NET "sample s { minimize 1 over net with SGD <rate = 1> }\n",
     "t.gmodel:3:12: 'minimize' stands only in a step"},
    {"unknown_step",
     HEAD NET "step fit (float[N, 4] x) {\n"
              "  loss = mean(net(x) ^ 2)\n"
              "  minimize loss over net with SGD <rate = 0.1>\n"
              "}\n"
              "train epochs 1 of 1 iteration { fti }\n",
     "t.gmodel:7:33: there is no step 'fti'; did you mean 'fit'?"},
    {"unknown_optimizer",
     HEAD NET "step fit (float[N, 4] x) {\n"
              "  loss = mean(net(x) ^ 2)\n"
              "  minimize loss over net with Adan <rate = 0.1>\n"
              "}\n",
     "t.gmodel:5:3: unknown optimizer 'Adan'; did you mean 'Adam'?"},
    {"no_rate",
     HEAD NET "step fit (float[N, 4] x) {\n"
              "  loss = mean(net(x) ^ 2)\n"
              "  minimize loss over net with SGD\n"
              "}\n",
     "t.gmodel:5:3: the optimizer SGD needs a rate: SGD <rate = 1e-3>"},
    {"unknown_over",
     HEAD NET "step fit (float[N, 4] x) {\n"
              "  loss = mean(net(x) ^ 2)\n"
              "  minimize loss over nte with SGD <rate = 0.1>\n"
              "}\n",
     "t.gmodel:5:22: no parameter is called 'nte' or lies under it; did you mean 'net'?"},
    {"no_gradient",
     HEAD NET "step fit (float[N, 4] x) {\n"
              "  loss = mean(Cast <to = float> (ArgMax <axis = 1> (net(x))))\n"
              "  minimize loss over net with SGD <rate = 0.1>\n"
              "}\n",
     "t.gmodel:5:3: the loss depends on no parameter behind 'over'; gradients may be cut by detach"},
    {"two_errors",
     HEAD "network n (float[N, 4] x) => (float[N, 4] y) { y = Relo(x) }\n"
          "network k (float[N, 4] x) => (float[N, 4] y) { y = Tahn(n(x)) }\n",
     "t.gmodel:2:52: 'Relo' is not a network, a function or an operator that is known here; did you mean 'Relu'?\n"
     "t.gmodel:3:52: 'Tahn' is not a network, a function or an operator that is known here; did you mean 'Tanh'?"},
    {"syntax",
     HEAD "network n (float[N, 4] x) => (float[N, 4] y) { y = Relu(x }\n"
          "network k (float[N 4] x) => (y) { y = Relu(x) }\n",
     "t.gmodel:2:59: expected ',' or ')' behind an argument, found '}'\n"
     "t.gmodel:3:20: expected ',' or ']' behind a dimension, found '4'"},
    {"imports",
     "import \"x.gmodel\"\n"
     "model m <gmodel = 1, opset = 21>\n"
     "network net (float[N, 4] x) => (float[N, 2] y) { y = Dense <2> (x) }\n",
     "t.gmodel:1:1: x.gmodel: cannot be opened: No such file or directory"},
    {"load", HEAD "network j = load(\"c.gmodel\", \"c\")\n",
     "t.gmodel:2:18: c.gmodel: cannot be opened: No such file or directory"},
    {"update_called", HEAD NET "step s { y = SGD(0.1, net(x), net(x)) }\n",
     "t.gmodel:3:14: 'SGD' updates parameters: it stands behind `with` of a minimize"},
    {"bad_field", HEAD "data d = mnist { image : float[784] in [0] }\n",
     "t.gmodel:2:40: the range of a field is a list of two numbers: in [0, 1]"},
    {"non_scalar_named",
     HEAD NET "step fit (float[N, 4] x) {\n"
              "  loss = mean(net(x) ^ 2)\n"
              "  minimize loss over net with SGD <rate = 0.1>\n"
              "  report r = Mean(net(x))\n"
              "}\n",
     "t.gmodel:6:10: the report 'r' must be a scalar, found float[N, 2]; mean(...) or sum(...) makes one"},
    {"unknown_data_set",
     HEAD NET "step fit (float[N, 4] x) {\n"
              "  loss = mean(net(x) ^ 2)\n"
              "  minimize loss over net with SGD <rate = 0.1>\n"
              "}\n"
              "data d = mnist { image : float[784] in [0, 1] }\n"
              "train e batch 2 epochs 1 { fit }\n",
     "t.gmodel:8:1: there is no data set 'e'"},
    {"train_without_length",
     HEAD NET "step fit (float[N, 4] x) {\n"
              "  loss = mean(net(x) ^ 2)\n"
              "  minimize loss over net with SGD <rate = 0.1>\n"
              "}\n"
              "train batch 2 epochs 1 { fit }\n",
     "t.gmodel:7:1: a train block without data needs the length of an epoch: train epochs 10 of 100 iterations"},
    {"dense_on_images", HEAD "network n (float[N, 1, 28, 28] x) => (float[N, 4] y) { y = Dense <4> (x) }\n",
     "t.gmodel:2:71: input 'x' of 'Dense' must be float[N, K], found float[N, 1, 28, 28]"},
    {"symbolic_parameter", HEAD "network n (float[N, K] x) => (float[N, 4] y) { y = Dense <4> (x) }\n",
     "t.gmodel:2:52: the size K of 'n.y.Dense.W' is not known at load: a parameter cannot depend on the batch; give "
     "the network's input a number there"},
    {"opset", "model m <gmodel = 1, opset = 0>\n" NET,
     "t.gmodel:1:22: the opset is a version of ONNX, such as 21; found 0"},
    {"model_attribute_twice", "model m <gmodel = 1, seed = 1, seed = 2>\n" NET,
     "t.gmodel:1:32: the attribute 'seed' is given twice"},
    {"range_backwards", HEAD "data d = mnist { image : float[784] in [1, 0] }\n",
     "t.gmodel:2:40: the range of a field goes from low to high, found [1, 0]"},
    {"field_twice", HEAD "data d = mnist { image : float[784] in [0, 1], image : float[784] }\n",
     "t.gmodel:2:48: the data set 'd' has two fields called 'image'"},
    {"data_twice", HEAD "data d = mnist { image : float[784] }\ndata d = mnist { image : float[784] }\n",
     "t.gmodel:3:1: the data set 'd' is declared twice"},
    {"input_twice", HEAD "network n (float[N, 3] x, float[N, 3] x) => (float[N, 3] y) { y = Relu(x) }\n",
     "t.gmodel:2:27: the name 'x' is used twice here; it was first given at line 2"},
    {"output_twice", HEAD "network n (float[N, 3] x) => (float[N, 3] y, float[N, 3] y) { y = Relu(x) }\n",
     "t.gmodel:2:46: 'n' has two outputs called 'y'"},
    {"attribute_twice", HEAD "network n (float[N, 3] x) => (float[N, 3] y) { y = Dense <3, units = 3> (x) }\n",
     "t.gmodel:2:62: the attribute 'units' is given twice"},
    {"optimizer_twice", HEAD "optimizer o = SGD <rate = 1>\noptimizer o = Adam <rate = 1>\n" NET,
     "t.gmodel:3:1: the optimizer 'o' is declared twice"},
    {"optimizer_called_adam", HEAD "optimizer Adam = SGD <rate = 1>\n" NET,
     "t.gmodel:2:1: 'Adam' is the name of an optimizer; call this one otherwise"},
    {"nothing_left",
     HEAD NET "step fit (float[N, 4] x) { minimize mean(net(x)) over net except net with SGD <rate = 0.1> }\n",
     "t.gmodel:3:28: 'except' leaves no parameter of those behind 'over'"},
    {"batch_in_a_sample", HEAD NET "sample s { write y = net(RandomNormal <shape = [N, 4]> ()) }\n",
     "t.gmodel:3:49: N, the batch, is known only in steps and networks: write a number in a sample"},
    {"ellipsis",
     HEAD "function pair (float[N, ...] a, float[N, ...] b) => (float[N, ...] y) { y = a + b }\n"
          "network n (float[N, 3, 4] x, float[N, 3] z) => (y) { y = pair(x, z) }\n",
     "t.gmodel:3:66: input 'b' of 'pair' must be float[N, 3, 4], found float[N, 3]"},
    {"data_attribute_twice", HEAD "data d = ring <modes = 8, modes = 9> { x : float[2] }\n",
     "t.gmodel:2:27: the attribute 'modes' is given twice"},
    {"rows_of_a_sample", HEAD "data d = ring { x : float[2] }\nsample s on d (float[N, 2] x) { write x }\n",
     "t.gmodel:3:1: the first dimension of the input 'x' of the sample 's' must be a number of rows"},
    {"mode", HEAD NET "sample s { write y = net <training = 2> ([[1.0, 2.0, 3.0, 4.0]]) }\n",
     "t.gmodel:3:27: the attribute 'training' must be 0 or 1, found 2"},
    {"update_from_nothing",
     HEAD NET "network shadow (float[N, 4] x) => (float[N, 2] y) { y = Dense <2> (x) }\n"
              "step fit (float[N, 4] x) {\n"
              "  minimize mean(net(x)) over net with SGD <rate = 0.1>\n"
              "  update shadow = 0.9 * shadow + 0.1 * nett\n"
              "}\n",
     "t.gmodel:6:40: unknown name 'nett'; did you mean 'net'?"},
    {"half_a_batch", HEAD "network n (float[N, 4] x) => (y) { y = Reshape(x, [N / 2, 8]) }\n",
     "t.gmodel:2:54: N / 2 is not a whole size for every batch"},
    {"attributes_of_gradient", HEAD "network n (float[N, 4] x) => (y) { y = gradient <order = 2> (x, x) }\n",
     "t.gmodel:2:50: 'gradient' has no attributes"},
    {"once_for_two_train_blocks",
     HEAD NET "data d = ring { x : float[2] }\n"
              "step fit (float[N, 4] x) { minimize mean(net(x)) over net with SGD <rate = 0.1> }\n"
              "train d batch 2 epochs 1 { fit }\n"
              "train d batch 4 epochs 1 { fit }\n",
     "t.gmodel:4:1: the input 'x' of 'fit' is float[N, 4], but a row of the field 'x' is float[2]"},
    {"opset_of_the_future", "model m <gmodel = 1, opset = 99>\n" NET,
     "t.gmodel:1:1: operator set 99 is newer than 28, the newest that is known here"},
    {"plain_onnx",
     "<ir_version: 10, opset_import: [\"\" : 21]>\n"
     "agraph (float[N] x) => (float[N] y) { y = Dense(x) }\n",
     "t.gmodel:2:43: node 'agraph.y.Dense' (Dense, operator set 21): this operator is not supported"},
};

START_TEST(each_kind_of_error_is_told_with_place_and_remedy)
{
    const gm_mistake *mistake = &mistakes[_i];
    gm_model *model = NULL;
    gm_status status = gm_model_load_memory(context, mistake->text, strlen(mistake->text), "t.gmodel", NULL, &model);
    ck_assert_msg(status == GM_ERROR_MODEL || status == GM_ERROR_UNSUPPORTED, "%s: %s", mistake->name,
                  gm_status_name(status));
    ck_assert_msg(strcmp(gm_context_message(context), mistake->message) == 0, "%s:\n  told:     %s\n  expected: %s",
                  mistake->name, gm_context_message(context), mistake->message);
}
END_TEST

START_TEST(at_most_twenty_errors_are_told)
{
    char text[4096] = HEAD;
    gm_model *model = NULL;
    size_t lines = 1;
    for (int i = 0; i < 30; i++)
        sprintf(text + strlen(text), "network n%d (float[N, 4] x) => (float[N, 4] y) { y = Relo(x) }\n", i);
    ck_assert_int_eq(gm_model_load_memory(context, text, strlen(text), "t.gmodel", NULL, &model), GM_ERROR_MODEL);
    for (const char *c = gm_context_message(context); *c; c++)
        lines += *c == '\n';
    ck_assert_uint_eq(lines, 20);
}
END_TEST

/* --- Programs --- */

static void require(gm_status status)
{
    ck_assert_msg(status == GM_OK, "%s: %s", gm_status_name(status), gm_context_message(context));
}

static gm_model *load_with(const char *text, const char *const *settings)
{
    gm_model_options options;
    gm_model *model;
    gm_model_options_default(&options, sizeof options);
    options.settings = settings;
    while (settings && settings[options.setting_count])
        options.setting_count++;
    require(gm_model_load_memory(context, text, strlen(text), "t.gmodel", &options, &model));
    return model;
}

static gm_model *load(const char *text)
{
    return load_with(text, NULL);
}

static gm_trainer *trainer_of(const gm_model *model, int64_t batch)
{
    gm_trainer_options options;
    gm_trainer *trainer;
    gm_trainer_options_default(&options, sizeof options);
    options.batch = batch;
    require(gm_trainer_create(model, &options, &trainer));
    return trainer;
}

static double scalar(const gm_trainer *trainer, const char *path)
{
    float value;
    require(gm_trainer_read(trainer, path, &value, sizeof value));
    return (double)value;
}

static double report(const gm_trainer *trainer, const char *name)
{
    double value;
    require(gm_trainer_report(trainer, name, &value));
    return value;
}

static void has_parameters(const gm_model *model, const char *const *paths)
{
    size_t count = 0;
    for (; paths[count]; count++) {
        gm_parameter_info info;
        require(gm_model_parameter_info(model, count, &info));
        ck_assert_str_eq(info.path, paths[count]);
    }
    ck_assert_uint_eq(gm_model_parameter_count(model), count);
}

START_TEST(paths_follow_network_statement_label_and_callee)
{
    gm_model *model = load(HEAD "function Block <units> (float[N, K] x) => (float[N, units] y) {\n"
                                "  y = Dense <units, bias = 0> (Relu(Dense <units, bias = 0> (x)))\n"
                                "}\n"
                                "network inner (float[N, 3] x) => (float[N, 3] y) { y = Dense <3, bias = 0> (x) }\n"
                                "network outer (float[N, 3] x) => (float[N, 2] y) {\n"
                                "  [first] h = inner(x)\n"
                                "  g = Block <5> (h)\n"
                                "  y = Dense <2> (g)\n"
                                "}\n");
    has_parameters(model,
                   (const char *const[]){"inner.y.Dense.W", "outer.g.Block.y.Dense.W", "outer.g.Block.y.Dense_2.W",
                                         "outer.y.Dense.W", "outer.y.Dense.b", NULL});
    gm_model_destroy(model);
}
END_TEST

START_TEST(networks_of_one_body_have_parameters_of_their_own)
{
    gm_model *model = load(HEAD "network s0, s1 (float[N, 1] a) => (float[N, 1] y) { y = Dense <1, bias = 0> (a) }\n");
    has_parameters(model, (const char *const[]){"s0.y.Dense.W", "s1.y.Dense.W", NULL});
    gm_model_destroy(model);
}
END_TEST

/* loss = (w * 3)^2 through two calls of one network: its gradient is the sum over both uses. */
START_TEST(calls_of_a_network_share_its_parameters)
{
    gm_model *model = load(HEAD "network p () => (float v) { param w : float = 2 \n v = 3 * w }\n"
                                "step s {\n"
                                "  loss = p() * p()\n"
                                "  minimize loss over p with SGD <rate = 0.5>\n"
                                "  report loss\n"
                                "}\n");
    gm_trainer *trainer = trainer_of(model, 1);
    require(gm_trainer_step(trainer, "s", NULL, 0));
    ck_assert_double_eq(report(trainer, "loss"), 36.0);
    ck_assert_double_eq(scalar(trainer, "p.w"), 2.0 - 0.5 * 18 * 2);
    gm_trainer_destroy(trainer);
    gm_model_destroy(model);
}
END_TEST

/* Literals are exact: 4 / 3 is no integer division, a sign binds weaker than a power. */
START_TEST(arithmetic_among_literals_is_exact)
{
    gm_model *model = load(HEAD "const third = 4 / 3\n"
                                "network p () => (float v) { param v : float = 2 }\n"
                                "step s {\n"
                                "  x = p()\n"
                                "  minimize 0 * x over p with SGD <rate = 1>\n"
                                "  report a = third * x, b = -x ^ 2, c = 2 ^ 3 * x, d = (1 - x) / 4 + 1\n"
                                "}\n");
    gm_trainer *trainer = trainer_of(model, 1);
    require(gm_trainer_step(trainer, "s", NULL, 0));
    ck_assert_double_eq_tol(report(trainer, "a"), 8.0 / 3.0, 1e-6);
    ck_assert_double_eq(report(trainer, "b"), -4.0);
    ck_assert_double_eq(report(trainer, "c"), 16.0);
    ck_assert_double_eq(report(trainer, "d"), 0.75);
    gm_trainer_destroy(trainer);
    gm_model_destroy(model);
}
END_TEST

/* y = w^3: dy/dw = 3 w^2; minimizing it uses d(3 w^2)/dw = 6 w. */
START_TEST(gradient_can_be_differentiated_again)
{
    gm_model *model = load(HEAD "network p () => (float v) { param v : float = 2 }\n"
                                "step s {\n"
                                "  w = p()\n"
                                "  slope = gradient(w * w * w, w)\n"
                                "  minimize slope over p with SGD <rate = 0.1>\n"
                                "  report slope\n"
                                "}\n");
    gm_trainer *trainer = trainer_of(model, 1);
    require(gm_trainer_step(trainer, "s", NULL, 0));
    ck_assert_double_eq_tol(report(trainer, "slope"), 12.0, 1e-5);
    ck_assert_double_eq_tol(scalar(trainer, "p.v"), 2.0 - 0.1 * 12.0, 1e-5);
    gm_trainer_destroy(trainer);
    gm_model_destroy(model);
}
END_TEST

/* loss = detach(a) * a: the gradient sees one factor only. */
START_TEST(detach_cuts_the_gradient)
{
    gm_model *model = load(HEAD "network p () => (float v) { param v : float = 3 }\n"
                                "step s {\n"
                                "  a = p()\n"
                                "  minimize detach(a) * a over p with SGD <rate = 1>\n"
                                "}\n");
    gm_trainer *trainer = trainer_of(model, 1);
    require(gm_trainer_step(trainer, "s", NULL, 0));
    ck_assert_double_eq(scalar(trainer, "p.v"), 0.0);
    gm_trainer_destroy(trainer);
    gm_model_destroy(model);
}
END_TEST

/* Both minimizes see the values of before the step; the updates then follow in their order. */
START_TEST(updates_come_after_all_optimizers_in_order_of_writing)
{
    gm_model *model = load(HEAD "network a () => (float v) { param v : float = 1 }\n"
                                "network b () => (float v) { param v : float = 2 }\n"
                                "network shadow () => (float v) { buffer v : float = 0 }\n"
                                "step s {\n"
                                "  f = a() * b()\n"
                                "  minimize f over a with SGD <rate = 1>\n"
                                "  minimize -f over b with SGD <rate = 1>\n"
                                "  update a = Clip(a, -0.5, 0.5)\n"
                                "  update shadow = shadow + 10 * a\n"
                                "  report f\n"
                                "}\n");
    gm_trainer *trainer = trainer_of(model, 1);
    require(gm_trainer_step(trainer, "s", NULL, 0));
    ck_assert_double_eq(scalar(trainer, "b.v"), 2.0 + 1.0); /* with a = 1 */
    ck_assert_double_eq(scalar(trainer, "a.v"), -0.5);      /* 1 - 2, then clipped */
    ck_assert_double_eq(scalar(trainer, "shadow.v"), -5.0); /* of the clipped one */
    gm_trainer_destroy(trainer);
    gm_model_destroy(model);
}
END_TEST

START_TEST(except_leaves_parameters_alone)
{
    gm_model *model =
        load(HEAD "network p () => (float y) { param v : float = 1 \n param w : float = 1 \n y = v * w }\n"
                  "step s { minimize p() over p except p.w with SGD <rate = 1> }\n");
    gm_trainer *trainer = trainer_of(model, 1);
    require(gm_trainer_step(trainer, "s", NULL, 0));
    ck_assert_double_eq(scalar(trainer, "p.v"), 0.0);
    ck_assert_double_eq(scalar(trainer, "p.w"), 1.0);
    gm_trainer_destroy(trainer);
    gm_model_destroy(model);
}
END_TEST

/* Momentum from two steps: own states keep apart, a declared optimizer is one state. */
START_TEST(a_declared_optimizer_shares_its_state_between_steps)
{
    static const char text[] = HEAD "optimizer shared = Momentum <rate = 1, momentum = 0.5>\n"
                                    "network p () => (float v) { param v : float = 0 }\n"
                                    "step one { minimize p() over p with shared }\n"
                                    "step two { minimize p() over p with shared }\n"
                                    "step own { minimize p() over p with Momentum <rate = 1, momentum = 0.5> }\n";
    gm_model *model = load(text);
    gm_trainer *trainer = trainer_of(model, 1);
    require(gm_trainer_step(trainer, "one", NULL, 0));
    ck_assert_double_eq(scalar(trainer, "p.v"), -1.0);
    require(gm_trainer_step(trainer, "two", NULL, 0)); /* velocity 1.5 */
    ck_assert_double_eq(scalar(trainer, "p.v"), -2.5);
    require(gm_trainer_step(trainer, "own", NULL, 0)); /* a velocity of its own */
    ck_assert_double_eq(scalar(trainer, "p.v"), -3.5);
    gm_trainer_destroy(trainer);
    gm_model_destroy(model);
}
END_TEST

/* Two forward passes move the running mean twice, the second from the first's result; <training = 0> moves nothing. */
START_TEST(buffers_are_written_by_each_training_call_in_turn)
{
    static const char text[] = HEAD "network n (float[N, 1] x) => (float[N, 1] y) { y = BatchNorm(x) }\n"
                                    "step twice (float[N, 1] x) {\n"
                                    "  loss = mean(n(x) + n(x))\n"
                                    "  minimize loss over n with SGD <rate = 0>\n"
                                    "}\n"
                                    "step not (float[N, 1] x) {\n"
                                    "  loss = mean(n <training = 0> (x))\n"
                                    "  minimize loss over n with SGD <rate = 0>\n"
                                    "  report inferred = loss\n"
                                    "}\n";
    gm_model *model = load(text);
    gm_trainer *trainer = trainer_of(model, 2);
    float x[2] = {1, 3};
    gm_feed feed = {"x", x, sizeof x};
    require(gm_trainer_step(trainer, "twice", &feed, 1));
    ck_assert_double_eq_tol(scalar(trainer, "n.y.BatchNorm.m"), 2.0 * 0.1 + 0.9 * (2.0 * 0.1), 1e-6);
    ck_assert_double_eq_tol(scalar(trainer, "n.y.BatchNorm.v"), 1.0, 1e-6);
    require(gm_trainer_step(trainer, "not", &feed, 1));
    ck_assert_double_eq_tol(scalar(trainer, "n.y.BatchNorm.m"), 0.38, 1e-6);
    ck_assert_double_eq_tol(report(trainer, "inferred"), (2.0 - 0.38) / sqrt(1.0 + 1e-3), 1e-5);
    gm_trainer_destroy(trainer);
    gm_model_destroy(model);
}
END_TEST

START_TEST(rates_follow_the_iteration)
{
    gm_model *model = load(HEAD "network p () => (float v) { param v : float = 0 }\n"
                                "step s { minimize -p() over p with SGD <rate = Min(10, iteration)> }\n"
                                "train epochs 2 of 3 iterations { s }\n");
    gm_trainer *trainer = trainer_of(model, 1);
    require(gm_trainer_run(trainer, NULL));
    ck_assert_double_eq(scalar(trainer, "p.v"), 0 + 1 + 2 + 3 + 4 + 5);
    gm_trainer_destroy(trainer);
    gm_model_destroy(model);
}
END_TEST

START_TEST(the_batch_is_a_number_in_expressions)
{
    gm_model *model = load(HEAD NET "step s (float[N, 4] x) {\n"
                                    "  minimize mean(net(x)) over net with SGD <rate = 0>\n"
                                    "  report total = sum(x) / N\n"
                                    "}\n");
    gm_trainer *trainer = trainer_of(model, 3);
    float x[12];
    gm_feed feed = {"x", x, sizeof x};
    for (int i = 0; i < 12; i++)
        x[i] = 1;
    require(gm_trainer_step(trainer, "s", &feed, 1));
    ck_assert_double_eq(report(trainer, "total"), 4.0);
    gm_trainer_destroy(trainer);
    gm_model_destroy(model);
}
END_TEST

/* Each loss is an output behind the reports, once, whether reported or not. */
START_TEST(losses_stand_behind_the_reports)
{
    static const char text[] = HEAD "network a, b () => (float v) { param v : float = 1 }\n"
                                    "step s {\n"
                                    "  both = a() * b()\n"
                                    "  minimize both over a with SGD <rate = 1>\n"
                                    "  minimize both over b with SGD <rate = 1>\n"
                                    "  report twice = 2 * both\n"
                                    "}\n";
    gm_program *program;
    const gm_entry *entry;
    require(gm_program_compile(context, text, strlen(text), "t", NULL, &program));
    entry = gm_program_entry(program, GM_ENTRY_STEP, "s");
    ck_assert_uint_eq(entry->report_count, 1);
    ck_assert_uint_eq(entry->graph->output_count, 2);
    ck_assert_str_eq(entry->graph->outputs[0].name, "twice");
    ck_assert_str_eq(entry->graph->outputs[1].name, "loss.s/both.Mul");
    gm_program_destroy(program);
}
END_TEST

/* A size that is none for every batch is a number all the same; one that is keeps its place in shapes. N = 3, x all ones. */
START_TEST(sizes_made_of_the_batch_are_numbers)
{
    gm_model *model =
        load(HEAD NET "step s (float[N, 4] x) {\n"
                      "  minimize mean(net(x)) over net with SGD <rate = 0>\n"
                      "  halves = Reshape(x, [N * 2, 2])\n"
                      "  report a = sum(x) / (2 * N), b = 1 / N, c = 0.5 * N, d = N / 2, e = sum(x) - 2 * N - 1,\n"
                      "    f = -N * mean(x), g = Log(2 * N + 1), h = sum(ReduceMean <keepdims = 0> (halves, [1]))\n"
                      "}\n");
    gm_trainer *trainer = trainer_of(model, 3);
    const double expected[] = {2, 1.0 / 3, 1.5, 1.5, 5, -3, log(7), 6};
    float x[12];
    gm_feed feed = {"x", x, sizeof x};
    for (int i = 0; i < 12; i++)
        x[i] = 1;
    require(gm_trainer_step(trainer, "s", &feed, 1));
    for (int i = 0; i < 8; i++)
        ck_assert_double_eq_tol(report(trainer, (char[]){(char)('a' + i), 0}), expected[i], 1e-6);
    gm_trainer_destroy(trainer);
    gm_model_destroy(model);
}
END_TEST

/* Inputs are bound by the names of the fields; the set's name tells two of one name apart. */
START_TEST(two_sets_feed_one_step)
{
    gm_model *model = load(HEAD "data inner = ring <modes = 4, radius = 1, width = 0, count = 8> { x : float[2] }\n"
                                "data outer = ring <modes = 4, radius = 3, width = 0, count = 40> { x : float[2] }\n"
                                "network n () => (float v) { param v : float = 1 }\n"
                                "step s (float[N, 2] inner.x, float[N, 2] outer.x) {\n"
                                "  minimize 0 * n() * sum(inner.x) over n with SGD <rate = 1>\n"
                                "  report a = sum(inner.x ^ 2) / N, b = sum(outer.x ^ 2) / N\n"
                                "}\n"
                                "train inner, outer batch 4 epochs 1 { s }\n");
    gm_trainer *trainer = trainer_of(model, 4);
    require(gm_trainer_run(trainer, NULL));
    ck_assert_double_eq_tol(report(trainer, "a"), 1.0, 1e-5);
    ck_assert_double_eq_tol(report(trainer, "b"), 9.0, 1e-5);
    gm_trainer_destroy(trainer);
    gm_model_destroy(model);
}
END_TEST

START_TEST(settings_replace_consts)
{
    static const char text[] =
        HEAD "const width = 3, bias = 1\n"
             "network n (float[N, width] x) => (float[N, 2] y) { y = Dense <2, bias = bias> (x) }\n";
    gm_model *model = load_with(text, (const char *const[]){"width=2 * 4", "bias=0", NULL});
    gm_parameter_info info;
    has_parameters(model, (const char *const[]){"n.y.Dense.W", NULL});
    require(gm_model_parameter_info(model, 0, &info));
    ck_assert_int_eq(info.dims[0], 8);
    gm_model_destroy(model);
}
END_TEST

START_TEST(wrong_settings_are_refused_with_the_nearest_name)
{
    static const char *const wrong[] = {"widht=4", "width=", "width", "width=a b"};
    gm_model_options options;
    gm_model *model = NULL;
    const char *text = HEAD "const width = 3\n" NET;
    gm_model_options_default(&options, sizeof options);
    options.settings = &wrong[_i];
    options.setting_count = 1;
    ck_assert_int_ne(gm_model_load_memory(context, text, strlen(text), "t.gmodel", &options, &model), GM_OK);
    ck_assert_ptr_nonnull(strstr(gm_context_message(context), _i == 0 ? "did you mean 'width'?" : "wid"));
}
END_TEST

/* What initializers fill: the bounds of Keras' glorot_uniform and PyTorch's Linear. */
START_TEST(first_values_lie_within_their_bounds)
{
    gm_model *model = load(HEAD "network a (float[N, 100] x) => (float[N, 50] y) { y = Dense <50> (x) }\n"
                                "network b (float[N, 100] x) => (float[N, 50] y) { y = Linear <50> (x) }\n");
    static const char *const paths[] = {"a.y.Dense.W", "b.y.Linear.W"};
    const double bounds[] = {sqrt(6.0 / 150), 1 / sqrt(100.0)};
    for (int k = 0; k < 2; k++) {
        float w[5000];
        double largest = 0, squares = 0;
        require(gm_model_read(model, paths[k], w, sizeof w));
        for (int i = 0; i < 5000; i++) {
            largest = fmax(largest, fabs((double)w[i]));
            squares += (double)w[i] * (double)w[i];
        }
        ck_assert_double_le(largest, bounds[k]);
        ck_assert_double_ge(largest, 0.99 * bounds[k]);
        ck_assert_double_eq_tol(sqrt(squares / 5000), bounds[k] / sqrt(3.0), 0.03 * bounds[k]);
    }
    gm_model_destroy(model);
}
END_TEST

static void open_context(void)
{
    ck_assert_int_eq(gm_context_create(NULL, &context), GM_OK);
}

static void close_context(void)
{
    gm_context_destroy(context);
}

int main(void)
{
    Suite *suite = suite_create("language");
    TCase *tests = tcase_create("language");
    SRunner *runner;
    int failed;
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, open_context, close_context);
    tcase_add_loop_test(tests, each_kind_of_error_is_told_with_place_and_remedy, 0, (int)GM_COUNT(mistakes));
    tcase_add_test(tests, at_most_twenty_errors_are_told);
    tcase_add_test(tests, paths_follow_network_statement_label_and_callee);
    tcase_add_test(tests, networks_of_one_body_have_parameters_of_their_own);
    tcase_add_test(tests, calls_of_a_network_share_its_parameters);
    tcase_add_test(tests, arithmetic_among_literals_is_exact);
    tcase_add_test(tests, gradient_can_be_differentiated_again);
    tcase_add_test(tests, detach_cuts_the_gradient);
    tcase_add_test(tests, updates_come_after_all_optimizers_in_order_of_writing);
    tcase_add_test(tests, except_leaves_parameters_alone);
    tcase_add_test(tests, a_declared_optimizer_shares_its_state_between_steps);
    tcase_add_test(tests, buffers_are_written_by_each_training_call_in_turn);
    tcase_add_test(tests, rates_follow_the_iteration);
    tcase_add_test(tests, the_batch_is_a_number_in_expressions);
    tcase_add_test(tests, losses_stand_behind_the_reports);
    tcase_add_test(tests, sizes_made_of_the_batch_are_numbers);
    tcase_add_test(tests, two_sets_feed_one_step);
    tcase_add_test(tests, settings_replace_consts);
    tcase_add_loop_test(tests, wrong_settings_are_refused_with_the_nearest_name, 0, 4);
    tcase_add_test(tests, first_values_lie_within_their_bounds);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
