/* Elaboration: evaluate. The body becomes one graph first, in which a mean is a value that is averaged (an output) and,
 * for what follows, the average (an input). At the end it is cut there: what runs on every batch, and what runs once. */
#include "graph/elaborate.h"

#include <string.h>

typedef struct item { /* one mean or result */
    gm_figure figure;
    gm_location where;
    gm_value_id value;   /* MEAN: what is averaged; RESULT: itself */
    gm_value_id average; /* MEAN: the input that stands for it afterwards */
} item;

typedef struct items {
    item *list;
    size_t count, capacity;
} items;

struct el_evaluation {
    items means, results;
    bool batched; /* it runs over a set or over draws */
};

static item *add_item(elaborator *e, items *to, const char *name, gm_location where)
{
    if (!gm_pool_grow(e->pool, (void **)&to->list, &to->capacity, to->count + 1, sizeof *to->list)) {
        el_out_of_memory(e);
        return NULL;
    }
    to->list[to->count] = (item){.figure = {.name = name}, .where = where};
    return &to->list[to->count++];
}

/* The value of an item, in a statement of its own; what is not floating or whole becomes float. 0: reported. */
static gm_value_id item_value(elaborator *e, const gm_ast_item *from, const char *name, const char *word)
{
    el_value value;
    gm_value_id id;
    if (!el_begin_item(e, from, name, word))
        return 0;
    value = el_evaluate(e, from->value);
    id = el_to_tensor(e, value, value.kind == EL_NUMBER ? GM_FLOAT : GM_TYPE_UNDEFINED, from->where);
    if (!id && value.kind == EL_ABSENT)
        el_error(e, from->where, "the %s '%s' has no value here", word, name);
    return id;
}

static gm_value_id as_float(elaborator *e, gm_value_id id)
{
    if (gm_value_of(e->graph, id)->type == GM_FLOAT)
        return id;
    id = gm_emit1_with(e->graph, "Cast", id, gm_attribute_int("to", GM_FLOAT));
    return el_take_graph_error(e) ? 0 : id;
}

/* What the name of an item stands for from here on. `mean loss` takes the place of a value `loss` that was there. */
static void define_item(elaborator *e, const gm_ast_item *from, const char *name, el_value value)
{
    el_name *old = from->name ? NULL : el_find(&e->frame->names, name);
    if (old)
        old->value = value;
    else
        el_define(e, &e->frame->names, name, value, from->where);
}

/* e has a row for each example, or is a scalar that counts for all of the batch. */
static gm_value_id mean_value(elaborator *e, const gm_ast_item *from, const char *name)
{
    gm_dim batch = gm_dim_symbol(e->program->symbols, "N");
    char found[160];
    gm_value_id id;
    if (!e->evaluation->batched) {
        el_error(e, from->where, "a mean needs examples: evaluate %s on SET (...) or evaluate %s over 1000 draws",
                 e->entry->names[0], e->entry->names[0]);
        return 0;
    }
    if (from->as)
        el_error(e, from->where, "'as' stands behind a result, not behind a mean");
    id = item_value(e, from, name, "mean");
    id = id ? as_float(e, id) : 0;
    if (!id || !gm_value_of(e->graph, id)->rank || gm_value_of(e->graph, id)->dims[0] == batch)
        return id;
    el_error(e, from->where, "the mean '%s' must have a row for each of the N examples, or be a scalar; found %s", name,
             gm_shape_text(e->graph, id, found, sizeof found));
    return 0;
}

/* mean NAME = e */
void el_mean_item(elaborator *e, const gm_ast_item *from)
{
    const char *name = el_item_name(e, from, "mean");
    gm_value_id id = name ? mean_value(e, from, name) : 0;
    item *mean = id ? add_item(e, &e->evaluation->means, name, from->where) : NULL;
    gm_value value;
    if (!mean) {
        if (name)
            define_item(e, from, name, el_failed);
        return;
    }
    value = *gm_value_of(e->graph, id);
    mean->value = id;
    mean->average = gm_graph_add_input(e->graph, name, GM_FLOAT, value.rank ? value.rank - 1 : 0,
                                       value.rank ? value.dims + 1 : value.dims, false);
    define_item(e, from, name, el_take_graph_error(e) ? el_failed : el_tensor(mean->average));
}

static bool is_taken(elaborator *e, const gm_ast_item *from, const char *name)
{
    for (size_t i = 0; i < e->evaluation->results.count; i++)
        if (strcmp(e->evaluation->results.list[i].figure.name, name) == 0) {
            el_error(e, from->where, "this evaluate has the result '%s' twice", name);
            return true;
        }
    for (size_t i = 0; i < e->evaluation->means.count; i++)
        if (strcmp(e->evaluation->means.list[i].figure.name, name) == 0) {
            el_error(e, from->where, "'%s' is a mean of this evaluate, which is told anyway", name);
            return true;
        }
    return false;
}

/* `as words.name` */
static const gm_tensor *words_of(elaborator *e, const gm_ast_item *from)
{
    const gm_tensor *words;
    if (from->as->part_count != 2 || !el_is_data_set(e, from->as->parts[0])) {
        el_error(e, from->where, "behind 'as' of a result stands a table of words: as words.name");
        return NULL;
    }
    words = el_table(e, from->as->parts[0], from->as->parts[1], from->where);
    if (words && words->type != GM_STRING)
        el_error(e, from->where, "'%s.%s' are no words", from->as->parts[0], from->as->parts[1]);
    return words;
}

/* result NAME = e: of means, parameters and tables. */
void el_result_item(elaborator *e, const gm_ast_item *from)
{
    const char *name = el_item_name(e, from, "result");
    gm_value_id id;
    item *result;
    if (!name || is_taken(e, from, name))
        return;
    id = item_value(e, from, name, "result");
    result = id ? add_item(e, &e->evaluation->results, name, from->where) : NULL;
    if (result) {
        result->value = id;
        result->figure.names = from->as ? words_of(e, from) : NULL;
    }
    if (from->name || !result)
        define_item(e, from, name, result ? el_tensor(id) : el_failed);
}

/* --- The cut --- */

static bool is_average(const struct el_evaluation *evaluation, gm_value_id id)
{
    for (size_t i = 0; i < evaluation->means.count; i++)
        if (evaluation->means.list[i].average == id)
            return true;
    return false;
}

/* Marks what `id` is computed from; nodes stand in order of evaluation. */
static void mark_sources(const gm_graph *graph, gm_value_id id, bool *needed)
{
    needed[id] = true;
    for (size_t n = graph->node_count; n-- > 0;) {
        const gm_node *node = &graph->nodes[n];
        bool wanted = false;
        for (size_t o = 0; o < node->output_count; o++)
            wanted = wanted || (node->outputs[o] && needed[node->outputs[o]]);
        for (size_t i = 0; wanted && i < node->input_count; i++)
            needed[node->inputs[i]] = true;
    }
}

static bool check_sources(elaborator *e, const item *of, bool result)
{
    bool *needed = gm_pool_array(e->pool, e->graph->value_count + 1, sizeof *needed);
    if (!needed)
        return el_out_of_memory(e), false;
    mark_sources(e->graph, of->value, needed);
    for (size_t i = 0; i < e->graph->input_count; i++) {
        const gm_graph_input *input = &e->graph->inputs[i];
        if (!needed[input->value] || is_average(e->evaluation, input->value) == result)
            continue;
        if (result)
            el_error(e, of->where, "the result '%s' depends on the examples ('%s'): take a mean of it first, %s",
                     of->figure.name, input->name, "and compute with that");
        else
            el_error(e, of->where, "the mean '%s' depends on the mean '%s', which is known only after the last batch",
                     of->figure.name, input->name);
        return false;
    }
    return true;
}

/* A copy with other outputs, without what these do not need, inputs included. */
static gm_graph *part_of(elaborator *e, const items *wanted, const char *name)
{
    gm_value_id *map = NULL;
    gm_graph *part = gm_graph_bind(e->graph, e->pool, NULL, 0, NULL, 0, &map);
    size_t kept = 0;
    bool *used;
    if (!part)
        return el_out_of_memory(e), NULL;
    part->name = name;
    for (size_t i = 0; i < wanted->count; i++)
        gm_graph_add_output(part, wanted->list[i].figure.name, map[wanted->list[i].value]);
    if (gm_graph_remove_dead(part) != GM_OK || gm_graph_compact(part) != GM_OK)
        return NULL;
    used = gm_pool_array(e->pool, part->value_count + 1, sizeof *used);
    if (!used)
        return el_out_of_memory(e), NULL;
    for (size_t i = 0; i < part->output_count; i++)
        mark_sources(part, part->outputs[i].value, used);
    for (size_t i = 0; i < part->input_count; i++) {
        if (!used[part->inputs[i].value])
            continue;
        part->inputs[kept] = part->inputs[i];
        gm_value_of(part, part->inputs[kept].value)->state = (uint32_t)kept;
        kept++;
    }
    part->input_count = kept;
    return part;
}

static bool cut(elaborator *e, const gm_ast_declaration *declaration, gm_entry *entry)
{
    const struct el_evaluation *evaluation = e->evaluation;
    for (size_t i = 0; i < evaluation->means.count; i++)
        if (!check_sources(e, &evaluation->means.list[i], false))
            return false;
    for (size_t i = 0; i < evaluation->results.count; i++)
        if (!check_sources(e, &evaluation->results.list[i], true))
            return false;
    entry->mean_count = evaluation->means.count;
    entry->figure_count = evaluation->means.count + evaluation->results.count;
    if (!entry->figure_count)
        return el_error(e, declaration->where, "this evaluate tells nothing: it needs a mean or a result"), false;
    entry->figures = gm_pool_array(e->pool, entry->figure_count, sizeof *entry->figures);
    if (!entry->figures)
        return el_out_of_memory(e), false;
    for (size_t i = 0; i < entry->figure_count; i++)
        entry->figures[i] = i < entry->mean_count ? evaluation->means.list[i].figure
                                                  : evaluation->results.list[i - entry->mean_count].figure;
    entry->graph = part_of(e, &evaluation->means, entry->name);
    if (entry->graph && evaluation->results.count)
        entry->results = part_of(e, &evaluation->results, entry->name);
    return entry->graph && (entry->results || !evaluation->results.count);
}

static bool take_draws(elaborator *e, const gm_ast_declaration *declaration, gm_entry *entry)
{
    if (!declaration->value_count)
        return true;
    if (!el_to_integer(e, el_evaluate(e, declaration->values[0]), declaration->where, "the number of draws",
                       &entry->draws))
        return false;
    if (entry->draws >= 1)
        return true;
    return el_error(e, declaration->where, "the number of draws must be at least 1, found %lld",
                    (long long)entry->draws),
           false;
}

bool el_evaluation_entry(elaborator *e, const gm_ast_declaration *declaration, gm_entry *entry)
{
    struct el_evaluation evaluation = {.batched = declaration->on || declaration->value_count};
    el_frame frame = {.declaration = declaration, .path = declaration->names[0]};
    gm_graph *graph = gm_graph_create(e->pool, e->program->symbols, declaration->names[0]);
    bool good;
    if (!graph)
        return el_out_of_memory(e), false;
    el_graph_begin(e, graph, declaration);
    e->evaluation = &evaluation;
    memset(e->keyword_count, 0, sizeof e->keyword_count);
    e->frame = &frame;
    good = take_draws(e, declaration, entry) && el_header_inputs(e, &declaration->signature) &&
           (!evaluation.batched || el_define_batch(e, declaration->where));
    if (good)
        el_body(e, &declaration->body);
    el_take_graph_error(e);
    if (good && !e->broken && e->fatal == GM_OK)
        good = cut(e, declaration, entry);
    el_take_graph_error(e);
    e->frame = NULL;
    e->evaluation = NULL;
    graph->path = graph->name;
    return good && !e->broken && e->fatal == GM_OK;
}
