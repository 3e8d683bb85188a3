"""A bundle gets its name when it is whole, an export that was cut off is gone on with, and no wrong byte goes out."""

import fcntl
import os
from pathlib import Path

import msgspec
import pytest

from modelward.bundles import writer
from modelward.bundles.writer import BundleFile, BundleOutput
from modelward.domain.bundle import RECORD_SIZE
from modelward.domain.chunks import CHUNK
from modelward.domain.errors import (
    BadSetting,
    DiskFull,
    HashMismatch,
    Interrupted,
    Locked,
    ModelwardError,
    NotARegularFile,
    WriteFailed,
)
from modelward.durable import write_in_place
from tests.bundles.made import Shelf, bundle_of, header_of, write
from tests.models import Model, make_model, pattern
from tests.places import Place


def mixed() -> Model:
    """Blobs that get smaller, that do not, both in one, and none at all."""
    return make_model(
        "llama3", pattern(2 * CHUNK + 9), bytes(3 * CHUNK), pattern(CHUNK) + bytes(CHUNK), b"", b"t" * 500
    )


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    """Two bundles of one model are equal, however many threads made them."""
    model = mixed()
    first = bundle_of(tmp_path, model)
    slow = Place(tmp_path, threads=1)
    write(tmp_path / "again.bundle", model, slow)
    assert (tmp_path / "again.bundle").read_bytes() == first
    assert [path.name for path in tmp_path.glob("*.partial")] == []


def test_only_what_gets_smaller_is_compressed(tmp_path: Path) -> None:
    """Random bytes take 16 bytes a chunk more than they have, zeros next to nothing."""
    noise, zeros = make_model("a", pattern(3 * CHUNK)), make_model("b", bytes(3 * CHUNK))
    noisy, packed = bundle_of(tmp_path, noise), bundle_of(tmp_path, zeros)
    assert len(noisy) - len(header_of(noise).raw) == 3 * CHUNK + 1 + 4 * RECORD_SIZE + 40
    assert len(packed) - len(header_of(zeros).raw) < 1000


@pytest.mark.parametrize(("tail", "pays"), [(b"", False), (bytes(30 * CHUNK), True)])
def test_a_few_chunks_decide_for_a_large_blob(tmp_path: Path, tail: bytes, pays: bool) -> None:  # noqa: FBT001 - a case
    """The median of a sample behind a model's head decides whether zstd is tried on all of it."""
    model = make_model("a", bytes(4 * CHUNK) + pattern(16 * CHUNK) + tail)
    header, shelf = header_of(model), Shelf(model, tmp_path)
    method = BundleFile(str(tmp_path / "x")).plan(header, shelf)[1]
    assert method.pays is pays
    assert method.estimate <= len(model.blobs[model.largest]) + 50 * RECORD_SIZE


class Killed(BaseException):
    """The process ends here."""


def killed_at(monkeypatch: pytest.MonkeyPatch, number: int, keep: int) -> None:
    """End at the write of this number, of which the first ``keep`` per cent reach the file."""
    count = iter(range(1_000))

    def failing(fd: int, path: str, offset: int, view: memoryview) -> None:
        if next(count) == number:
            write_in_place(fd, path, offset, view[: len(view) * keep // 100])
            raise Killed
        write_in_place(fd, path, offset, view)

    monkeypatch.setattr(writer, "write_in_place", failing)


@pytest.mark.parametrize("keep", [0, 50, 100])
def test_an_export_that_was_killed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: int) -> None:
    """Killed at any write, the next run proves what is there, writes the rest, and the bundle is the same."""
    model, place = mixed(), Place(tmp_path)
    whole, path = bundle_of(tmp_path, model), tmp_path / "x.bundle"
    resumed = []
    for number in range(2 * 10 + 1 + 1):
        killed_at(monkeypatch, number, keep)
        with pytest.raises(Killed):
            write(path, model, place)
        assert not path.exists()
        monkeypatch.undo()
        resumed.append(write(path, model, place).resumed)
        assert path.read_bytes() == whole
        path.unlink()
    assert resumed == sorted(resumed)
    assert resumed[-1] > len(whole) * 0.9
    assert len(set(resumed)) >= 10


def test_what_a_crash_left_in_the_middle_is_not_believed(tmp_path: Path) -> None:
    """A record whose bytes are not right, wherever it lies, is written again with all that follows."""
    model, place, path = mixed(), Place(tmp_path), tmp_path / "x.bundle"
    whole = bundle_of(tmp_path, model)
    for at in (0, 40, 100, len(header_of(model).raw) + 5, len(whole) // 2, len(whole) - 5):
        (tmp_path / "x.bundle.partial").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert write(path, model, place).resumed <= at
        assert path.read_bytes() == whole
        path.unlink()


def test_the_leftover_of_another_model_is_replaced(tmp_path: Path) -> None:
    """A partial file with another header is begun anew, and nothing of it stays behind the new end."""
    other = bundle_of(tmp_path, mixed())
    (tmp_path / "x.bundle.partial").write_bytes(other)
    small = make_model("b", b"tiny")
    assert write(tmp_path / "x.bundle", small, Place(tmp_path)).resumed == 0
    assert (tmp_path / "x.bundle").read_bytes() == bundle_of(tmp_path, small)


def test_a_file_that_has_the_name(tmp_path: Path) -> None:
    """An existing file is replaced with --force only, and a folder never; one that came meanwhile is kept, too."""
    model, place, path = make_model("a", b"tiny"), Place(tmp_path), tmp_path / "x.bundle"
    path.write_bytes(b"mine")
    BundleFile(str(path), force=True).require_free()
    with pytest.raises(BadSetting, match="there is a file") as error:
        BundleFile(str(path)).require_free()
    assert "--force" in error.value.next_step
    with pytest.raises(BadSetting):
        write(path, model, place)
    assert path.read_bytes() == b"mine"
    write(path, model, place, force=True)
    assert path.read_bytes() == bundle_of(tmp_path, model)
    with pytest.raises(NotARegularFile):
        BundleFile(str(tmp_path), force=True).require_free()


def test_two_exports_to_one_file(tmp_path: Path) -> None:
    """The second one is told that another writes it."""
    partial = tmp_path / "x.bundle.partial"
    partial.touch()
    with partial.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(Locked):
            write(tmp_path / "x.bundle", make_model("a", b"tiny"), Place(tmp_path))


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_partial_file_that_is_none(tmp_path: Path, kind: str) -> None:
    """A link or pipe under the partial file's name is neither followed nor written to."""
    partial, elsewhere = tmp_path / "x.bundle.partial", tmp_path / "elsewhere"
    elsewhere.write_bytes(b"mine")
    if kind == "link":
        partial.symlink_to(elsewhere)
    else:
        os.mkfifo(partial)
    with pytest.raises(ModelwardError):
        write(tmp_path / "x.bundle", make_model("a", b"tiny"), Place(tmp_path))
    assert elsewhere.read_bytes() == b"mine"


def test_a_full_disk_is_found_before_the_first_record(tmp_path: Path) -> None:
    """What will not fit beside the reserve is not begun (D1)."""
    model = make_model("a", pattern(2 * CHUNK))
    header, shelf = header_of(model), Shelf(model, tmp_path)
    target = BundleFile(str(tmp_path / "x.bundle"))
    huge = list(target.plan(header, shelf))
    huge[1] = msgspec.structs.replace(huge[1], estimate=1 << 60)
    with pytest.raises(DiskFull):
        target.write(header, shelf, huge, Place(tmp_path).reading())
    assert (tmp_path / "x.bundle.partial").stat().st_size == 0


@pytest.mark.parametrize("size", [0, 7, CHUNK, 3 * CHUNK + 1])
def test_rot_does_not_go_out(tmp_path: Path, size: int) -> None:
    """A blob that is not what its name says ends the export: HashMismatch, no file, what was right is kept."""
    model = make_model("a", pattern(size))
    wrong = pattern(size - 1) + b"?" if size else b"?"
    for bad in (wrong, pattern(size)[: size // 2]) if size > 1 else ():
        folder = tmp_path / f"{len(bad)}"
        folder.mkdir()
        shelf, path = Shelf(model, folder, {model.manifest.blobs[1].digest: bad}), tmp_path / "x.bundle"
        target, header = BundleFile(str(path)), header_of(model)
        with pytest.raises(HashMismatch) as error:
            target.write(header, shelf, target.plan(header, shelf), Place(tmp_path).reading())
        assert error.value.thing.startswith("shelf/")
        assert not path.exists()


def test_stop_ends_an_export(tmp_path: Path) -> None:
    """A command that is told to stop ends at the next chunk, and what it wrote is gone on with."""
    model, place, path = mixed(), Place(tmp_path), tmp_path / "x.bundle"
    reading = place.reading()
    reading.stop.set()
    folder = tmp_path / "shelf"
    folder.mkdir()
    shelf, header, target = Shelf(model, folder), header_of(model), BundleFile(str(path))
    with pytest.raises(Interrupted):
        target.write(header, shelf, target.plan(header, shelf), reading)
    assert write(path, model, place).resumed > 0


def test_to_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output gets the same bytes; a terminal is refused."""
    model, whole = mixed(), bundle_of(tmp_path, mixed())
    folder = tmp_path / "shelf"
    folder.mkdir()
    shelf, header = Shelf(model, folder), header_of(model)
    out = os.open(tmp_path / "out", os.O_RDWR | os.O_CREAT)
    monkeypatch.setattr(writer, "_STDOUT", out)
    target = BundleOutput()
    target.require_free()
    written = target.write(header, shelf, target.plan(header, shelf), Place(tmp_path).reading())
    os.close(out)
    assert (tmp_path / "out").read_bytes() == whole
    assert written.size == len(whole)
    controller, terminal = os.openpty()
    monkeypatch.setattr(writer, "_STDOUT", terminal)
    with pytest.raises(BadSetting, match="terminal"):
        target.require_free()
    os.close(controller)
    os.close(terminal)


def test_the_pace_is_kept(tmp_path: Path) -> None:
    """Every byte of the model is asked of the pace, once."""
    model, taken = mixed(), list[int]()
    reading = Place(tmp_path).reading()

    class Pace:
        def take(self, length: int) -> None:
            taken.append(length)

    object.__setattr__(reading, "pace", Pace())
    folder = tmp_path / "shelf"
    folder.mkdir()
    shelf, header, target = Shelf(model, folder), header_of(model), BundleFile(str(tmp_path / "x.bundle"))
    target.write(header, shelf, target.plan(header, shelf), reading)
    assert sum(taken) == header.size


def test_a_file_that_comes_at_the_last_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes the name after the last look is kept: without --force nothing is ever replaced."""
    path = tmp_path / "x.bundle"
    monkeypatch.setattr(BundleFile, "require_free", lambda _: path.write_bytes(b"mine"))
    with pytest.raises(BadSetting, match="there is a file"):
        write(path, make_model("a", b"tiny"), Place(tmp_path))
    assert path.read_bytes() == b"mine"
    assert (tmp_path / "x.bundle.partial").exists()


def test_an_export_that_has_just_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partial file that got its name before we had its lock is a bundle by then, and is not written to."""
    path, partial, flock = tmp_path / "x.bundle", tmp_path / "x.bundle.partial", fcntl.flock
    good = bundle_of(tmp_path, make_model("a", b"one"))
    partial.write_bytes(good)

    def finished(fd: int, operation: int) -> None:
        partial.rename(path)
        partial.write_bytes(b"of a third export")
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", finished)
    with pytest.raises(Locked, match="just finished"):
        write(path, make_model("b", b"two"), Place(tmp_path), force=True)
    assert path.read_bytes() == good
    assert partial.read_bytes() == b"of a third export"


def test_a_partial_file_with_a_second_name(tmp_path: Path) -> None:
    """Killed between its two names, a bundle is both: the next export does not write into the finished one."""
    path = tmp_path / "x.bundle"
    good = bundle_of(tmp_path, make_model("a", b"one"))
    path.write_bytes(good)
    (tmp_path / "x.bundle.partial").hardlink_to(path)
    with pytest.raises(NotARegularFile, match="second name") as error:
        write(path, make_model("b", b"two"), Place(tmp_path), force=True)
    assert error.value.next_step
    assert path.read_bytes() == good


@pytest.mark.parametrize("where", ["", "/", "missing/x.bundle"])
def test_a_place_that_cannot_be_a_file(tmp_path: Path, where: str) -> None:
    """A folder, the root, and a folder that is not there are refused with a next step."""
    with pytest.raises((BadSetting, NotARegularFile)) as error:
        BundleFile(str(tmp_path / where)).require_free()
    assert error.value.next_step


def test_a_reader_that_went_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed pipe is called that; it is no fault of a disk."""
    model, (readable, writable) = make_model("a", pattern(CHUNK)), os.pipe()
    os.close(readable)
    monkeypatch.setattr(writer, "_STDOUT", writable)
    shelf, header = Shelf(model, tmp_path), header_of(model)
    target = BundleOutput()
    with pytest.raises(WriteFailed, match="went away") as error:
        target.write(header, shelf, target.plan(header, shelf), Place(tmp_path).reading())
    os.close(writable)
    assert "disk" not in error.value.next_step
