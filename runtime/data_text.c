/* Text as pairs of words that stand near each other (Mikolov et al. 2013, "Distributed representations of words and
 * phrases and their compositionality"): fields center and context : int64, tables of the vocabulary and its Huffman tree. */
#include "runtime/data_source.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "ops/philox.h"

enum { WORD_BYTES = 64, PIECE = 1 << 20 };

typedef struct word {
    const char *name;
    int64_t count;
    int32_t id; /* by frequency; -1: too rare */
} word;

typedef struct corpus {
    gm_data_request *request;
    const char *source; /* for messages */
    word *words;        /* in the order of first sight, until they are ranked */
    size_t word_count, word_capacity;
    uint32_t *slots; /* hash table of word + 1; a power of two */
    size_t slot_count;
    int32_t *tokens;
    size_t token_count, token_capacity;
} corpus;

/* --- Memory that grows, from the context --- */

static bool grow(gm_context *context, void **items, size_t *capacity, size_t needed, size_t item_bytes)
{
    size_t wanted = *capacity ? *capacity : 1024;
    void *bigger;
    if (needed <= *capacity)
        return true;
    while (wanted < needed)
        wanted *= 2;
    bigger = gm_alloc_array(context, wanted, item_bytes);
    if (!bigger)
        return false;
    if (*capacity)
        memcpy(bigger, *items, *capacity * item_bytes);
    gm_free(context, *items);
    *items = bigger;
    *capacity = wanted;
    return true;
}

/* --- Words --- */

static bool more_slots(corpus *c)
{
    size_t count = c->slot_count ? c->slot_count * 2 : 4096;
    uint32_t *slots = gm_alloc_array(c->request->context, count, sizeof *slots);
    if (!slots)
        return false;
    for (size_t i = 0; i < c->word_count; i++) {
        size_t at = gm_hash64(c->words[i].name) & (count - 1);
        while (slots[at])
            at = (at + 1) & (count - 1);
        slots[at] = (uint32_t)i + 1;
    }
    gm_free(c->request->context, c->slots);
    c->slots = slots;
    c->slot_count = count;
    return true;
}

/* Index of a word, which is new or was seen; -1: no memory. */
static int64_t word_index(corpus *c, const char *name)
{
    size_t at;
    if (2 * (c->word_count + 1) > c->slot_count && !more_slots(c))
        return -1;
    at = gm_hash64(name) & (c->slot_count - 1);
    while (c->slots[at] && strcmp(c->words[c->slots[at] - 1].name, name) != 0)
        at = (at + 1) & (c->slot_count - 1);
    if (c->slots[at])
        return (int64_t)c->slots[at] - 1;
    if (!grow(c->request->context, (void **)&c->words, &c->word_capacity, c->word_count + 1, sizeof *c->words))
        return -1;
    c->words[c->word_count] = (word){.name = gm_pool_string(c->request->pool, name)};
    if (!c->words[c->word_count].name)
        return -1;
    c->slots[at] = (uint32_t)++c->word_count;
    return (int64_t)c->word_count - 1;
}

static gm_status add_token(corpus *c, const char *name)
{
    int64_t index = word_index(c, name);
    if (index < 0 ||
        !grow(c->request->context, (void **)&c->tokens, &c->token_capacity, c->token_count + 1, sizeof *c->tokens))
        return GM_ERROR_MEMORY;
    c->words[index].count++;
    c->tokens[c->token_count++] = (int32_t)index;
    return GM_OK;
}

/* --- Reading --- */

typedef struct tokenizer {
    char word[WORD_BYTES];
    size_t length;
    bool apostrophe; /* behind the letters so far: it counts when a letter follows */
    uint64_t offset;
} tokenizer;

static gm_status end_word(corpus *c, tokenizer *t)
{
    gm_status status = GM_OK;
    t->word[t->length] = '\0';
    if (t->length)
        status = add_token(c, t->word);
    t->length = 0;
    t->apostrophe = false;
    return status;
}

/* Letters (a byte above 127 is part of one) make words, in lower case; an apostrophe stands only between letters. */
static gm_status add_byte(corpus *c, tokenizer *t, unsigned char byte)
{
    bool upper = byte >= 'A' && byte <= 'Z', letter = upper || (byte >= 'a' && byte <= 'z') || byte >= 128;
    if (byte < 32 && (byte < '\t' || byte > '\r') && byte != 27)
        return gm_fail(c->request->context, GM_ERROR_DATA, "%s: byte %llu: found 0x%02x, this is no text", c->source,
                       (unsigned long long)t->offset, byte);
    t->offset++;
    if (letter) {
        if (t->apostrophe && t->length + 1 < WORD_BYTES)
            t->word[t->length++] = '\'';
        t->apostrophe = false;
        if (t->length + 1 < WORD_BYTES)
            t->word[t->length++] = (char)(upper ? byte + 32 : byte);
        return GM_OK;
    }
    if (byte == '\'' && t->length && !t->apostrophe) {
        t->apostrophe = true;
        return GM_OK;
    }
    return end_word(c, t);
}

static gm_status add_bytes(corpus *c, tokenizer *t, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        GM_TRY(add_byte(c, t, (unsigned char)bytes[i]));
    return GM_OK;
}

static gm_status read_stream(corpus *c, gzFile stream, char *buffer)
{
    tokenizer t = {.length = 0};
    int done, error = Z_OK;
    while ((done = gzread(stream, buffer, PIECE)) > 0)
        GM_TRY(add_bytes(c, &t, buffer, (size_t)done));
    const char *text = gzerror(stream, &error);
    if (done < 0 || (error != Z_OK && error != Z_STREAM_END))
        return gm_fail(c->request->context, GM_ERROR_DATA, "%s: byte %llu: cannot be read: %s", c->source,
                       (unsigned long long)t.offset, error == Z_ERRNO ? strerror(errno) : text);
    return end_word(c, &t);
}

/* Plain or compressed by gzip, told by content. */
static gm_status read_file(corpus *c, const char *file)
{
    gm_context *context = c->request->context;
    gzFile stream;
    char *buffer;
    gm_status status;
    GM_TRY(gm_data_find(c->request, file, &c->source));
    stream = gzopen(c->source, "rb");
    if (!stream)
        return gm_fail(context, GM_ERROR_FILE, "%s: cannot be opened: %s", c->source, strerror(errno));
    buffer = gm_alloc(context, PIECE);
    status = buffer ? read_stream(c, stream, buffer) : GM_ERROR_MEMORY;
    gm_free(context, buffer);
    gzclose(stream);
    return status;
}

static gm_status read_text(corpus *c)
{
    const char *file;
    size_t bytes;
    tokenizer t = {.length = 0};
    GM_TRY(gm_data_string(c->request, "file", "", &file));
    if (file[0])
        return read_file(c, file);
    c->source = "the built-in text";
    const char *text = gm_built_in_text(&bytes);
    GM_TRY(add_bytes(c, &t, text, bytes));
    return end_word(c, &t);
}

/* --- Ranks --- */

static int by_count(const void *left, const void *right)
{
    const word *a = *(word *const *)left, *b = *(word *const *)right;
    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    return strcmp(a->name, b->name);
}

/* Gives words their numbers, the most frequent first, and tokens too; *ranked_out lists the words in that order. */
static gm_status rank_words(corpus *c, int64_t least, word ***ranked_out, int64_t *vocabulary_out)
{
    word **ranked = gm_pool_array(c->request->pool, c->word_count + 1, sizeof *ranked);
    size_t kept = 0;
    int64_t vocabulary = 0;
    if (!ranked)
        return GM_ERROR_MEMORY;
    for (size_t i = 0; i < c->word_count; i++)
        ranked[i] = &c->words[i];
    qsort(ranked, c->word_count, sizeof *ranked, by_count);
    for (size_t i = 0; i < c->word_count; i++)
        ranked[i]->id = ranked[i]->count >= least ? (int32_t)vocabulary++ : -1;
    for (size_t i = 0; i < c->token_count; i++) {
        int32_t id = c->words[c->tokens[i]].id;
        if (id >= 0)
            c->tokens[kept++] = id;
    }
    c->token_count = kept;
    if (vocabulary < 2)
        return gm_fail(c->request->context, GM_ERROR_DATA,
                       "%s: has %lld different words that come at least %lld times; two are needed", c->source,
                       (long long)vocabulary, (long long)least);
    *ranked_out = ranked;
    *vocabulary_out = vocabulary;
    return GM_OK;
}

/* Equation 5 of the paper: a word of frequency f is left out with probability 1 - sqrt(t / f). Token i asks uniform number
 * i of its draw. */
static void subsample(corpus *c, word *const *ranked, double t, uint64_t seed)
{
    char name[256] = "data/";
    double total = (double)c->token_count;
    size_t kept = 0;
    strncat(name, c->request->declaration->name, sizeof name - 6);
    uint64_t key = seed ^ gm_hash64(name);
    for (size_t i = 0; i < c->token_count; i++) {
        int32_t id = c->tokens[i];
        if (gm_uniform_at(key, 0, i) < sqrt(t * total / (double)ranked[id]->count))
            c->tokens[kept++] = id;
    }
    c->token_count = kept;
}

/* --- Rows --- */

static gm_status make_pairs(corpus *c, int64_t window, gm_table *table)
{
    int64_t n = (int64_t)c->token_count, rows = 0, row = 0;
    int32_t *center, *context;
    for (int64_t i = 0; i < n; i++)
        rows += (i < window ? i : window) + (n - 1 - i < window ? n - 1 - i : window);
    if (!rows)
        return gm_fail(c->request->context, GM_ERROR_DATA, "%s: subsampling leaves %lld words, which make no pair",
                       c->source, (long long)n);
    GM_TRY(gm_table_columns(c->request, table, 2));
    table->rows = rows;
    table->columns[0] = (gm_column){.name = "center", .type = GM_INT32};
    table->columns[1] = (gm_column){.name = "context", .type = GM_INT32};
    table->columns[0].data = center = gm_alloc_array(c->request->context, (size_t)rows, sizeof *center);
    table->columns[1].data = context = gm_alloc_array(c->request->context, (size_t)rows, sizeof *context);
    if (!center || !context)
        return GM_ERROR_MEMORY;
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = i < window ? 0 : i - window; k < n && k <= i + window; k++) {
            if (k == i)
                continue;
            center[row] = c->tokens[i];
            context[row++] = c->tokens[k];
        }
    return GM_OK;
}

/* --- Tables --- */

/* Inner nodes of the tree are numbered as they are made, the root last: 0 ... v - 2. */
typedef struct huffman {
    int64_t v;
    int64_t *parent; /* per leaf 0 ... v - 1 and inner node v ... 2 v - 2 */
    bool *second;    /* it is its parent's second child: code -1 */
} huffman;

/* The two least of the leaves not taken yet (which stand by falling count) and the inner nodes (made by rising count). */
static gm_status build_tree(gm_pool *pool, word *const *ranked, int64_t v, huffman *tree)
{
    int64_t *count = gm_pool_array(pool, (size_t)(2 * v), sizeof *count), leaf = v - 1, inner = v;
    *tree = (huffman){v, gm_pool_array(pool, (size_t)(2 * v), sizeof *tree->parent),
                      gm_pool_array(pool, (size_t)(2 * v), sizeof *tree->second)};
    if (!count || !tree->parent || !tree->second)
        return GM_ERROR_MEMORY;
    for (int64_t i = 0; i < v; i++)
        count[i] = ranked[i]->count;
    for (int64_t made = v; made < 2 * v - 1; made++) {
        for (int child = 0; child < 2; child++) {
            int64_t least = leaf >= 0 && (inner >= made || count[leaf] <= count[inner]) ? leaf-- : inner++;
            count[made] += count[least];
            tree->parent[least] = made;
            tree->second[least] = child == 1;
        }
    }
    return GM_OK;
}

static int64_t depth_of(const huffman *tree, int64_t leaf)
{
    int64_t depth = 0;
    for (int64_t at = leaf; at != 2 * tree->v - 2; at = tree->parent[at])
        depth++;
    return depth;
}

static gm_status tree_tables(gm_pool *pool, const huffman *tree, gm_tensor **path_out, gm_tensor **code_out)
{
    int64_t deepest = 0;
    for (int64_t i = 0; i < tree->v; i++)
        if (depth_of(tree, i) > deepest)
            deepest = depth_of(tree, i);
    const int64_t dims[2] = {tree->v, deepest};
    *path_out = gm_tensor_create(pool, GM_INT64, 2, dims);
    *code_out = gm_tensor_create(pool, GM_FLOAT, 2, dims);
    if (!*path_out || !*code_out)
        return GM_ERROR_MEMORY;
    for (int64_t i = 0; i < tree->v; i++) {
        int64_t step = depth_of(tree, i);
        for (int64_t at = i; step-- > 0; at = tree->parent[at]) {
            ((int64_t *)(*path_out)->data)[i * deepest + step] = tree->parent[at] - tree->v;
            ((float *)(*code_out)->data)[i * deepest + step] = tree->second[at] ? -1.0f : 1.0f;
        }
    }
    return GM_OK;
}

static gm_status make_tables(const corpus *c, word *const *ranked, int64_t v, gm_table *table)
{
    static const char *const names[] = {"vocabulary", "count", "name", "path", "code"};
    gm_pool *pool = c->request->pool;
    gm_tensor *vocabulary = gm_tensor_create(pool, GM_INT64, 0, NULL), *count = gm_tensor_create(pool, GM_FLOAT, 1, &v);
    gm_tensor *name = gm_pool_alloc(pool, sizeof *name), *path, *code;
    const char **words = gm_pool_array(pool, (size_t)v, sizeof *words);
    huffman tree;
    table->constant_names = gm_pool_copy(pool, names, sizeof names);
    table->constants = gm_pool_array(pool, GM_COUNT(names), sizeof *table->constants);
    if (!vocabulary || !count || !name || !words || !table->constant_names || !table->constants)
        return GM_ERROR_MEMORY;
    GM_TRY(build_tree(pool, ranked, v, &tree));
    GM_TRY(tree_tables(pool, &tree, &path, &code));
    *(int64_t *)vocabulary->data = v;
    for (int64_t i = 0; i < v; i++) {
        ((float *)count->data)[i] = (float)ranked[i]->count;
        words[i] = ranked[i]->name;
    }
    *name = (gm_tensor){GM_STRING, 1, {v}, words};
    const gm_tensor *all[] = {vocabulary, count, name, path, code};
    memcpy(table->constants, all, sizeof all);
    table->constant_count = GM_COUNT(names);
    return GM_OK;
}

static gm_status open_text(corpus *c, gm_table *table)
{
    gm_data_request *request = c->request;
    double window, least, share, seed;
    word **ranked = NULL;
    int64_t vocabulary = 0;
    GM_TRY(gm_data_number(request, "window", 5, 1, 100, &window));
    GM_TRY(gm_data_number(request, "min_count", 1, 1, 1e9, &least));
    GM_TRY(gm_data_number(request, "subsample", 0, 0, 1, &share));
    GM_TRY(gm_data_number(request, "seed", -1, -1, 9e15, &seed));
    GM_TRY(read_text(c));
    GM_TRY(rank_words(c, (int64_t)least, &ranked, &vocabulary));
    GM_TRY(make_tables(c, ranked, vocabulary, table));
    if (share > 0)
        subsample(c, ranked, share, seed >= 0 ? (uint64_t)seed : request->options->seed);
    return make_pairs(c, (int64_t)window, table);
}

gm_status gm_open_text(gm_data_request *request, gm_table *table)
{
    corpus c = {.request = request};
    gm_status status = open_text(&c, table);
    gm_free(request->context, c.words);
    gm_free(request->context, c.slots);
    gm_free(request->context, c.tokens);
    return status;
}
