/* Training through the public API: repeats, resumes, allocates nothing per step, survives lack of memory and NaN. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/gmodel.h"
#include "tests/counting.h"

/* A small GAN on made-up numbers: convolution, batch norm, dropout, random draws, two optimizers, a buffer. */
static const char small_gan[] =
    "model small <gmodel = 1, opset = 21, seed = 3>\n"
    "network g (float[N, 8] z) => (float[N, 1, 8, 8] x) {\n"
    "  h = LeakyRelu <alpha = 0.3> (BatchNorm(Dense <4 * 4 * 16, bias = 0> (z)))\n"
    "  x = Tanh(ConvTranspose2d <1, kernel = 5, stride = 2, bias = 0> (Reshape(h, [0, 16, 4, 4])))\n"
    "}\n"
    "network d (float[N, 1, 8, 8] x) => (float[N, 1] l) {\n"
    "  h = Dropout(LeakyRelu <alpha = 0.3> (Conv2d <16, kernel = 5, stride = 2> (x)), 0.3)\n"
    "  l = Dense <1> (Flatten(h))\n"
    "}\n"
    "step play {\n"
    "  real = RandomUniform <shape = [N, 1, 8, 8], low = -1, high = 1> ()\n"
    "  fake = g(RandomNormal <shape = [N, 8]> ())\n"
    "  a = d(real)\n"
    "  b = d(fake)\n"
    "  g_loss = gan_generator_loss(b)\n"
    "  d_loss = gan_discriminator_loss(a, b)\n"
    "  minimize g_loss over g with Adam <rate = 1e-3>\n"
    "  minimize d_loss over d with RMSProp <rate = 1e-3 * 0.9 ^ epoch>\n"
    "  report g_loss, d_loss\n"
    "}\n"
    "sample grid { write picture = g(RandomNormal <shape = [4, 8], seed = 1> ()) }\n"
    "train batch 16 epochs 6 of 5 iterations { play  every 2 epochs grid }\n";

static gm_context *context;

static void require(gm_status status)
{
    ck_assert_msg(status == GM_OK, "%s: %s", gm_status_name(status), gm_context_message(context));
}

static gm_model *load(const char *text)
{
    gm_model *model;
    require(gm_model_load_memory(context, text, strlen(text), "small.gmodel", NULL, &model));
    return model;
}

/* All state of a trainer, one entry after the other. */
static unsigned char *snapshot(gm_trainer *trainer, size_t *bytes_out)
{
    size_t bytes = 0;
    unsigned char *data;
    for (size_t i = 0; i < gm_trainer_state_count(trainer); i++) {
        gm_tensor_view view;
        require(gm_trainer_state(trainer, i, &view));
        bytes += view.bytes;
    }
    data = malloc(bytes);
    *bytes_out = bytes;
    bytes = 0;
    for (size_t i = 0; i < gm_trainer_state_count(trainer); i++) {
        gm_tensor_view view;
        require(gm_trainer_state(trainer, i, &view));
        require(gm_trainer_read(trainer, view.name, data + bytes, view.bytes));
        bytes += view.bytes;
    }
    return data;
}

static gm_trainer *trained(const gm_model *model, const char *resume, const char *out, int64_t epochs, int64_t steps)
{
    gm_trainer_options options;
    gm_run_options run;
    gm_trainer *trainer;
    gm_trainer_options_default(&options, sizeof options);
    options.resume = resume;
    require(gm_trainer_create(model, &options, &trainer));
    gm_run_options_default(&run, sizeof run);
    run.out_directory = out;
    run.epochs = epochs;
    run.steps = steps;
    require(gm_trainer_run(trainer, &run));
    return trainer;
}

static char folder[64];

static const char *fresh_folder(void)
{
    strcpy(folder, "/tmp/gmodel-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    return folder;
}

static void remove_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

static void same_state(gm_trainer *a, gm_trainer *b)
{
    size_t bytes_a, bytes_b;
    unsigned char *x = snapshot(a, &bytes_a), *y = snapshot(b, &bytes_b);
    ck_assert_uint_eq(bytes_a, bytes_b);
    ck_assert_int_eq(memcmp(x, y, bytes_a), 0);
    free(x);
    free(y);
}

#define TWO_SETS                                                                                                       \
    "model two <gmodel = 1, opset = 21, seed = 2>\n"                                                                   \
    "data photos = mnist <part = \"train\", rows = [0, 48]> { image : float[784] in [0, 1], label : int64 }\n"         \
    "data sketches = mnist <part = \"test\", rows = [0, 24]> { image : float[784] in [0, 1] }\n"                       \
    "network f (float[N, 784] x) => (float[N, 2] y) { y = Dense <2> (x) }\n"

START_TEST(two_data_sets_feed_one_step)
{
    const char *text =
        TWO_SETS "step fit (float[N, 784] photos.image, float[N, 784] sketches.image, int64[N] label) {\n"
                 "  minimize mean((f(photos.image) - f(sketches.image)) ^ 2) over f with SGD <rate = 0.1>\n"
                 "  report a = sum(photos.image), b = sum(sketches.image)\n}\n"
                 "train photos, sketches batch 8 epochs 3 { fit }\n";
    gm_model *model = load(text), *wrong = NULL;
    const char *out = fresh_folder();
    char checkpoint[128];
    double a, b;
    gm_trainer *whole = trained(model, NULL, NULL, 0, 0), *half = trained(model, NULL, out, 0, 8), *rest;
    require(gm_trainer_report(whole, "a", &a));
    require(gm_trainer_report(whole, "b", &b));
    ck_assert_double_ne(a, b);
    snprintf(checkpoint, sizeof checkpoint, "%s/checkpoint.gmodel", out);
    rest = trained(model, checkpoint, NULL, 0, 0); /* the second set goes on in its second pass */
    same_state(whole, rest);
    gm_trainer_destroy(whole);
    gm_trainer_destroy(half);
    gm_trainer_destroy(rest);
    gm_model_destroy(model);
    remove_folder();
    text = TWO_SETS "step fit (float[N, 784] image) { minimize mean(f(image)) over f with SGD <rate = 1> }\n"
                    "train photos, sketches batch 8 epochs 1 { fit }\n";
    ck_assert_int_eq(gm_model_load_memory(context, text, strlen(text), "t", NULL, &wrong), GM_ERROR_MODEL);
    ck_assert_str_eq(gm_context_message(context),
                     "t:5:1: the input 'image' of 'fit' is a field of several data sets: write photos.image");
}
END_TEST

START_TEST(two_runs_give_identical_parameters)
{
    gm_model *model = load(small_gan);
    gm_trainer *a = trained(model, NULL, NULL, 0, 0), *b = trained(model, NULL, NULL, 0, 0);
    same_state(a, b);
    gm_trainer_destroy(a);
    gm_trainer_destroy(b);
    gm_model_destroy(model);
}
END_TEST

START_TEST(training_changes_every_parameter_and_the_losses_stay_finite)
{
    gm_model *model = load(small_gan);
    gm_trainer *trainer = trained(model, NULL, NULL, 0, 0);
    double loss;
    for (size_t i = 0; i < gm_model_parameter_count(model); i++) {
        gm_parameter_info info;
        size_t bytes = sizeof(float);
        float *before, *after;
        require(gm_model_parameter_info(model, i, &info));
        for (int k = 0; k < info.rank; k++)
            bytes *= (size_t)info.dims[k];
        before = malloc(bytes);
        after = malloc(bytes);
        require(gm_model_read(model, info.path, before, bytes));
        require(gm_trainer_read(trainer, info.path, after, bytes));
        ck_assert_msg(memcmp(before, after, bytes) != 0, "%s did not change", info.path);
        free(before);
        free(after);
    }
    require(gm_trainer_report(trainer, "d_loss", &loss));
    ck_assert(isfinite(loss));
    gm_trainer_destroy(trainer);
    gm_model_destroy(model);
}
END_TEST

/* Straight to the end, or stopped after `_i` rounds and continued from the checkpoint: no bit differs. */
START_TEST(resumed_training_is_identical_bit_for_bit)
{
    char checkpoint[128];
    gm_model *model = load(small_gan);
    gm_trainer *straight = trained(model, NULL, NULL, 0, 0), *first, *second;
    snprintf(checkpoint, sizeof checkpoint, "%s/checkpoint.gmodel", fresh_folder());
    first = trained(model, NULL, folder, 0, _i);
    second = trained(model, checkpoint, folder, 0, 0);
    same_state(straight, second);
    gm_trainer_destroy(straight);
    gm_trainer_destroy(first);
    gm_trainer_destroy(second);
    gm_model_destroy(model);
    remove_folder();
}
END_TEST

START_TEST(checkpoint_is_a_model_that_draws_the_same_pictures)
{
    char checkpoint[128];
    gm_model *model = load(small_gan), *loaded;
    gm_trainer *trainer;
    float trained_w[5 * 5 * 16], loaded_w[5 * 5 * 16];
    snprintf(checkpoint, sizeof checkpoint, "%s/checkpoint.gmodel", fresh_folder());
    trainer = trained(model, NULL, folder, 2, 0);
    require(gm_model_load(context, checkpoint, NULL, &loaded));
    require(gm_trainer_read(trainer, "g.x.ConvTranspose2d.W", trained_w, sizeof trained_w));
    require(gm_model_read(loaded, "g.x.ConvTranspose2d.W", loaded_w, sizeof loaded_w));
    ck_assert_int_eq(memcmp(trained_w, loaded_w, sizeof trained_w), 0);
    gm_model_destroy(loaded);
    gm_trainer_destroy(trainer);
    gm_model_destroy(model);
    remove_folder();
}
END_TEST

/* --- Allocations ------------------------------------------------------------------------------------------------------- */

START_TEST(a_step_allocates_nothing)
{
    gm_counter counter = {0, 0};
    gm_context *outer = context;
    gm_model *model;
    gm_trainer *trainer;
    long before;
    context = counted_context(&counter);
    model = load(small_gan);
    require(gm_trainer_create(model, NULL, &trainer));
    require(gm_trainer_step(trainer, "play", NULL, 0));
    before = counter.count;
    ck_assert_int_gt(before, 0);
    for (int i = 0; i < 5; i++)
        require(gm_trainer_step(trainer, "play", NULL, 0));
    ck_assert_int_eq(counter.count, before);
    gm_trainer_destroy(trainer);
    gm_model_destroy(model);
    gm_context_destroy(context);
    context = outer;
}
END_TEST

/* Loads, plans and trains with the n-th allocation failing, for every n until all goes well. */
START_TEST(every_failed_allocation_is_an_error_and_not_a_crash)
{
    int failures = 0;
    for (long n = 1;; n++) {
        gm_counter counter = {0, n};
        gm_context *counted = counted_context(&counter);
        gm_model *model = NULL;
        gm_trainer *trainer = NULL;
        gm_status status = counted ? GM_OK : GM_ERROR_MEMORY;
        if (status == GM_OK)
            status = gm_model_load_memory(counted, small_gan, strlen(small_gan), "small.gmodel", NULL, &model);
        if (status == GM_OK)
            status = gm_trainer_create(model, NULL, &trainer);
        if (status == GM_OK)
            status = gm_trainer_step(trainer, "play", NULL, 0);
        ck_assert_msg(status == GM_OK || status == GM_ERROR_MEMORY, "allocation %ld: %s: %s", n, gm_status_name(status),
                      counted ? gm_context_message(counted) : "");
        gm_trainer_destroy(trainer);
        gm_model_destroy(model);
        gm_context_destroy(counted);
        if (status == GM_OK && counter.count < n)
            break;
        failures++;
    }
    ck_assert_int_gt(failures, 20);
}
END_TEST

/* --- What goes wrong ----------------------------------------------------------------------------------------------------- */

START_TEST(a_loss_that_is_no_number_stops_with_step_and_iteration)
{
    static const char text[] = "model bad <gmodel = 1, opset = 21>\n"
                               "network n () => (float v) { param v : float = 1 }\n"
                               "step s {\n"
                               "  loss = Log(n() - 0.6 * iteration)\n"
                               "  minimize loss over n with SGD <rate = 0>\n"
                               "  report loss\n"
                               "}\n"
                               "train epochs 2 of 4 iterations { s }\n";
    gm_model *model = load(text);
    gm_trainer *trainer;
    gm_status status;
    require(gm_trainer_create(model, NULL, &trainer));
    status = gm_trainer_run(trainer, NULL);
    ck_assert_int_eq(status, GM_ERROR_NUMERIC);
    ck_assert_ptr_nonnull(strstr(gm_context_message(context), "step s"));
    ck_assert_ptr_nonnull(strstr(gm_context_message(context), "iteration 3"));
    gm_trainer_destroy(trainer);
    gm_model_destroy(model);
}
END_TEST

START_TEST(a_loss_that_nobody_reports_is_watched_too)
{
    static const char text[] = "model bad <gmodel = 1, opset = 21>\n"
                               "network n () => (float v) { param v : float = -1 }\n"
                               "step s { minimize Sqrt(n()) over n with SGD <rate = 0> }\n";
    gm_model *model = load(text);
    gm_trainer *trainer;
    require(gm_trainer_create(model, NULL, &trainer));
    ck_assert_int_eq(gm_trainer_step(trainer, "s", NULL, 0), GM_ERROR_NUMERIC);
    ck_assert_ptr_nonnull(strstr(gm_context_message(context), "the loss s/minimize.Sqrt is not a number"));
    ck_assert_uint_eq(gm_trainer_report_count(trainer), 0);
    gm_trainer_destroy(trainer);
    gm_model_destroy(model);
}
END_TEST

START_TEST(wrong_feeds_are_answered_with_the_nearest_name)
{
    gm_model *model = load(small_gan);
    gm_trainer *trainer;
    float data[64] = {0};
    gm_feed feed = {"play/real.RandomUnifrom", data, sizeof data};
    require(gm_trainer_create(model, NULL, &trainer));
    ck_assert_int_eq(gm_trainer_step(trainer, "play", &feed, 1), GM_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(gm_context_message(context), "play/real.RandomUniform"));
    ck_assert_int_eq(gm_trainer_step(trainer, "paly", NULL, 0), GM_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(gm_context_message(context), "did you mean 'play'"));
    gm_trainer_destroy(trainer);
    gm_model_destroy(model);
}
END_TEST

START_TEST(a_plan_wastes_little_memory)
{
    gm_model *model = load(small_gan);
    gm_trainer *trainer;
    gm_plan_info info;
    require(gm_trainer_create(model, NULL, &trainer));
    require(gm_trainer_plan(trainer, "play", &info));
    ck_assert_uint_ge(info.arena_bytes, info.max_alive_bytes);
    ck_assert_msg((double)info.arena_bytes <= 1.10 * (double)info.max_alive_bytes + 4096, "arena %zu, alive %zu",
                  info.arena_bytes, info.max_alive_bytes);
    gm_trainer_destroy(trainer);
    gm_model_destroy(model);
}
END_TEST

/* One step of the planned path against the same step on the reference kernels. */
START_TEST(planned_and_reference_steps_agree)
{
    gm_model *model = load(small_gan);
    gm_trainer_options options;
    gm_trainer *fast, *slow;
    size_t bytes, other;
    float *a, *b;
    double x, y;
    gm_trainer_options_default(&options, sizeof options);
    require(gm_trainer_create(model, &options, &fast));
    options.reference = 1;
    require(gm_trainer_create(model, &options, &slow));
    require(gm_trainer_step(fast, "play", NULL, 0));
    require(gm_trainer_step(slow, "play", NULL, 0));
    require(gm_trainer_report(fast, "d_loss", &x));
    require(gm_trainer_report(slow, "d_loss", &y));
    ck_assert_msg(fabs(x - y) < 1e-5, "d_loss %.9g and %.9g", x, y);
    require(gm_trainer_report(fast, "g_loss", &x));
    require(gm_trainer_report(slow, "g_loss", &y));
    ck_assert_msg(fabs(x - y) < 1e-5, "g_loss %.9g and %.9g", x, y);
    a = (float *)snapshot(fast, &bytes);
    b = (float *)snapshot(slow, &other);
    ck_assert_uint_eq(bytes, other);
    free(a);
    free(b);
    gm_trainer_destroy(fast);
    gm_trainer_destroy(slow);
    gm_model_destroy(model);
}
END_TEST

static void open_context(void)
{
    ck_assert_int_eq(gm_context_create(NULL, &context), GM_OK);
}

static void close_context(void)
{
    gm_context_destroy(context);
}

int main(void)
{
    Suite *suite = suite_create("trainer");
    TCase *tests = tcase_create("training");
    SRunner *runner;
    int failed;
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, open_context, close_context);
    tcase_add_test(tests, two_data_sets_feed_one_step);
    tcase_add_test(tests, two_runs_give_identical_parameters);
    tcase_add_test(tests, training_changes_every_parameter_and_the_losses_stay_finite);
    tcase_add_loop_test(tests, resumed_training_is_identical_bit_for_bit, 3, 12);
    tcase_add_test(tests, checkpoint_is_a_model_that_draws_the_same_pictures);
    tcase_add_test(tests, a_step_allocates_nothing);
    tcase_add_test(tests, every_failed_allocation_is_an_error_and_not_a_crash);
    tcase_add_test(tests, a_loss_that_is_no_number_stops_with_step_and_iteration);
    tcase_add_test(tests, a_loss_that_nobody_reports_is_watched_too);
    tcase_add_test(tests, wrong_feeds_are_answered_with_the_nearest_name);
    tcase_add_test(tests, a_plan_wastes_little_memory);
    tcase_add_test(tests, planned_and_reference_steps_agree);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
