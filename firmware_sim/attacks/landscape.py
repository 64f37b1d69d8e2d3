"""The attacks that hem has to answer for, a row each, and what of them is tried here.

The rows are those of the survey of attacks and of the evidence that catches them which hem was designed by. Each row
names the attackers of the suite that try it, what of it no evidence can catch and why, and what hem does not check yet.
"""

from typing import NamedTuple

from firmware_sim.attacks.outcome import Outcome


class Row(NamedTuple):
    """One row: its short name, attackers of the suite, and attacks that are not tried, with the reason why not."""

    name: str
    tried: tuple[str, ...] = ()
    uncatchable: tuple[tuple[str, str], ...] = ()
    not_yet: tuple[tuple[str, str], ...] = ()

    def untried(self) -> list[Outcome]:
        """Return what is not tried of this row."""
        never = [Outcome(name, None, why=why) for name, why in self.uncatchable]
        return never + [Outcome(name, None, not_yet=why) for name, why in self.not_yet]


LANDSCAPE: tuple[Row, ...] = (
    Row("replay", ("replay-old-evidence", "other-challenge", "late-answer", "stale-answer", "uninvited-answer")),
    Row("replay-in-batch", ("evidence-twice", "other-message-type")),
    Row("relay", ("relay-with-opened-key", "replayed-transcript", "reply-not-keyed", "old-window"), (
        ("relay-within-radius", "a relay closer to a landmark than the license's radius adds less than a clock shows"),
    )),
    Row("stalling", ("delay-adder",)),
    Row("box-elsewhere", ("ueid-of-another", "moved-abroad", "excluded-zone"), (
        ("box-without-timings", "where no landmark has ranged a chip, its place stays open; only a visit can tell"),
    )),
    Row("device-clock", ("turned-clock", "expired-license", "early-start", "hidden-reboot")),
    Row("verifier-clock", ("verifier-clock-back", "verifier-clock-ahead", "log-dated-ahead", "log-dated-behind"), (
        ("within-tolerance", "clocks may differ by 5 minutes; what a false one gains within them is not told"),
        ("no-witness", "a log that no witness cosigns, and no landmark reports to, has its verifier's clock alone"),
    )),
    Row("counter-rollback", ("counter-rollback", "boot-count-back"), (
        ("within-noise", "what is less than the slack that a verifier allows two clocks looks like noise"),
    )),
    Row("cloned-key", ("clone-fork", "cloned-key", "extracted-key", "two-places", "too-fast"), (
        ("silent-clone", "a clone that never answers shows nothing; it also gets no grant and no verdict"),
    )),
    Row("key-extraction", ("lone-copy",), (
        ("original-destroyed", "whoever has the secret of a chip that answers no more is that chip to every verifier"),
    )),
    Row("license-replay", ("grant-refilled", "grant-renumbered", "old-license-again", "superseded-license-again")),
    Row("license-of-another", ("grant-of-another", "not-in-license", "grant-made-up", "grant-hidden",
                               "signatures-moved", "too-few-signatures", "one-signer-twice", "one-signer-as-another",
                               "stranger-signs")),
    Row("license-stockpiling", ("stockpiled-grants",), (
        ("stockpiled-before-the-cap", "what was granted before a license had a cap is spent unless its chip is asked"),
    )),
    Row("swapped-chips", ("swapped-sites", "moved-together", "undeclared-move", "early-move", "late-move"), (
        ("swap-within-radius", "two chips that no landmark can tell apart by place have no place to be told by"),
    )),
    Row("missing-chips", ("silent-chip", "never-answered", "late-report", "chips-over-cap", "answers-seldom"), (
        ("dark-chip", "a chip that was never enrolled is in no list to be missing from; that needs the exporter's"),
    )),
    Row("usage-hidden", ("hidden-spending", "grant-grown", "budget-overspent", "impossible-rate", "energy-hidden",
                         "work-hidden", "cycles-hidden", "budget-together", "purpose-denied", "purpose-hidden"), (
        ("workload-meaning", "counters say how much was computed, and never what for; a purpose is declared"),
        ("all-meters-bent", "who bends cycles, operations, energy and grant alike shows a chip that does less"),
    )),
    Row("shell-firms", ("peers-hidden", "too-many-peers", "peer-outside-pod", "one-sided-peer", "links-too-fast",
                        "split-order"), (
        ("hidden-ownership", "an owner that no paper names is in no sum; evidence of chips says nothing of owners"),
    )),
    Row("flop-laundering", (), (
        ("laundered-flop", "what a chip was given to continue from is in no counter; that needs other hardware"),
    )),
    Row("landmark-lie", ("lying-landmark", "bought-landmark", "shorter-trip", "report-again"), (
        ("landmarks-collude", "more operators that lie together than the rule allows for (f) are believed"),
    )),
    Row("landmark-denied", ("landmark-flooded", "landmark-drowned"), (
        ("who-floods", "a missing report says that a landmark was not heard, and neither why nor by whose doing"),
    )),
    Row("fake-landmark", ("fake-landmark", "revoked-landmark", "report-of-no-challenge", "moved-landmark"), (
        ("one-pair-too-fast", "where only one pair of landmarks is too fast, either of the two may be the moved one"),
    )),
    Row("log-equivocation", ("two-logs",), (
        ("witnesses-collude", "whoever shows each reader another log needs a quorum of witnesses that sign both"),
    )),
    Row("log-truncation", ("log-cut-short", "byte-changed", "entry-removed", "entries-swapped")),
    Row("verifier-compromise", ("verdict-rewritten", "evidence-left-out", "rule-pack-changed", "asked-elsewhere")),
    Row("fabricated-breach", ("answer-dropped", "silence-made-up"), (
        ("answer-withheld", "whoever hands no answer in has later the same papers as one whose answer was dropped"),
    )),
    Row("offline", ("chip-in-transit",), (
        ("lost-on-the-way", "until an announced transit is over, a chip that answers nobody is where nobody knows"),
    )),
    Row("spoofed-gnss", ("gnss-spoofer", "gnss-only")),
    Row("firmware-downgrade", ("old-firmware", "old-version", "unlisted-firmware", "unknown-firmware",
                               "boot-unlocked", "part-unmeasured", "debug-enabled", "opened"), (
        ("signed-but-buggy", "firmware that its maker has signed passes until its maker or a license raises the floor"),
    )),
    Row("fake-device", ("low-device-class", "other-model", "stranger-key", "model-not-licensed"), (
        ("stolen-endorsement-key", "whoever has the maker's root makes chips that are endorsed as any other"),
    )),
    Row("signature-tricks", ("flipped-bit", "second-signature")),
    Row("parser-tricks", ("oversized", "truncated", "trailing-bytes", "duplicate-key", "indefinite-length",
                          "nested-deep", "non-shortest", "unknown-key")),
)  # fmt: skip
