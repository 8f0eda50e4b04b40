/* oneDNN 2.6 and 3.x: memory descriptors, primitives, execution. */
#include "ops/onednn.h"

#include <omp.h>
#include <string.h>

#define IS_V3 (DNNL_VERSION_MAJOR >= 3)

/* The order of a tensor in memory, in plain numbers: what both versions can tell, and what layouts are compared by. */
typedef struct md_order {
    bool blocked; /* false: `any` or of a kind that cannot be looked into */
    int rank, block_count;
    int64_t dims[GM_DNNL_MAX_RANK], padded[GM_DNNL_MAX_RANK], strides[GM_DNNL_MAX_RANK];
    int64_t blocks[DNNL_MAX_NDIMS], axes[DNNL_MAX_NDIMS];
    int64_t offset;
} md_order;

struct gm_md {
    dnnl_memory_desc_t handle; /* 2.x: the structure itself; 3.x: a pointer */
    md_order order;
    size_t bytes;
    gm_md *next; /* of the owner's list */
};

typedef struct dnnl_argument {
    dnnl_memory_t memory;
    gm_dnnl_place place;
    size_t index;
} dnnl_argument;

typedef struct dnnl_step {
    dnnl_primitive_t primitive;
    size_t count;
    dnnl_exec_arg_t arguments[GM_DNNL_MAX_ARGS + 1];
    dnnl_argument sources[GM_DNNL_MAX_ARGS + 1];
} dnnl_step;

typedef struct descriptor_link {
    dnnl_primitive_desc_t descriptor;
    struct descriptor_link *next;
} descriptor_link;

struct gm_dnnl {
    gm_context *context;
    gm_pool *pool;
    int outer_threads; /* 0: put back already */
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_attr_t attributes;
    gm_md *mds;
    descriptor_link *descriptors;
    size_t step_count;
    dnnl_step steps[GM_DNNL_MAX_STEPS];
    size_t scratch_bytes;
};

#if IS_V3
static const_dnnl_memory_desc_t handle_of(const gm_md *md)
{
    return md ? md->handle : NULL;
}
#else
static const dnnl_memory_desc_t *handle_of(const gm_md *md)
{
    return md ? &md->handle : NULL;
}
#endif

/* --- Life --------------------------------------------------------------------------------------------------------- */

gm_dnnl *gm_dnnl_create(gm_context *context, gm_pool *pool, int threads)
{
    gm_dnnl *dnnl = gm_pool_alloc(pool, sizeof *dnnl);
    if (!dnnl)
        return NULL;
    dnnl->context = context;
    dnnl->pool = pool;
    dnnl->outer_threads = omp_get_max_threads();
    if (threads > 0)
        omp_set_num_threads(threads);
    if (dnnl_engine_create(&dnnl->engine, dnnl_cpu, 0) == dnnl_success &&
        dnnl_stream_create(&dnnl->stream, dnnl->engine, dnnl_stream_default_flags) == dnnl_success &&
        dnnl_primitive_attr_create(&dnnl->attributes) == dnnl_success &&
        dnnl_primitive_attr_set_scratchpad_mode(dnnl->attributes, dnnl_scratchpad_mode_user) == dnnl_success)
        return dnnl;
    gm_dnnl_destroy(dnnl);
    gm_fail(context, GM_ERROR_INTERNAL, "oneDNN cannot make a CPU engine");
    return NULL;
}

void gm_dnnl_restore_threads(gm_dnnl *dnnl)
{
    if (dnnl->outer_threads)
        omp_set_num_threads(dnnl->outer_threads);
    dnnl->outer_threads = 0;
}

static void destroy_descriptors(gm_dnnl *dnnl)
{
    for (descriptor_link *link = dnnl->descriptors; link; link = link->next)
        dnnl_primitive_desc_destroy(link->descriptor);
    dnnl->descriptors = NULL;
}

void gm_dnnl_destroy(gm_dnnl *dnnl)
{
    if (!dnnl)
        return;
    gm_dnnl_restore_threads(dnnl);
    for (size_t i = 0; i < dnnl->step_count; i++) {
        dnnl_primitive_destroy(dnnl->steps[i].primitive);
        for (size_t k = 0; k < dnnl->steps[i].count; k++)
            dnnl_memory_destroy(dnnl->steps[i].sources[k].memory);
    }
    destroy_descriptors(dnnl);
#if IS_V3
    for (gm_md *md = dnnl->mds; md; md = md->next)
        dnnl_memory_desc_destroy(md->handle);
#endif
    dnnl->mds = NULL;
    dnnl->step_count = 0;
    if (dnnl->attributes)
        dnnl_primitive_attr_destroy(dnnl->attributes);
    if (dnnl->stream)
        dnnl_stream_destroy(dnnl->stream);
    if (dnnl->engine)
        dnnl_engine_destroy(dnnl->engine);
    dnnl->attributes = NULL;
    dnnl->stream = NULL;
    dnnl->engine = NULL;
}

static void destroy_state(void *state)
{
    gm_dnnl_destroy(state);
}

void gm_dnnl_finish(gm_dnnl *dnnl, size_t *scratch_bytes_out, gm_kernel *kernel_out)
{
    destroy_descriptors(dnnl);
    gm_dnnl_restore_threads(dnnl);
    *scratch_bytes_out = dnnl->scratch_bytes;
    *kernel_out = (gm_kernel){gm_dnnl_run, destroy_state, dnnl};
}

gm_status gm_dnnl_run(const void *state, const gm_kernel_arguments *arguments)
{
    const gm_dnnl *dnnl = state;
    for (size_t i = 0; i < dnnl->step_count; i++) {
        const dnnl_step *step = &dnnl->steps[i];
        for (size_t k = 0; k < step->count; k++) {
            const dnnl_argument *source = &step->sources[k];
            void *data = source->place == GM_DNNL_IN    ? arguments->in[source->index]
                         : source->place == GM_DNNL_OUT ? arguments->out[source->index]
                                                        : (char *)arguments->scratch + source->index;
            if (dnnl_memory_set_data_handle(source->memory, data) != dnnl_success)
                return gm_fail(dnnl->context, GM_ERROR_INTERNAL, "oneDNN refuses a buffer");
        }
        if (dnnl_primitive_execute(step->primitive, dnnl->stream, (int)step->count, step->arguments) != dnnl_success ||
            dnnl_stream_wait(dnnl->stream) != dnnl_success)
            return gm_fail(dnnl->context, GM_ERROR_INTERNAL, "oneDNN failed while executing a primitive");
    }
    return GM_OK;
}

size_t gm_dnnl_reserve(gm_dnnl *dnnl, size_t bytes)
{
    size_t offset = dnnl->scratch_bytes;
    dnnl->scratch_bytes += (bytes + 63) / 64 * 64;
    return offset;
}

size_t gm_dnnl_scratch_bytes(const gm_dnnl *dnnl)
{
    return dnnl->scratch_bytes;
}

/* --- Memory descriptors ------------------------------------------------------------------------------------------- */

#if IS_V3
static void read_order(gm_md *md)
{
    md_order *order = &md->order;
    const dnnl_dims_t *dims = NULL, *padded = NULL, *strides = NULL, *blocks = NULL, *axes = NULL;
    dnnl_format_kind_t kind = dnnl_format_kind_undef;
    dnnl_memory_desc_query(md->handle, dnnl_query_ndims_s32, &order->rank);
    dnnl_memory_desc_query(md->handle, dnnl_query_format_kind, &kind);
    dnnl_memory_desc_query(md->handle, dnnl_query_dims, &dims);
    for (int i = 0; dims && i < order->rank && i < GM_DNNL_MAX_RANK; i++)
        order->dims[i] = (*dims)[i];
    if (kind != dnnl_blocked || order->rank > GM_DNNL_MAX_RANK)
        return;
    dnnl_memory_desc_query(md->handle, dnnl_query_padded_dims, &padded);
    dnnl_memory_desc_query(md->handle, dnnl_query_strides, &strides);
    dnnl_memory_desc_query(md->handle, dnnl_query_inner_nblks_s32, &order->block_count);
    dnnl_memory_desc_query(md->handle, dnnl_query_inner_blks, &blocks);
    dnnl_memory_desc_query(md->handle, dnnl_query_inner_idxs, &axes);
    dnnl_memory_desc_query(md->handle, dnnl_query_submemory_offset_s64, &order->offset);
    if (!padded || !strides || (order->block_count && (!blocks || !axes)))
        return;
    order->blocked = true;
    for (int i = 0; i < order->rank; i++) {
        order->padded[i] = (*padded)[i];
        order->strides[i] = (*strides)[i];
    }
    for (int i = 0; i < order->block_count; i++) {
        order->blocks[i] = (*blocks)[i];
        order->axes[i] = (*axes)[i];
    }
}
#else
static void read_order(gm_md *md)
{
    md_order *order = &md->order;
    const dnnl_memory_desc_t *desc = &md->handle;
    order->rank = desc->ndims;
    for (int i = 0; i < order->rank && i < GM_DNNL_MAX_RANK; i++)
        order->dims[i] = desc->dims[i];
    if (desc->format_kind != dnnl_blocked || order->rank > GM_DNNL_MAX_RANK || desc->extra.flags)
        return;
    order->blocked = true;
    order->block_count = desc->format_desc.blocking.inner_nblks;
    order->offset = desc->offset0;
    for (int i = 0; i < order->rank; i++) {
        order->padded[i] = desc->padded_dims[i];
        order->strides[i] = desc->format_desc.blocking.strides[i];
    }
    for (int i = 0; i < order->block_count; i++) {
        order->blocks[i] = desc->format_desc.blocking.inner_blks[i];
        order->axes[i] = desc->format_desc.blocking.inner_idxs[i];
    }
}
#endif

/* An axis of one block has no meaningful stride; make it 0 so that equal orders compare equal. */
static void normalize_order(md_order *order)
{
    for (int i = 0; i < order->rank && i < GM_DNNL_MAX_RANK; i++) {
        int64_t block = 1;
        for (int k = 0; k < order->block_count; k++)
            block *= order->axes[k] == i ? order->blocks[k] : 1;
        if (order->padded[i] == block)
            order->strides[i] = 0;
    }
}

static gm_md *new_md(gm_dnnl *dnnl)
{
    return gm_pool_alloc(dnnl->pool, sizeof(gm_md));
}

static gm_md *keep_md(gm_dnnl *dnnl, gm_md *md)
{
    md->next = dnnl->mds;
    dnnl->mds = md;
    read_order(md);
    normalize_order(&md->order);
    md->bytes = dnnl_memory_desc_get_size(handle_of(md));
    return md;
}

static gm_md *clone_md(gm_dnnl *dnnl, const gm_md *original)
{
    gm_md *md = new_md(dnnl);
    if (!md)
        return NULL;
#if IS_V3
    if (dnnl_memory_desc_clone(&md->handle, original->handle) != dnnl_success)
        return NULL;
#else
    md->handle = original->handle;
#endif
    return keep_md(dnnl, md);
}

static gm_md *tagged_md(gm_dnnl *dnnl, int rank, const int64_t *dims, dnnl_format_tag_t tag)
{
    dnnl_dims_t sizes = {0};
    gm_md *md;
    if (rank < 1 || rank > GM_DNNL_MAX_RANK || !(md = new_md(dnnl)))
        return NULL;
    for (int i = 0; i < rank; i++)
        sizes[i] = dims[i];
#if IS_V3
    if (dnnl_memory_desc_create_with_tag(&md->handle, rank, sizes, dnnl_f32, tag) != dnnl_success)
        return NULL;
#else
    if (dnnl_memory_desc_init_by_tag(&md->handle, rank, sizes, dnnl_f32, tag) != dnnl_success)
        return NULL;
#endif
    return keep_md(dnnl, md);
}

gm_md *gm_md_any(gm_dnnl *dnnl, int rank, const int64_t *dims)
{
    return tagged_md(dnnl, rank, dims, dnnl_format_tag_any);
}

gm_md *gm_md_strided(gm_dnnl *dnnl, int rank, const int64_t *dims, const int64_t *strides)
{
    dnnl_dims_t sizes = {0}, steps = {0};
    gm_md *md;
    if (rank < 1 || rank > GM_DNNL_MAX_RANK || !(md = new_md(dnnl)))
        return NULL;
    for (int i = 0; i < rank; i++) {
        sizes[i] = dims[i];
        steps[i] = strides[i];
    }
#if IS_V3
    if (dnnl_memory_desc_create_with_strides(&md->handle, rank, sizes, dnnl_f32, steps) != dnnl_success)
        return NULL;
#else
    if (dnnl_memory_desc_init_by_strides(&md->handle, rank, sizes, dnnl_f32, steps) != dnnl_success)
        return NULL;
#endif
    return keep_md(dnnl, md);
}

gm_md *gm_md_plain(gm_dnnl *dnnl, int rank, const int64_t *dims)
{
    static const dnnl_format_tag_t tags[] = {dnnl_a, dnnl_ab, dnnl_abc, dnnl_abcd, dnnl_abcde, dnnl_abcdef};
    return rank < 1 || rank > (int)GM_COUNT(tags) ? NULL : tagged_md(dnnl, rank, dims, tags[rank - 1]);
}

gm_md *gm_md_of_layout(gm_dnnl *dnnl, int rank, const int64_t *dims, gm_layout layout)
{
    static const dnnl_format_tag_t tags[3][3] = {{dnnl_nCw8c, dnnl_nChw8c, dnnl_nCdhw8c},
                                                 {dnnl_nCw16c, dnnl_nChw16c, dnnl_nCdhw16c},
                                                 {dnnl_nwc, dnnl_nhwc, dnnl_ndhwc}};
    if (layout.block == 1)
        return gm_md_plain(dnnl, rank, dims);
    if (layout.block == 0 && layout.opaque) {
        const gm_md *opaque = layout.opaque;
        bool same = opaque->order.rank == rank;
        for (int i = 0; same && i < rank; i++)
            same = opaque->order.dims[i] == dims[i];
        return same ? clone_md(dnnl, opaque) : NULL;
    }
    if (rank == 2 && layout.block == dims[1])
        return gm_md_plain(dnnl, rank, dims);
    if (rank < 3 || rank > 5 || layout.block < 1 || dims[1] % layout.block != 0)
        return NULL;
    if (layout.block == 8 || layout.block == 16)
        return tagged_md(dnnl, rank, dims, tags[layout.block == 16][rank - 3]);
    return layout.block == dims[1] ? tagged_md(dnnl, rank, dims, tags[2][rank - 3]) : NULL;
}

gm_md *gm_md_of_primitive(gm_dnnl *dnnl, const_dnnl_primitive_desc_t descriptor, dnnl_query_t what)
{
    gm_md *md = new_md(dnnl);
    if (!md)
        return NULL;
#if IS_V3
    const_dnnl_memory_desc_t found = dnnl_primitive_desc_query_md(descriptor, what, 0);
    if (!found || dnnl_memory_desc_clone(&md->handle, found) != dnnl_success)
        return NULL;
#else
    const dnnl_memory_desc_t *found = dnnl_primitive_desc_query_md(descriptor, what, 0);
    if (!found)
        return NULL;
    md->handle = *found;
#endif
    return keep_md(dnnl, md);
}

size_t gm_md_bytes(const gm_md *md)
{
    return md->bytes;
}

bool gm_md_is_padded(const gm_md *md)
{
    size_t bytes = sizeof(float);
    if (!md->order.blocked || md->order.offset)
        return true;
    for (int i = 0; i < md->order.rank; i++)
        bytes *= (size_t)md->order.dims[i];
    return bytes != md->bytes;
}

static bool same_order(const md_order *a, const md_order *b)
{
    bool same =
        a->blocked && b->blocked && a->rank == b->rank && a->block_count == b->block_count && a->offset == b->offset;
    for (int i = 0; same && i < a->rank; i++)
        same = a->dims[i] == b->dims[i] && a->padded[i] == b->padded[i] && a->strides[i] == b->strides[i];
    for (int i = 0; same && i < a->block_count; i++)
        same = a->blocks[i] == b->blocks[i] && a->axes[i] == b->axes[i];
    return same;
}

bool gm_md_equal(const gm_md *a, const gm_md *b)
{
    return a == b || same_order(&a->order, &b->order);
}

bool gm_dnnl_opaque_equal(const void *a, const void *b)
{
    return a == b || (a && b && gm_md_equal(a, b));
}

void *gm_dnnl_opaque_copy(gm_context *context, const void *opaque)
{
    const gm_md *original = opaque;
    gm_md *copy = gm_alloc(context, sizeof *copy);
    if (!copy)
        return NULL;
    *copy = *original;
    copy->next = NULL;
#if IS_V3
    if (dnnl_memory_desc_clone(&copy->handle, original->handle) != dnnl_success) {
        gm_free(context, copy);
        gm_fail_memory(context);
        return NULL;
    }
#endif
    return copy;
}

void gm_dnnl_opaque_free(gm_context *context, void *opaque)
{
#if IS_V3
    if (opaque)
        dnnl_memory_desc_destroy(((gm_md *)opaque)->handle);
#endif
    gm_free(context, opaque);
}

void gm_dnnl_opaque_dims(const void *opaque, int *rank_out, int64_t *dims_out)
{
    const gm_md *md = opaque;
    *rank_out = md->order.rank;
    memcpy(dims_out, md->order.dims, sizeof md->order.dims);
}

/* Is it [N, C / block, spatial..., block]? */
static bool is_block(const md_order *order, int64_t block)
{
    md_order wanted = {.blocked = true, .rank = order->rank};
    int64_t step = block;
    bool blocked_tag = block > 1 && order->block_count == 1;
    if (order->dims[1] % block != 0)
        return false;
    memcpy(wanted.dims, order->dims, sizeof wanted.dims);
    memcpy(wanted.padded, order->dims, sizeof wanted.padded);
    for (int i = order->rank - 1; i >= 2; i--) {
        wanted.strides[i] = step;
        step *= order->dims[i];
    }
    wanted.strides[1] = block == 1 || blocked_tag ? step : 1;
    wanted.strides[0] = step * (order->dims[1] / block);
    if (blocked_tag) {
        wanted.block_count = 1;
        wanted.blocks[0] = block;
        wanted.axes[0] = 1;
    } else if (block > 1 && block != order->dims[1]) {
        return false;
    }
    normalize_order(&wanted);
    return same_order(order, &wanted);
}

gm_layout gm_md_layout(const gm_md *md, bool activation)
{
    const md_order *order = &md->order;
    const int64_t blocks[] = {1, 8, 16, order->dims[1]};
    if (activation && order->rank >= 2)
        for (size_t i = 0; i < GM_COUNT(blocks); i++)
            if (is_block(order, blocks[i]))
                return (gm_layout){blocks[i], NULL};
    if (order->rank < 2 || is_block(order, 1)) /* one axis without padding is plain */
        return gm_layout_plain;
    return (gm_layout){0, md};
}

/* --- Primitives --------------------------------------------------------------------------------------------------- */

/* Notes a descriptor as owned; NULL when `status` is a refusal. */
static dnnl_primitive_desc_t keep_descriptor(gm_dnnl *dnnl, dnnl_status_t status, dnnl_primitive_desc_t descriptor)
{
    descriptor_link *link;
    if (status != dnnl_success)
        return NULL;
    link = gm_pool_alloc(dnnl->pool, sizeof *link);
    if (!link) {
        dnnl_primitive_desc_destroy(descriptor);
        return NULL;
    }
    *link = (descriptor_link){descriptor, dnnl->descriptors};
    dnnl->descriptors = link;
    return descriptor;
}

#if IS_V3
/* Moves a new descriptor on to the implementation that is asked for. */
static dnnl_status_t move_on(dnnl_status_t status, dnnl_primitive_desc_t *descriptor, const char *implementation)
{
    if (status != dnnl_success)
        return status;
    while (status == dnnl_success && implementation && !strstr(gm_dnnl_implementation(*descriptor), implementation))
        status = dnnl_primitive_desc_next_impl(*descriptor);
    if (status != dnnl_success)
        dnnl_primitive_desc_destroy(*descriptor);
    return status;
}

dnnl_primitive_desc_t gm_dnnl_convolution(gm_dnnl *dnnl, gm_convolution_kind kind, const gm_md *source,
                                          const gm_md *weights, const gm_md *bias, const gm_md *destination,
                                          const gm_dnnl_window *w, const char *implementation)
{
    dnnl_primitive_desc_t hint = NULL, descriptor = NULL;
    dnnl_status_t status;
    if (kind == GM_CONVOLUTION_FORWARD) {
        status = dnnl_convolution_forward_primitive_desc_create(
            &descriptor, dnnl->engine, dnnl_forward_training, dnnl_convolution_direct, handle_of(source),
            handle_of(weights), handle_of(bias), handle_of(destination), w->strides, w->dilations, w->low, w->high,
            dnnl->attributes);
        return keep_descriptor(dnnl, move_on(status, &descriptor, implementation), descriptor);
    }
    hint = gm_dnnl_convolution(dnnl, GM_CONVOLUTION_FORWARD, gm_md_any(dnnl, source->order.rank, source->order.dims),
                               gm_md_any(dnnl, weights->order.rank, weights->order.dims), NULL,
                               gm_md_any(dnnl, destination->order.rank, destination->order.dims), w, NULL);
    if (!hint)
        return NULL;
    if (kind == GM_CONVOLUTION_DATA)
        status = dnnl_convolution_backward_data_primitive_desc_create(
            &descriptor, dnnl->engine, dnnl_convolution_direct, handle_of(source), handle_of(weights),
            handle_of(destination), w->strides, w->dilations, w->low, w->high, hint, dnnl->attributes);
    else
        status = dnnl_convolution_backward_weights_primitive_desc_create(
            &descriptor, dnnl->engine, dnnl_convolution_direct, handle_of(source), handle_of(weights), handle_of(bias),
            handle_of(destination), w->strides, w->dilations, w->low, w->high, hint, dnnl->attributes);
    return keep_descriptor(dnnl, move_on(status, &descriptor, implementation), descriptor);
}

dnnl_primitive_desc_t gm_dnnl_matmul(gm_dnnl *dnnl, const gm_md *source, const gm_md *weights, const gm_md *bias,
                                     const gm_md *destination)
{
    dnnl_primitive_desc_t descriptor = NULL;
    dnnl_status_t status =
        dnnl_matmul_primitive_desc_create(&descriptor, dnnl->engine, handle_of(source), handle_of(weights),
                                          handle_of(bias), handle_of(destination), dnnl->attributes);
    return keep_descriptor(dnnl, status, descriptor);
}
#else
/* 2.x: an operation descriptor first, then the primitive descriptor. */
static dnnl_primitive_desc_t describe(gm_dnnl *dnnl, const_dnnl_op_desc_t operation, const_dnnl_primitive_desc_t hint,
                                      const char *implementation)
{
    dnnl_primitive_desc_t descriptor = NULL;
    dnnl_primitive_desc_iterator_t iterator = NULL;
    dnnl_status_t status =
        dnnl_primitive_desc_iterator_create(&iterator, operation, dnnl->attributes, dnnl->engine, hint);
    while (status == dnnl_success) {
        descriptor = dnnl_primitive_desc_iterator_fetch(iterator);
        if (!descriptor || !implementation || strstr(gm_dnnl_implementation(descriptor), implementation))
            break;
        dnnl_primitive_desc_destroy(descriptor);
        descriptor = NULL;
        status = dnnl_primitive_desc_iterator_next(iterator);
    }
    if (iterator)
        dnnl_primitive_desc_iterator_destroy(iterator);
    return keep_descriptor(dnnl, descriptor ? dnnl_success : dnnl_unimplemented, descriptor);
}

dnnl_primitive_desc_t gm_dnnl_convolution(gm_dnnl *dnnl, gm_convolution_kind kind, const gm_md *source,
                                          const gm_md *weights, const gm_md *bias, const gm_md *destination,
                                          const gm_dnnl_window *w, const char *implementation)
{
    dnnl_convolution_desc_t operation;
    dnnl_primitive_desc_t hint;
    dnnl_status_t status;
    if (kind == GM_CONVOLUTION_FORWARD) {
        status = dnnl_dilated_convolution_forward_desc_init(
            &operation, dnnl_forward_training, dnnl_convolution_direct, handle_of(source), handle_of(weights),
            handle_of(bias), handle_of(destination), w->strides, w->dilations, w->low, w->high);
        return status == dnnl_success ? describe(dnnl, &operation, NULL, implementation) : NULL;
    }
    hint = gm_dnnl_convolution(dnnl, GM_CONVOLUTION_FORWARD, gm_md_any(dnnl, source->order.rank, source->order.dims),
                               gm_md_any(dnnl, weights->order.rank, weights->order.dims), NULL,
                               gm_md_any(dnnl, destination->order.rank, destination->order.dims), w, NULL);
    if (!hint)
        return NULL;
    if (kind == GM_CONVOLUTION_DATA)
        status = dnnl_dilated_convolution_backward_data_desc_init(
            &operation, dnnl_convolution_direct, handle_of(source), handle_of(weights), handle_of(destination),
            w->strides, w->dilations, w->low, w->high);
    else
        status = dnnl_dilated_convolution_backward_weights_desc_init(
            &operation, dnnl_convolution_direct, handle_of(source), handle_of(weights), handle_of(bias),
            handle_of(destination), w->strides, w->dilations, w->low, w->high);
    return status == dnnl_success ? describe(dnnl, &operation, hint, implementation) : NULL;
}

dnnl_primitive_desc_t gm_dnnl_matmul(gm_dnnl *dnnl, const gm_md *source, const gm_md *weights, const gm_md *bias,
                                     const gm_md *destination)
{
    dnnl_matmul_desc_t operation;
    dnnl_status_t status = dnnl_matmul_desc_init(&operation, handle_of(source), handle_of(weights), handle_of(bias),
                                                 handle_of(destination));
    return status == dnnl_success ? describe(dnnl, &operation, NULL, NULL) : NULL;
}
#endif

gm_gemm_shape gm_gemm_dense(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k)
{
    return (gm_gemm_shape){transpose_a, transpose_b, m, n, k, transpose_a ? m : k, transpose_b ? k : n, n};
}

bool gm_dnnl_gemm(const gm_gemm_shape *s, float alpha, const float *a, const float *b, float beta, float *c)
{
    return dnnl_sgemm(s->transpose_a ? 'T' : 'N', s->transpose_b ? 'T' : 'N', s->m, s->n, s->k, alpha, a, s->a_step, b,
                      s->b_step, beta, c, s->c_step) == dnnl_success;
}

const char *gm_dnnl_implementation(const_dnnl_primitive_desc_t descriptor)
{
    const char *name = NULL;
    return dnnl_primitive_desc_query(descriptor, dnnl_query_impl_info_str, 0, &name) == dnnl_success && name ? name
                                                                                                             : "?";
}

static gm_status add_argument(gm_dnnl *dnnl, dnnl_step *step, const gm_dnnl_operand *operand)
{
    dnnl_memory_t memory = NULL;
    if (dnnl_memory_create(&memory, handle_of(operand->md), dnnl->engine, DNNL_MEMORY_NONE) != dnnl_success)
        return gm_fail_memory(dnnl->context);
    step->arguments[step->count] = (dnnl_exec_arg_t){operand->argument, memory};
    step->sources[step->count] = (dnnl_argument){memory, operand->place, operand->index};
    step->count++;
    return GM_OK;
}

gm_status gm_dnnl_add_step(gm_dnnl *dnnl, const_dnnl_primitive_desc_t descriptor, const gm_dnnl_operand *operands,
                           size_t count)
{
    dnnl_step *step = &dnnl->steps[dnnl->step_count];
    const gm_md *scratchpad;
    if (dnnl->step_count == GM_DNNL_MAX_STEPS || count > GM_DNNL_MAX_ARGS)
        return gm_fail(dnnl->context, GM_ERROR_INTERNAL, "too many oneDNN steps in one instruction");
    memset(step, 0, sizeof *step);
    if (dnnl_primitive_create(&step->primitive, descriptor) != dnnl_success)
        return gm_fail(dnnl->context, GM_ERROR_INTERNAL, "oneDNN cannot make a primitive (%s)",
                       gm_dnnl_implementation(descriptor));
    dnnl->step_count++;
    for (size_t i = 0; i < count; i++)
        GM_TRY(add_argument(dnnl, step, &operands[i]));
    scratchpad = gm_md_of_primitive(dnnl, descriptor, dnnl_query_scratchpad_md);
    if (!scratchpad)
        return gm_fail_memory(dnnl->context);
    if (scratchpad->bytes) {
        gm_dnnl_operand operand = {DNNL_ARG_SCRATCHPAD, scratchpad, GM_DNNL_SCRATCH,
                                   gm_dnnl_reserve(dnnl, scratchpad->bytes)};
        GM_TRY(add_argument(dnnl, step, &operand));
    }
    return GM_OK;
}

gm_status gm_dnnl_add_reorder(gm_dnnl *dnnl, const gm_dnnl_operand *from, const gm_dnnl_operand *to)
{
    gm_dnnl_operand operands[2] = {*from, *to};
    dnnl_primitive_desc_t descriptor = NULL;
    dnnl_status_t status = dnnl_reorder_primitive_desc_create(&descriptor, handle_of(from->md), dnnl->engine,
                                                              handle_of(to->md), dnnl->engine, dnnl->attributes);
    if (!keep_descriptor(dnnl, status, descriptor))
        return gm_fail(dnnl->context, GM_ERROR_INTERNAL, "oneDNN has no reorder between two of its layouts");
    operands[0].argument = DNNL_ARG_FROM;
    operands[1].argument = DNNL_ARG_TO;
    return gm_dnnl_add_step(dnnl, descriptor, operands, 2);
}
