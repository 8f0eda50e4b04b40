/* Masks of Dropout for the tile machine, in blocked layouts: draws are counted row-major, channel by channel, while memory
 * holds the channels of a block side by side. Part of a mask is drawn in long runs and then put into memory order. */
#ifndef GM_OPS_TILE_MASK_H
#define GM_OPS_TILE_MASK_H

#include <stdint.h>

/* [groups][spatial][block] in memory; `places` of the spatial ones are drawn at a time. */
typedef struct gm_tile_mask_shape {
    int64_t block, spatial, places;
} gm_tile_mask_shape;

/* Where a thread keeps part of a mask: some places, all channels of a block, of one picture. */
typedef struct gm_tile_mask {
    int64_t first, end; /* elements in memory order; none yet: 0, 0 */
    uint8_t *bytes;     /* in memory order, [places][block] */
    uint8_t *drawn;     /* in the order of draws, [block][places] */
} gm_tile_mask;

/* Fills `cache` with the part that holds element `first` (in memory order); base: number of the draw's first element. */
void gm_tile_mask_draw(const gm_tile_mask_shape *shape, uint64_t key, uint64_t run, uint64_t base, float ratio,
                       int64_t first, gm_tile_mask *cache);

#endif
