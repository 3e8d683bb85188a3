"""The named states of a store that the gate is documented and tested for: how each comes to be, and what comes out."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from modelward.domain.errors import RuntimeUnreachable
from modelward.domain.gate import Passage
from modelward.domain.runtime import ServedModel
from modelward.services.backup import backup
from modelward.testing import FakeStore, IdleRuntime, corrupt
from tests.models import pattern
from tests.places import Place

MIB = 1 << 20
WEIGHTS = pattern(3 * MIB + 5)


class Elsewhere(IdleRuntime):
    """A server that lists a model of another store."""

    def tags(self) -> tuple[ServedModel, ...]:
        """One that nobody here has."""
        return (ServedModel(name="else:latest", digest="ab" * 32, size=1),)


class Down(IdleRuntime):
    """A server that does not answer."""

    def version(self) -> str:
        """No answer."""
        raise RuntimeUnreachable("connection refused")

    def tags(self) -> tuple[ServedModel, ...]:
        """No answer."""
        raise RuntimeUnreachable("connection refused")


def fill(place: Place) -> None:
    """The store's one model, backed up."""
    FakeStore(place.store).add_model("llama3", WEIGHTS, template=b"{{ .Prompt }}")
    backup(place.site(), ())
    place.clock.advance(minutes=1)


def weights(place: Place) -> Path:
    """The file of the weights."""
    return max(place.store.glob("blobs/*"), key=lambda path: path.stat().st_size)


def manifest(place: Place) -> Path:
    """The file of the manifest."""
    return FakeStore(place.store).manifest_path("llama3")


@contextmanager
def in_memory(point: Path, mib: int = 32) -> Iterator[None]:
    """A file system in memory, mounted at ``point``; root only."""
    point.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(point)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(point)], check=True)


def _fresh(place: Place, _: ExitStack) -> None:
    place.store.mkdir()


def _healthy(place: Place, _: ExitStack) -> None:
    fill(place)


def _moved(place: Place, _: ExitStack) -> None:
    fill(place)
    place.store.rename(place.base / "old")
    FakeStore(place.store).add_model("other", b"other", template=b"{{ .Prompt }}")


def _other_server(place: Place, _: ExitStack) -> None:
    fill(place)
    place.runtime = Elsewhere()


def _damaged(damage: Callable[[Place], object]) -> Callable[[Place, ExitStack], None]:
    def prepare(place: Place, _: ExitStack) -> None:
        fill(place)
        damage(place)

    return prepare


def _wrong_owner(place: Place, _: ExitStack) -> None:
    fill(place)
    os.chown(place.store / "blobs", 1000, 1000)
    weights(place).chmod(0o600)


def _unmounted(place: Place, _: ExitStack) -> None:
    with in_memory(place.store):
        fill(place)


def _server_down(place: Place, _: ExitStack) -> None:
    fill(place)
    place.runtime = Down()


def _no_vault(place: Place, _: ExitStack) -> None:
    fill(place)
    shutil.rmtree(place.vault)


def _full(place: Place, stack: ExitStack) -> None:
    stack.enter_context(in_memory(place.store, 8))
    fill(place)
    weights(place).unlink()
    (place.store / "filler").write_bytes(bytes(6 * MIB))


def _read_only(place: Place, stack: ExitStack) -> None:
    stack.enter_context(in_memory(place.store))
    fill(place)
    manifest(place).unlink()
    subprocess.run(["mount", "-o", "remount,ro", str(place.store)], check=True)


@dataclass(frozen=True, slots=True)
class State:
    """A named state: what it is, how it comes to be, what the gate does with it, and its word."""

    name: str
    story: str
    does: str
    outcome: Passage
    prepare: Callable[[Place, ExitStack], None]
    root: bool = False

    @property
    def row(self) -> str:
        """Its line in docs/gate.md."""
        cells = (self.name, self.story, self.does, f"`{self.outcome.value}`", str(self.outcome.exit_code))
        return f"| {' | '.join(cells)} |"


HEALS, LEAVES = "heals it from the vault", "touches nothing"
STATES = (
    State("fresh", "an empty store that nobody has recorded", LEAVES, Passage.FRESH, _fresh),
    State("healthy", "every model is there, and every byte is vouched for", LEAVES, Passage.HEALTHY, _healthy),
    State("moved", "another folder stands where the recorded store was", LEAVES, Passage.REFUSED, _moved),
    State(
        "server reads another store", "it lists models that this store lacks", LEAVES, Passage.REFUSED, _other_server
    ),
    State(
        "manifest lost",
        "the file is gone, the blobs are there",
        "puts back its exact bytes",
        Passage.RECOVERED,
        _damaged(lambda place: corrupt.delete(manifest(place))),
    ),
    State(
        "manifest empty",
        "a power cut left 0 bytes",
        "puts back its exact bytes",
        Passage.RECOVERED,
        _damaged(lambda place: corrupt.empty(manifest(place))),
    ),
    State(
        "manifest garbage",
        "it does not parse, or some bytes of it are wrong",
        "puts back its exact bytes",
        Passage.RECOVERED,
        _damaged(lambda place: corrupt.garble(manifest(place), 40, 60, 7)),
    ),
    State(
        "blob lost",
        "the file is gone",
        HEALS,
        Passage.RECOVERED,
        _damaged(lambda place: corrupt.delete(weights(place))),
    ),
    State(
        "blob short",
        "the file ends too early",
        HEALS,
        Passage.RECOVERED,
        _damaged(lambda place: corrupt.truncate(weights(place), MIB + 1)),
    ),
    State(
        "blob long",
        "bytes were added",
        HEALS,
        Passage.RECOVERED,
        _damaged(lambda place: corrupt.extend(weights(place), b"x" * 5000)),
    ),
    State(
        "blob zeroed",
        "a range of it holds zeros, at the right size",
        HEALS,
        Passage.RECOVERED,
        _damaged(lambda place: corrupt.zero(weights(place), MIB, 5000)),
    ),
    State(
        "blob flipped",
        "one bit is wrong",
        HEALS,
        Passage.RECOVERED,
        _damaged(lambda place: corrupt.flip_bit(weights(place), 2 * MIB, 3)),
    ),
    State(
        "wrong owner",
        "the server may not read a blob",
        "gives it back its owner and mode",
        Passage.RECOVERED,
        _wrong_owner,
        root=True,
    ),
    State(
        "store unmounted",
        "its disk is not there, only the empty mount point",
        LEAVES,
        Passage.REFUSED,
        _unmounted,
        root=True,
    ),
    State("server down", "nothing answers, as before every start", LEAVES, Passage.HEALTHY, _server_down),
    State("vault missing", "the models are whole, and there is no copy", "says so", Passage.HEALTHY, _no_vault),
    State("disk full", "a blob is lost, and its disk has no room for it", LEAVES, Passage.BLOCKED, _full, root=True),
    State(
        "read-only", "a manifest is lost, and the store takes no writes", LEAVES, Passage.BLOCKED, _read_only, root=True
    ),
)
