/* LinearAttention, by both ways of computing it, and CausalConvWithState. Gradients: test_gradients.c. */
#include "tests/gradcheck.h"
#include "tests/numbers.h"

static const numbers_case results[] = {
    {.op = "LinearAttention",
     IN("1x2x2 [0.5 1 0.75 0]", "1x2x2 [0.875 1 1 -0.875]", "1x2x1 [-0.125 0.25]"),
     WITH(GRAD_INT("q_num_heads", 1), GRAD_INT("kv_num_heads", 1), GRAD_STRING("update_rule", "linear")),
     .outputs = 2,
     .expected = "-0.1270583 0.07457767 "
                 "0.140625 -0.34375"},
    {.op = "LinearAttention",
     IN("2x2x4 [-0.5 -0.25 0.25 0.625 0.125 -0.75 0.375 0.75 -0.625 0.125 -0.375 0.875 -0.875 0 0.875 -0.125]",
        "2x2x2 [-0.75 0.625 1 1 0.875 -0.25 0.5 1]",
        "2x2x4 [0.125 0.875 0.25 -0.625 -0.125 0.25 -0.375 0.375 -0.25 1 -0.625 0.375 -0.875 -0.75 0 0]",
        "2x2x1x2 [0 0 0.75 0 -0.25 1 0.875 -0.375]", "2x2x2 [-0.625 -0.625 -0.75 0 0.125 0.25 0.875 0.875]"),
     WITH(GRAD_INT("q_num_heads", 4), GRAD_INT("kv_num_heads", 2), GRAD_STRING("update_rule", "gated"),
          GRAD_FLOAT("scale", 0.5)),
     .outputs = 2,
     .expected = "0.0234375 0.1640625 0.01171875 0.08203125 0.06971201 -0.04882812 0.17428 -0.1220703 -0.01058027 "
                 "-0.00374941 0.06348164 0.02249646 0.03425551 -0.002929688 0.06851102 -0.005859375 0.1568866 "
                 "-0.6275464 -0.03137732 0.1255093 -0.2399573 0.1078612 0.5599004 -0.2516761 0.7182982 -1.943505 0 0 "
                 "1.343131 -0.6037395 -0.1918759 0.0862485 "
                 "-0.1692844 -0.05999056 0.182696 -0.015625 -1.641824 4.442298 3.070015 -1.379976"},
    {.op = "LinearAttention",
     IN("1x3x2 [0.125 0.125 -0.875 -0.5 1 0.875]", "1x3x2 [-1 0 0 0.375 -0.875 0]",
        "1x3x2 [-0.25 -0.625 0.625 0.375 -0.625 0.625]", "", "", "1x3x1 [0.125 -0.625 0.375]"),
     WITH(GRAD_INT("q_num_heads", 2), GRAD_INT("kv_num_heads", 2), GRAD_STRING("update_rule", "delta")),
     .outputs = 1,
     .expected = "0.00390625 0 -0.02734375 0.04394531 0.227356 -0.0769043"},
    {.op = "LinearAttention",
     IN("1x2x4 [-0.125 0 -0.25 1 -0.75 1 -0.625 0.625]", "1x2x4 [1 -0.75 0.875 -1 -0.25 0.125 0.5 -0.75]",
        "1x2x2 [-1 -0.375 0.875 -0.375]", "1x2x2x1 [0.125 -0.875 0.625 1]",
        "1x2x4 [-0.5 0.75 -0.25 -0.375 -0.375 -0.75 1 -0.875]", "1x2x2 [-0.125 0.25 0 -0.875]"),
     WITH(GRAD_INT("q_num_heads", 2), GRAD_INT("kv_num_heads", 2)),
     .outputs = 2,
     .expected = "-0.03393702 0.4244193 -0.8358573 -0.799595 "
                 "0.2638872 -0.9841653 1.596388 -0.2128887"},
    {.op = "CausalConvWithState",
     IN("1x2x3 [1 0.75 0.875 -0.75 -0.25 -0.25]", "2x1x2 [-0.375 -1 0.625 0.5]"),
     .outputs = 2,
     .expected = "-1 -1.125 -1.15625 -0.375 -0.59375 -0.28125 "
                 "0.875 -0.25"},
    {.op = "CausalConvWithState",
     IN("2x1x3 [-0.875 -0.625 -0.25 0.875 0.75 -0.75]", "1x1x3 [0.875 -0.5 -0.625]", "1 [1]",
        "2x1x2 [-0.875 -1 0.625 -0.5]"),
     WITH(GRAD_STRING("activation", "silu")),
     .outputs = 2,
     .expected = "1.002786 0.6879115 0.4703065 0.9716249 -0.1426215 1.608776 "
                 "-0.625 -0.25 0.75 -0.75"},
    {.op = "CausalConvWithState",
     IN("1x2x1 [0.25 -0.375]", "2x1x1 [-0.5 -0.25]"),
     WITH(GRAD_STRING("activation", "swish")),
     .outputs = 1,
     .expected = "-0.05859883 0.04907066"},
};
#define LINEAR_CASES 4

static const numbers_case shapes[] = {
    {.op = "LinearAttention",
     IN("NxTx8", "NxTx4", "NxTx6"),
     WITH(GRAD_INT("q_num_heads", 4), GRAD_INT("kv_num_heads", 2), GRAD_STRING("update_rule", "linear")),
     .outputs = 2,
     .expected = "float[N, T, 12] float[N, 2, 2, 3]"},
    {.op = "CausalConvWithState", IN("Nx2xL", "2x1x4"), .outputs = 2, .expected = "float[N, 2, L] float[N, 2, 3]"},
};

#define HEADS(q, kv) GRAD_INT("q_num_heads", q), GRAD_INT("kv_num_heads", kv)
static const numbers_case errors[] = {
    {.op = "LinearAttention", IN("NxTx8", "NxTx4", "NxTx4"), WITH(HEADS(3, 2)), .expected = "multiple"},
    {.op = "LinearAttention", IN("NxTx8", "NxTx4", "NxTx4"), WITH(HEADS(2, 2)), .expected = "needs a decay"},
    {.op = "LinearAttention",
     IN("NxTx8", "NxTx4", "NxTx4"),
     WITH(HEADS(2, 2), GRAD_STRING("update_rule", "linear")),
     .expected = "do not fit 2 and 2 heads"},
    {.op = "LinearAttention",
     IN("NxTx4", "NxTx4", "NxTx4"),
     WITH(HEADS(2, 2), GRAD_STRING("update_rule", "square")),
     .expected = "'square'"},
    {.op = "LinearAttention",
     IN("NxTx4", "NxTx4", "NxTx4", "", "NxTx3"),
     WITH(HEADS(2, 2), GRAD_STRING("update_rule", "gated")),
     .expected = "decay must be 2 or 4, found 3"},
    {.op = "LinearAttention",
     IN("NxTx4", "NxTx4", "NxTx4", "Nx2x2x3"),
     WITH(HEADS(2, 2), GRAD_STRING("update_rule", "linear")),
     .expected = "input 4 does not fit"},
    {.op = "CausalConvWithState", IN("Nx2xL", "3x1x4"), .expected = "weight[C, 1, k]"},
    {.op = "CausalConvWithState", IN("Nx2xL", "2x1x4", "2", "Nx2x4"), .expected = "past_state"},
    {.op = "CausalConvWithState",
     IN("Nx2xL", "2x1x4"),
     WITH(GRAD_STRING("activation", "relu")),
     .expected = "none, silu or swish, found 'relu'"},
};

START_TEST(PlainKernelIsRight)
{
    numbers_check_kernel(&results[_i]);
}
END_TEST

NUMBERS_MAIN("linear_attention", tcase_add_loop_test(all, PlainKernelIsRight, 0, LINEAR_CASES))
