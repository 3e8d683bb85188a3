"""A vault in a temporary folder for every test of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelward.ports import Ledgers
from modelward.scan import Pace, Reading
from modelward.testing import FrozenClock
from modelward.vault.ledgers import FolderLedgers
from modelward.vault.local import LocalVault
from modelward.vault.sealed import copy_of
from modelward.vault.writer import VaultLimits
from tests.kinds import at_most
from tests.places import BEGIN, Notes


class Shelf:
    """Where a vault lies, a clock, and what the reading was told; every ``open`` is a new process."""

    def __init__(self, root: Path) -> None:
        self.root, self.clock, self.notes = root, FrozenClock(BEGIN), Notes()
        self.limits = VaultLimits(lock_wait=0, reserve=0)

    def ledgers(self) -> Ledgers:
        """The vault's own receipts."""
        return FolderLedgers(LocalVault.receipts_path(self.root), self.clock)

    def reading(self) -> Reading:
        """Two threads, past the page cache."""
        return Reading(clock=self.clock, progress=self.notes, pace=Pace(self.clock), threads=2)

    def open(self) -> LocalVault:
        """The vault that is there."""
        return LocalVault.open(self.root, ledgers=self.ledgers(), reading=self.reading(), limits=self.limits)

    def create(self) -> LocalVault:
        """The folder made a vault."""
        return LocalVault.create(self.root, ledgers=self.ledgers(), reading=self.reading(), limits=self.limits)

    def path(self, *parts: str) -> Path:
        """Below the root."""
        return self.root.joinpath(*parts)

    def object(self, digest: str) -> Path:
        """The file of an object, by its hex digest or its whole name."""
        return self.path("blobs", "sha256", digest.removeprefix("sha256:"))

    def both(self, name: str) -> tuple[Path, Path]:
        """The file of ours that is kept twice, and its copy."""
        return self.path("modelward", name), self.path("modelward", copy_of(name))

    def names(self, *parts: str) -> list[str]:
        """The names in a folder below the root, sorted."""
        return sorted(path.name for path in self.path(*parts).iterdir())


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """A place for a vault; there is none yet."""
    return Shelf(tmp_path / "vault")


@pytest.fixture(autouse=True)
def _never_for_ever() -> Iterator[None]:
    """No call of these tests may hang."""
    with at_most(60):
        yield
