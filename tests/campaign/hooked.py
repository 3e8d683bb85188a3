"""The operating system under ``modelward.durable`` with a fault, or somebody else's deed, at the n-th call."""

import os
from collections.abc import Callable
from typing import Any

from modelward import durable
from tests.faults.scripted import MUTATING, ScriptedOs

SHORT, LIE = "short write", "fsync that lies"


class HookedOs(ScriptedOs):
    """Does ``deed`` before the ``at``-th mutating call, and then the call."""

    def __init__(self, at: int, deed: Callable[[], object]) -> None:
        super().__init__(at)
        self.deed = deed

    def _step(self, name: str) -> None:
        self.calls.append(name)
        if len(self.calls) == self.at:
            self.fired = True
            self.deed()


class FaultyOs:
    """Fails the ``at``-th call that the fault is about, once or from then on (``sticky``).

    ``fault`` is an errno, SHORT (half of what was to be written is) or LIE (fsync does nothing and says success).
    EMFILE and EACCES are about every open, the others about what changes the disk.
    """

    def __init__(self, fault: int | str, at: int, *, sticky: bool) -> None:
        self.fault, self.at, self.sticky = fault, at, sticky
        self.count, self.fired = 0, 0

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - stands in for a module
        real = getattr(os, name)
        if not self._concerns(name):
            return real

        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - hands on what it got
            if name == "open" and not self._opens(args[1]):
                return real(*args, **kwargs)
            self.count += 1
            if self.count == self.at or (self.sticky and self.count > self.at > 0):
                self.fired += 1
                return self._fail(real, args, kwargs)
            return real(*args, **kwargs)

        return call

    def _concerns(self, name: str) -> bool:
        if self.fault == SHORT:
            return name in ("write", "pwrite")
        if self.fault == LIE:
            return name == "fsync"
        return name == "open" or (name in MUTATING and self.fault not in _OPENING)

    def _opens(self, flags: int) -> bool:
        return self.fault in _OPENING or bool(flags & os.O_CREAT)

    def _fail(self, real: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
        if self.fault == LIE:
            return None
        if isinstance(self.fault, str):
            data = args[1]
            return real(args[0], data[: max(1, len(data) // 2)], *args[2:], **kwargs)
        raise OSError(self.fault, os.strerror(self.fault))


_OPENING = (24, 13)  # EMFILE, EACCES


def counted(fault: int | str, work: Callable[[], object]) -> int:
    """How many calls of the work such a fault could strike."""
    script = FaultyOs(fault, 0, sticky=False)
    with replaced(script):
        work()
    return script.count


class replaced:  # noqa: N801 - reads as a statement: with replaced(script)
    """durable sees this script as the operating system within the block."""

    def __init__(self, script: object) -> None:
        self._script = script

    def __enter__(self) -> None:
        vars(durable)["os"] = self._script

    def __exit__(self, *_: object) -> None:
        vars(durable)["os"] = os
