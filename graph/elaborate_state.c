/* Elaboration: parameters, buffers and their first values. */
#include "graph/elaborate.h"

#include <math.h>
#include <string.h>

gm_value_id el_state_value(elaborator *e, uint32_t state)
{
    const gm_state_entry *entry = &e->program->states[state];
    gm_dim dims[GM_MAX_RANK];
    if (!el_grow(e, (void **)&e->current, &e->current_capacity, state + 1, sizeof *e->current))
        return 0;
    if (e->current[state])
        return e->current[state];
    for (int i = 0; i < entry->rank; i++)
        dims[i] = entry->dims[i];
    e->current[state] = gm_graph_state(e->graph, state, entry->path, entry->type, entry->rank, dims);
    return el_take_graph_error(e) ? 0 : e->current[state];
}

void el_state_assign(elaborator *e, uint32_t state, gm_value_id value)
{
    if (!el_grow(e, (void **)&e->current, &e->current_capacity, state + 1, sizeof *e->current) ||
        !el_grow(e, (void **)&e->written, &e->written_capacity, state + 1, sizeof *e->written))
        return;
    e->current[state] = value;
    e->written[state] = true;
}

int64_t el_state_add(elaborator *e, const gm_state_entry *entry)
{
    gm_program *program = e->program;
    int64_t index = gm_program_state(program, entry->path);
    if (index >= 0)
        return index;
    if (!gm_pool_grow(e->pool, (void **)&program->states, &program->state_capacity, program->state_count + 1,
                      sizeof *program->states)) {
        el_out_of_memory(e);
        return -1;
    }
    program->states[program->state_count] = *entry;
    return (int64_t)program->state_count++;
}

/* --- Initializers ------------------------------------------------------------------------------------------------------------ */

typedef enum el_spread {
    EL_UNIFORM,         /* within +-limit: variance limit^2 / 3 */
    EL_TRUNCATED_NORMAL /* cut at two deviations: the deviation drawn with is larger by 1 / 0.87962566103423978, so that the
                           variance is the one asked for, as Keras does */
} el_spread;

/* Names after Keras (and PyTorch for pytorch_uniform): variance = scale / fan. Glorot & Bengio 2010, He et al. 2015, LeCun et
 * al. 1998. pytorch_uniform: +-1/sqrt(fan_in), the first values of PyTorch's Linear and Conv, weights and bias alike. */
static const struct el_scaled {
    const char *name;
    el_spread spread;
    bool average; /* fan = (fan_in + fan_out) / 2, else fan_in */
    double scale;
} scaled[] = {
    {"glorot_uniform", EL_UNIFORM, true, 1},
    {"glorot_normal", EL_TRUNCATED_NORMAL, true, 1},
    {"he_uniform", EL_UNIFORM, false, 2},
    {"he_normal", EL_TRUNCATED_NORMAL, false, 2},
    {"lecun_uniform", EL_UNIFORM, false, 1},
    {"lecun_normal", EL_TRUNCATED_NORMAL, false, 1},
    {"pytorch_uniform", EL_UNIFORM, false, 1.0 / 3},
};

static const struct el_plain {
    const char *name;
    gm_initializer_kind kind;
    size_t least, most; /* arguments */
    double defaults[2];
    const char *arguments;
} plain[] = {
    {"uniform", GM_INITIALIZE_UNIFORM, 2, 2, {0, 0}, "from, to"},
    {"normal", GM_INITIALIZE_NORMAL, 2, 2, {0, 0}, "mean, deviation"},
    {"truncated_normal", GM_INITIALIZE_TRUNCATED_NORMAL, 2, 2, {0, 0}, "mean, deviation"},
    {"orthogonal", GM_INITIALIZE_ORTHOGONAL, 0, 1, {1, 0}, "gain"},
    {"zeros", GM_INITIALIZE_CONSTANT, 0, 0, {0, 0}, ""},
};

/* Rank 2: [in, out]; above: [out, in, k...], where both count the kernel's elements. */
static bool default_fans(const gm_state_entry *entry, double *fan_in, double *fan_out)
{
    double receptive = 1;
    if (entry->rank < 2)
        return false;
    for (int i = 2; i < entry->rank; i++)
        receptive *= (double)entry->dims[i];
    *fan_in = (double)entry->dims[entry->rank == 2 ? 0 : 1] * receptive;
    *fan_out = (double)entry->dims[entry->rank == 2 ? 1 : 0] * receptive;
    return true;
}

static bool read_fans(elaborator *e, const gm_ast_expression *call, const gm_state_entry *entry, bool average,
                      double *fan_out)
{
    double in = 0, out = 0;
    bool has_in = default_fans(entry, &in, &out), has_out = has_in;
    for (size_t i = 0; i < call->attributes.count; i++) {
        const gm_ast_attribute *item = &call->attributes.items[i];
        bool is_in = item->name && strcmp(item->name, "fan_in") == 0,
             is_out = item->name && strcmp(item->name, "fan_out") == 0;
        if (!is_in && !is_out) {
            el_error(e, item->where, "an initializer has the attributes 'fan_in' and 'fan_out'%s%s",
                     item->name ? "; found " : "", item->name ? item->name : "");
            return false;
        }
        if (!el_to_number(e, el_evaluate_attribute(e, item->value), item->where, item->name, is_in ? &in : &out))
            return false;
        has_in = has_in || is_in;
        has_out = has_out || is_out;
    }
    if (!has_in || (average && !has_out)) {
        el_error(e, call->where, "'%s' of a parameter of rank %d needs <fan_in = ...>%s", call->parts[0], entry->rank,
                 average ? " and <fan_out = ...>" : "");
        return false;
    }
    *fan_out = average ? (in + out) / 2 : in;
    if (!(*fan_out > 0)) {
        el_error(e, call->where, "the fan of an initializer must be positive");
        return false;
    }
    return true;
}

static bool scaled_initializer(elaborator *e, const struct el_scaled *rule, const gm_ast_expression *call,
                               gm_state_entry *entry)
{
    double fan, deviation;
    if (!read_fans(e, call, entry, rule->average, &fan))
        return false;
    deviation = sqrt(rule->scale / fan);
    if (rule->spread == EL_UNIFORM)
        entry->initializer =
            (gm_initializer){GM_INITIALIZE_UNIFORM, -sqrt(3.0) * deviation, sqrt(3.0) * deviation, 0, NULL};
    else
        entry->initializer =
            (gm_initializer){GM_INITIALIZE_TRUNCATED_NORMAL, 0, deviation / 0.87962566103423978, 0, NULL};
    return true;
}

static bool plain_initializer(elaborator *e, const struct el_plain *rule, const gm_ast_expression *call,
                              gm_state_entry *entry)
{
    double arguments[2] = {rule->defaults[0], rule->defaults[1]};
    bool attributes = call->attributes.count && rule->kind != GM_INITIALIZE_CONSTANT; /* which has no use for its fan */
    if (call->item_count < rule->least || call->item_count > rule->most || attributes) {
        el_error(e, call->where, "'%s' is written %s(%s)", rule->name, rule->name, rule->arguments);
        return false;
    }
    for (size_t i = 0; i < call->item_count; i++)
        if (!el_to_number(e, el_evaluate(e, call->items[i]), call->items[i]->where, "an argument of an initializer",
                          &arguments[i]))
            return false;
    entry->initializer = (gm_initializer){rule->kind, arguments[0], arguments[1], 0, NULL};
    if (rule->kind == GM_INITIALIZE_ORTHOGONAL && entry->rank < 2) {
        el_error(e, call->where, "orthogonal needs a parameter of rank 2 or more, found rank %d", entry->rank);
        return false;
    }
    return true;
}

/* Behind ~: a name, a call, or an attribute that holds the name as a string. */
static bool named_initializer(elaborator *e, const gm_ast_expression *call, gm_state_entry *entry)
{
    const char *name = call->kind == GM_AST_STRING ? call->text : call->part_count == 1 ? call->parts[0] : "";
    gm_ast_expression renamed = *call;
    const char *parts[1];
    gm_spelling spelling;
    el_name *attribute = name ? el_find(&e->frame->names, name) : NULL;
    if (attribute && attribute->value.kind == EL_STRING)
        name = attribute->value.text;
    parts[0] = name;
    renamed.parts = parts;
    renamed.part_count = 1;
    gm_spelling_init(&spelling, name);
    for (size_t i = 0; i < GM_COUNT(scaled); i++) {
        if (strcmp(scaled[i].name, name) == 0)
            return scaled_initializer(e, &scaled[i], &renamed, entry);
        gm_spelling_offer(&spelling, scaled[i].name);
    }
    for (size_t i = 0; i < GM_COUNT(plain); i++) {
        if (strcmp(plain[i].name, name) == 0)
            return plain_initializer(e, &plain[i], &renamed, entry);
        gm_spelling_offer(&spelling, plain[i].name);
    }
    el_error(e, call->where, "unknown initializer '%s'%s", name, el_hint(e, &spelling));
    return false;
}

static bool list_numbers(elaborator *e, el_value value, gm_tensor *tensor, int64_t *at, gm_location where)
{
    if (value.kind == EL_LIST) {
        for (size_t i = 0; i < value.count; i++)
            if (!list_numbers(e, value.items[i], tensor, at, where))
                return false;
        return true;
    }
    if (value.kind != EL_NUMBER) {
        el_error(e, where, "the first value of a parameter is made of numbers");
        return false;
    }
    if (*at < gm_tensor_count(tensor)) {
        if (value.is_float || gm_type_find(tensor->type)->floating)
            gm_set(tensor, *at, value.number);
        else
            gm_set_int(tensor, *at, value.integer);
    }
    ++*at;
    return true;
}

static bool tensor_initializer(elaborator *e, const gm_tensor *tensor, gm_location where, gm_state_entry *entry)
{
    bool same = tensor->type == entry->type && tensor->rank == entry->rank;
    for (int i = 0; same && i < entry->rank; i++)
        same = tensor->dims[i] == entry->dims[i];
    if (!same) {
        el_error(e, where, "the tensor behind = has another type or shape than the parameter");
        return false;
    }
    entry->initializer = (gm_initializer){.kind = GM_INITIALIZE_TENSOR, .tensor = tensor};
    return true;
}

/* Behind =: one number for all elements, a list or { } with all of them, or a table of a data set. */
static bool value_initializer(elaborator *e, const gm_ast_expression *expression, gm_state_entry *entry)
{
    el_value value;
    gm_tensor *tensor;
    int64_t at = 0;
    if (expression->kind == GM_AST_TENSOR && expression->tensor)
        return tensor_initializer(e, expression->tensor, expression->where, entry);
    value = el_evaluate(e, expression);
    if (value.kind == EL_TENSOR && gm_constant_of(e->graph, value.id))
        return tensor_initializer(e, gm_constant_of(e->graph, value.id), expression->where, entry);
    if (value.kind == EL_NUMBER) {
        entry->initializer = (gm_initializer){.kind = GM_INITIALIZE_CONSTANT, .value = value.number};
        return true;
    }
    if (value.kind != EL_LIST) {
        char text[160];
        if (value.kind != EL_FAILED)
            el_error(e, expression->where, "the first value of a parameter must be known at load, found %s",
                     el_describe(e, value, text, sizeof text));
        return false;
    }
    tensor = gm_tensor_create(e->pool, entry->type, entry->rank, entry->dims);
    if (!tensor) {
        el_out_of_memory(e);
        return false;
    }
    if (!list_numbers(e, value, tensor, &at, expression->where))
        return false;
    if (at != gm_tensor_count(tensor)) {
        el_error(e, expression->where, "the parameter has %lld elements, the list %lld",
                 (long long)gm_tensor_count(tensor), (long long)at);
        return false;
    }
    entry->initializer = (gm_initializer){.kind = GM_INITIALIZE_TENSOR, .tensor = tensor};
    return true;
}

/* --- Declarations ------------------------------------------------------------------------------------------------------------- */

static bool state_type(elaborator *e, const gm_ast_statement *statement, gm_state_entry *entry)
{
    const gm_ast_type *type = statement->type;
    gm_dim dims[GM_MAX_RANK];
    double elements = 1;
    if (!type || !type->type || type->any_shape || type->constructor) {
        el_error(e, statement->where, "'%s' needs a type and a shape, such as float[784, 10]", entry->path);
        return false;
    }
    if (!gm_type_bytes(type->type)) {
        el_error(e, statement->where, "'%s' cannot hold %s", entry->path, gm_type_name(type->type));
        return false;
    }
    entry->type = type->type;
    if (!type->has_shape)
        return true;
    if (!el_type_dims(e, type, &entry->rank, dims))
        return false;
    for (int i = 0; i < entry->rank; i++) {
        char text[96];
        if (!gm_dim_is_known(dims[i])) {
            el_error(
                e, statement->where,
                "the size %s of '%s' is not known at load: a parameter cannot depend on the batch; give the network's "
                "input a number there",
                gm_dim_print(e->program->symbols, dims[i], text, sizeof text), entry->path);
            return false;
        }
        entry->dims[i] = dims[i];
        elements *= (double)dims[i];
    }
    if (elements > 1e12) {
        el_error(e, statement->where, "'%s' would have %.3g elements", entry->path, elements);
        return false;
    }
    return true;
}

/* The same path met again (training mode, a second call) must mean the same tensor. */
static bool same_state(elaborator *e, const gm_state_entry *old, const gm_state_entry *entry)
{
    char a[160], b[160];
    bool same = old->type == entry->type && old->rank == entry->rank && old->kind == entry->kind;
    gm_dim x[GM_MAX_RANK], y[GM_MAX_RANK];
    for (int i = 0; i < GM_MAX_RANK; i++) {
        x[i] = old->dims[i];
        y[i] = entry->dims[i];
        same = same && x[i] == y[i];
    }
    if (same)
        return true;
    el_error(e, entry->where, "'%s' is %s here, but %s where it was first met (line %d)", entry->path,
             gm_dims_print(e->program->symbols, entry->rank, y, a, sizeof a),
             gm_dims_print(e->program->symbols, old->rank, x, b, sizeof b), old->where.line);
    return false;
}

static el_value make_state(elaborator *e, const gm_ast_statement *statement)
{
    bool parameter = statement->kind == GM_AST_PARAM;
    gm_state_entry entry = {.kind = parameter ? GM_STATE_PARAMETER : GM_STATE_BUFFER, .network = e->frame->network};
    const char *path;
    int64_t index;
    entry.where = el_place(e, statement->where);
    entry.path = gm_pool_printf(e->pool, "%s.%s", e->frame->owner, statement->outputs[0]);
    path = entry.path;
    if (!path)
        return el_out_of_memory(e);
    if (!el_adopt_state(e, &entry) || !state_type(e, statement, &entry))
        return el_failed;
    index = gm_program_state(e->program, entry.path);
    if (index >= 0)
        return same_state(e, &e->program->states[index], &entry)
                   ? (el_value){.kind = EL_STATE, .state = (uint32_t)index}
                   : el_failed;
    if (!statement->initializer && !statement->value)
        return el_error(e, statement->where, "the %s '%s' needs a first value: '= 0' or '~ glorot_uniform'",
                        parameter ? "parameter" : "buffer", statement->outputs[0]);
    if (!(statement->initializer ? named_initializer(e, statement->initializer, &entry)
                                 : value_initializer(e, statement->value, &entry)))
        return el_failed;
    if (!el_load_state(e, path, &entry))
        return el_failed;
    index = el_state_add(e, &entry);
    return index < 0 ? el_failed : (el_value){.kind = EL_STATE, .state = (uint32_t)index};
}

void el_param_statement(elaborator *e, const gm_ast_statement *statement)
{
    const char *word = statement->kind == GM_AST_PARAM ? "param" : "buffer";
    el_value value = el_failed;
    if (!e->frame->callable) {
        el_error(e, statement->where, "'%s' stands only in networks and functions", word);
    } else if (!e->frame->owner) {
        el_error(e, statement->where,
                 "'%s' owns parameters, so it may be called only in networks, not in a step or sample",
                 e->frame->callable->name);
    } else {
        int64_t present = 1;
        if (statement->condition && !el_to_integer(e, el_evaluate(e, statement->condition), statement->where,
                                                   "the condition behind 'when'", &present))
            present = 1;
        else if (!present)
            value.kind = EL_ABSENT;
        else
            value = make_state(e, statement);
    }
    el_define(e, &e->frame->names, statement->outputs[0], value, statement->where);
}
