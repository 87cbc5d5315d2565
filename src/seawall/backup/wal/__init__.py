"""WAL into the archive: ``archive_command``, ahead of it, and the wait of a backup for what it needs.

``acknowledgements`` (was it pushed ahead?) → ``push`` (one file into every repository, with ``binding`` to say who
may) → ``ahead`` (what else is ready, for the next calls to find pushed).
"""

__all__: list[str] = []
