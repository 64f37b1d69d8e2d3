"""A writer that is killed before or after each change of an append: `python -m tests.killed_writer PLACE FIRST MORE`.

For each step N it makes the logs PLACE-N-0 and PLACE-N-1, appends FIRST entries, then MORE, and a copy of this process
kills itself (SIGKILL) before the N-th change, or after it and before it is known. It ends once an append gets through,
and prints the number of steps.
"""

import os
import signal
import sys
import threading
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hem.log import Signer
from hem.store import Bucket, Log, Objects

SIGNER = Signer("log.example/test", Ed25519PrivateKey.from_private_bytes(bytes(32)))
CHANGES = {Objects: ("put", "rename", "sync"), Bucket: ("put", "_swap")}


def entries(start, stop):
    return [b"entry %d" % index for index in range(start, stop)]


def killing(kind, step, *, persist):
    """Return a kind of store that kills its process at a change; `left` counts once it is set."""

    class Killing(kind):
        left = 0
        counting = threading.Lock()

    def change(name):
        def changed(self, *arguments):
            with self.counting:  # some changes are made at once
                self.left -= 1
                mine = self.left == 0
            if mine and not persist:
                os.kill(os.getpid(), signal.SIGKILL)
            getattr(kind, name)(self, *arguments)
            if mine:
                os.kill(os.getpid(), signal.SIGKILL)

        return changed

    for name in CHANGES[kind]:
        setattr(Killing, name, change(name))
    return Killing


def live(place, first, more, step, *, persist):
    """Make a log, append, and append again with a kill at a step."""
    Log.create(place, SIGNER)
    kind = Bucket if "://" in place else Objects
    objects = killing(kind, step, persist=persist)(place if kind is Bucket else Path(place))
    with Log.open(place, SIGNER, objects=objects) as opened:
        opened.append(entries(0, first))
        objects.left = step
        opened.append(entries(first, first + more))
        objects.left = 0


def main(place, first, more):
    step = 0
    ended = False
    while not ended:
        step += 1
        for persist in (False, True):
            child = os.fork()
            if not child:
                live(f"{place}-{step}-{int(persist)}", first, more, step, persist=persist)
                os._exit(0)
            _, status = os.waitpid(child, 0)
            assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, status
            ended = not os.WIFSIGNALED(status)
    sys.stdout.write(f"{step - 1}\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
