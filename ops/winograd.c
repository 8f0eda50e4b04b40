/* Winograd convolution F(4x4, 5x5): forward, data gradient, weight gradient. See winograd.h. */
#include "ops/winograd.h"

#include "ops/onednn.h"
#include "ops/vector.h"

#include <string.h>

#define POINTS 8 /* rows of a tile of the input */
#define TILE   4 /* rows of a tile of the output */
#define KERNEL 5
#define LANES  16 /* channels worked on together */

typedef struct gm_winograd {
    gm_winograd_shape shape;
    int64_t tiles_h, tiles_w;
    int64_t block_in, block_out; /* gm_layout.block of x and of y (or dy) */
    int64_t slice;               /* pictures transformed at a time */
    size_t v_offset, m_offset, u_offset;
} gm_winograd;

/* --- One-dimensional transforms of LANES channels; strides in floats ------------------------------------------------------ */

/* B^T d: 8 -> 8 */
static inline __attribute__((always_inline)) void input_transform(const float *d, size_t ds, float *out, size_t os)
{
    for (int l = 0; l < LANES; l++) {
        float d0 = d[l], d1 = d[ds + l], d2 = d[2 * ds + l], d3 = d[3 * ds + l];
        float d4 = d[4 * ds + l], d5 = d[5 * ds + l], d6 = d[6 * ds + l], d7 = d[7 * ds + l];
        float even1 = d2 + d6 - 4.25f * d4, odd1 = d1 + d5 - 4.25f * d3;
        float even2 = 0.25f * d2 + d6 - 1.25f * d4, odd2 = 0.5f * d1 + 2.0f * d5 - 2.5f * d3;
        float even3 = 4.0f * d2 + d6 - 5.0f * d4, odd3 = 2.0f * d1 + 0.5f * d5 - 2.5f * d3;
        out[l] = d0 - d6 + 5.25f * (d4 - d2);
        out[os + l] = even1 + odd1;
        out[2 * os + l] = even1 - odd1;
        out[3 * os + l] = even2 + odd2;
        out[4 * os + l] = even2 - odd2;
        out[5 * os + l] = even3 + odd3;
        out[6 * os + l] = even3 - odd3;
        out[7 * os + l] = d7 - d1 + 5.25f * (d3 - d5);
    }
}

/* G g: 5 -> 8 */
static inline __attribute__((always_inline)) void kernel_transform(const float *g, size_t gs, float *out, size_t os)
{
    for (int l = 0; l < LANES; l++) {
        float g0 = g[l], g1 = g[gs + l], g2 = g[2 * gs + l], g3 = g[3 * gs + l], g4 = g[4 * gs + l];
        float even1 = g0 + g2 + g4, odd1 = g1 + g3;
        float even2 = g0 + 4.0f * g2 + 16.0f * g4, odd2 = 2.0f * g1 + 8.0f * g3;
        float even3 = g0 + 0.25f * g2 + 0.0625f * g4, odd3 = 0.5f * g1 + 0.125f * g3;
        out[l] = g0;
        out[os + l] = (even1 + odd1) * (-2.0f / 9.0f);
        out[2 * os + l] = (even1 - odd1) * (-2.0f / 9.0f);
        out[3 * os + l] = (even2 + odd2) * (1.0f / 90.0f);
        out[4 * os + l] = (even2 - odd2) * (1.0f / 90.0f);
        out[5 * os + l] = (even3 + odd3) * (32.0f / 45.0f);
        out[6 * os + l] = (even3 - odd3) * (32.0f / 45.0f);
        out[7 * os + l] = g4;
    }
}

/* G^T p: 8 -> 5 */
static inline __attribute__((always_inline)) void kernel_gather(const float *p, size_t ps, float *out, size_t os)
{
    for (int l = 0; l < LANES; l++) {
        float a = (p[ps + l] + p[2 * ps + l]) * (-2.0f / 9.0f), b = (p[ps + l] - p[2 * ps + l]) * (-2.0f / 9.0f);
        float c = (p[3 * ps + l] + p[4 * ps + l]) * (1.0f / 90.0f),
              d = (p[3 * ps + l] - p[4 * ps + l]) * (1.0f / 90.0f);
        float e = (p[5 * ps + l] + p[6 * ps + l]) * (32.0f / 45.0f),
              f = (p[5 * ps + l] - p[6 * ps + l]) * (32.0f / 45.0f);
        out[l] = p[l] + a + c + e;
        out[os + l] = b + 2.0f * d + 0.5f * f;
        out[2 * os + l] = a + 4.0f * c + 0.25f * e;
        out[3 * os + l] = b + 8.0f * d + 0.125f * f;
        out[4 * os + l] = a + 16.0f * c + 0.0625f * e + p[7 * ps + l];
    }
}

/* A^T m: 8 -> 4 */
static inline __attribute__((always_inline)) void output_transform(const float *m, size_t ms, float *out, size_t os)
{
    for (int l = 0; l < LANES; l++) {
        float a = m[ms + l] + m[2 * ms + l], b = m[ms + l] - m[2 * ms + l];
        float c = m[3 * ms + l] + m[4 * ms + l], d = m[3 * ms + l] - m[4 * ms + l];
        float e = m[5 * ms + l] + m[6 * ms + l], f = m[5 * ms + l] - m[6 * ms + l];
        out[l] = m[l] + a + c + e;
        out[os + l] = b + 2.0f * d + 0.5f * f;
        out[2 * os + l] = a + 4.0f * c + 0.25f * e;
        out[3 * os + l] = b + 8.0f * d + 0.125f * f + m[7 * ms + l];
    }
}

/* A y: 4 -> 8 */
static inline __attribute__((always_inline)) void gradient_transform(const float *y, size_t ys, float *out, size_t os)
{
    for (int l = 0; l < LANES; l++) {
        float y0 = y[l], y1 = y[ys + l], y2 = y[2 * ys + l], y3 = y[3 * ys + l];
        float even1 = y0 + y2, odd1 = y1 + y3;
        float even2 = y0 + 4.0f * y2, odd2 = 2.0f * y1 + 8.0f * y3;
        float even3 = y0 + 0.25f * y2, odd3 = 0.5f * y1 + 0.125f * y3;
        out[l] = y0;
        out[os + l] = even1 + odd1;
        out[2 * os + l] = even1 - odd1;
        out[3 * os + l] = even2 + odd2;
        out[4 * os + l] = even2 - odd2;
        out[5 * os + l] = even3 + odd3;
        out[6 * os + l] = even3 - odd3;
        out[7 * os + l] = y3;
    }
}

/* --- Tiles ------------------------------------------------------------------------------------------------------------------ */

/* Address of channels c ... c + 15 at pixel 0 of picture n, and the floats from one pixel to the next. A block of 8 is read
 * as two halves: `half` is the distance from channel c to c + 8 beyond the usual 8. */
typedef struct gm_lane_address {
    size_t start, pixel, half;
} gm_lane_address;

static inline gm_lane_address lane_address(int64_t channels, int64_t pixels, int64_t block, int64_t n, int64_t c)
{
    gm_lane_address address;
    address.start = (size_t)(n * channels * pixels + (c / block) * pixels * block + c % block);
    address.pixel = (size_t)block;
    address.half = block == 8 ? (size_t)(pixels * 8) : 8;
    return address;
}

static inline __attribute__((always_inline)) void load_lanes(float *to, const float *from, size_t half)
{
    memcpy(to, from, 8 * sizeof *to);
    memcpy(to + 8, from + half, 8 * sizeof *to);
}

static inline __attribute__((always_inline)) void store_lanes(float *to, const float *from, size_t half)
{
    memcpy(to, from, 8 * sizeof *to);
    memcpy(to + half, from + 8, 8 * sizeof *to);
}

/* Reads rows x columns pixels from (top, left), zeros outside of the picture. */
static inline __attribute__((always_inline)) void load_tile(float *tile, int rows, const float *data,
                                                            const gm_lane_address *address, int64_t h, int64_t w,
                                                            int64_t top, int64_t left)
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < rows; j++) {
            float *to = tile + ((size_t)i * (size_t)rows + (size_t)j) * LANES;
            int64_t y = top + i, x = left + j;
            if (y >= 0 && y < h && x >= 0 && x < w)
                load_lanes(to, data + address->start + (size_t)(y * w + x) * address->pixel, address->half);
            else
                memset(to, 0, LANES * sizeof *to);
        }
}

/* All tiles of LANES channels of one picture: B^T d B into v[64][rows][channels] at row `row`. */
GM_VECTOR static void transform_input(const gm_winograd *g, const float *x, int64_t n, int64_t c, float *v, int64_t row,
                                      int64_t rows)
{
    const gm_winograd_shape *s = &g->shape;
    gm_lane_address address = lane_address(s->c, s->h * s->w, g->block_in, n, c);
    float tile[POINTS * POINTS * LANES], half[POINTS * POINTS * LANES];
    for (int64_t t = 0; t < g->tiles_h * g->tiles_w; t++, row++) {
        int64_t top = t / g->tiles_w * TILE - s->pad_top, left = t % g->tiles_w * TILE - s->pad_left;
        load_tile(tile, POINTS, x, &address, s->h, s->w, top, left);
        for (int j = 0; j < POINTS; j++)
            input_transform(tile + j * LANES, POINTS * LANES, half + j * LANES, POINTS * LANES);
        for (int i = 0; i < POINTS; i++)
            input_transform(half + i * POINTS * LANES, LANES, v + ((i * POINTS * rows + row) * s->c + c),
                            (size_t)(rows * s->c));
    }
}

/* The same for dy: A dy A^T into q[64][rows][m]. */
GM_VECTOR static void transform_gradient(const gm_winograd *g, const float *dy, int64_t n, int64_t m, float *q,
                                         int64_t row, int64_t rows)
{
    const gm_winograd_shape *s = &g->shape;
    gm_lane_address address = lane_address(s->m, s->out_h * s->out_w, g->block_out, n, m);
    float tile[TILE * TILE * LANES], half[POINTS * TILE * LANES];
    for (int64_t t = 0; t < g->tiles_h * g->tiles_w; t++, row++) {
        load_tile(tile, TILE, dy, &address, s->out_h, s->out_w, t / g->tiles_w * TILE, t % g->tiles_w * TILE);
        for (int j = 0; j < TILE; j++)
            gradient_transform(tile + j * LANES, TILE * LANES, half + j * LANES, TILE * LANES);
        for (int i = 0; i < POINTS; i++)
            gradient_transform(half + i * TILE * LANES, LANES, q + ((i * POINTS * rows + row) * s->m + m),
                               (size_t)(rows * s->m));
    }
}

/* A^T p A of p[64][rows][m] into y. */
GM_VECTOR static void transform_output(const gm_winograd *g, const float *p, float *y, int64_t n, int64_t m,
                                       int64_t row, int64_t rows)
{
    const gm_winograd_shape *s = &g->shape;
    gm_lane_address address = lane_address(s->m, s->out_h * s->out_w, g->block_out, n, m);
    float half[TILE * POINTS * LANES], tile[TILE * TILE * LANES];
    for (int64_t t = 0; t < g->tiles_h * g->tiles_w; t++, row++) {
        int64_t top = t / g->tiles_w * TILE, left = t % g->tiles_w * TILE;
        for (int j = 0; j < POINTS; j++)
            output_transform(p + ((j * rows + row) * s->m + m), (size_t)(POINTS * rows * s->m), half + j * LANES,
                             POINTS * LANES);
        for (int i = 0; i < TILE; i++)
            output_transform(half + i * POINTS * LANES, LANES, tile + i * TILE * LANES, LANES);
        for (int i = 0; i < TILE && top + i < s->out_h; i++)
            for (int j = 0; j < TILE && left + j < s->out_w; j++)
                store_lanes(y + address.start + (size_t)((top + i) * s->out_w + left + j) * address.pixel,
                            tile + (i * TILE + j) * LANES, address.half);
    }
}

/* --- Kernels ------------------------------------------------------------------------------------------------------------- */

/* G g G^T for LANES output channels m of one input channel c, into u[64][c][m]. */
GM_VECTOR static void transform_kernel(const gm_winograd *g, const float *w, int64_t c, int64_t m, float *u)
{
    const gm_winograd_shape *s = &g->shape;
    bool transpose = s->kind == GM_WINOGRAD_TRANSPOSE;
    float kernel[KERNEL * KERNEL * LANES], half[POINTS * KERNEL * LANES];
    for (int l = 0; l < LANES; l++) {
        const float *from = w + (transpose ? c * s->m + m + l : (m + l) * s->c + c) * KERNEL * KERNEL;
        for (int k = 0; k < KERNEL * KERNEL; k++)
            kernel[k * LANES + l] = from[transpose ? KERNEL * KERNEL - 1 - k : k];
    }
    for (int j = 0; j < KERNEL; j++)
        kernel_transform(kernel + j * LANES, KERNEL * LANES, half + j * LANES, KERNEL * LANES);
    for (int i = 0; i < POINTS; i++)
        kernel_transform(half + i * KERNEL * LANES, LANES, u + (i * POINTS * s->c + c) * s->m + m,
                         (size_t)(s->c * s->m));
}

/* G^T p G of p[64][c][m] for LANES channels m into dw (M, C, 5, 5). */
GM_VECTOR static void gather_kernel(const gm_winograd *g, const float *p, float *dw, int64_t c, int64_t m)
{
    const gm_winograd_shape *s = &g->shape;
    float half[KERNEL * POINTS * LANES], kernel[KERNEL * KERNEL * LANES];
    for (int j = 0; j < POINTS; j++)
        kernel_gather(p + (j * s->c + c) * s->m + m, (size_t)(POINTS * s->c * s->m), half + j * LANES, POINTS * LANES);
    for (int i = 0; i < KERNEL; i++)
        kernel_gather(half + i * POINTS * LANES, LANES, kernel + i * KERNEL * LANES, LANES);
    for (int l = 0; l < LANES; l++)
        for (int k = 0; k < KERNEL * KERNEL; k++)
            dw[((m + l) * s->c + c) * KERNEL * KERNEL + k] = kernel[k * LANES + l];
}

/* c (m, n) = a (m, k) b (k, n) + beta c, row-major; a is (k, m) when transposed. On the calling thread only. */
static void multiply(bool transpose_a, int64_t m, int64_t n, int64_t k, const float *a, const float *b, float beta,
                     float *c)
{
    dnnl_sgemm(transpose_a ? 'T' : 'N', 'N', m, n, k, 1.0f, a, transpose_a ? m : k, b, n, beta, c, n);
}

static float *scratch_at(const gm_kernel_arguments *arguments, size_t offset)
{
    return (float *)((unsigned char *)arguments->scratch + offset);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* y = A^T [ U .* V ] A, a slice of pictures at a time. */
static gm_status run_data(const void *state, const gm_kernel_arguments *arguments)
{
    const gm_winograd *g = state;
    const gm_winograd_shape *s = &g->shape;
    const float *x = arguments->in[0], *w = arguments->in[1];
    float *y = arguments->out[0], *u = scratch_at(arguments, g->u_offset), *v = scratch_at(arguments, g->v_offset),
          *p = scratch_at(arguments, g->m_offset);
    int64_t tiles = g->tiles_h * g->tiles_w, in_lanes = s->c / LANES, out_lanes = s->m / LANES;
#pragma omp parallel for num_threads(arguments->threads) schedule(static)
    for (int64_t c = 0; c < s->c; c++)
        for (int64_t m = 0; m < s->m; m += LANES)
            transform_kernel(g, w, c, m, u);
    for (int64_t first = 0; first < s->n; first += g->slice) {
        int64_t pictures = least(g->slice, s->n - first), rows = pictures * tiles;
#pragma omp parallel num_threads(arguments->threads)
        {
#pragma omp for schedule(static)
            for (int64_t i = 0; i < pictures * in_lanes; i++)
                transform_input(g, x, first + i / in_lanes, i % in_lanes * LANES, v, i / in_lanes * tiles, rows);
#pragma omp for schedule(static)
            for (int k = 0; k < POINTS * POINTS; k++)
                multiply(false, rows, s->m, s->c, v + k * rows * s->c, u + k * s->c * s->m, 0.0f, p + k * rows * s->m);
#pragma omp for schedule(static)
            for (int64_t i = 0; i < pictures * out_lanes; i++)
                transform_output(g, p, y, first + i / out_lanes, i % out_lanes * LANES, i / out_lanes * tiles, rows);
        }
    }
    return GM_OK;
}

/* dw = G^T [ sum V .* Q ] G. */
static gm_status run_weights(const void *state, const gm_kernel_arguments *arguments)
{
    const gm_winograd *g = state;
    const gm_winograd_shape *s = &g->shape;
    const float *x = arguments->in[0], *dy = arguments->in[1];
    float *dw = arguments->out[0], *u = scratch_at(arguments, g->u_offset), *v = scratch_at(arguments, g->v_offset),
          *q = scratch_at(arguments, g->m_offset);
    int64_t tiles = g->tiles_h * g->tiles_w, in_lanes = s->c / LANES, out_lanes = s->m / LANES;
    for (int64_t first = 0; first < s->n; first += g->slice) {
        int64_t pictures = least(g->slice, s->n - first), rows = pictures * tiles;
#pragma omp parallel num_threads(arguments->threads)
        {
#pragma omp for schedule(static) nowait
            for (int64_t i = 0; i < pictures * in_lanes; i++)
                transform_input(g, x, first + i / in_lanes, i % in_lanes * LANES, v, i / in_lanes * tiles, rows);
#pragma omp for schedule(static)
            for (int64_t i = 0; i < pictures * out_lanes; i++)
                transform_gradient(g, dy, first + i / out_lanes, i % out_lanes * LANES, q, i / out_lanes * tiles, rows);
#pragma omp for schedule(static)
            for (int k = 0; k < POINTS * POINTS; k++)
                multiply(true, s->c, s->m, rows, v + k * rows * s->c, q + k * rows * s->m, first ? 1.0f : 0.0f,
                         u + k * s->c * s->m);
        }
    }
#pragma omp parallel for num_threads(arguments->threads) schedule(static)
    for (int64_t c = 0; c < s->c; c++)
        for (int64_t m = 0; m < s->m; m += LANES)
            gather_kernel(g, u, dw, c, m);
    return GM_OK;
}

/* --- Lowering ------------------------------------------------------------------------------------------------------------ */

/* Bytes of transformed input and output of one slice: they should stay in the outer cache. */
#define SLICE_BYTES ((size_t)12 << 20)

bool gm_winograd_fits(const gm_winograd_shape *shape)
{
    return shape->c % LANES == 0 && shape->m % LANES == 0 && shape->c * shape->m >= 64 * 64 && shape->out_h >= 4 &&
           shape->out_w >= 4 && shape->n * shape->out_h * shape->out_w >= 256;
}

static gm_layout activation_layout(gm_layout has, int64_t channels)
{
    if (has.block == 8 || has.block == 16 || (has.block == channels && channels > 1))
        return has;
    return (gm_layout){16, NULL};
}

gm_status gm_winograd_lower(gm_lower *lower, const gm_winograd_shape *shape)
{
    gm_winograd *g = gm_pool_alloc(lower->pool, sizeof *g);
    size_t row_bytes, u_bytes = (size_t)(POINTS * POINTS * shape->c * shape->m) * sizeof(float);
    bool weights = shape->kind == GM_WINOGRAD_WEIGHTS;
    if (!g)
        return GM_ERROR_MEMORY;
    g->shape = *shape;
    g->tiles_h = (shape->out_h + TILE - 1) / TILE;
    g->tiles_w = (shape->out_w + TILE - 1) / TILE;
    row_bytes = (size_t)(POINTS * POINTS * (shape->c + shape->m) * g->tiles_h * g->tiles_w) * sizeof(float);
    g->slice = (int64_t)(SLICE_BYTES / row_bytes);
    g->slice = g->slice < 1 ? 1 : g->slice > shape->n ? shape->n : g->slice;
    g->v_offset = u_bytes;
    g->m_offset = u_bytes + (size_t)(POINTS * POINTS * shape->c * g->tiles_h * g->tiles_w * g->slice) * sizeof(float);
    lower->scratch_bytes = u_bytes + row_bytes * (size_t)g->slice;
    lower->in_want[0] = activation_layout(lower->in_layout[0], shape->c);
    g->block_in = lower->in_want[0].block;
    if (weights) {
        lower->in_want[1] = activation_layout(lower->in_layout[1], shape->m);
        g->block_out = lower->in_want[1].block;
        lower->out_layout[0] = gm_layout_plain;
    } else {
        lower->in_want[1] = gm_layout_plain;
        lower->out_layout[0] = (gm_layout){16, NULL};
        g->block_out = 16;
    }
    lower->kernel.run = weights ? run_weights : run_data;
    lower->kernel.state = g;
    lower->flops = 2.0 * (double)(POINTS * POINTS * shape->c * shape->m) * (double)(shape->n * g->tiles_h * g->tiles_w);
    return GM_OK;
}
