/* Trigonometric and hyperbolic functions beyond Sin, Cos and Tanh: of any floating type, in double. Derivatives are made
 * of other operators (or of the functions themselves), so that they differentiate again. */
#include "graph/operator.h"

#include <math.h>

typedef double (*real_function)(double x);

static gm_status compute_function(const gm_compute *compute, real_function function)
{
    const gm_tensor *x = &compute->in[0], *y = &compute->out[0];
    int64_t count = gm_tensor_count(y);
    for (int64_t i = 0; i < count; i++)
        gm_set(y, i, function(gm_get(x, i)));
    return GM_OK;
}

/* --- Derivatives ---------------------------------------------------------------------------------------------------- */

static gm_value_id constant(const gm_gradient *g, double value)
{
    return gm_scalar_like(g->graph, g->node->inputs[0], value);
}

/* a + b x^2 */
static gm_value_id quadratic(const gm_gradient *g, double a, double b)
{
    gm_value_id x = g->node->inputs[0];
    return gm_emit2(g->graph, b < 0.0 ? "Sub" : "Add", constant(g, a), gm_emit2(g->graph, "Mul", x, x));
}

/* 1 + tan(x)^2 */
static gm_value_id slope_tan(const gm_gradient *g)
{
    gm_value_id y = g->node->outputs[0];
    return gm_emit2(g->graph, "Add", constant(g, 1.0), gm_emit2(g->graph, "Mul", y, y));
}

/* 1 / sqrt(1 - x^2) */
static gm_value_id slope_asin(const gm_gradient *g)
{
    return gm_emit1(g->graph, "Reciprocal", gm_emit1(g->graph, "Sqrt", quadratic(g, 1.0, -1.0)));
}

static gm_value_id slope_acos(const gm_gradient *g)
{
    return gm_emit1(g->graph, "Neg", slope_asin(g));
}

/* 1 / (1 + x^2) */
static gm_value_id slope_atan(const gm_gradient *g)
{
    return gm_emit1(g->graph, "Reciprocal", quadratic(g, 1.0, 1.0));
}

static gm_value_id slope_sinh(const gm_gradient *g)
{
    return gm_emit1(g->graph, "Cosh", g->node->inputs[0]);
}

static gm_value_id slope_cosh(const gm_gradient *g)
{
    return gm_emit1(g->graph, "Sinh", g->node->inputs[0]);
}

/* 1 / sqrt(1 + x^2) */
static gm_value_id slope_asinh(const gm_gradient *g)
{
    return gm_emit1(g->graph, "Reciprocal", gm_emit1(g->graph, "Sqrt", quadratic(g, 1.0, 1.0)));
}

/* 1 / sqrt(x^2 - 1), as 1 / (sqrt(x - 1) sqrt(x + 1)): exact near 1, and no slope where the function has no value */
static gm_value_id slope_acosh(const gm_gradient *g)
{
    gm_value_id x = g->node->inputs[0], one = constant(g, 1.0);
    gm_value_id below = gm_emit1(g->graph, "Sqrt", gm_emit2(g->graph, "Sub", x, one));
    gm_value_id above = gm_emit1(g->graph, "Sqrt", gm_emit2(g->graph, "Add", x, one));
    return gm_emit1(g->graph, "Reciprocal", gm_emit2(g->graph, "Mul", below, above));
}

/* 1 / (1 - x^2) */
static gm_value_id slope_atanh(const gm_gradient *g)
{
    return gm_emit1(g->graph, "Reciprocal", quadratic(g, 1.0, -1.0));
}

/* --- The operators: https://onnx.ai/onnx/operators/onnx__Tan.html and its kin ---------------------------------------- */

#define FUNCTION(low, text, version)                                                                                   \
    static gm_status reference_##low(const gm_compute *compute)                                                        \
    {                                                                                                                  \
        return compute_function(compute, low);                                                                         \
    }                                                                                                                  \
    static gm_status gradient_##low(gm_gradient *g)                                                                    \
    {                                                                                                                  \
        if (g->wanted[0])                                                                                              \
            g->dx[0] = gm_emit2(g->graph, "Mul", g->dy[0], slope_##low(g));                                            \
        return g->graph->status;                                                                                       \
    }                                                                                                                  \
    const gm_operator gm_op_##low = {.domain = "",                                                                     \
                                     .name = text,                                                                     \
                                     .since = version,                                                                 \
                                     .inputs = "input",                                                                \
                                     .outputs = "output",                                                              \
                                     .types = GM_TYPES_FLOATING,                                                       \
                                     .infer = gm_infer_unary,                                                          \
                                     .gradient = gradient_##low,                                                       \
                                     .reference = reference_##low}

FUNCTION(tan, "Tan", 22);
FUNCTION(asin, "Asin", 22);
FUNCTION(acos, "Acos", 22);
FUNCTION(atan, "Atan", 22);
FUNCTION(sinh, "Sinh", 22);
FUNCTION(cosh, "Cosh", 22);
FUNCTION(asinh, "Asinh", 22);
FUNCTION(acosh, "Acosh", 22);
FUNCTION(atanh, "Atanh", 22);
