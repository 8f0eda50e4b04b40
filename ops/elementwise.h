/* What the files of elementwise operators share. */
#ifndef GM_OPS_ELEMENTWISE_H
#define GM_OPS_ELEMENTWISE_H

#include "ops/tile.h"

/* gm_operator.reference of every elementwise operator: NumPy broadcasting, arithmetic in double, or in int64 where all
 * inputs are integers. The rule is found by op->tile_instruction. */
gm_status gm_elementwise_reference(const gm_compute *compute);

/* Softmax, LogSoftmax and Hardmax before set 13: the axes from `axis` (1 where it is not given) on are one. */
gm_status gm_upgrade_softmax(gm_older_node *node);

/* The same types, broadcast; output is bool. */
gm_status gm_infer_comparison(gm_graph *graph, gm_node *node);

#endif
