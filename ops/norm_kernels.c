/* Fast kernels of batch normalization for float32 in every `block` layout.
 *
 * Work is cut into tasks that depend on the shape alone: a group of at most LANES neighbouring channels by a slice of the
 * batch. A task leaves partial sums in double; they are added in a fixed order, so that no result depends on the number of
 * threads. Where a tensor [N, C] has many channels, a task is LANES columns with all their rows: these stay in the inner
 * cache from the sums to the second pass. */
#include "ops/norm.h"
#include "ops/vector.h"

#include <math.h>
#include <string.h>

enum {
    LANES = 64,
    SLICES = 16,
    LINE = 16, /* floats that the cache fetches together */
    RUN = 128 /* rows added up in float32 before they go to double */,
    SAMPLES = 8,
    PART = 1024, /* channels that one thread finishes at a time */
    MANY = 1024  /* channels of [N, C] from which tasks are columns */
};

#define PARALLEL_ELEMENTS 16384

/* [N, groups, S, block]: element (n, c, s) as in gm_layout. */
typedef struct norm_shape {
    int64_t batch, groups, positions, block, channels;
    int64_t lane_groups; /* tasks of one group: block cut into pieces of LANES */
    int64_t slices;      /* of the batch */
    bool parallel, by_columns;
} norm_shape;

typedef struct norm_state {
    norm_shape shape;
    double epsilon;
    bool gated; /* BatchNormalizationGrad: by in[5] */
    float slope;
} norm_state;

static norm_shape norm_shape_of(const gm_value *x, int64_t block)
{
    norm_shape s = {.batch = x->dims[0], .channels = x->dims[1], .positions = 1, .block = block};
    for (int i = 2; i < x->rank; i++)
        s.positions *= x->dims[i];
    if (s.positions == 1) /* [N, C]: all block layouts are one */
        s.block = s.channels;
    s.groups = s.channels / s.block;
    s.lane_groups = (s.block + LANES - 1) / LANES;
    s.slices = s.batch < SLICES ? s.batch : SLICES;
    s.parallel = s.batch * s.channels * s.positions > PARALLEL_ELEMENTS;
    s.by_columns = s.positions == 1 && s.channels >= MANY;
    return s;
}

/* --- Sums over one task ------------------------------------------------------------------------------------------- */

/* What is added up: x alone, or dy and its products with x; dy counts `slope` times where gate is not positive. */
typedef struct summand {
    const float *x, *dy, *gate; /* dy and gate may be NULL */
    float slope;
} summand;

static inline __attribute__((always_inline)) float passed(float dy, float gate, float slope)
{
    return dy * (gate > 0.0f ? 1.0f : slope);
}

static summand summand_at(const summand *s, int64_t at)
{
    return (summand){s->x + at, s->dy ? s->dy + at : NULL, s->gate ? s->gate + at : NULL, s->slope};
}

/* Adds, lane by lane over `rows` rows `step` apart: first += a, second += a * (x - shift), where for statistics a is
 * x - shift and else dy. What lies `ahead` floats later is fetched meanwhile; 0: nothing. */
static inline __attribute__((always_inline)) void add_rows(const float *x, const float *dy, const float *gate,
                                                           float slope, const float *shift, int64_t rows, int64_t step,
                                                           int64_t lanes, int64_t ahead, double *first, double *second)
{
    for (int64_t start = 0; start < rows; start += RUN) {
        int64_t end = rows - start < RUN ? rows : start + RUN;
        float s1[LANES] = {0}, s2[LANES] = {0};
        for (int64_t r = start; r < end; r++) {
            for (int64_t l = 0; ahead && l < lanes; l += LINE) {
                __builtin_prefetch(x + r * step + l + ahead);
                if (dy)
                    __builtin_prefetch(dy + r * step + l + ahead);
                if (gate)
                    __builtin_prefetch(gate + r * step + l + ahead);
            }
            for (int64_t l = 0; l < lanes; l++) {
                int64_t i = r * step + l;
                float centred = x[i] - shift[l], a = gate ? passed(dy[i], gate[i], slope) : dy ? dy[i] : centred;
                s1[l] += a;
                s2[l] += a * centred;
            }
        }
        for (int64_t l = 0; l < lanes; l++) {
            first[l] += (double)s1[l];
            second[l] += (double)s2[l];
        }
    }
}

static inline __attribute__((always_inline)) void add_rows_of(const summand *s, const float *shift, int64_t rows,
                                                              int64_t step, int64_t lanes, int64_t ahead, double *first,
                                                              double *second)
{
    if (s->gate)
        add_rows(s->x, s->dy, s->gate, s->slope, shift, rows, step, lanes, ahead, first, second);
    else if (s->dy)
        add_rows(s->x, s->dy, NULL, 0, shift, rows, step, lanes, ahead, first, second);
    else
        add_rows(s->x, NULL, NULL, 0, shift, rows, step, lanes, ahead, first, second);
}

GM_VECTOR static void add_rows_16(const summand *s, const float *shift, int64_t rows, int64_t step, double *first,
                                  double *second)
{
    add_rows_of(s, shift, rows, step, 16, 0, first, second);
}

GM_VECTOR static void add_rows_64(const summand *s, const float *shift, int64_t rows, int64_t step, double *first,
                                  double *second)
{
    add_rows_of(s, shift, rows, step, LANES, 0, first, second);
}

GM_VECTOR static void add_rows_any(const summand *s, const float *shift, int64_t rows, int64_t step, int64_t lanes,
                                   double *first, double *second)
{
    if (lanes == 16)
        add_rows_16(s, shift, rows, step, first, second);
    else if (lanes == LANES)
        add_rows_64(s, shift, rows, step, first, second);
    else
        add_rows_of(s, shift, rows, step, lanes, 0, first, second);
}

/* One channel whose `count` values lie side by side: 16 of them are taken as lanes. */
static void add_line(const summand *s, float shift, int64_t count, double *first, double *second)
{
    double s1[16] = {0}, s2[16] = {0};
    float shifts[16];
    int64_t rows = count / 16;
    summand rest = summand_at(s, rows * 16);
    for (int l = 0; l < 16; l++)
        shifts[l] = shift;
    add_rows_16(s, shifts, rows, 16, s1, s2);
    add_rows_any(&rest, shifts, 1, 16, count - rows * 16, s1, s2);
    for (int l = 0; l < 16; l++) {
        *first += s1[l];
        *second += s2[l];
    }
}

/* Task (slice, group, piece of its lanes) -> sums[slice][0 or 1][channel]. Slices come first, so that a thread reads the
 * examples that it wrote itself in the layer before. */
static void add_task(const norm_shape *s, int64_t task, const summand *of, const float *shift, double *sums)
{
    int64_t piece = task % s->lane_groups, group = task / s->lane_groups % s->groups,
            slice = task / s->lane_groups / s->groups;
    int64_t lane = piece * LANES, lanes = s->block - lane < LANES ? s->block - lane : LANES;
    int64_t channel = group * s->block + lane, from = slice * s->batch / s->slices,
            to = (slice + 1) * s->batch / s->slices;
    double *first = sums + slice * 2 * s->channels + channel, *second = first + s->channels;
    memset(first, 0, (size_t)lanes * sizeof *first);
    memset(second, 0, (size_t)lanes * sizeof *second);
    if (s->positions == 1) { /* the rows of the slice lie at one distance */
        summand start = summand_at(of, from * s->channels + channel);
        add_rows_any(&start, shift + channel, to - from, s->channels, lanes, first, second);
        return;
    }
    for (int64_t n = from; n < to; n++) {
        summand start = summand_at(of, (n * s->groups + group) * s->positions * s->block + lane);
        if (s->block == 1)
            add_line(&start, shift[channel], s->positions, first, second);
        else
            add_rows_any(&start, shift + channel, s->positions, s->block, lanes, first, second);
    }
}

GM_VECTOR static void add_doubles(const double *from, double *to, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        to[i] += from[i];
}

/* sums[0][0 .. 2 * channels): totals over all slices. */
static void add_all(const norm_shape *s, const summand *of, const float *shift, double *sums, int threads)
{
    int64_t tasks = s->groups * s->lane_groups * s->slices, parts = (2 * s->channels + PART - 1) / PART;
#pragma omp parallel num_threads(threads) if (s->parallel)
    {
#pragma omp for schedule(static)
        for (int64_t task = 0; task < tasks; task++)
            add_task(s, task, of, shift, sums);
#pragma omp for schedule(static)
        for (int64_t part = 0; part < parts; part++) {
            int64_t first = part * PART, count = 2 * s->channels - first < PART ? 2 * s->channels - first : PART;
            for (int64_t slice = 1; slice < s->slices; slice++)
                add_doubles(sums + slice * 2 * s->channels + first, sums + first, count);
        }
    }
}

/* A value near each channel's mean, so that squares of small differences are added: the mean of a few elements. */
static void choose_shift(const norm_shape *s, const float *x, float *shift, int threads)
{
    int64_t batch = s->batch < SAMPLES ? s->batch : SAMPLES;
    int64_t positions = s->positions < SAMPLES ? s->positions : SAMPLES;
#pragma omp parallel for num_threads(threads) schedule(static) if (s->channels > PART)
    for (int64_t piece = 0; piece < s->groups * s->lane_groups; piece++) {
        int64_t lane = piece % s->lane_groups * LANES, lanes = s->block - lane < LANES ? s->block - lane : LANES;
        int64_t group = piece / s->lane_groups;
        double total[LANES] = {0};
        for (int64_t n = 0; n < batch; n++)
            for (int64_t p = 0; p < positions; p++) {
                const float *from = x + ((n * s->groups + group) * s->positions + p) * s->block + lane;
                for (int64_t l = 0; l < lanes; l++)
                    total[l] += (double)from[l];
            }
        for (int64_t l = 0; l < lanes; l++)
            shift[group * s->block + lane + l] = (float)(total[l] / (double)(batch * positions));
    }
}

/* --- Elementwise passes ------------------------------------------------------------------------------------------- */

/* y = (x - mean) * a + b over one row of a group: `rows` times `lanes`, or one channel's `rows` values. */
static inline __attribute__((always_inline)) void normalize_lanes(const float *x, float *y, const float *mean,
                                                                  const float *a, const float *b, int64_t rows,
                                                                  int64_t lanes)
{
    if (lanes == 1) {
        float mean0 = mean[0], a0 = a[0], b0 = b[0];
        for (int64_t i = 0; i < rows; i++)
            y[i] = (x[i] - mean0) * a0 + b0;
        return;
    }
    for (int64_t r = 0; r < rows; r++)
        for (int64_t l = 0; l < lanes; l++)
            y[r * lanes + l] = (x[r * lanes + l] - mean[l]) * a[l] + b[l];
}

GM_VECTOR static void normalize_row(const float *x, float *y, const float *mean, const float *a, const float *b,
                                    int64_t rows, int64_t lanes)
{
    normalize_lanes(x, y, mean, a, b, rows, lanes);
}

static void normalize(const norm_shape *s, const float *x, float *y, const float *mean, const float *a, const float *b,
                      int threads)
{
    int64_t row = s->positions * s->block;
#pragma omp parallel for num_threads(threads) schedule(static) if (s->parallel)
    for (int64_t i = 0; i < s->batch * s->groups; i++) {
        int64_t channel = i % s->groups * s->block;
        normalize_row(x + i * row, y + i * row, mean + channel, a + channel, b + channel, s->positions, s->block);
    }
}

/* dx = a dy - p - (x - mean) q */
static inline __attribute__((always_inline)) void gradient_of(const float *x, const float *dy, const float *gate,
                                                              float slope, float *dx, const float *mean, const float *a,
                                                              const float *p, const float *q, int64_t rows,
                                                              int64_t lanes)
{
    if (lanes == 1) {
        float mean0 = mean[0], a0 = a[0], p0 = p[0], q0 = q[0];
        for (int64_t i = 0; i < rows; i++)
            dx[i] = a0 * (gate ? passed(dy[i], gate[i], slope) : dy[i]) - p0 - (x[i] - mean0) * q0;
        return;
    }
    for (int64_t r = 0; r < rows; r++)
        for (int64_t l = 0; l < lanes; l++) {
            int64_t i = r * lanes + l;
            dx[i] = a[l] * (gate ? passed(dy[i], gate[i], slope) : dy[i]) - p[l] - (x[i] - mean[l]) * q[l];
        }
}

GM_VECTOR static void gradient_row(const summand *s, float *dx, const float *mean, const float *a, const float *p,
                                   const float *q, int64_t rows, int64_t lanes)
{
    if (s->gate)
        gradient_of(s->x, s->dy, s->gate, s->slope, dx, mean, a, p, q, rows, lanes);
    else
        gradient_of(s->x, s->dy, NULL, 0, dx, mean, a, p, q, rows, lanes);
}

/* --- Columns ---------------------------------------------------------------------------------------------------------- */

/* What is summed up over one column of [N, C], and what its elements become by it:
 * y = (x - mean) a + b, or dx = a dy - p - (x - mean) q. */
typedef struct column_factors {
    float shift[LANES], mean[LANES], a[LANES], b[LANES], p[LANES], q[LANES];
} column_factors;

/* first, second: the sums of add_rows over all rows of columns c ... c + lanes - 1, while the next ones are fetched. */
GM_VECTOR static void add_columns(const norm_shape *s, const summand *of, int64_t c, int64_t lanes, const float *shift,
                                  double *first, double *second)
{
    summand start = summand_at(of, c);
    memset(first, 0, LANES * sizeof *first);
    memset(second, 0, LANES * sizeof *second);
    if (lanes == LANES)
        add_rows_of(&start, shift, s->batch, s->channels, LANES, LANES, first, second);
    else
        add_rows_of(&start, shift, s->batch, s->channels, lanes, 0, first, second);
}

/* As choose_shift. */
static void choose_column_shift(const norm_shape *s, const float *x, int64_t lanes, float *shift)
{
    int64_t batch = s->batch < SAMPLES ? s->batch : SAMPLES;
    for (int64_t l = 0; l < lanes; l++) {
        double total = 0.0;
        for (int64_t n = 0; n < batch; n++)
            total += (double)x[n * s->channels + l];
        shift[l] = (float)(total / (double)batch);
    }
}

static inline __attribute__((always_inline)) void write_lanes(const norm_shape *s, const summand *of, int64_t lanes,
                                                              const column_factors *by, float *out)
{
    for (int64_t r = 0; r < s->batch; r++) {
        summand row = summand_at(of, r * s->channels);
        float *to = out + r * s->channels;
        if (row.gate)
            gradient_of(row.x, row.dy, row.gate, row.slope, to, by->mean, by->a, by->p, by->q, 1, lanes);
        else if (row.dy)
            gradient_of(row.x, row.dy, NULL, 0, to, by->mean, by->a, by->p, by->q, 1, lanes);
        else
            normalize_lanes(row.x, to, by->mean, by->a, by->b, 1, lanes);
    }
}

GM_VECTOR static void write_columns(const norm_shape *s, const summand *of, int64_t c, int64_t lanes,
                                    const column_factors *by, float *out)
{
    summand start = summand_at(of, c);
    if (lanes == LANES)
        write_lanes(s, &start, LANES, by, out + c);
    else
        write_lanes(s, &start, lanes, by, out + c);
}

/* --- Kernels ------------------------------------------------------------------------------------------------------ */

static gm_status run_inference(const void *state_pointer, const gm_kernel_arguments *arguments)
{
    const norm_state *state = state_pointer;
    const float *scale = arguments->in[1], *var = arguments->in[4];
    float *a = arguments->scratch;
    for (int64_t c = 0; c < state->shape.channels; c++)
        a[c] = (float)((double)scale[c] / sqrt((double)var[c] + state->epsilon));
    normalize(&state->shape, arguments->in[0], arguments->out[0], arguments->in[3], a, arguments->in[2],
              arguments->threads);
    return GM_OK;
}

/* Channel c from its sums: mean and the factor a. */
static void finish_training(const norm_state *state, const gm_kernel_arguments *arguments, int64_t c, double first,
                            double second, float shift, float *mean, float *a)
{
    const float *scale = arguments->in[1];
    float *mean_out = arguments->out[1], *var_out = arguments->out[2];
    double count = (double)(state->shape.batch * state->shape.positions), offset = first / count;
    double var = second / count - offset * offset;
    var = var > 0.0 || var != var ? var : 0.0;
    *mean = (float)((double)shift + offset);
    *a = (float)((double)scale[c] / sqrt(var + state->epsilon));
    if (mean_out)
        mean_out[c] = *mean;
    if (var_out)
        var_out[c] = (float)var;
}

/* Channel c from its sums: the factors a, p and q. */
static void finish_grad(const norm_state *state, const gm_kernel_arguments *arguments, int64_t c, double total,
                        double correlated, float *a, float *p, float *q)
{
    const float *scale = arguments->in[1], *var = arguments->in[3];
    float *dscale = arguments->out[1], *db = arguments->out[2];
    double count = (double)(state->shape.batch * state->shape.positions);
    double r = 1.0 / sqrt((double)var[c] + state->epsilon);
    *a = (float)((double)scale[c] * r);
    *p = (float)((double)scale[c] * r * total / count);
    *q = (float)((double)scale[c] * r * r * r * correlated / count);
    if (dscale)
        dscale[c] = (float)(correlated * r);
    if (db)
        db[c] = (float)total;
}

/* Columns c ... c + lanes - 1 from the beginning to the end, in training and of its gradient. */
static void run_columns(const norm_state *state, const gm_kernel_arguments *arguments, const summand *of, int64_t c,
                        int64_t lanes)
{
    const norm_shape *s = &state->shape;
    double first[LANES], second[LANES];
    column_factors by;
    if (of->dy) {
        memcpy(by.mean, (const float *)arguments->in[2] + c, (size_t)lanes * sizeof *by.mean);
        add_columns(s, of, c, lanes, by.mean, first, second);
        for (int64_t l = 0; l < lanes; l++)
            finish_grad(state, arguments, c + l, first[l], second[l], &by.a[l], &by.p[l], &by.q[l]);
    } else {
        memcpy(by.b, (const float *)arguments->in[2] + c, (size_t)lanes * sizeof *by.b);
        choose_column_shift(s, of->x + c, lanes, by.shift);
        add_columns(s, of, c, lanes, by.shift, first, second);
        for (int64_t l = 0; l < lanes; l++)
            finish_training(state, arguments, c + l, first[l], second[l], by.shift[l], &by.mean[l], &by.a[l]);
    }
    if (arguments->out[0])
        write_columns(s, of, c, lanes, &by, arguments->out[0]);
}

static gm_status run_all_columns(const norm_state *state, const gm_kernel_arguments *arguments, const summand *of)
{
    const norm_shape *s = &state->shape;
#pragma omp parallel for num_threads(arguments->threads) schedule(static) if (s->parallel)
    for (int64_t piece = 0; piece < s->lane_groups; piece++) {
        int64_t c = piece * LANES;
        run_columns(state, arguments, of, c, s->channels - c < LANES ? s->channels - c : LANES);
    }
    return GM_OK;
}

/* Scratch: sums double[slices][2][C], then floats: shift, mean, a [C]. */
static gm_status run_training(const void *state_pointer, const gm_kernel_arguments *arguments)
{
    const norm_state *state = state_pointer;
    const norm_shape *s = &state->shape;
    const summand of = {.x = arguments->in[0]};
    double *sums = arguments->scratch;
    float *shift = (float *)(sums + s->slices * 2 * s->channels), *mean = shift + s->channels, *a = mean + s->channels;
    if (s->by_columns)
        return run_all_columns(state, arguments, &of);
    choose_shift(s, of.x, shift, arguments->threads);
    add_all(s, &of, shift, sums, arguments->threads);
#pragma omp parallel for num_threads(arguments->threads) schedule(static) if (s->channels > PART)
    for (int64_t c = 0; c < s->channels; c++)
        finish_training(state, arguments, c, sums[c], sums[s->channels + c], shift[c], &mean[c], &a[c]);
    if (arguments->out[0])
        normalize(s, of.x, arguments->out[0], mean, a, arguments->in[2], arguments->threads);
    return GM_OK;
}

/* Scratch: sums double[slices][2][C], then floats: a, p, q [C]. */
static gm_status run_grad(const void *state_pointer, const gm_kernel_arguments *arguments)
{
    const norm_state *state = state_pointer;
    const norm_shape *s = &state->shape;
    const float *mean = arguments->in[2];
    const summand of = {arguments->in[0], arguments->in[4], state->gated ? arguments->in[5] : NULL, state->slope};
    double *sums = arguments->scratch;
    float *a = (float *)(sums + s->slices * 2 * s->channels), *p = a + s->channels, *q = p + s->channels;
    float *dx = arguments->out[0];
    int64_t row = s->positions * s->block;
    if (s->by_columns)
        return run_all_columns(state, arguments, &of);
    add_all(s, &of, mean, sums, arguments->threads);
#pragma omp parallel for num_threads(arguments->threads) schedule(static) if (s->channels > PART)
    for (int64_t c = 0; c < s->channels; c++)
        finish_grad(state, arguments, c, sums[c], sums[s->channels + c], &a[c], &p[c], &q[c]);
    if (!dx)
        return GM_OK;
#pragma omp parallel for num_threads(arguments->threads) schedule(static) if (s->parallel)
    for (int64_t i = 0; i < s->batch * s->groups; i++) {
        int64_t channel = i % s->groups * s->block;
        summand start = summand_at(&of, i * row);
        gradient_row(&start, dx + i * row, mean + channel, a + channel, p + channel, q + channel, s->positions,
                     s->block);
    }
    return GM_OK;
}

/* --- Lowering ----------------------------------------------------------------------------------------------------- */

static gm_status lower_norm(gm_lower *lower, gm_status (*run)(const void *, const gm_kernel_arguments *), int floats)
{
    const gm_value *x = gm_value_of(lower->graph, lower->node->inputs[0]);
    gm_layout layout = lower->in_layout[0];
    norm_state *state;
    if (lower->reference || !gm_lower_all_float(lower) || x->dims[0] < 1 || x->dims[1] < 1)
        return GM_OK;
    if (layout.block < 1 || x->dims[1] % layout.block != 0)
        layout = gm_layout_plain;
    state = gm_pool_alloc(lower->pool, sizeof *state);
    if (!state)
        return GM_ERROR_MEMORY;
    state->shape = norm_shape_of(x, layout.block);
    if (state->shape.positions < 1)
        return GM_OK;
    state->epsilon = gm_node_float(lower->node, "epsilon", 1e-5);
    state->gated = lower->node->input_count > 5 && lower->node->inputs[5];
    state->slope = (float)gm_node_float(lower->node, "slope", 0.0);
    lower->in_want[0] = lower->out_layout[0] = layout;
    lower->scratch_bytes = run != run_inference && state->shape.by_columns
                               ? 0
                               : (size_t)state->shape.channels * ((size_t)state->shape.slices * 2 * sizeof(double) +
                                                                  (size_t)floats * sizeof(float));
    lower->kernel = (gm_kernel){run, NULL, state};
    return GM_OK;
}

gm_status gm_batch_normalization_lower(gm_lower *lower)
{
    GM_TRY(lower_norm(lower, run_inference, 1));
    if (lower->kernel.run)
        lower->in_place[0] = 0;
    return GM_OK;
}

gm_status gm_batch_normalization_training_lower(gm_lower *lower)
{
    GM_TRY(lower_norm(lower, run_training, 3));
    if (lower->kernel.run)
        lower->in_place[0] = 0;
    return GM_OK;
}

gm_status gm_batch_normalization_grad_lower(gm_lower *lower)
{
    GM_TRY(lower_norm(lower, run_grad, 3));
    if (!lower->kernel.run)
        return GM_OK;
    for (size_t i = 4; i < lower->node->input_count; i++)
        lower->in_want[i] = lower->in_want[0];
    lower->in_place[0] = 4;
    return GM_OK;
}
