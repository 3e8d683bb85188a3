"""The server in its thread: a free port, a unix socket of mode 0600, TLS, and an end that waits for nobody."""

import contextlib
import socket
import ssl
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from modelward.api.access import Listen
from modelward.api.app import create_app
from modelward.api.server import bind, serve
from modelward.client import Client
from modelward.domain.access import Scope
from modelward.domain.answer import Session
from modelward.domain.errors import BadSetting, Unreachable
from tests.api.stage import Stage, client


def test_a_unix_socket_is_closed_to_other_users(stage: Stage, tmp_path: Path) -> None:
    """The socket has mode 0600, this user may administer over it, and it is gone after the end (T15)."""
    path = tmp_path / "run.sock"
    stage.environ["MODELWARD_LISTEN"] = f"unix:{path}"
    stage.look()
    with stage.serving() as running:
        assert running.address == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert client(running).get("/session", Session).scope == Scope.ADMIN
        assert client(running).raw("GET", "/livez", None, {"host": "evil"}).status == 421
        stage.token()
        assert client(running).raw("GET", "/api/v1/health").status == 401
    assert not path.exists()


def test_a_socket_that_was_left_behind_is_taken_over(stage: Stage, tmp_path: Path) -> None:
    """The socket of a guard that was killed is no obstacle; one that answers, or a plain file, is."""
    path = tmp_path / "run.sock"
    stage.environ["MODELWARD_LISTEN"] = f"unix:{path}"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with stage.serving() as running:
        with pytest.raises(BadSetting, match="another process listens"):
            bind(f"unix:{path}")
        assert client(running).raw("GET", "/livez").status == 200
    path.write_text("mine")
    with pytest.raises(BadSetting, match="cannot listen"):
        bind(f"unix:{path}")
    assert path.read_text() == "mine"


@pytest.mark.parametrize("place", ["192.0.2.1:0", "nobody.invalid:1", "unix:/nowhere/at/all.sock"])
def test_a_place_that_is_not_ours_is_an_error(place: str) -> None:
    """An address of another machine or a folder that is not there: what to do is said."""
    with pytest.raises(BadSetting) as caught:
        bind(place)
    assert caught.value.next_step


def test_a_taken_port_is_an_error(stage: Stage) -> None:
    """Two guards do not share a port."""
    with stage.serving() as running, pytest.raises(BadSetting, match="cannot listen"):
        bind(running.address.removeprefix("http://"))


def test_the_end_does_not_wait_for_listeners(stage: Stage) -> None:
    """A listener of events is told the end, and the server stops at once instead of after a deadline."""
    stage.look()
    ended = threading.Event()
    with stage.serving() as running:
        events = client(running).events("/events")
        next(events)

        def listen() -> None:
            with contextlib.suppress(Unreachable):
                for _ in events:
                    pass
            ended.set()

        threading.Thread(target=listen, daemon=True).start()
    assert ended.wait(30)
    assert not running.alive
    with pytest.raises(Unreachable):
        client(running).health()


def test_stopping_twice_is_stopping_once(stage: Stage) -> None:
    """The end may be asked for again."""
    with stage.serving() as running:
        running.stop()
    running.stop()
    assert not running.alive


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key."""
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=guard"]
    words += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(chain)]
    try:
        subprocess.run(words, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl on PATH")
    return chain, key


def test_tls_encrypts_and_says_so(stage: Stage, certificate: tuple[Path, Path]) -> None:
    """With a certificate the guard speaks HTTPS only, tells browsers to stay with it, and closes its cookie to HTTP."""
    chain, key = certificate
    stage.environ |= {"MODELWARD_TLS_CERT": str(chain), "MODELWARD_TLS_KEY": str(key)}
    with stage.serving() as running:
        assert running.address.startswith("https://")
        guard = Client(running.address, tls=ssl.create_default_context(cafile=str(chain)))
        answer = guard.raw("GET", "/livez")
        assert answer.headers["strict-transport-security"].startswith("max-age=")
        body = b'{"token":"%b"}' % stage.token().encode()
        login = guard.raw("POST", "/api/v1/session", body, {"content-type": "application/json"})
        assert "Secure" in login.headers["set-cookie"]
        with pytest.raises(Unreachable):
            Client(running.address.replace("https", "http")).raw("GET", "/livez")
        with pytest.raises(Unreachable):
            Client(running.address).raw("GET", "/livez")  # a certificate that nobody vouches for
        assert guard.raw("GET", "/livez").status == 200


def test_a_broken_certificate_is_an_error(stage: Stage, tmp_path: Path) -> None:
    """A file that is no certificate is an error of the setting, and the port is given back."""
    (tmp_path / "chain.pem").write_text("nothing")
    stage.environ |= {"MODELWARD_TLS_CERT": str(tmp_path / "chain.pem"), "MODELWARD_TLS_KEY": str(tmp_path / "no.pem")}
    settings = stage.settings().settings
    bound = bind(settings.listen)
    with pytest.raises(BadSetting, match="cannot be used"):
        serve(stage.app(bound), settings, bound)
    bound.close()


def test_a_guard_for_others_is_not_served_without_a_token(stage: Stage) -> None:
    """The application itself refuses the place (T15)."""
    with pytest.raises(BadSetting, match="no token"):
        create_app(stage.deps(), listen=Listen("0.0.0.0", 8484))  # noqa: S104 - what this test is about


def test_the_command_line_does_not_load_the_server() -> None:
    """Only the guard pays for the HTTP stack: other verbs, and what makes tokens, do not import it."""
    code = "import sys, modelward.cli.app, modelward.cli.token, modelward.api.tokens; print(*sorted(sys.modules))"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    )
    assert "modelward.cli.app" in loaded
    assert loaded.isdisjoint({"starlette", "uvicorn", "anyio", "prometheus_client", "asyncio"})


@pytest.mark.parametrize("before", ["", "import uvicorn; "])
def test_the_server_comes_without_its_command_line(before: str) -> None:
    """The guard does not pay for what nobody here uses; where another had it loaded already, that is taken."""
    code = f"import sys; {before}from modelward.api.server import serve; print('click' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == str(bool(before))
