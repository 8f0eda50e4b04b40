/* First values of state entries from their initializers. */
#include "runtime/initialize.h"

#include <math.h>
#include <string.h>

#include "ops/philox.h"

/* Elements that one piece of work fills; also the size below which threads are not worth it. */
enum { CHUNK = 16384, MAX_REDRAWS = 1000 };

typedef void draw_function(uint64_t key, uint64_t run, uint64_t first, size_t count, float *out);

/* A draw within two deviations: elements beyond are drawn again with the next runs. */
static void truncated_normal(uint64_t key, uint64_t run, uint64_t first, size_t count, float *out)
{
    gm_normal(key, run, first, count, out);
    for (size_t i = 0; i < count; i++)
        for (uint64_t again = 1; fabsf(out[i]) > 2.0F && again <= MAX_REDRAWS; again++)
            gm_normal(key, run + again, first + i, 1, out + i);
}

/* Elements first ... first + count - 1 of `target` = offset + factor * draw, kept below `below`. */
static void fill_chunk(draw_function *draw, uint64_t key, const gm_initializer *initializer, const gm_tensor *target,
                       int64_t first, int64_t count)
{
    bool uniform = initializer->kind == GM_INITIALIZE_UNIFORM;
    double offset = initializer->a, factor = uniform ? initializer->b - initializer->a : initializer->b;
    float part[256];
    for (int64_t done = 0; done < count; done += (int64_t)GM_COUNT(part)) {
        int64_t some = count - done < (int64_t)GM_COUNT(part) ? count - done : (int64_t)GM_COUNT(part);
        draw(key, 0, (uint64_t)(first + done), (size_t)some, part);
        for (int64_t i = 0; i < some; i++) {
            double value = offset + factor * (double)part[i];
            if (uniform && target->type == GM_FLOAT && factor > 0 && (float)value >= (float)initializer->b)
                value = (double)nextafterf((float)initializer->b, (float)initializer->a);
            gm_set(target, first + done + i, value);
        }
    }
}

static void fill_random(gm_context *context, draw_function *draw, uint64_t key, const gm_initializer *initializer,
                        const gm_tensor *target)
{
    int64_t count = gm_tensor_count(target), chunks = (count + CHUNK - 1) / CHUNK;
    int threads = context->options.threads;
#pragma omp parallel for num_threads(threads) schedule(static) if (chunks > 1)
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        int64_t first = chunk * CHUNK;
        fill_chunk(draw, key, initializer, target, first, count - first < CHUNK ? count - first : CHUNK);
    }
}

/* Gram-Schmidt, done twice for each vector ("twice is enough", Kahan and Parlett): the `vectors` rows of m, `length`
 * long, become orthonormal. R's diagonal is positive, so that a normal matrix gives a uniformly distributed Q. A vector
 * that vanishes is redrawn. */
static void orthonormalize(double *m, int64_t vectors, int64_t length, uint64_t key)
{
    for (int64_t i = 0; i < vectors; i++) {
        double *v = m + i * length;
        for (uint64_t attempt = 1;; attempt++) {
            double before = 0, after = 0;
            for (int64_t k = 0; k < length; k++)
                before += v[k] * v[k];
            for (int pass = 0; pass < 2; pass++)
                for (int64_t j = 0; j < i; j++) {
                    const double *u = m + j * length;
                    double product = 0;
                    for (int64_t k = 0; k < length; k++)
                        product += u[k] * v[k];
                    for (int64_t k = 0; k < length; k++)
                        v[k] -= product * u[k];
                }
            for (int64_t k = 0; k < length; k++)
                after += v[k] * v[k];
            if (after > before * 1e-20 && after > 0) {
                double scale = 1 / sqrt(after);
                for (int64_t k = 0; k < length; k++)
                    v[k] *= scale;
                break;
            }
            for (int64_t k = 0; k < length; k++)
                v[k] = gm_normal_at(key, attempt, (uint64_t)(i * length + k));
        }
    }
}

/* target [d0, d1, ...] as the matrix [d0, d1 * ...]: orthogonal rows, or columns when there are more rows than columns, each
 * as long as the gain (Saxe, McClelland, Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks").
 */
static gm_status fill_orthogonal(gm_context *context, const gm_state_entry *entry, uint64_t key,
                                 const gm_tensor *target)
{
    int64_t count = gm_tensor_count(target);
    if (target->rank < 2)
        return gm_diagnose(context, entry->where, "'%s': orthogonal needs at least two dimensions, found %d",
                           entry->path, target->rank);
    if (count == 0)
        return GM_OK;
    int64_t rows = target->dims[0], columns = count / rows;
    bool turned = rows > columns;
    int64_t vectors = turned ? columns : rows, length = turned ? rows : columns;
    double *m = gm_alloc_array(context, (size_t)count, sizeof *m);
    if (m == NULL)
        return GM_ERROR_MEMORY;
    for (int64_t i = 0; i < vectors; i++)
        for (int64_t k = 0; k < length; k++)
            m[i * length + k] = gm_normal_at(key, 0, (uint64_t)(turned ? k * columns + i : i * columns + k));
    orthonormalize(m, vectors, length, key);
    for (int64_t i = 0; i < vectors; i++)
        for (int64_t k = 0; k < length; k++)
            gm_set(target, turned ? k * columns + i : i * columns + k, entry->initializer.a * m[i * length + k]);
    gm_free(context, m);
    return GM_OK;
}

/* `tensor` in the target's type; a tensor of one element fills all. */
static gm_status fill_tensor(gm_context *context, const gm_state_entry *entry, const gm_tensor *target)
{
    const gm_tensor *tensor = entry->initializer.tensor;
    if (tensor == NULL || tensor->data == NULL)
        return gm_fail(context, GM_ERROR_INTERNAL, "'%s': its initial tensor is missing", entry->path);
    int64_t count = gm_tensor_count(target), given = gm_tensor_count(tensor);
    if (given != count && given != 1)
        return gm_diagnose(context, entry->where, "'%s' has %lld elements, its initial value %lld", entry->path,
                           (long long)count, (long long)given);
    if (tensor->type == target->type && given == count) {
        memcpy(target->data, tensor->data, gm_tensor_bytes(target));
        return GM_OK;
    }
    const gm_type_info *from = gm_type_find(tensor->type), *to = gm_type_find(target->type);
    bool integers = from != NULL && to != NULL && !from->floating && !to->floating;
    for (int64_t i = 0; i < count; i++) {
        int64_t source = given == 1 ? 0 : i;
        if (integers)
            gm_set_int(target, i, gm_get_int(tensor, source));
        else
            gm_set(target, i, gm_get(tensor, source));
    }
    return GM_OK;
}

gm_status gm_initialize_state(gm_context *context, const gm_state_entry *entry, uint64_t seed, const gm_tensor *target)
{
    const gm_initializer *initializer = &entry->initializer;
    uint64_t key = seed ^ gm_hash64(entry->twin ? entry->twin : entry->path);
    int64_t count = gm_tensor_count(target);
    switch (initializer->kind) {
    case GM_INITIALIZE_CONSTANT:
        for (int64_t i = 0; i < count; i++)
            gm_set(target, i, initializer->value);
        return GM_OK;
    case GM_INITIALIZE_TENSOR:
        return fill_tensor(context, entry, target);
    case GM_INITIALIZE_UNIFORM:
        fill_random(context, gm_uniform, key, initializer, target);
        return GM_OK;
    case GM_INITIALIZE_NORMAL:
        fill_random(context, gm_normal, key, initializer, target);
        return GM_OK;
    case GM_INITIALIZE_TRUNCATED_NORMAL:
        fill_random(context, truncated_normal, key, initializer, target);
        return GM_OK;
    case GM_INITIALIZE_ORTHOGONAL:
        return fill_orthogonal(context, entry, key, target);
    }
    return gm_fail(context, GM_ERROR_INTERNAL, "'%s': unknown initializer %d", entry->path, (int)initializer->kind);
}
