"""Secrets of channels stay in their channels: a canary in each of them is searched for wherever others can look."""

import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from modelward.domain.errors import BadSetting, DeliveryFailed
from modelward.notify import secret_file
from modelward.notify.apprise_ import AppriseNotifier
from modelward.notify.deadman import DeadmanPing
from modelward.notify.log import LogNotifier
from modelward.notify.webhook import WebhookNotifier
from modelward.ports import Notifier
from modelward.services.alerts import test as try_channels
from modelward.services.deliver import Post
from modelward.testing import FrozenClock, MemoryJournal
from tests.notify.notices import NOTICE, NOW
from tests.notify.receiver import Receiver, receiving
from tests.notify.test_apprise import ENVIRON
from tests.places import Notes
from tests.program import Program

CANARY = "c4n4ry-0123456789"
CLOCK = FrozenClock(NOW)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A web server on loopback that looks at every process when it is asked."""
    with receiving() as found:
        found.watch = True
        yield found


def channels(port: int) -> list[Notifier]:
    """Each kind of channel with the canary in every place where a secret can stand."""
    environ = {**ENVIRON, "MODELWARD_ALERT_URLS": CANARY, "MODELWARD_WEBHOOK_SECRET": CANARY}
    return [
        AppriseNotifier(f"json://user:{CANARY}@127.0.0.1:{port}/{CANARY}", 1, host="box", environ=environ),
        AppriseNotifier(f"{CANARY}://{CANARY}", 2, host="box", environ=environ),
        AppriseNotifier(CANARY, 3, host="box", environ=environ),
        WebhookNotifier(f"http://127.0.0.1:{port}/{CANARY}?key={CANARY}", CANARY, host="box", clock=CLOCK, environ={}),
    ]


def deadman(port: int) -> DeadmanPing:
    """The sign of life to a secret address."""
    return DeadmanPing(f"http://127.0.0.1:{port}/{CANARY}", environ={})


def told(call: Callable[[], None]) -> str:
    """All that an error can show: itself, its causes, and the whole traceback as a person would see it."""
    try:
        call()
    except DeliveryFailed as error:
        shown = "".join(traceback.format_exception(error, chain=True))
        return f"{error!r} {error} {error.__dict__} {error.__cause__!r} {shown}"
    return ""


@pytest.mark.parametrize("answer", [200, 302, 401, 500])
def test_no_error_log_or_report_holds_a_secret(receiver: Receiver, answer: int) -> None:
    """Whatever the service answers, and where nobody listens."""
    receiver.status, receiver.location = answer, f"/{CANARY}" if answer == 302 else ""
    notes, journal = Notes(), MemoryJournal()
    for port in (receiver.port, 9):
        found = [*channels(port), LogNotifier(notes)]
        for channel in found:
            assert CANARY not in told(partial(channel.send, NOTICE)) + channel.name + repr(channel)
        assert CANARY not in told(deadman(port).ping) + repr(deadman(port))
        assert CANARY not in repr(try_channels(found, deadman(port), CLOCK))
        post = Post(journal, found, CLOCK, notes)
        post.post([NOTICE])
        post.send_due()
        assert CANARY not in repr(post)
    assert any(event == "alert_failed" for event, _ in notes.events)
    assert CANARY not in repr(notes.events)
    assert CANARY not in repr(journal.__dict__)


def test_no_process_shows_a_secret_while_it_sends(receiver: Receiver) -> None:
    """Neither arguments nor environment, in which the guard itself may have got them; the service gets them."""
    apprise, *_, webhook = channels(receiver.port)
    apprise.send(NOTICE)
    webhook.send(NOTICE)
    shown = [text for text in receiver.shown if "modelward.notify.child" in text]
    assert shown, "the child was not seen: the test looks at the wrong time"
    assert [text for text in receiver.shown if CANARY in text] == []
    assert CANARY in receiver.got[0].path


def test_the_program_shows_no_secret(tmp_path: Path, receiver: Receiver) -> None:
    """`alerts test` and `config` with secrets from environment and files: on the screen, in documents, in errors."""
    receiver.status = 500
    urls, secret = tmp_path / "urls", tmp_path / "secret"
    urls.write_text(f"# ours\njson://127.0.0.1:{receiver.port}/{CANARY}\n\n{CANARY}\n")
    secret.write_text(f"{CANARY}\n")
    environ = {
        "MODELWARD_ALERT_URLS_FILE": str(urls),
        "MODELWARD_WEBHOOK_SECRET_FILE": str(secret),
        "MODELWARD_WEBHOOK_URL": f"{receiver.url}/{CANARY}",
        "MODELWARD_DEADMAN_URL": f"http://127.0.0.1:9/{CANARY}",
    }
    program = Program(tmp_path)
    for words in (("alerts", "test"), ("alerts", "test", "--json"), ("config",), ("config", "--json"), ("alerts",)):
        ran = program.run(*words, **environ)
        assert CANARY not in ran.out + ran.err
    ran = program.run("alerts", "test", **environ)
    assert ran.code == 4
    assert "webhook: answered 500" in ran.out
    assert "apprise 1 (json): the service did not take it (it answered 500)" in ran.out
    assert "apprise 2 (no known service): Apprise cannot read this URL" in ran.out
    assert "dead-man ping: cannot be reached" in ran.out
    bad = program.run("alerts", "test", **(environ | {"MODELWARD_WEBHOOK_URL": f"nonsense {CANARY}"}))
    assert (bad.code, CANARY in bad.out + bad.err) == (2, False)


def test_no_address_shows_a_user(tmp_path: Path) -> None:
    """A password that stands where none is taken: in a mirror, or in a proxy of the environment."""
    program = Program(tmp_path)
    (tmp_path / "store").mkdir()
    where = f"http://user:{CANARY}@127.0.0.1:9"
    for more in (
        {"MODELWARD_MIRRORS": f"registry.ollama.ai={where}"},
        {"HTTPS_PROXY": where},
        {"MODELWARD_MIRRORS": where},
    ):
        for words in (("config",), ("config", "--json"), ("pull", "llama3"), ("doctor", "--json")):
            ran = program.run(*words, MODELWARD_UPSTREAM="true", **more)
            assert CANARY not in ran.out + ran.err


def test_a_file_of_secrets_is_read_line_by_line(tmp_path: Path) -> None:
    """Without blanks, empty lines and comments; no path means no secret."""
    path = tmp_path / "urls"
    path.write_text("# mine\n  json://a  \n\njson://b\n")
    assert secret_file.lines(str(path), "alert_urls_file") == ("json://a", "json://b")
    assert secret_file.lines("", "alert_urls_file") == ()
    assert secret_file.single("", "webhook_secret_file") == ""


@pytest.mark.parametrize("text", ["", "one\ntwo\n", "# only a comment\n"])
def test_a_file_with_one_secret_holds_one_line(tmp_path: Path, text: str) -> None:
    """None, or several, are refused, and not shown."""
    path = tmp_path / "secret"
    path.write_text(text)
    with pytest.raises(BadSetting, match=r"webhook_secret_file: the file .* lines, not one") as caught:
        secret_file.single(str(path), "webhook_secret_file")
    assert "two" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Not there, no text, or far too long."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "long").write_text("x" * (secret_file.LONGEST + 1))
    for name, why in (("none", "No such file"), ("binary", "no text in UTF-8"), ("long", "more than")):
        with pytest.raises(BadSetting, match=f"alert_urls_file: the file .*{name}.*{why}"):
            secret_file.lines(str(tmp_path / name), "alert_urls_file")
