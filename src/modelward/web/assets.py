"""Stylesheet, scripts and icon: files of this package, by name, and nothing else."""

from functools import cache
from importlib.resources import files
from typing import Final

from modelward.api.problem import NotFound

TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@cache
def names() -> frozenset[str]:
    """The files that there are."""
    found = (entry.name for entry in files("modelward.web").joinpath("static").iterdir())
    return frozenset(name for name in found if name.rpartition(".")[2] in TYPES)


def asset(name: str) -> tuple[bytes, str]:
    """A file and its media type; raises NotFound."""
    if name not in names():
        raise NotFound("no such file", thing=name[:80], next_step="load the page again")
    return files("modelward.web").joinpath("static", name).read_bytes(), TYPES[name.rpartition(".")[2]]
