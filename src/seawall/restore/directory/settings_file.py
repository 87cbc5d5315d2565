"""``postgresql.auto.conf`` of a restored directory: silence what must not survive, add what recovery needs.

The file is read last (config.sgml, "Parameter Interaction via the Configuration File"), so what stands at its
end wins over everything but the command line. Ours stands between two marks, so that it can be found
and taken out again after promotion.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

RECOVERY_MARK = "Seawall recovery"
COPY_MARK = "Seawall copy"

_SILENCED = re.compile(
    r"\s*(restore_command|recovery_end_command|archive_cleanup_command|recovery_target\w*|primary_conninfo"
    r"|primary_slot_name|promote_trigger_file|recovery_min_apply_delay|synchronous_standby_names"
    r"|data_directory|hba_file|ident_file|external_pid_file)\b\s*=?",
    re.IGNORECASE,
)


def quote(value: str) -> str:
    """Return ``value`` as a string of a configuration file (guc-file.l). Raises ValueError for a line end."""
    if "\n" in value or "\0" in value:
        raise ValueError("a setting can't hold a line end")
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def without_stale_settings(text: str) -> str:
    """Turn settings of the source's replication, of its places and of earlier recoveries into comments.

    A restored server that read the source's ``hba_file``, followed its source's old primary, or stopped at an old
    target, would be wrong in ways that nobody looks for at three in the morning.
    """
    lines = []
    for line in text.splitlines():
        if _SILENCED.match(line):
            line = f"# {line}   # silenced by a restore"
        lines.append(line)
    return "\n".join(lines) + ("\n" if lines else "")


def with_block(text: str, mark: str, settings: Mapping[str, str], why: str) -> str:
    """Return ``text`` with a marked block of ``settings`` at its end, replacing an earlier one."""
    block = [f"# >>> {mark}: {why}"]
    block += [f"{name} = {quote(value)}" for name, value in settings.items()]
    block.append(f"# <<< {mark}")
    return without_block(text, mark).rstrip("\n") + "\n" + "\n".join(block) + "\n"


def block_removal(mark: str, file: str) -> str:
    """Return a shell command that takes the marked block out of ``file`` in the current folder, as
    :func:`without_block` would.

    POSIX alone, since it runs on whatever host the server is on: ``sed -i`` is another option in each sed. The
    file is replaced whole, under the server's umask.
    """
    new = f"{file}.seawall-tmp"
    return f"sed '/^# >>> {mark}:/,/^# <<< {mark}$/d' {file} > {new} && mv -f {new} {file}"


def without_block(text: str, mark: str) -> str:
    """Return ``text`` without the marked block; unchanged if there is none."""
    pattern = re.compile(
        rf"^# >>> {re.escape(mark)}:.*?^# <<< {re.escape(mark)}\n?", re.DOTALL | re.MULTILINE
    )
    return pattern.sub("", text)
