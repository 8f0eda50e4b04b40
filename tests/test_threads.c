/* One model in several threads at once: sessions, a trainer, an evaluation, failures. Each thread's results are those that it
 * has alone, to the bit. Meant for ThreadSanitizer too (.ci/run); contexts have one thread then, because the sanitizer does
 * not know OpenMP's barriers. */
#include "runtime/gmodel.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_THREAD__)
#define OWN_THREADS 1
#else
#define OWN_THREADS 2
#endif
#define ROUNDS 6

static const char text[] =
    "model m <gmodel = 1, opset = 21, seed = 3>\n"
    "data digits = mnist <rows = [0, 256]> { image : float[1, 28, 28] in [-1, 1], label : int64 }\n"
    "network g (float[N, 8] z) => (float[N, 1, 8, 8] y) {\n"
    "  h = Relu(Dense <64> (z))  r = Reshape(h, [-1, 4, 4, 4])\n"
    "  y = ConvTranspose2d <1, kernel = 4, stride = 2> (r)\n}\n"
    "network c (float[N, 1, 28, 28] x) => (float[N, 10] y) {\n"
    "  h = Relu(Conv2d <4, kernel = 5, stride = 2> (x))  y = Dense <10> (Flatten(h))\n}\n"
    "step fit (float[N, 1, 28, 28] image, int64[N] label) {\n"
    "  loss = cross_entropy(c(image), label)\n  minimize loss over c with SGD <rate = 0.01>\n  report loss\n}\n"
    "evaluate judge on digits (float[N, 1, 28, 28] image, int64[N] label) {\n"
    "  mean loss = cross_entropy(c(image), label)\n}\n"
    "sample grid { write picture = g(RandomNormal <shape = [4, 8], seed = 1> ()) }\n"
    "train digits batch 16 epochs 1 { fit }\n";

static gm_context *context;
static gm_model *model;

typedef struct worker {
    pthread_t thread;
    int number;
    char wrong[256]; /* "" : nothing */
} worker;

static atomic_int waiting;

/* All threads begin together. */
static void meet(int count)
{
    atomic_fetch_add(&waiting, 1);
    while (atomic_load(&waiting) < count) {
    }
}

static void note(worker *w, const char *what)
{
    if (!w->wrong[0])
        snprintf(w->wrong, sizeof w->wrong, "thread %d: %s: %.150s", w->number, what, gm_context_message(context));
}

/* Runs a network on numbers of its own; returns the sum of weighted results, -1 after a failure. */
static double run_network(worker *w, const char *name, int64_t batch)
{
    gm_session_options options;
    gm_session *session = NULL;
    gm_tensor_view view;
    double sum = 0;
    gm_session_options_default(&options, sizeof options);
    options.batch = batch;
    if (gm_session_create(model, name, &options, &session) != GM_OK)
        return note(w, "create"), -1;
    if (gm_session_input_count(session) && gm_session_input(session, 0, &view) == GM_OK)
        for (size_t i = 0; i < view.bytes / sizeof(float); i++)
            ((float *)view.data)[i] = (float)((i * 37 + (size_t)batch * 11) % 101) / 50 - 1;
    for (int i = 0; i < 3; i++)
        if (gm_session_run(session) != GM_OK)
            note(w, "run");
    if (gm_session_output(session, 0, &view) != GM_OK)
        note(w, "output");
    for (size_t i = 0; i < view.bytes / sizeof(float); i++)
        sum += (double)((float *)view.data)[i] * (double)(i % 7 + 1);
    gm_session_destroy(session);
    return sum;
}

static double expected[8]; /* by number of thread, run alone */

static const char *network_of(int number)
{
    return number % 3 == 0 ? "g" : number % 3 == 1 ? "c" : "grid";
}

static void *draw(void *argument)
{
    worker *w = argument;
    meet(6);
    for (int i = 0; i < ROUNDS; i++)
        if (run_network(w, network_of(w->number), 1 + w->number) != expected[w->number])
            note(w, "other numbers than alone");
    return NULL;
}

static double train(worker *w)
{
    gm_trainer *trainer = NULL;
    gm_evaluation *evaluation = NULL;
    gm_run_options options;
    double loss = 0;
    gm_run_options_default(&options, sizeof options);
    if (gm_trainer_create(model, NULL, &trainer) != GM_OK || gm_trainer_run(trainer, &options) != GM_OK ||
        gm_trainer_report(trainer, "loss", &loss) != GM_OK ||
        gm_evaluation_create_for_trainer(trainer, "judge", NULL, &evaluation) != GM_OK ||
        gm_evaluation_run(evaluation) != GM_OK)
        note(w, "train");
    gm_evaluation_destroy(evaluation);
    gm_trainer_destroy(trainer);
    return loss;
}

static void *train_again(void *argument)
{
    worker *w = argument;
    meet(6);
    for (int i = 0; i < 2; i++)
        if (train(w) != expected[w->number])
            note(w, "another loss than alone");
    return NULL;
}

/* Failures of this thread have this thread's message. */
static void *fail_often(void *argument)
{
    worker *w = argument;
    char name[32], wanted[64];
    meet(6);
    for (int i = 0; i < 40; i++) {
        gm_session *session = NULL;
        gm_value_info info;
        snprintf(name, sizeof name, "nothing%d_%d", w->number, i);
        snprintf(wanted, sizeof wanted, "'%s'", name);
        if (gm_session_create(model, name, NULL, &session) == GM_OK || !strstr(gm_context_message(context), wanted))
            note(w, "the message of another thread");
        if (gm_model_input(model, "c", 0, &info) != GM_OK || info.dims[0] != -1 || strcmp(info.symbols[0], "N") != 0)
            note(w, "describe");
    }
    return NULL;
}

START_TEST(one_model_serves_several_threads)
{
    static void *(*const tasks[6])(void *) = {draw, draw, draw, train_again, fail_often, fail_often};
    worker workers[6] = {{0}}, alone = {0};
    gm_context_options options;
    gm_context_options_default(&options, sizeof options);
    options.threads = OWN_THREADS;
    atomic_store(&waiting, 0);
    ck_assert_int_eq(gm_context_create(&options, &context), GM_OK);
    ck_assert_msg(gm_model_load_memory(context, text, sizeof text - 1, "m.gmodel", NULL, &model) == GM_OK, "%s",
                  gm_context_message(context));
    for (int i = 0; i < 3; i++)
        expected[i] = run_network(&alone, network_of(i), 1 + i);
    expected[3] = train(&alone);
    ck_assert_str_eq(alone.wrong, "");
    for (int i = 0; i < 6; i++) {
        workers[i].number = i;
        ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, tasks[i], &workers[i]), 0);
    }
    for (int i = 0; i < 6; i++)
        pthread_join(workers[i].thread, NULL);
    for (int i = 0; i < 6; i++)
        ck_assert_str_eq(workers[i].wrong, "");
    gm_model_destroy(model);
    gm_context_destroy(context);
}
END_TEST

START_TEST(a_message_is_about_the_context_that_is_asked)
{
    gm_context *first = NULL, *second = NULL;
    gm_model *none = NULL;
    ck_assert_int_eq(gm_context_create(NULL, &first), GM_OK);
    ck_assert_int_eq(gm_context_create(NULL, &second), GM_OK);
    ck_assert_int_ne(gm_model_load_memory(first, "x", 1, "first.gmodel", NULL, &none), GM_OK);
    ck_assert_ptr_nonnull(strstr(gm_context_message(first), "first.gmodel"));
    ck_assert_str_eq(gm_context_message(second), "");
    gm_context_destroy(first);
    gm_context_destroy(second);
    ck_assert_int_eq(gm_context_create(NULL, &first), GM_OK); /* maybe at the same address */
    ck_assert_str_eq(gm_context_message(first), "");
    gm_context_destroy(first);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("threads");
    TCase *all = tcase_create("threads");
    SRunner *runner;
    int failed;
    tcase_set_timeout(all, 300);
    tcase_add_test(all, one_model_serves_several_threads);
    tcase_add_test(all, a_message_is_about_the_context_that_is_asked);
    suite_add_tcase(suite, all);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
