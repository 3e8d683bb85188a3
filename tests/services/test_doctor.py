"""Doctor puts both halves together: the scene and the damage, told once, with a server or without."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from modelward.domain.cause import Cause, Certainty, Kind
from modelward.domain.errors import RuntimeRefused, RuntimeUnreachable
from modelward.domain.manifest import Manifest
from modelward.domain.name import ModelName
from modelward.domain.runtime import ModelCard, ServedModel
from modelward.domain.scene import Scene, ServerSeen
from modelward.domain.store import Inventory
from modelward.domain.verdict import Report
from modelward.ports import Store
from modelward.services.backup import backup
from modelward.services.doctor import doctor
from modelward.testing import FakeStore, IdleRuntime, corrupt
from tests.places import Place

LOST = Cause(kind=Kind.MANIFEST_LOST, thing="m", evidence=("x",), certainty=Certainty.PROVED, next="modelward repair")


@dataclass
class Around:
    """Scripted surroundings."""

    causes: tuple[Cause, ...] = ()
    servers: tuple[ServerSeen, ...] = ()
    recalled: Mapping[ModelName, Manifest] = field(default_factory=dict)

    def scene(self, site_store: Store, compose: Sequence[str]) -> Scene:
        """What was scripted."""
        assert compose == ("a.yml",)
        return Scene(store=site_store.path, folder=self.real(site_store.path) or (0, 0), servers=self.servers)

    def real(self, path: str) -> tuple[int, int] | None:
        """By the file system."""
        try:
            found = Path(path).stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def damage(
        self, inventory: Inventory, report: Report, server: str, recalled: Mapping[ModelName, Manifest]
    ) -> tuple[Cause, ...]:
        """What was scripted, where there is damage."""
        assert server in ("", "0.24.0")
        assert inventory is not None
        self.recalled = recalled
        return self.causes if report.exit_code else ()

    def notes(self) -> tuple[str, ...]:
        """One."""
        return ("a note",)


class Server(IdleRuntime):
    """Reads this store."""

    def __init__(self, store: str, digest: str, *, up: bool = True, talks: bool = True) -> None:
        self.store, self.digest, self.up, self.talks = store, digest, up, talks

    def version(self) -> str:
        """When it is up."""
        if not self.up:
            raise RuntimeUnreachable("down")
        return "0.24.0"

    def tags(self) -> tuple[ServedModel, ...]:
        """One model."""
        self.version()
        return (ServedModel(name="llama3:latest", digest=self.digest, size=1),)

    def show(self, name: str) -> ModelCard:
        """Where it reads it from."""
        if not self.talks:
            raise RuntimeRefused("broken", thing=name, next_step="x")
        return ModelCard(store=self.store)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """One model."""
    place = Place(tmp_path)
    FakeStore(place.store).add_model("llama3", b"x" * 5000)
    return place


def digest(place: Place) -> str:
    """Of its manifest."""
    (model,) = place.site(make_vault=False).store.inventory().models.values()
    return model.manifest.digest.hex


def see(place: Place, around: Around | None = None) -> list[Kind]:
    """The causes."""
    report = doctor(place.site(make_vault=False), around or Around(), compose=("a.yml",))
    assert report.notes == ("a note",)
    assert report.exit_code == (1 if report.causes else 0)
    return [cause.kind for cause in report.causes]


def test_all_well(place: Place) -> None:
    """With the server on the same store, down, silent, or without one."""
    assert see(place) == []
    for server in (
        Server(str(place.store), digest(place)),
        Server(str(place.store), digest(place), up=False),
        Server("/inside/a/container", digest(place)),
        Server("", digest(place), talks=False),
    ):
        place.runtime = server
        assert see(place) == []


def test_the_server_reads_another_store(place: Place, tmp_path: Path) -> None:
    """Its modelfile gives it away; else its process does."""
    FakeStore(tmp_path / "other").add_model("llama3", b"x" * 5000)
    place.runtime = Server(str(tmp_path / "other"), digest(place))
    assert see(place) == [Kind.STORE_ELSEWHERE]
    found = (tmp_path / "other").stat()
    process = ServerSeen(pid=1, store=str(tmp_path / "other"), folder=(found.st_dev, found.st_ino))
    place.runtime = Server("", digest(place), talks=False)
    assert see(place, Around(servers=(process,))) == [Kind.STORE_ELSEWHERE]


def test_a_path_in_a_container_is_that_of_its_process(place: Place, tmp_path: Path) -> None:
    """A folder of this host by the same name is not the server's: what its process reads counts."""
    FakeStore(tmp_path / "same-name").add_model("llama3", b"x" * 5000)
    path, ours = str(tmp_path / "same-name"), place.store.stat()
    place.runtime = Server(path, digest(place))
    inside = ServerSeen(pid=1, store=path, folder=(ours.st_dev, ours.st_ino), container=True)
    assert see(place, Around(servers=(inside,))) == []
    unknown = ServerSeen(pid=1, store=path, container=True)
    assert see(place, Around(servers=(unknown,))) == []


def test_what_is_lost_is_told_though_another_store_is_read(place: Place, tmp_path: Path) -> None:
    """The next start may prune what belongs to a lost manifest: that must not wait."""
    FakeStore(tmp_path / "other").add_model("llama3", b"x" * 5000)
    place.runtime = Server(str(tmp_path / "other"), digest(place))
    corrupt.flip_bit(max(place.store.glob("blobs/*"), key=lambda path: path.stat().st_size), 1, 1)
    assert see(place, Around(causes=(LOST,))) == [Kind.STORE_ELSEWHERE, Kind.MANIFEST_LOST]


def test_damage_is_explained_or_said_to_be_unexplained(place: Place) -> None:
    """Never a wrong certainty."""
    corrupt.flip_bit(max(place.store.glob("blobs/*"), key=lambda path: path.stat().st_size), 1, 1)
    assert see(place, Around(causes=(LOST,))) == [Kind.MANIFEST_LOST]
    assert see(place) == [Kind.UNKNOWN]


def test_who_explains_is_given_what_a_repair_would_put_in_place(place: Place) -> None:
    """The manifest that the vault has of a model whose own is gone; none where nothing is lost or nobody knows it."""
    around, path = Around(), FakeStore(place.store).manifest_path("llama3")
    raw = path.read_bytes()
    doctor(place.site(), around, compose=("a.yml",))
    assert around.recalled == {}
    backup(place.site(), ())
    path.unlink()
    doctor(place.site(), around, compose=("a.yml",))
    assert {name: manifest.raw for name, manifest in around.recalled.items()} == {ModelName.parse("llama3"): raw}


def test_an_empty_store_explains_what_is_lost_in_it(place: Place) -> None:
    """Not a line for every model of it."""
    backup(place.site(), ())
    for path in (*place.store.glob("blobs/*"), *place.store.glob("manifests/*/*/*/*")):
        path.unlink()
    (place.store / "blobs").rename(place.base / "away")
    (place.store / "blobs").mkdir()
    report = doctor(place.site(), Around(causes=(LOST,)), compose=("a.yml",))
    assert [cause.kind for cause in report.causes] == [Kind.STORE_EMPTY]
