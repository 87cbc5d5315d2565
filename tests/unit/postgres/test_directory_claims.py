"""Whoever is configured to run a directory owns it, also while it is empty and nothing runs."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest

from seawall.postgres.server.directory_claims import find_claims
from seawall.postgres.server.owner import HostSignals, OwnerKind, ServerOwner, decide_owner

UNITS = "etc/systemd/system"


def owner(root: Path, data: Path, *, has_systemd: bool = True) -> ServerOwner:
    claims = find_claims(data, has_systemd=has_systemd, root=root)
    return decide_owner(None, HostSignals(data, claims=claims, has_systemd=has_systemd))


def write(root: Path, name: str, text: str) -> None:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.mark.parametrize(
    ("name", "line", "kind"),
    [
        ("etc/patroni/config.yml", "postgresql:\n  listen: x\n  data_dir: {data}\n", OwnerKind.PATRONI),
        ("etc/patroni.yml", "postgresql:\n  data_dir: '{data}' # here\n", OwnerKind.PATRONI),
        ("etc/patroni/16-main.yaml", '  data_dir: "{data}/"\n', OwnerKind.PATRONI),
        ("etc/repmgr.conf", "node_id=1\ndata_directory='{data}'\n", OwnerKind.REPMGR),
        ("etc/repmgr/16/repmgr.conf", "data_directory = {data}\n", OwnerKind.REPMGR),
        (f"{UNITS}/pg.service", "[Service]\nEnvironment=PGDATA={data}/\n", OwnerKind.SYSTEMD),
        (f"{UNITS}/pg.service", 'Environment="LANG=C" "PGDATA={data}"\n', OwnerKind.SYSTEMD),
        ("usr/lib/systemd/system/pg.service", "ExecStart=/pg/bin/postgres -D {data}\n", OwnerKind.SYSTEMD),
        ("lib/systemd/system/pg.service", "ExecStart=/pg/bin/pg_ctl start -D{data} -w\n", OwnerKind.SYSTEMD),
    ],
)
def test_a_configuration_that_names_the_directory_owns_it(
    tmp_path: Path, name: str, line: str, kind: OwnerKind
) -> None:
    data = tmp_path / "pg" / "data"
    write(tmp_path, name, line.format(data=data))
    found = owner(tmp_path, data)
    assert found.kind is kind
    assert found.evidence[0] == f"{tmp_path / name} names this data directory"
    assert owner(tmp_path, tmp_path / "pg" / "data2").kind is OwnerKind.UNKNOWN
    assert owner(tmp_path, tmp_path / "pg").kind is OwnerKind.UNKNOWN


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("etc/patroni/config.yml", "# data_dir: {data}\n"),
        ("etc/repmgr.conf", "#data_directory='{data}'\n"),
        (f"{UNITS}/pg.service", "#Environment=PGDATA={data}\nEnvironment=OLDPGDATA={data}\n"),
        (f"{UNITS}/pg.service", "ExecStart=/usr/bin/du -sh {data}\n"),
    ],
)
def test_a_comment_or_another_word_owns_nothing(tmp_path: Path, name: str, line: str) -> None:
    write(tmp_path, name, line.format(data=tmp_path / "data"))
    assert owner(tmp_path, tmp_path / "data").kind is OwnerKind.UNKNOWN


def test_the_directory_is_known_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write(tmp_path, f"{UNITS}/pg.service", f"Environment=PGDATA={tmp_path}/link/data\n")
    assert owner(tmp_path, tmp_path / "real" / "data").start == ("systemctl", "start", "pg.service")


def test_a_drop_in_and_a_mask_count_as_they_do_for_systemd(tmp_path: Path) -> None:
    data, moved = tmp_path / "data", tmp_path / "moved"
    write(tmp_path, "lib/systemd/system/pg.service", f"Environment=PGDATA={data}\n")
    assert owner(tmp_path, data).kind is OwnerKind.SYSTEMD
    write(tmp_path, f"{UNITS}/pg.service.d/place.conf", f"[Service]\nEnvironment=PGDATA={moved}\n")
    assert owner(tmp_path, data).kind is OwnerKind.UNKNOWN
    assert owner(tmp_path, moved).start == ("systemctl", "start", "pg.service")
    (tmp_path / UNITS / "pg.service").symlink_to("/dev/null")
    (tmp_path / UNITS / "pg.service.d" / "place.conf").unlink()
    assert owner(tmp_path, data).kind is OwnerKind.UNKNOWN


def test_a_unit_can_start_nothing_where_systemd_does_not_run(tmp_path: Path) -> None:
    write(tmp_path, f"{UNITS}/pg.service", f"Environment=PGDATA={tmp_path}/data\n")
    assert owner(tmp_path, tmp_path / "data", has_systemd=False).kind is OwnerKind.UNKNOWN


def test_a_pod_of_cloudnative_pg_owns_its_data_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "controller/manager", "")
    monkeypatch.delenv("PGDATA", raising=False)
    assert owner(tmp_path, Path("/var/lib/postgresql/data/pgdata")).kind is OwnerKind.CLOUDNATIVE_PG
    assert owner(tmp_path, tmp_path / "data").kind is OwnerKind.UNKNOWN
    monkeypatch.setenv("PGDATA", str(tmp_path / "data"))
    assert owner(tmp_path, tmp_path / "data").kind is OwnerKind.CLOUDNATIVE_PG


def test_pg_autoctl_is_known_by_its_state(tmp_path: Path) -> None:
    data, home = tmp_path / "data", pwd.getpwall()[0].pw_dir
    write(tmp_path, f"{home}/.config/pg_autoctl{data}/pg_autoctl.cfg".lstrip("/"), "")
    assert owner(tmp_path, data).kind is OwnerKind.PG_AUTO_FAILOVER


def test_repmgr_over_a_unit_is_started_by_the_unit(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write(tmp_path, "etc/repmgr.conf", f"data_directory='{data}'\n")
    write(tmp_path, f"{UNITS}/pg.service", f"Environment=PGDATA={data}\n")
    found = owner(tmp_path, data)
    assert found.kind is OwnerKind.REPMGR and found.start == ("systemctl", "start", "pg.service")
