"""Questions that the cross-checks ask of a tree that may be full of holes."""

from __future__ import annotations

from collections.abc import Iterator

from seawall.plan.diagnostics import Place
from seawall.plan.reader import Tree


class View:
    """Reads a tree by typed questions; None or empty where the answer is missing or was not valid."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def at(self, *steps: str | int) -> object:
        return self._tree.at(*steps)

    def place(self, *steps: str | int) -> Place:
        return self._tree.place(*steps)

    def has(self, *steps: str | int) -> bool:
        """Say whether it is written at all, valid or not."""
        return steps in self._tree.places

    def text(self, *steps: str | int) -> str | None:
        value = self.at(*steps)
        return value if isinstance(value, str) else None

    def seconds(self, *steps: str | int) -> float | None:
        value = self.at(*steps)
        return value if isinstance(value, float) else None

    def names(self, *steps: str | int) -> list[str]:
        """Return the keys of a map or section."""
        value = self.at(*steps)
        return list(value) if isinstance(value, dict) else []

    def items(self, *steps: str | int) -> list[object]:
        value = self.at(*steps)
        return value if isinstance(value, list) else []

    def site_of(self, host: str) -> str | None:
        return next((site for site in self.names("sites") if self.has("sites", site, "hosts", host)), None)

    def home_of(self, cluster: str) -> str | None:
        """Return the site of the cluster's primary."""
        host = self.text("clusters", cluster, "primary", "host")
        return self.site_of(host) if host is not None else None

    def targets_of(self, cluster: str) -> list[str]:
        """Return the repositories that receive the cluster, those that can be told."""
        known = self.names("repositories")
        if not self.has("clusters", cluster, "repositories"):
            return known
        return [str(name) for name in self.items("clusters", cluster, "repositories") if name in known]

    def lacks_targets(self, cluster: str) -> bool:
        """Say whether some repository of the cluster could not be read, so that a verdict would be rash."""
        if self.has("clusters", cluster, "repositories"):
            return len(self.targets_of(cluster)) < self._tree.written.get(
                ("clusters", cluster, "repositories"), 0
            )
        return len(self.names("repositories")) < self._tree.written.get(("repositories",), 0)

    def data_directories(self) -> Iterator[tuple[str, str, str | None]]:
        """Yield each server's place in the plan, data directory and host."""
        for cluster in self.names("clusters"):
            servers = [f"clusters.{cluster}.primary"]
            servers += [
                f"clusters.{cluster}.standbys.{name}" for name in self.names("clusters", cluster, "standbys")
            ]
            for owner in servers:
                data = self.at(*owner.split("."), "data")
                if data is not None:
                    yield owner, str(data), self.text(*owner.split("."), "host")
