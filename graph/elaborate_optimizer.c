/* Elaboration: what stands behind `with`. One node updates all parameters of a minimize:
 *   inputs   rate [, count], parameters, gradients [, first slots [, second slots]] [, other values of this run]
 *   outputs  new parameters [, first slots [, second slots]]
 * Adam, Momentum and Adagrad are ONNX's (ai.onnx.preview.training), where `count` is the number of updates with this
 * one; Adagrad's decay begins behind the first update: its count is that of the updates before. */
#include "graph/elaborate.h"

#include <stdio.h>
#include <string.h>

typedef struct el_hyper {
    const char *name;      /* in the language */
    const char *attribute; /* of the node */
    bool whole;            /* an INT */
    double value;          /* where the file says nothing */
} el_hyper;

typedef enum el_count_kind { EL_COUNTS_NOT, EL_COUNTS_ALL, EL_COUNTS_EARLIER } el_count_kind;

typedef struct el_optimizer {
    const char *name, *operator_name;
    el_count_kind counts;  /* takes the number of updates, with this one or without */
    const char *slots[2];  /* names in paths of state entries */
    el_hyper hypers[6];    /* as many as el_minimize.hypers */
    const char *fixed_int; /* an attribute that makes the difference between two names of one operator */
    const char *mode_name; /* Momentum: `nesterov` chooses the string */
} el_optimizer;

#define EL_PREVIEW "ai.onnx.preview.training."

/* Kingma & Ba 2015 (Adam), Loshchilov & Hutter 2019 (AdamW), Tieleman & Hinton 2012 (RMSProp), Duchi et al. 2011 (Adagrad). */
static const el_optimizer optimizers[] = {
    {"SGD", "gmodel.SGD", EL_COUNTS_NOT, {NULL, NULL}, {{"weight_decay", "norm_coefficient", false, 0}}, NULL, NULL},
    {"Momentum",
     EL_PREVIEW "Momentum",
     EL_COUNTS_ALL,
     {"m", NULL},
     {{"momentum", "alpha", false, 0.9},
      {"beta", "beta", false, 1},
      {"weight_decay", "norm_coefficient", false, 0},
      {"nesterov", NULL, true, 0}},
     NULL,
     "mode"},
    {"Adam",
     EL_PREVIEW "Adam",
     EL_COUNTS_ALL,
     {"m", "v"},
     {{"beta1", "alpha", false, 0.9},
      {"beta2", "beta", false, 0.999},
      {"epsilon", "epsilon", false, 1e-8},
      {"weight_decay", "norm_coefficient", false, 0},
      {"corrected_epsilon", "corrected_epsilon", true, 0}},
     NULL,
     NULL},
    {"AdamW",
     EL_PREVIEW "Adam",
     EL_COUNTS_ALL,
     {"m", "v"},
     {{"beta1", "alpha", false, 0.9},
      {"beta2", "beta", false, 0.999},
      {"epsilon", "epsilon", false, 1e-8},
      {"weight_decay", "weight_decay", false, 0.01},
      {"corrected_epsilon", "corrected_epsilon", true, 0}},
     "decoupled",
     NULL},
    {"RMSProp",
     "gmodel.RMSProp",
     EL_COUNTS_NOT,
     {"v", NULL},
     {{"decay", "decay", false, 0.9}, {"epsilon", "epsilon", false, 1e-8}},
     NULL,
     NULL},
    {"Adagrad",
     EL_PREVIEW "Adagrad",
     EL_COUNTS_EARLIER,
     {"v", NULL},
     {{"decay", "decay_factor", false, 0},
      {"epsilon", "epsilon", false, 1e-6},
      {"weight_decay", "norm_coefficient", false, 0}},
     NULL,
     NULL},
};

static const el_optimizer *find_optimizer(const char *name)
{
    for (size_t i = 0; i < GM_COUNT(optimizers); i++)
        if (strcmp(optimizers[i].name, name) == 0)
            return &optimizers[i];
    return NULL;
}

static const gm_ast_declaration *shared_optimizer(const elaborator *e, const char *name)
{
    for (size_t i = 0; i < e->file->declaration_count; i++)
        if (e->file->declarations[i].kind == GM_AST_OPTIMIZER && strcmp(e->file->declarations[i].names[0], name) == 0)
            return &e->file->declarations[i];
    return NULL;
}

static const el_optimizer *known_optimizer(elaborator *e, const char *name, bool offer_shared, gm_location where)
{
    const el_optimizer *optimizer = find_optimizer(name);
    gm_spelling spelling;
    if (optimizer) {
        if (gm_operator_find_name(optimizer->operator_name))
            return optimizer;
        el_unsupported(e, where, "the optimizer %s is not supported yet", name);
        return NULL;
    }
    gm_spelling_init(&spelling, name);
    for (size_t i = 0; i < GM_COUNT(optimizers); i++)
        gm_spelling_offer(&spelling, optimizers[i].name);
    for (size_t i = 0; offer_shared && i < e->file->declaration_count; i++)
        if (e->file->declarations[i].kind == GM_AST_OPTIMIZER)
            gm_spelling_offer(&spelling, e->file->declarations[i].names[0]);
    el_error(e, where, "unknown optimizer '%s'%s", name, el_hint(e, &spelling));
    return NULL;
}

static const gm_ast_attribute *written_attribute(const gm_ast_attributes *attributes, const char *name)
{
    for (size_t i = 0; i < attributes->count; i++)
        if (attributes->items[i].name && strcmp(attributes->items[i].name, name) == 0)
            return &attributes->items[i];
    return NULL;
}

/* "; it has rate, beta1, beta2, epsilon" */
static const char *list_attributes(const el_optimizer *optimizer, char *text, size_t size)
{
    size_t at = (size_t)snprintf(text, size, "; it has rate");
    for (size_t k = 0; k < GM_COUNT(optimizer->hypers) && optimizer->hypers[k].name && at < size; k++)
        at += (size_t)snprintf(text + at, size - at, ", %s", optimizer->hypers[k].name);
    return text;
}

static bool check_names(elaborator *e, const el_optimizer *optimizer, const gm_ast_attributes *attributes,
                        gm_location where)
{
    for (size_t i = 0; i < attributes->count; i++) {
        const gm_ast_attribute *item = &attributes->items[i];
        bool known = item->name && strcmp(item->name, "rate") == 0;
        gm_spelling spelling;
        if (!item->name) {
            el_error(e, item->where, "attributes of an optimizer are written with their names: <rate = 1e-3>");
            return false;
        }
        gm_spelling_init(&spelling, item->name);
        gm_spelling_offer(&spelling, "rate");
        for (size_t k = 0; k < GM_COUNT(optimizer->hypers) && optimizer->hypers[k].name; k++) {
            known = known || strcmp(optimizer->hypers[k].name, item->name) == 0;
            gm_spelling_offer(&spelling, optimizer->hypers[k].name);
        }
        if (!known) {
            char all[160];
            el_error(e, item->where, "the optimizer %s has no attribute '%s'%s", optimizer->name, item->name,
                     spelling.best ? el_hint(e, &spelling) : list_attributes(optimizer, all, sizeof all));
            return false;
        }
        if (written_attribute(attributes, item->name) != item) {
            el_error(e, item->where, "the attribute '%s' is given twice", item->name);
            return false;
        }
    }
    if (written_attribute(attributes, "rate"))
        return true;
    el_error(e, where, "the optimizer %s needs a rate: %s <rate = 1e-3>", optimizer->name, optimizer->name);
    return false;
}

bool el_optimizer_declaration(elaborator *e, const gm_ast_declaration *declaration)
{
    const el_optimizer *optimizer = known_optimizer(e, declaration->text, false, declaration->where);
    if (find_optimizer(declaration->names[0])) {
        el_error(e, declaration->where, "'%s' is the name of an optimizer; call this one otherwise",
                 declaration->names[0]);
        return false;
    }
    if (shared_optimizer(e, declaration->names[0]) != declaration) {
        el_error(e, declaration->where, "the optimizer '%s' is declared twice", declaration->names[0]);
        return false;
    }
    return optimizer && check_names(e, optimizer, &declaration->attributes, declaration->where);
}

bool el_optimizer_find(elaborator *e, const gm_ast_statement *statement, el_optimizer_use *use_out)
{
    const gm_ast_declaration *shared = shared_optimizer(e, statement->optimizer);
    if (shared) {
        if (statement->attributes.count) {
            el_error(e, statement->attributes.items[0].where,
                     "'%s' is an optimizer that the file declares; its attributes stand there", statement->optimizer);
            return false;
        }
        /* a wrong declaration was reported where it stands */
        *use_out =
            (el_optimizer_use){find_optimizer(shared->text), &shared->attributes, shared->names[0], shared->where};
        if (use_out->optimizer && gm_operator_find_name(use_out->optimizer->operator_name))
            return true;
        e->broken = true;
        return false;
    }
    *use_out = (el_optimizer_use){known_optimizer(e, statement->optimizer, true, statement->where),
                                  &statement->attributes, NULL, statement->where};
    return use_out->optimizer && check_names(e, use_out->optimizer, use_out->attributes, statement->where);
}

/* A float scalar of the graph. 0: reported. */
static gm_value_id run_value(elaborator *e, el_value value, const char *name, gm_location where)
{
    char text[160];
    gm_value_id id = el_to_tensor(e, value, GM_FLOAT, where);
    const gm_value *found = gm_value_of(e->graph, id);
    if (!id || (found->rank == 0 && found->type == GM_FLOAT))
        return id;
    el_error(e, where, "the %s of an optimizer must be a float scalar, found %s", name,
             gm_shape_text(e->graph, id, text, sizeof text));
    return 0;
}

void el_optimizer_values(elaborator *e, el_minimize *minimize)
{
    const el_optimizer_use *use = &minimize->use;
    const gm_ast_attribute *item = written_attribute(use->attributes, "rate");
    if (item)
        minimize->rate = run_value(e, el_evaluate(e, item->value), "rate", item->where);
    else
        e->broken = true;
    for (size_t k = 0; k < GM_COUNT(use->optimizer->hypers) && use->optimizer->hypers[k].name; k++) {
        const el_hyper *hyper = &use->optimizer->hypers[k];
        el_value value;
        item = hyper->whole ? NULL : written_attribute(use->attributes, hyper->name);
        if (!item)
            continue;
        value = el_evaluate(e, item->value);
        if (value.kind != EL_NUMBER && value.kind != EL_FAILED)
            minimize->hypers[k] = run_value(e, value, hyper->name, item->where);
    }
}

/* --- Attributes ------------------------------------------------------------------------------------------------------------- */

static bool has_attribute(const char *operator_name, const char *name)
{
    const gm_operator *op = gm_operator_find_name(operator_name);
    for (size_t i = 0; op && i < op->attribute_count; i++)
        if (strcmp(op->attributes[i].name, name) == 0)
            return true;
    return false;
}

static bool node_attributes(elaborator *e, const el_minimize *minimize, gm_attribute *attributes, size_t *count_out)
{
    const el_optimizer_use *use = &minimize->use;
    const el_optimizer *optimizer = use->optimizer;
    const char *given = "";
    size_t count = 0;
    bool nesterov = false;
    for (size_t k = 0; k < GM_COUNT(optimizer->hypers) && optimizer->hypers[k].name; k++) {
        const el_hyper *hyper = &optimizer->hypers[k];
        const gm_ast_attribute *item = written_attribute(use->attributes, hyper->name);
        double value = hyper->value;
        if (minimize->hypers[k]) {
            given = gm_pool_printf(e->pool, "%s%s%s", given, *given ? "," : "", hyper->attribute);
            if (!given)
                return el_out_of_memory(e), false;
            continue;
        }
        if (item && !el_to_number(e, el_evaluate_attribute(e, item->value), item->where, hyper->name, &value))
            return false;
        if (!hyper->attribute) {
            nesterov = value != 0;
            continue;
        }
        /* What the operator leaves out is not passed on unless the file asks for it. */
        if (!item && !has_attribute(optimizer->operator_name, hyper->attribute))
            continue;
        attributes[count++] =
            hyper->whole ? gm_attribute_int(hyper->attribute, value != 0) : gm_attribute_float(hyper->attribute, value);
    }
    if (optimizer->fixed_int)
        attributes[count++] = gm_attribute_int(optimizer->fixed_int, 1);
    if (optimizer->mode_name)
        attributes[count++] = gm_attribute_string(optimizer->mode_name, nesterov ? "nesterov" : "standard");
    if (*given)
        attributes[count++] = gm_attribute_string("given", given);
    *count_out = count;
    return true;
}

/* --- State ------------------------------------------------------------------------------------------------------------------- */

/* The counter of updates after this one, a new version of its state; *earlier_out is what it was before. A second minimize
 * of the step over the same network counts on its own: "step.network_2.t". */
static gm_value_id count_update(elaborator *e, const el_minimize *minimize, const char *step, const char *network,
                                gm_value_id *earlier_out)
{
    const char *base = minimize->use.shared ? minimize->use.shared : step;
    gm_state_entry entry = {.kind = GM_STATE_COUNTER, .type = GM_INT64, .where = minimize->statement->where};
    int64_t index = -1;
    gm_value_id next;
    entry.network = network;
    for (int k = 1; k < 1000; k++) {
        entry.path = k == 1 ? gm_pool_printf(e->pool, "%s.%s.t", base, network)
                            : gm_pool_printf(e->pool, "%s.%s_%d.t", base, network, k);
        if (!entry.path)
            return el_out_of_memory(e), 0;
        index = el_state_add(e, &entry);
        if (index < 0)
            return 0;
        if ((size_t)index >= e->written_capacity || !e->written[index])
            break;
    }
    if (e->program->states[index].kind != GM_STATE_COUNTER) {
        el_error(e, minimize->statement->where,
                 "'%s' is the counter of this minimize, but also a parameter: rename the step", entry.path);
        return 0;
    }
    *earlier_out = el_state_value(e, (uint32_t)index);
    next = gm_emit2(e->graph, "Add", *earlier_out, gm_const_scalar(e->graph, GM_INT64, 1));
    if (el_take_graph_error(e))
        return 0;
    el_state_assign(e, (uint32_t)index, next);
    return next;
}

static int64_t add_slot(elaborator *e, const el_minimize *minimize, const char *step, uint32_t parameter,
                        const char *slot)
{
    gm_state_entry entry = e->program->states[parameter];
    const char *base = minimize->use.shared ? minimize->use.shared : step;
    int64_t index;
    entry.path = gm_pool_printf(e->pool, "%s.%s.%s", base, e->program->states[parameter].path, slot);
    entry.kind = GM_STATE_SLOT;
    entry.parameter = parameter;
    entry.initializer = (gm_initializer){.kind = GM_INITIALIZE_CONSTANT};
    if (!entry.path)
        return el_out_of_memory(e), -1;
    index = el_state_add(e, &entry);
    if (index < 0 || e->program->states[index].kind == GM_STATE_SLOT)
        return index;
    el_error(e, minimize->statement->where, "'%s' is a slot of this optimizer, but also a parameter: rename the step",
             entry.path);
    return -1;
}

bool el_optimizer_emit(elaborator *e, const el_minimize *minimize, const char *step, const char *network)
{
    const el_optimizer *optimizer = minimize->use.optimizer;
    size_t n = minimize->count, input_count = 0, attribute_count = 0, groups = 1;
    gm_value_id *inputs = gm_pool_array(e->pool, 4 * n + 2 + GM_COUNT(minimize->hypers), sizeof *inputs);
    gm_value_id *outputs = gm_pool_array(e->pool, 3 * n + 1, sizeof *outputs);
    uint32_t *states = gm_pool_array(e->pool, 3 * n + 1, sizeof *states);
    gm_attribute attributes[GM_COUNT(optimizer->hypers) + 3];
    gm_value_id count, earlier = 0;
    const char *path = gm_pool_printf(e->pool, "%s.%s", minimize->path, optimizer->name);
    if (!inputs || !outputs || !states || !path)
        return el_out_of_memory(e), false;
    if (!node_attributes(e, minimize, attributes, &attribute_count))
        return false;
    e->graph->path = minimize->path;
    e->graph->where = minimize->statement->where;
    count = count_update(e, minimize, step, network, &earlier);
    if (!count)
        return false;
    e->graph->path = path;
    inputs[input_count++] = minimize->rate;
    if (optimizer->counts != EL_COUNTS_NOT)
        inputs[input_count++] = optimizer->counts == EL_COUNTS_ALL ? count : earlier;
    for (size_t i = 0; i < n; i++) {
        states[i] = minimize->parameters[i];
        inputs[input_count++] = el_state_value(e, states[i]);
    }
    for (size_t i = 0; i < n; i++)
        inputs[input_count++] = minimize->gradients[i];
    for (size_t slot = 0; slot < 2 && optimizer->slots[slot]; slot++, groups++)
        for (size_t i = 0; i < n; i++) {
            int64_t index = add_slot(e, minimize, step, minimize->parameters[i], optimizer->slots[slot]);
            if (index < 0)
                return false;
            states[groups * n + i] = (uint32_t)index;
            inputs[input_count++] = el_state_value(e, (uint32_t)index);
        }
    for (size_t k = 0; k < GM_COUNT(minimize->hypers); k++)
        if (minimize->hypers[k])
            inputs[input_count++] = minimize->hypers[k];
    if (e->fatal != GM_OK)
        return false;
    gm_emit_many(e->graph, optimizer->operator_name, inputs, input_count, attributes, attribute_count, outputs,
                 groups * n);
    if (el_take_graph_error(e))
        return false;
    for (size_t i = 0; i < groups * n; i++)
        el_state_assign(e, states[i], outputs[i]);
    return e->fatal == GM_OK;
}
