"""Notices as signed JSON, and the sign of life: what is sent, what counts as taken, and what a failure says."""

import hmac
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from modelward.domain.errors import BadSetting, DeliveryFailed
from modelward.notify.deadman import DeadmanPing
from modelward.notify.webhook import WebhookNotifier, signature
from modelward.testing import FrozenClock
from tests.notify.notices import NOTICE, NOW
from tests.notify.receiver import Receiver, receiving

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "alerts.md"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A web server on loopback."""
    with receiving() as found:
        yield found


def webhook(url: str, *, key: str = "key", seconds: float = 20.0) -> WebhookNotifier:
    """A webhook of this machine, at a clock that stands still."""
    return WebhookNotifier(url, key, host="box", clock=FrozenClock(NOW), environ={}, seconds=seconds)


def test_a_notice_is_posted_with_all_that_it_says(receiver: Receiver) -> None:
    """One JSON document with its schema, the host, the lines for people and the alerts for programs."""
    webhook(f"{receiver.url}/hook?to=ops").send(NOTICE)
    [got] = receiver.got
    document = json.loads(got.body)
    assert (got.method, got.path, got.headers["Content-Type"]) == ("POST", "/hook?to=ops", "application/json")
    assert got.headers["X-Modelward-Notice"] == document["id"] == NOTICE.id
    assert (document["schema"], document["host"], document["what"]) == ("modelward/notice/1", "box", "firing")
    assert document["severity"] == "critical"
    assert document["lines"][1] == "next: modelward repair llama3"
    assert document["alerts"][0]["kind"] == "model missing"
    assert document["alerts"][0]["since"] == "2026-01-05T12:00:00Z"


def test_the_body_is_signed_with_the_time(receiver: Receiver) -> None:
    """HMAC-SHA256 over time and body, so that neither can be changed, nor an old one sent again."""
    webhook(receiver.url).send(NOTICE)
    [got] = receiver.got
    moment = int(NOW.timestamp())
    expected = hmac.new(b"key", f"{moment}.".encode() + got.body, sha256).hexdigest()
    assert got.headers["X-Modelward-Signature"] == f"t={moment},v1={expected}"


def test_without_a_secret_nothing_is_signed(receiver: Receiver) -> None:
    """A signature by an empty key would look like one."""
    webhook(receiver.url, key="").send(NOTICE)
    assert "X-Modelward-Signature" not in receiver.got[0].headers


def documented() -> dict[str, Any]:
    """The names that the Python of the documentation defines."""
    [code] = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - our own documentation
    return names


def test_the_documented_check_accepts_ours_and_nothing_else() -> None:
    """The snippet in docs/alerts.md, as a receiver would use it."""
    verify, moment = documented()["verify"], int(NOW.timestamp())
    header = signature(b'{"a": 1}', "key", moment)
    assert verify(header, b'{"a": 1}', "key", now=moment + 10)
    assert not verify(header, b'{"a": 2}', "key", now=moment + 10)
    assert not verify(header, b'{"a": 1}', "other", now=moment + 10)
    assert not verify(header, b'{"a": 1}', "key", now=moment + 3600)
    assert not verify(header.replace(f"t={moment}", f"t={moment + 1}"), b'{"a": 1}', "key", now=moment)
    assert not verify("", b'{"a": 1}', "key", now=moment)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_good_answer_will_do(receiver: Receiver, status: int) -> None:
    """Every status of success counts as taken."""
    receiver.status = status
    webhook(receiver.url).send(NOTICE)
    assert len(receiver.got) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 410, 429, 500, 503])
def test_any_other_answer_is_a_failure(receiver: Receiver, status: int) -> None:
    """With the status in words."""
    receiver.status = status
    with pytest.raises(DeliveryFailed, match=f"webhook_url: answered {status}"):
        webhook(receiver.url).send(NOTICE)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(receiver: Receiver, status: int) -> None:
    """A signed body goes to the address that the user gave, and nowhere else."""
    receiver.status, receiver.location = status, f"{receiver.url}/elsewhere"
    with pytest.raises(DeliveryFailed, match="not followed"):
        webhook(receiver.url).send(NOTICE)
    assert [got.path for got in receiver.got] == ["/"]


def test_a_server_that_never_answers_meets_the_deadline(receiver: Receiver) -> None:
    """What hangs is given up."""
    receiver.hang = True
    with pytest.raises(DeliveryFailed, match="no answer in time"):
        webhook(receiver.url, seconds=0.5).send(NOTICE)
    assert receiver.asked.is_set()


@pytest.mark.parametrize("host", ["169.254.169.254", "2852039166", "[::ffff:169.254.169.254]", "[fd00:ec2::254]"])
def test_metadata_services_are_never_asked(host: str) -> None:
    """In no spelling (T11)."""
    with pytest.raises(DeliveryFailed, match="never asked"):
        DeadmanPing(f"http://{host}/latest/", environ={}).ping()


def test_a_closed_port_is_named_as_such() -> None:
    """Nobody listens there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(DeliveryFailed, match="nobody listens there"):
        webhook(f"http://127.0.0.1:{port}/").send(NOTICE)


def test_a_server_without_tls_is_named_as_such(receiver: Receiver) -> None:
    """https to a port that speaks http."""
    with pytest.raises(DeliveryFailed, match="TLS"):
        webhook(receiver.url.replace("http:", "https:")).send(NOTICE)


@pytest.mark.parametrize(
    "url", ["", "nowhere", "ftp://host/x", "http://user:pass@host/", "http://ho st/", "http://h/\n"]
)
def test_what_is_no_address_is_refused_at_once(url: str) -> None:
    """By the setting's name, and without showing what was given."""
    if url == "http://h/\n":  # blanks around an address are nobody's intention
        assert webhook(url).name == "webhook"
        return
    with pytest.raises(BadSetting, match="webhook_url: its value is not an address") as caught:
        webhook(url)
    assert not url or url not in str(caught.value)


def test_the_sign_of_life_is_one_fetch(receiver: Receiver) -> None:
    """A GET of the address, with our name and nothing else."""
    DeadmanPing(f"{receiver.url}/ping/abc", environ={}).ping()
    [got] = receiver.got
    assert (got.method, got.path, got.body) == ("GET", "/ping/abc", b"")
    assert got.headers["User-Agent"].startswith("modelward/")


def test_a_sign_of_life_that_is_refused_is_a_failure(receiver: Receiver) -> None:
    """The monitor does not know the address, so it would raise a false alarm."""
    receiver.status = 404
    with pytest.raises(DeliveryFailed, match="deadman_url: answered 404"):
        DeadmanPing(receiver.url, environ={}).ping()


def dripping(status: bytes, over: threading.Event) -> Iterator[int]:
    """A port whose server sends its head one byte at a time, never ending it, until ``over``."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            link, _ = server.accept()
            with link, suppress(OSError):
                link.sendall(status)
                while not over.wait(0.05):
                    link.sendall(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        yield server.getsockname()[1]
        over.set()
        thread.join()


def test_a_server_that_drips_meets_the_deadline_too() -> None:
    """The time is for the whole request, not for the next byte."""
    over = threading.Event()
    for port in dripping(b"HTTP/1.1 200 OK\r\nX-Slow: ", over):
        with pytest.raises(DeliveryFailed, match="no answer in time"):
            webhook(f"http://127.0.0.1:{port}/", seconds=0.5).send(NOTICE)
        assert not over.is_set()


def test_what_is_no_web_server_is_named_as_such() -> None:
    """A port that speaks something else."""
    over = threading.Event()
    for port in dripping(b"220 mail.example ESMTP\r\n\r\n", over):
        with pytest.raises(DeliveryFailed, match="did not answer as a web server"):
            webhook(f"http://127.0.0.1:{port}/").send(NOTICE)


def test_a_proxy_of_the_environment_is_used_but_not_on_this_machine(receiver: Receiver) -> None:
    """The whole address goes to the proxy; NO_PROXY spares a host."""
    proxies = {"HTTP_PROXY": receiver.url, "NO_PROXY": "spared.example"}
    DeadmanPing("http://hook.example/ping?a=1", environ=proxies).ping()
    DeadmanPing(f"{receiver.url}/near", environ=proxies | {"HTTP_PROXY": "http://127.0.0.1:9"}).ping()
    assert [got.path for got in receiver.got] == ["http://hook.example/ping?a=1", "/near"]
    with pytest.raises(DeliveryFailed, match="name is not known"):
        DeadmanPing("http://spared.example/", environ=proxies).ping()


def test_a_proxy_leads_to_tls_by_a_tunnel(receiver: Receiver) -> None:
    """The proxy sees the host, and neither path nor body."""
    receiver.status = 403
    with pytest.raises(DeliveryFailed, match="cannot be reached"):
        DeadmanPing("https://hook.example/secret", environ={"https_proxy": receiver.url.removeprefix("http://")}).ping()
    assert [(got.method, got.path) for got in receiver.got] == [("CONNECT", "hook.example:443")]
