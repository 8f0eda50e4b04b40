/* Reading and writing safetensors; the header by cJSON. */
#include "runtime/safetensors.h"

#include "runtime/file.h"

#include <string.h>

#ifdef GM_HAVE_CJSON
#include <cjson/cJSON.h>

#define MOST_HEADER_BYTES ((size_t)100 << 20) /* as the format's own reader has it */
#define ALIGNMENT         8                   /* of the first tensor */

static const struct {
    const char *name;
    gm_type type;
} types[] = {{"F32", GM_FLOAT},  {"F64", GM_DOUBLE}, {"F16", GM_FLOAT16}, {"BF16", GM_BFLOAT16}, {"I64", GM_INT64},
             {"I32", GM_INT32},  {"I16", GM_INT16},  {"I8", GM_INT8},     {"U64", GM_UINT64},    {"U32", GM_UINT32},
             {"U16", GM_UINT16}, {"U8", GM_UINT8},   {"BOOL", GM_BOOL}};

typedef struct source {
    gm_pool *pool;
    gm_context *context;
    const char *path;
    const unsigned char *data; /* behind the header */
    size_t bytes;
} source;

static gm_status damaged(const source *s, const char *tensor, const char *why)
{
    return gm_fail(s->context, GM_ERROR_FILE, "%s: no safetensors file, or a damaged one: %s%s%s%s", s->path,
                   tensor ? "tensor '" : "", tensor ? tensor : "", tensor ? "' " : "", why);
}

/* A whole number that JSON's doubles hold exactly. */
static bool whole(const cJSON *item, size_t *out)
{
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0) || item->valuedouble > 9007199254740992.0 ||
        item->valuedouble != (double)(size_t)item->valuedouble)
        return false;
    *out = (size_t)item->valuedouble;
    return true;
}

static gm_status read_shape(const source *s, const cJSON *entry, gm_tensor *tensor)
{
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(entry, "shape"), *item;
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(entry, "dtype");
    size_t size;
    for (size_t i = 0; i < GM_COUNT(types) && cJSON_IsString(type); i++)
        if (strcmp(types[i].name, type->valuestring) == 0)
            tensor->type = types[i].type;
    if (!tensor->type)
        return gm_fail(s->context, GM_ERROR_UNSUPPORTED, "%s: tensor '%s' has type '%s', which is not supported",
                       s->path, entry->string, cJSON_IsString(type) ? type->valuestring : "");
    if (!cJSON_IsArray(shape) || cJSON_GetArraySize(shape) > GM_MAX_RANK)
        return damaged(s, entry->string, "has no shape of at most 8 axes");
    cJSON_ArrayForEach(item, shape)
    {
        if (!whole(item, &size) || size > INT64_MAX)
            return damaged(s, entry->string, "has a size that is no whole number");
        tensor->dims[tensor->rank++] = (int64_t)size;
    }
    return GM_OK;
}

static gm_status read_entry(const source *s, const cJSON *entry, gm_named_tensor *out)
{
    const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(entry, "data_offsets");
    gm_tensor shape = {.type = GM_TYPE_UNDEFINED}, *tensor;
    size_t begin, end, needed, room;
    GM_TRY(read_shape(s, entry, &shape));
    if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2 || !whole(cJSON_GetArrayItem(offsets, 0), &begin) ||
        !whole(cJSON_GetArrayItem(offsets, 1), &end) || begin > end || end > s->bytes)
        return damaged(s, entry->string, "lies outside the file");
    needed = gm_type_bytes(shape.type);
    room = end - begin;
    for (int i = 0; i < shape.rank; i++) {
        if (shape.dims[i] && needed > room / (size_t)shape.dims[i])
            return damaged(s, entry->string, "has fewer bytes than its shape needs");
        needed *= (size_t)shape.dims[i];
    }
    if (needed != room)
        return damaged(s, entry->string, "has more bytes than its shape needs");
    tensor = gm_tensor_create(s->pool, shape.type, shape.rank, shape.dims);
    out->name = gm_pool_string(s->pool, entry->string);
    if (!tensor || !out->name)
        return GM_ERROR_MEMORY;
    memcpy(tensor->data, s->data + begin, room);
    out->tensor = tensor;
    return GM_OK;
}

static gm_status read_entries(const source *s, const cJSON *header, gm_named_tensor **tensors_out, size_t *count_out)
{
    const cJSON *entry;
    gm_named_tensor *tensors;
    size_t count = 0;
    if (!cJSON_IsObject(header))
        return damaged(s, NULL, "its header is no JSON object");
    tensors = gm_pool_array(s->pool, (size_t)cJSON_GetArraySize(header) + 1, sizeof *tensors);
    if (!tensors)
        return GM_ERROR_MEMORY;
    cJSON_ArrayForEach(entry, header)
    {
        if (strcmp(entry->string, "__metadata__") != 0)
            GM_TRY(read_entry(s, entry, &tensors[count++]));
    }
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(tensors[i].name, tensors[k].name) == 0)
                return damaged(s, tensors[i].name, "stands twice");
    *tensors_out = tensors;
    *count_out = count;
    return GM_OK;
}

static uint64_t header_length(const unsigned char *p)
{
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--)
        length = length << 8 | p[i];
    return length;
}

gm_status gm_safetensors_read(gm_pool *pool, const char *path, gm_named_tensor **tensors_out, size_t *count_out)
{
    source s = {.pool = pool, .context = gm_pool_context(pool), .path = path};
    char *data = NULL;
    cJSON *header = NULL;
    uint64_t length;
    size_t bytes;
    gm_status status = gm_read_file(s.context, path, &data, &bytes);
    if (status != GM_OK)
        return status;
    length = bytes < 8 ? 0 : header_length((unsigned char *)data);
    if (bytes < 8 || length > bytes - 8 || length > MOST_HEADER_BYTES) {
        status = damaged(&s, NULL, "its header is longer than the file");
    } else {
        s.data = (unsigned char *)data + 8 + length;
        s.bytes = bytes - 8 - (size_t)length;
        header = cJSON_ParseWithLength(data + 8, (size_t)length);
        status = read_entries(&s, header, tensors_out, count_out);
    }
    cJSON_Delete(header);
    gm_free(s.context, data);
    return status;
}

/* --- Writing --- */

static const char *name_of(gm_type type)
{
    for (size_t i = 0; i < GM_COUNT(types); i++)
        if (types[i].type == type)
            return types[i].name;
    return NULL;
}

static bool add_entry(cJSON *header, const gm_named_tensor *from, double begin, double end)
{
    cJSON *entry = cJSON_AddObjectToObject(header, from->name), *shape, *offsets;
    bool good = entry && cJSON_AddStringToObject(entry, "dtype", name_of(from->tensor->type)) &&
                (shape = cJSON_AddArrayToObject(entry, "shape")) &&
                (offsets = cJSON_AddArrayToObject(entry, "data_offsets")) &&
                cJSON_AddItemToArray(offsets, cJSON_CreateNumber(begin)) &&
                cJSON_AddItemToArray(offsets, cJSON_CreateNumber(end));
    for (int i = 0; good && i < from->tensor->rank; i++)
        good = cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)from->tensor->dims[i]));
    return good;
}

static gm_status write_file(gm_context *context, const char *path, const char *header, const gm_named_tensor *tensors,
                            size_t count)
{
    static const char spaces[ALIGNMENT] = "       ";
    size_t length = strlen(header), padding = (ALIGNMENT - length % ALIGNMENT) % ALIGNMENT;
    unsigned char start[8];
    gm_file *file = NULL;
    memset(start, 0, sizeof start);
    for (int i = 0; i < 8; i++)
        start[i] = (unsigned char)((uint64_t)(length + padding) >> 8 * i);
    GM_TRY(gm_file_create(context, path, &file));
    (void)gm_file_write(file, start, sizeof start); /* a failure is kept and returned by commit */
    (void)gm_file_write(file, header, length);
    (void)gm_file_write(file, spaces, padding);
    for (size_t i = 0; i < count; i++)
        (void)gm_file_write(file, tensors[i].tensor->data, gm_tensor_bytes(tensors[i].tensor));
    return gm_file_commit(file);
}

gm_status gm_safetensors_write(gm_context *context, const char *path, const gm_named_tensor *tensors, size_t count)
{
    cJSON *header = cJSON_CreateObject();
    bool good = header != NULL;
    double at = 0;
    char *text;
    gm_status status;
    for (size_t i = 0; i < count && good; i++) {
        double end = at + (double)gm_tensor_bytes(tensors[i].tensor);
        good = name_of(tensors[i].tensor->type) && add_entry(header, &tensors[i], at, end);
        at = end;
    }
    text = good ? cJSON_PrintUnformatted(header) : NULL;
    status = text ? write_file(context, path, text, tensors, count) : gm_fail_memory(context);
    cJSON_free(text);
    cJSON_Delete(header);
    return status;
}

#else

static gm_status missing(gm_context *context, const char *path)
{
    return gm_fail(context, GM_ERROR_UNSUPPORTED,
                   "%s: this library was built without cJSON, which safetensors need; a folder of .npy files works",
                   path);
}

gm_status gm_safetensors_read(gm_pool *pool, const char *path, gm_named_tensor **tensors_out, size_t *count_out)
{
    (void)tensors_out, (void)count_out;
    return missing(gm_pool_context(pool), path);
}

gm_status gm_safetensors_write(gm_context *context, const char *path, const gm_named_tensor *tensors, size_t count)
{
    (void)tensors, (void)count;
    return missing(context, path);
}

#endif
