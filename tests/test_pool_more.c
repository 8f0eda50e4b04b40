/* Pooling over whole pictures, with the p-norm, and MaxUnpool. Gradients: test_gradients.c. */
#include "tests/gradcheck.h"
#include "tests/numbers.h"

static const numbers_case results[] = {
    {.op = "GlobalAveragePool", IN("1x2x3 [1 2 6 0 -1 1]"), .expected = "3 0"},
    {.op = "GlobalAveragePool", IN("double 1x2 [1 2]"), .expected = "1 2"},
    {.op = "GlobalMaxPool", IN("1x2x1x2 [1 2 -3 -5]"), .expected = "2 -3"},
    {.op = "GlobalLpPool", IN("1x2x2 [3 -4 0 1]"), .expected = "5 1"},
    {.op = "GlobalLpPool", IN("1x1x2 [3 -4]"), WITH(GRAD_INT("p", 1)), .expected = "7"},
    {.op = "LpPool",
     IN("1x1x4 [3 4 0 1]"),
     WITH(GRAD_INTS("kernel_shape", 2), GRAD_INTS("strides", 2)),
     .expected = "5 1"},
    {.op = "LpPool",
     IN("1x1x4 [3 -4 0 1]"),
     WITH(GRAD_INTS("kernel_shape", 2), GRAD_INT("p", 1), GRAD_INTS("pads", 1, 0)),
     .expected = "3 7 4 1"},
    {.op = "LpPool", /* the last window hangs over the end */
     IN("1x1x3 [3 4 2]"),
     WITH(GRAD_INTS("kernel_shape", 2), GRAD_INTS("strides", 2), GRAD_INT("ceil_mode", 1)),
     .expected = "5 2"},
    {.op = "LpPool",
     IN("1x1x4 [3 1 4 2]"),
     WITH(GRAD_INTS("kernel_shape", 2), GRAD_INTS("dilations", 2)),
     .expected = "5 2.236068"},
    {.op = "MaxUnpool",
     IN("1x1x2 [5 7]", "int 1x1x2 [1 2]"),
     WITH(GRAD_INTS("kernel_shape", 2), GRAD_INTS("strides", 2)),
     .expected = "0 5 7 0"},
    {.op = "MaxUnpool", /* the indices are of the 2x2 that the window gives, put in the corner of a 2x3 */
     IN("1x1x1x1 [5]", "int 1x1x1x1 [2]", "int 4 [1 1 2 3]"),
     WITH(GRAD_INTS("kernel_shape", 2, 2), GRAD_INTS("strides", 2, 2)),
     .expected = "0 0 0 5 0 0"},
};

static const numbers_case shapes[] = {
    {.op = "GlobalAveragePool", IN("NxCxHxW"), .expected = "float[N, C, 1, 1]"},
    {.op = "GlobalMaxPool", IN("double NxCx3"), .expected = "double[N, C, 1]"},
    {.op = "GlobalLpPool", IN("NxC"), .expected = "float[N, C]"},
    {.op = "LpPool", IN("NxCx6"), WITH(GRAD_INTS("kernel_shape", 2)), .expected = "float[N, C, 5]"},
    {.op = "MaxUnpool",
     IN("NxCx3", "int NxCx3"),
     WITH(GRAD_INTS("kernel_shape", 2), GRAD_INTS("strides", 2)),
     .expected = "float[N, C, 6]"},
};

static const numbers_case errors[] = {
    {.op = "GlobalAveragePool", IN("N"), .expected = "needs [N, C, ...], found rank 1"},
    {.op = "GlobalLpPool", IN("NxCx2"), WITH(GRAD_INT("p", 0)), .expected = "p must be at least 1"},
    {.op = "LpPool", IN("NxCx2"), WITH(GRAD_INT("p", -1), GRAD_INTS("kernel_shape", 2)), .expected = "p must be"},
    {.op = "LpPool", IN("NxCx2"), WITH(GRAD_INTS("kernel_shape", 2, 2)), .expected = "kernel_shape"},
    {.op = "LpPool", IN("NxCx2"), WITH(GRAD_INTS("kernel_shape", 3)), .expected = "covers 3 positions"},
    {.op = "MaxUnpool", IN("NxCx3", "NxCx3"), WITH(GRAD_INTS("kernel_shape", 2)), .expected = "must be int64"},
    {.op = "MaxUnpool", IN("NxCx3", "int NxCx2"), WITH(GRAD_INTS("kernel_shape", 2)), .expected = "of the shape of X"},
    {.op = "MaxUnpool",
     IN("1x1x3", "int 1x1x3", "int 3 [1 1 3]"),
     WITH(GRAD_INTS("kernel_shape", 2)),
     .expected = "smaller"},
    {.op = "MaxUnpool",
     IN("1x1x3", "int 1x1x3", "int 2 [1 9]"),
     WITH(GRAD_INTS("kernel_shape", 2)),
     .expected = "3 numbers"},
};

NUMBERS_MAIN("pool_more", (void)0)
