/* Types of ONNX that are no tensors of this library's element types, as text and back: "seq(float[N])", "float8e4m3fn[2, 3]".
 * The syntax tree keeps them as text, so that models which have them can be converted; they cannot be computed. */
#include "graph/onnx_proto.h"

#include <ctype.h>
#include <string.h>

#define MOST_LEVELS 32

/* By TensorProto.DataType; the library's own are those of graph/tensor.c. */
static const struct {
    int number;
    const char *name;
} other_types[] = {{14, "complex64"},  {15, "complex128"},     {17, "float8e4m3fn"}, {18, "float8e4m3fnuz"},
                   {19, "float8e5m2"}, {20, "float8e5m2fnuz"}, {21, "uint4"},        {22, "int4"},
                   {23, "float4e2m1"}, {24, "float8e8m0"},     {25, "uint2"},        {26, "int2"},
                   {27, "float6e2m3"}, {28, "float6e3m2"}};

static const char *name_of(int number)
{
    for (size_t i = 0; i < GM_COUNT(other_types); i++)
        if (other_types[i].number == number)
            return other_types[i].name;
    return gm_type_find((gm_type)number) ? gm_type_name((gm_type)number) : NULL;
}

static int number_of(const char *name, size_t length)
{
    for (size_t i = 0; i < GM_COUNT(other_types); i++)
        if (strlen(other_types[i].name) == length && strncmp(other_types[i].name, name, length) == 0)
            return other_types[i].number;
    for (int i = 1; i < 32; i++)
        if (gm_type_find((gm_type)i) && strlen(gm_type_name((gm_type)i)) == length &&
            strncmp(gm_type_name((gm_type)i), name, length) == 0)
            return i;
    return 0;
}

/* --- To text ---------------------------------------------------------------------------------------------------------- */

bool gm_onnx_is_name(const char *name)
{
    for (const char *at = name; *at; at++)
        if (!isalnum((unsigned char)*at) && *at != '_')
            return false;
    return *name && !isdigit((unsigned char)*name);
}

static void add_shape(gm_text *text, const Onnx__TensorShapeProto *shape)
{
    if (!shape) {
        gm_text_add(text, "[]");
        return;
    }
    for (size_t i = 0; i < shape->n_dim; i++) {
        const Onnx__TensorShapeProto__Dimension *dim = shape->dim[i];
        gm_text_add(text, i ? "," : "[");
        if (dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE)
            gm_text_add(text, "%lld", (long long)dim->dim_value);
        else if (dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM && dim->dim_param)
            gm_text_add(text, gm_onnx_is_name(dim->dim_param) ? "%s" : "\"%s\"", dim->dim_param);
        else
            gm_text_add(text, "?");
    }
    if (shape->n_dim)
        gm_text_add(text, "]");
}

static bool add_type(gm_text *text, const Onnx__TypeProto *type, int level);

static bool add_inner(gm_text *text, const char *constructor, const Onnx__TypeProto *inner, int level)
{
    bool good;
    gm_text_add(text, "%s(", constructor);
    good = inner && add_type(text, inner, level + 1);
    gm_text_add(text, ")");
    return good;
}

static bool add_element(gm_text *text, int number, const Onnx__TensorShapeProto *shape)
{
    const char *name = name_of(number);
    if (!name)
        return false;
    gm_text_add(text, "%s", name);
    add_shape(text, shape);
    return true;
}

static bool add_type(gm_text *text, const Onnx__TypeProto *type, int level)
{
    bool good;
    if (level > MOST_LEVELS)
        return false;
    switch (type->value_case) {
    case ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE:
        return add_element(text, type->tensor_type->elem_type, type->tensor_type->shape);
    case ONNX__TYPE_PROTO__VALUE_SPARSE_TENSOR_TYPE:
        gm_text_add(text, "sparse_tensor(");
        good = add_element(text, type->sparse_tensor_type->elem_type, type->sparse_tensor_type->shape);
        gm_text_add(text, ")");
        return good;
    case ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE:
        return add_inner(text, "seq", type->sequence_type->elem_type, level);
    case ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE:
        return add_inner(text, "optional", type->optional_type->elem_type, level);
    case ONNX__TYPE_PROTO__VALUE_MAP_TYPE:
        if (!name_of(type->map_type->key_type) || !type->map_type->value_type)
            return false;
        gm_text_add(text, "map(%s,", name_of(type->map_type->key_type));
        good = add_type(text, type->map_type->value_type, level + 1);
        gm_text_add(text, ")");
        return good;
    default:
        return false;
    }
}

const char *gm_onnx_type_text(gm_pool *pool, const Onnx__TypeProto *type)
{
    gm_text text;
    const char *made = NULL;
    gm_text_init(&text, gm_pool_context(pool));
    if (!add_type(&text, type, 0))
        made = "opaque";
    else if (text.data && !text.failed)
        made = gm_pool_string(pool, text.data);
    gm_text_destroy(&text);
    return made;
}

/* --- From text -------------------------------------------------------------------------------------------------------- */

typedef struct reader {
    gm_pool *pool;
    const char *at;
    bool no_memory;
} reader;

static void *make(reader *r, const ProtobufCMessageDescriptor *descriptor)
{
    ProtobufCMessage *message = gm_pool_alloc(r->pool, descriptor->sizeof_message);
    if (message)
        protobuf_c_message_init(descriptor, message);
    r->no_memory = r->no_memory || !message;
    return message;
}

static bool accept(reader *r, char c)
{
    r->at += strspn(r->at, " ");
    if (*r->at != c)
        return false;
    r->at++;
    r->at += strspn(r->at, " ");
    return true;
}

static size_t word_length(const char *at)
{
    size_t length = 0;
    while (isalnum((unsigned char)at[length]) || at[length] == '_')
        length++;
    return length;
}

static bool read_dimension(reader *r, Onnx__TensorShapeProto__Dimension *dim)
{
    size_t length = r->at[0] == '"' ? strcspn(r->at + 1, "\"") : word_length(r->at);
    const char *start = r->at[0] == '"' ? r->at + 1 : r->at;
    if (accept(r, '?'))
        return true;
    if (!length || (r->at[0] == '"' && start[length] != '"'))
        return false;
    r->at = start + length + (r->at[0] == '"');
    if (start[-1] != '"' && isdigit((unsigned char)*start)) {
        dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        dim->dim_value = 0;
        for (size_t i = 0; i < length; i++) {
            if (!isdigit((unsigned char)start[i]) || dim->dim_value > INT64_MAX / 10 - 1)
                return false;
            dim->dim_value = dim->dim_value * 10 + (start[i] - '0');
        }
        return true;
    }
    dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
    dim->dim_param = gm_pool_substring(r->pool, start, length);
    r->no_memory = r->no_memory || !dim->dim_param;
    return true;
}

/* "[]" is no shape at all; nothing is a scalar. */
static bool read_shape(reader *r, Onnx__TensorShapeProto **shape_out)
{
    Onnx__TensorShapeProto *shape = make(r, &onnx__tensor_shape_proto__descriptor);
    size_t capacity = 0;
    if (!shape)
        return false;
    *shape_out = shape;
    if (!accept(r, '['))
        return true;
    if (accept(r, ']')) {
        *shape_out = NULL;
        return true;
    }
    do {
        Onnx__TensorShapeProto__Dimension *dim = make(r, &onnx__tensor_shape_proto__dimension__descriptor);
        if (!dim || !gm_pool_grow(r->pool, (void **)&shape->dim, &capacity, shape->n_dim + 1, sizeof *shape->dim) ||
            !read_dimension(r, dim))
            return false;
        shape->dim[shape->n_dim++] = dim;
    } while (accept(r, ','));
    return accept(r, ']');
}

static bool read_element(reader *r, int32_t *number_out, Onnx__TensorShapeProto **shape_out)
{
    size_t length = word_length(r->at);
    *number_out = number_of(r->at, length);
    r->at += length;
    return *number_out != 0 && (!shape_out || read_shape(r, shape_out));
}

static bool is_word(const reader *r, const char *word)
{
    size_t length = strlen(word);
    return word_length(r->at) == length && strncmp(r->at, word, length) == 0;
}

static Onnx__TypeProto *read_type(reader *r, int level);

static bool read_map(reader *r, Onnx__TypeProto *type, int level)
{
    Onnx__TypeProto__Map *map = type->map_type = make(r, &onnx__type_proto__map__descriptor);
    type->value_case = ONNX__TYPE_PROTO__VALUE_MAP_TYPE;
    if (!map || !read_element(r, &map->key_type, NULL) || !accept(r, ','))
        return false;
    map->has_key_type = 1;
    return (map->value_type = read_type(r, level + 1)) != NULL;
}

static bool read_sparse(reader *r, Onnx__TypeProto *type)
{
    Onnx__TypeProto__SparseTensor *sparse = type->sparse_tensor_type =
        make(r, &onnx__type_proto__sparse_tensor__descriptor);
    type->value_case = ONNX__TYPE_PROTO__VALUE_SPARSE_TENSOR_TYPE;
    if (!sparse || !read_element(r, &sparse->elem_type, &sparse->shape))
        return false;
    sparse->has_elem_type = 1;
    return true;
}

static bool read_constructed(reader *r, Onnx__TypeProto *type, int level)
{
    bool sequence = is_word(r, "seq"), map = is_word(r, "map"), sparse = is_word(r, "sparse_tensor");
    bool good;
    r->at += word_length(r->at);
    if (!accept(r, '('))
        return false;
    if (map || sparse) {
        good = map ? read_map(r, type, level) : read_sparse(r, type);
    } else if (sequence) {
        type->value_case = ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE;
        type->sequence_type = make(r, &onnx__type_proto__sequence__descriptor);
        good = type->sequence_type && (type->sequence_type->elem_type = read_type(r, level + 1));
    } else {
        type->value_case = ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE;
        type->optional_type = make(r, &onnx__type_proto__optional__descriptor);
        good = type->optional_type && (type->optional_type->elem_type = read_type(r, level + 1));
    }
    return good && accept(r, ')');
}

static Onnx__TypeProto *read_type(reader *r, int level)
{
    Onnx__TypeProto *type = level > MOST_LEVELS ? NULL : make(r, &onnx__type_proto__descriptor);
    Onnx__TypeProto__Tensor *tensor;
    if (!type)
        return NULL;
    if (is_word(r, "seq") || is_word(r, "optional") || is_word(r, "map") || is_word(r, "sparse_tensor"))
        return read_constructed(r, type, level) ? type : NULL;
    tensor = type->tensor_type = make(r, &onnx__type_proto__tensor__descriptor);
    type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    if (!tensor || !read_element(r, &tensor->elem_type, &tensor->shape))
        return NULL;
    tensor->has_elem_type = 1;
    return type;
}

gm_status gm_onnx_type_read(gm_pool *pool, const char *text, Onnx__TypeProto **type_out)
{
    reader r = {.pool = pool, .at = text};
    *type_out = read_type(&r, 0);
    if (*r.at)
        *type_out = NULL;
    return r.no_memory ? GM_ERROR_MEMORY : GM_OK;
}
