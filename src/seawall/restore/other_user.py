"""Let another user answer: a function of this package in a process of that user's.

Root may do almost anything, so what it tries proves nothing for the server's user, and a ``peer`` rule of the
server lets root in as nobody. A process that *is* that user gets the true answer. It is a new
one, not a fork, since threads run here; it is given one JSON document and gives one back.
"""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from seawall.model.errors import REGISTRY, SeawallError
from seawall.postgres.server.user import RunAs


class NoAnswer(Exception):
    """The process could not even begin; holds its last words."""


def call_as(
    user: RunAs, module: str, document: object, environment: Mapping[str, str], *, timeout_s: float
) -> Any:
    """Return what ``module``'s :func:`answer_with` function answers to ``document`` as ``user``.

    Raises:
        SeawallError: what the function raised there.
        NoAnswer: that user can't run this Python, or it gave no answer in time.
    """
    try:
        done = subprocess.run(
            user.command([sys.executable, "-m", module]),
            input=json.dumps(document).encode(),
            capture_output=True,
            cwd="/",
            env=dict(environment),
            timeout=timeout_s,
            check=False,
            **user.popen_kwargs(),
        )
        answer = json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoAnswer(str(error)) from error
    except ValueError as error:
        raise NoAnswer(last_line(done.stderr) or f"it ended with status {done.returncode}") from error
    if "error" in answer:
        told = answer["error"]
        raise REGISTRY[told["code"]](told["message"], hint=told["hint"])
    return answer["answer"]


def answer_with(function: Callable[[Any], object]) -> None:
    """Be the process: read the document, answer it on standard output."""
    try:
        answer: dict[str, object] = {"answer": function(json.load(sys.stdin))}
    except SeawallError as error:
        answer = {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
    sys.stdout.buffer.write(json.dumps(answer).encode())


def home_environment(uid: int) -> dict[str, str]:
    """Return this process's environment as ``uid`` would have it."""
    environment = dict(os.environ)
    try:
        account = pwd.getpwuid(uid)
    except KeyError:
        return environment
    return environment | {"HOME": account.pw_dir, "USER": account.pw_name, "LOGNAME": account.pw_name}


def user_name(uid: int) -> str:
    """Return how to call a user in a message."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def last_line(output: bytes) -> str:
    """Return the last line of a program's words: a traceback ends with what matters."""
    lines = output.decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip() if lines else ""
