"""Mutations of the verifier: a stage with one check taken out of its source, everything else as it is."""

import ast
import inspect
from types import ModuleType

from hem.errors import Reason


class _Remove(ast.NodeTransformer):
    """Take out what gives one reason: its place in `select`, its `if`, or its branch of `np.where`."""

    def __init__(self, reason: Reason) -> None:
        self.name = reason.name
        self.removed = 0

    def _gives(self, node: ast.AST) -> bool:
        return any(isinstance(part, ast.Attribute) and part.attr == self.name for part in ast.walk(node))

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        lists = [argument for argument in node.args if isinstance(argument, ast.List)]
        called = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if called == "select" and len(lists) == 2:
            conditions, reasons = lists
            for place in [n for n, one in enumerate(reasons.elts) if self._gives(one)][::-1]:
                self.removed += 1
                if len(conditions.elts) == 1:  # `select` takes its shape from the first: it stays, and never holds
                    conditions.elts[0] = ast.BinOp(conditions.elts[0], ast.BitAnd(), ast.Constant(value=False))
                else:
                    del conditions.elts[place], reasons.elts[place]
        return node

    def visit_If(self, node: ast.If) -> ast.AST | None:
        self.generic_visit(node)
        if any(isinstance(one, ast.Return) and self._gives(one) for one in node.body):
            self.removed += 1
            return None
        return node


class _Where(ast.NodeTransformer):
    def __init__(self, reason: Reason) -> None:
        self.name = reason.name
        self.removed = 0

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if node.attr == self.name:
            self.removed += 1
            return ast.copy_location(ast.Attribute(node.value, "MET", node.ctx), node)
        return node


def without(module: ModuleType, reason: Reason) -> ModuleType:
    """Return a copy of a stage in which nothing gives `reason` any more.

    Raises:
        LookupError: the stage never gives it, so the test that asks is out of date.
    """
    tree = ast.parse(inspect.getsource(module))
    removed = 0
    for transformer in (_Remove(reason), _Where(reason)):
        tree = transformer.visit(tree)
        removed += transformer.removed
    if not removed:
        raise LookupError(f"{module.__name__} has no check that gives {reason.name}")
    copy = ModuleType(module.__name__)
    copy.__dict__.update(__file__=module.__file__, __package__=module.__package__)
    exec(compile(ast.fix_missing_locations(tree), f"{module.__file__} without {reason.name}", "exec"), copy.__dict__)  # noqa: S102
    return copy


def reworded(module: ModuleType, old: str, new: str) -> ModuleType:
    """Return a copy of a module with other text in place of one piece of its source.

    Raises:
        LookupError: the piece is not there once, so the test that asks is out of date.
    """
    source = inspect.getsource(module)
    if source.count(old) != 1:
        raise LookupError(f"{module.__name__} has {source.count(old)} times {old!r}")
    copy = ModuleType(module.__name__)
    copy.__dict__.update(__file__=module.__file__, __package__=module.__package__)
    exec(compile(source.replace(old, new), f"{module.__file__} with {new!r}", "exec"), copy.__dict__)  # noqa: S102
    return copy
