/* Pictures as PNG files: grids of pictures and scatter plots of points. */
#include "runtime/png.h"

#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <string.h>

#include "runtime/file.h"
#include "runtime/font.h"

enum { GAP = 2, GAP_GRAY = 96, MAX_SIDE = 32768, SCATTER_SIDE = 512, SCATTER_MARGIN = 36 };

/* A value that is not a number, so that nobody takes it for black. */
static const uint8_t nan_colour[3] = {255, 0, 255};

/* --- Encoding --------------------------------------------------------------------------------------------------------
 */

/* All that the encoder needs, in one place that longjmp leaves alone. */
typedef struct png_encoder {
    gm_context *context;
    const char *path;
    gm_file *file;
    png_structp png;
    png_infop info;
    gm_status status;
} png_encoder;

static void on_error(png_structp png, png_const_charp text)
{
    png_encoder *encoder = png_get_error_ptr(png);
    if (encoder->status == GM_OK)
        encoder->status =
            gm_fail(encoder->context, GM_ERROR_FILE, "%s: cannot encode the PNG: %s", encoder->path, text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static png_voidp on_allocate(png_structp png, png_alloc_size_t bytes)
{
    png_encoder *encoder = png_get_mem_ptr(png);
    void *memory = gm_alloc(encoder->context, bytes);
    if (memory == NULL)
        encoder->status = GM_ERROR_MEMORY;
    return memory;
}

static void on_free(png_structp png, png_voidp memory)
{
    png_encoder *encoder = png_get_mem_ptr(png);
    gm_free(encoder->context, memory);
}

static void on_write(png_structp png, png_bytep data, size_t bytes)
{
    png_encoder *encoder = png_get_io_ptr(png);
    encoder->status = gm_file_write(encoder->file, data, bytes);
    if (encoder->status != GM_OK)
        png_longjmp(png, 1);
}

static void on_flush(png_structp png)
{
    (void)png;
}

static gm_status encode(png_encoder *encoder, const uint8_t *pixels, int64_t width, int64_t height, int channels)
{
    encoder->png =
        png_create_write_struct_2(PNG_LIBPNG_VER_STRING, encoder, on_error, on_warning, encoder, on_allocate, on_free);
    if (encoder->png == NULL)
        return encoder->status != GM_OK ? encoder->status : gm_fail_memory(encoder->context);
    if (setjmp(png_jmpbuf(encoder->png)) != 0)
        return encoder->status != GM_OK ? encoder->status : GM_ERROR_INTERNAL;
    encoder->info = png_create_info_struct(encoder->png);
    if (encoder->info == NULL)
        return encoder->status != GM_OK ? encoder->status : gm_fail_memory(encoder->context);
    png_set_write_fn(encoder->png, encoder, on_write, on_flush);
    png_set_IHDR(encoder->png, encoder->info, (png_uint_32)width, (png_uint_32)height, 8,
                 channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(encoder->png, encoder->info);
    for (int64_t y = 0; y < height; y++)
        png_write_row(encoder->png, (png_const_bytep)pixels + y * width * channels);
    png_write_end(encoder->png, encoder->info);
    return GM_OK;
}

gm_status gm_write_pixels(gm_context *context, const char *path, const uint8_t *pixels, int64_t width, int64_t height,
                          int channels)
{
    png_encoder encoder = {.context = context, .path = path};
    GM_TRY(gm_file_create(context, path, &encoder.file));
    gm_status status = encode(&encoder, pixels, width, height, channels);
    if (encoder.png != NULL)
        png_destroy_write_struct(&encoder.png, &encoder.info);
    if (status != GM_OK) {
        gm_file_abandon(encoder.file);
        return status;
    }
    return gm_file_commit(encoder.file);
}

/* --- Grids of pictures -----------------------------------------------------------------------------------------------
 */

typedef struct picture_grid {
    gm_tensor values;
    int64_t count, height, width, columns, rows;
    int channels; /* of the pictures: 1 or 3 */
    double low, high;
} picture_grid;

static int64_t square_root(int64_t value)
{
    int64_t root = (int64_t)sqrt((double)value);
    while (root > 0 && root > value / root)
        root--;
    while ((root + 1) <= value / (root + 1))
        root++;
    return root;
}

/* Which of the accepted shapes the view has; false: none. */
static bool take_shape(const gm_tensor_view *view, picture_grid *pictures)
{
    const int64_t *dims = view->dims;
    pictures->channels = 1;
    if (view->rank == 4 && (dims[1] == 1 || dims[1] == 3)) {
        pictures->channels = (int)dims[1];
        pictures->height = dims[2];
        pictures->width = dims[3];
    } else if (view->rank == 3) {
        pictures->height = dims[1];
        pictures->width = dims[2];
    } else if (view->rank == 2 && dims[1] > 0) {
        pictures->height = pictures->width = square_root(dims[1]);
        if (pictures->height * pictures->width != dims[1])
            return false;
    } else {
        return false;
    }
    pictures->count = dims[0];
    return pictures->count > 0 && pictures->height > 0 && pictures->width > 0 &&
           pictures->count <= MAX_SIDE * MAX_SIDE && pictures->height <= MAX_SIDE && pictures->width <= MAX_SIDE;
}

static gm_status describe(gm_context *context, const char *path, const gm_tensor_view *view, int64_t columns,
                          picture_grid *pictures)
{
    if (view->rank < 0 || view->rank > GM_MAX_RANK || view->data == NULL || gm_type_bytes(view->type) == 0)
        return gm_fail(context, GM_ERROR_ARGUMENT, "%s: the pictures have no data of a number type", path);
    if (!take_shape(view, pictures)) {
        char shape[200] = "";
        for (int i = 0, used = 0; i < view->rank; i++)
            used += snprintf(shape + used, sizeof shape - (size_t)used, "%s%lld", i > 0 ? ", " : "",
                             (long long)view->dims[i]);
        return gm_fail(context, GM_ERROR_ARGUMENT,
                       "%s: expected pictures [n, 1, h, w], [n, 3, h, w], [n, h, w] or [n, side * side], found [%s]",
                       path, shape);
    }
    pictures->values = (gm_tensor){.type = view->type, .rank = view->rank, .data = view->data};
    memcpy(pictures->values.dims, view->dims, sizeof view->dims);
    int64_t near_square = square_root(pictures->count);
    near_square += near_square * near_square < pictures->count;
    pictures->columns = columns > 0 ? columns : near_square;
    pictures->columns = pictures->columns < pictures->count ? pictures->columns : pictures->count;
    pictures->rows = (pictures->count + pictures->columns - 1) / pictures->columns;
    int64_t width = pictures->columns * (pictures->width + GAP), height = pictures->rows * (pictures->height + GAP);
    if (width > MAX_SIDE || height > MAX_SIDE)
        return gm_fail(context, GM_ERROR_ARGUMENT, "%s: %lld pictures make a grid of %lld x %lld pixels, at most %d",
                       path, (long long)pictures->count, (long long)width, (long long)height, MAX_SIDE);
    return GM_OK;
}

/* Draws picture `index` with its top left corner at `to`; pixel rows are `stride` bytes apart. */
static void draw_picture(const picture_grid *pictures, int64_t index, uint8_t *to, int64_t stride, int channels)
{
    int64_t area = pictures->height * pictures->width, first = index * area * pictures->channels;
    double scale = pictures->high > pictures->low ? 255 / (pictures->high - pictures->low) : 0;
    for (int64_t y = 0; y < pictures->height; y++)
        for (int64_t x = 0; x < pictures->width; x++) {
            uint8_t *pixel = to + y * stride + x * channels;
            bool not_a_number = false;
            for (int c = 0; c < channels; c++) {
                int64_t plane = c < pictures->channels ? c : 0;
                double value = gm_get(&pictures->values, first + plane * area + y * pictures->width + x);
                double level = (value - pictures->low) * scale + 0.5;
                not_a_number |= isnan(value);
                pixel[c] = (uint8_t)(level >= 255 ? 255 : level > 0 ? level : 0);
            }
            if (not_a_number)
                memcpy(pixel, nan_colour, (size_t)channels);
        }
}

static bool has_nan(const gm_tensor *values)
{
    const gm_type_info *type = gm_type_find(values->type);
    int64_t count = gm_tensor_count(values);
    for (int64_t i = 0; type->floating && i < count; i++)
        if (isnan(gm_get(values, i)))
            return true;
    return false;
}

static gm_status write_enlarged(gm_context *context, const char *path, const uint8_t *pixels, int64_t width,
                                int64_t height, int channels, int64_t factor)
{
    uint8_t *large = gm_alloc_array(context, (size_t)(width * height * factor), (size_t)(factor * channels));
    gm_status status;
    if (large == NULL)
        return GM_ERROR_MEMORY;
    for (int64_t y = 0; y < height * factor; y++)
        for (int64_t x = 0; x < width * factor; x++)
            memcpy(large + (y * width * factor + x) * channels, pixels + (y / factor * width + x / factor) * channels,
                   (size_t)channels);
    status = gm_write_pixels(context, path, large, width * factor, height * factor, channels);
    gm_free(context, large);
    return status;
}

gm_status gm_write_png_grid(gm_context *context, const char *path, const gm_tensor_view *view, double low, double high,
                            int64_t columns, int64_t least_width)
{
    if (context == NULL)
        return GM_ERROR_ARGUMENT;
    if (path == NULL || view == NULL || !(low < high))
        return gm_fail(context, GM_ERROR_ARGUMENT,
                       "gm_write_png: expected a path, a view and low < high, found %g and %g", low, high);
    picture_grid pictures = {.low = low, .high = high};
    GM_TRY(describe(context, path, view, columns, &pictures));
    int channels = pictures.channels == 3 || has_nan(&pictures.values) ? 3 : 1;
    int64_t width = pictures.columns * (pictures.width + GAP) - GAP;
    int64_t height = pictures.rows * (pictures.height + GAP) - GAP;
    uint8_t *pixels = gm_alloc_array(context, (size_t)(width * height), (size_t)channels);
    if (pixels == NULL)
        return GM_ERROR_MEMORY;
    memset(pixels, GAP_GRAY, (size_t)(width * height * channels));
    for (int64_t i = 0; i < pictures.count; i++) {
        int64_t x = i % pictures.columns * (pictures.width + GAP), y = i / pictures.columns * (pictures.height + GAP);
        draw_picture(&pictures, i, pixels + (y * width + x) * channels, width * channels, channels);
    }
    int64_t factor = (least_width + width - 1) / width;
    gm_status status = factor > 1 ? write_enlarged(context, path, pixels, width, height, channels, factor)
                                  : gm_write_pixels(context, path, pixels, width, height, channels);
    gm_free(context, pixels);
    return status;
}

gm_status gm_write_png(gm_context *context, const char *path, const gm_tensor_view *view, double low, double high)
{
    return gm_write_png_grid(context, path, view, low, high, 0, 0);
}

/* --- Scatter plots ---------------------------------------------------------------------------------------------------
 */

typedef struct scatter_plot {
    float *paper;                    /* [SCATTER_SIDE, SCATTER_SIDE, 3] in [0, 1] */
    double centre_x, centre_y, half; /* the square of the plane that the frame shows */
    double tick;
} scatter_plot;

static void blend(const scatter_plot *plot, int64_t x, int64_t y, const float colour[3], double weight)
{
    if (x < 0 || y < 0 || x >= SCATTER_SIDE || y >= SCATTER_SIDE)
        return;
    float *pixel = plot->paper + (y * SCATTER_SIDE + x) * 3;
    for (int c = 0; c < 3; c++)
        pixel[c] += (float)weight * (colour[c] - pixel[c]);
}

/* The plane to pixels; y points up. */
static double to_x(const scatter_plot *plot, double x)
{
    return SCATTER_SIDE / 2.0 + (x - plot->centre_x) / plot->half * (SCATTER_SIDE / 2.0 - SCATTER_MARGIN);
}

static double to_y(const scatter_plot *plot, double y)
{
    return SCATTER_SIDE / 2.0 - (y - plot->centre_y) / plot->half * (SCATTER_SIDE / 2.0 - SCATTER_MARGIN);
}

/* A step between ticks of 1, 2 or 5 times a power of ten, some five on either side. */
static double tick_of(double half)
{
    double power = pow(10, floor(log10(half))), share = half / power;
    return share >= 5 ? power * 2 : share >= 2 ? power : power / 2;
}

/* The square with these corners; `half` is its half side, rounded up to 1, 1.5, 2, 3, 5 or 7 times a power of ten. */
static void set_range(scatter_plot *plot, const double low[2], const double high[2], double half)
{
    static const double steps[] = {1, 1.5, 2, 3, 5, 7, 10};
    half = half > 1e-30 && half < 1e300 ? half : 1;
    double power = pow(10, floor(log10(half)));
    size_t step = 0;
    while (step + 1 < GM_COUNT(steps) && steps[step] * power < half)
        step++;
    plot->half = steps[step] * power;
    plot->tick = tick_of(plot->half);
    plot->centre_x = low[0] / 2 + high[0] / 2;
    plot->centre_y = low[1] / 2 + high[1] / 2;
}

/* The square around all finite points. */
static void choose_range(scatter_plot *plot, const gm_tensor *points)
{
    double low[2] = {0, 0}, high[2] = {0, 0};
    bool any = false;
    for (int64_t i = 0; i < points->dims[0]; i++) {
        double p[2] = {gm_get(points, 2 * i), gm_get(points, 2 * i + 1)};
        if (!isfinite(p[0]) || !isfinite(p[1]))
            continue;
        for (int k = 0; k < 2; k++) {
            low[k] = any && low[k] < p[k] ? low[k] : p[k];
            high[k] = any && high[k] > p[k] ? high[k] : p[k];
        }
        any = true;
    }
    set_range(plot, low, high, fmax(high[0] / 2 - low[0] / 2, high[1] / 2 - low[1] / 2) * 1.02);
}
static void draw_number(const scatter_plot *plot, int64_t x, int64_t y, double number, bool centred)
{
    static const float ink[3] = {0.2F, 0.2F, 0.2F};
    char text[32];
    int64_t width = 0;
    snprintf(text, sizeof text, "%.4g", fabs(number) < plot->tick / 100 ? 0.0 : number);
    for (const char *at = text; *at; at++)
        width += gm_glyph_width(gm_glyph(*at)) + 1;
    x -= centred ? width / 2 : width;
    for (const char *at = text; *at; at++) {
        const char *glyph = gm_glyph(*at);
        int64_t columns = gm_glyph_width(glyph);
        for (int64_t i = 0; glyph && i < GM_GLYPH_ROWS * columns; i++)
            if (glyph[i / columns * (columns + 1) + i % columns] == '#')
                blend(plot, x + i % columns, y + i / columns, ink, 1);
        x += columns + 1;
    }
}

/* Frame, ticks and numbers at round places, thin lines through 0. */
static void draw_axes(const scatter_plot *plot)
{
    static const float frame[3] = {0.35F, 0.35F, 0.35F}, zero[3] = {0.8F, 0.8F, 0.8F};
    int64_t low = SCATTER_MARGIN, high = SCATTER_SIDE - SCATTER_MARGIN;
    int64_t zero_x = (int64_t)fmin(fmax(to_x(plot, 0), -1), SCATTER_SIDE);
    int64_t zero_y = (int64_t)fmin(fmax(to_y(plot, 0), -1), SCATTER_SIDE);
    for (int64_t i = low; i <= high; i++) {
        if (zero_x > low && zero_x < high)
            blend(plot, zero_x, i, zero, 1);
        if (zero_y > low && zero_y < high)
            blend(plot, i, zero_y, zero, 1);
    }
    for (int64_t i = low; i <= high; i++) {
        blend(plot, i, low, frame, 1);
        blend(plot, i, high, frame, 1);
        blend(plot, low, i, frame, 1);
        blend(plot, high, i, frame, 1);
    }
    double first_x = ceil((plot->centre_x - plot->half) / plot->tick),
           first_y = ceil((plot->centre_y - plot->half) / plot->tick);
    for (int k = 0; k < 16; k++) {
        double x = to_x(plot, (first_x + k) * plot->tick), y = to_y(plot, (first_y + k) * plot->tick);
        for (int64_t i = 1; i <= 5; i++) {
            if (x <= (double)high)
                blend(plot, (int64_t)x, high + i, frame, 1);
            if (y >= (double)low)
                blend(plot, low - i, (int64_t)y, frame, 1);
        }
        if (x <= (double)high)
            draw_number(plot, (int64_t)x, high + 9, (first_x + k) * plot->tick, true);
        if (y >= (double)low)
            draw_number(plot, low - 8, (int64_t)y - GM_GLYPH_ROWS / 2, (first_y + k) * plot->tick, false);
    }
}

/* A round dot with soft edge; many points get small, pale dots. */
static void draw_dot(const scatter_plot *plot, double x, double y, double radius, double weight)
{
    static const float ink[3] = {0.05F, 0.25F, 0.65F};
    for (int64_t j = (int64_t)floor(y - radius - 1); j <= (int64_t)ceil(y + radius + 1); j++)
        for (int64_t i = (int64_t)floor(x - radius - 1); i <= (int64_t)ceil(x + radius + 1); i++) {
            double distance = hypot((double)i + 0.5 - x, (double)j + 0.5 - y);
            double cover = fmin(fmax(radius + 0.5 - distance, 0), 1);
            blend(plot, i, j, ink, cover * weight);
        }
}

static void draw_points(const scatter_plot *plot, const gm_tensor *points)
{
    int64_t count = points->dims[0];
    double radius = count > 5000   ? 1.0
                    : count > 1000 ? 1.5
                                   : 2.5,
           weight = count > 5000   ? 0.35
                    : count > 1000 ? 0.5
                                   : 0.75;
    for (int64_t i = 0; i < count; i++) {
        double x = gm_get(points, 2 * i), y = gm_get(points, 2 * i + 1);
        if (fabs(x - plot->centre_x) <= plot->half && fabs(y - plot->centre_y) <= plot->half)
            draw_dot(plot, to_x(plot, x), to_y(plot, y), radius, weight);
    }
}

gm_status gm_write_scatter(gm_context *context, const char *path, const gm_tensor_view *points, double low, double high)
{
    if (context == NULL)
        return GM_ERROR_ARGUMENT;
    if (path == NULL || points == NULL || points->rank != 2 || points->dims[1] != 2 || points->dims[0] < 0 ||
        gm_type_bytes(points->type) == 0 || (points->data == NULL && points->dims[0] > 0))
        return gm_fail(context, GM_ERROR_ARGUMENT, "%s: a scatter plot needs points [n, 2] of numbers",
                       path != NULL ? path : "gm_write_scatter");
    gm_tensor values = {.type = points->type, .rank = 2, .dims = {points->dims[0], 2}, .data = points->data};
    const size_t items = (size_t)SCATTER_SIDE * SCATTER_SIDE * 3;
    scatter_plot plot = {.paper = gm_alloc_array(context, items, sizeof(float))};
    uint8_t *pixels = plot.paper != NULL ? gm_alloc(context, items) : NULL;
    gm_status status = pixels != NULL ? GM_OK : GM_ERROR_MEMORY;
    if (status == GM_OK) {
        for (size_t i = 0; i < items; i++)
            plot.paper[i] = 1;
        if (low < high)
            plot = (scatter_plot){plot.paper, low / 2 + high / 2, low / 2 + high / 2, high / 2 - low / 2,
                                  tick_of(high / 2 - low / 2)};
        else
            choose_range(&plot, &values);
        draw_axes(&plot);
        draw_points(&plot, &values);
        for (size_t i = 0; i < items; i++)
            pixels[i] = (uint8_t)(plot.paper[i] * 255 + 0.5F);
        status = gm_write_pixels(context, path, pixels, SCATTER_SIDE, SCATTER_SIDE, 3);
    }
    gm_free(context, pixels);
    gm_free(context, plot.paper);
    return status;
}
