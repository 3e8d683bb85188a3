"""The picture of a model's chunks: what is proved, bad, lost or unread, as far as it is known without reading."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelward.domain.errors import UnknownModel
from modelward.domain.name import ModelName
from modelward.domain.reading import Level
from modelward.services.backup import backup
from modelward.services.chunk_map import chunk_map, runs_of
from modelward.services.verify import verify
from modelward.testing import FakeStore, corrupt, fingerprint
from tests.places import BEGIN, Place

LLAMA = ModelName.parse("llama3")
CHUNK = 1 << 20
WEIGHTS = bytes(range(256)) * (13 * CHUNK // 1024)  # three chunks and a bit
PROVED = int(BEGIN.timestamp())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A store with one model, backed up, so that its chunks can be told apart."""
    place = Place(tmp_path)
    FakeStore(place.store).add_model("llama3", WEIGHTS, template=b"{{ .Prompt }}")
    backup(place.site(), ())
    return place


def weights(place: Place) -> Path:
    """The file of the weights."""
    return max(place.store.glob("blobs/*"), key=lambda path: path.stat().st_size)


def drawn(place: Place) -> list[tuple[int, str, int | None]]:
    """The runs of the weights."""
    blob = max(chunk_map(place.site(), LLAMA).blobs, key=lambda blob: blob.size)
    return [(run.count, run.state, run.verified_at) for run in blob.runs]


def test_a_proved_blob_is_one_good_run_with_its_time(place: Place) -> None:
    """Every chunk is good since the time of the blob's receipt, and the map costs no reading of the store."""
    before = fingerprint(place.store)
    found = chunk_map(place.site(), LLAMA)
    assert [(run.count, run.state, run.verified_at) for blob in found.blobs for run in blob.runs] == [
        (1, "good", PROVED),
        (4, "good", PROVED),
        (1, "good", PROVED),
    ]
    assert (found.model, found.chunk) == (LLAMA, CHUNK)
    assert fingerprint(place.store) == before


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda path: corrupt.flip_bit(path, 2 * CHUNK, 0), [(2, "unread"), (1, "bad"), (1, "unread")]),
        (lambda path: corrupt.zero(path, CHUNK - 10, 20), [(2, "bad"), (2, "unread")]),
        (lambda path: corrupt.truncate(path, CHUNK + 5), [(1, "unread"), (3, "lost")]),
        (lambda path: path.unlink(), [(4, "lost")]),
    ],
    ids=["flipped", "zeroed", "cut", "gone"],
)
def test_damage_is_drawn_where_it_is(
    place: Place, damage: Callable[[Path], None], expected: list[tuple[int, str]]
) -> None:
    """Wrong chunks are bad, those behind the end of a file and of a lost file are lost, the others are unread."""
    damage(weights(place))
    verify(place.site(), (), Level.FULL)
    assert [(count, state) for count, state, _ in drawn(place)] == expected


def test_a_running_pass_shows_how_far_it_is(tmp_path: Path) -> None:
    """What a sample has read of a blob so far is good, the rest unread."""
    place = Place(tmp_path)
    FakeStore(place.store).add_model("llama3", WEIGHTS, template=b"{{ .Prompt }}")
    backup(place.site(), ())
    weights(place).touch()
    verify(place.site(), (), Level.SAMPLE, sample_percent=45)
    states = [(count, state) for count, state, _ in drawn(place)]
    assert sum(count for count, _ in states) == 4
    assert {state for _, state in states} <= {"good", "unread"}


def test_a_model_that_is_lost_is_drawn_from_its_record(place: Place) -> None:
    """Without its manifest in the store, the vault's record still says which blobs it has."""
    next((place.store / "manifests").rglob("latest")).unlink()
    assert sum(count for count, _, _ in drawn(place)) == 4


def test_a_model_that_nobody_knows_is_an_error(place: Place) -> None:
    """A name that neither store nor vault has is refused."""
    with pytest.raises(UnknownModel):
        chunk_map(place.site(), ModelName.parse("nobody"))


@given(st.lists(st.tuples(st.sampled_from(["good", "bad", "lost"]), st.sampled_from([None, 1, 2]))))
def test_runs_say_the_same_in_fewer_words(states: list[tuple[str, int | None]]) -> None:
    """Runs hold every chunk in order, and no two neighbours are alike."""
    runs = runs_of(states)
    assert [(run.state, run.verified_at) for run in runs for _ in range(run.count)] == states
    pairs = [(run.state, run.verified_at) for run in runs]
    assert all(one != two for one, two in pairwise(pairs))
