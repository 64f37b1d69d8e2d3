/* What every part of the firmware shares: spans of bytes, the codes of refusals, and the sizes that bound the RAM. */
#ifndef COMMON_H
#define COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    UEID_BYTES = 17,
    KID_BYTES = 16,
    DIGEST_BYTES = 32,
    ID_BYTES = 16,
    KEY_BYTES = 32,
    SIGNATURE_BYTES = 64,
    MAX_REQUEST = 2048,  /* bytes of one message that this board takes; hem.cddl allows 61,440 */
    MAX_ANSWER = 1024,   /* bytes of one answer that is made in RAM; an endorsement is sent from flash */
    MAX_ISSUERS = 4,
    MAX_SIGNERS = 16,    /* of one grant, as hem.cddl has it */
};

/* Why this board refuses, as protocols/serial_messages.py has them. 0 is no refusal. */
enum code {
    DONE = 0,
    MALFORMED = 1,
    NOT_SIGNED = 2,
    NOT_FOR_ME = 3,
    OLD_SEQUENCE = 4,
    GRANT_REFUSED = 5,
    UNKNOWN_OP = 6,
    NO_SESSION = 7,
    FAILED = 8,
};

struct span {
    const uint8_t *at;
    size_t size;
};

static inline bool same(struct span one, const uint8_t *other, size_t size) {
    return one.size == size && memcmp(one.at, other, size) == 0;
}

#endif
