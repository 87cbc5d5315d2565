"""Which relations the damaged pages belong to: a person knows tables and indexes, not file numbers."""

from __future__ import annotations

from collections.abc import Iterable

from seawall.model.errors import SeawallError
from seawall.postgres.relation_files import parse_relation_file
from seawall.postgres.session import ServerSession, connect, with_database

_GLOBAL_TABLESPACE = 1664
_RELATION_SQL = "SELECT pg_filenode_relation(%s::oid, %s::oid)::regclass::text"
_DATABASE_SQL = "SELECT oid::bigint, datname FROM pg_database WHERE datallowconn"


def name_relations(dsn: str, paths: Iterable[str]) -> dict[str, str]:
    """Return ``database.relation`` for the relation files among ``paths``; those that can't be named are left
    out. Never fails: the damage is reported by its file in any case."""
    located = {path: place for path in paths if (place := _locate(path)) is not None}
    if not located:
        return {}
    names: dict[str, str] = {}
    try:
        with connect(dsn, application_name="seawall backup") as session:
            databases = {int(oid): str(name) for oid, name in session.query_all(_DATABASE_SQL)}
            current = str(session.query_one("SELECT current_database()")[0])
    except SeawallError:
        return {}
    for database in {database for _, database, _ in located.values()}:
        name = databases.get(database, current if database == 0 else None)
        wanted = {path: (space, number) for path, (space, of, number) in located.items() if of == database}
        if name is None:
            continue
        try:
            with connect(with_database(dsn, name), application_name="seawall backup") as session:
                names |= _ask(session, name if database else "", wanted)
        except SeawallError:
            continue
    return names


def _ask(session: ServerSession, database: str, wanted: dict[str, tuple[int, int]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for path, place in wanted.items():
        (relation,) = session.query_one(_RELATION_SQL, place)
        if relation is not None:
            found[path] = f"{database}.{relation}" if database else str(relation)
    return found


def _locate(path: str) -> tuple[int, int, int] | None:
    """Return (tablespace, database, file number) of a relation file, 0 meaning the default or none."""
    folder, _, name = path.rpartition("/")
    file = parse_relation_file(name)
    parts = folder.split("/")
    if file is None:
        return None
    if parts == ["global"]:
        return _GLOBAL_TABLESPACE, 0, file.number
    if len(parts) == 2 and parts[0] == "base":
        return 0, int(parts[1]), file.number
    if len(parts) == 4 and parts[0] == "pg_tblspc":
        return int(parts[1]), int(parts[3]), file.number
    return None
