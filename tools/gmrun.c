/* gmrun: the command line of gmodel. This file finds the command; each command has a file of its own. */
#include <stdio.h>
#include <string.h>

#include "tools/gmrun.h"

static const command *const commands[] = {
    &command_train,   &command_eval,   &command_sample,  &command_run, &command_inspect, &command_check,
    &command_convert, &command_export, &command_weights, &command_ops, &command_bench,
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void print_help(void)
{
    printf("gmrun: train and run models declared in a .gmodel file\n\n");
    for (size_t i = 0; i < COMMANDS; i++)
        printf("  gmrun %-8s %s\n", commands[i]->name, commands[i]->summary);
    printf("\n`gmrun COMMAND --help` explains one command; `gmrun --version` prints the version.\n"
           "Exit status: 0 done, 1 failed while working, 2 wrong usage or model file.\n");
}

static int unknown_command(const char *word)
{
    const char *names[COMMANDS + 2];
    for (size_t i = 0; i < COMMANDS; i++)
        names[i] = commands[i]->name;
    names[COMMANDS] = "--help";
    names[COMMANDS + 1] = "--version";
    const char *near = nearest(word, names, COMMANDS + 2);
    const char *kind = word[0] == '-' ? "option" : "command";
    if (near)
        error_line("unknown %s '%s'; did you mean '%s'?", kind, word, near);
    else
        error_line("unknown %s '%s'; `gmrun --help` lists what there is", kind, word);
    return EXIT_USAGE;
}

static int run_word(int argc, char **argv)
{
    if (argc < 2) {
        error_line("which command? `gmrun --help` lists them");
        return EXIT_USAGE;
    }
    const char *word = argv[1];
    if (!strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "help")) {
        print_help();
        return EXIT_DONE;
    }
    if (!strcmp(word, "--version") || !strcmp(word, "-V")) {
        printf("gmrun %s, %s\n", gm_version(), gm_compute_version());
        return EXIT_DONE;
    }
    for (size_t i = 0; i < COMMANDS; i++)
        if (!strcmp(word, commands[i]->name))
            return commands[i]->run(commands[i], argc - 1, argv + 1);
    return unknown_command(word);
}

int main(int argc, char **argv)
{
    int status = run_word(argc, argv);
    if (fflush(stdout) || ferror(stdout)) {
        error_line("standard output could not be written");
        return EXIT_FAILED;
    }
    return status;
}
