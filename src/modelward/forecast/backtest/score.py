"""How alarms are counted against what truly happened: precision, recall, lead time, false alarms a month."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from modelward.domain.forecast import Forecast, ForecastKind, Score
from modelward.forecast.backtest.histories import MONTH, Event
from modelward.forecast.record import DAY, HOUR

_FAR = 14 * DAY  # dates that lie further ahead are not judged


@dataclass(frozen=True, slots=True)
class Said:
    """What a forecast said at a moment: alarm or not, and the date with its band (Unix seconds)."""

    at: float
    alarm: bool
    when: float | None = None
    low: float | None = None
    high: float | None = None


def said(at: float, forecast: Forecast) -> Said:
    """The part of a forecast that is judged."""
    dates = (d.timestamp() if d is not None else None for d in (forecast.when, forecast.low, forecast.high))
    return Said(at, forecast.alarm, *dates)


@dataclass(slots=True)
class Tally:
    """The counts of many histories of one kind; ``grace`` is how long after the end an alarm may still go on.

    Alarms less than ``quiet`` seconds apart are one: nobody is told twice.
    """

    kind: ForecastKind
    grace: float = DAY
    quiet: float = DAY
    months: float = 0.0
    events: int = 0
    alarms: int = 0
    right: int = 0
    found: int = 0
    leads: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    covered: int = 0

    def add(self, judged: Sequence[Said], events: Sequence[Event]) -> None:
        """Count one history."""
        if not judged:
            return
        episodes = list(self._episodes(judged))
        seen = [event for event in events if judged[0].at <= event.impact <= judged[-1].at]
        self.months += (judged[-1].at - judged[0].at) / MONTH
        self.events += len(seen)
        self.alarms += len(episodes)
        self.right += sum(any(self._fits(episode, event) for event in events) for episode in episodes)
        for event in seen:
            self._event(event, episodes)
        for one in judged:
            self._date(one, events)

    def _episodes(self, judged: Iterable[Said]) -> Iterable[tuple[float, float]]:
        """First and last moment of each alarm."""
        first = last = None
        for one in judged:
            if not one.alarm:
                continue
            if first is not None and last is not None and one.at - last > self.quiet:
                yield first, last
                first = None
            first, last = (one.at if first is None else first), one.at
        if first is not None and last is not None:
            yield first, last

    def _fits(self, episode: tuple[float, float], event: Event) -> bool:
        return episode[0] <= event.end + self.grace and episode[1] >= event.onset

    def _event(self, event: Event, episodes: Iterable[tuple[float, float]]) -> None:
        fitting = [episode for episode in episodes if self._fits(episode, event) and episode[0] <= event.end]
        if fitting:
            self.found += 1
            self.leads.append(event.impact - max(event.onset, fitting[0][0]))

    def _date(self, one: Said, events: Iterable[Event]) -> None:
        """How far the date of an alarm was off, where something did happen later."""
        truth = next((event.impact for event in events if event.impact > one.at), None)
        if not one.alarm or one.when is None or truth is None or one.when - one.at > _FAR:
            return
        self.errors.append(abs(one.when - truth))
        self.covered += (one.low or 0.0) <= truth <= (one.high if one.high is not None else truth)

    def score(self) -> Score:
        """The numbers."""
        return Score(
            kind=self.kind,
            months=round(self.months, 1),
            events=self.events,
            alarms=self.alarms,
            precision=_share(self.right, self.alarms),
            recall=_share(self.found, self.events),
            lead=round(median(self.leads) / HOUR, 1) if self.leads else None,
            false_a_month=round((self.alarms - self.right) / self.months, 4) if self.months else 0.0,
            error=round(median(self.errors) / DAY, 2) if self.errors else None,
            coverage=_share(self.covered, len(self.errors)),
        )


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 3) if whole else None
