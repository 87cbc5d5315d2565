"""How well a running server is prepared to be lost: read-only questions, each answered or known to be unknown.

For ``seawall audit``, which meets servers that nobody prepared for it: any role, any supported version, managed
or not, in seconds. ``facts`` are the values, ``observe`` asks the server, ``databases`` visits each database,
``host`` looks at the machine if the server is on this one. What it means is for :mod:`seawall.audit` to say.
"""

__all__: list[str] = []
