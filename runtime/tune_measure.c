/* Measuring the ways in which one instruction can be computed. See runtime/tune_measure.h. */
#include "runtime/tune_measure.h"

#include <omp.h>
#include <stdio.h>
#include <string.h>

enum {
    MAX_WAYS = 16,
    LEAST_ROUNDS = 3, /* of one run of each way */
    MOST_ROUNDS = 100
};

static const double enough_seconds = 0.2; /* after these no further round begins */
/* After these, ways that needed so many times the best one's time are not run again. */
static const double early_seconds = 0.05, hopeless = 1.5;
static const double margin = 0.97; /* another way is taken if it needs less than this part of the default's time */

/* A copy of a value in another order, as the planner would insert it. */
typedef struct reorder {
    gm_kernel kernel;
    void *out, *scratch;
} reorder;

/* One way, ready to run. */
typedef struct way {
    int formulation;
    gm_lower lower;
    reorder *reorders; /* per input; kernel.run NULL: none */
    void **in, *scratch;
    double best; /* seconds */
    bool dropped;
} way;

typedef struct bench {
    gm_context *context;
    gm_pool *pool;
    const gm_lower *lower;
    void **in, **out; /* of node inputs and outputs; shared by all ways: no layout has padding */
    way ways[MAX_WAYS];
    size_t count;
} bench;

/* --- Buffers -------------------------------------------------------------------------------------------------------------- */

/* Numbers in (-1, 1), none of them zero or denormal; other types stay 0. */
static void fill(const gm_value *value, void *data, size_t count)
{
    uint32_t state = 1;
    float *numbers = data;
    if (value->kind == GM_VALUE_CONSTANT && value->type != GM_FLOAT)
        memcpy(data, value->constant->data, gm_tensor_bytes(value->constant));
    for (size_t i = 0; value->type == GM_FLOAT && i < count; i++) {
        state = state * 1664525u + 1013904223u; /* D. Knuth, The Art of Computer Programming 2, 3.3.4, H. W. Lewis */
        numbers[i] = ((float)(state >> 9) + 0.5f) * 0x1p-22f - 1.0f;
    }
}

static void *new_buffer(const bench *b, gm_value_id id)
{
    const gm_value *value = gm_value_of(b->lower->graph, id);
    size_t count = (size_t)gm_lower_count(b->lower, id);
    void *data = gm_alloc(b->context, count * gm_type_bytes(value->type));
    if (data)
        fill(value, data, count);
    return data;
}

static gm_status make_buffers(bench *b)
{
    const gm_node *node = b->lower->node;
    b->in = gm_pool_array(b->pool, node->input_count + 1, sizeof *b->in);
    b->out = gm_pool_array(b->pool, node->output_count + 1, sizeof *b->out);
    if (!b->in || !b->out)
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < node->input_count; i++)
        if (node->inputs[i] && !(b->in[i] = new_buffer(b, node->inputs[i])))
            return GM_ERROR_MEMORY;
    for (size_t i = 0; i < node->output_count; i++)
        if (b->lower->out_wanted[i] && !(b->out[i] = new_buffer(b, node->outputs[i])))
            return GM_ERROR_MEMORY;
    return GM_OK;
}

/* --- Ways ----------------------------------------------------------------------------------------------------------------- */

/* Room for what `lower` says, preset as by the planner. */
static gm_status begin_way(const bench *b, int formulation, way *w)
{
    size_t in_count = b->lower->node->input_count, out_count = b->lower->node->output_count;
    *w = (way){.formulation = formulation, .lower = *b->lower};
    w->lower.pool = b->pool;
    w->lower.in_want = gm_pool_array(b->pool, in_count + 1, sizeof *w->lower.in_want);
    w->lower.out_layout = gm_pool_array(b->pool, out_count + 1, sizeof *w->lower.out_layout);
    w->lower.in_place = gm_pool_array(b->pool, out_count + 1, sizeof *w->lower.in_place);
    w->lower.alias = gm_pool_array(b->pool, out_count + 1, sizeof *w->lower.alias);
    w->reorders = gm_pool_array(b->pool, in_count + 1, sizeof *w->reorders);
    w->in = gm_pool_array(b->pool, in_count + 1, sizeof *w->in);
    if (!w->lower.in_want || !w->lower.out_layout || !w->lower.in_place || !w->lower.alias || !w->reorders || !w->in)
        return GM_ERROR_MEMORY;
    gm_lower_preset(&w->lower);
    w->lower.formulation = formulation;
    return GM_OK;
}

/* Input i in the order that the way wants. A state entry that nobody has laid out yet costs nothing: it will lie so. */
static gm_status add_reorder(const bench *b, way *w, size_t i)
{
    gm_value_id id = b->lower->node->inputs[i];
    const gm_value *value = gm_value_of(b->lower->graph, id);
    gm_layout has = b->lower->in_layout[i], want = w->lower.in_want[i];
    reorder *r = &w->reorders[i];
    size_t scratch_bytes = 0;
    if (gm_layout_is_any(want))
        want = gm_layout_plain;
    if (gm_layout_is_any(has) || gm_layout_equal(has, want))
        return GM_OK;
    GM_TRY(gm_lower_reorder(b->context, b->pool, value->type, value->rank, value->dims, has, want, &scratch_bytes,
                            &r->kernel));
    r->out = gm_alloc(b->context, (size_t)gm_lower_count(b->lower, id) * gm_type_bytes(value->type));
    r->scratch = gm_alloc(b->context, scratch_bytes);
    return r->out && r->scratch ? GM_OK : GM_ERROR_MEMORY;
}

static void destroy_kernel(const gm_kernel *kernel)
{
    if (kernel->destroy)
        kernel->destroy(kernel->state);
}

static void end_way(const bench *b, const way *w)
{
    for (size_t i = 0; w->reorders && i < b->lower->node->input_count; i++) {
        destroy_kernel(&w->reorders[i].kernel);
        gm_free(b->context, w->reorders[i].out);
        gm_free(b->context, w->reorders[i].scratch);
    }
    destroy_kernel(&w->lower.kernel);
    gm_free(b->context, w->scratch);
}

/* False: there is no such way, or no memory for it. */
static bool make_way(const bench *b, int formulation, way *w)
{
    gm_status status = begin_way(b, formulation, w);
    if (status == GM_OK)
        status = b->lower->node->op->lower(&w->lower);
    if (status == GM_OK && !w->lower.kernel.run)
        status = GM_ERROR_UNSUPPORTED;
    for (size_t i = 0; status == GM_OK && i < b->lower->node->input_count; i++)
        if (b->lower->node->inputs[i])
            status = add_reorder(b, w, i);
    if (status == GM_OK && !(w->scratch = gm_alloc(b->context, w->lower.scratch_bytes)))
        status = GM_ERROR_MEMORY;
    if (status == GM_OK)
        return true;
    end_way(b, w);
    return false;
}

/* The operator's own choice first, then every other way. */
static void make_ways(bench *b)
{
    const char *const *names = b->lower->node->op->formulations;
    int taken = 0;
    if (!make_way(b, 0, &b->ways[0]))
        return;
    b->count = 1;
    taken = b->ways[0].formulation = b->ways[0].lower.formulation;
    for (int i = 1; names[i] && b->count < MAX_WAYS; i++)
        if (i != taken && make_way(b, i, &b->ways[b->count]))
            b->count++;
}

/* --- Time ----------------------------------------------------------------------------------------------------------------- */

/* Seconds of one run with its reorders; below 0: it failed. */
static double run_way(const bench *b, const way *w)
{
    double start = gm_now();
    for (size_t i = 0; i < b->lower->node->input_count; i++) {
        const reorder *r = &w->reorders[i];
        w->in[i] = r->kernel.run ? r->out : b->in[i];
        gm_kernel_arguments arguments = {
            .in = &b->in[i], .out = &w->in[i], .scratch = r->scratch, .batch = 1, .threads = b->lower->threads};
        if (r->kernel.run && r->kernel.run(r->kernel.state, &arguments) != GM_OK)
            return -1;
    }
    gm_kernel_arguments arguments = {
        .in = w->in, .out = b->out, .scratch = w->scratch, .batch = 1, .threads = b->lower->threads};
    return w->lower.kernel.run(w->lower.kernel.state, &arguments) == GM_OK ? gm_now() - start : -1;
}

static void drop_slow(bench *b)
{
    double best = -1;
    for (size_t i = 0; i < b->count; i++)
        if (!b->ways[i].dropped && (best < 0 || b->ways[i].best < best))
            best = b->ways[i].best;
    for (size_t i = 0; i < b->count; i++)
        b->ways[i].dropped = b->ways[i].dropped || b->ways[i].best > hopeless * best;
}

static void run_round(bench *b, bool first)
{
    for (size_t i = 0; i < b->count; i++) {
        way *w = &b->ways[i];
        double seconds = w->dropped ? -1 : run_way(b, w);
        w->dropped = seconds < 0;
        if (!w->dropped && (first || seconds < w->best))
            w->best = seconds;
    }
}

/* The ways take turns, so that what else the machine does meets all of them. */
static void time_ways(bench *b)
{
    double start, seconds = 0;
    run_round(b, true); /* warms up: kernels that are generated at their first call, caches, threads */
    start = gm_now();
    for (int round = 0; round < LEAST_ROUNDS || (round < MOST_ROUNDS && seconds < enough_seconds); round++) {
        run_round(b, !round);
        seconds = gm_now() - start;
        if (round + 1 >= LEAST_ROUNDS && seconds >= early_seconds)
            drop_slow(b);
    }
}

static int fastest(const bench *b)
{
    const way *best = NULL;
    for (size_t i = 0; i < b->count; i++)
        if (!b->ways[i].dropped && (!best || b->ways[i].best < best->best * (best == b->ways ? margin : 1)))
            best = &b->ways[i];
    return best ? best->formulation : -1;
}

static int measure(bench *b)
{
    int threads = omp_get_max_threads(), found = -1;
    omp_set_num_threads(b->lower->threads);
    make_ways(b);
    if (b->count == 1) {
        found = b->ways[0].formulation;
    } else if (b->count && make_buffers(b) == GM_OK) {
        time_ways(b);
        found = fastest(b);
    }
    omp_set_num_threads(threads);
    for (size_t i = 0; i < b->count; i++)
        end_way(b, &b->ways[i]);
    for (size_t i = 0; b->in && i < b->lower->node->input_count; i++)
        gm_free(b->context, b->in[i]);
    for (size_t i = 0; b->out && i < b->lower->node->output_count; i++)
        gm_free(b->context, b->out[i]);
    return found;
}

int gm_tune_measure(const gm_lower *lower)
{
    gm_pool *pool = gm_pool_create(lower->context);
    bench *b = pool ? gm_pool_alloc(pool, sizeof *b) : NULL;
    int found = -1;
    if (b) {
        b->context = lower->context;
        b->pool = pool;
        b->lower = lower;
        found = measure(b);
    }
    gm_pool_destroy(pool);
    gm_clear_message(lower->context);
    return found;
}

/* --- The machine ---------------------------------------------------------------------------------------------------------- */

/* Linux tells of the first processor up to an empty line: "model name : AMD EPYC". */
void gm_tune_processor(char *text, size_t bytes)
{
    char line[256], name[96] = "", family[16] = "?", model[16] = "?";
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file && fgets(line, sizeof line, file) && line[0] != '\n') {
        char *value = strchr(line, ':');
        if (!value)
            continue;
        value[strcspn(value, "\n")] = 0;
        value += 1 + strspn(value + 1, " ");
        if (strncmp(line, "model name", 10) == 0)
            snprintf(name, sizeof name, "%s", value);
        else if (strncmp(line, "cpu family", 10) == 0)
            snprintf(family, sizeof family, "%s", value);
        else if (strncmp(line, "model", 5) == 0)
            snprintf(model, sizeof model, "%s", value);
    }
    if (file)
        fclose(file);
    if (name[0])
        snprintf(text, bytes, "%s (family %s, model %s)", name, family, model);
    else
        snprintf(text, bytes, "unknown processor");
}
