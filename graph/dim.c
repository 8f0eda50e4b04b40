/* Symbolic dimensions: interned polynomials over symbols.
 *
 * A polynomial is a sum of terms, a term a coefficient times a product of atoms, an atom a named symbol, an anonymous
 * one, or a quotient floor(polynomial / divisor) that does not simplify. Terms are kept in graded lexicographic order
 * (which multiplication respects, so that long division finds every exact quotient), hence equal polynomials have one
 * form and, through the table, one number. An entry only refers to entries made before it. */
#include "graph/dim.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define MAX_TERMS  32
#define MAX_DEGREE 8
#define MAX_HEIGHT 32 /* of quotients inside quotients, which printing and binding walk recursively */

typedef enum entry_kind { ENTRY_SYMBOL, ENTRY_UNKNOWN, ENTRY_QUOTIENT, ENTRY_POLYNOMIAL } entry_kind;

typedef struct term {
    int64_t coefficient;
    uint32_t degree;
    uint32_t atoms[MAX_DEGREE]; /* indices of entries, ascending; unused ones are 0 */
} term;

typedef struct polynomial {
    size_t count;
    bool failed; /* overflow, or too many terms */
    term terms[MAX_TERMS];
} polynomial;

typedef struct entry {
    entry_kind kind;
    int height;
    uint64_t hash;
    uint32_t next;    /* in its bucket: index + 1 */
    const char *name; /* SYMBOL */
    int64_t divisor;  /* QUOTIENT of the polynomial in `terms` */
    const term *terms;
    size_t term_count;
    /* Result of the current gm_dim_bind: shared quotients are then worked out once. */
    uint64_t bind_run;
    bool bound_known;
    int64_t bound_value;
    gm_dim bound;
} entry;

struct gm_symbols {
    pthread_mutex_t mutex; /* guards everything: the graphs of one model may be planned by several threads at once */
    gm_pool *pool;
    entry *entries;
    size_t count, capacity;
    uint32_t *buckets;
    size_t bucket_count; /* a power of two */
    uint64_t bind_run;
};

gm_symbols *gm_symbols_create(gm_pool *pool)
{
    gm_symbols *symbols = gm_pool_alloc(pool, sizeof *symbols);
    if (!symbols)
        return NULL;
    pthread_mutex_init(&symbols->mutex, NULL); /* in a pool: nothing is left behind where it ends with it */
    symbols->pool = pool;
    symbols->bucket_count = 64;
    symbols->buckets = gm_pool_array(pool, symbols->bucket_count, sizeof *symbols->buckets);
    return symbols->buckets ? symbols : NULL;
}

/* --- The table ----------------------------------------------------------------------------------------------------- */

static gm_dim dim_of(size_t index)
{
    return -(gm_dim)index - 1;
}

static const entry *entry_of(const gm_symbols *symbols, gm_dim dim)
{
    if (dim >= 0 || dim == GM_DIM_ERROR || !symbols || (uint64_t)(-(dim + 1)) >= symbols->count)
        return NULL;
    return &symbols->entries[-(dim + 1)];
}

static uint64_t hash_bytes(uint64_t hash, const void *data, size_t bytes)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ p[i]) * UINT64_C(1099511628211);
    return hash;
}

static uint64_t hash_entry(const entry *e)
{
    uint64_t hash = hash_bytes(UINT64_C(14695981039346656037), &e->kind, sizeof e->kind);
    hash = hash_bytes(hash, &e->divisor, sizeof e->divisor);
    if (e->name)
        hash = hash_bytes(hash, e->name, strlen(e->name));
    for (size_t i = 0; i < e->term_count; i++) {
        hash = hash_bytes(hash, &e->terms[i].coefficient, sizeof e->terms[i].coefficient);
        hash = hash_bytes(hash, e->terms[i].atoms, e->terms[i].degree * sizeof e->terms[i].atoms[0]);
    }
    return hash;
}

static bool same_term(const term *a, const term *b)
{
    return a->coefficient == b->coefficient && a->degree == b->degree &&
           memcmp(a->atoms, b->atoms, a->degree * sizeof a->atoms[0]) == 0;
}

static bool same_entry(const entry *a, const entry *b)
{
    if (a->hash != b->hash || a->kind != b->kind || a->divisor != b->divisor || a->term_count != b->term_count)
        return false;
    if (a->kind == ENTRY_SYMBOL)
        return strcmp(a->name, b->name) == 0;
    for (size_t i = 0; i < a->term_count; i++)
        if (!same_term(&a->terms[i], &b->terms[i]))
            return false;
    return a->kind != ENTRY_UNKNOWN;
}

static bool grow_buckets(gm_symbols *symbols)
{
    size_t count = symbols->bucket_count * 2;
    uint32_t *buckets;
    if (symbols->count < symbols->bucket_count)
        return true;
    buckets = gm_pool_array(symbols->pool, count, sizeof *buckets);
    if (!buckets)
        return false;
    for (size_t i = 0; i < symbols->count; i++) {
        uint32_t *bucket = &buckets[symbols->entries[i].hash & (count - 1)];
        symbols->entries[i].next = *bucket;
        *bucket = (uint32_t)i + 1;
    }
    symbols->buckets = buckets;
    symbols->bucket_count = count;
    return true;
}

/* Finds or makes the entry; name and terms of `wanted` are copied. */
static gm_dim intern(gm_symbols *symbols, entry wanted)
{
    uint32_t *bucket;
    wanted.hash = hash_entry(&wanted);
    bucket = &symbols->buckets[wanted.hash & (symbols->bucket_count - 1)];
    for (uint32_t i = *bucket; i; i = symbols->entries[i - 1].next)
        if (same_entry(&symbols->entries[i - 1], &wanted))
            return dim_of(i - 1);
    if (symbols->count >= UINT32_MAX / 2 || !grow_buckets(symbols) ||
        !gm_pool_grow(symbols->pool, (void **)&symbols->entries, &symbols->capacity, symbols->count + 1,
                      sizeof *symbols->entries))
        return GM_DIM_ERROR;
    if (wanted.name && !(wanted.name = gm_pool_string(symbols->pool, wanted.name)))
        return GM_DIM_ERROR;
    if (wanted.term_count &&
        !(wanted.terms = gm_pool_copy(symbols->pool, wanted.terms, wanted.term_count * sizeof *wanted.terms)))
        return GM_DIM_ERROR;
    bucket = &symbols->buckets[wanted.hash & (symbols->bucket_count - 1)];
    wanted.next = *bucket;
    symbols->entries[symbols->count] = wanted;
    *bucket = (uint32_t)++symbols->count;
    return dim_of(symbols->count - 1);
}

static gm_dim symbol_of(gm_symbols *symbols, const char *name)
{
    return intern(symbols, (entry){.kind = ENTRY_SYMBOL, .name = name});
}

static gm_dim new_unknown(gm_symbols *symbols)
{
    /* Its own number tells it from the others. */
    return intern(symbols, (entry){.kind = ENTRY_UNKNOWN, .divisor = (int64_t)symbols->count});
}

bool gm_dim_is_known(gm_dim dim)
{
    return dim >= 0;
}

static const char *name_of(const gm_symbols *symbols, gm_dim dim)
{
    const entry *e = entry_of(symbols, dim);
    return e && e->kind == ENTRY_SYMBOL ? e->name : NULL;
}

/* --- Polynomials --------------------------------------------------------------------------------------------------- */

/* Graded lexicographic: positive when a comes first (is the larger one). */
static int compare_terms(const term *a, const term *b)
{
    if (a->degree != b->degree)
        return a->degree > b->degree ? 1 : -1;
    for (uint32_t i = 0; i < a->degree; i++)
        if (a->atoms[i] != b->atoms[i])
            return a->atoms[i] < b->atoms[i] ? 1 : -1;
    return 0;
}

static void add_term(polynomial *p, const term *t)
{
    size_t at = 0;
    if (t->coefficient == 0 || p->failed)
        return;
    while (at < p->count && compare_terms(&p->terms[at], t) > 0)
        at++;
    if (at < p->count && compare_terms(&p->terms[at], t) == 0) {
        if (__builtin_add_overflow(p->terms[at].coefficient, t->coefficient, &p->terms[at].coefficient))
            p->failed = true;
        else if (p->terms[at].coefficient == 0)
            memmove(&p->terms[at], &p->terms[at + 1], (--p->count - at) * sizeof p->terms[0]);
        return;
    }
    if (p->count == MAX_TERMS) {
        p->failed = true;
        return;
    }
    memmove(&p->terms[at + 1], &p->terms[at], (p->count++ - at) * sizeof p->terms[0]);
    p->terms[at] = *t;
}

static void add_constant(polynomial *p, int64_t value)
{
    add_term(p, &(term){.coefficient = value});
}

/* p += factor * dim */
static void add_dim(const gm_symbols *symbols, polynomial *p, gm_dim dim, int64_t factor)
{
    const entry *e = entry_of(symbols, dim);
    int64_t product;
    if (dim >= 0) {
        if (__builtin_mul_overflow(dim, factor, &product))
            p->failed = true;
        else
            add_constant(p, product);
    } else if (!e) {
        p->failed = true;
    } else if (e->kind != ENTRY_POLYNOMIAL) {
        add_term(p, &(term){.coefficient = factor, .degree = 1, .atoms = {(uint32_t)(e - symbols->entries)}});
    } else {
        for (size_t i = 0; i < e->term_count; i++) {
            term t = e->terms[i];
            if (__builtin_mul_overflow(t.coefficient, factor, &t.coefficient))
                p->failed = true;
            add_term(p, &t);
        }
    }
}

static bool multiply_terms(const term *a, const term *b, term *product)
{
    uint32_t i = 0, k = 0;
    memset(product, 0, sizeof *product);
    if (a->degree + b->degree > MAX_DEGREE ||
        __builtin_mul_overflow(a->coefficient, b->coefficient, &product->coefficient))
        return false;
    product->degree = a->degree + b->degree;
    for (uint32_t n = 0; n < product->degree; n++)
        product->atoms[n] =
            k == b->degree || (i < a->degree && a->atoms[i] <= b->atoms[k]) ? a->atoms[i++] : b->atoms[k++];
    return true;
}

/* quotient * b == a; false when b does not divide a. */
static bool divide_terms(const term *a, const term *b, term *quotient)
{
    uint32_t k = 0;
    memset(quotient, 0, sizeof *quotient);
    if (a->degree < b->degree || (a->coefficient == INT64_MIN && b->coefficient == -1) ||
        a->coefficient % b->coefficient != 0)
        return false;
    quotient->coefficient = a->coefficient / b->coefficient;
    for (uint32_t i = 0; i < a->degree; i++) {
        if (k < b->degree && a->atoms[i] == b->atoms[k])
            k++;
        else
            quotient->atoms[quotient->degree++] = a->atoms[i];
    }
    return k == b->degree;
}

/* p += factor * q */
static void add_product(polynomial *p, const term *factor, const polynomial *q)
{
    for (size_t i = 0; i < q->count; i++) {
        term product;
        if (!multiply_terms(factor, &q->terms[i], &product))
            p->failed = true;
        else
            add_term(p, &product);
    }
    p->failed |= q->failed;
}

static bool is_constant(const polynomial *p, int64_t *value_out)
{
    if (p->count > 1 || (p->count == 1 && p->terms[0].degree > 0))
        return false;
    *value_out = p->count ? p->terms[0].coefficient : 0;
    return true;
}

static int height_of(const gm_symbols *symbols, const polynomial *p)
{
    int height = 0;
    for (size_t i = 0; i < p->count; i++)
        for (uint32_t k = 0; k < p->terms[i].degree; k++)
            if (symbols->entries[p->terms[i].atoms[k]].height > height)
                height = symbols->entries[p->terms[i].atoms[k]].height;
    return height;
}

/* The interned form. A negative number is an error. */
static gm_dim to_dim(gm_symbols *symbols, const polynomial *p)
{
    int64_t value;
    if (p->failed)
        return GM_DIM_ERROR;
    if (is_constant(p, &value))
        return value < 0 ? GM_DIM_ERROR : value;
    if (p->count == 1 && p->terms[0].coefficient == 1 && p->terms[0].degree == 1)
        return dim_of(p->terms[0].atoms[0]);
    return intern(
        symbols,
        (entry){.kind = ENTRY_POLYNOMIAL, .height = height_of(symbols, p), .terms = p->terms, .term_count = p->count});
}

/* --- Arithmetic ---------------------------------------------------------------------------------------------------- */

static gm_dim sum_of(gm_symbols *symbols, gm_dim a, gm_dim b)
{
    polynomial p = {0};
    add_dim(symbols, &p, a, 1);
    add_dim(symbols, &p, b, 1);
    return to_dim(symbols, &p);
}

static gm_dim difference(gm_symbols *symbols, gm_dim a, gm_dim b)
{
    polynomial p = {0};
    add_dim(symbols, &p, a, 1);
    add_dim(symbols, &p, b, -1);
    return to_dim(symbols, &p);
}

static gm_dim product_of(gm_symbols *symbols, gm_dim a, gm_dim b)
{
    polynomial x = {0}, y = {0}, p = {0};
    add_dim(symbols, &x, a, 1);
    add_dim(symbols, &y, b, 1);
    for (size_t i = 0; i < x.count; i++)
        add_product(&p, &x.terms[i], &y);
    p.failed |= x.failed | y.failed;
    return to_dim(symbols, &p);
}

static gm_dim quotient_of(gm_symbols *symbols, gm_dim a, gm_dim b)
{
    polynomial rest = {0}, divisor = {0}, quotient = {0};
    add_dim(symbols, &rest, a, 1);
    add_dim(symbols, &divisor, b, 1);
    if (divisor.count == 0 || divisor.failed)
        return GM_DIM_ERROR;
    while (rest.count && !rest.failed) { /* each round removes the leading term, so this ends */
        term t;
        if (!divide_terms(&rest.terms[0], &divisor.terms[0], &t) || t.coefficient == INT64_MIN)
            return GM_DIM_ERROR;
        add_term(&quotient, &t);
        t.coefficient = -t.coefficient;
        add_product(&rest, &t, &divisor);
    }
    quotient.failed |= rest.failed;
    return to_dim(symbols, &quotient);
}

static int64_t floor_divide(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* sum += floor(p / divisor): what divides exactly comes out of the quotient, the rest becomes an atom. */
static void add_quotient(gm_symbols *symbols, polynomial *sum, const polynomial *p, int64_t divisor)
{
    polynomial rest = {0};
    int64_t value;
    sum->failed |= p->failed;
    for (size_t i = 0; i < p->count; i++) {
        term whole = p->terms[i], part = p->terms[i];
        whole.coefficient = floor_divide(p->terms[i].coefficient, divisor);
        part.coefficient %= divisor;
        if (part.coefficient < 0)
            part.coefficient += divisor;
        add_term(sum, &whole);
        add_term(&rest, &part);
    }
    if (!is_constant(&rest, &value)) { /* a constant is smaller than the divisor by now */
        int height = height_of(symbols, &rest) + 1;
        gm_dim atom = height > MAX_HEIGHT ? GM_DIM_ERROR
                                          : intern(symbols, (entry){.kind = ENTRY_QUOTIENT,
                                                                    .height = height,
                                                                    .divisor = divisor,
                                                                    .terms = rest.terms,
                                                                    .term_count = rest.count});
        add_dim(symbols, sum, atom, 1);
    }
}

static gm_dim window_of(gm_symbols *symbols, gm_dim a, int64_t add, int64_t divisor, int64_t offset, bool ceil_mode)
{
    polynomial p = {0}, sum = {0};
    if (divisor < 1)
        return GM_DIM_ERROR;
    add_dim(symbols, &p, a, 1);
    add_constant(&p, add);
    if (ceil_mode)
        add_constant(&p, divisor - 1); /* ceil(x / d) = floor((x + d - 1) / d) */
    add_quotient(symbols, &sum, &p, divisor);
    add_constant(&sum, offset);
    return to_dim(symbols, &sum);
}

/* --- Binding ------------------------------------------------------------------------------------------------------- */

typedef struct binder {
    gm_symbols *symbols;
    const gm_binding *bindings;
    size_t count;
} binder;

static void bind_terms(const binder *b, polynomial *sum, const term *terms, size_t count);

/* sum = the bound value of an atom, which may be negative inside a larger sum. */
static void bind_atom(const binder *b, polynomial *sum, uint32_t index)
{
    gm_symbols *symbols = b->symbols;
    const entry *e = &symbols->entries[index];
    memset(sum, 0, offsetof(polynomial, terms));
    if (e->bind_run != symbols->bind_run) {
        gm_dim bound = dim_of(index);
        bool known = false;
        int64_t value = 0;
        if (e->kind == ENTRY_QUOTIENT) {
            polynomial inner = {0};
            int64_t divisor = e->divisor;
            bind_terms(b, &inner, e->terms, e->term_count);
            add_quotient(symbols, sum, &inner, divisor);
            known = !sum->failed && is_constant(sum, &value);
            bound = known ? 0 : to_dim(symbols, sum);
        } else {
            for (size_t i = 0; i < b->count && !known; i++)
                if (b->bindings[i].symbol == bound) {
                    known = true;
                    value = b->bindings[i].value;
                }
        }
        /* The array may have moved. */
        symbols->entries[index].bound_known = known;
        symbols->entries[index].bound_value = value;
        symbols->entries[index].bound = bound;
        symbols->entries[index].bind_run = symbols->bind_run;
        memset(sum, 0, offsetof(polynomial, terms));
    }
    e = &symbols->entries[index];
    if (e->bound_known)
        add_constant(sum, e->bound_value);
    else
        add_dim(symbols, sum, e->bound, 1);
}

static void bind_terms(const binder *b, polynomial *sum, const term *terms, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        polynomial product = {.count = 1}, atom, next;
        product.terms[0] = (term){.coefficient = terms[i].coefficient};
        for (uint32_t k = 0; k < terms[i].degree; k++) {
            bind_atom(b, &atom, terms[i].atoms[k]);
            memset(&next, 0, offsetof(polynomial, terms));
            for (size_t n = 0; n < product.count; n++)
                add_product(&next, &product.terms[n], &atom);
            next.failed |= product.failed | atom.failed;
            product = next;
        }
        for (size_t n = 0; n < product.count; n++)
            add_term(sum, &product.terms[n]);
        sum->failed |= product.failed;
    }
}

static gm_dim bind_dim(gm_symbols *symbols, gm_dim dim, const gm_binding *bindings, size_t count)
{
    binder b = {symbols, bindings, count};
    polynomial sum = {0};
    const entry *e = entry_of(symbols, dim);
    if (dim >= 0)
        return dim;
    if (!e)
        return GM_DIM_ERROR;
    symbols->bind_run++;
    if (e->kind == ENTRY_POLYNOMIAL)
        bind_terms(&b, &sum, e->terms, e->term_count);
    else
        bind_atom(&b, &sum, (uint32_t)(e - symbols->entries));
    return to_dim(symbols, &sum);
}

/* --- Printing ------------------------------------------------------------------------------------------------------ */

typedef struct printer {
    const gm_symbols *symbols;
    char *buffer;
    size_t bytes, length;
} printer;

static void put(printer *out, const char *text)
{
    size_t length = strlen(text), room = out->bytes ? out->bytes - 1 - out->length : 0;
    if (length > room)
        length = room;
    memcpy(out->buffer + out->length, text, length);
    out->length += length;
    if (out->bytes)
        out->buffer[out->length] = 0;
}

static void put_number(printer *out, uint64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    put(out, text);
}

static void put_terms(printer *out, const term *terms, size_t count);

static void put_atom(printer *out, const entry *e)
{
    if (out->length + 1 >= out->bytes) /* full: spares the walk through shared quotients too */
        return;
    if (e->kind == ENTRY_SYMBOL) {
        put(out, e->name);
    } else if (e->kind == ENTRY_UNKNOWN) {
        put(out, "?");
    } else {
        bool sum = e->term_count > 1;
        put(out, sum ? "floor((" : "floor(");
        put_terms(out, e->terms, e->term_count);
        put(out, sum ? ") / " : " / ");
        put_number(out, (uint64_t)e->divisor);
        put(out, ")");
    }
}

static void put_terms(printer *out, const term *terms, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const term *t = &terms[i];
        uint64_t size = t->coefficient < 0 ? 0 - (uint64_t)t->coefficient : (uint64_t)t->coefficient;
        if (i > 0)
            put(out, t->coefficient < 0 ? " - " : " + ");
        else if (t->coefficient < 0)
            put(out, "-");
        if (size != 1 || t->degree == 0)
            put_number(out, size);
        for (uint32_t k = 0; k < t->degree; k++) {
            if (k > 0 || size != 1)
                put(out, "*");
            put_atom(out, &out->symbols->entries[t->atoms[k]]);
        }
    }
}

static void put_dim(printer *out, gm_dim dim)
{
    const entry *e = entry_of(out->symbols, dim);
    if (dim >= 0)
        put_number(out, (uint64_t)dim);
    else if (!e)
        put(out, "error");
    else if (e->kind == ENTRY_POLYNOMIAL)
        put_terms(out, e->terms, e->term_count);
    else
        put_atom(out, e);
}

static const char *print_dim(const gm_symbols *symbols, gm_dim dim, char *buffer, size_t bytes)
{
    printer out = {symbols, buffer, bytes, 0};
    put(&out, "");
    put_dim(&out, dim);
    return buffer;
}

static const char *print_dims(const gm_symbols *symbols, int rank, const gm_dim *dims, char *buffer, size_t bytes)
{
    printer out = {symbols, buffer, bytes, 0};
    put(&out, "[");
    for (int i = 0; i < rank; i++) {
        put(&out, i > 0 ? ", " : "");
        put_dim(&out, dims[i]);
    }
    put(&out, "]");
    return buffer;
}

/* --- The same for several threads ---------------------------------------------------------------------------------- */

static void lock(const gm_symbols *symbols)
{
    if (symbols)
        pthread_mutex_lock((pthread_mutex_t *)(uintptr_t)&symbols->mutex);
}

static void unlock(const gm_symbols *symbols)
{
    if (symbols)
        pthread_mutex_unlock((pthread_mutex_t *)(uintptr_t)&symbols->mutex);
}

/* Defines the public function that calls `inner` while it has the table to itself. */
#define LOCKED(type, name, inner, parameters, ...)                                                                     \
    type name parameters                                                                                               \
    {                                                                                                                  \
        type result;                                                                                                   \
        lock(symbols);                                                                                                 \
        result = inner(__VA_ARGS__);                                                                                   \
        unlock(symbols);                                                                                               \
        return result;                                                                                                 \
    }

LOCKED(gm_dim, gm_dim_symbol, symbol_of, (gm_symbols * symbols, const char *name), symbols, name)
LOCKED(gm_dim, gm_dim_unknown, new_unknown, (gm_symbols * symbols), symbols)
LOCKED(const char *, gm_dim_symbol_name, name_of, (const gm_symbols *symbols, gm_dim dim), symbols, dim)
LOCKED(gm_dim, gm_dim_add, sum_of, (gm_symbols * symbols, gm_dim a, gm_dim b), symbols, a, b)
LOCKED(gm_dim, gm_dim_sub, difference, (gm_symbols * symbols, gm_dim a, gm_dim b), symbols, a, b)
LOCKED(gm_dim, gm_dim_mul, product_of, (gm_symbols * symbols, gm_dim a, gm_dim b), symbols, a, b)
LOCKED(gm_dim, gm_dim_div_exact, quotient_of, (gm_symbols * symbols, gm_dim a, gm_dim b), symbols, a, b)
LOCKED(gm_dim, gm_dim_window, window_of,
       (gm_symbols * symbols, gm_dim a, int64_t add, int64_t divisor, int64_t offset, bool ceil_mode), symbols, a, add,
       divisor, offset, ceil_mode)
LOCKED(gm_dim, gm_dim_bind, bind_dim, (gm_symbols * symbols, gm_dim dim, const gm_binding *bindings, size_t count),
       symbols, dim, bindings, count)
LOCKED(const char *, gm_dim_print, print_dim, (const gm_symbols *symbols, gm_dim dim, char *buffer, size_t bytes),
       symbols, dim, buffer, bytes)
LOCKED(const char *, gm_dims_print, print_dims,
       (const gm_symbols *symbols, int rank, const gm_dim *dims, char *buffer, size_t bytes), symbols, rank, dims,
       buffer, bytes)
