/* What is wrong in a .gmodel, and what the reader is told: one line per mistake, with its place. Then damaged texts and
 * memory that runs out. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/program.h"

#define MODEL      "model m <gmodel = 1, opset = 21>\n"
#define NET        "network net (float[N, 4] x) => (float[N, 2] y) { y = Dense <2> (x) }\n"
#define DATA       "data digits = mnist { image : float[4] in [0, 1], label : int64 }\n"
#define STEP       "step fit (float[N, 4] image) {\n"
#define FIT        "minimize mean(net(image) ^ 2) over net with SGD <rate = 0.1>\n"
#define TRAIN      "train digits batch 8 epochs 1 { fit }\n"
#define BODY(text) MODEL "network net (float[N, 4] x) => (float[N, 4] y) {\n" text "\n}\n"
#define FULL(text) MODEL NET DATA STEP text "\n}\n" TRAIN

static gm_context *context;

static void setup(void)
{
    ck_assert_int_eq(gm_context_create(NULL, &context), GM_OK);
}

static void teardown(void)
{
    gm_context_destroy(context);
}

/* The whole message. */
typedef struct mistake {
    const char *text, *message;
} mistake;

static const mistake mistakes[] = {
    /* the file */
    {NET, "t:1:1: the file must begin with: model NAME <gmodel = 1, opset = 21>"},
    {"model m <opset = 21>\n" NET, "t:1:1: the version of the language is missing: model m <gmodel = 1, ...>"},
    {"model m <gmodel = 2>\n" NET, "t:1:10: this is version 2 of the language; version 1 is known here"},
    {"model m <gmodel = 1, sed = 3>\n" NET, "t:1:22: unknown attribute 'sed' of model; did you mean 'seed'?"},
    {"model m <gmodel = 1, main = nte>\n" NET,
     "t:1:22: main must name a network of the file, found 'nte'; did you mean 'net'?"},
    {MODEL "stp fit { }\n",
     "t:2:1: expected a declaration (model, import, const, data, network, function, step, train ...), "
     "found 'stp'; did you mean 'step'?"},
    {MODEL "const a = 1\nconst a = 2\n", "t:3:1: the name 'a' is used twice here; it was first given at line 2"},
    {MODEL "const a = 1 / 0\n", "t:2:13: division by zero"},
    {MODEL NET NET, "t:3:1: 'net' is declared twice"},
    {MODEL "network Relu (float[N] x) => (float[N] y) { y = Tanh(x) }\n",
     "t:2:1: 'Relu' is an operator, which a file cannot replace"},
    {MODEL NET DATA STEP FIT "}\n" STEP FIT "}\n" TRAIN, "t:7:1: the step 'fit' is declared twice"},

    /* names */
    {BODY("y = Reluu(x)"),
     "t:3:5: 'Reluu' is not a network, a function or an operator that is known here; did you mean "
     "'Relu'?"},
    {BODY("y = LeakyRelu <alpa = 0.1> (x)"),
     "t:3:16: the operator LeakyRelu has no attribute 'alpa'; did you mean 'alpha'?"},
    {BODY("y = LeakyRelu <alpha = \"a\"> (x)"),
     "t:3:16: attribute 'alpha' must be a number that is known at load, found the string \"a\""},
    {BODY("hidden = Relu(x)\ny = Tanh(hiden)"), "t:4:10: unknown name 'hiden'; did you mean 'hidden'?"},
    {BODY("y = Relu(x)\ny = Tanh(x)"), "t:4:1: 'y' has a value already, from line 3: each name gets one"},
    {BODY("x = Relu(x)\ny = Tanh(x)"), "t:3:1: 'x' has a value already, from line 2: each name gets one"},
    {BODY("[a] h = Dense <4> (x)\n[a] y = Dense <4> (h)"),
     "t:4:1: two statements are called 'a' (the other in line 3): parameters and random draws are named after them, so "
     "give "
     "one a label: [name] in front"},
    {BODY("yy = Relu(x)"), "t:2:33: the output 'y' of 'net' never gets a value"},
    {BODY("y = x * epoch"), "t:3:9: 'epoch' is known only in the body of a step"},
    {BODY("y = Dense <4, bia = 0> (x)"), "t:3:15: 'Dense' has no attribute 'bia'; did you mean 'bias'?"},
    {BODY("y = Dense(x)"), "t:3:5: 'Dense' needs the attribute 'units'"},
    {BODY("y = Dense <4, 0, \"he_normal\", \"zeros\", 5> (x)"), "t:3:40: 'Dense' has 4 attributes, found one more"},
    {BODY("y = Dense <4, weights = \"he_norml\"> (x)"),
     "t:3:5: unknown initializer 'he_norml'; did you mean 'he_normal'?"},
    {BODY("y = Dense <2.5> (x)"),
     "t:3:5: the dimension 'units' must be a whole number that is known at load, found 2.5"},

    /* counts, shapes, types */
    {BODY("y = Relu(x, x)"), "t:3:5: the operator Relu takes 1 input (X), found 2"},
    {BODY("y = Dense <4> (x, x)"), "t:3:5: 'Dense' takes 1 input, found 2"},
    {BODY("y, z = Relu(x)"), "t:3:8: the operator Relu has 1 output (Y), but 2 names stand before '='"},
    {BODY("h = Dense <3> (x)\ng = Dense <2> (x)\ny = h + g"),
     "t:5:7: node 'net.y.Add' (Add): shapes float[N, 3] and float[N, 2] do not broadcast: axis 1 is not equal"},
    {BODY("y = Dense <4> (Reshape(x, [0, 2, 2]))"),
     "t:3:16: input 'x' of 'Dense' must be float[N, K], found float[N, 2, 2]"},
    {BODY("y = Dense <3> (x)"), "t:2:33: output 'y' of 'net' must be float[N, 4], found float[N, 3]"},
    {BODY("y = Dropout(x, 0.5) + b\nparam b : float[4] = 0"), "t:3:23: unknown name 'b'"},
    {MODEL "const latent = 4\nnetwork net (float[N, latnet] x) => (float[N, 2] y) { y = Dense <2> (x) }\n",
     "t:3:23: unknown dimension 'latnet': it is neither a const nor an attribute, and dimensions that inputs bind "
     "start with "
     "a capital letter; did you mean 'latent'?"},
    {MODEL "network net (float[N, 4] x) => (float[M, 2] y) { y = Dense <2> (x) }\n",
     "t:2:39: the dimension 'M' is not bound by an input"},
    {MODEL "network net (int64[N] x) => (int64[N] y) { y = x * 0.5 }\n",
     "t:2:50: 0.5 does not fit the type int64 of the other operands; convert them with Cast <to = float> (...)"},
    {MODEL "network net (int64[N] a, float[N] b) => (float[N] y) { y = a * b }\n",
     "t:2:62: node 'net.y.Mul' (Mul): inputs have types int64 and float; they must be equal (use Cast)"},
    {MODEL "network a (float[N] x) => (float[N] y) { y = b(x) }\nnetwork b (float[N] x) => (float[N] y) { y = a(x) }\n",
     "t:3:46: a call goes round in a circle: a -> b -> a"},

    /* parameters */
    {BODY("param b : float[4] = 0 when 0\ny = x + b"),
     "t:4:9: 'b' has no value here (left out by `when`, or an output that this mode lacks)"},
    {BODY("param b : float[N] = 0\ny = x + b"),
     "t:3:1: the size N of 'net.b' is not known at load: a parameter cannot depend "
     "on the batch; give the network's input a number there"},
    {BODY("param b : float[4]\ny = x + b"),
     "t:3:1: the parameter 'b' needs a first value: '= 0' or '~ glorot_uniform'"},
    {BODY("param b : float[4] = [1, 2, 3]\ny = x + b"), "t:3:22: the parameter has 4 elements, the list 3"},
    {BODY("param b : float[4] ~ glorot_unifrom\ny = x + b"),
     "t:3:22: unknown initializer 'glorot_unifrom'; did you mean 'glorot_uniform'?"},
    {BODY("param b : float[4] ~ glorot_uniform\ny = x + b"),
     "t:3:22: 'glorot_uniform' of a parameter of rank 1 needs <fan_in = ...> and <fan_out = ...>"},
    {BODY("param b : float[4] ~ uniform(1)\ny = x + b"), "t:3:22: 'uniform' is written uniform(from, to)"},
    {BODY("param b : float[4] = 0\ny = x + b\nb = Relu(x)"),
     "t:5:1: 'b' is a parameter: only minimize and update write it; declare it as buffer to assign it"},
    {BODY("y = Relu(x)\nreport a = mean(y)"), "t:4:1: 'report' stands only in a step"},

    /* steps */
    {FULL("h = Dense <3> (image)\n" FIT),
     "t:5:5: 'Dense' owns parameters, so it may be called only in networks, not in a step or sample"},
    {FULL("h = net + 1\n" FIT), "t:5:5: 'net' is a network: call it with ( )"},
    {FULL("h, g = net(image)\n" FIT), "t:5:8: 'net' has 1 output, but 2 names stand before '='"},
    {FULL("h = net <trainin = 1> (image)\n" FIT),
     "t:5:10: a network has one attribute, 'training' (0 or 1), found 'trainin'"},
    {FULL("h = net(Reshape(image, [0, 2, 2]))\n" FIT),
     "t:5:9: input 'x' of 'net' must be float[N, 4], found float[N, 2, 2]"},
    {FULL("h = digits.image\n" FIT),
     "t:5:5: 'image' is a field of the data set 'digits': make it an input of the step"},
    {FULL("h = ReduceMax <axes = [N]> (image)\n" FIT),
     "t:5:16: attribute 'axes' must be known at load, but holds a size that changes with the batch"},
    {FULL("g = gradient(3, image)\n" FIT), "t:5:5: gradient takes two values of the graph, found a number"},
    {FULL("minimize net(image) over net with SGD <rate = 1>"),
     "t:5:1: the loss of a minimize must be a scalar, found float[N, 2]; mean(...) or sum(...) makes one"},
    {FULL("minimize mean(net(image)) over net with Adm <rate = 1>"),
     "t:5:1: unknown optimizer 'Adm'; did you mean 'Adam'?"},
    {FULL("minimize mean(net(image)) over net with Adam <rate = 1, beta = 1>"),
     "t:5:57: the optimizer Adam has no attribute 'beta'; did you mean 'beta1'?"},
    {FULL("minimize mean(net(image)) over net with RMSProp <alpha = 1>"),
     "t:5:50: the optimizer RMSProp has no attribute 'alpha'; it has rate, decay, epsilon"},
    {FULL("minimize mean(net(image)) over net with Adam"),
     "t:5:1: the optimizer Adam needs a rate: Adam <rate = 1e-3>"},
    {FULL("minimize mean(net(image)) over net with SGD <rate = image>"),
     "t:5:46: the rate of an optimizer must be a float scalar, found float[N, 4]"},
    {FULL("minimize mean(net(image)) over nte with SGD <rate = 1>"),
     "t:5:32: no parameter is called 'nte' or lies under it; did you mean 'net'?"},
    {FULL("minimize mean(net(image)) over net.y.Dense.w with SGD <rate = 1>"),
     "t:5:32: no parameter is called 'net.y.Dense.w' or lies under it; did you mean 'net.y.Dense.W'?"},
    {FULL("h = net(image)\nminimize mean(h) over h with SGD <rate = 1>"),
     "t:6:23: 'h' behind 'over' is a value of the step; networks and paths of parameters stand there"},
    {FULL("minimize mean(detach(net(image))) over net with SGD <rate = 1>"),
     "t:5:1: the loss depends on no parameter behind 'over'; gradients may be cut by detach"},
    {FULL("l = mean(net(image))\nminimize l over net with SGD <rate = 1>\nminimize l over net.y.Dense.b with SGD <rate "
          "= 1>"),
     "t:7:1: the parameter 'net.y.Dense.b' stands behind two minimize statements of the step 'fit': minimize the sum "
     "of the "
     "losses"},
    {MODEL NET DATA "network other (float[N, 2] x) => (float[N, 1] y) { y = Dense <1, bias = 0> (x) }\n" STEP
                    "minimize mean(other(net(image))) over net with SGD <rate = 1>\n}\n" TRAIN,
     "t:4:56: no minimize reaches the parameter 'other.y.Dense.W', which step 'fit' uses; name it behind `over`, or "
     "declare "
     "it a buffer if it shall stay as it is"},
    {FULL(FIT "report out = net(image)"),
     "t:6:8: the report 'out' must be a scalar, found float[N, 2]; mean(...) or sum(...) makes one"},
    {FULL(FIT "report net(image)"), "t:6:8: report needs a name here: report NAME = ..."},
    {FULL(FIT "report l = mean(image), l = sum(image)"),
     "t:6:25: the report 'l' stands at line 6 already; reports of a file have different names"},
    {FULL(FIT "report seconds = 1.0"),
     "t:6:8: the tables have a column 'seconds' of their own: report another_name = ..."},
    {FULL(FIT "report \"a,b\" = 1.0"),
     "t:6:8: the name 'a,b' cannot be a column of a table: report another_name = ..."},
    {MODEL NET "sample s { write \"../x\" = net(RandomNormal <shape = [2, 4]> ()) }\n",
     "t:3:18: the name '../x' cannot be part of a file's name: write another_name = ..."},
    {FULL(FIT "update nett = 0"), "t:6:8: no parameter is called 'nett' or lies under it; did you mean 'net'?"},
    {FULL(FIT "update net.y.Dense.b = image"),
     "t:6:1: the update of 'net.y.Dense.b' must be float[2], found float[N, 4]"},

    /* samples and training */
    {MODEL NET "sample s on digts (float[2, 4] image) { write y = net(image) }\n",
     "t:3:1: there is no data set 'digts'"},
    {MODEL NET "sample s (float[2, 4] image) { write y = net(image) }\n",
     "t:3:1: 's' has the input 'image', but names no data set: sample s on SET (...)"},
    {MODEL NET "sample s { write y = net(RandomNormal <shape = [2, 4]> ()) as pgn }\n",
     "t:3:18: a write is 'as png', 'as scatter', 'as npy' or 'as text', found 'as pgn'; did you mean 'png'?"},
    {MODEL NET DATA STEP FIT "}\ntrain digits batch 8 epochs 1 { fti }\n",
     "t:7:33: there is no step 'fti'; did you mean 'fit'?"},
    {MODEL NET DATA STEP FIT "}\ntrain digit batch 8 epochs 1 { fit }\n",
     "t:7:1: there is no data set 'digit'; did you mean 'digits'?"},
    {MODEL NET DATA "step fit (float[8, 4] image) { minimize mean(net(image)) over net with SGD <rate = 1> }\n" TRAIN,
     "t:4:1: the first dimension of the input 'image' of 'fit' must be N, the batch"},
    {MODEL NET DATA "step fit (float[N, 4] imag) { minimize mean(net(imag)) over net with SGD <rate = 1> }\n" TRAIN,
     "t:4:1: the input 'imag' of 'fit' is not a field of the data set 'digits'; did you mean 'image'?"},
    {MODEL DATA "network net (float[N, 5] x) => (float[N, 1] y) { y = Dense <1> (x) }\nstep fit (float[N, 5] image) { "
                "minimize mean(net(image)) over net with SGD <rate = 1> }\n" TRAIN,
     "t:4:1: the input 'image' of 'fit' is float[N, 5], but a row of the field 'image' is float[4]"},
};

START_TEST(each_mistake_is_one_line_with_its_place)
{
    const mistake *wrong = &mistakes[_i];
    gm_program *program = NULL;
    gm_status status = gm_program_compile(context, wrong->text, strlen(wrong->text), "t", NULL, &program);
    ck_assert_msg(status == GM_ERROR_MODEL, "%s\nstatus %d: %s", wrong->text, status, gm_context_message(context));
    ck_assert_str_eq(gm_context_message(context), wrong->message);
    ck_assert_ptr_null(program);
}
END_TEST

START_TEST(several_mistakes_are_told_at_once_and_followers_are_silent)
{
    const char *text = MODEL "network a (float[N] x) => (float[N] y) { h = Foo(x)\ny = Relu(h) }\n"
                             "network b (float[N] x) => (float[N] y) { y = a(x)\nz = Barr(x) }\n";
    gm_program *program = NULL;
    ck_assert_int_eq(gm_program_compile(context, text, strlen(text), "t", NULL, &program), GM_ERROR_MODEL);
    ck_assert_str_eq(gm_context_message(context),
                     "t:2:46: 'Foo' is not a network, a function or an operator that is known here\n"
                     "t:5:5: 'Barr' is not a network, a function or an operator that is known here");
}
END_TEST

START_TEST(at_most_twenty_lines)
{
    char text[4096] = MODEL "network a (float[N] x) => (float[N] y) {\n";
    gm_program *program = NULL;
    size_t lines = 1;
    for (int i = 0; i < 30; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "a%d = Wrong%d(x)\n", i, i);
    strcat(text, "}\n");
    ck_assert_int_eq(gm_program_compile(context, text, strlen(text), "t", NULL, &program), GM_ERROR_MODEL);
    for (const char *at = gm_context_message(context); *at; at++)
        lines += *at == '\n';
    ck_assert_uint_eq(lines, 20);
}
END_TEST

START_TEST(unknown_and_broken_settings)
{
    const char *text =
        MODEL "const latent = 4\nnetwork net (float[N, latent] x) => (float[N, 1] y) { y = Dense <1> (x) }\n";
    const struct {
        gm_setting setting;
        const char *message;
    } cases[] = {
        {{"latnet", "3"}, "there is no const 'latnet' to set; did you mean 'latent'?"},
        {{"latent", "3 +"}, "setting latent=3 +:2:1: expected an expression, found the end of the file"},
        {{"latent", "-1"}, "t:3:23: the dimension 'latent' must not be negative, found -1"},
        {{"latent", "\"a\""},
         "t:3:23: the dimension 'latent' must be a whole number that is known at load, found the string \"a\""},
    };
    for (size_t i = 0; i < GM_COUNT(cases); i++) {
        gm_program_options options = {.settings = &cases[i].setting, .setting_count = 1};
        gm_program *program = NULL;
        ck_assert_int_eq(gm_program_compile(context, text, strlen(text), "t", &options, &program), GM_ERROR_MODEL);
        ck_assert_str_eq(gm_context_message(context), cases[i].message);
    }
}
END_TEST

/* f31 calls f30 twice, and so on: 2^31 nodes from 32 lines. */
START_TEST(doubling_calls_are_stopped)
{
    char text[8192] = MODEL "function f0 (float[N] x) => (float[N] y) { y = Tanh(x) }\n";
    gm_program *program = NULL;
    for (int i = 1; i < 32; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text),
                 "function f%d (float[N] x) => (float[N] y) { y = f%d(f%d(x)) }\n", i, i - 1, i - 1);
    strcat(text, "network net (float[N] x) => (float[N] y) { y = f31(x) }\n");
    ck_assert_int_eq(gm_program_compile(context, text, strlen(text), "t", NULL, &program), GM_ERROR_MODEL);
    ck_assert_ptr_nonnull(strstr(gm_context_message(context), "the model has more than"));
}
END_TEST

static const char sound[] =
    MODEL "const k = 3\n" DATA "network net (float[N, 4] x) => (float[N, 2] y) {\n"
          "  h = Dropout(LeakyRelu <alpha = 0.3> (BatchNorm(Dense <k> (x))), 0.3)\n  y = Linear <2> (h)\n}\n"
          "function twice <s = 2> (float[N, ...] x) => (float[N, ...] y) { y = s * x }\n" STEP
          "  z = twice(image + RandomNormalLike(image))\n  loss = mean(net(z) ^ 2) + gradient_penalty <weight = 1> "
          "(ReduceSum(net(image), [1]), image)\n"
          "  minimize loss over net except net.h.Dense.b with Adam <rate = 1e-3 * 0.5 ^ epoch>\n"
          "  update net.h.Dense.b = Clip(net.h.Dense.b, -1, 1)\n  report loss\n}\n"
          "sample s { write y = net(RandomNormal <shape = [4, 4], seed = 1> ()) as npy }\n"
          "train digits batch 8 epochs 2 { fit  every 1 epoch s  at epochs 1, 2 checkpoint }\n";

/* One byte of a sound text replaced, removed or doubled: an error with a message, or a program; never a crash. */
START_TEST(damaged_texts_do_no_harm)
{
    static const char bytes[] = " \n(){}<>[]=,.:~^*-+/\"0a9N_@#";
    size_t length = strlen(sound), sounds = 0;
    unsigned state = 12345;
    char *text = malloc(length + 2);
    for (int round = 0; round < 400; round++) {
        size_t at = (state = state * 1664525u + 1013904223u) / 65536u % length, n = length;
        gm_program *program = NULL;
        memcpy(text, sound, length + 1);
        if (round % 3 == 0) {
            memmove(text + at, text + at + 1, length - at);
            n--;
        } else if (round % 3 == 1) {
            text[at] = bytes[(state = state * 1664525u + 1013904223u) / 65536u % (sizeof bytes - 1)];
        } else {
            memmove(text + at + 1, text + at, length - at + 1);
            n++;
        }
        if (gm_program_compile(context, text, n, "t", NULL, &program) == GM_OK) {
            gm_program_destroy(program);
            sounds++;
        } else {
            ck_assert_msg(gm_context_message(context)[0] != '\0', "%s", text);
            ck_assert_msg(!strstr(gm_context_message(context), "without a reason"), "%s", text);
        }
    }
    free(text);
    ck_assert_uint_gt(sounds, 10);
}
END_TEST

typedef struct failing {
    long left, blocks;
} failing;

static void *allocate_until(size_t bytes, void *user)
{
    failing *count = user;
    void *memory = count->left-- > 0 ? malloc(bytes) : NULL;
    count->blocks += memory != NULL;
    return memory;
}

static void release(void *memory, void *user)
{
    failing *count = user;
    count->blocks -= memory != NULL;
    free(memory);
}

/* The n-th allocation fails, for every n: an error, nothing left behind. */
START_TEST(memory_that_runs_out)
{
    gm_status status = GM_ERROR_MEMORY;
    long n;
    for (n = 0; n < 100000 && status != GM_OK; n++) {
        failing count = {1000000, 0};
        gm_context_options options;
        gm_context *small;
        gm_program *program = NULL;
        gm_context_options_default(&options, sizeof options);
        options.allocate = allocate_until;
        options.release = release;
        options.user = &count;
        ck_assert_int_eq(gm_context_create(&options, &small), GM_OK);
        count.left = n;
        status = gm_program_compile(small, sound, strlen(sound), "t", NULL, &program);
        ck_assert_msg(status == GM_OK || status == GM_ERROR_MEMORY, "allocation %ld: status %d: %s", n, status,
                      gm_context_message(small));
        gm_program_destroy(program);
        gm_context_destroy(small);
        ck_assert_int_eq(count.blocks, 0);
    }
    ck_assert_int_eq(status, GM_OK);
    ck_assert_int_gt(n, 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("language_errors");
    TCase *cases = tcase_create("errors");
    SRunner *runner = srunner_create(suite);
    int failed;
    tcase_set_timeout(cases, 60);
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_loop_test(cases, each_mistake_is_one_line_with_its_place, 0, GM_COUNT(mistakes));
    tcase_add_test(cases, several_mistakes_are_told_at_once_and_followers_are_silent);
    tcase_add_test(cases, at_most_twenty_lines);
    tcase_add_test(cases, unknown_and_broken_settings);
    tcase_add_test(cases, doubling_calls_are_stopped);
    tcase_add_test(cases, damaged_texts_do_no_harm);
    tcase_add_test(cases, memory_that_runs_out);
    suite_add_tcase(suite, cases);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
