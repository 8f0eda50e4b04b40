/* Runs the main network of a model once: run MODEL. Every input is filled with 0.5. */
#include <stdio.h>

#include <gmodel/gmodel.h>

static gm_status run(gm_context *context, const char *path)
{
    gm_model *model = NULL;
    gm_session *session = NULL;
    gm_tensor_view view;
    gm_status status = gm_model_load(context, path, NULL, &model);
    if (status == GM_OK)
        status = gm_session_create(model, NULL, NULL, &session);
    for (size_t i = 0; status == GM_OK && i < gm_session_input_count(session); i++) {
        status = gm_session_input(session, i, &view);
        for (size_t j = 0; status == GM_OK && view.type == GM_FLOAT && j < view.bytes / sizeof(float); j++)
            ((float *)view.data)[j] = 0.5f;
    }
    if (status == GM_OK)
        status = gm_session_run(session);
    for (size_t i = 0; status == GM_OK && i < gm_session_output_count(session); i++) {
        status = gm_session_output(session, i, &view);
        if (status == GM_OK && view.type == GM_FLOAT)
            printf("%s: %zu numbers, the first is %g\n", view.name, view.bytes / sizeof(float), *(float *)view.data);
    }
    gm_session_destroy(session);
    gm_model_destroy(model);
    return status;
}

int main(int argc, char **argv)
{
    gm_context *context = NULL;
    if (argc != 2 || gm_context_create(NULL, &context) != GM_OK) {
        fprintf(stderr, "usage: run MODEL\n");
        return 2;
    }
    gm_status status = run(context, argv[1]);
    if (status != GM_OK)
        fprintf(stderr, "%s\n", gm_context_message(context));
    gm_context_destroy(context);
    return status != GM_OK;
}
