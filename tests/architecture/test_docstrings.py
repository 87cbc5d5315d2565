"""Docstrings where style wants them: what has a promise states it, what is trivial may go without.

Every module and public class has one. A public function or method has one when it is long enough to hide
something, unless a method of that name (a protocol's, a base's) already states the promise, as it does for
classes that extend one of a third party.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.architecture.source import Definition, Module, modules

TRIVIAL_STATEMENTS = 4


def test_every_module_says_its_idea() -> None:
    assert [module.path for module in modules() if not ast.get_docstring(module.tree)] == []


def test_public_classes_and_functions_state_their_promise() -> None:
    silent = [
        f"{module.path}:{node.lineno}: {node.name}"
        for module in modules()
        for node in module.tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
        and (isinstance(node, ast.ClassDef) or _statements(node) > TRIVIAL_STATEMENTS)
    ]
    assert not silent


def test_public_methods_that_do_more_than_a_little_state_their_promise() -> None:
    stated = {
        method.name for module in modules() for _, method in _methods(module) if ast.get_docstring(method)
    }
    silent = [
        f"{module.path}:{method.lineno}: {owner}.{method.name}"
        for module in modules()
        for owner, method in _methods(module)
        if not method.name.startswith("_")
        and not owner.startswith("_")
        and method.name not in stated
        and _statements(method) > TRIVIAL_STATEMENTS
    ]
    assert not silent


def _methods(module: Module) -> Iterator[tuple[str, Definition]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef) and not any(isinstance(base, ast.Attribute) for base in node.bases):
            for child in node.body:
                if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield node.name, child


def _statements(function: Definition) -> int:
    return sum(isinstance(node, ast.stmt) for node in ast.walk(function)) - 1
