"""The sentence of a status, over the whole space of what may be known: never better than what is measured."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from math import inf

import msgspec
import pytest

from seawall.evidence.model import DrillOutcome, Forecast
from seawall.model.fact import Fact, Unknown
from seawall.model.lsn import Lsn
from seawall.plan.model import Objectives
from seawall.reporting.history import Drill
from seawall.reporting.status.decide import LossKind, Standing, Verdict, decide_site
from seawall.reporting.status.document import overall
from seawall.reporting.status.facts import ClusterFacts, LiveServer, Reach, Refuge, SiteFacts
from seawall.reporting.status.words import age, reasons, remedy, sentence, span
from tests.unit.reporting import sample

NOW = sample.at("2026-11-25", hour=10)
WRITTEN = NOW - timedelta(seconds=5.2)
SEGMENT = "000000010000000000000007"
END = Lsn(8 << 24)
GIB = 1 << 30
OBJECTIVES = Objectives(rto_s=900, rpo_s=30, detection_s=180)
DARK = Unknown("it does not answer")

SERVERS: Mapping[str, Fact[LiveServer]] = {
    "unknown": DARK,
    "behind": LiveServer(1, Lsn(END + 5000), NOW, None, {SEGMENT: WRITTEN}, 48 * GIB),
    "behind, segment recycled": LiveServer(1, Lsn(END + 5000), NOW, None, {}, 48 * GIB),
    "behind, may not look": LiveServer(1, Lsn(END + 5000), NOW, None, DARK, 48 * GIB),
    "idle": LiveServer(1, Lsn(END + 40), NOW, None, {SEGMENT: WRITTEN}, 48 * GIB),
    "settled": LiveServer(1, Lsn(END + 5000), NOW, Lsn(END), {SEGMENT: WRITTEN}, 48 * GIB),
    "settled too late": LiveServer(1, Lsn(END + 5000), NOW, Lsn(END + 1), {SEGMENT: WRITTEN}, 48 * GIB),
    "another timeline": LiveServer(2, Lsn(END + 5000), NOW, None, {SEGMENT: WRITTEN}, 48 * GIB),
    "size unknown": LiveServer(1, Lsn(END + 5000), NOW, None, {SEGMENT: WRITTEN}, DARK),
    "grown": LiveServer(1, Lsn(END + 5000), NOW, None, {SEGMENT: WRITTEN}, 480 * GIB),
}
REACHES: Mapping[str, Fact[Reach | None]] = {
    "unknown": DARK,
    "no backup": None,
    "whole": Reach("b1", NOW - timedelta(days=1), 48 * GIB, 1, END, SEGMENT),
    "hole": Reach("b1", NOW - timedelta(days=1), 48 * GIB, 1, END, SEGMENT, hole="000000010000000000000008"),
}


def drill(number: int, outcome: str = "passed", *, proven: bool = True, days: int = 3, seconds: float | None = 680,
          raw_bytes: int | None = 48 * GIB, location: str = sample.FAR) -> Drill:  # fmt: skip
    day = (NOW - timedelta(days=days)).date().isoformat()
    failed = ["tables"] if outcome == "failed" else []
    incomplete = ["amcheck"] if outcome == "incomplete" else []
    evidence = sample.drill(
        day, location, *failed, could_not_run=incomplete, rto_s=seconds, raw_bytes=raw_bytes
    )
    assert evidence.outcome == outcome
    return Drill(
        number, "k", msgspec.structs.replace(evidence, ended_at=NOW - timedelta(days=days)), proven, proven
    )


DRILLS: Mapping[str, Fact[tuple[Drill, ...]]] = {
    "ledger unknown": DARK,
    "none": (),
    "passed": (drill(2), drill(3, seconds=830)),
    "signature not proven": (drill(2, proven=False),),
    "failed": (drill(2, "failed"),),
    "failed since": (drill(2), drill(3, "failed", days=1)),
    "failed before": (drill(2, "failed", seconds=500), drill(3)),
    "unproven before": (drill(2, proven=False, seconds=300), drill(3)),
    "incomplete since": (drill(2), drill(3, "incomplete", days=1)),
    "failed since, then unproven": (drill(2), drill(3, "failed"), drill(4, proven=False)),
    "unproven failure since": (drill(2), drill(3, "failed", proven=False)),
    "only incomplete": (drill(2, "incomplete"),),
    "time unknown": (drill(2, seconds=None),),
    "size unknown": (drill(2, raw_bytes=None),),
    "smaller": (drill(2, raw_bytes=12 * GIB),),
    "over the objective": (drill(2, seconds=890, raw_bytes=40 * GIB),),
    "of another repository": (drill(2, location="s3://elsewhere"),),
}
PROVING = {
    "passed",
    "unproven before",
    "failed before",
    "incomplete since",
    "time unknown",
    "size unknown",
    "smaller",
    "over the objective",
}


def facts(
    server: Fact[LiveServer],
    reach: Fact[Reach | None],
    drills: Fact[tuple[Drill, ...]],
    *,
    has_key: bool = True,
    has_hosts: bool = True,
) -> SiteFacts:
    refuge = Refuge("far", sample.FAR, has_key, reach)
    cluster = ClusterFacts("main", server, (refuge,), drills, ("near",))
    return SiteFacts("eu-west", NOW, OBJECTIVES, (cluster,), has_hosts)


SPACE = list(itertools.product(SERVERS, REACHES, DRILLS, (True, False), (True, False)))


def each() -> Iterator[tuple[tuple[str, str, str, bool, bool], SiteFacts, Verdict]]:
    for case in SPACE:
        server, reach, drills, has_key, has_hosts = case
        made = facts(SERVERS[server], REACHES[reach], DRILLS[drills], has_key=has_key, has_hosts=has_hosts)
        yield case, made, decide_site(made)


def test_the_sentence_of_the_readme() -> None:
    verdict = decide_site(
        facts(SERVERS["behind"], REACHES["whole"], (drill(2, seconds=651), drill(3, seconds=833)))
    )
    assert sentence(verdict, NOW) == (
        "If eu-west died now: back in 11 to 14 min, losing at most 6 s; proven 3 days ago."
    )
    assert verdict.standing is Standing.PROVEN and reasons(verdict) == ()


def test_what_is_lost_over_the_whole_space() -> None:
    for (server, reach, _, has_key, _), _, verdict in each():
        if reach == "unknown":
            expected = LossKind.UNKNOWN
        elif reach == "no backup" or not has_key:
            expected = LossKind.EVERYTHING
        elif server in ("unknown", "another timeline"):
            expected = LossKind.UNKNOWN
        elif server in ("idle", "settled"):
            expected = LossKind.NOTHING
        else:
            expected = LossKind.BOUNDED
        assert verdict.loss.kind is expected, (server, reach, has_key)
        if expected is LossKind.BOUNDED:
            is_timed = server not in ("behind, segment recycled", "behind, may not look")
            assert verdict.loss.seconds == (pytest.approx(5.2) if is_timed else None)
            assert verdict.loss.byte_count == 5000


def test_what_is_proven_over_the_whole_space() -> None:
    for (_, _, drills, _, _), _, verdict in each():
        is_proven = drills in PROVING and verdict.loss.kind is not LossKind.EVERYTHING
        assert (verdict.proof.at is not None) is is_proven, drills
        said = sentence(verdict, NOW)
        assert ("; proven" in said) is is_proven, said
        assert is_proven or verdict.proof.why


def test_how_long_it_takes_over_the_whole_space() -> None:
    measured = {"passed": (680, 830), "failed before": (680, 680), "incomplete since": (680, 680),
                "unproven before": (680, 680),
                "smaller": (680, 680), "over the objective": (890, 890)}  # fmt: skip
    for (server, reach, drills, _, _), _, verdict in each():
        back = verdict.back
        can_be = reach in ("whole", "hole") and verdict.loss.kind is not LossKind.EVERYTHING
        assert back.is_known is (can_be and drills in measured), (server, reach, drills)
        if not back.is_known:
            assert back.why and re.search("back in unknown time|not back", sentence(verdict, NOW))
            continue
        assert back.low_s is not None and back.high_s is not None
        real = 480 if server == "grown" else 48
        held = {"smaller": 12, "over the objective": 40}.get(drills, 48)
        low, high = measured[drills]
        assert back.low_s == pytest.approx((low - 180) * real / held + 180)
        assert back.high_s == pytest.approx((high - 180) * real / held + 180)
        assert back.is_forecast is (real / held > 1.1)


def test_the_standing_over_the_whole_space() -> None:
    for case, made, verdict in each():
        within = (verdict.back.high_s or inf) <= 900 and (
            inf if verdict.loss.seconds is None else verdict.loss.seconds
        ) <= 30
        if verdict.standing is Standing.PROVEN:
            assert within and verdict.proof.at is not None and made.has_hosts_elsewhere, case
        elif verdict.standing is Standing.MISSED:
            assert not within, case
        else:
            assert not within or verdict.proof.at is None or not made.has_hosts_elsewhere, case
    found = {verdict.standing for _, _, verdict in each()}
    assert found == set(Standing)


def test_no_figure_is_better_than_what_is_known() -> None:
    """Read the sentence as a person does, and compare what it says with the facts."""
    units = {"s": 1, "min": 60, "h": 3600, "days": 86400}
    for case, _, verdict in each():
        said = sentence(verdict, NOW)
        if match := re.search(r"back in (?:(\d+) to )?(\d+) (s|min|h|days)", said):
            assert int(match[2]) * units[match[3]] >= (verdict.back.high_s or inf), case
            assert int(match[1] or match[2]) * units[match[3]] >= (verdict.back.low_s or inf), case
        if match := re.search(r"losing at most (\d+) (s|min|h|days)", said):
            assert int(match[1]) * units[match[2]] >= (NOW - WRITTEN).total_seconds(), case
        assert ("a forecast" in said) is (
            verdict.back.is_forecast and verdict.loss.kind is not LossKind.EVERYTHING
        )
        assert ("once there is a machine" in said) is (verdict.lacks_host and verdict.back.is_known)


def badness(verdict: Verdict) -> tuple[float, float, float]:
    """How bad it looks: loss, time, proof."""
    loss = {LossKind.NOTHING: 0.0, LossKind.BOUNDED: 1.0, LossKind.UNKNOWN: 2.0, LossKind.EVERYTHING: 3.0}
    seconds = inf if verdict.loss.seconds is None else verdict.loss.seconds
    return (
        loss[verdict.loss.kind] + min(seconds, 1e6) / 1e7,
        verdict.back.high_s or inf,
        float(verdict.proof.at is None),
    )


def test_knowing_less_never_looks_better() -> None:
    for (server, reach, drills, has_key, _), made, verdict in each():
        (cluster,) = made.clusters
        (refuge,) = cluster.refuges
        darker = [
            replace(cluster, server=DARK),
            replace(cluster, drills=DARK),
            replace(cluster, drills=() if isinstance(cluster.drills, Unknown) else cluster.drills[:0]),
        ]
        if has_key and reach != "no backup":
            darker.append(replace(cluster, refuges=(replace(refuge, reach=DARK),)))
        for dark in darker:
            other = decide_site(replace(made, clusters=(dark,)))
            assert other.standing is not Standing.PROVEN
            better = [new < old for new, old in zip(badness(other), badness(verdict), strict=True)]
            # With the server dark its growth is, too; the backup's size is then all that is known.
            if dark.server is DARK and server == "grown":
                better[1] = False
            assert better == [False] * 3, (server, reach, drills, dark)


def test_a_repository_with_neither_backup_nor_key_is_told() -> None:
    verdict = decide_site(facts(SERVERS["behind"], None, DRILLS["passed"]))
    assert sentence(verdict, NOW) == (
        "If eu-west died now: not back, everything is lost: far is declared, and holds no backup."
    )
    verdict = decide_site(facts(SERVERS["behind"], REACHES["whole"], DRILLS["passed"], has_key=False))
    assert "names no key of it that is kept elsewhere" in sentence(verdict, NOW)
    assert verdict.standing is Standing.MISSED


def test_a_site_that_keeps_all_its_backups() -> None:
    cluster = ClusterFacts("main", SERVERS["behind"], (), (), ("near",))
    said = sentence(decide_site(SiteFacts("eu-west", NOW, OBJECTIVES, (cluster,))), NOW)
    assert (
        said
        == "If eu-west died now: not back, everything is lost: its only repository is at the same site (near)."
    )


def two(first: Refuge, second: Refuge, drills: Sequence[Drill]) -> Verdict:
    verdicts = [
        decide_site(
            SiteFacts(
                "eu-west", NOW, OBJECTIVES, (ClusterFacts("main", SERVERS["behind"], order, tuple(drills)),)
            )
        )
        for order in ((first, second), (second, first))
    ]
    assert verdicts[0] == verdicts[1], "the plan's order decides nothing"
    return verdicts[0]


def test_of_two_repositories_the_proven_one_is_taken() -> None:
    behind = replace(Reach("b", NOW, GIB, 1, END, SEGMENT), end=Lsn(END - (16 << 20)))
    proven, fresh = Refuge("far", sample.FAR, True, behind), Refuge("new", "s3://new", True, REACHES["whole"])
    assert two(proven, fresh, [drill(2)]).ways[0].refuge == "far"
    assert two(proven, fresh, []).ways[0].refuge == "new"
    assert two(proven, fresh, [drill(2), drill(3, "failed")]).ways[0].refuge == "new"
    assert two(proven, fresh, [drill(2), drill(3, "failed")]).ways[0].warnings == (
        "the last drill from far failed (entry 3)",
    ), "and what failed is not hidden"
    as_good = replace(proven, reach=REACHES["whole"])
    assert two(as_good, fresh, [drill(2), drill(3, "failed")]).ways[0].proof.is_disproved
    dead = replace(proven, reach=DARK)
    assert two(dead, fresh, [drill(2)]).ways[0].refuge == "new", "what does not answer brings nothing back"
    assert two(replace(proven, has_key_elsewhere=False), fresh, [drill(2)]).ways[0].refuge == "new"


def test_clusters_come_back_one_after_the_other() -> None:
    clusters = tuple(
        ClusterFacts(
            name,
            SERVERS["behind"],
            (Refuge("far", sample.FAR, True, REACHES["whole"]),),
            (drill(number, days=days),),
        )
        for name, number, days in (("main", 2, 3), ("billing", 3, 9))
    )
    verdict = decide_site(SiteFacts("eu-west", NOW, OBJECTIVES, clusters))
    assert verdict.back.high_s == pytest.approx(180 + 2 * 500), "detection counts once"
    assert verdict.proof.at == NOW - timedelta(days=9), "the oldest proof is the service's"
    assert verdict.standing is Standing.MISSED
    dark = (clusters[0], replace(clusters[1], drills=()))
    said = sentence(decide_site(SiteFacts("eu-west", NOW, OBJECTIVES, dark)), NOW)
    assert (
        "back in unknown time" in said and "not proven: billing: a restore from far was never drilled" in said
    )
    gone = (clusters[0], replace(clusters[1], refuges=(), at_the_site=("near",)))
    assert "everything is lost: billing: its only" in sentence(
        decide_site(SiteFacts("eu-west", NOW, OBJECTIVES, gone)), NOW
    )


def both(first: ClusterFacts, second: ClusterFacts) -> Verdict:
    verdict, turned = (
        decide_site(SiteFacts("eu-west", NOW, OBJECTIVES, pair))
        for pair in ((first, second), (second, first))
    )
    assert (verdict.loss, verdict.back, verdict.standing) == (turned.loss, turned.back, turned.standing)
    return verdict


def test_the_worst_of_all_clusters_is_the_services() -> None:
    near = Refuge("far", sample.FAR, True, REACHES["whole"])
    old = LiveServer(1, Lsn(END + 7000), NOW, None, {SEGMENT: NOW - timedelta(seconds=20)}, 48 * GIB)
    main = ClusterFacts("main", SERVERS["behind"], (near,), (drill(2, seconds=200),))
    billing = ClusterFacts("billing", old, (near,), (drill(3, seconds=200),))
    verdict = both(main, billing)
    assert verdict.loss.seconds == pytest.approx(20) and verdict.loss.byte_count == 12000
    assert verdict.standing is Standing.PROVEN and not verdict.back.is_forecast
    assert both(main, replace(billing, server=SERVERS["behind, segment recycled"])).loss.seconds is None
    assert both(main, replace(billing, drills=(drill(3, seconds=190, raw_bytes=12 * GIB),))).back.is_forecast
    doubted = replace(billing, refuges=(replace(near, key_doubt="no slot"),))
    assert both(main, doubted).standing is Standing.UNPROVEN
    assert both(main, replace(billing, server=SERVERS["idle"])).loss.seconds == pytest.approx(5.2)


def test_what_just_meets_an_objective_meets_it() -> None:
    late = LiveServer(1, Lsn(END + 5000), NOW, None, {SEGMENT: NOW - timedelta(seconds=30)}, 48 * GIB)
    assert decide_site(facts(late, REACHES["whole"], (drill(2, seconds=900),))).standing is Standing.PROVEN
    for tighter in (replace(OBJECTIVES, rto_s=899), replace(OBJECTIVES, rpo_s=29)):
        made = replace(facts(late, REACHES["whole"], (drill(2, seconds=900),)), objectives=tighter)
        assert decide_site(made).standing is Standing.MISSED


def test_where_only_the_age_is_unknown_bytes_are_told() -> None:
    verdict = decide_site(facts(SERVERS["behind, segment recycled"], REACHES["whole"], DRILLS["passed"]))
    assert ", losing at most 4.88 KiB of WAL, of unknown age; " in sentence(verdict, NOW)


def test_only_the_last_drills_make_the_range() -> None:
    drills = (drill(1, seconds=890), *(drill(number, seconds=600 + number) for number in range(2, 7)))
    verdict = decide_site(facts(SERVERS["behind"], REACHES["whole"], drills))
    assert (verdict.back.low_s, verdict.back.high_s) == (602, 606) and verdict.back.drills == (2, 3, 4, 5, 6)


def test_a_drills_own_forecast_counts_where_it_is_worse() -> None:
    one = drill(2, raw_bytes=24 * GIB)
    for foretold_s, expected in ((5000, 5000), (700, 1180)):
        forecast = Forecast(raw_bytes=48 * GIB, rto_ms=foretold_s * 1000, basis="rates")
        known = replace(one, evidence=msgspec.structs.replace(one.evidence, forecast=forecast))
        verdict = decide_site(facts(SERVERS["behind"], REACHES["whole"], (known,)))
        assert verdict.back.high_s == pytest.approx(expected)


def test_what_is_declared_and_not_active_is_told() -> None:
    made = replace(facts(SERVERS["behind"], REACHES["whole"], DRILLS["passed"]), declared=("traffic.dns",))
    verdict = decide_site(made)
    assert reasons(verdict) == ("DECLARED, NOT ACTIVE, and not counted: traffic.dns",)
    assert sentence(verdict, NOW) == sentence(decide_site(replace(made, declared=())), NOW), (
        "it counts for nothing"
    )


def test_a_key_in_escrow_that_may_not_exist_is_doubted() -> None:
    made = facts(SERVERS["behind"], REACHES["whole"], DRILLS["passed"])
    (cluster,) = made.clusters
    (refuge,) = cluster.refuges
    doubted = replace(cluster, refuges=(replace(refuge, key_doubt="no slot for it"),))
    verdict = decide_site(replace(made, clusters=(doubted,)))
    assert verdict.standing is Standing.UNPROVEN and reasons(verdict) == ("in doubt: no slot for it",)


@pytest.mark.parametrize(
    ("drills", "expected"),
    [
        ("none", "seawall drill restore --cluster main --repository far"),
        ("failed since", "seawall drill restore --cluster main --repository far"),
        ("signature not proven", "--public-key FILE"),
        ("passed", ""),
    ],
)
def test_the_next_thing_to_type(drills: str, expected: str) -> None:
    verdict = decide_site(facts(SERVERS["behind"], REACHES["whole"], DRILLS[drills]))
    assert remedy(verdict).startswith(expected) and bool(remedy(verdict)) is bool(expected)
    assert remedy(decide_site(facts(SERVERS["behind"], None, DRILLS[drills]))) == "seawall backup"


def test_reasons_say_what_is_unknown() -> None:
    hole = decide_site(facts(SERVERS["behind"], REACHES["hole"], DRILLS["smaller"], has_hosts=False))
    assert [text.split(":")[0] for text in reasons(hole)] == [
        "loss larger",
        "forecast, not measured",
        "the plan names no host outside eu-west to come back on",
    ]
    dark = decide_site(facts(DARK, REACHES["whole"], DRILLS["time unknown"]))
    assert reasons(dark) == (
        "time unknown: the drill of entry 2 does not say how long it took",
        "loss unknown: how far the server got is unknown: it does not answer",
    )


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(38.2, 40.1, "39 to 41 s"), (5.2, 5.2, "6 s"), (121, 121, "3 min"), (640, 810, "11 to 14 min"),
     (641, 659, "11 min"), (7201, 7201, "3 h"), (3600, 90000, "1 to 25 h"), (90000, 400000, "2 to 5 days")],
)  # fmt: skip
def test_spans(low: float, high: float, expected: str) -> None:
    assert span(low, high) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-5, "1 minute"), (0, "1 minute"), (61, "2 minutes"), (5400, "90 minutes"), (5401, "2 hours"),
     (129600, "36 hours"), (129601, "2 days"), (259200, "3 days"), (259201, "4 days")],
)  # fmt: skip
def test_ages(seconds: float, expected: str) -> None:
    assert age(seconds) == expected


def test_the_worst_site_decides_the_exit_status() -> None:
    made = facts(SERVERS["behind"], REACHES["whole"], DRILLS["passed"])
    good, unproven = decide_site(made), decide_site(facts(DARK, REACHES["whole"], ()))
    missed = decide_site(facts(SERVERS["behind"], None, ()))
    assert [int(overall(each)) for each in ([good], [good, unproven], [unproven, missed, good])] == [0, 4, 3]


def test_the_space_is_whole() -> None:
    outcomes = {
        drill.evidence.outcome
        for found in DRILLS.values()
        if not isinstance(found, Unknown)
        for drill in found
    }
    assert outcomes == set(DrillOutcome) and len(SPACE) > 2000
    assert isinstance(NOW, datetime)
