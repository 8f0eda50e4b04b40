/* Text for people: parameters, graphs after each stage, plans, the table of operators. */
#include "graph/operator.h"
#include "runtime/model.h"
#include "runtime/plan.h"

#include <string.h>

static void describe_parameters(const gm_model *model, gm_text *text)
{
    const gm_program *program = model->program;
    for (size_t e = 0; e < program->entry_count; e++) {
        int64_t total = 0, buffers = 0;
        if (program->entries[e].kind != GM_ENTRY_NETWORK)
            continue;
        for (size_t i = 0; i < program->state_count; i++) {
            const gm_state_entry *entry = &program->states[i];
            gm_tensor shape = gm_store_describe(model->store, (uint32_t)i);
            char dims[160];
            if (!entry->network || strcmp(entry->network, program->entries[e].name) != 0 ||
                (entry->kind != GM_STATE_PARAMETER && entry->kind != GM_STATE_BUFFER))
                continue;
            *(entry->kind == GM_STATE_PARAMETER ? &total : &buffers) += gm_tensor_count(&shape);
            gm_text_add(text, "  %-10s %10lld  %s%-20s %s\n",
                        entry->kind == GM_STATE_PARAMETER ? "parameter" : "buffer", (long long)gm_tensor_count(&shape),
                        gm_type_name(entry->type),
                        entry->rank ? gm_dims_print(program->symbols, entry->rank, entry->dims, dims, sizeof dims) : "",
                        entry->path);
        }
        gm_text_add(text, "network %s: %lld parameters", program->entries[e].name, (long long)total);
        if (buffers)
            gm_text_add(text, ", %lld numbers in buffers", (long long)buffers);
        gm_text_add(text, "\n");
    }
}

static const gm_entry *find_entry(const gm_model *model, const char *name)
{
    static const gm_entry_kind kinds[] = {GM_ENTRY_STEP, GM_ENTRY_SAMPLE, GM_ENTRY_EVALUATION, GM_ENTRY_NETWORK};
    for (size_t i = 0; i < GM_COUNT(kinds); i++) {
        const gm_entry *entry = name ? gm_program_entry(model->program, kinds[i], name) : NULL;
        if (entry)
            return entry;
    }
    return NULL;
}

static gm_status unknown_entry(const gm_model *model, const char *name)
{
    gm_spelling spelling;
    gm_spelling_init(&spelling, name);
    for (size_t i = 0; i < model->program->entry_count; i++)
        gm_spelling_offer(&spelling, model->program->entries[i].name);
    return gm_fail(model->context, GM_ERROR_ARGUMENT, "the model has no network, step, sample or evaluate '%s'%s%s%s",
                   name, spelling.best ? "; did you mean '" : "", spelling.best ? spelling.best : "",
                   spelling.best ? "'?" : "");
}

static gm_status print_stage(const gm_graph *graph, const char *title, gm_text *text)
{
    gm_text_add(text, "--- %s: %zu nodes ---\n", title, graph->node_count);
    gm_graph_print(graph, text);
    return text->failed ? GM_ERROR_MEMORY : GM_OK;
}

static gm_status describe_graph(const gm_model *model, const gm_entry *entry, int64_t batch, gm_pool *pool,
                                gm_text *text)
{
    gm_binding binding = {gm_dim_symbol(model->program->symbols, "N"), batch};
    gm_graph *bound;
    if (entry->undifferentiated)
        GM_TRY(print_stage(entry->undifferentiated, "as written, calls inlined", text));
    GM_TRY(print_stage(entry->graph,
                       entry->undifferentiated ? "with gradients and updates" : "as written, calls inlined", text));
    bound = gm_graph_bind(entry->graph, pool, &binding, batch > 0, NULL, 0, NULL);
    if (!bound)
        return gm_failure(model->context);
    GM_TRY(gm_graph_simplify(bound));
    GM_TRY(gm_graph_merge_backward(bound));
    GM_TRY(gm_graph_spread_outer_products(bound));
    GM_TRY(print_stage(bound, "shapes bound, simplified", text));
    GM_TRY(gm_graph_gate_normalization(bound));
    GM_TRY(gm_graph_share_signs(bound));
    GM_TRY(gm_graph_fuse(bound));
    return print_stage(bound, "elementwise chains fused", text);
}

static gm_status describe_plan(const gm_model *model, const gm_entry *entry, int64_t batch, gm_text *text)
{
    gm_plan_options options = {.batch = batch};
    gm_store *store;
    gm_plan *plan;
    gm_status status;
    GM_TRY(gm_store_view(model->store, &store));
    status = gm_plan_create(model->context, entry->graph, store, &options, &plan);
    if (status == GM_OK) {
        gm_plan_print(plan, text);
        gm_plan_destroy(plan);
    }
    gm_store_destroy(store);
    return status;
}

static void hand_out(const gm_text *text, void (*write)(const char *text, void *user), void *user)
{
    if (text->data)
        write(text->data, user);
}

gm_status gm_model_describe(const gm_model *model, const char *what, const char *name, int64_t batch,
                            void (*write)(const char *text, void *user), void *user)
{
    const gm_entry *entry = find_entry(model, name);
    gm_text text;
    gm_status status = GM_OK;
    gm_text_init(&text, model->context);
    if (batch <= 0 && model->program->train_count)
        batch = model->program->trains[0].batch;
    if (batch <= 0)
        batch = 1;
    if (strcmp(what, "parameters") == 0) {
        describe_parameters(model, &text);
    } else if (!name || !entry) {
        status = unknown_entry(model, name ? name : "");
    } else if (strcmp(what, "graph") == 0) {
        gm_pool *pool = gm_pool_create(model->context);
        status = pool ? describe_graph(model, entry, batch, pool, &text) : GM_ERROR_MEMORY;
        gm_pool_destroy(pool);
    } else if (strcmp(what, "plan") == 0) {
        status = describe_plan(model, entry, batch, &text);
    } else {
        status = gm_fail(model->context, GM_ERROR_ARGUMENT,
                         "gm_model_describe knows parameters, graph and plan, not '%s'", what);
    }
    if (text.failed)
        status = GM_ERROR_MEMORY;
    if (status == GM_OK)
        hand_out(&text, write, user);
    gm_text_destroy(&text);
    return status;
}

static void describe_types(unsigned types, gm_text *text)
{
    const char *separator = "";
    if (types == 0)
        gm_text_add(text, "all");
    else if (types == GM_TYPES_FLOATING)
        gm_text_add(text, "floating");
    else if (types == GM_TYPES_NUMERIC)
        gm_text_add(text, "numeric");
    else if ((types & (GM_TYPES_ALL & ~GM_TYPES(GM_STRING))) == (GM_TYPES_ALL & ~GM_TYPES(GM_STRING)))
        gm_text_add(text, "all");
    else
        for (int type = 1; type < 32; type++)
            if (types & GM_TYPES(type)) {
                gm_text_add(text, "%s%s", separator, gm_type_name((gm_type)type));
                separator = " ";
            }
}

gm_status gm_describe_operators(gm_context *context, void (*write)(const char *text, void *user), void *user)
{
    gm_text text;
    gm_status status;
    gm_text_init(&text, context);
    gm_text_add(&text, "%-38s %5s  %-10s %-10s %s\n", "operator", "opset", "gradient", "fast path",
                "types of first input");
    for (size_t i = 0; i < gm_operator_count(); i++) {
        const gm_operator *op = gm_operator_at(i);
        char name[128];
        const char *gradient;
        if (!op)
            continue;
        gradient = op->expand ? "expands" : op->gradient ? "yes" : op->zero_gradient ? "zero" : "no";
        size_t length = 0;
        for (const char *c = op->domain; *c && length < 60; c++)
            name[length++] = *c;
        if (length)
            name[length++] = '.';
        for (const char *c = op->name; *c && length < 126; c++)
            name[length++] = *c;
        name[length] = 0;
        gm_text_add(&text, "%-38s %5d  %-10s %-10s ", name, op->since, gradient, op->lower ? "yes" : "no");
        describe_types(op->types, &text);
        gm_text_add(&text, "\n");
    }
    status = text.failed ? GM_ERROR_MEMORY : GM_OK;
    if (status == GM_OK)
        hand_out(&text, write, user);
    gm_text_destroy(&text);
    return status;
}
