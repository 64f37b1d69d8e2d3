"""Edge: the log's objects in a directory, and the order of writes that lets no acknowledged entry be lost.

Layout and order have their reasons in `protocols/decisions/0003-log-layout-and-crash-order.md`.
"""

from hem.store.objects import Objects
from hem.store.writer import Log, Proofs, Quorum

__all__ = ["Log", "Objects", "Proofs", "Quorum"]
