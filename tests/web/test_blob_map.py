"""The picture of a blob's chunks."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from modelward.domain.answer import BlobMap, ChunkMap, Run
from modelward.domain.chunks import CHUNK, Span
from modelward.domain.digest import Digest
from modelward.domain.name import ModelName
from modelward.web.blob_map import COLUMNS, LEGEND, ROWS, cells, kind_of, picture, pictures

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
THEN = int(NOW.timestamp())
DAY = 86_400


def blob(*runs: Run, bad: tuple[Span, ...] = ()) -> BlobMap:
    """A blob made of runs."""
    return BlobMap(
        blob=Digest("ab" * 32),
        media_type="application/vnd.ollama.image.model",
        size=sum(run.count for run in runs) * CHUNK,
        runs=runs,
        bad=bad,
    )


_RUNS = st.lists(
    st.builds(
        Run,
        st.integers(1, 3_000),
        st.sampled_from(["good", "bad", "unread", "lost"]),
        st.one_of(st.none(), st.integers(THEN - 90 * DAY, THEN)),
    ),
    min_size=1,
    max_size=12,
)


@given(_RUNS)
def test_the_picture_covers_every_chunk_once(runs: list[Run]) -> None:
    """Whatever the runs, rectangles tile the cells, row by row, and the picture never grows beyond its size."""
    total = sum(run.count for run in runs)
    found = picture(blob(*runs), NOW)
    each = max(1, -(-total // (COLUMNS * ROWS)))
    number = -(-total // each)
    assert sum(rect.width for rect in found.rects) == number * 10
    assert found.width <= COLUMNS * 10
    assert found.height <= ROWS * 10
    assert all(rect.x + rect.width <= found.width for rect in found.rects)
    assert {rect.tone for rect in found.rects} <= {tone for tone, _ in LEGEND}


@given(_RUNS, st.integers(1, 40))
def test_a_cell_shows_its_worst_chunk(runs: list[Run], each: int) -> None:
    """Damage is never hidden behind good neighbours: a cell with one bad chunk is bad."""
    states = [run.state for run in runs for _ in range(run.count)]
    tones = cells(blob(*runs), each, NOW)
    assert len(tones) == -(-len(states) // each)
    for index, tone in enumerate(tones):
        inside = states[index * each : (index + 1) * each]
        assert (tone == "bad") is ("bad" in inside)
        assert (tone == "lost") is ("lost" in inside and "bad" not in inside)


def test_the_age_of_the_last_proof_colours_what_is_good() -> None:
    """A day, a week, a month, longer ago: the oldest in a cell counts."""
    ages = [Run(1, "good", THEN - seconds) for seconds in (60, 2 * DAY, 20 * DAY, 60 * DAY)]
    assert cells(blob(*ages), 1, NOW) == ["day", "week", "month", "old"]
    assert cells(blob(*ages), 4, NOW) == ["old"]
    assert cells(blob(Run(1, "good", None)), 1, NOW) == ["day"]


def test_damage_is_told_in_bytes_and_chunks() -> None:
    """A span stands below the picture in words."""
    found = picture(blob(Run(2, "good", THEN), Run(2, "bad", None), bad=(Span(2 * CHUNK, 2 * CHUNK),)), NOW)
    assert found.harms[0] == ("damaged", "bytes 2,097,152 to 4,194,303", "chunks 2 to 3", "2.1 MB")
    assert found.label == "4 chunks: 2 damaged"
    assert found.rects[-1].title == "chunks 2 to 3: damaged"
    assert found.per_cell == "one cell is 1 chunk (1 MiB)"


def test_a_blob_without_a_file_is_told_as_not_there() -> None:
    """It has no spans of its own, and is told all the same."""
    found = picture(blob(Run(3, "lost", None)), NOW)
    assert found.harms == (("not there", "the whole blob", "3 chunks", "3.15 MB"),)


def test_many_places_are_counted_not_listed() -> None:
    """A blob with twenty bad places names eight, and says how many more there are."""
    bad = tuple(Span(index * 2 * CHUNK, CHUNK) for index in range(20))
    found = picture(blob(Run(40, "bad", None), bad=bad), NOW)
    assert (len(found.harms), found.more) == (8, 12)
    assert found.harms[0].chunks == "chunk 0"


def test_a_large_blob_is_drawn_coarser() -> None:
    """4.7 GB are about a thousand cells of four chunks."""
    found = picture(blob(Run(4_446, "good", THEN)), NOW)
    assert found.per_cell == "one cell is 4 chunks (4 MiB)"
    assert found.label == "4,446 chunks: all proved"
    assert len(found.rects) == ROWS


def test_every_blob_of_a_model_has_its_picture_in_order() -> None:
    """An empty blob has one too."""
    both = ChunkMap(model=ModelName.parse("llama3"), chunk=CHUNK, blobs=(blob(Run(1, "unread", None)), blob()))
    found = pictures(both, NOW)
    assert [each.chunks for each in found] == ["1 chunk", "0 chunks"]
    assert found[1].rects == ()


def test_media_types_are_told_by_their_last_word() -> None:
    """The config's type has a word of its own."""
    assert kind_of("application/vnd.ollama.image.license") == "license"
    assert kind_of("application/vnd.docker.container.image.v1+json") == "config"
    assert kind_of("") == "blob"
