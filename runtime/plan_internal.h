/* Inside of a plan, shared by plan.c (lowering), plan_memory.c (placing) and plan_run.c (running, telling). */
#ifndef GM_RUNTIME_PLAN_INTERNAL_H
#define GM_RUNTIME_PLAN_INTERNAL_H

#include "graph/operator.h"
#include "runtime/plan.h"

typedef enum gm_place {
    GM_PLACE_ARENA,
    GM_PLACE_INPUT,    /* index: of the graph's inputs */
    GM_PLACE_OUTPUT,   /* index: of the graph's outputs */
    GM_PLACE_STATE,    /* index: of the program's state table */
    GM_PLACE_CONSTANT, /* pointer */
} gm_place;

/* One stretch of memory with one layout. Several values may share one (aliases, in-place results): `root` then leads to
 * the buffer that is placed. */
typedef struct gm_buffer {
    uint32_t root; /* itself when it is one */
    gm_place place;
    uint32_t index;
    void *pointer; /* own memory of inputs and outputs, constants' data */
    void *bound;   /* INPUT, OUTPUT: the caller's memory, or NULL */
    size_t bytes, offset;
    uint32_t first, last; /* instructions, inclusive */
    gm_layout layout;
    gm_value_id value;
} gm_buffer;

#define GM_NO_BUFFER UINT32_MAX

typedef struct gm_instruction {
    const char *name;        /* operator, or "reorder", "copy" */
    const gm_node *node;     /* NULL for reorders and copies */
    const char *formulation; /* of node->op->formulations; NULL: no name */
    gm_kernel kernel;
    uint32_t *in, *out; /* buffers; GM_NO_BUFFER: none */
    size_t in_count, out_count;
    int *in_place; /* per output: input, or -1 */
    void **in_pointers, **out_pointers;
    size_t scratch_bytes;
    uint32_t scratch;  /* buffer */
    const char *title; /* for a profile of instructions; NULL before one */
    double flops;      /* of one run; 0: not said */
    double seconds;
    uint64_t calls;
} gm_instruction;

typedef struct gm_profile_row {
    const char *name;
    double seconds, flops;
    uint64_t calls;
} gm_profile_row;

struct gm_plan {
    gm_context *context;
    gm_pool *pool;
    gm_graph *graph;
    gm_store *store;
    bool reference;
    gm_buffer *buffers;
    size_t buffer_count, buffer_capacity;
    gm_instruction *instructions;
    size_t instruction_count, instruction_capacity;
    uint32_t *value_buffer; /* value -> buffer in the layout its producer chose */
    uint32_t *input_buffer, *output_buffer;
    struct gm_reordered *reordered; /* (buffer, layout) -> buffer: reorders made so far */
    size_t reordered_count, reordered_capacity;
    unsigned char *arena;
    bool without_arena; /* it is the caller's */
    size_t arena_bytes, max_alive_bytes, reorders;
    bool stale;    /* pointers must be resolved before the next run */
    int profiling; /* GM_PROFILE_... */
    int profiled;  /* the last kind that was on */
    gm_profile_row *rows;
    size_t row_count;
};

uint32_t gm_plan_root(const gm_plan *plan, uint32_t buffer);
/* plan_memory.c: merges in-place results, finds times of life, places and allocates everything. */
gm_status gm_plan_place(gm_plan *plan);

#endif
