"""When a recurring task is due: with jitter, caught up once after sleep, and unmoved by clocks that jump."""

from datetime import datetime, timedelta
from hashlib import sha256

import msgspec

from modelward.domain.snapshot import Moment

_SHARE = 0.1  # of the interval: how far jitter may move a run


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A task by name and how often it is done; ``first`` is how long after the start it may run for the first time."""

    name: str
    every: timedelta
    first: timedelta = timedelta()


class Runs(msgspec.Struct, frozen=True, kw_only=True):
    """When each task last began and ended, and how; kept over restarts."""

    began: dict[str, Moment] = msgspec.field(default_factory=dict)
    ended: dict[str, Moment] = msgspec.field(default_factory=dict)
    outcome: dict[str, str] = msgspec.field(default_factory=dict)

    def begin(self, name: str, at: datetime) -> "Runs":
        """The runs with one more begun."""
        return msgspec.structs.replace(self, began={**self.began, name: at})

    def end(self, name: str, at: datetime, outcome: str) -> "Runs":
        """The runs with one ended."""
        return msgspec.structs.replace(
            self, ended={**self.ended, name: at}, outcome={**self.outcome, name: outcome[:200]}
        )


def next_run(task: Task, runs: Runs, started_at: datetime, now: datetime, seed: str = "") -> datetime:
    """When the task is due; in the past where it is overdue, and then it runs once, however much was missed.

    A last run that lies in the future (a clock that was set back) counts as just begun.
    """
    last = runs.began.get(task.name)
    if last is None:
        return started_at + task.first if started_at <= now else now + task.first
    return min(last, now) + task.every + jitter(task, seed)


def jitter(task: Task, seed: str) -> timedelta:
    """A share of the interval that is the same for this host and task: many hosts do not start at one moment."""
    if not seed:
        return timedelta()
    number = int.from_bytes(sha256(f"{seed} {task.name}".encode()).digest()[:4], "big") / 0xFFFFFFFF
    return task.every * (number * _SHARE - _SHARE / 2)
