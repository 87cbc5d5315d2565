"""Habits that a reader relies on: where output comes from, how tests are made, what argv may hold."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator

from tests.architecture.source import Module, dotted, modules, modules_of_tests

PRINTING = {"cli", "demo"}
SECRET = re.compile(
    r"(?i)(passw(or)?d|passphrase|secret|master_key|api_?key|token)(?!_?(path|file|reference|name|id))"
)
PROCESS_CALLS = {
    "run",
    "Popen",
    "check_call",
    "check_output",
    "execv",
    "execve",
    "execvp",
    "posix_spawn",
    "call",
}
PATCHES = {"unittest.mock", "mock", "pytest_mock"}
THIRD_PARTY = {
    "backports": {"drill", "repository"},
    "boto3": {"storage"},
    "botocore": {"storage"},
    "blake3": {"backup", "repository", "restore"},
    "click": {"cli"},
    "cronsim": {"plan"},
    "cryptography": {"evidence", "repository"},
    "jinja2": {"audit", "reporting"},
    "msgspec": {"evidence", "repository"},
    "numpy": {"postgres", "repository", "backup", "restore"},
    "obstore": {"storage"},
    "psycopg": {"postgres"},
    "pygal": {"reporting"},
    "rich": {"cli", "demo"},
    "ruamel": {"plan"},
}
"""Every dependency and the packages that may import it; a new one fails until it is placed."""


def test_only_the_presentation_prints() -> None:
    printing = {
        f"{module.path}:{node.lineno}"
        for module in modules()
        if module.package not in PRINTING
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and dotted(node.func) in {"print", "sys.stdout.write", "sys.stderr.write"}
    }
    assert not printing


def test_dependencies_are_imported_only_where_they_belong() -> None:
    astray = {
        f"{module.path} imports {imported}"
        for module in modules()
        for imported in _third_party(module)
        if module.package not in THIRD_PARTY.get(imported, set())
    }
    assert not astray


def test_tests_use_fakes_and_never_patches() -> None:
    patching = {
        f"{module.path}:{line}: {what}"
        for module in modules_of_tests()
        for line, what in _patches(module.tree)
    }
    assert not patching, "write a fake that keeps the contract (tests/support), or pass the dependency in"


def test_no_secret_is_handed_to_a_process_as_an_argument() -> None:
    """Arguments are public on a machine (``ps``): secrets go by file, environment or standard input."""
    leaking = {
        f"{module.path}:{line}: {what}"
        for module in modules()
        for line, what in _secrets_in_arguments(module.tree)
    }
    assert not leaking


def _third_party(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        for name in names:
            top = name.partition(".")[0]
            if top not in sys.stdlib_module_names and top not in {"seawall", "compression"}:
                yield top


def _patches(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and _imported(node) & PATCHES:
            yield node.lineno, "imports mock"
        elif isinstance(node, ast.Attribute) and dotted(node) in {
            "monkeypatch.setattr",
            "monkeypatch.setitem",
        }:
            yield node.lineno, dotted(node)


def _imported(node: ast.Import | ast.ImportFrom) -> set[str]:
    """Return the dotted names that an import statement makes available."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    return {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}


def _secrets_in_arguments(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or dotted(node.func).rpartition(".")[2] not in PROCESS_CALLS:
            continue
        for argument in node.args:
            for part in ast.walk(argument):
                name = (
                    part.id
                    if isinstance(part, ast.Name)
                    else part.attr
                    if isinstance(part, ast.Attribute)
                    else ""
                )
                if SECRET.search(name):
                    yield node.lineno, name


def test_the_checks_here_can_fail() -> None:
    """The readers of the tree see what they claim to see."""
    patched = ast.parse(
        "from unittest import mock\ndef test(monkeypatch):\n    monkeypatch.setattr(a, 'b', 1)\n"
    )
    assert [what for _, what in _patches(patched)] == ["imports mock", "monkeypatch.setattr"]
    leak = ast.parse("subprocess.run(['psql', f'--password={server.password}'])\nrun(['a', secret_path])\n")
    assert list(_secrets_in_arguments(leak)) == [(1, "password")]
    lazy = ast.parse("def f():\n    import psycopg.pq\n    from compression import zstd\n")
    assert list(_third_party(Module("seawall.x", "x.py", "", lazy))) == ["psycopg"]
