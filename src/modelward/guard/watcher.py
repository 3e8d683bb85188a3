"""Hear of changes in the store from the operating system, so that a lost manifest is seen at once."""

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from watchfiles import Change, watch

from modelward.ports import Clock

_LOOK_MS = 5_000  # how often to see whether the folder that is watched is still the one that stands there
_GATHER_MS, _STEP_MS = 100, 50
_OWN = ".modelward"
_RETRY_SECONDS = 5.0
_UNKNOWN_SECONDS = 0.1  # until the first look has found the store


class Heard(Protocol):
    """Told what was heard, and whether it is urgent."""

    def __call__(self, reason: str, *, urgent: bool) -> None:
        """Take it in; must be quick."""


class Watcher:
    """Watches one store; ``heard`` is told a reason, and whether it is urgent: a manifest, or something gone.

    On file systems without events (network mounts) nothing is heard, and the regular look has to do.
    """

    def __init__(self, where: Callable[[], str], heard: Heard, stop: threading.Event, clock: Clock) -> None:
        self._where, self._heard, self._stop, self._clock = where, heard, stop, clock
        self.watching = threading.Event()

    def run(self) -> None:
        """Watch until told to stop; a folder that vanishes is waited for."""
        while not self._stop.is_set():
            path = self._where()
            if path and os.path.isdir(path):  # noqa: PTH112 - a question, no path to go on with
                self._watch(path)
            self.watching.clear()
            self._stop.wait(1.0 if path else _UNKNOWN_SECONDS)

    def _watch(self, path: str) -> None:
        before = _identity(path)
        try:
            for changes in watch(
                path,
                watch_filter=_ours_left_out(path),
                debounce=_GATHER_MS,
                step=_STEP_MS,
                stop_event=self._stop,
                rust_timeout=_LOOK_MS,
                yield_on_timeout=True,
                raise_interrupt=False,
                ignore_permission_denied=True,
            ):
                self.watching.set()
                if changes:
                    self._tell(path, changes)
                if _identity(path) != before:
                    self._heard("another folder stands where the store was", urgent=True)
                    return
        except (OSError, RuntimeError) as error:
            # No events to be had here, for example when the system's limit of watches is used up.
            self._heard(f"no file events: {error}", urgent=False)
            self._stop.wait(_RETRY_SECONDS)

    def _tell(self, path: str, changes: Iterable[tuple[Change, str]]) -> None:
        said = {_reason(path, change, name) for change, name in changes}
        for reason, urgent in sorted(said, key=lambda item: not item[1])[:1]:
            self._heard(reason, urgent=urgent)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - as above
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _ours_left_out(path: str) -> Callable[[Change, str], bool]:
    """What we stage ourselves, and downloads that are under way, are no news."""
    own = f"{path}/{_OWN}"

    def wanted(change: Change, name: str) -> bool:
        del change
        return not name.startswith(own) and "-partial" not in name.rpartition("/")[2]

    return wanted


def _reason(path: str, change: Change, name: str) -> tuple[str, bool]:
    part = Path(name).relative_to(path).parts[:1] if name.startswith(path + "/") else ()
    gone = change is Change.deleted
    if part == ("manifests",):
        return ("manifest gone" if gone else "manifest changed"), True
    if part == ("blobs",):
        return ("blob gone" if gone else "blob changed"), gone
    return "store changed", gone
