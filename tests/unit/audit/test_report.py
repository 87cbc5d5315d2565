"""Waivers, weight and exit status of a report, and the headline that never promises more than was seen."""

from __future__ import annotations

from datetime import date

import pytest

from seawall.audit.facts import ClusterFacts
from seawall.audit.headline import headline_of
from seawall.audit.report import AuditReport
from seawall.audit.rule import Finding, Result, Rule, Severity, Story, failed, passed
from seawall.audit.rulebook import judge_service, make_report
from seawall.model.fact import Unknown
from seawall.plan.model import Waiver
from seawall.postgres.server.owner import OwnerKind
from tests.unit.audit import healthy as h

RULE = Rule[object](
    "wal-x", Severity.HIGH, "X", "It is.", Story("s", "https://x"), "do", lambda _: passed("ok")
)
TODAY = h.NOW.date()


def finding(rule: str = "wal-x", severity: Severity = Severity.HIGH, subject: str = "main") -> Finding:
    named = Rule[object](rule, severity, "X", "It is.", RULE.story, "do", RULE.judge)
    return Finding(named, failed("wrong", subject=subject))


def waiver(rule: str = "wal-x", until: date = TODAY, subject: str | None = None) -> Waiver:
    return Waiver(rule, subject, "we know", until)


def report(findings: list[Finding], *waivers: Waiver) -> AuditReport:
    return make_report("t", h.NOW, findings, waivers)


@pytest.mark.parametrize(
    ("given", "is_waived", "is_known"),
    [
        (waiver(), True, True),
        (waiver(until=date(2026, 11, 24)), False, True),
        (waiver(until=date(2027, 1, 1)), True, True),
        (waiver(subject="main"), True, True),
        (waiver(subject="other"), False, False),
        (waiver(rule="wal-y"), False, False),
    ],
)
def test_a_waiver_counts_through_its_last_day_for_its_subject(
    given: Waiver, is_waived: bool, is_known: bool
) -> None:
    (found,) = report([finding()], given).findings
    assert (found.is_waived, found.waiver is not None) == (is_waived, is_known)
    assert found.is_failure, "a waived finding stays a finding"


def test_of_two_waivers_the_longer_counts() -> None:
    (found,) = report([finding()], waiver(until=date(2026, 1, 1)), waiver(until=date(2027, 1, 1))).findings
    assert found.is_waived and found.waiver == waiver(until=date(2027, 1, 1))


def test_a_waiver_that_nothing_needs_is_named() -> None:
    kept = Finding(RULE, passed("fine"))
    assert report([kept], waiver()).idle_waivers == (waiver(),)
    assert report([finding()], waiver()).idle_waivers == ()


@pytest.mark.parametrize("severity", list(Severity))
@pytest.mark.parametrize("least", list(Severity))
def test_the_exit_status_follows_the_worst_open_finding(severity: Severity, least: Severity) -> None:
    order = [Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW]
    expected = order.index(severity) <= order.index(least)
    assert report([finding(severity=severity)]).has_failures_at(least) is expected
    assert not report([finding(severity=severity)], waiver()).has_failures_at(least)
    assert not report([finding(severity=severity)]).has_failures_at(None)


def test_findings_come_worst_first_and_waived_ones_after_open_ones() -> None:
    found = [
        Finding(RULE, passed("fine")),
        finding("wal-low", Severity.LOW),
        finding("wal-x", Severity.CRITICAL),
        finding("wal-high", Severity.HIGH),
    ]
    assert [item.rule.id for item in report(found, waiver()).findings] == [
        "wal-high",
        "wal-low",
        "wal-x",
        "wal-x",
    ]


def test_counts_add_up() -> None:
    made = report([finding(), finding("wal-y"), Finding(RULE, passed("fine"))], waiver("wal-y"))
    counts = made.counts()
    assert counts["high"] == 1 and counts["waived"] == 1 and counts["pass"] == 1
    assert sum(counts.values()) == len(made.findings)


def test_a_plan_waives_by_what_it_says() -> None:
    text = "audit: {waive: [{rule: wal-archive-off, reason: moved to streaming, until: 2027-01-01}]}\n"
    facts = h.cluster(
        primary=h.server(settings=h.settings(archive_mode="off")), plan=h.plan(text=h.PLAN + text)
    )
    made = judge_service(h.service(facts), "plan.yaml")
    assert [item.rule.id for item in made.waived] == ["wal-archive-off"] and not made.open_failures


OFF = h.settings(archive_mode="off")
LOSES = [
    ("standby", h.stranger(settings=OFF, receivers=(h.standby(flush_lag_bytes=2048),)), "the last 2 KiB of WAL, if"),
    ("synchronous", h.stranger(settings=OFF, receivers=(h.standby(sync_state="sync"),)), "nothing acknowledged, if"),
    ("near standby", h.stranger(settings=OFF, receivers=(h.standby(address=None),)), "everything, 1 GiB in 1 database"),
    ("nothing", h.stranger(settings=OFF, receivers=()), "in 1 database: no standby follows it, no WAL"),
    ("liar", h.stranger(settings=h.settings(archive_command="true"), receivers=()), "hides failures"),
    ("archive alone", h.stranger(receivers=()), "its WAL goes to pgbackrest, whose backups can't be seen"),
    ("rds", h.stranger(owner=h.owner(OwnerKind.RDS, "Amazon RDS"), receivers=()), "unknown: Amazon RDS keeps"),
    ("dead", h.cluster(primary=Unknown("nothing listens there")), "unknown: nothing listens there"),
    ("a standby itself", h.with_server(identity=h.identity(is_in_recovery=True)), "this server is a standby"),
    ("unseen", h.stranger(receivers=Unknown("x"), databases=Unknown("x")), "whether a standby follows can't be seen"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "said"), [(facts, said) for _, facts, said in LOSES], ids=[n for n, *_ in LOSES]
)
def test_the_headline_says_what_would_be_lost(facts: ClusterFacts, said: str) -> None:
    assert said in headline_of(facts).lost


def alone(**repositories: object) -> ClusterFacts:
    return h.cluster(dict(repositories), primary=h.server(receivers=()))


def test_a_repository_counts_only_if_it_survives_and_can_be_read() -> None:
    assert headline_of(alone(far=h.repository())).lost == "the last 4 KiB of WAL, which are not in far yet"
    assert headline_of(alone(near=h.repository())).lost.endswith("the backups in near are on its own machine")
    assert "Seawall knows of no backup" in headline_of(alone(far=h.repository(backups=()))).lost
    assert "repository far can't be looked at" in headline_of(alone(far=Unknown("no answer"))).lost
    assert "what came after 2026-11-22 12:00 UTC" in headline_of(alone(far=h.repository(archived=None))).lost
    assert "what came after 2026-11-22" in headline_of(alone(far=h.repository(gaps=("x",)))).lost
    keyless = h.plan(
        ('"s3://shop-dr", keys: ["file:/etc/k", escrow]', '"s3://shop-dr", keys: ["file:/etc/k"]')
    )
    facts = h.cluster({"far": h.repository()}, primary=h.server(receivers=()), plan=keyless)
    assert headline_of(facts).lost.startswith("everything, unless a key of far survives elsewhere")


@pytest.mark.parametrize(
    ("drill", "said"),
    [
        (None, "unknown: no recovery"),
        (Unknown("no ledger"), "unknown: no recovery"),
        (h.drill(is_ok=False, rto_s=None), "unknown: the last drill, 3 d 0 h ago, failed"),
        (h.drill(), "6 m 40 s, as measured in a drill 3 d 0 h ago"),
    ],
)
def test_the_headline_says_only_measured_times(drill: object, said: str) -> None:
    assert headline_of(h.cluster(restore_drill=drill)).back.startswith(said)


def test_results_have_an_order_for_readers() -> None:
    assert list(Result) == [Result.FAIL, Result.CANNOT_TELL, Result.PASS, Result.NOT_APPLICABLE]
