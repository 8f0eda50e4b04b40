/* Two files, replaced as one: see runtime/external.h. */
#include "runtime/external.h"

#include "runtime/file.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const endings[] = {".data", ".data2"};

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Does the model that is there already name this data file? A file that cannot be read names none. */
static bool uses(gm_context *context, const char *path, const char *location)
{
    size_t bytes = 0, length = strlen(location);
    char *data = NULL;
    bool found = false;
    if (gm_read_file(context, path, &data, &bytes) != GM_OK) {
        gm_clear_message(context);
        return false;
    }
    for (const char *at = data; !found && at && bytes;
         at = memchr(at + 1, location[0], (size_t)(data + bytes - at - 1)))
        found = (size_t)(data + bytes - at) > length && memcmp(at, location, length) == 0 && at[length] != '2';
    gm_free(context, data);
    return found;
}

static gm_status write_piece(void *to, const void *data, size_t bytes)
{
    return gm_file_write(to, data, bytes);
}

static gm_status write_files(gm_context *context, const char *path, const char *data_path, gm_external_producer produce,
                             void *user)
{
    gm_external external = {.threshold = GM_EXTERNAL_THRESHOLD, .write = write_piece};
    gm_file *data = NULL, *model = NULL;
    gm_status status = data_path ? gm_file_create(context, data_path, &data) : GM_OK;
    if (status == GM_OK)
        status = gm_file_create(context, path, &model);
    external.location = data_path ? base_of(data_path) : NULL;
    external.user = data;
    if (status == GM_OK)
        status = produce(user, data ? &external : NULL, write_piece, model);
    if (status == GM_OK && data) {
        status = gm_file_commit(data);
        data = NULL;
    }
    if (status == GM_OK)
        return gm_file_commit(model);
    gm_file_abandon(data);
    gm_file_abandon(model);
    return status;
}

gm_status gm_external_save(gm_context *context, const char *path, bool external, gm_external_producer produce,
                           void *user)
{
    char paths[2][PATH_MAX];
    bool used[2];
    for (size_t i = 0; i < 2; i++) {
        if (snprintf(paths[i], sizeof paths[i], "%s%s", path, endings[i]) >= (int)sizeof paths[i])
            return gm_fail(context, GM_ERROR_FILE, "%.80s...: the path is too long", path);
        used[i] = access(paths[i], F_OK) == 0 && uses(context, path, base_of(paths[i]));
    }
    GM_TRY(write_files(context, path, external ? paths[used[0]] : NULL, produce, user));
    for (size_t i = 0; i < 2; i++)
        if (used[i])
            (void)unlink(paths[i]);
    return GM_OK;
}
