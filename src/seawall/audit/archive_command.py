"""What an ``archive_command`` really promises, read from its text: pure, and never run.

PostgreSQL recycles a segment as soon as the command returns 0 ("Setting Up WAL Archiving"). So the question is for
which failures the shell would still return 0. The command is read as the shell reads it: simple commands joined by
``&&``, ``||``, ``;``, ``|`` and ``&``; then every way of failing is tried on that. What can't be read this way
(loops, scripts) is said to be unread, never to be fine.
"""

from __future__ import annotations

import enum
import os
import re
import shlex
from dataclasses import dataclass
from itertools import product

KNOWN_ARCHIVERS = frozenset(
    {
        "barman-cloud-wal-archive", "barman-wal-archive", "pg_probackup", "pgbackrest", "pghoard_postgres_command",
        "pgmoneta-walinfo", "seawall", "seawall-wal", "wal-e", "wal-g", "manager",
    }
)  # fmt: skip
"""Programs made for this: they heed errors, sync, and compare before they overwrite. ``manager`` is CloudNativePG's."""

_ALWAYS_ZERO = frozenset({":", "true", "echo", "printf", "logger", "date", "sleep", "set", "export", "umask"})
_GUARDS = frozenset({"test", "[", "[[", "mountpoint", "pgrep", "grep", "ping", "cmp", "diff"})
_LOCAL_COPIERS = frozenset(
    {
        "cp",
        "mv",
        "install",
        "dd",
        "cat",
        "tee",
        "gzip",
        "pigz",
        "zstd",
        "lz4",
        "xz",
        "bzip2",
        "openssl",
        "gpg",
        "pv",
    }
)
_REMOTE_COPIERS = frozenset({"scp", "rsync", "sftp", "ssh", "ftp", "lftp", "ncftpput"})
_UPLOADERS = frozenset(
    {"aws", "gsutil", "gcloud", "az", "azcopy", "s3cmd", "rclone", "mc", "curl", "s5cmd", "wget"}
)
_WRAPPERS = frozenset(
    {"sudo", "nice", "ionice", "timeout", "env", "exec", "envdir", "time", "nohup", "chpst", "flock"}
)
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh"})
_RESERVED = frozenset(
    {
        "if",
        "then",
        "else",
        "elif",
        "fi",
        "for",
        "while",
        "until",
        "do",
        "done",
        "case",
        "esac",
        "{",
        "}",
        "!",
        "function",
    }
)
_JOINERS = frozenset({"&&", "||", ";", "|", "&", ";;", "|&"})
_LIE_AT_THE_END = re.compile(r"(\|\||;|&&)\s*(exit\s+0|true|:|/(?:usr/)?bin/true)\s*[;)}\"']*\s*$")
_MOST_TRIED = 10


class Flaw(enum.Enum):
    """A way in which an archive_command loses WAL."""

    DISCARDS = "it archives nothing and reports success"
    LIES = "it reports success although the copy failed"
    SKIPS = "it reports success where a file of that name exists, whatever is in it"
    MOVES_AWAY = "it changes the folder before it uses %p, which is relative to the data directory"
    LACKS_FILE = "it does not use %p, so it is never handed the segment"
    OVERWRITES = "it overwrites what is in the archive"
    NOT_SYNCED = "it reports success before the copy is on the disk"
    REMOTE_NOT_SYNCED = "it reports success before the copy is on the other machine's disk"
    UNREAD = "what it does can't be told from its text"


@dataclass(frozen=True, slots=True)
class Simple:
    """One simple command: its program (without folder) and words, and how it is joined to the one before."""

    joiner: str
    program: str
    words: tuple[str, ...]

    @property
    def is_constant(self) -> bool:
        return self.program in _ALWAYS_ZERO or self.program in ("exit", "false")

    @property
    def is_work(self) -> bool:
        """Whether it may be what carries the segment away."""
        return (
            not self.is_constant
            and self.program not in _GUARDS
            and self.program not in ("cd", "sync", "mkdir")
        )


def find_flaws(command: str) -> dict[Flaw, str]:
    """Return what is wrong with ``command``, each with the part of it that shows it."""
    return _Reading(command).flaws()


def local_targets(command: str) -> tuple[str, ...]:
    """Return the absolute folders that the command copies into on the server's own machine."""
    found: list[str] = []
    for simple in _split(command) or ():
        if simple.program not in _LOCAL_COPIERS:
            continue
        targets = [
            word
            for word in simple.words[1:]
            if (word.startswith("/") and "%f" in word) or word.startswith(">")
        ]
        last = simple.words[-1]
        if not targets and last.startswith("/") and last != "%p":
            targets = [last]
        found += [os.path.dirname(target.lstrip(">")) if "%f" in target else target for target in targets]
    return tuple(dict.fromkeys(folder for folder in found if folder.startswith("/")))


def programs_of(command: str) -> tuple[str, ...]:
    """Return the programs that do the work, as far as they can be told."""
    return tuple(simple.program for simple in _split(command) or () if simple.is_work)


class _Reading:
    """One command, read once."""

    def __init__(self, command: str) -> None:
        self._command = command.strip()
        self._simples = _split(self._command)

    def flaws(self) -> dict[Flaw, str]:
        if self._simples is None:
            lie = _LIE_AT_THE_END.search(self._command)
            return {Flaw.LIES: lie[0].strip()} if lie else {Flaw.UNREAD: self._command}
        work = [simple for simple in self._simples if simple.is_work]
        if not work:
            return {Flaw.DISCARDS: self._command} if self._can_succeed() else {}
        found: dict[Flaw, str] = {}
        hidden = self._hidden_failure()
        if hidden:
            found[Flaw.LIES] = hidden
        elif self._skips():
            found[Flaw.SKIPS] = self._command
        found.update(self._flaws_of_the_copy(work))
        return found

    def _flaws_of_the_copy(self, work: list[Simple]) -> dict[Flaw, str]:
        found: dict[Flaw, str] = {}
        assert self._simples is not None
        names = {simple.program for simple in work}
        if names & KNOWN_ARCHIVERS:
            return found
        moved = [simple for simple in self._simples if simple.program == "cd"]
        if moved and "%p" in self._command:
            found[Flaw.MOVES_AWAY] = " ".join(moved[0].words)
        if "%p" not in self._command:
            found[Flaw.LACKS_FILE] = self._command
        if not names & (_LOCAL_COPIERS | _REMOTE_COPIERS | _UPLOADERS):
            found[Flaw.UNREAD] = work[0].program
            return found
        copiers = [
            simple for simple in work if simple.program in _LOCAL_COPIERS | _REMOTE_COPIERS | _UPLOADERS
        ]
        if not self._refuses_existing(copiers):
            found[Flaw.OVERWRITES] = " ".join(copiers[-1].words)
        if names & _REMOTE_COPIERS:
            if "--fsync" not in self._command and " sync" not in self._command:
                found[Flaw.REMOTE_NOT_SYNCED] = next(s.program for s in work if s.program in _REMOTE_COPIERS)
        elif names & _LOCAL_COPIERS and not names & _UPLOADERS and not self._syncs():
            found[Flaw.NOT_SYNCED] = next(s.program for s in work if s.program in _LOCAL_COPIERS)
        return found

    def _refuses_existing(self, copiers: list[Simple]) -> bool:
        """A guard that looks whether the file is there, or an option of the copier that does."""
        assert self._simples is not None
        guarded = any(
            simple.program in ("test", "[", "[[") and {"-f", "-e", "-s"} & set(simple.words)
            for simple in self._simples
        )
        options = {word for simple in copiers for word in simple.words}
        careful = {
            "-n",
            "--no-clobber",
            "--update=none-fail",
            "--ignore-existing",
            "--immutable",
            "--if-none-match",
        }
        clobber = any(simple.program == "set" and "-C" in simple.words for simple in self._simples)
        return guarded or bool(options & careful) or clobber

    def _syncs(self) -> bool:
        assert self._simples is not None
        return any(
            simple.program == "sync" or any("fsync" in word or "fdatasync" in word for word in simple.words)
            for simple in self._simples
        )

    def _hidden_failure(self) -> str:
        """Return the part behind which a failed copy disappears, or ""."""
        assert self._simples is not None
        if any(simple.joiner == "&" for simple in self._simples) or self._command.endswith("&"):
            return "&"
        work = [number for number, simple in enumerate(self._simples) if simple.is_work]
        for failing in ({*work}, *({number} for number in work)):
            if len(failing) == 1 and self._has_fallback(next(iter(failing))):
                continue
            for status, executed in self._runs(failing):
                if status == 0 and executed & failing:
                    return self._tail(max(failing))
        return ""

    def _has_fallback(self, number: int) -> bool:
        assert self._simples is not None
        after = self._simples[number + 1 :]
        return bool(after) and after[0].joiner == "||" and any(simple.is_work for simple in after)

    def _tail(self, number: int) -> str:
        assert self._simples is not None
        after = self._simples[number + 1 :]
        if not after:
            return " ".join(self._simples[number].words)
        return " ".join(f"{simple.joiner} {' '.join(simple.words)}" for simple in after[:2])

    def _skips(self) -> bool:
        assert self._simples is not None
        work = {number for number, simple in enumerate(self._simples) if simple.is_work}
        return any(status == 0 and not executed & work for status, executed in self._runs(set()))

    def _can_succeed(self) -> bool:
        return any(status == 0 for status, _ in self._runs(set()))

    def _runs(self, failing: set[int]) -> list[tuple[int, set[int]]]:
        """Return status and executed commands for every outcome of the guards, while ``failing`` fail."""
        assert self._simples is not None
        guards = [n for n, s in enumerate(self._simples) if not s.is_work and not s.is_constant][:_MOST_TRIED]
        runs = []
        for outcomes in product((0, 1), repeat=len(guards)):
            statuses = dict(zip(guards, outcomes, strict=True))
            statuses.update(dict.fromkeys(failing, 1))
            runs.append(_run(self._simples, statuses))
        return runs


def _run(simples: tuple[Simple, ...], statuses: dict[int, int]) -> tuple[int, set[int]]:
    """Execute an and-or list as a shell does ("Lists" in the POSIX shell language); unnamed statuses are 0."""
    status, executed = 0, set()
    for number, simple in enumerate(simples):
        skipped = (simple.joiner == "&&" and status != 0) or (simple.joiner == "||" and status == 0)
        if skipped:
            continue
        executed.add(number)
        if simple.program == "exit":
            argument = simple.words[1] if len(simple.words) > 1 else ""
            return (int(argument) if argument.isdigit() else status), executed
        if simple.program == "false":
            status = 1
        elif simple.program in _ALWAYS_ZERO:
            status = 0
        else:
            status = statuses.get(number, 0)
    return status, executed


def _split(command: str) -> tuple[Simple, ...] | None:
    """Return the simple commands, None where the shell's grammar goes beyond lists of them."""
    lexer = shlex.shlex(
        command.replace("%%", "%").replace("\n", ";"), posix=True, punctuation_chars="();<>|&"
    )
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        tokens = list(lexer)
    except ValueError:
        return None
    simples: list[Simple] = []
    joiner, words = "", list[str]()
    for token in [*tokens, ";"]:
        if token in _JOINERS:
            if words:
                read = _simple(joiner, words)
                if read is None:
                    return None
                simples += read
                joiner = ""
            joiner = token if words or not joiner else joiner
            words = []
        elif set(token) <= {"(", ")"}:
            return None
        else:
            words.append(token)
    return tuple(simples)


def _simple(joiner: str, words: list[str]) -> list[Simple] | None:
    """Return one simple command, or those inside ``sh -c '…'``; None for what is not one."""
    while words and (re.fullmatch(r"[A-Za-z_]\w*=.*", words[0]) or os.path.basename(words[0]) in _WRAPPERS):
        wrapper, words = words[0], words[1:]
        while (
            words
            and "=" not in wrapper
            and (words[0].startswith("-") or re.fullmatch(r"[0-9.]+[smhd]?", words[0]))
        ):
            words = words[1:]
        if os.path.basename(wrapper) in ("envdir", "flock", "chpst") and words:
            words = words[1:]
    if not words:
        return []
    program = os.path.basename(words[0])
    if program in _RESERVED:
        return None
    if program in _SHELLS and len(words) > 2 and words[1].startswith("-") and words[1].endswith("c"):
        inner = _split(words[2])
        if not inner:
            return None
        return [Simple(joiner, inner[0].program, inner[0].words), *inner[1:]]
    return [Simple(joiner, program, tuple(words))]
