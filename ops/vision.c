/* Regions of images: NonMaxSuppression picks boxes, RoiAlign (with gmodel.RoiAlignGrad) and MaxRoiPool pool what lies in
 * them. Boxes that come with the data are checked before they are used. */
#include "ops/axes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_SAMPLES 4096 /* along one side of a bin */

static const gm_value *given(const gm_graph *graph, const gm_node *node, size_t input)
{
    return input < node->input_count && node->inputs[input] ? gm_value_of(graph, node->inputs[input]) : NULL;
}

/* --- NonMaxSuppression ------------------------------------------------------------------------------------------------ */

typedef struct suppression {
    const gm_tensor *boxes, *scores; /* [batches, n, 4], [batches, classes, n] */
    int64_t most;
    double iou, least_score; /* least_score: -infinity where none was given */
    bool centred;            /* boxes are (x, y, width, height) */
} suppression;

typedef struct candidate {
    double score;
    int64_t box;
} candidate;

/* The one number of an optional input; `fallback` where it is left out or empty. */
static gm_status read_number(gm_graph *graph, gm_node *node, size_t input, gm_type type, double fallback, double *out)
{
    const gm_tensor *tensor;
    *out = fallback;
    if (!given(graph, node, input))
        return GM_OK;
    if (!(tensor = gm_infer_known(graph, node, input)))
        return graph->status;
    if (tensor->type != type || gm_tensor_count(tensor) > 1)
        return gm_node_fail(graph, node, "input %zu of (%s) must be one %s", input + 1, node->op->inputs,
                            gm_type_name(type));
    if (gm_tensor_count(tensor) == 1)
        *out = gm_get(tensor, 0);
    return GM_OK;
}

static gm_status read_suppression(gm_graph *graph, gm_node *node, suppression *s)
{
    double most;
    s->boxes = gm_infer_known(graph, node, 0);
    s->scores = s->boxes ? gm_infer_known(graph, node, 1) : NULL;
    if (!s->scores)
        return graph->status;
    GM_TRY(read_number(graph, node, 2, GM_INT64, 0.0, &most));
    GM_TRY(read_number(graph, node, 3, GM_FLOAT, 0.0, &s->iou));
    GM_TRY(read_number(graph, node, 4, GM_FLOAT, -INFINITY, &s->least_score));
    s->most = most > 0.0 ? (int64_t)fmin(most, (double)INT32_MAX) : 0;
    s->centred = gm_node_int(node, "center_point_box", 0) != 0;
    if (!(s->iou >= 0.0 && s->iou <= 1.0))
        return gm_node_fail(graph, node, "iou_threshold must lie in [0, 1], found %g", s->iou);
    if (s->boxes->rank != 3 || s->scores->rank != 3 || s->scores->type != s->boxes->type || s->boxes->dims[2] != 4 ||
        s->scores->dims[0] != s->boxes->dims[0] || s->scores->dims[2] != s->boxes->dims[1])
        return gm_node_fail(graph, node, "boxes [batches, n, 4] and scores [batches, classes, n] do not fit");
    return GM_OK;
}

/* Low and high end of a box along x (axis 0) or y (axis 1). */
static void extent_of(const suppression *s, int64_t box, int axis, double *low, double *high)
{
    double a, b;
    if (s->centred) {
        a = gm_get(s->boxes, box * 4 + axis);
        b = gm_get(s->boxes, box * 4 + 2 + axis) / 2.0;
        *low = a - b;
        *high = a + b;
        return;
    }
    a = gm_get(s->boxes, box * 4 + 1 - axis);
    b = gm_get(s->boxes, box * 4 + 3 - axis);
    *low = fmin(a, b);
    *high = fmax(a, b);
}

/* Is the intersection of both boxes more than the threshold's part of their union? */
static bool overlap(const suppression *s, int64_t first, int64_t second)
{
    double shared = 1.0, area[2] = {1.0, 1.0}, both;
    for (int axis = 0; axis < 2; axis++) {
        double low[2], high[2], side;
        extent_of(s, first, axis, &low[0], &high[0]);
        extent_of(s, second, axis, &low[1], &high[1]);
        side = fmin(high[0], high[1]) - fmax(low[0], low[1]);
        if (!(side > 0.0))
            return false;
        shared *= side;
        area[0] *= high[0] - low[0];
        area[1] *= high[1] - low[1];
    }
    both = area[0] + area[1] - shared;
    return shared > 0.0 && both > 0.0 && shared / both > s->iou;
}

static int by_score(const void *a_pointer, const void *b_pointer)
{
    const candidate *a = a_pointer, *b = b_pointer;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return a->box < b->box ? -1 : a->box > b->box;
}

/* The boxes of one class, best first: `candidates` holds those kept in front. A score that is not a number is none. */
static int64_t keep_best(const suppression *s, int64_t batch, int64_t class, candidate *candidates)
{
    int64_t n = s->boxes->dims[1], found = 0, kept = 0;
    for (int64_t i = 0; i < n; i++) {
        double score = gm_get(s->scores, (batch * s->scores->dims[1] + class) * n + i);
        if (score > s->least_score)
            candidates[found++] = (candidate){score, i};
    }
    qsort(candidates, (size_t)found, sizeof *candidates, by_score);
    for (int64_t i = 0; i < found && kept < s->most; i++) {
        bool free = true;
        for (int64_t k = 0; free && k < kept; k++)
            free = !overlap(s, batch * n + candidates[i].box, batch * n + candidates[k].box);
        if (free)
            candidates[kept++] = candidates[i];
    }
    return kept;
}

/* Writes (batch, class, box) of what is kept to `out`, which may be NULL; returns how many, -1: no memory. */
static int64_t suppress(gm_context *context, const suppression *s, const gm_tensor *out)
{
    candidate *candidates = gm_alloc_array(context, (size_t)s->boxes->dims[1] + 1, sizeof *candidates);
    int64_t count = 0;
    if (!candidates)
        return -1;
    for (int64_t b = 0; b < s->scores->dims[0]; b++)
        for (int64_t c = 0; c < s->scores->dims[1]; c++) {
            int64_t kept = keep_best(s, b, c, candidates);
            for (int64_t i = 0; out && i < kept; i++) {
                gm_set_int(out, (count + i) * 3, b);
                gm_set_int(out, (count + i) * 3 + 1, c);
                gm_set_int(out, (count + i) * 3 + 2, candidates[i].box);
            }
            count += kept;
        }
    gm_free(context, candidates);
    return count;
}

/* https://onnx.ai/onnx/operators/onnx__NonMaxSuppression.html: int64[kept, 3], each (batch, class, box). Of two boxes of a
 * class that overlap by more than iou_threshold the one with the lower score goes; equal scores: the later one. */
static gm_status infer_non_max_suppression(gm_graph *graph, gm_node *node)
{
    suppression s;
    int64_t count;
    GM_TRY(read_suppression(graph, node, &s));
    count = suppress(graph->context, &s, NULL);
    if (count < 0)
        return graph->status = GM_ERROR_MEMORY;
    gm_set_output(graph, node, 0, GM_INT64, 2, (gm_dim[]){count, 3});
    return graph->status;
}

static gm_status expand_non_max_suppression(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_node copy = *node;
    gm_tensor *kept;
    suppression s;
    GM_TRY(read_suppression(graph, &copy, &s));
    kept = gm_tensor_create(graph->pool, GM_INT64, 2, gm_value_of(graph, node->outputs[0])->dims);
    if (!kept || suppress(graph->context, &s, kept) < 0)
        return graph->status = GM_ERROR_MEMORY;
    outputs[0] = gm_graph_constant(graph, kept);
    return graph->status;
}

static const gm_attribute_schema suppression_attributes[] = {
    {"center_point_box", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0}};
const gm_operator gm_op_non_max_suppression = {
    .domain = "",
    .name = "NonMaxSuppression",
    .since = 11,
    .inputs = "boxes scores max_output_boxes_per_class? iou_threshold? score_threshold?",
    .outputs = "selected_indices",
    .types = GM_TYPES(GM_FLOAT),
    .attributes = suppression_attributes,
    .attribute_count = GM_COUNT(suppression_attributes),
    .infer = infer_non_max_suppression,
    .zero_gradient = true,
    .expand = expand_non_max_suppression};

/* --- RoiAlign --------------------------------------------------------------------------------------------------------- */

/* One region on the feature map: where its bins begin, their size, and the samples along each side of a bin. */
typedef struct region {
    double start[2], bin[2]; /* y, x */
    int64_t samples[2];
    int64_t image;
} region;

/* The four pixels around a point, and what each of them counts. */
typedef struct corners {
    int64_t at[4];
    double weight[4];
} corners;

static gm_status check_regions(gm_graph *graph, gm_node *node, gm_value rois, int64_t columns)
{
    char text[160];
    if (rois.rank != 2 || (gm_dim_is_known(rois.dims[1]) && rois.dims[1] != columns))
        return gm_node_fail(graph, node, "rois must be [regions, %lld], found %s", (long long)columns,
                            gm_shape_text(graph, node->inputs[1], text, sizeof text));
    return GM_OK;
}

static gm_status check_align(gm_graph *graph, gm_node *node)
{
    const char *mode = gm_node_string(node, "mode", "avg");
    const char *shift = gm_node_string(node, "coordinate_transformation_mode", "half_pixel");
    int64_t ratio = gm_node_int(node, "sampling_ratio", 0);
    gm_value indices = *gm_value_of(graph, node->inputs[2]), rois = *gm_value_of(graph, node->inputs[1]);
    gm_type type = gm_value_of(graph, node->inputs[0])->type;
    if (strcmp(mode, "avg") != 0 && strcmp(mode, "max") != 0)
        return gm_node_fail(graph, node, "mode must be avg or max, found '%s'", mode);
    if (strcmp(shift, "half_pixel") != 0 && strcmp(shift, "output_half_pixel") != 0)
        return gm_node_fail(
            graph, node, "coordinate_transformation_mode must be half_pixel or output_half_pixel, found '%s'", shift);
    if (ratio < 0 || ratio > MOST_SAMPLES)
        return gm_node_fail(graph, node, "sampling_ratio must lie in [0, %d], found %lld", MOST_SAMPLES,
                            (long long)ratio);
    if (gm_node_int(node, "output_height", 1) < 1 || gm_node_int(node, "output_width", 1) < 1)
        return gm_node_fail(graph, node, "output_height and output_width must be positive");
    GM_TRY(check_regions(graph, node, rois, 4));
    if (rois.type != type)
        return gm_node_fail(graph, node, "the rois must be %s, found %s", gm_type_name(type), gm_type_name(rois.type));
    if (indices.type != GM_INT64 || indices.rank != 1 ||
        (gm_dim_is_known(indices.dims[0]) && gm_dim_is_known(rois.dims[0]) && indices.dims[0] != rois.dims[0]))
        return gm_node_fail(graph, node, "batch_indices must be one int64 per region");
    return GM_OK;
}

/* https://onnx.ai/onnx/operators/onnx__RoiAlign.html: X[n, channels, h, w], rois[regions, (x1, y1, x2, y2)],
 * batch_indices[regions] -> [regions, channels, output_height, output_width]. A bin is the mean of its samples, which are
 * interpolated between four pixels, or (mode max) the largest weighted pixel of all samples. He et al., Mask R-CNN. */
static gm_status infer_roi_align(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]), rois = *gm_value_of(graph, node->inputs[1]);
    if (x.rank != 4)
        return gm_node_fail(graph, node, "X must be [n, channels, height, width], found rank %d", x.rank);
    GM_TRY(check_align(graph, node));
    gm_set_output(graph, node, 0, x.type, 4,
                  (gm_dim[]){rois.dims[0], x.dims[1], gm_node_int(node, "output_height", 1),
                             gm_node_int(node, "output_width", 1)});
    return graph->status;
}

/* Region r; images: how many there are. */
static gm_status region_at(const gm_compute *compute, int64_t r, int64_t images, const int64_t *bins, region *out)
{
    const gm_node *node = compute->node;
    bool half = strcmp(gm_node_string(node, "coordinate_transformation_mode", "half_pixel"), "half_pixel") == 0;
    double scale = gm_node_float(node, "spatial_scale", 1.0), offset = half ? 0.5 : 0.0;
    int64_t ratio = gm_node_int(node, "sampling_ratio", 0);
    out->image = gm_get_int(&compute->in[2], r);
    if (out->image < 0 || out->image >= images)
        return gm_fail(compute->context, GM_ERROR_DATA, "%s: batch index %lld is outside [0, %lld)", node->op->name,
                       (long long)out->image, (long long)images);
    for (int axis = 0; axis < 2; axis++) {
        double low = gm_get(&compute->in[1], r * 4 + 1 - axis), high = gm_get(&compute->in[1], r * 4 + 3 - axis), size;
        out->start[axis] = low * scale - offset;
        size = high * scale - offset - out->start[axis];
        size = half ? size : fmax(size, 1.0);
        out->bin[axis] = size / (double)bins[axis];
        if (!isfinite(out->start[axis]) || !(fabs(out->bin[axis]) <= MOST_SAMPLES))
            return gm_fail(compute->context, GM_ERROR_DATA,
                           "%s: region %lld is not finite or larger than %d pixels per bin", node->op->name,
                           (long long)r, MOST_SAMPLES);
        out->samples[axis] = ratio > 0 ? ratio : (int64_t)fmax(ceil(out->bin[axis]), 0.0);
    }
    return GM_OK;
}

/* Sample (i, j) of a bin. */
static corners corners_at(const region *roi, const int64_t *bin, int64_t i, int64_t j, const int64_t *size)
{
    int64_t sample[2] = {i, j}, low[2], high[2];
    double part[2];
    corners c = {{0}, {0}};
    for (int axis = 0; axis < 2; axis++) {
        double at = roi->start[axis] + (double)bin[axis] * roi->bin[axis] +
                    ((double)sample[axis] + 0.5) * roi->bin[axis] / (double)roi->samples[axis];
        if (at < -1.0 || at > (double)size[axis] || size[axis] == 0)
            return c;
        at = fmin(fmax(at, 0.0), (double)(size[axis] - 1));
        low[axis] = (int64_t)at;
        high[axis] = low[axis] + 1 < size[axis] ? low[axis] + 1 : low[axis];
        part[axis] = at - (double)low[axis];
    }
    for (int k = 0; k < 4; k++) {
        c.at[k] = (k & 2 ? high[0] : low[0]) * size[1] + (k & 1 ? high[1] : low[1]);
        c.weight[k] = (k & 2 ? part[0] : 1.0 - part[0]) * (k & 1 ? part[1] : 1.0 - part[1]);
    }
    return c;
}

/* sums[c] over (or, with `largest`, the largest of) the samples of one bin, for all channels */
static void pool_bin(const gm_tensor *x, const region *roi, const int64_t *bin, bool largest, double *sums)
{
    int64_t channels = x->dims[1], area = x->dims[2] * x->dims[3];
    bool first = true;
    memset(sums, 0, (size_t)channels * sizeof *sums);
    for (int64_t i = 0; i < roi->samples[0]; i++)
        for (int64_t j = 0; j < roi->samples[1]; j++, first = false) {
            corners around = corners_at(roi, bin, i, j, x->dims + 2);
            for (int64_t c = 0; c < channels && area > 0; c++)
                for (int k = 0; k < 4; k++) {
                    double value = around.weight[k] * gm_get(x, (roi->image * channels + c) * area + around.at[k]);
                    if (!largest)
                        sums[c] += value;
                    else
                        sums[c] = (first && k == 0) || value > sums[c] ? value : sums[c];
                }
        }
}

static double sample_count(const region *roi)
{
    return fmax((double)(roi->samples[0] * roi->samples[1]), 1.0);
}

static gm_status align_regions(const gm_compute *compute, double *sums)
{
    const gm_tensor *x = &compute->in[0], *y = &compute->out[0];
    bool largest = strcmp(gm_node_string(compute->node, "mode", "avg"), "max") == 0;
    int64_t channels = x->dims[1], bins = y->dims[2] * y->dims[3];
    for (int64_t r = 0; r < y->dims[0]; r++) {
        region roi;
        GM_TRY(region_at(compute, r, x->dims[0], y->dims + 2, &roi));
        for (int64_t b = 0; b < bins; b++) {
            pool_bin(x, &roi, (int64_t[]){b / y->dims[3], b % y->dims[3]}, largest, sums);
            for (int64_t c = 0; c < channels; c++)
                gm_set(y, (r * channels + c) * bins + b, largest ? sums[c] : sums[c] / sample_count(&roi));
        }
    }
    return GM_OK;
}

static gm_status reference_roi_align(const gm_compute *compute)
{
    double *sums = gm_alloc_array(compute->context, (size_t)compute->in[0].dims[1] + 1, sizeof *sums);
    gm_status status = sums ? align_regions(compute, sums) : GM_ERROR_MEMORY;
    gm_free(compute->context, sums);
    return status;
}

/* Y is linear in X (mode avg): dX gives each pixel its share of the bins. The regions take none. */
static gm_status gradient_roi_align(gm_gradient *g)
{
    const gm_node *node = g->node;
    gm_value_id inputs[4] = {g->dy[0], node->inputs[1], node->inputs[2], gm_shape_of(g->graph, node->inputs[0])};
    if (strcmp(gm_node_string(node, "mode", "avg"), "avg") != 0 || g->wanted[1])
        return gm_node_fail(g->graph, node, "has a gradient for mode avg and by X only");
    g->dx[0] = gm_emit(g->graph, "gmodel.RoiAlignGrad", inputs, 4, node->attributes, node->attribute_count);
    return g->graph->status;
}

static gm_status upgrade_roi_align(gm_older_node *node)
{
    if (node->opset < 16 && !gm_older_attribute(node, "coordinate_transformation_mode"))
        gm_older_set(node, gm_attribute_string("coordinate_transformation_mode", "output_half_pixel"));
    return GM_OK;
}

static const gm_attribute_schema align_attributes[] = {
    {"coordinate_transformation_mode", GM_ATTRIBUTE_STRING, GM_DEFAULT, .s = "half_pixel"},
    {"mode", GM_ATTRIBUTE_STRING, GM_DEFAULT, .s = "avg"},
    {"output_height", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 1},
    {"output_width", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 1},
    {"sampling_ratio", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0},
    {"spatial_scale", GM_ATTRIBUTE_FLOAT, GM_DEFAULT, .f = 1.0}};
const gm_operator gm_op_roi_align = {.domain = "",
                                     .name = "RoiAlign",
                                     .since = 22,
                                     .inputs = "X rois batch_indices",
                                     .outputs = "Y",
                                     .types = GM_TYPES_FLOATING,
                                     .attributes = align_attributes,
                                     .attribute_count = GM_COUNT(align_attributes),
                                     .upgrade = upgrade_roi_align,
                                     .infer = infer_roi_align,
                                     .gradient = gradient_roi_align,
                                     .reference = reference_roi_align};

/* dY[regions, channels, height, width], rois, batch_indices, shape (of X) -> dX, of mode avg */
static gm_status infer_roi_align_grad(gm_graph *graph, gm_node *node)
{
    gm_dim dims[GM_MAX_RANK];
    gm_value dy = *gm_value_of(graph, node->inputs[0]);
    int rank;
    GM_TRY(check_align(graph, node));
    GM_TRY(gm_infer_target(graph, node, node->inputs[3], &rank, dims));
    if (rank != 4 || dy.rank != 4)
        return gm_node_fail(graph, node, "dY and X must have rank 4");
    gm_set_output(graph, node, 0, dy.type, 4, dims);
    return graph->status;
}

static gm_status spread_regions(const gm_compute *compute)
{
    const gm_tensor *dy = &compute->in[0], *dx = &compute->out[0];
    int64_t channels = dx->dims[1], area = dx->dims[2] * dx->dims[3], bins = dy->dims[2] * dy->dims[3];
    memset(dx->data, 0, gm_tensor_bytes(dx));
    for (int64_t r = 0; r < dy->dims[0] && area > 0; r++) {
        region roi;
        GM_TRY(region_at(compute, r, dx->dims[0], dy->dims + 2, &roi));
        for (int64_t b = 0; b < bins; b++)
            for (int64_t s = 0; s < roi.samples[0] * roi.samples[1]; s++) {
                corners around = corners_at(&roi, (int64_t[]){b / dy->dims[3], b % dy->dims[3]}, s / roi.samples[1],
                                            s % roi.samples[1], dx->dims + 2);
                for (int64_t c = 0; c < channels; c++) {
                    double share = gm_get(dy, (r * channels + c) * bins + b) / sample_count(&roi);
                    for (int k = 0; k < 4; k++) {
                        int64_t to = (roi.image * channels + c) * area + around.at[k];
                        gm_set(dx, to, gm_get(dx, to) + around.weight[k] * share);
                    }
                }
            }
    }
    return GM_OK;
}

static gm_status reference_roi_align_grad(const gm_compute *compute)
{
    const gm_tensor *dy = &compute->in[0], *rois = &compute->in[1], *indices = &compute->in[2];
    if (dy->dims[1] != compute->out[0].dims[1] || dy->dims[0] != rois->dims[0] || dy->dims[0] != indices->dims[0])
        return gm_fail(compute->context, GM_ERROR_DATA, "RoiAlignGrad: dY, the regions and X do not fit");
    return spread_regions(compute);
}

static gm_status gradient_roi_align_grad(gm_gradient *g)
{
    const gm_node *node = g->node;
    gm_value_id inputs[3] = {g->dy[0], node->inputs[1], node->inputs[2]};
    if (g->wanted[0])
        g->dx[0] = gm_emit(g->graph, "RoiAlign", inputs, 3, node->attributes, node->attribute_count);
    return g->graph->status;
}

const gm_operator gm_op_roi_align_grad = {.domain = "gmodel",
                                          .name = "RoiAlignGrad",
                                          .since = 1,
                                          .inputs = "dY rois batch_indices shape",
                                          .outputs = "dX",
                                          .types = GM_TYPES_FLOATING,
                                          .attributes = align_attributes,
                                          .attribute_count = GM_COUNT(align_attributes),
                                          .infer = infer_roi_align_grad,
                                          .gradient = gradient_roi_align_grad,
                                          .reference = reference_roi_align_grad};

/* --- MaxRoiPool ------------------------------------------------------------------------------------------------------- */

/* https://onnx.ai/onnx/operators/onnx__MaxRoiPool.html: X[n, channels, h, w], rois[regions, (image, x1, y1, x2, y2)] ->
 * [regions, channels, pooled_shape]; the corners are rounded to pixels, an empty bin is 0. Girshick, Fast R-CNN. */
static gm_status infer_max_roi_pool(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]), rois = *gm_value_of(graph, node->inputs[1]);
    const int64_t *pooled;
    GM_TRY(gm_infer_same_type(graph, node));
    if (x.rank != 4)
        return gm_node_fail(graph, node, "X must be [n, channels, height, width], found rank %d", x.rank);
    GM_TRY(check_regions(graph, node, rois, 5));
    if (gm_node_ints(node, "pooled_shape", &pooled) != 2 || pooled[0] < 1 || pooled[1] < 1)
        return gm_node_fail(graph, node, "pooled_shape must be two positive numbers");
    gm_set_output(graph, node, 0, x.type, 4, (gm_dim[]){rois.dims[0], x.dims[1], pooled[0], pooled[1]});
    return graph->status;
}

/* Pixels [first, end) of bin `i` of `bins` along one axis of a region from pixel `low` to `high`. */
static void pixels_of(double low, double high, int64_t i, int64_t bins, int64_t size, int64_t *first, int64_t *end)
{
    double bin = fmax(high - low + 1.0, 1.0) / (double)bins;
    *first = (int64_t)fmin(fmax(floor((double)i * bin) + low, 0.0), (double)size);
    *end = (int64_t)fmin(fmax(ceil((double)(i + 1) * bin) + low, 0.0), (double)size);
}

static double largest_pixel(const gm_tensor *x, int64_t plane, const int64_t *first, const int64_t *end)
{
    double largest = -INFINITY;
    if (first[0] >= end[0] || first[1] >= end[1])
        return 0.0;
    for (int64_t i = first[0]; i < end[0]; i++)
        for (int64_t j = first[1]; j < end[1]; j++) {
            double pixel = gm_get(x, (plane * x->dims[2] + i) * x->dims[3] + j);
            largest = pixel > largest || isnan(pixel) ? pixel : largest;
        }
    return largest;
}

static gm_status reference_max_roi_pool(const gm_compute *compute)
{
    const gm_tensor *x = &compute->in[0], *rois = &compute->in[1], *y = &compute->out[0];
    double scale = gm_node_float(compute->node, "spatial_scale", 1.0);
    int64_t channels = x->dims[1], bins = y->dims[2] * y->dims[3];
    for (int64_t r = 0; r < y->dims[0]; r++) {
        double corner[4], image = gm_get(rois, r * 5);
        bool finite = true;
        for (int k = 0; k < 4; k++) {
            corner[k] = round(gm_get(rois, r * 5 + 1 + k) * scale);
            finite = finite && isfinite(corner[k]);
        }
        if (!finite || !(image >= 0.0 && image < (double)x->dims[0]))
            return gm_fail(compute->context, GM_ERROR_DATA,
                           "MaxRoiPool: region %lld is not finite or of an image outside [0, %lld)", (long long)r,
                           (long long)x->dims[0]);
        for (int64_t b = 0; b < bins; b++) {
            int64_t first[2], end[2];
            pixels_of(corner[1], corner[3], b / y->dims[3], y->dims[2], x->dims[2], &first[0], &end[0]);
            pixels_of(corner[0], corner[2], b % y->dims[3], y->dims[3], x->dims[3], &first[1], &end[1]);
            for (int64_t c = 0; c < channels; c++)
                gm_set(y, (r * channels + c) * bins + b, largest_pixel(x, (int64_t)image * channels + c, first, end));
        }
    }
    return GM_OK;
}

static const gm_attribute_schema max_roi_pool_attributes[] = {
    {"pooled_shape", GM_ATTRIBUTE_INTS, GM_REQUIRED, .i = 0},
    {"spatial_scale", GM_ATTRIBUTE_FLOAT, GM_DEFAULT, .f = 1.0}};
const gm_operator gm_op_max_roi_pool = {.domain = "",
                                        .name = "MaxRoiPool",
                                        .since = 22,
                                        .inputs = "X rois",
                                        .outputs = "Y",
                                        .types = GM_TYPES_FLOATING,
                                        .attributes = max_roi_pool_attributes,
                                        .attribute_count = GM_COUNT(max_roi_pool_attributes),
                                        .infer = infer_max_roi_pool,
                                        .reference = reference_max_roi_pool};
