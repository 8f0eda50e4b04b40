/* Gradients of several losses through one network become one backward pass: where they may, with the same numbers, and
 * nowhere else. */
#include <stdlib.h>

#include "graph/operator.h"
#include "graph/program.h"
#include "runtime/plan_internal.h"
#include "tests/counting.h"
#include "tests/lower_check.h"

#define TEXT_BYTES 6000

/* '@' stands for the type. Batch: 6. */
#define HEAD                                                                                                           \
    "model t <gmodel = 1, opset = 21, seed = 3>\n"                                                                     \
    "function C <channels> (@[N, C, H, W] x) => (y) {\n"                                                               \
    "  param W : @[channels, C, 3, 3] ~ normal(0, 0.5)\n  param b : @[channels] ~ normal(0, 0.5)\n"                    \
    "  y = Conv <strides = [2, 2], pads = [1, 1, 1, 1]> (x, W, b)\n}\n"                                                \
    "function Same <channels> (@[N, C, H, W] x) => (y) {\n"                                                            \
    "  param W : @[channels, C, 3, 3] ~ normal(0, 0.5)\n  y = Conv <pads = [1, 1, 1, 1]> (x, W)\n}\n"                  \
    "function D <units> (@[N, K] x) => (y) {\n"                                                                        \
    "  param W : @[K, units] ~ normal(0, 0.5)\n  param b : @[units] ~ normal(0, 0.5)\n  y = Gemm(x, W, b)\n}\n"        \
    "network g (@[N, 5] z) => (@[N, 1, 8, 8] y) {\n"                                                                   \
    "  param W : @[5, 64] ~ normal(0, 1)\n  y = Tanh(Reshape(MatMul(z, W), [0, 1, 8, 8]))\n}\n"                        \
    "network h (@[N, 1, 8, 8] x) => (@[N, 1, 8, 8] y) { param W : @[1, 8, 8] ~ normal(0, 1)\n y = x * W }\n"           \
    "network d (@[N, 1, 8, 8] x) => (y) {\n"
/* fake, f and real are there; `loss` minimizes. */
#define STEP                                                                                                           \
    "}\nfunction to_zero (@[] x) => (float y) { y = Cast <to = float> (ReduceMean <keepdims = 0> (x)) }\n"             \
    "step play (@[N, 1, 8, 8] image) {\n"                                                                              \
    "  fake = h(g(Cast <to = @> (RandomNormal <shape = [N, 5]> ())))\n  f = d(fake)\n  real = d(image)\n"
#define OVER    " with SGD <rate = 1>\n"
#define GAN     "  minimize to_zero(Softplus(-f)) over g" OVER MINE
#define MINE    "  minimize to_zero(Softplus(f)) + to_zero(Softplus(-real)) over d" OVER
#define DROPPED "Dropout(LeakyRelu <alpha = 0.3> (C <4> (x)), 0.3)"
#define TWICE   "  a = " DROPPED "\n  b = Dropout(LeakyRelu <alpha = 0.2> (C <6> (a)), 0.3)\n"
#define THRICE  TWICE "  c = LeakyRelu <alpha = 0.3> (C <8> (b))\n"

typedef struct merge_case {
    const char *name, *body, *losses;
    const char *op; /* of which `saved` nodes are saved; NULL: the graph stays as it is */
    int saved;
    bool only_float;
} merge_case;

static const merge_case cases[] = {
    {"two convolutions", TWICE "  y = D <1> (Flatten(b))\n", GAN, "ConvTranspose", 1, false},
    {"three convolutions", THRICE "  y = D <1> (Flatten(c))\n", GAN, "ConvTranspose", 2, false},
    {"a convolution at the end", TWICE "  c = C <1> (b)\n  y = Flatten(C <1> (c))\n", GAN, "ConvTranspose", 3, false},
    {"three losses", TWICE "  y = D <1> (Flatten(b))\n",
     "  minimize to_zero(Softplus(-f)) over g" OVER "  minimize to_zero(f ^ 2) over h" OVER MINE, "ConvTranspose", 3,
     false},
    {"hinge", TWICE "  y = D <1> (Flatten(b))\n",
     "  minimize to_zero(-f) over g" OVER "  minimize to_zero(Relu(0.1 + f)) over d" OVER, "ConvTranspose", 1, false},
    {"factors that are constants", TWICE "  y = D <1> (Flatten(b))\n",
     "  minimize to_zero(-f) over g" OVER "  minimize to_zero(f) over d" OVER, "ConvTranspose", 1, false},
    {"logits without a second axis", TWICE "  y = Squeeze(D <1> (Flatten(b)), [1])\n",
     "  minimize to_zero((f - 1) ^ 2) over g" OVER "  minimize to_zero(f ^ 2) over d" OVER, "ConvTranspose", 1, false},
    {"dense", "  a = Tanh(D <9> (Flatten(x)))\n  b = Sigmoid(D <7> (a))\n  y = D <1> (Dropout(b, 0.3))\n", GAN, "Gemm",
     3, false},
    {"as many units as examples, weights by rows",
     "  param V : @[6, 64] ~ normal(0, 1)\n  param W : @[6, 6] ~ normal(0, 1)\n"
     "  a = Tanh(Gemm <transB = 1> (Flatten(x), V))\n  y = D <1> (Tanh(Gemm <transB = 1> (a, W)))\n",
     GAN, "Gemm", 3, false},
    {"products of matrices",
     "  param U : @[8, 6] ~ normal(0, 1)\n"
     "  a = Softplus(MatMul(Reshape(x, [0, 8, 8]), U))\n  "
     "b = Relu(MatMul(a, MatMul(Transpose <perm = [0, 2, 1]> (a), a)))\n"
     "  y = D <1> (Flatten(b))\n",
     GAN, "MatMul", 4, false},
    {"largest of windows",
     "  a = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (" DROPPED ")\n"
     "  y = D <1> (Flatten(MaxPool <kernel_shape = [2, 2]> (Same <5> (a))))\n",
     GAN, "MaxPoolGrad", 2, false},
    {"means of windows",
     "  a = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (" DROPPED ")\n"
     "  y = D <1> (ReduceMean <keepdims = 0> (Relu(Same <5> (a)), [2, 3]))\n",
     GAN, "AveragePoolGrad", 1, false},
    {"a shortcut", "  a = " DROPPED "\n  b = a + Same <4> (Relu(Same <4> (a)))\n  y = D <1> (Flatten(b - 0.1 * a))\n",
     GAN, "ConvTranspose", 3, false},
    {"normalization of each example",
     TWICE "  c = Flatten(b)\n  e = c - ReduceMean(c, [1])\n"
           "  y = D <1> (e / Sqrt(ReduceMean(e * e, [1]) + 1e-3))\n",
     GAN, "ConvTranspose", 1, false},
    {"batch normalization between",
     "  a = BatchNorm(C <4> (Relu(Same <3> (x))))\n  b = Relu(C <6> (a))\n  y = D <1> (Flatten(C <8> (b)))\n", GAN,
     "ConvTranspose", 3, true},
    {"batch normalization at the end", TWICE "  y = D <1> (Flatten(Relu(BatchNorm(b))))\n", GAN, NULL, 0, true},
    {"sum over the batch", TWICE "  c = Flatten(b)\n  y = D <1> (Tanh(c - ReduceMean(c, [0])))\n", GAN, NULL, 0, false},
    {"a matrix that mixes examples",
     TWICE "  param S : @[6, 6] ~ normal(0, 1)\n  y = D <1> (Tanh(MatMul(S, Reshape(b, [6, 24]))))\n", GAN, NULL, 0,
     false},
    {"examples from last to first", TWICE "  y = D <1> (Tanh(Slice(Flatten(b), [-1], [-100], [0], [-1])))\n", GAN, NULL,
     0, false},
    {"axes that change places",
     TWICE
     "  param S : @[6, 6] ~ normal(0, 1)\n  c = Transpose <perm = [1, 0]> (Tanh(Reshape(D <6> (Flatten(b)), [6, 6])))\n"
     "  y = D <1> (Transpose <perm = [1, 0]> (MatMul(c, S)))\n",
     GAN, NULL, 0, false},
    {"ten logits", TWICE "  y = D <10> (Flatten(b))\n", GAN, NULL, 0, false},
    {"logits of patches", TWICE "  y = Same <1> (b)\n", GAN, NULL, 0, false},
    {"nothing but a product with a row", "  y = D <1> (Flatten(LeakyRelu <alpha = 0.3> (h(x))))\n", GAN, NULL, 0,
     false},
    {"other masks", TWICE "  y = D <1> (Flatten(b))\n",
     "  e = d(fake)\n  minimize to_zero(-e) over g" OVER "  minimize to_zero(Softplus(f)) over d" OVER, NULL, 0, false},
    {"other inputs", TWICE "  y = D <1> (Flatten(b))\n",
     "  minimize to_zero(-f) over g" OVER "  minimize to_zero(real) over d" OVER, NULL, 0, false},
};

static lower_check check;

static void setup(void)
{
    lower_check_begin(&check);
}

static void teardown(void)
{
    lower_check_end(&check);
}

static void require(gm_status status)
{
    ck_assert_msg(status == GM_OK, "%s: %s", gm_status_name(status), gm_context_message(check.context));
}

static void write_text(char *text, const merge_case *c, const char *type)
{
    const char *parts[] = {HEAD, c->body, STEP, c->losses, "}\n"};
    size_t length = 0;
    for (size_t i = 0; i < GM_COUNT(parts); i++)
        for (const char *at = parts[i]; *at; at++) {
            ck_assert_uint_lt(length + strlen(type), TEXT_BYTES);
            if (*at == '@')
                length += (size_t)sprintf(text + length, "%s", type);
            else
                text[length++] = *at;
        }
    text[length] = '\0';
}

static gm_program *compile(gm_context *context, const merge_case *c, const char *type)
{
    char text[TEXT_BYTES];
    gm_program *program;
    gm_status status;
    write_text(text, c, type);
    status = gm_program_compile(context, text, strlen(text), "t.gmodel", NULL, &program);
    ck_assert_msg(status == GM_OK, "%s: %s", c->name, gm_context_message(context));
    return program;
}

static gm_graph *bind(const gm_program *program, gm_pool *pool)
{
    gm_binding batch = {gm_dim_symbol(program->symbols, "N"), 6};
    return gm_graph_bind(gm_program_entry(program, GM_ENTRY_STEP, "play")->graph, pool, &batch, 1, NULL, 0, NULL);
}

static int count_of(const gm_graph *graph, const char *op)
{
    int count = 0;
    for (size_t n = 0; n < graph->node_count; n++)
        count += strcmp(graph->nodes[n].op->name, op) == 0;
    return count;
}

/* What the graph gives to its states, and what its outputs are. */
static gm_tensor *evaluate(const gm_graph *graph, const gm_tensor *const *inputs, const gm_tensor *const *states)
{
    gm_tensor *values, *out = gm_pool_array(check.pool, graph->assign_count + graph->output_count, sizeof *out);
    ck_assert_ptr_nonnull(out);
    require(gm_graph_interpret(graph, check.pool, inputs, states, 7, 0, &values));
    for (size_t i = 0; i < graph->assign_count; i++)
        out[i] = values[graph->assigns[i].value];
    for (size_t i = 0; i < graph->output_count; i++)
        out[graph->assign_count + i] = values[graph->outputs[i].value];
    return out;
}

static double largest_difference(const gm_tensor *a, const gm_tensor *b)
{
    double difference = 0, largest = 0;
    for (int64_t k = 0; k < gm_tensor_count(a); k++) {
        ck_assert(isfinite(gm_get(a, k)) && isfinite(gm_get(b, k)));
        difference = fmax(difference, fabs(gm_get(a, k) - gm_get(b, k)));
        largest = fmax(largest, fabs(gm_get(b, k)));
    }
    return difference == 0 ? 0 : difference / largest;
}

static void check_case(const merge_case *c, const char *type, double tolerance)
{
    gm_program *program = compile(check.context, c, type);
    gm_graph *graph = bind(program, check.pool);
    gm_tensor **states = gm_pool_array(check.pool, program->state_count, sizeof *states), *input, *before, *after;
    size_t nodes;
    int heavy;
    ck_assert(graph && states);
    for (size_t i = 0; i < program->state_count; i++)
        states[i] =
            lower_random(&check, program->states[i].type, program->states[i].rank, program->states[i].dims, 0.1, 1);
    for (size_t i = 0; i < program->state_count; i++) /* variances stay positive */
        for (int64_t k = 0; program->states[i].kind == GM_STATE_PARAMETER && k < gm_tensor_count(states[i]); k++)
            gm_set(states[i], k, lower_draw(&check, -0.6, 0.6));
    ck_assert_uint_eq(graph->input_count, 1);
    input = lower_random(&check, gm_value_of(graph, graph->inputs[0].value)->type, 4, (int64_t[]){6, 1, 8, 8}, -1, 1);
    require(gm_graph_simplify(graph));
    before = evaluate(graph, (const gm_tensor *const *)&input, (const gm_tensor *const *)states);
    nodes = graph->node_count;
    heavy = c->op ? count_of(graph, c->op) : 0;
    require(gm_graph_merge_backward(graph));
    after = evaluate(graph, (const gm_tensor *const *)&input, (const gm_tensor *const *)states);
    if (c->op)
        ck_assert_msg(heavy - count_of(graph, c->op) == c->saved, "%s: of %d %s %d are left", c->name, heavy, c->op,
                      count_of(graph, c->op));
    else
        ck_assert_msg(graph->node_count == nodes, "%s: %zu nodes became %zu", c->name, nodes, graph->node_count);
    for (size_t i = 0; i < graph->assign_count + graph->output_count; i++)
        ck_assert_msg(largest_difference(&after[i], &before[i]) <= tolerance, "%s, %s: result %zu is off by %.3g",
                      c->name, type, i, largest_difference(&after[i], &before[i]));
    gm_program_destroy(program);
}

START_TEST(one_pass_gives_what_two_gave)
{
    check_case(&cases[_i], "float", 1e-6);
    if (!cases[_i].only_float)
        check_case(&cases[_i], "double", 1e-14);
}
END_TEST

/* --- Each operator ---------------------------------------------------------------------------------------------------- */

/* What comes behind f(a), six rows of six, for two starts a; a product of matrices follows. */
typedef struct operator_case {
    const char *op;
    const char *
        inputs; /* v: that; o: the same of another pair of starts; a: the start; M (6, 6), T (6, 6, 6), B (6), z: 0; n: 1;
                         * p: a mask; r, c, d: the axes 0, 1 and -2; e: the shape (6, 6, 6); q: (6, 1) */
    gm_attribute attributes[1];
    int saved; /* MatMuls; one is saved at least, in what comes before */
} operator_case;

static const int64_t turn[] = {1, 0}, stay[] = {0, 1};
#define WITH_INT(key, value)                                                                                           \
    {                                                                                                                  \
        {                                                                                                              \
            .name = key, .kind = GM_ATTRIBUTE_INT, .i = value                                                          \
        }                                                                                                              \
    }

static const operator_case operators[] = {
    {"Mul", "vM", {{0}}, 2},
    {"Mul", "Tv", {{0}}, 1},
    {"Mul", "vo", {{0}}, 3},
    {"Mul", "va", {{0}}, 1},
    {"Div", "vM", {{0}}, 2},
    {"Div", "Mv", {{0}}, 1},
    {"Neg", "v", {{0}}, 2},
    {"Tanh", "v", {{0}}, 1},
    {"Add", "vM", {{0}}, 1},
    {"Add", "vo", {{0}}, 3},
    {"Add", "va", {{0}}, 2},
    {"Sub", "av", {{0}}, 2},
    {"Where", "pvz", {{0}}, 2},
    {"Where", "pza", {{0}}, 1},
    {"Where", "pvM", {{0}}, 1},
    {"Where", "pvn", {{0}}, 1},
    {"Where", "pov", {{0}}, 3},
    {"Expand", "ve", {{0}}, 1},
    {"gmodel.SumTo", "vq", {{0}}, 2},
    {"gmodel.SumTo", "vB", {{0}}, 1},
    {"ReduceSum", "vr", WITH_INT("keepdims", 0), 1},
    {"ReduceSum", "vd", WITH_INT("keepdims", 0), 1},
    {"ReduceMean", "vc", WITH_INT("keepdims", 1), 2},
    {"ReduceSum", "v", WITH_INT("noop_with_empty_axes", 1), 1},
    {"Transpose", "v", {{.name = "perm", .kind = GM_ATTRIBUTE_INTS, .ints = turn, .count = 2}}, 1},
    {"Transpose", "v", {{.name = "perm", .kind = GM_ATTRIBUTE_INTS, .ints = stay, .count = 2}}, 2},
    {"Transpose", "v", {{0}}, 1},
    {"MatMul", "vM", {{0}}, 3},
    {"MatMul", "Mv", {{0}}, 1},
    {"MatMul", "vT", {{0}}, 1},
    {"MatMul", "Tv", {{0}}, 1},
    {"MatMul", "vB", {{0}}, 1},
    {"Gemm", "vM", WITH_INT("transB", 1), 2},
    {"Gemm", "vM", WITH_INT("transA", 1), 1},
    {"Gemm", "vM", {{.name = "alpha", .kind = GM_ATTRIBUTE_FLOAT, .f = 1}}, 1},
    {"Gemm", "Mv", WITH_INT("transB", 1), 1},
    {"Gemm", "vMB", WITH_INT("transB", 1), 1},
};

static gm_value_id letter_value(gm_graph *graph, char letter, gm_value_id v, gm_value_id other, gm_value_id start)
{
    static const int64_t axes[] = {0, 1, -2}, cube[] = {6, 6, 6}, column[] = {6, 1};
    switch (letter) {
    case 'v':
        return v;
    case 'o':
        return other;
    case 'a':
        return start;
    case 'z':
        return gm_const_scalar(graph, GM_DOUBLE, 0);
    case 'n':
        return gm_const_scalar(graph, GM_DOUBLE, 1);
    case 'p':
        return gm_emit2(graph, "Less", 1, gm_const_scalar(graph, GM_DOUBLE, 0.6));
    case 'r':
    case 'c':
    case 'd':
        return gm_const_ints(graph, &axes[letter == 'r' ? 0 : letter == 'c' ? 1 : 2], 1);
    case 'e':
        return gm_const_ints(graph, cube, 3);
    case 'q':
        return gm_const_ints(graph, column, 2);
    default:
        return letter == 'M' ? 1 : letter == 'T' ? 2 : 3;
    }
}

/* f(start) = (start (.) U) W */
static gm_value_id chain_of(gm_graph *graph, gm_value_id start, gm_value_id u)
{
    return gm_emit2(graph, "MatMul", gm_emit2(graph, "Mul", start, u), 1);
}

START_TEST(each_operator_keeps_its_meaning)
{
    static const gm_dim dims[3] = {6, 6, 6}, column[2] = {6, 1};
    const operator_case *c = &operators[_i];
    gm_graph *graph = gm_graph_create(check.pool, NULL, "operators");
    gm_value_id m = gm_graph_add_input(graph, "M", GM_DOUBLE, 2, dims, false), start[4];
    gm_tensor *inputs[7], *before, *after;
    gm_attribute attribute;
    int products;
    gm_graph_add_input(graph, "T", GM_DOUBLE, 3, dims, false);
    gm_graph_add_input(graph, "B", GM_DOUBLE, 1, dims, false);
    ck_assert_uint_eq(m, 1); /* letter_value counts on it */
    for (int i = 0; i < 4; i++)
        start[i] = gm_graph_add_input(graph, "abcd" + i, GM_DOUBLE, 2, column, false);
    for (int i = 0; i < 2; i++) {
        gm_value_id in[3] = {0}, v = chain_of(graph, start[i], m);
        gm_value_id other = strchr(c->inputs, 'o') ? chain_of(graph, start[2 + i], m) : 0, y;
        for (size_t k = 0; c->inputs[k]; k++)
            in[k] = strcmp(c->op, "gmodel.SumTo") == 0 && c->inputs[k] == 'B'
                        ? gm_const_ints(graph, dims, 1)
                        : letter_value(graph, c->inputs[k], v, other, start[i]);
        attribute = c->attributes[0];
        attribute.f += i; /* numbers differ */
        y = gm_emit(graph, c->op, in, strlen(c->inputs), &attribute, attribute.name != NULL);
        if (gm_value_of(graph, y)->rank == 2)
            y = gm_emit2(graph, "MatMul", gm_emit2(graph, "Mul", y, m), m);
        gm_graph_add_output(graph, i ? "y" : "x", y);
    }
    ck_assert_msg(graph->status == GM_OK, "%s", gm_context_message(check.context));
    for (int i = 0; i < 7; i++) {
        const gm_value *value = gm_value_of(graph, graph->inputs[i].value);
        inputs[i] = lower_random(&check, GM_DOUBLE, value->rank, value->dims, 0.1, 1);
    }
    require(gm_graph_simplify(graph));
    products = count_of(graph, "MatMul");
    before = evaluate(graph, (const gm_tensor *const *)inputs, NULL);
    require(gm_graph_merge_backward(graph));
    after = evaluate(graph, (const gm_tensor *const *)inputs, NULL);
    for (int i = 0; i < 2; i++)
        ck_assert_msg(largest_difference(&after[i], &before[i]) <= 1e-13, "%s(%s) is off by %.3g", c->op, c->inputs,
                      largest_difference(&after[i], &before[i]));
    ck_assert_msg(products - count_of(graph, "MatMul") == c->saved, "%s(%s): of %d MatMul %d are left", c->op,
                  c->inputs, products, count_of(graph, "MatMul"));
}
END_TEST

/* --- In plans --------------------------------------------------------------------------------------------------------- */

static gm_store *train(const gm_program *program, bool reference, int *convolutions_out)
{
    const gm_entry *entry = gm_program_entry(program, GM_ENTRY_STEP, "play");
    gm_plan_options options = {
        .batch = 6, .reference = reference, .gradients = entry->gradients, .gradient_count = entry->gradient_count};
    gm_tensor *image = lower_random(&check, GM_FLOAT, 4, (int64_t[]){6, 1, 8, 8}, -1, 1);
    gm_store *store;
    gm_plan *plan;
    require(gm_store_create(check.context, program, true, &store));
    require(gm_store_initialize(store, 1));
    require(gm_plan_create(check.context, entry->graph, store, &options, &plan));
    gm_plan_bind_input(plan, 0, image->data);
    for (uint64_t i = 0; i < 3; i++)
        require(gm_plan_run(plan, 5, i, false));
    *convolutions_out = 0;
    for (size_t k = 0; k < plan->instruction_count; k++)
        *convolutions_out += strcmp(plan->instructions[k].name, "ConvTranspose") == 0;
    gm_plan_destroy(plan);
    return store;
}

/* A plan of reference kernels computes all as it is written. */
START_TEST(plans_save_the_convolution)
{
    gm_program *program = compile(check.context, &cases[0], "float");
    int merged, written;
    gm_store *fast, *plain;
    check.draws = 11;
    fast = train(program, false, &merged);
    check.draws = 11;
    plain = train(program, true, &written);
    ck_assert_int_eq(merged, written - 1);
    for (uint32_t i = 0; i < program->state_count; i++) {
        gm_tensor a = gm_store_describe(fast, i), b = a;
        ck_assert_ptr_nonnull(a.data = gm_pool_alloc(check.pool, gm_tensor_bytes(&a)));
        ck_assert_ptr_nonnull(b.data = gm_pool_alloc(check.pool, gm_tensor_bytes(&b)));
        require(gm_store_read(fast, i, a.data));
        require(gm_store_read(plain, i, b.data));
        ck_assert_msg(largest_difference(&a, &b) <= 1e-5, "'%s' differs", program->states[i].path);
    }
    gm_store_destroy(fast);
    gm_store_destroy(plain);
    gm_program_destroy(program);
}
END_TEST

/* --- Failures --------------------------------------------------------------------------------------------------------- */

START_TEST(every_failed_allocation_is_told)
{
    gm_status status = GM_ERROR_MEMORY;
    long failures = 0;
    while (status == GM_ERROR_MEMORY) {
        gm_counter counts = {0};
        gm_context *context = counted_context(&counts);
        gm_program *program;
        gm_pool *pool;
        gm_graph *graph;
        ck_assert_ptr_nonnull(context);
        program = compile(context, &cases[1], "float");
        pool = gm_pool_create(context);
        graph = bind(program, pool);
        ck_assert_int_eq(gm_graph_simplify(graph), GM_OK);
        counts = (gm_counter){0, ++failures};
        status = gm_graph_merge_backward(graph);
        ck_assert_msg(status == GM_OK || status == GM_ERROR_MEMORY, "%s", gm_context_message(context));
        gm_pool_destroy(pool);
        gm_program_destroy(program);
        gm_context_destroy(context);
    }
    ck_assert_int_gt(failures, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("merge_backward");
    TCase *tests = tcase_create("rewrite");
    SRunner *runner;
    int failed;
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, one_pass_gives_what_two_gave, 0, (int)GM_COUNT(cases));
    tcase_add_loop_test(tests, each_operator_keeps_its_meaning, 0, (int)GM_COUNT(operators));
    tcase_add_test(tests, plans_save_the_convolution);
    tcase_add_test(tests, every_failed_allocation_is_told);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
