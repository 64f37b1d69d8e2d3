"""Witnesses, logs and policies for tests, in memory and on a port of this machine."""

import threading
from contextlib import contextmanager

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from firmware_sim.attackers.logs import LogKey, Submission
from hem.log import Cosigner, Policy, Signer
from hem.store import Objects
from hem.witness import Witness, WitnessServer

NOW = 1_790_000_000
LOG = LogKey("log.example/test", Ed25519PrivateKey.from_private_bytes(bytes(32)))
SIGNER = Signer(LOG.origin, LOG.key)


def cosigners(number):
    """Return the two keys of a witness: Ed25519 and ML-DSA-44."""
    name, seed = f"witness.example/w{number}", bytes([number + 1]) * 32
    made = Ed25519PrivateKey.from_private_bytes(seed), MLDSA44PrivateKey.from_seed_bytes(seed)
    return tuple(Cosigner(name, key) for key in made)


ED, ML = cosigners(0)
KNOWN = {LOG.origin: [SIGNER.verifier]}


def entries(start, stop, tag=b""):
    return [tag + b"%d" % index for index in range(start, stop)]


def request(old, log, key=LOG):
    return Submission(old, log).body(key)


def witness(folder, number=0, objects=None):
    folder.mkdir(exist_ok=True)
    return Witness(objects or Objects(folder), cosigners(number), KNOWN)


def policy(*urls, quorum="all", keys=2):
    """Return a policy of one witness for each address; of each, one key or both are asked for."""
    listed = [(url, one) for number, url in enumerate(urls) for one in cosigners(number)[:keys]]
    names = [f"W{number}" for number in range(len(listed))]
    lines = [f"witness {name} {one.verifier} {url or ''}" for name, (url, one) in zip(names, listed, strict=True)]
    whole = [f"log {SIGNER.verifier}", *lines, f"group q {quorum} {' '.join(names)}", "quorum q", ""]
    return Policy.parse("\n".join(whole).encode())


@contextmanager
def served(one, clock=lambda: NOW):
    """Serve a witness on a free port and yield its address."""
    with WitnessServer(one, "127.0.0.1", 0, clock) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def other_key(number):
    return Signer(LOG.origin, Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))
