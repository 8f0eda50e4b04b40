/* The built-in digits: labelled 28x28 pictures in the manner of MNIST, drawn when they are needed. */
#ifndef GM_RUNTIME_DIGITS_H
#define GM_RUNTIME_DIGITS_H

#include "graph/base.h"

#define GM_DIGITS_SIDE  28
#define GM_DIGITS_TRAIN 60000
#define GM_DIGITS_TEST  10000

/* Draws pictures first ... first + count - 1 of the training or test part: pictures [count, 28, 28], white strokes on
 * black, labels [count]. The same bytes each time; every ten successive pictures (from a multiple of ten) hold each
 * digit once. Nothing is shared between the parts. */
void gm_digits_draw(bool test, int64_t first, int64_t count, uint8_t *pictures, uint8_t *labels, int threads);

#endif
