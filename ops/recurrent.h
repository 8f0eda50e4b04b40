/* What RNN, GRU and LSTM share: their attributes as read, and the two ways to compute them. */
#ifndef GM_OPS_RECURRENT_H
#define GM_OPS_RECURRENT_H

#include "ops/axes.h"

typedef struct gm_activation {
    const char *name;
    bool takes_alpha, takes_beta;
    double alpha, beta; /* in the table: the defaults */
    double (*value)(double x, double alpha, double beta);
} gm_activation;

typedef enum gm_recurrent_kind { GM_RNN, GM_GRU, GM_LSTM } gm_recurrent_kind;

/* The gates lie one behind the other in W, R and B: RNN i; GRU z r h; LSTM i o f c. */
typedef struct gm_recurrent {
    gm_recurrent_kind kind;
    int gates, directions, activation_count; /* activations of one direction: f; f g; f g h */
    bool reverse;                            /* the only direction goes from the end to the beginning */
    bool batch_first;                        /* layout 1: X[N, T, I], Y[N, T, D, H], states [N, D, H] */
    bool linear_before_reset, input_forget;
    double
        clip; /* the gates' sums are cut to [-clip, clip] (the cell behind h is not: as in onnxruntime); 0: not at all */
    gm_activation activations[6];
} gm_recurrent;

/* NULL, or what is wrong with the attributes (in `buffer` where the text is not constant). */
const char *gm_recurrent_read(const gm_node *node, gm_recurrent *out, char *buffer, size_t bytes);
static inline bool gm_recurrent_backward(const gm_recurrent *r, int direction)
{
    return r->reverse || direction == 1;
}

/* Unrolled over time, by other operators; declines where the number of steps is not known or very large. */
gm_status gm_recurrent_expand(gm_graph *graph, const gm_node *node, gm_value_id *outputs);

#endif
