/* Quantized arithmetic: QuantizeLinear to QLinearConv. */
#include "tests/gradcheck.h"
#include "tests/numbers.h"

static const numbers_case results[] = {
    /* halves go to even numbers; beyond the range is its end */
    {.op = "QuantizeLinear", IN("6 [0 1 3 5 -1 1000]", "scalar [2]"), .expected = "0 0 2 2 0 255"},
    {.op = "QuantizeLinear", IN("5 [1 3 -1000 1000 4]", "scalar [2]", "int8 scalar [1]"), .expected = "1 3 -128 127 3"},
    {.op = "QuantizeLinear", IN("2 [-1e9 1e9]", "scalar [1]", "int16 scalar [5]"), .expected = "-32768 32767"},
    {.op = "QuantizeLinear", IN("2 [-1e9 1e9]", "1 [1]", "uint16 1 [5]"), .expected = "0 65535"},
    {.op = "QuantizeLinear", IN("2x2 [1 2 3 4]", "2 [1 2]", "uint8 2 [10 20]"), .expected = "11 21 13 22"},
    {.op = "QuantizeLinear",
     IN("2x2 [1 2 3 4]", "2 [1 2]", "uint8 2 [10 20]"),
     WITH(GRAD_INT("axis", -2)),
     .expected = "11 12 22 22"},
    {.op = "QuantizeLinear",
     IN("1x5 [2 4 6 8 10]", "1x3 [1 2 5]"),
     WITH(GRAD_INT("block_size", 2), GRAD_INT("output_dtype", GM_INT8)),
     .expected = "2 4 3 4 2"},
    {.op = "QuantizeLinear", IN("int32 2 [7 -9]", "int32 scalar [2]", "int8 scalar [0]"), .expected = "4 -4"},
    {.op = "QuantizeLinear", /* 2049 is no float16, 2049 / 2 is */
     IN("1 [2049]", "float16 scalar [2]", "int16 scalar [0]"),
     WITH(GRAD_INT("precision", GM_FLOAT)),
     .expected = "1024"},
    {.op = "DequantizeLinear", IN("uint8 3 [0 128 255]", "scalar [2]", "uint8 scalar [128]"), .expected = "-256 0 254"},
    {.op = "DequantizeLinear", IN("int32 2 [16777217 -3]", "double scalar [1]"), .expected = "16777217 -3"},
    {.op = "DequantizeLinear", IN("int8 2x2 [1 2 3 4]", "2 [1 2]"), .expected = "1 4 3 8"},
    {.op = "DequantizeLinear",
     IN("int8 1x3 [1 2 3]", "1x2 [1 2]", "int8 1x2 [0 1]"),
     WITH(GRAD_INT("block_size", 2)),
     .expected = "1 2 4"},
    {.op = "DynamicQuantizeLinear", IN("4 [0 2 -3 1.275]"), .outputs = 3, .expected = "153 255 0 218 0.0196078 153"},
    {.op = "DynamicQuantizeLinear", IN("2 [0 0]"), .outputs = 3, .expected = "0 0 0.003921569 0"},
    {.op = "MatMulInteger",
     IN("uint8 2x3 [1 2 3 255 255 255]", "int8 3x2 [1 -1 1 -1 1 -128]"),
     .expected = "6 -387 765 -33150"},
    {.op = "MatMulInteger",
     IN("uint8 2x2 [1 2 3 4]", "uint8 2x2 [1 2 3 4]", "uint8 2 [1 3]", "uint8 2 [0 4]"),
     .expected = "3 0 3 0"},
    {.op = "QLinearMatMul",
     IN("uint8 1x2 [3 5]", "scalar [0.5]", "uint8 scalar [1]", "int8 2x1 [4 -1]", "scalar [0.5]", "int8 scalar [0]",
        "scalar [1]", "uint8 scalar [3]"),
     .expected = "4"},      /* (8 - 4) / 4 + 3 */
    {.op = "QLinearMatMul", /* rounded to even before the zero point comes to it: 2.5 + 1 is 3, not 4 */
     IN("uint8 1x1 [5]", "scalar [0.5]", "uint8 scalar [0]", "uint8 1x1 [1]", "scalar [1]", "uint8 scalar [0]",
        "scalar [1]", "uint8 scalar [1]"),
     .expected = "3"},
    {.op = "QLinearMatMul", /* scales of rows and columns */
     IN("uint8 2x1 [1 1]", "2 [1 2]", "uint8 2 [0 0]", "uint8 1x2 [1 1]", "2 [1 10]", "uint8 2 [0 0]", "scalar [1]",
        "uint8 scalar [0]"),
     .expected = "1 10 2 20"},
    {.op = "ConvInteger", /* the pads count as the zero point */
     IN("uint8 1x1x3 [2 3 4]", "uint8 1x1x2 [1 1]", "uint8 scalar [1]"),
     WITH(GRAD_INTS("pads", 1, 0)),
     .expected = "1 3 5"},
    {.op = "ConvInteger",
     IN("uint8 1x1x1x2 [2 3]", "int8 2x1x1x1 [1 1]", "uint8 scalar [0]", "int8 2 [0 -1]"),
     .expected = "2 3 4 6"},
    {.op = "QLinearConv",
     IN("uint8 1x1x2 [2 3]", "scalar [0.5]", "uint8 scalar [1]", "int8 2x1x1 [2 4]", "2 [1 0.5]", "int8 2 [0 0]",
        "scalar [0.25]", "uint8 scalar [10]", "int32 2 [1 -100]"),
     .expected = "16 20 0 0"},
};

static const numbers_case shapes[] = {
    {.op = "QuantizeLinear", IN("NxCxH", "C", "int8 C"), .expected = "int8[N, C, H]"},
    {.op = "QuantizeLinear", IN("float16 NxC", "scalar"), .expected = "uint8[N, C]"},
    {.op = "DequantizeLinear", IN("uint16 NxC", "float16 C"), .expected = "float16[N, C]"},
    {.op = "DequantizeLinear", IN("int8 Nx5", "Nx3"), WITH(GRAD_INT("block_size", 2)), .expected = "float[N, 5]"},
    {.op = "DynamicQuantizeLinear", IN("NxC"), .outputs = 3, .expected = "uint8[N, C] float uint8"},
    {.op = "MatMulInteger", IN("uint8 Nx3", "int8 3x2"), .expected = "int32[N, 2]"},
    {.op = "ConvInteger", IN("uint8 Nx1x4x4", "int8 2x1x3x3"), .expected = "int32[N, 2, 2, 2]"},
    {.op = "QLinearMatMul",
     IN("int8 Nx3", "scalar", "int8 scalar", "uint8 3x2", "scalar", "uint8 scalar", "scalar", "uint8 scalar"),
     .expected = "uint8[N, 2]"},
    {.op = "QLinearConv",
     IN("int8 Nx3x5", "scalar", "int8 scalar", "uint8 2x3x3", "2", "uint8 2", "scalar", "uint8 scalar"),
     .expected = "uint8[N, 2, 3]"},
};

static const numbers_case errors[] = {
    {.op = "QuantizeLinear", IN("2x3", "2"), .expected = "fits neither"},
    {.op = "QuantizeLinear", IN("2x3", "2x3"), .expected = "give block_size"},
    {.op = "QuantizeLinear", IN("2x3", "3", "uint8 2"), .expected = "different shapes"},
    {.op = "QuantizeLinear", IN("2x3", "scalar", "int32 scalar"), .expected = "must be int8"},
    {.op = "QuantizeLinear", IN("2x3", "scalar"), WITH(GRAD_INT("output_dtype", 17)), .expected = "found 17"},
    {.op = "QuantizeLinear",
     IN("2", "scalar", "int8 scalar"),
     WITH(GRAD_INT("output_dtype", GM_UINT8)),
     .expected = "must be equal"},
    {.op = "QuantizeLinear", IN("2", "scalar"), WITH(GRAD_INT("precision", GM_INT8)), .expected = "precision"},
    {.op = "QuantizeLinear", IN("2x4", "2x3"), WITH(GRAD_INT("block_size", 2)), .expected = "does not fit"},
    {.op = "QuantizeLinear", IN("2x4", "2x3"), WITH(GRAD_INT("block_size", -1)), .expected = "negative"},
    {.op = "QuantizeLinear", IN("2xN", "2x3"), WITH(GRAD_INT("block_size", 2)), .expected = "known size"},
    {.op = "QuantizeLinear", IN("2x4", "4"), WITH(GRAD_INT("axis", 2)), .expected = "outside"},
    {.op = "DequantizeLinear", IN("int8 2", "scalar", "uint8 scalar"), .expected = "must be int8, found uint8"},
    {.op = "DequantizeLinear", IN("int8 2", "int scalar"), .expected = "must be floating"},
    {.op = "DequantizeLinear", IN("int8 2", "scalar"), WITH(GRAD_INT("output_dtype", 2)), .expected = "output_dtype"},
    {.op = "MatMulInteger", IN("uint8 2x3", "int8 2x3"), .expected = "do not fit"},
    {.op = "MatMulInteger", IN("uint8 2x3", "int8 3x2", "uint8 3"), .expected = "per row"},
    {.op = "MatMulInteger", IN("uint8 2x3", "int8 3x2", "int8 scalar"), .expected = "must be uint8"},
    {.op = "MatMulInteger", IN("uint8 3", "int8 3x2", "uint8 3"), .expected = "per row"},
    {.op = "ConvInteger", IN("uint8 1x1x3", "uint8 1x1x2", "uint8 3"), .expected = "must be one number"},
    {.op = "ConvInteger", IN("uint8 1x1x3", "uint8 1x1x2", "", "uint8 2"), .expected = "one per output channel"},
    {.op = "QLinearMatMul",
     IN("int8 2x3", "scalar", "int8 scalar", "uint8 3x2", "scalar", "uint8 scalar", "2", "uint8 2"),
     .expected = "must be one number"},
    {.op = "QLinearConv",
     IN("int8 1x3x5", "scalar", "int8 scalar", "uint8 2x3x3", "3", "uint8 3", "scalar", "uint8 scalar"),
     .expected = "one per output channel"},
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
    Suite *suite = suite_create("quantize");
    TCase *all = tcase_create("quantize");
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
