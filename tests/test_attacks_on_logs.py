"""Forged logs are told by a witness and by a reader with a policy, and pass once a check of either is removed."""

import ast
import inspect
from types import ModuleType

import pytest

from firmware_sim.attackers.logs import proof_file
from firmware_sim.attacks.logs import Reply, Stage, attack_logs, log_key
from hem import log
from hem.log import LogProof, Policy, VerifierKey, policy
from hem.store import Objects
from hem.witness import witness
from tests.witnesses import ED, ML, NOW

TIMES = 12
KEY = log_key("1")
VERIFIER = VerifierKey.parse(str(KEY))
TERMS = f"""log {KEY}
witness W0 {ED.verifier}
witness W1 {ML.verifier}
group both all W0 W1
quorum both
""".encode()


class _Removed(ast.NodeTransformer):
    """Take out the refusals that name one constant or begin with one text: their `if`, or their `try`."""

    def __init__(self, named: str) -> None:
        self.named, self.removed = named, 0

    def _gives(self, body: list[ast.stmt]) -> bool:
        ends = [node for node in body if isinstance(node, ast.Return | ast.Raise)]
        names = [part for node in ends for part in ast.walk(node)]
        return any(
            (isinstance(part, ast.Name) and part.id == self.named)
            or (isinstance(part, ast.Constant) and isinstance(part.value, str) and self.named in part.value)
            for part in names
        )

    def visit_If(self, node: ast.If) -> ast.AST | None:
        self.generic_visit(node)
        if self._gives(node.body):
            self.removed += 1
            return None
        return node

    def visit_Try(self, node: ast.Try) -> ast.AST | None:
        self.generic_visit(node)
        if any(self._gives(one.body) for one in node.handlers):
            self.removed += 1
            return None
        return node


def without(module: ModuleType, named: str) -> ModuleType:
    """Return a copy of a module in which nothing is refused with this constant or text any more."""
    tree = ast.parse(inspect.getsource(module))
    remover = _Removed(named)
    tree = ast.fix_missing_locations(remover.visit(tree))
    assert remover.removed == 1, f"{module.__name__} has {remover.removed} checks that give {named}"
    copy = ModuleType(module.__name__)
    copy.__dict__.update(__file__=module.__file__, __package__=module.__package__)
    exec(compile(tree, f"{module.__file__} without {named}", "exec"), copy.__dict__)  # noqa: S102
    return copy


def missed(folder, judge=witness, reader=policy):
    """Return how many forged logs of each kind are not told, and how many honest ones are refused."""
    folder.mkdir()
    one = judge.Witness(Objects(folder), [ED, ML], {KEY.origin: [VERIFIER]})

    def ask(body):
        reply = one.add_checkpoint(body, NOW)
        return Reply(reply.status, reply.body)

    def believes(shown):
        proof = LogProof.parse(shown)
        try:
            proof.verify(proof.extra, reader.Policy.parse(TERMS), None)
        except log.LogError:
            return False
        return True

    found = attack_logs(Stage(KEY, ask, believes), TIMES, "1")
    assert {one.caught_by for one in found} == {"witness"}
    return {one.attack: TIMES - one.detected for one in found}, found[0].false_alarms


def test_every_forged_log_is_told_and_no_honest_one(tmp_path):
    assert missed(tmp_path / "w") == ({"two-logs": 0, "log-cut-short": 0}, 0)


@pytest.mark.parametrize(
    ("named", "forged"),
    [("CONFLICT", {"log-cut-short"}), ("UNPROCESSABLE", {"two-logs", "log-cut-short"})],
)
def test_forged_logs_pass_a_witness_without_this_check(tmp_path, named, forged):
    found, _ = missed(tmp_path / "w", judge=without(witness, named))
    assert {name for name, count in found.items() if count} >= forged


def test_forged_logs_pass_a_reader_who_asks_for_no_quorum(tmp_path):
    found, _ = missed(tmp_path / "w", reader=without(policy, "cosigned by "))
    assert all(found.values())


def test_a_witness_that_forgets_cosigns_both(tmp_path):
    """Why the record must be durable: a witness that starts from nothing each time signs any history."""

    class Forgetful(witness.Witness):
        def _advance(self, new, now):
            self._records.clear()
            return super()._advance(new, now)

    (tmp_path / "w").mkdir()
    one = Forgetful(Objects(tmp_path / "w"), [ED, ML], {KEY.origin: [VERIFIER]})
    for entries in ([b"a", b"b"], [b"a", b"forged"], [b"a"]):
        reply = one.add_checkpoint(b"old 0\n\n" + KEY.checkpoint(entries), NOW)
        shown = LogProof.parse(proof_file(KEY, entries, 0, reply.body))
        assert shown.verify(b"a", Policy.parse(TERMS), None).checkpoint.size == len(entries)
