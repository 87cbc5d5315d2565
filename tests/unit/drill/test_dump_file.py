"""What the text of a dump tells: versions, roles, databases, its end; and what its data must not tell."""

from __future__ import annotations

from io import BytesIO
from itertools import count
from pathlib import Path

import pytest

from seawall.drill.errors import DrillFailed, DrillSourceMissing, DrillSourceUnknown
from seawall.drill.sources.dump_file import (
    DumpFile,
    DumpFormat,
    identify,
    read_sql,
    require_whole,
    without_places,
)

WHOLE = b"""\
--
-- PostgreSQL database dump
--
-- Dumped from database version 15.4 (Debian 15.4-1)
-- Dumped by pg_dump version 16.1
SET client_encoding = 'LATIN1';
CREATE DATABASE "Shop" WITH TEMPLATE = template0;
CREATE ROLE app;
ALTER TABLE public.orders OWNER TO app;
ALTER TABLE public.customers OWNER TO "The ""Big"" App";
GRANT SELECT ON TABLE public.orders TO reader WITH GRANT OPTION;
GRANT USAGE ON SCHEMA public TO PUBLIC;
REVOKE ALL ON SCHEMA public FROM pg_monitor;
ALTER DEFAULT PRIVILEGES FOR ROLE maker IN SCHEMA public GRANT SELECT ON TABLES TO taker;
CREATE TABLESPACE fast OWNER app LOCATION '/mnt/it''s/fast';
COPY public.notes (text) FROM stdin;
ALTER TABLE public.x OWNER TO mallory;
CREATE TABLESPACE evil OWNER app LOCATION '/etc';
-- PostgreSQL database dump complete
\\.
--
-- PostgreSQL database dump complete
--

\\unrestrict abc
"""


def test_statements_tell_and_data_does_not() -> None:
    facts = read_sql(BytesIO(WHOLE))
    assert (facts.from_major, facts.by_major, facts.encoding) == (15, 16, "LATIN1")
    assert facts.databases == {"Shop"} and facts.roles_created == {"app"} and facts.has_tablespaces
    assert facts.roles_named == {"app", 'The "Big" App', "reader", "maker", "taker"}
    assert facts.is_dump and facts.is_whole and facts.byte_count == len(WHOLE)


@pytest.mark.parametrize("cut", range(1, len(WHOLE) - 70, 37))
def test_a_dump_without_its_end_is_not_whole(cut: int) -> None:
    facts = read_sql(BytesIO(WHOLE[: len(WHOLE) - 60 - cut]))
    assert not facts.is_whole
    with pytest.raises(DrillFailed):
        require_whole(DumpFile(Path("x.sql"), DumpFormat.PLAIN), facts)


def test_tablespaces_go_elsewhere_and_nothing_else_changes() -> None:
    numbers = count()
    changed = b"".join(without_places(BytesIO(WHOLE), lambda: Path(f"/scratch/{next(numbers)}")))
    assert changed == WHOLE.replace(b"'/mnt/it''s/fast'", b"'/scratch/0'")


def test_kinds_are_told_by_content(tmp_path: Path) -> None:
    for name, content, kind, compression in (
        ("a", b"PGDMP\x01\x0e", DumpFormat.CUSTOM, ""),
        ("b.dump", b"--\n-- PostgreSQL database dump\n", DumpFormat.PLAIN, ""),
        ("c.sql", b"\x1f\x8b\x08\x00", DumpFormat.PLAIN, "gzip"),
        ("d.sql", b"\x28\xb5\x2f\xfd", DumpFormat.PLAIN, "zstd"),
    ):
        (tmp_path / name).write_bytes(content)
        found = identify(tmp_path / name)
        assert (found.format, found.compression) == (kind, compression)
    (tmp_path / "folder").mkdir()
    with pytest.raises(DrillSourceUnknown):
        identify(tmp_path / "folder")
    (tmp_path / "folder" / "toc.dat").touch()
    assert identify(tmp_path / "folder").format is DumpFormat.DIRECTORY
    with pytest.raises(DrillSourceMissing):
        identify(tmp_path / "nothing")
