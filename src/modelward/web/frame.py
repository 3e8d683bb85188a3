"""What stands around every page: who looks, what they may do, how the guard is, and how many alerts are open."""

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from modelward import __version__
from modelward.api.handlers_health import why_not_ready
from modelward.api.handlers_settings import session
from modelward.api.problem import Refused, problem_of
from modelward.api.route import Ask
from modelward.domain.access import Scope
from modelward.domain.alert import State
from modelward.domain.answer import Problem
from modelward.domain.errors import ModelwardError
from modelward.domain.words import printable
from modelward.web.overview import tail

Value = TypeVar("Value")
_HUSHED = (State.CLEARING, State.EVENT)


class Frame(NamedTuple):
    """The frame of a page; ``page`` is the word of its entry in the menu and of its script."""

    page: str
    who: str
    open: bool
    csrf: str
    operate: bool
    admin: bool
    ready: bool
    why: str
    alerts: int
    state: str
    version: str = __version__


class Part(NamedTuple, Generic[Value]):
    """A part of a page: its value, or the problem that stands in its place."""

    value: Value | None = None
    problem: Problem | None = None


def frame(ask: Ask[Any, Any], page: str) -> Frame:
    """The frame for this caller."""
    standing, who = ask.deps.board.standing, session(ask)
    scope, why = Scope(who.scope), why_not_ready(ask.deps)
    return Frame(
        page=page,
        who=who.name,
        open=who.open,
        csrf=who.csrf,
        operate=scope.allows(Scope.OPERATE),
        admin=scope.allows(Scope.ADMIN),
        ready=not why,
        why=printable(why),
        alerts=sum(1 for alert in standing.alerts if alert.state not in _HUSHED) if standing is not None else 0,
        state=tail(standing) if standing is not None else "not ready",
    )


def part(make: Callable[[], Value]) -> Part[Value]:
    """A part of a page; what fails in it leaves the rest of the page as it is."""
    try:
        return Part(make())
    except (ModelwardError, Refused) as error:
        return Part(problem=problem_of(error))
