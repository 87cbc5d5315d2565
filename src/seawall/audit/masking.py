"""Text that a server shows, made fit to be shown: without secrets, and without what a terminal would obey.

An ``archive_command`` is written by people, so passwords stand in it in every way that shells and tools know. What
looks like one is replaced; too much is better than too little.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "***"

_NAMED = (
    r"[A-Za-z0-9_.-]*(?:pass(?:w(?:or)?d|phrase)?|pwd|secret|token|credential|api[_-]?key|access[_-]?key"
    r"|account[_-]?key|private[_-]?key|libsodium[_-]?key|sas)(?:[_-]?(?:id|key))?"
)
_VALUE = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.|'')*'|[^\s;&|'"]+)"""
_PATTERNS = (
    # AWS_SECRET_ACCESS_KEY=…, --password=…, password = '…' (connection strings), PGPASSWORD=…
    (re.compile(rf"(?i)(?<![A-Za-z0-9])({_NAMED}\s*=\s*){_VALUE}"), rf"\1{MASK}"),
    # --password …, --secret-key …
    (re.compile(rf"(?i)(--?{_NAMED}\s+)(?!-){_VALUE}"), rf"\1{MASK}"),
    # sshpass -p …, curl -u user:…, curl --user user:…
    (re.compile(rf"(\bsshpass\s+-p\s*){_VALUE}"), rf"\1{MASK}"),
    (re.compile(r"((?:^|\s)(?:-u|--user)[\s=]+[^\s:;&|]+:)[^\s;&|]+"), rf"\1{MASK}"),
    # scheme://user:password@host; a password may hold an @ although it should not
    (re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s/:@]*:)[^\s/]*(?=@)"), rf"\1{MASK}"),
    # Authorization: Bearer …, X-Auth-Token: …
    (re.compile(r"(?i)((?:authorization|x-[a-z-]*(?:token|key))\s*:\s*)[^'\";&|]+"), rf"\1{MASK}"),
    # ?sig=…&token=… of signed URLs
    (re.compile(r"(?i)([?&](?:sig|signature|x-amz-[a-z-]+|sv|se|key)=)[^\s&'\"]+"), rf"\1{MASK}"),
)


def hide(text: str, secrets: Iterable[str]) -> str:
    """Return ``text`` without every one of ``secrets``, wherever it stands."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def masked(text: str) -> str:
    """Return ``text`` without what looks like a secret."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


_NOT_PRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def printable(text: str) -> str:
    """Return ``text`` with control characters replaced, as a name in a database may hold a terminal's escape
    sequences, and bytes that are no text. Line ends and tabs stay."""
    return _NOT_PRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)
