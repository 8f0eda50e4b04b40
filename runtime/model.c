/* gm_model: a compiled program and its parameters. */
#include "runtime/model.h"

#include "graph/operator.h"
#include "runtime/context.h"
#include "runtime/data.h"
#include "runtime/file.h"
#include "runtime/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void gm_model_options_default(gm_model_options *options, size_t struct_size)
{
    gm_model_options defaults = {.struct_size = struct_size};
    gm_options_give(options, struct_size, &defaults, sizeof defaults);
}

/* --- Loading
 * ------------------------------------------------------------------------------------------------------------- */

/* "NAME=VALUE" strings into pairs. */
static gm_status split_settings(gm_model *model, const gm_model_options *options, gm_setting *settings, size_t *count)
{
    for (size_t i = 0; i < options->setting_count; i++) {
        const char *text = options->settings[i], *equals = text ? strchr(text, '=') : NULL;
        gm_setting *setting = NULL;
        char *name;
        if (!equals || equals == text || !equals[1])
            return gm_fail(model->context, GM_ERROR_ARGUMENT, "setting '%s' must be NAME=VALUE", text ? text : "");
        name = gm_pool_substring(model->pool, text, (size_t)(equals - text));
        if (!name)
            return GM_ERROR_MEMORY;
        for (size_t k = 0; k < *count && !setting; k++)
            if (strcmp(settings[k].name, name) == 0)
                setting = &settings[k];
        if (!setting)
            setting = &settings[(*count)++];
        setting->name = name;
        setting->value = gm_pool_string(model->pool, equals + 1);
        if (!setting->value)
            return GM_ERROR_MEMORY;
    }
    return GM_OK;
}

static gm_status set_paths(gm_model *model, const char *name, const gm_model_options *options)
{
    const char *slash = strrchr(name, '/');
    model->path = gm_pool_string(model->pool, name);
    model->directory = slash ? gm_pool_substring(model->pool, name, slash == name ? 1 : (size_t)(slash - name))
                             : gm_pool_string(model->pool, ".");
    if (options->data_directory && !(model->data_directory = gm_pool_string(model->pool, options->data_directory)))
        return GM_ERROR_MEMORY;
    return model->path && model->directory ? GM_OK : GM_ERROR_MEMORY;
}

typedef struct gm_reader { /* where a text's files and data are */
    const gm_model *model;
    const gm_container *container; /* NULL: on disk */
    gm_dataset *dataset;           /* whose tables were asked for last; NULL: none */
    const gm_data_declaration *declaration;
} gm_reader;

/* A copy that outlives the data set. */
static const gm_tensor *copy_table(gm_pool *pool, const gm_tensor *from)
{
    int64_t count = gm_tensor_count(from);
    gm_tensor *copy;
    const char **words;
    if (from->type != GM_STRING)
        return gm_tensor_copy(pool, from);
    copy = gm_pool_copy(pool, from, sizeof *from);
    words = gm_pool_array(pool, (size_t)count + 1, sizeof *words);
    if (!copy || !words)
        return NULL;
    copy->data = words;
    for (int64_t i = 0; i < count; i++)
        if (!(words[i] = gm_pool_string(pool, ((const char *const *)from->data)[i])))
            return NULL;
    return copy;
}

/* A table as the checkpoint has it, else of the data set itself. */
static gm_status read_table(void *user, gm_pool *pool, const gm_data_declaration *data, const char *name,
                            const gm_tensor **tensor_out)
{
    gm_reader *reader = user;
    const gm_model *model = reader->model;
    gm_data_options options = {model->data_directory, model->directory, model->seed};
    const gm_tensor *found;
    if (reader->container)
        GM_TRY(gm_table_stored(pool, reader->container, name, tensor_out));
    if (*tensor_out || !data)
        return GM_OK;
    if (reader->declaration != data) {
        gm_dataset_close(reader->dataset);
        reader->dataset = NULL;
        GM_TRY(gm_dataset_open(model->context, data, &options, &reader->dataset));
        reader->declaration = data;
    }
    found = gm_dataset_constant(reader->dataset, name + strlen(data->name) + 1);
    if (!found)
        return GM_OK;
    *tensor_out = copy_table(pool, found);
    return *tensor_out ? GM_OK : GM_ERROR_MEMORY;
}

/* A file that the text names: in the checkpoint, or beside the model, or as it is written. */
static gm_status read_named(void *user, gm_pool *pool, const char *path, const char **data_out, size_t *bytes_out)
{
    const gm_reader *reader = user;
    gm_context *context = reader->model->context;
    char *beside = path[0] == '/' ? NULL : gm_pool_printf(pool, "%s/%s", reader->model->directory, path), *data;
    size_t bytes;
    for (size_t i = 0; reader->container && i < reader->container->source_count; i++)
        if (strcmp(reader->container->sources[i].name, path) == 0) {
            *data_out = reader->container->sources[i].text;
            *bytes_out = reader->container->sources[i].bytes;
            return GM_OK;
        }
    if (reader->container)
        return gm_fail(context, GM_ERROR_MODEL, "the checkpoint does not contain the file '%s'", path);
    if (beside && access(beside, F_OK) == 0)
        path = beside;
    GM_TRY(gm_read_file(context, path, &data, &bytes));
    *data_out = gm_pool_substring(pool, data, bytes);
    *bytes_out = bytes;
    gm_free(context, data);
    return *data_out ? GM_OK : GM_ERROR_MEMORY;
}

/* Copies of the inputs that are fixed. */
static gm_status take_fixed(gm_model *model, const gm_model_options *options, gm_program_options *program)
{
    gm_fixed_input *fixed = gm_pool_array(model->pool, options->fixed_count + 1, sizeof *fixed);
    if (!fixed)
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < options->fixed_count; i++) {
        const gm_tensor_view *view = &options->fixed[i];
        gm_tensor *tensor;
        if (!view->name || view->rank < 0 || view->rank > GM_MAX_RANK || !gm_type_bytes(view->type))
            return gm_fail(model->context, GM_ERROR_ARGUMENT, "the fixed input '%s' has no name, type or shape",
                           view->name ? view->name : "");
        tensor = gm_tensor_create(model->pool, view->type, view->rank, view->dims);
        fixed[i].name = gm_pool_string(model->pool, view->name);
        if (!tensor || !fixed[i].name)
            return GM_ERROR_MEMORY;
        if (view->bytes != gm_tensor_bytes(tensor) || (view->bytes && !view->data))
            return gm_fail(model->context, GM_ERROR_ARGUMENT, "the fixed input '%s' has %zu bytes, its shape needs %zu",
                           view->name, view->bytes, gm_tensor_bytes(tensor));
        memcpy(tensor->data, view->data, view->bytes);
        fixed[i].tensor = tensor;
    }
    program->fixed = fixed;
    program->fixed_count = options->fixed_count;
    return GM_OK;
}

/* `pool` is gone after loading: what the container held is then in the program and in the store. */
static gm_status load(gm_model *model, gm_pool *pool, const void *data, size_t bytes, const char *name,
                      const gm_model_options *options)
{
    gm_container *container = NULL;
    gm_reader reader = {.model = model};
    gm_program_options program = {.read = read_named, .table = read_table, .user = &reader};
    gm_setting *settings;
    size_t stored = 0;
    const char *text = data;
    gm_status status;
    GM_TRY(set_paths(model, name, options));
    GM_TRY(take_fixed(model, options, &program));
    if (gm_encoding_of(data, bytes) == GM_ENCODING_BINARY && !options->adopt && gm_container_has_source(data, bytes)) {
        GM_TRY(gm_container_decode(pool, data, bytes, name, &container));
        text = container->sources[0].text;
        bytes = container->sources[0].bytes;
        stored = container->setting_count;
    }
    settings = gm_pool_array(model->pool, stored + options->setting_count + 1, sizeof *settings);
    if (!settings)
        return GM_ERROR_MEMORY;
    for (; program.setting_count < stored; program.setting_count++)
        settings[program.setting_count] = container->settings[program.setting_count];
    GM_TRY(split_settings(model, options, settings, &program.setting_count));
    program.settings = settings;
    program.stored = container != NULL;
    reader.container = container;
    model->seed = options->has_seed ? options->seed : 0;
    status = gm_program_compile(model->context, text, bytes, container ? container->sources[0].name : name, &program,
                                &model->program);
    gm_dataset_close(reader.dataset);
    GM_TRY(status);
    for (size_t i = 0; i < model->program->data_count; i++) {
        gm_status one = gm_dataset_check(model->context, &model->program->data[i]);
        status = status == GM_OK ? one : status; /* all of them are told */
    }
    GM_TRY(status);
    model->seed_given = options->has_seed != 0;
    model->seed = options->has_seed ? options->seed : model->program->seed;
    GM_TRY(gm_store_create(model->context, model->program, false, &model->store));
    if (container)
        return gm_store_restore(model->store, container, false, name);
    return gm_store_initialize(model->store, model->seed);
}

gm_status gm_model_load_memory(gm_context *context, const void *data, size_t bytes, const char *name,
                               const gm_model_options *options, gm_model **model_out)
{
    gm_model_options own = {.struct_size = sizeof own};
    gm_pool *pool, *loading;
    gm_model *model;
    gm_status status;
    if (!context || !data || !name || !model_out)
        return context ? gm_fail(context, GM_ERROR_ARGUMENT, "gm_model_load_memory: an argument is NULL")
                       : GM_ERROR_ARGUMENT;
    gm_clear_message(context);
    GM_TRY(gm_options_take(context, "gm_model_options", options, offsetof(gm_model_options, seed) + sizeof own.seed,
                           &own, sizeof own));
    pool = gm_pool_create(context);
    model = pool ? gm_pool_alloc(pool, sizeof *model) : NULL;
    if (!model) {
        gm_pool_destroy(pool);
        return GM_ERROR_MEMORY;
    }
    model->context = context;
    model->pool = pool;
    loading = gm_pool_create(context);
    status = loading ? load(model, loading, data, bytes, name, &own) : GM_ERROR_MEMORY;
    gm_pool_destroy(loading);
    if (status != GM_OK) {
        gm_model_destroy(model);
        return status;
    }
    *model_out = model;
    return GM_OK;
}

gm_status gm_model_load(gm_context *context, const char *path, const gm_model_options *options, gm_model **model_out)
{
    char *data;
    size_t bytes;
    gm_status status;
    if (!context || !path || !model_out)
        return context ? gm_fail(context, GM_ERROR_ARGUMENT, "gm_model_load: an argument is NULL") : GM_ERROR_ARGUMENT;
    GM_TRY(gm_read_file(context, path, &data, &bytes));
    status = gm_model_load_memory(context, data, bytes, path, options, model_out);
    gm_free(context, data);
    return status;
}

void gm_model_destroy(gm_model *model)
{
    if (!model)
        return;
    gm_store_destroy(model->store);
    gm_program_destroy(model->program);
    gm_pool_destroy(model->pool);
}

gm_status gm_model_save(const gm_model *model, const char *path)
{
    if (!path)
        return gm_fail(model->context, GM_ERROR_ARGUMENT, "gm_model_save: the path is NULL");
    gm_clear_message(model->context);
    return gm_store_save(model->store, false, NULL, 0, &(gm_target){.path = path});
}

gm_status gm_model_save_memory(const gm_model *model, void **data_out, size_t *bytes_out)
{
    if (!data_out || !bytes_out)
        return gm_fail(model->context, GM_ERROR_ARGUMENT, "gm_model_save_memory: an argument is NULL");
    gm_clear_message(model->context);
    return gm_store_save(model->store, false, NULL, 0, &(gm_target){.data_out = data_out, .bytes_out = bytes_out});
}

/* --- What is in it
 * --------------------------------------------------------------------------------------------------------- */

const char *gm_model_name(const gm_model *model)
{
    return model->program->name;
}

const char *gm_model_main_network(const gm_model *model)
{
    return model->program->main_network;
}

static const char *part_name(const gm_program *program, gm_part part, size_t wanted)
{
    static const gm_entry_kind kinds[] = {[GM_PART_NETWORK] = GM_ENTRY_NETWORK,
                                          [GM_PART_STEP] = GM_ENTRY_STEP,
                                          [GM_PART_SAMPLE] = GM_ENTRY_SAMPLE,
                                          [GM_PART_EVALUATION] = GM_ENTRY_EVALUATION};
    size_t found = 0;
    if (part == GM_PART_DATA)
        return wanted < program->data_count ? program->data[wanted].name : NULL;
    if (part == GM_PART_TRAIN)
        return wanted < program->train_count ? "train" : NULL;
    if ((unsigned)part >= GM_COUNT(kinds))
        return NULL;
    for (size_t i = 0; i < program->entry_count; i++)
        if (program->entries[i].kind == kinds[part] && found++ == wanted)
            return program->entries[i].name;
    return NULL;
}

const char *gm_model_part_name(const gm_model *model, gm_part part, size_t index)
{
    return part_name(model->program, part, index);
}

size_t gm_model_part_count(const gm_model *model, gm_part part)
{
    size_t count = 0;
    while (part_name(model->program, part, count))
        count++;
    return count;
}

static bool is_parameter(const gm_state_entry *entry)
{
    return entry->kind == GM_STATE_PARAMETER || entry->kind == GM_STATE_BUFFER;
}

size_t gm_model_parameter_count(const gm_model *model)
{
    size_t count = 0;
    for (size_t i = 0; i < model->program->state_count; i++)
        count += is_parameter(&model->program->states[i]);
    return count;
}

gm_status gm_model_parameter_info(const gm_model *model, size_t index, gm_parameter_info *info_out)
{
    size_t found = 0;
    for (size_t i = 0; i < model->program->state_count; i++) {
        const gm_state_entry *entry = &model->program->states[i];
        if (!is_parameter(entry) || found++ != index)
            continue;
        memset(info_out, 0, sizeof *info_out);
        info_out->path = entry->path;
        info_out->network = entry->network;
        info_out->is_buffer = entry->kind == GM_STATE_BUFFER;
        info_out->type = entry->type;
        info_out->rank = entry->rank;
        memcpy(info_out->dims, entry->dims, sizeof entry->dims);
        return GM_OK;
    }
    return gm_fail(model->context, GM_ERROR_ARGUMENT, "there is no parameter number %zu", index);
}

static gm_status find_parameter(const gm_model *model, const char *path, size_t bytes, uint32_t *state_out)
{
    int64_t state = gm_program_state(model->program, path);
    if (state < 0 || !is_parameter(&model->program->states[state])) {
        gm_spelling spelling;
        gm_spelling_init(&spelling, path);
        for (size_t i = 0; i < model->program->state_count; i++)
            if (is_parameter(&model->program->states[i]))
                gm_spelling_offer(&spelling, model->program->states[i].path);
        return gm_fail(model->context, GM_ERROR_ARGUMENT, "there is no parameter '%s'%s%s%s", path,
                       spelling.best ? "; did you mean '" : "", spelling.best ? spelling.best : "",
                       spelling.best ? "'?" : "");
    }
    if (model->store->entries[state].bytes != bytes)
        return gm_fail(model->context, GM_ERROR_ARGUMENT, "parameter '%s' has %zu bytes, not %zu", path,
                       model->store->entries[state].bytes, bytes);
    *state_out = (uint32_t)state;
    return GM_OK;
}

gm_status gm_model_read(const gm_model *model, const char *path, void *data, size_t bytes)
{
    uint32_t state = 0;
    GM_TRY(find_parameter(model, path, bytes, &state));
    return gm_store_read(model->store, state, data);
}

gm_status gm_model_write(gm_model *model, const char *path, const void *data, size_t bytes)
{
    uint32_t state = 0;
    if (model->users)
        return gm_fail(model->context, GM_ERROR_ARGUMENT,
                       "parameter '%s' cannot be written while sessions or trainers of the model exist", path);
    GM_TRY(find_parameter(model, path, bytes, &state));
    return gm_store_write(model->store, state, data);
}

void gm_program_picture_range(const gm_program *program, double *low_out, double *high_out)
{
    *low_out = -1;
    *high_out = 1;
    for (size_t i = 0; i < program->data_count; i++)
        for (size_t k = 0; k < program->data[i].field_count; k++)
            if (program->data[i].fields[k].has_range) {
                *low_out = program->data[i].fields[k].low;
                *high_out = program->data[i].fields[k].high;
                return;
            }
}

void gm_model_picture_range(const gm_model *model, double *low_out, double *high_out)
{
    gm_program_picture_range(model->program, low_out, high_out);
}
