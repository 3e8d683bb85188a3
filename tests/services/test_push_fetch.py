"""A snapshot travels to an OCI registry and back: the same wrapper, what is there is not sent, no lie is believed."""

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from modelward.domain.audit import AuditFilter
from modelward.domain.chunks import CHUNK
from modelward.domain.digest import Digest
from modelward.domain.errors import (
    BadManifest,
    BadObject,
    DiskFull,
    HashMismatch,
    ModelwardError,
    RegistryRefused,
    RegistryUnreachable,
    UnknownModel,
    UnknownSnapshot,
)
from modelward.domain.interchange import Reference
from modelward.domain.name import ModelName
from modelward.domain.wrapper import unwrap
from modelward.services.audit import show_audit, verify_audit
from modelward.services.backup import backup
from modelward.services.fetch_snapshot import fetch
from modelward.services.push import push
from modelward.services.restore import restore
from modelward.services.sound import is_sound
from modelward.testing import FakeStore, corrupt, fingerprint
from tests.models import pattern
from tests.places import Place

LLAMA = ModelName.parse("llama3")
THERE = Reference.parse("127.0.0.1:5000/backups/llama3")


class FakeRegistry:
    """A registry in memory, honest unless ``lie`` changes what it gives; counts what it is asked for."""

    def __init__(self) -> None:
        self.blobs: dict[Digest, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.lie: Callable[[Digest, bytes], bytes] = lambda _, data: data
        self.uploads: list[Digest] = []
        self.read = 0
        self._lock = threading.Lock()

    def manifest_bytes(self, repository: str, reference: str) -> bytes:
        """What a tag or digest names."""
        try:
            return self.manifests[f"{repository}:{reference}"]
        except KeyError:
            raise RegistryRefused("no such manifest", thing=reference) from None

    def has_blob(self, repository: str, blob: Digest, size: int) -> bool:
        """Whether it is there."""
        assert repository == THERE.place
        return len(self.blobs.get(blob, b"")) == size and blob in self.blobs

    def read_range(self, repository: str, blob: Digest, offset: int, view: memoryview) -> int:
        """Part of a blob."""
        assert repository == THERE.place
        data = self.lie(blob, self.blobs[blob])[offset : offset + len(view)]
        view[: len(data)] = data
        with self._lock:
            self.read += len(data)
        return len(data)

    def upload_blob(self, repository: str, blob: Digest, size: int, parts: Iterable[bytes]) -> None:
        """Take a blob in, proved."""
        assert repository == THERE.place
        data = b"".join(parts)
        assert (len(data), hashlib.sha256(data).hexdigest()) == (size, blob.hex)
        self.blobs[blob] = data
        self.uploads.append(blob)

    def put_manifest(self, repository: str, reference: str, raw: bytes, media_type: str) -> None:
        """Name the bytes; as a real one it refuses a manifest that names what it does not hold."""
        document = json.loads(raw)
        assert document["mediaType"] == media_type
        named = [document["config"], *document["layers"]]
        assert all(Digest.parse(item["digest"]) in self.blobs for item in named)
        self.manifests[f"{repository}:{reference}"] = raw
        self.manifests[f"{repository}:sha256:{hashlib.sha256(raw).hexdigest()}"] = raw


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A vault with a model of more than two chunks, a template, and an empty layer."""
    place = Place(tmp_path / "here")
    FakeStore(place.store).add_model("llama3", pattern(2 * CHUNK + 5), template=b"{{ .Prompt }}", system=b"")
    backup(place.site(), ())
    return place


@pytest.fixture
def other(tmp_path: Path) -> Place:
    """Another machine, with an empty store and an empty vault."""
    FakeStore(tmp_path / "there" / "store")
    return Place(tmp_path / "there")


@pytest.fixture
def registry(place: Place) -> FakeRegistry:
    """A registry that the model was pushed to."""
    registry = FakeRegistry()
    push(place.site(), registry, LLAMA, "", THERE)
    return registry


def wrapper_of(place: Place) -> Digest:
    """The digest of the newest snapshot's wrapper."""
    return place.site().the_vault().snapshots()[0].wrapper


def nothing_came(place: Place) -> bool:
    """No record, and nothing left in staging."""
    staging = place.vault / "modelward" / "staging"
    return place.site().the_vault().snapshots() == () and list(staging.iterdir()) == []


def test_there_and_back_gives_the_same_wrapper_and_model(place: Place, other: Place, registry: FakeRegistry) -> None:
    """Pushed, fetched into an empty vault, restored: wrapper digest, manifest bytes and blobs are what they were."""
    report = fetch(other.site(), registry, THERE)
    assert (report.model, report.outcome, report.wrapper) == (LLAMA, "stored", wrapper_of(place))
    snapshot = other.site().the_vault().snapshots()[0]
    assert (snapshot.wrapper, snapshot.store) == (wrapper_of(place), f"registry {THERE}")
    assert is_sound(other.site().the_vault(), snapshot)
    assert restore(other.site(), LLAMA, accepted=True).exit_code == 0
    assert fingerprint(other.store, ignore=".modelward") == fingerprint(place.store, ignore=".modelward")


def test_what_is_there_is_not_sent_or_fetched_again(place: Place, other: Place, registry: FakeRegistry) -> None:
    """A second push sends nothing; a second fetch reads no blob and records no second version."""
    again = push(place.site(), registry, LLAMA, "", THERE)
    assert (again.sent, again.bytes_moved, again.replaced) == (0, 0, "")
    fetch(other.site(), registry, THERE)
    registry.read = 0
    report = fetch(other.site(), registry, THERE)
    assert (report.outcome, report.fetched, report.bytes_moved) == ("unchanged", 0, 0)
    assert registry.read < 10_000
    assert len(other.site().the_vault().snapshots()) == 1


def test_a_push_that_was_cut_off_goes_on(place: Place) -> None:
    """What arrived before the network went stays and is not sent again; no manifest names half a model."""
    registry = FakeRegistry()
    honest = registry.upload_blob
    sent: list[Digest] = []

    def cut(repository: str, blob: Digest, size: int, parts: Iterable[bytes]) -> None:
        if len(sent) == 2:
            raise RegistryUnreachable("the connection was cut")
        honest(repository, blob, size, parts)
        sent.append(blob)

    registry.upload_blob = cut  # type: ignore[method-assign]
    with pytest.raises(RegistryUnreachable):
        push(place.site(), registry, LLAMA, "", THERE)
    assert registry.manifests == {}
    registry.upload_blob = honest  # type: ignore[method-assign]
    assert push(place.site(), registry, LLAMA, "", THERE).present == 2
    assert len(registry.uploads) == len(set(registry.uploads))


def test_a_dry_run_says_what_it_would_move_and_moves_nothing(place: Place, other: Place) -> None:
    """Push and fetch in a dry run count the bytes and leave registry and vault as they are."""
    registry = FakeRegistry()
    planned = push(place.site(), registry, LLAMA, "", THERE, dry_run=True)
    assert (registry.blobs, registry.manifests) == ({}, {})
    assert push(place.site(), registry, LLAMA, "", THERE).bytes_moved == planned.bytes_moved
    report = fetch(other.site(), registry, THERE, dry_run=True)
    assert report.outcome == "planned"
    assert report.bytes_moved == report.size
    assert nothing_came(other)


def test_a_moved_tag_is_told(place: Place, registry: FakeRegistry) -> None:
    """A push over a tag that named another version says which one; a named snapshot is the one that is sent."""
    first = place.site().the_vault().snapshots()[0]
    place.clock.advance(minutes=1)
    FakeStore(place.store).add_model("llama3", b"new" * 99)
    backup(place.site(), ())
    assert push(place.site(), registry, LLAMA, "", THERE).replaced == str(first.wrapper)
    back = push(place.site(), registry, LLAMA, first.id, THERE)
    assert (back.wrapper, back.sent) == (first.wrapper, 0)


def test_a_version_by_its_digest_under_another_name(place: Place, other: Place, registry: FakeRegistry) -> None:
    """A reference by digest is proved against it; the model takes the name that is asked for."""
    pinned = Reference.parse(f"{THERE}@{wrapper_of(place)}")
    report = fetch(other.site(), registry, pinned, ModelName.parse("mine:v2"))
    assert report.model == ModelName.parse("mine:v2")
    wrong = Digest("0" * 64)
    registry.manifests[f"{THERE.place}:{wrong}"] = registry.manifests[f"{THERE.place}:latest"]
    with pytest.raises(HashMismatch):
        fetch(other.site(), registry, Reference.parse(f"{THERE}@{wrong}"))


def test_unknown_models_and_versions(place: Place, other: Place, registry: FakeRegistry) -> None:
    """What nobody has is a typed error before anything is asked of the registry."""
    with pytest.raises(UnknownModel):
        push(other.site(), registry, LLAMA, "", THERE)
    with pytest.raises(UnknownSnapshot):
        push(place.site(), registry, LLAMA, "beef", THERE)
    with pytest.raises(RegistryRefused):
        fetch(other.site(), registry, Reference.parse("127.0.0.1:5000/backups/other"))


def test_rot_in_the_vault_is_not_sent(place: Place) -> None:
    """A damaged object ends the push before the registry has it whole, and no tag names it."""
    blob = max((place.vault / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    blob.chmod(0o600)
    corrupt.flip_bit(blob, CHUNK + 7, 2)
    registry = FakeRegistry()
    with pytest.raises(HashMismatch) as error:
        push(place.site(), registry, LLAMA, "", THERE)
    assert "repair --vault-copy" in error.value.next_step
    assert Digest(blob.name) not in registry.blobs
    assert registry.manifests == {}


LIES: dict[str, Callable[[bytes], bytes]] = {
    "one bit": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "cut short": lambda data: data[: len(data) // 2],
    "nothing": lambda _: b"",
    "zeros": lambda data: bytes(len(data)),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
@pytest.mark.parametrize("number", range(6))
def test_no_lie_of_a_registry_is_believed(
    other: Place, registry: FakeRegistry, lie: Callable[[bytes], bytes], number: int
) -> None:
    """Wrong bytes of any object that has some: a typed error, no record, nothing left in staging."""
    victims = sorted((blob for blob, data in registry.blobs.items() if len(data) > 2), key=str)
    victim = victims[number % len(victims)]
    registry.lie = lambda blob, data: lie(data) if blob == victim else data
    with pytest.raises(HashMismatch) as error:
        fetch(other.site(), registry, THERE)
    assert error.value.next_step
    assert nothing_came(other)
    registry.lie = lambda _, data: data
    assert fetch(other.site(), registry, THERE).outcome == "stored"


def test_a_wrong_chunk_is_asked_for_once_more(other: Place, registry: FakeRegistry) -> None:
    """A flip on the way costs one chunk, not the fetch."""
    largest = max(registry.blobs, key=lambda blob: len(registry.blobs[blob]))
    flips = iter([True])

    def flip_once(blob: Digest, data: bytes) -> bytes:
        return b"\xff" * 10 + data[10:] if blob == largest and next(flips, False) else data

    registry.lie = flip_once
    assert fetch(other.site(), registry, THERE).outcome == "stored"
    assert registry.read <= 3 * CHUNK + 10_000


Document = dict[str, Any]


def changed(registry: FakeRegistry, change: Callable[[Document], object]) -> None:
    """Let the tag name a wrapper of somebody's own making."""
    key = f"{THERE.place}:latest"
    document = json.loads(registry.manifests[key])
    change(document)
    registry.manifests[key] = json.dumps(document, separators=(",", ":")).encode()


HOSTILE: dict[str, Callable[[Document], object]] = {
    "another kind": lambda d: d.update(artifactType=[]),
    "no layers": lambda d: d.update(layers=[]),
    "a layer more": lambda d: d["layers"].append(dict(d["layers"][1])),
    "a layer less": lambda d: d["layers"].pop(1),
    "too many layers": lambda d: d["layers"].extend([d["layers"][1]] * 10_002),
    "a foreign media type": lambda d: d["layers"][2].update(mediaType="application/x-tar"),
    "a size that lies": lambda d: d["layers"][2].update(size=17),
    "a huge size": lambda d: d["layers"][2].update(size=1 << 62),
    "a huge manifest": lambda d: d["layers"][0].update(size=1 << 40),
    "a negative size": lambda d: d["layers"][2].update(size=-1),
    "a bad digest": lambda d: d["layers"][2].update(digest="sha256:../../etc/passwd"),
    "no chunk list": lambda d: d["layers"].pop(),
    "a huge chunk list": lambda d: d["layers"][-1].update(size=1 << 40),
    "a note more": lambda d: d.update(annotations={"a": "b"}),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_wrapper_is_refused_before_a_blob_is_read(
    other: Place, registry: FakeRegistry, change: Callable[[Document], object]
) -> None:
    """Only the one wrapper that its own manifest makes is taken; no blob is asked for."""
    changed(registry, change)
    registry.read = 0
    with pytest.raises((BadObject, HashMismatch)):
        fetch(other.site(), registry, THERE)
    assert registry.read < 10_000
    assert nothing_came(other)


def test_bytes_that_are_no_manifest(other: Place, registry: FakeRegistry) -> None:
    """Noise, deep nesting, another program's image: typed errors."""
    key = f"{THERE.place}:latest"
    for raw in (b"", b"\0" * 99, b"[" * 100_000, b"{}", b'{"artifactType":"x/y","layers":[]}', os.urandom(500)):
        registry.manifests[key] = raw
        with pytest.raises((BadObject, BadManifest)):
            fetch(other.site(), registry, THERE)
    assert nothing_came(other)


def test_a_chunk_list_that_lies_about_a_good_blob(place: Place, other: Place, registry: FakeRegistry) -> None:
    """A list of other chunk hashes under its true digest: neither a fetched blob nor a held one passes with it."""
    key = f"{THERE.place}:latest"
    wrapper = unwrap(registry.manifests[key])
    ((blob, named),) = wrapper.chunk_lists.items()
    forged = bytearray(registry.blobs[named.digest])
    forged[-1] ^= 1
    digest = Digest(hashlib.sha256(forged).hexdigest())
    registry.blobs[digest] = bytes(forged)
    changed(registry, lambda d: d["layers"][-1].update(digest=str(digest)))
    for taker in (other, place):
        before = len(taker.site().the_vault().snapshots())
        with pytest.raises(HashMismatch):
            fetch(taker.site(), registry, THERE)
        assert len(taker.site().the_vault().snapshots()) == before
    assert blob in registry.blobs


def test_rot_in_the_vault_is_replaced_by_what_is_fetched(place: Place, other: Place, registry: FakeRegistry) -> None:
    """An object that lies in the vault damaged is fetched anew, and only that one; the old bytes are kept (R1)."""
    fetch(other.site(), registry, THERE)
    blob = max((other.vault / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    blob.chmod(0o600)
    corrupt.zero(blob, CHUNK, 100)
    report = fetch(other.site(), registry, THERE)
    assert (report.fetched, report.bytes_moved) == (1, 2 * CHUNK + 5)
    assert is_sound(other.site().the_vault(), other.site().the_vault().snapshots()[0])
    assert len(list((other.vault / "modelward" / "quarantine").iterdir())) == 1
    assert wrapper_of(other) == wrapper_of(place)


def test_no_network_leaves_the_vault_free(other: Place, registry: FakeRegistry) -> None:
    """A registry that goes away midway: its own error, the lock given back, staging empty."""
    calls = count()

    def gone(repository: str, blob: Digest, offset: int, view: memoryview) -> int:
        if next(calls) > 1:
            raise RegistryUnreachable("no answer in time", thing=repository, next_step=f"try again: {blob}{len(view)}")
        return honest(repository, blob, offset, view)

    honest = registry.read_range
    registry.read_range = gone  # type: ignore[method-assign]
    with pytest.raises(ModelwardError) as error:
        fetch(other.site(), registry, THERE)
    assert isinstance(error.value, RegistryUnreachable)
    assert nothing_came(other)
    registry.read_range = honest  # type: ignore[method-assign]
    assert fetch(other.site(), registry, THERE).outcome == "stored"


def test_both_ways_are_in_the_audit_log(
    place: Place, other: Place, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent or fetched, whose version, where to or from, and the error of what failed (A1)."""
    fetch(other.site(), registry, THERE)
    pushed = show_audit(place.site(), AuditFilter(action="push")).entries[-1]
    fetched = show_audit(other.site(), AuditFilter(action="fetch")).entries[-1]
    snapshot = place.site().the_vault().snapshots()[0].id
    assert (pushed.model, pushed.keys["snapshot"], pushed.keys["target"]) == (str(LLAMA), snapshot, str(THERE))
    assert (fetched.model, fetched.keys["snapshot"], fetched.keys["source"]) == (str(LLAMA), snapshot, str(THERE))
    assert int(pushed.keys["bytes"]) >= int(fetched.keys["bytes"]) > 0
    assert {pushed.outcome, fetched.outcome} == {"done"}

    def broken(*_: object) -> None:
        raise RegistryUnreachable("gone")

    registry.blobs.clear()
    monkeypatch.setattr(registry, "upload_blob", broken)
    with pytest.raises(RegistryUnreachable):
        push(place.site(), registry, LLAMA, "", THERE)
    assert "gone" in show_audit(place.site(), AuditFilter(action="push")).entries[-1].outcome
    assert verify_audit(place.site()).faults == ()


def test_a_dry_run_leaves_no_entry(place: Place, other: Place, registry: FakeRegistry) -> None:
    """Nothing was done."""
    backup(other.site(make_vault=True), ())
    before = show_audit(other.site(), AuditFilter()).total
    fetch(other.site(), registry, THERE, dry_run=True)
    push(place.site(), FakeRegistry(), LLAMA, "", THERE, dry_run=True)
    assert show_audit(other.site(), AuditFilter()).total == before
    assert len(show_audit(place.site(), AuditFilter(action="push")).entries) == 1


def test_a_log_that_cannot_be_written_undoes_no_push(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The snapshot is sent, and the event says that the log does not know."""
    site, said = place.site(), list[str]()

    def full(*_: object, **__: object) -> None:
        raise DiskFull("no room", thing="audit.jsonl")

    monkeypatch.setattr(site.the_vault(), "audit", full)
    monkeypatch.setattr(site.progress, "say", lambda event, **_: said.append(event))
    registry = FakeRegistry()
    push(site, registry, LLAMA, "", THERE)
    assert registry.manifests
    assert said == ["audit_failed"]
