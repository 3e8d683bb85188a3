"""The wait for a line of a download grows with what the server has to read, and ends when nothing moves."""

from datetime import UTC, datetime

import pytest

from modelward.runtimes.answers import Step
from modelward.runtimes.progress import SLOW_DISK, Progress
from modelward.runtimes.wire import NoAnswer
from modelward.testing import FrozenClock

START = datetime(2026, 1, 1, tzinfo=UTC)


def pulling(digest: str, total: int, completed: int = 0) -> Step:
    """A line of a blob."""
    return Step(status=f"pulling {digest}", digest=digest, total=total, completed=completed)


def test_a_line_of_a_blob_leaves_the_usual_time() -> None:
    """While bytes come, lines come."""
    progress = Progress(FrozenClock(START), 60)
    assert progress.patience(Step(status="pulling manifest")) == 60
    assert progress.patience(pulling("a", 1000 * SLOW_DISK)) == 60


def test_a_proof_may_take_as_long_as_reading_it_all() -> None:
    """Each blob counts once, with its newest size."""
    progress = Progress(FrozenClock(START), 60)
    for step in (pulling("a", 100 * SLOW_DISK), pulling("a", 100 * SLOW_DISK, 1), pulling("b", 20 * SLOW_DISK)):
        progress.patience(step)
    assert progress.patience(Step(status="verifying sha256 digest")) == 180


def test_a_server_cannot_make_us_wait_for_ever() -> None:
    """Sizes beyond reason, or below zero, move the wait between its bounds only."""
    progress = Progress(FrozenClock(START), 60)
    progress.patience(pulling("a", 1 << 62))
    assert progress.patience(Step(status="verifying sha256 digest")) == 60 + 6 * 3600
    progress.patience(pulling("a", -(1 << 62)))
    assert progress.patience(Step(status="verifying sha256 digest")) == 60


def test_the_same_line_for_too_long_is_no_progress() -> None:
    """Ten times the wait without a byte is the end; one byte begins it anew."""
    clock = FrozenClock(START)
    progress = Progress(clock, 60)
    progress.patience(pulling("a", 9, 1))
    clock.advance(seconds=599)
    progress.patience(pulling("a", 9, 1))
    progress.patience(pulling("a", 9, 2))
    clock.advance(seconds=600)
    progress.patience(pulling("a", 9, 2))
    clock.advance(seconds=1)
    with pytest.raises(NoAnswer, match="601 s"):
        progress.patience(pulling("a", 9, 2))
