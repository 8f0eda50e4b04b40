/* Data sets: binds the fields of a declaration to the columns of its source and converts rows on their way out. */
#include "runtime/data_source.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* How elements of a column become elements of a field. */
typedef enum conversion {
    CONVERT_COPY,  /* the same type */
    CONVERT_TABLE, /* from bytes through 256 values of the declared type */
    CONVERT_EACH   /* one by one */
} conversion;

typedef struct binding {
    gm_dataset_field field;
    const gm_column *column;
    conversion conversion;
    size_t items;                     /* elements of a row */
    size_t item_bytes;                /* of the declared type */
    size_t column_bytes;              /* of a row in the column */
    _Alignas(16) char table[256 * 8]; /* CONVERT_TABLE */
} binding;

struct gm_dataset {
    gm_context *context;
    gm_pool *pool;
    const gm_data_declaration *declaration;
    gm_table table;
    int64_t first, rows; /* the part of the table that the declaration selects */
    binding *bindings;
};

static const char *const mnist_attributes[] = {"part", "directory", NULL};
static const char *const idx_attributes[] = {"images", "labels", NULL};
static const char *const ring_attributes[] = {"modes", "radius", "width", "count", "seed", NULL};
static const char *const grid_attributes[] = {"side", "spacing", "width", "count", "seed", NULL};
static const char *const curve_attributes[] = {"noise", "count", "seed", NULL};

static const char *const images_attributes[] = {"directory", "resize", NULL};
static const char *const text_attributes[] = {"file", "window", "subsample", "min_count", "seed", NULL};

static const char *const picture_fields[] = {"image", "label", NULL};
static const char *const point_fields[] = {"x", "label", NULL};
static const char *const roll_fields[] = {"x", "position", NULL};
static const char *const text_fields[] = {"center", "context", NULL};

static const gm_data_source sources[] = {
    {"mnist", gm_open_mnist, mnist_attributes, picture_fields},
    {"idx", gm_open_idx, idx_attributes, picture_fields},
    {"images", gm_open_images, images_attributes, picture_fields},
    {"npy", gm_open_npy, NULL, NULL},
    {"ring", gm_open_ring, ring_attributes, point_fields},
    {"grid", gm_open_grid, grid_attributes, point_fields},
    {"moons", gm_open_moons, curve_attributes, point_fields},
    {"swiss_roll", gm_open_swiss_roll, curve_attributes, roll_fields},
    {"text", gm_open_text, text_attributes, text_fields},
};

const char *gm_data_shape(int rank, const int64_t *dims, char text[256])
{
    size_t used = (size_t)snprintf(text, 256, "[");
    for (int i = 0; i < rank; i++)
        used += (size_t)snprintf(text + used, 256 - used, "%s%lld", i > 0 ? ", " : "", (long long)dims[i]);
    (void)snprintf(text + used, 256 - used, "]");
    return text;
}

/* --- Attributes
 * ------------------------------------------------------------------------------------------------------- */

static const gm_attribute *find_attribute(const gm_data_declaration *declaration, const char *name)
{
    for (size_t i = 0; i < declaration->attribute_count; i++)
        if (strcmp(declaration->attributes[i].name, name) == 0)
            return &declaration->attributes[i];
    return NULL;
}

gm_status gm_data_number(const gm_data_request *request, const char *name, double fallback, double low, double high,
                         double *value_out)
{
    const gm_attribute *attribute = find_attribute(request->declaration, name);
    double value = fallback;
    if (attribute != NULL) {
        if (attribute->kind != GM_ATTRIBUTE_INT && attribute->kind != GM_ATTRIBUTE_FLOAT)
            return gm_diagnose(request->context, request->declaration->where,
                               "data '%s': attribute '%s' must be a number", request->declaration->name, name);
        value = attribute->kind == GM_ATTRIBUTE_INT ? (double)attribute->i : attribute->f;
    }
    if (!(value >= low && value <= high))
        return gm_diagnose(request->context, request->declaration->where,
                           "data '%s': attribute '%s' is %g, expected %g to %g", request->declaration->name, name,
                           value, low, high);
    *value_out = value;
    return GM_OK;
}

gm_status gm_data_string(const gm_data_request *request, const char *name, const char *fallback, const char **value_out)
{
    const gm_attribute *attribute = find_attribute(request->declaration, name);
    if (attribute == NULL && fallback == NULL)
        return gm_diagnose(request->context, request->declaration->where, "data '%s': attribute '%s' is missing",
                           request->declaration->name, name);
    if (attribute != NULL && (attribute->kind != GM_ATTRIBUTE_STRING || attribute->s == NULL))
        return gm_diagnose(request->context, request->declaration->where, "data '%s': attribute '%s' must be a string",
                           request->declaration->name, name);
    *value_out = attribute != NULL ? attribute->s : fallback;
    return GM_OK;
}

/* rows = [first, end] */
static gm_status read_rows(gm_data_request *request)
{
    const gm_data_declaration *declaration = request->declaration;
    const gm_attribute *rows = find_attribute(declaration, "rows");
    if (rows == NULL)
        return GM_OK;
    double range[2] = {-1, -1};
    if (rows->kind == GM_ATTRIBUTE_INTS && rows->count == 2) {
        range[0] = (double)rows->ints[0];
        range[1] = (double)rows->ints[1];
    } else if (rows->kind == GM_ATTRIBUTE_FLOATS && rows->count == 2) {
        range[0] = rows->floats[0];
        range[1] = rows->floats[1];
    }
    if (!(range[0] >= 0 && range[1] > range[0] && range[1] < 9e15 && range[0] == floor(range[0]) &&
          range[1] == floor(range[1])))
        return gm_diagnose(request->context, declaration->where,
                           "data '%s': rows must be [first, end] with 0 <= first < end: end is the row after the last",
                           declaration->name);
    request->has_rows = true;
    request->first = (int64_t)range[0];
    request->end = (int64_t)range[1];
    return GM_OK;
}

static gm_status check_attributes(const gm_data_request *request, const gm_data_source *source)
{
    const gm_data_declaration *declaration = request->declaration;
    gm_status status = GM_OK;
    for (size_t i = 0; source->attributes != NULL && i < declaration->attribute_count; i++) {
        const char *name = declaration->attributes[i].name;
        gm_spelling spelling;
        gm_spelling_init(&spelling, name);
        gm_spelling_offer(&spelling, "rows");
        bool known = strcmp(name, "rows") == 0;
        for (size_t k = 0; source->attributes[k] != NULL; k++) {
            known = known || strcmp(name, source->attributes[k]) == 0;
            gm_spelling_offer(&spelling, source->attributes[k]);
        }
        if (!known)
            status =
                gm_diagnose(request->context, declaration->where, "data '%s': source '%s' has no attribute '%s'%s%s%s",
                            declaration->name, source->name, name, spelling.best != NULL ? ", did you mean '" : "",
                            spelling.best != NULL ? spelling.best : "", spelling.best != NULL ? "'?" : "");
    }
    return status;
}

/* --- Files
 * ------------------------------------------------------------------------------------------------------------ */

static bool is_directory(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

gm_status gm_data_check_directory(const gm_data_request *request)
{
    const char *directory = request->options->data_directory;
    if (directory != NULL && !is_directory(directory))
        return gm_fail(request->context, GM_ERROR_FILE, "%s: there is no such data directory", directory);
    return GM_OK;
}

gm_status gm_data_find(const gm_data_request *request, const char *file, const char **path_out)
{
    const char *given = request->options->data_directory, *model = request->options->model_directory;
    const char *environment = getenv("GMODEL_DATA");
    model = model != NULL && model[0] != '\0' ? model : ".";
    GM_TRY(gm_data_check_directory(request));
    const struct {
        const char *directory, *part;
    } places[] = {{given, ""}, {environment, ""}, {model, "/data"}, {model, ""}, {strcmp(model, ".") ? "." : "", ""}};
    gm_text looked;
    gm_text_init(&looked, request->context);
    for (size_t i = 0; i < GM_COUNT(places); i++) {
        bool absolute = file[0] == '/';
        if (places[i].directory == NULL || places[i].directory[0] == '\0')
            continue;
        char *path = absolute ? gm_pool_string(request->pool, file)
                              : gm_pool_printf(request->pool, "%s%s/%s", places[i].directory, places[i].part, file);
        if (path == NULL) {
            gm_text_destroy(&looked);
            return GM_ERROR_MEMORY;
        }
        if (access(path, F_OK) == 0) {
            gm_text_destroy(&looked);
            *path_out = path;
            return GM_OK;
        }
        gm_text_add(&looked, "%s%s", looked.length > 0 ? ", " : "", path);
        if (absolute)
            break;
    }
    gm_status status = gm_fail(request->context, GM_ERROR_FILE, "data '%s': no file '%s', looked for %s",
                               request->declaration->name, file, looked.data != NULL ? looked.data : "");
    gm_text_destroy(&looked);
    return status;
}

gm_status gm_table_columns(const gm_data_request *request, gm_table *table, size_t count)
{
    table->columns = gm_pool_array(request->pool, count, sizeof *table->columns);
    if (table->columns == NULL)
        return GM_ERROR_MEMORY;
    table->column_count = count;
    return GM_OK;
}

/* --- Fields
 * ------------------------------------------------------------------------------------------------------------ */

static int64_t count_of(int rank, const int64_t *dims)
{
    gm_tensor shape = {.type = GM_UINT8, .rank = rank};
    memcpy(shape.dims, dims, sizeof shape.dims);
    return gm_tensor_count(&shape);
}

static gm_status no_field(gm_context *context, const gm_data_declaration *declaration, const gm_data_field *field,
                          const char *const *names, size_t count)
{
    gm_spelling spelling;
    gm_text text;
    gm_status status;
    gm_spelling_init(&spelling, field->name);
    gm_text_init(&text, context);
    for (size_t i = 0; i < count; i++) {
        gm_spelling_offer(&spelling, names[i]);
        gm_text_add(&text, "%s'%s'", i > 0 ? ", " : "", names[i]);
    }
    status = gm_diagnose(context, field->where, "data '%s': source '%s' has no field '%s'%s%s%s; it has %s",
                         declaration->name, declaration->source, field->name,
                         spelling.best != NULL ? ", did you mean '" : "", spelling.best != NULL ? spelling.best : "",
                         spelling.best != NULL ? "'?" : "", text.data != NULL ? text.data : "");
    gm_text_destroy(&text);
    return status;
}

static gm_status find_column(const gm_dataset *dataset, const gm_data_field *field, const gm_column **column_out)
{
    size_t count = dataset->table.column_count;
    const char **names = gm_pool_array(dataset->pool, count + 1, sizeof *names);
    if (names == NULL)
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < count; i++) {
        names[i] = dataset->table.columns[i].name;
        if (strcmp(names[i], field->name) == 0) {
            *column_out = &dataset->table.columns[i];
            return GM_OK;
        }
    }
    return no_field(dataset->context, dataset->declaration, field, names, count);
}

/* Fields that the source never has, whatever its files say. */
static gm_status check_fields(gm_context *context, const gm_data_declaration *declaration, const gm_data_source *source)
{
    gm_status status = GM_OK;
    for (size_t i = 0; source->fields != NULL && i < declaration->field_count; i++) {
        size_t count = 0;
        bool known = false;
        for (; source->fields[count] != NULL; count++)
            known = known || strcmp(source->fields[count], declaration->fields[i].name) == 0;
        if (!known)
            status = no_field(context, declaration, &declaration->fields[i], source->fields, count);
    }
    return status;
}

/* The declared value of each byte. */
static void fill_table(binding *bound, const gm_data_field *field)
{
    gm_tensor table = {.type = field->type, .rank = 1, .dims = {256}, .data = bound->table};
    bool mapped = bound->column->is_picture && field->has_range;
    const gm_type_info *type = gm_type_find(field->type);
    for (int i = 0; i < 256; i++) {
        double value = mapped ? field->low + (field->high - field->low) * i / 255 : i;
        gm_set(&table, i, type->floating || field->type == GM_BOOL ? value : nearbyint(value));
    }
}

/* Every selected element of a column that is not a picture must lie in the declared range. */
static gm_status check_range(const gm_dataset *dataset, const binding *bound, const gm_data_field *field)
{
    const gm_column *column = bound->column;
    gm_tensor values = {
        .type = column->type, .rank = 2, .dims = {dataset->table.rows, (int64_t)bound->items}, .data = column->data};
    int64_t items = (int64_t)bound->items, begin = dataset->first * items,
            end = (dataset->first + dataset->rows) * items;
    for (int64_t i = begin; i < end; i++) {
        double value = gm_get(&values, i);
        if (!(value >= field->low && value <= field->high))
            return gm_fail(dataset->context, GM_ERROR_DATA,
                           "data '%s': field '%s' has %g at element %lld of row %lld, declared in [%g, %g]",
                           dataset->declaration->name, field->name, value, (long long)(i % items),
                           (long long)(i / items), field->low, field->high);
    }
    return GM_OK;
}

static gm_status bind_field(const gm_dataset *dataset, const gm_data_field *field, binding *bound)
{
    const gm_column *column = NULL;
    char declared[256], found[256];
    GM_TRY(find_column(dataset, field, &column));
    size_t item_bytes = gm_type_bytes(field->type);
    if (item_bytes == 0 || item_bytes > 8)
        return gm_diagnose(dataset->context, field->where, "data '%s': field '%s' must have a number type, found %s",
                           dataset->declaration->name, field->name, gm_type_name(field->type));
    int64_t items = count_of(column->rank, column->dims);
    if (count_of(field->rank, field->dims) != items)
        return gm_diagnose(dataset->context, field->where,
                           "data '%s': field '%s' is declared %s, source '%s' has %s: the element counts differ",
                           dataset->declaration->name, field->name, gm_data_shape(field->rank, field->dims, declared),
                           dataset->declaration->source, gm_data_shape(column->rank, column->dims, found));
    if (field->has_range && !(field->low < field->high))
        return gm_diagnose(dataset->context, field->where,
                           "data '%s': the range of field '%s' is [%g, %g], expected low < high",
                           dataset->declaration->name, field->name, field->low, field->high);
    bound->field = (gm_dataset_field){
        .name = field->name, .type = field->type, .rank = field->rank, .row_bytes = (size_t)items * item_bytes};
    memcpy(bound->field.dims, field->dims, sizeof field->dims);
    bound->column = column;
    bound->items = (size_t)items;
    bound->item_bytes = item_bytes;
    bound->column_bytes = (size_t)items * gm_type_bytes(column->type);
    if (field->has_range && !column->is_picture)
        GM_TRY(check_range(dataset, bound, field));
    bool mapped = column->is_picture && field->has_range;
    bound->conversion = column->type == field->type && !mapped ? CONVERT_COPY
                        : column->type == GM_UINT8             ? CONVERT_TABLE
                                                               : CONVERT_EACH;
    if (bound->conversion == CONVERT_TABLE)
        fill_table(bound, field);
    return GM_OK;
}

static gm_status bind_fields(gm_dataset *dataset)
{
    const gm_data_declaration *declaration = dataset->declaration;
    gm_status status = GM_OK;
    dataset->bindings = gm_pool_array(dataset->pool, declaration->field_count, sizeof *dataset->bindings);
    if (dataset->bindings == NULL)
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < declaration->field_count; i++) {
        gm_status one = bind_field(dataset, &declaration->fields[i], &dataset->bindings[i]);
        if (one != GM_OK && one != GM_ERROR_MODEL)
            return one;
        status = status == GM_OK ? one : status; /* gathers the diagnostics of all fields */
    }
    return status;
}

/* --- Opening
 * ------------------------------------------------------------------------------------------------------------ */

static gm_status find_source(gm_context *context, const gm_data_declaration *declaration,
                             const gm_data_source **source_out)
{
    gm_spelling spelling;
    gm_spelling_init(&spelling, declaration->source);
    for (size_t i = 0; i < GM_COUNT(sources); i++) {
        if (strcmp(sources[i].name, declaration->source) == 0) {
            *source_out = &sources[i];
            return GM_OK;
        }
        gm_spelling_offer(&spelling, sources[i].name);
    }
    return gm_diagnose(context, declaration->where, "data '%s': unknown source '%s'%s%s%s", declaration->name,
                       declaration->source, spelling.best != NULL ? ", did you mean '" : "",
                       spelling.best != NULL
                           ? spelling.best
                           : ": expected mnist, idx, images, npy, ring, grid, moons, swiss_roll or text",
                       spelling.best != NULL ? "'?" : "");
}

/* Which rows of the table are the set's. */
static gm_status select_rows(gm_dataset *dataset, const gm_data_request *request)
{
    dataset->first = 0;
    dataset->rows = dataset->table.rows;
    if (!request->has_rows || request->rows_taken)
        return GM_OK;
    if (request->end > dataset->table.rows)
        return gm_diagnose(dataset->context, dataset->declaration->where,
                           "data '%s': rows = [%lld, %lld], but the source has %lld rows", dataset->declaration->name,
                           (long long)request->first, (long long)request->end, (long long)dataset->table.rows);
    dataset->first = request->first;
    dataset->rows = request->end - request->first;
    return GM_OK;
}

static gm_status open_into(gm_dataset *dataset, const gm_data_options *options)
{
    const gm_data_source *source = NULL;
    gm_data_request request = {
        .context = dataset->context, .pool = dataset->pool, .declaration = dataset->declaration, .options = options};
    GM_TRY(find_source(dataset->context, dataset->declaration, &source));
    GM_TRY(check_attributes(&request, source));
    GM_TRY(read_rows(&request));
    GM_TRY(source->open(&request, &dataset->table));
    GM_TRY(select_rows(dataset, &request));
    return bind_fields(dataset);
}

gm_status gm_dataset_check(gm_context *context, const gm_data_declaration *declaration)
{
    gm_data_request request = {.context = context, .declaration = declaration};
    const gm_data_source *source = NULL;
    GM_TRY(find_source(context, declaration, &source));
    GM_TRY(check_attributes(&request, source));
    return check_fields(context, declaration, source);
}

gm_status gm_dataset_open(gm_context *context, const gm_data_declaration *declaration, const gm_data_options *options,
                          gm_dataset **dataset_out)
{
    static const gm_data_options none = {0};
    gm_clear_message(context);
    gm_pool *pool = gm_pool_create(context);
    gm_dataset *dataset = pool != NULL ? gm_pool_alloc(pool, sizeof *dataset) : NULL;
    if (dataset == NULL) {
        gm_pool_destroy(pool);
        return GM_ERROR_MEMORY;
    }
    dataset->context = context;
    dataset->pool = pool;
    dataset->declaration = declaration;
    gm_status status = open_into(dataset, options != NULL ? options : &none);
    if (status != GM_OK) {
        gm_dataset_close(dataset);
        return status;
    }
    *dataset_out = dataset;
    return GM_OK;
}

void gm_dataset_close(gm_dataset *dataset)
{
    if (dataset == NULL)
        return;
    for (size_t i = 0; i < dataset->table.column_count; i++)
        gm_free(dataset->context, dataset->table.columns[i].data);
    gm_pool_destroy(dataset->pool);
}

/* --- Use
 * ---------------------------------------------------------------------------------------------------------------- */

const char *gm_dataset_name(const gm_dataset *dataset)
{
    return dataset->declaration->name;
}

int64_t gm_dataset_row_count(const gm_dataset *dataset)
{
    return dataset->rows;
}

size_t gm_dataset_field_count(const gm_dataset *dataset)
{
    return dataset->declaration->field_count;
}

const gm_dataset_field *gm_dataset_field_at(const gm_dataset *dataset, size_t index)
{
    return index < dataset->declaration->field_count ? &dataset->bindings[index].field : NULL;
}

const gm_tensor *gm_dataset_constant(const gm_dataset *dataset, const char *name)
{
    for (size_t i = 0; i < dataset->table.constant_count; i++)
        if (strcmp(dataset->table.constant_names[i], name) == 0)
            return dataset->table.constants[i];
    return NULL;
}

/* One row through the table of 256 values. */
static void convert_bytes(const binding *bound, const uint8_t *from, char *to)
{
    if (bound->field.type == GM_FLOAT) {
        const float *table = (const float *)(const void *)bound->table;
        float *out = (float *)(void *)to;
        for (size_t i = 0; i < bound->items; i++)
            out[i] = table[from[i]];
        return;
    }
    for (size_t i = 0; i < bound->items; i++)
        memcpy(to + i * bound->item_bytes, bound->table + from[i] * bound->item_bytes, bound->item_bytes);
}

static void convert_each(const binding *bound, const char *from, char *to)
{
    gm_tensor source = {
        .type = bound->column->type, .rank = 1, .dims = {(int64_t)bound->items}, .data = (void *)(uintptr_t)from};
    gm_tensor target = {.type = bound->field.type, .rank = 1, .dims = {(int64_t)bound->items}, .data = to};
    bool integers = !gm_type_find(source.type)->floating && !gm_type_find(target.type)->floating;
    for (int64_t i = 0; i < (int64_t)bound->items; i++) {
        if (integers)
            gm_set_int(&target, i, gm_get_int(&source, i));
        else
            gm_set(&target, i, gm_get(&source, i));
    }
}

void gm_dataset_gather(const gm_dataset *dataset, const int64_t *rows, size_t count, void *const *field_buffers)
{
    for (size_t f = 0; f < dataset->declaration->field_count; f++) {
        const binding *bound = &dataset->bindings[f];
        char *to = field_buffers[f];
        for (size_t i = 0; to != NULL && i < count; i++, to += bound->field.row_bytes) {
            const char *from =
                (const char *)bound->column->data + (size_t)(dataset->first + rows[i]) * bound->column_bytes;
            if (bound->conversion == CONVERT_COPY)
                memcpy(to, from, bound->field.row_bytes);
            else if (bound->conversion == CONVERT_TABLE)
                convert_bytes(bound, (const uint8_t *)from, to);
            else
                convert_each(bound, from, to);
        }
    }
}

gm_status gm_dataset_rows(const gm_dataset *dataset, const int64_t *rows, size_t count, void *const *field_buffers)
{
    for (size_t i = 0; i < count; i++)
        if (rows[i] < 0 || rows[i] >= dataset->rows)
            return gm_fail(dataset->context, GM_ERROR_ARGUMENT, "data '%s': row %lld, expected 0 to %lld",
                           gm_dataset_name(dataset), (long long)rows[i], (long long)dataset->rows - 1);
    gm_dataset_gather(dataset, rows, count, field_buffers);
    return GM_OK;
}
