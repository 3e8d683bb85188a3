"""API, metrics and pages: answers with a thousand models, and many requests while a scrub runs."""

import http.client
import time
from statistics import median

from benchmarks.bench import Bench
from benchmarks.ground import Ground, crowded_store
from benchmarks.jobs.guard import Guarding, guarding
from benchmarks.result import Result, Target, under

_MANY, _FEW = 1000, 50
_ROUNDS = 7
_REQUESTS_SECONDS = 20.0
_QUICK = {"MODELWARD_MAINTENANCE_INTERVAL": "1h", "MODELWARD_PROBE": "off"}


def answers(bench: Bench) -> Result:
    """Each page and document, by its first byte; then as many requests as one connection takes."""
    return Result(job="api", tables=(), targets=(*_many(bench), *_few(bench)))


def _many(bench: Bench) -> tuple[Target, ...]:
    ground = Ground(bench.base / "many", bench.environ, bench.say)
    crowded_store(ground.store, _MANY, 3)
    ground.need_vault()
    with guarding(ground, **_QUICK) as guard:
        guard.until_ready()
        overview, metrics = _median(guard, "/"), _median(guard, "/metrics")
        history = _median(guard, "/api/v1/history/crowd0001")
    return (
        under(f"overview with {_MANY} models, first byte: under 0.1 s", overview, 0.1, "s"),
        under(f"/metrics with {_MANY} models: under 0.15 s", metrics, 0.15, "s"),
        under("history of one model, first byte: under 0.2 s", history, 0.2, "s"),
    )


def _median(guard: Guarding, path: str) -> float:
    guard.get(path)
    return median(guard.get(path) for _ in range(_ROUNDS))


def _few(bench: Bench) -> tuple[Target, ...]:
    ground = Ground(bench.base / "few", bench.environ, bench.say)
    crowded_store(ground.store, _FEW, 10)
    ground.need_vault()
    with guarding(ground, **_QUICK) as guard:
        guard.until_ready()
        rate = _rate(guard.address)
    return (
        Target(
            text=f"/api/v1/models with {_FEW} models: 200 requests a second on one connection",
            measured=f"{rate:.0f} a second",
            met=rate >= 200,
        ),
    )


def _rate(address: str) -> float:
    wire, count = http.client.HTTPConnection(address, timeout=30), 0
    began = time.monotonic()
    while time.monotonic() - began < _REQUESTS_SECONDS:
        wire.request("GET", "/api/v1/models")
        answer = wire.getresponse()
        answer.read()
        if answer.status == 200:
            count += 1
        elif answer.status == 429:
            time.sleep(0.05)
    wire.close()
    return count / (time.monotonic() - began)
