"""The table of verbs: each calls its service with its options, and none is sent to an address inside (T11)."""

import socket
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from modelward.domain.errors import BadSetting
from modelward.domain.name import ModelName
from modelward.domain.retention import Policy
from modelward.domain.standing import JobState
from modelward.guard import verbs
from modelward.guard.verbs import VERBS, ForgetOptions, policy_of
from tests.api.stage import Stage, made

LLAMA = ModelName.parse("llama3")
GRAVE = {"forget", "prune", "space-reclaim", "release", "push", "fetch"}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A store with two models, and who does jobs."""
    return made(tmp_path)


def do(stage: Stage, verb: str, **options: object) -> Any:  # noqa: ANN401 - any verb's report
    """Do a verb as a job, in this thread; its error fails the test."""
    row = VERBS[verb]
    wished = msgspec.convert(options, row.options, dec_hook=lambda kind, value: kind.parse(value))
    job = stage.jobs.now(verb, row.models_of(wished), "test", row.of(stage.open, wished, "test"), threading.Event())
    assert job.state is JobState.DONE, job.error
    return job.report


def test_what_can_lose_something_is_grave() -> None:
    """Verbs that forget, free, release or send away need an administrator; all others do not (T12, T20)."""
    assert {name for name, verb in VERBS.items() if verb.grave} == GRAVE


def test_every_verb_has_words_and_options_that_nobody_can_misspell() -> None:
    """Each says what it does, and refuses a field that it does not know."""
    for verb in VERBS.values():
        assert verb.about.endswith(".")
        assert verb.options.__struct_config__.forbid_unknown_fields


def test_a_model_goes_through_its_whole_life(stage: Stage) -> None:
    """Backed up, verified, lost, repaired, pinned, released and forgotten: each by its verb alone."""
    assert do(stage, "backup").exit_code == 0
    assert do(stage, "verify", level="full").exit_code == 0
    assert do(stage, "verify-vault", level="quick").of == "vault"
    max(stage.place.store.glob("blobs/*"), key=lambda path: path.stat().st_size).unlink()
    assert do(stage, "repair", models=["llama3"], dry_run=True).actions == ()
    assert do(stage, "repair", models=["llama3"]).exit_code == 0
    assert do(stage, "repair-vault", level="quick").of == "vault"
    assert do(stage, "pin", model="llama3").changed
    assert do(stage, "unpin", model="llama3").changed
    assert do(stage, "release", model="llama3").changed
    assert do(stage, "protect", model="llama3").changed
    assert not do(stage, "protect", model="llama3").changed
    assert do(stage, "restore", model="mini:1b").exit_code == 0
    assert do(stage, "drill", model="llama3").ok
    assert do(stage, "forget", keep_last=1).forgotten == ()
    assert do(stage, "prune", trash_days=0).records == ()
    assert do(stage, "space-reclaim", grace="1h").refused == ""
    stage.close()


def test_an_older_version_is_forgotten_and_brought_back(stage: Stage) -> None:
    """Forget, undelete and rollback work on the versions of a model."""
    from modelward.testing import FakeStore

    do(stage, "backup")
    stage.clock.advance(seconds=60)
    FakeStore(stage.place.store).add_model("llama3", b"other weights", template=b"x")
    do(stage, "backup")
    (gone,) = do(stage, "forget", models=["llama3"], keep_last=1).forgotten
    assert do(stage, "undelete", snapshot=gone.id).id == gone.id
    assert do(stage, "rollback", model="llama3").exit_code == 0
    stage.close()


def test_a_stopped_job_is_cancelled(stage: Stage) -> None:
    """The wish to stop reaches the reading of the verb."""
    row, stop = VERBS["verify"], threading.Event()
    stop.set()
    view = stage.jobs.now("verify", (), "test", row.of(stage.open, row.options(), "test"), stop)
    assert view.state is JobState.CANCELLED
    stage.close()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, Policy(keep_last=5, keep_daily=3)),
        ({"keep_last": 1}, Policy(keep_last=1, keep_daily=3)),
        ({"keep_daily": 0}, Policy(keep_last=5)),
        ({"keep_within": "14d"}, Policy(keep_last=5, keep_daily=3, keep_within=timedelta(days=14))),
    ],
)
def test_options_stand_before_the_settings(options: dict[str, Any], expected: Policy) -> None:
    """What the options leave out is as in the settings."""
    assert policy_of(Policy(keep_last=5, keep_daily=3), ForgetOptions(**options)) == expected


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104 - an address that has to be refused
        "224.0.0.1",
        "::1",
        "fe80::1%eth0",
        "fc00::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
    ],
)
@pytest.mark.parametrize("verb", ["pull", "push", "fetch"])
def test_nobody_is_sent_to_an_address_inside(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, verb: str, address: str
) -> None:
    """A name that leads to this machine or its network is refused before anything is asked there (T11)."""
    kind = socket.AF_INET6 if ":" in address else socket.AF_INET
    found = [(kind, socket.SOCK_STREAM, 6, "", (address, 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    options: dict[str, dict[str, object]] = {
        "pull": {"model": "evil.example/a/b"},
        "push": {"model": "llama3", "target": "evil.example:5000/a/b"},
        "fetch": {"source": "evil.example/a/b"},
    }
    row = VERBS[verb]
    wished = msgspec.convert(options[verb], row.options, dec_hook=lambda kind, value: kind.parse(value))
    run = row.of(stage.open, wished, "test")
    view = stage.jobs.now(verb, (), "test", run, threading.Event())
    assert view.state is JobState.FAILED
    assert "leads to an address of this machine" in view.error
    stage.close()


@pytest.mark.parametrize(
    ("host", "refused"),
    [("127.0.0.1:5000", True), ("[::1]:5000", True), ("127.0.0.1", True), ("named.example", False), ("1.1.1.1", False)],
)
def test_a_host_that_the_settings_name_is_meant(stage: Stage, host: str, refused: bool) -> None:  # noqa: FBT001 - a row
    """The setting plain_http is how a registry inside is allowed; the public ones are."""
    stage.environ["MODELWARD_PLAIN_HTTP"] = "named.example"
    with stage.open(stage.notes, threading.Event(), cause="test") as place:
        if refused:
            with pytest.raises(BadSetting):
                verbs._require_outside(host, place)  # noqa: SLF001 - what this test is about
        else:
            verbs._require_outside(host, place)  # noqa: SLF001 - as above
    stage.close()
