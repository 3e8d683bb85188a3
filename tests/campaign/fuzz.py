"""Every parser of ours as a target that takes any bytes: it gives a value or an error of ours; and first inputs."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from modelward.domain.errors import ModelwardError

Target = Callable[[bytes], object]
MODULES = ("fuzz_core", "fuzz_words", "fuzz_state")


def targets() -> Mapping[str, Target]:
    """All targets by name."""
    return {name: target for module in MODULES for name, target in _of(module).TARGETS.items()}


def seeds() -> Mapping[str, tuple[bytes, ...]]:
    """Inputs to begin with, so that a mutation reaches what lies behind the first check."""
    return {name: data for module in MODULES for name, data in _of(module).seeds().items()}


def target(name: str) -> Target:
    """One target; only the modules that are needed for it are loaded."""
    for module in MODULES:
        if name in _of(module).TARGETS:
            found: Target = _of(module).TARGETS[name]
            return found
    raise KeyError(name)


def one(use: Target, data: bytes) -> str:
    """Let a target have these bytes; whether they were taken."""
    try:
        use(data)
    except ModelwardError:
        return "refused"
    return "taken"


def _of(module: str) -> Any:  # noqa: ANN401 - a module with TARGETS and seeds()
    return import_module(f"tests.campaign.{module}")
