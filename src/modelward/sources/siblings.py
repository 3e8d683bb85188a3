"""Other folders of this host as sources: a second store, a Hugging Face cache, an OCI layout, a folder of weights."""

import os
import stat
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template
from typing import NamedTuple

from modelward.domain.chunks import Span
from modelward.domain.digest import Digest
from modelward.domain.errors import DamageError, SourceFailed
from modelward.domain.receipt import FileId, Receipt
from modelward.domain.source import LocalFile, Wanted
from modelward.scan import Reading, file_id, hash_whole
from modelward.sources.sibling_files import Asked, Listing, Place, identities, look_through, open_place
from modelward.sources.sibling_index import Hashed, SiblingIndex

_SAME_DEVICE, _OTHER_DEVICE = 5, 6
_FRESH = 60.0  # seconds that a listing is used for before the folder is looked through again


class _Offer(NamedTuple):
    """A file that was offered, as it was then; ``proved`` when we hashed it, else its name alone speaks for it."""

    place: Place
    file: FileId
    proved: Hashed | None = None

    def is_still(self, fd: int) -> bool:
        """Whether an open file is what was offered: a hashed one the very same, any other one of that size."""
        try:
            file = file_id(fd)
        except OSError:
            return False
        return file == self.file if self.proved is not None else file.size == self.file.size

    @property
    def receipt(self) -> Receipt | None:
        return self.proved.receipt if self.proved is not None else None


class SiblingSource:
    """Gives the bytes of files in another folder, which is only ever read.

    A name that claims a digest is believed as far as an offer goes, because the taker checks every byte. A file
    of weights with a name of its own is hashed when its size is a wanted one, once for as long as it does not change.
    """

    local = True

    def __init__(self, path: Path, *, receipts: Path, reading: Reading, own: tuple[Path, ...] = ()) -> None:
        """``receipts`` is the folder that the index is kept in; ``own`` are our store, first, and our vault."""
        self.name = f"sibling {path}"
        self.rank = _SAME_DEVICE if own and _same_device(path, own[0]) else _OTHER_DEVICE
        self._root, self._reading, self._own = path, reading, own
        self._index = SiblingIndex(receipts, path, reading.clock)
        self._lock = threading.Lock()
        self._chosen: dict[Digest, _Offer] = {}
        self._asked, self._listing, self._listed_at = Asked(), Listing(), 0.0
        self._tried: dict[Place, Hashed | None] = {}

    def offers(self, wanted: Iterable[Wanted]) -> Mapping[Digest, tuple[Span, ...]]:
        """The blobs that lie here by a name or by our own hash; only Interrupted is raised."""
        items = tuple(wanted)
        with self._lock:
            self._look(Asked(hexes=frozenset(i.blob.hex for i in items), sizes=frozenset(i.size for i in items)))
            try:
                return {item.blob: () for item in items if self._find(item)}
            finally:
                self._index.save()

    def read(self, blob: Digest, offset: int, view: memoryview) -> int:
        """Fill ``view`` from the file; returns how many bytes there were. One that changed raises SourceFailed."""
        fd, offer = self._open(blob)
        try:
            got = os.preadv(fd, [view], offset)
            if not offer.is_still(fd):
                raise _changed(blob)
        except OSError as error:
            raise _unreadable(blob, error) from error
        finally:
            os.close(fd)
        return got

    def local_file(self, blob: Digest) -> LocalFile | None:
        """The file, with a receipt when we hashed it while it was at rest; the caller closes it."""
        try:
            fd, offer = self._open(blob)
        except SourceFailed:
            return None
        return LocalFile(fd, offer.receipt)

    # Finding.

    def _look(self, asked: Asked) -> None:
        """Have a listing that answers this and is not old."""
        now = self._reading.clock.monotonic()
        if self._asked.covers(asked) and now - self._listed_at < _FRESH:
            return
        self._asked, self._listed_at = self._asked.joined(asked), now
        self._listing = look_through(self._root, self._asked, identities(self._own))
        # What could not be read is not read again: a file that changed since, even by its mode, is another place.
        self._tried = {place: None for place, hashed in self._tried.items() if hashed is None}

    def _find(self, item: Wanted) -> bool:
        """Whether the blob lies here; remembers where. What costs nothing comes before any file is read."""
        offer = self._claimed(item) or self._remembered(item) or self._hashed(item)
        if offer is not None:
            self._chosen[item.blob] = offer
        return offer is not None

    def _claimed(self, item: Wanted) -> _Offer | None:
        for place in self._listing.claims.get(item.blob.hex, ()):
            file = self._identity(place)
            if file is not None and file.size == item.size:
                return _Offer(place, file)
        return None

    def _remembered(self, item: Wanted) -> _Offer | None:
        places = self._listing.weights.get(item.size, ())
        for hashed, place in ((self._known(place), place) for place in places):
            if hashed is not None and hashed.hex == item.blob.hex and self._identity(place) == hashed.file:
                return _Offer(place, hashed.file, hashed)
        return None

    def _hashed(self, item: Wanted) -> _Offer | None:
        unknown = self._unknown(item.size)
        if unknown:
            self._reading.progress.begin(f"look into {self._root}", item.size * len(unknown))
        for place in unknown:
            hashed = self._tried[place] = self._hash(place)
            if hashed is not None and hashed.hex == item.blob.hex:
                return _Offer(place, hashed.file, hashed)
        return None

    def _known(self, place: Place) -> Hashed | None:
        return self._tried.get(place) or (self._index.find(place.file) if place.file is not None else None)

    def _unknown(self, size: int) -> list[Place]:
        places = self._listing.weights.get(size, ())
        return [place for place in places if place not in self._tried and self._known(place) is None]

    # Files.

    def _identity(self, place: Place) -> FileId | None:
        """The identity of a file that can be opened."""
        try:
            fd = open_place(self._root, place)
        except (DamageError, OSError):
            return None
        try:
            return file_id(fd)
        except OSError:
            return None
        finally:
            os.close(fd)

    def _hash(self, place: Place) -> Hashed | None:
        """Read a file of weights to its end; None for one that changes meanwhile, or that cannot be read."""
        began = int(self._reading.clock.now().timestamp())
        try:
            fd = open_place(self._root, place)
        except (DamageError, OSError):
            return None
        try:
            checked = hash_whole(fd, file_id(fd).size, self._reading)
        except OSError:
            return None
        finally:
            os.close(fd)
        if not checked.sha256 or checked.changed:
            return None
        hashed = Hashed(checked.file, checked.sha256, began)
        self._index.add(hashed)
        return hashed

    def _open(self, blob: Digest) -> tuple[int, _Offer]:
        """The file that was offered, open; raises SourceFailed when it is not that any more."""
        offer = self._chosen.get(blob) or self._locate(blob)
        if offer is None:
            raise SourceFailed("the sibling has no such blob", thing=blob)
        try:
            fd = open_place(self._root, offer.place)
        except (DamageError, OSError) as error:
            raise _unreadable(blob, error) from error
        if not offer.is_still(fd):
            os.close(fd)
            raise _changed(blob)
        return fd, offer

    def _locate(self, blob: Digest) -> _Offer | None:
        """A blob that was not asked for before: by its name, or by what is known; nothing is hashed for it."""
        with self._lock:
            sizes = self._index.sizes_of(blob.hex)
            self._look(Asked(hexes=frozenset({blob.hex}), sizes=sizes))
            for place in self._listing.claims.get(blob.hex, ()):
                if (file := self._identity(place)) is not None:
                    return _Offer(place, file)
            return next(filter(None, (self._remembered(Wanted(blob, size)) for size in sizes)), None)


def find_siblings(
    environ: Mapping[str, str],
    home: Path,
    *,
    named: Iterable[str],
    stores: Iterable[Path],
    own: Iterable[Path],
) -> list[Path]:
    """The folders to ask, links resolved, each once: those named in the settings, other stores, the Hugging Face cache.

    Our own store and vault, and what lies inside them, are none. A folder that is not there is left out: its disk
    may be back tomorrow.
    """
    candidates = (*(_at_home(text, home) for text in named if text), *stores, _hub_cache(environ, home))
    apart = [path for path in map(_real, own) if path is not None]
    taken = set(identities(apart))
    found: list[Path] = []
    for path in map(_real, candidates):
        identity = _folder_identity(path) if path is not None else None
        if path is None or identity is None or identity in taken or any(path.is_relative_to(ours) for ours in apart):
            continue
        taken.add(identity)
        found.append(path)
    return found


def _hub_cache(environ: Mapping[str, str], home: Path) -> Path:
    """Where huggingface_hub keeps what it downloaded, in the order of its own constants.py."""
    cache = environ.get("XDG_CACHE_HOME") or f"{home}/.cache"
    hub = environ.get("HF_HOME") or f"{cache}/huggingface"
    text = environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE") or f"{hub}/hub"
    return _at_home(Template(text).safe_substitute(environ), home)


def _at_home(text: str, home: Path) -> Path:
    """A path as a person writes it, ``~`` for the home folder."""
    return home / text[2:] if text.startswith("~/") else home if text == "~" else Path(text)


def _real(path: Path) -> Path | None:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):
        return None


def _folder_identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of a folder; None where there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None


def _same_device(path: Path, other: Path) -> bool:
    here, there = _folder_identity(path), _folder_identity(other)
    return here is not None and there is not None and here[0] == there[0]


def _unreadable(blob: Digest, error: Exception) -> SourceFailed:
    return SourceFailed(f"the sibling's file cannot be read ({error})", thing=blob)


def _changed(blob: Digest) -> SourceFailed:
    return SourceFailed(
        "the sibling's file changed since it was looked at",
        thing=blob,
        next_step="run the command again, so that it is looked at anew",
    )
