"""What lies beside a restored directory: one folder, and the names of what is in it. Imports nothing."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

SPEC_NAME = "restore.json"
SPOOL_NAME = "spool"
HISTORIES_NAME = "histories"
LOG_NAME = "server.log"


def work_directory(data_directory: Path) -> Path:
    """Return the folder beside a restored directory where spool, histories, log and spec live."""
    return data_directory.with_name(data_directory.name + ".seawall")
