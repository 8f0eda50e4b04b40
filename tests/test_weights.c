/* Parameters alone: safetensors and folders of .npy files, both ways, and what is refused. */
#include "runtime/gmodel.h"

#include <check.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char text[] = "model m <gmodel = 1, opset = 21, seed = 5>\n"
                           "network c (float[N, 3] x) => (float[N, 2] y) { y = BatchNorm(Dense <2> (x)) }\n";
static const char other[] = "model m <gmodel = 1, opset = 21, seed = 6>\n"
                            "network c (float[N, 3] x) => (float[N, 2] y) { y = BatchNorm(Dense <2> (x)) }\n";

static gm_context *context;
static gm_model *model;
static char directory[64], path[128];

static void require(gm_status status)
{
    ck_assert_msg(status == GM_OK, "%s: %s", gm_status_name(status), gm_context_message(context));
}

static void refused(gm_status status, const char *part)
{
    ck_assert_int_ne(status, GM_OK);
    ck_assert_msg(strstr(gm_context_message(context), part) != NULL, "'%s' is not in '%s'", part,
                  gm_context_message(context));
}

static const char *in_directory(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static gm_model *load(const char *source)
{
    gm_model *loaded = NULL;
    require(gm_model_load_memory(context, source, strlen(source), "m.gmodel", NULL, &loaded));
    return loaded;
}

static void setup(void)
{
    strcpy(directory, "/tmp/gmodel-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(gm_context_create(NULL, &context), GM_OK);
    model = load(text);
}

static void teardown(void)
{
    char command[128];
    gm_model_destroy(model);
    gm_context_destroy(context);
    snprintf(command, sizeof command, "rm -rf %s", directory);
    ck_assert_int_eq(system(command), 0);
}

static bool same_weights(const gm_model *a, const gm_model *b)
{
    bool same = true;
    ck_assert_uint_eq(gm_model_parameter_count(a), gm_model_parameter_count(b));
    ck_assert_uint_gt(gm_model_parameter_count(a), 3);
    for (size_t i = 0; i < gm_model_parameter_count(a); i++) {
        gm_parameter_info info;
        float x[8], y[8];
        size_t bytes = sizeof *x;
        require(gm_model_parameter_info(a, i, &info));
        for (int k = 0; k < info.rank; k++)
            bytes *= (size_t)info.dims[k];
        require(gm_model_read(a, info.path, x, bytes));
        require(gm_model_read(b, info.path, y, bytes));
        same = same && memcmp(x, y, bytes) == 0;
    }
    return same;
}

static void round_trip(const char *name)
{
    gm_model *second = load(other);
    ck_assert(!same_weights(model, second));
    require(gm_model_save_weights(model, in_directory(name)));
    require(gm_model_load_weights(second, in_directory(name), NULL));
    ck_assert(same_weights(model, second));
    gm_model_destroy(second);
}

START_TEST(a_folder_of_npy_files)
{
    gm_model *second = load(other);
    gm_weights_options options;
    gm_tensor_view view;
    round_trip("weights");
    in_directory("weights/c.y.Dense.W.npy");
    require(gm_read_npy(context, path, &view));
    ck_assert_int_eq(view.rank, 2);
    gm_release(context, view.data);
    ck_assert_int_eq(unlink(path), 0);
    refused(gm_model_load_weights(second, in_directory("weights"), NULL), "has no 'c.y.Dense.W'");
    gm_weights_options_default(&options, sizeof options);
    options.partial = 1;
    require(gm_model_load_weights(second, in_directory("weights"), &options));
    ck_assert(!same_weights(model, second));
    refused(gm_model_load_weights(second, in_directory("nothing"), NULL), "expected a folder of .npy files");
    gm_model_destroy(second);
}
END_TEST

#ifdef GM_HAVE_CJSON
START_TEST(a_safetensors_file)
{
    gm_session *session = NULL;
    round_trip("w.safetensors");
    require(gm_session_create(model, NULL, NULL, &session));
    refused(gm_model_load_weights(model, in_directory("w.safetensors"), NULL), "while sessions or trainers");
    gm_session_destroy(session);
    require(gm_model_load_weights(model, in_directory("w.safetensors"), NULL));
}
END_TEST

/* A file of this header and of so many bytes of data, all 0x3f. */
static void write_file(const char *header, uint64_t length, size_t bytes)
{
    FILE *file = fopen(in_directory("hostile.safetensors"), "wb");
    ck_assert_ptr_nonnull(file);
    for (int i = 0; i < 8; i++)
        fputc((int)(length >> 8 * i & 0xff), file);
    fputs(header, file);
    for (size_t i = 0; i < bytes; i++)
        fputc(0x3f, file);
    fclose(file);
}

#define BIAS(dtype, shape, offsets)                                                                                    \
    "{\"c.y.Dense.b\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

#define U8_SCALAR "{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}"
#define TWICE     "{\"a\":" U8_SCALAR ",\"a\":" U8_SCALAR "}"
#define FOREIGN   "{\"__metadata__\":{\"a\":\"b\"},\"zz\":" U8_SCALAR "}"

static const struct {
    const char *header;
    size_t bytes;
    const char *part;
} hostile[] = {
    {"", 0, "no JSON object"},
    {"[1]", 0, "no JSON object"},
    {"{\"a\":1}", 0, "tensor 'a' has type ''"},
    {"{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[],\"data_offsets\":[0,1]}}", 1, "has type 'F8_E4M3', which is not"},
    {BIAS("F32", "[2]", "[0,8]"), 7, "lies outside the file"},
    {BIAS("F32", "[2]", "[8,0]"), 8, "lies outside the file"},
    {BIAS("F32", "[2]", "[-8,0]"), 8, "lies outside the file"},
    {BIAS("F32", "[2]", "[0]"), 8, "lies outside the file"},
    {BIAS("F32", "[3]", "[0,8]"), 8, "fewer bytes than its shape needs"},
    {BIAS("F32", "[1]", "[0,8]"), 8, "more bytes than its shape needs"},
    {BIAS("F32", "[0]", "[0,8]"), 8, "more bytes than its shape needs"},
    {BIAS("F32", "[4294967296,4294967296]", "[0,8]"), 8, "fewer bytes"},
    {BIAS("F32", "[1.5]", "[0,8]"), 8, "no whole number"},
    {BIAS("F32", "[1,1,1,1,1,1,1,1,2]", "[0,8]"), 8, "at most 8 axes"},
    {BIAS("F32", "[1e300]", "[0,8]"), 8, "no whole number"},
    {BIAS("F32", "[2]", "[0,8]"), 8, "has no 'c.y.Dense.W'"},
    {BIAS("F32", "[1,2]", "[0,8]"), 8, "'c.y.Dense.b' is float[1, 2], the model has float[2]"},
    {BIAS("I64", "[2]", "[0,16]"), 16, "'c.y.Dense.b' is int64[2], the model has float[2]"},
};

START_TEST(damaged_files_are_refused)
{
    gm_model *second = load(text);
    write_file(hostile[_i].header, strlen(hostile[_i].header), hostile[_i].bytes);
    refused(gm_model_load_weights(model, in_directory("hostile.safetensors"), NULL), hostile[_i].part);
    ck_assert_ptr_nonnull(strstr(gm_context_message(context), "hostile.safetensors: "));
    ck_assert(same_weights(model, second)); /* nothing was taken */
    gm_model_destroy(second);
}
END_TEST

START_TEST(wrong_lengths_and_names_are_refused)
{
    write_file("{}", UINT64_MAX, 4);
    refused(gm_model_load_weights(model, in_directory("hostile.safetensors"), NULL), "header is longer");
    write_file("{}", 2, 0);
    refused(gm_model_load_weights(model, in_directory("hostile.safetensors"), NULL), "has no 'c.");
    write_file(TWICE, strlen(TWICE), 1);
    refused(gm_model_load_weights(model, in_directory("hostile.safetensors"), NULL), "'a' stands twice");
}
END_TEST

START_TEST(other_floating_types_are_converted)
{
    gm_weights_options options;
    float bias[2];
    gm_weights_options_default(&options, sizeof options);
    options.partial = 1;
    write_file(BIAS("BF16", "[2]", "[0,4]"), strlen(BIAS("BF16", "[2]", "[0,4]")), 4);
    require(gm_model_load_weights(model, in_directory("hostile.safetensors"), &options));
    require(gm_model_read(model, "c.y.Dense.b", bias, sizeof bias));
    ck_assert_float_eq(bias[1], 0.74609375f); /* 0x3f3f */
    write_file(FOREIGN, strlen(FOREIGN), 1);
    refused(gm_model_load_weights(model, in_directory("hostile.safetensors"), &options), "nothing that the model has");
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("weights");
    TCase *tests = tcase_create("weights");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_folder_of_npy_files);
#ifdef GM_HAVE_CJSON
    tcase_add_test(tests, a_safetensors_file);
    tcase_add_loop_test(tests, damaged_files_are_refused, 0, (int)(sizeof hostile / sizeof hostile[0]));
    tcase_add_test(tests, wrong_lengths_and_names_are_refused);
    tcase_add_test(tests, other_floating_types_are_converted);
#endif
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
