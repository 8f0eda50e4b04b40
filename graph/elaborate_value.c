/* Elaboration: diagnostics, literals and their arithmetic, conversion to tensors, sizes and attributes. */
#include "graph/elaborate.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const el_value el_failed = {EL_FAILED};

/* --- Diagnostics ------------------------------------------------------------------------------------------------------- */

gm_location el_place(const elaborator *e, gm_location where)
{
    return e->call_site.file ? e->call_site : where;
}

/* Two train blocks or two calls may meet the same mistake. */
static bool was_told(const elaborator *e, gm_location where, const char *text)
{
    char line[1400];
    const char *told = gm_context_message(e->context);
    size_t length = (size_t)snprintf(line, sizeof line, "%s:%d:%d: %s", where.file, where.line, where.column, text);
    if (!e->errors || !where.file || length >= sizeof line)
        return false;
    for (const char *next; told && *told; told = next ? next + 1 : NULL) {
        next = strchr(told, '\n');
        if (strncmp(told, line, length) == 0 && (told[length] == '\n' || told[length] == '\0'))
            return true;
    }
    return false;
}

static el_value diagnose(elaborator *e, gm_location where, const char *format, va_list arguments)
{
    char text[1024];
    if (e->fatal != GM_OK || (e->call_site.file && e->call_site_told))
        return el_failed;
    e->call_site_told = true;
    vsnprintf(text, sizeof text, format, arguments);
    if (!was_told(e, el_place(e, where), text))
        gm_diagnose(e->context, el_place(e, where), "%s", text);
    e->errors++;
    e->broken = true;
    for (el_frame *frame = e->frame; frame; frame = (el_frame *)frame->parent)
        if (frame->callable && !frame->prelude)
            frame->callable->failed = true;
    return el_failed;
}

el_value el_error(elaborator *e, gm_location where, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    diagnose(e, where, format, arguments);
    va_end(arguments);
    return el_failed;
}

el_value el_unsupported(elaborator *e, gm_location where, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    diagnose(e, where, format, arguments);
    va_end(arguments);
    e->unsupported++;
    return el_failed;
}

el_value el_out_of_memory(elaborator *e)
{
    if (e->fatal == GM_OK)
        e->fatal = gm_fail_memory(e->context);
    return el_failed;
}

bool el_take_graph_error(elaborator *e)
{
    gm_status status = e->graph->status;
    if (status == GM_OK)
        return false;
    e->graph->status = GM_OK;
    e->broken = true;
    if (status == GM_ERROR_MEMORY) {
        e->fatal = status;
        return true;
    }
    /* gm_node_fail has added its line already */
    e->call_site_told = true;
    e->errors++;
    e->unsupported += status == GM_ERROR_UNSUPPORTED;
    for (el_frame *frame = e->frame; frame; frame = (el_frame *)frame->parent)
        if (frame->callable && !frame->prelude)
            frame->callable->failed = true;
    return true;
}

const char *el_hint(elaborator *e, const gm_spelling *spelling)
{
    const char *text = spelling->best ? gm_pool_printf(e->pool, "; did you mean '%s'?", spelling->best) : "";
    if (!text)
        el_out_of_memory(e);
    return text ? text : "";
}

/* --- Making values ----------------------------------------------------------------------------------------------------- */

el_value el_integer(int64_t value)
{
    return (el_value){.kind = EL_NUMBER, .number = (double)value, .integer = value};
}

el_value el_real(double value)
{
    return (el_value){.kind = EL_NUMBER, .is_float = true, .number = value};
}

el_value el_size(gm_dim dim)
{
    return gm_dim_is_known(dim) ? el_integer(dim) : (el_value){.kind = EL_DIM, .dim = dim};
}

el_value el_tensor(gm_value_id id)
{
    return id ? (el_value){.kind = EL_TENSOR, .id = id} : el_failed;
}

el_value el_string(const char *text)
{
    return (el_value){.kind = EL_STRING, .text = text};
}

bool el_is_constant(el_value value)
{
    if (value.kind == EL_LIST) {
        for (size_t i = 0; i < value.count; i++)
            if (!el_is_constant(value.items[i]))
                return false;
        return true;
    }
    return value.kind == EL_NUMBER || value.kind == EL_DIM || value.kind == EL_STRING || value.kind == EL_TYPE;
}

const char *el_describe(elaborator *e, el_value value, char *buffer, size_t bytes)
{
    switch (value.kind) {
    case EL_NUMBER:
        if (value.is_float)
            snprintf(buffer, bytes, "%.9g", value.number);
        else
            snprintf(buffer, bytes, "%lld", (long long)value.integer);
        break;
    case EL_DIM:
        gm_dim_print(e->program->symbols, value.dim, buffer, bytes);
        break;
    case EL_STRING:
        snprintf(buffer, bytes, "the string \"%s\"", value.text);
        break;
    case EL_LIST:
        snprintf(buffer, bytes, "a list of %zu", value.count);
        break;
    case EL_TYPE:
        snprintf(buffer, bytes, "the type %s", gm_type_name(value.type));
        break;
    case EL_TENSOR:
        gm_shape_text(e->graph, value.id, buffer, bytes);
        break;
    case EL_STATE:
        snprintf(buffer, bytes, "the parameter '%s'", e->program->states[value.state].path);
        break;
    case EL_ABSENT:
        snprintf(buffer, bytes, "an input that is left out");
        break;
    default:
        snprintf(buffer, bytes, "nothing");
    }
    return buffer;
}

/* --- Arithmetic among literals: exact in whole numbers, else double ------------------------------------------------------ */

static bool integer_power(int64_t base, int64_t exponent, int64_t *out)
{
    int64_t result = 1;
    if (exponent < 0)
        return false;
    if (base == 0 || base == 1 || base == -1) {
        *out = exponent == 0 || base == 1 ? 1 : base == 0 ? 0 : exponent % 2 ? -1 : 1;
        return true;
    }
    for (int64_t i = 0; i < exponent; i++)
        if (__builtin_mul_overflow(result, base, &result))
            return false;
    *out = result;
    return true;
}

static bool integer_arithmetic(char op, int64_t a, int64_t b, int64_t *out)
{
    switch (op) {
    case '+':
        return !__builtin_add_overflow(a, b, out);
    case '-':
        return !__builtin_sub_overflow(a, b, out);
    case '*':
        return !__builtin_mul_overflow(a, b, out);
    case '/':
        if (b == 0 || (a == INT64_MIN && b == -1) || a % b != 0)
            return false;
        *out = a / b;
        return true;
    case '^':
        return integer_power(a, b, out);
    default:
        return false;
    }
}

static double real_arithmetic(char op, double a, double b)
{
    return op == '+' ? a + b : op == '-' ? a - b : op == '*' ? a * b : op == '/' ? a / b : pow(a, b);
}

/* Sizes stay polynomials: N * 2, N + 1, (2 * N) / 2. */
bool el_size_arithmetic(elaborator *e, char op, el_value a, el_value b, el_value *result_out)
{
    gm_symbols *symbols = e->program->symbols;
    gm_dim x = a.kind == EL_DIM ? a.dim : a.integer, y = b.kind == EL_DIM ? b.dim : b.integer, result = GM_DIM_ERROR;
    bool whole =
        (a.kind == EL_DIM || (!a.is_float && a.integer >= 0)) && (b.kind == EL_DIM || (!b.is_float && b.integer >= 0));
    if (whole && op == '+')
        result = gm_dim_add(symbols, x, y);
    else if (whole && op == '-')
        result = gm_dim_sub(symbols, x, y);
    else if (whole && op == '*')
        result = gm_dim_mul(symbols, x, y);
    else if (whole && op == '/')
        result = gm_dim_div_exact(symbols, x, y);
    *result_out = el_size(result);
    return result != GM_DIM_ERROR;
}

static el_value size_arithmetic(elaborator *e, char op, el_value a, el_value b, gm_location where)
{
    el_value result;
    char left[96], right[96];
    if (el_size_arithmetic(e, op, a, b, &result))
        return result;
    return el_error(e, where, "%s %c %s is not a whole size for every batch", el_describe(e, a, left, sizeof left), op,
                    el_describe(e, b, right, sizeof right));
}

el_value el_arithmetic(elaborator *e, char op, el_value a, el_value b, gm_location where)
{
    int64_t whole;
    double real;
    if (a.kind == EL_DIM || b.kind == EL_DIM)
        return size_arithmetic(e, op, a, b, where);
    if (!a.is_float && !b.is_float && integer_arithmetic(op, a.integer, b.integer, &whole))
        return el_integer(whole);
    if (op == '/' && b.number == 0)
        return el_error(e, where, "division by zero");
    real = real_arithmetic(op, a.number, b.number);
    if (!isfinite(real))
        return el_error(e, where, "%g %c %g is not a finite number", a.number, op, b.number);
    return el_real(real);
}

/* --- Reading constants -------------------------------------------------------------------------------------------------- */

bool el_to_integer(elaborator *e, el_value value, gm_location where, const char *what, int64_t *out)
{
    char text[160];
    if (value.kind == EL_NUMBER && !value.is_float) {
        *out = value.integer;
        return true;
    }
    if (value.kind == EL_NUMBER && value.number == floor(value.number) && fabs(value.number) < 9e15) {
        *out = (int64_t)value.number;
        return true;
    }
    if (value.kind != EL_FAILED)
        el_error(e, where, "%s must be a whole number that is known at load, found %s", what,
                 el_describe(e, value, text, sizeof text));
    return false;
}

bool el_to_number(elaborator *e, el_value value, gm_location where, const char *what, double *out)
{
    char text[160];
    if (value.kind == EL_NUMBER) {
        *out = value.number;
        return true;
    }
    if (value.kind != EL_FAILED)
        el_error(e, where, "%s must be a number that is known at load, found %s", what,
                 el_describe(e, value, text, sizeof text));
    return false;
}

bool el_to_size(elaborator *e, el_value value, gm_location where, const char *what, gm_dim *out)
{
    int64_t whole;
    if (value.kind == EL_DIM) {
        *out = value.dim;
        return true;
    }
    if (!el_to_integer(e, value, where, what, &whole))
        return false;
    if (whole < 0) {
        el_error(e, where, "%s must not be negative, found %lld", what, (long long)whole);
        return false;
    }
    *out = whole;
    return true;
}

/* --- Conversion to tensors ----------------------------------------------------------------------------------------------- */

static bool has_point(el_value value)
{
    if (value.kind == EL_LIST)
        for (size_t i = 0; i < value.count; i++)
            if (has_point(value.items[i]))
                return true;
    return value.kind == EL_NUMBER && value.is_float;
}

static bool number_fits(elaborator *e, el_value value, gm_type type, gm_location where)
{
    const gm_type_info *info = gm_type_find(type);
    if (!info || !info->bytes) {
        el_error(e, where, "a number cannot stand where %s is expected", gm_type_name(type));
        return false;
    }
    if (!info->floating && value.is_float && value.number != floor(value.number)) {
        el_error(e, where,
                 "%.9g does not fit the type %s of the other operands; convert them with Cast <to = float> (...)",
                 value.number, gm_type_name(type));
        return false;
    }
    return true;
}

/* int64 scalar that holds a symbolic size: read off the shape of a value that has it. 0: there is none. */
static gm_value_id size_of_value(elaborator *e, gm_dim dim)
{
    gm_graph *graph = e->graph;
    for (size_t i = 1; i < graph->value_count; i++) {
        const gm_value *value = &graph->values[i];
        if (value->kind != GM_VALUE_INPUT && value->kind != GM_VALUE_NODE)
            continue;
        for (int axis = 0; axis < value->rank; axis++)
            if (value->dims[axis] == dim) {
                gm_value_id shape = gm_emit1(graph, "Shape", (gm_value_id)i);
                return gm_emit2(graph, "Gather", shape, gm_const_scalar(graph, GM_INT64, axis));
            }
    }
    return 0;
}

/* dim = factor * N + offset, read off two points. */
static bool is_linear(gm_symbols *symbols, gm_dim dim, gm_dim symbol, int64_t *factor_out, int64_t *offset_out)
{
    const int64_t at = 1000003;
    gm_dim low = gm_dim_bind(symbols, dim, &(gm_binding){symbol, at}, 1);
    gm_dim high = gm_dim_bind(symbols, dim, &(gm_binding){symbol, at + 1}, 1), line;
    if (!gm_dim_is_known(low) || !gm_dim_is_known(high) || high <= low || high - low > INT64_MAX / at)
        return false;
    *factor_out = high - low;
    *offset_out = low - *factor_out * at;
    line = gm_dim_mul(symbols, *factor_out, symbol);
    line = *offset_out < 0 ? gm_dim_sub(symbols, line, -*offset_out) : gm_dim_add(symbols, line, *offset_out);
    return line == dim;
}

static gm_value_id linear_size(elaborator *e, gm_dim dim)
{
    gm_graph *graph = e->graph;
    gm_symbols *symbols = e->program->symbols;
    for (size_t i = 1; i < graph->value_count; i++)
        for (int axis = 0; axis < graph->values[i].rank; axis++) {
            gm_dim symbol = graph->values[i].dims[axis];
            int64_t factor, offset;
            gm_value_id size;
            if (!gm_dim_symbol_name(symbols, symbol) || !is_linear(symbols, dim, symbol, &factor, &offset))
                continue;
            size = size_of_value(e, symbol);
            if (size && factor != 1)
                size = gm_emit2(graph, "Mul", size, gm_const_scalar(graph, GM_INT64, (double)factor));
            if (size && offset)
                size = gm_emit2(graph, offset < 0 ? "Sub" : "Add", size,
                                gm_const_scalar(graph, GM_INT64, fabs((double)offset)));
            return size;
        }
    return 0;
}

static gm_value_id size_tensor(elaborator *e, gm_dim dim, gm_location where)
{
    char text[96];
    gm_value_id size = size_of_value(e, dim);
    if (!size && e->graph->status == GM_OK)
        size = linear_size(e, dim);
    if (el_take_graph_error(e))
        return 0;
    if (!size)
        el_error(e, where, "the size %s is not a dimension of any value here, so it cannot be used as a number",
                 gm_dim_print(e->graph->symbols, dim, text, sizeof text));
    return size;
}

static gm_value_id number_tensor(elaborator *e, el_value value, gm_type type, gm_location where)
{
    gm_value_id id;
    gm_tensor *tensor;
    if (!number_fits(e, value, type, where))
        return 0;
    if (gm_type_find(type)->floating || value.is_float) {
        id = gm_const_scalar(e->graph, type, value.number);
    } else {
        tensor = gm_tensor_create(e->pool, type, 0, NULL);
        if (!tensor) {
            el_out_of_memory(e);
            return 0;
        }
        gm_set_int(tensor, 0, value.integer);
        id = gm_graph_constant(e->graph, tensor);
    }
    return el_take_graph_error(e) ? 0 : id;
}

static bool fill_list(elaborator *e, el_value list, int depth, gm_tensor *tensor, int64_t *at, gm_location where)
{
    if (depth < tensor->rank && (list.kind != EL_LIST || (int64_t)list.count != tensor->dims[depth])) {
        el_error(e, where, "the rows of a list must be equally long");
        return false;
    }
    if (depth == tensor->rank) {
        if (list.kind != EL_NUMBER) {
            el_error(e, where, "a list in an expression holds numbers");
            return false;
        }
        if (!number_fits(e, list, tensor->type, where))
            return false;
        if (list.is_float || gm_type_find(tensor->type)->floating)
            gm_set(tensor, (*at)++, list.number);
        else
            gm_set_int(tensor, (*at)++, list.integer);
        return true;
    }
    for (size_t i = 0; i < list.count; i++)
        if (!fill_list(e, list.items[i], depth + 1, tensor, at, where))
            return false;
    return true;
}

/* [N, 784]: the pieces side by side. */
static gm_value_id mixed_list(elaborator *e, el_value list, gm_type type, gm_location where)
{
    gm_value_id *parts = gm_pool_array(e->pool, list.count + 1, sizeof *parts), id;
    gm_value_id axes = gm_const_ints(e->graph, (int64_t[]){0}, 1);
    if (!parts) {
        el_out_of_memory(e);
        return 0;
    }
    for (size_t i = 0; i < list.count; i++) {
        gm_value_id scalar = el_to_tensor(e, list.items[i], type, where);
        if (!scalar)
            return 0;
        if (gm_value_of(e->graph, scalar)->rank != 0) {
            char text[160];
            el_error(e, where, "a list holds scalars, found %s", gm_shape_text(e->graph, scalar, text, sizeof text));
            return 0;
        }
        parts[i] = gm_emit2(e->graph, "Unsqueeze", scalar, axes);
    }
    gm_attribute axis = gm_attribute_int("axis", 0);
    id = gm_emit(e->graph, "Concat", parts, list.count, &axis, 1);
    return el_take_graph_error(e) ? 0 : id;
}

static gm_value_id list_tensor(elaborator *e, el_value list, gm_type type, gm_location where)
{
    gm_tensor *tensor;
    int64_t dims[GM_MAX_RANK], at = 0;
    int rank = 0;
    gm_value_id id;
    for (size_t i = 0; i < list.count; i++)
        if (list.items[i].kind != EL_NUMBER && list.items[i].kind != EL_LIST)
            return mixed_list(e, list, type, where);
    for (el_value inner = list; inner.kind == EL_LIST && rank < GM_MAX_RANK; inner = inner.items[0]) {
        dims[rank++] = (int64_t)inner.count;
        if (inner.count == 0)
            break;
    }
    tensor = gm_tensor_create(e->pool, type, rank, dims);
    if (!tensor) {
        el_out_of_memory(e);
        return 0;
    }
    if (!fill_list(e, list, 0, tensor, &at, where))
        return 0;
    id = gm_graph_constant(e->graph, tensor);
    return el_take_graph_error(e) ? 0 : id;
}

gm_value_id el_to_tensor(elaborator *e, el_value value, gm_type type, gm_location where)
{
    char text[160];
    gm_value_id id;
    if (e->fatal != GM_OK)
        return 0;
    if (type == GM_TYPE_UNDEFINED)
        type = has_point(value) ? GM_FLOAT : GM_INT64;
    switch (value.kind) {
    case EL_TENSOR:
        return value.id;
    case EL_STATE:
        return el_state_value(e, value.state);
    case EL_NUMBER:
        return number_tensor(e, value, type, where);
    case EL_DIM:
        id = size_tensor(e, value.dim, where);
        if (id && type != GM_INT64)
            id = gm_emit1_with(e->graph, "Cast", id, gm_attribute_int("to", type));
        return el_take_graph_error(e) ? 0 : id;
    case EL_LIST:
        return list_tensor(e, value, type, where);
    case EL_FAILED:
    case EL_ABSENT:
        return 0;
    default:
        el_error(e, where, "a tensor or a number is expected, found %s", el_describe(e, value, text, sizeof text));
        return 0;
    }
}

/* --- Conversion to attributes -------------------------------------------------------------------------------------------- */

static int attribute_kind(el_value value)
{
    if (value.kind == EL_NUMBER)
        return value.is_float ? GM_ATTRIBUTE_FLOAT : GM_ATTRIBUTE_INT;
    if (value.kind == EL_STRING)
        return GM_ATTRIBUTE_STRING;
    if (value.kind == EL_TYPE)
        return GM_ATTRIBUTE_INT;
    if (value.kind != EL_LIST)
        return 0;
    if (value.count && value.items[0].kind == EL_STRING)
        return GM_ATTRIBUTE_STRINGS;
    return has_point(value) ? GM_ATTRIBUTE_FLOATS : GM_ATTRIBUTE_INTS;
}

static bool list_attribute(elaborator *e, const char *name, el_value value, gm_location where, gm_attribute *out)
{
    el_value single = value;
    const char *what = gm_pool_printf(e->pool, "each element of attribute '%s'", name);
    if (value.kind != EL_LIST)
        value = (el_value){.kind = EL_LIST, .items = &single, .count = 1};
    size_t count = value.count;
    int64_t *ints = gm_pool_array(e->pool, count + 1, sizeof *ints);
    double *floats = gm_pool_array(e->pool, count + 1, sizeof *floats);
    const char **strings = gm_pool_array(e->pool, count + 1, sizeof *strings);
    if (!what || !ints || !floats || !strings) {
        el_out_of_memory(e);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        el_value item = value.items[i];
        if (out->kind == GM_ATTRIBUTE_STRINGS) {
            if (item.kind != EL_STRING) {
                el_error(e, where, "%s must be a string", what);
                return false;
            }
            strings[i] = item.text;
        } else if (out->kind == GM_ATTRIBUTE_FLOATS) {
            if (!el_to_number(e, item, where, what, &floats[i]))
                return false;
        } else if (item.kind == EL_DIM) {
            ints[i] = item.dim; /* only `shape` of random draws may hold one: checked by the caller */
        } else if (!el_to_integer(e, item, where, what, &ints[i])) {
            return false;
        }
    }
    out->count = count;
    out->ints = ints;
    out->floats = floats;
    out->strings = strings;
    return true;
}

bool el_to_attribute(elaborator *e, const char *name, int kind, el_value value, gm_location where, gm_attribute *out)
{
    char text[160];
    const char *what = gm_pool_printf(e->pool, "attribute '%s'", name);
    if (value.kind == EL_FAILED)
        return false;
    if (!what) {
        el_out_of_memory(e);
        return false;
    }
    if (value.kind == EL_TYPE)
        value = el_integer(value.type);
    kind = kind ? kind : attribute_kind(value);
    *out = (gm_attribute){.name = name, .kind = (gm_attribute_kind)kind};
    if (!el_is_constant(value) || kind == 0) {
        el_error(e, where, "%s must be known at load, found %s", what, el_describe(e, value, text, sizeof text));
        return false;
    }
    switch (kind) {
    case GM_ATTRIBUTE_INT:
        return el_to_integer(e, value, where, what, &out->i);
    case GM_ATTRIBUTE_FLOAT:
        return el_to_number(e, value, where, what, &out->f);
    case GM_ATTRIBUTE_STRING:
        if (value.kind != EL_STRING) {
            el_error(e, where, "%s must be a string, found %s", what, el_describe(e, value, text, sizeof text));
            return false;
        }
        out->s = value.text;
        return true;
    case GM_ATTRIBUTE_INTS:
    case GM_ATTRIBUTE_FLOATS:
    case GM_ATTRIBUTE_STRINGS:
        return list_attribute(e, name, value, where, out);
    default:
        el_error(e, where, "%s holds a graph or a tensor, which cannot be written here", what);
        return false;
    }
}

/* --- Names ---------------------------------------------------------------------------------------------------------------- */

el_name *el_find(const el_names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->items[i].name, name) == 0)
            return &names->items[i];
    return NULL;
}

bool el_define(elaborator *e, el_names *names, const char *name, el_value value, gm_location where)
{
    el_name *old = el_find(names, name);
    if (old) {
        if (old->value.kind != EL_FAILED || value.kind != EL_FAILED)
            el_error(e, where, "the name '%s' is used twice here; it was first given at line %d", name,
                     old->where.line);
        return false;
    }
    if (!gm_pool_grow(e->pool, (void **)&names->items, &names->capacity, names->count + 1, sizeof *names->items)) {
        el_out_of_memory(e);
        return false;
    }
    names->items[names->count++] = (el_name){name, value, where};
    return true;
}

void el_offer_names(const el_names *names, gm_spelling *spelling)
{
    for (size_t i = 0; i < names->count; i++)
        gm_spelling_offer(spelling, names->items[i].name);
}

bool el_grow(elaborator *e, void **items, size_t *capacity, size_t needed, size_t item_bytes)
{
    size_t before = *capacity;
    if (needed <= before)
        return true;
    if (!gm_pool_grow(e->pool, items, capacity, needed, item_bytes)) {
        el_out_of_memory(e);
        return false;
    }
    memset((char *)*items + before * item_bytes, 0, (*capacity - before) * item_bytes);
    return true;
}

const char *el_join(elaborator *e, const char *const *parts, size_t count)
{
    const char *text = count ? parts[0] : "";
    for (size_t i = 1; i < count && text; i++)
        text = gm_pool_printf(e->pool, "%s.%s", text, parts[i]);
    if (!text)
        el_out_of_memory(e);
    return text;
}
