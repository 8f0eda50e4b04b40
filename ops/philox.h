/* Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11) and the draws made of it.
 *
 * A draw is keyed by 64 bits (k0 = low half, k1 = high half) and counted by (run, element):
 *   block of element e:  counter = { low(e / 4), high(e / 4), low(run), high(run) };  word of e: output[e % 4]
 *   uniform(e) = (word >> 8) * 2^-24                                    in [0, 1)
 *   normal(e):  p = e - e % 2;  u = ((word(p) >> 8) + 1) * 2^-24;  v = (word(p + 1) >> 8) * 2^-24
 *               sqrt(-2 ln u) * (e even ? cos : sin)(2 pi v)
 * so that any range of elements can be made alone, by any number of threads, with the same result. */
#ifndef GM_OPS_PHILOX_H
#define GM_OPS_PHILOX_H

#include "graph/ir.h"

void gm_philox(uint64_t key, uint64_t run, uint64_t block, uint32_t output[4]);
/* Elements first ... first + count - 1 of a draw. */
void gm_uniform(uint64_t key, uint64_t run, uint64_t first, size_t count, float *out);
/* The same as gm_uniform, compared: 1 where a number is at least ratio, else 0. */
void gm_keep(uint64_t key, uint64_t run, uint64_t first, size_t count, float ratio, uint8_t *out);
void gm_normal(uint64_t key, uint64_t run, uint64_t first, size_t count, float *out);
double gm_uniform_at(uint64_t key, uint64_t run, uint64_t element); /* the 24-bit value, exact in double */
double gm_normal_at(uint64_t key, uint64_t run, uint64_t element);  /* in double arithmetic */

/* What a node says about its draw. Its key is seed XOR gm_hash64(node->path). A node with an attribute `seed` draws
 * with that one, and run is 0; so it is where override_seeds is set, but with `seed`. */
typedef struct gm_draw {
    uint64_t hash, seed;
    bool has_seed;
} gm_draw;
gm_draw gm_draw_of(const gm_node *node);
uint64_t gm_draw_key(const gm_draw *draw, uint64_t seed, bool override_seeds,
                     uint64_t *run); /* sets *run to 0 or not */

/* Where an evaluation goes through many examples, batch by batch, the elements of a draw are counted through all of
 * them: the first one of a draw of `count` elements for `batch` examples that `row` others went before. */
static inline uint64_t gm_draw_first(int64_t count, int64_t row, int64_t batch)
{
    return row ? (uint64_t)(count * row / batch) : 0;
}

#endif
