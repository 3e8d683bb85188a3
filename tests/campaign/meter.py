"""What a process costs over time: memory, descriptors and threads, sampled; and a visitor who asks its pages."""

import statistics
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_WARM = 0.2  # of the time, at most _WARM_SECONDS: caches fill, modules that are loaded late come in
_WARM_SECONDS = 600.0


class Sample(NamedTuple):
    """One look, ``at`` seconds from the start; memory and journal in KiB, ``probes`` answered so far."""

    at: float
    resident: int
    anonymous: int
    descriptors: int
    threads: int
    journal: int
    probes: int


class Growth(NamedTuple):
    """The medians of the first and the last quarter of what came after the warm-up."""

    first: float
    last: float

    @property
    def ratio(self) -> float:
        """1.0 is no growth."""
        return self.last / self.first


def growth(samples: Sequence[Sample], of: str) -> Growth:
    """How a column grew; medians, so that neither a peak nor a dip decides."""
    end = samples[-1].at
    warm = min(end * _WARM, _WARM_SECONDS)
    kept = [float(getattr(sample, of)) for sample in samples if sample.at >= warm]
    quarter = max(1, len(kept) // 4)
    return Growth(statistics.median(kept[:quarter]), statistics.median(kept[-quarter:]))


def look(pid: int, state: Path, at: float, probes: int = 0) -> Sample:
    """What the kernel says of a process, and how large its journal is."""
    status = _table(Path(f"/proc/{pid}/status").read_text())
    rollup = _table(Path(f"/proc/{pid}/smaps_rollup").read_text())
    return Sample(
        at=round(at, 1),
        resident=status["VmRSS"],
        anonymous=rollup["Anonymous"],
        descriptors=len(list(Path(f"/proc/{pid}/fd").iterdir())),
        threads=status["Threads"],
        journal=sum(path.stat().st_size for path in state.glob("journal.db*")) >> 10,
        probes=probes,
    )


def _table(text: str) -> dict[str, int]:
    """The numbers of ``Name:  123 kB`` lines."""
    rows = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name: int(words[0]) for name, value in rows if (words := value.split()) and words[0].isdigit()}


class Every:
    """Does something every so often, in a thread, until the block ends; what it raises is raised at the end."""

    def __init__(self, seconds: float, deed: Callable[[], None]) -> None:
        self._seconds, self._deed = seconds, deed
        self._over = threading.Event()
        self._raised: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            while not self._over.wait(self._seconds):
                self._deed()
        except BaseException as error:  # noqa: BLE001 - it is raised where the block ends
            self._raised.append(error)

    def check(self) -> None:
        """Raise what was raised."""
        if self._raised:
            raise self._raised[0]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._over.set()
        self._thread.join(60)
        if kind is None:
            self.check()


class Visitor:
    """Somebody with a browser, a Prometheus and a script: asks one address after the other, again and again."""

    def __init__(self, url: str, addresses: Sequence[str]) -> None:
        self._url, self._addresses = url, addresses
        self._turn = 0
        self.asked: Counter[int] = Counter()
        self.slowest = 0.0
        self.bytes = 0

    def get(self, address: str, *, at_most: int = -1) -> tuple[int, bytes]:
        """Status and body, or the first bytes of a stream that has no end; 0 where nobody listens."""
        try:
            with _OPENER.open(self._url + address, timeout=30) as answer:
                return answer.status, answer.read(at_most)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except OSError:
            return 0, b""

    def visit(self) -> None:
        """The next address; whatever the guard is busy with, it answers, and never with an error of its own."""
        address = self._addresses[self._turn % len(self._addresses)]
        self._turn += 1
        began = time.monotonic()
        status, body = self.get(address, at_most=16 if address.endswith("/events") else -1)
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.asked[status] += 1
        self.bytes += len(body)
        wanted = {200, 503} if address in ("/readyz", "/api/v1/findings") else {200}
        assert status in wanted, f"{address}: {status} {body[:300]!r}"


def probes_answered(metrics: str) -> int:
    """How many probes were answered in time, by the guard's own count."""
    found = 0
    for line in metrics.splitlines():
        if line.startswith("modelward_probe_seconds_count"):
            with suppress(ValueError):
                found += int(float(line.rsplit(" ", 1)[1]))
    return found
