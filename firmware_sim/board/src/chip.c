#include "chip.h"

#include <msg_decode.h>
#include <msg_encode.h>

#include "board.h"
#include "cose.h"

/* A development board says so: anyone can read its flash and halt its core. */
static const uint8_t OEMID[] = {0x02, 0x48, 0x45}, HWMODEL[] = "DEV-1";
static const char SWNAME[] = "hem-board", SWVERSION[] = "0.1.0";
enum { SVN = 1, MAX_PAYLOAD = 896 };

/* The least that the verifier's clock can show now: its last signed time and our uptime since. */
static int64_t known_time_ms(const struct chip *chip) {
    return (int64_t)(chip->state.verifier_time * 1000 + chip->uptime_ms - chip->heard_ms);
}

static void identify(struct chip *chip) {
    static const char label[] = "hem simulated UEID";
    struct sha256 hash;
    uint8_t digest[DIGEST_BYTES], cdi[KEY_BYTES], seed[KEY_BYTES];
    sha256_start(&hash);
    sha256_add(&hash, label, sizeof label - 1);
    sha256_add(&hash, chip->factory->secret, KEY_BYTES);
    sha256_end(&hash, digest);
    chip->ueid[0] = 1;
    memcpy(chip->ueid + 1, digest, UEID_BYTES - 1);
    hkdf(chip->factory->secret, (struct span){chip->factory->rom, DIGEST_BYTES}, "DICE CDI", cdi);
    hkdf(cdi, (struct span){NULL, 0}, "attestation: Ed25519", seed);
    ed25519_key(&chip->key, seed);
    cose_kid(chip->key.public, chip->kid);
    memset(seed, 0, sizeof seed);
    memset(cdi, 0, sizeof cdi);
}

enum code chip_boot(struct chip *chip, const struct factory *factory) {
    memset(chip, 0, sizeof *chip);
    if (memcmp(factory->magic, FACTORY_MAGIC, sizeof factory->magic) != 0 || factory->issuers > MAX_ISSUERS) return FAILED;
    chip->factory = factory;
    identify(chip);
    board_measure(chip->measured);
    board_random(chip->bootseed, sizeof chip->bootseed);
    record_load(&chip->state);
    chip->state.bootcount++;
    return record_save(&chip->state) ? DONE : FAILED;
}

static void work_once(struct chip *chip, uint32_t ms) {
    struct held *grant = &chip->state.grant;
    struct allowance left = {
        .ms = (int64_t)(grant->expires * 1000) - known_time_ms(chip),
        .cycles = grant->budget > grant->spent ? grant->budget - grant->spent : 0,
    };
    /* A chip that has never had a grant runs free: its license may ask for none. */
    const struct allowance *limit = chip->state.granted ? &left : NULL;
    uint64_t full = meter_work(&chip->state.meter, chip->factory->utilization, ms, limit);
    if (chip->state.granted) grant->spent += full;
    chip->uptime_ms += ms;
}

void chip_work(struct chip *chip, uint64_t ms) {
    for (; ms > WORK_MS; ms -= WORK_MS) work_once(chip, WORK_MS);
    work_once(chip, (uint32_t)ms);
}

void chip_catch_up(struct chip *chip) {
    uint64_t now = board_us() / 1000;
    chip_work(chip, now - chip->worked_ms);
    chip->worked_ms = now;
}

static bool is_ueid(struct zcbor_string string) { return string.value[0] == 1; }

/* Read a grant whose form is good, into `grant` and `envelope`. */
static bool open_grant(struct span message, struct envelope *envelope, struct grant *grant) {
    size_t size;
    if (!cose_open(message, typ_applicationhem_grantcbor_tstr_c, true, envelope)) return false;
    struct span claims = envelope->payload;
    if (cbor_decode_grant(claims.at, claims.size, grant, &size) != 0 || size != claims.size) return false;
    return is_ueid(grant->grant_ueid_m) && utf8(span_of(grant->grant_name_m));
}

/* Read a grant, and put what the chip would hold of it into `held`. */
static enum code read_grant(const struct chip *chip, struct span message, struct held *held) {
    struct envelope envelope;
    struct grant grant;
    if (!open_grant(message, &envelope, &grant)) return MALFORMED;
    unsigned signers = cose_signers(&envelope, chip->factory->issuer, chip->factory->issuers);
    if (signers == 0 || signers < chip->factory->needed) return NOT_SIGNED;
    if (!same(span_of(grant.grant_ueid_m), chip->ueid, UEID_BYTES)) return NOT_FOR_ME;
    if (chip->state.granted && grant.grant_sequence_m <= chip->state.grant.sequence) return OLD_SEQUENCE;
    *held = (struct held){.sequence = grant.grant_sequence_m,
                          .budget = grant.grant_budget_m,
                          .expires = grant.grant_expires_m};
    memcpy(held->license, grant.grant_license_id_m.value, ID_BYTES);
    cose_digest(&envelope, held->digest);
    return DONE;
}

static bool addressed(const struct chip *chip, const struct audience_r *audience) {
    if (audience->audience_choice == audience_uint0_l_c) {
        return same(span_of(audience->audience_uint0_l_ueid_m), chip->ueid, UEID_BYTES);
    }
    if (audience->audience_choice == audience_uint1_l_c) {
        struct span license = span_of(audience->audience_uint1_l_license_id_m);
        return chip->state.granted && same(license, chip->state.grant.license, ID_BYTES);
    }
    return true;
}

/* Read a challenge whose form is good, into `challenge` and `envelope`. */
static bool open_challenge(struct span message, struct envelope *envelope, struct challenge *challenge) {
    size_t size;
    if (!cose_open(message, typ_applicationhem_challengecbor_tstr_c, false, envelope)) return false;
    struct span claims = envelope->payload;
    if (cbor_decode_challenge(claims.at, claims.size, challenge, &size) != 0 || size != claims.size) return false;
    const struct audience_r *audience = &challenge->challenge_audience_m;
    if (audience->audience_choice == audience_uint0_l_c && !is_ueid(audience->audience_uint0_l_ueid_m)) return false;
    return utf8(span_of(challenge->challenge_name_m));
}

static bool is_to_range(const struct challenge *challenge) {
    return challenge->challenge_purpose_m.purpose_choice == purpose_uint1_c;
}

/* Read a challenge whose signature, audience and sequence hold. */
static enum code read_challenge(const struct chip *chip, struct span message, bool to_range, struct challenge *challenge) {
    struct envelope envelope;
    if (!open_challenge(message, &envelope, challenge)) return MALFORMED;
    if (to_range && !is_to_range(challenge)) return MALFORMED;
    if (cose_signers(&envelope, &chip->factory->verifier, 1) == 0) return NOT_SIGNED;
    if (!addressed(chip, &challenge->challenge_audience_m)) return NOT_FOR_ME;
    bool old = chip->state.challenged && challenge->challenge_sequence_m <= chip->state.challenge;
    return old ? OLD_SEQUENCE : DONE;
}

/* Take a challenge once all of it holds, with its grant. */
static enum code accept(struct chip *chip, struct span message, bool to_range, struct challenge *challenge) {
    struct held held;
    enum code code = read_challenge(chip, message, to_range, challenge);
    if (code != DONE) return code;
    bool ridden = challenge->challenge_rider_m_present;
    if (ridden && read_grant(chip, span_of(challenge->challenge_rider_m.challenge_rider_m), &held) != DONE) {
        return GRANT_REFUSED;
    }
    /* All checks are behind us: a refusal must not use up a sequence number, or noise could silence the chip. */
    chip->state.challenge = challenge->challenge_sequence_m;
    chip->state.challenged = true;
    if (challenge->challenge_issued_m > chip->state.verifier_time) {
        chip->state.verifier_time = challenge->challenge_issued_m;
        chip->heard_ms = chip->uptime_ms;
    }
    if (ridden) {
        chip->state.grant = held;
        chip->state.granted = true;
    }
    session_end(&chip->session);
    if (is_to_range(challenge)) {
        const uint8_t *id = challenge->challenge_id_m.value, *nonce = challenge->challenge_nonce_m.value;
        session_begin(&chip->session, id, nonce, chip->ueid);
    }
    return DONE;
}

static void claim_grant(const struct chip *chip, struct evidence *evidence) {
    const struct held *grant = &chip->state.grant;
    uint64_t left = grant->budget > grant->spent ? grant->budget - grant->spent : 0;
    evidence->evidence_grant_state_m_present = chip->state.granted;
    evidence->evidence_grant_state_m.evidence_grant_state_m = (struct grant_state){
        string_of(grant->license, ID_BYTES), grant->sequence, string_of(grant->digest, DIGEST_BYTES), grant->spent, left};
}

/* Put what the chip has to say of itself now into `out`; return its size, 0 if there is no room. */
static size_t claims(const struct chip *chip, const uint8_t nonce[DIGEST_BYTES], uint8_t *out, size_t room) {
    const uint64_t *count = chip->state.meter.count;
    struct evidence evidence = {
        .evidence_nonce_m = string_of(nonce, DIGEST_BYTES),
        .evidence_ueid_m = string_of(chip->ueid, UEID_BYTES),
        .evidence_oemid_m = string_of(OEMID, sizeof OEMID),
        .evidence_hwmodel_m = string_of(HWMODEL, sizeof HWMODEL - 1),
        .evidence_hwversion_m_present = true,
        .evidence_hwversion_m = {string_of(board_name, strlen(board_name))},
        .evidence_uptime_m = chip->uptime_ms / 1000,
        .evidence_dbgstat_m = {dbgstat_uint0_c},
        .evidence_bootcount_m = chip->state.bootcount,
        .evidence_bootseed_m = string_of(chip->bootseed, sizeof chip->bootseed),
        .evidence_swname_m = string_of(SWNAME, sizeof SWNAME - 1),
        .evidence_swversion_m = string_of(SWVERSION, sizeof SWVERSION - 1),
        .evidence_sequence_m = chip->state.sequence + 1,
        .evidence_previous_m = string_of(chip->state.previous, DIGEST_BYTES),
        .evidence_component_m_l_component_m = {{string_of("runtime", 7), string_of(chip->measured, DIGEST_BYTES), SVN}},
        .evidence_component_m_l_component_m_count = 1,
        .evidence_meter_m = {count[0], count[1], count[2], count[3]},
    };
    size_t size;
    claim_grant(chip, &evidence);
    evidence.evidence_ranging_m_present = session_claim(&chip->session, &evidence.evidence_ranging_m.evidence_ranging_m);
    return cbor_encode_evidence(out, room, &evidence, &size) == 0 ? size : 0;
}

/* Sign the claims for a nonce: they are the next link of this chip's chain, and durable, before they can leave. */
static enum code seal(struct chip *chip, const uint8_t nonce[DIGEST_BYTES], uint8_t *out, size_t room, size_t *size) {
    static uint8_t payload[MAX_PAYLOAD];
    uint8_t digest[DIGEST_BYTES];
    size_t length = claims(chip, nonce, payload, sizeof payload);
    /* Whoever reads the session's key in the evidence must find nobody who still uses it. */
    session_end(&chip->session);
    if (length == 0) return FAILED;
    *size = cose_seal(&chip->key, chip->kid, (struct span){payload, length}, out, room, digest);
    if (*size == 0) return FAILED;
    chip->state.sequence++;
    memcpy(chip->state.previous, digest, DIGEST_BYTES);
    /* After a loss of power here the number is burnt, which is a gap; used again, it would look like a clone. */
    return record_save(&chip->state) ? DONE : FAILED;
}

enum code chip_attest(struct chip *chip, struct span message, uint8_t *out, size_t room, size_t *size) {
    struct challenge challenge;
    enum code code = accept(chip, message, false, &challenge);
    return code == DONE ? seal(chip, challenge.challenge_nonce_m.value, out, room, size) : code;
}

enum code chip_open(struct chip *chip, struct span message) {
    struct challenge challenge;
    enum code code = accept(chip, message, true, &challenge);
    if (code != DONE) return code;
    /* A challenge whose session was lost with the power must not open a second one. */
    return record_save(&chip->state) ? DONE : FAILED;
}

enum code chip_conclude(struct chip *chip, struct span id, uint8_t *out, size_t room, size_t *size) {
    uint8_t nonce[DIGEST_BYTES];
    if (!chip->session.open || !same(id, chip->session.id, ID_BYTES)) return NO_SESSION;
    memcpy(nonce, chip->session.challenge, sizeof nonce);
    return seal(chip, nonce, out, room, size);
}

enum code chip_grant(struct chip *chip, struct span message) {
    struct held held;
    enum code code = read_grant(chip, message, &held);
    if (code != DONE) return code;
    chip->state.grant = held;
    chip->state.granted = true;
    return record_save(&chip->state) ? DONE : FAILED;
}
