/* Where everything lies: in-place merging, times of life, one arena. */
#include "runtime/arena.h"
#include "runtime/plan_internal.h"

#include <string.h>
#include <unistd.h>

static void touch(gm_plan *plan, uint32_t buffer, uint32_t instruction)
{
    gm_buffer *root = &plan->buffers[gm_plan_root(plan, buffer)];
    if (instruction < root->first)
        root->first = instruction;
    if (root->first == UINT32_MAX)
        root->first = instruction;
    if (root->last == UINT32_MAX || instruction > root->last)
        root->last = instruction;
}

static void find_lives(gm_plan *plan)
{
    for (size_t i = 0; i < plan->buffer_count; i++)
        plan->buffers[i].first = plan->buffers[i].last = UINT32_MAX;
    for (size_t k = 0; k < plan->instruction_count; k++) {
        const gm_instruction *instruction = &plan->instructions[k];
        for (size_t i = 0; i < instruction->in_count; i++)
            if (instruction->in[i] != GM_NO_BUFFER)
                touch(plan, instruction->in[i], (uint32_t)k);
        for (size_t i = 0; i < instruction->out_count; i++)
            if (instruction->out[i] != GM_NO_BUFFER)
                touch(plan, instruction->out[i], (uint32_t)k);
        if (instruction->scratch != GM_NO_BUFFER)
            touch(plan, instruction->scratch, (uint32_t)k);
    }
}

/* May output `out` take the memory of input `in`, which instruction k is the last to read? */
static bool can_share(const gm_plan *plan, const gm_instruction *instruction, size_t out, uint32_t k)
{
    int input = instruction->in_place[out];
    uint32_t in_root, out_root;
    if (input < 0 || instruction->out[out] == GM_NO_BUFFER || instruction->in[input] == GM_NO_BUFFER)
        return false;
    in_root = gm_plan_root(plan, instruction->in[input]);
    out_root = gm_plan_root(plan, instruction->out[out]);
    if (in_root == out_root || plan->buffers[in_root].place != GM_PLACE_ARENA ||
        plan->buffers[out_root].place != GM_PLACE_ARENA || plan->buffers[in_root].last != k ||
        plan->buffers[in_root].bytes != plan->buffers[out_root].bytes)
        return false;
    for (size_t i = 0; i < instruction->in_count;
         i++) /* the same memory under another input: the kernel knows one only */
        if ((int)i != input && instruction->in[i] != GM_NO_BUFFER &&
            gm_plan_root(plan, instruction->in[i]) == in_root && instruction->in[i] != instruction->in[input])
            return false;
    return true;
}

static void merge_in_place(gm_plan *plan)
{
    for (size_t k = 0; k < plan->instruction_count; k++) {
        const gm_instruction *instruction = &plan->instructions[k];
        for (size_t o = 0; o < instruction->out_count; o++) {
            uint32_t in_root, out_root;
            if (!can_share(plan, instruction, o, (uint32_t)k))
                continue;
            in_root = gm_plan_root(plan, instruction->in[instruction->in_place[o]]);
            out_root = gm_plan_root(plan, instruction->out[o]);
            plan->buffers[out_root].root = in_root;
            plan->buffers[in_root].last = plan->buffers[out_root].last;
        }
    }
}

/* Bytes of the machine's memory; 0 when it does not tell. */
static size_t machine_bytes(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? (size_t)pages * (size_t)page : 0;
}

/* Of inputs and outputs. Each fits into memory alone (gm_shape_fits), and so few of them cannot overflow the sum. */
static size_t fed_bytes(const gm_plan *plan)
{
    size_t bytes = 0;
    for (size_t i = 0; i < plan->buffer_count; i++)
        if (plan->buffers[i].root == i &&
            (plan->buffers[i].place == GM_PLACE_INPUT || plan->buffers[i].place == GM_PLACE_OUTPUT))
            bytes += plan->buffers[i].bytes;
    return bytes;
}

static gm_status place_arena(gm_plan *plan)
{
    gm_arena_record *records = gm_pool_array(plan->pool, plan->buffer_count + 1, sizeof *records);
    uint32_t *which = gm_pool_array(plan->pool, plan->buffer_count + 1, sizeof *which);
    size_t count = 0;
    if (!records || !which)
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < plan->buffer_count; i++) {
        const gm_buffer *buffer = &plan->buffers[i];
        if (buffer->root != i || buffer->place != GM_PLACE_ARENA || buffer->first == UINT32_MAX || !buffer->bytes)
            continue;
        records[count] = (gm_arena_record){.first = buffer->first, .last = buffer->last, .size = buffer->bytes};
        which[count++] = (uint32_t)i;
    }
    GM_TRY(gm_arena_place(plan->context, records, count, &plan->arena_bytes, &plan->max_alive_bytes));
    for (size_t i = 0; i < count; i++)
        plan->buffers[which[i]].offset = records[i].offset;
    if (machine_bytes() && plan->arena_bytes + fed_bytes(plan) > machine_bytes())
        return gm_fail(
            plan->context, GM_ERROR_MEMORY,
            "%s needs %zu bytes for intermediate values and %zu for inputs and results, but this machine has "
            "%zu; take a smaller batch",
            plan->graph->name, plan->arena_bytes, fed_bytes(plan), machine_bytes());
    if (plan->without_arena)
        return GM_OK;
    plan->arena = gm_alloc(plan->context, plan->arena_bytes + 1);
    if (!plan->arena)
        return gm_fail(plan->context, GM_ERROR_MEMORY,
                       "%s needs %zu bytes for intermediate values, which cannot be had", plan->graph->name,
                       plan->arena_bytes);
    return GM_OK;
}

gm_status gm_plan_place(gm_plan *plan)
{
    for (size_t k = 0; k < plan->instruction_count; k++) {
        gm_instruction *instruction = &plan->instructions[k];
        gm_buffer *buffer;
        if (!instruction->scratch_bytes)
            continue;
        if (!gm_pool_grow(plan->pool, (void **)&plan->buffers, &plan->buffer_capacity, plan->buffer_count + 1,
                          sizeof *plan->buffers))
            return GM_ERROR_MEMORY;
        buffer = &plan->buffers[plan->buffer_count];
        memset(buffer, 0, sizeof *buffer);
        buffer->root = instruction->scratch = (uint32_t)plan->buffer_count++;
        buffer->bytes = instruction->scratch_bytes;
    }
    find_lives(plan);
    merge_in_place(plan);
    GM_TRY(place_arena(plan));
    for (size_t i = 0; i < plan->buffer_count; i++) {
        gm_buffer *buffer = &plan->buffers[i];
        if (buffer->root != i || (buffer->place != GM_PLACE_INPUT && buffer->place != GM_PLACE_OUTPUT))
            continue;
        buffer->pointer = gm_alloc(plan->context, buffer->bytes);
        if (!buffer->pointer)
            return GM_ERROR_MEMORY;
    }
    return GM_OK;
}
