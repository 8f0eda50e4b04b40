/* Tables of numbers that a training run keeps on disk: one header line, then a row a line. */
#ifndef GM_RUNTIME_CSV_H
#define GM_RUNTIME_CSV_H

#include "graph/base.h"

typedef struct gm_csv gm_csv;

/* Opens the table for rows to come, with this header. Rows that are there already stay if the number in their `column`
 * (0 or 1) is at most `last`: the others are of a future that will be run anew. */
gm_status gm_csv_open(gm_context *context, const char *path, const char *header, int column, int64_t last,
                      gm_csv **csv_out);
/* Adds a row, with its newline, and hands it to the system. */
gm_status gm_csv_add(gm_csv *csv, const char *row);
void gm_csv_close(gm_csv *csv); /* NULL is a no-op */

/* A table read back: column c of row r is values[r * columns + c], NaN where a field is empty. Destroyed with its pool. */
typedef struct gm_csv_table {
    size_t rows, columns;
    const char **names;
    double *values;
} gm_csv_table;
gm_status gm_csv_read(gm_pool *pool, const char *path, gm_csv_table *table_out);

#endif
