/* Reductions of float32, summed in double, in an order that depends on the shape alone (never on the threads). */
#include "ops/reduce.h"
#include "ops/vector.h"

#include <math.h>
#include <string.h>

#define PARALLEL_ELEMENTS 16384
#define CHUNK             4096 /* elements of one partial result when everything is reduced */
#define MAX_CHUNKS        16   /* partial results along the outermost reduced axis otherwise */
#define LANES             8

/* The input is seen as [outer][sweep][channels][positions][block]: `sweep` and `positions` are reduced, the rest is the
 * output. Every plain pattern of kept and reduced runs of axes up to K R K R K is of this form, and so are the sums
 * over [N, H, W] of an activation in any `block` layout. A reduction of all elements is a row of `positions`, cut into
 * chunks. */
typedef struct reduce_state {
    gm_reduction reduction;
    int64_t outer, sweep, channels, positions, block;
    int64_t chunks; /* of sweep, or of positions where all is reduced */
    bool all;
    double scale; /* applied at the end: 1 / count of a mean */
} reduce_state;

static double start_value(gm_reduction reduction)
{
    return reduction == GM_REDUCE_MAX ? -(double)INFINITY : reduction == GM_REDUCE_MIN ? (double)INFINITY : 0.0;
}

static double join(gm_reduction reduction, double a, double b)
{
    if (reduction == GM_REDUCE_MAX)
        return b > a || isnan(b) ? b : a;
    if (reduction == GM_REDUCE_MIN)
        return b < a || isnan(b) ? b : a;
    return a + b;
}

static bool is_sum(gm_reduction reduction)
{
    return reduction == GM_REDUCE_SUM || reduction == GM_REDUCE_MEAN;
}

GM_VECTOR static double sum_row(const float *x, int64_t count)
{
    double lanes[LANES] = {0.0}, sum = 0.0;
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int k = 0; k < LANES; k++)
            lanes[k] += (double)x[i + k];
    for (; i < count; i++)
        sum += (double)x[i];
    return sum + (((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7])));
}

static double reduce_row(gm_reduction reduction, const float *x, int64_t count)
{
    double result = start_value(reduction);
    if (is_sum(reduction))
        return sum_row(x, count);
    for (int64_t i = 0; i < count; i++)
        result = join(reduction, result, (double)x[i]);
    return result;
}

GM_VECTOR static void sum_block(const float *x, int64_t positions, int64_t block, double *acc)
{
    for (int64_t s = 0; s < positions; s++, x += block)
        for (int64_t k = 0; k < block; k++)
            acc[k] += (double)x[k];
}

GM_VECTOR static void sum_doubles(const double *from, int64_t count, double *to)
{
    for (int64_t i = 0; i < count; i++)
        to[i] += from[i];
}

/* acc[k] joins x[s][k] for all s */
static void reduce_block(gm_reduction reduction, const float *x, int64_t positions, int64_t block, double *acc)
{
    if (is_sum(reduction)) {
        sum_block(x, positions, block, acc);
        return;
    }
    for (int64_t s = 0; s < positions; s++, x += block)
        for (int64_t k = 0; k < block; k++)
            acc[k] = join(reduction, acc[k], (double)x[k]);
}

/* One partial result: chunk `chunk` of the sweep for one (outer, channel) into acc[block]. */
static void reduce_chunk(const reduce_state *state, const float *x, int64_t outer, int64_t chunk, int64_t channel,
                         double *acc)
{
    int64_t first = state->sweep * chunk / state->chunks, last = state->sweep * (chunk + 1) / state->chunks;
    int64_t row = state->positions * state->block;
    for (int64_t k = 0; k < state->block; k++)
        acc[k] = start_value(state->reduction);
    for (int64_t a = first; a < last; a++) {
        const float *from = x + ((outer * state->sweep + a) * state->channels + channel) * row;
        if (state->block == 1)
            acc[0] = join(state->reduction, acc[0], reduce_row(state->reduction, from, state->positions));
        else
            reduce_block(state->reduction, from, state->positions, state->block, acc);
    }
}

/* Chunks are joined into the first of them. */
static void finish(const reduce_state *state, double *partial, float *y)
{
    int64_t width = state->channels * state->block;
    for (int64_t o = 0; o < state->outer; o++) {
        double *result = partial + o * state->chunks * width;
        for (int64_t k = 1; k < state->chunks; k++)
            if (is_sum(state->reduction))
                sum_doubles(result + k * width, width, result);
            else
                for (int64_t c = 0; c < width; c++)
                    result[c] = join(state->reduction, result[c], result[k * width + c]);
        for (int64_t c = 0; c < width; c++)
            y[o * width + c] = (float)(result[c] * state->scale);
    }
}

static gm_status run_reduce(const void *state_pointer, const gm_kernel_arguments *arguments)
{
    const reduce_state *state = state_pointer;
    const float *x = arguments->in[0];
    double *partial = arguments->scratch;
    int64_t tasks = state->outer * state->chunks * state->channels;
    int64_t elements = state->outer * state->sweep * state->channels * state->positions * state->block;
#pragma omp parallel for num_threads(arguments->threads) schedule(static) if (elements > PARALLEL_ELEMENTS)
    for (int64_t t = 0; t < tasks; t++) {
        if (state->all) {
            int64_t at = t * CHUNK, rest = state->positions - at;
            partial[t] = reduce_row(state->reduction, x + at, rest < CHUNK ? rest : CHUNK);
        } else {
            reduce_chunk(state, x, t / (state->chunks * state->channels), t / state->channels % state->chunks,
                         t % state->channels, partial + t * state->block);
        }
    }
    finish(state, partial, arguments->out[0]);
    return GM_OK;
}

/* --- Choosing the form
 * ------------------------------------------------------------------------------------------------- */

/* Plain data: joins neighbouring axes of one kind; more runs than K R K R K do not fit. */
static bool plain_form(const gm_tensor *x, const bool *mask, reduce_state *state)
{
    int64_t *const places[5] = {&state->outer, &state->sweep, &state->channels, &state->positions, &state->block};
    int place = 0;
    for (int i = 0; i < x->rank; i++) {
        if (x->dims[i] == 1)
            continue;
        while (place < 5 && (place % 2 == 1) != mask[i])
            place++;
        if (place == 5)
            return false;
        *places[place] *= x->dims[i];
    }
    /* One kept run behind the sweep and nothing after it: the vector loop runs along it. */
    if (state->positions == 1 && state->block == 1) {
        state->block = state->channels;
        state->channels = 1;
    }
    /* One reduced run only: rows of it. */
    if (state->channels == 1 && state->positions == 1 && state->block == 1) {
        state->positions = state->sweep;
        state->sweep = 1;
    }
    return true;
}

/* An activation in a `block` layout, block > 1: all positions of a channel are reduced, or all of a batch entry. */
static bool blocked_form(const gm_tensor *x, const bool *mask, int64_t block, reduce_state *state)
{
    int64_t positions = 1;
    bool channels = x->rank > 1 && (mask[1] || x->dims[1] == 1);
    for (int i = 2; i < x->rank; i++) {
        if (!mask[i] && x->dims[i] != 1)
            return false;
        positions *= x->dims[i];
    }
    if (x->rank < 3 || x->dims[1] % block)
        return false;
    *(mask[0] ? &state->sweep : &state->outer) = x->dims[0];
    if (channels) {
        state->positions = x->dims[1] * positions;
    } else {
        state->channels = x->dims[1] / block;
        state->positions = positions;
        state->block = block;
    }
    return true;
}

static bool choose_form(gm_lower *lower, const gm_tensor *x, const bool *mask, reduce_state *state)
{
    gm_layout layout = lower->in_layout[0];
    bool all = true;
    for (int i = 0; i < x->rank; i++)
        all = all && (mask[i] || x->dims[i] == 1);
    if (all) {
        state->all = true;
        state->positions = gm_tensor_count(x);
        if (!gm_layout_is_any(layout))
            lower->in_want[0] = layout; /* the order does not matter */
        return true;
    }
    if (layout.block > 1 && blocked_form(x, mask, layout.block, state)) {
        lower->in_want[0] = layout;
        return true;
    }
    state->outer = state->sweep = state->channels = state->positions = state->block = 1;
    return plain_form(x, mask, state);
}

gm_status gm_reduce_lower(gm_lower *lower, gm_reduction reduction, const gm_tensor *x, const bool *mask)
{
    reduce_state *state = gm_pool_alloc(lower->pool, sizeof *state);
    int64_t groups, count = gm_tensor_count(x);
    if (!state)
        return GM_ERROR_MEMORY;
    *state = (reduce_state){.reduction = reduction, .scale = 1.0};
    state->outer = state->sweep = state->channels = state->positions = state->block = state->chunks = 1;
    if (reduction == GM_REDUCE_PROD || count == 0 || !choose_form(lower, x, mask, state))
        return GM_OK;
    groups = state->outer * state->channels;
    if (state->all)
        state->chunks = (state->positions + CHUNK - 1) / CHUNK;
    else if (groups < MAX_CHUNKS)
        state->chunks = state->sweep < MAX_CHUNKS ? state->sweep : MAX_CHUNKS;
    if (reduction == GM_REDUCE_MEAN)
        state->scale = 1.0 / (double)(state->sweep * state->positions);
    lower->scratch_bytes = (size_t)(groups * state->chunks * state->block) * sizeof(double);
    lower->flops = (double)count;
    lower->kernel = (gm_kernel){run_reduce, NULL, state};
    return GM_OK;
}
