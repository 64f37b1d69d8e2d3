/* The state that outlives a loss of power: records appended to two flash pages, the newest whole one counts. */
#ifndef RECORD_H
#define RECORD_H

#include "common.h"
#include "meter.h"

struct held {
    uint64_t sequence, budget, spent, expires;
    uint8_t license[ID_BYTES];
    uint8_t digest[DIGEST_BYTES];
};

struct state {
    uint64_t bootcount, sequence, verifier_time, challenge; /* of challenges, the highest sequence that was taken */
    struct counters meter;
    struct held grant;
    uint8_t previous[DIGEST_BYTES];
    uint32_t challenged, granted; /* whether there ever was a challenge, and is a grant */
};

/* Put the newest whole record into `state`; with none, zeros. */
void record_load(struct state *state);

/* Write `state` as the newest record. True once it is read back whole: until then the former one counts. */
bool record_save(const struct state *state);

#endif
