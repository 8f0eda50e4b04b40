/* Symbolic dimensions: polynomials with integer coefficients over named symbols such as N.
 *
 * A gm_dim >= 0 is that number. A negative one is an entry of a gm_symbols table, where equal polynomials are one
 * entry, so that == compares dimensions exactly. Several threads may work with one table, whose pool nothing else uses
 * meanwhile. */
#ifndef GM_GRAPH_DIM_H
#define GM_GRAPH_DIM_H

#include "graph/base.h"

typedef int64_t gm_dim;
typedef struct gm_symbols gm_symbols;

#define GM_DIM_ERROR INT64_MIN /* no memory, overflow, or an impossible division */

gm_symbols *gm_symbols_create(gm_pool *pool);
gm_dim gm_dim_symbol(gm_symbols *symbols, const char *name);           /* the same name gives the same dim */
gm_dim gm_dim_unknown(gm_symbols *symbols);                            /* a new, anonymous symbol, printed "?" */
bool gm_dim_is_known(gm_dim dim);                                      /* >= 0 */
const char *gm_dim_symbol_name(const gm_symbols *symbols, gm_dim dim); /* NULL when dim is not a plain symbol */

gm_dim gm_dim_add(gm_symbols *symbols, gm_dim a, gm_dim b);
gm_dim gm_dim_sub(gm_symbols *symbols, gm_dim a, gm_dim b); /* N - N is 0; a known negative result is GM_DIM_ERROR */
gm_dim gm_dim_mul(gm_symbols *symbols, gm_dim a, gm_dim b);
/* Exact quotient, e.g. (784 * N) / 784 or (N * C) / N; GM_DIM_ERROR when it does not divide. */
gm_dim gm_dim_div_exact(gm_symbols *symbols, gm_dim a, gm_dim b);
/* floor or ceil((a + add) / divisor) + offset, the form of convolution and pooling outputs. Known operands give a number
 * (GM_DIM_ERROR when negative), symbolic ones simplify where the division is exact, else an interned opaque symbol. */
gm_dim gm_dim_window(gm_symbols *symbols, gm_dim a, int64_t add, int64_t divisor, int64_t offset, bool ceil_mode);

/* Values for symbols while a graph is bound. Unbound symbols leave the dimension symbolic. */
typedef struct gm_binding {
    gm_dim symbol; /* from gm_dim_symbol */
    int64_t value;
} gm_binding;
gm_dim gm_dim_bind(gm_symbols *symbols, gm_dim dim, const gm_binding *bindings, size_t count);

/* "256", "N", "2*N", "784*N + 1", "?": text in `buffer`, always terminated. Returns buffer. */
const char *gm_dim_print(const gm_symbols *symbols, gm_dim dim, char *buffer, size_t bytes);
/* "[N, 1, 28, 28]". */
const char *gm_dims_print(const gm_symbols *symbols, int rank, const gm_dim *dims, char *buffer, size_t bytes);

#endif
