"""Forecasts and their back-test as tables, or as JSON."""

from collections.abc import Sequence

import typer

from modelward.cli.pieces import BAD, DIM, GOOD, dim, line, table
from modelward.cli.render import document
from modelward.domain.forecast import BacktestReport, Forecast, ForecastReport, Score, ScrubScore

_HEAD = ("FORECAST", "MONTHS", "EVENTS", "ALARMS", "PRECISION", "RECALL", "LEAD", "FALSE/MONTH", "DATE OFF", "BAND")


def show_forecasts(report: ForecastReport, *, json: bool) -> None:
    """Print each forecast with its base rate, its past hit rate and what to do."""
    if json:
        typer.echo(document("forecast", report))
        return
    for forecast in report.forecasts:
        _forecast(forecast)
    if not report.forecasts:
        line("there is no history yet: forecasts begin when the guard has run for some days (modelward guard)")
    elif not report.alarms:
        line("nothing is foretold that needs you", GOOD)
    for note in report.notes:
        dim(f"note: {note}")


def _forecast(forecast: Forecast) -> None:
    line(f"{forecast.kind.value}: {forecast.subject} ({forecast.confidence.value})", BAD if forecast.alarm else None)
    line(f"  {forecast.what}")
    if forecast.when is not None:
        early = f"{forecast.low:%Y-%m-%d}" if forecast.low is not None else "now"
        late = f"{forecast.high:%Y-%m-%d}" if forecast.high is not None else "never"
        line(f"  expected {forecast.when:%Y-%m-%d %H:%M} UTC; 8 of 10 times between {early} and {late}")
    if not forecast.enough:
        return
    number = f"{forecast.hit_rate:.0%} of such alarms" if forecast.hit_rate is not None else "no number yet"
    line(f"  right so far: {number} (generated histories); samples: {forecast.samples:,}", DIM)
    line(f"  base rate: {forecast.base_rate.text} ({forecast.base_rate.source})", DIM)
    if forecast.alarm:
        line(f"  next: {forecast.action}")


def show_backtest(report: BacktestReport, *, json: bool) -> None:
    """Print how each kind of forecast did, then the two ways to scrub."""
    if json:
        typer.echo(document("backtest", report))
        return
    dim(f"seed {report.seed}, histories of {report.months} months, generated: what truly happened is known")
    beside = {score.kind: score for score in report.trees}
    rows = [_row(score) for score in report.scores]
    for place, score in reversed(tuple(enumerate(report.scores, start=1))):
        if score.kind in beside:
            kind, *numbers = _row(beside[score.kind])
            rows.insert(place, (f"  {kind}: trees", *numbers))
    table(_HEAD, rows)
    dim("MONTHS: of all subjects together; LEAD: the median, negative after the event; BAND: dates in the 80 % band")
    table(
        ("SCRUB OF ROT", "DAMAGES", "PASSES A MONTH", "FIXED PERIOD", "SEEN AFTER", "ADAPTIVE", "GAIN"),
        [_scrub(score) for score in report.scrubs],
    )
    dim("both ways read as many bytes; the times are means from damage to its detection; a negative gain is a loss")


def _row(score: Score) -> Sequence[str]:
    return (
        score.kind.value,
        f"{score.months:,.0f}",
        f"{score.events:,}",
        f"{score.alarms:,}",
        _percent(score.precision),
        _percent(score.recall),
        "" if score.lead is None else f"{score.lead:,.0f} h",
        f"{score.false_a_month:.3f}",
        "" if score.error is None else f"{score.error:.1f} days",
        _percent(score.coverage),
    )


def _scrub(score: ScrubScore) -> Sequence[str]:
    return (
        score.rot,
        f"{score.damages:,}",
        f"{score.passes:.1f}",
        f"{score.period:.1f} days",
        f"{score.fixed:.0f} h",
        f"{score.adaptive:.0f} h",
        f"{score.gain:+.0%}",
    )


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"
