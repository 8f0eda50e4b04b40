/* The tile machine: a group of elementwise nodes runs as one pass over memory.
 *
 * A body graph (or a single node) is compiled into a short program of vector instructions. Each works on a tile of at
 * most GM_TILE elements that stays in the first-level cache; only the group's inputs are read from memory and only its
 * outputs are written. Everything is float32 inside; bools are 0 and 1. */
#ifndef GM_OPS_TILE_H
#define GM_OPS_TILE_H

#include "ops/kernel.h"

#define GM_TILE 512 /* floats in a register: 2 KiB */

/* What an elementwise operator computes: gm_operator.tile_instruction, and the row of the reference kernel's table. */
typedef enum gm_tile_code {
    GM_TILE_NONE,
    GM_TILE_COPY, /* Identity, Detach, Cast between float and float or from bool */
    GM_TILE_ADD,
    GM_TILE_SUB,
    GM_TILE_MUL,
    GM_TILE_DIV,
    GM_TILE_POW,
    GM_TILE_MOD, /* reference kernel only */
    GM_TILE_MIN,
    GM_TILE_MAX,
    GM_TILE_EQUAL,
    GM_TILE_LESS,
    GM_TILE_GREATER,
    GM_TILE_LESS_EQUAL,
    GM_TILE_GREATER_EQUAL,
    GM_TILE_AND,
    GM_TILE_OR,
    GM_TILE_XOR,
    GM_TILE_NOT,
    GM_TILE_NEG,
    GM_TILE_ABS,
    GM_TILE_SIGN,
    GM_TILE_EXP,
    GM_TILE_LOG,
    GM_TILE_SQRT,
    GM_TILE_RECIPROCAL,
    GM_TILE_SIN,
    GM_TILE_COS,
    GM_TILE_FLOOR,
    GM_TILE_CEIL,
    GM_TILE_ROUND,
    GM_TILE_ERF,
    GM_TILE_RELU,
    GM_TILE_LEAKY_RELU, /* p = slope */
    GM_TILE_STEP,       /* x > 0 ? 1 : p */
    GM_TILE_TANH,
    GM_TILE_SIGMOID,
    GM_TILE_SOFTPLUS,
    GM_TILE_CLIP,
    GM_TILE_WHERE,
    GM_TILE_CAST,
    GM_TILE_IS_NAN,
    GM_TILE_MASK, /* gmodel.RandomMask: draw, 1 where it is >= the ratio */
    GM_TILE_LOAD, /* from here on made by the compiler only: load input p into a register */
    GM_TILE_TO_BOOL,
    GM_TILE_CODES
} gm_tile_code;

/* One vector instruction over n elements, for every code that has one. Operands may be the very same memory as dst. */
typedef void (*gm_tile_loop)(float *dst, const float *a, const float *b, const float *c, float p, size_t n);

/* The loops for this machine, GM_TILE_CODES entries; NULL where the machine has no such instruction. */
const gm_tile_loop *gm_tile_loops(void);
/* The same in plain C for the compiler's base instruction set: what tests compare. */
const gm_tile_loop *gm_tile_loops_base(void);

/* gm_operator.lower of every elementwise operator, of gmodel.RandomMask and of gmodel.Fused. */
gm_status gm_tile_lower(gm_lower *lower);

#endif
