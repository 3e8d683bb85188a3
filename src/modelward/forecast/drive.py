"""What a drive says of itself (SMART), read by published tables of failures; it asks to verify and copy, no more."""

from collections.abc import Mapping, Sequence

from modelward.domain.forecast import LEAST, Confidence, DriveReading, Forecast, ForecastKind
from modelward.forecast.record import BASE_RATES, DAY, HIT_RATES, moment, not_enough
from modelward.forecast.slope import theil_sen

# Failures a year by the raw value of an attribute: (up to this value, yearly rate). The rates are those that the
# monitor scrutiny derived from Backblaze's drives (ata_attribute_metadata.go); one above 1 means less than a year.
TABLES: Mapping[int, tuple[str, tuple[tuple[float, float], ...]]] = {
    5: (
        "reallocated sectors",
        ((0, 0.025), (4, 0.027), (16, 0.075), (70, 0.236), (260, 0.362), (1100, 0.568), (float("inf"), 1.5)),
    ),
    187: (
        "uncorrectable errors",
        ((0, 0.028), (1, 0.339), (3, 0.241), (6, 0.501), (11, 0.380), (20, 0.535), (35, 0.843), (float("inf"), 1.44)),
    ),
    188: ("command timeouts", ((100, 0.025), (13_000_000_000, 0.100), (float("inf"), 0.334))),
    197: (
        "pending sectors",
        ((0, 0.026), (2, 0.342), (6, 0.682), (16, 0.611), (40, 0.956), (100, 1.65), (float("inf"), 2.5)),
    ),
    198: ("offline uncorrectable sectors", ((0, 0.029), (2, 0.814), (4, 1.12), (float("inf"), 0.58))),
}
_ALARM = 0.2  # failures a year
_WORN, _SPARE = 100, 10  # percent: the maker's estimate is used up; the usual threshold of spare blocks
_ACTION = "modelward backup && modelward verify"


def read_smart(device: str, document: Mapping[str, object], at: float) -> DriveReading | None:
    """What a document of ``smartctl --json --all`` says; None where it says nothing of the drive's health.

    Only what is of the right type is read, so that a document from anywhere does no harm.
    """
    status = _map(document.get("smart_status")).get("passed")
    table = _map(document.get("ata_smart_attributes")).get("table")
    found: dict[int, int] = {}
    for row in table if isinstance(table, list) else ():
        number, raw = _map(row).get("id"), _whole(_map(_map(row).get("raw")).get("value"))
        if isinstance(number, int) and number in TABLES and raw is not None:
            found[number] = _timeouts(raw) if number == 188 else raw
    log = _map(document.get("nvme_smart_health_information_log"))
    reading = DriveReading(
        at=at,
        device=device,
        passed=status if isinstance(status, bool) else None,
        attributes=found,
        wear=_whole(log.get("percentage_used")),
        spare=_whole(log.get("available_spare")),
        spare_threshold=_whole(log.get("available_spare_threshold")),
        media_errors=_whole(log.get("media_errors")),
    )
    empty = DriveReading(at=at, device=device)
    return reading if reading != empty else None


def _map(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 64 else None


def _timeouts(raw: int) -> int:
    """Seagate packs three 16-bit counters into the raw value of attribute 188; the lowest counts all timeouts."""
    parts = (raw >> 32 & 0xFFFF, raw >> 16 & 0xFFFF, raw & 0xFFFF)
    return parts[2] if raw > 0xFFFF and raw >> 48 == 0 and parts[0] <= parts[1] <= parts[2] else raw


def yearly_rate(reading: DriveReading) -> tuple[float, str]:
    """The highest yearly rate of failures that any attribute stands for, and its words; attributes go together."""
    rates = ((_rate(number, value), f"{value:,} {TABLES[number][0]}") for number, value in reading.attributes.items())
    return max(rates, default=(0.0, ""))


def _rate(number: int, value: int) -> float:
    return next(rate for bound, rate in TABLES[number][1] if value <= bound)


def signs(reading: DriveReading) -> tuple[str, ...]:
    """What else speaks against the drive, in words: its own verdict, and what an NVMe drive counts."""
    said: list[str] = []
    if reading.passed is False:
        said.append("the drive itself says that it is failing")
    if reading.media_errors:
        said.append(f"{reading.media_errors:,} media errors")
    if reading.spare is not None and reading.spare <= (reading.spare_threshold or _SPARE):
        said.append(f"{reading.spare} % of spare blocks left")
    if reading.wear is not None and reading.wear >= _WORN:
        said.append(f"{reading.wear} % of the maker's endurance used")
    return tuple(said)


def drive_risk(readings: Sequence[DriveReading], now: float) -> Forecast:
    """What the newest of one drive's readings says, in order of time; raises ValueError without any.

    The published tables stand on more than 60,000 drives, so that one reading is enough; a date of wear-out needs 30.
    """
    if not readings:
        raise ValueError("no readings")
    last = readings[-1]
    rate, words = yearly_rate(last)
    against = signs(last)
    if not last.attributes and last.wear is None and last.passed is None and not against:
        return not_enough(ForecastKind.DRIVE, last.device, 0, _ACTION)
    alarm = rate >= _ALARM or bool(against)
    low, middle, high = _worn_out(readings, now)
    return Forecast(
        subject=last.device,
        kind=ForecastKind.DRIVE,
        what=_words(rate, words, against, last),
        when=moment(middle),
        low=moment(low),
        high=moment(high),
        confidence=_confidence(last, rate, alarm=alarm),
        base_rate=BASE_RATES[ForecastKind.DRIVE],
        hit_rate=HIT_RATES[ForecastKind.DRIVE],
        samples=len(readings),
        enough=True,
        alarm=alarm,
        action=_ACTION,
    )


def _worn_out(readings: Sequence[DriveReading], now: float) -> tuple[float | None, float | None, float | None]:
    """When the maker's endurance is used up: earliest, likeliest, latest."""
    points = [(reading.at, float(reading.wear)) for reading in readings if reading.wear is not None]
    slope = theil_sen(points) if len(points) >= LEAST and points[-1][0] - points[0][0] >= 7 * DAY else None
    if slope is None or slope.middle <= 0:
        return None, None, None
    left = max(0.0, _WORN - points[-1][1])
    return now + left / slope.high, now + left / slope.middle, now + left / slope.low if slope.low > 0 else None


def _words(rate: float, words: str, against: Sequence[str], last: DriveReading) -> str:
    said = list(against)
    if words:
        said.append(f"{words}: of drives like this {min(rate, 1):.0%} fail in a year")
    if last.wear is not None and not against:
        said.append(f"{last.wear} % of the maker's endurance used")
    return "; ".join(said) or "the drive says that it is well"


def _confidence(last: DriveReading, rate: float, *, alarm: bool) -> Confidence:
    if last.passed is False or rate >= 1:
        return Confidence.LIKELY
    return Confidence.POSSIBLE if alarm else Confidence.STEADY
