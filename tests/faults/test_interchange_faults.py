"""Export, import and fetch killed, or failing, at mutating calls: no wrong bytes under a name, a second run ends it."""

import errno
from pathlib import Path

import pytest

from modelward import durable
from modelward.domain.errors import ModelwardError
from modelward.domain.interchange import Reference
from modelward.domain.name import ModelName
from modelward.services.adopt import adopt
from modelward.services.fetch_snapshot import fetch
from modelward.services.hand_out import hand_out
from modelward.services.push import push
from modelward.testing import tiny_gguf
from tests.faults.scripted import Crash, ScriptedOs, count_calls
from tests.faults.test_crash import acknowledged, check_nothing_lost, finish, points, sha256
from tests.faults.verbs import CHUNK, LLAMA, Verb, protected, snapshots
from tests.places import Place
from tests.services.test_push_fetch import THERE, FakeRegistry

ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS)
TINY = tiny_gguf(at_least_bytes=CHUNK + 1)
REGISTRIES: dict[Path, FakeRegistry] = {}


def exported(place: Place) -> None:
    """A model backed up, and another place's layout and loose file to import."""
    protected(place)
    elsewhere = Place(place.base / "elsewhere")
    protected(elsewhere)
    hand_out(elsewhere.site(), LLAMA, "", place.base / "layout", "oci")
    (place.base / "tiny.gguf").write_bytes(TINY)
    registry = REGISTRIES[place.base] = FakeRegistry()
    push(elsewhere.site(), registry, LLAMA, "", THERE)


def export(form: str) -> Verb:
    """The export of one model, and whether the folder is whole."""
    return Verb(
        f"export-{form}",
        exported,
        lambda p: hand_out(p.site(), LLAMA, "", p.base / "out", form),
        lambda p: not hand_out(p.site(), LLAMA, "", p.base / "out", form).files,
    )


COPY = ModelName.parse("copy")
VERBS = (
    export("oci"),
    export("gguf"),
    Verb(
        "import-oci",
        exported,
        lambda p: adopt(p.site(), p.base / "layout", "oci", COPY),
        lambda p: snapshots(p) == 3,
    ),
    Verb(
        "import-gguf",
        exported,
        lambda p: adopt(p.site(), p.base / "tiny.gguf", "gguf", None),
        lambda p: snapshots(p) == 3,
    ),
    Verb(
        "fetch",
        exported,
        lambda p: fetch(p.site(), REGISTRIES[p.base], Reference.parse(str(THERE)), COPY),
        lambda p: snapshots(p) == 3,
    ),
)


def check_folder(place: Place) -> None:
    """What lies in the folder under a name is what the name says."""
    for path in place.base.glob("out/blobs/sha256/*"):
        assert sha256(path) == path.name
    for path in place.base.glob("out/*.gguf"):
        assert sha256(path) in {blob.name for blob in (place.vault / "blobs/sha256").iterdir()}


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_killed_at_a_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: Verb) -> None:
    """Death at the n-th call, for every third n (W1, W2); the next run finishes."""
    probe = Place(tmp_path / "probe")
    verb.prepare(probe)
    total = count_calls(monkeypatch, lambda: verb.work(probe))
    assert total > 5, "the verb has work to do"
    for at in range(1, total + 1, 3):
        place = Place(tmp_path / f"at{at}")
        verb.prepare(place)
        before = acknowledged(place)
        with monkeypatch.context() as patch:
            patch.setattr(durable, "os", ScriptedOs(at))
            with pytest.raises(Crash):
                verb.work(place)
        check_nothing_lost(place, before, verb.name)
        check_folder(place)
        finish(place, verb)
        assert not (place.base / "out" / ".modelward").exists()


@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_an_error_at_the_nth_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: Verb, error: int) -> None:
    """The n-th call fails once: a typed error with a next step or a finished verb, and nothing lost (W1, D1)."""
    probe = Place(tmp_path / "probe")
    verb.prepare(probe)
    total = count_calls(monkeypatch, lambda: verb.work(probe))
    for at in points(total, ERRORS.index(error), 7):
        place = Place(tmp_path / f"at{at}")
        verb.prepare(place)
        before = acknowledged(place)
        with monkeypatch.context() as patch:
            patch.setattr(durable, "os", ScriptedOs(at, error=error))
            try:
                verb.work(place)
            except ModelwardError as problem:
                assert problem.next_step, f"no next step in {problem!r}"
        check_nothing_lost(place, before, verb.name)
        check_folder(place)
        finish(place, verb)
