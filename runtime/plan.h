/* From a graph to a flat list of instructions over one arena.
 *
 * gm_plan_create binds shapes, simplifies, fuses, chooses layouts, places every intermediate value and scratchpad in
 * one block of memory. After it nothing allocates: gm_plan_run walks the list. */
#ifndef GM_RUNTIME_PLAN_H
#define GM_RUNTIME_PLAN_H

#include "runtime/store.h"

typedef struct gm_plan gm_plan;

typedef struct gm_plan_options {
    int64_t batch;           /* value of the symbol N; 0: leave it (an error if the graph has it) */
    const gm_binding *sizes; /* of other symbols */
    size_t size_count;
    const char *const *fed; /* random draws that become inputs, by path */
    size_t fed_count;
    bool reference;
    bool without_arena;                  /* gm_plan_bind_arena gives one before the first run */
    bool expose_draws;                   /* random draws become outputs too, named "draw.<path>" */
    const gm_gradient_record *gradients; /* gradients whose L2 norms become outputs named "gradient.<state path>" */
    size_t gradient_count;
} gm_plan_options;

/* The graph is not changed. Parameters get layouts in `store`, which must outlive the plan. */
gm_status gm_plan_create(gm_context *context, const gm_graph *graph, gm_store *store, const gm_plan_options *options,
                         gm_plan **plan_out);
void gm_plan_destroy(gm_plan *plan); /* NULL is a no-op */

size_t gm_plan_input_count(const gm_plan *plan);
size_t gm_plan_output_count(const gm_plan *plan);
/* The memory the plan reads from or writes to: its own, unless bound. */
void gm_plan_input(const gm_plan *plan, size_t index, gm_tensor_view *view_out);
void gm_plan_output(const gm_plan *plan, size_t index, gm_tensor_view *view_out);
bool gm_plan_input_is_draw(const gm_plan *plan, size_t index);
/* index or -1 */
int64_t gm_plan_find_input(const gm_plan *plan, const char *name);
int64_t gm_plan_find_output(const gm_plan *plan, const char *name);
/* NULL goes back to the plan's own memory. */
void gm_plan_bind_input(gm_plan *plan, size_t index, const void *data);
void gm_plan_bind_output(gm_plan *plan, size_t index, void *data);

/* Memory of gm_plan_info.arena_bytes at least, 64-byte aligned; NULL: none. Nothing in it outlives a run, so that plans that do
 * not run at the same time may share it. Only for plans that were made without one. */
void gm_plan_bind_arena(gm_plan *plan, void *memory);

gm_status gm_plan_run(gm_plan *plan, uint64_t seed, uint64_t run, bool override_seeds);
/* The same for the examples row ... row + batch - 1 of many: random draws go on where those of the examples before ended,
 * so that the sizes of batches do not matter. */
gm_status gm_plan_run_rows(gm_plan *plan, uint64_t seed, uint64_t run, bool override_seeds, int64_t row, int64_t batch);

void gm_plan_info_of(const gm_plan *plan, gm_plan_info *info_out);
gm_status gm_plan_profile(gm_plan *plan, int mode); /* GM_PROFILE_... */
size_t gm_plan_profile_count(const gm_plan *plan);
bool gm_plan_profile_entry(const gm_plan *plan, size_t index, gm_profile_entry *entry_out);
/* Instructions with layouts, places in the arena and times of life: for `gmrun inspect --plan`. */
void gm_plan_print(const gm_plan *plan, gm_text *text);
/* The graph as planned (bound, simplified, fused). */
const gm_graph *gm_plan_graph(const gm_plan *plan);

#endif
