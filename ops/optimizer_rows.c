/* Updates of the rows of a table that a step gathered, in place: what SGD and Adagrad do to a table whose gradient is
 * zero everywhere else, at a cost that does not grow with the table. graph/sparse.c makes these nodes.
 *
 *   inputs   R (rate) [T (number of this update)], X [V, ...], [H: the slot], then for each Gather of X its ids (of any
 *            shape) and the gradient of its result (rows) [, what replaces attributes]
 *   outputs  X [, H]
 *
 * The rows of one id are added up first, in the order of the ids and Gather by Gather, as gmodel.GatherGrad and Add do:
 * the result is that of the update of the whole table, bit for bit. For this the occurrences of ids are sorted (stable,
 * by digits); groups of equal ids are shared out among threads. */
#include "ops/optimizer.h"

#include <string.h>

#define DIGIT_BITS        11
#define DIGITS            (1 << DIGIT_BITS)
#define TILE              256 /* columns of a row that are added up at a time */
#define AHEAD             4   /* groups between the one whose rows are fetched and the one that is updated */
#define LINE              16  /* floats of a line of cache */
#define PARALLEL_ELEMENTS 16384

/* --- Where things stand in the lists ---------------------------------------------------------------------------------- */

/* Input that holds X; H stands behind it. */
static size_t x_input(const gm_update_rule *rule)
{
    return rule->counts ? 2 : 1;
}

static size_t first_site(const gm_update_rule *rule)
{
    return x_input(rule) + 1 + rule->slots;
}

static size_t sites_of(const gm_node *node, const gm_update_rule *rule)
{
    size_t others = first_site(rule) + gm_update_given(node);
    return node->input_count < others ? 0 : (node->input_count - others) / 2;
}

static int rows_update_input(const gm_node *node, size_t output)
{
    const gm_update_rule *rule = gm_update_rule_of(node);
    return output <= rule->slots ? (int)(x_input(rule) + output) : -1;
}

static bool is_scalar(const gm_value *value)
{
    return value->rank == 0 || (value->rank == 1 && value->dims[0] == 1);
}

/* rows: the shape of ids, then that of X without its first axis */
static gm_status check_site(gm_graph *graph, gm_node *node, const gm_value *x, gm_value_id ids_id, gm_value_id rows_id)
{
    const gm_value *ids = gm_value_of(graph, ids_id), *rows = gm_value_of(graph, rows_id);
    char a[160], b[160];
    if (ids->type != GM_INT64 && ids->type != GM_INT32)
        return gm_node_fail(graph, node, "ids must be int64 or int32, found %s", gm_type_name(ids->type));
    if (rows->type == x->type && rows->rank == ids->rank + x->rank - 1 &&
        memcmp(rows->dims, ids->dims, (size_t)ids->rank * sizeof ids->dims[0]) == 0 &&
        memcmp(rows->dims + ids->rank, x->dims + 1, (size_t)(x->rank - 1) * sizeof x->dims[0]) == 0)
        return GM_OK;
    return gm_node_fail(graph, node, "rows %s do not fit ids %s", gm_shape_text(graph, rows_id, a, sizeof a),
                        gm_shape_text(graph, ids_id, b, sizeof b));
}

static gm_status rows_infer(gm_graph *graph, gm_node *node)
{
    const gm_update_rule *rule = gm_update_rule_of(node);
    size_t sites = sites_of(node, rule), first = first_site(rule), given = gm_update_given(node);
    const gm_value *x;
    if (given > GM_UPDATE_GIVEN || !sites || node->input_count != first + 2 * sites + given)
        return gm_node_fail(graph, node, "takes %zu inputs and then two for each Gather, found %zu", first,
                            node->input_count);
    for (size_t i = 0; i < node->input_count; i++)
        if (!node->inputs[i])
            return gm_node_fail(graph, node, "input %zu must not be left out", i + 1);
    x = gm_value_of(graph, node->inputs[x_input(rule)]);
    if (x->rank < 1 || node->output_count != 1 + rule->slots)
        return gm_node_fail(graph, node, "has %zu outputs, and the table has at least one axis", 1 + rule->slots);
    for (size_t i = 0; i < node->input_count; i++) {
        bool scalar = i < x_input(rule) || i >= first + 2 * sites;
        if (scalar && !is_scalar(gm_value_of(graph, node->inputs[i])))
            return gm_node_fail(graph, node, "input %zu must be a scalar", i + 1);
    }
    for (size_t k = 0; k < rule->slots; k++) {
        const gm_value *slot = gm_value_of(graph, node->inputs[x_input(rule) + 1 + k]);
        if (slot->type != x->type || slot->rank != x->rank ||
            memcmp(slot->dims, x->dims, (size_t)x->rank * sizeof x->dims[0]) != 0)
            return gm_node_fail(graph, node, "the slot of '%s' has another type or shape", x->name);
    }
    for (size_t site = 0; site < sites; site++)
        GM_TRY(check_site(graph, node, x, node->inputs[first + 2 * site], node->inputs[first + 2 * site + 1]));
    for (size_t o = 0; o < node->output_count; o++)
        gm_set_output_like(graph, node, o, node->inputs[rows_update_input(node, o)]);
    return graph->status;
}

static gm_status index_outside(gm_context *context, const gm_node *node, int64_t index, int64_t rows)
{
    return gm_fail(context, GM_ERROR_DATA, "node '%s' (%s): index %lld is outside [%lld, %lld)",
                   node->path ? node->path : "", node->op->name, (long long)index, (long long)-rows, (long long)rows);
}

/* --- Reference: every element on its own, occurrences found by looking through all ids -------------------------------- */

typedef struct row_view {
    const gm_tensor *in; /* ids and rows of the first site; the others follow */
    size_t sites;
    int64_t table_rows, width;
} row_view;

static int64_t row_at(const row_view *view, size_t site, int64_t i)
{
    int64_t id = gm_get_int(&view->in[2 * site], i);
    return id < 0 ? id + view->table_rows : id;
}

static bool is_first(const row_view *view, size_t site, int64_t i)
{
    int64_t row = row_at(view, site, i);
    for (size_t s = 0; s <= site; s++)
        for (int64_t k = 0; k < (s == site ? i : gm_tensor_count(&view->in[2 * s])); k++)
            if (row_at(view, s, k) == row)
                return false;
    return true;
}

static double sum_at(const row_view *view, int64_t row, int64_t column)
{
    double sum = 0;
    for (size_t s = 0; s < view->sites; s++)
        for (int64_t k = 0; k < gm_tensor_count(&view->in[2 * s]); k++)
            if (row_at(view, s, k) == row)
                sum += gm_get(&view->in[2 * s + 1], k * view->width + column);
    return sum;
}

static gm_status rows_reference(const gm_compute *compute)
{
    const gm_node *node = compute->node;
    const gm_update_rule *rule = gm_update_rule_of(node);
    size_t given = gm_update_given(node);
    const gm_tensor *in = compute->in, *x = &in[x_input(rule)];
    row_view view = {&in[first_site(rule)], sites_of(node, rule), x->dims[0], 1};
    double given_values[GM_UPDATE_GIVEN] = {0};
    gm_update_settings settings;
    for (int i = 1; i < x->rank; i++)
        view.width *= x->dims[i];
    for (size_t i = 0; i < given; i++)
        given_values[i] = gm_get(&in[node->input_count - given + i], 0);
    gm_update_read(node, gm_get(&in[0], 0), rule->counts ? gm_get(&in[1], 0) : 0.0, given_values, &settings);
    for (size_t s = 0; s < view.sites; s++)
        for (int64_t i = 0; i < gm_tensor_count(&view.in[2 * s]); i++)
            if (row_at(&view, s, i) < 0 || row_at(&view, s, i) >= view.table_rows)
                return index_outside(compute->context, node, gm_get_int(&view.in[2 * s], i), view.table_rows);
    for (size_t o = 0; o < node->output_count; o++)
        if (compute->out[o].data && compute->out[o].data != x[o].data)
            memcpy(compute->out[o].data, x[o].data, gm_tensor_bytes(&x[o]));
    for (size_t s = 0; s < view.sites; s++)
        for (int64_t i = 0; i < gm_tensor_count(&view.in[2 * s]); i++)
            for (int64_t c = 0; is_first(&view, s, i) && c < view.width; c++) {
                int64_t at = row_at(&view, s, i) * view.width + c;
                double slot[GM_UPDATE_SLOTS] = {0}, result;
                for (size_t k = 0; k < rule->slots; k++)
                    slot[k] = gm_get(&x[1 + k], at);
                result = rule->element(&settings, gm_get(x, at), sum_at(&view, at / view.width, c), slot);
                if (compute->out[0].data)
                    gm_set(&compute->out[0], at, result);
                for (size_t k = 0; k < rule->slots; k++)
                    if (compute->out[1 + k].data)
                        gm_set(&compute->out[1 + k], at, slot[k]);
            }
    return GM_OK;
}

/* --- Sorting ---------------------------------------------------------------------------------------------------------- */

typedef struct rows_site {
    gm_type type; /* of the ids */
    size_t first; /* number of its first occurrence */
    size_t count;
} rows_site;

typedef struct rows_kernel {
    gm_context *context;
    gm_node node; /* a copy: its attributes are read at each run */
    const gm_update_rule *rule;
    gm_type scalar_types[2 + GM_UPDATE_GIVEN]; /* R, T, given */
    size_t given, site_count, total;           /* total: occurrences */
    rows_site *sites;
    int64_t table_rows;
    size_t width, table_bytes;
} rows_kernel;

/* The parts of the scratch: numbers of rows and of occurrences, twice, where groups begin, a count for each digit. */
typedef struct rows_scratch {
    uint32_t *key[2], *occurrence[2], *start, *digits;
} rows_scratch;

static size_t scratch_bytes(size_t total)
{
    return (5 * total + 1 + DIGITS) * sizeof(uint32_t);
}

static rows_scratch scratch_in(void *memory, size_t total)
{
    uint32_t *at = memory;
    return (rows_scratch){{at, at + total}, {at + 2 * total, at + 3 * total}, at + 4 * total, at + 5 * total + 1};
}

static gm_status read_ids(const rows_kernel *kernel, const gm_kernel_arguments *arguments, uint32_t *key,
                          uint32_t *occurrence)
{
    for (size_t s = 0; s < kernel->site_count; s++) {
        const rows_site *site = &kernel->sites[s];
        const void *ids = arguments->in[first_site(kernel->rule) + 2 * s];
        for (size_t i = 0; i < site->count; i++) {
            int64_t id = site->type == GM_INT64 ? ((const int64_t *)ids)[i] : ((const int32_t *)ids)[i];
            int64_t row = id < 0 ? id + kernel->table_rows : id;
            if (row < 0 || row >= kernel->table_rows)
                return index_outside(kernel->context, &kernel->node, id, kernel->table_rows);
            key[site->first + i] = (uint32_t)row;
            occurrence[site->first + i] = (uint32_t)(site->first + i);
        }
    }
    return GM_OK;
}

/* Stable, from the lowest digit up. Returns which of the two arrays holds the result. */
static int sort(const rows_kernel *kernel, const rows_scratch *scratch)
{
    int from = 0;
    for (int shift = 0; shift < 32 && (kernel->table_rows - 1) >> shift; shift += DIGIT_BITS, from = !from) {
        const uint32_t *key = scratch->key[from], *occurrence = scratch->occurrence[from];
        uint32_t before = 0;
        memset(scratch->digits, 0, DIGITS * sizeof *scratch->digits);
        for (size_t i = 0; i < kernel->total; i++)
            scratch->digits[key[i] >> shift & (DIGITS - 1)]++;
        for (size_t d = 0; d < DIGITS; d++) {
            uint32_t here = scratch->digits[d];
            scratch->digits[d] = before;
            before += here;
        }
        for (size_t i = 0; i < kernel->total; i++) {
            uint32_t to = scratch->digits[key[i] >> shift & (DIGITS - 1)]++;
            scratch->key[!from][to] = key[i];
            scratch->occurrence[!from][to] = occurrence[i];
        }
    }
    return from;
}

/* --- Updating --------------------------------------------------------------------------------------------------------- */

/* Occurrences sorted by row: group g is start[g] ... start[g + 1] - 1. */
typedef struct rows_groups {
    const uint32_t *key, *occurrence, *start;
    size_t count;
} rows_groups;

/* Adds up columns `from` ... + `width` of a group's rows: those of one Gather, then these sums. */
static void sum_rows(const rows_kernel *kernel, const gm_kernel_arguments *arguments, const uint32_t *occurrence,
                     size_t count, size_t from, size_t width, float *sum)
{
    float own[TILE];
    size_t site = 0;
    for (size_t i = 0; i < count;) {
        float *to = i == 0 ? sum : own;
        const float *rows;
        while (occurrence[i] >= kernel->sites[site].first + kernel->sites[site].count)
            site++;
        rows = (const float *)arguments->in[first_site(kernel->rule) + 2 * site + 1] + from;
        memset(to, 0, width * sizeof *to);
        for (; i < count && occurrence[i] < kernel->sites[site].first + kernel->sites[site].count; i++) {
            const float *row = rows + (occurrence[i] - kernel->sites[site].first) * kernel->width;
            for (size_t c = 0; c < width; c++)
                to[c] += row[c];
        }
        for (size_t c = 0; to == own && c < width; c++)
            sum[c] += own[c];
    }
}

/* Tables do not fit into caches: their rows are asked for before their turn comes. */
static void fetch(const rows_kernel *kernel, const gm_kernel_arguments *arguments, uint32_t row, uint32_t occurrence)
{
    size_t site = 0;
    const float *gradient;
    while (occurrence >= kernel->sites[site].first + kernel->sites[site].count)
        site++;
    gradient = (const float *)arguments->in[first_site(kernel->rule) + 2 * site + 1] +
               (occurrence - kernel->sites[site].first) * kernel->width;
    for (size_t c = 0; c < kernel->width && c < TILE; c += LINE)
        __builtin_prefetch(gradient + c);
    for (size_t o = 0; o <= kernel->rule->slots; o++) {
        const float *at = (const float *)arguments->out[o] + row * kernel->width;
        for (size_t c = 0; c < kernel->width && c < TILE; c += LINE)
            __builtin_prefetch(at + c, 1);
    }
}

static void update_groups(const rows_kernel *kernel, const gm_kernel_arguments *arguments,
                          const gm_update_settings *settings, const rows_groups *groups, size_t first, size_t end)
{
    size_t slots = kernel->rule->slots;
    float sum[TILE];
    for (size_t g = first; g < end; g++) {
        if (g + AHEAD < end)
            fetch(kernel, arguments, groups->key[groups->start[g + AHEAD]],
                  groups->occurrence[groups->start[g + AHEAD]]);
        for (size_t from = 0; from < kernel->width; from += TILE) {
            size_t at = groups->key[groups->start[g]] * kernel->width + from;
            size_t width = kernel->width - from < TILE ? kernel->width - from : TILE;
            const float *in[2 + GM_UPDATE_SLOTS] = {(const float *)arguments->out[0] + at, sum};
            float *out[1 + GM_UPDATE_SLOTS] = {(float *)arguments->out[0] + at};
            for (size_t k = 0; k < slots; k++)
                in[2 + k] = out[1 + k] = (float *)arguments->out[1 + k] + at;
            sum_rows(kernel, arguments, groups->occurrence + groups->start[g], groups->start[g + 1] - groups->start[g],
                     from, width, sum);
            kernel->rule->loop(settings, in, out, width);
        }
    }
}

/* The first group that begins at occurrence `from` or behind it. */
static size_t group_from(const rows_groups *groups, size_t from)
{
    size_t low = 0, high = groups->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (groups->start[middle] < from)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void read_scalars(const rows_kernel *kernel, const gm_kernel_arguments *arguments, gm_update_settings *settings)
{
    double given[GM_UPDATE_GIVEN] = {0};
    size_t last = kernel->node.input_count - kernel->given;
    for (size_t i = 0; i < kernel->given; i++)
        given[i] = gm_update_scalar(kernel->scalar_types[2 + i], arguments->in[last + i]);
    gm_update_read(&kernel->node, gm_update_scalar(kernel->scalar_types[0], arguments->in[0]),
                   kernel->rule->counts ? gm_update_scalar(kernel->scalar_types[1], arguments->in[1]) : 0.0, given,
                   settings);
}

static gm_status run_rows(const void *state, const gm_kernel_arguments *arguments)
{
    const rows_kernel *kernel = state;
    rows_scratch scratch = scratch_in(arguments->scratch, kernel->total);
    size_t x = x_input(kernel->rule), parts = (size_t)arguments->threads;
    gm_update_settings settings;
    rows_groups groups;
    int sorted;
    GM_TRY(read_ids(kernel, arguments, scratch.key[0], scratch.occurrence[0]));
    sorted = sort(kernel, &scratch);
    groups = (rows_groups){scratch.key[sorted], scratch.occurrence[sorted], scratch.start, 0};
    for (size_t i = 0; i < kernel->total; i++)
        if (i == 0 || groups.key[i] != groups.key[i - 1])
            scratch.start[groups.count++] = (uint32_t)i;
    scratch.start[groups.count] = (uint32_t)kernel->total;
    for (size_t o = 0; o <= kernel->rule->slots; o++) /* in place in every plan that trains */
        if (arguments->out[o] != arguments->in[x + o])
            memcpy(arguments->out[o], arguments->in[x + o], kernel->table_bytes);
    read_scalars(kernel, arguments, &settings);
    parts = kernel->total * kernel->width > PARALLEL_ELEMENTS ? parts : 1;
#pragma omp parallel for num_threads(arguments->threads) schedule(static) if (parts > 1)
    for (size_t part = 0; part < parts; part++)
        update_groups(kernel, arguments, &settings, &groups, group_from(&groups, kernel->total * part / parts),
                      group_from(&groups, kernel->total * (part + 1) / parts));
    return GM_OK;
}

static gm_status rows_lower(gm_lower *lower)
{
    const gm_node *node = lower->node;
    const gm_update_rule *rule = gm_update_rule_of(node);
    const gm_value *x = gm_value_of(lower->graph, node->inputs[x_input(rule)]);
    size_t sites = sites_of(node, rule), given = gm_update_given(node);
    rows_kernel *kernel;
    for (size_t o = 0; o < node->output_count; o++)
        if (!lower->out_wanted[o] || x->type != GM_FLOAT || x->dims[0] < 1 || x->dims[0] > UINT32_MAX)
            return GM_OK;
    kernel = gm_pool_alloc(lower->pool, sizeof *kernel);
    if (!kernel || !(kernel->sites = gm_pool_array(lower->pool, sites + 1, sizeof *kernel->sites)))
        return GM_ERROR_MEMORY;
    kernel->context = lower->context;
    kernel->node = *node;
    kernel->rule = rule;
    kernel->given = given;
    kernel->site_count = sites;
    kernel->table_rows = x->dims[0];
    kernel->width = (size_t)(gm_lower_count(lower, node->outputs[0]) / x->dims[0]);
    kernel->table_bytes = (size_t)gm_lower_count(lower, node->outputs[0]) * sizeof(float);
    for (size_t i = 0; i < x_input(rule); i++)
        kernel->scalar_types[i] = gm_value_of(lower->graph, node->inputs[i])->type;
    for (size_t i = 0; i < given; i++)
        kernel->scalar_types[2 + i] = gm_value_of(lower->graph, node->inputs[node->input_count - given + i])->type;
    for (size_t s = 0; s < sites; s++) {
        gm_value_id ids = node->inputs[first_site(rule) + 2 * s];
        kernel->sites[s] =
            (rows_site){gm_value_of(lower->graph, ids)->type, kernel->total, (size_t)gm_lower_count(lower, ids)};
        kernel->total += kernel->sites[s].count;
    }
    if (kernel->total > UINT32_MAX)
        return GM_OK;
    for (size_t o = 0; o < node->output_count; o++)
        lower->in_place[o] = rows_update_input(node, o);
    lower->scratch_bytes = scratch_bytes(kernel->total);
    lower->kernel.state = kernel;
    lower->kernel.run = run_rows;
    return GM_OK;
}

/* --- The operators ---------------------------------------------------------------------------------------------------- */

static const gm_attribute_schema adagrad_attributes[] = {
    {"decay_factor", GM_ATTRIBUTE_FLOAT, GM_DEFAULT, .f = 0.0},
    {"epsilon", GM_ATTRIBUTE_FLOAT, GM_DEFAULT, .f = 1e-6},
    {"given", GM_ATTRIBUTE_STRING, GM_OPTIONAL, .s = NULL},
};

const gm_operator gm_op_sparse_sgd = {.domain = "gmodel",
                                      .name = "SparseSGD",
                                      .since = 1,
                                      .inputs = "R X ids_rows",
                                      .outputs = "X_new",
                                      .types = GM_TYPES_FLOATING,
                                      .flags = GM_OP_UPDATE | GM_OP_VARIADIC | GM_OP_ROWS,
                                      .infer = rows_infer,
                                      .reference = rows_reference,
                                      .lower = rows_lower,
                                      .update_input = rows_update_input};

const gm_operator gm_op_sparse_adagrad = {.domain = "gmodel",
                                          .name = "SparseAdagrad",
                                          .since = 1,
                                          .inputs = "R T X H ids_rows",
                                          .outputs = "X_new H_new",
                                          .types = GM_TYPES_FLOATING,
                                          .flags = GM_OP_UPDATE | GM_OP_VARIADIC | GM_OP_ROWS,
                                          .attributes = adagrad_attributes,
                                          .attribute_count = GM_COUNT(adagrad_attributes),
                                          .infer = rows_infer,
                                          .reference = rows_reference,
                                          .lower = rows_lower,
                                          .update_input = rows_update_input};
