"""What another machine must offer to run a copy of this cluster: libraries, extensions, locales.

Recorded with the backup, since on the day of the recovery there is no server left to ask. Asked while the
copy goes on, on connections of its own; a role that may not see all of it costs a note, not the backup.
"""

from __future__ import annotations

from seawall.model.errors import SeawallError
from seawall.postgres.databases import check_every_database
from seawall.postgres.observe import facts_for_restore, observe_server
from seawall.postgres.session import connect
from seawall.repository.backups.record import ClusterNeeds


def observe_needs(dsn: str) -> tuple[ClusterNeeds, tuple[str, ...]]:
    """Return the needs, and notes about what could not be seen. Never fails: a backup is worth more."""
    try:
        with connect(dsn, application_name="seawall backup") as session:
            facts = observe_server(session)
        reports = check_every_database(dsn)
    except SeawallError as error:
        return ClusterNeeds(), (f"what a copy needs could not be seen: {error.message}",)
    needs = facts_for_restore(facts, reports)
    refused = tuple(
        f"database {report.name} was not looked into: {report.refusal}"
        for report in reports
        if report.refusal and not report.is_meant_to_refuse
    )
    return (
        ClusterNeeds(
            libraries=tuple(
                dict.fromkeys((*needs.shared_preload_libraries, *needs.session_preload_libraries))
            ),
            extensions={
                f"{extension.name} {extension.version}": list(databases)
                for extension, databases in needs.extensions.items()
            },
            locales=tuple(sorted({locale.name for locale in needs.locales if locale.provider == "libc"})),
        ),
        refused,
    )
