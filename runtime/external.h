/* Models whose large tensors lie in a second file, "NAME.data" beside the model. */
#ifndef GM_RUNTIME_EXTERNAL_H
#define GM_RUNTIME_EXTERNAL_H

#include "graph/container.h"

#define GM_EXTERNAL_THRESHOLD 1024 /* bytes of the smallest tensor that goes there */

/* Writes a model: hands its bytes to `write`, and those of large tensors to `external`. */
typedef gm_status (*gm_external_producer)(void *user, gm_external *external,
                                          gm_status (*write)(void *to, const void *data, size_t bytes), void *to);

/* Writes the model whole or not at all; in one file (`external` false: the producer gets NULL), or in two. Then at each moment
 * the model under `path` has its data: they go into that one of NAME.data and NAME.data2 which the old model does not use;
 * the model follows; data that only the old model used is removed. */
gm_status gm_external_save(gm_context *context, const char *path, bool external, gm_external_producer produce,
                           void *user);

#endif
