/* A thread with a short queue of jobs. */
#include "runtime/worker.h"

#include <pthread.h>
#include <signal.h>

#define MAX_WAITING 8

struct gm_worker {
    gm_context *context;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    struct {
        gm_job run;
        void *argument;
    } jobs[MAX_WAITING]; /* a ring; the first is being done */
    size_t first, count;
    bool quit;
};

static void *work(void *argument)
{
    gm_worker *worker = argument;
    pthread_mutex_lock(&worker->mutex);
    for (;;) {
        while (worker->count == 0 && !worker->quit)
            pthread_cond_wait(&worker->changed, &worker->mutex);
        if (worker->count == 0)
            break;
        gm_job run = worker->jobs[worker->first].run;
        void *job = worker->jobs[worker->first].argument;
        pthread_mutex_unlock(&worker->mutex);
        run(job);
        pthread_mutex_lock(&worker->mutex);
        worker->first = (worker->first + 1) % MAX_WAITING;
        worker->count--;
        pthread_cond_broadcast(&worker->changed);
    }
    pthread_mutex_unlock(&worker->mutex);
    return NULL;
}

static bool start(gm_worker *worker)
{
    sigset_t all, before;
    sigfillset(&all);
    bool masked = pthread_sigmask(SIG_SETMASK, &all, &before) == 0;
    bool started = pthread_create(&worker->thread, NULL, work, worker) == 0;
    if (masked)
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

gm_status gm_worker_create(gm_context *context, gm_worker **worker_out)
{
    gm_worker *worker = gm_alloc(context, sizeof *worker);
    *worker_out = NULL;
    if (worker == NULL)
        return GM_ERROR_MEMORY;
    worker->context = context;
    if (pthread_mutex_init(&worker->mutex, NULL) == 0) {
        if (pthread_cond_init(&worker->changed, NULL) == 0) {
            if (start(worker)) {
                *worker_out = worker;
                return GM_OK;
            }
            pthread_cond_destroy(&worker->changed);
        }
        pthread_mutex_destroy(&worker->mutex);
    }
    gm_free(context, worker);
    return GM_OK;
}

void gm_worker_destroy(gm_worker *worker)
{
    if (worker == NULL)
        return;
    pthread_mutex_lock(&worker->mutex);
    worker->quit = true;
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->mutex);
    pthread_join(worker->thread, NULL);
    pthread_cond_destroy(&worker->changed);
    pthread_mutex_destroy(&worker->mutex);
    gm_free(worker->context, worker);
}

void gm_worker_add(gm_worker *worker, gm_job job, void *argument)
{
    if (worker == NULL) {
        job(argument);
        return;
    }
    pthread_mutex_lock(&worker->mutex);
    while (worker->count == MAX_WAITING)
        pthread_cond_wait(&worker->changed, &worker->mutex);
    size_t place = (worker->first + worker->count++) % MAX_WAITING;
    worker->jobs[place].run = job;
    worker->jobs[place].argument = argument;
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->mutex);
}

void gm_worker_wait(gm_worker *worker)
{
    if (worker == NULL)
        return;
    pthread_mutex_lock(&worker->mutex);
    while (worker->count > 0)
        pthread_cond_wait(&worker->changed, &worker->mutex);
    pthread_mutex_unlock(&worker->mutex);
}
