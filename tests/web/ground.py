"""The API's stage with the pages before it, and a caller that gets HTML."""

import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path

from starlette.applications import Starlette

from modelward.api.app import create_app
from modelward.api.server import Bound
from modelward.client import Answer, Client
from modelward.domain.codec import encode
from modelward.testing import FakeStore
from modelward.web.handlers import page_error
from modelward.web.pages import PAGES
from tests.api.stage import WEIGHTS, Stage
from tests.places import Place

VOID = frozenset({"meta", "link", "input", "br", "img", "hr", "rect", "path", "circle"})


class Paged(Stage):
    """A stage that serves the pages as well."""

    def app(self, bound: Bound) -> Starlette:
        """The application with the pages."""
        return create_app(self.deps(), listen=bound.listen, pages=PAGES, page_error=page_error)


def made(base: Path) -> Paged:
    """A stage over a store with one model of a bit over two chunks and one small one."""
    place = Place(base)
    store = FakeStore(place.store)
    store.add_model("llama3", WEIGHTS, template=b"{{ .Prompt }}")
    store.add_model("mini:1b", b"small weights", template=b"{{ .Prompt }}")
    return Paged(place)


def ask(caller: Client, path: str, headers: Mapping[str, str] | None = None) -> Answer:
    """One page, whatever its status."""
    return caller.raw("GET", path, None, {"accept": "text/html", **(headers or {})})


def plan(caller: Client, verb: str, options: Mapping[str, object], headers: Mapping[str, str] | None = None) -> Answer:
    """The plan of a verb, as a page asks for it."""
    sent = {"accept": "text/html", "content-type": "application/json", **(headers or {})}
    return caller.raw("POST", "/plan", encode({"verb": verb, "options": options}), sent)


def html(caller: Client, path: str) -> str:
    """The text of a page that must be there, well formed."""
    answer = ask(caller, path)
    assert answer.status == 200, answer.body[:500]
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    text = answer.body.decode()
    check(text)
    return text


class _Tree(HTMLParser):
    """Notes elements that are not closed, ids that stand twice, and what the policy forbids."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.faults: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One more is open."""
        given = dict(attrs)
        self.faults += [f"{tag} {name}" for name in given if name == "style" or name.startswith("on")]
        if tag == "script" and "src" not in given:
            self.faults.append("inline script")
        if (identity := given.get("id")) is not None:
            self.ids.append(identity)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open and closed at once."""
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        """The last one is closed."""
        if tag in VOID:
            return
        if not self.open or self.open[-1] != tag:
            self.faults.append(f"</{tag}> closes {self.open[-1:]}")
        else:
            self.open.pop()


def check(text: str) -> None:
    """Elements are closed in order, ids are unique, and nothing is inline that the policy forbids."""
    tree = _Tree()
    tree.feed(text)
    tree.close()
    twice = {identity for identity in tree.ids if tree.ids.count(identity) > 1}
    assert not tree.faults, tree.faults
    assert not tree.open, tree.open
    assert not twice, twice


def words(text: str) -> str:
    """What a person reads of a page, in one line."""
    bare = re.sub(r"<(script|style|title)\b.*?</\1>", " ", text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", bare)).replace("&#39;", "'").replace("&lt;", "<")
