/* One network for inference, as a plain ONNX model: functions inlined, batch normalization folded into the layers before
 * it, nothing of training. */
#include "graph/operator.h"
#include "runtime/external.h"
#include "runtime/model.h"

#include <string.h>

/* Parameters become constants of the graph, under their paths. */
static gm_status freeze(const gm_model *model, gm_graph *graph)
{
    for (size_t i = 1; i < graph->value_count; i++) {
        gm_value *value = &graph->values[i];
        gm_tensor shape, *tensor;
        if (value->kind != GM_VALUE_STATE)
            continue;
        shape = gm_store_describe(model->store, value->state);
        tensor = gm_tensor_create(graph->pool, shape.type, shape.rank, shape.dims);
        if (!tensor)
            return GM_ERROR_MEMORY;
        GM_TRY(gm_store_read(model->store, value->state, tensor->data));
        value->name = model->program->states[value->state].path;
        value->kind = GM_VALUE_CONSTANT;
        value->constant = tensor;
    }
    return GM_OK;
}

static void drop_detach(gm_graph *graph)
{
    const gm_operator *detach = gm_operator_find("gmodel", "Detach");
    for (size_t n = 0; n < graph->node_count; n++)
        if (graph->nodes[n].op == detach) {
            gm_graph_replace(graph, graph->nodes[n].outputs[0], graph->nodes[n].inputs[0]);
            graph->nodes[n].dead = true;
        }
}

static gm_status check_operators(const gm_graph *graph)
{
    for (size_t n = 0; n < graph->node_count; n++)
        if (strcmp(graph->nodes[n].op->domain, "gmodel") == 0)
            return gm_fail(graph->context, GM_ERROR_UNSUPPORTED,
                           "network '%s' uses gmodel.%s (%s), which no other tool knows, so it cannot be exported",
                           graph->name, graph->nodes[n].op->name, graph->nodes[n].path);
    return GM_OK;
}

static gm_status prepare(const gm_model *model, const gm_graph *network, gm_pool *pool, gm_graph **graph_out)
{
    gm_graph *graph = gm_graph_bind(network, pool, NULL, 0, NULL, 0, NULL);
    if (!graph)
        return gm_failure(model->context);
    GM_TRY(freeze(model, graph));
    drop_detach(graph);
    GM_TRY(gm_graph_compact(graph));
    GM_TRY(gm_graph_fold_normalization(graph));
    GM_TRY(gm_graph_simplify(graph));
    GM_TRY(gm_graph_sort(graph));
    *graph_out = graph;
    return check_operators(graph);
}

static gm_status find_network(const gm_model *model, const char *name, const gm_graph **graph_out)
{
    const gm_entry *entry;
    GM_TRY(gm_model_graph(model, name, false, graph_out));
    entry = gm_program_entry(model->program, GM_ENTRY_NETWORK, name ? name : model->program->main_network);
    return entry ? GM_OK
                 : gm_fail(model->context, GM_ERROR_ARGUMENT, "'%s' is a sample; only networks can be exported", name);
}

typedef struct order {
    const gm_model *model;
    const char *network;
    gm_pool *pool;
} order;

static gm_status export_to(void *user, gm_external *external,
                           gm_status (*write)(void *to, const void *data, size_t bytes), void *to)
{
    const order *o = user;
    const gm_model *model = o->model;
    const gm_graph *graph = NULL;
    gm_graph *prepared = NULL;
    gm_container container = {.opset = model->program->opset};
    GM_TRY(find_network(model, o->network, &graph));
    GM_TRY(prepare(model, graph, o->pool, &prepared));
    container.model_name = graph->name;
    container.view = prepared;
    container.external = external;
    return gm_container_stream(model->context, &container, write, to);
}

typedef struct memory {
    gm_pool *pool;
    char *data;
    size_t bytes, capacity;
} memory;

static gm_status write_memory(void *user, const void *data, size_t bytes)
{
    memory *m = user;
    if (!gm_pool_grow(m->pool, (void **)&m->data, &m->capacity, m->bytes + bytes, 1))
        return GM_ERROR_MEMORY;
    memcpy(m->data + m->bytes, data, bytes);
    m->bytes += bytes;
    return GM_OK;
}

gm_status gm_export_memory(const gm_model *model, const char *network, gm_pool *pool, void **data_out,
                           size_t *bytes_out)
{
    memory m = {.pool = pool};
    order o = {model, network, pool};
    GM_TRY(export_to(&o, NULL, write_memory, &m));
    *data_out = m.data;
    *bytes_out = m.bytes;
    return GM_OK;
}

gm_status gm_export_file(const gm_model *model, const char *network, const char *path, bool external)
{
    gm_pool *pool = gm_pool_create(model->context);
    order o = {model, network, pool};
    gm_status status =
        pool ? gm_external_save(model->context, path, external || model->store->bytes > GM_CONTAINER_MAX_TENSOR_BYTES,
                                export_to, &o)
             : GM_ERROR_MEMORY;
    gm_pool_destroy(pool);
    return status;
}

static gm_status export_gmodel(const gm_model *model, const char *network, gm_pool *pool, const char *path)
{
    gm_model *alone = NULL;
    void *data;
    size_t bytes;
    gm_status status;
    GM_TRY(gm_export_memory(model, network, pool, &data, &bytes));
    GM_TRY(gm_model_load_memory(model->context, data, bytes, path, NULL, &alone));
    status = gm_model_save(alone, path);
    gm_model_destroy(alone);
    return status;
}

gm_status gm_model_export(const gm_model *model, const char *network, const char *path, gm_file_kind kind)
{
    gm_pool *pool;
    gm_status status;
    if (!model || !path)
        return model ? gm_fail(model->context, GM_ERROR_ARGUMENT, "gm_model_export: an argument is NULL")
                     : GM_ERROR_ARGUMENT;
    gm_clear_message(model->context);
    if (kind != GM_FILE_ONNX && kind != GM_FILE_BINARY)
        return gm_fail(model->context, GM_ERROR_ARGUMENT, "gm_model_export writes ONNX or a binary .gmodel");
    if (kind == GM_FILE_ONNX)
        return gm_export_file(model, network, path, false);
    pool = gm_pool_create(model->context);
    status = pool ? export_gmodel(model, network, pool, path) : GM_ERROR_MEMORY;
    gm_pool_destroy(pool);
    return status;
}
