/* gmrun ops: the table of operators. */
#include <stdio.h>

#include "tools/gmrun.h"

static const option_line options[] = {{0}};

static int run(const command *self, int argc, char **argv)
{
    const char *value;
    int letter = next_option(self, argc, argv, &value);
    if (letter != OPTION_END)
        return letter == OPTION_HELP ? EXIT_DONE : EXIT_USAGE;
    if (!take_words(self, argc, argv, 0, 0, &value))
        return EXIT_USAGE;
    int result = EXIT_FAILED;
    gm_context *context = open_context(NULL, &result);
    if (!context)
        return result;
    gm_status status = gm_describe_operators(context, write_text, stdout);
    result = status == GM_OK ? EXIT_DONE : report_failure(context, status);
    gm_context_destroy(context);
    return result;
}

const command command_ops = {
    "ops", "", "Prints the operators: gradient, opset and data types of each.", options, run,
};
