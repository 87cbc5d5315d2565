"""Measure everything and print one table, which also goes into docs/performance.md.

    python -m benchmarks.run [--keep-document]

SEAWALL_BENCH_SCALE  pgbench's scale, 60 unless set; smaller runs leave the document alone
SEAWALL_BENCH_ROUNDS how often each command is run, 3 unless set; the best counts
SEAWALL_BENCH_DIR    where to work, a new folder in the usual temporary place unless set
PGBACKREST           another build of pgBackRest than the one on PATH
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from benchmarks import floor  # noqa: E402
from benchmarks.cluster import Cluster, as_owner, mark_ready, remove, stop_server  # noqa: E402
from benchmarks.contenders import (  # noqa: E402
    BaseBackup,
    Contender,
    PgBackRest,
    Seawall,
    pgbackrest_version,
)
from benchmarks.table import Row, bytes_text, describe_machine, render, seconds_text  # noqa: E402
from benchmarks.timing import Measured, best, can_drop_caches, run, settle, size_of  # noqa: E402

FULL_SCALE = 60
SEGMENTS = 40
_SETTLED_S = 1.1
"""A plan that was written a moment ago is not relied on yet; none is in an archiver's life."""
DOCUMENT = ROOT / "docs" / "performance.md"
_BEGIN, _END = "<!-- measured: begin -->", "<!-- measured: end -->"


@dataclass(slots=True)
class Results:
    """The best runs by contender and cache state, and the bytes of the last backup of each."""

    backups: dict[tuple[str, bool], Measured] = field(default_factory=dict)
    restores: dict[tuple[str, bool], Measured] = field(default_factory=dict)
    stored: dict[str, int] = field(default_factory=dict)
    pushes: dict[tuple[str, bool], Measured] = field(default_factory=dict)


class Benchmark:
    """One cluster, its contenders, and the rounds."""

    def __init__(self, work: Path, rounds: int) -> None:
        self.work = work
        self.rounds = rounds
        self.cluster = Cluster(work)
        self.plain = Seawall(self.cluster, work / "plain", is_encrypted=False)
        self.sealed = Seawall(self.cluster, work / "sealed", is_encrypted=True)
        self.rest1 = PgBackRest(self.cluster, work / "rest1", level=1)
        self.rest3 = PgBackRest(self.cluster, work / "rest3", level=3)
        self.base = BaseBackup(self.cluster, work / "base")
        self.states = (False, True) if can_drop_caches() else (False,)
        self.results = Results()

    def measure(self) -> None:
        """Run all rounds; contenders take turns, so that a slow minute hits them alike."""
        self._backups()
        self._restores()
        self._pushes()

    def _backups(self) -> None:
        everybody: tuple[Contender, ...] = (self.plain, self.sealed, self.rest1, self.rest3, self.base)
        for is_cold in self.states:
            runs: dict[str, list[Measured]] = {}
            for _ in range(self.rounds):
                for contender in everybody:
                    contender.prepare()
                    settle(is_cold=is_cold)
                    if not is_cold:
                        floor.read_seconds(self.cluster.data, is_cold=False)
                    measured = contender.backup()
                    _say(f"backup, {contender.name}, {_cache(is_cold)}", measured.seconds)
                    runs.setdefault(contender.name, []).append(measured)
                    self.results.stored[contender.name] = contender.stored_bytes()
            for name, measured_runs in runs.items():
                self.results.backups[name, is_cold] = best(measured_runs)

    def _restores(self) -> None:
        target = self.work / "restored"
        for is_cold in self.states:
            runs: dict[str, list[Measured]] = {}
            for _ in range(self.rounds):
                for contender in (self.plain, self.sealed, self.rest1, self.rest3):
                    settle(is_cold=is_cold)
                    try:
                        measured = contender.restore(target)
                    finally:
                        if (target / "postmaster.pid").exists():
                            stop_server(target)
                    set_aside(target)
                    _say(f"restore, {contender.name}, {_cache(is_cold)}", measured.seconds)
                    runs.setdefault(contender.name, []).append(measured)
            for name, measured_runs in runs.items():
                self.results.restores[name, is_cold] = best(measured_runs)

    def _pushes(self) -> None:
        segments = self.cluster.make_segments(SEGMENTS)
        for is_backlog in (True, False):
            if is_backlog:
                mark_ready(segments)
            else:
                remove(self.cluster.segments / "archive_status")
            runs: dict[str, list[Measured]] = {}
            for _ in range(self.rounds):
                for contender in (self.plain, self.sealed, self.rest1, self.rest3):
                    contender.prepare()
                    self.cluster.archive_with("true")
                    settle(is_cold=False)
                    time.sleep(_SETTLED_S)
                    loop = f"for f in {' '.join(map(str, segments))}; do {contender.push_command()} $f; done"
                    measured = run(as_owner(["sh", "-ec", f"cd {self.cluster.data}; {loop}"]))
                    _say(f"push of {SEGMENTS}, {_ready(is_backlog)}, {contender.name}", measured.seconds)
                    runs.setdefault(contender.name, []).append(measured)
            for name, measured_runs in runs.items():
                self.results.pushes[name, is_backlog] = best(measured_runs)


def set_aside(target: Path) -> None:
    """Empty a restored directory and what the restore keeps beside it, and move them out of the way.

    Not removed: ext4 passes over inodes that were freed a moment ago one by one, which would make every file that the
    next restore creates, whoever's it is, twenty times as dear as in a directory that nobody has just cleared.
    """
    aside = target.parent / "aside" / str(time.monotonic_ns())
    aside.mkdir(parents=True)
    for place in target.parent.glob(f"*{target.name}*"):
        for path in place.rglob("*"):
            if path.is_file() and not path.is_symlink():
                os.truncate(path, 0)
        place.rename(aside / place.name)


def rows_of(bench: Benchmark) -> list[Row]:
    """Compare: one row for every goal of the product, and rows without a goal for context."""
    rows: list[Row] = []
    for is_cold in bench.states:
        rows += _backup_rows(bench, is_cold=is_cold)
    rows += _byte_rows(bench)
    for is_cold in bench.states:
        rows += _restore_rows(bench, is_cold=is_cold)
    rows += _push_rows(bench)
    rows += _memory_rows(bench)
    rows += _floor_rows(bench)
    return rows


def _backup_rows(bench: Benchmark, *, is_cold: bool) -> list[Row]:
    times = bench.results.backups
    goals: list[tuple[Contender, Contender, float | None]] = [
        (bench.plain, bench.rest1, 0.45),
        (bench.plain, bench.rest3, 0.33),
        (bench.plain, bench.base, 1.0),
        (bench.sealed, bench.rest1, None),
        (bench.sealed, bench.rest3, None),
        (bench.sealed, bench.base, None),
        (bench.sealed, bench.plain, 1.2),
    ]
    return [
        _times(_title("full backup", ours, bench), is_cold, times[ours.name, is_cold], rival.name,
               times[rival.name, is_cold], goal)
        for ours, rival, goal in goals
    ]  # fmt: skip


def _byte_rows(bench: Benchmark) -> list[Row]:
    stored = bench.results.stored
    ours = stored[bench.plain.name]
    goals: list[tuple[Contender, float | None]] = [
        (bench.rest3, 1.0), (bench.rest1, 1.05), (bench.base, None),
    ]  # fmt: skip
    return [
        Row("stored bytes", "", ours, bytes_text(ours), rival.name, stored[rival.name],
            bytes_text(stored[rival.name]), goal)
        for rival, goal in goals
    ]  # fmt: skip


def _restore_rows(bench: Benchmark, *, is_cold: bool) -> list[Row]:
    times = bench.results.restores
    goals: list[tuple[Seawall, PgBackRest, float | None]] = [
        (bench.plain, bench.rest1, 0.8),
        (bench.plain, bench.rest3, 0.8),
        (bench.sealed, bench.rest1, None),
    ]
    return [
        _times(_title("restore to first query", ours, bench), is_cold, times[ours.name, is_cold],
               rival.name, times[rival.name, is_cold], goal)
        for ours, rival, goal in goals
    ]  # fmt: skip


def _push_rows(bench: Benchmark) -> list[Row]:
    rates = {case: SEGMENTS / measured.seconds for case, measured in bench.results.pushes.items()}
    goals: list[tuple[Seawall, PgBackRest, bool, float | None]] = [
        (bench.plain, bench.rest1, True, 1.5),
        (bench.plain, bench.rest3, True, 1.5),
        (bench.sealed, bench.rest1, True, None),
        (bench.plain, bench.rest1, False, None),
        (bench.plain, bench.rest3, False, None),
    ]
    return [
        Row(_title(f"wal push/s, {_ready(is_backlog)}", ours, bench), "warm", rates[ours.name, is_backlog],
            f"{rates[ours.name, is_backlog]:.1f}", rival.name, rates[rival.name, is_backlog],
            f"{rates[rival.name, is_backlog]:.1f}", goal, is_at_least=True)
        for ours, rival, is_backlog, goal in goals
    ]  # fmt: skip


def _ready(is_backlog: bool) -> str:
    return "all ready" if is_backlog else "one at a time"


def _memory_rows(bench: Benchmark) -> list[Row]:
    limit = 400e6
    results = bench.results
    kinds = (
        ("backup", [value for (name, _), value in results.backups.items() if name.startswith("Seawall")]),
        ("restore", [value for (name, _), value in results.restores.items() if name.startswith("Seawall")]),
        ("wal push", [value for (name, _), value in results.pushes.items() if name.startswith("Seawall")]),
    )
    rows = []
    for kind, runs in kinds:
        peak = max(measured.peak_bytes for measured in runs)
        rows.append(
            Row(f"peak memory, {kind}", "", peak, bytes_text(peak), "limit", limit, bytes_text(limit), 1.0)
        )
    return rows


def _floor_rows(bench: Benchmark) -> list[Row]:
    data = bench.cluster.data
    stored = bench.results.stored[bench.plain.name]
    rows = []
    for is_cold in bench.states:
        seconds = min(floor.read_seconds(data, is_cold=is_cold) for _ in range(bench.rounds))
        ours = bench.results.backups[bench.plain.name, is_cold].seconds
        rows.append(_floor("floor: read the directory", _cache(is_cold), ours, seconds))
    ours = bench.results.backups[bench.plain.name, False].seconds
    compress = min(floor.compress_seconds(data) for _ in range(bench.rounds))
    rows.append(_floor("floor: zstd 1 on both cores", "warm", ours, compress))
    write = min(floor.write_seconds(bench.work / "floor", stored) for _ in range(bench.rounds))
    rows.append(_floor(f"floor: write {bytes_text(stored)}, fsync", "", ours, write))
    write = min(
        floor.write_seconds(bench.work / "floor", size_of(data / "base")) for _ in range(bench.rounds)
    )
    ours = bench.results.restores[bench.plain.name, False].seconds
    rows.append(
        _floor(f"floor: write {bytes_text(size_of(data / 'base'))}, fsync", "", ours, write, "restore")
    )
    return rows


def _floor(title: str, cache: str, ours: float, seconds: float, command: str = "backup") -> Row:
    return Row(title, cache, ours, f"{command} {seconds_text(ours)}", "plain", seconds, seconds_text(seconds))


def _times(
    title: str, is_cold: bool, ours: Measured, rival: str, theirs: Measured, goal: float | None
) -> Row:
    return Row(title, _cache(is_cold), ours.seconds, seconds_text(ours.seconds), rival, theirs.seconds,
               seconds_text(theirs.seconds), goal)  # fmt: skip


def _title(what: str, ours: Contender, bench: Benchmark) -> str:
    return what if ours is bench.plain else f"{what}, encrypted"


def _cache(is_cold: bool) -> str:
    return "cold" if is_cold else "warm"


def _say(what: str, seconds: float) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {what}: {seconds:.2f} s", flush=True)


@contextlib.contextmanager
def work_folder() -> Iterator[Path]:
    """Make a folder to work in, and remove it."""
    with tempfile.TemporaryDirectory(
        prefix="seawall-bench-", dir=os.environ.get("SEAWALL_BENCH_DIR")
    ) as name:
        yield Path(name)


def write_document(text: str) -> None:
    """Put ``text`` between the marks of the document."""
    document = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = document.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    DOCUMENT.write_text(f"{before}{_BEGIN}\n{text}\n{_END}{after}", encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    """Return 1 if a goal is missed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no server outlives us
    scale = int(os.environ.get("SEAWALL_BENCH_SCALE", FULL_SCALE))
    with work_folder() as work:
        bench = Benchmark(work, int(os.environ.get("SEAWALL_BENCH_ROUNDS", "3")))
        began = time.perf_counter()
        try:
            bench.cluster.create(scale)
            _say(
                f"a cluster of {bytes_text(size_of(bench.cluster.data / 'base'))}",
                time.perf_counter() - began,
            )
            bench.measure()
            rows = rows_of(bench)
        finally:
            bench.cluster.stop()
        size = bytes_text(size_of(bench.cluster.data / "base"))
        machine = describe_machine(work)
    version = ".".join(map(str, pgbackrest_version()))
    facts = (
        f"pgbench scale {scale} ({size} of relations), PostgreSQL 15 with data checksums, pgBackRest {version}, "
        f"best of {bench.rounds}.\nMachine: {machine}."
    )
    text = f"{facts}\n\n{render(rows)}"
    print(f"\n{text}")
    if scale >= FULL_SCALE and "--keep-document" not in arguments:
        write_document(text)
    return 0 if all(row.holds for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
