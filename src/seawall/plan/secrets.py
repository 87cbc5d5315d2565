"""Secrets by reference: the plan says where a secret is, never what it is.

``env:NAME`` is an environment variable, ``file:/abs/path`` a file that only its owner may read, and
``command:…`` a program whose standard output is the secret (a vault's client). Resolving happens late, in the
process that needs the value, and nothing here logs, stores or shows one.
"""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from seawall.plan.errors import SecretUnusable

SCHEMES = ("env", "file", "command")
COMMAND_TIMEOUT_S = 20.0
MOST_BYTES = 1 << 20
_KEY_BYTES = 32


class SecretReference(NamedTuple):
    """Where a secret is. ``is_passphrase`` marks a repository key that is words, not a key file's content."""

    scheme: str
    target: str
    is_passphrase: bool = False

    @classmethod
    def parse(cls, text: str) -> SecretReference:
        """Read ``env:NAME``, ``file:/abs/path`` or ``command:…``. Raises ValueError, never quoting ``text``:
        what is not a reference may be the secret itself."""
        scheme, colon, target = text.partition(":")
        if not colon or scheme not in SCHEMES or not target.strip():
            raise ValueError("not a secret reference")
        if "\0" in target:
            raise ValueError("a secret reference can't hold a zero byte")
        if scheme == "file" and not target.startswith("/"):
            raise ValueError("a secret's file needs an absolute path")
        if scheme == "env" and not target.replace("_", "a").isalnum():
            raise ValueError("an environment variable's name has letters, digits and _")
        return cls(scheme, target)

    def __str__(self) -> str:
        return f"{'passphrase:' if self.is_passphrase else ''}{self.scheme}:{self.target}"


class Secret:
    """A resolved secret. Shown only as a mask; :meth:`reveal` is the one way to the bytes."""

    __slots__ = ("_content",)

    def __init__(self, content: bytes) -> None:
        self._content = content

    def reveal(self) -> bytes:
        """Return the bytes, without the line end that editors and programs append."""
        return self._content

    def reveal_text(self) -> str:
        """Return the secret as text. Raises SecretUnusable if it is not UTF-8."""
        try:
            return self._content.decode("utf-8")
        except UnicodeDecodeError:
            raise SecretUnusable("the secret is not text in UTF-8", hint="check what it refers to") from None

    def __repr__(self) -> str:
        return "Secret(********)"

    __str__ = __repr__


def resolve(reference: SecretReference, *, timeout_s: float = COMMAND_TIMEOUT_S) -> Secret:
    """Return what ``reference`` points to; a trailing line end is not part of it.

    Raises SecretUnusable: missing, empty, not a regular file, open to others, or the command failed.
    """
    if reference.scheme == "env":
        content = _from_environment(reference.target)
    elif reference.scheme == "file":
        content = _from_file(reference.target)
    else:
        content = _from_command(reference.target, timeout_s)
    content = content.rstrip(b"\r\n")
    if not content:
        raise SecretUnusable(
            f"the secret at {reference} is empty", hint="put the secret there, then try again"
        )
    if len(content) > MOST_BYTES:
        raise SecretUnusable(
            f"the secret at {reference} is larger than 1 MiB", hint="is it the right reference?"
        )
    return Secret(content)


def _from_environment(name: str) -> bytes:
    value = os.environb.get(os.fsencode(name))
    if value is None:
        raise SecretUnusable(
            f"the environment variable {name} is not set",
            hint=f"export {name}=…, or refer to a file instead: file:/etc/seawall/… "
            "(archive_command sees only the environment of the PostgreSQL server)",
        )
    return value


def _from_file(path: str) -> bytes:
    """Read a regular file that is closed to others; checks the open file, not the path."""
    try:
        # O_NONBLOCK: a FIFO without a writer must not hang an archive_command for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise SecretUnusable(
            f"the secret file {path} can't be opened: {error.strerror}",
            hint=f"check that it exists and that this user (uid {os.geteuid()}) may read it: ls -l {path}",
        ) from error
    state = os.fstat(descriptor)
    if not stat.S_ISREG(state.st_mode):
        os.close(descriptor)
        raise SecretUnusable(f"the secret {path} is not a regular file", hint="refer to the file itself")
    with open(descriptor, "rb") as file:
        if state.st_mode & 0o007:
            raise SecretUnusable(
                f"the secret file {path} is open to every user (mode {stat.S_IMODE(state.st_mode):04o})",
                hint=f"chmod 600 {path}; if others could have read it, replace the secret",
            )
        if state.st_mode & 0o020:
            raise SecretUnusable(
                f"the secret file {path} can be changed by its group", hint=f"chmod g-w {path}"
            )
        return file.read(MOST_BYTES + 2)


def _from_command(command: str, timeout_s: float) -> bytes:
    """Run ``command`` by ``/bin/sh`` and return its output; its process group ends with the deadline."""
    import signal
    import subprocess

    process = subprocess.Popen(
        ["/bin/sh", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # may quote the secret
        start_new_session=True,
    )
    with process:
        assert process.stdout is not None
        output = _read_until_closed(process.stdout.fileno(), timeout_s)
        if output is None or len(output) > MOST_BYTES:
            os.killpg(process.pid, signal.SIGKILL)
    if output is None:
        raise SecretUnusable(
            f"the secret command gave no answer in {timeout_s:g} s: {command}",
            hint="run it by hand as this user; it must not ask for anything",
        )
    if process.returncode != 0 and len(output) <= MOST_BYTES:
        raise SecretUnusable(
            f"the secret command failed with status {process.returncode}: {command}",
            hint="run it by hand as this user to see why",
        )
    return output


def _read_until_closed(descriptor: int, timeout_s: float) -> bytes | None:
    """Return what comes until the other end closes or too much came; None if neither happens in time."""
    import select
    import time

    deadline = time.monotonic() + timeout_s
    output = bytearray()
    while len(output) <= MOST_BYTES:
        left_s = deadline - time.monotonic()
        if left_s <= 0 or not select.select([descriptor], [], [], left_s)[0]:
            return None
        piece = os.read(descriptor, 1 << 16)
        if not piece:
            break
        output += piece
    return bytes(output)


def generate_key_file(path: str | os.PathLike[str]) -> None:
    """Create a key file: 32 random bytes in base64 and a line end, mode 0600, durable on return.

    Raises SecretUnusable if the path exists (a key file is never replaced) or can't be written.
    Crash: either no file, or a file that :func:`resolve` may find short; remove it, then run again.
    """
    import base64

    content = base64.b64encode(os.urandom(_KEY_BYTES)) + b"\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise SecretUnusable(
            f"the key file {os.fspath(path)} exists already; it was not changed",
            hint="use it, or name another path: without its key a repository can't be read",
        ) from error
    except OSError as error:
        raise SecretUnusable(
            f"the key file {os.fspath(path)} can't be created: {error.strerror}",
            hint="create its folder, owned by the user that runs Seawall, then try again",
        ) from error
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)  # whatever the umask
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
