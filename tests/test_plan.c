/* Plans of real steps: nothing alive overlaps, updates come last, reordered copies are made once. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "graph/operator.h"
#include "runtime/plan_internal.h"

static const char text[] = "model small <gmodel = 1, opset = 21, seed = 3>\n"
                           "network g (float[N, 8] z) => (float[N, 3, 8, 8] x) {\n"
                           "  h = LeakyRelu <alpha = 0.3> (BatchNorm(Dense <4 * 4 * 16, bias = 0> (z)))\n"
                           "  x = Tanh(ConvTranspose2d <3, kernel = 5, stride = 2> (Reshape(h, [0, 16, 4, 4])))\n"
                           "}\n"
                           "network d (float[N, 3, 8, 8] x) => (float[N, 1] l) {\n"
                           "  h = Dropout(LeakyRelu <alpha = 0.3> (Conv2d <16, kernel = 5, stride = 2> (x)), 0.3)\n"
                           "  i = Relu(Conv2d <32, kernel = 3> (h))\n"
                           "  l = Dense <1> (Flatten(i))\n"
                           "}\n"
                           "step play (float[N, 3, 8, 8] real) {\n"
                           "  a = d(real)\n"
                           "  b = d(g(RandomNormal <shape = [N, 8]> ()))\n"
                           "  g_loss = gan_generator_loss(b)\n"
                           "  d_loss = gan_discriminator_loss(a, b)\n"
                           "  minimize g_loss over g with Adam <rate = 1e-3>\n"
                           "  minimize d_loss over d with SGD <rate = 1e-3>\n"
                           "  update d = Clip(d, -0.5, 0.5)\n"
                           "  report g_loss, d_loss\n"
                           "}\n";

static gm_context *context;
static gm_program *program;
static gm_store *store;

static void require(gm_status status)
{
    ck_assert_msg(status == GM_OK, "%s: %s", gm_status_name(status), gm_context_message(context));
}

static gm_plan *plan_step(int64_t batch, bool reference)
{
    gm_plan_options options = {.batch = batch, .reference = reference};
    gm_plan *plan;
    require(gm_plan_create(context, gm_program_entry(program, GM_ENTRY_STEP, "play")->graph, store, &options, &plan));
    return plan;
}

static bool placed(const gm_plan *plan, size_t i)
{
    const gm_buffer *buffer = &plan->buffers[i];
    return buffer->root == i && buffer->place == GM_PLACE_ARENA && buffer->first != UINT32_MAX && buffer->bytes;
}

START_TEST(buffers_alive_together_do_not_overlap)
{
    gm_plan *plan = plan_step(1 + 6 * _i, _i == 2);
    size_t pairs = 0;
    for (size_t i = 0; i < plan->buffer_count; i++)
        for (size_t k = 0; k < i; k++) {
            const gm_buffer *a = &plan->buffers[i], *b = &plan->buffers[k];
            if (!placed(plan, i) || !placed(plan, k) || a->last < b->first || b->last < a->first)
                continue;
            pairs++;
            ck_assert_msg(a->offset + a->bytes <= b->offset || b->offset + b->bytes <= a->offset,
                          "buffers %zu and %zu overlap", i, k);
        }
    ck_assert_uint_gt(pairs, 10);
    gm_plan_destroy(plan);
}
END_TEST

/* Every instruction reads memory that still holds what was written there for it: a run of the plan with the writer of each
 * root tracked. A root may be rewritten in place only by the instruction that is the last to read the old value. */
START_TEST(no_instruction_reads_what_was_overwritten_in_place)
{
    gm_plan *plan = plan_step(7, false);
    uint32_t *holds = calloc(plan->buffer_count, sizeof *holds); /* root -> value id it holds */
    for (size_t k = 0; k < plan->instruction_count; k++) {
        const gm_instruction *instruction = &plan->instructions[k];
        for (size_t i = 0; i < instruction->in_count; i++) {
            uint32_t buffer = instruction->in[i], root;
            if (buffer == GM_NO_BUFFER || plan->buffers[root = gm_plan_root(plan, buffer)].place != GM_PLACE_ARENA)
                continue;
            ck_assert_msg(holds[root] != 0, "instruction %zu reads a buffer before it is written", k);
        }
        for (size_t i = 0; i < instruction->out_count; i++)
            if (instruction->out[i] != GM_NO_BUFFER)
                holds[gm_plan_root(plan, instruction->out[i])] = plan->buffers[instruction->out[i]].value;
    }
    free(holds);
    gm_plan_destroy(plan);
}
END_TEST

static size_t lines_with(const char *printed, const char *what)
{
    size_t count = 0;
    for (const char *at = strstr(printed, what); at; at = strstr(at + 1, what))
        count++;
    return count;
}

/* The printed plan begins with a row for each: bytes, layouts, who writes it and who reads it. */
START_TEST(every_reorder_is_explained)
{
    gm_plan *plan = plan_step(4, false);
    gm_text page;
    gm_plan_info info;
    gm_text_init(&page, context);
    gm_plan_info_of(plan, &info);
    gm_plan_print(plan, &page);
    ck_assert_uint_gt(info.reorders, 0);
    ck_assert_uint_eq(lines_with(page.data, "made by  "), info.reorders);
    ck_assert_uint_eq(lines_with(page.data, "read by  "), info.reorders);
    ck_assert_uint_eq(lines_with(page.data, " -> "), info.reorders);
    ck_assert_uint_eq(lines_with(page.data, "plain -> plain"), 0);
    gm_text_destroy(&page);
    gm_plan_destroy(plan);
}
END_TEST

START_TEST(updates_come_after_every_reader_of_their_parameters)
{
    gm_plan *plan = plan_step(4, false);
    bool seen_update = false;
    for (size_t k = 0; k < plan->instruction_count; k++) {
        const gm_node *node = plan->instructions[k].node;
        bool update = node && (node->op->flags & GM_OP_UPDATE);
        seen_update = seen_update || update;
        if (seen_update && node)
            ck_assert_msg(strcmp(node->op->name, "Conv") != 0 && strcmp(node->op->name, "Gemm") != 0 &&
                              strcmp(node->op->name, "ConvTranspose") != 0,
                          "%s behind an update", node->op->name);
    }
    ck_assert(seen_update);
    gm_plan_destroy(plan);
}
END_TEST

START_TEST(one_layout_change_of_a_value_is_made_once)
{
    gm_plan *plan = plan_step(16, false);
    size_t reorders = 0;
    for (size_t k = 0; k < plan->instruction_count; k++) {
        const gm_instruction *a = &plan->instructions[k];
        if (strcmp(a->name, "reorder") != 0)
            continue;
        reorders++;
        for (size_t i = 0; i < k; i++) {
            const gm_instruction *b = &plan->instructions[i];
            ck_assert(strcmp(b->name, "reorder") != 0 || a->in[0] != b->in[0] ||
                      !gm_layout_equal(plan->buffers[a->out[0]].layout, plan->buffers[b->out[0]].layout));
        }
    }
    ck_assert_uint_eq(reorders, plan->reorders);
    gm_plan_destroy(plan);
}
END_TEST

/* The layout that a plan chose for a parameter outlives the plan. */
START_TEST(parameters_can_be_read_after_their_plan_is_gone)
{
    int64_t state = gm_program_state(program, "d.i.Conv2d.W");
    float before[32 * 16 * 9], after[32 * 16 * 9];
    ck_assert_int_ge(state, 0);
    require(gm_store_read(store, (uint32_t)state, before));
    gm_plan_destroy(plan_step(16, false));
    require(gm_store_read(store, (uint32_t)state, after));
    ck_assert_int_eq(memcmp(before, after, sizeof before), 0);
}
END_TEST

/* gmrun inspect --plan: a step over a model that is not in training, whose optimizer slots have no memory. */
START_TEST(a_step_can_be_planned_without_memory_for_its_slots)
{
    gm_store *shown;
    gm_plan_options options = {.batch = 16};
    gm_plan *plan;
    require(gm_store_create(context, program, false, &shown));
    require(gm_plan_create(context, gm_program_entry(program, GM_ENTRY_STEP, "play")->graph, shown, &options, &plan));
    gm_plan_destroy(plan);
    gm_store_destroy(shown);
}
END_TEST

START_TEST(a_batch_that_does_not_fit_is_refused_before_allocating)
{
    gm_plan_options options = {.batch = _i ? INT64_C(1) << 28 : INT64_C(1) << 40};
    gm_plan *plan;
    gm_status status =
        gm_plan_create(context, gm_program_entry(program, GM_ENTRY_STEP, "play")->graph, store, &options, &plan);
    ck_assert_int_eq(status, GM_ERROR_MEMORY);
    ck_assert_ptr_nonnull(strstr(gm_context_message(context), _i ? "bytes for intermediate values" : "does not fit"));
}
END_TEST

static void open_program(void)
{
    ck_assert_int_eq(gm_context_create(NULL, &context), GM_OK);
    require(gm_program_compile(context, text, strlen(text), "small.gmodel", NULL, &program));
    require(gm_store_create(context, program, true, &store));
    require(gm_store_initialize(store, 1));
}

static void close_program(void)
{
    gm_store_destroy(store);
    gm_program_destroy(program);
    gm_context_destroy(context);
}

int main(void)
{
    Suite *suite = suite_create("plan");
    TCase *tests = tcase_create("plans");
    SRunner *runner;
    int failed;
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, open_program, close_program);
    tcase_add_loop_test(tests, buffers_alive_together_do_not_overlap, 0, 3);
    tcase_add_test(tests, no_instruction_reads_what_was_overwritten_in_place);
    tcase_add_test(tests, every_reorder_is_explained);
    tcase_add_test(tests, updates_come_after_every_reader_of_their_parameters);
    tcase_add_test(tests, one_layout_change_of_a_value_is_made_once);
    tcase_add_test(tests, a_step_can_be_planned_without_memory_for_its_slots);
    tcase_add_test(tests, parameters_can_be_read_after_their_plan_is_gone);
    tcase_add_loop_test(tests, a_batch_that_does_not_fit_is_refused_before_allocating, 0, 2);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
