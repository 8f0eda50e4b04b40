/* What an application does with the library beyond running a network once: other sizes, its own memory, models in memory, headers
 * of other versions. */
#include "runtime/gmodel.h"

#include <check.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char text[] =
    "model m <gmodel = 1, opset = 21, seed = 5>\n"
    "# a comment that is kept\n"
    "network c (float[N, 3, H, H] x) => (float[N, 4] y) {\n"
    "  h = Relu(Conv2d <16, kernel = 3> (x))\n  y = Dense <4> (ReduceMean <keepdims = 0> (h, [2, 3]))\n}\n"
    "step fit (float[N, 3, 8, 8] x, float[N, 4] t) {\n"
    "  loss = mean((c(x) - t) ^ 2)\n  minimize loss over c with Adam <rate = 0.01>\n  report loss\n}\n";

/* Counts what is alive, and calls. */
typedef struct counter {
    size_t calls, alive;
} counter;

static void *counted_allocate(size_t bytes, void *user)
{
    counter *c = user;
    void *memory = malloc(bytes);
    c->calls++;
    c->alive += memory != NULL;
    return memory;
}

static void counted_release(void *memory, void *user)
{
    ((counter *)user)->alive -= memory != NULL;
    free(memory);
}

static counter count;
static gm_context *context;
static gm_model *model;

static void require(gm_status status)
{
    ck_assert_msg(status == GM_OK, "%s: %s", gm_status_name(status), gm_context_message(context));
}

static void refused(gm_status status, const char *part)
{
    ck_assert_int_eq(status, GM_ERROR_ARGUMENT);
    ck_assert_msg(strstr(gm_context_message(context), part) != NULL, "'%s' is not in '%s'", part,
                  gm_context_message(context));
}

static void setup(void)
{
    gm_context_options options;
    gm_context_options_default(&options, sizeof options);
    memset(&count, 0, sizeof count);
    options.allocate = counted_allocate;
    options.release = counted_release;
    options.user = &count;
    options.threads = 2;
    ck_assert_int_eq(gm_context_create(&options, &context), GM_OK);
    require(gm_model_load_memory(context, text, sizeof text - 1, "m.gmodel", NULL, &model));
}

static void teardown(void)
{
    gm_model_destroy(model);
    gm_context_destroy(context);
    ck_assert_uint_eq(count.alive, 0);
}

static float value_at(size_t i)
{
    return (float)((i * 37) % 101) / 50 - 1;
}

static void fill(gm_session *session)
{
    gm_tensor_view view;
    require(gm_session_input(session, 0, &view));
    for (size_t i = 0; i < view.bytes / sizeof(float); i++)
        ((float *)view.data)[i] = value_at(i);
}

static gm_session *session_of(const gm_model *from, int64_t batch, int64_t height, int caller_arena)
{
    gm_session_options options;
    gm_dimension dimension = {"H", height};
    gm_session *session = NULL;
    gm_session_options_default(&options, sizeof options);
    options.batch = batch;
    options.dimensions = &dimension;
    options.dimension_count = 1;
    options.caller_arena = caller_arena;
    require(gm_session_create(from, NULL, &options, &session));
    return session;
}

/* Runs on the numbers of fill(); the results are copied. */
static size_t run(gm_session *session, float *results)
{
    gm_tensor_view view;
    fill(session);
    require(gm_session_run(session));
    require(gm_session_output(session, 0, &view));
    memcpy(results, view.data, view.bytes);
    return view.bytes;
}

static void check_same(const gm_model *a, const gm_model *b)
{
    float x[64], y[64];
    gm_session *first = session_of(a, 2, 8, 0), *second = session_of(b, 2, 8, 0);
    size_t bytes = run(first, x);
    ck_assert_uint_eq(run(second, y), bytes);
    ck_assert_int_eq(memcmp(x, y, bytes), 0);
    gm_session_destroy(first);
    gm_session_destroy(second);
}

/* --- Models in memory --- */

START_TEST(a_model_is_saved_to_memory_as_to_a_file)
{
    char path[] = "/tmp/gmodel-test-XXXXXX", *file_bytes;
    void *data = NULL;
    size_t bytes = 0;
    gm_model *again = NULL;
    FILE *file;
    close(mkstemp(path));
    require(gm_model_save(model, path));
    require(gm_model_save_memory(model, &data, &bytes));
    file = fopen(path, "rb");
    file_bytes = malloc(bytes + 1);
    ck_assert_uint_eq(fread(file_bytes, 1, bytes + 1, file), bytes);
    fclose(file);
    unlink(path);
    ck_assert_int_eq(memcmp(file_bytes, data, bytes), 0);
    free(file_bytes);
    require(gm_model_load_memory(context, data, bytes, "memory", NULL, &again));
    check_same(model, again);
    gm_release(context, data);
    check_same(model, again); /* which keeps nothing of it */
    gm_model_destroy(again);
    refused(gm_model_save_memory(model, NULL, &bytes), "NULL");
}
END_TEST

START_TEST(what_is_being_trained_runs_elsewhere)
{
    float x[2 * 3 * 64], t[8] = {1, 2, 3, 4, 5, 6, 7, 8}, before[8], after[8], trained[4], found[4];
    gm_feed feeds[] = {{"x", x, sizeof x}, {"t", t, sizeof t}};
    gm_trainer_options options;
    gm_trainer *trainer = NULL;
    gm_model *now = NULL;
    gm_session *session;
    void *data = NULL;
    size_t bytes = 0;
    for (size_t i = 0; i < sizeof x / sizeof *x; i++)
        x[i] = value_at(i);
    gm_trainer_options_default(&options, sizeof options);
    options.batch = 2;
    require(gm_trainer_create(model, &options, &trainer));
    for (int i = 0; i < 5; i++)
        require(gm_trainer_step(trainer, "fit", feeds, 2));
    require(gm_trainer_save_memory(trainer, &data, &bytes));
    require(gm_model_load_memory(context, data, bytes, "memory", NULL, &now));
    require(gm_trainer_read(trainer, "c.y.Dense.b", trained, sizeof trained));
    require(gm_model_read(now, "c.y.Dense.b", found, sizeof found));
    ck_assert_int_eq(memcmp(trained, found, sizeof found), 0);
    session = session_of(model, 2, 8, 0);
    run(session, before);
    gm_session_destroy(session);
    session = session_of(now, 2, 8, 0);
    run(session, after);
    gm_session_destroy(session);
    ck_assert_int_ne(memcmp(before, after, sizeof after), 0);
    gm_release(context, data);
    gm_model_destroy(now);
    gm_trainer_destroy(trainer);
    refused(gm_model_write(model, "c.y.Dense.bb", trained, sizeof trained), "did you mean 'c.y.Dense.b'");
}
END_TEST

/* --- Several sizes --- */

START_TEST(a_session_takes_other_sizes)
{
    gm_session *session = session_of(model, 1, 8, 0);
    for (int64_t batch = 1; batch <= 11; batch++) { /* more than are kept */
        gm_dimension dimension = {"H", 4 + batch % 3};
        gm_session *alone = session_of(model, batch, 4 + batch % 3, 0);
        gm_tensor_view view;
        float x[64], y[64];
        size_t bytes = run(alone, x);
        require(gm_session_resize(session, batch, &dimension, 1));
        require(gm_session_input(session, 0, &view));
        ck_assert_int_eq(view.dims[0], batch);
        ck_assert_int_eq(view.dims[3], 4 + batch % 3);
        ck_assert_uint_eq(run(session, y), bytes);
        for (size_t i = 0; i < bytes / sizeof(float); i++) /* parameters lie as the first plan wants them */
            ck_assert_msg(fabsf(x[i] - y[i]) <= 1e-5f * (1 + fabsf(x[i])), "batch %d: %g and %g", (int)batch, x[i],
                          y[i]);
        gm_session_destroy(alone);
    }
    gm_session_destroy(session);
}
END_TEST

START_TEST(a_plan_made_before_is_taken_again)
{
    gm_dimension small = {"H", 6}, large = {"H", 20};
    gm_session *session = session_of(model, 2, 6, 0);
    gm_tensor_view view;
    gm_plan_info info;
    float x[64], y[64];
    size_t calls, bytes = run(session, x);
    require(gm_session_resize(session, 3, &large, 1)); /* the arena grows */
    run(session, y);
    require(gm_session_resize(session, 2, &small, 1));
    calls = count.calls;
    require(gm_session_resize(session, 3, &large, 1));
    require(gm_session_resize(session, 2, &small, 1));
    ck_assert_uint_eq(run(session, y), bytes);
    ck_assert_uint_eq(count.calls, calls);
    ck_assert_int_eq(memcmp(x, y, bytes), 0);
    refused(gm_session_resize(session, 2, &(gm_dimension){"K", 4}, 1), "no input of 'c' has a dimension 'K'");
    refused(gm_session_resize(session, 2, NULL, 0), "the dimension 'H' of input 'x' has no size");
    refused(gm_session_resize(session, -1, &small, 1), "a batch of -1");
    ck_assert_int_ne(gm_session_resize(session, INT64_MAX / 2, &large, 1), GM_OK);
    ck_assert_uint_eq(run(session, y), bytes); /* it is as it was */
    ck_assert_int_eq(memcmp(x, y, bytes), 0);
    require(gm_session_input(session, 0, &view));
    ck_assert_int_eq(view.dims[0], 2);
    require(gm_session_plan(session, &info));
    ck_assert_uint_gt(info.instructions, 0);
    gm_session_destroy(session);
}
END_TEST

/* --- The caller's memory --- */

START_TEST(a_session_computes_in_the_callers_arena)
{
    gm_session *own = session_of(model, 2, 8, 0), *first, *second;
    gm_plan_info info;
    float x[64], y[64];
    size_t bytes = run(own, x), alive = count.alive;
    unsigned char *arena;
    first = session_of(model, 2, 8, 1);
    second = session_of(model, 2, 8, 1);
    require(gm_session_plan(first, &info));
    ck_assert_uint_gt(info.arena_bytes, 0);
    fill(first);
    refused(gm_session_run(first), "has no arena: it needs");
    arena = aligned_alloc(64, (info.arena_bytes + 127) / 64 * 64);
    refused(gm_session_bind_arena(first, arena, info.arena_bytes - 1), "the arena must have");
    refused(gm_session_bind_arena(first, arena + 8, info.arena_bytes), "aligned to 64");
    refused(gm_session_bind_arena(own, arena, info.arena_bytes), "has an arena of its own");
    require(gm_session_bind_arena(first, arena, info.arena_bytes));
    require(gm_session_bind_arena(second, arena, info.arena_bytes));
    for (int i = 0; i < 2; i++) { /* in turns, in one memory */
        memset(arena, 0xff, info.arena_bytes);
        ck_assert_uint_eq(run(i ? first : second, y), bytes);
        ck_assert_int_eq(memcmp(x, y, bytes), 0);
    }
    require(gm_session_resize(first, 64, &(gm_dimension){"H", 32}, 1)); /* needs more than was given */
    refused(gm_session_run(first), "has no arena");
    gm_session_destroy(first);
    gm_session_destroy(second);
    free(arena);
    ck_assert_uint_eq(count.alive, alive);
    gm_session_destroy(own);
}
END_TEST

/* Bound memory is read and written where it lies: the session's own buffers stay as they were. */
START_TEST(bound_memory_is_not_copied)
{
    gm_session *session = session_of(model, 2, 8, 0);
    gm_tensor_view in, out;
    float *x = aligned_alloc(64, 2 * 3 * 64 * sizeof(float)), *y = aligned_alloc(64, 64), mark[8];
    size_t calls;
    require(gm_session_input(session, 0, &in));
    require(gm_session_output(session, 0, &out));
    memset(in.data, 0, in.bytes);
    for (size_t i = 0; i < 8; i++)
        mark[i] = ((float *)out.data)[i] = 77;
    for (size_t i = 0; i < in.bytes / sizeof(float); i++)
        x[i] = value_at(i);
    require(gm_session_bind_input(session, "x", x, in.bytes));
    require(gm_session_bind_output(session, "y", y, out.bytes));
    calls = count.calls;
    require(gm_session_run(session));
    ck_assert_uint_eq(count.calls, calls);
    ck_assert_int_eq(memcmp(out.data, mark, sizeof mark), 0);
    for (size_t i = 0; i < in.bytes / sizeof(float); i++)
        ck_assert_float_eq(((float *)in.data)[i], 0);
    require(gm_session_bind_input(session, "x", NULL, 0));
    require(gm_session_bind_output(session, "y", NULL, 0));
    fill(session);
    require(gm_session_run(session));
    ck_assert_int_eq(memcmp(out.data, y, sizeof mark), 0);
    refused(gm_session_bind_input(session, "x", x, 4), "has 1536 bytes, not 4");
    refused(gm_session_bind_input(session, "x", (char *)x + 4, in.bytes), "64 bytes");
    gm_session_destroy(session);
    free(x);
    free(y);
}
END_TEST

/* --- Headers of other versions --- */

/* Every options struct: as large as an older header had it, with rubbish behind, and larger than this one. */
#define GARBAGE 0x5a

typedef union any_options {
    size_t struct_size;
    unsigned char bytes[512];
} any_options;

static void give_older(any_options *options, void (*give)(void *, size_t), size_t size)
{
    memset(options, GARBAGE, sizeof *options);
    give(options, size);
    ck_assert_uint_eq(options->struct_size, size);
    ck_assert_uint_eq(options->bytes[size], GARBAGE); /* nothing beyond is touched */
}

#define GIVER(name)                                                                                                    \
    static void give_##name(void *options, size_t size)                                                                \
    {                                                                                                                  \
        name##_options_default(options, size);                                                                         \
    }
GIVER(gm_model)
GIVER(gm_session)
GIVER(gm_trainer)
GIVER(gm_run)
GIVER(gm_evaluation)
GIVER(gm_convert)
GIVER(gm_context)

START_TEST(older_and_newer_headers_are_understood)
{
    any_options o;
    gm_context *other = NULL;
    gm_model *loaded = NULL;
    gm_session *session = NULL;
    gm_trainer *trainer = NULL;
    size_t sizes[] = {0, 400};

    for (size_t k = 0; k < 2; k++) {
        give_older(&o, give_gm_context, k ? sizes[k] : offsetof(gm_context_options, direct_math) + sizeof(int));
        ck_assert_int_eq(gm_context_create((gm_context_options *)(void *)&o, &other), GM_OK);
        gm_context_destroy(other);
        give_older(&o, give_gm_model, k ? sizes[k] : offsetof(gm_model_options, fixed));
        require(gm_model_load_memory(context, text, sizeof text - 1, "m", (gm_model_options *)(void *)&o, &loaded));
        give_older(&o, give_gm_trainer, k ? sizes[k] : sizeof(gm_trainer_options));
        require(gm_trainer_create(loaded, (gm_trainer_options *)(void *)&o, &trainer));
        gm_trainer_destroy(trainer);
        gm_model_destroy(loaded);
    }
    /* what an older header has not is not asked for: here the size of H, and the caller's arena */
    give_older(&o, give_gm_session, offsetof(gm_session_options, dimensions));
    refused(gm_session_create(model, NULL, (gm_session_options *)(void *)&o, &session), "'H' of input 'x' has no size");
    give_older(&o, give_gm_session, offsetof(gm_session_options, caller_arena));
    ((gm_session_options *)(void *)&o)->dimensions = &(gm_dimension){"H", 8};
    ((gm_session_options *)(void *)&o)->dimension_count = 1;
    require(gm_session_create(model, NULL, (gm_session_options *)(void *)&o, &session));
    require(gm_session_run(session));
    gm_session_destroy(session);
}
END_TEST

START_TEST(structs_that_are_not_filled_are_refused)
{
    any_options o = {.struct_size = sizeof(size_t)};
    gm_model *none = NULL;
    gm_session *session = NULL;
    gm_trainer *trainer = NULL;
    gm_context *other = NULL;
    ck_assert_int_eq(gm_context_create((gm_context_options *)(void *)&o, &other), GM_ERROR_ARGUMENT);
    refused(gm_model_load_memory(context, text, sizeof text - 1, "m", (gm_model_options *)(void *)&o, &none),
            "gm_model_options.struct_size is 8");
    refused(gm_session_create(model, NULL, (gm_session_options *)(void *)&o, &session),
            "gm_session_options.struct_size");
    refused(gm_trainer_create(model, (gm_trainer_options *)(void *)&o, &trainer), "gm_trainer_options.struct_size");
    refused(gm_convert(context, "a", "b", (gm_convert_options *)(void *)&o), "gm_convert_options.struct_size");
    give_older(&o, give_gm_convert, sizeof(gm_convert_options));
    give_older(&o, give_gm_evaluation, sizeof(gm_evaluation_options));
    o.struct_size = 3;
    refused(gm_evaluation_create(model, "e", (gm_evaluation_options *)(void *)&o, &(gm_evaluation *){NULL}),
            "gm_evaluation_options.struct_size");
    require(gm_trainer_create(model, NULL, &trainer));
    give_older(&o, give_gm_run, sizeof(gm_run_options));
    o.struct_size = 9;
    refused(gm_trainer_run(trainer, (gm_run_options *)(void *)&o), "gm_run_options.struct_size");
    gm_trainer_destroy(trainer);
}
END_TEST

START_TEST(versions_agree)
{
    int major = 0, minor = 0, patch = 0;
    ck_assert_int_eq(sscanf(gm_version(), "%d.%d.%d", &major, &minor, &patch), 3);
    ck_assert_int_eq(gm_version_number(), major * 10000 + minor * 100 + patch);
    ck_assert_ptr_nonnull(strstr(gm_compute_version(), "oneDNN"));
}
END_TEST

START_TEST(the_callers_openmp_setting_can_be_taken)
{
    gm_context_options options;
    gm_context *other = NULL;
    gm_context_options_default(&options, sizeof options);
    options.threads = -1;
    ck_assert_int_eq(gm_context_create(&options, &other), GM_OK);
    gm_context_destroy(other);
    options.threads = -2;
    ck_assert_int_eq(gm_context_create(&options, &other), GM_ERROR_ARGUMENT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("embedding");
    TCase *tests = tcase_create("embedding");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_model_is_saved_to_memory_as_to_a_file);
    tcase_add_test(tests, what_is_being_trained_runs_elsewhere);
    tcase_add_test(tests, a_session_takes_other_sizes);
    tcase_add_test(tests, a_plan_made_before_is_taken_again);
    tcase_add_test(tests, a_session_computes_in_the_callers_arena);
    tcase_add_test(tests, bound_memory_is_not_copied);
    tcase_add_test(tests, older_and_newer_headers_are_understood);
    tcase_add_test(tests, structs_that_are_not_filled_are_refused);
    tcase_add_test(tests, versions_agree);
    tcase_add_test(tests, the_callers_openmp_setting_can_be_taken);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
