/* The data source `text`: words, pairs, subsampling, the vocabulary and its Huffman tree, bad files. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "runtime/data.h"

static gm_context *context;
static gm_dataset *dataset;
static char folder[64];

static void setup(void)
{
    ck_assert_int_eq(gm_context_create(NULL, &context), GM_OK);
    strcpy(folder, "/tmp/gmodel-text-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    dataset = NULL;
}

static void teardown(void)
{
    char command[128];
    gm_dataset_close(dataset);
    gm_context_destroy(context);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

static void write_file(const char *name, const char *text, size_t bytes, bool compress)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    gzFile file = gzopen(path, compress ? "wb" : "wbT");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(bytes ? gzwrite(file, text, (unsigned)bytes) : 0, (int)bytes);
    gzclose(file);
}

static gm_data_field fields[2] = {{.name = "center", .type = GM_INT64}, {.name = "context", .type = GM_INT64}};

static gm_status open_set(const gm_attribute *attributes, size_t count)
{
    static gm_data_declaration declaration;
    gm_data_options options = {.data_directory = folder, .seed = 1};
    declaration = (gm_data_declaration){.name = "words",
                                        .source = "text",
                                        .attributes = attributes,
                                        .attribute_count = count,
                                        .fields = fields,
                                        .field_count = 2,
                                        .where = {"t", 1, 1}};
    gm_dataset_close(dataset);
    dataset = NULL;
    return gm_dataset_open(context, &declaration, &options, &dataset);
}

static void open_text(const char *text, int64_t window)
{
    gm_attribute attributes[] = {gm_attribute_string("file", "a.txt"), gm_attribute_int("window", window)};
    write_file("a.txt", text, strlen(text), false);
    ck_assert_msg(open_set(attributes, 2) == GM_OK, "%s", gm_context_message(context));
}

static const char *word(int64_t id)
{
    const gm_tensor *names = gm_dataset_constant(dataset, "name");
    ck_assert_int_eq(names->type, GM_STRING);
    ck_assert_int_lt(id, names->dims[0]);
    return ((const char *const *)names->data)[id];
}

static void ck_pair(int64_t row, const char *center, const char *beside)
{
    int64_t ids[2];
    void *buffers[2] = {&ids[0], &ids[1]};
    ck_assert_int_eq(gm_dataset_rows(dataset, &row, 1, buffers), GM_OK);
    ck_assert_str_eq(word(ids[0]), center);
    ck_assert_str_eq(word(ids[1]), beside);
}

START_TEST(words_are_ranked_by_count_then_name)
{
    static const char *const expected[] = {"b", "a", "don't", "z\xc3\xa9"};
    static const double counts[] = {3, 2, 1, 1};
    open_text("B b, a. don't\nA--Z\xc3\xa9'' b!", 1);
    const gm_tensor *count = gm_dataset_constant(dataset, "count");
    ck_assert_int_eq(gm_get_int(gm_dataset_constant(dataset, "vocabulary"), 0), 4);
    for (int64_t i = 0; i < 4; i++) {
        ck_assert_str_eq(word(i), expected[i]);
        ck_assert_double_eq(gm_get(count, i), counts[i]);
    }
    ck_assert_ptr_null(gm_dataset_constant(dataset, "vocabularie"));
}
END_TEST

START_TEST(pairs_are_all_within_the_window)
{
    open_text("one two three four", 2);
    ck_assert_int_eq(gm_dataset_row_count(dataset), 10);
    ck_pair(0, "one", "two");
    ck_pair(1, "one", "three");
    ck_pair(2, "two", "one");
    ck_pair(4, "two", "four");
    ck_pair(9, "four", "three");
}
END_TEST

START_TEST(rare_words_leave_and_their_neighbours_meet)
{
    gm_attribute attributes[] = {gm_attribute_string("file", "a.txt"), gm_attribute_int("window", 1),
                                 gm_attribute_int("min_count", 2)};
    write_file("a.txt", "x rare y x y", 12, false);
    ck_assert_int_eq(open_set(attributes, 3), GM_OK);
    ck_assert_int_eq(gm_dataset_row_count(dataset), 6);
    ck_pair(0, "x", "y");
}
END_TEST

START_TEST(a_compressed_file_is_the_same_text)
{
    gm_attribute attributes[] = {gm_attribute_string("file", "a.txt.gz")};
    write_file("a.txt.gz", "one two one", 11, true);
    ck_assert_msg(open_set(attributes, 1) == GM_OK, "%s", gm_context_message(context));
    ck_assert_int_eq(gm_dataset_row_count(dataset), 6);
}
END_TEST

/* The share of a word that stays is sqrt(t / f). */
START_TEST(frequent_words_are_left_out_by_their_frequency)
{
    gm_attribute attributes[] = {gm_attribute_string("file", "a.txt"), gm_attribute_int("window", 1),
                                 gm_attribute_float("subsample", 0.01)};
    enum { REPEATS = 20000 };
    char *text = malloc(REPEATS * 8 + 1);
    int64_t rows, again, first = 0;
    for (int i = 0; i < REPEATS; i++)
        memcpy(text + 8 * i, i % 100 == 0 ? "the few " : "the old ", 8);
    write_file("a.txt", text, REPEATS * 8, false);
    free(text);
    ck_assert_int_eq(open_set(attributes, 3), GM_OK);
    rows = gm_dataset_row_count(dataset);
    for (int64_t i = 0; i < rows; i++) {
        int64_t center;
        void *buffers[2] = {&center, NULL};
        gm_dataset_gather(dataset, &i, 1, buffers);
        first += center == 0;
    }
    /* 20,000 of "the" at f = 0.5 keep 0.1414, 19,800 of "old" 0.1421, 200 of "few" (f = 0.005) all */
    ck_assert_double_eq_tol((double)rows / 2, 2828 + 2814 + 200, 250);
    ck_assert_double_eq_tol((double)first / 2, 2828, 150);
    ck_assert_int_eq(open_set(attributes, 3), GM_OK);
    again = gm_dataset_row_count(dataset);
    ck_assert_int_eq(rows, again);
}
END_TEST

/* Kraft's sum of the codes is 1, frequent words are not deeper, and so is the sum of the probabilities that any scores
 * give: P(w) = product of sigmoid(code * score). */
START_TEST(the_huffman_tree_is_a_code)
{
    const gm_tensor *path, *code;
    double kraft = 0, sum = 0;
    int64_t before = 0;
    ck_assert_int_eq(open_set(NULL, 0), GM_OK); /* the built-in text */
    path = gm_dataset_constant(dataset, "path");
    code = gm_dataset_constant(dataset, "code");
    ck_assert_int_gt(path->dims[0], 100);
    ck_assert(gm_tensor_same_shape(path, code));
    for (int64_t w = 0; w < path->dims[0]; w++) {
        int64_t depth = 0;
        double probability = 1;
        for (int64_t k = 0; k < path->dims[1]; k++) {
            double sign = gm_get(code, w * path->dims[1] + k), node = gm_get(path, w * path->dims[1] + k);
            ck_assert(sign == 0 || fabs(sign) == 1);
            ck_assert(node >= 0 && node < (double)path->dims[0] - 1);
            ck_assert(sign == 0 || depth == k);
            depth += sign != 0;
            if (sign != 0)
                probability /= 1 + exp(-sign * sin(3 * node));
        }
        kraft += pow(2, -(double)depth);
        sum += probability;
        ck_assert_int_ge(depth, before - 1);
        before = depth > before ? depth : before;
    }
    ck_assert_double_eq_tol(kraft, 1, 1e-12);
    ck_assert_double_eq_tol(sum, 1, 1e-9);
}
END_TEST

static const struct {
    const char *text;
    size_t bytes;
    const char *message;
} bad[] = {
    {"", 0, "has 0 different words that come at least 1 times; two are needed"},
    {"12 34 --", 8, "has 0 different words that come at least 1 times; two are needed"},
    {"same same", 9, "has 1 different words that come at least 1 times; two are needed"},
    {"ab\0cd", 5, "byte 2: found 0x00, this is no text"},
};

START_TEST(what_is_no_text_is_told)
{
    gm_attribute attributes[] = {gm_attribute_string("file", "a.txt")};
    write_file("a.txt", bad[_i].text, bad[_i].bytes, false);
    ck_assert_int_eq(open_set(attributes, 1), GM_ERROR_DATA);
    ck_assert_msg(strstr(gm_context_message(context), bad[_i].message) != NULL, "%s", gm_context_message(context));
    ck_assert_ptr_nonnull(strstr(gm_context_message(context), "a.txt: "));
}
END_TEST

START_TEST(a_missing_file_is_told)
{
    gm_attribute attributes[] = {gm_attribute_string("file", "none.txt")};
    ck_assert_int_eq(open_set(attributes, 1), GM_ERROR_FILE);
    ck_assert_ptr_nonnull(strstr(gm_context_message(context), "data 'words': no file 'none.txt', looked for "));
    attributes[0] = gm_attribute_int("window", 0);
    ck_assert_int_eq(open_set(attributes, 1), GM_ERROR_MODEL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("text");
    TCase *cases = tcase_create("text");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, words_are_ranked_by_count_then_name);
    tcase_add_test(cases, pairs_are_all_within_the_window);
    tcase_add_test(cases, rare_words_leave_and_their_neighbours_meet);
    tcase_add_test(cases, a_compressed_file_is_the_same_text);
    tcase_add_test(cases, frequent_words_are_left_out_by_their_frequency);
    tcase_add_test(cases, the_huffman_tree_is_a_code);
    tcase_add_loop_test(cases, what_is_no_text_is_told, 0, sizeof bad / sizeof bad[0]);
    tcase_add_test(cases, a_missing_file_is_told);
    suite_add_tcase(suite, cases);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
