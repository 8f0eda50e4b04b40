/* ConvTranspose into one channel. See one_channel.h. */
#include "ops/one_channel.h"

#include "ops/vector.h"

#include <string.h>

#define BLOCK         16
#define MOST_TOGETHER 14 /* pixels: so many vectors of sums fit into registers */

static const int64_t counts[] = {14, 8, 7};

typedef struct one_channel one_channel;

/* The first entry of the kernel that reaches a pixel, and the place that it meets in the copied picture. */
typedef struct first_window {
    int64_t ky, kx, y, x;
} first_window;

/* Neighbouring pixels of one column phase, as many as the name says, the first of which has this window. */
typedef void (*pixels_function)(const one_channel *o, const float *picture, const float *weights,
                                const first_window *first, float bias, float *to);

/* For one instruction set; `pixels` by how many are computed together. */
typedef struct one_channel_loops {
    int lanes;
    pixels_function pixels[3];
    void (*copy)(const one_channel *o, const float *x, float *picture);
} one_channel_loops;

struct one_channel {
    const one_channel_loops *loops;
    pixels_function pixels;
    int64_t together;
    int threads;                    /* at most */
    int64_t batch, channels, block; /* of the input */
    int64_t small_h, small_w, h, w; /* sizes of the input and of the result */
    int64_t kernel_h, kernel_w, stride_h, stride_w, low_h, low_w;
    int64_t top, left, rows, columns;     /* the border before a copied picture, its size with all borders */
    size_t weight_floats, picture_floats; /* scratch: weights, then a picture per thread */
    bool has_bias;
};

/* --- Instruction sets ------------------------------------------------------------------------------------------------- */

typedef float vector_4 __attribute__((vector_size(16), may_alias));

#define NAME(x)               base_##x
#define LANES                 4
#define VECTOR                vector_4
#define MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
#define SUM(v)                ((v)[0] + (v)[1] + ((v)[2] + (v)[3]))
#define TARGET
#include "ops/one_channel_loops.h"
#undef NAME
#undef LANES
#undef VECTOR
#undef MULTIPLY_ADD
#undef SUM
#undef TARGET

#ifdef GM_AVX512
#include <immintrin.h>

#define AVX2_TARGET __attribute__((target("avx2,fma")))
AVX2_TARGET static inline float sum_8(__m256 v)
{
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}

#define NAME(x)               avx2_##x
#define LANES                 8
#define VECTOR                __m256
#define MULTIPLY_ADD(a, b, c) _mm256_fmadd_ps(a, b, c)
#define SUM(v)                sum_8(v)
#define TARGET                AVX2_TARGET
#include "ops/one_channel_loops.h"
#undef NAME
#undef LANES
#undef VECTOR
#undef MULTIPLY_ADD
#undef SUM
#undef TARGET

#ifndef __SANITIZE_ADDRESS__ /* see GM_VECTOR */
#define AVX512_TARGET         __attribute__((target(GM_AVX512)))
#define NAME(x)               avx512_##x
#define LANES                 16
#define VECTOR                __m512
#define MULTIPLY_ADD(a, b, c) _mm512_fmadd_ps(a, b, c)
#define SUM(v)                _mm512_reduce_add_ps(v)
#define TARGET                AVX512_TARGET
#include "ops/one_channel_loops.h"
#endif
#endif

static const one_channel_loops *best_loops(void)
{
#ifdef GM_AVX512
#ifndef __SANITIZE_ADDRESS__
    if (gm_has_avx512())
        return &avx512_loops;
#endif
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &avx2_loops;
#endif
    return &base_loops;
}

/* --- Kernel ------------------------------------------------------------------------------------------------------------ */

/* [C, kernel] -> [C / lanes, kernel, lanes] */
static void pack_weights(const one_channel *o, const float *w, float *packed)
{
    int64_t taps = o->kernel_h * o->kernel_w, lanes = o->loops->lanes;
    for (int64_t c = 0; c < o->channels; c++)
        for (int64_t k = 0; k < taps; k++)
            packed[(c / lanes * taps + k) * lanes + c % lanes] = w[c * taps + k];
}

/* Row u of the result. */
static void compute_row(const one_channel *o, const float *picture, const float *weights, float bias, int64_t u,
                        float *row)
{
    first_window first = {.ky = (u + o->low_h) % o->stride_h};
    first.y = (u + o->low_h - first.ky) / o->stride_h + o->top;
    for (int64_t phase = 0; phase < o->stride_w && phase < o->w; phase++) {
        int64_t pixels = (o->w - phase + o->stride_w - 1) / o->stride_w;
        first.kx = (phase + o->low_w) % o->stride_w;
        first.x = (phase + o->low_w - first.kx) / o->stride_w + o->left;
        for (int64_t start = 0; start < pixels; start += o->together, first.x += o->together) {
            float out[MOST_TOGETHER];
            int64_t count = pixels - start < o->together ? pixels - start : o->together;
            o->pixels(o, picture, weights, &first, bias, out);
            for (int64_t j = 0; j < count; j++)
                row[phase + o->stride_w * (start + j)] = out[j];
        }
    }
}

/* `next`: the picture that is copied afterwards, which is fetched meanwhile; NULL: none. */
static void compute_picture(const one_channel *o, const float *picture, const float *weights, float bias,
                            const float *next, float *y)
{
    int64_t floats = o->channels * o->small_h * o->small_w;
    for (int64_t u = 0; u < o->h; u++) {
        for (int64_t i = floats * u / o->h; next && i < floats * (u + 1) / o->h; i += BLOCK)
            __builtin_prefetch(next + i, 0, 2);
        compute_row(o, picture, weights, bias, u, y + u * o->w);
    }
}

static gm_status run(const void *state, const gm_kernel_arguments *arguments)
{
    const one_channel *o = state;
    const float *x = arguments->in[0];
    float *y = arguments->out[0], *weights = arguments->scratch, bias = 0.0f;
    int threads = arguments->threads < o->threads ? arguments->threads : o->threads;
    if (o->has_bias)
        bias = *(const float *)arguments->in[2];
    pack_weights(o, arguments->in[1], weights);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int part = 0; part < threads; part++) {
        float *picture = weights + o->weight_floats + (size_t)part * o->picture_floats;
        int64_t end = o->batch * (part + 1) / threads, floats = o->channels * o->small_h * o->small_w;
        memset(picture, 0, o->picture_floats * sizeof *picture);
        for (int64_t n = o->batch * part / threads; n < end; n++) {
            const float *from = x + n * floats, *next = n + 1 < end ? from + floats : NULL;
            o->loops->copy(o, from, picture);
            compute_picture(o, picture, weights, bias, next, y + n * o->h * o->w);
        }
    }
    return GM_OK;
}

/* --- Lowering ---------------------------------------------------------------------------------------------------------- */

#define PICTURE_BYTES ((int64_t)1 << 20) /* a copied picture should stay in the inner caches */

bool gm_one_channel_fits(const gm_conv_shape *s)
{
    return s->big_channels == 1 && s->group == 1 && s->spatial <= 2 && s->dilation[1] == 1 && s->dilation[2] == 1 &&
           s->low[1] >= 0 && s->low[2] >= 0 && s->small_channels % BLOCK == 0 && s->small[1] > 0 && s->small[2] >= 4 &&
           s->small_channels * s->small[1] * s->small[2] * (int64_t)sizeof(float) <= PICTURE_BYTES;
}

/* Rows before the first and behind the last that the input has, where windows reach: padding of the copied picture. */
static int64_t border_before(int64_t kernel, int64_t low, int64_t stride)
{
    int64_t reach = kernel - 1 - low; /* of the first pixel, against the first window */
    return reach > 0 ? (reach + stride - 1) / stride : 0;
}

static size_t rounded(int64_t floats)
{
    return ((size_t)floats + BLOCK - 1) / BLOCK * BLOCK;
}

static void set_geometry(one_channel *o)
{
    int64_t pixels = (o->w + o->stride_w - 1) / o->stride_w, last_y = (o->h - 1 + o->low_h) / o->stride_h, last_x;
    int64_t least = INT64_MAX;
    for (size_t i = 0; i < GM_COUNT(counts); i++) {
        int64_t computed = (pixels + counts[i] - 1) / counts[i] * counts[i];
        if (computed < least) {
            least = computed;
            o->together = counts[i];
            o->pixels = o->loops->pixels[i];
        }
    }
    last_x = (o->stride_w - 1 + o->low_w) / o->stride_w + least - 1;
    o->top = border_before(o->kernel_h, o->low_h, o->stride_h);
    o->left = border_before(o->kernel_w, o->low_w, o->stride_w);
    o->rows = (last_y >= o->small_h ? last_y + 1 : o->small_h) + o->top;
    o->columns = (last_x >= o->small_w ? last_x + 1 : o->small_w) + o->left;
    o->weight_floats = rounded(o->channels * o->kernel_h * o->kernel_w);
    o->picture_floats = rounded(o->channels * o->rows * o->columns);
}

gm_status gm_one_channel_lower(gm_lower *lower, const gm_conv_shape *s, bool has_bias)
{
    one_channel *o = gm_pool_alloc(lower->pool, sizeof *o);
    gm_layout layout = lower->in_layout[0];
    if (!o)
        return GM_ERROR_MEMORY;
    if (layout.block != BLOCK && !gm_layout_is_plain(layout))
        layout = (gm_layout){BLOCK, NULL};
    *o = (one_channel){.loops = best_loops(),
                       .threads = lower->threads,
                       .batch = s->batch,
                       .channels = s->small_channels,
                       .block = layout.block,
                       .small_h = s->small[1],
                       .small_w = s->small[2],
                       .h = s->big[1],
                       .w = s->big[2],
                       .kernel_h = s->kernel[1],
                       .kernel_w = s->kernel[2],
                       .stride_h = s->stride[1],
                       .stride_w = s->stride[2],
                       .low_h = s->low[1],
                       .low_w = s->low[2],
                       .has_bias = has_bias};
    set_geometry(o);
    lower->in_want[0] = layout;
    lower->scratch_bytes = (o->weight_floats + (size_t)lower->threads * o->picture_floats) * sizeof(float);
    lower->kernel.run = run;
    lower->kernel.state = o;
    lower->flops = 2.0 * (double)(s->batch * s->small_channels) * (double)(s->small[1] * s->small[2]) *
                   (double)(s->kernel[1] * s->kernel[2]);
    return GM_OK;
}
