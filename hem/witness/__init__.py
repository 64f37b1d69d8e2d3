"""Edge: a witness of logs, and the log's side of it (C2SP tlog-witness).

A witness remembers the last size and root of each log that it knows, and cosigns only what continues them: nobody can
be shown another log, or a shorter one, with its cosignature. Why it is made as it is: `protocols/decisions/0025`.
"""

from hem.witness.client import HttpQuorum, latest
from hem.witness.home import Home, create, read_home, trust_log
from hem.witness.request import AddCheckpoint
from hem.witness.server import WitnessServer
from hem.witness.witness import Reply, Witness

__all__ = [
    "AddCheckpoint",
    "Home",
    "HttpQuorum",
    "Reply",
    "Witness",
    "WitnessServer",
    "create",
    "latest",
    "read_home",
    "trust_log",
]
