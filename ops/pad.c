/* Pad. https://onnx.ai/onnx/operators/onnx__Pad.html: pads = (begin of each axis, then end of each axis), of all axes or of
 * those in `axes`; negative ones crop. */
#include "ops/axes.h"
#include "ops/strided.h"

#include <stdlib.h>
#include <string.h>

#define LARGEST (INT64_MAX / 8)
#define MOVABLE (GM_TYPES_NUMERIC | GM_TYPES(GM_BOOL))

typedef struct pads {
    int64_t begin[GM_MAX_RANK], end[GM_MAX_RANK];
} pads;

/* values: 2 * count pads of the listed axes (all when axes == NULL). False: they do not fit the rank. */
static bool spread(int rank, const int64_t *values, size_t value_count, const int64_t *axes, size_t count, pads *out)
{
    memset(out, 0, sizeof *out);
    count = axes ? count : (size_t)rank;
    if (value_count != 2 * count)
        return false;
    for (size_t i = 0; i < count; i++) {
        int64_t axis = axes ? axes[i] : (int64_t)i;
        axis = axis < 0 ? axis + rank : axis;
        if (axis < 0 || axis >= rank)
            return false;
        out->begin[axis] = values[i];
        out->end[axis] = values[count + i];
    }
    return true;
}

static gm_status pads_of(gm_graph *graph, gm_node *node, pads *out)
{
    int rank = gm_value_of(graph, node->inputs[0])->rank;
    int64_t values[2 * GM_MAX_RANK], axes[GM_MAX_RANK];
    const int64_t *given;
    size_t count, axis_count = 0;
    bool has_axes = node->input_count > 3 && node->inputs[3];
    if (node->input_count > 1 && node->inputs[1]) {
        if (!gm_known_ints(graph, node->inputs[1], 2 * GM_MAX_RANK, values, &count))
            return gm_node_fail(graph, node, "the pads must be constant");
        given = values;
    } else {
        count = gm_node_ints(node, "pads", &given);
    }
    if (has_axes && !gm_known_ints(graph, node->inputs[3], GM_MAX_RANK, axes, &axis_count))
        return gm_node_fail(graph, node, "the axes must be constant");
    if (!spread(rank, given, count, has_axes ? axes : NULL, axis_count, out))
        return gm_node_fail(graph, node, "%zu pads do not fit an input of rank %d; two per axis are needed", count,
                            rank);
    return GM_OK;
}

static gm_status infer_pad(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    static const char *const modes[] = {"constant", "edge", "reflect", "wrap"};
    const char *mode = gm_node_string(node, "mode", "constant");
    bool known = false;
    pads p;
    for (size_t i = 0; i < GM_COUNT(modes); i++)
        known = known || strcmp(mode, modes[i]) == 0;
    if (!known)
        return gm_node_fail(graph, node, "mode must be constant, edge, reflect or wrap, found '%s'", mode);
    GM_TRY(pads_of(graph, node, &p));
    for (int i = 0; i < x.rank; i++) {
        int64_t sum;
        if (__builtin_add_overflow(p.begin[i], p.end[i], &sum) || llabs(sum / 2) > LARGEST ||
            llabs(p.begin[i] / 2) > LARGEST || llabs(p.end[i] / 2) > LARGEST)
            return gm_node_fail(graph, node, "the pads of axis %d are too large", i);
        if (sum != 0)
            x.dims[i] =
                sum > 0 ? gm_dim_add(graph->symbols, x.dims[i], sum) : gm_dim_sub(graph->symbols, x.dims[i], -sum);
    }
    gm_set_output(graph, node, 0, x.type, x.rank, x.dims);
    return graph->status;
}

/* dx: what of dy lies over x (Slice), with zeros where a negative pad cropped (Pad). Only of mode constant. */
static gm_status gradient_pad(gm_gradient *g)
{
    gm_graph *graph = g->graph;
    gm_node node = *g->node;
    int rank = gm_value_of(graph, node.inputs[0])->rank;
    int64_t back[2 * GM_MAX_RANK];
    pads p;
    if (strcmp(gm_node_string(&node, "mode", "constant"), "constant") != 0)
        return gm_node_fail(graph, &node, "only mode \"constant\" has a gradient");
    GM_TRY(pads_of(graph, &node, &p));
    for (int i = 0; i < rank; i++) {
        back[i] = -p.begin[i];
        back[rank + i] = -p.end[i];
    }
    if (g->wanted[0])
        g->dx[0] = gm_emit2(graph, "Pad", g->dy[0], gm_const_ints(graph, back, 2 * (size_t)rank));
    if (node.input_count > 2 && g->wanted[2]) { /* the constant takes what lies outside */
        gm_value_id inside = gm_emit2(graph, "Pad", gm_ones_like(graph, node.inputs[0]), node.inputs[1]);
        gm_value_id outside = gm_emit2(graph, "Sub", gm_ones_like(graph, inside), inside);
        if (node.input_count > 3 && node.inputs[3])
            return gm_node_fail(graph, &node, "the gradient of the constant with `axes` is not there");
        g->dx[2] = gm_sum_to_like(graph, gm_emit2(graph, "Mul", g->dy[0], outside), node.inputs[2]);
    }
    return graph->status;
}

/* Where position i of an axis of size n comes from, of which `low` and `high` entries were cropped; -1: the constant. */
static int64_t source_of(const char *mode, int64_t i, int64_t n, int64_t low, int64_t high)
{
    int64_t period;
    i -= low;
    n -= low + high;
    if (i >= 0 && i < n)
        return i + low;
    if (n <= 0 || mode[0] == 'c')
        return -1;
    if (mode[0] == 'e')
        return (i < 0 ? 0 : n - 1) + low;
    period = mode[0] == 'w' ? n : n > 1 ? 2 * (n - 1) : 1;
    i = (i % period + period) % period;
    return (i < n ? i : period - i) + low;
}

static int64_t cropped(int64_t pad)
{
    return pad < 0 ? -pad : 0;
}

static gm_status read_pads(const gm_compute *compute, pads *out)
{
    const gm_tensor *x = &compute->in[0], *y = &compute->out[0];
    const gm_node *node = compute->node;
    int64_t values[2 * GM_MAX_RANK], axes[GM_MAX_RANK];
    const int64_t *given = values;
    bool has_pads = node->input_count > 1 && compute->in[1].data,
         has_axes = node->input_count > 3 && compute->in[3].data;
    size_t count = has_pads ? (size_t)gm_tensor_count(&compute->in[1]) : gm_node_ints(node, "pads", &given);
    size_t axis_count = has_axes ? (size_t)gm_tensor_count(&compute->in[3]) : 0;
    bool fits = count <= 2 * GM_MAX_RANK && axis_count <= GM_MAX_RANK;
    for (size_t i = 0; fits && has_pads && i < count; i++)
        values[i] = gm_get_int(&compute->in[1], (int64_t)i);
    for (size_t i = 0; fits && i < axis_count; i++)
        axes[i] = gm_get_int(&compute->in[3], (int64_t)i);
    fits = fits && spread(x->rank, given, count, has_axes ? axes : NULL, axis_count, out);
    for (int i = 0; fits && i < x->rank; i++)
        fits = x->dims[i] + out->begin[i] + out->end[i] == y->dims[i];
    return fits ? GM_OK : gm_fail(compute->context, GM_ERROR_DATA, "Pad: the pads do not give the planned shape");
}

static gm_status reference_pad(const gm_compute *compute)
{
    const gm_tensor *x = &compute->in[0], *y = &compute->out[0];
    const gm_tensor *fill = compute->node->input_count > 2 && compute->in[2].data ? &compute->in[2] : NULL;
    const char *mode = gm_node_string(compute->node, "mode", "constant");
    size_t item = gm_type_bytes(x->type);
    int64_t count = gm_tensor_count(y), strides[GM_MAX_RANK] = {0};
    pads p;
    GM_TRY(read_pads(compute, &p));
    gm_row_strides(x->rank, x->dims, strides);
    for (int64_t i = 0; i < count; i++) {
        int64_t rest = i, from = 0;
        char *to = (char *)y->data + (size_t)i * item;
        for (int k = x->rank; k-- > 0 && from >= 0; rest /= y->dims[k]) {
            int64_t at =
                source_of(mode, rest % y->dims[k] - p.begin[k], x->dims[k], cropped(p.begin[k]), cropped(p.end[k]));
            from = at < 0 ? -1 : from + at * strides[k];
        }
        if (from >= 0)
            memcpy(to, (const char *)x->data + (size_t)from * item, item);
        else if (fill)
            memcpy(to, fill->data, item);
        else
            gm_set(y, i, gm_node_float(compute->node, "value", 0.0));
    }
    return GM_OK;
}

static const gm_attribute_schema pad_attributes[] = {{"mode", GM_ATTRIBUTE_STRING, GM_DEFAULT, .s = "constant"},
                                                     {"pads", GM_ATTRIBUTE_INTS, GM_OPTIONAL, .i = 0}, /* before 11 */
                                                     {"value", GM_ATTRIBUTE_FLOAT, GM_OPTIONAL, .f = 0.0}};
static const gm_older older_pad[] = {
    {11, GM_OLDER_INPUT, "pads", .input = 1, .type = GM_INT64}, {11, GM_OLDER_INPUT, "value", .input = 2}, {0}};
const gm_operator gm_op_pad = {.domain = "",
                               .name = "Pad",
                               .since = 21,
                               .inputs = "data pads? constant_value? axes?",
                               .outputs = "output",
                               .types = MOVABLE,
                               .attributes = pad_attributes,
                               .attribute_count = GM_COUNT(pad_attributes),
                               .older = older_pad,
                               .infer = infer_pad,
                               .gradient = gradient_pad,
                               .reference = reference_pad};
