"""A living test cluster as a drill's restored server: examinations can be put to it without a restore."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seawall.drill.assertions.inquiry import Inquiry
from seawall.drill.isolation import Isolation, server_settings
from seawall.drill.room import Room
from seawall.drill.scratch import Scratch
from seawall.drill.server import DrillServer, Recovery
from seawall.drill.wal_feed import Fed
from seawall.model.clock import SystemClock
from tests.support.servers import SUPERUSER, TestCluster

SHOP = (
    "CREATE TABLE customers (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text)",
    "CREATE TABLE orders (id serial PRIMARY KEY, customer int NOT NULL REFERENCES customers,"
    " at timestamptz DEFAULT now())",
    "CREATE INDEX by_time ON orders (at)",
    "CREATE TABLE pairs (a int, b int, PRIMARY KEY (a, b))",
    "CREATE TABLE halves (a int, b int, FOREIGN KEY (a, b) REFERENCES pairs MATCH FULL)",
    "CREATE TABLE parts (n int PRIMARY KEY) PARTITION BY RANGE (n)",
    "CREATE TABLE part_1 PARTITION OF parts FOR VALUES FROM (0) TO (100)",
    "CREATE TABLE of_parts (n int REFERENCES parts)",
    "INSERT INTO customers (name) SELECT 'customer ' || n FROM generate_series(1, 100) n",
    "INSERT INTO orders (customer) SELECT 1 + n % 100 FROM generate_series(1, 1000) n",
    "INSERT INTO pairs VALUES (1, 1)",
    "INSERT INTO halves VALUES (1, 1), (NULL, NULL)",
    "INSERT INTO parts VALUES (1)",
    "INSERT INTO of_parts VALUES (1)",
    "CREATE DOMAIN lo AS oid",
    "CREATE TABLE pictures (id int PRIMARY KEY, picture lo)",
    "INSERT INTO pictures SELECT 1, lo_from_bytea(0, 'a picture')",
)
"""A database with one of everything that examinations are made about."""


def as_drill_server(cluster: TestCluster) -> DrillServer:
    """Return a running cluster as the server of a drill."""
    scratch = Scratch("test", cluster.folder)
    room = Room(
        scratch=scratch,
        programs=cluster.programs,
        isolation=Isolation(cluster.run_as, ()),
        clock=SystemClock(),
        jobs=1,
        deadline_s=60.0,
        on_phase=lambda phase, done, total: None,
    )
    return DrillServer(room, SUPERUSER, Recovery(), Fed())


def drill_settings(cluster: TestCluster) -> dict[str, str]:
    """Return the settings that a drill gives to its server, for files that a test cluster has."""
    scratch = Scratch("test", cluster.folder)
    settings = server_settings(scratch, cluster.programs, None)
    return {name: value for name, value in settings.items() if name not in ("hba_file", "ident_file")}


def inquiry_of(cluster: TestCluster, databases: Sequence[str], **facts: Any) -> Inquiry:
    """Return what is asked of some databases of a running cluster."""
    inquiry = Inquiry(as_drill_server(cluster), **{"is_physical": True, **facts})
    inquiry.databases = list(databases)
    return inquiry
