/* Operators on the bits of integers: BitShift, BitwiseAnd, BitwiseOr, BitwiseXor, BitwiseNot (all broadcast as NumPy
 * does), and BitCast, which reads the bits of any plain type as another of the same size. */
#include "ops/axes.h"

#include <string.h>

/* The bits of element i, zero-extended. */
static uint64_t bits_at(const gm_tensor *x, int64_t i)
{
    switch (gm_type_bytes(x->type)) {
    case 1:
        return ((const uint8_t *)x->data)[i];
    case 2:
        return ((const uint16_t *)x->data)[i];
    case 4:
        return ((const uint32_t *)x->data)[i];
    default:
        return ((const uint64_t *)x->data)[i];
    }
}

static void set_bits(const gm_tensor *y, int64_t i, uint64_t bits)
{
    switch (gm_type_bytes(y->type)) {
    case 1:
        ((uint8_t *)y->data)[i] = (uint8_t)bits;
        return;
    case 2:
        ((uint16_t *)y->data)[i] = (uint16_t)bits;
        return;
    case 4:
        ((uint32_t *)y->data)[i] = (uint32_t)bits;
        return;
    default:
        ((uint64_t *)y->data)[i] = bits;
    }
}

/* Element of x, broadcast to y, that belongs to element i of y. */
static int64_t broadcast_index(const gm_tensor *x, const gm_tensor *y, int64_t i)
{
    int64_t index = 0, stride = 1;
    for (int k = y->rank - 1, from = x->rank - 1; from >= 0; k--, from--) {
        index += x->dims[from] == 1 ? 0 : i % y->dims[k] * stride;
        stride *= x->dims[from];
        i /= y->dims[k];
    }
    return index;
}

typedef struct bit_form {
    int width;    /* bits of the type */
    bool sign;    /* has the type a sign? */
    bool to_left; /* BitShift */
} bit_form;

typedef uint64_t (*bit_rule)(uint64_t a, uint64_t b, const bit_form *form);

static uint64_t rule_and(uint64_t a, uint64_t b, const bit_form *form)
{
    return a & b;
}

static uint64_t rule_or(uint64_t a, uint64_t b, const bit_form *form)
{
    return a | b;
}

static uint64_t rule_xor(uint64_t a, uint64_t b, const bit_form *form)
{
    return a ^ b;
}

static uint64_t rule_not(uint64_t a, uint64_t b, const bit_form *form)
{
    return ~a;
}

/* A negative b has its highest bit set and so is at least the width, as ONNX treats it. */
static uint64_t rule_shift(uint64_t a, uint64_t b, const bit_form *form)
{
    bool negative = form->sign && (a >> (form->width - 1) & 1);
    uint64_t fill = negative ? ~(uint64_t)0 : 0;
    if (b >= (uint64_t)form->width)
        return form->to_left ? 0 : fill;
    if (form->to_left)
        return a << b;
    return b == 0 ? a : a >> b | fill << ((uint64_t)form->width - b);
}

static gm_status compute_bits(const gm_compute *compute, bit_rule rule)
{
    const gm_tensor *a = &compute->in[0], *b = &compute->in[compute->node->input_count - 1], *y = &compute->out[0];
    bit_form form = {(int)gm_type_bytes(y->type) * 8, gm_type_find(y->type)->is_signed,
                     gm_node_string(compute->node, "direction", "LEFT")[0] == 'L'};
    int64_t count = gm_tensor_count(y);
    for (int64_t i = 0; i < count; i++)
        set_bits(y, i, rule(bits_at(a, broadcast_index(a, y, i)), bits_at(b, broadcast_index(b, y, i)), &form));
    return GM_OK;
}

#define REFERENCE(name)                                                                                                \
    static gm_status reference_##name(const gm_compute *compute)                                                       \
    {                                                                                                                  \
        return compute_bits(compute, rule_##name);                                                                     \
    }
REFERENCE(and)
REFERENCE(or)
REFERENCE(xor)
REFERENCE(not )
REFERENCE(shift)

static gm_status infer_shift(gm_graph *graph, gm_node *node)
{
    const char *direction = gm_node_string(node, "direction", "");
    if (strcmp(direction, "LEFT") != 0 && strcmp(direction, "RIGHT") != 0)
        return gm_node_fail(graph, node, "direction must be LEFT or RIGHT, found '%s'", direction);
    return gm_infer_elementwise(graph, node);
}

/* https://onnx.ai/onnx/operators/onnx__BitwiseAnd.html and its kin; BitShift: onnx__BitShift.html (version 28: signed
 * types shift right with their sign) */
#define BITS(symbol, text, version, in, infer_rule, rule, ...)                                                         \
    const gm_operator symbol = {.domain = "",                                                                          \
                                .name = text,                                                                          \
                                .since = version,                                                                      \
                                .inputs = in,                                                                          \
                                .outputs = "Y",                                                                        \
                                .types = GM_TYPES_INTEGER,                                                             \
                                .infer = infer_rule,                                                                   \
                                .zero_gradient = true,                                                                 \
                                .reference = rule,                                                                     \
                                __VA_ARGS__}

static const gm_attribute_schema shift_attributes[] = {{"direction", GM_ATTRIBUTE_STRING, GM_REQUIRED, .s = NULL}};
BITS(gm_op_bitwise_and, "BitwiseAnd", 18, "A B", gm_infer_elementwise, reference_and, );
BITS(gm_op_bitwise_or, "BitwiseOr", 18, "A B", gm_infer_elementwise, reference_or, );
BITS(gm_op_bitwise_xor, "BitwiseXor", 18, "A B", gm_infer_elementwise, reference_xor, );
BITS(gm_op_bitwise_not, "BitwiseNot", 18, "X", gm_infer_unary, reference_not, );
BITS(gm_op_bit_shift, "BitShift", 28, "X Y", infer_shift, reference_shift, .attributes = shift_attributes,
     .attribute_count = GM_COUNT(shift_attributes));

/* --- BitCast -------------------------------------------------------------------------------------------------------- */

/* https://onnx.ai/onnx/operators/onnx__BitCast.html */
static gm_status infer_bit_cast(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    gm_type to = (gm_type)gm_node_int(node, "to", 0);
    size_t bytes = gm_type_bytes(x.type);
    if (!gm_type_bytes(to) || gm_type_bytes(to) != bytes)
        return gm_node_fail(graph, node, "%s has %zu bits; it cannot be read as %s, which has %zu",
                            gm_type_name(x.type), 8 * bytes, gm_type_name(to), 8 * gm_type_bytes(to));
    gm_set_output(graph, node, 0, to, x.rank, x.dims);
    return graph->status;
}

/* Elements read as bool become true or false, for nothing else is a bool here. */
static gm_status reference_bit_cast(const gm_compute *compute)
{
    const gm_tensor *y = &compute->out[0];
    uint8_t *flags = y->data;
    memcpy(y->data, compute->in[0].data, gm_tensor_bytes(y));
    for (int64_t i = 0, count = gm_tensor_count(y); y->type == GM_BOOL && i < count; i++)
        flags[i] = flags[i] != 0;
    return GM_OK;
}

static const gm_attribute_schema bit_cast_attributes[] = {{"to", GM_ATTRIBUTE_INT, GM_REQUIRED, .i = 0}};
const gm_operator gm_op_bit_cast = {.domain = "",
                                    .name = "BitCast",
                                    .since = 26,
                                    .inputs = "input",
                                    .outputs = "output",
                                    .types = GM_TYPES_NUMERIC | GM_TYPES(GM_BOOL),
                                    .attributes = bit_cast_attributes,
                                    .attribute_count = GM_COUNT(bit_cast_attributes),
                                    .infer = infer_bit_cast,
                                    .reference = reference_bit_cast};
