/* From one encoding of a model to another. */
#include "graph/ast.h"
#include "graph/onnx_tree.h"
#include "runtime/context.h"
#include "runtime/external.h"
#include "runtime/model.h"

#include <string.h>

void gm_convert_options_default(gm_convert_options *options, size_t struct_size)
{
    gm_convert_options defaults = {.struct_size = struct_size};
    gm_options_give(options, struct_size, &defaults, sizeof defaults);
}

typedef struct conversion {
    gm_context *context;
    gm_pool *pool;
    const char *from, *to;
    const char *data;
    size_t bytes;
    gm_convert_options options;
    gm_file_kind kind; /* of `from` */
    gm_ast_file *tree; /* of a plain ONNX model */
    gm_model *model;   /* NULL: not needed yet */
} conversion;

static const char *kind_name(gm_file_kind kind)
{
    static const char *const names[] = {"binary .gmodel", "text .gmodel", "ONNX", "ONNX text"};
    return names[kind];
}

static gm_status find_kind(conversion *c)
{
    bool binary = gm_encoding_of(c->data, c->bytes) == GM_ENCODING_BINARY;
    if (binary && gm_container_has_source(c->data, c->bytes) && !c->options.adopt) {
        c->kind = GM_FILE_BINARY;
        return GM_OK;
    }
    if (binary) {
        c->kind = GM_FILE_ONNX;
        return gm_onnx_tree(c->pool, c->data, c->bytes, c->from, &c->tree);
    }
    gm_clear_message(c->context);
    GM_TRY(gm_parse(c->pool, c->data, c->bytes, c->from, &c->tree));
    c->kind = c->tree->onnx ? GM_FILE_ONNX_TEXT : GM_FILE_TEXT;
    return gm_onnx_resolve_text(c->pool, c->tree);
}

static gm_status load(conversion *c, const void *data, size_t bytes)
{
    gm_model_options options;
    if (c->model)
        return GM_OK;
    gm_model_options_default(&options, sizeof options);
    options.settings = c->options.settings;
    options.setting_count = c->options.setting_count;
    options.adopt = c->options.adopt;
    return gm_model_load_memory(c->context, data, bytes, c->from, &options, &c->model);
}

typedef struct piece {
    const void *data;
    size_t bytes;
} piece;

static gm_status hand_over(void *user, gm_external *external,
                           gm_status (*write_to)(void *to, const void *data, size_t bytes), void *to)
{
    const piece *p = user;
    (void)external;
    return write_to(to, p->data, p->bytes);
}

static gm_status write(const conversion *c, const void *data, size_t bytes)
{
    piece whole = {data, bytes};
    return gm_external_save(c->context, c->to, false, hand_over, &whole);
}

/* --- To .gmodel --- */

static gm_status save_model(const conversion *c)
{
    gm_target target = {.path = c->to, .external = c->options.external_data != 0};
    return gm_store_save(c->model->store, false, NULL, 0, &target);
}

static gm_status to_binary(conversion *c)
{
    gm_container *container;
    if (c->kind == GM_FILE_BINARY && c->options.setting_count == 0) {
        GM_TRY(gm_container_decode(c->pool, c->data, c->bytes, c->from, &container));
        if (!container->is_external && !c->options.external_data) /* as it is, training and all */
            return write(c, c->data, c->bytes);
        if (container->training_count)
            gm_log(c->context, "%s: the state of its training is not written", c->from);
    }
    GM_TRY(load(c, c->data, c->bytes));
    if (c->kind == GM_FILE_TEXT)
        gm_log(c->context, "%s: a text has no weights; those in %s are fresh ones", c->from, c->to);
    return save_model(c);
}

static void tell_sources(const conversion *c, const gm_source_file *sources, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (!strchr(sources[i].name, ':'))
            gm_log(c->context, "%s: the text names '%s', which is not written", c->from, sources[i].name);
}

static gm_status to_text(conversion *c)
{
    const gm_source_file *sources;
    gm_container *container;
    void *data = (void *)(uintptr_t)c->data;
    size_t bytes = c->bytes;
    if (c->kind == GM_FILE_TEXT)
        return write(c, c->data, c->bytes);
    if (c->kind == GM_FILE_BINARY) {
        GM_TRY(gm_container_decode(c->pool, c->data, c->bytes, c->from, &container));
        sources = container->sources;
        tell_sources(c, sources, container->source_count);
        for (size_t i = 0; i < container->setting_count; i++)
            gm_log(c->context, "%s: was made with --set %s=%s, which the text does not say", c->from,
                   container->settings[i].name, container->settings[i].value);
    } else {
        if (c->kind == GM_FILE_ONNX_TEXT)
            GM_TRY(gm_onnx_untree(c->pool, c->tree, NULL, &data, &bytes));
        GM_TRY(load(c, data, bytes));
        sources = c->model->program->sources;
    }
    gm_log(c->context, "%s: a text has no weights: they are not in %s", c->from, c->to);
    return write(c, sources[0].text, sources[0].bytes);
}

/* --- To plain ONNX --- */

static gm_status load_network(conversion *c)
{
    GM_TRY(load(c, c->data, c->bytes));
    gm_log(c->context, "%s: only the network '%s' for inference goes into ONNX", c->from,
           c->options.network ? c->options.network : gm_model_main_network(c->model));
    return GM_OK;
}

static gm_status untree(void *user, gm_external *external,
                        gm_status (*write_to)(void *to, const void *data, size_t bytes), void *to)
{
    conversion *c = user;
    void *data;
    size_t bytes;
    GM_TRY(gm_onnx_untree(c->pool, c->tree, external, &data, &bytes));
    return write_to(to, data, bytes);
}

static gm_status to_onnx(conversion *c)
{
    bool external = c->options.external_data != 0;
    if (c->kind == GM_FILE_ONNX_TEXT)
        return gm_external_save(c->context, c->to, external, untree, c);
    if (c->kind == GM_FILE_ONNX) { /* as it is, where it stands alone */
        if (!external && !c->tree->onnx->external)
            return write(c, c->data, c->bytes);
        return gm_external_save(c->context, c->to, true, untree, c);
    }
    GM_TRY(load_network(c));
    return gm_export_file(c->model, c->options.network, c->to, external);
}

static gm_status to_onnx_text(conversion *c)
{
    void *data;
    size_t bytes;
    gm_text text;
    gm_status status;
    if (c->kind == GM_FILE_ONNX_TEXT)
        return write(c, c->data, c->bytes);
    if (c->kind != GM_FILE_ONNX) {
        GM_TRY(load_network(c));
        GM_TRY(gm_export_memory(c->model, c->options.network, c->pool, &data, &bytes));
        GM_TRY(gm_onnx_tree(c->pool, data, bytes, c->from, &c->tree));
    }
    gm_text_init(&text, c->context);
    gm_ast_print(c->tree, &text);
    status = text.failed || !text.data ? GM_ERROR_MEMORY : write(c, text.data, text.length);
    gm_text_destroy(&text);
    return status;
}

static gm_status convert(conversion *c)
{
    static gm_status (*const writers[])(conversion *) = {to_binary, to_text, to_onnx, to_onnx_text};
    if ((unsigned)c->options.kind >= GM_COUNT(writers))
        return gm_fail(c->context, GM_ERROR_ARGUMENT, "gm_convert: there is no such kind of file");
    GM_TRY(find_kind(c));
    if (c->options.network && c->kind != GM_FILE_BINARY && c->kind != GM_FILE_TEXT)
        return gm_fail(c->context, GM_ERROR_ARGUMENT, "%s: %s has one graph; a network cannot be chosen", c->from,
                       kind_name(c->kind));
    return writers[c->options.kind](c);
}

gm_status gm_convert(gm_context *context, const char *from, const char *to, const gm_convert_options *options)
{
    conversion c = {.context = context, .from = from, .to = to};
    char *data = NULL;
    gm_status status;
    if (!context || !from || !to || !options)
        return context ? gm_fail(context, GM_ERROR_ARGUMENT, "gm_convert: an argument is NULL") : GM_ERROR_ARGUMENT;
    gm_clear_message(context);
    GM_TRY(gm_options_take(context, "gm_convert_options", options, offsetof(gm_convert_options, kind) + sizeof(int),
                           &c.options, sizeof c.options));
    GM_TRY(gm_read_file(context, from, &data, &c.bytes));
    c.data = data;
    c.pool = gm_pool_create(context);
    status = c.pool ? convert(&c) : GM_ERROR_MEMORY;
    gm_model_destroy(c.model);
    gm_pool_destroy(c.pool);
    gm_free(context, data);
    return status;
}
