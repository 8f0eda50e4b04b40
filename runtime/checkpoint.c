/* Stores into containers and back. */
#include "runtime/external.h"
#include "runtime/model.h"

#include <string.h>

const gm_named_tensor *gm_find_tensor(const gm_named_tensor *tensors, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(tensors[i].name, name) == 0)
            return &tensors[i];
    return NULL;
}

static bool is_training_state(gm_state_kind kind)
{
    return kind == GM_STATE_SLOT || kind == GM_STATE_COUNTER;
}

gm_status gm_store_restore(gm_store *store, const gm_container *container, bool training, const char *name)
{
    for (size_t i = 0; i < store->program->state_count; i++) {
        const gm_state_entry *entry = &store->program->states[i];
        gm_tensor shape = gm_store_describe(store, (uint32_t)i);
        const gm_named_tensor *found;
        if (is_training_state(entry->kind) && !training)
            continue;
        found = is_training_state(entry->kind)
                    ? gm_find_tensor(container->training, container->training_count, entry->path)
                    : gm_find_tensor(container->parameters, container->parameter_count, entry->path);
        if (!found)
            return gm_fail(store->context, GM_ERROR_MODEL, "%s: has no tensor '%s', which the model needs", name,
                           entry->path);
        if (found->tensor->type != shape.type || !gm_tensor_same_shape(found->tensor, &shape)) {
            char expected[128], given[128];
            return gm_fail(store->context, GM_ERROR_MODEL,
                           "%s: tensor '%s' is %s%s, but the model declares %s%s (was it made with other settings?)",
                           name, entry->path, gm_type_name(found->tensor->type),
                           gm_dims_print(NULL, found->tensor->rank, found->tensor->dims, given, sizeof given),
                           gm_type_name(shape.type),
                           gm_dims_print(NULL, shape.rank, shape.dims, expected, sizeof expected));
        }
        GM_TRY(gm_store_write(store, (uint32_t)i, found->tensor->data));
    }
    return GM_OK;
}

/* The entry as a dense tensor: the store's own memory where that is plain, else a copy. */
static gm_status dense_tensor(const gm_store *store, gm_pool *pool, uint32_t state, gm_named_tensor *named)
{
    gm_tensor shape = gm_store_describe(store, state);
    gm_tensor *tensor;
    shape.data = (void *)(uintptr_t)gm_store_plain_data(store, state); /* only read */
    tensor = shape.data ? gm_pool_copy(pool, &shape, sizeof shape)
                        : gm_tensor_create(pool, shape.type, shape.rank, shape.dims);
    if (!tensor)
        return GM_ERROR_MEMORY;
    if (!shape.data)
        GM_TRY(gm_store_read(store, state, tensor->data));
    *named = (gm_named_tensor){store->program->states[state].path, tensor};
    return GM_OK;
}

static gm_status fill_container(const gm_store *store, gm_pool *pool, bool training, const gm_named_tensor *extra,
                                size_t extra_count, gm_container *out)
{
    const gm_program *program = store->program;
    const gm_entry *main_network =
        program->main_network ? gm_program_entry(program, GM_ENTRY_NETWORK, program->main_network) : NULL;
    gm_named_tensor *parameters =
        gm_pool_array(pool, program->state_count + program->table_count + 1, sizeof *parameters);
    gm_named_tensor *rest = gm_pool_array(pool, program->state_count + extra_count + 1, sizeof *rest);
    *out = (gm_container){.model_name = program->name,
                          .opset = program->opset,
                          .sources = program->sources,
                          .source_count = program->source_count,
                          .settings = program->settings,
                          .setting_count = program->setting_count,
                          .parameters = parameters,
                          .training = rest,
                          .view = main_network ? main_network->graph : NULL,
                          .program = program};
    if (!parameters || !rest)
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < program->state_count; i++) {
        if (!is_training_state(program->states[i].kind))
            GM_TRY(dense_tensor(store, pool, (uint32_t)i, &parameters[out->parameter_count++]));
        else if (training)
            GM_TRY(dense_tensor(store, pool, (uint32_t)i, &rest[out->training_count++]));
    }
    for (size_t i = 0; i < program->table_count; i++)
        GM_TRY(gm_table_store(pool, &program->tables[i], &parameters[out->parameter_count++]));
    for (size_t i = 0; training && i < extra_count; i++)
        rest[out->training_count++] = extra[i];
    return GM_OK;
}

typedef struct product {
    gm_context *context;
    gm_container *container;
} product;

static gm_status produce(void *user, gm_external *external,
                         gm_status (*write)(void *to, const void *data, size_t bytes), void *to)
{
    product *p = user;
    p->container->external = external;
    return gm_container_stream(p->context, p->container, write, to);
}

static bool is_too_large(const gm_container *container)
{
    size_t bytes = 0;
    for (size_t i = 0; i < container->parameter_count; i++)
        bytes += gm_tensor_bytes(container->parameters[i].tensor);
    for (size_t i = 0; i < container->training_count; i++)
        bytes += gm_tensor_bytes(container->training[i].tensor);
    return bytes > GM_CONTAINER_MAX_TENSOR_BYTES;
}

gm_status gm_store_save(const gm_store *store, bool training, const gm_named_tensor *extra, size_t extra_count,
                        const gm_target *target)
{
    gm_pool *pool = gm_pool_create(store->context);
    gm_container container;
    product made = {store->context, &container};
    gm_status status = pool ? fill_container(store, pool, training, extra, extra_count, &container) : GM_ERROR_MEMORY;
    if (status == GM_OK)
        status = target->path ? gm_external_save(store->context, target->path,
                                                 target->external || is_too_large(&container), produce, &made)
                              : gm_container_encode(store->context, &container, target->data_out, target->bytes_out);
    gm_pool_destroy(pool);
    return status;
}
