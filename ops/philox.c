/* Philox4x32-10 and the draws made of it: see ops/philox.h. BATCH blocks are computed at a time: in plain C, and on x86
 * with AVX2 and AVX-512, where one instruction multiplies four or eight words (the vectorizer finds a way three times as
 * long). */
#include "ops/philox.h"

#include "ops/vector.h"
#include "ops/vector_math.h"

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
#include <immintrin.h>
#define AVX2_TARGET   __attribute__((target("avx2")))
#define AVX512_TARGET __attribute__((target(GM_AVX512)))
#endif

#define BATCH    16          /* blocks at a time */
#define ELEMENTS (4 * BATCH) /* their words, one an element */

#define MULTIPLY_0 0xD2511F53u
#define MULTIPLY_2 0xCD9E8D57u
#define WEYL_0     0x9E3779B9u
#define WEYL_1     0xBB67AE85u

void gm_philox(uint64_t key, uint64_t run, uint64_t block, uint32_t output[4])
{
    uint32_t c[4] = {(uint32_t)block, (uint32_t)(block >> 32), (uint32_t)run, (uint32_t)(run >> 32)};
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++, k0 += WEYL_0, k1 += WEYL_1) {
        uint64_t a = (uint64_t)c[0] * MULTIPLY_0, b = (uint64_t)c[2] * MULTIPLY_2;
        c[0] = (uint32_t)(b >> 32) ^ c[1] ^ k0;
        c[2] = (uint32_t)(a >> 32) ^ c[3] ^ k1;
        c[1] = (uint32_t)b;
        c[3] = (uint32_t)a;
    }
    memcpy(output, c, sizeof c);
}

/* --- Batches ------------------------------------------------------------------------------------------------------- */

/* Words of blocks `block` ... `block` + BATCH - 1, in the order of elements. */
static void base_words(uint64_t key, uint64_t run, uint64_t block, uint32_t out[ELEMENTS])
{
    for (uint64_t i = 0; i < BATCH; i++)
        gm_philox(key, run, block + i, out + 4 * i);
}

GM_VECTOR_INLINE void to_uniform(const uint32_t words[ELEMENTS], float out[ELEMENTS])
{
    for (int i = 0; i < ELEMENTS; i++)
        out[i] = (float)(int32_t)(words[i] >> 8) * 0x1p-24f;
}

/* 1 where the uniform number of the word is not below threshold / 2^24. */
GM_VECTOR_INLINE void to_keep(const uint32_t words[ELEMENTS], int32_t threshold, uint8_t out[ELEMENTS])
{
    for (int i = 0; i < ELEMENTS; i++)
        out[i] = (int32_t)(words[i] >> 8) >= threshold;
}

/* Box-Muller on each pair of words. */
GM_VECTOR_INLINE void to_normal(const uint32_t words[ELEMENTS], float out[ELEMENTS])
{
    for (int pair = 0; pair < ELEMENTS / 2; pair++) {
        float u = (float)((int32_t)(words[2 * pair] >> 8) + 1) * 0x1p-24f;
        int32_t v = (int32_t)(words[2 * pair + 1] >> 8); /* of a full turn of 2^24 */
        int32_t quarter = (v + (1 << 21)) >> 22;
        double angle = (double)(v - quarter * (1 << 22)) * (6.283185307179586 * 0x1p-24);
        float radius = sqrtf(-2.0f * gm_fast_log(u));
        out[2 * pair] = radius * gm_fast_sin_quarter(angle, quarter + 1);
        out[2 * pair + 1] = radius * gm_fast_sin_quarter(angle, quarter);
    }
}

/* Elements of `batches` times BATCH blocks; threshold is of `keep` alone. */
typedef void (*batch_function)(uint64_t key, uint64_t run, uint64_t block, size_t batches, int32_t threshold,
                               void *out);

/* The draws of one instruction set: a batch of elements from the words of its blocks. */
typedef struct batch_functions {
    batch_function uniform, normal, keep;
} batch_functions;

#define DRAW_FUNCTION(NAME, TARGET, KIND, TYPE, CONVERT)                                                               \
    TARGET static void NAME##_##KIND(uint64_t key, uint64_t run, uint64_t block, size_t batches, int32_t threshold,    \
                                     void *out)                                                                        \
    {                                                                                                                  \
        uint32_t words[ELEMENTS];                                                                                      \
        for (TYPE *to = out; batches-- > 0; block += BATCH, to += ELEMENTS) {                                          \
            NAME##_words(key, run, block, words);                                                                      \
            CONVERT;                                                                                                   \
        }                                                                                                              \
    }
#define UNIFORM_FUNCTION(NAME, TARGET) DRAW_FUNCTION(NAME, TARGET, uniform, float, to_uniform(words, to))
#define NORMAL_FUNCTION(NAME, TARGET)  DRAW_FUNCTION(NAME, TARGET, normal, float, to_normal(words, to))
#define KEEP_FUNCTION(NAME, TARGET)    DRAW_FUNCTION(NAME, TARGET, keep, uint8_t, to_keep(words, threshold, to))

#define BATCH_OF(NAME)                                                                                                 \
    {                                                                                                                  \
        NAME##_uniform, NAME##_normal, NAME##_keep                                                                     \
    }

UNIFORM_FUNCTION(base, )
NORMAL_FUNCTION(base, )
KEEP_FUNCTION(base, )
static const batch_functions base_batch = BATCH_OF(base);

#ifdef AVX2_TARGET
/* Four blocks: a vector holds one word of each in the low halves of its 64-bit lanes; high halves are never read. */
AVX2_TARGET static inline void avx2_blocks(uint64_t key, uint64_t run, uint64_t block, uint32_t out[16])
{
    const __m256i m0 = _mm256_set1_epi64x(MULTIPLY_0), m2 = _mm256_set1_epi64x(MULTIPLY_2);
    const __m256i low = _mm256_set1_epi64x(0xFFFFFFFF);
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    __m256i c0 = _mm256_add_epi64(_mm256_set1_epi64x((long long)block), _mm256_setr_epi64x(0, 1, 2, 3));
    __m256i c1 = _mm256_srli_epi64(c0, 32);
    __m256i c2 = _mm256_set1_epi64x((long long)run), c3 = _mm256_srli_epi64(c2, 32);
    for (int round = 0; round < 10; round++, k0 += WEYL_0, k1 += WEYL_1) {
        __m256i a = _mm256_mul_epu32(c0, m0), b = _mm256_mul_epu32(c2, m2);
        c0 = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(b, 32), c1), _mm256_set1_epi64x(k0));
        c2 = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(a, 32), c3), _mm256_set1_epi64x(k1));
        c1 = b;
        c3 = a;
    }
    c0 = _mm256_or_si256(_mm256_and_si256(c0, low), _mm256_slli_epi64(c1, 32));
    c2 = _mm256_or_si256(_mm256_and_si256(c2, low), _mm256_slli_epi64(c3, 32));
    c1 = _mm256_unpacklo_epi64(c0, c2); /* blocks 0 and 2 */
    c3 = _mm256_unpackhi_epi64(c0, c2); /* blocks 1 and 3 */
    _mm256_storeu_si256((__m256i *)(void *)out, _mm256_permute2x128_si256(c1, c3, 0x20));
    _mm256_storeu_si256((__m256i *)(void *)(out + 8), _mm256_permute2x128_si256(c1, c3, 0x31));
}

AVX2_TARGET static void avx2_words(uint64_t key, uint64_t run, uint64_t block, uint32_t out[ELEMENTS])
{
    for (int i = 0; i < BATCH; i += 4)
        avx2_blocks(key, run, block + (uint64_t)i, out + 4 * i);
}

UNIFORM_FUNCTION(avx2, AVX2_TARGET)
NORMAL_FUNCTION(avx2, AVX2_TARGET)
KEEP_FUNCTION(avx2, AVX2_TARGET)
static const batch_functions avx2_batch = BATCH_OF(avx2);

enum { CHAINS = BATCH / 8 };

/* Sixteen blocks the same way, as two chains of eight: one computes while the other waits for its product. */
AVX512_TARGET static inline void avx512_blocks(uint64_t key, uint64_t run, uint64_t block, __m512i out[2 * CHAINS])
{
    const __m512i m0 = _mm512_set1_epi64(MULTIPLY_0), m2 = _mm512_set1_epi64(MULTIPLY_2);
    __m512i c0[CHAINS], c1[CHAINS], c2[CHAINS], c3[CHAINS];
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int i = 0; i < CHAINS; i++) {
        c0[i] =
            _mm512_add_epi64(_mm512_set1_epi64((long long)block + 8 * i), _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7));
        c1[i] = _mm512_srli_epi64(c0[i], 32);
        c2[i] = _mm512_set1_epi64((long long)run);
        c3[i] = _mm512_srli_epi64(c2[i], 32);
    }
    for (int round = 0; round < 10; round++, k0 += WEYL_0, k1 += WEYL_1) {
        const __m512i wide_k0 = _mm512_set1_epi64(k0), wide_k1 = _mm512_set1_epi64(k1);
#pragma GCC unroll 2
        for (int i = 0; i < CHAINS; i++) {
            __m512i a = _mm512_mul_epu32(c0[i], m0), b = _mm512_mul_epu32(c2[i], m2);
            c0[i] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(b, 32), c1[i], wide_k0, 0x96); /* exclusive or */
            c2[i] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(a, 32), c3[i], wide_k1, 0x96);
            c1[i] = b;
            c3[i] = a;
        }
    }
#pragma GCC unroll 2
    for (int i = 0; i < CHAINS; i++) {
        __m512i first = _mm512_mask_blend_epi32(0xAAAA, c0[i], _mm512_slli_epi64(c1[i], 32));
        __m512i second = _mm512_mask_blend_epi32(0xAAAA, c2[i], _mm512_slli_epi64(c3[i], 32));
        __m512i even = _mm512_unpacklo_epi64(first, second), odd = _mm512_unpackhi_epi64(first, second); /* blocks */
        out[2 * i] = _mm512_permutex2var_epi64(even, _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), odd);
        out[2 * i + 1] = _mm512_permutex2var_epi64(even, _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15), odd);
    }
}

AVX512_TARGET static void avx512_words(uint64_t key, uint64_t run, uint64_t block, uint32_t out[ELEMENTS])
{
    __m512i words[2 * CHAINS];
    avx512_blocks(key, run, block, words);
    for (int i = 0; i < 2 * CHAINS; i++)
        _mm512_storeu_si512(out + 16 * i, words[i]);
}

AVX512_TARGET static void avx512_keep(uint64_t key, uint64_t run, uint64_t block, size_t batches, int32_t threshold,
                                      void *out)
{
    const __m512i least = _mm512_set1_epi32(threshold);
    for (__m128i *to = out; batches-- > 0; block += BATCH, to += 2 * CHAINS) {
        __m512i words[2 * CHAINS];
        avx512_blocks(key, run, block, words);
#pragma GCC unroll 4
        for (int i = 0; i < 2 * CHAINS; i++) {
            __mmask16 kept = _mm512_cmpge_epi32_mask(_mm512_srli_epi32(words[i], 8), least);
            _mm_storeu_si128(to + i, _mm_maskz_set1_epi8(kept, 1));
        }
    }
}

UNIFORM_FUNCTION(avx512, AVX512_TARGET)
NORMAL_FUNCTION(avx512, AVX512_TARGET)
static const batch_functions avx512_batch = BATCH_OF(avx512);
#endif

static const batch_functions *best_batch(void)
{
#ifdef AVX2_TARGET
    if (gm_has_avx512())
        return &avx512_batch;
    if (__builtin_cpu_supports("avx2"))
        return &avx2_batch;
#endif
    return &base_batch;
}

/* --- Draws --------------------------------------------------------------------------------------------------------- */

/* `size`: bytes of an element of the result. */
static void draw(batch_function batch, uint64_t key, uint64_t run, uint64_t first, size_t count, int32_t threshold,
                 size_t size, void *result)
{
    unsigned char *out = result;
    while (count > 0) {
        float buffer[ELEMENTS];
        size_t skip = (size_t)(first % 4), here = count / ELEMENTS * ELEMENTS;
        if (skip == 0 && here > 0) {
            batch(key, run, first / 4, here / ELEMENTS, threshold, out);
        } else {
            here = ELEMENTS - skip < count ? ELEMENTS - skip : count;
            batch(key, run, first / 4, 1, threshold, buffer);
            memcpy(out, (unsigned char *)buffer + skip * size, here * size);
        }
        out += here * size;
        first += here;
        count -= here;
    }
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
    draw(best_batch()->uniform, key, run, first, count, 0, sizeof *out, out);
}

void gm_normal(uint64_t key, uint64_t run, uint64_t first, size_t count, float *out)
{
    draw(best_batch()->normal, key, run, first, count, 0, sizeof *out, out);
}

void gm_keep(uint64_t key, uint64_t run, uint64_t first, size_t count, float ratio, uint8_t *out)
{
    double least = ceil((double)ratio * 0x1p24); /* a word's 24 bits must reach it; NaN keeps nothing */
    int32_t threshold = least <= 0 ? 0 : least <= 0x1p24 ? (int32_t)least : 1 << 24;
    draw(best_batch()->keep, key, run, first, count, threshold, sizeof *out, out);
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
