"""The brake beside a running guard: how it stands, and a person's wish to let it go (G4)."""

from typing import Final

from modelward.domain.brake import Brake, BrakeReport, Release
from modelward.ports import Clock, Journal

BRAKE: Final = "guard.brake"
RELEASE: Final = "guard.release"


def show_brake(journal: Journal | None) -> BrakeReport:
    """How the brake stands; ``journal`` is None where no guard has kept one."""
    return BrakeReport(brake=_brake(journal))


def release_brake(journal: Journal, clock: Clock, by: str) -> BrakeReport:
    """Ask the guard to heal alone again; one that does not run does so at its next start."""
    brake = _brake(journal)
    if brake.engaged:
        journal.put(RELEASE, Release(at=clock.now(), by=by))
    return BrakeReport(brake=brake, released=brake.engaged)


def wished_release(journal: Journal, brake: Brake) -> Release | None:
    """A wish that came after the brake was engaged."""
    wish = journal.get(RELEASE, Release) if brake.since is not None else None
    return wish if wish is not None and brake.since is not None and wish.at >= brake.since else None


def _brake(journal: Journal | None) -> Brake:
    found = journal.get(BRAKE, Brake) if journal is not None else None
    return found or Brake()
