/* A record is written word by word, its check last. So a loss of power leaves a slot whose check does not fit, and the
   record before it still counts. A slot that is not blank is never written again: the next one is taken, and a full
   page is followed by the other one, erased first. The page with the newest record is never the one that is erased. */
#include "record.h"

#include "board.h"
#include "sha2.h"

enum { CHECK_BYTES = 8, BLANK = 0xff };

struct record {
    uint64_t serial;
    struct state state;
    uint8_t check[CHECK_BYTES]; /* of SHA-256 over all before it: found by chance in torn words once in 2^64 */
};

_Static_assert(sizeof(struct record) % 4 == 0, "records are written in words");
_Static_assert(offsetof(struct record, check) == sizeof(uint64_t) + sizeof(struct state), "no padding at the end");
_Static_assert(sizeof(struct state) == 4 * 8 + 4 * 8 + 4 * 8 + 16 + 32 + 32 + 2 * 4, "no padding within");

struct place {
    unsigned page;
    uint32_t slot;
};

static uint32_t slots(void) { return board_page_bytes / sizeof(struct record); }

static const uint8_t *at(struct place place) { return board_page(place.page) + place.slot * sizeof(struct record); }

static void check(const struct record *record, uint8_t out[CHECK_BYTES]) {
    struct sha256 hash;
    uint8_t digest[DIGEST_BYTES];
    sha256_start(&hash);
    sha256_add(&hash, record, offsetof(struct record, check));
    sha256_end(&hash, digest);
    memcpy(out, digest, CHECK_BYTES);
}

static bool whole(struct place place, struct record *record) {
    uint8_t expected[CHECK_BYTES];
    memcpy(record, at(place), sizeof *record);
    check(record, expected);
    return memcmp(record->check, expected, CHECK_BYTES) == 0;
}

/* Put the newest whole record and its place there; false if there is none. */
static bool newest(struct record *found, struct place *where) {
    bool any = false;
    for (struct place one = {0, 0}; one.page < FLASH_PAGES; one.page++) {
        for (one.slot = 0; one.slot < slots(); one.slot++) {
            struct record record;
            if (whole(one, &record) && (!any || record.serial > found->serial)) {
                *found = record;
                *where = one;
                any = true;
            }
        }
    }
    return any;
}

static bool blank(const uint8_t *bytes, size_t size) {
    while (size > 0 && bytes[size - 1] == BLANK) size--;
    return size == 0;
}

/* Return the place for the next record after `last`; a page is erased for it if that is where it has to be. */
static struct place next(struct place last) {
    struct place place = {last.page, last.slot + 1};
    while (place.slot < slots() && !blank(at(place), sizeof(struct record))) place.slot++;
    if (place.slot == slots()) {
        place = (struct place){(last.page + 1) % FLASH_PAGES, 0};
        /* Whether an erase was cut short cannot be read off one slot: the whole page must be blank. */
        if (!blank(board_page(place.page), board_page_bytes)) board_erase(place.page);
    }
    return place;
}

void record_load(struct state *state) {
    struct record record;
    struct place place;
    memset(state, 0, sizeof *state);
    if (newest(&record, &place)) *state = record.state;
}

bool record_save(const struct state *state) {
    struct record record, again;
    /* With no record yet, as if the second page were full: the first is erased, which new flash needs in any case. */
    struct place place = {FLASH_PAGES - 1, slots() - 1};
    record.serial = newest(&record, &place) ? record.serial + 1 : 1;
    record.state = *state;
    check(&record, record.check);
    place = next(place);
    for (uint32_t offset = 0; offset < sizeof record; offset += 4) {
        uint32_t word;
        memcpy(&word, (const uint8_t *)&record + offset, sizeof word);
        board_write(place.page, place.slot * sizeof record + offset, word);
    }
    return whole(place, &again) && again.serial == record.serial;
}
