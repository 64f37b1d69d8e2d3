/* Requests in, answers out, one at a time: see firmware_sim/serial.py. */
#ifndef SERIAL_H
#define SERIAL_H

#include "chip.h"
#include "mctp.h"

struct serial {
    struct chip *chip;
    enum code booted; /* DONE, or why no request but an SPDM one is served */
    struct receiver receiver;
    bool kept;
    uint8_t last[DIGEST_BYTES]; /* of the last request that changed the chip, if `kept`; its answer is in `answer` */
    size_t size;
    uint8_t answer[MAX_ANSWER];
};

/* Take in one byte of the line, and answer what it ends. */
void serial_byte(struct serial *serial, uint8_t byte);

#endif
