/* RNN, GRU, LSTM: numbers from onnxruntime, by both ways of computing them. Gradients: test_gradients.c. */
#include "tests/gradcheck.h"
#include "tests/numbers.h"

#define FLOATS(label, ...)                                                                                             \
    {                                                                                                                  \
        .name = (label), .kind = GM_ATTRIBUTE_FLOATS, .floats = (const double[]){__VA_ARGS__},                         \
        .count = sizeof((const double[]){__VA_ARGS__}) / sizeof(double)                                                \
    }
#define STRINGS(label, ...)                                                                                            \
    {                                                                                                                  \
        .name = (label), .kind = GM_ATTRIBUTE_STRINGS, .strings = (const char *const[]){__VA_ARGS__},                  \
        .count = sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)                                           \
    }

static const numbers_case results[] = {
    {.op = "RNN",
     IN("3x2x2 [0.625 -0.875 -0.625 -0.5 -0.625 0.625 0.75 0.125 -1 -0.875 -0.375 -0.125]", "1x2x2 [0.25 0 -0.5 -0.75]",
        "1x2x2 [0.375 0.5 -1 -0.875]", "1x4 [-0.125 -0.25 0.875 0]"),
     .outputs = 2,
     .expected = "0.7193274 0.0934763 0.5325873 0.4115701 0.7212455 -0.8358886 0.8723922 -0.9233757 0.338611 0.7241932 "
                 "0.4790182 -0.0331763 "
                 "0.338611 0.7241932 0.4790182 -0.0331763"},
    {.op = "RNN",
     IN("3x2x2 [-0.125 -0.125 0.375 0.125 -0.75 0.5 0.5 1 0.625 -0.5 -0.375 0.375]", "1x1x2 [0.375 0.375]",
        "1x1x1 [0.75]", "", "int32 2 [3 1]", "1x2x1 [-0.5 0.875]"),
     WITH(GRAD_STRING("direction", "reverse")),
     .outputs = 2,
     .expected = "-0.3217228 0.6877903 -0.3197569 0 -0.316835 0 "
                 "-0.3217228 0.6877903"},
    {.op = "RNN",
     IN("3x2x1 [-1 -0.875 1 1 -0.375 -0.75]", "1x1x1 [-0.375]", "1x1x1 [-1]", "1x2 [0.875 0.375]"),
     WITH(STRINGS("activations", "Affine"), FLOATS("activation_alpha", 0.5), FLOATS("activation_beta", 0.25)),
     .outputs = 2,
     .expected = "1.0625 1.039062 0.15625 0.1679688 0.8671875 0.9316406 "
                 "0.8671875 0.9316406"},
    {.op = "GRU",
     IN("3x2x2 [0.125 -0.5 0 -0.625 0.625 0 -1 -0.5 0.5 0 -0.25 -0.5]",
        "2x3x2 [-0.875 0.25 0.375 0 0.875 0.875 -0.625 0.25 0.25 -0.5 -0.375 0]",
        "2x3x1 [0.5 -0.5 0.5 0.375 -0.625 -0.25]",
        "2x6 [0.75 0.75 0.375 -1 0.375 -0.625 0.625 0.875 -0.125 1 0.5 -0.375]", "int32 2 [2 3]",
        "2x2x1 [0.75 -0.25 -0.875 0.25]"),
     WITH(GRAD_STRING("direction", "bidirectional")),
     .outputs = 2,
     .expected = "0.1914784 -0.5418264 -0.6663115 0.01068099 0.3009959 -0.7193992 -0.7650603 0.1190205 0 -0.7898477 0 "
                 "0.1497446 "
                 "0.3009959 -0.7898477 -0.6663115 0.01068099"},
    {.op = "GRU",
     IN("2x2x2 [0.75 0.375 -0.25 0.875 0 -0.25 -0.75 -0.625]",
        "1x6x2 [0.375 0.625 -0.5 0.25 0.75 -0.75 -0.5 0 0.125 -0.25 -0.25 -0.75]",
        "1x6x2 [0.25 0.875 -0.625 0.625 -0.625 -1 0.5 -0.625 0.5 -0.375 0.125 0.875]",
        "1x12 [0.875 0 -0.625 -0.5 0.75 0.25 -0.75 0.875 1 1 0.25 1]", "", "1x2x2 [0.25 0 1 0.25]"),
     WITH(GRAD_INT("linear_before_reset", 1)),
     .outputs = 2,
     .expected = "0.4170644 0.1357837 0.8862004 0.3488947 0.5790026 0.3772259 0.8251636 0.5444525 "
                 "0.5790026 0.3772259 0.8251636 0.5444525"},
    {.op = "GRU",
     IN("3x2x1 [0.625 -0.375 0.625 1 -1 0.125]", "1x3x1 [-0.25 -1 -0.875]", "1x3x1 [-0.5 -0.625 0.5]",
        "1x6 [-0.625 0.25 0.75 0 -0.75 -0.875]"),
     WITH(GRAD_FLOAT("clip", 0.5), STRINGS("activations", "HardSigmoid", "ScaledTanh"),
          FLOATS("activation_alpha", 0.3, 0.5), FLOATS("activation_beta", 0.4, 0.8)),
     .outputs = 2,
     .expected = "-0.1424809 0.06040674 -0.1781011 -0.1273792 0.07431956 -0.1059463 "
                 "0.07431956 -0.1059463"},
    {.op = "LSTM",
     IN("2x2x2 [-0.375 -0.125 0 -0.375 0.75 0.125 1 0.875]",
        "1x8x2 [0.5 -1 -0.625 0.5 0.125 1 0.5 0.625 -1 -0.375 0.375 0.25 -0.25 -0.75 0.25 -0.875]",
        "1x8x2 [0.375 0.625 0.375 -0.875 0 -0.375 0.125 0.375 -0.625 -1 0 0.25 -0.75 0.875 0 1]",
        "1x16 [0.125 0.5 0.625 0 -0.25 0.375 -1 0.25 0 -0.75 -0.625 -1 0.5 0.375 -0.25 1]", "",
        "1x2x2 [-0.25 -0.375 0.875 -0.875]", "1x2x2 [-0.25 -1 -0.375 0.5]", "1x6 [-0.375 0 0 -0.875 -0.875 -0.375]"),
     .outputs = 3,
     .expected = "-0.2582987 -0.07372706 -0.3428294 0.0675833 -0.3911835 0.01412303 -0.5100205 0.2205857 "
                 "-0.3911835 0.01412303 -0.5100205 0.2205857 "
                 "-0.8613194 0.04100212 -0.8721454 0.7429838"},
    {.op = "LSTM",
     IN("2x2x2 [0.125 -0.875 0.875 0.75 0.125 0.5 0.5 -1]",
        "2x4x2 [1 -1 0.75 0.75 0.5 -0.75 0.625 1 0.625 0.375 -0.5 0.125 0 0.75 -0.375 -0.25]",
        "2x4x1 [-0.5 0 0.125 -0.125 -0.375 0.125 0.25 -0.75]",
        "2x8 [0.125 0.5 -0.875 0.25 -0.125 0.875 -0.25 -0.375 0.5 0.75 -0.875 -0.875 -0.75 -0.375 0 0.125]",
        "int32 2 [2 1]", "2x2x1 [-0.25 0.875 0.375 -0.75]", "2x2x1 [-0.375 -0.625 -0.625 0.75]"),
     WITH(GRAD_STRING("direction", "bidirectional"),
          STRINGS("activations", "Sigmoid", "Softsign", "Elu", "HardSigmoid", "Tanh", "ThresholdedRelu")),
     .outputs = 3,
     .expected = "-0.273686 0.06166647 0 0 0.04365085 0 0 0 "
                 "0.04365085 0.06166647 0 0 "
                 "0.05055742 0.06627537 -0.3360383 -0.1073898"},
    {.op = "LSTM",
     IN("3x2x1 [0.875 -0.125 -0.5 0.75 -0.75 -0.75]", "1x4x1 [-0.5 -0.25 -0.375 -0.5]",
        "1x4x1 [-0.625 0.25 0.125 0.375]", "1x8 [0.875 0.875 -0.75 0.625 -0.125 0.625 0.375 -1]", "", "", "",
        "1x3 [0.875 0.875 1]"),
     WITH(GRAD_INT("input_forget", 1), GRAD_FLOAT("clip", 0.75)),
     .outputs = 3,
     .expected = "-0.2385178 -0.1377003 -0.1734294 -0.2867505 -0.08638621 -0.1452671 "
                 "-0.08638621 -0.1452671 "
                 "-0.1278848 -0.2172406"},
};

static const numbers_case shapes[] = {
    {.op = "RNN", IN("TxNx3", "1x2x3", "1x2x2"), .outputs = 2, .expected = "float[T, 1, N, 2] float[1, N, 2]"},
    {.op = "GRU",
     IN("4xNx3", "2x6x3", "2x6x2"),
     WITH(GRAD_STRING("direction", "bidirectional")),
     .outputs = 2,
     .expected = "float[4, 2, N, 2] float[2, N, 2]"},
    {.op = "LSTM",
     IN("NxTx3", "1x8x3", "1x8x2"),
     WITH(GRAD_INT("layout", 1)),
     .outputs = 3,
     .expected = "float[N, T, 1, 2] float[N, 1, 2] float[N, 1, 2]"},
    {.op = "LSTM", IN("Nx5x3", "1x8x3", "1x8x2"), WITH(GRAD_INT("layout", 1)), .expected = "float[N, 5, 1, 2]"},
    {.op = "LSTM", IN("double 900xNx3", "double 1x8x3", "double 1x8x2"), .expected = "double[900, 1, N, 2]"},
};

static const numbers_case errors[] = {
    {.op = "RNN", IN("Nx3", "1x2x3", "1x2x2"), .expected = "need 3 axes each"},
    {.op = "RNN", IN("TxNx3", "1x2x4", "1x2x2"), .expected = "W does not fit X, W and R: found float[1, 2, 4]"},
    {.op = "GRU", IN("TxNx3", "1x2x3", "1x2x2"), .expected = "W does not fit"},
    {.op = "GRU", IN("TxNx3", "1x6x3", "1x6x2", "1x6"), .expected = "B does not fit"},
    {.op = "LSTM", IN("TxNx3", "1x8x3", "1x8x2"), WITH(GRAD_INT("hidden_size", 3)), .expected = "hidden_size"},
    {.op = "LSTM",
     IN("TxNx3", "1x8x3", "1x8x2"),
     WITH(GRAD_STRING("direction", "backward")),
     .expected = "forward, reverse or bidirectional"},
    {.op = "LSTM", IN("TxNx3", "1x8x3", "1x8x2"), WITH(STRINGS("activations", "Tanh")), .expected = "3 names, found 1"},
    {.op = "RNN", IN("TxNx3", "1x2x3", "1x2x2"), WITH(STRINGS("activations", "Swish")), .expected = "'Swish'"},
    {.op = "RNN", IN("TxNx3", "1x2x3", "1x2x2"), WITH(GRAD_FLOAT("clip", -1)), .expected = "clip"},
    {.op = "RNN", IN("TxNx3", "1x2x3", "1x2x2", "", "int N"), .expected = "must be of type int32"},
};

/* The plain kernels, which serve where the number of steps is not known. */
START_TEST(PlainKernelsAreRight)
{
    numbers_check_kernel(&results[_i]);
}
END_TEST

NUMBERS_MAIN("recurrent", tcase_add_loop_test(all, PlainKernelsAreRight, 0, (int)GM_COUNT(results)))
