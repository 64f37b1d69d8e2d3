"""The one table of reasons: unique, complete, rising by stage; the same in Rust, Python and on the command line."""

import json

from hem.cli import run
from hem.core import reasons
from hem.errors import REASONS, Reason, Verdict

STAGES = {*range(1, 9), 10, 11}  # decode, verify, fresh, firmware, location, usage, license, ranging; check, audit
MADE_IN_RUST = (0x01, 0x02)


def test_codes_are_unique_and_rise():
    codes = [code.value for code in Reason.__members__.values()]
    assert len(codes) == len(set(codes)) == len(Reason)
    assert codes == sorted(codes)


def test_stage_is_the_high_byte():
    assert Reason.MET == 0
    assert {reason >> 8 for reason in Reason if reason is not Reason.MET} == set(STAGES)


def test_each_has_its_row():
    assert list(REASONS) == list(Reason)
    for text in REASONS.values():
        assert isinstance(text.verdict, Verdict)
        assert text.expected.strip()
        assert text.look.strip()
        assert "\n" not in text.expected + text.look


def test_decoding_and_verifying_only_refuse():
    assert {text.verdict for reason, text in REASONS.items() if reason >> 8 in MADE_IN_RUST} == {Verdict.FAIL}


def test_rust_has_the_same_table():
    expected = {code.value: code.name for code in Reason if code >> 8 in MADE_IN_RUST or code is Reason.MET}
    assert reasons() == expected


def test_the_command_lists_all(capsys):
    assert run(["reasons", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["reasons"]
    assert [(int(one["code"], 16), one["name"]) for one in listed] == [(code.value, code.name) for code in Reason]
    assert [one["verdict"] for one in listed] == [REASONS[code].verdict.name.lower() for code in Reason]
