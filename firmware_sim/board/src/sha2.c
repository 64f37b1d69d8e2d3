#include "sha2.h"

static const uint64_t ROUND[80] = {
    0x428a2f98d728ae22, 0x7137449123ef65cd, 0xb5c0fbcfec4d3b2f, 0xe9b5dba58189dbbc, 0x3956c25bf348b538,
    0x59f111f1b605d019, 0x923f82a4af194f9b, 0xab1c5ed5da6d8118, 0xd807aa98a3030242, 0x12835b0145706fbe,
    0x243185be4ee4b28c, 0x550c7dc3d5ffb4e2, 0x72be5d74f27b896f, 0x80deb1fe3b1696b1, 0x9bdc06a725c71235,
    0xc19bf174cf692694, 0xe49b69c19ef14ad2, 0xefbe4786384f25e3, 0x0fc19dc68b8cd5b5, 0x240ca1cc77ac9c65,
    0x2de92c6f592b0275, 0x4a7484aa6ea6e483, 0x5cb0a9dcbd41fbd4, 0x76f988da831153b5, 0x983e5152ee66dfab,
    0xa831c66d2db43210, 0xb00327c898fb213f, 0xbf597fc7beef0ee4, 0xc6e00bf33da88fc2, 0xd5a79147930aa725,
    0x06ca6351e003826f, 0x142929670a0e6e70, 0x27b70a8546d22ffc, 0x2e1b21385c26c926, 0x4d2c6dfc5ac42aed,
    0x53380d139d95b3df, 0x650a73548baf63de, 0x766a0abb3c77b2a8, 0x81c2c92e47edaee6, 0x92722c851482353b,
    0xa2bfe8a14cf10364, 0xa81a664bbc423001, 0xc24b8b70d0f89791, 0xc76c51a30654be30, 0xd192e819d6ef5218,
    0xd69906245565a910, 0xf40e35855771202a, 0x106aa07032bbd1b8, 0x19a4c116b8d2d0c8, 0x1e376c085141ab53,
    0x2748774cdf8eeb99, 0x34b0bcb5e19b48a8, 0x391c0cb3c5c95a63, 0x4ed8aa4ae3418acb, 0x5b9cca4f7763e373,
    0x682e6ff3d6b2b8a3, 0x748f82ee5defb2fc, 0x78a5636f43172f60, 0x84c87814a1f0ab72, 0x8cc702081a6439ec,
    0x90befffa23631e28, 0xa4506cebde82bde9, 0xbef9a3f7b2c67915, 0xc67178f2e372532b, 0xca273eceea26619c,
    0xd186b8c721c0c207, 0xeada7dd6cde0eb1e, 0xf57d4f7fee6ed178, 0x06f067aa72176fba, 0x0a637dc5a2c898a6,
    0x113f9804bef90dae, 0x1b710b35131c471b, 0x28db77f523047d84, 0x32caab7b40c72493, 0x3c9ebe0a15c9bebc,
    0x431d67c49c100d4c, 0x4cc5d4becb3e42b6, 0x597f299cfc657e2a, 0x5fcb6fab3ad6faec, 0x6c44198c4a475817,
};

static const uint64_t START[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

/* The constants of SHA-256 are the upper halves of those of SHA-512: both are the same fractions (FIPS 180-4, 4.2). */
static uint32_t upper(uint64_t value) { return (uint32_t)(value >> 32); }

static uint32_t turn32(uint32_t value, int by) { return value >> by | value << (32 - by); }

static uint64_t turn64(uint64_t value, int by) { return value >> by | value << (64 - by); }

static uint64_t load(const uint8_t *at, int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) value = value << 8 | at[i];
    return value;
}

static void store(uint8_t *at, uint64_t value, int bytes) {
    for (int i = bytes - 1; i >= 0; i--, value >>= 8) at[i] = (uint8_t)value;
}

static void block256(uint32_t state[8], const uint8_t *data) {
    uint32_t w[16], s[8];
    for (int i = 0; i < 16; i++) w[i] = (uint32_t)load(data + 4 * i, 4);
    memcpy(s, state, sizeof s);
    for (int i = 0; i < 64; i++) {
        uint32_t sum = turn32(s[4], 6) ^ turn32(s[4], 11) ^ turn32(s[4], 25);
        uint32_t one = s[7] + sum + ((s[4] & s[5]) ^ (~s[4] & s[6])) + upper(ROUND[i]) + w[i & 15];
        sum = turn32(s[0], 2) ^ turn32(s[0], 13) ^ turn32(s[0], 22);
        uint32_t two = sum + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += one;
        s[0] = one + two;
        uint32_t a = w[(i + 1) & 15], b = w[(i + 14) & 15];
        w[i & 15] += (turn32(a, 7) ^ turn32(a, 18) ^ a >> 3) + w[(i + 9) & 15] + (turn32(b, 17) ^ turn32(b, 19) ^ b >> 10);
    }
    for (int i = 0; i < 8; i++) state[i] += s[i];
}

static void block512(uint64_t state[8], const uint8_t *data) {
    uint64_t w[16], s[8];
    for (int i = 0; i < 16; i++) w[i] = load(data + 8 * i, 8);
    memcpy(s, state, sizeof s);
    for (int i = 0; i < 80; i++) {
        uint64_t sum = turn64(s[4], 14) ^ turn64(s[4], 18) ^ turn64(s[4], 41);
        uint64_t one = s[7] + sum + ((s[4] & s[5]) ^ (~s[4] & s[6])) + ROUND[i] + w[i & 15];
        sum = turn64(s[0], 28) ^ turn64(s[0], 34) ^ turn64(s[0], 39);
        uint64_t two = sum + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += one;
        s[0] = one + two;
        uint64_t a = w[(i + 1) & 15], b = w[(i + 14) & 15];
        w[i & 15] += (turn64(a, 1) ^ turn64(a, 8) ^ a >> 7) + w[(i + 9) & 15] + (turn64(b, 19) ^ turn64(b, 61) ^ b >> 6);
    }
    for (int i = 0; i < 8; i++) state[i] += s[i];
}

void sha256_start(struct sha256 *hash) {
    for (int i = 0; i < 8; i++) hash->state[i] = upper(START[i]);
    hash->size = 0;
}

void sha256_add(struct sha256 *hash, const void *data, size_t size) {
    for (const uint8_t *at = data; size > 0; size--) {
        hash->block[hash->size++ % SHA256_BLOCK] = *at++;
        if (hash->size % SHA256_BLOCK == 0) block256(hash->state, hash->block);
    }
}

void sha256_end(struct sha256 *hash, uint8_t out[DIGEST_BYTES]) {
    uint8_t length[8];
    store(length, 8 * hash->size, 8);
    sha256_add(hash, "\x80", 1);
    while (hash->size % SHA256_BLOCK != SHA256_BLOCK - 8) sha256_add(hash, "", 1);
    sha256_add(hash, length, sizeof length);
    for (int i = 0; i < 8; i++) store(out + 4 * i, hash->state[i], 4);
}

void sha512_start(struct sha512 *hash) {
    memcpy(hash->state, START, sizeof START);
    hash->size = 0;
}

void sha512_add(struct sha512 *hash, const void *data, size_t size) {
    for (const uint8_t *at = data; size > 0; size--) {
        hash->block[hash->size++ % SHA512_BLOCK] = *at++;
        if (hash->size % SHA512_BLOCK == 0) block512(hash->state, hash->block);
    }
}

void sha512_end(struct sha512 *hash, uint8_t out[SHA512_BYTES]) {
    uint8_t length[16] = {0};
    store(length + 8, 8 * hash->size, 8);
    sha512_add(hash, "\x80", 1);
    while (hash->size % SHA512_BLOCK != SHA512_BLOCK - sizeof length) sha512_add(hash, "", 1);
    sha512_add(hash, length, sizeof length);
    for (int i = 0; i < 8; i++) store(out + 8 * i, hash->state[i], 8);
}

static void padded(struct sha256 *hash, const uint8_t *secret, size_t size, uint8_t pad) {
    uint8_t block[SHA256_BLOCK];
    for (size_t i = 0; i < sizeof block; i++) block[i] = (uint8_t)((i < size ? secret[i] : 0) ^ pad);
    sha256_start(hash);
    sha256_add(hash, block, sizeof block);
}

void hmac_key(struct hmac *key, const uint8_t *secret, size_t size) {
    padded(&key->inner, secret, size, 0x36);
    padded(&key->outer, secret, size, 0x5c);
}

void hmac(const struct hmac *key, const void *data, size_t size, uint8_t out[DIGEST_BYTES]) {
    struct sha256 hash = key->inner;
    sha256_add(&hash, data, size);
    sha256_end(&hash, out);
    hash = key->outer;
    sha256_add(&hash, out, DIGEST_BYTES);
    sha256_end(&hash, out);
}

void hkdf(const uint8_t secret[KEY_BYTES], struct span salt, const char *label, uint8_t out[KEY_BYTES]) {
    struct hmac key;
    uint8_t extracted[DIGEST_BYTES], info[64];
    hmac_key(&key, salt.at, salt.size);
    hmac(&key, secret, KEY_BYTES, extracted);
    size_t size = strlen(label);
    memcpy(info, label, size);
    info[size] = 1;
    hmac_key(&key, extracted, sizeof extracted);
    hmac(&key, info, size + 1, out);
}
