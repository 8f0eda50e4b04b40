/* ONNX text through the binary and back: what is written here comes back as it is. The oddities of the syntax, a graph each; all of
 * ONNX's own node tests go through tests/peers/onnx_text.py. */
#include "graph/onnx_tree.h"

#include <check.h>
#include <string.h>

#define HEAD "<\n  ir_version: 10,\n  opset_import: [\"\" : 21]\n>\n"

static const char *const texts[] = {
    HEAD "g (float[N, 3] x, int64 s) => (float[] y, float[\"a b\", ?] z, float v) {\n  y = Relu(x)\n  z = Neg(x)\n}\n",
    /* types that are only carried */
    HEAD
    "g (seq(float[N]) a, optional(seq(int64)) b, map(int64, float) c, sparse_tensor(float[3]) d, float8e4m3fn[2] e, "
    "int4[] f) => (uint2[2] y) {\n  y = SequenceAt(a)\n}\n",
    /* kinds that a value does not show */
    HEAD
    "g (float[2] x) => (float[2] y) {\n  y = Op<a = 2, b: float = 2, c = 2.5, d: floats = [1, 2], e = [1, 2], "
    "f = [1.5, 2], g: ints = [], h = \"s\", i = [\"s\", \"t\"], j: strings = [], k: float = -3, l = 1e+30>(x)\n}\n",
    HEAD "g (float[2] x) => (float[2] y) {\n  y = Op<a = inf, b = -inf, c = nan, d = -0.5>(x)\n}\n",
    /* names that need quotes, and empty ones */
    HEAD "g (float[2] \"a/b:0\", float[2] \"1\") => (float[2] y) {\n  y, \"\" = Op(\"a/b:0\", \"\", \"1\")\n}\n",
    HEAD "g (float[2] x) => (float[2] y) {\n  h = ai.onnx.ml.Scaler(x)\n  y = my.domain.Op(h)\n}\n",
    /* tensors */
    HEAD "g () => (float y) <float[2] a = {1.5, -2}, float16[2] b = {15360, 48128}, bool[2] c = {1, 0}, uint64 d = "
         "{18446744073709551615}, int8[0] e = {}, string[2] f = {\"a\\\"b\", \"\\\\\"}, double g = {0.1}, float[2] h = "
         "{nan, -inf}> "
         "{\n  y = Op(a)\n}\n",
    HEAD "g () => (float[2] y) {\n  y = Constant<value = float[2] {1, 2}>()\n}\n",
    HEAD "g () => (float[2] y) {\n  y = Constant<value = float[2] named {1, 2}>()\n}\n",
    HEAD "g (float[2] x = {1, 2}) => (float[2] y) {\n  y = Neg(x)\n}\n",
    /* graphs as attributes */
    HEAD
    "g (bool c, float[2] x) => (float[2] y) {\n  y = If<then_branch = t () => (float[2] a) {\n    a = Neg(x)\n  }, "
    "else_branch = e () => (float[2] b) {\n    b = Abs(x)\n  }>(c)\n}\n",
    /* functions */
    "<\n  ir_version: 10,\n  opset_import: [\"\" : 21, \"local\" : 1]\n>\ng (float[2] x) => (float[2] y) {\n"
    "  y = local.Scaled<k = 2.5>(x)\n}\n\n<\n  domain: \"local\",\n  opset_import: [\"\" : 21]\n>\nScaled<k>(x) => (y) "
    "{\n"
    "  c = Constant<value_float: float = @k>()\n  y = Mul(x, c)\n}\n",
};

static gm_context *context;
static gm_pool *pool;

static void setup(void)
{
    ck_assert_int_eq(gm_context_create(NULL, &context), GM_OK);
    pool = gm_pool_create(context);
}

static void teardown(void)
{
    gm_pool_destroy(pool);
    gm_context_destroy(context);
}

static void require(gm_status status)
{
    ck_assert_msg(status == GM_OK, "%s", gm_context_message(context));
}

static const char *printed(const gm_ast_file *file)
{
    gm_text text;
    const char *copy;
    gm_text_init(&text, context);
    gm_ast_print(file, &text);
    copy = gm_pool_string(pool, text.data ? text.data : "");
    gm_text_destroy(&text);
    return copy;
}

/* All spaces and line ends as one space: the layout is the printer's. */
static const char *flat(const char *text)
{
    char *copy = gm_pool_string(pool, text), *to = copy;
    for (const char *at = text; *at; at++)
        if (*at != ' ' && *at != '\n')
            *to++ = *at;
    *to = 0;
    return copy;
}

START_TEST(texts_come_back_from_the_binary)
{
    gm_ast_file *file = NULL, *again = NULL, *third = NULL;
    void *data = NULL;
    size_t bytes = 0;
    require(gm_parse(pool, texts[_i], strlen(texts[_i]), "t.txt", &file));
    require(gm_onnx_untree(pool, file, NULL, &data, &bytes));
    require(gm_onnx_tree(pool, data, bytes, "t.onnx", &again));
    ck_assert_str_eq(flat(printed(again)), flat(texts[_i]));
    require(gm_parse(pool, printed(again), strlen(printed(again)), "t2.txt", &third)); /* and is a text again */
    ck_assert_str_eq(printed(third), printed(again));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("onnx_text");
    TCase *tests = tcase_create("onnx_text");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, texts_come_back_from_the_binary, 0, (int)GM_COUNT(texts));
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
