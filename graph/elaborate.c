/* Elaboration: the declarations of a file, in the order in which they need each other. */
#include "graph/container.h"
#include "graph/elaborate.h"
#include "graph/onnx_tree.h"

#include "models/prelude.h"

#include <string.h>

/* --- Lookups of a program --- */

const gm_entry *gm_program_entry(const gm_program *program, gm_entry_kind kind, const char *name)
{
    for (size_t i = 0; i < program->entry_count; i++)
        if (program->entries[i].kind == kind && strcmp(program->entries[i].name, name) == 0)
            return &program->entries[i];
    return NULL;
}

const gm_data_declaration *gm_program_data(const gm_program *program, const char *name)
{
    for (size_t i = 0; i < program->data_count; i++)
        if (strcmp(program->data[i].name, name) == 0)
            return &program->data[i];
    return NULL;
}

int64_t gm_program_state(const gm_program *program, const char *path)
{
    for (size_t i = 0; i < program->state_count; i++)
        if (strcmp(program->states[i].path, path) == 0)
            return (int64_t)i;
    return -1;
}

void gm_program_destroy(gm_program *program)
{
    if (program)
        gm_pool_destroy(program->pool);
}

/* --- model, const --- */

static const gm_ast_attribute *attribute_named(const gm_ast_attributes *attributes, const char *name)
{
    for (size_t i = 0; i < attributes->count; i++)
        if (attributes->items[i].name && strcmp(attributes->items[i].name, name) == 0)
            return &attributes->items[i];
    return NULL;
}

static bool whole_attribute(elaborator *e, const gm_ast_attribute *attribute, int64_t *out)
{
    if (attribute->value)
        return el_to_integer(e, el_evaluate(e, attribute->value), attribute->where, attribute->name, out);
    el_error(e, attribute->where, "'%s' needs a value", attribute->name);
    return false;
}

static bool check_model_attributes(elaborator *e, const gm_ast_declaration *declaration)
{
    static const char *const known[] = {"gmodel", "opset", "seed", "main", "onnx"};
    for (size_t i = 0; i < declaration->attributes.count; i++) {
        const gm_ast_attribute *attribute = &declaration->attributes.items[i];
        const char *name = attribute->name ? attribute->name : "(no name)";
        gm_spelling spelling;
        bool found = false;
        gm_spelling_init(&spelling, name);
        for (size_t k = 0; k < GM_COUNT(known); k++) {
            found = found || strcmp(name, known[k]) == 0;
            gm_spelling_offer(&spelling, known[k]);
        }
        if (found && attribute_named(&declaration->attributes, name) == attribute)
            continue;
        if (found)
            el_error(e, attribute->where, "the attribute '%s' is given twice", name);
        else
            el_error(e, attribute->where, "unknown attribute '%s' of model%s", name, el_hint(e, &spelling));
        return false;
    }
    return true;
}

static void take_model(elaborator *e, const gm_ast_declaration *declaration)
{
    const gm_ast_attribute *gmodel = attribute_named(&declaration->attributes, "gmodel");
    const gm_ast_attribute *opset = attribute_named(&declaration->attributes, "opset");
    const gm_ast_attribute *seeded = attribute_named(&declaration->attributes, "seed");
    const gm_ast_attribute *onnx = attribute_named(&declaration->attributes, "onnx");
    int64_t version = 1, seed = 0, plain = 0;
    e->program->name = declaration->names[0];
    if (!check_model_attributes(e, declaration))
        return;
    if (!gmodel)
        el_error(e, declaration->where, "the version of the language is missing: model %s <gmodel = 1, ...>",
                 e->program->name);
    else if (whole_attribute(e, gmodel, &version) && version != 1)
        el_error(e, gmodel->where, "this is version %lld of the language; version 1 is known here", (long long)version);
    if (opset && whole_attribute(e, opset, &e->program->opset) && e->program->opset < 1)
        el_error(e, opset->where, "the opset is a version of ONNX, such as 21; found %lld",
                 (long long)e->program->opset);
    if (e->program->opset > GM_NEWEST_OPSET)
        el_unsupported(e, declaration->where, "operator set %lld is newer than %d, the newest that is known here",
                       (long long)e->program->opset, GM_NEWEST_OPSET);
    if (onnx && whole_attribute(e, onnx, &plain) && (plain < 0 || plain > 1))
        el_error(e, onnx->where, "the attribute 'onnx' must be 0 or 1, found %lld", (long long)plain);
    for (size_t i = 0; plain == 1 && i < e->file->declaration_count; i++)
        e->file->declarations[i].onnx = true;
    if (seeded && whole_attribute(e, seeded, &seed))
        e->program->seed = (uint64_t)seed;
}

static bool is_network(const el_callable *callable)
{
    return !callable->prelude && !callable->home && callable->declaration->kind == GM_AST_NETWORK;
}

static void take_main(elaborator *e, const gm_ast_declaration *model)
{
    const gm_ast_attribute *wanted = model ? attribute_named(&model->attributes, "main") : NULL;
    const gm_ast_expression *value = wanted ? wanted->value : NULL;
    const char *name = value && value->kind == GM_AST_PATH && value->part_count == 1 ? value->parts[0]
                       : value && value->kind == GM_AST_STRING                       ? value->text
                                                                                     : "(no name)";
    gm_spelling spelling;
    gm_spelling_init(&spelling, name);
    for (size_t i = 0; i < e->callable_count; i++) {
        if (!is_network(&e->callables[i]))
            continue;
        gm_spelling_offer(&spelling, e->callables[i].name);
        if (!e->program->main_network && (!wanted || strcmp(e->callables[i].name, name) == 0))
            e->program->main_network = e->callables[i].name;
    }
    if (wanted && !e->program->main_network)
        el_error(e, wanted->where, "main must name a network of the file, found '%s'%s", name, el_hint(e, &spelling));
}

static const gm_setting *setting_named(const elaborator *e, const char *name)
{
    size_t length = e->prefix ? strlen(e->prefix) : 0;
    for (size_t i = 0; i < e->program->setting_count; i++) {
        const char *full = e->program->settings[i].name;
        if ((!length || strncmp(full, e->prefix, length) == 0) && strcmp(full + length, name) == 0)
            return &e->program->settings[i];
    }
    return NULL;
}

/* The value of --set NAME=VALUE: text for a const that holds a string, else an expression of the language. */
static el_value setting_value(elaborator *e, const gm_setting *setting, el_value declared)
{
    const char *name = setting->name + (e->prefix ? strlen(e->prefix) : 0);
    char *text = gm_pool_printf(e->pool, "const %s = %s\n", name, setting->value);
    char *place = gm_pool_printf(e->pool, "setting %s=%s", setting->name, setting->value);
    gm_ast_file *file = NULL;
    gm_status status;
    if (!text || !place)
        return el_out_of_memory(e);
    if (declared.kind == EL_STRING && setting->value[0] != '"')
        return el_string(setting->value);
    status = gm_parse(e->pool, text, strlen(text), place, &file);
    if (status == GM_ERROR_MEMORY)
        return el_out_of_memory(e);
    if (status != GM_OK) {
        e->errors++;
        return el_failed;
    }
    if (file->declaration_count != 1 || file->declarations[0].value_count != 1)
        return el_error(e, (gm_location){place, 1, 1}, "the value of const '%s' must be one expression", setting->name);
    return el_evaluate_attribute(e, file->declarations[0].values[0]);
}

static void take_const(elaborator *e, const gm_ast_declaration *declaration)
{
    for (size_t i = 0; i < declaration->name_count; i++) {
        const gm_setting *setting = setting_named(e, declaration->names[i]);
        el_value value = el_evaluate_attribute(e, declaration->values[i]);
        if (value.kind != EL_FAILED && !el_is_constant(value))
            value = el_error(e, declaration->values[i]->where, "the const '%s' must be a number, a string or a list",
                             declaration->names[i]);
        if (setting)
            value = setting_value(e, setting, value);
        el_define(e, &e->consts, declaration->names[i], value, declaration->where);
    }
}

void el_take_consts(elaborator *e, const gm_ast_file *file)
{
    for (size_t i = 0; i < file->declaration_count && e->fatal == GM_OK; i++)
        if (file->declarations[i].kind == GM_AST_CONST)
            take_const(e, &file->declarations[i]);
}

static void check_settings(elaborator *e)
{
    for (size_t i = 0; i < e->program->setting_count; i++) {
        gm_spelling spelling;
        const char *name = e->program->settings[i].name;
        if (el_find(&e->consts, name) || strchr(name, ':')) /* FILE:NAME is a loaded file's */
            continue;
        gm_spelling_init(&spelling, name);
        el_offer_names(&e->consts, &spelling);
        el_error(e, (gm_location){0}, "there is no const '%s' to set%s", name, el_hint(e, &spelling));
    }
}

/* --- Callables --- */

static bool add_callable(elaborator *e, const gm_ast_declaration *declaration, const char *name, bool prelude,
                         el_module *home)
{
    for (size_t c = 0; c < e->callable_count; c++)
        if (e->callables[c].prelude == prelude && e->callables[c].home == home &&
            strcmp(e->callables[c].name, name) == 0)
            el_error(e, declaration->where, "'%s' is declared twice", name);
    if (!prelude && !declaration->onnx && gm_operator_find_name(name))
        el_error(e, declaration->where, "'%s' is an operator, which a file cannot replace", name);
    if (!gm_pool_grow(e->pool, (void **)&e->callables, &e->callable_capacity, e->callable_count + 1,
                      sizeof *e->callables)) {
        el_out_of_memory(e);
        return false;
    }
    e->callables[e->callable_count++] =
        (el_callable){.name = name, .declaration = declaration, .prelude = prelude, .home = home, .scope = home};
    return true;
}

void el_add_callables(elaborator *e, const gm_ast_file *file, bool prelude, el_module *home)
{
    for (size_t i = 0; i < file->declaration_count; i++) {
        const gm_ast_declaration *declaration = &file->declarations[i];
        if (declaration->kind != GM_AST_NETWORK && declaration->kind != GM_AST_FUNCTION)
            continue;
        for (size_t k = 0; k < declaration->name_count; k++)
            if (!add_callable(e, declaration, declaration->names[k], prelude, home))
                return;
    }
}

/* Networks made by load and copy get the bodies that they are made of. */
static void make_networks(elaborator *e)
{
    for (size_t i = 0, count = e->callable_count; i < count && e->fatal == GM_OK; i++)
        if (is_network(&e->callables[i]) && e->callables[i].declaration->value_count && !e->callables[i].failed)
            el_make_network(e, i);
}

static bool add_prelude(elaborator *e)
{
    for (size_t i = 0; i < gm_prelude_file_count; i++) {
        gm_ast_file *file = NULL;
        gm_status status =
            gm_parse(e->pool, gm_prelude_files[i].text, gm_prelude_files[i].bytes, gm_prelude_files[i].name, &file);
        if (status != GM_OK) {
            e->fatal = status == GM_ERROR_MEMORY ? status : GM_ERROR_INTERNAL;
            return false;
        }
        el_add_callables(e, file, true, NULL);
    }
    return e->fatal == GM_OK;
}

/* Whatever is missing from the program was reported. */
static void check_told(elaborator *e, const char *name)
{
    if (e->errors == 0 && e->fatal == GM_OK)
        e->fatal = gm_fail(e->context, GM_ERROR_INTERNAL, "'%s' failed without a reason; please report this", name);
}

static void take_network(elaborator *e, el_callable *callable)
{
    gm_entry *entry = &e->program->entries[e->program->entry_count];
    callable->calls = gm_pool_array(e->pool, e->callable_count + 1, sizeof *callable->calls);
    if (!callable->calls) {
        el_out_of_memory(e);
        return;
    }
    *entry = (gm_entry){.kind = GM_ENTRY_NETWORK, .name = callable->name, .where = callable->declaration->where};
    entry->graph = entry->forward = el_network_graph(e, callable, false);
    if (entry->graph)
        entry->training = el_network_graph(e, callable, true);
    if (!entry->graph || !entry->training) {
        callable->failed = true;
        check_told(e, callable->name);
    } else {
        e->program->entry_count++;
    }
}

/* over NAME reaches what its networks call: through calls of calls. */
static void close_calls(elaborator *e)
{
    for (size_t k = 0; k < e->callable_count; k++)
        for (size_t i = 0; i < e->callable_count; i++)
            for (size_t j = 0; e->callables[i].calls && e->callables[k].calls && j < e->callable_count; j++)
                if (e->callables[i].calls[k] && e->callables[k].calls[j])
                    e->callables[i].calls[j] = true;
}

/* --- Steps, samples, evaluations --- */

static gm_entry_kind entry_kind(gm_ast_declaration_kind kind)
{
    return kind == GM_AST_STEP ? GM_ENTRY_STEP : kind == GM_AST_SAMPLE ? GM_ENTRY_SAMPLE : GM_ENTRY_EVALUATION;
}

/* A train block takes `checkpoint` for the file, and NAME.csv of an evaluation must not be a table of the reports. */
static bool entry_name_is_free(elaborator *e, gm_entry_kind kind, const gm_ast_declaration *declaration)
{
    const char *name = declaration->names[0];
    if (kind != GM_ENTRY_STEP && strcmp(name, "checkpoint") == 0) {
        el_error(e, declaration->where, "'checkpoint' stands for the checkpoint in a train block; choose another name");
        return false;
    }
    if (kind == GM_ENTRY_EVALUATION && (strcmp(name, "metrics") == 0 || strcmp(name, "iterations") == 0)) {
        el_error(e, declaration->where, "%s.csv of a training holds the reports; choose another name than '%s'", name,
                 name);
        return false;
    }
    return true;
}

static void take_entry(elaborator *e, const gm_ast_declaration *declaration)
{
    gm_entry *entry = &e->program->entries[e->program->entry_count];
    gm_entry_kind kind = entry_kind(declaration->kind);
    static const char *const words[] = {"network", "step", "sample", "evaluate"};
    bool good;
    if (!entry_name_is_free(e, kind, declaration))
        return;
    if (gm_program_entry(e->program, kind, declaration->names[0])) {
        el_error(e, declaration->where, "the %s '%s' is declared twice", words[kind], declaration->names[0]);
        return;
    }
    if (kind == GM_ENTRY_EVALUATION && gm_program_entry(e->program, GM_ENTRY_SAMPLE, declaration->names[0])) {
        el_error(e, declaration->where, "'%s' is a sample already; a train block could not tell them apart",
                 declaration->names[0]);
        return;
    }
    *entry = (gm_entry){.kind = kind, .name = declaration->names[0], .where = declaration->where};
    if (declaration->on && !gm_program_data(e->program, declaration->on)) {
        gm_spelling spelling;
        gm_spelling_init(&spelling, declaration->on);
        for (size_t i = 0; i < e->program->data_count; i++)
            gm_spelling_offer(&spelling, e->program->data[i].name);
        el_error(e, declaration->where, "there is no data set '%s'%s", declaration->on, el_hint(e, &spelling));
    }
    entry->data = declaration->on;
    good =
        kind == GM_ENTRY_EVALUATION ? el_evaluation_entry(e, declaration, entry) : el_step_entry(e, declaration, entry);
    if (!good) {
        check_told(e, entry->name);
        return;
    }
    e->program->entry_count++;
    if (kind != GM_ENTRY_STEP && (!declaration->on || gm_program_data(e->program, declaration->on)))
        el_check_inputs(e, kind, entry->name, &entry->data, entry->data ? 1 : 0, entry->where);
}

/* --- train --- */

static bool is_declared(const elaborator *e, gm_ast_declaration_kind kind, const char *name)
{
    for (size_t i = 0; i < e->file->declaration_count; i++)
        for (size_t k = 0; k < e->file->declarations[i].name_count; k++)
            if (e->file->declarations[i].kind == kind && strcmp(e->file->declarations[i].names[k], name) == 0)
                return true;
    return false;
}

/* What `every` and `at` may name. */
static bool is_shown(gm_ast_declaration_kind kind)
{
    return kind == GM_AST_SAMPLE || kind == GM_AST_EVALUATE;
}

static void unknown_scheduled(elaborator *e, const char *name, bool step, gm_location where)
{
    gm_spelling spelling;
    if (e->incomplete)
        return; /* what was refused is not told again */
    gm_spelling_init(&spelling, name);
    for (size_t i = 0; i < e->file->declaration_count; i++)
        if (step ? e->file->declarations[i].kind == GM_AST_STEP : is_shown(e->file->declarations[i].kind))
            gm_spelling_offer(&spelling, e->file->declarations[i].names[0]);
    if (!step)
        gm_spelling_offer(&spelling, "checkpoint");
    el_error(e, where, "there is no %s '%s'%s", step ? "step" : "sample or evaluate", name, el_hint(e, &spelling));
}

static bool positive(elaborator *e, const gm_ast_expression *expression, const char *what, int64_t *out)
{
    if (!el_to_integer(e, el_evaluate(e, expression), expression->where, what, out))
        return false;
    if (*out >= 1)
        return true;
    el_error(e, expression->where, "%s must be at least 1, found %lld", what, (long long)*out);
    return false;
}

static void take_schedule(elaborator *e, const gm_ast_train_entry *from, gm_train *train)
{
    static const gm_schedule_kind kinds[] = {GM_SCHEDULE_STEP, GM_SCHEDULE_EVERY_EPOCHS, GM_SCHEDULE_AT_EPOCHS};
    bool step = from->kind == GM_AST_RUN;
    int64_t *epochs = gm_pool_array(e->pool, from->epoch_count + 1, sizeof *epochs), count = 1;
    if (!epochs) {
        el_out_of_memory(e);
        return;
    }
    for (size_t i = 0; i < from->epoch_count; i++)
        if (!positive(e, from->epochs[i], "an epoch", &epochs[i]))
            return;
    if (from->count && !positive(e, from->count, step ? "a number of repetitions" : "an interval", &count))
        return;
    for (size_t i = 0; i < from->name_count; i++) {
        bool checkpoint = !step && strcmp(from->names[i], "checkpoint") == 0;
        bool known =
            step ? is_declared(e, GM_AST_STEP, from->names[i])
                 : is_declared(e, GM_AST_SAMPLE, from->names[i]) || is_declared(e, GM_AST_EVALUATE, from->names[i]);
        bool report = from->kind == GM_AST_EVERY && strcmp(from->names[i], "report") == 0 && !known;
        if (report && !from->iterations) {
            el_error(e, from->where, "reports of epochs are in metrics.csv anyway; write: every 250 iterations report");
            continue;
        }
        if (!checkpoint && !report && !known) {
            unknown_scheduled(e, from->names[i], step, from->where);
            continue;
        }
        train->schedule[train->schedule_count++] = (gm_schedule){
            .kind = from->kind == GM_AST_EVERY && from->iterations ? GM_SCHEDULE_EVERY_ITERATIONS : kinds[from->kind],
            .count = count,
            .epochs = epochs,
            .epoch_count = from->epoch_count,
            .name = from->names[i],
            .is_checkpoint = checkpoint,
            .is_report = report,
            .where = from->where};
    }
}

static void take_sets(elaborator *e, const gm_ast_declaration *from, gm_train *train)
{
    train->sets = from->sets;
    for (size_t i = 0; i < from->set_count; i++) {
        gm_spelling spelling;
        if (gm_program_data(e->program, from->sets[i])) {
            train->set_count++;
            continue;
        }
        gm_spelling_init(&spelling, from->sets[i]);
        for (size_t k = 0; k < e->program->data_count; k++)
            gm_spelling_offer(&spelling, e->program->data[k].name);
        if (!is_declared(e, GM_AST_DATA_SET, from->sets[i]) && !e->incomplete)
            el_error(e, from->where, "there is no data set '%s'%s", from->sets[i], el_hint(e, &spelling));
    }
    if (!from->set_count && !from->iterations)
        el_error(e, from->where,
                 "a train block without data needs the length of an epoch: train epochs 10 of 100 iterations");
}

static void check_train_inputs(elaborator *e, const gm_train *train, size_t written_sets)
{
    if (train->set_count != written_sets || !written_sets)
        return; /* a set that is missing was reported; without sets the program's user feeds the steps */
    for (size_t i = 0; i < train->schedule_count; i++) {
        bool again = false;
        for (size_t k = 0; k < i; k++)
            again = again || strcmp(train->schedule[k].name, train->schedule[i].name) == 0;
        if (!again && train->schedule[i].kind == GM_SCHEDULE_STEP)
            el_check_inputs(e, GM_ENTRY_STEP, train->schedule[i].name, train->sets, train->set_count,
                            train->schedule[i].where);
    }
}

static void take_train(elaborator *e, const gm_ast_declaration *from)
{
    gm_train *train = &e->program->trains[e->program->train_count++];
    size_t entries = 0;
    bool any_step = false;
    train->where = from->where;
    take_sets(e, from, train);
    if (from->batch)
        positive(e, from->batch, "the batch", &train->batch);
    if (from->epochs)
        positive(e, from->epochs, "the number of epochs", &train->epochs);
    if (from->iterations)
        positive(e, from->iterations, "the number of iterations", &train->iterations);
    for (size_t i = 0; i < from->entry_count; i++) {
        entries += from->entries[i].name_count;
        any_step = any_step || from->entries[i].kind == GM_AST_RUN;
    }
    if (!any_step)
        el_error(e, from->where, "this train block names no step");
    train->schedule = gm_pool_array(e->pool, entries + 1, sizeof *train->schedule);
    if (!train->schedule) {
        el_out_of_memory(e);
        return;
    }
    for (size_t i = 0; i < from->entry_count; i++)
        take_schedule(e, &from->entries[i], train);
    check_train_inputs(e, train, from->set_count);
}

static bool is_trained(const gm_program *program, const char *step)
{
    for (size_t t = 0; t < program->train_count; t++)
        for (size_t i = 0; i < program->trains[t].schedule_count; i++)
            if (program->trains[t].schedule[i].kind == GM_SCHEDULE_STEP &&
                strcmp(program->trains[t].schedule[i].name, step) == 0)
                return true;
    return false;
}

/* A parameter that a trained step uses and nothing trains is a mistake; what shall stay fixed is a buffer. */
static void check_reached(elaborator *e)
{
    for (size_t s = 0; s < e->step_count; s++) {
        bool trained = is_trained(e->program, e->steps[s].name);
        for (size_t i = 0; trained && i < e->steps[s].used_count; i++) {
            const gm_state_entry *state = &e->program->states[i];
            if (!e->steps[s].used[i] || state->kind != GM_STATE_PARAMETER ||
                (i < e->reached_capacity && e->reached[i]) || el_is_made(e, state->network))
                continue;
            el_error(
                e, state->where,
                "no minimize reaches the parameter '%s', which step '%s' uses; name it behind `over`, or declare it "
                "a buffer if it shall stay as it is",
                state->path, e->steps[s].name);
            if (!el_grow(e, (void **)&e->reached, &e->reached_capacity, i + 1, sizeof *e->reached))
                return;
            e->reached[i] = true; /* told once */
        }
    }
}

/* --- The file --- */

static void take_optimizer(elaborator *e, const gm_ast_declaration *declaration)
{
    el_optimizer_declaration(e, declaration);
}

static void take_kind(elaborator *e, gm_ast_declaration_kind kind,
                      void (*take)(elaborator *e, const gm_ast_declaration *declaration))
{
    for (size_t i = 0; i < e->file->declaration_count && e->fatal == GM_OK; i++)
        if (e->file->declarations[i].kind == kind)
            take(e, &e->file->declarations[i]);
}

static const gm_ast_declaration *model_declaration(elaborator *e)
{
    const gm_ast_declaration *model = NULL;
    for (size_t i = 0; i < e->file->declaration_count; i++) {
        if (e->file->declarations[i].kind != GM_AST_MODEL)
            continue;
        if (model)
            el_error(e, e->file->declarations[i].where, "a file has one `model` declaration; the first is in line %d",
                     model->where.line);
        else
            model = &e->file->declarations[i];
    }
    if (!model && !e->incomplete)
        el_error(e, (gm_location){e->file->name, 1, 1},
                 "the file must begin with: model NAME <gmodel = 1, opset = 21>");
    return model;
}

static bool make_tables(elaborator *e)
{
    gm_program *program = e->program;
    size_t count = e->file->declaration_count, names = 0;
    for (size_t i = 0; i < count; i++)
        names += e->file->declarations[i].name_count;
    program->entries = gm_pool_array(e->pool, count + names + 1, sizeof *program->entries);
    program->data = gm_pool_array(e->pool, count + 1, sizeof *program->data);
    program->trains = gm_pool_array(e->pool, count + 1, sizeof *program->trains);
    return program->entries && program->data && program->trains;
}

static gm_status elaborate(elaborator *e)
{
    const gm_ast_declaration *model;
    if (!make_tables(e))
        return GM_ERROR_MEMORY;
    model = model_declaration(e);
    if (model)
        take_model(e, model);
    el_take_consts(e, e->file);
    check_settings(e);
    take_kind(e, GM_AST_OPTIMIZER, take_optimizer);
    take_kind(e, GM_AST_DATA_SET, el_data_declaration);
    el_add_callables(e, e->file, false, NULL);
    make_networks(e);
    if (e->fatal != GM_OK || !add_prelude(e))
        return e->fatal;
    take_main(e, model);
    for (size_t i = 0; i < e->callable_count && e->fatal == GM_OK; i++)
        if (is_network(&e->callables[i]) && !e->callables[i].failed)
            take_network(e, &e->callables[i]);
    close_calls(e);
    take_kind(e, GM_AST_STEP, take_entry);
    take_kind(e, GM_AST_SAMPLE, take_entry);
    take_kind(e, GM_AST_EVALUATE, take_entry);
    take_kind(e, GM_AST_TRAIN, take_train);
    if (!e->errors && e->fatal == GM_OK)
        check_reached(e);
    if (e->fatal != GM_OK)
        return e->fatal;
    return !e->errors ? GM_OK : e->errors == e->unsupported ? GM_ERROR_UNSUPPORTED : GM_ERROR_MODEL;
}

/* Copies what the caller gave: settings, text, names. */
static bool keep_arguments(gm_program *program, const char *text, size_t bytes, const char *name,
                           const gm_program_options *options)
{
    const gm_setting *settings = options ? options->settings : NULL;
    size_t setting_count = options ? options->setting_count : 0;
    const char *slash = strrchr(name, '/');
    program->sources = gm_pool_alloc(program->pool, sizeof *program->sources);
    program->settings = gm_pool_array(program->pool, setting_count + 1, sizeof *program->settings);
    if (!program->sources || !program->settings)
        return false;
    program->sources[0].name = gm_pool_string(program->pool, slash ? slash + 1 : name);
    program->sources[0].text = gm_pool_substring(program->pool, text, bytes);
    program->sources[0].bytes = bytes;
    program->source_count = program->source_capacity = 1;
    for (size_t i = 0; i < setting_count; i++) {
        program->settings[i].name = gm_pool_string(program->pool, settings[i].name);
        program->settings[i].value = gm_pool_string(program->pool, settings[i].value);
        if (!program->settings[i].name || !program->settings[i].value)
            return false;
    }
    program->setting_count = setting_count;
    return program->sources[0].name && program->sources[0].text;
}

/* The text that stands for a binary ONNX model in what is saved: its declarations, without weights. */
static bool write_source(elaborator *e, const gm_ast_file *onnx)
{
    gm_ast_file *file = el_onnx_file(e, onnx, false);
    gm_source_file *source = &e->program->sources[0];
    size_t length = strlen(source->name);
    bool suffix = length > 5 && strcmp(source->name + length - 5, ".onnx") == 0;
    gm_text text;
    if (!file)
        return false;
    gm_text_init(&text, e->context);
    gm_ast_print(file, &text);
    source->text = text.data && !text.failed ? gm_pool_substring(e->pool, text.data, text.length) : NULL;
    source->bytes = text.length;
    source->name = gm_pool_printf(e->pool, "%.*s.gmodel", (int)(suffix ? length - 5 : length), source->name);
    gm_text_destroy(&text);
    return source->text && source->name;
}

static gm_status compile(gm_program *program, const char *text, size_t bytes, const char *name,
                         const gm_program_options *options)
{
    elaborator e = {
        .context = program->context, .pool = program->pool, .program = program, .options = options, .main_path = name};
    bool binary = gm_encoding_of(text, bytes) == GM_ENCODING_BINARY;
    gm_ast_file *file = NULL, *onnx;
    size_t given = bytes;
    for (size_t i = 0; options && i < options->fixed_count; i++)
        given += gm_tensor_bytes(options->fixed[i].tensor);
    e.most_work = EL_WORK + (int64_t)(EL_WORK_PER_BYTE * (double)bytes);
    e.eager_bytes = EL_EAGER_BYTES + EL_EAGER_PER_BYTE * given;
    if (!keep_arguments(program, text, binary ? 0 : bytes, name, options))
        return GM_ERROR_MEMORY;
    program->symbols = gm_symbols_create(program->pool);
    program->opset = GM_DEFAULT_OPSET;
    program->name = program->sources[0].name;
    if (!program->symbols)
        return GM_ERROR_MEMORY;
    if (binary)
        GM_TRY(gm_onnx_tree(program->pool, text, bytes, gm_pool_string(program->pool, name), &file));
    else
        GM_TRY(gm_parse(program->pool, program->sources[0].text, bytes, name, &file));
    onnx = file->onnx ? file : NULL;
    GM_TRY(gm_onnx_resolve_text(program->pool, file));
    if (onnx && !(file = el_onnx_file(&e, file, true)))
        return e.fatal != GM_OK ? e.fatal : GM_ERROR_UNSUPPORTED;
    e.file = el_with_imports(&e, file, program->sources[0].name);
    if (!e.file)
        return GM_ERROR_MEMORY;
    GM_TRY(elaborate(&e));
    return !binary || write_source(&e, onnx) ? GM_OK : GM_ERROR_MEMORY;
}

gm_status gm_program_compile(gm_context *context, const char *text, size_t bytes, const char *name,
                             const gm_program_options *options, gm_program **program_out)
{
    gm_pool *pool;
    gm_program *program;
    gm_status status;
    gm_clear_message(context);
    pool = gm_pool_create(context);
    program = pool ? gm_pool_alloc(pool, sizeof *program) : NULL;
    if (!program) {
        gm_pool_destroy(pool);
        return GM_ERROR_MEMORY;
    }
    program->context = context;
    program->pool = pool;
    status = compile(program, text, bytes, name, options);
    if (status != GM_OK) {
        if (status == GM_ERROR_MEMORY)
            gm_fail_memory(context);
        gm_program_destroy(program);
        return status;
    }
    *program_out = program;
    return GM_OK;
}
