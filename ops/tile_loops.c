/* The vector instructions of the tile machine, compiled for the base instruction set and, on x86, for AVX2 and AVX-512. The
 * arithmetic is the same in all (nothing contracts to fused multiply-add), and so are the results, bit for bit. */
#include "ops/tile.h"

#include "ops/vector.h"
#include "ops/vector_math.h"

#define GM_TILE_NAME(name) base_##name
#include "ops/tile_loops.h"
#undef GM_TILE_NAME

#if defined(__GNUC__) && !defined(__clang__) && (defined(__x86_64__) || defined(__i386__))
#define GM_TILE_HAS_AVX2 1
#pragma GCC push_options
#pragma GCC target("avx2")
#define GM_TILE_NAME(name) avx2_##name
#include "ops/tile_loops.h"
#undef GM_TILE_NAME
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw")
#define GM_TILE_NAME(name) avx512_##name
#include "ops/tile_loops.h"
#undef GM_TILE_NAME
#pragma GCC pop_options
#endif

const gm_tile_loop *gm_tile_loops_base(void)
{
    return base_loops;
}

const gm_tile_loop *gm_tile_loops(void)
{
#ifdef GM_TILE_HAS_AVX2
    if (gm_has_avx512())
        return avx512_loops;
    if (__builtin_cpu_supports("avx2"))
        return avx2_loops;
#endif
    return base_loops;
}
