/* Options structs of callers that were compiled against another version of the library. */
#ifndef GM_RUNTIME_CONTEXT_H
#define GM_RUNTIME_CONTEXT_H

#include "graph/base.h"

/* Every options struct starts with size_t struct_size, the caller's sizeof. `ours` holds the library's struct with its
 * defaults in place; what the caller's struct has of it is copied over. `smallest` is the size of the struct in the
 * first version that had it. given may be NULL: the defaults stay. GM_ERROR_ARGUMENT: struct_size is 0 or too small.
 * `name` stands in the message: "gm_session_options". */
gm_status gm_options_take(gm_context *context, const char *name, const void *given, size_t smallest, void *ours,
                          size_t our_size);
/* For the gm_*_options_default functions: writes at most struct_size bytes of `defaults` and sets the struct_size
 * field. */
void gm_options_give(void *options, size_t struct_size, const void *defaults, size_t our_size);

#endif
