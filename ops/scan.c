/* Running sums and products along an axis: CumSum, CumProd. */
#include "ops/axes.h"

#define SCANNED                                                                                                        \
    (GM_TYPES_FLOATING | GM_TYPES(GM_INT32) | GM_TYPES(GM_INT64) | GM_TYPES(GM_UINT32) | GM_TYPES(GM_UINT64))

/* https://onnx.ai/onnx/operators/onnx__CumSum.html, onnx__CumProd.html: x, axis (one int64 or int32) -> y like x;
 * exclusive: without the element itself, reverse: from the end of the axis on */
static gm_status infer_scan(gm_graph *graph, gm_node *node)
{
    gm_value axis = *gm_value_of(graph, node->inputs[1]);
    int64_t known;
    size_t count;
    int normal;
    if ((axis.type != GM_INT64 && axis.type != GM_INT32) || axis.rank > 1 || (axis.rank == 1 && axis.dims[0] != 1))
        return gm_node_fail(graph, node, "the axis must be one int64 or int32");
    if (gm_known_ints(graph, node->inputs[1], 1, &known, &count))
        GM_TRY(gm_infer_axis(graph, node, known, gm_value_of(graph, node->inputs[0])->rank, &normal));
    return gm_infer_unary(graph, node);
}

/* One line of `length` elements, `step` apart, from `at` on. Floating types are summed in double, integers wrap around. */
static void scan_line(const gm_compute *compute, int64_t at, int64_t step, int64_t length, bool product)
{
    const gm_tensor *x = &compute->in[0], *y = &compute->out[0];
    bool floating = gm_type_find(x->type)->floating;
    bool exclusive = gm_node_int(compute->node, "exclusive", 0) != 0;
    double real = product;
    uint64_t whole = product;
    for (int64_t i = 0; i < length; i++, at += step) {
        double old_real = real;
        uint64_t old_whole = whole;
        if (floating)
            real = product ? real * gm_get(x, at) : real + gm_get(x, at);
        else
            whole = product ? whole * (uint64_t)gm_get_int(x, at) : whole + (uint64_t)gm_get_int(x, at);
        if (floating)
            gm_set(y, at, exclusive ? old_real : real);
        else
            gm_set_wrapped(y, at, (int64_t)(exclusive ? old_whole : whole));
    }
}

static gm_status scan(const gm_compute *compute, bool product)
{
    const gm_tensor *x = &compute->in[0];
    int64_t axis = gm_get_int(&compute->in[1], 0), outer = 1, inner = 1, length;
    bool reverse = gm_node_int(compute->node, "reverse", 0) != 0;
    if (axis < -x->rank || axis >= x->rank)
        return gm_fail(compute->context, GM_ERROR_DATA, "%s: axis %lld is outside [%d, %d)", compute->node->op->name,
                       (long long)axis, -x->rank, x->rank);
    axis = axis < 0 ? axis + x->rank : axis;
    length = x->dims[axis];
    for (int i = 0; i < x->rank; i++)
        *(i < axis ? &outer : &inner) *= i == axis ? 1 : x->dims[i];
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            int64_t first = o * length * inner + i, last = first + (length - 1) * inner;
            scan_line(compute, reverse ? last : first, reverse ? -inner : inner, length, product);
        }
    return GM_OK;
}

static gm_status reference_cum_sum(const gm_compute *compute)
{
    return scan(compute, false);
}

static gm_status reference_cum_prod(const gm_compute *compute)
{
    return scan(compute, true);
}

/* dx[i] is the sum of dy over all j that i is summed into: the same sum from the other end. */
static gm_status gradient_cum_sum(gm_gradient *g)
{
    gm_attribute attributes[2] = {gm_attribute_int("exclusive", gm_node_int(g->node, "exclusive", 0)),
                                  gm_attribute_int("reverse", gm_node_int(g->node, "reverse", 0) == 0)};
    if (g->wanted[0])
        g->dx[0] = gm_emit(g->graph, "CumSum", (gm_value_id[]){g->dy[0], g->node->inputs[1]}, 2, attributes, 2);
    return g->graph->status;
}

static const gm_attribute_schema scan_attributes[] = {{"exclusive", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0},
                                                      {"reverse", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0}};
const gm_operator gm_op_cum_sum = {.domain = "",
                                   .name = "CumSum",
                                   .since = 14,
                                   .inputs = "x axis",
                                   .outputs = "y",
                                   .types = SCANNED,
                                   .attributes = scan_attributes,
                                   .attribute_count = GM_COUNT(scan_attributes),
                                   .infer = infer_scan,
                                   .gradient = gradient_cum_sum,
                                   .reference = reference_cum_sum};
const gm_operator gm_op_cum_prod = {.domain = "",
                                    .name = "CumProd",
                                    .since = 26,
                                    .inputs = "x axis",
                                    .outputs = "y",
                                    .types = SCANNED,
                                    .attributes = scan_attributes,
                                    .attribute_count = GM_COUNT(scan_attributes),
                                    .infer = infer_scan,
                                    .reference = reference_cum_prod};
