/* ConvTranspose into one channel: the kernel of ops/one_channel.c against plain loops. */
#include "ops/conv_window.h"
#include "tests/lower_check.h"

#include <stdlib.h>

static lower_check check;

static int way_named(const char *name)
{
    int way = 0;
    while (gm_conv_formulations[way] && strcmp(gm_conv_formulations[way], name) != 0)
        way++;
    ck_assert_msg(gm_conv_formulations[way] != NULL, "there is no way %s", name);
    return way;
}

static void setup(void)
{
    lower_check_begin(&check);
    check.formulation = way_named("one-channel");
}

static void teardown(void)
{
    lower_check_end(&check);
}

typedef struct layer {
    int64_t batch, channels, h, w, kernel[2], stride[2], pads[4], more[2];
} layer;

static const layer layers[] = {
    {5, 64, 14, 14, {5, 5}, {2, 2}, {1, 1, 2, 2}, {0, 0}}, /* DCGAN's: 14 pixels of a phase */
    {3, 16, 7, 7, {4, 4}, {2, 2}, {1, 1, 1, 1}, {0, 0}},   /* 7 */
    {2, 32, 8, 8, {5, 5}, {1, 1}, {2, 2, 2, 2}, {0, 0}},   /* 8 */
    {2, 16, 5, 9, {3, 4}, {3, 2}, {0, 1, 2, 0}, {2, 1}},   /* remainders of all kinds */
    {1, 48, 6, 5, {2, 2}, {3, 4}, {0, 0, 0, 0}, {0, 3}},   /* pixels that no window reaches */
    {4, 16, 4, 17, {7, 1}, {1, 1}, {3, 0, 3, 0}, {0, 0}},
};
static const int wishes[] = {LOWER_PLAIN, 8, 16, LOWER_LAST};

START_TEST(agrees_with_plain_loops)
{
    const layer *l = &layers[_i];
    const int64_t one = 1;
    gm_tensor *x = lower_random(&check, GM_FLOAT, 4, (int64_t[]){l->batch, l->channels, l->h, l->w}, -1, 1);
    gm_tensor *w = lower_random(&check, GM_FLOAT, 4, (int64_t[]){l->channels, 1, l->kernel[0], l->kernel[1]}, -1, 1);
    gm_tensor *bias = lower_random(&check, GM_FLOAT, 1, &one, -1, 1), *inputs[3] = {x, w, bias};
    gm_attribute list[] = {gm_attribute_ints("strides", l->stride, 2), gm_attribute_ints("pads", l->pads, 4),
                           gm_attribute_ints("output_padding", l->more, 2)};
    for (size_t k = 0; k < GM_COUNT(wishes); k++)
        for (size_t count = 2; count < 4; count++)
            for (check.threads = 1; check.threads < 4; check.threads += 2) {
                int wish[3] = {wishes[k], LOWER_PLAIN, LOWER_PLAIN};
                lower_check_node(&check, "ConvTranspose", inputs, count, list, 3, 1, wish, 2e-5);
                ck_assert(check.lowered);
                ck_assert_int_eq(check.in_want[0].block, wishes[k] == LOWER_PLAIN ? 1 : 16);
            }
}
END_TEST

START_TEST(rows_of_one_axis)
{
    gm_tensor *x = lower_random(&check, GM_FLOAT, 3, (int64_t[]){3, 32, 11}, -1, 1);
    gm_tensor *w = lower_random(&check, GM_FLOAT, 3, (int64_t[]){32, 1, 5}, -1, 1);
    gm_attribute stride = gm_attribute_ints("strides", (int64_t[]){2}, 1);
    lower_check_node(&check, "ConvTranspose", (gm_tensor *[]){x, w}, 2, &stride, 1, 1, (int[]){16, LOWER_PLAIN}, 2e-5);
    ck_assert(check.lowered);
}
END_TEST

/* More channels, groups, dilation, channels that fill no vector, other operators: left to others. */
START_TEST(others_are_declined)
{
    static const int64_t shapes[][4] = {{32, 2, 3, 3}, {24, 1, 3, 3}};
    gm_attribute dilation = gm_attribute_ints("dilations", (int64_t[]){2, 2}, 2);
    for (int i = 0; i < 3; i++) {
        const int64_t *of = shapes[i % 2];
        gm_tensor *x = lower_random(&check, GM_FLOAT, 4, (int64_t[]){2, i == 2 ? 32 : of[0], 6, 6}, -1, 1);
        gm_tensor *w =
            lower_random(&check, GM_FLOAT, 4, (int64_t[]){i == 2 ? 32 : of[0], i == 2 ? 1 : of[1], 3, 3}, -1, 1);
        lower_check_node(&check, "ConvTranspose", (gm_tensor *[]){x, w}, 2, &dilation, i == 2, 1,
                         (int[]){LOWER_PLAIN, LOWER_PLAIN}, 2e-5);
        ck_assert(!check.lowered);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("one_channel");
    TCase *tests = tcase_create("kernel");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, agrees_with_plain_loops, 0, (int)GM_COUNT(layers));
    tcase_add_test(tests, rows_of_one_axis);
    tcase_add_test(tests, others_are_declined);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
