"""Trends as pictures: static SVG by pygal, without script, the same bytes for the same figures.

pygal stamps its pictures with the day and adds a script for tooltips; both are taken out before the picture is
written (docs/decisions/0012-charts-by-pygal.md). A picture is embedded as a data URL, so that its styles stay its own.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from seawall.model.units import format_duration
from seawall.reporting.period import Period
from seawall.reporting.report import Point, Trend

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

WIDTH, HEIGHT = 680, 240
_COLOURS = ("#2b6a94", "#946200", "#2c7a4b", "#6a4c93", "#555555")
_FAILED = "#a3123a"
_TARGET = "#a3123a"
_FONT = '"Liberation Sans", "DejaVu Sans", system-ui, sans-serif'
_LABELS_WANTED = 6


def trend_svg(trend: Trend, period: Period) -> str:
    """Return the picture of a trend: a line for each source, failed drills in red, the target dashed."""
    import pygal
    from pygal.style import Style

    lines = len(trend.series) + (trend.target_ms is not None)
    style = Style(
        background="transparent",
        plot_background="#ffffff",
        foreground="#22303a",
        foreground_strong="#22303a",
        foreground_subtle="#5a6b79",
        guide_stroke_color="#d6e0e7",
        major_guide_stroke_color="#d6e0e7",
        colors=_colours(trend),
        font_family=_FONT,
        label_font_size=11,
        major_label_font_size=11,
        legend_font_size=12,
        transition="0s",
    )
    chart = pygal.XY(
        width=WIDTH,
        height=HEIGHT,
        js=[],
        explicit_size=True,
        no_prefix=True,
        disable_xml_declaration=True,
        style=style,
        margin=6,
        dots_size=4,
        range=(0, _ceiling_s(trend)),
        legend_at_bottom=True,
        legend_at_bottom_columns=lines if lines <= 3 else None,
        legend_box_size=10,
        x_value_formatter=lambda seconds: f"{datetime.fromtimestamp(seconds, period.zone):%Y-%m-%d}",
        value_formatter=format_duration,
        truncate_legend=-1,
        xrange=(period.begins_at.timestamp(), period.ends_at.timestamp()),
    )
    chart.x_labels = _x_labels(period)
    chart.y_labels = _y_labels(_ceiling_s(trend))
    for name, points in trend.series:
        chart.add(name, [_dot(point) for point in points], stroke_style={"width": 2.5})
    if trend.target_ms is not None:
        target_s = trend.target_ms / 1000
        chart.add(
            f"objective: {format_duration(target_s)}",
            [(period.begins_at.timestamp(), target_s), (period.ends_at.timestamp(), target_s)],
            show_dots=False,
            stroke_style={"width": 1.5, "dasharray": "7,4"},
        )
    chart.add_xml_filter(_still)
    return str(chart.render(is_unicode=True))


def data_url(svg: str) -> str:
    """Return a picture as a URL that needs nothing else."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode("utf-8")).decode("ascii")


def _colours(trend: Trend) -> tuple[str, ...]:
    count = len(trend.series)
    cycled = tuple(_COLOURS[number % len(_COLOURS)] for number in range(count))
    return (*cycled, _TARGET)


def _dot(point: Point) -> dict[str, Any]:
    dot: dict[str, Any] = {"value": (point.at.timestamp(), point.reached_ms / 1000)}
    if not point.passed:
        dot |= {"color": _FAILED, "node": {"r": 6}}
    return dot


def _ceiling_s(trend: Trend) -> float:
    values = [point.reached_ms for _, points in trend.series for point in points]
    return max([*values, trend.target_ms or 0, 1]) / 1000 * 1.1


_STEPS_S = (
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    14400,
    21600,
    43200,
    86400,
)


def _y_labels(ceiling_s: float) -> list[float]:
    """Return round durations, a handful of them."""
    step = next((step for step in _STEPS_S if ceiling_s / step <= _LABELS_WANTED), None)
    if step is None:
        step = 86400.0 * (1 + int(ceiling_s / 86400 / _LABELS_WANTED))
    return [step * number for number in range(int(ceiling_s / step) + 1)]


def _x_labels(period: Period) -> list[float]:
    days = (period.last - period.first).days + 1
    step = max(1, days // _LABELS_WANTED)
    return [(period.begins_at + timedelta(days=number)).timestamp() for number in range(0, days, step)]


def _still(root: Element) -> Element:
    """Take out what moves, what is fetched, and what names the day."""
    for parent in list(root.iter()):
        for child in list(parent):
            if _is_lively(child.tag):
                parent.remove(child)
    return root


def _is_lively(tag: object) -> bool:
    """Comments have a function for a tag (ElementTree.Comment)."""
    return not isinstance(tag, str) or tag.rpartition("}")[2] == "script"


def described(trend: Trend) -> str:
    """Return the trend in words, for readers who don't see the picture."""
    parts: Sequence[str] = [
        f"{name}: "
        + ", ".join(f"{format_duration(point.reached_ms / 1000)} (entry {point.entry})" for point in points)
        for name, points in trend.series
    ]
    return "; ".join(parts)
