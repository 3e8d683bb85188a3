"""The guard's logs: what was done and what was seen, each a file of JSON lines that is rotated, and a console.

Lines are made by msgspec and written by the standard library's handlers: structlog costs ten times their memory,
because it loads rich.
"""

import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Self, TextIO

import msgspec

from modelward.config import Settings
from modelward.domain.codec import encode
from modelward.domain.words import printable
from modelward.durable import Folder, writing_errors

MAINTENANCE, MONITOR = "model_maintenance.log", "model-monitor.log"
# Events whose first word is one of these are of what was seen; all others are of what was done.
_SEEN = frozenset({"alert", "check", "deadman", "flip", "look", "probe", "server", "silence"})
_BAD = ("failed", "lost", "refused")
_SECRET = re.compile(
    r"secret|token|password|passphrase|authorization|cookie|(alert|webhook|deadman)_urls?\Z", re.IGNORECASE
)
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_PARAMETER = re.compile(r"([?&][^=&\s]*(?:token|key|secret|password|sig)[^=&\s]*=)[^&\s]+", re.IGNORECASE)
_HIDDEN = "(hidden)"


class GuardLog:
    """Progress that logs: ``say`` is safe from several threads, and never raises.

    Lines that could not be written are counted, and the count is told by the next one that can be.
    """

    def __init__(self, folder: Path, *, size: int, files: int, console: TextIO | None = None) -> None:
        """Logs in ``folder`` (made 0700), rotated at ``size`` bytes, ``files`` old ones kept; raises WriteFailed."""
        self._folder = Folder.open(folder, create=True)
        self._console = _Console(console) if console is not None else None
        self._files: dict[str, _File] = {}
        try:
            for name in (MAINTENANCE, MONITOR):
                self._files[name] = _File(f"{self._folder.path}/{name}", size, files)
        except BaseException:
            self.close()
            raise

    @classmethod
    @contextmanager
    def opened(cls, settings: Settings, *, console: bool) -> Iterator[Self]:
        """The logs of the settings, closed when the block ends; ``console`` shows them on standard error too."""
        stream = sys.stderr if console else None
        log = cls(Path(settings.log_folder), size=settings.log_size, files=settings.log_files, console=stream)
        try:
            yield log
        finally:
            log.close()

    def begin(self, label: str, total: int) -> None:
        """Stages are for screens."""

    def advance(self, count: int) -> None:
        """Bytes are for screens."""

    def say(self, event: str, **keys: object) -> None:
        """Log an event and its keys: to the monitor's log what was seen, to the other what was done."""
        name = MONITOR if event.partition("_")[0] in _SEEN else MAINTENANCE
        record = logging.makeLogRecord({"msg": event, "keys": _safe(keys), "levelname": level_of(event, keys)})
        self._files[name].handle(record)
        if self._console is not None:
            self._console.handle(record)

    def close(self) -> None:
        """Close the files; safe to repeat."""
        for file in self._files.values():
            file.close()
        self._folder.close()


def level_of(event: str, keys: Mapping[str, object]) -> str:
    """``error`` for critical alerts, ``warning`` for what went wrong, else ``info``."""
    if keys.get("severity") == "critical" and keys.get("what") != "resolved":
        return "error"
    wrong = event.endswith(_BAD) or bool(keys.get("error")) or keys.get("bad") is True
    return "warning" if wrong else "info"


class _File(RotatingFileHandler):
    """One log file; what cannot be written is counted."""

    def __init__(self, path: str, size: int, files: int) -> None:
        self.lost = 0
        with writing_errors(path):
            super().__init__(path, maxBytes=size, backupCount=max(1, files), encoding="utf-8")

    def format(self, record: logging.LogRecord) -> str:
        """The JSON line, after one that tells how many were lost."""
        line = json_line(record.created, record.levelname, record.msg, record.__dict__["keys"])
        if not self.lost:
            return line
        return json_line(record.created, "warning", "log_lines_lost", {"count": self.lost}) + "\n" + line

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line; once one is written, nothing is owed any more."""
        before = self.lost
        super().emit(record)
        self.lost = 0 if self.lost == before else self.lost

    def close(self) -> None:
        """Close the file; lines that the disk did not take are given up with it."""
        with suppress(OSError):
            super().close()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - as the base class has it
        """Count the line: there is nobody to tell, and the guard goes on."""
        self.lost += 1


class _Console(logging.StreamHandler[TextIO]):
    """Lines for a person."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, event, and the keys."""
        return console_line(record.created, record.levelname, record.msg, record.__dict__["keys"])

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - as the base class has it
        """Nobody looks any more."""


def json_line(at: float, level: str, event: str, keys: Mapping[str, object]) -> str:
    """One JSON object on one line; what is not printable stands escaped (T19)."""
    moment = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    line = encode({**keys, "at": moment, "level": level, "event": event}).decode()
    return line if line.isprintable() else "".join(char if char.isprintable() else _escape(char) for char in line)


def _escape(char: str) -> str:
    """The character as JSON writes it when it may not stand for itself."""
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[index]:02x}{units[index + 1]:02x}" for index in range(0, len(units), 2))


def console_line(at: float, level: str, event: str, keys: Mapping[str, object]) -> str:
    """``12:00:00 info step model=llama3 bytes=7``, on one line."""
    moment = datetime.fromtimestamp(at, UTC)
    pairs = [f"{name}={_shown(value)}" for name, value in keys.items() if value not in ("", None)]
    return printable(" ".join([f"{moment:%H:%M:%S}", f"{level:<7}", event, *pairs]))


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else encode(value).decode()
    return f'"{text}"' if " " in text else text


def _safe(keys: Mapping[str, object]) -> dict[str, Any]:
    """The keys as plain values, without secrets."""
    return {name: _HIDDEN if value and _SECRET.search(name) else _plain(value) for name, value in keys.items()}


def _plain(value: object) -> Any:  # noqa: ANN401 - a JSON value
    if isinstance(value, str):
        return _PARAMETER.sub(rf"\g<1>{_HIDDEN}", _CREDENTIALS.sub(_HIDDEN, value))
    if isinstance(value, Mapping):
        return _safe({str(name): inner for name, inner in value.items()})
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    try:
        return _plain(msgspec.to_builtins(value, enc_hook=str))
    except (TypeError, ValueError, RecursionError):
        return _plain(str(value))
