/* AffineGrid, GridSample and gmodel.GridSampleGrad: images read at points, each point a product of one interpolation per
 * axis. Jaderberg et al., Spatial Transformer Networks. */
#include "ops/axes.h"

#include <math.h>
#include <string.h>

/* --- AffineGrid ------------------------------------------------------------------------------------------------------- */

/* size: (n, channels, spatial...), of which the spatial ones must be numbers */
static gm_status read_size(gm_graph *graph, gm_node *node, gm_dim *size, int *spatial)
{
    gm_value theta = *gm_value_of(graph, node->inputs[0]);
    char text[160];
    size_t count;
    *spatial = theta.rank == 3 && theta.dims[1] == 3 ? 3 : 2;
    if (theta.rank != 3 || theta.dims[1] != *spatial || theta.dims[2] != *spatial + 1)
        return gm_node_fail(graph, node, "theta must be [n, 2, 3] or [n, 3, 4], found %s",
                            gm_shape_text(graph, node->inputs[0], text, sizeof text));
    if (!gm_shape_elements(graph, node->inputs[1], GM_MAX_RANK, size, &count))
        return gm_node_fail(graph, node, "the size must be known at load");
    if (count != (size_t)*spatial + 2)
        return gm_node_fail(graph, node, "theta %s needs a size of %d numbers, found %zu",
                            gm_shape_text(graph, node->inputs[0], text, sizeof text), *spatial + 2, count);
    for (int i = 2; i < *spatial + 2; i++)
        if (!gm_dim_is_known(size[i]))
            return gm_node_fail(graph, node, "the spatial sizes must be known numbers");
    if (gm_dim_is_known(size[0]) && gm_dim_is_known(theta.dims[0]) && size[0] != theta.dims[0])
        return gm_node_fail(graph, node, "the size is of %lld images, theta of %lld", (long long)size[0],
                            (long long)theta.dims[0]);
    return GM_OK;
}

/* https://onnx.ai/onnx/operators/onnx__AffineGrid.html: theta[n, d, d + 1], size (n, channels, s1..sd) -> [n, s1..sd, d],
 * theta applied to each point of the image, from -1 to 1 along each axis. */
static gm_status infer_affine_grid(gm_graph *graph, gm_node *node)
{
    gm_value theta = *gm_value_of(graph, node->inputs[0]);
    gm_dim size[GM_MAX_RANK], dims[GM_MAX_RANK] = {theta.dims[0]};
    int spatial;
    GM_TRY(read_size(graph, node, size, &spatial));
    memcpy(dims + 1, size + 2, (size_t)spatial * sizeof dims[0]);
    dims[spatial + 1] = spatial;
    gm_set_output(graph, node, 0, theta.type, spatial + 2, dims);
    return graph->status;
}

/* Position i of n, in [-1, 1]: of the corner pixels' centres or of their edges. */
static double place_of(int64_t i, int64_t n, bool corners)
{
    if (corners)
        return n > 1 ? 2.0 * (double)i / (double)(n - 1) - 1.0 : 0.0;
    return (2.0 * (double)i + 1.0) / (double)n - 1.0;
}

/* [d + 1, points]: the points (x, y.., 1) of the image, the last axis first */
static gm_value_id image_points(gm_graph *graph, const gm_node *node, const gm_dim *sizes, int spatial)
{
    bool corners = gm_node_int(node, "align_corners", 0) != 0;
    int64_t dims[2] = {spatial + 1, 1};
    gm_tensor *points;
    for (int k = 0; k < spatial; k++)
        if (__builtin_mul_overflow(dims[1], sizes[k], &dims[1])) {
            gm_node_fail(graph, node, "the size is too large");
            return 0;
        }
    points = gm_tensor_create(graph->pool, gm_value_of(graph, node->inputs[0])->type, 2, dims);
    if (!points) {
        graph->status = GM_ERROR_MEMORY;
        return 0;
    }
    for (int64_t i = 0; i < dims[1]; i++) {
        int64_t rest = i;
        for (int k = spatial; k-- > 0; rest /= sizes[k])
            gm_set(points, (spatial - 1 - k) * dims[1] + i, place_of(rest % sizes[k], sizes[k], corners));
        gm_set(points, spatial * dims[1] + i, 1.0);
    }
    return gm_graph_constant(graph, points);
}

static gm_status expand_affine_grid(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_axis_size axes[GM_MAX_RANK];
    gm_dim size[GM_MAX_RANK];
    gm_node copy = *node;
    gm_value_id theta = node->inputs[0], grid;
    int spatial;
    GM_TRY(read_size(graph, &copy, size, &spatial));
    grid = gm_emit2(graph, "MatMul", theta, image_points(graph, node, size + 2, spatial));
    grid = gm_emit1_with(graph, "Transpose", grid, gm_attribute_ints("perm", (int64_t[]){0, 2, 1}, 3));
    axes[0] = (gm_axis_size){gm_value_of(graph, theta)->dims[0], theta, 0};
    for (int k = 0; k < spatial; k++)
        axes[k + 1] = (gm_axis_size){size[k + 2], 0, 0};
    axes[spatial + 1] = (gm_axis_size){spatial, 0, 0};
    outputs[0] = gm_reshape_to(graph, grid, spatial + 2, axes);
    return graph->status;
}

static const gm_attribute_schema affine_attributes[] = {{"align_corners", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0}};
const gm_operator gm_op_affine_grid = {.domain = "",
                                       .name = "AffineGrid",
                                       .since = 20,
                                       .inputs = "theta size",
                                       .outputs = "grid",
                                       .types = GM_TYPES_FLOATING,
                                       .attributes = affine_attributes,
                                       .attribute_count = GM_COUNT(affine_attributes),
                                       .infer = infer_affine_grid,
                                       .expand = expand_affine_grid};

/* --- GridSample: one axis --------------------------------------------------------------------------------------------- */

#define MAX_SPATIAL (GM_MAX_RANK - 2)
#define MAX_TAPS    4

enum { LINEAR, NEAREST, CUBIC };
enum { ZEROS, BORDER, REFLECTION };
static const char *const modes[] = {"linear", "nearest", "cubic", NULL};
static const char *const paddings[] = {"zeros", "border", "reflection", NULL};

/* What a point reads along one axis: pixels (-1: a zero outside), what each counts, and how that changes with the grid. */
typedef struct taps {
    int count;
    int64_t at[MAX_TAPS];
    double weight[MAX_TAPS], slope[MAX_TAPS];
} taps;

typedef struct sampling {
    int mode, padding, spatial;
    bool corners;
    int64_t size[MAX_SPATIAL];
} sampling;

static int choice(const gm_node *node, const char *attribute, const char *const *names)
{
    const char *given = gm_node_string(node, attribute, names[0]);
    for (int i = 0; names[i]; i++)
        if (strcmp(given, names[i]) == 0)
            return i;
    return -1;
}

/* x folded back between low and high; *sign turns with each fold. */
static double reflect(double x, double low, double high, double *sign)
{
    double range = high - low, beyond = x < low ? low - x : x - high, folds, rest;
    if (x >= low && x <= high)
        return x;
    if (!(range > 0.0)) {
        *sign = 0.0;
        return low;
    }
    folds = floor(beyond / range);
    rest = beyond - folds * range;
    *sign = fmod(folds, 2.0) == 0.0 ? -1.0 : 1.0;
    return (x < low) == (*sign < 0.0) ? low + rest : high - rest;
}

/* The pixel that stands at index i of n; -1: none. */
static int64_t pixel_at(const sampling *s, double i, int64_t n)
{
    double sign = 1.0;
    if (i < 0.0 || i > (double)(n - 1)) {
        if (s->padding == ZEROS || n == 0)
            return -1;
        if (s->padding == REFLECTION)
            i = s->corners ? reflect(i, 0.0, (double)(n - 1), &sign) : reflect(i, -0.5, (double)n - 0.5, &sign);
        i = fmin(fmax(i, 0.0), (double)(n - 1));
    }
    return (int64_t)i;
}

/* Cubic convolution with a = -0.75 (Keys, Cubic Convolution Interpolation for Digital Image Processing): what a pixel at
 * distance d in [0, 2] counts, and the derivative of that. */
static void cubic_weight(double d, double *weight, double *slope)
{
    const double a = -0.75;
    *weight = d <= 1.0 ? ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0 : ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a;
    *slope = d <= 1.0 ? (3.0 * (a + 2.0) * d - 2.0 * (a + 3.0)) * d : (3.0 * a * d - 10.0 * a) * d + 8.0 * a;
}

/* x in pixels, and how it moves with the grid's number g. */
static double pixels_of(const sampling *s, int64_t n, double g, double *slope)
{
    double low = s->corners ? 0.0 : -0.5, high = s->corners ? (double)(n - 1) : (double)n - 0.5, sign = 1.0, x;
    *slope = (high - low) / 2.0;
    x = s->corners ? (g + 1.0) / 2.0 * (double)(n - 1) : ((g + 1.0) * (double)n - 1.0) / 2.0;
    if (s->mode == NEAREST)
        x = rint(x);
    if (x >= low && x <= high)
        return x;
    if (s->padding == BORDER) { /* four taps see the inside from as far as two pixels */
        double reach = s->mode == CUBIC ? 3.0 : 0.0, clamped = fmin(fmax(x, -reach), (double)(n - 1) + reach);
        *slope = clamped == x ? *slope : 0.0;
        return clamped;
    }
    if (s->padding == REFLECTION)
        x = reflect(x, low, high, &sign);
    *slope *= sign;
    return x;
}

/* Along an axis of n pixels, at g. A g that is not a number gives one; an infinite one is outside (or at the border). */
static void find_taps(const sampling *s, int64_t n, double g, taps *out)
{
    double slope, x = pixels_of(s, n, g, &slope), first = floor(x);
    *out = (taps){.count = 1, .at = {n > 0 ? 0 : -1}, .weight = {NAN}};
    if (isnan(g) || isnan(x))
        return;
    *out = (taps){.count = 1, .at = {-1}};
    if (!(x > -4.0 && x < (double)n + 4.0))
        return;
    if (s->mode == NEAREST) {
        *out = (taps){.count = 1, .at = {pixel_at(s, x, n)}, .weight = {1.0}};
        return;
    }
    out->count = s->mode == LINEAR ? 2 : 4;
    first -= s->mode == LINEAR ? 0.0 : 1.0;
    for (int k = 0; k < out->count; k++) {
        double from = x - (first + k), sign = from < 0.0 ? -1.0 : 1.0; /* how far the point is behind the pixel */
        out->at[k] = pixel_at(s, first + k, n);
        if (s->mode == LINEAR) {
            out->weight[k] = 1.0 - fabs(from);
            out->slope[k] = k == 0 ? -slope : slope;
        } else {
            cubic_weight(fabs(from), &out->weight[k], &out->slope[k]);
            out->slope[k] *= sign * slope;
        }
    }
}

/* --- GridSample: all axes --------------------------------------------------------------------------------------------- */

/* One pixel that a point reads: its index in the plane, what it counts, and how that changes with each axis. */
typedef struct reading {
    int64_t at;
    double weight, slope[MAX_SPATIAL];
} reading;

static sampling sampling_of(const gm_compute *compute)
{
    const gm_tensor *x = &compute->in[0];
    sampling s = {.mode = choice(compute->node, "mode", modes),
                  .padding = choice(compute->node, "padding_mode", paddings),
                  .spatial = x->rank - 2,
                  .corners = gm_node_int(compute->node, "align_corners", 0) != 0};
    memcpy(s.size, x->dims + 2, (size_t)s.spatial * sizeof s.size[0]);
    return s;
}

/* The taps of point p of the grid, whose last axis counts the axes of the image backwards. */
static int64_t taps_of_point(const sampling *s, const gm_tensor *grid, int64_t p, taps *axes)
{
    int64_t readings = 1;
    for (int k = 0; k < s->spatial; k++) {
        find_taps(s, s->size[k], gm_get(grid, p * s->spatial + s->spatial - 1 - k), &axes[k]);
        readings *= axes[k].count;
    }
    return readings;
}

/* Combination i of the taps; false: it lies outside. */
static bool read_taps(const sampling *s, const taps *axes, int64_t i, reading *out)
{
    int tap[MAX_SPATIAL];
    out->at = 0;
    out->weight = 1.0;
    for (int k = s->spatial; k-- > 0; i /= axes[k].count)
        tap[k] = (int)(i % axes[k].count);
    for (int k = 0; k < s->spatial; k++) {
        if (axes[k].at[tap[k]] < 0)
            return false;
        out->at = out->at * s->size[k] + axes[k].at[tap[k]];
        out->weight *= axes[k].weight[tap[k]];
        out->slope[k] = axes[k].slope[tap[k]];
        for (int j = 0; j < s->spatial; j++)
            out->slope[k] *= j == k ? 1.0 : axes[j].weight[tap[j]];
    }
    return true;
}

static gm_status check_sampling(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]), grid = *gm_value_of(graph, node->inputs[1]);
    char a[160], b[160];
    if (choice(node, "mode", modes) < 0)
        return gm_node_fail(graph, node, "mode must be linear, nearest or cubic, found '%s'",
                            gm_node_string(node, "mode", ""));
    if (choice(node, "padding_mode", paddings) < 0)
        return gm_node_fail(graph, node, "padding_mode must be zeros, border or reflection, found '%s'",
                            gm_node_string(node, "padding_mode", ""));
    if (!(GM_TYPES_FLOATING & GM_TYPES(grid.type)))
        return gm_node_fail(graph, node, "the grid must be floating, found %s", gm_type_name(grid.type));
    if (x.rank < 3 || grid.rank != x.rank || grid.dims[x.rank - 1] != x.rank - 2 ||
        (gm_dim_is_known(grid.dims[0]) && gm_dim_is_known(x.dims[0]) && grid.dims[0] != x.dims[0]))
        return gm_node_fail(graph, node, "the grid %s does not fit %s: [n, spatial..., %d] is needed",
                            gm_shape_text(graph, node->inputs[1], a, sizeof a),
                            gm_shape_text(graph, node->inputs[0], b, sizeof b), x.rank - 2);
    return GM_OK;
}

/* https://onnx.ai/onnx/operators/onnx__GridSample.html: X[n, channels, s1..sd], grid[n, t1..td, d] -> [n, channels, t1..td];
 * -1 and 1 in the grid are the ends of an axis of X, its last axis first. */
static gm_status infer_grid_sample(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]), grid = *gm_value_of(graph, node->inputs[1]);
    GM_TRY(check_sampling(graph, node));
    memcpy(x.dims + 2, grid.dims + 1, (size_t)(x.rank - 2) * sizeof x.dims[0]);
    gm_set_output(graph, node, 0, x.type, x.rank, x.dims);
    return graph->status;
}

static int64_t volume_of(const gm_tensor *x)
{
    int64_t volume = 1;
    for (int k = 2; k < x->rank; k++)
        volume *= x->dims[k];
    return volume;
}

static gm_status reference_grid_sample(const gm_compute *compute)
{
    const gm_tensor *x = &compute->in[0], *grid = &compute->in[1], *y = &compute->out[0];
    int64_t channels = x->dims[1], volume = volume_of(x), points = volume_of(y);
    sampling s = sampling_of(compute);
    double *sums = gm_alloc_array(compute->context, (size_t)channels + 1, sizeof *sums);
    if (!sums)
        return GM_ERROR_MEMORY;
    for (int64_t p = 0; p < y->dims[0] * points; p++) {
        int64_t n = p / points, readings;
        taps axes[MAX_SPATIAL];
        reading r;
        readings = taps_of_point(&s, grid, p, axes);
        memset(sums, 0, (size_t)channels * sizeof *sums);
        for (int64_t i = 0; i < readings; i++)
            if (read_taps(&s, axes, i, &r))
                for (int64_t c = 0; c < channels; c++)
                    sums[c] += r.weight * gm_get(x, (n * channels + c) * volume + r.at);
        for (int64_t c = 0; c < channels; c++)
            gm_set(y, (n * channels + c) * points + p % points, sums[c]);
    }
    gm_free(compute->context, sums);
    return GM_OK;
}

static gm_status gradient_grid_sample(gm_gradient *g)
{
    const gm_node *node = g->node;
    gm_value_id inputs[3] = {node->inputs[0], node->inputs[1], g->dy[0]}, outputs[2];
    gm_emit_many(g->graph, "gmodel.GridSampleGrad", inputs, 3, node->attributes, node->attribute_count, outputs, 2);
    for (int i = 0; i < 2; i++)
        if (g->wanted[i])
            g->dx[i] = outputs[i];
    return g->graph->status;
}

/* Sets before 20 called the modes bilinear and bicubic. */
static gm_status upgrade_grid_sample(gm_older_node *node)
{
    gm_attribute *mode = gm_older_attribute(node, "mode");
    if (node->opset < 20 && mode && mode->s && strcmp(mode->s, "bilinear") == 0)
        gm_older_set(node, gm_attribute_string("mode", "linear"));
    else if (node->opset < 20 && mode && mode->s && strcmp(mode->s, "bicubic") == 0)
        gm_older_set(node, gm_attribute_string("mode", "cubic"));
    return GM_OK;
}

static const gm_attribute_schema sampling_attributes[] = {
    {"align_corners", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0},
    {"mode", GM_ATTRIBUTE_STRING, GM_DEFAULT, .s = "linear"},
    {"padding_mode", GM_ATTRIBUTE_STRING, GM_DEFAULT, .s = "zeros"}};
const gm_operator gm_op_grid_sample = {.domain = "",
                                       .name = "GridSample",
                                       .since = 22,
                                       .inputs = "X grid",
                                       .outputs = "Y",
                                       .types = GM_TYPES_NUMERIC | GM_TYPES(GM_BOOL),
                                       .attributes = sampling_attributes,
                                       .attribute_count = GM_COUNT(sampling_attributes),
                                       .upgrade = upgrade_grid_sample,
                                       .infer = infer_grid_sample,
                                       .gradient = gradient_grid_sample,
                                       .reference = reference_grid_sample};

/* --- gmodel.GridSampleGrad -------------------------------------------------------------------------------------------- */

/* X, grid, dY -> dX, dgrid */
static gm_status infer_grid_sample_grad(gm_graph *graph, gm_node *node)
{
    const gm_value *x = gm_value_of(graph, node->inputs[0]), *dy = gm_value_of(graph, node->inputs[2]);
    GM_TRY(check_sampling(graph, node));
    if (dy->type != x->type || dy->rank != x->rank)
        return gm_node_fail(graph, node, "X and dY must have one type and rank");
    gm_set_output_like(graph, node, 0, node->inputs[0]);
    gm_set_output_like(graph, node, 1, node->inputs[1]);
    return graph->status;
}

static void add_to(const gm_tensor *tensor, int64_t i, double value)
{
    gm_set(tensor, i, gm_get(tensor, i) + value);
}

/* What point p of image n gives to dX, and its row of dgrid. */
static void spread_point(const gm_compute *compute, const sampling *s, int64_t n, int64_t p)
{
    const gm_tensor *x = &compute->in[0], *dy = &compute->in[2], *dx = &compute->out[0], *dgrid = &compute->out[1];
    int64_t channels = x->dims[1], volume = volume_of(x), points = volume_of(dy), readings;
    double row[MAX_SPATIAL] = {0};
    taps axes[MAX_SPATIAL];
    reading r;
    readings = taps_of_point(s, &compute->in[1], n * points + p, axes);
    for (int64_t i = 0; i < readings; i++) {
        if (!read_taps(s, axes, i, &r))
            continue;
        for (int64_t c = 0; c < channels; c++) {
            int64_t at = (n * channels + c) * volume + r.at;
            double d = gm_get(dy, (n * channels + c) * points + p);
            if (dx->data)
                add_to(dx, at, d * r.weight);
            for (int k = 0; dgrid->data && k < s->spatial; k++)
                row[k] += d * r.slope[k] * gm_get(x, at);
        }
    }
    for (int k = 0; dgrid->data && k < s->spatial; k++)
        gm_set(dgrid, (n * points + p) * s->spatial + s->spatial - 1 - k, row[k]);
}

static gm_status reference_grid_sample_grad(const gm_compute *compute)
{
    const gm_tensor *x = &compute->in[0], *grid = &compute->in[1], *dy = &compute->in[2];
    int64_t points = volume_of(dy);
    sampling s = sampling_of(compute);
    bool fits = dy->dims[0] == x->dims[0] && dy->dims[1] == x->dims[1];
    for (int k = 0; k < s.spatial; k++)
        fits = fits && dy->dims[k + 2] == grid->dims[k + 1];
    if (!fits)
        return gm_fail(compute->context, GM_ERROR_DATA, "GridSampleGrad: dY does not fit X and the grid");
    if (compute->out[0].data)
        memset(compute->out[0].data, 0, gm_tensor_bytes(&compute->out[0]));
    for (int64_t p = 0; p < dy->dims[0] * points; p++)
        spread_point(compute, &s, p / points, p % points);
    return GM_OK;
}

const gm_operator gm_op_grid_sample_grad = {.domain = "gmodel",
                                            .name = "GridSampleGrad",
                                            .since = 1,
                                            .inputs = "X grid dY",
                                            .outputs = "dX dgrid?",
                                            .types = GM_TYPES_FLOATING,
                                            .attributes = sampling_attributes,
                                            .attribute_count = GM_COUNT(sampling_attributes),
                                            .infer = infer_grid_sample_grad,
                                            .reference = reference_grid_sample_grad};
