"""A plan, and a ledger of a quarter: drills of two repositories and a dump, one failed and mended, one open."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from seawall.evidence.keys import PublicKey, SigningKey
from seawall.evidence.ledger import Ledger
from seawall.evidence.model import (
    Assertion,
    AssertionOutcome,
    Correction,
    DrillEvidence,
    Note,
    Objective,
    RecoveryPoint,
    SignOff,
    Source,
    Statement,
    judge,
    plan_hash,
)
from seawall.evidence.places import place_in
from seawall.evidence.verify import LedgerReport, verify_ledger
from seawall.plan.load import diagnose_bytes
from seawall.plan.model import Plan
from seawall.reporting.period import Period, parse_period
from seawall.reporting.report import Report, build_report
from seawall.storage.memory import MemoryStore
from seawall.storage.protocol import ObjectStore
from tests.support.manual_clock import ManualClock
from tests.unit.evidence.sample_ledger import key

PLAN = """\
version: 1
service: shop
timezone: Europe/Berlin
state: /var/lib/seawall/state
objectives: {rto: 15m, rpo: 30s, detection: 3m}
sites:
  eu-west: {hosts: {db1: {}}}
  eu-central: {hosts: {db2: {}}}
repositories:
  near: {site: eu-west, host: db1, url: file:///var/lib/seawall/near, keys: [file:/etc/seawall/shop.key, escrow]}
  far: {site: eu-central, url: s3://shop-dr, region: eu-central-1, keys: [file:/etc/seawall/shop.key, escrow]}
clusters:
  main:
    primary: {host: db1, dsn: postgresql:///postgres, data: /var/lib/postgresql/16/main}
checks:
  - {name: orders are fresh, database: shop, sql: "select true"}
  - {name: invoices add up, database: billing, sql: "select true"}
  - {name: shop answers, http: "https://shop.example/healthz", when: recovery}
"""
FAR, NEAR, DUMP = "s3://shop-dr", "file:///var/lib/seawall/near", "/srv/dumps/crm.dump"
QUARTER = parse_period("2026-Q4", ZoneInfo("Europe/Berlin"))


def plan(text: str = PLAN) -> Plan:
    """Return a plan's value; the test fails if it has errors."""
    made, diagnostics = diagnose_bytes(text.encode(), Path("/etc/seawall/plan.yaml"))
    assert made is not None, [str(item) for item in diagnostics]
    return made


def at(day: str, hour: int = 5) -> datetime:
    return datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC) + timedelta(hours=hour)


def drill(
    day: str,
    location: str = FAR,
    *failed: str,
    asked: str = "latest",
    rto_s: float | None = 680,
    rpo_s: float | None = 5.2,
    could_not_run: Sequence[str] = (),
    cluster: str | None = "main",
    tool: str = "seawall",
    raw_bytes: int | None = 52_000_000_000,
    plan_text: str | None = PLAN,
    databases: Sequence[str] = (),
) -> DrillEvidence:
    """Return a drill that ended on a day; it passes unless something failed, and its outcome is what ``judge`` says."""
    assertions = (
        Assertion(name="restored and started", outcome=AssertionOutcome.PASSED, elapsed_ms=2100),
        Assertion(name="isolation", outcome=AssertionOutcome.PASSED, elapsed_ms=9),
        Assertion(name="check: orders are fresh", outcome=AssertionOutcome.PASSED, elapsed_ms=12),
        *(
            Assertion(
                name="rows", outcome=AssertionOutcome.PASSED, figures={f"rows {name}.public.orders": 12}
            )
            for name in databases
        ),
        *(
            Assertion(name=name, outcome=AssertionOutcome.FAILED, detail="3 of 41 tables differ")
            for name in failed
        ),
        *(Assertion(name=name, outcome=AssertionOutcome.COULD_NOT_RUN) for name in could_not_run),
    )
    rto = Objective(
        target_ms=900_000, reached_ms=None if rto_s is None else round(rto_s * 1000), detection_ms=180_000
    )
    rpo = Objective(target_ms=30_000, reached_ms=None if rpo_s is None else round(rpo_s * 1000))
    return DrillEvidence(
        drill=f"{day}-{tool}",
        scenario="restore of cluster main to its latest moment, beside the living",
        source=Source(
            tool=tool,
            location=location,
            cluster=cluster,
            backup="20261004T020000Z-3fa9c1" if tool == "seawall" else None,
            raw_bytes=raw_bytes,
        ),
        outcome=judge(assertions, rto, rpo),
        started_at=at(day) - timedelta(minutes=9),
        ended_at=at(day),
        recovery_point=RecoveryPoint(
            asked=asked, at=at(day) - timedelta(minutes=10), lsn="16/B374D848", timeline=1
        ),
        rto=rto,
        rpo=rpo,
        assertions=assertions,
        plan_sha256=None if plan_text is None else plan_hash(plan_text),
        who="ada",
        host="db2",
        seawall_version="0.1.0",
    )


def quarter() -> list[Statement]:
    """Return what happened: entries 2 and up of the ledger."""
    random = "2026-10-17 03:12:44 UTC (random, seed 7)"
    return [
        drill("2026-09-28", rto_s=601),
        drill("2026-10-05", rto_s=640, rpo_s=4.1),
        drill("2026-10-12", rto_s=655, rpo_s=4.8, asked=random),
        drill("2026-10-19", FAR, "row counts are those of the backup", rto_s=702),
        Correction(
            about=5, owner="ada", due=date(2026, 10, 30), note="archive the WAL of both timelines", who="bob"
        ),
        drill("2026-10-26", rto_s=690, rpo_s=6.0),
        drill("2026-11-02", DUMP, cluster="crm", tool="pg_dump", rto_s=410, rpo_s=None),
        drill(
            "2026-11-09",
            DUMP,
            could_not_run=["amcheck"],
            cluster="crm",
            tool="pg_dump",
            rto_s=395,
            rpo_s=None,
        ),
        drill("2026-11-16", rto_s=910, rpo_s=5.0, asked=random),
        Correction(
            about=10, owner="ben", due=date(2026, 12, 15), note="faster disks at eu-central", who="ada"
        ),
        drill("2026-11-23", rto_s=731, rpo_s=5.2),
        SignOff(about=12, text="seen with the operations team", who="Ada L., head of operations"),
        Note(text="the lawyers asked for a copy", about=5, who="bob"),
    ]


def ledger(statements: Sequence[Statement], signer: SigningKey | None = None) -> ObjectStore:
    """Return a store with a ledger of ``statements``; it is signed by key 1."""
    store = MemoryStore()
    made = Ledger(place_in(store), clock=ManualClock())
    made.prepare(signer or key(1))
    for statement in statements:
        made.append(statement, signer or key(1))
    return store


def verified(store: ObjectStore, *trusted: PublicKey, gives_key: bool = True) -> LedgerReport:
    return verify_ledger(place_in(store), trusted=trusted or ([key(1).public] if gives_key else []))


def report(
    statements: Sequence[Statement] | None = None, *, of: Plan | None = None, period: Period = QUARTER
) -> Report:
    """Return the report of a ledger signed by a key that the reader trusts, under the plan unless told."""
    return build_report(
        of or plan(), verified(ledger(quarter() if statements is None else statements)), period
    )
