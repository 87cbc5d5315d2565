"""The play: open the shop, back up, lose the site, come back, and prove with queries what came back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from seawall.demo.shop import FIRST_LIVE_ORDER, SCHEMA, ShopClient, Verdict, judge
from seawall.demo.stage import FAR, NEAR, PORT, DemoCommandFailed, Stage, set_stage
from seawall.postgres.session import connect

RTO_OBJECTIVE_S = 120.0
RPO_OBJECTIVE_S = 15.0
_SELLING_S = 6.0
_BACK_TIMEOUT_S = 90.0
_AFTERMATH_S = 1.0


@dataclass(frozen=True, slots=True)
class Proof:
    """A question put to the recovered shop, and its answer."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demo measured."""

    server_version: str
    verdict: Verdict
    proofs: tuple[Proof, ...]
    orders_after: int
    """Orders that the new site accepted, to show that business goes on."""
    seconds: float
    root: Path

    @property
    def is_rto_met(self) -> bool:
        return self.verdict.rto_s <= RTO_OBJECTIVE_S

    @property
    def is_rpo_met(self) -> bool:
        return self.verdict.rpo_s <= RPO_OBJECTIVE_S


@dataclass(frozen=True, slots=True)
class Scene:
    """Something to show: a kind of line, its text, and the seconds since the curtain rose."""

    kind: str
    text: str
    at_s: float


Show = Callable[[Scene], None]


def play(*, pg_bin: Path | None, keep: bool, show: Show) -> Outcome:
    """Play it all; nothing is left running or lying about unless ``keep``.

    Raises: what the commands raise; the stage is struck first.
    """
    began = time.monotonic()
    stage = set_stage(pg_bin)
    client = ShopClient([stage.dsn(NEAR), stage.dsn(FAR)])
    is_over = False
    try:
        outcome = _Play(stage, client, show, began).run()
        is_over = True
        return outcome
    finally:
        client.stop()
        if not (keep and is_over):
            stage.strike()


class _Play:
    """One performance; its methods are the scenes in order."""

    def __init__(self, stage: Stage, client: ShopClient, show: Show, began: float) -> None:
        self.stage = stage
        self.client = client
        self._show = show
        self._began = began

    def say(self, kind: str, text: str) -> None:
        self._show(Scene(kind, text, time.monotonic() - self._began))

    def command(self, *words: str) -> None:
        """Run a command of the product and show it with what it printed."""
        started = time.monotonic()
        shown = " ".join(word.replace(f"{self.stage.root}/", "") for word in words)
        output = self.stage.seawall(*words)
        self.say("command", f"seawall {shown}   ({time.monotonic() - started:.1f} s)")
        for line in output.splitlines():
            self.say("output", line.replace(f"{self.stage.root}/", ""))

    def run(self) -> Outcome:
        self.open_shop()
        self.protect()
        self.sell()
        self.lose_site()
        self.recover()
        return self.prove()

    def open_shop(self) -> None:
        self.say("scene", f"A shop opens at {NEAR}, on PostgreSQL {self.stage.programs.version}")
        self.stage.build()
        with connect(self.stage.dsn(NEAR), search_path=None) as session:
            session.execute(SCHEMA)
        self.say("fact", "20,000 customers, 30,000 products, 200,000 orders; new orders come in all the time")
        self.client.start()

    def protect(self) -> None:
        self.say("scene", f"Its plan says: RTO 2 minutes, RPO 15 seconds, backups at {NEAR} and {FAR}")
        self.command("repository", "init")
        self.command("backup")

    def sell(self) -> None:
        before = self.client.count()
        time.sleep(_SELLING_S)
        sold = self.client.count()
        self.say(
            "fact", f"business as usual: {sold:,} orders acknowledged, {sold - before:,} since the backup"
        )

    def lose_site(self) -> None:
        self.stage.destroy(NEAR)
        self.say("disaster", f"{NEAR} burns down: servers killed, data directory and near repository gone")
        if not self.client.wait_for(lambda: self.client.first_failure_s is not None, _BACK_TIMEOUT_S):
            raise DemoCommandFailed("the client never noticed the disaster", hint="please report this")
        self.say("fact", "the shop's client gets errors: the clock of the RTO runs")

    def recover(self) -> None:
        self.say("scene", f"Recovery at {FAR}: one command")
        stage = self.stage
        self.command(
            "restore",
            "--latest",
            "--into",
            str(stage.data(FAR)),
            "--as",
            "primary",
            "--start",
            "--set",
            f"unix_socket_directories={stage.socket(FAR)}",
            "--set",
            f"port={PORT}",
        )
        if not self.client.wait_for(lambda: self.client.back_in_service_s is not None, _BACK_TIMEOUT_S):
            raise DemoCommandFailed("no order was accepted after the recovery", hint="seawall demo --keep")
        self.say("fact", f"the shop's client is served again, at {FAR}")

    def prove(self) -> Outcome:
        time.sleep(_AFTERMATH_S)
        self.client.stop()
        client = self.client
        with connect(self.stage.dsn(FAR), search_path=None) as session:
            rows = session.query_all(f"select id from orders where id >= {FIRST_LIVE_ORDER}")
            recovered = {number for (number,) in rows}
            proofs = tuple(
                Proof(question, f"{session.query_one(question)[0]:,}")
                for question in (
                    "select count(*) from customers",
                    "select count(*) from orders",
                    "select count(*) from orders where at > now() - interval '1 minute'",
                )
            )
            (version,) = session.query_one("show server_version")
        failed, back = client.first_failure_s or 0.0, client.back_in_service_s or 0.0
        after = sum(1 for order in client.acknowledged if order.at_s >= back)
        return Outcome(
            server_version=version,
            verdict=judge(client.acknowledged, recovered, failed_s=failed, back_s=back),
            proofs=proofs,
            orders_after=after,
            seconds=time.monotonic() - self._began,
            root=self.stage.root,
        )
