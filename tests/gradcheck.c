/* Signed finite-difference checks of gradient rules. See gradcheck.h. */
#include "tests/gradcheck.h"

#include "graph/interpret.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP        1e-5
#define BATCH       2  /* what the symbol N is bound to */
#define MAX_FED     32 /* graph inputs: drawn inputs and the seeds of both orders */
#define KINK_MARGIN 0.04

/* One graph input: what it is fed with and how it was written. */
typedef struct fed_input {
    gm_value_id value;
    gm_tensor *tensor;
    double low, high;
} fed_input;

typedef struct gradcheck_run {
    const gradcheck_case *check;
    gm_context *context;
    gm_pool *pool;
    gm_graph *graph, *bound;
    gm_value_id *map; /* from graph into bound */
    gm_dim batch;
    fed_input fed[MAX_FED];
    size_t fed_count;
    uint64_t random;
} gradcheck_run;

static double draw(gradcheck_run *run)
{
    run->random = run->random * 6364136223846793005u + 1442695040888963407u;
    return (double)(run->random >> 11) / 9007199254740992.0;
}

/* --- Reading the case
 * -------------------------------------------------------------------------------------------------- */

/* "Nx3x4" -> dims with the symbol, sizes with numbers. */
static const char *read_shape(const gradcheck_run *run, const char *text, int *rank_out, gm_dim *dims, int64_t *sizes)
{
    int rank = 0;
    if (strncmp(text, "scalar", 6) == 0) {
        *rank_out = 0;
        return text + 6;
    }
    while (*text && *text != ' ') {
        char *end = NULL;
        ck_assert_int_lt(rank, GM_MAX_RANK);
        if (*text == 'N') {
            dims[rank] = run->batch;
            sizes[rank] = BATCH;
            end = (char *)text + 1;
        } else {
            dims[rank] = sizes[rank] = strtoll(text, &end, 10);
            ck_assert_msg(end != text, "%s: cannot read the shape at '%s'", run->check->op, text);
        }
        rank++;
        text = *end == 'x' ? end + 1 : end;
    }
    *rank_out = rank;
    return text;
}

static size_t feed(gradcheck_run *run, gm_value_id value, int rank, const int64_t *sizes)
{
    fed_input *fed = &run->fed[run->fed_count];
    ck_assert_uint_lt(run->fed_count, MAX_FED);
    fed->value = value;
    fed->tensor = gm_tensor_create(run->pool, GM_DOUBLE, rank, sizes);
    fed->low = -1.5;
    fed->high = 1.5;
    ck_assert_ptr_nonnull(fed->tensor);
    return run->fed_count++;
}

static gm_value_id read_constant(gradcheck_run *run, const char *text, gm_type type)
{
    gm_dim dims[GM_MAX_RANK];
    int64_t sizes[GM_MAX_RANK];
    int rank;
    const char *at = read_shape(run, text, &rank, dims, sizes);
    gm_tensor *tensor = gm_tensor_create(run->pool, type, rank, sizes);
    ck_assert_ptr_nonnull(tensor);
    at += strcspn(at, "[");
    for (int64_t i = 0; i < gm_tensor_count(tensor); i++) {
        char *end;
        at += strspn(at, "[ ");
        gm_set(tensor, i, strtod(at, &end));
        ck_assert_msg(end != at, "%s: the constant '%s' has too few numbers", run->check->op, text);
        at = end;
    }
    return gm_graph_constant(run->graph, tensor);
}

static gm_value_id read_input(gradcheck_run *run, const char *text, size_t index)
{
    gm_dim dims[GM_MAX_RANK];
    int64_t sizes[GM_MAX_RANK];
    int rank;
    char name[16], *end;
    size_t fed;
    gm_value_id value;
    if (!*text)
        return 0;
    if (strncmp(text, "int ", 4) == 0)
        return read_constant(run, text + 4, GM_INT64);
    for (int type = 1; type < 32; type++) { /* "bool 3 [0 1 1]" */
        const gm_type_info *info = gm_type_find((gm_type)type);
        size_t length = info ? strlen(info->name) : 0;
        if (info && strncmp(text, info->name, length) == 0 && text[length] == ' ')
            return read_constant(run, text + length + 1, info->type);
    }
    text = read_shape(run, text, &rank, dims, sizes);
    snprintf(name, sizeof name, "x%zu", index);
    value = gm_graph_add_input(run->graph, name, GM_DOUBLE, rank, dims, false);
    fed = feed(run, value, rank, sizes);
    if (*text) {
        run->fed[fed].low = strtod(text, &end);
        run->fed[fed].high = strtod(end, NULL);
    }
    return value;
}

/* The point at `fraction` of [low, high] without the margins around 0 and the kinks, which must ascend. */
static double place(const gradcheck_case *check, double low, double high, double fraction)
{
    double kinks[GM_COUNT(check->kinks) + 1], x;
    size_t count = 0;
    for (size_t k = 0; k < GM_COUNT(check->kinks) && check->kinks[k] < 0.0; k++)
        kinks[count++] = check->kinks[k];
    kinks[count++] = 0.0;
    for (size_t k = 0; k < GM_COUNT(check->kinks); k++)
        if (check->kinks[k] > 0.0)
            kinks[count++] = check->kinks[k];
    for (size_t k = 0; k < count; k++)
        high -= kinks[k] > low && kinks[k] < high ? 2.0 * KINK_MARGIN : 0.0;
    x = low + (high - low) * fraction;
    for (size_t k = 0; k < count; k++)
        x += kinks[k] > low && x > kinks[k] - KINK_MARGIN ? 2.0 * KINK_MARGIN : 0.0;
    return x;
}

/* A permutation of evenly spaced numbers over all inputs. */
static void fill_inputs(gradcheck_run *run)
{
    int64_t count = 0, at = 0;
    int64_t *order;
    for (size_t k = 0; k < run->fed_count; k++)
        count += gm_tensor_count(run->fed[k].tensor);
    order = gm_pool_array(run->pool, (size_t)count + 1, sizeof *order);
    ck_assert_ptr_nonnull(order);
    for (int64_t i = 0; i < count; i++) {
        int64_t j = (int64_t)(draw(run) * (double)(i + 1));
        order[i] = order[j];
        order[j] = i;
    }
    for (size_t k = 0; k < run->fed_count; k++)
        for (int64_t i = 0; i < gm_tensor_count(run->fed[k].tensor); i++) {
            const fed_input *fed = &run->fed[k];
            double fraction = ((double)order[at++] + 0.4) / (double)count;
            gm_set(fed->tensor, i, place(run->check, fed->low, fed->high, fraction));
        }
}

/* --- Evaluation
 * -------------------------------------------------------------------------------------------------------- */

static gm_value_id bound_id(const gradcheck_run *run, gm_value_id id)
{
    return run->map ? run->map[id] : id;
}

/* sum over k of sum(values[k] * seeds[k]) */
static double weighted_sum(const gradcheck_run *run, const gm_tensor *values, const gm_value_id *ids,
                           const gm_value_id *seeds, size_t count)
{
    double sum = 0.0;
    for (size_t k = 0; k < count; k++) {
        const gm_tensor *value, *seed;
        if (!ids[k] || !seeds[k])
            continue;
        value = &values[bound_id(run, ids[k])];
        seed = &values[bound_id(run, seeds[k])];
        for (int64_t i = 0; i < gm_tensor_count(value); i++)
            sum += gm_get(value, i) * gm_get(seed, i);
    }
    return sum;
}

static gm_tensor *evaluate(const gradcheck_run *run, gm_pool *pool)
{
    const gm_tensor *inputs[MAX_FED];
    gm_tensor *values = NULL;
    for (size_t i = 0; i < run->bound->input_count; i++)
        for (size_t k = 0; k < run->fed_count; k++)
            if (bound_id(run, run->fed[k].value) == run->bound->inputs[i].value)
                inputs[i] = run->fed[k].tensor;
    ck_assert_msg(gm_graph_interpret(run->bound, pool, inputs, NULL, 7, 3, &values) == GM_OK, "%s: %s", run->check->op,
                  gm_context_message(run->context));
    return values;
}

static double loss_at(const gradcheck_run *run, const gm_value_id *ids, const gm_value_id *seeds, size_t count)
{
    gm_pool *pool = gm_pool_create(run->context);
    double loss = weighted_sum(run, evaluate(run, pool), ids, seeds, count);
    gm_pool_destroy(pool);
    return loss;
}

/* Compares gradients[k] of the loss by wrt[k] with differences, element by element. */
static void compare(gradcheck_run *run, int order, const gm_value_id *ids, const gm_value_id *seeds, size_t count,
                    const gm_value_id *gradients, const size_t *wrt, size_t wrt_count)
{
    gm_pool *pool = gm_pool_create(run->context);
    gm_tensor *values = evaluate(run, pool);
    double tolerance = run->check->tolerance > 0.0 ? run->check->tolerance : 1e-6;
    for (size_t k = 0; k < wrt_count; k++) {
        gm_tensor *x = run->fed[wrt[k]].tensor;
        for (int64_t i = 0; i < gm_tensor_count(x); i++) {
            double exact = gradients[k] ? gm_get(&values[bound_id(run, gradients[k])], i) : 0.0, plus, minus, found;
            double old = gm_get(x, i);
            gm_set(x, i, old + STEP);
            plus = loss_at(run, ids, seeds, count);
            gm_set(x, i, old - STEP);
            minus = loss_at(run, ids, seeds, count);
            gm_set(x, i, old);
            found = (plus - minus) / (2.0 * STEP);
            ck_assert_msg(fabs(found - exact) <= tolerance * fmax(1.0, fabs(exact)),
                          "%s: order %d, input %zu, element %lld: the rule gives %.10g, differences give %.10g",
                          run->check->op, order, k, (long long)i, exact, found);
        }
    }
    gm_pool_destroy(pool);
}

/* --- The two orders
 * ---------------------------------------------------------------------------------------------------- */

static void must(const gradcheck_run *run)
{
    ck_assert_msg(run->graph->status == GM_OK, "%s: %s", run->check->op, gm_context_message(run->context));
}

/* A graph input shaped like `value`. Its numbers are drawn later, with all others; its shape holds N at most. */
static gm_value_id add_seed(gradcheck_run *run, gm_value_id value, const char *kind, size_t index)
{
    char name[24];
    int64_t sizes[GM_MAX_RANK];
    gm_value copy = *gm_value_of(run->graph, value);
    gm_value_id seed;
    snprintf(name, sizeof name, "%s%zu", kind, index);
    seed = gm_graph_add_input(run->graph, name, GM_DOUBLE, copy.rank, copy.dims, false);
    for (int i = 0; i < copy.rank; i++) {
        gm_binding binding = {run->batch, BATCH};
        sizes[i] = gm_dim_bind(run->graph->symbols, copy.dims[i], &binding, 1);
        ck_assert_msg(sizes[i] >= 0, "%s: axis %d of a result has no size after binding N", run->check->op, i);
    }
    feed(run, seed, copy.rank, sizes);
    return seed;
}

static void bind(gradcheck_run *run)
{
    gm_binding binding = {run->batch, BATCH};
    run->bound = gm_graph_bind(run->graph, run->pool, &binding, 1, NULL, 0, &run->map);
    ck_assert_msg(run->bound != NULL, "%s: %s", run->check->op, gm_context_message(run->context));
}

static void check_orders(gradcheck_run *run)
{
    const gradcheck_case *check = run->check;
    gm_value_id inputs[GRAD_MAX_INPUTS] = {0}, y[GRAD_MAX_OUTPUTS] = {0}, seeds[GRAD_MAX_OUTPUTS] = {0};
    gm_value_id dx[MAX_FED] = {0}, seeds2[MAX_FED] = {0}, wrt_values[MAX_FED] = {0}, ddx[MAX_FED] = {0};
    size_t wrt[MAX_FED], count = 0, attributes = 0, outputs = check->outputs ? check->outputs : 1, first, second;
    bool any_second = false;
    for (; count < GRAD_MAX_INPUTS && check->inputs[count]; count++)
        inputs[count] = read_input(run, check->inputs[count], count);
    while (attributes < GRAD_MAX_ATTRIBUTES && check->attributes[attributes].name)
        attributes++;
    first = run->fed_count;
    if (check->definition)
        gm_graph_add_node(run->graph, check->definition, inputs, count, check->attributes, attributes, y, outputs);
    else
        gm_emit_many(run->graph, check->op, inputs, count, check->attributes, attributes, y, outputs);
    must(run);
    for (size_t k = 0; k < outputs; k++) {
        bool skip = (check->unseeded >> k & 1) || gm_value_of(run->graph, y[k])->type != GM_DOUBLE;
        y[k] = skip ? 0 : y[k];
        seeds[k] = y[k] ? add_seed(run, y[k], "dy", k) : 0;
    }
    for (size_t k = 0; k < run->fed_count; k++) {
        wrt[k] = k;
        wrt_values[k] = run->fed[k].value;
    }
    gm_autodiff(run->graph, y, seeds, outputs, wrt_values, first, dx);
    must(run);
    second = run->fed_count; /* the gradient depends on the inputs and on dy */
    for (size_t k = 0; k < first && !check->no_second; k++)
        if (dx[k]) {
            seeds2[k] = add_seed(run, dx[k], "ddx", k);
            any_second = true;
        }
    if (any_second)
        gm_autodiff(run->graph, dx, seeds2, first, wrt_values, second, ddx);
    must(run);
    fill_inputs(run);
    bind(run);
    compare(run, 1, y, seeds, outputs, dx, wrt, first);
    if (any_second)
        compare(run, 2, dx, seeds2, first, ddx, wrt, second);
}

void gradcheck(const gradcheck_case *check)
{
    gradcheck_run run = {.check = check, .random = 1};
    ck_assert_int_eq(gm_context_create(NULL, &run.context), GM_OK);
    run.pool = gm_pool_create(run.context);
    ck_assert_ptr_nonnull(run.pool);
    run.graph = gm_graph_create(run.pool, NULL, "gradcheck");
    ck_assert_ptr_nonnull(run.graph);
    run.graph->training = check->training;
    run.batch = gm_dim_symbol(run.graph->symbols, "N");
    check_orders(&run);
    gm_pool_destroy(run.pool);
    gm_context_destroy(run.context);
}
