"""A year of a host with ten models, as its guard would have kept it."""

import math
import random
from collections.abc import Iterator
from datetime import datetime, timedelta

from modelward.domain.alert import Flip, Kind
from modelward.domain.history import (
    ActionRow,
    CheckRow,
    DrillRow,
    FindingRow,
    JobRow,
    ProbeRow,
    Row,
    ScrubRow,
    ServerRow,
    SpaceRow,
)
from modelward.ports import Journal

MODELS = tuple(f"registry.ollama.ai/library/model-with-a-long-name-{number}:8b-instruct-q4_K_M" for number in range(10))
_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def keep_a_year(journal: Journal, now: datetime, *, every_minute: bool = False) -> None:
    """Checks each minute, probes each ten minutes, a scrub slice an hour, a drill a week and an outage a month.

    Samples that have been dropped by ``now`` come once for each point that is left of them, unless ``every_minute``.
    """
    dice = random.Random(1)
    begin = now - timedelta(days=365)
    for day in range(365):
        at = begin + day * _DAY
        step = _MINUTE if every_minute or day >= 365 - 16 else _HOUR if day >= 365 - 92 else _DAY
        journal.add(list(_samples(at, step, dice)))
        journal.add(list(_events(at, day, dice)))
        if day % 30 == 0:
            journal.flip(
                [Flip(at + shift, Kind.INTEGRITY, MODELS[0], not shift, "wrong bytes") for shift in (0 * _DAY, _HOUR)]
            )
        for number in range(24):
            began = at + number * _HOUR
            journal.job_begin(JobRow(id=f"{day}-{number}", kind="scrub", models=(), cause="schedule", began_at=began))
            journal.job_end(f"{day}-{number}", "done", "read 2.1 GB", began + _MINUTE)
        journal.compact(at)


def _samples(day: datetime, step: timedelta, dice: random.Random) -> Iterator[Row]:
    for number in range(_DAY // step):
        at = day + number * step
        yield ServerRow(at=at, up=True, seconds=0.004, version="0.24.0")
        for model in MODELS:
            yield CheckRow(at=at, model=model, healthy=True, recoverable=True, ready=dice.random() > 0.001)
            if number % 10 == 0 or step != _MINUTE:
                yield ProbeRow(at=at, model=model, outcome=_outcome(dice), seconds=_seconds(dice))


def _outcome(dice: random.Random) -> str:
    return "timeout" if dice.random() < 0.005 else "ok"


def _seconds(dice: random.Random) -> float:
    return math.exp(dice.gauss(-0.5, 0.6))


def _events(day: datetime, number: int, dice: random.Random) -> Iterator[Row]:
    for hour in range(24):
        at = day + hour * _HOUR
        for of, device in (("store", "/dev/nvme0n1p2"), ("vault", "/dev/sda1")):
            yield ScrubRow(at=at, of=of, device=device, bytes=2_100_000_000, seconds=100 + dice.random())
            yield SpaceRow(at=at, of=of, device=device, total=10**12, free=10**12 - number * 10**9)
    for model in MODELS:
        yield ActionRow(
            at=day, cause="schedule", verb="backup", step="verify", model=model, bytes=4_700_000_000, seconds=2
        )
    if number % 7 == 0:
        yield DrillRow(
            at=day,
            model=MODELS[number % 10],
            snapshot="20260105T120000Z-0123456789ab",
            bytes=4_700_000_000,
            restore_seconds=9.5,
            verify_seconds=2.5,
            ok=True,
        )
    if number % 30 == 0:
        text = "blob 0123456789ab has wrong bytes at 1,048,576 (4,096 bytes)"
        yield FindingRow(at=day, model=MODELS[0], kind="Corrupt", text=text, blob="sha256:" + "0" * 64, bytes=4096)
