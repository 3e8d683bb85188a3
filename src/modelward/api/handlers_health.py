"""Health: liveness that touches nothing, readiness that names what is wrong, and both as a document (H1)."""

from modelward import __version__
from modelward.api.deps import Deps
from modelward.api.route import Ask, Nothing, Reply
from modelward.domain.answer import Health
from modelward.domain.words import printable

_UNSEEN = "the guard has not looked yet"


def livez(ask: Ask[Nothing, None]) -> Reply:
    """200 while the guard's loops live; never waits for work, never touches a disk."""
    why = ask.deps.alive()
    return _line(why)


def readyz(ask: Ask[Nothing, None]) -> Reply:
    """200 only while every protected model is healthy; else one line that says why not."""
    return _line(why_not_ready(ask.deps))


def health(ask: Ask[Nothing, None]) -> Health:
    """Liveness and readiness as one document."""
    standing, why = ask.deps.board.standing, why_not_ready(ask.deps)
    return Health(
        live=not ask.deps.alive(),
        ready=not why,
        why=why,
        version=__version__,
        at=standing.at if standing is not None else None,
        started_at=standing.started_at if standing is not None else None,
    )


def why_not_ready(deps: Deps) -> str:
    """Why readiness is not given, in one line; empty when it is. A guard that hangs is not ready."""
    if why := deps.alive():
        return why
    standing = deps.board.standing
    if standing is None:
        return _UNSEEN
    return "" if standing.ready else standing.why or "a protected model is not healthy"


def _line(why: str) -> Reply:
    text = printable(why) or "ok"
    return Reply(
        raw=f"{text}\n".encode("utf-8", "backslashreplace"),
        status=503 if why else 200,
        media_type="text/plain; charset=utf-8",
        headers={"cache-control": "no-store"},
    )
