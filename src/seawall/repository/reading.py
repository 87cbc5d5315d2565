"""A reader's leases on a backup, in every repository that it is read from: held as far as they can be had.

Whoever reads a backup takes a lease on it first and then looks at its commit record again, so that an expire
either sees the lease or was there before. But a recovery must not fail for want of a lease: a repository that
can't be written (read-only credentials or mount, no space left) or doesn't answer is read without one, and the
result says so.

A lease under a backup's id also keeps the archived WAL from that backup's start on; in a repository that lacks
this backup, all of its WAL.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from types import TracebackType

from seawall.model.errors import SeawallError
from seawall.repository.leases import Heartbeat, LeasePolicy, LeaseRole
from seawall.repository.repository import Repository

PATIENCE_S = 10.0
"""How long all waiting for leases may hold up a reader."""


class Reading:
    """Leases on one backup at a time, by a label for each repository; a context manager.

    Each lease has a thread of its own, so that a repository that hangs holds up neither another nor the reader.
    """

    def __init__(
        self,
        repositories: Mapping[str, Repository],
        cluster: str,
        *,
        policy: LeasePolicy | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._repositories = repositories
        self._cluster = cluster
        self._policy = policy or LeasePolicy()
        self._patience_s = patience_s
        self._holders: dict[str, _Holder] = {}
        self._earlier: list[_Holder] = []

    def hold(self, backup_id: str) -> None:
        """Take leases on ``backup_id``, and only then end those on the backup before.

        Returns once each repository has answered, or when the patience is used up; a lease that comes later
        is held all the same.

        Crash: the leases expire; nobody has to clear them.
        """
        earlier = list(self._holders.values())
        self._holders = {
            label: _Holder(repository, self._cluster, backup_id, self._policy)
            for label, repository in self._repositories.items()
        }
        self._patience_s = _wait([holder.answered for holder in self._holders.values()], self._patience_s)
        for holder in earlier:
            holder.stopped.set()
        self._earlier += [holder for holder in earlier if not holder.ended.is_set()]

    def notes(self) -> list[str]:
        """Say where there is no lease, and why: for the result, since nothing failed."""
        found: list[str] = []
        for label, holder in self._holders.items():
            trouble = holder.trouble()
            if trouble is not None:
                found.append(
                    f"{label} gave no reader's lease, so an expire there could delete what is being read: {trouble}"
                )
        return found

    def stop(self) -> None:
        """End all leases; harmless when repeated. What a store can't delete now expires."""
        holders = [*self._earlier, *self._holders.values()]
        self._earlier, self._holders = [], {}
        for holder in holders:
            holder.stopped.set()
        _wait([holder.ended for holder in holders], PATIENCE_S)
        for holder in holders:
            holder.raise_bug()

    def __enter__(self) -> Reading:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _wait(events: Iterable[threading.Event], patience_s: float) -> float:
    """Wait for all events, no longer than ``patience_s`` in all; return what is left of it."""
    until = time.monotonic() + patience_s
    for event in events:
        event.wait(max(until - time.monotonic(), 0.0))
    return max(until - time.monotonic(), 0.0)


class _Holder:
    """One lease in one repository, from its own thread: asked for until it is had, then kept until stopped."""

    def __init__(self, repository: Repository, cluster: str, backup_id: str, policy: LeasePolicy) -> None:
        self.answered = threading.Event()
        self.stopped = threading.Event()
        self.ended = threading.Event()
        self._repository = repository
        self._cluster = cluster
        self._backup_id = backup_id
        self._policy = policy
        self._heartbeat: Heartbeat | None = None
        self._failure: SeawallError | None = None
        self._bug: BaseException | None = None
        # A daemon: a store that hangs must not keep the process from ending; the lease then expires.
        threading.Thread(target=self._run, name=f"reader of {backup_id}", daemon=True).start()

    def trouble(self) -> str | None:
        """Say why there is no lease now; None if there is one."""
        heartbeat, failure = self._heartbeat, self._failure
        if heartbeat is not None:
            if not heartbeat.is_lapsed:
                return None
            why = heartbeat.failure.message if heartbeat.failure else "it could not be renewed"
            return f"it lapsed meanwhile ({why})"
        return failure.message if failure is not None else "it has not answered yet"

    def raise_bug(self) -> None:
        """Raise what ended the thread, if that was a bug."""
        if self._bug is not None:
            raise self._bug

    def _run(self) -> None:
        try:
            self._hold_until_stopped()
        except Exception as error:  # noqa: BLE001 - a thread's top: raise_bug() raises it where it is seen
            self._bug = error
        finally:
            self.answered.set()
            self.ended.set()

    def _hold_until_stopped(self) -> None:
        while not self.stopped.is_set():
            try:
                self._heartbeat = Heartbeat.start(
                    self._repository,
                    cluster=self._cluster,
                    backup_id=self._backup_id,
                    role=LeaseRole.READER,
                    policy=self._policy,
                )
            except SeawallError as error:
                self._failure = error
                self.answered.set()
                self.stopped.wait(self._policy.beat_s)
                continue
            self.answered.set()
            self.stopped.wait()
            self._heartbeat.stop()
