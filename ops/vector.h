/* One loop, compiled for several instruction sets; the processor's best is chosen when the program starts. */
#ifndef GM_OPS_VECTOR_H
#define GM_OPS_VECTOR_H

/* Before a function whose loops should be vectorized widely. Plain C wherever the compiler cannot do it, and
 * under ThreadSanitizer, which is not there yet when the choice is made. */
#if defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_THREAD__) && defined(__x86_64__) &&                \
    defined(__gnu_linux__)
#ifdef __SANITIZE_ADDRESS__ /* whose frames GCC 12 does not align to 64 bytes when it looks for use after return */
#define GM_VECTOR __attribute__((target_clones("avx2", "default")))
#else
#define GM_VECTOR __attribute__((target_clones("avx512f", "avx2", "default")))
#endif
#else
#define GM_VECTOR
#endif

/* For code that is compiled for an instruction set by hand: x86 with GCC. */
#if defined(__GNUC__) && !defined(__clang__) && (defined(__x86_64__) || defined(__i386__))
#define GM_AVX512 "avx512f,avx512vl,avx512dq,avx512bw"
static inline int gm_has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
}
#endif

#endif
