"""Findings in words: one line for each kind, that names what is wrong and where."""

from typing import TypedDict, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelward.domain import finding as f
from modelward.domain.chunks import CHUNK, Span
from modelward.domain.digest import Digest
from modelward.domain.name import ModelName
from modelward.domain.words import describe, places
from tests.domain.strategies_domain import PRINTABLE, digest, values

KINDS = sorted(get_args(f.Finding), key=lambda kind: kind.__name__)


class About(TypedDict):
    """What every finding about a blob says."""

    blob: Digest
    size: int
    path: str


BLOB = About(blob=digest(0xABC), size=4_000_000, path="blobs/sha256-x")
SHORT = "000000000000"

TABLE = {
    "missing": (f.Missing(**BLOB), f"blob {SHORT} is missing (4,000,000 bytes)"),
    "truncated": (f.Truncated(**BLOB, actual=1_000), f"blob {SHORT} is cut short: 1,000 of 4,000,000 bytes"),
    "oversized": (f.Oversized(**BLOB, actual=4_000_007), f"blob {SHORT} is 7 bytes too long"),
    "corrupt": (
        f.Corrupt(**BLOB, spans=(Span(CHUNK, CHUNK),)),
        f"blob {SHORT} has wrong bytes at 1,048,576+1,048,576",
    ),
    "corrupt somewhere": (
        f.Corrupt(**BLOB, spans=(Span(0, 4_000_000),), exact=False),
        f"blob {SHORT} has wrong bytes somewhere",
    ),
    "unreadable": (
        f.Unreadable(**BLOB, spans=(Span(0, CHUNK),), error="EIO"),
        f"blob {SHORT} cannot be read (EIO) at 0+1,048,576",
    ),
    "unstable": (
        f.UnstableRead(**BLOB, spans=(Span(0, CHUNK),)),
        f"blob {SHORT} reads differently each time at 0+1,048,576: suspect memory, cable or controller",
    ),
    "not regular": (f.NotRegular(**BLOB, what="symlink"), f"blob {SHORT} is a symlink, not a plain file"),
    "changed": (f.Changed(**BLOB), f"blob {SHORT} changed while it was read: verify again"),
    "owner": (
        f.WrongOwner(**BLOB, actual=(0, 0, 0o600), expected=(997, 998, 0o644)),
        f"blob {SHORT} belongs to 0:0 mode 0600, the store to 997:998 mode 0644",
    ),
    "orphan": (
        f.Orphan(**BLOB),
        f"blob {SHORT} belongs to no model (4,000,000 bytes): the runtime prunes it at its next start",
    ),
    "manifest lost": (
        f.ManifestLost(path="manifests/x", model=ModelName.parse("llama3")),
        "the manifest is gone: the runtime prunes the blobs at its next start",
    ),
    "manifest damaged": (
        f.ManifestDamaged(path="manifests/x", model=ModelName.parse("llama3"), reason="empty"),
        "the manifest is damaged: empty",
    ),
    "record damaged": (
        f.RecordDamaged(path="modelward/snapshots/x.json", model=ModelName.parse("llama3"), reason="empty"),
        "the vault's record modelward/snapshots/x.json is damaged: empty",
    ),
    "bad entry": (f.BadEntry(path="manifests/.x", reason="not a folder"), "manifests/.x: not a folder"),
    "twins": (
        f.CaseTwin(path="manifests/x", models=(ModelName.parse("LLama3"), ModelName.parse("jane/llama3:8b"))),
        "names that differ in case only: LLama3:latest, jane/llama3:8b",
    ),
    "partial": (
        f.Partial(path="blobs/sha256-x-partial", bytes=1_234_567),
        "unfinished download blobs/sha256-x-partial (1,234,567 bytes on disk)",
    ),
    "store empty": (
        f.StoreEmpty(path="/models", known=3),
        "the store /models is empty, but the vault knows 3 model(s) of it",
    ),
    "store moved": (
        f.StoreMoved(path="/models", reason="another inode"),
        "/models is not the store that was recorded: another inode",
    ),
    "store unmounted": (
        f.StoreUnmounted(path="/mnt/models", mount_point="/mnt", mount_source="/dev/sdb1"),
        "/mnt/models was on /dev/sdb1, and that is not mounted at /mnt",
    ),
    "wrong store": (
        f.WrongStore(path="/models", server="127.0.0.1:11434", reason="it serves other models"),
        "the server at 127.0.0.1:11434 reads another store than /models: it serves other models",
    ),
}


@pytest.mark.parametrize(("finding", "line"), TABLE.values(), ids=TABLE)
def test_the_line_of_a_finding(finding: f.Finding, line: str) -> None:
    """What a person reads, word by word."""
    assert describe(finding) == line


def test_the_table_has_every_kind() -> None:
    """No kind of finding is without its expected line."""
    assert {type(finding) for finding, _ in TABLE.values()} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_is_one_printable_line(kind: type[f.Finding]) -> None:
    """Whatever numbers, names, spans and printable texts a finding holds."""

    @settings(max_examples=10)
    @given(values(kind, PRINTABLE))
    def run(finding: f.Finding) -> None:
        line = describe(finding)
        assert line.strip()
        assert line.isprintable()

    run()


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "\x1b[31mred", "a\x7fb", "a\u2028b", "\udcff"], ids=ascii)
def test_a_hostile_file_name_stays_on_the_line(name: str) -> None:
    """Control characters of a file's name are shown, not given to a terminal or a log."""
    for finding in (f.BadEntry(path=f"manifests/{name}", reason="no model"), f.Partial(path=f"blobs/{name}", bytes=1)):
        assert describe(finding).isprintable()


@pytest.mark.parametrize(
    ("spans", "text"),
    [
        ((Span(0, 7),), "at 0+7"),
        ((Span(0, 1), Span(2 * CHUNK, CHUNK)), "at 0+1, 2,097,152+1,048,576"),
        ((Span(0, 1), Span(2, 1), Span(4, 1)), "at 0+1, 2+1, 4+1"),
        ((Span(0, 1), Span(2, 1), Span(4, 1), Span(6, 1)), "at 0+1, 2+1, 4+1 and 1 more places"),
    ],
)
def test_places_shows_the_first_three(spans: tuple[Span, ...], text: str) -> None:
    """Then how many more there are."""
    assert places(spans) == text


@given(st.lists(values(Span), max_size=50))
def test_places_is_short_however_many_there_are(spans: list[Span]) -> None:
    """A blob may have thousands of bad places; the line stays a line."""
    assert len(places(tuple(spans))) < 200
