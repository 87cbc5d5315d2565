"""Keep out of the clear what must not be in it: a ledger is readable by whoever reads the bucket, for ever.

Entries state counts and digests; the words in them are written by tools and servers, whose messages quote
connection strings, ``CREATE ROLE`` statements and failing rows. What looks like one of those is struck out
before an entry is signed. That is a net below the rule, not the rule: whoever fills an entry puts no row in it.

Nothing here refuses: the evidence of a failed drill must not be lost because a tool talked too much.
"""

from __future__ import annotations

import re

REDACTED = "[redacted]"
LARGEST_TEXT = 4000
_LARGEST_SEARCHED = 4 * LARGEST_TEXT
"""What is cut off first: patterns take long over megabytes of a tool's output."""

_QUOTED = r"""'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.)*\""""
_SECRET_NAME = (
    r"(?:passw(?:or)?d|passphrase|secret|token|api_?key|access_?key|signature|credential)[\w.-]{0,40}"
)
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S),
        REDACTED,
    ),
    (re.compile(r"(\b[a-z][a-z0-9+.-]{0,20}://[^\s/:@]{0,200}):[^\s/]*@", re.I), rf"\1:{REDACTED}@"),
    (re.compile(rf"({_SECRET_NAME}[\"']?\s*=\s*)(?:{_QUOTED}|[^\s&;,]+)", re.I), rf"\1{REDACTED}"),
    (re.compile(rf"({_SECRET_NAME}[\"']?\s*:\s*)(?:{_QUOTED})", re.I), rf"\1{REDACTED}"),
    (re.compile(rf"(\bpassword\s+)(?:{_QUOTED})", re.I), rf"\1{REDACTED}"),
    (re.compile(r"SCRAM-SHA-256\$\S+"), REDACTED),
    # PostgreSQL's DETAIL and CONTEXT lines (execMain.c, nbtinsert.c, ri_triggers.c, copyfromparse.c)
    (re.compile(r"(Failing row contains )\(.*\)", re.S), rf"\1({REDACTED})"),
    (
        re.compile(r"(\bKey \(.{0,500}?\)=)\(.*?\)(?= (?:already|is|conflicts)|\.|$)", re.M),
        rf"\1({REDACTED})",
    ),
    (re.compile(r"(\bCOPY \S+, line \d+(?:, column \S+)?: )\".*\"", re.S), rf'\1"{REDACTED}"'),
)


def redact(text: str) -> str:
    """Return ``text`` without what looks like a secret or a row, of bounded length, and valid as UTF-8."""
    length = len(text)
    text = text[:_LARGEST_SEARCHED]
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    if max(length, len(text)) > LARGEST_TEXT:
        text = f"{text[:LARGEST_TEXT]}… (cut, {length} characters in all)"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def redact_all(value: object) -> object:
    """Return ``value`` (what JSON is made of) with every text in it redacted, names of figures too."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list):
        return [redact_all(item) for item in value]
    if isinstance(value, dict):
        return {redact(name): redact_all(item) for name, item in value.items()}
    return value
