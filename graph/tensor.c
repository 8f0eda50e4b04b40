/* Element types and access to dense tensors. */
#include "graph/tensor.h"

#include <math.h>
#include <string.h>

static const gm_type_info types[] = {
    {GM_FLOAT, "float", 4, true, true},       {GM_DOUBLE, "double", 8, true, true},
    {GM_INT64, "int64", 8, false, true},      {GM_INT32, "int32", 4, false, true},
    {GM_INT16, "int16", 2, false, true},      {GM_INT8, "int8", 1, false, true},
    {GM_UINT64, "uint64", 8, false, false},   {GM_UINT32, "uint32", 4, false, false},
    {GM_UINT16, "uint16", 2, false, false},   {GM_UINT8, "uint8", 1, false, false},
    {GM_BOOL, "bool", 1, false, false},       {GM_FLOAT16, "float16", 2, true, true},
    {GM_BFLOAT16, "bfloat16", 2, true, true}, {GM_STRING, "string", 0, false, false},
};

const gm_type_info *gm_type_find(gm_type type)
{
    for (size_t i = 0; i < GM_COUNT(types); i++)
        if (types[i].type == type)
            return &types[i];
    return NULL;
}

const gm_type_info *gm_type_by_name(const char *name)
{
    for (size_t i = 0; i < GM_COUNT(types); i++)
        if (strcmp(types[i].name, name) == 0)
            return &types[i];
    return NULL;
}

const char *gm_type_name(gm_type type)
{
    const gm_type_info *info = gm_type_find(type);
    return info ? info->name : "undefined";
}

size_t gm_type_bytes(gm_type type)
{
    const gm_type_info *info = gm_type_find(type);
    return info ? info->bytes : 0;
}

int64_t gm_tensor_count(const gm_tensor *tensor)
{
    int64_t count = 1;
    for (int i = 0; i < tensor->rank; i++)
        count *= tensor->dims[i];
    return count;
}

size_t gm_tensor_bytes(const gm_tensor *tensor)
{
    return (size_t)gm_tensor_count(tensor) * gm_type_bytes(tensor->type);
}

bool gm_shape_fits(int rank, const int64_t *dims)
{
    const int64_t most = INT64_C(1) << 44;
    int64_t count = 1;
    for (int i = 0; i < rank; i++) {
        if (dims[i] <= 0)
            continue;
        if (dims[i] > most >> 4 || dims[i] > most / count)
            return false;
        count *= dims[i];
    }
    return true;
}

gm_tensor *gm_tensor_create(gm_pool *pool, gm_type type, int rank, const int64_t *dims)
{
    gm_tensor *tensor = gm_pool_alloc(pool, sizeof *tensor);
    size_t bytes = gm_type_bytes(type);
    if (!tensor)
        return NULL;
    tensor->type = type;
    tensor->rank = rank;
    for (int i = 0; i < rank; i++) {
        tensor->dims[i] = dims[i];
        if (dims[i] < 0 || !gm_shape_fits(rank, dims)) {
            gm_fail(gm_pool_context(pool), GM_ERROR_MEMORY, "a tensor's size does not fit into memory");
            return NULL;
        }
        bytes *= (size_t)dims[i];
    }
    tensor->data = gm_pool_alloc(pool, bytes ? bytes : 1);
    return tensor->data ? tensor : NULL;
}

gm_tensor *gm_tensor_copy(gm_pool *pool, const gm_tensor *tensor)
{
    gm_tensor *copy = gm_tensor_create(pool, tensor->type, tensor->rank, tensor->dims);
    if (copy)
        memcpy(copy->data, tensor->data, gm_tensor_bytes(tensor));
    return copy;
}

bool gm_tensor_same_shape(const gm_tensor *a, const gm_tensor *b)
{
    return a->rank == b->rank && memcmp(a->dims, b->dims, (size_t)a->rank * sizeof a->dims[0]) == 0;
}

/* --- 16-bit floating types
 * ---------------------------------------------------------------------------------------------- */

static float bits_to_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t float_to_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double from_half(uint16_t half)
{
    int exponent = half >> 10 & 31, mantissa = half & 1023;
    double sign = half >> 15 ? -1.0 : 1.0;
    if (exponent == 31)
        return mantissa ? (double)NAN : sign * (double)INFINITY;
    if (exponent == 0)
        return sign * ldexp(mantissa, -24);
    return sign * ldexp(mantissa + 1024, exponent - 25);
}

static uint16_t to_half(double value)
{
    uint16_t sign = signbit(value) ? 0x8000 : 0;
    double size = fabs(value), scaled;
    int exponent;
    if (isnan(value))
        return sign | 0x7e00;
    if (size >= 65520.0)
        return sign | 0x7c00;
    frexp(size, &exponent); /* size = f * 2^exponent, f in [0.5, 1) */
    if (exponent < -13)
        exponent = -13;
    scaled = rint(ldexp(size, 11 - exponent)); /* units of the last place; 2048 carries over by the addition below */
    if (scaled < 1024)
        return sign | (uint16_t)scaled;
    return (uint16_t)(sign | (((uint32_t)(exponent + 13) << 10) + (uint32_t)scaled));
}

static uint16_t to_bfloat16(double value)
{
    uint32_t bits = float_to_bits((float)value);
    if (isnan(value))
        return 0x7fc0;
    bits += 0x7fff + (bits >> 16 & 1);
    return (uint16_t)(bits >> 16);
}

/* --- Access
 * ------------------------------------------------------------------------------------------------------------ */

double gm_get(const gm_tensor *tensor, int64_t index)
{
    const void *data = tensor->data;
    switch (tensor->type) {
    case GM_FLOAT:
        return (double)((const float *)data)[index];
    case GM_DOUBLE:
        return ((const double *)data)[index];
    case GM_FLOAT16:
        return from_half(((const uint16_t *)data)[index]);
    case GM_BFLOAT16:
        return (double)bits_to_float((uint32_t)((const uint16_t *)data)[index] << 16);
    case GM_UINT64:
        return (double)((const uint64_t *)data)[index];
    default:
        return (double)gm_get_int(tensor, index);
    }
}

int64_t gm_get_int(const gm_tensor *tensor, int64_t index)
{
    const void *data = tensor->data;
    switch (tensor->type) {
    case GM_INT64:
        return ((const int64_t *)data)[index];
    case GM_INT32:
        return ((const int32_t *)data)[index];
    case GM_INT16:
        return ((const int16_t *)data)[index];
    case GM_INT8:
        return ((const int8_t *)data)[index];
    case GM_UINT64:
        return (int64_t)((const uint64_t *)data)[index];
    case GM_UINT32:
        return ((const uint32_t *)data)[index];
    case GM_UINT16:
        return ((const uint16_t *)data)[index];
    case GM_UINT8:
    case GM_BOOL:
        return ((const uint8_t *)data)[index];
    default: {
        double value = gm_get(tensor, index);
        if (isnan(value))
            return 0;
        if (value >= 9223372036854775808.0)
            return INT64_MAX;
        if (value < -9223372036854775808.0)
            return INT64_MIN;
        return (int64_t)value;
    }
    }
}

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

void gm_set_int(const gm_tensor *tensor, int64_t index, int64_t value)
{
    void *data = tensor->data;
    switch (tensor->type) {
    case GM_INT64:
        ((int64_t *)data)[index] = value;
        break;
    case GM_INT32:
        ((int32_t *)data)[index] = (int32_t)clamp(value, INT32_MIN, INT32_MAX);
        break;
    case GM_INT16:
        ((int16_t *)data)[index] = (int16_t)clamp(value, INT16_MIN, INT16_MAX);
        break;
    case GM_INT8:
        ((int8_t *)data)[index] = (int8_t)clamp(value, INT8_MIN, INT8_MAX);
        break;
    case GM_UINT64:
        ((uint64_t *)data)[index] = (uint64_t)value;
        break;
    case GM_UINT32:
        ((uint32_t *)data)[index] = (uint32_t)clamp(value, 0, UINT32_MAX);
        break;
    case GM_UINT16:
        ((uint16_t *)data)[index] = (uint16_t)clamp(value, 0, UINT16_MAX);
        break;
    case GM_UINT8:
        ((uint8_t *)data)[index] = (uint8_t)clamp(value, 0, UINT8_MAX);
        break;
    case GM_BOOL:
        ((uint8_t *)data)[index] = value != 0;
        break;
    default:
        gm_set(tensor, index, (double)value);
    }
}

void gm_set_wrapped(const gm_tensor *tensor, int64_t index, int64_t value)
{
    void *data = tensor->data;
    switch (tensor->type) {
    case GM_INT32:
    case GM_UINT32:
        ((uint32_t *)data)[index] = (uint32_t)value;
        break;
    case GM_INT16:
    case GM_UINT16:
        ((uint16_t *)data)[index] = (uint16_t)value;
        break;
    case GM_INT8:
    case GM_UINT8:
        ((uint8_t *)data)[index] = (uint8_t)value;
        break;
    default:
        gm_set_int(tensor, index, value);
    }
}

void gm_set(const gm_tensor *tensor, int64_t index, double value)
{
    void *data = tensor->data;
    switch (tensor->type) {
    case GM_FLOAT:
        ((float *)data)[index] = (float)value;
        break;
    case GM_DOUBLE:
        ((double *)data)[index] = value;
        break;
    case GM_FLOAT16:
        ((uint16_t *)data)[index] = to_half(value);
        break;
    case GM_BFLOAT16:
        ((uint16_t *)data)[index] = to_bfloat16(value);
        break;
    case GM_BOOL:
        ((uint8_t *)data)[index] = value != 0;
        break;
    case GM_UINT64:
        ((uint64_t *)data)[index] = !(value > 0) ? 0 : value >= 18446744073709551616.0 ? UINT64_MAX : (uint64_t)value;
        break;
    default: {
        int64_t whole = isnan(value)                     ? 0
                        : value >= 9223372036854775808.0 ? INT64_MAX
                        : value < -9223372036854775808.0 ? INT64_MIN
                                                         : (int64_t)value;
        gm_set_int(tensor, index, whole);
    }
    }
}
