/* Transforms of Winograd's convolutions. See winograd_transform.h.
 *
 * With finite points a and N(a) = product over the other finite points b of (a - b), F(m, r) has
 *   A^T[i][a] = a^i,   G[a][k] = a^k / N(a),   B^T[a] = coefficients of the product over the others of (x - b),
 * and for infinity the highest power, the highest entry, and the product over all finite points. Tiles of 3 rows do without
 * the last finite point d: their B^T[a] = (a - d) product over the others of (x - b), so that G stays what it is.
 *
 * A transform of both axes is two passes over lines of vectors; the matrices are constants, and the compiler unrolls the
 * loops over them, so that products with 0 and 1 vanish. */
#include "ops/winograd_transform.h"

#include "ops/vector.h"

#include <stdbool.h>
#include <string.h>

#define TILE       GM_WINOGRAD_TILE
#define LANES      GM_WINOGRAD_LANES
#define POINTS     GM_WINOGRAD_POINTS
#define MAX_PHASES 2
#define MAX_TAPS   5
#define AHEAD      2 /* groups of channels that are fetched ahead */

typedef float lanes __attribute__((vector_size(4 * LANES)));
#define INLINE static inline __attribute__((always_inline))

/* --- Passes --------------------------------------------------------------------------------------------------------- */

/* Multiplies `lines` lines of vectors by a matrix. Entry j of line l is in[l * line + j * step]; all counted in vectors. */
typedef struct gm_winograd_lines {
    int lines, in_line, in_step, out_line, out_step;
} gm_winograd_lines;
typedef void (*gm_winograd_pass)(const lanes *in, lanes *out, const gm_winograd_lines *how);

INLINE void pass(const float *matrix, int rows, int columns, bool transpose, const lanes *in, lanes *out,
                 const gm_winograd_lines *how)
{
    int stride = transpose ? rows : columns;
    for (int l = 0; l < how->lines; l++, in += how->in_line, out += how->out_line) {
        lanes d[POINTS];
#pragma GCC unroll 8
        for (int j = 0; j < columns; j++)
            d[j] = in[j * how->in_step];
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) {
            lanes sum = {0};
            bool started = false;
#pragma GCC unroll 8
            for (int j = 0; j < columns; j++) {
                float factor = transpose ? matrix[j * stride + i] : matrix[i * stride + j];
                if (factor == 0)
                    continue;
                sum = started ? sum + factor * d[j] : factor * d[j];
                started = true;
            }
            out[i * how->out_step] = sum;
        }
    }
}

/* NAME_on: multiplies by the matrix; NAME_back: by its transpose. */
#define PASSES(NAME, ROWS, COLUMNS)                                                                                    \
    GM_VECTOR static void NAME##_on(const lanes *in, lanes *out, const gm_winograd_lines *how)                         \
    {                                                                                                                  \
        pass(NAME[0], ROWS, COLUMNS, false, in, out, how);                                                             \
    }                                                                                                                  \
    GM_VECTOR static void NAME##_back(const lanes *in, lanes *out, const gm_winograd_lines *how)                       \
    {                                                                                                                  \
        pass(NAME[0], COLUMNS, ROWS, true, in, out, how);                                                              \
    }

/* F(4, 5) with points 0, 1, -1, 2, -2, 1/2, -1/2, infinity */
static const float g_5[8][5] = {{-1, 0, 0, 0, 0},
                                {-2.0f / 9, -2.0f / 9, -2.0f / 9, -2.0f / 9, -2.0f / 9},
                                {-2.0f / 9, 2.0f / 9, -2.0f / 9, 2.0f / 9, -2.0f / 9},
                                {1.0f / 90, 1.0f / 45, 2.0f / 45, 4.0f / 45, 8.0f / 45},
                                {1.0f / 90, -1.0f / 45, 2.0f / 45, -4.0f / 45, 8.0f / 45},
                                {32.0f / 45, 16.0f / 45, 8.0f / 45, 4.0f / 45, 2.0f / 45},
                                {32.0f / 45, -16.0f / 45, 8.0f / 45, -4.0f / 45, 2.0f / 45},
                                {0, 0, 0, 0, 1}};
static const float b_5[8][8] = {
    {-1, 0, 5.25f, 0, -5.25f, 0, 1, 0},      {0, 1, 1, -4.25f, -4.25f, 1, 1, 0},
    {0, -1, 1, 4.25f, -4.25f, -1, 1, 0},     {0, .5f, .25f, -2.5f, -1.25f, 2, 1, 0},
    {0, -.5f, .25f, 2.5f, -1.25f, -2, 1, 0}, {0, 2, 4, -2.5f, -5, .5f, 1, 0},
    {0, -2, 4, 2.5f, -5, -.5f, 1, 0},        {0, -1, 0, 5.25f, 0, -5.25f, 0, 1},
};
static const float b_last_5[7][7] = {
    {-1, 2, 1.25f, -2.5f, -.25f, .5f, 0},  {0, 3, -3, -6.75f, .75f, 1.5f, 0},     {0, 1, -3, 1.75f, .75f, -.5f, 0},
    {0, 2.5f, -3.75f, -5, 3.75f, 2.5f, 0}, {0, 1.5f, -3.75f, 0, 3.75f, -1.5f, 0}, {0, 4, 0, -5, 0, 1, 0},
    {0, -2, 4, 2.5f, -5, -.5f, 1},
};
static const float a_5[4][8] = {{1, 1, 1, 1, 1, 1, 1, 0},
                                {0, 1, -1, 2, -2, .5f, -.5f, 0},
                                {0, 1, 1, 4, 4, .25f, .25f, 0},
                                {0, 1, -1, 8, -8, .125f, -.125f, 1}};
static const float a_last_5[3][7] = {{1, 1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, .5f, 0}, {0, 1, 1, 4, 4, .25f, 1}};

/* F(4, 3) with points 0, 1, -1, 2, -2, infinity */
static const float g_3[6][3] = {{1.0f / 4, 0, 0},
                                {-1.0f / 6, -1.0f / 6, -1.0f / 6},
                                {-1.0f / 6, 1.0f / 6, -1.0f / 6},
                                {1.0f / 24, 1.0f / 12, 1.0f / 6},
                                {1.0f / 24, -1.0f / 12, 1.0f / 6},
                                {0, 0, 1}};
static const float b_3[6][6] = {
    {4, 0, -5, 0, 1, 0},  {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0},
    {0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1},
};
static const float b_last_3[5][5] = {
    {4, -2, -4, 2, 0}, {0, -6, -3, 3, 0}, {0, 2, -3, 1, 0}, {0, -4, 0, 4, 0}, {0, 2, -1, -2, 1}};
static const float a_3[4][6] = {{1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}};
static const float a_last_3[3][5] = {{1, 1, 1, 1, 0}, {0, 1, -1, 2, 0}, {0, 1, 1, 4, 1}};

/* F(4, 2) with points 0, 1, -1, -2, infinity */
static const float g_2[5][2] = {
    {-1.0f / 2, 0}, {1.0f / 6, 1.0f / 6}, {1.0f / 2, -1.0f / 2}, {-1.0f / 6, 1.0f / 3}, {0, 1}};
static const float b_2[5][5] = {
    {-2, -1, 2, 1, 0}, {0, 2, 3, 1, 0}, {0, -2, 1, 1, 0}, {0, -1, 0, 1, 0}, {0, -2, -1, 2, 1}};
static const float b_last_2[4][4] = {{-2, 0, 2, 0}, {0, 3, 3, 0}, {0, -1, 1, 0}, {0, -1, 0, 1}};
static const float a_2[4][5] = {{1, 1, 1, 1, 0}, {0, 1, -1, -2, 0}, {0, 1, 1, 4, 0}, {0, 1, -1, -8, 1}};
static const float a_last_2[3][4] = {{1, 1, 1, 0}, {0, 1, -1, 0}, {0, 1, 1, 1}};

PASSES(g_5, 8, 5)
PASSES(b_5, 8, 8)
PASSES(b_last_5, 7, 7)
PASSES(a_5, 4, 8)
PASSES(a_last_5, 3, 7)
PASSES(g_3, 6, 3)
PASSES(b_3, 6, 6)
PASSES(b_last_3, 5, 5)
PASSES(a_3, 4, 6)
PASSES(a_last_3, 3, 5)
PASSES(g_2, 5, 2)
PASSES(b_2, 5, 5)
PASSES(b_last_2, 4, 4)
PASSES(a_2, 4, 5)
PASSES(a_last_2, 3, 4)

/* --- Rules ---------------------------------------------------------------------------------------------------------- */

/* One phase of the stride: the kernel's entries p, p + stride, ... */
typedef struct gm_winograd_phase {
    int taps, points;   /* points = taps + 3 */
    int common[POINTS]; /* its points as points of the rule */
    gm_winograd_pass g, g_back;
    gm_winograd_pass b[2], b_back[2]; /* of tiles of 4 rows and of 3 */
} gm_winograd_phase;

/* The points of a rule are those of the phase with the most taps, the first. Its last finite one is also the last finite one
 * of every other phase: the point that tiles of 3 rows lack. */
struct gm_winograd_rule {
    int kernel, stride, points;
    gm_winograd_phase phase[MAX_PHASES];
    gm_winograd_pass a[2], a_back[2];
};

#define PHASE(TAPS, ...)                                                                                               \
    {                                                                                                                  \
        TAPS, TAPS + 3, __VA_ARGS__, g_##TAPS##_on, g_##TAPS##_back, {b_##TAPS##_on, b_last_##TAPS##_on},              \
        {                                                                                                              \
            b_##TAPS##_back, b_last_##TAPS##_back                                                                      \
        }                                                                                                              \
    }
#define TILES(TAPS)                                                                                                    \
    {a_##TAPS##_on, a_last_##TAPS##_on},                                                                               \
    {                                                                                                                  \
        a_##TAPS##_back, a_last_##TAPS##_back                                                                          \
    }
#define IN_ORDER                                                                                                       \
    {                                                                                                                  \
        0, 1, 2, 3, 4, 5, 6, 7                                                                                         \
    }

static const gm_winograd_rule rules[] = {
    {3, 1, 6, {PHASE(3, IN_ORDER)}, TILES(3)},
    {5, 1, 8, {PHASE(5, IN_ORDER)}, TILES(5)},
    {4, 2, 5, {PHASE(2, IN_ORDER), PHASE(2, IN_ORDER)}, TILES(2)},
    {5, 2, 6, {PHASE(3, IN_ORDER), PHASE(2, {0, 1, 2, 4, 5})}, TILES(3)},
};

const gm_winograd_rule *gm_winograd_find(int64_t kernel, int64_t stride)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].kernel == kernel && rules[i].stride == stride)
            return &rules[i];
    return NULL;
}

int gm_winograd_points(const gm_winograd_rule *rule)
{
    return rule->points;
}

int gm_winograd_phases(const gm_winograd_rule *rule, int point)
{
    int count = 0;
    for (int p = 0; p < rule->stride; p++)
        for (int i = 0; i < rule->phase[p].points; i++)
            count += rule->phase[p].common[i] == point;
    return count;
}

int gm_winograd_lacks(const gm_winograd_rule *rule, int point)
{
    return point == rule->points - 2;
}

/* Point i of a phase, of a tile of 3 rows if `last`, as a point of the rule. */
INLINE int common_point(const gm_winograd_phase *phase, int last, int i)
{
    return phase->common[i == phase->points - 1 - last ? phase->points - 1 : i];
}

/* --- Vectors -------------------------------------------------------------------------------------------------------- */

/* Where channels c ... c + 15 of a picture are. A block of 8 is read as two halves: `half` is the way from channel c to
 * c + 8. In a plain tensor of the small side each channel is `lane` floats from the last one. */
typedef struct gm_lane_address {
    size_t start, pixel, half, lane;
} gm_lane_address;

INLINE gm_lane_address lane_address(const gm_winograd_side *side, int64_t n, int64_t c)
{
    gm_lane_address address;
    int64_t pixels = side->h * side->w;
    address.start = (size_t)(n * side->channels * pixels + (c / side->block) * pixels * side->block + c % side->block);
    address.pixel = (size_t)side->block;
    address.half = side->block == 8 ? (size_t)(pixels * 8) : 8;
    address.lane = side->block == 1 ? (size_t)pixels : 1;
    return address;
}

#define LOAD(TO, FROM)  memcpy(&(TO), (FROM), sizeof(lanes))
#define STORE(TO, FROM) memcpy((TO), &(FROM), sizeof(lanes))

INLINE void load_halves(lanes *to, const float *from, size_t half)
{
    if (half == 8) {
        LOAD(*to, from);
        return;
    }
    memcpy(to, from, sizeof *to / 2);
    memcpy((float *)to + LANES / 2, from + half, sizeof *to / 2);
}

INLINE void load_pixel(lanes *to, const float *from, const gm_lane_address *address)
{
    if (address->lane == 1) {
        load_halves(to, from, address->half);
        return;
    }
    for (int l = 0; l < LANES; l++)
        ((float *)to)[l] = from[(size_t)l * address->lane];
}

INLINE void store_halves(float *to, const lanes *from, size_t half)
{
    if (half == 8) {
        STORE(to, *from);
        return;
    }
    memcpy(to, from, sizeof *from / 2);
    memcpy(to + half, (const float *)from + LANES / 2, sizeof *from / 2);
}

INLINE void store_pixel(float *to, const lanes *from, const gm_lane_address *address)
{
    if (address->lane == 1) {
        store_halves(to, from, address->half);
        return;
    }
    for (int l = 0; l < LANES; l++)
        to[(size_t)l * address->lane] = ((const float *)from)[l];
}

/* left X right^T for the rows x columns vectors X; the result has out_rows x out_columns. */
INLINE void both_passes(gm_winograd_pass left, gm_winograd_pass right, int rows, int columns, int out_rows,
                        int out_columns, const lanes *in, lanes *out)
{
    lanes half[POINTS * POINTS];
    left(in, half, &(gm_winograd_lines){columns, 1, columns, 1, columns});
    right(half, out, &(gm_winograd_lines){out_rows, columns, 1, out_columns, 1});
}

/* --- Tiles ------------------------------------------------------------------------------------------------------------ */

/* A tile, of one phase if on the big side: a rectangle of pixels `step` apart, some of them perhaps outside of the picture,
 * and its rows x columns points in the matrices: where channel 0 of each is for the first picture, and how far it is to the
 * next picture's. */
typedef struct gm_tile {
    int64_t top, left, step;
    int height, width, rows, columns;
    int last_h, last_w; /* 1: it has 3 rows (columns) of the small side */
    size_t places[POINTS * POINTS], steps[POINTS * POINTS];
} gm_tile;

static void begin_tile(const gm_winograd_side *side, int64_t number, gm_tile *tile)
{
    tile->top = number / side->tiles_w;
    tile->left = number % side->tiles_w;
    tile->last_h = side->last_h && tile->top == side->tiles_h - 1;
    tile->last_w = side->last_w && tile->left == side->tiles_w - 1;
}

/* Point k of the tile is pair q, `column` columns from the left in its matrix. */
static void place_point(const gm_winograd_side *side, gm_tile *tile, int k, int q, int column)
{
    tile->places[k] =
        side->matrix[q] + (size_t)(tile->top * side->across[q] + tile->left) * side->width[q] + (size_t)column;
    tile->steps[k] = (size_t)(side->down[q] * side->across[q]) * side->width[q];
}

/* Where the channels of phases (ph, pw) begin in the columns of the matrix of points (i, j). */
static int phase_column(const gm_winograd_rule *rule, int ph, int pw, int i, int j, int64_t channels)
{
    int column = gm_winograd_phases(rule, i) > 1 ? ph : 0;
    column = gm_winograd_phases(rule, j) > 1 ? column * rule->stride + pw : column;
    return column * (int)channels;
}

static void find_big_tile(const gm_winograd_rule *rule, const gm_winograd_side *side, int64_t number, int ph, int pw,
                          gm_tile *tile)
{
    const gm_winograd_phase *v = &rule->phase[ph], *h = &rule->phase[pw];
    begin_tile(side, number, tile);
    tile->height = tile->rows = v->points - tile->last_h;
    tile->width = tile->columns = h->points - tile->last_w;
    for (int i = 0; i < tile->rows; i++)
        for (int j = 0; j < tile->columns; j++) {
            int qi = common_point(v, tile->last_h, i), qj = common_point(h, tile->last_w, j);
            place_point(side, tile, i * tile->columns + j, qi * rule->points + qj,
                        phase_column(rule, ph, pw, qi, qj, side->channels));
        }
    tile->step = rule->stride;
    tile->top = tile->top * TILE * rule->stride - side->low_h + ph;
    tile->left = tile->left * TILE * rule->stride - side->low_w + pw;
}

static void find_small_tile(const gm_winograd_rule *rule, const gm_winograd_side *side, int64_t number, gm_tile *tile)
{
    begin_tile(side, number, tile);
    tile->rows = rule->points - tile->last_h;
    tile->columns = rule->points - tile->last_w;
    for (int i = 0; i < tile->rows; i++)
        for (int j = 0; j < tile->columns; j++)
            place_point(side, tile, i * tile->columns + j,
                        common_point(rule->phase, tile->last_h, i) * rule->points +
                            common_point(rule->phase, tile->last_w, j),
                        0);
    tile->step = 1;
    tile->top *= TILE;
    tile->left *= TILE;
    tile->height = TILE - tile->last_h;
    tile->width = TILE - tile->last_w;
}

static void next_picture(gm_tile *tile)
{
    for (int k = 0; k < tile->rows * tile->columns; k++)
        tile->places[k] += tile->steps[k];
}

/* Pixels to points, all channels of picture n. */
GM_VECTOR static void read_tile(const gm_winograd_side *side, const gm_tile *tile, gm_winograd_pass down,
                                gm_winograd_pass across, const float *x, int64_t n, float *matrices)
{
    int64_t ahead = AHEAD * LANES * side->h * side->w; /* the same pixel, two groups of channels later */
    for (int64_t c = 0; c < side->channels; c += LANES) {
        lanes in[POINTS * POINTS], out[POINTS * POINTS], *to = in;
        gm_lane_address address = lane_address(side, n, c);
        for (int i = 0; i < tile->height; i++)
            for (int j = 0; j < tile->width; j++, to++) {
                int64_t y = tile->top + i * tile->step, z = tile->left + j * tile->step;
                if (y >= 0 && y < side->h && z >= 0 && z < side->w) {
                    const float *from = x + address.start + (size_t)(y * side->w + z) * address.pixel;
                    load_pixel(to, from, &address);
                    __builtin_prefetch(from + ahead);
                } else {
                    *to = (lanes){0};
                }
            }
        both_passes(down, across, tile->height, tile->width, tile->rows, tile->columns, in, out);
        for (int k = 0; k < tile->rows * tile->columns; k++)
            STORE(matrices + tile->places[k] + c, out[k]);
    }
}

/* Points to pixels, which are added to what is there. */
GM_VECTOR static void add_tile(const gm_winograd_side *side, const gm_tile *tile, gm_winograd_pass down,
                               gm_winograd_pass across, const float *matrices, float *x, int64_t n)
{
    for (int64_t c = 0; c < side->channels; c += LANES) {
        lanes in[POINTS * POINTS], out[POINTS * POINTS], *from = out;
        gm_lane_address address = lane_address(side, n, c);
        for (int k = 0; k < tile->rows * tile->columns; k++)
            LOAD(in[k], matrices + tile->places[k] + c);
        both_passes(down, across, tile->rows, tile->columns, tile->height, tile->width, in, out);
        for (int i = 0; i < tile->height; i++)
            for (int j = 0; j < tile->width; j++, from++) {
                int64_t y = tile->top + i * tile->step, z = tile->left + j * tile->step;
                if (y >= 0 && y < side->h && z >= 0 && z < side->w) {
                    float *to = x + address.start + (size_t)(y * side->w + z) * address.pixel;
                    lanes sum;
                    load_halves(&sum, to, address.half);
                    sum += *from;
                    store_halves(to, &sum, address.half);
                }
            }
    }
}

/* Points to pixels, which nothing else is added to but the bias. */
GM_VECTOR static void write_tile(const gm_winograd_side *side, const gm_tile *tile, gm_winograd_pass down,
                                 gm_winograd_pass across, const float *matrices, const float *bias, float *y, int64_t n)
{
    for (int64_t c = 0; c < side->channels; c += LANES) {
        lanes in[POINTS * POINTS], out[TILE * TILE], start = {0};
        gm_lane_address address = lane_address(side, n, c);
        if (bias)
            LOAD(start, bias + c);
        for (int k = 0; k < tile->rows * tile->columns; k++)
            LOAD(in[k], matrices + tile->places[k] + c);
        both_passes(down, across, tile->rows, tile->columns, tile->height, tile->width, in, out);
        for (int i = 0; i < tile->height && tile->top + i < side->h; i++)
            for (int j = 0; j < tile->width && tile->left + j < side->w; j++) {
                int64_t pixel = (tile->top + i) * side->w + tile->left + j;
                lanes sum = out[i * tile->width + j] + start;
                store_pixel(y + address.start + (size_t)pixel * address.pixel, &sum, &address);
            }
    }
}

GM_VECTOR static void start_picture(const gm_winograd_side *side, const float *bias, float *x, int64_t n)
{
    for (int64_t c = 0; c < side->channels; c += LANES) {
        gm_lane_address address = lane_address(side, n, c);
        lanes start = {0};
        if (bias)
            LOAD(start, bias + c);
        for (int64_t k = 0; k < side->h * side->w; k++)
            store_halves(x + address.start + (size_t)k * address.pixel, &start, address.half);
    }
}

/* --- Pictures --------------------------------------------------------------------------------------------------------- */

void gm_winograd_read_big(const gm_winograd_rule *rule, const gm_winograd_side *side, const float *x, int64_t first,
                          int64_t count, float *matrices)
{
    for (int64_t number = 0; number < side->tiles_h * side->tiles_w; number++)
        for (int phase = 0; phase < rule->stride * rule->stride; phase++) {
            int ph = phase / rule->stride, pw = phase % rule->stride;
            gm_tile tile;
            find_big_tile(rule, side, number, ph, pw, &tile);
            for (int64_t n = first; n < first + count; n++, next_picture(&tile))
                read_tile(side, &tile, rule->phase[ph].b[tile.last_h], rule->phase[pw].b[tile.last_w], x, n, matrices);
        }
}

void gm_winograd_write_big(const gm_winograd_rule *rule, const gm_winograd_side *side, const float *matrices,
                           const float *bias, float *x, int64_t first, int64_t count)
{
    for (int64_t n = first; n < first + count; n++)
        start_picture(side, bias, x, n);
    for (int64_t number = 0; number < side->tiles_h * side->tiles_w; number++)
        for (int phase = 0; phase < rule->stride * rule->stride; phase++) {
            int ph = phase / rule->stride, pw = phase % rule->stride;
            gm_tile tile;
            find_big_tile(rule, side, number, ph, pw, &tile);
            for (int64_t n = first; n < first + count; n++, next_picture(&tile))
                add_tile(side, &tile, rule->phase[ph].b_back[tile.last_h], rule->phase[pw].b_back[tile.last_w],
                         matrices, x, n);
        }
}

void gm_winograd_read_small(const gm_winograd_rule *rule, const gm_winograd_side *side, const float *y, int64_t first,
                            int64_t count, float *matrices)
{
    for (int64_t number = 0; number < side->tiles_h * side->tiles_w; number++) {
        gm_tile tile;
        find_small_tile(rule, side, number, &tile);
        for (int64_t n = first; n < first + count; n++, next_picture(&tile))
            read_tile(side, &tile, rule->a_back[tile.last_h], rule->a_back[tile.last_w], y, n, matrices);
    }
}

void gm_winograd_write_small(const gm_winograd_rule *rule, const gm_winograd_side *side, const float *matrices,
                             const float *bias, float *y, int64_t first, int64_t count)
{
    for (int64_t number = 0; number < side->tiles_h * side->tiles_w; number++) {
        gm_tile tile;
        find_small_tile(rule, side, number, &tile);
        for (int64_t n = first; n < first + count; n++, next_picture(&tile))
            write_tile(side, &tile, rule->a[tile.last_h], rule->a[tile.last_w], matrices, bias, y, n);
    }
}

/* --- Weights --------------------------------------------------------------------------------------------------------- */

/* Where channel 0 of the pairs of points of phases (ph, pw) is in row m of the matrices. */
static void weight_places(const gm_winograd_rule *rule, const gm_winograd_weights *shape, int ph, int pw, int64_t m,
                          size_t *places)
{
    const gm_winograd_phase *v = &rule->phase[ph], *h = &rule->phase[pw];
    for (int i = 0; i < v->points; i++)
        for (int j = 0; j < h->points; j++) {
            int q = v->common[i] * rule->points + h->common[j];
            *places++ = shape->matrix[q] + (size_t)m * shape->width[q] +
                        (size_t)phase_column(rule, ph, pw, v->common[i], h->common[j], shape->c);
        }
}

GM_VECTOR static void read_weight_lanes(const gm_winograd_rule *rule, const float *w, int ph, int pw,
                                        const size_t *places, float *matrices)
{
    const gm_winograd_phase *v = &rule->phase[ph], *h = &rule->phase[pw];
    int area = rule->kernel * rule->kernel;
    lanes in[MAX_TAPS * MAX_TAPS], out[POINTS * POINTS];
    for (int i = 0; i < v->taps; i++)
        for (int j = 0; j < h->taps; j++) {
            const float *from = w + (ph + i * rule->stride) * rule->kernel + pw + j * rule->stride;
            float *to = (float *)&in[i * h->taps + j];
            for (int l = 0; l < LANES; l++)
                to[l] = from[l * area];
        }
    both_passes(v->g, h->g, v->taps, h->taps, v->points, h->points, in, out);
    for (int k = 0; k < v->points * h->points; k++)
        STORE(matrices + places[k], out[k]);
}

void gm_winograd_read_weights(const gm_winograd_rule *rule, const gm_winograd_weights *shape, const float *w, int64_t m,
                              float *matrices)
{
    for (int phase = 0; phase < rule->stride * rule->stride; phase++) {
        int ph = phase / rule->stride, pw = phase % rule->stride;
        size_t places[POINTS * POINTS];
        weight_places(rule, shape, ph, pw, m, places);
        for (int64_t c = 0; c < shape->c; c += LANES)
            read_weight_lanes(rule, w + (m * shape->c + c) * rule->kernel * rule->kernel, ph, pw, places, matrices + c);
    }
}

GM_VECTOR static void write_weight_lanes(const gm_winograd_rule *rule, const float *matrices, const size_t *places,
                                         int ph, int pw, float *w)
{
    const gm_winograd_phase *v = &rule->phase[ph], *h = &rule->phase[pw];
    int area = rule->kernel * rule->kernel;
    lanes in[POINTS * POINTS], out[MAX_TAPS * MAX_TAPS];
    for (int k = 0; k < v->points * h->points; k++)
        LOAD(in[k], matrices + places[k]);
    both_passes(v->g_back, h->g_back, v->points, h->points, v->taps, h->taps, in, out);
    for (int i = 0; i < v->taps; i++)
        for (int j = 0; j < h->taps; j++) {
            float *to = w + (ph + i * rule->stride) * rule->kernel + pw + j * rule->stride;
            const float *from = (const float *)&out[i * h->taps + j];
            for (int l = 0; l < LANES; l++)
                to[l * area] = from[l];
        }
}

void gm_winograd_write_weights(const gm_winograd_rule *rule, const gm_winograd_weights *shape, const float *matrices,
                               int64_t m, float *w)
{
    for (int phase = 0; phase < rule->stride * rule->stride; phase++) {
        int ph = phase / rule->stride, pw = phase % rule->stride;
        size_t places[POINTS * POINTS];
        weight_places(rule, shape, ph, pw, m, places);
        for (int64_t c = 0; c < shape->c; c += LANES)
            write_weight_lanes(rule, matrices + c, places, ph, pw,
                               w + (m * shape->c + c) * rule->kernel * rule->kernel);
    }
}
