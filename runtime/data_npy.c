/* The source `npy`: every attribute names a field and gives its NumPy file, [rows, dims of one row...]. */
#include "runtime/data_source.h"

#include <string.h>

static gm_status read_column(const gm_data_request *request, const char *name, gm_column *column, int64_t *rows_out)
{
    const char *file, *path;
    gm_tensor_view view;
    GM_TRY(gm_data_string(request, name, NULL, &file));
    GM_TRY(gm_data_find(request, file, &path));
    GM_TRY(gm_read_npy(request->context, path, &view));
    column->name = name;
    column->type = view.type;
    column->data = view.data;
    if (view.rank < 1 || view.dims[0] < 1)
        return gm_fail(request->context, GM_ERROR_DATA, "%s: expected an array of rows, found one without", path);
    column->rank = view.rank - 1;
    memcpy(column->dims, view.dims + 1, (size_t)column->rank * sizeof column->dims[0]);
    *rows_out = view.dims[0];
    return GM_OK;
}

gm_status gm_open_npy(gm_data_request *request, gm_table *table)
{
    const gm_data_declaration *declaration = request->declaration;
    GM_TRY(gm_table_columns(request, table, declaration->attribute_count));
    table->column_count = 0;
    for (size_t i = 0; i < declaration->attribute_count; i++) {
        const char *name = declaration->attributes[i].name;
        int64_t rows = 0;
        if (strcmp(name, "rows") == 0)
            continue;
        GM_TRY(read_column(request, name, &table->columns[table->column_count++], &rows));
        if (table->column_count > 1 && rows != table->rows)
            return gm_fail(request->context, GM_ERROR_DATA, "data '%s': field '%s' has %lld rows, '%s' has %lld",
                           declaration->name, name, (long long)rows, table->columns[0].name, (long long)table->rows);
        table->rows = rows;
    }
    if (table->column_count == 0)
        return gm_diagnose(request->context, declaration->where,
                           "data '%s': source 'npy' needs a file for each field: npy <x = \"points.npy\">",
                           declaration->name);
    return GM_OK;
}
