/* Fourier transforms and the windows that go with them. */
#include "tests/gradcheck.h"
#include "tests/numbers.h"

static const numbers_case results[] = {
    {.op = "DFT", IN("1x4x1 [1 2 4 0]"), .expected = "7 0 -3 -2 3 0 -3 2"},
    {.op = "DFT", IN("1x4x1 [1 2 4 0]"), WITH(GRAD_INT("onesided", 1)), .expected = "7 0 -3 -2 3 0"},
    {.op = "DFT", IN("1x4x1 [1 2 4 0]", "int scalar [2]"), .expected = "3 0 -1 0"},      /* cut */
    {.op = "DFT", IN("1x2x1 [1 2]", "int scalar [4]"), .expected = "3 0 1 -2 -1 0 1 2"}, /* filled with zeros */
    {.op = "DFT", IN("2x1x1 [1 2]", "", "int scalar [0]"), .expected = "3 0 -1 0"},
    {.op = "DFT",
     IN("1x3x2 [1 1 2 0 4 -1]"),
     WITH(GRAD_INT("inverse", 1)),
     .expected = "2.3333333 0 -0.9553418 -0.0773503 -0.3779915 1.0773503"},
    {.op = "DFT", /* of half a spectrum the real signal */
     IN("1x3x2 [7 0 -3 -2 3 0]"),
     WITH(GRAD_INT("inverse", 1), GRAD_INT("onesided", 1)),
     .expected = "1 2 4 0"},
    {.op = "STFT",
     IN("1x5x1 [1 2 4 0 3]", "int scalar [2]", "3 [1 0.5 1]"),
     .expected = "6 0 -1.5 2.5980762 7 0 2.5 2.5980762"},
    {.op = "STFT",
     IN("1x4x1 [1 2 4 0]", "int scalar [2]", "", "int scalar [2]"),
     WITH(GRAD_INT("onesided", 0)),
     .expected = "3 0 -1 0 4 0 4 0"},
    {.op = "STFT", IN("1x2x2 [1 0 0 1]", "int scalar [1]", "2 [1 1]"), .expected = "1 1 1 -1"},
    {.op = "HannWindow", IN("int scalar [4]"), .expected = "0 0.5 1 0.5"},
    {.op = "HannWindow", IN("int scalar [4]"), WITH(GRAD_INT("periodic", 0)), .expected = "0 0.75 0.75 0"},
    {.op = "HammingWindow", IN("int scalar [4]"), .expected = "0.0869565 0.5434783 1 0.5434783"},
    {.op = "BlackmanWindow", IN("int scalar [4]"), .expected = "0 0.34 1 0.34"},
    {.op = "MelWeightMatrix",
     IN("int scalar [3]", "int scalar [8]", "int scalar [1000]", "scalar [0]", "scalar [500]"),
     .expected = "1 0 0 0 1 0 0 0 1 0 0 0 0 0 0"},
};

static const numbers_case shapes[] = {
    {.op = "DFT", IN("Nx8x1"), .expected = "float[N, 8, 2]"},
    {.op = "DFT", IN("double Nx8xHx2", "", "int scalar [1]"), .expected = "double[N, 8, H, 2]"},
    {.op = "STFT", IN("Nx9x1", "int scalar [2]", "4 [1 1 1 1]"), .expected = "float[N, 3, 3, 2]"},
    {.op = "HannWindow", IN("int scalar [5]"), WITH(GRAD_INT("output_datatype", GM_DOUBLE)), .expected = "double[5]"},
};

static const numbers_case errors[] = {
    {.op = "DFT", IN("Nx8"), .expected = "the last axis must be"},
    {.op = "DFT", IN("NxHx1"), .expected = "must be known"},
    {.op = "DFT", IN("Nx8x1", "", "int scalar [2]"), .expected = "cannot be transformed"},
    {.op = "DFT", IN("Nx8x1", "", "int scalar [5]"), .expected = "outside"},
    {.op = "DFT", IN("Nx8x1", "int scalar [0]"), .expected = "length 0"},
    {.op = "DFT", IN("Nx8x2"), WITH(GRAD_INT("onesided", 1)), .expected = "needs a real signal"},
    {.op = "STFT", IN("Nx8", "int scalar [1]"), .expected = "[batch, length, 1 or 2]"},
    {.op = "STFT", IN("Nx8x1", "int scalar [0]"), .expected = "do not fit"},
    {.op = "STFT", IN("Nx8x1", "int scalar [1]", "9"), .expected = "do not fit a signal of 8"},
    {.op = "HannWindow", IN("int scalar [-1]"), .expected = "size"},
    {.op = "HannWindow", IN("int scalar [4]"), WITH(GRAD_INT("output_datatype", 8)), .expected = "output_datatype"},
};

NUMBERS_MAIN("signal", (void)0)
