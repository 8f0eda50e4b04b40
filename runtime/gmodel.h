/* gmodel: load, run and train neural networks inside a C program.
 *
 * What is not in this header is not API.
 *
 * Intended use, to run a network:
 *
 *   1. gm_context_create          a context owns allocator, thread count, seed and the message of the last error
 *   2. gm_model_load              a .gmodel, text or binary
 *   3. gm_session_create          plans one network for given shapes; all memory is allocated here
 *   4. gm_session_bind_input      your own buffer, no copy (or write into gm_session_input's buffer)
 *   5. gm_session_run             no allocation
 *   6. gm_session_output          a pointer into the session
 *
 * and to train it:
 *
 *   1. gm_trainer_create          plans every step of the model
 *   2. gm_trainer_run             the whole schedule of the file, or
 *      gm_trainer_step            one step with your own batch, as often as you like
 *   3. gm_trainer_report, gm_trainer_read, gm_trainer_save
 *
 * Rules: every call that can fail returns a gm_status and hands its result out through the last argument, which is left
 * untouched on failure. gm_context_message then says what was wrong, in one line (up to 20 for a model file): where, what
 * was expected, what was found. Destroying NULL does nothing. Objects must be destroyed before what they were created
 * from. Strings returned belong to the object they were asked from. The library never prints, exits or aborts.
 *
 * Threads: a context and a loaded model may be used by several threads at once, each with sessions, trainers and evaluations
 * of its own; one session, trainer or evaluation is used by one thread at a time. A model does not change once it is loaded,
 * except by gm_model_write, which is refused while anything made of it exists, as long as no other thread makes something of
 * it at that moment. gm_context_message is about the calling thread's last failure. The caller's allocator and log are called
 * from all of these threads.
 */
#ifndef GMODEL_H
#define GMODEL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) || defined(__clang__)
#define GM_API __attribute__((visibility("default")))
#else
#define GM_API
#endif

typedef enum gm_status {
    GM_OK = 0,
    GM_ERROR_MEMORY,      /* the allocator returned NULL, or a size does not fit */
    GM_ERROR_ARGUMENT,    /* the caller's arguments: a NULL, an unknown name, a wrong size or shape */
    GM_ERROR_MODEL,       /* the model file: syntax, names, shapes, what cannot be trained */
    GM_ERROR_FILE,        /* a file could not be read or written */
    GM_ERROR_DATA,        /* a data set is missing, damaged or of the wrong shape */
    GM_ERROR_UNSUPPORTED, /* a valid model that asks for what this library does not do */
    GM_ERROR_NUMERIC,     /* a loss is not finite */
    GM_ERROR_INTERRUPTED, /* a callback asked to stop */
    GM_ERROR_INTERNAL     /* a defect of the library */
} gm_status;

/* Element types, numbered as in ONNX (TensorProto.DataType). */
typedef enum gm_type {
    GM_TYPE_UNDEFINED = 0,
    GM_FLOAT = 1,
    GM_UINT8 = 2,
    GM_INT8 = 3,
    GM_UINT16 = 4,
    GM_INT16 = 5,
    GM_INT32 = 6,
    GM_INT64 = 7,
    GM_STRING = 8,
    GM_BOOL = 9,
    GM_FLOAT16 = 10,
    GM_DOUBLE = 11,
    GM_UINT32 = 12,
    GM_UINT64 = 13,
    GM_BFLOAT16 = 16
} gm_type;

typedef struct gm_context gm_context;
typedef struct gm_model gm_model;
typedef struct gm_session gm_session;
typedef struct gm_trainer gm_trainer;
typedef struct gm_evaluation gm_evaluation;

/* A dense row-major array described to the caller. `data` belongs to the object that was asked; it stays valid until that
 * object is destroyed, and its contents until the next run or step. `name` likewise. */
typedef struct gm_tensor_view {
    const char *name;
    gm_type type;
    int rank;
    int64_t dims[8];
    size_t bytes;
    void *data;
} gm_tensor_view;

/* ---- Library ---------------------------------------------------------------------------------------------------- */

GM_API const char *gm_version(void);         /* "0.1.0" */
GM_API int gm_version_number(void);          /* major * 10000 + minor * 100 + patch */
GM_API const char *gm_compute_version(void); /* "oneDNN 2.6.3, avx512" : the library that computes and what it uses */
GM_API const char *gm_status_name(gm_status status);

/* ---- Context ---------------------------------------------------------------------------------------------------- */

typedef struct gm_context_options {
    size_t struct_size; /* sizeof(gm_context_options) of the caller */
    /* Memory: both or neither. `allocate` returns NULL when there is none; 64-byte alignment is not required of it. */
    void *(*allocate)(size_t bytes, void *user);
    void (*release)(void *memory, void *user);
    /* One line of news, without newline; may be NULL. */
    void (*log)(const char *line, void *user);
    void *user;
    int threads; /* 0: one per processor; -1: as many as OpenMP gives the caller's thread now (OMP_NUM_THREADS) */
    /* 1: convolutions by direct methods only. 0: also by transforms (Winograd), which are faster and differ from the exact
     * result by about 5e-6 of its root mean square instead of 1e-6. */
    int direct_math;
    /* A file of measured choices, or NULL. Where an operator can be computed in several ways, planning times each of them
     * once and takes the fastest, which the file then remembers: the next time nothing is measured. It is written when
     * it is not there; one of another machine or library, or a damaged one, is told to the log and replaced; what never
     * was such a file is told and left alone. Sums are rounded differently in different ways. Copied. */
    const char *tune;
} gm_context_options;

GM_API void gm_context_options_default(gm_context_options *options, size_t struct_size);
/* options may be NULL. */
GM_API gm_status gm_context_create(const gm_context_options *options, gm_context **context_out);
GM_API void gm_context_destroy(gm_context *context);
/* What went wrong last in the calling thread, in this context; "" when nothing did. A failure in another context replaces it.
 * Stays until the thread's next call. */
GM_API const char *gm_context_message(const gm_context *context);

/* ---- Model ------------------------------------------------------------------------------------------------------ */

typedef struct gm_model_options {
    size_t struct_size;
    /* "NAME=VALUE" each: replaces a const of the file. Kept only during the call. */
    const char *const *settings;
    size_t setting_count;
    const char *data_directory; /* where data sets are looked for first; may be NULL */
    int has_seed;               /* 1: `seed` replaces the seed of the file */
    uint64_t seed;
    /* Inputs whose values decide shapes (the second one of a Reshape, say): the graph is static, so they are given here, by
     * name, and are no inputs of a session then. Copied. */
    const gm_tensor_view *fixed;
    size_t fixed_count;
    /* 1: of a binary .gmodel the ONNX graph is taken as it stands, and its source is not: for graphs that another tool
     * changed. Only the main network is there then. */
    int adopt;
} gm_model_options;

GM_API void gm_model_options_default(gm_model_options *options, size_t struct_size);
/* A .gmodel, text or binary, or a plain ONNX model, likewise, told by content. A text has freshly initialized parameters.
 * options may be NULL. */
GM_API gm_status gm_model_load(gm_context *context, const char *path, const gm_model_options *options,
                               gm_model **model_out);
/* The same from memory, which is not kept. `name` stands for the path in messages, and relative files are looked for
 * beside it. */
GM_API gm_status gm_model_load_memory(gm_context *context, const void *data, size_t bytes, const char *name,
                                      const gm_model_options *options, gm_model **model_out);
GM_API void gm_model_destroy(gm_model *model);

GM_API const char *gm_model_name(const gm_model *model);

/* What a model declares. Names of one kind are counted from 0 in the order of the file. */
typedef enum gm_part {
    GM_PART_NETWORK,
    GM_PART_STEP,
    GM_PART_SAMPLE,
    GM_PART_DATA,
    GM_PART_TRAIN,
    GM_PART_EVALUATION
} gm_part;
GM_API size_t gm_model_part_count(const gm_model *model, gm_part part);
GM_API const char *gm_model_part_name(const gm_model *model, gm_part part, size_t index); /* NULL: no such index */
GM_API const char *gm_model_main_network(const gm_model *model); /* NULL: the file has no network */

/* What a network or a sample takes and gives (name NULL: the main network). Sizes that are not numbers are -1; `symbols`
 * then has the name by which a session is given them, or NULL where it follows from others. */
typedef struct gm_value_info {
    const char *name;
    gm_type type;
    int rank;
    int64_t dims[8];
    const char *symbols[8];
} gm_value_info;
GM_API size_t gm_model_input_count(const gm_model *model, const char *name); /* 0: there is no such network, too */
GM_API size_t gm_model_output_count(const gm_model *model, const char *name);
GM_API gm_status gm_model_input(const gm_model *model, const char *name, size_t index, gm_value_info *info_out);
GM_API gm_status gm_model_output(const gm_model *model, const char *name, size_t index, gm_value_info *info_out);

/* Parameters (trained) and buffers (running statistics, fixed tensors), by path: "generator.h0.Dense.W". */
typedef struct gm_parameter_info {
    const char *path;
    const char *network;
    int is_buffer;
    gm_type type;
    int rank;
    int64_t dims[8];
} gm_parameter_info;
GM_API size_t gm_model_parameter_count(const gm_model *model);
GM_API gm_status gm_model_parameter_info(const gm_model *model, size_t index, gm_parameter_info *info_out);
/* Copies a parameter out or in, dense row-major, `bytes` must be its size. Writing is not allowed while sessions or
 * trainers of the model exist. */
GM_API gm_status gm_model_read(const gm_model *model, const char *path, void *data, size_t bytes);
GM_API gm_status gm_model_write(gm_model *model, const char *path, const void *data, size_t bytes);

/* The values that black and white stand for in pictures of this model: the declared range of its data, else -1 and 1. */
GM_API void gm_model_picture_range(const gm_model *model, double *low_out, double *high_out);

/* Human-readable text for a person: parameters, a graph after each stage, the memory plan. Lines are handed to `write` as
 * they are made. `what` is "parameters", "graph" or "plan"; name is a network, step or sample (NULL for "parameters");
 * batch binds N (0: the batch of the file). */
GM_API gm_status gm_model_describe(const gm_model *model, const char *what, const char *name, int64_t batch,
                                   void (*write)(const char *text, void *user), void *user);
/* The table of operators, one line each, the same way. */
GM_API gm_status gm_describe_operators(gm_context *context, void (*write)(const char *text, void *user), void *user);

/* Writes a binary .gmodel: whole or not at all. Of a model above 2 GiB the large tensors go into a second file beside it,
 * PATH.data; so do those of checkpoints and exports. */
GM_API gm_status gm_model_save(const gm_model *model, const char *path);
/* The same bytes in memory, which the caller gives back with gm_release. */
GM_API gm_status gm_model_save_memory(const gm_model *model, void **data_out, size_t *bytes_out);

typedef struct gm_weights_options {
    size_t struct_size;
    int partial; /* 1: the tensors are taken that both the file and the model have, and no others */
} gm_weights_options;

GM_API void gm_weights_options_default(gm_weights_options *options, size_t struct_size);
/* Parameters and buffers by path, without the model: into and from one file when `path` ends in .safetensors, else a folder
 * of .npy files (/ and % of a name are %2F and %25 there). Shapes must be equal; floating types are converted. After a failure
 * of loading the model is as it was. Like gm_model_write not while sessions or trainers of the model exist. */
GM_API gm_status gm_model_save_weights(const gm_model *model, const char *path);
GM_API gm_status gm_model_load_weights(gm_model *model, const char *path, const gm_weights_options *options);

/* The four kinds of files that hold a model. */
typedef enum gm_file_kind { GM_FILE_BINARY, GM_FILE_TEXT, GM_FILE_ONNX, GM_FILE_ONNX_TEXT } gm_file_kind;

/* Writes one network (NULL: the main one) for inference, as plain ONNX (GM_FILE_ONNX) or as a binary .gmodel of its own
 * (GM_FILE_BINARY): parameters become initializers by path, functions are inlined, batch normalization is folded into the
 * layer before it, nothing of training is left. */
GM_API gm_status gm_model_export(const gm_model *model, const char *network, const char *path, gm_file_kind kind);

typedef struct gm_convert_options {
    size_t struct_size;
    gm_file_kind kind;   /* what is written */
    const char *network; /* the one that goes from a .gmodel into ONNX; NULL: the main one */
    int adopt;           /* as in gm_model_options */
    const char *const *settings;
    size_t setting_count;
    int external_data; /* 1: tensors of 1 KiB and more go into a second file, TO.data */
} gm_convert_options;

GM_API void gm_convert_options_default(gm_convert_options *options, size_t struct_size);
/* Writes the model of one file into another, whole or not at all. What the new kind cannot hold is told to the log, a line
 * each. Text to binary and back gives the text byte for byte; a kind to itself gives the same bytes. */
GM_API gm_status gm_convert(gm_context *context, const char *from, const char *to, const gm_convert_options *options);

/* ---- Session: run a network or a sample -------------------------------------------------------------------------- */

typedef struct gm_dimension {
    const char *name;
    int64_t size;
} gm_dimension;

typedef struct gm_session_options {
    size_t struct_size;
    int64_t
        batch; /* size of the dimension N, or of the first one of the first input where that has another name; 0: 1 */
    int has_seed; /* 1: `seed` keys random draws, those with a seed of their own included */
    uint64_t seed;
    int reference; /* 1: plain reference kernels instead of oneDNN (slow; for comparison) */
    int training;  /* 1: training mode (batch statistics, dropout); running statistics are not written */
    /* Sizes of named dimensions (gm_model_input tells which there are). Kept only during the call. */
    const gm_dimension *dimensions;
    size_t dimension_count;
    int caller_arena; /* 1: gm_session_bind_arena gives the memory of intermediate values; none is allocated */
} gm_session_options;

GM_API void gm_session_options_default(gm_session_options *options, size_t struct_size);
/* name: a network or a sample; NULL: the main network. options may be NULL. */
GM_API gm_status gm_session_create(const gm_model *model, const char *name, const gm_session_options *options,
                                   gm_session **session_out);
GM_API void gm_session_destroy(gm_session *session);

GM_API size_t gm_session_input_count(const gm_session *session);
GM_API size_t gm_session_output_count(const gm_session *session);
/* The session's own buffer: write the input there, read the output from there. */
GM_API gm_status gm_session_input(const gm_session *session, size_t index, gm_tensor_view *view_out);
GM_API gm_status gm_session_output(const gm_session *session, size_t index, gm_tensor_view *view_out);
/* Lets the session read from or write to the caller's memory, which must be 64-byte aligned, stay valid until the
 * session is destroyed or bound anew, and have view.bytes bytes. NULL goes back to the session's own. */
GM_API gm_status gm_session_bind_input(gm_session *session, const char *name, const void *data, size_t bytes);
GM_API gm_status gm_session_bind_output(gm_session *session, const char *name, void *data, size_t bytes);
GM_API gm_status gm_session_run(gm_session *session);
/* Plans the network for other sizes (as in gm_session_options), or takes the plan that this session had made for them: the
 * last 8 are kept, and share one arena. Views of inputs and outputs are to be asked anew; what was bound is bound no more.
 * After a failure the session is as it was. */
GM_API gm_status gm_session_resize(gm_session *session, int64_t batch, const gm_dimension *dimensions,
                                   size_t dimension_count);
/* The memory of intermediate values, of a session that was made with caller_arena: 64-byte aligned, gm_plan_info.arena_bytes
 * at least, valid until the session is destroyed or bound anew. Sessions that do not run at the same time may share one. */
GM_API gm_status gm_session_bind_arena(gm_session *session, void *memory, size_t bytes);

/* ---- Measurements of a plan, for sessions and steps --------------------------------------------------------------- */

typedef struct gm_plan_info {
    size_t arena_bytes;     /* one block for all intermediate values, scratchpads and workspaces */
    size_t max_alive_bytes; /* the largest sum of sizes alive at one instant: no arena can be smaller */
    size_t state_bytes;     /* parameters, buffers, optimizer slots */
    size_t instructions;
    size_t reorders; /* layout changes among the instructions */
} gm_plan_info;
GM_API gm_status gm_session_plan(const gm_session *session, gm_plan_info *info_out);
/* Milliseconds spent since profiling was switched on, the longest first: per operator, or per instruction of the plan
 * (named by operator, node and the shapes read and written). */
#define GM_PROFILE_OFF          0
#define GM_PROFILE_OPERATORS    1 /* switches on and clears */
#define GM_PROFILE_INSTRUCTIONS 2
typedef struct gm_profile_entry {
    const char *operator_name;
    double milliseconds;
    uint64_t calls;
    double flops; /* floating-point operations that the kernels say they do in all these calls; 0: unknown */
} gm_profile_entry;
GM_API gm_status gm_session_profile(gm_session *session, int on);
GM_API size_t gm_session_profile_count(const gm_session *session);
GM_API gm_status gm_session_profile_entry(const gm_session *session, size_t index, gm_profile_entry *entry_out);

/* ---- Trainer ----------------------------------------------------------------------------------------------------- */

typedef struct gm_trainer_options {
    size_t struct_size;
    int64_t batch;      /* 0: the batch of the file */
    int reference;      /* 1: reference kernels */
    const char *resume; /* a checkpoint to continue from, or NULL */
} gm_trainer_options;

GM_API void gm_trainer_options_default(gm_trainer_options *options, size_t struct_size);
/* Takes a copy of the model's parameters; the model itself is not changed. options may be NULL. */
GM_API gm_status gm_trainer_create(const gm_model *model, const gm_trainer_options *options, gm_trainer **trainer_out);
GM_API void gm_trainer_destroy(gm_trainer *trainer);

/* One array handed to a step: an input by its name, or a random draw by its path, dense row-major. */
typedef struct gm_feed {
    const char *name;
    const void *data;
    size_t bytes;
} gm_feed;
/* Runs one step once with the caller's arrays: every data input must be among them; draws that are not are drawn. The
 * arrays are read during the call only. The set of fed draws of a step is fixed by its first run. */
GM_API gm_status gm_trainer_step(gm_trainer *trainer, const char *step, const gm_feed *feeds, size_t feed_count);
/* The value of a report at the last run of its step. */
GM_API gm_status gm_trainer_report(const gm_trainer *trainer, const char *name, double *value_out);
GM_API size_t gm_trainer_report_count(const gm_trainer *trainer);
GM_API const char *gm_trainer_report_name(const gm_trainer *trainer, size_t index);
/* Inputs and draws of a step, described (data is NULL): what gm_trainer_step can be fed. */
GM_API size_t gm_trainer_feed_count(const gm_trainer *trainer, const char *step);
GM_API gm_status gm_trainer_feed(const gm_trainer *trainer, const char *step, size_t index, gm_tensor_view *view_out,
                                 int *is_draw_out);

/* Parameters, buffers and optimizer slots ("adversarial.generator.h0.Dense.W.m"), dense row-major. */
GM_API size_t gm_trainer_state_count(const gm_trainer *trainer);
GM_API gm_status gm_trainer_state(const gm_trainer *trainer, size_t index, gm_tensor_view *view_out); /* data: NULL */
GM_API gm_status gm_trainer_read(const gm_trainer *trainer, const char *path, void *data, size_t bytes);
GM_API gm_status gm_trainer_write(gm_trainer *trainer, const char *path, const void *data, size_t bytes);
/* L2 norm of the gradient that entered the parameter's last update; only in a trainer whose steps were asked to keep
 * them by gm_trainer_keep_gradients before their first run. */
GM_API gm_status gm_trainer_keep_gradients(gm_trainer *trainer, int on);
GM_API gm_status gm_trainer_gradient_norm(const gm_trainer *trainer, const char *step, const char *path,
                                          double *norm_out);

/* A checkpoint: parameters, slots, counters, position. Whole or not at all. */
GM_API gm_status gm_trainer_save(const gm_trainer *trainer, const char *path);
/* The same bytes in memory, which the caller gives back with gm_release. gm_model_load_memory makes a model of them, with the
 * parameters as they are now: so another thread can run what is still being trained. */
GM_API gm_status gm_trainer_save_memory(const gm_trainer *trainer, void **data_out, size_t *bytes_out);

/* Plan and profile of a step, as for sessions. The step is planned if it was not yet. */
GM_API gm_status gm_trainer_plan(gm_trainer *trainer, const char *step, gm_plan_info *info_out);
GM_API gm_status gm_trainer_profile(gm_trainer *trainer, const char *step, int on);
GM_API size_t gm_trainer_profile_count(const gm_trainer *trainer, const char *step);
GM_API gm_status gm_trainer_profile_entry(const gm_trainer *trainer, const char *step, size_t index,
                                          gm_profile_entry *entry_out);

/* ---- The whole schedule of a file -------------------------------------------------------------------------------- */

typedef struct gm_progress {
    int64_t epoch, epochs;         /* completed epochs of all train blocks, and their sum */
    int64_t iteration, iterations; /* completed rounds of this epoch, and its length */
    int64_t total_iterations;      /* completed rounds since the start of training */
    double seconds;                /* since the start of this run */
    double rounds_per_second;      /* lately */
    int epoch_ended;               /* 1 when this call closes an epoch: `reports` are then its means */
    size_t report_count;           /* of the steps that this epoch has run */
    const char *const *report_names;
    const double *reports; /* running means over the epoch */
} gm_progress;

typedef struct gm_run_options {
    size_t struct_size;
    const char *out_directory;   /* metrics.csv, samples/, checkpoint.gmodel; NULL: nothing is written */
    int64_t epochs;              /* 0: as in the file */
    int64_t steps;               /* stop after so many rounds; 0: no limit */
    int64_t limit;               /* use only so many examples of each set; 0: all */
    const char *trace_directory; /* write every input, draw, report, gradient norm, parameter of each round; or NULL */
    /* Called after every round; returns 0 to go on, 1 to finish the round, save and stop. May be NULL. */
    int (*progress)(const gm_progress *progress, void *user);
    void *user;
} gm_run_options;

GM_API void gm_run_options_default(gm_run_options *options, size_t struct_size);
/* GM_ERROR_INTERRUPTED when the callback stopped it (the checkpoint is then written). GM_ERROR_NUMERIC when a loss became
 * non-finite: the last good checkpoint stays. */
GM_API gm_status gm_trainer_run(gm_trainer *trainer, const gm_run_options *options);

/* ---- Evaluation: means over a data set or over many draws --------------------------------------------------------- */

typedef struct gm_evaluation_options {
    size_t struct_size;
    int64_t batch; /* examples at a time, which does not change the numbers; 0: the batch of the file */
    int64_t draws; /* instead of the file's `over n draws`; 0: as in the file */
    int64_t limit; /* only the first examples of a set; 0: all */
    int has_seed;  /* 1: `seed` keys random draws, those with a seed of their own included */
    uint64_t seed;
    int reference; /* 1: reference kernels */
} gm_evaluation_options;

GM_API void gm_evaluation_options_default(gm_evaluation_options *options, size_t struct_size);
/* Plans an `evaluate` of the model's file; options may be NULL. The same of a trainer reads the parameters as they are
 * when it runs. Destroy it before the model or trainer. */
GM_API gm_status gm_evaluation_create(const gm_model *model, const char *name, const gm_evaluation_options *options,
                                      gm_evaluation **evaluation_out);
GM_API gm_status gm_evaluation_create_for_trainer(gm_trainer *trainer, const char *name,
                                                  const gm_evaluation_options *options, gm_evaluation **evaluation_out);
GM_API void gm_evaluation_destroy(gm_evaluation *evaluation);
GM_API gm_status gm_evaluation_run(gm_evaluation *evaluation);
/* Its figures: the means, then the results, in the order of the file. Values stay until the next run. */
GM_API size_t gm_evaluation_count(const gm_evaluation *evaluation);
GM_API gm_status gm_evaluation_value(const gm_evaluation *evaluation, size_t index, gm_tensor_view *view_out);
/* What a number of a figure stands for, where the file says so (`as words.name`); NULL otherwise. */
GM_API const char *gm_evaluation_label(const gm_evaluation *evaluation, size_t index, int64_t number);
GM_API int64_t gm_evaluation_examples(const gm_evaluation *evaluation); /* that the means are of; 0: no means */

/* ---- Files --------------------------------------------------------------------------------------------------------- */

/* Writes pictures view = [n, 1 or 3, h, w] or [n, h, w] or [n, h * w square] of values in [low, high] as one grid PNG. */
GM_API gm_status gm_write_png(gm_context *context, const char *path, const gm_tensor_view *view, double low,
                              double high);
/* NumPy files. gm_read_npy returns memory that the caller frees with gm_release. */
GM_API gm_status gm_write_npy(gm_context *context, const char *path, const gm_tensor_view *view);
GM_API gm_status gm_read_npy(gm_context *context, const char *path, gm_tensor_view *view_out);
GM_API void gm_release(gm_context *context, void *memory);

#ifdef __cplusplus
}
#endif
#endif
