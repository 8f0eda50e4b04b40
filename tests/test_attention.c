/* Attention and what belongs to it. Known results: the definitions, in double. */
#include "tests/gradcheck.h"
#include "tests/numbers.h"

/* Two queries, three keys. */
#define QKV "1x1x2x2 [1 0 0 1]", "1x1x3x2 [1 2 3 -1 0 1]", "1x1x3x1 [1 2 3]"

static const numbers_case results[] = {
    {.op = "Attention", IN(QKV), .expected = "1.909579 1.68571"},
    {.op = "Attention", IN(QKV), WITH(GRAD_INT("is_causal", 1)), .expected = "1 1.107042"},
    {.op = "Attention",
     IN(QKV),
     WITH(GRAD_FLOAT("scale", 2), GRAD_FLOAT("softcap", 1.5)),
     .outputs = 4,
     .expected = "1.706714 1.912911 1 2 3 -1 0 1 1 2 3 2 6 0 4 -2 2"},
    {.op = "Attention",
     IN(QKV, "1x3 [1 0 0]"),
     WITH(GRAD_FLOAT("scale", 2), GRAD_FLOAT("softcap", 1.5), GRAD_INT("qk_matmul_output_mode", 1)),
     .outputs = 4,
     .expected = "1.417821 1.478928 1 2 3 -1 0 1 1 2 3 1.305092 1.498994 0 1.485586 -1.305092 1.305092"},
    {.op = "Attention",
     IN(QKV, "1x3 [1 0 0]"),
     WITH(GRAD_FLOAT("scale", 2), GRAD_FLOAT("softcap", 1.5), GRAD_INT("qk_matmul_output_mode", 2)),
     .outputs = 4,
     .expected = "1.417821 1.478928 1 2 3 -1 0 1 1 2 3 2.305092 1.498994 0 2.485586 -1.305092 1.305092"},
    {.op = "Attention",
     IN(QKV),
     WITH(GRAD_FLOAT("scale", 2), GRAD_FLOAT("softcap", 1.5), GRAD_INT("qk_matmul_output_mode", 3)),
     .outputs = 4,
     .expected = "1.706714 1.912911 1 2 3 -1 0 1 1 2 3 "
                 "0.4023944 0.4884974 0.1091082 0.52736 0.03236913 0.4402709"},
    /* a query that sees no key: zeros */
    {.op = "Attention", IN(QKV, "bool 2x3 [1 0 1 0 0 0]"), .expected = "1.660477 0"},
    {.op = "Attention", IN(QKV, "2x3 [0 -inf 0 -inf -inf -inf]"), .expected = "1.660477 0"},
    {.op = "Attention", IN(QKV, "2x2 [1 -inf 0 2]"), .expected = "1 1.469707"}, /* short: the rest is hidden */
    {.op = "Attention", IN(QKV, "bool 1x1 [1]"), .expected = "1 1"},
    /* what is hidden may be anything */
    {.op = "Attention", IN("1x1x1x1 [1]", "1x1x2x1 [inf 1]", "1x1x2x1 [3 4]", "2 [-inf 0]"), .expected = "4"},
    {.op = "Attention", /* two heads of queries share one of keys */
     IN("1x1x4 [1 0 2 1]", "1x2x2 [1 2 0 1]", "1x2x1 [1 3]"),
     WITH(GRAD_INT("q_num_heads", 2), GRAD_INT("kv_num_heads", 1)),
     .expected = "1.660477 1.214084"},
    {.op = "Attention",
     IN("1x1x2x2 [1 0 0 1]", "1x1x2x2 [1 2 3 -1]", "1x1x2x1 [1 2]", "", "1x1x1x2 [2 0]", "1x1x1x1 [5]"),
     WITH(GRAD_INT("is_causal", 1)),
     .outputs = 3,
     .expected = "3.679046 1.801429 2 0 1 2 3 -1 5 1 2"},
    {.op = "Attention", IN(QKV, "", "", "", "int 1 [1]"), WITH(GRAD_INT("is_causal", 1)), .expected = "0 1"},
    {.op = "Attention",
     IN(QKV, "", "", "", "int 1 [3]"),
     WITH(GRAD_INT("is_causal", 1)),
     .expected = "1.80443 1.68571"},
    {.op = "Attention",
     IN("1x1x3x2 [1 0 0 1 1 1]", "1x1x3x2 [1 2 3 -1 0 1]", "1x1x3x1 [1 2 3]"),
     WITH(GRAD_INT("left_window_size", 1), GRAD_INT("right_window_size", 0)),
     .expected = "1 1.107042 2.330238"},
    /* a quarter turn: (a, b) -> (-b, a) */
    {.op = "RotaryEmbedding", IN("1x1x1x4 [1 2 3 4]", "1x1x2 [0 0]", "1x1x2 [1 1]"), .expected = "-3 -4 1 2"},
    {.op = "RotaryEmbedding",
     IN("1x1x1x4 [1 2 3 4]", "1x1x2 [0 0]", "1x1x2 [1 1]"),
     WITH(GRAD_INT("interleaved", 1)),
     .expected = "-2 1 -4 3"},
    {.op = "RotaryEmbedding", /* of two heads half turns, at positions 1 and 0 */
     IN("1x2x4 [1 2 3 4 5 6 7 8]", "2x1 [1 0]", "2x1 [0 1]", "int 1x2 [1 0]"),
     WITH(GRAD_INT("num_heads", 1), GRAD_INT("rotary_embedding_dim", 2)),
     .expected = "-2 1 3 4 5 6 7 8"},
};

static const numbers_case shapes[] = {
    {.op = "Attention",
     IN("Nx8xLx16", "Nx2xSx16", "Nx2xSxE"),
     .outputs = 4,
     .expected = "float[N, 8, L, E] float[N, 2, S, 16] float[N, 2, S, E] float[N, 8, L, S]"},
    {.op = "Attention",
     IN("NxLx16", "NxSx8", "NxSx4", "bool LxS"),
     WITH(GRAD_INT("q_num_heads", 4), GRAD_INT("kv_num_heads", 2), GRAD_INT("is_causal", 1)),
     .outputs = 4,
     .expected = "float[N, L, 8] float[N, 2, S, 4] float[N, 2, S, 2] float[N, 4, L, S]"},
    {.op = "Attention",
     IN("float16 Nx1xLx4", "float16 Nx1xLx4", "float16 Nx1xLx4", "", "float16 Nx1xPx4", "float16 Nx1xPx4"),
     WITH(GRAD_INT("is_causal", 1)),
     .outputs = 2,
     .expected = "float16[N, 1, L, 4] float16[N, 1, L + P, 4]"},
    {.op = "RotaryEmbedding", IN("NxHxLx8", "Px4", "Px4", "int NxL"), .expected = "float[N, H, L, 8]"},
    {.op = "RotaryEmbedding",
     IN("NxLx8", "NxLx2", "NxLx2"),
     WITH(GRAD_INT("num_heads", 2)),
     .expected = "float[N, L, 8]"},
};

static const numbers_case errors[] = {
    {.op = "Attention", IN("Nx8", "Nx8", "Nx8"), .expected = "rank, 3 or 4"},
    {.op = "Attention", IN("NxLx8", "NxSx8", "NxSx8"), .expected = "need the attribute q_num_heads"},
    {.op = "Attention",
     IN("NxLx8", "NxSx8", "NxSx8"),
     WITH(GRAD_INT("q_num_heads", 3), GRAD_INT("kv_num_heads", 3)),
     .expected = "does not divide"},
    {.op = "Attention", IN("Nx3xLx8", "Nx2xSx8", "Nx2xSx8"), .expected = "no multiple"},
    {.op = "Attention", IN("Nx2xLx8", "Nx2xSx8", "Nx1xSx8"), .expected = "K has 2 heads and V 1"},
    {.op = "Attention", IN("NxHxLx8", "Nx2xSx8", "Nx2xSx8"), .expected = "must be known"},
    {.op = "Attention", IN("Nx2xLx8", "Nx2xSx7", "Nx2xSx8"), .expected = "do not fit"},
    {.op = "Attention", IN("Nx2xLx8", "Nx2xSx8", "Nx2xLx8"), .expected = "do not fit"},
    {.op = "Attention", IN("Nx2xLx8", "double Nx2xSx8", "Nx2xSx8"), .expected = "same type"},
    {.op = "Attention", IN("2x2x3x8", "2x2x3x8", "2x2x3x8", "2x4"), .expected = "does not broadcast"},
    {.op = "Attention", IN("2x2x3x8", "2x2x3x8", "2x2x3x8", "3x2x3x3"), .expected = "does not broadcast"},
    {.op = "Attention", IN("2x2x3x8", "2x2x3x8", "2x2x3x8", "", "2x2x1x8"), .expected = "together"},
    {.op = "Attention", IN("2x2x3x8", "2x2x3x8", "2x2x3x8", "", "2x2x1x7", "2x2x1x8"), .expected = "must be float["},
    {.op = "Attention",
     IN("2x2x3x8", "2x2x3x8", "2x2x3x8", "", "2x2x1x8", "2x2x1x8", "int 2"),
     .expected = "does not go with"},
    {.op = "Attention", IN("2x2x3x8", "2x2x3x8", "2x2x3x8", "", "", "", "int 3"), .expected = "one int64 per example"},
    {.op = "Attention", IN(QKV), WITH(GRAD_INT("qk_matmul_output_mode", 4)), .expected = "qk_matmul_output_mode"},
    {.op = "Attention", IN(QKV), WITH(GRAD_INT("left_window_size", -2)), .expected = "window size"},
    {.op = "Attention", IN(QKV), WITH(GRAD_FLOAT("softcap", -1)), .expected = "softcap"},
    {.op = "Attention", IN(QKV), WITH(GRAD_INT("softmax_precision", 7)), .expected = "softmax_precision"},
    {.op = "RotaryEmbedding", IN("NxL", "NxLx2", "NxLx2"), .expected = "rank 3 or 4"},
    {.op = "RotaryEmbedding", IN("NxLx8", "NxLx2", "NxLx2"), .expected = "needs num_heads"},
    {.op = "RotaryEmbedding", IN("NxHxLx7", "NxLx2", "NxLx2"), .expected = "even part"},
    {.op = "RotaryEmbedding", IN("NxHxLx8", "NxLx2", "NxLx2"), .expected = "must be 4"},
    {.op = "RotaryEmbedding", IN("NxHxLx8", "NxLx4", "NxLx4", "int NxL"), .expected = "position_ids"},
    {.op = "RotaryEmbedding", IN("NxHxLx8", "Px4", "Px4"), .expected = "position_ids"},
    {.op = "RotaryEmbedding", IN("NxHxLx8", "NxLx4", "double NxLx4"), .expected = "must be float like X"},
};

START_TEST(ResultsAreRight)
{
    numbers_check_result(&results[_i]);
}
END_TEST

START_TEST(ShapesAreInferredSymbolically)
{
    numbers_check_shape(&shapes[_i]);
}
END_TEST

START_TEST(WrongNodesAreRefused)
{
    numbers_check_error(&errors[_i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attention");
    TCase *all = tcase_create("attention");
    SRunner *runner;
    int failed;
    tcase_add_loop_test(all, ResultsAreRight, 0, (int)GM_COUNT(results));
    tcase_add_loop_test(all, ShapesAreInferredSymbolically, 0, (int)GM_COUNT(shapes));
    tcase_add_loop_test(all, WrongNodesAreRefused, 0, (int)GM_COUNT(errors));
    suite_add_tcase(suite, all);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
