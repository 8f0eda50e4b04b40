/* Elaboration: networks made of others. `load` takes one with its weights out of a binary .gmodel or a plain ONNX model; its text
 * is compiled in a name space of its own; `copy` makes a second one of the same body that shares the buffers. */
#include "graph/container.h"
#include "graph/elaborate.h"

#include <string.h>

/* --- load --- */

static bool text_of(elaborator *e, const gm_ast_expression *item, const char *what, const char **text_out)
{
    el_value value = el_evaluate_attribute(e, item);
    if (value.kind == EL_STRING)
        *text_out = value.text;
    else if (value.kind != EL_FAILED)
        el_error(e, item->where, "%s must be a string: load(\"classifier.gmodel\", \"classifier\")", what);
    return value.kind == EL_STRING;
}

/* The settings that a loaded checkpoint was made with go on with its text: "FILE:name". */
static bool keep_settings(elaborator *e, const gm_container *container)
{
    gm_program *program = e->program;
    gm_setting *all = gm_pool_array(e->pool, program->setting_count + container->setting_count + 1, sizeof *all);
    if (!all)
        return el_out_of_memory(e), false;
    memcpy(all, program->settings, program->setting_count * sizeof *all);
    for (size_t i = 0; i < container->setting_count; i++) {
        gm_setting *to = &all[program->setting_count + i];
        to->name = gm_pool_printf(e->pool, "%s%s", e->prefix, container->settings[i].name);
        to->value = container->settings[i].value;
        if (!to->name)
            return el_out_of_memory(e), false;
    }
    program->settings = all;
    program->setting_count += container->setting_count;
    return true;
}

static bool is_loaded(const elaborator *e)
{
    size_t length = strlen(e->prefix);
    for (size_t i = 0; i < e->program->setting_count; i++)
        if (strncmp(e->program->settings[i].name, e->prefix, length) == 0)
            return true;
    return false;
}

/* The number behind an attribute of the `model` line. */
static int64_t model_number(const gm_ast_file *file, const char *name, int64_t fallback)
{
    for (size_t i = 0; i < file->declaration_count; i++) {
        const gm_ast_attributes *attributes = &file->declarations[i].attributes;
        for (size_t k = 0; file->declarations[i].kind == GM_AST_MODEL && k < attributes->count; k++)
            if (attributes->items[k].name && strcmp(attributes->items[k].name, name) == 0 &&
                attributes->items[k].value && attributes->items[k].value->kind == GM_AST_NUMBER)
                return attributes->items[k].value->integer;
    }
    return fallback;
}

/* Parses the text of the loaded file, evaluates its consts and adds its callables. e->prefix and e->container are set. */
static bool fill_module(elaborator *e, el_module *module, const char *path, const char *text, size_t bytes)
{
    el_names saved = e->consts;
    gm_ast_file *file = el_parse(e, path, text, bytes);
    if (file)
        file = el_with_imports(e, file, e->container ? e->container->sources[0].name : "");
    if (!file || (e->container && !is_loaded(e) && !keep_settings(e, e->container)))
        return false;
    module->file = file;
    module->opset = model_number(file, "opset", GM_DEFAULT_OPSET);
    for (size_t i = 0; i < file->declaration_count && model_number(file, "onnx", 0) == 1; i++)
        file->declarations[i].onnx = true;
    module->container = e->container;
    module->prefix = e->prefix;
    e->consts = (el_names){0};
    el_take_consts(e, file);
    module->consts = e->consts;
    e->consts = saved;
    el_add_callables(e, file, false, module);
    return true;
}

/* What a program of a plain ONNX model would be saved as: the text that stands for it, and its tensors. */
static gm_container *container_of(elaborator *e, const gm_program *program)
{
    gm_container *made = gm_pool_alloc(e->pool, sizeof *made);
    gm_source_file *source = gm_pool_alloc(e->pool, sizeof *source);
    if (!made || !source ||
        !(made->parameters = gm_pool_array(e->pool, program->state_count + 1, sizeof *made->parameters)))
        return NULL;
    *source = program->sources[0];
    source->name = gm_pool_string(e->pool, source->name);
    source->text = gm_pool_substring(e->pool, source->text, source->bytes);
    made->sources = source;
    made->source_count = 1;
    for (size_t i = 0; i < program->state_count; i++) {
        const gm_state_entry *entry = &program->states[i];
        gm_named_tensor *to = &made->parameters[made->parameter_count];
        if (entry->initializer.kind != GM_INITIALIZE_TENSOR)
            continue;
        to->name = gm_pool_string(e->pool, entry->path);
        to->tensor = gm_tensor_copy(e->pool, entry->initializer.tensor);
        if (!to->name || !to->tensor)
            return NULL;
        made->parameter_count++;
    }
    return source->name && source->text ? made : NULL;
}

static bool open_onnx(elaborator *e, const char *path, const char *data, size_t bytes, gm_location where,
                      gm_container **container_out)
{
    gm_program *program = NULL;
    gm_report *before = gm_pool_copy(e->pool, gm_report_of(e->context), sizeof *before);
    const char *name = el_source_name(e, path);
    gm_status status;
    if (!before || !name)
        return el_out_of_memory(e), false;
    status = gm_program_compile(e->context, data, bytes, name, NULL, &program);
    if (status != GM_OK) {
        el_tell_failure(e, before, status, where);
        return false;
    }
    *gm_report_of(e->context) = *before;
    *container_out = container_of(e, program);
    gm_program_destroy(program);
    return *container_out ? true : (el_out_of_memory(e), false);
}

static bool open_module(elaborator *e, const char *path, gm_location where, el_module *module)
{
    gm_container *container = NULL;
    const char *text;
    size_t bytes;
    bool good;
    if (!el_read_file(e, path, where, &text, &bytes))
        return false;
    if (gm_encoding_of(text, bytes) == GM_ENCODING_BINARY) {
        if (!(gm_container_has_source(text, bytes) ? el_decode : open_onnx)(e, path, text, bytes, where, &container))
            return false;
        text = container->sources[0].text;
        bytes = container->sources[0].bytes;
    } else if (!e->options->stored) {
        el_error(e, where, "'%s' is a text without weights; load takes a trained model: a checkpoint.gmodel", path);
        return false;
    }
    if (!el_add_source(e, path, text, bytes))
        return false;
    e->container = container;
    e->prefix = gm_pool_printf(e->pool, "%s:", path);
    good = e->prefix ? fill_module(e, module, path, text, bytes) : (el_out_of_memory(e), false);
    e->container = NULL;
    e->prefix = NULL;
    return good;
}

/* The network that is taken when none is named: what the file calls its main one, else its first. */
static const char *main_network(const gm_ast_file *file)
{
    for (size_t i = 0; i < file->declaration_count; i++) {
        const gm_ast_declaration *declaration = &file->declarations[i];
        for (size_t k = 0; declaration->kind == GM_AST_MODEL && k < declaration->attributes.count; k++) {
            const gm_ast_attribute *item = &declaration->attributes.items[k];
            if (item->name && strcmp(item->name, "main") == 0 && item->value && item->value->kind == GM_AST_PATH)
                return item->value->parts[0];
        }
    }
    for (size_t i = 0; i < file->declaration_count; i++)
        if (file->declarations[i].kind == GM_AST_NETWORK)
            return file->declarations[i].names[0];
    return NULL;
}

static el_callable *network_named(elaborator *e, const char *name, const el_module *home)
{
    for (size_t i = 0; i < e->callable_count; i++)
        if (!e->callables[i].prelude && e->callables[i].home == home &&
            e->callables[i].declaration->kind == GM_AST_NETWORK && strcmp(e->callables[i].name, name) == 0)
            return &e->callables[i];
    return NULL;
}

static bool no_network(elaborator *e, gm_location where, const char *name, const el_module *home, const char *file)
{
    gm_spelling spelling;
    gm_spelling_init(&spelling, name);
    for (size_t i = 0; i < e->callable_count; i++)
        if (!e->callables[i].prelude && e->callables[i].home == home &&
            e->callables[i].declaration->kind == GM_AST_NETWORK)
            gm_spelling_offer(&spelling, e->callables[i].name);
    el_error(e, where, "%s%s%s has no network '%s'%s", file ? "'" : "", file ? file : "this file", file ? "'" : "",
             name, el_hint(e, &spelling));
    return false;
}

static bool load(elaborator *e, size_t index, const gm_ast_expression *call)
{
    el_module *module = gm_pool_alloc(e->pool, sizeof *module);
    const char *path, *name = NULL;
    el_callable *from;
    if (!module)
        return el_out_of_memory(e), false;
    if (call->item_count < 1 || call->item_count > 2 || call->attributes.count)
        return el_error(e, call->where, "load is written load(\"file.gmodel\", \"network\")"), false;
    if (!text_of(e, call->items[0], "the file", &path) ||
        (call->item_count == 2 && !text_of(e, call->items[1], "the network", &name)) ||
        !open_module(e, path, call->items[0]->where, module))
        return false;
    name = name ? name : main_network(module->file);
    from = name ? network_named(e, name, module) : NULL;
    if (!from)
        return no_network(e, call->where, name ? name : "", module, path);
    e->callables[index].scope = module;
    e->callables[index].root = e->callables[index].buffer_root = from->name;
    if (from->declaration->value_count) { /* a copy, whose buffers are another's */
        const gm_ast_expression *made = from->declaration->values[0];
        if (strcmp(made->parts[0], "copy") != 0 || made->item_count != 1 || made->items[0]->kind != GM_AST_PATH)
            return el_error(e, call->where, "the network '%s' of '%s' is itself loaded: load it from where it is", name,
                            path),
                   false;
        from = network_named(e, made->items[0]->parts[0], module);
        if (!from || from->declaration->value_count)
            return no_network(e, call->where, made->items[0]->parts[0], module, path);
        e->callables[index].buffer_root = from->name;
    }
    e->callables[index].declaration = from->declaration;
    return true;
}

/* --- copy --- */

static bool copy(elaborator *e, size_t index, const gm_ast_expression *call)
{
    const gm_ast_expression *item = call->item_count == 1 ? call->items[0] : NULL;
    const char *name;
    el_callable *from;
    if (!item || item->kind != GM_AST_PATH || item->part_count != 1 || call->attributes.count)
        return el_error(e, call->where, "copy is written copy(network)"), false;
    name = item->parts[0];
    from = network_named(e, name, NULL);
    if (!from)
        return no_network(e, item->where, name, NULL, NULL);
    if (from == &e->callables[index])
        return el_error(e, item->where, "'%s' cannot be a copy of itself", name), false;
    if (from->declaration->value_count && !from->failed) {
        if (from->running)
            return el_error(e, item->where, "'%s' is made of copies of itself", name), false;
        e->callables[index].running = true;
        el_make_network(e, (size_t)(from - e->callables));
        e->callables[index].running = false;
        from = network_named(e, name, NULL);
    }
    if (from->failed)
        return false;
    e->callables[index].declaration = from->declaration;
    e->callables[index].scope = from->scope;
    e->callables[index].root = from->root;
    e->callables[index].buffer_root = from->buffer_root;
    e->callables[index].original = from->original ? from->original : from->name;
    return true;
}

void el_make_network(elaborator *e, size_t index)
{
    const gm_ast_expression *call = e->callables[index].declaration->values[0];
    bool is_load = call->part_count == 1 && strcmp(call->parts[0], "load") == 0;
    if (!(is_load ? load : copy)(e, index, call))
        e->callables[index].failed = true;
}

/* --- Parameters of such networks --- */

/* The path behind the name of the network that was made: "judge.h1.Dense.W" is "classifier.h1.Dense.W" in its file, and
 * "judge.decoder.W", of a network that it calls, "decoder.W". */
static const char *path_as(elaborator *e, const el_callable *made, const char *network, const char *root,
                           const char *path)
{
    const char *rest = path + strlen(made->name);
    const char *result = strcmp(network, made->name) == 0 ? gm_pool_printf(e->pool, "%s%s", root, rest) : rest + 1;
    if (!result)
        el_out_of_memory(e);
    return result;
}

static bool take_tensor(elaborator *e, const gm_container *container, const char *path, gm_state_entry *entry)
{
    const gm_tensor *tensor = NULL;
    bool same;
    for (size_t i = 0; i < container->parameter_count && !tensor; i++)
        if (strcmp(container->parameters[i].name, path) == 0)
            tensor = container->parameters[i].tensor;
    if (!tensor)
        return el_error(e, entry->where, "the loaded file has no tensor '%s'", path), false;
    same = tensor->type == entry->type && tensor->rank == entry->rank;
    for (int i = 0; same && i < entry->rank; i++)
        same = tensor->dims[i] == entry->dims[i];
    if (!same)
        return el_error(e, entry->where, "the tensor '%s' of the loaded file has another type or shape", path), false;
    entry->initializer = (gm_initializer){.kind = GM_INITIALIZE_TENSOR, .tensor = tensor};
    return true;
}

bool el_adopt_state(elaborator *e, gm_state_entry *entry)
{
    const el_callable *made = e->frame->made;
    bool own = made && strcmp(e->frame->network, made->name) == 0;
    if (own && made->original) {
        const char *path = path_as(e, made, e->frame->network, made->original, entry->path);
        if (!path)
            return false;
        if (entry->kind == GM_STATE_BUFFER) {
            entry->path = path;
            entry->network = made->original;
        } else {
            entry->twin = path;
        }
    }
    return true;
}

bool el_load_state(elaborator *e, const char *path, gm_state_entry *entry)
{
    const el_callable *made = e->frame->made;
    const char *stored;
    if (!made || !made->root || !made->scope->container)
        return true;
    stored = path_as(e, made, e->frame->network, entry->kind == GM_STATE_BUFFER ? made->buffer_root : made->root, path);
    return stored && take_tensor(e, made->scope->container, stored, entry);
}

bool el_is_made(const elaborator *e, const char *network)
{
    for (size_t i = 0; network && i < e->callable_count; i++) {
        const el_callable *callable = &e->callables[i];
        size_t length = strlen(callable->name);
        if ((callable->root || callable->original) && strncmp(network, callable->name, length) == 0 &&
            (network[length] == '\0' || network[length] == '.'))
            return true;
    }
    return false;
}
