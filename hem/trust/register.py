"""The register of everything that may be believed: a fold over the entries that owners signed."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cryptography import x509
from numpy.typing import NDArray

from hem.core import KeyTable
from hem.errors import Reason, UsageError, WorkspaceError
from hem.model import ASKED, STANDING
from hem.trust import admission
from hem.trust.endorse import Anchor
from hem.trust.landmarks import Landmarks
from hem.trust.limits import Limits
from hem.trust.terms import (
    OPEN_OF_CHIPS,
    arrival,
    asks_evidence,
    evidence_asked,
    limits_location,
    move_of,
    names_methods,
    open_terms,
)
from protocols import keys
from protocols.cose import Envelope, Sign1
from protocols.entries import Entry, IssuerKeys, Kind, Policy
from protocols.fields import UEID_BYTES
from protocols.messages import Grant, License, Meter, ReferenceValues
from protocols.terms import Firmware

NO_LICENSE = -1
_DAY_MS = 86_400_000
NO_GRANT = -2  # as a chip row: no chip has it, and no missing chip either


def device_set_digest(ueids: list[bytes]) -> bytes:
    """Return what a license says of its chips: SHA-256 of their sorted UEIDs end to end."""
    return hashlib.sha256(b"".join(sorted(ueids))).digest()


@dataclass
class LicenseRow:
    """A license and the chips it lists, as far as they are known."""

    terms: License
    ueids: list[bytes] = field(default_factory=list)
    noticed: int = 0  # the verifier's time (ms) when its move, if it has one, was first announced under its id

    @property
    def complete(self) -> bool:
        """Return whether the chips are all there and are those that the issuer signed."""
        count, digest = self.terms.chips
        return len(self.ueids) == count and device_set_digest(self.ueids) == digest


# The ledger of grants in columns; chip is -1 where it is not enrolled.
GRANT = np.dtype([("chip", "i8"), ("license_id", "V16"), ("sequence", "u8"), ("budget", "u8")])


class Trust:
    """Anchors, chips, reference values, licenses and grants, each under an integer row number."""

    def __init__(self) -> None:
        self.verifier = ""
        self.policy = Policy()
        self.verifier_key: keys.PublicKey | None = None
        self.issuer_key: keys.PublicKey | None = None  # of grants
        self.issuers = admission.Issuers(1, {})  # of licenses
        self._issuers_told = False
        self._firmware: dict[int, Firmware] = {}  # license row: what it asks of firmware
        self._newest: dict[bytes, int] = {}  # license id: the highest sequence
        self.superseded: dict[bytes, bytes] = {}  # license id: the one that superseded it
        self.anchors: list[Anchor] = []
        self.table = KeyTable()
        self.ueids: list[bytes] = []
        self.references: dict[bytes, ReferenceValues] = {}
        self.licenses: list[LicenseRow] = []
        self.landmarks = Landmarks()
        self.grants: dict[bytes, Grant] = {}  # by digest of what was signed
        self._grant_rows: dict[bytes, int] = {}
        self._ledger: NDArray[np.void] | None = None
        self._chips: dict[bytes, int] = {}
        self._kids: set[bytes] = set()
        self._classes: list[int] = []
        self._models: list[bytes] = []
        self._listed: dict[bytes, int] = {}  # UEID: row of the newest license that lists it
        self._free_from: dict[bytes, int] = {}  # UEID: when a license last let the chip move as it likes, milliseconds
        self._due_from: dict[bytes, int] = {}  # UEID: when evidence was first due within an interval, milliseconds
        self._standing: NDArray[np.void] | None = None
        self._limits: Limits | None = None
        self._asked: NDArray[np.void] | None = None

    def use_table(self, path: str | None, *, table_bytes: int) -> None:
        """Begin with an empty key table, which knows the file at `path` if one is given (`KeyTable.open`).

        Raises:
            OSError: the file cannot be read.
            ValueError: the file is damaged, or of another version of hem.
        """
        if len(self.table):
            raise ValueError(f"{len(self.table)} keys are enrolled already, expected none")
        if path is None:
            self.table = KeyTable(table_bytes=table_bytes)
        else:
            self.table = KeyTable.open(path, table_bytes=table_bytes)

    def admit(self, entry: Entry) -> None:
        """Take in one entry of kinds 0 to 6, 9, 10 and 13.

        Signatures were checked before they were logged. Those of licenses are few, and are checked again.

        Raises:
            WorkspaceError: the entry contradicts what is known, which no honest log does.
        """
        self._standing = self._ledger = self._limits = None
        actions: dict[Kind, Callable[..., None]] = {
            Kind.GENESIS: self._genesis,
            Kind.ANCHOR: self._anchor,
            Kind.ENDORSED: self._endorsed,
            Kind.REFERENCE: self._reference,
            Kind.LICENSE: lambda message: self._license_entry(entry.time, message),
            Kind.DEVICE_SET: lambda *piece: self._device_set(entry.time, *piece),
            Kind.GRANT: self._grant,
            Kind.LANDMARK: lambda message: self.landmarks.add(message, entry.time),
            Kind.LANDMARK_REVOKED: lambda kid: self.landmarks.revoke(kid, entry.time),
            Kind.ISSUERS: self._issuers,
        }
        actions[entry.kind](*entry.fields)

    def chip(self, ueid: bytes) -> int:
        """Return the row of an enrolled chip, -1 if there is none."""
        return self._chips.get(ueid, -1)

    def knows_key(self, kid: bytes) -> bool:
        """Return whether a chip is enrolled with the key of this id."""
        return kid in self._kids

    def chips_of(self, ueids: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the chip row of each UEID of an (N, 17) column, -1 where unknown."""
        raw = ueids.tobytes()
        found = (self._chips.get(raw[at : at + UEID_BYTES], -1) for at in range(0, len(raw), UEID_BYTES))
        return np.fromiter(found, np.int64, len(ueids))

    def license_of(self, chip: int) -> LicenseRow | None:
        """Return the license that a chip runs under: the newest that lists it."""
        row = self._listed.get(self.ueids[chip], NO_LICENSE) if chip >= 0 else NO_LICENSE
        return self.licenses[row] if row != NO_LICENSE else None

    def license_row(self, license_id: bytes) -> int:
        """Return the row of the newest license with this id, -1 if there is none."""
        rows = [row for row, one in enumerate(self.licenses) if one.terms.license_id == license_id]
        return rows[-1] if rows else NO_LICENSE

    def ended(self, row: int) -> str:
        """Return in words what ended a license, empty if it is in force (which does not say that its time has come)."""
        one = self.licenses[row]
        newest = self._newest[one.terms.license_id]
        if one.terms.license_id in self.superseded:
            return f"superseded by license {self.superseded[one.terms.license_id].hex()}"
        if newest != one.terms.sequence:
            return f"replaced by its sequence {newest}"
        return "" if one.complete else f"{len(one.ueids)} of {one.terms.chips[0]} chips are known"

    def hwmodel(self, chip: int) -> bytes:
        """Return the hardware model that a chip was endorsed as."""
        return self._models[chip]

    def device_class(self, chip: int) -> int:
        """Return the device class that a chip was endorsed as."""
        return self._classes[chip]

    def models(self) -> dict[bytes, int]:
        """Return a number for each endorsed hardware model, as in the column `hwmodel` of `standing`."""
        return {model: number for number, model in enumerate(sorted(set(self._models)))}

    def standing(self, chips: NDArray[np.int64]) -> NDArray[np.void]:
        """Return what holds for each chip row, STANDING; license -1 and zeros for row -1."""
        if self._standing is None:
            self._standing = self._build_standing()
        return self._standing[chips]

    def listed(self) -> NDArray[np.int64]:
        """Return the license that each chip runs under, -1 for none: one row a chip."""
        return self.standing(np.arange(len(self.ueids)))["license"]

    def limits(self) -> Limits:
        """Return what the licenses limit beside time, place and grants."""
        if self._limits is None:
            self._limits = Limits.of([one.terms for one in self.licenses], self._listed)
        return self._limits

    def asked(self, licenses: NDArray[np.int64]) -> NDArray[np.void]:
        """Return how good the license of each row, which is not -1, asks evidence of a place to be, ASKED."""
        if self._asked is None or len(self._asked) != len(self.licenses):
            self._asked = np.array([evidence_asked(one.terms) for one in self.licenses], dtype=ASKED)
        return self._asked[licenses]

    def firmware_asked(self) -> dict[int, Firmware]:
        """Return what licenses ask of firmware beside its security version, by their row."""
        return self._firmware

    def _build_standing(self) -> NDArray[np.void]:
        models = self.models()
        licenses = [_license_standing(row, one) for row, one in enumerate(self.licenses)]
        rows = np.zeros(len(self.ueids) + 1, dtype=STANDING)  # the last row stands for -1
        rows["license"] = NO_LICENSE
        rows["hwmodel"] = -1
        if licenses:
            table = np.array(licenses)
            listed = np.array([*(self._listed.get(ueid, NO_LICENSE) for ueid in self.ueids), NO_LICENSE])
            rows[listed >= 0] = table[listed[listed >= 0]]
        rows["due_from"][:-1], rows["free_ms"][:-1] = self._times(self._due_from), self._times(self._free_from)
        rows["device_class"][:-1] = self._classes
        rows["hwmodel"][:-1] = [models[model] for model in self._models]
        peaks = {model: reference.peaks for model, reference in self.references.items()}
        rows["peaks"][:-1] = [peaks.get(model, Meter(0, 0, 0, 0)) for model in self._models] or 0
        return rows

    def _times(self, known: dict[bytes, int]) -> list[int] | int:
        """Return the time of each chip, 0 where none is known."""
        return [known.get(ueid, 0) for ueid in self.ueids] if known else 0

    def _genesis(self, verifier: str, verifier_key: bytes, issuer_key: bytes, policy: Policy) -> None:
        self.verifier, self.policy = verifier, policy
        self.verifier_key, self.issuer_key = keys.from_cose_key(verifier_key), keys.from_cose_key(issuer_key)
        self.issuers = admission.Issuers.of(IssuerKeys(1, (issuer_key,)))

    def _issuers(self, told: IssuerKeys) -> None:
        # Or whoever writes the log could make itself the issuer of what others have signed.
        if self.licenses or self._issuers_told:
            raise WorkspaceError("log: other issuers after the first license, or twice: they are chosen once")
        self._issuers_told, self.issuers = True, admission.Issuers.of(told)

    def _anchor(self, device_class: int, der: bytes) -> None:
        self.anchors.append(Anchor(device_class, x509.load_der_x509_certificate(der)))

    def _endorsed(self, *fields: Any) -> None:
        self.admit_chips([fields])

    def admit_chips(self, chips: Sequence[tuple[Any, ...]]) -> None:
        """Take in the fields of entries of kind ENDORSED, in order; many at once take less time a chip.

        Raises:
            WorkspaceError: a chip or a key is there already, or the key is none; the chips before it are taken in.
        """
        self._standing = self._ledger = self._limits = None
        found = [keys.from_cose_key(chip[2]) for chip in chips]
        kids = [keys.kid(key) for key in found]
        ueids = [chip[0] for chip in chips]
        reasons = self.table.enroll_many(
            [keys.algorithm_of(key) for key in found], [keys.raw_public(key) for key in found], kids, ueids
        )
        for (ueid, device_class, _, _, hwmodel, _), kid, reason in zip(chips, kids, reasons.tolist(), strict=True):
            if reason:
                raise WorkspaceError(f"log: chip {ueid.hex()} cannot be enrolled: {Reason(reason).name.lower()}")
            self._kids.add(kid)
            self._chips[ueid] = len(self.ueids)
            self.ueids.append(ueid)
            self._classes.append(device_class)
            self._models.append(hwmodel)

    def _reference(self, message: bytes, certificate: bytes) -> None:
        del certificate
        _, values = ReferenceValues.open(message)
        self.references[values.hwmodel] = values

    def _license_entry(self, time: int, message: bytes) -> None:
        envelope, terms = License.read(message)
        if refused := self.refusal(envelope, terms):
            raise WorkspaceError(f"log: license {terms.license_id.hex()}: {refused}")
        # The same move in a renewal is no new announcement.
        row = self.license_row(terms.license_id)
        same = row != NO_LICENSE and move_of(self.licenses[row].terms) == move_of(terms)
        self.licenses.append(LicenseRow(terms, noticed=self.licenses[row].noticed if same else time))
        self._newest[terms.license_id] = terms.sequence
        if terms.firmware is not None:
            self._firmware[len(self.licenses) - 1] = terms.firmware

    def refusal(self, envelope: Envelope, terms: License) -> admission.Refused | None:
        """Return why a license cannot be taken in now, or None."""
        return self.unsigned(envelope) or admission.succession(terms, self._newest, self.superseded)

    def unsigned(self, envelope: Envelope) -> admission.Refused | None:
        """Return why a license is not signed as its issuers must sign it, or None."""
        return admission.signatures(envelope, self.issuers)

    def _device_set(self, time: int, license_id: bytes, sequence: int, piece: int, ueids: bytes) -> None:
        del piece  # the order of the log is the order of the pieces
        row = self.license_row(license_id)
        if row == NO_LICENSE or self.licenses[row].terms.sequence != sequence:
            raise WorkspaceError(f"log: chips for license {license_id.hex()}, which is not the one in force")
        one = self.licenses[row]
        one.ueids += [ueids[at : at + UEID_BYTES] for at in range(0, len(ueids), UEID_BYTES)]
        if one.complete:
            gone = {license_id, one.terms.supersedes}
            if one.terms.supersedes is not None:
                self.superseded[one.terms.supersedes] = license_id
            self._begin(one, time)
            # A chip that the newer license no longer lists has none.
            older = {n for n, other in enumerate(self.licenses) if other.terms.license_id in gone}
            self._listed = {ueid: n for ueid, n in self._listed.items() if n not in older}
            self._listed.update(dict.fromkeys(one.ueids, row))
            self._release(one, time)

    def _release(self, one: LicenseRow, time: int) -> None:
        """Forget where chips were, if their license lets them move: what they do under it is no later license's."""
        if one.terms.transfer is None and any(other.terms.transfer for other in self.licenses):
            self._free_from.update(dict.fromkeys(one.ueids, time))

    def _begin(self, one: LicenseRow, time: int) -> None:
        """Let the first interval of each chip begin; one that is running goes on, unless the new terms are stricter.

        Or each renewal would forgive a silent chip, and stricter terms would have been broken before there were any.
        """
        begins, limits = max(time, 1000 * one.terms.not_before), _limits(one.terms)
        if limits is None:
            return
        kept = {row for row, other in enumerate(self.licenses) if _goes_on(other.terms, limits, begins)}
        running = {ueid: self._due_from[ueid] for ueid in one.ueids if self._listed.get(ueid, NO_LICENSE) in kept}
        self._due_from |= dict.fromkeys(one.ueids, begins) | running

    def absent(self) -> tuple[list[bytes], NDArray[np.void]]:
        """Return the UEIDs of chips that a license in force lists and that are not enrolled, and their STANDING."""
        ueids = [ueid for ueid in self._listed if ueid not in self._chips]
        rows = np.zeros(len(ueids), dtype=STANDING)
        if ueids:
            table = np.array([_license_standing(row, one) for row, one in enumerate(self.licenses)])
            rows[:] = table[[self._listed[ueid] for ueid in ueids]]
            rows["due_from"] = [self._due_from.get(ueid, 0) for ueid in ueids]
            rows["hwmodel"] = -1
        return ueids, rows

    def _grant(self, message: bytes) -> None:
        envelope, terms = Grant.open(message)
        digest = envelope.digest
        self._grant_rows.setdefault(digest, len(self.grants))
        self.grants[digest] = terms

    def claimed_grants(self, digests: NDArray[np.uint8]) -> NDArray[np.void]:
        """Return what the ledger has for each digest of an (N, 32) column, GRANT; chip -2 where it has nothing."""
        if self._ledger is None:
            rows = [(self.chip(g.ueid), g.license_id, g.sequence, g.budget) for g in self.grants.values()]
            self._ledger = np.array([*rows, (NO_GRANT, bytes(16), 0, 0)], dtype=GRANT)
        raw = digests.tobytes()
        found = (self._grant_rows.get(raw[at : at + 32], -1) for at in range(0, len(raw), 32))
        return self._ledger[np.fromiter(found, np.int64, len(digests))]

    def issued_by(self, sign1: Sign1, key: keys.PublicKey | None, what: str) -> None:
        """Return if `key` signed the envelope.

        Raises:
            UsageError: naming the document and the key ids.
        """
        if key is None or not sign1.verified_by(key):
            expected = "none" if key is None else keys.kid(key).hex()
            raise UsageError(f"{what}: not signed by the expected key: kid {sign1.kid.hex()}, expected {expected}")


def _limits(terms: License) -> tuple[int, int] | None:
    """Return the interval within which evidence is due, and that with its grace, in milliseconds; None: no interval."""
    told = terms.reporting
    if told is None or told.interval_s is None:
        return None
    return 1000 * told.interval_s, 1000 * (told.interval_s + (told.grace_s or 0))


def _goes_on(old: License, limits: tuple[int, int], begins: int) -> bool:
    """Return whether an interval under an old license goes on under one with `limits` that is in force at `begins`."""
    was = _limits(old)
    return was is not None and 1000 * old.expires >= begins and was[0] <= limits[0] and was[1] <= limits[1]


def _license_standing(row: int, license_row: LicenseRow) -> NDArray[np.void]:
    terms = license_row.terms
    one = np.zeros((), dtype=STANDING)
    one["license"], one["license_id"] = row, terms.license_id
    one["not_before"], one["expires"] = 1000 * terms.not_before, 1000 * terms.expires
    one["license_class"], one["svn_floor"] = terms.device_class, terms.svn_floor
    one["debug_allowed"], one["budget"] = terms.debug_allowed, terms.budget
    one["limits_location"] = limits_location(terms)
    one["open_terms"] = bool(open_terms(terms, OPEN_OF_CHIPS))
    if terms.freshness is not None:
        one["max_age_ms"] = 1000 * (terms.freshness.max_age_s or 0)
        one["nonce_bits"] = terms.freshness.nonce_bits or 0
    one["asks_evidence"] = asks_evidence(terms)
    one["names_methods"], one["other_methods"] = names_methods(terms)
    one["asks_firmware"] = terms.firmware is not None
    if terms.transfer is not None:
        one["asks_moves"], one["noticed_ms"], one["arrival"] = True, license_row.noticed, arrival(terms)
        one["notice_ms"] = _DAY_MS * (terms.transfer.notice_days or 0)
        one["transit_ms"] = 1000 * (terms.transfer.transit_until or 0)
    one["interval_ms"], one["limit_ms"] = _limits(terms) or (0, 0)
    return one
