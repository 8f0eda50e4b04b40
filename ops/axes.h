/* What operators that work along axes share: lists of axes, known integers, contents, shapes that are made. */
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

/* One axis of a shape that is made while building: its size, and the axis of a value where a symbolic size is found at run
 * time. of == 0: the axis takes what the others leave (one axis at most). */
typedef struct gm_axis_size {
    gm_dim size;
    gm_value_id of;
    int axis;
} gm_axis_size;

/* x reshaped to these axes; x itself where it has them already. */
gm_value_id gm_reshape_to(gm_graph *graph, gm_value_id x, int rank, const gm_axis_size *axes);
/* An int64 vector of these sizes, for Reshape and Expand. */
gm_value_id gm_shape_vector(gm_graph *graph, int rank, const gm_axis_size *axes);

/* x cut into `count` parts of `each` along an axis, and parts put behind each other: as trees of Split and Concat, of which
 * no node has more outputs or inputs than an instruction takes. */
void gm_split_equal(gm_graph *graph, gm_value_id x, int64_t axis, int64_t count, int64_t each, gm_value_id *parts_out);
gm_value_id gm_join(gm_graph *graph, const gm_value_id *parts, int64_t axis, int64_t count);

#endif
