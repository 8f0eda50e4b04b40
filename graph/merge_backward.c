/* One backward pass for losses that meet in one value per example.
 *
 * A step that minimizes two losses of one forward pass, such as those of a GAN, sends two gradients through the
 * discriminator. They start from tensors a and b with one element per example, shape (N, 1, ...), and run through the same
 * operators, which are linear in the gradient and keep the rows (axis 0) apart:
 *
 *     f(a) = a (.) f(1),   f(b) = b (.) f(1),   (.): each row by its own factor
 *
 * so that f(1) is computed once, and multiplied where something reads it that is not linear or mixes rows (the gradient of
 * weights, a sum over the batch, batch normalization). Never divided: a factor may be 0.
 *
 * Every value is given a form, which says what the f is that makes it, and a start, which is the a: equal forms of other
 * starts are twins. Nothing is changed unless a GM_OP_HEAVY node is saved. */
#include "graph/operator.h"

#include <string.h>

typedef struct backward_form {
    uint32_t node;       /* f's last node, as it stands first in the graph; of the unit: none */
    uint32_t carried;    /* bit i: that node's input i carries the factor */
    gm_value_id start;   /* of that node's result */
    size_t members;      /* values of this form */
    bool several;        /* not all of them have one start */
    bool is_unit;        /* f(a) = a, one element per row */
    bool merged;         /* f(1) is computed in the place of all members */
    gm_value_id of_ones; /* f(1), once it is there */
    uint32_t next_unit;
} backward_form;

typedef struct merger {
    gm_graph *graph;
    size_t node_count;    /* before the rewrite */
    uint32_t *form;       /* value -> its form; 0: none */
    gm_value_id *start;   /* value -> its start */
    size_t *readers;      /* value -> how often it is read */
    backward_form *forms; /* forms[0] is unused; behind those that they are made of */
    size_t form_count, form_capacity;
    uint32_t first_unit;
    uint32_t *table; /* of forms by hash */
    size_t buckets;
} merger;

/* --- Which operators ------------------------------------------------------------------------------------------------- */

typedef bool (*row_check)(const gm_graph *graph, const gm_node *node, size_t input);

static const gm_value *input_of(const gm_graph *graph, const gm_node *node, size_t input)
{
    return gm_value_of(graph, input < node->input_count ? node->inputs[input] : 0);
}

/* Broadcasts or sums along other axes: axis 0 stays where it is when the rank does. */
static bool keeps_rank(const gm_graph *graph, const gm_node *node, size_t input)
{
    return input_of(graph, node, input)->rank == gm_value_of(graph, node->outputs[0])->rank;
}

static bool has_no_bias(const gm_graph *graph, const gm_node *node, size_t input)
{
    return node->input_count < 3 || !node->inputs[2];
}

static bool gemm_by_rows(const gm_graph *graph, const gm_node *node, size_t input)
{
    return has_no_bias(graph, node, input) && gm_node_int(node, "transA", 0) == 0;
}

/* The rows of a matrix, or axis 0 of a stack of them on either side. */
static bool matmul_by_rows(const gm_graph *graph, const gm_node *node, size_t input)
{
    const gm_value *x = input_of(graph, node, input), *other = input_of(graph, node, 1 - input);
    return keeps_rank(graph, node, input) && (x->rank > 2 || (input == 0 && x->rank == 2 && other->rank == 2));
}

static bool transposes_within_rows(const gm_graph *graph, const gm_node *node, size_t input)
{
    const int64_t *axes;
    return gm_node_ints(node, "perm", &axes) > 0 && axes[0] == 0;
}

static bool reduces_within_rows(const gm_graph *graph, const gm_node *node, size_t input)
{
    const gm_tensor *axes = node->input_count > 1 ? gm_constant_of(graph, node->inputs[1]) : NULL;
    for (int64_t i = 0; axes && i < gm_tensor_count(axes); i++)
        if (gm_get_int(axes, i) == 0 || gm_get_int(axes, i) == -input_of(graph, node, 0)->rank)
            return false;
    return axes != NULL;
}

typedef struct row_rule {
    const char *op;
    uint32_t inputs; /* bit i: linear in input i */
    bool sums;       /* linear in all of these together; otherwise in one, when the others stay as they are */
    row_check keeps; /* whether row n of the result is made of row n of the input alone; NULL: where both have N rows */
} row_rule;

static const row_rule rules[] = {
    {"Identity", 1, false, NULL},
    {"Neg", 1, false, NULL},
    {"Add", 3, true, keeps_rank},
    {"Sub", 3, true, keeps_rank},
    {"Where", 6, true, keeps_rank},
    {"Mul", 3, false, keeps_rank},
    {"Div", 1, false, keeps_rank},
    {"Expand", 1, false, keeps_rank},
    {"SumTo", 1, false, keeps_rank},
    {"ReduceSum", 1, false, reduces_within_rows},
    {"ReduceMean", 1, false, reduces_within_rows},
    {"Reshape", 1, false, NULL},
    {"Flatten", 1, false, NULL},
    {"Squeeze", 1, false, NULL},
    {"Unsqueeze", 1, false, NULL},
    {"Transpose", 1, false, transposes_within_rows},
    {"Conv", 1, false, has_no_bias},
    {"ConvTranspose", 1, false, has_no_bias},
    {"Gemm", 1, false, gemm_by_rows},
    {"MatMul", 3, false, matmul_by_rows},
    {"AveragePool", 1, false, NULL},
    {"AveragePoolGrad", 1, false, NULL},
    {"MaxPoolGrad", 2, false, NULL},
};

static const row_rule *find_rule(const gm_node *node)
{
    if (node->dead || node->body || node->output_count != 1 || !node->outputs[0] || node->input_count > 3)
        return NULL;
    for (size_t i = 0; i < GM_COUNT(rules); i++)
        if (strcmp(rules[i].op, node->op->name) == 0)
            return &rules[i];
    return NULL;
}

/* --- Forms ----------------------------------------------------------------------------------------------------------- */

static bool has_rows(const gm_value *value)
{
    const gm_type_info *info = gm_type_find(value->type);
    bool known = value->rank > 0 && info && info->floating;
    for (int i = 0; known && i < value->rank; i++)
        known = gm_dim_is_known(value->dims[i]);
    return known;
}

static int64_t elements(const gm_value *value)
{
    int64_t count = 1;
    for (int i = 0; i < value->rank; i++)
        count *= value->dims[i];
    return count;
}

static uint32_t add_form(merger *m, backward_form form)
{
    if (!gm_pool_grow(m->graph->pool, (void **)&m->forms, &m->form_capacity, m->form_count + 1, sizeof *m->forms))
        return m->graph->status = GM_ERROR_MEMORY, 0;
    m->forms[m->form_count] = form;
    return (uint32_t)m->form_count++;
}

/* The form of a value, 0: none. One with one element per row that has none yet is a start. */
static uint32_t form_of(merger *m, gm_value_id id)
{
    const gm_value *value = gm_value_of(m->graph, id);
    uint32_t unit = m->first_unit;
    if (!id || m->form[id] || !has_rows(value) || elements(value) != value->dims[0])
        return m->form[id];
    while (unit && !gm_same_type_and_shape(gm_value_of(m->graph, m->forms[unit].start), value))
        unit = m->forms[unit].next_unit;
    if (!unit && (unit = add_form(m, (backward_form){.start = id, .is_unit = true, .next_unit = m->first_unit})) != 0)
        m->first_unit = unit;
    m->start[id] = id;
    return m->form[id] = unit;
}

static bool is_unit(const merger *m, gm_value_id id)
{
    return m->forms[m->form[id]].is_unit;
}

static bool is_zero(const gm_graph *graph, gm_value_id id)
{
    double number;
    return gm_constant_number(graph, id, &number) && number == 0;
}

/* May input `i` carry a factor per row through the node? */
static bool may_carry(merger *m, const row_rule *rule, const gm_node *node, size_t i)
{
    const gm_value *x = input_of(m->graph, node, i), *y = gm_value_of(m->graph, node->outputs[0]);
    return rule->inputs >> i & 1 && has_rows(y) && form_of(m, node->inputs[i]) && x->dims[0] == y->dims[0] &&
           (!rule->keeps || rule->keeps(m->graph, node, i));
}

/* Whether every term of a sum carries one and the same factor, or is 0. Bits; 0: they do not. */
static uint32_t carried_by_all(merger *m, const row_rule *rule, const gm_node *node)
{
    uint32_t carried = 0;
    gm_value_id first = 0;
    for (size_t i = 0; i < node->input_count; i++) {
        gm_value_id id = node->inputs[i];
        if (!(rule->inputs >> i & 1) || is_zero(m->graph, id))
            continue;
        if (!may_carry(m, rule, node, i) || (first && m->start[first] != m->start[id]))
            return 0;
        first = id;
        carried |= 1u << i;
    }
    return carried;
}

/* The input that carries the factor, when the others are taken as they are. Of a chain and a number per row, the chain; of
 * two alike, the later one: gradients are made after what they are multiplied with. */
static uint32_t carried_by_one(merger *m, const row_rule *rule, const gm_node *node)
{
    uint32_t carried = 0;
    gm_value_id best = 0;
    for (size_t i = 0; i < node->input_count; i++) {
        gm_value_id id = node->inputs[i];
        if (!may_carry(m, rule, node, i))
            continue;
        if (!best || (is_unit(m, id) == is_unit(m, best) ? id > best : is_unit(m, best))) {
            best = id;
            carried = 1u << i;
        }
    }
    return carried;
}

/* What stands for input i when forms are compared: a form or, with the highest bit, a value. */
static uint64_t input_code(const merger *m, const gm_node *node, uint32_t carried, size_t i)
{
    return carried >> i & 1 ? m->form[node->inputs[i]] : (uint64_t)1 << 63 | node->inputs[i];
}

static bool is_form(const merger *m, const backward_form *form, const gm_node *node, uint32_t carried)
{
    const gm_node *known = &m->graph->nodes[form->node];
    if (known->op != node->op || form->carried != carried || known->input_count != node->input_count ||
        !gm_same_attributes(known, node) ||
        !gm_same_type_and_shape(gm_value_of(m->graph, known->outputs[0]), gm_value_of(m->graph, node->outputs[0])))
        return false;
    for (size_t i = 0; i < node->input_count; i++)
        if (input_code(m, known, carried, i) != input_code(m, node, carried, i))
            return false;
    return true;
}

static void number_node(merger *m, uint32_t n)
{
    const gm_node *node = &m->graph->nodes[n];
    const row_rule *rule = find_rule(node);
    uint32_t carried = !rule ? 0 : rule->sums ? carried_by_all(m, rule, node) : carried_by_one(m, rule, node);
    uint64_t code[4] = {carried};
    gm_value_id from = 0, out = carried ? node->outputs[0] : 0;
    size_t slot;
    for (size_t i = 0; i < node->input_count && out; i++) {
        code[1 + i] = input_code(m, node, carried, i);
        if (carried >> i & 1 && (!from || !is_unit(m, node->inputs[i])))
            from = node->inputs[i];
    }
    if (!out || (is_unit(m, from) && elements(gm_value_of(m->graph, out)) == gm_value_of(m->graph, out)->dims[0]))
        return; /* of what is done with starts alone comes a start */
    slot = (gm_hash64_bytes(code, sizeof code) ^ gm_hash64(node->op->name)) & (m->buckets - 1);
    while (m->table[slot] && !is_form(m, &m->forms[m->table[slot]], node, carried))
        slot = (slot + 1) & (m->buckets - 1);
    if (!m->table[slot])
        m->table[slot] = add_form(m, (backward_form){.node = n, .carried = carried, .start = m->start[from]});
    m->form[out] = m->table[slot];
    m->start[out] = m->start[from];
    m->forms[m->form[out]].members++;
    m->forms[m->form[out]].several |= m->forms[m->form[out]].start != m->start[from];
}

static gm_status number_values(merger *m)
{
    gm_graph *graph = m->graph;
    m->node_count = graph->node_count;
    for (m->buckets = 64; m->buckets < graph->node_count * 2;)
        m->buckets *= 2;
    m->form = gm_pool_array(graph->pool, graph->value_count, sizeof *m->form);
    m->start = gm_pool_array(graph->pool, graph->value_count, sizeof *m->start);
    m->readers = gm_pool_array(graph->pool, graph->value_count, sizeof *m->readers);
    m->table = gm_pool_array(graph->pool, m->buckets, sizeof *m->table);
    if (!m->form || !m->start || !m->readers || !m->table)
        return graph->status = GM_ERROR_MEMORY;
    add_form(m, (backward_form){0});
    for (size_t n = 0; n < graph->node_count && graph->status == GM_OK; n++) {
        number_node(m, (uint32_t)n);
        for (size_t i = 0; i < graph->nodes[n].input_count; i++)
            m->readers[graph->nodes[n].inputs[i]]++;
    }
    for (size_t i = 0; i < graph->output_count; i++)
        m->readers[graph->outputs[i].value]++;
    for (size_t i = 0; i < graph->assign_count; i++)
        m->readers[graph->assigns[i].value]++;
    return graph->status;
}

/* --- What to merge --------------------------------------------------------------------------------------------------- */

typedef enum form_part { ANY_IS_CHAIN, ANY_IS_MERGED, ALL_ARE_MERGED } form_part;

/* Of the forms of the inputs that carry the factor: is there one that is no unit, a merged one, none that is not merged? */
static bool made_of(const merger *m, const backward_form *form, form_part part)
{
    const gm_node *node = &m->graph->nodes[form->node];
    bool all = true, chain = false, merged = false;
    for (size_t i = 0; i < node->input_count; i++) {
        const backward_form *from = form->carried >> i & 1 ? &m->forms[m->form[node->inputs[i]]] : NULL;
        chain = chain || (from && !from->is_unit);
        merged = merged || (from && from->merged);
        all = all && (!from || from->is_unit || from->merged);
    }
    return part == ANY_IS_CHAIN ? chain : part == ANY_IS_MERGED ? merged : merged && all;
}

/* A chain goes on alone behind the place where the other one ends. There the factor may as well come later, as long as
 * nothing else reads what is in between and the results do not grow. */
static bool may_wait(const merger *m, const backward_form *form)
{
    const gm_node *node = &m->graph->nodes[form->node];
    int64_t size = elements(gm_value_of(m->graph, node->outputs[0]));
    for (size_t i = 0; i < node->input_count; i++)
        if (form->carried >> i & 1 &&
            (m->readers[node->inputs[i]] != 1 || elements(input_of(m->graph, node, i)) < size))
            return false;
    return form->members == 1;
}

/* Heavy nodes of several starts and all before them; then what follows at no cost. An outer product of a start and
 * a row is no more work than the multiplication by a start, and saves nothing. False: nothing to merge. */
static bool choose(merger *m)
{
    bool any = false;
    for (size_t f = m->form_count; f-- > 1;) {
        backward_form *form = &m->forms[f];
        const gm_node *node = &m->graph->nodes[form->node];
        if (form->is_unit)
            continue;
        form->merged =
            form->merged || (form->several && node->op->flags & GM_OP_HEAVY && made_of(m, form, ANY_IS_CHAIN));
        any = any || form->merged;
        for (size_t i = 0; i < node->input_count && form->merged; i++)
            if (form->carried >> i & 1 && !m->forms[m->form[node->inputs[i]]].is_unit)
                m->forms[m->form[node->inputs[i]]].merged = true;
    }
    for (size_t f = 1; f < m->form_count && any; f++) {
        backward_form *form = &m->forms[f];
        if (!form->is_unit && !form->merged && made_of(m, form, ALL_ARE_MERGED))
            form->merged = form->several || may_wait(m, form);
    }
    return any;
}

/* --- Rewriting ------------------------------------------------------------------------------------------------------- */

static backward_form *merged_form(const merger *m, gm_value_id id)
{
    backward_form *form = m->form[id] ? &m->forms[m->form[id]] : NULL;
    return form && form->merged ? form : NULL;
}

/* Whether the node may move up to the first place where its merged input `id` can be made, and should: what it gives is
 * smaller than that input, which would otherwise be kept until then. */
static bool moves_up(const merger *m, uint32_t n, gm_value_id id)
{
    const gm_graph *graph = m->graph;
    const gm_node *node = &graph->nodes[n];
    uint32_t place = merged_form(m, id)->node;
    int64_t size = 0;
    for (size_t o = 0; o < node->output_count; o++) {
        const gm_value *value = gm_value_of(graph, node->outputs[o]);
        if (node->outputs[o] && !has_rows(value) && value->rank)
            return false;
        size += node->outputs[o] ? elements(value) : 0;
    }
    for (size_t i = 0; i < node->input_count; i++) {
        const gm_value *value = gm_value_of(graph, node->inputs[i]);
        if (node->inputs[i] != id && value->kind == GM_VALUE_NODE && value->node >= place)
            return false;
    }
    return n > place && size < elements(gm_value_of(graph, id)) && !(node->op->flags & GM_OP_UPDATE);
}

/* For each node that moves up, the place after which it goes, plus 1. */
static void find_moves(const merger *m, uint32_t *moves)
{
    for (uint32_t n = 0; n < m->node_count; n++) {
        const gm_node *node = &m->graph->nodes[n];
        if (node->output_count && node->outputs[0] && merged_form(m, node->outputs[0]))
            continue;
        for (size_t i = 0; i < node->input_count; i++)
            if (merged_form(m, node->inputs[i]) && moves_up(m, n, node->inputs[i]))
                moves[n] = merged_form(m, node->inputs[i])->node + 1;
    }
}

static gm_value_id ones_like(gm_graph *graph, const gm_value *value)
{
    gm_tensor *ones = gm_tensor_create(graph->pool, value->type, value->rank, value->dims);
    if (!ones)
        return graph->status = GM_ERROR_MEMORY, 0;
    for (int64_t i = 0; i < gm_tensor_count(ones); i++)
        gm_set(ones, i, 1);
    return gm_graph_constant(graph, ones);
}

/* f(1), from the f(1) of what f is made of. */
static void emit_of_ones(merger *m, backward_form *form)
{
    gm_graph *graph = m->graph;
    gm_node node = graph->nodes[form->node]; /* a copy: the array may move */
    gm_value_id inputs[3] = {0};
    for (size_t i = 0; i < node.input_count; i++) {
        backward_form *from = form->carried >> i & 1 ? &m->forms[m->form[node.inputs[i]]] : NULL;
        if (from && !from->of_ones)
            from->of_ones = ones_like(graph, gm_value_of(graph, from->start));
        inputs[i] = from ? from->of_ones : node.inputs[i];
    }
    graph->path = node.path;
    graph->where = node.where;
    gm_graph_add_node(graph, node.op, inputs, node.input_count, node.attributes, node.attribute_count, &form->of_ones,
                      1);
}

/* a (.) f(1), for all that reads f(a). */
static void emit_product(merger *m, uint32_t n, const backward_form *form)
{
    gm_graph *graph = m->graph;
    gm_node node = graph->nodes[n];
    gm_value_id old = node.outputs[0], factor = m->start[old];
    int rank = gm_value_of(graph, old)->rank;
    int64_t column[GM_MAX_RANK] = {gm_value_of(graph, factor)->dims[0], 1, 1, 1, 1, 1, 1, 1};
    graph->path = node.path;
    graph->where = node.where;
    if (gm_value_of(graph, factor)->rank != rank)
        factor = gm_emit2(graph, "Reshape", factor, gm_const_ints(graph, column, (size_t)rank));
    gm_graph_replace(graph, old, gm_emit2(graph, "Mul", form->of_ones, factor));
    graph->nodes[n].dead = true;
}

/* Puts nodes into the places that `moves` says; the new ones go last, sorting fetches them. */
static gm_status arrange(merger *m, const uint32_t *moves)
{
    gm_graph *graph = m->graph;
    gm_node *order = gm_pool_array(graph->pool, graph->node_count, sizeof *order);
    uint32_t *first = gm_pool_array(graph->pool, m->node_count + 1, sizeof *first); /* place -> node + 1 that follows */
    uint32_t *next = gm_pool_array(graph->pool, m->node_count + 1, sizeof *next);
    size_t count = 0;
    if (!order || !first || !next)
        return graph->status = GM_ERROR_MEMORY;
    for (uint32_t n = (uint32_t)m->node_count; n-- > 0;)
        if (moves[n]) {
            next[n] = first[moves[n] - 1];
            first[moves[n] - 1] = n + 1;
        }
    for (uint32_t n = 0; n < m->node_count; n++) {
        if (!moves[n])
            order[count++] = graph->nodes[n];
        for (uint32_t k = first[n]; k; k = next[k - 1])
            order[count++] = graph->nodes[k - 1];
    }
    for (size_t n = m->node_count; n < graph->node_count; n++)
        order[count++] = graph->nodes[n];
    memcpy(graph->nodes, order, count * sizeof *order);
    GM_TRY(gm_graph_compact(graph)); /* tells the values where their nodes are */
    return gm_graph_sort(graph);
}

static gm_status rewrite(merger *m)
{
    gm_graph *graph = m->graph;
    uint32_t *moves = gm_pool_array(graph->pool, m->node_count + 1, sizeof *moves);
    if (!moves)
        return graph->status = GM_ERROR_MEMORY;
    find_moves(m, moves);
    for (size_t f = 1; f < m->form_count && graph->status == GM_OK; f++)
        if (m->forms[f].merged)
            emit_of_ones(m, &m->forms[f]);
    for (uint32_t n = 0; n < m->node_count && graph->status == GM_OK; n++) {
        gm_value_id out = graph->nodes[n].output_count == 1 ? graph->nodes[n].outputs[0] : 0;
        if (out && merged_form(m, out))
            emit_product(m, n, merged_form(m, out));
    }
    return graph->status == GM_OK ? arrange(m, moves) : graph->status;
}

gm_status gm_graph_merge_backward(gm_graph *graph)
{
    merger m = {.graph = graph};
    const char *path = graph->path;
    gm_location where = graph->where;
    if (graph->status != GM_OK)
        return graph->status;
    GM_TRY(number_values(&m));
    if (!choose(&m))
        return GM_OK;
    GM_TRY(rewrite(&m));
    graph->path = path;
    graph->where = where;
    return gm_graph_simplify(graph);
}
