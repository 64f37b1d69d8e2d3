#include "session.h"

#include <msg_decode.h>
#include <msg_encode.h>

#include "board.h"
#include "cose.h"

enum { HELLO = 1, PROBE = 3, CLOSE = 5 };

static bool ours(const struct session *session, struct zcbor_string id) { return same(span_of(id), session->id, ID_BYTES); }

void session_begin(struct session *session, const uint8_t id[ID_BYTES], const uint8_t nonce[DIGEST_BYTES],
                   const uint8_t ueid[UEID_BYTES]) {
    static const char label[] = "hem ranging commitment 1";
    struct sha256 hash;
    memset(session, 0, sizeof *session);
    memcpy(session->id, id, ID_BYTES);
    memcpy(session->challenge, nonce, DIGEST_BYTES);
    memcpy(session->ueid, ueid, UEID_BYTES);
    board_random(session->secret, KEY_BYTES);
    sha256_start(&hash);
    sha256_add(&hash, label, sizeof label - 1);
    sha256_add(&hash, nonce, DIGEST_BYTES);
    sha256_add(&hash, ueid, UEID_BYTES);
    sha256_add(&hash, session->secret, KEY_BYTES);
    sha256_end(&hash, session->commitment);
    hmac_key(&session->key, session->secret, KEY_BYTES);
    session->open = true;
}

void session_end(struct session *session) { memset(session, 0, sizeof *session); }

static struct landmark *find(struct session *session, struct zcbor_string kid) {
    for (unsigned i = 0; i < session->landmarks; i++) {
        if (same(span_of(kid), session->landmark[i].kid, KID_BYTES)) return &session->landmark[i];
    }
    return NULL;
}

static struct landmark *find_or_add(struct session *session, struct zcbor_string kid) {
    struct landmark *found = find(session, kid);
    if (found == NULL && session->landmarks < LANDMARKS) {
        found = &session->landmark[session->landmarks++];
        memcpy(found->kid, kid.value, KID_BYTES);
    }
    return found;
}

static size_t probe(struct session *session, struct span data, uint8_t out[MAX_DATAGRAM]) {
    static const char label[] = "hem ranging reply 1";
    struct probe asked;
    size_t size;
    if (cbor_decode_probe(data.at, data.size, &asked, &size) != 0 || size != data.size) return 0;
    if (!ours(session, asked.probe_session)) return 0;
    struct landmark *landmark = find_or_add(session, asked.probe_landmark);
    if (landmark == NULL) return 0;
    uint8_t *nonce = landmark->nonce[asked.probe_index];
    uint64_t bit = (uint64_t)1 << asked.probe_index;
    /* The same probe again is the network's doing. Another nonce under its number would make two transcripts of one. */
    if (landmark->answered & bit && !same(span_of(asked.probe_drawn), nonce, NONCE_BYTES)) return 0;
    memcpy(nonce, asked.probe_drawn.value, NONCE_BYTES);
    landmark->answered |= bit;
    uint8_t text[sizeof label - 1 + KID_BYTES + 1 + NONCE_BYTES], mac[DIGEST_BYTES];
    memcpy(text, label, sizeof label - 1);
    memcpy(text + sizeof label - 1, landmark->kid, KID_BYTES);
    text[sizeof label - 1 + KID_BYTES] = (uint8_t)asked.probe_index;
    memcpy(text + sizeof label + KID_BYTES, nonce, NONCE_BYTES);
    hmac(&session->key, text, sizeof text, mac);
    struct reply reply = {asked.probe_index, asked.probe_drawn, string_of(mac, NONCE_BYTES)};
    return cbor_encode_reply(out, MAX_DATAGRAM, &reply, &size) == 0 ? size : 0;
}

static size_t hello(const struct session *session, struct span data, uint8_t out[MAX_DATAGRAM]) {
    struct hello asked;
    size_t size;
    if (cbor_decode_hello(data.at, data.size, &asked, &size) != 0 || size != data.size) return 0;
    for (size_t i = 0; i < asked.hello_pad.len; i++) {
        if (asked.hello_pad.value[i] != 0) return 0;
    }
    if (!ours(session, asked.hello_session)) return 0;
    struct commit commit = {asked.hello_session, asked.hello_echo, string_of(session->ueid, UEID_BYTES),
                            string_of(session->commitment, DIGEST_BYTES)};
    return cbor_encode_commit(out, MAX_DATAGRAM, &commit, &size) == 0 ? size : 0;
}

static void transcript(const struct session *session, const struct landmark *landmark, uint64_t mask,
                       uint8_t out[DIGEST_BYTES]) {
    static const char label[] = "hem ranging transcript 1";
    struct sha256 hash;
    sha256_start(&hash);
    sha256_add(&hash, label, sizeof label - 1);
    sha256_add(&hash, landmark->kid, KID_BYTES);
    sha256_add(&hash, session->challenge, DIGEST_BYTES);
    sha256_add(&hash, session->commitment, DIGEST_BYTES);
    for (uint8_t i = 0; i < MAX_PROBES; i++) {
        if (mask >> i & 1) {
            sha256_add(&hash, &i, 1);
            sha256_add(&hash, landmark->nonce[i], NONCE_BYTES);
        }
    }
    sha256_end(&hash, out);
}

/* Take the digest if it is ours: only who has seen the nonces can know it, so no stranger can close. */
static size_t close_with(struct session *session, struct span data, uint8_t out[MAX_DATAGRAM]) {
    struct close asked;
    size_t size;
    uint8_t digest[DIGEST_BYTES];
    if (cbor_decode_close(data.at, data.size, &asked, &size) != 0 || size != data.size) return 0;
    if (!ours(session, asked.close_session)) return 0;
    struct landmark *landmark = find(session, asked.close_landmark);
    if (landmark == NULL || (asked.close_mask & ~landmark->answered) != 0) return 0;
    transcript(session, landmark, asked.close_mask, digest);
    if (!same(span_of(asked.close_claimed), digest, sizeof digest)) return 0;
    landmark->closed = true;
    memcpy(landmark->digest, digest, sizeof digest);
    struct closed closed = {asked.close_session, string_of(landmark->digest, DIGEST_BYTES)};
    return cbor_encode_closed(out, MAX_DATAGRAM, &closed, &size) == 0 ? size : 0;
}

size_t session_answer(struct session *session, struct span datagram, uint8_t out[MAX_DATAGRAM]) {
    if (!session->open || datagram.size < 2 || datagram.size > MAX_DATAGRAM) return 0;
    switch (datagram.at[1]) { /* the op stands behind the head of the array; the decoders look at both */
        case PROBE: return probe(session, datagram, out);
        case HELLO: return hello(session, datagram, out);
        case CLOSE: return close_with(session, datagram, out);
        default: return 0;
    }
}

bool session_claim(const struct session *session, struct ranging *claim) {
    struct transcript *rows = claim->ranging_transcripts_transcript_m;
    size_t count = 0;
    for (unsigned i = 0; session->open && i < session->landmarks; i++) {
        const struct landmark *one = &session->landmark[i];
        if (!one->closed) continue;
        size_t at = count++;
        for (; at > 0 && memcmp(rows[at - 1].transcript_kid_m.value, one->kid, KID_BYTES) > 0; at--) rows[at] = rows[at - 1];
        rows[at] = (struct transcript){string_of(one->kid, KID_BYTES), string_of(one->digest, DIGEST_BYTES)};
    }
    claim->ranging_key = string_of(session->secret, KEY_BYTES);
    claim->ranging_transcripts_transcript_m_count = count;
    return count > 0;
}
