/* 32,000 damaged files of the four kinds: each is refused with a reason or is a valid model; no crash, no leak, no more memory than
 * its size allows. More of them, and for longer: tests/fuzz_models.c. */
#include "graph/onnx_tree.h"
#include "tests/mutate.h"

#include <check.h>

#define EACH 8000 /* mutations of one kind of file */

static const char model_text[] =
    "# a small model with everything\n"
    "model small <gmodel = 1, opset = 21, seed = 3>\n"
    "const width = 4, rate = 1e-2\n"
    "data d = ring <modes = 3, radius = 2, width = 0.1, count = 50> { x : float[2] }\n"
    "function Twice <k = 2> (float[N, D] x) => (float[N, D] y) { y = x * k }\n"
    "network g (float[N, 3] z) => (float[N, 2] y) {\n"
    "  param w : float[3, width] ~ normal(0, 0.1)\n"
    "  [h] h = Relu(BatchNorm(Twice <k = 3> (MatMul(z, w))))\n"
    "  y = Dense <2> (Dropout(h, 0.1))\n}\n"
    "network c (float[N, 1, 6, 6] x) => (float[N, 2] y) { y = Dense <2> (Flatten(Relu(Conv2d <2, kernel = 3> (x)))) }\n"
    "step fit (float[N, 2] x) {\n"
    "  z = RandomNormal <shape = [N, 3]> ()\n"
    "  loss = mean((g(z) - x) ^ 2)\n"
    "  minimize loss over g with Adam <rate = rate * 0.5 ^ epoch>\n  report loss\n}\n"
    "sample s { write points = g(RandomNormal <shape = [4, 3], seed = 1> ()) }\n"
    "evaluate e over 10 draws { mean m = g(RandomNormal <shape = [N, 3]> ()) }\n"
    "train d batch 5 epochs 1 { fit  every 1 epoch s, e }\n";

typedef struct seed {
    void *data;
    size_t bytes;
    const char *name;
} seed;

/* The four kinds, made of the two texts. */
static void make_seeds(seed seeds[4])
{
    static const char plain[] =
        "< ir_version: 10, opset_import: [\"\" : 21, \"local\" : 1] >\n"
        "g (float[N, 4] x) => (float[N, 4] y, float[3, 4] all)\n"
        "<float[4, 4] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, int64 three = {3}, bool yes = {1},\n"
        " int64[1] axis = {0}, int64[2] sizes = {-1, 4}, double q = {0.5}, float16[2] p = {1, 2}, uint8[3] o = {1, 2, "
        "3}>\n"
        "{\n"
        "  h = MatMul (x, w)\n  c = local.Half (w)\n  r = Reshape (h, sizes)\n"
        "  f = If (yes) <then_branch : graph = t () => (float[4, 4] o1) { o1 = Relu (c) },\n"
        "                else_branch : graph = e () => (float[4, 4] o2) { o2 = Neg (c) }>\n"
        "  total, all = Loop (three, yes, f) <body : graph = b (int64 i, bool go, float[4, 4] v)\n"
        "      => (bool more, float[4, 4] u, float[4] row) {\n"
        "    more = Identity (go)\n    u = Add (v, w)\n    row = ReduceSum <keepdims = 0> (u, axis)\n  }>\n"
        "  y = Add (r, r)\n"
        "}\n"
        "<domain: \"local\", opset_import: [\"\" : 21]>\n"
        "Half (a) => (b) { kk = Constant <value_float = 0.5> ()\n b = Mul (a, kk) }\n";
    gm_context *context = NULL;
    gm_model *model = NULL;
    gm_ast_file *file = NULL;
    gm_pool *pool;
    void *data = NULL;
    size_t bytes = 0;
    ck_assert_int_eq(gm_context_create(NULL, &context), GM_OK);
    pool = gm_pool_create(context);
    seeds[0] = (seed){strdup(model_text), sizeof model_text - 1, "text .gmodel"};
    ck_assert_msg(gm_model_load_memory(context, model_text, sizeof model_text - 1, "m", NULL, &model) == GM_OK, "%s",
                  gm_context_message(context));
    ck_assert_int_eq(gm_model_save_memory(model, &data, &bytes), GM_OK);
    seeds[1] = (seed){malloc(bytes), bytes, "binary .gmodel"};
    memcpy(seeds[1].data, data, bytes);
    gm_release(context, data);
    gm_model_destroy(model);
    seeds[2] = (seed){strdup(plain), sizeof plain - 1, "ONNX text"};
    ck_assert_msg(gm_parse(pool, plain, sizeof plain - 1, "o", &file) == GM_OK, "%s", gm_context_message(context));
    ck_assert_int_eq(gm_onnx_untree(pool, file, NULL, &data, &bytes), GM_OK);
    seeds[3] = (seed){malloc(bytes), bytes, "ONNX"};
    memcpy(seeds[3].data, data, bytes);
    gm_pool_destroy(pool);
    gm_context_destroy(context);
}

static seed seeds[4];
static mutant m;

static void setup(void)
{
    make_seeds(seeds);
    m.capacity = 1 << 16;
    m.data = malloc(m.capacity);
}

static void teardown(void)
{
    for (size_t i = 0; i < 4; i++)
        free(seeds[i].data);
    free(m.data);
}

START_TEST(the_files_themselves_are_sound)
{
    for (size_t i = 0; i < 4; i++) {
        const char *trouble;
        frame f;
        frame_result result = frame_try(seeds[i].data, seeds[i].bytes, seeds[i].name, &f, &trouble);
        ck_assert_msg(!trouble && result == FRAME_RAN && !f.capped, "%s: %s", seeds[i].name,
                      trouble ? trouble : "refused");
    }
}
END_TEST

START_TEST(mutations_do_no_harm)
{
    const seed *from = &seeds[_i];
    size_t results[3] = {0}, capped = 0;
    for (uint64_t k = 0; k < EACH; k++) {
        const char *trouble;
        frame f;
        mutate(&m, from->data, from->bytes, (uint64_t)_i * EACH + k);
        results[frame_try(m.data, m.bytes, "mutant", &f, &trouble)]++;
        ck_assert_msg(!trouble, "mutation %d of %s: %s", (int)k, from->name, trouble);
        capped += f.capped;
    }
    ck_assert_uint_gt(results[FRAME_REFUSED], EACH / 10); /* the mutations do something */
    ck_assert_uint_gt(results[FRAME_RAN], 20);
    ck_assert_uint_lt(capped, EACH / 200); /* sizes that a text says outright */
}
END_TEST

/* Every beginning of a file. */
START_TEST(cut_files_do_no_harm)
{
    const seed *from = &seeds[_i];
    size_t step = from->bytes / 600 + 1;
    for (size_t bytes = 0; bytes < from->bytes; bytes += step) {
        const char *trouble;
        frame f;
        memcpy(m.data, from->data, bytes);
        frame_try(m.data, bytes, "cut", &f, &trouble);
        ck_assert_msg(!trouble, "%zu bytes of %s: %s", bytes, from->name, trouble);
    }
}
END_TEST

/* --- Short texts that ask for much --- */

#define ONNX "< ir_version: 10, opset_import: [\"\" : 21] >\n"
#define LOOP(count, type, body)                                                                                        \
    ONNX "g (float[1] x) => (float[1] y) <int64 n = {" count "}, bool t = {1}, int64[1] one = {1}> {\n"                \
         "  z = Cast <to = 1> (one)\n  q = Loop (n, t, z) <body : graph = b (int64 i, bool go, float[" type            \
         "] v) => (bool more, float[" type "] u) { more = Identity (go)\n" body "}>\n  y = Add (q, x)\n}\n"

static const struct {
    const char *text, *refusal; /* NULL: a valid model */
} greedy[] = {
    {ONNX "g (float[1] x) => (float[a] y) <int64[1] n = {1000000000}> { c = ConstantOfShape (n)\n y = Add (c, x) }",
     NULL},
    {ONNX "g (float[1] x) => (float[a, b] y) <int64[2] n = {3000, 3000}> { c = ConstantOfShape (n)\n"
          " d = MatMul (c, c)\n e = MatMul (d, c)\n y = Add (e, x) }",
     NULL},
    {ONNX "g (float[1] x) => (float[a, b] y) <int64[2] n = {600, 600}> { c = ConstantOfShape (n)\n"
          " d = MatMul (c, c)\n e = MatMul (d, c)\n y = Add (e, x) }",
     NULL},
    {ONNX "g (float[1] x) => (float[a, b, c, d] y) <int64[4] n = {1, 16, 512, 512}, int64[4] k = {16, 16, 31, 31}> {\n"
          " c = ConstantOfShape (n)\n w = ConstantOfShape (k)\n e = Conv (c, w)\n y = Add (e, x) }",
     NULL},
    {ONNX "g (float[1] x) => (float[a] y) <int64[1] n = {2000000000}, int64[1] z = {0}> { q = Tile (z, n)\n"
          " r = Cast <to = 1> (q)\n y = Add (r, x) }",
     NULL},
    {ONNX "g (float[1] x) => (float[a] y) <int64[2] n = {1099511627776, 1099511627776}> { c = ConstantOfShape (n)\n"
          " y = Add (c, x) }",
     "too large for any machine"},
    {ONNX "g (float[9223372036854775807] x) => (float[a] y) { y = Add (x, x) }", "too large for any machine"},
    {"model m <gmodel = 1, opset = 21>\nnetwork n (float[N] x) => (float[N] y) {\n"
     "  param w : float[1000000000000, 1000000]\n  y = x\n}\n",
     "'n.w' would have 1e+18 elements"},
    {LOOP("1000000000", "1", " u = Add (v, v)\n"), "the model has more than 200"},
    {LOOP("60", "a", " u = Concat <axis = 0> (v, v)\n"), "too large for any machine"},
    {LOOP("30000", "1",
          " u = Loop (n, t, v) <body : graph = b2 (int64 j, bool go2, float[1] v2) => (bool more2, float[1] u2) {\n"
          " more2 = Identity (go2)\n u2 = Add (v2, v2) }>\n"),
     "the model has more than 200"},
    {"model m <gmodel = 1, opset = 21>\n"
     "function a (float[N] x) => (float[N] y) { y = x + x }\n"
     "function b (float[N] x) => (float[N] y) { y = a(a(a(a(x)))) + a(a(a(a(x)))) }\n"
     "function c (float[N] x) => (float[N] y) { y = b(b(b(b(x)))) + b(b(b(b(x)))) }\n"
     "function d (float[N] x) => (float[N] y) { y = c(c(c(c(x)))) + c(c(c(c(x)))) }\n"
     "function e (float[N] x) => (float[N] y) { y = d(d(d(d(x)))) + d(d(d(d(x)))) }\n"
     "network n (float[N] x) => (float[N] y) { y = e(e(e(e(x)))) }\n",
     "the model has more than 200"},
};

START_TEST(short_texts_stay_small)
{
    frame f = {.cap = FRAME_SPARE};
    gm_context_options options;
    gm_context *context = NULL;
    gm_model *model = NULL;
    gm_status status;
    gm_context_options_default(&options, sizeof options);
    options.allocate = frame_allocate;
    options.release = frame_release;
    options.user = &f;
    ck_assert_int_eq(gm_context_create(&options, &context), GM_OK);
    status = gm_model_load_memory(context, greedy[_i].text, strlen(greedy[_i].text), "greedy", NULL, &model);
    ck_assert_msg(!f.capped, "more than 64 MiB: %s", gm_context_message(context));
    if (greedy[_i].refusal)
        ck_assert_msg(status != GM_OK && strstr(gm_context_message(context), greedy[_i].refusal), "'%s' is not in '%s'",
                      greedy[_i].refusal, gm_context_message(context));
    else
        ck_assert_msg(status == GM_OK, "%s", gm_context_message(context));
    gm_model_destroy(model);
    gm_context_destroy(context);
    ck_assert_uint_eq(f.blocks, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mutations");
    TCase *tests = tcase_create("mutations");
    SRunner *runner;
    int failed;
    tcase_set_timeout(tests, 600);
    tcase_add_unchecked_fixture(tests, setup, teardown);
    tcase_add_test(tests, the_files_themselves_are_sound);
    tcase_add_loop_test(tests, mutations_do_no_harm, 0, 4);
    tcase_add_loop_test(tests, cut_files_do_no_harm, 0, 4);
    tcase_add_loop_test(tests, short_texts_stay_small, 0, (int)(sizeof greedy / sizeof greedy[0]));
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
