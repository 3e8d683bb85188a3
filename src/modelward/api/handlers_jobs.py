"""Jobs and plans: ask for a verb, watch it, cancel it; or see first what it would do."""

from typing import Any, Literal

import msgspec

from modelward.api.at_work import cause_of, place_of
from modelward.api.events import AllNews, JobNews
from modelward.api.paging import Paged, page
from modelward.api.problem import Forbidden
from modelward.api.route import Ask, Nothing, Reply
from modelward.domain.access import Scope
from modelward.domain.answer import Page
from modelward.domain.codec import as_text, encode
from modelward.domain.reading import Level
from modelward.domain.standing import JobState, JobView
from modelward.guard.jobs import Job
from modelward.guard.verbs import VERBS, Verb

_PLANNED = ("repair", "repair-vault", "restore", "rollback", "forget", "prune", "space-reclaim", "backup")


class JobsQuery(Paged, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filters: ``state``, and ``kind`` as the verb is called."""

    state: Literal["waiting", "running", "done", "failed", "cancelled", "interrupted"] | None = None
    kind: str = ""


class VerbView(msgspec.Struct, frozen=True, kw_only=True):
    """A verb that can be asked for, the scope that it needs, and the JSON schema of its options."""

    name: str
    about: str
    scope: Scope
    plan: bool
    options: dict[str, Any]


def _asked(verb: Verb) -> type[msgspec.Struct]:
    """The body that starts a verb; its field ``verb`` tells it from the others."""
    required = any(field.required for field in msgspec.structs.fields(verb.options))
    options: tuple[Any, ...] = ("options", verb.options)
    return msgspec.defstruct(
        "Start" + "".join(word.title() for word in verb.name.split("-")),
        [options if required else (*options, verb.options())],
        tag_field="verb",
        tag=verb.name,
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
        module=__name__,
    )


def _any_of(kinds: list[type[msgspec.Struct]]) -> Any:  # noqa: ANN401 - a union made at run time is no type of mypy's
    union: Any = kinds[0]
    for kind in kinds[1:]:
        union |= kind
    return union


_STARTS = {name: _asked(verb) for name, verb in VERBS.items()}
StartJob = _any_of(list(_STARTS.values()))
MakePlan = _any_of([_STARTS[name] for name in _PLANNED])
_VERB_OF = {kind: VERBS[name] for name, kind in _STARTS.items()}


def verbs(ask: Ask[Nothing, None]) -> tuple[VerbView, ...]:
    """Everything that can be asked for as a job."""
    del ask
    return tuple(
        VerbView(
            name=verb.name,
            about=verb.about,
            scope=Scope.ADMIN if verb.grave else Scope.OPERATE,
            plan=verb.name in _PLANNED,
            options=_schema(verb.options),
        )
        for verb in VERBS.values()
    )


def _schema(options: type[msgspec.Struct]) -> dict[str, Any]:
    from modelward.api.openapi import schema_of

    return schema_of(options)


def start_job(ask: Ask[Nothing, Any]) -> Reply:
    """Queue a job; with an Idempotency-Key it is started once, however often this is sent."""
    verb = _verb(ask)
    key = ask.asking.headers.get("idempotency-key", "")
    view = ask.runtime.once.run(ask.who.name, key, encode(ask.body), lambda: _submit(ask, verb))
    assert isinstance(view, JobView)  # noqa: S101 - narrows what Once keeps as any value
    found = ask.deps.jobs.get(view.id)
    return Reply(value=found, status=202, headers={"location": f"/api/v1/jobs/{view.id}"})


def _submit(ask: Ask[Nothing, Any], verb: Verb) -> JobView:
    """The options stand in the cause, so that no two different wishes count as one."""
    options = ask.body.options
    given = {name: value for name, value in msgspec.to_builtins(options, enc_hook=as_text).items() if value}
    said = ", ".join(f"{name}={value}" for name, value in given.items() if name not in ("model", "models"))
    cause = cause_of(ask) + (f" ({said})" if said else "")
    return ask.deps.jobs.submit(verb.name, verb.models_of(options), cause, verb.of(ask.deps.opener, options, cause))


def _verb(ask: Ask[Nothing, Any]) -> Verb:
    """The verb that is asked for; what can lose something needs an administrator, unless only its plan is wanted."""
    verb = _VERB_OF[type(ask.body)]
    if verb.grave and not verb.dry(ask.body.options) and not ask.who.scope.allows(Scope.ADMIN):
        raise Forbidden(
            f"{verb.name} needs the scope admin, and {ask.who.name} has {ask.who.scope}",
            next_step="make a token: modelward token create NAME --scope admin",
        )
    return verb


def plan(ask: Ask[Nothing, Any]) -> object:
    """What a verb would do, found out at once: nothing is changed, and damage counts as far as it is known.

    A repair is planned from what is known (level quick): to read every byte first, start a job with ``dry_run``.
    """
    verb, options = _VERB_OF[type(ask.body)], ask.body.options
    fields: dict[str, Any] = {"dry_run": True} | ({"level": Level.QUICK} if hasattr(options, "level") else {})
    wished = msgspec.structs.replace(options, **fields)
    with place_of(ask) as place:
        return verb.run(place, wished, _nobody(ask))


def _nobody(ask: Ask[Nothing, Any]) -> Job:
    """A job that nobody watches, for a verb that wants one."""
    view = JobView(
        id="plan", kind="plan", models=(), cause=cause_of(ask), state=JobState.RUNNING, asked_at=ask.deps.now()
    )
    return Job(view, lambda _: None, ask.deps.log, lambda: None)


def jobs(ask: Ask[JobsQuery, None]) -> Page[JobView]:
    """Jobs without their reports, the newest first."""
    query = ask.query
    found = [
        msgspec.structs.replace(view, report=None)
        for view in ask.deps.jobs.list()
        if (query.state is None or view.state == query.state) and (not query.kind or view.kind == query.kind)
    ]
    return page(found, lambda view: view.id, query)


def job(ask: Ask[Nothing, None]) -> JobView:
    """One job, with its report once it is done."""
    return ask.deps.jobs.get(ask.path["id"])


def cancel_job(ask: Ask[Nothing, None]) -> JobView:
    """Stop a job: one that waits never begins, one that runs ends at its next chunk."""
    return ask.deps.jobs.cancel(ask.path["id"])


def job_events(ask: Ask[Nothing, None]) -> JobNews:
    """A job's progress to its end, as server-sent events."""
    return JobNews(ask.deps.jobs, ask.deps.board, ask.path["id"])


def events(ask: Ask[Nothing, None]) -> AllNews:
    """What changes on the board and in jobs, as server-sent events."""
    return AllNews(ask.deps.jobs, ask.deps.board)
