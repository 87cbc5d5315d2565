"""Rehearsals: restore any backup beside the living, ask whether it is right, measure it, clear it away, tell.

The flow: a source (``sources``: Seawall's repositories, pgBackRest's, Barman's, dumps) is restored into a scratch
folder (``room``) that a process of its own clears away however the drill ends (``scratch``, ``reaper``). A server
that can reach nobody (``isolation``, ``server``) starts on it, fed with WAL from outside (``wal_feed``), and
``assertions`` ask it. :mod:`~seawall.drill.run` goes through it and returns the evidence, whatever happened.

The package never writes to what it rehearses: no repository, no live server, no catalog of another tool.
"""

__all__: list[str] = []
