"""Words and numbers as the pages show them: health, moments, sizes, shares, names."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import quote

from modelward.domain.errors import EXIT_DAMAGE, EXIT_NOT_REPAIRABLE, BadName
from modelward.domain.name import ModelName
from modelward.domain.standing import JobState, ModelStanding
from modelward.domain.units import format_bytes, format_duration
from modelward.domain.words import printable


class Mark(NamedTuple):
    """A state in words, and the word by which the stylesheet colours it: good, bare, unread, harm or loss."""

    tone: str
    text: str


HEALTH = {
    "lost": Mark("loss", "damaged, no copy"),
    "damaged": Mark("harm", "damaged, recoverable"),
    "unproved": Mark("unread", "not proved yet"),
    "bare": Mark("bare", "healthy, no copy"),
    "healthy": Mark("good", "healthy"),
}
"""Both axes of health together, the worst first: the words that filters use, and how each is shown."""


def health(model: ModelStanding) -> str:
    """The word of HEALTH for a model's two axes."""
    if model.healthy is None:
        return "unproved"
    if model.healthy:
        return "healthy" if model.recoverable else "bare"
    return "damaged" if model.recoverable else "lost"


_LEFT = {
    EXIT_DAMAGE: ("harm", "done: there is damage"),
    EXIT_NOT_REPAIRABLE: ("loss", "done: there is damage without a copy"),
}
_JOBS = {
    JobState.WAITING: "unread",
    JobState.RUNNING: "busy",
    JobState.DONE: "good",
    JobState.FAILED: "loss",
    JobState.CANCELLED: "unread",
    JobState.INTERRUPTED: "harm",
}


def job_mark(state: JobState, exit_code: int = 0) -> Mark:
    """A job's state; one that is done and leaves damage says so."""
    if state is JobState.DONE and exit_code:
        return Mark(*_LEFT.get(exit_code, ("harm", f"done, exit code {exit_code}")))
    return Mark(_JOBS[state], state.value)


def size(count_of_bytes: float) -> str:
    """Bytes with up to three digits and a unit."""
    return format_bytes(count_of_bytes)


def number(value: float) -> str:
    """A whole number with its thousands apart."""
    return f"{value:,.0f}"


def count(value: int, one: str, many: str = "") -> str:
    """A number and its noun: ``1 model``, ``2 models``."""
    return f"{value:,} {one if value == 1 else many or one + 's'}"


def duration(seconds: float | timedelta) -> str:
    """A time span, from milliseconds to days."""
    value = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 172_800:
        return format_duration(value)
    return f"{value / 86_400:,.0f} days"


def share(value: float | None) -> str:
    """A share in percent, with as many digits as a month's outage of minutes needs; a dash for what nobody knows."""
    if value is None:
        return "–"  # noqa: RUF001 - an en dash is the sign for no value
    percent = value * 100
    if percent in (0, 100):
        return f"{percent:.0f} %"
    text = f"{percent:.2f}" if 0.005 <= percent <= 99.995 else f"{percent:.4f}"
    return f"{'99.9999' if text == '100.0000' else text} %"


def stamp(moment: datetime) -> str:
    """A moment for people who have no script: the day, the minute, and UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def iso(moment: datetime) -> str:
    """A moment for programs, in whole seconds."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def link(name: str) -> str:
    """The address of a model's page; ``name`` is full or short."""
    try:
        short = ModelName.parse(name).short
    except BadName:
        short = name
    return "/models/" + quote(short, safe="/:")


def short(name: str) -> str:
    """A model's name as people write it; any other text as it is, made printable."""
    try:
        return ModelName.parse(name).short
    except BadName:
        return printable(name)
