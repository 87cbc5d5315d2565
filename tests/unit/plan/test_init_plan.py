"""What ``seawall init`` writes must load, whatever a server is called, and say exactly what to change."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.plan.diagnostics import Severity
from seawall.plan.init_plan import (
    CurrentSettings,
    InitFacts,
    RepositoryFacts,
    name_from,
    proposed_archive_command,
    render_plan,
    server_changes,
)
from seawall.plan.load import diagnose
from seawall.plan.model import Plan
from seawall.plan.secrets import SecretReference
from seawall.postgres.wal_program import WAL_PROGRAM, archive_command

FACTS = InitFacts(
    service="shop",
    cluster="main",
    site="eu-west",
    host="db1",
    dsn="postgresql:///postgres",
    data=Path("/var/lib/postgresql/16/main"),
    version="16.4",
    size_bytes=5 << 30,
    repositories=(
        RepositoryFacts("near", "eu-west", "file:///var/lib/seawall", host="db1"),
        RepositoryFacts(
            "far", "eu-central", "s3://shop-dr", region="eu-central-1", endpoint="https://s3.example"
        ),
    ),
    plan_path=Path("/etc/seawall/plan.yaml"),
    seawall_program=Path("/usr/local/bin/seawall"),
    key_file=Path("/etc/seawall/shop.key"),
    config=(Path("/etc/postgresql/16/main"),),
    tablespaces=(("fast", "/srv/fast"),),
    owner="systemd (postgresql@16-main)",
    databases=("shop",),
)
READY = CurrentSettings("replica", "on", proposed_archive_command(FACTS), "", 60)


def loaded(facts: InitFacts) -> Plan:
    plan, found = diagnose(render_plan(facts), facts.plan_path)
    assert plan is not None, render_plan(facts) + "\n".join(map(str, found))
    assert all(finding.severity is Severity.WARNING for finding in found)
    return plan


def test_the_written_plan_loads_and_means_what_was_seen() -> None:
    plan = loaded(FACTS)

    main = plan.clusters["main"]
    assert (plan.service, main.primary.host, main.primary.dsn) == ("shop", "db1", "postgresql:///postgres")
    assert main.primary.data == FACTS.data and main.primary.config == FACTS.config
    assert plan.repositories["far"].endpoint == "https://s3.example"
    assert plan.repositories["near"].host == "db1"
    assert plan.repositories["far"].keys == (SecretReference("file", "/etc/seawall/shop.key"), "escrow")
    assert main.wal.archive_timeout_s == 60


def test_a_good_beginning_has_no_findings() -> None:
    assert diagnose(render_plan(FACTS), FACTS.plan_path)[1] == ()


def test_every_choice_is_explained() -> None:
    """Each section is preceded by a comment."""
    lines = render_plan(FACTS).splitlines()

    for section in ("version", "timezone", "objectives", "sites", "repositories", "clusters"):
        at = next(number for number, line in enumerate(lines) if line.startswith(f"{section}:"))
        assert lines[at - 1].startswith("#"), section


def test_only_near_repositories_are_said_to_be_a_risk() -> None:
    facts = dataclasses.replace(FACTS, repositories=FACTS.repositories[:1])

    assert "add one elsewhere" in render_plan(facts)
    codes = [found.code for found in diagnose(render_plan(facts), FACTS.plan_path)[1]]
    assert codes == ["only-near", "ack-on-host"]


def test_without_a_key_file_encryption_is_off_in_so_many_words() -> None:
    plan = loaded(dataclasses.replace(FACTS, key_file=None))

    assert not plan.repositories["far"].is_encrypted


NASTY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
NASTY_FILES = NASTY.map(lambda text: "x" + text.replace("/", "_"))


@settings(max_examples=200, deadline=None)
@given(NASTY_FILES, NASTY, NASTY, NASTY)
def test_no_name_or_path_breaks_the_plan(file: str, owner: str, tablespace: str, database: str) -> None:
    facts = dataclasses.replace(
        FACTS,
        data=Path("/srv", file),
        config=(Path("/etc/postgresql", file),),
        owner=owner,
        tablespaces=((tablespace, owner),),
        databases=(database,),
        key_file=Path("/etc/seawall", file),
        service=name_from(database, "service"),
        cluster=name_from(owner, "main"),
    )
    plan = loaded(facts)

    assert next(iter(plan.clusters.values())).primary.data == facts.data


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Shop DB", "shop-db"),
        ("db1.example.org", "db1-example-org"),
        ("Ünal", "nal"),
        ("日本", "main"),
        ("_x_", "x"),
    ],
)
def test_names_are_made_fit_for_object_keys(text: str, name: str) -> None:
    assert name_from(text, "main") == name


def test_a_server_that_is_ready_needs_no_change() -> None:
    assert server_changes(FACTS, READY) == ()


def test_a_fresh_server_needs_these_changes() -> None:
    changes = server_changes(FACTS, CurrentSettings("minimal", "off", "", "basic_archive", 0))

    assert {change.setting: change.needs_restart for change in changes} == {
        "wal_level": True,
        "archive_library": False,
        "archive_command": False,
        "archive_timeout": False,
        "archive_mode": True,
    }
    statements = [change.statement for change in changes]
    assert "ALTER SYSTEM SET archive_mode = 'on';" in statements
    assert "ALTER SYSTEM SET archive_library = '';" in statements
    assert "ALTER SYSTEM SET archive_timeout = '60s';" in statements
    assert all(change.reason for change in changes)


@pytest.mark.parametrize("level", ["replica", "logical"])
@pytest.mark.parametrize("mode", ["on", "always"])
@pytest.mark.parametrize("timeout_s", [1, 30, 60])
def test_what_is_stricter_already_is_left_alone(level: str, mode: str, timeout_s: int) -> None:
    current = dataclasses.replace(READY, wal_level=level, archive_mode=mode, archive_timeout_s=timeout_s)

    assert server_changes(FACTS, current) == ()


def test_the_archive_command_is_absolute_quoted_and_escaped() -> None:
    facts = dataclasses.replace(
        FACTS, seawall_program=Path("/opt/sea wall/bin/seawall"), plan_path=Path("/etc/it's 100%/plan.yaml")
    )

    assert proposed_archive_command(facts) == (
        "'/opt/sea wall/bin/seawall' wal push --plan '/etc/it'\"'\"'s 100%%/plan.yaml' --cluster main \"%p\""
    )
    (change,) = server_changes(facts, READY)
    literal = change.statement.removeprefix("ALTER SYSTEM SET archive_command = '").removesuffix("';")
    assert literal.replace("''", "'") == proposed_archive_command(facts)


def test_the_push_program_is_used_where_it_is_installed(tmp_path: Path) -> None:
    program = tmp_path / "seawall"
    plan = "/etc/seawall/plan.yaml"
    assert (
        archive_command(str(program), plan, "main") == f'{program} wal push --plan {plan} --cluster main "%p"'
    )
    beside = tmp_path / WAL_PROGRAM
    beside.write_text("")
    assert archive_command(str(program), plan, "main").startswith(f"{program} wal push ")
    beside.chmod(0o755)
    assert archive_command(str(program), plan, "main") == f'{beside} push --plan {plan} --cluster main "%p"'
    module = archive_command(f"{program} -m seawall", plan, "main")
    assert module == f'{program} -m seawall wal push --plan {plan} --cluster main "%p"'
