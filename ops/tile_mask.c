/* Masks of Dropout for the tile machine, in blocked layouts. See tile_mask.h. */
#include "ops/tile_mask.h"

#include "ops/philox.h"

#include <string.h>

typedef uint8_t bytes_16 __attribute__((vector_size(16)));

/* A square of 16 rows of 16 bytes: four times rows i and i + 8 are zipped. */
static void transpose_square(const uint8_t *from, int64_t from_row, uint8_t *to, int64_t to_row)
{
    bytes_16 rows[16], zipped[16];
    for (int i = 0; i < 16; i++)
        memcpy(&rows[i], from + i * from_row, 16);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 8; i++) {
            zipped[2 * i] = __builtin_shuffle(rows[i], rows[i + 8],
                                              (bytes_16){0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23});
            zipped[2 * i + 1] = __builtin_shuffle(
                rows[i], rows[i + 8], (bytes_16){8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31});
        }
        memcpy(rows, zipped, sizeof rows);
    }
    for (int i = 0; i < 16; i++)
        memcpy(to + i * to_row, &rows[i], 16);
}

/* from[rows][columns] -> to[columns][rows] */
static void transpose_bytes(const uint8_t *from, int64_t rows, int64_t columns, uint8_t *to)
{
    int64_t square_rows = rows / 16 * 16, square_columns = columns / 16 * 16;
    for (int64_t i = 0; i < square_rows; i += 16)
        for (int64_t j = 0; j < square_columns; j += 16)
            transpose_square(from + i * columns + j, columns, to + j * rows + i, rows);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = i < square_rows ? square_columns : 0; j < columns; j++)
            to[j * rows + i] = from[i * columns + j];
}

void gm_tile_mask_draw(const gm_tile_mask_shape *shape, uint64_t key, uint64_t run, uint64_t base, float ratio,
                       int64_t first, gm_tile_mask *cache)
{
    int64_t block = shape->block, spatial = shape->spatial, group = first / (block * spatial);
    int64_t place = first % (block * spatial) / block / shape->places * shape->places;
    int64_t places = spatial - place < shape->places ? spatial - place : shape->places;
    uint64_t element = base + (uint64_t)(group * block * spatial + place);
    if (places == spatial)
        gm_keep(key, run, element, (size_t)(block * spatial), ratio, cache->drawn);
    else
        for (int64_t channel = 0; channel < block; channel++)
            gm_keep(key, run, element + (uint64_t)(channel * spatial), (size_t)places, ratio,
                    cache->drawn + channel * places);
    transpose_bytes(cache->drawn, block, places, cache->bytes);
    cache->first = (group * spatial + place) * block;
    cache->end = cache->first + places * block;
}
