/* Inside of gm_model. */
#ifndef GM_RUNTIME_MODEL_H
#define GM_RUNTIME_MODEL_H

#include "graph/container.h"
#include "runtime/store.h"

#include <stdatomic.h>

struct gm_model {
    gm_context *context;
    gm_pool *pool;
    gm_program *program;
    gm_store *store;                               /* parameters and buffers, plain */
    const char *path, *directory, *data_directory; /* data_directory: NULL when not given */
    uint64_t seed;
    bool seed_given;     /* by the caller, not by the file */
    atomic_size_t users; /* sessions, trainers and evaluations alive */
};

/* The graph of a network or sample; NULL: the main network. Fails naming what there is. */
gm_status gm_model_graph(const gm_model *model, const char *name, bool training, const gm_graph **graph_out);
/* gm_model_export's ONNX, in one file or two (see gm_target), and its bytes in `pool`. */
gm_status gm_export_file(const gm_model *model, const char *network, const char *path, bool external);
gm_status gm_export_memory(const gm_model *model, const char *network, gm_pool *pool, void **data_out,
                           size_t *bytes_out);
/* Fills `store` from the tensors of a container; every parameter and buffer of the program must be there with its
 * shape. The training part too when `training`. name: the file, for messages. */
gm_status gm_store_restore(gm_store *store, const gm_container *container, bool training, const char *name);
/* Where a model is written: a file, or (path NULL) memory that gm_free gives back. */
typedef struct gm_target {
    const char *path;
    void **data_out;
    size_t *bytes_out;
    bool external; /* large tensors into a second file; done without asking where one file cannot hold them */
} gm_target;
/* Writes the program's text and the store's tensors, whole or not at all: those of training and `extra` only when
 * `training`. */
gm_status gm_store_save(const gm_store *store, bool training, const gm_named_tensor *extra, size_t extra_count,
                        const gm_target *target);
const gm_named_tensor *gm_find_tensor(const gm_named_tensor *tensors, size_t count, const char *name); /* NULL: none */
/* The values that pictures of this model span: the declared range of the first picture field, else [-1, 1]. */
void gm_program_picture_range(const gm_program *program, double *low_out, double *high_out);

#endif
