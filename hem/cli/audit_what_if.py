"""What `hem audit` says of a log under other terms, once it has said whether the log holds."""

from collections.abc import Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from hem.cli.common import progress, say
from hem.cli.fleet import Given, day_from
from hem.cli.rules import pack_of
from hem.cli.what_if import Sums, as_if_of, given_of, say_what_if, sums_of, what_if_object
from hem.errors import HemError, UsageError
from hem.history import judged_again
from hem.inspection import Inspected
from hem.reappraise import AsIf, Reappraised


class Question(NamedTuple):
    """What is taken to be otherwise, and what sums are made of."""

    as_if: AsIf
    day: date | None
    given: Given | None


class Answer(NamedTuple):
    """What would have been, or why that cannot be told; `basis` says what it was compared with."""

    question: Question
    found: Reappraised | None
    refused: str
    basis: str

    @property
    def sums(self) -> Sums | None:
        """The sums of the pack, as of the day."""
        as_if, day, given = self.question
        return None if self.found is None or day is None else sums_of(as_if.pack, given, self.found, day)


def question_of(license_: Path | None, packs: Sequence[Path] | None, as_of: str | None) -> Question | None:
    """Return what a command is asked, None for nothing; a rule pack is asked about with a day alone.

    Raises:
        UsageError: a day without one rule pack, or a file that is none of its kind.
    """
    if as_of is not None and len(packs or ()) != 1:
        raise UsageError(f"--as-of {as_of}: expected one --rule-pack with it, to judge by; got {len(packs or ())}")
    if license_ is None and as_of is None:
        return None
    day = None if as_of is None else day_from(as_of)
    pack = None if day is None else pack_of(str((packs or ())[0]))
    return Question(as_if_of(license_, None, pack, day), day, given_of(pack))


def answer_to(question: Question, place: Path | str, found: Inspected, *, threads: int, quiet: bool) -> Answer:
    """Judge the entries of an audited log again; what forbids that is said in the answer."""
    holds, stop = not len(found.findings), found.derived[1]
    try:
        with progress(quiet=quiet) as bar:
            task = bar.add_task("as if", total=stop)
            again = judged_again(
                place,
                found.tree,
                stop,
                question.as_if,
                holds=holds,
                threads=threads,
                advance=partial(bar.advance, task),
            )
    except HemError as error:
        return Answer(question, None, str(error), _basis(found))
    return Answer(question, again, "", _basis(found))


def _basis(found: Inspected) -> str:
    start, stop = found.derived
    said = f"compared with the verdicts in entries 0 to {stop - 1:,}"
    if len(found.findings):
        return f"{said}: but this log does not hold (findings: {len(found.findings):,})"
    if start:
        return f"{said}: those from entry {start:,} on were derived again, those before it are believed"
    return f"{said}, all of which were derived again"


def answer_object(answer: Answer | None) -> dict[str, Any]:
    """Return what an answer adds to the object of an audit: nothing, where nothing was asked."""
    if answer is None:
        return {}
    if answer.found is None:
        return {"what_if": None, "what_if_refused": answer.refused}
    return {"what_if": what_if_object(answer.found, answer.question.as_if, answer.question.day, answer.sums)}


def say_answer(answer: Answer | None) -> None:
    """Print an answer for people, and what it rests on."""
    if answer is None:
        return
    say("", f"what if, {answer.basis}:")
    if answer.found is None:
        say(f"it cannot be told: {answer.refused}")
    else:
        say_what_if(answer.found, answer.question.as_if, answer.question.day, answer.sums)
