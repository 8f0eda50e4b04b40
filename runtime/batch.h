/* Batches: shuffled rows of one or more data sets, prepared one ahead by a thread of its own.
 *
 * The first set defines the epoch: floor(rows / batch) batches; the incomplete rest of an epoch is dropped. Each set's
 * rows are shuffled anew in every pass over it, by Fisher-Yates on a Philox draw keyed by seed XOR
 * gm_hash64("shuffle/<set name>") with the pass as its run. What batch (epoch, index) contains depends on nothing else,
 * so that a run can be continued anywhere. Further sets count batches through from the start of training: batch g =
 * epoch * length + index is batch g % l of pass g / l over a set of l batches. */
#ifndef GM_RUNTIME_BATCH_H
#define GM_RUNTIME_BATCH_H

#include "runtime/data.h"

typedef struct gm_batcher gm_batcher;

/* limit: only the first `limit` rows of each set; 0: all. Keeps the data sets' pointers, not the array. All memory is
 * allocated here. GM_ERROR_DATA: a set has fewer rows than one batch. */
gm_status gm_batcher_create(gm_context *context, const gm_dataset *const *datasets, size_t count, int64_t batch,
                            uint64_t seed, int64_t limit, gm_batcher **batcher_out);
void gm_batcher_destroy(gm_batcher *batcher); /* NULL is a no-op */

/* Fields of all sets in the order of the sets. */
size_t gm_batcher_field_count(const gm_batcher *batcher);
const gm_dataset_field *gm_batcher_field(const gm_batcher *batcher, size_t index); /* NULL: no such index */
const gm_dataset *gm_batcher_field_set(const gm_batcher *batcher, size_t index);   /* the set it is from */

int64_t gm_batcher_batch(const gm_batcher *batcher);        /* rows of one batch */
int64_t gm_batcher_epoch_length(const gm_batcher *batcher); /* batches of one epoch */

/* The next batch, then moves on (into the next epoch after the last one). (*fields_out)[i] is field i, 64-byte aligned,
 * valid until the next call of next, seek or destroy. */
gm_status gm_batcher_next(gm_batcher *batcher, const void *const **fields_out);
/* Position of the batch that the next call gives. */
void gm_batcher_position(const gm_batcher *batcher, int64_t *epoch_out, int64_t *index_out);
/* GM_ERROR_ARGUMENT: a negative epoch, or an index outside [0, epoch length]; the length itself means the next epoch.
 */
gm_status gm_batcher_seek(gm_batcher *batcher, int64_t epoch, int64_t index);

#endif
