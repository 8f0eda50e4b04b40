/* DFT and STFT, by the definition: real and imaginary parts lie along the last axis (1: real only, 2: both). */
#include "ops/axes.h"

#include <math.h>
#include <string.h>

#define TWO_PI 6.283185307179586476925286766559

/* The number behind an optional scalar; `fallback` where it is left out. False: not known, which was told. */
static bool scalar_input(gm_graph *graph, gm_node *node, size_t input, int64_t fallback, int64_t *out)
{
    const gm_tensor *known;
    *out = fallback;
    if (node->input_count <= input || !node->inputs[input])
        return true;
    if (!(known = gm_infer_known(graph, node, input)))
        return false;
    if (gm_tensor_count(known) != 1)
        return gm_node_fail(graph, node, "input %zu must be a scalar", input + 1), false;
    *out = gm_get_int(known, 0);
    return true;
}

/* --- DFT --- */

/* https://onnx.ai/onnx/operators/onnx__DFT.html: x[.., n, .., 1 or 2], dft_length?, axis? */
static gm_status infer_dft(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    bool inverse = gm_node_int(node, "inverse", 0) != 0, onesided = gm_node_int(node, "onesided", 0) != 0;
    int64_t axis, length;
    int at;
    if (x.rank < 2 || (x.dims[x.rank - 1] != 1 && x.dims[x.rank - 1] != 2))
        return gm_node_fail(graph, node, "the last axis must be 1 (real) or 2 (complex)");
    if (!scalar_input(graph, node, 2, -2, &axis))
        return graph->status;
    GM_TRY(gm_infer_axis(graph, node, axis, x.rank, &at));
    if (at == x.rank - 1)
        return gm_node_fail(graph, node, "the last axis holds real and imaginary parts, it cannot be transformed");
    if (onesided && x.dims[x.rank - 1] != (inverse ? 2 : 1))
        return gm_node_fail(graph, node, "onesided needs a %s signal", inverse ? "complex" : "real");
    if (!gm_dim_is_known(x.dims[at]))
        return gm_node_fail(graph, node, "the length of the signal must be known");
    if (!scalar_input(graph, node, 1, onesided && inverse ? 2 * (x.dims[at] - 1) : x.dims[at], &length))
        return graph->status;
    if (length < 1 || length > INT32_MAX)
        return gm_node_fail(graph, node, "a transform of length %lld is not possible", (long long)length);
    x.dims[at] = onesided && !inverse ? length / 2 + 1 : length;
    x.dims[x.rank - 1] = onesided && inverse ? 1 : 2;
    gm_set_output(graph, node, 0, x.type, x.rank, x.dims);
    return graph->status;
}

typedef struct line { /* a signal inside a tensor */
    const gm_tensor *tensor;
    int64_t start, stride, count, parts;
} line;

static void read_line(const line *signal, int64_t n, double *real, double *imaginary)
{
    int64_t at = signal->start + n * signal->stride;
    *real = n < signal->count ? gm_get(signal->tensor, at) : 0;
    *imaginary = n < signal->count && signal->parts == 2 ? gm_get(signal->tensor, at + 1) : 0;
}

/* Frequency k of a transform of `length`; sign -1 forward, +1 back. `half`: of a real signal only the first half is there.*/
static void transform(const line *signal, int64_t length, int64_t k, int sign, bool half, double *real,
                      double *imaginary)
{
    *real = *imaginary = 0;
    for (int64_t n = 0; n < length; n++) {
        int64_t from = half && n > length / 2 ? length - n : n;
        double angle = sign * TWO_PI * (double)(k * n % length) / (double)length, re, im;
        read_line(signal, from, &re, &im);
        im = from == n ? im : -im;
        *real += re * cos(angle) - im * sin(angle);
        *imaginary += re * sin(angle) + im * cos(angle);
    }
}

static gm_status reference_dft(const gm_compute *compute)
{
    const gm_tensor *x = &compute->in[0], *y = &compute->out[0];
    bool inverse = gm_node_int(compute->node, "inverse", 0) != 0;
    bool onesided = gm_node_int(compute->node, "onesided", 0) != 0;
    int64_t axis = compute->node->input_count > 2 && compute->in[2].data ? gm_get_int(&compute->in[2], 0) : -2;
    int64_t given = compute->node->input_count > 1 && compute->in[1].data ? gm_get_int(&compute->in[1], 0) : 0;
    int at = (int)(axis < 0 ? axis + x->rank : axis);
    int64_t parts = x->dims[x->rank - 1], out_parts = y->dims[y->rank - 1], inner = 1, outer = 1, length;
    for (int i = 0; i < at; i++)
        outer *= x->dims[i];
    for (int i = at + 1; i < x->rank - 1; i++)
        inner *= x->dims[i];
    length = given ? given : onesided && inverse ? 2 * (x->dims[at] - 1) : x->dims[at];
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            line signal = {x, (o * x->dims[at] * inner + i) * parts, inner * parts, x->dims[at], parts};
            for (int64_t k = 0; k < y->dims[at]; k++) {
                int64_t to = ((o * y->dims[at] + k) * inner + i) * out_parts;
                double real, imaginary, scale = inverse ? 1 / (double)length : 1;
                transform(&signal, length, k, inverse ? 1 : -1, onesided && inverse, &real, &imaginary);
                gm_set(y, to, real * scale);
                if (out_parts == 2)
                    gm_set(y, to + 1, imaginary * scale);
            }
        }
    return GM_OK;
}

static const gm_attribute_schema dft_attributes[] = {{"inverse", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0},
                                                     {"onesided", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0}};

/* Before 20 the axis is an attribute, 1 where it is not given. */
static const gm_older dft_older[] = {{20, GM_OLDER_ATTRIBUTE, "axis", .i = 0}, {0}};

static gm_status dft_upgrade(gm_older_node *node)
{
    const gm_attribute *axis = gm_older_attribute(node, "axis");
    while (node->input_count < 3)
        node->inputs[node->input_count++] = 0;
    if (!node->inputs[2])
        node->inputs[2] = gm_const_scalar(node->graph, GM_INT64, axis ? (double)axis->i : 1);
    return node->graph->status;
}

const gm_operator gm_op_dft = {.domain = "",
                               .name = "DFT",
                               .since = 20,
                               .flags = GM_OP_HEAVY,
                               .inputs = "input dft_length? axis?",
                               .outputs = "output",
                               .types = GM_TYPES_FLOATING,
                               .attributes = dft_attributes,
                               .attribute_count = GM_COUNT(dft_attributes),
                               .older = dft_older,
                               .upgrade = dft_upgrade,
                               .infer = infer_dft,
                               .reference = reference_dft};

/* --- STFT --- */

/* https://onnx.ai/onnx/operators/onnx__STFT.html: signal[B, n, 1 or 2] -> [B, frames, bins, 2] */
static gm_status infer_stft(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    bool has_window = node->input_count > 2 && node->inputs[2];
    gm_dim dims[4] = {0, 0, 0, 2};
    int64_t step, length, fallback;
    bool onesided = gm_node_int(node, "onesided", 1) != 0;
    if (x.rank != 3 || (x.dims[2] != 1 && x.dims[2] != 2) || !gm_dim_is_known(x.dims[1]))
        return gm_node_fail(graph, node, "the signal must be [batch, length, 1 or 2] of a known length");
    fallback = x.dims[1];
    if (has_window) {
        const gm_value *window = gm_value_of(graph, node->inputs[2]);
        if (window->rank != 1 || !gm_dim_is_known(window->dims[0]))
            return gm_node_fail(graph, node, "the window must be a vector of a known length");
        fallback = window->dims[0];
    }
    if (!scalar_input(graph, node, 1, 1, &step) || !scalar_input(graph, node, 3, fallback, &length))
        return graph->status;
    if (step < 1 || length < 1 || length > x.dims[1] || (has_window && length != fallback))
        return gm_node_fail(graph, node, "frames of %lld, %lld apart, do not fit a signal of %lld%s", (long long)length,
                            (long long)step, (long long)x.dims[1], has_window ? " and the window" : "");
    dims[0] = x.dims[0];
    dims[1] = (x.dims[1] - length) / step + 1;
    dims[2] = onesided && x.dims[2] == 1 ? length / 2 + 1 : length;
    gm_set_output(graph, node, 0, x.type, 4, dims);
    return graph->status;
}

static gm_status reference_stft(const gm_compute *compute)
{
    const gm_tensor *x = &compute->in[0], *y = &compute->out[0];
    const gm_tensor *window = compute->node->input_count > 2 && compute->in[2].data ? &compute->in[2] : NULL;
    const gm_tensor *given = compute->node->input_count > 3 && compute->in[3].data ? &compute->in[3] : NULL;
    int64_t parts = x->dims[2], step = gm_get_int(&compute->in[1], 0);
    int64_t length = given ? gm_get_int(given, 0) : window ? window->dims[0] : x->dims[1], two = 2;
    gm_tensor *frame;
    gm_pool *pool = gm_pool_create(compute->context);
    frame = pool ? gm_tensor_create(pool, GM_DOUBLE, 2, (int64_t[]){length, two}) : NULL;
    for (int64_t b = 0; frame && b < y->dims[0] * y->dims[1]; b++) {
        int64_t start = (b / y->dims[1] * x->dims[1] + b % y->dims[1] * step) * parts;
        line signal = {frame, 0, 2, length, 2};
        for (int64_t n = 0; n < length; n++) {
            double factor = window ? gm_get(window, n) : 1;
            gm_set(frame, 2 * n, factor * gm_get(x, start + n * parts));
            gm_set(frame, 2 * n + 1, parts == 2 ? factor * gm_get(x, start + n * parts + 1) : 0);
        }
        for (int64_t k = 0; k < y->dims[2]; k++) {
            double real, imaginary;
            transform(&signal, length, k, -1, false, &real, &imaginary);
            gm_set(y, (b * y->dims[2] + k) * 2, real);
            gm_set(y, (b * y->dims[2] + k) * 2 + 1, imaginary);
        }
    }
    gm_pool_destroy(pool);
    return frame ? GM_OK : GM_ERROR_MEMORY;
}

static const gm_attribute_schema stft_attributes[] = {{"onesided", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 1}};

const gm_operator gm_op_stft = {.domain = "",
                                .name = "STFT",
                                .since = 17,
                                .flags = GM_OP_HEAVY,
                                .inputs = "signal frame_step window? frame_length?",
                                .outputs = "output",
                                .types = GM_TYPES_FLOATING,
                                .attributes = stft_attributes,
                                .attribute_count = GM_COUNT(stft_attributes),
                                .infer = infer_stft,
                                .reference = reference_stft};
