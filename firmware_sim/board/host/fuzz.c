/* A fuzz target: the first byte says what the rest is, raw bytes of the line or the body of one request. */
#include <stdlib.h>

#include "board.h"
#include "cose.h"
#include "layer.h"
#include "serial.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct chip chip;
static struct serial serial;

static void begin(void) {
    struct factory *factory = (struct factory *)layer.factory;
    memcpy(factory->magic, FACTORY_MAGIC, sizeof factory->magic);
    factory->issuers = factory->needed = 1;
    factory->utilization = 500;
    memset(layer.flash, 0xff, sizeof layer.flash);
    layer.writes_left = UINT32_MAX;
    memset(&serial, 0, sizeof serial);
    serial.chip = &chip;
    serial.booted = chip_boot(&chip, factory);
    static const uint8_t id[ID_BYTES], nonce[DIGEST_BYTES];
    session_begin(&chip.session, id, nonce, chip.ueid);
}

static void feed(uint8_t byte) { serial_byte(&serial, byte); }

/* Send a request as the host would: packets of 64 bytes, with right checksums, or no decoder would ever be reached. */
static void request(uint8_t op, const uint8_t *data, size_t size) {
    static const uint8_t head[] = {0x7f, 0x00, 0x00, 0x7e, 0xd9};
    static uint8_t body[MAX_REQUEST];
    if (size > sizeof body - sizeof head - 1) return;
    memcpy(body, head, sizeof head);
    body[sizeof head] = op;
    memcpy(body + sizeof head + 1, data, size);
    struct message from = {.destination = MCTP_HOST, .source = MCTP_CHIP, .tag = 8}; /* 8: the side that asks */
    layer.sent = 0;
    mctp_answer(&from, (struct span){body, size + sizeof head + 1}, (struct span){body, 0});
    static uint8_t line[LINE];
    size_t sent = layer.sent;
    memcpy(line, layer.line, sent);
    for (size_t i = 0; i < sent; i++) feed(line[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool begun;
    if (!begun) begin();
    begun = true;
    if (size == 0) return 0;
    layer.sent = 0;
    if (data[0] < 8) {
        request(data[0], data + 1, size - 1);
        return 0;
    }
    for (size_t i = 1; i < size; i++) feed(data[i]);
    return 0;
}
