"""Forecasts as values: what is going to happen to what, when, how sure, how often such a forecast was right."""

from datetime import datetime
from enum import StrEnum

import msgspec

LEAST = 30  # samples; below that a forecast says that it has not enough data


class ForecastKind(StrEnum):
    """What is foretold."""

    DISK = "disk full"
    LATENCY = "latency rising"
    ERRORS = "errors rising"
    FAIL_SLOW = "device slowing"
    ROT = "rot"
    DRIVE = "drive risk"
    WINDOW = "window missed"


class Confidence(StrEnum):
    """How sure a forecast is, in words."""

    NOT_ENOUGH = "not enough data"
    STEADY = "nothing to be seen"
    POSSIBLE = "possible"
    LIKELY = "likely"


class BaseRate(msgspec.Struct, frozen=True, kw_only=True):
    """How often it happens anyway: a sentence, its number where it has one, and who published it."""

    text: str
    source: str
    number: float | None = None


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """One forecast for one subject (a path, a model, a device or a job).

    ``what`` is a sentence with units. ``when`` is the likeliest moment, ``low`` and ``high`` bound it in 8 of 10
    cases; None where no date can be told. ``alarm`` says whether somebody should act, and ``action`` is the cheap
    command to act with. ``hit_rate`` is the share of alarms of this kind that were right in the back-test.
    """

    subject: str
    kind: ForecastKind
    what: str
    confidence: Confidence
    base_rate: BaseRate
    samples: int
    enough: bool
    action: str
    alarm: bool = False
    when: datetime | None = None
    low: datetime | None = None
    high: datetime | None = None
    hit_rate: float | None = None


class ForecastReport(msgspec.Struct, frozen=True, kw_only=True):
    """All forecasts of this host at one moment, alarms first; ``notes`` say what could not be read."""

    at: datetime
    forecasts: tuple[Forecast, ...]
    notes: tuple[str, ...] = ()

    @property
    def alarms(self) -> tuple[Forecast, ...]:
        """Those on which somebody should act."""
        return tuple(forecast for forecast in self.forecasts if forecast.alarm)


class ScrubSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One finished reading of a device: when (Unix seconds), bytes, seconds, and damaged chunks found."""

    at: float
    bytes: int
    seconds: float
    damaged: int = 0


class DriveReading(msgspec.Struct, frozen=True, kw_only=True):
    """What a drive says of itself at one moment (Unix seconds); None for what it does not tell.

    ``attributes`` are raw values of ATA attributes by number; wear and spare are in percent.
    """

    at: float
    device: str
    passed: bool | None = None
    attributes: dict[int, int] = msgspec.field(default_factory=dict)
    wear: int | None = None
    spare: int | None = None
    spare_threshold: int | None = None
    media_errors: int | None = None


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """How one kind of forecast did in the back-test.

    ``precision`` is the share of alarms that were right, ``recall`` the share of events that were foretold or
    noticed, ``lead`` the median time from alarm to event in hours (negative: after it), both None without any.
    ``false_a_month`` counts false alarms a month and subject. ``error`` is the median error of the date in days, and
    ``coverage`` how often the truth lay in the 80 % band, for the kinds that tell a date.
    """

    kind: ForecastKind
    months: float
    events: int
    alarms: int
    precision: float | None
    recall: float | None
    lead: float | None
    false_a_month: float
    error: float | None = None
    coverage: float | None = None


class ScrubScore(msgspec.Struct, frozen=True, kw_only=True):
    """Adaptive scrub beside a fixed period that reads as many bytes, on one kind of rot.

    Times are means from damage to its detection, in hours; ``gain`` is the share of that time that is saved.
    ``period`` is the fixed period in days.
    """

    rot: str
    damages: int
    passes: float
    period: float
    fixed: float
    adaptive: float
    gain: float


class BacktestReport(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the back-test: generated histories whose truth is known.

    ``trees`` are the scores of half-space trees on the same histories, of the kinds that they know, where wished.
    """

    seed: int
    months: int
    scores: tuple[Score, ...]
    scrubs: tuple[ScrubScore, ...]
    trees: tuple[Score, ...] = ()
