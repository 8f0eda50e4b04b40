/* The programs of tests/language through the whole compiler. Whole files compile as they stand; fragments are given the
 * declarations that they lack; what a program needs and is not there yet is said in the table, and the rest of it is compiled
 * with that cut out. Then damaged copies of all of them, which must give an error or a program. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/program.h"

#define MODEL  "model m <gmodel = 1, opset = 21>\n"
#define DIGITS "data digits = mnist { image : float[784] in [-1, 1] }\n"
#define D_G                                                                                                            \
    "network D (float[N, 784] x) => (float[N, 1] y) { y = Dense <1> (x) }\n"                                           \
    "network G (float[N, 20] z) => (float[N, 784] y) { y = Dense <784> (z) }\n"
#define CRITIC                                                                                                         \
    "network discriminator (float[N, 784] x, int64[N] label) => (float[N, 1] y) {\n"                                   \
    "  [code] h = Concat <axis = 1> (x, Embedding <10, 50> (label))\n"                                                 \
    "  y = Dense <1> (h)\n}\n"
#define PICTURES                                                                                                       \
    "const latent = 100\n"                                                                                             \
    "network generator (float[N, latent] z) => (float[N, 1, 28, 28] y) {\n"                                            \
    "  h = BatchNorm(Dense <784> (z))\n  y = Reshape(h, [0, 1, 28, 28])\n}\n"

/* Text replaced before the compiler sees it; `to` NULL: a declaration is removed, from its first words to its last brace. */
typedef struct edit {
    const char *from, *to;
} edit;

typedef struct program_case {
    const char *file;
    const char *prefix;   /* declarations that the fragment lacks */
    const char *needs[4]; /* what is refused in the file as it stands; none: it compiles */
    edit edits[9];        /* with these it compiles */
    size_t networks, steps, samples, parameters;
} program_case;

static const program_case programs[] = {
    {"01_dcgan", "", {NULL}, {{0}}, 2, 1, 1, 16},
    {"02_gan_alternating", "", {NULL}, {{0}}, 2, 2, 0, 12},
    {"03_lsgan",
     "",
     {"'gan.gmodel' cannot be read"},
     {{"import \"gan.gmodel\"",
       MODEL DIGITS "network discriminator (float[N, 784] x) => (float[N, 1] y) { y = Dense <1> (x) }\n"
                    "network generator (float[N, 96] z) => (float[N, 784] y) { y = Dense <784> (z) }\n"
                    "train digits batch 8 epochs 1 { critic artist }\n"}},
     2,
     2,
     0,
     4},
    {"04_wgan", MODEL DIGITS D_G, {NULL}, {{0}}, 2, 2, 0, 4},
    {"05_wgan_gp",
     MODEL "network D (float[N, 2] x) => (float[N, 1] y) { y = Dense <1> (Tanh(Dense <16> (x))) }\n"
           "network G (float[N, 2] z) => (float[N, 2] y) { y = Dense <2> (Tanh(Dense <16> (z))) }\n",
     {NULL},
     {{0}},
     2,
     1,
     0,
     8},
    {"06_vae", "", {NULL}, {{0}}, 2, 1, 1, 16},
    {"08_autoencoder", "", {NULL}, {{0}}, 1, 1, 0, 4},
    {"09_classifier", "", {NULL}, {{0}}, 1, 1, 0, 6},
    {"10_inception",
     MODEL PICTURES,
     {"'classifier.gmodel' cannot be read"},
     {{"network judge = load(judge_file, \"classifier\")",
       "network judge (float[N, 784] x) => (float[N, 10] y) { y = Dense <10> (x) }\n"}},
     2,
     0,
     0,
     6},
    {"12_flow", "", {NULL}, {{0}}, 6, 1, 1, 16},
    {"13_skipgram",
     "",
     {"the data set has no table"},
     {{"evaluate neighbours", NULL},
      {"step hierarchical", NULL},
      {"words.vocabulary, width> (id)", "50, width> (id)"},
      {"words.vocabulary, width]", "50, width]"},
      {"words.vocabulary - 1, width]", "50 - 1, width]"},
      {"words.count ^ 0.75", "RandomUniform <shape = [50], low = 1, high = 2> ()"}},
     3,
     1,
     0,
     3},
    {"14_ring",
     MODEL "network G (float[N, 2] z) => (float[N, 2] y) { y = Dense <2> (z) }\n",
     {"the data set has no table"},
     {{"evaluate coverage", NULL}},
     1,
     0,
     1,
     2},
    {"15_noisy", MODEL DIGITS D_G, {NULL}, {{0}}, 2, 1, 0, 4},
    {"16_conditional", MODEL CRITIC, {NULL}, {{0}}, 2, 1, 1, 8},
    {"17_aae",
     MODEL DIGITS "network encoder (float[N, 784] x) => (float[N, 8] y) { y = Dense <8> (x) }\n"
                  "network decoder (float[N, 8] x) => (float[N, 784] y) { y = Dense <784> (x) }\n"
                  "network D (float[N, 8] x) => (float[N, 1] y) { y = Dense <1> (x) }\n",
     {NULL},
     {{0}},
     3,
     2,
     0,
     6},
    {"18_minmax", "", {NULL}, {{0}}, 2, 2, 0, 2},
    {"19_misc",
     MODEL PICTURES "data digits = mnist { image : float[1, 28, 28] in [-1, 1] }\n"
                    "network discriminator (float[N, 1, 28, 28] x) => (float[N, 1] y) { y = Dense <1> (Flatten(x)) }\n",
     {"'generator.onnx' cannot be read"},
     {{"network pre = load(\"generator.onnx\")",
       "network pre (float[N, 100] z) => (float[N, 1, 28, 28] y) {\n"
       "  param \"conv1.weight\" : float[100] = 1\n"
       "  y = Reshape(Dense <784> (z * \"conv1.weight\"), [0, 1, 28, 28])\n}\n"},
      /* what a pretrained part and a critic that stays fixed leave out of training */
      {"update shadow", "update pre.\"conv1.weight\" = 1\n  update discriminator = discriminator\n  update shadow"}},
     5,
     1,
     2,
     13},
    {"prelude",
     MODEL
     "network all (float[N, 1, 8, 8] x, int64[N] id) => (y) {\n"
     "  h = Flatten(BatchNorm(Conv2d <2, 3> (x)))\n  y = Concat <axis = 1> (Dense <4> (h), Embedding <9, 3> (id))\n}\n"
     "step s (float[N, 1, 8, 8] x, int64[N] id) {\n  y = all(x, id)\n"
     "  loss = gan_discriminator_loss(y, y) + gan_generator_loss(y) + cross_entropy(y, id) + bernoulli(y, y)\n"
     "  more = kl_normal(y, y) + gradient_penalty(ReduceSum(Flatten(x), [1]), x) + sum(accuracy(y, id))\n"
     "  minimize loss over all with SGD <rate = 1>\n  report loss, more\n}\n",
     {NULL},
     {{0}},
     1,
     1,
     0,
     7},
};

static gm_context *context;

static void setup(void)
{
    ck_assert_int_eq(gm_context_create(NULL, &context), GM_OK);
}

static void teardown(void)
{
    gm_context_destroy(context);
}

/* --- Texts ------------------------------------------------------------------------------------------------------------ */

#define TEXT_BYTES 16384

static void read_program(const program_case *from, char *text)
{
    char path[1024], *body;
    size_t bytes;
    snprintf(path, sizeof path, "%s/language/%s.gmodel", GM_TEST_SOURCE, from->file);
    ck_assert_int_eq(gm_read_file(context, path, &body, &bytes), GM_OK);
    ck_assert_uint_lt(bytes + strlen(from->prefix), TEXT_BYTES);
    snprintf(text, TEXT_BYTES, "%s%.*s", from->prefix, (int)bytes, body);
    gm_free(context, body);
}

/* One place where `from` stands becomes `to`. */
static void replace(char *text, const edit *change)
{
    char *at = strstr(text, change->from), *end;
    size_t length = change->to ? strlen(change->to) : 0;
    ck_assert_msg(at, "'%s' is not in the text any more", change->from);
    end = at + strlen(change->from);
    if (!change->to) {
        int depth = 0;
        for (bool open = false; *end && (!open || depth); end++) {
            depth += *end == '{' ? 1 : *end == '}' ? -1 : 0;
            open = open || *end == '{';
        }
    }
    ck_assert_uint_lt(strlen(text) + length, TEXT_BYTES);
    memmove(at + length, end, strlen(end) + 1);
    if (length)
        memcpy(at, change->to, length);
}

static void edited_program(const program_case *from, char *text)
{
    read_program(from, text);
    for (size_t i = 0; i < GM_COUNT(from->edits) && from->edits[i].from; i++)
        replace(text, &from->edits[i]);
}

/* --- Compiling -------------------------------------------------------------------------------------------------------- */

static size_t count_entries(const gm_program *program, gm_entry_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < program->entry_count; i++)
        count += program->entries[i].kind == kind;
    return count;
}

static size_t count_parameters(const gm_program *program)
{
    size_t count = 0;
    for (size_t i = 0; i < program->state_count; i++)
        count += program->states[i].kind == GM_STATE_PARAMETER;
    return count;
}

START_TEST(what_is_supported_compiles)
{
    const program_case *from = &programs[_i];
    char text[TEXT_BYTES];
    gm_program *program = NULL;
    edited_program(from, text);
    ck_assert_msg(gm_program_compile(context, text, strlen(text), from->file, NULL, &program) == GM_OK, "%s",
                  gm_context_message(context));
    ck_assert_uint_eq(count_entries(program, GM_ENTRY_NETWORK), from->networks);
    ck_assert_uint_eq(count_entries(program, GM_ENTRY_STEP), from->steps);
    ck_assert_uint_eq(count_entries(program, GM_ENTRY_SAMPLE), from->samples);
    ck_assert_msg(count_parameters(program) == from->parameters, "%s: %zu parameters", from->file,
                  count_parameters(program));
    gm_program_destroy(program);
}
END_TEST

/* Every line of the message is about something in the list, and everything in the list is told. */
START_TEST(what_is_not_supported_is_refused_and_nothing_else)
{
    const program_case *from = &programs[_i];
    char text[TEXT_BYTES], *rest;
    gm_program *program = NULL;
    gm_status status;
    bool told[GM_COUNT(from->needs)] = {false};
    read_program(from, text);
    status = gm_program_compile(context, text, strlen(text), from->file, NULL, &program);
    if (!from->needs[0]) {
        ck_assert_int_eq(status, GM_OK);
        gm_program_destroy(program);
        return;
    }
    snprintf(text, sizeof text, "%s", gm_context_message(context));
    rest = text;
    for (char *line = strtok_r(rest, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        bool known = false;
        for (size_t i = 0; i < GM_COUNT(from->needs) && from->needs[i]; i++)
            if (strstr(line, from->needs[i]))
                known = told[i] = true;
        ck_assert_msg(known, "%s", line);
    }
    for (size_t i = 0; i < GM_COUNT(from->needs) && from->needs[i]; i++)
        ck_assert_msg(told[i], "%s: nothing is said about %s", from->file, from->needs[i]);
    /* a file that is missing and an operator that is not there are mistakes, like any unknown name */
    ck_assert_int_eq(status, GM_ERROR_MODEL);
}
END_TEST

/* --- Damage ----------------------------------------------------------------------------------------------------------- */

static unsigned draw(unsigned *state, size_t below)
{
    *state = *state * 1664525u + 1013904223u;
    return (unsigned)(*state / 65536u % below);
}

typedef enum word_kind { WORD_SIGN, WORD_NUMBER, WORD_NAME } word_kind;

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static word_kind kind_of(const char *text, size_t at)
{
    return is_letter(text[at]) ? WORD_NAME : text[at] >= '0' && text[at] <= '9' ? WORD_NUMBER : WORD_SIGN;
}

/* The word or sign that holds `at`. */
static void word_around(const char *text, size_t length, size_t at, size_t *start_out, size_t *end_out)
{
    size_t start = at, end = at + 1;
    if (kind_of(text, at) != WORD_SIGN) {
        while (start > 0 && (kind_of(text, start - 1) != WORD_SIGN || text[start - 1] == '.'))
            start--;
        while (end < length && (kind_of(text, end) != WORD_SIGN || text[end] == '.'))
            end++;
    }
    *start_out = start;
    *end_out = end;
}

static size_t splice(char *text, size_t length, size_t at, size_t end, const char *piece, size_t bytes)
{
    char copy[256];
    bytes = bytes < sizeof copy ? bytes : sizeof copy;
    if (length - (end - at) + bytes + 1 >= TEXT_BYTES)
        return length;
    memcpy(copy, piece, bytes);
    memmove(text + at + bytes, text + end, length - end + 1);
    memcpy(text + at, copy, bytes);
    return length - (end - at) + bytes;
}

/* The line that holds `at`, with its end. */
static void line_around(const char *text, size_t length, size_t at, size_t *start_out, size_t *end_out)
{
    size_t start = at, end = at;
    while (start > 0 && text[start - 1] != '\n')
        start--;
    while (end < length && text[end++] != '\n')
        ;
    *start_out = start;
    *end_out = end;
}

/* A name for a name, a number for a number, a line twice or somewhere else: what the parser lets through. Now and then
 * something for anything. */
static size_t damage(char *text, size_t length, unsigned *state)
{
    static const char *const numbers[] = {"0", "1", "2", "-1", "1e30", "9223372036854775807", "2.5", "0.0", "N"};
    static const char *const anything[] = {"\"\"", "[]", "()", "[[1], [2, 3]]", "{", "}", "<", ">", "=", ",", "..."};
    size_t at = draw(state, length), end, from, from_end;
    unsigned choice = draw(state, 20);
    const char *number = numbers[draw(state, GM_COUNT(numbers))], *sign = anything[draw(state, GM_COUNT(anything))];
    if (choice < 4) {
        line_around(text, length, draw(state, length), &from, &from_end);
        line_around(text, length, at, &at, &end);
        return choice == 0   ? splice(text, length, at, end, "", 0)
               : choice == 1 ? splice(text, length, at, end, text + from, from_end - from)
                             : splice(text, length, at, at, text + from, from_end - from);
    }
    for (int k = 0; k < 200 && choice > 5 && kind_of(text, at) == WORD_SIGN; k++)
        at = draw(state, length);
    word_around(text, length, at, &at, &end);
    if (choice == 4)
        return splice(text, length, at, end, sign, strlen(sign));
    if (choice == 5)
        return splice(text, length, at, end, "", 0);
    if (kind_of(text, at) == WORD_NUMBER && choice < 14)
        return splice(text, length, at, end, number, strlen(number));
    for (int k = 0; k < 200; k++) {
        word_around(text, length, draw(state, length), &from, &from_end);
        if (kind_of(text, from) == kind_of(text, at) && text[from] != ' ' && text[from] != '\n')
            return splice(text, length, at, end, text + from, from_end - from);
    }
    return length;
}

/* GM_FUZZ_ROUNDS=3000 for longer runs, best with -Db_sanitize=address,undefined. */
START_TEST(damaged_programs_do_no_harm)
{
    const char *wish = getenv("GM_FUZZ_ROUNDS");
    long rounds = wish ? strtol(wish, NULL, 10) : 400;
    unsigned state = 20241u;
    size_t good = 0;
    for (long round = 0; round < rounds; round++) {
        char text[TEXT_BYTES];
        size_t length;
        gm_program *program = NULL;
        edited_program(&programs[(size_t)round % GM_COUNT(programs)], text);
        length = strlen(text);
        for (unsigned k = draw(&state, 3) + 1; k > 0; k--)
            length = damage(text, length, &state);
        if (wish && getenv("GM_FUZZ_SHOW")) {
            FILE *file = fopen(getenv("GM_FUZZ_SHOW"), "w");
            ck_assert_ptr_nonnull(file);
            fwrite(text, 1, length, file);
            fclose(file);
        }
        if (gm_program_compile(context, text, length, "t", NULL, &program) == GM_OK) {
            gm_program_destroy(program);
            good++;
        } else {
            ck_assert_msg(gm_context_message(context)[0] != '\0', "%s", text);
            ck_assert_msg(!strstr(gm_context_message(context), "without a reason"), "%s", text);
        }
    }
    if (wish)
        fprintf(stderr, "%ld rounds, %zu programs\n", rounds, good);
    ck_assert_uint_gt(good, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("programs");
    TCase *cases = tcase_create("programs");
    SRunner *runner = srunner_create(suite);
    int failed;
    tcase_set_timeout(cases, 600);
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_loop_test(cases, what_is_supported_compiles, 0, GM_COUNT(programs));
    tcase_add_loop_test(cases, what_is_not_supported_is_refused_and_nothing_else, 0, GM_COUNT(programs));
    tcase_add_test(cases, damaged_programs_do_no_harm);
    suite_add_tcase(suite, cases);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
