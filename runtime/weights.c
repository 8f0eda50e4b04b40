/* Parameters of a model alone, for other programs and from them: safetensors, or a folder of .npy files. */
#include "runtime/context.h"
#include "runtime/file.h"
#include "runtime/model.h"
#include "runtime/safetensors.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

void gm_weights_options_default(gm_weights_options *options, size_t struct_size)
{
    gm_weights_options defaults = {.struct_size = struct_size};
    gm_options_give(options, struct_size, &defaults, sizeof defaults);
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

static bool is_weight(const gm_state_entry *entry)
{
    return entry->kind == GM_STATE_PARAMETER || entry->kind == GM_STATE_BUFFER;
}

/* --- A folder of .npy files: the path of the parameter, with / and % as %2F and %25 --- */

static gm_status file_of(gm_context *context, const char *directory, const char *name, char path[PATH_MAX])
{
    size_t at = (size_t)snprintf(path, PATH_MAX, "%s/", directory);
    for (; *name && at < PATH_MAX - 8; name++)
        at += (size_t)snprintf(path + at, PATH_MAX - at, *name == '/' || *name == '%' ? "%%%02X" : "%c",
                               (unsigned char)*name);
    if (at >= PATH_MAX - 8)
        return gm_fail(context, GM_ERROR_FILE, "%.80s...: the path is too long", directory);
    strcpy(path + at, ".npy");
    return GM_OK;
}

static char *name_of(gm_pool *pool, const char *file)
{
    char *name = gm_pool_substring(pool, file, strlen(file) - 4), *to = name;
    unsigned code;
    for (const char *at = name; name && *at; at++, to++)
        if (at[0] == '%' && sscanf(at + 1, "%2X", &code) == 1 && at[1] && at[2] && code) {
            *to = (char)code;
            at += 2;
        } else {
            *to = *at;
        }
    if (name)
        *to = 0;
    return name;
}

static gm_status read_npy(gm_pool *pool, const char *directory, const char *file, gm_named_tensor *out)
{
    gm_context *context = gm_pool_context(pool);
    char path[PATH_MAX];
    gm_tensor_view view;
    gm_tensor *tensor;
    if (snprintf(path, sizeof path, "%s/%s", directory, file) >= (int)sizeof path)
        return gm_fail(context, GM_ERROR_FILE, "%.80s...: the path is too long", directory);
    GM_TRY(gm_read_npy(context, path, &view));
    tensor = gm_tensor_create(pool, view.type, view.rank, view.dims);
    out->name = name_of(pool, file);
    out->tensor = tensor;
    if (tensor)
        memcpy(tensor->data, view.data, view.bytes);
    gm_release(context, view.data);
    return tensor && out->name ? GM_OK : GM_ERROR_MEMORY;
}

static gm_status read_folder(gm_pool *pool, const char *directory, gm_named_tensor **tensors_out, size_t *count_out)
{
    size_t capacity = 0;
    DIR *listing = opendir(directory);
    gm_status status = GM_OK;
    if (!listing)
        return gm_fail(gm_pool_context(pool), GM_ERROR_FILE,
                       "%s: %s; expected a folder of .npy files, or a .safetensors file", directory, strerror(errno));
    *count_out = 0;
    for (const struct dirent *entry; status == GM_OK && (entry = readdir(listing));)
        if (ends_with(entry->d_name, ".npy")) {
            if (!gm_pool_grow(pool, (void **)tensors_out, &capacity, *count_out + 1, sizeof **tensors_out))
                status = GM_ERROR_MEMORY;
            else
                status = read_npy(pool, directory, entry->d_name, &(*tensors_out)[(*count_out)++]);
        }
    closedir(listing);
    return status;
}

static gm_status write_folder(gm_context *context, const char *directory, const gm_named_tensor *tensors, size_t count)
{
    char path[PATH_MAX];
    GM_TRY(gm_make_directories(context, directory));
    for (size_t i = 0; i < count; i++) {
        const gm_tensor *tensor = tensors[i].tensor;
        gm_tensor_view view = {.name = tensors[i].name,
                               .type = tensor->type,
                               .rank = tensor->rank,
                               .bytes = gm_tensor_bytes(tensor),
                               .data = tensor->data};
        memcpy(view.dims, tensor->dims, sizeof view.dims);
        GM_TRY(file_of(context, directory, tensors[i].name, path));
        GM_TRY(gm_write_npy(context, path, &view));
    }
    return GM_OK;
}

/* --- Out --- */

static gm_status collect(const gm_model *model, gm_pool *pool, gm_named_tensor **tensors_out, size_t *count_out)
{
    const gm_program *program = model->program;
    gm_named_tensor *tensors = gm_pool_array(pool, program->state_count + 1, sizeof *tensors);
    if (!tensors)
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < program->state_count; i++) {
        gm_tensor shape = gm_store_describe(model->store, (uint32_t)i);
        if (!is_weight(&program->states[i]))
            continue;
        shape.data = (void *)(uintptr_t)gm_store_plain_data(model->store, (uint32_t)i); /* only read */
        tensors[*count_out].name = program->states[i].path;
        if (!shape.data || !(tensors[*count_out].tensor = gm_pool_copy(pool, &shape, sizeof shape)))
            return GM_ERROR_MEMORY;
        ++*count_out;
    }
    *tensors_out = tensors;
    return GM_OK;
}

gm_status gm_model_save_weights(const gm_model *model, const char *path)
{
    gm_named_tensor *tensors = NULL;
    gm_pool *pool;
    size_t count = 0;
    gm_status status;
    if (!path || !path[0])
        return gm_fail(model->context, GM_ERROR_ARGUMENT, "gm_model_save_weights: there is no path");
    gm_clear_message(model->context);
    pool = gm_pool_create(model->context);
    status = pool ? collect(model, pool, &tensors, &count) : GM_ERROR_MEMORY;
    if (status == GM_OK)
        status = ends_with(path, ".safetensors") ? gm_safetensors_write(model->context, path, tensors, count)
                                                 : write_folder(model->context, path, tensors, count);
    gm_pool_destroy(pool);
    return status;
}

/* --- In --- */

static bool is_real(gm_type type)
{
    const gm_type_info *info = gm_type_find(type);
    return info && info->floating;
}

static gm_status check_tensor(const gm_model *model, uint32_t state, const gm_tensor *found, const char *path)
{
    gm_tensor shape = gm_store_describe(model->store, state);
    char wanted[128], given[128];
    if (gm_tensor_same_shape(found, &shape) &&
        (found->type == shape.type || (is_real(found->type) && is_real(shape.type))))
        return GM_OK;
    return gm_fail(model->context, GM_ERROR_ARGUMENT, "%s: '%s' is %s%s, the model has %s%s", path,
                   model->program->states[state].path, gm_type_name(found->type),
                   gm_dims_print(NULL, found->rank, found->dims, given, sizeof given), gm_type_name(shape.type),
                   gm_dims_print(NULL, shape.rank, shape.dims, wanted, sizeof wanted));
}

/* Every weight of the model has its tensor, and every tensor its weight; with `partial` those count that both have. */
static gm_status check_all(const gm_model *model, const gm_named_tensor *tensors, size_t count, bool partial,
                           const char *path)
{
    const gm_program *program = model->program;
    const char *missing = NULL;
    size_t used = 0;
    for (size_t i = 0; i < program->state_count; i++) {
        const gm_named_tensor *found;
        if (!is_weight(&program->states[i]))
            continue;
        found = gm_find_tensor(tensors, count, program->states[i].path);
        if (found)
            GM_TRY(check_tensor(model, (uint32_t)i, found->tensor, path));
        else if (!missing)
            missing = program->states[i].path;
        used += found != NULL;
    }
    if (missing && !partial)
        return gm_fail(model->context, GM_ERROR_ARGUMENT, "%s: has no '%s', which the model has", path, missing);
    if (!used)
        return gm_fail(model->context, GM_ERROR_ARGUMENT, "%s: has nothing that the model has", path);
    for (size_t i = 0; i < count && !partial; i++) {
        int64_t state = gm_program_state(program, tensors[i].name);
        if (state < 0 || !is_weight(&program->states[state]))
            return gm_fail(model->context, GM_ERROR_ARGUMENT, "%s: has '%s', which the model has not", path,
                           tensors[i].name);
    }
    return GM_OK;
}

/* Numbers of other floating types are converted. */
static gm_status take(gm_model *model, gm_pool *pool, uint32_t state, const gm_tensor *found)
{
    gm_tensor shape = gm_store_describe(model->store, state), *converted;
    if (found->type == shape.type)
        return gm_store_write(model->store, state, found->data);
    converted = gm_tensor_create(pool, shape.type, shape.rank, shape.dims);
    if (!converted)
        return GM_ERROR_MEMORY;
    for (int64_t i = 0; i < gm_tensor_count(converted); i++)
        gm_set(converted, i, gm_get(found, i));
    return gm_store_write(model->store, state, converted->data);
}

static gm_status load(gm_model *model, gm_pool *pool, const char *path, bool partial)
{
    gm_named_tensor *tensors = NULL;
    size_t count = 0;
    GM_TRY(ends_with(path, ".safetensors") ? gm_safetensors_read(pool, path, &tensors, &count)
                                           : read_folder(pool, path, &tensors, &count));
    GM_TRY(check_all(model, tensors, count, partial, path));
    for (size_t i = 0; i < count; i++) {
        int64_t state = gm_program_state(model->program, tensors[i].name);
        if (state >= 0 && is_weight(&model->program->states[state]))
            GM_TRY(take(model, pool, (uint32_t)state, tensors[i].tensor));
    }
    return GM_OK;
}

gm_status gm_model_load_weights(gm_model *model, const char *path, const gm_weights_options *options)
{
    gm_weights_options own = {.struct_size = sizeof own};
    gm_pool *pool;
    gm_status status;
    gm_clear_message(model->context);
    GM_TRY(gm_options_take(model->context, "gm_weights_options", options,
                           offsetof(gm_weights_options, partial) + sizeof own.partial, &own, sizeof own));
    if (!path || model->users)
        return gm_fail(model->context, GM_ERROR_ARGUMENT,
                       path ? "weights cannot be loaded while sessions or trainers of the model exist"
                            : "gm_model_load_weights: there is no path");
    pool = gm_pool_create(model->context);
    status = pool ? load(model, pool, path, own.partial != 0) : GM_ERROR_MEMORY;
    gm_pool_destroy(pool);
    return status;
}
