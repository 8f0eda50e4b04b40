/* Files that are written by a thread of their own. */
#include "runtime/writer.h"

#include <stdatomic.h>
#include <string.h>

#include "runtime/worker.h"

struct gm_writer {
    gm_context *context;
    gm_worker *worker;
    atomic_int status;              /* of the first file that failed, after the message has been written */
    char message[GM_MESSAGE_BYTES]; /* of that failure: the one of the context is the other thread's */
};

typedef struct written {
    gm_writer *writer;
    gm_pool *pool; /* holds this too */
    gm_write_file write;
    const void *what;
} written;

gm_status gm_writer_create(gm_context *context, gm_writer **writer_out)
{
    gm_writer *writer = gm_alloc(context, sizeof *writer);
    if (writer == NULL)
        return GM_ERROR_MEMORY;
    writer->context = context;
    atomic_init(&writer->status, GM_OK);
    gm_status status = context->own_memory ? GM_OK : gm_worker_create(context, &writer->worker);
    if (status != GM_OK) {
        gm_free(context, writer);
        return status;
    }
    *writer_out = writer;
    return GM_OK;
}

void gm_writer_destroy(gm_writer *writer)
{
    if (writer == NULL)
        return;
    gm_worker_destroy(writer->worker);
    gm_free(writer->context, writer);
}

static void write_file(void *argument)
{
    written *file = argument;
    gm_writer *writer = file->writer;
    if (atomic_load(&writer->status) == GM_OK) {
        gm_status status = file->write(writer->context, file->what);
        if (status != GM_OK) {
            const char *message = gm_context_message(writer->context);
            size_t length = strlen(message);
            memcpy(writer->message, message, length < GM_MESSAGE_BYTES ? length + 1 : GM_MESSAGE_BYTES);
            atomic_store(&writer->status, (int)status);
        }
    }
    gm_pool_destroy(file->pool);
}

static gm_status failure(const gm_writer *writer)
{
    gm_status status = (gm_status)atomic_load(&writer->status);
    return status == GM_OK ? GM_OK : gm_fail(writer->context, status, "%s", writer->message);
}

gm_status gm_writer_add(gm_writer *writer, gm_pool *pool, gm_write_file write, const void *what)
{
    written *file = gm_pool_alloc(pool, sizeof *file);
    gm_status status = file != NULL ? failure(writer) : GM_ERROR_MEMORY;
    if (status != GM_OK) {
        gm_pool_destroy(pool);
        return status;
    }
    *file = (written){writer, pool, write, what};
    gm_worker_add(writer->worker, write_file, file);
    return writer->worker != NULL ? GM_OK : failure(writer);
}

gm_status gm_writer_finish(gm_writer *writer)
{
    gm_worker_wait(writer->worker);
    return failure(writer);
}
