/* Nodes of older operator sets. */
#ifndef GM_GRAPH_OLDER_H
#define GM_GRAPH_OLDER_H

#include "graph/operator.h"

/* Whether nodes of that set may need gm_older_upgrade. */
bool gm_older_applies(const gm_operator *op, int64_t opset);
/* Whether the operator had this attribute, which it has no more. */
bool gm_older_has(const gm_operator *op, int64_t opset, const char *attribute);
/* Brings the node into the present form, or emits what stands for it (node->done). The path and place of nodes that it emits
 * are those of the graph. */
gm_status gm_older_upgrade(gm_older_node *node);

#endif
