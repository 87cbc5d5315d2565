"""Sessions with real servers: safe settings, deadlines that hold, refusals that name the remedy."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from seawall.model.errors import SeawallError
from seawall.postgres.errors import (
    ConnectionStringInvalid,
    DatabaseMissing,
    ServerLoginRefused,
    ServerNotReady,
    ServerPermissionMissing,
    ServerUnreachable,
    ServerUnsupported,
    StatementRefused,
)
from seawall.postgres.programs import ServerPrograms
from seawall.postgres.session import connect
from tests.support import reaper
from tests.support.servers import TestCluster

pytestmark = pytest.mark.postgres


def test_a_session_is_safe_on_every_major(server: TestCluster) -> None:
    server.sql(
        "CREATE FUNCTION public.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT true'",
        "ALTER ROLE postgres SET search_path = public, pg_catalog",
        "ALTER ROLE postgres SET statement_timeout = '50ms'",
    )
    with connect(server.url(), application_name="seawall test") as session:
        assert session.major == server.major
        assert session.query_one("SELECT pg_is_in_recovery()") == (False,)
        assert session.query_one("SELECT pg_sleep(0.2)::text, %s::text", ["100 %"]) == ("", "100 %")
        assert session.query_all("SELECT generate_series(1, 2)") == [(1,), (2,)]
        assert session.query_one("SELECT current_setting('application_name')") == ("seawall test",)
        assert "geheim" not in session.server
    with pytest.raises(ServerUnreachable, match="closed"):
        session.query_one("SELECT 1")


def test_a_deadline_cancels_and_the_session_goes_on(server: TestCluster) -> None:
    with connect(server.url()) as session:
        begun = time.monotonic()
        with pytest.raises(ServerUnreachable, match=r"did not answer within 0\.3 s"):
            session.query_one("SELECT pg_sleep(30)", deadline_s=0.3)
        assert time.monotonic() - begun < 5
        assert session.query_one("SELECT 1") == (1,)


@contextmanager
def frozen(server: TestCluster) -> Iterator[None]:
    """Stop every process of a server without ending it: the disk is stuck, the host is paged out."""
    pids = reaper.processes_in(server.data.resolve())
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_a_frozen_server_hangs_nobody(one_server: TestCluster) -> None:
    with connect(one_server.url()) as session, frozen(one_server):
        begun = time.monotonic()
        with pytest.raises(ServerUnreachable, match="did not answer within"):
            session.query_one("SELECT 1", deadline_s=0.5)
        with pytest.raises(ServerUnreachable, match="closed"):  # cut: not even a cancel request was answered
            session.query_one("SELECT 1")
        with pytest.raises(ServerUnreachable, match="did not answer in time"):
            connect(one_server.url(), connect_timeout_s=2)
        assert time.monotonic() - begun < 20


@pytest.mark.parametrize(
    ("answer", "leaf"), [(b"", ServerUnreachable), (b"HTTP/1.1 400 Bad Request\r\n\r\n", ServerUnsupported)]
)
def test_what_is_no_postgresql_server_is_told(answer: bytes, leaf: type[SeawallError]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if answer:
            threading.Thread(target=_answer_all, args=(listener, answer), daemon=True).start()
        port = listener.getsockname()[1]
        with pytest.raises(leaf) as caught:
            connect(f"postgresql://ada:geheim@127.0.0.1:{port}/shop", connect_timeout_s=2)
    assert "geheim" not in str(caught.value) + caught.value.hint


def _answer_all(listener: socket.socket, answer: bytes) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        with client:
            client.recv(1024)
            client.sendall(answer)


def test_refusals_of_a_real_server_are_told_apart(one_server: TestCluster) -> None:
    with pytest.raises(DatabaseMissing):
        connect(one_server.url("nowhere"))
    with pytest.raises(ServerLoginRefused, match="no such role"):
        connect(one_server.url(user="nobody"))
    one_server.stop()
    with pytest.raises(ServerUnreachable) as caught:
        connect(one_server.url())
    assert "running" in caught.value.hint


def test_passwords_are_asked_for_checked_and_never_shown(one_server: TestCluster) -> None:
    one_server.sql("CREATE ROLE ada LOGIN PASSWORD 'geheim'")
    (one_server.data / "pg_hba.conf").write_text(
        "local all postgres trust\nlocal postgres ada scram-sha-256\n"
    )
    one_server.reload()
    url = one_server.url(user="ada")
    with pytest.raises(ServerLoginRefused, match="wants a password") as none:
        connect(url)
    with pytest.raises(ServerLoginRefused, match="does not accept this login") as wrong:
        connect(url, password="verraten")
    with pytest.raises(ServerLoginRefused, match=r"pg_hba\.conf"):
        connect(one_server.url("template1", "ada"))
    with connect(url, password="geheim") as session:
        assert session.query_one("SELECT current_user") == ("ada",)
    assert "verraten" not in str(wrong.value) and ".pgpass" in none.value.hint


def test_a_full_server_is_not_ready(one_pg_programs: ServerPrograms) -> None:
    full = {"max_connections": "2", "superuser_reserved_connections": "0", "max_wal_senders": "0"}
    cluster = TestCluster.create(one_pg_programs, settings=full)
    try:
        cluster.start()
        with connect(cluster.url()), connect(cluster.url()), pytest.raises(ServerNotReady) as caught:
            connect(cluster.url())
        assert "max_connections" in caught.value.hint
    finally:
        cluster.destroy()


def test_statements_that_fail_are_told_apart(one_server: TestCluster) -> None:
    one_server.sql("CREATE ROLE plain LOGIN")
    with connect(one_server.url()) as session:
        with pytest.raises(StatementRefused, match="division by zero"):
            session.query_one("SELECT 1 / 0")
        one_server.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'seawall'"
        )
        with pytest.raises(ServerUnreachable):
            session.query_one("SELECT 1")
    with connect(one_server.url(user="plain")) as session, pytest.raises(ServerPermissionMissing) as caught:
        session.query_one("SELECT pg_switch_wal()")
    assert caught.value.hint == "GRANT EXECUTE ON FUNCTION pg_switch_wal() TO the role"


def test_text_in_no_known_encoding_is_kept(one_server: TestCluster) -> None:
    one_server.sql("CREATE DATABASE anything ENCODING 'SQL_ASCII' TEMPLATE template0")
    with connect(one_server.url("anything")) as session:
        (text,) = session.query_one("SELECT convert_from('\\x61ff62', 'SQL_ASCII')")
    assert text.encode("utf-8", "surrogateescape") == b"a\xffb"


def test_a_pooler_is_refused(one_server: TestCluster) -> None:
    """PgBouncer makes up the process id that it announces; a backup behind it would be torn in two."""
    path = str(one_server.socket_directory / ".s.PGSQL.5432")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_pool, args=(listener, path), daemon=True).start()
        url = f"postgresql://postgres@127.0.0.1:{listener.getsockname()[1]}/postgres?sslmode=disable"
        with pytest.raises(ConnectionStringInvalid, match="pooler"):
            connect(f"{url}&gssencmode=disable")


def _pool(listener: socket.socket, server_path: str) -> None:
    """Pass one client's bytes on, with another backend's number in BackendKeyData."""
    client, _ = listener.accept()
    server = socket.socket(socket.AF_UNIX)
    server.connect(server_path)
    # The client hangs up as soon as it has seen enough, with or without a reset.
    with client, server, contextlib.suppress(ConnectionError):
        threading.Thread(target=_pass_on, args=(client, server), daemon=True).start()
        while data := server.recv(65536):
            at = data.find(b"K\x00\x00\x00\x0c")
            if at >= 0:
                (pid,) = struct.unpack_from(">i", data, at + 5)
                data = data[: at + 5] + struct.pack(">i", pid + 1) + data[at + 9 :]
            client.sendall(data)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return  # the test is over
