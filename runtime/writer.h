/* Files that a training run leaves, written beside its compute. */
#ifndef GM_RUNTIME_WRITER_H
#define GM_RUNTIME_WRITER_H

#include "graph/base.h"

typedef struct gm_writer gm_writer;
/* Writes one file, in whichever thread; a failure is told as everywhere, by status and message. */
typedef gm_status (*gm_write_file)(gm_context *context, const void *what);

/* Where the caller gave the context an allocator, which no thread but the caller's may call, files are written at once. */
gm_status gm_writer_create(gm_context *context, gm_writer **writer_out);
void gm_writer_destroy(gm_writer *writer); /* waits for the files; NULL is a no-op */

/* Takes over the pool, which holds `what` and all that it points to, also in failure. Files are written in the order in
 * which they come. Fails when an earlier file could not be written: what comes after that one is left out. */
gm_status gm_writer_add(gm_writer *writer, gm_pool *pool, gm_write_file write, const void *what);
/* Waits for all files; fails when one could not be written. */
gm_status gm_writer_finish(gm_writer *writer);

#endif
