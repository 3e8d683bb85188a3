"""How fast a device rots, and how often it is to be scrubbed: Gamma-Poisson over damaged chunks and bytes read."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modelward.domain.forecast import LEAST, Confidence, Forecast, ForecastKind, ScrubSeen
from modelward.forecast.record import BASE_RATES, DAY, HIT_RATES, not_enough, span_words

FLOOR, CEILING, START = DAY, 28 * DAY, 7 * DAY  # periods of scrub, in seconds
WATCH = 30 * DAY  # after damage the period does not grow for so long
_BACK_OFF = 1.25  # a clean pass makes the next period longer by a quarter
_HALF_LIFE = 30 * DAY  # rot comes in bursts: what was long ago says less
# The prior: a device about which nothing is known. Its mean is one damaged chunk in 20 TB read, a weight of 2 TB.
_SHAPE, _GIGABYTES = 0.1, 2_000.0
_CHANCE = 0.5
_ACTION = "modelward verify"


@dataclass(frozen=True, slots=True)
class Rate:
    """Gamma distribution of damaged chunks per GB read: ``shape`` over ``gigabytes``."""

    shape: float = _SHAPE
    gigabytes: float = _GIGABYTES

    @property
    def mean(self) -> float:
        """Damaged chunks per GB read."""
        return self.shape / self.gigabytes

    def chance(self, gigabytes: float) -> float:
        """How likely at least one chunk is damaged in so many GB more (negative binomial)."""
        return -math.expm1(self.shape * math.log(self.gigabytes / (self.gigabytes + max(0.0, gigabytes))))

    def after(self, scrub: ScrubSeen, seconds: float) -> "Rate":
        """The rate after one more reading, ``seconds`` after the one before.

        What is 30 days old weighs half: rot comes in bursts. What is left of the prior comes back instead.
        """
        kept = math.pow(0.5, max(0.0, seconds) / _HALF_LIFE)
        shape = _SHAPE + kept * (self.shape - _SHAPE) + scrub.damaged
        return Rate(shape, _GIGABYTES + kept * (self.gigabytes - _GIGABYTES) + scrub.bytes / 1e9)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a device is scrubbed: ``period`` in seconds, and when damage was last found (Unix seconds).

    ``rate`` is what is known of the device as of ``at``.
    """

    period: float = START
    damaged_at: float | None = None
    rate: Rate = Rate()
    at: float | None = None

    def after(self, scrub: ScrubSeen, share: float = 1.0) -> "Pace":
        """The pace after so large a share of one more pass.

        The period follows the square root of the rate, which gives the shortest mean time to detection for the bytes
        read: twice the rot, 1.4 times the passes. Damage halves it at least, and for 30 days it does not grow; each
        clean pass makes it a quarter longer at most. It is never under a day, and never over 28.
        """
        rate = self.rate.after(scrub, 0.0 if self.at is None else scrub.at - self.at)
        wanted = START * math.sqrt(Rate().mean / rate.mean)
        damaged_at = scrub.at if scrub.damaged > 0 else self.damaged_at
        if scrub.damaged > 0:
            wanted = min(wanted, self.period / 2, START / 2)
        elif damaged_at is not None and scrub.at - damaged_at < WATCH:
            wanted = min(wanted, self.period)
        wanted = min(wanted, self.period * _BACK_OFF**share)
        return Pace(max(FLOOR, min(CEILING, wanted)), damaged_at, rate, scrub.at)


def pace(scrubs: Iterable[ScrubSeen], whole: float = 0.0) -> Pace:
    """The pace that these readings lead to, in order of time.

    ``whole`` is how many bytes a full pass reads; 0 where each reading was one.
    """
    now = Pace()
    for scrub in scrubs:
        now = now.after(scrub, min(1.0, scrub.bytes / whole) if whole > 0 else 1.0)
    return now


def rot(device: str, scrubs: Sequence[ScrubSeen], now: float, whole: float = 0.0) -> Forecast:
    """Whether the next 30 days are likely to show damage on ``device``, from its scrubs in order of time.

    ``whole`` is how many bytes a full pass reads; 0 where each scrub was one.
    """
    seen = [scrub for scrub in scrubs if scrub.at <= now and scrub.bytes > 0]
    if len(seen) < LEAST:
        return not_enough(ForecastKind.ROT, device, len(seen), _ACTION)
    steps = pace(seen, whole)
    rate = steps.rate
    daily = sum(scrub.bytes for scrub in seen[-LEAST:]) / 1e9 / max(1.0, (now - seen[-LEAST].at) / DAY)
    chance = rate.chance(30 * daily)
    damaged = sum(scrub.damaged for scrub in seen)
    read = sum(scrub.bytes for scrub in seen) / 1e12
    return Forecast(
        subject=device,
        kind=ForecastKind.ROT,
        what=f"{damaged:,} damaged chunk(s) in {read:.3g} TB read, {rate.mean * 1000:.2g} a TB of late; "
        f"more within 30 days: {chance:.0%}; scrub every {span_words(steps.period)}",
        confidence=_confidence(chance),
        base_rate=BASE_RATES[ForecastKind.ROT],
        hit_rate=HIT_RATES[ForecastKind.ROT],
        samples=len(seen),
        enough=True,
        alarm=chance >= _CHANCE,
        action=_ACTION,
    )


def _confidence(chance: float) -> Confidence:
    if chance < _CHANCE:
        return Confidence.STEADY
    return Confidence.LIKELY if chance >= 0.8 else Confidence.POSSIBLE
