/* Tables of numbers on disk: see runtime/csv.h. */
#include "runtime/csv.h"

#include "runtime/file.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct gm_csv {
    gm_context *context;
    FILE *file;
    char path[]; /* for messages */
};

/* The rows of an older table whose number in `column` is at most `last`; an unfinished line at the end goes. */
static void keep_rows(gm_text *text, const char *old, int column, int64_t last)
{
    const char *line = strchr(old, '\n');
    while (line && line[1]) {
        const char *end = strchr(line + 1, '\n');
        long long numbers[2];
        if (!end)
            return;
        if (sscanf(line + 1, "%lld,%lld,", &numbers[0], &numbers[1]) > column && numbers[column] <= last)
            gm_text_add_bytes(text, line + 1, (size_t)(end - line));
        line = end;
    }
}

static gm_status rewrite(gm_context *context, const char *path, const char *header, int column, int64_t last)
{
    gm_text text;
    gm_status status;
    char *old;
    size_t bytes;
    gm_text_init(&text, context);
    gm_text_add(&text, "%s\n", header);
    if (gm_read_file(context, path, &old, &bytes) == GM_OK) {
        keep_rows(&text, old, column, last);
        gm_free(context, old);
    }
    gm_clear_message(context);
    status = text.failed ? GM_ERROR_MEMORY : gm_file_replace(context, path, text.data, text.length);
    gm_text_destroy(&text);
    return status;
}

gm_status gm_csv_open(gm_context *context, const char *path, const char *header, int column, int64_t last,
                      gm_csv **csv_out)
{
    gm_csv *csv = gm_alloc(context, sizeof *csv + strlen(path) + 1);
    gm_status status = csv ? rewrite(context, path, header, column, last) : GM_ERROR_MEMORY;
    if (status == GM_OK) {
        csv->context = context;
        strcpy(csv->path, path);
        csv->file = fopen(path, "ab");
        if (!csv->file)
            status = gm_fail(context, GM_ERROR_FILE, "%s: cannot be written: %s", path, strerror(errno));
    }
    if (status != GM_OK) {
        gm_free(context, csv);
        return status;
    }
    *csv_out = csv;
    return GM_OK;
}

gm_status gm_csv_add(gm_csv *csv, const char *row)
{
    if (fputs(row, csv->file) < 0 || fflush(csv->file) != 0 || ferror(csv->file))
        return gm_fail(csv->context, GM_ERROR_FILE, "%s: cannot be written: %s", csv->path, strerror(errno));
    return GM_OK;
}

void gm_csv_close(gm_csv *csv)
{
    if (!csv)
        return;
    fclose(csv->file);
    gm_free(csv->context, csv);
}

/* --- Reading --- */

static size_t count_of(const char *text, char wanted, const char *until)
{
    size_t count = 0;
    for (; text < until; text++)
        count += *text == wanted;
    return count;
}

static gm_status parse(gm_pool *pool, char *text, gm_csv_table *table)
{
    char *end = strchr(text, '\n'), *at = text;
    table->columns = end ? count_of(text, ',', end) + 1 : 0;
    table->rows = end ? count_of(end + 1, '\n', text + strlen(text)) : 0;
    table->names = gm_pool_array(pool, table->columns + 1, sizeof *table->names);
    table->values = gm_pool_array(pool, table->rows * table->columns + 1, sizeof *table->values);
    if (!table->names || !table->values)
        return GM_ERROR_MEMORY;
    for (size_t c = 0; c < table->columns; c++) {
        size_t length = strcspn(at, ",\n");
        table->names[c] = gm_pool_substring(pool, at, length);
        if (!table->names[c])
            return GM_ERROR_MEMORY;
        at += length + 1;
    }
    for (size_t i = 0; i < table->rows * table->columns; i++) {
        size_t length = strcspn(at, ",\n");
        table->values[i] = length ? strtod(at, NULL) : (double)NAN;
        at += length + (at[length] != '\0');
    }
    return GM_OK;
}

gm_status gm_csv_read(gm_pool *pool, const char *path, gm_csv_table *table_out)
{
    gm_context *context = gm_pool_context(pool);
    char *text;
    size_t bytes;
    gm_status status;
    *table_out = (gm_csv_table){0};
    GM_TRY(gm_read_file(context, path, &text, &bytes));
    status = parse(pool, text, table_out);
    gm_free(context, text);
    return status;
}
