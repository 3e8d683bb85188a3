"""Problem documents (RFC 9457): what happened, to which thing, and what to do next, with the status that fits."""

from collections.abc import Mapping
from http import HTTPStatus
from re import sub
from typing import ClassVar

from modelward.domain import errors
from modelward.domain.answer import Problem

MEDIA_TYPE = "application/problem+json"
_STATUS: tuple[tuple[type[errors.ModelwardError], int], ...] = (
    (errors.UnknownModel, 404),
    (errors.UnknownSnapshot, 404),
    (errors.UnknownJob, 404),
    (errors.UnknownToken, 404),
    (errors.UnknownSilence, 404),
    (errors.StoreNotFound, 409),
    (errors.StoreNotAccepted, 409),
    (errors.TagMoved, 409),
    (errors.UsageError, 422),
    (errors.BlobMissing, 404),
    (errors.DamageError, 409),
    (errors.NotRepairable, 409),
    (errors.Unreachable, 502),
    (errors.VaultMissing, 409),
    (errors.Locked, 409),
    (errors.DiskFull, 507),
    (errors.StorageError, 503),
    (errors.Interrupted, 503),
)


class Refused(Exception):
    """The API itself will not: one subclass a reason, each with its status."""

    status: ClassVar[int] = 400
    title: ClassVar[str] = "The request cannot be understood"

    def __init__(
        self, what: str, *, thing: str = "", next_step: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(what)
        self.what, self.thing, self.next_step, self.headers = what, thing, next_step, dict(headers or {})


class BadRequest(Refused):
    """A text that is no request of ours."""


class NotAuthenticated(Refused):
    """Nobody, or nobody whom we know."""

    status = 401
    title = "A token is needed"


class Forbidden(Refused):
    """Somebody who may not do this."""

    status = 403
    title = "This is not allowed"


class NotFound(Refused):
    """Nothing at this address."""

    status = 404
    title = "There is nothing here"


class NotAllowed(Refused):
    """Another method than those of this address."""

    status = 405
    title = "This address has no such method"


class TooSlow(Refused):
    """The body did not arrive in time."""

    status = 408
    title = "The request took too long"


class TooLarge(Refused):
    """A body above the limit."""

    status = 413
    title = "The request is too large"


class WrongMediaType(Refused):
    """A body that is not JSON."""

    status = 415
    title = "The body has to be JSON"


class WrongHost(Refused):
    """A name that this guard does not go by."""

    status = 421
    title = "The guard is not called by this name"


class Unfit(Refused):
    """JSON, but not what was asked for."""

    status = 422
    title = "The request cannot be carried out"


class TooMany(Refused):
    """More requests than one caller may make."""

    status = 429
    title = "Too many requests"


class Busy(Refused):
    """More at once than the guard answers."""

    status = 503
    title = "The guard is busy"


class TookTooLong(Refused):
    """An answer that would keep the caller waiting: a job does it instead."""

    status = 504
    title = "The answer took too long"


class Broken(Refused):
    """A fault of ours."""

    status = 500
    title = "The guard made a mistake"


def status_of(error: errors.ModelwardError) -> int:
    """The HTTP status for an error of ours."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def problem_of(error: Exception, instance: str = "") -> Problem:
    """The document for an error; one that is not ours says nothing of its inside."""
    if isinstance(error, Refused):
        return _problem(error, error.title, error.status, instance)
    if isinstance(error, errors.ModelwardError):
        title = (type(error).__doc__ or "").partition("\n")[0].rstrip(".")
        return _problem(error, title, status_of(error), instance)
    return problem_of(Broken("an internal error", next_step="look into the guard's log, and report it"), instance)


def _problem(error: "Refused | errors.ModelwardError", title: str, status: int, instance: str) -> Problem:
    return Problem(
        type=f"urn:modelward:problem:{_slug(type(error).__name__)}",
        title=title,
        status=status,
        detail=error.what,
        instance=instance,
        thing=error.thing,
        next_step=error.next_step,
        exit_code=getattr(error, "exit_code", errors.EXIT_USAGE),
    )


def headers_of(error: Exception) -> dict[str, str]:
    """Headers that belong to an error's answer."""
    return dict(error.headers) if isinstance(error, Refused) else {}


def phrase(status: int) -> str:
    """The status in words."""
    return HTTPStatus(status).phrase


def _slug(name: str) -> str:
    return sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()
