/* The timed phase with landmarks, as firmware_sim/ranging.py has it, with room for two landmarks. All of it is in RAM. */
#ifndef SESSION_H
#define SESSION_H

#include <msg_types.h>

#include "common.h"
#include "sha2.h"

enum { MAX_PROBES = 64, NONCE_BYTES = 16, LANDMARKS = 2, MAX_DATAGRAM = 128 };

struct landmark {
    uint8_t kid[KID_BYTES];
    uint64_t answered; /* bit i: the probe of number i */
    bool closed;
    uint8_t digest[DIGEST_BYTES];
    uint8_t nonce[MAX_PROBES][NONCE_BYTES];
};

struct session {
    bool open;
    uint8_t id[ID_BYTES], challenge[DIGEST_BYTES], ueid[UEID_BYTES], secret[KEY_BYTES], commitment[DIGEST_BYTES];
    struct hmac key;
    unsigned landmarks;
    struct landmark landmark[LANDMARKS];
};

/* Begin a session under a challenge, with a new key. */
void session_begin(struct session *session, const uint8_t id[ID_BYTES], const uint8_t nonce[DIGEST_BYTES],
                   const uint8_t ueid[UEID_BYTES]);

/* End it: the key is wiped, and nothing is answered any more. */
void session_end(struct session *session);

/* Put the answer to a datagram into `out`; return its size, 0 for what gets none. */
size_t session_answer(struct session *session, struct span datagram, uint8_t out[MAX_DATAGRAM]);

/* Put what evidence says of this session into `claim`; false if no landmark has closed. */
bool session_claim(const struct session *session, struct ranging *claim);

#endif
