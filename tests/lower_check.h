/* Compares an operator's fast kernel with its reference kernel on one node.
 *
 *   gm_tensor *x = lower_random(&check, GM_FLOAT, 4, (int64_t[]){2, 16, 7, 7}, -1, 1);
 *   lower_check_node(&check, "Conv", (gm_tensor *[]){x, w}, 2, attributes, count, 1, (int[]){16, LOWER_ANY}, 1e-4);
 *
 * The node gets its inputs in the layouts that it asks for, runs twice (the results must agree bit for bit), and its
 * outputs are brought back to plain order and compared element by element: |a - b| <= tolerance * (1 + |b|). */
#ifndef GM_TESTS_LOWER_CHECK_H
#define GM_TESTS_LOWER_CHECK_H

#include "graph/interpret.h"
#include "ops/kernel.h"
#include "ops/philox.h"

#include <check.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

enum { LOWER_PLAIN = 0, LOWER_LAST = -1, LOWER_ANY = -2 }; /* or the block: 8, 16. Where the shape cannot: plain */

typedef struct lower_check {
    gm_context *context;
    gm_pool *pool;
    int threads;
    bool out_plain;  /* whoever reads the outputs reads them plain */
    int formulation; /* that is asked for; 0: the operator's own choice */
    uint64_t draws;
    unsigned constants; /* bit i: input i is a constant of the graph (shapes, axes), not fed */
    /* Of the last node: */
    bool lowered; /* false: `lower` declined and the reference kernel stood in */
    gm_layout out_layout[GM_MAX_ARITY], in_want[GM_MAX_ARITY];
    gm_tensor out[GM_MAX_ARITY]; /* by the fast kernel, plain */
} lower_check;

static inline void lower_check_begin(lower_check *check)
{
    memset(check, 0, sizeof *check);
    ck_assert_int_eq(gm_context_create(NULL, &check->context), GM_OK);
    check->pool = gm_pool_create(check->context);
    ck_assert_ptr_nonnull(check->pool);
    check->threads = 2;
}

static inline void lower_check_end(lower_check *check)
{
    gm_pool_destroy(check->pool);
    gm_context_destroy(check->context);
}

static inline double lower_draw(lower_check *check, double low, double high)
{
    uint64_t z = check->draws += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return low + (high - low) * (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
}

static inline int64_t lower_draw_int(lower_check *check, int64_t low, int64_t high) /* both included */
{
    return low + (int64_t)(lower_draw(check, 0, 1) * (double)(high - low + 1));
}

static inline gm_tensor *lower_random(lower_check *check, gm_type type, int rank, const int64_t *dims, double low,
                                      double high)
{
    gm_tensor *tensor = gm_tensor_create(check->pool, type, rank, dims);
    ck_assert_ptr_nonnull(tensor);
    for (int64_t i = 0; i < gm_tensor_count(tensor); i++)
        gm_set(tensor, i, lower_draw(check, low, high));
    return tensor;
}

static inline gm_layout lower_layout_of(const gm_tensor *tensor, int wish)
{
    int64_t block = wish == LOWER_LAST && tensor->rank >= 2 ? tensor->dims[1] : wish;
    if (wish == LOWER_ANY)
        return gm_layout_any;
    if (block <= 1 || tensor->rank < 3 || tensor->dims[1] % block != 0)
        return gm_layout_plain;
    return (gm_layout){block, NULL};
}

static inline void *lower_reordered(lower_check *check, const gm_tensor *tensor, const void *data, gm_layout from,
                                    gm_layout to)
{
    gm_kernel kernel = {0};
    size_t scratch_bytes = 0;
    void *out = gm_pool_alloc(check->pool, gm_tensor_bytes(tensor) + 64), *scratch;
    ck_assert_ptr_nonnull(out);
    ck_assert_msg(gm_lower_reorder(check->context, check->pool, tensor->type, tensor->rank, tensor->dims, from, to,
                                   &scratch_bytes, &kernel) == GM_OK,
                  "%s", gm_context_message(check->context));
    scratch = gm_alloc(check->context, scratch_bytes);
    gm_kernel_arguments arguments = {
        .in = (void *[]){(void *)data}, .out = (void *[]){out}, .scratch = scratch, .threads = check->threads};
    ck_assert_int_eq(kernel.run(kernel.state, &arguments), GM_OK);
    if (kernel.destroy)
        kernel.destroy(kernel.state);
    gm_free(check->context, scratch);
    return out;
}

static inline void lower_compare(const gm_tensor *got, const gm_tensor *expected, double tolerance, const char *name,
                                 size_t output)
{
    for (int64_t i = 0; i < gm_tensor_count(expected); i++) {
        double a = gm_get(got, i), b = gm_get(expected, i);
        ck_assert_msg(a == b || fabs(a - b) <= tolerance * (1 + fabs(b)), "%s output %zu [%lld]: %.9g, reference %.9g",
                      name, output, (long long)i, a, b);
    }
}

/* inputs[i] NULL: omitted. wishes NULL: all plain. */
static inline void lower_check_node(lower_check *check, const char *name, gm_tensor *const *inputs, size_t input_count,
                                    const gm_attribute *attributes, size_t attribute_count, size_t output_count,
                                    const int *wishes, double tolerance)
{
    gm_graph *graph = gm_graph_create(check->pool, NULL, "check");
    gm_value_id ids[GM_MAX_ARITY] = {0}, outputs[GM_MAX_ARITY] = {0};
    gm_tensor in[GM_MAX_ARITY], expected[GM_MAX_ARITY];
    gm_layout in_layout[GM_MAX_ARITY];
    bool wanted[GM_MAX_ARITY], plain[GM_MAX_ARITY];
    int in_place[GM_MAX_ARITY], alias[GM_MAX_ARITY], outer_threads = omp_get_max_threads();
    void *in_data[GM_MAX_ARITY] = {0}, *out_data[GM_MAX_ARITY] = {0}, *scratch;
    const gm_node *node;
    memset(in, 0, sizeof in);
    memset(expected, 0, sizeof expected);
    for (size_t i = 0; i < input_count; i++) {
        char text[16];
        snprintf(text, sizeof text, "in%zu", i);
        if (!inputs[i])
            continue;
        in[i] = *inputs[i];
        ids[i] = check->constants >> i & 1 ? gm_graph_constant(graph, inputs[i])
                                           : gm_graph_add_input(graph, text, in[i].type, in[i].rank, in[i].dims, false);
    }
    gm_emit_many(graph, name, ids, input_count, attributes, attribute_count, outputs, output_count);
    ck_assert_msg(graph->status == GM_OK, "%s", gm_context_message(check->context));
    node = &graph->nodes[gm_value_of(graph, outputs[0])->node];
    ck_assert_msg(gm_node_interpret(graph, node, check->pool, in, expected, 1, 0) == GM_OK, "%s",
                  gm_context_message(check->context));

    for (size_t i = 0; i < GM_MAX_ARITY; i++) {
        in_layout[i] = i < input_count && inputs[i] && wishes ? lower_layout_of(inputs[i], wishes[i]) : gm_layout_plain;
        check->in_want[i] = check->out_layout[i] = gm_layout_plain;
        wanted[i] = i < output_count;
        plain[i] = wanted[i] && check->out_plain;
        in_place[i] = alias[i] = -1;
    }
    gm_lower lower = {.context = check->context,
                      .pool = check->pool,
                      .graph = graph,
                      .node = node,
                      .threads = check->threads,
                      .out_plain = plain,
                      .formulation = check->formulation,
                      .in_layout = in_layout,
                      .out_wanted = wanted,
                      .in_want = check->in_want,
                      .out_layout = check->out_layout,
                      .in_place = in_place,
                      .alias = alias};
    if (node->op->lower)
        ck_assert_msg(node->op->lower(&lower) == GM_OK, "%s", gm_context_message(check->context));
    check->lowered = lower.kernel.run != NULL;
    if (!lower.kernel.run && alias[0] < 0)
        ck_assert_int_eq(gm_lower_reference(&lower), GM_OK);
    for (size_t i = 0; i < input_count; i++) {
        ck_assert_msg(!gm_layout_is_any(check->in_want[i]), "%s input %zu wants no layout", name, i);
        if (inputs[i])
            in_data[i] = lower_reordered(check, &in[i], in[i].data, gm_layout_plain, check->in_want[i]);
    }
    scratch = gm_alloc(check->context, lower.scratch_bytes);
    omp_set_num_threads(check->threads);
    for (int turn = 0; turn < 2; turn++) {
        void *fresh[GM_MAX_ARITY] = {0};
        gm_kernel_arguments arguments = {
            .in = in_data, .out = fresh, .scratch = scratch, .seed = 1, .threads = check->threads};
        for (size_t o = 0; o < output_count; o++) {
            fresh[o] = gm_pool_alloc(check->pool, gm_tensor_bytes(&expected[o]) + 64);
            memset(fresh[o], 0xff, gm_tensor_bytes(&expected[o]));
            if (alias[o] >= 0)
                memcpy(fresh[o], in_data[alias[o]], gm_tensor_bytes(&expected[o]));
        }
        memset(scratch, 0xff, lower.scratch_bytes);
        if (lower.kernel.run)
            ck_assert_msg(lower.kernel.run(lower.kernel.state, &arguments) == GM_OK, "%s",
                          gm_context_message(check->context));
        for (size_t o = 0; o < output_count; o++) {
            if (turn)
                ck_assert_msg(memcmp(out_data[o], fresh[o], gm_tensor_bytes(&expected[o])) == 0,
                              "%s output %zu differs from run to run", name, o);
            out_data[o] = fresh[o];
        }
    }
    omp_set_num_threads(outer_threads);
    gm_free(check->context, scratch);
    for (size_t o = 0; o < output_count; o++) {
        check->out[o] = expected[o];
        check->out[o].data = lower_reordered(check, &expected[o], out_data[o], check->out_layout[o], gm_layout_plain);
        lower_compare(&check->out[o], &expected[o], tolerance, name, o);
    }
    if (lower.kernel.destroy)
        lower.kernel.destroy(lower.kernel.state);
}

#endif
