/* Resize, Upsample: known results (those of ONNX's reference implementation), shapes, messages, the fast kernels, older operator
 * sets. */
#include "graph/older.h"
#include "tests/gradcheck.h"
#include "tests/lower_check.h"
#include "tests/numbers.h"

#define LINEAR      GRAD_STRING("mode", "linear")
#define CUBIC       GRAD_STRING("mode", "cubic")
#define COORDINATES "coordinate_transformation_mode"
#define ASYMMETRIC  GRAD_STRING(COORDINATES, "asymmetric")
#define CROP        GRAD_STRING(COORDINATES, "tf_crop_and_resize")
#define TWICE       "4 [1 2 4 8]", "", "float 1 [2]"
#define SIZED(size) "4 [1 2 4 8]", "", "", "int 1 [" size "]"

static const numbers_case results[] = {
    {.op = "Resize", IN(TWICE), WITH(LINEAR), .expected = "1 1.25 1.75 2.5 3.5 5 7 8"},
    {.op = "Resize", IN(TWICE), .expected = "1 1 2 2 4 4 8 8"},
    {.op = "Resize",
     IN(TWICE),
     WITH(LINEAR, GRAD_STRING(COORDINATES, "align_corners")),
     .expected = "1 1.4285714 1.8571428 2.5714286 3.4285714 4.5714286 6.2857143 8"},
    {.op = "Resize",
     IN(SIZED("3")),
     WITH(LINEAR, GRAD_STRING(COORDINATES, "pytorch_half_pixel")),
     .expected = "1.1666667 3 7.3333333"},
    {.op = "Resize", IN(SIZED("1")), WITH(LINEAR, GRAD_STRING(COORDINATES, "pytorch_half_pixel")), .expected = "1"},
    {.op = "Resize", IN(SIZED("1")), WITH(LINEAR), .expected = "3"},
    {.op = "Resize",
     IN("4 [1 2 4 8]", "", "float 1 [1.6]"),
     WITH(LINEAR, GRAD_STRING(COORDINATES, "half_pixel_symmetric")),
     .expected = "1 1.5625 2.375 3.625 5.75 8"},
    {.op = "Resize",
     IN(TWICE),
     WITH(CUBIC),
     .expected = "0.89453125 1.15625 1.5625 2.41796875 3.16015625 5.1171875 7.1640625 8.421875"},
    {.op = "Resize",
     IN(TWICE),
     WITH(CUBIC, GRAD_FLOAT("cubic_coeff_a", -0.5), GRAD_INT("exclude_outside", 1)),
     .expected = "0.9117647 1.1459854 1.6412214 2.3828125 3.3359375 5.0229008 7.2846715 8.3529412"},
    {.op = "Resize", IN(SIZED("2")), WITH(LINEAR, GRAD_INT("antialias", 1)), .expected = "1.75 5.75"},
    {.op = "Resize",
     IN(SIZED("2")),
     WITH(CUBIC, GRAD_INT("antialias", 1), GRAD_INT("exclude_outside", 1)),
     .expected = "1.4836735 5.7285714"},
    {.op = "Resize",
     IN("4 [1 2 4 8]", "2 [-0.5 1]", "", "int 1 [4]"),
     WITH(LINEAR, CROP, GRAD_FLOAT("extrapolation_value", 9)),
     .expected = "9 1 3 8"},
    {.op = "Resize", IN("4 [1 2 4 8]", "2 [1 0]", "", "int 1 [4]"), WITH(CROP), .expected = "8 4 2 1"},
    {.op = "Resize",
     IN("int 4 [1 2 4 8]", "2 [-0.5 1]", "", "int 1 [4]"),
     WITH(CROP, GRAD_FLOAT("extrapolation_value", 9)),
     .expected = "9 1 2 8"},
    {.op = "Resize", IN("3 [1 2 3]", "2 [0 1]", "", "int 1 [1]"), WITH(CROP), .expected = "2"},
    {.op = "Resize", IN(SIZED("8")), WITH(ASYMMETRIC), .expected = "1 1 2 2 4 4 8 8"},
    {.op = "Resize",
     IN(SIZED("8")),
     WITH(ASYMMETRIC, GRAD_STRING("nearest_mode", "round_prefer_ceil")),
     .expected = "1 2 2 4 4 8 8 8"},
    {.op = "Resize",
     IN(SIZED("8")),
     WITH(ASYMMETRIC, GRAD_STRING("nearest_mode", "floor")),
     .expected = "1 1 2 2 4 4 8 8"},
    {.op = "Resize",
     IN(SIZED("8")),
     WITH(ASYMMETRIC, GRAD_STRING("nearest_mode", "ceil")),
     .expected = "1 2 2 4 4 8 8 8"},
    {.op = "Resize",
     IN("2x2 [1 2 4 8]", "", "float 2 [2 2]"),
     WITH(LINEAR),
     .expected = "1 1.25 1.75 2 1.75 2.1875 3.0625 3.5 3.25 4.0625 5.6875 6.5 4 5 7 8"},
    {.op = "Resize",
     IN("2x2x2 [0 1 2 3 4 5 6 7]", "", "float 3 [1 1.5 2]"),
     WITH(LINEAR),
     .expected = "0 0.25 0.75 1 1 1.25 1.75 2 2 2.25 2.75 3 4 4.25 4.75 5 5 5.25 5.75 6 6 6.25 6.75 7"},
    {.op = "Resize",
     IN("2x2 [1 2 4 8]", "", "", "int 1 [3]"),
     WITH(LINEAR, GRAD_INTS("axes", -1)),
     .expected = "1 1.5 2 4 6 8"},
    {.op = "Resize",
     IN("2x4 [1 2 4 8 1 2 4 8]", "", "", "int 2 [3 3]"),
     WITH(GRAD_STRING("keep_aspect_ratio_policy", "not_larger")),
     .expected = "1 2 8 1 2 8"},
    {.op = "Resize",
     IN("1x4 [1 2 4 8]", "", "", "int 2 [2 6]"),
     WITH(LINEAR, GRAD_INTS("axes", 0, 1), GRAD_STRING("keep_aspect_ratio_policy", "not_smaller")),
     .expected = "1 1.25 1.75 2.5 3.5 5 7 8 1 1.25 1.75 2.5 3.5 5 7 8"},
    /* integers: to the nearest even, saturating; nearest is exact */
    {.op = "Resize", IN("uint8 4 [1 2 4 250]", "", "float 1 [2]"), WITH(CUBIC), .expected = "1 1 2 0 0 60 194 255"},
    {.op = "Resize",
     IN("int 1 [9007199254740994]", "", "float 1 [2]"),
     .expected = "9007199254740994 9007199254740994"},
    {.op = "Resize", IN("bool 2 [1 0]", "", "float 1 [2]"), .expected = "1 1 0 0"},
    /* 3 / 0.6 is 5 although 0.6 is a little more in float32, and 10 * 0.7 is 7 */
    {.op = "Resize",
     IN("10 [0 1 2 3 4 5 6 7 8 9]", "", "float 1 [0.6]"),
     WITH(ASYMMETRIC, GRAD_STRING("nearest_mode", "floor")),
     .expected = "0 1 3 5 6 8"},
    {.op = "Resize",
     IN("10 [0 1 2 3 4 5 6 7 8 9]", "", "float 1 [0.7]"),
     WITH(ASYMMETRIC, GRAD_STRING("nearest_mode", "floor")),
     .expected = "0 1 2 4 5 7 8"},
    {.op = "Resize",
     IN("7 [0 1 2 3 4 5 6]", "", "float 1 [1.5]"),
     WITH(GRAD_STRING(COORDINATES, "half_pixel_symmetric"), GRAD_STRING("nearest_mode", "ceil")),
     .expected = "0 1 2 2 3 4 4 5 6 6"},
    /* 7 positions of 3, 6, 9 ...: whole quotients are exact */
    {.op = "Resize",
     IN("3 [0 1 2]", "", "", "int 1 [7]"),
     WITH(ASYMMETRIC, GRAD_STRING("nearest_mode", "floor")),
     .expected = "0 0 0 1 1 2 2"},
    {.op = "Resize", IN("2 [1 2]", "", "", "int 1 [0]"), .expected = ""},
    /* left out in the way of operator set 11 */
    {.op = "Resize", IN("2 [1 2]", "0 []", "float 0 []", "int 1 [4]"), .expected = "1 1 2 2"},
    {.op = "Upsample", IN("1x2 [1 2]", "float 2 [2 2]"), .expected = "1 1 2 2 1 1 2 2"},
    {.op = "Upsample", IN("2 [1 3]", "float 1 [2]"), WITH(LINEAR), .expected = "1 2 3 3"},
    {.op = "gmodel.ResizeGrad", IN("8 [1 2 3 4 5 6 7 8]", "int 1 [4]", "", "float 1 [2]"), .expected = "3 7 11 15"},
    {.op = "gmodel.ResizeGrad", IN("4 [8 4 4 8]", "int 1 [2]", "", "float 1 [2]"), WITH(LINEAR), .expected = "12 12"},
};

static const numbers_case shapes[] = {
    {.op = "Resize", IN("NxCx4x5", "", "float 4 [1 1 2 0.5]"), .expected = "float[N, C, 8, 2]"},
    {.op = "Resize", IN("Nx3xHxW", "", "float 4 [1 1 2 3]"), .expected = "float[N, 3, 2*H, 3*W]"},
    {.op = "Resize", IN("Nx3xH", "", "float 3 [1 1 3.14159265]"), .expected = "float[N, 3, ?]"},
    {.op = "Resize", IN("100", "", "float 1 [3.14159265]"), .expected = "float[314]"},
    {.op = "Resize", IN("Nx3xH", "", "", "int 1 [7]"), WITH(GRAD_INTS("axes", 2)), .expected = "float[N, 3, 7]"},
    {.op = "Resize", IN("NxMx1", "", "", "shape 0"), .expected = "float[N, M, 1]"},
    {.op = "Resize", IN("49", "", "float 1 [0.020408163]"), .expected = "float[1]"},
    {.op = "Resize",
     IN("Nx3x10x20", "", "", "int 2 [5 5]"),
     WITH(GRAD_INTS("axes", 2, 3), GRAD_STRING("keep_aspect_ratio_policy", "not_larger")),
     .expected = "float[N, 3, 3, 5]"},
    {.op = "Resize",
     IN("Nx3x10x20", "", "", "int 2 [5 5]"),
     WITH(GRAD_INTS("axes", 2, 3), GRAD_STRING("keep_aspect_ratio_policy", "not_smaller")),
     .expected = "float[N, 3, 5, 10]"},
    {.op = "Resize", IN("double NxM", "", "float 2 [1 4]"), .expected = "double[N, 4*M]"},
    {.op = "Upsample", IN("NxCxHxW", "float 4 [1 1 2 2]"), .expected = "float[N, C, 2*H, 2*W]"},
    {.op = "gmodel.ResizeGrad", IN("Nx8", "int 2 [3 4]", "", "float 2 [1 2]"), .expected = "float[3, 4]"},
};

static const numbers_case errors[] = {
    {.op = "Resize", IN("Nx4"), .expected = "either scales or sizes must be given, found none"},
    {.op = "Resize", IN("4", "", "float 1 [2]", "int 1 [8]"), .expected = "not both"},
    {.op = "Resize", IN("Nx4", "", "float 1 [2]"), .expected = "vector of 2 numbers for the axes of X"},
    {.op = "Resize",
     IN("Nx4", "", "float 2 [1 2]"),
     WITH(GRAD_INTS("axes", 1)),
     .expected = "vector of 1 numbers for the axes listed"},
    {.op = "Resize", IN("4", "", "float 1 [0]"), .expected = "scale 0 must be a positive number"},
    {.op = "Resize", IN("4", "", "float 1 [nan]"), .expected = "scale 0 must be a positive number"},
    {.op = "Resize", IN("4", "", "float 1 [1e30]"), .expected = "scale 0 is too large"},
    {.op = "Resize", IN("N", "", "float 1 [1e30]"), .expected = "scale 0 is too large"},
    {.op = "Resize", IN("4", "", "double 1 [2]"), .expected = "scales must be float"},
    {.op = "Resize", IN("4", "", "float 1"), .expected = "must be known at load"},
    {.op = "Resize", IN("4", "", "", "int 1"), .expected = "must be known at load"},
    {.op = "Resize", IN("4", "", "", "float 1 [2]"), .expected = "sizes must be int64"},
    {.op = "Resize", IN("4", "", "", "int 1 [-1]"), .expected = "size 0 must be"},
    {.op = "Resize", IN("4", "", "", "int 1 [-2]"), .expected = "must be known"},
    {.op = "Resize", IN("0", "", "", "int 1 [2]"), .expected = "axis 0 cannot be resized: it is empty"},
    {.op = "Resize",
     IN("0x2", "", "", "int 2 [2 2]"),
     WITH(GRAD_STRING("keep_aspect_ratio_policy", "not_larger")),
     .expected = "no aspect ratio"},
    {.op = "Resize",
     IN("1x4", "", "", "int 2 [281474976710656 8]"),
     WITH(GRAD_STRING("keep_aspect_ratio_policy", "not_smaller")),
     .expected = "too large"},
    {.op = "Resize",
     IN("4", "", "float 1 [2]"),
     WITH(GRAD_STRING("mode", "area")),
     .expected = "mode must be nearest, linear or cubic, found 'area'"},
    {.op = "Resize",
     IN("4", "", "float 1 [2]"),
     WITH(GRAD_STRING("nearest_mode", "up")),
     .expected = "nearest_mode must be"},
    {.op = "Resize",
     IN("4", "", "float 1 [2]"),
     WITH(GRAD_STRING(COORDINATES, "x")),
     .expected = "coordinate_transformation_mode must be"},
    {.op = "Resize",
     IN("4", "", "float 1 [2]"),
     WITH(GRAD_STRING("keep_aspect_ratio_policy", "x")),
     .expected = "keep_aspect_ratio_policy must be"},
    {.op = "Resize", IN("4", "", "float 1 [2]"), WITH(GRAD_INT("antialias", 1)), .expected = "linear or cubic"},
    {.op = "Resize", IN("4", "", "float 1 [2]"), WITH(CROP), .expected = "needs roi"},
    {.op = "Resize", IN("4", "1 [0]", "float 1 [2]"), WITH(CROP), .expected = "roi must be a vector of 2"},
    {.op = "Resize", IN("4", "", "float 1 [2]"), WITH(GRAD_INTS("axes", 1)), .expected = "outside"},
    {.op = "Resize", IN("4x4", "", "float 2 [2 2]"), WITH(GRAD_INTS("axes", 1, -1)), .expected = "listed twice"},
    {.op = "Upsample", IN("4", "float 1 [2]"), WITH(CUBIC), .expected = "mode must be nearest or linear"},
    {.op = "Upsample", IN("4", "float 2 [2 2]"), .expected = "vector of 1 numbers"},
    {.op = "gmodel.ResizeGrad", IN("7", "int 1 [4]", "", "float 1 [2]"), .expected = "does not give float[7]"},
    {.op = "gmodel.ResizeGrad", IN("8", "int 2 [1 4]", "", "float 1 [2]"), .expected = "must have 1 numbers"},
};

/* Nodes of older operator sets: `c` is written as that set has it. */
static const struct {
    int64_t opset;
    numbers_case c;
} older[] = {
    {10, {.op = "Resize", IN("4 [1 2 4 8]", "float 1 [2]"), WITH(LINEAR), .expected = "1 1.5 2 3 4 6 8 8"}},
    {10, {.op = "Resize", IN("3 [1 2 3]", "float 1 [1.5]"), .expected = "1 1 2 3"}},
    {11, {.op = "Resize", IN("4 [1 2 4 8]", "0 []", "float 1 [2]"), .expected = "1 1 2 2 4 4 8 8"}},
    {11,
     {.op = "Resize",
      IN("4 [1 2 4 8]", "0 []", "float 0 []", "int 1 [2]"),
      WITH(GRAD_STRING(COORDINATES, "tf_half_pixel_for_nn"), GRAD_STRING("nearest_mode", "floor")),
      .expected = "2 8"}},
    {18, {.op = "Resize", IN("2 [1 2]", "", "", "int 1 [4]"), .expected = "1 1 2 2"}},
    {7,
     {.op = "Upsample",
      IN("2 [1 3]"),
      WITH({.name = "scales", .kind = GM_ATTRIBUTE_FLOATS, .count = 1, .floats = (const double[]){2}}),
      .expected = "1 1 3 3"}},
    {9, {.op = "Upsample", IN("2 [1 3]", "float 1 [2]"), WITH(LINEAR), .expected = "1 2 3 3"}},
    {1,
     {.op = "Upsample",
      IN("1x1x1x2 [1 3]"),
      WITH(GRAD_FLOAT("height_scale", 1), GRAD_FLOAT("width_scale", 2), GRAD_STRING("mode", "bilinear")),
      .expected = "1 2 3 3"}},
};

/* The fast kernels against the reference, forward and backward, for every layout, mode and number of threads. */
static const struct {
    int rank;
    int64_t dims[5];
    const char *mode;
    int64_t sizes[5];
    int antialias;
} fast[] = {
    {4, {2, 16, 5, 7}, "nearest", {2, 16, 10, 14}, 0},
    {4, {2, 16, 5, 7}, "linear", {2, 16, 10, 14}, 0},
    {4, {2, 16, 5, 7}, "linear", {2, 16, 3, 20}, 0},
    {4, {3, 8, 9, 4}, "cubic", {3, 8, 13, 9}, 0},
    {4, {1, 3, 40, 50}, "linear", {1, 3, 11, 13}, 1},
    {4, {1, 3, 40, 50}, "cubic", {1, 3, 7, 13}, 1},
    {4, {1, 3, 40, 50}, "nearest", {1, 3, 7, 13}, 0},
    {4, {1, 60, 70, 3}, "linear", {1, 90, 100, 3}, 0},
    {5, {2, 8, 3, 4, 5}, "linear", {2, 8, 6, 7, 9}, 0},
    {3, {2, 3, 9}, "linear", {2, 3, 9}, 0},
    {3, {5, 4, 9}, "linear", {7, 6, 2}, 0},
    {1, {11}, "cubic", {30}, 0},
    {4, {1, 2, 60, 400}, "linear", {1, 2, 40, 100}, 0},
    {5, {2, 2, 20, 30, 40}, "linear", {2, 2, 10, 15, 20}, 1},
    {5, {1, 4, 30, 6, 50}, "cubic", {1, 4, 12, 6, 20}, 0},
    {2, {3, 300}, "linear", {4, 301}, 0},
    {4, {1, 1, 90, 200}, "linear", {1, 1, 180, 400}, 0},
};

static gm_tensor *vector(lower_check *check, gm_type type, int64_t count, const int64_t *values)
{
    gm_tensor *tensor = gm_tensor_create(check->pool, type, 1, &count);
    ck_assert_ptr_nonnull(tensor);
    for (int64_t i = 0; i < count; i++)
        gm_set(tensor, i, (double)values[i]);
    return tensor;
}

START_TEST(FastKernels)
{
    static const int wishes[] = {LOWER_PLAIN, 8, LOWER_LAST, LOWER_ANY};
    int rank = fast[_i].rank;
    for (size_t k = 0; k < 2 * GM_COUNT(wishes); k++) {
        lower_check check;
        lower_check_begin(&check);
        gm_tensor *x = lower_random(&check, GM_FLOAT, rank, fast[_i].dims, -1, 1);
        gm_tensor *dy = lower_random(&check, GM_FLOAT, rank, fast[_i].sizes, -1, 1);
        gm_tensor *shape = vector(&check, GM_INT64, rank, fast[_i].dims);
        gm_tensor *sizes = vector(&check, GM_INT64, rank, fast[_i].sizes);
        gm_attribute attributes[] = {GRAD_STRING("mode", fast[_i].mode), GRAD_INT("antialias", fast[_i].antialias)};
        int wish[5] = {wishes[k / 2]};
        check.threads = k % 2 ? 3 : 1;
        check.constants = 8;
        lower_check_node(&check, "Resize", (gm_tensor *[]){x, NULL, NULL, sizes}, 4, attributes, 2, 1, wish, 1e-6);
        ck_assert(check.lowered || memcmp(fast[_i].dims, fast[_i].sizes, sizeof fast[_i].dims) == 0);
        ck_assert(memcmp(&check.in_want[0], &check.out_layout[0], sizeof check.in_want[0]) == 0);
        if (rank == 4 && fast[_i].dims[1] == 16 && wishes[k / 2] == 8)
            ck_assert_int_eq(check.in_want[0].block, 8);
        check.constants = 2 + 16;
        lower_check_node(&check, "gmodel.ResizeGrad", (gm_tensor *[]){dy, shape, NULL, NULL, sizes}, 5, attributes, 2,
                         1, wish, 1e-5);
        lower_check_end(&check);
    }
}
END_TEST

/* What is extrapolated, also along short and long rows; what is not counted does not spread an infinity. */
START_TEST(FastFills)
{
    for (int axis = 0; axis < 3; axis++) {
        lower_check check;
        int64_t at = axis, one = 1, size = 7, dims[] = {6, 5, 4};
        lower_check_begin(&check);
        gm_tensor *x = lower_random(&check, GM_FLOAT, 3, dims, -1, 1), *sizes = vector(&check, GM_INT64, one, &size);
        gm_tensor *roi = vector(&check, GM_FLOAT, 2, (int64_t[]){0, 1});
        gm_attribute attributes[] = {LINEAR, CROP, GRAD_FLOAT("extrapolation_value", 0.5), GRAD_INTS("axes", 0)};
        attributes[3].ints = &at;
        gm_set(roi, 0, -0.3);
        gm_set(x, 0, INFINITY);
        check.constants = 2 + 8;
        lower_check_node(&check, "Resize", (gm_tensor *[]){x, roi, NULL, sizes}, 4, attributes, 4, 1, NULL, 1e-6);
        ck_assert(check.lowered);
        ck_assert_double_eq(gm_get(&check.out[0], 0), 0.5);
        lower_check_end(&check);
    }
}
END_TEST

START_TEST(OlderSets)
{
    numbers_check_older(&older[_i].c, older[_i].opset);
}
END_TEST

NUMBERS_MAIN("resize", tcase_add_loop_test(all, FastKernels, 0, (int)GM_COUNT(fast)); tcase_add_test(all, FastFills);
             tcase_add_loop_test(all, OlderSets, 0, (int)GM_COUNT(older)))
