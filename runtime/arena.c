/* Placing records in one arena.
 *
 * Greedy placement goes through the records in some order and puts each into a gap between those already placed that
 * are alive at the same time: the lowest that fits, or the smallest (Pisarchyk and Lee, "Efficient memory management
 * for deep neural net inference", 2020). No order is best for every graph, so several are tried, and the best one is
 * improved by a seeded local search of fixed length: what sticks out at the top is placed earlier. It ends at once
 * where the bytes alive at the same time, a lower bound, are reached. */
#include "runtime/arena.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_ALIGNMENT 64
#define NOWHERE           SIZE_MAX
#define SEARCH_CHECKS     20000000 /* pairs of records looked at by the local search, some 30 ms */
#define SEARCH_ROUNDS     4000
#define MAX_ORDER_CHECKS  400000000 /* after so many, no further order is tried */

typedef struct sort_key {
    double major, minor; /* larger first */
    size_t index;        /* then smaller first */
} sort_key;

typedef struct arena {
    const gm_arena_record *records;
    size_t count;
    size_t *order; /* records in order of placement */
    size_t *best_order;
    size_t *placed;  /* records placed so far, by offset */
    size_t *offsets; /* of this placement */
    size_t *best;    /* of the best one */
    sort_key *keys;
    size_t best_total;
    bool best_smallest_gap;
    size_t lower_bound; /* of any placement, with sizes rounded up to alignment */
    uint64_t checks;
} arena;

static size_t alignment_of(const gm_arena_record *record)
{
    return record->alignment ? record->alignment : DEFAULT_ALIGNMENT;
}

/* NOWHERE when it does not fit into size_t. */
static size_t align_up(size_t offset, size_t alignment)
{
    return offset > SIZE_MAX - (alignment - 1) ? NOWHERE : (offset + alignment - 1) & ~(alignment - 1);
}

static int compare_keys(const void *left, const void *right)
{
    const sort_key *a = left, *b = right;
    if (a->major != b->major)
        return a->major > b->major ? -1 : 1;
    if (a->minor != b->minor)
        return a->minor > b->minor ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

/* --- Bytes alive at one time --------------------------------------------------------------------------------------- */

typedef struct event {
    size_t time, size;
} event;

static int compare_events(const void *left, const void *right)
{
    const event *a = left, *b = right;
    return a->time < b->time ? -1 : a->time > b->time;
}

/* The largest sum is reached when some record begins. Sizes are rounded up to `unit`. False: the sum overflows. */
static bool max_alive(const gm_arena_record *records, size_t count, size_t unit, event *events, size_t *max_out)
{
    event *begins = events, *ends = events + count;
    size_t alive = 0, ended = 0;
    *max_out = 0;
    for (size_t i = 0; i < count; i++) {
        size_t size = align_up(records[i].size, unit);
        if (size == NOWHERE)
            return false;
        begins[i] = (event){records[i].first, size};
        ends[i] = (event){records[i].last, size};
    }
    qsort(begins, count, sizeof *begins, compare_events);
    qsort(ends, count, sizeof *ends, compare_events);
    for (size_t i = 0; i < count; i++) {
        for (; ended < count && ends[ended].time < begins[i].time; ended++)
            alive -= ends[ended].size;
        if (begins[i].size > SIZE_MAX - alive)
            return false;
        alive += begins[i].size;
        if (alive > *max_out)
            *max_out = alive;
    }
    return true;
}

/* --- Greedy placement ---------------------------------------------------------------------------------------------- */

/* The offset for one record among those placed; NOWHERE on overflow. */
static size_t find_gap(arena *a, const gm_arena_record *record, size_t placed, bool smallest)
{
    size_t alignment = alignment_of(record), free_from = 0, found = NOWHERE, found_gap = SIZE_MAX;
    a->checks += placed;
    for (size_t i = 0; i < placed; i++) {
        const gm_arena_record *other = &a->records[a->placed[i]];
        size_t start = a->offsets[a->placed[i]], at;
        if (other->last < record->first || other->first > record->last)
            continue;
        if (start > free_from && (at = align_up(free_from, alignment)) < start && start - at >= record->size &&
            start - at < found_gap) {
            found = at;
            found_gap = start - at;
            if (!smallest)
                return found;
        }
        if (start + other->size > free_from)
            free_from = start + other->size;
    }
    return found != NOWHERE ? found : align_up(free_from, alignment);
}

/* Places all records in a->order. Returns the total, or NOWHERE as soon as it exceeds `limit`. */
static size_t place(arena *a, bool smallest, size_t limit)
{
    size_t total = 0;
    for (size_t n = 0; n < a->count; n++) {
        size_t index = a->order[n], low = 0, high = n;
        const gm_arena_record *record = &a->records[index];
        size_t offset = find_gap(a, record, n, smallest);
        if (offset == NOWHERE || record->size > SIZE_MAX - offset || offset + record->size > limit)
            return NOWHERE;
        a->offsets[index] = offset;
        if (offset + record->size > total)
            total = offset + record->size;
        while (low < high) {
            size_t middle = low + (high - low) / 2;
            if (a->offsets[a->placed[middle]] <= offset)
                low = middle + 1;
            else
                high = middle;
        }
        memmove(&a->placed[low + 1], &a->placed[low], (n - low) * sizeof *a->placed);
        a->placed[low] = index;
    }
    return total;
}

/* Keeps the placement of a->order when it is not worse than the best so far; true then. */
static bool try_order(arena *a, bool smallest)
{
    size_t total = place(a, smallest, a->best_total);
    if (total == NOWHERE)
        return false;
    a->best_total = total;
    a->best_smallest_gap = smallest;
    memcpy(a->best, a->offsets, a->count * sizeof *a->best);
    memcpy(a->best_order, a->order, a->count * sizeof *a->order);
    return true;
}

/* --- Orders -------------------------------------------------------------------------------------------------------- */

static double lifetime(const gm_arena_record *record)
{
    return (double)(record->last - record->first) + 1.0;
}

static sort_key by_size(const gm_arena_record *r)
{
    return (sort_key){.major = (double)r->size, .minor = lifetime(r)};
}

static sort_key by_area(const gm_arena_record *r)
{
    return (sort_key){.major = (double)r->size * lifetime(r), .minor = (double)r->size};
}

static sort_key by_lifetime(const gm_arena_record *r)
{
    return (sort_key){.major = lifetime(r), .minor = (double)r->size};
}

static sort_key by_first_use(const gm_arena_record *r)
{
    return (sort_key){.major = -(double)r->first, .minor = (double)r->size};
}

static sort_key by_last_use(const gm_arena_record *r)
{
    return (sort_key){.major = (double)r->last, .minor = (double)r->size};
}

static sort_key (*const orders[])(const gm_arena_record *) = {by_size, by_area, by_lifetime, by_first_use, by_last_use};

static void sort_order(arena *a, sort_key (*key)(const gm_arena_record *))
{
    for (size_t i = 0; i < a->count; i++) {
        a->keys[i] = key(&a->records[i]);
        a->keys[i].index = i;
    }
    qsort(a->keys, a->count, sizeof *a->keys, compare_keys);
    for (size_t i = 0; i < a->count; i++)
        a->order[i] = a->keys[i].index;
}

static void try_orders(arena *a)
{
    for (size_t i = 0; i < GM_COUNT(orders); i++)
        for (int smallest = 0; smallest < 2; smallest++) {
            if (a->best_total <= a->lower_bound || (i > 0 && a->checks > MAX_ORDER_CHECKS))
                return;
            sort_order(a, orders[i]);
            try_order(a, smallest != 0);
        }
}

/* --- Local search -------------------------------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

static void move_earlier(size_t *order, size_t from, size_t to)
{
    size_t moved = order[from];
    memmove(&order[to + 1], &order[to], (from - to) * sizeof *order);
    order[to] = moved;
}

/* Moves a record that ends at the very top, or (one time in four) any other, to an earlier place in the order. */
static void change_order(arena *a, uint64_t *random)
{
    size_t position = a->count, start = next_random(random) % a->count;
    memcpy(a->order, a->best_order, a->count * sizeof *a->order);
    if (next_random(random) % 4 == 0)
        position = start;
    for (size_t i = 0; i < a->count && position == a->count; i++) {
        size_t candidate = (start + i) % a->count, index = a->order[candidate];
        if (a->best[index] + a->records[index].size == a->best_total && candidate > 0)
            position = candidate;
    }
    if (position > 0 && position < a->count)
        move_earlier(a->order, position, next_random(random) % position);
}

static void search(arena *a)
{
    uint64_t random = 1, end = a->checks + SEARCH_CHECKS;
    for (int i = 0; i < SEARCH_ROUNDS && a->checks < end && a->best_total > a->lower_bound; i++) {
        change_order(a, &random);
        try_order(a, i % 8 == 7 ? !a->best_smallest_gap : a->best_smallest_gap);
    }
}

/* -----------------------------------------------------------------------------------------------------------------------
 */

static gm_status check_records(gm_context *context, const gm_arena_record *records, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (records[i].first > records[i].last)
            return gm_fail(context, GM_ERROR_ARGUMENT, "arena record %zu ends (%zu) before it begins (%zu)", i,
                           records[i].last, records[i].first);
        if (records[i].alignment & (records[i].alignment - 1))
            return gm_fail(context, GM_ERROR_ARGUMENT, "arena record %zu: alignment %zu is not a power of two", i,
                           records[i].alignment);
    }
    return GM_OK;
}

/* One block for all working arrays; NULL: no memory. `kept` receives the records that take room. */
static void *prepare(gm_context *context, arena *a, size_t count, gm_arena_record **kept, event **events)
{
    const size_t each = sizeof(gm_arena_record) + sizeof(sort_key) + 2 * sizeof(event) + 5 * sizeof(size_t);
    unsigned char *memory = gm_alloc_array(context, count, each);
    if (!memory)
        return NULL;
    *kept = (gm_arena_record *)memory;
    a->keys = (sort_key *)(*kept + count);
    *events = (event *)(a->keys + count);
    a->order = (size_t *)(*events + 2 * count);
    a->best_order = a->order + count;
    a->placed = a->best_order + count;
    a->offsets = a->placed + count;
    a->best = a->offsets + count;
    a->records = *kept;
    a->best_total = NOWHERE - 1;
    return memory;
}

static gm_status solve(gm_context *context, arena *a, event *events, size_t *max_alive_out)
{
    size_t unit = a->count ? SIZE_MAX / 2 + 1 : 1;
    for (size_t i = 0; i < a->count; i++)
        if (alignment_of(&a->records[i]) < unit)
            unit = alignment_of(&a->records[i]);
    if (!max_alive(a->records, a->count, 1, events, max_alive_out))
        return gm_fail(context, GM_ERROR_MEMORY, "the memory plan does not fit into the address space");
    if (!max_alive(a->records, a->count, unit, events, &a->lower_bound))
        a->lower_bound = *max_alive_out;
    try_orders(a);
    if (a->best_total == NOWHERE - 1)
        return gm_fail(context, GM_ERROR_MEMORY, "the memory plan does not fit into the address space");
    search(a);
    return GM_OK;
}

gm_status gm_arena_place(gm_context *context, gm_arena_record *records, size_t count, size_t *total_out,
                         size_t *max_alive_out)
{
    arena a = {0};
    gm_arena_record *kept;
    event *events;
    size_t alive = 0, next = 0;
    gm_status status;
    void *memory;
    GM_TRY(check_records(context, records, count));
    memory = prepare(context, &a, count, &kept, &events);
    if (!memory)
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < count; i++)
        if (records[i].size > 0)
            kept[a.count++] = records[i];
    status = a.count ? solve(context, &a, events, &alive) : GM_OK;
    if (status == GM_OK) {
        for (size_t i = 0; i < count; i++)
            records[i].offset = records[i].size > 0 ? a.best[next++] : 0;
        *total_out = a.count ? a.best_total : 0;
        *max_alive_out = alive;
    }
    gm_free(context, memory);
    return status;
}
