/* libFuzzer target: any bytes are parsed without harm, and what parses comes back equal from its print.
 * Build with -Dfuzz=true (clang), then: fuzz_parser -dict=tests/language/words.dict CORPUS tests/language */
#include "tests/parser_check.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    gm_context *context;
    gm_status status;
    if (gm_context_create(NULL, &context) != GM_OK)
        return 0;
    gm_pool *pool = gm_pool_create(context);
    if (pool && check_round_trip(pool, (const char *)data, bytes, &status))
        abort();
    gm_pool_destroy(pool);
    gm_context_destroy(context);
    return 0;
}
