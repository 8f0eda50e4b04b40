/* The reader of the binary encoding. Nothing in a file is trusted: the wire format is walked first (lengths, nesting,
 * strings), protobuf-c then unpacks into the caller's pool within a budget, and the result is checked field by field.
 * Tensors stay where protobuf-c put their bytes, so that a file costs its own size once more and little else. */
#include "graph/onnx_proto.h"
#include "graph/onnx_tree.h"

#include <stdio.h>
#include <string.h>

#define MAX_NESTING   64
#define BUDGET_FACTOR 4                  /* memory that unpacking may take: so many times the file ... */
#define BUDGET_BYTES  ((size_t)64 << 20) /* ... and this */

typedef struct reader {
    gm_pool *pool;
    gm_context *context;
    const char *name;
    size_t budget;
    bool budget_exceeded, no_memory;
    const Onnx__ModelProto *model;
    gm_container *container;
} reader;

gm_encoding gm_encoding_of(const void *data, size_t bytes)
{
    const unsigned char *p = data;
    size_t looked_at = bytes < 4096 ? bytes : 4096;
    if (bytes == 0)
        return GM_ENCODING_TEXT;
    /* Field 1 (ir_version) comes first; its tag is a backspace, which no text has. */
    return p[0] == 0x08 || memchr(p, 0, looked_at) ? GM_ENCODING_BINARY : GM_ENCODING_TEXT;
}

/* --- Wire format --------------------------------------------------------------------------------------------------- */

typedef struct cursor {
    const unsigned char *start, *at, *end;
    const char *trouble; /* NULL: none yet */
} cursor;

static uint64_t read_varint(cursor *c)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 70 && c->at < c->end; shift += 7) {
        unsigned char byte = *c->at++;
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    c->trouble = "a number is not complete";
    return 0;
}

static void skip(cursor *c, uint64_t bytes)
{
    if (bytes > (uint64_t)(c->end - c->at))
        c->trouble = "a field is longer than what is left";
    else
        c->at += bytes;
}

static void check_message(cursor *c, const ProtobufCMessageDescriptor *type, const unsigned char *end, int depth);

static void check_block(cursor *c, const ProtobufCFieldDescriptor *field, int depth)
{
    uint64_t bytes = read_varint(c);
    const unsigned char *from = c->at;
    if (c->trouble)
        return;
    skip(c, bytes);
    if (c->trouble || !field)
        return;
    if (field->type == PROTOBUF_C_TYPE_STRING && memchr(from, 0, (size_t)bytes)) {
        c->trouble = "a text holds a zero byte";
    } else if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        const unsigned char *end = c->at;
        c->at = from;
        check_message(c, field->descriptor, end, depth + 1);
    }
}

/* Reads fields up to `end`, which lies within the file. */
static void check_message(cursor *c, const ProtobufCMessageDescriptor *type, const unsigned char *end, int depth)
{
    const unsigned char *outer = c->end;
    uint64_t seen = 0; /* messages that may stand once */
    if (depth > MAX_NESTING) {
        c->trouble = "messages are nested too deeply";
        return;
    }
    c->end = end;
    while (c->at < end && !c->trouble) {
        uint64_t tag = read_varint(c);
        const ProtobufCFieldDescriptor *field = NULL;
        if (!c->trouble && (tag >> 3 == 0 || tag >> 3 >= 1u << 29))
            c->trouble = "a field has no valid number";
        if (c->trouble)
            return;
        field = protobuf_c_message_descriptor_get_field(type, (unsigned)(tag >> 3));
        if (field && field->type == PROTOBUF_C_TYPE_MESSAGE && field->label != PROTOBUF_C_LABEL_REPEATED) {
            uint64_t bit = UINT64_C(1) << (unsigned)(field - type->fields) % 64;
            if (seen & bit) {
                c->trouble = "a part that may stand once stands twice";
                return;
            }
            seen |= bit;
        }
        switch (tag & 7) {
        case 0:
            read_varint(c);
            break;
        case 1:
            skip(c, 8);
            break;
        case 2:
            check_block(c, field, depth);
            break;
        case 5:
            skip(c, 4);
            break;
        default:
            c->trouble = "a field has an unknown encoding";
        }
    }
    c->end = outer;
}

static gm_status check_wire(const reader *r, const ProtobufCMessageDescriptor *type, const void *data, size_t bytes)
{
    const unsigned char *start = data;
    cursor c = {start, start, start + bytes, NULL};
    check_message(&c, type, start + bytes, 0);
    if (!c.trouble)
        return GM_OK;
    return gm_fail(r->context, GM_ERROR_MODEL, "%s: damaged or not a model: %s (near byte %zu of %zu)", r->name,
                   c.trouble, (size_t)(c.at - start), bytes);
}

/* --- Unpacking ----------------------------------------------------------------------------------------------------- */

static void *allocate(void *user, size_t bytes)
{
    reader *r = user;
    void *memory;
    if (bytes > r->budget) {
        r->budget_exceeded = true;
        return NULL;
    }
    r->budget -= bytes;
    memory = gm_pool_alloc(r->pool, bytes);
    if (!memory)
        r->no_memory = true;
    return memory;
}

/* All goes with the pool. */
static void release(void *user, void *memory)
{
    (void)user;
    (void)memory;
}

/* Checks the wire format, then unpacks a message of that type. */
static gm_status unpack(reader *r, const ProtobufCMessageDescriptor *type, const void *data, size_t bytes,
                        const void **message_out)
{
    ProtobufCAllocator allocator = {allocate, release, r};
    GM_TRY(check_wire(r, type, data, bytes));
    r->budget = bytes * BUDGET_FACTOR + BUDGET_BYTES;
    *message_out = protobuf_c_message_unpack(type, &allocator, bytes, data);
    if (r->no_memory)
        return GM_ERROR_MEMORY;
    if (r->budget_exceeded)
        return gm_fail(r->context, GM_ERROR_MODEL,
                       "%s: damaged or not a model: it asks for far more memory than its size", r->name);
    if (!*message_out)
        return gm_fail(r->context, GM_ERROR_MODEL, "%s: damaged or not a model: a field has the wrong encoding",
                       r->name);
    return GM_OK;
}

/* --- Tensors ------------------------------------------------------------------------------------------------------- */

/* Where other tools may have put the elements instead of raw_data, one array entry each (TensorProto in onnx.proto). */
typedef struct typed_data {
    size_t count, field_bytes; /* of one entry */
    const void *data;
} typed_data;

static typed_data typed_data_of(const Onnx__TensorProto *proto, gm_type type)
{
    switch (type) {
    case GM_FLOAT:
        return (typed_data){proto->n_float_data, sizeof *proto->float_data, proto->float_data};
    case GM_DOUBLE:
        return (typed_data){proto->n_double_data, sizeof *proto->double_data, proto->double_data};
    case GM_INT64:
        return (typed_data){proto->n_int64_data, sizeof *proto->int64_data, proto->int64_data};
    case GM_UINT32:
    case GM_UINT64:
        return (typed_data){proto->n_uint64_data, sizeof *proto->uint64_data, proto->uint64_data};
    default:
        return (typed_data){proto->n_int32_data, sizeof *proto->int32_data, proto->int32_data};
    }
}

static const char *label(const Onnx__TensorProto *proto)
{
    return proto->name ? proto->name : "";
}

/* The low bytes of each entry: 16-bit floats are stored by their bits. */
static gm_status copy_typed_data(reader *r, const Onnx__TensorProto *proto, size_t bytes, gm_tensor *tensor)
{
    typed_data from = typed_data_of(proto, tensor->type);
    size_t each = gm_type_bytes(tensor->type);
    unsigned char *to;
    if (from.count != bytes / each)
        return gm_fail(r->context, GM_ERROR_MODEL, "%s: tensor '%s' has %zu elements, its shape needs %zu", r->name,
                       label(proto), from.count, bytes / each);
    if (!(to = gm_pool_alloc(r->pool, bytes ? bytes : 1)))
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < from.count; i++) {
        const unsigned char *entry = (const unsigned char *)from.data + i * from.field_bytes;
        memcpy(to + i * each, gm_onnx_is_little_endian() ? entry : entry + from.field_bytes - each, each);
    }
    tensor->data = to;
    return GM_OK;
}

/* As an array of const char *; a text ends at its first zero byte. */
static gm_status take_strings(reader *r, const Onnx__TensorProto *proto, gm_tensor *tensor)
{
    const char **texts = gm_pool_array(r->pool, proto->n_string_data + 1, sizeof *texts);
    size_t count = 1;
    if (!texts)
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < proto->n_dims && count; i++)
        count = proto->dims[i] < 0 || (size_t)proto->dims[i] > GM_ONNX_MAX_BYTES / count
                    ? SIZE_MAX
                    : count * (size_t)proto->dims[i];
    if (count != proto->n_string_data)
        return gm_fail(r->context, GM_ERROR_MODEL, "%s: tensor '%s' has %zu texts, which is not what its shape needs",
                       r->name, label(proto), proto->n_string_data);
    for (size_t i = 0; i < count; i++)
        if (!(texts[i] =
                  gm_pool_substring(r->pool, (const char *)proto->string_data[i].data, proto->string_data[i].len)))
            return GM_ERROR_MEMORY;
    tensor->data = texts;
    return GM_OK;
}

static gm_status take_external(reader *r, const Onnx__TensorProto *proto, size_t bytes, gm_tensor *tensor)
{
    GM_TRY(gm_onnx_read_external(r->pool, r->name, proto, bytes, &tensor->data));
    if (!gm_onnx_is_little_endian())
        gm_onnx_swap_bytes(tensor->data, bytes, gm_type_bytes(tensor->type));
    return GM_OK;
}

static gm_status take_data(reader *r, const Onnx__TensorProto *proto, gm_tensor *tensor)
{
    bool external = proto->has_data_location && proto->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    size_t bytes, used = 0;
    if (tensor->type == GM_STRING && !external)
        return take_strings(r, proto, tensor);
    if (!gm_onnx_tensor_bytes(tensor->type, proto->n_dims, proto->dims, external ? INT64_MAX : GM_ONNX_MAX_BYTES,
                              &bytes))
        return gm_fail(r->context, GM_ERROR_MODEL, "%s: tensor '%s' has a shape that no file holds", r->name,
                       label(proto));
    used += proto->n_float_data > 0;
    used += proto->n_int32_data > 0;
    used += proto->n_int64_data > 0;
    used += proto->n_double_data > 0;
    used += proto->n_uint64_data > 0;
    used += proto->n_string_data > 0;
    used += proto->has_raw_data && proto->raw_data.len > 0;
    if (used > 1)
        return gm_fail(r->context, GM_ERROR_MODEL, "%s: tensor '%s' has its elements twice", r->name, label(proto));
    if (used && external)
        return gm_fail(r->context, GM_ERROR_MODEL, "%s: tensor '%s' has its elements here and in another file", r->name,
                       label(proto));
    if (external)
        return take_external(r, proto, bytes, tensor);
    if (used == 1 && proto->raw_data.len == 0)
        return copy_typed_data(r, proto, bytes, tensor);
    if (proto->raw_data.len != bytes)
        return gm_fail(r->context, GM_ERROR_MODEL, "%s: tensor '%s' has %zu bytes of data, its shape needs %zu",
                       r->name, label(proto), proto->raw_data.len, bytes);
    tensor->data = bytes ? proto->raw_data.data : gm_pool_alloc(r->pool, 1);
    if (!gm_onnx_is_little_endian())
        gm_onnx_swap_bytes(tensor->data, bytes, gm_type_bytes(tensor->type));
    return tensor->data ? GM_OK : GM_ERROR_MEMORY;
}

static gm_status check_bool(reader *r, const Onnx__TensorProto *proto, const gm_tensor *tensor)
{
    const unsigned char *data = tensor->data;
    for (size_t i = 0; i < gm_tensor_bytes(tensor); i++)
        if (data[i] > 1)
            return gm_fail(r->context, GM_ERROR_MODEL, "%s: tensor '%s' is bool but holds %d", r->name, label(proto),
                           data[i]);
    return GM_OK;
}

static gm_status read_tensor(reader *r, const Onnx__TensorProto *proto, gm_tensor **out)
{
    gm_tensor *tensor = gm_pool_alloc(r->pool, sizeof *tensor);
    if (!tensor)
        return GM_ERROR_MEMORY;
    if (!proto->has_data_type || !gm_type_find((gm_type)proto->data_type))
        return gm_fail(r->context, GM_ERROR_UNSUPPORTED, "%s: tensor '%s' has type %d, which is not supported", r->name,
                       label(proto), proto->has_data_type ? (int)proto->data_type : 0);
    if (proto->n_dims > GM_MAX_RANK)
        return gm_fail(r->context, GM_ERROR_UNSUPPORTED, "%s: tensor '%s' has %zu dimensions, at most %d are supported",
                       r->name, label(proto), proto->n_dims, GM_MAX_RANK);
    if (proto->segment)
        return gm_fail(r->context, GM_ERROR_UNSUPPORTED,
                       "%s: tensor '%s' is stored in segments, which is not supported", r->name, label(proto));
    tensor->type = (gm_type)proto->data_type;
    tensor->rank = (int)proto->n_dims;
    for (size_t i = 0; i < proto->n_dims; i++)
        tensor->dims[i] = proto->dims[i];
    GM_TRY(take_data(r, proto, tensor));
    if (tensor->type == GM_BOOL)
        GM_TRY(check_bool(r, proto, tensor));
    *out = tensor;
    return GM_OK;
}

gm_status gm_onnx_read_tensor(gm_pool *pool, const char *file, const Onnx__TensorProto *proto, gm_tensor **tensor_out)
{
    reader r = {.pool = pool, .context = gm_pool_context(pool), .name = file};
    return read_tensor(&r, proto, tensor_out);
}

gm_status gm_onnx_tensor(gm_pool *pool, const void *data, size_t bytes, const char *name, gm_tensor **tensor_out,
                         const char **name_out)
{
    reader r = {.pool = pool, .context = gm_pool_context(pool), .name = name};
    const void *message = NULL;
    const Onnx__TensorProto *proto;
    if (bytes > GM_ONNX_MAX_BYTES)
        return gm_fail(r.context, GM_ERROR_UNSUPPORTED, "%s: tensors of more than 2 GiB are not supported", name);
    GM_TRY(unpack(&r, &onnx__tensor_proto__descriptor, data, bytes, &message));
    proto = message;
    if (name_out)
        *name_out = proto->name ? proto->name : "";
    return read_tensor(&r, proto, tensor_out);
}

static gm_status read_initializers(reader *r, const Onnx__GraphProto *graph, gm_named_tensor **tensors_out,
                                   size_t *count_out)
{
    gm_name_set names = {.pool = r->pool};
    gm_named_tensor *tensors = gm_pool_array(r->pool, graph->n_initializer, sizeof *tensors);
    if (!tensors)
        return GM_ERROR_MEMORY;
    if (graph->n_sparse_initializer)
        return gm_fail(r->context, GM_ERROR_UNSUPPORTED, "%s: sparse initializers are not supported", r->name);
    for (size_t i = 0; i < graph->n_initializer; i++) {
        const Onnx__TensorProto *proto = graph->initializer[i];
        gm_tensor *tensor = NULL;
        bool added;
        if (!proto->name || !proto->name[0])
            return gm_fail(r->context, GM_ERROR_MODEL, "%s: initializer %zu has no name", r->name, i);
        GM_TRY(gm_name_set_add(&names, proto->name, &added));
        if (!added)
            return gm_fail(r->context, GM_ERROR_MODEL, "%s: two tensors are named '%s'", r->name, proto->name);
        GM_TRY(read_tensor(r, proto, &tensor));
        if (tensor->type == GM_STRING)
            return gm_fail(r->context, GM_ERROR_UNSUPPORTED, "%s: tensor '%s' has type %d, which is not supported",
                           r->name, proto->name, GM_STRING);
        tensors[i] = (gm_named_tensor){proto->name, tensor};
        r->container->is_external |= proto->n_external_data > 0;
    }
    *tensors_out = tensors;
    *count_out = graph->n_initializer;
    return GM_OK;
}

/* --- Metadata ------------------------------------------------------------------------------------------------------ */

#define METADATA_PROPS 14 /* field of ModelProto */

bool gm_container_has_source(const void *data, size_t bytes)
{
    const unsigned char *start = data;
    cursor c = {start, start, start + bytes, NULL};
    size_t prefix = strlen(GM_ONNX_SOURCE_KEY);
    while (c.at < c.end && !c.trouble) {
        uint64_t tag = read_varint(&c), length;
        if ((tag & 7) == 0) {
            read_varint(&c);
        } else if ((tag & 7) == 1 || (tag & 7) == 5) {
            skip(&c, (tag & 7) == 1 ? 8 : 4);
        } else if ((tag & 7) == 2) {
            length = read_varint(&c);
            /* The key comes first in an entry: its tag, its length, its bytes. */
            if (tag >> 3 == METADATA_PROPS && length > prefix + 2 && length <= (uint64_t)(c.end - c.at) &&
                c.at[0] == 0x0a && memcmp(c.at + 2, GM_ONNX_SOURCE_KEY, prefix) == 0)
                return true;
            skip(&c, length);
        } else {
            return false;
        }
    }
    return false;
}

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static const char *metadata(const reader *r, const char *key)
{
    for (size_t i = 0; i < r->model->n_metadata_props; i++)
        if (strcmp(r->model->metadata_props[i]->key, key) == 0)
            return r->model->metadata_props[i]->value;
    return NULL;
}

/* Keys of other tools are left alone. */
static gm_status read_metadata(reader *r)
{
    gm_container *c = r->container;
    gm_name_set keys = {.pool = r->pool};
    size_t count = r->model->n_metadata_props;
    c->sources = gm_pool_array(r->pool, count, sizeof *c->sources);
    c->settings = gm_pool_array(r->pool, count, sizeof *c->settings);
    if (!c->sources || !c->settings)
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < count; i++) {
        Onnx__StringStringEntryProto *entry = r->model->metadata_props[i];
        bool added;
        if (!entry->key)
            entry->key = "";
        if (!entry->value)
            entry->value = "";
        GM_TRY(gm_name_set_add(&keys, entry->key, &added));
        if (!added)
            return gm_fail(r->context, GM_ERROR_MODEL, "%s: metadata '%s' stands twice", r->name, entry->key);
        if (starts_with(entry->key, GM_ONNX_SOURCE_KEY))
            c->sources[c->source_count++] =
                (gm_source_file){entry->key + strlen(GM_ONNX_SOURCE_KEY), entry->value, strlen(entry->value)};
        else if (starts_with(entry->key, GM_ONNX_SETTING_KEY))
            c->settings[c->setting_count++] = (gm_setting){entry->key + strlen(GM_ONNX_SETTING_KEY), entry->value};
    }
    return GM_OK;
}

static gm_status check_origin(const reader *r)
{
    const char *format = metadata(r, GM_ONNX_FORMAT_KEY), *view = metadata(r, GM_ONNX_VIEW_KEY);
    const char *producer = r->model->producer_name ? r->model->producer_name : "";
    char digest[GM_ONNX_DIGEST_TEXT];
    if (r->container->source_count == 0)
        return gm_fail(r->context, GM_ERROR_UNSUPPORTED, "%s: an ONNX model%s%s without the source text of a .gmodel",
                       r->name, producer[0] ? " made by " : "", producer);
    if (!format || strcmp(format, GM_ONNX_FORMAT) != 0)
        return gm_fail(r->context, GM_ERROR_UNSUPPORTED,
                       "%s: has format '%s' of the binary encoding, this library reads '" GM_ONNX_FORMAT "'", r->name,
                       format ? format : "");
    GM_TRY(gm_onnx_digest(r->context, r->model->graph, r->model->functions, r->model->n_functions, digest));
    if (!view || strcmp(view, digest) != 0)
        return gm_fail(
            r->context, GM_ERROR_MODEL,
            "%s: another tool changed the graph (its digest is %s, the file says %s), so it no longer belongs "
            "to the source: restore the file, or use it as plain ONNX",
            r->name, digest, view ? view : "nothing");
    return GM_OK;
}

gm_status gm_onnx_unpack(gm_pool *pool, const void *data, size_t bytes, const char *name,
                         const Onnx__ModelProto **model_out)
{
    reader r = {.pool = pool, .context = gm_pool_context(pool), .name = name};
    const void *message = NULL;
    if (bytes > GM_ONNX_MAX_BYTES)
        return gm_fail(r.context, GM_ERROR_UNSUPPORTED, "%s: models of more than 2 GiB are not supported", name);
    GM_TRY(unpack(&r, &onnx__model_proto__descriptor, data, bytes, &message));
    r.model = message;
    if (!r.model->has_ir_version || r.model->ir_version < 3)
        return gm_fail(r.context, GM_ERROR_MODEL, "%s: damaged or not a model: it has no ONNX IR version of 3 or later",
                       name);
    if (!r.model->graph)
        return gm_fail(r.context, GM_ERROR_MODEL, "%s: damaged or not a model: it has no graph", name);
    *model_out = r.model;
    return GM_OK;
}

static gm_status read_header(reader *r)
{
    const Onnx__ModelProto *model = r->model;
    for (size_t i = 0; i < model->n_opset_import; i++)
        if (!model->opset_import[i]->domain || !model->opset_import[i]->domain[0])
            r->container->opset = model->opset_import[i]->version;
    if (r->container->opset < 1)
        return gm_fail(r->context, GM_ERROR_MODEL, "%s: imports no version of the ONNX operators", r->name);
    r->container->model_name = model->graph->name ? model->graph->name : "";
    return GM_OK;
}

static gm_status read_training_info(reader *r)
{
    const Onnx__GraphProto *algorithm;
    if (r->model->n_training_info == 0)
        return GM_OK;
    algorithm = r->model->training_info[0]->algorithm;
    if (r->model->n_training_info > 1 || !algorithm || algorithm->n_node)
        return gm_fail(r->context, GM_ERROR_MODEL, "%s: training_info must be one entry whose algorithm has no nodes",
                       r->name);
    return read_initializers(r, algorithm, &r->container->training, &r->container->training_count);
}

/* training_info comes last in a file and is not part of the digest, so its length is checked. */
static gm_status read_training(reader *r)
{
    const char *expected = metadata(r, GM_ONNX_COUNT_KEY);
    char count[24];
    GM_TRY(read_training_info(r));
    snprintf(count, sizeof count, "%zu", r->container->training_count);
    if (!expected || strcmp(expected, count) != 0)
        return gm_fail(r->context, GM_ERROR_MODEL, "%s: has %s tensors of training, but says %s: it is not complete",
                       r->name, count, expected ? expected : "nothing");
    return GM_OK;
}

gm_status gm_container_decode(gm_pool *pool, const void *data, size_t bytes, const char *name,
                              gm_container **container_out)
{
    reader r = {.pool = pool, .context = gm_pool_context(pool), .name = name};
    if (gm_encoding_of(data, bytes) != GM_ENCODING_BINARY)
        return gm_fail(r.context, GM_ERROR_MODEL, "%s: is text, not the binary encoding of a model", name);
    if (!(r.container = gm_pool_alloc(pool, sizeof *r.container)))
        return GM_ERROR_MEMORY;
    GM_TRY(gm_onnx_unpack(pool, data, bytes, name, &r.model));
    GM_TRY(read_header(&r));
    GM_TRY(read_metadata(&r));
    GM_TRY(check_origin(&r));
    GM_TRY(read_initializers(&r, r.model->graph, &r.container->parameters, &r.container->parameter_count));
    GM_TRY(read_training(&r));
    *container_out = r.container;
    return GM_OK;
}
