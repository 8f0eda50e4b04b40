/* What the plan of every step and network of models/ costs, against tests/plan_table.txt: a guard against slower plans
 * that needs no clock. The table has a section for each library, instruction set and size of caches on which it was made,
 * since layouts and scratchpads depend on them; elsewhere only what holds everywhere is checked. With the variable
 * GMODEL_WRITE_PLAN_TABLE the section of this machine is written anew instead of compared. */
#include <check.h>
#include <dirent.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/gmodel.h"

#define FOLDER GM_TEST_SOURCE "/../models"
#define TABLE  GM_TEST_SOURCE "/plan_table.txt"

enum { MAX_ROWS = 512, MAX_LINES = 4096, LINE = 160, NETWORK_BATCH = 16, THREADS = 2 };

typedef struct gm_row {
    char line[LINE];    /* as in the table */
    size_t name_length; /* of its "model kind name" */
    gm_plan_info plan;
    size_t allocations; /* of the second run */
} gm_row;

static gm_context *context;
static atomic_size_t allocations;
static gm_row rows[MAX_ROWS];
static size_t row_count;
static char section[128]; /* "[oneDNN 2.6, avx512, caches of 32 and 1024 KiB]" */
static char checkpoint_folder[] = "/tmp/gmodel-plans-XXXXXX";

static void require(gm_status status)
{
    ck_assert_msg(status == GM_OK, "%s: %s", gm_status_name(status), gm_context_message(context));
}

static void *count_and_allocate(size_t bytes, void *user)
{
    (void)user;
    allocations++;
    return malloc(bytes);
}

static void release(void *memory, void *user)
{
    (void)user;
    free(memory);
}

/* --- Measuring ----------------------------------------------------------------------------------------------------- */

/* Something harmless for any input: fractions in [0, 1), whole numbers 0 and 1 by turns. */
static void fill(const gm_tensor_view *view, void *data)
{
    memset(data, 0, view->bytes);
    if (view->type == GM_FLOAT)
        for (size_t i = 0; i < view->bytes / sizeof(float); i++)
            ((float *)data)[i] = (float)(i * 7 % 16) / 16;
    if (view->type == GM_INT64)
        for (size_t i = 0; i < view->bytes / sizeof(int64_t); i++)
            ((int64_t *)data)[i] = (int64_t)(i % 2);
}

static void add_row(const char *model, const char *kind, const char *name, const gm_plan_info *plan, size_t allocated)
{
    gm_row *row = &rows[row_count++];
    ck_assert_uint_le(row_count, MAX_ROWS);
    row->plan = *plan;
    row->allocations = allocated;
    row->name_length = (size_t)snprintf(row->line, sizeof row->line, "%-21s %-7s %-13s", model, kind, name);
    ck_assert_uint_lt(row->name_length, LINE / 2);
    snprintf(row->line + row->name_length, sizeof row->line - row->name_length, " %12zu %8zu %11zu %11zu %11zu",
             plan->instructions, plan->reorders, plan->arena_bytes, plan->max_alive_bytes, allocated);
}

static void measure_step(gm_trainer *trainer, const char *model, const char *step)
{
    gm_feed feeds[16];
    gm_plan_info plan;
    gm_tensor_view view;
    size_t count = 0, before;
    int is_draw;
    require(gm_trainer_plan(trainer, step, &plan));
    for (size_t i = 0; i < gm_trainer_feed_count(trainer, step); i++) {
        require(gm_trainer_feed(trainer, step, i, &view, &is_draw));
        if (is_draw)
            continue;
        void *data = malloc(view.bytes + 1);
        ck_assert(data && count < 16);
        fill(&view, data);
        feeds[count++] = (gm_feed){view.name, data, view.bytes};
    }
    require(gm_trainer_step(trainer, step, feeds, count));
    before = allocations;
    require(gm_trainer_step(trainer, step, feeds, count));
    add_row(model, "step", step, &plan, allocations - before);
    for (size_t i = 0; i < count; i++)
        free((void *)feeds[i].data);
}

static void measure_network(const gm_model *loaded, const char *model, const char *network)
{
    gm_session_options options;
    gm_session *session;
    gm_plan_info plan;
    gm_tensor_view view;
    size_t before;
    gm_session_options_default(&options, sizeof options);
    options.batch = NETWORK_BATCH;
    require(gm_session_create(loaded, network, &options, &session));
    require(gm_session_plan(session, &plan));
    for (size_t i = 0; i < gm_session_input_count(session); i++) {
        require(gm_session_input(session, i, &view));
        fill(&view, view.data);
    }
    require(gm_session_run(session));
    before = allocations;
    require(gm_session_run(session));
    add_row(model, "network", network, &plan, allocations - before);
    gm_session_destroy(session);
}

/* Where the files that load others find them. */
static const char *const settings[][3] = {
    {"inception", "judge_file=saved-classifier.gmodel", "maker_file=saved-gan.gmodel"},
    {"inception-vae", "judge_file=saved-classifier.gmodel", "maker_file=saved-vae.gmodel"},
};

static gm_model *load(const char *name)
{
    gm_model_options options;
    gm_model *model = NULL;
    char path[512];
    gm_model_options_default(&options, sizeof options);
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        if (!strcmp(settings[i][0], name)) {
            options.settings = settings[i] + 1;
            options.setting_count = 2;
        }
    snprintf(path, sizeof path, "%s/%s.gmodel", FOLDER, name);
    require(gm_model_load(context, path, &options, &model));
    return model;
}

static void measure_model(const char *name)
{
    gm_model *model = load(name);
    gm_trainer *trainer;
    const char *part;
    for (size_t i = 0; (part = gm_model_part_name(model, GM_PART_NETWORK, i)); i++)
        measure_network(model, name, part);
    if (gm_model_part_count(model, GM_PART_STEP)) {
        require(gm_trainer_create(model, NULL, &trainer));
        for (size_t i = 0; (part = gm_model_part_name(model, GM_PART_STEP, i)); i++)
            measure_step(trainer, name, part);
        gm_trainer_destroy(trainer);
    }
    gm_model_destroy(model);
}

static int is_model(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return length > 7 && length < 64 && !strcmp(entry->d_name + length - 7, ".gmodel");
}

static void measure_all(void)
{
    struct dirent **files;
    int count = scandir(FOLDER, &files, is_model, alphasort);
    ck_assert_int_gt(count, 0);
    for (int i = 0; i < count; i++) {
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)strlen(files[i]->d_name) - 7, files[i]->d_name);
        measure_model(name);
        free(files[i]);
    }
    free(files);
}

/* --- Before and after ---------------------------------------------------------------------------------------------- */

static const char *const saved[] = {"classifier", "gan", "vae"};

/* The inceptions load these; the test stands in their folder. */
static void save_checkpoints(void)
{
    ck_assert(mkdtemp(checkpoint_folder) && !chdir(checkpoint_folder));
    for (size_t i = 0; i < sizeof saved / sizeof saved[0]; i++) {
        char path[64];
        gm_model *model = load(saved[i]);
        snprintf(path, sizeof path, "saved-%s.gmodel", saved[i]);
        require(gm_model_save(model, path));
        gm_model_destroy(model);
    }
}

/* Of "oneDNN 2.6.3, avx512" all but the patch number. */
static void name_section(void)
{
    const char *compute = gm_compute_version(), *set = strchr(compute, ',');
    int length = (int)strcspn(compute, ".");
    ck_assert(set && compute[length] == '.');
    length += 1 + (int)strspn(compute + length + 1, "0123456789");
    snprintf(section, sizeof section, "[%.*s%s, caches of %ld and %ld KiB]", length, compute, set,
             sysconf(_SC_LEVEL1_DCACHE_SIZE) / 1024, sysconf(_SC_LEVEL2_CACHE_SIZE) / 1024);
}

static void measure(void)
{
    gm_context_options options;
    gm_context_options_default(&options, sizeof options);
    options.threads = THREADS;
    options.allocate = count_and_allocate;
    options.release = release;
    ck_assert_int_eq(gm_context_create(&options, &context), GM_OK);
    name_section();
    save_checkpoints();
    measure_all();
}

static void clean_up(void)
{
    char path[128];
    for (size_t i = 0; i < sizeof saved / sizeof saved[0]; i++) {
        snprintf(path, sizeof path, "%s/saved-%s.gmodel", checkpoint_folder, saved[i]);
        unlink(path);
    }
    ck_assert_int_eq(chdir("/"), 0);
    rmdir(checkpoint_folder);
    gm_context_destroy(context);
}

/* --- The table ----------------------------------------------------------------------------------------------------- */

typedef struct gm_table {
    char lines[MAX_LINES][LINE];
    size_t count;
    size_t first, end; /* rows of this machine's section; both count: there is none */
} gm_table;

static gm_table table;

static void read_table(void)
{
    FILE *file = fopen(TABLE, "r");
    char line[LINE];
    ck_assert_msg(file != NULL, "%s cannot be read", TABLE);
    memset(&table, 0, sizeof table);
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        ck_assert_uint_lt(table.count, MAX_LINES);
        memcpy(table.lines[table.count++], line, sizeof line);
    }
    fclose(file);
    while (table.first < table.count && strcmp(table.lines[table.first], section))
        table.first++;
    if (table.first < table.count)
        table.first++;
    table.end = table.first;
    while (table.end < table.count && table.lines[table.end][0] && table.lines[table.end][0] != '[')
        table.end++;
}

static void write_table(void)
{
    FILE *file = fopen(TABLE, "w");
    size_t before = table.first;
    ck_assert_msg(file != NULL, "%s cannot be written", TABLE);
    for (size_t i = 0; i < before; i++)
        fprintf(file, "%s\n", table.lines[i]);
    if (before == table.count)
        fprintf(file, "\n%s\n", section);
    for (size_t i = 0; i < row_count; i++)
        fprintf(file, "%s\n", rows[i].line);
    for (size_t i = table.end; i < table.count; i++)
        fprintf(file, "%s\n", table.lines[i]);
    ck_assert_int_eq(fclose(file), 0);
}

static bool same_row(const char *a, const char *b, size_t name_length)
{
    return strncmp(a, b, name_length) == 0 && a[name_length] == ' ' && b[name_length] == ' ';
}

/* Prints what was and what is of each row that is not as the table says; the number of those. */
static size_t compare(void)
{
    size_t differing = 0;
    for (size_t i = 0; i < row_count; i++) {
        size_t at = table.first;
        while (at < table.end && !same_row(table.lines[at], rows[i].line, rows[i].name_length))
            at++;
        if (at < table.end && strcmp(table.lines[at], rows[i].line) == 0)
            continue;
        if (at < table.end)
            fprintf(stderr, "- %s\n", table.lines[at]);
        fprintf(stderr, "+ %s\n", rows[i].line);
        differing++;
    }
    for (size_t at = table.first; at < table.end; at++) {
        size_t i = 0;
        while (i < row_count && !same_row(table.lines[at], rows[i].line, rows[i].name_length))
            i++;
        if (i < row_count)
            continue;
        fprintf(stderr, "- %s\n", table.lines[at]);
        differing++;
    }
    return differing;
}

START_TEST(plans_are_as_the_table_says)
{
    size_t differing;
    read_table();
    if (getenv("GMODEL_WRITE_PLAN_TABLE")) {
        write_table();
        printf("wrote %s\n", section);
        return;
    }
    if (table.first == table.count) {
        fprintf(stderr, "%s has no section %s: only what holds everywhere is checked\n", TABLE, section);
        return;
    }
    differing = compare();
    ck_assert_msg(
        !differing,
        "%zu rows differ from those of %s in %s (- the table, + now). If that is meant, write the table anew: "
        "tests/plan_table.sh BUILD_DIRECTORY...",
        differing, section, TABLE);
}
END_TEST

START_TEST(a_second_run_allocates_nothing)
{
    for (size_t i = 0; i < row_count; i++)
        ck_assert_msg(rows[i].allocations == 0, "%zu allocations: %s", rows[i].allocations, rows[i].line);
}
END_TEST

START_TEST(the_arena_is_hardly_larger_than_what_is_alive)
{
    for (size_t i = 0; i < row_count; i++) {
        const gm_plan_info *plan = &rows[i].plan;
        ck_assert_msg(plan->instructions > 0, "no instructions: %s", rows[i].line);
        ck_assert_msg(plan->arena_bytes >= plan->max_alive_bytes &&
                          (double)plan->arena_bytes <= 1.05 * (double)plan->max_alive_bytes,
                      "an arena of %zu bytes, %zu are alive at most: %s", plan->arena_bytes, plan->max_alive_bytes,
                      rows[i].line);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plan_table");
    TCase *tests = tcase_create("plan_table");
    SRunner *runner;
    int failed;
    tcase_set_timeout(tests, 120);
    tcase_add_unchecked_fixture(tests, measure, clean_up);
    tcase_add_test(tests, plans_are_as_the_table_says);
    tcase_add_test(tests, a_second_run_allocates_nothing);
    tcase_add_test(tests, the_arena_is_hardly_larger_than_what_is_alive);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
