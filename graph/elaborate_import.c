/* Elaboration: the files that a text names. `import` merges declarations of another text before anything is given
 * meaning; what is read here is kept among the program's sources, so that a checkpoint needs no other file. */
#include "graph/container.h"
#include "graph/elaborate.h"

#include <string.h>

/* --- Reading --- */

/* The part of a path before its last slash, the slash included. */
static const char *folder_of(elaborator *e, const char *path)
{
    const char *slash = strrchr(path, '/');
    return gm_pool_substring(e->pool, path, slash ? (size_t)(slash + 1 - path) : 0);
}

/* A path as written in the file `from`, seen from the model's folder. */
static const char *seen_from_model(elaborator *e, const char *from, const char *path)
{
    const char *folder = path[0] == '/' ? "" : folder_of(e, from);
    return folder ? gm_pool_printf(e->pool, "%s%s", folder, path) : NULL;
}

/* The name of a source in the program: files of a loaded model are called after it. */
const char *el_source_name(elaborator *e, const char *path)
{
    return e->prefix ? gm_pool_printf(e->pool, "%s%s", e->prefix, path) : path;
}

static const gm_source_file *find_source(const gm_source_file *sources, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(sources[i].name, name) == 0)
            return &sources[i];
    return NULL;
}

bool el_add_source(elaborator *e, const char *path, const char *text, size_t bytes)
{
    gm_program *program = e->program;
    const char *name = el_source_name(e, path);
    if (!name)
        return el_out_of_memory(e), false;
    if (find_source(program->sources, program->source_count, name))
        return true;
    if (!gm_pool_grow(e->pool, (void **)&program->sources, &program->source_capacity, program->source_count + 1,
                      sizeof *program->sources))
        return el_out_of_memory(e), false;
    program->sources[program->source_count] = (gm_source_file){name, gm_pool_substring(e->pool, text, bytes), bytes};
    if (!program->sources[program->source_count].text)
        return el_out_of_memory(e), false;
    program->source_count++;
    return true;
}

void el_tell_failure(elaborator *e, const gm_report *before, gm_status status, gm_location where)
{
    char *why = gm_pool_string(e->pool, gm_context_message(e->context));
    *gm_report_of(e->context) = *before;
    if (status == GM_ERROR_MEMORY || !why)
        el_out_of_memory(e);
    else
        el_error(e, where, "%s", why);
}

bool el_read_file(elaborator *e, const char *path, gm_location where, const char **data_out, size_t *bytes_out)
{
    gm_report *before = gm_pool_copy(e->pool, gm_report_of(e->context), sizeof *before);
    const gm_program_options *options = e->options;
    const char *name = el_source_name(e, path);
    gm_status status;
    if (!before || !name)
        return el_out_of_memory(e), false;
    if (e->container) {
        const gm_source_file *source = find_source(e->container->sources, e->container->source_count, path);
        if (!source)
            return el_error(e, where, "the loaded model does not contain the file '%s' that it imports", path), false;
        *data_out = source->text;
        *bytes_out = source->bytes;
        return true;
    }
    if (!options || !options->read)
        return el_error(e, where, "'%s' cannot be read: this model was given without its files", path), false;
    status = options->read(options->user, e->pool, name, data_out, bytes_out);
    if (status != GM_OK)
        el_tell_failure(e, before, status, where);
    return status == GM_OK;
}

bool el_decode(elaborator *e, const char *path, const char *data, size_t bytes, gm_location where,
               gm_container **container_out)
{
    gm_report *before = gm_pool_copy(e->pool, gm_report_of(e->context), sizeof *before);
    gm_status status;
    if (!before)
        return el_out_of_memory(e), false;
    status = gm_container_decode(e->pool, data, bytes, path, container_out);
    if (status != GM_OK)
        el_tell_failure(e, before, status, where);
    return status == GM_OK;
}

gm_ast_file *el_parse(elaborator *e, const char *path, const char *text, size_t bytes)
{
    gm_ast_file *file = NULL;
    int before = gm_report_of(e->context)->diagnostics, after;
    gm_status status = gm_parse(e->pool, text, bytes, path, &file);
    if (status == GM_ERROR_MEMORY)
        return el_out_of_memory(e), NULL;
    if (status != GM_OK) {
        after = gm_report_of(e->context)->diagnostics;
        e->errors += after > before ? after - before : 1;
        return NULL;
    }
    if (file->onnx)
        return el_error(e, (gm_location){file->name, 1, 1},
                        "a text of a plain ONNX graph; models of the language begin with `model`"),
               NULL;
    return file;
}

/* --- Merging --- */

/* Declarations of one room cannot share a name; TRAIN and MODEL stand as a whole. */
typedef enum room { ROOM_CONST, ROOM_OPTIMIZER, ROOM_DATA, ROOM_CALL, ROOM_STEP, ROOM_SHOWN, ROOM_WHOLE } room;

static room room_of(gm_ast_declaration_kind kind)
{
    static const room rooms[] = {
        [GM_AST_MODEL] = ROOM_WHOLE,         [GM_AST_IMPORT] = ROOM_WHOLE,  [GM_AST_CONST] = ROOM_CONST,
        [GM_AST_OPTIMIZER] = ROOM_OPTIMIZER, [GM_AST_DATA_SET] = ROOM_DATA, [GM_AST_NETWORK] = ROOM_CALL,
        [GM_AST_FUNCTION] = ROOM_CALL,       [GM_AST_STEP] = ROOM_STEP,     [GM_AST_SAMPLE] = ROOM_SHOWN,
        [GM_AST_EVALUATE] = ROOM_SHOWN,      [GM_AST_TRAIN] = ROOM_WHOLE};
    return rooms[kind];
}

typedef struct declarations {
    gm_ast_declaration *list;
    size_t count, capacity;
} declarations;

static bool add(elaborator *e, declarations *to, const gm_ast_declaration *declaration)
{
    if (!gm_pool_grow(e->pool, (void **)&to->list, &to->capacity, to->count + 1, sizeof *to->list))
        return el_out_of_memory(e), false;
    to->list[to->count++] = *declaration;
    return true;
}

static void drop_name(gm_ast_declaration *declaration, size_t index)
{
    for (size_t i = index; i + 1 < declaration->name_count; i++) {
        declaration->names[i] = declaration->names[i + 1];
        if (declaration->kind == GM_AST_CONST)
            declaration->values[i] = declaration->values[i + 1];
    }
    declaration->name_count--;
    if (declaration->kind == GM_AST_CONST)
        declaration->value_count--;
}

/* The trees are changed in place, so their arrays must be this merge's own. */
static bool own_arrays(elaborator *e, gm_ast_declaration *declaration)
{
    declaration->names =
        gm_pool_copy(e->pool, declaration->names, declaration->name_count * sizeof *declaration->names);
    if (declaration->kind == GM_AST_CONST)
        declaration->values =
            gm_pool_copy(e->pool, declaration->values, declaration->value_count * sizeof *declaration->values);
    if (declaration->names && (declaration->kind != GM_AST_CONST || declaration->values))
        return true;
    return el_out_of_memory(e), false;
}

/* One name of `own` against what was imported: a const takes the place of the old one, which others may be computed from;
 * anything else drives the old one out. */
static void replace_name(declarations *imported, gm_ast_declaration *own, size_t *index)
{
    for (size_t i = 0; i < imported->count; i++) {
        gm_ast_declaration *old = &imported->list[i];
        for (size_t k = 0; k < old->name_count && room_of(old->kind) == room_of(own->kind); k++) {
            if (strcmp(old->names[k], own->names[*index]) != 0)
                continue;
            if (own->kind == GM_AST_CONST) {
                old->values[k] = own->values[*index];
                drop_name(own, (*index)--);
                return;
            }
            drop_name(old, k--);
        }
    }
}

static bool has_kind(const gm_ast_file *file, gm_ast_declaration_kind kind)
{
    for (size_t i = 0; i < file->declaration_count; i++)
        if (file->declarations[i].kind == kind)
            return true;
    return false;
}

/* Whether an imported declaration still counts beside those of the importing file. */
static bool is_kept(const gm_ast_declaration *imported, const gm_ast_file *own)
{
    if (room_of(imported->kind) == ROOM_WHOLE)
        return !has_kind(own, imported->kind);
    return imported->name_count > 0;
}

typedef struct import_chain { /* files that are being imported, innermost first */
    const struct import_chain *outer;
    const char *path;
    el_names *done; /* files of this merge that were imported, which are not imported again */
} import_chain;

static gm_ast_file *merge(elaborator *e, gm_ast_file *file, const char *path, const import_chain *outer,
                          el_names *done);

static gm_ast_file *imported_file(elaborator *e, const gm_ast_declaration *declaration, const char *path,
                                  const import_chain *chain)
{
    const char *data, *shown;
    size_t bytes;
    gm_ast_file *file;
    for (const import_chain *at = chain; at; at = at->outer)
        if (strcmp(at->path, path) == 0) {
            el_error(e, declaration->where, "'%s' imports itself%s", path, at == chain ? "" : ", through others");
            return NULL;
        }
    if (!el_read_file(e, path, declaration->where, &data, &bytes))
        return NULL;
    if (gm_encoding_of(data, bytes) == GM_ENCODING_BINARY) {
        el_error(e, declaration->where, "'%s' is a binary model; import takes a text, `load` takes a trained network",
                 path);
        return NULL;
    }
    shown = e->prefix || path[0] == '/' ? el_source_name(e, path) : seen_from_model(e, e->main_path, path);
    if (!shown || !el_add_source(e, path, data, bytes))
        return NULL;
    file = el_parse(e, shown, data, bytes);
    return file ? merge(e, file, path, chain, chain->done) : NULL;
}

static bool in_chain(const import_chain *chain, const char *path)
{
    for (; chain; chain = chain->outer)
        if (strcmp(chain->path, path) == 0)
            return true;
    return false;
}

/* The declarations of what `file` imports, then its own, as far as they are not moved into the place of imported ones. */
static gm_ast_file *merge(elaborator *e, gm_ast_file *file, const char *path, const import_chain *outer, el_names *done)
{
    import_chain chain = {outer, path, done};
    declarations imported = {0}, all = {0};
    gm_ast_file *merged = gm_pool_copy(e->pool, file, sizeof *file);
    if (!merged)
        return el_out_of_memory(e), NULL;
    for (size_t i = 0; i < file->declaration_count; i++) {
        const gm_ast_declaration *declaration = &file->declarations[i];
        const char *wanted = declaration->kind == GM_AST_IMPORT ? seen_from_model(e, path, declaration->text) : NULL;
        gm_ast_file *other;
        if (!wanted || (el_find(done, wanted) && !in_chain(&chain, wanted)))
            continue;
        if (!el_find(done, wanted) && !el_define(e, done, wanted, el_string(wanted), declaration->where))
            return NULL;
        other = imported_file(e, declaration, wanted, &chain);
        e->incomplete = e->incomplete || !other;
        for (size_t k = 0; other && k < other->declaration_count; k++)
            if (!add(e, &imported, &other->declarations[k]) || !own_arrays(e, &imported.list[imported.count - 1]))
                return NULL;
    }
    for (size_t i = 0; i < file->declaration_count; i++) {
        gm_ast_declaration own = file->declarations[i];
        if (own.kind == GM_AST_IMPORT || !own_arrays(e, &own))
            continue;
        for (size_t k = 0; k < own.name_count && room_of(own.kind) != ROOM_WHOLE; k++)
            replace_name(&imported, &own, &k);
        if ((own.name_count || room_of(own.kind) == ROOM_WHOLE) && !add(e, &all, &own))
            return NULL;
    }
    merged->declarations = gm_pool_array(e->pool, imported.count + all.count + 1, sizeof *merged->declarations);
    merged->declaration_count = 0;
    if (!merged->declarations)
        return el_out_of_memory(e), NULL;
    for (size_t i = 0; i < imported.count; i++)
        if (is_kept(&imported.list[i], file))
            merged->declarations[merged->declaration_count++] = imported.list[i];
    for (size_t i = 0; i < all.count; i++)
        merged->declarations[merged->declaration_count++] = all.list[i];
    return merged;
}

gm_ast_file *el_with_imports(elaborator *e, gm_ast_file *file, const char *path)
{
    el_names done = {0};
    return has_kind(file, GM_AST_IMPORT) ? merge(e, file, path, NULL, &done) : file;
}
