"""Stage of a relying party: a result and its receipt against a file of keys, with no workspace and no network."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self

from hem.ear import appraised
from hem.errors import Reason, UsageError
from hem.log import Checkpoint, Note, VerifierKey
from hem.log.receipt import proves_entry, proves_growth
from hem.model import Tier
from protocols import cbor, ear, jws, keys, receipts
from protocols.cbor import WireError
from protocols.ear import Appraisal, Result
from protocols.judged import LogEntry, SitedEntry
from protocols.messages import Evidence

EARLY_S = 300  # seconds that clocks of verifier and relying party may differ by
_HEX = re.compile(r"(?:[0-9a-f]{2})+")
_SEQUENCE_HEADS = {0x58: 1, 0x59: 2, 0x5A: 4}


class Signatory(NamedTuple):
    """A verifier whose results are believed: its name, which is the `iss` of its results, and its key."""

    name: str
    key: keys.PublicKey


@dataclass(frozen=True)
class TrustedKeys:
    """Whom a relying party believes: verifiers, and logs. It comes to it on a way of its own, not with results."""

    verifiers: tuple[Signatory, ...]
    logs: tuple[VerifierKey, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the keys of a trust file: a key a line, `verifier <name> <COSE_Key in hex>` or `log <vkey>`.

        Empty lines and those that begin with # say nothing. The form of a log's key is that of C2SP signed-note.

        Raises:
            UsageError: another line, one that is there twice, or no key of either kind.
        """
        verifiers: list[Signatory] = []
        logs: list[VerifierKey] = []
        for number, line in enumerate(text.splitlines(), start=1):
            try:
                key = _key_of(line.split())
            except (WireError, UsageError) as error:
                raise UsageError(f"line {number}: {error}") from error
            if key in verifiers or key in logs:
                raise UsageError(f"line {number}: this key is there twice")
            if isinstance(key, Signatory):
                verifiers.append(key)
            elif key is not None:
                logs.append(key)
        if not verifiers or not logs:
            raise UsageError("names no verifier, or no log: a result needs a key of both")
        return cls(tuple(verifiers), tuple(logs))

    def text(self) -> str:
        """Return the text that `parse` reads."""
        known = [f"verifier {one.name} {keys.cose_key(one.key).hex()}" for one in self.verifiers]
        return "\n".join([*known, *(f"log {one}" for one in self.logs), ""])


def _key_of(words: list[str]) -> Signatory | VerifierKey | None:
    match words:
        case ["verifier", name, coded] if _HEX.fullmatch(coded):
            return Signatory(name, keys.from_cose_key(bytes.fromhex(coded)))
        case ["log", vkey]:
            return VerifierKey.parse(vkey)
        case [word, *_] if not word.startswith("#"):
            raise UsageError("expected `verifier <name> <COSE_Key in hex>` or `log <name>+<id>+<key>`")
    return None


class Checked(NamedTuple):
    """What became of one result: `reason` is MET where all of it holds, and only then `result` may be believed."""

    reason: Reason
    where: str
    result: Result | None = None

    @property
    def tier(self) -> Tier:
        """Return the tier of a result that holds; what does not hold is contraindicated."""
        return Tier(self.appraisal.status) if self.reason is Reason.MET else Tier.CONTRAINDICATED

    @property
    def appraisal(self) -> Appraisal:
        """Return the one appraisal of a result that holds."""
        if self.result is None:
            raise LookupError("a result that was not read has no appraisal")
        return self.result.appraisals[ear.CHIP]


class _Refused(Exception):  # noqa: N818 - data on its way to `Checked`
    def __init__(self, reason: Reason, where: str) -> None:
        super().__init__(where)
        self.reason = reason
        self.where = where


def check(token: bytes, trusted: TrustedKeys, now: int) -> Checked:
    """Return whether a result holds at `now` (milliseconds): who signed it, its time, its receipt, its verdict.

    THE ORDER. Of the claims only the issuer is used before the signature holds, to find the key; the receipt comes
    before the verdict, which is compared with what the receipt proves to be in the log.
    """
    result = None
    try:
        envelope = ear.decode(token)
        _require_signer(envelope, trusted)
        result = envelope.result
        _require_time(result, now)
        evidence, entry, appraisal = _subject(result)
        _require_receipt(envelope.receipts, entry, entry.encode(evidence), trusted)
        _require_verdict(result, appraisal, entry)
        _require_chip(evidence, appraisal)
    except WireError as error:
        return Checked(Reason[error.reason], error.where, result)
    except _Refused as refused:
        return Checked(refused.reason, refused.where, result)
    return Checked(Reason.MET, "", result)


def _require_signer(envelope: ear.Envelope, trusted: TrustedKeys) -> None:
    signed = envelope.signed
    named = [one.key for one in trusted.verifiers if one.name == envelope.result.issuer]
    named = [key for key in named if signed.kid in {None, keys.kid(key), jws.kid(key)}]
    if not named:
        raise _Refused(Reason.RESULT_SIGNER, f"issuer {envelope.result.issuer!a}: not in the trust file with this key")
    if not any(signed.verified_by(key) for key in named):
        raise _Refused(Reason.RESULT_SIGNATURE, "signature of the result")


def _require_time(result: Result, now: int) -> None:
    if result.expires is None or now >= 1000 * result.expires:
        raise _Refused(Reason.RESULT_EXPIRED, f"exp {result.expires}, now {now // 1000}")
    if 1000 * (result.issued - EARLY_S) > now:
        raise _Refused(Reason.RESULT_EARLY, f"iat {result.issued}, now {now // 1000}")


def _subject(result: Result) -> tuple[bytes, LogEntry | SitedEntry, Appraisal]:
    if set(result.appraisals) != {ear.CHIP}:
        raise _Refused(Reason.RESULT_SUBJECT, f"{len(result.appraisals)} submodules, expected one named {ear.CHIP}")
    appraisal = result.appraisals[ear.CHIP]
    if result.evidence is None or appraisal.entry is None:
        raise _Refused(Reason.RESULT_SUBJECT, "no evidence, or no log entry")
    return result.evidence, appraisal.entry, appraisal


def _require_receipt(
    attached: tuple[bytes, ...], entry: LogEntry | SitedEntry, whole: bytes, trusted: TrustedKeys
) -> None:
    """Return if a receipt proves the entry; else the first one's fault is told."""
    if not attached:
        raise _Refused(Reason.RECEIPT_MISSING, "no receipt")
    faults = [_receipt_fault(receipts.decode(one), entry, whole, trusted) for one in attached]
    if None not in faults:
        raise faults[0] or AssertionError


def _receipt_fault(
    receipt: receipts.Receipt, entry: LogEntry | SitedEntry, whole: bytes, trusted: TrustedKeys
) -> _Refused | None:
    known = [key for key in trusted.logs if key.name == entry.log]
    if receipt.origin != entry.log or not known:
        return _Refused(Reason.RECEIPT_LOG, f"receipt of {receipt.origin!a}, result of {entry.log!a}")
    if not isinstance(receipt.proof, receipts.Inclusion) or receipt.proof.leaf != entry.number:
        return _Refused(Reason.RECEIPT_ENTRY, f"{receipt.proof!r:.60}, expected one of entry {entry.number}")
    if not proves_entry(receipt, whole, known):
        return _Refused(Reason.RECEIPT_UNPROVEN, f"entry {entry.number} of {entry.log!a}")
    return None


def _require_verdict(result: Result, appraisal: Appraisal, entry: LogEntry | SitedEntry) -> None:
    tier, vector = appraised(entry.reasons)
    said = (result.status, appraisal.status, appraisal.vector)
    if said != (tier, tier, vector):
        raise _Refused(Reason.VERDICT_DIFFERS, f"entry {entry.number} comes to {Tier(tier).name.lower()}")


def _require_chip(evidence: bytes, appraisal: Appraisal) -> None:
    _, message = Evidence.open(evidence)
    if (appraisal.ueid, appraisal.nonce) != (message.ueid, message.nonce):
        raise _Refused(Reason.CHIP_DIFFERS, f"evidence of chip {message.ueid.hex()}")


def rows(data: bytes) -> Iterator[bytes | WireError]:
    """Yield the results of a file: JWTs a line each, or a CBOR sequence of byte strings, or one CWT as it stands.

    A damaged result stays inside its row. Where the sequence itself is damaged, the last item is the error.
    """
    if data[:1] == b"e":
        yield from data.split()
    elif data[:1] == b"\xd2":
        yield data
    else:
        yield from _sequence(data)


def _sequence(data: bytes) -> Iterator[bytes | WireError]:
    at = 0
    while at < len(data):
        size = _SEQUENCE_HEADS.get(data[at], 0)
        start = at + 1 + size
        length = int.from_bytes(data[at + 1 : start], "big") if size else data[at] & 0x1F
        if (not size and not 0x40 <= data[at] < 0x58) or start + length > len(data):
            yield WireError("NOT_SIGN1" if not size else "TRUNCATED", f"sequence, byte {at}")
            return
        yield data[start : start + length]
        at = start + length


def grown(data: bytes, note: bytes, trusted: TrustedKeys) -> tuple[Checkpoint, receipts.Receipt, bool]:
    """Return an older checkpoint, a receipt, and whether that shows that the log has only grown in between.

    Args:
        data: the receipt, of consistency.
        note: the older checkpoint, a signed note that was kept.
        trusted: whose keys count.

    Raises:
        UsageError: the note is no checkpoint of a trusted log, or the receipt is one of an entry.
    """
    receipt = receipts.decode(data)
    if not isinstance(receipt.proof, receipts.Consistency):
        raise UsageError("a receipt that an entry is in the log, not one that the log has only grown")
    signed = Note.parse(note)
    old = Checkpoint.parse(signed.text)
    known = [key for key in trusted.logs if key.name == old.origin]
    signed.verified_by(known)
    return old, receipt, proves_growth(receipt, old, known)


def is_receipt(data: bytes) -> bool:
    """Return whether `data` is a receipt by itself, as `hem log receipt` writes it."""
    try:
        receipts.decode(data)
    except WireError:
        return False
    return True


def join(tokens: list[bytes]) -> bytes:
    """Return the file that `rows` reads: results in one form or the other."""
    return b"\n".join([*tokens, b""]) if tokens and tokens[0][:1] == b"e" else cbor.join(tokens)
