"""What the reasons of an audit mean: each is against a log, or in dispute with it, and none against a chip."""

from hem.errors.reasons import Reason, ReasonText, Verdict

_F, _C = Verdict.FAIL, Verdict.CANNOT_TELL

AUDIT: dict[Reason, ReasonText] = {
    Reason.LOG_CHECKPOINT: ReasonText(
        _F, "a checkpoint that a log's key of the trust file signed", "whose log this is, and the trust file"
    ),
    Reason.LOG_COSIGNATURES: ReasonText(
        _F, "the cosignatures that the policy asks for", "the witnesses: what they say of this log"
    ),
    Reason.LOG_ROOT: ReasonText(
        _F, "entries that give the root of each signed checkpoint", "an older copy of the log: which entries differ"
    ),
    Reason.LOG_OBJECT: ReasonText(
        _F, "every tile and bundle that the entries make", "a copy of the log: this object is damaged or missing"
    ),
    Reason.LOG_ENTRY: ReasonText(
        _F, "an entry that hashes to its leaf under the signed root", "a copy of the log: this entry was changed"
    ),
    Reason.LOG_SPLIT_VIEW: ReasonText(
        _F, "one log, whoever is shown it", "both copies: two signed checkpoints that cannot both be"
    ),
    Reason.ENTRY_REFUSED: ReasonText(
        _F, "an entry that agrees with those before it", "the writer: no honest log has this entry"
    ),
    Reason.ENTRY_NOT_SIGNED: ReasonText(
        _F, "a document signed by whom the log names for it", "the writer: who let this document in"
    ),
    Reason.ENTRY_TIME_BACK: ReasonText(
        _F, "times that never fall", "the clock of the verifier, or entries that changed places"
    ),
    Reason.ROOT_UNKNOWN: ReasonText(
        _F, "keys and roots of the trust file and no others", "the owner: whose key or root this is"
    ),
    Reason.EVIDENCE_NOT_AUTHENTIC: ReasonText(
        _F, "evidence by the key of an enrolled chip", "the writer: it logged what no chip signed"
    ),
    Reason.EVIDENCE_REPEATED: ReasonText(_F, "stale evidence once", "the writer: it logged the same message twice"),
    Reason.VERDICT_NOT_DERIVED: ReasonText(
        _F, "the reasons that the entries before it lead to", "the writer: its verdict does not follow"
    ),
    Reason.BASIS_NOT_DERIVED: ReasonText(
        _F, "the rule, the map and the landmarks that the basis names", "the version of hem that wrote the log"
    ),
    Reason.RESULT_NOT_LOGGED: ReasonText(
        _F,
        "every result that the verifier signed in its log, where it says",
        "the writer: it left out what it accepted",
    ),
    Reason.PACK_CHANGED: ReasonText(
        _F, "the rule pack that was published", "the owner: which pack its verdicts rest on"
    ),
    Reason.ENTRY_TIME_AHEAD: ReasonText(
        _F, "entries no later than those who cosigned or timed them say", "the clock of the verifier: it was ahead"
    ),
    Reason.ENTRY_TIME_BEHIND: ReasonText(
        _F, "entries no earlier than those who cosigned or timed them say", "the clock of the verifier: it was set back"
    ),
    Reason.ANSWER_NOT_LOGGED: ReasonText(
        _C, "every answer that a chip gave to a challenge", "holder and verifier: who of them let it drop is not in it"
    ),
    Reason.SILENCE_REFUTED: ReasonText(
        _C,
        "no chip unanswered that a landmark timed under the challenge",
        "the landmark's report: the chip was there; ask it again, with a witness",
    ),
    Reason.CHALLENGE_NOT_LOGGED: ReasonText(
        _F, "every challenge that the verifier signed", "the writer: it asks in one place and logs in another"
    ),
}
