/* The data source `images`: folders of PNG files, labels, sizes, colours, bad files. */
#include <check.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/data.h"
#include "runtime/font.h"
#include "runtime/png.h"

static gm_context *context;
static gm_dataset *dataset;
static char folder[64];

static void setup(void)
{
    ck_assert_int_eq(gm_context_create(NULL, &context), GM_OK);
    strcpy(folder, "/tmp/gmodel-images-XXXXXX");
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

static const char *in_folder(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* Channel c of the pixel at (y, x) is first + 10 y + x + 100 c. */
static void write_picture(const char *name, int64_t h, int64_t w, int channels, int first)
{
    uint8_t pixels[3 * 64];
    ck_assert_int_le(h * w, 64);
    for (int64_t y = 0; y < h; y++)
        for (int64_t x = 0; x < w; x++)
            for (int c = 0; c < channels; c++)
                pixels[(y * w + x) * channels + c] = (uint8_t)(first + 10 * y + x + 100 * c);
    ck_assert_msg(gm_write_pixels(context, in_folder(name), pixels, w, h, channels) == GM_OK, "%s",
                  gm_context_message(context));
}

static gm_status open_set(int rank, const int64_t *dims, const char *how)
{
    static gm_data_field fields[2];
    static gm_data_declaration declaration;
    static gm_attribute attributes[2];
    gm_data_options options = {.data_directory = folder};
    fields[0] = (gm_data_field){.name = "image", .type = GM_FLOAT, .rank = rank, .has_range = true, .high = 255};
    memcpy(fields[0].dims, dims, (size_t)rank * sizeof dims[0]);
    fields[1] = (gm_data_field){.name = "label", .type = GM_INT64};
    attributes[0] = gm_attribute_string("directory", "p");
    attributes[1] = gm_attribute_string("resize", how ? how : "none");
    declaration = (gm_data_declaration){.name = "faces",
                                        .source = "images",
                                        .attributes = attributes,
                                        .attribute_count = 2,
                                        .fields = fields,
                                        .field_count = 2,
                                        .where = {"t", 1, 1}};
    gm_dataset_close(dataset);
    dataset = NULL;
    return gm_dataset_open(context, &declaration, &options, &dataset);
}

static void read_row(int64_t row, float *image, int64_t *label)
{
    void *buffers[2] = {image, label};
    ck_assert_int_eq(gm_dataset_rows(dataset, &row, 1, buffers), GM_OK);
}

static void make(const char *name)
{
    ck_assert_int_eq(mkdir(in_folder(name), 0777), 0);
}

static void says(const char *text)
{
    ck_assert_msg(strstr(gm_context_message(context), text) != NULL, "%s", gm_context_message(context));
}

START_TEST(sub_folders_are_labels_in_the_order_of_names)
{
    static const int64_t dims[] = {1, 2, 3};
    float image[6];
    int64_t label;
    make("p");
    make("p/dog");
    make("p/cat");
    make("p/empty");
    write_picture("p/dog/b.png", 2, 3, 1, 50);
    write_picture("p/dog/a.png", 2, 3, 1, 30);
    write_picture("p/cat/z.png", 2, 3, 1, 0);
    ck_assert_msg(open_set(3, dims, NULL) == GM_OK, "%s", gm_context_message(context));
    ck_assert_int_eq(gm_dataset_row_count(dataset), 3);
    ck_assert_int_eq(gm_get_int(gm_dataset_constant(dataset, "classes"), 0), 2);
    ck_assert_str_eq(((const char *const *)gm_dataset_constant(dataset, "class")->data)[1], "dog");
    read_row(0, image, &label);
    ck_assert_int_eq(label, 0);
    ck_assert_float_eq(image[5], 12);
    read_row(1, image, &label);
    ck_assert_int_eq(label, 1);
    ck_assert_float_eq(image[0], 30);
}
END_TEST

START_TEST(colours_become_channels_and_grey_and_back)
{
    static const int64_t colour[] = {3, 2, 2}, grey[] = {2, 2};
    float image[12];
    int64_t label;
    make("p");
    write_picture("p/a.png", 2, 2, 3, 7);
    ck_assert_int_eq(open_set(3, colour, NULL), GM_OK);
    read_row(0, image, &label);
    ck_assert_float_eq(image[3], 18);
    ck_assert_float_eq(image[4 + 3], 118);
    ck_assert_float_eq(image[8], 207);
    ck_assert_int_eq(open_set(2, grey, NULL), GM_OK);
    read_row(0, image, &label);
    ck_assert_float_gt(image[0], 60); /* a mean of 7, 107 and 207, by the eye's weights */
    ck_assert_float_lt(image[0], 160);
    unlink(in_folder("p/a.png"));
    write_picture("p/b.png", 2, 2, 1, 7);
    ck_assert_int_eq(open_set(3, colour, NULL), GM_OK);
    read_row(0, image, &label);
    ck_assert_float_eq(image[4], 7);
}
END_TEST

START_TEST(other_sizes_are_refused_or_scaled)
{
    static const int64_t dims[] = {1, 4, 4};
    float image[16];
    int64_t label;
    make("p");
    write_picture("p/a.png", 2, 2, 1, 0); /* 0 1 / 10 11 */
    ck_assert_int_eq(open_set(3, dims, NULL), GM_ERROR_DATA);
    says("p/a.png: is 2 x 2 pixels, expected 4 x 4 (height x width); resize = \"bilinear\" would scale it");
    ck_assert_int_eq(open_set(3, dims, "nearest"), GM_OK);
    read_row(0, image, &label);
    ck_assert_float_eq(image[0], 0);
    ck_assert_float_eq(image[5], 0);
    ck_assert_float_eq(image[15], 11);
    ck_assert_int_eq(open_set(3, dims, "bilinear"), GM_OK);
    read_row(0, image, &label);
    ck_assert_float_eq(image[0], 0);
    ck_assert_float_eq(image[4], 3);  /* a quarter of the way down: 2.5 */
    ck_assert_float_eq(image[5], 3);  /* 2.75 */
    ck_assert_float_eq(image[10], 8); /* 8.25 */
    ck_assert_int_eq(open_set(3, dims, "cubic"), GM_ERROR_MODEL);
    says("data 'faces': resize is \"cubic\", expected \"none\", \"nearest\" or \"bilinear\"");
}
END_TEST

/* One pixel of a palette, of 16 bits, and half transparent: by libpng, as other programs write them. */
static void write_special(const char *name, png_uint_32 format, const void *pixels, const void *palette)
{
    png_image image = {.version = PNG_IMAGE_VERSION, .width = 1, .height = 1, .format = format};
    image.colormap_entries = palette ? 2 : 0;
    ck_assert_int_ne(png_image_write_to_file(&image, in_folder(name), 0, pixels, 0, palette), 0);
}

START_TEST(other_kinds_of_png_are_converted)
{
    static const int64_t dims[] = {3, 1, 1};
    static const uint8_t index[] = {1}, colours[] = {0, 0, 0, 10, 20, 30}, half[] = {200, 100, 50, 128};
    static const uint16_t deep[] = {65535, 65535, 65535};
    float image[3];
    int64_t label;
    make("p");
    write_special("p/a.png", PNG_FORMAT_RGB_COLORMAP, index, colours);
    write_special("p/b.png", PNG_FORMAT_LINEAR_RGB, deep, NULL);
    write_special("p/c.png", PNG_FORMAT_RGBA, half, NULL);
    ck_assert_msg(open_set(3, dims, NULL) == GM_OK, "%s", gm_context_message(context));
    read_row(0, image, &label);
    ck_assert_float_eq(image[1], 20);
    read_row(1, image, &label);
    ck_assert_float_eq(image[2], 255);
    read_row(2, image, &label); /* on black: darker, in the same order */
    ck_assert_float_lt(image[0], 200);
    ck_assert_float_gt(image[0], image[1]);
    ck_assert_float_gt(image[1], image[2]);
}
END_TEST

START_TEST(a_truncated_png_is_told)
{
    static const int64_t dims[] = {1, 8, 8};
    make("p");
    write_picture("p/a.png", 8, 8, 1, 0);
    ck_assert_int_eq(truncate(in_folder("p/a.png"), 60), 0);
    ck_assert_int_eq(open_set(3, dims, NULL), GM_ERROR_DATA);
    says("p/a.png: cannot be read as PNG: ");
}
END_TEST

START_TEST(bad_folders_and_files_are_told)
{
    static const int64_t dims[] = {1, 2, 2}, two[] = {2, 2, 2}, flat[] = {4};
    FILE *file;
    ck_assert_int_eq(open_set(3, dims, NULL), GM_ERROR_FILE);
    says("data 'faces': no file 'p', looked for ");
    make("p");
    ck_assert_int_eq(open_set(3, dims, NULL), GM_ERROR_DATA);
    says("no PNG files here or in its sub-folders");
    write_picture("p/a.png", 2, 2, 1, 0);
    ck_assert_int_eq(open_set(3, two, NULL), GM_ERROR_MODEL);
    says("an image is [1, height, width] or [3, height, width], found 2 channels");
    ck_assert_int_eq(open_set(1, flat, NULL), GM_OK); /* the first picture says the size */
    write_picture("p/b.png", 2, 3, 1, 0);
    ck_assert_int_eq(open_set(1, flat, NULL), GM_ERROR_DATA);
    says("p/b.png: is 2 x 3 pixels, expected 2 x 2");
    file = fopen(in_folder("p/b.png"), "wb");
    fputs("no picture", file);
    fclose(file);
    ck_assert_int_eq(open_set(3, dims, NULL), GM_ERROR_DATA);
    says("p/b.png: cannot be read as PNG: ");
    unlink(in_folder("p/b.png"));
    make("p/sub");
    write_picture("p/sub/c.png", 2, 2, 1, 0);
    ck_assert_int_eq(open_set(3, dims, NULL), GM_ERROR_DATA);
    says("has PNG files beside sub-folders with PNG files: which label have they?");
}
END_TEST

START_TEST(unknown_sources_and_attributes_are_told_at_load)
{
    static const char text[] =
        "model m <gmodel = 1, opset = 21>\ndata a = imagse <directory = \"x\"> { image : float[4] }\n"
        "data b = images <folder = \"x\"> { image : float[4] }\n";
    gm_model *model = NULL;
    ck_assert_int_eq(gm_model_load_memory(context, text, sizeof text - 1, "t", NULL, &model), GM_ERROR_MODEL);
    says("t:2:1: data 'a': unknown source 'imagse', did you mean 'images'?");
    says("t:3:1: data 'b': ");
    static const char fields_text[] = "model m <gmodel = 1, opset = 21>\ndata a = mnist { picture : float[784] }\n";
    ck_assert_int_eq(gm_model_load_memory(context, fields_text, sizeof fields_text - 1, "t", NULL, &model),
                     GM_ERROR_MODEL);
    says("t:2:18: data 'a': source 'mnist' has no field 'picture'; it has 'image', 'label'");
}
END_TEST

START_TEST(letters_are_rectangles_and_tails_hang_below_the_line)
{
    for (char letter = '!'; letter <= '~'; letter++) {
        const char *rows = gm_glyph(letter);
        int64_t width = gm_glyph_width(rows), height = gm_glyph_height(rows);
        ck_assert_int_eq((int64_t)strlen(rows), height * (width + 1) - 1);
        for (int64_t row = 1; row < height; row++)
            ck_assert_int_eq(rows[row * (width + 1) - 1], ' ');
        ck_assert_int_eq(height, strchr("gjpqyGJPQY", letter) ? GM_GLYPH_ROWS + 2 : GM_GLYPH_ROWS);
    }
    ck_assert_ptr_null(gm_glyph(' '));
    ck_assert_int_eq(gm_glyph_height(gm_glyph(' ')), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("images");
    TCase *cases = tcase_create("images");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, letters_are_rectangles_and_tails_hang_below_the_line);
    tcase_add_test(cases, sub_folders_are_labels_in_the_order_of_names);
    tcase_add_test(cases, colours_become_channels_and_grey_and_back);
    tcase_add_test(cases, other_sizes_are_refused_or_scaled);
    tcase_add_test(cases, other_kinds_of_png_are_converted);
    tcase_add_test(cases, a_truncated_png_is_told);
    tcase_add_test(cases, bad_folders_and_files_are_told);
    tcase_add_test(cases, unknown_sources_and_attributes_are_told_at_load);
    suite_add_tcase(suite, cases);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
