/* Runs a bound graph node by node with the reference kernels: constant folding and tests stand on it. */
#ifndef GM_GRAPH_INTERPRET_H
#define GM_GRAPH_INTERPRET_H

#include "graph/ir.h"

/* inputs: one tensor per graph->inputs entry. states: per state index used, or NULL when the graph uses none. Every shape
 * must be known. *values_out: array of gm_tensor per value id (data in `pool`). Assigns are not carried out. */
gm_status gm_graph_interpret(const gm_graph *graph, gm_pool *pool, const gm_tensor *const *inputs,
                             const gm_tensor *const *states, uint64_t seed, uint64_t run, gm_tensor **values_out);
/* One node on the given tensors (in[i].data == NULL: omitted); outputs are allocated in `pool`. */
gm_status gm_node_interpret(const gm_graph *graph, const gm_node *node, gm_pool *pool, const gm_tensor *in,
                            gm_tensor *out, uint64_t seed, uint64_t run);
/* May a node, whose inputs are constants, be computed ahead of time? Not where that takes long, or gives more than `most`
 * elements and more than goes in: a few bytes of a file are not to fill the memory or to take minutes. */
bool gm_node_is_cheap(const gm_graph *graph, const gm_node *node, int64_t most);
/* Computes the last node of the graph, if all its inputs are constants and it may be folded at all; its entries of
 * `outputs` are then constants and the node is gone. */
gm_status gm_node_compute(gm_graph *graph, size_t index, gm_value_id *outputs);

#endif
