/* COSE_Sign1 and COSE_Sign (RFC 9052, section 4) as hem.cddl narrows them, on the decoders that zcbor makes. */
#ifndef COSE_H
#define COSE_H

#include <msg_types.h>

#include "common.h"
#include "ed25519.h"

/* An envelope whose form is good. Nothing in it is believed before `cose_signed_by` says so. */
struct envelope {
    struct span protected, payload;
    unsigned signers;
    bool several; /* COSE_Sign: each signer has a header of its own */
    struct {
        struct span protected, kid, signature;
        int algorithm;
    } signer[MAX_SIGNERS];
};

/* How long the last signature and the last check took, in microseconds: for whoever measures, through the debug port. */
struct timing {
    uint32_t sign_us, verify_us;
};
extern struct timing timing;

/* Return the span of a string that zcbor found. */
static inline struct span span_of(struct zcbor_string string) { return (struct span){string.value, string.len}; }
static inline struct zcbor_string string_of(const void *at, size_t size) { return (struct zcbor_string){at, size}; }

/* Read an envelope of kind `typ`, of one signer or, if `several` may sign, of several; false if its form is not good. */
bool cose_open(struct span message, int typ, bool several, struct envelope *envelope);

/* Return how many have signed: each of them must hold one of these keys, under the algorithm and the key id that its
   header names, and its signature must be good. 0 if that is not so of one, with all good ones beside it. */
unsigned cose_signers(const struct envelope *envelope, const uint8_t keys[][KEY_BYTES], uint32_t count);

/* Put the SHA-256 of what is signed into `out`, of several signers with an empty header in place of a signer's: the name
   of a message in chains and grants, the same whoever has signed it. */
void cose_digest(const struct envelope *envelope, uint8_t out[DIGEST_BYTES]);

/* Put the id of a key into `out`: of its COSE Key Thumbprint (RFC 9679). */
void cose_kid(const uint8_t key[KEY_BYTES], uint8_t out[KID_BYTES]);

/* Put evidence signed by `key` around `payload` into `out`, and its digest into `digest`; return its size, 0 if there is
   no room. */
size_t cose_seal(const struct private_key *key, const uint8_t kid[KID_BYTES], struct span payload, uint8_t *out,
                 size_t room, uint8_t digest[DIGEST_BYTES]);

/* Return whether a text is UTF-8 (RFC 3629): zcbor does not look. */
bool utf8(struct span text);

#endif
