/* A trace: everything another framework needs to replay the first rounds of a run and compare.
 *
 * DIR/index.csv has one line per file: round, step, kind, name, file. Kinds: "before" and "after" (parameters, buffers,
 * slots around the step), "input", "draw" (random numbers by path; Dropout's is its mask of kept elements), "report",
 * "loss" (what a minimize statement minimizes), "gradient_norm" (L2 norm of the gradient that entered a parameter's
 * update). Every file is a NumPy array. */
#include "runtime/file.h"
#include "runtime/trainer.h"

#include <stdio.h>
#include <string.h>

struct gm_trace {
    bool finished; /* the index is written */
    gm_trainer *trainer;
    char *directory;
    gm_text index;
    size_t files;
};

/* A run that failed has a trace too, up to there; its own message is the one that counts. */
static void finish_after_failure(gm_trace *trace)
{
    gm_report *report = gm_report_of(trace->trainer->context), before = *report;
    (void)gm_trace_finish(trace);
    *report = before;
}

void gm_trace_destroy(gm_trace *trace)
{
    if (!trace)
        return;
    if (!trace->finished)
        finish_after_failure(trace);
    gm_text_destroy(&trace->index);
    gm_free(trace->trainer->context, trace->directory);
    gm_free(trace->trainer->context, trace);
}

gm_status gm_trace_create(gm_trainer *trainer, const char *directory, gm_trace **trace_out)
{
    gm_trace *trace;
    size_t length = strlen(directory);
    GM_TRY(gm_make_directories(trainer->context, directory));
    trace = gm_alloc(trainer->context, sizeof *trace);
    if (!trace)
        return GM_ERROR_MEMORY;
    trace->trainer = trainer;
    trace->directory = gm_alloc(trainer->context, length + 1);
    if (!trace->directory || length > 900) {
        gm_free(trainer->context, trace->directory);
        gm_free(trainer->context, trace);
        return length > 900 ? gm_fail(trainer->context, GM_ERROR_ARGUMENT, "the name of the trace folder is too long")
                            : GM_ERROR_MEMORY;
    }
    memcpy(trace->directory, directory, length);
    gm_text_init(&trace->index, trainer->context);
    gm_text_add(&trace->index, "round,step,kind,name,file\n");
    *trace_out = trace;
    return GM_OK;
}

static gm_status add(gm_trace *trace, const gm_step *step, const char *kind, const char *name,
                     const gm_tensor_view *view)
{
    char path[1000];
    long long round = (long long)trace->trainer->position.total + 1;
    gm_text_add(&trace->index, "%lld,%s,%s,%s,%06zu.npy\n", round, step->entry->name, kind, name, trace->files);
    snprintf(path, sizeof path, "%s/%06zu.npy", trace->directory, trace->files++);
    return gm_write_npy(trace->trainer->context, path, view);
}

static gm_status add_states(gm_trace *trace, const gm_step *step, const char *kind)
{
    gm_trainer *trainer = trace->trainer;
    for (size_t i = 0; i < gm_trainer_state_count(trainer); i++) {
        gm_tensor_view view;
        gm_status status;
        GM_TRY(gm_trainer_state(trainer, i, &view));
        view.data = gm_alloc(trainer->context, view.bytes);
        if (!view.data)
            return GM_ERROR_MEMORY;
        status = gm_store_read(trainer->store, (uint32_t)i, view.data);
        if (status == GM_OK)
            status = add(trace, step, kind, view.name, &view);
        gm_free(trainer->context, view.data);
        GM_TRY(status);
    }
    return GM_OK;
}

gm_status gm_trace_before(gm_trace *trace, const gm_step *step)
{
    if (!trace)
        return GM_OK;
    for (size_t i = 0; i < gm_plan_input_count(step->plan); i++) {
        gm_tensor_view view;
        gm_plan_input(step->plan, i, &view);
        if (!gm_is_trainer_scalar(view.name))
            GM_TRY(add(trace, step, "input", view.name, &view));
    }
    return add_states(trace, step, "before");
}

gm_status gm_trace_after(gm_trace *trace, const gm_step *step)
{
    static const struct {
        const char *prefix, *kind;
    } kinds[] = {{"draw.", "draw"}, {"gradient.", "gradient_norm"}, {"loss.", "loss"}, {"", "report"}};
    if (!trace)
        return GM_OK;
    for (size_t i = 0; i < gm_plan_output_count(step->plan); i++) {
        gm_tensor_view view;
        size_t k = 0;
        gm_plan_output(step->plan, i, &view);
        if (i < step->report_count)
            k = GM_COUNT(kinds) - 1;
        while (strncmp(view.name, kinds[k].prefix, strlen(kinds[k].prefix)) != 0)
            k++;
        GM_TRY(add(trace, step, kinds[k].kind, view.name + strlen(kinds[k].prefix), &view));
    }
    return add_states(trace, step, "after");
}

gm_status gm_trace_finish(gm_trace *trace)
{
    char path[1000];
    if (!trace)
        return GM_OK;
    if (trace->index.failed)
        return GM_ERROR_MEMORY;
    trace->finished = true;
    snprintf(path, sizeof path, "%s/index.csv", trace->directory);
    return gm_file_replace(trace->trainer->context, path, trace->index.data, trace->index.length);
}
