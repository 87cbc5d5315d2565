"""Presentation only: one module per command, errors become exit statuses once, in ``main``.

Commands are loaded lazily (``commands.py``): ``seawall --version`` and the WAL client, which
PostgreSQL runs once per segment, must not pay for anything that they don't use.
"""

__all__: list[str] = []
