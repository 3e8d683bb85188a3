"""The guard as a process: every part put together, started, told of signals, and stopped."""

import os
import platform
import re
import secrets
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from modelward import __version__
from modelward.api.deps import Deps
from modelward.api.tokens import Tokens
from modelward.bootstrap import (
    Errand,
    SystemClock,
    Wish,
    Workplace,
    alert_channels,
    collector,
    deadman,
    find,
    open_settings,
    resolve,
)
from modelward.config import Settings
from modelward.domain.alert import Condition, Kind
from modelward.domain.alerting import Rules
from modelward.domain.errors import DamageError, DeliveryFailed, Locked, StorageError, UsageError
from modelward.domain.standing import Round
from modelward.domain.timetable import Timetable
from modelward.durable import Folder, locked, remove
from modelward.guard.alarm import Alarm
from modelward.guard.board import Board
from modelward.guard.gauge import Gauge, vault_bytes
from modelward.guard.heart import Heart
from modelward.guard.jobs import Jobs
from modelward.guard.logs import GuardLog
from modelward.guard.loop import Guard
from modelward.guard.memory import Memory
from modelward.guard.metrics import MetricsFile
from modelward.guard.place import Opener
from modelward.guard.probing import Prober
from modelward.guard.telemetry import Telemetry
from modelward.journal.sqlite import open_journal
from modelward.metrics import families
from modelward.notify.log import LogNotifier
from modelward.ports import Collector, Deadman, Journal, Notifier, Progress
from modelward.runtimes.host import parse_host
from modelward.runtimes.ollama import OllamaRuntime
from modelward.scan import signals_held
from modelward.services import alerts
from modelward.services.deliver import Post

_HURRY = 1.0  # seconds that damage waits for a server that hangs
_OWN_FOLDER = ".modelward"
_LOCK = "guard.lock"
_DELIVER_EVERY = 1.0
_STAGED = re.compile(r".+-\d+-\d+")  # how durable names a file that has no name yet


class Present:
    """The settings as they are now: read at the start, and again at SIGHUP; bad ones leave the old in place."""

    def __init__(self, flags: dict[str, str]) -> None:
        self.flags = flags
        self.resolved = resolve(flags)

    @property
    def settings(self) -> Settings:
        """The values."""
        return self.resolved.settings

    def reload(self, log: Progress) -> None:
        """Read them anew."""
        try:
            self.resolved = resolve(self.flags)
        except UsageError as error:
            log.say("reload_failed", error=str(error))
        else:
            log.say("reloaded")


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A guard that is put together; ``address`` is where it serves, empty where nowhere."""

    guard: Guard
    heart: Heart
    present: Present
    post: Post
    gauge: Gauge
    telemetry: Telemetry
    address: str = ""

    @property
    def store(self) -> str:
        """The store's folder, or words for one that is not there yet."""
        try:
            return str(find(self.present.settings))
        except UsageError:
            return "a store that is not there yet"

    def reload(self) -> None:
        """Take up changed settings; where alerts, spans and metrics go is among them."""
        self.present.reload(self.heart.log)
        try:
            _tell_collector(self.heart, self.telemetry, collector(self.present.settings))
            self.post.use((LogNotifier(self.heart.log), *alert_channels(self.present.settings, self.heart.clock)))
        except UsageError as error:
            self.heart.log.say("reload_failed", error=str(error))

    def once(self) -> Round:
        """One round, without threads."""
        jobs = self.guard.once()
        return Round(standing=self.heart.board.standing, jobs=jobs, alerts=self.heart.alarm.alerts)


@contextmanager
def assembled(flags: dict[str, str], *, verbose: bool, maintenance: bool, serve: bool) -> Iterator[Process]:
    """Everything opened, locked and connected; closed again in the other order. Raises Locked for a second guard."""
    present = Present(flags)
    settings, clock = present.settings, SystemClock()
    with ExitStack() as stack:
        state = Folder.open(Path(settings.state), create=True)
        stack.callback(state.close)
        _alone(stack, state, settings, clock)
        _tidy(state)
        log = stack.enter_context(GuardLog.opened(settings, console=verbose))
        opened = open_journal(Path(settings.state), clock)
        stack.callback(opened.journal.close)
        heart, post = _heart(present, clock, log, opened.journal)
        if opened.set_aside:
            heart.alarm.observe((_begun_anew(opened.set_aside),), {Kind.JOURNAL})
        runtime = OllamaRuntime(parse_host(settings.ollama_host), clock)
        beside = Beside(heart, post, deadman(settings), MetricsFile(heart, state))
        gauge = Gauge(heart.board, heart.journal, clock, lambda: vault_bytes(heart.opener, log))
        telemetry = _telemetry(heart, gauge, settings)

        def tick() -> None:
            beside.tick()
            telemetry.tick()

        guard = Guard(heart, Prober(heart, runtime), maintenance=maintenance, beside=tick, seed=socket.gethostname())
        process = Process(guard=guard, heart=heart, present=present, post=post, gauge=gauge, telemetry=telemetry)
        yield replace(process, address=_served(stack, process, clock)) if serve and settings.listen else process
        beside.finish()
        telemetry.finish()


def _telemetry(heart: Heart, gauge: Gauge, settings: Settings) -> Telemetry:
    """Off unless the settings name a collector; resource attributes by the semantic conventions of OpenTelemetry."""
    resource: dict[str, str | int] = {
        "service.name": "modelward",
        "service.version": heart.version,
        "service.instance.id": secrets.token_hex(16),
        "host.name": platform.node(),
        "process.pid": os.getpid(),
    }
    found = Telemetry(heart.clock, heart.log, resource, lambda: heart.settings().otlp_interval)
    found.families = lambda: families(gauge.figures(), gauge.tally)
    gauge.telemetry = lambda: found.counts if found.on else None
    _tell_collector(heart, found, collector(settings))
    return found


def _tell_collector(heart: Heart, telemetry: Telemetry, to: Collector | None) -> None:
    telemetry.use(to)
    heart.jobs.told = telemetry.ended if to is not None else None


def _begun_anew(aside: str) -> Condition:
    return Condition(
        kind=Kind.JOURNAL,
        subject="journal",
        detail=f"it could not be read and was set aside as {aside}; a new one was begun",
        next="models and vault are not concerned; check the disk (dmesg, SMART)",
    )


def _tidy(state: Folder) -> None:
    """Remove what a killed guard had begun to write; its own lock keeps a second guard from being here."""
    remove(state, *(name for name in state.names() if _STAGED.fullmatch(name)))


def _alone(stack: ExitStack, state: Folder, settings: Settings, clock: SystemClock) -> None:
    """Hold the guard's locks: of the state folder, and of the store, where something can be written there."""
    holder = f"guard since {clock.now():%Y-%m-%d %H:%M:%S} UTC"
    try:
        stack.enter_context(locked(state, _LOCK, holder=holder, clock=clock, wait=0.0))
        with suppress(UsageError):
            _lock_store(stack, find(settings), holder, clock)
    except Locked as error:
        raise Locked(
            f"another guard is at work here ({error.what.partition(': ')[2]})",
            thing=error.thing,
            next_step="one guard is enough for a store: stop the other one, or name another store and state folder",
        ) from error


def _lock_store(stack: ExitStack, path: Path, holder: str, clock: SystemClock) -> None:
    try:
        store = Folder.open(path)
        own = store.sub(_OWN_FOLDER, create=True)
        stack.callback(own.close)
        store.close()
        stack.enter_context(locked(own, _LOCK, holder=holder, clock=clock, wait=0.0))
    except Locked:
        raise
    except (StorageError, DamageError):
        return  # a store that is not there yet, or that we may only read: the state folder's lock has to do


def _heart(present: Present, clock: SystemClock, log: GuardLog, journal: Journal) -> tuple[Heart, Post]:
    board = Board()
    post = Post(journal, (LogNotifier(log), *_channels(present, clock)), clock, log)
    heart = Heart(
        clock=clock,
        log=log,
        journal=journal,
        board=board,
        jobs=Jobs(clock, log, journal, board.stir),
        alarm=Alarm(journal, clock, log, rules=lambda: rules_of(present.settings), deliver=post.post),
        memory=Memory(journal, log),
        opener=_opener(present),
        settings=lambda: present.settings,
        started_at=clock.now(),
        version=__version__,
    )
    return heart, post


def _channels(present: Present, clock: SystemClock) -> tuple[Notifier, ...]:
    return alert_channels(present.settings, clock)


def rules_of(settings: Settings) -> Rules:
    """What the settings say of alerts."""
    return Rules(
        pending=settings.alert_pending,
        group=settings.alert_group,
        reminder=settings.alert_reminder,
        healed=settings.alert_healed,
        quiet=Timetable.parse(settings.quiet_hours) if settings.quiet_hours else None,
    )


def _opener(present: Present) -> Opener:
    @contextmanager
    def opened(
        progress: Progress, stop: threading.Event, *, cause: str, hurry: bool = False, create_vault: bool = False
    ) -> Iterator[Workplace]:
        errand = Errand(stop=stop, cause=cause, server_seconds=_HURRY if hurry else 10.0, frugal=True)
        wish = Wish(create_vault=create_vault)
        with open_settings(present.settings, wish, lambda _: _as_context(progress), errand) as place:
            yield place

    return opened


@contextmanager
def _as_context(progress: Progress) -> Iterator[Progress]:
    yield progress


class Beside:
    """What happens beside the guard's own work: delivery in a thread of its own, the metrics file, the sign of life."""

    def __init__(self, heart: Heart, post: Post, deadman: Deadman | None, metrics: MetricsFile) -> None:
        self._heart, self._post, self._deadman, self._metrics = heart, post, deadman, metrics
        self._pinged_at = float("-inf")
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def tick(self) -> None:
        """Called once a second by the guard; starts what takes time, and waits for none of it."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._deliver, name="guard deliver", daemon=True)
            with signals_held():
                self._thread.start()

    def _deliver(self) -> None:
        while not self._stop.is_set():
            try:
                self._turn()
            except Exception as error:  # noqa: BLE001 - one message that cannot be made must not cost all later ones
                self._heart.turned("deliver", error)
            else:
                self._heart.turned("deliver", None)
            self._stop.wait(_DELIVER_EVERY)

    def _turn(self) -> None:
        self._post.send_due()
        self._ping()
        self._metrics.turn()

    def _ping(self) -> None:
        """A sign of life while all is well: its absence is the alarm, also when we ourselves hang."""
        heart = self._heart
        standing = heart.board.standing
        now, every = heart.clock.monotonic(), heart.settings().deadman_interval.total_seconds()
        if self._deadman is None or standing is None or not standing.ready or now - self._pinged_at < every:
            return
        self._pinged_at = now
        try:
            self._deadman.ping()
        except DeliveryFailed as error:
            heart.log.say("alert_failed", channel=self._deadman.name, error=error.what)

    def finish(self) -> None:
        """Deliver what is due, and show the last picture."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5.0)
        else:
            self._post.send_due()
        self._metrics.write()


def _served(stack: ExitStack, process: Process, clock: SystemClock) -> str:
    """Serve API and dashboard; returns the address."""
    from modelward.api.app import create_app
    from modelward.api.server import bind, serve
    from modelward.web.engine import prepare
    from modelward.web.handlers import page_error
    from modelward.web.pages import PAGES

    settings, heart = process.present.settings, process.heart
    deps = Deps(
        board=heart.board,
        jobs=heart.jobs,
        journal=heart.journal,
        opener=heart.opener,
        settings=lambda: process.present.resolved,
        clock=clock,
        log=heart.log,
        tokens=Tokens(Path(settings.state), clock),
        test_alerts=lambda: alerts.test(_channels(process.present, clock), deadman(settings), clock),
        alive=lambda: "" if process.guard.alive() else "the guard's loop hangs",
        gauge=process.gauge,
    )
    bound = bind(settings.listen)
    app = create_app(deps, listen=bound.listen, pages=PAGES, page_error=page_error)
    running = serve(app, settings, bound)
    prepare()
    stack.callback(running.stop)
    return running.address


def run(process: Process, stop: threading.Event) -> None:
    """Guard until ``stop``. Signals are the main thread's business: SIGHUP reads the settings anew."""

    def reload(_number: int, _frame: FrameType | None) -> None:
        process.reload()
        process.guard.looking.wake("settings reloaded")

    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, reload)
    process.guard.run(stop)


def stop_by_signal() -> threading.Event:
    """What SIGTERM and SIGINT set; to be called before anything is opened, so that no signal is missed."""
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return stop
