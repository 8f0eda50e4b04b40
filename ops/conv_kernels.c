/* Kernels of Conv, ConvTranspose and gmodel.ConvWeightGrad: plain loops, and oneDNN's three convolution primitives.
 *
 * Seen from the forward convolution  small = big * W,  Conv is forward, ConvTranspose backward by data, ConvWeightGrad
 * backward by weights; W has the shape [small channels, big channels / group, kernel...] in all three. */
#include "ops/conv_window.h"
#include "ops/one_channel.h"
#include "ops/onednn.h"
#include "ops/winograd.h"

#include <string.h>

#define PARALLEL_ELEMENTS 16384

/* --- Reference ---------------------------------------------------------------------------------------------------- */

static inline double load(const gm_tensor *tensor, int64_t index)
{
    return tensor->type == GM_FLOAT    ? (double)((const float *)tensor->data)[index]
           : tensor->type == GM_DOUBLE ? ((const double *)tensor->data)[index]
                                       : gm_get(tensor, index);
}

static int64_t product(const int64_t *sizes)
{
    return sizes[0] * sizes[1] * sizes[2];
}

static void split(int64_t flat, const int64_t *sizes, int64_t *position)
{
    position[2] = flat % sizes[2];
    position[1] = flat / sizes[2] % sizes[1];
    position[0] = flat / sizes[2] / sizes[1];
}

/* Where kernel position k of the window at `small` lies on the big side; -1: outside. */
static int64_t big_position(const gm_conv_shape *shape, const int64_t *small, const int64_t *k)
{
    int64_t flat = 0;
    for (int i = 0; i < GM_MAX_SPATIAL; i++) {
        int64_t at = small[i] * shape->stride[i] - shape->low[i] + k[i] * shape->dilation[i];
        if (at < 0 || at >= shape->big[i])
            return -1;
        flat = flat * shape->big[i] + at;
    }
    return flat;
}

/* The window that touches `big` with kernel position k; -1: none. */
static int64_t small_position(const gm_conv_shape *shape, const int64_t *big, const int64_t *k)
{
    int64_t flat = 0;
    for (int i = 0; i < GM_MAX_SPATIAL; i++) {
        int64_t at = big[i] + shape->low[i] - k[i] * shape->dilation[i];
        if (at < 0 || at % shape->stride[i] != 0 || at / shape->stride[i] >= shape->small[i])
            return -1;
        flat = flat * shape->small[i] + at / shape->stride[i];
    }
    return flat;
}

/* y[n, m, t] = b[m] + sum over c, k of x[n, c, t * stride - low + k * dilation] * w[m, c, k] */
gm_status gm_conv_reference(const gm_compute *compute)
{
    const gm_tensor *x = &compute->in[0], *w = &compute->in[1], *y = &compute->out[0];
    const gm_tensor *b = compute->node->input_count > 2 && compute->in[2].data ? &compute->in[2] : NULL;
    gm_conv_shape s;
    gm_conv_shape_of(compute->node, GM_CONV, x->rank, x->dims, w->dims, y->dims, &s);
    int64_t bigs = product(s.big), smalls = product(s.small), kernels = product(s.kernel);
    int64_t inner = s.big_channels / s.group, per_group = s.small_channels / s.group;
    for (int64_t i = 0; i < s.batch * s.small_channels * smalls; i++) {
        int64_t n = i / smalls / s.small_channels, m = i / smalls % s.small_channels, at[3], k[3];
        double sum = b ? load(b, m) : 0.0;
        split(i % smalls, s.small, at);
        for (int64_t j = 0; j < kernels; j++) {
            int64_t position;
            split(j, s.kernel, k);
            if ((position = big_position(&s, at, k)) < 0)
                continue;
            for (int64_t c = 0; c < inner; c++)
                sum += load(x, (n * s.big_channels + m / per_group * inner + c) * bigs + position) *
                       load(w, (m * inner + c) * kernels + j);
        }
        gm_set(y, i, sum);
    }
    return GM_OK;
}

/* y[n, c, t * stride - low + k * dilation] += x[n, m, t] * w[m, c, k], gathered per element of y */
gm_status gm_conv_transpose_reference(const gm_compute *compute)
{
    const gm_tensor *x = &compute->in[0], *w = &compute->in[1], *y = &compute->out[0];
    const gm_tensor *b = compute->node->input_count > 2 && compute->in[2].data ? &compute->in[2] : NULL;
    gm_conv_shape s;
    gm_conv_shape_of(compute->node, GM_CONV_TRANSPOSE, x->rank, x->dims, w->dims, y->dims, &s);
    int64_t bigs = product(s.big), smalls = product(s.small), kernels = product(s.kernel);
    int64_t inner = s.big_channels / s.group, per_group = s.small_channels / s.group;
    for (int64_t i = 0; i < s.batch * s.big_channels * bigs; i++) {
        int64_t n = i / bigs / s.big_channels, c = i / bigs % s.big_channels, at[3], k[3];
        double sum = b ? load(b, c) : 0.0;
        split(i % bigs, s.big, at);
        for (int64_t j = 0; j < kernels; j++) {
            int64_t position;
            split(j, s.kernel, k);
            if ((position = small_position(&s, at, k)) < 0)
                continue;
            for (int64_t m = c / inner * per_group; m < (c / inner + 1) * per_group; m++)
                sum += load(x, (n * s.small_channels + m) * smalls + position) *
                       load(w, (m * inner + c % inner) * kernels + j);
        }
        gm_set(y, i, sum);
    }
    return GM_OK;
}

/* db[m] = sum over n, t of dy[n, m, t] */
static void sum_channels(const gm_tensor *dy, const gm_tensor *db)
{
    int64_t channels = dy->dims[1], positions = 1;
    for (int i = 2; i < dy->rank; i++)
        positions *= dy->dims[i];
    for (int64_t m = 0; m < channels; m++) {
        double sum = 0.0;
        for (int64_t i = 0; i < dy->dims[0] * positions; i++)
            sum += load(dy, (i / positions * channels + m) * positions + i % positions);
        gm_set(db, m, sum);
    }
}

/* dw[m, c, k] = sum over n, t of dy[n, m, t] * x[n, c, t * stride - low + k * dilation] */
gm_status gm_conv_weight_grad_reference(const gm_compute *compute)
{
    const gm_tensor *x = &compute->in[0], *dy = &compute->in[1], *dw = &compute->out[0];
    gm_conv_shape s;
    if (compute->node->output_count > 1 && compute->out[1].data)
        sum_channels(dy, &compute->out[1]);
    if (!dw->data)
        return GM_OK;
    gm_conv_shape_of(compute->node, GM_CONV_WEIGHT_GRAD, x->rank, x->dims, dy->dims, dw->dims, &s);
    int64_t bigs = product(s.big), smalls = product(s.small), kernels = product(s.kernel);
    int64_t inner = s.big_channels / s.group, per_group = s.small_channels / s.group;
    for (int64_t i = 0; i < s.small_channels * inner * kernels; i++) {
        int64_t m = i / kernels / inner, c = m / per_group * inner + i / kernels % inner, at[3], k[3];
        double sum = 0.0;
        split(i % kernels, s.kernel, k);
        for (int64_t t = 0; t < smalls; t++) {
            int64_t position;
            split(t, s.small, at);
            if ((position = big_position(&s, at, k)) < 0)
                continue;
            for (int64_t n = 0; n < s.batch; n++)
                sum += load(dy, (n * s.small_channels + m) * smalls + t) *
                       load(x, (n * s.big_channels + c) * bigs + position);
        }
        gm_set(dw, i, sum);
    }
    return GM_OK;
}

/* --- oneDNN ------------------------------------------------------------------------------------------------------- */

enum { BIG, WEIGHTS, SMALL, TENSORS };

/* The three tensors of a convolution in oneDNN's terms. */
typedef struct problem {
    gm_convolution_kind kind;
    int rank, weight_rank;
    int64_t dims[TENSORS][GM_DNNL_MAX_RANK];
    gm_dnnl_window window;
    const gm_md *bias;
    int result; /* which of the three is written */
} problem;

/* In which orders oneDNN is offered the tensors, and what is in the name of the implementation; NULL: its best. */
typedef struct onednn_way {
    enum { BY_RULE, FREE, LAST, PLAIN } order;
    const char *implementation;
} onednn_way;

enum { WAY_DEFAULT, WAY_WINOGRAD, WAY_ONEDNN, WAY_FREE, WAY_LAST, WAY_PLAIN, WAY_AVX2, WAY_GEMM, WAY_ONE, WAYS };

const char *const gm_conv_formulations[] = {
    [WAY_DEFAULT] = "default",  [WAY_WINOGRAD] = "winograd",
    [WAY_ONEDNN] = "onednn",    [WAY_FREE] = "onednn:free",
    [WAY_LAST] = "onednn:last", [WAY_PLAIN] = "onednn:plain",
    [WAY_AVX2] = "onednn:avx2", [WAY_GEMM] = "onednn:gemm",
    [WAY_ONE] = "one-channel",  [WAYS] = NULL,
};

static const onednn_way ways[WAYS] = {
    [WAY_FREE] = {FREE, NULL},   [WAY_LAST] = {LAST, NULL},   [WAY_PLAIN] = {PLAIN, NULL},
    [WAY_AVX2] = {FREE, "avx2"}, [WAY_GEMM] = {FREE, "gemm"},
};

/* A primitive descriptor and the memory order it wants. */
typedef struct choice {
    dnnl_primitive_desc_t descriptor;
    const gm_md *md[TENSORS];
    bool slow, inside_values;
    double waste; /* bytes of the weights by dense bytes */
} choice;

/* Values travel between instructions in `block` layouts; anything else stays inside the kernel. */
static bool stays_inside(const gm_md *md, int tensor)
{
    return gm_md_is_padded(md) || (tensor != WEIGHTS && gm_md_layout(md, true).block < 1);
}

static void describe_problem(const gm_conv_shape *s, gm_convolution_kind kind, problem *p)
{
    int skip = GM_MAX_SPATIAL - s->spatial, lead = s->group > 1;
    memset(p, 0, sizeof *p);
    p->kind = kind;
    p->result = kind == GM_CONVOLUTION_FORWARD ? SMALL : kind == GM_CONVOLUTION_DATA ? BIG : WEIGHTS;
    p->rank = 2 + s->spatial;
    p->weight_rank = p->rank + lead;
    p->dims[BIG][0] = p->dims[SMALL][0] = s->batch;
    p->dims[BIG][1] = s->big_channels;
    p->dims[SMALL][1] = s->small_channels;
    p->dims[WEIGHTS][0] = s->group;
    p->dims[WEIGHTS][lead] = s->small_channels / s->group;
    p->dims[WEIGHTS][lead + 1] = s->big_channels / s->group;
    for (int i = 0; i < s->spatial; i++) {
        int axis = skip + i;
        p->dims[BIG][2 + i] = s->big[axis];
        p->dims[SMALL][2 + i] = s->small[axis];
        p->dims[WEIGHTS][lead + 2 + i] = s->kernel[axis];
        p->window.strides[i] = s->stride[axis];
        p->window.dilations[i] = s->dilation[axis] - 1;
        p->window.low[i] = s->low[axis];
        p->window.high[i] = (s->small[axis] - 1) * s->stride[axis] + (s->kernel[axis] - 1) * s->dilation[axis] + 1 -
                            s->big[axis] - s->low[axis];
    }
}

/* Asks for a primitive over values in the given orders. */
static bool choose(gm_dnnl *dnnl, const problem *p, const gm_md *const md[TENSORS], const char *implementation,
                   choice *out)
{
    dnnl_query_t wanted[TENSORS] = {dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md};
    double dense = sizeof(float);
    memset(out, 0, sizeof *out);
    if (!md[BIG] || !md[WEIGHTS] || !md[SMALL])
        return false;
    if (p->kind == GM_CONVOLUTION_DATA)
        wanted[BIG] = dnnl_query_diff_src_md;
    if (p->kind == GM_CONVOLUTION_WEIGHTS)
        wanted[WEIGHTS] = dnnl_query_diff_weights_md;
    if (p->kind != GM_CONVOLUTION_FORWARD)
        wanted[SMALL] = dnnl_query_diff_dst_md;
    out->descriptor =
        gm_dnnl_convolution(dnnl, p->kind, md[BIG], md[WEIGHTS], p->bias, md[SMALL], &p->window, implementation);
    if (!out->descriptor)
        return false;
    for (int i = 0; i < TENSORS; i++)
        if (!(out->md[i] = gm_md_of_primitive(dnnl, out->descriptor, wanted[i])))
            return false;
    for (int i = 0; i < p->weight_rank; i++)
        dense *= (double)p->dims[WEIGHTS][i];
    out->waste = (double)gm_md_bytes(out->md[WEIGHTS]) / dense;
    out->slow = strncmp(gm_dnnl_implementation(out->descriptor), "ref", 3) == 0;
    out->inside_values = stays_inside(out->md[BIG], BIG) || stays_inside(out->md[SMALL], SMALL);
    return true;
}

static bool is_good(const choice *c)
{
    return !c->slow && !c->inside_values && c->waste <= 1.5;
}

static gm_layout last_layout(const problem *p, int tensor)
{
    return (gm_layout){p->dims[tensor][1], NULL};
}

/* The orders in which oneDNN may be offered the three tensors. */
typedef struct orders {
    const gm_md *free[TENSORS], *now[TENSORS], *last[TENSORS], *plain[TENSORS];
    bool blocked; /* `now` is of values that are at hand in a blocked layout */
} orders;

static void list_orders(gm_dnnl *dnnl, const problem *p, const gm_layout *at_hand, orders *o)
{
    o->blocked = false;
    for (int i = 0; i < TENSORS; i++) {
        int rank = i == WEIGHTS ? p->weight_rank : p->rank;
        o->free[i] = o->now[i] = o->last[i] = gm_md_any(dnnl, rank, p->dims[i]);
        o->plain[i] = gm_md_plain(dnnl, rank, p->dims[i]);
        if (i == WEIGHTS)
            continue;
        o->last[i] = gm_md_of_layout(dnnl, rank, p->dims[i], last_layout(p, i));
        if (i != p->result && at_hand[i].block > 1) {
            o->now[i] = gm_md_of_layout(dnnl, rank, p->dims[i], at_hand[i]);
            o->blocked = true;
        }
    }
}

/* In this order: the blocked layouts in which the values are at hand; what oneDNN likes best; channels last; plain; and
 * whatever there is, padded inside the kernel. Padding multiplies the work (a picture of one channel would become one
 * of sixteen), and where values change their order between two instructions it costs a pass over memory. */
static bool choose_best(gm_dnnl *dnnl, const problem *p, const orders *o, choice *out)
{
    choice free_choice, c;
    if (o->blocked && choose(dnnl, p, o->now, NULL, out) && is_good(out) &&
        !strstr(gm_dnnl_implementation(out->descriptor), "gemm"))
        return true;
    if (choose(dnnl, p, o->free, NULL, &free_choice) && is_good(&free_choice)) {
        *out = free_choice;
        return true;
    }
    if (choose(dnnl, p, o->last, NULL, out) && is_good(out))
        return true;
    if (choose(dnnl, p, o->plain, NULL, &c) && is_good(&c)) {
        *out = c;
        return true;
    }
    *out = free_choice.md[SMALL] && (!free_choice.slow || !c.md[SMALL]) ? free_choice : c;
    return out->md[SMALL] != NULL;
}

static bool same_choice(const choice *a, const choice *b)
{
    bool same = strcmp(gm_dnnl_implementation(a->descriptor), gm_dnnl_implementation(b->descriptor)) == 0;
    for (int i = 0; same && i < TENSORS; i++)
        same = gm_md_equal(a->md[i], b->md[i]);
    return same;
}

/* By the rule above, or in the way that is asked for, if that is another one and not a slow one. */
static bool choose_by(gm_dnnl *dnnl, const problem *p, const gm_layout *at_hand, const onednn_way *way, choice *out)
{
    orders o;
    choice rule;
    list_orders(dnnl, p, at_hand, &o);
    if (!choose_best(dnnl, p, &o, &rule))
        return false;
    *out = rule;
    if (way->order == BY_RULE)
        return true;
    return choose(dnnl, p,
                  way->order == FREE   ? o.free
                  : way->order == LAST ? o.last
                                       : o.plain,
                  way->implementation, out) &&
           !out->slow && !same_choice(&rule, out);
}

/* Adds the convolution, with tensors in padded or unusual order kept in scratch and copied from and to plain. */
static gm_status add_convolution(gm_dnnl *dnnl, const problem *p, const choice *c, const gm_dnnl_operand *places,
                                 const gm_dnnl_operand *bias, gm_layout *layouts)
{
    gm_dnnl_operand operands[TENSORS + 1], padded_result, plain_result;
    size_t count = TENSORS;
    bool copy_result = false;
    for (int i = 0; i < TENSORS; i++) {
        operands[i] = places[i];
        operands[i].md = c->md[i];
        if (!stays_inside(c->md[i], i)) {
            layouts[i] = gm_md_layout(c->md[i], i != WEIGHTS);
            continue;
        }
        gm_dnnl_operand outer = places[i];
        layouts[i] = gm_layout_plain;
        outer.md = gm_md_plain(dnnl, i == WEIGHTS ? p->weight_rank : p->rank, p->dims[i]);
        if (!outer.md)
            return GM_ERROR_MEMORY;
        operands[i].place = GM_DNNL_SCRATCH;
        operands[i].index = gm_dnnl_reserve(dnnl, gm_md_bytes(c->md[i]));
        if (i == p->result) {
            copy_result = true;
            padded_result = operands[i];
            plain_result = outer;
        } else {
            GM_TRY(gm_dnnl_add_reorder(dnnl, &outer, &operands[i]));
        }
    }
    if (bias)
        operands[count++] = *bias;
    GM_TRY(gm_dnnl_add_step(dnnl, c->descriptor, operands, count));
    return copy_result ? gm_dnnl_add_reorder(dnnl, &padded_result, &plain_result) : GM_OK;
}

/* --- Bias of ConvTranspose ---------------------------------------------------------------------------------------- */

typedef struct biased_state {
    gm_kernel inner;
    int64_t batch, channels, positions, block;
} biased_state;

static gm_status run_biased(const void *state_pointer, const gm_kernel_arguments *arguments)
{
    const biased_state *s = state_pointer;
    int64_t rows = s->batch * (s->channels / s->block), block = s->block, positions = s->positions;
    const float *bias = arguments->in[2];
    float *y = arguments->out[0];
    GM_TRY(s->inner.run(s->inner.state, arguments));
#pragma omp parallel for num_threads(arguments->threads)                                                               \
    schedule(static) if (rows * block * positions > PARALLEL_ELEMENTS)
    for (int64_t r = 0; r < rows; r++) {
        const float *b = bias + r % (s->channels / block) * block;
        float *row = y + r * positions * block;
        for (int64_t i = 0; i < positions; i++)
            for (int64_t c = 0; c < block; c++)
                row[i * block + c] += b[c];
    }
    return GM_OK;
}

static void destroy_biased(void *state)
{
    biased_state *s = state;
    s->inner.destroy(s->inner.state);
}

static gm_status add_bias(gm_lower *lower, const gm_conv_shape *shape)
{
    biased_state *state = gm_pool_alloc(lower->pool, sizeof *state);
    if (!state)
        return GM_ERROR_MEMORY;
    *state = (biased_state){lower->kernel, shape->batch, shape->big_channels,
                            shape->big[0] * shape->big[1] * shape->big[2], lower->out_layout[0].block};
    lower->kernel = (gm_kernel){run_biased, destroy_biased, state};
    return GM_OK;
}

/* --- Lowering ----------------------------------------------------------------------------------------------------- */

typedef struct role_rule {
    gm_conv_role role;
    gm_convolution_kind kind;
    gm_dnnl_operand places[TENSORS]; /* BIG, WEIGHTS, SMALL: argument and place among the node's inputs and outputs */
    gm_dnnl_operand bias;
} role_rule;

static const role_rule rules[] = {
    [GM_CONV] = {GM_CONV,
                 GM_CONVOLUTION_FORWARD,
                 {{DNNL_ARG_SRC, NULL, GM_DNNL_IN, 0},
                  {DNNL_ARG_WEIGHTS, NULL, GM_DNNL_IN, 1},
                  {DNNL_ARG_DST, NULL, GM_DNNL_OUT, 0}},
                 {DNNL_ARG_BIAS, NULL, GM_DNNL_IN, 2}},
    [GM_CONV_TRANSPOSE] = {GM_CONV_TRANSPOSE,
                           GM_CONVOLUTION_DATA,
                           {{DNNL_ARG_DIFF_SRC, NULL, GM_DNNL_OUT, 0},
                            {DNNL_ARG_WEIGHTS, NULL, GM_DNNL_IN, 1},
                            {DNNL_ARG_DIFF_DST, NULL, GM_DNNL_IN, 0}},
                           {0}},
    [GM_CONV_WEIGHT_GRAD] = {GM_CONV_WEIGHT_GRAD,
                             GM_CONVOLUTION_WEIGHTS,
                             {{DNNL_ARG_SRC, NULL, GM_DNNL_IN, 0},
                              {DNNL_ARG_DIFF_WEIGHTS, NULL, GM_DNNL_OUT, 0},
                              {DNNL_ARG_DIFF_DST, NULL, GM_DNNL_IN, 1}},
                             {DNNL_ARG_DIFF_BIAS, NULL, GM_DNNL_OUT, 1}},
};

/* Does it read a bias, or write the gradient of one? */
static bool has_bias_of(const gm_lower *lower, gm_conv_role role)
{
    const gm_node *node = lower->node;
    return role == GM_CONV_WEIGHT_GRAD ? node->output_count > 1 && node->outputs[1] && lower->out_wanted[1]
                                       : node->input_count > 2 && node->inputs[2];
}

/* Builds the instruction in `dnnl`; *declined where oneDNN has none. */
static gm_status build(gm_lower *lower, gm_dnnl *dnnl, const role_rule *rule, problem *p, bool has_bias, bool *declined)
{
    gm_layout at_hand[TENSORS] = {gm_layout_plain, gm_layout_plain, gm_layout_plain}, layouts[TENSORS];
    gm_dnnl_operand bias = rule->bias;
    choice best;
    if (has_bias) {
        bias.md = p->bias = gm_md_plain(dnnl, 1, &p->dims[SMALL][1]);
        if (!bias.md)
            return GM_ERROR_MEMORY;
    }
    for (int i = 0; i < TENSORS; i++)
        if (rule->places[i].place == GM_DNNL_IN)
            at_hand[i] = lower->in_layout[rule->places[i].index];
    *declined = !choose_by(dnnl, p, at_hand, &ways[lower->formulation], &best);
    if (*declined)
        return GM_OK;
    GM_TRY(add_convolution(dnnl, p, &best, rule->places, has_bias ? &bias : NULL, layouts));
    for (int i = 0; i < TENSORS; i++)
        if (rule->places[i].place == GM_DNNL_IN)
            lower->in_want[rule->places[i].index] = layouts[i];
        else
            lower->out_layout[0] = layouts[i];
    return GM_OK;
}

static gm_status lower_convolution(gm_lower *lower, gm_conv_role role)
{
    const gm_node *node = lower->node;
    const gm_value *first = gm_value_of(lower->graph, node->inputs[0]);
    const gm_value *second = gm_value_of(lower->graph, node->inputs[1]);
    const gm_value *output = gm_value_of(lower->graph, node->outputs[0]);
    bool has_bias = has_bias_of(lower, role), own_bias = role == GM_CONV_TRANSPOSE && has_bias, declined = false;
    bool winograd, one_channel;
    gm_conv_shape shape;
    problem p;
    gm_dnnl *dnnl;
    gm_status status;
    if (lower->reference || !gm_lower_all_float(lower) || first->dims[0] < 1 || !lower->out_wanted[0])
        return GM_OK;
    gm_conv_shape_of(node, role, first->rank, first->dims, second->dims, output->dims, &shape);
    winograd = !lower->direct && gm_winograd_fits(&shape);
    one_channel = role == GM_CONV_TRANSPOSE && gm_one_channel_fits(&shape);
    if (lower->formulation == WAY_DEFAULT)
        lower->formulation = winograd ? WAY_WINOGRAD : one_channel ? WAY_ONE : WAY_ONEDNN;
    if (lower->formulation == WAY_WINOGRAD)
        return winograd ? gm_winograd_lower(lower, &shape, role, has_bias) : GM_OK;
    if (lower->formulation == WAY_ONE)
        return one_channel ? gm_one_channel_lower(lower, &shape, has_bias) : GM_OK;
    describe_problem(&shape, rules[role].kind, &p);
    dnnl = gm_dnnl_create(lower->context, lower->pool, lower->threads);
    if (!dnnl)
        return gm_failure(lower->context);
    status = build(lower, dnnl, &rules[role], &p, has_bias && !own_bias, &declined);
    if (status != GM_OK || declined) {
        gm_dnnl_destroy(dnnl);
        return status;
    }
    gm_dnnl_finish(dnnl, &lower->scratch_bytes, &lower->kernel);
    lower->flops = 2.0 * (double)(shape.batch * shape.small_channels * (shape.big_channels / shape.group)) *
                   (double)product(shape.small) * (double)product(shape.kernel);
    return own_bias ? add_bias(lower, &shape) : GM_OK;
}

gm_status gm_conv_lower(gm_lower *lower)
{
    return lower_convolution(lower, GM_CONV);
}

gm_status gm_conv_transpose_lower(gm_lower *lower)
{
    return lower_convolution(lower, GM_CONV_TRANSPOSE);
}

gm_status gm_conv_weight_grad_lower(gm_lower *lower)
{
    return lower_convolution(lower, GM_CONV_WEIGHT_GRAD);
}
