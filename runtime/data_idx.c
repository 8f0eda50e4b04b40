/* IDX files, plain or compressed by gzip, and the data set `mnist` made of them.
 *
 *   bytes 0-3   0, 0, type (8: unsigned byte), number of dimensions
 *   then        each dimension, 4 bytes, big endian; the first counts the examples
 *   then        the elements
 * (Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits".) */
#include "runtime/data_source.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "runtime/digits.h"

enum { UNSIGNED_BYTES = 8, MAX_IDX_RANK = 4, MAX_DEFLATE_RATIO = 1032 };

/* An open file; offsets are those of the uncompressed contents. */
typedef struct idx_file {
    gm_context *context;
    const char *path;
    gzFile stream;
    uint64_t offset;
    uint64_t largest; /* bytes that a file of this size can hold */
} idx_file;

static gm_status fail_early(const idx_file *file, uint64_t expected)
{
    int error = Z_OK;
    const char *text = gzerror(file->stream, &error);
    if (error != Z_OK && error != Z_BUF_ERROR)
        return gm_fail(file->context, GM_ERROR_DATA, "%s: byte %llu: the compressed data is damaged: %s", file->path,
                       (unsigned long long)file->offset, error == Z_ERRNO ? strerror(errno) : text);
    return gm_fail(file->context, GM_ERROR_DATA, "%s: byte %llu: the file ends early, expected %llu bytes", file->path,
                   (unsigned long long)file->offset, (unsigned long long)expected);
}

/* Exactly `bytes` bytes. */
static gm_status read_exactly(idx_file *file, void *data, uint64_t bytes)
{
    char *to = data;
    uint64_t end = file->offset + bytes;
    while (file->offset < end) {
        uint64_t left = end - file->offset;
        int done = gzread(file->stream, to, left < INT_MAX / 2 ? (unsigned)left : INT_MAX / 2);
        if (done <= 0)
            return fail_early(file, end);
        to += done;
        file->offset += (uint64_t)done;
    }
    return GM_OK;
}

static gm_status read_number(idx_file *file, uint32_t *value_out)
{
    unsigned char b[4];
    GM_TRY(read_exactly(file, b, sizeof b));
    *value_out = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    return GM_OK;
}

/* Header into rows and the column's shape. rank < 0: pictures of any rank. */
static gm_status read_header(idx_file *file, int rank, int64_t *rows_out, gm_column *column, uint64_t *bytes_out)
{
    uint32_t magic, dims[MAX_IDX_RANK + 1];
    GM_TRY(read_number(file, &magic));
    int found = (int)(magic & 0xff);
    bool right = magic >> 8 == UNSIGNED_BYTES && (rank < 0 ? found >= 2 && found <= MAX_IDX_RANK : found == rank);
    if (!right)
        return gm_fail(file->context, GM_ERROR_DATA,
                       "%s: byte 0: expected magic number 0x%08x (IDX of unsigned bytes, %s), found 0x%08x", file->path,
                       UNSIGNED_BYTES << 8 | (unsigned)(rank < 0 ? 3 : rank), rank == 1 ? "labels" : "pictures", magic);
    uint64_t bytes = 1;
    for (int i = 0; i < found; i++) {
        uint64_t at = file->offset;
        GM_TRY(read_number(file, &dims[i]));
        if (dims[i] == 0 || __builtin_mul_overflow(bytes, (uint64_t)dims[i], &bytes) || bytes > (uint64_t)1 << 48)
            return gm_fail(file->context, GM_ERROR_DATA, "%s: byte %llu: dimension %d is %u, which cannot be",
                           file->path, (unsigned long long)at, i, dims[i]);
        if (i > 0)
            column->dims[i - 1] = dims[i];
    }
    if (bytes > file->largest)
        return gm_fail(file->context, GM_ERROR_DATA,
                       "%s: byte %llu: the header asks for %llu bytes of elements, the file is too small for that",
                       file->path, (unsigned long long)file->offset, (unsigned long long)bytes);
    column->rank = found - 1;
    *rows_out = dims[0];
    *bytes_out = bytes;
    return GM_OK;
}

static gm_status read_elements(idx_file *file, uint64_t bytes, gm_column *column)
{
    char beyond;
    column->type = GM_UINT8;
    column->data = gm_alloc(file->context, bytes);
    if (column->data == NULL)
        return GM_ERROR_MEMORY;
    GM_TRY(read_exactly(file, column->data, bytes));
    int more = gzread(file->stream, &beyond, 1);
    if (more < 0) /* the check sum behind the data */
        return fail_early(file, file->offset);
    if (more > 0)
        return gm_fail(file->context, GM_ERROR_DATA, "%s: byte %llu: expected the end of the file, found more bytes",
                       file->path, (unsigned long long)file->offset);
    return GM_OK;
}

/* Reads a file into a column. column->data is the caller's to free, also after a failure. */
static gm_status read_idx(gm_context *context, const char *path, int rank, int64_t *rows_out, gm_column *column)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return gm_fail(context, GM_ERROR_FILE, "%s: cannot read: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return gm_fail(context, GM_ERROR_FILE, "%s: cannot read: it is not a file", path);
    idx_file file = {.context = context, .path = path, .stream = gzopen(path, "rbe")};
    if (file.stream == NULL)
        return gm_fail(context, GM_ERROR_FILE, "%s: cannot read: %s", path, strerror(errno));
    uint64_t bytes = 0;
    (void)gzbuffer(file.stream, 128 * 1024);
    file.largest = (uint64_t)status.st_size * (gzdirect(file.stream) ? 1 : MAX_DEFLATE_RATIO);
    gm_status result = read_header(&file, rank, rows_out, column, &bytes);
    if (result == GM_OK)
        result = read_elements(&file, bytes, column);
    (void)gzclose(file.stream);
    return result;
}

/* --- Pictures with labels
 * ---------------------------------------------------------------------------------------------- */

static gm_status read_pair(const gm_data_request *request, const char *images, const char *labels, gm_table *table)
{
    int64_t label_rows;
    GM_TRY(gm_table_columns(request, table, labels != NULL ? 2 : 1));
    gm_column *image = &table->columns[0];
    image->name = "image";
    image->is_picture = true;
    GM_TRY(read_idx(request->context, images, -1, &table->rows, image));
    if (labels == NULL)
        return GM_OK;
    table->columns[1].name = "label";
    GM_TRY(read_idx(request->context, labels, 1, &label_rows, &table->columns[1]));
    if (label_rows != table->rows)
        return gm_fail(request->context, GM_ERROR_DATA,
                       "%s: byte 4: expected %lld labels, as many as pictures in %s, found %lld", labels,
                       (long long)table->rows, images, (long long)label_rows);
    return GM_OK;
}

gm_status gm_open_idx(gm_data_request *request, gm_table *table)
{
    const char *images, *labels;
    GM_TRY(gm_data_string(request, "images", NULL, &images));
    GM_TRY(gm_data_string(request, "labels", "", &labels));
    GM_TRY(gm_data_find(request, images, &images));
    if (labels[0] != '\0')
        GM_TRY(gm_data_find(request, labels, &labels));
    return read_pair(request, images, labels[0] != '\0' ? labels : NULL, table);
}

/* --- MNIST
 * -------------------------------------------------------------------------------------------------------------- */

/* "train-images-idx3-ubyte" in a directory or its sub-directory `mnist`, as it is, with a dot, or compressed. */
static gm_status find_mnist(const gm_data_request *request, const char *directory, const char *prefix, const char *kind,
                            const char **path_out)
{
    *path_out = NULL;
    for (int sub = 0; sub < 2; sub++)
        for (int dot = 0; dot < 2; dot++)
            for (int i = 0; i < 2; i++) {
                char name[32];
                (void)snprintf(name, sizeof name, "%s%s%s", strcmp(kind, "images") == 0 ? "images" : "labels",
                               dot ? "." : "-", strcmp(kind, "images") == 0 ? "idx3" : "idx1");
                char *path = gm_pool_printf(request->pool, i == 0 ? "%s%s/%s-%s-ubyte" : "%s%s/%s-%s-ubyte.gz",
                                            directory, sub ? "/mnist" : "", prefix, name);
                if (path == NULL)
                    return GM_ERROR_MEMORY;
                if (access(path, F_OK) == 0) {
                    *path_out = path;
                    return GM_OK;
                }
            }
    return GM_OK;
}

/* Both files of a part; *found_out is false where neither is. */
static gm_status open_mnist_in(const gm_data_request *request, const char *directory, bool test, gm_table *table,
                               bool *found_out)
{
    const char *images, *labels, *prefix = test ? "t10k" : "train";
    GM_TRY(find_mnist(request, directory, prefix, "images", &images));
    GM_TRY(find_mnist(request, directory, prefix, "labels", &labels));
    *found_out = images != NULL || labels != NULL;
    if (!*found_out)
        return GM_OK;
    if (images == NULL || labels == NULL)
        return gm_fail(request->context, GM_ERROR_FILE, "%s: %s is here, but %s-%s-ubyte (or .gz) is missing",
                       directory, images != NULL ? images : labels, prefix,
                       images != NULL ? "labels-idx1" : "images-idx3");
    GM_TRY(read_pair(request, images, labels, table));
    const gm_column *image = &table->columns[0], *label = &table->columns[1];
    if (image->rank != 2 || image->dims[0] != GM_DIGITS_SIDE || image->dims[1] != GM_DIGITS_SIDE) {
        char shape[256];
        return gm_fail(request->context, GM_ERROR_DATA, "%s: byte 8: expected pictures [28, 28], found %s", images,
                       gm_data_shape(image->rank, image->dims, shape));
    }
    for (int64_t i = 0; i < table->rows; i++)
        if (((const uint8_t *)label->data)[i] > 9)
            return gm_fail(request->context, GM_ERROR_DATA, "%s: byte %lld: expected a label 0 to 9, found %d", labels,
                           (long long)(8 + i), ((const uint8_t *)label->data)[i]);
    return GM_OK;
}

/* Only the declared rows are drawn. */
static gm_status draw_built_in(gm_data_request *request, bool test, gm_table *table)
{
    int64_t first = 0, end = test ? GM_DIGITS_TEST : GM_DIGITS_TRAIN;
    if (request->has_rows && request->end > end)
        return gm_diagnose(request->context, request->declaration->where,
                           "data '%s': rows = [%lld, %lld], but there are %lld built-in digits",
                           request->declaration->name, (long long)request->first, (long long)request->end,
                           (long long)end);
    if (request->has_rows) {
        first = request->first;
        end = request->end;
        request->rows_taken = true;
    }
    GM_TRY(gm_table_columns(request, table, 2));
    table->rows = end - first;
    table->columns[0] = (gm_column){
        .name = "image", .type = GM_UINT8, .rank = 2, .dims = {GM_DIGITS_SIDE, GM_DIGITS_SIDE}, .is_picture = true};
    table->columns[0].data = gm_alloc_array(request->context, (size_t)table->rows, GM_DIGITS_SIDE * GM_DIGITS_SIDE);
    table->columns[1] = (gm_column){.name = "label", .type = GM_UINT8};
    table->columns[1].data = gm_alloc_array(request->context, (size_t)table->rows, 1);
    if (table->columns[0].data == NULL || table->columns[1].data == NULL)
        return GM_ERROR_MEMORY;
    gm_digits_draw(test, first, end - first, table->columns[0].data, table->columns[1].data,
                   request->context->options.threads);
    return GM_OK;
}

static gm_status no_mnist(const gm_data_request *request, const char *directory, bool test)
{
    return gm_fail(request->context, GM_ERROR_FILE,
                   "%s: no MNIST here, expected %s-images-idx3-ubyte and %s-labels-idx1-ubyte (or .gz) in it or in its "
                   "sub-directory mnist",
                   directory, test ? "t10k" : "train", test ? "t10k" : "train");
}

gm_status gm_open_mnist(gm_data_request *request, gm_table *table)
{
    const char *part, *own, *given = request->options->data_directory, *model = request->options->model_directory;
    const char *environment = getenv("GMODEL_DATA");
    bool found = false;
    GM_TRY(gm_data_string(request, "part", "train", &part));
    bool test = strcmp(part, "test") == 0;
    if (!test && strcmp(part, "train") != 0)
        return gm_diagnose(request->context, request->declaration->where,
                           "data '%s': part is \"%s\", expected \"train\" or \"test\"", request->declaration->name,
                           part);
    GM_TRY(gm_data_check_directory(request));
    GM_TRY(gm_data_string(request, "directory", "", &own));
    if (own[0] != '\0') {
        GM_TRY(gm_data_find(request, own, &given));
        GM_TRY(open_mnist_in(request, given, test, table, &found));
        return found ? GM_OK : no_mnist(request, given, test);
    }
    if (given != NULL) {
        GM_TRY(open_mnist_in(request, given, test, table, &found));
        return found ? GM_OK : no_mnist(request, given, test);
    }
    if (environment != NULL && environment[0] != '\0')
        GM_TRY(open_mnist_in(request, environment, test, table, &found));
    if (found)
        return GM_OK;
    const char *beside = gm_pool_printf(request->pool, "%s/data", model != NULL && model[0] != '\0' ? model : ".");
    if (beside == NULL)
        return GM_ERROR_MEMORY;
    GM_TRY(open_mnist_in(request, beside, test, table, &found));
    if (found)
        return GM_OK;
    gm_log(request->context, "data '%s': no MNIST files in GMODEL_DATA (%s) or %s: using the built-in digits",
           request->declaration->name, environment != NULL && environment[0] != '\0' ? environment : "not set", beside);
    return draw_built_in(request, test, table);
}
