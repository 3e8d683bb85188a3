"""Why a model seems lost though its bytes are well: the right cause for each scene, and none for a healthy one."""

import msgspec
import pytest

from modelward.domain.cause import Certainty, Kind, StoreSeen
from modelward.domain.diagnose_scene import diagnose_scene
from modelward.domain.finding import StoreEmpty, StoreMoved, StoreUnmounted, WrongStore
from modelward.domain.name import ModelName
from modelward.domain.scene import Definition, Mount, Scene, ServerSeen

LLAMA = ModelName.parse("llama3")
VOLUME = (Mount(source="rag_ollama_models", target="/root/.ollama"),)
HEALTHY = Scene(store="/s", folder=(1, 2), url="http://x", answers=True, served=1, ours=1, wanted=True)


def kinds(**changes: object) -> list[Kind]:
    """The causes of the healthy scene with these changes; each says what was seen and what to do."""
    causes = diagnose_scene(msgspec.structs.replace(HEALTHY, **changes))
    for cause in causes:
        assert cause.evidence
        assert all(cause.evidence)
        assert cause.next
    return [cause.kind for cause in causes]


def test_a_healthy_scene() -> None:
    """Nothing is said."""
    assert kinds() == []


def test_the_first_users_loss() -> None:
    """One volume at one place, OLLAMA_MODELS in one of the two files: each start shows other models."""
    one = Definition(where="docker-compose.yml: service ollama", mounts=VOLUME)
    two = Definition(where="docker-compose-core.yml: service ollama", models="/root/.ollama", mounts=VOLUME)
    assert kinds(definitions=(one, two)) == [Kind.TWO_DEFINITIONS]
    (cause,) = diagnose_scene(msgspec.structs.replace(HEALTHY, definitions=(one, two)))
    assert cause.certainty is Certainty.PROVED
    assert "docker-compose-core.yml" in " ".join(cause.evidence)


@pytest.mark.parametrize(
    "definitions",
    [
        (Definition(where="a", mounts=VOLUME), Definition(where="b", mounts=VOLUME)),
        (
            Definition(where="a", mounts=VOLUME),
            Definition(where="b", models="/root/.ollama/models", mounts=VOLUME),
        ),
        (
            Definition(where="a", mounts=VOLUME),
            Definition(where="b", models="/m", mounts=(Mount(source="other", target="/m"),)),
        ),
        (
            Definition(where="a", mounts=VOLUME),
            Definition(where="b", models="/x/models", mounts=(Mount(source="rag_ollama_models", target="/x"),)),
        ),
        (Definition(where="unit", home="/usr/share/ollama", container=False),),
    ],
)
def test_definitions_that_agree(definitions: tuple[Definition, ...]) -> None:
    """The same place in one volume, however it is written, or volumes of their own."""
    assert kinds(definitions=definitions) == []


def test_a_unit_and_a_container_in_one_folder() -> None:
    """The container has the unit's folder, and looks at another place in it; at the same place all is well."""
    unit = Definition(where="unit ollama.service", models="/srv/o/models", container=False)
    bound = (Mount(source="/srv/o", target="/root/.ollama"),)
    top = Definition(where="a.yml: service o", models="/root/.ollama", mounts=bound)
    (cause,) = diagnose_scene(msgspec.structs.replace(HEALTHY, definitions=(top, unit)))
    assert (cause.kind, cause.thing) == (Kind.TWO_DEFINITIONS, "/srv/o")
    assert cause.next == "let both keep it at one place, /srv/o or /srv/o/models"
    assert kinds(definitions=(unit, Definition(where="a.yml: service o", mounts=bound))) == []
    other = Definition(where="b", mounts=(Mount(source="/srv/other", target="/root/.ollama"),))
    assert kinds(definitions=(unit, other)) == []


def test_a_hidden_folder_keeps_its_dot() -> None:
    """The whole home is a volume: the store lies in .ollama."""
    assert Definition(where="x", mounts=(Mount(source="home", target="/root"),)).inside == ".ollama/models"


def test_a_container_without_a_volume() -> None:
    """The models go with it."""
    assert kinds(definitions=(Definition(where="compose.yaml: service ollama"),)) == [Kind.NOT_PERSISTED]
    beside = Definition(where="x", models="/data/m", mounts=VOLUME)
    assert kinds(definitions=(beside,)) == [Kind.NOT_PERSISTED]


def test_the_server_reads_another_store() -> None:
    """Proved by folders, likely by lists; the fuller one is kept."""
    assert kinds(elsewhere=True, server_store="/other", served=0) == [Kind.STORE_ELSEWHERE]
    (cause,) = diagnose_scene(msgspec.structs.replace(HEALTHY, elsewhere=True, server_store="/other", served=0))
    assert (cause.certainty, cause.next) == (Certainty.PROVED, "start the server with OLLAMA_MODELS=/s")
    (cause,) = diagnose_scene(msgspec.structs.replace(HEALTHY, elsewhere=True, server_store="/other", served=5))
    assert cause.next == "modelward status --store /other"
    finding = WrongStore(path="/s", server="http://x", reason="it lists other models")
    (cause,) = diagnose_scene(msgspec.structs.replace(HEALTHY, findings=(finding,)))
    assert (cause.kind, cause.certainty) == (Kind.STORE_ELSEWHERE, Certainty.LIKELY)


def test_an_empty_store_and_the_one_that_is_meant() -> None:
    """Another store of this host holds models: it is named."""
    empty = StoreEmpty(path="/s", known=3)
    other = StoreSeen(path="/vol/models", why="near", models=(LLAMA,), size=5, ours=False, served=None)
    assert kinds(findings=(empty,)) == [Kind.STORE_EMPTY]
    (cause,) = diagnose_scene(msgspec.structs.replace(HEALTHY, findings=(empty,), stores=(other,)))
    assert cause.next == "start the server with OLLAMA_MODELS=/vol/models"


def test_mounts() -> None:
    """Not mounted, moved, read-only."""
    gone = StoreUnmounted(path="/s", mount_point="/mnt/big", mount_source="/dev/sdb1")
    assert kinds(findings=(gone,)) == [Kind.STORE_UNMOUNTED]
    assert kinds(findings=(StoreMoved(path="/s", reason="another folder"),)) == [Kind.STORE_ELSEWHERE]
    assert kinds(read_only=True) == [Kind.READ_ONLY]


def test_two_servers_on_one_store() -> None:
    """One folder, whatever each calls it; unknown folders prove nothing."""
    one = ServerSeen(pid=10, store="/a", folder=(8, 1), listens=":1")
    two = ServerSeen(pid=11, store="/b", folder=(8, 1))
    assert kinds(servers=(one, two)) == [Kind.TWO_SERVERS]
    assert kinds(servers=(one, msgspec.structs.replace(two, folder=(8, 2)))) == []
    unknown = tuple(msgspec.structs.replace(server, folder=(0, 0)) for server in (one, two))
    assert kinds(servers=unknown) == []


def test_a_server_that_is_down() -> None:
    """Only where one ought to run: Modelward works without one."""
    assert kinds(answers=False) == [Kind.SERVER_DOWN]
    assert kinds(answers=False, wanted=False) == []
    assert kinds(answers=None) == []


def test_where_a_definition_puts_the_store() -> None:
    """Below the nearest mount; at its top the place is empty."""
    both = (*VOLUME, Mount(source="models", target="/root/.ollama/models"))
    near = Definition(where="x", mounts=both).volume
    assert near is not None
    assert near.source == "models"
    assert Definition(where="x", mounts=both).inside == ""
    assert Definition(where="x", mounts=VOLUME).inside == "models"
    assert Definition(where="x").inside == ""
