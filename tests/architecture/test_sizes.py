"""Modules, functions and packages stay small enough to be read in one sitting.

The soft limits are a ratchet: what is above them is listed with its size, may shrink, and may not grow.
"""

from __future__ import annotations

import os
from collections import Counter

from tests.architecture.source import Definition, modules, modules_of_tests

MODULE_LINES = 700
MODULE_LINES_WANTED = 400
FUNCTION_LINES = 70
PACKAGE_MODULES_WANTED = 12

LONGER_MODULES: dict[str, int] = {}
"""Modules of more than MODULE_LINES_WANTED lines, and how many they have."""

LARGER_PACKAGES: dict[str, int] = {}
"""Packages of more than PACKAGE_MODULES_WANTED modules, and how many they may have at most."""

ONE_MODULE_PER_COMMAND = "cli"


def test_no_module_is_longer_than_the_limit() -> None:
    long = {
        module.path: module.line_count
        for module in (*modules(), *modules_of_tests())
        if module.line_count > MODULE_LINES
    }
    assert not long, f"split these modules (at most {MODULE_LINES} lines)"


def test_long_modules_are_known_and_do_not_grow() -> None:
    long = {module.path: module.line_count for module in modules() if module.line_count > MODULE_LINES_WANTED}
    assert _outgrown(long, LONGER_MODULES) == {}, f"modules have {MODULE_LINES_WANTED} lines at most"
    assert LONGER_MODULES.keys() <= long.keys(), "shorter by now: take it off the list"


def test_no_function_is_longer_than_the_limit() -> None:
    long = {
        f"{module.path}: {name}": length
        for module in (*modules(), *modules_of_tests())
        for name, function in module.functions()
        if (length := _body_lines(function)) > FUNCTION_LINES
    }
    assert not long, f"split these functions (at most {FUNCTION_LINES} lines)"


def test_packages_stay_small() -> None:
    sizes = Counter(
        os.path.dirname(module.path) for module in modules() if not module.path.endswith("__init__.py")
    )
    del sizes["src/seawall/" + ONE_MODULE_PER_COMMAND]
    large = {package: size for package, size in sizes.items() if size > PACKAGE_MODULES_WANTED}
    assert _outgrown(large, LARGER_PACKAGES) == {}, f"a package has {PACKAGE_MODULES_WANTED} modules at most"
    assert LARGER_PACKAGES.keys() <= large.keys(), "smaller by now: take it off the list"


def _body_lines(function: Definition) -> int:
    """Count from the first statement: a command's signature is the list of its options."""
    return (function.end_lineno or 0) - function.body[0].lineno + 1


def _outgrown(sizes: dict[str, int], known: dict[str, int]) -> dict[str, int]:
    return {name: size for name, size in sizes.items() if size > known.get(name, 0)}
