"""What a range of WAL says, read from archives of real servers of every major."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from seawall.model.lsn import Lsn
from seawall.model.wal_name import SegmentName
from seawall.postgres.errors import ServerNotReady, WalSegmentInvalid
from seawall.postgres.files.waldump import TransactionEnd, WalEnd, WalFacts, WalRange, scan_wal
from seawall.postgres.programs import ServerPrograms
from seawall.postgres.server.lifecycle import StopMode
from tests.support.servers import InitOptions, TestCluster

pytestmark = pytest.mark.postgres

MIB = 1 << 20
DOUBT = timedelta(seconds=5)


@dataclass(frozen=True)
class Segments:
    """Archived segments, and the position where the test begins."""

    programs: ServerPrograms
    folder: Path
    start: Lsn

    def range(self, end: Lsn | None = None) -> WalRange:
        """Return the range of the test."""
        return WalRange(self.folder, 1, MIB, self.start, end)

    def scan(self, end: Lsn | None = None) -> WalFacts:
        """Read the range."""
        return scan_wal(self.programs, self.range(end), deadline_s=60)

    def segment_at(self, lsn: Lsn) -> Path:
        """Return the archived segment that holds a position."""
        return self.folder / str(SegmentName.containing(1, lsn, MIB))


class Archive:
    """A server that archives into a folder."""

    def __init__(self, cluster: TestCluster) -> None:
        self.cluster = cluster
        self.folder = cluster.folder / "archive"
        self.folder.mkdir()
        cluster.archive_with(f"cp %p {self.folder}/%f")
        cluster.configure({"max_prepared_transactions": "5", "wal_retrieve_retry_interval": "100ms"})
        cluster.start()
        self.segments = Segments(cluster.programs, self.folder, self.switch())

    def position(self) -> Lsn:
        """Return the server's insert position."""
        return Lsn.parse(self.cluster.value("SELECT pg_current_wal_insert_lsn()"))

    def switch(self) -> Lsn:
        """Finish the segment, wait until it is archived, and return where the next one begins."""
        self.cluster.sql("SELECT txid_current()")
        name = self.cluster.value("SELECT pg_walfile_name(pg_switch_wal())")
        self.wait_for(name)
        return SegmentName.parse(name, MIB).end

    def wait_for(self, name: str) -> None:
        """Wait until a segment, and all before it, are archived."""
        status = self.cluster.data / "pg_wal" / "archive_status"
        ends_at = time.monotonic() + 30
        while not (self.folder / name).exists() or list(status.glob("*.ready")):
            assert time.monotonic() < ends_at, "the archiver is stuck"
            time.sleep(0.02)

    def fill(self, segments: int) -> None:
        """Write and archive whole segments of rows."""
        self.cluster.sql("CREATE TABLE IF NOT EXISTS filler (a int, b text)")
        for _ in range(segments):
            self.cluster.sql("INSERT INTO filler SELECT g, repeat('x', 400) FROM generate_series(1, 1000) g")
            self.switch()


@pytest.fixture
def archive(pg_programs: ServerPrograms) -> Iterator[Archive]:
    """An archiving server of each major with small segments."""
    cluster = TestCluster.create(pg_programs, options=InitOptions(wal_segment_mib=1))
    try:
        yield Archive(cluster)
    finally:
        cluster.destroy()


@pytest.fixture(scope="module")
def finished(pg_programs: ServerPrograms) -> Iterator[Segments]:
    """Three filled segments of each major, of a server that is gone. Not to be changed."""
    cluster = TestCluster.create(pg_programs, options=InitOptions(wal_segment_mib=1))
    try:
        archive = Archive(cluster)
        archive.fill(3)
        cluster.stop(StopMode.IMMEDIATE)
        yield archive.segments
    finally:
        cluster.destroy()


@pytest.fixture
def segments(finished: Segments, tmp_path: Path) -> Segments:
    """A copy of ``finished``, to be damaged."""
    folder = tmp_path / "archive"
    shutil.copytree(finished.folder, folder)
    return replace(finished, folder=folder)


def test_everything_that_a_restore_must_know(archive: Archive) -> None:
    cluster = archive.cluster
    place = cluster.folder / "my space"
    place.mkdir()
    cluster.sql("CREATE TABLE t (a int)", "INSERT INTO t VALUES (1)")
    before = archive.position()
    began = datetime.now(UTC)
    cluster.sql(
        "SELECT pg_create_restore_point('before the change; tx: 1')",
        f"CREATE TABLESPACE space LOCATION '{place}'",
        "CREATE DATABASE other",
        "DROP DATABASE other",
        "DROP TABLESPACE space",
    )
    cluster.restart({"max_connections": "55", "wal_log_hints": "on"})
    with cluster.connect() as connection:
        connection.execute("BEGIN; INSERT INTO t VALUES (2)")
        aborted = connection.execute("SELECT txid_current()").fetchone()
        connection.execute("ROLLBACK")
        connection.execute("BEGIN; INSERT INTO t VALUES (3)")
        prepared = connection.execute("SELECT txid_current()").fetchone()
        connection.execute("PREPARE TRANSACTION 'gid'")
        connection.execute("COMMIT PREPARED 'gid'")
    cluster.sql("INSERT INTO t VALUES (5)")
    end = archive.switch()
    assert aborted and prepared

    ends: list[TransactionEnd] = []
    facts = scan_wal(
        cluster.programs, archive.segments.range(), on_transaction_end=ends.append, deadline_s=60
    )

    assert (facts.end, facts.end_lsn) == (WalEnd.END_OF_WAL, end)
    (point,) = facts.restore_points
    assert point.name == "before the change; tx: 1"
    assert point.lsn >= before
    assert began - DOUBT <= point.at <= datetime.now(UTC)
    (created,) = facts.tablespaces_created
    assert created.location == str(place)
    assert [drop.oid for drop in facts.tablespaces_dropped] == [created.oid]
    assert created.lsn < facts.tablespaces_dropped[0].lsn
    assert [change.text.split()[0][:4] for change in facts.database_changes][-1] == "DROP"
    (change,) = facts.parameter_changes
    assert (change.settings["max_connections"], change.settings["wal_log_hints"]) == ("55", "on")
    assert facts.checkpoints >= 1
    assert aborted[0] in {e.xid for e in ends if not e.is_commit}
    assert prepared[0] in {e.xid for e in ends if e.is_commit}
    assert facts.commit_count == sum(e.is_commit for e in ends)
    assert facts.abort_count == sum(not e.is_commit for e in ends)
    assert facts.last_commit == next(e for e in reversed(ends) if e.is_commit)
    assert facts.last_commit_at is not None and began < facts.last_commit_at <= datetime.now(UTC)
    assert [e.lsn for e in ends] == sorted(e.lsn for e in ends)


def test_times_of_restore_points_are_read_across_pages(archive: Archive) -> None:
    """Records of 100 bytes begin everywhere in pages of 8 KiB, some with a header inside them."""
    began = datetime.now(UTC)
    with archive.cluster.connect() as connection:
        for number in range(300):
            connection.execute("SELECT pg_create_restore_point(%s)", [f"p{number}"])
            if number == 150:
                connection.execute("SELECT pg_switch_wal()")
    archive.switch()
    points = archive.segments.scan().restore_points
    assert [point.name for point in points] == [f"p{number}" for number in range(300)]
    times = [point.at for point in points]
    assert times == sorted(times)
    assert began - DOUBT <= times[0] and times[-1] <= datetime.now(UTC)


def test_a_range_ends_where_it_is_told_to(archive: Archive) -> None:
    archive.cluster.sql("CREATE TABLE t (a int)")
    middle = archive.position()
    archive.cluster.sql("INSERT INTO t VALUES (1)")
    archive.switch()
    facts = archive.segments.scan(middle)
    assert (facts.end, facts.end_lsn) == (WalEnd.RANGE, middle)
    assert facts.last_commit_lsn is not None and facts.last_commit_lsn < middle
    assert facts.commit_count < archive.segments.scan().commit_count


def test_the_end_of_an_unfinished_segment_is_the_end_of_wal(archive: Archive) -> None:
    """A part of a segment, padded with zeros, as streaming leaves it."""
    archive.cluster.sql("CREATE TABLE t AS SELECT 1 AS a")
    archive.cluster.sql("CHECKPOINT")
    position = archive.position()
    archive.cluster.kill()
    segment = archive.segments.segment_at(position)
    raw = (archive.cluster.data / "pg_wal" / segment.name).read_bytes()
    offset = position % MIB
    segment.write_bytes(raw[:offset] + bytes(MIB - offset))
    facts = archive.segments.scan()
    assert facts.end is WalEnd.END_OF_WAL
    assert position - 8192 <= facts.end_lsn <= position
    assert facts.commit_count >= 1


def test_a_missing_segment_is_named_and_is_no_end(segments: Segments) -> None:
    """Danger 2: a gap must never look like the end of the WAL."""
    gone = segments.segment_at(Lsn(segments.start + MIB))
    gone.unlink()
    facts = segments.scan()
    assert (facts.end, facts.missing_segment) == (WalEnd.SEGMENT_MISSING, gone.name)
    assert facts.end_lsn == segments.start + MIB


def test_a_range_whose_last_segment_is_missing_is_not_complete(segments: Segments) -> None:
    last = segments.range().segments()[-1]
    end = last.end
    (segments.folder / str(last)).unlink()
    facts = segments.scan(end)
    assert (facts.end, facts.end_lsn) == (WalEnd.SEGMENT_MISSING, last.start)
    assert facts.missing_segment == str(last)


def test_nothing_follows_the_last_segment(segments: Segments) -> None:
    end = segments.range().segments()[-1].end
    after = WalRange(segments.folder, 1, MIB, end)
    began = time.monotonic()
    assert scan_wal(segments.programs, after, deadline_s=60).end is WalEnd.END_OF_WAL
    assert segments.scan().end is WalEnd.END_OF_WAL
    assert time.monotonic() - began < 4, "pg_waldump waits five seconds for a segment that isn't there"


def test_a_start_that_is_not_there(segments: Segments) -> None:
    missing = WalRange(segments.folder, 1, MIB, Lsn(segments.start + 100 * MIB))
    facts = scan_wal(segments.programs, missing, deadline_s=60)
    assert facts.end is WalEnd.SEGMENT_MISSING
    shutil.rmtree(segments.folder)
    segments.folder.mkdir()
    assert segments.scan().end is WalEnd.SEGMENT_MISSING


def overwrite(path: Path, offset: int, raw: bytes) -> None:
    """Damage a file."""
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(raw)


@pytest.mark.parametrize("which", [1, 2], ids=["middle", "last"])
@pytest.mark.parametrize("raw", [b"\xa5" * 300, b"\x01"], ids=["garbage", "one-byte"])
def test_a_garbled_segment_is_no_end(segments: Segments, which: int, raw: bytes) -> None:
    names = segments.range().segments()
    damaged = names[-3 + which]
    overwrite(segments.folder / str(damaged), 3 * 8192 + 4000, raw)
    facts = segments.scan()
    assert facts.end is WalEnd.DAMAGED
    assert damaged.start < facts.end_lsn <= damaged.start + 4 * 8192
    assert facts.detail


def test_a_zeroed_segment_in_the_middle_is_damage(segments: Segments) -> None:
    middle = segments.range().segments()[-2]
    overwrite(segments.folder / str(middle), 0, bytes(MIB))
    facts = segments.scan()
    assert facts.end is WalEnd.DAMAGED
    assert facts.end_lsn <= middle.start


def pretended(folder: Path, programs: ServerPrograms, script: str) -> ServerPrograms:
    """Return programs whose pg_waldump is a shell script."""
    folder.mkdir()
    program = folder / "pg_waldump"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return replace(programs, folder=folder)


def test_the_deadline_ends_a_scan(segments: Segments, tmp_path: Path) -> None:
    slow = pretended(tmp_path / "bin", segments.programs, "exec sleep 60")
    with pytest.raises(ServerNotReady, match="did not get through"):
        scan_wal(slow, segments.range(), deadline_s=0.3)


def test_a_failure_that_says_nothing_about_the_wal_is_an_error(segments: Segments, tmp_path: Path) -> None:
    failing = pretended(tmp_path / "bin", segments.programs, "echo 'out of memory' >&2; exit 1")
    with pytest.raises(WalSegmentInvalid, match="out of memory"):
        scan_wal(failing, segments.range(), deadline_s=60)


def test_ranges_of_nothing(segments: Segments) -> None:
    facts = segments.scan(segments.start)
    assert (facts.end, facts.end_lsn, facts.commit_count) == (WalEnd.RANGE, segments.start, 0)
    with pytest.raises(ValueError, match="before its start"):
        segments.range(Lsn(segments.start - 8))


def test_a_promotion_is_read_on_its_new_timeline(archive: Archive) -> None:
    cluster = archive.cluster
    cluster.stop()
    (cluster.data / "standby.signal").touch()
    cluster.start()
    cluster.sql("SELECT pg_promote()", "CREATE TABLE after_promotion (a int)")
    name = cluster.value("SELECT pg_walfile_name(pg_switch_wal())")
    archive.wait_for(name)
    first = WalRange(archive.folder, 2, MIB, Lsn(0)).segments()[0]
    facts = scan_wal(cluster.programs, WalRange(archive.folder, 2, MIB, first.start), deadline_s=60)
    assert facts.end is WalEnd.END_OF_WAL
    assert facts.ends_of_recovery or facts.checkpoints
    assert facts.commit_count >= 1
