"""From a file to a :class:`~seawall.plan.model.Plan`, or to everything that is wrong with it."""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType

from seawall.plan.crosscheck.rules import crosscheck
from seawall.plan.definition.fields import PLAN
from seawall.plan.diagnostics import START, Diagnostic, Findings, Place, Severity
from seawall.plan.errors import PlanInvalid
from seawall.plan.locate import SYSTEM_PLAN, locate_plan
from seawall.plan.model import Plan, PlanContent
from seawall.plan.reader import Reader, build
from seawall.plan.yaml_nodes import read_nodes

MOST_BYTES = 1 << 20
"""A larger file is not a plan but a mistake (or an attack on the parser's time)."""


def load_plan(path: Path | None = None) -> Plan:
    """Return the plan at ``path``, or the one that the search order finds.

    Raises PlanInvalid: no file, unreadable, or wrong, with every diagnostic. Warnings and declared sections
    don't keep a plan from loading: archiving must go on while somebody repairs it.
    """
    plan, diagnostics = examine_plan(path)
    if plan is None:
        raise plan_invalid(diagnostics)
    return plan


def examine_plan(path: Path | None = None) -> tuple[Plan | None, tuple[Diagnostic, ...]]:
    """Find, read and diagnose the plan; for ``seawall check``, which shows warnings too.

    Raises PlanInvalid only if there is no file to diagnose.
    """
    found = locate_plan(os.fspath(path) if path is not None else None)
    if found is None:
        raise PlanInvalid(
            "there is no plan: neither --plan nor SEAWALL_PLAN is given, "
            f"and neither ./plan.yaml nor {SYSTEM_PLAN} exists",
            hint="write one from a running server: seawall init postgresql://…",
        )
    return diagnose_bytes(_read_file(found), Path(found))


def plan_invalid(diagnostics: Sequence[Diagnostic]) -> PlanInvalid:
    """Return the error that carries ``diagnostics``; its message shows the errors among them."""
    errors = [found for found in diagnostics if found.severity is Severity.ERROR]
    count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
    listed = "\n".join(str(found) for found in errors)
    return PlanInvalid(
        f"the plan has {count}\n{listed}",
        hint="correct the plan, then: seawall check --offline",
        diagnostics=tuple(diagnostics),
    )


def _read_file(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise PlanInvalid(
            f"the plan {path} can't be read: {error.strerror}",
            hint="check --plan and SEAWALL_PLAN, or write a plan: seawall init postgresql://…",
        ) from error
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(mode):
        os.close(descriptor)
        raise PlanInvalid(f"the plan {path} is a folder", hint=f"name the file: --plan {path}/plan.yaml")
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(mode):
            raise PlanInvalid(f"the plan {path} is not a file", hint="name the plan file itself: --plan FILE")
        if mode & stat.S_IWOTH:
            # A plan names commands that run as this user.
            raise PlanInvalid(
                f"every user can change the plan {path}", hint=f"chmod o-w {path}, then read it over"
            )
        return file.read(MOST_BYTES + 1)


def diagnose_bytes(data: bytes, path: Path) -> tuple[Plan | None, tuple[Diagnostic, ...]]:
    """Diagnose a file's content, whatever the bytes."""
    findings = Findings(str(path))
    if len(data) > MOST_BYTES:
        findings.error(
            START, "too-large", "the file is larger than 1 MiB", "no plan is: check --plan and SEAWALL_PLAN"
        )
        return None, findings.in_file_order()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        place = Place(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        findings.error(place, "not-utf8", "this byte is not UTF-8", "save the file with the encoding UTF-8")
        return None, findings.in_file_order()
    return diagnose(text, path)


def diagnose(text: str, path: Path) -> tuple[Plan | None, tuple[Diagnostic, ...]]:
    """Return the plan that ``text`` is, None if it has errors, and all findings in file order."""
    findings = Findings(str(path))
    root = read_nodes(text, findings)
    if root is None:
        if not findings.has_errors:
            findings.error(
                START,
                "empty",
                "the plan is empty",
                "write one from a running server: seawall init postgresql://…",
            )
        return None, findings.in_file_order()
    tree = Reader(findings).read(root, PLAN)
    crosscheck(tree, findings)
    plan = None if findings.has_errors else _finish(build(PLAN, tree.values), path, text)
    return plan, findings.in_file_order()


def _finish(content: object, path: Path, text: str) -> Plan:
    """Fill in what only the whole plan can: a cluster goes to every repository unless it says to which."""
    if not isinstance(content, PlanContent):
        raise TypeError("the plan's definition builds something else than a plan")
    fields = {entry.name: getattr(content, entry.name) for entry in dataclasses.fields(content)}
    every = tuple(content.repositories)
    fields["clusters"] = MappingProxyType(
        {
            name: dataclasses.replace(cluster, repositories=cluster.repositories or every)
            for name, cluster in content.clusters.items()
        }
    )
    return Plan(**fields, path=path, text=text)
