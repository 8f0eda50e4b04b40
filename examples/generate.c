/* Writes the pictures that a trained model makes: generate CHECKPOINT.gmodel [SEED], a grid NAME.png for each `sample` that
 * reads no data. Of a model without samples, such as an .onnx, the main network draws 64 from noise: grid.png. */
#include <gmodel/gmodel.h>

#include <err.h>
#include <stdio.h>
#include <stdlib.h>

static gm_context *context;

static void require(gm_status status)
{
    if (status != GM_OK)
        errx(1, "%s", gm_context_message(context));
}

/* `name` is a sample, or NULL for the main network. */
static void draw(const gm_model *model, const char *name, const gm_session_options *options)
{
    gm_session *session = NULL;
    gm_tensor_view view;
    double low, high;
    char path[256];
    require(gm_session_create(model, name, options, &session));
    size_t inputs = gm_session_input_count(session);
    for (size_t i = 0; !name && i < inputs; i++) {
        require(gm_session_input(session, i, &view));
        for (size_t k = 0; view.type == GM_FLOAT && k < 12 * (view.bytes / sizeof(float)); k++)
            ((float *)view.data)[k / 12] += (float)rand() / (float)RAND_MAX - 0.5f; /* twelve: nearly normal */
    }
    if (!name || inputs == 0) {
        require(gm_session_run(session));
        require(gm_session_output(session, 0, &view));
        gm_model_picture_range(model, &low, &high);
        snprintf(path, sizeof path, "%s.png", name ? name : "grid");
        require(gm_write_png(context, path, &view, low, high));
        printf("%s: %lld pictures\n", path, (long long)view.dims[0]);
    }
    gm_session_destroy(session);
}

int main(int argc, char **argv)
{
    gm_model *model = NULL;
    gm_session_options options;
    if (argc < 2)
        errx(2, "usage: generate MODEL [SEED]");
    gm_session_options_default(&options, sizeof options);
    options.batch = 64;
    options.has_seed = argc > 2;
    options.seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    require(gm_context_create(NULL, &context));
    require(gm_model_load(context, argv[1], NULL, &model));
    const char *name = gm_model_part_name(model, GM_PART_SAMPLE, 0); /* NULL: there is none */
    for (size_t i = 0; i == 0 || name; name = gm_model_part_name(model, GM_PART_SAMPLE, ++i))
        draw(model, name, &options);
    gm_model_destroy(model);
    gm_context_destroy(context);
}
