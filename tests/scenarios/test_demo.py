"""The demo, as a user runs it: it meets its objectives, tells the truth about orders, and leaves nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.user_namespace import as_ordinary_user

DEMO = [sys.executable, "-m", "seawall", "demo"]
LONGEST_S = 90


@pytest.fixture
def place() -> Iterator[Path]:
    """A short folder of this test's own, where the demo makes its stage."""
    folder = Path(tempfile.mkdtemp(prefix="sw-demo-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def processes_below(folder: Path) -> list[str]:
    """Return the command lines of processes that work in ``folder``."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in words:
            found.append(words)
    return found


@pytest.mark.parametrize("user", ["whoever runs the tests", "an ordinary user"])
def test_a_disaster_is_survived_within_the_objectives(user: str, place: Path) -> None:
    command = [*DEMO, "--json"]
    if user == "an ordinary user":
        command = as_ordinary_user(command)
    began = time.monotonic()
    done = subprocess.run(
        command,
        env={**os.environ, "TMPDIR": str(place)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < LONGEST_S
    told = json.loads(done.stdout)
    assert told["is_rto_met"]
    assert told["is_rpo_met"]
    assert 0 < told["rto_s"] < 60
    assert 0 <= told["rpo_s"] < 15
    assert told["orders_recovered"] > 100
    assert told["orders_recovered"] + told["orders_lost"] == told["orders_acknowledged"]
    assert told["orders_after"] > 0
    assert told["root"].startswith(str(place))
    assert list(place.iterdir()) == []
    assert processes_below(place) == []


def test_an_interrupted_demo_strikes_its_stage(place: Path) -> None:
    demo = subprocess.Popen(
        DEMO,
        env={**os.environ, "TMPDIR": str(place)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "Its plan says" in line:
                break
        assert processes_below(place) != []
        demo.send_signal(signal.SIGTERM)
        demo.communicate(timeout=LONGEST_S)
    finally:
        if demo.poll() is None:
            os.killpg(demo.pid, signal.SIGKILL)
    assert demo.returncode == 130
    assert list(place.iterdir()) == []
    assert processes_below(place) == []
