/* Elaboration: steps and samples. Forward statements become nodes at once; minimize and update are carried out at the end:
 * first all gradients, from one forward pass and the same parameters, then the optimizers, then the updates. */
#include "graph/elaborate.h"

#include <string.h>

static const char *const keywords[] = {"assignment", "param", "buffer", "minimize", "update",
                                       "report",     "write", "mean",   "result"};

static bool is_assignment(const elaborator *e, const char *name)
{
    const gm_ast_body *body = &e->frame->declaration->body;
    for (size_t i = 0; i < body->count; i++) {
        const gm_ast_statement *statement = &body->statements[i];
        if (statement->kind != GM_AST_ASSIGN)
            continue;
        if (statement->label && strcmp(statement->label, name) == 0)
            return true;
        for (size_t k = 0; k < statement->output_count; k++)
            if (strcmp(statement->outputs[k], name) == 0)
                return true;
    }
    return false;
}

/* "minimize", "minimize_2", ...: these statements have no outputs to be called after. */
static bool begin_keyword(elaborator *e, const gm_ast_statement *statement)
{
    const char *name = NULL;
    do {
        int count = ++e->keyword_count[statement->kind];
        const char *word = keywords[statement->kind];
        name = count == 1 ? word : gm_pool_printf(e->pool, "%s_%d", word, count);
        if (!name) {
            el_out_of_memory(e);
            return false;
        }
    } while (is_assignment(e, name));
    return el_begin_statement(e, name, statement->where);
}

bool el_begin_item(elaborator *e, const gm_ast_item *item, const char *name, const char *word)
{
    if (is_assignment(e, name) || el_find(&e->frame->statements, name))
        name = gm_pool_printf(e->pool, "%s.%s", word, name);
    if (!name) {
        el_out_of_memory(e);
        return false;
    }
    return el_begin_statement(e, name, item->where);
}

/* --- Paths behind over, except, update ------------------------------------------------------------------------------------------ */

static bool has_prefix(const char *path, const char *prefix)
{
    size_t length = strlen(prefix);
    return strncmp(path, prefix, length) == 0 && (path[length] == '\0' || path[length] == '.');
}

/* A network's name reaches the networks it calls too, but for those made by load or copy; a longer path only what begins
 * with it. */
static bool path_reaches(const elaborator *e, const char *path, const gm_state_entry *state)
{
    const el_callable *callable;
    if (has_prefix(state->path, path))
        return true;
    callable = el_callable_find(e, path);
    if (!callable || !callable->calls || !state->network)
        return false;
    for (size_t i = 0; i < e->callable_count; i++)
        if (callable->calls[i] && !e->callables[i].home && !el_is_made(e, e->callables[i].name) &&
            strcmp(e->callables[i].name, state->network) == 0)
            return true;
    return false;
}

static bool is_failed_network(const elaborator *e, const char *name)
{
    const el_callable *callable = el_callable_find(e, name);
    return callable && callable->failed;
}

/* The path joined; NULL when nothing of these kinds lies under it, which is reported. */
static const char *checked_path(elaborator *e, const gm_ast_path *path, const char *word, gm_state_kind last_kind)
{
    const char *joined = el_join(e, path->parts, path->part_count);
    const el_callable *callable;
    gm_spelling spelling;
    if (!joined)
        return NULL;
    if (is_failed_network(e, path->parts[0])) {
        e->broken = true;
        return NULL;
    }
    for (size_t i = 0; i < e->program->state_count; i++)
        if (e->program->states[i].kind <= last_kind && path_reaches(e, joined, &e->program->states[i]))
            return joined;
    callable = el_callable_find(e, joined);
    if (callable && callable->declaration->kind == GM_AST_NETWORK) {
        el_error(e, path->where, "the network '%s' behind '%s' has no parameters", joined, word);
        return NULL;
    }
    if (el_find(&e->frame->names, joined)) {
        el_error(e, path->where,
                 "'%s' behind '%s' is a value of the step; networks and paths of parameters stand there", joined, word);
        return NULL;
    }
    gm_spelling_init(&spelling, joined);
    for (size_t i = 0; i < e->callable_count; i++)
        if (e->callables[i].declaration->kind == GM_AST_NETWORK)
            gm_spelling_offer(&spelling, e->callables[i].name);
    for (size_t i = 0; i < e->program->state_count; i++)
        if (e->program->states[i].kind <= last_kind)
            gm_spelling_offer(&spelling, e->program->states[i].path);
    el_error(e, path->where, "no parameter is called '%s' or lies under it%s", joined, el_hint(e, &spelling));
    return NULL;
}

static bool mark_reached(elaborator *e, uint32_t state)
{
    if (!el_grow(e, (void **)&e->reached, &e->reached_capacity, e->program->state_count + 1, sizeof *e->reached))
        return false;
    e->reached[state] = true;
    return true;
}

/* --- Statements met in the body --------------------------------------------------------------------------------------------------- */

static gm_value_id scalar_value(elaborator *e, el_value value, gm_location where, const char *what)
{
    gm_value_id id = el_to_tensor(e, value, value.kind == EL_NUMBER ? GM_FLOAT : GM_TYPE_UNDEFINED, where);
    char text[160];
    if (!id && value.kind == EL_ABSENT)
        el_error(e, where, "%s has no value here", what);
    if (!id)
        return 0;
    if (gm_value_of(e->graph, id)->rank != 0) {
        el_error(e, where, "%s must be a scalar, found %s; mean(...) or sum(...) makes one", what,
                 gm_shape_text(e->graph, id, text, sizeof text));
        return 0;
    }
    return id;
}

static void minimize_statement(elaborator *e, const gm_ast_statement *statement)
{
    el_minimize minimize = {.statement = statement};
    char text[160];
    if (!begin_keyword(e, statement))
        return;
    minimize.path = e->frame->statement_path;
    minimize.loss = scalar_value(e, el_evaluate(e, statement->value), statement->where, "the loss of a minimize");
    if (minimize.loss && gm_value_of(e->graph, minimize.loss)->type != GM_FLOAT) {
        el_error(e, statement->where, "the loss of a minimize must be float, found %s",
                 gm_shape_text(e->graph, minimize.loss, text, sizeof text));
        minimize.loss = 0;
    }
    if (!el_optimizer_find(e, statement, &minimize.use))
        return;
    el_optimizer_values(e, &minimize);
    if (!gm_pool_grow(e->pool, (void **)&e->minimizes, &e->minimize_capacity, e->minimize_count + 1, sizeof minimize)) {
        el_out_of_memory(e);
        return;
    }
    e->minimizes[e->minimize_count++] = minimize;
}

static void update_statement(elaborator *e, const gm_ast_statement *statement)
{
    if (!gm_pool_grow(e->pool, (void **)&e->updates, &e->update_capacity, e->update_count + 1,
                      sizeof(gm_ast_statement *))) {
        el_out_of_memory(e);
        return;
    }
    e->updates[e->update_count++] = statement;
}

/* What is written of items: the name is a column of a table, or part of a file's name. */
static const struct {
    const char *word, *reserved[3], *unfit;
} item_names[] = {{"report", {"epoch", "iteration", "seconds"}, ",\"\n\r"},
                  {"mean", {"epoch", "iteration"}, ",\"\n\r"},
                  {"result", {"epoch", "iteration"}, ",\"\n\r"},
                  {"write", {NULL}, "/"}};

static bool item_name_fits(elaborator *e, const gm_ast_item *item, const char *word, const char *name)
{
    for (size_t i = 0; i < GM_COUNT(item_names); i++) {
        if (strcmp(item_names[i].word, word) != 0)
            continue;
        for (size_t k = 0; k < GM_COUNT(item_names[i].reserved) && item_names[i].reserved[k]; k++)
            if (strcmp(item_names[i].reserved[k], name) == 0) {
                el_error(e, item->where, "the tables have a column '%s' of their own: %s another_name = ...", name,
                         word);
                return false;
            }
        if (name[strcspn(name, item_names[i].unfit)]) {
            el_error(e, item->where, "the name '%s' cannot be %s: %s another_name = ...", name,
                     *item_names[i].unfit == '/' ? "part of a file's name" : "a column of a table", word);
            return false;
        }
    }
    return true;
}

const char *el_item_name(elaborator *e, const gm_ast_item *item, const char *word)
{
    const char *name = item->name;
    if (!name && item->value->kind == GM_AST_PATH && item->value->part_count == 1)
        name = item->value->parts[0];
    if (!name)
        el_error(e, item->where, "%s needs a name here: %s NAME = ...", word, word);
    return name && item_name_fits(e, item, word, name) ? name : NULL;
}

static void report_item(elaborator *e, const gm_ast_item *item)
{
    const char *name = el_item_name(e, item, "report"), *what;
    el_name *old;
    gm_value_id id;
    if (!name)
        return;
    old = el_find(&e->columns, name);
    if (old) {
        el_error(e, item->where, "the report '%s' stands at line %d already; reports of a file have different names",
                 name, old->where.line);
        return;
    }
    what = gm_pool_printf(e->pool, "the report '%s'", name);
    if (!what || !el_begin_item(e, item, name, "report") ||
        !el_define(e, &e->columns, name, el_string(name), item->where))
        return;
    id = scalar_value(e, el_evaluate(e, item->value), item->where, what);
    if (id && gm_value_of(e->graph, id)->type != GM_FLOAT)
        id = gm_emit1_with(e->graph, "Cast", id, gm_attribute_int("to", GM_FLOAT));
    if (!el_take_graph_error(e) && id)
        gm_graph_add_output(e->graph, name, id);
}

static const struct {
    const char *name;
    gm_write_format format;
} write_formats[] = {
    {"png", GM_WRITE_PNG}, {"scatter", GM_WRITE_SCATTER}, {"npy", GM_WRITE_NPY}, {"text", GM_WRITE_TEXT}};

static bool write_format(elaborator *e, const gm_ast_item *item, gm_write_format *format_out)
{
    gm_spelling spelling;
    const char *joined;
    *format_out = GM_WRITE_BY_SHAPE;
    if (!item->as)
        return true;
    joined = el_join(e, item->as->parts, item->as->part_count);
    if (!joined)
        return false;
    gm_spelling_init(&spelling, joined);
    for (size_t i = 0; i < GM_COUNT(write_formats); i++) {
        if (strcmp(write_formats[i].name, joined) == 0) {
            *format_out = write_formats[i].format;
            return true;
        }
        gm_spelling_offer(&spelling, write_formats[i].name);
    }
    el_error(e, item->where, "a write is 'as png', 'as scatter', 'as npy' or 'as text', found 'as %s'%s", joined,
             el_hint(e, &spelling));
    return false;
}

static void write_item(elaborator *e, const gm_ast_item *item)
{
    const char *name = el_item_name(e, item, "write");
    gm_write write = {.name = name};
    el_value value;
    gm_value_id id;
    if (!name || !write_format(e, item, &write.format))
        return;
    for (size_t i = 0; i < e->write_count; i++)
        if (strcmp(e->writes[i].name, name) == 0) {
            el_error(e, item->where, "this sample writes '%s' twice", name);
            return;
        }
    if (!el_begin_item(e, item, name, "write"))
        return;
    value = el_evaluate(e, item->value);
    id = el_to_tensor(e, value, value.kind == EL_NUMBER ? GM_FLOAT : GM_TYPE_UNDEFINED, item->where);
    if (!id || !gm_pool_grow(e->pool, (void **)&e->writes, &e->write_capacity, e->write_count + 1, sizeof write))
        return;
    e->writes[e->write_count++] = write;
    gm_graph_add_output(e->graph, name, id);
    el_take_graph_error(e);
}

void el_keyword_statement(elaborator *e, const gm_ast_statement *statement)
{
    bool step = !e->frame->callable && e->frame->declaration->kind == GM_AST_STEP;
    bool sample = !e->frame->callable && e->frame->declaration->kind == GM_AST_SAMPLE;
    gm_ast_statement_kind kind = statement->kind;
    if (kind == GM_AST_MEAN || kind == GM_AST_RESULT) {
        if (e->frame->callable || !e->evaluation)
            el_error(e, statement->where, "'%s' stands only in an evaluate", keywords[kind]);
        for (size_t i = 0; !e->frame->callable && e->evaluation && i < statement->item_count; i++)
            (kind == GM_AST_MEAN ? el_mean_item : el_result_item)(e, &statement->items[i]);
    } else if (kind == GM_AST_WRITE ? !sample : !step) {
        el_error(e, statement->where, "'%s' stands only in a %s", keywords[kind],
                 kind == GM_AST_WRITE ? "sample" : "step");
    } else if (kind == GM_AST_MINIMIZE) {
        minimize_statement(e, statement);
    } else if (kind == GM_AST_UPDATE) {
        update_statement(e, statement);
    } else {
        for (size_t i = 0; i < statement->item_count; i++) {
            if (kind == GM_AST_REPORT)
                report_item(e, &statement->items[i]);
            else
                write_item(e, &statement->items[i]);
        }
    }
}

/* --- Gradients --------------------------------------------------------------------------------------------------------------------- */

/* Parameters of `over` without `except`, in the order of the state table. */
static bool select_parameters(elaborator *e, el_minimize *minimize, int *owner_of, int self)
{
    const gm_ast_statement *statement = minimize->statement;
    size_t count = e->program->state_count;
    bool *chosen = gm_pool_array(e->pool, count + 1, sizeof *chosen);
    minimize->parameters = gm_pool_array(e->pool, count + 1, sizeof *minimize->parameters);
    minimize->gradients = gm_pool_array(e->pool, count + 1, sizeof *minimize->gradients);
    if (!chosen || !minimize->parameters || !minimize->gradients) {
        el_out_of_memory(e);
        return false;
    }
    for (size_t k = 0; k < statement->path_count + statement->except_count; k++) {
        bool over = k < statement->path_count;
        const gm_ast_path *path = over ? &statement->paths[k] : &statement->excepts[k - statement->path_count];
        const char *joined = checked_path(e, path, over ? "over" : "except", GM_STATE_PARAMETER);
        if (!joined)
            return false;
        for (size_t i = 0; i < count; i++)
            if (e->program->states[i].kind == GM_STATE_PARAMETER && path_reaches(e, joined, &e->program->states[i]))
                chosen[i] = over;
    }
    for (size_t i = 0; i < count; i++) {
        if (!chosen[i])
            continue;
        if (owner_of[i] && owner_of[i] != self) {
            el_error(e, statement->where,
                     "the parameter '%s' stands behind two minimize statements of the step '%s': minimize the sum of "
                     "the losses",
                     e->program->states[i].path, e->entry->names[0]);
            return false;
        }
        owner_of[i] = self;
        minimize->parameters[minimize->count++] = (uint32_t)i;
        if (!mark_reached(e, (uint32_t)i))
            return false;
    }
    if (minimize->count)
        return true;
    el_error(e, statement->where, "'except' leaves no parameter of those behind 'over'");
    return false;
}

/* Leaves only the parameters with a gradient: the others stay untouched, moments included. */
static bool differentiate(elaborator *e, el_minimize *minimize)
{
    gm_value_id *wrt = gm_pool_array(e->pool, minimize->count + 1, sizeof *wrt);
    size_t kept = 0;
    if (!wrt) {
        el_out_of_memory(e);
        return false;
    }
    for (size_t i = 0; i < minimize->count; i++)
        wrt[i] = minimize->parameters[i] < e->current_capacity ? e->current[minimize->parameters[i]] : 0;
    e->graph->path = minimize->path;
    e->graph->where = minimize->statement->where;
    gm_autodiff(e->graph, &minimize->loss, NULL, 1, wrt, minimize->count, minimize->gradients);
    if (el_take_graph_error(e))
        return false;
    for (size_t i = 0; i < minimize->count; i++) {
        if (!minimize->gradients[i])
            continue;
        minimize->parameters[kept] = minimize->parameters[i];
        minimize->gradients[kept++] = minimize->gradients[i];
    }
    minimize->count = kept;
    if (kept)
        return true;
    el_error(e, minimize->statement->where,
             "the loss depends on no parameter behind 'over'; gradients may be cut by detach");
    return false;
}

/* The loss becomes an output behind the reports. */
static bool show_loss(elaborator *e, gm_value_id loss, size_t reports)
{
    const gm_value *value = gm_value_of(e->graph, loss);
    for (size_t i = reports; i < e->graph->output_count; i++)
        if (e->graph->outputs[i].value == loss)
            return true; /* two statements minimize it */
    const char *place = value->kind == GM_VALUE_NODE ? e->graph->nodes[value->node].path : value->name;
    const char *name = gm_pool_printf(e->pool, "loss.%s", place);
    if (!name) {
        el_out_of_memory(e);
        return false;
    }
    gm_graph_add_output(e->graph, name, loss);
    return !el_take_graph_error(e);
}

static bool carry_out_minimizes(elaborator *e, gm_entry *entry)
{
    int *owner_of = gm_pool_array(e->pool, e->program->state_count + 1, sizeof *owner_of);
    size_t total = 0;
    if (!owner_of) {
        el_out_of_memory(e);
        return false;
    }
    entry->report_count = e->graph->output_count;
    for (size_t i = 0; i < e->minimize_count; i++)
        if (!show_loss(e, e->minimizes[i].loss, entry->report_count))
            return false;
    for (size_t i = 0; i < e->minimize_count; i++) {
        if (!select_parameters(e, &e->minimizes[i], owner_of, (int)i + 1) || !differentiate(e, &e->minimizes[i]))
            return false;
        total += e->minimizes[i].count;
    }
    entry->gradients = gm_pool_array(e->pool, total + 1, sizeof *entry->gradients);
    if (!entry->gradients) {
        el_out_of_memory(e);
        return false;
    }
    for (size_t i = 0; i < e->minimize_count; i++) {
        const el_minimize *minimize = &e->minimizes[i];
        for (size_t k = 0; k < minimize->count; k++)
            entry->gradients[entry->gradient_count++] =
                (gm_gradient_record){minimize->parameters[k], minimize->gradients[k]};
        if (!el_optimizer_emit(e, minimize, entry->name, minimize->statement->paths[0].parts[0]))
            return false;
    }
    return true;
}

/* --- Updates ------------------------------------------------------------------------------------------------------------------------ */

static bool update_one(elaborator *e, const gm_ast_statement *statement, uint32_t state)
{
    gm_state_entry entry = e->program->states[state];
    el_value value = el_evaluate(e, statement->value);
    gm_value_id id = el_to_tensor(e, value, entry.type, statement->where), like = el_state_value(e, state);
    char expected[160], found[160];
    bool same;
    if (!id || !like)
        return false;
    if (gm_value_of(e->graph, id)->rank == 0 && entry.rank > 0 && gm_value_of(e->graph, id)->type == entry.type) {
        id = gm_expand_like(e->graph, id, like);
        if (el_take_graph_error(e))
            return false;
    }
    same = gm_value_of(e->graph, id)->type == entry.type && gm_value_of(e->graph, id)->rank == entry.rank;
    for (int i = 0; same && i < entry.rank; i++)
        same = gm_value_of(e->graph, id)->dims[i] == entry.dims[i];
    if (!same) {
        el_error(e, statement->where, "the update of '%s' must be %s, found %s", entry.path,
                 gm_shape_text(e->graph, like, expected, sizeof expected),
                 gm_shape_text(e->graph, id, found, sizeof found));
        return false;
    }
    el_state_assign(e, state, id);
    return mark_reached(e, state) && e->fatal == GM_OK;
}

/* A path that is an entry's own stands for it; any other for the parameters under it, or, where there are none, for the
 * buffers. */
static gm_state_kind last_kind_under(const elaborator *e, const char *target)
{
    for (size_t i = 0; i < e->program->state_count; i++)
        if (e->program->states[i].kind == GM_STATE_PARAMETER && path_reaches(e, target, &e->program->states[i]))
            return GM_STATE_PARAMETER;
    return GM_STATE_BUFFER;
}

static bool carry_out_update(elaborator *e, const gm_ast_statement *statement)
{
    const char *target = checked_path(e, &statement->paths[0], "update", GM_STATE_BUFFER);
    size_t count = e->program->state_count;
    gm_state_kind last_kind;
    bool good = true;
    if (!target || !begin_keyword(e, statement))
        return false;
    last_kind = last_kind_under(e, target);
    for (size_t i = 0; i < count && good; i++) {
        const gm_state_entry *state = &e->program->states[i];
        bool exact = strcmp(state->path, target) == 0;
        if (state->kind > (exact ? GM_STATE_BUFFER : last_kind) || !path_reaches(e, target, state))
            continue;
        e->update_target = target;
        e->update_suffix = has_prefix(state->path, target) ? state->path + strlen(target) : state->path;
        e->update_state = (uint32_t)i;
        good = update_one(e, statement, (uint32_t)i);
        e->update_target = e->update_suffix = NULL;
    }
    return good;
}

/* --- The whole ------------------------------------------------------------------------------------------------------------------------ */

static bool note_used(elaborator *e, const gm_ast_declaration *declaration)
{
    el_step step = {.name = declaration->names[0], .used_count = e->program->state_count, .where = declaration->where};
    step.used = gm_pool_array(e->pool, step.used_count + 1, sizeof *step.used);
    if (!step.used || !gm_pool_grow(e->pool, (void **)&e->steps, &e->step_capacity, e->step_count + 1, sizeof step)) {
        el_out_of_memory(e);
        return false;
    }
    for (size_t i = 0; i < step.used_count && i < e->current_capacity; i++)
        step.used[i] = e->current[i] != 0;
    e->steps[e->step_count++] = step;
    return true;
}

static bool add_assigns(elaborator *e)
{
    for (size_t i = 0; i < e->program->state_count && i < e->written_capacity; i++)
        if (e->written[i])
            gm_graph_add_assign(e->graph, (uint32_t)i, e->current[i]);
    return !el_take_graph_error(e);
}

static bool finish_step(elaborator *e, const gm_ast_declaration *declaration, gm_entry *entry)
{
    if (!note_used(e, declaration))
        return false;
    entry->undifferentiated = gm_graph_bind(e->graph, e->pool, NULL, 0, NULL, 0, NULL);
    if (!entry->undifferentiated)
        return el_out_of_memory(e), false;
    if (!carry_out_minimizes(e, entry))
        return false;
    for (size_t i = 0; i < e->update_count; i++)
        if (!carry_out_update(e, e->updates[i]))
            return false;
    return add_assigns(e);
}

bool el_define_batch(elaborator *e, gm_location where)
{
    if (el_find(&e->frame->sizes, "N") || el_find(&e->consts, "N"))
        return true;
    return el_define(e, &e->frame->sizes, "N", el_size(gm_dim_symbol(e->program->symbols, "N")), where);
}

bool el_step_entry(elaborator *e, const gm_ast_declaration *declaration, gm_entry *entry)
{
    bool step = declaration->kind == GM_AST_STEP, good;
    el_frame frame = {.declaration = declaration, .path = declaration->names[0], .training = step};
    gm_graph *graph = gm_graph_create(e->pool, e->program->symbols, declaration->names[0]);
    if (!graph)
        return el_out_of_memory(e), false;
    el_graph_begin(e, graph, declaration);
    graph->training = step;
    e->writes_buffers = step;
    e->minimize_count = e->update_count = 0;
    e->writes = NULL;
    e->write_count = e->write_capacity = 0;
    memset(e->keyword_count, 0, sizeof e->keyword_count);
    e->frame = &frame;
    good = el_header_inputs(e, &declaration->signature) && (!step || el_define_batch(e, declaration->where));
    if (good)
        el_body(e, &declaration->body);
    if (step && good && !e->broken && e->fatal == GM_OK)
        finish_step(e, declaration, entry);
    e->frame = NULL;
    el_take_graph_error(e);
    entry->graph = graph;
    entry->writes = e->writes;
    entry->write_count = e->write_count;
    graph->path = graph->name;
    return good && !e->broken && e->fatal == GM_OK;
}
