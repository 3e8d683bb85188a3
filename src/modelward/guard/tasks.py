"""The recurring tasks, from the settings: one list."""

from datetime import timedelta
from typing import Final

from modelward.config import Settings
from modelward.domain.schedule import Task

MAINTENANCE: Final = "maintenance"
SCRUB_STORE: Final = "scrub store"
SCRUB_VAULT: Final = "scrub vault"
DRILL: Final = "drill"
_SLICES = 168  # of a pass: an hour of a week
_AT_LEAST, _AT_MOST = timedelta(seconds=5), timedelta(hours=1)


def tasks_of(settings: Settings) -> tuple[Task, ...]:
    """What is done again and again, and how often."""
    return (
        Task(name=MAINTENANCE, every=settings.maintenance_interval),
        Task(name=SCRUB_STORE, every=_slice(settings.scrub_store), first=timedelta(seconds=30)),
        Task(name=SCRUB_VAULT, every=_slice(settings.scrub_vault), first=timedelta(seconds=60)),
        Task(name=DRILL, every=settings.drill_every, first=min(settings.drill_every, timedelta(hours=1))),
    )


def _slice(period: timedelta) -> timedelta:
    """How often a slice of a pass is read: small slices of a long pass, none so often that it never rests."""
    return max(_AT_LEAST, min(_AT_MOST, period / _SLICES))
