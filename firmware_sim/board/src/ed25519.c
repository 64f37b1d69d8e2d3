/* Monocypher's own check multiplies by the cofactor and takes second encodings of R and A. The rule of this project does
   neither, and needs the points themselves, which Monocypher keeps to its file: so that file is a part of this one. */
#include <monocypher.c>

#include "ed25519.h"
#include "sha2.h"

static void add_text(struct sha512 *hash, const struct text *text) {
    for (unsigned i = 0; i < text->parts; i++) sha512_add(hash, text->part[i].at, text->part[i].size);
}

/* Put SHA-512(one | other | text) mod L into `out`; `other` may be absent. */
static void challenge_of(const uint8_t one[32], const uint8_t *other, const struct text *text, uint8_t out[32]) {
    struct sha512 hash;
    uint8_t wide[SHA512_BYTES];
    sha512_start(&hash);
    sha512_add(&hash, one, 32);
    if (other != NULL) sha512_add(&hash, other, 32);
    add_text(&hash, text);
    sha512_end(&hash, wide);
    crypto_eddsa_reduce(out, wide);
    crypto_wipe(wide, sizeof wide);
    crypto_wipe(&hash, sizeof hash);
}

void ed25519_key(struct private_key *key, const uint8_t seed[KEY_BYTES]) {
    struct sha512 hash;
    uint8_t wide[SHA512_BYTES];
    sha512_start(&hash);
    sha512_add(&hash, seed, KEY_BYTES);
    sha512_end(&hash, wide);
    crypto_eddsa_trim_scalar(key->scalar, wide);
    memcpy(key->prefix, wide + 32, 32);
    crypto_eddsa_scalarbase(key->public, key->scalar);
    crypto_wipe(wide, sizeof wide);
    crypto_wipe(&hash, sizeof hash);
}

void ed25519_sign(const struct private_key *key, const struct text *text, uint8_t signature[SIGNATURE_BYTES]) {
    uint8_t r[32], k[32];
    challenge_of(key->prefix, NULL, text, r);
    crypto_eddsa_scalarbase(signature, r);
    challenge_of(signature, key->public, text, k);
    crypto_eddsa_mul_add(signature + 32, k, key->scalar, r);
    crypto_wipe(r, sizeof r);
}

/* Put [s]B - [k]A into `sum`; false if A is not the one encoding of a point on the curve. */
static bool equation(ge *sum, const uint8_t s[32], const uint8_t k[32], const uint8_t key[KEY_BYTES]) {
    uint8_t again[32];
    ge minus, tmp;
    ge_cached added;
    fe a, b;
    if (ge_frombytes_neg_vartime(&minus, key) != 0) return false;
    ge_tobytes(again, &minus);
    again[31] ^= 0x80; /* minus A differs in its sign alone; for x = 0 both signs would be the same point */
    if (memcmp(again, key, sizeof again) != 0) return false;
    ge_cache(&added, &minus);
    ge_zero(sum);
    for (int i = 255; i >= 0; i--) {
        ge_double(sum, sum, &tmp);
        if (scalar_bit(s, i)) ge_madd(sum, sum, &b_window[0], a, b);
        if (scalar_bit(k, i)) ge_add(sum, sum, &added);
    }
    return true;
}

bool ed25519_verify(const uint8_t key[KEY_BYTES], const struct text *text, const uint8_t signature[SIGNATURE_BYTES]) {
    static const uint8_t neutral[32] = {1};
    uint8_t k[32], encoded[32];
    u32 s[8];
    ge sum, tmp;
    load32_le_buf(s, signature + 32, 8);
    if (is_above_l(s)) return false;
    challenge_of(signature, key, text, k);
    if (!equation(&sum, signature + 32, k, key)) return false;
    ge_tobytes(encoded, &sum);
    if (memcmp(encoded, signature, sizeof encoded) != 0) return false;
    for (int i = 0; i < 3; i++) ge_double(&sum, &sum, &tmp);
    ge_tobytes(encoded, &sum);
    return memcmp(encoded, neutral, sizeof encoded) != 0;
}
