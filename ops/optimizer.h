/* The formulas of optimizers, shared by the updates of whole parameters (optimizer.c) and of rows (optimizer_rows.c). */
#ifndef GM_OPS_OPTIMIZER_H
#define GM_OPS_OPTIMIZER_H

#include "ops/kernel.h"

#define GM_UPDATE_SLOTS 2 /* at most */
#define GM_UPDATE_GIVEN 6

/* What a formula needs, computed once per run from the attributes, the rate and the count. */
typedef struct gm_update_settings {
    double rate, post; /* post: factor on the result (norm_coefficient_post) */
    double shrink;     /* factor on X beforehand: decoupled weight decay */
    double norm;       /* L2: G + norm X */
    double alpha, one_alpha, beta, one_beta, epsilon;
    double root; /* Adam with corrected_epsilon: sqrt(1 - beta^T), else 1 */
    bool nesterov;
} gm_update_settings;

/* One element: x, gradient and slots in, x returned, slots out. */
typedef double (*gm_update_element)(const gm_update_settings *s, double x, double g, double *slot);
/* n elements in float32, in: X, G, slots; out: X, slots. Outputs may be the very memory of the inputs. */
typedef void (*gm_update_loop)(const gm_update_settings *s, const float *const *in, float *const *out, size_t n);

typedef struct gm_update_rule {
    const char *name;
    bool counts; /* input T, the number of this update, stands behind the rate */
    size_t slots;
    gm_update_element element;
    gm_update_loop loop;
} gm_update_rule;

/* Of SGD and of SparseSGD, and so on. */
const gm_update_rule *gm_update_rule_of(const gm_node *node);
size_t gm_update_given(const gm_node *node); /* number of inputs that replace attributes */
/* given: their values, in the order of the attribute `given`. */
void gm_update_read(const gm_node *node, double rate, double count, const double *given, gm_update_settings *s);
double gm_update_scalar(gm_type type, void *data);

#endif
