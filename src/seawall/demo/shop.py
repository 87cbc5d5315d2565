"""The shop and its customers: a small schema, and a client that never stops ordering.

The client is the demo's witness. It writes down every order number that a server acknowledged, with the
time, and the moments of its first failed and its next accepted write: RTO and RPO are what it saw, not
what the tool believes.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from seawall.model.errors import SeawallError
from seawall.postgres.session import ServerSession, connect

SCHEMA = """
create table customers (id int primary key, name text not null, city text not null);
create table products (id int primary key, title text not null, price numeric(8,2) not null, text text not null);
create table orders (
    id bigint primary key, customer int not null references customers, product int not null references products,
    quantity int not null, at timestamptz not null default clock_timestamp());
insert into customers select n, 'Customer ' || n, (array['Lisbon','Hamburg','Lyon','Turin'])[n % 4 + 1]
    from generate_series(1, 20000) n;
insert into products select n, 'Product ' || n, n % 90 + 9.99, repeat(md5(n::text) || ' ', 20)
    from generate_series(1, 30000) n;
insert into orders select n, n % 20000 + 1, n % 30000 + 1, n % 5 + 1, now() - interval '30 days' * random()
    from generate_series(1, 200000) n;
create index on orders (at);
"""
FIRST_LIVE_ORDER = 1_000_001
_INSERT = (
    "insert into orders values ({0}, {0} % 20000 + 1, {0} % 30000 + 1, {0} % 5 + 1) "
    "returning extract(epoch from at)"
)
_RETRY_S = 0.02


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """One order that a server confirmed: its number, and when the client heard of it (monotonic seconds)."""

    number: int
    at_s: float


class ShopClient:
    """Places orders one after another at the first server that takes them; survives their deaths."""

    def __init__(self, dsns: list[str], *, pause_s: float = 0.004) -> None:
        self._dsns = dsns
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shop-client", daemon=True)
        self._lock = threading.Lock()
        self._number = FIRST_LIVE_ORDER
        self.acknowledged: list[Acknowledged] = []
        self.first_failure_s: float | None = None
        self.back_in_service_s: float | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=30)

    def count(self) -> int:
        with self._lock:
            return len(self.acknowledged)

    def wait_for(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Poll ``condition`` until it holds; False when ``timeout_s`` passed first."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(_RETRY_S)
        return True

    def _run(self) -> None:
        while not self._stop.is_set():
            session = self._connect()
            if session is None:
                self._stop.wait(_RETRY_S)
                continue
            with contextlib.closing(session):
                self._order_until_it_fails(session)

    def _connect(self) -> ServerSession | None:
        for dsn in self._dsns:
            with contextlib.suppress(SeawallError):
                return connect(dsn, connect_timeout_s=2, search_path=None, application_name="shop")
        return None

    def _order_until_it_fails(self, session: ServerSession) -> None:
        while not self._stop.is_set():
            number = self._number
            # A number is never used twice: an order that failed in mid-flight may have been committed.
            self._number += 1
            try:
                session.query_one(_INSERT.format(number))
            except SeawallError:
                with self._lock:
                    if self.first_failure_s is None:
                        self.first_failure_s = time.monotonic()
                return
            with self._lock:
                now = time.monotonic()
                if self.first_failure_s is not None and self.back_in_service_s is None:
                    self.back_in_service_s = now
                self.acknowledged.append(Acknowledged(number, now))
            self._stop.wait(self._pause_s)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the client's notebook says against the recovered tables."""

    acknowledged_before: int
    recovered: int
    lost: int
    rpo_s: float
    rto_s: float


def judge(
    acknowledged: list[Acknowledged], recovered: set[int], *, failed_s: float, back_s: float
) -> Verdict:
    """Compare the orders acknowledged before the failure with those in the recovered table.

    RPO is the time from the last recovered to the last acknowledged commit; RTO runs from the first failed
    to the first accepted write (design: "One plan file").
    """
    before = [order for order in acknowledged if order.at_s < failed_s]
    lost = [order for order in before if order.number not in recovered]
    kept = [order for order in before if order.number in recovered]
    rpo_s = 0.0
    if lost:
        rpo_s = before[-1].at_s - (kept[-1].at_s if kept else before[0].at_s)
    return Verdict(len(before), len(kept), len(lost), rpo_s, back_s - failed_s)
