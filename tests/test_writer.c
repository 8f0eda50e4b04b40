/* Files that are written beside the compute: the thread, its failures, who may allocate. */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/gmodel.h"
#include "runtime/worker.h"
#include "runtime/writer.h"
#include "tests/counting.h"

static gm_context *context;
static char folder[] = "/tmp/gmodel-writer-XXXXXX";

static void setup(void)
{
    ck_assert_int_eq(gm_context_create(NULL, &context), GM_OK);
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void teardown(void)
{
    char command[100];
    gm_context_destroy(context);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
}

static void require(gm_status status)
{
    ck_assert_msg(status == GM_OK, "%s: %s", gm_status_name(status), gm_context_message(context));
}

/* --- The thread --- */

typedef struct list {
    int numbers[64];
    size_t count;
    pthread_t thread; /* that ran the last job */
} list;

typedef struct job {
    list *list;
    int number, milliseconds;
} job;

static void append(void *argument)
{
    job *j = argument;
    usleep((useconds_t)j->milliseconds * 1000);
    j->list->numbers[j->list->count++] = j->number;
    j->list->thread = pthread_self();
}

/* More jobs than can wait, the first ones slow. */
static void add_jobs(gm_worker *worker, job *jobs, list *into)
{
    for (int i = 0; i < 64; i++) {
        jobs[i] = (job){into, i, i < 3 ? 10 : 0};
        gm_worker_add(worker, append, &jobs[i]);
    }
}

static void check_list(const list *l, bool other_thread)
{
    ck_assert_uint_eq(l->count, 64);
    for (int i = 0; i < 64; i++)
        ck_assert_int_eq(l->numbers[i], i);
    ck_assert_int_eq(!pthread_equal(l->thread, pthread_self()), other_thread);
}

START_TEST(jobs_run_in_their_order_in_a_thread_of_their_own)
{
    gm_worker *worker;
    list done = {.count = 0};
    job jobs[64];
    require(gm_worker_create(context, &worker));
    gm_worker_wait(worker); /* there is nothing to wait for */
    add_jobs(worker, jobs, &done);
    gm_worker_wait(worker);
    check_list(&done, true);
    done.count = 0;
    add_jobs(worker, jobs, &done);
    gm_worker_destroy(worker);
    check_list(&done, true);
}
END_TEST

START_TEST(without_a_thread_jobs_run_at_once)
{
    list done = {.count = 0};
    job jobs[64];
    add_jobs(NULL, jobs, &done);
    check_list(&done, false);
    gm_worker_wait(NULL);
    gm_worker_destroy(NULL);
}
END_TEST

/* --- Files --- */

typedef struct fake_file {
    int *written;
    const char *failure; /* NULL: it can be written */
    pthread_t *thread;
} fake_file;

static gm_status write_fake(gm_context *used, const void *what)
{
    const fake_file *file = what;
    *file->thread = pthread_self();
    ++*file->written;
    return file->failure ? gm_fail(used, GM_ERROR_FILE, "%s", file->failure) : GM_OK;
}

static gm_status add_fake(gm_writer *writer, gm_context *used, int *written, const char *failure, pthread_t *thread)
{
    gm_pool *pool = gm_pool_create(used);
    fake_file *file = gm_pool_alloc(pool, sizeof *file);
    *file = (fake_file){written, failure, thread};
    return gm_writer_add(writer, pool, write_fake, file);
}

START_TEST(a_failure_is_told_once_it_is_known_and_nothing_follows_it)
{
    gm_writer *writer;
    int written = 0;
    pthread_t thread = pthread_self();
    require(gm_writer_create(context, &writer));
    require(gm_writer_finish(writer));
    require(add_fake(writer, context, &written, NULL, &thread));
    require(gm_writer_finish(writer));
    ck_assert(!pthread_equal(thread, pthread_self()));
    (void)add_fake(writer, context, &written, "a.png: the disk is full", &thread);
    (void)add_fake(writer, context, &written, "b.png: another reason", &thread);
    gm_clear_message(context);
    ck_assert_int_eq(gm_writer_finish(writer), GM_ERROR_FILE);
    ck_assert_str_eq(gm_context_message(context), "a.png: the disk is full");
    ck_assert_int_eq(written, 2);
    gm_clear_message(context);
    ck_assert_int_eq(add_fake(writer, context, &written, NULL, &thread), GM_ERROR_FILE);
    ck_assert_str_eq(gm_context_message(context), "a.png: the disk is full");
    ck_assert_int_eq(written, 2);
    gm_writer_destroy(writer);
}
END_TEST

START_TEST(an_allocator_of_the_caller_stays_in_the_callers_thread)
{
    gm_counter counter = {0, 0};
    gm_context *counted = counted_context(&counter);
    gm_writer *writer;
    int written = 0;
    pthread_t thread;
    require(gm_writer_create(counted, &writer));
    require(add_fake(writer, counted, &written, NULL, &thread));
    ck_assert_int_eq(written, 1);
    ck_assert(pthread_equal(thread, pthread_self()));
    ck_assert_int_eq(add_fake(writer, counted, &written, "a.png: the disk is full", &thread), GM_ERROR_FILE);
    ck_assert_str_eq(gm_context_message(counted), "a.png: the disk is full");
    gm_writer_destroy(writer);
    gm_context_destroy(counted);
}
END_TEST

/* --- Training runs --- */

static const char small[] = "model small <gmodel = 1, opset = 21, seed = 3>\n"
                            "network g (float[N, 4] z) => (float[N, 1, 4, 4] x) {\n"
                            "  x = Reshape(Tanh(Dense <16> (z)), [0, 1, 4, 4])\n"
                            "}\n"
                            "step fit {\n"
                            "  loss = mean(g(RandomNormal <shape = [N, 4]> ()) ^ 2)\n"
                            "  minimize loss over g with SGD <rate = 1e-2>\n"
                            "  report loss\n"
                            "}\n"
                            "sample grid {\n"
                            "  x = g(RandomNormal <shape = [9, 4], seed = 1> ())\n"
                            "  write picture = x\n"
                            "  write numbers = Reshape(x, [9, 16]) as text\n"
                            "}\n"
                            "train batch 4 epochs 3 of 2 iterations { fit  every 1 epoch grid }\n";

static gm_status train(gm_context *used)
{
    gm_model *model = NULL;
    gm_trainer *trainer = NULL;
    gm_run_options options;
    gm_run_options_default(&options, sizeof options);
    options.out_directory = folder;
    gm_status status = gm_model_load_memory(used, small, strlen(small), "small.gmodel", NULL, &model);
    if (status == GM_OK)
        status = gm_trainer_create(model, NULL, &trainer);
    if (status == GM_OK)
        status = gm_trainer_run(trainer, &options);
    gm_trainer_destroy(trainer);
    gm_model_destroy(model);
    return status;
}

static bool exists(const char *name)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

static const char *const files[] = {"samples/epoch-0000-picture.png",
                                    "samples/epoch-0000-numbers.txt",
                                    "samples/epoch-0003-picture.png",
                                    "samples/epoch-0003-numbers.txt",
                                    "curves.png",
                                    "checkpoint.gmodel"};

START_TEST(every_file_is_there_when_the_run_returns)
{
    require(train(context));
    for (size_t i = 0; i < GM_COUNT(files); i++)
        ck_assert_msg(exists(files[i]), "%s", files[i]);
}
END_TEST

static const char *const blocked[] = {"samples/epoch-0001-numbers.txt", "samples/epoch-0003-picture.png",
                                      "samples/epoch-0003-numbers.txt", "curves.png"};

START_TEST(a_file_that_cannot_be_written_ends_the_run_with_its_name)
{
    char command[200];
    snprintf(command, sizeof command, "mkdir -p %s/%s", folder, blocked[_i]); /* a folder where the file should be */
    ck_assert_int_eq(system(command), 0);
    ck_assert_int_eq(train(context), GM_ERROR_FILE);
    ck_assert_msg(strstr(gm_context_message(context), blocked[_i]), "%s", gm_context_message(context));
    ck_assert_ptr_null(strchr(gm_context_message(context), '\n'));
}
END_TEST

START_TEST(a_run_survives_every_failed_allocation)
{
    gm_counter counter = {0, 0};
    gm_context *counted = counted_context(&counter);
    require(train(counted));
    long all = counter.count;
    gm_context_destroy(counted);
    for (long n = all; n > all - 200; n -= 7) {
        gm_counter failing = {0, n};
        counted = counted_context(&failing);
        gm_status status = train(counted);
        ck_assert_msg(status == GM_ERROR_MEMORY || status == GM_OK, "allocation %ld: %s: %s", n, gm_status_name(status),
                      gm_context_message(counted));
        gm_context_destroy(counted);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("writer");
    TCase *cases = tcase_create("writer");
    tcase_set_timeout(cases, 60);
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, jobs_run_in_their_order_in_a_thread_of_their_own);
    tcase_add_test(cases, without_a_thread_jobs_run_at_once);
    tcase_add_test(cases, a_failure_is_told_once_it_is_known_and_nothing_follows_it);
    tcase_add_test(cases, an_allocator_of_the_caller_stays_in_the_callers_thread);
    tcase_add_test(cases, every_file_is_there_when_the_run_returns);
    tcase_add_loop_test(cases, a_file_that_cannot_be_written_ends_the_run_with_its_name, 0, GM_COUNT(blocked));
    tcase_add_test(cases, a_run_survives_every_failed_allocation);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
