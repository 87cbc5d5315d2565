"""Plan files for tests: one cluster, one or more repositories on disk, keys, all in one folder."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from pathlib import Path

from tests.support.servers import TestCluster

CLUSTER = "main"


def write_plan(
    folder: Path, cluster: TestCluster, repositories: Sequence[str] = ("far",), extra: str = ""
) -> Path:
    """Write ``folder/plan.yaml`` for ``cluster`` with POSIX repositories below ``folder``; return its path.

    ``extra`` are further top-level sections, as they stand in a plan.
    """
    key = folder / "key"
    if not key.exists():
        key.write_bytes(base64.b64encode(secrets.token_bytes(48)))
        key.chmod(0o600)
    described = "\n".join(
        f'  {name}: {{site: central, host: db2, url: "file://{folder / name}", keys: ["file:{key}"]}}'
        for name in repositories
    )
    plan = folder / "plan.yaml"
    plan.write_text(
        f"""\
version: 1
service: shop
timezone: Europe/Berlin
state: {folder / "state"}
objectives: {{rto: 15m, rpo: 5m, detection: 3m}}
sites:
  west: {{hosts: {{db1: {{}}}}}}
  central: {{hosts: {{db2: {{}}}}}}
repositories:
{described}
clusters:
  {CLUSTER}:
    primary: {{host: db1, dsn: "{cluster.url()}", data: {cluster.data}}}
    wal: {{archive_timeout: 1m}}
{extra}"""
    )
    return plan
