"""`hem audit` of logs at URLs: what a server gives is trusted no more than a disk, and nothing is written there."""

import gzip
import shutil
import ssl
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hem.store import Bucket, served
from tests import webserver
from tests.s3 import BUCKET, bucket, s3_environment, s3_program
from tests.simulated import built, hem, site
from tests.test_audit import case, swept
from tests.webserver import serve

__all__ = ["bucket", "built", "case", "s3_environment", "s3_program", "site", "swept"]  # fixtures
BUNDLE, TILE, CHECKPOINT = "tile/entries/000", "tile/0/000", "/checkpoint"


@pytest.fixture
def web(case):
    """Serve the site of the case: its log is under /w/log."""
    with serve(case.site.directory) as server:
        server.log = f"{server.url}/w/log"
        yield server


def upload(url, directory):
    """Put a log into a bucket as it is on the disk."""
    objects = Bucket(url)
    for path in directory.rglob("*"):
        if path.is_file() and path.name != "lock":
            objects.put(path.relative_to(directory).as_posix(), path.read_bytes())


def test_an_audit_by_url_is_that_of_the_directory_and_asks_by_get_alone(case, web, bucket):
    expected = case.audit()
    before = case.site.snapshot()
    assert case.audit(web.log) == case.audit(f"{web.log}/") == expected
    assert {method for method, _ in web.asked} == {"GET"}
    names = [path.removeprefix("/w/log/") for _, path in web.asked]
    assert {name.split("/")[0] for name in names} == {"checkpoint", "tile"}
    assert case.site.snapshot() == before
    upload(bucket, case.log)
    held = sorted(Bucket(bucket)._under(""))
    assert case.audit(bucket) == expected
    assert sorted(Bucket(bucket)._under("")) == held
    shown = hem("audit", web.log, "--trust", case.trust)
    assert (shown.code, shown.err) == (0, "")


def test_a_bucket_is_asked_by_get_alone(case, web, monkeypatch):
    shutil.copytree(case.log, case.site.directory / BUCKET / "log")
    for name, value in {
        "AWS_ENDPOINT_URL": web.url, "AWS_ALLOW_HTTP": "true", "AWS_ACCESS_KEY_ID": "hem", "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    url = f"s3://{BUCKET}/log"
    assert case.audit(url)["holds"]
    assert {method for method, _ in web.asked} == {"GET"}
    web.instead = {BUNDLE: lambda handler: handler.answer(b"<Error><Code>AccessDenied</Code></Error>", 403)}
    assert case.found(url) == {"LOG_OBJECT": [0]}
    # Our credentials have expired: that is nothing against the log.
    web.instead = {BUNDLE: lambda handler: handler.answer(b"<Error><Code>ExpiredToken</Code></Error>", 400)}
    hem("audit", url, "--trust", case.trust).refused(f"no answer for {BUNDLE}: 400 Bad Request", "credentials")


def test_a_workspace_whose_log_is_in_a_bucket(case, bucket):
    upload(bucket, case.log)
    expected = case.audit()
    shutil.rmtree(case.log)
    with (case.site.workspace / "hem.toml").open("a") as config:
        config.write(f'log = "{bucket}"\n')
    assert case.audit(case.site.workspace) == expected


def test_a_byte_that_was_changed_on_the_server(case, web, bucket):
    number = case.evidence[70]
    data = bytearray((case.log / BUNDLE).read_bytes())
    data[data.index(case.entries[number]) + 9] ^= 1
    leaves = bytearray((case.log / TILE).read_bytes())
    leaves[32 * 9] ^= 1
    upload(bucket, case.log)
    web.instead = {BUNDLE: webserver.body(data)}
    Bucket(bucket).put(BUNDLE, bytes(data))
    for url in (web.log, bucket):
        found = case.found(url)
        assert found["LOG_ENTRY"] == [number]
    web.instead = {TILE: webserver.body(leaves)}
    assert case.found(web.log) == {"LOG_OBJECT": [9]}


def test_an_object_that_is_missing_or_refused(case, web, bucket):
    upload(bucket, case.log)
    Bucket(bucket)._store.delete(BUNDLE)
    assert case.found(bucket) == {"LOG_OBJECT": [0]}
    for code in (403, 404, 410):
        web.instead = {BUNDLE: webserver.status(code)}
        assert case.found(web.log) == {"LOG_OBJECT": [0]}
        web.instead = {TILE: webserver.status(code)}
        assert case.found(web.log) == {"LOG_OBJECT": [0]}
    web.instead = {CHECKPOINT: webserver.status(404)}
    hem("audit", web.log, "--trust", case.trust).refused(web.log, "checkpoint is missing, though entries are there")
    hem("audit", web.url, "--trust", case.trust).refused("no log here", "tlog-tiles")
    hem("audit", f"{bucket}-none", "--trust", case.trust).refused("no log here")
    web.instead = {CHECKPOINT: webserver.status(401)}
    hem("audit", web.log, "--trust", case.trust).refused("401 Unauthorized")


def test_other_readers_of_a_log_take_urls(case, web):
    policy = case.site.file("policy", f"log {case.site.must('log', 'key').text.strip()}\nquorum none\n")
    expected = hem("log", "verify", case.log, "--policy", policy, "--json")
    assert expected.code == 0
    assert hem("log", "verify", web.log, "--policy", policy, "--json") == expected
    assert {method for method, _ in web.asked} == {"GET"}
    web.instead = {BUNDLE: webserver.body(b"x")}
    hem("log", "verify", web.log, "--policy", policy).refused(f"{BUNDLE} is damaged")
    web.instead = {BUNDLE: webserver.status(500)}
    hem("log", "verify", web.log, "--policy", policy).refused(f"no answer for {BUNDLE}")


@pytest.mark.parametrize("code", [403, 404])
def test_a_partial_object_that_gave_way_to_the_full_one(case, web, code):
    shorter = case.rewritten(case.entries[:200])
    web.instead = {
        CHECKPOINT: webserver.body((shorter / "checkpoint").read_bytes()),
        ".p/200": webserver.status(code),
    }
    assert case.audit(web.log)["holds"]
    assert case.audit(web.log)["size"] == 200


def test_an_object_that_is_larger_than_it_can_be_is_not_read(case, web):
    for name, most in ((BUNDLE, 256 * 65_537), (TILE, 8_192)):
        web.instead = {name: webserver.endless(1 << 34)}
        (told,) = case.audit(web.log)["findings"]["shown"]
        assert (told["reason"], told["entry"]) == ("LOG_OBJECT", 0)
        assert f"is too large: {1 << 34:,} bytes or more, at most {most:,}" in told["told"]
    partial_tile = next((case.log / "tile/0").glob("*.p/*"))
    web.instead = {partial_tile.relative_to(case.log).as_posix(): webserver.endless(32 * int(partial_tile.name) + 1)}
    assert case.found(web.log) == {"LOG_OBJECT": [256]}
    web.instead = {CHECKPOINT: webserver.endless(1 << 34)}
    hem("audit", web.log, "--trust", case.trust).refused("checkpoint is too large", "at most 1,000,000")
    assert web.sent < 64 << 20  # what fits between two sockets


def test_what_comes_packed(case, web):
    expected = case.audit()
    web.instead = {"": webserver.packed}
    assert case.audit(web.log) == expected
    for data, why in (
        (gzip.compress(bytes(1 << 27)), "is too large: 16,777,473 bytes or more"),
        (gzip.compress(b"x")[:-1], "has no end"),
        (gzip.compress(b"x") * 2, "goes on after its end"),
        (b"not gzip", "not gzip"),
    ):
        web.instead = {BUNDLE: webserver.body(data, Content_Encoding="gzip")}
        (told,) = case.audit(web.log)["findings"]["shown"]
        assert told["reason"] == "LOG_OBJECT"
        assert why in told["told"]
    web.instead = {BUNDLE: webserver.body(b"x", Content_Encoding="br")}
    assert "Content-Encoding 'br" in case.audit(web.log)["findings"]["shown"][0]["told"]


def test_an_answer_that_ends_in_the_middle(case, web, monkeypatch):
    web.instead = {BUNDLE: webserver.cut(times=2)}
    assert case.audit(web.log)["holds"]
    web.instead = {BUNDLE: webserver.cut()}
    told = case.audit(web.log)["findings"]["shown"]
    assert [one["reason"] for one in told] == ["LOG_OBJECT"]
    assert "ends before its" in told[0]["told"]
    monkeypatch.setattr(served, "_MOST_CUT", 1)
    web.instead = {"tile/": webserver.cut()}
    hem("audit", web.log, "--trust", case.trust).refused("ends before its", "as others did")


@pytest.mark.parametrize("where", [BUNDLE, TILE, "tile/1/000.p/1"])
def test_a_server_that_stops_in_the_middle_says_nothing_of_the_log(case, web, where):
    web.instead = {where: webserver.stop}
    done = hem("audit", web.log, "--trust", case.trust)
    done.refused(web.log, "no answer for tile/", "Connection refused")
    assert done.out == b""


def test_a_server_that_does_not_answer(case, web, monkeypatch):
    monkeypatch.setattr(served, "_READ_TIMEOUT", timedelta(seconds=0.1))
    web.instead = {BUNDLE: webserver.stall(0.5)}
    hem("audit", web.log, "--trust", case.trust).refused(f"no answer for {BUNDLE}: timed out")
    web.instead = {BUNDLE: webserver.chunked}
    hem("audit", web.log, "--trust", case.trust).refused(f"no answer for {BUNDLE}", "Content-Length")
    web.instead = {BUNDLE: webserver.status(503)}
    hem("audit", web.log, "--trust", case.trust).refused(f"no answer for {BUNDLE}: 503 Service Unavailable")
    for url in ("http://127.0.0.1:9/log", "http://no-such-host.invalid/log"):
        hem("audit", url, "--trust", case.trust).refused(url, "no answer for checkpoint")
        hem("audit", case.log, "--trust", case.trust, "--mirror", url).refused(url, "no answer for checkpoint")


def test_two_mirrors_at_urls_that_show_two_logs(case, web, bucket):
    number = case.evidence[-4]
    others = case.rewritten([*case.entries[:number], *case.entries[number + 1 :], *case.entries[-5:]])
    other = f"{web.url}/{others.name}"
    upload(bucket, case.log)
    assert case.audit(web.log, "--mirror", bucket)["holds"]
    told = case.audit(bucket, "--mirror", other)["findings"]["shown"]
    split = [one for one in told if one["reason"] == "LOG_SPLIT_VIEW"]
    assert [one["entry"] for one in split] == [number]
    assert split[0]["told"] == f"{bucket} and {other} part here, and both are signed by the log"
    assert case.found(None, "--mirror", other)["LOG_SPLIT_VIEW"] == [number]


def test_redirects_lead_to_what_is_trusted_no_more(case, web, tmp_path):
    with serve(tmp_path) as front:
        front.instead = {"": webserver.redirect(web.url)}
        assert case.audit(f"{front.url}/w/log") == case.audit()
        web.instead = {BUNDLE: webserver.redirect(web.url)}  # for ever to itself
        hem("audit", web.log, "--trust", case.trust).refused("no answer for tile/entries/000", "redirect")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://", ("expected https:// or http://",)),
        ("https://user:secret@log.example/log", ("no user or password", "log.example")),
        ("https://log.example/log?key=1", ("expected https:// or http://",)),
        ("https://log.example/log#a", ("expected https:// or http://",)),
        ("https://log.example:x/log", ("expected https:// or http://",)),
        ("https://[::1/log", ("expected https:// or http://",)),
        ("https://log.example/\u00e9", ("expected https:// or http://",)),
        ("ftp://log.example/log", ("file, s3, https or http",)),
        ("s3://B", ("s3://BUCKET/PREFIX",)),
    ],
)
def test_urls_that_are_none(case, url, words):
    done = hem("audit", url, "--trust", case.trust)
    done.refused(*words)
    assert "secret" not in done.err


def certificate():
    """Return a certificate for 127.0.0.1 that nobody else signed, with its key, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "log")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, SHA256())
    )
    return made.public_bytes(Encoding.PEM) + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def test_https_needs_a_certificate_and_never_leads_to_http(case, web, monkeypatch):
    pem = case.site.file("server.pem", certificate())
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    with serve(case.site.directory, partial(tls.wrap_socket, server_side=True)) as secure:
        url = f"https://127.0.0.1:{secure.port}/w/log"
        hem("audit", url, "--trust", case.trust).refused(url, "certificate")
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        assert case.audit(url)["holds"]
        secure.instead = {BUNDLE: webserver.redirect(web.url)}
        hem("audit", url, "--trust", case.trust).refused("no answer for tile/entries/000")
        assert web.asked == []
