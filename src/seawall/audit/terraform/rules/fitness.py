"""Is a replica fit to take over: as large as its source, of its version, with its settings?"""

from __future__ import annotations

import re

from seawall.audit.rule import Rule, Severity, Verdict, cannot_tell, failed, passed
from seawall.audit.terraform.databases import INSTANCE, Replica
from seawall.audit.terraform.facts import TerraformFacts
from seawall.audit.terraform.hcl import Argument, changed, quoted
from seawall.audit.terraform.judging import for_each
from seawall.audit.terraform.model import Resource, Unseen
from seawall.audit.terraform.rules.replicas import NO_REPLICA
from seawall.audit.terraform.rules.stories import FINAL_SNAPSHOT, HOT_STANDBY, PARAMETERS, SMALLER
from seawall.model.fact import FactUnknown, Unknown

_INHERITED = (
    "db_name",
    "username",
    "password",
    "password_wo",
    "manage_master_user_password",
    "snapshot_identifier",
)
_GIB_OF_XLARGE = {
    "t": 16,
    "m": 16,
    "c": 8,
    "r": 32,
    "z": 32,
    "x1e": 122,
    "x2g": 64,
    "x2idn": 64,
    "x2iedn": 128,
    "x": 64,
}
_SIZES = {"micro": 1 / 16, "small": 1 / 8, "medium": 1 / 4, "large": 1 / 2, "xlarge": 1.0}
_BYTES_OF_A_CONNECTION, _MOST_CONNECTIONS = 9_531_392, 5000
"""The default group's max_connections is LEAST({DBInstanceClassMemory/9531392}, 5000)."""


def _sets_inherited(facts: TerraformFacts, replica: Replica) -> Verdict | None:
    resource = replica.resource
    if resource.type != INSTANCE:
        return None
    wrong = [
        name
        for name in _INHERITED
        if resource.is_configured(name) and resource.values.get(name) not in (None, False)
    ]
    keeps_snapshot = resource.read("skip_final_snapshot", False) is False
    shown = [f"{name} is set" for name in wrong]
    if keeps_snapshot:
        shown.append("skip_final_snapshot = false")
    if resource.is_configured("final_snapshot_identifier") and resource.values.get(
        "final_snapshot_identifier"
    ):
        shown.append("final_snapshot_identifier is set")
    if not wrong and not keeps_snapshot:
        return passed("it sets nothing that it inherits")
    reasons = [f"{', '.join(wrong)}, which it has from its source"] if wrong else []
    reasons += ["a replica can't leave a final snapshot, so it can't be destroyed"] if keeps_snapshot else []
    note = f"without {', '.join(wrong)}" if wrong else ""
    return failed(
        f"it sets what a replica can't have: {'; '.join(reasons)}",
        evidence=shown,
        remedy=changed(resource, [("skip_final_snapshot", "true")], note=note),
    )


def _smaller(facts: TerraformFacts, replica: Replica) -> Verdict | None:
    resource, source = replica.resource, _source(replica)
    if resource.type != INSTANCE or source.type != INSTANCE:
        return None
    own, theirs = resource.text("instance_class"), source.text("instance_class")
    wrong: list[tuple[str, str, str]] = []
    if own != theirs:
        own_gib, their_gib = memory_gib(own), memory_gib(theirs)
        if own_gib is None or their_gib is None:
            return cannot_tell(
                f"how large {own} is beside {theirs} is not known here", "compare memory and CPUs yourself"
            )
        if own_gib < their_gib or (_is_burstable(own) and not _is_burstable(theirs)):
            wrong.append(("instance_class", own, theirs))
    for name in ("allocated_storage", "iops", "storage_throughput"):
        if resource.is_configured(name) is not False and source.is_configured(name) is not False:
            less, more = resource.number(name), source.number(name)
            if 0 < less < more:
                wrong.append((name, f"{less:g}", f"{more:g}"))
    if not wrong:
        return passed(
            f"it is as large as {source.address}", evidence=[f"instance_class: {own}, source {theirs}"]
        )
    arguments: list[Argument] = [
        (name, quoted(theirs) if name == "instance_class" else theirs) for name, _, theirs in wrong
    ]
    return failed(
        f"it is smaller than {source.address}, whose whole load it gets",
        evidence=[f"{name}: {less}, source {more}" for name, less, more in wrong],
        remedy=changed(resource, arguments),
    )


def memory_gib(instance_class: str) -> float | None:
    """Return the memory of an instance class, None where the name doesn't tell."""
    match = re.match(r"db\.([a-z]+)(\d+)([a-z]*)\.(?:(\d+)?(xlarge)|([a-z]+))(?:\.|\Z)", instance_class)
    if match is None:
        return None
    letter, generation, kind, times, xlarge, size = match.groups()
    family = next(
        (
            name
            for name in (f"{letter}{generation}{kind}", f"{letter}{generation}", letter)
            if name in _GIB_OF_XLARGE
        ),
        "",
    )
    factor = float(times or 1) if xlarge else _SIZES.get(size)
    return _GIB_OF_XLARGE[family] * factor if family and factor is not None else None


def _is_burstable(instance_class: str) -> bool:
    return instance_class.startswith("db.t")


def _version(facts: TerraformFacts, replica: Replica) -> Verdict | None:
    resource, source = replica.resource, _source(replica)
    if not resource.is_configured("engine_version") and resource.is_configured("engine_version") is not None:
        return passed("it takes its source's version")
    own, theirs = _numbers(resource.text("engine_version")), _numbers(source.text("engine_version"))
    if not own or not theirs:
        return None
    shown = [
        f"{resource.address}: {resource.text('engine_version')}",
        f"{source.address}: {source.text('engine_version')}",
    ]
    length = min(len(own), len(theirs))
    if own[0] == theirs[0] and own[:length] >= theirs[:length]:
        return passed("its version can follow its source's", evidence=shown)
    other_major = own[0] != theirs[0]
    return failed(
        "it is of another major version: WAL is replayed by the same one alone"
        if other_major
        else "it is older than its source: replicas are upgraded first",
        evidence=shown,
        severity=Severity.HIGH if other_major else None,
        remedy=changed(resource, [("engine_version", quoted(source.text("engine_version")))]),
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(
        int(part) for part in version.split(".") if part.isascii() and part.isdigit() and len(part) < 6
    )


def _parameter_group(facts: TerraformFacts, replica: Replica) -> Verdict | None:
    resource, source = replica.resource, _source(replica)
    if resource.type != INSTANCE or source.type != INSTANCE or not replica.is_for_another_region:
        return None
    shown = [f"{item.address}: {_group_name(item) or 'the default group'}" for item in (resource, source)]
    if not _has_own_group(source):
        return passed(f"{source.address} has the default group too", evidence=shown)
    if _has_own_group(resource):
        return passed("it has a parameter group of its own", evidence=shown)
    return failed(
        f"{source.address} has a parameter group, and the replica falls back to the default one of its "
        f"region",
        evidence=shown,
        remedy=changed(
            resource, [("parameter_group_name", "aws_db_parameter_group.dr.name  # the same values, there")]
        ),
    )


def _has_own_group(resource: Resource) -> bool:
    name = resource.values.get("parameter_group_name")
    if name is None or resource.is_configured("parameter_group_name") is False:
        return False
    return not (isinstance(name, str) and name.startswith("default."))


def _group_name(resource: Resource) -> str:
    if resource.is_configured("parameter_group_name") is False:
        return ""
    name = resource.values.get("parameter_group_name")
    return name.value if isinstance(name, Unseen) else str(name or "")


def _connections(facts: TerraformFacts, replica: Replica) -> Verdict | None:
    resource, source = replica.resource, _source(replica)
    if resource.type != INSTANCE or source.type != INSTANCE:
        return None
    own, own_from = _max_connections(facts, resource)
    theirs, their_from = _max_connections(facts, source)
    shown = [f"{resource.address}: {own:g} ({own_from})", f"{source.address}: {theirs:g} ({their_from})"]
    if own >= theirs:
        return passed("it allows as many connections as its source", evidence=shown)
    return failed(
        "its max_connections is lower than its source's: PostgreSQL pauses or ends replay there, and clients find no "
        "room",
        evidence=shown,
        remedy='resource "aws_db_parameter_group" "dr" {\n  parameter {\n    name         = "max_connections"\n'
        f'    value        = "{theirs:.0f}"\n    apply_method = "pending-reboot"\n  }}\n}}',
    )


def _max_connections(facts: TerraformFacts, resource: Resource) -> tuple[float, str]:
    """Return max_connections and where it comes from. Raises FactUnknown."""
    for group in facts.references.resolve(resource, "parameter_group_name").resources:
        if group.type == "aws_db_parameter_group":
            for parameter in group.blocks("parameter"):
                value = parameter.get("value")
                if (
                    parameter.get("name") == "max_connections"
                    and isinstance(value, str)
                    and value.isdecimal()
                ):
                    return float(value[:9]), group.address
    known_group = (
        not _has_own_group(resource) or facts.references.resolve(resource, "parameter_group_name").resources
    )
    if not known_group:
        raise FactUnknown(
            Unknown(f"the parameter group of {resource.address} is not in this file", "compare it yourself")
        )
    gib = memory_gib(resource.text("instance_class"))
    if gib is None:
        raise FactUnknown(
            Unknown(
                f"the memory of {resource.values.get('instance_class')} is not known here",
                "compare it yourself",
            )
        )
    return min(
        gib * (1 << 30) // _BYTES_OF_A_CONNECTION, _MOST_CONNECTIONS
    ), f"default of {resource.text('instance_class')}"


def _source(replica: Replica) -> Resource:
    """Return the source. Raises FactUnknown where the file doesn't hold it."""
    if replica.source is None:
        raise FactUnknown(
            Unknown(
                f"the source of {replica.address}, {replica.written}, is not in this file",
                "the plan that holds both",
            )
        )
    return replica.source


def _all(facts: TerraformFacts) -> tuple[Replica, ...]:
    return facts.replicas


RULES: tuple[Rule[TerraformFacts], ...] = (
    Rule(
        "tf-replica-sets-inherited",
        Severity.MEDIUM,
        "A replica sets what only its source can have",
        "Name, user and password come from the source, and a replica leaves no final snapshot. What is set all the "
        "same forces replacements, or keeps it from being destroyed.",
        FINAL_SNAPSHOT,
        'resource "aws_db_instance" "replica" {\n  skip_final_snapshot = true\n}',
        for_each(_all, _sets_inherited, none=NO_REPLICA),
    ),
    Rule(
        "tf-replica-smaller",
        Severity.MEDIUM,
        "A replica is smaller than its source",
        "It replays all that the source writes, and after the promotion it answers all that the source answered. "
        "Growing it then needs capacity that everybody wants at that moment.",
        SMALLER,
        'resource "aws_db_instance" "replica" {\n  instance_class = aws_db_instance.primary.instance_class\n}',
        for_each(_all, _smaller, none=NO_REPLICA),
    ),
    Rule(
        "tf-replica-version",
        Severity.MEDIUM,
        "A replica is of another version than its source",
        "WAL can be replayed by the same major version alone, and by a minor version that is not older.",
        SMALLER,
        'resource "aws_db_instance" "replica" {\n  engine_version = aws_db_instance.primary.engine_version\n}',
        for_each(_all, _version, none=NO_REPLICA),
    ),
    Rule(
        "tf-replica-parameter-group",
        Severity.MEDIUM,
        "A replica in another region has the default parameters",
        "Parameter groups stay in their region. What was tuned on the primary is gone after the promotion: memory, "
        "timeouts, extensions that have to be preloaded.",
        PARAMETERS,
        'resource "aws_db_instance" "replica" {\n  parameter_group_name = aws_db_parameter_group.dr.name\n}',
        for_each(_all, _parameter_group, none=NO_REPLICA),
    ),
    Rule(
        "tf-replica-fewer-connections",
        Severity.HIGH,
        "A replica allows fewer connections than its source",
        "A standby whose max_connections is lower than its primary's doesn't go on replaying; and after a promotion "
        "the clients of the primary don't find room.",
        HOT_STANDBY,
        "raise max_connections in the replica's parameter group first, then in the source's",
        for_each(_all, _connections, none=NO_REPLICA),
    ),
)
