/* Writing files whole or not at all (see runtime/file.h), and making directories. */
#include "runtime/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER_BYTES = 64 * 1024, MAX_NAMES = 1000 };

struct gm_file {
    gm_context *context;
    char target[PATH_MAX];
    char temporary[PATH_MAX];
    int descriptor;
    gm_status status; /* of the first failure */
    uint64_t written;
    size_t buffered;
    unsigned char buffer[BUFFER_BYTES];
};

/* One line for a failed system call on the file. */
static gm_status fail_file(gm_file *file, const char *what, int error)
{
    file->status =
        error == ENOSPC || error == EDQUOT
            ? gm_fail(file->context, GM_ERROR_FILE,
                      "%s: cannot write, the disk is full after %llu bytes: free some space and save again",
                      file->target, (unsigned long long)file->written)
            : gm_fail(file->context, GM_ERROR_FILE, "%s: cannot %s: %s", file->target, what, strerror(error));
    return file->status;
}

/* The file that `path` means (through symbolic links) into file->target. */
static gm_status resolve_target(gm_file *file, const char *path, mode_t *mode_out)
{
    struct stat status;
    *mode_out = 0;
    if (snprintf(file->target, sizeof file->target, "%s", path) >= (int)sizeof file->target)
        return gm_fail(file->context, GM_ERROR_FILE, "%.80s...: the path is longer than %d bytes", path, PATH_MAX - 1);
    if (stat(path, &status) != 0)
        return errno == ENOENT ? GM_OK : fail_file(file, "write", errno);
    if (!S_ISREG(status.st_mode))
        return gm_fail(file->context, GM_ERROR_FILE, "%s: cannot write, it is %s, expected a file", path,
                       S_ISDIR(status.st_mode) ? "a directory" : "not a regular file");
    *mode_out = status.st_mode & 07777;
    if (realpath(path, file->target) == NULL)
        return fail_file(file, "write", errno);
    return GM_OK;
}

static gm_status open_temporary(gm_file *file)
{
    for (int i = 0; i < MAX_NAMES; i++) {
        int length =
            snprintf(file->temporary, sizeof file->temporary, "%s.%ld-%d.tmp", file->target, (long)getpid(), i);
        if (length >= (int)sizeof file->temporary)
            return gm_fail(file->context, GM_ERROR_FILE, "%.80s...: the path is too long", file->target);
        file->descriptor = open(file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file->descriptor >= 0)
            return GM_OK;
        if (errno != EEXIST)
            return fail_file(file, "write", errno);
    }
    return fail_file(file, "find a free name for the temporary file", EEXIST);
}

gm_status gm_file_create(gm_context *context, const char *path, gm_file **file_out)
{
    if (path == NULL || path[0] == '\0')
        return gm_fail(context, GM_ERROR_ARGUMENT, "the path of a file to write is empty");
    gm_file *file = gm_alloc(context, sizeof *file);
    if (file == NULL)
        return GM_ERROR_MEMORY;
    file->context = context;
    file->descriptor = -1;
    mode_t mode;
    gm_status status = resolve_target(file, path, &mode);
    if (status == GM_OK)
        status = open_temporary(file);
    if (status != GM_OK) {
        gm_free(context, file);
        return status;
    }
    if (mode != 0)
        (void)fchmod(file->descriptor, mode);
    *file_out = file;
    return GM_OK;
}

static gm_status write_out(gm_file *file, const unsigned char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t done = write(file->descriptor, data, bytes);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return fail_file(file, "write", done < 0 ? errno : EIO);
        data += done;
        bytes -= (size_t)done;
        file->written += (uint64_t)done;
    }
    return GM_OK;
}

static gm_status flush_buffer(gm_file *file)
{
    size_t bytes = file->buffered;
    file->buffered = 0;
    return write_out(file, file->buffer, bytes);
}

gm_status gm_file_write(gm_file *file, const void *data, size_t bytes)
{
    if (file->status != GM_OK)
        return file->status;
    if (bytes > sizeof file->buffer - file->buffered)
        GM_TRY(flush_buffer(file));
    if (bytes >= sizeof file->buffer)
        return write_out(file, data, bytes);
    if (bytes > 0)
        memcpy(file->buffer + file->buffered, data, bytes);
    file->buffered += bytes;
    return GM_OK;
}

/* Makes the rename durable. File systems that cannot flush a directory say EINVAL: nothing to do then. */
static void flush_directory(const char *path)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    memcpy(directory, path, length);
    directory[length] = '\0';
    int descriptor = open(length == 0 ? "." : directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        return;
    (void)fsync(descriptor);
    (void)close(descriptor);
}

gm_status gm_file_commit(gm_file *file)
{
    gm_status status = file->status;
    if (status == GM_OK)
        status = flush_buffer(file);
    if (status == GM_OK && fsync(file->descriptor) != 0 && errno != EINVAL && errno != EROFS)
        status = fail_file(file, "flush", errno);
    if (status == GM_OK) {
        int descriptor = file->descriptor;
        file->descriptor = -1;
        if (close(descriptor) != 0)
            status = fail_file(file, "write", errno);
    }
    if (status == GM_OK && rename(file->temporary, file->target) != 0)
        status = fail_file(file, "rename the finished temporary file to it", errno);
    if (status != GM_OK) {
        gm_file_abandon(file);
        return status;
    }
    flush_directory(file->target);
    gm_free(file->context, file);
    return GM_OK;
}

void gm_file_abandon(gm_file *file)
{
    if (file == NULL)
        return;
    if (file->descriptor >= 0)
        (void)close(file->descriptor);
    (void)unlink(file->temporary);
    gm_free(file->context, file);
}

gm_status gm_file_replace(gm_context *context, const char *path, const void *data, size_t bytes)
{
    gm_file *file;
    GM_TRY(gm_file_create(context, path, &file));
    (void)gm_file_write(file, data, bytes); /* a failure is kept and returned by commit */
    return gm_file_commit(file);
}

/* "checkpoint.gmodel.1234-0.tmp" of a process 1234 that is gone. */
static bool is_stale(const char *name)
{
    const char *end = strrchr(name, '.'), *start = end;
    long process;
    int number, read = 0;
    if (!end || strcmp(end, ".tmp") != 0)
        return false;
    while (start > name && start[-1] != '.')
        start--;
    if (start <= name + 1 || sscanf(start, "%ld-%d%n", &process, &number, &read) != 2 || start + read != end)
        return false;
    return process > 0 && kill((pid_t)process, 0) != 0 && errno == ESRCH;
}

void gm_file_remove_stale(const char *directory)
{
    DIR *listing = opendir(directory);
    if (!listing)
        return;
    for (const struct dirent *entry = readdir(listing); entry; entry = readdir(listing))
        if (is_stale(entry->d_name))
            (void)unlinkat(dirfd(listing), entry->d_name, 0);
    (void)closedir(listing);
}

static gm_status make_directory(gm_context *context, const char *path)
{
    struct stat status;
    if (mkdir(path, 0777) == 0)
        return GM_OK;
    int error = errno;
    if (stat(path, &status) == 0) {
        if (S_ISDIR(status.st_mode))
            return GM_OK;
        error = ENOTDIR;
    }
    return gm_fail(context, GM_ERROR_FILE, "%s: cannot make the directory: %s", path, strerror(error));
}

gm_status gm_make_directories(gm_context *context, const char *path)
{
    char part[PATH_MAX];
    size_t length = path == NULL ? 0 : strlen(path);
    if (length == 0 || length >= sizeof part)
        return gm_fail(context, GM_ERROR_ARGUMENT, "the path of a directory to make is %s",
                       length == 0 ? "empty" : "too long");
    for (size_t i = 1; i < length; i++) {
        if (path[i] != '/' || path[i - 1] == '/')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        GM_TRY(make_directory(context, part));
    }
    return make_directory(context, path);
}
