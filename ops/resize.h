/* Resizing as one linear map per axis: where each position of the result looks (resize_taps.c), and the fast kernel
 * (resize_kernels.c) that Resize and gmodel.ResizeGrad share (resize.c). */
#ifndef GM_OPS_RESIZE_H
#define GM_OPS_RESIZE_H

#include "ops/kernel.h"

typedef enum gm_resize_mode { GM_RESIZE_NEAREST, GM_RESIZE_LINEAR, GM_RESIZE_CUBIC } gm_resize_mode;

/* coordinate_transformation_mode */
typedef enum gm_resize_coordinate {
    GM_RESIZE_HALF_PIXEL,
    GM_RESIZE_HALF_PIXEL_SYMMETRIC,
    GM_RESIZE_PYTORCH_HALF_PIXEL,
    GM_RESIZE_ALIGN_CORNERS,
    GM_RESIZE_ASYMMETRIC,
    GM_RESIZE_CROP,     /* tf_crop_and_resize */
    GM_RESIZE_HALF_ONLY /* tf_half_pixel_for_nn, of operator sets 11 and 12 */
} gm_resize_coordinate;

/* nearest_mode */
typedef enum gm_resize_round {
    GM_RESIZE_ROUND_PREFER_FLOOR,
    GM_RESIZE_ROUND_PREFER_CEIL,
    GM_RESIZE_FLOOR,
    GM_RESIZE_CEIL
} gm_resize_round;

/* One axis: `in` positions become `out`. The scale is numerator / denominator, whole numbers where it stands for a
 * quotient of such, so that x / scale is exact where it is whole. */
typedef struct gm_resize_axis {
    int64_t in, out;
    double numerator, denominator;
    double start, end; /* the region of interest of GM_RESIZE_CROP, in units of in - 1 */
} gm_resize_axis;

/* A node with the numbers of its inputs. */
typedef struct gm_resize {
    gm_resize_mode mode;
    gm_resize_coordinate coordinate;
    gm_resize_round round;
    bool antialias, exclude_outside;
    double cubic_a, extrapolation;
    int rank;
    gm_resize_axis axes[GM_MAX_RANK];
} gm_resize;

/* Position i of the result is the sum of weight[k] * x[index[k]], start[i] <= k < start[i + 1]; without any k it lies
 * outside the region of interest and takes the extrapolation value. Indices ascend and are in [0, in). */
typedef struct gm_resize_taps {
    int64_t in, out;
    int64_t *start, *index;
    double *weight;
} gm_resize_taps;

gm_status gm_resize_make_taps(gm_pool *pool, const gm_resize *resize, int axis, gm_resize_taps *taps_out);
/* The transposed map: from gradients of the result to gradients of x. Positions that nobody reads have no taps. */
gm_status gm_resize_transpose_taps(gm_pool *pool, const gm_resize_taps *taps, gm_resize_taps *transposed_out);

/* Float32: input 0, of shape `in`, to output 0 by the maps of all axes; `fill`: where there are no taps. */
gm_status gm_resize_lower(gm_lower *lower, const gm_resize_taps *taps, int rank, const int64_t *in, double fill);

#endif
