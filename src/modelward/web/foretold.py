"""What is foretold, in words: alarms with what to do and what such alarms are worth, and how many others are quiet."""

from datetime import datetime
from typing import Final, NamedTuple

from modelward.domain.forecast import Forecast, ForecastReport
from modelward.web.words import count

_BAND: Final = "8 of 10 times between"


class Foretold(NamedTuple):
    """One alarm of a forecast."""

    kind: str
    subject: str
    sure: str
    what: str
    when: datetime | None
    band: str
    action: str
    worth: str


class Ahead(NamedTuple):
    """The alarms, and a sentence on all others."""

    alarms: tuple[Foretold, ...]
    rest: str


def view(report: ForecastReport) -> Ahead:
    """The forecasts of this host."""
    return Ahead(tuple(_alarm(forecast) for forecast in report.alarms), _rest(report))


def _alarm(forecast: Forecast) -> Foretold:
    return Foretold(
        kind=forecast.kind.value,
        subject=forecast.subject,
        sure=forecast.confidence.value,
        what=_plainly(forecast),
        when=forecast.when,
        band=_band(forecast),
        action=forecast.action,
        worth=_worth(forecast),
    )


def _plainly(forecast: Forecast) -> str:
    """The sentence without its band, which stands beside the date."""
    return "; ".join(part for part in forecast.what.split("; ") if not part.startswith(_BAND) or forecast.when is None)


def _band(forecast: Forecast) -> str:
    if forecast.low is None and forecast.high is None:
        return ""
    early = f"{forecast.low:%Y-%m-%d}" if forecast.low is not None else "now"
    late = f"{forecast.high:%Y-%m-%d}" if forecast.high is not None else "never"
    return f"{_BAND} {early} and {late}"


def _worth(forecast: Forecast) -> str:
    known = forecast.hit_rate is not None
    right = f"{forecast.hit_rate:.0%} of such alarms were right (generated histories); " if known else ""
    return f"{right}{forecast.base_rate.text} ({forecast.base_rate.source}); from {count(forecast.samples, 'sample')}"


def _rest(report: ForecastReport) -> str:
    quiet = sum(1 for forecast in report.forecasts if forecast.enough and not forecast.alarm)
    young = sum(1 for forecast in report.forecasts if not forecast.enough)
    if not report.forecasts:
        return "There is no history yet: forecasts begin when the guard has run for some days."
    words = [f"{count(quiet, 'forecast')} without an alarm"] if quiet or not young else []
    words += [f"{count(young, 'forecast')} with not enough data yet (30 samples are needed)"] if young else []
    begin = "" if report.alarms else "Nothing is foretold that needs you. "
    return f"{begin}{', '.join(words).capitalize()}."
