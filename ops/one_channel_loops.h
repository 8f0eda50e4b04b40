/* The loops of ops/one_channel.c, included once per instruction set with these defined: NAME(x), LANES (floats in a vector),
 * VECTOR (its type, of which arrays are aligned to 64 bytes), MULTIPLY_ADD(a, b, c), SUM(v) of its lanes, TARGET of functions.
 * No include guard on purpose. */

TARGET static inline __attribute__((always_inline)) void NAME(pixels)(const one_channel *o, const float *picture,
                                                                      const float *weights, const first_window *first,
                                                                      int together, float bias, float *to)
{
    VECTOR sum[MOST_TOGETHER];
    int64_t area = o->rows * o->columns * LANES, taps = o->kernel_h * o->kernel_w * LANES, y = first->y;
#pragma GCC unroll 14
    for (int j = 0; j < together; j++)
        sum[j] = (VECTOR){0};
    for (int64_t ky = first->ky; ky < o->kernel_h; ky += o->stride_h, y--)
        for (int64_t kx = first->kx, x = first->x; kx < o->kernel_w; kx += o->stride_w, x--) {
            const float *from = picture + (y * o->columns + x) * LANES;
            const float *weight = weights + (ky * o->kernel_w + kx) * LANES;
            for (int64_t c = 0; c < o->channels; c += LANES, from += area, weight += taps) {
                VECTOR w = *(const VECTOR *)(const void *)weight;
#pragma GCC unroll 14
                for (int j = 0; j < together; j++)
                    sum[j] = MULTIPLY_ADD(w, ((const VECTOR *)(const void *)from)[j], sum[j]);
            }
        }
#pragma GCC unroll 14
    for (int j = 0; j < together; j++)
        to[j] = SUM(sum[j]) + bias;
}

#define PIXELS(TOGETHER)                                                                                               \
    TARGET static void NAME(pixels_##TOGETHER)(const one_channel *o, const float *picture, const float *weights,       \
                                               const first_window *first, float bias, float *to)                       \
    {                                                                                                                  \
        NAME(pixels)(o, picture, weights, first, TOGETHER, bias, to);                                                  \
    }
PIXELS(14)
PIXELS(8)
PIXELS(7)
#undef PIXELS

/* The input [C, H, W] of one picture, in blocks of o->block, into the middle of [C / LANES, rows, columns, LANES]. */
TARGET static void NAME(copy)(const one_channel *o, const float *x, float *picture)
{
    int64_t pixels = o->small_h * o->small_w;
    for (int64_t c = 0; c < o->channels; c += LANES)
        for (int64_t y = 0; y < o->small_h; y++) {
            float *to = picture + ((c / LANES * o->rows + y + o->top) * o->columns + o->left) * LANES;
            const float *from = x + c / o->block * o->block * pixels + y * o->small_w * o->block + c % o->block;
            if (o->block == 1)
                for (int64_t i = 0; i < o->small_w; i++)
                    for (int l = 0; l < LANES; l++)
                        to[i * LANES + l] = from[i + l * pixels];
            else
                for (int64_t i = 0; i < o->small_w; i++)
                    memcpy(to + i * LANES, from + i * o->block, LANES * sizeof *to);
        }
}

static const one_channel_loops NAME(loops) = {LANES, {NAME(pixels_14), NAME(pixels_8), NAME(pixels_7)}, NAME(copy)};
