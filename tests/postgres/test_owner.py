"""The owner of real servers: started by hand, or made to look as if somebody else ran them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from seawall.postgres.observe import observe_server
from seawall.postgres.server.owner import OwnerKind, ServerOwner
from seawall.postgres.server.owner_signals import detect_owner, detect_owner_of_directory, runs_on_this_host
from seawall.postgres.session import connect
from tests.support.servers import TestCluster

pytestmark = pytest.mark.postgres


def owner_of(server: TestCluster, user: str = "postgres") -> ServerOwner:
    with connect(server.url(user=user)) as session:
        return detect_owner(session, observe_server(session))


def test_a_server_started_by_hand_belongs_to_nobody(server: TestCluster) -> None:
    for owner in (owner_of(server), detect_owner_of_directory(server.data)):
        assert owner.kind is OwnerKind.PG_CTL and owner.may_alter_system
        assert owner.stop is not None
        assert owner.stop[0] == str(server.programs.path("pg_ctl")), "the programs that the server runs from"
        assert owner.stop[-1] == str(server.data)
    server.stop()
    assert detect_owner_of_directory(server.data).kind is OwnerKind.PG_CTL


def test_a_server_is_known_as_local_by_its_start_and_port(one_server: TestCluster) -> None:
    """A standby elsewhere has the same path and the same system identifier."""
    with connect(one_server.url()) as session:
        facts = observe_server(session)
    assert runs_on_this_host(facts)
    assert not runs_on_this_host(replace(facts, started_at=facts.started_at + timedelta(minutes=1)))
    assert not runs_on_this_host(replace(facts, settings={**facts.settings, "port": "5433"}))
    assert not runs_on_this_host(replace(facts, files=None))


def test_managed_servers_are_known_by_what_they_say(one_server: TestCluster) -> None:
    one_server.sql("CREATE ROLE plain LOGIN", "CREATE SCHEMA repmgr")
    assert owner_of(one_server, "plain").kind is OwnerKind.REPMGR
    (one_server.data / "patroni.dynamic.json").write_text("{}")
    assert owner_of(one_server).kind is OwnerKind.PATRONI
    one_server.sql("CREATE ROLE rds_superuser")
    owner = owner_of(one_server, "plain")
    assert owner.kind is OwnerKind.RDS and not owner.may_alter_system and not owner.may_start_and_stop


def test_patroni_is_known_from_afar_by_the_servers_command_line(one_server: TestCluster) -> None:
    one_server.restart(
        {
            "cluster_name": "shop",
            "max_connections": "100",
            "max_locks_per_transaction": "64",
            "max_prepared_transactions": "0",
            "max_worker_processes": "8",
            "track_commit_timestamp": "off",
            "wal_level": "replica",
            "wal_log_hints": "on",
        }
    )
    one_server.sql("CREATE ROLE plain LOGIN")
    assert owner_of(one_server, "plain").kind is OwnerKind.PATRONI
