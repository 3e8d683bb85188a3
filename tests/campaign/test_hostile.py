"""Registries and servers that lie, hang, lead astray or never end: nothing unproved is believed, and all of it ends."""

import resource
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from modelward.bootstrap import SystemClock
from modelward.domain.digest import Digest
from modelward.domain.errors import ModelwardError
from modelward.domain.interchange import Reference
from modelward.domain.name import ModelName
from modelward.domain.runtime import ProbeResult
from modelward.registry.client import RegistryClient
from modelward.registry.request import Limits
from modelward.runtimes.host import parse_host
from modelward.runtimes.ollama import OllamaRuntime
from modelward.services.backup import backup
from modelward.services.fetch_snapshot import fetch
from modelward.services.pull import pull
from modelward.services.push import push
from modelward.services.site import Site
from modelward.sources.upstream import UpstreamSource
from modelward.testing import FakeOllama, FakeRegistry, FakeStore
from modelward.testing.fault_proxy import FaultProxy
from tests.campaign.deeds import DEEDS
from tests.campaign.plan import Run, limited
from tests.campaign.world import sha256
from tests.kinds import at_most
from tests.models import pattern
from tests.places import Place

MIB = 1 << 20
LONGEST = 120.0  # seconds; each request of the clients below is bounded by about two
LIMITS = Limits(connect=1.0, stall=0.5, base=1.0, slowest=8 * MIB, wait=0.5, attempts=2)
MEMORY = 256 * MIB
BLOBS = (pattern(2 * MIB + 77, 4), b"{{ .Prompt }}")


def test_there_are_enough_deeds() -> None:
    """Forty scripted behaviours at the least."""
    assert len(DEEDS) >= 40


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    """A registry that keeps its word, with one model."""
    with FakeRegistry().running() as fake:
        fake.add("library/llama3:latest", *BLOBS)
        yield fake


@dataclass
class Measured:
    """Seconds and bytes of memory that the worst case of a run took."""

    seconds: float = 0.0
    memory: int = 0

    def note(self, run: Run, began: float, before: int) -> None:
        """Keep the worst; more memory than allowed is an error."""
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10) - before
        self.seconds = max(self.seconds, time.monotonic() - began)
        self.memory = max(self.memory, grown)
        run.figures["slowest, ms"] = int(1000 * self.seconds)
        run.figures["memory at most, MiB"] = self.memory >> 20
        assert grown < MEMORY, f"{grown >> 20} MiB more than before"


@limited(little=24, share=0.4)
def test_a_registry_that_lies(tmp_path: Path, run: Run, registry: FakeRegistry) -> None:
    """Manifest, blobs or both are spoiled, now and then or always: a typed error or the true bytes, in bounded time."""
    host, _, port = registry.address.partition(":")
    measured, before = Measured(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    for number in run.numbers():
        rng = run.rng(number)
        name = sorted(DEEDS)[rng.randrange(len(DEEDS))] if number >= len(DEEDS) else sorted(DEEDS)[number]
        part, chance = rng.choice(("manifests", "blobs", "v2")), rng.choice((1.0, 1.0, 0.4))
        strikes: Callable[[str, str], bool] = lambda _, path, p=part, c=chance, r=rng: p in path and r.random() < c  # type: ignore[misc] # noqa: E731
        place = Place(tmp_path / str(number))
        with (
            run.case(number, (name, part, chance)),
            FaultProxy(host, int(port), DEEDS[name], strikes).running() as proxy,
        ):
            began = time.monotonic()
            with at_most(LONGEST):
                outcome = download(place, proxy)
            measured.note(run, began, before)
            run.figures[outcome] += 1
            run.figures["behaviours"] = min(number + 1, len(DEEDS))
            assert not unproved(place)
            assert not leaked(proxy)
        shutil.rmtree(place.base)


FAR = "registry.invalid"  # a name that nobody has: only a proxy can lead there


def download(place: Place, proxy: FaultProxy, far: str = "") -> str:
    """Pull the model into an empty store through the proxy, or from ``far`` by it; what came of it."""
    FakeStore(place.store)
    clock = SystemClock()
    environ = {"http_proxy": f"http://{proxy.address}"} if far else {}
    client = RegistryClient(clock, plain_http=(proxy.address, FAR), limits=LIMITS, environ=environ)
    site = replace(place.site(), sources=(UpstreamSource(client),), registry=client, clock=clock)
    try:
        report = pull(site, ModelName.parse(f"{far or proxy.address}/library/llama3"))
    except ModelwardError as problem:
        assert problem.next_step, repr(problem)
        return "typed error"
    finally:
        client.close()
    if report.exit_code:
        return "said in the report"
    manifests = list(place.store.glob("manifests/*/*/*/*"))
    assert len(manifests) == 1
    return (
        "the true model"
        if {path.read_bytes() for path in place.store.glob("blobs/*")} >= set(BLOBS)
        else "another model"
    )


def unproved(place: Place) -> list[Path]:
    """Final names whose bytes are not theirs, and whatever else lies among the blobs."""
    found = list((place.store / "blobs").iterdir())
    return [path for path in found if sha256(path) != path.name.removeprefix("sha256-")]


def leaked(proxy: FaultProxy) -> list[str]:
    """Requests that carried a credential; there is none to be carried here."""
    return [path for _, path, headers in proxy.asked if headers.get("authorization")]


@limited(little=8, share=0.2)
def test_a_proxy_that_lies(tmp_path: Path, run: Run, registry: FakeRegistry) -> None:
    """The same deeds, done by what stands between us and a registry elsewhere: the proxy of the environment."""
    host, _, port = registry.address.partition(":")
    measured, before = Measured(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    for number in run.numbers():
        rng = run.rng(number)
        name, place = rng.choice(sorted(DEEDS)), Place(tmp_path / str(number))
        with run.case(number, name), FaultProxy(host, int(port), DEEDS[name]).running() as proxy:
            began = time.monotonic()
            with at_most(LONGEST):
                run.figures[download(place, proxy, far=FAR)] += 1
            measured.note(run, began, before)
            assert proxy.asked, "it was not asked through the proxy"
            assert not unproved(place)
            assert not leaked(proxy)
        shutil.rmtree(place.base)


@limited(little=8, share=0.2)
def test_a_peer_that_lies(tmp_path: Path, run: Run) -> None:
    """A registry that versions are kept in: what it did not keep is not believed kept, what comes back is proved."""
    place = Place(tmp_path / "kept")
    FakeStore(place.store).add_model("llama3", BLOBS[0], template=BLOBS[1])
    backup(place.site(), ())
    measured, before = Measured(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    with FakeRegistry().running() as peer:
        host, _, port = peer.address.partition(":")
        sent(place.site(), peer.address)
        for number in run.numbers():
            rng = run.rng(number)
            name, verb = rng.choice(sorted(DEEDS)), ("push", "fetch")[number % 2]
            part = rng.choice(("manifests", "blobs", "v2"))
            strikes: Callable[[str, str], bool] = lambda _, path, p=part: p in path  # type: ignore[misc] # noqa: E731
            other = Place(tmp_path / str(number))
            with (
                run.case(number, (verb, name, part)),
                FaultProxy(host, int(port), DEEDS[name], strikes).running() as proxy,
            ):
                began = time.monotonic()
                with at_most(LONGEST):
                    run.figures[f"{verb}: {exchanged(verb, place, other, proxy.address)}"] += 1
                measured.note(run, began, before)
                assert not damaged(other)
                assert not leaked(proxy)
            shutil.rmtree(other.base, ignore_errors=True)


def sent(site: Site, address: str) -> None:
    """Push the model."""
    with closing(RegistryClient(SystemClock(), limits=LIMITS)) as client:
        push(site, client, ModelName.parse("llama3"), "", Reference.parse(f"{address}/kept/llama3"))


def exchanged(verb: str, place: Place, other: Place, address: str) -> str:
    """What came of a push from one vault, or of a fetch into another."""
    there = Reference.parse(f"{address}/kept/llama3")
    try:
        with closing(RegistryClient(SystemClock(), limits=LIMITS)) as client:
            if verb == "push":
                push(place.site(), client, ModelName.parse("llama3"), "", there)
                return "went on"
            FakeStore(other.store)
            fetch(other.site(), client, there, None)
    except ModelwardError as problem:
        assert problem.next_step, repr(problem)
        return "typed error"
    return "the true version"


def damaged(place: Place) -> list[Path]:
    """Objects of a vault whose bytes are not those of their names."""
    return [path for path in place.vault.glob("blobs/sha256/*") if sha256(path) != path.name]


@limited(little=16, share=0.2)
def test_a_server_that_lies(tmp_path: Path, run: Run) -> None:
    """Every call of the runtime's API meets every deed: a typed error or a value, in bounded time and memory."""
    FakeStore(tmp_path / "models").add_model("llama3", BLOBS[0], template=BLOBS[1])
    measured, before = Measured(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    with FakeOllama(tmp_path / "models").running() as server:
        host, _, port = server.url.removeprefix("http://").partition(":")
        for number in run.numbers():
            rng = run.rng(number)
            call = sorted(CALLS)[number % len(CALLS)]
            name = rng.choice(sorted(DEEDS))
            with run.case(number, (call, name)), FaultProxy(host, int(port), DEEDS[name]).running() as proxy:
                began = time.monotonic()
                with at_most(LONGEST):
                    run.figures[outcome_of(proxy, call)] += 1
                measured.note(run, began, before)


def outcome_of(proxy: FaultProxy, call: str) -> str:
    """What one call of the client comes to."""
    runtime = OllamaRuntime(
        parse_host(proxy.address), SystemClock(), connect_seconds=0.5, read_seconds=1.0, stall_seconds=1.0
    )
    try:
        found = CALLS[call](runtime)
    except ModelwardError as problem:
        assert problem.next_step, repr(problem)
        return "typed error"
    if isinstance(found, ProbeResult):
        return f"probe: {found.outcome}"
    return "a value"


CALLS: dict[str, Callable[[OllamaRuntime], object]] = {
    "version": lambda runtime: runtime.version(),
    "tags": lambda runtime: runtime.tags(),
    "loaded": lambda runtime: runtime.loaded(),
    "show": lambda runtime: runtime.show("llama3"),
    "pull": lambda runtime: list(runtime.pull("llama3")),
    "probe": lambda runtime: runtime.probe("llama3", seconds=1.0),
    "copy": lambda runtime: runtime.copy("llama3", "other"),
    "create": lambda runtime: runtime.create("made", {"m.gguf": Digest("a" * 64)}),
    "unload": lambda runtime: runtime.unload("llama3"),
}
