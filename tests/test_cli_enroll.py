"""Who may vouch for chips and firmware: real certificates, each wrong in one way, through the real commands."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from protocols.cbor import dumps, join
from protocols.entries import encode_endorsement
from tests.certificates import MODEL, Maker, certificate, name, rsa_key
from tests.simulated import Done, hem


class Bench:
    """An empty workspace that trusts one maker."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.maker = Maker()
        hem("init", directory / "w")
        assert self.enroll([], "--root", f"dev={self.file('root', self.maker.pem())}").code == 0

    def file(self, label: str, data: bytes) -> Path:
        """Write a file and return its path."""
        (self.directory / label).write_bytes(data)
        return self.directory / label

    def hem(self, *arguments: object) -> Done:
        """Run a command on the workspace."""
        return hem(*arguments, "-w", self.directory / "w")

    def enroll(self, endorsements: list[bytes], *flags: object) -> Done:
        """Enroll out of a file."""
        files = [self.file("endorsements", join(endorsements))] if endorsements else []
        return self.hem("enroll", *files, *flags)

    def size(self) -> int:
        """Return how many entries the log has."""
        return self.hem("log", "checkpoint", "--json").json["size"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """An empty workspace that trusts one maker."""
    return Bench(tmp_path)


def test_a_chip_is_enrolled_once_with_the_class_of_its_root(bench: Bench):
    maker = bench.maker
    said = bench.enroll([maker.endorsement(1), maker.endorsement(2)], "--json").json
    assert said == {"enrolled": 2, "refused": [], "chips": 2}
    assert bench.hem("status", "--json").json["device_classes"] == {"simulated": 0, "dev": 2, "production": 0}
    size = bench.size()
    done = bench.enroll([maker.endorsement(1)])
    done.refused("row 0", maker.ueid(1).hex(), "enrolled already", code=1)
    assert bench.size() == size
    twice = bench.enroll([maker.endorsement(3), maker.endorsement(3)])
    twice.refused("row 1", maker.ueid(3).hex(), "enrolled already", code=1)
    assert bench.size() == size + 1


def test_one_key_cannot_be_two_chips(bench: Bench):
    key = Ed25519PrivateKey.generate()
    same = [bench.maker.endorsement(number, key=key) for number in (1, 2, 3)]
    bench.enroll(same[:2]).refused("row 1", bench.maker.ueid(2).hex(), "KEY_TWICE", code=1)
    bench.enroll(same[2:]).refused("row 0", bench.maker.ueid(3).hex(), "KEY_TWICE", code=1)
    assert bench.hem("status", "--json").json["chips"] == 1


def _under(maker: Maker, *, middle_is_ca: bool) -> bytes:
    middle_key, leaf_key = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    middle = certificate(name("DeviceID"), middle_key.public_key(), maker.name, maker.key, ca=middle_is_ca)
    leaf = certificate(maker.leaf_name(9), leaf_key.public_key(), name("DeviceID"), middle_key)
    return encode_endorsement([one.public_bytes(Encoding.DER) for one in (leaf, middle)])


def _forged(maker: Maker) -> bytes:
    """Return an endorsement in the name of the root, by another key."""
    stranger = Maker()
    stranger.name = maker.name
    return stranger.endorsement(9)


WRONG = {
    "unknown root": (lambda _: Maker("Other Root").endorsement(9), "CN=Other Root is no enrolled root"),
    "forged": (_forged, "not issued by CN=Test Root"),
    "expired": (lambda maker: maker.endorsement(9, days=(-20, -10)), "valid"),
    "not yet": (lambda maker: maker.endorsement(9, days=(10, 20)), "valid"),
    "leaf as CA": (lambda maker: _under(maker, middle_is_ca=False), "certificate 1: not a CA certificate"),
    "RSA": (lambda maker: maker.endorsement(9, key=rsa_key()), "RSAPublicKey"),
    "X25519": (lambda maker: maker.endorsement(9, key=X25519PrivateKey.generate()), "X25519PublicKey"),
    "P-521": (lambda maker: maker.endorsement(9, key=ec.generate_private_key(ec.SECP521R1())), "key of type"),
    "no UEID": (lambda maker: maker.endorsement(9, subject=maker.leaf_name(9, SERIAL_NUMBER="1234")), "serialNumber"),
    "no hex": (lambda maker: maker.endorsement(9, subject=maker.leaf_name(9, SERIAL_NUMBER="x" * 34)), "certificate 0"),
    "UEID type": (
        lambda maker: maker.endorsement(9, subject=maker.leaf_name(9, SERIAL_NUMBER="02" * 17)), "expected 1 (RAND)",
    ),
    "long model": (
        lambda maker: maker.endorsement(9, subject=maker.leaf_name(9, ORGANIZATIONAL_UNIT_NAME="m" * 33)), "OU",
    ),
    "no facts": (lambda maker: maker.endorsement(9, subject=name("chip")), "expected 1"),
    "no certificate": (lambda _: dumps([[b"\x30\x03\x02\x01\x01"]]), "not X.509 in DER"),
    "root only": (lambda maker: encode_endorsement([maker.root.public_bytes(Encoding.DER)]), "certificate 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_endorsement_is_refused_by_its_fault_and_harms_no_other(bench: Bench, case):
    make, word = WRONG[case]
    good = [bench.maker.endorsement(1), bench.maker.endorsement(2)]
    done = bench.enroll([good[0], make(bench.maker), good[1]])
    done.refused("endorsements", "row 1", word, code=1)
    assert "enrolled 2 chips, refused 1; 2 in all" in done.text


def test_a_chain_of_two_is_enrolled(bench: Bench):
    assert bench.enroll([_under(bench.maker, middle_is_ca=True)]).code == 0


def test_an_expired_root_vouches_for_nothing(tmp_path):
    maker = Maker(days=(-20, -10))
    bench = Bench(tmp_path)
    assert bench.enroll([], "--root", f"production={bench.file('old', maker.pem())}").code == 0
    bench.enroll([maker.endorsement(1)]).refused("row 0", code=1)


def test_no_flipped_byte_in_a_chain_is_taken_or_ends_in_a_traceback(bench: Bench):
    good = _under(bench.maker, middle_is_ca=True)
    rows = [good[:at] + bytes([good[at] ^ bit]) + good[at + 1 :] for at in range(0, len(good), 3) for bit in (1, 0x80)]
    done = bench.enroll(rows, "--json")
    assert (done.code, done.json["enrolled"], len(done.json["refused"])) == (1, 0, len(rows))


def test_a_root_must_be_a_certificate_of_a_CA_and_has_one_class(bench: Bench):  # noqa: N802 - the name of the thing
    leaf = Maker("Leaf", ca=False)
    other = Maker("Other")
    unsigned = Maker("Cross")
    cross = certificate(unsigned.name, unsigned.key.public_key(), other.name, other.key, ca=True)
    size = bench.size()
    for label, pem, word in (
        ("leaf", leaf.pem(), "not a CA certificate"),
        ("cross", cross.public_bytes(Encoding.PEM), "self-signed"),
        ("der", other.root.public_bytes(Encoding.DER), "PEM"),
    ):
        path = bench.file(label, pem)
        bench.enroll([], "--root", f"dev={path}").refused(path, word)
        # A good root beside it is not taken either: all of a command, or nothing of it.
        bench.enroll([], "--root", f"dev={bench.file('good', other.pem())}", "--root", f"dev={path}").refused(path)
    bench.enroll([], "--root", f"production={bench.file('root', bench.maker.pem())}").refused("one class")
    assert bench.size() == size
    assert bench.enroll([], "--root", f"dev={bench.directory / 'root'}").code == 0
    assert bench.size() == size, "the same root again is no news"


def test_reference_values_need_a_signer_that_the_root_made_for_them(bench: Bench):
    maker, stranger = bench.maker, Maker()
    message = bench.file("reference", maker.reference())
    size = bench.size()
    for label, pem, word in (
        ("stranger", Maker("Other Root").signer(), "no enrolled root"),
        ("forged", stranger.signer(), "not issued by"),
        ("chip", maker.signer("chip"), "CN is not 'reference values'"),
        ("expired", maker.signer(days=(-20, -10)), "valid"),
        ("RSA", maker.signer(key=rsa_key()), "RSAPublicKey"),
        ("root", maker.pem(), "CN is not"),
    ):
        path = bench.file(label, pem)
        bench.hem("reference", message, "--signer", path).refused(path, word)
    signer = bench.file("signer", maker.signer())
    forged = bench.file("forged values", maker.reference(key=stranger.signer_key))
    bench.hem("reference", forged, "--signer", signer).refused(forged, "not signed by the expected key")
    assert bench.size() == size
    said = bench.hem("reference", message, "--signer", signer, "--json").json
    assert (said["hwmodel"], said["components"][0]["name"]) == (MODEL, "rom")
    assert bench.size() == size + 1
