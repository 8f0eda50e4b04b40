/* What operators that work along axes share: lists of axes, known integers, contents. */
#ifndef GM_OPS_AXES_H
#define GM_OPS_AXES_H

#include "graph/operator.h"

/* The marker of a -1 in gm_shape_elements. */
#define GM_DIM_INFER GM_DIM_ERROR

/* Elements of an integer value of rank 0 or 1 that are known numbers (a constant, or a known content). */
bool gm_known_ints(const gm_graph *graph, gm_value_id id, size_t capacity, int64_t *values_out, size_t *count_out);
/* Elements of a target shape: numbers, symbols, GM_DIM_INFER for -1. Looks through Concat and the like. */
bool gm_shape_elements(const gm_graph *graph, gm_value_id id, size_t capacity, gm_dim *dims_out, size_t *count_out);
/* The same, as the dims of the result of a node; fails with a message when the rank is not known. Unknown elements
 * become fresh symbols; none may be -1. */
gm_status gm_infer_target(gm_graph *graph, gm_node *node, gm_value_id id, int *rank_out, gm_dim *dims_out);
gm_status gm_set_content(gm_graph *graph, gm_node *node, size_t output, const gm_dim *content, size_t count);

/* mask[i]: is axis i of `rank` axes listed in input `input` (or attribute `axes` of older versions)? *given_out: was
 * there a list at all (an empty one counts as none)? */
gm_status gm_infer_axes(gm_graph *graph, gm_node *node, size_t input, int rank, bool *mask, bool *given_out);
/* A constant int64 vector with the axes of the mask. */
gm_value_id gm_const_axes(gm_graph *graph, const bool *mask, int rank);

#endif
