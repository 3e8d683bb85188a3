"""The verbs that change something, each with a place in the state in which it has work to do."""

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import cast

from modelward.domain.digest import Digest
from modelward.domain.errors import RuntimeRefused
from modelward.domain.finding import Orphan, Partial
from modelward.domain.name import ModelName
from modelward.domain.reading import Level
from modelward.domain.retention import Policy
from modelward.domain.runtime import PullStep, ServedModel
from modelward.services.backup import backup
from modelward.services.protect import release
from modelward.services.pull import pull
from modelward.services.repair import repair
from modelward.services.repair_vault import repair_vault
from modelward.services.restore import restore
from modelward.services.retention import forget, prune, undelete
from modelward.services.site import Site
from modelward.services.space import space
from modelward.services.verify_vault import verify_vault
from modelward.testing import FakeStore, IdleRuntime, MemoryRegistry, MemorySource, corrupt
from tests.places import Place

CHUNK = 1 << 20
LLAMA = ModelName.parse("llama3")


@dataclass(frozen=True)
class Verb:
    """``prepare`` brings a place into its state, ``work`` does the verb, ``done`` says whether it is finished.

    ``stride`` says that only every n-th call is struck outside the campaign.
    """

    name: str
    prepare: Callable[[Place], None]
    work: Callable[[Place], object]
    done: Callable[[Place], bool]
    stride: int = 1


def weights(version: int) -> bytes:
    """The weights of a version of llama3: a bit over two chunks, the first chunk shared by all versions."""
    return random.Random(1).randbytes(CHUNK) + random.Random(10 + version).randbytes(CHUNK + 4097)


def empty(place: Place) -> None:
    """A store with two models and no vault."""
    store = FakeStore(place.store)
    store.add_model("llama3", weights(1), template=b"{{ .Prompt }}")
    store.add_model("mini:1b", b"small", template=b"{{ .Prompt }}")


def protected(place: Place) -> None:
    """The same, backed up."""
    empty(place)
    backup(place.site(), ())
    place.clock.advance(minutes=1)


def versions(place: Place) -> None:
    """Three versions of llama3 in the vault."""
    protected(place)
    for version in (2, 3):
        FakeStore(place.store).add_model("llama3", weights(version), template=b"{{ .Prompt }}")
        backup(place.site(), ())
        place.clock.advance(minutes=1)


def lost(place: Place) -> None:
    """The model's manifest and weights are gone."""
    protected(place)
    FakeStore(place.store).delete_manifest("llama3")
    big(place).unlink()


def zeroed(place: Place) -> None:
    """One chunk of the weights is zeroed."""
    protected(place)
    corrupt.zero(big(place), CHUNK + 100, 5000)


def oversized(place: Place) -> None:
    """The weights' file has bytes at its end that do not belong there, and an emptied manifest names it."""
    protected(place)
    corrupt.extend(big(place), b"garbage")
    corrupt.empty(FakeStore(place.store).manifest_path("mini:1b"))


def forgotten(place: Place) -> None:
    """Two versions lie in the trash."""
    versions(place)
    forget(place.site(), (), Policy(keep_last=1))
    place.clock.advance(days=20)


def unlisted(place: Place) -> None:
    """Never backed up, and a chunk of the weights is zeroed."""
    empty(place)
    corrupt.zero(big(place), CHUNK + 100, 5000)


def gone(place: Place) -> None:
    """Never backed up, and the model is not there at all."""
    empty(place)
    FakeStore(place.store).delete_manifest("llama3")
    big(place).unlink()


def rotten(place: Place) -> None:
    """The vault's copy of the weights has a zeroed chunk, and a small object of it is gone."""
    protected(place)
    vault = place.site().the_vault()
    wrapper = next(snapshot.wrapper for snapshot in vault.snapshots() if snapshot.model == LLAMA)
    blobs = place.vault / "blobs" / "sha256"
    corrupt.zero(max(blobs.iterdir(), key=lambda path: path.stat().st_size), CHUNK + 100, 5000)
    (blobs / wrapper.hex).unlink()


def littered(place: Place) -> None:
    """An orphan and the leftovers of a download, long ago."""
    empty(place)
    store = FakeStore(place.store)
    store.add_orphan(b"nobody")
    store.add_partial()
    newest = max(path.lstat().st_ctime for path in place.store.rglob("*"))
    place.clock.advance(seconds=max(0.0, newest + 2 * 86_400 - place.clock.now().timestamp()))


def far(place: Place) -> Site:
    """A site whose upstream has everything; traffic goes chunk by chunk into a file that is kept over a cut."""
    shadow = Place(place.base / "upstream")
    if not shadow.store.exists():
        empty(shadow)
    blobs = [path.read_bytes() for path in shadow.store.glob("blobs/*")]
    raw = FakeStore(shadow.store).manifest_path("llama3").read_bytes()
    site = place.site(make_vault=False)
    return replace(site, sources=(*site.sources, MemorySource(blobs)), registry=MemoryRegistry({"llama3": raw}))


def pulling(place: Place) -> Site:
    """A site without any source but a server that downloads what is not there."""
    site = far(place)
    blobs = cast("MemorySource", site.sources[-1]).blobs
    return replace(site, sources=(), runtime=Puller(place.store, blobs))


class Puller(IdleRuntime):
    """Downloads like Ollama: what stands under a blob's name is not looked at."""

    def __init__(self, store: Path, blobs: dict[Digest, bytes]) -> None:
        self.store, self.blobs = store, blobs

    def tags(self) -> tuple[ServedModel, ...]:
        """What lies in the store."""
        paths = self.store.glob("manifests/*/*/*/*")
        return tuple(
            ServedModel(name=path.parent.name, digest=sha256(path.read_bytes()).hexdigest(), size=1) for path in paths
        )

    def pull(self, name: str, *, insecure: bool = False) -> Iterator[PullStep]:
        """Bring the blobs that are not there."""
        assert not insecure
        assert name in {"llama3:latest", "mini:1b"}  # the other one where its manifest could not be read
        try:
            self._bring()
        except OSError as error:
            raise RuntimeRefused("the server could not write", thing=name, next_step="look at its log") from error
        yield PullStep(status="success")

    def _bring(self) -> None:
        for blob, data in self.blobs.items():
            path = self.store / "blobs" / f"sha256-{blob.hex}"
            if not path.exists():
                path.write_bytes(data)


def sound(place: Place) -> bool:
    """Whether every object of the vault is good."""
    return verify_vault(place.site(), (), Level.FULL).exit_code == 0


def tidy(place: Place) -> bool:
    """Whether no leftovers are there, and the models are."""
    inventory = place.site(make_vault=False).store.inventory()
    return whole(place) and not any(isinstance(found, Orphan | Partial) for found in inventory.findings)


def big(place: Place) -> Path:
    """The newest weights of llama3 in the store."""
    return max(place.store.glob("blobs/*"), key=lambda path: (path.stat().st_size, path.stat().st_mtime_ns))


def whole(place: Place) -> bool:
    """Whether the store's two models are as they were made."""
    shadow = Place(place.base / "shadow")
    shutil.rmtree(shadow.base, ignore_errors=True)
    empty(shadow)
    return all(
        (place.store / path.relative_to(shadow.store)).is_file()
        and (place.store / path.relative_to(shadow.store)).read_bytes() == path.read_bytes()
        for path in shadow.store.rglob("*")
        if path.is_file()
    )


def snapshots(place: Place) -> int:
    """How many live records the vault has."""
    return len(place.site().the_vault().snapshots())


def bring_one_back(place: Place) -> object:
    """Bring the oldest version back, unless a run before did."""
    oldest = min((item.snapshot for item in place.site().the_vault().trashed()), key=lambda s: s.id, default=None)
    return undelete(place.site(), oldest.id) if oldest is not None and snapshots(place) < 3 else None


VERBS = (
    Verb("backup", empty, lambda p: backup(p.site(), ()), lambda p: snapshots(p) == 2),
    Verb("restore", lost, lambda p: restore(p.site(), LLAMA), whole),
    Verb("repair-lost", lost, lambda p: repair(p.site(), ()), whole),
    Verb("repair-in-place", zeroed, lambda p: repair(p.site(), ()), whole),
    Verb("repair-new-file", oversized, lambda p: repair(p.site(), ()), whole),
    Verb("forget", versions, lambda p: forget(p.site(), (), Policy(keep_last=1)), lambda p: snapshots(p) == 2),
    Verb("undelete", forgotten, bring_one_back, lambda p: snapshots(p) >= 3),
    Verb("prune", forgotten, lambda p: prune(p.site(), timedelta(days=14)), lambda p: not _trash(p)),
    Verb("repair-unlisted", unlisted, lambda p: repair(far(p), ()), whole, stride=4),
    Verb("pull", gone, lambda p: pull(far(p), LLAMA), whole, stride=4),
    Verb("re-pull", unlisted, lambda p: repair(pulling(p), ()), whole, stride=2),
    Verb("repair-vault", rotten, lambda p: repair_vault(p.site(), ()), sound, stride=4),
    Verb("reclaim", littered, lambda p: space(p.site(), reclaim=True, dry_run=False), tidy, stride=2),
    Verb("release", protected, lambda p: release(p.site(), LLAMA), lambda p: LLAMA in _released(p)),
)


def _trash(place: Place) -> list[Path]:
    return list((place.vault / "modelward" / "trash").iterdir())


def _released(place: Place) -> tuple[ModelName, ...]:
    return place.site().the_vault().protected().released
