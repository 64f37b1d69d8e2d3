/* SHA-256 and SHA-512 (FIPS 180-4), and on them HMAC-SHA-256 (RFC 2104) and HKDF-SHA-256 (RFC 5869). */
#ifndef SHA2_H
#define SHA2_H

#include "common.h"

enum { SHA256_BLOCK = 64, SHA512_BLOCK = 128, SHA512_BYTES = 64 };

struct sha256 {
    uint32_t state[8];
    uint64_t size;
    uint8_t block[SHA256_BLOCK];
};

void sha256_start(struct sha256 *hash);
void sha256_add(struct sha256 *hash, const void *data, size_t size);
void sha256_end(struct sha256 *hash, uint8_t out[DIGEST_BYTES]);

struct sha512 {
    uint64_t state[8];
    uint64_t size;
    uint8_t block[SHA512_BLOCK];
};

void sha512_start(struct sha512 *hash);
void sha512_add(struct sha512 *hash, const void *data, size_t size);
void sha512_end(struct sha512 *hash, uint8_t out[SHA512_BYTES]);

/* A key as HMAC uses it: both padded blocks are hashed once, so that each message costs two blocks less. */
struct hmac {
    struct sha256 inner;
    struct sha256 outer;
};

void hmac_key(struct hmac *key, const uint8_t *secret, size_t size); /* at most 64 bytes */
void hmac(const struct hmac *key, const void *data, size_t size, uint8_t out[DIGEST_BYTES]);

/* Put 32 bytes of HKDF into `out`; an empty salt is none. The salt has at most 64 bytes and the label at most 63. */
void hkdf(const uint8_t secret[KEY_BYTES], struct span salt, const char *label, uint8_t out[KEY_BYTES]);

#endif
