/* The safetensors format (https://huggingface.co/docs/safetensors): 8 bytes little-endian length of the header, the header
 * in JSON, then the tensors' bytes. */
#ifndef GM_RUNTIME_SAFETENSORS_H
#define GM_RUNTIME_SAFETENSORS_H

#include "graph/container.h"

/* Reads a file into `pool`; tensors in the order of the header. Nothing in it is trusted. */
gm_status gm_safetensors_read(gm_pool *pool, const char *path, gm_named_tensor **tensors_out, size_t *count_out);
/* Writes whole or not at all. */
gm_status gm_safetensors_write(gm_context *context, const char *path, const gm_named_tensor *tensors, size_t count);

#endif
