"""Clusters of Debian's own making (postgresql-common), and a Seawall that their user can run.

Root alone can make them: configuration in /etc/postgresql, data that belongs to ``postgres``, started and stopped by
``pg_ctlcluster``. The Python of a test run often lies below root's home, where no other user comes, so
:func:`seawall_for_all` makes a virtual environment that anybody can run.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path

import pytest

import seawall
from seawall.postgres.server.user import RunAs
from tests.support.recovery import Outcome
from tests.support.servers import temporary_folder

MAJOR = "15"
SUPERUSER = "postgres"
_TIMEOUT_S = 120.0
_SCRIPT = "#!{python}\nimport sys\n\nfrom seawall.cli.start import main\n\nsys.exit(main())\n"


def require_debian() -> None:
    """Skip the test where there are no Debian clusters to be made."""
    if os.geteuid() != 0:
        pytest.skip("only root makes Debian clusters and restores for another user")
    if not shutil.which("pg_createcluster") or not Path(f"/usr/lib/postgresql/{MAJOR}/bin/postgres").exists():
        pytest.skip(f"Debian's postgresql-{MAJOR} is not installed")


def superuser() -> RunAs:
    """Return how to run something as the clusters' user."""
    account = pwd.getpwnam(SUPERUSER)
    return RunAs(account.pw_uid, account.pw_gid, changes_user=True)


@cache
def seawall_for_all() -> Path:
    """Return the console script of a Seawall that every user can run; skips where none can be made."""
    folder = temporary_folder()
    folder.chmod(0o755)
    places = [str(Path(seawall.__file__).parent.parent), sysconfig.get_paths()["purelib"]]
    tried: list[str] = []
    for python in (os.path.realpath(sys.executable), shutil.which("python3", path="/usr/bin:/usr/local/bin")):
        if python is None:
            continue
        venv = folder / f"venv{len(tried)}"
        subprocess.run([python, "-m", "venv", "--without-pip", venv], check=True, timeout=_TIMEOUT_S)
        (library,) = venv.glob("lib/python*/site-packages")
        (library / "seawall.pth").write_text("\n".join(places) + "\n")
        script = venv / "bin" / "seawall"
        script.write_text(_SCRIPT.format(python=venv / "bin" / "python"))
        script.chmod(0o755)
        done = run(superuser(), "/bin/sh", "-c", f"{script} --version")
        if done.status == 0:
            return script
        tried.append(f"{python}: {(done.out + done.err).strip()[-200:]}")
    pytest.skip(f"no Python here that {SUPERUSER} can run Seawall with: {'; '.join(tried)}")


def run(user: RunAs | None, *argv: str | os.PathLike[str]) -> Outcome:
    """Run a command as a user, as root with None."""
    done = subprocess.run(
        user.command(argv) if user else [os.fspath(part) for part in argv],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd="/",
        timeout=_TIMEOUT_S,
        check=False,
        **(user.popen_kwargs() if user else {}),
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


class DebianCluster:
    """One cluster of pg_createcluster, stopped at first."""

    def __init__(self, folder: Path) -> None:
        """Make it: data below ``folder``, sockets in ``folder/s``, configuration in /etc."""
        self.name = f"sw{secrets.token_hex(4)}"
        self.data = folder / self.name
        self.config = Path(f"/etc/postgresql/{MAJOR}/{self.name}")
        self.log = Path(f"/var/log/postgresql/postgresql-{MAJOR}-{self.name}.log")
        self.socket_directory = folder / "s"
        self.socket_directory.mkdir(exist_ok=True)
        os.chown(self.socket_directory, superuser().uid, superuser().gid)
        run(
            None,
            *("pg_createcluster", MAJOR, self.name, "-d", self.data, "-s", self.socket_directory),
            *("--start-conf", "manual", "--", "--no-sync", "--data-checksums"),
        ).succeeded()
        self.port = int(self.listed()[2])
        self.configure("fsync = off\nlisten_addresses = ''\nshared_buffers = 16MB\n")

    def configure(self, text: str) -> None:
        """Add to what its configuration includes."""
        with open(self.config / "conf.d" / "test.conf", "a") as file:
            file.write(text)

    def listed(self) -> list[str]:
        """Return the cluster's line of pg_lsclusters: version, name, port, status, owner, data, log."""
        done = run(None, "pg_lsclusters", "--no-header").succeeded()
        return next(words for line in done.out.splitlines() if (words := line.split())[1] == self.name)

    def control(self, action: str, *options: str) -> Outcome:
        return run(None, "pg_ctlcluster", MAJOR, self.name, action, *options)

    def value(self, statement: str, database: str = "postgres") -> str:
        """Run a query as the superuser, whom ``peer`` lets in, and return what it printed."""
        psql = f"/usr/lib/postgresql/{MAJOR}/bin/psql"
        where = ["-h", str(self.socket_directory), "-p", str(self.port), "-d", database]
        return (
            run(superuser(), psql, "-XAtq", "-v", "ON_ERROR_STOP=1", *where, "-c", statement)
            .succeeded()
            .out.strip()
        )

    @property
    def is_running(self) -> bool:
        return self.listed()[3].startswith("online")

    def drop(self) -> None:
        """Stop it and remove it with its configuration and log."""
        self.control("stop", "-m", "immediate", "--force")
        run(None, "pg_dropcluster", "--stop", MAJOR, self.name)
        shutil.rmtree(self.config, ignore_errors=True)
        self.log.unlink(missing_ok=True)
