/* Data sets: where the rows of a `data` declaration come from.
 *
 * A set is opened once, keeps its rows in memory as compactly as the source has them (pictures as bytes) and hands out
 * any rows converted to the declared type, shape and range. */
#ifndef GM_RUNTIME_DATA_H
#define GM_RUNTIME_DATA_H

#include "graph/program.h"

typedef struct gm_dataset gm_dataset;

/* A declared field. A batch of `count` rows takes count * row_bytes bytes, dense: [count, dims...]. */
typedef struct gm_dataset_field {
    const char *name;
    gm_type type;
    int rank;
    int64_t dims[GM_MAX_RANK]; /* of one row */
    size_t row_bytes;
} gm_dataset_field;

typedef struct gm_data_options {
    const char *data_directory;  /* given by the user: must exist, and a set named `mnist` must be there; or NULL */
    const char *model_directory; /* of the model file; NULL: the working directory */
    uint64_t seed;               /* keys generated sets */
} gm_data_options;

/* Opens a set. Files are looked for in the data directory, in the directory that the variable GMODEL_DATA names, in
 * `data` beside the model and (npy, idx, text) beside the model and in the working directory. The declaration must live as long as the set.
 * Errors: GM_ERROR_MODEL for what the declaration says wrong (unknown source, attribute or field, a shape of another
 * element count), GM_ERROR_FILE and GM_ERROR_DATA for missing and damaged files. */
gm_status gm_dataset_open(gm_context *context, const gm_data_declaration *declaration, const gm_data_options *options,
                          gm_dataset **dataset_out);
/* What can be said of a declaration without its files: an unknown source, attribute or field is GM_ERROR_MODEL. */
gm_status gm_dataset_check(gm_context *context, const gm_data_declaration *declaration);
void gm_dataset_close(gm_dataset *dataset); /* NULL is a no-op */

const char *gm_dataset_name(const gm_dataset *dataset);
int64_t gm_dataset_row_count(const gm_dataset *dataset);
size_t gm_dataset_field_count(const gm_dataset *dataset);
const gm_dataset_field *gm_dataset_field_at(const gm_dataset *dataset, size_t index); /* NULL: no such index */

/* Gathers rows[0 .. count): field_buffers[i] receives field i, count * row_bytes bytes; NULL leaves a field out.
 * GM_ERROR_ARGUMENT: a row outside [0, row count). */
gm_status gm_dataset_rows(const gm_dataset *dataset, const int64_t *rows, size_t count, void *const *field_buffers);
/* The same without checks, context or allocation, for threads. */
void gm_dataset_gather(const gm_dataset *dataset, const int64_t *rows, size_t count, void *const *field_buffers);

/* Constants that a set exports by name (`points.centre`): NULL when there is no such. */
const gm_tensor *gm_dataset_constant(const gm_dataset *dataset, const char *name);

#endif
