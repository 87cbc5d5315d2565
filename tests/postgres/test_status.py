"""``seawall status`` of a real server and its repositories: what is said follows what is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from seawall.app import App
from seawall.evidence.model import DrillEvidence
from seawall.model.clock import SystemClock
from seawall.model.fact import Unknown
from seawall.postgres.health.inquiry import Inquiry
from seawall.postgres.programs import ServerPrograms
from seawall.reporting.status.facts import LiveServer
from seawall.reporting.status.observe import observe_server
from tests.support.audits import set_and_reload
from tests.support.recovery import Protected, protected, seawall, wait_until
from tests.support.servers import TestCluster
from tests.support.standbys import make_standby
from tests.unit.cli.test_evidence import assert_golden
from tests.unit.reporting import sample

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def shop(one_pg_programs: ServerPrograms) -> Iterator[Protected]:
    """A server whose two repositories are at another site, with a key in escrow."""
    with protected(one_pg_programs, settings={"archive_timeout": "0"}, repositories=("near", "far")) as found:
        text = found.plan.read_text().replace(
            f'"file:{found.folder / "key"}"]', f'"file:{found.folder / "key"}", escrow]'
        )
        found.plan.write_text(text)
        for name in found.repositories:
            found.run("key", "add", name, "--recovery-code", "--label", "escrow").succeeded()
        found.cluster.sql("CREATE TABLE orders (n int)")
        yield found


def status(plan: Path, expected: int) -> Any:
    told = seawall("status", "--plan", plan, "--json")
    assert told.status == expected, told.out + told.err
    assert_golden("status", told.document)
    (site,) = told.document["sites"]
    return site


def changed(shop: Protected, *changes: tuple[str, str]) -> Path:
    text = shop.plan.read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    plan = shop.folder / "changed.yaml"
    plan.write_text(text)
    return plan


def drill(
    shop: Protected, ended_at: datetime, *failed: str, rto_s: float = 400, repository: str = "far"
) -> DrillEvidence:
    from msgspec.structs import replace

    made = sample.drill(
        "2026-11-25", f"file://{shop.folder / repository}", *failed, rto_s=rto_s, raw_bytes=1 << 40
    )
    return replace(made, started_at=ended_at - timedelta(seconds=rto_s), ended_at=ended_at)


def test_from_nothing_to_proven(shop: Protected) -> None:
    """The order of a real day: declared, backed up, archived, drilled, failed, drilled again."""
    site = status(shop.plan, 3)
    assert re.search(
        r"not back, everything is lost: (near|far) is declared, and holds no backup", site["sentence"]
    )
    shop.backup()
    shop.archive_now()
    shop.cluster.sql("INSERT INTO orders SELECT generate_series(1, 1000)")
    site = status(shop.plan, 4)
    assert "back in unknown time, losing at most" in site["sentence"]
    assert "was never drilled" in site["sentence"]
    app = App.load(shop.plan)
    ledger, key = app.evidence_ledger(), app.evidence_key()
    ledger.append(drill(shop, datetime.now(UTC) - timedelta(days=2, hours=20)), key)
    site = status(shop.plan, 0)
    pattern = r"If west died now: back in 7 min, losing at most \d+ s; proven 3 days ago\."
    assert re.fullmatch(pattern, site["sentence"]), site["sentence"]
    assert site["clusters"][0]["repository"] == "far"
    ledger.append(drill(shop, datetime.now(UTC) - timedelta(hours=1), "tables"), key)
    site = status(shop.plan, 4)
    assert "not proven: the last drill from far failed (entry 3)" in site["sentence"]
    ledger.append(drill(shop, datetime.now(UTC) - timedelta(minutes=2), rto_s=1000 - 101), key)
    assert "back in 7 to 15 min" in status(shop.plan, 0)["sentence"]


def test_what_was_written_since_the_last_archived_segment_is_at_risk(
    shop: Protected,
) -> None:
    shop.archive_now()
    began = datetime.now(UTC)
    shop.cluster.sql("INSERT INTO orders VALUES (1)")
    wait_until(lambda: (datetime.now(UTC) - began).total_seconds() > 2, "two seconds")
    loss = status(shop.plan, 0)["loss"]
    assert loss["kind"] == "bounded" and loss["at_most_s"] >= 2 and loss["wal_bytes"] > 0


def test_wal_of_an_idle_server_is_no_loss(shop: Protected) -> None:
    """WAL beyond the archive that no transaction wrote: positions differ, and nothing would be lost."""
    shop.cluster.sql("CHECKPOINT")
    name = str(shop.cluster.value("SELECT pg_walfile_name(pg_current_wal_lsn())"))
    shop.cluster.sql("SELECT pg_switch_wal()")
    shop.wait_for_wal(name)
    position = "SELECT pg_current_wal_insert_lsn() - '0/0'"
    before = shop.cluster.value(position)
    shop.cluster.sql("SELECT pg_logical_emit_message(false, 'seawall-test', 'no transaction')")
    assert shop.cluster.value(position) > before
    loss = status(shop.plan, 0)["loss"]
    assert loss["kind"] == "nothing", "the checkpoint is archived, and no transaction ended since"
    shop.cluster.sql("INSERT INTO orders VALUES (1)")
    assert status(shop.plan, 0)["loss"]["kind"] == "bounded"


def test_a_transaction_that_was_open_at_the_checkpoint_is_a_loss(shop: Protected) -> None:
    """It ends after the archived WAL, though its number was given before."""
    from seawall.postgres.session import connect

    with connect(shop.cluster.url(), autocommit=False) as session:
        session.execute("INSERT INTO public.orders VALUES (1)")
        shop.cluster.sql("CHECKPOINT")
        shop.archive_now()
        session.execute("COMMIT")
    assert status(shop.plan, 0)["loss"]["kind"] == "bounded"


def test_wal_that_is_thrown_away_is_seen(shop: Protected) -> None:
    set_and_reload(shop.cluster, archive_command="true")
    try:
        name = str(shop.cluster.value("SELECT pg_walfile_name(pg_current_wal_lsn())"))
        shop.cluster.sql("INSERT INTO orders VALUES (1)")
        shop.cluster.sql("SELECT pg_switch_wal()")
        archived = "SELECT last_archived_wal FROM pg_stat_archiver"
        wait_until(lambda: shop.cluster.value(archived) == name, name)
        assert status(shop.plan, 0)["loss"]["wal_bytes"] >= 16 << 20
    finally:
        set_and_reload(shop.cluster, archive_command=None)
    shop.archive_now()
    site = status(shop.plan, 0)
    assert site["loss"]["wal_bytes"] >= 16 << 20 and f"WAL segment {name} is missing" in site["loss"]["why"]
    shop.backup()
    assert status(shop.plan, 0)["loss"]["why"] is None


def test_a_repository_that_went_away(shop: Protected) -> None:
    away = (shop.folder / "far").rename(shop.folder / "unmounted")
    try:
        site = status(shop.plan, 4)
    finally:
        away.rename(shop.folder / "far")
    assert site["clusters"][0]["repository"] == "near" and "proven" in site["sentence"]


def test_repositories_at_the_same_site_count_for_nothing(shop: Protected) -> None:
    plan = changed(shop, ("site: central, host: db2", "site: west, host: db1"))
    assert "its only repository is at the same site (near and far)" in status(plan, 3)["sentence"]


def test_keys_that_are_lost_with_the_site(shop: Protected) -> None:
    plan = changed(shop, (", escrow]", "]"))
    assert "names no key of it that is kept elsewhere" in status(plan, 3)["sentence"]


def test_an_escrow_that_was_never_made(shop: Protected) -> None:
    aside = {}
    for name in ("near", "far"):
        made = next(
            slot for slot in (shop.folder / name / "keys").iterdir() if '"escrow"' in slot.read_text()
        )
        aside[made.rename(shop.folder / f"{name}-slot")] = made
    try:
        site = status(shop.plan, 4)
    finally:
        for moved, place in aside.items():
            moved.rename(place)
    assert any("kept in escrow, and far has no slot for one" in text for text in site["reasons"])


def test_no_machine_elsewhere(shop: Protected) -> None:
    plan = changed(
        shop,
        ("central: {hosts: {db2: {}}}", "central: {hosts: {}}"),
        ("central, host: db2", "west, host: db1"),
    )
    plan.write_text(
        plan.read_text().replace("near: {site: west, host: db1", "near: {site: west, host: db1", 1)
    )
    assert status(plan, 3)["has_host_elsewhere"] is False


def test_a_signature_that_nobody_here_can_prove(shop: Protected) -> None:
    plan = changed(shop, (f"state: {shop.folder / 'state'}", f"state: {shop.folder / 'other-state'}"))
    site = status(plan, 4)
    assert (
        "not proven: the drill of entry 4 passed, and no public key that is known here proves its signature"
        in site["sentence"]
    )
    pem = shop.folder / "db2.pem"
    pem.write_text(shop.run("evidence", "keys", "show").succeeded().out)
    told = seawall("status", "--plan", plan, "--public-key", pem).succeeded()
    assert "proven" in told.out and "not proven" not in told.out
    assert not (shop.folder / "other-state").exists(), "a reader makes no key"


def test_a_ledger_that_was_tampered_with_proves_nothing(shop: Protected) -> None:
    entry = shop.folder / "near" / "evidence" / "main" / "000003.json"
    aside = entry.rename(shop.folder / "aside.json")
    try:
        site = status(shop.plan, 4)
    finally:
        aside.rename(entry)
    assert "not proven: the ledger of drills: it is not as it was written" in site["sentence"]


def test_what_the_plan_declares_and_nothing_does(shop: Protected) -> None:
    plan = changed(shop, ("wal: {archive_timeout: 1m}", "wal: {archive_timeout: 1m, stream: 2s}"))
    site = status(plan, 0)
    assert site["declared_not_active"] == ["clusters.main.wal.stream"]
    assert any(text.startswith("DECLARED, NOT ACTIVE") for text in site["reasons"])


def test_a_server_that_is_dead_already(shop: Protected) -> None:
    shop.cluster.stop()
    try:
        site = status(shop.plan, 4)
        assert "losing an unknown amount; proven" in site["sentence"]
        told = seawall("status", "--plan", shop.plan)
        assert all(len(line) <= 80 for line in told.out.splitlines()) and "loss unknown: how far" in told.out
    finally:
        shop.cluster.start()


def test_every_major_tells_where_it_stands(server: TestCluster) -> None:
    """Its position, when its segments were written, how large it is; and that nothing ended since a checkpoint."""
    clock = SystemClock()
    server.sql("CREATE TABLE t (n int)")
    server.sql("CHECKPOINT")
    idle = observe_server(server.url(), Inquiry(clock, 30))
    assert isinstance(idle, LiveServer) and idle.settled_at is not None and idle.settled_at <= idle.position
    assert not isinstance(idle.written_at, Unknown) and not isinstance(idle.size_bytes, Unknown)
    assert idle.size_bytes > 1 << 20
    name = str(server.value("SELECT pg_walfile_name(pg_current_wal_lsn())"))
    assert abs((idle.now - idle.written_at[name]).total_seconds()) < 60
    server.sql("INSERT INTO t VALUES (1)")
    busy = observe_server(server.url(), Inquiry(clock, 30))
    assert isinstance(busy, LiveServer) and busy.settled_at is None and busy.position > idle.position


def test_a_standby_is_not_taken_for_the_primary(one_server: TestCluster) -> None:
    standby = make_standby(one_server)
    try:
        found = observe_server(standby.url(), Inquiry(SystemClock(), 30))
    finally:
        standby.destroy()
    assert isinstance(found, Unknown) and "is a standby" in found.reason
