"""Stylesheet, scripts and icon, and what pages may refer to."""

import re
from importlib.resources import files
from pathlib import Path

import pytest

from modelward.api.problem import NotFound
from modelward.client import Client
from modelward.web.assets import TYPES, asset, names
from tests.web.ground import ask

WEB = Path(str(files("modelward.web")))
TEMPLATES = sorted((WEB / "templates").iterdir())
STATIC = sorted((WEB / "static").iterdir())


def test_the_whole_front_end_is_small() -> None:
    """Scripts, stylesheet, icon and templates together stay under 300 KB."""
    assert sum(path.stat().st_size for path in (*TEMPLATES, *STATIC)) < 300_000


def test_every_file_is_served_with_its_type(anyone: Client) -> None:
    """Each one is there by its name, and a browser that has it already is told so."""
    for name in names():
        answer = ask(anyone, f"/static/{name}")
        assert (answer.status, answer.headers["content-type"]) == (200, TYPES[name.rpartition(".")[2]])
        again = ask(anyone, f"/static/{name}", {"if-none-match": answer.headers["etag"]})
        assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize("name", ["", ".", "..", "../__init__.py", "style.css/", "style.CSS", "%2e%2e", "a" * 200])
def test_nothing_else_is_served(name: str, anyone: Client) -> None:
    """A name that is no file of the pages leads nowhere, and never up."""
    with pytest.raises(NotFound):
        asset(name)
    assert ask(anyone, f"/static/{name}").status == 404


@pytest.mark.parametrize("path", [*TEMPLATES, *STATIC], ids=lambda path: path.name)
def test_nothing_comes_from_elsewhere(path: Path) -> None:
    """No address outside of the guard, no style attribute, no handler in the markup, no inline script."""
    text = path.read_text(encoding="utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?://|//[a-z]+\.[a-z]{2,}/", text)
    if path.suffix == ".html":
        assert not re.search(r"\sstyle=|\son[a-z]+=|javascript:|<style", text)
        assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text))
    if path.suffix == ".js":
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)


def test_every_page_has_its_script() -> None:
    """What a template names is there."""
    base = (WEB / "templates" / "base.html").read_text(encoding="utf-8")
    assert "/static/{{ frame.page }}.js" in base
    for page in ("overview", "model", "vault", "activity", "job", "alerts", "settings"):
        assert f"{page}.js" in names()
    for path in TEMPLATES:
        for name in re.findall(r"/static/([a-z.]+)", path.read_text(encoding="utf-8")):
            assert name in names() or name == ""


def test_templates_escape_everything() -> None:
    """No template switches the escaping off, or calls a text safe."""
    for path in TEMPLATES:
        assert not re.search(r"\|\s*safe|autoescape", path.read_text(encoding="utf-8")), path.name
