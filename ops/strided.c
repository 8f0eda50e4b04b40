/* Strided copies and the kernels made of them. See strided.h. */
#include "ops/strided.h"

#include <string.h>

#define PARALLEL_ITEMS 16384
#define TILE           16

void gm_row_strides(int rank, const int64_t *dims, int64_t *strides)
{
    int64_t stride = 1;
    for (int i = rank; i-- > 0;) {
        strides[i] = stride;
        stride *= dims[i];
    }
}

static int64_t count_of(const gm_strided *copy)
{
    int64_t count = 1;
    for (int i = 0; i < copy->rank; i++)
        count *= copy->dims[i];
    return count;
}

/* Offsets of the row-major index `at` over the first `rank` axes. */
static void locate(const gm_strided *copy, int rank, int64_t at, int64_t *index, int64_t *in, int64_t *out)
{
    *in = copy->in_offset;
    *out = copy->out_offset;
    for (int i = rank; i-- > 0;) {
        index[i] = at % copy->dims[i];
        at /= copy->dims[i];
        *in += index[i] * copy->in[i];
        *out += index[i] * copy->out[i];
    }
}

static void step(const gm_strided *copy, int rank, int64_t *index, int64_t *in, int64_t *out)
{
    for (int i = rank; i-- > 0;) {
        *in += copy->in[i];
        *out += copy->out[i];
        if (++index[i] < copy->dims[i])
            return;
        *in -= copy->dims[i] * copy->in[i];
        *out -= copy->dims[i] * copy->out[i];
        index[i] = 0;
    }
}

void gm_strided_copy_plain(const gm_strided *copy, const void *in, void *out)
{
    int64_t count = count_of(copy), from, to, index[GM_MAX_RANK] = {0};
    for (int64_t i = 0; i < count; i++) {
        locate(copy, copy->rank, i, index, &from, &to);
        memcpy((char *)out + to * (int64_t)copy->item, (const char *)in + from * (int64_t)copy->item, copy->item);
    }
}

void gm_strided_simplify(gm_strided *copy)
{
    int rank = 0;
    for (int i = 0; i < copy->rank; i++) {
        if (copy->dims[i] == 1)
            continue;
        if (rank && copy->in[rank - 1] == copy->in[i] * copy->dims[i] &&
            copy->out[rank - 1] == copy->out[i] * copy->dims[i]) {
            copy->dims[rank - 1] *= copy->dims[i];
            copy->in[rank - 1] = copy->in[i];
            copy->out[rank - 1] = copy->out[i];
            continue;
        }
        copy->dims[rank] = copy->dims[i];
        copy->in[rank] = copy->in[i];
        copy->out[rank++] = copy->out[i];
    }
    copy->rank = rank;
}

/* --- Rows
 * -------------------------------------------------------------------------------------------------------------- */

#define ROW_OF(type)                                                                                                   \
    static void row_##type(int64_t count, const type *in, int64_t in_stride, type *out, int64_t out_stride)            \
    {                                                                                                                  \
        if (in_stride == 0 && out_stride == 1)                                                                         \
            for (int64_t i = 0; i < count; i++)                                                                        \
                out[i] = in[0];                                                                                        \
        else                                                                                                           \
            for (int64_t i = 0; i < count; i++)                                                                        \
                out[i * out_stride] = in[i * in_stride];                                                               \
    }
ROW_OF(uint8_t)
ROW_OF(uint16_t)
ROW_OF(uint32_t)
ROW_OF(uint64_t)

static void copy_row(size_t item, int64_t count, const char *in, int64_t in_stride, char *out, int64_t out_stride)
{
    if (in_stride == 1 && out_stride == 1)
        memcpy(out, in, (size_t)count * item);
    else if (item == 4)
        row_uint32_t(count, (const uint32_t *)(const void *)in, in_stride, (uint32_t *)(void *)out, out_stride);
    else if (item == 8)
        row_uint64_t(count, (const uint64_t *)(const void *)in, in_stride, (uint64_t *)(void *)out, out_stride);
    else if (item == 2)
        row_uint16_t(count, (const uint16_t *)(const void *)in, in_stride, (uint16_t *)(void *)out, out_stride);
    else
        row_uint8_t(count, (const uint8_t *)in, in_stride, (uint8_t *)out, out_stride);
}

static void copy_rows(const gm_strided *copy, int64_t first, int64_t last, const char *in, char *out)
{
    int outer = copy->rank - 1;
    int64_t item = (int64_t)copy->item, from, to, index[GM_MAX_RANK] = {0};
    locate(copy, outer, first, index, &from, &to);
    for (int64_t row = first; row < last; row++) {
        copy_row(copy->item, copy->dims[outer], in + from * item, copy->in[outer], out + to * item, copy->out[outer]);
        step(copy, outer, index, &from, &to);
    }
}

/* --- Tiles: the last axis of out against the axis `fast` along which in is dense
 * ---------------------------------------------------------- */

static void copy_tile(const gm_strided *copy, int fast, int64_t fast_first, const char *in, char *out)
{
    int last = copy->rank - 1;
    int64_t item = (int64_t)copy->item, rows = copy->dims[fast] - fast_first;
    rows = rows < TILE ? rows : TILE;
    in += fast_first * copy->in[fast] * item;
    out += fast_first * copy->out[fast] * item;
    for (int64_t at = 0; at < copy->dims[last]; at += TILE) {
        int64_t count = copy->dims[last] - at < TILE ? copy->dims[last] - at : TILE;
        for (int64_t r = 0; r < rows; r++)
            copy_row(copy->item, count, in + (r * copy->in[fast] + at * copy->in[last]) * item, copy->in[last],
                     out + (r * copy->out[fast] + at * copy->out[last]) * item, copy->out[last]);
    }
}

static void copy_tiled(const gm_strided *copy, int fast, const char *in, char *out, int threads)
{
    gm_strided outer = *copy;
    int64_t tiles = (copy->dims[fast] + TILE - 1) / TILE, blocks;
    outer.rank = 0;
    for (int i = 0; i < copy->rank - 1; i++) {
        if (i == fast)
            continue;
        outer.dims[outer.rank] = copy->dims[i];
        outer.in[outer.rank] = copy->in[i];
        outer.out[outer.rank++] = copy->out[i];
    }
    blocks = count_of(&outer) * tiles;
#pragma omp parallel for num_threads(threads) schedule(static) if (count_of(copy) > PARALLEL_ITEMS)
    for (int64_t b = 0; b < blocks; b++) {
        int64_t from, to, index[GM_MAX_RANK];
        locate(&outer, outer.rank, b / tiles, index, &from, &to);
        copy_tile(copy, fast, b % tiles * TILE, in + from * (int64_t)copy->item, out + to * (int64_t)copy->item);
    }
}

void gm_strided_copy(const gm_strided *copy, const void *in, void *out, int threads)
{
    int64_t count = count_of(copy), rows, item = (int64_t)copy->item;
    int last = copy->rank - 1, parts = count > PARALLEL_ITEMS && threads > 1 ? threads : 1;
    if (count == 0)
        return;
    if (copy->rank <= 1) {
        int64_t in_stride = copy->rank ? copy->in[0] : 1, out_stride = copy->rank ? copy->out[0] : 1;
        const char *from = (const char *)in + copy->in_offset * item;
        char *to = (char *)out + copy->out_offset * item;
#pragma omp parallel for num_threads(parts) schedule(static) if (parts > 1)
        for (int p = 0; p < parts; p++) {
            int64_t low = count * p / parts, high = count * (p + 1) / parts;
            copy_row(copy->item, high - low, from + low * in_stride * item, in_stride, to + low * out_stride * item,
                     out_stride);
        }
        return;
    }
    if (copy->in[last] != 1 && copy->in[last] != 0)
        for (int i = 0; i < last; i++)
            if (copy->in[i] == 1) {
                copy_tiled(copy, i, in, out, parts);
                return;
            }
    rows = count / copy->dims[last];
#pragma omp parallel for num_threads(parts) schedule(static) if (parts > 1)
    for (int p = 0; p < parts; p++)
        copy_rows(copy, rows * p / parts, rows * (p + 1) / parts, in, out);
}

/* --- Kernels
 * ----------------------------------------------------------------------------------------------------------- */

gm_status gm_move_reference(const gm_compute *compute, gm_describe_move describe)
{
    gm_move move = {.data_inputs = 1};
    GM_TRY(describe(compute, &move));
    if (move.zero)
        memset(compute->out[0].data, 0, gm_tensor_bytes(&compute->out[0]));
    for (size_t i = 0; i < move.count; i++)
        if (compute->out[move.parts[i].out].data)
            gm_strided_copy_plain(&move.parts[i].copy, compute->in[move.parts[i].in].data,
                                  compute->out[move.parts[i].out].data);
    return GM_OK;
}

typedef struct move_state {
    gm_move move;
    size_t zero_bytes;
} move_state;

static gm_status run_move(const void *state_pointer, const gm_kernel_arguments *arguments)
{
    const move_state *state = state_pointer;
    if (state->move.zero)
        memset(arguments->out[0], 0, state->zero_bytes);
    for (size_t i = 0; i < state->move.count; i++) {
        const gm_move_part *part = &state->move.parts[i];
        if (arguments->out[part->out])
            gm_strided_copy(&part->copy, arguments->in[part->in], arguments->out[part->out], arguments->threads);
    }
    return GM_OK;
}

static gm_status describe_value(gm_lower *lower, gm_value_id id, gm_tensor *tensor)
{
    const gm_value *value = gm_value_of(lower->graph, id);
    const gm_tensor *constant = gm_constant_of(lower->graph, id);
    const gm_dim *content;
    size_t count;
    tensor->type = value->type;
    tensor->rank = value->rank;
    for (int i = 0; i < value->rank; i++)
        tensor->dims[i] = value->dims[i];
    if (constant) {
        tensor->data = constant->data;
    } else if (gm_content_of(lower->graph, id, &content, &count) && count == (size_t)gm_tensor_count(tensor)) {
        gm_tensor *known = gm_tensor_create(lower->pool, value->type, value->rank, tensor->dims);
        if (!known)
            return GM_ERROR_MEMORY;
        for (size_t i = 0; i < count; i++) {
            if (!gm_dim_is_known(content[i]))
                return GM_OK;
            gm_set_int(known, (int64_t)i, content[i]);
        }
        tensor->data = known->data;
    }
    return GM_OK;
}

gm_status gm_lower_describe(gm_lower *lower, gm_compute *compute_out)
{
    const gm_node *node = lower->node;
    gm_tensor *in = gm_pool_array(lower->pool, node->input_count + 1, sizeof *in);
    gm_tensor *out = gm_pool_array(lower->pool, node->output_count + 1, sizeof *out);
    if (!in || !out)
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < node->input_count; i++)
        if (node->inputs[i])
            GM_TRY(describe_value(lower, node->inputs[i], &in[i]));
    for (size_t i = 0; i < node->output_count; i++)
        if (node->outputs[i])
            GM_TRY(describe_value(lower, node->outputs[i], &out[i]));
    *compute_out = (gm_compute){.context = lower->context, .node = node, .in = in, .out = out};
    return GM_OK;
}

/* One `block` layout for all that is moved, where the description allows it; else plain. */
static void choose_layout(gm_lower *lower, const gm_move *move)
{
    gm_layout layout = lower->in_layout[0];
    if (layout.block <= 1 || move->channel_unit < 1 || move->channel_unit % layout.block)
        return;
    for (size_t i = 1; i < move->data_inputs; i++)
        if (!gm_layout_equal(lower->in_layout[i], layout))
            return;
    for (size_t i = 0; i < move->data_inputs; i++)
        lower->in_want[i] = layout;
    for (size_t i = 0; i < lower->node->output_count; i++)
        lower->out_layout[i] = layout;
}

gm_status gm_move_lower(gm_lower *lower, gm_describe_move describe)
{
    gm_compute compute;
    move_state *state;
    if (lower->reference || lower->node->input_count > GM_MAX_ARITY || lower->node->output_count > GM_MAX_ARITY)
        return GM_OK;
    state = gm_pool_alloc(lower->pool, sizeof *state);
    if (!state)
        return GM_ERROR_MEMORY;
    GM_TRY(gm_lower_describe(lower, &compute));
    state->move.data_inputs = strchr(lower->node->op->inputs, ' ') ? 1 : lower->node->input_count;
    for (size_t i = state->move.data_inputs; i < lower->node->input_count; i++)
        if (lower->node->inputs[i] && !compute.in[i].data)
            return GM_OK;
    GM_TRY(describe(&compute, &state->move));
    state->zero_bytes = gm_tensor_bytes(&compute.out[0]);
    for (size_t i = 0; i < state->move.count; i++)
        gm_strided_simplify(&state->move.parts[i].copy);
    choose_layout(lower, &state->move);
    lower->kernel = (gm_kernel){run_move, NULL, state};
    return GM_OK;
}
