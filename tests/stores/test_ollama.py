"""An Ollama store is read by its folder entries alone: all of it, nothing beside it, and nothing is changed."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelward import durable
from modelward.domain.codec import encode
from modelward.domain.digest import Digest
from modelward.domain.errors import (
    BadManifest,
    BlobMissing,
    DamageError,
    ModelwardError,
    NotARegularFile,
    ReadFailed,
    StoreNotFound,
)
from modelward.domain.finding import BadEntry, CaseTwin, Finding, ManifestDamaged, Orphan, Partial
from modelward.domain.manifest import MAX_BYTES
from modelward.domain.name import ModelName
from modelward.domain.store import Inventory, Owner
from modelward.stores.ollama import OllamaStore
from modelward.stores.ollama_writer import StoreLimits
from modelward.testing import FakeStore, FrozenClock, fingerprint
from tests.kinds import KINDS, at_most, put
from tests.places import BEGIN
from tests.privileges import unprivileged


@pytest.fixture
def fake(tmp_path: Path) -> FakeStore:
    """A store with one model."""
    store = FakeStore(tmp_path / "models")
    store.add_model("llama3", b"weights", template=b"{{ .Prompt }}")
    return store


@pytest.fixture(autouse=True)
def _never_for_ever() -> Iterator[None]:
    """No call of these tests may hang."""
    with at_most(30):
        yield


def opened(root: Path) -> OllamaStore:
    """The store in this folder."""
    return OllamaStore.open(root, clock=FrozenClock(BEGIN), limits=StoreLimits(lock_wait=0, reserve=0))


def inventory(fake: FakeStore) -> Inventory:
    """What a new process finds."""
    return opened(fake.root).inventory()


def names(found: Inventory) -> set[str]:
    """The models' names as a person types them."""
    return {name.short for name in found.models}


def only(found: Inventory) -> Finding:
    """The one finding that there is."""
    assert len(found.findings) == 1, found.findings
    return found.findings[0]


# What a store holds.


@pytest.mark.parametrize(
    "name",
    [
        "user/model",
        "model:8b-instruct-q4_K_M",
        "hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M",
        "localhost:5000/team/model:v1.2",
        "registry.example.org:443/a/b:c",
    ],
)
def test_models_of_every_registry_are_found(fake: FakeStore, name: str) -> None:
    """By their full names, with their manifests' exact bytes."""
    info = fake.add_model(name, [b"more", b"weights"], params=b"{}", newline=True)
    found = inventory(fake)
    model = found.models[ModelName.parse(name)]
    assert str(model.name) == info.name
    assert (model.manifest.raw, model.manifest.digest.hex) == (info.raw, info.digest)
    assert {blob.digest.hex for blob in model.manifest.blobs} == set(info.blobs)
    assert set(found.blobs) == {Digest(blob) for path in fake.root.glob("blobs/*") for blob in [path.name[7:]]}
    assert found.findings == ()


def test_a_shared_blob_is_one_blob_with_two_users(fake: FakeStore) -> None:
    """Both models name it."""
    shared = fake.add_model("other", b"weights", template=b"another").layers[0]
    found = inventory(fake)
    assert {name.short for name in found.users_of(Digest(shared))} == {"llama3:latest", "other:latest"}


def test_blobs_come_with_their_entries(fake: FakeStore) -> None:
    """Identity, owner and mode, without a byte being read."""
    blob = fake.add_blob(b"weights")
    found = inventory(fake).blobs[Digest(blob)]
    stat = fake.blob_path(blob).stat()
    assert (found.file.inode, found.file.size, found.file.mtime_ns) == (stat.st_ino, 7, stat.st_mtime_ns)
    assert found.owner == Owner(stat.st_uid, stat.st_gid, 0o644)


@pytest.mark.parametrize("null_layers", [False, True])
def test_cloud_models_have_a_config_only(fake: FakeStore, *, null_layers: bool) -> None:
    """Layers may be empty or null."""
    info = fake.add_cloud_model("big:cloud", "https://ollama.com", "big", null_layers=null_layers)
    model = inventory(fake).models[ModelName.parse("big:cloud")]
    assert [blob.digest.hex for blob in model.manifest.blobs] == [info.config]


@pytest.mark.parametrize("config", [None, {}, {"mediaType": "", "digest": "", "size": 0}])
def test_cloud_models_without_a_config(fake: FakeStore, config: object) -> None:
    """Some name no blob at all."""
    fake.add_manifest("big:cloud", json.dumps({"schemaVersion": 2, "config": config, "layers": None}).encode())
    found = inventory(fake)
    assert found.models[ModelName.parse("big:cloud")].manifest.blobs == ()
    assert found.findings == ()


def test_tensor_models_have_many_layers(fake: FakeStore) -> None:
    """Each tensor is a blob with a name."""
    fake.add_tensor_model("tensors", 400)
    manifest = inventory(fake).models[ModelName.parse("tensors")].manifest
    assert len(manifest.layers) == 400
    assert all(layer.name.startswith("model.layers.") for layer in manifest.layers)


def test_what_stopped_downloads_left_is_a_hint(fake: FakeStore) -> None:
    """A sparse file counts with the bytes that it takes, its sidecar too; neither is damage."""
    fake.add_partial(size=64 << 20, completed=1 << 20)
    found = [finding for finding in inventory(fake).findings if isinstance(finding, Partial)]
    assert len(found) == 2
    assert 1 << 20 <= max(finding.bytes for finding in found) < 2 << 20
    assert not any(finding.damage for finding in found)


def test_a_blob_that_no_manifest_names_is_an_orphan(fake: FakeStore) -> None:
    """With its size, because the runtime will delete it at its next start."""
    orphan = fake.add_orphan(b"lost and found")
    found = only(inventory(fake))
    assert isinstance(found, Orphan)
    assert (found.blob.hex, found.size, found.path) == (orphan, 14, f"blobs/sha256-{orphan}")


def test_names_that_differ_in_case_only_are_twins(fake: FakeStore) -> None:
    """They collide where file names have no case; both are models here."""
    fake.add_model("Llama3", b"other weights")
    found = inventory(fake)
    twins = [finding for finding in found.findings if isinstance(finding, CaseTwin)]
    assert [{name.short for name in twin.models} for twin in twins] == [{"Llama3:latest", "llama3:latest"}]
    assert names(found) == {"Llama3:latest", "llama3:latest"}


# Stores with little in them.


def test_a_store_without_models(tmp_path: Path) -> None:
    """Two empty folders are a store."""
    found = inventory(FakeStore(tmp_path / "models"))
    assert (found.models, found.blobs, found.odd, found.findings) == ({}, {}, {}, ())


@pytest.mark.parametrize("missing", [("manifests",), ("blobs",), ("manifests", "blobs")])
def test_a_store_without_its_folders(fake: FakeStore, missing: tuple[str, ...]) -> None:
    """What is missing holds nothing; the rest is read."""
    for name in missing:
        shutil.rmtree(fake.root / name)
    found = inventory(fake)
    assert bool(found.models) == ("manifests" not in missing)
    assert bool(found.blobs) == ("blobs" not in missing)
    with pytest.raises(BlobMissing):
        opened(fake.root).read_manifest(ModelName.parse("none"))
    if "blobs" in missing:
        with pytest.raises(BlobMissing):
            opened(fake.root).open_blob(Digest("0" * 64))
    assert opened(fake.root).default_owner() == Owner(os.getuid(), os.getgid(), 0o644)


@pytest.mark.parametrize("kind", ["nothing", "file"])
def test_a_folder_that_is_no_store(tmp_path: Path, kind: str) -> None:
    """The error names the place and what to give instead."""
    if kind == "file":
        (tmp_path / "models").write_bytes(b"")
    with pytest.raises(StoreNotFound) as caught:
        opened(tmp_path / "models")
    assert caught.value.thing == str(tmp_path / "models")
    assert "--store" in caught.value.next_step


def test_an_empty_store_is_made_where_one_is_wanted(tmp_path: Path) -> None:
    """A restore may go to a new folder."""
    made = OllamaStore.open(tmp_path / "new", clock=FrozenClock(BEGIN), limits=StoreLimits(), create=True)
    assert made.inventory().models == {}
    assert made.path == str(tmp_path / "new")


# What does not belong there.


@pytest.mark.parametrize(
    "path",
    ["file", "host/file", "host/ns/file", ".DS_Store", "registry.ollama.ai/library/llama3/deep/er", "host/n s/m/t"],
)
def test_an_entry_at_the_wrong_depth_or_of_no_name(fake: FakeStore, path: str) -> None:
    """Named, and no damage: the runtime does not see it either, or cannot serve it."""
    file = fake.root / "manifests" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"{}")
    found = inventory(fake)
    assert names(found) == {"llama3:latest"}
    if "deep" in path:
        damaged = only(found)
        assert isinstance(damaged, ManifestDamaged), "a folder stands where a manifest has to be"
        assert damaged.path == "manifests/registry.ollama.ai/library/llama3/deep"
        return
    entry = only(found)
    assert isinstance(entry, BadEntry)
    assert entry.path == f"manifests/{path}"
    assert entry.reason
    assert not entry.damage


@pytest.mark.parametrize(
    ("segments", "why"),
    [
        (("h", "n", "m", "-t"), "tag"),
        (("h", "n", "m", "t" * 81), "tag"),
        (("h", "n", ".m", "t"), "model"),
        (("h", "n.n", "m", "t"), "namespace"),
        (("-h", "n", "m", "t"), "host"),
        (("h", "n", "m", "t\nx"), "tag"),
        (("h", "n", "m\x1b[31m", "t"), "model"),
    ],
)
def test_a_name_that_no_model_can_have(fake: FakeStore, segments: tuple[str, ...], why: str) -> None:
    """Each segment has its own rules (T1)."""
    path = fake.root.joinpath("manifests", *segments)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"{}")
    entry = only(inventory(fake))
    assert isinstance(entry, BadEntry)
    assert f"not a valid {why}" in entry.reason


def test_names_that_are_no_text(fake: FakeStore) -> None:
    """Bytes that are not UTF-8 in a file's name: found, and told in JSON like all the rest."""
    try:
        for name in (b"manifests/\xff", b"blobs/sha256-\xff"):
            (fake.root / os.fsdecode(name)).write_bytes(b"")
    except OSError:
        pytest.skip("this file system holds names in UTF-8 only")
    found = inventory(fake).findings
    assert {type(finding) for finding in found} == {BadEntry, Partial}
    assert len(json.loads(encode(found))) == 2


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        bytes(512),
        b"not json",
        b"[]",
        b'{"schemaVersion":2,"layers":[{"digest":"sha256:../../../etc/passwd","size":1}]}',
        b"[" * 100_000,
        b'{"schemaVersion":2,"schemaVersion":2}',
    ],
    ids=["empty", "zeros", "no json", "a list", "a path as digest", "deep", "twice"],
)
def test_a_manifest_that_does_not_parse_is_damage(fake: FakeStore, raw: bytes) -> None:
    """Found by its model's name, with the reason; other models are read."""
    path = fake.add_manifest("bad", raw)
    found = only(inventory(fake))
    assert isinstance(found, ManifestDamaged)
    assert (found.path, found.model.short) == (str(path.relative_to(fake.root)), "bad:latest")
    assert found.reason
    assert names(inventory(fake)) == {"llama3:latest"}
    with pytest.raises(BadManifest):
        opened(fake.root).read_manifest(ModelName.parse("bad"))


def test_a_huge_manifest_is_never_read(fake: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terabyte of zeros costs one look at its size (T2)."""
    path = fake.add_manifest("huge", b"")
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    real, read = os.read, list[int]()

    def count(fd: int, size: int) -> bytes:
        data = real(fd, size)
        read.append(len(data))
        return data

    with monkeypatch.context() as patch:
        patch.setattr("modelward.durable.os.read", count)
        found = only(inventory(fake))
    assert sum(read) < 10_000, "the other manifest"
    assert isinstance(found, ManifestDamaged)
    assert f"{MAX_BYTES:,}" in found.reason


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_plain_file_under_a_manifests_name(fake: FakeStore, kind: str) -> None:
    """A finding at once: nothing is followed, nothing waits for a FIFO's other end (T1)."""
    path = fake.add_manifest("odd", b"")
    path.unlink()
    put(kind, path, fake.root.parent / "secret")
    found = only(inventory(fake))
    assert isinstance(found, ManifestDamaged)
    assert found.model.short == "odd:latest"
    with pytest.raises(NotARegularFile):
        opened(fake.root).read_manifest(ModelName.parse("odd"))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_plain_file_under_a_blobs_name(fake: FakeStore, kind: str) -> None:
    """It is no blob, and the inventory says what it is (T1)."""
    blob = fake.add_blob(b"weights")
    fake.delete_blob(blob)
    put(kind, fake.blob_path(blob), fake.root.parent / "secret")
    found = inventory(fake)
    assert found.odd == {Digest(blob): "symlink" if "symlink" in kind else kind}
    assert Digest(blob) not in found.blobs
    with pytest.raises(NotARegularFile):
        opened(fake.root).open_blob(Digest(blob))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "folder"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_what_is_no_folder_above_a_manifest(fake: FakeStore, kind: str, depth: int) -> None:
    """A link to a folder full of models is not followed: the runtime's own tools would write through it."""
    path = fake.root.joinpath("manifests", *("host", "ns", "model")[:depth])
    path.parent.mkdir(parents=True, exist_ok=True)
    put(kind, path, fake.root.parent / "secret")
    found = inventory(fake)
    assert names(found) == {"llama3:latest"}
    entry = only(found)
    assert isinstance(entry, BadEntry)
    assert entry.path == str(path.relative_to(fake.root))
    if depth == 3:
        with pytest.raises(DamageError):
            opened(fake.root).read_manifest(ModelName.parse("host/ns/model"))


@pytest.mark.parametrize("name", ["blobs", "manifests"])
def test_a_store_whose_folder_is_a_link(fake: FakeStore, name: str) -> None:
    """People put blobs on a larger disk this way: what is wrong and what to do has to be said (T1)."""
    (fake.root / name).rename(fake.root.parent / "elsewhere")
    (fake.root / name).symlink_to(fake.root.parent / "elsewhere")
    with pytest.raises(ModelwardError) as caught:
        inventory(fake)
    assert caught.value.thing == str(fake.root / name)
    assert caught.value.next_step


def test_what_may_not_be_read_is_named(fake: FakeStore) -> None:
    """A manifest, and a folder of manifests, of another user: findings with the system's word for it."""
    fake.add_model("secret", b"x")
    fake.add_model("user/other", b"y")
    fake.manifest_path("secret").chmod(0)
    fake.manifest_path("user/other").parent.chmod(0)
    store = opened(fake.root)
    with unprivileged(fake.root):
        found = store.inventory()
        with pytest.raises(ReadFailed, match="EACCES"):
            store.read_manifest(ModelName.parse("secret"))
    assert names(found) == {"llama3:latest"}
    reasons = {type(finding): finding for finding in found.findings if not isinstance(finding, Orphan)}
    assert set(reasons) == {ManifestDamaged, BadEntry}
    assert all("EACCES" in getattr(finding, "reason", "") for finding in reasons.values())


def test_a_blob_that_goes_while_the_folder_is_read(fake: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is in use changes under the reader: what is gone is not there, and that is all."""
    gone = fake.add_blob(b"going")
    real = durable.Folder.entries

    def entries(folder: durable.Folder) -> Iterator["os.DirEntry[str]"]:
        found = list(real(folder))
        fake.blob_path(gone).unlink(missing_ok=True)
        yield from found

    monkeypatch.setattr(durable.Folder, "entries", entries)
    found = inventory(fake)
    assert Digest(gone) not in found.blobs
    assert len(found.blobs) == 3


# Promises of reading.


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to see what was opened")
def test_no_link_is_followed_out_of_the_root(fake: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links to a secret file and to folders outside, everywhere a store may hold one: nothing outside is opened (T1).

    Every opening is recorded with the file that it came to; FIFOs outside would keep a reader waiting.
    """
    outside = fake.root.parent / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    os.mkfifo(outside / "fifo")
    blob = fake.add_blob(b"weights")
    fake.delete_blob(blob)
    fake.blob_path(blob).symlink_to(outside / "secret")
    fake.blob_path("0" * 64).symlink_to(outside / "fifo")
    (fake.root / "blobs" / "strange").symlink_to(outside)
    for name, target in (("s", "secret"), ("f", "fifo"), ("d", ".")):
        manifest = fake.add_manifest(name, b"")
        manifest.unlink()
        manifest.symlink_to(outside / target)
    for folder in ("evil", "registry.ollama.ai/evil", "registry.ollama.ai/library/evil"):
        (fake.root / "manifests" / folder).symlink_to(outside)
    opened_files = record_openings(monkeypatch)
    store = opened(fake.root)
    found = store.inventory()
    for digest in found.odd:
        with pytest.raises(NotARegularFile):
            store.open_blob(digest)
    assert opened_files
    assert {path for path in opened_files if not path.is_relative_to(fake.root)} == set()


def record_openings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Where each descriptor that is opened from now on leads."""
    opened_files: list[Path] = []
    real = os.open

    def record(*args: object, **kwargs: object) -> int:
        fd = real(*args, **kwargs)  # type: ignore[arg-type]
        opened_files.append(Path(f"/proc/self/fd/{fd}").resolve())
        return fd

    monkeypatch.setattr("modelward.durable.os.open", record)
    return opened_files


def test_reading_changes_nothing(fake: FakeStore) -> None:
    """No file, no folder, no owner, no mode: before and after are the same tree."""
    fake.add_partial()
    fake.add_orphan(b"orphan")
    fake.add_manifest("bad", b"")
    before, store = fingerprint(fake.root), opened(fake.root)
    found = store.inventory()
    for name in found.models:
        store.read_manifest(name)
    for blob in found.blobs:
        os.close(store.open_blob(blob))
    store.identity()
    store.default_owner()
    assert fingerprint(fake.root) == before


def test_the_identity_is_the_folders(fake: FakeStore) -> None:
    """Its real path, however it was given, its inode and its device (I1)."""
    (fake.root.parent / "link").symlink_to("models")
    found = opened(fake.root.parent / "link").identity()
    stat = fake.root.stat()
    assert (found.path, found.inode, found.device) == (str(fake.root), stat.st_ino, stat.st_dev)


def test_a_disk_that_is_gone_gives_typed_errors(fake: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the folder can be listed: ReadFailed, with advice."""
    store = opened(fake.root)

    def gone(_: int) -> list[str]:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr("modelward.durable.os.scandir", gone)
        with pytest.raises(ReadFailed) as caught:
            store.inventory()
    assert "dmesg" in caught.value.next_step
