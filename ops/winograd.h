/* 5x5 convolutions of stride 1 with a quarter of the multiplications: Winograd's minimal filtering F(4x4, 5x5).
 *
 * A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks" (2015), eq. 8: each 4x4 tile of the output is
 *   Y = A^T [ (G g G^T) .* (B^T d B) ] A
 * for an 8x8 tile d of the input and the kernel g; summed over input channels the 64 elementwise products are 64 matrix
 * products. Points of interpolation: 0, 1, -1, 2, -2, 1/2, -1/2, infinity. The error in float32 is about 5e-6 of the
 * result's root mean square. The weight gradient is the transpose of the same bilinear form:
 *   dW = G^T [ sum over tiles of (B^T d B) .* (A dY A^T) ] G */
#ifndef GM_OPS_WINOGRAD_H
#define GM_OPS_WINOGRAD_H

#include "ops/kernel.h"

typedef enum gm_winograd_kind {
    GM_WINOGRAD_FORWARD,   /* in[0] = x (N, C, H, W), in[1] = w (M, C, 5, 5) -> y (N, M, outH, outW) */
    GM_WINOGRAD_TRANSPOSE, /* in[0] = x (N, C, H, W), in[1] = w (C, M, 5, 5), flipped -> y (N, M, outH, outW) */
    GM_WINOGRAD_WEIGHTS    /* in[0] = x (N, C, H, W), in[1] = dy (N, M, outH, outW) -> dw (M, C, 5, 5) */
} gm_winograd_kind;

typedef struct gm_winograd_shape {
    gm_winograd_kind kind;
    int64_t n, c, m, h, w, out_h, out_w;
    int64_t pad_top, pad_left; /* rows and columns of zeros before the input, as the forward formula sees it */
} gm_winograd_shape;

/* Is this shape worth it: channels that fill vectors, enough work. */
bool gm_winograd_fits(const gm_winograd_shape *shape);
/* Lowers into such a kernel: wants activations in blocks of 16 (or 8, or channels last, where they are at hand so), weights
 * plain. */
gm_status gm_winograd_lower(gm_lower *lower, const gm_winograd_shape *shape);

#endif
