/* A host that hears nothing sends the same bytes again, since it cannot know which way was lost. So the last request that
   changed the chip is kept, as a digest, with its answer: the same bytes get the same answer. */
#include "serial.h"

#include "board.h"
#include "sha2.h"

enum { SPDM = 0x05, OURS = 0x7f, ANSWER = 0x80, ERROR = 0xff, HEAD = 6 };
enum op { HELLO = 1, ATTEST = 2, ENDORSEMENT = 3, GRANT = 4, RANGE = 5, DATAGRAM = 6, CONCLUDE = 7 };
static const uint8_t ENTERPRISE[] = {OURS, 0x00, 0x00, 0x7e, 0xd9}; /* 32473, for documentation (RFC 5612) */

static const char *const WORDS[] = {
    [MALFORMED] = "malformed, or more than this board has room for",
    [NOT_SIGNED] = "not signed by whom this chip obeys",
    [NOT_FOR_ME] = "not for this chip",
    [OLD_SEQUENCE] = "sequence not above the last",
    [GRANT_REFUSED] = "grant in the challenge refused",
    [UNKNOWN_OP] = "ops are 1 to 7",
    [NO_SESSION] = "no open session under this challenge",
    [FAILED] = "the flash failed, or the factory page is not there",
};

static void send(const struct serial *serial, uint8_t op, struct span body) {
    uint8_t head[HEAD];
    memcpy(head, ENTERPRISE, sizeof ENTERPRISE);
    head[HEAD - 1] = op;
    mctp_answer(&serial->receiver.message, (struct span){head, sizeof head}, body);
}

static void refuse(const struct serial *serial, enum code code) {
    uint8_t body[64] = {0x82, (uint8_t)code, 0x78};
    size_t size = strlen(WORDS[code]), at = size < 24 ? 3 : 4;
    if (size < 24) body[2] = (uint8_t)(0x60 | size);
    else body[3] = (uint8_t)size;
    memcpy(body + at, WORDS[code], size);
    send(serial, ERROR, (struct span){body, at + size});
}

static void hello(const struct serial *serial) {
    uint8_t body[3 + 1 + UEID_BYTES + KID_BYTES] = {0x83, 0x01, 0x40 | UEID_BYTES};
    memcpy(body + 3, serial->chip->ueid, UEID_BYTES);
    body[3 + UEID_BYTES] = 0x40 | KID_BYTES;
    memcpy(body + 4 + UEID_BYTES, serial->chip->kid, KID_BYTES);
    send(serial, HELLO | ANSWER, (struct span){body, sizeof body});
}

static void answer_datagram(struct serial *serial, struct span body) {
    uint8_t out[MAX_DATAGRAM];
    size_t size = session_answer(&serial->chip->session, body, out);
    send(serial, DATAGRAM | ANSWER, (struct span){out, size});
}

static enum code perform(struct serial *serial, enum op op, struct span body) {
    serial->size = 0;
    switch (op) {
        case ATTEST: return chip_attest(serial->chip, body, serial->answer, MAX_ANSWER, &serial->size);
        case RANGE: return chip_open(serial->chip, body);
        case CONCLUDE: return chip_conclude(serial->chip, body, serial->answer, MAX_ANSWER, &serial->size);
        default: return chip_grant(serial->chip, body);
    }
}

/* A request that changes the chip: again, if it is the one before; only a success is kept. */
static void change(struct serial *serial, enum op op, struct span body) {
    struct sha256 hash;
    uint8_t digest[DIGEST_BYTES];
    uint8_t name = op;
    sha256_start(&hash);
    sha256_add(&hash, &name, 1);
    sha256_add(&hash, body.at, body.size);
    sha256_end(&hash, digest);
    if (!serial->kept || memcmp(digest, serial->last, sizeof digest) != 0) {
        struct state before = serial->chip->state;
        size_t size = serial->size;
        chip_catch_up(serial->chip);
        enum code code = perform(serial, op, body);
        if (code == FAILED) {
            serial->chip->state = before;
            serial->kept = false; /* its answer may be overwritten by one that must not leave */
        }
        if (code != DONE) {
            serial->size = size;
            refuse(serial, code);
            return;
        }
        memcpy(serial->last, digest, sizeof digest);
        serial->kept = true;
    }
    send(serial, op | ANSWER, (struct span){serial->answer, serial->size});
}

/* Whether the body of a request can be one of this op. */
static bool fits(enum op op, size_t size) {
    switch (op) {
        case HELLO:
        case ENDORSEMENT: return size == 0;
        case CONCLUDE: return size == ID_BYTES;
        case DATAGRAM: return size >= 1 && size <= MAX_DATAGRAM;
        default: return size >= 1 && size + HEAD <= MAX_REQUEST;
    }
}

static void serve(struct serial *serial) {
    const struct message *message = &serial->receiver.message;
    if (message->size < HEAD) {
        refuse(serial, MALFORMED);
        return;
    }
    enum op op = serial->receiver.body[HEAD - 1];
    struct span body = {serial->receiver.body + HEAD, message->size - HEAD};
    if (op < HELLO || op > CONCLUDE) refuse(serial, UNKNOWN_OP);
    else if (!fits(op, body.size)) refuse(serial, MALFORMED);
    else if (serial->booted != DONE) refuse(serial, serial->booted);
    else if (op == HELLO) hello(serial);
    else if (op == ENDORSEMENT) {
        const struct factory *factory = serial->chip->factory;
        send(serial, ENDORSEMENT | ANSWER, (struct span){factory->endorsement, factory->endorsement_bytes});
    } else if (op == DATAGRAM) answer_datagram(serial, body);
    else change(serial, op, body);
}

/* The door to SPDM: until there is a responder, every request is unsupported (DSP0274, ERROR). See protocols/spdm.py. */
static void refuse_spdm(const struct serial *serial) {
    enum { VERSION_1_0 = 0x10, SPDM_ERROR = 0x7f, INVALID_REQUEST = 0x01, UNSUPPORTED_REQUEST = 0x07, HEADER = 4 };
    const struct message *message = &serial->receiver.message;
    bool whole = message->size >= 1 + HEADER && serial->receiver.body[2] & 0x80;
    uint8_t answer[1 + HEADER] = {SPDM, VERSION_1_0, SPDM_ERROR, whole ? UNSUPPORTED_REQUEST : INVALID_REQUEST,
                                  whole ? serial->receiver.body[2] : 0};
    mctp_answer(message, (struct span){answer, sizeof answer}, (struct span){answer, 0});
}

void serial_byte(struct serial *serial, uint8_t byte) {
    const struct message *message = &serial->receiver.message;
    mctp_feed(&serial->receiver, byte);
    while (mctp_next(&serial->receiver)) {
        if (message->destination != MCTP_CHIP || !message->owner) continue;
        if (serial->receiver.body[0] == SPDM) refuse_spdm(serial);
        else if (message->size >= sizeof ENTERPRISE && memcmp(serial->receiver.body, ENTERPRISE, sizeof ENTERPRISE) == 0)
            serve(serial);
    }
}
