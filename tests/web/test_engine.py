"""Templates: a child process compiles them for the guard, and where it cannot, the guard does."""

import marshal
import subprocess
import sys

import pytest

from modelward.web import engine


@pytest.fixture(autouse=True)
def _anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is ready yet, and nothing stays."""
    monkeypatch.setattr(engine, "_CODE", {})
    engine.environment.cache_clear()


def made_by_the_child() -> dict[str, bytes]:
    """What a fresh process of this Python hands over."""
    done = subprocess.run([sys.executable, "-m", "modelward.web.engine"], check=True, capture_output=True)
    found: dict[str, bytes] = marshal.loads(done.stdout)  # noqa: S302 - our own child
    return found


def test_a_child_hands_over_every_template(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of compiled templates is the page that is compiled here, and no source is read for it."""
    here = engine.render("login.html")
    code = made_by_the_child()
    engine.environment.cache_clear()
    assert code.keys() == set(engine.environment().list_templates())
    monkeypatch.setattr(engine, "_CODE", code)
    monkeypatch.setattr("jinja2.PackageLoader.get_source", None)
    assert engine.render("login.html") == here


def test_pages_wait_for_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first page is made of what the child sends, although it comes before the child has ended."""
    monkeypatch.setattr("jinja2.PackageLoader.get_source", None)
    engine.prepare()
    assert b"<html" in engine.render("login.html")


def test_without_a_child_templates_are_compiled_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that cannot start another one serves its pages all the same."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    engine.prepare()
    assert b"<html" in engine.render("login.html")
