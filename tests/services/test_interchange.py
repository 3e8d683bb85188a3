"""Models go out as an OCI layout, as loose files or into a store, and come in from these; nothing is overwritten."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from modelward.domain.audit import AuditFilter
from modelward.domain.chunks import CHUNK
from modelward.domain.errors import (
    BadName,
    BadSetting,
    HashMismatch,
    ModelwardError,
    ReadFailed,
    StoreNotAccepted,
    UnknownModel,
)
from modelward.domain.interchange import AdoptReport, HandOutReport
from modelward.domain.name import ModelName
from modelward.services.adopt import adopt, recognise
from modelward.services.audit import show_audit
from modelward.services.backup import backup
from modelward.services.hand_out import hand_out
from modelward.services.restore import restore
from modelward.services.sound import is_sound
from modelward.testing import FakeStore, corrupt, fingerprint, tiny_gguf
from tests.models import pattern
from tests.places import Place

LLAMA, TINY = ModelName.parse("llama3"), ModelName.parse("tiny:q8")
GGUF = tiny_gguf()
BIG = tiny_gguf(at_least_bytes=2 * CHUNK)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A vault with a model of arbitrary bytes and one of a real GGUF with all that may lie beside it."""
    place = Place(tmp_path / "here")
    store = FakeStore(place.store)
    store.add_model("llama3", pattern(2 * CHUNK + 5), template=b"{{ .Prompt }}")
    params = json.dumps({"temperature": 0.5, "stop": ["<|end|>", "two\nlines"], "num_ctx": 512}).encode()
    store.add_model(
        "tiny:q8",
        [BIG, GGUF],
        template=b'{{ .System }} "{{ .Prompt }}"\n',
        params=params,
        license=b"free",
        system=b"be brief",
        media_types=["model", "projector"],
    )
    backup(place.site(), ())
    return place


@pytest.fixture
def other(tmp_path: Path) -> Place:
    """Another machine, with an empty store and an empty vault."""
    FakeStore(tmp_path / "there" / "store")
    return Place(tmp_path / "there")


def out(place: Place, name: ModelName, target: Path, form: str, *, dry_run: bool = False) -> HandOutReport:
    """Hand the newest version out."""
    return hand_out(place.site(), name, "", target, form, dry_run=dry_run)


def take(place: Place, path: Path, name: ModelName | None = None, *, dry_run: bool = False) -> AdoptReport:
    """Take in what lies there, as what it is recognised for."""
    form = recognise(path)
    assert form is not None
    return adopt(place.site(), path, form, name, dry_run=dry_run)


def objects(folder: Path) -> dict[str, str]:
    """The objects of a layout by name, with their true digests."""
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder / "blobs/sha256").iterdir()}
    assert all(name == digest for name, digest in found.items())
    return found


def index_of(folder: Path) -> list[dict[str, object]]:
    """What a layout lists."""
    listed: list[dict[str, object]] = json.loads((folder / "index.json").read_bytes())["manifests"]
    return listed


# OCI image layouts.


def test_a_layout_holds_just_this_model_and_comes_back(place: Place, other: Place, tmp_path: Path) -> None:
    """Handed out, taken in elsewhere, restored: the same wrapper, and manifest and blobs byte for byte."""
    target = tmp_path / "layout"
    report = out(place, LLAMA, target, "oci")
    wrapper = next(s.wrapper for s in place.site().the_vault().snapshots() if s.model == LLAMA)
    assert [item["digest"] for item in index_of(target)] == [str(wrapper)]
    assert sorted(path.name for path in target.iterdir()) == ["blobs", "index.json", "oci-layout"]
    assert {f"blobs/sha256/{name}" for name in objects(target)} == set(report.files)
    assert recognise(target) == "oci"
    taken = take(other, target)
    assert [(one.name, one.outcome) for one in taken.models] == [(LLAMA, "stored")]
    kept = other.site().the_vault().snapshots()[0]
    assert kept.wrapper == wrapper
    assert is_sound(other.site().the_vault(), kept)
    assert restore(other.site(), LLAMA, accepted=True).exit_code == 0
    before = FakeStore(place.store).manifest_path("llama3").read_bytes()
    assert FakeStore(other.store).manifest_path("llama3").read_bytes() == before


def test_an_existing_layout_gets_it_added(place: Place, tmp_path: Path) -> None:
    """A second model, and the first one again: others' entries stay word for word, no name stands twice."""
    target = tmp_path / "layout"
    out(place, LLAMA, target, "oci")
    foreign = {"mediaType": "x/y", "digest": f"sha256:{'0' * 64}", "size": 3, "annotations": {"who": "else"}, "new": 1}
    document = json.loads((target / "index.json").read_bytes())
    document["manifests"].insert(0, foreign)
    document["annotations"] = {"kept": "yes"}
    (target / "index.json").write_text(json.dumps(document))
    out(place, TINY, target, "oci")
    again = out(place, LLAMA, target, "oci")
    assert (again.files, again.bytes_moved) == ((), 0)
    assert index_of(target)[0] == foreign
    assert len(index_of(target)) == 3
    assert json.loads((target / "index.json").read_bytes())["annotations"] == {"kept": "yes"}


def test_a_vault_is_a_layout_to_import_from_but_not_to_export_to(place: Place, other: Place) -> None:
    """Every version of every model of another vault comes in once, the newest as the newest."""
    place.clock.advance(minutes=1)
    FakeStore(place.store).add_model("llama3", b"second" * 99)
    backup(place.site(), ())
    theirs = place.site().the_vault().snapshots()
    other.clock.advance(minutes=5)
    report = take(other, place.vault)
    assert [one.outcome for one in report.models] == ["stored"] * 3
    mine = other.site().the_vault().snapshots()
    assert {(s.model, s.wrapper) for s in mine} == {(s.model, s.wrapper) for s in theirs}
    assert [one.outcome for one in take(other, place.vault).models] == ["unchanged"] * 3
    with pytest.raises(BadSetting):
        out(place, LLAMA, other.vault, "oci")


def test_a_damaged_object_of_a_layout_is_replaced(place: Place, tmp_path: Path) -> None:
    """Bytes under a digest that is not theirs are put right by the next export, and it is said."""
    target = tmp_path / "layout"
    out(place, LLAMA, target, "oci")
    victim = max((target / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    corrupt.flip_bit(victim, CHUNK, 1)
    report = out(place, LLAMA, target, "oci")
    assert (report.files, len(report.notes)) == ((f"blobs/sha256/{victim.name}",), 1)
    objects(target)


def make_link(path: Path) -> None:
    """The file is somewhere else, and a link leads there."""
    path.symlink_to(path.rename(f"{path}.away"))


def make_fifo(path: Path) -> None:
    """A file that nobody writes to."""
    path.unlink()
    os.mkfifo(path)


LAYOUT_DAMAGES: dict[str, Callable[[Path], object]] = {
    "a flipped bit": lambda path: corrupt.flip_bit(path, CHUNK + 9, 0),
    "cut short": lambda path: corrupt.truncate(path, CHUNK),
    "gone": lambda path: path.unlink(),
    "a link": make_link,
    "a FIFO": make_fifo,
}


@pytest.mark.parametrize("damage", LAYOUT_DAMAGES.values(), ids=LAYOUT_DAMAGES.keys())
def test_a_damaged_layout_is_refused_by_the_model(
    place: Place, other: Place, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    """The damaged model is refused with the reason, the other one comes in, and staging is free."""
    target = tmp_path / "layout"
    out(place, LLAMA, target, "oci")
    victim = max((target / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    out(place, TINY, target, "oci")
    damage(victim)
    report = take(other, target)
    outcomes = {one.name: one.outcome for one in report.models}
    assert outcomes == {LLAMA: "refused", TINY: "stored"}
    assert report.exit_code == 1
    assert [s.model for s in other.site().the_vault().snapshots()] == [TINY]
    assert list((other.vault / "modelward/staging").iterdir()) == []


def test_names_of_a_layout(place: Place, other: Place, tmp_path: Path) -> None:
    """A layout that another tool renamed: its name is taken, or the one that is given; without any it is said."""
    target = tmp_path / "layout"
    out(place, LLAMA, target, "oci")

    def rename(*names: str) -> None:
        document = json.loads((target / "index.json").read_bytes())
        item = document["manifests"][0]
        item.pop("artifactType", None)
        notes = [{"org.opencontainers.image.ref.name": name} if name else {} for name in names]
        document["manifests"] = [{**item, "annotations": note} for note in notes]
        (target / "index.json").write_text(json.dumps(document))

    rename("m0")
    assert take(other, target).models[0].name == ModelName.parse("m0")
    rename("")
    with pytest.raises(BadSetting, match="without a name"):
        take(other, target)
    assert take(other, target, ModelName.parse("given")).models[0].name == ModelName.parse("given")
    rename("one", "../two")
    report = take(other, target)
    assert [one.name for one in report.models] == [ModelName.parse("one")]
    assert len(report.notes) == 1


@pytest.mark.parametrize("raw", [b"", b"[", b"{}", b'{"manifests":[{"digest":7}]}', b"[" * 99_999, b"\xff" * 9])
def test_an_index_that_cannot_be_read(other: Place, tmp_path: Path, raw: bytes) -> None:
    """A typed error for import and, where there is something to export, for export; the file stays as it is."""
    target = tmp_path / "layout"
    (target / "blobs/sha256").mkdir(parents=True)
    (target / "oci-layout").write_text("{}")
    (target / "index.json").write_bytes(raw)
    with pytest.raises(ModelwardError):
        take(other, target)
    assert (target / "index.json").read_bytes() == raw


def test_folders_of_others_are_left_alone(place: Place, tmp_path: Path) -> None:
    """A folder with other things is no layout, a layout of a broken index is not added to, a file is no folder."""
    target = tmp_path / "photos"
    target.mkdir()
    (target / "cat.png").write_bytes(b"cat")
    with pytest.raises(BadSetting):
        out(place, LLAMA, target, "oci")
    assert [path.name for path in target.iterdir()] == ["cat.png"]
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "oci-layout").write_text("{}")
    (broken / "index.json").write_text("[]")
    with pytest.raises(BadSetting):
        out(place, LLAMA, broken, "oci")
    assert (broken / "index.json").read_text() == "[]"
    with pytest.raises(ModelwardError):
        out(place, LLAMA, target / "cat.png", "oci")


# Loose files.


def test_loose_files_say_all_that_the_model_is(place: Place, tmp_path: Path) -> None:
    """Weights, projector, template and the rest lie beside a Modelfile that names them."""
    target = tmp_path / "loose"
    out(place, TINY, target, "gguf")
    assert (target / "tiny-q8.gguf").read_bytes() == BIG
    assert (target / "tiny-q8-projector.gguf").read_bytes() == GGUF
    assert (target / "tiny-q8.system").read_bytes() == b"be brief"
    assert (target / "tiny-q8.Modelfile").read_text() == (
        "FROM ./tiny-q8.gguf\nFROM ./tiny-q8-projector.gguf\n"
        'TEMPLATE """{{ .System }} "{{ .Prompt }}"\n"""\nSYSTEM """be brief"""\nLICENSE """free"""\n'
        'PARAMETER temperature 0.5\nPARAMETER stop <|end|>\nPARAMETER stop """two\nlines"""\nPARAMETER num_ctx 512\n'
    )
    assert sorted(path.name for path in target.iterdir() if not path.name.startswith("tiny-q8")) == []


def test_a_file_that_the_disk_does_not_give_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it is cannot be told: a typed error that names the file and what to do."""
    path = tmp_path / "tiny.gguf"
    path.write_bytes(GGUF)

    def unreadable(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "pread", unreadable)
    with pytest.raises(ReadFailed) as caught:
        recognise(path)
    assert caught.value.thing == str(path)
    assert caught.value.next_step


def test_loose_files_come_back_as_a_model_of_the_same_blobs(place: Place, other: Place, tmp_path: Path) -> None:
    """Exported, imported elsewhere under its name, restored: the store serves the same layers, bit for bit."""
    out(place, TINY, tmp_path / "loose", "gguf")
    assert recognise(tmp_path / "loose") == recognise(tmp_path / "loose/tiny-q8.gguf") == "gguf"
    report = take(other, tmp_path / "loose/tiny-q8.gguf", TINY)
    assert [(one.name, one.outcome) for one in report.models] == [(TINY, "stored")]
    assert restore(other.site(), TINY, accepted=True).exit_code == 0
    was = place.site().store.read_manifest(TINY)
    now = other.site().store.read_manifest(TINY)
    assert {(layer.media_type, layer.digest) for layer in now.layers} == {
        (layer.media_type, layer.digest) for layer in was.layers
    }
    assert now.config is not None
    config = json.loads((other.store / f"blobs/sha256-{now.config.digest.hex}").read_bytes())
    assert (config["model_format"], config["model_family"], config["file_type"]) == ("gguf", "llama", "F32")
    assert config["rootfs"]["diff_ids"] == [str(layer.digest) for layer in now.layers]


def test_a_folder_of_gguf_comes_in_model_by_model(other: Place, tmp_path: Path) -> None:
    """Each file is a model named after it; a projector belongs to its model; a second run finds nothing new."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    (folder / "some model (v2).gguf").write_bytes(GGUF)
    (folder / "big-latest.gguf").write_bytes(BIG)
    (folder / "big-latest-projector.gguf").write_bytes(GGUF)
    (folder / "broken.gguf").write_bytes(BIG[: CHUNK + 7])
    (folder / "notes.txt").write_bytes(b"mine")
    planned = take(other, folder, dry_run=True)
    assert not other.site().the_vault().snapshots()
    report = take(other, folder)
    outcomes = {one.name.short: one.outcome for one in report.models}
    assert outcomes == {"some-model-v2:latest": "stored", "big:latest": "stored", "broken:latest": "refused"}
    assert {one.name.short: one.outcome for one in planned.models} == {
        name: outcome.replace("stored", "planned") for name, outcome in outcomes.items()
    }
    assert "cut short" in next(one.reason for one in report.models if one.outcome == "refused")
    assert [one.outcome for one in take(other, folder).models] == ["unchanged", "refused", "unchanged"]
    with pytest.raises(BadSetting):
        take(other, folder, LLAMA)


def test_an_import_reads_a_file_only_once_and_names_it_by_its_hash(other: Place, tmp_path: Path) -> None:
    """The bytes in the vault are those of the file, with the chunk list that a backup of them would have."""
    path = tmp_path / "big.gguf"
    path.write_bytes(BIG)
    report = take(other, path)
    vault = other.site().the_vault()
    blob = max(vault.content(vault.snapshots()[0]).manifest.blobs, key=lambda layer: layer.size)
    assert blob.digest.hex == hashlib.sha256(BIG).hexdigest()
    assert vault.chunk_list(blob.digest) is not None
    assert is_sound(vault, vault.snapshots()[0])
    assert report.models[0].bytes_moved >= len(BIG)


def test_a_file_of_another_content_is_never_overwritten(place: Place, tmp_path: Path) -> None:
    """Same bytes under the name are fine, others are refused and stay."""
    target = tmp_path / "loose"
    target.mkdir()
    (target / "tiny-q8.gguf").write_bytes(BIG)
    assert "tiny-q8.gguf" in out(place, TINY, target, "gguf").kept
    (target / "tiny-q8.gguf").write_bytes(b"mine")
    (target / "tiny-q8.Modelfile").write_bytes(b"mine too")
    with pytest.raises(BadSetting):
        out(place, TINY, target, "gguf")
    assert (target / "tiny-q8.gguf").read_bytes() == b"mine"
    (target / "tiny-q8.gguf").unlink()
    with pytest.raises(BadSetting):
        out(place, TINY, target, "gguf")
    assert (target / "tiny-q8.Modelfile").read_bytes() == b"mine too"


def test_models_that_are_no_one_file_are_not_handed_out_loose(tmp_path: Path) -> None:
    """Tensor models, cloud models and split ones name the forms that they can go out in."""
    place = Place(tmp_path / "here")
    store = FakeStore(place.store)
    store.add_tensor_model("tensors", 3)
    store.add_cloud_model("cloud", "https://example.com", "big")
    store.add_model("split", [b"one", b"two"])
    backup(place.site(), ())
    for word in ("tensors", "cloud", "split"):
        with pytest.raises(BadSetting) as error:
            out(place, ModelName.parse(word), tmp_path / word, "gguf")
        assert "--as oci" in error.value.next_step
        assert not (tmp_path / word).exists()
        out(place, ModelName.parse(word), tmp_path / word, "oci")


# Stores, and what is common.


def test_into_another_store_and_back_from_it(place: Place, other: Place) -> None:
    """Handed out into a store it is served there byte for byte; a store is taken in as backup does it."""
    site = Place(other.base, clock=place.clock)
    shutil.rmtree(other.base)
    FakeStore(site.store)
    shutil.copytree(place.vault, site.vault)
    report = hand_out(site.site(), LLAMA, "", site.store, "store")
    assert report.exit_code == 0
    raw = FakeStore(place.store).manifest_path("llama3").read_bytes()
    assert FakeStore(site.store).manifest_path("llama3").read_bytes() == raw
    assert recognise(site.store) == "store"
    shutil.rmtree(site.vault)
    taken = take(site, site.store)
    assert [(one.name, one.outcome) for one in taken.models] == [(LLAMA, "stored")]
    for form in (lambda: out(place, LLAMA, other.store, "store"), lambda: adopt(place.site(), other.store, "store")):
        with pytest.raises(StoreNotAccepted):
            form()


def test_only_what_a_store_has_is_taken_from_it(place: Place, tmp_path: Path) -> None:
    """Models that the vault knows from elsewhere are no business of this store; a damaged one of it is refused."""
    second = Place(tmp_path / "second")
    FakeStore(second.store)
    shutil.copytree(place.vault, second.vault)
    with pytest.raises(BadSetting):
        take(second, second.store)
    FakeStore(second.store).add_model("new", b"bytes")
    corrupt.empty(FakeStore(second.store).add_model("bad", b"more").path)
    report = take(second, second.store)
    assert {one.name.short: one.outcome for one in report.models} == {"new:latest": "stored", "bad:latest": "refused"}


@pytest.mark.parametrize("form", ["oci", "gguf", "store"])
def test_a_dry_run_writes_nothing(place: Place, tmp_path: Path, form: str) -> None:
    """It says what would be written; a real run then writes just that."""
    target = place.store if form == "store" else tmp_path / "out"
    before = fingerprint(tmp_path)
    planned = out(place, TINY, target, form, dry_run=True)
    assert planned.dry_run
    assert fingerprint(tmp_path) == before
    if form != "store":
        done = out(place, TINY, target, form)
        assert set(planned.files) <= set(done.files)


@pytest.mark.parametrize("form", ["oci", "gguf"])
def test_rot_in_the_vault_does_not_get_out(place: Place, tmp_path: Path, form: str) -> None:
    """A damaged object is never published under a name; the next step says how to heal the vault."""
    blob = place.vault / "blobs/sha256" / hashlib.sha256(BIG).hexdigest()
    blob.chmod(0o600)
    corrupt.flip_bit(blob, CHUNK + 7, 2)
    with pytest.raises(HashMismatch) as error:
        out(place, TINY, tmp_path / "out", form)
    assert "repair --vault-copy" in error.value.next_step
    sizes = [path.stat().st_size for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(BIG) not in sizes
    assert not list((tmp_path / "out").rglob(".modelward"))


def test_what_is_nothing_of_these(place: Place, other: Place, tmp_path: Path) -> None:
    """An empty folder, nothing at all, a device: None; another plain file may be a bundle; unknown models are named."""
    assert recognise(tmp_path) is None
    assert recognise(tmp_path / "nowhere") is None
    assert recognise(tmp_path / "nowhere" / "at all") is None
    assert recognise(Path(os.devnull)) is None
    (tmp_path / "some.bundle").write_bytes(b"bytes")
    assert recognise(tmp_path / "some.bundle") == "bundle"
    with pytest.raises(UnknownModel):
        out(other, LLAMA, tmp_path / "out", "oci")
    (tmp_path / "---.gguf").write_bytes(GGUF)
    with pytest.raises(BadName):
        take(place, tmp_path / "---.gguf")


@pytest.mark.parametrize("form", ["oci", "gguf"])
def test_what_is_handed_out_is_in_the_audit_log(place: Place, form: str) -> None:
    """Model, version, where it went and how many bytes (A1); what would be written is no action."""
    out(place, LLAMA, place.base / "out", form, dry_run=True)
    report = out(place, LLAMA, place.base / "out", form)
    (entry,) = show_audit(place.site(), AuditFilter(action="export")).entries
    assert (entry.model, entry.keys["target"], entry.keys["snapshot"]) == (str(LLAMA), report.target, report.snapshot)
    assert int(entry.keys["bytes"]) == report.bytes_moved > 0


def test_what_is_taken_in_is_in_the_audit_log(place: Place, other: Place) -> None:
    """Model, version and where it came from (A1); the same once more is no action."""
    out(place, LLAMA, place.base / "out", "oci")
    for _ in range(2):
        take(other, place.base / "out", LLAMA)
    (entry,) = show_audit(other.site(), AuditFilter(action="take in")).entries
    assert (entry.model, entry.outcome) == (str(LLAMA), "done")
    assert entry.keys["source"].startswith("oci sha256:")
