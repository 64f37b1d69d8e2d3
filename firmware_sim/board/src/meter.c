#include "meter.h"

/* Per second: 1.8 GHz, 1 PFLOP/s, 700 W, 900 GB/s, as the simulated model has them: a board has no accelerator. */
static const uint64_t PEAK[METERS] = {1800000000, 1000000000, 700, 878906250};
enum { THROTTLE = 100 };

static uint64_t cycles(uint32_t utilization, uint32_t ms) { return PEAK[0] * utilization * ms / 1000000; }

uint64_t meter_work(struct counters *meter, uint32_t utilization, uint32_t ms, const struct allowance *allowance) {
    int64_t allowed = ms;
    uint64_t full = cycles(utilization, ms);
    if (allowance != NULL) {
        allowed = allowance->ms < 0 ? 0 : allowance->ms < ms ? allowance->ms : ms;
        full = cycles(utilization, (uint32_t)allowed);
        if (full > allowance->cycles) {
            full = allowance->cycles;
            uint64_t rate = PEAK[0] * utilization, needed = (full * 1000000 + rate - 1) / rate;
            allowed = needed < ms ? (int64_t)needed : ms;
        }
    }
    uint64_t count = full + cycles(utilization, ms - (uint32_t)allowed) / THROTTLE;
    for (int i = 0; i < METERS; i++) meter->count[i] += count * PEAK[i] / PEAK[0];
    return full;
}
