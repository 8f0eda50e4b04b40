/* Sliding windows: attributes, pads and sizes of convolutions and poolings. */
#include "ops/conv_window.h"

#include <string.h>

#define LARGEST ((int64_t)1 << 24) /* of any one attribute: keeps products within int64 */

typedef struct list_rule {
    const char *name;
    int64_t least, fallback;
    size_t offset; /* in gm_window */
} list_rule;

static const char *read_list(const gm_node *node, const list_rule *rule, gm_window *window)
{
    const int64_t *values;
    int64_t *target = (int64_t *)((char *)window + rule->offset);
    size_t count = gm_node_ints(node, rule->name, &values);
    if (count && count != (size_t)window->spatial)
        return "kernel_shape, strides, dilations, output_padding and output_shape need one number per spatial axis";
    for (int i = 0; i < window->spatial; i++) {
        target[i] = count ? values[i] : rule->fallback;
        if (target[i] < rule->least || target[i] > LARGEST)
            return "a number of kernel_shape, strides, dilations, output_padding or output_shape is out of range";
    }
    return NULL;
}

static const char *read_pads(const gm_node *node, gm_window *window)
{
    static const char *const names[] = {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"};
    const char *mode = gm_node_string(node, "auto_pad", "NOTSET");
    const int64_t *values;
    size_t count = gm_node_ints(node, "pads", &values), found = GM_COUNT(names);
    for (size_t i = 0; i < GM_COUNT(names); i++)
        if (strcmp(mode, names[i]) == 0)
            found = i;
    if (found == GM_COUNT(names))
        return "auto_pad must be NOTSET, SAME_UPPER, SAME_LOWER or VALID";
    window->auto_pad = (gm_auto_pad)found;
    if (count && count != 2 * (size_t)window->spatial)
        return "pads needs two numbers per spatial axis: all beginnings, then all ends";
    for (int i = 0; i < window->spatial; i++) {
        window->low[i] = count && found == GM_PAD_EXPLICIT ? values[i] : 0;
        window->high[i] = count && found == GM_PAD_EXPLICIT ? values[i + window->spatial] : 0;
        if (window->low[i] < -LARGEST || window->low[i] > LARGEST || window->high[i] < -LARGEST ||
            window->high[i] > LARGEST)
            return "a number of pads is out of range";
    }
    return NULL;
}

const char *gm_window_read(const gm_node *node, int rank, const int64_t *kernel, gm_window *window)
{
    static const list_rule rules[] = {{"kernel_shape", 1, 1, offsetof(gm_window, kernel)},
                                      {"strides", 1, 1, offsetof(gm_window, stride)},
                                      {"dilations", 1, 1, offsetof(gm_window, dilation)},
                                      {"output_padding", 0, 0, offsetof(gm_window, output_padding)},
                                      {"output_shape", 0, 0, offsetof(gm_window, output_shape)}};
    const char *problem = NULL;
    const int64_t *given;
    memset(window, 0, sizeof *window);
    window->spatial = rank - 2;
    if (window->spatial < 1 || window->spatial > GM_MAX_SPATIAL)
        return "takes tensors [N, C, spatial...] with one, two or three spatial axes";
    for (size_t i = 0; i < GM_COUNT(rules) && !problem; i++)
        problem = read_list(node, &rules[i], window);
    if (!problem)
        problem = read_pads(node, window);
    if (problem)
        return problem;
    if (!kernel)
        return gm_node_ints(node, "kernel_shape", &given) ? NULL : "attribute kernel_shape is missing";
    for (int i = 0; i < window->spatial; i++) {
        if (gm_node_ints(node, "kernel_shape", &given) && given[i] != kernel[i])
            return "kernel_shape differs from the shape of the weights";
        if (kernel[i] < 1 || kernel[i] > LARGEST)
            return "the weights have an empty or too large spatial axis";
        window->kernel[i] = kernel[i];
    }
    return NULL;
}

int64_t gm_window_extent(const gm_window *window, int axis)
{
    return (window->kernel[axis] - 1) * window->dilation[axis] + 1;
}

static int64_t at_least_zero(int64_t x)
{
    return x > 0 ? x : 0;
}

/* --- Conv, pooling ------------------------------------------------------------------------------------------------ */

void gm_window_pads(gm_window *window, const int64_t *big)
{
    if (window->auto_pad != GM_PAD_SAME_UPPER && window->auto_pad != GM_PAD_SAME_LOWER)
        return;
    for (int i = 0; i < window->spatial; i++) {
        int64_t small = (big[i] + window->stride[i] - 1) / window->stride[i];
        int64_t total = at_least_zero((small - 1) * window->stride[i] + gm_window_extent(window, i) - big[i]);
        window->low[i] = window->auto_pad == GM_PAD_SAME_UPPER ? total / 2 : total - total / 2;
        window->high[i] = total - window->low[i];
    }
}

/* One axis of SAME_UPPER and SAME_LOWER whose size is a symbol. */
static void pads_of_symbol(gm_window *window, int i)
{
    int64_t total = gm_window_extent(window, i) - 1;
    window->low[i] = window->auto_pad == GM_PAD_SAME_UPPER ? total / 2 : total - total / 2;
    window->high[i] = total - window->low[i];
    if (window->stride[i] != 1)
        window->low[i] = window->high[i] = -1;
}

gm_status gm_window_resolve(gm_graph *graph, const gm_node *node, gm_window *window, const gm_dim *big, bool ceil_mode,
                            gm_dim *small_out)
{
    bool same = window->auto_pad == GM_PAD_SAME_UPPER || window->auto_pad == GM_PAD_SAME_LOWER;
    int64_t sizes[GM_MAX_SPATIAL];
    for (int i = 0; i < window->spatial; i++)
        sizes[i] = gm_dim_is_known(big[i]) && big[i] < INT32_MAX ? big[i] : 1;
    gm_window_pads(window, sizes);
    for (int i = 0; i < window->spatial; i++) {
        int64_t stride = window->stride[i], extent = gm_window_extent(window, i), room;
        if (!gm_dim_is_known(big[i])) {
            if (same)
                pads_of_symbol(window, i);
            small_out[i] = same ? gm_dim_window(graph->symbols, big[i], 0, stride, 0, true)
                                : gm_dim_window(graph->symbols, big[i], window->low[i] + window->high[i] - extent,
                                                stride, 1, ceil_mode);
            continue;
        }
        room = big[i] + window->low[i] + window->high[i] - extent;
        if (big[i] >= INT32_MAX || room < 0 || big[i] < 1)
            return gm_node_fail(graph, node,
                                "the kernel covers %lld positions of spatial axis %d, which has %lld with its pads",
                                (long long)extent, i, (long long)(room + extent));
        small_out[i] = (room + (ceil_mode && !same ? stride - 1 : 0)) / stride + 1;
        if (ceil_mode && !same && (small_out[i] - 1) * stride >= big[i] + window->low[i])
            small_out[i]--;
    }
    return GM_OK;
}

/* --- ConvTranspose ------------------------------------------------------------------------------------------------ */

/* Size with no pads at all: stride * (small - 1) + output_padding + extent. */
static int64_t full_size(const gm_window *window, int i, int64_t small)
{
    return window->stride[i] * (small - 1) + window->output_padding[i] + gm_window_extent(window, i);
}

/* Pads that make the result `size` long; a negative total lengthens the end. */
static void split_pads(gm_window *window, int i, int64_t total)
{
    int64_t positive = at_least_zero(total);
    window->low[i] = window->auto_pad == GM_PAD_SAME_UPPER ? positive / 2 : positive - positive / 2;
    window->high[i] = total - window->low[i];
}

void gm_window_pads_transposed(gm_window *window, const int64_t *small)
{
    bool same = window->auto_pad == GM_PAD_SAME_UPPER || window->auto_pad == GM_PAD_SAME_LOWER;
    for (int i = 0; i < window->spatial; i++)
        if (window->output_shape[i])
            split_pads(window, i, full_size(window, i, small[i]) - window->output_shape[i]);
        else if (same) /* the size is small * stride */
            split_pads(window, i, window->output_padding[i] + gm_window_extent(window, i) - window->stride[i]);
}

gm_status gm_window_resolve_transposed(gm_graph *graph, const gm_node *node, gm_window *window, const gm_dim *small,
                                       gm_dim *big_out)
{
    int64_t sizes[GM_MAX_SPATIAL];
    for (int i = 0; i < window->spatial; i++) {
        if (!gm_dim_is_known(small[i]) && window->output_shape[i])
            return gm_node_fail(graph, node, "output_shape needs a known size of spatial axis %d", i);
        if (gm_dim_is_known(small[i]) && (small[i] < 1 || small[i] >= INT32_MAX))
            return gm_node_fail(graph, node, "spatial axis %d has %lld positions", i, (long long)small[i]);
        sizes[i] = gm_dim_is_known(small[i]) ? small[i] : 1;
    }
    gm_window_pads_transposed(window, sizes);
    for (int i = 0; i < window->spatial; i++) {
        int64_t rest = window->output_padding[i] + gm_window_extent(window, i) - window->low[i] - window->high[i] -
                       window->stride[i];
        gm_dim scaled = gm_dim_mul(graph->symbols, small[i], window->stride[i]);
        if (gm_dim_is_known(scaled)) {
            big_out[i] = scaled + rest;
            if (big_out[i] < 1)
                return gm_node_fail(graph, node, "the pads leave nothing of spatial axis %d", i);
        } else {
            big_out[i] =
                rest < 0 ? gm_dim_sub(graph->symbols, scaled, -rest) : gm_dim_add(graph->symbols, scaled, rest);
        }
    }
    return GM_OK;
}

/* --- Convolution -------------------------------------------------------------------------------------------------- */

void gm_conv_shape_of(const gm_node *node, gm_conv_role role, int rank, const int64_t *first, const int64_t *second,
                      const int64_t *output, gm_conv_shape *shape)
{
    const int64_t *big = role == GM_CONV_TRANSPOSE ? output : first;
    const int64_t *small = role == GM_CONV ? output : role == GM_CONV_TRANSPOSE ? first : second;
    const int64_t *weights = role == GM_CONV_WEIGHT_GRAD ? output : second;
    gm_window window;
    int skip;
    gm_window_read(node, rank, weights + 2, &window); /* cannot fail: shape inference did the same */
    if (role == GM_CONV_TRANSPOSE)
        gm_window_pads_transposed(&window, small + 2);
    else
        gm_window_pads(&window, big + 2);
    skip = GM_MAX_SPATIAL - window.spatial;
    *shape =
        (gm_conv_shape){.spatial = window.spatial, .batch = big[0], .big_channels = big[1], .small_channels = small[1]};
    shape->group = gm_node_int(node, "group", 1);
    for (int i = 0; i < GM_MAX_SPATIAL; i++) {
        bool real = i >= skip;
        shape->big[i] = real ? big[2 + i - skip] : 1;
        shape->small[i] = real ? small[2 + i - skip] : 1;
        shape->kernel[i] = real ? window.kernel[i - skip] : 1;
        shape->stride[i] = real ? window.stride[i - skip] : 1;
        shape->dilation[i] = real ? window.dilation[i - skip] : 1;
        shape->low[i] = real ? window.low[i - skip] : 0;
    }
}
