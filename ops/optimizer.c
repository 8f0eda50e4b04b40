/* Optimizers: one node updates all parameters of a minimize statement, in place, in one pass over memory.
 *
 *   inputs   R (rate) [T (number of this update, from 1)], X..., G... [first slots...] [second slots...] [given...]
 *   outputs  X..., [first slots...] [second slots...]
 *
 * given: float scalars that replace attributes, which the attribute `given` names in their order ("alpha,epsilon"), so
 * that these too can change from run to run.
 *
 * Adam, Momentum, Adagrad: ONNX's ai.onnx.preview.training. Gradients and slots are wanted in the layout of their
 * parameter: an update is a flat loop over elements, whatever their order. */
#include "ops/kernel.h"
#include "ops/optimizer.h"
#include "ops/vector.h"

#include <math.h>
#include <string.h>

#define CHUNK 16384 /* elements at a time: all that belongs to them fits in an inner cache */
#define LINE  16    /* of which parts take a whole number */

/* --- Settings ------------------------------------------------------------------------------------------------------
 */

/* Kingma & Ba 2015. ONNX puts both bias corrections into the rate (epsilon on the uncorrected root); with
 * corrected_epsilon = 1 the root is corrected first, then epsilon is added. */
static void adam_settings(const gm_node *node, gm_update_settings *s, double count)
{
    double first = count > 0.0 ? 1.0 - pow(s->alpha, count) : 1.0;
    double second = count > 0.0 ? sqrt(1.0 - pow(s->beta, count)) : 1.0;
    if (gm_node_int(node, "corrected_epsilon", 0)) {
        s->root = second;
        s->rate = s->rate / first;
    } else {
        s->rate = s->rate * second / first;
    }
}

/* The names of `given` one after the other: the next one's length, 0 at the end. */
static size_t next_given(const char **at)
{
    size_t length;
    while (**at == ',')
        ++*at;
    length = strcspn(*at, ",");
    return length;
}

size_t gm_update_given(const gm_node *node)
{
    const char *at = gm_node_string(node, "given", "");
    size_t count = 0;
    for (size_t length; (length = next_given(&at)); at += length)
        count++;
    return count;
}

/* An attribute, or what was given in its place. */
static double setting(const gm_node *node, const double *given, const char *name)
{
    const char *at = gm_node_string(node, "given", "");
    for (size_t length; (length = next_given(&at)); at += length, given++)
        if (strncmp(at, name, length) == 0 && !name[length])
            return *given;
    return gm_node_float(node, name, 0.0);
}

void gm_update_read(const gm_node *node, double rate, double count, const double *given, gm_update_settings *s)
{
    const char *name = gm_update_rule_of(node)->name;
    *s = (gm_update_settings){.rate = rate, .root = 1.0};
    s->alpha = setting(node, given, "alpha");
    s->beta = setting(node, given, "beta");
    s->epsilon = setting(node, given, "epsilon");
    s->norm = setting(node, given, "norm_coefficient");
    s->post = 1.0 - setting(node, given, "norm_coefficient_post");
    s->shrink = 1.0 - rate * setting(node, given, "weight_decay");
    if (strcmp(name, "Adam") == 0) {
        adam_settings(node, s, count);
    } else if (strcmp(name, "Momentum") == 0) {
        s->nesterov = strcmp(gm_node_string(node, "mode", "standard"), "nesterov") == 0;
        s->beta = count > 0.0 ? s->beta : 1.0;
    } else if (strcmp(name, "RMSProp") == 0) {
        s->beta = setting(node, given, "decay");
    } else if (strcmp(name, "Adagrad") == 0) {
        s->rate = rate / (1.0 + count * setting(node, given, "decay_factor"));
    }
    s->one_alpha = 1.0 - s->alpha;
    s->one_beta = 1.0 - s->beta;
}

/* --- Formulas: one element in double, a loop in float32 --------------------------------------------------------------
 */

/* G' = norm X + G;  V = alpha V + (1 - alpha) G';  H = beta H + (1 - beta) G'^2;  X = X - R V / (sqrt(H) + epsilon) */
static double adam_element(const gm_update_settings *s, double x, double g, double *slot)
{
    x *= s->shrink;
    g += s->norm * x;
    slot[0] = s->alpha * slot[0] + s->one_alpha * g;
    slot[1] = s->beta * slot[1] + s->one_beta * g * g;
    return s->post * (x - s->rate * slot[0] / (sqrt(slot[1]) / s->root + s->epsilon));
}

GM_VECTOR static void adam_loop(const gm_update_settings *s, const float *const *in, float *const *out, size_t n)
{
    const float *x_in = in[0], *g_in = in[1], *v_in = in[2], *h_in = in[3];
    float *x_out = out[0], *v_out = out[1], *h_out = out[2];
    const float rate = (float)s->rate, shrink = (float)s->shrink, norm = (float)s->norm, post = (float)s->post;
    const float alpha = (float)s->alpha, one_alpha = (float)s->one_alpha, beta = (float)s->beta;
    const float one_beta = (float)s->one_beta, epsilon = (float)s->epsilon, by_root = (float)(1.0 / s->root);
#pragma GCC ivdep
    for (size_t i = 0; i < n; i++) {
        float x = x_in[i] * shrink, g = g_in[i] + norm * x;
        float v = alpha * v_in[i] + one_alpha * g;
        float h = beta * h_in[i] + one_beta * g * g;
        v_out[i] = v;
        h_out[i] = h;
        x_out[i] = post * (x - rate * v / (sqrtf(h) * by_root + epsilon));
    }
}

/* X = X - R (G + norm X) */
static double sgd_element(const gm_update_settings *s, double x, double g, double *slot)
{
    x *= s->shrink;
    return x - s->rate * (g + s->norm * x);
}

GM_VECTOR static void sgd_loop(const gm_update_settings *s, const float *const *in, float *const *out, size_t n)
{
    const float *x_in = in[0], *g_in = in[1];
    float *x_out = out[0];
    const float rate = (float)s->rate, shrink = (float)s->shrink, norm = (float)s->norm;
#pragma GCC ivdep
    for (size_t i = 0; i < n; i++) {
        float x = x_in[i] * shrink;
        x_out[i] = x - rate * (g_in[i] + norm * x);
    }
}

/* G' = norm X + G;  V = alpha V + beta G';  X = X - R V, or with Nesterov's look ahead X - R (G' + alpha V) */
static double momentum_element(const gm_update_settings *s, double x, double g, double *slot)
{
    g += s->norm * x;
    slot[0] = s->alpha * slot[0] + s->beta * g;
    return x - s->rate * (s->nesterov ? g + s->alpha * slot[0] : slot[0]);
}

GM_VECTOR static void momentum_loop(const gm_update_settings *s, const float *const *in, float *const *out, size_t n)
{
    const float *x_in = in[0], *g_in = in[1], *v_in = in[2];
    float *x_out = out[0], *v_out = out[1];
    const float rate = (float)s->rate, norm = (float)s->norm, alpha = (float)s->alpha, beta = (float)s->beta;
    const float of_g = s->nesterov ? 1.0f : 0.0f, of_v = s->nesterov ? (float)s->alpha : 1.0f;
#pragma GCC ivdep
    for (size_t i = 0; i < n; i++) {
        float x = x_in[i], g = g_in[i] + norm * x;
        float v = alpha * v_in[i] + beta * g;
        v_out[i] = v;
        x_out[i] = x - rate * (of_g * g + of_v * v);
    }
}

/* Tieleman & Hinton 2012. H = decay H + (1 - decay) G'^2;  X = X - R G' / (sqrt(H) + epsilon) */
static double rmsprop_element(const gm_update_settings *s, double x, double g, double *slot)
{
    g += s->norm * x;
    slot[0] = s->beta * slot[0] + s->one_beta * g * g;
    return x - s->rate * g / (sqrt(slot[0]) + s->epsilon);
}

GM_VECTOR static void rmsprop_loop(const gm_update_settings *s, const float *const *in, float *const *out, size_t n)
{
    const float *x_in = in[0], *g_in = in[1], *h_in = in[2];
    float *x_out = out[0], *h_out = out[1];
    const float rate = (float)s->rate, norm = (float)s->norm, beta = (float)s->beta;
    const float one_beta = (float)s->one_beta, epsilon = (float)s->epsilon;
#pragma GCC ivdep
    for (size_t i = 0; i < n; i++) {
        float x = x_in[i], g = g_in[i] + norm * x;
        float h = beta * h_in[i] + one_beta * g * g;
        h_out[i] = h;
        x_out[i] = x - rate * g / (sqrtf(h) + epsilon);
    }
}

/* Duchi et al. 2011. H = H + G'^2;  X = X - R / (1 + T decay_factor) G' / (sqrt(H) + epsilon) */
static double adagrad_element(const gm_update_settings *s, double x, double g, double *slot)
{
    g += s->norm * x;
    slot[0] += g * g;
    return x - s->rate * g / (sqrt(slot[0]) + s->epsilon);
}

GM_VECTOR static void adagrad_loop(const gm_update_settings *s, const float *const *in, float *const *out, size_t n)
{
    const float *x_in = in[0], *g_in = in[1], *h_in = in[2];
    float *x_out = out[0], *h_out = out[1];
    const float rate = (float)s->rate, norm = (float)s->norm, epsilon = (float)s->epsilon;
#pragma GCC ivdep
    for (size_t i = 0; i < n; i++) {
        float x = x_in[i], g = g_in[i] + norm * x;
        float h = h_in[i] + g * g;
        h_out[i] = h;
        x_out[i] = x - rate * g / (sqrtf(h) + epsilon);
    }
}

static const gm_update_rule optimizers[] = {
    {"Adam", true, 2, adam_element, adam_loop},
    {"SGD", false, 0, sgd_element, sgd_loop},
    {"Momentum", true, 1, momentum_element, momentum_loop},
    {"RMSProp", false, 1, rmsprop_element, rmsprop_loop},
    {"Adagrad", true, 1, adagrad_element, adagrad_loop},
};

const gm_update_rule *gm_update_rule_of(const gm_node *node)
{
    const char *name = node->op->name;
    name += strncmp(name, "Sparse", 6) == 0 ? 6 : 0;
    for (size_t i = 0; i < GM_COUNT(optimizers); i++)
        if (strcmp(optimizers[i].name, name) == 0)
            return &optimizers[i];
    return &optimizers[0];
}

/* --- Where things stand in the lists
 * ---------------------------------------------------------------------------------- */

/* Inputs before the parameters: R, or R and T. */
static size_t head_of(const gm_update_rule *optimizer)
{
    return optimizer->counts ? 2 : 1;
}

static size_t parameters_of(const gm_node *node, const gm_update_rule *optimizer)
{
    size_t others = head_of(optimizer) + gm_update_given(node);
    return node->input_count < others ? 0 : (node->input_count - others) / (2 + optimizer->slots);
}

/* Input `role` of a parameter: 0 X, 1 G, 2 and 3 the slots. */
static size_t input_at(const gm_node *node, const gm_update_rule *optimizer, size_t role, size_t parameter)
{
    return head_of(optimizer) + role * parameters_of(node, optimizer) + parameter;
}

/* Output k * parameters + i overwrites X_i (k = 0) or slot k - 1 of it. */
static int optimizer_update_input(const gm_node *node, size_t output)
{
    const gm_update_rule *optimizer = gm_update_rule_of(node);
    size_t parameters = parameters_of(node, optimizer);
    size_t role = parameters ? output / parameters : 0;
    if (!parameters || role > optimizer->slots)
        return -1;
    return (int)input_at(node, optimizer, role == 0 ? 0 : role + 1, output % parameters);
}

static bool is_scalar(const gm_value *value)
{
    return value->rank == 0 || (value->rank == 1 && value->dims[0] == 1);
}

static gm_status optimizer_infer(gm_graph *graph, gm_node *node)
{
    const gm_update_rule *optimizer = gm_update_rule_of(node);
    size_t head = head_of(optimizer), roles = 2 + optimizer->slots;
    size_t parameters = parameters_of(node, optimizer), given = gm_update_given(node);
    if (given > GM_UPDATE_GIVEN)
        return gm_node_fail(graph, node, "at most %d attributes can be given as inputs", GM_UPDATE_GIVEN);
    if (!parameters || node->input_count != head + parameters * roles + given)
        return gm_node_fail(graph, node, "takes %zu inputs and then %zu for each parameter, found %zu", head + given,
                            roles, node->input_count);
    if (node->output_count != parameters * (1 + optimizer->slots))
        return gm_node_fail(graph, node, "has %zu outputs for each of its %zu parameters, found %zu",
                            1 + optimizer->slots, parameters, node->output_count);
    for (size_t i = 0; i < node->input_count; i++)
        if (!node->inputs[i])
            return gm_node_fail(graph, node, "input %zu must not be left out", i + 1);
    for (size_t i = 0; i < head; i++)
        if (!is_scalar(gm_value_of(graph, node->inputs[i])))
            return gm_node_fail(graph, node, "the %s must be a scalar", i == 0 ? "rate" : "count");
    for (size_t i = node->input_count - given; i < node->input_count; i++)
        if (!is_scalar(gm_value_of(graph, node->inputs[i])))
            return gm_node_fail(graph, node, "what is given in place of an attribute must be a scalar");
    for (size_t p = 0; p < parameters; p++) {
        const gm_value *x = gm_value_of(graph, node->inputs[input_at(node, optimizer, 0, p)]);
        for (size_t role = 1; role < roles; role++) {
            const gm_value *other = gm_value_of(graph, node->inputs[input_at(node, optimizer, role, p)]);
            if (other->type != x->type || other->rank != x->rank ||
                memcmp(other->dims, x->dims, (size_t)x->rank * sizeof x->dims[0]) != 0)
                return gm_node_fail(graph, node, "the %s of parameter '%s' has another type or shape",
                                    role == 1 ? "gradient" : "slot", x->name);
        }
    }
    for (size_t o = 0; o < node->output_count; o++)
        gm_set_output_like(graph, node, o, node->inputs[optimizer_update_input(node, o)]);
    return graph->status;
}

/* --- Kernels
 * ------------------------------------------------------------------------------------------------------------ */

static gm_status optimizer_reference(const gm_compute *compute)
{
    const gm_node *node = compute->node;
    const gm_update_rule *optimizer = gm_update_rule_of(node);
    size_t parameters = parameters_of(node, optimizer), given = gm_update_given(node);
    double given_values[GM_UPDATE_GIVEN] = {0};
    gm_update_settings settings;
    for (size_t i = 0; i < given; i++)
        given_values[i] = gm_get(&compute->in[node->input_count - given + i], 0);
    gm_update_read(node, gm_get(&compute->in[0], 0), optimizer->counts ? gm_get(&compute->in[1], 0) : 0.0, given_values,
                   &settings);
    for (size_t p = 0; p < parameters; p++) {
        const gm_tensor *x = &compute->in[input_at(node, optimizer, 0, p)];
        int64_t count = gm_tensor_count(x);
        for (int64_t i = 0; i < count; i++) {
            double slot[GM_UPDATE_SLOTS] = {0}, result;
            for (size_t k = 0; k < optimizer->slots; k++)
                slot[k] = gm_get(&compute->in[input_at(node, optimizer, 2 + k, p)], i);
            result = optimizer->element(&settings, gm_get(x, i),
                                        gm_get(&compute->in[input_at(node, optimizer, 1, p)], i), slot);
            if (compute->out[p].data)
                gm_set(&compute->out[p], i, result);
            for (size_t k = 0; k < optimizer->slots; k++)
                if (compute->out[(1 + k) * parameters + p].data)
                    gm_set(&compute->out[(1 + k) * parameters + p], i, slot[k]);
        }
    }
    return GM_OK;
}

typedef struct update_chunk {
    size_t parameter, first, count;
} update_chunk;

typedef struct update_kernel {
    gm_node node; /* a copy: its attributes are read at each run */
    const gm_update_rule *optimizer;
    gm_type rate_type, count_type;
    size_t parameters, given;
    gm_type given_types[GM_UPDATE_GIVEN];
    update_chunk *chunks; /* of part 0, of part 1, ... */
    size_t *part_end;
    int parts; /* one per thread, each with its share of every parameter, so that it finds the gradients of those rows
                * that it has computed itself */
} update_kernel;

double gm_update_scalar(gm_type type, void *data)
{
    return gm_get(&(gm_tensor){.type = type, .data = data}, 0);
}

static void run_chunk(const update_kernel *kernel, const gm_update_settings *settings, const update_chunk *chunk,
                      const gm_kernel_arguments *arguments)
{
    const gm_update_rule *optimizer = kernel->optimizer;
    const float *in[2 + GM_UPDATE_SLOTS] = {0};
    float *out[1 + GM_UPDATE_SLOTS] = {0};
    size_t head = head_of(optimizer);
    for (size_t role = 0; role < 2 + optimizer->slots; role++)
        in[role] = (const float *)arguments->in[head + role * kernel->parameters + chunk->parameter] + chunk->first;
    for (size_t role = 0; role < 1 + optimizer->slots; role++)
        out[role] = (float *)arguments->out[role * kernel->parameters + chunk->parameter] + chunk->first;
    optimizer->loop(settings, in, out, chunk->count);
}

static gm_status run_update(const void *state, const gm_kernel_arguments *arguments)
{
    const update_kernel *kernel = state;
    bool counts = kernel->optimizer->counts;
    double given[GM_UPDATE_GIVEN] = {0};
    gm_update_settings settings;
    for (size_t i = 0; i < kernel->given; i++)
        given[i] =
            gm_update_scalar(kernel->given_types[i], arguments->in[kernel->node.input_count - kernel->given + i]);
    gm_update_read(&kernel->node, gm_update_scalar(kernel->rate_type, arguments->in[0]),
                   counts ? gm_update_scalar(kernel->count_type, arguments->in[1]) : 0.0, given, &settings);
#pragma omp parallel for num_threads(arguments->threads) schedule(static) if (kernel->parts > 1)
    for (int part = 0; part < kernel->parts; part++)
        for (size_t i = part ? kernel->part_end[part - 1] : 0; i < kernel->part_end[part]; i++)
            run_chunk(kernel, &settings, &kernel->chunks[i], arguments);
    return GM_OK;
}

/* Cuts the elements into chunks of one parameter each; those of less than a line are the last part's. */
static gm_status cut_chunks(gm_lower *lower, update_kernel *kernel)
{
    const gm_node *node = lower->node;
    size_t total = 0, most = 0, at = 0;
    for (size_t p = 0; p < kernel->parameters; p++) {
        size_t count = (size_t)gm_lower_count(lower, node->outputs[p]);
        total += count;
        most += count / CHUNK + 1 + (size_t)lower->threads;
    }
    kernel->parts = total > CHUNK ? lower->threads : 1;
    kernel->chunks = gm_pool_array(lower->pool, most + 1, sizeof *kernel->chunks);
    kernel->part_end = gm_pool_array(lower->pool, (size_t)kernel->parts, sizeof *kernel->part_end);
    if (!kernel->chunks || !kernel->part_end)
        return GM_ERROR_MEMORY;
    for (int part = 0; part < kernel->parts; part++) {
        size_t parts = (size_t)kernel->parts, here = (size_t)part;
        for (size_t p = 0; p < kernel->parameters; p++) {
            size_t count = (size_t)gm_lower_count(lower, node->outputs[p]);
            size_t lines = (count + LINE - 1) / LINE, first = lines * here / parts * LINE;
            size_t end = lines * (here + 1) / parts * LINE;
            end = end < count ? end : count;
            for (; first < end; first += CHUNK)
                kernel->chunks[at++] = (update_chunk){p, first, end - first < CHUNK ? end - first : CHUNK};
        }
        kernel->part_end[part] = at;
    }
    return GM_OK;
}

/* Everything that belongs to a parameter is wanted in its layout. */
static void choose_layouts(gm_lower *lower, const update_kernel *kernel)
{
    const gm_node *node = lower->node;
    for (size_t p = 0; p < kernel->parameters; p++) {
        gm_layout layout = lower->in_layout[input_at(node, kernel->optimizer, 0, p)];
        if (gm_layout_is_any(layout))
            layout = gm_layout_plain;
        for (size_t role = 0; role < 2 + kernel->optimizer->slots; role++)
            lower->in_want[input_at(node, kernel->optimizer, role, p)] = layout;
        for (size_t role = 0; role < 1 + kernel->optimizer->slots; role++)
            lower->out_layout[role * kernel->parameters + p] = layout;
    }
    for (size_t o = 0; o < node->output_count; o++)
        lower->in_place[o] = optimizer_update_input(node, o);
}

static gm_status optimizer_lower(gm_lower *lower)
{
    const gm_node *node = lower->node;
    const gm_update_rule *optimizer = gm_update_rule_of(node);
    update_kernel *kernel;
    if (lower->reference)
        return GM_OK;
    for (size_t o = 0; o < node->output_count; o++)
        if (!lower->out_wanted[o] || gm_value_of(lower->graph, node->outputs[o])->type != GM_FLOAT)
            return GM_OK;
    kernel = gm_pool_alloc(lower->pool, sizeof *kernel);
    if (!kernel)
        return GM_ERROR_MEMORY;
    *kernel = (update_kernel){.node = *node,
                              .optimizer = optimizer,
                              .rate_type = gm_value_of(lower->graph, node->inputs[0])->type,
                              .count_type = gm_value_of(lower->graph, node->inputs[1])->type,
                              .parameters = parameters_of(node, optimizer),
                              .given = gm_update_given(node)};
    for (size_t i = 0; i < kernel->given; i++)
        kernel->given_types[i] = gm_value_of(lower->graph, node->inputs[node->input_count - kernel->given + i])->type;
    GM_TRY(cut_chunks(lower, kernel));
    choose_layouts(lower, kernel);
    lower->kernel.state = kernel;
    lower->kernel.run = run_update;
    return GM_OK;
}

/* --- The operators
 * ------------------------------------------------------------------------------------------------------ */

#define GIVEN_ATTRIBUTE                                                                                                \
    {                                                                                                                  \
        "given", GM_ATTRIBUTE_STRING, GM_OPTIONAL, .s = NULL                                                           \
    }
#define FLOAT_ATTRIBUTE(text, value)                                                                                   \
    {                                                                                                                  \
        text, GM_ATTRIBUTE_FLOAT, GM_DEFAULT, .f = value                                                               \
    }

/* corrected_epsilon, weight_decay (Loshchilov & Hutter 2019, taken off X before the step) and decoupled (says that
 * weight_decay is meant; changes nothing) are gmodel's. */
static const gm_attribute_schema adam_attributes[] = {
    FLOAT_ATTRIBUTE("alpha", 0.9),
    FLOAT_ATTRIBUTE("beta", 0.999),
    FLOAT_ATTRIBUTE("epsilon", 1e-6),
    FLOAT_ATTRIBUTE("norm_coefficient", 0.0),
    FLOAT_ATTRIBUTE("norm_coefficient_post", 0.0),
    FLOAT_ATTRIBUTE("weight_decay", 0.0),
    {"corrected_epsilon", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0},
    {"decoupled", GM_ATTRIBUTE_INT, GM_DEFAULT, .i = 0},
    GIVEN_ATTRIBUTE,
};
static const gm_attribute_schema sgd_attributes[] = {FLOAT_ATTRIBUTE("norm_coefficient", 0.0),
                                                     FLOAT_ATTRIBUTE("weight_decay", 0.0), GIVEN_ATTRIBUTE};
static const gm_attribute_schema momentum_attributes[] = {
    FLOAT_ATTRIBUTE("alpha", 0.9),
    FLOAT_ATTRIBUTE("beta", 1.0),
    FLOAT_ATTRIBUTE("norm_coefficient", 0.0),
    {"mode", GM_ATTRIBUTE_STRING, GM_DEFAULT, .s = "standard"},
    GIVEN_ATTRIBUTE,
};
static const gm_attribute_schema rmsprop_attributes[] = {FLOAT_ATTRIBUTE("decay", 0.9),
                                                         FLOAT_ATTRIBUTE("epsilon", 1e-8),
                                                         FLOAT_ATTRIBUTE("norm_coefficient", 0.0), GIVEN_ATTRIBUTE};
static const gm_attribute_schema adagrad_attributes[] = {FLOAT_ATTRIBUTE("decay_factor", 0.0),
                                                         FLOAT_ATTRIBUTE("epsilon", 1e-6),
                                                         FLOAT_ATTRIBUTE("norm_coefficient", 0.0), GIVEN_ATTRIBUTE};

/* Does a zero gradient leave a parameter and its slots as they are, whatever is given at a run? */
static bool sgd_is_idle(const gm_node *node)
{
    return gm_update_given(node) == 0 && gm_node_float(node, "norm_coefficient", 0.0) == 0.0 &&
           gm_node_float(node, "weight_decay", 0.0) == 0.0;
}

static bool adagrad_is_idle(const gm_node *node)
{
    const char *given = gm_node_string(node, "given", "");
    return (!*given || strcmp(given, "decay_factor") == 0) && gm_node_float(node, "norm_coefficient", 0.0) == 0.0 &&
           gm_node_float(node, "epsilon", 0.0) > 0.0;
}

#define OPTIMIZER(symbol, in_domain, text, in, table, ...)                                                             \
    const gm_operator symbol = {.domain = in_domain,                                                                   \
                                .name = text,                                                                          \
                                .since = 1,                                                                            \
                                .inputs = in,                                                                          \
                                .outputs = "X_new...",                                                                 \
                                .types = GM_TYPES_FLOATING,                                                            \
                                .flags = GM_OP_UPDATE | GM_OP_VARIADIC,                                                \
                                .attributes = table,                                                                   \
                                .attribute_count = GM_COUNT(table),                                                    \
                                .infer = optimizer_infer,                                                              \
                                .reference = optimizer_reference,                                                      \
                                .lower = optimizer_lower,                                                              \
                                .update_input = optimizer_update_input,                                                \
                                __VA_ARGS__}

OPTIMIZER(gm_op_adam, "ai.onnx.preview.training", "Adam", "R T X", adam_attributes, .row_update = NULL);
OPTIMIZER(gm_op_sgd, "gmodel", "SGD", "R X", sgd_attributes, .row_update = "gmodel.SparseSGD", .is_idle = sgd_is_idle);
OPTIMIZER(gm_op_momentum, "ai.onnx.preview.training", "Momentum", "R T X", momentum_attributes, .row_update = NULL);
OPTIMIZER(gm_op_rmsprop, "gmodel", "RMSProp", "R X", rmsprop_attributes, .row_update = NULL);
OPTIMIZER(gm_op_adagrad, "ai.onnx.preview.training", "Adagrad", "R T X", adagrad_attributes,
          .row_update = "gmodel.SparseAdagrad", .is_idle = adagrad_is_idle);
