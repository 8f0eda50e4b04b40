/* Sparse updates: tables that are only gathered from are updated by rows, bit for bit as in whole, at a cost that does not
 * grow with them; all others in whole. */
#include <stdlib.h>

#include "graph/program.h"
#include "runtime/plan_internal.h"
#include "tests/lower_check.h"

#define TEXT_BYTES 6000

static gm_context *context;

static void require(gm_status status)
{
    ck_assert_msg(status == GM_OK, "%s: %s", gm_status_name(status), gm_context_message(context));
}

static void open_context(int threads)
{
    gm_context_options options;
    gm_context_options_default(&options, sizeof options);
    options.threads = threads;
    ck_assert_int_eq(gm_context_create(&options, &context), GM_OK);
}

/* A program, its state and the plan of its step "play". */
typedef struct training {
    gm_program *program;
    gm_store *store;
    gm_plan *plan;
} training;

static training begin(const char *text, int64_t batch, bool norms)
{
    training t;
    const gm_entry *entry;
    gm_plan_options options = {.batch = batch};
    require(gm_program_compile(context, text, strlen(text), "t.gmodel", NULL, &t.program));
    require(gm_store_create(context, t.program, true, &t.store));
    require(gm_store_initialize(t.store, 1));
    entry = gm_program_entry(t.program, GM_ENTRY_STEP, "play");
    if (norms) {
        options.gradients = entry->gradients;
        options.gradient_count = entry->gradient_count;
    }
    require(gm_plan_create(context, entry->graph, t.store, &options, &t.plan));
    return t;
}

static void run(const training *t, uint64_t times)
{
    for (uint64_t i = 0; i < times; i++)
        require(gm_plan_run(t->plan, 5, i, false));
}

static void end(training *t)
{
    gm_plan_destroy(t->plan);
    gm_store_destroy(t->store);
    gm_program_destroy(t->program);
}

static size_t count_of(const training *t, const char *op)
{
    size_t count = 0;
    for (size_t k = 0; k < t->plan->instruction_count; k++)
        count += strcmp(t->plan->instructions[k].name, op) == 0;
    return count;
}

static void same_states(const training *a, const training *b)
{
    ck_assert_uint_eq(a->program->state_count, b->program->state_count);
    for (size_t i = 0; i < a->program->state_count; i++) {
        size_t bytes = a->store->entries[i].bytes;
        void *x = malloc(bytes + 1), *y = malloc(bytes + 1);
        ck_assert_uint_eq(bytes, b->store->entries[i].bytes);
        require(gm_store_read(a->store, (uint32_t)i, x));
        require(gm_store_read(b->store, (uint32_t)i, y));
        ck_assert_msg(memcmp(x, y, bytes) == 0, "'%s' differs", a->program->states[i].path);
        free(x);
        free(y);
    }
}

static bool changed(const training *a, const char *path, const float *before, size_t bytes)
{
    float *now = malloc(bytes);
    bool differs;
    require(gm_store_read(a->store, (uint32_t)gm_program_state(a->program, path), now));
    differs = memcmp(now, before, bytes) != 0;
    free(now);
    return differs;
}

/* --- The same numbers ------------------------------------------------------------------------------------------------- */

/* Many ids more than once; ids of two ranks, joined, reshaped, counted from the end, of int32; three Gathers of one table,
 * one of them outside a network; a table of numbers; a row wider than what is added up at a time; a table that is a
 * buffer; and parameters that are no tables. %s: the optimizer, its rate and so on. */
static const char tables[] =
    "model tables <gmodel = 1, opset = 21, seed = 3>\n"
    "network a (int64[N] id) => (float[N, 7] y) { y = Embedding <50, 7> (id) }\n"
    "network b (int64[...] id) => (float[..., 7] y) { param W : float[50, 7] ~ uniform(-1, 1) y = Gather(W, id) }\n"
    "network bias (int64[N] id) => (float[N] y) { param W : float[50] = 0 y = Gather(W, Cast <to = int32> (id)) }\n"
    "network wide (int64[N] id) => (float[N] l) {\n"
    "  param W : float[50, 3, 101] ~ uniform(-1, 1)\n"
    "  buffer scale : float[50] = 0.5\n"
    "  l = ReduceSum <keepdims = 0> (Gather(W, id), [1, 2]) * Gather(scale, id)\n"
    "}\n"
    "network top (float[N, 7] x) => (float[N, 1] y) { y = Dense <1> (x) }\n"
    "step play {\n"
    "  w = RandomUniform <shape = [50], low = 0.01, high = 1, seed = 4> ()\n"
    "  center = RandomChoice <shape = [N]> (w)\n"
    "  context = RandomChoice <shape = [N]> (w)\n"
    "  other = RandomChoice <shape = [N, 5]> (w)\n"
    "  u = a(center)\n"
    "  yes = ReduceSum <keepdims = 0> (u * b(context), [1]) + bias(center)\n"
    "  no = ReduceSum <keepdims = 0> (Unsqueeze(u, [1]) * b(other), [2])\n"
    "  both = b(Reshape(Concat <axis = 0> (center, context - 50), [N, 2]))\n"
    "  loss = mean(Softplus(-yes)) + sum(Softplus(no)) / N + mean(both * both) + mean(top(u) ^ 2) + mean(wide(center) "
    "^ 2)\n"
    "  minimize loss over a, b, bias, wide, top with %s\n"
    "  report loss\n"
    "}\n";

/* One optimizer, twice: as it is, and with a value that only the run knows, which keeps all updates whole. */
static const struct {
    const char *name, *by_rows, *whole;
} optimizers[] = {
    {"SparseSGD", "SGD <rate = 0.1>", "SGD <rate = 0.1, weight_decay = 0 * epoch>"},
    {"SparseSGD", "SGD <rate = 0.1 * (1 - epoch / 10)>",
     "SGD <rate = 0.1 * (1 - epoch / 10), weight_decay = 0 * epoch>"},
    {"SparseAdagrad", "Adagrad <rate = 0.1>", "Adagrad <rate = 0.1, weight_decay = 0 * epoch>"},
    {"SparseAdagrad", "Adagrad <rate = 0.1, decay = 0.1, epsilon = 1e-3>",
     "Adagrad <rate = 0.1, decay = 0.1, epsilon = 1e-3, weight_decay = 0 * epoch>"},
    {"SparseAdagrad", "Adagrad <rate = 0.1, decay = 0.1 + epoch>",
     "Adagrad <rate = 0.1, decay = 0.1 + epoch, weight_decay = 0 * epoch>"},
};

static void print_tables(char *text, const char *optimizer)
{
    ck_assert_int_lt(snprintf(text, TEXT_BYTES, tables, optimizer), TEXT_BYTES);
}

START_TEST(rows_are_updated_as_the_whole_table_is)
{
    char text[TEXT_BYTES];
    for (int threads = 1; threads <= 3; threads++) {
        training sparse, dense;
        float before[50 * 7];
        open_context(threads);
        print_tables(text, optimizers[_i].by_rows);
        sparse = begin(text, 64, false);
        print_tables(text, optimizers[_i].whole);
        dense = begin(text, 64, false);
        ck_assert_uint_eq(count_of(&sparse, optimizers[_i].name), 4);
        ck_assert_uint_eq(count_of(&sparse, optimizers[_i].name + 6), 1); /* of Dense */
        ck_assert_uint_eq(count_of(&sparse, "GatherGrad"), 0);
        ck_assert_uint_eq(count_of(&dense, optimizers[_i].name), 0);
        ck_assert_uint_gt(count_of(&dense, "GatherGrad"), 3);
        require(gm_store_read(sparse.store, (uint32_t)gm_program_state(sparse.program, "b.W"), before));
        run(&sparse, 5);
        run(&dense, 5);
        ck_assert(changed(&sparse, "b.W", before, sizeof before));
        same_states(&sparse, &dense);
        end(&sparse);
        end(&dense);
        gm_context_destroy(context);
    }
}
END_TEST

START_TEST(numbers_do_not_depend_on_threads)
{
    char text[TEXT_BYTES];
    training one, three;
    gm_context *single;
    print_tables(text, optimizers[_i].by_rows);
    open_context(1);
    one = begin(text, 300, false);
    run(&one, 3);
    single = context;
    open_context(3);
    three = begin(text, 300, false);
    run(&three, 3);
    same_states(&one, &three);
    end(&three);
    gm_context_destroy(context);
    context = single;
    end(&one);
    gm_context_destroy(context);
}
END_TEST

/* A trace asks for the norms of gradients: they are computed besides, and change nothing. */
START_TEST(norms_of_gradients_are_there_when_asked_for)
{
    char text[TEXT_BYTES];
    training plain, kept, dense;
    open_context(2);
    print_tables(text, optimizers[_i].by_rows);
    plain = begin(text, 64, false);
    kept = begin(text, 64, true);
    print_tables(text, optimizers[_i].whole);
    dense = begin(text, 64, true);
    ck_assert_uint_eq(count_of(&kept, optimizers[_i].name), 4);
    run(&plain, 3);
    run(&kept, 3);
    run(&dense, 3);
    same_states(&plain, &kept);
    for (size_t i = 0; i < gm_plan_output_count(kept.plan); i++) {
        gm_tensor_view a, b;
        gm_plan_output(kept.plan, i, &a);
        gm_plan_output(dense.plan, i, &b);
        ck_assert_str_eq(a.name, b.name);
        ck_assert(*(const float *)a.data == *(const float *)b.data);
    }
    end(&plain);
    end(&kept);
    end(&dense);
    gm_context_destroy(context);
}
END_TEST

/* --- When ------------------------------------------------------------------------------------------------------------- */

#define TABLE                                                                                                          \
    "model t <gmodel = 1, opset = 21, seed = 3>\n"                                                                     \
    "network t (int64[...] id) => (float[..., 6] y) { param W : float[40, 6] ~ uniform(-1, 1) y = Gather(W, id) }\n"
#define STEP                                                                                                           \
    "step play {\n"                                                                                                    \
    "  id = RandomChoice <shape = [N, 2]> ([1.0, 2, 3, 4, 5])\n"                                                       \
    "  y = t(id)\n"

static const struct {
    size_t rows; /* updates by rows */
    const char *text;
} cases[] = {
    {1, TABLE STEP "minimize mean(y * y) over t with SGD <rate = 0.1> }"},
    {1, TABLE STEP "minimize mean(y * y) over t with Adagrad <rate = 0.1> }"},
    /* a value of the table is read elsewhere, but no gradient goes there */
    {1, TABLE STEP "minimize mean(y * y) over t with SGD <rate = 0.1> report all = sum(t(Range(0, 40, 1)) ^ 2) }"},
    /* optimizers that move what has no gradient */
    {0, TABLE STEP "minimize mean(y * y) over t with SGD <rate = 0.1, weight_decay = 0.1> }"},
    {0, TABLE STEP "minimize mean(y * y) over t with Momentum <rate = 0.1> }"},
    {0, TABLE STEP "minimize mean(y * y) over t with Adam <rate = 0.1> }"},
    {0, TABLE STEP "minimize mean(y * y) over t with RMSProp <rate = 0.1> }"},
    {0, TABLE STEP "minimize mean(y * y) over t with Adagrad <rate = 0.1, weight_decay = 0.1> }"},
    {0, TABLE STEP "minimize mean(y * y) over t with Adagrad <rate = 0.1, epsilon = 0> }"},
    {0, TABLE STEP "minimize mean(y * y) over t with Adagrad <rate = 0.1, epsilon = 0.1 + epoch> }"},
    /* the new table is needed as a whole */
    {0, TABLE STEP "minimize mean(y * y) over t with SGD <rate = 0.1> update t = Clip(t, -0.5, 0.5) }"},
    /* a gradient from elsewhere */
    {0, "model t <gmodel = 1, opset = 21, seed = 3>\n"
        "network t (int64[N, 2] id) => (float[N, 2, 40] y) {\n"
        "  param W : float[40, 6] ~ uniform(-1, 1) y = MatMul(Gather(W, id), Transpose(W)) }\n" STEP
        "minimize mean(y * y) over t with SGD <rate = 0.1> }"},
    {0, "model t <gmodel = 1, opset = 21, seed = 3>\n"
        "network t (int64[N, 2] id) => (float[N, 2, 6] y) {\n"
        "  param W : float[40, 6] ~ uniform(-1, 1) y = Gather(W * W, id) }\n" STEP
        "minimize mean(y * y) over t with SGD <rate = 0.1> }"},
    {0, "model t <gmodel = 1, opset = 21, seed = 3>\n"
        "network t (int64[N, 2] id) => (float[40, N, 2] y) {\n"
        "  param W : float[40, 6] ~ uniform(-1, 1) y = Gather <axis = 1> (W, id) }\n" STEP
        "minimize mean(y * y) over t with SGD <rate = 0.1> }"},
};

START_TEST(only_where_it_is_exact)
{
    training t;
    open_context(2);
    t = begin(cases[_i].text, 8, false);
    ck_assert_uint_eq(count_of(&t, "SparseSGD") + count_of(&t, "SparseAdagrad"), cases[_i].rows);
    run(&t, 2);
    end(&t);
    gm_context_destroy(context);
}
END_TEST

/* --- Cost ------------------------------------------------------------------------------------------------------------- */

/* Nothing of a table's size is made, and nothing reads a table but Gather, nor writes one but its update. */
START_TEST(cost_does_not_grow_with_the_table)
{
    static const int rows[] = {100, 60000};
    size_t arena[2], instructions[2];
    open_context(2);
    for (int k = 0; k < 2; k++) {
        char text[TEXT_BYTES];
        training t;
        snprintf(text, sizeof text,
                 "model t <gmodel = 1, opset = 21, seed = 3>\n"
                 "network a, b (int64[...] id) => (float[..., 8] y) { y = Embedding <%d, 8> (id) }\n"
                 "step play {\n"
                 "  id = RandomChoice <shape = [N]> ([1.0, 2, 3, 4, 5])\n"
                 "  minimize mean(a(id) * b(id) + b(Reshape(id, [-1]))) over a, b with %s <rate = 0.1>\n"
                 "}\n",
                 rows[k], _i ? "Adagrad" : "SGD");
        t = begin(text, 32, false);
        for (size_t i = 0; i < t.plan->buffer_count; i++)
            ck_assert(t.plan->buffers[i].place == GM_PLACE_STATE || t.plan->buffers[i].bytes < 20000);
        for (size_t n = 0; n < t.plan->instruction_count; n++) {
            const gm_instruction *instruction = &t.plan->instructions[n];
            for (size_t i = 0; i < instruction->in_count; i++) {
                const gm_buffer *buffer = &t.plan->buffers[instruction->in[i]];
                if (buffer->place == GM_PLACE_STATE && gm_value_of(t.plan->graph, buffer->value)->rank == 2)
                    ck_assert_msg(strcmp(instruction->name, "Gather") == 0 ||
                                      strncmp(instruction->name, "Sparse", 6) == 0,
                                  "%s reads a table", instruction->name);
            }
        }
        arena[k] = t.plan->arena_bytes;
        instructions[k] = t.plan->instruction_count;
        run(&t, 2);
        end(&t);
    }
    ck_assert_uint_eq(arena[0], arena[1]);
    ck_assert_uint_eq(instructions[0], instructions[1]);
    gm_context_destroy(context);
}
END_TEST

/* --- Operators -------------------------------------------------------------------------------------------------------- */

static lower_check check;

static gm_tensor *random_ids(int rank, const int64_t *dims, int64_t rows)
{
    gm_tensor *ids = gm_tensor_create(check.pool, rank == 1 ? GM_INT32 : GM_INT64, rank, dims);
    for (int64_t i = 0; i < gm_tensor_count(ids); i++)
        gm_set_int(ids, i, lower_draw_int(&check, -rows, rows - 1));
    return ids;
}

START_TEST(operators_compute_what_their_references_do)
{
    gm_tensor *rate = gm_tensor_create(check.pool, GM_FLOAT, 0, NULL), *count;
    gm_attribute decay = gm_attribute_float("decay_factor", 0.1);
    count = gm_tensor_create(check.pool, GM_INT64, 0, NULL);
    gm_set(rate, 0, 0.25);
    gm_set_int(count, 0, 7);
    for (int turn = 0; turn < 25; turn++) {
        static const int64_t sizes[] = {1, 5, 300, 2048, 2049};
        int64_t table[2] = {sizes[turn % 5], turn % 5 == 2 ? 600 : lower_draw_int(&check, 1, 20)};
        int64_t few[3] = {lower_draw_int(&check, 0, 60), table[1]};
        int64_t more[3] = {lower_draw_int(&check, 1, 20), lower_draw_int(&check, 1, 6), table[1]};
        gm_tensor *x = lower_random(&check, GM_FLOAT, 2, table, -1, 1);
        gm_tensor *h = lower_random(&check, GM_FLOAT, 2, table, 0, 1);
        gm_tensor *first = random_ids(1, few, table[0]), *second = random_ids(2, more, table[0]);
        gm_tensor *rows = lower_random(&check, GM_FLOAT, 2, few, -1, 1);
        gm_tensor *more_rows = lower_random(&check, GM_FLOAT, 3, more, -1, 1);
        check.threads = 1 + turn % 3;
        lower_check_node(&check, "gmodel.SparseSGD", (gm_tensor *[]){rate, x, first, rows, second, more_rows}, 6, NULL,
                         0, 1, NULL, 1e-5);
        ck_assert(check.lowered);
        lower_check_node(&check, "gmodel.SparseAdagrad",
                         (gm_tensor *[]){rate, count, x, h, first, rows, second, more_rows}, 8, &decay, 1, 2, NULL,
                         1e-5);
        ck_assert(check.lowered);
    }
}
END_TEST

/* By hand: row 1 gets 1 + 3 and then 5 more, row 2 gets 2. H = H + G^2, X = X - R G / (sqrt(H) + 1) */
START_TEST(equal_ids_are_added_before_the_step)
{
    static const double expected_x[] = {1, 1 - 9.0 / 10 / 2, 1 - 2.0 / 3 / 2}, expected_h[] = {0, 81, 4};
    gm_attribute epsilon = gm_attribute_float("epsilon", 1);
    gm_tensor *in[8];
    gm_tensor *rate = in[0] = gm_tensor_create(check.pool, GM_FLOAT, 0, NULL);
    in[1] = gm_tensor_create(check.pool, GM_INT64, 0, NULL);
    in[2] = gm_tensor_create(check.pool, GM_FLOAT, 1, (int64_t[]){3});
    in[3] = gm_tensor_create(check.pool, GM_FLOAT, 1, (int64_t[]){3});
    in[4] = gm_tensor_create(check.pool, GM_INT64, 1, (int64_t[]){3});
    in[5] = gm_tensor_create(check.pool, GM_FLOAT, 1, (int64_t[]){3});
    in[6] = gm_tensor_create(check.pool, GM_INT64, 0, NULL);
    in[7] = gm_tensor_create(check.pool, GM_FLOAT, 0, NULL);
    gm_set(rate, 0, 0.5);
    gm_set_int(in[1], 0, 1);
    gm_set_int(in[6], 0, -2);
    gm_set(in[7], 0, 5);
    for (int i = 0; i < 3; i++) {
        gm_set(in[2], i, 1);
        gm_set(in[3], i, 0);
        gm_set_int(in[4], i, (int64_t[]){1, 2, 1}[i]);
        gm_set(in[5], i, i + 1);
    }
    lower_check_node(&check, "gmodel.SparseAdagrad", in, 8, &epsilon, 1, 2, NULL, 1e-6);
    for (int i = 0; i < 3; i++) {
        ck_assert_double_eq_tol(gm_get(&check.out[0], i), expected_x[i], 1e-6);
        ck_assert_double_eq_tol(gm_get(&check.out[1], i), expected_h[i], 1e-6);
    }
}
END_TEST

/* Gradient 1, epsilon 1: x = 1 - 0.5 / 2, then 0.5 / (1 + decay) / (sqrt(2) + 1) less. */
START_TEST(decay_of_adagrad_begins_behind_the_first_update)
{
    float x[2];
    training t;
    open_context(1);
    t = begin("model t <gmodel = 1, opset = 21, seed = 3>\n"
              "network t (int64[N] id) => (float[N] y) { param W : float[2] = 1 y = Gather(W, id) }\n"
              "step play { minimize sum(t(RandomChoice <shape = [N]> ([0.0, 1]))) over t with Adagrad <rate = 0.5, "
              "epsilon = 1, decay = 1> }\n",
              1, false);
    ck_assert_uint_eq(count_of(&t, "SparseAdagrad"), 1);
    for (int k = 0; k < 2; k++) {
        run(&t, 1);
        require(gm_store_read(t.store, (uint32_t)gm_program_state(t.program, "t.W"), x));
        ck_assert_float_eq_tol(x[1], k ? 0.75f - 0.25f / (sqrtf(2) + 1) : 0.75f, 1e-6f);
        ck_assert(x[0] == 1.0f);
    }
    end(&t);
    gm_context_destroy(context);
}
END_TEST

START_TEST(ids_outside_are_refused)
{
    char text[TEXT_BYTES];
    training t;
    open_context(2);
    snprintf(text, sizeof text,
             "model t <gmodel = 1, opset = 21, seed = 3>\n"
             "network t (int64[N] id) => (float[N, 6] y) { param W : float[40, 6] = 1 y = Gather(W, id) }\n"
             "step play {\n"
             "  id = RandomChoice <shape = [N]> ([1.0, 2, 3]) + %d\n"
             "  minimize mean(t(id) ^ 2) over t with SGD <rate = 0.1>\n"
             "}\n",
             _i ? 40 : -43);
    t = begin(text, 8, false);
    ck_assert_int_eq(gm_plan_run(t.plan, 5, 0, false), GM_ERROR_DATA);
    ck_assert_ptr_nonnull(strstr(gm_context_message(context), "is outside [-40, 40)"));
    end(&t);
    gm_context_destroy(context);
}
END_TEST

static void begin_check(void)
{
    lower_check_begin(&check);
}

static void end_check(void)
{
    lower_check_end(&check);
}

int main(void)
{
    Suite *suite = suite_create("sparse");
    TCase *steps = tcase_create("steps"), *operators = tcase_create("operators");
    SRunner *runner;
    int failed;
    tcase_set_timeout(steps, 60);
    tcase_add_loop_test(steps, rows_are_updated_as_the_whole_table_is, 0, GM_COUNT(optimizers));
    tcase_add_loop_test(steps, numbers_do_not_depend_on_threads, 0, GM_COUNT(optimizers));
    tcase_add_loop_test(steps, norms_of_gradients_are_there_when_asked_for, 0, GM_COUNT(optimizers));
    tcase_add_loop_test(steps, only_where_it_is_exact, 0, GM_COUNT(cases));
    tcase_add_loop_test(steps, cost_does_not_grow_with_the_table, 0, 2);
    tcase_add_test(steps, decay_of_adagrad_begins_behind_the_first_update);
    tcase_add_loop_test(steps, ids_outside_are_refused, 0, 2);
    tcase_add_checked_fixture(operators, begin_check, end_check);
    tcase_add_test(operators, operators_compute_what_their_references_do);
    tcase_add_test(operators, equal_ids_are_added_before_the_step);
    suite_add_tcase(suite, steps);
    suite_add_tcase(suite, operators);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
