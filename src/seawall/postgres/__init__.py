"""What PostgreSQL is: its files, its WAL, its programs, and how to talk to a running server.

Facts and mechanisms of PostgreSQL 14 to 18, read from its sources and tested against real servers:
the control file, page checksums, the names of relation files and what a base backup leaves out, WAL
page headers, ``pg_waldump``, starting and stopping a server as its owner, sessions and the backup
functions. It decides nothing about backups, restores or plans, and it stores nothing.

Import from the modules themselves: ``seawall.postgres.files.wal_file`` is on the path of ``wal push`` and
must not pay for a database driver or numpy.
"""

__all__: list[str] = []
