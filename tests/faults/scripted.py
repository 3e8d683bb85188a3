"""A scripted operating system under ``modelward.durable``: it dies, or fails, at the n-th mutating call."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from modelward import durable

MUTATING = (
    "ftruncate",
    "write",
    "pwrite",
    "fsync",
    "link",
    "rename",
    "unlink",
    "mkdir",
    "fchmod",
    "fchown",
    "chmod",
    "chown",
)


class Crash(BaseException):
    """The process is gone; nothing that it would have done on the way out happens."""


class ScriptedOs:
    """The module ``os`` as durable sees it, counting mutating calls.

    With ``dies`` every mutating call from the ``at``-th on raises Crash, as if the process had been killed there:
    clean-up code runs in the interpreter, but can change nothing. With ``error`` the ``at``-th call raises that
    errno, once, or from then on (``sticky``).
    """

    def __init__(self, at: int = 0, *, error: int = 0, sticky: bool = False) -> None:
        self.at, self.error, self.sticky = at, error, sticky
        self.calls: list[str] = []
        self.fired = False

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - stands in for a module
        real = getattr(os, name)
        if name == "open":
            return self._wrap(name, real, lambda args: bool(args[1] & os.O_CREAT))
        return self._wrap(name, real, lambda _: True) if name in MUTATING else real

    def _wrap(
        self, name: str, real: Callable[..., Any], counts: Callable[[tuple[Any, ...]], bool]
    ) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - hands on what it got
            if counts(args):
                self._step(name)
            return real(*args, **kwargs)

        return call

    def _step(self, name: str) -> None:
        self.calls.append(name)
        here = len(self.calls)
        if not self.at or here < self.at:
            return
        if not self.error:
            self.fired = True
            raise Crash
        if here == self.at or self.sticky:
            self.fired = True
            raise OSError(self.error, os.strerror(self.error))


def count_calls(monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> int:
    """How many mutating calls the work makes when nothing goes wrong."""
    script = ScriptedOs()
    with monkeypatch.context() as patch:
        patch.setattr(durable, "os", script)
        work()
    return len(script.calls)
