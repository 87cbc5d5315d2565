"""The tree as the architecture tests see it: every module of the package and of the tests, parsed once."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "seawall"

Definition = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Module:
    """One Python file: ``name`` is dotted (``seawall.model.lsn``), ``path`` relative to the checkout."""

    name: str
    path: str
    text: str
    tree: ast.Module

    @property
    def line_count(self) -> int:
        return self.text.count("\n")

    @property
    def package(self) -> str:
        """The part of Seawall that it belongs to: ``seawall.model.lsn`` is of ``model``."""
        return self.name.split(".")[1] if "." in self.name else ""

    def functions(self) -> Iterator[tuple[str, Definition]]:
        """Yield every function at any depth with its qualified name."""
        yield from _functions(self.tree, "")


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, Definition]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Definition):
            yield prefix + child.name, child
            yield from _functions(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")
        else:
            yield from _functions(child, prefix)


@cache
def modules() -> tuple[Module, ...]:
    """Return the modules of the package."""
    return tuple(_parse(path, PACKAGE.parent) for path in sorted(PACKAGE.rglob("*.py")))


@cache
def modules_of_tests() -> tuple[Module, ...]:
    """Return the modules of the tests, this folder included."""
    return tuple(_parse(path, ROOT) for path in sorted((ROOT / "tests").rglob("*.py")))


def _parse(path: Path, base: Path) -> Module:
    text = path.read_text(encoding="utf-8")
    name = ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")
    return Module(name, str(path.relative_to(ROOT)), text, ast.parse(text))


@cache
def committed_files() -> tuple[Path, ...]:
    """Return the files that belong to the project: what git tracks or would track if added now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = (ROOT / name for name in listed.stdout.split("\0") if name)
    return tuple(sorted(path for path in paths if path.is_file()))


def dotted(node: ast.AST) -> str:
    """Return ``a.b.c`` for a chain of names, or an empty string for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        prefix = dotted(node.value)
        return f"{prefix}.{node.attr}" if prefix else ""
    return ""
