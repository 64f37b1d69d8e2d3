"""The register of everything that may be believed: a fold over the entries that owners signed."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from cryptography import x509
from numpy.typing import NDArray

from hem.core import KeyTable
from hem.errors import Reason, WorkspaceError
from hem.model import ASKED, STANDING
from hem.rules import Pack
from hem.trust import admission, legal, service
from hem.trust.endorse import Anchor
from hem.trust.landmarks import Landmarks
from hem.trust.ledger import Ledger
from hem.trust.limits import Limits
from hem.trust.listing import LicenseRow, split_ueids
from hem.trust.standing import DAY_MS, due_limits, goes_on, license_standing
from hem.trust.terms import evidence_asked, move_of
from protocols import keys
from protocols.cose import Envelope
from protocols.entries import Entry, IssuerKeys, Kind, Policy
from protocols.fields import UEID_BYTES
from protocols.messages import Grant, License, Meter, ReferenceValues
from protocols.terms import Firmware

NO_LICENSE = -1


class Trust:
    """Anchors, chips, reference values, licenses and grants, each under an integer row number."""

    def __init__(self, as_if: Callable[[License], License] | None = None) -> None:
        """Know nothing yet; `as_if` has the terms to judge by in place of those of each license that is taken in."""
        self._as_if = as_if or (lambda terms: terms)
        self.packs: dict[bytes, Pack] = {}  # on record, by digest
        self.verifier = ""
        self.policy = Policy()
        self.verifier_key: keys.PublicKey | None = None
        self.issuer_key: keys.PublicKey | None = None  # this workspace's own
        self.issuers = admission.Issuers(1, {})  # of licenses and grants
        self._issuers_told = False
        self._firmware: dict[int, Firmware] = {}  # license row: what it asks of firmware
        self._newest: dict[bytes, int] = {}  # license id: the highest sequence
        self._newest_row: dict[bytes, int] = {}  # license id: row of the license with it
        self.superseded: dict[bytes, bytes] = {}  # license id: the one that superseded it
        self.anchors: list[Anchor] = []
        self.table = KeyTable()
        self.ueids: list[bytes] = []
        self.references: dict[bytes, ReferenceValues] = {}
        self.licenses: list[LicenseRow] = []
        self.landmarks = Landmarks()
        self.ledger = Ledger()
        self.retired: dict[bytes, service.Retired] = {}  # by UEID
        self.orders: dict[bytes, int] = {}  # UEID: sequence of its last service order
        self._chips: dict[bytes, int] = {}
        self._kids: set[bytes] = set()
        self._classes: list[int] = []
        self._models: list[bytes] = []
        self._listed: dict[bytes, int] = {}  # UEID: row of the newest license that lists it
        self._free_from: dict[bytes, int] = {}  # UEID: when a license last let the chip move as it likes, milliseconds
        self._due_from: dict[bytes, int] = {}  # UEID: when evidence was first due within an interval, milliseconds
        self._numbers: dict[bytes, int] | None = None  # of hardware models
        self._standing: NDArray[np.void] | None = None
        self._limits: Limits | None = None
        self._asked: NDArray[np.void] | None = None
        self._grounds: tuple[object, NDArray[np.uint16]] = None, np.zeros(0, dtype=np.uint16)

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
        """Take in one entry of kinds 0 to 6, 9, 10, 13, 14, 16 and 20; of kind 15 see `rebase`.

        Signatures were checked before they were logged. Those of licenses and grants are checked again.

        Raises:
            WorkspaceError: the entry contradicts what is known, which no honest log does.
        """
        self._standing = self._limits = None
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
            **dict.fromkeys((Kind.RETIRED, Kind.REPAIRED), lambda *order: self._retire(entry.kind, entry.time, *order)),
            Kind.RULE_PACK: self._rule_pack,
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
        return self.listed_under(self.ueids[chip]) if chip >= 0 else None

    def listed_under(self, ueid: bytes) -> LicenseRow | None:
        """Return the newest license that lists a chip, enrolled or not."""
        row = self._listed.get(ueid, NO_LICENSE)
        return self.licenses[row] if row != NO_LICENSE else None

    def listed(self, row: int) -> list[bytes]:
        """Return the UEIDs of the chips that run under a license now."""
        return [ueid for ueid, under in self._listed.items() if under == row]

    def license_row(self, license_id: bytes) -> int:
        """Return the row of the newest license with this id, -1 if there is none."""
        return self._newest_row.get(license_id, NO_LICENSE)

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
        if self._numbers is None:
            self._numbers = {model: number for number, model in enumerate(sorted(set(self._models)))}
        return self._numbers

    def standing(self, chips: NDArray[np.int64]) -> NDArray[np.void]:
        """Return what holds for each chip row, STANDING; license -1 and zeros for row -1."""
        if self._standing is None:
            self._standing = self._build_standing()
        # Whole records: an index would go through them field by field, at ten times the cost.
        return np.asarray(self._standing.take(chips))

    def licenses_of_chips(self) -> NDArray[np.int64]:
        """Return the row of the license that each chip runs under, -1 for none."""
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

    def grounds(self, now: int) -> NDArray[np.uint16]:
        """Return what the legal basis of each license comes to at `now` (ms), with one more row for "no license"."""
        known = len(self.licenses), len(self.packs), now // DAY_MS
        if self._grounds[0] != known:
            found = [legal.grounds(one.terms, self.packs, now).reason for one in self.licenses]
            self._grounds = known, np.array([*found, Reason.MET], dtype=np.uint16)
        return self._grounds[1]

    def _rule_pack(self, data: bytes) -> None:
        pack = legal.read_pack(data)
        self.packs[bytes.fromhex(pack.digest)] = pack

    def _build_standing(self) -> NDArray[np.void]:
        models = self.models()
        licenses = [license_standing(row, one) for row, one in enumerate(self.licenses)]
        rows = np.zeros(len(self.ueids) + 1, dtype=STANDING)  # the last row stands for -1
        rows["license"] = NO_LICENSE
        rows["hwmodel"] = -1
        if licenses:
            table = np.array(licenses)
            listed = np.array([*(self._listed.get(ueid, NO_LICENSE) for ueid in self.ueids), NO_LICENSE])
            rows[listed >= 0] = table[listed[listed >= 0]]
        rows["due_from"][:-1], rows["free_ms"][:-1] = self._times(self._due_from), self._times(self._free_from)
        rows["retired"] = self._retired_rows(len(rows))
        rows["device_class"][:-1] = self._classes
        rows["hwmodel"][:-1] = [models[model] for model in self._models]
        peaks = {model: reference.peaks for model, reference in self.references.items()}
        rows["peaks"][:-1] = [peaks.get(model, Meter(0, 0, 0, 0)) for model in self._models] or 0
        return rows

    def _retired_rows(self, count: int) -> NDArray[np.bool_]:
        gone = np.zeros(count, dtype=np.bool_)
        gone[[row for row in map(self.chip, self.retired) if row >= 0]] = True
        return gone

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
        self._standing = self._limits = None
        self.ledger.forget_chips()
        algorithms, raw, kids = zip(*(keys.parts(chip[2]) for chip in chips), strict=True) if chips else ((),) * 3
        ueids = [chip[0] for chip in chips]
        reasons = self.table.enroll_many(algorithms, raw, kids, ueids)
        if refused := admission.barred(ueids, self.retired):
            raise WorkspaceError(f"log: chips cannot be enrolled: {refused}")
        for (ueid, device_class, _, _, hwmodel, _), kid, reason in zip(chips, kids, reasons.tolist(), strict=True):
            if reason:
                raise WorkspaceError(f"log: chip {ueid.hex()} cannot be enrolled: {Reason(reason).name.lower()}")
            self.register(ueid, device_class, hwmodel, kid)

    def register(self, ueid: bytes, device_class: int, hwmodel: bytes, kid: bytes) -> None:
        """Give the next row to a chip, whose key is in that row of the key table."""
        self._standing = self._limits = self._numbers = None
        self.ledger.forget_chips()
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
        terms = self._as_if(terms)
        # The same move in a renewal is no new announcement.
        row = self.license_row(terms.license_id)
        same = row != NO_LICENSE and move_of(self.licenses[row].terms) == move_of(terms)
        self.licenses.append(LicenseRow(terms, noticed=self.licenses[row].noticed if same else time))
        self._newest_row[terms.license_id] = len(self.licenses) - 1
        self._newest[terms.license_id] = terms.sequence
        if terms.firmware is not None:
            self._firmware[len(self.licenses) - 1] = terms.firmware

    def refusal(self, envelope: Envelope, terms: License) -> admission.Refused | None:
        """Return why a license cannot be taken in now, or None."""
        return self.unsigned(envelope) or admission.succession(terms, self._newest, self.superseded)

    def unsigned(self, envelope: Envelope) -> admission.Refused | None:
        """Return why a license or a grant is not signed as its issuers must sign it, or None."""
        return admission.signatures(envelope, self.issuers)

    def _device_set(self, time: int, license_id: bytes, sequence: int, piece: int, ueids: bytes) -> None:
        del piece  # the order of the log is the order of the pieces
        row = self.license_row(license_id)
        if row == NO_LICENSE or self.licenses[row].terms.sequence != sequence:
            raise WorkspaceError(f"log: chips for license {license_id.hex()}, which is not the one in force")
        one = self.licenses[row]
        if refused := admission.barred(split_ueids(ueids), self.retired):
            raise WorkspaceError(f"log: chips for license {license_id.hex()}: {refused}")
        one.ueids += split_ueids(ueids)
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
        begins, limits = max(time, 1000 * one.terms.not_before), due_limits(one.terms)
        if limits is None:
            return
        kept = {row for row, other in enumerate(self.licenses) if goes_on(other.terms, limits, begins)}
        running = {ueid: self._due_from[ueid] for ueid in one.ueids if self._listed.get(ueid, NO_LICENSE) in kept}
        self._due_from |= dict.fromkeys(one.ueids, begins) | running

    def absent(self) -> tuple[list[bytes], NDArray[np.void]]:
        """Return the UEIDs of chips that a license in force lists and that are not enrolled, and their STANDING."""
        ueids = [ueid for ueid in self._listed if ueid not in self._chips]
        rows = np.zeros(len(ueids), dtype=STANDING)
        if ueids:
            table = np.array([license_standing(row, one) for row, one in enumerate(self.licenses)])
            rows[:] = table[[self._listed[ueid] for ueid in ueids]]
            rows["due_from"] = [self._due_from.get(ueid, 0) for ueid in ueids]
            rows["hwmodel"] = -1
        return ueids, rows

    def _grant(self, message: bytes) -> None:
        envelope, terms = Grant.read(message)
        if refused := self.refusal_of_grant(envelope, terms):
            raise WorkspaceError(f"log: grant {terms.sequence} of chip {terms.ueid.hex()}: {refused}")
        self.ledger.add(envelope.digest, terms, self.license_row(terms.license_id))

    def refusal_of_grant(self, envelope: Envelope, terms: Grant) -> admission.Refused | None:
        """Return why a grant cannot be taken in now, or None."""
        return self.unsigned(envelope) or self.following(terms, self.ledger.last)

    def following(self, terms: Grant, last: Mapping[bytes, int]) -> admission.Refused | None:
        """Return why a grant cannot follow on those with the sequences `last`, by UEID, or None."""
        return admission.barred([terms.ueid], self.retired) or admission.grant(terms, last)

    def _retire(self, kind: Kind, time: int, message: bytes, certificate: bytes) -> None:
        order = service.take(self, kind, time, message, certificate)
        old, new = order.ueid, order.replacement
        row = self._listed.pop(old)
        self._due_from.pop(old, None)
        self.retired[old] = service.Retired(time, new)
        if new is not None:
            self._listed[new] = row
            if due_limits(self.licenses[row].terms) is not None:
                self._due_from[new] = time

    def rebase(self, time: int, message: bytes, certificate: bytes, known: np.void | None) -> np.void | None:
        """Take in an entry of kind 15, and return LAST as it is known of its chip from then on; `known`: as before.

        Without `known` the order is taken in as one that was carried out before, and nothing is returned.

        Raises:
            WorkspaceError: the order cannot be carried out.
        """
        order = service.take(self, Kind.REBASED, time, message, certificate, known)
        return None if known is None else service.record_of(order, known, time)

    def claimed_grants(self, digests: NDArray[np.uint8], chips: NDArray[np.int64]) -> NDArray[np.void]:
        """Return what the ledger has for each digest of an (N, 32) column, see `Ledger.claimed`."""
        return self.ledger.claimed(digests, chips, self.chip)

    def outstanding(
        self, chips: NDArray[np.int64], sequence: NDArray[np.uint64], spent: NDArray[np.uint64], now: int
    ) -> NDArray[np.uint64]:
        """Return what `Ledger.outstanding` does."""
        return self.ledger.outstanding(self.ledger.columns(self.chip), chips, sequence, spent, now)
