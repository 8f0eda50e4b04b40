/* gmodel.RandomChoice: numbers of entries, drawn with probabilities proportional to weights.
 *
 * c = the running sums of the weights in float64, u(e) = 53 bits of words 2e and 2e + 1 (ops/philox.h), in [0, 1):
 * element e is the first i with c[i] > u(e) c[V - 1]. A guide (Chen & Asau 1974, "On generating random variates from an
 * empirical distribution") cuts [0, 1) into a power of two equal parts and knows for each where the search begins, so that
 * a draw takes one or two comparisons on average, however many weights there are, and gives the same number as a search
 * through all of c. Weights that are constants are summed once, when the plan is made. */
#include "ops/kernel.h"
#include "ops/philox.h"

#include <math.h>
#include <string.h>

#define CHUNK     4096               /* elements that one thread draws at a time */
#define GROUP     64                 /* elements whose entries are looked up together */
#define LARGEST   ((int64_t)1 << 31) /* entries */
#define ALIGNMENT 64                 /* bytes */

typedef struct choice_table {
    int64_t count;
    int guide_bits;
    double *sums;    /* count */
    uint32_t *guide; /* 2^guide_bits + 1: the first i with sums[i] > k 2^-guide_bits total */
} choice_table;

static int guide_bits_of(int64_t count)
{
    int bits = 0;
    while (bits < 24 && ((int64_t)1 << bits) < count)
        bits++;
    return bits;
}

static size_t sums_bytes(int64_t count)
{
    return ((size_t)count * sizeof(double) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static size_t table_bytes(int64_t count)
{
    return sums_bytes(count) + (((size_t)1 << guide_bits_of(count)) + 1) * sizeof(uint32_t);
}

static choice_table table_in(void *memory, int64_t count)
{
    return (choice_table){count, guide_bits_of(count), memory,
                          (uint32_t *)(void *)((char *)memory + sums_bytes(count))};
}

static gm_status fill_table(gm_context *context, const gm_node *node, const gm_tensor *weights, choice_table *table)
{
    int64_t parts = (int64_t)1 << table->guide_bits, i = 0;
    double total = 0;
    for (int64_t k = 0; k < table->count; k++) {
        double weight = gm_get(weights, k);
        if (!(weight >= 0.0) || isinf(weight))
            return gm_fail(context, GM_ERROR_DATA,
                           "node '%s' (RandomChoice): weight %lld is %g; weights are numbers >= 0",
                           node->path ? node->path : "", (long long)k, weight);
        total += weight;
        table->sums[k] = total;
    }
    if (!(total > 0.0) || isinf(total))
        return gm_fail(context, GM_ERROR_DATA,
                       "node '%s' (RandomChoice): the sum of the weights is %g, not a number > 0",
                       node->path ? node->path : "", total);
    for (int64_t part = 0; part <= parts; part++) {
        double from = ldexp((double)part, -table->guide_bits) * total;
        while (i < table->count - 1 && table->sums[i] <= from)
            i++;
        table->guide[part] = (uint32_t)i;
    }
    return GM_OK;
}

static uint64_t part_of(const choice_table *table, uint64_t bits)
{
    return bits >> (53 - table->guide_bits);
}

/* The first i with sums[i] > bits 2^-53 total. */
static int64_t choose(const choice_table *table, uint64_t bits)
{
    double at = (double)bits * 0x1p-53 * table->sums[table->count - 1];
    uint32_t low = table->guide[part_of(table, bits)], high = table->guide[part_of(table, bits) + 1];
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (table->sums[middle] > at)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Elements first ... first + count - 1 of the draw, at most GROUP. A large table is not in the caches: all its entries that
 * the group needs are asked for before the first is read. */
static void choose_group(const choice_table *table, uint64_t key, uint64_t run, uint64_t first, size_t count,
                         int64_t *out)
{
    uint64_t bits[GROUP];
    uint32_t words[4];
    for (size_t i = 0; i < count; i++) {
        size_t pair = (size_t)((first + i) % 2) * 2;
        if (i == 0 || pair == 0)
            gm_philox(key, run, (first + i) / 2, words);
        bits[i] = (uint64_t)(words[pair] >> 5) << 26 | words[pair + 1] >> 6;
        __builtin_prefetch(&table->guide[part_of(table, bits[i])]);
    }
    for (size_t i = 0; i < count; i++) {
        size_t part = part_of(table, bits[i]);
        __builtin_prefetch(&table->sums[table->guide[part] + (table->guide[part + 1] - table->guide[part]) / 2]);
    }
    for (size_t i = 0; i < count; i++)
        out[i] = choose(table, bits[i]);
}

static void choose_many(const choice_table *table, uint64_t key, uint64_t run, uint64_t first, int64_t count,
                        int64_t *out)
{
    for (int64_t done = 0; done < count; done += GROUP)
        choose_group(table, key, run, first + (uint64_t)done, (size_t)(count - done < GROUP ? count - done : GROUP),
                     out + done);
}

static gm_status choice_infer(gm_graph *graph, gm_node *node)
{
    const gm_value *weights = gm_value_of(graph, node->inputs[0]);
    const int64_t *shape;
    size_t rank = gm_node_ints(node, "shape", &shape);
    gm_dim dims[GM_MAX_RANK];
    char text[160];
    if (weights->rank != 1 ||
        (gm_dim_is_known(weights->dims[0]) && (weights->dims[0] < 1 || (int64_t)weights->dims[0] > LARGEST)))
        return gm_node_fail(graph, node, "the weights must be a vector of at least one number, found %s",
                            gm_shape_text(graph, node->inputs[0], text, sizeof text));
    if (rank > GM_MAX_RANK)
        return gm_node_fail(graph, node, "shape has %zu axes; at most %d are supported", rank, GM_MAX_RANK);
    for (size_t i = 0; i < rank; i++)
        dims[i] = shape[i];
    gm_set_output(graph, node, 0, GM_INT64, (int)rank, dims);
    return graph->status;
}

static gm_status choice_reference(const gm_compute *compute)
{
    const gm_tensor *weights = &compute->in[0], *out = &compute->out[0];
    int64_t count = gm_tensor_count(out), entries = gm_tensor_count(weights);
    choice_table table;
    gm_status status;
    void *memory;
    if (!out->data)
        return GM_OK;
    memory = gm_alloc(compute->context, table_bytes(entries));
    if (!memory)
        return GM_ERROR_MEMORY;
    table = table_in(memory, entries);
    status = fill_table(compute->context, compute->node, weights, &table);
    if (status == GM_OK)
        choose_many(&table, compute->key, compute->run, gm_draw_first(count, compute->row, compute->batch), count,
                    out->data);
    gm_free(compute->context, memory);
    return status;
}

typedef struct choice_kernel {
    gm_context *context;
    gm_node node; /* a copy, for messages */
    gm_draw draw;
    int64_t count;
    bool constant;      /* the table was filled when the plan was made */
    choice_table table; /* of constant weights */
    gm_tensor weights;
} choice_kernel;

static gm_status run_choice(const void *state, const gm_kernel_arguments *arguments)
{
    const choice_kernel *kernel = state;
    uint64_t run = arguments->run;
    uint64_t key = gm_draw_key(&kernel->draw, arguments->seed, arguments->override_seeds, &run);
    uint64_t base = gm_draw_first(kernel->count, arguments->row, arguments->batch);
    int64_t chunks = (kernel->count + CHUNK - 1) / CHUNK, *out = arguments->out[0];
    choice_table table = kernel->table;
    if (!kernel->constant) {
        gm_tensor weights = kernel->weights;
        weights.data = arguments->in[0];
        table = table_in(arguments->scratch, gm_tensor_count(&weights));
        GM_TRY(fill_table(kernel->context, &kernel->node, &weights, &table));
    }
#pragma omp parallel for num_threads(arguments->threads) schedule(static) if (chunks > 1 && arguments->threads > 1)
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        int64_t first = chunk * CHUNK, left = kernel->count - first;
        choose_many(&table, key, run, base + (uint64_t)first, left < CHUNK ? left : CHUNK, out + first);
    }
    return GM_OK;
}

static gm_status choice_lower(gm_lower *lower)
{
    const gm_node *node = lower->node;
    const gm_value *weights = gm_value_of(lower->graph, node->inputs[0]);
    const gm_tensor *constant = gm_constant_of(lower->graph, node->inputs[0]);
    int64_t entries = gm_lower_count(lower, node->inputs[0]);
    choice_kernel *kernel;
    void *memory;
    if (lower->reference)
        return GM_OK;
    kernel = gm_pool_alloc(lower->pool, sizeof *kernel);
    if (!kernel)
        return GM_ERROR_MEMORY;
    *kernel = (choice_kernel){.context = lower->context,
                              .node = *node,
                              .draw = gm_draw_of(node),
                              .count = gm_lower_count(lower, node->outputs[0]),
                              .constant = constant != NULL,
                              .weights = {.type = weights->type, .rank = 1, .dims = {entries}}};
    if (constant) {
        memory = gm_pool_alloc(lower->pool, table_bytes(entries));
        if (!memory)
            return GM_ERROR_MEMORY;
        kernel->table = table_in(memory, entries);
        GM_TRY(fill_table(lower->context, node, constant, &kernel->table));
    } else {
        lower->scratch_bytes = table_bytes(entries);
    }
    lower->kernel.state = kernel;
    lower->kernel.run = run_choice;
    return GM_OK;
}

static const gm_attribute_schema choice_attributes[] = {{"shape", GM_ATTRIBUTE_INTS, GM_REQUIRED, .i = 0},
                                                        {"seed", GM_ATTRIBUTE_INT, GM_OPTIONAL, .i = 0}};

/* weights [V] -> int64 of `shape`, each element in [0, V) */
const gm_operator gm_op_random_choice = {.domain = "gmodel",
                                         .name = "RandomChoice",
                                         .since = 1,
                                         .inputs = "weights",
                                         .outputs = "output",
                                         .types = GM_TYPES_NUMERIC,
                                         .flags = GM_OP_RANDOM,
                                         .attributes = choice_attributes,
                                         .attribute_count = GM_COUNT(choice_attributes),
                                         .infer = choice_infer,
                                         .zero_gradient = true,
                                         .reference = choice_reference,
                                         .lower = choice_lower};
