"""Settings with their origins, the brake, and who one is: never a secret's value."""

from typing import Annotated

import msgspec

from modelward.api.access import set_cookie
from modelward.api.route import Ask, Nothing, Reply
from modelward.api.tokens import csrf_of
from modelward.config import Origin
from modelward.domain.answer import Session
from modelward.domain.brake import BrakeReport
from modelward.domain.standing import BrakeStanding


class LogIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token as `modelward token create` printed it."""

    token: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


def settings(ask: Ask[Nothing, None]) -> tuple[Origin, ...]:
    """Every setting with its value as text, where it comes from and what it means."""
    return ask.deps.settings().origins


def brake(ask: Ask[Nothing, None]) -> BrakeStanding:
    """Whether the guard has stopped to heal alone, since when, and why (G4)."""
    seen = ask.deps.board.standing
    return seen.brake if seen is not None else BrakeStanding()


def release_brake(ask: Ask[Nothing, None]) -> BrakeReport:
    """Let the guard heal alone again: somebody has looked."""
    from modelward.services.brake import release_brake as release

    report = release(ask.deps.journal, ask.deps.clock, f"api: {ask.who.name}")
    ask.deps.board.stir()
    return report


def session(ask: Ask[Nothing, None]) -> Session:
    """Who asks, what they may do, and a browser's token against forged requests."""
    csrf = csrf_of(ask.who.cookie) if ask.who.cookie else ""
    return Session(name=ask.who.name, scope=ask.who.scope, csrf=csrf, open=ask.who.anonymous)


def log_in(ask: Ask[Nothing, LogIn]) -> Reply:
    """Give a browser a session for a token; it ends with the token, and after half a day."""
    cookie, who = ask.runtime.access.log_in(ask.body.token, ask.asking)
    answer = Session(name=who.name, scope=who.scope, csrf=csrf_of(cookie))
    return Reply(value=answer, status=201, headers={"set-cookie": set_cookie(cookie, secure=ask.asking.secure)})


def log_out(ask: Ask[Nothing, None]) -> Reply:
    """End the browser's session."""
    if ask.who.cookie:
        ask.deps.tokens.close_session(ask.who.cookie)
    return Reply(status=204, headers={"set-cookie": set_cookie("", secure=ask.asking.secure)})
