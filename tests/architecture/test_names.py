"""Names that say nothing are not used for packages and modules; every package says what it is for."""

from __future__ import annotations

import ast

from tests.architecture.source import PACKAGE, modules

EMPTY_NAMES = {
    "utils",
    "util",
    "helpers",
    "helper",
    "common",
    "manager",
    "managers",
    "base",
    "misc",
    "lib",
    "core",
}


def test_no_module_has_a_name_that_says_nothing() -> None:
    named = {module.path for module in modules() if EMPTY_NAMES & set(module.name.split("."))}
    assert not named


def test_every_folder_of_code_is_a_package() -> None:
    """A folder without ``__init__.py`` would escape the import contracts."""
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert {folder for folder in folders if not (folder / "__init__.py").exists()} == set()


def test_every_package_says_what_it_is_for_and_exports_deliberately() -> None:
    for module in modules():
        if not module.path.endswith("__init__.py"):
            continue
        assert ast.get_docstring(module.tree), f"{module.path} has no docstring"
        if module.name != "seawall":
            assert "__all__" in module.text, f"{module.path} has no __all__"


def test_no_star_imports() -> None:
    stars = {
        module.path
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names)
    }
    assert not stars
