/* Replays training runs recorded with PyTorch in double (tests/goldens) on the shipped models, through the public API:
 * every loss, the norms of the first gradients, the parameters after the first and the last update, running statistics. */
#include <cjson/cJSON.h>
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/gmodel.h"

#define SOURCE_ROOT GM_TEST_SOURCE "/.."

typedef struct gm_pair { /* a name of the golden and the model's */
    const char *golden, *model;
} gm_pair;

typedef struct gm_case {
    const char *name, *model;
    const char *settings[4];
    const char *more;   /* declarations that take the place of the file's */
    gm_pair steps[3];   /* net -> the step that updates it */
    gm_pair reports[5]; /* loss -> report */
    /* layer -> prefix of the paths, or one parameter -> its path */
    gm_pair layers[18];
    gm_pair
        feeds[4]; /* input -> input of the step; "~word": the only random draw of the step whose path has that word */
} gm_case;

#define VAE_LAYERS                                                                                                     \
    {                                                                                                                  \
        {"enc.fc1", "encoder.fc1.Linear"}, {"enc.fc2", "encoder.fc2.Linear"}, {"enc.fc3", "encoder.fc3.Linear"},       \
            {"enc.fc4", "encoder.fc4.Linear"}, {"dec.fc1", "decoder.fc1.Linear"}, {"dec.fc2", "decoder.fc2.Linear"},   \
            {"dec.fc3", "decoder.fc3.Linear"},                                                                         \
        {                                                                                                              \
            "dec.fc4", "decoder.fc4.Linear"                                                                            \
        }                                                                                                              \
    }

/* The two updates of gan-2018 one after the other, with fresh noise each. */
#define NOISE "generator(RandomUniform <shape = [N, latent], low = -1, high = 1> ())"
#define ALTERNATING                                                                                                    \
    "step artist {\n"                                                                                                  \
    "  loss = gan_generator_loss(discriminator(" NOISE "))\n"                                                          \
    "  minimize loss over generator with Adam <rate = rate, epsilon = 1e-7>\n"                                         \
    "  report g_alone = loss\n"                                                                                        \
    "}\n"                                                                                                              \
    "step critic (float[N, 784] image) {\n"                                                                            \
    "  loss = gan_discriminator_loss(discriminator(image), discriminator(" NOISE "))\n"                                \
    "  minimize loss over discriminator with Adam <rate = rate, epsilon = 1e-7>\n"                                     \
    "  report d_alone = loss\n"                                                                                        \
    "}\n"

/* flow trains on points of the plane; the golden's have four numbers and come from no set. */
#define FOUR_NUMBERS                                                                                                   \
    "evaluate likelihood { result none = 0.0 }\n"                                                                      \
    "network idle () => (float v) { param v : float = 0 }\n"                                                           \
    "step wait { minimize idle() over idle with SGD <rate = 1> }\n"                                                    \
    "train epochs 1 of 1 iteration { wait }\n"
/* A text of as many words as the golden has. */
#define FIFTY_WORDS "corpus=" SOURCE_ROOT "/tests/goldens/fifty.txt", "width=16", "rate=0.5"
#define COUPLING(k)                                                                                                    \
    {"flow.c" k ".s.fc1", "s" k ".fc1.Linear"}, {"flow.c" k ".s.fc2", "s" k ".fc2.Linear"},                            \
        {"flow.c" k ".t.fc1", "t" k ".fc1.Linear"},                                                                    \
    {                                                                                                                  \
        "flow.c" k ".t.fc2", "t" k ".fc2.Linear"                                                                       \
    }

static const gm_case cases[] = {
    {"dcgan_fashion",
     "models/dcgan.gmodel",
     {"dropout=0"},
     NULL,
     {{"G", "adversarial"}, {"D", "adversarial"}},
     {{"loss_G", "g_loss"}, {"loss_D", "d_loss"}},
     {{"G.fc1", "generator.h0.Dense"},
      {"G.bn1", "generator.h0.BatchNorm"},
      {"G.ct1", "generator.h1.ConvTranspose2d"},
      {"G.bn2", "generator.h1.BatchNorm"},
      {"G.ct2", "generator.h2.ConvTranspose2d"},
      {"G.bn3", "generator.h2.BatchNorm"},
      {"G.ct3", "generator.image.ConvTranspose2d"},
      {"D.conv1", "discriminator.h1.Conv2d"},
      {"D.conv2", "discriminator.h2.Conv2d"},
      {"D.fc1", "discriminator.logit.Dense"}},
     {{"x", "image"}, {"z", "~Random"}}},
    {"mlp_gan_bce",
     "models/gan.gmodel",
     {NULL},
     NULL,
     {{"G", "artist"}, {"D", "critic"}},
     {{"loss_G", "g_loss"}, {"loss_D", "d_loss"}},
     {{"G.fc1", "generator.fc1.Linear"},
      {"G.fc2", "generator.fc2.Linear"},
      {"G.fc3", "generator.fc3.Linear"},
      {"D.fc1", "discriminator.fc1.Linear"},
      {"D.fc2", "discriminator.fc2.Linear"},
      {"D.fc3", "discriminator.fc3.Linear"}},
     {{"x", "image"}, {"z", "~Random"}}},
    {"mlp_gan_lsgan",
     "models/lsgan.gmodel",
     {NULL},
     NULL,
     {{"G", "artist"}, {"D", "critic"}},
     {{"loss_G", "g_loss"}, {"loss_D", "d_loss"}},
     {{"G.fc1", "generator.fc1.Linear"},
      {"G.fc2", "generator.fc2.Linear"},
      {"G.fc3", "generator.fc3.Linear"},
      {"D.fc1", "discriminator.fc1.Linear"},
      {"D.fc2", "discriminator.fc2.Linear"},
      {"D.fc3", "discriminator.fc3.Linear"}},
     {{"x", "image"}, {"z", "~Random"}}},
    {"dc_gan_infogan",
     "models/dcgan-infogan.gmodel",
     {NULL},
     NULL,
     {{"G", "artist"}, {"D", "critic"}},
     {{"loss_G", "g_loss"}, {"loss_D", "d_loss"}},
     {{"G.fc1", "generator.fc1.Linear"},
      {"G.bn1", "generator.fc1.BatchNorm"},
      {"G.fc2", "generator.fc2.Linear"},
      {"G.bn2", "generator.fc2.BatchNorm"},
      {"G.ct1", "generator.ct1.ConvTranspose2d"},
      {"G.bn3", "generator.ct1.BatchNorm"},
      {"G.ct2", "generator.ct2.ConvTranspose2d"},
      {"D.conv1", "discriminator.conv1.Conv2d"},
      {"D.conv2", "discriminator.conv2.Conv2d"},
      {"D.fc1", "discriminator.fc1.Linear"},
      {"D.fc2", "discriminator.fc2.Linear"}},
     {{"x", "image"}, {"z", "~Random"}}},
    {"gan_2018",
     "models/gan-2018.gmodel",
     {"dropout=0"},
     ALTERNATING,
     {{"G", "artist"}, {"D", "critic"}},
     {{"loss_G", "g_alone"}, {"loss_D", "d_alone"}},
     {{"G.fc1", "generator.h.Dense"},
      {"G.fc2", "generator.image.Dense"},
      {"D.fc1", "discriminator.h.Dense"},
      {"D.fc2", "discriminator.logit.Dense"}},
     {{"x", "image"}, {"z", "~Random"}}},
    {"gan_2018_simultaneous",
     "models/gan-2018.gmodel",
     {"dropout=0"},
     NULL,
     {{"G", "adversarial"}, {"D", "adversarial"}},
     {{"loss_G", "g_loss"}, {"loss_D", "d_loss"}},
     {{"G.fc1", "generator.h.Dense"},
      {"G.fc2", "generator.image.Dense"},
      {"D.fc1", "discriminator.h.Dense"},
      {"D.fc2", "discriminator.logit.Dense"}},
     {{"x", "image"}, {"z", "~Random"}}},
    {"skipgram_neg",
     "models/skipgram.gmodel",
     {FIFTY_WORDS},
     NULL,
     {{"emb", "fit"}},
     {{"loss", "loss"}},
     {{"emb.U", "word.W"}, {"emb.V", "context_word.W"}},
     {{"center", "center"}, {"context", "context"}, {"negative", "~RandomChoice"}}},
    {"skipgram_softmax",
     "models/skipgram-softmax.gmodel",
     {FIFTY_WORDS},
     NULL,
     {{"emb", "fit"}},
     {{"loss", "loss"}},
     {{"emb.U", "word.W"}, {"emb.V", "scores.W"}},
     {{"center", "center"}, {"context", "context"}}},
    {"vae_bernoulli",
     "models/vae.gmodel",
     {NULL},
     NULL,
     {{"enc", "elbo"}, {"dec", "elbo"}},
     {{"loss", "loss"}, {"recon", "recon"}, {"kl", "kl"}},
     VAE_LAYERS,
     {{"x", "image"}, {"eps", "~Random"}}},
    {"vae_continuous",
     "models/vae.gmodel",
     {"continuous=1"},
     NULL,
     {{"enc", "elbo"}, {"dec", "elbo"}},
     {{"loss", "loss"}, {"recon", "recon"}, {"kl", "kl"}},
     VAE_LAYERS,
     {{"x", "image"}, {"eps", "~Random"}}},
    {"autoencoder",
     "models/autoencoder.gmodel",
     {NULL},
     NULL,
     {{"ae", "fit"}},
     {{"loss", "loss"}},
     {{"ae.fc1", "encoder.code.Dense"}, {"ae.fc2", "decoder.image.Dense"}},
     {{"x", "image"}}},
    {"classifier",
     "models/classifier.gmodel",
     {"dropout=0"},
     NULL,
     {{"cls", "fit"}},
     {{"loss", "loss"}},
     {{"cls.fc1", "classifier.fc1.Linear"}, {"cls.fc2", "classifier.fc2.Linear"}, {"cls.fc3", "classifier.fc3.Linear"}},
     {{"x", "image"}, {"label", "label"}}},
    {"realnvp_affine",
     "models/flow.gmodel",
     {"half=2"},
     FOUR_NUMBERS,
     {{"flow", "fit"}},
     {{"loss", "nll"}},
     {COUPLING("0"), COUPLING("1"), COUPLING("2"), COUPLING("3")},
     {{"x", "x"}}},
    {"wgan_clip",
     "models/wgan.gmodel",
     {NULL},
     NULL,
     {{"G", "artist"}, {"D", "critic"}},
     {{"loss_G", "g_loss"}, {"loss_D", "d_loss"}},
     {{"G.fc1", "generator.h.Dense"},
      {"G.fc2", "generator.image.Dense"},
      {"D.fc1", "discriminator.h.Dense"},
      {"D.fc2", "discriminator.score.Dense"}},
     {{"x", "image"}, {"z", "~Random"}}},
    {"wgan_gp",
     "models/wgan-gp.gmodel",
     {"latent=2", "rate=1e-4"},
     NULL,
     {{"G", "artist"}, {"D", "critic"}},
     {{"loss_G", "g_loss"}, {"loss_D", "d_loss"}, {"critic", "critic"}, {"penalty", "penalty"}},
     {{"G.fc1", "generator.fc1.Layer"},
      {"G.fc2", "generator.fc2.Layer"},
      {"G.fc3", "generator.fc3.Layer"},
      {"D.fc1", "discriminator.fc1.Layer"},
      {"D.fc2", "discriminator.fc2.Layer"},
      {"D.fc3", "discriminator.fc3.Layer"}},
     {{"x", "x"}, {"z", "~Normal"}, {"alpha", "~Uniform"}}},
};

static gm_context *context;

static void require(gm_status status)
{
    ck_assert_msg(status == GM_OK, "%s: %s", gm_status_name(status), gm_context_message(context));
}

static char *read_text(const char *path)
{
    FILE *file = fopen(path, "rb");
    long length;
    char *text;
    ck_assert_msg(file != NULL, "%s is missing", path);
    fseek(file, 0, SEEK_END);
    length = ftell(file);
    rewind(file);
    text = calloc(1, (size_t)length + 1);
    ck_assert(fread(text, 1, (size_t)length, file) == (size_t)length);
    fclose(file);
    return text;
}

static cJSON *read_json(const char *name)
{
    char path[512];
    char *text;
    cJSON *json;
    snprintf(path, sizeof path, SOURCE_ROOT "/tests/goldens/%s.json", name);
    text = read_text(path);
    json = cJSON_Parse(text);
    ck_assert_msg(json != NULL, "%s is not JSON", path);
    free(text);
    return json;
}

static double number(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    ck_assert_msg(cJSON_IsNumber(item), "%s is not a number", key);
    return item->valuedouble;
}

static const cJSON *item(const cJSON *object, const char *key)
{
    const cJSON *found = cJSON_GetObjectItemCaseSensitive(object, key);
    ck_assert_msg(found != NULL, "%s is missing", key);
    return found;
}

static uint32_t hash(uint32_t i, uint32_t seed)
{
    uint32_t x = i * 0x9E3779B9u + seed * 0x85EBCA6Bu;
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ x >> 16;
}

static void fill_whole(int64_t *out, size_t count, uint32_t limit, uint32_t seed)
{
    for (size_t i = 0; i < count; i++)
        out[i] = hash((uint32_t)i, seed) % limit;
}

static void fill(float *out, size_t count, double low, double high, uint32_t seed)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (float)(low + (high - low) * ((hash((uint32_t)i, seed) >> 8) * 0x1p-24));
}

START_TEST(hash_gives_the_documented_numbers)
{
    ck_assert_uint_eq(hash(0, 0), 0);
    ck_assert_uint_eq(hash(1, 0), 0x01fce552u);
    ck_assert_uint_eq(hash(0, 1), 0x1efee872u);
    ck_assert_uint_eq(hash(12345, 1000), 0xba5ef850u);
}
END_TEST

static const char *lookup(const gm_pair *pairs, const char *golden, size_t length)
{
    for (; pairs->golden; pairs++)
        if (strlen(pairs->golden) == length && strncmp(pairs->golden, golden, length) == 0)
            return pairs->model;
    return NULL;
}

/* "G.fc1.W" -> "generator.h0.Dense.W"; running statistics "G.bn1.mean" -> "....m". */
static void path_of(const gm_case *test, const char *golden, char *path, size_t bytes)
{
    const char *dot = strrchr(golden, '.'), *suffix = dot + 1, *whole = lookup(test->layers, golden, strlen(golden));
    const char *layer = lookup(test->layers, golden, (size_t)(dot - golden));
    suffix = strcmp(suffix, "mean") == 0 ? "m" : strcmp(suffix, "var") == 0 ? "v" : suffix;
    ck_assert_msg(whole || layer, "no layer for %s", golden);
    if (whole)
        snprintf(path, bytes, "%s", whole);
    else
        snprintf(path, bytes, "%s.%s", layer, suffix);
}

static size_t count_of(const cJSON *shape)
{
    size_t count = 1;
    const cJSON *dim;
    cJSON_ArrayForEach(dim, shape) count *= (size_t)dim->valuedouble;
    return count;
}

static float *read_state(gm_trainer *trainer, const char *path, size_t count)
{
    float *data = malloc(count * sizeof *data);
    require(gm_trainer_read(trainer, path, data, count * sizeof *data));
    return data;
}

static void close_to(const char *what, const char *name, double found, double wanted, double tolerance)
{
    ck_assert_msg(fabs(found - wanted) <= tolerance, "%s of %s: %.12g, expected %.12g within %.3g (off by %.3g)", what,
                  name, found, wanted, tolerance, fabs(found - wanted));
}

static double one_tolerance(const cJSON *tolerance)
{
    return tolerance->valuedouble;
}

static void check_values(gm_trainer *trainer, const char *path, const cJSON *entry, const char *when)
{
    const cJSON *wanted = item(entry, when), *tolerance = item(wanted, "tol"), *index = item(entry, "index"), *at;
    size_t count = count_of(item(entry, "shape"));
    float *data = read_state(trainer, path, count);
    double sum = 0, squares = 0;
    int k = 0;
    for (size_t i = 0; i < count; i++) {
        sum += (double)data[i];
        squares += (double)data[i] * (double)data[i];
    }
    close_to("sum", path, sum, number(wanted, "sum"), number(tolerance, "sum"));
    close_to("l2", path, sqrt(squares), number(wanted, "l2"), number(tolerance, "l2"));
    cJSON_ArrayForEach(at, index)
    {
        double value = cJSON_GetArrayItem(item(wanted, "value"), k++)->valuedouble;
        close_to(when, path, (double)data[(size_t)at->valuedouble], value, one_tolerance(item(tolerance, "value")));
    }
    free(data);
}

static void write_parameters(gm_trainer *trainer, const gm_case *test, const cJSON *golden)
{
    const cJSON *entry;
    cJSON_ArrayForEach(entry, item(golden, "params"))
    {
        char path[256];
        size_t count = count_of(item(entry, "shape"));
        float *data = malloc(count * sizeof *data);
        path_of(test, item(entry, "name")->valuestring, path, sizeof path);
        fill(data, count, number(entry, "lo"), number(entry, "hi"), (uint32_t)number(entry, "seed"));
        require(gm_trainer_write(trainer, path, data, count * sizeof *data));
        free(data);
    }
}

static const char *step_of(const gm_case *test, const char *net)
{
    const char *step = lookup(test->steps, net, strlen(net));
    ck_assert_msg(step != NULL, "no step updates net %s", net);
    return step;
}

/* The only random draw of a step whose path contains `word`. */
static const char *draw_path(gm_trainer *trainer, const char *step, const char *word)
{
    const char *found = NULL;
    for (size_t i = 0; i < gm_trainer_feed_count(trainer, step); i++) {
        gm_tensor_view view;
        int is_draw = 0;
        require(gm_trainer_feed(trainer, step, i, &view, &is_draw));
        if (!is_draw || !strstr(view.name, word))
            continue;
        ck_assert_msg(!found, "step %s draws %s and %s", step, found, view.name);
        found = view.name;
    }
    ck_assert_msg(found != NULL, "step %s draws no %s", step, word);
    return found;
}

/* The array that an update reads for one input of the golden. The caller frees its data. */
static gm_feed make_feed(gm_trainer *trainer, const gm_case *test, const char *step, const cJSON *input,
                         const cJSON *seed)
{
    size_t elements = count_of(item(input, "shape"));
    int whole = cJSON_HasObjectItem(input, "mod");
    size_t bytes = elements * (whole ? sizeof(int64_t) : sizeof(float));
    void *data = aligned_alloc(64, (bytes + 63) / 64 * 64);
    const char *name = lookup(test->feeds, seed->string, strlen(seed->string));
    ck_assert_msg(name != NULL, "nothing is fed %s", seed->string);
    if (whole)
        fill_whole(data, elements, (uint32_t)number(input, "mod"), (uint32_t)seed->valuedouble);
    else
        fill(data, elements, number(input, "lo"), number(input, "hi"), (uint32_t)seed->valuedouble);
    return (gm_feed){*name == '~' ? draw_path(trainer, step, name + 1) : name, data, bytes};
}

static void run_update(gm_trainer *trainer, const gm_case *test, const cJSON *golden, const cJSON *update)
{
    const char *step = step_of(test, cJSON_GetArrayItem(item(update, "nets"), 0)->valuestring);
    const cJSON *seed, *loss;
    gm_feed feeds[4];
    size_t count = 0;
    cJSON_ArrayForEach(seed, item(update, "seeds"))
    {
        ck_assert_uint_lt(count, sizeof feeds / sizeof feeds[0]);
        feeds[count++] = make_feed(trainer, test, step, item(item(golden, "inputs"), seed->string), seed);
    }
    require(gm_trainer_step(trainer, step, feeds, count));
    cJSON_ArrayForEach(loss, item(update, "losses"))
    {
        const char *report = lookup(test->reports, loss->string, strlen(loss->string));
        double value;
        if (!report)
            continue;
        require(gm_trainer_report(trainer, report, &value));
        close_to("loss", loss->string, value, loss->valuedouble, number(item(update, "tol"), loss->string));
    }
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)feeds[i].data);
}

/* After the first update of each of its nets: gradients that entered it and parameters it left. */
static void check_first(gm_trainer *trainer, const gm_case *test, const cJSON *golden, const char *net)
{
    const cJSON *entry;
    cJSON_ArrayForEach(entry, item(golden, "params"))
    {
        char path[256];
        double norm;
        if (strcmp(item(entry, "net")->valuestring, net) != 0)
            continue;
        path_of(test, item(entry, "name")->valuestring, path, sizeof path);
        require(gm_trainer_gradient_norm(trainer, step_of(test, net), path, &norm));
        close_to("gradient norm", path, norm, number(entry, "grad0_l2"), number(entry, "grad0_tol"));
        check_values(trainer, path, entry, "first");
    }
}

static void replay(const gm_case *test)
{
    cJSON *golden = read_json(test->name);
    gm_model_options model_options;
    gm_trainer_options trainer_options;
    gm_model *model;
    gm_trainer *trainer;
    const cJSON *update, *net, *entry;
    char file[512], seen[64] = "", text[2048];
    size_t updates = 0;
    snprintf(file, sizeof file, SOURCE_ROOT "/%s", test->model);
    gm_model_options_default(&model_options, sizeof model_options);
    model_options.settings = test->settings;
    while (test->settings[model_options.setting_count])
        model_options.setting_count++;
    if (test->more) {
        snprintf(text, sizeof text, "import \"%s\"\nmodel golden <gmodel = 1, opset = 21>\n%s", test->model,
                 test->more);
        require(gm_model_load_memory(context, text, strlen(text), SOURCE_ROOT "/golden", &model_options, &model));
    } else
        require(gm_model_load(context, file, &model_options, &model));
    gm_trainer_options_default(&trainer_options, sizeof trainer_options);
    trainer_options.batch = (int64_t)number(golden, "B");
    require(gm_trainer_create(model, &trainer_options, &trainer));
    require(gm_trainer_keep_gradients(trainer, 1));
    write_parameters(trainer, test, golden);
    cJSON_ArrayForEach(update, item(golden, "updates"))
    {
        run_update(trainer, test, golden, update);
        updates++;
        cJSON_ArrayForEach(net, item(update, "nets"))
        {
            if (strstr(seen, net->valuestring))
                continue;
            strcat(seen, net->valuestring);
            check_first(trainer, test, golden, net->valuestring);
        }
    }
    ck_assert_uint_gt(updates, 0);
    cJSON_ArrayForEach(entry, item(golden, "params"))
    {
        char path[256];
        path_of(test, item(entry, "name")->valuestring, path, sizeof path);
        check_values(trainer, path, entry, "final");
    }
    cJSON_ArrayForEach(entry, cJSON_GetObjectItemCaseSensitive(golden, "running"))
    {
        char path[256];
        path_of(test, item(entry, "name")->valuestring, path, sizeof path);
        check_values(trainer, path, entry, "final");
    }
    gm_trainer_destroy(trainer);
    gm_model_destroy(model);
    cJSON_Delete(golden);
}

START_TEST(trajectory_is_pytorchs)
{
    replay(&cases[_i]);
}
END_TEST

/* minmax_xy: x, y and x * y after each round are integers, exact. */
START_TEST(minmax_game_is_exact)
{
    cJSON *golden = read_json("minmax_xy");
    gm_model *model;
    gm_trainer *trainer;
    int count = cJSON_GetArraySize(item(golden, "x"));
    require(gm_model_load(context, SOURCE_ROOT "/models/minmax.gmodel", NULL, &model));
    require(gm_trainer_create(model, NULL, &trainer));
    ck_assert_int_eq(count, 7);
    for (int t = 0; t < count; t++) {
        float x, y;
        if (t > 0) {
            require(gm_trainer_step(trainer, "up", NULL, 0));
            require(gm_trainer_step(trainer, "down", NULL, 0));
        }
        require(gm_trainer_read(trainer, "x.v", &x, sizeof x));
        require(gm_trainer_read(trainer, "y.v", &y, sizeof y));
        ck_assert_msg((double)x == cJSON_GetArrayItem(item(golden, "x"), t)->valuedouble, "x is %g at %d", (double)x,
                      t);
        ck_assert_msg((double)y == cJSON_GetArrayItem(item(golden, "y"), t)->valuedouble, "y is %g at %d", (double)y,
                      t);
        ck_assert_msg((double)(x * y) == cJSON_GetArrayItem(item(golden, "f"), t)->valuedouble, "f at %d", t);
    }
    gm_trainer_destroy(trainer);
    gm_model_destroy(model);
    cJSON_Delete(golden);
}
END_TEST

static void open_context(void)
{
    gm_context_options options;
    gm_context_options_default(&options, sizeof options);
    options.direct_math = 1; /* the tolerances are made for plain float32 sums */
    ck_assert_int_eq(gm_context_create(&options, &context), GM_OK);
}

static void close_context(void)
{
    gm_context_destroy(context);
}

int main(void)
{
    Suite *suite = suite_create("goldens");
    TCase *tests = tcase_create("trajectories");
    SRunner *runner;
    int failed;
    tcase_set_timeout(tests, 300);
    tcase_add_checked_fixture(tests, open_context, close_context);
    tcase_add_test(tests, hash_gives_the_documented_numbers);
    tcase_add_loop_test(tests, trajectory_is_pytorchs, 0, (int)(sizeof cases / sizeof cases[0]));
    tcase_add_test(tests, minmax_game_is_exact);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
