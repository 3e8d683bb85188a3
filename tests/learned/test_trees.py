"""The half-space trees' process: what it answers, and what bounds it; a library in its place shows the faults."""

import os
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from modelward.domain.errors import ChildFailed, MissingExtra
from modelward.domain.forecast import ForecastKind
from modelward.forecast.backtest.trees import COURSES, trees_backtest
from modelward.forecast.trees import HABITS, Features
from modelward.learned import trees
from modelward.learned.record import record
from modelward.learned.trees import HalfSpaceTrees

needs_river = pytest.mark.skipif(find_spec("river") is None, reason="needs the extra ml (river)")
USUAL = [(0.5 + 0.01 * (number % 7), 0.5) for number in range(120)]
FAKE = """
import time
class HalfSpaceTrees:
    def __init__(self, **options):
        self.options = options
    def score_one(self, point):
        {score}
    def learn_one(self, point):
        pass
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a library in the place of river stands."""
    monkeypatch.setattr(trees, "find_spec", lambda _: object())
    (tmp_path / "river").mkdir()
    (tmp_path / "river" / "__init__.py").touch()
    return tmp_path


def faked(place: Path, score: str, **bounds: float) -> HalfSpaceTrees:
    """The trees over a library that scores like this."""
    (place / "river" / "anomaly.py").write_text(FAKE.format(score=score))
    path = os.pathsep.join((str(place), *(os.environ.get("PYTHONPATH", "").split(os.pathsep)), "src"))
    return HalfSpaceTrees({**os.environ, "PYTHONPATH": path}, **bounds)  # type: ignore[arg-type] # two kinds of bound


def test_each_point_gets_its_score(fake: Path) -> None:
    """In the order of the points, series by series, by the window that is asked for."""
    found = faked(fake, "return self.options['window_size'] + point['0']")([[(0.25, 0.0), (0.5, 0.0)], [(1.0, 0.0)]], 9)
    assert found == [[9.25, 9.5], [10.0]]


def test_nothing_asked_is_nothing_answered(fake: Path) -> None:
    """No series, and one without points."""
    assert faked(fake, "return 0")([], 9) == []
    assert faked(fake, "return 0")([[]], 9) == [[]]


def test_a_library_that_prints_spoils_no_answer(fake: Path) -> None:
    """Its words go elsewhere."""
    assert faked(fake, "print('[[1]]'); return 0.5")([[(0.0, 0.0)]], 9) == [[0.5]]


def test_a_process_that_hangs_is_ended_at_its_deadline(fake: Path) -> None:
    """Whoever asked goes on without."""
    began = time.monotonic()
    with pytest.raises(ChildFailed, match="not done within 1 s"):
        faked(fake, "time.sleep(60)", seconds=1.0)([[(0.0, 0.0)]], 9)
    assert time.monotonic() - began < 20


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="other systems bound memory in other ways")
def test_a_process_that_grows_is_ended(fake: Path) -> None:
    """It may have so much memory and no more."""
    with pytest.raises(ChildFailed, match="without an answer"):
        faked(fake, "self.all = bytearray(300 << 20); return 1", memory=128 << 20)([[(0.0, 0.0)]], 9)
    assert faked(fake, "self.all = bytearray(300 << 20); return 1", memory=512 << 20)([[(0.0, 0.0)]], 9) == [[1.0]]


def test_a_process_that_fails_is_said(fake: Path) -> None:
    """In one sentence with what to do."""
    with pytest.raises(ChildFailed, match=r"without an answer.*forecast_trees to off"):
        faked(fake, "raise SystemExit(3)")([[(0.0, 0.0)]], 9)


def test_without_the_extra_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setattr(trees, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r"needs the extra ml.*pip install 'modelward\[ml\]'"):
        HalfSpaceTrees({})


def test_the_record_is_whole() -> None:
    """Both ways were scored on the same events of every kind that the trees know."""
    kept = record()
    assert [score.kind for score in kept.ours] == [score.kind for score in kept.trees] == list(HABITS)
    assert [score.events for score in kept.ours] == [score.events for score in kept.trees]
    assert all(score.events > 0 and score.alarms > 0 for score in (*kept.ours, *kept.trees))
    assert set(kept.seeds).isdisjoint({11, 12}), "judged on the histories that the bounds were chosen on"


@needs_river
def test_an_odd_point_scores_higher() -> None:
    """After what is usual was learned; the same question has the same answer."""
    series: list[Features] = [*USUAL, (0.99, 0.99)]
    detector = HalfSpaceTrees(os.environ)
    ((*usual, odd),) = detector([series], 50)
    assert odd > max(usual)
    assert usual[:49] == [0.0] * 49
    assert detector([series], 50) == [[*usual, odd]]


@needs_river
def test_the_back_test_repeats_itself() -> None:
    """On shorter histories: every kind met events, and the second run gives the same numbers."""
    detector = HalfSpaceTrees(os.environ, seconds=600)
    first = trees_backtest(detector, (3,), 2)
    assert [score.kind for score in first] == [course.kind for course in COURSES]
    assert all(score.events > 0 for score in first if score.kind is not ForecastKind.FAIL_SLOW)
    assert trees_backtest(detector, (3,), 2) == first
