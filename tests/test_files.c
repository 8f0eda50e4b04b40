/* Contexts and options, whole-or-nothing files, NumPy files, pictures, first values of parameters. */
#include <check.h>
#include <fcntl.h>
#include <math.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

#include <dirent.h>

#include "ops/philox.h"
#include "runtime/context.h"
#include "runtime/file.h"
#include "runtime/initialize.h"
#include "runtime/npy.h"
#include "runtime/png.h"

static gm_context *context;
static char directory[64];

static void setup(void)
{
    ck_assert_int_eq(gm_context_create(NULL, &context), GM_OK);
    (void)snprintf(directory, sizeof directory, "/tmp/gmodel-files-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
}

static int entries_in(const char *path)
{
    int count = 0;
    DIR *dir = opendir(path);
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir))
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

static void teardown(void)
{
    DIR *dir = opendir(directory);
    char path[512];
    for (struct dirent *entry = dir != NULL ? readdir(dir) : NULL; entry != NULL; entry = readdir(dir)) {
        (void)snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        (void)(entry->d_name[0] != '.' && unlink(path) != 0 && rmdir(path));
    }
    closedir(dir);
    rmdir(directory);
    gm_context_destroy(context);
}

static const char *in_directory(const char *name)
{
    static char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

/* --- Context
 * ---------------------------------------------------------------------------------------------------------- */

START_TEST(options_must_have_a_size)
{
    gm_context *other = NULL;
    gm_context_options options;
    gm_context_options_default(&options, sizeof options);
    ck_assert_uint_eq(options.struct_size, sizeof options);
    options.struct_size = 0;
    ck_assert_int_eq(gm_context_create(&options, &other), GM_ERROR_ARGUMENT);
    options.struct_size = offsetof(gm_context_options, direct_math); /* of no version */
    ck_assert_int_eq(gm_context_create(&options, &other), GM_ERROR_ARGUMENT);
    ck_assert_ptr_null(other);
}
END_TEST

START_TEST(options_of_a_newer_caller_are_accepted)
{
    struct {
        gm_context_options known;
        char unknown[32];
    } options;
    memset(&options, 0x55, sizeof options);
    gm_context_options_default(&options.known, sizeof options);
    ck_assert_uint_eq(options.known.struct_size, sizeof options);
    ck_assert_int_eq(options.unknown[5], 0);
    options.known.threads = 3;
    gm_context *other = NULL;
    ck_assert_int_eq(gm_context_create(&options.known, &other), GM_OK);
    ck_assert_int_eq(other->options.threads, 3);
    ck_assert_uint_eq(other->options.struct_size, sizeof(gm_context_options));
    gm_context_destroy(other);
}
END_TEST

START_TEST(defaults_stay_within_the_callers_struct)
{
    unsigned char small[24];
    memset(small, 0x77, sizeof small);
    gm_context_options_default((gm_context_options *)(void *)small, 16);
    for (size_t i = 16; i < sizeof small; i++)
        ck_assert_uint_eq(small[i], 0x77);
}
END_TEST

START_TEST(one_allocator_function_alone_is_refused)
{
    gm_context *other = NULL;
    gm_context_options options;
    gm_context_options_default(&options, sizeof options);
    options.allocate = context->options.allocate;
    ck_assert_int_eq(gm_context_create(&options, &other), GM_ERROR_ARGUMENT);
    gm_context_options_default(&options, sizeof options);
    options.threads = -2;
    ck_assert_int_eq(gm_context_create(&options, &other), GM_ERROR_ARGUMENT);
}
END_TEST

START_TEST(other_options_follow_the_same_rule)
{
    gm_session_options ours = {.struct_size = sizeof ours, .batch = 7},
                       given = {.struct_size = sizeof given, .batch = 9};
    ck_assert_int_eq(gm_options_take(context, "gm_session_options", NULL, sizeof ours, &ours, sizeof ours), GM_OK);
    ck_assert_int_eq(ours.batch, 7);
    ck_assert_int_eq(gm_options_take(context, "gm_session_options", &given, sizeof ours, &ours, sizeof ours), GM_OK);
    ck_assert_int_eq(ours.batch, 9);
    given.struct_size = 4;
    ck_assert_int_eq(gm_options_take(context, "gm_session_options", &given, sizeof ours, &ours, sizeof ours),
                     GM_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(gm_context_message(context), "gm_session_options.struct_size is 4"));
}
END_TEST

START_TEST(every_status_has_a_name)
{
    for (int i = GM_OK; i <= GM_ERROR_INTERNAL; i++)
        ck_assert_str_ne(gm_status_name((gm_status)i), "unknown status");
    ck_assert_str_eq(gm_status_name((gm_status)99), "unknown status");
    ck_assert_str_eq(gm_version(), "0.1.0");
}
END_TEST

/* --- Files
 * ------------------------------------------------------------------------------------------------------------- */

START_TEST(a_file_is_replaced_whole)
{
    const char *path = in_directory("a");
    char *data;
    size_t bytes;
    ck_assert_int_eq(gm_file_replace(context, path, "first", 5), GM_OK);
    ck_assert_int_eq(gm_file_replace(context, path, "second one", 10), GM_OK);
    ck_assert_int_eq(gm_read_file(context, path, &data, &bytes), GM_OK);
    ck_assert_uint_eq(bytes, 10);
    ck_assert_mem_eq(data, "second one", 10);
    gm_free(context, data);
    ck_assert_int_eq(entries_in(directory), 1);
}
END_TEST

START_TEST(an_abandoned_file_leaves_the_old_one)
{
    const char *path = in_directory("a");
    gm_file *file;
    char *data;
    size_t bytes;
    ck_assert_int_eq(gm_file_replace(context, path, "old", 3), GM_OK);
    ck_assert_int_eq(gm_file_create(context, path, &file), GM_OK);
    ck_assert_int_eq(gm_file_write(file, "new", 3), GM_OK);
    gm_file_abandon(file);
    gm_file_abandon(NULL);
    ck_assert_int_eq(gm_read_file(context, path, &data, &bytes), GM_OK);
    ck_assert_mem_eq(data, "old", 3);
    gm_free(context, data);
    ck_assert_int_eq(entries_in(directory), 1);
}
END_TEST

/* The limit on file sizes stands for a full disk: the write in the middle fails. */
START_TEST(a_failed_write_leaves_the_old_file)
{
    const char *path = in_directory("a");
    struct rlimit before, small;
    size_t bytes = 1 << 20;
    char *data = calloc(1, bytes);
    ck_assert_int_eq(gm_file_replace(context, path, "old", 3), GM_OK);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 200000;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    gm_status status = gm_file_replace(context, path, data, bytes);
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, handler);
    ck_assert_int_eq(status, GM_ERROR_FILE);
    ck_assert_ptr_nonnull(strstr(gm_context_message(context), path));
    ck_assert_ptr_null(strchr(gm_context_message(context), '\n'));
    free(data);
    size_t found;
    ck_assert_int_eq(gm_read_file(context, path, &data, &found), GM_OK);
    ck_assert_uint_eq(found, 3);
    gm_free(context, data);
    ck_assert_int_eq(entries_in(directory), 1);
}
END_TEST

START_TEST(places_that_cannot_be_written_are_named)
{
    ck_assert_int_eq(gm_file_replace(context, in_directory("no/such"), "x", 1), GM_ERROR_FILE);
    ck_assert_ptr_nonnull(strstr(gm_context_message(context), "no/such"));
    ck_assert_int_eq(gm_file_replace(context, directory, "x", 1), GM_ERROR_FILE);
    ck_assert_ptr_nonnull(strstr(gm_context_message(context), "a directory"));
    ck_assert_int_eq(gm_file_replace(context, "/dev/null", "x", 1), GM_ERROR_FILE);
    ck_assert_int_eq(access("/dev/null", F_OK), 0);
    ck_assert_int_eq(gm_file_replace(context, "", "x", 1), GM_ERROR_ARGUMENT);
    ck_assert_int_eq(entries_in(directory), 0);
}
END_TEST

START_TEST(a_symbolic_link_stays_one)
{
    char target[512];
    struct stat status;
    (void)snprintf(target, sizeof target, "%s", in_directory("target"));
    ck_assert_int_eq(gm_file_replace(context, target, "old", 3), GM_OK);
    ck_assert_int_eq(symlink(target, in_directory("link")), 0);
    ck_assert_int_eq(gm_file_replace(context, in_directory("link"), "newer", 5), GM_OK);
    ck_assert_int_eq(lstat(in_directory("link"), &status), 0);
    ck_assert(S_ISLNK(status.st_mode));
    ck_assert_int_eq(stat(target, &status), 0);
    ck_assert_int_eq(status.st_size, 5);
}
END_TEST

START_TEST(directories_are_made_with_their_parents)
{
    char inner[512];
    (void)snprintf(inner, sizeof inner, "%s", in_directory("p/q"));
    ck_assert_int_eq(gm_make_directories(context, inner), GM_OK);
    ck_assert_int_eq(gm_make_directories(context, inner), GM_OK);
    ck_assert_int_eq(gm_file_replace(context, in_directory("file"), "x", 1), GM_OK);
    ck_assert_int_eq(gm_make_directories(context, in_directory("file/sub")), GM_ERROR_FILE);
    ck_assert_int_eq(rmdir(inner), 0);
}
END_TEST

/* --- NumPy
 * ------------------------------------------------------------------------------------------------------------- */

/* A version 1.0 or 2.0 file with a given header text. */
static size_t make_npy(char *out, int version, const char *text, const void *data, size_t bytes)
{
    size_t length = strlen(text), start = version == 1 ? 10 : 12;
    memcpy(out, "\x93NUMPY", 6);
    out[6] = (char)version;
    out[7] = 0;
    out[8] = (char)(length & 0xff);
    out[9] = (char)(length >> 8);
    if (version == 2)
        out[10] = out[11] = 0;
    memcpy(out + start, text, length);
    if (bytes > 0)
        memcpy(out + start + length, data, bytes);
    return start + length + bytes;
}

static gm_status read_made(int version, const char *text, const void *data, size_t bytes, gm_tensor_view *view)
{
    char file[4096];
    const char *path = in_directory("made.npy");
    ck_assert_int_eq(gm_file_replace(context, path, file, make_npy(file, version, text, data, bytes)), GM_OK);
    return gm_read_npy(context, path, view);
}

START_TEST(arrays_come_back_as_written)
{
    static const gm_type types[] = {GM_FLOAT, GM_DOUBLE, GM_INT8, GM_UINT8,  GM_INT16,   GM_UINT16,
                                    GM_INT32, GM_INT64,  GM_BOOL, GM_UINT32, GM_FLOAT16, GM_UINT64};
    _Alignas(16) unsigned char data[24 * 8];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i % 2);
    for (size_t i = 0; i < GM_COUNT(types); i++)
        for (int rank = 0; rank <= 4; rank++) {
            static const int64_t shapes[5][4] = {{0}, {24}, {4, 6}, {2, 3, 4}, {2, 3, 4, 1}};
            gm_tensor_view view = {.type = types[i], .rank = rank, .data = data}, back;
            memcpy(view.dims, shapes[rank], sizeof shapes[rank]);
            ck_assert_int_eq(gm_write_npy(context, in_directory("x.npy"), &view), GM_OK);
            ck_assert_int_eq(gm_read_npy(context, in_directory("x.npy"), &back), GM_OK);
            ck_assert_int_eq(back.type, types[i]);
            ck_assert_int_eq(back.rank, rank);
            ck_assert_mem_eq(back.dims, view.dims, sizeof(int64_t) * (size_t)rank);
            ck_assert_uint_eq(back.bytes, (rank == 0 ? 1U : 24U) * gm_type_bytes(types[i]));
            ck_assert_mem_eq(back.data, data, back.bytes);
            gm_release(context, back.data);
        }
}
END_TEST

START_TEST(header_is_aligned_and_exact)
{
    float data[3] = {1, 2, 3};
    gm_tensor_view view = {.type = GM_FLOAT, .rank = 1, .dims = {3}, .data = data};
    char *file;
    size_t bytes;
    ck_assert_int_eq(gm_write_npy(context, in_directory("x.npy"), &view), GM_OK);
    ck_assert_int_eq(gm_read_file(context, in_directory("x.npy"), &file, &bytes), GM_OK);
    ck_assert_uint_eq(bytes, 128 + 12);
    ck_assert_mem_eq(file, "\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }",
                     68 - 1);
    ck_assert_int_eq(file[127], '\n');
    gm_free(context, file);
}
END_TEST

START_TEST(column_major_arrays_are_turned)
{
    const int32_t data[6] = {1, 4, 2, 5, 3, 6};
    gm_tensor_view view;
    ck_assert_int_eq(read_made(2, "{'descr': '<i4', 'fortran_order': True, 'shape': (2, 3)}", data, sizeof data, &view),
                     GM_OK);
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(((int32_t *)view.data)[i], i + 1);
    gm_release(context, view.data);
}
END_TEST

START_TEST(damaged_headers_are_refused)
{
    static const struct {
        const char *text, *message;
        gm_status status;
    } cases[] = {
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (2,)}", "byte 20: element type '>f4'",
         GM_ERROR_UNSUPPORTED},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", "expected a type", GM_ERROR_DATA},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (2,)}", "element type '|O'", GM_ERROR_UNSUPPORTED},
        {"{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}", "expected True or False", GM_ERROR_DATA},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", "expected a dimension", GM_ERROR_DATA},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2)}", "expected a comma", GM_ERROR_DATA},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", "fits 64 bits", GM_ERROR_DATA},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", "fits 63 bits", GM_ERROR_DATA},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,2)}", "at most 8", GM_ERROR_DATA},
        {"{'descr': '<f4', 'fortran_order': False}", "expected the keys", GM_ERROR_DATA},
        {"{'descr': '<f4', 'descr': '<f4', 'shape': (2,)}", "each once", GM_ERROR_DATA},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x", "spaces up to the end", GM_ERROR_DATA},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", "asks for a file of", GM_ERROR_DATA},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", "asks for a file of", GM_ERROR_DATA},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4000000000000,)}", "asks for a file of", GM_ERROR_DATA},
        {"{'descr", "expected a quoted key", GM_ERROR_DATA},
        {"", "expected '{'", GM_ERROR_DATA},
    };
    const float data[2] = {1, 2};
    gm_tensor_view view = {.name = "untouched"};
    for (size_t i = 0; i < GM_COUNT(cases); i++) {
        ck_assert_int_eq(read_made(1, cases[i].text, data, sizeof data, &view), cases[i].status);
        ck_assert_msg(strstr(gm_context_message(context), cases[i].message) != NULL, "case %zu: %s", i,
                      gm_context_message(context));
        ck_assert_str_eq(view.name, "untouched");
    }
    ck_assert_int_eq(gm_read_npy(context, in_directory("none"), &view), GM_ERROR_FILE);
}
END_TEST

/* Any change of one or two bytes and any cut must give an array or a message, never a crash. */
START_TEST(mutated_headers_are_safe)
{
    char original[256], changed[256];
    const float data[4] = {0};
    size_t bytes =
        make_npy(original, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }", data, sizeof data);
    gm_npy_header header;
    int accepted = 0, refused = 0;
    for (uint64_t i = 0; i < 60000; i++) {
        uint32_t random[4];
        gm_philox(1, i, 0, random);
        memcpy(changed, original, bytes);
        changed[random[0] % bytes] = (char)random[1];
        if (random[3] % 2)
            changed[random[2] % bytes] = "0123456789(),:{}' \\\n"[random[1] % 20];
        size_t length = random[3] % 16 == 0 ? random[3] / 16 % (bytes + 1) : bytes;
        char *exact = malloc(length + 1); /* so that reading beyond is seen by the sanitizer */
        memcpy(exact, changed, length);
        gm_status status = gm_npy_parse_header(context, "changed", exact, length, &header);
        free(exact);
        accepted += status == GM_OK;
        refused += status != GM_OK;
        if (status == GM_OK)
            ck_assert(header.count >= 0 && header.rank <= GM_MAX_RANK && header.data_start <= length);
        else
            ck_assert_int_gt((int)strlen(gm_context_message(context)), 10);
    }
    ck_assert_int_gt(accepted, 100);
    ck_assert_int_gt(refused, 10000);
}
END_TEST

START_TEST(unwritable_views_are_refused)
{
    float data[2] = {0};
    gm_tensor_view view = {.type = GM_BFLOAT16, .rank = 1, .dims = {2}, .data = data};
    ck_assert_int_eq(gm_write_npy(context, in_directory("x.npy"), &view), GM_ERROR_UNSUPPORTED);
    view.type = GM_FLOAT;
    view.dims[0] = -1;
    ck_assert_int_eq(gm_write_npy(context, in_directory("x.npy"), &view), GM_ERROR_ARGUMENT);
    view.dims[0] = 2;
    view.data = NULL;
    ck_assert_int_eq(gm_write_npy(context, in_directory("x.npy"), &view), GM_ERROR_ARGUMENT);
    ck_assert_int_eq(entries_in(directory), 0);
}
END_TEST

/* --- Pictures
 * ---------------------------------------------------------------------------------------------------------- */

/* Decodes a PNG as RGB; the caller frees. */
static uint8_t *decode(const char *path, int *width, int *height)
{
    png_image image = {.version = PNG_IMAGE_VERSION};
    ck_assert_int_ne(png_image_begin_read_from_file(&image, path), 0);
    *width = (int)image.width;
    *height = (int)image.height;
    bool gray = (image.format & PNG_FORMAT_FLAG_COLOR) == 0;
    image.format = PNG_FORMAT_RGB;
    uint8_t *pixels = malloc(PNG_IMAGE_SIZE(image));
    ck_assert_int_ne(png_image_finish_read(&image, NULL, pixels, 0, NULL), 0);
    (void)gray;
    return pixels;
}

START_TEST(pictures_stand_in_a_grid)
{
    float data[5 * 4];
    int width, height;
    for (int i = 0; i < 20; i++)
        data[i] = i % 4 == 0 ? -1.0F : i % 4 == 1 ? 0.0F : i % 4 == 2 ? 1.0F : 7.0F;
    gm_tensor_view view = {.type = GM_FLOAT, .rank = 4, .dims = {5, 1, 2, 2}, .data = data};
    ck_assert_int_eq(gm_write_png(context, in_directory("x.png"), &view, -1, 1), GM_OK);
    uint8_t *pixels = decode(in_directory("x.png"), &width, &height);
    ck_assert_int_eq(width, 3 * 4 - 2); /* 3 columns, 2 rows, gaps of 2 */
    ck_assert_int_eq(height, 2 * 4 - 2);
    ck_assert_uint_eq(pixels[0], 0);
    ck_assert_uint_eq(pixels[3], 128);
    ck_assert_uint_eq(pixels[10 * 3], 255);
    ck_assert_uint_eq(pixels[10 * 3 + 3], 255); /* clipped */
    ck_assert_uint_eq(pixels[2 * 3], 96);       /* a gap */
    free(pixels);
    view.rank = 2;
    view.dims[1] = 4;
    ck_assert_int_eq(gm_write_png_grid(context, in_directory("x.png"), &view, -1, 1, 5, 0), GM_OK);
    free(decode(in_directory("x.png"), &width, &height));
    ck_assert_int_eq(width, 5 * 4 - 2);
    ck_assert_int_eq(height, 2);
    ck_assert_int_eq(gm_write_png_grid(context, in_directory("x.png"), &view, -1, 1, 5, 40), GM_OK);
    pixels = decode(in_directory("x.png"), &width, &height); /* three times as large */
    ck_assert_int_eq(width, 3 * (5 * 4 - 2));
    ck_assert_int_eq(height, 6);
    ck_assert_uint_eq(pixels[(2 * 54 + 2) * 3], 0);
    ck_assert_uint_eq(pixels[(2 * 54 + 3) * 3], 128);
    free(pixels);
}
END_TEST

START_TEST(colours_are_kept_and_not_a_number_is_seen)
{
    int width, height;
    uint8_t colours[3 * 4] = {255, 0, 0, 0, 0, 255, 0, 0, 0, 0, 255, 0};
    gm_tensor_view view = {.type = GM_UINT8, .rank = 4, .dims = {1, 3, 2, 2}, .data = colours};
    ck_assert_int_eq(gm_write_png(context, in_directory("x.png"), &view, 0, 255), GM_OK);
    uint8_t *pixels = decode(in_directory("x.png"), &width, &height);
    const uint8_t expected[12] = {255, 0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0};
    ck_assert_mem_eq(pixels, expected, 12);
    free(pixels);
    float bad[4] = {0, NAN, INFINITY, -INFINITY};
    gm_tensor_view numbers = {.type = GM_FLOAT, .rank = 3, .dims = {1, 2, 2}, .data = bad};
    ck_assert_int_eq(gm_write_png(context, in_directory("x.png"), &numbers, 0, 1), GM_OK);
    pixels = decode(in_directory("x.png"), &width, &height);
    const uint8_t seen[12] = {0, 0, 0, 255, 0, 255, 255, 255, 255, 0, 0, 0};
    ck_assert_mem_eq(pixels, seen, 12);
    free(pixels);
}
END_TEST

START_TEST(what_is_no_picture_is_refused)
{
    float data[32] = {0};
    gm_tensor_view view = {.type = GM_FLOAT, .rank = 4, .dims = {1, 2, 2, 2}, .data = data};
    ck_assert_int_eq(gm_write_png(context, in_directory("x.png"), &view, 0, 1), GM_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(gm_context_message(context), "found [1, 2, 2, 2]"));
    view = (gm_tensor_view){.type = GM_FLOAT, .rank = 2, .dims = {2, 5}, .data = data};
    ck_assert_int_eq(gm_write_png(context, in_directory("x.png"), &view, 0, 1), GM_ERROR_ARGUMENT);
    view.dims[1] = 4;
    ck_assert_int_eq(gm_write_png(context, in_directory("x.png"), &view, 1, 1), GM_ERROR_ARGUMENT);
    ck_assert_int_eq(gm_write_png(context, in_directory("x.png"), &view, NAN, 1), GM_ERROR_ARGUMENT);
    view.dims[0] = INT64_C(1) << 40;
    ck_assert_int_eq(gm_write_png(context, in_directory("x.png"), &view, 0, 1), GM_ERROR_ARGUMENT);
    ck_assert_int_eq(entries_in(directory), 0);
}
END_TEST

START_TEST(points_are_drawn_where_they_are)
{
    int width, height;
    float data[8] = {-1, -1, 1, 1, NAN, 0, INFINITY, 3};
    gm_tensor_view view = {.type = GM_FLOAT, .rank = 2, .dims = {4, 2}, .data = data};
    ck_assert_int_eq(gm_write_scatter(context, in_directory("x.png"), &view, 0, 0), GM_OK);
    uint8_t *pixels = decode(in_directory("x.png"), &width, &height);
    ck_assert_int_eq(width, 512);
    ck_assert_int_eq(height, 512);
    /* The range is [-1.5, 1.5]: 1 lies at 256 + 220 / 1.5. */
    ck_assert_uint_lt(pixels[((256 - 147) * 512 + 256 + 146) * 3], 128);
    ck_assert_uint_lt(pixels[((256 + 146) * 512 + 256 - 147) * 3], 128);
    ck_assert_uint_gt(pixels[((256 + 146) * 512 + 256 + 146) * 3], 200);
    free(pixels);
    view.dims[0] = 0;
    ck_assert_int_eq(gm_write_scatter(context, in_directory("x.png"), &view, 0, 0), GM_OK);
    view.dims[1] = 3;
    ck_assert_int_eq(gm_write_scatter(context, in_directory("x.png"), &view, 0, 0), GM_ERROR_ARGUMENT);
}
END_TEST

/* --- First values
 * ------------------------------------------------------------------------------------------------------ */

static gm_state_entry entry_of(const char *path, gm_initializer_kind kind, double a, double b)
{
    return (gm_state_entry){
        .path = path, .type = GM_FLOAT, .initializer = {.kind = kind, .a = a, .b = b, .value = 0.5}};
}

START_TEST(uniform_values_are_the_draw_of_the_path)
{
    enum { N = 70000 };
    static float values[N];
    gm_tensor target = {.type = GM_FLOAT, .rank = 2, .dims = {700, 100}, .data = values};
    gm_state_entry entry = entry_of("g.W", GM_INITIALIZE_UNIFORM, -0.25, 0.75);
    ck_assert_int_eq(gm_initialize_state(context, &entry, 42, &target), GM_OK);
    uint64_t key = 42 ^ gm_hash64("g.W");
    for (int i = 0; i < N; i += 7)
        ck_assert_float_eq(values[i], (float)(-0.25 + gm_uniform_at(key, 0, (uint64_t)i)));
    for (int i = 0; i < N; i++)
        ck_assert(values[i] >= -0.25F && values[i] < 0.75F);
}
END_TEST

START_TEST(normal_values_have_their_moments)
{
    enum { N = 40000 };
    static float values[N];
    gm_tensor target = {.type = GM_FLOAT, .rank = 1, .dims = {N}, .data = values};
    const struct {
        gm_initializer_kind kind;
        double deviation, limit;
    } cases[] = {{GM_INITIALIZE_NORMAL, 0.5, 10}, {GM_INITIALIZE_TRUNCATED_NORMAL, 0.5 * 0.87963, 1.0 + 1e-6}};
    for (size_t c = 0; c < GM_COUNT(cases); c++) {
        gm_state_entry entry = entry_of("g.W", cases[c].kind, 3, 0.5);
        double sum = 0, squares = 0;
        ck_assert_int_eq(gm_initialize_state(context, &entry, 42, &target), GM_OK);
        for (int i = 0; i < N; i++) {
            sum += values[i] - 3;
            squares += (values[i] - 3) * (values[i] - 3);
            ck_assert(fabs(values[i] - 3) <= cases[c].limit);
        }
        ck_assert_double_eq_tol(sum / N, 0, 0.01);
        ck_assert_double_eq_tol(sqrt(squares / N), cases[c].deviation, 0.01);
    }
}
END_TEST

/* A truncated draw differs from the plain one only where that is beyond two deviations, and takes the next run there.
 */
START_TEST(truncated_values_are_redrawn_by_run)
{
    float values[1000];
    gm_tensor target = {.type = GM_FLOAT, .rank = 1, .dims = {1000}, .data = values};
    gm_state_entry entry = entry_of("g.W", GM_INITIALIZE_TRUNCATED_NORMAL, 0, 1);
    int redrawn = 0;
    ck_assert_int_eq(gm_initialize_state(context, &entry, 1, &target), GM_OK);
    for (uint64_t i = 0; i < 1000; i++) {
        float expected = 0;
        uint64_t run = 0;
        do {
            gm_normal(1 ^ gm_hash64("g.W"), run++, i, 1, &expected);
        } while (fabsf(expected) > 2);
        redrawn += run > 1;
        ck_assert_float_eq(values[i], expected);
    }
    ck_assert_int_gt(redrawn, 20);
}
END_TEST

START_TEST(threads_do_not_change_values)
{
    enum { N = 100000 };
    static float one[N], four[N];
    gm_tensor target = {.type = GM_FLOAT, .rank = 1, .dims = {N}, .data = one};
    gm_state_entry entry = entry_of("g.W", GM_INITIALIZE_NORMAL, 0, 1);
    context->options.threads = 1;
    ck_assert_int_eq(gm_initialize_state(context, &entry, 9, &target), GM_OK);
    context->options.threads = 4;
    target.data = four;
    ck_assert_int_eq(gm_initialize_state(context, &entry, 9, &target), GM_OK);
    ck_assert_mem_eq(one, four, sizeof one);
}
END_TEST

static void check_orthogonal(int64_t rows, int64_t columns, double gain)
{
    static float values[40 * 60];
    gm_tensor target = {.type = GM_FLOAT, .rank = 2, .dims = {rows, columns}, .data = values};
    gm_state_entry entry = entry_of("g.W", GM_INITIALIZE_ORTHOGONAL, gain, 0);
    ck_assert_int_eq(gm_initialize_state(context, &entry, 5, &target), GM_OK);
    bool by_row = rows <= columns;
    int64_t n = by_row ? rows : columns, length = by_row ? columns : rows;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) {
            double product = 0;
            for (int64_t k = 0; k < length; k++)
                product += (double)(by_row ? values[i * columns + k] : values[k * columns + i]) *
                           (by_row ? values[j * columns + k] : values[k * columns + j]);
            ck_assert_double_eq_tol(product, i == j ? gain * gain : 0, 1e-6);
        }
}

START_TEST(orthogonal_values_are_orthogonal)
{
    check_orthogonal(40, 60, 1);
    check_orthogonal(60, 40, 1);
    check_orthogonal(40, 40, 0.8);
    check_orthogonal(1, 3, 1);
    float values[3];
    gm_tensor target = {.type = GM_FLOAT, .rank = 1, .dims = {3}, .data = values};
    gm_state_entry entry = entry_of("g.b", GM_INITIALIZE_ORTHOGONAL, 1, 0);
    gm_clear_message(context);
    ck_assert_int_eq(gm_initialize_state(context, &entry, 5, &target), GM_ERROR_MODEL);
}
END_TEST

START_TEST(constants_and_tensors_are_copied)
{
    float values[4];
    int64_t whole[4] = {1, -2, 3, INT64_C(1) << 53};
    double half = 0.5;
    gm_tensor target = {.type = GM_FLOAT, .rank = 1, .dims = {4}, .data = values};
    gm_tensor tensor = {.type = GM_INT64, .rank = 1, .dims = {4}, .data = whole};
    gm_state_entry entry = entry_of("g.b", GM_INITIALIZE_CONSTANT, 0, 0);
    ck_assert_int_eq(gm_initialize_state(context, &entry, 5, &target), GM_OK);
    ck_assert_float_eq(values[3], 0.5F);
    entry.initializer.kind = GM_INITIALIZE_TENSOR;
    entry.initializer.tensor = &tensor;
    ck_assert_int_eq(gm_initialize_state(context, &entry, 5, &target), GM_OK);
    ck_assert_float_eq(values[1], -2);
    tensor = (gm_tensor){.type = GM_DOUBLE, .rank = 0, .data = &half};
    ck_assert_int_eq(gm_initialize_state(context, &entry, 5, &target), GM_OK);
    ck_assert_float_eq(values[2], 0.5F);
    tensor = (gm_tensor){.type = GM_INT64, .rank = 1, .dims = {3}, .data = whole};
    ck_assert_int_eq(gm_initialize_state(context, &entry, 5, &target), GM_ERROR_MODEL);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        options_must_have_a_size,
        options_of_a_newer_caller_are_accepted,
        defaults_stay_within_the_callers_struct,
        one_allocator_function_alone_is_refused,
        other_options_follow_the_same_rule,
        every_status_has_a_name,
        a_file_is_replaced_whole,
        an_abandoned_file_leaves_the_old_one,
        a_failed_write_leaves_the_old_file,
        places_that_cannot_be_written_are_named,
        a_symbolic_link_stays_one,
        directories_are_made_with_their_parents,
        arrays_come_back_as_written,
        header_is_aligned_and_exact,
        column_major_arrays_are_turned,
        damaged_headers_are_refused,
        mutated_headers_are_safe,
        unwritable_views_are_refused,
        pictures_stand_in_a_grid,
        colours_are_kept_and_not_a_number_is_seen,
        what_is_no_picture_is_refused,
        points_are_drawn_where_they_are,
        uniform_values_are_the_draw_of_the_path,
        normal_values_have_their_moments,
        truncated_values_are_redrawn_by_run,
        threads_do_not_change_values,
        orthogonal_values_are_orthogonal,
        constants_and_tensors_are_copied,
    };
    Suite *suite = suite_create("files");
    TCase *cases = tcase_create("files");
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
