/* Sliding windows: the attributes that convolutions and poolings share (kernel_shape, strides, dilations, pads,
 * auto_pad), and the geometry of a convolution.
 *
 * The large side of a window ("big": Conv's X, ConvTranspose's Y) and the small one are tied by
 *   big position = small position * stride - low + kernel position * dilation. */
#ifndef GM_OPS_CONV_WINDOW_H
#define GM_OPS_CONV_WINDOW_H

#include "ops/kernel.h"

#define GM_MAX_SPATIAL 3

typedef enum gm_auto_pad { GM_PAD_EXPLICIT, GM_PAD_SAME_UPPER, GM_PAD_SAME_LOWER, GM_PAD_VALID } gm_auto_pad;

typedef struct gm_window {
    int spatial;
    gm_auto_pad auto_pad;
    int64_t kernel[GM_MAX_SPATIAL], stride[GM_MAX_SPATIAL], dilation[GM_MAX_SPATIAL];
    int64_t low[GM_MAX_SPATIAL], high[GM_MAX_SPATIAL]; /* pads; with auto_pad valid after gm_window_resolve only */
    int64_t output_padding[GM_MAX_SPATIAL], output_shape[GM_MAX_SPATIAL]; /* ConvTranspose; output_shape 0: not given */
} gm_window;

/* Reads the attributes of a node over tensors of `rank` axes. kernel: of the weights, or NULL to take it from
 * kernel_shape. Returns NULL, or what is wrong with them. */
const char *gm_window_read(const gm_node *node, int rank, const int64_t *kernel, gm_window *window);
int64_t gm_window_extent(const gm_window *window, int axis); /* (kernel - 1) * dilation + 1 */

/* Pads and small sizes for big sizes (Conv, pooling). `big` may be symbolic: pads that depend on it are then left at
 * -1. ceil_mode: windows may hang over the end (those which would start beyond the data do not count). */
gm_status gm_window_resolve(gm_graph *graph, const gm_node *node, gm_window *window, const gm_dim *big, bool ceil_mode,
                            gm_dim *small_out);
/* Pads and big sizes for small sizes (ConvTranspose). */
gm_status gm_window_resolve_transposed(gm_graph *graph, const gm_node *node, gm_window *window, const gm_dim *small,
                                       gm_dim *big_out);
/* The same pads for sizes that are known and were checked by shape inference. */
void gm_window_pads(gm_window *window, const int64_t *big);
void gm_window_pads_transposed(gm_window *window, const int64_t *small);

/* --- Convolution -------------------------------------------------------------------------------------------------- */

/* Everything a kernel needs; sizes are filled up to three spatial axes with leading ones. */
typedef struct gm_conv_shape {
    int spatial;
    int64_t batch, group, big_channels, small_channels;
    int64_t big[GM_MAX_SPATIAL], small[GM_MAX_SPATIAL];
    int64_t kernel[GM_MAX_SPATIAL], stride[GM_MAX_SPATIAL], dilation[GM_MAX_SPATIAL], low[GM_MAX_SPATIAL];
} gm_conv_shape;

typedef enum gm_conv_role { GM_CONV, GM_CONV_TRANSPOSE, GM_CONV_WEIGHT_GRAD } gm_conv_role;

/* dims of the node's first two inputs and its output, all known. */
void gm_conv_shape_of(const gm_node *node, gm_conv_role role, int rank, const int64_t *first, const int64_t *second,
                      const int64_t *output, gm_conv_shape *shape);

gm_status gm_conv_reference(const gm_compute *compute);
gm_status gm_conv_transpose_reference(const gm_compute *compute);
gm_status gm_conv_weight_grad_reference(const gm_compute *compute);
extern const char *const gm_conv_formulations[]; /* the ways of the three below */
gm_status gm_conv_lower(gm_lower *lower);
gm_status gm_conv_transpose_lower(gm_lower *lower);
gm_status gm_conv_weight_grad_lower(gm_lower *lower);

#endif
