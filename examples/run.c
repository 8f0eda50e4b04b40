/* Runs a model once: run MODEL.onnx|MODEL.gmodel [FILE.npy]...
 * The files are the inputs in their order; inputs without one are zeros. Prints the outputs. */
#include <gmodel/gmodel.h>

#include <err.h>
#include <stdio.h>
#include <string.h>

static gm_context *context;

static void require(gm_status status)
{
    if (status != GM_OK)
        errx(1, "%s", gm_context_message(context));
}

static void print(const gm_tensor_view *view)
{
    printf("%s: [", view->name);
    for (int i = 0; i < view->rank; i++)
        printf("%s%lld", i ? ", " : "", (long long)view->dims[i]);
    printf("]");
    for (size_t i = 0; view->type == GM_FLOAT && i < view->bytes / sizeof(float) && i < 4; i++)
        printf(" %g", ((const float *)view->data)[i]);
    printf("\n");
}

int main(int argc, char **argv)
{
    gm_model *model = NULL;
    gm_session *session = NULL;
    gm_tensor_view view, array;
    if (argc < 2)
        errx(2, "usage: run MODEL [FILE.npy]...");
    require(gm_context_create(NULL, &context));
    require(gm_model_load(context, argv[1], NULL, &model));
    require(gm_session_create(model, NULL, NULL, &session));
    for (int i = 2; i < argc; i++) {
        require(gm_read_npy(context, argv[i], &array));
        if (i == 2 && array.rank) /* the batch is as large as the first array has rows */
            require(gm_session_resize(session, array.dims[0], NULL, 0));
        require(gm_session_input(session, (size_t)i - 2, &view));
        if (array.type != view.type || array.bytes != view.bytes)
            errx(1, "%s: not of the type and size of %s", argv[i], view.name);
        memcpy(view.data, array.data, view.bytes);
        gm_release(context, array.data);
    }
    require(gm_session_run(session));
    for (size_t i = 0; i < gm_session_output_count(session); i++) {
        require(gm_session_output(session, i, &view));
        print(&view);
    }
    gm_session_destroy(session);
    gm_model_destroy(model);
    gm_context_destroy(context);
}
