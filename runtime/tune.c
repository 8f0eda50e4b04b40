/* The choices of a tuner: what they are remembered by, and their file. See runtime/tune.h; tune_measure.c measures. */
#include "runtime/tune.h"

#include "graph/operator.h"
#include "runtime/file.h"
#include "runtime/tune_measure.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define KIND_LINE "gmodel tuning "
#define HEAD_LINE KIND_LINE "1"

enum { MAX_FILE_BYTES = 16 << 20 };

typedef struct gm_choice {
    const char *key;  /* the instruction */
    const char *name; /* of the formulation; NULL: forgotten */
} gm_choice;

typedef struct choice_list {
    gm_choice *items;
    size_t count, capacity;
} choice_list;

struct gm_tuner {
    gm_context *context;
    gm_pool *pool;
    pthread_mutex_t mutex; /* guards what follows */
    const char *path, *machine;
    choice_list choices;
    size_t measured;
    bool fresh;     /* the file lacks something, or is to be replaced */
    bool read_only; /* nothing is to be written there */
};

/* --- Choices -------------------------------------------------------------------------------------------------------------- */

static gm_choice *find(const choice_list *list, const char *key)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].key, key) == 0)
            return &list->items[i];
    return NULL;
}

/* The strings are copied into the pool. */
static gm_status add(gm_pool *pool, choice_list *list, const char *key, const char *name)
{
    gm_choice *choice = find(list, key);
    const char *kept = gm_pool_string(pool, name);
    if (!kept)
        return GM_ERROR_MEMORY;
    if (!choice) {
        const char *kept_key = gm_pool_string(pool, key);
        if (!kept_key ||
            !gm_pool_grow(pool, (void **)&list->items, &list->capacity, list->count + 1, sizeof *list->items))
            return GM_ERROR_MEMORY;
        choice = &list->items[list->count++];
        choice->key = kept_key;
    }
    choice->name = kept;
    return GM_OK;
}

static void put_attribute(gm_text *text, const gm_attribute *attribute)
{
    gm_text_add(text, " %s", attribute->name);
    switch (attribute->kind) {
    case GM_ATTRIBUTE_INT:
        gm_text_add(text, " %lld", (long long)attribute->i);
        break;
    case GM_ATTRIBUTE_FLOAT:
        gm_text_add(text, " %.9g", attribute->f);
        break;
    case GM_ATTRIBUTE_STRING:
        gm_text_add(text, " %s", attribute->s);
        break;
    case GM_ATTRIBUTE_INTS:
        for (size_t i = 0; i < attribute->count; i++)
            gm_text_add(text, "%c%lld", i ? ',' : ' ', (long long)attribute->ints[i]);
        break;
    case GM_ATTRIBUTE_FLOATS:
        for (size_t i = 0; i < attribute->count; i++)
            gm_text_add(text, "%c%.9g", i ? ',' : ' ', attribute->floats[i]);
        break;
    default: /* no operator decides by others how it computes */
        break;
    }
}

/* All that the speed of an instruction depends on, in one line. */
static void put_key(gm_text *text, const gm_lower *lower)
{
    const gm_node *node = lower->node;
    char shape[256];
    gm_text_add(text, "%s%s%s threads %d", node->op->domain, node->op->domain[0] ? "." : "", node->op->name,
                lower->threads);
    if (lower->direct)
        gm_text_add(text, " direct");
    for (size_t i = 0; i < node->input_count; i++)
        if (node->inputs[i])
            gm_text_add(text, " %s %s", gm_shape_text(lower->graph, node->inputs[i], shape, sizeof shape),
                        gm_layout_name(lower->in_layout[i]));
        else
            gm_text_add(text, " -");
    gm_text_add(text, " ->");
    for (size_t i = 0; i < node->output_count; i++)
        gm_text_add(text, " %s",
                    lower->out_wanted[i] ? gm_shape_text(lower->graph, node->outputs[i], shape, sizeof shape) : "-");
    for (size_t i = 0; i < node->attribute_count; i++)
        put_attribute(text, &node->attributes[i]);
    for (size_t i = 0; i < text->length; i++)
        if ((unsigned char)text->data[i] < ' ') /* in a string of a model file */
            text->data[i] = '?';
}

static int find_formulation(const gm_operator *op, const char *name)
{
    for (int i = 0; op->formulations[i]; i++)
        if (strcmp(op->formulations[i], name) == 0)
            return i;
    return -1;
}

static gm_status choose(gm_tuner *tuner, gm_lower *lower, const char *key, bool again)
{
    const gm_operator *op = lower->node->op;
    gm_choice *choice = find(&tuner->choices, key);
    int formulation = choice && choice->name && !again ? find_formulation(op, choice->name) : -1;
    if (formulation >= 0) {
        lower->formulation = formulation;
        return GM_OK;
    }
    if (choice && choice->name)
        gm_log(tuner->context, "%s: a choice is ignored: %s has no way '%.40s' for these shapes", tuner->path, op->name,
               choice->name);
    if (choice && choice->name) {
        choice->name = NULL;
        tuner->fresh = true;
    }
    formulation = gm_tune_measure(lower);
    lower->formulation = formulation < 0 ? 0 : formulation;
    if (formulation < 0)
        return GM_OK;
    tuner->measured++;
    tuner->fresh = true;
    return add(tuner->pool, &tuner->choices, key, op->formulations[formulation]);
}

gm_status gm_tuner_choose(gm_tuner *tuner, gm_lower *lower, bool again)
{
    gm_status status = GM_ERROR_MEMORY;
    gm_text key;
    gm_text_init(&key, tuner->context);
    put_key(&key, lower);
    if (!key.failed) {
        pthread_mutex_lock(&tuner->mutex);
        status = choose(tuner, lower, key.data, again);
        pthread_mutex_unlock(&tuner->mutex);
    }
    gm_text_destroy(&key);
    return status;
}

size_t gm_tuner_measured(gm_tuner *tuner)
{
    size_t measured;
    pthread_mutex_lock(&tuner->mutex);
    measured = tuner->measured;
    pthread_mutex_unlock(&tuner->mutex);
    return measured;
}

/* --- The file: reading ------------------------------------------------------------------------------------------------- */

typedef struct reader {
    gm_tuner *tuner;
    gm_pool *pool; /* of the list */
    choice_list list;
    bool foreign;  /* never was a file of choices */
    char why[256]; /* it is not used; "": it is, or there is none */
} reader;

/* The next line of *text without its end, or NULL where the last line is not ended. */
static char *next_line(char **text)
{
    char *line = *text, *end = strchr(line, '\n');
    if (!end)
        return NULL;
    *end = 0;
    *text = end + 1;
    return line;
}

/* "NAME KEY" lines up to "end COUNT", behind which there is nothing. */
static gm_status read_choices(reader *r, char *text)
{
    char *line;
    while ((line = next_line(&text))) {
        char *key = strchr(line, ' ');
        char last[32];
        snprintf(last, sizeof last, "end %zu", r->list.count);
        if (strcmp(line, last) == 0 && !*text)
            return GM_OK;
        if (!key || key == line || strncmp(line, "end ", 4) == 0 || find(&r->list, key + 1))
            break;
        *key = 0;
        GM_TRY(add(r->pool, &r->list, key + 1, line));
    }
    snprintf(r->why, sizeof r->why, "it is cut or damaged behind choice %zu", r->list.count);
    return GM_OK;
}

static gm_status read_text(reader *r, char *text, size_t bytes)
{
    const char *machine = r->tuner->machine;
    char *head, *found;
    r->foreign = bytes && strncmp(text, KIND_LINE, strlen(KIND_LINE)) != 0;
    if (strlen(text) != bytes || r->foreign) {
        snprintf(r->why, sizeof r->why, "it is no file of measured choices");
        return GM_OK;
    }
    head = next_line(&text);
    found = head ? next_line(&text) : NULL;
    if (!found)
        snprintf(r->why, sizeof r->why, "it is cut in its first lines");
    else if (strcmp(head, HEAD_LINE) != 0)
        snprintf(r->why, sizeof r->why, "it begins with '%.40s', expected '%s'", head, HEAD_LINE);
    else if (strncmp(found, "machine ", 8) != 0 || strcmp(found + 8, machine) != 0)
        snprintf(r->why, sizeof r->why, "it is of another machine or library, '%.90s', this is '%.90s'", found,
                 machine);
    else
        return read_choices(r, text);
    return GM_OK;
}

/* Fills r->list, or r->why. Fails for want of memory only. */
static gm_status read_file(reader *r)
{
    gm_context *context = r->tuner->context;
    struct stat status;
    char *data = NULL;
    size_t bytes = 0;
    gm_status result;
    if (stat(r->tuner->path, &status) != 0) {
        r->foreign = errno != ENOENT;
        if (r->foreign)
            snprintf(r->why, sizeof r->why, "%s", strerror(errno));
        return GM_OK;
    }
    if (!S_ISREG(status.st_mode) || status.st_size > MAX_FILE_BYTES) {
        r->foreign = true;
        snprintf(r->why, sizeof r->why, "%s",
                 S_ISDIR(status.st_mode)   ? "it is a directory"
                 : S_ISREG(status.st_mode) ? "it is too large for measured choices"
                                           : "it is no regular file");
        return GM_OK;
    }
    result = gm_read_file(context, r->tuner->path, &data, &bytes);
    if (result == GM_ERROR_FILE) {
        snprintf(r->why, sizeof r->why, "it cannot be read");
        gm_clear_message(context);
        return GM_OK;
    }
    if (result == GM_OK)
        result = read_text(r, data, bytes);
    gm_free(context, data);
    if (r->why[0])
        r->list.count = 0;
    return result;
}

/* --- The file: writing ------------------------------------------------------------------------------------------------- */

/* Choices that other processes have added since. Those of this one stay: its plans are made with them. */
static void merge(gm_tuner *tuner)
{
    reader r = {.tuner = tuner, .pool = tuner->pool};
    gm_status status = read_file(&r);
    for (size_t i = 0; status == GM_OK && i < r.list.count; i++)
        if (!find(&tuner->choices, r.list.items[i].key))
            status = add(tuner->pool, &tuner->choices, r.list.items[i].key, r.list.items[i].name);
}

static gm_status write_file(gm_tuner *tuner)
{
    size_t count = 0;
    gm_text text;
    gm_status status;
    gm_text_init(&text, tuner->context);
    gm_text_add(&text, "%s\nmachine %s\n", HEAD_LINE, tuner->machine);
    for (size_t i = 0; i < tuner->choices.count; i++)
        if (tuner->choices.items[i].name) {
            gm_text_add(&text, "%s %s\n", tuner->choices.items[i].name, tuner->choices.items[i].key);
            count++;
        }
    gm_text_add(&text, "end %zu\n", count);
    status = text.failed ? GM_ERROR_MEMORY : gm_file_replace(tuner->context, tuner->path, text.data, text.length);
    gm_text_destroy(&text);
    return status;
}

void gm_tuner_keep(gm_tuner *tuner)
{
    pthread_mutex_lock(&tuner->mutex);
    if (tuner->fresh && !tuner->read_only) {
        gm_status status;
        merge(tuner);
        status = write_file(tuner);
        if (status != GM_OK && status != GM_ERROR_MEMORY) {
            gm_log(tuner->context, "measured choices are not kept: %s", gm_context_message(tuner->context));
            tuner->read_only = true;
        }
        tuner->fresh = status != GM_OK; /* without memory now, it may be written after the next plan */
        gm_clear_message(tuner->context);
    }
    pthread_mutex_unlock(&tuner->mutex);
}

/* --- Life -------------------------------------------------------------------------------------------------------------- */

static gm_status start(gm_tuner *tuner, const char *path)
{
    char processor[160];
    reader r = {.tuner = tuner, .pool = tuner->pool};
    gm_tune_processor(processor, sizeof processor);
    tuner->path = gm_pool_string(tuner->pool, path);
    tuner->machine = gm_pool_printf(tuner->pool, "gmodel %s; %s; %s", gm_version(), gm_compute_version(), processor);
    if (!tuner->path || !tuner->machine)
        return GM_ERROR_MEMORY;
    GM_TRY(read_file(&r));
    tuner->choices = r.list;
    tuner->read_only = r.foreign;
    tuner->fresh = r.why[0];
    if (r.why[0])
        gm_log(tuner->context, "%s: not used for tuning: %s; %s", path, r.why,
               r.foreign ? "it is left as it is, and choices are not kept" : "it will be replaced");
    return GM_OK;
}

gm_status gm_tuner_create(gm_context *context, const char *path, gm_tuner **tuner_out)
{
    gm_pool *pool = gm_pool_create(context);
    gm_tuner *tuner = pool ? gm_pool_alloc(pool, sizeof *tuner) : NULL;
    gm_status status = GM_ERROR_MEMORY;
    if (tuner && pthread_mutex_init(&tuner->mutex, NULL) == 0) {
        tuner->context = context;
        tuner->pool = pool;
        status = start(tuner, path);
        if (status == GM_OK) {
            *tuner_out = tuner;
            return GM_OK;
        }
        pthread_mutex_destroy(&tuner->mutex);
    }
    gm_pool_destroy(pool);
    return status;
}

void gm_tuner_destroy(gm_tuner *tuner)
{
    if (!tuner)
        return;
    pthread_mutex_destroy(&tuner->mutex);
    gm_pool_destroy(tuner->pool);
}
