/* The main loop: bytes to the serial firmware; and a step of work each second, so that none grows too long to count. */
#include "board.h"
#include "chip.h"
#include "serial.h"

enum { STEP_MS = 1000 };

int main(void) {
    static struct chip chip;
    static struct serial serial;
    serial.chip = &chip;
    serial.booted = chip_boot(&chip, (const struct factory *)board_factory());
    for (;;) {
        uint8_t byte;
        if (board_get(&byte)) serial_byte(&serial, byte);
        else if (serial.booted == DONE && board_us() / 1000 - chip.worked_ms >= STEP_MS) chip_catch_up(&chip);
    }
}
