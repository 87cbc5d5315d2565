"""Find a server's configuration files, wherever they are ("Setting Parameters": include directives).

Debian keeps them in /etc; a copy of the data directory alone would come back without its settings and
without its pg_hba.conf. Files outside the data directory travel beside a backup.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from seawall.postgres.server_facts import FileLocations

_INCLUDE = re.compile(
    r"^\s*(include_if_exists|include_dir|include)\b\s*=?\s*(?:'((?:[^'\\]|\\.|'')+)'|\"([^\"]+)\"|(\S+))",
    re.IGNORECASE,
)
_NAME_LIST = re.compile(r'(?:^|[\s,])@(?:"([^"]+)"|([^\s,"#]+))')
_MAX_DEPTH = 10
"""CONF_FILE_MAX_DEPTH of guc-file.l: deeper includes are an error there."""
_DEBIAN_FILES = ("environment", "pg_ctl.conf", "start.conf")
_MAX_FILE_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class ConfigFiles:
    """``found`` in order of discovery, each once; ``unreadable`` are named by the configuration and
    can't be read: a restore elsewhere would miss them."""

    found: tuple[Path, ...]
    unreadable: tuple[Path, ...]


def find_config_files(files: FileLocations) -> ConfigFiles:
    """Follow the server's configuration from its main files through all includes.

    pg_hba.conf and pg_ident.conf may include others too: name lists (``@file``), and from 16 on the
    same directives as postgresql.conf. Debian's own files beside postgresql.conf belong to it.
    """
    found: dict[Path, None] = {}
    unreadable: dict[Path, None] = {}
    for main in (files.config_file, files.hba_file, files.ident_file):
        _follow(main, 0, found, unreadable)
    for extra in (*files.settings_files, *_debian_files(files.config_file)):
        _follow(extra, 0, found, unreadable)
    return ConfigFiles(tuple(found), tuple(unreadable))


def outside(data_directory: Path, paths: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return the paths that are not in the data directory, symbolic links resolved.

    A link inside the data directory to a file outside it counts as outside.
    """
    root = Path(os.path.realpath(data_directory))
    return tuple(path for path in paths if not Path(os.path.realpath(path)).is_relative_to(root))


def _follow(path: Path, depth: int, found: dict[Path, None], unreadable: dict[Path, None]) -> None:
    path = Path(os.path.normpath(path))
    if path in found or depth > _MAX_DEPTH:
        return
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            unreadable[path] = None
            return
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        unreadable[path] = None
        return
    found[path] = None
    for included in _includes(text, path.parent):
        _follow(included, depth + 1, found, unreadable)


def _includes(text: str, folder: Path) -> Iterator[Path]:
    for line in text.splitlines():
        match = _INCLUDE.match(line)
        if match is not None:
            name = (match[2] or match[3] or match[4]).replace("''", "'").replace("\\'", "'")
            yield from _targets(match[1].lower(), folder / name)
            continue
        for names in _NAME_LIST.finditer(line.split("#", 1)[0]):
            target = folder / (names[1] or names[2])
            if target.exists():  # a role may be called "@something" where no file is
                yield target


def _targets(directive: str, target: Path) -> Iterator[Path]:
    if directive == "include_dir":
        # ParseConfigDirectory: *.conf, no dot files, in C order.
        names = sorted(target.glob("*.conf")) if target.is_dir() else []
        yield from (path for path in names if not path.name.startswith("."))
    elif directive == "include" or target.exists():
        yield target


def _debian_files(config_file: Path) -> Iterator[Path]:
    """Yield what postgresql-common keeps beside postgresql.conf (pg_createcluster(1))."""
    if (config_file.parent / "start.conf").is_file():
        for name in _DEBIAN_FILES:
            if (config_file.parent / name).is_file():
                yield config_file.parent / name
