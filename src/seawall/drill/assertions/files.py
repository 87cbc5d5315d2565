"""Pages and indexes, by PostgreSQL's own programs; the words of whatever tool restored; and what WAL is missing."""

from __future__ import annotations

import re
from collections.abc import Sequence

from seawall.drill.assertions.inquiry import Answer, Inquiry, could_not_run, count_of, failed, passed, verdict
from seawall.drill.server import PORT
from seawall.drill.tools import Argv, run_tool
from seawall.postgres.files.control_file import read_control_file

_CORRUPT = 2
"""pg_amcheck's exit status for corruption found (pg_amcheck.c)."""
_DAMAGED = re.compile(r'^(?:heap table|btree index|table|index) "([^"]+)"', re.MULTILINE)
_BAD_BLOCKS = re.compile(r"^Bad checksums:\s+(\d+)", re.MULTILINE)
_BLOCKS = re.compile(r"^Blocks scanned:\s+(\d+)", re.MULTILINE)
_BAD_FILE = re.compile(r'checksum verification failed in file "([^"]+)"')


def ask_amcheck(inquiry: Inquiry) -> Sequence[Answer]:
    """Tables and their indexes agree, and their structure is right (``pg_amcheck``)."""
    room = inquiry.server.room
    if not room.programs.has("pg_amcheck"):
        return [could_not_run(f"{room.programs.folder} has no pg_amcheck")]
    with inquiry.server.session("template1") as session:
        if not session.query_all("SELECT FROM pg_available_extensions WHERE name = 'amcheck'"):
            return [could_not_run("the extension amcheck is not installed here (Debian: postgresql-contrib)")]
    argv: Argv = [
        room.programs.path("pg_amcheck"),
        "--all",
        "--install-missing",
        "--heapallindexed",
        "--jobs",
        str(room.jobs),
    ]
    argv += ["--host", room.scratch.socket, "--port", str(PORT), "--username", inquiry.server.user]
    done = run_tool(argv, cwd=room.scratch.folder, timeout_s=inquiry.deadline_s, user=room.isolation.user)
    text = done.output.decode(errors="replace")
    damaged = sorted(set(_DAMAGED.findall(text)))
    if done.status == _CORRUPT or damaged:
        return verdict([f"{name} is damaged" for name in damaged] or ["damage was found"], "")
    if done.status != 0 or done.timed_out:
        return [could_not_run(done.reason())]
    return [passed("every table and B-tree index")]


def has_checksums(inquiry: Inquiry) -> bool:
    """Whether pages carry checksums; the evidence says so where they don't."""
    if not inquiry.is_physical:
        return False
    if read_control_file(inquiry.server.room.data).has_checksums:
        return True
    text = (
        "the cluster has no page checksums (initdb --data-checksums): damaged pages can't be told from others"
    )
    if text not in inquiry.deviations:
        inquiry.deviations.append(text)
    return False


def ask_checksums(inquiry: Inquiry) -> Sequence[Answer]:
    """Every page is as it was written (``pg_checksums`` over the stopped cluster)."""
    room = inquiry.server.room
    if not room.programs.has("pg_checksums"):
        return [could_not_run(f"{room.programs.folder} has no pg_checksums")]
    argv: Argv = [room.programs.path("pg_checksums"), "--check", "-D", room.data]
    done = run_tool(argv, cwd=room.scratch.folder, timeout_s=inquiry.deadline_s, user=room.isolation.user)
    text = done.output.decode(errors="replace")
    bad, blocks = _BAD_BLOCKS.search(text), _BLOCKS.search(text)
    if bad is None or blocks is None:
        return [could_not_run(done.reason())]
    if int(bad[1]):
        files = sorted({name.rpartition("/data/")[2] for name in _BAD_FILE.findall(done.complaints)})
        return [
            failed(
                f"{bad[1]} damaged pages in {', '.join(files[:5])}", pages=int(blocks[1]), damaged=int(bad[1])
            )
        ]
    return [passed(f"{int(blocks[1]):,} pages", pages=int(blocks[1]), damaged=0)]


def ask_tools(inquiry: Inquiry) -> Sequence[Answer]:
    """What restored ended well, and said nothing of errors: programs have ended with 0 after failures."""
    runs = inquiry.server.room.tool_runs
    warnings = [f"{run.program}: {line}" for run in runs for line in run.warnings]
    troubles = [run.reason() for run in runs if not run.is_clean]
    programs = ", ".join(dict.fromkeys(run.program for run in runs))
    said = f"; {count_of(len(warnings), 'warning')}: {'; '.join(warnings[:2])}" if warnings else ""
    return verdict(troubles, f"{programs} ended well{said}", warnings=len(warnings))


def ask_wal(inquiry: Inquiry) -> Sequence[Answer]:
    """Replay went to the end of the archive, or to the moment: a hole looks like the end to PostgreSQL."""
    fed = inquiry.server.fed
    if inquiry.missing_wal:
        return [failed(inquiry.missing_wal, segments=fed.segments)]
    return [passed(f"{count_of(fed.segments, 'segment')} replayed, none missing", segments=fed.segments)]
