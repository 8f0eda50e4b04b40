/* The binary encoding: round trips, the view, damaged and hostile files. */
#include "graph/container.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char source[] =
    "# a comment that stays\nmodel tiny <gmodel = 1>\nnetwork net (float[N, 16] z) => (y) { }\n";

static gm_context *context;
static gm_pool *pool;

/* --- A small model ------------------------------------------------------------------------------------------------- */

static gm_state_entry states[] = {
    {.path = "net.y.Conv2d.W", .type = GM_FLOAT, .rank = 4, .dims = {3, 4, 1, 1}},
    {.path = "net.y.Conv2d.b", .type = GM_FLOAT, .rank = 1, .dims = {3}},
    {.path = "other.count", .kind = GM_STATE_BUFFER, .type = GM_INT64, .rank = 0},
};
static gm_program program = {.states = states, .state_count = 3, .name = "tiny"};
static gm_source_file sources[] = {{"tiny.gmodel", source, sizeof source - 1}, {"part.gmodel", "", 0}};
static gm_setting settings[] = {{"latent", "16"}, {"label", "\"digits\""}};
static gm_named_tensor parameters[3], training[3];

static const gm_tensor *filled(gm_pool *in, gm_type type, int rank, const int64_t *dims, int start)
{
    gm_tensor *tensor = gm_tensor_create(in, type, rank, dims);
    for (int64_t i = 0; i < gm_tensor_count(tensor); i++)
        gm_set(tensor, i, start + (double)i / 4);
    return tensor;
}

static gm_value_id state(gm_graph *graph, uint32_t index)
{
    gm_dim dims[GM_MAX_RANK];
    for (int i = 0; i < states[index].rank; i++)
        dims[i] = states[index].dims[i];
    return gm_graph_state(graph, index, states[index].path, states[index].type, states[index].rank, dims);
}

/* z -> Reshape -> Conv -> LeakyRelu -> y, and z as a second output. */
static gm_graph *make_view(gm_pool *in)
{
    gm_graph *graph = gm_graph_create(in, NULL, "net");
    gm_dim n = gm_dim_symbol(graph->symbols, "N");
    gm_value_id z = gm_graph_add_input(graph, "z", GM_FLOAT, 2, (gm_dim[]){n, 16}, false);
    gm_value_id x, y;
    graph->path = "net.y.Conv2d";
    x = gm_emit2(graph, "Reshape", z, gm_const_ints(graph, (int64_t[]){0, 4, 2, 2}, 4));
    x = gm_emit3(graph, "Conv", x, state(graph, 0), state(graph, 1));
    y = gm_emit1_with(graph, "LeakyRelu", x, gm_attribute_float("alpha", 0.3));
    gm_graph_add_output(graph, "y", y);
    gm_graph_add_output(graph, "again", z);
    ck_assert_int_eq(graph->status, GM_OK);
    return graph;
}

static gm_container make_container(gm_pool *in)
{
    for (size_t i = 0; i < 3; i++)
        parameters[i] =
            (gm_named_tensor){states[i].path, filled(in, states[i].type, states[i].rank, states[i].dims, (int)i)};
    training[0] = (gm_named_tensor){"fit.net.y.Conv2d.W.m", filled(in, GM_FLOAT, 4, states[0].dims, 7)};
    training[1] = (gm_named_tensor){"fit.net.t", filled(in, GM_INT64, 0, NULL, 12)};
    training[2] = (gm_named_tensor){"gmodel.empty", filled(in, GM_DOUBLE, 1, (int64_t[]){0}, 0)};
    return (gm_container){.model_name = "tiny",
                          .opset = 21,
                          .sources = sources,
                          .source_count = 2,
                          .settings = settings,
                          .setting_count = 2,
                          .parameters = parameters,
                          .parameter_count = 3,
                          .training = training,
                          .training_count = 3,
                          .view = make_view(in),
                          .program = &program};
}

static unsigned char *encoded;
static size_t encoded_bytes;

static void setup(void)
{
    gm_container container;
    void *data;
    ck_assert_int_eq(gm_context_create(NULL, &context), GM_OK);
    pool = gm_pool_create(context);
    container = make_container(pool);
    ck_assert_msg(gm_container_encode(context, &container, &data, &encoded_bytes) == GM_OK, "%s",
                  gm_context_message(context));
    encoded = data;
}

static void teardown(void)
{
    gm_free(context, encoded);
    gm_pool_destroy(pool);
    gm_context_destroy(context);
}

/* Decodes a copy of exactly these bytes, so that the address sanitizer sees a step beyond. */
static gm_status decode(const void *data, size_t bytes)
{
    gm_pool *own = gm_pool_create(context);
    unsigned char *copy = malloc(bytes ? bytes : 1);
    gm_container *container = NULL;
    gm_status status;
    memcpy(copy, data, bytes);
    status = gm_container_decode(own, copy, bytes, "file", &container);
    if (status == GM_OK && (container->source_count == 0 || container->parameter_count != 3))
        status = GM_ERROR_INTERNAL;
    free(copy);
    gm_pool_destroy(own);
    return status;
}

static void check_tensors(const gm_named_tensor *expected, size_t count, const gm_named_tensor *found)
{
    for (size_t i = 0; i < count; i++) {
        ck_assert_str_eq(found[i].name, expected[i].name);
        ck_assert_int_eq(found[i].tensor->type, expected[i].tensor->type);
        ck_assert(gm_tensor_same_shape(found[i].tensor, expected[i].tensor));
        ck_assert_int_eq(memcmp(found[i].tensor->data, expected[i].tensor->data, gm_tensor_bytes(expected[i].tensor)),
                         0);
    }
}

static size_t find(const void *data, size_t bytes, const char *text)
{
    size_t length = strlen(text);
    for (size_t i = 0; i + length <= bytes; i++)
        if (memcmp((const char *)data + i, text, length) == 0)
            return i;
    ck_abort_msg("'%s' is not there", text);
    return 0;
}

/* --- Round trips --------------------------------------------------------------------------------------------------- */

START_TEST(EverythingComesBack)
{
    gm_container *c = NULL;
    ck_assert_msg(gm_container_decode(pool, encoded, encoded_bytes, "file", &c) == GM_OK, "%s",
                  gm_context_message(context));
    ck_assert_str_eq(c->model_name, "tiny");
    ck_assert_int_eq(c->opset, 21);
    ck_assert_uint_eq(c->source_count, 2);
    for (size_t i = 0; i < 2; i++) {
        ck_assert_str_eq(c->sources[i].name, sources[i].name);
        ck_assert_str_eq(c->sources[i].text, sources[i].text);
        ck_assert_uint_eq(c->sources[i].bytes, sources[i].bytes);
        ck_assert_str_eq(c->settings[i].name, settings[i].name);
        ck_assert_str_eq(c->settings[i].value, settings[i].value);
    }
    ck_assert_uint_eq(c->setting_count, 2);
    ck_assert_uint_eq(c->parameter_count, 3);
    ck_assert_uint_eq(c->training_count, 3);
    check_tensors(parameters, 3, c->parameters);
    check_tensors(training, 3, c->training);
}
END_TEST

START_TEST(EncodedAgainItIsTheSameFile)
{
    gm_container *c = NULL;
    void *data;
    size_t bytes;
    ck_assert_int_eq(gm_container_decode(pool, encoded, encoded_bytes, "file", &c), GM_OK);
    c->view = make_view(pool);
    c->program = &program;
    ck_assert_int_eq(gm_container_encode(context, c, &data, &bytes), GM_OK);
    ck_assert_uint_eq(bytes, encoded_bytes);
    ck_assert_int_eq(memcmp(data, encoded, bytes), 0);
    gm_free(context, data);
}
END_TEST

START_TEST(TextAndBinaryAreToldByContent)
{
    ck_assert_int_eq(gm_encoding_of(encoded, encoded_bytes), GM_ENCODING_BINARY);
    ck_assert_int_eq(gm_encoding_of(source, strlen(source)), GM_ENCODING_TEXT);
    ck_assert_int_eq(gm_encoding_of("", 0), GM_ENCODING_TEXT);
    ck_assert_int_eq(gm_encoding_of("PK\3\4\0\0", 6), GM_ENCODING_BINARY);
    ck_assert_int_eq(decode(source, strlen(source)), GM_ERROR_MODEL);
}
END_TEST

START_TEST(FileStartsAsTheFormatSays)
{
    /* ir_version 10, producer_name of 6 bytes */
    ck_assert_int_eq(memcmp(encoded, "\x08\x0a\x12\x06gmodel", 10), 0);
    find(encoded, encoded_bytes, "\x12\x01N"); /* the symbolic dimension */
    find(encoded, encoded_bytes, "net.y.Conv2d/Conv");
    find(encoded, encoded_bytes, "gmodel.view");
}
END_TEST

START_TEST(WithoutSourcesItIsPlainOnnx)
{
    gm_container c = make_container(pool);
    void *data;
    size_t bytes;
    c.source_count = c.training_count = 0;
    ck_assert_int_eq(gm_container_encode(context, &c, &data, &bytes), GM_OK);
    ck_assert_int_eq(decode(data, bytes), GM_ERROR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(gm_context_message(context), "made by gmodel"));
    gm_free(context, data);
}
END_TEST

START_TEST(AModelWithoutNetworkCanBeStored)
{
    gm_container c = make_container(pool);
    void *data;
    size_t bytes;
    c.view = NULL;
    c.program = NULL;
    ck_assert_int_eq(gm_container_encode(context, &c, &data, &bytes), GM_OK);
    ck_assert_int_eq(decode(data, bytes), GM_OK);
    gm_free(context, data);
}
END_TEST

START_TEST(WhatCannotBeStoredIsRefused)
{
    gm_container c = make_container(pool);
    gm_tensor words = {.type = GM_STRING, .rank = 1, .dims = {1}}, huge = {.type = GM_FLOAT, .rank = 1};
    void *data;
    size_t bytes;
    parameters[1].name = parameters[0].name;
    ck_assert_int_eq(gm_container_encode(context, &c, &data, &bytes), GM_ERROR_ARGUMENT);
    c = make_container(pool);
    parameters[1].name = "renamed"; /* the view reads net.y.Conv2d.b */
    ck_assert_int_eq(gm_container_encode(context, &c, &data, &bytes), GM_ERROR_INTERNAL);
    c = make_container(pool);
    training[0].tensor = &words;
    ck_assert_int_eq(gm_container_encode(context, &c, &data, &bytes), GM_ERROR_UNSUPPORTED);
    huge.dims[0] = 1 << 30;
    huge.data = &huge;
    training[0].tensor = &huge;
    ck_assert_int_eq(gm_container_encode(context, &c, &data, &bytes), GM_ERROR_UNSUPPORTED);
    c = make_container(pool);
    c.sources = (gm_source_file[]){{"a", "ab\xff", 3}};
    c.source_count = 1;
    ck_assert_int_eq(gm_container_encode(context, &c, &data, &bytes), GM_ERROR_MODEL);
    c.sources = (gm_source_file[]){{"a", "x", 1}, {"a", "y", 1}};
    c.source_count = 2;
    ck_assert_int_eq(gm_container_encode(context, &c, &data, &bytes), GM_ERROR_MODEL);
}
END_TEST

/* --- Damage -------------------------------------------------------------------------------------------------------- */

START_TEST(TruncatedAnywhereItIsRefused)
{
    for (size_t bytes = 0; bytes < encoded_bytes; bytes++)
        if (decode(encoded, bytes) == GM_OK || gm_context_message(context)[0] == 0)
            ck_abort_msg("%zu of %zu bytes were taken", bytes, encoded_bytes);
}
END_TEST

START_TEST(RandomMutationsNeverCrash)
{
    unsigned char *copy = malloc(encoded_bytes);
    uint64_t random = 1;
    for (int round = 0; round < 4000; round++) {
        memcpy(copy, encoded, encoded_bytes);
        for (int i = 0; i <= round % 4; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            copy[(random >> 33) % encoded_bytes] =
                round & 4 ? (unsigned char)(random >> 24) : copy[(random >> 33) % encoded_bytes] ^ 1u << (random >> 61);
        }
        if (decode(copy, encoded_bytes) == GM_ERROR_INTERNAL)
            ck_abort_msg("round %d", round);
    }
    free(copy);
}
END_TEST

START_TEST(AChangedGraphIsRefusedChangedNumbersAreNot)
{
    size_t at = find(encoded, encoded_bytes, "LeakyRelu");
    encoded[at] = 'M';
    ck_assert_int_eq(decode(encoded, encoded_bytes), GM_ERROR_MODEL);
    ck_assert_ptr_nonnull(strstr(gm_context_message(context), "another tool changed the graph"));
    encoded[at] = 'L';
    ck_assert_int_eq(decode(encoded, encoded_bytes), GM_OK);
    /* W holds 0, 0.25, 0.5, ... */
    for (at = 0; memcmp(encoded + at, (float[]){0.25f, 0.5f, 0.75f}, 12) != 0; at++)
        ck_assert_uint_lt(at, encoded_bytes - 12);
    encoded[at] ^= 1;
    ck_assert_int_eq(decode(encoded, encoded_bytes), GM_OK);
}
END_TEST

START_TEST(MoreThanTwoGiBAreRefused)
{
    gm_container *c;
    ck_assert_int_eq(gm_container_decode(pool, encoded, (size_t)INT32_MAX + 1, "file", &c), GM_ERROR_UNSUPPORTED);
}
END_TEST

/* --- Files written by hand: training_info is last and outside the digest ------------------------------------------- */

typedef struct wire {
    unsigned char data[60000];
    size_t length;
} wire;

static void put_varint(wire *w, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        w->data[w->length++] = (unsigned char)(value | 0x80);
    w->data[w->length++] = (unsigned char)value;
}

static void put_number(wire *w, unsigned field, uint64_t value)
{
    put_varint(w, field << 3);
    put_varint(w, value);
}

static void put_block(wire *w, unsigned field, const void *data, size_t bytes)
{
    put_varint(w, field << 3 | 2);
    put_varint(w, bytes);
    memcpy(w->data + w->length, data, bytes);
    w->length += bytes;
}

static void wrap(wire *w, unsigned field)
{
    wire inner = *w;
    w->length = 0;
    put_block(w, field, inner.data, inner.length);
}

/* A file that says it has `count` training tensors, without them. */
static size_t without_training(unsigned char *out, size_t count)
{
    gm_container c = make_container(pool);
    void *data;
    size_t bytes, length;
    c.training_count = 0;
    ck_assert_int_eq(gm_container_encode(context, &c, &data, &bytes), GM_OK);
    gm_free(context, data);
    length = bytes; /* "0" and "1" are of one length */
    c.training_count = count;
    ck_assert_int_eq(gm_container_encode(context, &c, &data, &bytes), GM_OK);
    memcpy(out, data, length);
    gm_free(context, data);
    return length;
}

/* Decodes a file whose training_info holds what `algorithm` has. */
static gm_status decode_training(const wire *algorithm, size_t count)
{
    wire *w = malloc(sizeof *w);
    unsigned char *file = malloc(encoded_bytes + sizeof *w);
    size_t bytes = without_training(file, count);
    gm_status status;
    *w = *algorithm;
    wrap(w, 2);
    wrap(w, 20);
    memcpy(file + bytes, w->data, w->length);
    status = decode(file, bytes + w->length);
    free(file);
    free(w);
    return status;
}

typedef struct hostile {
    const char *expected; /* in the message; NULL: fine */
    int type;             /* 0: none */
    int64_t dims[10];     /* until -99 */
    size_t raw;           /* bytes of raw_data, filled with `fill` */
    unsigned char fill;
    const char *name;
    unsigned extra_field; /* a block of `extra` bytes */
    const char *extra;
    size_t extra_bytes;
} hostile;

static const hostile cases[] = {
    {NULL, GM_FLOAT, {2, 3, -99}, 24, 0, "a", 0, NULL, 0},
    {NULL, GM_BOOL, {2, -99}, 2, 1, "a", 0, NULL, 0},
    {NULL, GM_FLOAT, {2, -99}, 0, 0, "a", 4, "\0\0\x80\x3f\0\0\0\x40", 8},
    {NULL, GM_INT8, {2, -99}, 0, 0, "a", 5, "\x05\x06", 2},
    {NULL, GM_UINT32, {2, -99}, 0, 0, "a", 11, "\x05\x06", 2},
    {NULL, GM_FLOAT, {0, 1 << 30, 1 << 30, -99}, 0, 0, "a", 0, NULL, 0},
    {"its shape needs 24", GM_FLOAT, {2, 3, -99}, 23, 0, "a", 0, NULL, 0},
    {"its shape needs 24", GM_FLOAT, {2, 3, -99}, 0, 0, "a", 0, NULL, 0},
    {"its shape needs 3", GM_FLOAT, {3, -99}, 0, 0, "a", 4, "\0\0\x80\x3f\0\0\0\x40", 8},
    {"its shape needs 2", GM_INT32, {2, -99}, 0, 0, "a", 5, "\x05", 1},
    {"its shape needs", GM_FLOAT, {2, -99}, 0, 0, "a", 5, "\x05\x06", 2}, /* ints for floats */
    {"elements twice", GM_FLOAT, {2, -99}, 8, 0, "a", 4, "\0\0\x80\x3f\0\0\0\x40", 8},
    {"no file holds", GM_FLOAT, {-1, -99}, 4, 0, "a", 0, NULL, 0},
    {"no file holds", GM_FLOAT, {(int64_t)1 << 32, (int64_t)1 << 32, -99}, 0, 0, "a", 0, NULL, 0},
    {"no file holds", GM_FLOAT, {1 << 30, 1 << 30, 1 << 30, 1 << 30, -99}, 0, 0, "a", 0, NULL, 0},
    {"no file holds", GM_DOUBLE, {INT64_MAX, -99}, 0, 0, "a", 0, NULL, 0},
    {"has type 14", 14, {2, -99}, 16, 0, "a", 0, NULL, 0},
    {"has type 8", GM_STRING, {1, -99}, 0, 0, "a", 6, "x", 1},
    {"has type 0", 0, {2, -99}, 8, 0, "a", 0, NULL, 0},
    {"9 dimensions", GM_FLOAT, {1, 1, 1, 1, 1, 1, 1, 1, 1, -99}, 4, 0, "a", 0, NULL, 0},
    {"holds 2", GM_BOOL, {2, -99}, 2, 2, "a", 0, NULL, 0},
    {"no name", GM_FLOAT, {1, -99}, 4, 0, "", 0, NULL, 0},
    {"no name", GM_FLOAT, {1, -99}, 4, 0, NULL, 0, NULL, 0},
    {"0 bytes of data", GM_FLOAT, {1, -99}, 0, 0, "a", 13, "\x0a\x08location\x12\x01x", 13},
    {"zero byte", GM_FLOAT, {1, -99}, 4, 0, "a", 12, "x\0y", 3},
};

static void put_tensor(wire *algorithm, const hostile *h)
{
    static wire w; /* large */
    unsigned char raw[64];
    w.length = 0;
    for (size_t i = 0; h->dims[i] != -99; i++)
        put_number(&w, 1, (uint64_t)h->dims[i]);
    if (h->type)
        put_number(&w, 2, (uint64_t)h->type);
    if (h->extra_field && h->extra_field < 8)
        put_block(&w, h->extra_field, h->extra, h->extra_bytes);
    if (h->name)
        put_block(&w, 8, h->name, strlen(h->name));
    memset(raw, h->fill, sizeof raw);
    if (h->raw)
        put_block(&w, 9, raw, h->raw);
    if (h->extra_field >= 8)
        put_block(&w, h->extra_field, h->extra, h->extra_bytes);
    put_block(algorithm, 5, w.data, w.length);
}

START_TEST(TensorsAreCheckedAgainstTheirShape)
{
    static wire w;
    for (size_t i = 0; i < GM_COUNT(cases); i++) {
        gm_status status;
        w.length = 0;
        put_tensor(&w, &cases[i]);
        status = decode_training(&w, 1);
        if (!cases[i].expected)
            ck_assert_msg(status == GM_OK, "case %zu: %s", i, gm_context_message(context));
        else
            ck_assert_msg(status != GM_OK && strstr(gm_context_message(context), cases[i].expected), "case %zu: %s", i,
                          gm_context_message(context));
    }
}
END_TEST

START_TEST(TypedFieldsGiveTheSameNumbers)
{
    static wire w;
    static unsigned char file[70000];
    size_t bytes = without_training(file, 2);
    gm_container *c = NULL;
    w.length = 0;
    put_tensor(&w, &(hostile){NULL, GM_FLOAT, {2, -99}, 0, 0, "f", 4, "\0\0\x80\x3f\0\0\0\x40", 8});
    put_tensor(&w, &(hostile){NULL, GM_FLOAT16, {2, -99}, 0, 0, "h", 5, "\x80\x78\x80\x80\x01", 5});
    wrap(&w, 2);
    wrap(&w, 20);
    memcpy(file + bytes, w.data, w.length);
    ck_assert_msg(gm_container_decode(pool, file, bytes + w.length, "file", &c) == GM_OK, "%s",
                  gm_context_message(context));
    ck_assert(gm_get(c->training[0].tensor, 0) == 1.0 && gm_get(c->training[0].tensor, 1) == 2.0);
    ck_assert(gm_get(c->training[1].tensor, 0) == 1.0 && gm_get(c->training[1].tensor, 1) == 2.0);
}
END_TEST

START_TEST(NamesAreUnique)
{
    static wire w;
    w.length = 0;
    put_tensor(&w, &cases[0]);
    put_tensor(&w, &cases[0]);
    ck_assert_int_eq(decode_training(&w, 2), GM_ERROR_MODEL);
    ck_assert_ptr_nonnull(strstr(gm_context_message(context), "two tensors are named 'a'"));
}
END_TEST

START_TEST(AMissingTensorIsNoticed)
{
    static wire w;
    w.length = 0;
    put_tensor(&w, &cases[0]);
    ck_assert_int_eq(decode_training(&w, 2), GM_ERROR_MODEL);
    ck_assert_ptr_nonnull(strstr(gm_context_message(context), "not complete"));
}
END_TEST

START_TEST(DeepNestingIsRefused)
{
    static wire w;
    w.length = 0;
    for (int i = 0; i < 400; i++) { /* TypeProto.sequence_type.elem_type ... */
        wrap(&w, 1);
        wrap(&w, 4);
    }
    wrap(&w, 2);  /* ValueInfoProto.type */
    wrap(&w, 13); /* GraphProto.value_info */
    ck_assert_int_eq(decode_training(&w, 0), GM_ERROR_MODEL);
    ck_assert_ptr_nonnull(strstr(gm_context_message(context), "too deeply"));
}
END_TEST

/* --- Memory -------------------------------------------------------------------------------------------------------- */

static void *limited(size_t bytes, void *user)
{
    long *left = user;
    return (*left)-- > 0 ? malloc(bytes) : NULL;
}

static void release(void *memory, void *user)
{
    (void)user;
    free(memory);
}

static gm_status run_limited(long *left, long limit)
{
    gm_context_options options;
    gm_context *tight;
    gm_container *c = NULL, container = make_container(pool);
    gm_pool *own;
    void *data;
    size_t bytes;
    gm_status status = GM_ERROR_MEMORY;
    gm_context_options_default(&options, sizeof options);
    options.allocate = limited;
    options.release = release;
    options.user = left;
    *left = 1000;
    ck_assert_int_eq(gm_context_create(&options, &tight), GM_OK);
    *left = limit;
    own = gm_pool_create(tight);
    if (own)
        status = gm_container_decode(own, encoded, encoded_bytes, "file", &c);
    if (status == GM_OK && (status = gm_container_encode(tight, &container, &data, &bytes)) == GM_OK)
        gm_free(tight, data);
    gm_pool_destroy(own);
    gm_context_destroy(tight);
    return status;
}

START_TEST(AFailedAllocationIsAnErrorEverywhere)
{
    long left, limit = 0;
    for (gm_status status = GM_ERROR_MEMORY; status != GM_OK; limit++) {
        status = run_limited(&left, limit);
        if (status != GM_OK && status != GM_ERROR_MEMORY)
            ck_abort_msg("allocation %ld: status %d", limit, status);
    }
    ck_assert_int_gt(limit, 5);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("container");
    TCase *all = tcase_create("container");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(all, setup, teardown);
    tcase_add_test(all, EverythingComesBack);
    tcase_add_test(all, EncodedAgainItIsTheSameFile);
    tcase_add_test(all, TextAndBinaryAreToldByContent);
    tcase_add_test(all, FileStartsAsTheFormatSays);
    tcase_add_test(all, WithoutSourcesItIsPlainOnnx);
    tcase_add_test(all, AModelWithoutNetworkCanBeStored);
    tcase_add_test(all, WhatCannotBeStoredIsRefused);
    tcase_add_test(all, TruncatedAnywhereItIsRefused);
    tcase_add_test(all, RandomMutationsNeverCrash);
    tcase_add_test(all, AChangedGraphIsRefusedChangedNumbersAreNot);
    tcase_add_test(all, MoreThanTwoGiBAreRefused);
    tcase_add_test(all, TensorsAreCheckedAgainstTheirShape);
    tcase_add_test(all, TypedFieldsGiveTheSameNumbers);
    tcase_add_test(all, NamesAreUnique);
    tcase_add_test(all, AMissingTensorIsNoticed);
    tcase_add_test(all, DeepNestingIsRefused);
    tcase_add_test(all, AFailedAllocationIsAnErrorEverywhere);
    suite_add_tcase(suite, all);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
