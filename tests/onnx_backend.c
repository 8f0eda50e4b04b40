/* Runs the tests of ONNX's backend suite: folders with a model.onnx and test_data_set_K/{input,output}_I.pb. Each runs on the
 * planned path and once more on the reference kernels.
 *
 *   onnx_backend [--list FILE] [--quiet] [--operators] DIR...     DIR: a test, or a folder of tests
 *
 * --operators puts [Op] in front of a line where the model is that one operator.
 * One line a test: "ok NAME", "FAIL NAME: why", "unsupported NAME: why"; then the sum. Status 1 when one fails. */
#include "graph/base.h"
#include "graph/onnx_tree.h"
#include "runtime/gmodel.h"

#include <dirent.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MOST_TENSORS = 64, PATH_BYTES = 4096 };

typedef enum verdict { PASSED, FAILED, UNSUPPORTED } verdict;

typedef struct data_set {
    gm_tensor *inputs[MOST_TENSORS], *outputs[MOST_TENSORS];
    const char *names[MOST_TENSORS];
    size_t input_count, output_count;
} data_set;

typedef struct test {
    gm_context *context;
    gm_pool *pool;
    const char *folder, *name;
    char why[1024];
    gm_ast_graph *graph; /* for the names of its inputs */
    void *model;
    size_t model_bytes;
    bool values_differ; /* the last comparison: types and shapes are equal, elements are not */
} test;

static size_t counts[3];
static bool quiet, with_operators;

static verdict fail(test *t, verdict what, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(t->why, sizeof t->why, format, arguments);
    va_end(arguments);
    return what;
}

static bool read_file(gm_pool *pool, const char *path, void **data_out, size_t *bytes_out)
{
    FILE *file = fopen(path, "rb");
    struct stat status;
    void *data = NULL;
    if (file && fstat(fileno(file), &status) == 0 && (data = gm_pool_alloc(pool, (size_t)status.st_size + 1)))
        *bytes_out = fread(data, 1, (size_t)status.st_size, file);
    if (file)
        fclose(file);
    *data_out = data;
    return data != NULL;
}

/* --- Data --- */

/* "" where the file is not there; false: damaged, or of a kind that is no tensor. */
static bool read_tensor(test *t, const char *set, const char *kind, size_t index, gm_tensor **tensor_out,
                        const char **name_out)
{
    char path[PATH_BYTES];
    void *data;
    size_t bytes;
    snprintf(path, sizeof path, "%s/%s/%s_%zu.pb", t->folder, set, kind, index);
    *tensor_out = NULL;
    if (!read_file(t->pool, path, &data, &bytes))
        return true;
    return gm_onnx_tensor(t->pool, data, bytes, path, tensor_out, name_out) == GM_OK;
}

/* Old test data hold bfloat16 as whole numbers of 16 bits. */
static void as_declared(const gm_ast_parameter *value, gm_tensor *tensor)
{
    if (value->type && value->type->type == GM_BFLOAT16 && tensor->type == GM_UINT16)
        tensor->type = GM_BFLOAT16;
}

static verdict read_set(test *t, const char *set, data_set *out)
{
    const char *name;
    for (out->input_count = 0; out->input_count < MOST_TENSORS; out->input_count++) {
        if (!read_tensor(t, set, "input", out->input_count, &out->inputs[out->input_count], &name))
            return fail(t, UNSUPPORTED, "%s", gm_context_message(t->context));
        if (!out->inputs[out->input_count])
            break;
        out->names[out->input_count] = name;
    }
    for (out->output_count = 0; out->output_count < MOST_TENSORS; out->output_count++) {
        if (!read_tensor(t, set, "output", out->output_count, &out->outputs[out->output_count], &name))
            return fail(t, UNSUPPORTED, "%s", gm_context_message(t->context));
        if (!out->outputs[out->output_count])
            break;
    }
    /* Inputs come in the order of the graph's inputs, whatever the files call them. */
    for (size_t i = 0, at = 0; i < t->graph->signature.input_count && at < out->input_count; i++) {
        as_declared(&t->graph->signature.inputs[i], out->inputs[at]);
        out->names[at++] = t->graph->signature.inputs[i].name;
    }
    for (size_t i = 0; i < t->graph->signature.output_count && i < out->output_count; i++)
        as_declared(&t->graph->signature.outputs[i], out->outputs[i]);
    return PASSED;
}

/* --- Comparing: rtol 1e-3, atol 1e-7; NaN equals only NaN. Of 16-bit floats two units in the last place are more --- */

static bool close_enough(double found, double expected, gm_type type)
{
    double tolerance = 1e-7 + 1e-3 * fabs(expected);
    int bits = type == GM_BFLOAT16 ? 7 : type == GM_FLOAT16 ? 10 : 52, exponent;
    if (isnan(found) || isnan(expected))
        return isnan(found) && isnan(expected);
    if (isinf(found) || isinf(expected))
        return found == expected;
    frexp(expected, &exponent);
    tolerance = fmax(tolerance, 2 * ldexp(1, exponent - 1 - bits));
    return fabs(found - expected) <= tolerance;
}

static verdict compare(test *t, const char *path, const gm_tensor_view *found, const gm_tensor *expected)
{
    gm_tensor tensor = {found->type, found->rank, {0}, found->data};
    if (found->type != expected->type)
        return fail(t, FAILED, "%s: output '%s' is %s, expected %s", path, found->name, gm_type_name(found->type),
                    gm_type_name(expected->type));
    memcpy(tensor.dims, found->dims, sizeof tensor.dims);
    if (!gm_tensor_same_shape(&tensor, expected)) {
        char text[256];
        size_t length = 0;
        for (int i = 0; i < found->rank; i++)
            length += (size_t)snprintf(text + length, sizeof text - length, "%lld ", (long long)found->dims[i]);
        length += (size_t)snprintf(text + length, sizeof text - length, "/ ");
        for (int i = 0; i < expected->rank; i++)
            length += (size_t)snprintf(text + length, sizeof text - length, "%lld ", (long long)expected->dims[i]);
        return fail(t, FAILED, "%s: output '%s' has another shape: %s", path, found->name, text);
    }
    for (int64_t i = 0; i < gm_tensor_count(expected); i++) {
        bool integer = !gm_type_find(expected->type)->floating;
        if (expected->type == GM_STRING
                ? strcmp(((const char *const *)tensor.data)[i], ((const char *const *)expected->data)[i]) == 0
            : integer ? gm_get_int(&tensor, i) == gm_get_int(expected, i)
                      : close_enough(gm_get(&tensor, i), gm_get(expected, i), expected->type))
            continue;
        t->values_differ = true;
        if (expected->type == GM_STRING)
            return fail(t, FAILED, "%s: output '%s' differs at element %lld", path, found->name, (long long)i);
        return fail(t, FAILED, "%s: output '%s' element %lld is %.9g, expected %.9g", path, found->name, (long long)i,
                    gm_get(&tensor, i), gm_get(expected, i));
    }
    return PASSED;
}

/* Draws whose values nobody can foretell. */
static bool is_random(const gm_ast_graph *graph)
{
    static const char *const names[] = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
                                        "Multinomial",  "Bernoulli",        "Dropout"};
    for (size_t i = 0; i < graph->body.count; i++)
        for (size_t k = 0; k < sizeof names / sizeof *names; k++)
            if (strcmp(graph->body.statements[i].value->parts[0], names[k]) == 0)
                return true;
    return false;
}

/* --- Running --- */

/* Which inputs are given at load: first none; then whole numbers, which decide shapes; then all. */
typedef enum fixing { FIX_NONE, FIX_INTEGERS, FIX_ALL, FIXINGS } fixing;

static bool is_fixed(const gm_tensor *tensor, fixing how)
{
    bool whole = tensor->type != GM_STRING && !gm_type_find(tensor->type)->floating;
    return how == FIX_ALL || (how == FIX_INTEGERS && whole);
}

static gm_status load(test *t, const data_set *set, fixing how, gm_model **model_out)
{
    gm_tensor_view fixed[MOST_TENSORS];
    gm_model_options options;
    char path[PATH_BYTES];
    gm_model_options_default(&options, sizeof options);
    for (size_t i = 0; i < set->input_count; i++) {
        if (!is_fixed(set->inputs[i], how))
            continue;
        gm_tensor_view *view = &fixed[options.fixed_count++];
        *view = (gm_tensor_view){.name = set->names[i], .type = set->inputs[i]->type, .rank = set->inputs[i]->rank};
        memcpy(view->dims, set->inputs[i]->dims, sizeof view->dims);
        view->bytes = gm_tensor_bytes(set->inputs[i]);
        view->data = set->inputs[i]->data;
    }
    options.fixed = fixed;
    snprintf(path, sizeof path, "%s/model.onnx", t->folder);
    return gm_model_load_memory(t->context, t->model, t->model_bytes, path, &options, model_out);
}

static verdict run(test *t, const gm_model *model, const data_set *set, int reference)
{
    const char *path = reference ? "reference" : "planned";
    gm_session_options options;
    gm_session *session = NULL;
    verdict result = PASSED;
    gm_session_options_default(&options, sizeof options);
    options.reference = reference;
    if (gm_session_create(model, NULL, &options, &session) != GM_OK)
        return fail(t, UNSUPPORTED, "%s", gm_context_message(t->context));
    for (size_t i = 0; i < gm_session_input_count(session) && result == PASSED; i++) {
        gm_tensor_view view;
        size_t at = 0;
        gm_session_input(session, i, &view);
        while (at < set->input_count && strcmp(set->names[at], view.name) != 0)
            at++;
        if (at == set->input_count || gm_tensor_bytes(set->inputs[at]) != view.bytes)
            result = fail(t, FAILED, "%s: input '%s' has no data of its size", path, view.name);
        else
            memcpy(view.data, set->inputs[at]->data, view.bytes);
    }
    if (result == PASSED && gm_session_run(session) != GM_OK)
        result = fail(t, FAILED, "%s: %s", path, gm_context_message(t->context));
    if (result == PASSED && gm_session_output_count(session) != set->output_count)
        result = fail(t, FAILED, "%s: has %zu outputs, expected %zu", path, gm_session_output_count(session),
                      set->output_count);
    for (size_t i = 0; i < set->output_count && result == PASSED; i++) {
        gm_tensor_view view;
        gm_session_output(session, i, &view);
        result = compare(t, path, &view, set->outputs[i]);
    }
    gm_session_destroy(session);
    return result;
}

static verdict run_set(test *t, const char *name)
{
    data_set set = {0};
    char first[sizeof t->why] = "";
    verdict result = read_set(t, name, &set);
    if (result != PASSED)
        return result;
    for (int how = FIX_NONE; how < FIXINGS; how++) {
        gm_model *model = NULL;
        if (load(t, &set, (fixing)how, &model) != GM_OK) {
            if (!first[0])
                snprintf(first, sizeof first, "%s", gm_context_message(t->context));
            continue;
        }
        result = run(t, model, &set, 0);
        if (result == PASSED)
            result = run(t, model, &set, 1);
        gm_model_destroy(model);
        if (result != UNSUPPORTED)
            return result;
        if (!first[0])
            memcpy(first, t->why, sizeof first);
    }
    for (char *at = first; *at; at++)
        if (*at == '\n')
            *at = '\0';
    return fail(t, UNSUPPORTED, "%s", first);
}

static verdict run_test(test *t)
{
    char path[PATH_BYTES];
    gm_ast_file *file;
    snprintf(path, sizeof path, "%s/model.onnx", t->folder);
    if (!read_file(t->pool, path, &t->model, &t->model_bytes))
        return fail(t, FAILED, "cannot be read");
    if (gm_onnx_tree(t->pool, t->model, t->model_bytes, path, &file) != GM_OK)
        return fail(t, UNSUPPORTED, "%s", gm_context_message(t->context));
    t->graph = file->onnx->graph;
    for (int i = 0;; i++) {
        char set[64];
        struct stat status;
        verdict result;
        snprintf(set, sizeof set, "test_data_set_%d", i);
        snprintf(path, sizeof path, "%s/%s", t->folder, set);
        if (stat(path, &status) != 0)
            return i ? PASSED : fail(t, FAILED, "has no data");
        if ((result = run_set(t, set)) == FAILED && t->values_differ && is_random(t->graph))
            return fail(t, UNSUPPORTED, "its results are drawn: only their types and shapes were compared");
        if (result != PASSED)
            return result;
    }
}

/* The one operator of a model; "" where it has several. */
static const char *only_operator(const gm_ast_graph *graph)
{
    const gm_ast_expression *call = graph && graph->body.count == 1 ? graph->body.statements[0].value : NULL;
    return call ? call->parts[call->part_count - 1] : "";
}

static void report(const char *folder, gm_context *context)
{
    static const char *const words[] = {"ok", "FAIL", "unsupported"};
    const char *slash = strrchr(folder, '/');
    test t = {
        .context = context, .pool = gm_pool_create(context), .folder = folder, .name = slash ? slash + 1 : folder};
    verdict result = t.pool ? run_test(&t) : fail(&t, FAILED, "no memory");
    counts[result]++;
    if (with_operators && (!quiet || result != PASSED))
        printf("[%s] ", only_operator(t.graph));
    if (result == PASSED && !quiet)
        printf("ok %s\n", t.name);
    else if (result != PASSED)
        printf("%s %s: %s\n", words[result], t.name, t.why);
    fflush(stdout);
    gm_pool_destroy(t.pool);
}

/* --- Which tests --- */

static char **wanted; /* NULL: all */
static size_t wanted_count;

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool read_list(const char *path)
{
    FILE *file = fopen(path, "r");
    char line[512];
    if (!file)
        return false;
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, " \t\r\n")] = '\0';
        wanted = realloc(wanted, (wanted_count + 1) * sizeof *wanted);
        if (!wanted || !(wanted[wanted_count++] = strdup(line)))
            return false;
    }
    fclose(file);
    qsort(wanted, wanted_count, sizeof *wanted, by_name);
    return true;
}

static bool is_wanted(const char *name)
{
    return !wanted || bsearch(&name, wanted, wanted_count, sizeof *wanted, by_name);
}

static void run_folder(const char *folder, gm_context *context)
{
    struct dirent **entries;
    char path[PATH_BYTES];
    struct stat status;
    int count;
    snprintf(path, sizeof path, "%s/model.onnx", folder);
    if (stat(path, &status) == 0) {
        report(folder, context);
        return;
    }
    count = scandir(folder, &entries, NULL, alphasort);
    if (count < 0)
        fprintf(stderr, "onnx_backend: %s cannot be read\n", folder);
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s/model.onnx", folder, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.' && is_wanted(entries[i]->d_name) && stat(path, &status) == 0) {
            snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
            report(path, context);
        }
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

int main(int argc, char **argv)
{
    gm_context_options options;
    gm_context *context;
    gm_context_options_default(&options, sizeof options);
    options.direct_math = 1;
    if (gm_context_create(&options, &context) != GM_OK)
        return 2;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quiet") == 0)
            quiet = true;
        else if (strcmp(argv[i], "--operators") == 0)
            with_operators = true;
        else if (strcmp(argv[i], "--list") == 0 && i + 1 < argc && !read_list(argv[++i]))
            return fprintf(stderr, "onnx_backend: %s cannot be read\n", argv[i]), 2;
        else if (strcmp(argv[i - 1], "--list") != 0)
            run_folder(argv[i], context);
    }
    gm_context_destroy(context);
    printf("%zu passed, %zu failed, %zu unsupported\n", counts[PASSED], counts[FAILED], counts[UNSUPPORTED]);
    return counts[FAILED] != 0;
}
