"""Secrets leave no text that a report shows."""

from __future__ import annotations

import pytest

from seawall.audit.masking import hide, masked

SECRET = "hunter2"
WITH_SECRET = [
    f"PGPASSWORD={SECRET} cp %p /a/%f",
    f"AWS_SECRET_ACCESS_KEY='{SECRET}' aws s3 cp %p s3://b/%f",
    f'AZURE_STORAGE_ACCESS_KEY="{SECRET}" az storage',
    f"WALG_LIBSODIUM_KEY={SECRET} wal-g wal-push %p",
    f"sshpass -p {SECRET} scp %p h:/a/%f",
    f"sshpass -p{SECRET} scp %p h:/a/%f",
    f"curl -u backup:{SECRET} -T %p ftp://h/%f",
    f"curl --user backup:{SECRET} -T %p ftp://h/%f",
    f"curl -T %p ftp://backup:{SECRET}@h/%f",
    f"lftp -c 'open sftp://u:{SECRET}@h; put %p'",
    f"pgbackrest --repo1-cipher-pass={SECRET} archive-push %p",
    f"s3cmd --secret_key={SECRET} put %p s3://b",
    f"s3cmd --secret_key {SECRET} put %p s3://b",
    f"gpg --passphrase {SECRET} -c %p",
    f"openssl --password '{SECRET}' -in %p",
    f"host=db1 user=rep password={SECRET} sslmode=require",
    f"host=db1 user=rep password = '{SECRET}' sslmode=require",
    f"postgresql://rep:{SECRET}@db1/postgres",
    f"postgresql://rep:p@ss{SECRET}@db1/postgres",
    f"https://acc.blob.core.windows.net/c/%f?sv=2024&sig={SECRET}&se=x",
    f"curl -H 'Authorization: Bearer {SECRET}' -T %p https://h/%f",
    f"curl -H 'X-Auth-Token: {SECRET}' -T %p https://h/%f",
]
WITHOUT_SECRET = [
    "cp %p /mnt/wal/%f",
    "test ! -f /secret/token/%f && cp %p /secret/token/%f",
    "pgbackrest --stanza=main archive-push %p",
    "wal-g --config /etc/wal-g.yaml wal-push %p",
    "scp -P 2222 %p backup@host:/a/%f",
]


@pytest.mark.parametrize("text", WITH_SECRET)
def test_a_secret_is_masked(text: str) -> None:
    assert SECRET not in masked(text)


@pytest.mark.parametrize("text", WITHOUT_SECRET)
def test_what_is_no_secret_stays(text: str) -> None:
    assert masked(text) == text


def test_a_known_secret_is_masked_wherever_it_stands() -> None:
    assert hide("cp %p /hunter2/%f", ("hunter", "hunter2")) == "cp %p /***/%f"
