/* Convolutions by columns: Col2Im adds the columns of sliding windows up to an image, DeformConv reads the columns that it
 * multiplies at points that move with the data. Both are made of other operators. */
#include "ops/axes.h"
#include "ops/conv_window.h"

#include <string.h>

#define LARGEST     ((int64_t)1 << 24) /* of any one number: keeps products within int64 */
#define MAX_SPATIAL (GM_MAX_RANK - 2)

/* --- Col2Im ----------------------------------------------------------------------------------------------------------- */

typedef struct folding {
    int spatial;
    int64_t image[MAX_SPATIAL], block[MAX_SPATIAL], stride[MAX_SPATIAL], dilation[MAX_SPATIAL], low[MAX_SPATIAL];
    int64_t blocks[MAX_SPATIAL];             /* how many windows along each axis */
    int64_t pixels, block_size, block_count; /* of the image, of a block, of the column of one position */
} folding;

/* The numbers of a list; all `fallback` where it is not there. */
static gm_status read_list(gm_graph *graph, gm_node *node, const char *name, size_t count, int64_t least,
                           int64_t fallback, int64_t *out)
{
    const int64_t *given;
    size_t found = gm_node_ints(node, name, &given);
    if (found && found != count)
        return gm_node_fail(graph, node, "%s needs %zu numbers, found %zu", name, count, found);
    for (size_t i = 0; i < count; i++) {
        out[i] = found ? given[i] : fallback;
        if (out[i] < least || out[i] > LARGEST)
            return gm_node_fail(graph, node, "%s must lie in [%lld, %lld], found %lld", name, (long long)least,
                                (long long)LARGEST, (long long)out[i]);
    }
    return GM_OK;
}

static gm_status read_shape(gm_graph *graph, gm_node *node, size_t input, const char *name, int64_t *out, size_t *count)
{
    if (!gm_known_ints(graph, node->inputs[input], MAX_SPATIAL, out, count) || *count < 1)
        return gm_node_fail(graph, node, "the %s must be 1 to %d numbers that are known at load", name, MAX_SPATIAL);
    for (size_t i = 0; i < *count; i++)
        if (out[i] < 1 || out[i] > LARGEST)
            return gm_node_fail(graph, node, "the %s must be positive and at most %lld, found %lld", name,
                                (long long)LARGEST, (long long)out[i]);
    return GM_OK;
}

static gm_status count_blocks(gm_graph *graph, gm_node *node, folding *f, const int64_t *high)
{
    bool large = false;
    f->pixels = f->block_size = f->block_count = 1;
    for (int i = 0; i < f->spatial; i++) {
        int64_t extent = (f->block[i] - 1) * f->dilation[i] + 1;
        int64_t room = f->image[i] + f->low[i] + high[i] - extent;
        if (room < 0)
            return gm_node_fail(graph, node, "a block covers %lld positions of spatial axis %d, which has %lld",
                                (long long)extent, i, (long long)(room + extent));
        f->blocks[i] = room / f->stride[i] + 1;
        large = large || __builtin_mul_overflow(f->pixels, f->image[i], &f->pixels) ||
                __builtin_mul_overflow(f->block_size, f->block[i], &f->block_size) ||
                __builtin_mul_overflow(f->block_count, f->blocks[i], &f->block_count);
    }
    return large ? gm_node_fail(graph, node, "the image is too large") : GM_OK;
}

static gm_status read_folding(gm_graph *graph, gm_node *node, folding *f)
{
    int64_t pads[2 * MAX_SPATIAL];
    size_t count, blocks;
    GM_TRY(read_shape(graph, node, 1, "image_shape", f->image, &count));
    GM_TRY(read_shape(graph, node, 2, "block_shape", f->block, &blocks));
    if (blocks != count)
        return gm_node_fail(graph, node, "image_shape has %zu numbers, block_shape %zu", count, blocks);
    f->spatial = (int)count;
    GM_TRY(read_list(graph, node, "strides", count, 1, 1, f->stride));
    GM_TRY(read_list(graph, node, "dilations", count, 1, 1, f->dilation));
    GM_TRY(read_list(graph, node, "pads", 2 * count, 0, 0, pads));
    memcpy(f->low, pads, count * sizeof pads[0]);
    return count_blocks(graph, node, f, pads + count);
}

/* https://onnx.ai/onnx/operators/onnx__Col2Im.html: input[n, channels * block, windows], image_shape, block_shape ->
 * [n, channels, image...]; what several windows say about a pixel is added. */
static gm_status infer_col2im(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    gm_dim dims[GM_MAX_RANK] = {x.dims[0]};
    char text[160];
    folding f;
    GM_TRY(read_folding(graph, node, &f));
    if (x.rank == 3)
        dims[1] = gm_dim_div_exact(graph->symbols, x.dims[1], f.block_size);
    if (x.rank != 3 || dims[1] == GM_DIM_ERROR || (gm_dim_is_known(x.dims[2]) && x.dims[2] != f.block_count))
        return gm_node_fail(graph, node, "the input must be [n, channels * %lld, %lld], found %s",
                            (long long)f.block_size, (long long)f.block_count,
                            gm_shape_text(graph, node->inputs[0], text, sizeof text));
    memcpy(dims + 2, f.image, (size_t)f.spatial * sizeof dims[0]);
    gm_set_output(graph, node, 0, x.type, f.spatial + 2, dims);
    return graph->status;
}

/* The pixel that position k of window w is; `pixels` where it lies in the pads. */
static int64_t pixel_of(const folding *f, int64_t k, int64_t w)
{
    int64_t at = 0, stride = 1;
    for (int i = f->spatial; i-- > 0; k /= f->block[i], w /= f->blocks[i]) {
        int64_t x = w % f->blocks[i] * f->stride[i] - f->low[i] + k % f->block[i] * f->dilation[i];
        if (x < 0 || x >= f->image[i])
            return f->pixels;
        at += x * stride;
        stride *= f->image[i];
    }
    return at;
}

/* The columns go where the image would be gathered from, one more pixel taking what falls into the pads. */
static gm_status expand_col2im(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    gm_dim channels = gm_value_of(graph, node->outputs[0])->dims[1];
    gm_axis_size axes[GM_MAX_RANK] = {{x.dims[0], node->inputs[0], 0}, {channels, 0, 0}};
    gm_node copy = *node;
    gm_value_id columns, image[3];
    gm_tensor *pixels;
    int64_t count;
    folding f;
    if (!gm_dim_is_known(x.dims[2]))
        return GM_OK; /* once the number of windows is checked */
    GM_TRY(read_folding(graph, &copy, &f));
    if (__builtin_mul_overflow(f.block_size, f.block_count, &count))
        return gm_node_fail(graph, node, "the image is too large");
    if (!(pixels = gm_tensor_create(graph->pool, GM_INT64, 1, &count)))
        return graph->status = GM_ERROR_MEMORY;
    for (int64_t i = 0; i < count; i++)
        gm_set_int(pixels, i, pixel_of(&f, i / f.block_count, i % f.block_count));
    axes[2] = (gm_axis_size){count, 0, 0};
    columns = gm_reshape_to(graph, node->inputs[0], 3, axes);
    axes[1] = (gm_axis_size){channels, columns, 1};
    axes[2] = (gm_axis_size){f.pixels + 1, 0, 0};
    image[0] = columns;
    image[1] = gm_graph_constant(graph, pixels);
    image[2] = gm_shape_vector(graph, 3, axes);
    image[0] = gm_emit(graph, "gmodel.GatherGrad", image, 3, (gm_attribute[]){gm_attribute_int("axis", 2)}, 1);
    {
        gm_value_id cut[4] = {image[0], gm_const_ints(graph, (int64_t[]){0}, 1), gm_const_ints(graph, &f.pixels, 1),
                              gm_const_ints(graph, (int64_t[]){2}, 1)};
        image[0] = gm_emit(graph, "Slice", cut, 4, NULL, 0);
    }
    for (int i = 0; i < f.spatial; i++)
        axes[i + 2] = (gm_axis_size){f.image[i], 0, 0};
    outputs[0] = gm_reshape_to(graph, image[0], f.spatial + 2, axes);
    return graph->status;
}

static const gm_attribute_schema col2im_attributes[] = {{"dilations", GM_ATTRIBUTE_INTS, GM_OPTIONAL, .i = 0},
                                                        {"pads", GM_ATTRIBUTE_INTS, GM_OPTIONAL, .i = 0},
                                                        {"strides", GM_ATTRIBUTE_INTS, GM_OPTIONAL, .i = 0}};
const gm_operator gm_op_col2im = {.domain = "",
                                  .name = "Col2Im",
                                  .since = 18,
                                  .inputs = "input image_shape block_shape",
                                  .outputs = "output",
                                  .types = GM_TYPES_NUMERIC,
                                  .attributes = col2im_attributes,
                                  .attribute_count = GM_COUNT(col2im_attributes),
                                  .infer = infer_col2im,
                                  .expand = expand_col2im};

/* --- DeformConv ------------------------------------------------------------------------------------------------------- */

typedef struct deformation {
    gm_window window;
    int64_t group, offset_group, channels, filters, positions; /* positions: of the kernel */
    gm_dim out[GM_MAX_SPATIAL];
} deformation;

/* Input `input` must have these dims, where they are known. */
static gm_status check_dims(gm_graph *graph, gm_node *node, size_t input, int rank, const gm_dim *dims)
{
    char text[160], wanted[160];
    const gm_value *value;
    bool fits;
    if (input >= node->input_count || !node->inputs[input])
        return GM_OK;
    value = gm_value_of(graph, node->inputs[input]);
    fits = value->rank == rank;
    for (int i = 0; fits && i < rank; i++)
        fits = !gm_dim_is_known(dims[i]) || !gm_dim_is_known(value->dims[i]) || dims[i] == value->dims[i];
    return fits ? GM_OK
                : gm_node_fail(graph, node, "input %zu of (%s) must be %s, found %s", input + 1, node->op->inputs,
                               gm_dims_print(graph->symbols, rank, dims, wanted, sizeof wanted),
                               gm_shape_text(graph, node->inputs[input], text, sizeof text));
}

static gm_status read_channels(gm_graph *graph, gm_node *node, deformation *d)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]), w = *gm_value_of(graph, node->inputs[1]);
    d->group = gm_node_int(node, "group", 1);
    d->offset_group = gm_node_int(node, "offset_group", 1);
    d->positions = 1;
    for (int i = 0; i < w.rank; i++)
        if (!gm_dim_is_known(w.dims[i]) || w.dims[i] > LARGEST)
            return gm_node_fail(graph, node, "the sizes of the weights must be known, and at most %lld",
                                (long long)LARGEST);
    for (int i = 2; i < w.rank && d->positions <= LARGEST; i++)
        d->positions *= w.dims[i];
    if (d->positions > LARGEST)
        return gm_node_fail(graph, node, "the kernel has more than %lld positions", (long long)LARGEST);
    if (d->group < 1 || d->offset_group < 1 || d->group > LARGEST || d->offset_group > LARGEST)
        return gm_node_fail(graph, node, "group and offset_group must be positive");
    d->filters = w.dims[0];
    d->channels = w.dims[1] * d->group;
    if (d->channels < 1 || d->filters < 1 || d->filters % d->group != 0 || d->channels % d->offset_group != 0 ||
        (gm_dim_is_known(x.dims[1]) && x.dims[1] != d->channels))
        return gm_node_fail(graph, node,
                            "weights [%lld, %lld, ...] with group %lld and offset_group %lld do not fit an input of "
                            "%lld channels",
                            (long long)w.dims[0], (long long)w.dims[1], (long long)d->group, (long long)d->offset_group,
                            (long long)x.dims[1]);
    return GM_OK;
}

static gm_status read_deformation(gm_graph *graph, gm_node *node, deformation *d)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]), w = *gm_value_of(graph, node->inputs[1]);
    gm_dim dims[GM_MAX_RANK] = {x.dims[0]};
    const char *problem;
    GM_TRY(gm_infer_same_type(graph, node));
    if (x.rank < 3 || w.rank != x.rank)
        return gm_node_fail(graph, node, "X and W must be [n, channels, spatial...], found rank %d and %d", x.rank,
                            w.rank);
    GM_TRY(read_channels(graph, node, d));
    if ((problem = gm_window_read(node, x.rank, w.dims + 2, &d->window)))
        return gm_node_fail(graph, node, "%s", problem);
    GM_TRY(gm_window_resolve(graph, node, &d->window, x.dims + 2, false, d->out));
    memcpy(dims + 2, d->out, (size_t)d->window.spatial * sizeof dims[0]);
    dims[1] = d->offset_group * d->positions * d->window.spatial;
    GM_TRY(check_dims(graph, node, 2, x.rank, dims));
    dims[1] = d->offset_group * d->positions;
    GM_TRY(check_dims(graph, node, 4, x.rank, dims));
    return check_dims(graph, node, 3, 1, &d->filters);
}

/* https://onnx.ai/onnx/operators/onnx__DeformConv.html: X[n, channels, s...], W[filters, channels / group, k...],
 * offset[n, offset_group * k * d, t...], B[filters], mask[n, offset_group * k, t...] -> [n, filters, t...]. Position k of a
 * window is read where the offset moves it, between pixels, 0 outside. Zhu et al., Deformable ConvNets v2. */
static gm_status infer_deform_conv(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    deformation d;
    GM_TRY(read_deformation(graph, node, &d));
    x.dims[1] = d.filters;
    memcpy(x.dims + 2, d.out, (size_t)d.window.spatial * sizeof x.dims[0]);
    gm_set_output(graph, node, 0, x.type, x.rank, x.dims);
    return graph->status;
}

/* double[k, t..., d]: where the positions of all windows stand without their offsets, the last axis first, as GridSample
 * counts: (2 x + 1) / size - 1. */
static gm_value_id standing_points(gm_graph *graph, const deformation *d, const gm_dim *size)
{
    const gm_window *window = &d->window;
    int64_t dims[GM_MAX_RANK] = {d->positions}, count;
    int spatial = window->spatial;
    gm_tensor *points;
    memcpy(dims + 1, d->out, (size_t)spatial * sizeof dims[0]);
    dims[spatial + 1] = spatial;
    if (!(points = gm_tensor_create(graph->pool, GM_DOUBLE, spatial + 2, dims))) {
        graph->status = GM_ERROR_MEMORY;
        return 0;
    }
    count = gm_tensor_count(points) / spatial;
    for (int64_t p = 0; p < count; p++) {
        int64_t at = p, k = 0, tap[GM_MAX_SPATIAL];
        for (int i = spatial; i-- > 0; at /= d->out[i])
            tap[i] = at % d->out[i] * window->stride[i] - window->low[i];
        k = at;
        for (int i = spatial; i-- > 0; k /= window->kernel[i])
            tap[i] += k % window->kernel[i] * window->dilation[i];
        for (int i = 0; i < spatial; i++)
            gm_set(points, p * spatial + spatial - 1 - i, (2.0 * (double)tap[i] + 1.0) / (double)size[i] - 1.0);
    }
    return gm_graph_constant(graph, points);
}

static gm_axis_size fixed(gm_dim size)
{
    return (gm_axis_size){size, 0, 0};
}

/* `value` reshaped to [first, ...rest]: `first` may be a symbol, which the reshape finds by itself. */
static gm_value_id reshape_rest(gm_graph *graph, gm_value_id value, gm_dim first, int count, const int64_t *rest)
{
    gm_axis_size axes[GM_MAX_RANK] = {{first, 0, 0}};
    for (int i = 0; i < count; i++)
        axes[i + 1] = fixed(rest[i]);
    return gm_reshape_to(graph, value, count + 1, axes);
}

/* The grid [n * offset_group, k * t1, t2..., d] at which X is read. */
static gm_value_id moved_points(gm_graph *graph, const gm_node *node, const deformation *d, gm_dim images)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    int spatial = d->window.spatial;
    int64_t rest[GM_MAX_RANK] = {d->positions, spatial}, perm[GM_MAX_RANK] = {0, 1}, back[GM_MAX_SPATIAL];
    gm_tensor *scale = gm_tensor_create(graph->pool, GM_DOUBLE, 1, (int64_t[]){spatial});
    gm_value_id moves = gm_emit1_with(graph, "Cast", node->inputs[2], gm_attribute_int("to", GM_DOUBLE));
    if (!scale) {
        graph->status = GM_ERROR_MEMORY;
        return 0;
    }
    for (int i = 0; i < spatial; i++) {
        rest[i + 2] = d->out[i];
        perm[i + 2] = i + 3;
        back[i] = spatial - 1 - i;
        gm_set(scale, spatial - 1 - i, 2.0 / (double)x.dims[i + 2]);
    }
    perm[spatial + 2] = 2;
    moves = reshape_rest(graph, moves, images, spatial + 2, rest);
    moves = gm_emit1_with(graph, "Transpose", moves, gm_attribute_ints("perm", perm, (size_t)spatial + 3));
    moves = gm_emit2_with(graph, "Gather", moves, gm_const_ints(graph, back, (size_t)spatial),
                          gm_attribute_int("axis", spatial + 2));
    moves = gm_emit2(graph, "Mul", moves, gm_graph_constant(graph, scale));
    moves = gm_emit2(graph, "Add", moves, standing_points(graph, d, x.dims + 2));
    rest[0] = gm_dim_mul(graph->symbols, d->positions, d->out[0]);
    memcpy(rest + 1, d->out + 1, (size_t)(spatial - 1) * sizeof rest[0]);
    rest[spatial] = spatial;
    return reshape_rest(graph, moves, images, spatial + 1, rest);
}

/* [n, channels, k, windows]: what the windows read, times the mask */
static gm_value_id read_columns(gm_graph *graph, const gm_node *node, const deformation *d, int64_t windows)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    int64_t each = d->channels / d->offset_group, rest[GM_MAX_RANK] = {each};
    gm_dim images = gm_dim_mul(graph->symbols, x.dims[0], d->offset_group);
    gm_value_id grid = moved_points(graph, node, d, images), columns;
    memcpy(rest + 1, x.dims + 2, (size_t)d->window.spatial * sizeof rest[0]);
    columns = reshape_rest(graph, node->inputs[0], images, d->window.spatial + 1, rest);
    columns = gm_emit2(graph, "GridSample", columns, grid);
    if (node->input_count > 4 && node->inputs[4]) {
        gm_value_id mask = reshape_rest(graph, node->inputs[4], images, 3, (int64_t[]){1, d->positions, windows});
        columns = reshape_rest(graph, columns, images, 3, (int64_t[]){each, d->positions, windows});
        columns = gm_emit2(graph, "Mul", columns, mask);
    }
    return columns;
}

static gm_status expand_deform_conv(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    gm_node copy = *node;
    gm_dim windows = 1, depth;
    gm_value_id columns, weights, y;
    int64_t rest[GM_MAX_RANK];
    deformation d;
    GM_TRY(read_deformation(graph, &copy, &d));
    for (int i = 0; i < d.window.spatial; i++) {
        if (!gm_dim_is_known(x.dims[i + 2]))
            return GM_OK; /* once the sizes of the image are known */
        windows = gm_dim_mul(graph->symbols, windows, d.out[i]);
    }
    depth = gm_dim_mul(graph->symbols, d.channels / d.group, d.positions);
    columns = read_columns(graph, node, &d, windows);
    columns = reshape_rest(graph, columns, x.dims[0], 3, (int64_t[]){d.group, depth, windows});
    weights = reshape_rest(graph, node->inputs[1], d.group, 2, (int64_t[]){d.filters / d.group, depth});
    y = gm_emit2(graph, "MatMul", weights, columns);
    rest[0] = d.filters;
    memcpy(rest + 1, d.out, (size_t)d.window.spatial * sizeof rest[0]);
    y = reshape_rest(graph, y, x.dims[0], d.window.spatial + 1, rest);
    if (node->input_count > 3 && node->inputs[3]) {
        int64_t ones[GM_MAX_SPATIAL] = {1, 1, 1};
        y = gm_emit2(graph, "Add", y, reshape_rest(graph, node->inputs[3], d.filters, d.window.spatial, ones));
    }
    outputs[0] = y;
    return graph->status;
}

static const gm_attribute_schema deform_conv_attributes[] = {
    {"dilations", GM_ATTRIBUTE_INTS, GM_OPTIONAL, .i = 0},    {"group", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 1},
    {"kernel_shape", GM_ATTRIBUTE_INTS, GM_OPTIONAL, .i = 0}, {"offset_group", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 1},
    {"pads", GM_ATTRIBUTE_INTS, GM_OPTIONAL, .i = 0},         {"strides", GM_ATTRIBUTE_INTS, GM_OPTIONAL, .i = 0}};
const gm_operator gm_op_deform_conv = {.domain = "",
                                       .name = "DeformConv",
                                       .since = 22,
                                       .inputs = "X W offset B? mask?",
                                       .outputs = "Y",
                                       .types = GM_TYPES_FLOATING,
                                       .attributes = deform_conv_attributes,
                                       .attribute_count = GM_COUNT(deform_conv_attributes),
                                       .infer = infer_deform_conv,
                                       .expand = expand_deform_conv};
