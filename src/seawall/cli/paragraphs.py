"""Paragraphs on a terminal: wrapped to its width, further lines under the first word."""

from __future__ import annotations

import textwrap

from rich.console import Console
from rich.text import Text

WIDEST = 100
"""Wider lines are hard to read."""


def hanging(out: Console, first: str, text: str, *, indent: int, style: str = "") -> None:
    """Print a paragraph whose further lines stand under its first word; lines of the text stay lines."""
    begin = " " * indent + first
    for line in text.splitlines() or [""]:
        wrapped = textwrap.wrap(
            line,
            out.width,
            initial_indent=begin,
            subsequent_indent=" " * len(begin),
            break_on_hyphens=False,
            replace_whitespace=False,
        )
        for piece in wrapped or [begin]:
            out.print(Text(piece, style=style), soft_wrap=True)
        begin = " " * len(begin)
