/* The chip: it boots, works, takes grants, and answers challenges of the one verifier it knows. See firmware_sim/chip.py. */
#ifndef CHIP_H
#define CHIP_H

#include "common.h"
#include "ed25519.h"
#include "record.h"
#include "session.h"

/* What the factory leaves in flash. Integers are little-endian, as the core reads them. */
struct factory {
    uint8_t magic[8];                    /* FACTORY_MAGIC; anything else: no board of ours */
    uint8_t secret[KEY_BYTES];           /* the unique device secret (UDS): all keys follow from it */
    uint8_t rom[DIGEST_BYTES];           /* of the first code, which is bound into the keys (DICE) */
    uint8_t verifier[KEY_BYTES];         /* Ed25519, as are the issuers' */
    uint8_t issuer[MAX_ISSUERS][KEY_BYTES];
    uint32_t issuers, needed;            /* so many of so many issuers must sign a grant */
    uint32_t utilization;                /* at work, thousandths of the peak, 1 to 1000 */
    uint32_t endorsement_bytes;
    uint8_t endorsement[];               /* as hem.cddl has it */
};

#define FACTORY_MAGIC "hem-dev1"

struct chip {
    const struct factory *factory;
    struct state state;
    struct private_key key;
    uint8_t ueid[UEID_BYTES], kid[KID_BYTES], bootseed[DIGEST_BYTES], measured[DIGEST_BYTES];
    uint64_t uptime_ms, heard_ms, worked_ms;
    struct session session;
};

/* Start the chip: counts the boot, draws a seed; uptime is zero, the counters stay. DONE, or FAILED if the factory page
   is not ours or the flash does not take the count. */
enum code chip_boot(struct chip *chip, const struct factory *factory);

/* Compute for this long: the counters move, a grant is counted down, and without any left it crawls. */
void chip_work(struct chip *chip, uint64_t ms);

/* Compute for as long as has passed since this was last called. */
void chip_catch_up(struct chip *chip);

/* Put signed evidence for a signed challenge into `out`; its sequence number is used up before it leaves. On a refusal
   nothing has changed. */
enum code chip_attest(struct chip *chip, struct span challenge, uint8_t *out, size_t room, size_t *size);

/* Take a signed challenge of purpose range: landmarks are answered until evidence is sealed. */
enum code chip_open(struct chip *chip, struct span challenge);

/* Put the evidence of the open session with this challenge id into `out`; the session has ended. */
enum code chip_conclude(struct chip *chip, struct span id, uint8_t *out, size_t room, size_t *size);

/* Run under this grant from now on, with nothing spent. */
enum code chip_grant(struct chip *chip, struct span grant);

#endif
