/* Elementary functions in float32 that GCC vectorizes: no branches, no tables, no calls. Errors are a few units in the
 * last place over the whole range, with the limits at infinities, zeros and NaN that C's functions have. */
#ifndef GM_OPS_VECTOR_MATH_H
#define GM_OPS_VECTOR_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define GM_VECTOR_INLINE static inline __attribute__((always_inline, unused))

GM_VECTOR_INLINE float gm_float_of_bits(int32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

GM_VECTOR_INLINE int32_t gm_bits_of_float(float value)
{
    int32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* x = n ln 2 + r with |r| <= ln 2 / 2, for x in [-110, 110]: returns e^r - 1 by its series, and n. */
GM_VECTOR_INLINE float gm_exp_reduced(float x, int32_t *n_out)
{
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer in the low bits */
    float shifted = x * 1.44269504f + magic;
    float n = shifted - magic;
    float r = (x - n * 0.693359375f) + n * 2.12194440e-4f; /* ln 2 in two parts, the first exact times n */
    float s = 1.0f / 5040;
    s = s * r + 1.0f / 720;
    s = s * r + 1.0f / 120;
    s = s * r + 1.0f / 24;
    s = s * r + 1.0f / 6;
    s = s * r + 0.5f;
    *n_out = gm_bits_of_float(shifted) - gm_bits_of_float(magic);
    return r + r * r * s;
}

GM_VECTOR_INLINE float gm_fast_exp(float x)
{
    float clamped = x > -104.0f ? (x < 89.0f ? x : 89.0f) : -104.0f; /* NaN: -104 */
    int32_t n, half;
    float p = gm_exp_reduced(clamped, &n);
    half = n >> 1; /* 2^n in two factors: reaches denormal results and 2^128 */
    float y = (1.0f + p) * gm_float_of_bits((half + 127) << 23) * gm_float_of_bits((n - half + 127) << 23);
    return x != x ? x : y;
}

/* e^x - 1 for x in [0, 40] */
GM_VECTOR_INLINE float gm_fast_expm1_positive(float x)
{
    int32_t n;
    float p = gm_exp_reduced(x, &n);
    float scale = gm_float_of_bits((n + 127) << 23);
    return scale * p + (scale - 1.0f);
}

GM_VECTOR_INLINE float gm_fast_log(float x)
{
    float tiny = x < 1.17549435e-38f ? 8388608.0f : 1.0f;                         /* denormals: scaled by 2^23 */
    int32_t bits = (int32_t)((uint32_t)gm_bits_of_float(x * tiny) - 0x3f3504f3u); /* mantissa in [sqrt(1/2), sqrt(2)) */
    float e = (float)(bits >> 23) - (x < 1.17549435e-38f ? 23.0f : 0.0f);
    float f = gm_float_of_bits((bits & 0x7fffff) + 0x3f3504f3) - 1.0f;
    /* log(1 + f) = f - (f^2/2 - s (f^2/2 + R)), s = f / (2 + f), R = the series of 2 artanh(s) / s - 2 */
    float s = f / (2.0f + f), z = s * s, half = 0.5f * f * f;
    float series = z * (0.666666667f + z * (0.4f + z * (0.285714286f + z * 0.222222222f)));
    float y = e * 0.693359375f - ((half - (s * (half + series) - e * 2.12194440e-4f)) - f);
    y = x > 3.40282347e+38f ? x : y;
    y = x == 0.0f ? -INFINITY : y;
    y = x < 0.0f ? NAN : y;
    return x != x ? x : y;
}

/* log(1 + e) = 2 artanh(s) with s = e / (2 + e), for e in [0, 1]: s is at most 1/3, and the series short. */
GM_VECTOR_INLINE float gm_fast_log1p_unit(float e)
{
    float s = e / (2.0f + e), z = s * s;
    float series = 1.0f / 15;
    series = series * z + 1.0f / 13;
    series = series * z + 1.0f / 11;
    series = series * z + 1.0f / 9;
    series = series * z + 1.0f / 7;
    series = series * z + 1.0f / 5;
    series = series * z + 1.0f / 3;
    return 2.0f * (s + s * z * series);
}

GM_VECTOR_INLINE float gm_fast_tanh(float x)
{
    float a = fabsf(x);
    float t = gm_fast_expm1_positive(2.0f * (a < 10.0f ? a : 10.0f));
    float y = copysignf(t / (t + 2.0f), x);
    return x != x ? x : y;
}

GM_VECTOR_INLINE float gm_fast_sigmoid(float x)
{
    float e = gm_fast_exp(-fabsf(x));
    float y = (x >= 0.0f ? 1.0f : e) / (1.0f + e);
    return x != x ? x : y;
}

GM_VECTOR_INLINE float gm_fast_softplus(float x)
{
    float y = (x > 0.0f ? x : 0.0f) + gm_fast_log1p_unit(gm_fast_exp(-fabsf(x)));
    return x != x ? x : y;
}

/* sin(angle + quarter * pi/2) for |angle| <= pi/4, by the series in double. */
GM_VECTOR_INLINE float gm_fast_sin_quarter(double angle, int32_t quarter)
{
    double z = angle * angle;
    double s = angle * (1.0 + z * (-1.0 / 6 + z * (1.0 / 120 + z * (-1.0 / 5040 + z * (1.0 / 362880)))));
    double c = 1.0 + z * (-0.5 + z * (1.0 / 24 + z * (-1.0 / 720 + z * (1.0 / 40320 + z * (-1.0 / 3628800)))));
    double y = (quarter & 1) ? c : s;
    return (float)((quarter & 2) ? -y : y);
}

/* sin(x + shift * pi/2) for |x| <= GM_FAST_ANGLE. */
#define GM_FAST_ANGLE 100000.0f
GM_VECTOR_INLINE float gm_fast_sin(float x, int32_t shift)
{
    const double magic = 6755399441055744.0; /* 1.5 * 2^52 */
    double n = ((double)x * 0.63661977236758134 + magic) - magic;
    double angle = ((double)x - n * 1.5707963267341256) - n * 6.0771005065061922e-11;
    return gm_fast_sin_quarter(angle, (int32_t)n + shift);
}

#endif
