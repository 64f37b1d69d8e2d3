"""What each reason means: its verdict, what was expected, and where to look. `hem reasons` prints this table."""

from hem.errors.of_audit import AUDIT
from hem.errors.reasons import Reason, ReasonText, Verdict

_DECODE = "one deterministic message of hem.cddl"
_P, _N, _C, _F = Verdict.PASS, Verdict.NOT_CHECKED, Verdict.CANNOT_TELL, Verdict.FAIL

# What was got is said by `results.explain`, which has the row at hand.
REASONS: dict[Reason, ReasonText] = {
    Reason.MET: ReasonText(_P, "the term holds", "nothing to do"),
    Reason.EMPTY: ReasonText(_F, _DECODE, "the sender wrote no bytes: look at its transport"),
    Reason.TOO_LARGE: ReasonText(_F, "at most 61,440 bytes", "the sender's message builder"),
    Reason.TRUNCATED: ReasonText(_F, _DECODE, "the transport: bytes are missing at the end"),
    Reason.TRAILING_BYTES: ReasonText(_F, _DECODE, "the sender or the transport: bytes follow the message"),
    Reason.NOT_SHORTEST: ReasonText(_F, "shortest integers, lengths and floats", "the sender's CBOR encoder"),
    Reason.INDEFINITE_LENGTH: ReasonText(_F, "definite lengths", "the sender's CBOR encoder"),
    Reason.TOO_DEEP: ReasonText(_F, "at most 8 levels", "the sender's message builder"),
    Reason.TOO_MANY_ITEMS: ReasonText(_F, "at most 4,096 data items", "the sender's message builder"),
    Reason.BAD_UTF8: ReasonText(_F, "valid UTF-8 in text", "the sender's CBOR encoder"),
    Reason.BAD_SIMPLE: ReasonText(_F, "no simple value but false, true, null", "the sender's CBOR encoder"),
    Reason.UNSORTED_KEYS: ReasonText(_F, "map keys sorted by their bytes", "the sender's CBOR encoder"),
    Reason.DUPLICATE_KEY: ReasonText(_F, "each map key once", "the sender: two values for one key is an attack"),
    Reason.NOT_SIGN1: ReasonText(_F, "a COSE_Sign1 under tag 18", "whether this is the right file"),
    Reason.UNPROTECTED_HEADER: ReasonText(_F, "an empty unprotected header", "the sender's COSE library"),
    Reason.BAD_HEADER: ReasonText(_F, "a header of alg, kid (16 bytes) and typ 263", "whether this is evidence"),
    Reason.UNKNOWN_ALGORITHM: ReasonText(_F, "an algorithm listed in hem.cddl", "the sender's signing key"),
    Reason.WRONG_TYPE: ReasonText(_F, "the CBOR types of hem.cddl", "the sender's message builder"),
    Reason.UNKNOWN_KEY: ReasonText(_F, "the keys of hem.cddl and no others", "the sender's profile version"),
    Reason.MISSING_KEY: ReasonText(_F, "every required key of hem.cddl", "the sender's message builder"),
    Reason.WRONG_VALUE: ReasonText(_F, "sizes and ranges of hem.cddl", "the sender's message builder"),
    Reason.WRONG_PROFILE: ReasonText(_F, "the eat_profile of hem.cddl", "the sender's profile version"),
    Reason.KEY_UNKNOWN: ReasonText(_F, "a key id that is enrolled", "hem enroll, or a stranger's chip"),
    Reason.ALGORITHM_MISMATCH: ReasonText(_F, "the algorithm of the enrolled key", "the chip's firmware"),
    Reason.SIGNATURE_MALFORMED: ReasonText(_F, "a canonical signature of the key's algorithm", "the chip's signer"),
    Reason.SIGNATURE_INVALID: ReasonText(
        _F, "a signature by the enrolled key", "a forgery, or bytes changed on the way"
    ),
    Reason.UEID_MISMATCH: ReasonText(_F, "the UEID that the key was enrolled for", "the chip claims to be another"),
    Reason.KEY_MALFORMED: ReasonText(_F, "a canonical public key on its curve", "the endorsement"),
    Reason.KEY_WEAK: ReasonText(_F, "an Ed25519 key of prime order", "the endorsement: anyone could sign for this key"),
    Reason.KEY_TWICE: ReasonText(_F, "a key and a UEID not enrolled before", "hem status: the chip is there already"),
    Reason.NOT_AUTHENTIC: ReasonText(_N, "evidence by an enrolled key", "the refusal of this row"),
    Reason.CHALLENGE_UNKNOWN: ReasonText(_F, "a nonce that this verifier issued", "evidence made for somebody else"),
    Reason.CHALLENGE_EXPIRED: ReasonText(_F, "an answer before the challenge expires", "the route to the chip"),
    Reason.CHALLENGE_AUDIENCE: ReasonText(_F, "an answer by a chip that was asked", "hem challenge: its audience"),
    Reason.NONCE_USED: ReasonText(_F, "one answer per chip and challenge", "a replay, or a file given twice"),
    Reason.NOT_FRESH: ReasonText(_N, "fresh evidence", "the term `fresh`"),
    Reason.EVIDENCE_TOO_OLD: ReasonText(
        _F, "evidence no older than the license allows", "hand evidence in sooner after its challenge"
    ),
    Reason.NONCE_TOO_SHORT: ReasonText(
        _C, "challenges of as many random bits as the license asks", "this version's challenges have 256"
    ),
    Reason.MEASUREMENT_UNKNOWN: ReasonText(
        _F, "components of the reference values", "hem reference, or changed firmware"
    ),
    Reason.COMPONENT_MISSING: ReasonText(_F, "every component of the reference values", "the chip's boot chain"),
    Reason.SVN_BELOW_FLOOR: ReasonText(_F, "security versions at or above the license's floor", "update the firmware"),
    Reason.DEBUG_ENABLED: ReasonText(_F, "debug disabled (dbgstat 1 to 4)", "the chip's debug fuse, or the license"),
    Reason.NO_REFERENCE_VALUES: ReasonText(_C, "reference values for the hardware model", "hem reference"),
    Reason.HARDWARE_MODEL: ReasonText(
        _F, "the hardware model that was endorsed", "the chip claims to be another model"
    ),
    Reason.TAMPERED: ReasonText(_F, "no tamper flag", "inspect the chip on site"),
    Reason.FIRMWARE_VERSION_LOW: ReasonText(
        _F, "a firmware version no lower than the license's", "update the firmware"
    ),
    Reason.FIRMWARE_VERSION_UNKNOWN: ReasonText(
        _C, "a firmware version in dotted numbers, as the license's", "the claim swversion (271) of the chip's firmware"
    ),
    Reason.MEASUREMENT_NOT_LICENSED: ReasonText(
        _F, "components that are all in the license's list", "other firmware on the chip, or a longer list"
    ),
    Reason.SECURE_BOOT_NOT_SHOWN: ReasonText(
        _C,
        "a chip that says whether it verifies what it boots",
        "the claim oemboot (262), which its firmware leaves out",
    ),
    Reason.SECURE_BOOT_OFF: ReasonText(
        _F, "a chip that verifies what it boots", "a chip that boots what no maker signed: lock its boot, or replace it"
    ),
    Reason.LOCATION_NOT_LIMITED: ReasonText(_P, "nothing: the license does not limit location", "nothing to do"),
    Reason.LOCATION_NOT_CHECKED: ReasonText(
        _N, "a proof that the chip is where its license allows", "hem landmark add: without landmarks nothing is proven"
    ),
    Reason.LOCATION_ON_LAND: ReasonText(
        _P, "to be where the license allows, if the chip is on land", "nothing to do; the sea was not excluded"
    ),
    Reason.LOCATION_OUTSIDE: ReasonText(
        _F, "a chip that is where its license allows", "f + 1 operators exclude all that the license allows"
    ),
    Reason.LOCATION_CONTRADICTION: ReasonText(
        _F, "timings that one place can explain", "a key that answers from two places, or a landmark that lies"
    ),
    Reason.LOCATION_INCONCLUSIVE: ReasonText(
        _N, "timings that exclude all that the license does not allow", "range the chip from the landmark named"
    ),
    Reason.LOCATION_NOT_RANGED: ReasonText(
        _N, "timings of the chip by landmarks", "hem challenge --range, hem landmark serve, hem landmark report"
    ),
    Reason.LOCATION_NOT_ON_MAP: ReasonText(
        _N, "a license that names places of the map", "a country code that the map does not have"
    ),
    Reason.LOCATION_CLAIM_FALSE: ReasonText(
        _F, "a place that the timings allow, where the chip claims one", "a receiver that was told a false place"
    ),
    Reason.LOCATION_EVIDENCE_WEAK: ReasonText(
        _C, "evidence of the place as good as the license asks", "hem challenge --range: more landmarks, nearer ones"
    ),
    Reason.LOCATION_EXCLUDED: ReasonText(
        _F,
        "a chip that is in no place that its license excludes",
        "f + 1 operators exclude all other land, or all else",
    ),
    Reason.LOCATION_METHOD: ReasonText(
        _C, "a place that is shown as the license asks", "timings are the only method that is checked: the license"
    ),
    Reason.LOCATION_GNSS_ONLY: ReasonText(
        _C, "a place that is shown as the license asks", "hem challenge --range: a receiver's word is a hint, no proof"
    ),
    Reason.LOCATION_MOVE_UNDECLARED: ReasonText(
        _F, "a chip at the site where it was, or a move that its license announces", "hem license show: transfer"
    ),
    Reason.LOCATION_MOVE_EARLY: ReasonText(
        _F, "a move after the days of notice that the license asks for", "hem license show: transfer"
    ),
    Reason.LOCATION_MOVE_LATE: ReasonText(
        _F, "a first fix at the new site before the transit ends", "hem license show: transfer"
    ),
    Reason.LOCATION_IN_TRANSIT: ReasonText(
        _C, "a fix at the destination before the transit ends", "hem challenge --range, once the chip has arrived"
    ),
    Reason.LOCATION_NO_SITES: ReasonText(
        _C,
        "sites between which the license lets chips move",
        "the license: its transfer names moves, and it has no sites",
    ),
    Reason.FIRST_EVIDENCE: ReasonText(_N, "earlier evidence to compare with", "challenge the chip again"),
    Reason.CHAIN_FORK: ReasonText(
        _F, "the next link of the chip's evidence chain", "a cloned key: two chips answer as one"
    ),
    Reason.CHAIN_GAP: ReasonText(
        _C, "the next link of the chip's evidence chain", "find the evidence that was not handed in"
    ),
    Reason.BOOT_COUNT_BACK: ReasonText(_F, "a boot count that never falls", "the chip's storage was rolled back"),
    Reason.BOOT_SEED_CHANGED: ReasonText(
        _F, "a boot seed that changes with each boot only", "a clone, or hidden reboot"
    ),
    Reason.UPTIME_IMPOSSIBLE: ReasonText(
        _F, "uptime that agrees with elapsed time", "the chip's clock, or a frozen copy"
    ),
    Reason.COUNTER_BACK: ReasonText(_F, "counters that never fall", "the chip's storage was rolled back"),
    Reason.RATE_IMPOSSIBLE: ReasonText(_F, "no more than the peak rate over the elapsed time", "the chip's meter"),
    Reason.NO_PEAK_RATES: ReasonText(_C, "peak rates of the hardware model", "hem reference"),
    Reason.ENERGY_BELOW_WORK: ReasonText(
        _F, "at least the energy that its operations and its time on take", "a power meter that was bent, or operations"
    ),
    Reason.ENERGY_ABOVE_WORK: ReasonText(
        _F, "no more energy than idling and its cycles take", "work that the cycle counter does not show"
    ),
    Reason.FLOP_ABOVE_CYCLES: ReasonText(
        _F, "no more operations than its cycles can hold", "a cycle counter that was bent, or operations"
    ),
    Reason.USAGE_NOT_LIMITED: ReasonText(_P, "no budget in the license", "nothing to do"),
    Reason.BUDGET_EXCEEDED: ReasonText(
        _F, "all chips of the license together within its budget", "hem fleet usage: the sums, and when the period ends"
    ),
    Reason.BUDGET_UNCERTAIN: ReasonText(
        _C, "all chips of the license surely within its budget", "hem fleet usage: what may fall into another period"
    ),
    Reason.LINKS_NOT_LIMITED: ReasonText(_P, "no limit of interconnect in the license", "nothing to do"),
    Reason.PEERS_NOT_TOLD: ReasonText(_F, "evidence that names the chip's peers", "firmware that reports its peers"),
    Reason.PEER_OUTSIDE_POD: ReasonText(
        _F, "no peers but those of the chip's pod", "the cabling, or the pods of the license"
    ),
    Reason.PEERS_TOO_MANY: ReasonText(_F, "no more peers than the license allows", "the cabling of the chip"),
    Reason.PEER_DENIED: ReasonText(_F, "both ends of a link naming each other", "both chips: one of the two is lying"),
    Reason.PEER_UNHEARD: ReasonText(
        _C, "the word of every peer on the link", "hem challenge: a sweep that asks all chips of the pod"
    ),
    Reason.LINK_RATE_EXCEEDED: ReasonText(
        _F, "interconnect traffic within the license's rate", "what the chip is linked with"
    ),
    Reason.LINK_TRAFFIC_NOT_SPLIT: ReasonText(
        _C, "all traffic within the rate for outside traffic", "the link counter does not tell pod and outside apart"
    ),
    Reason.NO_LICENSE: ReasonText(_F, "a license that lists the chip", "hem license issue"),
    Reason.LICENSE_NOT_YET: ReasonText(_F, "a license that has begun", "the license's not_before"),
    Reason.LICENSE_EXPIRED: ReasonText(_F, "a license that has not expired", "renew the license"),
    Reason.DEVICE_CLASS_LOW: ReasonText(_F, "the device class of the license or higher", "the chip's endorsement root"),
    Reason.GRANT_NOT_ASKED: ReasonText(_P, "nothing: the license sets no budget", "nothing to do"),
    Reason.GRANT_MISSING: ReasonText(_F, "a grant, since the license sets a budget", "deliver the chip's grant"),
    Reason.GRANT_UNKNOWN: ReasonText(_F, "a grant of the ledger", "a grant that the issuer never logged"),
    Reason.GRANT_OTHER_CHIP: ReasonText(_F, "a grant to this chip", "firmware that takes grants of others"),
    Reason.GRANT_LICENSE: ReasonText(
        _F, "a grant under the chip's license, reported as issued", "the chip's grant store"
    ),
    Reason.BUDGET_OVERSPENT: ReasonText(_F, "no more spent than granted", "firmware that does not throttle"),
    Reason.GRANT_SUM: ReasonText(_F, "spent + remaining = granted", "the chip's grant store"),
    Reason.GRANT_SPENT_BACK: ReasonText(
        _F, "spending that never falls under one grant", "the grant store was rolled back"
    ),
    Reason.SPENDING_HIDDEN: ReasonText(_F, "spending that follows the cycle counter", "cycles run outside the grant"),
    Reason.NO_TERMS: ReasonText(_N, "a license that sets this term", "the term `license`"),
    Reason.ISSUER_UNKNOWN: ReasonText(_F, "signatures by this workspace's issuers alone", "who else signed the paper"),
    Reason.ISSUER_SIGNATURE: ReasonText(
        _F, "signatures that are all good", "a forgery, or terms changed after one had signed"
    ),
    Reason.ISSUERS_TOO_FEW: ReasonText(
        _F, "the signatures of k of n issuers", "hem license sign, hem grant sign: another issuer"
    ),
    Reason.LICENSE_SEQUENCE: ReasonText(_F, "a higher sequence than that in force", "an old license, or one replayed"),
    Reason.LICENSE_SUPERSEDED: ReasonText(
        _F, "a license that none has superseded", "hem license show: what is in force"
    ),
    Reason.SUPERSEDED_UNKNOWN: ReasonText(_F, "a known license to supersede", "hem status: the ids of licenses"),
    Reason.TERMS_NOT_CHECKED: ReasonText(
        _N, "terms that this version checks, and no others", "hem license show: carried, not checked by this version"
    ),
    Reason.REPORT_LATE: ReasonText(
        _F, "evidence no later than the license's interval and grace", "hem fleet silent: what the chip left unanswered"
    ),
    Reason.REPORT_NOT_ASKED: ReasonText(
        _C, "a challenge to the chip within its license's interval", "hem challenge: ask more often than it is due"
    ),
    Reason.REPORT_OVERDUE: ReasonText(
        _C, "evidence within the license's interval", "hem challenge: it fails once the grace is over too"
    ),
    Reason.CHALLENGE_UNANSWERED: ReasonText(
        _P, "an answer to each challenge; none is due yet", "the route to the chip, before evidence is due"
    ),
    Reason.CHIP_SILENT: ReasonText(
        _F, "evidence no later than the license's interval and grace", "inspect the chip on site"
    ),
    Reason.NEVER_ATTESTED: ReasonText(
        _F, "evidence of every licensed chip, in interval and grace", "a chip that was enrolled and never heard of"
    ),
    Reason.NEVER_ENROLLED: ReasonText(
        _F, "every licensed chip enrolled and heard of, in interval and grace", "hem enroll, or a chip that is missing"
    ),
    Reason.GRANT_SEQUENCE: ReasonText(
        _F, "a grant above all that its chip was granted before", "hem grant ledger: an old grant, or one replayed"
    ),
    Reason.GRANT_OLDER: ReasonText(
        _F, "no grant from before one that the chip has reported", "the grant store was rolled back"
    ),
    Reason.GRANT_STOCKPILED: ReasonText(
        _F,
        "no more granted and unspent than the license allows a chip",
        "hem grant ledger: what the chip can still use",
    ),
    Reason.MODEL_NOT_LICENSED: ReasonText(_F, "a hardware model of the license", "the license's models"),
    Reason.CAP_EXCEEDED: ReasonText(
        _F, "live chips and their TPP within the license's caps", "hem fleet usage: how many are live"
    ),
    Reason.CAP_UNCERTAIN: ReasonText(
        _C, "the caps kept with missing chips counted as live", "find missing chips, or have them retired"
    ),
    Reason.ANSWER_RATE_LOW: ReasonText(
        _F, "answers to the license's share of challenges", "the route to the chip, or who holds it back"
    ),
    Reason.PURPOSE_NOT_LIMITED: ReasonText(_P, "no limit of purpose in the license", "nothing to do"),
    Reason.PURPOSE_DECLARED: ReasonText(
        _P, "a purpose that the license allows, declared and not proven", "nothing to do"
    ),
    Reason.PURPOSE_DENIED: ReasonText(_F, "a declared purpose that the license allows", "what the chip is used for"),
    Reason.PURPOSE_MISSING: ReasonText(
        _F, "a declared purpose: the license lists what is allowed", "firmware that declares a purpose"
    ),
    Reason.PURPOSE_UNTOLD: ReasonText(
        _C, "a declared purpose: the license lists what is not allowed", "firmware that declares a purpose"
    ),
    Reason.CHIP_RETIRED: ReasonText(
        _F, "a chip that is not retired", "a chip that was declared dead runs: find it, and who retired it"
    ),
    Reason.UEID_RETIRED: ReasonText(_F, "chips that are not retired", "hem chip list: a retired UEID never comes back"),
    Reason.SERVICE_CLOSED: ReasonText(
        _F, "what the license of the chip opens to its holder", "hem license show: repair"
    ),
    Reason.PARTY_UNKNOWN: ReasonText(
        _F, "signatures by the chip's maker and by the holder's keys alone", "who else signed the order"
    ),
    Reason.PARTY_SIGNATURE: ReasonText(
        _F, "signatures that are all good", "a forgery, or an order changed after one had signed"
    ),
    Reason.PARTIES_TOO_FEW: ReasonText(
        _F, "the signatures of maker and holder, as many as the license asks", "hem chip sign: the other's signature"
    ),
    Reason.SERVICE_SEQUENCE: ReasonText(
        _F, "an order above all that there were for its chip", "an old order, or one replayed"
    ),
    Reason.REPLACEMENT_TAKEN: ReasonText(
        _F, "a replacement that no license lists", "whether the right UEID stands in the order"
    ),
    Reason.REBASE_HIDES: ReasonText(
        _F, "counters and grant read out as no less than was reported", "what the chip did before its repair"
    ),
    Reason.GRANTS_STOCKPILED: ReasonText(
        _F, "no more granted and unspent than the license allows all chips", "hem grant ledger: what they can still use"
    ),
    Reason.GRANT_TOO_LONG: ReasonText(
        _F, "a grant that lasts no longer than the license allows", "hem grant new --life"
    ),
    Reason.GRANT_EXPIRED: ReasonText(
        _F, "nothing spent of a grant once it has ended", "firmware that does not throttle, or a clock that was held"
    ),
    Reason.CHIP_IN_TRANSIT: ReasonText(
        _C, "evidence once the transit that the license announces is over", "hem license show: transfer"
    ),
    Reason.BASIS_VOID: ReasonText(
        _F, "a rule that is in force, or that the license itself says is not", "hem rules show: the pack's status"
    ),
    Reason.BASIS_UNKNOWN: ReasonText(
        _C, "a rule pack on record with the digest that the license names", "hem rules add: the very file"
    ),
    Reason.BASIS_OTHER_PACK: ReasonText(
        _F, "a digest of the rule pack that the license names", "who wrote the license's legal_basis"
    ),
    Reason.BASIS_NOT_IN_FORCE: ReasonText(
        _C, "a rule that is law", "a what-if: the license itself rests on what is not in force"
    ),
    Reason.BASIS_UNPINNED: ReasonText(
        _C, "a digest beside the name of a rule pack", "legal_basis.rule_pack_digest: a name alone could be any pack"
    ),
    Reason.BASIS_AUTHORIZATION: ReasonText(
        _F, "an authorization that the rule pack has", "hem rules show: its authorizations"
    ),
    Reason.LANDMARK_UNKNOWN: ReasonText(_F, "a report by a landmark of this verifier", "hem landmark add"),
    Reason.LANDMARK_REVOKED: ReasonText(
        _F, "a landmark that is not revoked", "range the chip from other landmarks, or this one under a new key"
    ),
    Reason.REPORT_NOT_SIGNED: ReasonText(
        _F, "a report signed by the landmark that it names", "a forgery, or bytes changed on the way"
    ),
    Reason.REPORT_CHALLENGE: ReasonText(
        _F, "a challenge of this verifier, by id and nonce", "which challenge the landmark was given"
    ),
    Reason.REPORT_WINDOW: ReasonText(
        _F, "a window within the life of its challenge, and not after now", "the landmark's clock, or an old report"
    ),
    Reason.REPORT_TWICE: ReasonText(_F, "a report that is not in the log yet", "whether a file was given twice"),
    Reason.COMMITMENT_MISMATCH: ReasonText(
        _F, "the commitment to the key that this chip opened", "whoever answered the landmark in place of the chip"
    ),
    Reason.REPLY_NOT_KEYED: ReasonText(
        _F, "replies that are all by the opened session key", "whoever answered the landmark in place of the chip"
    ),
    Reason.PROBE_NOT_SIGNED: ReasonText(
        _F, "the probes that the chip signed to have answered", "answers made once the key was open: a relay"
    ),
    Reason.REPORT_MISSING: ReasonText(
        _C, "a report of every landmark on every challenge to range", "the landmark: is it reached, or flooded"
    ),
    Reason.REPORT_THIN: ReasonText(
        _C, "replies to half of a landmark's probes or more", "the landmark's network: is it flooded"
    ),
    Reason.NOT_JWS: ReasonText(_F, "three parts in base64url between dots", "whether this is a result"),
    Reason.NOT_JSON: ReasonText(_F, "one JSON text", "the sender's JSON encoder"),
    Reason.BAD_BASE64: ReasonText(_F, "base64url without padding, one text for one value", "the sender's encoder"),
    Reason.RESULT_SIGNER: ReasonText(
        _F, "a signer whom the trust file names as this verifier", "whose result this is, and the trust file"
    ),
    Reason.RESULT_SIGNATURE: ReasonText(
        _F, "a signature by the verifier's key", "a forgery, or claims changed on the way"
    ),
    Reason.RESULT_EXPIRED: ReasonText(_F, "a result that has not expired", "ask the verifier for a newer one"),
    Reason.RESULT_EARLY: ReasonText(_F, "a result from before now", "the clocks of the verifier and of this machine"),
    Reason.RESULT_SUBJECT: ReasonText(
        _F, "one appraisal, with its evidence and its log entry", "whether this is a result of hem"
    ),
    Reason.RECEIPT_MISSING: ReasonText(_F, "a receipt beside the result", "who took it off: ask for the whole result"),
    Reason.RECEIPT_LOG: ReasonText(
        _F, "a receipt of the log that the result names, by a key of the trust file", "whose receipt was attached"
    ),
    Reason.RECEIPT_ENTRY: ReasonText(
        _F, "a receipt for the entry that the result names", "a receipt of another result was attached"
    ),
    Reason.RECEIPT_UNPROVEN: ReasonText(
        _F, "a proof that leads from evidence and reasons to a signed root", "the verifier: its log does not say this"
    ),
    Reason.VERDICT_DIFFERS: ReasonText(
        _F, "the status that the logged reasons come to", "the verifier: it signed what its log does not say"
    ),
    Reason.CHIP_DIFFERS: ReasonText(
        _F, "the chip and the nonce that the logged evidence names", "the verifier: it signed another chip's verdict"
    ),
    **AUDIT,
}
