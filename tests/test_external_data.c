/* Models whose large tensors lie in a second file: written, read, replaced, and refused where they lead elsewhere. */
#include "runtime/gmodel.h"

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char text[] = "model m <gmodel = 1, opset = 21, seed = 5>\n"
                           "network c (float[N, 40] x) => (float[N, 4] y) {\n"
                           "  y = Dense <4> (Relu(Dense <30> (x)))\n}\n";

static gm_context *context;
static char directory[64], *bytes_of_file;
static size_t file_bytes;

static void require(gm_status status)
{
    ck_assert_msg(status == GM_OK, "%s: %s", gm_status_name(status), gm_context_message(context));
}

static const char *in_directory(const char *name)
{
    static char paths[4][128];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static void write_file(const char *name, const void *data, size_t bytes)
{
    FILE *file = fopen(in_directory(name), "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, bytes, file), bytes);
    fclose(file);
}

static void read_file(const char *name)
{
    FILE *file = fopen(in_directory(name), "rb");
    ck_assert_ptr_nonnull(file);
    free(bytes_of_file);
    bytes_of_file = malloc(1 << 20);
    file_bytes = fread(bytes_of_file, 1, 1 << 20, file);
    fclose(file);
}

static bool exists(const char *name)
{
    return access(in_directory(name), F_OK) == 0;
}

static void convert(const char *from, const char *to, gm_file_kind kind, int external)
{
    gm_convert_options options;
    gm_convert_options_default(&options, sizeof options);
    options.kind = kind;
    options.external_data = external;
    require(gm_convert(context, in_directory(from), in_directory(to), &options));
}

/* What the network of a file makes of some numbers. */
static void run(const char *name, float *results)
{
    gm_model *model = NULL;
    gm_session *session = NULL;
    gm_tensor_view view;
    require(gm_model_load(context, in_directory(name), NULL, &model));
    require(gm_session_create(model, NULL, NULL, &session));
    require(gm_session_input(session, 0, &view));
    for (size_t i = 0; i < 40; i++)
        ((float *)view.data)[i] = (float)i / 20 - 1;
    require(gm_session_run(session));
    require(gm_session_output(session, 0, &view));
    memcpy(results, view.data, view.bytes);
    gm_session_destroy(session);
    gm_model_destroy(model);
}

static void setup(void)
{
    strcpy(directory, "/tmp/gmodel-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(gm_context_create(NULL, &context), GM_OK);
    write_file("m.gmodel", text, sizeof text - 1);
    convert("m.gmodel", "whole.gmodel", GM_FILE_BINARY, 0);
}

static void teardown(void)
{
    char command[128];
    gm_context_destroy(context);
    free(bytes_of_file);
    bytes_of_file = NULL;
    snprintf(command, sizeof command, "rm -rf %s", directory);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(both_encodings_have_their_data_elsewhere)
{
    float whole[4], split[4];
    struct stat status;
    run("whole.gmodel", whole);
    convert("whole.gmodel", "split.gmodel", GM_FILE_BINARY, 1);
    convert("whole.gmodel", "split.onnx", GM_FILE_ONNX, 1);
    run("split.gmodel", split);
    ck_assert_int_eq(memcmp(whole, split, sizeof whole), 0);
    run("split.onnx", split);
    ck_assert_int_eq(memcmp(whole, split, sizeof whole), 0);
    ck_assert_int_eq(stat(in_directory("split.onnx.data"), &status), 0);
    ck_assert_int_eq(status.st_size, 40 * 30 * 4);        /* the second matrix and the biases are small */
    convert("split.onnx", "again.onnx", GM_FILE_ONNX, 0); /* stays in two files */
    ck_assert(exists("again.onnx.data"));
    run("again.onnx", split);
    ck_assert_int_eq(memcmp(whole, split, sizeof whole), 0);
    convert("split.onnx", "one.gmodel", GM_FILE_BINARY, 0);
    ck_assert(!exists("one.gmodel.data"));
    run("one.gmodel", split);
    ck_assert_int_eq(memcmp(whole, split, sizeof whole), 0);
    convert("split.gmodel", "back.gmodel", GM_FILE_TEXT, 0);
    read_file("back.gmodel");
    ck_assert_uint_eq(file_bytes, sizeof text - 1);
    ck_assert_int_eq(memcmp(bytes_of_file, text, file_bytes), 0);
}
END_TEST

/* The old model keeps its data until the new one is there. */
START_TEST(a_model_is_replaced_with_its_data)
{
    float whole[4], split[4];
    run("whole.gmodel", whole);
    convert("whole.gmodel", "s.gmodel", GM_FILE_BINARY, 1);
    ck_assert(exists("s.gmodel.data") && !exists("s.gmodel.data2"));
    convert("whole.gmodel", "s.gmodel", GM_FILE_BINARY, 1);
    ck_assert(!exists("s.gmodel.data") && exists("s.gmodel.data2"));
    run("s.gmodel", split);
    ck_assert_int_eq(memcmp(whole, split, sizeof whole), 0);
    convert("whole.gmodel", "s.gmodel", GM_FILE_BINARY, 1);
    ck_assert(exists("s.gmodel.data") && !exists("s.gmodel.data2"));
    convert("whole.gmodel", "s.gmodel", GM_FILE_BINARY, 0);
    ck_assert(!exists("s.gmodel.data") && !exists("s.gmodel.data2"));
    write_file("t.gmodel.data", "mine", 4); /* nobody's data: replaced, as the model itself would be */
    convert("whole.gmodel", "t.gmodel", GM_FILE_BINARY, 1);
    run("t.gmodel", split);
    ck_assert_int_eq(memcmp(whole, split, sizeof whole), 0);
}
END_TEST

START_TEST(a_failure_leaves_both_files)
{
    gm_convert_options options;
    float whole[4], split[4];
    gm_convert_options_default(&options, sizeof options);
    options.kind = GM_FILE_BINARY;
    options.external_data = 1;
    run("whole.gmodel", whole);
    convert("whole.gmodel", "s.gmodel", GM_FILE_BINARY, 1);
    ck_assert_int_eq(mkdir(in_directory("s.gmodel.data2"), 0777), 0);
    ck_assert_int_ne(gm_convert(context, in_directory("whole.gmodel"), in_directory("s.gmodel"), &options), GM_OK);
    ck_assert_ptr_nonnull(strstr(gm_context_message(context), "s.gmodel.data2"));
    run("s.gmodel", split);
    ck_assert_int_eq(memcmp(whole, split, sizeof whole), 0);
}
END_TEST

/* --- What is refused --- */

/* Loads split.onnx with `new_text` in the place of `old_text`, which is as long. */
static void refused_with(const char *old_text, const char *new_text, const char *part)
{
    size_t length = strlen(old_text);
    char *copy = malloc(file_bytes);
    gm_model *none = NULL;
    size_t changed = 0;
    gm_status status;
    ck_assert_uint_eq(strlen(new_text), length);
    memcpy(copy, bytes_of_file, file_bytes);
    for (size_t i = 0; i + length <= file_bytes; i++)
        if (memcmp(copy + i, old_text, length) == 0) {
            memcpy(copy + i, new_text, length);
            changed++;
        }
    ck_assert_uint_gt(changed, 0);
    status = gm_model_load_memory(context, copy, file_bytes, in_directory("split.onnx"), NULL, &none);
    ck_assert_msg(status == GM_ERROR_MODEL && strstr(gm_context_message(context), part), "'%s': '%s' is not in '%s'",
                  new_text, part, gm_context_message(context));
    ck_assert_ptr_nonnull(strstr(gm_context_message(context), "split.onnx: tensor '"));
    free(copy);
}

START_TEST(a_location_elsewhere_is_refused)
{
    convert("whole.gmodel", "split.onnx", GM_FILE_ONNX, 1);
    read_file("split.onnx");
    refused_with("split.onnx.data", "../.._onnx.data", "outside the model's folder");
    refused_with("split.onnx.data", "/etc/passwd.txt", "outside the model's folder");
    refused_with("split.onnx.data", "sub/../../data1", "No such file");
    ck_assert_int_eq(mkdir(in_directory("sub"), 0777), 0);
    refused_with("split.onnx.data", "sub/../../data1", "outside the model's folder");
    refused_with("split.onnx.data", "split.onnx.dat2", "No such file");
    refused_with("split.onnx.data", "sub////////////", "that is no file");
    ck_assert_int_eq(symlink("split.onnx.data", in_directory("split.onnx.link")), 0);
    refused_with("split.onnx.data", "split.onnx.link", "a link");
    ck_assert_int_eq(symlink(".", in_directory("l")), 0);
    refused_with("split.onnx.data", "l/split.onnx.da", "a link");
    ck_assert_int_eq(mkfifo(in_directory("split.onnx.fifo"), 0666), 0);
    refused_with("split.onnx.data", "split.onnx.fifo", "that is no file");
    ck_assert_int_eq(rename(in_directory("split.onnx.data"), in_directory("sub/onnx1.dat")), 0);
    ck_assert_int_eq(symlink("sub", in_directory("sob")), 0);
    refused_with("split.onnx.data", "sob//onnx1.dat/", "a link");
}
END_TEST

START_TEST(a_place_that_does_not_fit_is_refused)
{
    convert("whole.gmodel", "split.onnx", GM_FILE_ONNX, 1);
    read_file("split.onnx");
    refused_with("length\x12\x04"
                 "4800",
                 "length\x12\x04"
                 "4804",
                 "its length is 4804, its shape needs 4800");
    refused_with("length\x12\x04"
                 "4800",
                 "length\x12\x04"
                 "48x0",
                 "not a number");
    refused_with("offset\x12\x01"
                 "0",
                 "offset\x12\x01"
                 "8",
                 "it needs 4800 bytes from 8 on, the file has 4800");
    refused_with("location", "locution", "does not say where");
    write_file("split.onnx.data", "short", 5);
    refused_with("location", "location", "the file has 5");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("external_data");
    TCase *tests = tcase_create("external_data");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, both_encodings_have_their_data_elsewhere);
    tcase_add_test(tests, a_model_is_replaced_with_its_data);
    tcase_add_test(tests, a_failure_leaves_both_files);
    tcase_add_test(tests, a_location_elsewhere_is_refused);
    tcase_add_test(tests, a_place_that_does_not_fit_is_refused);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
