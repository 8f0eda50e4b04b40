/* Winograd convolutions: sizes, memory, and the order of work. See winograd.h; the transforms are winograd_transform.c's. */
#include "ops/winograd.h"

#include "ops/onednn.h"
#include "ops/vector.h"
#include "ops/winograd_transform.h"

#include <string.h>

#define TILE  GM_WINOGRAD_TILE
#define LANES GM_WINOGRAD_LANES

typedef struct gm_winograd {
    const gm_winograd_rule *rule;
    int64_t n, slice; /* pictures, and how many of them are transformed at a time */
    int64_t pairs;    /* of points, hence of matrices */
    int64_t parts;    /* as many as threads: they share nothing that is written */
    /* Scratch: weights (of weight gradients: one per part), then parts, then the sums for the bias of each. */
    size_t weight_floats, part_start, part_floats, bias_start;
    bool transpose;
    gm_winograd_side big, small;
    gm_winograd_weights weights;
    bool has_bias; /* of weight gradients: out[1] is wanted, too */
} gm_winograd;

/* c (m, n) = a (m, k) b (k, n) + beta c, row-major; transposed: a is (k, m), b (n, k). On the calling thread only: this is
 * within a parallel region. oneDNN refuses nothing that has been lowered: a side has 4 rows
 * or more, so that every pair of points has a tile. */
static void multiply(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float *a,
                     const float *b, float beta, float *c)
{
    gm_gemm_shape shape = gm_gemm_dense(transpose_a, transpose_b, m, n, k);
    gm_dnnl_gemm(&shape, 1.0f, a, b, beta, c);
}

/* Rows of the matrices of pair q for some pictures. */
static int64_t rows_of(const gm_winograd *g, int64_t q, int64_t pictures)
{
    return pictures * g->big.down[q] * g->big.across[q];
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* --- Kernels: each part, hence each thread, works through its own pictures, a slice of them at a time, in its own matrices
 * in the scratch memory; those of the weights are read by all. -------------------------------------------------------- */

static void transform_weights(const gm_winograd *g, const float *w, float *scratch, int threads)
{
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t m = 0; m < g->weights.m; m++)
        gm_winograd_read_weights(g->rule, &g->weights, w, m, scratch);
}

/* Pictures first ... last - 1 of y, with the matrices of one part. */
static void conv_part(const gm_winograd *g, const gm_kernel_arguments *arguments, int64_t first, int64_t last,
                      float *matrices)
{
    const float *x = arguments->in[0], *bias = g->has_bias ? arguments->in[2] : NULL, *weights = arguments->scratch;
    float *y = arguments->out[0];
    for (; first < last; first += g->slice) {
        int64_t pictures = least(g->slice, last - first);
        gm_winograd_read_big(g->rule, &g->big, x, first, pictures, matrices);
        for (int64_t q = 0; q < g->pairs; q++)
            multiply(false, true, rows_of(g, q, pictures), g->small.channels, (int64_t)g->big.width[q],
                     matrices + g->big.matrix[q], weights + g->weights.matrix[q], 0.0f, matrices + g->small.matrix[q]);
        gm_winograd_write_small(g->rule, &g->small, matrices, bias, y, first, pictures);
    }
}

static void transpose_part(const gm_winograd *g, const gm_kernel_arguments *arguments, int64_t first, int64_t last,
                           float *matrices)
{
    const float *y = arguments->in[0], *bias = g->has_bias ? arguments->in[2] : NULL, *weights = arguments->scratch;
    float *x = arguments->out[0];
    for (; first < last; first += g->slice) {
        int64_t pictures = least(g->slice, last - first);
        gm_winograd_read_small(g->rule, &g->small, y, first, pictures, matrices);
        for (int64_t q = 0; q < g->pairs; q++)
            multiply(false, false, rows_of(g, q, pictures), (int64_t)g->big.width[q], g->small.channels,
                     matrices + g->small.matrix[q], weights + g->weights.matrix[q], 0.0f, matrices + g->big.matrix[q]);
        gm_winograd_write_big(g->rule, &g->big, matrices, bias, x, first, pictures);
    }
}

static gm_status run_data(const void *state, const gm_kernel_arguments *arguments)
{
    const gm_winograd *g = state;
    transform_weights(g, arguments->in[1], arguments->scratch, arguments->threads);
#pragma omp parallel for num_threads(arguments->threads) schedule(static)
    for (int64_t part = 0; part < g->parts; part++) {
        float *matrices = (float *)arguments->scratch + g->part_start + (size_t)part * g->part_floats;
        int64_t first = g->n * part / g->parts, last = g->n * (part + 1) / g->parts;
        if (g->transpose)
            transpose_part(g, arguments, first, last, matrices);
        else
            conv_part(g, arguments, first, last, matrices);
    }
    return GM_OK;
}

/* The row of A for point 1 is all ones: the matrix of the pair (1, 1) of y^ holds the sums over each tile. Adds up its
 * columns, the channels. */
GM_VECTOR static void add_tiles(const float *matrix, int64_t rows, int64_t channels, double *sums)
{
    for (int64_t c = 0; c < channels; c += LANES) {
        float sum[LANES] = {0};
        for (int64_t r = 0; r < rows; r++)
            for (int l = 0; l < LANES; l++)
                sum[l] += matrix[r * channels + c + l];
        for (int l = 0; l < LANES; l++)
            sums[c + l] += (double)sum[l];
    }
}

/* The sum over pictures first ... last - 1 of the products, into the matrices of weights at `sum`, and that of dy into `bias_sum`. */
static void weight_grad_part(const gm_winograd *g, const gm_kernel_arguments *arguments, int64_t first, int64_t last,
                             float *matrices, float *sum, double *bias_sum)
{
    const float *x = arguments->in[0], *dy = arguments->in[1];
    int64_t start = first, ones = gm_winograd_points(g->rule) + 1;
    if (g->has_bias)
        memset(bias_sum, 0, (size_t)g->small.channels * sizeof *bias_sum);
    for (; first < last; first += g->slice) {
        int64_t pictures = least(g->slice, last - first);
        gm_winograd_read_big(g->rule, &g->big, x, first, pictures, matrices);
        gm_winograd_read_small(g->rule, &g->small, dy, first, pictures, matrices);
        if (g->has_bias)
            add_tiles(matrices + g->small.matrix[ones], rows_of(g, ones, pictures), g->small.channels, bias_sum);
        for (int64_t q = 0; q < g->pairs; q++)
            multiply(true, false, g->small.channels, (int64_t)g->big.width[q], rows_of(g, q, pictures),
                     matrices + g->small.matrix[q], matrices + g->big.matrix[q], first > start ? 1.0f : 0.0f,
                     sum + g->weights.matrix[q]);
    }
}

static gm_status run_weight_grad(const void *state, const gm_kernel_arguments *arguments)
{
    const gm_winograd *g = state;
    float *sums = arguments->scratch, *dw = arguments->out[0], *db = g->has_bias ? arguments->out[1] : NULL;
    double *bias_sums = (double *)(void *)(sums + g->bias_start);
#pragma omp parallel num_threads(arguments->threads)
    {
#pragma omp for schedule(static)
        for (int64_t part = 0; part < g->parts; part++)
            weight_grad_part(g, arguments, g->n * part / g->parts, g->n * (part + 1) / g->parts,
                             sums + g->part_start + (size_t)part * g->part_floats,
                             sums + (size_t)part * g->weight_floats, bias_sums + part * g->small.channels);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < (int64_t)(g->weight_floats / LANES); i++)
            for (int64_t part = 1; part < g->parts; part++)
                for (int l = 0; l < LANES; l++)
                    sums[i * LANES + l] += sums[(size_t)part * g->weight_floats + (size_t)(i * LANES + l)];
#pragma omp for schedule(static)
        for (int64_t m = 0; m < g->weights.m; m++)
            gm_winograd_write_weights(g->rule, &g->weights, sums, m, dw);
    }
    for (int64_t m = 0; db && m < g->small.channels; m++) {
        for (int64_t part = 1; part < g->parts; part++)
            bias_sums[m] += bias_sums[part * g->small.channels + m];
        db[m] = (float)bias_sums[m];
    }
    return GM_OK;
}

/* --- Lowering ------------------------------------------------------------------------------------------------------------ */

/* Bytes of transformed pictures of one slice: they should stay in the outer cache. */
#define SLICE_BYTES ((size_t)4 << 20)

/* Large pictures are left to direct kernels, which need no memory beside them. */
#define PICTURE_BYTES 16e6

/* Bytes that the sums of weight gradients may take beside the first: the threads may be many, and each has its own. */
#define SUMS_BYTES ((size_t)64 << 20)

static const gm_winograd_rule *find(const gm_conv_shape *s)
{
    if (s->spatial != 2 || s->group != 1 || s->kernel[1] != s->kernel[2] || s->stride[1] != s->stride[2] ||
        s->dilation[1] != 1 || s->dilation[2] != 1)
        return NULL;
    return gm_winograd_find(s->kernel[1], s->stride[1]);
}

/* Bytes of the transformed sides of one picture, about. */
static double picture_bytes(const gm_conv_shape *s, const gm_winograd_rule *rule)
{
    double tiles = (double)((s->small[1] + TILE - 1) / TILE) * (double)((s->small[2] + TILE - 1) / TILE);
    double pairs = (double)gm_winograd_points(rule) * gm_winograd_points(rule),
           phases = (double)(s->stride[1] * s->stride[2]);
    return tiles * pairs * (phases * (double)s->big_channels + (double)s->small_channels) * sizeof(float);
}

bool gm_winograd_fits(const gm_conv_shape *s)
{
    const gm_winograd_rule *rule = find(s);
    return rule && s->big_channels % LANES == 0 && s->small_channels % LANES == 0 &&
           s->big_channels * s->small_channels >= 32 * 64 && s->small[1] >= TILE && s->small[2] >= TILE &&
           s->batch * s->small[1] * s->small[2] >= 256 && picture_bytes(s, rule) <= PICTURE_BYTES;
}

/* The layout in which a side is read. Tiles of the small side do not overlap: picking its channels one by one from a plain
 * tensor (or putting them there) takes no longer than a copy in another layout, and needs no memory. */
static gm_layout activation_layout(gm_layout has, int64_t channels, bool small)
{
    if (small && gm_layout_is_plain(has))
        return has;
    if (has.block == 8 || has.block == 16 || (has.block == channels && channels > 1))
        return has;
    return (gm_layout){16, NULL};
}

static gm_winograd_side side_of(const gm_conv_shape *s, bool big)
{
    const int64_t *size = big ? s->big : s->small;
    gm_winograd_side side = {.channels = big ? s->big_channels : s->small_channels, .h = size[1], .w = size[2]};
    side.tiles_h = (s->small[1] + TILE - 1) / TILE;
    side.tiles_w = (s->small[2] + TILE - 1) / TILE;
    side.last_h = s->small[1] % TILE == TILE - 1;
    side.last_w = s->small[2] % TILE == TILE - 1;
    side.low_h = big ? s->low[1] : 0;
    side.low_w = big ? s->low[2] : 0;
    return side;
}

/* Room for a matrix of this many floats; a distance between matrices that is no power of two keeps their entries from
 * meeting in the same cache sets. */
static size_t room(size_t *end, size_t floats)
{
    size_t start = *end;
    *end += (floats + LANES - 1) / LANES * LANES + LANES;
    return start;
}

/* Matrices of weights and of one slice of pictures, each from 0 on. */
static void place_matrices(gm_winograd *g)
{
    int points = gm_winograd_points(g->rule);
    g->weight_floats = g->part_floats = 0;
    for (int q = 0; q < g->pairs; q++) {
        int i = q / points, j = q % points;
        int64_t phases = (int64_t)gm_winograd_phases(g->rule, i) * gm_winograd_phases(g->rule, j);
        g->big.down[q] = g->small.down[q] = g->big.tiles_h - (g->big.last_h && gm_winograd_lacks(g->rule, i));
        g->big.across[q] = g->small.across[q] = g->big.tiles_w - (g->big.last_w && gm_winograd_lacks(g->rule, j));
        g->big.width[q] = g->weights.width[q] = (size_t)(phases * g->big.channels);
        g->small.width[q] = (size_t)g->small.channels;
        g->weights.matrix[q] = room(&g->weight_floats, (size_t)g->weights.m * g->weights.width[q]);
        g->big.matrix[q] = room(&g->part_floats, (size_t)rows_of(g, q, g->slice) * g->big.width[q]);
        g->small.matrix[q] = room(&g->part_floats, (size_t)rows_of(g, q, g->slice) * g->small.width[q]);
    }
}

static double multiplications(const gm_winograd *g)
{
    double sum = 0;
    for (int64_t q = 0; q < g->pairs; q++)
        sum += (double)rows_of(g, q, g->n) * (double)g->big.width[q] * (double)g->small.channels;
    return sum;
}

gm_status gm_winograd_lower(gm_lower *lower, const gm_conv_shape *shape, gm_conv_role role, bool has_bias)
{
    static gm_status (*const kernels[])(const void *, const gm_kernel_arguments *) = {run_data, run_data,
                                                                                      run_weight_grad};
    gm_winograd *g = gm_pool_alloc(lower->pool, sizeof *g);
    gm_winograd_side *in, *out;
    if (!g)
        return GM_ERROR_MEMORY;
    g->rule = find(shape);
    g->pairs = (int64_t)gm_winograd_points(g->rule) * gm_winograd_points(g->rule);
    g->n = shape->batch;
    g->has_bias = has_bias;
    g->transpose = role == GM_CONV_TRANSPOSE;
    g->big = side_of(shape, true);
    g->small = side_of(shape, false);
    g->weights = (gm_winograd_weights){.m = shape->small_channels, .c = shape->big_channels};
    g->parts = least(lower->threads, g->n);
    g->slice = 1;
    place_matrices(g);
    if (role == GM_CONV_WEIGHT_GRAD)
        g->parts = least(g->parts, 1 + (int64_t)(SUMS_BYTES / (g->weight_floats * sizeof(float))));
    g->slice = least((int64_t)(SLICE_BYTES / (g->part_floats * sizeof(float))), (g->n + g->parts - 1) / g->parts);
    g->slice = g->slice < 1 ? 1 : g->slice;
    place_matrices(g);
    g->part_start = g->weight_floats * (size_t)(role == GM_CONV_WEIGHT_GRAD ? g->parts : 1);
    g->bias_start = g->part_start + (size_t)g->parts * g->part_floats;
    lower->scratch_bytes = g->bias_start * sizeof(float);
    if (role == GM_CONV_WEIGHT_GRAD && has_bias)
        lower->scratch_bytes += (size_t)(g->parts * g->small.channels) * sizeof(double);
    in = role == GM_CONV_TRANSPOSE ? &g->small : &g->big;
    out = role == GM_CONV_TRANSPOSE ? &g->big : &g->small;
    lower->in_want[0] = activation_layout(lower->in_layout[0], in->channels, in == &g->small);
    in->block = lower->in_want[0].block;
    if (role == GM_CONV_WEIGHT_GRAD) {
        lower->in_want[1] = activation_layout(lower->in_layout[1], out->channels, true);
        out->block = lower->in_want[1].block;
        lower->out_layout[0] = gm_layout_plain;
    } else {
        lower->in_want[1] = gm_layout_plain;
        if (out == &g->big || !lower->out_plain || !lower->out_plain[0])
            lower->out_layout[0] = (gm_layout){16, NULL};
        out->block = lower->out_layout[0].block;
    }
    lower->kernel.run = kernels[role];
    lower->kernel.state = g;
    lower->flops = 2.0 * multiplications(g);
    return GM_OK;
}
