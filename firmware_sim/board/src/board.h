/* The thin layer: all that the portable part asks of a board. Each board implements these, and nothing else of it. */
#ifndef BOARD_H
#define BOARD_H

#include "common.h"

enum { FLASH_PAGES = 2 };

/* The name of the hardware revision, as evidence says it; at most 32 bytes. */
extern const char board_name[];

/* Bytes of one flash page, a multiple of 4; the two pages that keep the state are numbered 0 and 1. */
extern const uint32_t board_page_bytes;

/* Return where a page of the state can be read. */
const uint8_t *board_page(unsigned page);

/* Set every byte of a page to 0xFF. May lose power at any point. */
void board_erase(unsigned page);

/* Write one word, at a multiple of 4 bytes in a page. Writing can only clear bits. May lose power at any point. */
void board_write(unsigned page, uint32_t offset, uint32_t word);

/* Return where the factory page is, aligned to 4 bytes: a `struct factory`, or blank. */
const void *board_factory(void);

/* Fill with random bytes from the hardware. */
void board_random(uint8_t *out, size_t size);

/* Return the time since boot, in microseconds; never goes back. */
uint64_t board_us(void);

/* Put the SHA-256 of the code that runs here into `out`. */
void board_measure(uint8_t out[DIGEST_BYTES]);

/* Take the next byte that the serial line has brought; false if there is none. */
bool board_get(uint8_t *byte);

/* Hand one byte to the serial line; returns when the line has taken it. */
void board_put(uint8_t byte);

#endif
