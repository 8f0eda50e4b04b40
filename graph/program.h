/* A compiled .gmodel: what the runtime works from. Made by gm_program_compile (graph/elaborate.c) from text. */
#ifndef GM_GRAPH_PROGRAM_H
#define GM_GRAPH_PROGRAM_H

#include "graph/ir.h"

#define GM_DEFAULT_OPSET 21 /* of a text that names none */
#define GM_NEWEST_OPSET  28 /* of ONNX 1.23 */

typedef enum gm_initializer_kind {
    GM_INITIALIZE_CONSTANT,         /* `value` in every element */
    GM_INITIALIZE_TENSOR,           /* `tensor` */
    GM_INITIALIZE_UNIFORM,          /* [a, b) */
    GM_INITIALIZE_NORMAL,           /* mean a, deviation b */
    GM_INITIALIZE_TRUNCATED_NORMAL, /* mean a, deviation b, redrawn beyond two deviations */
    GM_INITIALIZE_ORTHOGONAL
} gm_initializer_kind;

/* glorot_uniform and its kin are turned into UNIFORM / NORMAL / TRUNCATED_NORMAL with a, b from the fans. */
typedef struct gm_initializer {
    gm_initializer_kind kind;
    double a, b, value;
    const gm_tensor *tensor;
} gm_initializer;

typedef enum gm_state_kind {
    GM_STATE_PARAMETER,
    GM_STATE_BUFFER,
    GM_STATE_SLOT,   /* of an optimizer: shaped as its parameter */
    GM_STATE_COUNTER /* updates done: int64 scalar */
} gm_state_kind;

typedef struct gm_state_entry {
    /* "generator.h0.Dense.W"; slots "adversarial.generator.h0.Dense.W.m"; "adversarial.generator.t" */
    const char *path;
    gm_state_kind kind;
    const char *network; /* owner of a parameter or buffer */
    uint32_t parameter;  /* SLOT: index of its parameter, whose layout it takes */
    gm_type type;
    int rank;
    int64_t dims[GM_MAX_RANK];
    gm_initializer initializer;
    const char *twin; /* of a copied network: the path whose random first values it has too; NULL: its own */
    gm_location where;
} gm_state_entry;

/* A field of a data declaration: `image : float[1, 28, 28] in [-1, 1]`. */
typedef struct gm_data_field {
    const char *name;
    gm_type type;
    int rank;
    int64_t dims[GM_MAX_RANK];
    bool has_range;
    double low, high;
    gm_location where;
} gm_data_field;

typedef struct gm_data_declaration {
    const char *name;
    const char *source; /* "mnist", "idx", "ring", ... */
    const gm_attribute *attributes;
    size_t attribute_count;
    gm_data_field *fields;
    size_t field_count;
    gm_location where;
} gm_data_declaration;

typedef enum gm_write_format {
    GM_WRITE_BY_SHAPE,
    GM_WRITE_PNG,
    GM_WRITE_SCATTER,
    GM_WRITE_NPY,
    GM_WRITE_TEXT
} gm_write_format;

/* What `report` and `write` name: graph outputs by the same name. */
typedef struct gm_write {
    const char *name;
    gm_write_format format;
} gm_write;

/* One minimize statement of a step, as far as the runtime needs it (gradient norms of traces). */
typedef struct gm_gradient_record {
    uint32_t state;    /* parameter */
    gm_value_id value; /* gradient entering its update, in the step's graph */
} gm_gradient_record;

/* What an `evaluate` tells. The first `mean_count` of an entry's figures are its means, in the order of the outputs of
 * `graph`; the others its results, in the order of the outputs of `results`. */
typedef struct gm_figure {
    const char *name;
    const gm_tensor *names; /* `as words.name`: strings that the numbers stand for; NULL: none */
} gm_figure;

typedef enum gm_entry_kind { GM_ENTRY_NETWORK, GM_ENTRY_STEP, GM_ENTRY_SAMPLE, GM_ENTRY_EVALUATION } gm_entry_kind;

/* A network, step, sample or evaluation. */
typedef struct gm_entry {
    gm_entry_kind kind;
    const char *name;
    gm_location where;
    /* Symbolic, complete: forward, gradients, updates. Inputs: the declared ones (of a step: data fields), then, where
     * used, the float scalars "epoch", "epochs", "iteration". Random draws are nodes. Outputs: a network's outputs; a
     * step's reports; a sample's writes. Assigns: parameters, buffers, slots, counters. */
    gm_graph *graph;
    gm_graph *forward; /* NETWORK: the same in inference mode == graph; training: graph in training mode */
    gm_graph *training;
    gm_graph *undifferentiated; /* STEP: a copy before gradients, for `inspect`; NULL otherwise */
    /* STEP: the first outputs are the reports; behind them stand the losses that are minimized, called "loss.<place of
     * the node that makes it>", so that a run can see that one is no number. */
    size_t report_count;
    const char *data; /* SAMPLE, EVALUATION: `on` set, or NULL */
    gm_write *writes; /* SAMPLE */
    size_t write_count;
    gm_gradient_record *gradients; /* STEP */
    size_t gradient_count;
    /* EVALUATION: `graph` runs on every batch and gives what is averaged; without means it has no outputs. `results` runs
     * once after them, its inputs are means, by name; NULL when there is no result. */
    gm_graph *results;
    gm_figure *figures;
    size_t mean_count, figure_count;
    int64_t draws; /* EVALUATION `over n draws`; 0: not */
} gm_entry;

typedef enum gm_schedule_kind {
    GM_SCHEDULE_STEP,
    GM_SCHEDULE_EVERY_EPOCHS,
    GM_SCHEDULE_EVERY_ITERATIONS,
    GM_SCHEDULE_AT_EPOCHS
} gm_schedule_kind;

typedef struct gm_schedule {
    gm_schedule_kind kind;
    int64_t count;         /* STEP: repeat k; EVERY: n */
    const int64_t *epochs; /* AT_EPOCHS */
    size_t epoch_count;
    const char *name; /* step, sample, evaluation; "checkpoint" */
    bool is_checkpoint;
    bool is_report; /* "report": a row of iterations.csv */
    gm_location where;
} gm_schedule;

typedef struct gm_train {
    const char *const *sets; /* names of data declarations; none: steps without data */
    size_t set_count;
    int64_t batch; /* 0: not given */
    int64_t epochs;
    int64_t iterations; /* `of k iterations`; 0: a pass over the first set */
    gm_schedule *schedule;
    size_t schedule_count;
    gm_location where;
} gm_train;

/* A table of a data set that the text uses: "words.count"; of a loaded file, "FILE:words.count". */
typedef struct gm_table_use {
    const char *name;
    const gm_tensor *tensor; /* GM_STRING: const char *[] */
} gm_table_use;

typedef struct gm_setting {
    const char *name, *value; /* of --set */
} gm_setting;

typedef struct gm_source_file {
    const char *name; /* as written in the checkpoint: the file's own name */
    const char *text;
    size_t bytes;
} gm_source_file;

typedef struct gm_program {
    gm_context *context;
    gm_pool *pool;
    gm_symbols *symbols;
    const char *name;
    uint64_t seed;
    int64_t opset;
    const char *main_network; /* NULL: none */
    gm_state_entry *states;
    size_t state_count, state_capacity;
    gm_entry *entries;
    size_t entry_count;
    gm_data_declaration *data;
    size_t data_count;
    gm_train *trains;
    size_t train_count;
    gm_table_use *tables; /* frozen into checkpoints */
    size_t table_count, table_capacity;
    gm_setting *settings;
    size_t setting_count;
    /* The model's own text first, then what it imports and loads; files of a loaded model are called "FILE:theirs". The
     * prelude is not among them. */
    gm_source_file *sources;
    size_t source_count, source_capacity;
} gm_program;

typedef struct gm_fixed_input {
    const char *name;
    const gm_tensor *tensor; /* lives as long as the program */
} gm_fixed_input;

/* What a compiler is told and asks beyond the text. */
typedef struct gm_program_options {
    const gm_setting *settings;
    size_t setting_count;
    /* Inputs of networks that are no inputs but these constants: their values decide shapes. */
    const gm_fixed_input *fixed;
    size_t fixed_count;
    /* Reads a file that the text names, by its path seen from the model's folder, into `pool`. NULL: there are no files. */
    gm_status (*read)(void *user, gm_pool *pool, const char *path, const char **data_out, size_t *bytes_out);
    /* A table by the name above; `data`: the set that has it (NULL: a loaded file's). *tensor_out stays NULL where there is
     * no such. NULL: there are no tables. */
    gm_status (*table)(void *user, gm_pool *pool, const gm_data_declaration *data, const char *name,
                       const gm_tensor **tensor_out);
    void *user;
    /* The files are the sources of a checkpoint, which has the values of all parameters: a loaded file may be a text. */
    bool stored;
} gm_program_options;

/* Compiles a text. `name` is the path used in messages; options may be NULL. Fails with up to 20 diagnostics in the
 * context's message. The program lives in its own pool. */
gm_status gm_program_compile(gm_context *context, const char *text, size_t bytes, const char *name,
                             const gm_program_options *options, gm_program **program_out);
void gm_program_destroy(gm_program *program);                                                      /* NULL is a no-op */
const gm_entry *gm_program_entry(const gm_program *program, gm_entry_kind kind, const char *name); /* NULL: none */
const gm_data_declaration *gm_program_data(const gm_program *program, const char *name);
int64_t gm_program_state(const gm_program *program, const char *path); /* index or -1 */

#endif
