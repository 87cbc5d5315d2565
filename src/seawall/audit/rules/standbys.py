"""Standbys: whether there is one, whether it survives what takes the primary, and whether it keeps up."""

from __future__ import annotations

from seawall.audit.facts import ClusterFacts
from seawall.audit.headline import is_elsewhere
from seawall.audit.rule import Rule, Severity, Story, Verdict, failed, not_applicable, passed
from seawall.audit.rules.scope import MANAGED, on_server
from seawall.model.fact import Unknown, known
from seawall.model.units import format_bytes, format_duration
from seawall.postgres.health.facts import Receiver, ServerHealth

_LOW_RPO_S = 60.0
"""Below this, whole segments in an archive can't keep the promise: only replication or streaming can."""
_MUCH_LAG_BYTES = 256 << 20
_MUCH_LAG_S = 300.0
_NO_STANDBY = "no standby follows this server"


def _primary_of(facts: ClusterFacts) -> ServerHealth | Verdict:
    server = known(facts.primary)
    if server.identity.is_in_recovery:
        return not_applicable("this server is a standby: ask its primary")
    return server


def _standbys_of(server: ServerHealth) -> list[Receiver]:
    return [item for item in known(server.receivers) if item.is_standby]


def _none(facts: ClusterFacts) -> Verdict:
    server = _primary_of(facts)
    if isinstance(server, Verdict):
        return server
    if server.owner.kind in MANAGED:
        return not_applicable(f"{server.owner.name}: its standbys (Multi-AZ) don't show over a connection")
    standbys = _standbys_of(server)
    rpo_s = None if isinstance(facts.plan, Unknown) else facts.plan.objectives.rpo_s
    if standbys:
        return passed(
            f"{len(standbys)} standby(s) stream from it", evidence=[item.application for item in standbys]
        )
    if rpo_s is not None and rpo_s >= _LOW_RPO_S:
        return passed(f"none follows, and an RPO of {format_duration(rpo_s)} can be kept without one")
    if rpo_s is not None:
        return failed(
            f"{_NO_STANDBY}: an RPO of {format_duration(rpo_s)} can't be kept by whole WAL segments",
            evidence=["pg_stat_replication shows no standby"],
            severity=Severity.HIGH,
        )
    return failed(
        f"{_NO_STANDBY}: the way back is a restore, which takes as long as copying and replaying takes",
        evidence=["pg_stat_replication shows no standby"],
    )


def _on_the_same_machine(facts: ClusterFacts) -> Verdict:
    server = _primary_of(facts)
    if isinstance(server, Verdict):
        return server
    standbys = _standbys_of(server)
    if not standbys:
        return not_applicable(_NO_STANDBY)
    far = [item for item in standbys if is_elsewhere(item, server)]
    shown = [f"{item.application}: connects from {item.address or 'a local socket'}" for item in standbys]
    if far:
        return passed(f"{far[0].application} connects from another machine", evidence=shown)
    return failed("every standby runs on the primary's own machine: they are lost together", evidence=shown)


def _lag(facts: ClusterFacts) -> Verdict:
    server = _primary_of(facts)
    if isinstance(server, Verdict):
        return server
    receivers = [item for item in known(server.receivers) if item.flush_lag_bytes is not None]
    if not receivers:
        return not_applicable(_NO_STANDBY)
    rpo_s = None if isinstance(facts.plan, Unknown) else facts.plan.objectives.rpo_s
    limit_s = _MUCH_LAG_S if rpo_s is None else rpo_s
    late = [
        item
        for item in receivers
        if (item.replay_lag_s or 0.0) > limit_s or (item.flush_lag_bytes or 0) > _MUCH_LAG_BYTES
    ]
    shown = [_shown_lag(item) for item in receivers]
    if not late:
        return passed("whoever takes WAL from this server keeps up", evidence=shown)
    text = "is behind by more than the RPO" if rpo_s is not None else "is far behind"
    return failed(f"{late[0].application} {text}: that much would be lost if it took over", evidence=shown)


def _shown_lag(receiver: Receiver) -> str:
    seconds = "" if receiver.replay_lag_s is None else f", {format_duration(receiver.replay_lag_s)} in replay"
    return f"{receiver.application}: {format_bytes(receiver.flush_lag_bytes or 0)} not safe there{seconds}"


def _replay_state(server: ServerHealth) -> Verdict:
    if not server.identity.is_in_recovery:
        return not_applicable("this server is a primary")
    replay = known(server.replay)
    shown = [f"received {replay.received}, replayed {replay.replayed}", f"replay: {replay.pause_state}"]
    if replay.pause_state != "not paused":
        return failed(
            "replay is paused on this standby: it receives, and falls behind with every commit",
            evidence=shown,
            remedy="SELECT pg_wal_replay_resume(), after the reason: the log tells if a setting is too small",
        )
    if replay.sender is None:
        restore = server.settings.values.get("restore_command", "")
        how = "it can only follow the archive" if restore else "it has no restore_command either"
        return failed(
            f"this standby streams from nobody; {how}",
            evidence=shown,
            severity=Severity.HIGH if restore else Severity.CRITICAL,
            remedy="see its log; primary_conninfo, pg_hba.conf of the primary, and the slot are the usual reasons",
        )
    return passed(f"it streams from {replay.sender} and replays", evidence=shown)


def _same_site(facts: ClusterFacts) -> Verdict:
    plan = known(facts.plan)
    cluster = facts.cluster_plan
    if not cluster.standbys:
        return not_applicable("no standby is declared in the plan")
    home = plan.site_of_host(cluster.primary.host)
    sites = {name: plan.site_of_host(standby.host) for name, standby in cluster.standbys.items()}
    shown = [f"primary: {home}", *(f"{name}: {site}" for name, site in sites.items())]
    if all(site == home for site in sites.values()):
        return failed(
            f"every standby is in {home}, the primary's own site: the site takes all of them", evidence=shown
        )
    return passed("a standby is at another site", evidence=shown)


RULES: tuple[Rule[ClusterFacts], ...] = (
    Rule(
        "standby-none",
        Severity.MEDIUM,
        "No standby follows the server",
        "Without a standby every loss of the machine is a restore: hours for what a standby does in a minute.",
        Story(
            "GitLab's only secondary had been emptied to be rebuilt when its primary was deleted by mistake in "
            "2017: the "
            "restore took 18 hours.",
            "https://about.gitlab.com/blog/2017/02/10/postmortem-of-database-outage-of-january-31/",
        ),
        "build one on another machine: pg_basebackup -R -D DIR -d postgresql://PRIMARY, and start it",
        _none,
    ),
    Rule(
        "standby-same-machine",
        Severity.HIGH,
        "Standbys are on the primary's machine",
        "Power, disk, kernel, hypervisor: whatever stops the primary stops a standby beside it.",
        Story(
            "OVHcloud's fire of March 2021 took whole rooms; copies in the same room were no copies.",
            "https://en.wikipedia.org/wiki/OVHcloud#2021_fire",
        ),
        "move a standby to another machine, better to another site",
        _on_the_same_machine,
    ),
    Rule(
        "standby-same-site",
        Severity.HIGH,
        "Every standby is at the primary's site",
        "A site fails as a whole: power, network, a region's control plane. A standby at the same site doesn't "
        "count then.",
        Story(
            "AWS us-east-1 in December 2021 and October 2025: services without anything outside the region waited "
            "for the region.",
            "https://aws.amazon.com/message/12721/",
        ),
        "add a standby on a host of another site: clusters: NAME: standbys: {central: {host: db2, …}}",
        _same_site,
    ),
    Rule(
        "standby-lag",
        Severity.HIGH,
        "A standby is behind",
        "Promoting it loses what it has not got; replaying what it got but has not replayed makes the RTO longer.",
        Story(
            "GitHub, October 2018: after 43 seconds of partition a coast with less data was promoted, and it "
            "took 24 hours "
            "to put the two histories together.",
            "https://github.blog/2018-10-30-oct21-post-incident-analysis/",
        ),
        "SELECT * FROM pg_stat_replication; its disk, its network, or a long query there (max_standby_streaming_delay)",
        _lag,
    ),
    Rule(
        "standby-not-following",
        Severity.HIGH,
        "This standby does not follow",
        "It answers queries and looks alive, while its data grows old.",
        Story(
            "GitLab 2017 again: the secondary had stopped replicating hours before, under load, and needed to be "
            "rebuilt "
            "in the very hour in which the primary was lost.",
            "https://about.gitlab.com/blog/2017/02/10/postmortem-of-database-outage-of-january-31/",
        ),
        "see the standby's log",
        on_server(_replay_state),
    ),
)
