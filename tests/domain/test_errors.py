"""Errors: the tree that the module's docstring promises, the exit codes, and the line that a person reads."""

import inspect
import re

import pytest

from modelward.domain import errors
from modelward.domain.errors import ModelwardError


def documented() -> dict[str, tuple[str, int | None]]:
    """The tree in the module's docstring: for each class its parent, and its exit code where one stands there."""
    found: dict[str, tuple[str, int | None]] = {}
    above: list[tuple[int, str]] = []
    for line in inspect.cleandoc(errors.__doc__ or "").splitlines():
        if row := re.fullmatch(r"( +)(\w+)(?: +exit (\d+))?", line):
            indent, name = len(row[1]), row[2]
            above = [item for item in above if item[0] < indent]
            found[name] = (above[-1][1] if above else "Exception", int(row[3]) if row[3] else None)
            above.append((indent, name))
    return found


def classes() -> dict[str, type[ModelwardError]]:
    """Every error class that the module defines."""
    return {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, ModelwardError)
    }


def test_the_documented_tree_is_the_tree_of_classes() -> None:
    """The docstring names every class once, below its parent, and no other."""
    tree = {name: parent for name, (parent, _) in documented().items()}
    assert tree == {name: kind.__bases__[0].__name__ for name, kind in classes().items()}
    assert len(tree) > 25


def test_every_class_has_one_parent() -> None:
    """An error belongs to one branch only, so that its exit code has one origin."""
    assert all(len(kind.__bases__) == 1 for kind in classes().values())


@pytest.mark.parametrize("name", sorted(set(classes()) - {"ModelwardError"}))
def test_exit_codes_are_the_documented_ones(name: str) -> None:
    """A class has the exit code that stands beside it, or beside the nearest class above it."""
    tree = documented()
    at, code = name, tree[name][1]
    while code is None:
        at = tree[at][0]
        code = tree[at][1]
    assert classes()[name].exit_code == code


def test_the_exit_codes_are_those_of_the_command_line() -> None:
    """0 done, 1 damage, 2 usage, 3 not repairable, 4 unreachable, 5 storage, 130 interrupted."""
    assert (
        errors.EXIT_OK,
        errors.EXIT_DAMAGE,
        errors.EXIT_USAGE,
        errors.EXIT_NOT_REPAIRABLE,
        errors.EXIT_UNREACHABLE,
        errors.EXIT_STORAGE,
        errors.EXIT_INTERRUPTED,
    ) == (0, 1, 2, 3, 4, 5, 130)


@pytest.mark.parametrize(
    ("thing", "next_step", "line"),
    [
        ("/v", "make room", "/v: no space. Next: make room"),
        ("/v", "", "/v: no space"),
        ("", "make room", "no space. Next: make room"),
        ("", "", "no space"),
    ],
)
def test_the_text_names_thing_what_and_next_step(thing: str, next_step: str, line: str) -> None:
    """The line of every class begins with the thing, says what happened and ends with the next step."""
    for kind in classes().values():
        error = kind("no space", thing=thing, next_step=next_step)
        assert str(error) == line
        assert (error.what, error.thing, error.next_step) == ("no space", thing, next_step)


def test_a_thing_may_be_any_object() -> None:
    """What is named is kept as text, whatever it was."""
    assert ModelwardError("gone", thing=42).thing == "42"


@pytest.mark.parametrize("name", sorted(classes()))
def test_every_class_says_what_it_means(name: str) -> None:
    """Each class has a docstring of its own."""
    assert classes()[name].__dict__.get("__doc__")
