/* Regions of images, sampling at points, determinants: NonMaxSuppression, RoiAlign, MaxRoiPool, AffineGrid,
 * GridSample, Col2Im, DeformConv, Det. */
#include "tests/gradcheck.h"
#include "tests/numbers.h"

#define IMAGES  "2x1x3x4 [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23]"
#define REGIONS "2x4 [0 0 3 2 1 0.5 3.5 2]", "int 2 [1 0]"
#define BINS    GRAD_INT("output_height", 2), GRAD_INT("output_width", 2)
#define SQUARE  "1x1x2x2 [1 2 3 4]"
#define CORNERS "1x1x5x2 [-1 -1 1 1 0 0 1 -1 3 -1]"
#define BOXES   "1x3x4 [0 0 1 1 0 0.1 1 1.1 3 3 2 2]"

static const numbers_case results[] = {
    /* the first two overlap by 0.9 / 1.1 */
    {.op = "NonMaxSuppression",
     IN(BOXES, "1x1x3 [0.9 0.95 0.3]", "int scalar [3]", "scalar [0.5]"),
     .expected = "0 0 1 0 0 2"},
    {.op = "NonMaxSuppression",
     IN(BOXES, "1x1x3 [0.9 0.95 0.3]", "int 1 [3]", "1 [0.9]"),
     .expected = "0 0 1 0 0 0 0 0 2"},
    {.op = "NonMaxSuppression", /* per class, equal scores in the order of the boxes, least scores strictly */
     IN(BOXES, "1x2x3 [0.5 0.5 0.5 0.1 0.2 0.3]", "int scalar [2]", "scalar [1]", "scalar [0.2]"),
     .expected = "0 0 0 0 0 1 0 1 2"},
    {.op = "NonMaxSuppression", /* (x, y, width, height); an overlap of exactly the threshold stays */
     IN("1x2x4 [1 1 2 2 1 0.5 2 1]", "1x1x2 [1 0.5]", "int scalar [2]", "scalar [0.5]"),
     WITH(GRAD_INT("center_point_box", 1)),
     .expected = "0 0 0 0 0 1"},
    {.op = "NonMaxSuppression", IN("1x1x4 [0 0 1 1]", "1x1x1 [nan]", "int scalar [1]"), .expected = ""},
    {.op = "NonMaxSuppression", IN(BOXES, "1x1x3 [1 1 1]"), .expected = ""}, /* at most 0 */
    {.op = "RoiAlign",
     IN(IMAGES, REGIONS),
     WITH(BINS),
     .expected = "12.3125 13.75 16.3125 17.75 2.625 3.875 5.625 6.875"},
    {.op = "RoiAlign",
     IN(IMAGES, REGIONS),
     WITH(BINS, GRAD_INT("sampling_ratio", 2)),
     .expected = "12.8125 14.25 16.3125 17.75 2.625 3.875 5.625 6.875"},
    {.op = "RoiAlign",
     IN(IMAGES, REGIONS),
     WITH(BINS, GRAD_STRING("coordinate_transformation_mode", "output_half_pixel")),
     .expected = "14.75 16.25 18.75 20.25 5.125 6.28125 8.125 9.28125"},
    {.op = "RoiAlign",
     IN(IMAGES, REGIONS),
     WITH(BINS, GRAD_STRING("mode", "max")),
     .expected = "12 12.25 16 15.75 1.5234375 2.109375 3.5546875 4.921875"},
    {.op = "RoiAlign", /* far outside, and turned inside out */
     IN(IMAGES, "2x4 [50 50 52 52 2 2 1 1]", "int 2 [0 0]"),
     .expected = "0 0"},
    {.op = "MaxRoiPool",
     IN(IMAGES, "3x5 [0 0 0 3 2 1 0 0 1 1 1 2 1 9 9]"),
     WITH(GRAD_INTS("pooled_shape", 2, 2)),
     .expected = "5 7 9 11 12 13 16 17 23 0 0 0"},
    {.op = "MaxRoiPool",
     IN(IMAGES, "1x5 [1 1 1 7 3]"),
     WITH(GRAD_INTS("pooled_shape", 1, 2), GRAD_FLOAT("spatial_scale", 0.5)),
     .expected = "22 23"},
    {.op = "AffineGrid",
     IN("1x2x3 [1 0 0 0 2 0.25]", "int 4 [1 7 2 2]"),
     .expected = "-0.5 -0.75 0.5 -0.75 -0.5 1.25 0.5 1.25"},
    {.op = "AffineGrid", /* one row has its centre in the middle */
     IN("1x2x3 [1 0 0 0 1 0]", "int 4 [1 1 1 2]"),
     WITH(GRAD_INT("align_corners", 1)),
     .expected = "-1 0 1 0"},
    {.op = "AffineGrid", /* x, y, z */
     IN("1x3x4 [1 0 0 0 0 1 0 0 0 0 1 5]", "int 5 [1 1 1 2 1]"),
     .expected = "0 -0.5 5 0 0.5 5"},
    {.op = "GridSample", IN(SQUARE, CORNERS), WITH(GRAD_INT("align_corners", 1)), .expected = "1 4 2.5 2 0"},
    {.op = "GridSample", IN(SQUARE, CORNERS), .expected = "0.25 1 2.5 0.5 0"},
    {.op = "GridSample", IN(SQUARE, CORNERS), WITH(GRAD_STRING("padding_mode", "border")), .expected = "1 4 2.5 2 2"},
    {.op = "GridSample",
     IN(SQUARE, CORNERS),
     WITH(GRAD_STRING("padding_mode", "reflection")),
     .expected = "1 4 2.5 2 1"},
    {.op = "GridSample", /* halves go to even pixels */
     IN(SQUARE, CORNERS),
     WITH(GRAD_STRING("mode", "nearest"), GRAD_STRING("padding_mode", "border")),
     .expected = "1 4 1 2 2"},
    {.op = "GridSample",
     IN("1x1x1x4 [0 1 0 0]", "1x1x2x2 [0 0 -1 0]"),
     WITH(GRAD_STRING("mode", "cubic"), GRAD_INT("align_corners", 1)),
     .expected = "0.59375 0"},
    {.op = "GridSample", /* beyond the border, but near enough to see the second pixel by -0.03515625 */
     IN("1x1x4 [1 5 9 13]", "1x3x1 [-1.125 -9 inf]"),
     WITH(GRAD_STRING("mode", "cubic"), GRAD_STRING("padding_mode", "border")),
     .expected = "0.859375 1 13"},
    {.op = "GridSample", /* what is no number */
     IN(SQUARE, "1x1x3x2 [nan 0 inf 0 -inf -1e30]"),
     WITH(GRAD_STRING("padding_mode", "border")),
     .expected = "nan 3 1"},
    {.op = "GridSample", IN(SQUARE, "1x1x3x2 [nan 0 inf 0 -inf -1e30]"), .expected = "nan 0 0"},
    {.op = "GridSample", IN("1x1x1x1x2 [1 3]", "1x1x1x1x3 [0 0 0]"), .expected = "2"},
    {.op = "GridSample", IN("uint8 1x2x2 [1 2 5 9]", "double 1x1x1 [0]"), .expected = "1 7"},
    {.op = "GridSample", IN("1x1x0 ", "1x1x1 [0]"), .expected = "0"},
    {.op = "Col2Im", IN("1x2x2 [1 2 3 4]", "int 1 [3]", "int 1 [2]"), .expected = "1 5 4"},
    {.op = "Col2Im",
     IN("int 1x3x2 [1 2 3 4 5 6]", "int 1 [2]", "int 1 [3]"),
     WITH(GRAD_INTS("pads", 1, 1)),
     .expected = "5 9"},
    {.op = "Col2Im", /* two channels; pixels that no block covers are 0 */
     IN("1x4x2 [1 2 3 4 5 6 7 8]", "int 2 [1 6]", "int 2 [1 2]"),
     WITH(GRAD_INTS("strides", 1, 3), GRAD_INTS("dilations", 1, 2)),
     .expected = "1 0 3 2 0 4 5 0 7 6 0 8"},
    {.op = "DeformConv",
     IN("1x1x3x3 [0 1 2 3 4 5 6 7 8]", "1x1x2x2 [1 1 1 1]",
        "1x8x2x2 [0.5 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 -0.1 0 0 0 0 0 0 0 0 0 0]"),
     .expected = "9.5 11.9 20 24"},
    {.op = "DeformConv", /* a second offset group; half outside; a whole pixel to the left */
     IN("1x2x1x2 [1 2 3 4]", "2x1x1x1 [10 100]", "1x4x1x2 [0 0 0.5 0 0.5 0 0 -1]"),
     WITH(GRAD_INT("group", 2), GRAD_INT("offset_group", 2)),
     .expected = "15 20 150 300"},
    {.op = "DeformConv",
     IN("1x2x1x2 [1 2 3 4]", "2x1x1x1 [10 100]", "1x4x1x2 [0 0 0.5 0 0.5 0 0 -1]", "2 [1 2]", "1x2x1x2 [1 0.5 2 1]"),
     WITH(GRAD_INT("group", 2), GRAD_INT("offset_group", 2)),
     .expected = "16 11 302 302"},
    {.op = "DeformConv",
     IN("1x1x4 [1 2 3 4]", "1x1x2 [1 1]", "1x2x2 [0.5 0 0 0]"),
     WITH(GRAD_INTS("strides", 2)),
     .expected = "3.5 7"},
    {.op = "DeformConv", /* far outside, and what is no number */
     IN("1x1x2 [1 2]", "1x1x1 [1]", "1x1x2 [1e30 nan]"),
     .expected = "0 nan"},
    {.op = "Det", IN("2x2 [1 2 3 4]"), .expected = "-2"},
    {.op = "Det", IN("2x3x3 [0 1 2 3 4 5 6 7 9 1 2 3 2 4 6 0 0 1]"), .expected = "-3 0"},
    {.op = "Det", IN("0x0 "), .expected = "1"},
    {.op = "gmodel.DetGrad", IN("3x3 [1 2 3 2 4 6 0 0 1]", "scalar [2]"), .expected = "8 -4 0 -4 2 0 0 0 0"},
};

static const numbers_case shapes[] = {
    {.op = "RoiAlign", IN("NxCx5x6", "Rx4", "int R"), WITH(BINS), .expected = "float[R, C, 2, 2]"},
    {.op = "MaxRoiPool", IN("NxCxHxW", "Rx5"), WITH(GRAD_INTS("pooled_shape", 3, 4)), .expected = "float[R, C, 3, 4]"},
    {.op = "AffineGrid", IN("Nx2x3", "int 4 [4 3 5 6]"), .expected = "float[N, 5, 6, 2]"},
    {.op = "AffineGrid", IN("float16 Nx3x4", "int 5 [4 3 5 6 7]"), .expected = "float16[N, 5, 6, 7, 3]"},
    {.op = "GridSample", IN("NxCxHxW", "NxAxBx2"), .expected = "float[N, C, A, B]"},
    {.op = "GridSample", IN("int NxCx2x3x4", "double Nx5x6xBx3"), .expected = "int64[N, C, 5, 6, B]"},
    {.op = "Col2Im", IN("Nx4x6", "int 2 [3 4]", "int 2 [2 2]"), .expected = "float[N, 1, 3, 4]"},
    {.op = "Col2Im", IN("double NxCxL", "int 1 [3]", "int 1 [1]"), .expected = "double[N, C, 3]"},
    {.op = "DeformConv", IN("Nx2x5x5", "3x2x2x2", "Nx8x4x4"), .expected = "float[N, 3, 4, 4]"},
    {.op = "DeformConv", IN("NxCxHxW", "3x2x1x1", "Nx2xHxW"), .expected = "float[N, 3, H, W]"},
    {.op = "Det", IN("double BxNxN"), .expected = "double[B]"},
    {.op = "NonMaxSuppression", IN(BOXES, "1x1x3 [1 2 3]", "int scalar [1]"), .expected = "int64[1, 3]"},
};

static const numbers_case errors[] = {
    {.op = "NonMaxSuppression", IN("1xNx4", "1x1xN"), .expected = "known at load"},
    {.op = "NonMaxSuppression", IN(BOXES, "1x3x1 [1 2 3]"), .expected = "do not fit"},
    {.op = "NonMaxSuppression",
     IN(BOXES, "1x1x3 [1 2 3]", "int scalar [1]", "scalar [1.5]"),
     .expected = "iou_threshold must lie in [0, 1]"},
    {.op = "NonMaxSuppression", IN(BOXES, "1x1x3 [1 2 3]", "int 2 [1 2]"), .expected = "must be one int64"},
    {.op = "RoiAlign", IN("2x3x4", "Rx4", "int R"), .expected = "found rank 3"},
    {.op = "RoiAlign", IN("2x1x3x4", "Rx5", "int R"), .expected = "rois must be [regions, 4]"},
    {.op = "RoiAlign", IN("2x1x3x4", "2x4", "int 3"), .expected = "one int64 per region"},
    {.op = "RoiAlign", IN("2x1x3x4", "double 2x4", "int 2"), .expected = "must be float, found double"},
    {.op = "RoiAlign", IN("2x1x3x4", "2x4", "int 2"), WITH(GRAD_STRING("mode", "sum")), .expected = "avg or max"},
    {.op = "RoiAlign",
     IN("2x1x3x4", "2x4", "int 2"),
     WITH(GRAD_STRING("coordinate_transformation_mode", "pixel")),
     .expected = "found 'pixel'"},
    {.op = "RoiAlign", IN("2x1x3x4", "2x4", "int 2"), WITH(GRAD_INT("sampling_ratio", -1)), .expected = "lie in"},
    {.op = "RoiAlign", IN("2x1x3x4", "2x4", "int 2"), WITH(GRAD_INT("output_width", 0)), .expected = "positive"},
    {.op = "MaxRoiPool", IN("2x1x3x4", "2x4"), WITH(GRAD_INTS("pooled_shape", 1, 1)), .expected = "[regions, 5]"},
    {.op = "MaxRoiPool", IN("2x1x3x4", "2x5"), WITH(GRAD_INTS("pooled_shape", 1)), .expected = "two positive"},
    {.op = "AffineGrid", IN("Nx2x4", "int 4 [4 3 5 6]"), .expected = "theta must be"},
    {.op = "AffineGrid", IN("Nx2x3", "int 5 [4 3 5 6 7]"), .expected = "needs a size of 4 numbers, found 5"},
    {.op = "AffineGrid", IN("2x2x3", "int 4 [4 3 5 6]"), .expected = "of 4 images, theta of 2"},
    {.op = "AffineGrid", IN("2x2x3", "int 4"), .expected = "known"},
    {.op = "GridSample", IN("1x1x2x2", "1x1x1x3"), .expected = "[n, spatial..., 2] is needed"},
    {.op = "GridSample", IN("1x1x2x2", "2x1x1x2"), .expected = "does not fit"},
    {.op = "GridSample", IN("1x1", "1x1"), .expected = "does not fit"},
    {.op = "GridSample", IN("1x1x2x2", "int 1x1x1x2"), .expected = "must be floating, found int64"},
    {.op = "GridSample", IN(SQUARE, CORNERS), WITH(GRAD_STRING("mode", "bilinear")), .expected = "found 'bilinear'"},
    {.op = "GridSample", IN(SQUARE, CORNERS), WITH(GRAD_STRING("padding_mode", "wrap")), .expected = "found 'wrap'"},
    {.op = "Col2Im", IN("1x4x6", "int 2", "int 2 [2 2]"), .expected = "known at load"},
    {.op = "Col2Im", IN("1x4x6", "int 2 [3 4]", "int 1 [2]"), .expected = "block_shape 1"},
    {.op = "Col2Im", IN("1x4x6", "int 2 [3 0]", "int 2 [2 2]"), .expected = "must be positive"},
    {.op = "Col2Im", IN("1x4x6", "int 2 [3 4]", "int 2 [4 1]"), .expected = "covers 4 positions of spatial axis 0"},
    {.op = "Col2Im", IN("1x4x5", "int 2 [3 4]", "int 2 [2 2]"), .expected = "[n, channels * 4, 6]"},
    {.op = "Col2Im", IN("1x3x6", "int 2 [3 4]", "int 2 [2 2]"), .expected = "[n, channels * 4, 6]"},
    {.op = "Col2Im",
     IN("1x4x6", "int 2 [3 4]", "int 2 [2 2]"),
     WITH(GRAD_INTS("strides", 0, 1)),
     .expected = "strides must lie in"},
    {.op = "Col2Im",
     IN("1x4x6", "int 2 [3 4]", "int 2 [2 2]"),
     WITH(GRAD_INTS("pads", 1, 1)),
     .expected = "pads needs 4 numbers, found 2"},
    {.op = "DeformConv", IN("1x2x5x5", "3x1x2x2", "1x8x4x4"), .expected = "do not fit an input of 2 channels"},
    {.op = "DeformConv", IN("1x2x5x5", "3x2x2x2", "1x6x4x4"), .expected = "must be [1, 8, 4, 4]"},
    {.op = "DeformConv", IN("1x2x5x5", "3x2x2x2", "1x8x4x4", "2"), .expected = "must be [3]"},
    {.op = "DeformConv", IN("1x2x5x5", "3x2x2x2", "1x8x4x4", "", "1x8x4x4"), .expected = "must be [1, 4, 4, 4]"},
    {.op = "DeformConv", IN("1x2x5x5", "3x2xAx2", "1x8x4x4"), .expected = "must be known"},
    {.op = "DeformConv", IN("1x2", "3x2", "1x8"), .expected = "found rank 2 and 2"},
    {.op = "DeformConv",
     IN("1x2x5x5", "3x2x2x2", "1x8x4x4"),
     WITH(GRAD_INT("offset_group", 0)),
     .expected = "must be positive"},
    {.op = "Det", IN("2x3"), .expected = "found float[2, 3]"},
    {.op = "Det", IN("3"), .expected = "[..., n, n]"},
};

/* Wrong numbers, found when the node runs. */
static const numbers_case wrong_data[] = {
    {.op = "RoiAlign", IN(IMAGES, "1x4 [0 0 1 1]", "int 1 [2]"), .expected = "batch index 2 is outside [0, 2)"},
    {.op = "RoiAlign", IN(IMAGES, "1x4 [0 0 1 inf]", "int 1 [0]"), .expected = "region 0 is not finite"},
    {.op = "RoiAlign", IN(IMAGES, "1x4 [0 0 1e9 1]", "int 1 [0]"), .expected = "larger than 4096 pixels"},
    {.op = "MaxRoiPool",
     IN(IMAGES, "1x5 [-1 0 0 1 1]"),
     WITH(GRAD_INTS("pooled_shape", 1, 1)),
     .expected = "outside [0, 2)"},
    {.op = "MaxRoiPool", IN(IMAGES, "1x5 [0 nan 0 1 1]"), WITH(GRAD_INTS("pooled_shape", 1, 1)), .expected = "finite"},
};

START_TEST(WrongDataIsRefused)
{
    const numbers_case *c = &wrong_data[_i];
    gm_tensor *values = NULL;
    numbers n;
    numbers_begin(&n);
    numbers_build(&n, c);
    ck_assert_msg(n.graph->status == GM_OK, "%s: %s", c->op, gm_context_message(n.context));
    ck_assert_int_eq(gm_graph_interpret(n.graph, n.pool, NULL, NULL, 1, 0, &values), GM_ERROR_DATA);
    ck_assert_msg(strstr(gm_context_message(n.context), c->expected) != NULL, "message '%s', expected '%s'",
                  gm_context_message(n.context), c->expected);
    numbers_end(&n);
}
END_TEST

static const struct {
    int64_t opset;
    numbers_case c;
} older[] = {
    {16,
     {.op = "GridSample", IN(SQUARE, CORNERS), WITH(GRAD_STRING("mode", "bilinear")), .expected = "0.25 1 2.5 0.5 0"}},
    {16,
     {.op = "GridSample",
      IN("1x1x1x4 [0 1 0 0]", "1x1x1x2 [0 0]"),
      WITH(GRAD_STRING("mode", "bicubic"), GRAD_INT("align_corners", 1)),
      .expected = "0.59375"}},
    {10,
     {.op = "RoiAlign",
      IN(IMAGES, REGIONS),
      WITH(BINS),
      .expected = "14.75 16.25 18.75 20.25 5.125 6.28125 8.125 9.28125"}},
    {16,
     {.op = "RoiAlign",
      IN(IMAGES, REGIONS),
      WITH(BINS),
      .expected = "12.3125 13.75 16.3125 17.75 2.625 3.875 5.625 6.875"}},
};

START_TEST(OlderSetsAreUnderstood)
{
    numbers_check_older(&older[_i].c, older[_i].opset);
}
END_TEST

/* A DeformConv over images of any size becomes its definition when the sizes are there. */
START_TEST(SizesMayComeLater)
{
    static const numbers_case c = {.op = "DeformConv", IN("1x1xHx2", "1x1x1x1 [3]", "1x2xHx2")};
    gm_tensor *values = NULL, *x, *offset;
    gm_value_id *map;
    gm_binding binding;
    gm_graph *bound;
    numbers n;
    numbers_begin(&n);
    numbers_build(&n, &c);
    ck_assert_msg(n.graph->status == GM_OK, "%s", gm_context_message(n.context));
    binding = (gm_binding){gm_dim_symbol(n.graph->symbols, "H"), 3};
    bound = gm_graph_bind(n.graph, n.pool, &binding, 1, NULL, 0, &map);
    ck_assert_msg(bound != NULL, "%s", gm_context_message(n.context));
    x = gm_tensor_create(n.pool, GM_FLOAT, 4, (int64_t[]){1, 1, 3, 2});
    offset = gm_tensor_create(n.pool, GM_FLOAT, 4, (int64_t[]){1, 2, 3, 2});
    for (int64_t i = 0; i < 6; i++) {
        gm_set(x, i, (double)i);
        gm_set(offset, i, i < 2 ? 0.5 : 0.0);
    }
    ck_assert_msg(gm_graph_interpret(bound, n.pool, (const gm_tensor *[]){x, offset}, NULL, 1, 0, &values) == GM_OK,
                  "%s", gm_context_message(n.context));
    for (int64_t i = 0; i < 6; i++)
        ck_assert_double_eq_tol(gm_get(&values[map[n.outputs[0]]], i), 3.0 * (double)i + (i < 2 ? 3.0 : 0.0), 1e-5);
    numbers_end(&n);
}
END_TEST

NUMBERS_MAIN("vision", tcase_add_loop_test(all, WrongDataIsRefused, 0, (int)GM_COUNT(wrong_data));
             tcase_add_loop_test(all, OlderSetsAreUnderstood, 0, (int)GM_COUNT(older));
             tcase_add_test(all, SizesMayComeLater))
