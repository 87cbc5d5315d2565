"""Who starts a restored server, and who must not: decided by the target, before a byte is copied."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from seawall.postgres.errors import OwnerForbids
from seawall.postgres.server.owner import DirectoryClaim, HostSignals, OwnerKind, decide_owner
from seawall.restore.beside import SPEC_NAME, work_directory
from seawall.restore.errors import TargetNotReady
from seawall.restore.serving import Serving, notes_on, observe_serving, refuse_start

DATA = Path("/srv/pg/data")


def serving(*kinds: OwnerKind, has_systemd: bool = False, cluster: tuple[str, str] | None = None) -> Serving:
    claims = tuple(
        DirectoryClaim(kind, "/etc/it", "pg.service" if kind is OwnerKind.SYSTEMD else "") for kind in kinds
    )
    signals = HostSignals(DATA, claims=claims, has_systemd=has_systemd, debian_cluster=cluster)
    return Serving(decide_owner(None, signals))


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        (OwnerKind.PATRONI, "patronictl remove"),
        (OwnerKind.REPMGR, "repmgr primary register --force"),
        (OwnerKind.PG_AUTO_FAILOVER, "pg_autoctl create postgres"),
        (OwnerKind.CLOUDNATIVE_PG, "Cluster"),
    ],
)
def test_what_promotes_by_itself_is_never_started_behind_its_back(kind: OwnerKind, remedy: str) -> None:
    # systemd and Debian may run the server below it: that changes nothing.
    found = serving(kind, OwnerKind.SYSTEMD, has_systemd=True, cluster=("15", "main"))
    with pytest.raises(OwnerForbids) as caught:
        refuse_start(found, DATA)
    assert "/etc/it names this data directory" in caught.value.message and remedy in caught.value.hint
    assert found.next_command(DATA) == ""
    (note,) = notes_on(found, DATA, [], starts=False)
    assert "don't start it" in note and remedy in note


@pytest.mark.parametrize(
    ("found", "command"),
    [
        (serving(OwnerKind.SYSTEMD, has_systemd=True), "systemctl start pg.service"),
        (serving(cluster=("15", "main"), has_systemd=True), "systemctl start postgresql@15-main.service"),
    ],
)
def test_a_unit_is_started_by_systemd_and_by_root_alone(found: Serving, command: str) -> None:
    assert found.next_command(DATA) == command
    if os.geteuid() == 0:
        refuse_start(found, DATA)
        return
    with pytest.raises(OwnerForbids) as caught:
        refuse_start(found, DATA)
    assert f"sudo {command}" in caught.value.hint


def test_without_systemd_debians_own_program_starts_a_cluster() -> None:
    found = serving(cluster=("15", "main"))
    refuse_start(found, DATA)
    assert found.next_command(DATA) == "pg_ctlcluster 15 main start" and not found.is_nobodys


def test_nobodys_directory_is_seawalls_to_start(tmp_path: Path) -> None:
    found = observe_serving(tmp_path / "it's", major=15)
    refuse_start(found, tmp_path)
    assert (found.name, found.is_nobodys) == ("nobody", True)
    assert found.next_command(Path("/x/a b")) == "pg_ctl start -D '/x/a b'"
    assert found.environment() == dict(os.environ)
    assert notes_on(found, tmp_path, [], starts=False) == []
    (note,) = notes_on(found, tmp_path, [], starts=True)
    assert "no service manager" in note


def test_what_patroni_left_in_the_source_owns_no_copy(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "patroni.dynamic.json").write_text("{}")
    assert observe_serving(data, major=15).owner.kind is OwnerKind.PATRONI
    work_directory(data).mkdir()
    (work_directory(data) / SPEC_NAME).write_text("{}")
    assert observe_serving(data, major=15).is_nobodys, "a restore put it there"


def test_a_debian_cluster_is_looked_up_where_pg_ctlcluster_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PG_CLUSTER_CONF_ROOT", str(tmp_path / "etc"))
    folder = tmp_path / "etc" / "15" / "shop"
    folder.mkdir(parents=True)
    (folder / "postgresql.conf").write_text(f"data_directory = '{tmp_path}/data'\n")
    (folder / "environment").write_text("# comment\nLANG = 'de_DE.UTF-8'\nKEY='it''s'\nBARE = word # x\n")
    found = observe_serving(tmp_path / "data", major=15)
    assert found.owner.cluster == ("15", "shop") and found.config_file == folder / "postgresql.conf"
    assert found.environment() == {"LANG": "de_DE.UTF-8", "KEY": "it's", "BARE": "word"}
    with pytest.raises(TargetNotReady, match="PostgreSQL 16"):
        observe_serving(tmp_path / "data", major=16)
    if os.geteuid() == 0:
        assert found.required_user is None, "a configuration of root's serves any owner"
        os.chown(folder, 12345, 12346)
        assert found.required_user == (12345, 12346)
