"""The report as one HTML file: no script, nothing loaded from anywhere, readable on paper."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from seawall import __version__
from seawall.audit.report import AuditReport
from seawall.audit.rule import Result


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("seawall.audit.render"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html")


def render_html(report: AuditReport) -> str:
    """Return the whole file. Every text in it may come from a server or a plan and is escaped."""
    counts = report.counts()
    return _template().render(
        report=report,
        version=__version__,
        severities=[(name, counts[name]) for name in ("critical", "high", "medium", "low")],
        counts=counts,
        cannot_tell=report.with_result(Result.CANNOT_TELL),
        passed=report.with_result(Result.PASS),
        not_applicable=report.with_result(Result.NOT_APPLICABLE),
    )
