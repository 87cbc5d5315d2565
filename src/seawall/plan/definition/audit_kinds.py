"""The scalar kinds of the plan's ``audit`` section: the id of a rule, and a day."""

from __future__ import annotations

import difflib
import re
from datetime import date

from seawall.plan.definition.audit_rule_ids import AUDIT_RULE_IDS
from seawall.plan.definition.sections import Rejected, ScalarKind


def _parse_rule(text: str) -> str:
    if text in AUDIT_RULE_IDS:
        return text
    folded = text.strip().lower().replace("_", "-").replace(" ", "-")
    close = difflib.get_close_matches(folded, AUDIT_RULE_IDS, n=1, cutoff=0.6)
    shown = repr(text if len(text) <= 60 else text[:57] + "...")
    raise Rejected(
        f"there is no audit rule {shown}",
        f"did you mean {close[0]}?" if close else "docs/audit.md lists the rules",
        code="rule-unknown",
    )


AUDIT_RULE = ScalarKind(
    "the id of an audit rule",
    _parse_rule,
    {"type": "string", "enum": list(AUDIT_RULE_IDS)},
    "server-checksums-off",
)


def _parse_date(text: str) -> date:
    shown = repr(text if len(text) <= 60 else text[:57] + "...")
    remedy = "write year, month and day: 2027-03-31"
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise Rejected(f"{shown} is not a day", remedy)
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Rejected(f"{shown} is not a day of the calendar", remedy) from None


DATE = ScalarKind(
    "a day",
    _parse_date,
    {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"},
    "2027-03-31",
    is_text=False,
)
