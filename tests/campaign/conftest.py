"""The fixture ``run``: a few cases with a fixed seed in the ordinary suite, a budget in seconds in the campaign."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.campaign.plan import Limits, Run, budget, seed


@pytest.fixture(params=["little", pytest.param("whole", marks=pytest.mark.campaign)])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """What the test may spend, its seed, and its figures, which are kept when the campaign runs."""
    part = request.path.stem.removeprefix("test_")
    limits: Limits = getattr(request.function, "limits", Limits(5))
    if request.param == "little":
        yield Run(part, request.function.__name__, "1", cases=limits.little)
        return
    found = Run(part, request.function.__name__, seed(), seconds=budget(part) * limits.share)
    print(f"{found.part} {found.test}: seed {found.seed}")
    try:
        yield found
    finally:
        found.write()
        print(f"{found.part} {found.test}: {dict(found.figures)}")


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one, for what needs many cases and no real disk."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own in it, closed to others
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="modelward-", dir=memory) as name:
        yield Path(name)
