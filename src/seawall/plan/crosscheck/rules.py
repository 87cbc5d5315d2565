"""What no single value shows: contradictions are errors, promises that the plan can't keep are warnings.

Every rule looks at the tree of valid values, so it also runs on a plan that has other mistakes, and keeps silent
where a value that it needs is missing or wrong. Only what works today counts: a declared section never satisfies
a rule.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import cast

from seawall.model.units import format_duration
from seawall.plan.crosscheck.schedules import check_schedules
from seawall.plan.crosscheck.view import View
from seawall.plan.diagnostics import Findings
from seawall.plan.model import Ack
from seawall.plan.reader import Steps, Tree

Rule = Callable[[View, Findings], None]


def crosscheck(tree: Tree, findings: Findings) -> None:
    """Report what is wrong with the plan as a whole."""
    view = View(tree)
    for rule in _RULES:
        rule(view, findings)


def _hosts_are_unique(view: View, findings: Findings) -> None:
    seen: dict[str, str] = {}
    for site in view.names("sites"):
        for host in view.names("sites", site, "hosts"):
            if host in seen:
                findings.error(
                    view.place("sites", site, "hosts", host),
                    "host-twice",
                    f"host {host} is also in site {seen[host]}",
                    "give each machine one name and one site",
                )
            seen.setdefault(host, site)


def _sites_use_their_own_hosts(view: View, findings: Findings) -> None:
    for site in view.names("sites"):
        for key in ("recover_on", "drill_on"):
            host = view.text("sites", site, key)
            if host is not None and view.site_of(host) not in (None, site):
                findings.error(
                    view.place("sites", site, key),
                    "host-elsewhere",
                    f"{host} is a host of site {view.site_of(host)}, not of {site}",
                    f"name a host of {site}",
                )


def _repositories_are_placed(view: View, findings: Findings) -> None:
    seen: dict[tuple[str, str | None], str] = {}
    for name in view.names("repositories"):
        url, host = view.text("repositories", name, "url"), view.text("repositories", name, "host")
        site = view.text("repositories", name, "site")
        place = view.place("repositories", name, "host")
        if url is None:
            continue
        is_folder = url.startswith("file://")
        if is_folder and not view.has("repositories", name, "host"):
            findings.error(
                view.place("repositories", name, "url"),
                "host-missing",
                f"repository {name} is a folder, but on which machine?",
                "add host: with the name of the machine that has the folder",
            )
        if host is not None and not is_folder:
            findings.warning(
                place,
                "host-needless",
                f"repository {name} is an object store; a host makes it count as lost with {host}",
                "remove host:, unless the store runs on that machine",
            )
        if host is not None and site in view.names("sites") and view.site_of(host) not in (None, site):
            findings.error(
                place,
                "host-elsewhere",
                f"{host} is a host of site {view.site_of(host)}, not of {site}",
                f"name a host of {site}, or correct the site",
            )
        if (url.rstrip("/"), host) in seen:
            findings.error(
                view.place("repositories", name, "url"),
                "url-twice",
                f"repository {seen[url.rstrip('/'), host]} has the same place",
                "two names for one store are one copy: remove one",
            )
        seen.setdefault((url.rstrip("/"), host), name)


def _keys_fit_encryption(view: View, findings: Findings) -> None:
    for name in view.names("repositories"):
        steps: Steps = ("repositories", name)
        is_encrypted = view.at(*steps, "encryption") is not False
        if view.has(*steps, "keys") and not is_encrypted:
            findings.error(
                view.place(*steps, "keys"),
                "keys-without-encryption",
                f"repository {name} has keys, but encryption: none stores everything readable",
                "remove encryption: none, or the keys",
            )
        elif is_encrypted and not view.has(*steps, "keys"):
            findings.error(
                view.place(*steps),
                "keys-missing",
                f"repository {name} has no keys",
                "add keys: [file:/etc/seawall/shop.key, escrow]; without encryption: encryption: none",
            )
        else:
            _keys_suffice(view, findings, name)


def _keys_suffice(view: View, findings: Findings, name: str) -> None:
    keys = view.items("repositories", name, "keys")
    texts = [str(key) for key in keys]
    place = view.place("repositories", name, "keys")
    if texts and all(text == "escrow" for text in texts):
        findings.error(
            place,
            "keys-all-elsewhere",
            f"no key of repository {name} can be had here",
            "add a key that this host can read: file:/etc/seawall/shop.key",
        )
    elif len(set(texts)) < len(texts):
        findings.error(place, "key-listed-twice", "a key is listed twice", "list each key once")
    elif len(texts) == 1:
        findings.warning(
            place,
            "key-single",
            f"repository {name} has one key: if that is lost, everything in it is",
            "add escrow, then: seawall key add, and keep what it prints in a safe",
        )


def _repository_survives_its_site(view: View, findings: Findings) -> None:
    for cluster in view.names("clusters"):
        home = view.home_of(cluster)
        targets = view.targets_of(cluster)
        sites = {view.text("repositories", name, "site") for name in targets}
        if home is None or not targets or None in sites or view.lacks_targets(cluster):
            continue
        if sites == {home}:
            findings.warning(
                view.place("clusters", cluster),
                "only-near",
                f"every repository of cluster {cluster} is in {home}, the primary's own site: "
                "what takes the site takes the backups",
                "add a repository at another site",
            )


def _archive_leaves_the_host(view: View, findings: Findings) -> None:
    for cluster in view.names("clusters"):
        targets = view.targets_of(cluster)
        acks = {name: view.at("repositories", name, "ack") for name in targets}
        place = view.place("clusters", cluster)
        if targets and all(ack is Ack.NONE for ack in acks.values()):
            findings.error(
                place,
                "ack-none",
                f"no repository of cluster {cluster} has to have a WAL segment before PostgreSQL drops it",
                "write ack: required for the repository that must not miss any, or leave ack out",
            )
        any_of = [name for name, ack in acks.items() if ack is Ack.ANY]
        if len(any_of) == 1:
            findings.warning(
                view.place("repositories", any_of[0], "ack"),
                "ack-any-of-one",
                f"any of one is that one: {any_of[0]} is required for cluster {cluster}",
                "write ack: required, or ack: any for a second repository",
            )
        host = view.text("clusters", cluster, "primary", "host")
        counted = [name for name, ack in acks.items() if ack in (Ack.REQUIRED, Ack.ANY)] or list(targets)
        if host and counted and all(view.text("repositories", name, "host") == host for name in counted):
            findings.warning(
                place,
                "ack-on-host",
                f"WAL of cluster {cluster} counts as archived once it is on {host}, where the primary is",
                "require a repository that is on no host of yours, or on another one",
            )


def _rpo_is_within_reach(view: View, findings: Findings) -> None:
    rpo_s = view.seconds("objectives", "rpo")
    for cluster in view.names("clusters") if rpo_s is not None else ():
        steps: Steps = ("clusters", cluster, "wal")
        timeout_s = view.seconds(*steps, "archive_timeout")
        if timeout_s is None and view.has(*steps, "archive_timeout"):
            continue
        declared = (
            " (wal.stream is declared, not active, and does not count)" if view.has(*steps, "stream") else ""
        )
        if timeout_s is None:
            findings.warning(
                view.place(*steps),
                "rpo-unbounded",
                f"the RPO of {_shown(rpo_s)} can't be promised for cluster {cluster}: "
                f"without archive_timeout a quiet server keeps its last segment for ever{declared}",
                "set archive_timeout on the server and write it here: wal: {archive_timeout: …}",
            )
        elif rpo_s is not None and timeout_s > rpo_s:
            findings.warning(
                view.place(*steps, "archive_timeout"),
                "rpo-unreachable",
                f"an RPO of {_shown(rpo_s)} can't be kept by WAL that may wait {_shown(timeout_s)}{declared}",
                "lower archive_timeout, here and on the server, or promise a longer RPO",
            )
        stream_s = view.seconds(*steps, "stream")
        if stream_s is not None and rpo_s is not None and stream_s > rpo_s:
            findings.warning(
                view.place(*steps, "stream"),
                "stream-too-rare",
                f"streaming every {_shown(stream_s)} would not keep an RPO of {_shown(rpo_s)} either",
                "stream more often than the RPO",
            )


def _rto_has_time_for_it(view: View, findings: Findings) -> None:
    rto_s = view.seconds("objectives", "rto")
    if rto_s is None:
        return
    detection_s = view.seconds("objectives", "detection") or 0.0
    ttl_s = view.seconds("traffic", "dns", "ttl") or 0.0
    waits = [view.seconds("approvals", action, "timeout") or 0.0 for action in view.names("approvals")]
    if ttl_s > rto_s:
        findings.warning(
            view.place("traffic", "dns", "ttl"),
            "ttl-over-rto",
            f"clients may keep the old address for {_shown(ttl_s)}, longer than the RTO of {_shown(rto_s)}",
            "lower the record's TTL, now, not in the disaster",
        )
    elif detection_s >= rto_s:
        findings.warning(
            view.place("objectives", "detection"),
            "rto-spent",
            f"the RTO of {_shown(rto_s)} is over when the disaster is noticed after {_shown(detection_s)}",
            "notice sooner, or promise a longer RTO",
        )
    elif (spent_s := detection_s + ttl_s + max(waits, default=0.0)) >= rto_s:
        findings.warning(
            view.place("objectives", "rto"),
            "rto-spent",
            f"detection, approval and TTL alone may take {_shown(spent_s)} of an RTO of {_shown(rto_s)}",
            "shorten them, or promise a longer RTO",
        )


def _locks_cover_retention(view: View, findings: Findings) -> None:
    for name in view.names("repositories"):
        lock_s = view.seconds("repositories", name, "lock")
        window_s = view.seconds("repositories", name, "retention", "window")
        if lock_s is not None and window_s is not None and lock_s < window_s:
            findings.warning(
                view.place("repositories", name, "lock"),
                "lock-short",
                f"the lock ends after {_shown(lock_s)}, but {_shown(window_s)} are to be kept",
                "lock at least as long as the retention window",
            )


def _folders_stay_apart(view: View, findings: Findings) -> None:
    """A repository, state or key inside a data directory is copied into every backup, and lost with it."""
    inside: list[tuple[Steps, str, str | None]] = []
    if (state := view.at("state")) is not None:
        inside.append((("state",), str(state), None))
    for name in view.names("repositories"):
        url, host = view.text("repositories", name, "url"), view.text("repositories", name, "host")
        if url is not None and url.startswith("file:///"):
            inside.append((("repositories", name, "url"), url.removeprefix("file://"), host))
        inside += [
            (("repositories", name, "keys"), str(key).partition("file:")[2], None)
            for key in view.items("repositories", name, "keys")
            if "file:/" in str(key)
        ]
    for owner, data, host in view.data_directories():
        for steps, folder, on_host in inside:
            if on_host in (None, host) and PurePosixPath(folder).is_relative_to(data):
                findings.error(
                    view.place(*steps),
                    "inside-data",
                    f"{folder} is inside the data directory of {owner}",
                    "move it out: it would be lost with the server, and be copied into each backup",
                )


def _servers_are_distinct(view: View, findings: Findings) -> None:
    seen: dict[tuple[str, str | None], str] = {}
    for owner, data, host in view.data_directories():
        steps = cast(Steps, tuple(owner.split(".")))
        if (data, host) in seen:
            findings.error(
                view.place(*steps, "data"),
                "data-twice",
                f"{seen[data, host]} has the same data directory on the same host",
                "each server has its own: correct host or data",
            )
        seen.setdefault((data, host), owner)
        primary = view.text("clusters", steps[1], "primary", "host")
        if steps[2] == "standbys" and host is not None and host == primary:
            findings.warning(
                view.place(*steps, "host"),
                "standby-near",
                f"this standby is on {host}, as its primary is",
                "a standby that is to survive the host runs on another one",
            )


def _checks_are_complete(view: View, findings: Findings) -> None:
    clusters = view.names("clusters")
    seen: set[object] = set()
    for index in range(len(view.items("checks"))):
        steps: Steps = ("checks", index)
        name, place = view.at(*steps, "name"), view.place(*steps)
        has_sql, has_http = view.has(*steps, "sql"), view.has(*steps, "http")
        if has_sql == has_http:
            problem = "both sql and http" if has_sql else "neither sql nor http"
            findings.error(
                place, "check-kind", f"this check has {problem}", "a check asks one thing: sql or http"
            )
        if has_sql and not view.has(*steps, "database"):
            findings.error(place, "check-database", "which database is asked?", "add database: NAME")
        if has_sql and not view.has(*steps, "cluster") and len(clusters) > 1:
            choices = " or ".join(clusters)
            findings.error(place, "check-cluster", "which cluster is asked?", f"add cluster: {choices}")
        if has_sql and not has_http and view.has(*steps, "expect"):
            place_of_it = view.place(*steps, "expect")
            findings.error(place_of_it, "check-expect", "expect is an HTTP status", "let the SQL return true")
        if name is not None and name in seen:
            message, remedy = f"a check named {name!r} exists already", "give each check its own name"
            findings.error(view.place(*steps, "name"), "check-twice", message, remedy)
        seen.add(name)


def _approvals_can_be_given(view: View, findings: Findings) -> None:
    for action in view.names("approvals"):
        steps: Steps = ("approvals", action)
        required, people = view.at(*steps, "required") or 1, {str(one) for one in view.items(*steps, "from")}
        if people and isinstance(required, int) and required > len(people):
            findings.error(
                view.place(*steps, "required"),
                "approval-impossible",
                f"{required} must agree, but only {len(people)} may",
                "name more people, or require fewer",
            )
        for person in sorted(people):
            if view.has("people", person) and not view.has("people", person, "ssh_key"):
                findings.error(
                    view.place("people", person),
                    "approver-without-key",
                    f"{person} may approve a {action}, but has no key to sign with",
                    "add ssh_key: file:/etc/seawall/NAME.pub",
                )


def _shown(seconds: float | None) -> str:
    return format_duration(seconds or 0.0)


_RULES: tuple[Rule, ...] = (
    _hosts_are_unique,
    _sites_use_their_own_hosts,
    _repositories_are_placed,
    _keys_fit_encryption,
    _repository_survives_its_site,
    _archive_leaves_the_host,
    _rpo_is_within_reach,
    _rto_has_time_for_it,
    _locks_cover_retention,
    _folders_stay_apart,
    _servers_are_distinct,
    _checks_are_complete,
    _approvals_can_be_given,
    check_schedules,
)
