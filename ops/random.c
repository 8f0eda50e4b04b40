/* Random draws: normal, uniform, dropout masks. The numbers are those of ops/philox.h, by the element's row-major
 * index, the node's path, the seed and the run: they do not depend on threads, layouts or what else is in the graph. */
#include "ops/philox.h"
#include "ops/tile.h"

#include <math.h>
#include <string.h>

#define CHUNK 4096 /* elements that one thread draws at a time: a multiple of 64 */

/* --- RandomNormal, RandomUniform and their Like forms
 * ------------------------------------------------------------------ */

static bool is_normal(const gm_node *node)
{
    return strncmp(node->op->name, "RandomNormal", 12) == 0;
}

/* y = offset + factor * (normal or uniform) */
static void affine(const gm_node *node, double *offset, double *factor)
{
    if (is_normal(node)) {
        *offset = gm_node_float(node, "mean", 0.0);
        *factor = gm_node_float(node, "scale", 1.0);
    } else {
        *offset = gm_node_float(node, "low", 0.0);
        *factor = gm_node_float(node, "high", 1.0) - *offset;
    }
}

static gm_status draw_type(gm_graph *graph, gm_node *node, gm_type fallback, gm_type *type_out)
{
    gm_type type = (gm_type)gm_node_int(node, "dtype", (int64_t)fallback);
    if ((unsigned)type >= 32 || !(GM_TYPES_FLOATING & GM_TYPES(type)))
        return gm_node_fail(graph, node, "dtype must be a floating type, found %s", gm_type_name(type));
    *type_out = type;
    return GM_OK;
}

static gm_status draw_infer(gm_graph *graph, gm_node *node)
{
    const int64_t *shape;
    size_t rank = gm_node_ints(node, "shape", &shape);
    gm_dim dims[GM_MAX_RANK];
    gm_type type = GM_FLOAT;
    GM_TRY(draw_type(graph, node, GM_FLOAT, &type));
    if (rank > GM_MAX_RANK)
        return gm_node_fail(graph, node, "shape has %zu axes; at most %d are supported", rank, GM_MAX_RANK);
    for (size_t i = 0; i < rank; i++)
        dims[i] = shape[i];
    gm_set_output(graph, node, 0, type, (int)rank, dims);
    return graph->status;
}

static gm_status draw_like_infer(gm_graph *graph, gm_node *node)
{
    gm_value like = *gm_value_of(graph, node->inputs[0]);
    gm_type type = GM_FLOAT;
    GM_TRY(draw_type(graph, node, like.type, &type));
    gm_set_output(graph, node, 0, type, like.rank, like.dims);
    return graph->status;
}

static void draw_chunk(bool normal, double offset, double factor, uint64_t key, uint64_t run, uint64_t first,
                       size_t count, float *out)
{
    float scale = (float)factor, shift = (float)offset;
    if (normal)
        gm_normal(key, run, first, count, out);
    else
        gm_uniform(key, run, first, count, out);
    if (scale == 1.0f && shift == 0.0f)
        return;
    for (size_t i = 0; i < count; i++)
        out[i] = shift + scale * out[i];
}

/* float: the same float32 arithmetic as the fast kernel; other types in double. */
static gm_status draw_reference(const gm_compute *compute)
{
    const gm_tensor *out = &compute->out[0];
    int64_t count = gm_tensor_count(out);
    bool normal = is_normal(compute->node);
    uint64_t first = gm_draw_first(count, compute->row, compute->batch);
    double offset, factor;
    affine(compute->node, &offset, &factor);
    if (out->data && out->type == GM_FLOAT) {
        draw_chunk(normal, offset, factor, compute->key, compute->run, first, (size_t)count, out->data);
        return GM_OK;
    }
    for (int64_t i = 0; out->data && i < count; i++) {
        double value = normal ? gm_normal_at(compute->key, compute->run, first + (uint64_t)i)
                              : gm_uniform_at(compute->key, compute->run, first + (uint64_t)i);
        gm_set(out, i, offset + factor * value);
    }
    return GM_OK;
}

typedef struct draw_kernel {
    gm_draw draw;
    bool normal;
    double offset, factor;
    int64_t count;
} draw_kernel;

static gm_status run_draw(const void *state, const gm_kernel_arguments *arguments)
{
    const draw_kernel *kernel = state;
    uint64_t run = arguments->run;
    uint64_t key = gm_draw_key(&kernel->draw, arguments->seed, arguments->override_seeds, &run);
    int64_t chunks = (kernel->count + CHUNK - 1) / CHUNK;
    uint64_t base = gm_draw_first(kernel->count, arguments->row, arguments->batch);
    float *out = arguments->out[0];
#pragma omp parallel for num_threads(arguments->threads) schedule(static) if (chunks > 1 && arguments->threads > 1)
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        int64_t first = chunk * CHUNK, left = kernel->count - first;
        draw_chunk(kernel->normal, kernel->offset, kernel->factor, key, run, base + (uint64_t)first,
                   (size_t)(left < CHUNK ? left : CHUNK), out + first);
    }
    return GM_OK;
}

static gm_status draw_lower(gm_lower *lower)
{
    const gm_node *node = lower->node;
    draw_kernel *kernel;
    if (lower->reference || gm_value_of(lower->graph, node->outputs[0])->type != GM_FLOAT)
        return GM_OK;
    kernel = gm_pool_alloc(lower->pool, sizeof *kernel);
    if (!kernel)
        return GM_ERROR_MEMORY;
    kernel->draw = gm_draw_of(node);
    kernel->normal = is_normal(node);
    affine(node, &kernel->offset, &kernel->factor);
    kernel->count = gm_lower_count(lower, node->outputs[0]);
    /* only the shape of a Like's input counts: it is fine in any layout */
    if (node->input_count && !gm_layout_is_any(lower->in_layout[0]))
        lower->in_want[0] = lower->in_layout[0];
    lower->kernel.state = kernel;
    lower->kernel.run = run_draw;
    return GM_OK;
}

#define ATTRIBUTES(table) .attributes = table, .attribute_count = GM_COUNT(table)

static const gm_attribute_schema normal_attributes[] = {{"dtype", GM_ATTRIBUTE_INT, GM_OPTIONAL, .i = 0},
                                                        {"mean", GM_ATTRIBUTE_FLOAT, GM_DEFAULT, .f = 0.0},
                                                        {"scale", GM_ATTRIBUTE_FLOAT, GM_DEFAULT, .f = 1.0},
                                                        {"seed", GM_ATTRIBUTE_FLOAT, GM_OPTIONAL, .f = 0.0},
                                                        {"shape", GM_ATTRIBUTE_INTS, GM_REQUIRED, .i = 0}};
static const gm_attribute_schema uniform_attributes[] = {{"dtype", GM_ATTRIBUTE_INT, GM_OPTIONAL, .i = 0},
                                                         {"high", GM_ATTRIBUTE_FLOAT, GM_DEFAULT, .f = 1.0},
                                                         {"low", GM_ATTRIBUTE_FLOAT, GM_DEFAULT, .f = 0.0},
                                                         {"seed", GM_ATTRIBUTE_FLOAT, GM_OPTIONAL, .f = 0.0},
                                                         {"shape", GM_ATTRIBUTE_INTS, GM_REQUIRED, .i = 0}};

/* The Like forms have the same attributes, but for the last. */
#define DRAW(symbol, text, version, in, type_set, table, count, infer_rule)                                            \
    const gm_operator symbol = {.domain = "",                                                                          \
                                .name = text,                                                                          \
                                .since = version,                                                                      \
                                .inputs = in,                                                                          \
                                .outputs = "output",                                                                   \
                                .types = type_set,                                                                     \
                                .flags = GM_OP_RANDOM,                                                                 \
                                .attributes = table,                                                                   \
                                .attribute_count = count,                                                              \
                                .infer = infer_rule,                                                                   \
                                .zero_gradient = true,                                                                 \
                                .reference = draw_reference,                                                           \
                                .lower = draw_lower}

DRAW(gm_op_random_normal, "RandomNormal", 1, "", GM_TYPES_FLOATING, normal_attributes, 5, draw_infer);
DRAW(gm_op_random_uniform, "RandomUniform", 1, "", GM_TYPES_FLOATING, uniform_attributes, 5, draw_infer);
DRAW(gm_op_random_normal_like, "RandomNormalLike", 1, "input", GM_TYPES_ALL, normal_attributes, 4, draw_like_infer);
DRAW(gm_op_random_uniform_like, "RandomUniformLike", 1, "input", GM_TYPES_ALL, uniform_attributes, 4, draw_like_infer);

/* --- gmodel.RandomMask
 * --------------------------------------------------------------------------------------------------- */

/* X, ratio (a scalar) -> bool of X's shape: true with probability 1 - ratio, where the uniform draw is >= ratio. */
static gm_status mask_infer(gm_graph *graph, gm_node *node)
{
    gm_value like = *gm_value_of(graph, node->inputs[0]);
    const gm_value *ratio = gm_value_of(graph, node->inputs[1]);
    const gm_type_info *info = gm_type_find(ratio->type);
    if (!info || !info->floating || ratio->rank > 1 || (ratio->rank == 1 && ratio->dims[0] != 1))
        return gm_node_fail(graph, node, "the ratio must be a floating scalar");
    gm_set_output(graph, node, 0, GM_BOOL, like.rank, like.dims);
    return graph->status;
}

static gm_status mask_reference(const gm_compute *compute)
{
    const gm_tensor *out = &compute->out[0];
    float ratio = (float)gm_get(&compute->in[1], 0);
    int64_t count = gm_tensor_count(out);
    uint64_t base = gm_draw_first(count, compute->row, compute->batch);
    uint8_t *keep = out->data;
    for (int64_t first = 0; keep && first < count; first += CHUNK) {
        float uniform[CHUNK];
        int64_t here = count - first < CHUNK ? count - first : CHUNK;
        gm_uniform(compute->key, compute->run, base + (uint64_t)first, (size_t)here, uniform);
        for (int64_t i = 0; i < here; i++)
            keep[first + i] = uniform[i] >= ratio;
    }
    return GM_OK;
}

static const gm_attribute_schema mask_attributes[] = {{"seed", GM_ATTRIBUTE_INT, GM_OPTIONAL, .i = 0}};

/* The part of Dropout that draws. */
const gm_operator gm_op_random_mask = {.domain = "gmodel",
                                       .name = "RandomMask",
                                       .since = 1,
                                       .inputs = "X ratio",
                                       .outputs = "keep",
                                       .types = GM_TYPES_FLOATING,
                                       .flags = GM_OP_ELEMENTWISE | GM_OP_RANDOM,
                                       ATTRIBUTES(mask_attributes),
                                       .infer = mask_infer,
                                       .zero_gradient = true,
                                       .reference = mask_reference,
                                       .lower = gm_tile_lower,
                                       .tile_instruction = GM_TILE_MASK};

/* --- Bernoulli
 * ------------------------------------------------------------------------------------------------------------- */

static gm_status bernoulli_infer(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    gm_type type = (gm_type)gm_node_int(node, "dtype", (int64_t)x.type);
    if ((unsigned)type >= 32 || !((GM_TYPES_NUMERIC | GM_TYPES(GM_BOOL)) & GM_TYPES(type)))
        return gm_node_fail(graph, node, "dtype must be a type of numbers or bool, found %s", gm_type_name(type));
    gm_set_output(graph, node, 0, type, x.rank, x.dims);
    return graph->status;
}

/* https://onnx.ai/onnx/operators/onnx__Bernoulli.html: 1 where a uniform draw is less than the probability. */
static gm_status bernoulli_expand(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    const gm_attribute *seed = gm_node_attribute(node, "seed");
    gm_type type = gm_value_of(graph, node->inputs[0])->type, result = (gm_type)gm_node_int(node, "dtype", type);
    gm_attribute list[2] = {gm_attribute_int("dtype", type == GM_DOUBLE ? type : GM_FLOAT)};
    gm_value_id p = node->inputs[0], uniform;
    if (seed)
        list[1] = *seed;
    uniform = gm_emit(graph, "RandomUniformLike", &p, 1, list, seed ? 2 : 1);
    if (type != GM_DOUBLE && type != GM_FLOAT)
        p = gm_emit1_with(graph, "Cast", p, gm_attribute_int("to", GM_FLOAT));
    outputs[0] = gm_emit2(graph, "Less", uniform, p);
    if (result != GM_BOOL)
        outputs[0] = gm_emit1_with(graph, "Cast", outputs[0], gm_attribute_int("to", result));
    return graph->status;
}

static const gm_attribute_schema bernoulli_attributes[] = {{"dtype", GM_ATTRIBUTE_INT, GM_OPTIONAL, .i = 0},
                                                           {"seed", GM_ATTRIBUTE_FLOAT, GM_OPTIONAL, .i = 0}};
const gm_operator gm_op_bernoulli = {.domain = "",
                                     .name = "Bernoulli",
                                     .since = 22,
                                     .inputs = "input",
                                     .outputs = "output",
                                     .types = GM_TYPES_FLOATING,
                                     ATTRIBUTES(bernoulli_attributes),
                                     .infer = bernoulli_infer,
                                     .zero_gradient = true,
                                     .expand = bernoulli_expand};

/* --- Dropout
 * --------------------------------------------------------------------------------------------------------------- */

static gm_status dropout_infer(gm_graph *graph, gm_node *node)
{
    gm_value x = *gm_value_of(graph, node->inputs[0]);
    gm_set_output_like(graph, node, 0, node->inputs[0]);
    gm_set_output(graph, node, 1, GM_BOOL, x.rank, x.dims);
    return graph->status;
}

/* training_mode where it is given (it must be a constant), else the mode of the graph. */
static gm_status dropout_mode(gm_graph *graph, const gm_node *node, bool *training_out)
{
    const gm_tensor *mode;
    *training_out = graph->training;
    if (node->input_count < 3 || !node->inputs[2])
        return GM_OK;
    mode = gm_constant_of(graph, node->inputs[2]);
    if (!mode || !mode->data || gm_tensor_count(mode) != 1)
        return gm_node_fail(graph, node, "training_mode must be a constant");
    *training_out = gm_get(mode, 0) != 0.0;
    return GM_OK;
}

/* y = keep ? x / (1 - ratio) : 0 */
static gm_value_id dropped(gm_graph *graph, gm_value_id x, gm_value_id ratio, gm_value_id keep)
{
    const gm_tensor *constant = gm_constant_of(graph, ratio);
    gm_value_id zero = gm_scalar_like(graph, x, 0.0), factor;
    if (constant && constant->data) {
        double share = 1.0 - gm_get(constant, 0);
        factor = gm_scalar_like(graph, x, share > 0.0 ? 1.0 / share : 0.0);
    } else {
        gm_value_id own = gm_emit1_with(graph, "Cast", ratio, gm_attribute_int("to", gm_value_of(graph, x)->type));
        factor = gm_emit1(graph, "Reciprocal", gm_emit2(graph, "Sub", gm_scalar_like(graph, own, 1.0), own));
    }
    return gm_emit3(graph, "Where", keep, gm_emit2(graph, "Mul", x, factor), zero);
}

static gm_status dropout_expand(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    const gm_attribute *seed = gm_node_attribute(node, "seed");
    gm_value_id x = node->inputs[0], keep;
    gm_value_id ratio =
        node->input_count > 1 && node->inputs[1] ? node->inputs[1] : gm_const_scalar(graph, GM_FLOAT, 0.5);
    const gm_tensor *constant = gm_constant_of(graph, ratio);
    bool training;
    GM_TRY(dropout_mode(graph, node, &training));
    if (constant && constant->data && !(gm_get(constant, 0) >= 0.0 && gm_get(constant, 0) <= 1.0))
        return gm_node_fail(graph, node, "the ratio must lie in [0, 1], found %g", gm_get(constant, 0));
    if (!training || (constant && constant->data && gm_get(constant, 0) == 0.0)) {
        outputs[0] = x;
        if (node->output_count > 1 && node->outputs[1])
            outputs[1] = gm_expand_like(graph, gm_const_scalar(graph, GM_BOOL, 1.0), x);
        return graph->status;
    }
    keep = gm_emit(graph, "gmodel.RandomMask", (gm_value_id[]){x, ratio}, 2, seed, seed ? 1 : 0);
    outputs[0] = graph->status == GM_OK ? dropped(graph, x, ratio, keep) : 0;
    if (node->output_count > 1)
        outputs[1] = keep;
    return graph->status;
}

static const gm_attribute_schema dropout_attributes[] = {{"seed", GM_ATTRIBUTE_INT, GM_OPTIONAL, .i = 0}};

static const gm_older older_dropout[] = {
    {12, GM_OLDER_INPUT, "ratio", .input = 1, .type = GM_FLOAT}, {7, GM_OLDER_IGNORED, "is_test", .i = 0}, {0}};

/* Training: draws a mask and scales what is kept by 1 / (1 - ratio). Otherwise the identity. */
const gm_operator gm_op_dropout = {.domain = "",
                                   .name = "Dropout",
                                   .since = 13,
                                   .inputs = "data ratio? training_mode?",
                                   .outputs = "output mask?",
                                   .types = GM_TYPES_FLOATING,
                                   .flags = GM_OP_RANDOM,
                                   ATTRIBUTES(dropout_attributes),
                                   .older = older_dropout,
                                   .infer = dropout_infer,
                                   .expand = dropout_expand};
