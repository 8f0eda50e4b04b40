/* gmrun with bad inputs, full disks, kills and signals: nothing is lost, and every error is one clear line. Replays a
 * trace, too. */
#include "tests/cli_check.h"

/* A GAN on the digits the program draws itself, small enough for a test. */
static const char digits[] =
    "model digits <gmodel = 1, opset = 21, seed = 5>\n"
    "data drawn = mnist <part = \"train\"> { image : float[784] in [-1, 1] }\n"
    "network paint (float[N, 4] z) => (float[N, 784] image) {\n"
    "  h = Relu(Dense <16> (z))\n  image = Tanh(Dense <784> (h))\n}\n"
    "network judge (float[N, 784] x) => (float[N, 1] logit) {\n"
    "  h = LeakyRelu(Dense <16> (x))\n  logit = Dense <1> (h)\n}\n"
    "step round (float[N, 784] image) {\n"
    "  fake = paint(RandomNormal <shape = [N, 4]> ())\n  f = judge(fake)\n"
    "  d = gan_discriminator_loss(judge(image), f)\n  g = gan_generator_loss(f)\n"
    "  minimize d over judge with Adam <rate = 1e-3>\n"
    "  minimize g over paint with Adam <rate = 1e-3>\n  report d, g\n}\n"
    "sample grid { write picture = Reshape(paint(RandomNormal <shape = [4, 4], seed = 7> ()),\n"
    "  [4, 1, 28, 28]) }\n"
    "train drawn batch 32 epochs 3 { round  every 1 epoch grid }\n";

/* Files of the MNIST names: `pictures` of 28 x 28 and `labels`, all zero, after the given headers. */
static void write_idx(const char *folder, const char *picture_header, const char *label_header, int images, int labels)
{
    shell("mkdir -p %s && { printf '%s'; head -c %d /dev/zero; } >%s/train-images-idx3-ubyte", folder, picture_header,
          images * 784, folder);
    shell("{ printf '%s'; head -c %d /dev/zero; } >%s/train-labels-idx1-ubyte", label_header, labels, folder);
}

#define PICTURES "\\000\\000\\010\\003\\000\\000\\000\\100\\000\\000\\000\\034\\000\\000\\000\\034" /* 64 of 28 x 28 */
#define LABELS   "\\000\\000\\010\\001\\000\\000\\000\\100"

static void prepare_bad_inputs(void)
{
    write_model("digits.gmodel", digits);
    write_model("chase.gmodel", chase);
    write_model("pictures.gmodel", pictures);
    write_idx("good", PICTURES, LABELS, 64, 64);
    write_idx("magic", "\\000\\000\\011" PICTURES, LABELS, 64, 64);
    write_idx("short", PICTURES, LABELS, 63, 64);
    write_idx("long", PICTURES, LABELS, 65, 64);
    write_idx("labels", PICTURES, "\\000\\000\\010\\001\\000\\000\\000\\077", 64, 63);
    write_idx("alone", PICTURES, LABELS, 64, 64);
    write_idx("folder", PICTURES, LABELS, 64, 64);
    write_idx("packed", PICTURES, LABELS, 64, 64);
    shell("rm alone/train-labels-idx1-ubyte");
    shell("rm folder/train-images-idx3-ubyte && mkdir folder/train-images-idx3-ubyte");
    shell("head -c 40000 /dev/urandom >>packed/train-images-idx3-ubyte && gzip packed/train-images-idx3-ubyte && "
          "head -c 20000 packed/train-images-idx3-ubyte.gz >cut && mv cut packed/train-images-idx3-ubyte.gz");
    shell("mkdir -p other cut text none && : >file && : >empty.gmodel");
    shell("printf '\\010\\010\\377\\377\\377\\377' >damaged.gmodel && head -c 999 /dev/zero >zeros.gmodel");
    ck_exits(0, "train chase.gmodel --out whole");
    shell("cp whole/checkpoint.gmodel other && cp chase.gmodel text/checkpoint.gmodel && : >none/checkpoint.gmodel && "
          "head -c 400 whole/checkpoint.gmodel >cut/checkpoint.gmodel");
    ck_exits(0, "train digits.gmodel --data good --out good-run --steps 1");
}

START_TEST(bad_inputs_are_refused_in_one_line)
{
    static const struct {
        int status;
        const char *arguments, *says;
    } bad[] = {
        {1, "train digits.gmodel --data /nonexistent", "/nonexistent: there is no such data directory"},
        {1, "train digits.gmodel --data file", "file: there is no such data directory"},
        {1, "train digits.gmodel --data magic", "magic/train-images-idx3-ubyte: byte 0: expected magic number"},
        {1, "train digits.gmodel --data short", "short/train-images-idx3-ubyte: byte 16"},
        {1, "train digits.gmodel --data long", "byte 50192: expected the end of the file"},
        {1, "train digits.gmodel --data labels", "byte 4: expected 64 labels"},
        {1, "train digits.gmodel --data alone", "train-labels-idx1-ubyte (or .gz) is missing"},
        {1, "train digits.gmodel --data folder", "folder/train-images-idx3-ubyte: cannot read: it is not a file"},
        {1, "train digits.gmodel --data packed", "packed/train-images-idx3-ubyte.gz: byte "},
        {1, "train digits.gmodel --data good --batch 65", "expected at least one batch of 65"},
        {1, "train digits.gmodel --data good --batch 1000000000000000000", "expected at least one batch of"},
        {1, "train digits.gmodel --data good --limit 5", "has 5 rows (limited)"},
        {1, "train digits.gmodel --data good --out file", "file: the directory cannot be made"},
        {1, "train digits.gmodel --data good --out file/sub", "file: the directory cannot be made"},
        {1, "train digits.gmodel --data good --trace file", "file: cannot make the directory"},
        {2, "train digits.gmodel --data ''", "--data wants the name of a folder"},
        {2, "train digits.gmodel --out ''", "--out wants the name of a folder"},
        {2, "train digits.gmodel --math exact", "--math wants fast or direct, not 'exact'"},
        {2, "sample digits.gmodel --math exact", "--math wants fast or direct, not 'exact'"},
        {2, "run digits.gmodel --math exact", "--math wants fast or direct, not 'exact'"},
        {2, "bench digits.gmodel --math exact", "--math wants fast or direct, not 'exact'"},
        {2, "train digits.gmodel --tune ''", "--tune wants the name of a file, not ''"},
        {2, "train digits.gmodel --batch 0", "--batch wants a whole number of at least 1"},
        {2, "train digits.gmodel --batch -1", "--batch wants a whole number of at least 1"},
        {2, "train digits.gmodel --batch 99999999999999999999",
         "--batch wants a whole number of at most 92233720368547758"},
        {2, "train digits.gmodel --threads 0", "--threads wants a whole number from 1 to 1024, not '0'"},
        {2, "eval digits.gmodel --threads -5", "--threads wants a whole number from 1 to 1024, not '-5'"},
        {2, "sample digits.gmodel --threads 1025", "--threads wants a whole number from 1 to 1024, not '1025'"},
        {2, "run digits.gmodel --threads 100000", "--threads wants a whole number from 1 to 1024, not '100000'"},
        {2, "bench digits.gmodel --threads 1000000000000", "--threads wants a whole number from 1 to 1024"},
        {2, "train digits.gmodel --threads 99999999999999999999", "--threads wants a whole number from 1 to 1024"},
        {2, "bench digits.gmodel --runs 1000000000000", "--runs wants a whole number from 1 to 1000000"},
        {2, "train digits.gmodel --set slope=1", "there is no const 'slope' to set"},
        {2, "train chase.gmodel --set rate=", "must be NAME=VALUE"},
        {2, "train chase.gmodel --set rate=fast", "unknown name 'fast'"},
        {2, "train", "an argument is missing: gmrun train MODEL (see"},
        {2, "train empty.gmodel", "empty.gmodel:1:1: the file must begin with"},
        {2, "train damaged.gmodel", "damaged.gmodel: damaged or not a model"},
        {2, "train zeros.gmodel", "zeros.gmodel"},
        {2, "train good", "good: cannot be read: Is a directory"},
        {2, "train digits.gmodel --out other --resume", "is a checkpoint of model 'chase', this is model 'digits'"},
        {2, "train chase.gmodel --out cut --resume", "cut/checkpoint.gmodel: damaged or not a model"},
        {2, "train chase.gmodel --out none --resume", "is a text, which holds no position"},
        {2, "train chase.gmodel --out text --resume", "is a text, which holds no position"},
        {2, "sample cut/checkpoint.gmodel", "cut/checkpoint.gmodel: damaged or not a model"},
        {2, "sample good-run/checkpoint.gmodel -o grid.txt", "-o wants a file called .png or .npy"},
        {1, "sample good-run/checkpoint.gmodel -o absent/grid.png", "absent/grid.png: cannot write"},
        {1, "sample good-run/checkpoint.gmodel -n 288230376151711745",
         "rows need 9.0389e+20 bytes"}, /* wraps in 64 bits */
        {1, "sample good-run/checkpoint.gmodel -n 1000000000000", "rows need 3.136e+15 bytes"},
        {2, "run good-run/checkpoint.gmodel --input z=a --input z=b --output-dir o", "the input 'z' is given twice"},
        {1, "run good-run/checkpoint.gmodel --input z=file --output-dir o", "file: byte 0: this is not a .npy file"},
        {1, "run good-run/checkpoint.gmodel --input z=gone --output-dir o", "gone: cannot read"},
        {2, "inspect good-run/checkpoint.gmodel pian", "did you mean 'paint'"},
        {2, "bench good-run/checkpoint.gmodel --step rond", "rond"},
        {1, "bench good-run/checkpoint.gmodel --network paint --batch 1000000000000000000", "does not fit"},
        {2, "bench good-run/checkpoint.gmodel --network paint --batch 1000000000000",
         "bytes, which is too large for any machine"},
        {1, "bench good-run/checkpoint.gmodel --network paint --batch 10000000000", "bytes for intermediate values"},
        {1, "--help >/dev/full", "standard output could not be written"},
        {1, "check chase.gmodel >/dev/full", "standard output could not be written"},
    };
    prepare_bad_inputs();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int status = run("%s", bad[i].arguments);
        ck_assert_msg(status == bad[i].status, "gmrun %s: exit status %d: %s", bad[i].arguments, status, output);
        ck_assert_msg(strstr(output, bad[i].says) != NULL, "gmrun %s: %s", bad[i].arguments, output);
        const char *line = strstr(output, "gmrun: ");
        if (line)
            ck_assert_msg(lines_with("gmrun: ") == 1, "gmrun %s: %s", bad[i].arguments, output);
        else /* FILE:LINE:COLUMN begins the line, for editors */
            line = strstr(output, bad[i].says);
        /* and it is the last one */
        ck_assert_msg(strchr(line, '\n') && !strchr(line, '\n')[1], "gmrun %s: %s", bad[i].arguments, output);
    }
    ck_exits(0, "bench chase.gmodel --step up --runs 1 --threads 1024"); /* the most that is taken */
    ck_exits(0, "train chase.gmodel --out other --resume");              /* the refusals left the checkpoint alone */
    ck_same_file("whole/checkpoint.gmodel", "other/checkpoint.gmodel");
}
END_TEST

START_TEST(same_seed_same_checkpoint)
{
    write_model("digits.gmodel", digits);
    ck_exits(0, "train digits.gmodel --limit 64 --out once");
    ck_says("using the built-in digits");
    ck_exits(0, "train digits.gmodel --limit 64 --out 'once more'");
    ck_same_file("once/checkpoint.gmodel", "once more/checkpoint.gmodel");
    ck_same_file("once/samples/epoch-0003.png", "once more/samples/epoch-0003.png");
    ck_exits(0, "train digits.gmodel --limit 64 --out other-seed --seed 6");
    static char a[1 << 18], b[1 << 18];
    size_t length = read_file("once/checkpoint.gmodel", a, sizeof a);
    ck_assert(read_file("other-seed/checkpoint.gmodel", b, sizeof b) != length || memcmp(a, b, length) != 0);
}
END_TEST

START_TEST(resume_within_an_epoch_is_bit_for_bit)
{
    write_model("digits.gmodel", digits);
    ck_exits(0, "train digits.gmodel --limit 320 --out straight");
    ck_exits(0, "train digits.gmodel --limit 320 --out parts --steps 7");
    ck_exits(0, "train digits.gmodel --limit 320 --out parts --steps 9 --resume");
    ck_exits(0, "train digits.gmodel --limit 320 --out parts --resume");
    ck_same_file("straight/checkpoint.gmodel", "parts/checkpoint.gmodel");
    ck_same_file("straight/samples/epoch-0003.png", "parts/samples/epoch-0003.png");
    ck_exits(0, "train digits.gmodel --limit 320 --out parts --resume");
    ck_says("nothing was left to do");
}
END_TEST

/* Killed at three different times; each time goes on from the last checkpoint that was whole. */
START_TEST(resume_keeps_seed_and_batch)
{
    write_model("digits.gmodel", digits);
    ck_exits(0, "train digits.gmodel --limit 128 --seed 6 --batch 16 --out through");
    ck_exits(0, "train digits.gmodel --limit 128 --seed 6 --batch 16 --out parts --steps 11");
    ck_exits(2, "train digits.gmodel --limit 128 --seed 7 --out parts --resume");
    ck_says("this training has the seed 6; it cannot go on with the seed 7");
    ck_exits(2, "train digits.gmodel --limit 128 --batch 32 --out parts --resume");
    ck_says("this training has batches of 16; it cannot go on with batches of 32");
    ck_exits(0, "train digits.gmodel --limit 128 --out parts --resume");
    ck_same_file("through/checkpoint.gmodel", "parts/checkpoint.gmodel");
}
END_TEST

START_TEST(temporary_files_of_the_dead_are_removed)
{
    write_model("chase.gmodel", chase);
    shell("mkdir -p tidy/samples && sh -c 'echo $$ >pid' && touch tidy/checkpoint.gmodel.$(cat pid)-0.tmp "
          "tidy/samples/a.png.$(cat pid)-3.tmp tidy/mine.1-0.tmp tidy/notes.tmp tidy/checkpoint.gmodel.x-0.tmp");
    ck_exits(0, "train chase.gmodel --out tidy --steps 1");
    shell("test ! -e tidy/checkpoint.gmodel.$(cat pid)-0.tmp && test ! -e tidy/samples/a.png.$(cat pid)-3.tmp");
    ck_assert(exists("tidy/mine.1-0.tmp") && exists("tidy/notes.tmp") && exists("tidy/checkpoint.gmodel.x-0.tmp"));
}
END_TEST

START_TEST(a_failed_run_leaves_its_trace)
{
    write_model("chase.gmodel", chase);
    ck_exits(1, "train chase.gmodel --set rate=1e39 --out failed --trace failed-trace --steps 3");
    ck_assert(exists("failed-trace/index.csv"));
}
END_TEST

START_TEST(kill_and_resume_is_bit_for_bit)
{
    write_model("digits.gmodel", digits);
    ck_exits(0, "train digits.gmodel --limit 640 --epochs 20 --out unharmed");
    for (int i = 0; i < 3; i++) {
        shell("rm -rf killed");
        pid_t child = start("train digits.gmodel --limit 640 --epochs 20 --out killed", "killed/checkpoint.gmodel");
        nanosleep(&(struct timespec){0, i * 7000000}, NULL);
        ck_assert_int_eq(kill(child, SIGKILL), 0);
        ck_assert_msg(WIFSIGNALED(end(child)), "it had ended before: %s", output);
        ck_exits(0, "train digits.gmodel --limit 640 --epochs 20 --out killed --resume");
        ck_says("epoch 20/20");
        ck_same_file("unharmed/checkpoint.gmodel", "killed/checkpoint.gmodel");
        ck_same_file("unharmed/samples/epoch-0020.png", "killed/samples/epoch-0020.png");
    }
}
END_TEST

START_TEST(terminate_saves_and_says_how_to_go_on)
{
    write_model("chase.gmodel", chase);
    pid_t child = start("train chase.gmodel --epochs 1000000 --out \"it's here\"", "it's here/checkpoint.gmodel");
    kill(child, SIGTERM);
    int status = end(child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 1, "%s", output);
    ck_says("gmrun train chase.gmodel --epochs 1000000 --out 'it'\\''s here' --resume");
}
END_TEST

/* Kernels may use the stack register for something else, so that no signal may be handled where they run. */
START_TEST(signals_are_handled_by_no_computing_thread)
{
    unsigned long long blocked = 0, caught = ~0ull;
    char path[64], line[256];
    write_model("chase.gmodel", chase);
    pid_t child = start("train chase.gmodel --epochs 1000000 --out masks", "masks/checkpoint.gmodel");
    snprintf(path, sizeof path, "/proc/%ld/status", (long)child);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) {
        sscanf(line, "SigBlk: %llx", &blocked);
        sscanf(line, "SigCgt: %llx", &caught);
    }
    kill(child, SIGINT);
    end(child);
    if (!file)
        return; /* no /proc here */
    fclose(file);
    unsigned long long both = 1ull << (SIGINT - 1) | 1ull << (SIGTERM - 1);
    ck_assert_uint_eq(blocked & both, both);
    ck_assert_uint_eq(caught & both, 0);
}
END_TEST

START_TEST(a_reader_that_ends_does_not_lose_the_training)
{
    write_model("chase.gmodel", chase);
    run("train chase.gmodel --epochs 3000000 --out unread | head -n 2");
    ck_says("epoch 2/3000000");
    ck_says("gmrun: standard output could not be written"); /* said by itself, not killed by the pipe */
    ck_exits(0, "train chase.gmodel --out unread --resume");
}
END_TEST

START_TEST(a_new_training_keeps_the_old_checkpoint)
{
    write_model("chase.gmodel", chase);
    ck_exits(0, "train chase.gmodel --out again");
    shell("cp again/checkpoint.gmodel first.gmodel");
    ck_exits(0, "train chase.gmodel --out again --set rate=0.3");
    ck_says("again/checkpoint-old.gmodel");
    ck_same_file("first.gmodel", "again/checkpoint-old.gmodel");
    ck_exits(0, "train chase.gmodel --out again --set rate=0.3 --epochs 5 --resume"); /* goes on: nothing is lost */
    ck_same_file("first.gmodel", "again/checkpoint-old.gmodel");
}
END_TEST

/* In a mount of its own that a name space hides from everybody else. */
START_TEST(a_full_disk_leaves_the_earlier_checkpoint)
{
    static const char *const spaces[] = {"unshare -m", "unshare -rm"};
    const char *space = NULL;
    write_model("digits.gmodel", digits);
    shell("mkdir -p disk");
    for (size_t i = 0; i < 2 && !space; i++) {
        char line[256];
        snprintf(line, sizeof line, "cd %s && %s mount -t tmpfs -o size=4k tmpfs disk 2>/dev/null", scratch, spaces[i]);
        if (system(line) == 0)
            space = spaces[i];
    }
    if (!space) {
        fputs("skipped: a full disk, since a tmpfs cannot be mounted here\n", stderr);
        return;
    }
    ck_exits(0, "train digits.gmodel --limit 64 --epochs 1 --out room");
    shell(
        "%s sh -c 'mount -t tmpfs -o size=600k tmpfs disk && cp -r room disk && "
        "head -c \"$(( $(df -k --output=avail disk | tail -n 1) - 60 ))k\" /dev/zero >disk/fill && "
        "{ %s train digits.gmodel --limit 64 --epochs 3 --resume --out disk/room >full.txt 2>&1; "
        "echo \"status $?\" >>full.txt; rm -f left; ls disk/room >left; cp disk/room/checkpoint.gmodel kept.gmodel; }'",
        space, gmrun);
    ck_same_file("room/checkpoint.gmodel", "kept.gmodel");
    output[read_file("full.txt", output, sizeof output - 1)] = 0;
    ck_says("disk/room/checkpoint.gmodel: cannot write, the disk is full after");
    ck_says("status 1\n");
    ck_assert_int_eq(lines_with("gmrun: "), 1);
    output[read_file("left", output, sizeof output - 1)] = 0;
    ck_assert_ptr_null(strstr(output, ".tmp"));
}
END_TEST

/* The value of a scalar in the trace, from the line of index.csv that begins with `row`. */
static double traced(gm_context *context, const char *index, const char *row)
{
    char path[300], file[32];
    gm_tensor_view view;
    const char *at = strstr(index, row);
    ck_assert_msg(at != NULL, "%s is not in the index", row);
    ck_assert_int_eq(sscanf(at + strlen(row), ",%31[^\n]", file), 1);
    snprintf(path, sizeof path, "%s/trace/%s", scratch, file);
    ck_assert_msg(gm_read_npy(context, path, &view) == GM_OK, "%s", gm_context_message(context));
    ck_assert(view.type == GM_FLOAT && view.rank == 0);
    double value = *(float *)view.data;
    gm_release(context, view.data);
    return value;
}

/* Two rounds of the chase are computed again from the numbers in the trace. */
START_TEST(a_trace_can_be_replayed)
{
    static char index[1 << 16];
    gm_context *context = NULL;
    write_model("chase.gmodel", chase);
    ck_exits(0, "train chase.gmodel --out traced --trace trace --steps 2");
    index[read_file("trace/index.csv", index, sizeof index - 1)] = 0;
    ck_assert(!strncmp(index, "round,step,kind,name,file\n", 26));
    ck_assert_int_eq(gm_context_create(NULL, &context), GM_OK);
    double x = traced(context, index, "1,up,before,x.v"), y = traced(context, index, "1,up,before,y.v");
    ck_assert_double_eq(x, 1);
    ck_assert_double_eq(y, 1);
    ck_assert_double_eq(traced(context, index, "1,up,report,height"), x * y);
    ck_assert_double_eq(traced(context, index, "1,up,gradient_norm,y.v"), x);
    /* The first step of Adam is the rate, whatever the gradient: up in y, then down in x. */
    ck_assert_double_eq_tol(traced(context, index, "1,up,after,y.v"), y + 0.1, 1e-5);
    ck_assert_double_eq(traced(context, index, "1,up,after,x.v"), x);
    ck_assert_double_eq(traced(context, index, "1,down,before,y.v"), traced(context, index, "1,up,after,y.v"));
    ck_assert_double_eq_tol(traced(context, index, "1,down,after,x.v"), x - 0.1, 1e-5);
    x = traced(context, index, "1,down,after,x.v");
    y = traced(context, index, "1,down,after,y.v");
    ck_assert_double_eq(traced(context, index, "2,up,before,x.v"), x);
    ck_assert_double_eq(traced(context, index, "2,up,before,y.v"), y);
    ck_assert_double_eq_tol(traced(context, index, "2,up,report,height"), x * y, 1e-6);
    gm_context_destroy(context);

    write_model("digits.gmodel", digits);
    ck_exits(0, "train digits.gmodel --limit 64 --out traced-digits --trace 'trace of digits' --steps 1");
    index[read_file("trace of digits/index.csv", index, sizeof index - 1)] = 0;
    ck_assert_ptr_nonnull(strstr(index, "1,round,input,image,"));
    ck_assert_ptr_nonnull(strstr(index, "1,round,draw,round/fake.RandomNormal,"));
    ck_assert_ptr_nonnull(strstr(index, "1,round,after,round.paint.t,"));
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, bad_inputs_are_refused_in_one_line);
    tcase_add_test(cases, same_seed_same_checkpoint);
    tcase_add_test(cases, resume_within_an_epoch_is_bit_for_bit);
    tcase_add_test(cases, resume_keeps_seed_and_batch);
    tcase_add_test(cases, temporary_files_of_the_dead_are_removed);
    tcase_add_test(cases, a_failed_run_leaves_its_trace);
    tcase_add_test(cases, kill_and_resume_is_bit_for_bit);
    tcase_add_test(cases, terminate_saves_and_says_how_to_go_on);
    tcase_add_test(cases, signals_are_handled_by_no_computing_thread);
    tcase_add_test(cases, a_reader_that_ends_does_not_lose_the_training);
    tcase_add_test(cases, a_new_training_keeps_the_old_checkpoint);
    tcase_add_test(cases, a_full_disk_leaves_the_earlier_checkpoint);
    tcase_add_test(cases, a_trace_can_be_replayed);
}

int main(int argc, char **argv)
{
    return run_suite(argc, argv, "cli_harm", add_tests);
}
