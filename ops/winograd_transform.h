/* The transforms of Winograd's convolutions. See winograd.h. */
#ifndef GM_OPS_WINOGRAD_TRANSFORM_H
#define GM_OPS_WINOGRAD_TRANSFORM_H

#include <stddef.h>
#include <stdint.h>

#define GM_WINOGRAD_TILE   4  /* rows of a tile of the small side */
#define GM_WINOGRAD_LANES  16 /* channels worked on together */
#define GM_WINOGRAD_POINTS 8  /* at most, along one axis */
#define GM_WINOGRAD_PAIRS  (GM_WINOGRAD_POINTS * GM_WINOGRAD_POINTS)

/* The formulas of one kernel size and stride along one axis (winograd_transform.c). */
typedef struct gm_winograd_rule gm_winograd_rule;

/* NULL: no formula for this kernel and stride. */
const gm_winograd_rule *gm_winograd_find(int64_t kernel, int64_t stride);
int gm_winograd_points(const gm_winograd_rule *rule); /* along one axis */
/* Phases (of the stride) that have point `point`. */
int gm_winograd_phases(const gm_winograd_rule *rule, int point);
/* Do tiles of 3 rows, which have one point less, lack this one? */
int gm_winograd_lacks(const gm_winograd_rule *rule, int point);

/* A tensor [N, channels, h, w] in blocks of channels, cut into tiles, and the matrices of its transform: for each pair of
 * points q = i * points + j a row-major one from float `matrix[q]` on, with width[q] columns (phases x channels) and a row
 * for each of the down[q] x across[q] tiles of each picture that have both points. */
typedef struct gm_winograd_side {
    int64_t channels, h, w, block;
    int64_t tiles_h, tiles_w; /* of one picture */
    int64_t low_h, low_w;     /* rows and columns of padding before the big side; 0 on the small one */
    int last_h, last_w;       /* 1: the last tiles of this axis have 3 rows (columns) instead of 4 */
    size_t matrix[GM_WINOGRAD_PAIRS], width[GM_WINOGRAD_PAIRS];
    int64_t down[GM_WINOGRAD_PAIRS], across[GM_WINOGRAD_PAIRS];
} gm_winograd_side;

/* Weights [M, C, r, r]; their matrices have M rows. */
typedef struct gm_winograd_weights {
    int64_t m, c;
    size_t matrix[GM_WINOGRAD_PAIRS], width[GM_WINOGRAD_PAIRS];
} gm_winograd_weights;

/* Activations: all tiles of `count` pictures from number `first` on; matrices hold these pictures only. bias may be NULL. */
/* B^T x B */
void gm_winograd_read_big(const gm_winograd_rule *rule, const gm_winograd_side *side, const float *x, int64_t first,
                          int64_t count, float *matrices);
/* A y A^T */
void gm_winograd_read_small(const gm_winograd_rule *rule, const gm_winograd_side *side, const float *y, int64_t first,
                            int64_t count, float *matrices);
/* x = bias + sum over the tiles of B x^ B^T */
void gm_winograd_write_big(const gm_winograd_rule *rule, const gm_winograd_side *side, const float *matrices,
                           const float *bias, float *x, int64_t first, int64_t count);
/* y = bias + A^T y^ A */
void gm_winograd_write_small(const gm_winograd_rule *rule, const gm_winograd_side *side, const float *matrices,
                             const float *bias, float *y, int64_t first, int64_t count);

/* Weights: row m of all matrices. */
/* G w G^T */
void gm_winograd_read_weights(const gm_winograd_rule *rule, const gm_winograd_weights *shape, const float *w, int64_t m,
                              float *matrices);
/* G^T w^ G */
void gm_winograd_write_weights(const gm_winograd_rule *rule, const gm_winograd_weights *shape, const float *matrices,
                               int64_t m, float *w);

#endif
