/* What a .gmodel means: names of parameters and draws, literals, gradients, the order of updates, buffers, modes. Programs are
 * compiled and run with the reference kernels; expected numbers are worked out by hand. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/interpret.h"
#include "graph/operator.h"
#include "graph/program.h"

#define MODEL "model m <gmodel = 1, opset = 21>\n"

static gm_context *context;
static gm_pool *pool;
static gm_program *program;
static gm_tensor *states[64]; /* of the program at hand */

static void setup(void)
{
    ck_assert_int_eq(gm_context_create(NULL, &context), GM_OK);
    pool = gm_pool_create(context);
    ck_assert_ptr_nonnull(pool);
    program = NULL;
}

static void teardown(void)
{
    gm_program_destroy(program);
    gm_pool_destroy(pool);
    gm_context_destroy(context);
}

/* --- A small machine: compile, feed, run, look ------------------------------------------------------------------------ */

static void load_with(const char *text, const gm_setting *settings, size_t count)
{
    gm_program_options options = {.settings = settings, .setting_count = count};
    gm_program_destroy(program);
    program = NULL;
    ck_assert_msg(gm_program_compile(context, text, strlen(text), "t", &options, &program) == GM_OK, "%s\n%s", text,
                  gm_context_message(context));
    ck_assert_uint_le(program->state_count, GM_COUNT(states));
    for (size_t i = 0; i < program->state_count; i++) {
        const gm_state_entry *entry = &program->states[i];
        states[i] = gm_tensor_create(pool, entry->type, entry->rank, entry->dims);
        ck_assert_ptr_nonnull(states[i]);
        for (int64_t k = 0; k < gm_tensor_count(states[i]); k++)
            gm_set(states[i], k,
                   entry->initializer.kind == GM_INITIALIZE_CONSTANT ? entry->initializer.value
                   : entry->initializer.kind == GM_INITIALIZE_TENSOR ? gm_get(entry->initializer.tensor, k)
                                                                     : 0.25 * (double)(k % 5) - 0.5);
    }
}

static void load(const char *text)
{
    load_with(text, NULL, 0);
}

static int64_t state_index(const char *path)
{
    int64_t index = gm_program_state(program, path);
    ck_assert_msg(index >= 0, "there is no state '%s'", path);
    return index;
}

static double state(const char *path, int64_t element)
{
    return gm_get(states[state_index(path)], element);
}

typedef struct feed {
    const char *name;
    int count;
    double values[8];
} feed;

static gm_graph *bound;
static gm_tensor *values;

/* Runs a step, sample or network once with N = batch, and carries out its assigns. */
static void run(gm_entry_kind kind, const char *name, int64_t batch, const feed *feeds)
{
    const gm_entry *entry = gm_program_entry(program, kind, name);
    gm_binding binding = {gm_dim_symbol(program->symbols, "N"), batch};
    const gm_tensor *inputs[8];
    gm_tensor *next[64] = {NULL};
    ck_assert_ptr_nonnull(entry);
    bound = gm_graph_bind(entry->graph, pool, &binding, 1, NULL, 0, NULL);
    ck_assert_msg(bound, "%s", gm_context_message(context));
    for (size_t i = 0; i < bound->input_count; i++) {
        const gm_value *value = gm_value_of(bound, bound->inputs[i].value);
        const feed *from = feeds;
        gm_tensor *tensor = gm_tensor_create(pool, value->type, value->rank, value->dims);
        while (from && from->name && strcmp(from->name, bound->inputs[i].name) != 0)
            from++;
        ck_assert_msg(from && from->name, "the input '%s' is not fed", bound->inputs[i].name);
        ck_assert_int_eq(gm_tensor_count(tensor), from->count);
        for (int k = 0; k < from->count; k++)
            gm_set(tensor, k, from->values[k]);
        inputs[i] = tensor;
    }
    ck_assert_msg(
        gm_graph_interpret(bound, pool, inputs, (const gm_tensor *const *)states, program->seed, 0, &values) == GM_OK,
        "%s", gm_context_message(context));
    for (size_t i = 0; i < bound->assign_count; i++)
        next[bound->assigns[i].state] = gm_tensor_copy(pool, &values[bound->assigns[i].value]);
    for (size_t i = 0; i < program->state_count; i++)
        states[i] = next[i] ? next[i] : states[i];
}

static double output(const char *name, int64_t element)
{
    for (size_t i = 0; i < bound->output_count; i++)
        if (strcmp(bound->outputs[i].name, name) == 0)
            return gm_get(&values[bound->outputs[i].value], element);
    ck_abort_msg("there is no output '%s'", name);
}

static size_t count_nodes(const gm_graph *graph, const char *op)
{
    size_t count = 0;
    for (size_t i = 0; i < graph->node_count; i++)
        count += !graph->nodes[i].dead && strcmp(graph->nodes[i].op->name, op) == 0;
    return count;
}

static const gm_node *node_at(const gm_graph *graph, const char *path)
{
    for (size_t i = 0; i < graph->node_count; i++)
        if (!graph->nodes[i].dead && graph->nodes[i].path && strcmp(graph->nodes[i].path, path) == 0)
            return &graph->nodes[i];
    return NULL;
}

static const gm_graph *graph_of(gm_entry_kind kind, const char *name)
{
    const gm_entry *entry = gm_program_entry(program, kind, name);
    ck_assert_ptr_nonnull(entry);
    return entry->graph;
}

#define NEAR(a, b) ck_assert_double_eq_tol((a), (b), 1e-6)

/* --- Expressions ------------------------------------------------------------------------------------------------------ */

static const struct {
    const char *expression;
    double value; /* with x = (1, 2, 4), epoch = 3 */
} expressions[] = {
    {"sum(2 * x)", 14},
    {"4 / 3 * sum(x)", 28.0 / 3},          /* literals are real before they get a type */
    {"sum(-x ^ 2)", -21},                  /* -(x ^ 2) */
    {"sum(2 ^ 3 ^ 0 * x)", 14},            /* ^ binds to the right */
    {"sum(x) / N", 7.0 / 3},               /* N as a number */
    {"sum(x - 1) - 2 - 1", 1},             /* - to the left */
    {"mean(x) * half", 7.0 / 6},           /* a const */
    {"sum(Where(Less(x, 1.5), 0, x))", 6}, /* 0 takes the type of x */
    {"Max(0, 1 - epoch / 10)", 0.7},       /* the value that stands with the literal decides */
    {"Log(2)", 0.69314718},                /* Log takes no integers */
    {"sum(Clip(x, \"\", 2))", 5},          /* an input left out */
    {"sum(Resize(x, \"\", [2]))", 14},     /* scales are float */
    {"sum(Resize(x, \"\", \"\", [2 * N]))", 14},
    {"sum(Upsample(x, [2]))", 14},
    {"sum(net.v * [1, 0, 2])", 9},  /* a list takes the type too */
    {"sum(Reshape(x, [N, 1]))", 7}, /* a list with the batch */
    {"sum(Concat <axis = 0> (x, [10, 20]))", 37},
    {"sum(Cast <to = float> (Equal(Range(0, 3, 1), 1)))", 1},
    {"sum(gradient(x ^ 3, x))", 63},              /* 3 x^2 */
    {"sum(gradient(gradient(x ^ 3, x), x))", 42}, /* 6 x */
    {"sum(gradient(x * detach(x), x))", 7},
    {"sum(twice(x))", 14},
    {"sum(twice <1 + 2> (x))", 21},  /* a positional attribute, computed */
    {"sum(net.v ^ 2) * sum(x)", 63}, /* a parameter by its path */
    {"7", 7},
};

START_TEST(expressions_mean_what_they_say)
{
    char text[1024];
    const feed feeds[] = {{"x", 3, {1, 2, 4}}, {"epoch", 1, {3}}, {NULL, 0, {0}}};
    snprintf(text, sizeof text,
             MODEL "const half = 1 / 2\nfunction twice <s = 2> (float[...] x) => (float[...] y) { y = s * x }\n"
                   "network net () => (float v) { param v : float = 3 }\nstep s (float[N] x) { report r = %s }\n",
             expressions[_i].expression);
    load(text);
    run(GM_ENTRY_STEP, "s", 3, feeds);
    NEAR(output("r", 0), expressions[_i].value);
}
END_TEST

START_TEST(outputs_may_be_skipped_or_left_out)
{
    const feed feeds[] = {{"x", 4, {1, 2, 3, 4}}, {NULL, 0, {0}}};
    load(MODEL
         "network halves (float[N, 2] x) => (float[N, 1] a, float[N, 1] b) { a, b = Split <axis = 1, num_outputs = 2> "
         "(x) }\n"
         "step s (float[N, 2] x) {\n  a = halves(x)\n  \"\", b = halves(x)\n  report a = sum(a), b = sum(b)\n}\n");
    run(GM_ENTRY_STEP, "s", 2, feeds);
    NEAR(output("a", 0), 4);
    NEAR(output("b", 0), 6);
}
END_TEST

START_TEST(consts_are_set_from_outside)
{
    const char *text =
        MODEL "const k = 2, name = \"a\", both = k * 10\nnetwork n () => (float[k] y) { param y : float[k] = both }\n";
    const gm_setting settings[] = {{"k", "1 + 2"}, {"name", "b c"}};
    load(text);
    ck_assert_int_eq(program->states[0].dims[0], 2);
    load_with(text, settings, 2);
    ck_assert_int_eq(program->states[0].dims[0], 3);
    NEAR(program->states[0].initializer.value, 30);
    ck_assert_uint_eq(program->setting_count, 2);
}
END_TEST

START_TEST(a_const_of_0_switches_a_term_off)
{
    const char *text = MODEL "const weight = 0\nstep s (float[N] x) { report l = sum(x) + weight * sum(Exp(x)) }\n";
    const feed feeds[] = {{"x", 2, {1, 2}}, {NULL, 0, {0}}};
    const gm_setting settings[] = {{"weight", "1"}};
    load(text);
    run(GM_ENTRY_STEP, "s", 2, feeds);
    NEAR(output("l", 0), 3);
    ck_assert_int_eq(gm_graph_simplify(bound), GM_OK);
    ck_assert_uint_eq(count_nodes(bound, "Exp"), 0);
    load_with(text, settings, 1);
    run(GM_ENTRY_STEP, "s", 2, feeds);
    NEAR(output("l", 0), 3 + 2.718281828 + 7.389056099);
    ck_assert_uint_eq(count_nodes(bound, "Exp"), 1);
}
END_TEST

/* --- Names ------------------------------------------------------------------------------------------------------------ */

START_TEST(parameters_are_called_by_network_statement_and_callee)
{
    static const char *const paths[] = {"inner.x.Dense.W",         "inner.x.Dense.b",         "outer.fc.Dense.W",
                                        "outer.fc.Dense.b",        "outer.fc.Dense_2.W",      "outer.fc.Dense_2.b",
                                        "outer.y.block.h.Dense.W", "outer.y.block.h.Dense.b", "outer.y.block.scale"};
    load(MODEL "function block <n> (float[N, K] a) => (float[N, n] b) {\n  param scale : float = 1\n  h = Dense <n> "
               "(a)\n  b = scale * h\n}\n"
               "network inner (float[N, 2] a) => (float[N, 2] x) { x = Dense <2> (a) }\n"
               "network outer (float[N, 2] a) => (float[N, 2] y) {\n  [fc] h = Dense <2> (Dense <3> (a))\n  y = "
               "inner(block <2> (h))\n}\n");
    ck_assert_uint_eq(program->state_count, GM_COUNT(paths));
    for (size_t i = 0; i < GM_COUNT(paths); i++)
        state_index(paths[i]);
    ck_assert_int_eq(program->states[state_index("outer.fc.Dense.W")].dims[1],
                     3); /* the inner call is evaluated first */
    ck_assert_str_eq(program->states[state_index("inner.x.Dense.W")].network, "inner");
    ck_assert_ptr_nonnull(node_at(graph_of(GM_ENTRY_NETWORK, "outer"), "outer.y/inner.x.Dense.y.Gemm"));
}
END_TEST

START_TEST(draws_are_called_by_their_path_through_the_calls)
{
    static const char *const paths[] = {"critic/z.RandomNormal",
                                        "critic/two.RandomUniform",
                                        "critic/two.RandomUniform_2",
                                        "critic/real/d.h1.Dropout",
                                        "critic/both/d.h1.Dropout",
                                        "critic/both/d_2.h1.Dropout",
                                        "critic/n.noisy.y.RandomNormalLike",
                                        "critic/report.z.RandomNormalLike"};
    const gm_graph *graph;
    load(MODEL
         "function noisy (float[...] x) => (float[...] y) { y = x + RandomNormalLike(x) }\n"
         "network d (float[N, 2] x) => (float[N, 2] y) {\n  h1 = Dropout(x, 0.3)\n  y = Dense <2> (h1)\n}\n"
         "step critic (float[N, 2] x) {\n  z = RandomNormal <shape = [N, 2]> ()\n"
         "  two = mean(RandomUniform <shape = [N, 2], seed = 7> ()) + mean(RandomUniform <shape = [2 * N, 3]> ())\n"
         "  real = d(x)\n  both = d(z) + d(x)\n  n = noisy(x)\n"
         "  minimize mean(real + both) over d with SGD <rate = 1>\n  report z = mean(RandomNormalLike(z))\n}\n"
         "sample grid { write picture = d(RandomNormal <shape = [4, 2], seed = 7> ()) as npy }\n");
    graph = graph_of(GM_ENTRY_STEP, "critic");
    for (size_t i = 0; i < GM_COUNT(paths); i++)
        ck_assert_msg(node_at(graph, paths[i]), "no node is called '%s'", paths[i]);
    NEAR(gm_node_float(node_at(graph, paths[1]), "seed", 0), 7);
    ck_assert(!gm_dim_is_known(gm_value_of(graph, node_at(graph, paths[2])->outputs[0])->dims[0]));
    ck_assert_ptr_nonnull(node_at(graph_of(GM_ENTRY_SAMPLE, "grid"), "grid/picture.RandomNormal"));
    ck_assert_ptr_null(node_at(graph_of(GM_ENTRY_NETWORK, "d"), "d.h1.RandomMask"));
}
END_TEST

START_TEST(first_values)
{
    static const struct {
        const char *rule, *type;
        gm_initializer_kind kind;
        double a, b;
    } cases[] = {
        {"glorot_uniform", "[3, 5]", GM_INITIALIZE_UNIFORM, -0.86602540, 0.86602540}, /* sqrt(6 / 8) */
        {"glorot_uniform", "[2, 3, 2, 2]", GM_INITIALIZE_UNIFORM, -0.54772256,
         0.54772256}, /* out 2, in 3, times 4: sqrt(6/20) */
        {"glorot_normal", "[3, 5]", GM_INITIALIZE_TRUNCATED_NORMAL, 0, 0.5 / 0.87962566103},
        {"he_uniform", "[6, 5]", GM_INITIALIZE_UNIFORM, -1, 1},
        {"he_normal", "[8, 5]", GM_INITIALIZE_TRUNCATED_NORMAL, 0, 0.5 / 0.87962566103},
        {"he_normal <fan_in = 2>", "[8, 5]", GM_INITIALIZE_TRUNCATED_NORMAL, 0, 1 / 0.87962566103},
        {"lecun_normal", "[4, 5]", GM_INITIALIZE_TRUNCATED_NORMAL, 0, 0.5 / 0.87962566103},
        {"pytorch_uniform", "[4, 5]", GM_INITIALIZE_UNIFORM, -0.5, 0.5}, /* 1 / sqrt(fan_in) */
        {"pytorch_uniform <fan_in = 4>", "[5]", GM_INITIALIZE_UNIFORM, -0.5, 0.5},
        {"uniform(-1, 2)", "[5]", GM_INITIALIZE_UNIFORM, -1, 2},
        {"normal(0, 0.02)", "[5]", GM_INITIALIZE_NORMAL, 0, 0.02},
        {"truncated_normal(1, 0.5)", "[5]", GM_INITIALIZE_TRUNCATED_NORMAL, 1, 0.5},
        {"orthogonal(0.8)", "[3, 3]", GM_INITIALIZE_ORTHOGONAL, 0.8, 0},
        {"zeros", "[5]", GM_INITIALIZE_CONSTANT, 0, 0},
        {"zeros <fan_in = 4>", "[5]", GM_INITIALIZE_CONSTANT, 0, 0}, /* which a layer that is told its rule passes */
    };
    for (size_t i = 0; i < GM_COUNT(cases); i++) {
        char text[512];
        snprintf(text, sizeof text, MODEL "network n () => (w) { param w : float%s ~ %s }\n", cases[i].type,
                 cases[i].rule);
        load(text);
        ck_assert_msg(program->states[0].initializer.kind == cases[i].kind, "%s", cases[i].rule);
        NEAR(program->states[0].initializer.a, cases[i].a);
        NEAR(program->states[0].initializer.b, cases[i].b);
    }
    load(MODEL "network n () => (w) { param w : float[2, 2] = [[1, 2], [3, 4.5]] }\n");
    ck_assert_int_eq(program->states[0].initializer.kind, GM_INITIALIZE_TENSOR);
    NEAR(gm_get(program->states[0].initializer.tensor, 3), 4.5);
}
END_TEST

START_TEST(networks_of_one_body_have_their_own_parameters)
{
    load(MODEL "network s, t (float[N, 1] a) => (float[N, 1] y) { y = Dense <1> (a) }\n");
    ck_assert_uint_eq(program->entry_count, 2);
    ck_assert_uint_eq(program->state_count, 4);
    state_index("s.y.Dense.W");
    state_index("t.y.Dense.W");
    ck_assert_str_eq(program->main_network, "s");
}
END_TEST

START_TEST(layers_have_the_shapes_that_their_users_expect)
{
    const gm_graph *graph;
    char text[64];
    load(MODEL "network up (float[N, 8, 7, 7] x) => (float[N, 4, 14, 14] y) { y = ConvTranspose2d <4, kernel = 5, "
               "stride = 2> (x) }\n"
               "network down (float[N, 1, 28, 28] x) => (y) { y = Conv2d <6, 5, 2, bias = 0> (x) }\n"
               "network same (float[N, 3, H, W] x) => (float[N, 3, H, W] y) { y = BatchNorm(x) }\n"
               "network rows (int64[N, 2] x) => (float[N, 2, 3] y) { y = Embedding <10, 3> (x) }\n");
    graph = graph_of(GM_ENTRY_NETWORK, "down");
    ck_assert_str_eq(gm_shape_text(graph, graph->outputs[0].value, text, sizeof text), "float[N, 6, 14, 14]");
    ck_assert_int_eq(program->states[state_index("up.y.ConvTranspose2d.W")].dims[0], 8);
    ck_assert_int_eq(program->states[state_index("up.y.ConvTranspose2d.W")].dims[1], 4);
    ck_assert_int_eq(gm_program_state(program, "down.y.Conv2d.b"), -1);
    ck_assert_int_eq(program->states[state_index("same.y.BatchNorm.v")].kind, GM_STATE_BUFFER);
}
END_TEST

/* --- Steps ------------------------------------------------------------------------------------------------------------ */

#define GAME                                                                                                           \
    MODEL "network x () => (float v) { param v : float = 2 }\nnetwork y () => (float v) { param v : float = 3 }\n"

START_TEST(all_gradients_of_a_step_come_from_the_same_values)
{
    load(GAME "step both {\n  f = x() * y()\n  minimize f over x with SGD <rate = 1>\n  minimize -f over y with SGD "
              "<rate = 0.5>\n"
              "  report f\n}\n");
    run(GM_ENTRY_STEP, "both", 1, NULL);
    NEAR(output("f", 0), 6);       /* before the update */
    NEAR(state("x.v", 0), 2 - 3);  /* df/dx = y */
    NEAR(state("y.v", 0), 3 + 1);  /* with the old x */
    NEAR(state("both.x.t", 0), 1); /* updates are counted even where the optimizer does not ask */
    ck_assert_uint_eq(gm_program_entry(program, GM_ENTRY_STEP, "both")->gradient_count, 2);
}
END_TEST

START_TEST(updates_come_after_the_optimizers_in_order_of_writing)
{
    load(GAME "step s {\n  update y.v = 10 * x()\n  minimize x() * 4 over x with SGD <rate = 1>\n  update x = Clip(x, "
              "-1, 1)\n"
              "  update y = y + x\n}\n");
    run(GM_ENTRY_STEP, "s", 1, NULL);
    NEAR(state("x.v", 0), -1);      /* 2 - 4 = -2, clipped */
    NEAR(state("y.v", 0), -20 - 1); /* 10 * -2 from the value after the optimizer, then + x after its clip */
}
END_TEST

START_TEST(an_update_of_a_network_goes_through_its_parameters_by_path)
{
    load(MODEL "network a, b (float[N, 2] x) => (float[N, 1] y) { y = Dense <1> (x) }\n"
               "step s { update b = 0.75 * b + 0.25 * a }\n");
    for (int k = 0; k < 2; k++) {
        gm_set(states[state_index("a.y.Dense.W")], k, 4 + k);
        gm_set(states[state_index("b.y.Dense.W")], k, 8);
    }
    gm_set(states[state_index("a.y.Dense.b")], 0, 100);
    run(GM_ENTRY_STEP, "s", 1, NULL);
    NEAR(state("b.y.Dense.W", 0), 7);
    NEAR(state("b.y.Dense.W", 1), 7.25);
    NEAR(state("b.y.Dense.b", 0), 25);
    NEAR(state("a.y.Dense.b", 0), 100);
}
END_TEST

START_TEST(over_reaches_called_networks_and_except_leaves_out)
{
    const gm_entry *entry;
    load(MODEL "network in (float[N, 2] x) => (float[N, 2] y) { y = Dense <2> (x) }\n"
               "network out (float[N, 2] x) => (float[N, 1] y) {\n  h = in(x)\n  y = Dense <1> (h)\n}\n"
               "step s (float[N, 2] x) { minimize mean(out(x)) over out except in.y.Dense.b with Adam <rate = 1> }\n");
    entry = gm_program_entry(program, GM_ENTRY_STEP, "s");
    ck_assert_uint_eq(entry->gradient_count, 3);
    state_index("s.in.y.Dense.W.m");
    state_index("s.out.y.Dense.b.v");
    ck_assert_int_eq(program->states[state_index("s.out.t")].kind, GM_STATE_COUNTER);
    ck_assert_int_eq(gm_program_state(program, "s.in.y.Dense.b.m"), -1);
    ck_assert_int_eq(program->states[state_index("s.in.y.Dense.W.m")].parameter, state_index("in.y.Dense.W"));
}
END_TEST

START_TEST(a_parameter_without_gradient_is_left_untouched)
{
    load(GAME "step s { minimize x() * detach(y()) over x, y with Adam <rate = 1> }\n");
    run(GM_ENTRY_STEP, "s", 1, NULL);
    NEAR(state("y.v", 0), 3);
    ck_assert_int_eq(gm_program_state(program, "s.y.v.m"), -1);
    ck_assert_double_lt(state("x.v", 0), 2);
}
END_TEST

START_TEST(state_belongs_to_the_step_or_to_a_declared_optimizer)
{
    load(GAME "optimizer both = Momentum <rate = 0.5, momentum = 0.5>\n"
              "step a { minimize 2 * x() over x with both }\nstep b { minimize 4 * x() over x with both }\n"
              "step c { minimize 4 * x() over x with Momentum <rate = 0.5> }\n");
    run(GM_ENTRY_STEP, "a", 1, NULL);
    NEAR(state("x.v", 0), 1); /* m = 2 */
    run(GM_ENTRY_STEP, "b", 1, NULL);
    NEAR(state("both.x.v.m", 0), 5); /* 0.5 * 2 + 4 */
    NEAR(state("x.v", 0), -1.5);
    NEAR(state("both.x.t", 0), 2);
    NEAR(state("c.x.v.m", 0), 0);
    ck_assert_int_eq(gm_program_state(program, "a.x.v.m"), -1);
}
END_TEST

START_TEST(a_rate_is_an_expression_evaluated_at_each_run)
{
    const feed first[] = {{"epoch", 1, {1}}, {"epochs", 1, {4}}, {NULL, 0, {0}}};
    load(GAME "step s {\n  rate = 2 * (1 - epoch / epochs)\n  minimize x() over x with SGD <rate = rate>\n}\n");
    run(GM_ENTRY_STEP, "s", 1, first);
    NEAR(state("x.v", 0), 2 - 1.5);
}
END_TEST

START_TEST(hyper_parameters_reach_the_node)
{
    const gm_node *node;
    load(GAME "const slow = 0.5\nstep s {\n  minimize x() over x with Adam <rate = 1, beta1 = slow, epsilon = 1e-7, "
              "corrected_epsilon = 1>\n"
              "  minimize y() over y with Momentum <rate = 1, nesterov = 1, weight_decay = 0.25>\n}\n");
    node = node_at(graph_of(GM_ENTRY_STEP, "s"), "s/minimize.Adam");
    ck_assert_ptr_nonnull(node);
    NEAR(gm_node_float(node, "alpha", 0), 0.5);
    NEAR(gm_node_float(node, "beta", 0), 0.999);
    ck_assert_double_eq_tol(gm_node_float(node, "epsilon", 0), 1e-7, 1e-12);
    ck_assert_int_eq(gm_node_int(node, "corrected_epsilon", 0), 1);
    node = node_at(graph_of(GM_ENTRY_STEP, "s"), "s/minimize_2.Momentum");
    ck_assert_ptr_nonnull(node);
    ck_assert_str_eq(gm_node_string(node, "mode", ""), "nesterov");
    NEAR(gm_node_float(node, "norm_coefficient", 0), 0.25);
}
END_TEST

START_TEST(other_hyper_parameters_are_expressions_too)
{
    const feed second[] = {{"epoch", 1, {2}}, {NULL, 0, {0}}};
    load(GAME "step s {\n  minimize x() over x with Momentum <rate = 1, momentum = 0.25 * epoch, weight_decay = epoch "
              "- 2>\n}\n");
    ck_assert_str_eq(gm_node_string(node_at(graph_of(GM_ENTRY_STEP, "s"), "s/minimize.Momentum"), "given", ""),
                     "alpha,norm_coefficient");
    run(GM_ENTRY_STEP, "s", 1, second); /* m = 1, x = 2 - 1 */
    NEAR(state("x.v", 0), 1);
    run(GM_ENTRY_STEP, "s", 1, second); /* m = 0.5 * 1 + 1 */
    NEAR(state("x.v", 0), -0.5);
    load(GAME "step s {\n  minimize x() over x with SGD <rate = 1, weight_decay = 0.5 * epoch>\n}\n");
    run(GM_ENTRY_STEP, "s", 1, second); /* 2 - (1 + 1 * 2) */
    NEAR(state("x.v", 0), -1);
}
END_TEST

START_TEST(the_graph_before_differentiation_is_kept)
{
    const gm_entry *entry;
    load(GAME "step s {\n  f = x() * Tanh(y())\n  minimize f over x with SGD <rate = 1>\n  report f\n}\n");
    entry = gm_program_entry(program, GM_ENTRY_STEP, "s");
    ck_assert_ptr_nonnull(entry->undifferentiated);
    ck_assert_uint_eq(entry->undifferentiated->node_count, 2);
    ck_assert_uint_eq(count_nodes(entry->graph, "SGD"), 1);
    ck_assert_str_eq(entry->undifferentiated->outputs[0].name, "f");
}
END_TEST

/* --- Buffers and mode ------------------------------------------------------------------------------------------------- */

#define NORM "network n (float[N, 1] x) => (float[N, 1] y) { y = BatchNorm <epsilon = 0, momentum = 0.5> (x) }\n"

START_TEST(every_training_call_moves_the_buffers_in_order)
{
    const feed feeds[] = {{"x", 2, {2, 6}}, {NULL, 0, {0}}};
    load(MODEL NORM "step s (float[N, 1] x) {\n  a = n(x)\n  b = n(10 * x)\n  report b = sum(b)\n}\n");
    run(GM_ENTRY_STEP, "s", 2, feeds);
    NEAR(state("n.y.BatchNorm.m", 0), 0.5 * (0.5 * 0 + 0.5 * 4) + 0.5 * 40);
    NEAR(state("n.y.BatchNorm.v", 0), 0.5 * (0.5 * 1 + 0.5 * 4) + 0.5 * 400);
    NEAR(output("b", 0), 0);
    ck_assert_uint_eq(graph_of(GM_ENTRY_STEP, "s")->assign_count, 2);
}
END_TEST

START_TEST(a_call_in_inference_mode_writes_nothing)
{
    const feed feeds[] = {{"x", 2, {2, 6}}, {NULL, 0, {0}}};
    load(MODEL NORM "step s (float[N, 1] x) {\n  a = n <training = 0> (x)\n  report a = sum(a)\n}\n");
    run(GM_ENTRY_STEP, "s", 2, feeds);
    NEAR(output("a", 0), 8); /* running mean 0, variance 1 */
    ck_assert_uint_eq(graph_of(GM_ENTRY_STEP, "s")->assign_count, 0);
}
END_TEST

START_TEST(samples_and_networks_alone_use_running_statistics)
{
    const gm_entry *entry;
    load(MODEL NORM "sample running { write y = n([[2.0], [6.0]]) as npy }\n"
                    "sample batch { write y = n <training = 1> ([[2.0], [6.0]]) as npy }\n");
    run(GM_ENTRY_SAMPLE, "running", 1, NULL);
    NEAR(output("y", 0), 2);
    run(GM_ENTRY_SAMPLE, "batch", 1, NULL);
    NEAR(output("y", 0), -1); /* (2 - 4) / 2 */
    ck_assert_uint_eq(graph_of(GM_ENTRY_SAMPLE, "batch")->assign_count, 0);
    entry = gm_program_entry(program, GM_ENTRY_NETWORK, "n");
    ck_assert_uint_eq(entry->training->assign_count, 0);
    ck_assert_uint_eq(count_nodes(entry->forward, "BatchNormalization"), 1);
    ck_assert_ptr_eq(entry->graph, entry->forward);
    ck_assert_int_eq(gm_program_entry(program, GM_ENTRY_SAMPLE, "running")->writes[0].format, GM_WRITE_NPY);
}
END_TEST

START_TEST(dropout_follows_the_mode)
{
    const feed feeds[] = {{"x", 4, {1, 1, 1, 1}}, {NULL, 0, {0}}};
    double total;
    load(MODEL "network d (float[N, 1] x) => (float[N, 1] y) { y = Dropout(x, 0.5) }\n"
               "step on (float[N, 1] x) { report a = sum(d(x)), zero = sum(Cast <to = float> (Equal(d(x), 1))) }\n"
               "step off (float[N, 1] x) { report b = sum(d <training = 0> (x)) }\n");
    run(GM_ENTRY_STEP, "off", 4, feeds);
    NEAR(output("b", 0), 4);
    run(GM_ENTRY_STEP, "on", 4, feeds);
    NEAR(output("zero", 0), 0); /* each is 0 or 2 */
    total = output("a", 0);
    ck_assert(total == 0 || total == 2 || total == 4 || total == 6 || total == 8);
}
END_TEST

/* --- Data, schedule, files -------------------------------------------------------------------------------------------- */

START_TEST(data_and_schedules_are_kept)
{
    const gm_data_declaration *data;
    const gm_train *train;
    load(GAME
         "const n = 10\ndata points = ring <modes = n - 2, width = 0.5> { x : float[2] in [-1, 1], label : int64 }\n"
         "step s { minimize x() over x with SGD <rate = 1> }\nsample p { write v = x() as text }\n"
         "train points batch 2 * n epochs 3 {\n  repeat 5 s\n  every 2 epochs p, checkpoint\n  every 7 iterations p\n  "
         "at epochs 1, 3 p\n}\n"
         "train epochs 2 of 6 iterations { s }\n");
    data = gm_program_data(program, "points");
    ck_assert_ptr_nonnull(data);
    ck_assert_str_eq(data->source, "ring");
    ck_assert_int_eq(data->attributes[0].i, 8);
    NEAR(data->attributes[1].f, 0.5);
    ck_assert_int_eq(data->fields[0].dims[0], 2);
    ck_assert(data->fields[0].has_range && data->fields[0].low == -1 && !data->fields[1].has_range);
    ck_assert_int_eq(data->fields[1].rank, 0);
    ck_assert_uint_eq(program->train_count, 2);
    train = &program->trains[0];
    ck_assert_int_eq(train->batch, 20);
    ck_assert_int_eq(train->epochs, 3);
    ck_assert_uint_eq(train->schedule_count, 5);
    ck_assert_int_eq(train->schedule[0].count, 5);
    ck_assert_int_eq(train->schedule[1].kind, GM_SCHEDULE_EVERY_EPOCHS);
    ck_assert(train->schedule[2].is_checkpoint);
    ck_assert_int_eq(train->schedule[3].kind, GM_SCHEDULE_EVERY_ITERATIONS);
    ck_assert_int_eq(train->schedule[4].epochs[1], 3);
    ck_assert_int_eq(program->trains[1].iterations, 6);
}
END_TEST

START_TEST(the_minmax_game_goes_round_in_six_moves)
{
    static const double xs[] = {-1, -2, -1, 1, 2, 1}, ys[] = {2, 1, -1, -2, -1, 1};
    char path[1024], *text;
    size_t bytes;
    snprintf(path, sizeof path, "%s/../models/minmax.gmodel", GM_TEST_SOURCE);
    ck_assert_int_eq(gm_read_file(context, path, &text, &bytes), GM_OK);
    load(text);
    gm_free(context, text);
    for (int round = 0; round < 6; round++) {
        run(GM_ENTRY_STEP, "up", 1, NULL);
        run(GM_ENTRY_STEP, "down", 1, NULL);
        NEAR(state("y.v", 0), ys[round]);
        NEAR(state("x.v", 0), xs[round]);
    }
}
END_TEST

START_TEST(shipped_models_compile)
{
    static const char *const names[] = {"dcgan", "gan", "minmax"};
    for (size_t i = 0; i < GM_COUNT(names); i++) {
        char path[1024], *text;
        size_t bytes;
        gm_program *shipped = NULL;
        snprintf(path, sizeof path, "%s/../models/%s.gmodel", GM_TEST_SOURCE, names[i]);
        ck_assert_int_eq(gm_read_file(context, path, &text, &bytes), GM_OK);
        ck_assert_msg(gm_program_compile(context, text, bytes, path, NULL, &shipped) == GM_OK, "%s",
                      gm_context_message(context));
        ck_assert_str_eq(shipped->name, names[i]);
        ck_assert_uint_eq(shipped->sources[0].bytes, bytes);
        gm_program_destroy(shipped);
        gm_free(context, text);
    }
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_loop_test(cases, expressions_mean_what_they_say, 0, GM_COUNT(expressions));
    tcase_add_test(cases, outputs_may_be_skipped_or_left_out);
    tcase_add_test(cases, consts_are_set_from_outside);
    tcase_add_test(cases, a_const_of_0_switches_a_term_off);
    tcase_add_test(cases, parameters_are_called_by_network_statement_and_callee);
    tcase_add_test(cases, draws_are_called_by_their_path_through_the_calls);
    tcase_add_test(cases, first_values);
    tcase_add_test(cases, networks_of_one_body_have_their_own_parameters);
    tcase_add_test(cases, layers_have_the_shapes_that_their_users_expect);
    tcase_add_test(cases, all_gradients_of_a_step_come_from_the_same_values);
    tcase_add_test(cases, updates_come_after_the_optimizers_in_order_of_writing);
    tcase_add_test(cases, an_update_of_a_network_goes_through_its_parameters_by_path);
    tcase_add_test(cases, over_reaches_called_networks_and_except_leaves_out);
    tcase_add_test(cases, a_parameter_without_gradient_is_left_untouched);
    tcase_add_test(cases, state_belongs_to_the_step_or_to_a_declared_optimizer);
    tcase_add_test(cases, a_rate_is_an_expression_evaluated_at_each_run);
    tcase_add_test(cases, other_hyper_parameters_are_expressions_too);
    tcase_add_test(cases, hyper_parameters_reach_the_node);
    tcase_add_test(cases, the_graph_before_differentiation_is_kept);
    tcase_add_test(cases, every_training_call_moves_the_buffers_in_order);
    tcase_add_test(cases, a_call_in_inference_mode_writes_nothing);
    tcase_add_test(cases, samples_and_networks_alone_use_running_statistics);
    tcase_add_test(cases, dropout_follows_the_mode);
    tcase_add_test(cases, data_and_schedules_are_kept);
    tcase_add_test(cases, the_minmax_game_goes_round_in_six_moves);
    tcase_add_test(cases, shipped_models_compile);
}

int main(void)
{
    Suite *suite = suite_create("meaning");
    TCase *cases = tcase_create("meaning");
    SRunner *runner = srunner_create(suite);
    int failed;
    tcase_set_timeout(cases, 20);
    tcase_add_checked_fixture(cases, setup, teardown);
    add_tests(cases);
    suite_add_tcase(suite, cases);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
