/* Generated point sets of the plane: ring, grid, moons, swiss_roll. Row i depends on the key and i alone: normal
 * numbers 2i, 2i + 1 of run 0 blur it, uniform number i of run 1 chooses its place. */
#include "runtime/data_source.h"

#include <math.h>
#include <string.h>

#include "ops/philox.h"

enum { MAX_ROWS = 1 << 28, BLUR = 0, PLACE = 1 };

/* What the four have in common: fields x : [2] and `second` (a mode's number, or the position on a curve). */
typedef struct points {
    uint64_t key;
    int64_t count;
    double blur;
    float *x;
    void *second;
} points;

static gm_status begin(const gm_data_request *request, gm_table *table, const char *second, gm_type second_type,
                       double default_count, const char *blur_name, double default_blur, points *out)
{
    double count, seed;
    GM_TRY(gm_data_number(request, "count", default_count, 1, MAX_ROWS, &count));
    GM_TRY(gm_data_number(request, blur_name, default_blur, 0, 1e6, &out->blur));
    GM_TRY(gm_data_number(request, "seed", -1, -1, 9e15, &seed));
    uint64_t own = seed >= 0 ? (uint64_t)seed : request->options->seed;
    char name[256] = "data/";
    strncat(name, request->declaration->name, sizeof name - 6);
    out->key = own ^ gm_hash64(name);
    out->count = table->rows = (int64_t)count;
    GM_TRY(gm_table_columns(request, table, 2));
    table->columns[0] = (gm_column){.name = "x", .type = GM_FLOAT, .rank = 1, .dims = {2}};
    table->columns[0].data = out->x = gm_alloc_array(request->context, (size_t)out->count, 2 * sizeof(float));
    table->columns[1] = (gm_column){.name = second, .type = second_type};
    table->columns[1].data = out->second =
        gm_alloc_array(request->context, (size_t)out->count, gm_type_bytes(second_type));
    return out->x != NULL && out->second != NULL ? GM_OK : GM_ERROR_MEMORY;
}

static void put(const points *points_in, int64_t i, double x, double y)
{
    points_in->x[2 * i] = (float)(x + points_in->blur * gm_normal_at(points_in->key, BLUR, 2 * (uint64_t)i));
    points_in->x[2 * i + 1] = (float)(y + points_in->blur * gm_normal_at(points_in->key, BLUR, 2 * (uint64_t)i + 1));
}

/* Rows around `modes` centres; exports centre : float[modes, 2] and width : float. */
static gm_status blobs(const gm_data_request *request, gm_table *table, const points *out, const double *centres,
                       int64_t modes)
{
    const int64_t shape[2] = {modes, 2};
    gm_tensor *centre = gm_tensor_create(request->pool, GM_FLOAT, 2, shape);
    gm_tensor *width = gm_tensor_create(request->pool, GM_FLOAT, 0, NULL);
    table->constant_names = gm_pool_array(request->pool, 2, sizeof *table->constant_names);
    table->constants = gm_pool_array(request->pool, 2, sizeof *table->constants);
    if (centre == NULL || width == NULL || table->constant_names == NULL || table->constants == NULL)
        return GM_ERROR_MEMORY;
    for (int64_t i = 0; i < 2 * modes; i++)
        gm_set(centre, i, centres[i]);
    gm_set(width, 0, out->blur);
    table->constant_names[0] = "centre";
    table->constants[0] = centre;
    table->constant_names[1] = "width";
    table->constants[1] = width;
    table->constant_count = 2;
    int threads = request->context->options.threads;
#pragma omp parallel for num_threads(threads) schedule(static) if (out->count > 16384)
    for (int64_t i = 0; i < out->count; i++) {
        int64_t mode = (int64_t)(gm_uniform_at(out->key, PLACE, (uint64_t)i) * (double)modes);
        put(out, i, centres[2 * mode], centres[2 * mode + 1]);
        ((int64_t *)out->second)[i] = mode;
    }
    return GM_OK;
}

/* `modes` normal blobs of deviation `width` on a circle (Metz et al., "Unrolled generative adversarial networks"). */
gm_status gm_open_ring(gm_data_request *request, gm_table *table)
{
    points out = {0};
    double modes, radius;
    GM_TRY(gm_data_number(request, "modes", 8, 1, 1e6, &modes));
    GM_TRY(gm_data_number(request, "radius", 2, 0, 1e6, &radius));
    GM_TRY(begin(request, table, "label", GM_INT64, 50000, "width", 0.02, &out));
    double *centres = gm_alloc_array(request->context, 2 * (size_t)modes, sizeof *centres);
    if (centres == NULL)
        return GM_ERROR_MEMORY;
    for (int64_t i = 0; i < (int64_t)modes; i++) {
        double angle = 2 * M_PI * (double)i / floor(modes);
        centres[2 * i] = radius * cos(angle);
        centres[2 * i + 1] = radius * sin(angle);
    }
    gm_status status = blobs(request, table, &out, centres, (int64_t)modes);
    gm_free(request->context, centres);
    return status;
}

/* side * side blobs, `spacing` apart, around the origin. */
gm_status gm_open_grid(gm_data_request *request, gm_table *table)
{
    points out = {0};
    double side, spacing;
    GM_TRY(gm_data_number(request, "side", 5, 1, 1000, &side));
    GM_TRY(gm_data_number(request, "spacing", 1, 0, 1e6, &spacing));
    GM_TRY(begin(request, table, "label", GM_INT64, 50000, "width", 0.05, &out));
    int64_t n = (int64_t)side, modes = n * n;
    double *centres = gm_alloc_array(request->context, 2 * (size_t)modes, sizeof *centres);
    if (centres == NULL)
        return GM_ERROR_MEMORY;
    for (int64_t i = 0; i < modes; i++) {
        centres[2 * i] = spacing * ((double)(i % n) - (double)(n - 1) / 2);
        centres[2 * i + 1] = spacing * ((double)(i / n) - (double)(n - 1) / 2);
    }
    gm_status status = blobs(request, table, &out, centres, modes);
    gm_free(request->context, centres);
    return status;
}

/* Two half circles that reach into each other; label 0 is the upper one. */
gm_status gm_open_moons(gm_data_request *request, gm_table *table)
{
    points out = {0};
    GM_TRY(begin(request, table, "label", GM_INT64, 20000, "noise", 0.05, &out));
    int threads = request->context->options.threads;
#pragma omp parallel for num_threads(threads) schedule(static) if (out.count > 16384)
    for (int64_t i = 0; i < out.count; i++) {
        double u = 2 * gm_uniform_at(out.key, PLACE, (uint64_t)i), angle = M_PI * (u < 1 ? u : u - 1);
        bool upper = u < 1;
        put(&out, i, upper ? cos(angle) : 1 - cos(angle), upper ? sin(angle) : 0.5 - sin(angle));
        ((int64_t *)out.second)[i] = upper ? 0 : 1;
    }
    return GM_OK;
}

/* A spiral of 1.5 to 4.5 pi, scaled to about [-2, 2]; position : the place along it, 0 to 1. */
gm_status gm_open_swiss_roll(gm_data_request *request, gm_table *table)
{
    points out = {0};
    GM_TRY(begin(request, table, "position", GM_FLOAT, 50000, "noise", 0.03, &out));
    int threads = request->context->options.threads;
#pragma omp parallel for num_threads(threads) schedule(static) if (out.count > 16384)
    for (int64_t i = 0; i < out.count; i++) {
        double u = gm_uniform_at(out.key, PLACE, (uint64_t)i), angle = 1.5 * M_PI * (1 + 2 * u);
        put(&out, i, angle * cos(angle) / 7.5, angle * sin(angle) / 7.5);
        ((float *)out.second)[i] = (float)u;
    }
    return GM_OK;
}
