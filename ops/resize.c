/* Resize (opset 19), Upsample (opset 9), gmodel.ResizeGrad. https://onnx.ai/onnx/operators/onnx__Resize.html
 *
 *   Resize      X, roi?, scales?, sizes?          -> Y; exactly one of scales and sizes, known at load
 *   ResizeGrad  dY, shape, roi?, scales?, sizes?  -> dX of that shape: the transpose of the map from X to Y
 *
 * A size that follows from a scale is floor(size * scale). A scale stands for the simplest quotient that is the same in
 * float32: 0.7 of 10 is 7, and position 3 comes from 3 / 0.6 = 5. Of integer types interpolated results are rounded to
 * nearest even and saturate. */
#include "ops/resize.h"
#include "ops/axes.h"
#include "ops/strided.h"

#include <math.h>
#include <string.h>

#define LARGEST_DENOMINATOR 4096.0
#define LARGEST_SIZE        (INT64_C(1) << 48)

/* --- Attributes and parameters ---------------------------------------------------------------------------------------- */

static const char *const modes[] = {"nearest", "linear", "cubic", NULL};
static const char *const coordinates[] = {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel",   "align_corners",
                                          "asymmetric", "tf_crop_and_resize",   "tf_half_pixel_for_nn", NULL};
static const char *const rounds[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil", NULL};
static const char *const policies[] = {"stretch", "not_larger", "not_smaller", NULL};
enum { STRETCH, NOT_LARGER, NOT_SMALLER };

static int choice(const gm_node *node, const char *name, const char *const *names)
{
    const char *given = gm_node_string(node, name, names[0]);
    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], given) == 0)
            return i;
    return -1;
}

static gm_resize read_attributes(const gm_node *node, int rank)
{
    return (gm_resize){.mode = (gm_resize_mode)choice(node, "mode", modes),
                       .coordinate = (gm_resize_coordinate)choice(node, "coordinate_transformation_mode", coordinates),
                       .round = (gm_resize_round)choice(node, "nearest_mode", rounds),
                       .antialias = gm_node_int(node, "antialias", 0) != 0,
                       .exclude_outside = gm_node_int(node, "exclude_outside", 0) != 0,
                       .cubic_a = gm_node_float(node, "cubic_coeff_a", -0.75),
                       .extrapolation = gm_node_float(node, "extrapolation_value", 0.0),
                       .rank = rank};
}

/* The axes that the parameters are about; how many. Checked by check_axes. */
static int listed_axes(const gm_node *node, int rank, int *axes)
{
    const int64_t *given;
    size_t count = gm_node_ints(node, "axes", &given);
    if (!gm_node_attribute(node, "axes")) {
        for (int i = 0; i < rank; i++)
            axes[i] = i;
        return rank;
    }
    for (size_t i = 0; i < count && i < GM_MAX_RANK; i++)
        axes[i] = (int)(given[i] < 0 ? given[i] + rank : given[i]);
    return (int)count;
}

static gm_status check_axes(gm_graph *graph, gm_node *node, int rank)
{
    const int64_t *given;
    size_t count = gm_node_ints(node, "axes", &given);
    bool seen[GM_MAX_RANK] = {false};
    for (size_t i = 0; i < count; i++) {
        int axis;
        GM_TRY(gm_infer_axis(graph, node, given[i], rank, &axis));
        if (seen[axis])
            return gm_node_fail(graph, node, "axis %d is listed twice", axis);
        seen[axis] = true;
    }
    return GM_OK;
}

static gm_status check_attributes(gm_graph *graph, gm_node *node, int rank)
{
    static const struct {
        const char *name;
        const char *const *names;
        const char *text;
    } texts[] = {
        {"mode", modes, "nearest, linear or cubic"},
        {"coordinate_transformation_mode", coordinates,
         "half_pixel, half_pixel_symmetric, pytorch_half_pixel, align_corners, asymmetric or tf_crop_and_resize"},
        {"nearest_mode", rounds, "round_prefer_floor, round_prefer_ceil, floor or ceil"},
        {"keep_aspect_ratio_policy", policies, "stretch, not_larger or not_smaller"}};
    for (size_t i = 0; i < GM_COUNT(texts); i++)
        if (choice(node, texts[i].name, texts[i].names) < 0)
            return gm_node_fail(graph, node, "%s must be %s, found '%s'", texts[i].name, texts[i].text,
                                gm_node_string(node, texts[i].name, ""));
    if (gm_node_int(node, "antialias", 0) != 0 && choice(node, "mode", modes) == GM_RESIZE_NEAREST)
        return gm_node_fail(graph, node, "antialias needs mode linear or cubic");
    return check_axes(graph, node, rank);
}

/* Input `index`, where it is there and not an empty tensor (operator set 11 writes what is left out so). */
static gm_value_id parameter(const gm_graph *graph, const gm_node *node, size_t index)
{
    gm_value_id id = index < node->input_count ? node->inputs[index] : 0;
    const gm_value *value = id ? gm_value_of(graph, id) : NULL;
    return value && !(value->rank == 1 && value->dims[0] == 0) ? id : 0;
}

/* A float32 scale as the quotient that it stands for, by its continued fraction: 0.6 is 3 / 5. What is no quotient of
 * small numbers stays itself over 1. */
static void quotient_of(double scale, double *numerator, double *denominator)
{
    double p = 1.0, q = 0.0, before_p = 0.0, before_q = 1.0, rest = scale;
    for (int i = 0; i < 24; i++) {
        double whole = floor(rest), next_p = whole * p + before_p, next_q = whole * q + before_q;
        if (next_q > LARGEST_DENOMINATOR)
            break;
        before_p = p;
        before_q = q;
        p = next_p;
        q = next_q;
        if ((float)(p / q) == (float)scale) {
            *numerator = p;
            *denominator = q;
            return;
        }
        rest = 1.0 / (rest - whole);
    }
    *numerator = scale;
    *denominator = 1.0;
}

static gm_resize_axis axis_of_scale(int64_t in, double scale)
{
    gm_resize_axis axis = {.in = in, .end = 1.0};
    quotient_of(scale, &axis.numerator, &axis.denominator);
    axis.out = (int64_t)((double)in * axis.numerator / axis.denominator);
    return axis;
}

/* ratios[i] = sizes[i] / in[i]: the index of the one that the policy takes for all axes. */
static int chosen_ratio(int policy, int count, const int64_t *in, const int64_t *sizes)
{
    int best = 0;
    for (int i = 1; i < count; i++) {
        double a = (double)sizes[i] * (double)in[best], b = (double)sizes[best] * (double)in[i];
        if (policy == NOT_LARGER ? a < b : a > b)
            best = i;
    }
    return best;
}

static int64_t kept_size(int64_t in, double numerator, double denominator)
{
    return (int64_t)fmin(floor((double)in * numerator / denominator + 0.5), (double)(LARGEST_SIZE + 1));
}

/* --- Inference -------------------------------------------------------------------------------------------------------- */

static gm_status check_vector(gm_graph *graph, gm_node *node, gm_value_id id, const char *name, int count)
{
    const gm_value *value = gm_value_of(graph, id);
    if (value->rank == 1 && (value->dims[0] == count || !gm_dim_is_known(value->dims[0])))
        return GM_OK;
    return gm_node_fail(graph, node, "%s must be a vector of %d numbers for %s", name, count,
                        gm_node_attribute(node, "axes") ? "the axes listed" : "the axes of X");
}

static gm_status infer_scaled(gm_graph *graph, gm_node *node, gm_value_id scales, int count, const int *axes,
                              gm_dim *dims)
{
    const gm_tensor *values = gm_constant_of(graph, scales);
    if (!values)
        return gm_node_fail(graph, node, "the scales decide the shape of the result: they must be known at load");
    if (values->type != GM_FLOAT)
        return gm_node_fail(graph, node, "the scales must be float, found %s", gm_type_name(values->type));
    for (int i = 0; i < count; i++) {
        double scale = gm_get(values, i);
        gm_dim *dim = &dims[axes[i]];
        gm_resize_axis axis;
        if (!isfinite(scale) || scale <= 0.0)
            return gm_node_fail(graph, node, "scale %d must be a positive number, found %g", i, scale);
        if (scale * (gm_dim_is_known(*dim) ? (double)*dim : 1.0) > (double)LARGEST_SIZE)
            return gm_node_fail(graph, node, "scale %d is too large: %g", i, scale);
        axis = axis_of_scale(1, scale);
        if (gm_dim_is_known(*dim))
            *dim = axis_of_scale(*dim, scale).out;
        else if (axis.numerator != floor(axis.numerator))
            *dim = gm_dim_unknown(graph->symbols);
        else
            *dim = gm_dim_window(graph->symbols, gm_dim_mul(graph->symbols, *dim, (int64_t)axis.numerator), 0,
                                 (int64_t)axis.denominator, 0, false);
    }
    return GM_OK;
}

static gm_status infer_sized(gm_graph *graph, gm_node *node, gm_value_id sizes, int count, const int *axes,
                             gm_dim *dims)
{
    gm_dim wanted[GM_MAX_RANK];
    int64_t in[GM_MAX_RANK];
    size_t known;
    int policy = choice(node, "keep_aspect_ratio_policy", policies), chosen;
    bool numbers = true;
    if (gm_value_of(graph, sizes)->type != GM_INT64)
        return gm_node_fail(graph, node, "the sizes must be int64");
    if (!gm_shape_elements(graph, sizes, GM_MAX_RANK, wanted, &known) || known != (size_t)count)
        return gm_node_fail(graph, node, "the sizes decide the shape of the result: they must be known at load");
    for (int i = 0; i < count; i++) {
        in[i] = dims[axes[i]];
        numbers = numbers && gm_dim_is_known(in[i]) && gm_dim_is_known(wanted[i]);
        if (wanted[i] == GM_DIM_INFER || wanted[i] > LARGEST_SIZE)
            return gm_node_fail(graph, node, "size %d must be a number from 0 to 2^48", i);
        if (policy != STRETCH && in[i] == 0)
            return gm_node_fail(graph, node, "axis %d has no aspect ratio: it is empty", axes[i]);
    }
    chosen = policy != STRETCH && numbers ? chosen_ratio(policy, count, in, wanted) : 0;
    for (int i = 0; i < count; i++)
        dims[axes[i]] = policy == STRETCH ? wanted[i]
                        : !numbers        ? gm_dim_unknown(graph->symbols)
                                          : kept_size(in[i], (double)wanted[chosen], (double)in[chosen]);
    return GM_OK;
}

/* dims: those of X, become those of Y. `first`: the index of roi. */
static gm_status infer_dims(gm_graph *graph, gm_node *node, size_t first, int rank, gm_dim *dims)
{
    gm_value_id roi = parameter(graph, node, first), scales = parameter(graph, node, first + 1),
                sizes = parameter(graph, node, first + 2);
    int axes[GM_MAX_RANK], count;
    gm_dim in[GM_MAX_RANK];
    GM_TRY(check_attributes(graph, node, rank));
    count = listed_axes(node, rank, axes);
    memcpy(in, dims, sizeof in);
    if (!scales == !sizes && count > 0)
        return gm_node_fail(graph, node, "either scales or sizes must be given, %s",
                            scales ? "not both" : "found none");
    if (choice(node, "coordinate_transformation_mode", coordinates) == GM_RESIZE_CROP) {
        if (!roi)
            return gm_node_fail(graph, node, "tf_crop_and_resize needs roi");
        GM_TRY(check_vector(graph, node, roi, "roi", 2 * count));
    }
    if (scales || sizes)
        GM_TRY(check_vector(graph, node, scales ? scales : sizes, scales ? "scales" : "sizes", count));
    if (scales)
        GM_TRY(infer_scaled(graph, node, scales, count, axes, dims));
    else if (sizes)
        GM_TRY(infer_sized(graph, node, sizes, count, axes, dims));
    for (int i = 0; i < rank; i++)
        if (dims[i] == GM_DIM_ERROR || dims[i] > LARGEST_SIZE || (in[i] == 0 && dims[i] > 0))
            return gm_node_fail(graph, node, "axis %d cannot be resized%s", i,
                                in[i] ? ": the size is too large" : ": it is empty");
    return GM_OK;
}

static gm_status infer_resize(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    GM_TRY(infer_dims(graph, node, 1, x.rank, x.dims));
    gm_set_output(graph, node, 0, x.type, x.rank, x.dims);
    return graph->status;
}

static gm_status infer_resize_grad(gm_graph *graph, gm_node *node)
{
    gm_value dy = *gm_value_of(graph, node->inputs[0]);
    gm_dim dims[GM_MAX_RANK], resized[GM_MAX_RANK];
    char text[160];
    int rank;
    GM_TRY(gm_infer_target(graph, node, node->inputs[1], &rank, dims));
    if (rank != dy.rank)
        return gm_node_fail(graph, node, "the shape must have %d numbers", dy.rank);
    memcpy(resized, dims, sizeof resized);
    GM_TRY(infer_dims(graph, node, 2, rank, resized));
    for (int i = 0; i < rank; i++)
        if (gm_dim_is_known(resized[i]) && gm_dim_is_known(dy.dims[i]) && resized[i] != dy.dims[i])
            return gm_node_fail(graph, node, "resizing the shape does not give %s",
                                gm_shape_text(graph, node->inputs[0], text, sizeof text));
    gm_set_output(graph, node, 0, dy.type, rank, dims);
    return graph->status;
}

/* --- Gradients -------------------------------------------------------------------------------------------------------- */

/* roi, where it counts, scales and sizes of the node. */
static void copy_parameters(const gm_gradient *g, size_t first, gm_value_id *out)
{
    const gm_node *node = g->node;
    bool crop = choice(node, "coordinate_transformation_mode", coordinates) == GM_RESIZE_CROP;
    for (size_t i = 0; i < 3; i++)
        out[i] = i || crop ? parameter(g->graph, node, first + i) : 0;
}

static gm_status gradient_resize(gm_gradient *g)
{
    gm_value_id inputs[5] = {g->dy[0]};
    copy_parameters(g, 1, inputs + 2);
    if (inputs[2] && g->wanted[1])
        return gm_node_fail(g->graph, g->node, "roi has no gradient");
    if (!g->wanted[0])
        return GM_OK;
    inputs[1] = gm_shape_of(g->graph, g->node->inputs[0]);
    g->dx[0] = gm_emit(g->graph, "gmodel.ResizeGrad", inputs, 5, g->node->attributes, g->node->attribute_count);
    return g->graph->status;
}

/* Of the map itself: what is extrapolated does not depend on X. */
static gm_status gradient_resize_grad(gm_gradient *g)
{
    gm_value_id inputs[4] = {g->dy[0]};
    gm_attribute attributes[16];
    size_t count = 0;
    if (!g->wanted[0])
        return GM_OK;
    copy_parameters(g, 2, inputs + 1);
    for (size_t i = 0; i < g->node->attribute_count && count < GM_COUNT(attributes); i++)
        if (strcmp(g->node->attributes[i].name, "extrapolation_value") != 0)
            attributes[count++] = g->node->attributes[i];
    g->dx[0] = gm_emit(g->graph, "Resize", inputs, 4, attributes, count);
    return g->graph->status;
}

/* --- Kernels ---------------------------------------------------------------------------------------------------------- */

static const gm_tensor *tensor_parameter(const gm_compute *compute, size_t index, int64_t count)
{
    const gm_tensor *tensor = index < compute->node->input_count ? &compute->in[index] : NULL;
    return tensor && tensor->data && gm_tensor_count(tensor) == count ? tensor : NULL;
}

/* Numbers of the node from its parameters; first: the index of roi. The shape has been inferred from them, which is looked
 * at again. */
static gm_status read_resize(const gm_compute *compute, size_t first, const int64_t *in, const int64_t *out, int rank,
                             gm_resize *resize)
{
    int axes[GM_MAX_RANK], count = listed_axes(compute->node, rank, axes), chosen = 0;
    int policy = choice(compute->node, "keep_aspect_ratio_policy", policies);
    const gm_tensor *roi = tensor_parameter(compute, first, 2 * count),
                    *scales = tensor_parameter(compute, first + 1, count),
                    *sizes = tensor_parameter(compute, first + 2, count);
    int64_t wanted[GM_MAX_RANK] = {0}, from[GM_MAX_RANK] = {0};
    bool fits = count == 0 || scales || sizes;
    *resize = read_attributes(compute->node, rank);
    for (int i = 0; i < rank; i++)
        resize->axes[i] = (gm_resize_axis){in[i], in[i], 1.0, 1.0, 0.0, 1.0};
    for (int i = 0; fits && !scales && i < count; i++) {
        wanted[i] = gm_get_int(sizes, i);
        from[i] = in[axes[i]];
    }
    if (policy != STRETCH)
        chosen = chosen_ratio(policy, count, from, wanted);
    for (int i = 0; fits && i < count; i++) {
        gm_resize_axis *axis = &resize->axes[axes[i]];
        int k = policy == STRETCH ? i : chosen;
        if (scales)
            *axis = axis_of_scale(axis->in, gm_get(scales, i));
        else
            *axis = (gm_resize_axis){axis->in, wanted[i], (double)wanted[k], (double)from[k], 0.0, 1.0};
        if (!scales && policy != STRETCH)
            axis->out = kept_size(axis->in, axis->numerator, axis->denominator);
        axis->start = roi ? gm_get(roi, i) : 0.0;
        axis->end = roi ? gm_get(roi, count + i) : 1.0;
    }
    for (int i = 0; i < rank; i++)
        fits = fits && resize->axes[i].out == out[i];
    return fits ? GM_OK
                : gm_fail(compute->context, GM_ERROR_DATA, "%s: scales or sizes do not give the planned shape",
                          compute->node->op->name);
}

/* The maps of all axes. */
static gm_status make_maps(gm_pool *pool, const gm_resize *resize, gm_resize_taps *maps)
{
    for (int i = 0; i < resize->rank; i++)
        GM_TRY(gm_resize_make_taps(pool, resize, i, &maps[i]));
    return GM_OK;
}

typedef struct walk {
    const gm_resize *resize;
    gm_resize_taps maps[GM_MAX_RANK];
    int64_t strides[GM_MAX_RANK], at[GM_MAX_RANK]; /* of X; position in Y */
    const gm_tensor *x;
    double *sums; /* of the gradient */
} walk;

static double value_at(const walk *w, int axis, int64_t offset)
{
    const gm_resize_taps *map = &w->maps[axis];
    double sum = 0.0;
    if (axis == w->resize->rank)
        return gm_get(w->x, offset);
    if (map->start[w->at[axis]] == map->start[w->at[axis] + 1])
        return w->resize->extrapolation;
    for (int64_t k = map->start[w->at[axis]]; k < map->start[w->at[axis] + 1]; k++)
        sum += map->weight[k] * value_at(w, axis + 1, offset + map->index[k] * w->strides[axis]);
    return sum;
}

static void spread_value(const walk *w, int axis, int64_t offset, double dy)
{
    const gm_resize_taps *map = &w->maps[axis];
    if (axis == w->resize->rank) {
        w->sums[offset] += dy;
        return;
    }
    for (int64_t k = map->start[w->at[axis]]; k < map->start[w->at[axis] + 1]; k++)
        spread_value(w, axis + 1, offset + map->index[k] * w->strides[axis], dy * map->weight[k]);
}

/* Where the nearest element stands; -1: nowhere. */
static int64_t nearest_offset(const walk *w)
{
    int64_t offset = 0;
    for (int axis = 0; axis < w->resize->rank; axis++) {
        const gm_resize_taps *map = &w->maps[axis];
        int64_t k = map->start[w->at[axis]];
        if (k == map->start[w->at[axis] + 1])
            return -1;
        offset += map->index[k] * w->strides[axis];
    }
    return offset;
}

static void set_position(walk *w, const int64_t *dims, int64_t i)
{
    for (int axis = w->resize->rank; axis-- > 0; i /= dims[axis])
        w->at[axis] = i % dims[axis];
}

static void resize_all(walk *w, const gm_tensor *x, const gm_tensor *y)
{
    int64_t count = gm_tensor_count(y);
    size_t item = gm_type_bytes(x->type);
    bool whole = !gm_type_find(x->type)->floating;
    w->x = x;
    for (int64_t i = 0; i < count; i++) {
        int64_t from;
        double value;
        set_position(w, y->dims, i);
        if (w->resize->mode == GM_RESIZE_NEAREST && (from = nearest_offset(w)) >= 0) {
            memcpy((char *)y->data + (size_t)i * item, (const char *)x->data + (size_t)from * item, item);
            continue;
        }
        value = w->resize->mode == GM_RESIZE_NEAREST ? w->resize->extrapolation : value_at(w, 0, 0);
        gm_set(y, i, whole ? nearbyint(value) : value);
    }
}

/* Calls one of the walks with maps in a pool of their own. */
static gm_status with_maps(const gm_compute *compute, gm_pool *pool, bool gradient)
{
    const gm_tensor *first = &compute->in[0], *out = &compute->out[0];
    const gm_tensor *x = gradient ? out : first, *y = gradient ? first : out;
    gm_resize resize;
    walk w = {.resize = &resize};
    GM_TRY(read_resize(compute, gradient ? 2 : 1, x->dims, y->dims, x->rank, &resize));
    GM_TRY(make_maps(pool, &resize, w.maps));
    gm_row_strides(x->rank, x->dims, w.strides);
    if (!gradient) {
        resize_all(&w, x, y);
        return GM_OK;
    }
    w.sums = gm_pool_array(pool, (size_t)gm_tensor_count(x) + 1, sizeof *w.sums);
    if (!w.sums)
        return GM_ERROR_MEMORY;
    for (int64_t i = 0; i < gm_tensor_count(y); i++) {
        set_position(&w, y->dims, i);
        spread_value(&w, 0, 0, gm_get(y, i));
    }
    for (int64_t i = 0; i < gm_tensor_count(x); i++)
        gm_set(x, i, w.sums[i]);
    return GM_OK;
}

static gm_status reference(const gm_compute *compute, bool gradient)
{
    gm_pool *pool = gm_pool_create(compute->context);
    gm_status status = pool ? with_maps(compute, pool, gradient) : GM_ERROR_MEMORY;
    gm_pool_destroy(pool);
    return status;
}

static gm_status reference_resize(const gm_compute *compute)
{
    return reference(compute, false);
}

static gm_status reference_resize_grad(const gm_compute *compute)
{
    return reference(compute, true);
}

static gm_status lower_both(gm_lower *lower, bool gradient)
{
    size_t first = gradient ? 2 : 1;
    gm_compute compute;
    gm_resize resize;
    gm_resize_taps maps[GM_MAX_RANK], back[GM_MAX_RANK];
    const gm_tensor *x, *y;
    if (lower->reference || gm_value_of(lower->graph, lower->node->inputs[0])->type != GM_FLOAT)
        return GM_OK;
    GM_TRY(gm_lower_describe(lower, &compute));
    for (size_t i = first; i < lower->node->input_count; i++)
        if (lower->node->inputs[i] && !compute.in[i].data && gm_tensor_count(&compute.in[i]) > 0)
            return GM_OK;
    x = gradient ? &compute.out[0] : &compute.in[0];
    y = gradient ? &compute.in[0] : &compute.out[0];
    GM_TRY(read_resize(&compute, first, x->dims, y->dims, x->rank, &resize));
    GM_TRY(make_maps(lower->pool, &resize, maps));
    for (int i = 0; gradient && i < x->rank; i++)
        GM_TRY(gm_resize_transpose_taps(lower->pool, &maps[i], &back[i]));
    return gradient ? gm_resize_lower(lower, back, y->rank, y->dims, 0.0)
                    : gm_resize_lower(lower, maps, x->rank, x->dims, resize.extrapolation);
}

static gm_status lower_resize(gm_lower *lower)
{
    return lower_both(lower, false);
}

static gm_status lower_resize_grad(gm_lower *lower)
{
    return lower_both(lower, true);
}

/* --- Upsample --------------------------------------------------------------------------------------------------------- */

static gm_status infer_upsample(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    int axes[GM_MAX_RANK], count = listed_axes(node, x.rank, axes);
    const char *mode = gm_node_string(node, "mode", "nearest");
    if (strcmp(mode, "nearest") != 0 && strcmp(mode, "linear") != 0)
        return gm_node_fail(graph, node, "mode must be nearest or linear, found '%s'", mode);
    GM_TRY(check_vector(graph, node, node->inputs[1], "scales", count));
    GM_TRY(infer_scaled(graph, node, node->inputs[1], count, axes, x.dims));
    gm_set_output(graph, node, 0, x.type, x.rank, x.dims);
    return graph->status;
}

static gm_status expand_upsample(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value_id inputs[3] = {node->inputs[0], 0, node->inputs[1]};
    gm_attribute attributes[3] = {gm_attribute_string("mode", gm_node_string(node, "mode", "nearest")),
                                  gm_attribute_string("coordinate_transformation_mode", "asymmetric"),
                                  gm_attribute_string("nearest_mode", "floor")};
    outputs[0] = gm_emit(graph, "Resize", inputs, 3, attributes, 3);
    return graph->status;
}

/* Set 1 scales the last two of four axes by two attributes; "bilinear" is linear now. */
static gm_status upgrade_upsample(gm_older_node *node)
{
    const gm_attribute *height = gm_older_attribute(node, "height_scale"),
                       *width = gm_older_attribute(node, "width_scale");
    gm_attribute *mode = gm_older_attribute(node, "mode");
    int64_t count = 4;
    gm_tensor *scales;
    if (mode && mode->kind == GM_ATTRIBUTE_STRING && strcmp(mode->s, "bilinear") == 0)
        mode->s = "linear";
    if (node->opset >= 7)
        return GM_OK;
    if (!height || !width)
        return gm_graph_fail(node->graph, GM_ERROR_MODEL,
                             "Upsample of operator set %lld needs height_scale and width_scale",
                             (long long)node->opset);
    if (!(scales = gm_tensor_create(node->graph->pool, GM_FLOAT, 1, &count)))
        return GM_ERROR_MEMORY;
    for (int64_t i = 0; i < count; i++)
        gm_set(scales, i, i < 2 ? 1.0 : i == 2 ? height->f : width->f);
    node->inputs[1] = gm_graph_constant(node->graph, scales);
    node->input_count = 2;
    return node->graph->status;
}

/* Set 10: (X, scales), a map from corner to corner. */
static gm_status upgrade_resize(gm_older_node *node)
{
    if (node->opset > 10 || node->input_count < 2)
        return GM_OK;
    node->inputs[2] = node->inputs[1];
    node->inputs[1] = 0;
    node->input_count = 3;
    gm_older_set(node, gm_attribute_string("coordinate_transformation_mode", "asymmetric"));
    gm_older_set(node, gm_attribute_string("nearest_mode", "floor"));
    return GM_OK;
}

/* --- Tables ----------------------------------------------------------------------------------------------------------- */

#define RESIZABLE (GM_TYPES_NUMERIC | GM_TYPES(GM_BOOL))

static const gm_attribute_schema resize_attributes[] = {
    {"antialias", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0},
    {"axes", GM_ATTRIBUTE_INTS, GM_OPTIONAL, .i = 0},
    {"coordinate_transformation_mode", GM_ATTRIBUTE_STRING, GM_DEFAULT, .s = "half_pixel"},
    {"cubic_coeff_a", GM_ATTRIBUTE_FLOAT, GM_DEFAULT, .f = -0.75},
    {"exclude_outside", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0},
    {"extrapolation_value", GM_ATTRIBUTE_FLOAT, GM_DEFAULT, .f = 0.0},
    {"keep_aspect_ratio_policy", GM_ATTRIBUTE_STRING, GM_DEFAULT, .s = "stretch"},
    {"mode", GM_ATTRIBUTE_STRING, GM_DEFAULT, .s = "nearest"},
    {"nearest_mode", GM_ATTRIBUTE_STRING, GM_DEFAULT, .s = "round_prefer_floor"}};
static const gm_attribute_schema upsample_attributes[] = {{"mode", GM_ATTRIBUTE_STRING, GM_DEFAULT, .s = "nearest"}};

static const gm_older older_upsample[] = {{9, GM_OLDER_INPUT, "scales", .input = 1, .type = GM_FLOAT},
                                          {7, GM_OLDER_ATTRIBUTE, "height_scale", .i = 0},
                                          {7, GM_OLDER_ATTRIBUTE, "width_scale", .i = 0},
                                          {0}};

const gm_operator gm_op_resize = {.domain = "",
                                  .name = "Resize",
                                  .since = 19,
                                  .inputs = "X roi? scales? sizes?",
                                  .outputs = "Y",
                                  .types = RESIZABLE,
                                  .attributes = resize_attributes,
                                  .attribute_count = GM_COUNT(resize_attributes),
                                  .upgrade = upgrade_resize,
                                  .infer = infer_resize,
                                  .gradient = gradient_resize,
                                  .reference = reference_resize,
                                  .lower = lower_resize};

const gm_operator gm_op_resize_grad = {.domain = "gmodel",
                                       .name = "ResizeGrad",
                                       .since = 1,
                                       .inputs = "dY shape roi? scales? sizes?",
                                       .outputs = "dX",
                                       .types = GM_TYPES_FLOATING,
                                       .attributes = resize_attributes,
                                       .attribute_count = GM_COUNT(resize_attributes),
                                       .infer = infer_resize_grad,
                                       .gradient = gradient_resize_grad,
                                       .reference = reference_resize_grad,
                                       .lower = lower_resize_grad};

const gm_operator gm_op_upsample = {.domain = "",
                                    .name = "Upsample",
                                    .since = 9,
                                    .inputs = "X scales",
                                    .outputs = "Y",
                                    .types = RESIZABLE,
                                    .attributes = upsample_attributes,
                                    .attribute_count = GM_COUNT(upsample_attributes),
                                    .older = older_upsample,
                                    .upgrade = upgrade_upsample,
                                    .infer = infer_upsample,
                                    .expand = expand_upsample};
