/* The prelude: layers, losses and metrics in the language itself, held by the library. */
#ifndef GM_MODELS_PRELUDE_H
#define GM_MODELS_PRELUDE_H

#include <stddef.h>

typedef struct gm_prelude_file {
    const char *name; /* "prelude/layers.gmodel", for messages */
    const char *text;
    size_t bytes;
} gm_prelude_file;

extern const gm_prelude_file gm_prelude_files[];
extern const size_t gm_prelude_file_count;

#endif
