/* Graphs of one operator written as text, for tests of shapes and of known results.
 *
 *     "Nx3"                        a float input of shape [N, 3]; "scalar" has rank 0
 *     "3 [1 2 3]"                  a float constant; "int 2x2 [1 2 3 4]" (int64), "bool 2 [1 0]", "uint8 ..." likewise
 *     "shape 0"                    the Shape of input 0
 *     ""                           left out */
#ifndef GM_TESTS_NUMBERS_H
#define GM_TESTS_NUMBERS_H

#include "graph/interpret.h"
#include "graph/older.h"
#include "graph/operator.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBERS_MAX 10
#define IN(...)     .inputs = {__VA_ARGS__}
#define WITH(...)   .attributes = {__VA_ARGS__}

typedef struct numbers_case {
    const char *op;
    const char *inputs[NUMBERS_MAX];
    gm_attribute attributes[6];
    size_t outputs;       /* 0: one */
    const char *expected; /* shapes: "float[N, 3] float[N, 1]"; results: the numbers of all outputs "1 2 3"; errors: a
                             part of the message */
} numbers_case;

typedef struct numbers {
    gm_context *context;
    gm_pool *pool;
    gm_graph *graph;
    gm_value_id inputs[NUMBERS_MAX], outputs[NUMBERS_MAX];
} numbers;

static inline void numbers_begin(numbers *n)
{
    memset(n, 0, sizeof *n);
    ck_assert_int_eq(gm_context_create(NULL, &n->context), GM_OK);
    n->pool = gm_pool_create(n->context);
    n->graph = gm_graph_create(n->pool, NULL, "numbers");
    ck_assert_ptr_nonnull(n->graph);
}

static inline void numbers_end(numbers *n)
{
    gm_pool_destroy(n->pool);
    gm_context_destroy(n->context);
}

static inline gm_value_id numbers_constant(numbers *n, gm_type type, int rank, const gm_dim *dims, const char *text)
{
    gm_tensor *tensor = gm_tensor_create(n->pool, type, rank, dims);
    ck_assert_ptr_nonnull(tensor);
    for (int64_t i = 0; i < gm_tensor_count(tensor); i++) {
        char *end;
        text += strspn(text, "[ ");
        gm_set(tensor, i, strtod(text, &end));
        ck_assert_msg(end != text, "too few numbers: '%s'", text);
        text = end;
    }
    return gm_graph_constant(n->graph, tensor);
}

static inline gm_value_id numbers_input(numbers *n, const char *text, size_t index)
{
    gm_type type = GM_FLOAT;
    gm_dim dims[GM_MAX_RANK];
    int rank = 0;
    char name[16], word[16] = "";
    size_t length;
    if (!*text)
        return 0;
    if (strncmp(text, "shape ", 6) == 0)
        return gm_emit1(n->graph, "Shape", n->inputs[text[6] - '0']);
    length = strcspn(text, " ");
    if (length < sizeof word && text[length] && text[0] >= 'a' && text[0] <= 'z' && strncmp(text, "scalar", 6) != 0) {
        memcpy(word, text, length);
        type = strcmp(word, "int") == 0 ? GM_INT64 : gm_type_by_name(word)->type;
        text += length + 1;
    }
    if (strncmp(text, "scalar", 6) == 0)
        text += 6;
    while (*text && *text != ' ') {
        char *end = (char *)text + 1;
        char symbol[2] = {*text, 0};
        bool named = *text >= 'A' && *text <= 'Z';
        dims[rank++] = named ? gm_dim_symbol(n->graph->symbols, symbol) : strtoll(text, &end, 10);
        text = *end == 'x' ? end + 1 : end;
    }
    if (*text)
        return numbers_constant(n, type, rank, dims, text);
    snprintf(name, sizeof name, "x%zu", index);
    return gm_graph_add_input(n->graph, name, type, rank, dims, false);
}

/* The node of a case in a new graph; graph->status tells whether it is valid. */
static inline size_t numbers_build(numbers *n, const numbers_case *c)
{
    size_t count = 0, attributes = 0, outputs = c->outputs ? c->outputs : 1;
    for (; count < NUMBERS_MAX && c->inputs[count]; count++)
        n->inputs[count] = numbers_input(n, c->inputs[count], count);
    while (attributes < GM_COUNT(c->attributes) && c->attributes[attributes].name)
        attributes++;
    gm_emit_many(n->graph, c->op, n->inputs, count, c->attributes, attributes, n->outputs, outputs);
    return outputs;
}

/* Shapes of all outputs, as text. */
static inline void numbers_check_shape(const numbers_case *c)
{
    numbers n;
    char found[512] = "", text[160];
    size_t outputs;
    numbers_begin(&n);
    outputs = numbers_build(&n, c);
    ck_assert_msg(n.graph->status == GM_OK, "%s: %s", c->op, gm_context_message(n.context));
    for (size_t i = 0; i < outputs; i++) {
        if (i)
            strcat(found, " ");
        strcat(found, gm_shape_text(n.graph, n.outputs[i], text, sizeof text));
    }
    ck_assert_msg(strcmp(found, c->expected) == 0, "%s: shape %s, expected %s", c->op, found, c->expected);
    numbers_end(&n);
}

/* The message holds the text expected. */
static inline void numbers_check_error(const numbers_case *c)
{
    numbers n;
    numbers_begin(&n);
    numbers_build(&n, c);
    ck_assert_msg(n.graph->status != GM_OK, "%s: no error, expected '%s'", c->op, c->expected);
    ck_assert_msg(strstr(gm_context_message(n.context), c->expected) != NULL, "%s: message '%s', expected '%s'", c->op,
                  gm_context_message(n.context), c->expected);
    numbers_end(&n);
}

/* Elements of all outputs by the reference kernels, of a graph that is built. */
static inline void numbers_compare(numbers *n, const numbers_case *c, size_t outputs)
{
    gm_tensor *values = NULL;
    const char *at = c->expected;
    ck_assert_msg(n->graph->status == GM_OK, "%s: %s", c->op, gm_context_message(n->context));
    ck_assert_msg(gm_graph_interpret(n->graph, n->pool, NULL, NULL, 1, 0, &values) == GM_OK, "%s: %s", c->op,
                  gm_context_message(n->context));
    for (size_t k = 0; k < outputs; k++)
        for (int64_t i = 0; i < gm_tensor_count(&values[n->outputs[k]]); i++) {
            char *end;
            double expected = strtod(at, &end), found = gm_get(&values[n->outputs[k]], i);
            ck_assert_msg(end != at, "%s: more results than expected", c->op);
            at = end;
            ck_assert_msg(fabs(found - expected) <= 1e-5 * (1 + fabs(expected)) || (isnan(found) && isnan(expected)),
                          "%s: output %zu [%lld] is %.9g, expected %.9g", c->op, k, (long long)i, found, expected);
        }
    ck_assert_msg(at[strspn(at, " ")] == 0, "%s: fewer results than expected", c->op);
}

/* Every input is a constant. */
static inline void numbers_check_result(const numbers_case *c)
{
    numbers n;
    size_t outputs;
    numbers_begin(&n);
    outputs = numbers_build(&n, c);
    numbers_compare(&n, c, outputs);
    numbers_end(&n);
}

/* The same of a node of an older operator set, with one output. */
static inline void numbers_check_older(const numbers_case *c, int64_t opset)
{
    numbers n;
    gm_value_id inputs[NUMBERS_MAX + 8] = {0};
    gm_attribute attributes[GM_COUNT(c->attributes) + 4];
    numbers_begin(&n);
    gm_older_node node = {.graph = n.graph,
                          .op = gm_operator_find_name(c->op),
                          .opset = opset,
                          .inputs = inputs,
                          .attributes = attributes,
                          .outputs = n.outputs,
                          .output_count = 1};
    for (; c->inputs[node.input_count]; node.input_count++)
        inputs[node.input_count] = numbers_input(&n, c->inputs[node.input_count], node.input_count);
    for (; node.attribute_count < GM_COUNT(c->attributes) && c->attributes[node.attribute_count].name;
         node.attribute_count++)
        attributes[node.attribute_count] = c->attributes[node.attribute_count];
    ck_assert_msg(gm_older_upgrade(&node) == GM_OK, "%s", gm_context_message(n.context));
    if (!node.done)
        gm_graph_add_node(n.graph, node.op, inputs, node.input_count, attributes, node.attribute_count, n.outputs, 1);
    numbers_compare(&n, c, 1);
    numbers_end(&n);
}

/* The same by the operator's own kernel, of an operator that is replaced by others where it can be. */
static inline void numbers_check_kernel(const numbers_case *c)
{
    const char *at = c->expected;
    numbers n;
    gm_tensor in[NUMBERS_MAX], out[4];
    gm_node node = {.op = gm_operator_find("", c->op), .path = "test", .attributes = c->attributes};
    gm_compute compute;
    numbers_begin(&n);
    node.inputs = n.inputs;
    node.outputs = n.outputs;
    node.output_count = numbers_build(&n, c);
    memset(in, 0, sizeof in);
    while (node.attribute_count < GM_COUNT(c->attributes) && c->attributes[node.attribute_count].name)
        node.attribute_count++;
    for (; c->inputs[node.input_count]; node.input_count++)
        if (n.inputs[node.input_count])
            in[node.input_count] = *gm_constant_of(n.graph, n.inputs[node.input_count]);
    for (size_t i = 0; i < node.output_count; i++) {
        const gm_value *value = gm_value_of(n.graph, n.outputs[i]);
        out[i] = *gm_tensor_create(n.pool, value->type, value->rank, value->dims);
    }
    compute = (gm_compute){.context = n.context, .node = &node, .in = in, .out = out};
    ck_assert_msg(node.op->reference(&compute) == GM_OK, "%s", gm_context_message(n.context));
    for (size_t k = 0; k < node.output_count; k++)
        for (int64_t i = 0; i < gm_tensor_count(&out[k]); i++) {
            double expected = strtod(at, (char **)&at), found = gm_get(&out[k], i);
            ck_assert_msg(fabs(found - expected) <= 1e-5, "%s: output %zu [%lld] is %.9g, expected %.9g", c->op, k,
                          (long long)i, found, expected);
        }
    numbers_end(&n);
}

/* The rest of a suite that is three tables: `results`, `shapes`, `errors`. `more` adds tests of its own to `all`. */
#define NUMBERS_MAIN(name, more)                                                                                       \
    START_TEST(ResultsAreRight)                                                                                        \
    {                                                                                                                  \
        numbers_check_result(&results[_i]);                                                                            \
    }                                                                                                                  \
    END_TEST                                                                                                           \
    START_TEST(ShapesAreInferred)                                                                                      \
    {                                                                                                                  \
        numbers_check_shape(&shapes[_i]);                                                                              \
    }                                                                                                                  \
    END_TEST                                                                                                           \
    START_TEST(WrongNodesAreRefused)                                                                                   \
    {                                                                                                                  \
        numbers_check_error(&errors[_i]);                                                                              \
    }                                                                                                                  \
    END_TEST                                                                                                           \
    int main(void)                                                                                                     \
    {                                                                                                                  \
        Suite *suite = suite_create(name);                                                                             \
        TCase *all = tcase_create(name);                                                                               \
        SRunner *runner;                                                                                               \
        int failed;                                                                                                    \
        tcase_add_loop_test(all, ResultsAreRight, 0, (int)GM_COUNT(results));                                          \
        tcase_add_loop_test(all, ShapesAreInferred, 0, (int)GM_COUNT(shapes));                                         \
        tcase_add_loop_test(all, WrongNodesAreRefused, 0, (int)GM_COUNT(errors));                                      \
        more;                                                                                                          \
        suite_add_tcase(suite, all);                                                                                   \
        runner = srunner_create(suite);                                                                                \
        srunner_run_all(runner, CK_NORMAL);                                                                            \
        failed = srunner_ntests_failed(runner);                                                                        \
        srunner_free(runner);                                                                                          \
        return failed != 0;                                                                                            \
    }

#endif
