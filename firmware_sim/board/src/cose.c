#include "cose.h"

#include <msg_decode.h>
#include <msg_encode.h>

#include "board.h"
#include "sha2.h"

enum { FROM_SIGN1_TAG = 0xd2, EDDSA = -8, ED25519 = -19 };

struct timing timing __attribute__((section(".timing")));

/* A bstr head for up to 65,535 bytes; return its size. */
static size_t head(uint8_t out[3], size_t size) {
    if (size < 24) return out[0] = (uint8_t)(0x40 | size), 1;
    if (size < 256) return out[0] = 0x58, out[1] = (uint8_t)size, 2;
    return out[0] = 0x59, out[1] = (uint8_t)(size >> 8), out[2] = (uint8_t)size, 3;
}

/* The Sig_structure of a message, without a copy of it. */
struct signing {
    struct text text;
    uint8_t heads[3][3];
};

static void add(struct text *text, const void *at, size_t size) { text->part[text->parts++] = (struct span){at, size}; }

static void add_bstr(struct signing *signing, uint8_t room[3], struct span bytes) {
    add(&signing->text, room, head(room, bytes.size));
    add(&signing->text, bytes.at, bytes.size);
}

static void sig_structure(struct signing *signing, struct span protected, const struct span *signer, struct span payload) {
    static const uint8_t one[] = "\x84\x6aSignature1", many[] = "\x85\x69Signature", no_aad[] = {0x40};
    signing->text.parts = 0;
    if (signer == NULL) add(&signing->text, one, sizeof one - 1);
    else add(&signing->text, many, sizeof many - 1);
    add_bstr(signing, signing->heads[0], protected);
    if (signer != NULL) add_bstr(signing, signing->heads[1], *signer);
    add(&signing->text, no_aad, sizeof no_aad);
    add_bstr(signing, signing->heads[2], payload);
}

static bool open_one(struct span message, int typ, struct envelope *envelope) {
    struct sign1 sign1;
    struct header header;
    size_t size;
    if (cbor_decode_sign1(message.at, message.size, &sign1, &size) != 0 || size != message.size) return false;
    envelope->protected = span_of(sign1.sign1_protected);
    envelope->payload = span_of(sign1.sign1_payload);
    envelope->signers = 1;
    envelope->several = false;
    struct span protected = envelope->protected;
    if (cbor_decode_header(protected.at, protected.size, &header, &size) != 0 || size != protected.size) return false;
    envelope->signer[0].protected = protected;
    envelope->signer[0].kid = span_of(header.header_kid_m);
    envelope->signer[0].algorithm = header.header_algorithm_m.algorithm_choice;
    envelope->signer[0].signature = span_of(sign1.sign1_signature);
    return (int)header.header_typ_m.typ_choice == typ;
}

static bool read_signer(const struct signer *from, struct envelope *envelope, unsigned i) {
    struct signer_header header;
    size_t size;
    struct span protected = span_of(from->signer_protected);
    if (cbor_decode_signer_header(protected.at, protected.size, &header, &size) != 0) return false;
    envelope->signer[i].protected = protected;
    envelope->signer[i].kid = span_of(header.signer_header_kid_m);
    envelope->signer[i].algorithm = header.signer_header_algorithm_m.algorithm_choice;
    envelope->signer[i].signature = span_of(from->signer_signature);
    /* One signer is one signer: sorted, and no one twice. */
    return size == protected.size &&
           (i == 0 || memcmp(envelope->signer[i - 1].kid.at, envelope->signer[i].kid.at, KID_BYTES) < 0);
}

static bool open_several(struct span message, int typ, struct envelope *envelope) {
    struct sign sign;
    struct body_header header;
    size_t size;
    if (cbor_decode_sign(message.at, message.size, &sign, &size) != 0 || size != message.size) return false;
    struct span protected = span_of(sign.sign_protected);
    if (cbor_decode_body_header(protected.at, protected.size, &header, &size) != 0 || size != protected.size) return false;
    envelope->protected = protected;
    envelope->payload = span_of(sign.sign_payload);
    envelope->signers = (unsigned)sign.sign_signatures_signer_m_count;
    envelope->several = true;
    for (unsigned i = 0; i < envelope->signers; i++) {
        if (!read_signer(&sign.sign_signatures_signer_m[i], envelope, i)) return false;
    }
    return (int)header.body_header_typ_m.typ_choice == typ;
}

bool cose_open(struct span message, int typ, bool several, struct envelope *envelope) {
    if (several && message.size > 0 && message.at[0] != FROM_SIGN1_TAG) return open_several(message, typ, envelope);
    return open_one(message, typ, envelope);
}

/* Return whether signer `i` is the holder of `key`, whose id its header names. */
static bool signed_by(const struct envelope *envelope, unsigned i, const uint8_t key[KEY_BYTES]) {
    int algorithm = envelope->signer[i].algorithm;
    struct span signature = envelope->signer[i].signature;
    if ((algorithm != EDDSA && algorithm != ED25519) || signature.size != SIGNATURE_BYTES) return false;
    struct signing signing;
    const struct span *own = envelope->several ? &envelope->signer[i].protected : NULL;
    sig_structure(&signing, envelope->protected, own, envelope->payload);
    uint64_t start = board_us();
    bool good = ed25519_verify(key, &signing.text, signature.at);
    timing.verify_us = (uint32_t)(board_us() - start);
    return good;
}

unsigned cose_signers(const struct envelope *envelope, const uint8_t keys[][KEY_BYTES], uint32_t count) {
    for (unsigned i = 0; i < envelope->signers; i++) {
        bool good = false;
        for (uint32_t j = 0; j < count && !good; j++) {
            uint8_t kid[KID_BYTES];
            cose_kid(keys[j], kid);
            good = same(envelope->signer[i].kid, kid, sizeof kid) && signed_by(envelope, i, keys[j]);
        }
        if (!good) return 0;
    }
    return envelope->signers;
}

static void digest_of(struct span protected, const struct span *signer, struct span payload, uint8_t out[DIGEST_BYTES]) {
    struct signing signing;
    struct sha256 hash;
    sig_structure(&signing, protected, signer, payload);
    sha256_start(&hash);
    for (unsigned i = 0; i < signing.text.parts; i++) sha256_add(&hash, signing.text.part[i].at, signing.text.part[i].size);
    sha256_end(&hash, out);
}

void cose_digest(const struct envelope *envelope, uint8_t out[DIGEST_BYTES]) {
    static const struct span empty = {(const uint8_t *)"", 0};
    digest_of(envelope->protected, envelope->several ? &empty : NULL, envelope->payload, out);
}

void cose_kid(const uint8_t key[KEY_BYTES], uint8_t out[KID_BYTES]) {
    static const uint8_t okp_ed25519[] = {0xa3, 0x01, 0x01, 0x20, 0x06, 0x21, 0x58, 0x20};
    struct sha256 hash;
    uint8_t digest[DIGEST_BYTES];
    sha256_start(&hash);
    sha256_add(&hash, okp_ed25519, sizeof okp_ed25519);
    sha256_add(&hash, key, KEY_BYTES);
    sha256_end(&hash, digest);
    memcpy(out, digest, KID_BYTES);
}

size_t cose_seal(const struct private_key *key, const uint8_t kid[KID_BYTES], struct span payload, uint8_t *out,
                 size_t room, uint8_t digest[DIGEST_BYTES]) {
    uint8_t protected[64], signature[SIGNATURE_BYTES];
    struct header header = {{EDDSA}, string_of(kid, KID_BYTES), {typ_uint263_c}};
    size_t size;
    if (cbor_encode_header(protected, sizeof protected, &header, &size) != 0) return 0;
    struct span head = {protected, size};
    struct signing signing;
    sig_structure(&signing, head, NULL, payload);
    uint64_t start = board_us();
    ed25519_sign(key, &signing.text, signature);
    timing.sign_us = (uint32_t)(board_us() - start);
    digest_of(head, NULL, payload, digest);
    struct sign1 sign1 = {string_of(protected, size), string_of(payload.at, payload.size),
                          string_of(signature, sizeof signature)};
    return cbor_encode_sign1(out, room, &sign1, &size) == 0 ? size : 0;
}

/* How many bytes follow the first one of a character, and the least it may stand for; -1 if none begins so. */
static int following(uint8_t first, uint32_t *least) {
    if (first < 0x80) return *least = 0, 0;
    if (first >= 0xc2 && first < 0xe0) return *least = 0x80, 1;
    if (first >= 0xe0 && first < 0xf0) return *least = 0x800, 2;
    if (first >= 0xf0 && first < 0xf5) return *least = 0x10000, 3;
    return -1;
}

/* Return the size of the character that a text begins with, 0 if it begins with none. */
static size_t character(const uint8_t *at, size_t left) {
    uint32_t least, value = at[0];
    int more = following(at[0], &least);
    if (more < 0 || (size_t)more >= left) return 0;
    if (more > 0) value &= 0x3fu >> more;
    for (int i = 1; i <= more; i++) {
        if ((at[i] & 0xc0) != 0x80) return 0;
        value = value << 6 | (at[i] & 0x3f);
    }
    bool surrogate = value >= 0xd800 && value < 0xe000;
    return value < least || value > 0x10ffff || surrogate ? 0 : (size_t)more + 1;
}

bool utf8(struct span text) {
    for (size_t i = 0, size; i < text.size; i += size) {
        size = character(text.at + i, text.size - i);
        if (size == 0) return false;
    }
    return true;
}
