"""The error tree keeps its promises: unique, placed, raised somewhere, never without a remedy."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections import Counter
from collections.abc import Iterator, Sequence

import seawall
from seawall.model import errors
from tests.architecture.source import Module, dotted, modules
from tools.error_leaves import ErrorClass, ancestors, error_tree, leaves

STATUSES_OF_PACKAGES: dict[str, list[range]] = {
    "app": [range(11, 12)],
    "cli": [range(10, 11), range(93, 94)],
    "plan": [range(12, 14)],
    "storage": [range(14, 16), range(30, 32), range(40, 41), range(50, 52), range(70, 74)],
    "repository": [range(16, 19), range(32, 35), range(41, 45), range(52, 53), range(60, 64), range(74, 79)],
    "postgres": [
        range(19, 22),
        range(35, 37),
        range(53, 56),
        range(59, 60),
        range(64, 66),
        range(79, 82),
        range(94, 95),
    ],
    "backup": [
        range(22, 24),
        range(37, 38),
        range(45, 48),
        range(56, 58),
        range(66, 68),
        range(82, 86),
    ],
    "restore": [range(24, 30), range(38, 40), range(48, 50), range(58, 59), range(68, 70), range(86, 92)],
    "demo": [range(92, 93), range(97, 99)],
    "model": [range(99, 100)],
    # What came when 10-94 were given away has its share of the categories' second ranges, 100-123.
    "evidence": [range(100, 102), range(105, 106), range(109, 110), range(114, 116), range(118, 120)],
    "drill": [
        range(102, 104),
        range(106, 108),
        range(110, 111),
        range(111, 113),
        range(116, 117),
        range(120, 123),
    ],
    "audit": [range(104, 105), range(108, 109), range(113, 114), range(117, 118), range(123, 124)],
}
"""Which exit statuses a package may give away, so that two packages never meet."""

EDGES = {
    ("seawall.cli.main", "run"),  # the CLI's edge
}
"""The functions that may catch everything and go on. Threads' tops hand the error over instead."""


def test_codes_and_statuses_are_unique() -> None:
    assert _repeated([leaf.code for leaf in leaves()]) == []
    assert _repeated([leaf.status for leaf in leaves()]) == []


def test_the_registry_has_exactly_what_the_source_defines() -> None:
    """Also proves that every module can be imported, on its own and together."""
    for found in pkgutil.walk_packages(seawall.__path__, "seawall."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    ours = {code for code, leaf in errors.REGISTRY.items() if leaf.__module__.startswith("seawall.")}
    assert ours == {leaf.code for leaf in leaves()}


def test_every_status_lies_in_its_category_and_package() -> None:
    for leaf in leaves():
        spans = STATUSES_OF_PACKAGES.get(leaf.package, [])
        assert any(leaf.status in span for span in spans), (
            f"{leaf.name}: {leaf.status} is not {leaf.package}'s"
        )
        category = next(
            found
            for name in ancestors(leaf.name, error_tree())
            if (found := error_tree().get(name)) and found.statuses
        )
        assert any(leaf.status in span for span in category.statuses), f"{leaf.name} is no {category.name}"


def test_codes_are_words_joined_by_dashes() -> None:
    odd = {leaf.name: leaf.code for leaf in leaves() if not re.fullmatch(r"[a-z]+(-[a-z]+)*", leaf.code)}
    assert not odd


def test_every_leaf_says_when_it_happens() -> None:
    assert [leaf.name for leaf in leaves() if not leaf.docstring] == []


def test_leaves_are_defined_where_they_are_looked_for() -> None:
    elsewhere = {leaf.name: leaf.path for leaf in leaves() if not leaf.path.endswith("errors.py")}
    allowed = {"src/seawall/cli/usage.py", "src/seawall/app.py", "src/seawall/demo/stage.py"}
    assert set(elsewhere.values()) <= allowed, elsewhere


def test_every_leaf_is_raised_somewhere() -> None:
    called = {name for _, _, name in _constructions()}
    named_only = {
        dotted(node).rpartition(".")[2]
        for module in modules()
        if not module.path.endswith("/errors.py")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    unused = {leaf.name for leaf in leaves()} - called - named_only
    assert not unused, "raise them or remove them"


def test_every_error_comes_with_a_remedy() -> None:
    bare = [
        f"{module.path}:{call.lineno}: {name}"
        for module, call, name in _constructions()
        if not _has_hint(call) and not error_tree()[name].has_default_hint
    ]
    assert not bare, "pass hint= (the next command to type), or give the class a default_hint"


def test_categories_are_never_raised_themselves() -> None:
    """A category has no code: whoever catches it could not tell what happened."""
    raised = [f"{module.path}:{call.lineno}: {name}" for module, call, name in _constructions(leaf=False)]
    assert not raised


def test_only_the_edges_catch_everything_and_go_on() -> None:
    swallowing = {
        (module.name, name)
        for module in modules()
        for name, function in module.functions()
        for handler in _own_handlers(function)
        if _catches_everything(handler) and not _passes_on(handler)
    }
    assert swallowing <= EDGES


def test_no_error_is_silently_dropped() -> None:
    """``except …: pass`` needs a comment that says why nothing has to be done."""
    silent = []
    for module in modules():
        lines = module.text.splitlines()
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ExceptHandler) and all(
                isinstance(child, ast.Pass) for child in node.body
            ):
                around = lines[node.lineno - 1 : node.body[-1].lineno]
                if not any("#" in line for line in around):
                    silent.append(f"{module.path}:{node.lineno}")
    assert not silent


def _constructions(*, leaf: bool = True) -> Iterator[tuple[Module, ast.Call, str]]:
    """Yield every call of a leaf (or of a category) in the package."""
    wanted = {name for name, found in error_tree().items() if bool(found.code) == leaf}
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call):
                name = dotted(node.func).rpartition(".")[2]
                if name in wanted:
                    yield module, node, name


def _has_hint(call: ast.Call) -> bool:
    for keyword in call.keywords:
        if keyword.arg is None:
            return True  # **fields may hold it
        if keyword.arg == "hint":
            return not (isinstance(keyword.value, ast.Constant) and not keyword.value.value)
    return False


def _own_handlers(function: ast.AST) -> Iterator[ast.ExceptHandler]:
    """Yield the handlers of a function, not those of functions defined in it."""
    for child in ast.iter_child_nodes(function):
        if isinstance(child, ast.ExceptHandler):
            yield child
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _own_handlers(child)


def _catches_everything(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(dotted(kind) in {"Exception", "BaseException"} for kind in kinds)


def _passes_on(handler: ast.ExceptHandler) -> bool:
    """A handler that raises, or hands the error object over to whoever waits for it, hides nothing."""
    if any(isinstance(node, ast.Raise) for node in ast.walk(handler)):
        return True
    return (
        handler.name is not None
        and any(
            isinstance(node, ast.Name) and node.id == handler.name
            for child in handler.body
            for node in ast.walk(child)
        )
        and not isinstance(handler.body[0], ast.Return)
    )


def _repeated(values: Sequence[object]) -> list[object]:
    return [value for value, count in Counter(values).items() if count > 1]


def test_the_checks_here_can_fail() -> None:
    """The readers of the tree see what they claim to see."""
    swallowed = ast.parse("try:\n    a()\nexcept Exception:\n    b()\n").body[0]
    assert isinstance(swallowed, ast.Try)
    assert _catches_everything(swallowed.handlers[0])
    assert not _passes_on(swallowed.handlers[0])
    bare = ast.parse("ObjectMissing('gone', hint='')").body[0]
    assert isinstance(bare, ast.Expr)
    assert isinstance(bare.value, ast.Call)
    assert not _has_hint(bare.value)
    leaf: ErrorClass = error_tree()["UnexpectedFailure"]
    assert (leaf.code, leaf.status, leaf.package) == ("unexpected-failure", 99, "model")
