/* Operators that change shapes or move elements: symbolic shapes, messages, known results, fast kernels. */
#include "tests/gradcheck.h"
#include "tests/lower_check.h"
#include "tests/numbers.h"

static const numbers_case shapes[] = {
    {.op = "Shape", IN("Nx3x4"), .expected = "int64[3]"},
    {.op = "Shape", IN("Nx3x4"), WITH(GRAD_INT("start", -2)), .expected = "int64[2]"},
    {.op = "Reshape", IN("Nx784", "int 4 [0 1 28 28]"), .expected = "float[N, 1, 28, 28]"},
    {.op = "Reshape", IN("Nx1x28x28", "int 2 [-1 784]"), .expected = "float[N, 784]"},
    {.op = "Reshape", IN("Nx1x28x28", "int 2 [0 -1]"), .expected = "float[N, 784]"},
    {.op = "Reshape", IN("Nx6", "int 1 [-1]"), .expected = "float[6*N]"},
    {.op = "Reshape", IN("NxC", "shape 0"), .expected = "float[N, C]"},
    {.op = "Reshape", IN("Nx4", "int 2 [32 2]"), .expected = "float[32, 2]"}, /* 16 x 4 when bound */
    {.op = "Reshape", IN("0x4", "int 2 [0 2]"), WITH(GRAD_INT("allowzero", 1)), .expected = "float[0, 2]"},
    {.op = "Flatten", IN("Nx3x4"), .expected = "float[N, 12]"},
    {.op = "Flatten", IN("NxCx4"), WITH(GRAD_INT("axis", 2)), .expected = "float[N*C, 4]"},
    {.op = "Flatten", IN("Nx3"), WITH(GRAD_INT("axis", 0)), .expected = "float[1, 3*N]"},
    {.op = "Squeeze", IN("Nx1x1"), .expected = "float[N]"},
    {.op = "Squeeze", IN("Nx1x1", "int 1 [-1]"), .expected = "float[N, 1]"},
    {.op = "Unsqueeze", IN("NxC", "int 2 [0 -1]"), .expected = "float[1, N, C, 1]"},
    {.op = "Transpose", IN("Nx3x4"), .expected = "float[4, 3, N]"},
    {.op = "Expand", IN("3x1", "shape 0"), .expected = "float[3, 1]"},
    {.op = "Expand", IN("Nx1", "int 3 [2 1 4]"), .expected = "float[2, N, 4]"},
    {.op = "ConstantOfShape", IN("int 2 [2 3]"), .expected = "float[2, 3]"},
    {.op = "Range", IN("int scalar [0]", "int scalar [10]", "int scalar [3]"), .expected = "int64[4]"},
    {.op = "Concat", IN("Nx2", "Nx3"), WITH(GRAD_INT("axis", 1)), .expected = "float[N, 5]"},
    {.op = "Concat", IN("Nx2", "Nx2", "5x2"), WITH(GRAD_INT("axis", 0)), .expected = "float[2*N + 5, 2]"},
    {.op = "Slice", IN("Nx10", "int 1 [2]", "int 1 [-1]", "int 1 [1]"), .expected = "float[N, 7]"},
    {.op = "Slice", IN("Nx10", "int 1 [1]", "int 1 [9223372036854775807]"), .expected = "float[N - 1, 10]"},
    {.op = "Slice", IN("Nx10", "int 1 [9]", "int 1 [-99]", "int 1 [1]", "int 1 [-3]"), .expected = "float[N, 4]"},
    {.op = "Split",
     IN("Nx5"),
     WITH(GRAD_INT("axis", 1), GRAD_INT("num_outputs", 2)),
     .outputs = 2,
     .expected = "float[N, 3] float[N, 2]"},
    {.op = "Split",
     IN("Nx5", "int 3 [1 0 4]"),
     WITH(GRAD_INT("axis", 1)),
     .outputs = 3,
     .expected = "float[N, 1] float[N, 0] float[N, 4]"},
    {.op = "Gather", IN("Nx3", "int 2x2 [0 0 0 0]"), WITH(GRAD_INT("axis", 1)), .expected = "float[N, 2, 2]"},
    {.op = "Gather", IN("1000x3", "int N"), .expected = "float[N, 3]"},
    {.op = "OneHot", IN("int N", "int scalar [10]", "2 [0 1]"), .expected = "float[N, 10]"},
    {.op = "Pad", IN("Nx3", "int 4 [0 1 0 2]"), .expected = "float[N, 6]"},
    {.op = "gmodel.SumTo", IN("Nx3", "int 2 [1 3]"), .expected = "float[1, 3]"},
    {.op = "TopK", IN("Nx9", "int 1 [4]"), .outputs = 2, .expected = "float[N, 4] int64[N, 4]"},
};

static const numbers_case errors[] = {
    {.op = "Reshape", IN("2x3", "int 2 [4 -1]"), .expected = "not a multiple"},
    {.op = "Reshape", IN("2x3", "int 2 [-1 -1]"), .expected = "more than once"},
    {.op = "Reshape", IN("2x3", "int 2 [2 4]"), .expected = "6 elements"},
    {.op = "Reshape", IN("2x3", "int 3 [2 3 0]"), .expected = "no such axis"},
    {.op = "Squeeze", IN("2x3", "int 1 [0]"), .expected = "size 1"},
    {.op = "Unsqueeze", IN("2x3", "int 1 [3]"), .expected = "outside"},
    {.op = "Transpose", IN("2x3"), WITH(GRAD_INTS("perm", 0, 0)), .expected = "once each"},
    {.op = "Expand", IN("2x3", "int 2 [2 4]"), .expected = "does not expand"},
    {.op = "Concat", IN("2x3", "2x4"), WITH(GRAD_INT("axis", 0)), .expected = "only axis 0 may differ"},
    {.op = "Slice", IN("2x3", "int 1 [0]", "int 1 [1]", "int 1 [2]"), .expected = "outside"},
    {.op = "Slice", IN("2x3", "int 1 [0]", "int 1 [1]", "int 1 [1]", "int 1 [0]"), .expected = "step"},
    {.op = "Split", IN("2x3", "int 2 [1 1]"), WITH(GRAD_INT("axis", 1)), .outputs = 2, .expected = "add up"},
    {.op = "Gather", IN("2x3", "2"), .expected = "indices must be int"},
    {.op = "gmodel.SumTo", IN("2x3", "int 2 [2 2]"), .expected = "does not sum"},
    {.op = "Range", IN("int scalar [0]", "int scalar [9]", "int scalar [0]"), .expected = "no valid number"},
    {.op = "TopK", IN("2x3", "int 1 [4]"), .expected = "has 3 elements"},
    {.op = "Pad", IN("2x3", "int 2 [1 1]"), .expected = "two per axis"},
    {.op = "Pad", IN("N", "int 2 [-9e18 9e18]"), .expected = "too large"},
};

static const numbers_case results[] = {
    {.op = "Shape", IN("2x3 [1 2 3 4 5 6]"), .expected = "2 3"},
    {.op = "Size", IN("2x3 [1 2 3 4 5 6]"), .expected = "6"},
    {.op = "Range", IN("int scalar [10]", "int scalar [3]", "int scalar [-3]"), .expected = "10 7 4"},
    {.op = "Range", IN("scalar [0]", "scalar [1]", "scalar [0.25]"), .expected = "0 0.25 0.5 0.75"},
    {.op = "ConstantOfShape", IN("int 1 [3]"), .expected = "0 0 0"},
    {.op = "Transpose", IN("2x3 [1 2 3 4 5 6]"), .expected = "1 4 2 5 3 6"},
    {.op = "Expand", IN("2x1 [1 2]", "int 2 [1 3]"), .expected = "1 1 1 2 2 2"},
    {.op = "Concat", IN("2x1 [1 2]", "2x2 [3 4 5 6]"), WITH(GRAD_INT("axis", 1)), .expected = "1 3 4 2 5 6"},
    {.op = "Concat",
     IN("1 [1]", "1 [2]", "1 [3]", "1 [4]", "1 [5]", "1 [6]", "1 [7]", "1 [8]", "1 [9]"),
     WITH(GRAD_INT("axis", 0)),
     .expected = "1 2 3 4 5 6 7 8 9"},
    {.op = "Slice", IN("5 [0 1 2 3 4]", "int 1 [-1]", "int 1 [-9]", "int 1 [0]", "int 1 [-2]"), .expected = "4 2 0"},
    {.op = "Slice", IN("5 [0 1 2 3 4]", "int 1 [3]", "int 1 [99]"), .expected = "3 4"},
    {.op = "Slice", IN("5 [0 1 2 3 4]", "int 1 [3]", "int 1 [1]"), .expected = ""},
    {.op = "gmodel.SliceGrad",
     IN("2 [1 2]", "int 1 [5]", "int 1 [3]", "int 1 [0]", "int 1 [0]", "int 1 [-2]"),
     .expected = "0 2 0 1 0"},
    {.op = "Split", IN("5 [0 1 2 3 4]"), WITH(GRAD_INT("num_outputs", 3)), .outputs = 3, .expected = "0 1 2 3 4"},
    {.op = "Split", IN("9 [0 1 2 3 4 5 6 7 8]"), .outputs = 9, .expected = "0 1 2 3 4 5 6 7 8"},
    {.op = "Gather", IN("3x2 [0 1 2 3 4 5]", "int 2 [-1 0]"), .expected = "4 5 0 1"},
    {.op = "Gather", IN("3x2 [0 1 2 3 4 5]", "int 1 [1]"), WITH(GRAD_INT("axis", 1)), .expected = "1 3 5"},
    {.op = "gmodel.GatherGrad", IN("3x2 [1 2 3 4 5 6]", "int 3 [1 0 1]", "int 2 [3 2]"), .expected = "3 4 6 8 0 0"},
    {.op = "GatherElements",
     IN("2x2 [1 2 3 4]", "int 2x2 [0 0 1 0]"),
     WITH(GRAD_INT("axis", 1)),
     .expected = "1 1 4 3"},
    {.op = "GatherElements", IN("3x2 [1 2 3 4 5 6]", "int 1x2 [-1 1]"), .expected = "5 4"},
    {.op = "OneHot", IN("int 3 [1 -1 9]", "int scalar [3]", "2 [0 5]"), .expected = "0 5 0 0 0 5 0 0 0"},
    {.op = "OneHot", IN("int 2 [0 1]", "int 1 [2]", "2 [0 1]"), WITH(GRAD_INT("axis", 0)), .expected = "1 0 0 1"},
    {.op = "Pad", IN("3 [1 2 3]", "int 2 [2 1]", "scalar [9]"), .expected = "9 9 1 2 3 9"},
    {.op = "Pad", IN("3 [1 2 3]", "int 2 [2 1]"), WITH(GRAD_STRING("mode", "reflect")), .expected = "3 2 1 2 3 2"},
    {.op = "Pad", IN("3 [1 2 3]", "int 2 [1 2]"), WITH(GRAD_STRING("mode", "edge")), .expected = "1 1 2 3 3 3"},
    {.op = "Pad", IN("3 [1 2 3]", "int 2 [1 2]"), WITH(GRAD_STRING("mode", "wrap")), .expected = "3 1 2 3 1 2"},
    {.op = "Pad", IN("3 [1 2 3]", "int 2 [-1 1]"), .expected = "2 3 0"},
    {.op = "Pad", /* what one end crops, the other does not see */
     IN("5 [1 2 3 4 5]", "int 2 [3 -2]"),
     WITH(GRAD_STRING("mode", "wrap")),
     .expected = "1 2 3 1 2 3"},
    {.op = "Pad", IN("5 [1 2 3 4 5]", "int 2 [-2 3]"), WITH(GRAD_STRING("mode", "reflect")), .expected = "3 4 5 4 3 4"},
    {.op = "TopK", IN("5 [1 4 2 4 3]", "int 1 [3]"), .outputs = 2, .expected = "4 4 3 1 3 4"},
    {.op = "TopK", IN("5 [1 4 2 4 3]", "int 1 [2]"), WITH(GRAD_INT("largest", 0)), .outputs = 2, .expected = "1 2 0 2"},
    {.op = "Concat",
     IN("int 1 [1]", "int 2 [9223372036854775807 3]"),
     WITH(GRAD_INT("axis", 0)),
     .expected = "1 9223372036854775807 3"},
    {.op = "Transpose", IN("bool 2x2 [1 1 0 0]"), .expected = "1 0 1 0"},
};

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

START_TEST(ResultsAreRight)
{
    numbers_check_result(&results[_i]);
}
END_TEST

START_TEST(IndicesOutsideAreErrorsAtRunTime)
{
    static const numbers_case cases[] = {
        {.op = "Gather", IN("3x2 [0 1 2 3 4 5]", "int 1 [3]")},
        {.op = "Gather", IN("3x2 [0 1 2 3 4 5]", "int 1 [-4]")},
        {.op = "GatherElements", IN("2x2 [1 2 3 4]", "int 2x2 [0 0 2 0]")},
        {.op = "gmodel.GatherGrad", IN("1x2 [1 2]", "int 1 [7]", "int 2 [3 2]")},
        {.op = "gmodel.GatherElementsGrad", IN("1x2 [1 2]", "int 1x2 [7 0]", "int 2 [3 2]")},
    };
    for (size_t i = 0; i < GM_COUNT(cases); i++) {
        numbers n;
        gm_tensor *values;
        numbers_begin(&n);
        numbers_build(&n, &cases[i]);
        ck_assert_int_eq(n.graph->status, GM_OK);
        ck_assert_int_eq(gm_graph_interpret(n.graph, n.pool, NULL, NULL, 1, 0, &values), GM_ERROR_DATA);
        ck_assert_ptr_nonnull(strstr(gm_context_message(n.context), "outside"));
        numbers_end(&n);
    }
}
END_TEST

START_TEST(ContentsPassThroughShapeArithmetic)
{
    /* Reshape(x, Concat(Shape(x)[0:1], [-1])): what frameworks write for "flatten all but the batch" */
    numbers n;
    gm_value_id x, first, shape;
    gm_attribute axis = gm_attribute_int("axis", 0);
    char text[160];
    numbers_begin(&n);
    x = numbers_input(&n, "Nx3x4", 0);
    shape = gm_emit1(n.graph, "Shape", x);
    first = gm_emit2(n.graph, "Gather", shape, gm_const_ints(n.graph, (int64_t[]){0}, 1));
    shape = gm_emit(n.graph, "Concat", (gm_value_id[]){first, gm_const_ints(n.graph, (int64_t[]){-1}, 1)}, 2, &axis, 1);
    x = gm_emit2(n.graph, "Reshape", x, shape);
    ck_assert_int_eq(n.graph->status, GM_OK);
    ck_assert_str_eq(gm_shape_text(n.graph, x, text, sizeof text), "float[N, 12]");
    numbers_end(&n);
}
END_TEST

/* --- Fast kernels against the reference
 * --------------------------------------------------------------------------------- */

static lower_check check;

static void setup(void)
{
    lower_check_begin(&check);
}

static void teardown(void)
{
    lower_check_end(&check);
}

static gm_tensor *ints(size_t count, const int64_t *values)
{
    gm_tensor *tensor = gm_tensor_create(check.pool, GM_INT64, 1, (int64_t[]){(int64_t)count});
    for (size_t i = 0; i < count; i++)
        gm_set_int(tensor, (int64_t)i, values[i]);
    return tensor;
}

static void random_dims(int rank, int64_t *dims, int64_t most)
{
    for (int i = 0; i < rank; i++)
        dims[i] = lower_draw_int(&check, 1, most);
}

static const gm_type types[] = {GM_FLOAT, GM_INT64, GM_BOOL, GM_FLOAT16, GM_DOUBLE};

START_TEST(TransposeLikeReference)
{
    int rank;
    int64_t dims[5], perm[5];
    gm_attribute attribute;
    for (int turn = 0; turn < 30; turn++) {
        rank = (int)lower_draw_int(&check, 1, 5);
        random_dims(rank, dims, turn % 5 == 0 ? 40 / rank : 9);
        for (int i = 0; i < rank; i++) {
            int64_t j = lower_draw_int(&check, 0, i);
            perm[i] = perm[j];
            perm[j] = i;
        }
        attribute = gm_attribute_ints("perm", perm, (size_t)rank);
        lower_check_node(&check, "Transpose", (gm_tensor *[]){lower_random(&check, types[turn % 5], rank, dims, -9, 9)},
                         1, &attribute, 1, 1, NULL, 0);
        ck_assert(check.lowered);
    }
    attribute = gm_attribute_ints("perm", (int64_t[]){1, 0}, 2);
    lower_check_node(&check, "Transpose",
                     (gm_tensor *[]){lower_random(&check, GM_FLOAT, 2, (int64_t[]){301, 211}, -1, 1)}, 1, &attribute, 1,
                     1, NULL, 0);
}
END_TEST

START_TEST(ExpandLikeReference)
{
    for (int turn = 0; turn < 30; turn++) {
        int64_t dims[5], target[5];
        random_dims(5, target, turn % 5 ? 5 : 9);
        for (int i = 0; i < 5; i++)
            dims[i] = lower_draw_int(&check, 0, 1) ? target[i] : 1;
        int drop = (int)lower_draw_int(&check, 0, 4);
        check.constants = 2;
        lower_check_node(
            &check, "Expand",
            (gm_tensor *[]){lower_random(&check, types[turn % 5], 5 - drop, dims + drop, -9, 9), ints(5, target)}, 2,
            NULL, 0, 1, NULL, 0);
        ck_assert(check.lowered);
    }
}
END_TEST

START_TEST(ConcatAndSplitLikeReference)
{
    for (int turn = 0; turn < 40; turn++) {
        int64_t dims[4], sizes[3], sum = 0;
        int axis = (int)lower_draw_int(&check, 0, 3);
        int wish = (int[]){LOWER_PLAIN, 8, 16, LOWER_LAST}[turn % 4];
        gm_attribute attribute = gm_attribute_int("axis", axis);
        gm_tensor *in[3];
        random_dims(4, dims, turn % 5 ? 6 : 20);
        dims[1] = axis == 1 ? dims[1] : 16;
        for (int i = 0; i < 3; i++) {
            dims[axis] = sizes[i] =
                axis == 1 && turn % 2 ? 8 * lower_draw_int(&check, 1, 3) : lower_draw_int(&check, 1, 9);
            sum += sizes[i];
            in[i] = lower_random(&check, wish ? GM_FLOAT : types[turn % 5], 4, dims, -9, 9);
        }
        check.constants = 0;
        lower_check_node(&check, "Concat", in, 3, &attribute, 1, 1, (int[]){wish, wish, wish}, 0);
        ck_assert(check.lowered);
        if (wish == 8 && axis == 0)
            ck_assert_int_eq(check.out_layout[0].block, 8);
        dims[axis] = sum;
        check.constants = 2;
        lower_check_node(&check, "Split",
                         (gm_tensor *[]){lower_random(&check, GM_FLOAT, 4, dims, -9, 9), ints(3, sizes)}, 2, &attribute,
                         1, 3, (int[]){wish, LOWER_PLAIN}, 0);
        ck_assert(check.lowered);
    }
}
END_TEST

START_TEST(SliceAndItsGradientLikeReference)
{
    for (int turn = 0; turn < 60; turn++) {
        int64_t dims[4], start[4], end[4], axes[4], step[4];
        int wish = (int[]){LOWER_PLAIN, 8, LOWER_LAST}[turn % 3];
        gm_tensor *x;
        random_dims(4, dims, turn % 5 ? 7 : 20);
        dims[1] = wish ? 16 : dims[1];
        for (int i = 0; i < 4; i++) {
            bool whole = i > 1 && turn % 2; /* channels and batches only: blocked layouts stay */
            axes[i] = i - (turn % 2 ? 4 : 0);
            start[i] = whole ? 0 : i == 1 && wish ? 8 * lower_draw_int(&check, 0, 1) : lower_draw_int(&check, -9, 9);
            end[i] = whole ? 99 : i == 1 && wish ? 16 : lower_draw_int(&check, -9, 30);
            step[i] = whole || turn % 2 ? 1 : lower_draw_int(&check, 1, 3) * (lower_draw_int(&check, 0, 1) ? 1 : -1);
        }
        x = lower_random(&check, wish ? GM_FLOAT : types[turn % 5], 4, dims, -9, 9);
        check.constants = 30;
        lower_check_node(&check, "Slice",
                         (gm_tensor *[]){x, ints(4, start), ints(4, end), ints(4, axes), ints(4, step)}, 5, NULL, 0, 1,
                         (int[]){wish, 0, 0, 0, 0}, 0);
        ck_assert(check.lowered);
        check.constants = 62;
        lower_check_node(&check, "gmodel.SliceGrad",
                         (gm_tensor *[]){lower_random(&check, x->type, 4, check.out[0].dims, -9, 9), ints(4, dims),
                                         ints(4, start), ints(4, end), ints(4, axes), ints(4, step)},
                         6, NULL, 0, 1, (int[]){wish, 0, 0, 0, 0, 0}, 0);
        ck_assert(check.lowered);
    }
}
END_TEST

START_TEST(GatherAndItsGradientLikeReference)
{
    for (int turn = 0; turn < 30; turn++) {
        int64_t dims[3], picked[2];
        int axis = (int)lower_draw_int(&check, 0, 2);
        gm_attribute attribute = gm_attribute_int("axis", axis);
        gm_tensor *indices;
        random_dims(3, dims, turn % 5 ? 7 : 40);
        random_dims(2, picked, turn % 5 ? 5 : 9);
        indices = gm_tensor_create(check.pool, turn % 2 ? GM_INT64 : GM_INT32, 2, picked);
        for (int64_t i = 0; i < gm_tensor_count(indices); i++)
            gm_set_int(indices, i, lower_draw_int(&check, -dims[axis], dims[axis] - 1));
        check.constants = 0;
        lower_check_node(&check, "Gather",
                         (gm_tensor *[]){lower_random(&check, types[turn % 5], 3, dims, -9, 9), indices}, 2, &attribute,
                         1, 1, NULL, 0);
        ck_assert(check.lowered);
        check.constants = 4;
        lower_check_node(
            &check, "gmodel.GatherGrad",
            (gm_tensor *[]){lower_random(&check, GM_FLOAT, 4, check.out[0].dims, -9, 9), indices, ints(3, dims)}, 3,
            &attribute, 1, 1, NULL, 1e-5);
        ck_assert(check.lowered);
    }
}
END_TEST

START_TEST(ReshapeIsNoWork)
{
    gm_tensor *x = lower_random(&check, GM_FLOAT, 4, (int64_t[]){2, 16, 3, 3}, -1, 1);
    gm_tensor *single = lower_random(&check, GM_FLOAT, 4, (int64_t[]){2, 16, 1, 1}, -1, 1);
    check.constants = 2;
    lower_check_node(&check, "Reshape", (gm_tensor *[]){x, ints(2, (int64_t[]){2, 144})}, 2, NULL, 0, 1, (int[]){16, 0},
                     0);
    ck_assert(!check.lowered);
    ck_assert_int_eq(check.in_want[0].block, 1);
    lower_check_node(&check, "Reshape", (gm_tensor *[]){single, ints(2, (int64_t[]){2, 16})}, 2, NULL, 0, 1,
                     (int[]){16, 0}, 0);
    ck_assert_int_eq(check.in_want[0].block, 16); /* one position: the same bytes */
    lower_check_node(&check, "Identity", (gm_tensor *[]){x}, 1, NULL, 0, 1, (int[]){16}, 0);
    ck_assert_int_eq(check.out_layout[0].block, 16);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shape");
    TCase *rules = tcase_create("rules"), *kernels = tcase_create("kernels");
    SRunner *runner;
    int failed;
    tcase_add_loop_test(rules, ShapesAreInferredSymbolically, 0, (int)GM_COUNT(shapes));
    tcase_add_loop_test(rules, WrongNodesAreRefused, 0, (int)GM_COUNT(errors));
    tcase_add_loop_test(rules, ResultsAreRight, 0, (int)GM_COUNT(results));
    tcase_add_test(rules, IndicesOutsideAreErrorsAtRunTime);
    tcase_add_test(rules, ContentsPassThroughShapeArithmetic);
    tcase_add_checked_fixture(kernels, setup, teardown);
    tcase_add_test(kernels, TransposeLikeReference);
    tcase_add_test(kernels, ExpandLikeReference);
    tcase_add_test(kernels, ConcatAndSplitLikeReference);
    tcase_add_test(kernels, SliceAndItsGradientLikeReference);
    tcase_add_test(kernels, GatherAndItsGradientLikeReference);
    tcase_add_test(kernels, ReshapeIsNoWork);
    suite_add_tcase(suite, rules);
    suite_add_tcase(suite, kernels);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
