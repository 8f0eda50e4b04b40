/* What writer and reader of the binary encoding share: sets of names, sizes, byte order, the digest of the view. */
#include "graph/onnx_proto.h"

#include <stdio.h>
#include <string.h>

/* --- Names --------------------------------------------------------------------------------------------------------- */

/* The slot that holds the name, or the empty one where it belongs. slot_count is a power of two with empty slots. */
static size_t find_slot(const gm_name_set *set, const char *name)
{
    size_t at = (size_t)gm_hash64(name) & (set->slot_count - 1);
    while (set->slots[at] && strcmp(set->slots[at], name) != 0)
        at = (at + 1) & (set->slot_count - 1);
    return at;
}

static bool grow_set(gm_name_set *set)
{
    gm_name_set larger = {.pool = set->pool, .slot_count = set->slot_count ? set->slot_count * 2 : 64};
    if (set->count * 2 < set->slot_count)
        return true;
    larger.slots = gm_pool_array(set->pool, larger.slot_count, sizeof *larger.slots);
    if (!larger.slots)
        return false;
    for (size_t i = 0; i < set->slot_count; i++)
        if (set->slots[i])
            larger.slots[find_slot(&larger, set->slots[i])] = set->slots[i];
    set->slots = larger.slots;
    set->slot_count = larger.slot_count;
    return true;
}

gm_status gm_name_set_add(gm_name_set *set, const char *name, bool *added_out)
{
    size_t at;
    if (!grow_set(set))
        return GM_ERROR_MEMORY;
    at = find_slot(set, name);
    *added_out = !set->slots[at];
    if (*added_out) {
        set->slots[at] = name;
        set->count++;
    }
    return GM_OK;
}

bool gm_name_set_has(const gm_name_set *set, const char *name)
{
    return set->slot_count && set->slots[find_slot(set, name)];
}

/* --- Arrays -------------------------------------------------------------------------------------------------------- */

bool gm_onnx_tensor_bytes(gm_type type, size_t rank, const int64_t *dims, size_t most, size_t *bytes_out)
{
    size_t bytes = gm_type_bytes(type);
    bool empty = false;
    if (bytes == 0)
        return false;
    for (size_t i = 0; i < rank; i++) {
        if (dims[i] < 0 || (size_t)dims[i] > most)
            return false;
        empty |= dims[i] == 0;
    }
    for (size_t i = 0; i < rank && !empty; i++) {
        if ((size_t)dims[i] > most / bytes)
            return false;
        bytes *= (size_t)dims[i];
    }
    *bytes_out = empty ? 0 : bytes;
    return true;
}

bool gm_onnx_is_little_endian(void)
{
    const uint16_t one = 1;
    unsigned char first;
    memcpy(&first, &one, 1);
    return first == 1;
}

void gm_onnx_swap_bytes(void *data, size_t bytes, size_t size)
{
    unsigned char *p = data;
    for (size_t at = 0; at + size <= bytes; at += size)
        for (size_t i = 0; i < size / 2; i++) {
            unsigned char byte = p[at + i];
            p[at + i] = p[at + size - 1 - i];
            p[at + size - 1 - i] = byte;
        }
}

/* --- Digest -------------------------------------------------------------------------------------------------------- */

#define FNV_OFFSET UINT64_C(14695981039346656037)
#define FNV_PRIME  UINT64_C(1099511628211)

/* Serialized by protobuf-c: known fields by number, then unknown ones in the order read. */
static gm_status hash_message(gm_context *context, const ProtobufCMessage *message, uint64_t *hash)
{
    size_t bytes = protobuf_c_message_get_packed_size(message);
    uint8_t *packed;
    if (bytes > GM_ONNX_MAX_BYTES)
        return gm_fail(context, GM_ERROR_UNSUPPORTED, "a graph of more than 2 GiB cannot be stored");
    packed = gm_alloc(context, bytes);
    if (!packed)
        return GM_ERROR_MEMORY;
    protobuf_c_message_pack(message, packed);
    for (size_t i = 0; i < bytes; i++)
        *hash = (*hash ^ packed[i]) * FNV_PRIME;
    gm_free(context, packed);
    return GM_OK;
}

static Onnx__TensorProto without_data(const Onnx__TensorProto *tensor)
{
    Onnx__TensorProto bare = *tensor;
    bare.n_float_data = bare.n_int32_data = bare.n_string_data = 0;
    bare.n_int64_data = bare.n_double_data = bare.n_uint64_data = 0;
    bare.has_raw_data = bare.has_data_location = 0;
    bare.n_external_data = 0;
    return bare;
}

static gm_status hash_graph(gm_context *context, gm_pool *pool, const Onnx__GraphProto *graph, uint64_t *hash)
{
    Onnx__GraphProto bare = *graph;
    Onnx__TensorProto *tensors = gm_pool_array(pool, graph->n_initializer, sizeof *tensors);
    bare.initializer = gm_pool_array(pool, graph->n_initializer, sizeof *bare.initializer);
    if (!tensors || !bare.initializer)
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < graph->n_initializer; i++) {
        tensors[i] = without_data(graph->initializer[i]);
        bare.initializer[i] = &tensors[i];
    }
    return hash_message(context, &bare.base, hash);
}

gm_status gm_onnx_digest(gm_context *context, const Onnx__GraphProto *graph, Onnx__FunctionProto *const *functions,
                         size_t function_count, char digest_out[GM_ONNX_DIGEST_TEXT])
{
    uint64_t hash = FNV_OFFSET;
    gm_pool *pool = gm_pool_create(context);
    gm_status status = pool ? hash_graph(context, pool, graph, &hash) : GM_ERROR_MEMORY;
    for (size_t i = 0; i < function_count && status == GM_OK; i++)
        status = hash_message(context, &functions[i]->base, &hash);
    gm_pool_destroy(pool);
    snprintf(digest_out, GM_ONNX_DIGEST_TEXT, "%016llx", (unsigned long long)hash);
    return status;
}
