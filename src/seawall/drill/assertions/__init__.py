"""What a drill asks of a restored server: examinations, each on its own, listed in ``examinations.EXAMINATIONS``.

An examination answers passed, failed, slow or could-not-run, and quotes no row; its answer becomes an assertion of the
evidence. What could not be asked is never taken for an answer.
"""

__all__: list[str] = []
