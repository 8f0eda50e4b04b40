/* Memory of a program's state. */
#include "runtime/store.h"

#include "runtime/initialize.h"

#include <string.h>

static gm_status allocate(gm_context *context, const gm_program *program, gm_store **store_out)
{
    gm_pool *pool = gm_pool_create(context);
    gm_store *store = pool ? gm_pool_alloc(pool, sizeof *store) : NULL;
    if (!store) {
        gm_pool_destroy(pool);
        return GM_ERROR_MEMORY;
    }
    store->context = context;
    store->program = program;
    store->pool = pool;
    store->entries = gm_pool_array(pool, program->state_count + 1, sizeof *store->entries);
    if (!store->entries) {
        gm_pool_destroy(pool);
        return GM_ERROR_MEMORY;
    }
    *store_out = store;
    return GM_OK;
}

/* Part of the model itself, not of its training. */
static bool is_model_state(const gm_state_entry *entry)
{
    return entry->kind == GM_STATE_PARAMETER || entry->kind == GM_STATE_BUFFER;
}

gm_tensor gm_store_describe(const gm_store *store, uint32_t state)
{
    const gm_state_entry *entry = &store->program->states[state];
    gm_tensor tensor = {entry->type, entry->rank, {0}, NULL};
    memcpy(tensor.dims, entry->dims, sizeof tensor.dims);
    return tensor;
}

gm_status gm_store_create(gm_context *context, const gm_program *program, bool training, gm_store **store_out)
{
    gm_store *store;
    GM_TRY(allocate(context, program, &store));
    for (size_t i = 0; i < program->state_count; i++) {
        gm_tensor shape = gm_store_describe(store, (uint32_t)i);
        gm_store_entry *entry = &store->entries[i];
        if (!gm_shape_fits(shape.rank, shape.dims)) {
            gm_store_destroy(store);
            return gm_fail(context, GM_ERROR_UNSUPPORTED, "the shape of '%s' is too large for any machine",
                           program->states[i].path);
        }
        entry->bytes = gm_tensor_bytes(&shape);
        entry->layout = gm_layout_any;
        if (!training && !is_model_state(&program->states[i]))
            continue;
        entry->data = gm_alloc(context, entry->bytes);
        if (!entry->data) {
            gm_store_destroy(store);
            return GM_ERROR_MEMORY;
        }
        store->bytes += entry->bytes;
    }
    *store_out = store;
    return GM_OK;
}

gm_status gm_store_view(const gm_store *base, gm_store **store_out)
{
    gm_store *store;
    GM_TRY(allocate(base->context, base->program, &store));
    for (size_t i = 0; i < base->program->state_count; i++) {
        store->entries[i] = base->entries[i];
        store->entries[i].shared = true;
        store->entries[i].layout = gm_layout_any;
    }
    *store_out = store;
    return GM_OK;
}

void gm_store_destroy(gm_store *store)
{
    if (!store)
        return;
    for (size_t i = 0; i < store->program->state_count; i++) {
        gm_layout_drop(store->context, store->entries[i].layout);
        if (!store->entries[i].shared)
            gm_free(store->context, store->entries[i].data);
    }
    gm_pool_destroy(store->pool);
}

gm_status gm_store_initialize(gm_store *store, uint64_t seed)
{
    for (size_t i = 0; i < store->program->state_count; i++) {
        gm_tensor target = gm_store_describe(store, (uint32_t)i);
        target.data = store->entries[i].data;
        if (target.data)
            GM_TRY(gm_initialize_state(store->context, &store->program->states[i], seed, &target));
    }
    return GM_OK;
}

/* Copies between two layouts with a kernel made for the purpose. */
static gm_status convert(gm_store *store, uint32_t state, const void *from_data, gm_layout from, void *to_data,
                         gm_layout to)
{
    gm_tensor shape = gm_store_describe(store, state);
    gm_pool *pool = gm_pool_create(store->context);
    gm_kernel kernel = {0};
    size_t scratch_bytes = 0;
    void *scratch = NULL;
    gm_status status = pool ? gm_lower_reorder(store->context, pool, shape.type, shape.rank, shape.dims, from, to,
                                               &scratch_bytes, &kernel)
                            : GM_ERROR_MEMORY;
    if (status == GM_OK && scratch_bytes && !(scratch = gm_alloc(store->context, scratch_bytes)))
        status = GM_ERROR_MEMORY;
    if (status == GM_OK) {
        void *in = (void *)(uintptr_t)from_data;
        gm_kernel_arguments arguments = {
            .in = &in, .out = &to_data, .scratch = scratch, .threads = store->context->options.threads};
        status = kernel.run(kernel.state, &arguments);
    }
    if (kernel.destroy)
        kernel.destroy(kernel.state);
    gm_free(store->context, scratch);
    gm_pool_destroy(pool);
    return status;
}

gm_status gm_store_choose_layout(gm_store *store, uint32_t state, gm_layout layout)
{
    gm_store_entry *entry = &store->entries[state];
    gm_layout kept;
    void *fresh;
    if (!gm_layout_is_any(entry->layout) || gm_layout_is_any(layout))
        return GM_OK;
    if (gm_layout_is_plain(layout)) {
        entry->layout = layout;
        return GM_OK;
    }
    if (!entry->data) /* a plan that is only looked at */
        return gm_layout_keep(store->context, layout, &entry->layout);
    fresh = gm_alloc(store->context, entry->bytes);
    if (!fresh)
        return GM_ERROR_MEMORY;
    gm_status status = convert(store, state, entry->data, gm_layout_plain, fresh, layout);
    if (status == GM_OK)
        status = gm_layout_keep(store->context, layout, &kept);
    if (status != GM_OK) {
        gm_free(store->context, fresh);
        return status;
    }
    if (entry->shared)
        store->bytes += entry->bytes;
    else
        gm_free(store->context, entry->data);
    entry->data = fresh;
    entry->shared = false;
    entry->layout = kept;
    return GM_OK;
}

static gm_layout held_layout(const gm_store_entry *entry)
{
    return gm_layout_is_any(entry->layout) ? gm_layout_plain : entry->layout;
}

const void *gm_store_plain_data(const gm_store *store, uint32_t state)
{
    return gm_layout_is_plain(held_layout(&store->entries[state])) ? store->entries[state].data : NULL;
}

gm_status gm_store_read(const gm_store *store, uint32_t state, void *data)
{
    const gm_store_entry *entry = &store->entries[state];
    if (gm_layout_is_plain(held_layout(entry))) {
        memcpy(data, entry->data, entry->bytes);
        return GM_OK;
    }
    return convert((gm_store *)(uintptr_t)store, state, entry->data, entry->layout, data, gm_layout_plain);
}

gm_status gm_store_write(gm_store *store, uint32_t state, const void *data)
{
    gm_store_entry *entry = &store->entries[state];
    if (gm_layout_is_plain(held_layout(entry))) {
        memcpy(entry->data, data, entry->bytes);
        return GM_OK;
    }
    return convert(store, state, data, gm_layout_plain, entry->data, entry->layout);
}
