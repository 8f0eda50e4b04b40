/* Running a plan, and telling about it. */
#include "runtime/plan_internal.h"

#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

/* --- Pointers
 * ------------------------------------------------------------------------------------------------------------ */

static void *pointer_of(const gm_plan *plan, uint32_t id)
{
    const gm_buffer *buffer;
    if (id == GM_NO_BUFFER)
        return NULL;
    buffer = &plan->buffers[gm_plan_root(plan, id)];
    switch (buffer->place) {
    case GM_PLACE_ARENA:
        return plan->arena + buffer->offset;
    case GM_PLACE_STATE:
        return plan->store->entries[buffer->index].data;
    default:
        return buffer->bound ? buffer->bound : buffer->pointer;
    }
}

static void resolve(gm_plan *plan)
{
    for (size_t k = 0; k < plan->instruction_count; k++) {
        gm_instruction *instruction = &plan->instructions[k];
        for (size_t i = 0; i < instruction->in_count; i++)
            instruction->in_pointers[i] = pointer_of(plan, instruction->in[i]);
        for (size_t i = 0; i < instruction->out_count; i++)
            instruction->out_pointers[i] = pointer_of(plan, instruction->out[i]);
    }
    plan->stale = false;
}

size_t gm_plan_input_count(const gm_plan *plan)
{
    return plan->graph->input_count;
}

size_t gm_plan_output_count(const gm_plan *plan)
{
    return plan->graph->output_count;
}

static void view(const gm_plan *plan, const char *name, gm_value_id id, uint32_t buffer, gm_tensor_view *view_out)
{
    const gm_value *value = gm_value_of(plan->graph, id);
    memset(view_out, 0, sizeof *view_out);
    view_out->name = name;
    view_out->type = value->type;
    view_out->rank = value->rank;
    for (int i = 0; i < value->rank; i++)
        view_out->dims[i] = value->dims[i];
    view_out->bytes = plan->buffers[buffer].bytes;
    view_out->data = pointer_of(plan, buffer);
}

void gm_plan_input(const gm_plan *plan, size_t index, gm_tensor_view *view_out)
{
    view(plan, plan->graph->inputs[index].name, plan->graph->inputs[index].value, plan->input_buffer[index], view_out);
}

void gm_plan_output(const gm_plan *plan, size_t index, gm_tensor_view *view_out)
{
    view(plan, plan->graph->outputs[index].name, plan->graph->outputs[index].value, plan->output_buffer[index],
         view_out);
}

bool gm_plan_input_is_draw(const gm_plan *plan, size_t index)
{
    return plan->graph->inputs[index].is_draw;
}

int64_t gm_plan_find_input(const gm_plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->graph->input_count; i++)
        if (strcmp(plan->graph->inputs[i].name, name) == 0)
            return (int64_t)i;
    return -1;
}

int64_t gm_plan_find_output(const gm_plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->graph->output_count; i++)
        if (strcmp(plan->graph->outputs[i].name, name) == 0)
            return (int64_t)i;
    return -1;
}

static void bind(gm_plan *plan, uint32_t buffer, void *data)
{
    gm_buffer *root = &plan->buffers[gm_plan_root(plan, buffer)];
    if (root->bound != data) {
        root->bound = data;
        plan->stale = true;
    }
}

void gm_plan_bind_input(gm_plan *plan, size_t index, const void *data)
{
    bind(plan, plan->input_buffer[index], (void *)(uintptr_t)data); /* inputs are only read */
}

void gm_plan_bind_output(gm_plan *plan, size_t index, void *data)
{
    bind(plan, plan->output_buffer[index], data);
}

void gm_plan_bind_arena(gm_plan *plan, void *memory)
{
    plan->arena = memory;
    plan->stale = true;
}

/* --- Running
 * ------------------------------------------------------------------------------------------------------------- */

static gm_status run_instructions(gm_plan *plan, gm_kernel_arguments *arguments)
{
    for (size_t k = 0; k < plan->instruction_count; k++) {
        gm_instruction *instruction = &plan->instructions[k];
        double start = plan->profiling ? gm_now() : 0;
        gm_status status;
        arguments->in = instruction->in_pointers;
        arguments->out = instruction->out_pointers;
        arguments->scratch = pointer_of(plan, instruction->scratch);
        status = instruction->kernel.run(instruction->kernel.state, arguments);
        if (status != GM_OK) {
            if (!gm_report_of(plan->context)->length)
                gm_fail(plan->context, status, "node '%s' (%s) failed",
                        instruction->node ? instruction->node->path : "", instruction->name);
            return status;
        }
        if (plan->profiling) {
            instruction->seconds += gm_now() - start;
            instruction->calls++;
        }
    }
    return GM_OK;
}

gm_status gm_plan_run(gm_plan *plan, uint64_t seed, uint64_t run, bool override_seeds)
{
    return gm_plan_run_rows(plan, seed, run, override_seeds, 0, 1);
}

gm_status gm_plan_run_rows(gm_plan *plan, uint64_t seed, uint64_t run, bool override_seeds, int64_t row, int64_t batch)
{
    gm_kernel_arguments arguments = {.seed = seed,
                                     .run = run,
                                     .threads = plan->context->options.threads,
                                     .override_seeds = override_seeds,
                                     .row = row,
                                     .batch = batch};
    gm_status status;
    if (!plan->arena && plan->arena_bytes)
        return gm_fail(plan->context, GM_ERROR_ARGUMENT, "%s has no arena: it needs %zu bytes", plan->graph->name,
                       plan->arena_bytes);
    if (plan->stale)
        resolve(plan);
#ifdef _OPENMP
    int threads = omp_get_max_threads();
    omp_set_num_threads(arguments.threads);
    status = run_instructions(plan, &arguments);
    omp_set_num_threads(threads);
#else
    status = run_instructions(plan, &arguments);
#endif
    return status;
}

/* --- Telling
 * ------------------------------------------------------------------------------------------------------------- */

const gm_graph *gm_plan_graph(const gm_plan *plan)
{
    return plan->graph;
}

void gm_plan_info_of(const gm_plan *plan, gm_plan_info *info_out)
{
    memset(info_out, 0, sizeof *info_out);
    info_out->arena_bytes = plan->arena_bytes;
    info_out->max_alive_bytes = plan->max_alive_bytes;
    info_out->state_bytes = plan->store->bytes;
    info_out->instructions = plan->instruction_count;
    info_out->reorders = plan->reorders;
}

/* "Conv step/h1.Conv2d by winograd float[256, 64, 14, 14] float[128, 64, 5, 5] -> float[256, 128, 7, 7]" */
static const char *instruction_title(const gm_plan *plan, const gm_instruction *instruction)
{
    const char *title;
    gm_text text;
    gm_text_init(&text, plan->context);
    gm_text_add(&text, "%s %s", instruction->name,
                instruction->node && instruction->node->path ? instruction->node->path : "");
    if (instruction->formulation)
        gm_text_add(&text, " by %s", instruction->formulation);
    for (size_t i = 0; i < instruction->in_count + instruction->out_count; i++) {
        bool out = i >= instruction->in_count;
        uint32_t id = out ? instruction->out[i - instruction->in_count] : instruction->in[i];
        char shape[160];
        if (i == instruction->in_count)
            gm_text_add(&text, " ->");
        if (id != GM_NO_BUFFER && plan->buffers[id].value)
            gm_text_add(&text, " %s", gm_shape_text(plan->graph, plan->buffers[id].value, shape, sizeof shape));
    }
    title = text.failed ? NULL : gm_pool_printf(plan->pool, "%s", text.data);
    gm_text_destroy(&text);
    return title;
}

gm_status gm_plan_profile(gm_plan *plan, int mode)
{
    if (!plan->rows) {
        plan->rows = gm_pool_array(plan->pool, plan->instruction_count + 1, sizeof *plan->rows);
        if (!plan->rows)
            return GM_ERROR_MEMORY;
    }
    if (mode != GM_PROFILE_OFF)
        for (size_t k = 0; k < plan->instruction_count; k++) {
            plan->instructions[k].seconds = 0;
            plan->instructions[k].calls = 0;
        }
    if (mode == GM_PROFILE_INSTRUCTIONS)
        for (size_t k = 0; k < plan->instruction_count; k++)
            if (!plan->instructions[k].title &&
                !(plan->instructions[k].title = instruction_title(plan, &plan->instructions[k])))
                return GM_ERROR_MEMORY;
    if (mode != GM_PROFILE_OFF)
        plan->profiled = mode;
    plan->profiling = mode;
    plan->row_count = 0;
    return GM_OK;
}

size_t gm_plan_profile_count(const gm_plan *plan_in)
{
    gm_plan *plan = (gm_plan *)(uintptr_t)plan_in; /* the rows are a cache */
    if (!plan->rows)
        return 0;
    plan->row_count = 0;
    for (size_t k = 0; k < plan->instruction_count; k++) {
        const gm_instruction *instruction = &plan->instructions[k];
        bool each = plan->profiled == GM_PROFILE_INSTRUCTIONS;
        size_t r = each ? plan->row_count : 0;
        if (!instruction->calls)
            continue;
        while (r < plan->row_count && strcmp(plan->rows[r].name, instruction->name) != 0)
            r++;
        if (r == plan->row_count)
            plan->rows[plan->row_count++] = (gm_profile_row){.name = each ? instruction->title : instruction->name};
        plan->rows[r].seconds += instruction->seconds;
        plan->rows[r].flops += instruction->flops * (double)instruction->calls;
        plan->rows[r].calls += instruction->calls;
    }
    for (size_t i = 1; i < plan->row_count; i++) /* largest first */
        for (size_t k = i; k > 0 && plan->rows[k].seconds > plan->rows[k - 1].seconds; k--) {
            gm_profile_row row = plan->rows[k];
            plan->rows[k] = plan->rows[k - 1];
            plan->rows[k - 1] = row;
        }
    return plan->row_count;
}

bool gm_plan_profile_entry(const gm_plan *plan, size_t index, gm_profile_entry *entry_out)
{
    const gm_profile_row *row;
    if (index >= plan->row_count)
        return false;
    row = &plan->rows[index];
    *entry_out = (gm_profile_entry){row->name, row->seconds * 1e3, row->calls, row->flops};
    return true;
}

static const char *place_name(gm_place place)
{
    static const char *const names[] = {"arena", "input", "output", "state", "constant"};
    return names[place];
}

static void print_buffer(const gm_plan *plan, uint32_t id, const char *role, gm_text *text)
{
    char shape[160];
    const gm_buffer *buffer, *root;
    if (id == GM_NO_BUFFER)
        return;
    buffer = &plan->buffers[id];
    root = &plan->buffers[gm_plan_root(plan, id)];
    if (buffer->value)
        gm_text_add(text, "    %-8s%s %s", role, gm_value_of(plan->graph, buffer->value)->name,
                    gm_shape_text(plan->graph, buffer->value, shape, sizeof shape));
    else
        gm_text_add(text, "    %-8s", role);
    if (buffer->value)
        gm_text_add(text, ", %s",
                    gm_layout_name(buffer->place == GM_PLACE_STATE && buffer->root == id
                                       ? plan->store->entries[buffer->index].layout
                                       : buffer->layout));
    if (buffer->value)
        gm_text_add(text, ", ");
    if (root->place == GM_PLACE_ARENA)
        gm_text_add(text, "arena %zu..%zu, alive %u..%u\n", root->offset, root->offset + root->bytes, root->first,
                    root->last);
    else
        gm_text_add(text, "%s, %zu bytes\n", place_name(root->place), root->bytes);
}

static void print_title(const gm_instruction *instruction, gm_text *text)
{
    gm_text_add(text, "%s%s%s%s%s", instruction->name, instruction->formulation ? " by " : "",
                instruction->formulation ? instruction->formulation : "", instruction->node ? "  # " : "",
                instruction->node && instruction->node->path ? instruction->node->path : "");
}

static bool has_buffer(const gm_plan *plan, const uint32_t *buffers, size_t count, uint32_t root)
{
    for (size_t i = 0; i < count; i++)
        if (buffers[i] != GM_NO_BUFFER && gm_plan_root(plan, buffers[i]) == root)
            return true;
    return false;
}

/* Who wrote what reorder k reads, and who reads what it writes. */
static void print_reorder(const gm_plan *plan, size_t k, gm_text *text)
{
    const gm_instruction *copy = &plan->instructions[k];
    const gm_buffer *from = &plan->buffers[copy->in[0]], *to = &plan->buffers[copy->out[0]];
    uint32_t source = gm_plan_root(plan, copy->in[0]), result = gm_plan_root(plan, copy->out[0]);
    size_t maker = k, reader = k + 1;
    bool state = plan->buffers[source].place == GM_PLACE_STATE;
    while (maker > 0 &&
           !has_buffer(plan, plan->instructions[maker - 1].out, plan->instructions[maker - 1].out_count, source))
        maker--;
    while (reader < plan->instruction_count &&
           !has_buffer(plan, plan->instructions[reader].in, plan->instructions[reader].in_count, result))
        reader++;
    gm_text_add(text, "    %4zu  %10zu bytes of %s, ", k, to->bytes, gm_value_of(plan->graph, from->value)->name);
    gm_text_add(text, "%s -> ", gm_layout_name(state ? plan->store->entries[from->index].layout : from->layout));
    gm_text_add(text, "%s\n", gm_layout_name(to->layout));
    gm_text_add(text, "          made by  ");
    if (maker > 0 && !state)
        print_title(&plan->instructions[maker - 1], text);
    else
        gm_text_add(text, "%s", place_name(plan->buffers[source].place));
    gm_text_add(text, "\n          read by  ");
    if (reader < plan->instruction_count)
        print_title(&plan->instructions[reader], text);
    else
        gm_text_add(text, "%s", place_name(plan->buffers[result].place));
    gm_text_add(text, "\n");
}

void gm_plan_print(const gm_plan *plan, gm_text *text)
{
    gm_text_add(text, "plan of %s: %zu instructions, %zu reorders, arena %zu bytes (largest sum alive %zu)\n",
                plan->graph->name, plan->instruction_count, plan->reorders, plan->arena_bytes, plan->max_alive_bytes);
    if (plan->reorders)
        gm_text_add(text, "reorders, where two instructions want different layouts:\n");
    for (size_t k = 0; k < plan->instruction_count; k++)
        if (strcmp(plan->instructions[k].name, "reorder") == 0)
            print_reorder(plan, k, text);
    for (size_t k = 0; k < plan->instruction_count; k++) {
        const gm_instruction *instruction = &plan->instructions[k];
        gm_text_add(text, "%4zu  ", k);
        print_title(instruction, text);
        gm_text_add(text, "\n");
        for (size_t i = 0; i < instruction->in_count; i++)
            print_buffer(plan, instruction->in[i], "reads", text);
        for (size_t i = 0; i < instruction->out_count; i++)
            print_buffer(plan, instruction->out[i], "writes", text);
        print_buffer(plan, instruction->scratch, "scratch", text);
    }
}
