"""To whom a rule applies: wrappers that answer for servers on which a rule's question makes no sense."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from seawall.audit.facts import ClusterFacts
from seawall.audit.rule import Verdict, not_applicable
from seawall.model.fact import known
from seawall.postgres.health.facts import ServerHealth
from seawall.postgres.server.owner import OwnerKind

Verdicts: TypeAlias = Verdict | Iterable[Verdict]
ServerJudge: TypeAlias = Callable[[ServerHealth], Verdicts]
ClusterJudge: TypeAlias = Callable[[ClusterFacts], Verdicts]

MANAGED = (OwnerKind.RDS, OwnerKind.MANAGED_CLOUD)


def on_server(judge: ServerJudge) -> ClusterJudge:
    """Ask the rule of whatever server answers, primary or standby."""
    return lambda facts: judge(known(facts.primary))


def on_own_server(reason: str, judge: ServerJudge) -> ClusterJudge:
    """Ask the rule of a server that its users run themselves; ``reason`` says why not of a managed one."""

    def judged(facts: ClusterFacts) -> Verdicts:
        server = known(facts.primary)
        if server.owner.kind in MANAGED:
            return not_applicable(f"{server.owner.name}: {reason}")
        return judge(server)

    return judged


def on_primary(judge: ServerJudge) -> ClusterJudge:
    """Ask the rule of a server that accepts writes."""

    def judged(facts: ClusterFacts) -> Verdicts:
        server = known(facts.primary)
        if server.identity.is_in_recovery:
            return not_applicable("this server is a standby: ask its primary")
        return judge(server)

    return judged


def on_own_primary(reason: str, judge: ServerJudge) -> ClusterJudge:
    """Ask the rule of a server that accepts writes and that its users run themselves."""

    def judged(facts: ClusterFacts) -> Verdicts:
        managed = on_own_server(reason, judge)(facts)
        return managed if is_managed(facts) else on_primary(judge)(facts)

    return judged


def is_managed(facts: ClusterFacts) -> bool:
    """Say whether the server is a service whose provider runs it. Raises FactUnknown."""
    return known(facts.primary).owner.kind in MANAGED


def change(server: ServerHealth, setting: str, value: str, *, restart: bool = False) -> str:
    """Return how a setting of this server is changed, by whom it obeys."""
    owner = server.owner
    if owner.may_alter_system or owner.kind is OwnerKind.UNKNOWN:
        statement = f"ALTER SYSTEM SET {setting} = '{value}'"
        return f"{statement}; then restart the server" if restart else f"{statement}; SELECT pg_reload_conf()"
    return f"{setting} = {value}: {owner.settings_advice or owner.advice}"
