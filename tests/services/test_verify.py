"""Verify names what is wrong, where, and whether it can be healed; it changes nothing."""

import os
from pathlib import Path

import pytest

from modelward.domain.chunks import Span
from modelward.domain.errors import UnknownModel
from modelward.domain.finding import (
    BadEntry,
    CaseTwin,
    Corrupt,
    Finding,
    ManifestDamaged,
    ManifestLost,
    Missing,
    NotRegular,
    Orphan,
    Oversized,
    Partial,
    Truncated,
    Unreadable,
    UnstableRead,
    WrongOwner,
)
from modelward.domain.name import ModelName
from modelward.domain.reading import Level, ReadMode
from modelward.domain.verdict import Report
from modelward.services.backup import backup
from modelward.services.protect import release
from modelward.services.verify import verify
from modelward.services.verify_vault import verify_vault
from modelward.testing import FakeStore, corrupt, fingerprint
from tests.places import Place

CHUNK = 1 << 20
LLAMA = ModelName.parse("llama3")
WEIGHTS = bytes(range(256)) * (5 * CHUNK // 256) + b"tail"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A store with a model of five chunks and a bit, and a cloud model."""
    place = Place(tmp_path)
    store = FakeStore(place.store)
    store.add_model("llama3", WEIGHTS, template=b"{{ .Prompt }}")
    store.add_cloud_model("big:cloud", "https://ollama.com", "big")
    return place


def weights_path(place: Place) -> Path:
    """The file of the weights."""
    return max(place.store.glob("blobs/*"), key=lambda path: path.stat().st_size)


def findings(report: Report) -> tuple[Finding, ...]:
    """All findings of all models."""
    return tuple(finding for verdict in report.models for finding in verdict.findings)


def only(report: Report) -> Finding:
    """The one finding that there is."""
    found = findings(report)
    assert len(found) == 1, found
    return found[0]


def test_without_a_vault_damage_is_found_by_the_blobs_own_name(place: Place) -> None:
    """A store proves itself: no vault, no server, no network (V2); the place inside the blob is not known then."""
    corrupt.flip_bit(weights_path(place), 3 * CHUNK, 0)
    report = verify(place.site(make_vault=False), (), Level.FULL)
    found = only(report)
    assert isinstance(found, Corrupt)
    assert not found.exact
    assert report.exit_code == 3


def test_with_chunk_lists_the_damaged_spans_are_named(place: Place) -> None:
    """The vault's chunk list says which MiB is bad, and the model can be healed."""
    backup(place.site(), ())
    corrupt.zero(weights_path(place), 2 * CHUNK - 10, 20)
    corrupt.flip_bit(weights_path(place), 5 * CHUNK + 1, 1)
    report = verify(place.site(), (), Level.FULL)
    found = only(report)
    assert isinstance(found, Corrupt)
    assert found.spans == (Span(CHUNK, 2 * CHUNK), Span(5 * CHUNK, 4))
    assert report.exit_code == 1
    verdict = next(item for item in report.models if item.name == LLAMA)
    assert (verdict.healthy, verdict.recoverable) == (False, True)


def test_a_file_cut_short_or_grown(place: Place) -> None:
    """A wrong size is its own kind of damage, with the chunks that it touches."""
    backup(place.site(), ())
    corrupt.truncate(weights_path(place), 3 * CHUNK + 5)
    found = only(verify(place.site(), (), Level.FULL))
    assert isinstance(found, Truncated)
    assert found.actual == 3 * CHUNK + 5
    assert found.spans == (Span(3 * CHUNK, 2 * CHUNK + 4),)
    weights_path(place).write_bytes(WEIGHTS + b"more")
    grown = only(verify(place.site(), (), Level.FULL))
    assert isinstance(grown, Oversized)
    assert grown.spans == ()


def test_what_quick_sees_and_what_it_cannot(place: Place) -> None:
    """Quick reads folder entries and receipts: it sees loss and length, and calls an unproved model unproved."""
    report = verify(place.site(make_vault=False), (), Level.QUICK)
    assert {verdict.healthy for verdict in report.models} == {None}
    assert report.bytes_read == 0
    weights_path(place).unlink()
    assert isinstance(only(verify(place.site(make_vault=False), (), Level.QUICK)), Missing)


def test_a_changed_file_loses_its_receipt(place: Place) -> None:
    """What was proved is proved for that very file; touching it makes it unproved again (W3)."""
    verify(place.site(), (), Level.FULL)
    assert all(v.healthy for v in verify(place.site(), (), Level.QUICK).models)
    path = weights_path(place)
    os.utime(path, ns=(1, 1))
    report = verify(place.site(), (LLAMA,), Level.QUICK)
    assert report.models[0].healthy is None


def test_samples_add_up_to_a_full_pass(place: Place) -> None:
    """The cursor goes on where the last sample stopped, inside a blob too, and finishes a pass."""
    backup(place.site(), ())
    corrupt.flip_bit(weights_path(place), 5 * CHUNK + 2, 2)
    kinds: list[bool | None] = []
    for _ in range(12):
        place.clock.advance(minutes=1)
        report = verify(place.site(), (LLAMA,), Level.SAMPLE, sample_percent=20)
        kinds.append(report.models[0].healthy)
        if report.models[0].healthy is False:
            break
    assert kinds[-1] is False
    assert len(kinds) <= 7
    assert report.bytes_read <= 2 * CHUNK


def test_a_time_limit_leaves_the_rest_unread_and_says_so(place: Place) -> None:
    """With no time at all nothing is read, nothing is called good or bad."""
    site = place.site()
    site.reading.deadline = site.clock.monotonic()
    report = verify(site, (), Level.FULL)
    assert report.unread >= len(WEIGHTS)
    assert {verdict.healthy for verdict in report.models} == {None}
    assert report.exit_code == 0


def test_a_lost_manifest_is_damage_of_a_protected_model_only(place: Place) -> None:
    """The vault remembers the model; a released one may be gone (G3)."""
    backup(place.site(), ())
    FakeStore(place.store).delete_manifest("llama3")
    report = verify(place.site(), (), Level.QUICK)
    assert isinstance(only(report), ManifestLost)
    assert report.exit_code == 1
    release(place.site(), LLAMA)
    assert not findings(verify(place.site(), (), Level.QUICK))


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 500, b"{", b'{"schemaVersion":2,"layers":[{"digest":"sha256:../../x","size":1}]}']
)
def test_a_damaged_manifest_says_why(place: Place, content: bytes) -> None:
    """Empty, zeroed, cut or hostile: one finding with the reason, recoverable from the vault (T1, T2)."""
    backup(place.site(), ())
    FakeStore(place.store).manifest_path("llama3").write_bytes(content)
    report = verify(place.site(), (), Level.FULL)
    found = only(report)
    assert isinstance(found, ManifestDamaged)
    assert found.reason
    assert report.exit_code == 1


def test_links_and_fifos_are_never_read(place: Place, tmp_path: Path) -> None:
    """A symlink or FIFO under a blob's name is damage by itself, and is not followed (T1)."""
    path = weights_path(place)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    found = only(verify(place.site(make_vault=False), (), Level.FULL))
    assert isinstance(found, NotRegular)
    assert found.what == "symlink"
    path.unlink()
    os.mkfifo(path)
    fifo = only(verify(place.site(make_vault=False), (), Level.FULL))
    assert isinstance(fifo, NotRegular)
    assert fifo.what == "FIFO"


def test_hints_are_not_damage(place: Place) -> None:
    """Orphans, partial downloads, case twins and odd entries are said, and the exit code stays 0."""
    store = FakeStore(place.store)
    store.add_orphan(b"nobody names me")
    store.add_partial()
    store.add_model("LLAMA3", WEIGHTS, template=b"{{ .Prompt }}")
    (place.store / "manifests" / "README").write_text("not a model")
    report = verify(place.site(make_vault=False), (), Level.FULL)
    assert {type(finding) for finding in report.findings} == {Orphan, Partial, CaseTwin, BadEntry}
    assert report.exit_code == 0


def test_steady_io_errors_are_unreadable_spans(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad sector is named by its chunk and the error's name."""
    backup(place.site(), ())
    real = os.preadv

    def preadv(fd: int, buffers: list[memoryview], offset: int) -> int:
        if offset <= 2 * CHUNK < offset + len(buffers[0]) and os.fstat(fd).st_size == len(WEIGHTS):
            raise OSError(5, "Input/output error")
        return real(fd, buffers, offset)

    monkeypatch.setattr("modelward.scan.os.preadv", preadv)
    found = only(verify(place.site(), (), Level.FULL))
    assert isinstance(found, Unreadable)
    assert (found.error, found.spans) == ("EIO", (Span(2 * CHUNK, CHUNK),))


@pytest.mark.parametrize("with_vault", [True, False])
def test_two_reads_that_differ_are_not_called_damage(
    place: Place, monkeypatch: pytest.MonkeyPatch, *, with_vault: bool
) -> None:
    """A read that lies once is an unstable read: suspect the memory, not the disk (V1)."""
    if with_vault:
        backup(place.site(), ())
    real, lies = os.preadv, [True]

    def preadv(fd: int, buffers: list[memoryview], offset: int) -> int:
        got = real(fd, buffers, offset)
        if lies and os.fstat(fd).st_size == len(WEIGHTS):
            lies.clear()
            buffers[0][7] ^= 1
        return got

    monkeypatch.setattr("modelward.scan.os.preadv", preadv)
    report = verify(place.site(make_vault=with_vault), (), Level.FULL)
    assert isinstance(only(report), UnstableRead)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_a_blob_that_the_runtime_cannot_read(place: Place) -> None:
    """Root's private copy in a store that belongs to another user keeps the runtime out (R5)."""
    for path in (place.store / "blobs", *place.store.glob("blobs/*")):
        os.chown(path, 1234, 1234)
    path = weights_path(place)
    os.chown(path, 0, 0)
    path.chmod(0o600)
    found = only(verify(place.site(make_vault=False), (), Level.FULL))
    assert isinstance(found, WrongOwner)
    assert (found.actual, found.expected) == ((0, 0, 0o600), (1234, 1234, 0o644))


def test_verify_changes_nothing(place: Place) -> None:
    """Read-only means read-only: not a byte, mode, owner or name in the store."""
    backup(place.site(), ())
    corrupt.flip_bit(weights_path(place), 5, 5)
    before = fingerprint(place.store)
    for level in Level:
        verify(place.site(), (), level)
    assert fingerprint(place.store) == before


def test_an_unknown_model_is_a_usage_error(place: Place) -> None:
    """Nobody knows it: say so instead of calling it healthy."""
    with pytest.raises(UnknownModel):
        verify(place.site(make_vault=False), (ModelName.parse("nope"),), Level.QUICK)


def test_how_it_was_read_is_said(place: Place) -> None:
    """A verdict names where its bytes came from (V1)."""
    place.mode = ReadMode.CACHED
    assert verify(place.site(make_vault=False), (), Level.FULL).read == "cached"


def test_the_vaults_own_copy(place: Place) -> None:
    """Rot in the vault is found, is recoverable while the store is good, and the next backup heals it."""
    backup(place.site(), ())
    assert verify_vault(place.site(), (), Level.FULL).exit_code == 0
    blob = max((place.vault / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    corrupt.flip_bit(blob, CHUNK + 1, 1)
    report = verify_vault(place.site(), (), Level.FULL)
    assert report.exit_code == 1
    assert isinstance(only(report), Corrupt)
    assert verify(place.site(), (LLAMA,), Level.QUICK).models[0].recoverable is False
    backup(place.site(), ())
    assert verify_vault(place.site(), (), Level.FULL).exit_code == 0
    assert verify(place.site(), (LLAMA,), Level.QUICK).models[0].recoverable is True


def test_rot_in_the_vault_that_the_store_cannot_heal(place: Place) -> None:
    """Bad in the vault and gone from the store: no source is left."""
    backup(place.site(), ())
    blob = max((place.vault / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    corrupt.flip_bit(blob, CHUNK + 1, 1)
    weights_path(place).unlink()
    assert verify_vault(place.site(), (), Level.FULL).exit_code == 3


@pytest.mark.parametrize("which", ["wrapper", "manifest", "chunk list", "empty config"])
def test_rot_in_the_vaults_small_objects_is_found_and_stored_anew(place: Place, which: str) -> None:
    """Every object class of the vault is verified; the next backup mends it without a second record (S1, W3)."""
    backup(place.site(), ())
    vault = place.site().the_vault()
    content = vault.content(next(s for s in vault.snapshots() if s.model == LLAMA))
    digest = {
        "wrapper": content.snapshot.wrapper,
        "manifest": content.snapshot.manifest,
        "chunk list": next(iter(content.wrapper.chunk_lists.values())).digest,
        "empty config": content.wrapper.objects[0].digest,
    }[which]
    corrupt.flip_bit(place.vault / "blobs" / "sha256" / digest.hex, 1, 1)
    report = verify_vault(place.site(), (), Level.FULL)
    assert report.exit_code == 1
    place.clock.advance(minutes=5)
    backup(place.site(), ())
    assert verify_vault(place.site(), (), Level.FULL).exit_code == 0
    assert len(place.site().the_vault().snapshots()) == 2
