/* Letters for pictures: a few pixels each, capitals like small ones. */
#ifndef GM_RUNTIME_FONT_H
#define GM_RUNTIME_FONT_H

#include "graph/base.h"

#define GM_GLYPH_ROWS 7

/* Rows of '#' and '.', the top one first, with a space between them; NULL for a space. What is missing looks like '?'.
 * Letters stand on row GM_GLYPH_ROWS - 1; tails have up to two rows below it. */
const char *gm_glyph(char letter);
int64_t gm_glyph_height(const char *glyph); /* in rows; of a space: 0 */
int64_t gm_glyph_width(const char *glyph);  /* of a space: 3 */

#endif
