"""How commands write results: their form, how long they hold, and the file."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hem.check import join
from hem.cli.common import now_ms, progress, write_pieces
from hem.export import Exporter, Written
from hem.results import tier_name

DAY_S = 86_400


class Form(StrEnum):
    """How a result is written."""

    CWT = "cwt"
    JWT = "jwt"


FormOption = Annotated[Form, typer.Option(help="cwt: a CBOR sequence of COSE_Sign1; jwt: a compact JWS a line.")]
ValidOption = Annotated[
    int, typer.Option(help="Seconds that a result holds, counted from when it was judged.", min=1, max=3_650 * DAY_S)
]
OutOption = Annotated[Path, typer.Option(help="Write here; - for standard output.")]


def write_results(
    out: Path, exporter: Exporter, numbers: list[int], form: Form, valid_s: int, *, quiet: bool
) -> dict[str, int]:
    """Write the results of these entries to a file; return how many came to each tier."""
    tiers: dict[str, int] = {}

    def taken(one: Written) -> bytes:
        tiers[tier_name(one.tier)] = tiers.get(tier_name(one.tier), 0) + 1
        bar.advance(task)
        return join([one.token])

    with progress(quiet=quiet) as bar:
        task = bar.add_task("sign", total=len(numbers))
        signed = exporter.results(numbers, form=form.value, now=now_ms(), valid_s=valid_s)
        write_pieces(out, map(taken, signed))
    return tiers
