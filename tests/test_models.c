/* Each shipped model: its number of parameters, a few steps of training on some of the built-in digits, its samples and
 * evaluations. A file in models/ that has no row here fails the suite. */
#include <check.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/digits.h"
#include "runtime/gmodel.h"

#define FOLDER GM_TEST_SOURCE "/../models"

enum { MAX_STEPS = 64 };

/* What a report must come to: the mean over the last quarter of the steps. */
typedef struct gm_wanted {
    const char *report;
    double least, most;
} gm_wanted;

typedef struct gm_shipped {
    const char *name;
    const char *settings[4];
    struct {
        const char *network;
        size_t parameters;
    } networks[3];
    int64_t batch, steps; /* 0: the file has no training */
    gm_wanted wanted[3];
} gm_shipped;

static const gm_shipped models[] = {
    {"autoencoder", {NULL}, {{"encoder", 200960}, {"decoder", 201488}}, 32, 24, {{"loss", 0, 0.1}}},
    {"classifier", {NULL}, {{"classifier", 669706}}, 32, 24, {{"loss", 0, 2}, {"hits", 0.4, 1}}},
    {"dcgan", {NULL}, {{"generator", 2305472}, {"discriminator", 212865}}, 4, 3, {{"g_loss", 0, 2}, {"d_loss", 0, 3}}},
    {"dcgan-infogan",
     {"latent=4", "examples=200"},
     {{"generator", 6580801}, {"discriminator", 1102721}},
     8,
     6,
     {{"d_loss", 0, 1.35}}},
    {"dclsgan",
     {"latent=4", "examples=200"},
     {{"generator", 6580801}, {"discriminator", 1102721}},
     8,
     6,
     {{"d_loss", 0, 0.6}}},
    {"dcgan-latent40-small",
     {"batch=8"},
     {{"generator", 30992}, {"discriminator", 14209}},
     4,
     3,
     {{"g_loss", 0, 2}, {"d_loss", 0, 3}}},
    {"dcgan-latent40",
     {"batch=8"},
     {{"generator", 248848}, {"discriminator", 212865}},
     4,
     3,
     {{"g_loss", 0, 2}, {"d_loss", 0, 3}}},
    {"flow", {NULL}, {{"s0", 97}, {"t3", 97}}, 64, 60, {{"nll", 0, 2.6}}},
    {"flow-affine", {NULL}, {{"F0", 4353}, {"alpha3", 1}}, 64, 60, {{"nll", 0, 2.3}}},
    {"gan",
     {"latent=4", "examples=200"},
     {{"generator", 1858320}, {"discriminator", 267009}},
     16,
     12,
     {{"d_loss", 0, 1.3}}},
    {"gan-2018",
     {NULL},
     {{"generator", 81184}, {"discriminator", 78601}},
     32,
     40,
     {{"p_real", 0.5, 1}, {"p_fake", 0, 0.5}, {"d_loss", 0, 1.3}}},
    {"gan-noisy",
     {NULL},
     {{"generator", 81184}, {"discriminator", 78601}},
     32,
     40,
     {{"p_real", 0.5, 1}, {"p_fake", 0, 0.5}, {"d_loss", 0, 1.4}}},
    {"inception",
     {"judge_file=saved-classifier.gmodel", "maker_file=saved-gan.gmodel"},
     {{"judge", 669706}},
     0,
     0,
     {{NULL, 0, 0}}},
    {"inception-vae",
     {"judge_file=saved-classifier.gmodel", "maker_file=saved-vae.gmodel"},
     {{"maker", 1357784}},
     0,
     0,
     {{NULL, 0, 0}}},
    {"lsgan",
     {"latent=4", "examples=200"},
     {{"generator", 1858320}, {"discriminator", 267009}},
     16,
     12,
     {{"d_loss", 0, 0.4}}},
    {"minmax", {NULL}, {{"x", 1}, {"y", 1}}, 0, 6, {{"f_up", -2, 2}}},
    {"ring", {NULL}, {{"generator", 49666}, {"discriminator", 17025}}, 64, 30, {{"d_loss", 0, 1.5}, {"g_loss", 0, 4}}},
    {"skipgram", {"rate=6.4"}, {{"word", 15200}, {"context_word", 15200}}, 0, 60, {{"loss", 0, 3}}},
    {"skipgram-softmax", {"rate=6.4"}, {{"word", 15200}, {"scores", 15200}}, 0, 60, {{"loss", 0, 4.9}}},
    {"skipgram-hierarchical", {"rate=6.4"}, {{"word", 15200}, {"inner", 15100}}, 0, 60, {{"loss", 0, 4.7}}},
    {"vae", {NULL}, {{"encoder", 571304}, {"decoder", 1357784}}, 32, 16, {{"recon", 0, 400}, {"kl", 0, 100}}},
    {"vae", {"continuous=1"}, {{NULL, 0}}, 32, 8, {{"loss", -5000, 100}}},
    {"vae-mse", {NULL}, {{"encoder", 403972}, {"decoder", 403728}}, 32, 24, {{"recon", 0, 40}, {"kl", 0, 100}}},
    {"wgan", {NULL}, {{"generator", 81184}, {"discriminator", 78601}}, 16, 8, {{"d_loss", -10, 0}}},
    {"wgan-gp", {NULL}, {{"generator", 49666}, {"discriminator", 17025}}, 32, 16, {{"penalty", 0, 10}}},
};

static gm_context *context;
static char data_folder[] = "/tmp/gmodel-models-XXXXXX";

static void require(gm_status status)
{
    ck_assert_msg(status == GM_OK, "%s: %s", gm_status_name(status), gm_context_message(context));
}

static gm_model *load(const gm_shipped *shipped)
{
    gm_model_options options;
    gm_model *model;
    char path[512];
    snprintf(path, sizeof path, "%s/%s.gmodel", FOLDER, shipped->name);
    gm_model_options_default(&options, sizeof options);
    options.data_directory = data_folder;
    options.settings = shipped->settings;
    while (shipped->settings[options.setting_count])
        options.setting_count++;
    require(gm_model_load(context, path, &options, &model));
    return model;
}

/* --- A few built-in digits as files, so that not all 70,000 are drawn for each model --- */

static void write_idx(const char *name, int rank, uint32_t count, const uint8_t *bytes, size_t size)
{
    uint32_t dims[3] = {count, GM_DIGITS_SIDE, GM_DIGITS_SIDE};
    uint8_t head[16] = {0, 0, 8, (uint8_t)rank};
    char path[256];
    for (int i = 0; i < rank; i++)
        for (int k = 0; k < 4; k++)
            head[4 + 4 * i + k] = (uint8_t)(dims[i] >> (24 - 8 * k));
    snprintf(path, sizeof path, "%s/%s", data_folder, name);
    FILE *file = fopen(path, "wb");
    ck_assert(file != NULL);
    ck_assert_uint_eq(fwrite(head, 1, (size_t)(4 + 4 * rank), file), (size_t)(4 + 4 * rank));
    ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
}

/* A checkpoint of each model that others load, without training. The tests stand in its folder. */
static void write_checkpoints(void)
{
    static const char *const names[] = {"classifier", "gan", "vae"};
    gm_context_create(NULL, &context);
    ck_assert_int_eq(chdir(data_folder), 0);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        gm_shipped shipped = {.name = names[i]};
        char path[256];
        gm_model *model = load(&shipped);
        snprintf(path, sizeof path, "%s/saved-%s.gmodel", data_folder, names[i]);
        require(gm_model_save(model, path));
        gm_model_destroy(model);
    }
    gm_context_destroy(context);
}

static void write_digits(void)
{
    enum { COUNT = 400, PIXELS = GM_DIGITS_SIDE * GM_DIGITS_SIDE };
    static uint8_t pictures[COUNT * PIXELS], labels[COUNT];
    ck_assert(mkdtemp(data_folder) != NULL);
    gm_digits_draw(false, 0, COUNT, pictures, labels, 1);
    write_idx("train-images-idx3-ubyte", 3, COUNT, pictures, sizeof pictures);
    write_idx("train-labels-idx1-ubyte", 1, COUNT, labels, sizeof labels);
    gm_digits_draw(true, 0, COUNT, pictures, labels, 1);
    write_idx("t10k-images-idx3-ubyte", 3, COUNT, pictures, sizeof pictures);
    write_idx("t10k-labels-idx1-ubyte", 1, COUNT, labels, sizeof labels);
    write_checkpoints();
}

static void remove_digits(void)
{
    static const char *const names[] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
                                        "t10k-labels-idx1-ubyte",  "saved-classifier.gmodel", "saved-gan.gmodel",
                                        "saved-vae.gmodel"};
    char path[256];
    ck_assert_int_eq(chdir("/"), 0);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", data_folder, names[i]);
        unlink(path);
    }
    rmdir(data_folder);
}

/* --- What is checked of each model --- */

static void check_parameters(const gm_model *model, const gm_shipped *shipped)
{
    for (size_t k = 0; k < 3 && shipped->networks[k].network; k++) {
        size_t count = 0;
        for (size_t i = 0; i < gm_model_parameter_count(model); i++) {
            gm_parameter_info info;
            size_t elements = 1;
            require(gm_model_parameter_info(model, i, &info));
            for (int d = 0; d < info.rank; d++)
                elements *= (size_t)info.dims[d];
            if (!info.is_buffer && strcmp(info.network, shipped->networks[k].network) == 0)
                count += elements;
        }
        ck_assert_msg(count == shipped->networks[k].parameters, "%s: network %s has %zu parameters, expected %zu",
                      shipped->name, shipped->networks[k].network, count, shipped->networks[k].parameters);
    }
}

typedef struct gm_history {
    gm_trainer *trainer;
    const gm_shipped *shipped;
    size_t steps;
    double values[3][MAX_STEPS];
} gm_history;

static int remember(const gm_progress *progress, void *user)
{
    gm_history *history = user;
    for (size_t i = 0; i < progress->report_count; i++)
        ck_assert_msg(isfinite(progress->reports[i]), "%s: %s is not finite", history->shipped->name,
                      progress->report_names[i]);
    if (progress->epoch_ended) /* told once more */
        return 0;
    ck_assert_uint_lt(history->steps, MAX_STEPS);
    for (size_t i = 0; i < 3 && history->shipped->wanted[i].report; i++)
        require(gm_trainer_report(history->trainer, history->shipped->wanted[i].report,
                                  &history->values[i][history->steps]));
    history->steps++;
    return 0;
}

static void check_training(gm_trainer *trainer, const gm_shipped *shipped)
{
    static gm_history history;
    gm_run_options options;
    history = (gm_history){.trainer = trainer, .shipped = shipped};
    gm_run_options_default(&options, sizeof options);
    options.steps = shipped->steps;
    options.progress = remember;
    options.user = &history;
    require(gm_trainer_run(trainer, &options));
    ck_assert_uint_eq(history.steps, (size_t)shipped->steps);
    for (size_t i = 0; i < 3 && shipped->wanted[i].report; i++) {
        const gm_wanted *wanted = &shipped->wanted[i];
        size_t first = history.steps - (history.steps + 3) / 4;
        double mean = 0;
        for (size_t k = first; k < history.steps; k++)
            mean += history.values[i][k] / (double)(history.steps - first);
        ck_assert_msg(mean >= wanted->least && mean <= wanted->most, "%s: %s comes to %g, expected %g ... %g",
                      shipped->name, wanted->report, mean, wanted->least, wanted->most);
    }
}

static void check_finite(const gm_shipped *shipped, const gm_tensor_view *view)
{
    if (view->type != GM_FLOAT)
        return;
    for (size_t i = 0; i < view->bytes / sizeof(float); i++)
        ck_assert_msg(isfinite(((const float *)view->data)[i]), "%s: %s is not finite at %zu", shipped->name,
                      view->name, i);
}

/* The inputs of a sample are left zero: black pictures. */
static void check_samples(const gm_model *model, const gm_shipped *shipped)
{
    const char *name;
    for (size_t i = 0; (name = gm_model_part_name(model, GM_PART_SAMPLE, i)) != NULL; i++) {
        gm_session *session;
        require(gm_session_create(model, name, NULL, &session));
        for (size_t k = 0; k < gm_session_input_count(session); k++) {
            gm_tensor_view view;
            require(gm_session_input(session, k, &view));
            memset(view.data, 0, view.bytes);
        }
        require(gm_session_run(session));
        ck_assert_uint_gt(gm_session_output_count(session), 0);
        for (size_t k = 0; k < gm_session_output_count(session); k++) {
            gm_tensor_view view;
            require(gm_session_output(session, k, &view));
            check_finite(shipped, &view);
        }
        gm_session_destroy(session);
    }
}

/* Of the trainer's parameters; of the model's without one. */
static void check_evaluations(gm_trainer *trainer, const gm_model *model, const gm_shipped *shipped)
{
    gm_evaluation_options options;
    const char *name;
    gm_evaluation_options_default(&options, sizeof options);
    options.limit = options.draws = 200;
    for (size_t i = 0; (name = gm_model_part_name(model, GM_PART_EVALUATION, i)) != NULL; i++) {
        gm_evaluation *evaluation;
        require(trainer ? gm_evaluation_create_for_trainer(trainer, name, &options, &evaluation)
                        : gm_evaluation_create(model, name, &options, &evaluation));
        require(gm_evaluation_run(evaluation));
        ck_assert_uint_gt(gm_evaluation_count(evaluation), 0);
        for (size_t k = 0; k < gm_evaluation_count(evaluation); k++) {
            gm_tensor_view view;
            require(gm_evaluation_value(evaluation, k, &view));
            check_finite(shipped, &view);
        }
        gm_evaluation_destroy(evaluation);
    }
}

START_TEST(model_trains)
{
    const gm_shipped *shipped = &models[_i];
    gm_trainer_options options;
    gm_trainer *trainer = NULL;
    gm_model *model = load(shipped);
    check_parameters(model, shipped);
    check_samples(model, shipped);
    gm_trainer_options_default(&options, sizeof options);
    options.batch = shipped->batch;
    if (shipped->steps) {
        require(gm_trainer_create(model, &options, &trainer));
        check_training(trainer, shipped);
    }
    check_evaluations(trainer, model, shipped);
    gm_trainer_destroy(trainer);
    gm_model_destroy(model);
}
END_TEST

START_TEST(every_file_has_a_row)
{
    DIR *folder = opendir(FOLDER);
    const struct dirent *entry;
    size_t files = 0;
    ck_assert(folder != NULL);
    while ((entry = readdir(folder)) != NULL) {
        const char *dot = strrchr(entry->d_name, '.');
        int found = 0;
        if (!dot || strcmp(dot, ".gmodel") != 0)
            continue;
        for (size_t i = 0; i < sizeof models / sizeof models[0]; i++)
            found |= strlen(models[i].name) == (size_t)(dot - entry->d_name) &&
                     strncmp(models[i].name, entry->d_name, strlen(models[i].name)) == 0;
        ck_assert_msg(found, "%s has no row in test_models.c", entry->d_name);
        files++;
    }
    closedir(folder);
    ck_assert_uint_gt(files, 0);
}
END_TEST

static void open_context(void)
{
    gm_context_options options;
    gm_context_options_default(&options, sizeof options);
    options.threads = 1; /* small work */
    require(gm_context_create(&options, &context));
}

static void close_context(void)
{
    gm_context_destroy(context);
}

int main(void)
{
    Suite *suite = suite_create("models");
    TCase *tests = tcase_create("models");
    SRunner *runner;
    int failed;
    tcase_set_timeout(tests, 120);
    tcase_add_unchecked_fixture(tests, write_digits, remove_digits);
    tcase_add_checked_fixture(tests, open_context, close_context);
    tcase_add_loop_test(tests, model_trains, 0, (int)(sizeof models / sizeof models[0]));
    tcase_add_test(tests, every_file_has_a_row);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
