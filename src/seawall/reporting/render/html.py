"""The report as one HTML file: no script, nothing loaded from anywhere, made for A4."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from seawall import __version__
from seawall.evidence.model import Objective
from seawall.model.units import format_bytes, format_duration
from seawall.reporting.charts import data_url, described, trend_svg
from seawall.reporting.controls import Control
from seawall.reporting.report import CUT_OFF_WARNING, NOTHING_LEFT_OUT, Report

_DURATION = re.compile(r"(?<=\d) (?=(?:ms|[smhd])\b)|(?<=\d [mhd]) (?=\d)")


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("seawall.reporting.render"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "ms": _ms,
        "measured": _measured,
        "size": format_bytes,
        "duration": format_duration,
        "unbroken": _unbroken,
    }
    return environment.get_template("report.html")


def render_html(report: Report, controls: Sequence[Control]) -> str:
    """Return the whole file. Every text in it may come from a ledger or a plan and is escaped."""

    def local(at: datetime) -> str:
        return f"{at.astimezone(report.period.zone):%Y-%m-%d %H:%M}"

    charts = [(trend, data_url(trend_svg(trend, report.period)), described(trend)) for trend in report.trends]
    return _template().render(
        report=report,
        controls=controls,
        charts=charts,
        local=local,
        zone=zone_name(report),
        version=__version__,
        cut_off_warning=CUT_OFF_WARNING,
        nothing_left_out=NOTHING_LEFT_OUT,
    )


def zone_name(report: Report) -> str:
    """Return the name of the time zone that days and times are told in."""
    return str(getattr(report.period.zone, "key", None) or report.period.zone)


def _ms(value: int | None) -> str:
    return "unknown" if value is None else format_duration(value / 1000)


def _unbroken(text: str) -> str:
    """Keep the parts of a duration on one line."""
    return _DURATION.sub("\N{NO-BREAK SPACE}", text)


def _measured(objective: Objective) -> str:
    """Return what was reached, and what it was held against."""
    if objective.reached_ms is None:
        return "unmeasured"
    against = "" if objective.target_ms is None else f" of {_ms(objective.target_ms)}"
    return _ms(objective.reached_ms) + against
