/* Layouts, reorders and the kernel that runs an operator's reference function. */
#include "ops/onednn.h"
#include "ops/philox.h"

#include <string.h>

#define PARALLEL_ELEMENTS 16384 /* below this a loop is not worth waking threads */

const gm_layout gm_layout_plain = {1, NULL};
const gm_layout gm_layout_any = {-1, NULL};

bool gm_layout_is_plain(gm_layout layout)
{
    return layout.block == 1;
}

bool gm_layout_is_any(gm_layout layout)
{
    return layout.block < 0;
}

bool gm_layout_equal(gm_layout a, gm_layout b)
{
    return a.block == b.block && (a.block != 0 || gm_dnnl_opaque_equal(a.opaque, b.opaque));
}

gm_status gm_layout_keep(gm_context *context, gm_layout layout, gm_layout *kept_out)
{
    gm_layout kept = layout;
    if (layout.opaque && !(kept.opaque = gm_dnnl_opaque_copy(context, layout.opaque)))
        return GM_ERROR_MEMORY;
    *kept_out = kept;
    return GM_OK;
}

void gm_layout_drop(gm_context *context, gm_layout kept)
{
    if (kept.opaque)
        gm_dnnl_opaque_free(context, (void *)(uintptr_t)kept.opaque);
}

const char *gm_layout_name(gm_layout layout)
{
    return layout.block < 0     ? "any"
           : layout.block == 0  ? "oneDNN"
           : layout.block == 1  ? "plain"
           : layout.block == 8  ? "blocked 8"
           : layout.block == 16 ? "blocked 16"
                                : "channels last";
}

int64_t gm_lower_dim(const gm_lower *lower, gm_value_id value, int axis)
{
    const gm_value *v = gm_value_of(lower->graph, value);
    return axis >= 0 && axis < v->rank ? v->dims[axis] : 1;
}

int64_t gm_lower_count(const gm_lower *lower, gm_value_id value)
{
    const gm_value *v = gm_value_of(lower->graph, value);
    int64_t count = 1;
    for (int i = 0; i < v->rank; i++)
        count *= v->dims[i];
    return count;
}

void gm_lower_preset(gm_lower *lower)
{
    for (size_t i = 0; i < lower->node->input_count; i++)
        lower->in_want[i] = gm_layout_plain;
    for (size_t i = 0; i < lower->node->output_count; i++) {
        lower->out_layout[i] = gm_layout_plain;
        lower->in_place[i] = lower->alias[i] = -1;
    }
    lower->scratch_bytes = 0;
    lower->formulation = 0;
}

bool gm_lower_all_float(const gm_lower *lower)
{
    const gm_node *node = lower->node;
    bool all = true;
    for (size_t i = 0; i < node->input_count; i++)
        all = all && (!node->inputs[i] || gm_value_of(lower->graph, node->inputs[i])->type == GM_FLOAT);
    for (size_t i = 0; i < node->output_count; i++)
        all = all && (!node->outputs[i] || gm_value_of(lower->graph, node->outputs[i])->type == GM_FLOAT);
    return all;
}

/* --- Reference kernels -------------------------------------------------------------------------------------------- */

typedef struct reference_state {
    gm_compute compute;
    gm_tensor *in, *out;
    gm_draw draw;
} reference_state;

static gm_status run_reference(const void *state_pointer, const gm_kernel_arguments *arguments)
{
    /* The tensors are this plan's own: one thread at a time runs it, and only their data pointers change. */
    const reference_state *state = state_pointer;
    const gm_node *node = state->compute.node;
    gm_compute compute = state->compute;
    for (size_t i = 0; i < node->input_count; i++)
        state->in[i].data = node->inputs[i] ? arguments->in[i] : NULL;
    for (size_t i = 0; i < node->output_count; i++)
        state->out[i].data = node->outputs[i] ? arguments->out[i] : NULL;
    compute.run = arguments->run;
    compute.row = arguments->row;
    compute.batch = arguments->batch;
    compute.key = gm_draw_key(&state->draw, arguments->seed, arguments->override_seeds, &compute.run);
    return node->op->reference(&compute);
}

static gm_status describe_tensor(gm_lower *lower, gm_value_id id, gm_tensor *tensor)
{
    const gm_value *value;
    if (!id)
        return GM_OK;
    value = gm_value_of(lower->graph, id);
    tensor->type = value->type;
    tensor->rank = value->rank;
    for (int i = 0; i < value->rank; i++) {
        if (!gm_dim_is_known(value->dims[i]))
            return gm_fail(lower->context, GM_ERROR_INTERNAL, "value '%s' has a symbolic shape in a plan", value->name);
        tensor->dims[i] = value->dims[i];
    }
    return GM_OK;
}

gm_status gm_lower_reference(gm_lower *lower)
{
    const gm_node *node = lower->node;
    reference_state *state;
    if (!node->op->reference)
        return gm_fail(lower->context, GM_ERROR_UNSUPPORTED, "operator %s has no kernel for these types",
                       node->op->name);
    state = gm_pool_alloc(lower->pool, sizeof *state);
    if (!state || !(state->in = gm_pool_array(lower->pool, node->input_count + 1, sizeof *state->in)) ||
        !(state->out = gm_pool_array(lower->pool, node->output_count + 1, sizeof *state->out)))
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < node->input_count; i++) {
        GM_TRY(describe_tensor(lower, node->inputs[i], &state->in[i]));
        lower->in_want[i] = gm_layout_plain;
    }
    for (size_t i = 0; i < node->output_count; i++) {
        GM_TRY(describe_tensor(lower, node->outputs[i], &state->out[i]));
        lower->out_layout[i] = gm_layout_plain;
    }
    state->compute = (gm_compute){.context = lower->context, .node = node, .in = state->in, .out = state->out};
    state->draw = gm_draw_of(node);
    lower->scratch_bytes = 0;
    lower->kernel = (gm_kernel){run_reference, NULL, state};
    return GM_OK;
}

/* --- Reorders ----------------------------------------------------------------------------------------------------- */

typedef struct reorder_state {
    size_t element_bytes, bytes;
    int64_t batch, channels, positions;
    int64_t from, to; /* blocks; equal: a plain copy */
} reorder_state;

static int64_t block_offset(const reorder_state *state, int64_t block, int64_t n, int64_t c, int64_t s)
{
    return n * state->channels * state->positions + c / block * state->positions * block + s * block + c % block;
}

static gm_status run_reorder(const void *state_pointer, const gm_kernel_arguments *arguments)
{
    const reorder_state *state = state_pointer;
    const char *in = arguments->in[0];
    char *out = arguments->out[0];
    int64_t count = state->batch * state->channels;
    if (state->from == state->to) {
        if (in != out)
            memcpy(out, in, state->bytes);
        return GM_OK;
    }
#pragma omp parallel for num_threads(arguments->threads)                                                               \
    schedule(static) if (count * state->positions > PARALLEL_ELEMENTS)
    for (int64_t i = 0; i < count; i++)
        for (int64_t s = 0; s < state->positions; s++) {
            int64_t n = i / state->channels, c = i % state->channels;
            memcpy(out + (size_t)block_offset(state, state->to, n, c, s) * state->element_bytes,
                   in + (size_t)block_offset(state, state->from, n, c, s) * state->element_bytes, state->element_bytes);
        }
    return GM_OK;
}

/* Any type, between `block` layouts. */
static gm_status lower_own_reorder(gm_pool *pool, gm_type type, int rank, const int64_t *dims, gm_layout from,
                                   gm_layout to, gm_kernel *kernel_out)
{
    reorder_state *state = gm_pool_alloc(pool, sizeof *state);
    if (!state)
        return GM_ERROR_MEMORY;
    *state = (reorder_state){.element_bytes = gm_type_bytes(type), .batch = 1, .channels = 1, .positions = 1};
    state->batch = rank > 0 ? dims[0] : 1;
    state->channels = rank > 1 ? dims[1] : 1;
    for (int i = 2; i < rank; i++)
        state->positions *= dims[i];
    state->bytes = (size_t)(state->batch * state->channels * state->positions) * state->element_bytes;
    state->from = from.block;
    state->to = to.block;
    if (rank <= 2 || gm_layout_equal(from, to)) /* [N, C] is the same in every block layout */
        state->from = state->to = 1;
    else if (from.block < 1 || to.block < 1 || state->channels % from.block || state->channels % to.block)
        return gm_fail(gm_pool_context(pool), GM_ERROR_INTERNAL, "no reorder between layouts %s and %s",
                       gm_layout_name(from), gm_layout_name(to));
    *kernel_out = (gm_kernel){run_reorder, NULL, state};
    return GM_OK;
}

gm_status gm_lower_reorder(gm_context *context, gm_pool *pool, gm_type type, int rank, const int64_t *dims,
                           gm_layout from, gm_layout to, size_t *scratch_bytes_out, gm_kernel *kernel_out)
{
    int64_t order[GM_DNNL_MAX_RANK] = {0};
    bool opaque = from.block == 0 || to.block == 0;
    gm_dnnl *dnnl;
    gm_dnnl_operand source = {DNNL_ARG_FROM, NULL, GM_DNNL_IN, 0}, target = {DNNL_ARG_TO, NULL, GM_DNNL_OUT, 0};
    gm_status status;
    *scratch_bytes_out = 0;
    if (gm_layout_equal(from, to) || type != GM_FLOAT || (!opaque && (rank < 3 || rank > 5)))
        return lower_own_reorder(pool, type, rank, dims, from, to, kernel_out);
    if (opaque)
        gm_dnnl_opaque_dims(from.block == 0 ? from.opaque : to.opaque, &rank, order);
    else
        memcpy(order, dims, (size_t)rank * sizeof *dims);
    dnnl = gm_dnnl_create(context, pool, context->options.threads);
    if (!dnnl)
        return gm_failure(context);
    source.md = gm_md_of_layout(dnnl, rank, order, from);
    target.md = gm_md_of_layout(dnnl, rank, order, to);
    if (!source.md || !target.md) {
        gm_dnnl_destroy(dnnl);
        return opaque ? gm_fail(context, GM_ERROR_INTERNAL, "no reorder between layouts %s and %s",
                                gm_layout_name(from), gm_layout_name(to))
                      : lower_own_reorder(pool, type, rank, dims, from, to, kernel_out);
    }
    status = gm_dnnl_add_reorder(dnnl, &source, &target);
    if (status != GM_OK) {
        gm_dnnl_destroy(dnnl);
        return status;
    }
    gm_dnnl_finish(dnnl, scratch_bytes_out, kernel_out);
    return GM_OK;
}

/* --- Name --------------------------------------------------------------------------------------------------------- */

#define TEXT(number)   #number
#define NUMBER(number) TEXT(number)
#define NAMED(isa)                                                                                                     \
    "oneDNN " NUMBER(DNNL_VERSION_MAJOR) "." NUMBER(DNNL_VERSION_MINOR) "." NUMBER(DNNL_VERSION_PATCH) ", " isa

const char *gm_compute_name(void)
{
    unsigned isa = (unsigned)dnnl_get_effective_cpu_isa(); /* a set of bits that grows with the instruction set */
    return (isa & 0x27) == 0x27 ? NAMED("avx512")
           : (isa & 0x7) == 0x7 ? NAMED("avx2")
           : (isa & 0x3) == 0x3 ? NAMED("avx")
           : (isa & 0x1) == 0x1 ? NAMED("sse4.1")
                                : NAMED("plain C");
}
