"""Edge: the log's objects in a directory or a bucket, and the order of writes that lets no acknowledged entry be lost.

Layout and order have their reasons in `protocols/decisions`: 0003, and for buckets 0028.
"""

from hem.store.bucket import Bucket
from hem.store.objects import Objects, Store
from hem.store.writer import Log, Proofs, Quorum

__all__ = ["Bucket", "Log", "Objects", "Proofs", "Quorum", "Store"]
