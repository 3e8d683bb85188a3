"""A guard's insides without its loop: store, vault, board and a thread that does jobs, with the API before them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import msgspec
from starlette.applications import Starlette

from modelward import config
from modelward.api.app import create_app
from modelward.api.deps import Deps
from modelward.api.server import Bound, Running, bind, serve
from modelward.api.tokens import Tokens
from modelward.client import Client
from modelward.domain.access import Scope
from modelward.domain.alert_report import AlertTest
from modelward.domain.name import ModelName
from modelward.domain.retention import Policy
from modelward.domain.standing import BrakeStanding, ModelStanding, Standing
from modelward.guard.board import Board
from modelward.guard.jobs import Jobs
from modelward.ports import OciRegistry, Progress, Runtime, Serving, Surroundings
from modelward.services.forecast import Known
from modelward.services.site import Site
from modelward.services.status import status
from modelward.testing import FakeStore, FrozenClock, MemoryJournal
from tests.places import BEGIN, Notes, Place

MODEL = ModelName.parse("llama3")
SMALL = ModelName.parse("mini:1b")
CHUNK = 1 << 20
WEIGHTS = bytes(range(256)) * (9 * CHUNK // 1024)


@dataclass
class Workplace:
    """What the opener gives: the site of this piece of work."""

    settings: config.Settings
    site: Site

    def keep_outside(self, host: str) -> None:
        """No registry is asked here, and so none inside."""

    def policy(self) -> Policy:
        """Keep five."""
        return Policy(keep_last=self.settings.keep_last)

    def surroundings(self) -> Surroundings:
        """Doctor is not asked here."""
        raise AssertionError("nobody asks doctor here")

    def oci_registry(self) -> OciRegistry:
        """No registry is asked here."""
        raise AssertionError("nobody asks a registry here")

    def known_to_forecasts(self) -> Known:
        """Nothing beside the journal."""
        return Known()

    def server_at(self, url: str) -> Runtime:
        """No other server is asked here."""
        raise AssertionError(f"nobody asks {url} here")

    def serving(self, url: str, listen: str) -> Serving:
        """Nothing is served to others here."""
        raise AssertionError(f"nobody serves {url} from {listen} here")


@dataclass
class Stage:
    """All parts, and the clock that moves them; ``gate`` holds every job at its beginning while it is clear."""

    place: Place
    environ: dict[str, str] = field(default_factory=dict)
    why: str = ""

    def __post_init__(self) -> None:
        self.clock: FrozenClock = self.place.clock
        self.notes = Notes()
        self.board = Board()
        self.journal = MemoryJournal()
        self.jobs = Jobs(self.clock, self.notes, self.journal, self.board.stir)
        self.tokens = Tokens(self.place.base / "state", self.clock)
        self.gate = threading.Event()
        self.gate.set()
        self._end = threading.Event()
        self._worker = threading.Thread(target=self._work, daemon=True)
        self._worker.start()

    def settings(self) -> config.Resolved:
        """The settings of this stage; ``environ`` gives what differs."""
        given = {
            "MODELWARD_STORE": str(self.place.store),
            "MODELWARD_VAULT": str(self.place.vault),
            "MODELWARD_STATE": str(self.place.base / "state"),
            "MODELWARD_LISTEN": "127.0.0.1:0",
            "MODELWARD_WEBHOOK_SECRET": "hush",
            **self.environ,
        }
        return config.resolve({}, given, platform="linux", home=self.place.base, cwd=self.place.base)

    @contextmanager
    def open(
        self, progress: Progress, stop: threading.Event, *, cause: str, hurry: bool = False, create_vault: bool = False
    ) -> Iterator[Workplace]:
        """Open the site anew, with the stop and the progress of this piece of work."""
        del hurry
        site = self.place.site(make_vault=create_vault)
        site.reading.stop, site.reading.progress = stop, progress
        yield Workplace(settings=self.settings().settings, site=replace(site, progress=progress, cause=cause))

    def deps(self) -> Deps:
        """What the application stands on."""
        return Deps(
            board=self.board,
            jobs=self.jobs,
            journal=self.journal,
            opener=self.open,
            settings=self.settings,
            clock=self.clock,
            log=self.notes,
            tokens=self.tokens,
            test_alerts=lambda: AlertTest(channels=()),
            alive=lambda: self.why,
        )

    def app(self, bound: Bound) -> Starlette:
        """The application for a place that was taken."""
        return create_app(self.deps(), listen=bound.listen)

    @contextmanager
    def serving(self) -> Iterator[Running]:
        """Serve as long as the block lasts."""
        settings = self.settings().settings
        bound = bind(settings.listen)
        running = serve(self.app(bound), settings, bound)
        try:
            yield running
        finally:
            running.stop()

    def token(self, scope: Scope = Scope.ADMIN, lasts: timedelta = timedelta(days=1)) -> str:
        """A new token's text."""
        return self.tokens.create(f"test {scope}", scope, lasts)[0]

    def look(self, *, ready: bool = True, why: str = "") -> Standing:
        """Publish the picture that the store gives now."""
        site = self.place.site(make_vault=False)
        report = status(site, ())
        models = tuple(
            ModelStanding(
                name=line.name,
                size=line.size,
                healthy=line.healthy,
                recoverable=line.recoverable,
                protected=line.protected,
                policy="restore",
                verified_at=line.verified_at,
                snapshots=line.snapshots,
                protection=line.protection,
                findings=line.findings,
                next=line.next,
            )
            for line in report.models
        )
        standing = Standing(
            at=self.clock.now(),
            started_at=BEGIN,
            version="test",
            store=report.store,
            vault=report.vault,
            ready=ready,
            why=why,
            models=models,
            brake=BrakeStanding(),
            space={"store": site.store.space()},
        )
        self.board.publish(standing)
        return standing

    def change(self, **fields: object) -> None:
        """Publish the present picture with other fields."""
        assert self.board.standing is not None
        self.board.publish(msgspec.structs.replace(self.board.standing, **fields))

    def close(self) -> None:
        """End the worker."""
        self._end.set()
        self.gate.set()
        self._worker.join(30)

    def _work(self) -> None:
        while not self._end.is_set():
            job = self.jobs.take()
            if job is None:
                self.board.wait(self.board.revision, 0.02)
                continue
            self.gate.wait(60)
            self.jobs.carry_out(job)


def client(running: Running, token: str = "", **more: object) -> Client:
    """A client of a running server."""
    return Client(running.address, token=token, **more)  # type: ignore[arg-type]


def made(base: Path) -> Stage:
    """A stage over a store with one model of a bit over two chunks and one small one."""
    place = Place(base)
    store = FakeStore(place.store)
    store.add_model("llama3", WEIGHTS, template=b"{{ .Prompt }}")
    store.add_model("mini:1b", b"small weights", template=b"{{ .Prompt }}")
    return Stage(place)
