"""The module ``os`` as durable sees it, with a record of the calls that change a disk, in order."""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

from tests.faults.scripted import MUTATING

_STAGED = re.compile(rf".+-{os.getpid()}-\d+")


class RecordingOs:
    """``calls`` holds one text a call: the call and the last name of what it was about, such as ``link weights``.

    A staged file is called ``staged``. ``fail`` gives the errno that a kind of call always ends in. ``synced`` holds
    the inode of each file or folder that fsync was called for, in order.
    """

    def __init__(self, fail: Mapping[str, int] | None = None) -> None:
        self.calls: list[str] = []
        self.synced: list[int] = []
        self._fail, self._names = fail or {}, dict[int, str]()

    def of(self, *kinds: str) -> list[str]:
        """The calls of these kinds, in order."""
        return [call for call in self.calls if call.split()[0] in kinds]

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - stands in for a module
        real = getattr(os, name)
        if name == "open":
            return self._open
        return self._wrap(name, real) if name in MUTATING else real

    def _open(self, path: Any, flags: int, *args: Any, **kwargs: Any) -> int:  # noqa: ANN401 - hands on what it got
        if flags & os.O_CREAT:
            self._note("create", path)
        fd = os.open(path, flags, *args, **kwargs)
        self._names[fd] = _plain(path)
        return fd

    def _wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - hands on what it got
            self._note(name, args[1] if name in ("link", "rename") else args[0])
            return real(*args, **kwargs)

        return call

    def _note(self, name: str, target: object) -> None:
        label = self._names.get(target, "?") if isinstance(target, int) else _plain(target)
        self.calls.append(f"{name} {label}")
        if name == "fsync" and isinstance(target, int):
            self.synced.append(os.fstat(target).st_ino)
        if name in self._fail:
            raise OSError(self._fail[name], os.strerror(self._fail[name]))


def _plain(path: object) -> str:
    name = PurePath(str(path)).name
    return "staged" if _STAGED.fullmatch(name) else name
