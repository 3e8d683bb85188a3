"""What the oldest Python that we run on gets wrong is not used: Debian 12 has 3.11.2."""

import importlib
import pkgutil
import re
from re import _constants as opcodes
from re import _parser as parser

import pytest

import modelward

_BROKEN = {opcodes.POSSESSIVE_REPEAT, opcodes.ATOMIC_GROUP}


def patterns() -> dict[str, "re.Pattern[str] | re.Pattern[bytes]"]:
    """Every compiled pattern that a module of ours holds, by module and name."""
    found: dict[str, re.Pattern[str] | re.Pattern[bytes]] = {}
    for known in pkgutil.walk_packages(modelward.__path__, "modelward."):
        if not known.name.endswith("__main__"):
            module = importlib.import_module(known.name)
            found |= {f"{known.name}.{n}": value for n, value in vars(module).items() if isinstance(value, re.Pattern)}
    return found


def broken(pattern: str | bytes, flags: int = 0) -> bool:
    """Whether it holds what never gives back: before 3.11.5 that gives back too little, or takes too much."""
    return any(opcode in _BROKEN for opcode in opcodes_of(parser.parse(pattern, flags & ~re.DEBUG)))


def opcodes_of(parsed: object) -> list[object]:
    """All operations in a parsed pattern, however deep."""
    if isinstance(parsed, parser.SubPattern):
        return [found for opcode, argument in parsed for found in (opcode, *opcodes_of(argument))]
    if isinstance(parsed, tuple | list):
        return [found for item in parsed for found in opcodes_of(item)]
    return []


@pytest.mark.parametrize("pattern", ["a*+", "(?:b|(?:a++))", "[ab]{1,3}+c", "(?>ab)", "((x)?+)"])
def test_such_a_pattern_is_seen(pattern: str) -> None:
    """However deep, and only such."""
    assert broken(pattern)
    assert not broken(pattern.replace("+", "").replace("?>", "?:"))


def test_no_pattern_of_ours_is_such() -> None:
    """Their matching is wrong before Python 3.11.5 (python/cpython issues 101955 and 106052)."""
    found = patterns()
    assert len(found) > 20
    assert [name for name, pattern in found.items() if broken(pattern.pattern, pattern.flags)] == []
