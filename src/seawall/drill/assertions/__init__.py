"""What a drill claims of a restored server, each claim on its own, in ``claims.CLAIMS``.

A claim answers passed, failed, slow or could-not-run, and quotes no row. What could not be asked is never taken for
an answer.
"""

__all__: list[str] = []
