/* Batches of shuffled rows, one prepared ahead by a thread (see runtime/batch.h for what a batch contains). */
#include "runtime/batch.h"

#include <stdio.h>
#include <string.h>

#include "ops/philox.h"
#include "runtime/worker.h"

/* A data set and the order of its rows in one pass. */
typedef struct shuffled {
    const gm_dataset *dataset;
    uint64_t key;
    int64_t rows, batches; /* used of the set; in one pass */
    int64_t pass;          /* that `order` is for; -1: none yet */
    int64_t *order;
    size_t first_field;
} shuffled;

/* One of the two buffers. */
typedef struct slot {
    void **fields;
    bool ready;
    int64_t epoch, index; /* of the batch it holds, when ready */
} slot;

struct gm_batcher {
    gm_context *context;
    shuffled *sets;
    size_t set_count, field_count;
    int64_t batch, length;
    int64_t epoch, index; /* of the batch that is given next */
    slot slots[2];
    int current;       /* slot that the caller reads */
    gm_worker *worker; /* owns the other slot and the orders while it has a job */
};

/* Fisher-Yates from the last row to the second; row i takes number i of the draw. */
static void shuffle(shuffled *set, int64_t pass)
{
    uint64_t held = UINT64_MAX;
    uint32_t words[4];
    for (int64_t i = 0; i < set->rows; i++)
        set->order[i] = i;
    for (int64_t i = set->rows - 1; i > 0; i--) {
        if ((uint64_t)i / 4 != held) {
            held = (uint64_t)i / 4;
            gm_philox(set->key, (uint64_t)pass, held, words);
        }
        int64_t other = (int64_t)((uint64_t)words[i % 4] * (uint64_t)(i + 1) >> 32);
        int64_t row = set->order[i];
        set->order[i] = set->order[other];
        set->order[other] = row;
    }
    set->pass = pass;
}

/* Fills a slot with batch `index` of `epoch`. Touches no context: it runs in the worker. */
static void prepare(gm_batcher *batcher, slot *into, int64_t epoch, int64_t index)
{
    for (size_t s = 0; s < batcher->set_count; s++) {
        shuffled *set = &batcher->sets[s];
        uint64_t global = (uint64_t)epoch * (uint64_t)batcher->length + (uint64_t)index;
        int64_t pass = s == 0 ? epoch : (int64_t)(global / (uint64_t)set->batches);
        int64_t at = s == 0 ? index : (int64_t)(global % (uint64_t)set->batches);
        if (set->pass != pass)
            shuffle(set, pass);
        gm_dataset_gather(set->dataset, set->order + at * batcher->batch, (size_t)batcher->batch,
                          into->fields + set->first_field);
    }
    into->epoch = epoch;
    into->index = index;
    into->ready = true;
}

/* In the worker. */
static void prepare_other(void *argument)
{
    gm_batcher *batcher = argument;
    prepare(batcher, &batcher->slots[1 - batcher->current], batcher->epoch, batcher->index);
}

/* --- Creation
 * ---------------------------------------------------------------------------------------------------------- */

static gm_status add_set(gm_batcher *batcher, const gm_dataset *dataset, uint64_t seed, int64_t limit, shuffled *set)
{
    int64_t rows = gm_dataset_row_count(dataset);
    rows = limit > 0 && limit < rows ? limit : rows;
    if (rows < batcher->batch || rows > INT64_C(0xffffffff))
        return gm_fail(batcher->context, GM_ERROR_DATA,
                       "data '%s' has %lld rows%s, expected at least one batch of %lld", gm_dataset_name(dataset),
                       (long long)rows, limit > 0 ? " (limited)" : "", (long long)batcher->batch);
    char name[512];
    (void)snprintf(name, sizeof name, "shuffle/%s", gm_dataset_name(dataset));
    set->dataset = dataset;
    set->key = seed ^ gm_hash64(name);
    set->rows = rows;
    set->batches = rows / batcher->batch;
    set->pass = -1;
    set->first_field = batcher->field_count;
    batcher->field_count += gm_dataset_field_count(dataset);
    set->order = gm_alloc_array(batcher->context, (size_t)rows, sizeof *set->order);
    return set->order != NULL ? GM_OK : GM_ERROR_MEMORY;
}

static gm_status allocate_slots(gm_batcher *batcher)
{
    for (int s = 0; s < 2; s++) {
        batcher->slots[s].fields = gm_alloc_array(batcher->context, batcher->field_count, sizeof(void *));
        if (batcher->slots[s].fields == NULL)
            return GM_ERROR_MEMORY;
        for (size_t i = 0; i < batcher->field_count; i++) {
            size_t row_bytes = gm_batcher_field(batcher, i)->row_bytes;
            batcher->slots[s].fields[i] = gm_alloc_array(batcher->context, (size_t)batcher->batch, row_bytes);
            if (batcher->slots[s].fields[i] == NULL)
                return GM_ERROR_MEMORY;
        }
    }
    return GM_OK;
}

static gm_status fill(gm_batcher *batcher, const gm_dataset *const *datasets, size_t count, uint64_t seed,
                      int64_t limit)
{
    batcher->sets = gm_alloc_array(batcher->context, count, sizeof *batcher->sets);
    if (batcher->sets == NULL)
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < count; i++) {
        batcher->set_count++; /* first, so that a failure frees what there is */
        GM_TRY(add_set(batcher, datasets[i], seed, limit, &batcher->sets[i]));
    }
    batcher->length = batcher->sets[0].batches;
    return allocate_slots(batcher);
}

gm_status gm_batcher_create(gm_context *context, const gm_dataset *const *datasets, size_t count, int64_t batch,
                            uint64_t seed, int64_t limit, gm_batcher **batcher_out)
{
    if (count == 0 || batch < 1)
        return gm_fail(context, GM_ERROR_ARGUMENT,
                       "a batcher needs a data set and a batch of at least 1, found %zu and %lld", count,
                       (long long)batch);
    gm_batcher *batcher = gm_alloc(context, sizeof *batcher);
    if (batcher == NULL)
        return GM_ERROR_MEMORY;
    batcher->context = context;
    batcher->batch = batch;
    gm_status status = fill(batcher, datasets, count, seed, limit);
    if (status == GM_OK)
        status = gm_worker_create(context, &batcher->worker);
    if (status != GM_OK) {
        gm_batcher_destroy(batcher);
        return status;
    }
    *batcher_out = batcher;
    return GM_OK;
}

void gm_batcher_destroy(gm_batcher *batcher)
{
    if (batcher == NULL)
        return;
    gm_worker_destroy(batcher->worker);
    for (int s = 0; s < 2; s++) {
        for (size_t i = 0; batcher->slots[s].fields != NULL && i < batcher->field_count; i++)
            gm_free(batcher->context, batcher->slots[s].fields[i]);
        gm_free(batcher->context, batcher->slots[s].fields);
    }
    for (size_t i = 0; i < batcher->set_count; i++)
        gm_free(batcher->context, batcher->sets[i].order);
    gm_free(batcher->context, batcher->sets);
    gm_free(batcher->context, batcher);
}

/* --- Use
 * ---------------------------------------------------------------------------------------------------------------- */

static const shuffled *set_of(const gm_batcher *batcher, size_t field)
{
    size_t s = batcher->set_count;
    while (s > 0 && field < batcher->field_count)
        if (batcher->sets[--s].first_field <= field)
            return &batcher->sets[s];
    return NULL;
}

size_t gm_batcher_field_count(const gm_batcher *batcher)
{
    return batcher->field_count;
}

const gm_dataset_field *gm_batcher_field(const gm_batcher *batcher, size_t index)
{
    const shuffled *set = set_of(batcher, index);
    return set != NULL ? gm_dataset_field_at(set->dataset, index - set->first_field) : NULL;
}

const gm_dataset *gm_batcher_field_set(const gm_batcher *batcher, size_t index)
{
    const shuffled *set = set_of(batcher, index);
    return set != NULL ? set->dataset : NULL;
}

int64_t gm_batcher_batch(const gm_batcher *batcher)
{
    return batcher->batch;
}

int64_t gm_batcher_epoch_length(const gm_batcher *batcher)
{
    return batcher->length;
}

void gm_batcher_position(const gm_batcher *batcher, int64_t *epoch_out, int64_t *index_out)
{
    *epoch_out = batcher->epoch;
    *index_out = batcher->index;
}

gm_status gm_batcher_next(gm_batcher *batcher, const void *const **fields_out)
{
    gm_worker_wait(batcher->worker);
    slot *other = &batcher->slots[1 - batcher->current];
    if (!other->ready || other->epoch != batcher->epoch || other->index != batcher->index)
        prepare(batcher, other, batcher->epoch, batcher->index);
    batcher->current = 1 - batcher->current;
    batcher->slots[1 - batcher->current].ready = false;
    if (++batcher->index == batcher->length) {
        batcher->index = 0;
        batcher->epoch++;
    }
    *fields_out = (const void *const *)other->fields;
    gm_worker_add(batcher->worker, prepare_other, batcher);
    return GM_OK;
}

gm_status gm_batcher_seek(gm_batcher *batcher, int64_t epoch, int64_t index)
{
    if (epoch < 0 || epoch > INT64_MAX / batcher->length - 1 || index < 0 || index > batcher->length)
        return gm_fail(batcher->context, GM_ERROR_ARGUMENT,
                       "position of the data: epoch %lld, batch %lld, expected a batch of 0 to %lld", (long long)epoch,
                       (long long)index, (long long)batcher->length);
    gm_worker_wait(batcher->worker);
    batcher->epoch = index == batcher->length ? epoch + 1 : epoch;
    batcher->index = index == batcher->length ? 0 : index;
    return GM_OK;
}
