/* Tensors whose elements lie in another file (TensorProto.external_data): of a model above 2 GiB, which one protobuf message
 * cannot hold, or because somebody wanted it so. https://onnx.ai/onnx/repo-docs/ExternalData.html
 *
 * The file lies in the folder of the model or below it. An absolute location, `..`, a symbolic link anywhere on the way and
 * whatever is no regular file are refused: a model that came from elsewhere cannot read other files of its user. */
#include "graph/onnx_proto.h"
#include "graph/onnx_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LARGE_BYTES 65536 /* tensors of this size begin at a page, so that they can be mapped; others at 64 bytes */
#define PAGE_BYTES  4096

/* --- Reading ---------------------------------------------------------------------------------------------------------- */

typedef struct place {
    gm_context *context;
    const char *file, *tensor; /* for messages */
    const char *location;
    uint64_t offset, length;
    bool has_length;
} place;

static gm_status refuse(const place *p, const char *why)
{
    return gm_fail(p->context, GM_ERROR_MODEL, "%s: tensor '%s' lies in '%s': %s", p->file, p->tensor,
                   p->location ? p->location : "", why);
}

static gm_status read_number(const place *p, const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || *out > INT64_MAX)
        return refuse(p, "its offset or length is not a number");
    return GM_OK;
}

/* Keys that say nothing of the place (checksum, basepath of other tools) are left alone. */
static gm_status read_place(place *p, const Onnx__TensorProto *proto)
{
    for (size_t i = 0; i < proto->n_external_data; i++) {
        const char *key = proto->external_data[i]->key, *value = proto->external_data[i]->value;
        if (key && value && strcmp(key, "location") == 0)
            p->location = value;
    }
    if (!p->location || !p->location[0])
        return refuse(p, "it does not say where");
    for (size_t i = 0; i < proto->n_external_data; i++) {
        const char *key = proto->external_data[i]->key, *value = proto->external_data[i]->value;
        if (key && value && strcmp(key, "offset") == 0)
            GM_TRY(read_number(p, value, &p->offset));
        if (key && value && strcmp(key, "length") == 0) {
            GM_TRY(read_number(p, value, &p->length));
            p->has_length = true;
        }
    }
    return GM_OK;
}

/* The folder of the model's file. */
static int open_folder(const char *file)
{
    char path[PATH_MAX];
    const char *slash = strrchr(file, '/');
    size_t length = slash ? (size_t)(slash - file) : 0;
    if (length >= sizeof path)
        return -1;
    memcpy(path, file, length);
    path[length] = 0;
    return open(!slash ? "." : length ? path : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Opens the location part by part. *descriptor_out: to be closed, also after a failure. */
static gm_status open_place(const place *p, int *descriptor_out)
{
    const char *at = p->location;
    char part[NAME_MAX + 1];
    *descriptor_out = open_folder(p->file);
    if (*descriptor_out < 0)
        return refuse(p, strerror(errno));
    if (at[0] == '/')
        return refuse(p, "a place outside the model's folder");
    while (*at) {
        size_t length = strcspn(at, "/");
        bool last = at[length] == 0;
        int next;
        if (length == 2 && at[0] == '.' && at[1] == '.')
            return refuse(p, "a place outside the model's folder");
        if (length >= sizeof part)
            return refuse(p, "the name is too long");
        if (length == 0 && last)
            return refuse(p, "that is no file");
        memcpy(part, at, length);
        part[length] = 0;
        at += length + !last;
        if (length == 0 || strcmp(part, ".") == 0)
            continue;
        next = openat(*descriptor_out, part, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | (last ? 0 : O_DIRECTORY));
        if (next < 0)
            return refuse(p, errno == ELOOP || errno == ENOTDIR ? "a link or something that is no folder is on the way"
                                                                : strerror(errno));
        close(*descriptor_out);
        *descriptor_out = next;
    }
    return GM_OK;
}

static gm_status read_all(const place *p, int descriptor, unsigned char *to, size_t bytes)
{
    uint64_t offset = p->offset;
    while (bytes > 0) {
        ssize_t done = pread(descriptor, to, bytes < INT32_MAX ? bytes : INT32_MAX, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return refuse(p, done < 0 ? strerror(errno) : "the file ends too early");
        to += done;
        offset += (uint64_t)done;
        bytes -= (size_t)done;
    }
    return GM_OK;
}

static gm_status check_size(const place *p, int descriptor, size_t bytes)
{
    struct stat status;
    char why[160];
    if (fstat(descriptor, &status) != 0)
        return refuse(p, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return refuse(p, "that is no file");
    if (p->has_length && p->length != bytes)
        snprintf(why, sizeof why, "its length is %llu, its shape needs %zu", (unsigned long long)p->length, bytes);
    else if (p->offset > (uint64_t)status.st_size || bytes > (uint64_t)status.st_size - p->offset)
        snprintf(why, sizeof why, "it needs %zu bytes from %llu on, the file has %llu", bytes,
                 (unsigned long long)p->offset, (unsigned long long)status.st_size);
    else
        return GM_OK;
    return refuse(p, why);
}

gm_status gm_onnx_read_external(gm_pool *pool, const char *file, const Onnx__TensorProto *proto, size_t bytes,
                                void **data_out)
{
    place p = {.context = gm_pool_context(pool), .file = file, .tensor = proto->name ? proto->name : ""};
    int descriptor = -1;
    unsigned char *data = NULL;
    gm_status status = read_place(&p, proto);
    if (status == GM_OK)
        status = open_place(&p, &descriptor);
    if (status == GM_OK)
        status = check_size(&p, descriptor, bytes);
    if (status == GM_OK && !(data = gm_pool_alloc(pool, bytes ? bytes : 1)))
        status = GM_ERROR_MEMORY;
    if (status == GM_OK)
        status = read_all(&p, descriptor, data, bytes);
    if (descriptor >= 0)
        close(descriptor);
    *data_out = data;
    return status;
}

/* --- Writing ---------------------------------------------------------------------------------------------------------- */

static gm_status add_entry(gm_pool *pool, Onnx__TensorProto *proto, const char *key, const char *value)
{
    Onnx__StringStringEntryProto *entry = gm_pool_alloc(pool, sizeof *entry);
    if (!entry || !value)
        return GM_ERROR_MEMORY;
    onnx__string_string_entry_proto__init(entry);
    entry->key = (char *)(uintptr_t)key; /* protobuf-c only reads it */
    entry->value = (char *)(uintptr_t)value;
    proto->external_data[proto->n_external_data++] = entry;
    return GM_OK;
}

static gm_status pad(gm_external *external, size_t unit)
{
    static const char zeros[PAGE_BYTES];
    size_t rest = (size_t)(external->offset % unit);
    if (!rest)
        return GM_OK;
    external->offset += unit - rest;
    return external->write(external->user, zeros, unit - rest);
}

gm_status gm_onnx_write_external(gm_pool *pool, gm_external *external, const void *data, size_t bytes,
                                 Onnx__TensorProto *proto)
{
    GM_TRY(pad(external, bytes >= LARGE_BYTES ? PAGE_BYTES : 64));
    proto->has_raw_data = 0;
    proto->raw_data = (ProtobufCBinaryData){0, NULL};
    proto->has_data_location = 1;
    proto->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    proto->external_data = gm_pool_array(pool, 3, sizeof *proto->external_data);
    if (!proto->external_data)
        return GM_ERROR_MEMORY;
    GM_TRY(add_entry(pool, proto, "location", gm_pool_string(pool, external->location)));
    GM_TRY(add_entry(pool, proto, "offset", gm_pool_printf(pool, "%llu", (unsigned long long)external->offset)));
    GM_TRY(add_entry(pool, proto, "length", gm_pool_printf(pool, "%zu", bytes)));
    external->offset += bytes;
    return external->write(external->user, data, bytes);
}

/* --- Tensors of a text ------------------------------------------------------------------------------------------------ */

static gm_status text_dims(gm_context *context, const gm_ast_expression *node, gm_tensor *tensor)
{
    tensor->type = node->type->type;
    tensor->rank = (int)node->type->dim_count;
    for (int i = 0; i < tensor->rank && i < GM_MAX_RANK; i++) {
        const gm_ast_expression *size = node->type->dims[i].expression;
        if (!size || size->kind != GM_AST_NUMBER || size->is_float || size->integer < 0)
            return gm_diagnose(context, node->where, "the dimensions of a tensor in another file must be numbers");
        tensor->dims[i] = size->integer;
    }
    return tensor->rank <= GM_MAX_RANK ? GM_OK : gm_diagnose(context, node->where, "a tensor has at most 8 dimensions");
}

static gm_status read_text_tensor(gm_pool *pool, const char *file, const char *name, gm_ast_expression *node)
{
    gm_context *context = gm_pool_context(pool);
    size_t count = node->item_count / 2, bytes;
    Onnx__TensorProto proto = ONNX__TENSOR_PROTO__INIT;
    Onnx__StringStringEntryProto *entries = gm_pool_array(pool, count + 1, sizeof *entries);
    gm_tensor tensor = {.type = GM_TYPE_UNDEFINED};
    proto.external_data = gm_pool_array(pool, count + 1, sizeof *proto.external_data);
    if (!entries || !proto.external_data)
        return GM_ERROR_MEMORY;
    proto.name = (char *)(uintptr_t)name;
    for (; proto.n_external_data < count; proto.n_external_data++) {
        Onnx__StringStringEntryProto *entry = proto.external_data[proto.n_external_data] =
            &entries[proto.n_external_data];
        onnx__string_string_entry_proto__init(entry);
        entry->key = (char *)(uintptr_t)node->items[2 * proto.n_external_data]->text;
        entry->value = (char *)(uintptr_t)node->items[2 * proto.n_external_data + 1]->text;
    }
    GM_TRY(text_dims(context, node, &tensor));
    if (!gm_onnx_tensor_bytes(tensor.type, (size_t)tensor.rank, tensor.dims, INT64_MAX, &bytes) ||
        !gm_shape_fits(tensor.rank, tensor.dims))
        return gm_diagnose(context, node->where, "a tensor of this kind cannot lie in another file");
    GM_TRY(gm_onnx_read_external(pool, file, &proto, bytes, &tensor.data));
    if (!gm_onnx_is_little_endian())
        gm_onnx_swap_bytes(tensor.data, bytes, gm_type_bytes(tensor.type));
    node->tensor = gm_pool_copy(pool, &tensor, sizeof tensor);
    node->text = NULL;
    node->item_count = 0;
    return node->tensor ? GM_OK : GM_ERROR_MEMORY;
}

static gm_status read_parameters(gm_pool *pool, const gm_ast_file *file, gm_ast_parameter *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        gm_ast_expression *node = list[i].default_value;
        if (!node || node->kind != GM_AST_TENSOR || !node->text || !node->type)
            continue;
        GM_TRY(read_text_tensor(pool, file->name, list[i].name, node));
        file->onnx->external = true;
    }
    return GM_OK;
}

gm_status gm_onnx_resolve_text(gm_pool *pool, gm_ast_file *file)
{
    gm_ast_graph *graph = file->onnx ? file->onnx->graph : NULL;
    if (!graph)
        return GM_OK;
    GM_TRY(read_parameters(pool, file, graph->signature.inputs, graph->signature.input_count));
    return read_parameters(pool, file, graph->values, graph->value_count);
}
