/* Operators whose results have as many elements as the values say: Compress, NonZero, Unique. Those values must be known
 * when the graph is built; NonZero and Unique become constants. */
#include "ops/axes.h"

#include <math.h>
#include <string.h>

#define MOVABLE (GM_TYPES_NUMERIC | GM_TYPES(GM_BOOL))

/* --- Compress --------------------------------------------------------------------------------------------------------- */

static int64_t count_true(const gm_tensor *flags)
{
    int64_t n = 0;
    for (int64_t i = 0; i < gm_tensor_count(flags); i++)
        n += gm_get_int(flags, i) != 0;
    return n;
}

/* https://onnx.ai/onnx/operators/onnx__Compress.html: the entries along an axis (of all elements in a row without one)
 * whose condition is true; a condition may be shorter than the axis. */
static gm_status infer_compress(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    const gm_tensor *condition = gm_infer_known(graph, node, 1);
    gm_dim length = 1;
    int axis = 0;
    if (!condition)
        return graph->status;
    if (condition->type != GM_BOOL || condition->rank != 1)
        return gm_node_fail(graph, node, "the condition must be a vector of bool");
    if (gm_node_attribute(node, "axis")) {
        GM_TRY(gm_infer_axis(graph, node, gm_node_int(node, "axis", 0), x.rank, &axis));
        length = x.dims[axis];
    } else {
        for (int i = 0; i < x.rank; i++)
            length = gm_dim_mul(graph->symbols, length, x.dims[i]);
        x.rank = 1;
    }
    if (gm_dim_is_known(length) && condition->dims[0] > length)
        return gm_node_fail(graph, node, "the condition has %lld elements for %lld entries",
                            (long long)condition->dims[0], (long long)length);
    x.dims[axis] = count_true(condition);
    gm_set_output(graph, node, 0, x.type, x.rank, x.dims);
    return graph->status;
}

static gm_status expand_compress(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    const gm_tensor *condition = gm_constant_of(graph, node->inputs[1]);
    gm_tensor *picked = gm_tensor_create(graph->pool, GM_INT64, 1, (int64_t[]){count_true(condition)});
    gm_value_id x = node->inputs[0];
    int64_t n = 0;
    if (!picked)
        return graph->status = GM_ERROR_MEMORY;
    for (int64_t i = 0; i < condition->dims[0]; i++)
        if (gm_get_int(condition, i))
            gm_set_int(picked, n++, i);
    if (!gm_node_attribute(node, "axis"))
        x = gm_emit2(graph, "Reshape", x, gm_const_ints(graph, (int64_t[]){-1}, 1));
    outputs[0] = gm_emit2_with(graph, "Gather", x, gm_graph_constant(graph, picked),
                               gm_attribute_int("axis", gm_node_int(node, "axis", 0)));
    return graph->status;
}

static const gm_attribute_schema axis_attributes[] = {{"axis", GM_ATTRIBUTE_INT, GM_OPTIONAL, .i = 0}};
const gm_operator gm_op_compress = {.domain = "",
                                    .name = "Compress",
                                    .since = 28,
                                    .inputs = "input condition",
                                    .outputs = "output",
                                    .types = MOVABLE,
                                    .attributes = axis_attributes,
                                    .attribute_count = GM_COUNT(axis_attributes),
                                    .infer = infer_compress,
                                    .expand = expand_compress};

/* --- NonZero ---------------------------------------------------------------------------------------------------------- */

static int64_t count_nonzero(const gm_tensor *x)
{
    int64_t n = 0;
    for (int64_t i = 0; i < gm_tensor_count(x); i++)
        n += gm_get(x, i) != 0.0;
    return n;
}

/* https://onnx.ai/onnx/operators/onnx__NonZero.html: int64[rank, n], the indices of the n elements that are not zero */
static gm_status infer_non_zero(gm_graph *graph, gm_node *node)
{
    const gm_tensor *x = gm_infer_known(graph, node, 0);
    if (!x)
        return graph->status;
    gm_set_output(graph, node, 0, GM_INT64, 2, (gm_dim[]){x->rank, count_nonzero(x)});
    return graph->status;
}

static gm_status expand_non_zero(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    const gm_tensor *x = gm_constant_of(graph, node->inputs[0]);
    int64_t found = count_nonzero(x), n = 0;
    gm_tensor *y = gm_tensor_create(graph->pool, GM_INT64, 2, (int64_t[]){x->rank, found});
    if (!y)
        return graph->status = GM_ERROR_MEMORY;
    for (int64_t i = 0; i < gm_tensor_count(x); i++) {
        int64_t rest = i;
        if (gm_get(x, i) == 0.0)
            continue;
        for (int k = x->rank; k-- > 0; rest /= x->dims[k])
            gm_set_int(y, k * found + n, rest % x->dims[k]);
        n++;
    }
    outputs[0] = gm_graph_constant(graph, y);
    return graph->status;
}

const gm_operator gm_op_non_zero = {.domain = "",
                                    .name = "NonZero",
                                    .since = 13,
                                    .inputs = "X",
                                    .outputs = "Y",
                                    .types = MOVABLE,
                                    .infer = infer_non_zero,
                                    .zero_gradient = true,
                                    .expand = expand_non_zero};

/* --- Unique ----------------------------------------------------------------------------------------------------------- */

/* x as [outer, length, inner]: entry i is the `outer * inner` elements at i of the middle axis. */
typedef struct entries {
    const gm_tensor *x;
    int64_t outer, length, inner;
    bool whole; /* integers, compared as such */
} entries;

static entries entries_of(const gm_node *node, const gm_tensor *x)
{
    entries e = {x, 1, 1, 1, !gm_type_find(x->type)->floating && x->type != GM_UINT64};
    int64_t axis = gm_node_int(node, "axis", 0);
    axis = axis < 0 ? axis + x->rank : axis;
    if (!gm_node_attribute(node, "axis")) {
        e.length = gm_tensor_count(x);
        return e;
    }
    for (int i = 0; i < x->rank; i++)
        *(i < axis ? &e.outer : i == axis ? &e.length : &e.inner) *= x->dims[i];
    return e;
}

/* -1, 0, 1; a NaN is greater than all numbers and equal to another, as NumPy has it */
static int compare_elements(const entries *e, int64_t a, int64_t b)
{
    if (e->whole) {
        int64_t p = gm_get_int(e->x, a), q = gm_get_int(e->x, b);
        return (p > q) - (p < q);
    }
    if (e->x->type == GM_UINT64) {
        uint64_t p = (uint64_t)gm_get_int(e->x, a), q = (uint64_t)gm_get_int(e->x, b);
        return (p > q) - (p < q);
    }
    double p = gm_get(e->x, a), q = gm_get(e->x, b);
    if (isnan(p) || isnan(q))
        return (isnan(p) != 0) - (isnan(q) != 0);
    return (p > q) - (p < q);
}

static int compare_entries(const entries *e, int64_t a, int64_t b)
{
    int order = 0;
    for (int64_t o = 0; o < e->outer && order == 0; o++)
        for (int64_t i = 0; i < e->inner && order == 0; i++)
            order = compare_elements(e, (o * e->length + a) * e->inner + i, (o * e->length + b) * e->inner + i);
    return order;
}

/* Stable merge sort of entry numbers from the bottom up; `other` is as long as `order`. */
static void sort_entries(const entries *e, int64_t *order, int64_t *other)
{
    for (int64_t width = 1; width < e->length; width *= 2) {
        for (int64_t first = 0; first < e->length; first += 2 * width) {
            int64_t middle = first + width < e->length ? first + width : e->length;
            int64_t end = first + 2 * width < e->length ? first + 2 * width : e->length;
            int64_t a = first, b = middle;
            for (int64_t to = first; to < end; to++) {
                bool left = b >= end || (a < middle && compare_entries(e, order[a], order[b]) <= 0);
                other[to] = left ? order[a++] : order[b++];
            }
        }
        memcpy(order, other, (size_t)e->length * sizeof *order);
    }
}

/* Groups of equal entries: first[g] its first entry, of[i] the group of entry i. Groups in ascending order, or in the order
 * of their first entries. */
typedef struct unique_groups {
    int64_t count, *first, *of, *sizes;
} unique_groups;

static void number_groups(const entries *e, const int64_t *order, bool sorted, int64_t *rank_of, unique_groups *out)
{
    int64_t groups = 0;
    for (int64_t i = 0; i < e->length; i++) {
        if (i == 0 || compare_entries(e, order[i - 1], order[i]) != 0)
            out->first[groups++] = order[i]; /* the sort is stable */
        out->of[order[i]] = groups - 1;
    }
    out->count = groups;
    if (!sorted) { /* renumber by first appearance */
        int64_t next = 0;
        for (int64_t g = 0; g < groups; g++)
            rank_of[g] = -1;
        for (int64_t i = 0; i < e->length; i++) {
            int64_t group = out->of[i];
            if (rank_of[group] < 0) {
                out->sizes[next] = i;
                rank_of[group] = next++;
            }
            out->of[i] = rank_of[group];
        }
        memcpy(out->first, out->sizes, (size_t)groups * sizeof *out->first);
    }
    memset(out->sizes, 0, (size_t)e->length * sizeof *out->sizes);
    for (int64_t i = 0; i < e->length; i++)
        out->sizes[out->of[i]]++;
}

static gm_status find_groups(gm_pool *pool, const entries *e, bool sorted, unique_groups *out)
{
    size_t bytes = (size_t)e->length * sizeof(int64_t);
    int64_t *order = gm_pool_alloc(pool, bytes), *other = gm_pool_alloc(pool, bytes);
    *out = (unique_groups){0, gm_pool_alloc(pool, bytes), gm_pool_alloc(pool, bytes), gm_pool_alloc(pool, bytes)};
    if (!order || !other || !out->first || !out->of || !out->sizes)
        return GM_ERROR_MEMORY;
    for (int64_t i = 0; i < e->length; i++)
        order[i] = i;
    sort_entries(e, order, other);
    number_groups(e, order, sorted, other, out);
    return GM_OK;
}

/* https://onnx.ai/onnx/operators/onnx__Unique.html. The sizes are found by expand, which makes constants of the outputs. */
static gm_status infer_unique(gm_graph *graph, gm_node *node)
{
    const gm_tensor *x = gm_infer_known(graph, node, 0);
    gm_dim dims[GM_MAX_RANK], count = gm_dim_unknown(graph->symbols);
    int axis = 0, rank = 1;
    if (!x)
        return graph->status;
    if (gm_node_attribute(node, "axis")) {
        GM_TRY(gm_infer_axis(graph, node, gm_node_int(node, "axis", 0), x->rank, &axis));
        rank = x->rank;
        memcpy(dims, x->dims, sizeof x->dims);
    }
    dims[axis] = count;
    gm_set_output(graph, node, 0, x->type, rank, dims);
    gm_set_output(graph, node, 1, GM_INT64, 1, &count);
    gm_set_output(graph, node, 2, GM_INT64, 1, (gm_dim[]){entries_of(node, x).length});
    gm_set_output(graph, node, 3, GM_INT64, 1, &count);
    return graph->status;
}

static gm_value_id constant_list(gm_graph *graph, const int64_t *values, int64_t count)
{
    gm_tensor *tensor = gm_tensor_create(graph->pool, GM_INT64, 1, &count);
    if (tensor && count)
        memcpy(tensor->data, values, (size_t)count * sizeof *values);
    return tensor ? gm_graph_constant(graph, tensor) : 0;
}

static gm_status expand_unique(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    const gm_tensor *x = gm_constant_of(graph, node->inputs[0]);
    entries e = entries_of(node, x);
    unique_groups groups;
    int64_t dims[GM_MAX_RANK] = {0}, axis = gm_node_int(node, "axis", 0);
    bool whole = !gm_node_attribute(node, "axis");
    size_t item = gm_type_bytes(x->type), run = (size_t)e.inner * item;
    gm_tensor *y;
    if (find_groups(graph->pool, &e, gm_node_int(node, "sorted", 1) != 0, &groups) != GM_OK)
        return graph->status = GM_ERROR_MEMORY;
    memcpy(dims, x->dims, sizeof x->dims);
    dims[whole ? 0 : axis < 0 ? axis + x->rank : axis] = groups.count;
    y = gm_tensor_create(graph->pool, x->type, whole ? 1 : x->rank, dims);
    if (!y)
        return graph->status = GM_ERROR_MEMORY;
    for (int64_t o = 0; o < e.outer; o++)
        for (int64_t g = 0; g < groups.count; g++)
            memcpy((char *)y->data + (size_t)(o * groups.count + g) * run,
                   (const char *)x->data + (size_t)(o * e.length + groups.first[g]) * run, run);
    outputs[0] = gm_graph_constant(graph, y);
    for (size_t i = 1; i < node->output_count; i++)
        outputs[i] = constant_list(graph,
                                   i == 1   ? groups.first
                                   : i == 2 ? groups.of
                                            : groups.sizes,
                                   i == 2 ? e.length : groups.count);
    return graph->status;
}

static const gm_attribute_schema unique_attributes[] = {{"axis", GM_ATTRIBUTE_INT, GM_OPTIONAL, .i = 0},
                                                        {"sorted", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 1}};
const gm_operator gm_op_unique = {.domain = "",
                                  .name = "Unique",
                                  .since = 28,
                                  .inputs = "X",
                                  .outputs = "Y indices? inverse_indices? counts?",
                                  .types = MOVABLE,
                                  .attributes = unique_attributes,
                                  .attribute_count = GM_COUNT(unique_attributes),
                                  .infer = infer_unique,
                                  .zero_gradient = true,
                                  .expand = expand_unique};
