/* Types, dimensions, signatures, tensors written out, graphs. */
#include "graph/parser.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Element types of ONNX text that gm_type lacks: such a type is kept as text. */
static const char *const other_types[] = {
    "complex64",      "complex128", "float8e4m3fn", "float8e4m3fnuz", "float8e5m2",
    "float8e5m2fnuz", "float8e8m0", "float6e2m3",   "float6e3m2",     "float4e2m1",
    "uint4",          "int4",       "uint2",        "int2",           NULL};
static const char *const constructors[] = {"seq", "map", "optional", "sparse_tensor", "opaque", NULL};
static const char *const type_words[] = {"float", "double", "float16", "bfloat16", "int8", "int16",  "int32", "int64",
                                         "uint8", "uint16", "uint32",  "uint64",   "bool", "string", NULL};

static bool is_one_of(const gm_token *token, const char *const *words)
{
    for (; *words; words++)
        if (gm_token_is(token, *words))
            return true;
    return false;
}

static gm_type plain_type(const gm_token *token)
{
    for (const char *const *word = type_words; *word; word++)
        if (gm_token_is(token, *word))
            return gm_type_by_name(*word)->type;
    return GM_TYPE_UNDEFINED;
}

static bool is_element_type(const gm_token *token)
{
    return plain_type(token) != GM_TYPE_UNDEFINED || is_one_of(token, other_types);
}

bool gm_parser_at_type(const gm_parser *p)
{
    const gm_token *token = &p->cursor.token;
    int next = p->cursor.next.kind;
    if (token->kind != GM_TOKEN_NAME)
        return false;
    if (is_one_of(token, constructors))
        return next == '(';
    return is_element_type(token) && !(next != '\0' && next < 128 && strchr("(<.:+-*/^", next)) &&
           next != GM_TOKEN_ARROW;
}

bool gm_parser_at_typed(const gm_parser *p)
{
    int next = p->cursor.next.kind;
    if (!gm_parser_at(p, GM_TOKEN_NAME))
        return false;
    if (is_one_of(&p->cursor.token, constructors))
        return next == '(';
    return is_element_type(&p->cursor.token) && (next == '[' || next == GM_TOKEN_NAME || next == GM_TOKEN_STRING);
}

/* --- Types -------------------------------------------------------------------------------------------------------- */

static bool dimension(gm_parser *p, gm_ast_dim *dim)
{
    bool literals = p->literals;
    dim->where = p->cursor.token.where;
    if (gm_parser_accept(p, '?')) {
        dim->kind = GM_AST_DIM_UNKNOWN;
        return true;
    }
    if (gm_parser_accept(p, GM_TOKEN_ELLIPSIS)) {
        dim->kind = GM_AST_DIM_ELLIPSIS;
        return true;
    }
    dim->kind = GM_AST_DIM_EXPRESSION;
    p->literals = false;
    dim->expression = gm_parser_expression(p);
    p->literals = literals;
    return dim->expression;
}

/* '[' dimensions ']' */
static bool shape(gm_parser *p, gm_ast_type *type)
{
    gm_parser_advance(p);
    type->has_shape = true;
    type->any_shape = gm_parser_at(p, ']');
    bool ellipsis = false;
    while (!p->failed && !gm_parser_at(p, ']')) {
        gm_ast_dim dim = {0};
        if (!dimension(p, &dim))
            return false;
        if (dim.kind == GM_AST_DIM_ELLIPSIS && ellipsis)
            return gm_parser_error(p, dim.where, "expected '...' once in a shape, found it twice");
        ellipsis = ellipsis || dim.kind == GM_AST_DIM_ELLIPSIS;
        gm_ast_dim *dims = gm_parser_push(p, type->dims, &type->dim_count, sizeof *dims);
        if (!dims)
            return false;
        type->dims = dims;
        dims[type->dim_count - 1] = dim;
        if (!gm_parser_accept(p, ','))
            break;
    }
    return gm_parser_expect(p, ']', "',' or ']' behind a dimension");
}

/* A type that is kept as text: its tokens up to the bracket that closes it, without blanks. */
static bool text_type(gm_parser *p, gm_ast_type *type)
{
    gm_text text;
    int level = 0;
    bool after_name = false, constructed = is_one_of(&p->cursor.token, constructors);
    type->constructor = gm_parser_name(p, "a type");
    if (constructed && !gm_parser_at(p, '('))
        return gm_parser_wrong(p, "'(' and a type");
    gm_text_init(&text, p->context);
    gm_text_add(&text, "%s", type->constructor ? type->constructor : "");
    if (gm_parser_at(p, '(') || gm_parser_at(p, '[')) {
        do {
            const gm_token *token = &p->cursor.token;
            bool plain = token->kind == GM_TOKEN_NAME || token->kind == GM_TOKEN_NUMBER ||
                         token->kind == GM_TOKEN_STRING || token->kind == GM_TOKEN_ELLIPSIS;
            bool point = token->kind == '.' && after_name && gm_parser_next_is(p, GM_TOKEN_NAME);
            if (!plain && !point && (token->kind == 0 || token->kind > 127 || !strchr("()[],?", token->kind))) {
                gm_parser_wrong(p, "the rest of a type");
                break;
            }
            after_name = token->kind == GM_TOKEN_NAME;
            level += token->kind == '(' || token->kind == '[';
            level -= token->kind == ')' || token->kind == ']';
            gm_text_add_bytes(&text, token->text, token->length);
            if (plain && (gm_parser_next_is(p, GM_TOKEN_NAME) || gm_parser_next_is(p, GM_TOKEN_NUMBER)))
                gm_text_add(&text, " ");
            gm_parser_advance(p);
        } while (level > 0);
    }
    if (text.failed)
        p->status = GM_ERROR_MEMORY;
    type->text = text.data && p->status == GM_OK ? gm_pool_string(p->pool, text.data) : NULL;
    if (!type->text && p->status == GM_OK)
        p->status = GM_ERROR_MEMORY;
    p->failed = p->failed || p->status != GM_OK;
    gm_text_destroy(&text);
    return !p->failed;
}

gm_ast_type *gm_parser_type(gm_parser *p)
{
    gm_ast_type *type = gm_parser_new(p, sizeof *type);
    if (!type || p->failed)
        return NULL;
    type->where = p->cursor.token.where;
    type->type = plain_type(&p->cursor.token);
    if (is_one_of(&p->cursor.token, constructors) || is_one_of(&p->cursor.token, other_types))
        return text_type(p, type) ? type : NULL;
    if (type->type == GM_TYPE_UNDEFINED) {
        gm_parser_wrong_word(p, "a type (float, int64, bool ...)", type_words);
        return NULL;
    }
    gm_parser_advance(p);
    if (gm_parser_at(p, '[') && !shape(p, type))
        return NULL;
    return type;
}

/* --- Tensors ------------------------------------------------------------------------------------------------------ */

typedef union tensor_value {
    double real;
    int64_t integer;
    uint64_t natural;
} tensor_value;

typedef struct integer_range {
    gm_type type;
    int64_t low, high;
} integer_range;

static const integer_range integer_ranges[] = {
    {GM_INT8, INT8_MIN, INT8_MAX},    {GM_INT16, INT16_MIN, INT16_MAX},
    {GM_INT32, INT32_MIN, INT32_MAX}, {GM_INT64, INT64_MIN, INT64_MAX},
    {GM_UINT8, 0, UINT8_MAX},         {GM_UINT16, 0, UINT16_MAX},
    {GM_UINT32, 0, UINT32_MAX},       {GM_BOOL, 0, 1},
};

static bool is_real(gm_type type)
{
    return type == GM_FLOAT || type == GM_DOUBLE || type == GM_FLOAT16 || type == GM_BFLOAT16;
}

static bool integer_value(gm_parser *p, gm_type type, const char *text, gm_location where, tensor_value *value)
{
    bool out = strpbrk(text, ".eE") != NULL;
    errno = 0;
    if (type == GM_UINT64) {
        value->natural = strtoull(text, NULL, 10);
        out = out || *text == '-';
    } else {
        value->integer = strtoll(text, NULL, 10);
        for (size_t i = 0; i < GM_COUNT(integer_ranges); i++)
            if (integer_ranges[i].type == type)
                out = out || value->integer < integer_ranges[i].low || value->integer > integer_ranges[i].high;
    }
    return (!out && errno == 0) ||
           gm_parser_error(p, where, "expected a value of type %s, found %.40s", gm_type_name(type), text);
}

/* As ONNX text has it, an integer in a float16 or bfloat16 tensor is the bit pattern; a number with a point is the
 * value. */
static bool real_value(gm_parser *p, gm_type type, const char *text, gm_location where, tensor_value *value)
{
    bool half = type == GM_FLOAT16 || type == GM_BFLOAT16;
    if (half && !strpbrk(text, ".eE")) {
        gm_tensor bits = {.type = type};
        tensor_value pattern;
        uint16_t word;
        if (!integer_value(p, GM_UINT16, text, where, &pattern))
            return false;
        word = (uint16_t)pattern.integer;
        bits.data = &word;
        value->real = gm_get(&bits, 0);
        return true;
    }
    value->real = type == GM_FLOAT ? (double)strtof(text, NULL) : strtod(text, NULL);
    return isfinite(value->real) ||
           gm_parser_error(p, where, "expected a number that fits %s, found %.40s", gm_type_name(type), text);
}

static bool tensor_item(gm_parser *p, gm_type type, tensor_value *value)
{
    gm_location where = p->cursor.token.where;
    bool negative = gm_parser_accept(p, '-');
    const gm_token *token = &p->cursor.token;
    char text[512] = "-";
    if (is_real(type) && gm_parser_at_literal_name(p)) {
        gm_ast_expression node = {0};
        if (!gm_parser_number(p, negative, &node))
            return false;
        value->real = node.number;
        return true;
    }
    if (token->kind != GM_TOKEN_NUMBER)
        return gm_parser_wrong(p, "a number or '}'");
    if (token->length > sizeof text - 2)
        return gm_parser_error(p, where, "expected a number of at most 510 digits, found one of %zu", token->length);
    memcpy(text + negative, token->text, token->length);
    text[negative + token->length] = '\0';
    gm_parser_advance(p);
    return is_real(type) ? real_value(p, type, text, where, value) : integer_value(p, type, text, where, value);
}

static bool store(gm_parser *p, gm_ast_expression *node, const int64_t *dims, const tensor_value *values, size_t count)
{
    gm_type type = node->type->type;
    node->tensor = gm_tensor_create(p->pool, type, (int)node->type->dim_count, dims);
    if (!node->tensor) {
        p->status = GM_ERROR_MEMORY;
        p->failed = true;
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (is_real(type))
            gm_set(node->tensor, (int64_t)i, values[i].real);
        else if (type == GM_UINT64)
            ((uint64_t *)node->tensor->data)[i] = values[i].natural;
        else
            gm_set_int(node->tensor, (int64_t)i, values[i].integer);
    }
    return true;
}

/* Numeric dimensions of a tensor and the number of its elements. */
static bool tensor_dims(gm_parser *p, const gm_ast_type *type, int64_t *dims, size_t *count)
{
    *count = 1;
    if (type->any_shape)
        return gm_parser_error(p, type->where, "expected the dimensions of a tensor, found none between '[' and ']'");
    if (type->dim_count > GM_MAX_RANK)
        return gm_parser_error(p, type->where, "expected a tensor of rank %d at most, found rank %zu", GM_MAX_RANK,
                               type->dim_count);
    for (size_t i = 0; i < type->dim_count; i++) {
        const gm_ast_expression *dim = type->dims[i].expression;
        if (!dim || dim->kind != GM_AST_NUMBER || dim->is_float)
            return gm_parser_error(p, type->dims[i].where, "expected a number as a dimension of a tensor");
        dims[i] = dim->integer;
    }
    bool empty = false;
    for (size_t i = 0; i < type->dim_count; i++)
        empty = empty || dims[i] == 0;
    for (size_t i = 0; i < type->dim_count; i++)
        if (!empty && __builtin_mul_overflow(*count, (size_t)dims[i], count))
            return gm_parser_error(p, type->where, "expected a tensor that fits the memory, found a larger shape");
    if (empty)
        *count = 0;
    return true;
}

static bool wrong_count(gm_parser *p, gm_location where, size_t expected, size_t found)
{
    return expected == found || gm_parser_error(p, where, "expected %zu value%s for this shape, found %zu", expected,
                                                expected == 1 ? "" : "s", found);
}

static gm_ast_expression *numbers(gm_parser *p, gm_ast_expression *node)
{
    int64_t dims[GM_MAX_RANK];
    tensor_value *values = NULL;
    size_t expected, count = 0;
    gm_location where = p->cursor.token.where;
    if (!tensor_dims(p, node->type, dims, &expected))
        return NULL;
    gm_parser_advance(p);
    while (!p->failed && !gm_parser_at(p, '}')) {
        tensor_value value = {0};
        if (!tensor_item(p, node->type->type, &value))
            return NULL;
        tensor_value *larger = gm_parser_push(p, values, &count, sizeof *values);
        if (!larger)
            return NULL;
        values = larger;
        values[count - 1] = value;
        if (!gm_parser_accept(p, ','))
            break;
    }
    if (!gm_parser_expect(p, '}', "',' or '}' behind a value") || !wrong_count(p, where, expected, count))
        return NULL;
    return store(p, node, dims, values, count) ? node : NULL;
}

/* As an array of const char *. */
static bool store_strings(gm_parser *p, gm_ast_expression *node, const int64_t *dims, const gm_ast_expression *data)
{
    const char **texts = gm_pool_array(p->pool, data->item_count + 1, sizeof *texts);
    gm_tensor shape = {.type = GM_STRING, .rank = (int)node->type->dim_count};
    memcpy(shape.dims, dims, (size_t)shape.rank * sizeof *dims);
    for (size_t i = 0; texts && i < data->item_count; i++)
        texts[i] = data->items[i]->text;
    shape.data = texts;
    node->tensor = texts ? gm_pool_copy(p->pool, &shape, sizeof shape) : NULL;
    if (!node->tensor) {
        p->status = GM_ERROR_MEMORY;
        p->failed = true;
    }
    return node->tensor != NULL;
}

/* Strings become a tensor of them; of types without a gm_type the items stay expressions. */
static gm_ast_expression *items(gm_parser *p, gm_ast_expression *node)
{
    int64_t dims[GM_MAX_RANK];
    size_t expected = 0;
    gm_location where = p->cursor.token.where;
    bool strings = node->type->type == GM_STRING;
    if (strings && !tensor_dims(p, node->type, dims, &expected))
        return NULL;
    gm_ast_expression *data = gm_parser_data(p);
    if (!data)
        return NULL;
    for (size_t i = 0; i < data->item_count; i++)
        if (strings != (data->items[i]->kind == GM_AST_STRING)) {
            gm_parser_error(p, data->items[i]->where, "expected a %s in this tensor", strings ? "string" : "number");
            return NULL;
        }
    if (strings)
        return wrong_count(p, where, expected, data->item_count) && store_strings(p, node, dims, data) ? node : NULL;
    node->items = data->items;
    node->item_count = data->item_count;
    return gm_parser_raise(p, node) ? node : NULL;
}

/* ["location": "file", "offset": "0", ...] */
static gm_ast_expression *external(gm_parser *p, gm_ast_expression *node)
{
    gm_ast_expression *list = gm_parser_value(p);
    if (!list)
        return NULL;
    bool pairs = list->text != NULL;
    for (size_t i = 0; i < list->item_count; i++)
        pairs = pairs && list->items[i]->kind == GM_AST_STRING;
    if (!pairs) {
        gm_parser_error(p, list->where, "expected external data as [\"location\": \"file\", ...]");
        return NULL;
    }
    node->text = "external";
    node->items = list->items;
    node->item_count = list->item_count;
    return gm_parser_raise(p, node) ? node : NULL;
}

gm_ast_expression *gm_parser_tensor(gm_parser *p, gm_ast_type *type)
{
    gm_ast_expression *node = gm_parser_node(p, GM_AST_TENSOR, p->cursor.token.where);
    if (!node || p->failed)
        return NULL;
    node->type = type;
    if (gm_parser_at(p, '['))
        return external(p, node);
    if (!gm_parser_at(p, '{')) {
        gm_parser_wrong(p, "'{' and the values of a tensor");
        return NULL;
    }
    bool plain = type->type != GM_TYPE_UNDEFINED && type->type != GM_STRING;
    return plain ? numbers(p, node) : items(p, node);
}

/* --- Signatures --------------------------------------------------------------------------------------------------- */

static const char *parameter_name(gm_parser *p, gm_parameter_style style)
{
    const char *name = gm_parser_quotable(p, "the name of a value");
    while (name && style == GM_PARAMETER_DOTTED && gm_parser_accept(p, '.')) {
        const char *part = gm_parser_quotable(p, "a name");
        name = part ? gm_pool_printf(p->pool, "%s.%s", name, part) : NULL;
        if (part && !name) {
            p->status = GM_ERROR_MEMORY;
            p->failed = true;
        }
    }
    return name;
}

static bool parameter(gm_parser *p, gm_ast_parameter *parameter, gm_parameter_style style)
{
    int next = p->cursor.next.kind;
    parameter->where = p->cursor.token.where;
    if (gm_parser_at(p, GM_TOKEN_NAME) &&
        (next == GM_TOKEN_NAME || next == GM_TOKEN_STRING || next == '[' || next == '(')) {
        parameter->type = gm_parser_type(p);
        if (!parameter->type)
            return false;
    }
    parameter->name = parameter_name(p, style);
    if (!parameter->name)
        return false;
    if (style != GM_PARAMETER_INITIALIZED || !gm_parser_at(p, '='))
        return true;
    if (!parameter->type)
        return gm_parser_error(p, parameter->where, "expected a type before a value that is initialized");
    gm_parser_advance(p);
    parameter->default_value = gm_parser_tensor(p, parameter->type);
    return parameter->default_value;
}

gm_ast_parameter *gm_parser_parameters(gm_parser *p, int close, gm_parameter_style style, size_t *count_out)
{
    gm_ast_parameter *all = gm_parser_new(p, sizeof *all);
    size_t count = 0;
    gm_parser_advance(p);
    while (!p->failed && !gm_parser_at(p, close)) {
        gm_ast_parameter item = {0};
        if (!parameter(p, &item, style))
            return NULL;
        gm_ast_parameter *larger = gm_parser_push(p, all, &count, sizeof *all);
        if (!larger)
            return NULL;
        all = larger;
        all[count - 1] = item;
        if (!gm_parser_accept(p, ','))
            break;
    }
    if (!gm_parser_expect(p, close, close == ')' ? "',' or ')' behind a value" : "',' or '>' behind a value"))
        return NULL;
    *count_out = count;
    return all;
}

static bool outputs(gm_parser *p, gm_ast_signature *signature)
{
    if (!gm_parser_expect(p, GM_TOKEN_ARROW, "'=>' and the outputs"))
        return false;
    if (!gm_parser_at(p, '('))
        return gm_parser_wrong(p, "'(' and the outputs");
    signature->outputs = gm_parser_parameters(p, ')', GM_PARAMETER_PLAIN, &signature->output_count);
    return signature->outputs;
}

bool gm_parser_signature(gm_parser *p, gm_ast_signature *signature)
{
    if (!gm_parser_at(p, '('))
        return gm_parser_wrong(p, "'(' and the inputs");
    signature->has_inputs = true;
    signature->inputs = gm_parser_parameters(p, ')', GM_PARAMETER_PLAIN, &signature->input_count);
    return signature->inputs && outputs(p, signature);
}

/* --- Graphs ------------------------------------------------------------------------------------------------------- */

/* name => ... or name ( ... ) => ... */
bool gm_parser_at_graph(const gm_parser *p)
{
    gm_cursor cursor = p->cursor;
    int level = 0;
    if (!gm_parser_at_name(p))
        return false;
    gm_cursor_advance(&cursor);
    if (cursor.token.kind == '(') {
        do {
            level += cursor.token.kind == '(';
            level -= cursor.token.kind == ')';
            gm_cursor_advance(&cursor);
        } while (level > 0 && cursor.token.kind != GM_TOKEN_END);
    }
    return level == 0 && cursor.token.kind == GM_TOKEN_ARROW;
}

gm_ast_graph *gm_parser_graph(gm_parser *p)
{
    gm_ast_graph *graph = gm_parser_new(p, sizeof *graph);
    gm_ast_signature *signature = graph ? &graph->signature : NULL;
    gm_location end;
    if (!graph)
        return NULL;
    graph->where = p->cursor.token.where;
    graph->name = gm_parser_quotable(p, "the name of a graph");
    if (graph->name && gm_parser_at(p, '(')) {
        signature->has_inputs = true;
        signature->inputs = gm_parser_parameters(p, ')', GM_PARAMETER_INITIALIZED, &signature->input_count);
    }
    if (p->failed || !outputs(p, signature))
        return NULL;
    if (gm_parser_at(p, '<')) {
        graph->values = gm_parser_parameters(p, '>', GM_PARAMETER_INITIALIZED, &graph->value_count);
        if (!graph->values)
            return NULL;
    }
    return gm_parser_body(p, &graph->body, &end) ? graph : NULL;
}
