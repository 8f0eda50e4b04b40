/* Data sets: built-in digits, IDX and NumPy files, generated points, conversion, batches. */
#include <check.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "ops/philox.h"
#include "runtime/batch.h"
#include "runtime/data.h"
#include "runtime/digits.h"
#include "runtime/file.h"

static gm_context *context;
static char directory[64], last_log[1024];
static int log_lines;

static void on_log(const char *line, void *user)
{
    (void)user;
    (void)snprintf(last_log, sizeof last_log, "%s", line);
    log_lines++;
}

static void setup(void)
{
    gm_context_options options;
    gm_context_options_default(&options, sizeof options);
    options.log = on_log;
    options.threads = 2;
    log_lines = 0;
    unsetenv("GMODEL_DATA");
    ck_assert_int_eq(gm_context_create(&options, &context), GM_OK);
    (void)snprintf(directory, sizeof directory, "/tmp/gmodel-data-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
}

static void teardown(void)
{
    char path[512];
    DIR *dir = opendir(directory);
    for (struct dirent *entry = dir != NULL ? readdir(dir) : NULL; entry != NULL; entry = readdir(dir)) {
        (void)snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        (void)(entry->d_name[0] != '.' && unlink(path) != 0 && rmdir(path));
    }
    closedir(dir);
    rmdir(directory);
    gm_context_destroy(context);
}

/* --- Helpers
 * ----------------------------------------------------------------------------------------------------------- */

static gm_data_field image_field(gm_type type, int rank, const int64_t *dims)
{
    gm_data_field field = {.name = "image", .type = type, .rank = rank};
    memcpy(field.dims, dims, (size_t)rank * sizeof dims[0]);
    return field;
}

static const int64_t flat[1] = {784};
static const gm_data_field label_field = {.name = "label", .type = GM_INT64};

static gm_data_declaration declare(const char *source, const gm_attribute *attributes, size_t attribute_count,
                                   gm_data_field *fields, size_t field_count)
{
    return (gm_data_declaration){.name = "digits",
                                 .source = source,
                                 .attributes = attributes,
                                 .attribute_count = attribute_count,
                                 .fields = fields,
                                 .field_count = field_count,
                                 .where = {.file = "m.gmodel", .line = 3, .column = 1}};
}

static gm_status open_set(const gm_data_declaration *declaration, const char *given, gm_dataset **out)
{
    gm_data_options options = {.data_directory = given, .model_directory = directory, .seed = 7};
    return gm_dataset_open(context, declaration, &options, out);
}

/* Opens what must fail, and looks for `text` in the message. */
static void expect(const gm_data_declaration *declaration, const char *given, gm_status status, const char *text)
{
    gm_dataset *dataset = NULL;
    gm_status found = open_set(declaration, given, &dataset);
    ck_assert_msg(found == status && strstr(gm_context_message(context), text) != NULL, "%s, expected '%s': %s",
                  gm_status_name(found), text, gm_context_message(context));
    ck_assert_ptr_null(dataset);
    ck_assert_ptr_null(strchr(gm_context_message(context), '\n'));
}

static const char *in_directory(const char *name)
{
    static char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

/* An IDX file of bytes 0, 1, 2 ... with `cut` bytes left out at the end. */
static void write_idx(const char *name, const uint32_t *numbers, size_t count, size_t bytes, bool compressed)
{
    unsigned char *data = malloc(4 * count + bytes + 1);
    for (size_t i = 0; i < count; i++)
        for (size_t b = 0; b < 4; b++)
            data[4 * i + b] = (unsigned char)(numbers[i] >> (24 - 8 * b));
    for (size_t i = 0; i < bytes; i++)
        data[4 * count + i] = (unsigned char)(i % (count == 2 ? 10 : 256));
    if (compressed) {
        gzFile file = gzopen(in_directory(name), "wb");
        ck_assert_int_eq(gzwrite(file, data, (unsigned)(4 * count + bytes)), (int)(4 * count + bytes));
        gzclose(file);
    } else {
        ck_assert_int_eq(gm_file_replace(context, in_directory(name), data, 4 * count + bytes), GM_OK);
    }
    free(data);
}

static const uint32_t pictures_header[4] = {0x803, 30, 28, 28}, labels_header[2] = {0x801, 30};

static void write_mnist(bool compressed)
{
    write_idx(compressed ? "train-images-idx3-ubyte.gz" : "train-images-idx3-ubyte", pictures_header, 4, 30 * 784,
              compressed);
    write_idx(compressed ? "train-labels-idx1-ubyte.gz" : "train-labels-idx1-ubyte", labels_header, 2, 30, compressed);
}

/* --- Digits
 * ------------------------------------------------------------------------------------------------------------ */

START_TEST(digits_are_balanced_and_centred)
{
    enum { N = 1000 };
    static uint8_t pictures[N * 784], labels[N];
    int counts[10] = {0};
    gm_digits_draw(false, 0, N, pictures, labels, 2);
    for (int i = 0; i < N; i++) {
        double mass = 0, x = 0, y = 0;
        counts[labels[i]]++;
        for (int k = 0; k < 784; k++) {
            double v = pictures[i * 784 + k];
            mass += v;
            x += v * (k % 28 + 0.5);
            y += v * (k / 28 + 0.5);
        }
        ck_assert(mass / 784 > 5 && mass / 784 < 110);
        ck_assert_double_eq_tol(x / mass, 14, 1.6);
        ck_assert_double_eq_tol(y / mass, 14, 1.6);
    }
    for (int d = 0; d < 10; d++)
        ck_assert_int_eq(counts[d], N / 10);
}
END_TEST

START_TEST(digits_do_not_depend_on_threads_or_order)
{
    static uint8_t a[500 * 784], b[300 * 784], labels_a[500], labels_b[300];
    gm_digits_draw(true, 100, 500, a, labels_a, 2);
    gm_digits_draw(true, 203, 300, b, labels_b, 1);
    ck_assert_mem_eq(a + 103 * 784, b, sizeof b);
    ck_assert_mem_eq(labels_a + 103, labels_b, sizeof labels_b);
    gm_digits_draw(false, 203, 300, a, labels_a, 1);
    ck_assert_mem_ne(a, b, sizeof b);
}
END_TEST

/* The mean picture of each digit tells most test digits apart, but not all: they are digits, and not too easy. */
START_TEST(digits_can_be_told_apart)
{
    enum { TRAIN = 3000, TEST = 1000 };
    static uint8_t pictures[TRAIN * 784], labels[TRAIN];
    static double centres[10][784];
    gm_digits_draw(false, 0, TRAIN, pictures, labels, 2);
    for (int i = 0; i < TRAIN; i++)
        for (int k = 0; k < 784; k++)
            centres[labels[i]][k] += pictures[i * 784 + k] / (TRAIN / 10.0);
    gm_digits_draw(true, 0, TEST, pictures, labels, 2);
    int right = 0;
    for (int i = 0; i < TEST; i++) {
        double best = INFINITY;
        int guess = -1;
        for (int d = 0; d < 10; d++) {
            double distance = 0;
            for (int k = 0; k < 784; k++)
                distance += (pictures[i * 784 + k] - centres[d][k]) * (pictures[i * 784 + k] - centres[d][k]);
            guess = distance < best ? d : guess;
            best = distance < best ? distance : best;
        }
        right += guess == labels[i];
    }
    ck_assert_int_gt(right, TEST * 70 / 100);
    ck_assert_int_lt(right, TEST);
}
END_TEST

START_TEST(without_files_mnist_is_the_built_in_digits)
{
    const int64_t rows[2] = {100, 600}, shape[3] = {1, 28, 28}, wanted[2] = {499, 0};
    gm_attribute attributes[] = {gm_attribute_string("part", "test"), gm_attribute_ints("rows", rows, 2)};
    gm_data_field fields[] = {image_field(GM_FLOAT, 3, shape), label_field};
    fields[0].has_range = true;
    fields[0].low = -1;
    fields[0].high = 1;
    gm_data_declaration declaration = declare("mnist", attributes, 2, fields, 2);
    gm_dataset *dataset;
    ck_assert_int_eq(open_set(&declaration, NULL, &dataset), GM_OK);
    ck_assert_int_eq(log_lines, 1);
    ck_assert_ptr_nonnull(strstr(last_log, "built-in digits"));
    ck_assert_ptr_nonnull(strstr(last_log, directory));
    ck_assert_int_eq(gm_dataset_row_count(dataset), 500);
    ck_assert_uint_eq(gm_dataset_field_count(dataset), 2);
    ck_assert_uint_eq(gm_dataset_field_at(dataset, 0)->row_bytes, 784 * 4);
    ck_assert_ptr_null(gm_dataset_field_at(dataset, 2));
    float images[2 * 784];
    int64_t labels[2];
    uint8_t expected[784], label;
    void *buffers[] = {images, labels};
    ck_assert_int_eq(gm_dataset_rows(dataset, wanted, 2, buffers), GM_OK);
    gm_digits_draw(true, 599, 1, expected, &label, 1);
    ck_assert_int_eq(labels[0], label);
    for (int i = 0; i < 784; i++)
        ck_assert_float_eq(images[i], (float)(-1 + 2.0 * expected[i] / 255));
    const int64_t outside[1] = {500};
    ck_assert_int_eq(gm_dataset_rows(dataset, outside, 1, buffers), GM_ERROR_ARGUMENT);
    gm_dataset_close(dataset);
    gm_dataset_close(NULL);
}
END_TEST

/* --- IDX
 * --------------------------------------------------------------------------------------------------------------- */

START_TEST(mnist_is_found_plain_or_compressed)
{
    const int64_t rows[2] = {10, 20}, wanted[3] = {0, 9, 1};
    gm_attribute attributes[] = {gm_attribute_ints("rows", rows, 2)};
    gm_data_field fields[] = {image_field(GM_UINT8, 1, flat), label_field};
    gm_data_declaration declaration = declare("mnist", attributes, 1, fields, 2);
    for (int pass = 0; pass < 3; pass++) {
        gm_dataset *dataset;
        uint8_t images[3 * 784];
        int64_t labels[3];
        void *buffers[] = {images, labels};
        if (pass == 2)
            setenv("GMODEL_DATA", directory, 1);
        write_mnist(pass == 1);
        ck_assert_int_eq(open_set(&declaration, pass < 2 ? directory : NULL, &dataset), GM_OK);
        ck_assert_int_eq(gm_dataset_row_count(dataset), 10);
        ck_assert_int_eq(gm_dataset_rows(dataset, wanted, 3, buffers), GM_OK);
        for (int i = 0; i < 3; i++) {
            ck_assert_int_eq(labels[i], (10 + wanted[i]) % 10);
            for (int k = 0; k < 784; k++)
                ck_assert_uint_eq(images[i * 784 + k], (uint8_t)((10 + wanted[i]) * 784 + k));
        }
        gm_dataset_close(dataset);
        unlink(in_directory("train-images-idx3-ubyte"));
        unlink(in_directory("train-labels-idx1-ubyte"));
    }
    ck_assert_int_eq(log_lines, 0);
}
END_TEST

START_TEST(a_given_directory_must_have_mnist)
{
    gm_data_field fields[] = {image_field(GM_FLOAT, 1, flat)};
    gm_data_declaration declaration = declare("mnist", NULL, 0, fields, 1);
    expect(&declaration, in_directory("nowhere"), GM_ERROR_FILE, "nowhere: there is no such data directory");
    expect(&declaration, directory, GM_ERROR_FILE, "no MNIST here, expected train-images-idx3-ubyte");
    write_idx("train-images-idx3-ubyte", pictures_header, 4, 30 * 784, false);
    expect(&declaration, directory, GM_ERROR_FILE, "train-labels-idx1-ubyte (or .gz) is missing");
}
END_TEST

START_TEST(damaged_mnist_is_refused)
{
    static const struct {
        uint32_t pictures[4], labels[2];
        size_t picture_bytes, label_bytes;
        const char *message;
    } cases[] = {
        {{0x802, 30, 28, 28}, {0x801, 30}, 30 * 784, 30, "byte 852: expected the end of the file"},
        {{0x903, 30, 28, 28}, {0x801, 30}, 30 * 784, 30, "byte 0: expected magic number 0x00000803"},
        {{0x803, 30, 28, 28}, {0x803, 30}, 30 * 784, 30, "byte 0: expected magic number 0x00000801"},
        {{0x803, 30, 28, 28}, {0x801, 30}, 30 * 784 - 1, 30, "byte 23535: the file ends early, expected 23536 bytes"},
        {{0x803, 30, 28, 28}, {0x801, 30}, 30 * 784 + 1, 30, "byte 23536: expected the end of the file"},
        {{0x803, 30, 28, 28}, {0x801, 29}, 30 * 784, 29, "labels-idx1-ubyte: byte 4: expected 30 labels"},
        {{0x803, 30, 27, 28}, {0x801, 30}, 30 * 27 * 28, 30, "byte 8: expected pictures [28, 28], found [27, 28]"},
        {{0x803, 0, 28, 28}, {0x801, 0}, 0, 0, "byte 4: dimension 0 is 0"},
        {{0x803, 0xffffffff, 0xffffffff, 0xffffffff}, {0x801, 30}, 0, 30, "which cannot be"},
        {{0x803, 0x7fffffff, 28, 28}, {0x801, 30}, 100, 30, "the file is too small for that"},
    };
    gm_data_field fields[] = {image_field(GM_FLOAT, 1, flat)};
    gm_data_declaration declaration = declare("mnist", NULL, 0, fields, 1);
    for (size_t i = 0; i < GM_COUNT(cases); i++)
        for (int compressed = 0; compressed < 2; compressed++) {
            const char *images = compressed ? "train-images-idx3-ubyte.gz" : "train-images-idx3-ubyte";
            const char *labels = compressed ? "train-labels-idx1-ubyte.gz" : "train-labels-idx1-ubyte";
            write_idx(images, cases[i].pictures, 4, cases[i].picture_bytes, compressed);
            write_idx(labels, cases[i].labels, 2, cases[i].label_bytes, compressed);
            if (!compressed || strstr(cases[i].message, "ubyte:") == NULL)
                expect(&declaration, directory, GM_ERROR_DATA, cases[i].message);
            unlink(in_directory(images));
            unlink(in_directory(labels));
        }
}
END_TEST

START_TEST(a_damaged_label_is_refused)
{
    gm_data_field fields[] = {image_field(GM_FLOAT, 1, flat)};
    gm_data_declaration declaration = declare("mnist", NULL, 0, fields, 1);
    write_mnist(false);
    FILE *file = fopen(in_directory("train-labels-idx1-ubyte"), "r+b");
    ck_assert_int_eq(fseek(file, 20, SEEK_SET), 0);
    ck_assert_int_eq(fputc(77, file), 77);
    ck_assert_int_eq(fclose(file), 0);
    expect(&declaration, directory, GM_ERROR_DATA, "byte 20: expected a label 0 to 9, found 77");
}
END_TEST

/* Any byte of a compressed file may be wrong, and it may end anywhere. */
START_TEST(damaged_compressed_files_are_refused)
{
    gm_data_field fields[] = {image_field(GM_FLOAT, 1, flat)};
    gm_data_declaration declaration = declare("mnist", NULL, 0, fields, 1);
    write_mnist(true);
    char *data;
    size_t bytes;
    int refused = 0;
    ck_assert_int_eq(gm_read_file(context, in_directory("train-images-idx3-ubyte.gz"), &data, &bytes), GM_OK);
    for (uint64_t i = 0; i < 200; i++) {
        uint32_t random[4];
        gm_dataset *dataset = NULL;
        gm_philox(2, i, 0, random);
        size_t at = random[0] % bytes, length = i % 2 ? at : bytes;
        char before = data[at];
        data[at] = (char)(before ^ (1 << random[1] % 8));
        ck_assert_int_eq(gm_file_replace(context, in_directory("train-images-idx3-ubyte.gz"), data, length), GM_OK);
        data[at] = before;
        gm_status status = open_set(&declaration, directory, &dataset);
        refused += status != GM_OK;
        ck_assert(status == GM_OK || strlen(gm_context_message(context)) > 10);
        gm_dataset_close(dataset);
    }
    gm_free(context, data);
    ck_assert_int_gt(refused, 180); /* a few bytes of the gzip header mean nothing */
}
END_TEST

START_TEST(idx_files_are_named)
{
    const uint32_t header[4] = {0x803, 5, 3, 2}, labels[2] = {0x801, 5};
    const int64_t shape[1] = {6}, wanted[1] = {4};
    gm_attribute attributes[] = {gm_attribute_string("images", "p.idx"), gm_attribute_string("labels", "l.idx")};
    gm_data_field fields[] = {image_field(GM_DOUBLE, 1, shape), label_field};
    fields[0].has_range = true;
    fields[0].high = 255;
    gm_data_declaration declaration = declare("idx", attributes, 2, fields, 2);
    gm_dataset *dataset;
    double image[6];
    int64_t label[1];
    void *buffers[] = {image, label};
    expect(&declaration, NULL, GM_ERROR_FILE, "no file 'p.idx', looked for");
    write_idx("p.idx", header, 4, 30, false);
    write_idx("l.idx", labels, 2, 5, false);
    ck_assert_int_eq(open_set(&declaration, NULL, &dataset), GM_OK);
    ck_assert_int_eq(gm_dataset_rows(dataset, wanted, 1, buffers), GM_OK);
    ck_assert_double_eq_tol(image[5], 29, 1e-12);
    ck_assert_int_eq(label[0], 4);
    gm_dataset_close(dataset);
    declaration.attribute_count = 1;
    expect(&declaration, NULL, GM_ERROR_MODEL, "has no field 'label'");
}
END_TEST

/* --- What a declaration can say wrong
 * ---------------------------------------------------------------------------------- */

START_TEST(wrong_declarations_are_explained)
{
    const int64_t short_rows[2] = {0, 100}, long_rows[2] = {0, 60001}, bad_rows[2] = {5, 5}, wrong[3] = {1, 28, 27};
    gm_data_field fields[] = {image_field(GM_FLOAT, 1, flat)};
    gm_attribute rows = gm_attribute_ints("rows", short_rows, 2);
    gm_data_declaration declaration = declare("mnsit", &rows, 1, fields, 1);
    expect(&declaration, NULL, GM_ERROR_MODEL,
           "m.gmodel:3:1: data 'digits': unknown source 'mnsit', did you mean 'mnist'?");
    declaration.source = "photographs";
    expect(&declaration, NULL, GM_ERROR_MODEL, "expected mnist, idx,");
    declaration.source = "mnist";
    fields[0].name = "imaeg";
    expect(&declaration, NULL, GM_ERROR_MODEL, "has no field 'imaeg', did you mean 'image'?; it has 'image', 'label'");
    fields[0] = image_field(GM_FLOAT, 3, wrong);
    expect(&declaration, NULL, GM_ERROR_MODEL, "declared [1, 28, 27], source 'mnist' has [28, 28]");
    fields[0] = image_field(GM_STRING, 1, flat);
    expect(&declaration, NULL, GM_ERROR_MODEL, "must have a number type");
    fields[0] = image_field(GM_FLOAT, 1, flat);
    fields[0].has_range = true;
    expect(&declaration, NULL, GM_ERROR_MODEL, "expected low < high");
    fields[0].has_range = false;
    rows = gm_attribute_ints("rows", long_rows, 2);
    expect(&declaration, NULL, GM_ERROR_MODEL, "there are 60000 built-in digits");
    rows = gm_attribute_ints("rows", bad_rows, 2);
    expect(&declaration, NULL, GM_ERROR_MODEL, "rows must be [first, end]");
    rows = gm_attribute_string("prat", "test");
    expect(&declaration, NULL, GM_ERROR_MODEL, "no attribute 'prat', did you mean 'part'?");
    rows = gm_attribute_string("part", "validation");
    expect(&declaration, NULL, GM_ERROR_MODEL, "part is \"validation\"");
    rows = gm_attribute_int("part", 1);
    expect(&declaration, NULL, GM_ERROR_MODEL, "attribute 'part' must be a string");
}
END_TEST

/* --- NumPy and points
 * -------------------------------------------------------------------------------------------------- */

START_TEST(npy_files_are_fields)
{
    double x[6] = {0.5, -1, 2, 3, 4, 5};
    int32_t y[3] = {1, -2, 3}, z[2] = {1, 2};
    gm_tensor_view view = {.type = GM_DOUBLE, .rank = 2, .dims = {3, 2}, .data = x};
    ck_assert_int_eq(gm_write_npy(context, in_directory("x.npy"), &view), GM_OK);
    view = (gm_tensor_view){.type = GM_INT32, .rank = 1, .dims = {3}, .data = y};
    ck_assert_int_eq(gm_write_npy(context, in_directory("y.npy"), &view), GM_OK);
    view = (gm_tensor_view){.type = GM_INT32, .rank = 1, .dims = {2}, .data = z};
    ck_assert_int_eq(gm_write_npy(context, in_directory("z.npy"), &view), GM_OK);
    const int64_t rows[2] = {1, 3}, wanted[2] = {1, 0};
    gm_attribute attributes[] = {gm_attribute_string("x", "x.npy"), gm_attribute_string("y", "y.npy"),
                                 gm_attribute_ints("rows", rows, 2)};
    gm_data_field fields[] = {{.name = "y", .type = GM_INT64},
                              {.name = "x", .type = GM_FLOAT, .rank = 2, .dims = {2, 1}, .has_range = true, .high = 5}};
    gm_data_declaration declaration = declare("npy", attributes, 3, fields, 2);
    gm_dataset *dataset;
    int64_t whole[2];
    float real[4];
    void *buffers[] = {whole, real};
    ck_assert_int_eq(open_set(&declaration, NULL, &dataset), GM_OK);
    ck_assert_int_eq(gm_dataset_row_count(dataset), 2);
    ck_assert_int_eq(gm_dataset_rows(dataset, wanted, 2, buffers), GM_OK);
    ck_assert(whole[0] == 3 && whole[1] == -2);
    ck_assert(real[0] == 4 && real[3] == 3);
    gm_dataset_close(dataset);
    declaration.attribute_count = 2; /* row 0 has a -1 */
    expect(&declaration, NULL, GM_ERROR_DATA, "field 'x' has -1 at element 1 of row 0, declared in [0, 5]");
    attributes[1] = gm_attribute_string("y", "z.npy");
    expect(&declaration, NULL, GM_ERROR_DATA, "field 'y' has 2 rows, 'x' has 3");
    declaration.attribute_count = 0;
    expect(&declaration, NULL, GM_ERROR_MODEL, "needs a file for each field");
}
END_TEST

START_TEST(ring_points_lie_at_their_centres)
{
    gm_attribute attributes[] = {gm_attribute_int("modes", 8), gm_attribute_int("radius", 2),
                                 gm_attribute_int("count", 20000)};
    gm_data_field fields[] = {{.name = "x", .type = GM_FLOAT, .rank = 1, .dims = {2}}, label_field};
    gm_data_declaration declaration = declare("ring", attributes, 3, fields, 2);
    gm_dataset *dataset;
    ck_assert_int_eq(open_set(&declaration, NULL, &dataset), GM_OK);
    ck_assert_int_eq(gm_dataset_row_count(dataset), 20000);
    const gm_tensor *centre = gm_dataset_constant(dataset, "centre"), *width = gm_dataset_constant(dataset, "width");
    ck_assert_ptr_nonnull(centre);
    ck_assert_double_eq_tol(gm_get(width, 0), 0.02, 1e-7);
    ck_assert_ptr_null(gm_dataset_constant(dataset, "center"));
    int counts[8] = {0};
    double squares = 0;
    for (int64_t row = 0; row < 20000; row++) {
        float x[2];
        int64_t label;
        void *buffers[] = {x, &label};
        ck_assert_int_eq(gm_dataset_rows(dataset, &row, 1, buffers), GM_OK);
        double dx = x[0] - gm_get(centre, 2 * label), dy = x[1] - gm_get(centre, 2 * label + 1);
        counts[label]++;
        squares += dx * dx + dy * dy;
    }
    for (int i = 0; i < 8; i++)
        ck_assert_int_ge(counts[i], 2200);
    ck_assert_double_eq_tol(sqrt(squares / 40000), 0.02, 0.0005);
    gm_dataset_close(dataset);
    attributes[0] = gm_attribute_int("modes", 0);
    expect(&declaration, NULL, GM_ERROR_MODEL, "attribute 'modes' is 0, expected 1 to");
}
END_TEST

START_TEST(other_points_are_where_they_belong)
{
    static const struct {
        const char *source, *second;
        double reach;
    } cases[] = {{"grid", "label", 2.4}, {"moons", "label", 2.4}, {"swiss_roll", "position", 2.1}};
    for (size_t c = 0; c < GM_COUNT(cases); c++) {
        gm_data_field fields[] = {{.name = "x", .type = GM_FLOAT, .rank = 1, .dims = {2}},
                                  {.name = cases[c].second, .type = GM_FLOAT}};
        gm_data_declaration declaration = declare(cases[c].source, NULL, 0, fields, 2);
        gm_dataset *dataset;
        double widest = 0;
        ck_assert_int_eq(open_set(&declaration, NULL, &dataset), GM_OK);
        for (int64_t row = 0; row < 5000; row++) {
            float x[2], second;
            void *buffers[] = {x, &second};
            ck_assert_int_eq(gm_dataset_rows(dataset, &row, 1, buffers), GM_OK);
            widest = fmax(widest, fmax(fabs(x[0]), fabs(x[1])));
        }
        ck_assert_double_lt(widest, cases[c].reach);
        ck_assert_double_gt(widest, cases[c].reach * 0.75);
        gm_dataset_close(dataset);
    }
}
END_TEST

/* --- Batches
 * ----------------------------------------------------------------------------------------------------------- */

/* A set whose field `x` is its row number. */
static gm_dataset *numbered(const char *name, int64_t rows)
{
    static gm_data_declaration declarations[4];
    static gm_data_field field;
    static gm_attribute attributes[4];
    static int next;
    static char files[4][32];
    int which = next++ % 4;
    int32_t *values = malloc(sizeof *values * (size_t)rows);
    for (int64_t i = 0; i < rows; i++)
        values[i] = (int32_t)i;
    gm_tensor_view view = {.type = GM_INT32, .rank = 1, .dims = {rows}, .data = values};
    (void)snprintf(files[which], sizeof files[which], "numbers%d.npy", which);
    ck_assert_int_eq(gm_write_npy(context, in_directory(files[which]), &view), GM_OK);
    free(values);
    field = (gm_data_field){.name = "x", .type = GM_INT64};
    attributes[which] = gm_attribute_string("x", files[which]);
    declarations[which] = declare("npy", &attributes[which], 1, &field, 1);
    declarations[which].name = name;
    gm_dataset *dataset;
    ck_assert_int_eq(open_set(&declarations[which], NULL, &dataset), GM_OK);
    return dataset;
}

static gm_batcher *batch_up(const gm_dataset *const *sets, size_t count, int64_t batch, int64_t limit)
{
    gm_batcher *batcher;
    ck_assert_int_eq(gm_batcher_create(context, sets, count, batch, 11, limit, &batcher), GM_OK);
    return batcher;
}

static const int64_t *next_rows(gm_batcher *batcher, size_t field)
{
    const void *const *fields;
    ck_assert_int_eq(gm_batcher_next(batcher, &fields), GM_OK);
    ck_assert_uint_eq((uintptr_t)fields[field] % 64, 0);
    return fields[field];
}

START_TEST(an_epoch_has_each_row_once)
{
    gm_dataset *set = numbered("a", 103);
    const gm_dataset *sets[] = {set};
    gm_batcher *batcher = batch_up(sets, 1, 10, 0);
    ck_assert_int_eq(gm_batcher_epoch_length(batcher), 10);
    ck_assert_int_eq(gm_batcher_batch(batcher), 10);
    int64_t first[2] = {-1, -1};
    for (int epoch = 0; epoch < 2; epoch++) {
        int seen[103] = {0}, in_place = 0;
        for (int i = 0; i < 10; i++) {
            const int64_t *rows = next_rows(batcher, 0);
            for (int k = 0; k < 10; k++) {
                ck_assert_int_eq(seen[rows[k]]++, 0);
                in_place += rows[k] == i * 10 + k;
            }
            if (i == 0)
                first[epoch] = rows[0] * 1000 + rows[1];
        }
        ck_assert_int_lt(in_place, 10);
    }
    ck_assert_int_ne(first[0], first[1]);
    int64_t epoch, index;
    gm_batcher_position(batcher, &epoch, &index);
    ck_assert(epoch == 2 && index == 0);
    gm_batcher_destroy(batcher);
    gm_dataset_close(set);
}
END_TEST

/* The order is Fisher-Yates on the Philox draw of the set's name. */
START_TEST(the_order_is_the_documented_one)
{
    gm_dataset *set = numbered("a", 50);
    const gm_dataset *sets[] = {set};
    gm_batcher *batcher = batch_up(sets, 1, 50, 0);
    int64_t order[50];
    ck_assert_int_eq(gm_batcher_seek(batcher, 3, 0), GM_OK);
    const int64_t *rows = next_rows(batcher, 0);
    for (int64_t i = 0; i < 50; i++)
        order[i] = i;
    for (int64_t i = 49; i > 0; i--) {
        uint32_t words[4];
        gm_philox(11 ^ gm_hash64("shuffle/a"), 3, (uint64_t)i / 4, words);
        int64_t j = (int64_t)((uint64_t)words[i % 4] * (uint64_t)(i + 1) >> 32), held = order[i];
        order[i] = order[j];
        order[j] = held;
    }
    ck_assert_mem_eq(rows, order, sizeof order);
    gm_batcher_destroy(batcher);
    gm_dataset_close(set);
}
END_TEST

START_TEST(a_run_goes_on_from_any_position)
{
    gm_dataset *a = numbered("a", 64), *b = numbered("b", 21);
    const gm_dataset *sets[] = {a, b};
    gm_batcher *batcher = batch_up(sets, 2, 4, 0);
    static int64_t history[60][2][4];
    ck_assert_uint_eq(gm_batcher_field_count(batcher), 2);
    ck_assert_ptr_eq(gm_batcher_field_set(batcher, 1), b);
    ck_assert_str_eq(gm_batcher_field(batcher, 1)->name, "x");
    ck_assert_ptr_null(gm_batcher_field(batcher, 2));
    for (int g = 0; g < 60; g++) {
        const void *const *fields;
        ck_assert_int_eq(gm_batcher_next(batcher, &fields), GM_OK);
        for (int f = 0; f < 2; f++)
            memcpy(history[g][f], fields[f], sizeof history[g][f]);
    }
    gm_batcher *again = batch_up(sets, 2, 4, 0);
    for (int g = 59; g >= 0; g -= 7) {
        ck_assert_int_eq(gm_batcher_seek(again, g / 16, g % 16), GM_OK);
        for (int k = g; k < 60 && k < g + 3; k++) {
            const void *const *fields;
            ck_assert_int_eq(gm_batcher_next(again, &fields), GM_OK);
            for (int f = 0; f < 2; f++)
                ck_assert_mem_eq(history[k][f], fields[f], sizeof history[k][f]);
        }
    }
    /* Every pass over the second set, 5 batches of 4 of its 21 rows, has no row twice. */
    for (int pass = 0; pass < 12; pass++) {
        int seen[21] = {0};
        for (int i = 0; i < 20; i++)
            ck_assert_int_eq(seen[history[pass * 5 + i / 4][1][i % 4]]++, 0);
    }
    ck_assert_int_eq(gm_batcher_seek(again, 0, 16), GM_OK); /* the end of epoch 0 is the start of epoch 1 */
    ck_assert_mem_eq(history[16][0], next_rows(again, 0), sizeof history[16][0]);
    ck_assert_int_eq(gm_batcher_seek(again, 0, 17), GM_ERROR_ARGUMENT);
    ck_assert_int_eq(gm_batcher_seek(again, -1, 0), GM_ERROR_ARGUMENT);
    gm_batcher_destroy(again);
    gm_batcher_destroy(batcher);
    gm_dataset_close(a);
    gm_dataset_close(b);
}
END_TEST

START_TEST(a_limit_leaves_the_first_rows)
{
    gm_dataset *set = numbered("a", 100);
    const gm_dataset *sets[] = {set};
    gm_batcher *batcher = batch_up(sets, 1, 4, 10), *none = NULL;
    ck_assert_int_eq(gm_batcher_epoch_length(batcher), 2);
    for (int i = 0; i < 20; i++) {
        const int64_t *rows = next_rows(batcher, 0);
        for (int k = 0; k < 4; k++)
            ck_assert_int_lt(rows[k], 10);
    }
    gm_batcher_destroy(batcher);
    ck_assert_int_eq(gm_batcher_create(context, sets, 1, 101, 0, 0, &none), GM_ERROR_DATA);
    ck_assert_int_eq(gm_batcher_create(context, sets, 1, 11, 0, 10, &none), GM_ERROR_DATA);
    ck_assert_int_eq(gm_batcher_create(context, sets, 1, 0, 0, 0, &none), GM_ERROR_ARGUMENT);
    ck_assert_int_eq(gm_batcher_create(context, sets, 0, 1, 0, 0, &none), GM_ERROR_ARGUMENT);
    ck_assert_ptr_null(none);
    gm_dataset_close(set);
}
END_TEST

/* The buffers of the last batch stay as they are while the next one is prepared. */
START_TEST(a_batch_is_left_alone_until_the_next_call)
{
    gm_data_field fields[] = {image_field(GM_FLOAT, 1, flat), label_field};
    gm_data_declaration declaration = declare("mnist", NULL, 0, fields, 2);
    gm_dataset *set;
    write_mnist(false);
    ck_assert_int_eq(open_set(&declaration, directory, &set), GM_OK);
    const gm_dataset *sets[] = {set};
    static float copy[8 * 784];
    for (int round = 0; round < 50; round++) {
        gm_batcher *batcher = batch_up(sets, 1, 8, 0);
        const void *const *buffers;
        for (int i = 0; i < round % 5; i++) {
            ck_assert_int_eq(gm_batcher_next(batcher, &buffers), GM_OK);
            memcpy(copy, buffers[0], sizeof copy);
            if (round % 10 == 0)
                usleep(1000);
            ck_assert_mem_eq(copy, buffers[0], sizeof copy);
        }
        gm_batcher_destroy(batcher); /* also while a batch is being prepared */
    }
    gm_dataset_close(set);
}
END_TEST

/* --- Memory
 * ------------------------------------------------------------------------------------------------------------ */

typedef struct failing {
    int64_t calls, fail_at, alive;
} failing;

static void *failing_allocate(size_t bytes, void *user)
{
    failing *state = user;
    if (state->calls++ == state->fail_at)
        return NULL;
    state->alive++;
    return malloc(bytes);
}

static void failing_release(void *memory, void *user)
{
    failing *state = user;
    state->alive -= memory != NULL;
    free(memory);
}

/* Opening and batching with the n-th allocation failing, for every n: an error, nothing lost; and stepping allocates
 * nothing. */
START_TEST(every_allocation_may_fail)
{
    const int64_t rows[2] = {0, 64};
    gm_attribute attributes[] = {gm_attribute_ints("rows", rows, 2)};
    gm_data_field fields[] = {image_field(GM_FLOAT, 1, flat), label_field};
    gm_data_declaration declaration = declare("mnist", attributes, 1, fields, 2);
    bool done = false;
    for (int64_t n = 1; !done && n < 1000; n++) {
        failing state = {.fail_at = n};
        gm_context_options options;
        gm_context *other;
        gm_dataset *set = NULL;
        gm_batcher *batcher = NULL;
        gm_data_options where = {.model_directory = directory};
        gm_context_options_default(&options, sizeof options);
        options.allocate = failing_allocate;
        options.release = failing_release;
        options.user = &state;
        ck_assert_int_eq(gm_context_create(&options, &other), GM_OK);
        gm_status status = gm_dataset_open(other, &declaration, &where, &set);
        const gm_dataset *sets[] = {set};
        if (status == GM_OK)
            status = gm_batcher_create(other, sets, 1, 8, 1, 0, &batcher);
        done = status == GM_OK;
        ck_assert(done || status == GM_ERROR_MEMORY);
        int64_t calls = state.calls;
        for (int i = 0; done && i < 20; i++) {
            const void *const *buffers;
            ck_assert_int_eq(gm_batcher_next(batcher, &buffers), GM_OK);
        }
        ck_assert_int_eq(state.calls, calls);
        gm_batcher_destroy(batcher);
        gm_dataset_close(set);
        gm_context_destroy(other);
        ck_assert_int_eq(state.alive, 0);
    }
    ck_assert(done);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        digits_are_balanced_and_centred,
        digits_do_not_depend_on_threads_or_order,
        digits_can_be_told_apart,
        without_files_mnist_is_the_built_in_digits,
        mnist_is_found_plain_or_compressed,
        a_given_directory_must_have_mnist,
        damaged_mnist_is_refused,
        a_damaged_label_is_refused,
        damaged_compressed_files_are_refused,
        idx_files_are_named,
        wrong_declarations_are_explained,
        npy_files_are_fields,
        ring_points_lie_at_their_centres,
        other_points_are_where_they_belong,
        an_epoch_has_each_row_once,
        the_order_is_the_documented_one,
        a_run_goes_on_from_any_position,
        a_limit_leaves_the_first_rows,
        a_batch_is_left_alone_until_the_next_call,
        every_allocation_may_fail,
    };
    Suite *suite = suite_create("data");
    TCase *cases = tcase_create("data");
    tcase_add_checked_fixture(cases, setup, teardown);
    for (size_t i = 0; i < GM_COUNT(tests); i++)
        tcase_add_test(cases, tests[i]);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
