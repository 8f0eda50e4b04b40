/* Plain ONNX models as syntax trees. */
#ifndef GM_GRAPH_ONNX_TREE_H
#define GM_GRAPH_ONNX_TREE_H

#include "graph/ast.h"
#include "graph/container.h"

/* The tree of an ONNX ModelProto, in `pool`, with file->onnx set; `name` is the file for messages (kept). `data` is not
 * needed afterwards. Nothing in the file is trusted. */
gm_status gm_onnx_tree(gm_pool *pool, const void *data, size_t bytes, const char *name, gm_ast_file **file_out);
/* The ModelProto of such a tree, in `pool`; large tensors go into `external`, where that is not NULL. */
gm_status gm_onnx_untree(gm_pool *pool, const gm_ast_file *file, gm_external *external, void **data_out,
                         size_t *bytes_out);
/* Reads the tensors of an ONNX text that lie in other files: `float[2] w = ["location": "file"]`. file->name leads to their
 * folder. Nothing to do for other texts. */
gm_status gm_onnx_resolve_text(gm_pool *pool, gm_ast_file *file);
/* A TensorProto alone, as test data come; *name_out (may be NULL) is "" where it has none. */
gm_status gm_onnx_tensor(gm_pool *pool, const void *data, size_t bytes, const char *name, gm_tensor **tensor_out,
                         const char **name_out);

#endif
