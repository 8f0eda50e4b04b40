/* Checks the gradient rule of an operator: signed two-sided differences in double, from one line of a table.
 *
 *     gradcheck(&(gradcheck_case){.op = "Transpose", .inputs = {"Nx3x4"}, .attributes = {GRAD_INTS("perm", 2, 0, 1)}});
 *
 * An input is written as text:
 *     "Nx3x4"           a double input, drawn; N is the symbol N, bound to 2 before the graph runs; "scalar": rank 0
 *     "Nx3 0.5 2"       the same, drawn between 0.5 and 2 (default: -1.5 and 1.5)
 *     "int 3 [0 1 1]"   an int64 constant of that shape; "int scalar [2]"
 *     "bool 3 [0 1 1]", "double 2 [1 0.5]", "uint8 ..."   other constants; no gradient is asked for them
 *     ""                left out
 * All drawn numbers of a case differ by far more than the step of the differences, and keep away from 0 and from the
 * `kinks` given, so that maxima and piecewise functions are differentiable where they are looked at. */
#ifndef GM_TESTS_GRADCHECK_H
#define GM_TESTS_GRADCHECK_H

#include "graph/operator.h"

#define GRAD_MAX_INPUTS     8
#define GRAD_MAX_ATTRIBUTES 10
#define GRAD_MAX_OUTPUTS    8

#define GRAD_INT(label, value)                                                                                         \
    {                                                                                                                  \
        .name = (label), .kind = GM_ATTRIBUTE_INT, .i = (value)                                                        \
    }
#define GRAD_FLOAT(label, value)                                                                                       \
    {                                                                                                                  \
        .name = (label), .kind = GM_ATTRIBUTE_FLOAT, .f = (value)                                                      \
    }
#define GRAD_STRING(label, value)                                                                                      \
    {                                                                                                                  \
        .name = (label), .kind = GM_ATTRIBUTE_STRING, .s = (value)                                                     \
    }
#define GRAD_INTS(label, ...)                                                                                          \
    {                                                                                                                  \
        .name = (label), .kind = GM_ATTRIBUTE_INTS, .ints = (const int64_t[]){__VA_ARGS__},                            \
        .count = sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)                                              \
    }

typedef struct gradcheck_case {
    const char *op;
    const char *inputs[GRAD_MAX_INPUTS];
    gm_attribute attributes[GRAD_MAX_ATTRIBUTES];
    size_t outputs;                /* 0: one */
    unsigned unseeded;             /* bit k: output k takes no part in the loss */
    unsigned no_second;            /* 1: skip the gradient of the gradient (a rule on the way has none) */
    unsigned training;             /* 1: graph->training */
    double kinks[4];               /* ascending, 0 ends the positive ones; 0 itself is always a kink */
    const gm_operator *definition; /* an operator that is not in the table: `op` only names it */
    double tolerance;              /* 0: 1e-6, relative to max(1, |gradient|) */
} gradcheck_case;

/* First order, and second order unless no_second. Fails the running Check test with one line that names what differs.
 */
void gradcheck(const gradcheck_case *check);

#endif
