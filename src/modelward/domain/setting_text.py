"""The texts of settings, read: what a person wrote becomes a value, or BadSetting says what to write instead."""

from datetime import timedelta
from typing import Final

from modelward.domain.errors import BadSetting
from modelward.domain.name import ModelName
from modelward.domain.timetable import Timetable
from modelward.domain.units import LONGEST, parse_duration

POLICIES: Final = ("restore", "alert", "ignore")
PROBES: Final = ("one", "loaded", "all", "off")
TREES: Final = ("off", "auto", "on")


def text(given: str) -> str:
    """The text without blanks and quotes around it."""
    return given.strip().strip("\"'").strip()


def whole(given: str, most: int = 1_000_000) -> int:
    """A whole number from 0 to ``most``."""
    digits = given.strip()
    if not (digits.isdecimal() and len(digits) < 10 and int(digits) <= most):
        raise BadSetting(f"not a whole number from 0 to {most:,}", next_step="write for example 5")
    return int(digits)


def days(given: str) -> int:
    """A number of days that dates can bear."""
    return whole(given, most=LONGEST.days)


def percent(given: str) -> float:
    """A share above 0 and up to 100."""
    try:
        number = float(given.strip().removesuffix("%"))
    except ValueError:
        number = -1.0
    if not 0 < number <= 100:
        raise BadSetting("not a percentage above 0 up to 100", next_step="write for example 5")
    return number


def yes(given: str) -> bool:
    """Yes or no, in the usual words."""
    word = given.strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("", "0", "false", "no", "off"):
        return False
    raise BadSetting("not yes or no", next_step="write true or false")


def names(given: str) -> tuple[ModelName, ...]:
    """Model names, by comma."""
    return tuple(ModelName.parse(part) for part in listed(given))


def listed(given: str) -> tuple[str, ...]:
    """Texts, by comma."""
    return tuple(part.strip() for part in given.split(",") if part.strip())


def hours(given: str) -> str:
    """Two times of day, checked; the parsed form lives in domain.timetable."""
    return str(Timetable.parse(given)) if given.strip() else ""


def within(given: str) -> timedelta | None:
    """A duration, or none."""
    return parse_duration(given) if given.strip() else None


def period(given: str) -> timedelta:
    """A duration of a second or more: what is done every so often may not be done all the time."""
    found = parse_duration(given)
    if found < timedelta(seconds=1):
        raise BadSetting("shorter than a second", next_step="write for example 30s, 10m or 7d")
    return found


def minutes(given: str) -> timedelta:
    """A duration of a second or more; a bare number is minutes."""
    word = given.strip()
    return period(f"{word}m" if word.isdecimal() else word)


def level(given: str) -> str:
    """A log level."""
    return one_of(given, ("debug", "info", "warning", "error"), "a log level")


def policy(given: str) -> str:
    """What to do when a model is lost (G3)."""
    return one_of(given, POLICIES, "a policy")


def probe(given: str) -> str:
    """Which models are probed."""
    return one_of(given, PROBES, "a choice of models")


def trees(given: str) -> str:
    """Whether a detector that learns decides."""
    return one_of(given, TREES, "a choice")


def policies(given: str) -> tuple[tuple[ModelName, str], ...]:
    """Models with a policy of their own: ``name=alert``, by comma."""
    pairs = (part.rpartition("=") for part in listed(given))
    return tuple((ModelName.parse(name or word), policy(word)) for name, _, word in pairs)


def one_of(given: str, words: tuple[str, ...], what: str) -> str:
    """One of these words."""
    word = given.strip().lower()
    if word not in words:
        raise BadSetting(f"not {what}", next_step=f"write {', '.join(words[:-1])} or {words[-1]}")
    return word
