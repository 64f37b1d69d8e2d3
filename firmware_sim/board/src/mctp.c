#include "mctp.h"

#include "board.h"

enum { FLAG = 0x7e, ESCAPE = 0x7d, FLIP = 0x20, REVISION = 1, VERSION = 1, SOM = 0x80, EOM = 0x40, OWNER = 0x08 };
enum { MORE = 0, BROKEN = -1 };

static uint16_t checksum(uint16_t sum, uint8_t byte) {
    sum ^= byte;
    for (int i = 0; i < 8; i++) sum = (uint16_t)(sum >> 1 ^ (sum & 1 ? 0x8408 : 0));
    return sum;
}

/* Put `count` escaped bytes from `at` into `packet`; return where they end, MORE or BROKEN. */
static int unescape(const uint8_t *raw, size_t held, size_t at, uint8_t count, uint8_t *packet) {
    for (uint8_t done = 0; done < count; done++) {
        if (at >= held) return MORE;
        bool escaped = raw[at] == ESCAPE;
        at += escaped;
        if (at >= held) return MORE;
        uint8_t byte = escaped ? raw[at] ^ FLIP : raw[at];
        if (escaped != (byte == FLAG || byte == ESCAPE)) return BROKEN;
        packet[done] = byte;
        at++;
    }
    return (int)at;
}

/* Whether the two bytes of a checksum are that of a packet. */
static bool checked(const uint8_t *packet, uint8_t count, const uint8_t *found) {
    uint16_t sum = checksum(checksum(0xffff, REVISION), count);
    for (uint8_t i = 0; i < count; i++) sum = checksum(sum, packet[i]);
    return found[0] == sum >> 8 && found[1] == (sum & 0xff);
}

static bool possible(uint8_t count) { return count > MCTP_HEADER && count <= MCTP_HEADER + MCTP_BODY; }

/* Read the frame that starts at raw[0]; return where its closing 7E is, MORE or BROKEN. */
static int read_frame(const uint8_t *raw, size_t held, uint8_t *packet) {
    if (held > 1 && raw[1] != REVISION) return BROKEN;
    if (held < 3) return MORE;
    uint8_t count = raw[2];
    if (!possible(count)) return BROKEN;
    int end = unescape(raw, held, 3, count, packet);
    if (end == BROKEN || end == MORE) return end;
    if (held < (size_t)end + 3) return MORE;
    return raw[end + 2] == FLAG && checked(packet, count, raw + end) ? end + 2 : BROKEN;
}

/* Drop bytes from the front, and then all up to the next 7E. */
static void drop(struct receiver *receiver, size_t count) {
    while (count < receiver->held && receiver->raw[count] != FLAG) count++;
    receiver->held -= count;
    memmove(receiver->raw, receiver->raw + count, receiver->held);
}

/* Most bytes are in the middle of a packet and decide nothing: to read the frame anew at each of them would be slower
   than the line brings them. */
static bool decides(const struct receiver *receiver) {
    const uint8_t *raw = receiver->raw;
    size_t held = receiver->held;
    enum { AROUND = 6 }; /* bytes of a frame besides its packet */
    return held < AROUND || raw[held - 1] == FLAG || raw[held - 2] == ESCAPE || held >= (size_t)raw[2] + AROUND;
}

void mctp_feed(struct receiver *receiver, uint8_t byte) {
    /* A frame is whole or broken before this is full: `mctp_next` has made room. */
    if (receiver->held < sizeof receiver->raw) receiver->raw[receiver->held++] = byte;
    receiver->decisive = receiver->decisive || decides(receiver);
}

/* Begin a message, or forget the one that was begun: one at a time, whatever a peer starts and never ends. */
static void begin(struct receiver *receiver, const uint8_t *packet, uint8_t size) {
    receiver->begun = true;
    memcpy(receiver->way, (uint8_t[]){packet[1], packet[2], packet[3] & 0x0f}, sizeof receiver->way);
    receiver->unit = size;
    receiver->sequence = packet[3] >> 4 & 3;
    receiver->message.size = 0;
}

static void append(struct receiver *receiver, const uint8_t *body, size_t size) {
    size_t at = receiver->message.size;
    if (at < MAX_REQUEST) memcpy(receiver->body + at, body, size < MAX_REQUEST - at ? size : MAX_REQUEST - at);
    receiver->message.size += size;
    receiver->sequence = (receiver->sequence + 1) & 3;
}

/* Whether this is the packet that must come next, and the message stays within its cap. */
static bool fits(const struct receiver *receiver, uint8_t flags, uint8_t size) {
    bool full = size == receiver->unit || (flags & EOM && size < receiver->unit);
    return full && (flags >> 4 & 3) == receiver->sequence && receiver->message.size + size <= MCTP_MOST;
}

/* Take in a packet; return whether it ends a message. */
static bool assemble(struct receiver *receiver, const uint8_t *packet, uint8_t count) {
    uint8_t flags = packet[3], size = count - MCTP_HEADER;
    if ((packet[0] & 0x0f) != VERSION) return false;
    if (flags & SOM) begin(receiver, packet, size);
    uint8_t way[3] = {packet[1], packet[2], flags & 0x0f};
    if (!receiver->begun || memcmp(receiver->way, way, sizeof way) != 0) return false;
    if (!fits(receiver, flags, size)) {
        receiver->begun = false;
        return false;
    }
    append(receiver, packet + MCTP_HEADER, size);
    if (!(flags & EOM)) return false;
    receiver->begun = false;
    receiver->message.destination = packet[1];
    receiver->message.source = packet[2];
    receiver->message.tag = flags & 7;
    receiver->message.owner = flags & OWNER;
    return true;
}

bool mctp_next(struct receiver *receiver) {
    uint8_t packet[MCTP_HEADER + MCTP_BODY];
    if (!receiver->decisive) return false;
    drop(receiver, 0);
    while (receiver->held > 0) {
        int end = read_frame(receiver->raw, receiver->held, packet);
        if (end == MORE) break;
        /* Of a broken frame only the 7E is given up: noise that looks like the start of a frame must not swallow the
           real one behind it. Of a good frame the closing 7E stays: some senders let it open the next one as well. */
        uint8_t count = receiver->raw[2];
        drop(receiver, end == BROKEN ? 1 : (size_t)end);
        if (end != BROKEN && assemble(receiver, packet, count)) return true;
    }
    receiver->decisive = false;
    return false;
}

static uint16_t put(uint16_t sum, uint8_t byte) {
    if (byte == FLAG || byte == ESCAPE) {
        board_put(ESCAPE);
        board_put(byte ^ FLIP);
    } else {
        board_put(byte);
    }
    return checksum(sum, byte);
}

static uint8_t byte_at(struct span head, struct span body, size_t at) {
    return at < head.size ? head.at[at] : body.at[at - head.size];
}

void mctp_answer(const struct message *request, struct span head, struct span body) {
    size_t size = head.size + body.size;
    for (size_t at = 0, index = 0; at < size; index++) {
        size_t end = at + MCTP_BODY < size ? at + MCTP_BODY : size;
        uint8_t flags = (uint8_t)(request->tag | (index & 3) << 4 | (at == 0 ? SOM : 0) | (end == size ? EOM : 0));
        uint8_t count = (uint8_t)(MCTP_HEADER + end - at);
        uint8_t header[MCTP_HEADER] = {VERSION, request->source, request->destination, flags};
        uint16_t sum = checksum(checksum(0xffff, REVISION), count);
        board_put(FLAG);
        board_put(REVISION);
        board_put(count);
        for (size_t i = 0; i < sizeof header; i++) sum = put(sum, header[i]);
        for (; at < end; at++) sum = put(sum, byte_at(head, body, at));
        board_put((uint8_t)(sum >> 8));
        board_put((uint8_t)sum);
        board_put(FLAG);
    }
}
