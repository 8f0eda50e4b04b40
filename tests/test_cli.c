/* The command line as its user meets it: exit statuses, messages, files; and the progress line. */
#include "tests/cli_check.h"

#include <pty.h>

START_TEST(help_of_every_command_is_printed)
{
    static const char *const names[] = {"train", "sample", "run", "inspect", "check", "ops", "bench"};
    ck_exits(0, "--help");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        ck_says(names[i]);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        ck_exits(0, "%s --help", names[i]);
        ck_says("usage: gmrun");
        ck_says(names[i]);
    }
}
END_TEST

START_TEST(version_names_the_computing_library)
{
    ck_exits(0, "--version");
    ck_says(gm_version());
    ck_says("oneDNN");
}
END_TEST

START_TEST(mistyped_words_name_the_nearest)
{
    ck_exits(2, "trian x");
    ck_says("gmrun: unknown command 'trian'; did you mean 'train'?");
    ck_exits(2, "train x --epcohs 3");
    ck_says("gmrun: unknown option '--epcohs'; did you mean '--epochs'?");
    ck_exits(2, "bench x --jsn");
    ck_says("did you mean '--json'?");
    ck_exits(2, "train x --zebra=1");
    ck_says("unknown option '--zebra'");
    ck_exits(2, "sample x -q");
    ck_says("unknown option '-q'");
}
END_TEST

START_TEST(wrong_usage_ends_with_2)
{
    static const char *const wrong[] = {
        "",
        "train",
        "train a b",
        "train a --epochs",
        "train a --epochs 0",
        "train a --epochs 3x",
        "train a --epochs 99999999999999999999",
        "train a --set rate",
        "train a --seed -1",
        "train a --resume=1",
        "sample a -n many",
        "run a --input z --output-dir d",
        "run a",
        "bench a",
        "bench a --step s --network n",
        "ops extra",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ck_assert_msg(run("%s", wrong[i]) == 2, "gmrun %s: %s", wrong[i], output);
        ck_assert_msg(!strncmp(output, "gmrun: ", 7), "gmrun %s: %s", wrong[i], output);
    }
}
END_TEST

START_TEST(a_missing_or_broken_model_ends_with_2)
{
    static const char *const commands[] = {"train", "sample", "inspect", "check"};
    write_model("broken.gmodel",
                "model broken <gmodel = 1>\nnetwork f (float[N, 2] x) => (float[N, 2] y) { y = Rleu(x) }\n");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        ck_exits(2, "%s absent.gmodel", commands[i]);
        ck_says("absent.gmodel");
        ck_exits(2, "%s broken.gmodel", commands[i]);
        ck_assert_msg(!strncmp(output, "broken.gmodel:2:", 16), "%s", output); /* where editors look for the place */
        ck_says("Relu");
    }
}
END_TEST

START_TEST(a_new_training_leaves_no_evaluations_of_the_old_one)
{
    static char text[4096];
    for (int every = 2; every <= 3; every++) {
        char model[1024];
        snprintf(model, sizeof model,
                 "model e <gmodel = 1, opset = 21>\n"
                 "network x () => (float v) { param v : float = 4 }\n"
                 "step s { loss = x() ^ 2  minimize loss over x with SGD <rate = 0.25>  report loss }\n"
                 "evaluate now { result v = x() }\n"
                 "train epochs 1 of 6 iterations { s every %d iterations now }\n",
                 every);
        write_model("e.gmodel", model);
        ck_exits(0, "train e.gmodel --out both");
        ck_says("checkpoint.gmodel now.csv\n");
        ck_assert_msg(!strstr(output, "samples"), "%s", output); /* it has none */
    }
    text[read_file("both/now.csv", text, sizeof text - 1)] = 0;
    ck_assert_str_eq(text, "epoch,iteration,v\n0,3,0.5\n0,6,0.0625\n");
}
END_TEST

START_TEST(check_and_inspect_find_data_and_take_settings)
{
    write_model("words.gmodel", "model w <gmodel = 1, opset = 21>\n"
                                "const width = 3\n"
                                "data words = text <file = \"t.txt\"> { center : int64, context : int64 }\n"
                                "network table (int64[N] id) => (float[N, width] y) {\n"
                                "  y = Embedding <words.vocabulary, width> (id)\n"
                                "}\n"
                                "sample seen on words (int64[2] center) { write y = table(center) as npy }\n"
                                "evaluate size { result n = 1.0 * words.vocabulary }\n");
    shell("mkdir -p corpus && echo one two three two one >corpus/t.txt");
    ck_exits(2, "check words.gmodel");
    ck_exits(0, "check words.gmodel --data corpus");
    ck_says("1 network, 1 sample, 1 evaluation, 9 trained numbers");
    ck_exits(0, "inspect words.gmodel --data corpus --set width=5");
    ck_says("float[3, 5]");
    ck_says("evaluations size");
    ck_exits(2, "sample words.gmodel --sample seen");
}
END_TEST

START_TEST(check_says_good)
{
    write_model("chase.gmodel", chase);
    ck_exits(0, "check chase.gmodel");
    ck_says("chase.gmodel: good: 2 networks, 2 steps, 2 trained numbers");
    ck_exits(2, "check chase.gmodel --set rat=3");
    ck_says("there is no const 'rat' to set; did you mean 'rate'?");
    ck_exits(0, "check chase.gmodel --set rate=3");
}
END_TEST

START_TEST(train_writes_its_files_and_plain_lines)
{
    write_model("chase.gmodel", chase);
    ck_exits(0, "train chase.gmodel");
    ck_says("epoch 1/4");
    ck_says("epoch 4/4");
    ck_says("height");
    ck_assert_ptr_null(strchr(output, '\r'));
    ck_assert(exists("runs/chase/checkpoint.gmodel"));
    ck_assert(exists("runs/chase/metrics.csv"));
}
END_TEST

static const char reporting[] =
    "model r <gmodel = 1, opset = 21>\n"
    "network x () => (float v) { param v : float = 4 }\n"
    "step s { loss = x() ^ 2  minimize loss over x with SGD <rate = 0.25>  report loss, at = iteration }\n"
    "train epochs 3 of 4 iterations { s every 3 iterations report }\n";

START_TEST(a_block_shows_the_reports_of_its_own_steps)
{
    write_model("blocks.gmodel",
                "model b <gmodel = 1, opset = 21>\n"
                "network x () => (float v) { param v : float = 4 }\n"
                "step s { early = x() ^ 2  minimize early over x with SGD <rate = 0.25>  report early }\n"
                "step t { late = x() ^ 2  minimize late over x with SGD <rate = 0.25>  report late }\n"
                "train epochs 1 of 2 iterations { s }\n"
                "train epochs 1 of 2 iterations { t }\n");
    ck_exits(0, "train blocks.gmodel --out blocks");
    ck_says("  early 10\n"); /* (16 + 4) / 2 */
    ck_says("  late 0.625\n");
    ck_assert_msg(!strstr(output, "nan"), "%s", output);
}
END_TEST

START_TEST(a_new_training_leaves_no_curves_of_the_old_one)
{
    write_model("r.gmodel", reporting);
    write_model("chase.gmodel", chase);
    ck_exits(0, "train r.gmodel --out shared");
    ck_assert(exists("shared/curves.png"));
    ck_exits(0, "train chase.gmodel --out shared --epochs 1"); /* too short for curves of its own */
    ck_assert(!exists("shared/curves.png"));
    ck_assert(!exists("shared/iterations.csv"));
}
END_TEST

START_TEST(iterations_are_reported_as_windows)
{
    static char text[4096];
    write_model("r.gmodel", reporting);
    ck_exits(0, "train r.gmodel --out whole-r");
    text[read_file("whole-r/iterations.csv", text, sizeof text - 1)] = 0;
    ck_assert_msg(!strncmp(text, "epoch,iteration,loss,at,seconds\n0,3,7,1,", 40), "%s", text); /* (16 + 4 + 1) / 3 */
    ck_assert_ptr_nonnull(strstr(text, "\n1,6,"));
    ck_assert_ptr_nonnull(strstr(text, ",10,"));
    ck_assert(exists("whole-r/curves.png"));
    ck_exits(0, "train r.gmodel --out parts-r --steps 7"); /* within a window, behind a checkpoint */
    ck_exits(0, "train r.gmodel --out parts-r --resume");
    shell("cut -d, -f1-4 whole-r/iterations.csv >whole-r/cut && cut -d, -f1-4 parts-r/iterations.csv >parts-r/cut && "
          "cmp whole-r/cut parts-r/cut");
    ck_same_file("whole-r/checkpoint.gmodel", "parts-r/checkpoint.gmodel");
}
END_TEST

START_TEST(samples_do_not_overwrite_each_other)
{
    write_model("two.gmodel",
                "model two <gmodel = 1, opset = 21>\n"
                "network x () => (float v) { param v : float = 1 }\n"
                "step s { minimize x() over x with SGD <rate = 1> }\n"
                "sample a { write picture = RandomUniform <shape = [1, 1, 2, 2]> ()  write b = 1.0 as text }\n"
                "sample c { write picture = RandomUniform <shape = [1, 1, 2, 2]> () }\n"
                "train epochs 1 of 1 iteration { s every 1 epoch a, c }\n");
    ck_exits(0, "train two.gmodel");
    ck_assert(exists("runs/two/samples/epoch-0001-a-picture.png"));
    ck_assert(exists("runs/two/samples/epoch-0001-c-picture.png"));
    ck_assert(exists("runs/two/samples/epoch-0001-b.txt"));
}
END_TEST

START_TEST(resume_equals_training_in_one_go)
{
    write_model("chase.gmodel", chase);
    ck_exits(0, "train chase.gmodel --out whole");
    ck_exits(0, "train chase.gmodel --out halves --steps 7");
    ck_exits(0, "train chase.gmodel --out halves --resume");
    ck_same_file("whole/checkpoint.gmodel", "halves/checkpoint.gmodel");
}
END_TEST

START_TEST(resume_without_a_checkpoint_is_said)
{
    write_model("chase.gmodel", chase);
    ck_exits(2, "train chase.gmodel --out nothing --resume");
    ck_says("gmrun: nothing to resume: there is no nothing/checkpoint.gmodel");
}
END_TEST

START_TEST(set_replaces_a_const)
{
    write_model("chase.gmodel", chase);
    ck_exits(0, "train chase.gmodel --out a --set rate=0.1");
    ck_exits(0, "train chase.gmodel --out b --set rate=0.2");
    char a[4096] = "", b[4096] = "";
    read_file("a/metrics.csv", a, sizeof a - 1);
    read_file("b/metrics.csv", b, sizeof b - 1);
    ck_assert_str_ne(a, b);
    ck_exits(2, "train chase.gmodel --out c --set rat=0.2");
}
END_TEST

START_TEST(interrupt_saves_and_says_how_to_go_on)
{
    char line[512];
    write_model("chase.gmodel", chase);
    snprintf(line, sizeof line, "cd %s && exec '%s' train chase.gmodel --epochs 1000000 --out stop >stop.txt 2>&1",
             scratch, gmrun);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (!child) {
        execl("/bin/sh", "sh", "-c", line, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 500 && !exists("stop/checkpoint.gmodel"); i++)
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    kill(child, SIGINT);
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 1);
    output[read_file("stop.txt", output, sizeof output - 1)] = 0;
    ck_says("gmrun train chase.gmodel --epochs 1000000 --out stop --resume");
    ck_assert(exists("stop/checkpoint.gmodel"));
}
END_TEST

START_TEST(sample_writes_a_picture_and_says_fresh)
{
    char png[8];
    write_model("pictures.gmodel", pictures);
    ck_exits(0, "sample pictures.gmodel -n 9 -o nine.png");
    ck_says("fresh");
    ck_assert_uint_eq(read_file("nine.png", png, 8), 8);
    ck_assert_mem_eq(png, "\x89PNG\r\n\x1a\n", 8);
    ck_exits(2, "sample pictures.gmodel --sample gird");
    ck_says("did you mean 'grid'?");
}
END_TEST

START_TEST(sample_repeats_by_seed_and_has_n_rows)
{
    write_model("pictures.gmodel", pictures);
    ck_exits(0, "sample pictures.gmodel -n 9 -o a.npy --seed 5");
    ck_exits(0, "sample pictures.gmodel -n 9 -o b.npy --seed 5");
    ck_exits(0, "sample pictures.gmodel -n 9 -o c.npy --seed 6");
    ck_same_file("a.npy", "b.npy");
    char a[1024], c[1024];
    size_t length = read_file("a.npy", a, sizeof a);
    ck_assert_uint_eq(length % 64, 9 * 16 * 4 % 64);
    ck_assert_uint_eq(read_file("c.npy", c, sizeof c), length);
    ck_assert_int_ne(memcmp(a, c, length), 0);
    /* Rows of the second run of the sample differ from those of the first. */
    ck_assert_int_ne(memcmp(a + length - 64, a + length - 5 * 64, 64), 0);
}
END_TEST

START_TEST(run_takes_and_makes_npy)
{
    write_model("pictures.gmodel", pictures);
    gm_context *context = NULL;
    float z[5][3] = {{1, 2, 3}};
    gm_tensor_view view = {.type = GM_FLOAT, .rank = 2, .dims = {5, 3}, .bytes = sizeof z, .data = z};
    char path[256];
    path_in(path, sizeof path, "z.npy");
    ck_assert_int_eq(gm_context_create(NULL, &context), GM_OK);
    ck_assert_int_eq(gm_write_npy(context, path, &view), GM_OK);
    ck_exits(0, "run pictures.gmodel --input z=z.npy --output-dir out/here");
    path_in(path, sizeof path, "out/here/image.npy");
    ck_assert_int_eq(gm_read_npy(context, path, &view), GM_OK);
    ck_assert_int_eq(view.rank, 4);
    ck_assert_int_eq(view.dims[0], 5);
    ck_assert_int_eq(view.dims[3], 4);
    gm_release(context, view.data);

    ck_exits(2, "run pictures.gmodel --input q=z.npy --output-dir out");
    ck_says("there is no input 'q'");
    ck_exits(2, "run pictures.gmodel --output-dir out");
    ck_says("the input 'z' is missing");
    view = (gm_tensor_view){.type = GM_FLOAT, .rank = 2, .dims = {3, 5}, .bytes = sizeof z, .data = z};
    path_in(path, sizeof path, "w.npy");
    ck_assert_int_eq(gm_write_npy(context, path, &view), GM_OK);
    ck_exits(2, "run pictures.gmodel --input z=w.npy --output-dir out");
    ck_says("float[N, 3]");
    ck_says("float[3, 5]");
    view.rank = 1;
    view.bytes = 3 * sizeof(float);
    ck_assert_int_eq(gm_write_npy(context, path, &view), GM_OK);
    ck_exits(2, "run pictures.gmodel --input z=w.npy --output-dir out");
    ck_says("the input 'z' must be float[N, 3], but its file has float[3]");
    gm_context_destroy(context);
}
END_TEST

START_TEST(inspect_shows_parameters_graph_and_plan)
{
    write_model("pictures.gmodel", pictures);
    ck_exits(0, "inspect pictures.gmodel");
    ck_says("paint.image.Dense.W");
    ck_exits(0, "inspect pictures.gmodel paint --batch 8");
    ck_says("Tanh");
    ck_exits(0, "inspect pictures.gmodel --plan");
    ck_exits(2, "inspect pictures.gmodel piant");
    ck_exits(2, "inspect pictures.gmodel --batch 8"); /* of what? */
}
END_TEST

START_TEST(ops_prints_the_table)
{
    ck_exits(0, "ops");
    ck_says("Relu");
}
END_TEST

START_TEST(bench_prints_its_keys)
{
    static const char *const keys[] = {"\"median_ms\": ",       "\"min_ms\": ",         "\"arena_bytes\": ",
                                       "\"max_alive_bytes\": ", "\"peak_rss_bytes\": ", "\"operators\": {"};
    write_model("pictures.gmodel", pictures);
    write_model("chase.gmodel", chase);
    ck_exits(0, "bench pictures.gmodel --network paint --batch 8 --runs 5 --json");
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        ck_says(keys[i]);
    ck_exits(0, "bench chase.gmodel --step up --runs 5 --json");
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        ck_says(keys[i]);
    ck_exits(0, "bench pictures.gmodel --network paint --runs 5");
    ck_says("median_ms");
}
END_TEST

/* A file of choices is made, serves in silence, and is told and made anew when it is damaged. */
START_TEST(tuning_remembers_in_a_file)
{
    static const char *const commands[] = {
        "bench edges.gmodel --network edges --runs 1 --tune choices",
        "run edges.gmodel --tune choices --input x=x.npy --output-dir edges",
        "train edges.gmodel --tune choices --out edges --steps 1",
    };
    write_model("edges.gmodel", "model edges <gmodel = 1, opset = 21>\n"
                                "network edges (float[N, 1, 6, 6] x) => (float[N, 2, 6, 6] y) {\n"
                                "  y = Conv2d <2, kernel = 3> (x)\n}\n"
                                "sample ones { write x = RandomNormal <shape = [1, 1, 6, 6]> () }\n"
                                "step fit { loss = mean(edges(RandomNormal <shape = [4, 1, 6, 6]> ()) ^ 2)\n"
                                "  minimize loss over edges with SGD <rate = 0.01> }\n"
                                "train epochs 1 of 1 iteration { fit }\n");
    ck_exits(0, "sample edges.gmodel -o x.npy");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        char path[256];
        path_in(path, sizeof path, "choices");
        unlink(path);
        for (int turn = 0; turn < 4; turn++) {
            if (turn == 2) /* which ends with the first of its lines */
                write_model("choices", "gmodel tuning 1\n");
            ck_exits(0, "%s", commands[i]);
            ck_assert_msg(lines_with("choices: not used for tuning: ") == (turn == 2), "%s: %s", commands[i], output);
            ck_assert_msg(lines_with("choices: ") == (turn == 2), "%s: %s", commands[i], output);
        }
        ck_exits(0, "ops >/dev/null; tail -n 2 choices");
        ck_says("Conv");
        ck_says("end ");
    }
}
END_TEST

/* Two steps as one round: their plans and operators are added up. */
START_TEST(bench_takes_rounds_and_settings)
{
    static const char *const runs[] = {"--step up", "--step down", "--step up --step down"};
    size_t instructions[3];
    write_model("chase.gmodel", chase);
    for (int i = 0; i < 3; i++) {
        ck_exits(0, "bench chase.gmodel %s --runs 2 --json --set rate=0", runs[i]);
        const char *at = strstr(output, "\"instructions\": ");
        ck_assert_ptr_nonnull(at);
        ck_assert_int_eq(sscanf(at, "\"instructions\": %zu", &instructions[i]), 1);
    }
    ck_says("\"step\": \"up+down\"");
    ck_says("\"Adam\": ");
    ck_assert_ptr_null(strstr(strstr(output, "\"Adam\": ") + 1, "\"Adam\": "));
    ck_assert_uint_gt(instructions[0], 0);
    ck_assert_uint_eq(instructions[2], instructions[0] + instructions[1]);
    ck_exits(2, "bench chase.gmodel --step up --set rat=1");
    ck_says("did you mean 'rate'?");
}
END_TEST

START_TEST(a_terminal_gets_a_bar_that_fits)
{
    struct winsize size = {.ws_row = 24, .ws_col = 60};
    char line[512];
    int master, status;
    size_t length = 0;
    write_model("chase.gmodel", chase);
    snprintf(line, sizeof line, "cd %s && TERM=xterm exec '%s' train chase.gmodel --epochs 300 --out tty", scratch,
             gmrun);
    pid_t child = forkpty(&master, NULL, NULL, &size);
    ck_assert_int_ge(child, 0);
    if (!child) {
        execl("/bin/sh", "sh", "-c", line, (char *)NULL);
        _exit(127);
    }
    ssize_t got;
    static char text[1 << 18];
    while (length < sizeof text - 1 && (got = read(master, text + length, sizeof text - 1 - length)) > 0)
        length += (size_t)got;
    text[length] = 0;
    close(master);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ck_assert_ptr_nonnull(strstr(text, "\r\033[Kepoch "));
    ck_assert_ptr_nonnull(strstr(text, "epoch 300/300"));
    /* No bar, from "\033[K" to the next control character, is as wide as the terminal. */
    for (const char *at = text; (at = strstr(at, "\033[K")); at++)
        ck_assert_uint_lt(strcspn(at + 3, "\r\n\033"), 60);
}
END_TEST

START_TEST(bar_line_fits_every_width)
{
    static const char *const names[] = {"g_loss", "d_loss", "p_real", "p_fake"};
    static const double values[] = {0.81234567, 1.3e-12, -123456.789, 0.5};
    gm_progress progress = {.epoch = 2,
                            .epochs = 50,
                            .iteration = 117,
                            .iterations = 234,
                            .rounds_per_second = 4.125,
                            .report_count = 4,
                            .report_names = names,
                            .reports = values};
    char line[512];
    for (int width = 0; width < 200; width++) {
        progress_bar_line(line, sizeof line, width, &progress, 3661);
        ck_assert_uint_le(strlen(line), (size_t)width);
    }
    ck_assert_ptr_nonnull(strstr(line, "epoch 3/50 [==========>"));
    ck_assert_ptr_nonnull(strstr(line, "117/234  4.12 steps/s  1:01:01 left  g_loss 0.8123"));
    ck_assert_ptr_nonnull(strstr(line, "p_fake 0.5"));
}
END_TEST

START_TEST(nearest_finds_swaps_and_refuses_strangers)
{
    static const char *const names[] = {"train", "sample", "run"};
    ck_assert_str_eq(nearest("tarin", names, 3), "train");
    ck_assert_str_eq(nearest("sampel", names, 3), "sample");
    ck_assert_ptr_null(nearest("elephant", names, 3));
    ck_assert_ptr_null(nearest("train", names, 0));
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, help_of_every_command_is_printed);
    tcase_add_test(cases, version_names_the_computing_library);
    tcase_add_test(cases, mistyped_words_name_the_nearest);
    tcase_add_test(cases, wrong_usage_ends_with_2);
    tcase_add_test(cases, bar_line_fits_every_width);
    tcase_add_test(cases, nearest_finds_swaps_and_refuses_strangers);
    tcase_add_test(cases, a_missing_or_broken_model_ends_with_2);
    tcase_add_test(cases, a_block_shows_the_reports_of_its_own_steps);
    tcase_add_test(cases, a_new_training_leaves_no_curves_of_the_old_one);
    tcase_add_test(cases, a_new_training_leaves_no_evaluations_of_the_old_one);
    tcase_add_test(cases, check_and_inspect_find_data_and_take_settings);
    tcase_add_test(cases, check_says_good);
    tcase_add_test(cases, train_writes_its_files_and_plain_lines);
    tcase_add_test(cases, iterations_are_reported_as_windows);
    tcase_add_test(cases, samples_do_not_overwrite_each_other);
    tcase_add_test(cases, resume_equals_training_in_one_go);
    tcase_add_test(cases, resume_without_a_checkpoint_is_said);
    tcase_add_test(cases, set_replaces_a_const);
    tcase_add_test(cases, interrupt_saves_and_says_how_to_go_on);
    tcase_add_test(cases, sample_writes_a_picture_and_says_fresh);
    tcase_add_test(cases, sample_repeats_by_seed_and_has_n_rows);
    tcase_add_test(cases, run_takes_and_makes_npy);
    tcase_add_test(cases, inspect_shows_parameters_graph_and_plan);
    tcase_add_test(cases, ops_prints_the_table);
    tcase_add_test(cases, bench_prints_its_keys);
    tcase_add_test(cases, tuning_remembers_in_a_file);
    tcase_add_test(cases, bench_takes_rounds_and_settings);
    tcase_add_test(cases, a_terminal_gets_a_bar_that_fits);
}

int main(int argc, char **argv)
{
    return run_suite(argc, argv, "cli", add_tests);
}
