"""Notices through Apprise in a process of its own, against a service on loopback."""

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelward.domain.alert import Severity, What
from modelward.domain.errors import DeliveryFailed
from modelward.notify import apprise_
from modelward.notify.apprise_ import AppriseNotifier
from tests.notify.notices import NOTICE
from tests.notify.receiver import Receiver, receiving

ENVIRON = {"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(path for path in sys.path if path)}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A web server on loopback."""
    with receiving() as found:
        yield found


def notifier(url: str, seconds: float = 60.0) -> AppriseNotifier:
    """A channel of this URL."""
    return AppriseNotifier(url, 1, host="box", environ=ENVIRON, seconds=seconds)


def test_a_notice_arrives_through_a_url_of_apprise(receiver: Receiver) -> None:
    """Title with the host, all lines, and the colour of a critical alert."""
    notifier(f"json://127.0.0.1:{receiver.port}/hook").send(NOTICE)
    [got] = receiver.got
    message = json.loads(got.body)
    assert got.path.startswith("/hook")
    assert message["title"] == "box: model missing: llama3"
    assert message["message"] == "\n".join(NOTICE.lines)
    assert message["type"] == "failure"


def test_the_name_holds_the_kind_of_service_only() -> None:
    """What the user gave may be a secret in every other part."""
    assert notifier("tgram://123:abc/456").name == "apprise 1 (tgram)"
    assert notifier("secret without a scheme").name == "apprise 1 (no known service)"


@pytest.mark.parametrize(
    ("what", "severity", "colour"),
    [
        (What.FIRING, Severity.CRITICAL, "failure"),
        (What.REMINDER, Severity.WARNING, "warning"),
        (What.RESOLVED, Severity.INFO, "success"),
        (What.HEALED, Severity.INFO, "success"),
        (What.EVENT, Severity.WARNING, "info"),
        (What.TEST, Severity.INFO, "info"),
    ],
)
def test_each_notice_has_its_colour(what: What, severity: Severity, colour: str) -> None:
    """Apprise's four words for how a message looks."""
    from msgspec.structs import replace

    assert apprise_._type(replace(NOTICE, what=what, severity=severity)) == colour  # noqa: SLF001 - the one table


def test_a_refusal_tells_the_status(receiver: Receiver) -> None:
    """What the service answered, as a number."""
    receiver.status = 403
    with pytest.raises(DeliveryFailed, match=r"the service did not take it \(it answered 403\)"):
        notifier(f"json://127.0.0.1:{receiver.port}/").send(NOTICE)


def test_no_redirect_is_followed(receiver: Receiver) -> None:
    """The message and its secrets stay with the service that was named (T11)."""
    receiver.status, receiver.location = 307, "/elsewhere"
    with pytest.raises(DeliveryFailed, match=r"the service did not take it"):
        notifier(f"json://127.0.0.1:{receiver.port}/").send(NOTICE)
    assert [got.path for got in receiver.got] == ["/"]


def test_a_service_that_cannot_be_reached_is_named_as_such() -> None:
    """Nobody listens there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(DeliveryFailed, match="the service cannot be reached"):
        notifier(f"json://127.0.0.1:{port}/").send(NOTICE)


@pytest.mark.parametrize("url", ["nonsense", "tgram://x", "nosuchservice://host", ""])
def test_a_url_that_apprise_cannot_read_is_named_as_such(url: str) -> None:
    """By its number, not by its text."""
    with pytest.raises(DeliveryFailed, match=r"apprise 1 .*: Apprise cannot read this URL"):
        notifier(url).send(NOTICE)


def test_a_service_that_hangs_meets_the_deadline(receiver: Receiver) -> None:
    """The child is ended, with whatever it does."""
    receiver.hang = True
    with pytest.raises(DeliveryFailed, match=r"not sent within 5 s"):
        notifier(f"json://127.0.0.1:{receiver.port}/?rto=600&cto=600", seconds=5.0).send(NOTICE)


def test_a_child_that_dies_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an answer of ours nothing counts as sent."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(DeliveryFailed, match="Apprise failed"):
        notifier("json://127.0.0.1:9/").send(NOTICE)


def test_a_child_that_cannot_start_is_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No such program."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    with pytest.raises(DeliveryFailed, match="cannot be started"):
        notifier("json://127.0.0.1:9/").send(NOTICE)


def test_the_guard_never_loads_apprise() -> None:
    """Its weight stays in the child."""
    assert "apprise" not in sys.modules
