/* Quantized arithmetic, made of other operators: QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear, MatMulInteger,
 * ConvInteger, QLinearMatMul, QLinearConv.
 *
 *   quantized    q = saturate(round(x / scale) + zero_point), rounded half to even
 *   dequantized  x = (q - zero_point) * scale
 *
 * A scale (and the zero point, which has its shape) is one number, a vector along `axis`, or, in blocks, a tensor like x with
 * ceil(D / block_size) entries along `axis`. The element types are int8, uint8, int16 and uint16 (int32 for dequantizing).
 * Products of integers are exact: int32, or double inside convolutions. */
#include "graph/operator.h"

#include <string.h>

#define GM_TYPES_BYTE      (GM_TYPES(GM_INT8) | GM_TYPES(GM_UINT8))
#define GM_TYPES_QUANTIZED (GM_TYPES_BYTE | GM_TYPES(GM_INT16) | GM_TYPES(GM_UINT16))
#define GM_TYPES_SCALE     (GM_TYPES_FLOATING | GM_TYPES(GM_INT32))

/* --- What they share ---------------------------------------------------------------------------------------------- */

static gm_value_id optional_input(const gm_node *node, size_t index)
{
    return index < node->input_count ? node->inputs[index] : 0;
}

static gm_type type_of(const gm_graph *graph, gm_value_id id)
{
    return gm_value_of(graph, id)->type;
}

static gm_value_id cast(gm_graph *graph, gm_value_id x, gm_type type)
{
    return type_of(graph, x) == type ? x : gm_emit1_with(graph, "Cast", x, gm_attribute_int("to", type));
}

static gm_status check_type(gm_graph *graph, const gm_node *node, size_t index, unsigned types, const char *expected)
{
    gm_value_id id = optional_input(node, index);
    if (id && !(types & GM_TYPES(type_of(graph, id))))
        return gm_node_fail(graph, node, "input %zu of (%s) must be %s, found %s", index + 1, node->op->inputs,
                            expected, gm_type_name(type_of(graph, id)));
    return GM_OK;
}

/* Rounded numbers (float or double) -> integers of `type` within its range, `zero` (or none) added before. */
static gm_value_id saturated(gm_graph *graph, gm_value_id rounded, gm_value_id zero, gm_type type)
{
    int bits = (int)gm_type_bytes(type) * 8 - (gm_type_find(type)->is_signed ? 1 : 0);
    double most = (double)((int64_t)1 << bits) - 1.0, least = gm_type_find(type)->is_signed ? -most - 1.0 : 0.0;
    if (zero)
        rounded = gm_emit2(graph, "Add", rounded, cast(graph, zero, type_of(graph, rounded)));
    rounded =
        gm_emit3(graph, "Clip", rounded, gm_scalar_like(graph, rounded, least), gm_scalar_like(graph, rounded, most));
    return cast(graph, rounded, type);
}

/* One number: a scalar, or a tensor of one element and rank 1. */
static bool is_single(const gm_graph *graph, gm_value_id id)
{
    const gm_value *value = gm_value_of(graph, id);
    return value->rank == 0 || (value->rank == 1 && value->dims[0] == 1);
}

/* A vector as a column: n axes of size 1 behind it. Single numbers stay as they are. */
static gm_value_id column(gm_graph *graph, gm_value_id vector, int n)
{
    int64_t axes[GM_MAX_RANK];
    if (!vector || is_single(graph, vector) || gm_value_of(graph, vector)->rank != 1)
        return vector;
    for (int i = 0; i < n; i++)
        axes[i] = i + 1;
    return gm_emit2(graph, "Unsqueeze", vector, gm_const_ints(graph, axes, (size_t)n));
}

/* --- Granularity of a scale --------------------------------------------------------------------------------------- */

static int64_t scale_axis(const gm_node *node, int rank)
{
    int64_t axis = rank == 1 ? 0 : gm_node_int(node, "axis", 1);
    return axis < 0 ? axis + rank : axis;
}

/* Blocks: the scale has x's shape but for ceil(D / block) entries along the axis. */
static gm_status check_blocks(gm_graph *graph, gm_node *node, const gm_value *x, const gm_value *scale, int64_t axis)
{
    int64_t block = gm_node_int(node, "block_size", 0);
    bool fits = scale->rank == x->rank;
    char a[160], b[160];
    for (int i = 0; fits && i < x->rank; i++)
        fits = i == axis || scale->dims[i] == x->dims[i];
    if (fits && !gm_dim_is_known(x->dims[axis]))
        return gm_node_fail(graph, node, "axis %lld, which is in blocks, must have a known size", (long long)axis);
    if (fits)
        fits = scale->dims[axis] == x->dims[axis] / block + (x->dims[axis] % block != 0);
    return fits ? GM_OK
                : gm_node_fail(graph, node, "a scale %s does not fit %s in blocks of %lld along axis %lld",
                               gm_shape_text(graph, node->inputs[1], a, sizeof a),
                               gm_shape_text(graph, node->inputs[0], b, sizeof b), (long long)block, (long long)axis);
}

static gm_status check_scale(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]), scale = *gm_value_of(graph, node->inputs[1]);
    int64_t block = gm_node_int(node, "block_size", 0), axis = scale_axis(node, x.rank);
    const gm_value *zero = optional_input(node, 2) ? gm_value_of(graph, node->inputs[2]) : NULL;
    char a[160], b[160];
    if (zero && (zero->rank != scale.rank || memcmp(zero->dims, scale.dims, (size_t)zero->rank * sizeof(gm_dim)) != 0))
        return gm_node_fail(graph, node, "the zero point %s and the scale %s have different shapes",
                            gm_shape_text(graph, node->inputs[2], a, sizeof a),
                            gm_shape_text(graph, node->inputs[1], b, sizeof b));
    if (block < 0)
        return gm_node_fail(graph, node, "block_size must not be negative, found %lld", (long long)block);
    if (is_single(graph, node->inputs[1]) && !block)
        return GM_OK;
    if (axis < 0 || axis >= x.rank)
        return gm_node_fail(graph, node, "axis %lld is outside [%d, %d)", (long long)gm_node_int(node, "axis", 1),
                            -x.rank, x.rank);
    if (block)
        return check_blocks(graph, node, &x, &scale, axis);
    if (scale.rank != 1 || scale.dims[0] != x.dims[axis])
        return gm_node_fail(graph, node, "a scale %s fits neither %s nor its axis %lld; for blocks give block_size",
                            gm_shape_text(graph, node->inputs[1], a, sizeof a),
                            gm_shape_text(graph, node->inputs[0], b, sizeof b), (long long)axis);
    return GM_OK;
}

/* Scale or zero point in a shape that broadcasts to x. */
static gm_value_id spread(gm_graph *graph, const gm_node *node, gm_value_id value)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    int64_t block = gm_node_int(node, "block_size", 0), axis = scale_axis(node, x.rank), *of;
    if (!value || (is_single(graph, value) && !block))
        return value;
    if (!block)
        return column(graph, value, x.rank - 1 - (int)axis);
    of = gm_pool_array(graph->pool, (size_t)x.dims[axis] + 1, sizeof *of);
    if (!of) {
        graph->status = GM_ERROR_MEMORY;
        return 0;
    }
    for (int64_t i = 0; i < x.dims[axis]; i++)
        of[i] = i / block;
    return gm_emit2_with(graph, "Gather", value, gm_const_ints(graph, of, (size_t)x.dims[axis]),
                         gm_attribute_int("axis", axis));
}

/* --- QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear ------------------------------------------------------ */

static gm_type quantized_type(const gm_graph *graph, const gm_node *node)
{
    gm_value_id zero = optional_input(node, 2);
    int64_t told = gm_node_int(node, "output_dtype", 0);
    return zero ? type_of(graph, zero) : told ? (gm_type)told : GM_UINT8;
}

static bool is_of(unsigned types, int64_t type)
{
    return type >= 0 && type < 32 && (types & 1u << type);
}

static gm_status infer_quantize(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    int64_t told = gm_node_int(node, "output_dtype", 0), precision = gm_node_int(node, "precision", 0);
    gm_type type = quantized_type(graph, node);
    GM_TRY(check_type(graph, node, 1, GM_TYPES_SCALE, "floating or int32"));
    GM_TRY(check_type(graph, node, 2, GM_TYPES_QUANTIZED, "int8, uint8, int16 or uint16"));
    if (!is_of(GM_TYPES_QUANTIZED, (int64_t)type))
        return gm_node_fail(graph, node,
                            "output_dtype must be int8, uint8, int16 or uint16 (%d, %d, %d, %d), found %lld", GM_INT8,
                            GM_UINT8, GM_INT16, GM_UINT16, (long long)told);
    if (told && told != (int64_t)type)
        return gm_node_fail(graph, node, "output_dtype is %s and the zero point %s; they must be equal",
                            gm_type_name((gm_type)told), gm_type_name(type));
    if (precision && !is_of(GM_TYPES_FLOATING, precision))
        return gm_node_fail(graph, node, "precision must be a floating type, found %lld", (long long)precision);
    GM_TRY(check_scale(graph, node));
    gm_set_output(graph, node, 0, type, x.rank, x.dims);
    return graph->status;
}

/* https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html: the division is in the type of the scale (double for int32) or
 * that of `precision`; the zero point is added in float, where every integer of 16 bits is exact. */
static gm_status expand_quantize(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_type type = (gm_type)gm_node_int(node, "precision", 0), result = quantized_type(graph, node);
    gm_value_id scale = spread(graph, node, node->inputs[1]), zero = spread(graph, node, optional_input(node, 2)), x;
    GM_TRY(graph->status);
    if (type == GM_TYPE_UNDEFINED)
        type = type_of(graph, scale) == GM_INT32 ? GM_DOUBLE : type_of(graph, scale);
    x = gm_emit2(graph, "Div", cast(graph, node->inputs[0], type), cast(graph, scale, type));
    x = cast(graph, gm_emit1(graph, "Round", x), type == GM_DOUBLE ? type : GM_FLOAT);
    outputs[0] = saturated(graph, x, zero, result);
    return graph->status;
}

static gm_status infer_dequantize(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    int64_t told = gm_node_int(node, "output_dtype", 0);
    GM_TRY(check_type(graph, node, 1, GM_TYPES_FLOATING, "floating"));
    GM_TRY(check_type(graph, node, 2, GM_TYPES(x.type), gm_type_name(x.type)));
    if (told && !is_of(GM_TYPES_FLOATING, told))
        return gm_node_fail(graph, node, "output_dtype must be a floating type, found %lld", (long long)told);
    GM_TRY(check_scale(graph, node));
    gm_set_output(graph, node, 0, told ? (gm_type)told : type_of(graph, node->inputs[1]), x.rank, x.dims);
    return graph->status;
}

/* https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html. At least in float; int32, which float does not hold exactly, in
 * double. */
static gm_status expand_dequantize(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value_id scale = spread(graph, node, node->inputs[1]), zero = spread(graph, node, optional_input(node, 2)), x;
    gm_type told = (gm_type)gm_node_int(node, "output_dtype", 0), type;
    GM_TRY(graph->status);
    type = type_of(graph, node->inputs[0]) == GM_INT32 || type_of(graph, scale) == GM_DOUBLE ? GM_DOUBLE : GM_FLOAT;
    x = cast(graph, node->inputs[0], type);
    if (zero)
        x = gm_emit2(graph, "Sub", x, cast(graph, zero, type));
    x = gm_emit2(graph, "Mul", x, cast(graph, scale, type));
    outputs[0] = cast(graph, x, told ? told : type_of(graph, scale));
    return graph->status;
}

static gm_status infer_dynamic(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    gm_set_output(graph, node, 0, GM_UINT8, x.rank, x.dims);
    gm_set_output(graph, node, 1, GM_FLOAT, 0, NULL);
    gm_set_output(graph, node, 2, GM_UINT8, 0, NULL);
    return graph->status;
}

/* https://onnx.ai/onnx/operators/onnx__DynamicQuantizeLinear.html: the range of x, widened to hold 0, over 0 ... 255. A range
 * of nothing counts as 1. */
static gm_status expand_dynamic(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value_id x = node->inputs[0], zero = gm_const_scalar(graph, GM_FLOAT, 0.0), flat, range, scale, middle;
    gm_attribute drop = gm_attribute_int("keepdims", 0);
    gm_value_id most = gm_emit2(graph, "Max", gm_emit1_with(graph, "ReduceMax", x, drop), zero);
    gm_value_id least = gm_emit2(graph, "Min", gm_emit1_with(graph, "ReduceMin", x, drop), zero);
    range = gm_emit2(graph, "Sub", most, least);
    flat = gm_emit2(graph, "Equal", range, zero);
    range = gm_emit3(graph, "Where", flat, gm_const_scalar(graph, GM_FLOAT, 1.0), range);
    scale = gm_emit2(graph, "Div", range, gm_const_scalar(graph, GM_FLOAT, 255.0));
    middle = gm_emit1(graph, "Neg", gm_emit2(graph, "Div", least, scale));
    middle = saturated(graph, gm_emit1(graph, "Round", middle), 0, GM_UINT8);
    outputs[0] = saturated(graph, gm_emit1(graph, "Round", gm_emit2(graph, "Div", x, scale)), middle, GM_UINT8);
    if (node->output_count > 1)
        outputs[1] = scale;
    if (node->output_count > 2)
        outputs[2] = middle;
    return graph->status;
}

static const gm_attribute_schema quantize_attributes[] = {
    {"axis", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 1},
    {"block_size", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0},
    {"output_dtype", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0},
    {"precision", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0},
    {"saturate", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 1}}; /* of float8 only */
const gm_operator gm_op_quantize_linear = {.domain = "",
                                           .name = "QuantizeLinear",
                                           .since = 28,
                                           .inputs = "x y_scale y_zero_point?",
                                           .outputs = "y",
                                           .types = GM_TYPES_SCALE,
                                           .attributes = quantize_attributes,
                                           .attribute_count = GM_COUNT(quantize_attributes),
                                           .infer = infer_quantize,
                                           .zero_gradient = true,
                                           .expand = expand_quantize};
const gm_operator gm_op_dequantize_linear = {.domain = "",
                                             .name = "DequantizeLinear",
                                             .since = 28,
                                             .inputs = "x x_scale x_zero_point?",
                                             .outputs = "y",
                                             .types = GM_TYPES_QUANTIZED | GM_TYPES(GM_INT32),
                                             .attributes = quantize_attributes,
                                             .attribute_count = 3,
                                             .infer = infer_dequantize,
                                             .expand = expand_dequantize};
const gm_operator gm_op_dynamic_quantize_linear = {.domain = "",
                                                   .name = "DynamicQuantizeLinear",
                                                   .since = 11,
                                                   .inputs = "x",
                                                   .outputs = "y y_scale y_zero_point",
                                                   .types = GM_TYPES(GM_FLOAT),
                                                   .infer = infer_dynamic,
                                                   .zero_gradient = true,
                                                   .expand = expand_dynamic};

/* --- MatMulInteger, QLinearMatMul --------------------------------------------------------------------------------- */

/* Scale or zero point `index` of the matrix of input `of`: one number; a vector, an entry per row of A (per column of B);
 * or [..., M, 1] ([..., 1, N]) for a stack of matrices. */
static gm_status check_rows(gm_graph *graph, gm_node *node, size_t index, size_t of, bool rows)
{
    gm_value_id id = optional_input(node, index);
    gm_value matrix = *gm_value_of(graph, node->inputs[of]), value;
    bool fits;
    char a[160], b[160];
    if (!id || is_single(graph, id))
        return GM_OK;
    value = *gm_value_of(graph, id);
    fits = matrix.rank >= 2 && (value.rank == 1 || value.rank == matrix.rank);
    if (fits && value.rank == 1)
        fits = value.dims[0] == matrix.dims[matrix.rank - (rows ? 2 : 1)];
    for (int i = 0; fits && value.rank > 1 && i < value.rank; i++)
        fits = value.dims[i] == 1 || (value.dims[i] == matrix.dims[i] && i != matrix.rank - (rows ? 1 : 2));
    return fits ? GM_OK
                : gm_node_fail(graph, node, "input %zu of (%s), %s, is neither one number nor one per %s of %s",
                               index + 1, node->op->inputs, gm_shape_text(graph, id, a, sizeof a),
                               rows ? "row" : "column", gm_shape_text(graph, node->inputs[of], b, sizeof b));
}

/* Input `of` in `type` without its zero point. */
static gm_value_id centred(gm_graph *graph, const gm_node *node, size_t of, gm_value_id zero, gm_type type)
{
    gm_value_id x = cast(graph, node->inputs[of], type);
    return zero ? gm_emit2(graph, "Sub", x, cast(graph, zero, type)) : x;
}

static gm_status infer_matmul_integer(gm_graph *graph, gm_node *node)
{
    gm_type a = type_of(graph, node->inputs[0]), b = type_of(graph, node->inputs[1]);
    GM_TRY(check_type(graph, node, 1, GM_TYPES_BYTE, "int8 or uint8"));
    GM_TRY(check_type(graph, node, 2, GM_TYPES(a), gm_type_name(a)));
    GM_TRY(check_type(graph, node, 3, GM_TYPES(b), gm_type_name(b)));
    GM_TRY(check_rows(graph, node, 2, 0, true));
    return check_rows(graph, node, 3, 1, false);
}

/* https://onnx.ai/onnx/operators/onnx__MatMulInteger.html */
static gm_status expand_matmul_integer(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value_id a = centred(graph, node, 0, column(graph, optional_input(node, 2), 1), GM_INT32);
    outputs[0] = gm_emit2(graph, "MatMul", a, centred(graph, node, 1, optional_input(node, 3), GM_INT32));
    return graph->status;
}

/* Inputs a_scale a_zero_point, b_scale b_zero_point, y_scale y_zero_point stand at 1, 4 and 6 in both QLinear operators. */
static gm_status check_qlinear(gm_graph *graph, gm_node *node)
{
    gm_type a = type_of(graph, node->inputs[0]), b = type_of(graph, node->inputs[3]);
    for (size_t i = 1; i < 7; i += i == 1 ? 3 : 2)
        GM_TRY(check_type(graph, node, i, GM_TYPES_FLOATING, "floating"));
    GM_TRY(check_type(graph, node, 2, GM_TYPES(a), gm_type_name(a)));
    GM_TRY(check_type(graph, node, 3, GM_TYPES_BYTE, "int8 or uint8"));
    GM_TRY(check_type(graph, node, 5, GM_TYPES(b), gm_type_name(b)));
    GM_TRY(check_type(graph, node, 7, GM_TYPES_BYTE, "int8 or uint8"));
    for (size_t i = 6; i < 8; i++)
        if (!is_single(graph, node->inputs[i]))
            return gm_node_fail(graph, node, "input %zu of (%s) must be one number", i + 1, node->op->inputs);
    return GM_OK;
}

/* saturate(round(sum * (a_scale b_scale / y_scale)) + y_zero_point): the factor in float, the product in double. */
static gm_value_id requantized(gm_graph *graph, const gm_node *node, gm_value_id sum, gm_value_id a_scale,
                               gm_value_id b_scale)
{
    gm_value_id factor = gm_emit2(graph, "Mul", cast(graph, a_scale, GM_FLOAT), cast(graph, b_scale, GM_FLOAT));
    factor = gm_emit2(graph, "Div", factor, cast(graph, node->inputs[6], GM_FLOAT));
    sum = gm_emit2(graph, "Mul", cast(graph, sum, GM_DOUBLE), cast(graph, factor, GM_DOUBLE));
    return saturated(graph, gm_emit1(graph, "Round", sum), node->inputs[7], type_of(graph, node->inputs[7]));
}

static gm_status infer_qlinear_matmul(gm_graph *graph, gm_node *node)
{
    GM_TRY(check_qlinear(graph, node));
    for (size_t i = 1; i < 3; i++) {
        GM_TRY(check_rows(graph, node, i, 0, true));
        GM_TRY(check_rows(graph, node, i + 3, 3, false));
    }
    return GM_OK;
}

/* https://onnx.ai/onnx/operators/onnx__QLinearMatMul.html */
static gm_status expand_qlinear_matmul(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_value_id a = centred(graph, node, 0, column(graph, node->inputs[2], 1), GM_INT32);
    gm_value_id sum = gm_emit2(graph, "MatMul", a, centred(graph, node, 3, node->inputs[5], GM_INT32));
    outputs[0] = requantized(graph, node, sum, column(graph, node->inputs[1], 1), node->inputs[4]);
    return graph->status;
}

/* --- ConvInteger, QLinearConv ------------------------------------------------------------------------------------- */

/* Input `index` is one number, or (channels) a vector with one entry per output channel of the weights, input `weights`. */
static gm_status check_per_channel(gm_graph *graph, gm_node *node, size_t index, size_t weights, bool channels)
{
    gm_value_id id = optional_input(node, index);
    const gm_value *value, *w = gm_value_of(graph, node->inputs[weights]);
    char a[160];
    if (!id || is_single(graph, id))
        return GM_OK;
    value = gm_value_of(graph, id);
    if (channels && w->rank > 0 && value->rank == 1 && value->dims[0] == w->dims[0])
        return GM_OK;
    return gm_node_fail(graph, node, "input %zu of (%s) must be one number%s, found %s", index + 1, node->op->inputs,
                        channels ? " or one per output channel" : "", gm_shape_text(graph, id, a, sizeof a));
}

/* Conv in double of both inputs without their zero points: so the pads, which are zeros, stand for the zero point. */
static gm_value_id integer_conv(gm_graph *graph, const gm_node *node, size_t weights, gm_value_id x_zero,
                                gm_value_id w_zero, gm_value_id bias)
{
    gm_value_id x = centred(graph, node, 0, x_zero, GM_DOUBLE);
    gm_value_id zero = column(graph, w_zero, gm_value_of(graph, node->inputs[weights])->rank - 1);
    gm_value_id inputs[3] = {x, centred(graph, node, weights, zero, GM_DOUBLE)};
    if (bias)
        inputs[2] = cast(graph, bias, GM_DOUBLE);
    return gm_emit(graph, "Conv", inputs, bias ? 3 : 2, node->attributes, node->attribute_count);
}

static gm_status infer_conv_integer(gm_graph *graph, gm_node *node)
{
    gm_type x = type_of(graph, node->inputs[0]), w = type_of(graph, node->inputs[1]);
    GM_TRY(check_type(graph, node, 1, GM_TYPES_BYTE, "int8 or uint8"));
    GM_TRY(check_type(graph, node, 2, GM_TYPES(x), gm_type_name(x)));
    GM_TRY(check_type(graph, node, 3, GM_TYPES(w), gm_type_name(w)));
    GM_TRY(check_per_channel(graph, node, 2, 1, false));
    return check_per_channel(graph, node, 3, 1, true);
}

/* https://onnx.ai/onnx/operators/onnx__ConvInteger.html */
static gm_status expand_conv_integer(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    outputs[0] =
        cast(graph, integer_conv(graph, node, 1, optional_input(node, 2), optional_input(node, 3), 0), GM_INT32);
    return graph->status;
}

static gm_status infer_qlinear_conv(gm_graph *graph, gm_node *node)
{
    GM_TRY(check_qlinear(graph, node));
    GM_TRY(check_type(graph, node, 8, GM_TYPES(GM_INT32), "int32"));
    for (size_t i = 1; i < 3; i++) {
        GM_TRY(check_per_channel(graph, node, i, 3, false));
        GM_TRY(check_per_channel(graph, node, i + 3, 3, true));
    }
    return GM_OK;
}

/* https://onnx.ai/onnx/operators/onnx__QLinearConv.html: the bias counts in units of x_scale * w_scale. */
static gm_status expand_qlinear_conv(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    int spatial = gm_value_of(graph, node->inputs[0])->rank - 2;
    gm_value_id sum = integer_conv(graph, node, 3, node->inputs[2], node->inputs[5], optional_input(node, 8));
    outputs[0] = requantized(graph, node, sum, node->inputs[1], column(graph, node->inputs[4], spatial));
    return graph->status;
}

#define INTEGER(symbol, text, set, in, name_of_output, rule, ...)                                                      \
    const gm_operator symbol = {.domain = "",                                                                          \
                                .name = text,                                                                          \
                                .since = set,                                                                          \
                                .flags = GM_OP_HEAVY,                                                                  \
                                .inputs = in,                                                                          \
                                .outputs = name_of_output,                                                             \
                                .types = GM_TYPES_BYTE,                                                                \
                                .zero_gradient = true,                                                                 \
                                .infer = infer_##rule,                                                                 \
                                .expand = expand_##rule,                                                               \
                                __VA_ARGS__}
static const gm_attribute_schema conv_attributes[] = {{"auto_pad", GM_ATTRIBUTE_STRING, GM_DEFAULT, .s = "NOTSET"},
                                                      {"dilations", GM_ATTRIBUTE_INTS, GM_OPTIONAL, .i = 0},
                                                      {"group", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 1},
                                                      {"kernel_shape", GM_ATTRIBUTE_INTS, GM_OPTIONAL, .i = 0},
                                                      {"pads", GM_ATTRIBUTE_INTS, GM_OPTIONAL, .i = 0},
                                                      {"strides", GM_ATTRIBUTE_INTS, GM_OPTIONAL, .i = 0}};
#define QLINEAR_INPUTS(a, b) a " " a "_scale " a "_zero_point " b " " b "_scale " b "_zero_point y_scale y_zero_point"

INTEGER(gm_op_matmul_integer, "MatMulInteger", 10, "A B a_zero_point? b_zero_point?", "Y", matmul_integer,
        .attributes = NULL);
INTEGER(gm_op_qlinear_matmul, "QLinearMatMul", 21, QLINEAR_INPUTS("a", "b"), "y", qlinear_matmul, .attributes = NULL);
INTEGER(gm_op_conv_integer, "ConvInteger", 10, "x w x_zero_point? w_zero_point?", "y", conv_integer,
        .attributes = conv_attributes, .attribute_count = GM_COUNT(conv_attributes));
INTEGER(gm_op_qlinear_conv, "QLinearConv", 10, QLINEAR_INPUTS("x", "w") " B?", "y", qlinear_conv,
        .attributes = conv_attributes, .attribute_count = GM_COUNT(conv_attributes));
