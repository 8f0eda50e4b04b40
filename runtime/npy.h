/* Inside view of NumPy files: the header, as the data sets need it. */
#ifndef GM_RUNTIME_NPY_H
#define GM_RUNTIME_NPY_H

#include "graph/tensor.h"

typedef struct gm_npy_header {
    gm_type type;
    int rank;
    int64_t dims[GM_MAX_RANK];
    bool fortran_order;
    int64_t count;     /* elements */
    size_t data_start; /* offset of the first element in the file */
    size_t data_bytes;
} gm_npy_header;

/* Reads the header from the first `bytes` bytes of a file; `name` is the file for messages. */
gm_status gm_npy_parse_header(gm_context *context, const char *name, const void *data, size_t bytes,
                              gm_npy_header *header_out);

#endif
