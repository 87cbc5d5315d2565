"""The errors that the source defines, read from it without importing anything."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "seawall"
ROOT_ERROR = "SeawallError"


@dataclass(frozen=True, slots=True)
class ErrorClass:
    """One class of the error tree. A category has no code."""

    name: str
    bases: tuple[str, ...]
    package: str
    path: str
    code: str
    status: int
    statuses: tuple[range, ...]
    docstring: str
    has_default_hint: bool


@cache
def error_tree() -> dict[str, ErrorClass]:
    """Return every class that descends from SeawallError, by name."""
    classes = {found.name: found for found in _all_classes()}
    return {name: found for name, found in classes.items() if ROOT_ERROR in ancestors(name, classes)}


def leaves() -> list[ErrorClass]:
    """Return the errors that have a code, in the order of their statuses."""
    return sorted((found for found in error_tree().values() if found.code), key=lambda leaf: leaf.status)


def categories() -> list[ErrorClass]:
    """Return the categories, in the order of their statuses."""
    found = [error for error in error_tree().values() if error.bases == (ROOT_ERROR,) and error.statuses]
    return sorted(found, key=lambda category: category.statuses[0].start)


def ancestors(name: str, classes: dict[str, ErrorClass]) -> set[str]:
    """Return the names of all bases of ``name``, itself excluded."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for base in classes[waiting.pop()].bases:
            if base not in found:
                found.add(base)
                if base in classes:
                    waiting.append(base)
    return found


def _all_classes() -> Iterator[ErrorClass]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                yield _read(node, path)


def _read(node: ast.ClassDef, path: Path) -> ErrorClass:
    keywords = {keyword.arg: keyword.value for keyword in node.keywords}
    relative = path.relative_to(PACKAGE)
    return ErrorClass(
        name=node.name,
        bases=tuple(
            base.attr if isinstance(base, ast.Attribute) else ast.unparse(base) for base in node.bases
        ),
        package=relative.parts[0].removesuffix(".py"),
        path=str(Path("src/seawall") / relative),
        code=str(ast.literal_eval(keywords["code"])) if "code" in keywords else "",
        status=int(ast.literal_eval(keywords["status"])) if "status" in keywords else 0,
        statuses=_status_ranges(node),
        docstring=ast.get_docstring(node) or "",
        has_default_hint=any(
            isinstance(child, ast.Assign | ast.AnnAssign)
            and child.value
            and "default_hint" in ast.unparse(child)
            for child in node.body
        ),
    )


def _status_ranges(node: ast.ClassDef) -> tuple[range, ...]:
    for child in node.body:
        if isinstance(child, ast.Assign) and ast.unparse(child.targets[0]) == "status_ranges":
            assert isinstance(child.value, ast.Tuple)
            return tuple(_read_range(item) for item in child.value.elts)
    return ()


def _read_range(call: ast.expr) -> range:
    assert isinstance(call, ast.Call)
    return range(*(int(ast.literal_eval(argument)) for argument in call.args))
