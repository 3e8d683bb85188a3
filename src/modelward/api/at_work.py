"""A workplace for one request: opened for reading or for a dry run, and ended when it takes too long."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from modelward.api.problem import TookTooLong
from modelward.api.route import Ask
from modelward.domain.errors import Interrupted
from modelward.guard.place import Place

SECONDS = 30.0


class Unwatched:
    """A progress that nobody looks at."""

    def begin(self, label: str, total: int) -> None:
        """Say nothing."""

    def advance(self, count: int) -> None:
        """Say nothing."""

    def say(self, event: str, **keys: object) -> None:
        """Say nothing."""


@contextmanager
def place_of(ask: Ask[Any, Any], seconds: float = SECONDS) -> Iterator[Place]:
    """Open a workplace; raises TookTooLong when the block reads for longer than so many seconds."""
    stop = threading.Event()
    timer = threading.Timer(seconds, stop.set)
    timer.daemon = True
    timer.start()
    try:
        with ask.deps.opener(Unwatched(), stop, cause=cause_of(ask), hurry=True) as place:
            yield place
    except Interrupted as error:
        raise TookTooLong(
            f"it would take longer than {seconds:g} seconds", next_step="start it as a job: POST /api/v1/jobs"
        ) from error
    finally:
        timer.cancel()


def cause_of(ask: Ask[Any, Any]) -> str:
    """Who asked, for the audit log."""
    return f"api: {ask.who.name}"
