"""Liveness never waits, readiness names what is wrong, and neither needs a token (H1)."""

from modelward.client import Client
from tests.api.stage import Stage, client


def test_liveness_is_given_before_the_first_look(stage: Stage) -> None:
    """A guard that has just begun lives, and is not ready, since it has seen nothing (H1)."""
    with stage.serving() as running:
        guard = client(running)
        assert guard.raw("GET", "/livez").status == 200
        ready = guard.raw("GET", "/readyz")
    assert (ready.status, ready.body) == (503, b"the guard has not looked yet\n")


def test_readiness_follows_the_standing(stage: Stage, anyone: Client) -> None:
    """Ready is 200 and one line; not ready is 503 and the reason in one line (H1)."""
    assert anyone.raw("GET", "/readyz")[0] == 200
    stage.look(ready=False, why="llama3:latest: blob 9ad5 is missing\nsecond line")
    answer = anyone.raw("GET", "/readyz")
    assert answer.status == 503
    assert answer.body == b"llama3:latest: blob 9ad5 is missing\\nsecond line\n"


def test_loops_that_stand_still_end_liveness_and_readiness(stage: Stage, anyone: Client) -> None:
    """A guard whose loops hang neither lives nor is ready, whatever it saw last (H1)."""
    stage.why = "the guard's tick is 40 s old"
    for path in ("/livez", "/readyz"):
        answer = anyone.raw("GET", path)
        assert (answer.status, answer.body) == (503, b"the guard's tick is 40 s old\n")
    document = anyone.health()
    assert (document.live, document.ready, document.why) == (False, False, stage.why)


def test_health_needs_no_token_where_all_else_does(stage: Stage, anyone: Client) -> None:
    """A container's health check asks without a token, even when tokens were made."""
    stage.token()
    assert anyone.raw("GET", "/livez").status == 200
    assert anyone.raw("GET", "/readyz").status == 200
    assert anyone.raw("GET", "/api/v1/health").status == 401


def test_a_head_request_has_the_status_and_no_body(anyone: Client) -> None:
    """HEAD answers as GET does, without its body."""
    answer = anyone.raw("HEAD", "/readyz")
    assert (answer.status, answer.body) == (200, b"")
