/* The tile machine: compiles elementwise nodes into a program of vector instructions and runs it tile by tile. */
#include "ops/tile.h"

#include "ops/philox.h"
#include "ops/tile_mask.h"

#include <string.h>

#define SERIAL_ELEMENTS 16384 /* below this, threads cost more than they give */
#define MASK_ELEMENTS   65536 /* of a mask drawn at a time in a blocked layout: long runs within a channel */
#define WIDEST_BLOCK    4096  /* channels-last layouts with more channels are not taken by programs that draw */
#define MAX_VECTORS     128   /* operands and results of one program */

/* How an input comes in. */
typedef enum input_kind {
    INPUT_UNUSED,
    INPUT_DIRECT, /* float of the full shape: instructions read it from memory */
    INPUT_BOOL,   /* bool of the full shape: converted into a register */
    INPUT_SCALAR, /* one element: a register filled once */
    INPUT_STRIDED /* broadcast: gathered into a register */
} input_kind;

typedef struct tile_input {
    input_kind kind;
    bool is_bool;
    int rank; /* STRIDED: axes of the output in memory order, outermost first, merged */
    int64_t extent[GM_MAX_RANK + 1], stride[GM_MAX_RANK + 1];
} tile_input;

/* An operand or result: a pointer per tile. */
typedef struct tile_vector {
    enum { VECTOR_REGISTER, VECTOR_INPUT, VECTOR_OUTPUT, VECTOR_SCALAR, VECTOR_CONSTANT } kind;
    int index; /* of the input or output; REGISTER, SCALAR, CONSTANT: of the register */
    int input; /* SCALAR: where its value is */
    float value;
    int made, used; /* instructions that write it and read it last; -1: none */
} tile_vector;

typedef struct tile_instruction {
    gm_tile_code code;
    int dst, a, b, c; /* vectors; -1: none */
    int input;        /* LOAD */
    float p;
    gm_draw draw; /* MASK */
    int mask;     /* MASK: number among those of the program */
} tile_instruction;

typedef struct tile_output {
    int vector; /* -1: nobody wants it */
    bool is_bool, direct;
} tile_output;

typedef struct tile_program {
    gm_context *context;
    const gm_tile_loop *loops;
    int64_t count;          /* elements of the output */
    size_t tile;            /* elements of a tile */
    int64_t block, spatial; /* blocked layout; block 1: plain or opaque, memory order is element order */
    int masks;              /* instructions that draw */
    int threads, registers;
    size_t thread_bytes; /* of scratch: pointers and gm_tile_mask records, registers, twice mask_bytes per mask */
    size_t pointer_bytes, mask_bytes;
    gm_tile_mask_shape mask;
    tile_input *inputs;
    size_t input_count;
    tile_output *outputs;
    size_t output_count;
    tile_vector *vectors;
    size_t vector_count;
    tile_instruction *code;
    size_t code_count;
} tile_program;

/* --- Running -------------------------------------------------------------------------------------------------------
 */

static void load_bool(float *dst, const uint8_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = (float)(int32_t)from[i];
}

static void store_bool(uint8_t *to, const float *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = from[i] != 0.0f;
}

/* One run along the innermost axis. */
static void load_run(const tile_input *input, const void *base, int64_t at, int64_t stride, size_t n, float *dst)
{
    if (input->is_bool) {
        for (size_t i = 0; i < n; i++)
            dst[i] = (float)((const uint8_t *)base)[at + (int64_t)i * stride];
    } else if (stride == 0) {
        float value = ((const float *)base)[at];
        for (size_t i = 0; i < n; i++)
            dst[i] = value;
    } else if (stride == 1) {
        memcpy(dst, (const float *)base + at, n * sizeof *dst);
    } else {
        for (size_t i = 0; i < n; i++)
            dst[i] = ((const float *)base)[at + (int64_t)i * stride];
    }
}

/* Elements first ... first + n - 1 of the output's memory order, from a broadcast operand. */
static void load_strided(const tile_input *input, const void *base, int64_t first, size_t n, float *dst)
{
    int64_t position[GM_MAX_RANK + 1], at = 0, rest = first;
    int inner = input->rank - 1;
    for (int axis = inner; axis >= 0; axis--) {
        position[axis] = rest % input->extent[axis];
        rest /= input->extent[axis];
        at += position[axis] * input->stride[axis];
    }
    while (n > 0) {
        size_t here = (size_t)(input->extent[inner] - position[inner]);
        here = here < n ? here : n;
        load_run(input, base, at, input->stride[inner], here, dst);
        dst += here;
        n -= here;
        position[inner] += (int64_t)here;
        at += (int64_t)here * input->stride[inner];
        for (int axis = inner; axis > 0 && position[axis] == input->extent[axis]; axis--) {
            at += input->stride[axis - 1] - position[axis] * input->stride[axis];
            position[axis] = 0;
            position[axis - 1]++;
        }
    }
}

/* Keeps where the draw of the element, counted row-major whatever the layout, is not below the ratio. */
static void run_mask(const tile_program *program, uint64_t key, uint64_t run, uint64_t base, float ratio, int64_t first,
                     size_t n, gm_tile_mask *cache, float *dst)
{
    uint8_t buffer[GM_TILE];
    while (n > 0) {
        size_t here = n < GM_TILE ? n : GM_TILE;
        if (program->block == 1) {
            gm_keep(key, run, base + (uint64_t)first, here, ratio, buffer);
            load_bool(dst, buffer, here);
        } else {
            if (first < cache->first || first >= cache->end)
                gm_tile_mask_draw(&program->mask, key, run, base, ratio, first, cache);
            here = (size_t)(cache->end - first) < n ? (size_t)(cache->end - first) : n;
            load_bool(dst, cache->bytes + (first - cache->first), here);
        }
        first += (int64_t)here;
        dst += here;
        n -= here;
    }
}

static void run_instruction(const tile_program *program, const tile_instruction *it, float *const *vectors,
                            gm_tile_mask *masks, const gm_kernel_arguments *arguments, int64_t first, size_t n)
{
    if (it->code == GM_TILE_LOAD) {
        const tile_input *input = &program->inputs[it->input];
        if (input->kind == INPUT_BOOL)
            load_bool(vectors[it->dst], (const uint8_t *)arguments->in[it->input] + first, n);
        else
            load_strided(input, arguments->in[it->input], first, n, vectors[it->dst]);
    } else if (it->code == GM_TILE_MASK) {
        uint64_t run = arguments->run;
        uint64_t key = gm_draw_key(&it->draw, arguments->seed, arguments->override_seeds, &run);
        run_mask(program, key, run, gm_draw_first(program->count, arguments->row, arguments->batch), vectors[it->a][0],
                 first, n, masks + it->mask, vectors[it->dst]);
    } else {
        program->loops[it->code](vectors[it->dst], it->a < 0 ? NULL : vectors[it->a], it->b < 0 ? NULL : vectors[it->b],
                                 it->c < 0 ? NULL : vectors[it->c], it->p, n);
    }
}

static void fill_scalars(const tile_program *program, float *registers, const gm_kernel_arguments *arguments)
{
    size_t n = program->count < (int64_t)program->tile ? (size_t)program->count : program->tile;
    for (size_t v = 0; v < program->vector_count; v++) {
        const tile_vector *vector = &program->vectors[v];
        float value = vector->value, *to = registers + (size_t)vector->index * program->tile;
        if (vector->kind == VECTOR_SCALAR) {
            const void *from = arguments->in[vector->input];
            value = program->inputs[vector->input].is_bool ? (float)*(const uint8_t *)from : *(const float *)from;
        } else if (vector->kind != VECTOR_CONSTANT) {
            continue;
        }
        for (size_t i = 0; i < n; i++)
            to[i] = value;
    }
}

static void store_outputs(const tile_program *program, float *const *vectors, const gm_kernel_arguments *arguments,
                          int64_t first, size_t n)
{
    for (size_t o = 0; o < program->output_count; o++) {
        const tile_output *output = &program->outputs[o];
        if (output->vector < 0 || output->direct || !arguments->out[o])
            continue;
        if (output->is_bool)
            store_bool((uint8_t *)arguments->out[o] + first, vectors[output->vector], n);
        else if (vectors[output->vector] != (float *)arguments->out[o] + first)
            memcpy((float *)arguments->out[o] + first, vectors[output->vector], n * sizeof(float));
    }
}

/* One thread's share of the tiles. */
static void run_share(const tile_program *program, const gm_kernel_arguments *arguments, int64_t from, int64_t to,
                      void *scratch)
{
    float **vectors = scratch;
    gm_tile_mask *masks = (gm_tile_mask *)(void *)(vectors + program->vector_count);
    float *registers = (float *)(void *)((char *)scratch + program->pointer_bytes);
    uint8_t *bytes = (uint8_t *)(registers + (size_t)program->registers * program->tile);
    for (int m = 0; m < program->masks; m++, bytes += 2 * program->mask_bytes)
        masks[m] = (gm_tile_mask){0, 0, bytes, bytes + program->mask_bytes};
    for (size_t v = 0; v < program->vector_count; v++)
        if (program->vectors[v].kind != VECTOR_INPUT && program->vectors[v].kind != VECTOR_OUTPUT)
            vectors[v] = registers + (size_t)program->vectors[v].index * program->tile;
    fill_scalars(program, registers, arguments);
    for (int64_t tile = from; tile < to; tile++) {
        int64_t first = tile * (int64_t)program->tile, left = program->count - first;
        size_t n = left < (int64_t)program->tile ? (size_t)left : program->tile;
        for (size_t v = 0; v < program->vector_count; v++) {
            if (program->vectors[v].kind == VECTOR_INPUT)
                vectors[v] = (float *)arguments->in[program->vectors[v].index] + first;
            else if (program->vectors[v].kind == VECTOR_OUTPUT)
                vectors[v] = (float *)arguments->out[program->vectors[v].index] + first;
        }
        for (size_t i = 0; i < program->code_count; i++)
            run_instruction(program, &program->code[i], vectors, masks, arguments, first, n);
        store_outputs(program, vectors, arguments, first, n);
    }
}

static gm_status run_program(const void *state, const gm_kernel_arguments *arguments)
{
    const tile_program *program = state;
    int64_t tiles = (program->count + (int64_t)program->tile - 1) / (int64_t)program->tile;
    int threads = arguments->threads < program->threads ? arguments->threads : program->threads;
    if (program->count < SERIAL_ELEMENTS || threads <= 1) {
        run_share(program, arguments, 0, tiles, arguments->scratch);
        return GM_OK;
    }
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int t = 0; t < threads; t++)
        run_share(program, arguments, tiles * t / threads, tiles * (t + 1) / threads,
                  (char *)arguments->scratch + (size_t)t * program->thread_bytes);
    return GM_OK;
}

/* --- Compiling ------------------------------------------------------------------------------------------------------
 */

typedef struct tile_compiler {
    gm_lower *lower;
    const gm_graph *graph; /* the body, or the graph of the single node */
    tile_program *program;
    const gm_value_id *inputs; /* values of `graph` that the node's inputs are */
    struct {
        gm_value_id value;
        int vector;
    } map[MAX_VECTORS]; /* values that have a vector */
    size_t map_count;
    bool failed; /* too large: the reference kernel serves */
} tile_compiler;

static int new_vector(tile_compiler *c, int kind)
{
    tile_program *program = c->program;
    if (program->vector_count == MAX_VECTORS) {
        c->failed = true;
        return 0;
    }
    program->vectors[program->vector_count] =
        (tile_vector){.kind = kind, .index = 0, .input = -1, .made = -1, .used = -1};
    return (int)program->vector_count++;
}

static void map_value(tile_compiler *c, gm_value_id value, int vector)
{
    if (c->map_count == MAX_VECTORS) {
        c->failed = true;
        return;
    }
    c->map[c->map_count].value = value;
    c->map[c->map_count++].vector = vector;
}

static int emit(tile_compiler *c, tile_instruction instruction)
{
    tile_program *program = c->program;
    int operands[3] = {instruction.a, instruction.b, instruction.c};
    if (program->code_count == MAX_VECTORS) {
        c->failed = true;
        return 0;
    }
    instruction.dst = new_vector(c, VECTOR_REGISTER);
    program->vectors[instruction.dst].made = (int)program->code_count;
    for (int k = 0; k < 3; k++)
        if (operands[k] >= 0)
            program->vectors[operands[k]].used = (int)program->code_count;
    program->code[program->code_count++] = instruction;
    return instruction.dst;
}

static int emit_plain(tile_compiler *c, gm_tile_code code, int a, int b, float p)
{
    return emit(c, (tile_instruction){.code = code, .a = a, .b = b, .c = -1, .p = p});
}

/* The vector of an input: read in place, filled once, or loaded by an instruction where it is first used. */
static int input_vector(tile_compiler *c, size_t index)
{
    int vector;
    switch (c->program->inputs[index].kind) {
    case INPUT_DIRECT:
        vector = new_vector(c, VECTOR_INPUT);
        c->program->vectors[vector].index = (int)index;
        return vector;
    case INPUT_SCALAR:
        vector = new_vector(c, VECTOR_SCALAR);
        c->program->vectors[vector].input = (int)index;
        return vector;
    default:
        return emit(c, (tile_instruction){.code = GM_TILE_LOAD, .a = -1, .b = -1, .c = -1, .input = (int)index});
    }
}

static int value_vector(tile_compiler *c, gm_value_id value)
{
    double number;
    int vector = -1;
    for (size_t i = 0; i < c->map_count; i++)
        if (c->map[i].value == value)
            return c->map[i].vector;
    if (gm_constant_number(c->graph, value, &number)) {
        vector = new_vector(c, VECTOR_CONSTANT);
        c->program->vectors[vector].value = (float)number;
    }
    for (size_t i = 0; i < c->program->input_count && vector < 0; i++)
        if (c->inputs[i] == value)
            vector = input_vector(c, i);
    if (vector < 0) {
        c->failed = true;
        return 0;
    }
    map_value(c, value, vector);
    return vector;
}

/* x^2, x^3, 1/x exactly and fast; other exponents by the general instruction. */
static int compile_power(tile_compiler *c, const gm_node *node)
{
    double value;
    int x = value_vector(c, node->inputs[0]);
    if (gm_constant_number(c->graph, node->inputs[1], &value)) {
        if (value == 1.0)
            return x;
        if (value == 2.0)
            return emit_plain(c, GM_TILE_MUL, x, x, 0.0f);
        if (value == 3.0)
            return emit_plain(c, GM_TILE_MUL, emit_plain(c, GM_TILE_MUL, x, x, 0.0f), x, 0.0f);
        if (value == -1.0)
            return emit_plain(c, GM_TILE_RECIPROCAL, x, -1, 0.0f);
    }
    return emit_plain(c, GM_TILE_POW, x, value_vector(c, node->inputs[1]), 0.0f);
}

static int compile_clip(tile_compiler *c, const gm_node *node)
{
    int x = value_vector(c, node->inputs[0]);
    if (node->input_count > 1 && node->inputs[1])
        x = emit_plain(c, GM_TILE_MAX, x, value_vector(c, node->inputs[1]), 0.0f);
    if (node->input_count > 2 && node->inputs[2])
        x = emit_plain(c, GM_TILE_MIN, x, value_vector(c, node->inputs[2]), 0.0f);
    return x;
}

static int compile_chain(tile_compiler *c, const gm_node *node)
{
    int x = value_vector(c, node->inputs[0]);
    for (size_t i = 1; i < node->input_count; i++)
        x = emit_plain(c, (gm_tile_code)node->op->tile_instruction, x, value_vector(c, node->inputs[i]), 0.0f);
    return x;
}

static int compile_cast(tile_compiler *c, const gm_node *node)
{
    int x = value_vector(c, node->inputs[0]);
    bool to_bool = gm_value_of(c->graph, node->outputs[0])->type == GM_BOOL &&
                   gm_value_of(c->graph, node->inputs[0])->type != GM_BOOL;
    return to_bool ? emit_plain(c, GM_TILE_TO_BOOL, x, -1, 0.0f) : x;
}

static int compile_mask(tile_compiler *c, const gm_node *node)
{
    return emit(c, (tile_instruction){.code = GM_TILE_MASK,
                                      .a = value_vector(c, node->inputs[1]),
                                      .b = -1,
                                      .c = -1,
                                      .draw = gm_draw_of(node),
                                      .mask = c->program->masks++});
}

static int compile_plain(tile_compiler *c, const gm_node *node)
{
    tile_instruction it = {.code = (gm_tile_code)node->op->tile_instruction, .a = -1, .b = -1, .c = -1};
    it.a = value_vector(c, node->inputs[0]);
    if (node->input_count > 1)
        it.b = value_vector(c, node->inputs[1]);
    if (node->input_count > 2)
        it.c = value_vector(c, node->inputs[2]);
    if (it.code == GM_TILE_LEAKY_RELU)
        it.p = (float)gm_node_float(node, "alpha", 0.01);
    else if (it.code == GM_TILE_STEP)
        it.p = (float)gm_node_float(node, "slope", 0.0);
    return emit(c, it);
}

/* Operators that are not one instruction of the same name. */
static const struct {
    gm_tile_code code;
    int (*compile)(tile_compiler *c, const gm_node *node);
} special[] = {
    {GM_TILE_POW, compile_power}, {GM_TILE_CLIP, compile_clip}, {GM_TILE_MIN, compile_chain},
    {GM_TILE_MAX, compile_chain}, {GM_TILE_CAST, compile_cast}, {GM_TILE_COPY, compile_cast},
    {GM_TILE_MASK, compile_mask},
};

static void compile_node(tile_compiler *c, const gm_node *node)
{
    int (*compile)(tile_compiler *, const gm_node *) = compile_plain;
    for (size_t i = 0; i < GM_COUNT(special); i++)
        if ((int)special[i].code == node->op->tile_instruction)
            compile = special[i].compile;
    map_value(c, node->outputs[0], compile(c, node));
}

/* --- Which nodes
 * ------------------------------------------------------------------------------------------------------ */

/* --- Layouts and operands
 * --------------------------------------------------------------------------------------------- */

static int64_t count_of(const gm_value *value)
{
    int64_t count = 1;
    for (int i = 0; i < value->rank; i++)
        count *= value->dims[i];
    return count;
}

static bool same_dims(const gm_value *a, const gm_value *b)
{
    return a->rank == b->rank && memcmp(a->dims, b->dims, (size_t)a->rank * sizeof a->dims[0]) == 0;
}

/* One picture for all: it has all of the output's dims but the first, and may have its layout. */
static bool is_repeated(const gm_value *value, const gm_value *out)
{
    return value->rank == out->rank && value->rank > 2 && value->dims[0] == 1 &&
           memcmp(value->dims + 1, out->dims + 1, (size_t)(value->rank - 1) * sizeof value->dims[0]) == 0;
}

/* The values of the node's inputs; NULL for one left out. */
static const gm_value *input_value(const gm_lower *lower, size_t index)
{
    gm_value_id id = lower->node->inputs[index];
    return id ? gm_value_of(lower->graph, id) : NULL;
}

/* The one layout of all operands of the full shape: the first that is not plain and that every operand can follow. */
static gm_layout choose_layout(const gm_lower *lower, const gm_value *out, bool draws)
{
    gm_layout chosen = gm_layout_plain;
    bool all_full = true, all_float = out->type == GM_FLOAT;
    for (size_t i = 0; i < lower->node->input_count; i++) {
        const gm_value *value = input_value(lower, i);
        gm_layout layout = lower->in_layout[i];
        if (!value || count_of(value) == 1)
            continue;
        all_full = all_full && same_dims(value, out);
        all_float = all_float && value->type == GM_FLOAT;
        if (same_dims(value, out) && !gm_layout_is_plain(layout) && !gm_layout_is_any(layout) &&
            gm_layout_is_plain(chosen))
            chosen = layout;
    }
    for (size_t o = 0; o < lower->node->output_count; o++)
        all_float = all_float && gm_value_of(lower->graph, lower->node->outputs[o])->type == GM_FLOAT;
    if (gm_layout_is_plain(chosen))
        return chosen;
    if (chosen.block <= 0)
        return all_full && all_float && !draws ? chosen : gm_layout_plain;
    if (out->rank < 2 || out->rank > GM_MAX_RANK || out->dims[1] % chosen.block ||
        (draws && chosen.block > WIDEST_BLOCK))
        return gm_layout_plain;
    return chosen;
}

/* Extents of the output in memory order, and the operand's steps along them; axes that go on in step are merged. */
static void set_strides(tile_input *input, const gm_value *value, const gm_value *out, int64_t block)
{
    int64_t stride[GM_MAX_RANK] = {0}, step = 1;
    int64_t extents[GM_MAX_RANK + 1], strides[GM_MAX_RANK + 1];
    int rank = 0;
    for (int axis = value->rank - 1; axis >= 0; axis--) {
        if (value->dims[axis] != 1)
            stride[axis + out->rank - value->rank] = step;
        step *= value->dims[axis];
    }
    for (int axis = 0; axis < out->rank; axis++) {
        bool split = block > 1 && axis == 1;
        extents[rank] = split ? out->dims[axis] / block : out->dims[axis];
        strides[rank++] = split ? stride[axis] * block : stride[axis];
    }
    if (block > 1) {
        extents[rank] = block;
        strides[rank++] = stride[1];
    }
    input->rank = 0;
    for (int axis = 0; axis < rank; axis++) {
        int last = input->rank - 1;
        if (extents[axis] == 1)
            continue;
        if (last >= 0 && input->stride[last] == strides[axis] * extents[axis]) {
            input->extent[last] *= extents[axis];
            input->stride[last] = strides[axis];
        } else {
            input->extent[input->rank] = extents[axis];
            input->stride[input->rank++] = strides[axis];
        }
    }
}

static void describe_input(tile_input *input, const gm_value *value, const gm_value *out, gm_layout layout)
{
    bool plain = gm_layout_is_plain(layout);
    memset(input, 0, sizeof *input);
    if (!value)
        return;
    input->is_bool = value->type == GM_BOOL;
    if (count_of(value) == 1 && count_of(out) > 0)
        input->kind = INPUT_SCALAR;
    else if (same_dims(value, out) || (plain && count_of(value) == count_of(out)))
        input->kind = input->is_bool ? INPUT_BOOL : INPUT_DIRECT;
    else
        input->kind = INPUT_STRIDED;
    if (input->kind == INPUT_STRIDED) /* a repeated picture lies as the output does */
        set_strides(input, value, out, layout.block > 1 && !is_repeated(value, out) ? layout.block : 1);
}

/* --- Registers and outputs
 * -------------------------------------------------------------------------------------------- */

/* The instruction that reads input `index` last, stores after all instructions counted as the end; -1: none. */
static int last_read(const tile_program *program, size_t index)
{
    int last = -1;
    for (size_t v = 0; v < program->vector_count; v++)
        if (program->vectors[v].kind == VECTOR_INPUT && program->vectors[v].index == (int)index &&
            program->vectors[v].used > last)
            last = program->vectors[v].used;
    for (size_t i = 0; i < program->code_count; i++)
        if (program->code[i].code == GM_TILE_LOAD && program->code[i].input == (int)index && (int)i > last)
            last = (int)i;
    return last;
}

/* Output o may be written over a full-shape input of its type: instructions and stores go through the tile in step. */
static int overwritten_input(const gm_lower *lower, const tile_program *program, size_t o, bool is_bool)
{
    for (size_t i = 0; i < program->input_count; i++) {
        bool taken = program->inputs[i].kind != (is_bool ? INPUT_BOOL : INPUT_DIRECT);
        for (size_t k = 0; k < program->output_count; k++)
            taken = taken || (k != o && lower->in_place[k] == (int)i);
        for (size_t k = 0; k < program->input_count; k++)
            taken = taken || (k != i && lower->node->inputs[k] == lower->node->inputs[i]);
        if (!taken && same_dims(input_value(lower, i), gm_value_of(lower->graph, lower->node->outputs[o])))
            return (int)i;
    }
    return -1;
}

/* Float results that nobody needs in a register afterwards go straight to memory. */
static void place_outputs(gm_lower *lower, tile_program *program)
{
    bool copies_input = false;
    for (size_t o = 0; o < program->output_count; o++)
        copies_input = copies_input || (program->outputs[o].vector >= 0 &&
                                        program->vectors[program->outputs[o].vector].kind == VECTOR_INPUT);
    for (size_t o = 0; o < program->output_count; o++) {
        tile_output *output = &program->outputs[o];
        tile_vector *vector = output->vector < 0 ? NULL : &program->vectors[output->vector];
        if (!vector)
            continue;
        if (!copies_input)
            lower->in_place[o] = overwritten_input(lower, program, o, output->is_bool);
        if (output->is_bool || vector->kind != VECTOR_REGISTER)
            continue;
        /* a direct write must not come before the last read of the input it may lie on */
        if (lower->in_place[o] < 0 || last_read(program, (size_t)lower->in_place[o]) <= vector->made) {
            vector->kind = VECTOR_OUTPUT;
            vector->index = (int)o;
            output->direct = true;
        }
    }
}

/* Registers by first and last use; scalars keep theirs for the whole run. */
static void assign_registers(tile_program *program)
{
    int owner_end[MAX_VECTORS]; /* register -> last instruction that needs it */
    int registers = 0;
    for (size_t o = 0; o < program->output_count; o++)
        if (program->outputs[o].vector >= 0)
            program->vectors[program->outputs[o].vector].used = (int)program->code_count;
    for (size_t v = 0; v < program->vector_count; v++)
        if (program->vectors[v].kind == VECTOR_SCALAR || program->vectors[v].kind == VECTOR_CONSTANT) {
            owner_end[registers] = MAX_VECTORS;
            program->vectors[v].index = registers++;
        }
    for (size_t i = 0; i < program->code_count; i++) {
        tile_vector *vector = &program->vectors[program->code[i].dst];
        int at = 0;
        if (vector->kind != VECTOR_REGISTER)
            continue;
        while (at < registers && owner_end[at] > (int)i) /* an operand read here for the last time may be overwritten */
            at++;
        registers += at == registers;
        owner_end[at] = vector->used > (int)i ? vector->used : (int)i;
        vector->index = at;
    }
    program->registers = registers;
}

/* --- Lowering
 * ----------------------------------------------------------------------------------------------------------- */

static bool allocate(gm_lower *lower, tile_program *program)
{
    program->inputs = gm_pool_array(lower->pool, lower->node->input_count + 1, sizeof *program->inputs);
    program->outputs = gm_pool_array(lower->pool, lower->node->output_count + 1, sizeof *program->outputs);
    program->vectors = gm_pool_array(lower->pool, MAX_VECTORS, sizeof *program->vectors);
    program->code = gm_pool_array(lower->pool, MAX_VECTORS, sizeof *program->code);
    program->input_count = lower->node->input_count;
    program->output_count = lower->node->output_count;
    return program->inputs && program->outputs && program->vectors && program->code;
}

static bool compile(gm_lower *lower, tile_program *program)
{
    const gm_node *node = lower->node;
    const gm_graph *body = node->body;
    gm_value_id inputs[MAX_VECTORS];
    tile_compiler c = {.lower = lower, .graph = body ? body : lower->graph, .program = program, .inputs = inputs};
    if (node->input_count > MAX_VECTORS)
        return false;
    for (size_t i = 0; i < node->input_count; i++)
        inputs[i] = body ? body->inputs[i].value : node->inputs[i];
    if (!body)
        compile_node(&c, node);
    for (size_t n = 0; body && n < body->node_count && !c.failed; n++)
        compile_node(&c, &body->nodes[n]);
    for (size_t o = 0; o < node->output_count && !c.failed; o++) {
        tile_output *output = &program->outputs[o];
        output->vector =
            !lower->out_wanted[o] ? -1 : value_vector(&c, body ? body->outputs[o].value : node->outputs[o]);
        output->is_bool = gm_value_of(lower->graph, node->outputs[o])->type == GM_BOOL;
    }
    return !c.failed;
}

static bool draws_numbers(const gm_node *node)
{
    bool draws = node->op->tile_instruction == GM_TILE_MASK;
    for (size_t n = 0; node->body && n < node->body->node_count; n++)
        draws = draws || node->body->nodes[n].op->tile_instruction == GM_TILE_MASK;
    return draws;
}

static bool accepted(const gm_lower *lower)
{
    const gm_graph *body = lower->node->body;
    if (!body)
        return gm_node_fusible(lower->graph, lower->node);
    for (size_t n = 0; n < body->node_count; n++)
        if (!gm_node_fusible(body, &body->nodes[n]))
            return false;
    return body->input_count == lower->node->input_count && body->output_count == lower->node->output_count;
}

static void set_geometry(tile_program *program, const gm_value *out, gm_layout layout)
{
    program->block = 1;
    program->tile = GM_TILE;
    if (layout.block <= 1)
        return;
    program->block = layout.block;
    program->spatial = 1;
    for (int axis = 2; axis < out->rank; axis++)
        program->spatial *= out->dims[axis];
    if (program->masks) {
        int64_t places = MASK_ELEMENTS / program->block;
        places = places < program->spatial ? places : program->spatial;
        program->mask = (gm_tile_mask_shape){program->block, program->spatial, places};
        program->mask_bytes = ((size_t)(places * program->block) + 63) / 64 * 64;
    }
}

/* A lone Identity in disguise (Detach, Cast to the same type): the very memory of its input. */
static bool is_alias(const gm_lower *lower)
{
    const gm_node *node = lower->node;
    int code = node->op->tile_instruction;
    return !node->body && (code == GM_TILE_COPY || code == GM_TILE_CAST) &&
           gm_value_of(lower->graph, node->inputs[0])->type == gm_value_of(lower->graph, node->outputs[0])->type;
}

gm_status gm_tile_lower(gm_lower *lower)
{
    const gm_node *node = lower->node;
    const gm_value *out = gm_value_of(lower->graph, node->outputs[0]);
    tile_program *program;
    gm_layout layout;
    if (lower->reference)
        return GM_OK;
    if (is_alias(lower)) {
        lower->in_want[0] = gm_layout_is_any(lower->in_layout[0]) ? gm_layout_plain : lower->in_layout[0];
        lower->out_layout[0] = lower->in_want[0];
        lower->alias[0] = 0;
        return GM_OK;
    }
    if (!accepted(lower))
        return GM_OK;
    program = gm_pool_alloc(lower->pool, sizeof *program);
    if (!program || !allocate(lower, program))
        return GM_ERROR_MEMORY;
    layout = choose_layout(lower, out, draws_numbers(node));
    program->context = lower->context;
    program->loops = gm_tile_loops();
    program->count = count_of(out);
    program->threads = lower->threads < 1 ? 1 : lower->threads;
    for (size_t i = 0; i < node->input_count; i++)
        describe_input(&program->inputs[i], input_value(lower, i), out, layout);
    if (!compile(lower, program))
        return GM_OK;
    set_geometry(program, out, layout);
    place_outputs(lower, program);
    assign_registers(program);
    for (size_t i = 0; i < node->input_count; i++)
        if (input_value(lower, i) &&
            (same_dims(input_value(lower, i), out) || (layout.block > 1 && is_repeated(input_value(lower, i), out))))
            lower->in_want[i] = layout;
    for (size_t o = 0; o < node->output_count; o++)
        lower->out_layout[o] = layout;
    program->pointer_bytes =
        (program->vector_count * sizeof(float *) + (size_t)program->masks * sizeof(gm_tile_mask) + 63) / 64 * 64;
    program->thread_bytes = program->pointer_bytes +
                            ((size_t)program->registers * program->tile * sizeof(float) + 63) / 64 * 64 +
                            2 * (size_t)program->masks * program->mask_bytes;
    lower->scratch_bytes = program->thread_bytes * (size_t)(program->count < SERIAL_ELEMENTS ? 1 : program->threads);
    lower->kernel.state = program;
    lower->kernel.run = run_program;
    return GM_OK;
}
