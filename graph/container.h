/* The binary .gmodel: a valid ONNX ModelProto that carries the source text and every tensor. graph/onnx_write.c and
 * graph/onnx_read.c are the only users of the generated protobuf code. The layout is specified in docs/format.md. */
#ifndef GM_GRAPH_CONTAINER_H
#define GM_GRAPH_CONTAINER_H

#include "graph/program.h"

typedef struct gm_named_tensor {
    const char *name;
    const gm_tensor *tensor;
} gm_named_tensor;

/* A second file for the elements of large tensors. */
typedef struct gm_external {
    const char *location; /* the file's name, as the model says it */
    size_t threshold;     /* tensors of at least so many bytes go there */
    gm_status (*write)(void *user, const void *data, size_t bytes);
    void *user;
    uint64_t offset; /* bytes written */
} gm_external;

typedef struct gm_container {
    const char *model_name;
    int64_t opset;
    gm_source_file *sources; /* metadata gmodel.source.<file>, the model's own first */
    size_t source_count;
    gm_setting *settings; /* metadata gmodel.set.<const> */
    size_t setting_count;
    gm_named_tensor *parameters; /* initializers of the graph: parameters and buffers of all networks, by path */
    size_t parameter_count;
    /* initializers of training_info[0].algorithm: slots, counters, position; may be empty */
    gm_named_tensor *training;
    size_t training_count;
    const gm_graph *view;      /* write: the main network in inference mode (symbolic); NULL: an empty graph */
    bool is_external;          /* read: the elements of some tensors lay in other files */
    gm_external *external;     /* write: NULL: everything lies in the model; only for gm_container_stream */
    const gm_program *program; /* write: names of the state entries that `view` uses; NULL with view NULL */
} gm_container;

/* A model of one file has fewer bytes than protobuf's readers take; this much is left for what is no tensor. */
#define GM_CONTAINER_MAX_TENSOR_BYTES ((size_t)INT32_MAX - ((size_t)64 << 20))

/* Serializes into memory from the context's allocator (gm_free). */
gm_status gm_container_encode(gm_context *context, const gm_container *container, void **data_out, size_t *bytes_out);
/* The same bytes, handed to `write` piece by piece, so that no second copy of the tensors is needed. Stops at the first
 * status that is not GM_OK and returns it. */
gm_status gm_container_stream(gm_context *context, const gm_container *container,
                              gm_status (*write)(void *user, const void *data, size_t bytes), void *user);
/* Decodes into `pool`; `name` is the file for messages. Everything in the file is checked: sizes against dims, names unique,
 * types known. The view's digest is compared (see docs/language.md): a changed view is an error that says so. A plain ONNX
 * file without sources gives GM_ERROR_UNSUPPORTED with a message that says what it is. */
gm_status gm_container_decode(gm_pool *pool, const void *data, size_t bytes, const char *name,
                              gm_container **container_out);
/* Tables of data sets are initializers among the parameters: "gmodel.table.NAME"; words are "gmodel.words.NAME", one
 * behind the other as bytes with a newline after each. gm_table_stored: *tensor_out stays as it is where there is none. */
gm_status gm_table_stored(gm_pool *pool, const gm_container *container, const char *name, const gm_tensor **tensor_out);
gm_status gm_table_store(gm_pool *pool, const gm_table_use *table, gm_named_tensor *named_out);
/* Text or binary, by content. */
typedef enum gm_encoding { GM_ENCODING_TEXT, GM_ENCODING_BINARY } gm_encoding;
gm_encoding gm_encoding_of(const void *data, size_t bytes);
/* Whether a binary carries a source text, so that it is a .gmodel and no plain ONNX model. Looks no further. */
bool gm_container_has_source(const void *data, size_t bytes);

#endif
