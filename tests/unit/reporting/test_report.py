"""The report as a value: what counts as proven, what is told as not proven, who mends what."""

from __future__ import annotations

from datetime import date

import pytest
from msgspec.structs import replace

from seawall.evidence.model import Assertion, AssertionOutcome, Correction, SignOff
from seawall.evidence.places import place_in
from seawall.evidence.verify import KnownHead, verify_ledger
from seawall.reporting.controls import Framework, controls_of
from seawall.reporting.coverage import GapKind
from seawall.reporting.history import MomentKind
from seawall.reporting.period import parse_period
from seawall.reporting.report import Report, build_report
from tests.unit.evidence.sample_ledger import key, replaced
from tests.unit.reporting.sample import (
    DUMP,
    FAR,
    NEAR,
    QUARTER,
    at,
    drill,
    ledger,
    plan,
    quarter,
    report,
    verified,
)

RANDOM = "2026-10-17 03:12:44 UTC (random, seed 7)"


def gaps(of: Report, kind: GapKind) -> dict[str, str]:
    return {gap.subject: gap.text for gap in of.gaps if gap.kind is kind}


def test_only_drills_of_the_period_are_in_it() -> None:
    made = report()
    assert [item.number for item in made.drills] == [3, 4, 5, 7, 8, 9, 10, 12]
    assert [item.number for item in made.passed] == [3, 4, 7, 8, 12]
    assert report(period=parse_period("2026-09", QUARTER.zone)).drills[0].number == 2


def test_a_drill_at_midnight_is_in_the_period_of_the_plans_time_zone() -> None:
    new_year_in_berlin = replace(drill("2026-12-31"), ended_at=at("2026-12-31", hour=23))
    assert report([new_year_in_berlin]).drills == ()
    assert len(report([new_year_in_berlin], period=parse_period("2027-Q1", QUARTER.zone)).drills) == 1


def test_the_table_names_entries_by_source_moment_and_month() -> None:
    rows = {(row.label, row.moment): row.cells for row in report().rows}
    far = rows["main from far", MomentKind.LATEST]
    assert [(cell.passed, cell.failed) for cell in far] == [((3, 7), (5,)), ((12,), ()), ((), ())]
    assert rows["main from far", MomentKind.RANDOM][1].failed == (10,)
    dump = rows[f"crm from pg_dump file://{DUMP}", MomentKind.LATEST]
    assert (dump[1].passed, dump[1].incomplete) == ((8,), (9,))
    assert all(cell == type(cell)() for cell in rows["main from near", None])


def test_what_the_plan_names_and_nothing_proves() -> None:
    made = report()
    assert gaps(made, GapKind.REPOSITORY) == {
        "main from near": "no restore from it passed in the period; it was never tested"
    }
    assert set(gaps(made, GapKind.DATABASE)) == {"billing"}
    assert set(gaps(made, GapKind.CHECK)) == {"invoices add up", "shop answers"}
    assert gaps(made, GapKind.CLUSTER) == {} and set(gaps(made, GapKind.MOMENT)) == {"crm"}


def test_nothing_drilled_is_nothing_proven() -> None:
    made = report([drill("2026-09-28")])
    assert gaps(made, GapKind.CLUSTER) == {
        "main": "no drill of it passed in the period; none was held; one last passed on 2026-09-28 (entry 2)"
    }
    assert set(gaps(made, GapKind.REPOSITORY)) == {"main from far", "main from near"}
    assert gaps(made, GapKind.OBJECTIVE)["main"].startswith("the R")
    assert set(gaps(made, GapKind.DATABASE)) == {"shop", "billing"}
    assert made.passed == () and [row.moment for row in made.rows] == [None, None]


def test_a_failed_drill_proves_neither_cluster_nor_repository() -> None:
    made = report([drill("2026-10-05", FAR, "tables"), drill("2026-10-06", NEAR, could_not_run=["amcheck"])])
    assert set(gaps(made, GapKind.CLUSTER)) == {"main"}
    text = "no restore from it passed in the period; one was held and did not, and none before it passed"
    assert gaps(made, GapKind.REPOSITORY) == {"main from near": text, "main from far": text}


@pytest.mark.parametrize(
    ("asked", "missing"),
    [
        (["latest"], "a restore to an earlier moment"),
        ([RANDOM], "a restore to the latest moment"),
        (["2026-10-17 03:12:44 UTC"], "a restore to the latest moment"),
        (["latest", RANDOM], None),
    ],
)
def test_moments_that_were_never_restored_to(asked: list[str], missing: str | None) -> None:
    made = report([drill("2026-10-05", asked=one) for one in asked])
    found = gaps(made, GapKind.MOMENT)
    assert (missing is None and not found) or (missing is not None and found["main"].startswith(missing))


def test_databases_whose_tables_came_back() -> None:
    earlier = drill("2026-09-28", databases=["shop", "archive"])
    made = report([earlier, drill("2026-10-05", databases=["billing", "crm"])])
    last = "; its tables last came back on 2026-09-28 (entry 2)"
    assert gaps(made, GapKind.DATABASE) == {
        "archive": "no assertion about it held in a drill of the period" + last
    }
    assert set(gaps(report([earlier]), GapKind.DATABASE)) == {"shop", "billing", "archive"}


def test_objectives_that_were_not_measured() -> None:
    made = report([drill("2026-10-05", rpo_s=None)])
    assert gaps(made, GapKind.OBJECTIVE) == {"main": "the RPO was not measured in the period"}


def test_a_source_beyond_the_plan_that_is_no_longer_drilled() -> None:
    made = report([drill("2026-09-05", DUMP, tool="pg_dump", cluster=None), drill("2026-10-05")])
    assert set(gaps(made, GapKind.SOURCE)) == {f"pg_dump file://{DUMP}"}


def test_drills_under_another_plan_are_told() -> None:
    assert gaps(report([drill("2026-10-05")]), GapKind.PLAN) == {}
    assert set(gaps(report([drill("2026-10-05", plan_text="older")]), GapKind.PLAN)) == {"shop"}


def test_a_repository_is_known_by_its_place_however_it_is_written() -> None:
    made = report([drill("2026-10-05", "/var/lib/seawall/near/"), drill("2026-10-06", "s3://shop-dr/")])
    assert gaps(made, GapKind.REPOSITORY) == {} and {row.name for row in made.rows} == {"near", "far"}


def test_failures_have_owner_date_and_what_came_after() -> None:
    made = {item.drill.number: item for item in report().failures}
    assert set(made) == {5, 9, 10}
    (fix,) = made[5].fixes
    assert (fix.owner, fix.due, fix.number) == ("ada", date(2026, 10, 30), 6)
    assert made[5].repaired_by is not None and made[5].repaired_by.number == 7
    assert made[9].is_open and made[9].is_unowned
    assert not made[10].is_open and made[10].drill.reasons() == ("RTO missed",)


def test_a_failure_is_mended_by_its_own_source_alone() -> None:
    made = report([drill("2026-10-05", FAR, "tables"), drill("2026-10-06", NEAR)])
    assert [item.is_open for item in made.failures] == [True]


def test_failures_from_before_stay_until_they_are_mended() -> None:
    statements = [
        drill("2026-09-01", FAR, "tables"),
        drill("2026-09-02", NEAR, "tables"),
        drill("2026-09-03", NEAR),
    ]
    made = report(statements)
    assert [(item.drill.number, item.is_from_before) for item in made.failures] == [(2, True)]
    mended = report([*statements, drill("2026-11-03")])
    assert [item.is_open for item in mended.failures] == [False]


def test_a_later_periods_failure_is_not_told_of() -> None:
    assert report([drill("2027-01-05", FAR, "tables")]).failures == ()


def test_trends_hold_every_measurement_and_the_target() -> None:
    trends = {(trend.cluster, trend.objective): trend for trend in report().trends}
    rto = trends["main", "RTO"]
    assert rto.target_ms == 900_000 and [name for name, _ in rto.series] == ["far"]
    assert [(point.reached_ms, point.passed) for point in rto.series[0][1]] == [
        (640_000, True), (655_000, True), (702_000, False), (690_000, True), (910_000, False), (731_000, True)
    ]  # fmt: skip
    assert ("crm", "RPO") not in trends
    assert report().worst_ms("RTO") == 910_000 and report([]).worst_ms("RTO") is None


def test_sign_offs_cover_what_was_there_before_them() -> None:
    made = report()
    assert made.reviewed == (3, 4, 5, 7, 8, 9, 10, 12)
    made = report([drill("2026-10-05"), SignOff(about=2, who="ada"), drill("2026-10-06")])
    assert made.reviewed == (2,) and [said.number for said in made.sign_offs] == [3]


def test_a_damaged_ledger_proves_nothing() -> None:
    store = ledger(quarter())
    replaced(store, 4, lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    made = build_report(plan(), verified(store), QUARTER)
    assert made.passed == () and not made.ledger.is_intact and made.ledger.head is None
    assert "NOT INTACT" in made.ledger.words and made.ledger.findings
    assert set(gaps(made, GapKind.CLUSTER)) == {"main", "crm"}
    assert any(cell.unproven for row in made.rows for cell in row.cells)
    assert (made.judge("RTO"), made.judge("RPO")) == ("MISSED", "not proven"), (
        "no better than what is believable"
    )
    for control in controls_of(made):
        assert control.figures == () and "nothing in it is evidence" in control.missing[0]


def test_a_cut_off_tail_is_seen_with_the_known_head() -> None:
    store = ledger(quarter())
    head = verified(store).head
    assert head is not None
    store.delete(place_in(store).key(14))
    assert build_report(plan(), verified(store), QUARTER).ledger.is_intact, "from the inside it can't be seen"
    checked = verify_ledger(place_in(store), trusted=[key(1).public], known_head=KnownHead.parse(head))
    assert not build_report(plan(), checked, QUARTER).ledger.is_intact


def test_signatures_by_other_keys_prove_nothing() -> None:
    made = build_report(plan(), verified(ledger(quarter(), key(2)), key(1).public), QUARTER)
    assert made.passed == () and "NOT signed by a public key that was given" in made.ledger.words
    assert not made.ledger.is_proven
    for control in controls_of(made):
        assert (
            control.figures == () and control.missing[0] == "8 drills without a proven signature: not counted"
        )


def test_objectives_are_judged_by_the_worst() -> None:
    assert (report().judge("RTO"), report().judge("RPO")) == ("MISSED", "met")
    exact = report([drill("2026-10-05", rto_s=900, rpo_s=30)])
    assert (exact.judge("RTO"), exact.judge("RPO")) == ("met", "met")
    assert report([drill("2026-10-05", rpo_s=None)]).judge("RPO") == "not measured"
    assert build_report(None, verified(ledger(quarter())), QUARTER).judge("RTO") == ""


def test_without_a_key_it_says_that_signatures_are_not_proven() -> None:
    made = build_report(plan(), verified(ledger(quarter()), gives_key=False), QUARTER)
    assert len(made.passed) == 5 and not any(item.is_proven for item in made.drills)
    assert not made.ledger.is_proven and "no public key was given" in made.ledger.words


def test_without_a_plan_the_ledger_speaks_alone() -> None:
    made = build_report(None, verified(ledger(quarter())), QUARTER)
    assert made.objectives is None and {row.name for row in made.rows} == {None}
    assert {trend.target_ms for trend in made.trends} == {900_000, 30_000}
    assert gaps(made, GapKind.REPOSITORY) == {}


def test_equal_ledgers_give_equal_reports() -> None:
    checked = verified(ledger(quarter()))
    assert build_report(plan(), checked, QUARTER) == build_report(plan(), checked, QUARTER)


def test_controls_show_figures_of_the_report() -> None:
    controls = {control.reference: control for control in controls_of(report())}
    assert list(controls) == ["DORA article 12(2)", "DORA article 12(3)", "SOC 2 A1.3", "NIST SP 800-53 CP-4"]
    assert (
        "8 restore drills on 8 days: 5 passed, 2 failed, 1 incomplete"
        in controls["DORA article 12(2)"].figures
    )
    assert "longest time between drills: 7 days" in controls["DORA article 12(2)"].figures
    assert "hosts that the drills ran on: db2 (8)" in controls["DORA article 12(3)"].figures
    assert (
        "restored servers without network, archiving and replication: 8 of 8"
        in controls["DORA article 12(3)"].figures
    )
    assert "RTO measured 8 times, met in 7 of 8; worst 15 m 10 s" in controls["SOC 2 A1.3"].figures
    assert "no owner and date for the failure of entry 9" in controls["NIST SP 800-53 CP-4"].missing
    assert "drills covered by a sign-off: 8 of 8" in controls["NIST SP 800-53 CP-4"].figures


@pytest.mark.parametrize(
    ("framework", "count"), [(Framework.DORA, 2), (Framework.SOC2, 1), (Framework.NIST, 1), (None, 4)]
)
def test_one_framework_or_all(framework: Framework | None, count: int) -> None:
    assert len(controls_of(report(), framework)) == count


def test_no_drill_is_evidence_for_nothing() -> None:
    for control in controls_of(report([])):
        assert control.figures == () and "no drill of the period counts" in control.missing


def test_corrections_of_other_entries_are_not_fixes() -> None:
    about_another = Correction(about=3, owner="ada", due=date(2026, 12, 1), note="x", who="bob")
    made = report([drill("2026-10-05", FAR, "tables"), drill("2026-10-05", NEAR, "tables"), about_another])
    assert [bool(item.fixes) for item in made.failures] == [False, True]


def test_one_drill_that_holds_is_enough_for_each_thing() -> None:
    """One that failed beside it takes nothing away, and one that passed later proves nothing earlier."""
    older = drill("2026-10-07", plan_text="older", rto_s=None)
    dump = [
        drill("2026-10-05", DUMP, tool="pg_dump", cluster="crm"),
        drill("2026-10-06", DUMP, "tables", tool="pg_dump", cluster="crm"),
    ]
    made = report([drill("2026-10-05"), older, drill("2026-10-09", rpo_s=None), *dump])
    assert gaps(made, GapKind.PLAN) == {} and gaps(made, GapKind.OBJECTIVE) == {}
    assert gaps(made, GapKind.SOURCE) == {} and gaps(made, GapKind.CLUSTER) == {}
    assert gaps(report([drill("2026-10-05", rto_s=None)]), GapKind.OBJECTIVE) == {
        "main": "the RTO was not measured in the period"
    }


def test_the_newest_of_the_earlier_ones_is_named() -> None:
    made = report([drill("2026-08-28"), drill("2026-09-28"), drill("2027-01-03")])
    assert gaps(made, GapKind.CLUSTER)["main"].endswith("one last passed on 2026-09-28 (entry 3)")


def test_figures_of_other_kinds_and_of_drills_that_do_not_count_name_no_database() -> None:
    made = drill("2026-09-28", databases=["ledger"])
    other = Assertion(
        name="x", outcome=AssertionOutcome.PASSED, figures={"newest hr.public.t": "2026-09-28", "rows": 3}
    )
    told = report([replace(made, assertions=(*made.assertions, other))])
    assert set(gaps(told, GapKind.DATABASE)) == {"shop", "billing", "ledger"}
    forged = build_report(plan(), verified(ledger([made], key(2)), key(1).public), QUARTER)
    assert set(gaps(forged, GapKind.DATABASE)) == {"shop", "billing"}


def test_a_failure_that_was_mended_needs_no_owner() -> None:
    made = report([drill("2026-10-05", FAR, "tables"), drill("2026-10-06")])
    assert [(item.is_open, item.is_unowned) for item in made.failures] == [(False, False)]


def test_assertions_are_counted_as_they_ended() -> None:
    made = report([drill("2026-10-05", FAR, "tables", could_not_run=["amcheck"])])
    assert (made.drills[0].held, len(made.drills[0].evidence.assertions)) == (3, 5)
    assert made.drills[0].technical_ms == 500_000
    assert made.drills[0].reasons() == ("tables: failed (3 of 41 tables differ)", "amcheck: could not run")
