/* Resize and gmodel.ResizeGrad in float32: one pass per axis that changes, over one plane after the other.
 *
 * A plane is what lies behind the first such axis, so that the passes of a plane stay in a cache, in the order that
 * costs least. A pass either combines whole rows (inner > 1) or picks along a row; both
 * are plain loops. With a channel block the block is the innermost axis, and the batch and channels are planes. */
#include "ops/resize.h"
#include "ops/vector.h"

#include <string.h>

#define PARALLEL_ELEMENTS 16384
#define BLOCK_ELEMENTS    4096 /* between two passes that run together */
#define MOST_TAPS         8    /* more are summed position by position */
#define PICKING           4.0  /* cost of picking along a row, beside combining rows */
#define SHORT_ROW         8    /* rows below this are picked along the joined axis */

/* [outer, in, inner] -> [outer, out, inner] by the lists start, index, weight. Where inner is 1 and no position has more
 * than MOST_TAPS, `taps` arrays [taps][out] say the same without a loop over k. */
typedef struct resize_pass {
    int64_t outer, in, out, inner;
    int32_t *start, *index, *taps_index;
    float *weight, *taps_weight;
    int taps;
    int64_t block; /* rows that are made before the next pass takes them; 0: all */
    bool copies;   /* nothing but elements of the input */
    bool fills;
    float fill;
} resize_pass;

typedef struct resize_state {
    int64_t planes, in_plane, out_plane, buffer, flips; /* floats of one buffer; buffers of each part: 0, 1 or 2 */
    int parts;                                          /* of the planes, for one thread each */
    bool divided;                                       /* the rows of each pass are divided instead: few planes */
    int count;
    resize_pass passes[GM_MAX_RANK];
} resize_state;

/* --- Running ---------------------------------------------------------------------------------------------------------- */

/* dst[j] = src[index[j]] */
GM_VECTOR static void pick_row(const float *restrict src, float *restrict dst, const int32_t *restrict index, int64_t n)
{
    for (int64_t j = 0; j < n; j++)
        dst[j] = src[index[j]];
}

GM_VECTOR static void combine_row(const resize_pass *p, const float *restrict src, float *restrict dst)
{
    const int32_t *restrict a = p->taps_index, *restrict b = a + p->out;
    const float *restrict v = p->taps_weight, *restrict w = v + p->out;
    if (p->taps == 1) {
        for (int64_t j = 0; j < p->out; j++)
            dst[j] = v[j] * src[a[j]];
        return;
    }
    for (int64_t j = 0; j < p->out; j++)
        dst[j] = v[j] * src[a[j]] + w[j] * src[b[j]];
    for (int t = 2; t < p->taps; t++) {
        a = p->taps_index + t * p->out;
        v = p->taps_weight + t * p->out;
        for (int64_t j = 0; j < p->out; j++)
            dst[j] += v[j] * src[a[j]];
    }
}

static void sum_row(const resize_pass *p, const float *src, float *dst)
{
    for (int64_t j = 0; j < p->out; j++) {
        float sum = 0.0f;
        for (int32_t k = p->start[j]; k < p->start[j + 1]; k++)
            sum += p->weight[k] * src[p->index[k]];
        dst[j] = sum;
    }
}

/* Rows [from, to) of `outer`, where inner is 1; the first goes to `out`. */
static void run_along(const resize_pass *p, const float *in, float *out, int64_t from, int64_t to)
{
    for (int64_t o = from; o < to; o++) {
        const float *src = in + o * p->in;
        float *dst = out + (o - from) * p->out;
        if (p->copies && p->taps)
            pick_row(src, dst, p->taps_index, p->out);
        else if (p->taps)
            combine_row(p, src, dst);
        else
            sum_row(p, src, dst);
        for (int64_t j = 0; p->fills && j < p->out; j++)
            if (p->start[j] == p->start[j + 1])
                dst[j] = p->fill;
    }
}

/* Rows [from, to) of outer x out, each of `inner` elements; the first goes to `out`. */
GM_VECTOR static void run_across(const resize_pass *p, const float *restrict in, float *restrict out, int64_t from,
                                 int64_t to)
{
    int64_t n = p->inner;
    for (int64_t row = from; row < to; row++) {
        const float *restrict src = in + row / p->out * p->in * n;
        float *restrict dst = out + (row - from) * n;
        int32_t k = p->start[row % p->out], end = p->start[row % p->out + 1];
        if (k == end) {
            for (int64_t i = 0; i < n; i++)
                dst[i] = p->fill;
        } else if (end == k + 1) {
            const float *restrict a = src + p->index[k] * n;
            float v = p->weight[k];
            for (int64_t i = 0; i < n; i++)
                dst[i] = v * a[i];
        } else {
            const float *restrict a = src + p->index[k] * n, *restrict b = src + p->index[k + 1] * n;
            float v = p->weight[k], w = p->weight[k + 1];
            for (int64_t i = 0; i < n; i++)
                dst[i] = v * a[i] + w * b[i];
        }
        for (k += 2; k < end; k++) {
            const float *restrict a = src + p->index[k] * n;
            float v = p->weight[k];
            for (int64_t i = 0; i < n; i++)
                dst[i] += v * a[i];
        }
    }
}

static int64_t rows_of(const resize_pass *p)
{
    return p->inner == 1 ? p->outer : p->outer * p->out;
}

static int64_t row_length(const resize_pass *p)
{
    return p->inner == 1 ? p->out : p->inner;
}

static void run_rows(const resize_pass *p, const float *in, float *out, int64_t from, int64_t to)
{
    if (p->inner == 1)
        run_along(p, in, out, from, to);
    else
        run_across(p, in, out, from, to);
}

/* Pass p and the one behind it, a few rows at a time: what p gives stays in the buffer. */
static void run_pair(const resize_pass *p, const float *in, float *buffer, float *out)
{
    const resize_pass *q = p + 1;
    int64_t rows = rows_of(p), each = rows_of(q) / rows; /* rows of q that a row of p becomes */
    for (int64_t row = 0; row < rows; row += p->block) {
        int64_t end = row + p->block < rows ? row + p->block : rows;
        run_rows(p, in, buffer, row, end);
        run_rows(q, buffer, out + row * each * row_length(q), 0, (end - row) * each);
    }
}

/* Where pass i of a plane writes. */
static float *target_of(const resize_state *s, int i, float *buffers, float *out)
{
    return i + 1 == s->count ? out : buffers + (i % s->flips) * s->buffer;
}

static void run_plane(const resize_state *s, const float *in, float *buffers, float *out)
{
    for (int i = 0; i < s->count; i++) {
        const resize_pass *p = &s->passes[i];
        float *target = target_of(s, i, buffers, out);
        if (p->block) {
            float *buffer = target;
            target = target_of(s, ++i, buffers, out);
            run_pair(p, in, buffer, target);
        } else {
            run_rows(p, in, target, 0, rows_of(p));
        }
        in = target;
    }
}

/* The rows of each pass divided among the threads. */
static void run_divided(const resize_state *s, const float *in, float *buffers, float *out, int threads)
{
    for (int i = 0; i < s->count; i++) {
        const resize_pass *p = &s->passes[i];
        float *target = target_of(s, i, buffers, out);
        int64_t rows = rows_of(p);
#pragma omp parallel for num_threads(threads) schedule(static)
        for (int t = 0; t < threads; t++) {
            int64_t from = rows * t / threads;
            run_rows(p, in, target + from * row_length(p), from, rows * (t + 1) / threads);
        }
        in = target;
    }
}

static gm_status run_resize(const void *state_pointer, const gm_kernel_arguments *arguments)
{
    const resize_state *s = state_pointer;
    const float *x = arguments->in[0];
    float *y = arguments->out[0], *scratch = arguments->scratch;
    if (s->divided) {
        for (int64_t plane = 0; plane < s->planes; plane++)
            run_divided(s, x + plane * s->in_plane, scratch, y + plane * s->out_plane, arguments->threads);
        return GM_OK;
    }
#pragma omp parallel for num_threads(arguments->threads) schedule(static) if (s->parts > 1)
    for (int t = 0; t < s->parts; t++)
        for (int64_t plane = s->planes * t / s->parts; plane < s->planes * (t + 1) / s->parts; plane++)
            run_plane(s, x + plane * s->in_plane, scratch + t * s->flips * s->buffer, y + plane * s->out_plane);
    return GM_OK;
}

/* --- Lowering --------------------------------------------------------------------------------------------------------- */

/* The arrays without lists: positions with fewer taps than others have some of theirs halved, so that no element counts
 * that should not (0 * inf would). */
static gm_status flatten_taps(gm_pool *pool, resize_pass *p)
{
    int32_t most = 1;
    for (int64_t j = 0; j < p->out; j++) {
        int32_t n = p->start[j + 1] - p->start[j];
        most = n > most ? n : most;
    }
    if (most > MOST_TAPS)
        return GM_OK;
    p->taps = (int)most;
    p->taps_index = gm_pool_array(pool, (size_t)(most * p->out) + 1, sizeof *p->taps_index);
    p->taps_weight = gm_pool_array(pool, (size_t)(most * p->out) + 1, sizeof *p->taps_weight);
    if (!p->taps_index || !p->taps_weight)
        return GM_ERROR_MEMORY;
    for (int64_t j = 0; j < p->out; j++) {
        int32_t count = p->start[j + 1] - p->start[j];
        for (int32_t t = 0; t < count; t++) {
            p->taps_index[t * p->out + j] = p->index[p->start[j] + t];
            p->taps_weight[t * p->out + j] = p->weight[p->start[j] + t];
        }
        for (int32_t t = count; t < most && count; t++) {
            int64_t to = t * p->out + j, from = (t - count) % count * p->out + j;
            p->taps_index[to] = p->taps_index[from];
            p->taps_weight[to] = p->taps_weight[from] *= 0.5f;
        }
    }
    return GM_OK;
}

/* The lists of one axis; short rows become part of the axis. */
static gm_status make_pass(gm_pool *pool, const gm_resize_taps *taps, int64_t outer, int64_t inner, double fill,
                           resize_pass *p)
{
    int64_t join = inner < SHORT_ROW ? inner : 1, count = taps->start[taps->out] * join, at = 0;
    *p = (resize_pass){outer, taps->in * join, taps->out * join, inner / join, .copies = true, .fill = (float)fill};
    p->start = gm_pool_array(pool, (size_t)p->out + 1, sizeof *p->start);
    p->index = gm_pool_array(pool, (size_t)count + 1, sizeof *p->index);
    p->weight = gm_pool_array(pool, (size_t)count + 1, sizeof *p->weight);
    if (!p->start || !p->index || !p->weight)
        return GM_ERROR_MEMORY;
    for (int64_t j = 0; j < p->out; j++) {
        int64_t from = taps->start[j / join], to = taps->start[j / join + 1];
        for (int64_t k = from; k < to; k++, at++) {
            p->index[at] = (int32_t)(taps->index[k] * join + j % join);
            p->weight[at] = (float)taps->weight[k];
            p->copies = p->copies && to == from + 1 && taps->weight[k] == 1.0;
        }
        p->start[j + 1] = (int32_t)at;
        p->fills = p->fills || to == from;
    }
    return p->inner == 1 ? flatten_taps(pool, p) : GM_OK;
}

static bool is_identity(const gm_resize_taps *taps)
{
    bool same = taps->in == taps->out && taps->start[taps->out] == taps->out;
    for (int64_t i = 0; same && i < taps->out; i++)
        same = taps->start[i] == i && taps->index[i] == i && taps->weight[i] == 1.0;
    return same;
}

/* The axes that change; how many. */
static int changing_axes(const gm_resize_taps *taps, int rank, int *axes)
{
    int count = 0;
    for (int axis = 0; axis < rank; axis++)
        if (!is_identity(&taps[axis]))
            axes[count++] = axis;
    return count;
}

/* Which of two axes goes first: with growth r (out / in) and work c for an element of the result, a and then b costs
 * ra ca + ra rb cb for each element of the input. */
typedef struct axis_cost {
    double growth, work;
} axis_cost;

static bool is_before(axis_cost a, axis_cost b)
{
    return a.growth * a.work * (1.0 - b.growth) < b.growth * b.work * (1.0 - a.growth);
}

/* Sorts the axes into the order of the passes. */
static void order_axes(const gm_resize_taps *taps, int rank, const int64_t *dims, int count, int *axes)
{
    axis_cost costs[GM_MAX_RANK];
    for (int i = 0; i < count; i++) {
        const gm_resize_taps *map = &taps[axes[i]];
        int64_t inner = 1;
        int axis = axes[i], at = i;
        axis_cost cost = {(double)map->out / (double)map->in, (double)map->start[map->out] / (double)map->out};
        for (int k = axis + 1; k < rank; k++)
            inner *= dims[k];
        cost.work *= inner < SHORT_ROW ? PICKING : 1.0;
        for (; at > 0 && is_before(cost, costs[at - 1]); at--) {
            axes[at] = axes[at - 1];
            costs[at] = costs[at - 1];
        }
        axes[at] = axis;
        costs[at] = cost;
    }
}

static bool fits_int32(const gm_resize_taps *taps)
{
    int64_t most = INT32_MAX / (2 * SHORT_ROW * MOST_TAPS);
    return taps->in < most && taps->out < most && taps->start[taps->out] < most;
}

/* Passes of an axis and of a later one run together where the first combines whole rows. */
static void pair_passes(resize_state *s, const int *order)
{
    for (int i = 0; i + 1 < s->count && !s->divided; i++) {
        resize_pass *p = &s->passes[i];
        if (p->inner == 1 || order[i] > order[i + 1] || (i && s->passes[i - 1].block))
            continue;
        p->block = p->inner < BLOCK_ELEMENTS ? BLOCK_ELEMENTS / p->inner : 1;
    }
}

/* dims: of the input with the block as last axis. */
static gm_status make_passes(gm_lower *lower, resize_state *s, const gm_resize_taps *taps, const int *order, int rank,
                             int64_t *dims, double fill)
{
    int first = order[0];
    for (int i = 1; i < s->count; i++)
        first = order[i] < first ? order[i] : first;
    s->planes = s->in_plane = 1;
    for (int i = 0; i < rank; i++)
        *(i < first ? &s->planes : &s->in_plane) *= dims[i];
    for (int i = 0; i < s->count; i++) {
        int64_t outer = 1, inner = 1;
        const gm_resize_taps *map = &taps[order[i]];
        for (int k = first; k < rank; k++)
            if (k != order[i])
                *(k < order[i] ? &outer : &inner) *= dims[k];
        dims[order[i]] = map->out;
        GM_TRY(make_pass(lower->pool, map, outer, inner, fill, &s->passes[i]));
        s->out_plane = outer * map->out * inner;
        lower->flops += 2.0 * (double)map->start[map->out] * (double)(s->planes * outer * inner);
    }
    return GM_OK;
}

/* Who runs what, and the buffers for that. */
static void divide_work(gm_lower *lower, resize_state *s, const int *order)
{
    bool parallel = lower->threads > 1 && s->planes * (s->in_plane + s->out_plane) > PARALLEL_ELEMENTS;
    s->divided = parallel && s->planes < lower->threads;
    s->parts = parallel && !s->divided ? lower->threads : 1;
    pair_passes(s, order);
    for (int i = 0; i + 1 < s->count; i++) {
        const resize_pass *p = &s->passes[i];
        int64_t rows = rows_of(p), needed = (p->block && p->block < rows ? p->block : rows) * row_length(p);
        s->buffer = needed > s->buffer ? needed : s->buffer;
    }
    s->flips = s->count > 2 ? 2 : s->count - 1;
    lower->scratch_bytes = (size_t)(s->parts * s->flips * s->buffer) * sizeof(float);
}

/* The layout in which the input can stay, and its shape with the block as the last axis. */
static int view_of(gm_lower *lower, const int *order, int count, int rank, const int64_t *in, int64_t *dims)
{
    gm_layout layout = lower->in_layout[0];
    bool blocked = layout.block > 1 && rank >= 3 && in[1] % layout.block == 0;
    for (int i = 0; i < count; i++)
        blocked = blocked && order[i] >= 2;
    memcpy(dims, in, (size_t)rank * sizeof *dims);
    if (!blocked)
        return rank;
    dims[1] /= layout.block;
    dims[rank] = layout.block;
    lower->in_want[0] = lower->out_layout[0] = layout;
    return rank + 1;
}

gm_status gm_resize_lower(gm_lower *lower, const gm_resize_taps *taps, int rank, const int64_t *in, double fill)
{
    int order[GM_MAX_RANK], view;
    int64_t dims[GM_MAX_RANK + 1];
    resize_state *s = gm_pool_alloc(lower->pool, sizeof *s);
    if (!s)
        return GM_ERROR_MEMORY;
    s->count = changing_axes(taps, rank, order);
    for (int i = 0; i < rank; i++)
        if (in[i] == 0 || taps[i].out == 0 || !fits_int32(&taps[i]))
            return GM_OK;
    view = view_of(lower, order, s->count, rank, in, dims);
    if (s->count == 0) {
        lower->alias[0] = 0;
        return GM_OK;
    }
    order_axes(taps, view, dims, s->count, order);
    GM_TRY(make_passes(lower, s, taps, order, view, dims, fill));
    divide_work(lower, s, order);
    lower->kernel = (gm_kernel){run_resize, NULL, s};
    return GM_OK;
}
