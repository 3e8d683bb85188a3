"""The verbs that change something, each with a place in the state in which it has work to do."""

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from modelward.domain.name import ModelName
from modelward.domain.retention import Policy
from modelward.services.backup import backup
from modelward.services.protect import release
from modelward.services.repair import repair
from modelward.services.restore import restore
from modelward.services.retention import forget, prune, undelete
from modelward.testing import FakeStore, corrupt
from tests.places import Place

CHUNK = 1 << 20
LLAMA = ModelName.parse("llama3")


@dataclass(frozen=True)
class Verb:
    """``prepare`` brings a place into its state, ``work`` does the verb, ``done`` says whether it is finished."""

    name: str
    prepare: Callable[[Place], None]
    work: Callable[[Place], object]
    done: Callable[[Place], bool]


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
    Verb("release", protected, lambda p: release(p.site(), LLAMA), lambda p: LLAMA in _released(p)),
)


def _trash(place: Place) -> list[Path]:
    return list((place.vault / "modelward" / "trash").iterdir())


def _released(place: Place) -> tuple[ModelName, ...]:
    return place.site().the_vault().protected().released
