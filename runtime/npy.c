/* NumPy files (.npy, "NEP 1: a simple file format for NumPy arrays"): versions 1.0 and 2.0 are read, 1.0 written.
 *
 *   bytes 0-5    \x93 N U M P Y
 *   bytes 6-7    major, minor version
 *   bytes 8-     length of the header text, little endian: 2 bytes in version 1.0, 4 bytes in 2.0
 *   then         {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } padded with spaces, ended by a newline
 *   then         the elements */
#include "runtime/npy.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "runtime/file.h"

enum { MAX_HEADER_BYTES = 65536, ALIGNMENT = 64 };

static const char magic[6] = {'\x93', 'N', 'U', 'M', 'P', 'Y'};

/* What `descr` says: '<' little endian, '|' single bytes. */
static const struct {
    const char *descr;
    gm_type type;
} descriptions[] = {
    {"<f4", GM_FLOAT},  {"<f8", GM_DOUBLE}, {"<f2", GM_FLOAT16}, {"|i1", GM_INT8},
    {"<i2", GM_INT16},  {"<i4", GM_INT32},  {"<i8", GM_INT64},   {"|u1", GM_UINT8},
    {"<u2", GM_UINT16}, {"<u4", GM_UINT32}, {"<u8", GM_UINT64},  {"|b1", GM_BOOL},
};

/* The header text while it is read. */
typedef struct npy_reader {
    gm_context *context;
    const char *name;
    const char *text;
    size_t start, length, at; /* `start`: offset of the text in the file */
    gm_npy_header *header;
} npy_reader;

static gm_status fail_at(const npy_reader *reader, const char *expected)
{
    return gm_fail(reader->context, GM_ERROR_DATA, "%s: byte %zu: expected %s in the header of the .npy file",
                   reader->name, reader->start + reader->at, expected);
}

static char peek(const npy_reader *reader)
{
    return reader->at < reader->length ? reader->text[reader->at] : '\0';
}

static void skip_spaces(npy_reader *reader)
{
    while (reader->at < reader->length && reader->text[reader->at] == ' ')
        reader->at++;
}

static bool accept(npy_reader *reader, char wanted)
{
    skip_spaces(reader);
    if (reader->at >= reader->length || reader->text[reader->at] != wanted)
        return false;
    reader->at++;
    return true;
}

/* A quoted string without escapes into `out`, cut to its size. */
static bool read_string(npy_reader *reader, char *out, size_t size)
{
    skip_spaces(reader);
    char quote = peek(reader);
    if (quote != '\'' && quote != '"')
        return false;
    size_t end = reader->at + 1, used = 0;
    while (end < reader->length && reader->text[end] != quote) {
        if (used + 1 < size)
            out[used++] = reader->text[end];
        end++;
    }
    if (end >= reader->length)
        return false;
    out[used] = '\0';
    reader->at = end + 1;
    return true;
}

static bool read_word(npy_reader *reader, const char *word)
{
    size_t length = strlen(word);
    skip_spaces(reader);
    if (reader->length - reader->at < length || memcmp(reader->text + reader->at, word, length) != 0)
        return false;
    reader->at += length;
    return true;
}

static gm_status read_descr(npy_reader *reader)
{
    char descr[32];
    skip_spaces(reader);
    size_t at = reader->at;
    if (!read_string(reader, descr, sizeof descr))
        return fail_at(reader, "a type such as '<f4'");
    for (size_t i = 0; i < GM_COUNT(descriptions); i++)
        if (strcmp(descr, descriptions[i].descr) == 0 ||
            (descr[0] == '<' && descriptions[i].descr[0] == '|' && strcmp(descr + 1, descriptions[i].descr + 1) == 0)) {
            reader->header->type = descriptions[i].type;
            return GM_OK;
        }
    for (size_t i = 0; descr[i] != '\0'; i++)
        if (!isprint((unsigned char)descr[i]))
            descr[i] = '?';
    return gm_fail(
        reader->context, GM_ERROR_UNSUPPORTED,
        "%s: byte %zu: element type '%s', expected little-endian numbers (f2, f4, f8, i1 ... i8, u1 ... u8, b1): "
        "convert with astype and save again",
        reader->name, reader->start + at, descr);
}

static gm_status read_order(npy_reader *reader)
{
    if (read_word(reader, "True")) {
        reader->header->fortran_order = true;
        return GM_OK;
    }
    return read_word(reader, "False") ? GM_OK : fail_at(reader, "True or False");
}

static gm_status read_dimension(npy_reader *reader, int64_t *value_out)
{
    int64_t value = 0;
    skip_spaces(reader);
    if (!isdigit((unsigned char)peek(reader)))
        return fail_at(reader, "a dimension");
    for (; isdigit((unsigned char)peek(reader)); reader->at++)
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, peek(reader) - '0', &value))
            return fail_at(reader, "a dimension that fits 64 bits");
    (void)(peek(reader) == 'L' && reader->at++ > 0); /* written by Python 2 */
    *value_out = value;
    return GM_OK;
}

/* (), (3,), (3, 4) */
static gm_status read_shape(npy_reader *reader)
{
    gm_npy_header *header = reader->header;
    if (!accept(reader, '('))
        return fail_at(reader, "a shape such as (3, 4)");
    while (!accept(reader, ')')) {
        if (header->rank == GM_MAX_RANK)
            return fail_at(reader, "at most 8 dimensions");
        GM_TRY(read_dimension(reader, &header->dims[header->rank]));
        header->rank++;
        bool comma = accept(reader, ',');
        skip_spaces(reader);
        if ((!comma && peek(reader) != ')') || (!comma && header->rank == 1))
            return fail_at(reader, "a comma");
    }
    return GM_OK;
}

/* The three keys, each once, in any order. */
static gm_status read_dictionary(npy_reader *reader)
{
    static const struct {
        const char *key;
        gm_status (*read)(struct npy_reader *);
    } entries[] = {{"descr", read_descr}, {"fortran_order", read_order}, {"shape", read_shape}};
    bool seen[GM_COUNT(entries)] = {false};
    if (!accept(reader, '{'))
        return fail_at(reader, "'{'");
    while (!accept(reader, '}')) {
        char key[32];
        size_t which = 0;
        if (!read_string(reader, key, sizeof key))
            return fail_at(reader, "a quoted key");
        while (which < GM_COUNT(entries) && strcmp(entries[which].key, key) != 0)
            which++;
        if (which == GM_COUNT(entries) || seen[which])
            return fail_at(reader, "the keys descr, fortran_order, shape, each once,");
        seen[which] = true;
        if (!accept(reader, ':'))
            return fail_at(reader, "':'");
        GM_TRY(entries[which].read(reader));
        bool comma = accept(reader, ',');
        skip_spaces(reader);
        if (!comma && peek(reader) != '}')
            return fail_at(reader, "a comma or '}'");
    }
    for (size_t i = 0; i < GM_COUNT(entries); i++)
        if (!seen[i])
            return fail_at(reader, "the keys descr, fortran_order and shape");
    for (; reader->at < reader->length; reader->at++)
        if (strchr(" \n", reader->text[reader->at]) == NULL || reader->text[reader->at] == '\0')
            return fail_at(reader, "spaces up to the end");
    return GM_OK;
}

static gm_status count_elements(npy_reader *reader)
{
    gm_npy_header *header = reader->header;
    int64_t bytes = (int64_t)gm_type_bytes(header->type);
    header->count = 1;
    for (int i = 0; i < header->rank; i++)
        if (__builtin_mul_overflow(header->count, header->dims[i], &header->count))
            return fail_at(reader, "a shape whose size fits 63 bits");
    if (__builtin_mul_overflow(header->count, bytes, &bytes) || (uint64_t)bytes > SIZE_MAX / 2)
        return fail_at(reader, "a shape whose size fits 63 bits");
    header->data_bytes = (size_t)bytes;
    return GM_OK;
}

gm_status gm_npy_parse_header(gm_context *context, const char *name, const void *data, size_t bytes,
                              gm_npy_header *header_out)
{
    const unsigned char *file = data;
    if (bytes < 10 || memcmp(file, magic, sizeof magic) != 0)
        return gm_fail(context, GM_ERROR_DATA, "%s: byte 0: this is not a .npy file", name);
    if ((file[6] != 1 && file[6] != 2) || file[7] != 0)
        return gm_fail(context, GM_ERROR_UNSUPPORTED, "%s: byte 6: .npy version %d.%d, expected 1.0 or 2.0", name,
                       file[6], file[7]);
    size_t start = file[6] == 1 ? 10 : 12, length = file[8] | (size_t)file[9] << 8;
    if (file[6] == 2)
        length = bytes < 12 ? bytes : length | (size_t)file[10] << 16 | (size_t)file[11] << 24;
    if (bytes < start || length > bytes - start || length > MAX_HEADER_BYTES)
        return gm_fail(context, GM_ERROR_DATA, "%s: byte 8: the header has %zu bytes, found %zu", name, length,
                       bytes < start ? 0 : bytes - start);
    gm_npy_header header = {.data_start = start + length};
    npy_reader reader = {context, name, (const char *)file + start, start, length, 0, &header};
    GM_TRY(read_dictionary(&reader));
    GM_TRY(count_elements(&reader));
    *header_out = header;
    return GM_OK;
}

/* Copies column-major elements to row-major order, walking the target in order. */
static void transpose(const gm_npy_header *header, const unsigned char *from, unsigned char *to)
{
    size_t item = gm_type_bytes(header->type);
    int64_t index[GM_MAX_RANK] = {0}, strides[GM_MAX_RANK], stride = 1, source = 0;
    for (int i = 0; i < header->rank; i++) {
        strides[i] = stride;
        stride *= header->dims[i];
    }
    for (int64_t k = 0; k < header->count; k++) {
        memcpy(to + (size_t)k * item, from + (size_t)source * item, item);
        for (int i = header->rank - 1; i >= 0; i--) {
            source += strides[i];
            if (++index[i] < header->dims[i])
                break;
            source -= strides[i] * header->dims[i];
            index[i] = 0;
        }
    }
}

/* Reads exactly data_bytes bytes behind the header; the file must end there. The result starts at *data_out + offset.
 */
static gm_status read_elements(gm_context *context, const char *path, FILE *file, const gm_npy_header *header,
                               unsigned char *data)
{
    if (fseek(file, (long)header->data_start, SEEK_SET) != 0)
        return gm_fail(context, GM_ERROR_FILE, "%s: cannot read: %s", path, strerror(errno));
    size_t found = header->data_bytes > 0 ? fread(data, 1, header->data_bytes, file) : 0;
    if (found != header->data_bytes)
        return gm_fail(context, GM_ERROR_DATA,
                       "%s: byte %zu: the file ends early, expected %zu bytes of elements, found %zu", path,
                       header->data_start + found, header->data_bytes, found);
    return GM_OK;
}

/* Header and size of an open file. */
static gm_status read_header(gm_context *context, const char *path, FILE *file, gm_npy_header *header_out)
{
    unsigned char *start = gm_alloc(context, MAX_HEADER_BYTES + 12);
    if (start == NULL)
        return GM_ERROR_MEMORY;
    size_t bytes = fread(start, 1, MAX_HEADER_BYTES + 12, file);
    gm_status status = gm_npy_parse_header(context, path, start, bytes, header_out);
    gm_free(context, start);
    GM_TRY(status);
    if (fseek(file, 0, SEEK_END) != 0)
        return gm_fail(context, GM_ERROR_FILE, "%s: cannot read: %s", path, strerror(errno));
    long size = ftell(file);
    size_t expected = header_out->data_start + header_out->data_bytes;
    if (size < 0 || (size_t)size != expected)
        return gm_fail(context, GM_ERROR_DATA, "%s: byte %zu: the header asks for a file of %zu bytes, found %ld", path,
                       header_out->data_start, expected, size);
    return GM_OK;
}

static gm_status read_file(gm_context *context, const char *path, FILE *file, gm_tensor_view *view_out)
{
    gm_npy_header header;
    GM_TRY(read_header(context, path, file, &header));
    unsigned char *data = gm_alloc(context, header.data_bytes);
    if (data == NULL)
        return GM_ERROR_MEMORY;
    gm_status status = read_elements(context, path, file, &header, data);
    if (status == GM_OK && header.fortran_order && header.rank > 1) {
        unsigned char *turned = gm_alloc(context, header.data_bytes);
        if (turned == NULL)
            status = GM_ERROR_MEMORY;
        else
            transpose(&header, data, turned);
        gm_free(context, data);
        data = turned;
    }
    if (status != GM_OK) {
        gm_free(context, data);
        return status;
    }
    if (header.type == GM_BOOL)
        for (size_t i = 0; i < header.data_bytes; i++)
            data[i] = data[i] != 0;
    gm_tensor_view view = {
        .name = "", .type = header.type, .rank = header.rank, .bytes = header.data_bytes, .data = data};
    memcpy(view.dims, header.dims, sizeof view.dims);
    *view_out = view;
    return GM_OK;
}

gm_status gm_read_npy(gm_context *context, const char *path, gm_tensor_view *view_out)
{
    if (context == NULL)
        return GM_ERROR_ARGUMENT;
    if (path == NULL || view_out == NULL)
        return gm_fail(context, GM_ERROR_ARGUMENT, "gm_read_npy: path and view must not be NULL");
    FILE *file = fopen(path, "rbe");
    if (file == NULL)
        return gm_fail(context, GM_ERROR_FILE, "%s: cannot read: %s", path, strerror(errno));
    gm_status status = read_file(context, path, file, view_out);
    (void)fclose(file);
    return status;
}

/* --- Writing ---------------------------------------------------------------------------------------------------------
 */

static const char *description_of(gm_type type)
{
    for (size_t i = 0; i < GM_COUNT(descriptions); i++)
        if (descriptions[i].type == type)
            return descriptions[i].descr;
    return NULL;
}

/* The whole first part of a file, a multiple of 64 bytes. Returns its length. */
static size_t make_header(const gm_tensor_view *view, const char *descr, char out[512])
{
    char shape[256];
    size_t used = 0;
    shape[0] = '\0';
    for (int i = 0; i < view->rank; i++)
        used +=
            (size_t)snprintf(shape + used, sizeof shape - used, "%s%lld", i > 0 ? ", " : "", (long long)view->dims[i]);
    int text = snprintf(out + 10, 500, "{'descr': '%s', 'fortran_order': False, 'shape': (%s%s), }", descr, shape,
                        view->rank == 1 ? "," : "");
    size_t length = 10 + (size_t)text;
    while ((length + 1) % ALIGNMENT != 0)
        out[length++] = ' ';
    out[length++] = '\n';
    memcpy(out, magic, sizeof magic);
    out[6] = 1;
    out[7] = 0;
    out[8] = (char)((length - 10) & 0xff);
    out[9] = (char)((length - 10) >> 8);
    return length;
}

gm_status gm_write_npy(gm_context *context, const char *path, const gm_tensor_view *view)
{
    if (context == NULL)
        return GM_ERROR_ARGUMENT;
    if (path == NULL || view == NULL || view->rank < 0 || view->rank > GM_MAX_RANK)
        return gm_fail(context, GM_ERROR_ARGUMENT, "gm_write_npy: expected a path and a view of rank 0 to 8");
    const char *descr = description_of(view->type);
    if (descr == NULL)
        return gm_fail(context, GM_ERROR_UNSUPPORTED, "%s: a .npy file cannot hold elements of type %s", path,
                       gm_type_name(view->type));
    size_t bytes = gm_type_bytes(view->type);
    for (int i = 0; i < view->rank; i++)
        if (view->dims[i] < 0 || __builtin_mul_overflow(bytes, (size_t)view->dims[i], &bytes))
            return gm_fail(context, GM_ERROR_ARGUMENT, "gm_write_npy: dimension %d is %lld", i,
                           (long long)view->dims[i]);
    if (view->data == NULL && bytes > 0)
        return gm_fail(context, GM_ERROR_ARGUMENT, "gm_write_npy: the view has no data");
    char header[512];
    size_t length = make_header(view, descr, header);
    gm_file *file;
    GM_TRY(gm_file_create(context, path, &file));
    (void)gm_file_write(file, header, length); /* failures are kept and returned by commit */
    (void)gm_file_write(file, view->data, bytes);
    return gm_file_commit(file);
}
