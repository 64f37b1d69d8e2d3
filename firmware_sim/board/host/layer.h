/* The board layer on a computer: flash, clock and random bytes that a test commands, and power that fails on demand. */
#ifndef LAYER_H
#define LAYER_H

#include <setjmp.h>

#include "common.h"

enum { PAGE = 1024, FACTORY = 4096, LINE = 1 << 17 };

struct layer {
    uint8_t flash[2 * PAGE];
    _Alignas(8) uint8_t factory[FACTORY];
    uint64_t us, counter;
    uint8_t seed[DIGEST_BYTES];
    uint32_t writes_left, torn; /* power fails at the write after so many; of that word the bits of `torn` are written */
    bool worn;                  /* the flash takes no write any more */
    jmp_buf dark;               /* where a loss of power leads */
    uint8_t line[LINE];         /* what the board has sent */
    size_t sent;
};
extern struct layer layer;

#endif
