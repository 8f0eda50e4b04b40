/* Draws while it trains: live MODEL.gmodel [ROUNDS], and watch live.png. A thread trains as the file says and saves often; the
 * main thread draws the first sample of the file, one that reads no data, with what was saved last. */
#include <gmodel/gmodel.h>

#include <err.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static gm_context *context;
static gm_run_options options; /* of a part of the training, until the next saving */
static atomic_int parts;       /* that are left */

static void require(gm_status status)
{
    if (status != GM_OK)
        errx(1, "%s", gm_context_message(context));
}

static void *train(void *trainer)
{
    for (; parts > 0; parts--) {
        require(gm_trainer_run(trainer, &options));
        require(gm_trainer_save(trainer, "live.gmodel")); /* renames: a reader sees the old file or the new one */
    }
    return NULL;
}

int main(int argc, char **argv)
{
    gm_model *model = NULL, *saved = NULL;
    gm_trainer *trainer = NULL;
    gm_session *session = NULL;
    gm_tensor_view view;
    pthread_t thread;
    gm_run_options_default(&options, sizeof options);
    options.steps = 10;
    parts = argc > 2 ? (atoi(argv[2]) + 9) / 10 : 1000;
    require(gm_context_create(NULL, &context));
    require(gm_model_load(context, argc > 1 ? argv[1] : "models/gan.gmodel", NULL, &model));
    require(gm_trainer_create(model, NULL, &trainer));
    require(gm_trainer_save(trainer, "live.gmodel"));
    if (pthread_create(&thread, NULL, train, trainer))
        errx(1, "there is no thread for the training");
    for (int left = 1; left > 0; sleep(left > 0)) {
        left = parts; /* before loading, so that the last round draws what the training came to */
        require(gm_model_load(context, "live.gmodel", NULL, &saved));
        require(gm_session_create(saved, gm_model_part_name(saved, GM_PART_SAMPLE, 0), NULL, &session));
        require(gm_session_run(session));
        require(gm_session_output(session, 0, &view));
        require(gm_write_png(context, "live.png", &view, -1, 1));
        gm_session_destroy(session);
        gm_model_destroy(saved);
    }
    pthread_join(thread, NULL);
    gm_trainer_destroy(trainer);
    gm_model_destroy(model);
    gm_context_destroy(context);
}
