"""The scalar kinds of a plan: what each accepts, and what it says to the ways people get it wrong."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from seawall.model.units import parse_duration_s, parse_size_bytes
from seawall.plan.definition.sections import NAME_PATTERN, Rejected, ScalarKind
from seawall.plan.secrets import SecretReference

_LONGEST = 32
_HUNDRED_YEARS_S = 36525 * 86400.0
_DURATION_PATTERN = r"^(\d+(\.\d+)?(ms|s|m|h|d|w))+$"
_DURATION_REMEDY = "write a number and a unit: 30s, 15m, 1h30m, 35d"
_RATE_REMEDY = "write a size and /s: 50MiB/s"


def _shown(text: str) -> str:
    """Quote what the user wrote, cut so that a message stays one line."""
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _parse_text(text: str) -> str:
    if not text.strip():
        raise Rejected("the text is empty", "write something, or remove the key")
    if any(ord(character) < 32 and character not in "\n\t" for character in text):
        raise Rejected("the text holds a control character", "remove it")
    return text


TEXT = ScalarKind("text", _parse_text, {"type": "string", "minLength": 1}, "text")


def _parse_name(text: str) -> str:
    if not re.fullmatch(NAME_PATTERN, text):
        suggestion = re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")[:63]
        raise Rejected(
            f"{_shown(text)} can't be a name",
            "names have up to 63 of a-z 0-9 - _ and begin with a letter or digit"
            + (f": for instance {suggestion}" if suggestion else ""),
            code="name-invalid",
        )
    return text


NAME = ScalarKind("a name", _parse_name, {"type": "string", "pattern": f"^{NAME_PATTERN}$"}, "shop")


def reference(section: str, example: str) -> ScalarKind:
    """Return the kind of a name that ``section`` must define."""
    return ScalarKind(
        f"the name of one of the {section}", _parse_name, NAME.schema, example, refers_to=section
    )


def parse_duration(text: str) -> float:
    """Read a positive duration. Raises Rejected."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        raise Rejected(
            f"{_shown(text)} has no unit",
            f"seconds, minutes, hours? write {text[:12]}s, {text[:12]}m or {text[:12]}h",
            code="unit-missing",
        )
    if re.fullmatch(r"\d+(:\d+)+", text):
        raise Rejected(f"{_shown(text)}: YAML readers differ on what that is", "write units: 1h30m")
    try:
        seconds = parse_duration_s(text) if len(text) <= _LONGEST else None
    except ValueError:
        seconds = None
    if seconds is None:
        raise Rejected(f"{_shown(text)} is not a duration", _DURATION_REMEDY)
    if not 0 < seconds <= _HUNDRED_YEARS_S:
        raise Rejected(f"{_shown(text)} is out of range", "write more than 0 and less than a hundred years")
    return seconds


DURATION = ScalarKind(
    "a duration", parse_duration, {"type": "string", "pattern": _DURATION_PATTERN}, "15m", is_text=False
)


def parse_rate(text: str) -> int:
    """Read ``50MiB/s`` as bytes per second. Raises Rejected."""
    amount, slash, unit = text.partition("/")
    if re.fullmatch(r"\d+(\.\d+)?", amount):
        raise Rejected(f"{_shown(text)} has no unit", _RATE_REMEDY, code="unit-missing")
    try:
        rate = parse_size_bytes(amount) if len(text) <= _LONGEST else 0
    except ValueError:
        rate = 0
    if not slash or unit.strip() != "s" or rate <= 0:
        raise Rejected(f"{_shown(text)} is not a rate", _RATE_REMEDY)
    return rate


RATE = ScalarKind(
    "a rate",
    parse_rate,
    {"type": "string", "pattern": r"^\d+(\.\d+)?\s*(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)/s$"},
    "50MiB/s",
    is_text=False,
)


def integer(least: int, most: int, example: str) -> ScalarKind:
    """Return the kind of a whole number between ``least`` and ``most``."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"-?(0|[1-9][0-9]{0,9})", text):
            raise Rejected(f"{_shown(text)} is not a whole number", f"write a number from {least} to {most}")
        if not least <= int(text) <= most:
            raise Rejected(f"{text} is out of range", f"write a number from {least} to {most}")
        return int(text)

    schema = {"type": "integer", "minimum": least, "maximum": most}
    return ScalarKind("a whole number", parse, schema, example, is_text=False)


def _parse_flag(text: str) -> bool:
    if text not in ("true", "false"):
        meant = {"on": "true", "yes": "true", "off": "false", "no": "false"}.get(
            text.lower(), "true or false"
        )
        raise Rejected(f"{_shown(text)} is neither true nor false", f"write {meant}")
    return text == "true"


FLAG = ScalarKind("true or false", _parse_flag, {"type": "boolean"}, "true", is_text=False)


def choice(meanings: Mapping[str, object]) -> ScalarKind:
    """Return the kind of one word out of ``meanings``, which maps words to the model's values."""
    words = " | ".join(meanings)

    def parse(text: str) -> object:
        if text not in meanings:
            raise Rejected(f"{_shown(text)} is not one of {words}", f"write one of {words}")
        return meanings[text]

    return ScalarKind(words, parse, {"enum": list(meanings)}, next(iter(meanings)), is_text=False)


def _parse_version(text: str) -> int:
    if text != "1":
        raise Rejected(
            f"this Seawall reads plans of version 1, not {_shown(text)}",
            "write version: 1, or install the Seawall that wrote this plan",
        )
    return 1


VERSION = ScalarKind("the number 1", _parse_version, {"const": 1}, "1", is_text=False)


def _parse_timezone(text: str) -> str:
    import zoneinfo

    try:
        zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        remedy = "write a name of the time zone database, like Europe/Berlin or UTC"
        raise Rejected(f"{_shown(text)} is not a time zone", remedy) from None
    return text


TIMEZONE = ScalarKind("a time zone", _parse_timezone, {"type": "string"}, "Europe/Berlin")


def parse_path(text: str) -> Path:
    """Read an absolute path. Raises Rejected."""
    if "\0" in text or not text.startswith("/"):
        raise Rejected(
            f"{_shown(text)} is not an absolute path",
            "write the path from / on: archive_command runs in the data directory, so relative paths move",
        )
    return Path(os.path.normpath(text))


PATH = ScalarKind("an absolute path", parse_path, {"type": "string", "pattern": "^/"}, "/var/lib/seawall")


def parse_cron(text: str) -> str:
    """Check a cron expression of five fields. Raises Rejected."""
    from datetime import UTC, datetime

    from cronsim import CronSim, CronSimError

    remedy = 'five fields in quotes: minute hour day month weekday, like "0 2 * * sun"'
    if len(text) > 200 or len(text.split()) != 5:
        raise Rejected(f"{_shown(text)} is not a cron expression", remedy)
    try:
        next(CronSim(text, datetime(2026, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        raise Rejected(f"{_shown(text)} is not a cron expression: {error}", remedy) from None
    except StopIteration:
        raise Rejected(f"{_shown(text)} never happens", "check the day and the month") from None
    return text


CRON = ScalarKind("a cron expression", parse_cron, {"type": "string"}, '"0 2 * * sun"')

_REFERENCE_REMEDY = "write where it is, not what it is: file:/etc/seawall/…, env:NAME or command:…"
_REFERENCE_PATTERN = r"(env:[A-Za-z0-9_]+|file:/.+|command:.+)"


def parse_secret_reference(text: str) -> SecretReference:
    """Read a reference to a secret. Raises Rejected, never quoting the text, which may be a secret."""
    try:
        return SecretReference.parse(text)
    except ValueError as error:
        if str(error) == "not a secret reference":
            problem = "this is not a reference to a secret (and not shown here, in case it is one)"
            raise Rejected(problem, _REFERENCE_REMEDY, code="secret-literal") from None
        raise Rejected(str(error), _REFERENCE_REMEDY) from None


SECRET = ScalarKind(
    "a secret reference",
    parse_secret_reference,
    {"type": "string", "pattern": f"^{_REFERENCE_PATTERN}$"},
    "file:/etc/seawall/shop.key",
)


def _parse_repository_key(text: str) -> object:
    if text == "escrow":
        return text
    head, _, tail = text.partition(":")
    if head == "passphrase":
        found = parse_secret_reference(tail)
        return SecretReference(found.scheme, found.target, is_passphrase=True)
    return parse_secret_reference(text)


REPOSITORY_KEY = ScalarKind(
    "a key reference or escrow",
    _parse_repository_key,
    {"type": "string", "pattern": f"^(escrow|(passphrase:)?{_REFERENCE_PATTERN})$"},
    "file:/etc/seawall/shop.key",
)


def _refuse_password(text: str, remedy: str) -> None:
    """Refuse a literal secret in a URL or connection string, without repeating it."""
    # A password may hold a slash although it should be written %2F; a port and a path are not one.
    in_authority = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#@]*:(?!\d+(/|$))[^@]*@", text)
    if in_authority or re.search(r"(?i)(^|[\s?&])(ssl)?(password|passwd|pwd)\s*=\s*[^\s&]", text):
        raise Rejected("a password is written out here", remedy, code="secret-literal")


def _parse_dsn(text: str) -> str:
    _refuse_password(text, "remove it, use a ~/.pgpass file, a service file or peer authentication")
    if re.match(r"postgres(ql)?://", text) or re.match(r"\s*[a-z_]+\s*=", text):
        return text
    raise Rejected(
        f"{_shown(text)} is not a PostgreSQL connection string",
        "write a URI (postgresql:///postgres, postgresql://db1:5432/postgres) or key=value pairs",
    )


DSN = ScalarKind("a connection string", _parse_dsn, {"type": "string"}, "postgresql:///postgres")


def url(schemes: tuple[str, ...], example: str, check: Callable[[str], None] | None = None) -> ScalarKind:
    """Return the kind of a URL of one of ``schemes``; ``check`` may raise Rejected on top."""
    listed = ", ".join(f"{scheme}://" for scheme in schemes)

    def parse(text: str) -> str:
        _refuse_password(text, "remove it; credentials: and env:, file: or command: references hold secrets")
        scheme, separator, rest = text.partition("://")
        if not separator or scheme not in schemes:
            raise Rejected(f"{_shown(text)} does not begin with {listed}", f"for instance {example}")
        if not rest.strip("/") or re.search(r"\s", text):
            raise Rejected(f"{_shown(text)} is not a complete URL", f"for instance {example}")
        if check is not None:
            check(text)
        return text

    pattern = f"^({'|'.join(schemes)})://"
    return ScalarKind("a URL", parse, {"type": "string", "pattern": pattern}, example)


def _check_store(text: str) -> None:
    if text.startswith("file://") and not text.startswith("file:///"):
        raise Rejected(f"{_shown(text)}: a folder's URL has three slashes", "file:///var/lib/seawall")


STORE_URL = url(("file", "s3", "gs", "az"), "s3://shop-dr", _check_store)
HTTP_URL = url(("http", "https"), "https://shop.example/healthz")


def _parse_domain(text: str) -> str:
    if len(text) > 253 or not re.fullmatch(r"([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?\.?)+", text):
        raise Rejected(f"{_shown(text)} is not a domain name", "for instance db.shop.example")
    return text


DOMAIN = ScalarKind("a domain name", _parse_domain, {"type": "string"}, "db.shop.example")


def _parse_address(text: str) -> str:
    import ipaddress

    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        remedy = "write a server's address like 192.0.2.53: names may not resolve in a disaster"
        raise Rejected(f"{_shown(text)} is not an IP address", remedy) from None


ADDRESS = ScalarKind("an IP address", _parse_address, {"type": "string"}, "192.0.2.53", is_text=False)


def _parse_ssh(text: str) -> str:
    # A leading dash would be an option to ssh.
    if not re.fullmatch(r"([A-Za-z0-9_][A-Za-z0-9_.-]*@)?[A-Za-z0-9_\[][A-Za-z0-9_.:\[\]-]*", text):
        raise Rejected(
            f"{_shown(text)} is not an ssh destination", "write user@host, or a Host of ~/.ssh/config"
        )
    return text


SSH = ScalarKind("an ssh destination", _parse_ssh, {"type": "string"}, "seawall@db2")

_YAML_GUESSES = re.compile(
    r"(?i)true|false|yes|no|on|off|y|n|null|~|[-+]?\.(inf|nan)|[-+]?(0[xob])?[0-9][0-9_]*(\.[0-9_]*)?(e[-+]?[0-9]+)?"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}.*|[0-9]+(:[0-9]+)+"
)


@functools.cache
def yaml_guesses(text: str) -> bool:
    """Say whether some YAML reader takes plain ``text`` for a number, boolean, date or null."""
    return _YAML_GUESSES.fullmatch(text) is not None
