/* Convolutions with a fraction of the multiplications: Winograd's minimal filtering, F(4x4, r x r), of stride 1 and 2.
 *
 * A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks" (2015), eq. 8: each 4x4 tile of the output is
 *   Y = A^T [ (G g G^T) .* (B^T d B) ] A
 * for a tile d of the input and the kernel g; summed over input channels the elementwise products are matrix products, one
 * per pair of points. A convolution of stride 2 is the sum of four convolutions of stride 1, each of one phase of the input
 * (its even or odd rows and columns) with the kernel's entries of that phase. The points of a phase with fewer entries are
 * some of the other's, so that the phases are summed before A is applied: their channels lie side by side in the products.
 *
 * The three operators are the contractions of this one trilinear form: with x^ = B^T x B, w^ = G w G^T, y^ = A y A^T,
 *   Conv            y = A^T [ sum over C of x^ .* w^ ] A
 *   ConvTranspose   x = B   [ sum over M of y^ .* w^ ] B^T     (tiles overlap and are added)
 *   ConvWeightGrad  w = G^T [ sum over tiles of x^ .* y^ ] G
 * The error in float32 is below 1e-5 of the result's root mean square. */
#ifndef GM_OPS_WINOGRAD_H
#define GM_OPS_WINOGRAD_H

#include "ops/conv_window.h"

/* Is there such a formula for this shape, and is it worth it: channels that fill vectors, enough work, pictures that are not
 * too large. */
bool gm_winograd_fits(const gm_conv_shape *shape);
/* Lowers into such a kernel: wants activations in blocks of 16 (or 8, or channels last, where they are at hand so; the small
 * side plain, too), weights plain. has_bias: in[2] is added to each channel of the output; of weights: out[1] is the bias's gradient. */
gm_status gm_winograd_lower(gm_lower *lower, const gm_conv_shape *shape, gm_conv_role role, bool has_bias);

#endif
