"""A store and a vault with every class of object, damaged on purpose and compared with what they were."""

import fcntl
import hashlib
import os
import random
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelward.domain.name import ModelName
from modelward.domain.reading import Level
from modelward.services.backup import backup
from modelward.services.pin import pin
from modelward.services.verify_vault import verify_vault
from modelward.testing import FakeStore
from tests.places import Place

CHUNK = 1 << 20
# Files of the vault that are made anew, from the rest or from a copy; the audit log has tests of its own.
DERIVED = ("index.json", "model_checksums.sha256", "oci-layout")
BOOKS = (*DERIVED, "vault.json", "vault.copy.json", "protection.json", "protection.copy.json")
LLAMA, TWIN, MINI, SOLO = (ModelName.parse(name) for name in ("llama3", "twin", "mini:1b", "solo"))


class World:
    """``llama3`` and ``twin`` share their weights, ``mini`` is small, all backed up; ``solo`` came after the backup."""

    def __init__(self, base: Path) -> None:
        self.place = Place(base)
        rng, store = random.Random(5), FakeStore(self.place.store)
        weights = rng.randbytes(2 * CHUNK + 4097)
        params = b'{"stop":["<|end|>"],"temperature":0.5}'
        store.add_model("llama3", weights, template=b"{{ .Prompt }}", params=params)
        store.add_model("twin", weights, template=b"twin of {{ .Prompt }}", newline=True)
        store.add_model("mini:1b", rng.randbytes(5000), template=b"{{ .Prompt }}")
        backup(self.place.site(), ())
        pin(self.place.site(), LLAMA)
        self.place.clock.advance(minutes=1)
        self._forget_one()
        self.place.clock.advance(minutes=1)
        protected = {path.name for path in store.root.glob("blobs/*")}
        store.add_model("solo", rng.randbytes(CHUNK + 333), template=b"alone {{ .Prompt }}")
        self.place.clock.advance(minutes=1)
        self.store = {path: path.read_bytes() for path in _files(self.place.store) if ".modelward" not in path.parts}
        self.vault = {path: path.read_bytes() for path in _files(self.place.vault / "blobs")}
        own = self.place.vault / "modelward"
        self.records = {path: path.read_bytes() for name in ("snapshots", "trash") for path in _files(own / name)}
        self.books = [
            path
            for path in _files(self.place.vault)
            if path.name in BOOKS or ("receipts" in path.parts and path.suffix == ".json")
        ]
        self.blobs = sorted(path for path in self.store if path.name in protected)
        self.alone = sorted(path for path in self.store if path.parent.name == "blobs" and path.name not in protected)
        self.manifests = sorted(p for p in self.store if "manifests" in p.parts and p.parent.name != "solo")

    def _forget_one(self) -> None:
        """A record in the trash, of a version that another record names too."""
        vault = self.place.site().the_vault()
        mini = next(snapshot for snapshot in vault.snapshots() if snapshot.model == MINI)
        with vault.writing("campaign") as writer:
            writer.make_newest(mini)
            writer.forget([mini])

    def copy_of(self, blob: Path) -> Path:
        """The vault's copy of a blob of the store."""
        return self.place.vault / "blobs" / "sha256" / blob.name.removeprefix("sha256-")

    def class_of(self, path: Path) -> str:
        """Which class of object a file of store or vault is."""
        where, data = ("store", self.store[path]) if path in self.store else ("vault", self.vault[path])
        if "manifests" in path.parts:
            return "store: manifest"
        if data.startswith(b"MWCHUNKS"):
            return f"{where}: chunk list"
        if b"vnd.oci.image.manifest" in data:
            return f"{where}: wrapper"
        if b"vnd.docker.distribution.manifest" in data:
            return f"{where}: manifest"
        return f"{where}: {'weights' if len(data) > CHUNK else 'small blob'}"

    def differing(self) -> list[Path]:
        """The files of store and vault that are not as they were."""
        known = self.store | self.vault | self.records
        return sorted(path for path, data in known.items() if not path.is_file() or path.read_bytes() != data)

    def wrong(self, *but: Path) -> list[Path]:
        """Files under a digest's name that have other bytes, but for those."""
        named = [*self.place.store.glob("blobs/sha256-*"), *(self.place.vault / "blobs" / "sha256").iterdir()]
        return [path for path in named if path not in but and sha256(path) != path.name.removeprefix("sha256-")]

    def mend(self) -> None:
        """Put everything back by hand, and empty both quarantines; what is good is not touched."""
        differing = self.differing()
        for path in differing:
            data = (self.store | self.vault | self.records)[path]
            mode = 0o400 if path in self.vault or path in self.records else 0o644
            if path.is_symlink() or path.is_dir():
                path.unlink() if path.is_symlink() else path.rmdir()
            fd = os.open(path, os.O_RDWR | os.O_CREAT, mode)
            os.ftruncate(fd, len(data))
            os.pwrite(fd, data, 0)
            os.fchmod(fd, mode)
            os.close(fd)
        for folder in (self.place.store / ".modelward" / "quarantine", self.place.vault / "modelward" / "quarantine"):
            for path in folder.iterdir() if folder.exists() else ():
                path.unlink()
        if any(path in self.vault for path in differing):
            # A vault whose file was found bad offers it again once it was read again.
            verify_vault(self.place.site(), (), Level.FULL)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def sha256(path: Path) -> str:
    """The hash of a file by the standard library, not by our own code."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def mapped(*paths: Path) -> Iterator[int]:
    """Another process that maps these files and has read every page; its process number."""
    ready, done = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        _map_and_wait(paths, ready[1], done[0])
    os.read(ready[0], 1)
    try:
        yield child
    finally:
        os.write(done[1], b".")
        os.waitpid(child, 0)
        for end in (*ready, *done):
            os.close(end)


def _map_and_wait(paths: tuple[Path, ...], ready: int, done: int) -> None:
    import mmap

    maps = []
    for path in paths:
        with path.open("rb") as file:
            maps.append(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
        bytes(maps[-1])
    os.write(ready, b".")
    os.read(done, 1)
    os._exit(0)


def rot_on_disk(path: Path, image: Path, rng: random.Random) -> None:
    """Change some bytes of a file where they lie in the image of its file system, past every cache of the file."""
    subprocess.run(["sync", "-f", str(path)], check=True)
    path.read_bytes()
    with path.open("rb") as file:
        size = os.statvfs(path).f_bsize
        block = rng.randrange(path.stat().st_size // size)
        (place,) = struct.unpack("i", fcntl.ioctl(file.fileno(), 1, struct.pack("i", block)))  # FIBMAP of linux/fs.h
    assert place
    with image.open("r+b") as disk:
        disk.seek(place * size + rng.randrange(size))
        old = disk.read(1)
        disk.seek(-1, os.SEEK_CUR)
        disk.write(bytes([old[0] ^ (1 << rng.randrange(8))]))
        disk.flush()
        os.fsync(disk.fileno())
