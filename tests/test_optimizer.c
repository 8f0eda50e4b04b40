/* Optimizers: exact arithmetic with decays of 0, 1/2 and rates of 1, formulas over several updates in double, layouts, and
 * fast kernels against reference ones. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/interpret.h"
#include "ops/kernel.h"

#pragma GCC diagnostic ignored "-Wmissing-field-initializers" /* rows of tables say what is not zero */

#define PREVIEW "ai.onnx.preview.training."

static gm_context *context;
static gm_pool *pool;

static void setup(void)
{
    ck_assert_int_eq(gm_context_create(NULL, &context), GM_OK);
    pool = gm_pool_create(context);
    ck_assert_ptr_nonnull(pool);
}

static void teardown(void)
{
    gm_pool_destroy(pool);
    gm_context_destroy(context);
}

/* One update of one-element parameters: numbers that float32 holds exactly. */
typedef struct exact_case {
    const char *op;
    gm_attribute attributes[6];
    double rate, count; /* count < 0: the operator takes none */
    double x, g;
    size_t slots;
    double slot[2], new_x, new_slot[2];
} exact_case;

#define F(label, value)                                                                                                \
    {                                                                                                                  \
        .name = (label), .kind = GM_ATTRIBUTE_FLOAT, .f = (value)                                                      \
    }
#define I(label, value)                                                                                                \
    {                                                                                                                  \
        .name = (label), .kind = GM_ATTRIBUTE_INT, .i = (value)                                                        \
    }
#define S(label, value)                                                                                                \
    {                                                                                                                  \
        .name = (label), .kind = GM_ATTRIBUTE_STRING, .s = (value)                                                     \
    }

static const exact_case exact[] = {
    {"gmodel.SGD", {{0}}, 1, -1, 5, 3, 0, {0}, 2, {0}},
    {"gmodel.SGD", {{0}}, 0.25, -1, 5, 8, 0, {0}, 3, {0}},
    {"gmodel.SGD", {F("norm_coefficient", 0.5)}, 0.5, -1, 4, 3, 0, {0}, 1.5, {0}},
    {"gmodel.SGD", {F("weight_decay", 0.5)}, 0.5, -1, 4, 3, 0, {0}, 1.5, {0}},
    {PREVIEW "Momentum", {F("alpha", 0.5), F("beta", 1)}, 1, 1, 5, 3, 1, {4}, 0, {5}},
    {PREVIEW "Momentum", {F("alpha", 0.5), F("beta", 0.5)}, 1, 1, 5, 3, 1, {4}, 1.5, {3.5}},
    {PREVIEW "Momentum", {F("alpha", 0.5), F("beta", 0.5)}, 1, 0, 5, 3, 1, {4}, 0, {5}}, /* the first: beta is 1 */
    {PREVIEW "Momentum", {F("alpha", 0.5), F("beta", 1), S("mode", "nesterov")}, 1, 1, 5, 3, 1, {4}, -0.5, {5}},
    {PREVIEW "Momentum", {F("alpha", 0), F("norm_coefficient", 2)}, 0.5, 1, 1, 3, 1, {9}, -1.5, {5}},
    {"gmodel.RMSProp", {F("decay", 0), F("epsilon", 0)}, 1, -1, 5, -3, 1, {7}, 6, {9}},
    {"gmodel.RMSProp", {F("decay", 0.5), F("epsilon", 1)}, 1, -1, 5, 3, 1, {23}, 4.4, {16}},
    {PREVIEW "Adagrad", {F("epsilon", 0)}, 1, 1, 5, 3, 1, {16}, 4.4, {25}},
    {PREVIEW "Adagrad", {F("epsilon", 1), F("decay_factor", 0.5)}, 1, 2, 5, 3, 1, {16}, 4.75, {25}},
    /* beta = 0: a step of the rate against the sign */
    {PREVIEW "Adam", {F("alpha", 0), F("beta", 0), F("epsilon", 0)}, 1, 1, 5, 3, 2, {9, 9}, 4, {3, 9}},
    {PREVIEW "Adam", {F("alpha", 0), F("beta", 0), F("epsilon", 0)}, 1, 7, 5, -3, 2, {9, 9}, 6, {-3, 9}},
    {PREVIEW "Adam", {F("alpha", 0), F("beta", 0), F("epsilon", 1)}, 1, 1, 5, 3, 2, {9, 9}, 4.25, {3, 9}},
    {PREVIEW "Adam", {F("alpha", 0.5), F("beta", 0), F("epsilon", 0)}, 1, 1, 5, 4, 2, {0, 0}, 4, {2, 16}},
    {PREVIEW "Adam", {F("alpha", 0.5), F("beta", 0.75), F("epsilon", 0)}, 1, 0, 5, 4, 2, {0, 0}, 4, {2, 4}},
    /* beta^T = 3/4: root of the correction 1/2. Uncorrected root 2: R = 1/2 / 1/2; 2 / (2 + 2) against 2 / (2 / 0.5 + 2) */
    {PREVIEW "Adam", {F("alpha", 0.5), F("beta", 0.75), F("epsilon", 2)}, 1, 1, 5, 4, 2, {0, 0}, 4.5, {2, 4}},
    {PREVIEW "Adam",
     {F("alpha", 0.5), F("beta", 0.75), F("epsilon", 4), I("corrected_epsilon", 1)},
     1,
     1,
     5,
     4,
     2,
     {0, 0},
     4.5,
     {2, 4}},
    /* decoupled: 5 (1 - 0.5 * 0.5) - 0.5 */
    {PREVIEW "Adam",
     {F("alpha", 0), F("beta", 0), F("epsilon", 0), F("weight_decay", 0.5), I("decoupled", 1)},
     0.5,
     1,
     4,
     3,
     2,
     {0, 0},
     2.5,
     {3, 9}},
    {PREVIEW "Adam",
     {F("alpha", 0), F("beta", 0), F("epsilon", 0), F("norm_coefficient", 1)},
     1,
     1,
     5,
     3,
     2,
     {0, 0},
     4,
     {8, 64}},
    {PREVIEW "Adam",
     {F("alpha", 0), F("beta", 0), F("epsilon", 0), F("norm_coefficient_post", 0.5)},
     1,
     1,
     5,
     3,
     2,
     {0, 0},
     2,
     {3, 9}},
};

/* A node with `parameters` parameters of the given shapes, its tensors, and room for results. */
typedef struct problem {
    gm_graph *graph;
    const gm_node *node;
    gm_tensor in[32], out[32];
    size_t in_count, out_count;
} problem;

static gm_value_id add_input(problem *p, gm_type type, int rank, const int64_t *dims)
{
    char name[16];
    gm_tensor *tensor = gm_tensor_create(pool, type, rank, dims);
    snprintf(name, sizeof name, "in%zu", p->in_count);
    p->in[p->in_count++] = *tensor;
    return gm_graph_add_input(p->graph, name, type, rank, dims, false);
}

static void build(problem *p, const char *op, const gm_attribute *attributes, gm_type type, bool counts, size_t slots,
                  size_t parameters, const int64_t (*dims)[4])
{
    gm_value_id inputs[32], outputs[32];
    size_t count = 0, listed = 0;
    memset(p, 0, sizeof *p);
    p->graph = gm_graph_create(pool, NULL, "optimizer");
    inputs[count++] = add_input(p, GM_FLOAT, 0, NULL);
    if (counts)
        inputs[count++] = add_input(p, GM_INT64, 0, NULL);
    for (size_t role = 0; role < 2 + slots; role++)
        for (size_t k = 0; k < parameters; k++)
            inputs[count++] = add_input(p, type, 4, dims[k]);
    while (listed < 6 && attributes[listed].name)
        listed++;
    p->out_count = parameters * (1 + slots);
    gm_emit_many(p->graph, op, inputs, count, attributes, listed, outputs, p->out_count);
    ck_assert_msg(p->graph->status == GM_OK, "%s", gm_context_message(context));
    p->node = &p->graph->nodes[0];
}

/* Runs the fast kernel in place, with the parameters in `layout`, which must not matter to the loop. */
static void run_fast(problem *p, gm_layout layout, gm_tensor *result)
{
    gm_layout in_layout[32], in_want[32], out_layout[32];
    bool wanted[32];
    int in_place[32], alias[32];
    void *in[32], *out[32];
    for (size_t i = 0; i < 32; i++) {
        in_layout[i] = in_want[i] = out_layout[i] = gm_layout_plain;
        wanted[i] = true;
        in_place[i] = alias[i] = -1;
    }
    for (size_t o = 0; o < p->out_count; o++)
        in_layout[p->node->op->update_input(p->node, o)] = layout;
    gm_lower lower = {.context = context,
                      .pool = pool,
                      .graph = p->graph,
                      .node = p->node,
                      .threads = 2,
                      .in_layout = in_layout,
                      .out_wanted = wanted,
                      .in_want = in_want,
                      .out_layout = out_layout,
                      .in_place = in_place,
                      .alias = alias};
    ck_assert_int_eq(p->node->op->lower(&lower), GM_OK);
    ck_assert(lower.kernel.run != NULL);
    for (size_t i = 0; i < p->in_count; i++)
        in[i] = gm_tensor_copy(pool, &p->in[i])->data;
    for (size_t o = 0; o < p->out_count; o++) {
        int input = p->node->op->update_input(p->node, o);
        ck_assert_int_eq(input, in_place[o]);
        ck_assert(gm_layout_equal(out_layout[o], gm_layout_is_any(layout) ? gm_layout_plain : layout));
        out[o] = in[input];
        result[o] = p->in[input];
        result[o].data = out[o];
    }
    for (size_t i = p->in_count - (p->in_count - p->out_count); i < p->in_count; i++)
        ck_assert(!gm_layout_is_any(in_want[i]));
    gm_kernel_arguments arguments = {.in = in, .out = out, .threads = 2};
    ck_assert_int_eq(lower.kernel.run(lower.kernel.state, &arguments), GM_OK);
}

static void expect(const exact_case *c, const gm_tensor *out)
{
    ck_assert_msg(fabs(gm_get(&out[0], 0) - c->new_x) < 1e-6, "%s (row %d): x is %.9g, not %.9g", c->op,
                  (int)(c - exact), gm_get(&out[0], 0), c->new_x);
    for (size_t k = 0; k < c->slots; k++)
        ck_assert_msg(gm_get(&out[1 + k], 0) == c->new_slot[k], "%s (row %d): slot %zu is %.9g, not %.9g", c->op,
                      (int)(c - exact), k, gm_get(&out[1 + k], 0), c->new_slot[k]);
}

START_TEST(updates_are_exact)
{
    static const int64_t one[1][4] = {{1, 1, 1, 1}};
    const exact_case *c = &exact[_i];
    gm_tensor fast[3];
    problem p;
    size_t at = 0;
    build(&p, c->op, c->attributes, GM_FLOAT, c->count >= 0, c->slots, 1, one);
    gm_set(&p.in[at++], 0, c->rate);
    if (c->count >= 0)
        gm_set(&p.in[at++], 0, c->count);
    gm_set(&p.in[at++], 0, c->x);
    gm_set(&p.in[at++], 0, c->g);
    for (size_t k = 0; k < c->slots; k++)
        gm_set(&p.in[at++], 0, c->slot[k]);
    ck_assert_int_eq(gm_node_interpret(p.graph, p.node, pool, p.in, p.out, 0, 0), GM_OK);
    expect(c, p.out);
    run_fast(&p, gm_layout_plain, fast);
    expect(c, fast);
}
END_TEST

static const struct {
    const char *op;
    bool counts;
    size_t slots;
    gm_attribute attributes[6];
} kinds[] = {
    {"gmodel.SGD", false, 0, {F("norm_coefficient", 0.01)}},
    {PREVIEW "Momentum", true, 1, {F("alpha", 0.9), S("mode", "nesterov")}},
    {"gmodel.RMSProp", false, 1, {F("decay", 0.9)}},
    {PREVIEW "Adagrad", true, 1, {F("decay_factor", 0.1)}},
    {PREVIEW "Adam", true, 2, {F("alpha", 0.5), F("beta", 0.999), F("epsilon", 1e-7)}},
    {PREVIEW "Adam", true, 2, {I("corrected_epsilon", 1), F("weight_decay", 0.01)}},
};

/* Several parameters, one of them large enough for two threads, some without elements to spare. */
START_TEST(fast_kernels_agree_with_reference)
{
    static const int64_t dims[3][4] = {{16, 8, 5, 5}, {64, 32, 5, 5}, {1, 7, 1, 1}};
    static const gm_layout layouts[] = {{1, NULL}, {8, NULL}, {-1, NULL}};
    gm_tensor fast[32];
    problem p;
    build(&p, kinds[_i].op, kinds[_i].attributes, GM_FLOAT, kinds[_i].counts, kinds[_i].slots, 3, dims);
    for (size_t i = 0; i < p.in_count; i++)
        for (int64_t k = 0; k < gm_tensor_count(&p.in[i]); k++)
            gm_set(&p.in[i], k, 0.1 + 0.8 * (double)((k * 37 + (int64_t)i * 11) % 101) / 101);
    gm_set(&p.in[0], 0, 0.01);
    if (kinds[_i].counts)
        gm_set(&p.in[1], 0, 3);
    ck_assert_int_eq(gm_node_interpret(p.graph, p.node, pool, p.in, p.out, 0, 0), GM_OK);
    for (size_t l = 0; l < GM_COUNT(layouts); l++) {
        run_fast(&p, layouts[l], fast);
        for (size_t o = 0; o < p.out_count; o++)
            for (int64_t k = 0; k < gm_tensor_count(&p.out[o]); k++)
                ck_assert_msg(fabs(gm_get(&fast[o], k) - gm_get(&p.out[o], k)) < 1e-6, "%s output %zu [%d]",
                              kinds[_i].op, o, (int)k);
    }
}
END_TEST

/* Kingma & Ba, algorithm 1, followed for ten updates in double. */
START_TEST(adam_follows_the_paper)
{
    static const int64_t one[1][4] = {{1, 1, 1, 1}};
    const gm_attribute attributes[6] = {F("alpha", 0.9), F("beta", 0.999), F("epsilon", 1e-8),
                                        I("corrected_epsilon", 1)};
    double x = 1, m = 0, v = 0;
    problem p;
    build(&p, PREVIEW "Adam", attributes, GM_DOUBLE, true, 2, 1, one);
    gm_set(&p.in[0], 0, 0.125);
    gm_set(&p.in[2], 0, 1);
    for (int t = 1; t <= 10; t++) {
        double g = cos(3.0 * t) + x;
        gm_set(&p.in[1], 0, t);
        gm_set(&p.in[3], 0, g);
        ck_assert_int_eq(gm_node_interpret(p.graph, p.node, pool, p.in, p.out, 0, 0), GM_OK);
        m = 0.9 * m + 0.1 * g;
        v = 0.999 * v + 0.001 * g * g;
        x -= 0.125 * (m / (1 - pow(0.9, t))) / (sqrt(v / (1 - pow(0.999, t))) + 1e-8);
        ck_assert_double_eq_tol(gm_get(&p.out[0], 0), x, 1e-12);
        p.in[2] = p.out[0];
        p.in[4] = p.out[1];
        p.in[5] = p.out[2];
    }
}
END_TEST

/* Where PyTorch 2.15 (float64) arrives after six updates of (1, -2, 0.5) with gradients cos(3 t + i) + x. */
static const struct {
    const char *op;
    gm_attribute attributes[6];
    double rate;
    int64_t first; /* count of the first update: PyTorch's lr_decay counts the updates before */
    size_t slots;
    double x[3];
} pytorch[] = {
    {PREVIEW "Adagrad",
     {F("decay_factor", 0.1), F("epsilon", 1e-6)},
     0.25,
     0,
     1,
     {0.3983727096670574, -1.3892500805548083, 0.0464125788601121}},
    {PREVIEW "Adagrad",
     {F("norm_coefficient", 0.1), F("epsilon", 1e-3)},
     0.25,
     1,
     1,
     {0.3223117025501514, -1.2930269944032224, -0.005079937305703691}},
    /* AdamW */
    {PREVIEW "Adam",
     {F("alpha", 0.9), F("beta", 0.99), F("epsilon", 1e-8), F("weight_decay", 0.1), I("decoupled", 1),
      I("corrected_epsilon", 1)},
     0.125,
     1,
     2,
     {0.422659127966217, -1.1957451780313928, -0.10065344428433655}},
};

START_TEST(updates_are_those_of_pytorch)
{
    static const int64_t three[1][4] = {{3, 1, 1, 1}};
    static const double start[] = {1, -2, 0.5};
    problem p;
    build(&p, pytorch[_i].op, pytorch[_i].attributes, GM_DOUBLE, true, pytorch[_i].slots, 1, three);
    gm_set(&p.in[0], 0, pytorch[_i].rate);
    for (int i = 0; i < 3; i++)
        gm_set(&p.in[2], i, start[i]);
    for (int t = 0; t < 6; t++) {
        gm_set_int(&p.in[1], 0, t + pytorch[_i].first);
        for (int i = 0; i < 3; i++)
            gm_set(&p.in[3], i, cos(3.0 * (t + 1) + i) + gm_get(&p.in[2], i));
        ck_assert_int_eq(gm_node_interpret(p.graph, p.node, pool, p.in, p.out, 0, 0), GM_OK);
        p.in[2] = p.out[0];
        for (size_t k = 0; k < pytorch[_i].slots; k++)
            p.in[4 + k] = p.out[1 + k];
    }
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq_tol(gm_get(&p.in[2], i), pytorch[_i].x[i], 1e-12);
}
END_TEST

START_TEST(wrong_lists_are_refused)
{
    gm_graph *graph = gm_graph_create(pool, NULL, "wrong");
    gm_value_id r = gm_graph_add_input(graph, "r", GM_FLOAT, 0, NULL, false), out[2];
    gm_value_id x = gm_graph_add_input(graph, "x", GM_FLOAT, 1, (gm_dim[]){3}, false);
    gm_value_id g = gm_graph_add_input(graph, "g", GM_FLOAT, 1, (gm_dim[]){4}, false);
    gm_emit_many(graph, "gmodel.SGD", (gm_value_id[]){r, x, g}, 3, NULL, 0, out, 1);
    ck_assert_int_eq(graph->status, GM_ERROR_MODEL);
    ck_assert_ptr_nonnull(strstr(gm_context_message(context), "gradient of parameter 'x'"));
    graph->status = GM_OK;
    gm_emit_many(graph, "gmodel.SGD", (gm_value_id[]){r, x, x, x}, 4, NULL, 0, out, 1);
    ck_assert_int_eq(graph->status, GM_ERROR_MODEL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("optimizer");
    TCase *tests = tcase_create("updates");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, updates_are_exact, 0, (int)GM_COUNT(exact));
    tcase_add_loop_test(tests, fast_kernels_agree_with_reference, 0, (int)GM_COUNT(kinds));
    tcase_add_test(tests, adam_follows_the_paper);
    tcase_add_loop_test(tests, updates_are_those_of_pytorch, 0, (int)GM_COUNT(pytorch));
    tcase_add_test(tests, wrong_lists_are_refused);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
