"""API, metrics and pages: answers with a thousand models, and many requests while a scrub runs."""

import http.client
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.bench import Bench
from benchmarks.ground import Ground, crowded_store
from benchmarks.jobs.guard import SCRUBS, Guarding, guarding, scrubs, speed_of
from benchmarks.result import Result, Target, under
from modelward.bootstrap import SystemClock
from modelward.domain.history import CheckRow, ProbeRow
from modelward.domain.name import ModelName
from modelward.journal.sqlite import open_journal

if TYPE_CHECKING:
    from playwright.sync_api import Page

_MANY, _FEW = 1000, 50
_ROUNDS = 7
_RATE = 200
_SEED = 20260803
_BATCH = 500
_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_QUICK = {"MODELWARD_MAINTENANCE_INTERVAL": "1h", "MODELWARD_PROBE": "off"}


def answers(bench: Bench) -> Result:
    """Each page and document, by its first byte; then many requests beside a scrub."""
    return Result(job="api", tables=(), targets=(*_many(bench), *_few(bench)))


def _many(bench: Bench) -> tuple[Target, ...]:
    ground = Ground(bench.base / "many", bench.environ, bench.say)
    crowded_store(ground.store, _MANY, 3)
    ground.need_vault()
    _keep_a_year(ground.base / "state", ModelName.parse("crowd0001"), datetime.now(UTC))
    with guarding(ground, **_QUICK) as guard:
        guard.until_ready()
        first = guard.get("/")
        overview, metrics = _median(guard, "/"), _median(guard, "/metrics")
        history = _median(guard, "/api/v1/history/crowd0001?days=365")
        painted = _painted(guard)
    ground.drop(ground.base)
    return (
        under(f"overview with {_MANY} models, the first request: first byte under 0.1 s", first, 0.1, "s"),
        under(f"overview with {_MANY} models: first byte under 0.1 s", overview, 0.1, "s"),
        painted,
        under(f"/metrics with {_MANY} models: under 0.15 s", metrics, 0.15, "s"),
        under("history of a year of one model: first byte under 0.2 s", history, 0.2, "s"),
    )


def _median(guard: Guarding, path: str) -> float:
    guard.get(path)
    return median(guard.get(path) for _ in range(_ROUNDS))


def _keep_a_year(state: Path, model: ModelName, now: datetime) -> None:
    """What the journal of a guard has of a model after a year."""
    state.mkdir(parents=True)
    journal = open_journal(state, SystemClock()).journal
    dice, name = Random(_SEED), str(model)
    rows: list[CheckRow | ProbeRow] = []
    for at in _moments(now):
        rows.append(CheckRow(at=at, model=name, healthy=True, recoverable=True, ready=dice.random() > 0.001))
        rows.append(ProbeRow(at=at, model=name, outcome="ok", seconds=math.exp(dice.gauss(-0.5, 0.6))))
    for start in range(0, len(rows), _BATCH):
        journal.add(rows[start : start + _BATCH])
    journal.close()


def _moments(now: datetime) -> Iterator[datetime]:
    """One for each point that is left after a year: days, then hours, then of the last two weeks ten minutes each."""
    at = now - 365 * _DAY
    while at < now:
        yield at
        age = now - at
        at += _DAY if age > 90 * _DAY else _HOUR if age > 14 * _DAY else 10 * _MINUTE


def _painted(guard: Guarding) -> Target:
    """How long Chromium takes from the address to the first paint that shows content."""
    text = f"overview with {_MANY} models, painted by Chromium: under 1 s"
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        program = None
    if program is None:
        return Target(text=text, measured="no Chromium with Playwright here", met=None)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as profile:
        browser = playwright.chromium.launch_persistent_context(
            profile, executable_path=program, args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            page = browser.new_page()
            times = [_paint(page, guard) for _ in range(3)]
        finally:
            browser.close()
    return under(text, median(times), 1.0, "s")


def _paint(page: "Page", guard: Guarding) -> float:
    page.goto(f"http://{guard.address}/")
    found = page.evaluate(
        "() => new Promise(done => new PerformanceObserver(list => done(list.getEntriesByName("
        "'first-contentful-paint')[0]?.startTime)).observe({type: 'paint', buffered: true}))"
    )
    return float(found) / 1000


def _few(bench: Bench) -> tuple[Target, ...]:
    """Fifty models and the big one, which is scrubbed at full speed, first alone and then beside requests."""
    ground, blob = bench.ground, bench.blob
    crowded_store(ground.store, _FEW - 2, 10)
    ground.need_vault()
    ground.modelward("backup")
    with guarding(ground, **{**_QUICK, **SCRUBS}) as guard:
        guard.until_ready()
        guard.get("/api/v1/models")
        alone = _speed(guard, time.sleep, _slice(bench))
        served: list[float] = []
        beside = _speed(guard, lambda seconds: served.append(_rate(guard.address, seconds)), _slice(bench))
        most = _rate(guard.address, min(10.0, bench.watching), paced=False)
    slower = alone / beside - 1 if alone and beside else float("inf")
    return (
        Target(
            text=f"{_RATE} requests a second of /api/v1/models with {_FEW} models, during a scrub, on one connection",
            measured=f"{served[0]:.0f} a second; {most:.0f} at most",
            met=served[0] >= _RATE * 0.99,
        ),
        Target(
            text="the scrub is slowed down by at most 10 %",
            measured=f"{slower:.1%} ({alone / 1e9:.2f} and {beside / 1e9:.2f} GB/s of {blob.size:,} bytes)",
            met=slower <= 0.1,
        ),
    )


def _slice(bench: Bench) -> float:
    """Seconds in which a scrub begins and ends, whatever is asked for."""
    return max(60.0, bench.watching / 2)


def _speed(guard: Guarding, meanwhile: Callable[[float], object], seconds: float) -> float:
    """Bytes a second of the scrubs that began and ended in a while."""
    began = datetime.now(UTC)
    meanwhile(seconds)
    return speed_of(row for row in scrubs(guard.state, began) if row.at - timedelta(seconds=row.seconds) >= began)


def _rate(address: str, seconds: float, *, paced: bool = True) -> float:
    """Answers a second on one connection; a paced one asks for no more than _RATE."""
    wire, count, began = http.client.HTTPConnection(address, timeout=30), 0, time.monotonic()
    while time.monotonic() - began < seconds:
        if paced and (early := count / _RATE - (time.monotonic() - began)) > 0:
            time.sleep(early)
        wire.request("GET", "/api/v1/models")
        answer = wire.getresponse()
        answer.read()
        if answer.status == 200:
            count += 1
        else:
            time.sleep(0.05)
    wire.close()
    return count / (time.monotonic() - began)
