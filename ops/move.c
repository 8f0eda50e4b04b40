/* Operators that cut and join tensors: Concat, Slice, Split. */
#include "ops/axes.h"
#include "ops/strided.h"

#include <string.h>

#define MOVABLE     (GM_TYPES_NUMERIC | GM_TYPES(GM_BOOL))
#define MAX_CONTENT 64

static int64_t positive_axis(const gm_node *node, int64_t fallback, int rank)
{
    int64_t axis = gm_node_int(node, "axis", fallback);
    return axis < 0 ? axis + rank : axis;
}

static int64_t common_divisor(int64_t a, int64_t b)
{
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* A part that copies `source` whole into a window of `target` (or back) that starts at `first` along `axis`. */
static void window_part(gm_move_part *part, const gm_tensor *small, const gm_tensor *large, int axis, int64_t first,
                        bool into_large)
{
    int64_t strides[GM_MAX_RANK] = {0};
    gm_strided *copy = &part->copy;
    copy->item = gm_type_bytes(small->type);
    copy->rank = small->rank;
    memcpy(copy->dims, small->dims, sizeof copy->dims);
    gm_row_strides(large->rank, large->dims, strides);
    gm_row_strides(small->rank, small->dims, into_large ? copy->in : copy->out);
    memcpy(into_large ? copy->out : copy->in, strides, sizeof strides);
    *(into_large ? &copy->out_offset : &copy->in_offset) = first * strides[axis];
}

/* --- Concat
 * ------------------------------------------------------------------------------------------------------------ */

static gm_status concat_content(gm_graph *graph, gm_node *node)
{
    gm_dim content[MAX_CONTENT];
    size_t total = 0;
    for (size_t i = 0; i < node->input_count; i++) {
        const gm_dim *part;
        size_t count;
        if (!gm_content_of(graph, node->inputs[i], &part, &count) || total + count > MAX_CONTENT)
            return GM_OK;
        memcpy(content + total, part, count * sizeof *part);
        total += count;
    }
    return gm_set_content(graph, node, 0, content, total);
}

/* https://onnx.ai/onnx/operators/onnx__Concat.html */
static gm_status infer_concat(gm_graph *graph, gm_node *node)
{
    gm_value first = *gm_value_of(graph, node->inputs[0]);
    char a[160], b[160];
    int axis;
    GM_TRY(gm_infer_same_type(graph, node));
    GM_TRY(gm_infer_axis(graph, node, gm_node_int(node, "axis", 0), first.rank, &axis));
    for (size_t i = 1; i < node->input_count; i++) {
        const gm_value *value = gm_value_of(graph, node->inputs[i]);
        bool fits = node->inputs[i] && value->rank == first.rank;
        for (int k = 0; fits && k < first.rank; k++)
            fits = k == axis || value->dims[k] == first.dims[k];
        if (!fits)
            return gm_node_fail(graph, node, "inputs 1 and %zu have shapes %s and %s; only axis %d may differ", i + 1,
                                gm_shape_text(graph, node->inputs[0], a, sizeof a),
                                gm_shape_text(graph, node->inputs[i], b, sizeof b), axis);
    }
    for (size_t i = 1; i < node->input_count; i++)
        first.dims[axis] =
            gm_dim_add(graph->symbols, first.dims[axis], gm_value_of(graph, node->inputs[i])->dims[axis]);
    gm_set_output(graph, node, 0, first.type, first.rank, first.dims);
    return first.rank == 1 && graph->status == GM_OK ? concat_content(graph, node) : graph->status;
}

/* More inputs than an instruction takes: a tree of Concats. */
static gm_status expand_concat(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_attribute axis = gm_attribute_int("axis", gm_node_int(node, "axis", 0));
    gm_value_id parts[GM_MAX_ARITY];
    size_t count = node->input_count, width = (count + GM_MAX_ARITY - 1) / GM_MAX_ARITY, made = 0;
    if (count <= GM_MAX_ARITY)
        return GM_OK;
    for (size_t at = 0; at < count; at += width)
        parts[made++] = gm_emit(graph, "Concat", node->inputs + at, count - at < width ? count - at : width, &axis, 1);
    outputs[0] = gm_emit(graph, "Concat", parts, made, &axis, 1);
    return graph->status;
}

/* dx = Split(dy) into the sizes of the inputs, which may be symbolic */
static gm_status gradient_concat(gm_gradient *g)
{
    gm_graph *graph = g->graph;
    const gm_node *node = g->node;
    int64_t axis = positive_axis(node, 0, gm_value_of(graph, node->inputs[0])->rank);
    gm_attribute range[2] = {gm_attribute_int("start", axis), gm_attribute_int("end", axis + 1)};
    gm_attribute split = gm_attribute_int("axis", axis), join = gm_attribute_int("axis", 0);
    gm_value_id *sizes = gm_pool_array(graph->pool, node->input_count, sizeof *sizes);
    if (!sizes)
        return graph->status = GM_ERROR_MEMORY;
    for (size_t i = 0; i < node->input_count && graph->status == GM_OK; i++) {
        gm_dim dim = gm_value_of(graph, node->inputs[i])->dims[axis];
        sizes[i] = gm_dim_is_known(dim) ? gm_const_ints(graph, &dim, 1)
                                        : gm_emit(graph, "Shape", &node->inputs[i], 1, range, 2);
    }
    gm_emit_many(graph, "Split",
                 (gm_value_id[]){g->dy[0], gm_emit(graph, "Concat", sizes, node->input_count, &join, 1)}, 2, &split, 1,
                 g->dx, node->input_count);
    return graph->status;
}

static gm_status describe_concat(const gm_compute *compute, gm_move *move)
{
    const gm_tensor *y = &compute->out[0];
    int64_t axis = positive_axis(compute->node, 0, y->rank), at = 0;
    if (compute->node->input_count > GM_MAX_ARITY)
        return gm_fail(compute->context, GM_ERROR_INTERNAL, "Concat of %zu inputs", compute->node->input_count);
    for (size_t i = 0; i < compute->node->input_count; i++) {
        const gm_tensor *x = &compute->in[i];
        gm_move_part *part = &move->parts[move->count++];
        window_part(part, x, y, (int)axis, at, true);
        part->in = i;
        at += x->dims[axis];
        if (axis == 1 && y->rank > 2)
            move->channel_unit = common_divisor(move->channel_unit, x->dims[1]);
    }
    if (axis == 0 && y->rank > 2)
        move->channel_unit = y->dims[1];
    return at == y->dims[axis] ? GM_OK
                               : gm_fail(compute->context, GM_ERROR_DATA,
                                         "Concat: the inputs have %lld entries along axis "
                                         "%lld where %lld were planned",
                                         (long long)at, (long long)axis, (long long)y->dims[axis]);
}

static gm_status reference_concat(const gm_compute *compute)
{
    return gm_move_reference(compute, describe_concat);
}

static gm_status lower_concat(gm_lower *lower)
{
    return gm_move_lower(lower, describe_concat);
}

static const gm_attribute_schema concat_attributes[] = {{"axis", GM_ATTRIBUTE_INT, GM_REQUIRED, .i = 0}};
static const gm_older older_concat[] = {{4, GM_OLDER_DEFAULT, "axis", .i = 1}, {0}};
const gm_operator gm_op_concat = {.domain = "",
                                  .name = "Concat",
                                  .since = 13,
                                  .inputs = "inputs",
                                  .outputs = "concat_result",
                                  .types = MOVABLE,
                                  .flags = GM_OP_VARIADIC,
                                  .attributes = concat_attributes,
                                  .attribute_count = GM_COUNT(concat_attributes),
                                  .older = older_concat,
                                  .infer = infer_concat,
                                  .gradient = gradient_concat,
                                  .expand = expand_concat,
                                  .reference = reference_concat,
                                  .lower = lower_concat};

/* --- Slice
 * ------------------------------------------------------------------------------------------------------------- */

/* What a Slice takes of one axis: element first + i * step for i < count. */
typedef struct slice_axis {
    int64_t first, step, count;
} slice_axis;

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* https://onnx.ai/onnx/operators/onnx__Slice.html: negative positions count from the end, all are clamped. */
static slice_axis slice_of(int64_t dim, int64_t start, int64_t end, int64_t step)
{
    slice_axis s = {0, step, 0};
    int64_t span;
    start = start < 0 ? clamp(start, -dim - 1, -1) + dim : start;
    end = end < 0 ? clamp(end, -dim - 1, -1) + dim : end;
    s.first = step > 0 ? clamp(start, 0, dim) : clamp(start, -1, dim - 1);
    end = step > 0 ? clamp(end, 0, dim) : clamp(end, -1, dim - 1);
    span = step > 0 ? end - s.first : s.first - end;
    step = step > 0 ? step : step == INT64_MIN ? INT64_MAX : -step;
    s.count = span > 0 ? (span - 1) / step + 1 : 0;
    return s;
}

/* Size of one sliced axis. `start` and `end` may be symbolic (then they count from 0); a size that cannot be told is a
 * fresh symbol. */
static gm_dim slice_dim(gm_graph *graph, gm_dim dim, bool known, gm_dim start, gm_dim end, int64_t step)
{
    gm_symbols *symbols = graph->symbols;
    const gm_dim far = (gm_dim)1 << 30; /* INT_MAX and INT64_MAX mean "to the end" */
    gm_dim span;
    if (known && gm_dim_is_known(dim))
        return slice_of(dim, start, end, step).count;
    if (step < 0) {
        if (known && (start >= far || start == -1) && end <= -far)
            return gm_dim_window(symbols, dim, -step - 1, -step, 0, false);
        return gm_dim_unknown(symbols);
    }
    if (known) {
        start = start < 0 ? gm_dim_sub(symbols, dim, -start) : start;
        end = end >= far ? dim : end < 0 ? (end < -far ? 0 : gm_dim_sub(symbols, dim, -end)) : end;
    }
    span = gm_dim_sub(symbols, end, start);
    return span == GM_DIM_ERROR ? gm_dim_unknown(symbols)
           : step == 1          ? span
                                : gm_dim_window(symbols, span, step - 1, step, 0, false);
}

static gm_value_id input_or_none(const gm_node *node, size_t index)
{
    return index < node->input_count ? node->inputs[index] : 0;
}

/* The parameters of Slice and SliceGrad begin at input `from`: starts, ends, axes?, steps?. */
static gm_status infer_slice_dims(gm_graph *graph, gm_node *node, size_t from, const gm_value *x, gm_dim *dims)
{
    int64_t starts[GM_MAX_RANK], ends[GM_MAX_RANK], axes[GM_MAX_RANK], steps[GM_MAX_RANK];
    const gm_dim *start = starts, *end = ends;
    size_t n = 0, m = 0, k;
    bool known = gm_known_ints(graph, node->inputs[from], GM_MAX_RANK, starts, &n);
    known = gm_known_ints(graph, node->inputs[from + 1], GM_MAX_RANK, ends, &m) && known;
    memcpy(dims, x->dims, sizeof x->dims);
    if (!known && (!gm_content_of(graph, node->inputs[from], &start, &n) ||
                   !gm_content_of(graph, node->inputs[from + 1], &end, &m))) {
        for (int i = 0; i < x->rank; i++)
            dims[i] = gm_dim_unknown(graph->symbols);
        return GM_OK;
    }
    if (n != m || n > (size_t)x->rank)
        return gm_node_fail(graph, node, "%zu starts and %zu ends for an input of rank %d", n, m, x->rank);
    for (size_t i = 0; i < n; i++) {
        axes[i] = (int64_t)i;
        steps[i] = 1;
    }
    if ((input_or_none(node, from + 2) &&
         (!gm_known_ints(graph, node->inputs[from + 2], GM_MAX_RANK, axes, &k) || k != n)) ||
        (input_or_none(node, from + 3) &&
         (!gm_known_ints(graph, node->inputs[from + 3], GM_MAX_RANK, steps, &k) || k != n)))
        return gm_node_fail(graph, node, "axes and steps must be constants with %zu elements each", n);
    for (size_t i = 0; i < n; i++) {
        int axis;
        GM_TRY(gm_infer_axis(graph, node, axes[i], x->rank, &axis));
        if (steps[i] == 0)
            return gm_node_fail(graph, node, "the step along axis %d is 0", axis);
        dims[axis] = slice_dim(graph, x->dims[axis], known, start[i], end[i], steps[i]);
    }
    return GM_OK;
}

static gm_status slice_content(gm_graph *graph, gm_node *node)
{
    const gm_dim *content;
    gm_dim picked[MAX_CONTENT];
    size_t count, n;
    int64_t start, end, step = 1;
    slice_axis s;
    if (!gm_content_of(graph, node->inputs[0], &content, &count) ||
        !gm_known_ints(graph, node->inputs[1], 1, &start, &n) || n != 1 ||
        !gm_known_ints(graph, node->inputs[2], 1, &end, &n) || n != 1)
        return GM_OK;
    if (input_or_none(node, 4))
        gm_known_ints(graph, node->inputs[4], 1, &step, &n);
    s = slice_of((int64_t)count, start, end, step);
    for (int64_t i = 0; i < s.count && i < MAX_CONTENT; i++)
        picked[i] = content[s.first + i * s.step];
    return s.count <= MAX_CONTENT ? gm_set_content(graph, node, 0, picked, (size_t)s.count) : GM_OK;
}

static gm_status infer_slice(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    gm_dim dims[GM_MAX_RANK];
    GM_TRY(infer_slice_dims(graph, node, 1, &x, dims));
    gm_set_output(graph, node, 0, x.type, x.rank, dims);
    return x.rank == 1 && graph->status == GM_OK ? slice_content(graph, node) : graph->status;
}

/* Per axis of `large` what is taken, from the tensors of the parameters. */
static gm_status slice_parameters(const gm_compute *compute, size_t from, const gm_tensor *large,
                                  const gm_tensor *small, slice_axis *out)
{
    const gm_tensor *p = compute->in + from;
    size_t given = compute->node->input_count - from;
    bool has_axes = given > 2 && p[2].data, has_steps = given > 3 && p[3].data;
    int64_t count = gm_tensor_count(&p[0]);
    bool fits = gm_tensor_count(&p[1]) == count && (!has_axes || gm_tensor_count(&p[2]) == count) &&
                (!has_steps || gm_tensor_count(&p[3]) == count);
    for (int i = 0; i < large->rank; i++)
        out[i] = (slice_axis){0, 1, large->dims[i]};
    for (int64_t i = 0; fits && i < count; i++) {
        int64_t axis = has_axes ? gm_get_int(&p[2], i) : i, step = has_steps ? gm_get_int(&p[3], i) : 1;
        axis = axis < 0 ? axis + large->rank : axis;
        fits = axis >= 0 && axis < large->rank && step != 0;
        if (fits)
            out[axis] = slice_of(large->dims[axis], gm_get_int(&p[0], i), gm_get_int(&p[1], i), step);
    }
    for (int i = 0; fits && i < large->rank; i++)
        fits = small->rank == large->rank && out[i].count == small->dims[i];
    return fits ? GM_OK
                : gm_fail(compute->context, GM_ERROR_DATA,
                          "%s: starts, ends, axes or steps do not give the planned shape", compute->node->op->name);
}

/* Whole batches and runs of channels only: what a blocked layout may keep. */
static int64_t slice_channel_unit(const slice_axis *axes, const gm_tensor *large)
{
    for (int i = 0; i < large->rank; i++)
        if (axes[i].step != 1 || (i > 1 && axes[i].count != large->dims[i]))
            return 0;
    return large->rank > 2 ? common_divisor(common_divisor(axes[1].first, axes[1].count), large->dims[1]) : 0;
}

static gm_status describe_slices(const gm_compute *compute, gm_move *move, size_t from, const gm_tensor *large,
                                 const gm_tensor *small, bool into_large)
{
    slice_axis axes[GM_MAX_RANK];
    gm_strided *copy = &move->parts[move->count++].copy;
    int64_t *strides = into_large ? copy->out : copy->in;
    int64_t *offset = into_large ? &copy->out_offset : &copy->in_offset;
    GM_TRY(slice_parameters(compute, from, large, small, axes));
    copy->item = gm_type_bytes(small->type);
    copy->rank = small->rank;
    memcpy(copy->dims, small->dims, sizeof copy->dims);
    gm_row_strides(small->rank, small->dims, into_large ? copy->in : copy->out);
    gm_row_strides(large->rank, large->dims, strides);
    for (int i = 0; i < small->rank; i++) {
        *offset += axes[i].count ? axes[i].first * strides[i] : 0;
        strides[i] *= axes[i].step;
    }
    move->channel_unit = slice_channel_unit(axes, large);
    return GM_OK;
}

static gm_status describe_slice(const gm_compute *compute, gm_move *move)
{
    return describe_slices(compute, move, 1, &compute->in[0], &compute->out[0], false);
}

static gm_status reference_slice(const gm_compute *compute)
{
    return gm_move_reference(compute, describe_slice);
}

static gm_status lower_slice(gm_lower *lower)
{
    return gm_move_lower(lower, describe_slice);
}

/* dx = SliceGrad(dy): zeros with dy where it was taken from */
static gm_status gradient_slice(gm_gradient *g)
{
    const gm_node *node = g->node;
    gm_value_id inputs[6] = {g->dy[0], gm_shape_of(g->graph, node->inputs[0])};
    for (size_t i = 1; i < node->input_count; i++)
        inputs[i + 1] = node->inputs[i];
    g->dx[0] = gm_emit(g->graph, "gmodel.SliceGrad", inputs, node->input_count + 1, NULL, 0);
    return g->graph->status;
}

static const gm_older older_slice[] = {{10, GM_OLDER_INPUT, "starts", .input = 1, .type = GM_INT64},
                                       {10, GM_OLDER_INPUT, "ends", .input = 2, .type = GM_INT64},
                                       {10, GM_OLDER_INPUT, "axes", .input = 3, .type = GM_INT64},
                                       {0}};
const gm_operator gm_op_slice = {.domain = "",
                                 .name = "Slice",
                                 .since = 13,
                                 .inputs = "data starts ends axes? steps?",
                                 .outputs = "output",
                                 .types = MOVABLE,
                                 .older = older_slice,
                                 .infer = infer_slice,
                                 .gradient = gradient_slice,
                                 .reference = reference_slice,
                                 .lower = lower_slice};

/* gmodel.SliceGrad(dy, shape, starts, ends, axes?, steps?) -> dx of that shape */
static gm_status infer_slice_grad(gm_graph *graph, gm_node *node)
{
    gm_value dy = *gm_value_of(graph, node->inputs[0]);
    gm_dim dims[GM_MAX_RANK];
    int rank;
    GM_TRY(gm_infer_target(graph, node, node->inputs[1], &rank, dims));
    if (rank != dy.rank)
        return gm_node_fail(graph, node, "dy has rank %d, the shape %d", dy.rank, rank);
    gm_set_output(graph, node, 0, dy.type, rank, dims);
    return graph->status;
}

static gm_status gradient_slice_grad(gm_gradient *g)
{
    const gm_node *node = g->node;
    gm_value_id inputs[5] = {g->dy[0]};
    for (size_t i = 2; i < node->input_count; i++)
        inputs[i - 1] = node->inputs[i];
    g->dx[0] = gm_emit(g->graph, "Slice", inputs, node->input_count - 1, NULL, 0);
    return g->graph->status;
}

static gm_status describe_slice_grad(const gm_compute *compute, gm_move *move)
{
    move->zero = true;
    return describe_slices(compute, move, 2, &compute->out[0], &compute->in[0], true);
}

static gm_status reference_slice_grad(const gm_compute *compute)
{
    return gm_move_reference(compute, describe_slice_grad);
}

static gm_status lower_slice_grad(gm_lower *lower)
{
    return gm_move_lower(lower, describe_slice_grad);
}

const gm_operator gm_op_slice_grad = {.domain = "gmodel",
                                      .name = "SliceGrad",
                                      .since = 1,
                                      .inputs = "dy shape starts ends axes? steps?",
                                      .outputs = "dx",
                                      .types = MOVABLE,
                                      .infer = infer_slice_grad,
                                      .gradient = gradient_slice_grad,
                                      .reference = reference_slice_grad,
                                      .lower = lower_slice_grad};

/* --- Split
 * ------------------------------------------------------------------------------------------------------------- */

/* https://onnx.ai/onnx/operators/onnx__Split.html: sizes from input `split`, or num_outputs equal parts (the last may
 * be smaller). */
static gm_status infer_split(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    int64_t parts = gm_node_int(node, "num_outputs", (int64_t)node->output_count);
    const gm_dim *sizes = NULL;
    size_t count = 0;
    gm_dim whole, each = 0;
    int axis;
    GM_TRY(gm_infer_axis(graph, node, gm_node_int(node, "axis", 0), x.rank, &axis));
    whole = x.dims[axis];
    if (node->input_count > 1 && node->inputs[1]) {
        gm_dim sum = 0;
        if (!gm_content_of(graph, node->inputs[1], &sizes, &count) || count != node->output_count)
            return gm_node_fail(graph, node, "the sizes must be a constant with one element per output (%zu)",
                                node->output_count);
        for (size_t i = 0; i < count; i++)
            sum = gm_dim_add(graph->symbols, sum, sizes[i]);
        if (sum != whole && gm_dim_is_known(sum) && gm_dim_is_known(whole))
            return gm_node_fail(graph, node, "the sizes add up to %lld; axis %d has %lld", (long long)sum, axis,
                                (long long)whole);
    } else {
        if (parts != (int64_t)node->output_count || parts < 1)
            return gm_node_fail(graph, node, "num_outputs is %lld, but there are %zu outputs", (long long)parts,
                                node->output_count);
        each = gm_dim_window(graph->symbols, whole, parts - 1, parts, 0, false);
    }
    for (size_t i = 0; i < node->output_count; i++) {
        bool last = i + 1 == node->output_count && i > 0;
        x.dims[axis] = sizes  ? sizes[i]
                       : last ? gm_dim_sub(graph->symbols, whole, gm_dim_mul(graph->symbols, each, parts - 1))
                              : each;
        gm_set_output(graph, node, i, x.type, x.rank, x.dims);
    }
    return graph->status;
}

/* dx = Concat(dy...), zeros for outputs that nobody uses */
static gm_status gradient_split(gm_gradient *g)
{
    const gm_node *node = g->node;
    int64_t axis = gm_node_int(node, "axis", 0);
    gm_attribute attribute = gm_attribute_int("axis", axis);
    gm_value_id *parts = gm_pool_array(g->graph->pool, node->output_count, sizeof *parts);
    if (!parts)
        return g->graph->status = GM_ERROR_MEMORY;
    for (size_t i = 0; i < node->output_count; i++)
        parts[i] = g->dy[i] ? g->dy[i] : gm_zeros_like(g->graph, node->outputs[i]);
    g->dx[0] = gm_emit(g->graph, "Concat", parts, node->output_count, &attribute, 1);
    return g->graph->status;
}

static gm_status describe_split(const gm_compute *compute, gm_move *move)
{
    const gm_tensor *x = &compute->in[0];
    int64_t axis = positive_axis(compute->node, 0, x->rank), at = 0;
    for (size_t i = 0; i < compute->node->output_count; i++) {
        const gm_tensor *y = &compute->out[i];
        gm_move_part *part = &move->parts[move->count++];
        window_part(part, y, x, (int)axis, at, false);
        part->out = i;
        at += y->dims[axis];
        if (axis == 1 && x->rank > 2)
            move->channel_unit = common_divisor(move->channel_unit, y->dims[1]);
    }
    if (axis == 0 && x->rank > 2)
        move->channel_unit = x->dims[1];
    return at <= x->dims[axis] ? GM_OK
                               : gm_fail(compute->context, GM_ERROR_DATA, "Split: the parts are larger than the input");
}

static gm_status reference_split(const gm_compute *compute)
{
    return gm_move_reference(compute, describe_split);
}

static gm_status lower_split(gm_lower *lower)
{
    return gm_move_lower(lower, describe_split);
}

/* An output left out has no shape to describe, and more outputs than an instruction has are too many: by Slice then. */
static gm_status expand_split(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    int rank = gm_value_of(graph, node->inputs[0])->rank;
    int64_t axis = positive_axis(node, 0, rank), at = 0;
    gm_value_id axes;
    if (node->output_count <= GM_MAX_ARITY)
        return GM_OK;
    axes = gm_const_ints(graph, &axis, 1);
    for (size_t i = 0; i < node->output_count && graph->status == GM_OK; i++) {
        gm_dim size = gm_value_of(graph, node->outputs[i])->dims[axis];
        gm_value_id start = gm_const_ints(graph, &at, 1);
        if (!gm_dim_is_known(size))
            return gm_node_fail(graph, node, "a symbolic axis splits into at most %d parts", GM_MAX_ARITY);
        at += size;
        outputs[i] = gm_emit(graph, "Slice",
                             (gm_value_id[]){node->inputs[0], start, gm_const_ints(graph, &at, 1), axes}, 4, NULL, 0);
    }
    return graph->status;
}

static const gm_attribute_schema split_attributes[] = {{"axis", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0},
                                                       {"num_outputs", GM_ATTRIBUTE_INT, GM_OPTIONAL, .i = 0}};
static const gm_older older_split[] = {{13, GM_OLDER_INPUT, "split", .input = 1, .type = GM_INT64}, {0}};
const gm_operator gm_op_split = {.domain = "",
                                 .name = "Split",
                                 .since = 18,
                                 .inputs = "input split?",
                                 .outputs = "outputs...",
                                 .types = MOVABLE,
                                 .attributes = split_attributes,
                                 .attribute_count = GM_COUNT(split_attributes),
                                 .older = older_split,
                                 .infer = infer_split,
                                 .gradient = gradient_split,
                                 .expand = expand_split,
                                 .reference = reference_split,
                                 .lower = lower_split};
