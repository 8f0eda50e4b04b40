/* Tables of data sets in the binary .gmodel. */
#include "graph/container.h"

#include <string.h>

#define TABLE_KEY "gmodel.table."
#define WORDS_KEY "gmodel.words."

static const gm_tensor *find(const gm_container *container, const char *key, const char *name)
{
    size_t length = strlen(key);
    for (size_t i = 0; i < container->parameter_count; i++)
        if (strncmp(container->parameters[i].name, key, length) == 0 &&
            strcmp(container->parameters[i].name + length, name) == 0)
            return container->parameters[i].tensor;
    return NULL;
}

/* Bytes with a newline after each word. */
static gm_status split_words(gm_pool *pool, const gm_tensor *bytes, const gm_tensor **tensor_out)
{
    int64_t length = gm_tensor_count(bytes), count = 0;
    char *text = gm_pool_substring(pool, bytes->data, (size_t)length);
    const char **words;
    gm_tensor *tensor = gm_pool_alloc(pool, sizeof *tensor);
    for (int64_t i = 0; text && i < length; i++)
        count += text[i] == '\n';
    words = gm_pool_array(pool, (size_t)count + 1, sizeof *words);
    if (!text || !tensor || !words)
        return GM_ERROR_MEMORY;
    *tensor = (gm_tensor){GM_STRING, 1, {count}, words};
    for (int64_t i = 0, word = 0; word < count; word++) {
        words[word] = text + i;
        while (text[i] != '\n')
            i++;
        text[i++] = '\0';
    }
    *tensor_out = tensor;
    return GM_OK;
}

gm_status gm_table_stored(gm_pool *pool, const gm_container *container, const char *name, const gm_tensor **tensor_out)
{
    const gm_tensor *words = find(container, WORDS_KEY, name);
    const gm_tensor *table = find(container, TABLE_KEY, name);
    if (words && words->type == GM_UINT8)
        return split_words(pool, words, tensor_out);
    if (!table)
        return GM_OK;
    *tensor_out = gm_tensor_copy(pool, table); /* the container may be gone before the model */
    return *tensor_out ? GM_OK : GM_ERROR_MEMORY;
}

gm_status gm_table_store(gm_pool *pool, const gm_table_use *table, gm_named_tensor *named_out)
{
    const gm_tensor *tensor = table->tensor;
    bool words = tensor->type == GM_STRING;
    int64_t count = gm_tensor_count(tensor), bytes = 0;
    gm_tensor *joined;
    unsigned char *at;
    named_out->name = gm_pool_printf(pool, "%s%s", words ? WORDS_KEY : TABLE_KEY, table->name);
    named_out->tensor = tensor;
    if (!named_out->name || !words)
        return named_out->name ? GM_OK : GM_ERROR_MEMORY;
    for (int64_t i = 0; i < count; i++)
        bytes += (int64_t)strlen(((const char *const *)tensor->data)[i]) + 1;
    joined = gm_tensor_create(pool, GM_UINT8, 1, &bytes);
    if (!joined)
        return GM_ERROR_MEMORY;
    at = joined->data;
    for (int64_t i = 0; i < count; i++) {
        const char *word = ((const char *const *)tensor->data)[i];
        size_t length = strlen(word);
        memcpy(at, word, length);
        at[length] = '\n';
        at += length + 1;
    }
    named_out->tensor = joined;
    return GM_OK;
}
