/* What a source of rows hands to runtime/data.c: columns of equal length, kept as the source has them. */
#ifndef GM_RUNTIME_DATA_SOURCE_H
#define GM_RUNTIME_DATA_SOURCE_H

#include "runtime/data.h"

typedef struct gm_column {
    const char *name;
    gm_type type;
    int rank;
    int64_t dims[GM_MAX_RANK]; /* of one row */
    bool is_picture;           /* bytes 0..255 that a declared range maps linearly; others are checked against it */
    void *data;                /* [rows, dims...], from gm_alloc */
} gm_column;

/* Filled by a source; runtime/data.c frees the columns' data, also after a failure. */
typedef struct gm_table {
    int64_t rows;
    gm_column *columns; /* in the pool */
    size_t column_count;
    const char **constant_names; /* exported constants, in the pool */
    const gm_tensor **constants;
    size_t constant_count;
} gm_table;

typedef struct gm_data_request {
    gm_context *context;
    gm_pool *pool; /* lives as long as the data set */
    const gm_data_declaration *declaration;
    const gm_data_options *options;
    bool has_rows;
    int64_t first, end; /* `rows = [first, end]` */
    bool rows_taken;    /* set by a source that made these rows only */
} gm_data_request;

typedef struct gm_data_source {
    const char *name;
    gm_status (*open)(gm_data_request *request, gm_table *table);
    const char *const *attributes; /* allowed besides `rows`, ended by NULL; NULL: any */
    const char *const *fields;     /* that it can have, ended by NULL; NULL: those of its attributes */
} gm_data_source;

gm_status gm_open_mnist(gm_data_request *request, gm_table *table);
gm_status gm_open_idx(gm_data_request *request, gm_table *table);
gm_status gm_open_images(gm_data_request *request, gm_table *table);
gm_status gm_open_npy(gm_data_request *request, gm_table *table);
gm_status gm_open_ring(gm_data_request *request, gm_table *table);
gm_status gm_open_grid(gm_data_request *request, gm_table *table);
gm_status gm_open_moons(gm_data_request *request, gm_table *table);
gm_status gm_open_swiss_roll(gm_data_request *request, gm_table *table);
gm_status gm_open_text(gm_data_request *request, gm_table *table);
const char *gm_built_in_text(size_t *bytes_out); /* text_builtin.c */

/* Attributes of the declaration; a wrong kind or a value outside [low, high] is a diagnostic. */
gm_status gm_data_number(const gm_data_request *request, const char *name, double fallback, double low, double high,
                         double *value_out);
gm_status gm_data_string(const gm_data_request *request, const char *name, const char *fallback,
                         const char **value_out);

/* Finds a file by the search order of gm_dataset_open; the path lives in the pool. GM_ERROR_FILE names the places. */
gm_status gm_data_find(const gm_data_request *request, const char *file, const char **path_out);
/* GM_ERROR_FILE when the user gave a data directory that is none. */
gm_status gm_data_check_directory(const gm_data_request *request);

/* Makes `count` empty columns. */
gm_status gm_table_columns(const gm_data_request *request, gm_table *table, size_t count);
/* Writes "[1, 28, 28]" and returns `text`. */
const char *gm_data_shape(int rank, const int64_t *dims, char text[256]);

#endif
