/* From one encoding to another: what must come back byte for byte, what an exported network computes, what is refused. */
#include "runtime/gmodel.h"

#include <check.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static gm_context *context;
static char folder[64], logged[1024];

static void take_log(const char *line, void *user)
{
    (void)user;
    strncat(logged, line, sizeof logged - strlen(logged) - 2);
    strcat(logged, "\n");
}

static void setup(void)
{
    gm_context_options options;
    gm_context_options_default(&options, sizeof options);
    options.log = take_log;
    ck_assert_int_eq(gm_context_create(&options, &context), GM_OK);
    strcpy(folder, "/tmp/gmodel-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    logged[0] = '\0';
}

static void teardown(void)
{
    char command[128];
    gm_context_destroy(context);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

static void require(gm_status status)
{
    ck_assert_msg(status == GM_OK, "%s: %s", gm_status_name(status), gm_context_message(context));
}

static const char *in_folder(const char *name)
{
    static char paths[8][128];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const void *data, size_t bytes)
{
    FILE *file = fopen(in_folder(name), "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, bytes, file), bytes);
    fclose(file);
}

static size_t read_file(const char *name, char *buffer, size_t capacity)
{
    FILE *file = fopen(in_folder(name), "rb");
    size_t bytes;
    ck_assert_msg(file != NULL, "%s is not there", name);
    bytes = fread(buffer, 1, capacity, file);
    fclose(file);
    ck_assert_uint_lt(bytes, capacity);
    return bytes;
}

static gm_status try_convert(const char *from, const char *to, gm_file_kind kind, int adopt)
{
    gm_convert_options options;
    gm_convert_options_default(&options, sizeof options);
    options.kind = kind;
    options.adopt = adopt;
    return gm_convert(context, in_folder(from), in_folder(to), &options);
}

static void convert(const char *from, const char *to, gm_file_kind kind)
{
    require(try_convert(from, to, kind, 0));
}

static void same_files(const char *a, const char *b)
{
    static char x[65536], y[65536];
    size_t m = read_file(a, x, sizeof x), n = read_file(b, y, sizeof y);
    ck_assert_uint_eq(m, n);
    ck_assert_msg(memcmp(x, y, n) == 0, "%s and %s differ", a, b);
}

/* All of a convolution's kinds before a normalization, and one normalization that cannot be folded. */
static const char ordered[] = "# A comment, kept.\n"
                              "model folding <gmodel = 1, opset = 21>   # and this one\n"
                              "network net (float[N, 3, 6, 6] x) => (y) {\n"
                              "  buffer w : float[7, 2] = {1, -1, 2, 0.5, -0.25, 3, 1, 1, 0, -2, 0.125, 1, -1, 0.75}\n"
                              "  a = LeakyRelu(BatchNorm(Conv2d <4, kernel = 3, bias = 0> (x)))\n"
                              "  b = Relu(BatchNorm(ConvTranspose2d <5, kernel = 4, stride = 2> (a)))\n"
                              "  c = BatchNorm(Relu(Conv2d <2, kernel = 1> (b)))\n"
                              "  d = Tanh(BatchNorm(Dense <7> (Flatten(c))))\n"
                              "  y = BatchNorm(MatMul(d, w))\n"
                              "}\n";

START_TEST(text_to_binary_and_back_is_the_same_text)
{
    write_file("m.gmodel", ordered, strlen(ordered));
    convert("m.gmodel", "binary.gmodel", GM_FILE_BINARY);
    ck_assert_ptr_nonnull(strstr(logged, "m.gmodel: a text has no weights; those in"));
    convert("binary.gmodel", "back.gmodel", GM_FILE_TEXT);
    ck_assert_ptr_nonnull(strstr(logged, "binary.gmodel: a text has no weights: they are not in"));
    same_files("m.gmodel", "back.gmodel");
}
END_TEST

START_TEST(a_kind_to_itself_gives_the_same_bytes)
{
    write_file("m.gmodel", ordered, strlen(ordered));
    convert("m.gmodel", "again.gmodel", GM_FILE_TEXT);
    same_files("m.gmodel", "again.gmodel");
    convert("m.gmodel", "binary.gmodel", GM_FILE_BINARY);
    convert("binary.gmodel", "binary2.gmodel", GM_FILE_BINARY);
    same_files("binary.gmodel", "binary2.gmodel");
    convert("m.gmodel", "m.onnx", GM_FILE_ONNX);
    convert("m.onnx", "m2.onnx", GM_FILE_ONNX);
    same_files("m.onnx", "m2.onnx");
    convert("m.onnx", "m.txt", GM_FILE_ONNX_TEXT);
    convert("m.txt", "m2.txt", GM_FILE_ONNX_TEXT);
    same_files("m.txt", "m2.txt");
}
END_TEST

START_TEST(onnx_text_and_onnx_are_one)
{
    static const char onnx[] = "<\n  ir_version: 10,\n  opset_import: [\"\": 21, \"pkg\": 1]\n>\n"
                               "g (float[2] x, bool c) => (float[2] y) <float[2] W = {10, 20}> {\n"
                               "  t = pkg.twice <k = 2> (x)\n"
                               "  y = If <then_branch = a () => (float[2] r) {\n"
                               "    r = Mul(t, W)\n"
                               "  }, else_branch = b () => (float[2] r) {\n"
                               "    r = LeakyRelu <alpha = 0.25> (t)\n"
                               "  }> (c)\n"
                               "}\n"
                               "<\n  domain: \"pkg\",\n  opset_import: [\"\": 21]\n>\n"
                               "twice <k> (x) => (y) {\n"
                               "  y = Add(x, x)\n"
                               "}\n";
    write_file("m.txt", onnx, strlen(onnx));
    convert("m.txt", "m.onnx", GM_FILE_ONNX);
    convert("m.onnx", "back.txt", GM_FILE_ONNX_TEXT);
    convert("back.txt", "again.onnx", GM_FILE_ONNX);
    same_files("m.onnx", "again.onnx");
}
END_TEST

static void run_one(const gm_model *model, float *input, size_t inputs, float *output, size_t outputs)
{
    gm_session *session = NULL;
    gm_session_options options;
    gm_tensor_view view;
    gm_session_options_default(&options, sizeof options);
    options.batch = 2;
    require(gm_session_create(model, NULL, &options, &session));
    require(gm_session_input(session, 0, &view));
    ck_assert_uint_eq(view.bytes, inputs * sizeof *input);
    memcpy(view.data, input, view.bytes);
    require(gm_session_run(session));
    require(gm_session_output(session, 0, &view));
    ck_assert_uint_eq(view.bytes, outputs * sizeof *output);
    memcpy(output, view.data, view.bytes);
    gm_session_destroy(session);
}

/* Statistics and scales that are not 0 and 1. */
static void scatter_buffers(gm_model *model)
{
    gm_parameter_info info;
    for (size_t i = 0; i < gm_model_parameter_count(model); i++) {
        float values[8];
        require(gm_model_parameter_info(model, i, &info));
        if (info.rank != 1 || info.dims[0] > 8)
            continue;
        for (int64_t k = 0; k < info.dims[0]; k++)
            values[k] = 0.5f + 0.125f * (float)((3 * i + 5 * (size_t)k) % 7);
        require(gm_model_write(model, info.path, values, (size_t)info.dims[0] * sizeof *values));
    }
}

START_TEST(an_exported_network_computes_the_same_without_its_normalizations)
{
    gm_model *model = NULL, *exported = NULL;
    float input[2 * 3 * 6 * 6], expected[4], found[4];
    char data[65536];
    size_t bytes, norms = 0;
    for (size_t i = 0; i < sizeof input / sizeof *input; i++)
        input[i] = (float)((i * 37) % 41) / 20 - 1;
    require(gm_model_load_memory(context, ordered, strlen(ordered), "m.gmodel", NULL, &model));
    scatter_buffers(model);
    run_one(model, input, 216, expected, 4);
    require(gm_model_export(model, NULL, in_folder("net.onnx"), GM_FILE_ONNX));
    require(gm_model_load(context, in_folder("net.onnx"), NULL, &exported));
    run_one(exported, input, 216, found, 4);
    for (int i = 0; i < 4; i++)
        ck_assert_msg(fabsf(found[i] - expected[i]) <= 1e-4f * (1 + fabsf(expected[i])), "%g is not %g",
                      (double)found[i], (double)expected[i]);
    gm_model_destroy(exported);
    bytes = read_file("net.onnx", data, sizeof data);
    for (size_t i = 0; i + 18 < bytes; i++)
        norms += memcmp(data + i,
                        "\"\x12"
                        "BatchNormalization",
                        20) == 0;
    ck_assert_uint_eq(norms, 1); /* behind the Relu */
    require(gm_model_export(model, "net", in_folder("net.gmodel"), GM_FILE_BINARY));
    require(gm_model_load(context, in_folder("net.gmodel"), NULL, &exported));
    run_one(exported, input, 216, found, 4);
    ck_assert_msg(fabsf(found[0] - expected[0]) <= 1e-4f * (1 + fabsf(expected[0])), "the .gmodel differs");
    gm_model_destroy(exported);
    gm_model_destroy(model);
}
END_TEST

START_TEST(what_cannot_be_exported_is_told)
{
    static const char with_own[] = "model m <gmodel = 1>\n"
                                   "network net (float[N, 4] x) => (y) { y = gmodel.Step(x) }\n"
                                   "sample s { write z = RandomNormal <shape = [4, 2]> () }\n";
    gm_model *model = NULL;
    require(gm_model_load_memory(context, with_own, strlen(with_own), "m.gmodel", NULL, &model));
    ck_assert_int_eq(gm_model_export(model, "net", in_folder("n.onnx"), GM_FILE_ONNX), GM_ERROR_UNSUPPORTED);
    ck_assert_str_eq(
        gm_context_message(context),
        "network 'net' uses gmodel.Step (net.y.Step), which no other tool knows, so it cannot be exported");
    ck_assert_int_ne(access(in_folder("n.onnx"), F_OK), 0);
    ck_assert_int_eq(gm_model_export(model, "s", in_folder("n.onnx"), GM_FILE_ONNX), GM_ERROR_ARGUMENT);
    ck_assert_str_eq(gm_context_message(context), "'s' is a sample; only networks can be exported");
    ck_assert_int_eq(gm_model_export(model, "nett", in_folder("n.onnx"), GM_FILE_ONNX), GM_ERROR_ARGUMENT);
    gm_model_destroy(model);
}
END_TEST

START_TEST(a_graph_that_another_tool_changed_can_be_adopted)
{
    static const char source[] = "model m <gmodel = 1>\n"
                                 "network net (float[N, 2] x) => (y) { y = Sqrt(x) }\n";
    char data[4096];
    size_t bytes, changed = 0;
    float input[4] = {1, 2, 3, 4}, output[4];
    gm_model *model = NULL;
    write_file("m.gmodel", source, strlen(source));
    convert("m.gmodel", "b.gmodel", GM_FILE_BINARY);
    bytes = read_file("b.gmodel", data, sizeof data);
    for (size_t i = 0; i + 6 < bytes; i++)
        if (memcmp(data + i, "\"\x04Sqrt", 6) == 0) {
            memcpy(data + i + 2, "Relu", 4);
            changed++;
        }
    ck_assert_uint_eq(changed, 1);
    data[0] = 0x08;
    write_file("b.gmodel", data, bytes);
    ck_assert_int_eq(gm_model_load(context, in_folder("b.gmodel"), NULL, &model), GM_ERROR_MODEL);
    ck_assert_ptr_nonnull(strstr(gm_context_message(context), "another tool changed the graph"));
    require(try_convert("b.gmodel", "adopted.gmodel", GM_FILE_BINARY, 1));
    require(gm_model_load(context, in_folder("adopted.gmodel"), NULL, &model));
    run_one(model, input, 4, output, 4);
    ck_assert_float_eq(output[3], 4);
    gm_model_destroy(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("convert");
    TCase *cases = tcase_create("convert");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, text_to_binary_and_back_is_the_same_text);
    tcase_add_test(cases, a_kind_to_itself_gives_the_same_bytes);
    tcase_add_test(cases, onnx_text_and_onnx_are_one);
    tcase_add_test(cases, an_exported_network_computes_the_same_without_its_normalizations);
    tcase_add_test(cases, what_cannot_be_exported_is_told);
    tcase_add_test(cases, a_graph_that_another_tool_changed_can_be_adopted);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
