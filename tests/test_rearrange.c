/* Operators that repeat, mask, pick and scatter: known results, shapes, messages. */
#include "tests/gradcheck.h"
#include "tests/numbers.h"

static const numbers_case results[] = {
    {.op = "Tile", IN("2x2 [1 2 3 4]", "int 2 [1 2]"), .expected = "1 2 1 2 3 4 3 4"},
    {.op = "Tile", IN("2x2 [1 2 3 4]", "int 2 [2 1]"), .expected = "1 2 3 4 1 2 3 4"},
    {.op = "Tile", IN("2 [1 2]", "int 1 [0]"), .expected = ""},
    {.op = "Tile", IN("1x1x1x1x1x1x1x2 [1 2]", "int 8 [1 1 1 1 1 1 2 2]"), .expected = "1 2 1 2 1 2 1 2"},
    {.op = "DepthToSpace",
     IN("1x4x1x2 [0 1 2 3 4 5 6 7]"),
     WITH(GRAD_INT("blocksize", 2)),
     .expected = "0 2 1 3 4 6 5 7"},
    {.op = "SpaceToDepth",
     IN("1x1x2x4 [0 2 1 3 4 6 5 7]"),
     WITH(GRAD_INT("blocksize", 2)),
     .expected = "0 1 2 3 4 5 6 7"},
    {.op = "Trilu", IN("int 2x3 [1 2 3 4 5 6]"), .expected = "1 2 3 0 5 6"},
    {.op = "Trilu",
     IN("int 2x3 [1 2 3 4 5 6]", "int scalar [-1]"),
     WITH(GRAD_INT("upper", 0)),
     .expected = "0 0 0 4 0 0"},
    {.op = "Trilu", IN("bool 2x2 [1 1 1 1]", "int scalar [1]"), .expected = "0 1 0 0"},
    {.op = "EyeLike",
     IN("2x3 [9 9 9 9 9 9]"),
     WITH(GRAD_INT("k", 1), GRAD_INT("dtype", GM_INT32)),
     .expected = "0 1 0 0 0 1"},
    {.op = "ReverseSequence", IN("3x2 [1 2 3 4 5 6]", "int 2 [3 2]"), .expected = "5 4 3 2 1 6"},
    {.op = "CenterCropPad", IN("5 [1 2 3 4 5]", "int 1 [2]"), .expected = "2 3"},
    {.op = "CenterCropPad", IN("2 [1 2]", "int 1 [5]"), .expected = "0 1 2 0 0"},
    {.op = "Compress", IN("3x2 [1 2 3 4 5 6]", "bool 2 [0 1]"), WITH(GRAD_INT("axis", 0)), .expected = "3 4"},
    {.op = "Compress", IN("3x2 [1 2 3 4 5 6]", "bool 5 [0 1 0 0 1]"), .expected = "2 5"},
    {.op = "NonZero", IN("2x2 [1 0 1 nan]"), .expected = "0 1 1 0 0 1"},
    {.op = "NonZero", IN("3 [0 0 0]"), .expected = ""},
    {.op = "Unique", IN("6 [2 1 1 3 4 3]"), .outputs = 4, .expected = "1 2 3 4 1 0 3 4 1 0 0 2 3 2 2 1 2 1"},
    {.op = "Unique",
     IN("6 [2 1 1 3 4 3]"),
     WITH(GRAD_INT("sorted", 0)),
     .outputs = 4,
     .expected = "2 1 3 4 0 1 3 4 0 1 1 2 3 2 1 2 2 1"},
    {.op = "Unique",
     IN("2x3 [1 0 1 2 3 2]"),
     WITH(GRAD_INT("axis", -1)),
     .outputs = 4,
     .expected = "0 1 3 2 1 0 1 0 1 1 2"},
    {.op = "ScatterElements",
     IN("3x2 [0 0 0 0 0 0]", "int 2x2 [1 0 -1 2]", "2x2 [1 2 3 4]"),
     .expected = "0 2 1 0 3 4"},
    {.op = "ScatterElements",
     IN("1x3 [1 2 3]", "int 1x2 [1 1]", "1x2 [10 20]"),
     WITH(GRAD_INT("axis", 1), GRAD_STRING("reduction", "add")),
     .expected = "1 32 3"},
    {.op = "ScatterElements",
     IN("int 1x3 [1 2 3]", "int 1x2 [1 1]", "int 1x2 [10 20]"),
     WITH(GRAD_INT("axis", 1), GRAD_STRING("reduction", "mul")),
     .expected = "1 400 3"},
    {.op = "ScatterElements",
     IN("1x3 [1 2 3]", "int 1x3 [0 1 2]", "1x3 [0 9 nan]"),
     WITH(GRAD_INT("axis", 1), GRAD_STRING("reduction", "max")),
     .expected = "1 9 nan"},
    {.op = "ScatterElements",
     IN("int 1x3 [1 2 3]", "int 1x2 [0 1]", "int 1x2 [-5 9]"),
     WITH(GRAD_INT("axis", -1), GRAD_STRING("reduction", "min")),
     .expected = "-5 2 3"},
    {.op = "Scatter", IN("2 [1 2]", "int 1 [1]", "1 [9]"), .expected = "1 9"},
    {.op = "ScatterND", IN("2x2 [1 2 3 4]", "int 1x1 [-1]", "1x2 [8 9]"), .expected = "1 2 8 9"},
    {.op = "ScatterND",
     IN("2x2 [1 2 3 4]", "int 3x2 [0 1 1 0 0 1]", "3 [1 2 3]"),
     WITH(GRAD_STRING("reduction", "add")),
     .expected = "1 6 5 4"},
    {.op = "GatherND", IN("2x2 [1 2 3 4]", "int 2x2 [0 0 1 -1]"), .expected = "1 4"},
    {.op = "GatherND", IN("2x2 [1 2 3 4]", "int 2x1 [1 0]"), .expected = "3 4 1 2"},
    {.op = "GatherND", IN("2x2 [1 2 3 4]", "int 2x1 [1 0]"), WITH(GRAD_INT("batch_dims", 1)), .expected = "2 3"},
    {.op = "gmodel.GatherNDGrad", IN("3x1 [1 2 3]", "int 3x1 [1 1 0]", "int 2 [3 1]"), .expected = "3 3 0"},
    {.op = "TensorScatter", IN("2x3x1 [0 0 0 0 0 0]", "2x2x1 [1 2 3 4]", "int 2 [0 1]"), .expected = "1 2 0 0 3 4"},
    {.op = "TensorScatter",
     IN("2x3x1 [0 0 0 0 0 0]", "2x2x1 [1 2 3 4]", "int 2 [2 1]"),
     WITH(GRAD_STRING("mode", "circular"), GRAD_INT("axis", 1)),
     .expected = "2 0 1 0 3 4"},
    {.op = "CumSum", IN("2x3 [1 2 3 4 5 6]", "int scalar [1]"), .expected = "1 3 6 4 9 15"},
    {.op = "CumSum", IN("2x3 [1 2 3 4 5 6]", "int 1 [-2]"), WITH(GRAD_INT("reverse", 1)), .expected = "5 7 9 4 5 6"},
    {.op = "CumSum", IN("int 3 [1 2 3]", "int scalar [0]"), WITH(GRAD_INT("exclusive", 1)), .expected = "0 1 3"},
    {.op = "CumProd", IN("3 [2 3 4]", "int scalar [0]"), .expected = "2 6 24"},
    {.op = "CumProd",
     IN("3 [2 3 4]", "int scalar [0]"),
     WITH(GRAD_INT("exclusive", 1), GRAD_INT("reverse", 1)),
     .expected = "12 4 1"},
    {.op = "Einsum",
     IN("int 2x3 [2 1 0 -2 -1 -3]", "int 3x2 [-3 -3 -2 2 1 3]"),
     WITH(GRAD_STRING("equation", "ij,jk->ik")),
     .expected = "-8 -4 5 -5"},
    {.op = "Einsum", IN("int 2x3 [0 1 3 2 1 0]"), WITH(GRAD_STRING("equation", "ij->ji")), .expected = "0 2 1 1 3 0"},
    {.op = "Einsum", IN("int 2x2 [0 3 -2 2]"), WITH(GRAD_STRING("equation", "ij")), .expected = "0 3 -2 2"},
    {.op = "Einsum", IN("int 2x3 [1 -3 -1 3 0 -3]"), WITH(GRAD_STRING("equation", "ba")), .expected = "1 3 -3 0 -1 -3"},
    {.op = "Einsum",
     IN("int 3x3 [2 2 2 -2 -3 3 -3 0 -3]"),
     WITH(GRAD_STRING("equation", "ii->i")),
     .expected = "2 -3 -3"},
    {.op = "Einsum", IN("int 3x3 [-1 0 -1 -1 -3 -3 -3 -3 1]"), WITH(GRAD_STRING("equation", "ii")), .expected = "-3"},
    {.op = "Einsum",
     IN("int 2x2x2 [0 1 -2 1 2 -1 0 3]"),
     WITH(GRAD_STRING("equation", "...ii->...i")),
     .expected = "0 1 2 3"},
    {.op = "Einsum", IN("int 3 [2 3 -1]", "int 3 [1 3 1]"), WITH(GRAD_STRING("equation", "i,i")), .expected = "10"},
    {.op = "Einsum",
     IN("int 2 [2 1]", "int 3 [1 -1 3]"),
     WITH(GRAD_STRING("equation", "i,j->ij")),
     .expected = "2 -2 6 1 -1 3"},
    {.op = "Einsum",
     IN("int 2x2x3 [-3 1 2 2 0 -1 -1 -1 0 2 3 -3]", "int 2x3x2 [3 0 -1 1 1 -2 -1 2 1 0 -1 2]"),
     WITH(GRAD_STRING("equation", "bij,bjk->bik")),
     .expected = "-8 -3 5 2 0 -2 4 -2"},
    {.op = "Einsum",
     IN("int 1x2x2x2 [-1 -1 3 -2 -2 1 1 -3]", "int 1x2x2x2 [-3 -1 2 -1 2 -1 -2 2]"),
     WITH(GRAD_STRING("equation", "bhid,bhjd->bhij")),
     .expected = "4 -1 -7 8 -5 6 5 -8"},
    {.op = "Einsum", IN("int 2x2 [3 -3 -3 1]"), WITH(GRAD_STRING("equation", "ij->")), .expected = "-2"},
    {.op = "Einsum",
     IN("int 2x3 [-1 1 -2 3 0 3]", "int 2x3 [2 1 -2 2 -3 0]"),
     WITH(GRAD_STRING("equation", "ij,ij->j")),
     .expected = "4 1 4"},
    {.op = "Einsum",
     IN("int 2 [-1 3]", "int 2x3 [-2 3 -3 1 1 3]", "int 3 [-1 3 1]"),
     WITH(GRAD_STRING("equation", "i,ij,j->")),
     .expected = "7"},
    {.op = "Einsum",
     IN("int 2x1x2 [3 -2 2 3]", "int 2x2 [-3 -1 1 -3]"),
     WITH(GRAD_STRING("equation", "...ij,...jk->...ik")),
     .expected = "-11 3 -3 -11"},
    {.op = "Einsum",
     IN("int 2x1x2 [0 1 2 3]", "int 2 [-1 0]"),
     WITH(GRAD_STRING("equation", "ijk,k->ij")),
     .expected = "0 -2"},
    {.op = "Einsum", IN("int scalar [0]", "int scalar [3]"), WITH(GRAD_STRING("equation", ",->")), .expected = "0"},
    {.op = "Einsum",
     IN("int 2x3x2 [-2 0 -3 -1 3 1 -1 3 1 3 -3 0]"),
     WITH(GRAD_STRING("equation", "iji->j")),
     .expected = "1 0 3"},
    {.op = "Einsum",
     IN("int 2x1 [2 2]", "int 1x2 [-1 0]"),
     WITH(GRAD_STRING("equation", "ab,cd->adbc")),
     .expected = "-2 0 -2 0"},
    {.op = "Einsum",
     IN("int 2x2 [-1 0 -2 2]", "int 3x2 [-3 -1 -2 2 2 1]"),
     WITH(GRAD_STRING("equation", "ij,kj->k")),
     .expected = "7 10 -4"},
    {.op = "Einsum",
     IN("int 2x2 [3 3 -2 -3]", "int 2x2 [-3 2 3 3]"),
     WITH(GRAD_STRING("equation", " i j , j k -> k i ")),
     .expected = "0 -3 15 -13"},
    {.op = "Einsum",
     IN("int 2x3 [1 3 3 -3 -3 3]", "int 1x3 [-3 3 2]"),
     WITH(GRAD_STRING("equation", "...,...->...")),
     .expected = "-3 9 6 9 -9 6"},
    {.op = "Einsum",
     IN("int 1x2 [3 -1]", "int 2x2 [-2 0 3 -1]"),
     WITH(GRAD_STRING("equation", "aB,Bc")),
     .expected = "-9 1"},
    {.op = "Einsum",
     IN("int 2x2 [3 -1 2 -2]", "int 1x2 [0 -1]"),
     WITH(GRAD_STRING("equation", "ab,ab->ab")),
     .expected = "0 1 0 2"},
    {.op = "Einsum", IN("2x2 [1 2 3 4]", "2 [1 0.5]"), WITH(GRAD_STRING("equation", "ij,j->i")), .expected = "2 5"},
};

static const numbers_case shapes[] = {
    {.op = "Tile", IN("NxC", "int 2 [2 1]"), .expected = "float[2*N, C]"},
    {.op = "DepthToSpace", IN("Nx8x2x3"), WITH(GRAD_INT("blocksize", 2)), .expected = "float[N, 2, 4, 6]"},
    {.op = "DepthToSpace", IN("Nx8xHxW"), WITH(GRAD_INT("blocksize", 2)), .expected = "float[N, 2, 2*H, 2*W]"},
    {.op = "SpaceToDepth", IN("Nx2x4x6"), WITH(GRAD_INT("blocksize", 2)), .expected = "float[N, 8, 2, 3]"},
    {.op = "Trilu", IN("NxNxC"), .expected = "float[N, N, C]"},
    {.op = "EyeLike", IN("NxC"), .expected = "float[N, C]"},
    {.op = "CenterCropPad", IN("Nx5", "int 1 [7]"), WITH(GRAD_INTS("axes", -1)), .expected = "float[N, 7]"},
    {.op = "CenterCropPad", IN("Nx5", "int 2 [3 7]"), .expected = "float[3, 7]"},
    {.op = "Compress", IN("Nx3", "bool 3 [1 0 1]"), WITH(GRAD_INT("axis", 1)), .expected = "float[N, 2]"},
    {.op = "NonZero", IN("scalar [1]"), .expected = "int64[0, 1]"},
    {.op = "ScatterElements", IN("Nx4", "int Nx2", "Nx2"), WITH(GRAD_INT("axis", 1)), .expected = "float[N, 4]"},
    {.op = "ScatterND", IN("Nx4", "int Mx1", "Mx4"), .expected = "float[N, 4]"},
    {.op = "GatherND", IN("Nx3x4", "int Nx5x1"), WITH(GRAD_INT("batch_dims", 1)), .expected = "float[N, 5, 4]"},
    {.op = "GatherND", IN("Nx3", "int Mx2"), .expected = "float[M]"},
    {.op = "Einsum", IN("NxC", "4xC"), WITH(GRAD_STRING("equation", "ni,oi->no")), .expected = "float[N, 4]"},
    {.op = "Einsum", IN("NxMxC", "Cx4"), WITH(GRAD_STRING("equation", "...i,io")), .expected = "float[N, M, 4]"},
    {.op = "Einsum", IN("NxNx3"), WITH(GRAD_STRING("equation", "iij->ij")), .expected = "float[N, 3]"},
};

static const numbers_case errors[] = {
    {.op = "Tile", IN("2x3", "int 1 [2]"), .expected = "one per axis"},
    {.op = "DepthToSpace", IN("1x6x2x2"), WITH(GRAD_INT("blocksize", 2)), .expected = "do not divide"},
    {.op = "SpaceToDepth", IN("1x1x3x2"), WITH(GRAD_INT("blocksize", 2)), .expected = "do not divide"},
    {.op = "SpaceToDepth", IN("1x1x2x2"), WITH(GRAD_INT("blocksize", 0)), .expected = "blocksize must be"},
    {.op = "DepthToSpace",
     IN("1x4x2x2"),
     WITH(GRAD_INT("blocksize", 2), GRAD_STRING("mode", "X")),
     .expected = "DCR or CRD"},
    {.op = "Trilu", IN("3"), .expected = "two axes"},
    {.op = "EyeLike", IN("3"), .expected = "matrix"},
    {.op = "ReverseSequence", IN("3x2", "int 3"), .expected = "one element per entry"},
    {.op = "ReverseSequence", IN("3x2", "int 2"), WITH(GRAD_INT("time_axis", 1)), .expected = "are both 1"},
    {.op = "CenterCropPad", IN("3x2", "int 1 [2]"), .expected = "for 2 axes"},
    {.op = "Compress", IN("3x2", "bool 3"), .expected = "must be known"},
    {.op = "Compress", IN("3x2", "bool 4 [1 1 1 1]"), WITH(GRAD_INT("axis", 0)), .expected = "for 3 entries"},
    {.op = "NonZero", IN("3"), .expected = "must be known"},
    {.op = "Unique", IN("3"), .expected = "must be known"},
    {.op = "ScatterElements", IN("3x2", "int 1x2", "2x2"), .expected = "do not fit data"},
    {.op = "ScatterElements", IN("3x2", "int 1x3", "1x3"), .expected = "do not fit data"},
    {.op = "ScatterElements",
     IN("3", "int 1", "1"),
     WITH(GRAD_STRING("reduction", "x")),
     .expected = "reduction must be"},
    {.op = "ScatterElements", IN("3", "int 1", "int 1"), .expected = "types must be equal"},
    {.op = "ScatterND", IN("3x2", "int 4x1", "4x3"), .expected = "ask for the shape"},
    {.op = "GatherND", IN("3x2", "int 4x3"), .expected = "do not fit data of rank 2"},
    {.op = "GatherND", IN("3x2", "int 4x1"), WITH(GRAD_INT("batch_dims", 1)), .expected = "a batch axis"},
    {.op = "TensorScatter", IN("2x3x1", "2x4x1"), .expected = "does not fit the cache"},
    {.op = "TensorScatter", IN("2x3", "2x1"), .expected = "axis 0"},
    {.op = "CumSum", IN("2x3", "int scalar [2]"), .expected = "outside"},
    {.op = "Einsum", IN("2x3", "4x2"), WITH(GRAD_STRING("equation", "ij,jk->ik")), .expected = "sizes 3 and 4"},
    {.op = "Einsum", IN("2x3"), WITH(GRAD_STRING("equation", "ijk->ik")), .expected = "3 letters"},
    {.op = "Einsum", IN("2x3"), WITH(GRAD_STRING("equation", "ij,jk->ik")), .expected = "more terms"},
    {.op = "Einsum", IN("2x3", "3"), WITH(GRAD_STRING("equation", "ij->ij")), .expected = "1 terms for 2"},
    {.op = "Einsum", IN("2x3"), WITH(GRAD_STRING("equation", "ij->ik")), .expected = "no label"},
    {.op = "Einsum", IN("2x3"), WITH(GRAD_STRING("equation", "ij->ii")), .expected = "stands twice"},
    {.op = "Einsum", IN("2x3"), WITH(GRAD_STRING("equation", "ij1->i")), .expected = "'1' in the equation"},
    {.op = "Einsum", IN("2x3"), WITH(GRAD_STRING("equation", "..ij->i")), .expected = "an ellipsis is"},
    {.op = "Einsum", IN("2x3"), WITH(GRAD_STRING("equation", "ij->i,j")), .expected = "behind the result"},
};

/* Indices that only the data show to be wrong: an error, and no access. */
static const numbers_case bad_data[] = {
    {.op = "ScatterElements", IN("2 [1 2]", "int 1 [2]", "1 [3]"), .expected = "index 2 is outside"},
    {.op = "ScatterND", IN("2x2 [1 2 3 4]", "int 1x2 [0 -3]", "1 [3]"), .expected = "index -3 is outside"},
    {.op = "GatherND", IN("2x2 [1 2 3 4]", "int 1x1 [5]"), .expected = "index 5 is outside"},
    {.op = "TensorScatter", IN("1x2x1 [0 0]", "1x2x1 [0 0]", "int 1 [1]"), .expected = "do not fit"},
    {.op = "ReverseSequence", IN("2x1 [1 2]", "int 1 [3]"), .expected = "length 3 is outside"},
};

START_TEST(KnownResults)
{
    numbers_check_result(&results[_i]);
}
END_TEST

START_TEST(Shapes)
{
    numbers_check_shape(&shapes[_i]);
}
END_TEST

START_TEST(Errors)
{
    numbers_check_error(&errors[_i]);
}
END_TEST

START_TEST(BadData)
{
    const numbers_case *c = &bad_data[_i];
    numbers n;
    gm_tensor *values = NULL;
    numbers_begin(&n);
    numbers_build(&n, c);
    ck_assert_msg(n.graph->status == GM_OK, "%s: %s", c->op, gm_context_message(n.context));
    ck_assert_msg(gm_graph_interpret(n.graph, n.pool, NULL, NULL, 1, 0, &values) == GM_ERROR_DATA, "%s: no error",
                  c->op);
    ck_assert_msg(strstr(gm_context_message(n.context), c->expected) != NULL, "%s: message '%s', expected '%s'", c->op,
                  gm_context_message(n.context), c->expected);
    numbers_end(&n);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rearrange");
    TCase *all = tcase_create("rearrange");
    SRunner *runner;
    int failed;
    tcase_add_loop_test(all, KnownResults, 0, (int)GM_COUNT(results));
    tcase_add_loop_test(all, Shapes, 0, (int)GM_COUNT(shapes));
    tcase_add_loop_test(all, Errors, 0, (int)GM_COUNT(errors));
    tcase_add_loop_test(all, BadData, 0, (int)GM_COUNT(bad_data));
    suite_add_tcase(suite, all);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
