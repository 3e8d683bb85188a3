"""Show progress on a terminal, and events in a log on standard error; both stay silent where nobody looks."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from modelward.ports import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_FAILURES = frozenset({"backup_refused", "source_failed", "patch_failed"})
_SLOW = 64 << 20


class Silent:
    """Nobody looks."""

    def begin(self, label: str, total: int) -> None:
        """Say nothing."""

    def advance(self, count: int) -> None:
        """Say nothing."""

    def say(self, event: str, **keys: object) -> None:
        """Say nothing."""


class Console:
    """Bars on a terminal for stages of more than 64 MiB, and events as log lines from the chosen level up."""

    def __init__(self, *, bars: bool, level: int) -> None:
        self._wanted, self._level = bars, level
        self._bars: Bars | None = None
        self._task: TaskID | None = None
        self._lock = threading.Lock()
        self._log: Any = None

    def begin(self, label: str, total: int) -> None:
        """A new bar, when it will stand there long enough to be read."""
        self.end()
        if self._wanted and total > _SLOW:
            self._bars = _bars()
            self._task = self._bars.add_task(label, total=total)
            self._bars.start()

    def advance(self, count: int) -> None:
        """Move the bar."""
        if self._bars is not None and self._task is not None:
            with self._lock:
                self._bars.advance(self._task, count)

    def say(self, event: str, **keys: object) -> None:
        """Log the event: failures as warnings, the others as information."""
        level = "warning" if event in _FAILURES or keys.get("error") else "info"
        if _LEVELS[level] >= self._level:
            self._log = self._log or _logger()
            getattr(self._log, level)(event, **keys)

    def end(self) -> None:
        """Take the bar away."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None


@contextmanager
def watching(log_level: str, *, quiet: bool) -> Iterator[Progress]:
    """Progress for one command: bars only on a terminal and not beside JSON."""
    bars = not quiet and sys.stderr.isatty()
    level = _LEVELS.get(log_level.lower(), _LEVELS["warning"])
    if not bars and level > _LEVELS["info"]:
        yield Silent()
        return
    console = Console(bars=bars, level=level)
    try:
        yield console
    finally:
        console.end()


def _bars() -> "Bars":
    from rich.console import Console as Terminal
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:>7}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    return Bars(*columns, console=Terminal(stderr=True), transient=True)


def _logger() -> Any:  # noqa: ANN401 - structlog's loggers are bound at run time
    import structlog

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer() if not sys.stderr.isatty() else structlog.dev.ConsoleRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    return structlog.get_logger()
