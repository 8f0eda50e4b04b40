/* Trains on data of its own, in a loop of its own: train OUT.gmodel. A small network learns which points of a square lie
 * within a circle; the model is a text in the program. `run OUT.gmodel` runs what comes out. */
#include <gmodel/gmodel.h>

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char text[] = "model circle <gmodel = 1, opset = 21, seed = 1>\n"
                           "network inside (float[N, 2] x) => (float[N, 1] logit) {\n"
                           "  h = Tanh(Dense <32> (x))\n"
                           "  logit = Dense <1> (h)\n"
                           "}\n"
                           "step fit (float[N, 2] x, float[N, 1] target) {\n"
                           "  loss = binary_cross_entropy(inside(x), target)\n"
                           "  minimize loss over inside with Adam <rate = 1e-2>\n"
                           "  report loss\n"
                           "}\n";
enum { BATCH = 128, STEPS = 1000 };
static gm_context *context;

static void require(gm_status status)
{
    if (status != GM_OK)
        errx(1, "%s", gm_context_message(context));
}

int main(int argc, char **argv)
{
    static float x[BATCH][2], target[BATCH];
    const gm_feed feeds[] = {{"x", x, sizeof x}, {"target", target, sizeof target}};
    gm_model *model = NULL;
    gm_trainer *trainer = NULL;
    gm_trainer_options options;
    double loss;
    gm_trainer_options_default(&options, sizeof options);
    options.batch = BATCH;
    require(gm_context_create(NULL, &context));
    require(gm_model_load_memory(context, text, strlen(text), "circle.gmodel", NULL, &model));
    require(gm_trainer_create(model, &options, &trainer));
    for (int step = 1; step <= STEPS; step++) {
        for (int i = 0; i < BATCH; i++) {
            x[i][0] = 2 * (float)rand() / (float)RAND_MAX - 1;
            x[i][1] = 2 * (float)rand() / (float)RAND_MAX - 1;
            target[i] = x[i][0] * x[i][0] + x[i][1] * x[i][1] < 0.5f;
        }
        require(gm_trainer_step(trainer, "fit", feeds, 2));
        require(gm_trainer_report(trainer, "loss", &loss));
        if (step % 100 == 0)
            printf("step %d: loss %.4f\n", step, loss);
    }
    require(gm_trainer_save(trainer, argc > 1 ? argv[1] : "circle.gmodel"));
    gm_trainer_destroy(trainer);
    gm_model_destroy(model);
    gm_context_destroy(context);
}
