"""Documents made from the code are current, and the picture shows the contract that is enforced."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture.source import PACKAGE
from tools.generate_docs import generated, layers


@pytest.mark.parametrize("path", generated(), ids=lambda path: path.name)
def test_generated_document_is_current(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == generated()[path], "run `make docs` and commit what it writes"


def test_the_picture_has_every_package_and_nothing_else() -> None:
    exists = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    exists |= {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    assert {package for row in layers() for package in row} == exists
