/* ConvTranspose into one channel, the last layer of a generator of grey pictures (and, as the gradient of a convolution, the
 * first layer of its critic).
 *
 * Each pixel is a sum over all channels and the kernel's entries that reach it. Channels come in vectors, as they lie in a
 * blocked tensor: a row of pixels of one column phase (v = p, p + stride, ...) is computed together, one entry of the kernel
 * after the other, each pixel in lanes of its own, and its lanes are added up at the end. A picture is copied first, with a
 * border of zeros, so that no place is outside. */
#ifndef GM_OPS_ONE_CHANNEL_H
#define GM_OPS_ONE_CHANNEL_H

#include "ops/conv_window.h"

/* Is it such a layer: two axes at most, without groups or dilation, with channels that fill vectors? */
bool gm_one_channel_fits(const gm_conv_shape *shape);
/* Lowers ConvTranspose into such a kernel: wants the input in blocks of 16 (or plain, where it is at hand so), weights plain.
 * has_bias: in[2] is added. */
gm_status gm_one_channel_lower(gm_lower *lower, const gm_conv_shape *shape, bool has_bias);

#endif
