/* The portable part as a program: commands on standard input (one letter, u32 size, bytes), and for each an answer on
   standard output (one byte: 0, or 1 after a loss of power; u32 size, bytes). */
#include <stdio.h>
#include <stdlib.h>

#include "board.h"
#include "chip.h"
#include "ed25519.h"
#include "layer.h"
#include "serial.h"

static struct chip chip;
static struct serial serial;

static uint32_t number(const uint8_t *at) {
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static void answer(bool dark, const void *data, size_t size) {
    uint8_t head[5] = {dark};
    uint32_t count = (uint32_t)size;
    memcpy(head + 1, &count, sizeof count);
    fwrite(head, 1, sizeof head, stdout);
    fwrite(data, 1, size, stdout);
    fflush(stdout);
}

static void boot(void) {
    memset(&serial, 0, sizeof serial);
    serial.chip = &chip;
    layer.us = 0;
    serial.booted = chip_boot(&chip, board_factory());
}

static bool verified(const uint8_t *data, size_t size) {
    enum { FIXED = KEY_BYTES + SIGNATURE_BYTES };
    if (size < FIXED) exit(2);
    struct text text = {{{data + FIXED, size - FIXED}}, 1};
    return ed25519_verify(data, &text, data + KEY_BYTES);
}

/* Set a part of the layer. */
static void set(char letter, const uint8_t *data, size_t size) {
    switch (letter) {
        case 'P': layer.writes_left = number(data), layer.torn = number(data + 4); return;
        case 'S': memcpy(layer.seed, data, DIGEST_BYTES), layer.counter = 0; return;
        case 'Y': memcpy(layer.factory, data, size < FACTORY ? size : FACTORY); return;
        case 'X': layer.worn = number(data) != 0; return;
        case 'W': memcpy(layer.flash, data, sizeof layer.flash); return;
        default: exit(2);
    }
}

/* Carry out one command on the chip. */
static void command(char letter, const uint8_t *data, size_t size) {
    switch (letter) {
        case 'B': boot(); return;
        case 'L':
            for (size_t i = 0; i < size; i++) serial_byte(&serial, data[i]);
            return;
        case 'T': layer.us += 1000 * (uint64_t)number(data); return;
        default: set(letter, data, size);
    }
}

int main(void) {
    static uint8_t data[LINE];
    uint8_t head[5];
    layer.writes_left = UINT32_MAX;
    while (fread(head, 1, sizeof head, stdin) == sizeof head) {
        uint32_t size = number(head + 1);
        if (size > sizeof data || fread(data, 1, size, stdin) != size) return 2;
        layer.sent = 0;
        if (head[0] == 'R') {
            answer(false, layer.flash, sizeof layer.flash);
        } else if (head[0] == 'V') {
            answer(false, verified(data, size) ? "1" : "0", 1);
        } else if (setjmp(layer.dark) == 0) {
            command((char)head[0], data, size);
            answer(false, layer.line, layer.sent);
        } else {
            layer.writes_left = UINT32_MAX;
            answer(true, layer.line, layer.sent);
        }
    }
    return 0;
}
