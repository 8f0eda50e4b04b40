/* The parser and printer of the language: trees, messages, limits, damaged texts, memory that runs out. */
#include "tests/parser_check.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const samples[] = {
    "prelude.gmodel",      "01_dcgan.gmodel",       "02_gan_alternating.gmodel",
    "03_lsgan.gmodel",     "04_wgan.gmodel",        "05_wgan_gp.gmodel",
    "06_vae.gmodel",       "08_autoencoder.gmodel", "09_classifier.gmodel",
    "10_inception.gmodel", "12_flow.gmodel",        "13_skipgram.gmodel",
    "14_ring.gmodel",      "15_noisy.gmodel",       "16_conditional.gmodel",
    "17_aae.gmodel",       "18_minmax.gmodel",      "19_misc.gmodel",
    "onnx_functions.txt",  "onnx_graphs.txt",
};

static gm_context *context;
static gm_pool *pool;

static void setup(void)
{
    ck_assert_int_eq(gm_context_create(NULL, &context), GM_OK);
    pool = gm_pool_create(context);
    ck_assert_ptr_nonnull(pool);
}

static void teardown(void)
{
    gm_pool_destroy(pool);
    gm_context_destroy(context);
}

static gm_status parse(const char *text, gm_ast_file **file_out)
{
    *file_out = NULL;
    gm_clear_message(context);
    return gm_parse(pool, text, strlen(text), "t", file_out);
}

static const gm_ast_file *parsed(const char *text)
{
    gm_ast_file *file;
    ck_assert_msg(parse(text, &file) == GM_OK, "%s\n%s", text, gm_context_message(context));
    return file;
}

static void read_sample(const char *name, char **data, size_t *bytes)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/language/%s", GM_TEST_SOURCE, name);
    ck_assert_msg(gm_read_file(context, path, data, bytes) == GM_OK, "%s", gm_context_message(context));
}

/* The value of `x = TEXT` printed with a pair of parentheses around each operation. */
static void grouped(gm_text *out, const gm_ast_expression *node)
{
    if (node->kind == GM_AST_NUMBER)
        gm_text_add(out, "%s", node->text);
    else if (node->kind == GM_AST_PATH)
        gm_text_add(out, "%s", node->parts[0]);
    else if (node->kind == GM_AST_NEGATE || node->kind == GM_AST_BINARY) {
        gm_text_add(out, "(");
        if (node->kind == GM_AST_BINARY)
            grouped(out, node->items[0]);
        gm_text_add(out, "%c", node->kind == GM_AST_NEGATE ? '-' : node->op);
        grouped(out, node->items[node->item_count - 1]);
        gm_text_add(out, ")");
    } else {
        gm_text_add(out, "?");
    }
}

static const gm_ast_expression *value_of(const char *expression)
{
    char text[4096];
    snprintf(text, sizeof text, "step s { x = %s }", expression);
    const gm_ast_file *file = parsed(text);
    ck_assert_uint_eq(file->declarations[0].body.count, 1);
    return file->declarations[0].body.statements[0].value;
}

/* --- Trees -------------------------------------------------------------------------------------------------------- */

START_TEST(operators_bind_as_the_grammar_says)
{
    static const char *const cases[][2] = {
        {"a + b * c", "(a+(b*c))"},   {"a - b - c", "((a-b)-c)"}, {"a / b * c", "((a/b)*c)"},
        {"-x ^ 2", "(-(x^2))"},       {"a ^ b ^ c", "(a^(b^c))"}, {"a ^ -b", "(a^(-b))"},
        {"-a * b", "((-a)*b)"},       {"--a", "(-(-a))"},         {"(a + b) * c", "((a+b)*c)"},
        {"a - (b - c)", "(a-(b-c))"}, {"2 * x - 1", "((2*x)-1)"}, {"a * -b ^ 2 + c", "((a*(-(b^2)))+c)"},
        {"(a ^ b) ^ c", "((a^b)^c)"},
    };
    for (size_t i = 0; i < GM_COUNT(cases); i++) {
        gm_text text;
        gm_text_init(&text, context);
        grouped(&text, value_of(cases[i][0]));
        ck_assert_str_eq(text.data, cases[i][1]);
        gm_text_destroy(&text);
    }
}
END_TEST

START_TEST(calls_keep_attributes_arguments_and_overloads)
{
    const gm_ast_expression *call =
        value_of("a.b.Conv:two <3, kernel = [5, -1], bias: float = 0> (x, , \"y z\", [1, 2],)");
    ck_assert_int_eq(call->kind, GM_AST_CALL);
    ck_assert_uint_eq(call->part_count, 3);
    ck_assert_str_eq(call->parts[2], "Conv");
    ck_assert_str_eq(call->overload, "two");
    ck_assert(!call->attributes_behind && call->attributes.written && call->has_arguments);
    ck_assert_uint_eq(call->attributes.count, 3);
    ck_assert_ptr_null(call->attributes.items[0].name);
    ck_assert_int_eq(call->attributes.items[0].value->integer, 3);
    ck_assert_str_eq(call->attributes.items[1].name, "kernel");
    ck_assert_uint_eq(call->attributes.items[1].value->item_count, 2);
    ck_assert_str_eq(call->attributes.items[2].type, "float");
    ck_assert_uint_eq(call->item_count, 4);
    ck_assert_str_eq(call->items[1]->text, "");
    ck_assert_str_eq(call->items[2]->text, "y z");
    ck_assert_int_eq(call->items[3]->kind, GM_AST_LIST);
    ck_assert(value_of("F(x) <axis = 1>")->attributes_behind);
    ck_assert_int_eq(value_of("words.count")->kind, GM_AST_PATH);
    ck_assert_int_eq(value_of("F()")->item_count, 0);
}
END_TEST

START_TEST(numbers_keep_type_and_text)
{
    ck_assert(!value_of("12")->is_float && value_of("12")->integer == 12);
    ck_assert(value_of("1e-4")->is_float && value_of("1e-4")->number == 1e-4);
    ck_assert(value_of("3.")->is_float && value_of("0.1")->number == 0.1);
    ck_assert_str_eq(value_of("1.50")->text, "1.50");
    ck_assert_int_eq(value_of("9223372036854775807")->integer, INT64_MAX);
    ck_assert_int_eq(value_of("-9223372036854775808")->integer, INT64_MIN);
    /* inf and nan are numbers where no value name can stand, and names elsewhere. */
    const gm_ast_expression *call = value_of("Clip <low = -inf, high = [nan]> (inf)");
    ck_assert(call->attributes.items[0].value->items[0]->number > 1e308);
    ck_assert(call->attributes.items[1].value->items[0]->number != call->attributes.items[1].value->items[0]->number);
    ck_assert_int_eq(call->items[0]->kind, GM_AST_PATH);
}
END_TEST

START_TEST(no_word_is_reserved)
{
    const gm_ast_file *file =
        parsed("network data (float[N] param) => (float[N] step) {\n"
               "  minimize = Relu(param)\n  report, write = Split(minimize)\n  as = Add(report, write)\n"
               "  when = over(as)\n  mean = with <at = in> (when)\n  float = epochs(mean)\n  step = batch(float)\n}\n"
               "sample on on on { write = Id(x) write as = as as as when = of }\n"
               "train batch, epochs batch batch epochs epochs { repeat 2 every every 1 epoch at at epochs 1, 2 repeat, "
               "at every }");
    ck_assert_uint_eq(file->declaration_count, 3);
    const gm_ast_body *body = &file->declarations[0].body;
    ck_assert_uint_eq(body->count, 7);
    for (size_t i = 0; i < body->count; i++)
        ck_assert_int_eq(body->statements[i].kind, GM_AST_ASSIGN);
    const gm_ast_declaration *sample = &file->declarations[1];
    ck_assert_str_eq(sample->names[0], "on");
    ck_assert_str_eq(sample->on, "on");
    ck_assert_uint_eq(sample->body.count, 3);
    ck_assert_int_eq(sample->body.statements[1].kind, GM_AST_WRITE);
    const gm_ast_declaration *train = &file->declarations[2];
    ck_assert_uint_eq(train->set_count, 2);
    ck_assert_str_eq(train->batch->parts[0], "batch");
    ck_assert_str_eq(train->epochs->parts[0], "epochs");
    ck_assert_uint_eq(train->entry_count, 4);
    ck_assert_str_eq(train->entries[0].names[0], "every");
    ck_assert_int_eq(train->entries[2].kind, GM_AST_AT);
    ck_assert_uint_eq(train->entries[2].name_count, 2);
    ck_assert_str_eq(train->entries[3].names[0], "every");
}
END_TEST

START_TEST(statements_have_their_parts)
{
    const gm_ast_file *file =
        parsed("function F <units, bias = 1> (float[N, K] x, y) => (z) {\n"
               "  param W : float[K, units] ~ he_normal <fan_in = K ^ 2> when bias\n  param b : float[2] = {1, -2.5}\n"
               "  buffer t : int64\n  minimize a + b over g, pre.\"conv1.weight\" except g.e with Adam <rate = 1>\n"
               "  update p.q = Clip(p.q, -1, 1)\n  [l] \"\", z = F(x)\n  result near as words.name, r = a / b\n}");
    const gm_ast_declaration *f = &file->declarations[0];
    const gm_ast_statement *s = f->body.statements;
    ck_assert_uint_eq(f->body.count, 7);
    ck_assert_int_eq(f->end.line, 9);
    ck_assert_str_eq(f->attributes.items[0].name, "units");
    ck_assert_ptr_null(f->attributes.items[0].value);
    ck_assert_ptr_null(f->signature.inputs[1].type);
    ck_assert_int_eq(f->signature.inputs[0].type->type, GM_FLOAT);
    ck_assert_int_eq(s[0].initializer->kind, GM_AST_CALL);
    ck_assert_ptr_nonnull(s[0].condition);
    ck_assert_int_eq(s[1].value->kind, GM_AST_DATA);
    ck_assert(s[1].value->items[1]->number == -2.5);
    ck_assert_int_eq(s[2].kind, GM_AST_BUFFER);
    ck_assert(!s[2].type->has_shape);
    ck_assert_uint_eq(s[3].path_count, 2);
    ck_assert_str_eq(s[3].paths[1].parts[1], "conv1.weight");
    ck_assert_uint_eq(s[3].except_count, 1);
    ck_assert_str_eq(s[3].optimizer, "Adam");
    ck_assert_uint_eq(s[4].paths[0].part_count, 2);
    ck_assert_str_eq(s[5].label, "l");
    ck_assert_str_eq(s[5].outputs[0], "");
    ck_assert_uint_eq(s[6].item_count, 2);
    ck_assert_str_eq(s[6].items[0].as->parts[1], "name");
    ck_assert_str_eq(s[6].items[1].name, "r");
    ck_assert_int_eq(s[6].items[1].where.line, 8);
    ck_assert_int_eq(s[6].items[1].where.column, 30);
}
END_TEST

START_TEST(declarations_have_their_parts)
{
    const gm_ast_file *file =
        parsed("import \"gan.gmodel\" const a = 100, b = \"x\" optimizer o = Adam <rate = 1e-3>\n"
               "data d = mnist <part = \"train\", rows = [0, 5]> { image : float[1, 28] in [-1, 1] label : int64, }\n"
               "network s0, s1 (float[] a) => (float[N, ...] y) { }\nnetwork shadow = copy(s0)\n"
               "evaluate e over 10 * a draws { }\nstep t (float[N] photos.image) { }\n"
               "train d, e batch 2 * a epochs 6 of 1 iteration { repeat 5 c  every 2 iterations g, checkpoint at "
               "epochs 1, 4 g }");
    const gm_ast_declaration *d = file->declarations;
    ck_assert_uint_eq(file->declaration_count, 9);
    ck_assert_str_eq(d[0].text, "gan.gmodel");
    ck_assert_uint_eq(d[1].value_count, 2);
    ck_assert_str_eq(d[1].values[1]->text, "x");
    ck_assert_str_eq(d[2].text, "Adam");
    ck_assert_uint_eq(d[3].field_count, 2);
    ck_assert_uint_eq(d[3].fields[0].range->item_count, 2);
    ck_assert_uint_eq(d[4].name_count, 2);
    ck_assert(d[4].signature.inputs[0].type->any_shape);
    ck_assert_int_eq(d[4].signature.outputs[0].type->dims[1].kind, GM_AST_DIM_ELLIPSIS);
    ck_assert_str_eq(d[5].values[0]->parts[0], "copy");
    ck_assert_int_eq(d[6].values[0]->kind, GM_AST_BINARY);
    ck_assert_str_eq(d[7].signature.inputs[0].name, "photos.image");
    ck_assert_uint_eq(d[8].set_count, 2);
    ck_assert_int_eq(d[8].iterations->integer, 1);
    ck_assert_int_eq(d[8].entries[0].count->integer, 5);
    ck_assert(d[8].entries[1].iterations && d[8].entries[1].name_count == 2);
    ck_assert_uint_eq(d[8].entries[2].epoch_count, 2);
}
END_TEST

START_TEST(onnx_text_has_its_parts)
{
    char *data;
    size_t bytes;
    gm_ast_file *file;
    read_sample("onnx_functions.txt", &data, &bytes);
    ck_assert_int_eq(gm_parse(pool, data, bytes, "f", &file), GM_OK);
    gm_free(context, data);
    const gm_ast_onnx *onnx = file->onnx;
    ck_assert_ptr_nonnull(onnx);
    ck_assert_str_eq(onnx->header.items[1].name, "opset_import");
    ck_assert_uint_eq(onnx->header.items[1].value->item_count, 4);
    ck_assert_str_eq(onnx->header.items[1].value->items[2]->text, "local");
    ck_assert_str_eq(onnx->header.items[2].value->text, "a \"quoted\" name");
    ck_assert_uint_eq(onnx->graph->value_count, 5);
    ck_assert(gm_get(onnx->graph->values[0].default_value->tensor, 1) == -2.5);
    ck_assert(gm_get(onnx->graph->signature.inputs[1].default_value->tensor, 0) == 2.5);
    ck_assert_str_eq(((const char *const *)onnx->graph->values[3].default_value->tensor->data)[1], "b\\");
    ck_assert_ptr_nonnull(onnx->graph->values[4].default_value->text);
    ck_assert_str_eq(onnx->graph->values[4].default_value->items[1]->text, "weights.bin");
    ck_assert_uint_eq(onnx->graph->body.count, 3);
    ck_assert_uint_eq(onnx->function_count, 2);
    ck_assert_str_eq(onnx->functions[1].text, "two");
    ck_assert_uint_eq(onnx->functions[0].value_info_count, 1);
    ck_assert_int_eq(onnx->functions[0].body.statements[1].value->attributes.items[0].value->kind, GM_AST_REFERENCE);
}
END_TEST

/* float values are rounded once, from the decimal; float16 integers are bit patterns, as ONNX text has it. */
START_TEST(tensors_have_exact_values)
{
    const gm_ast_file *file =
        parsed("g () => (y) <float[2] f = {16777217.0000000001, 0.1}, float16[2] h = {15360, 1.5},"
               "uint64 u = {18446744073709551615}, int8[2] i = {-128, 127}> { }");
    const gm_ast_parameter *values = file->onnx->graph->values;
    ck_assert(((const float *)values[0].default_value->tensor->data)[0] == 16777218.0f);
    ck_assert(((const float *)values[0].default_value->tensor->data)[1] == 0.1f);
    ck_assert_uint_eq(((const uint16_t *)values[1].default_value->tensor->data)[0], 15360);
    ck_assert(gm_get(values[1].default_value->tensor, 1) == 1.5);
    ck_assert_uint_eq(*(const uint64_t *)values[2].default_value->tensor->data, UINT64_MAX);
    ck_assert_int_eq(gm_get_int(values[3].default_value->tensor, 0), -128);
}
END_TEST

/* --- Printing ----------------------------------------------------------------------------------------------------- */

START_TEST(samples_come_back_equal_from_their_print)
{
    char *data;
    size_t bytes;
    gm_status status;
    read_sample(samples[_i], &data, &bytes);
    const char *problem = check_round_trip(pool, data, bytes, &status);
    ck_assert_msg(status == GM_OK && !problem, "%s: %s\n%s", samples[_i], problem, gm_context_message(context));
    gm_free(context, data);
}
END_TEST

START_TEST(parentheses_are_printed_where_needed)
{
    static const char *const cases[] = {
        "x = (a + b) * c",
        "x = a - (b - c)",
        "x = (-a) ^ 2",
        "x = -a ^ 2",
        "x = (a ^ b) ^ c",
        "x = a ^ b ^ c",
        "x = a / (b * c)",
        "x = F <a = (float)> (b)",
        "x = F <a = float> (b)",
        "x = F <([1] + 2)> (b)",
        "x = F <(g:h(1))> ()",
        "x = F <a = (seq(1))>()",
        "x = (-9223372036854775808) ^ 2",
        "report (a) [] = Print(a)",
        "x = F <[(float), float]> ()",
    };
    for (size_t i = 0; i < GM_COUNT(cases); i++) {
        char text[256];
        gm_status status;
        snprintf(text, sizeof text, "step s { %s }", cases[i]);
        const char *problem = check_round_trip(pool, text, strlen(text), &status);
        ck_assert_msg(status == GM_OK && !problem, "%s: %s", cases[i], problem ? problem : gm_context_message(context));
    }
    gm_text text;
    gm_text_init(&text, context);
    gm_ast_print(parsed("step s{x=((a))+(b*c)-(d)}"), &text);
    ck_assert_str_eq(text.data, "step s {\n  x = a + b * c - d\n}\n");
    gm_text_destroy(&text);
}
END_TEST

START_TEST(reals_are_printed_shortly_and_exactly)
{
    static const char source[] = "g () => (y) <float[6] f = {0.1, 16777216, 3.4028235e38, 1e-45, 1.00000012, -0.0}, "
                                 "double[3] d = {0.1, 0.30000000000000004, 1.7976931348623157e308}> { }";
    gm_status status;
    const char *problem = check_round_trip(pool, source, strlen(source), &status);
    ck_assert_msg(status == GM_OK && !problem, "%s", problem);
    gm_text text;
    gm_text_init(&text, context);
    gm_ast_print(parsed(source), &text);
    ck_assert_ptr_nonnull(strstr(text.data, "{0.1, 16777216, 3.4028235e+38, "));
    ck_assert_ptr_nonnull(strstr(text.data, "{0.1, 0.30000000000000004, 1.7976931348623157e+308}"));
    gm_text_destroy(&text);
}
END_TEST

/* --- Messages ----------------------------------------------------------------------------------------------------- */

typedef struct message_case {
    const char *text, *message;
} message_case;

static const message_case messages[] = {
    {"netwrok a",
     "t:1:1: expected a declaration (model, import, const, data, network, function, step, train ...), found "
     "'netwrok'; did you mean 'network'?"},
    {"step s {\n  minimise x over y with Adam\n}", "t:2:3: expected a statement (name = expression, or param, "
                                                   "minimize, report ...) or '}', found 'minimise'; did you "
                                                   "mean 'minimize'?"},
    {"step s { y = F(x", "t:1:17: expected ',' or ')' behind an argument, found the end of the file"},
    {"step s {\n y = 1", "t:2:7: expected '}' to close the '{' of line 1, found the end of the file"},
    {"step s { y = }", "t:1:14: expected an expression, found '}'"},
    {"step s { y = a < b }", "t:1:20: expected ',' or '>' behind an attribute, found '}'"},
    {"step s { minimize x with Adam }", "t:1:21: expected 'over', found 'with'"},
    {"step s (flaot[3] x) { }",
     "t:1:9: expected a type (float, int64, bool ...), found 'flaot'; did you mean 'float'?"},
    {"network n (float[..., ...] x) => (y) { }", "t:1:23: expected '...' once in a shape, found it twice"},
    {"network n = lode(\"a\")", "t:1:13: expected load(...) or copy(...), found 'lode'"},
    {"const a = 12ab", "t:1:11: expected an expression, found a number with letters in it (12ab)"},
    {"const a = \"ab\nconst b = 1", "t:1:11: expected an expression, found a string without closing quote"},
    {"const a = $", "t:1:11: expected an expression, found a byte that has no meaning here ($)"},
    {"const a = 99999999999999999999",
     "t:1:11: expected a number that fits int64 (write a point behind it for a float), found 99999999999999999999"},
    {"const a = 1e999", "t:1:11: expected a number that fits double, found 1e999"},
    {"train d batch 5 { }", "t:1:17: expected 'epochs', found '{'"},
    {"train d epochs 5 { every 2 g }", "t:1:28: expected 'epochs' or 'iterations', found 'g'"},
    {"g () => (y) <float[3] w = {1, 2}> { }", "t:1:27: expected 3 values for this shape, found 2"},
    {"g () => (y) <int8[1] w = {200}> { }", "t:1:27: expected a value of type int8, found 200"},
    {"g () => (y) <float[N] w = {1}> { }", "t:1:20: expected a number as a dimension of a tensor"},
    {"g () => (y) { param W : float }", "t:1:15: expected a node (name = Operator (inputs)) or '}', found 'param'"},
};

START_TEST(messages_say_place_expected_and_found)
{
    gm_ast_file *file;
    ck_assert_int_eq(parse(messages[_i].text, &file), GM_ERROR_MODEL);
    ck_assert_str_eq(gm_context_message(context), messages[_i].message);
    ck_assert_ptr_nonnull(file);
}
END_TEST

START_TEST(the_parser_goes_on_behind_a_wrong_declaration)
{
    gm_ast_file *file;
    ck_assert_int_eq(parse("model m <gmodel = 1>\nconst = 3\nstep a { x = ) y = F({) }\nstep b { x = 1 }\n"
                           "function f <t = float[2] {1, 2}, u = > (x) => (y) { y = x }\nstep c { x =\n"
                           "step d { }\nnetwork n (x) => (y) { y = [ }  step e { }",
                           &file),
                     GM_ERROR_MODEL);
    const char *message = gm_context_message(context);
    int lines = 1;
    for (const char *at = message; *at; at++)
        lines += *at == '\n';
    ck_assert_msg(lines == 5, "%s", message);
    ck_assert_ptr_nonnull(strstr(message, "t:2:7: "));
    ck_assert_ptr_nonnull(strstr(message, "\nt:3:14: "));
    ck_assert_ptr_nonnull(strstr(message, "\nt:5:38: "));
    ck_assert_ptr_nonnull(strstr(message, "\nt:7:"));
    ck_assert_ptr_nonnull(strstr(message, "\nt:8:30: "));
    ck_assert_uint_eq(file->declaration_count, 4); /* m, b, d, e */
    ck_assert_str_eq(file->declarations[3].names[0], "e");
}
END_TEST

START_TEST(twenty_errors_are_enough)
{
    gm_text text;
    gm_ast_file *file;
    gm_text_init(&text, context);
    for (int i = 0; i < 100; i++)
        gm_text_add(&text, "step s%d { x = }\n", i);
    ck_assert_int_eq(parse(text.data, &file), GM_ERROR_MODEL);
    ck_assert_int_eq(gm_report_of(context)->diagnostics, GM_MAX_DIAGNOSTICS);
    gm_text_destroy(&text);
}
END_TEST

/* --- Limits ------------------------------------------------------------------------------------------------------- */

typedef struct deep_case {
    const char *before, *open, *middle, *close, *after;
} deep_case;

static const deep_case deep_cases[] = {
    {"step s { x = ", "(", "1", ")", " }"},
    {"step s { x = ", "-", "1", "", " }"},
    {"step s { x = ", "2 ^ ", "1", "", " }"},
    {"step s { x = ", "", "1", " + 1", " }"},
    {"step s { x = ", "", "1", " * 1", " }"},
    {"step s { x = ", "F(", "1", ")", " }"},
    {"step s { x = ", "[", "1", "]", " }"},
    {"step s { x = F <a = ", "[", "1", "]", "> () }"},
    {"step s { x = ", "F <a = g () => (y) { x = ", "1", " }> ()", " }"},
    {"step s (float[", "F <a = float[", "1", "]> ()", "] x) { }"},
};

static gm_status nested(const deep_case *c, int levels)
{
    gm_text text;
    gm_status status;
    const char *problem;
    gm_text_init(&text, context);
    gm_text_add(&text, "%s", c->before);
    for (int i = 0; i < levels; i++)
        gm_text_add(&text, "%s", c->open);
    gm_text_add(&text, "%s", c->middle);
    for (int i = 0; i < levels; i++)
        gm_text_add(&text, "%s", c->close);
    gm_text_add(&text, "%s", c->after);
    problem = check_round_trip(pool, text.data, text.length, &status);
    ck_assert_msg(!problem, "%s", problem);
    gm_text_destroy(&text);
    return status;
}

START_TEST(nesting_is_limited)
{
    ck_assert_int_eq(nested(&deep_cases[_i], 60), GM_OK);
    ck_assert_int_eq(nested(&deep_cases[_i], 300), GM_ERROR_MODEL);
    ck_assert_ptr_nonnull(strstr(gm_context_message(context), "nested levels"));
    ck_assert_int_eq(nested(&deep_cases[_i], 100000), GM_ERROR_MODEL);
}
END_TEST

/* Long sums inside long sums: each is below the limit, the tree must be, too. */
START_TEST(heights_add_up)
{
    gm_text text;
    gm_ast_file *file;
    gm_text_init(&text, context);
    gm_text_add(&text, "step s { x = ");
    for (int i = 0; i < 10; i++)
        gm_text_add(&text, "(");
    gm_text_add(&text, "1");
    for (int i = 0; i < 10; i++) {
        gm_text_add(&text, ")");
        for (int k = 0; k < 100; k++)
            gm_text_add(&text, " + 1");
    }
    gm_text_add(&text, " }");
    ck_assert_int_eq(parse(text.data, &file), GM_ERROR_MODEL);
    gm_text_destroy(&text);
}
END_TEST

/* --- Damage ------------------------------------------------------------------------------------------------------- */

static void survive(const char *data, size_t bytes, const char *what)
{
    gm_status status;
    gm_pool *own = gm_pool_create(context);
    ck_assert_ptr_nonnull(own);
    const char *problem = check_round_trip(own, data, bytes, &status);
    ck_assert_msg(!problem, "%s: %s\n%.*s", what, problem, (int)bytes, data);
    gm_pool_destroy(own);
}

/* Each prefix stands in memory of its own size, so that a checker of memory sees any read behind it. */
START_TEST(every_truncation_is_survived)
{
    char *data;
    size_t bytes;
    read_sample(samples[_i], &data, &bytes);
    for (size_t length = 0; length < bytes; length++) {
        char *prefix = malloc(length ? length : 1);
        ck_assert_ptr_nonnull(prefix);
        memcpy(prefix, data, length);
        survive(prefix, length, samples[_i]);
        free(prefix);
    }
    gm_free(context, data);
}
END_TEST

static uint32_t draw(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* One to four changes: another byte, a word of the language, a piece moved, a piece removed. */
static size_t mutate(char *data, size_t bytes, size_t room, uint64_t *state)
{
    static const char *const words[] = {"(",    ")",      "<",       ">",     "{",   "}",   "[",    "]",  "=",
                                        "=>",   ",",      ":",       ".",     "...", "-",   "^",    "\"", "#",
                                        " as ", " over ", " param ", "float", "1e9", "inf", "seq(", "@",  "~"};
    for (uint32_t changes = 1 + draw(state) % 4; changes > 0; changes--) {
        size_t at = draw(state) % (bytes + 1), from = draw(state) % (bytes + 1), length = draw(state) % 12;
        const char *word = words[draw(state) % GM_COUNT(words)];
        switch (draw(state) % 4) {
        case 0:
            if (at < bytes)
                data[at] = (char)draw(state);
            break;
        case 1:
            length = strlen(word);
            if (bytes + length <= room) {
                memmove(data + at + length, data + at, bytes - at);
                memcpy(data + at, word, length);
                bytes += length;
            }
            break;
        case 2:
            length = from + length <= bytes && at + length <= bytes ? length : 0;
            memmove(data + at, data + from, length);
            break;
        default:
            length = at + length <= bytes ? length : bytes - at;
            memmove(data + at, data + at + length, bytes - at - length);
            bytes -= length;
            break;
        }
    }
    return bytes;
}

START_TEST(mutations_are_survived)
{
    enum { count = 1000, extra = 64 };
    uint64_t state = (uint64_t)_i + 1;
    char *data;
    size_t bytes;
    read_sample(samples[_i], &data, &bytes);
    char *copy = malloc(bytes + extra);
    ck_assert_ptr_nonnull(copy);
    for (int i = 0; i < count; i++) {
        memcpy(copy, data, bytes);
        survive(copy, mutate(copy, bytes, bytes + extra, &state), samples[_i]);
    }
    free(copy);
    gm_free(context, data);
}
END_TEST

START_TEST(any_bytes_are_survived)
{
    uint64_t state = 7;
    char data[64];
    for (int i = 0; i < 2000; i++) {
        size_t bytes = draw(&state) % sizeof data;
        for (size_t k = 0; k < bytes; k++)
            data[k] = (char)draw(&state);
        survive(data, bytes, "noise");
    }
    survive("", 0, "nothing");
    survive("\xef\xbb\xbf# only a comment", 19, "mark");
}
END_TEST

/* --- Memory ------------------------------------------------------------------------------------------------------- */

typedef struct failing_allocator {
    int left;
} failing_allocator;

static void *allocate(size_t bytes, void *user)
{
    failing_allocator *allocator = user;
    return allocator->left-- > 0 ? malloc(bytes) : NULL;
}

static void release(void *memory, void *user)
{
    (void)user;
    free(memory);
}

START_TEST(memory_that_runs_out_is_reported)
{
    char *data;
    size_t bytes;
    read_sample(samples[_i], &data, &bytes);
    gm_status status = GM_ERROR_MEMORY;
    for (int calls = 2; status != GM_OK; calls++) {
        failing_allocator allocator = {calls};
        gm_context_options options;
        gm_context *tight;
        gm_ast_file *file = NULL;
        gm_context_options_default(&options, sizeof options);
        options.allocate = allocate;
        options.release = release;
        options.user = &allocator;
        if (gm_context_create(&options, &tight) != GM_OK)
            continue;
        gm_pool *own = gm_pool_create(tight);
        status = own ? gm_parse(own, data, bytes, "t", &file) : GM_ERROR_MEMORY;
        ck_assert(status == GM_OK || status == GM_ERROR_MEMORY);
        ck_assert(status == GM_OK || gm_context_message(tight)[0]);
        gm_pool_destroy(own);
        gm_context_destroy(tight);
        ck_assert_int_lt(calls, 10000);
    }
    gm_free(context, data);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("parser");
    TCase *all = tcase_create("all");
    int sample_count = (int)GM_COUNT(samples);
    tcase_add_checked_fixture(all, setup, teardown);
    tcase_set_timeout(all, 60);
    tcase_add_test(all, operators_bind_as_the_grammar_says);
    tcase_add_test(all, calls_keep_attributes_arguments_and_overloads);
    tcase_add_test(all, numbers_keep_type_and_text);
    tcase_add_test(all, no_word_is_reserved);
    tcase_add_test(all, statements_have_their_parts);
    tcase_add_test(all, declarations_have_their_parts);
    tcase_add_test(all, onnx_text_has_its_parts);
    tcase_add_test(all, tensors_have_exact_values);
    tcase_add_loop_test(all, samples_come_back_equal_from_their_print, 0, sample_count);
    tcase_add_test(all, parentheses_are_printed_where_needed);
    tcase_add_test(all, reals_are_printed_shortly_and_exactly);
    tcase_add_loop_test(all, messages_say_place_expected_and_found, 0, (int)GM_COUNT(messages));
    tcase_add_test(all, the_parser_goes_on_behind_a_wrong_declaration);
    tcase_add_test(all, twenty_errors_are_enough);
    tcase_add_loop_test(all, nesting_is_limited, 0, (int)GM_COUNT(deep_cases));
    tcase_add_test(all, heights_add_up);
    tcase_add_loop_test(all, every_truncation_is_survived, 0, sample_count);
    tcase_add_loop_test(all, mutations_are_survived, 0, sample_count);
    tcase_add_test(all, any_bytes_are_survived);
    tcase_add_loop_test(all, memory_that_runs_out_is_reported, 0, sample_count);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
