/* Writing files whole or not at all: into a temporary file beside the target, then flush, rename, flush the directory.
 * A reader sees the old contents or the new, never half of them; after a failure the old file stays and the temporary
 * one is gone. */
#ifndef GM_RUNTIME_FILE_H
#define GM_RUNTIME_FILE_H

#include "graph/base.h"

typedef struct gm_file gm_file;

/* Opens a temporary file for `path`, whose directory must exist. An existing target must be a regular file. */
gm_status gm_file_create(gm_context *context, const char *path, gm_file **file_out);
/* Adds bytes. After a failure every later call returns the same status without a new message. */
gm_status gm_file_write(gm_file *file, const void *data, size_t bytes);
/* Makes the file visible under its name (or removes what was written, when a write failed) and destroys `file`. */
gm_status gm_file_commit(gm_file *file);
/* Removes what was written and destroys `file`; NULL is a no-op. */
void gm_file_abandon(gm_file *file);

/* All three in one. */
gm_status gm_file_replace(gm_context *context, const char *path, const void *data, size_t bytes);

/* Removes temporary files in a directory that processes which are gone left there. */
void gm_file_remove_stale(const char *directory);

/* Makes a directory and its missing parents; one that exists already is fine. */
gm_status gm_make_directories(gm_context *context, const char *path);

#endif
