/* The built-in digits: stroke skeletons of 0 ... 9, bent, slanted and drawn with a pen of varying width.
 *
 * A picture is made as MNIST's were: the digit is fitted into a box of about 20x20 pixels with its proportions kept,
 * then centred by mass in 28x28. All randomness of picture i is the Philox draw of run i, so pictures can be made in
 * any order by any number of threads. */
#include "runtime/digits.h"

#include <math.h>
#include <string.h>

#include "ops/philox.h"

enum { MAX_POINTS = 14, MAX_STROKES = 3, SPAN = 6, MAX_LINE = MAX_STROKES * MAX_POINTS * SPAN + 1 };

typedef struct point {
    float x, y;
} point;

/* A smooth curve through its points (Catmull-Rom), from the first to the last. x goes right, y down. */
typedef struct stroke {
    int count;
    point points[MAX_POINTS];
} stroke;

typedef struct glyph {
    int digit, stroke_count;
    stroke strokes[MAX_STROKES];
} glyph;

/* Corners are made by a new stroke that begins where the last one ended: such shared points are bent together. */
static const glyph glyphs[] = {
    /* ovals: begun at the top, upright and narrow, with overlapping ends */
    {0,
     1,
     {{9,
       {{.50F, .00F},
        {.18F, .14F},
        {.05F, .48F},
        {.16F, .84F},
        {.46F, 1.0F},
        {.76F, .86F},
        {.90F, .50F},
        {.78F, .14F},
        {.50F, .00F}}}}},
    {0,
     1,
     {{9,
       {{.46F, .02F},
        {.24F, .16F},
        {.15F, .50F},
        {.24F, .86F},
        {.47F, 1.0F},
        {.68F, .86F},
        {.77F, .50F},
        {.68F, .15F},
        {.44F, .00F}}}}},
    {0,
     1,
     {{10,
       {{.64F, .06F},
        {.34F, .04F},
        {.08F, .32F},
        {.05F, .70F},
        {.28F, .98F},
        {.64F, .92F},
        {.90F, .62F},
        {.90F, .26F},
        {.66F, .04F},
        {.44F, .10F}}}}},
    /* strokes; with a flag; with flag and foot */
    {1, 1, {{3, {{.52F, .00F}, {.50F, .50F}, {.48F, 1.0F}}}}},
    {1, 1, {{3, {{.50F, .00F}, {.51F, .52F}, {.50F, 1.0F}}}}},
    {1, 2, {{3, {{.30F, .22F}, {.42F, .13F}, {.53F, .00F}}}, {3, {{.53F, .00F}, {.52F, .50F}, {.50F, 1.0F}}}}},
    {1,
     3,
     {{3, {{.28F, .22F}, {.42F, .12F}, {.52F, .00F}}},
      {3, {{.52F, .00F}, {.51F, .50F}, {.50F, 1.0F}}},
      {3, {{.26F, 1.0F}, {.50F, .99F}, {.76F, 1.0F}}}}},
    /* a hook and a straight foot; a loop at the foot; a wavy foot */
    {2,
     2,
     {{7, {{.10F, .26F}, {.26F, .05F}, {.56F, .00F}, {.80F, .18F}, {.74F, .46F}, {.44F, .74F}, {.06F, .99F}}},
      {3, {{.06F, .99F}, {.50F, .96F}, {.94F, .97F}}}}},
    {2,
     1,
     {{12,
       {{.12F, .22F},
        {.34F, .02F},
        {.66F, .04F},
        {.78F, .28F},
        {.62F, .58F},
        {.36F, .88F},
        {.14F, .98F},
        {.05F, .86F},
        {.18F, .76F},
        {.42F, .84F},
        {.70F, .96F},
        {.96F, .90F}}}}},
    {2,
     2,
     {{7, {{.14F, .16F}, {.38F, .00F}, {.70F, .06F}, {.82F, .28F}, {.68F, .56F}, {.40F, .80F}, {.10F, .96F}}},
      {4, {{.10F, .96F}, {.34F, .88F}, {.62F, .98F}, {.90F, .94F}}}}},
    /* two bows with a corner; rounded in one go; flat top */
    {3,
     2,
     {{6, {{.12F, .12F}, {.42F, .00F}, {.76F, .10F}, {.78F, .32F}, {.56F, .46F}, {.34F, .49F}}},
      {6, {{.34F, .49F}, {.66F, .52F}, {.86F, .72F}, {.74F, .94F}, {.40F, 1.0F}, {.08F, .90F}}}}},
    {3,
     1,
     {{11,
       {{.16F, .14F},
        {.40F, .00F},
        {.70F, .08F},
        {.76F, .28F},
        {.60F, .43F},
        {.42F, .48F},
        {.66F, .54F},
        {.84F, .72F},
        {.72F, .94F},
        {.40F, 1.0F},
        {.10F, .86F}}}}},
    {3,
     3,
     {{3, {{.14F, .04F}, {.46F, .02F}, {.80F, .02F}}},
      {3, {{.80F, .02F}, {.60F, .22F}, {.42F, .42F}}},
      {6, {{.42F, .42F}, {.72F, .46F}, {.86F, .68F}, {.74F, .92F}, {.42F, 1.0F}, {.10F, .90F}}}}},
    /* open; closed; open with a short stem */
    {4,
     2,
     {{5, {{.16F, .04F}, {.10F, .30F}, {.10F, .52F}, {.46F, .54F}, {.90F, .48F}}},
      {3, {{.74F, .02F}, {.70F, .50F}, {.66F, 1.0F}}}}},
    {4,
     3,
     {{3, {{.70F, .00F}, {.40F, .32F}, {.06F, .64F}}},
      {3, {{.06F, .64F}, {.50F, .64F}, {.96F, .62F}}},
      {3, {{.70F, .00F}, {.69F, .50F}, {.66F, 1.0F}}}}},
    {4,
     2,
     {{6, {{.22F, .00F}, {.14F, .26F}, {.16F, .46F}, {.38F, .52F}, {.62F, .44F}, {.78F, .30F}}},
      {4, {{.82F, .00F}, {.78F, .30F}, {.70F, .64F}, {.66F, 1.0F}}}}},
    /* bar, back and bow; back and bow in one, bar last; rounded */
    {5,
     3,
     {{3, {{.86F, .02F}, {.56F, .03F}, {.24F, .04F}}},
      {3, {{.24F, .04F}, {.21F, .24F}, {.17F, .44F}}},
      {7, {{.17F, .44F}, {.42F, .36F}, {.72F, .42F}, {.84F, .66F}, {.70F, .92F}, {.38F, 1.0F}, {.08F, .92F}}}}},
    {5,
     2,
     {{8,
       {{.26F, .04F},
        {.22F, .26F},
        {.26F, .42F},
        {.52F, .46F},
        {.76F, .60F},
        {.74F, .86F},
        {.46F, 1.0F},
        {.12F, .94F}}},
      {3, {{.26F, .04F}, {.58F, .04F}, {.94F, .00F}}}}},
    {5,
     2,
     {{6, {{.90F, .04F}, {.60F, .00F}, {.38F, .06F}, {.26F, .22F}, {.22F, .36F}, {.30F, .42F}}},
      {6, {{.30F, .42F}, {.56F, .46F}, {.72F, .64F}, {.66F, .88F}, {.38F, 1.0F}, {.10F, .92F}}}}},
    /* a long back with a round belly; a straight back with a small belly */
    {6,
     1,
     {{11,
       {{.66F, .00F},
        {.38F, .20F},
        {.18F, .50F},
        {.14F, .78F},
        {.32F, .98F},
        {.62F, .96F},
        {.80F, .76F},
        {.70F, .56F},
        {.46F, .53F},
        {.26F, .66F},
        {.19F, .84F}}}}},
    {6,
     1,
     {{10,
       {{.46F, .00F},
        {.28F, .30F},
        {.18F, .62F},
        {.22F, .90F},
        {.46F, 1.0F},
        {.70F, .90F},
        {.76F, .70F},
        {.60F, .56F},
        {.38F, .62F},
        {.22F, .80F}}}}},
    {6,
     1,
     {{11,
       {{.78F, .06F},
        {.50F, .04F},
        {.24F, .28F},
        {.12F, .62F},
        {.22F, .92F},
        {.52F, 1.0F},
        {.80F, .86F},
        {.82F, .64F},
        {.60F, .52F},
        {.34F, .58F},
        {.16F, .76F}}}}},
    /* plain; with a cross bar; with a hook and a bent stem */
    {7,
     2,
     {{3, {{.10F, .08F}, {.46F, .05F}, {.84F, .04F}}}, {4, {{.84F, .04F}, {.68F, .34F}, {.52F, .66F}, {.42F, 1.0F}}}}},
    {7,
     3,
     {{3, {{.10F, .06F}, {.46F, .04F}, {.86F, .03F}}},
      {4, {{.86F, .03F}, {.70F, .34F}, {.52F, .66F}, {.40F, 1.0F}}},
      {3, {{.34F, .54F}, {.58F, .50F}, {.82F, .48F}}}}},
    {7,
     1,
     {{8,
       {{.08F, .22F},
        {.14F, .08F},
        {.40F, .08F},
        {.70F, .02F},
        {.80F, .10F},
        {.68F, .38F},
        {.56F, .68F},
        {.54F, 1.0F}}}}},
    /* one line that crosses itself; a slim one; two rings */
    {8,
     1,
     {{13,
       {{.74F, .12F},
        {.50F, .00F},
        {.24F, .10F},
        {.24F, .32F},
        {.48F, .48F},
        {.74F, .66F},
        {.76F, .90F},
        {.48F, 1.0F},
        {.20F, .90F},
        {.22F, .68F},
        {.48F, .48F},
        {.74F, .30F},
        {.72F, .10F}}}}},
    {8,
     1,
     {{13,
       {{.66F, .06F},
        {.46F, .02F},
        {.32F, .14F},
        {.36F, .32F},
        {.50F, .50F},
        {.60F, .70F},
        {.58F, .92F},
        {.42F, 1.0F},
        {.26F, .90F},
        {.30F, .68F},
        {.50F, .48F},
        {.68F, .26F},
        {.66F, .04F}}}}},
    {8,
     2,
     {{8,
       {{.50F, .00F},
        {.26F, .08F},
        {.22F, .30F},
        {.48F, .46F},
        {.74F, .32F},
        {.76F, .12F},
        {.58F, .01F},
        {.50F, .00F}}},
      {8,
       {{.48F, .46F},
        {.22F, .58F},
        {.16F, .82F},
        {.46F, 1.0F},
        {.76F, .88F},
        {.80F, .64F},
        {.62F, .50F},
        {.48F, .46F}}}}},
    /* a ring and a straight stem; a bent stem; one line with a hook */
    {9,
     2,
     {{9,
       {{.78F, .22F},
        {.58F, .02F},
        {.30F, .08F},
        {.16F, .30F},
        {.26F, .50F},
        {.52F, .48F},
        {.70F, .36F},
        {.78F, .22F},
        {.80F, .10F}}},
      {4, {{.78F, .22F}, {.76F, .46F}, {.70F, .72F}, {.66F, 1.0F}}}}},
    {9,
     1,
     {{12,
       {{.76F, .20F},
        {.56F, .01F},
        {.28F, .08F},
        {.18F, .30F},
        {.34F, .48F},
        {.58F, .42F},
        {.76F, .20F},
        {.78F, .40F},
        {.72F, .70F},
        {.58F, .92F},
        {.38F, 1.0F},
        {.22F, .94F}}}}},
    {9,
     1,
     {{10,
       {{.74F, .14F},
        {.48F, .00F},
        {.22F, .18F},
        {.24F, .44F},
        {.50F, .48F},
        {.70F, .32F},
        {.76F, .12F},
        {.72F, .42F},
        {.64F, .72F},
        {.56F, 1.0F}}}}},
};

/* Normal numbers of a picture, by use. */
enum { N_SLANT, N_TURN, N_ASPECT, N_PEN, N_PRESSURE, N_WAVE_X, N_WAVE_Y, N_SHIFT_X, N_SHIFT_Y, N_SPARE, N_POINTS };
enum { NORMALS = N_POINTS + 2 * MAX_STROKES * MAX_POINTS, UNIFORMS = 4096, GRAIN = 8192 };
enum { U_VARIANT, U_SIZE, U_INK, U_WAVE, U_SOFT, U_COUNT };

/* What is drawn: a polyline; pen-up places are marked by `down` false at the point that begins a new line. */
typedef struct line {
    int count;
    point points[MAX_LINE];
    bool down[MAX_LINE];
} line;

static const glyph *choose_glyph(int digit, float u)
{
    int first = 0, count = 0;
    for (int i = 0; i < (int)GM_COUNT(glyphs); i++)
        if (glyphs[i].digit == digit && count++ == 0)
            first = i;
    int which = (int)(u * (float)count);
    return &glyphs[first + (which < count ? which : count - 1)];
}

/* A control point moved by the hand: its own error, and a slow wave over the whole digit. Equal points move equally. */
static point bend(point p, const point *error, const float *normal, float phase)
{
    p.x += error->x + 0.035F * normal[N_WAVE_X] * sinf(3.0F * p.y + phase);
    p.y += error->y + 0.025F * normal[N_WAVE_Y] * sinf(3.0F * p.x + phase);
    return p;
}

static point catmull_rom(point a, point b, point c, point d, float t)
{
    float t2 = t * t, t3 = t2 * t;
    float wa = -0.5F * t3 + t2 - 0.5F * t, wb = 1.5F * t3 - 2.5F * t2 + 1.0F;
    float wc = -1.5F * t3 + 2.0F * t2 + 0.5F * t, wd = 0.5F * t3 - 0.5F * t2;
    return (point){wa * a.x + wb * b.x + wc * c.x + wd * d.x, wa * a.y + wb * b.y + wc * c.y + wd * d.y};
}

static void trace_stroke(line *line_out, const point *p, int count)
{
    for (int i = 0; i + 1 < count; i++) {
        point a = p[i > 0 ? i - 1 : i], d = p[i + 2 < count ? i + 2 : i + 1];
        for (int k = i == 0 ? 0 : 1; k <= SPAN; k++) {
            line_out->points[line_out->count] = catmull_rom(a, p[i], p[i + 1], d, (float)k / SPAN);
            line_out->down[line_out->count++] = i > 0 || k > 0;
        }
    }
}

static void trace_glyph(const glyph *glyph_in, const float *normal, float phase, line *line_out)
{
    line_out->count = 0;
    point last = {0, 0}, last_error = {0, 0};
    for (int s = 0; s < glyph_in->stroke_count; s++) {
        const stroke *from = &glyph_in->strokes[s];
        point bent[MAX_POINTS];
        for (int i = 0; i < from->count; i++) {
            const float *own = normal + N_POINTS + 2 * (s * MAX_POINTS + i);
            point p = from->points[i], error = {0.027F * own[0], 0.027F * own[1]};
            if (i == 0 && s > 0 && p.x == last.x && p.y == last.y)
                error = last_error;
            bent[i] = bend(p, &error, normal, phase);
            last = p;
            last_error = error;
        }
        trace_stroke(line_out, bent, from->count);
    }
}

static float clip(float value, float low, float high)
{
    return value < low ? low : value > high ? high : value;
}

/* The pen gets wider or thinner along the way: the factor at segment i. */
static float pressed(const line *shape, int i, float pressure)
{
    return 1 + pressure * (2 * (float)i / (float)shape->count - 1);
}

/* Slant, turn and stretch; then fits the line into the box and moves its centre of mass into the middle. */
static void place(line *shape, const float *normal, const float *uniform, float pen, float pressure)
{
    float slant = clip(0.12F + 0.20F * normal[N_SLANT], -0.35F, 0.65F),
          angle = clip(0.09F * normal[N_TURN], -0.25F, 0.25F);
    float aspect = clip(0.80F * expf(0.14F * normal[N_ASPECT]), 0.50F, 1.15F), c = cosf(angle), s = sinf(angle);
    float low_x = 1e9F, high_x = -1e9F, low_y = 1e9F, high_y = -1e9F;
    for (int i = 0; i < shape->count; i++) {
        float x = (shape->points[i].x - 0.5F) * aspect - slant * (shape->points[i].y - 0.5F),
              y = shape->points[i].y - 0.5F;
        point p = {c * x - s * y, s * x + c * y};
        shape->points[i] = p;
        low_x = fminf(low_x, p.x);
        high_x = fmaxf(high_x, p.x);
        low_y = fminf(low_y, p.y);
        high_y = fmaxf(high_y, p.y);
    }
    float box = 20.5F - 2 * pen - 1.5F * uniform[U_SIZE], scale = box / fmaxf(high_x - low_x, high_y - low_y);
    float mass = 1e-9F, mean_x = 0, mean_y = 0;
    for (int i = 1; i < shape->count; i++) {
        if (!shape->down[i])
            continue;
        point a = shape->points[i - 1], b = shape->points[i];
        float length = hypotf(b.x - a.x, b.y - a.y) * pressed(shape, i, pressure);
        mass += length;
        mean_x += length * (a.x + b.x) / 2;
        mean_y += length * (a.y + b.y) / 2;
    }
    float to_x = GM_DIGITS_SIDE / 2.0F + clip(0.35F * normal[N_SHIFT_X], -1, 1) - scale * mean_x / mass;
    float to_y = GM_DIGITS_SIDE / 2.0F + clip(0.35F * normal[N_SHIFT_Y], -1, 1) - scale * mean_y / mass;
    for (int i = 0; i < shape->count; i++)
        shape->points[i] = (point){scale * shape->points[i].x + to_x, scale * shape->points[i].y + to_y};
}

/* Covers the pixels near the segment a-b: 1 within the radius, falling to 0 over `soft` pixels. */
static void draw_segment(float *ink, point a, point b, float radius, float soft)
{
    float reach = radius + soft, dx = b.x - a.x, dy = b.y - a.y, squared = dx * dx + dy * dy;
    float inverse = squared > 1e-12F ? 1 / squared : 0, limit = GM_DIGITS_SIDE - 1;
    int left = (int)clip(fminf(a.x, b.x) - reach, 0, limit), right = (int)clip(fmaxf(a.x, b.x) + reach, 0, limit);
    int top = (int)clip(fminf(a.y, b.y) - reach, 0, limit), bottom = (int)clip(fmaxf(a.y, b.y) + reach, 0, limit);
    for (int y = top; y <= bottom; y++)
        for (int x = left; x <= right; x++) {
            float px = (float)x + 0.5F - a.x, py = (float)y + 0.5F - a.y;
            float along = clip((px * dx + py * dy) * inverse, 0, 1);
            float ex = px - along * dx, ey = py - along * dy, distance = sqrtf(ex * ex + ey * ey);
            float cover = clip((reach - distance) / (2 * soft), 0, 1);
            float *pixel = &ink[y * GM_DIGITS_SIDE + x];
            *pixel = cover > *pixel ? cover : *pixel;
        }
}

static void draw_digit(uint64_t key, uint64_t index, int digit, uint8_t *picture)
{
    float normal[NORMALS], uniform[U_COUNT], grain[GM_DIGITS_SIDE * GM_DIGITS_SIDE];
    float ink[GM_DIGITS_SIDE * GM_DIGITS_SIDE] = {0};
    gm_normal(key, index, 0, NORMALS, normal);
    gm_uniform(key, index, UNIFORMS, U_COUNT, uniform);
    gm_uniform(key, index, GRAIN, GM_COUNT(grain), grain);
    line shape;
    float pen = clip(1.22F * expf(0.25F * normal[N_PEN]), 0.70F, 2.10F);
    float pressure = clip(0.18F * normal[N_PRESSURE], -0.35F, 0.35F);
    trace_glyph(choose_glyph(digit, uniform[U_VARIANT]), normal, 6.2832F * uniform[U_WAVE], &shape);
    place(&shape, normal, uniform, pen, pressure);
    float soft = 0.55F + 0.25F * uniform[U_SOFT];
    for (int i = 1; i < shape.count; i++)
        if (shape.down[i])
            draw_segment(ink, shape.points[i - 1], shape.points[i], pen * pressed(&shape, i, pressure), soft);
    float darkest = 255 - 50 * uniform[U_INK] * uniform[U_INK];
    for (size_t i = 0; i < GM_COUNT(ink); i++) {
        float value = clip(1.12F * ink[i], 0, 1) * (1 - 0.12F * grain[i]);
        picture[i] = (uint8_t)clip(darkest * 1.02F * value + 0.5F, 0, 255);
    }
}

/* The label of a picture: a random order of the ten digits for every ten pictures. */
static int label_of(uint64_t key, int64_t index)
{
    uint8_t order[10] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    for (int i = 9; i > 0; i--) {
        int other = (int)(gm_uniform_at(key, (uint64_t)(index / 10), (uint64_t)i) * (i + 1));
        uint8_t held = order[i];
        order[i] = order[other];
        order[other] = held;
    }
    return order[index % 10];
}

void gm_digits_draw(bool test, int64_t first, int64_t count, uint8_t *pictures, uint8_t *labels, int threads)
{
    const uint64_t key = gm_hash64(test ? "built-in digits, test" : "built-in digits, train");
    const uint64_t label_key = gm_hash64(test ? "built-in labels, test" : "built-in labels, train");
    const int64_t area = GM_DIGITS_SIDE * GM_DIGITS_SIDE;
#pragma omp parallel for num_threads(threads) schedule(static) if (count > 64)
    for (int64_t i = 0; i < count; i++) {
        int label = label_of(label_key, first + i);
        labels[i] = (uint8_t)label;
        draw_digit(key, (uint64_t)(first + i), label, pictures + i * area);
    }
}
