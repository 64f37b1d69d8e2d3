#include "layer.h"

#include "board.h"
#include "sha2.h"

struct layer layer;
const char board_name[] = "host";
const uint32_t board_page_bytes = PAGE;

const uint8_t *board_page(unsigned page) { return layer.flash + page * PAGE; }

const void *board_factory(void) { return layer.factory; }

/* Return whether the power lasts for one more operation on the flash. */
static bool powered(void) {
    if (layer.writes_left == UINT32_MAX) return true;
    return layer.writes_left-- > 0;
}

void board_erase(unsigned page) {
    bool whole = powered();
    memset(layer.flash + page * PAGE, 0xff, whole ? PAGE : layer.torn % PAGE);
    if (!whole) longjmp(layer.dark, 1);
}

void board_write(unsigned page, uint32_t offset, uint32_t word) {
    bool whole = powered();
    uint8_t *at = layer.flash + page * PAGE + offset;
    uint32_t now;
    memcpy(&now, at, sizeof now);
    if (!layer.worn) now &= whole ? word : word | ~layer.torn;
    memcpy(at, &now, sizeof now);
    if (!whole) longjmp(layer.dark, 1);
}

void board_random(uint8_t *out, size_t size) {
    for (size_t at = 0; at < size; at += DIGEST_BYTES) {
        struct sha256 hash;
        uint8_t digest[DIGEST_BYTES];
        sha256_start(&hash);
        sha256_add(&hash, layer.seed, sizeof layer.seed);
        sha256_add(&hash, &layer.counter, sizeof layer.counter);
        sha256_end(&hash, digest);
        layer.counter++;
        memcpy(out + at, digest, size - at < DIGEST_BYTES ? size - at : DIGEST_BYTES);
    }
}

uint64_t board_us(void) { return layer.us; }

void board_measure(uint8_t out[DIGEST_BYTES]) { memset(out, 0xcc, DIGEST_BYTES); }

bool board_get(uint8_t *byte) {
    (void)byte;
    return false;
}

void board_put(uint8_t byte) {
    if (layer.sent < LINE) layer.line[layer.sent++] = byte;
}
