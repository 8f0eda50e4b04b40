/* Choices by measuring: they are kept and read back, files that are no good are told and replaced, every way computes the
 * same. Nothing here depends on which way is the fastest. */
#include "runtime/tune.h"
#include "tests/lower_check.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char text[] =
    "model m <gmodel = 1, opset = 21, seed = 3>\n"
    "network c (float[N, 3, 6, 6] x) => (float[N, 2, 12, 12] y) {\n"
    "  h = Relu(Conv2d <8, kernel = 3> (x))\n  y = ConvTranspose2d <2, kernel = 4, stride = 2> (h)\n}\n"
    "network large (float[N, 32, 8, 8] x) => (float[N, 32, 16, 16] y) {\n" /* with channels for Winograd */
    "  h = Relu(Conv2d <64, kernel = 5> (x))\n  y = ConvTranspose2d <32, kernel = 4, stride = 2> (h)\n}\n"
    "step fit (float[N, 3, 6, 6] x) {\n"
    "  loss = mean(c(x) ^ 2)\n  minimize loss over c with SGD <rate = 0.01>\n  report loss\n}\n";

static char folder[] = "/tmp/gmodel-tune-XXXXXX";
static char file[128]; /* the file of choices */

/* What a context tells, and what it has allocated. */
typedef struct listener {
    size_t lines, alive, calls, limit; /* limit: allocations beyond so many fail; 0: none do */
    char last[1024];
} listener;

static void take_line(const char *line, void *user)
{
    listener *l = user;
    l->lines++;
    snprintf(l->last, sizeof l->last, "%s", line);
}

static void *allocate(size_t bytes, void *user)
{
    listener *l = user;
    void *memory = l->limit && l->calls >= l->limit ? NULL : malloc(bytes);
    l->calls++;
    l->alive += memory != NULL;
    return memory;
}

static void release(void *memory, void *user)
{
    ((listener *)user)->alive -= memory != NULL;
    free(memory);
}

typedef struct place {
    listener heard;
    gm_context *context;
    gm_model *model;
} place;

static void open_place(place *p, const char *path, bool direct)
{
    gm_context_options options;
    gm_context_options_default(&options, sizeof options);
    memset(p, 0, sizeof *p);
    options.threads = 1;
    options.direct_math = direct;
    options.tune = path;
    options.log = take_line;
    options.allocate = allocate;
    options.release = release;
    options.user = &p->heard;
    ck_assert_int_eq(gm_context_create(&options, &p->context), GM_OK);
    ck_assert_msg(gm_model_load_memory(p->context, text, sizeof text - 1, "m.gmodel", NULL, &p->model) == GM_OK, "%s",
                  gm_context_message(p->context));
}

static void close_place(place *p)
{
    gm_model_destroy(p->model);
    gm_context_destroy(p->context);
    ck_assert_uint_eq(p->heard.alive, 0);
}

static gm_session *plan(place *p, const char *network, int64_t batch)
{
    gm_session_options options;
    gm_session *session = NULL;
    gm_session_options_default(&options, sizeof options);
    options.batch = batch;
    ck_assert_msg(gm_session_create(p->model, network, &options, &session) == GM_OK, "%s",
                  gm_context_message(p->context));
    ck_assert_str_eq(gm_context_message(p->context), "");
    return session;
}

static void plan_only(place *p, int64_t batch)
{
    gm_session_destroy(plan(p, "c", batch));
}

static size_t measured(const place *p)
{
    return gm_tuner_measured(p->context->tuner);
}

static char *read_all(const char *path, size_t *bytes_out)
{
    FILE *f = fopen(path, "rb");
    char *data = calloc(1, 1 << 16);
    ck_assert_msg(f != NULL && data != NULL, "%s", path);
    *bytes_out = fread(data, 1, (1 << 16) - 1, f);
    fclose(f);
    return data;
}

static void write_all(const char *path, const char *data, size_t bytes)
{
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(data, 1, bytes, f), bytes);
    ck_assert_int_eq(fclose(f), 0);
}

/* A file of choices as two instructions make it. */
static char *good_file(size_t *bytes_out)
{
    place p;
    unlink(file);
    open_place(&p, file, false);
    plan_only(&p, 4);
    ck_assert_uint_eq(measured(&p), 2);
    ck_assert_uint_eq(p.heard.lines, 0);
    close_place(&p);
    return read_all(file, bytes_out);
}

/* The file serves: nothing is told, nothing is measured. */
static void serves(void)
{
    place p;
    open_place(&p, file, false);
    plan_only(&p, 4);
    ck_assert_uint_eq(measured(&p), 0);
    ck_assert_msg(p.heard.lines == 0, "%s", p.heard.last);
    close_place(&p);
}

static void setup(void)
{
    snprintf(folder, sizeof folder, "/tmp/gmodel-tune-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/choices", folder);
}

static void teardown(void)
{
    char other[160];
    unlink(file);
    rmdir(file);
    snprintf(other, sizeof other, "%s/link", folder);
    unlink(other);
    ck_assert_int_eq(rmdir(folder), 0); /* no temporary file is left */
}

/* Two steps of training; the losses in `losses`. */
static void train(place *p, double *losses)
{
    static float x[4 * 3 * 6 * 6];
    gm_trainer_options options;
    gm_trainer *trainer = NULL;
    gm_feed feed = {"x", x, sizeof x};
    for (size_t i = 0; i < GM_COUNT(x); i++)
        x[i] = (float)(i * 37 % 101) / 50 - 1;
    gm_trainer_options_default(&options, sizeof options);
    options.batch = 4;
    ck_assert_msg(gm_trainer_create(p->model, &options, &trainer) == GM_OK, "%s", gm_context_message(p->context));
    for (int i = 0; i < 2; i++) {
        ck_assert_msg(gm_trainer_step(trainer, "fit", &feed, 1) == GM_OK, "%s", gm_context_message(p->context));
        ck_assert_int_eq(gm_trainer_report(trainer, "loss", &losses[i]), GM_OK);
    }
    gm_trainer_destroy(trainer);
}

START_TEST(choices_are_kept_and_read_back)
{
    place p;
    double first[2], second[2], plain[2];
    size_t bytes, bytes2;
    char *kept, *again;
    open_place(&p, file, false);
    train(&p, first);
    ck_assert_uint_ge(measured(&p), 5); /* two layers, forward and backward */
    ck_assert_msg(p.heard.lines == 0, "%s", p.heard.last);
    close_place(&p);
    kept = read_all(file, &bytes);
    ck_assert_ptr_nonnull(strstr(kept, "gmodel tuning 1\nmachine gmodel "));
    ck_assert_ptr_nonnull(strstr(kept, gm_compute_version()));
    ck_assert_ptr_nonnull(strstr(kept, " Conv threads 1 float[4, 3, 6, 6] plain float[8, 3, 3, 3] "));

    open_place(&p, file, false);
    train(&p, second);
    ck_assert_uint_eq(measured(&p), 0);
    ck_assert_msg(p.heard.lines == 0, "%s", p.heard.last);
    close_place(&p);
    again = read_all(file, &bytes2);
    ck_assert(bytes == bytes2 && memcmp(kept, again, bytes) == 0);
    ck_assert_msg(memcmp(first, second, sizeof first) == 0, "the same choices, other results");

    open_place(&p, NULL, false);
    ck_assert_ptr_null(p.context->tuner);
    train(&p, plain);
    for (int i = 0; i < 2; i++)
        ck_assert_msg(fabs(plain[i] - first[i]) <= 1e-5 * fabs(plain[i]), "%.9g, %.9g", plain[i], first[i]);
    close_place(&p);
    free(kept);
    free(again);
}
END_TEST

/* Other batches, threads and --math are other instructions; what several contexts measure comes together. */
START_TEST(choices_of_several_contexts_come_together)
{
    place a, b, c;
    open_place(&a, file, false);
    open_place(&b, file, true);
    plan_only(&a, 4);
    plan_only(&b, 4);
    plan_only(&a, 5);
    ck_assert_uint_eq(measured(&a), 4);
    ck_assert_uint_eq(measured(&b), 2);
    close_place(&a);
    close_place(&b);
    open_place(&c, file, false);
    plan_only(&c, 5);
    plan_only(&c, 4);
    ck_assert_uint_eq(measured(&c), 0);
    close_place(&c);
    open_place(&c, file, true);
    plan_only(&c, 4);
    ck_assert_uint_eq(measured(&c), 0);
    ck_assert_msg(c.heard.lines == 0, "%s", c.heard.last);
    close_place(&c);
}
END_TEST

/* With `damaged` as the file: one line that says `says`, then it is as a new one. */
static void is_replaced(const char *damaged, size_t bytes, const char *says)
{
    place p;
    write_all(file, damaged, bytes);
    open_place(&p, file, false);
    plan_only(&p, 4);
    ck_assert_msg(p.heard.lines == 1, "%zu lines for '%.40s', the last is '%s'", p.heard.lines, damaged, p.heard.last);
    ck_assert_msg(strstr(p.heard.last, says) && strstr(p.heard.last, file), "'%s' is not in '%s'", says, p.heard.last);
    ck_assert_uint_ge(measured(&p), 1);
    close_place(&p);
    serves();
}

/* `data` with the first `from` replaced. */
static char *with(const char *data, const char *from, const char *to)
{
    const char *at = strstr(data, from);
    char *fresh = calloc(1, strlen(data) + strlen(to) + 1);
    ck_assert_msg(at != NULL && fresh != NULL, "no '%s' in %s", from, data);
    memcpy(fresh, data, (size_t)(at - data));
    strcat(fresh, to);
    strcat(fresh, at + strlen(from));
    return fresh;
}

START_TEST(files_that_are_no_good_are_told_and_replaced)
{
    static const struct {
        const char *from, *to, *says;
    } changes[] = {
        {"gmodel tuning 1", "gmodel tuning 2", "it begins with 'gmodel tuning 2'"},
        {"machine gmodel", "machine of gmodel", "of another machine or library"},
        {"oneDNN ", "oneDNN 9.", "of another machine or library"},
        {"machine ", "engine ", "of another machine or library"},
        {"end 2", "end 3", "cut or damaged behind choice 2"},
        {"end 2\n", "end 2\nend 2\n", "cut or damaged behind choice 2"},
        {"end 2\n", "end 2", "cut or damaged behind choice 2"},
        {"end 2\n", "\nend 2\n", "cut or damaged behind choice 2"},
        {"end 2\n", "", "cut or damaged behind choice 2"},
        {"\nend 2\n", "\nonednn\nend 3\n", "cut or damaged behind choice 2"},
    };
    size_t bytes;
    char *good = good_file(&bytes), *bad;
    for (size_t i = 0; i < GM_COUNT(changes); i++) {
        bad = with(good, changes[i].from, changes[i].to);
        is_replaced(bad, strlen(bad), changes[i].says);
        free(bad);
    }
    is_replaced("", 0, "cut in its first lines");
    bad = with(good, "end 2\n", "onednn a key\nonednn a key\nend 4\n"); /* twice the same */
    is_replaced(bad, strlen(bad), "cut or damaged behind choice 3");
    free(bad);
    for (size_t cut = 0; cut < bytes; cut++) { /* at every byte */
        place p;
        write_all(file, good, cut);
        open_place(&p, file, false);
        ck_assert_msg(p.heard.lines == 1, "cut at %zu: %zu lines", cut, p.heard.lines);
        close_place(&p);
    }
    for (size_t i = 16; i < bytes; i += 61) { /* other bytes: whatever they are taken for, the plan is made */
        place p;
        char kept = good[i];
        good[i] = (char)(kept ^ (1 << (i % 8)));
        write_all(file, good, bytes);
        good[i] = kept;
        open_place(&p, file, false);
        plan_only(&p, 4);
        ck_assert_msg(p.heard.lines <= 2, "byte %zu: %s", i, p.heard.last);
        close_place(&p);
        serves();
    }
    free(good);
}
END_TEST

/* Line `line` of the text behind its first two, the choices, with another name. */
static char *with_name(const char *data, int line, const char *name)
{
    const char *at = data, *end;
    char *fresh = calloc(1, strlen(data) + 64);
    ck_assert_ptr_nonnull(fresh);
    for (line += 2; line; line--)
        at = strchr(at, '\n') + 1;
    end = strchr(at, ' ');
    sprintf(fresh, "%.*s%s%s", (int)(at - data), data, name, end);
    return fresh;
}

START_TEST(unknown_choices_are_told_and_replaced)
{
    size_t bytes;
    for (int i = 0; i < 4; i++) { /* a name that there is not, and one that does not suit: Winograd's in direct math */
        char *good, *bad, *again;
        place p;
        unlink(file);
        open_place(&p, file, true);
        gm_session_destroy(plan(&p, "large", 4));
        close_place(&p);
        good = read_all(file, &bytes);
        bad = with_name(good, i % 2, i < 2 ? "no-such" : "winograd");
        write_all(file, bad, strlen(bad));
        open_place(&p, file, true);
        ck_assert_uint_eq(p.heard.lines, 0);
        gm_session_destroy(plan(&p, "large", 4));
        ck_assert_uint_eq(p.heard.lines, 1);
        ck_assert_msg(strstr(p.heard.last, i < 2 ? "has no way 'no-such'" : "has no way 'winograd'"), "%s",
                      p.heard.last);
        ck_assert_uint_ge(measured(&p), 1); /* the next instruction may see another layout */
        close_place(&p);
        again = read_all(file, &bytes);
        ck_assert(!strstr(again, "no-such") && !strstr(again, "winograd"));
        free(good);
        free(bad);
        free(again);
    }
}
END_TEST

/* Nobody's file is overwritten; what cannot be written is told once. */
START_TEST(other_files_are_left_alone)
{
    static const char onnx[] = "\b\a\x12\x04onnx";
    char path[160];
    size_t bytes;
    char *data;
    struct stat status;
    place p;
    write_all(file, onnx, sizeof onnx);
    for (int i = 0; i < 4; i++) {
        if (i == 1) {
            unlink(file);
            ck_assert_int_eq(mkdir(file, 0777), 0);
        }
        snprintf(path, sizeof path, "%s", i < 2 ? file : i == 2 ? "/dev/null" : "/nonexistent/choices");
        open_place(&p, path, false);
        plan_only(&p, 4);
        plan_only(&p, 5);
        plan_only(&p, 4);
        ck_assert_uint_eq(measured(&p), 4); /* remembered for as long as there is the context */
        ck_assert_msg(p.heard.lines == 1, "%zu lines, the last is '%s'", p.heard.lines, p.heard.last);
        ck_assert_msg(strstr(p.heard.last, "not kept") && strstr(p.heard.last, path), "%s", p.heard.last);
        close_place(&p);
        if (i == 0) {
            data = read_all(file, &bytes);
            ck_assert(bytes == sizeof onnx && memcmp(data, onnx, bytes) == 0);
            free(data);
        }
    }
    ck_assert(stat("/dev/null", &status) == 0 && S_ISCHR(status.st_mode));
    ck_assert(stat(file, &status) == 0 && S_ISDIR(status.st_mode));
}
END_TEST

START_TEST(a_link_stays_a_link)
{
    char path[160];
    struct stat status;
    place p;
    size_t bytes;
    free(good_file(&bytes));
    snprintf(path, sizeof path, "%s/link", folder);
    ck_assert_int_eq(symlink(file, path), 0);
    open_place(&p, path, false);
    plan_only(&p, 6);
    close_place(&p);
    ck_assert(lstat(path, &status) == 0 && S_ISLNK(status.st_mode));
    serves();
}
END_TEST

START_TEST(direct_math_forbids_winograd)
{
    place p;
    size_t bytes;
    gm_profile_entry entry;
    gm_session *session;
    char *data;
    bool seen = false;
    open_place(&p, file, true);
    session = plan(&p, "large", 4);
    ck_assert_int_eq(gm_session_profile(session, GM_PROFILE_INSTRUCTIONS), GM_OK);
    ck_assert_int_eq(gm_session_run(session), GM_OK);
    for (size_t i = 0; i < gm_session_profile_count(session); i++) {
        ck_assert_int_eq(gm_session_profile_entry(session, i, &entry), GM_OK);
        ck_assert_msg(!strstr(entry.operator_name, "winograd"), "%s", entry.operator_name);
        seen = seen || strstr(entry.operator_name, " by onednn");
    }
    ck_assert(seen);
    gm_session_destroy(session);
    close_place(&p);
    data = read_all(file, &bytes);
    ck_assert_ptr_null(strstr(data, "winograd"));
    free(data);
}
END_TEST

/* The root mean square of a difference by that of the values. */
static double difference(const gm_tensor *got, const gm_tensor *expected)
{
    double error = 0, size = 0;
    for (int64_t i = 0; i < gm_tensor_count(expected); i++) {
        double d = gm_get(got, i) - gm_get(expected, i);
        error += d * d;
        size += gm_get(expected, i) * gm_get(expected, i);
    }
    return sqrt(error / size);
}

typedef struct layer {
    int64_t big, small, size, kernel, stride, low, high;
} layer;

static const layer layers[] = {
    {32, 64, 8, 5, 1, 2, 2},
    {32, 64, 12, 5, 2, 1, 2},
    {1, 64, 12, 5, 2, 1, 2},
    {3, 8, 9, 3, 1, 0, 0},
};

START_TEST(all_ways_agree)
{
    const layer *l = &layers[_i];
    int64_t n = 8, small = (l->size + l->low + l->high - l->kernel) / l->stride + 1;
    gm_attribute list[] = {gm_attribute_ints("kernel_shape", (int64_t[]){l->kernel, l->kernel}, 2),
                           gm_attribute_ints("strides", (int64_t[]){l->stride, l->stride}, 2),
                           gm_attribute_ints("pads", (int64_t[]){l->low, l->low, l->high, l->high}, 4)};
    static const char *const names[] = {"Conv", "ConvTranspose", "gmodel.ConvWeightGrad"};
    lower_check check;
    gm_tensor *x, *w, *dy, *inputs[2];
    lower_check_begin(&check);
    x = lower_random(&check, GM_FLOAT, 4, (int64_t[]){n, l->big, l->size, l->size}, -1, 1);
    w = lower_random(&check, GM_FLOAT, 4, (int64_t[]){l->small, l->big, l->kernel, l->kernel}, -1, 1);
    dy = lower_random(&check, GM_FLOAT, 4, (int64_t[]){n, l->small, small, small}, -1, 1);
    for (int k = 0; k < 3; k++) {
        const gm_operator *op = gm_operator_find_name(names[k]);
        gm_tensor first;
        int ways = 0;
        ck_assert_ptr_nonnull(op->formulations);
        ck_assert_str_eq(op->formulations[0], "default");
        inputs[0] = k == 1 ? dy : x;
        inputs[1] = k == 2 ? dy : w;
        for (check.formulation = 0; op->formulations[check.formulation]; check.formulation++) {
            const char *name = op->formulations[check.formulation];
            ck_assert_msg(strcspn(name, " \n") == strlen(name), "'%s'", name);
            lower_check_node(&check, names[k], inputs, 2, list, 3, 1, NULL, 1e-3);
            if (!check.lowered) {
                ck_assert_msg(check.formulation, "%s has no default", names[k]);
                continue;
            }
            ways++;
            if (!check.formulation)
                first = check.out[0];
            ck_assert_msg(difference(&check.out[0], &first) < 1e-5, "%s %s: %.3g", names[k], name,
                          difference(&check.out[0], &first));
        }
        /* By default, that by its name, and another one; of one or three channels oneDNN has one kernel on some processors. */
        ck_assert_int_ge(ways, l->big >= 16 ? 3 : 2);
    }
    lower_check_end(&check);
}
END_TEST

/* Which ways there are does not depend on what was made before (primitives that oneDNN keeps). */
START_TEST(ways_do_not_come_and_go)
{
    const gm_operator *op = gm_operator_find_name("Conv");
    gm_tensor *x, *w;
    lower_check check;
    bool there[16] = {0};
    int count = 0;
    lower_check_begin(&check);
    x = lower_random(&check, GM_FLOAT, 4, (int64_t[]){1, 1, 6, 6}, -1, 1);
    w = lower_random(&check, GM_FLOAT, 4, (int64_t[]){2, 1, 3, 3}, -1, 1);
    while (op->formulations[count])
        count++;
    ck_assert_int_le(count, (int)GM_COUNT(there));
    for (int i = 0; i < 3 * count; i++) {
        int way = i < count || i >= 2 * count ? i % count : 2 * count - 1 - i; /* up, down, up */
        check.formulation = way;
        lower_check_node(&check, "Conv", (gm_tensor *[]){x, w}, 2, NULL, 0, 1, NULL, 1e-5);
        ck_assert_msg(i < count || there[way] == check.lowered, "%s came or went", op->formulations[way]);
        there[way] = check.lowered;
    }
    lower_check_end(&check);
}
END_TEST

static void *plan_in_thread(void *user)
{
    gm_session_options options;
    gm_session *session = NULL;
    gm_session_options_default(&options, sizeof options);
    options.batch = 4;
    if (gm_session_create(((place *)user)->model, NULL, &options, &session) != GM_OK)
        return NULL;
    gm_session_destroy(session);
    return user;
}

START_TEST(threads_share_what_is_measured)
{
    pthread_t threads[3];
    place p;
    open_place(&p, file, false);
    p.context->options.allocate = NULL; /* the counter of a place is for one thread */
    p.context->options.release = NULL;
    for (size_t i = 0; i < GM_COUNT(threads); i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, plan_in_thread, &p), 0);
    for (size_t i = 0; i < GM_COUNT(threads); i++) {
        void *done = NULL;
        ck_assert_int_eq(pthread_join(threads[i], &done), 0);
        ck_assert_ptr_eq(done, &p);
    }
    ck_assert_uint_eq(measured(&p), 2);
    p.context->options.allocate = allocate;
    p.context->options.release = release;
    close_place(&p);
    serves();
}
END_TEST

/* Where measuring lacks memory it does not take place, and what lacks memory altogether fails cleanly. */
START_TEST(lack_of_memory_is_survived)
{
    size_t calls, failed = 0, planned = 0;
    place p;
    open_place(&p, file, false);
    calls = p.heard.calls;
    plan_only(&p, 4);
    calls = p.heard.calls - calls;
    close_place(&p);
    for (size_t n = 1; n < calls; n += 1 + calls / 16) {
        gm_session *session = NULL;
        gm_status status;
        unlink(file);
        open_place(&p, file, false);
        p.heard.limit = p.heard.calls + n;
        status = gm_session_create(p.model, NULL, NULL, &session);
        p.heard.limit = 0;
        ck_assert_msg(status == GM_OK || status == GM_ERROR_MEMORY, "%s", gm_context_message(p.context));
        failed += status != GM_OK;
        planned += status == GM_OK;
        gm_session_destroy(session);
        plan_only(&p, 4);
        close_place(&p);
        serves();
    }
    ck_assert_uint_ge(failed, 1);
}
END_TEST

START_TEST(the_option_is_checked)
{
    gm_context_options options;
    gm_context *context = NULL;
    gm_context_options_default(&options, sizeof options);
    ck_assert_ptr_null(options.tune);
    options.tune = "";
    ck_assert_int_eq(gm_context_create(&options, &context), GM_ERROR_ARGUMENT);
    options.tune = file; /* a caller whose header does not have it */
    options.struct_size = offsetof(gm_context_options, tune);
    ck_assert_int_eq(gm_context_create(&options, &context), GM_OK);
    ck_assert_ptr_null(context->tuner);
    gm_context_destroy(context);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tune");
    TCase *tests = tcase_create("choices");
    SRunner *runner;
    int failed;
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, choices_are_kept_and_read_back);
    tcase_add_test(tests, choices_of_several_contexts_come_together);
    tcase_add_test(tests, files_that_are_no_good_are_told_and_replaced);
    tcase_add_test(tests, unknown_choices_are_told_and_replaced);
    tcase_add_test(tests, other_files_are_left_alone);
    tcase_add_test(tests, a_link_stays_a_link);
    tcase_add_test(tests, direct_math_forbids_winograd);
    tcase_add_loop_test(tests, all_ways_agree, 0, (int)GM_COUNT(layers));
    tcase_add_test(tests, ways_do_not_come_and_go);
    tcase_add_test(tests, threads_share_what_is_measured);
    tcase_add_test(tests, lack_of_memory_is_survived);
    tcase_add_test(tests, the_option_is_checked);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
