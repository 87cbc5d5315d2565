"""Keys, statements and ledgers for the tests of evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from seawall.evidence.entry import Entry, Place, seal_entry
from seawall.evidence.keys import PublicKey, SigningKey
from seawall.evidence.ledger import Ledger
from seawall.evidence.model import (
    Assertion,
    AssertionOutcome,
    Correction,
    DrillEvidence,
    Forecast,
    Note,
    Objective,
    Phase,
    RecoveryPoint,
    SignerAdded,
    Source,
    Statement,
    judge,
)
from seawall.evidence.places import place_in
from seawall.evidence.verify import LedgerReport, Problem, verify_ledger
from seawall.storage.memory import MemoryStore
from seawall.storage.protocol import ObjectStore
from tests.support.manual_clock import ManualClock

STARTED = datetime(2026, 11, 25, 10, 41, 7, tzinfo=UTC)


def key(number: int = 1) -> SigningKey:
    """Return a signing key that is always the same for a number."""
    return SigningKey(Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))


def drill(name: str = "d1", *outcomes: AssertionOutcome, reached_ms: int = 700_000) -> DrillEvidence:
    """Return a drill with one assertion for each outcome, one that passed unless told."""
    assertions = tuple(
        Assertion(name=f"assertion {number}", outcome=outcome, elapsed_ms=number, figures={"rows": number})
        for number, outcome in enumerate(outcomes or (AssertionOutcome.PASSED,), start=1)
    )
    rto = Objective(target_ms=900_000, reached_ms=reached_ms, detection_ms=180_000)
    return DrillEvidence(
        drill=name,
        scenario="restore of the newest backup to a random moment",
        source=Source(
            tool="seawall", location="s3://shop-dr", cluster="main", backup="20261125T020000Z-3fa9c1"
        ),
        outcome=judge(assertions, rto),
        started_at=STARTED,
        ended_at=STARTED + timedelta(milliseconds=reached_ms),
        phases=(
            Phase(name="restore", elapsed_ms=400_000, byte_count=2**40),
            Phase(name="replay", elapsed_ms=9),
        ),
        recovery_point=RecoveryPoint(asked="random", at=STARTED, lsn="16/B374D848", timeline=2),
        rto=rto,
        rpo=Objective(target_ms=30_000, reached_ms=6_000),
        assertions=assertions,
        deviations=("a machine with half the cores",),
        measures={"bytes_per_second": 123_456_789, "pg_version": "16.4"},
        forecast=Forecast(raw_bytes=2**44, rto_ms=9_000_000, basis="restore at 118 MiB/s"),
        plan_sha256="ab" * 32,
        who="ada",
        host="db2",
    )


def correction(about: int) -> Correction:
    return Correction(about=about, owner="ada", due=date(2026, 12, 24), note="index rebuilt", who="bob")


def note(text: str = "seen") -> Note:
    return Note(text=text, who="bob")


def ledger(store: ObjectStore, name: str | None = None) -> Ledger:
    return Ledger(place_in(store, name), clock=ManualClock())


def filled(store: ObjectStore) -> list[Entry]:
    """Put a ledger with one entry at least of each common type, by two signers; return all entries."""
    for object_key, data in _sound_objects().items():
        store.put(object_key, data)
    return list(ledger(store).entries())


@cache
def _sound_objects() -> dict[str, bytes]:
    store = MemoryStore()
    made = ledger(store)
    made.append(drill("d1"), key(1))
    made.append(drill("d2", AssertionOutcome.FAILED), key(1))
    made.append(SignerAdded(public_key=key(2).public.pem, label="db3", who="ada"), key(1))
    made.append(correction(3), key(2))
    made.append(note(), key(1))
    return {info.key: store.get(info.key) for info in store.scan("evidence/")}


def proven(store: ObjectStore, *trusted: PublicKey) -> LedgerReport:
    return verify_ledger(place_in(store), trusted=trusted or [key(1).public, key(2).public])


def problems(store: ObjectStore) -> list[tuple[int, Problem]]:
    """Return where verification finds what."""
    return [(finding.number, finding.problem) for finding in proven(store).findings]


def forge(before: Entry, statement: Statement, signer: SigningKey, **changes: object) -> bytes:
    """Return an object that would fit behind ``before``, but for ``changes`` of its place."""
    fields = {
        "ledger": before.place.ledger,
        "number": before.number + 1,
        "previous": before.sha256,
        "signers_at": before.next_signers_at,
        **changes,
    }
    place = Place(**fields)  # type: ignore[arg-type]
    return seal_entry(statement, place, signer, entry_id="ab" * 16, at=STARTED)


def replaced(store: ObjectStore, number: int, change: Callable[[bytes], bytes]) -> None:
    """Change an object as somebody with the store's credentials could."""
    object_key = place_in(store).key(number)
    data = store.get(object_key)
    store.delete(object_key)
    store.put(object_key, change(data))


def copied_to(folder: Path, store: ObjectStore, keys: Sequence[SigningKey] = ()) -> Path:
    """Copy the ledger's objects alone into a folder, with public keys beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    place = place_in(store)
    for info in store.scan(place.prefix):
        (folder / info.key.removeprefix(place.prefix)).write_bytes(store.get(info.key))
    for number, each in enumerate(keys, start=1):
        (folder / f"key{number}.pem").write_text(each.public.pem)
    return folder
