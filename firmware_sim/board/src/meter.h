/* The counters: how time at work moves them, and the grant that it is counted against. See firmware_sim/meter.py. */
#ifndef METER_H
#define METER_H

#include "common.h"

enum { METERS = 4, WORK_MS = 5000 };

/* Cycles, 10^6 FLOP, joules, KiB: as evidence has them. */
struct counters {
    uint64_t count[METERS];
};

/* Milliseconds of full speed that are allowed, and cycles; of a board without a grant, all there are. */
struct allowance {
    int64_t ms;
    uint64_t cycles;
};

/* Move the counters by `ms` of work, at most WORK_MS, and return the cycles at full speed: never over the allowance. */
uint64_t meter_work(struct counters *meter, uint32_t utilization, uint32_t ms, const struct allowance *allowance);

#endif
