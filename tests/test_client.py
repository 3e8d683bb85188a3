"""The client: typed answers, problems as errors, and a guard that is not there."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from modelward.api.server import Running
from modelward.client import ApiProblem, Client, part
from modelward.domain.errors import BadSetting, ModelwardError, Unreachable
from modelward.domain.standing import JobState
from tests.api.conftest import admin, anyone, running, stage
from tests.api.stage import MODEL, SMALL, Stage

__all__ = ["admin", "anyone", "running", "stage"]


def test_everything_that_programs_ask_for(admin: Client) -> None:
    """Health, the picture, models, chunks, findings and a job from its start to its report, all typed."""
    assert admin.health().ready
    assert {model.name for model in admin.standing().models} == {MODEL, SMALL}
    assert admin.model("mini:1b").name == SMALL
    assert sum(run.count for blob in admin.chunks("llama3").blobs for run in blob.runs) == 5
    assert list(admin.findings()) == []
    done = admin.finish(admin.start("backup").id)
    assert done.state is JobState.DONE
    assert admin.cancel(done.id) == done


def test_a_problem_is_an_error_with_its_next_step(anyone: Client, stage: Stage) -> None:
    """What the guard refuses is raised with status, thing and next step, and reads like any error of ours."""
    stage.token()
    with pytest.raises(ApiProblem) as caught:
        anyone.standing()
    assert caught.value.status == 401
    assert "modelward token create" in caught.value.next_step
    assert isinstance(caught.value, ModelwardError)
    with pytest.raises(ApiProblem):
        next(anyone.events("/events"))


def test_a_guard_that_is_not_there_is_unreachable(running: Running) -> None:
    """Nobody at the address, or no socket at the path: unreachable, with how to start one."""
    running.stop()
    for address in (running.address, "unix:/nowhere/run.sock"):
        with pytest.raises(Unreachable) as caught:
            Client(address, timeout=5).health()
        assert caught.value.next_step == "start it: modelward guard"


@pytest.mark.parametrize("address", ["", "127.0.0.1:8484", "ftp://x", "http://"])
def test_what_is_no_address(address: str) -> None:
    """A text that is no address of a guard is an error of the one who gave it."""
    with pytest.raises(BadSetting):
        Client(address).health()


class _Stranger(BaseHTTPRequestHandler):
    """Somebody who is no guard."""

    answer: ClassVar[tuple[int, bytes]] = (502, b"<html>no</html>")

    def do_GET(self) -> None:
        """Answer in words of its own."""
        status, body = self.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_an_answer_that_is_none_of_ours_is_an_error() -> None:
    """A proxy's page is shown as what it is, and a document of another kind is no document."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Stranger) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        guard = Client(f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(ApiProblem, match="<html>") as caught:
            guard.health()
        assert caught.value.status == 502
        _Stranger.answer = (200, b"[]")
        with pytest.raises(ModelwardError):
            guard.health()
        server.shutdown()


@pytest.mark.parametrize(("text", "expected"), [("llama3:1b", "llama3%3A1b"), ("a/b", "a%2Fb"), ("ü", "%C3%BC")])
def test_a_part_of_a_path_is_one_part(text: str, expected: str) -> None:
    """Slashes and everything else that has a meaning in a path are written so that they have none."""
    assert part(text) == expected
