/* gm_session: one network or sample, planned, with its memory. */
#include "runtime/context.h"
#include "runtime/model.h"
#include "runtime/plan.h"

#include <string.h>

struct gm_session {
    gm_context *context;
    gm_model *model;
    gm_store *store; /* a view of the model's, with copies in the layouts that the plan wants */
    gm_plan *plan;
    uint64_t seed, run;
    bool override_seeds;
};

const char *gm_compute_version(void)
{
    return gm_compute_name();
}

void gm_session_options_default(gm_session_options *options, size_t struct_size)
{
    gm_session_options defaults = {.struct_size = struct_size};
    gm_options_give(options, struct_size, &defaults, sizeof defaults);
}

static gm_status find_graph(const gm_model *model, const char *name, bool training, const gm_graph **graph_out)
{
    const gm_program *program = model->program;
    const gm_entry *entry;
    name = name ? name : program->main_network;
    if (!name)
        return gm_fail(model->context, GM_ERROR_ARGUMENT, "the model has no network to run");
    entry = gm_program_entry(program, GM_ENTRY_NETWORK, name);
    if (!entry)
        entry = gm_program_entry(program, GM_ENTRY_SAMPLE, name);
    if (!entry) {
        gm_spelling spelling;
        gm_spelling_init(&spelling, name);
        for (size_t i = 0; i < program->entry_count; i++)
            if (program->entries[i].kind != GM_ENTRY_STEP)
                gm_spelling_offer(&spelling, program->entries[i].name);
        return gm_fail(model->context, GM_ERROR_ARGUMENT, "the model has no network or sample '%s'%s%s%s", name,
                       spelling.best ? "; did you mean '" : "", spelling.best ? spelling.best : "",
                       spelling.best ? "'?" : "");
    }
    *graph_out = training && entry->training ? entry->training : entry->graph;
    return GM_OK;
}

gm_status gm_session_create(const gm_model *model, const char *name, const gm_session_options *options,
                            gm_session **session_out)
{
    gm_session_options own = {.struct_size = sizeof own};
    const gm_graph *graph = NULL;
    gm_session *session;
    gm_status status;
    if (!model || !session_out)
        return GM_ERROR_ARGUMENT;
    GM_TRY(gm_options_take(model->context, "gm_session_options", options,
                           offsetof(gm_session_options, training) + sizeof own.training, &own, sizeof own));
    if (own.batch < 0)
        return gm_fail(model->context, GM_ERROR_ARGUMENT, "a batch of %lld is not possible", (long long)own.batch);
    GM_TRY(find_graph(model, name, own.training != 0, &graph));
    session = gm_alloc(model->context, sizeof *session);
    if (!session)
        return GM_ERROR_MEMORY;
    session->context = model->context;
    session->model = (gm_model *)(uintptr_t)model;
    session->seed = own.has_seed ? own.seed : model->seed;
    session->override_seeds = own.has_seed != 0;
    session->model->users++;
    gm_plan_options plan_options = {.batch = own.batch ? own.batch : 1, .reference = own.reference != 0};
    status = gm_store_view(model->store, &session->store);
    if (status == GM_OK)
        status = gm_plan_create(model->context, graph, session->store, &plan_options, &session->plan);
    if (status != GM_OK) {
        gm_session_destroy(session);
        return status;
    }
    *session_out = session;
    return GM_OK;
}

void gm_session_destroy(gm_session *session)
{
    if (!session)
        return;
    gm_plan_destroy(session->plan);
    gm_store_destroy(session->store);
    session->model->users--;
    gm_free(session->context, session);
}

size_t gm_session_input_count(const gm_session *session)
{
    return gm_plan_input_count(session->plan);
}

size_t gm_session_output_count(const gm_session *session)
{
    return gm_plan_output_count(session->plan);
}

gm_status gm_session_input(const gm_session *session, size_t index, gm_tensor_view *view_out)
{
    if (index >= gm_plan_input_count(session->plan))
        return gm_fail(session->context, GM_ERROR_ARGUMENT, "there is no input number %zu", index);
    gm_plan_input(session->plan, index, view_out);
    return GM_OK;
}

gm_status gm_session_output(const gm_session *session, size_t index, gm_tensor_view *view_out)
{
    if (index >= gm_plan_output_count(session->plan))
        return gm_fail(session->context, GM_ERROR_ARGUMENT, "there is no output number %zu", index);
    gm_plan_output(session->plan, index, view_out);
    return GM_OK;
}

static gm_status check_binding(const gm_session *session, const char *name, const gm_tensor_view *view,
                               const void *data, size_t bytes)
{
    if (data && bytes != view->bytes)
        return gm_fail(session->context, GM_ERROR_ARGUMENT, "'%s' has %zu bytes, not %zu", name, view->bytes, bytes);
    if ((uintptr_t)data % 64)
        return gm_fail(session->context, GM_ERROR_ARGUMENT, "the memory bound to '%s' is not aligned to 64 bytes",
                       name);
    return GM_OK;
}

static gm_status unknown_name(const gm_session *session, const char *kind, const char *name)
{
    bool inputs = strcmp(kind, "input") == 0;
    size_t count = inputs ? gm_plan_input_count(session->plan) : gm_plan_output_count(session->plan);
    gm_spelling spelling;
    gm_tensor_view view;
    gm_spelling_init(&spelling, name);
    for (size_t i = 0; i < count; i++) {
        if (inputs)
            gm_plan_input(session->plan, i, &view);
        else
            gm_plan_output(session->plan, i, &view);
        gm_spelling_offer(&spelling, view.name);
    }
    return gm_fail(session->context, GM_ERROR_ARGUMENT, "there is no %s '%s'%s%s%s", kind, name,
                   spelling.best ? "; did you mean '" : "", spelling.best ? spelling.best : "",
                   spelling.best ? "'?" : "");
}

gm_status gm_session_bind_input(gm_session *session, const char *name, const void *data, size_t bytes)
{
    int64_t index = gm_plan_find_input(session->plan, name);
    gm_tensor_view view;
    if (index < 0)
        return unknown_name(session, "input", name);
    gm_plan_input(session->plan, (size_t)index, &view);
    GM_TRY(check_binding(session, name, &view, data, bytes));
    gm_plan_bind_input(session->plan, (size_t)index, data);
    return GM_OK;
}

gm_status gm_session_bind_output(gm_session *session, const char *name, void *data, size_t bytes)
{
    int64_t index = gm_plan_find_output(session->plan, name);
    gm_tensor_view view;
    if (index < 0)
        return unknown_name(session, "output", name);
    gm_plan_output(session->plan, (size_t)index, &view);
    GM_TRY(check_binding(session, name, &view, data, bytes));
    gm_plan_bind_output(session->plan, (size_t)index, data);
    return GM_OK;
}

gm_status gm_session_run(gm_session *session)
{
    gm_clear_message(session->context);
    return gm_plan_run(session->plan, session->seed, session->run++, session->override_seeds);
}

gm_status gm_session_plan(const gm_session *session, gm_plan_info *info_out)
{
    gm_plan_info_of(session->plan, info_out);
    return GM_OK;
}

gm_status gm_session_profile(gm_session *session, int on)
{
    return gm_plan_profile(session->plan, on != 0);
}

size_t gm_session_profile_count(const gm_session *session)
{
    return gm_plan_profile_count(session->plan);
}

gm_status gm_session_profile_entry(const gm_session *session, size_t index, gm_profile_entry *entry_out)
{
    if (!gm_plan_profile_entry(session->plan, index, entry_out))
        return gm_fail(session->context, GM_ERROR_ARGUMENT, "there is no profile entry number %zu", index);
    return GM_OK;
}
