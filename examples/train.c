/* Trains a model as its file declares, with a line per epoch: train MODEL OUT_DIRECTORY EPOCHS EXAMPLES. */
#include <stdio.h>
#include <stdlib.h>

#include <gmodel/gmodel.h>

static int on_progress(const gm_progress *progress, void *user)
{
    (void)user;
    if (!progress->epoch_ended)
        return 0;
    printf("epoch %lld of %lld:", (long long)progress->epoch, (long long)progress->epochs);
    for (size_t i = 0; i < progress->report_count; i++)
        printf(" %s %g", progress->report_names[i], progress->reports[i]);
    printf("\n");
    return 0; /* 1 would save and stop */
}

static gm_status train(gm_context *context, char **arguments)
{
    gm_model *model = NULL;
    gm_trainer *trainer = NULL;
    gm_run_options options;
    gm_run_options_default(&options, sizeof options);
    options.out_directory = arguments[2];
    options.epochs = atoi(arguments[3]);
    options.limit = atoi(arguments[4]);
    options.progress = on_progress;

    gm_status status = gm_model_load(context, arguments[1], NULL, &model);
    if (status == GM_OK)
        status = gm_trainer_create(model, NULL, &trainer);
    if (status == GM_OK)
        status = gm_trainer_run(trainer, &options);
    gm_trainer_destroy(trainer);
    gm_model_destroy(model);
    return status;
}

int main(int argc, char **argv)
{
    gm_context *context = NULL;
    if (argc != 5 || gm_context_create(NULL, &context) != GM_OK) {
        fprintf(stderr, "usage: train MODEL OUT_DIRECTORY EPOCHS EXAMPLES\n");
        return 2;
    }
    gm_status status = train(context, argv);
    if (status != GM_OK)
        fprintf(stderr, "%s\n", gm_context_message(context));
    gm_context_destroy(context);
    return status != GM_OK;
}
