"""Connection strings are shown without secrets, and every failure to connect is told apart."""

from __future__ import annotations

import pytest

from seawall.model.errors import SeawallError
from seawall.postgres.connection_errors import (
    ConnectionFailure,
    explain_connection_failure,
    explain_statement_failure,
    is_understood,
    server_words,
)
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
from seawall.postgres.session import display_dsn, parse_dsn, with_database

SECRET = "geheim"


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        ("postgresql://ada:geheim@db1:5433/shop", "postgresql://ada@db1:5433/shop"),
        ("postgresql:///postgres", "postgresql:///postgres"),
        ("host=/run/postgresql dbname=shop password=geheim", "postgresql:///shop?host=/run/postgresql"),
        ("postgresql://ada@[fd00::1]/shop?sslpassword=geheim", "postgresql://ada@[fd00::1]/shop"),
        ("host=a,b port=1,2 user=ada", "postgresql://ada@/?host=a,b&port=1,2"),
        ("user='a b' dbname='c/d' password='geheim x'", "postgresql://a%20b@/c%2Fd"),
        ("service=shop", "postgresql:///?service=shop"),
    ],
)
def test_a_connection_string_is_shown_without_its_secrets(dsn: str, shown: str) -> None:
    assert display_dsn(dsn) == shown
    without = {name: value for name, value in parse_dsn(dsn).items() if SECRET not in value}
    assert parse_dsn(shown) == without, "what is shown leads to the same server"


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://ada:ge%heim@db1/shop",
        "postgresql://ada:x@geheim@db1/shop",
        "host=db1 geheim=1",
        "host=db1 password='geheim",
        "mysql://ada:geheim@db1/shop",
        "postgresql://ada:geheim\n@db1/shop",
    ],
)
def test_a_connection_string_that_cant_be_understood_is_never_quoted(dsn: str) -> None:
    with pytest.raises(ConnectionStringInvalid) as caught:
        display_dsn(dsn)
    assert SECRET not in str(caught.value) + caught.value.hint + str(caught.value.fields)
    assert caught.value.__cause__ is None, "libpq's own message may quote the password"


def test_another_database_of_the_same_server_is_named() -> None:
    assert parse_dsn(with_database("postgresql://ada@db1/shop", "a'b=\\ c")) == {
        "user": "ada",
        "host": "db1",
        "dbname": "a'b=\\ c",
    }


@pytest.mark.parametrize(
    ("text", "leaf"),
    [
        ('connection to server at "db1", port 5432 failed: Connection refused', ServerUnreachable),
        ("connection timeout expired", ServerUnreachable),
        ("failed to resolve host 'db1': [Errno -2] Name or service not known", ServerUnreachable),
        (
            'connection to server on socket "/run/.s.PGSQL.5432" failed: No such file or directory',
            ServerUnreachable,
        ),
        ("FATAL:  the database system is starting up", ServerNotReady),
        ("FATAL:  the database system is not yet accepting connections", ServerNotReady),
        ("FATAL:  sorry, too many clients already", ServerNotReady),
        ("FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attr", ServerNotReady),
        ('FATAL:  too many connections for role "ada"', ServerNotReady),
        ('FATAL:  database "shop" does not exist', DatabaseMissing),
        ('FATAL:  role "ada" does not exist', ServerLoginRefused),
        ('FATAL:  password authentication failed for user "ada"', ServerLoginRefused),
        ("fe_sendauth: no password supplied", ServerLoginRefused),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "ada"', ServerLoginRefused),
        ("FATAL:  database locale is incompatible with operating system", ServerLoginRefused),
        ('FATAL:  database "shop" is not currently accepting connections', ServerLoginRefused),
        ("server does not support SSL, but SSL was required", ServerLoginRefused),
        ("received invalid response to SSL negotiation: H", ServerUnsupported),
        ("expected authentication request from server, but received H", ServerUnsupported),
        ('invalid integer value "x" for connection option "port"', ConnectionStringInvalid),
    ],
)
def test_libpqs_english_texts_are_told_apart(text: str, leaf: type[SeawallError]) -> None:
    assert is_understood(text)
    error = explain_connection_failure(ConnectionFailure(text), server="postgresql://db1/shop")
    assert type(error) is leaf
    assert error.hint and error.message.startswith("postgresql://db1/shop: ")


@pytest.mark.parametrize(
    ("failure", "leaf"),
    [
        (ConnectionFailure("FATAL:  das Datenbanksystem startet", rejects=True), ServerNotReady),
        (
            ConnectionFailure("FATAL:  Passwort-Authentifizierung fehlgeschlagen", needs_password=True),
            ServerLoginRefused,
        ),
        (ConnectionFailure("FATAL:  Rolle »ada« existiert nicht", answers=True), ServerLoginRefused),
        (ConnectionFailure("Kein Weg zum Zielrechner", answers=False), ServerUnreachable),
    ],
)
def test_in_other_languages_the_ping_decides(failure: ConnectionFailure, leaf: type[SeawallError]) -> None:
    assert not is_understood(failure.text)
    error = explain_connection_failure(failure, server="postgresql://db1/shop")
    assert type(error) is leaf and error.hint


def test_the_servers_own_words_are_kept() -> None:
    text = 'connection to server at "db1", port 1 failed: FATAL:  role "x" does not exist\n'
    assert server_words(text) == 'role "x" does not exist'
    refused = (
        'connection failed: connection to server at "h" failed: Connection refused\n\tIs the server running?'
    )
    assert server_words(refused) == "Connection refused"


@pytest.mark.parametrize(
    ("sqlstate", "leaf"),
    [
        (None, ServerUnreachable),
        ("08006", ServerUnreachable),
        ("57P01", ServerUnreachable),
        ("57014", ServerUnreachable),
        ("53100", ServerNotReady),
        ("42501", ServerPermissionMissing),
        ("22012", StatementRefused),
    ],
)
def test_a_failed_statement_is_sorted_by_its_sqlstate(sqlstate: str | None, leaf: type[SeawallError]) -> None:
    error = explain_statement_failure("words", sqlstate=sqlstate, server="postgresql://db1/")
    assert type(error) is leaf and error.hint


def test_our_own_deadline_is_named_whatever_the_server_said() -> None:
    error = explain_statement_failure(
        "canceling statement due to user request", sqlstate="57014", server="S", timed_out_after_s=1.5
    )
    assert type(error) is ServerUnreachable and error.message == "S did not answer within 1.5 s"


@pytest.mark.parametrize(
    ("words", "grant"),
    [
        (
            "permission denied for function pg_backup_start",
            "GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean) TO the role",
        ),
        ("must be superuser or have privileges of pg_checkpoint to do CHECKPOINT", "GRANT pg_checkpoint"),
        ('permission denied to examine "data_directory"', "GRANT pg_monitor"),
    ],
)
def test_a_denied_statement_names_its_grant(words: str, grant: str) -> None:
    error = explain_statement_failure(words, sqlstate="42501", server="S")
    assert error.hint.startswith(grant)
