/* Plain ONNX models, as text and as files of other tools would be: what they compute, what their initializers become, control
 * flow, functions, inputs that are fixed at load, and that what is saved is the same model. */
#include "runtime/gmodel.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static gm_context *context;
static gm_model *model;
static gm_session *session;

static void setup(void)
{
    ck_assert_int_eq(gm_context_create(NULL, &context), GM_OK);
    model = NULL;
    session = NULL;
}

static void teardown(void)
{
    gm_session_destroy(session);
    gm_model_destroy(model);
    gm_context_destroy(context);
}

static void require(gm_status status)
{
    ck_assert_msg(status == GM_OK, "%s: %s", gm_status_name(status), gm_context_message(context));
}

static gm_status try_load(const char *text, const gm_tensor_view *fixed, size_t fixed_count)
{
    gm_model_options options;
    gm_model_options_default(&options, sizeof options);
    options.fixed = fixed;
    options.fixed_count = fixed_count;
    return gm_model_load_memory(context, text, strlen(text), "t.onnx.txt", &options, &model);
}

static void load(const char *text)
{
    require(try_load(text, NULL, 0));
}

static void fails_with(const char *text, const char *message)
{
    ck_assert_int_ne(try_load(text, NULL, 0), GM_OK);
    ck_assert_str_eq(gm_context_message(context), message);
}

/* Runs the main network on one float input; checks the first output. */
static void gives(const float *input, size_t count, const float *expected, size_t expected_count)
{
    gm_tensor_view view;
    gm_session_destroy(session);
    session = NULL;
    require(gm_session_create(model, NULL, NULL, &session));
    if (count) {
        require(gm_session_input(session, 0, &view));
        ck_assert_uint_eq(view.bytes, count * sizeof *input);
        memcpy(view.data, input, view.bytes);
    }
    require(gm_session_run(session));
    require(gm_session_output(session, 0, &view));
    ck_assert_uint_eq(view.bytes, expected_count * sizeof *expected);
    for (size_t i = 0; i < expected_count; i++)
        ck_assert_msg(fabsf(((float *)view.data)[i] - expected[i]) < 1e-6f, "element %zu is %g, expected %g", i,
                      (double)((float *)view.data)[i], (double)expected[i]);
}

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define FLOATS(...)  (const float[]){__VA_ARGS__}, COUNT(((const float[]){__VA_ARGS__}))
#define HEAD         "<ir_version: 10, opset_import: [\"\" : 21, \"pkg\" : 1]>\n"

START_TEST(a_text_of_a_graph_is_a_model)
{
    load(HEAD "agraph (float[2] x) => (float[2] y) <float[2] W = {10, 20}> { t = Mul(x, W) y = Neg(t) }");
    ck_assert_str_eq(gm_model_main_network(model), "agraph");
    gives(FLOATS(1, 2), FLOATS(-10, -40));
}
END_TEST

START_TEST(floats_are_parameters_statistics_buffers_whole_numbers_constants)
{
    gm_parameter_info info;
    load(HEAD "g (float[1, 2, 1] x) => (y)\n"
              "<float[2] scale = {1, 1}, float[2] bias = {0, 0}, float[2] mean = {1, 2}, float[2] var = {1, 4},\n"
              " int64[1] shape = {2}> {\n"
              "  n = BatchNormalization <epsilon = 0.0> (x, scale, bias, mean, var)\n"
              "  y = Reshape(n, shape)\n"
              "}");
    ck_assert_uint_eq(gm_model_parameter_count(model), 4);
    for (size_t i = 0; i < 4; i++) {
        static const char *const paths[] = {"g.scale", "g.bias", "g.mean", "g.var"};
        require(gm_model_parameter_info(model, i, &info));
        ck_assert_str_eq(info.path, paths[i]);
        ck_assert_int_eq(info.is_buffer, i >= 2);
    }
    gives(FLOATS(3, 6), FLOATS(2, 2));
}
END_TEST

START_TEST(symbols_may_be_small_letters)
{
    load(HEAD "g (float[n, 2] x) => (float[n, 2] y) { y = Neg(x) }");
}
END_TEST

START_TEST(sessions_give_sizes_to_named_dimensions)
{
    gm_session_options options;
    gm_dimension sizes[] = {{"n", 2}, {"length", 3}};
    gm_tensor_view view;
    gm_value_info info;
    load(HEAD "g (float[n, length] x) => (y) { y = Transpose(x) }");
    ck_assert_uint_eq(gm_model_input_count(model, "g"), 1);
    require(gm_model_input(model, NULL, 0, &info));
    ck_assert_str_eq(info.name, "x");
    ck_assert_int_eq(info.rank, 2);
    ck_assert_int_eq(info.dims[1], -1);
    ck_assert_str_eq(info.symbols[1], "length");
    require(gm_model_output(model, NULL, 0, &info));
    ck_assert_str_eq(info.symbols[0], "length");
    ck_assert_int_eq(gm_model_input(model, NULL, 1, &info), GM_ERROR_ARGUMENT);
    gm_session_options_default(&options, sizeof options);
    ck_assert_int_eq(gm_session_create(model, NULL, &options, &session), GM_ERROR_ARGUMENT);
    ck_assert_str_eq(gm_context_message(context), "the dimension 'length' of input 'x' has no size");
    options.dimensions = sizes + 1;
    options.dimension_count = 1;
    options.batch = 5; /* of the first dimension, which has no other size */
    require(gm_session_create(model, NULL, &options, &session));
    require(gm_session_output(session, 0, &view));
    ck_assert_int_eq(view.dims[0], 3);
    ck_assert_int_eq(view.dims[1], 5);
    gm_session_destroy(session);
    session = NULL;
    options.dimensions = sizes;
    options.dimension_count = 2;
    require(gm_session_create(model, NULL, &options, &session));
    require(gm_session_output(session, 0, &view));
    ck_assert_int_eq(view.dims[1], 2);
    gm_session_destroy(session);
    session = NULL;
    sizes[0].name = "lenght";
    ck_assert_int_eq(gm_session_create(model, NULL, &options, &session), GM_ERROR_ARGUMENT);
    ck_assert_str_eq(gm_context_message(context), "no input of 'g' has a dimension 'lenght'; did you mean 'length'?");
}
END_TEST

START_TEST(a_known_condition_takes_one_branch)
{
    load(HEAD "g (float[2] x) => (y) <bool c = {0}> {\n"
              "  y = If (c) <then_branch = a () => (r) { r = Neg(x) }, else_branch = b () => (r) { r = Add(x, x) }>\n"
              "}");
    gives(FLOATS(1, 2), FLOATS(2, 4));
}
END_TEST

START_TEST(an_unknown_condition_runs_both_branches)
{
    load(HEAD "g (float[2] x) => (y) {\n"
              "  m = ReduceMax <keepdims = 0> (x)\n"
              "  limit = Constant <value_float = 5.0> ()\n"
              "  c = Greater(m, limit)\n"
              "  y = If (c) <then_branch = a () => (r) { r = Neg(x) }, else_branch = b () => (r) { r = Add(x, x) }>\n"
              "}");
    gives(FLOATS(1, 2), FLOATS(2, 4));
    gives(FLOATS(1, 6), FLOATS(-1, -6));
}
END_TEST

START_TEST(branches_of_different_shapes_need_a_known_condition)
{
    fails_with(HEAD "g (float[2] x, bool c) => (y) {\n"
                    "  y = If (c) <then_branch = a () => (r) { r = Neg(x) },\n"
                    "              else_branch = b () => (r) { r = Concat <axis = 0> (x, x) }>\n"
                    "}",
               "t.onnx.txt:3:7: the branches of If give different shapes, so its condition must be known at load");
}
END_TEST

/* sum = 0 + x + 2x + 3x; the sums on the way are stacked. */
#define LOOP                                                                                                           \
    HEAD "g (float[1] x%s) => (y) <%sbool go = {1}, float[1] zero = {0}> {\n"                                          \
         "  last, y = Loop (turns, go, zero) <body = b (int64 i, bool c, float[1] s) => (c2, t, t2) {\n"               \
         "    c2 = Identity(c)  one = Constant <value_int = 1> ()  k = Add(i, one)\n"                                  \
         "    f = Cast <to = 1> (k)  p = Mul(f, x)  t = Add(s, p)  t2 = Identity(t)\n"                                 \
         "  }>\n"                                                                                                      \
         "}"

START_TEST(a_loop_becomes_its_turns)
{
    char text[2048];
    snprintf(text, sizeof text, LOOP, "", "int64 turns = {3}, ");
    load(text);
    gives(FLOATS(2), FLOATS(2, 6, 12));
}
END_TEST

START_TEST(inputs_that_decide_shapes_are_fixed_at_load)
{
    char text[2048];
    int64_t turns = 2;
    gm_tensor_view fixed = {.name = "turns", .type = GM_INT64, .bytes = sizeof turns, .data = &turns};
    snprintf(text, sizeof text, LOOP, ", int64 turns", "");
    fails_with(text, "t.onnx.txt:3:13: the number of turns of Loop must be known at load");
    require(try_load(text, &fixed, 1));
    gives(FLOATS(2), FLOATS(2, 6));
    fixed.bytes = 4;
    gm_session_destroy(session);
    session = NULL;
    gm_model_destroy(model);
    model = NULL;
    ck_assert_int_eq(try_load(text, &fixed, 1), GM_ERROR_ARGUMENT);
    ck_assert_str_eq(gm_context_message(context), "the fixed input 'turns' has 4 bytes, its shape needs 8");
}
END_TEST

START_TEST(a_scan_walks_along_its_sequences)
{
    load(HEAD "g (float[3, 1] x) => (y) <float[1] zero = {0}> {\n"
              "  last, y = Scan (zero, x) <num_scan_inputs = 1, scan_input_directions = [1],\n"
              "    body = b (float[1] s, float[1] e) => (t, t2) { t = Add(s, e)  t2 = Identity(t) }>\n"
              "}");
    gives(FLOATS(1, 2, 4), FLOATS(4, 6, 7));
}
END_TEST

START_TEST(functions_have_attributes_and_optional_inputs)
{
    load(HEAD "g (float[2] x) => (y) {\n"
              "  a = pkg.leaky <slope = 0.5> (x)\n"
              "  b = pkg.leaky (x)\n"
              "  c = pkg.clip (b)\n"
              "  y = Concat <axis = 0> (a, c)\n"
              "}\n"
              "<domain: \"pkg\", opset_import: [\"\" : 21]>\n"
              "leaky <slope> (x) => (y) { y = LeakyRelu <alpha : float = @slope> (x) }\n"
              "<domain: \"pkg\", opset_import: [\"\" : 21]>\n"
              "clip (x, low, high) => (y) { y = Clip(x, low, high) }\n");
    gives(FLOATS(-2, 4), FLOATS(-1, 4, -0.02f, 4));
}
END_TEST

START_TEST(what_is_saved_is_the_same_model)
{
    char path[] = "/tmp/gmodel-test-XXXXXX";
    int descriptor = mkstemp(path);
    ck_assert_int_ge(descriptor, 0);
    close(descriptor);
    load(HEAD "agraph (float[2] x) => (float[2] \"y/1\") <float[2] \"W.1\" = {10, 20}> {\n"
              "  t = Mul(x, \"W.1\")\n"
              "  \"y/1\" = Neg(t)\n"
              "}");
    require(gm_model_save(model, path));
    gm_model_destroy(model);
    model = NULL;
    require(gm_model_load(context, path, NULL, &model));
    gives(FLOATS(1, 2), FLOATS(-10, -40));
    unlink(path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("onnx");
    TCase *cases = tcase_create("onnx");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, a_text_of_a_graph_is_a_model);
    tcase_add_test(cases, floats_are_parameters_statistics_buffers_whole_numbers_constants);
    tcase_add_test(cases, symbols_may_be_small_letters);
    tcase_add_test(cases, sessions_give_sizes_to_named_dimensions);
    tcase_add_test(cases, a_known_condition_takes_one_branch);
    tcase_add_test(cases, an_unknown_condition_runs_both_branches);
    tcase_add_test(cases, branches_of_different_shapes_need_a_known_condition);
    tcase_add_test(cases, a_loop_becomes_its_turns);
    tcase_add_test(cases, inputs_that_decide_shapes_are_fixed_at_load);
    tcase_add_test(cases, a_scan_walks_along_its_sequences);
    tcase_add_test(cases, functions_have_attributes_and_optional_inputs);
    tcase_add_test(cases, what_is_saved_is_the_same_model);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
