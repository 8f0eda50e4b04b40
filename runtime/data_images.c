/* The source `images`: a folder of PNG files; sub-folders, in the order of their names, are labels 0, 1, ... */
#include "runtime/data_source.h"

#include <dirent.h>
#include <errno.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_SIDE = 1 << 20 };

typedef struct file_list {
    char **paths;
    int64_t *labels;
    size_t count, capacity, label_capacity;
} file_list;

typedef enum resize { RESIZE_NONE, RESIZE_NEAREST, RESIZE_BILINEAR } resize;

typedef struct pictures {
    gm_data_request *request;
    file_list files;
    const char **classes;
    size_t class_count, class_capacity;
    int channels;
    int64_t height, width; /* 0: as the first picture has them */
    resize how;
} pictures;

/* --- Files --- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_png(const char *name)
{
    size_t length = strlen(name);
    return length > 4 && (strcmp(name + length - 4, ".png") == 0 || strcmp(name + length - 4, ".PNG") == 0);
}

/* Names in a folder that are folders, or PNG files, sorted; hidden ones are left out. */
static gm_status list(gm_pool *pool, const char *folder, bool folders, char ***names_out, size_t *count_out)
{
    DIR *listing = opendir(folder);
    size_t capacity = 0;
    gm_status status = GM_OK;
    *names_out = NULL;
    *count_out = 0;
    if (!listing)
        return gm_fail(gm_pool_context(pool), GM_ERROR_FILE, "%s: cannot be read: %s", folder, strerror(errno));
    for (const struct dirent *entry = readdir(listing); entry && status == GM_OK; entry = readdir(listing)) {
        char *path = gm_pool_printf(pool, "%s/%s", folder, entry->d_name);
        struct stat about;
        if (!path || !gm_pool_grow(pool, (void **)names_out, &capacity, *count_out + 1, sizeof **names_out))
            status = GM_ERROR_MEMORY;
        else if (entry->d_name[0] != '.' && stat(path, &about) == 0 &&
                 (folders ? S_ISDIR(about.st_mode) : S_ISREG(about.st_mode) && is_png(entry->d_name)))
            (*names_out)[(*count_out)++] = path;
    }
    closedir(listing);
    if (status == GM_OK && *count_out)
        qsort(*names_out, *count_out, sizeof **names_out, by_name);
    return status;
}

static gm_status add_folder(pictures *p, const char *folder, int64_t label)
{
    gm_pool *pool = p->request->pool;
    file_list *files = &p->files;
    char **names;
    size_t count;
    GM_TRY(list(pool, folder, false, &names, &count));
    if (!gm_pool_grow(pool, (void **)&files->paths, &files->capacity, files->count + count, sizeof *files->paths) ||
        !gm_pool_grow(pool, (void **)&files->labels, &files->label_capacity, files->count + count,
                      sizeof *files->labels))
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < count; i++) {
        files->paths[files->count] = names[i];
        files->labels[files->count++] = label;
    }
    return GM_OK;
}

static gm_status add_class(pictures *p, const char *path)
{
    if (!gm_pool_grow(p->request->pool, (void **)&p->classes, &p->class_capacity, p->class_count + 1,
                      sizeof *p->classes))
        return GM_ERROR_MEMORY;
    p->classes[p->class_count++] = strrchr(path, '/') + 1;
    return GM_OK;
}

static gm_status find_files(pictures *p, const char *folder)
{
    char **folders;
    size_t count, alone;
    GM_TRY(add_folder(p, folder, 0));
    alone = p->files.count;
    GM_TRY(list(p->request->pool, folder, true, &folders, &count));
    for (size_t i = 0; i < count; i++) {
        size_t before = p->files.count;
        GM_TRY(add_folder(p, folders[i], (int64_t)p->class_count));
        if (p->files.count > before)
            GM_TRY(add_class(p, folders[i]));
    }
    if (!p->files.count)
        return gm_fail(p->request->context, GM_ERROR_DATA, "%s: no PNG files here or in its sub-folders", folder);
    if (alone && p->class_count)
        return gm_fail(p->request->context, GM_ERROR_DATA,
                       "%s: has PNG files beside sub-folders with PNG files: which label have they?", folder);
    return p->class_count ? GM_OK : add_class(p, folder);
}

/* --- Pictures --- */

/* Scales by the nearest pixel, or linearly between pixel centres; both without smoothing beforehand. */
static void scale(const uint8_t *from, int64_t h, int64_t w, const pictures *p, uint8_t *to)
{
    int64_t channels = p->channels;
    double sy = (double)h / (double)p->height, sx = (double)w / (double)p->width;
    for (int64_t y = 0; y < p->height; y++)
        for (int64_t x = 0; x < p->width; x++) {
            double fy = ((double)y + 0.5) * sy, fx = ((double)x + 0.5) * sx;
            for (int64_t c = 0; c < channels; c++) {
                uint8_t *at = &to[(c * p->height + y) * p->width + x];
                if (p->how == RESIZE_NEAREST) {
                    *at = from[((int64_t)fy * w + (int64_t)fx) * channels + c];
                    continue;
                }
                double by = fy - 0.5 < 0 ? 0 : fy - 0.5, bx = fx - 0.5 < 0 ? 0 : fx - 0.5;
                int64_t y0 = (int64_t)by, x0 = (int64_t)bx;
                int64_t y1 = y0 + 1 < h ? y0 + 1 : h - 1, x1 = x0 + 1 < w ? x0 + 1 : w - 1;
                double dy = by - (double)y0, dx = bx - (double)x0;
                double top = (1 - dx) * from[(y0 * w + x0) * channels + c] + dx * from[(y0 * w + x1) * channels + c];
                double low = (1 - dx) * from[(y1 * w + x0) * channels + c] + dx * from[(y1 * w + x1) * channels + c];
                *at = (uint8_t)((1 - dy) * top + dy * low + 0.5);
            }
        }
}

static void split_channels(const uint8_t *from, const pictures *p, uint8_t *to)
{
    int64_t pixels = p->height * p->width;
    for (int64_t i = 0; i < pixels; i++)
        for (int64_t c = 0; c < p->channels; c++)
            to[c * pixels + i] = from[i * p->channels + c];
}

static gm_status damaged(const pictures *p, const char *path, const png_image *image)
{
    return gm_fail(p->request->context, GM_ERROR_DATA, "%s: cannot be read as PNG: %s", path, image->message);
}

/* A picture in 8 bits, grey or RGB, what is transparent on black: [channels, height, width] into `to`. */
static gm_status read_picture(pictures *p, const char *path, png_image *image, uint8_t *to)
{
    gm_context *context = p->request->context;
    int64_t h = image->height, w = image->width;
    png_color black = {0, 0, 0};
    uint8_t *pixels;
    gm_status status = GM_OK;
    if ((h != p->height || w != p->width) && p->how == RESIZE_NONE)
        return gm_fail(context, GM_ERROR_DATA,
                       "%s: is %lld x %lld pixels, expected %lld x %lld (height x width); resize = \"bilinear\" would "
                       "scale it",
                       path, (long long)h, (long long)w, (long long)p->height, (long long)p->width);
    image->format = p->channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
    pixels = gm_alloc(context, PNG_IMAGE_SIZE(*image));
    if (!pixels)
        return GM_ERROR_MEMORY;
    if (!png_image_finish_read(image, &black, pixels, 0, NULL))
        status = damaged(p, path, image);
    else if (h == p->height && w == p->width)
        split_channels(pixels, p, to);
    else
        scale(pixels, h, w, p, to);
    gm_free(context, pixels);
    return status;
}

static gm_status read_row(pictures *p, size_t row, gm_column *column)
{
    const char *path = p->files.paths[row];
    png_image image = {.version = PNG_IMAGE_VERSION};
    gm_status status;
    if (!png_image_begin_read_from_file(&image, path))
        return damaged(p, path, &image);
    if (!column->data) {
        p->height = p->height ? p->height : (int64_t)image.height;
        p->width = p->width ? p->width : (int64_t)image.width;
        column->rank = 3;
        column->dims[0] = p->channels;
        column->dims[1] = p->height;
        column->dims[2] = p->width;
        column->data =
            gm_alloc_array(p->request->context, p->files.count, (size_t)(p->channels * p->height * p->width));
    }
    status = column->data ? read_picture(p, path, &image,
                                         (uint8_t *)column->data + row * (size_t)(p->channels * p->height * p->width))
                          : GM_ERROR_MEMORY;
    png_image_free(&image);
    return status;
}

/* --- The declaration --- */

/* What the field says: [1 or 3, height, width], [height, width] (grey), or one axis (grey, sizes as they come). */
static gm_status read_shape(pictures *p)
{
    const gm_data_declaration *declaration = p->request->declaration;
    p->channels = 1;
    for (size_t i = 0; i < declaration->field_count; i++) {
        const gm_data_field *field = &declaration->fields[i];
        if (strcmp(field->name, "image") != 0)
            continue;
        if (field->rank == 3 && field->dims[0] != 1 && field->dims[0] != 3)
            return gm_diagnose(p->request->context, field->where,
                               "data '%s': an image is [1, height, width] or [3, height, width], found %lld channels",
                               declaration->name, (long long)field->dims[0]);
        p->channels = field->rank == 3 ? (int)field->dims[0] : 1;
        for (int k = 0; k < field->rank; k++)
            if (field->dims[k] < 1 || field->dims[k] > MAX_SIDE)
                return gm_diagnose(p->request->context, field->where, "data '%s': an image has 1 to %d pixels a side",
                                   declaration->name, MAX_SIDE);
        if (field->rank >= 2 && field->rank <= 3) {
            p->height = field->dims[field->rank - 2];
            p->width = field->dims[field->rank - 1];
        }
    }
    return GM_OK;
}

static gm_status read_resize(pictures *p)
{
    static const char *const names[] = {"none", "nearest", "bilinear"};
    const char *name;
    GM_TRY(gm_data_string(p->request, "resize", "none", &name));
    for (size_t i = 0; i < GM_COUNT(names); i++)
        if (strcmp(names[i], name) == 0) {
            p->how = (resize)i;
            return GM_OK;
        }
    return gm_diagnose(p->request->context, p->request->declaration->where,
                       "data '%s': resize is \"%s\", expected \"none\", \"nearest\" or \"bilinear\"",
                       p->request->declaration->name, name);
}

static gm_status export_classes(const pictures *p, gm_table *table)
{
    static const char *const names[] = {"classes", "class"};
    gm_pool *pool = p->request->pool;
    gm_tensor *count = gm_tensor_create(pool, GM_INT64, 0, NULL), *words = gm_pool_alloc(pool, sizeof *words);
    table->constant_names = gm_pool_copy(pool, names, sizeof names);
    table->constants = gm_pool_array(pool, GM_COUNT(names), sizeof *table->constants);
    if (!count || !words || !table->constant_names || !table->constants)
        return GM_ERROR_MEMORY;
    *(int64_t *)count->data = (int64_t)p->class_count;
    *words = (gm_tensor){GM_STRING, 1, {(int64_t)p->class_count}, p->classes};
    table->constants[0] = count;
    table->constants[1] = words;
    table->constant_count = GM_COUNT(names);
    return GM_OK;
}

gm_status gm_open_images(gm_data_request *request, gm_table *table)
{
    pictures p = {.request = request};
    const char *directory, *path;
    GM_TRY(gm_data_string(request, "directory", NULL, &directory));
    GM_TRY(read_resize(&p));
    GM_TRY(read_shape(&p));
    GM_TRY(gm_data_find(request, directory, &path));
    GM_TRY(find_files(&p, path));
    GM_TRY(gm_table_columns(request, table, 2));
    table->rows = (int64_t)p.files.count;
    table->columns[0] = (gm_column){.name = "image", .type = GM_UINT8, .is_picture = true};
    table->columns[1] = (gm_column){.name = "label", .type = GM_INT64};
    table->columns[1].data = gm_alloc_array(request->context, p.files.count, sizeof(int64_t));
    if (!table->columns[1].data)
        return GM_ERROR_MEMORY;
    memcpy(table->columns[1].data, p.files.labels, p.files.count * sizeof(int64_t));
    for (size_t i = 0; i < p.files.count; i++)
        GM_TRY(read_row(&p, i, &table->columns[0]));
    return export_classes(&p, table);
}
