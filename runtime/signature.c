/* What a network or sample takes and gives, before it is planned: types, and shapes with their symbols. */
#include "runtime/model.h"

#include <string.h>

gm_status gm_model_graph(const gm_model *model, const char *name, bool training, const gm_graph **graph_out)
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

static void describe(const gm_graph *graph, const char *name, gm_value_id id, gm_value_info *info_out)
{
    const gm_value *value = gm_value_of(graph, id);
    memset(info_out, 0, sizeof *info_out);
    info_out->name = name;
    info_out->type = value->type;
    info_out->rank = value->rank;
    for (int i = 0; i < value->rank; i++) {
        info_out->dims[i] = gm_dim_is_known(value->dims[i]) ? value->dims[i] : -1;
        info_out->symbols[i] = gm_dim_symbol_name(graph->symbols, value->dims[i]);
    }
}

size_t gm_model_input_count(const gm_model *model, const char *name)
{
    const gm_graph *graph = NULL;
    return gm_model_graph(model, name, false, &graph) == GM_OK ? graph->input_count : 0;
}

size_t gm_model_output_count(const gm_model *model, const char *name)
{
    const gm_graph *graph = NULL;
    return gm_model_graph(model, name, false, &graph) == GM_OK ? graph->output_count : 0;
}

gm_status gm_model_input(const gm_model *model, const char *name, size_t index, gm_value_info *info_out)
{
    const gm_graph *graph = NULL;
    GM_TRY(gm_model_graph(model, name, false, &graph));
    if (index >= graph->input_count)
        return gm_fail(model->context, GM_ERROR_ARGUMENT, "there is no input number %zu", index);
    describe(graph, graph->inputs[index].name, graph->inputs[index].value, info_out);
    return GM_OK;
}

gm_status gm_model_output(const gm_model *model, const char *name, size_t index, gm_value_info *info_out)
{
    const gm_graph *graph = NULL;
    GM_TRY(gm_model_graph(model, name, false, &graph));
    if (index >= graph->output_count)
        return gm_fail(model->context, GM_ERROR_ARGUMENT, "there is no output number %zu", index);
    describe(graph, graph->outputs[index].name, graph->outputs[index].value, info_out);
    return GM_OK;
}
