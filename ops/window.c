/* Windows of signal processing, and the matrix of mel bands. */
#include "ops/axes.h"

#include <math.h>
#include <string.h>

#define TWO_PI 6.283185307179586476925286766559

/* --- HannWindow, HammingWindow, BlackmanWindow --- */

/* https://onnx.ai/onnx/operators/onnx__HannWindow.html: size -> float[size] (output_datatype). */
static gm_status infer_window(gm_graph *graph, gm_node *node)
{
    const gm_value *size = gm_value_of(graph, node->inputs[0]);
    int64_t type = gm_node_int(node, "output_datatype", GM_FLOAT);
    const gm_type_info *info = gm_type_find((gm_type)type);
    const gm_dim *content;
    size_t count;
    gm_dim dim;
    if (!info || !(GM_TYPES_NUMERIC & GM_TYPES(info->type)))
        return gm_node_fail(graph, node, "output_datatype %lld is no type of numbers", (long long)type);
    if (size->rank > 1)
        return gm_node_fail(graph, node, "the size must be a scalar");
    if (gm_content_of(graph, node->inputs[0], &content, &count) && count == 1) {
        dim = content[0];
    } else {
        const gm_tensor *known = gm_infer_known(graph, node, 0);
        if (!known)
            return graph->status;
        dim = gm_tensor_count(known) == 1 ? gm_get_int(known, 0) : -1;
        if (dim < 0)
            return gm_node_fail(graph, node, "the size must be one number, not negative");
    }
    gm_set_output(graph, node, 0, info->type, 1, &dim);
    return graph->status;
}

/* a - b cos(2 pi n / N) + c cos(4 pi n / N), N the size (periodic) or one less */
static gm_status window(const gm_compute *compute, double a, double b, double c)
{
    const gm_tensor *y = &compute->out[0];
    int64_t size = y->dims[0];
    double period = (double)(gm_node_int(compute->node, "periodic", 1) ? size : size - 1);
    for (int64_t n = 0; n < size; n++) {
        double angle = period > 0 ? TWO_PI * (double)n / period : 0;
        gm_set(y, n, size == 1 && period < 1 ? 1 : a - b * cos(angle) + c * cos(2 * angle));
    }
    return GM_OK;
}

static gm_status reference_hann(const gm_compute *compute)
{
    return window(compute, 0.5, 0.5, 0);
}

static gm_status reference_hamming(const gm_compute *compute)
{
    return window(compute, 25.0 / 46, 21.0 / 46, 0);
}

static gm_status reference_blackman(const gm_compute *compute)
{
    return window(compute, 0.42, 0.5, 0.08);
}

static const gm_attribute_schema window_attributes[] = {{"periodic", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 1},
                                                        {"output_datatype", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 1}};

#define WINDOW(symbol, text, kernel)                                                                                   \
    const gm_operator symbol = {.domain = "",                                                                          \
                                .name = text,                                                                          \
                                .since = 17,                                                                           \
                                .inputs = "size",                                                                      \
                                .outputs = "output",                                                                   \
                                .types = GM_TYPES(GM_INT32) | GM_TYPES(GM_INT64),                                      \
                                .attributes = window_attributes,                                                       \
                                .attribute_count = GM_COUNT(window_attributes),                                        \
                                .infer = infer_window,                                                                 \
                                .zero_gradient = true,                                                                 \
                                .reference = kernel}
WINDOW(gm_op_hann_window, "HannWindow", reference_hann);
WINDOW(gm_op_hamming_window, "HammingWindow", reference_hamming);
WINDOW(gm_op_blackman_window, "BlackmanWindow", reference_blackman);

/* --- MelWeightMatrix --- */

#define MEL_INPUTS 5

/* num_mel_bins, dft_length, sample_rate, lower_edge_hertz, upper_edge_hertz */
static gm_status infer_mel(gm_graph *graph, gm_node *node)
{
    const gm_type_info *info = gm_type_find((gm_type)gm_node_int(node, "output_datatype", GM_FLOAT));
    double numbers[MEL_INPUTS];
    gm_dim dims[2];
    if (!info || !(GM_TYPES_NUMERIC & GM_TYPES(info->type)))
        return gm_node_fail(graph, node, "output_datatype is no type of numbers");
    for (size_t i = 0; i < MEL_INPUTS; i++) {
        const gm_tensor *known = gm_infer_known(graph, node, i);
        if (!known)
            return graph->status;
        if (gm_tensor_count(known) != 1)
            return gm_node_fail(graph, node, "input %zu must be a scalar", i + 1);
        numbers[i] = gm_get(known, 0);
    }
    if (!(numbers[0] >= 1 && numbers[0] <= 1e6 && numbers[1] >= 1 && numbers[1] <= 1e9 && numbers[2] >= 1) ||
        !(numbers[3] >= 0 && numbers[4] >= numbers[3]))
        return gm_node_fail(graph, node,
                            "needs at least one band, a length and a rate of at least 1, and edges in rising order");
    dims[0] = (int64_t)numbers[1] / 2 + 1;
    dims[1] = (int64_t)numbers[0];
    gm_set_output(graph, node, 0, info->type, 2, dims);
    return graph->status;
}

static double mel_of(double hertz)
{
    return 2595 * log10(1 + hertz / 700);
}

/* The row of the spectrum where band edge `index` lies. */
static int64_t edge(const gm_compute *compute, int64_t index)
{
    double bands = gm_get(&compute->in[0], 0), length = gm_get(&compute->in[1], 0), rate = gm_get(&compute->in[2], 0);
    double low = mel_of(gm_get(&compute->in[3], 0)), high = mel_of(gm_get(&compute->in[4], 0));
    double hertz = 700 * (pow(10, (low + (double)index * (high - low) / (bands + 2)) / 2595) - 1);
    return (int64_t)floor((length + 1) * hertz / rate);
}

/* https://onnx.ai/onnx/operators/onnx__MelWeightMatrix.html: triangles over the rows, a column a band. */
static gm_status reference_mel(const gm_compute *compute)
{
    const gm_tensor *y = &compute->out[0];
    int64_t rows = y->dims[0], bands = y->dims[1];
    for (int64_t i = 0; i < rows * bands; i++)
        gm_set(y, i, 0);
    for (int64_t band = 0; band < bands; band++) {
        int64_t low = edge(compute, band), centre = edge(compute, band + 1), high = edge(compute, band + 2);
        if (low == centre && centre < rows)
            gm_set(y, centre * bands + band, 1);
        for (int64_t j = low; low < centre && j <= centre && j < rows; j++)
            gm_set(y, j * bands + band, (double)(j - low) / (double)(centre - low));
        for (int64_t j = centre; centre < high && j < high && j < rows; j++)
            gm_set(y, j * bands + band, (double)(high - j) / (double)(high - centre));
    }
    return GM_OK;
}

static const gm_attribute_schema mel_attributes[] = {{"output_datatype", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 1}};

const gm_operator gm_op_mel_weight_matrix = {
    .domain = "",
    .name = "MelWeightMatrix",
    .since = 17,
    .inputs = "num_mel_bins dft_length sample_rate lower_edge_hertz upper_edge_hertz",
    .outputs = "output",
    .types = GM_TYPES(GM_INT32) | GM_TYPES(GM_INT64),
    .attributes = mel_attributes,
    .attribute_count = GM_COUNT(mel_attributes),
    .infer = infer_mel,
    .zero_gradient = true,
    .reference = reference_mel};
