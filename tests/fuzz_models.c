/* Loads mutated model files by the million, meant for a build with sanitizers: fuzz_models FIRST COUNT FILE...
 * Mutation number k, from FIRST on, is of file k modulo their count. A mutation that does harm stands in fuzz_models.last. */
#include "tests/mutate.h"

#include <signal.h>
#include <unistd.h>

typedef struct seed_file {
    unsigned char *data;
    size_t bytes;
    const char *name;
} seed_file;

static bool read_seed_file(const char *path, seed_file *out)
{
    FILE *file = fopen(path, "rb");
    long size;
    if (!file || fseek(file, 0, SEEK_END) || (size = ftell(file)) < 0 || fseek(file, 0, SEEK_SET))
        return false;
    out->data = malloc((size_t)size + 1);
    out->bytes = fread(out->data, 1, (size_t)size, file);
    out->name = path;
    fclose(file);
    return true;
}

static void keep(const mutant *m)
{
    FILE *file = fopen("fuzz_models.last", "wb");
    if (!file)
        return;
    fwrite(m->data, 1, m->bytes, file);
    fclose(file);
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 3 ? strtoull(argv[1], NULL, 10) : 0, count = argc > 3 ? strtoull(argv[2], NULL, 10) : 0;
    size_t files = argc > 3 ? (size_t)argc - 3 : 0, results[3] = {0}, capped = 0, peak = 0;
    seed_file *seeds = calloc(files + 1, sizeof *seeds);
    mutant m = {.capacity = 1 << 20};
    m.data = malloc(m.capacity);
    if (!files) {
        fprintf(stderr, "usage: fuzz_models FIRST COUNT FILE...\n");
        return 2;
    }
    for (size_t i = 0; i < files; i++)
        if (!read_seed_file(argv[3 + i], &seeds[i])) {
            perror(argv[3 + i]);
            return 2;
        }
    for (uint64_t k = first; k < first + count; k++) {
        const seed_file *seed = &seeds[k % files];
        const char *trouble;
        frame f;
        mutate(&m, seed->data, seed->bytes, k);
        keep(&m);
        alarm(20); /* longer is a hang: the signal ends the process */
        results[frame_try(m.data, m.bytes, "mutant", &f, &trouble)]++;
        alarm(0);
        capped += f.capped;
        if (f.peak > 8 * m.bytes && f.peak - 8 * m.bytes > peak)
            peak = f.peak - 8 * m.bytes;
        if (trouble) {
            fprintf(stderr, "mutation %llu of %s: %s\n", (unsigned long long)k, seed->name, trouble);
            return 1;
        }
    }
    printf(
        "%llu mutations from %llu on: %zu refused, %zu loaded, %zu ran; %zu stopped at the cap, most memory %zu KiB\n",
        (unsigned long long)count, (unsigned long long)first, results[0], results[1], results[2], capped, peak >> 10);
    for (size_t i = 0; i < files; i++)
        free(seeds[i].data);
    free(seeds);
    free(m.data);
    return 0;
}
