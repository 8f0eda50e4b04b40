/* What writer and reader of the binary encoding share. Only graph/onnx_*.c may include this: it pulls in the generated
 * protobuf code. docs/format.md says what every field means. */
#ifndef GM_GRAPH_ONNX_PROTO_H
#define GM_GRAPH_ONNX_PROTO_H

#include "graph/container.h"
#include "graph/onnx.pb-c.h"

#define GM_ONNX_MAX_BYTES   INT32_MAX /* what every reader of protobuf takes */
#define GM_ONNX_IR_VERSION  10
#define GM_ONNX_PRODUCER    "gmodel"
#define GM_ONNX_FORMAT      "1"
#define GM_ONNX_KEY         "gmodel."
#define GM_ONNX_FORMAT_KEY  "gmodel.format"
#define GM_ONNX_COUNT_KEY   "gmodel.training" /* tensors of training_info: a file cut before them is noticed */
#define GM_ONNX_VIEW_KEY    "gmodel.view"
#define GM_ONNX_SOURCE_KEY  "gmodel.source."
#define GM_ONNX_SETTING_KEY "gmodel.set."
#define GM_ONNX_DIGEST_TEXT 17 /* 16 lower-case hexadecimal digits and the end */

/* A set of names; it keeps the pointers. */
typedef struct gm_name_set {
    gm_pool *pool;
    const char **slots;
    size_t count, slot_count;
} gm_name_set;

/* *added_out: false when the name was there already. */
gm_status gm_name_set_add(gm_name_set *set, const char *name, bool *added_out);
bool gm_name_set_has(const gm_name_set *set, const char *name);

/* Bytes of a dense array; false: negative dimension, unknown or non-numeric type, or more bytes than `most`. */
bool gm_onnx_tensor_bytes(gm_type type, size_t rank, const int64_t *dims, size_t most, size_t *bytes_out);
/* raw_data is little-endian: turns numbers of `size` bytes from or into the machine's order. */
bool gm_onnx_is_little_endian(void);
void gm_onnx_swap_bytes(void *data, size_t bytes, size_t size);

/* Unpacks a model into `pool`, whose fields are then safe to read: the wire format was checked first. It has an ir_version
 * and a graph. */
gm_status gm_onnx_unpack(gm_pool *pool, const void *data, size_t bytes, const char *name,
                         const Onnx__ModelProto **model_out);
/* A tensor of a message that was unpacked into `pool`, where its bytes stay. `file` is for messages. */
gm_status gm_onnx_read_tensor(gm_pool *pool, const char *file, const Onnx__TensorProto *proto, gm_tensor **tensor_out);

/* Any type as ONNX text has it ("opaque" where that has nothing for it); NULL: no memory. And back: *type_out is NULL where the text
 * is no such type (graph/onnx_type.c). */
const char *gm_onnx_type_text(gm_pool *pool, const Onnx__TypeProto *type);
gm_status gm_onnx_type_read(gm_pool *pool, const char *text, Onnx__TypeProto **type_out);

/* Needs no quotes in a text: letters, digits and _, no digit first. */
bool gm_onnx_is_name(const char *name);

/* The `bytes` of a tensor that lies in another file, beside or below `file`, in `pool` (graph/onnx_external.c). */
gm_status gm_onnx_read_external(gm_pool *pool, const char *file, const Onnx__TensorProto *proto, size_t bytes,
                                void **data_out);
/* Puts the elements of a tensor there; `proto` says where then. */
gm_status gm_onnx_write_external(gm_pool *pool, gm_external *external, const void *data, size_t bytes,
                                 Onnx__TensorProto *proto);

/* The digest of a view: 64-bit FNV-1a over the graph, its initializers without their data (or where it lies), and the functions. */
gm_status gm_onnx_digest(gm_context *context, const Onnx__GraphProto *graph, Onnx__FunctionProto *const *functions,
                         size_t function_count, char digest_out[GM_ONNX_DIGEST_TEXT]);

#endif
