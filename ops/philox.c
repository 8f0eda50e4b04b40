/* Philox4x32-10 and the draws made of it: see ops/philox.h. Blocks are computed LANES at a time in structure-of-arrays
 * form, which GCC vectorizes. */
#include "ops/philox.h"

#include "ops/vector_math.h"

#define LANES 16 /* blocks at a time: 64 elements */

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
#define WIDE_TARGET __attribute__((target("avx2")))
#define WIDE_HERE   __builtin_cpu_supports("avx2")
#else
#define WIDE_TARGET
#define WIDE_HERE 0
#endif

/* Blocks first ... first + LANES - 1: words[w][lane]. Ten rounds of two 32 x 32 -> 64 bit products. */
GM_VECTOR_INLINE void rounds(uint64_t key, uint64_t run, uint64_t first, uint32_t words[4][LANES])
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int lane = 0; lane < LANES; lane++) {
        uint64_t block = first + (uint64_t)lane;
        words[0][lane] = (uint32_t)block;
        words[1][lane] = (uint32_t)(block >> 32);
        words[2][lane] = (uint32_t)run;
        words[3][lane] = (uint32_t)(run >> 32);
    }
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
        for (int lane = 0; lane < LANES; lane++) {
            uint64_t a = (uint64_t)words[0][lane] * 0xD2511F53u;
            uint64_t b = (uint64_t)words[2][lane] * 0xCD9E8D57u;
            words[0][lane] = (uint32_t)(b >> 32) ^ words[1][lane] ^ k0;
            words[2][lane] = (uint32_t)(a >> 32) ^ words[3][lane] ^ k1;
            words[1][lane] = (uint32_t)b;
            words[3][lane] = (uint32_t)a;
        }
    }
}

/* The words of the 4 * LANES elements from block `first` on, in the order of elements. */
GM_VECTOR_INLINE void element_words(uint64_t key, uint64_t run, uint64_t first, uint32_t out[4 * LANES])
{
    uint32_t words[4][LANES];
    rounds(key, run, first, words);
    for (int lane = 0; lane < LANES; lane++)
        for (int w = 0; w < 4; w++)
            out[4 * lane + w] = words[w][lane];
}

GM_VECTOR_INLINE void uniform_lanes(uint64_t key, uint64_t run, uint64_t block, float out[4 * LANES])
{
    uint32_t words[4 * LANES];
    element_words(key, run, block, words);
    for (int i = 0; i < 4 * LANES; i++)
        out[i] = (float)(int32_t)(words[i] >> 8) * 0x1p-24f;
}

/* Box-Muller on words 0, 1 and on words 2, 3 of each block. */
GM_VECTOR_INLINE void normal_lanes(uint64_t key, uint64_t run, uint64_t block, float out[4 * LANES])
{
    uint32_t words[4][LANES];
    rounds(key, run, block, words);
    for (int pair = 0; pair < 2; pair++) {
        float cosine[LANES], sine[LANES];
        for (int lane = 0; lane < LANES; lane++) {
            float u = (float)((int32_t)(words[2 * pair][lane] >> 8) + 1) * 0x1p-24f;
            int32_t v = (int32_t)(words[2 * pair + 1][lane] >> 8); /* of a full turn of 2^24 */
            int32_t quarter = (v + (1 << 21)) >> 22;
            double angle = (double)(v - (quarter << 22)) * (6.283185307179586 * 0x1p-24);
            float radius = sqrtf(-2.0f * gm_fast_log(u));
            cosine[lane] = radius * gm_fast_sin_quarter(angle, quarter + 1);
            sine[lane] = radius * gm_fast_sin_quarter(angle, quarter);
        }
        for (int lane = 0; lane < LANES; lane++) {
            out[4 * lane + 2 * pair] = cosine[lane];
            out[4 * lane + 2 * pair + 1] = sine[lane];
        }
    }
}

static void base_uniform(uint64_t key, uint64_t run, uint64_t block, float out[4 * LANES])
{
    uniform_lanes(key, run, block, out);
}

static void base_normal(uint64_t key, uint64_t run, uint64_t block, float out[4 * LANES])
{
    normal_lanes(key, run, block, out);
}

WIDE_TARGET static void wide_uniform(uint64_t key, uint64_t run, uint64_t block, float out[4 * LANES])
{
    uniform_lanes(key, run, block, out);
}

WIDE_TARGET static void wide_normal(uint64_t key, uint64_t run, uint64_t block, float out[4 * LANES])
{
    normal_lanes(key, run, block, out);
}

typedef void (*lanes_function)(uint64_t key, uint64_t run, uint64_t block, float out[4 * LANES]);

static void draw(lanes_function lanes, uint64_t key, uint64_t run, uint64_t first, size_t count, float *out)
{
    while (count > 0) {
        float buffer[4 * LANES];
        size_t skip = (size_t)(first % 4), here = 4 * LANES - skip;
        here = here < count ? here : count;
        lanes(key, run, first / 4, buffer);
        memcpy(out, buffer + skip, here * sizeof *out);
        out += here;
        first += here;
        count -= here;
    }
}

void gm_philox(uint64_t key, uint64_t run, uint64_t block, uint32_t output[4])
{
    uint32_t c[4] = {(uint32_t)block, (uint32_t)(block >> 32), (uint32_t)run, (uint32_t)(run >> 32)};
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
        uint64_t a = (uint64_t)c[0] * 0xD2511F53u, b = (uint64_t)c[2] * 0xCD9E8D57u;
        c[0] = (uint32_t)(b >> 32) ^ c[1] ^ k0;
        c[2] = (uint32_t)(a >> 32) ^ c[3] ^ k1;
        c[1] = (uint32_t)b;
        c[3] = (uint32_t)a;
    }
    memcpy(output, c, sizeof c);
}

/* A run of few elements: block by block instead of LANES of which most are thrown away. */
static void uniform_few(uint64_t key, uint64_t run, uint64_t first, size_t count, float *out)
{
    while (count > 0) {
        uint32_t words[4];
        gm_philox(key, run, first / 4, words);
        for (size_t w = (size_t)(first % 4); w < 4 && count > 0; w++, first++, count--)
            *out++ = (float)(int32_t)(words[w] >> 8) * 0x1p-24f;
    }
}

void gm_uniform(uint64_t key, uint64_t run, uint64_t first, size_t count, float *out)
{
    if (count <= 12) {
        uniform_few(key, run, first, count, out);
        return;
    }
    draw(WIDE_HERE ? wide_uniform : base_uniform, key, run, first, count, out);
}

void gm_normal(uint64_t key, uint64_t run, uint64_t first, size_t count, float *out)
{
    draw(WIDE_HERE ? wide_normal : base_normal, key, run, first, count, out);
}

double gm_uniform_at(uint64_t key, uint64_t run, uint64_t element)
{
    uint32_t words[4];
    gm_philox(key, run, element / 4, words);
    return (double)(words[element % 4] >> 8) * 0x1p-24;
}

double gm_normal_at(uint64_t key, uint64_t run, uint64_t element)
{
    uint32_t words[4];
    size_t pair = (size_t)(element % 4 / 2) * 2;
    gm_philox(key, run, element / 4, words);
    double u = (double)((words[pair] >> 8) + 1) * 0x1p-24;
    double turn = (double)(words[pair + 1] >> 8) * 0x1p-24 * 6.283185307179586;
    return sqrt(-2.0 * log(u)) * (element % 2 ? sin(turn) : cos(turn));
}

gm_draw gm_draw_of(const gm_node *node)
{
    const gm_attribute *own = gm_node_attribute(node, "seed");
    gm_draw draw = {.hash = gm_hash64(node->path ? node->path : ""), .has_seed = own != NULL};
    if (own)
        draw.seed = own->kind == GM_ATTRIBUTE_INT ? (uint64_t)own->i : (uint64_t)(int64_t)own->f;
    return draw;
}

uint64_t gm_draw_key(const gm_draw *draw, uint64_t seed, bool override_seeds, uint64_t *run)
{
    if (draw->has_seed)
        *run = 0;
    return (draw->has_seed && !override_seeds ? draw->seed : seed) ^ draw->hash;
}
