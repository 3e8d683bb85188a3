"""What findings mean, and what to do."""

import typing
from typing import Any

import pytest

from modelward.domain import finding as f
from modelward.domain.chunks import CHUNK, Span
from modelward.domain.digest import Digest
from modelward.domain.name import ModelName
from modelward.web.meaning import advice
from tests.web.test_words import model

BLOB = Digest("ab" * 32)
NAME = ModelName.parse("llama3")
_BLOB: Any = {"path": "blobs/x", "blob": BLOB, "size": 3 * CHUNK}
FINDINGS: tuple[f.Finding, ...] = (
    f.Missing(**_BLOB),
    f.Truncated(**_BLOB, actual=CHUNK),
    f.Oversized(**_BLOB, actual=4 * CHUNK),
    f.Corrupt(**_BLOB, spans=(Span(0, CHUNK),)),
    f.Unreadable(**_BLOB, error="EIO", spans=(Span(0, CHUNK),)),
    f.UnstableRead(**_BLOB),
    f.NotRegular(**_BLOB, what="folder"),
    f.Changed(**_BLOB),
    f.WrongOwner(**_BLOB, actual=(0, 0, 0o600), expected=(1, 1, 0o644)),
    f.ManifestLost(path="manifests/x", model=NAME),
    f.ManifestDamaged(path="manifests/x", model=NAME, reason="empty"),
    f.BadEntry(path="manifests/y", reason="not a name"),
    f.CaseTwin(path="manifests/z", models=(NAME,)),
    f.Orphan(**_BLOB),
    f.Partial(path="blobs/p", bytes=5),
    f.StoreEmpty(path="/store", known=3),
    f.StoreMoved(path="/store", reason="another folder"),
    f.RecordDamaged(path="modelward/snapshots/x.json", model=ModelName.parse("llama3"), reason="empty"),
    f.StoreUnmounted(path="/store", mount_point="/mnt", mount_source="/dev/sdb1"),
    f.WrongStore(path="/store", server="http://x", reason="it says so"),
)


def test_every_kind_of_finding_is_here() -> None:
    """The list of this test is the domain's."""
    assert {type(each) for each in FINDINGS} == set(typing.get_args(f.Finding))


@pytest.mark.parametrize("finding", FINDINGS, ids=lambda each: type(each).__name__)
def test_every_finding_has_its_meaning_and_its_way_out(finding: f.Finding) -> None:
    """What it is, what it means and what to do are sentences, and none of them is empty."""
    for known in (model(healthy=False, recoverable=True), model(healthy=False, recoverable=False), None):
        found = advice(finding, known)
        assert found.text
        assert found.means.endswith(".")
        assert found.todo.endswith(".")
        assert found.kind == found.kind.lower()


def test_damage_without_a_copy_says_so() -> None:
    """The way out of damage depends on whether the vault has a good copy."""
    lost = advice(FINDINGS[0], model(healthy=False, recoverable=False))
    held = advice(FINDINGS[0], model(healthy=False, recoverable=True))
    assert (held.mark.tone, held.verb, held.command) == ("harm", "repair", "modelward repair llama3:latest")
    assert (lost.mark.tone, lost.command) == ("loss", "modelward pull llama3:latest")


def test_an_unstable_read_is_never_repaired() -> None:
    """V1: the page offers to look again, not to write."""
    found = advice(f.UnstableRead(**_BLOB), model(healthy=False, recoverable=True))
    assert found.verb == "verify"
    assert "not repaired" not in found.todo
    assert "Nothing is repaired on this host" in found.means


def test_a_store_in_doubt_has_no_button() -> None:
    """I1: what the store is has to be settled by a person, not by a click."""
    assert all(not advice(each, None).verb for each in FINDINGS if isinstance(each, f.StoreFinding))
