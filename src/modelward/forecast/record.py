"""What each kind of forecast is worth: how often the thing happens anyway, and how often its alarms were right."""

from datetime import UTC, datetime

from modelward.domain.forecast import LEAST, BaseRate, Confidence, Forecast, ForecastKind

DAY = 86_400.0
HOUR = 3_600.0
_LAST = datetime(9000, 1, 1, tzinfo=UTC).timestamp()

BASE_RATES = {
    ForecastKind.DISK: BaseRate(
        text="no rate is published; 5 threads ask Ollama to look for space before it pulls",
        source="ollama/ollama issues 1731, 6727, 9152, 11045, 15547",
    ),
    ForecastKind.LATENCY: BaseRate(text="no rate is published", source="none found"),
    ForecastKind.ERRORS: BaseRate(text="no rate is published", source="none found"),
    ForecastKind.FAIL_SLOW: BaseRate(
        text="304 of 248,000 drives were fail-slow within 10 months",
        number=304 / 248_000,
        source="Lu and others, Perseus, FAST 2023",
    ),
    ForecastKind.ROT: BaseRate(
        text="0.66 % of nearline disks, and 0.06 % of enterprise disks, had a checksum mismatch in 17 months",
        number=0.0066,
        source="Bairavasundaram and others, FAST 2008",
    ),
    ForecastKind.DRIVE: BaseRate(
        text="76.7 % of failed drives, and 4.2 % of healthy ones, show one of these counters above zero",
        number=0.042,
        source="Backblaze, 67,814 hard disks, October 2016",
    ),
    ForecastKind.WINDOW: BaseRate(text="no rate is published", source="none found"),
}

# The share of each kind's alarms that were right in the back-test: seeds 1 to 4, twelve months each, 1,655 alarms in
# all. Generated histories are kinder than real ones; the drives' number alone rests on published rates.
HIT_RATES: dict[ForecastKind, float] = {
    ForecastKind.DISK: 0.99,
    ForecastKind.LATENCY: 0.99,
    ForecastKind.ERRORS: 0.99,
    ForecastKind.FAIL_SLOW: 0.82,
    ForecastKind.ROT: 0.98,
    ForecastKind.DRIVE: 0.22,
    ForecastKind.WINDOW: 0.95,
}


def not_enough(kind: ForecastKind, subject: str, samples: int, action: str) -> Forecast:
    """The forecast of too few samples."""
    return Forecast(
        subject=subject,
        kind=kind,
        what=f"{samples} of the {LEAST} samples that a forecast needs",
        confidence=Confidence.NOT_ENOUGH,
        base_rate=BASE_RATES[kind],
        samples=samples,
        enough=False,
        action=action,
    )


def moment(seconds: float | None) -> datetime | None:
    """Unix seconds as a date; None for None, and for what no calendar reaches."""
    if seconds is None or not 0 <= seconds < _LAST:
        return None
    return datetime.fromtimestamp(seconds, UTC)


def span_words(seconds: float) -> str:
    """A length of time in one number and unit: ``9 days``, ``5 hours``."""
    if seconds >= 2 * DAY:
        return f"{seconds / DAY:,.0f} days"
    if seconds >= 2 * HOUR:
        return f"{seconds / HOUR:.0f} hours"
    return f"{max(0.0, seconds) / 60:.0f} minutes"
