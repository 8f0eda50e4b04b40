/* LayerNormalization and the other normalizations that are made of operators. Their gradients: test_gradients.c. */
#include "tests/gradcheck.h"
#include "tests/numbers.h"

static const numbers_case results[] = {
    {.op = "LayerNormalization",
     IN("2x3 [1 2 4 0 3 3]", "3 [1 2 3]", "3 [0 0 1]"),
     .outputs = 3,
     .expected = "-1.0690414 -0.5345206 5.0089054 -1.4142100 1.4142100 3.1213150 "
                 "2.3333333 2 0.8017812 0.7071050"},
    {.op = "LayerNormalization",
     IN("2x1 [1 3]", "scalar [2]"),
     WITH(GRAD_INT("axis", 0)),
     .expected = "-1.99999 1.99999"},
    {.op = "LayerNormalization",
     IN("float16 2 [1 3]", "float16 2 [1 1]"),
     WITH(GRAD_INT("stash_type", GM_FLOAT)),
     .outputs = 2,
     .expected = "-1 1 2"},
    {.op = "RMSNormalization",
     IN("2x3 [1 2 4 0 3 3]", "3 [1 2 3]"),
     .expected = "0.3779642 1.5118568 4.5355701 0 2.4494877 3.6742315"},
    {.op = "InstanceNormalization",
     IN("1x4x2 [1 2 3 5 0 0 4 8]", "4 [1 2 3 4]", "4 [0 1 2 3]"),
     .expected = "-0.9999800 0.9999800 -0.9999900 2.9999900 2 2 -0.9999948 6.9999952"},
    {.op = "GroupNormalization",
     IN("1x4x2 [1 2 3 5 0 0 4 8]", "4 [1 2 3 4]", "4 [0 1 2 3]"),
     WITH(GRAD_INT("num_groups", 2)),
     .expected = "-1.1832132 -0.5070914 1.3380609 4.0425482 -0.7136009 -0.7136009 4.2060447 9.0302238"},
    {.op = "MeanVarianceNormalization", IN("2x2 [1 3 5 5]"), WITH(GRAD_INTS("axes", -1)), .expected = "-1 1 0 0"},
    {.op = "MeanVarianceNormalization", IN("2x1x1x2 [1 1 3 3]"), .expected = "-1 -1 1 1"},
    {.op = "LpNormalization", IN("2x2 [3 4 0 0]"), .expected = "0.6 0.8 0 0"},
    {.op = "LpNormalization",
     IN("2x2 [3 4 -1 0]"),
     WITH(GRAD_INT("p", 1), GRAD_INT("axis", 0)),
     .expected = "0.75 1 -0.25 0"},
    {.op = "LRN",
     IN("1x4x1 [1 2 3 4]"),
     WITH(GRAD_INT("size", 3), GRAD_FLOAT("alpha", 0.5)),
     .expected = "0.6347007 0.8107201 0.7992519 1.1672186"},
    {.op = "LRN", /* of an even window the larger part lies behind */
     IN("1x4 [1 2 3 4]"),
     WITH(GRAD_INT("size", 2), GRAD_FLOAT("alpha", 0.5)),
     .expected = "0.5443311 0.6756757 0.6789968 1.1962790"},
};

static const numbers_case shapes[] = {
    {.op = "LayerNormalization",
     IN("Nx3x4", "3x4", "4"),
     WITH(GRAD_INT("axis", 1)),
     .outputs = 3,
     .expected = "float[N, 3, 4] float[N, 1, 1] float[N, 1, 1]"},
    {.op = "LayerNormalization", IN("double NxD", "double D"), .outputs = 2, .expected = "double[N, D] float[N, 1]"},
    {.op = "RMSNormalization", IN("float16 Nx3", "3"), .expected = "float[N, 3]"},
    {.op = "InstanceNormalization", IN("NxCxHxW", "C", "C"), .expected = "float[N, C, H, W]"},
    {.op = "GroupNormalization",
     IN("Nx4xHxW", "4", "4"),
     WITH(GRAD_INT("num_groups", 2)),
     .expected = "float[N, 4, H, W]"},
    {.op = "MeanVarianceNormalization", IN("NxCxHxW"), .expected = "float[N, C, H, W]"},
    {.op = "LpNormalization", IN("NxD"), .expected = "float[N, D]"},
    {.op = "LRN", IN("NxCxHxW"), WITH(GRAD_INT("size", 5)), .expected = "float[N, C, H, W]"},
};

static const numbers_case errors[] = {
    {.op = "LayerNormalization", IN("Nx3", "2"), .expected = "do not broadcast"},
    {.op = "LayerNormalization", IN("Nx1", "3"), .expected = "does not broadcast to float[N, 1]"},
    {.op = "LayerNormalization", IN("Nx3", "3"), WITH(GRAD_INT("axis", 2)), .expected = "outside"},
    {.op = "LayerNormalization", IN("Nx3", "3"), WITH(GRAD_INT("stash_type", 7)), .expected = "stash_type"},
    {.op = "LayerNormalization", IN("Nx3", "double 3"), .expected = "must be equal"},
    {.op = "RMSNormalization", IN("Nx3", "int 3"), .expected = "must be floating"},
    {.op = "InstanceNormalization", IN("Nx3", "3", "3"), .expected = "at least 3 axes"},
    {.op = "InstanceNormalization", IN("Nx3x2", "3", "2"), .expected = "one number per channel"},
    {.op = "GroupNormalization", IN("Nx4", "4", "4"), WITH(GRAD_INT("num_groups", 3)), .expected = "must divide"},
    {.op = "GroupNormalization", IN("Nx4", "4", "4"), WITH(GRAD_INT("num_groups", 0)), .expected = "must divide"},
    {.op = "GroupNormalization", IN("NxC", "C", "C"), WITH(GRAD_INT("num_groups", 2)), .expected = "must be known"},
    {.op = "MeanVarianceNormalization", IN("Nx3"), .expected = "outside"},
    {.op = "LpNormalization", IN("Nx3"), WITH(GRAD_INT("p", 3)), .expected = "p must be 1 or 2"},
    {.op = "LRN", IN("Nx3"), WITH(GRAD_INT("size", 0)), .expected = "size must be"},
    {.op = "LRN", IN("N"), WITH(GRAD_INT("size", 1)), .expected = "2 to 7 axes"},
};

NUMBERS_MAIN("norm_more", (void)0)
