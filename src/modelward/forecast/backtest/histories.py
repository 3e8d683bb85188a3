"""Histories with known truth: steps, slow decay, the weekly rhythm, bursts of rot; drawn from a seeded generator."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Generic, TypeVar

from modelward.domain.forecast import DriveReading, ScrubSeen
from modelward.forecast.record import DAY, HOUR
from modelward.forecast.smooth import Point

S = TypeVar("S")
START = 1_704_067_200.0  # Monday, 1 January 2024, 00:00 UTC, in Unix seconds
MONTH = 30 * DAY
AFTERMATH = 1  # months that follow those that are judged: what is foretold at the end has to come true there


@dataclass(frozen=True, slots=True)
class Event:
    """Trouble: it can be seen from ``onset`` on, does harm at ``impact``, and is over at ``end`` (Unix seconds)."""

    onset: float
    impact: float
    end: float


@dataclass(frozen=True, slots=True)
class History(Generic[S]):
    """Samples in order of time, and what truly happened; ``limit`` is what must not be reached, where there is one."""

    subject: str
    samples: Sequence[S]
    events: Sequence[Event]
    limit: float = 0.0


def rhythm(at: float, daily: float, weekly: float) -> float:
    """A factor around 1: busy at noon by ``daily``, quiet at weekends by ``weekly``."""
    day = int(at // DAY + 3) % 7  # 1 January 1970 was a Thursday
    return 1 + daily * math.sin(2 * math.pi * (at % DAY) / DAY - math.pi / 2) - (weekly if day >= 5 else 0.0)


# Disk space: bytes in use, every hour.


@dataclass(slots=True)
class _Disk:
    """A disk that is used: smooth growth a day, pulls, removals, and from time to time something that runs away.

    One pull in ten comes over a slow link and takes hours. ``tidy`` is the share from which on its owner removes
    something within some days; 0 for one who never does.
    """

    rng: Random
    total: float
    growth: float
    pull_every: float
    pull_size: float
    tidy: float = 0.0
    runaway: float = 0.0
    used: float = 0.0
    rate: float = 0.0
    coming: float = 0.0
    link: float = math.inf

    def hour(self, at: float) -> bool:
        """One hour more; whether the disk got full."""
        rng = self.rng
        self.used += self.growth / 24 * max(0.0, rhythm(at, 0.5, 0.5)) + abs(rng.gauss(0, self.growth / 100))
        if rng.random() < HOUR / self.pull_every:
            self.coming += min(self.pull_size * rng.lognormvariate(0, 0.7), 0.2 * self.total)
            self.link = self.coming / rng.uniform(4, 20) if rng.random() < 0.1 else math.inf
        come = min(self.coming, self.link)
        self.used, self.coming = self.used + come, self.coming - come
        if self.tidy and self.used > self.tidy * self.total and at % DAY < HOUR and rng.random() < 0.3:
            self.used -= rng.uniform(0.1, 0.25) * self.total
        if self.runaway and self.rate == 0.0 and rng.random() < HOUR / self.runaway:
            self.rate = (self.total - self.used) / rng.uniform(18, 60)
        self.used += self.rate * rng.uniform(0.8, 1.2)
        return self.used >= self.total

    def clean(self) -> None:
        """What its owner does about a full disk."""
        self.used, self.rate, self.coming = self.rng.uniform(0.4, 0.6) * self.total, 0.0, 0.0


def space_history(rng: Random, months: int, kind: str) -> History[Point]:
    """A disk of 1 TB that fills (``growing``), is kept tidy (``tidy``), or is filled within days (``runaway``)."""
    total = 1e12
    disk = _Disk(
        rng=rng,
        total=total,
        growth=rng.uniform(2e9, 12e9) if kind == "growing" else rng.uniform(0, 3e9),
        pull_every=rng.uniform(3, 20) * DAY,
        pull_size=rng.choice((2e9, 5e9, 20e9)),
        tidy=0.85 if kind == "tidy" else 0.0,
        runaway=45 * DAY if kind == "runaway" else 0.0,
        used=rng.uniform(0.3, 0.6) * total,
    )
    points: list[Point] = []
    events: list[Event] = []
    for hour in range(int((months + AFTERMATH) * MONTH / HOUR)):
        at = START + hour * HOUR
        full = disk.hour(at)
        points.append((at, total if full else disk.used))
        if full:
            events.append(Event(at - 28 * DAY, at, at))
            disk.clean()
    return History(f"disk, {kind}", points, events, total)


# Probes: seconds of an answer, every 20 minutes; failures, every 10 minutes.


def _troubles(rng: Random, months: int, calm: tuple[float, float]) -> Iterator[tuple[float, float, float, bool]]:
    """Begin, time to the full effect, end, and whether it comes slowly; a calm time lies between two."""
    at = START + rng.uniform(20, 35) * DAY
    while at < START + months * MONTH - 10 * DAY:
        slow = rng.random() < 0.5
        ramp = rng.uniform(4, 20) * DAY if slow else 0.0
        end = at + ramp + rng.uniform(2, 8) * DAY
        yield at, ramp, end, slow
        at = end + rng.uniform(*calm) * DAY


def _effect(at: float, begin: float, ramp: float, end: float) -> float:
    """How much of a trouble there is, from 0 to 1."""
    if not begin <= at < end:
        return 0.0
    return min(1.0, (at - begin) / ramp) if ramp else 1.0


def latency_history(rng: Random, months: int) -> History[Point]:
    """A model that answers with a daily rhythm, cold starts and small lasting changes; now and then it gets slow.

    Harm is done from 1.5 times the usual time on. A change of a tenth, as a new version of the server brings, is none.
    """
    base = rng.uniform(0.3, 5)
    troubles = [(*trouble, rng.uniform(1.6, 3.0)) for trouble in _troubles(rng, months, (20, 40))]
    events = [
        Event(begin, begin + ramp * 0.5 / (times - 1) if slow else begin, end)
        for begin, ramp, end, slow, times in troubles
    ]
    points: list[Point] = []
    for number in range(int(months * MONTH / (HOUR / 3))):
        at = START + number * HOUR / 3
        if rng.random() < 1 / (72 * 40):  # a new version, about every 40 days
            base *= rng.uniform(0.9, 1.12)
        factor = 1 + sum(_effect(at, *one[:3]) * (one[4] - 1) for one in troubles)
        cold = rng.uniform(3, 8) if rng.random() < 0.02 else 1.0
        points.append((at, base * factor * cold * rhythm(at, 0.15, 0.1) * rng.lognormvariate(0, 0.2)))
    return History("model", points, events)


def error_history(rng: Random, months: int) -> History[tuple[float, bool]]:
    """A model of which 3 probes in 1,000 fail; now and then it is many more. Harm is done from one in ten on."""
    base = 0.003
    troubles: list[tuple[float, float, float, bool, float]] = []
    for begin, ramp, end, slow in _troubles(rng, months, (15, 40)):
        stop = end if slow else begin + rng.uniform(0.25, 3) * DAY
        troubles.append((begin, ramp, stop, slow, rng.uniform(0.12, 0.6)))
    events = [
        Event(begin, begin + ramp * min(1.0, 0.1 / share) if slow else begin, end)
        for begin, ramp, end, slow, share in troubles
    ]
    samples: list[tuple[float, bool]] = []
    for number in range(int(months * MONTH / 600)):
        at = START + number * 600
        share = base + sum(_effect(at, *one[:3]) * one[4] for one in troubles)
        samples.append((at, rng.random() < share))
    return History("model", samples, events)


# Devices: their scrubs, one a day.


def speed_history(rng: Random, months: int, *, failing: bool) -> History[ScrubSeen]:
    """A device's scrubs: noise, busy weekdays, and one in 20 at half the speed because the server was busy.

    A failing one loses a third to four fifths of its speed, at once or over weeks; harm is done at a loss of 30 %.
    """
    speed, noise = rng.uniform(80e6, 2e9), rng.uniform(0.03, 0.12)
    begin = START + rng.uniform(0.35, 0.6) * months * MONTH
    ramp = rng.choice((0.0, rng.uniform(10, 60) * DAY))
    loss = rng.uniform(0.35, 0.8) if failing else 0.0
    end = START + months * MONTH
    samples: list[ScrubSeen] = []
    for day in range(int(months * MONTH / DAY)):
        at = START + day * DAY + rng.uniform(0, HOUR)
        size = rng.uniform(20e9, 80e9)
        busy = rng.uniform(0.4, 0.7) if rng.random() < 0.05 else 1.0
        now = speed * (1 - loss * _effect(at, begin, ramp, end)) * busy * rhythm(START + day * DAY, 0.0, -0.08)
        seconds = 2.0 + size / (now * rng.lognormvariate(0, noise))
        samples.append(ScrubSeen(at=at, bytes=int(size), seconds=seconds))
    harm = begin + ramp * min(1.0, 0.3 / loss) if failing else 0.0
    return History("device", samples, [Event(begin, harm, end)] if failing else [])


@dataclass(frozen=True, slots=True)
class Rot:
    """A kind of rot, by its means: healthy for ``healthy`` seconds, then sick for ``sick`` seconds, and so on.

    While it is sick, a device has a burst every ``gap`` seconds, of ``burst`` damaged chunks within a day. Field
    studies found errors to come so: in bursts, and again on the same device (Bairavasundaram and others, SIGMETRICS
    2007 and FAST 2008). How long a sickness lasts is an assumption.
    """

    name: str
    healthy: float
    sick: float
    gap: float
    burst: float


def damages(rng: Random, rot: Rot, months: int) -> list[tuple[float, float, float]]:
    """Moments at which chunks go bad on one device, each with begin and end of the sickness that it belongs to."""
    found: list[tuple[float, float, float]] = []
    at, last = START + rng.expovariate(1 / rot.healthy), START + months * MONTH
    while at < last:
        end = at + rng.expovariate(1 / rot.sick)
        burst = at
        while burst < min(end, last):
            size = 1 + int(rng.expovariate(1 / rot.burst))
            found += [(burst + rng.uniform(0, DAY), at, end) for _ in range(size)]
            burst += rng.expovariate(1 / rot.gap)
        at = end + rng.expovariate(1 / rot.healthy)
    return sorted(damage for damage in found if damage[0] < last)


def rot_history(rng: Random, months: int, rot: Rot) -> History[ScrubSeen]:
    """A device of 500 GB that is read in slices, one pass a week; slices show the damage that lies in them.

    An event is a sickness of which more than one slice showed something: foretold when the alarm comes before the
    second. Single chunks that go bad on healthy devices, once in two years, are no event.
    """
    waiting = [*damages(rng, rot, months)]
    at = START + rng.expovariate(1 / (730 * DAY))
    while at < START + months * MONTH:
        waiting.append((at, at, at))
        at += rng.expovariate(1 / (730 * DAY))
    found_on = {number: _read_at(rng, moment) for number, (moment, _, _) in enumerate(waiting)}
    samples: list[ScrubSeen] = []
    for day in range(int(months * MONTH / DAY)):
        damaged = sum(1 for on in found_on.values() if on == day)
        samples.append(ScrubSeen(at=START + day * DAY, bytes=int(500e9 / 7), seconds=400, damaged=damaged))
    shown: dict[float, set[int]] = {}
    for number, (_, begin, end) in enumerate(waiting):
        if end > begin:
            shown.setdefault(begin, set()).add(found_on[number])
    events = [_sickness(sorted(days)) for days in shown.values() if len(days) > 1]
    return History("device", samples, events)


def _read_at(rng: Random, moment: float) -> int:
    """The day on which a weekly pass, cut into seven slices, comes to the place of the damage."""
    return int((moment - START) // DAY) + 1 + rng.randrange(7)


def _sickness(days: Sequence[int]) -> Event:
    return Event(START + days[0] * DAY, START + days[1] * DAY, START + days[-1] * DAY)


def drive_history(rng: Random, months: int) -> History[DriveReading]:
    """One hard disk, read once a week, as often ill as Backblaze published in 2016.

    1.5 % fail in a year, 76.7 % of them show a counter above zero before, and 4.2 % of the others do too. How long
    before (20 days in the mean) and how large the counters are is an assumption.
    """
    fails = START + rng.expovariate(0.015 / (365 * DAY))
    last = START + months * MONTH
    failing = fails < last
    shows = rng.random() < (0.767 if failing else 0.042)
    begin = fails - rng.expovariate(1 / (20 * DAY)) if failing else START + rng.uniform(-1, 1) * (last - START)
    number = rng.choice((5, 5, 187, 188, 197, 198))
    size = rng.expovariate(1 / (60 if failing else 8))
    value = 1 + int(size * (5 if number == 5 else 20 if number == 188 else 1))
    samples: list[DriveReading] = []
    for week in range(int(months * MONTH / (7 * DAY))):
        at = START + week * 7 * DAY
        if failing and at > fails:
            break
        samples.append(DriveReading(at=at, device="disk", attributes={number: value if shows and at >= begin else 0}))
    return History("disk", samples, [Event(fails - 60 * DAY, fails, fails)] if failing else [])


# Jobs: start and seconds, one a day.


def duration_history(rng: Random, months: int) -> History[Point]:
    """A nightly job whose work grows: slowly, by steps (a new model) and with the week; its window is 4 hours.

    When it misses its window, its owner takes work away, and it grows again. One night in 20 is slow for no reason.
    """
    window, noise = 4 * HOUR, rng.uniform(0.02, 0.08)
    work, growth = rng.uniform(0.3, 0.6) * window, rng.choice((0.0, rng.uniform(0.002, 0.01)))
    points: list[Point] = []
    events: list[Event] = []
    for day in range(int((months + AFTERMATH) * MONTH / DAY)):
        at = START + day * DAY
        work *= 1 + growth
        if rng.random() < 1 / 45:
            work = max(0.1 * window, work + rng.uniform(-0.06, 0.08) * window)
        points.append((at, work * rhythm(at, 0.0, 0.05) * rng.lognormvariate(0, noise)))
        if rng.random() < 0.05:
            points[-1] = (at, points[-1][1] * rng.uniform(1.1, 1.4))
        if work > window:
            events.append(Event(at - 28 * DAY, at, at))
            work = rng.uniform(0.4, 0.6) * window
    return History("job", points, events, window)
