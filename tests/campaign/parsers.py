"""Which functions of ours take bytes apart: those that call one of the standard ways to, found in the source itself."""

import ast
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Final, Self

from tests.campaign.plan import ROOT

SOURCE = ROOT / "src" / "modelward"
# How bytes or texts become values; by the last words of a call.
WAYS = frozenset(
    {
        "b64decode",
        "compose",
        "convert",
        "decompressobj",
        "decode_into",
        "from_bytes",
        "fromisoformat",
        "get_frame_parameters",
        "load",
        "loads",
        "parse_qsl",
        "parsedate_to_datetime",
        "unpack",
        "unpack_from",
        "urlsafe_b64decode",
        "urlsplit",
    }
)
# What the search takes for one of them and is none, or what gets no bytes from outside.
EXEMPT: Final = {
    "api/server.py:_config": "loads uvicorn's settings, which are ours",
    "bundles/writer.py:_content": "reads what the same program has just written, to go on with it",
    "domain/schedule.py:jitter": "makes a number of a hash of our own",
    "journal/schema.py:_optional": "calls a converter of another column, which has its target",
    "learned/child.py:main": "its job comes from our own guard",
    "learned/record.py:record": "reads a file of our own package",
    "learned/trees.py:HalfSpaceTrees.__call__": "the answer of our own child",
    "notify/child.py:main": "its job comes from our own guard",
    "notify/otlp.py:OtlpCollector.send": "the answer of our own child, of one fixed type",
    "notify/otlp_child.py:main": "its job comes from our own guard",
    "services/adopt_layout.py:_take": "hands bytes to domain/interchange.py, which _planned reaches",
    "services/fetch_snapshot.py:_parcel": "hands bytes to domain/interchange.py, which _planned of a layout reaches",
    "web/engine.py:_fetch": "reads what our own child has made of our own templates",
    "web/engine.py:environment.<locals>.Loader.load": "the same",
}


def parsers() -> frozenset[str]:
    """Each function that takes bytes apart, as ``package/module.py:qualified.name``."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        name = path.relative_to(SOURCE).as_posix()
        if not name.startswith("testing/"):
            found |= {f"{name}:{function}" for function in _in(ast.parse(path.read_text(encoding="utf-8")), ())}
    return frozenset(found)


def _in(node: ast.AST, scope: tuple[str, ...]) -> Iterable[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _in(child, (*scope, child.name, "<locals>"))
        elif isinstance(child, ast.ClassDef):
            yield from _in(child, (*scope, child.name))
        else:
            if isinstance(child, ast.Call) and _takes_apart(child) and "<locals>" in scope:
                yield ".".join(scope[: -scope[::-1].index("<locals>") - 1])
            yield from _in(child, scope)


def _takes_apart(call: ast.Call) -> bool:
    whole = ast.unparse(call.func)
    last = whole.rpartition(".")[2]
    if last == "decode":
        # bytes.decode gives a text and no value; two arguments are the codec's (bytes, kind).
        return whole == "msgspec.json.decode" or (whole == "decode" and len(call.args) == 2)
    return last in WAYS


class Reached:
    """The functions of ours that ran inside the block."""

    def __init__(self) -> None:
        self.functions: set[str] = set()

    def __enter__(self) -> Self:
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(str(SOURCE)):
            self.functions.add(f"{Path(code.co_filename).relative_to(SOURCE).as_posix()}:{code.co_qualname}")
