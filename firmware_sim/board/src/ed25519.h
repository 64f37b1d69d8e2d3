/* Ed25519 (RFC 8032) over a text that lies in pieces, by the one rule of decision 0002. */
#ifndef ED25519_H
#define ED25519_H

#include "common.h"

/* A text to sign or to check, so that no message has to be copied in order to be hashed. */
struct text {
    struct span part[8];
    unsigned parts;
};

struct private_key {
    uint8_t scalar[32];
    uint8_t prefix[32];
    uint8_t public[KEY_BYTES];
};

/* Make the key of a 32-byte seed. */
void ed25519_key(struct private_key *key, const uint8_t seed[KEY_BYTES]);

void ed25519_sign(const struct private_key *key, const struct text *text, uint8_t signature[SIGNATURE_BYTES]);

/* Return whether the signature is good: S below L, R the encoding of [S]B - [k]A and not of small order, A on the
   curve. R is never decompressed, so that no second encoding of it can pass. Not in constant time: nothing is secret. */
bool ed25519_verify(const uint8_t key[KEY_BYTES], const struct text *text, const uint8_t signature[SIGNATURE_BYTES]);

#endif
