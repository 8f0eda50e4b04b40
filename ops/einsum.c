/* Einsum: sums of products in index notation, made of Transpose, Reshape, MatMul (or Mul) and ReduceSum.
 *
 * https://onnx.ai/onnx/operators/onnx__Einsum.html. The operands are folded from the left: an operand's own sums first,
 * then the product with what there is, as a batch of matrix products: labels of both that are needed later count batches,
 * labels of both that are not are summed, the others are rows (left) and columns (right). */
#include "ops/axes.h"

#include <ctype.h>
#include <string.h>

#define MOST_OPERANDS 32
#define LETTERS       52 /* A to Z, a to z; behind them the axes of the ellipsis, the last one last */
#define LABELS        (LETTERS + GM_MAX_RANK)
#define MULTIPLIED                                                                                                     \
    (GM_TYPES_FLOATING | GM_TYPES(GM_INT32) | GM_TYPES(GM_INT64) | GM_TYPES(GM_UINT32) | GM_TYPES(GM_UINT64))

typedef struct term {
    int rank;
    int labels[GM_MAX_RANK];
} term;

typedef struct equation {
    size_t count;
    term in[MOST_OPERANDS], out;
    gm_axis_size sizes[LABELS]; /* of each label that is used */
} equation;

/* --- The equation ----------------------------------------------------------------------------------------------------- */

static bool has_label(const term *t, int label)
{
    for (int i = 0; i < t->rank; i++)
        if (t->labels[i] == label)
            return true;
    return false;
}

/* One term of letters, spaces and at most one ellipsis that stands for `dots` axes. *at moves behind it. */
static gm_status read_term(gm_graph *graph, const gm_node *node, const char **at, int dots, term *out)
{
    bool ellipsis = false;
    out->rank = 0;
    for (; **at && **at != ',' && **at != '-'; (*at)++) {
        char c = **at;
        int count = 1, label = c >= 'a' ? c - 'a' + 26 : c - 'A';
        if (c == ' ')
            continue;
        if (c == '.') {
            if (ellipsis || strncmp(*at, "...", 3) != 0)
                return gm_node_fail(graph, node, "'.' in the equation '%s': an ellipsis is '...', once in a term",
                                    gm_node_string(node, "equation", ""));
            ellipsis = true;
            *at += 2;
            count = dots;
            label = LABELS - dots;
        } else if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))) {
            return gm_node_fail(graph, node,
                                "'%c' in the equation '%s'; only letters, ',', '...' and '->' may stand there", c,
                                gm_node_string(node, "equation", ""));
        }
        if (out->rank + count > GM_MAX_RANK)
            return gm_node_fail(graph, node, "a term of the equation has more than %d axes", GM_MAX_RANK);
        for (int i = 0; i < count; i++)
            out->labels[out->rank++] = label + i;
    }
    return GM_OK;
}

/* Letters and ellipses of the term that begins at `text`. */
static int letters_of(const char *text, bool *ellipsis)
{
    int letters = 0;
    *ellipsis = false;
    for (; *text && *text != ',' && *text != '-'; text++) {
        letters += isalpha((unsigned char)*text) != 0;
        *ellipsis = *ellipsis || *text == '.';
    }
    return letters;
}

/* The size of a label: an axis of 1 gives way to any other, a symbol to a number. */
static gm_status join_size(gm_graph *graph, const gm_node *node, gm_axis_size *size, gm_value_id of, int axis)
{
    gm_dim dim = gm_value_of(graph, of)->dims[axis];
    if (!size->of || size->size == 1 || (!gm_dim_is_known(size->size) && gm_dim_is_known(dim) && dim != 1))
        *size = (gm_axis_size){dim, of, axis};
    else if (dim != 1 && dim != size->size && gm_dim_is_known(dim))
        return gm_node_fail(graph, node, "one label of '%s' has the sizes %lld and %lld",
                            gm_node_string(node, "equation", ""), (long long)size->size, (long long)dim);
    return GM_OK;
}

/* Without "->": the ellipsis, then the letters that stand once, in order. */
static gm_status implied_output(gm_graph *graph, const gm_node *node, equation *e)
{
    for (int k = 0; k < LABELS; k++) {
        int label = (k + LETTERS) % LABELS, times = 0;
        for (size_t i = 0; i < e->count; i++)
            for (int a = 0; a < e->in[i].rank; a++)
                times += e->in[i].labels[a] == label;
        if (times == 0 || (times > 1 && label < LETTERS))
            continue;
        if (e->out.rank == GM_MAX_RANK)
            return gm_node_fail(graph, node, "the result would have more than %d axes", GM_MAX_RANK);
        e->out.labels[e->out.rank++] = label;
    }
    return GM_OK;
}

static gm_status read_operands(gm_graph *graph, const gm_node *node, const char **at, equation *e, int *dots)
{
    for (size_t i = 0; i < node->input_count; i++) {
        int rank = gm_value_of(graph, node->inputs[i])->rank, letters;
        bool ellipsis;
        if (i && *(*at)++ != ',')
            return gm_node_fail(graph, node, "the equation '%s' has %zu terms for %zu inputs",
                                gm_node_string(node, "equation", ""), i, node->input_count);
        letters = letters_of(*at, &ellipsis);
        if (letters > rank || (letters < rank && !ellipsis))
            return gm_node_fail(graph, node, "term %zu of '%s' has %d letters; input %zu has %d axes", i + 1,
                                gm_node_string(node, "equation", ""), letters, i + 1, rank);
        *dots = ellipsis && rank - letters > *dots ? rank - letters : *dots;
        GM_TRY(read_term(graph, node, at, rank - letters, &e->in[i]));
        for (int a = 0; a < e->in[i].rank; a++)
            GM_TRY(join_size(graph, node, &e->sizes[e->in[i].labels[a]], node->inputs[i], a));
    }
    return GM_OK;
}

static gm_status read_equation(gm_graph *graph, const gm_node *node, equation *e)
{
    const char *text = gm_node_string(node, "equation", ""), *at = text;
    int dots = 0;
    memset(e, 0, sizeof *e);
    e->count = node->input_count;
    if (e->count > MOST_OPERANDS)
        return gm_node_fail(graph, node, "has %zu inputs; at most %d are supported", e->count, MOST_OPERANDS);
    GM_TRY(read_operands(graph, node, &at, e, &dots));
    if (!*at)
        return implied_output(graph, node, e);
    if (at[0] != '-' || at[1] != '>')
        return gm_node_fail(graph, node, "the equation '%s' has more terms than the %zu inputs, or a '-' without '>'",
                            text, e->count);
    at += 2;
    GM_TRY(read_term(graph, node, &at, dots, &e->out));
    if (*at)
        return gm_node_fail(graph, node, "'%s' behind the result of the equation '%s'", at, text);
    for (int i = 0; i < e->out.rank; i++) {
        term before = {i, {0}};
        memcpy(before.labels, e->out.labels, (size_t)i * sizeof(int));
        if (has_label(&before, e->out.labels[i]) || !e->sizes[e->out.labels[i]].of)
            return gm_node_fail(graph, node, "axis %d of the result of '%s' is no label of the inputs, or stands twice",
                                i, text);
    }
    return GM_OK;
}

static gm_status infer_einsum(gm_graph *graph, gm_node *node)
{
    equation e;
    gm_dim dims[GM_MAX_RANK];
    GM_TRY(gm_infer_same_type(graph, node));
    GM_TRY(read_equation(graph, node, &e));
    for (int i = 0; i < e.out.rank; i++)
        dims[i] = e.sizes[e.out.labels[i]].size;
    gm_set_output(graph, node, 0, gm_value_of(graph, node->inputs[0])->type, e.out.rank, dims);
    return graph->status;
}

/* --- Steps ------------------------------------------------------------------------------------------------------------ */

typedef struct operand {
    gm_value_id id;
    term axes;
} operand;

/* The operand with its axes in the order `to`, the same labels. */
static operand permuted(gm_graph *graph, operand x, const term *to)
{
    int64_t perm[GM_MAX_RANK] = {0};
    bool moved = false;
    for (int i = 0; i < to->rank; i++)
        for (int k = 0; k < x.axes.rank; k++)
            if (x.axes.labels[k] == to->labels[i]) {
                perm[i] = k;
                moved = moved || k != i;
            }
    if (moved)
        x.id = gm_emit1_with(graph, "Transpose", x.id, gm_attribute_ints("perm", perm, (size_t)to->rank));
    x.axes = *to;
    return x;
}

/* Axes a < b have one label: [.., n, n] -> [.., n n] -> every (n + 1)th element. False: n is a symbol. */
static bool take_diagonal(gm_graph *graph, operand *x, int a, int b)
{
    gm_value value = *gm_value_of(graph, x->id);
    gm_axis_size flat[GM_MAX_RANK];
    int64_t perm[GM_MAX_RANK], n = value.dims[a];
    int label = x->axes.labels[a], rank = 0;
    gm_value_id whole;
    if (!gm_dim_is_known(n) || value.dims[b] != n)
        return false;
    for (int i = 0; i < value.rank; i++)
        if (i != a && i != b) {
            x->axes.labels[rank] = x->axes.labels[i];
            perm[rank++] = i;
        }
    perm[rank] = a;
    perm[rank + 1] = b;
    whole = gm_emit1_with(graph, "Transpose", x->id, gm_attribute_ints("perm", perm, (size_t)value.rank));
    for (int i = 0; i < rank; i++)
        flat[i] = (gm_axis_size){value.dims[perm[i]], whole, i};
    flat[rank] = (gm_axis_size){n * n, 0, 0};
    whole = gm_reshape_to(graph, whole, rank + 1, flat);
    x->id = gm_emit(
        graph, "Slice",
        (gm_value_id[]){whole, gm_const_ints(graph, (int64_t[]){0}, 1), gm_const_ints(graph, (int64_t[]){n * n}, 1),
                        gm_const_ints(graph, (int64_t[]){rank}, 1), gm_const_ints(graph, (int64_t[]){n + 1}, 1)},
        5, NULL, 0);
    x->axes.labels[rank] = label;
    x->axes.rank = rank + 1;
    return true;
}

static bool take_diagonals(gm_graph *graph, operand *x)
{
    for (int a = 0; a < x->axes.rank; a++)
        for (int b = a + 1; b < x->axes.rank; b++)
            if (x->axes.labels[a] == x->axes.labels[b]) {
                if (!take_diagonal(graph, x, a, b) || graph->status != GM_OK)
                    return false;
                a = -1; /* the axes have other places now */
                break;
            }
    return true;
}

/* Drops axes of size 1 whose label has another size elsewhere, and sums over labels that nobody needs. */
static void reduce_alone(gm_graph *graph, const equation *e, operand *x, const bool *needed)
{
    for (int pass = 0; pass < 2; pass++) {
        bool mask[GM_MAX_RANK] = {false}, any = false;
        int rank = 0, before = x->axes.rank;
        for (int i = 0; i < before && graph->status == GM_OK; i++) {
            int label = x->axes.labels[i];
            mask[i] = pass == 0 ? gm_value_of(graph, x->id)->dims[i] == 1 && e->sizes[label].size != 1 : !needed[label];
            any = any || mask[i];
            if (!mask[i])
                x->axes.labels[rank++] = label;
        }
        if (!any)
            continue;
        x->axes.rank = rank;
        x->id = pass == 0 ? gm_emit2(graph, "Squeeze", x->id, gm_const_axes(graph, mask, before))
                          : gm_emit2_with(graph, "ReduceSum", x->id, gm_const_axes(graph, mask, before),
                                          gm_attribute_int("keepdims", 0));
    }
}

/* All labels of t as one axis. */
static gm_axis_size joined(gm_graph *graph, const equation *e, const term *t)
{
    gm_axis_size size = {1, 0, 0};
    if (t->rank == 1)
        return e->sizes[t->labels[0]];
    for (int i = 0; i < t->rank; i++)
        size.size = gm_dim_mul(graph->symbols, size.size, e->sizes[t->labels[i]].size);
    return size;
}

static void append(term *to, const term *from)
{
    for (int i = 0; i < from->rank; i++)
        to->labels[to->rank++] = from->labels[i];
}

/* x, in the order [batch.., p.., q..], reshaped to [batch.., P, Q]. 0: two of the sizes are products of symbols. */
static gm_value_id as_matrices(gm_graph *graph, const equation *e, operand x, const term *batch, const term *p,
                               const term *q)
{
    gm_axis_size axes[GM_MAX_RANK], rows = joined(graph, e, p), columns = joined(graph, e, q);
    term order = *batch;
    append(&order, p);
    append(&order, q);
    if (!gm_dim_is_known(rows.size) && !rows.of && !gm_dim_is_known(columns.size) && !columns.of)
        return 0;
    for (int i = 0; i < batch->rank; i++)
        axes[i] = e->sizes[batch->labels[i]];
    axes[batch->rank] = rows;
    axes[batch->rank + 1] = columns;
    return gm_reshape_to(graph, permuted(graph, x, &order).id, batch->rank + 2, axes);
}

/* a and b multiplied, summed over what both have and nobody needs. id 0: has to wait for numbers, or failed. */
static operand multiply(gm_graph *graph, const gm_node *node, const equation *e, operand a, operand b,
                        const bool *needed)
{
    term batch = {0, {0}}, rows = {0, {0}}, columns = {0, {0}}, summed = {0, {0}};
    gm_axis_size axes[GM_MAX_RANK];
    gm_value_id left, right;
    operand y = {0, {0, {0}}};
    for (int i = 0; i < a.axes.rank; i++) {
        int label = a.axes.labels[i];
        term *group = !has_label(&b.axes, label) ? &rows : needed[label] ? &batch : &summed;
        group->labels[group->rank++] = label;
    }
    for (int i = 0; i < b.axes.rank; i++)
        if (!has_label(&a.axes, b.axes.labels[i]))
            columns.labels[columns.rank++] = b.axes.labels[i];
    if (batch.rank + 2 > GM_MAX_RANK || batch.rank + rows.rank + columns.rank > GM_MAX_RANK) {
        gm_node_fail(graph, node, "a product on the way has more than %d axes", GM_MAX_RANK);
        return y;
    }
    left = as_matrices(graph, e, a, &batch, &rows, &summed);
    right = as_matrices(graph, e, b, &batch, &summed, &columns);
    if (!left || !right)
        return y;
    y.axes = batch;
    append(&y.axes, &rows);
    append(&y.axes, &columns);
    for (int i = 0; i < y.axes.rank; i++)
        axes[i] = e->sizes[y.axes.labels[i]];
    y.id = gm_emit2(graph, summed.rank ? "MatMul" : "Mul", left, right);
    y.id = gm_reshape_to(graph, y.id, y.axes.rank, axes);
    return y;
}

/* --- The operator ----------------------------------------------------------------------------------------------------- */

/* Declines (until the graph is bound) where a diagonal or two factors of one product have symbolic sizes. */
static gm_status expand_einsum(gm_graph *graph, const gm_node *node, gm_value_id *outputs)
{
    gm_type type = gm_value_of(graph, node->inputs[0])->type;
    bool narrow = !(MULTIPLIED & GM_TYPES(type));
    operand product = {0, {0, {0}}};
    equation e;
    GM_TRY(read_equation(graph, node, &e));
    for (size_t i = 0; i < e.count; i++) {
        operand x = {node->inputs[i], e.in[i]};
        bool needed[LABELS] = {false}, later[LABELS] = {false};
        for (int k = 0; k < LABELS; k++) {
            later[k] = has_label(&e.out, k);
            for (size_t j = i + 1; j < e.count; j++)
                later[k] = later[k] || has_label(&e.in[j], k);
            needed[k] = later[k] || (i > 0 && has_label(&product.axes, k));
        }
        if (narrow)
            x.id = gm_emit1_with(graph, "Cast", x.id, gm_attribute_int("to", GM_INT64));
        if (!take_diagonals(graph, &x))
            return graph->status;
        reduce_alone(graph, &e, &x, needed);
        if (i > 0) {
            for (int k = 0; k < LABELS; k++)
                needed[k] = later[k] || has_label(&x.axes, k);
            reduce_alone(graph, &e, &product, needed);
            x = multiply(graph, node, &e, product, x, later);
        }
        product = x;
        if (graph->status != GM_OK || !product.id)
            return graph->status;
    }
    product = permuted(graph, product, &e.out);
    outputs[0] = product.id == node->inputs[0] ? gm_emit1(graph, "Identity", product.id)
                 : narrow                      ? gm_emit1_with(graph, "Cast", product.id, gm_attribute_int("to", type))
                                               : product.id;
    return graph->status;
}

static const gm_attribute_schema einsum_attributes[] = {{"equation", GM_ATTRIBUTE_STRING, GM_REQUIRED, .s = NULL}};
const gm_operator gm_op_einsum = {.domain = "",
                                  .name = "Einsum",
                                  .since = 28,
                                  .inputs = "Inputs",
                                  .outputs = "Output",
                                  .types = GM_TYPES_NUMERIC,
                                  .flags = GM_OP_VARIADIC,
                                  .attributes = einsum_attributes,
                                  .attribute_count = GM_COUNT(einsum_attributes),
                                  .infer = infer_einsum,
                                  .expand = expand_einsum};
