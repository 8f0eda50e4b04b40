/* gm_session: one network or sample, planned, with its memory. */
#include "runtime/context.h"
#include "runtime/model.h"
#include "runtime/plan.h"

#include <string.h>

#define GM_MAX_SIZES 32
#define GM_MAX_PLANS 8

typedef struct sizes {
    gm_binding bindings[GM_MAX_SIZES];
    size_t count;
} sizes;

typedef struct planned {
    gm_plan *plan; /* NULL: a free place */
    sizes sizes;
    uint64_t used; /* when, in calls of gm_session_resize */
} planned;

struct gm_session {
    gm_context *context;
    gm_model *model;
    const gm_graph *graph;
    gm_store *store; /* a view of the model's, with copies in the layouts that the first plan wants */
    planned plans[GM_MAX_PLANS];
    gm_plan *plan;      /* the one at work */
    void *arena;        /* of all plans */
    size_t arena_bytes; /* that it has */
    uint64_t resizes, seed, run;
    bool override_seeds, reference, caller_arena;
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

/* --- Sizes of dimensions --- */

static bool has_size(const sizes *s, gm_dim symbol)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->bindings[i].symbol == symbol)
            return true;
    return false;
}

/* The symbol of the graph's inputs by its name; 0: there is none, and `spelling` has seen those that there are. */
static gm_dim symbol_named(const gm_graph *graph, const char *name, gm_spelling *spelling)
{
    for (size_t i = 0; i < graph->input_count; i++) {
        const gm_value *value = gm_value_of(graph, graph->inputs[i].value);
        for (int k = 0; k < value->rank; k++) {
            const char *symbol = gm_dim_symbol_name(graph->symbols, value->dims[k]);
            if (symbol && strcmp(symbol, name) == 0)
                return value->dims[k];
            if (symbol)
                gm_spelling_offer(spelling, symbol);
        }
    }
    return 0;
}

static gm_status add_sizes(const gm_graph *graph, const gm_dimension *dimensions, size_t count, sizes *s)
{
    if (count > GM_MAX_SIZES - 2)
        return gm_fail(graph->context, GM_ERROR_ARGUMENT, "a session takes sizes of at most %d dimensions",
                       GM_MAX_SIZES - 2);
    for (size_t i = 0; i < count; i++) {
        const gm_dimension *given = &dimensions[i];
        gm_spelling spelling;
        gm_dim symbol;
        gm_spelling_init(&spelling, given->name ? given->name : "");
        symbol = symbol_named(graph, given->name ? given->name : "", &spelling);
        if (!symbol)
            return gm_fail(graph->context, GM_ERROR_ARGUMENT, "no input of '%s' has a dimension '%s'%s%s%s",
                           graph->name, given->name ? given->name : "", spelling.best ? "; did you mean '" : "",
                           spelling.best ? spelling.best : "", spelling.best ? "'?" : "");
        if (given->size < 0 || has_size(s, symbol))
            return gm_fail(graph->context, GM_ERROR_ARGUMENT, "the dimension '%s' %s", given->name,
                           given->size < 0 ? "has a negative size" : "is given twice");
        s->bindings[s->count++] = (gm_binding){symbol, given->size};
    }
    return GM_OK;
}

/* Where nothing is called N, the batch is the first dimension of the first input. */
static void add_batch(const gm_graph *graph, int64_t batch, sizes *s)
{
    gm_spelling spelling;
    const gm_value *value = graph->input_count ? gm_value_of(graph, graph->inputs[0].value) : NULL;
    gm_spelling_init(&spelling, "N");
    if (symbol_named(graph, "N", &spelling) || !value || value->rank == 0 || gm_dim_is_known(value->dims[0]) ||
        !gm_dim_symbol_name(graph->symbols, value->dims[0]) || has_size(s, value->dims[0]))
        return;
    s->bindings[s->count++] = (gm_binding){value->dims[0], batch};
}

static gm_status check_sizes(const gm_graph *graph, const sizes *s)
{
    gm_dim batch = gm_dim_symbol(graph->symbols, "N");
    for (size_t i = 0; i < graph->input_count; i++) {
        const gm_value *value = gm_value_of(graph, graph->inputs[i].value);
        for (int k = 0; k < value->rank; k++) {
            const char *name = gm_dim_symbol_name(graph->symbols, value->dims[k]);
            if (name && value->dims[k] != batch && !has_size(s, value->dims[k]))
                return gm_fail(graph->context, GM_ERROR_ARGUMENT, "the dimension '%s' of input '%s' has no size", name,
                               graph->inputs[i].name);
        }
    }
    return GM_OK;
}

/* Everything that a plan must know of sizes: those given, the batch, N. */
static gm_status read_sizes(const gm_graph *graph, int64_t batch, const gm_dimension *dimensions, size_t count,
                            sizes *s)
{
    gm_dim n = gm_dim_symbol(graph->symbols, "N");
    s->count = 0;
    if (batch < 0)
        return gm_fail(graph->context, GM_ERROR_ARGUMENT, "a batch of %lld is not possible", (long long)batch);
    GM_TRY(add_sizes(graph, dimensions, dimensions ? count : 0, s));
    add_batch(graph, batch ? batch : 1, s);
    GM_TRY(check_sizes(graph, s));
    if (!has_size(s, n))
        s->bindings[s->count++] = (gm_binding){n, batch ? batch : 1};
    return GM_OK;
}

/* --- Plans --- */

static planned *find_plan(gm_session *session, const sizes *wanted)
{
    for (size_t i = 0; i < GM_MAX_PLANS; i++) {
        planned *p = &session->plans[i];
        bool same = p->plan && p->sizes.count == wanted->count;
        for (size_t k = 0; same && k < wanted->count; k++)
            same = p->sizes.bindings[k].symbol == wanted->bindings[k].symbol &&
                   p->sizes.bindings[k].value == wanted->bindings[k].value;
        if (same)
            return p;
    }
    return NULL;
}

/* A free place, or that of the plan which was not used for longest. */
static planned *oldest_place(gm_session *session)
{
    planned *oldest = NULL;
    for (size_t i = 0; i < GM_MAX_PLANS; i++) {
        planned *p = &session->plans[i];
        if (!p->plan)
            return p;
        if (p->plan != session->plan && (!oldest || p->used < oldest->used))
            oldest = p;
    }
    return oldest;
}

static size_t arena_bytes_of(const gm_plan *plan)
{
    gm_plan_info info;
    gm_plan_info_of(plan, &info);
    return info.arena_bytes;
}

/* Gives the plan the session's arena, which grows for it where it is the session's own. */
static gm_status give_arena(gm_session *session, gm_plan *plan)
{
    size_t needed = arena_bytes_of(plan);
    void *larger;
    if (needed > session->arena_bytes && !session->caller_arena) {
        larger = gm_alloc(session->context, needed);
        if (!larger)
            return gm_fail(session->context, GM_ERROR_MEMORY,
                           "'%s' needs %zu bytes for intermediate values, which cannot be had", session->graph->name,
                           needed);
        gm_free(session->context, session->arena);
        session->arena = larger;
        session->arena_bytes = needed;
        for (size_t i = 0; i < GM_MAX_PLANS; i++)
            if (session->plans[i].plan)
                gm_plan_bind_arena(session->plans[i].plan, larger);
    }
    gm_plan_bind_arena(plan, needed <= session->arena_bytes ? session->arena : NULL);
    return GM_OK;
}

static void unbind_all(gm_plan *plan)
{
    for (size_t i = 0; i < gm_plan_input_count(plan); i++)
        gm_plan_bind_input(plan, i, NULL);
    for (size_t i = 0; i < gm_plan_output_count(plan); i++)
        gm_plan_bind_output(plan, i, NULL);
}

static gm_status take_plan(gm_session *session, const sizes *wanted)
{
    planned *place = find_plan(session, wanted);
    gm_plan_options options = {
        .sizes = wanted->bindings, .size_count = wanted->count, .reference = session->reference, .without_arena = true};
    gm_plan *plan = NULL;
    gm_status status;
    if (!place) {
        GM_TRY(gm_plan_create(session->context, session->graph, session->store, &options, &plan));
        status = give_arena(session, plan);
        if (status != GM_OK) {
            gm_plan_destroy(plan);
            return status;
        }
        place = oldest_place(session);
        gm_plan_destroy(place->plan);
        *place = (planned){.plan = plan, .sizes = *wanted};
    }
    unbind_all(place->plan);
    GM_TRY(give_arena(session, place->plan));
    place->used = ++session->resizes;
    session->plan = place->plan;
    return GM_OK;
}

gm_status gm_session_create(const gm_model *model, const char *name, const gm_session_options *options,
                            gm_session **session_out)
{
    gm_session_options own = {.struct_size = sizeof own};
    const gm_graph *graph = NULL;
    gm_session *session;
    gm_status status;
    sizes s;
    if (!model || !session_out)
        return GM_ERROR_ARGUMENT;
    GM_TRY(gm_options_take(model->context, "gm_session_options", options,
                           offsetof(gm_session_options, training) + sizeof own.training, &own, sizeof own));
    GM_TRY(gm_model_graph(model, name, own.training != 0, &graph));
    GM_TRY(read_sizes(graph, own.batch, own.dimensions, own.dimension_count, &s));
    session = gm_alloc(model->context, sizeof *session);
    if (!session)
        return GM_ERROR_MEMORY;
    session->context = model->context;
    session->model = (gm_model *)(uintptr_t)model;
    session->graph = graph;
    session->seed = own.has_seed ? own.seed : model->seed;
    session->override_seeds = own.has_seed != 0;
    session->reference = own.reference != 0;
    session->caller_arena = own.caller_arena != 0;
    session->model->users++;
    status = gm_store_view(model->store, &session->store);
    if (status == GM_OK)
        status = take_plan(session, &s);
    if (status != GM_OK) {
        gm_session_destroy(session);
        return status;
    }
    *session_out = session;
    return GM_OK;
}

gm_status gm_session_resize(gm_session *session, int64_t batch, const gm_dimension *dimensions, size_t dimension_count)
{
    sizes s;
    if (!session)
        return GM_ERROR_ARGUMENT;
    gm_clear_message(session->context);
    GM_TRY(read_sizes(session->graph, batch, dimensions, dimension_count, &s));
    return take_plan(session, &s);
}

gm_status gm_session_bind_arena(gm_session *session, void *memory, size_t bytes)
{
    size_t needed = arena_bytes_of(session->plan);
    if (!session->caller_arena)
        return gm_fail(session->context, GM_ERROR_ARGUMENT,
                       "the session has an arena of its own: ask for caller_arena");
    if (memory && (bytes < needed || (uintptr_t)memory % 64))
        return gm_fail(session->context, GM_ERROR_ARGUMENT,
                       "the arena must have %zu bytes, aligned to 64, found %zu at %p", needed, bytes, memory);
    session->arena = memory;
    session->arena_bytes = memory ? bytes : 0;
    for (size_t i = 0; i < GM_MAX_PLANS; i++)
        if (session->plans[i].plan)
            gm_plan_bind_arena(session->plans[i].plan, NULL);
    return give_arena(session, session->plan);
}

void gm_session_destroy(gm_session *session)
{
    if (!session)
        return;
    for (size_t i = 0; i < GM_MAX_PLANS; i++)
        gm_plan_destroy(session->plans[i].plan);
    gm_store_destroy(session->store);
    if (!session->caller_arena)
        gm_free(session->context, session->arena);
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
    return gm_plan_profile(session->plan, on);
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
