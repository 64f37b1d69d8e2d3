/* MCTP (DMTF DSP0236) over a serial line (DSP0253): bytes in, messages out, and back. See protocols/mctp.py. */
#ifndef MCTP_H
#define MCTP_H

#include "common.h"

enum {
    MCTP_HOST = 8,
    MCTP_CHIP = 9,
    MCTP_BODY = 64,                       /* bytes of a message in one packet */
    MCTP_HEADER = 4,
    MCTP_MOST = 61440 + 6,                /* bytes of the longest message that anyone may send */
    MCTP_FRAME = 6 + 2 * (MCTP_HEADER + MCTP_BODY), /* of the longest frame, every byte escaped */
};

struct message {
    uint8_t destination, source, tag;
    bool owner;    /* set by the side that chose the tag, which is the one that asks */
    size_t size;   /* of the whole message; over MAX_REQUEST, only its beginning is in the body */
};

struct receiver {
    uint8_t raw[MCTP_FRAME];
    size_t held;
    bool decisive; /* whether the last byte can have completed a frame, or broken it */
    bool begun;
    uint8_t way[3], unit, sequence;
    struct message message;
    uint8_t body[MAX_REQUEST];
};

/* Take in one byte of the line. Then call `mctp_next` until it returns false. */
void mctp_feed(struct receiver *receiver, uint8_t byte);

/* Return whether a message has ended; it is in `message` and `body` until the next call. */
bool mctp_next(struct receiver *receiver);

/* Send the answer to a message, of two parts end to end. */
void mctp_answer(const struct message *request, struct span head, struct span body);

#endif
