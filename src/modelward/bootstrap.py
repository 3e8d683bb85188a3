"""The only place that knows every concrete class: settings in, an open workplace out."""

import os
import platform
import secrets
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from modelward import config
from modelward.domain.errors import BadSetting, MissingExtra, StoreNotFound, VaultMissing
from modelward.domain.reading import ReadMode
from modelward.domain.retention import Policy
from modelward.domain.timetable import Timetable
from modelward.domain.units import parse_duration
from modelward.durable import Folder, scratch
from modelward.ports import Clock, Collector, Deadman, Journal, Notifier, OciRegistry, Progress, Source
from modelward.registry.client import RegistryClient
from modelward.runtimes.host import parse_host, route_to
from modelward.runtimes.ollama import OllamaRuntime
from modelward.scan import Pace, Reading
from modelward.services.site import Site
from modelward.sources.paced import PacedSource
from modelward.sources.siblings import SiblingSource, find_siblings
from modelward.sources.store import StoreSource
from modelward.sources.upstream import UpstreamSource
from modelward.sources.vault import VaultSource
from modelward.stores.locate import candidates, find_store, service_environment
from modelward.stores.ollama import OllamaStore
from modelward.stores.ollama_writer import StoreLimits
from modelward.vault.ledgers import FolderLedgers
from modelward.vault.local import LocalVault
from modelward.vault.writer import VaultLimits, store_key

if TYPE_CHECKING:
    from modelward.evidence.surroundings import HostSurroundings
    from modelward.forecast.trees import Trees
    from modelward.services.export import Target
    from modelward.services.forecast import Known, Learned
    from modelward.services.import_ import Bundle
    from modelward.serving.endpoint import Endpoint

_FEW_THREADS = 2  # one reads while the other hashes

Watch = Callable[[str], AbstractContextManager[Progress]]


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The time of day in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait; returns at once for zero or less."""
        if seconds > 0:
            time.sleep(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a verb needs: a vault (made, or there), a store made, or no store at all where there is none."""

    create_vault: bool = False
    need_vault: bool = False
    create_store: bool = False
    storeless: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """Why a workplace is opened: what ends its work, its cause in the audit log, how long the server may take.

    A ``frugal`` one reads with few buffers: it is at work beside other programs, and may take a little longer.
    """

    stop: threading.Event = field(default_factory=threading.Event)
    cause: str = "user"
    server_seconds: float = 10.0
    frugal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """The settings, and the site that they lead to."""

    settings: config.Settings
    site: Site
    outside: set[str] = field(default_factory=set)

    def keep_outside(self, host: str) -> None:
        """Let this registry, named by somebody far away, be asked on the public internet only, from now on."""
        self.outside.add(host)

    def policy(self) -> Policy:
        """The retention policy of the settings."""
        chosen = self.settings
        return Policy(
            keep_last=chosen.keep_last,
            keep_daily=chosen.keep_daily,
            keep_weekly=chosen.keep_weekly,
            keep_within=chosen.keep_within,
        )

    def surroundings(self) -> "HostSurroundings":
        """What doctor looks at."""
        from modelward.evidence.surroundings import HostSurroundings

        site = self.site
        known = candidates(os.environ, Path.home(), sys.platform)
        return HostSurroundings(
            environ=os.environ,
            candidates=[(candidate.path, candidate.why) for candidate in known],
            unit=service_environment(Path("/")) if sys.platform == "linux" else {},
            store=site.store,
            vault=site.vault,
            sources=site.sources,
            registry=site.registry,
            reading=site.reading,
            clock=site.clock,
        )

    def known_to_forecasts(self) -> "Known":
        """What forecasts need beside the journal: the drives' own words, sizes of full passes, time limits."""
        from modelward.evidence.kernel import Host
        from modelward.evidence.smart import drive_readings
        from modelward.guard.tasks import tasks_of
        from modelward.services.forecast import Known

        site, vault = self.site, self.site.vault
        identities = [site.store.identity(), *([vault.identity] if vault is not None else [])]
        places = [(identity.device, identity.mount_source) for identity in identities]
        drives, notes = drive_readings(Host.of(os.environ), site.clock, places)
        whole = {"store": sum(stat.file.size for stat in site.store.inventory().blobs.values())}
        if vault is not None:
            whole["vault"] = sum(stat.file.size for stat in vault.objects().values())
        learned, missing = learned_detector(self.settings)
        return Known(
            learned=learned,
            windows={task.name: task.every.total_seconds() for task in tasks_of(self.settings)},
            whole=whole,
            deadline=self.settings.probe_deadline.total_seconds(),
            drives=drives,
            notes=(*notes, *missing),
        )

    def server_at(self, url: str) -> OllamaRuntime:
        """Another server than the one of the settings."""
        return OllamaRuntime(parse_host(url), self.site.clock, environ=os.environ)

    def serving(self, url: str, listen: str) -> "Endpoint":
        """A place from which the server at ``url`` can pull what the vault has.

        Without ``listen`` (address[:port]) it is loopback for a server here, and else the address by which this
        machine reaches it.
        """
        host, _, port = listen.rpartition(":") if ":" in listen else (listen, "", "0")
        if not port.isdecimal() or int(port) > 65_535:
            raise BadSetting("not an address and port", thing=listen, next_step="write for example 192.168.1.5:8123")
        shown = host if host not in ("", "0.0.0.0") else route_to(parse_host(url))  # noqa: S104 - what the user gave
        token = secrets.token_hex(16)
        from modelward.serving.endpoint import Endpoint

        return Endpoint(self.site.the_vault().open_blob, listen=(host or shown, int(port)), shown=shown, token=token)

    def wait_for_hours(self) -> None:
        """Wait until the hours in which the settings allow downloads; local time counts."""
        if self.settings.download_hours:
            now = self.site.clock.now().astimezone()
            wait = Timetable.parse(self.settings.download_hours).wait(now).total_seconds()
            if wait:
                self.site.progress.say("waiting", until=self.settings.download_hours, seconds=int(wait))
            self.site.clock.sleep(wait)

    def oci_registry(self) -> OciRegistry:
        """The registries that snapshots are sent to and fetched from, whether models may come from upstream or not."""
        return _registry(self.settings, SystemClock(), self.outside)

    def limit_time(self, text: str) -> None:
        """Begin no further chunk once this much time has passed; no limit for an empty text."""
        if text:
            self.site.reading.deadline = self.site.clock.monotonic() + parse_duration(text).total_seconds()


def resolve(flags: Mapping[str, str]) -> config.Resolved:
    """Every setting and its origin, from flags, this process's environment, the settings file and defaults."""
    return config.resolve(flags, os.environ, platform=sys.platform, home=Path.home(), cwd=Path.cwd())


@contextmanager
def open_workplace(flags: Mapping[str, str], wish: Wish, watch: Watch) -> Iterator[Workplace]:
    """Open what the flags, and all that stands behind them, name."""
    with open_settings(resolve(flags).settings, wish, watch) as place:
        yield place


@contextmanager
def open_settings(
    settings: config.Settings, wish: Wish, watch: Watch, errand: Errand | None = None
) -> Iterator[Workplace]:
    """Open the store and the vault that the settings name; ``watch`` gives the progress for a log level."""
    clock, errand = SystemClock(), errand or Errand()
    with ExitStack() as stack:
        progress = stack.enter_context(watch(settings.log_level))
        reading = _reading(settings, clock, progress, errand)
        path, place = Path(settings.vault), _place(settings, wish, stack)
        _keep_apart(place, path)
        store = _store(place, settings, clock, create=wish.create_store)
        receipts = LocalVault.receipts_path(path)
        ledgers = FolderLedgers(receipts, clock, home=receipts.parent)
        vault = _vault(path, ledgers, reading, settings, wish)
        receipts = receipts if vault is not None else _own_ledgers(path)
        ledgers = ledgers if vault is not None else FolderLedgers(receipts, clock)
        outside = set[str]()
        registry = stack.enter_context(closing(_registry(settings, clock, outside))) if settings.upstream else None
        sources: list[Source] = [VaultSource(vault, ledgers)] if vault is not None else []
        sources += _siblings(settings, Path(store.path), path, receipts, reading)
        sources += _upstream(registry, settings, clock)
        site = Site(
            store=store,
            vault=vault,
            ledgers=ledgers,
            store_key=store_key(store.path),
            sources=tuple(sources),
            runtime=OllamaRuntime(
                parse_host(settings.ollama_host), clock, read_seconds=errand.server_seconds, environ=os.environ
            ),
            reading=reading,
            clock=clock,
            progress=progress,
            models=settings.models,
            registry=registry,
            plain_http=settings.plain_http,
            store_source=StoreSource(store, ledgers, store_key(store.path)),
            cause=errand.cause,
        )
        yield Workplace(settings=settings, site=site, outside=outside)


def _reading(settings: config.Settings, clock: SystemClock, progress: Progress, errand: Errand) -> Reading:
    reading = Reading(
        clock=clock,
        progress=progress,
        pace=Pace(clock, settings.limit_rate),
        mode=ReadMode.CACHED if settings.buffered else ReadMode.DIRECT,
        threads=settings.threads,
        stop=errand.stop,
    )
    if errand.frugal:
        reading.threads, reading.spare = reading.threads or _FEW_THREADS, 1
    return reading


def _registry(settings: config.Settings, clock: SystemClock, outside: Collection[str]) -> RegistryClient:
    return RegistryClient(
        clock, mirrors=settings.mirrors, plain_http=settings.plain_http, environ=os.environ, outside=outside
    )


def _upstream(registry: RegistryClient | None, settings: config.Settings, clock: SystemClock) -> list[PacedSource]:
    if registry is None:
        return []
    return [PacedSource(UpstreamSource(registry), Pace(clock, settings.download_rate))]


def _siblings(
    settings: config.Settings, store: Path, vault: Path, receipts: Path, reading: Reading
) -> list[SiblingSource]:
    """Every other folder of this host that may hold the same blobs."""
    stores = [candidate.path for candidate in candidates(os.environ, Path.home(), sys.platform)]
    own = (store, vault)
    found = find_siblings(os.environ, Path.home(), named=settings.siblings, stores=stores, own=own)
    return [SiblingSource(path, receipts=receipts, reading=reading, own=own) for path in found]


def find(settings: config.Settings) -> Path:
    """The store's folder: the one that the settings name, else the one that this machine serves from."""
    if settings.store:
        return Path(settings.store)
    return find_store(os.environ, Path.home(), sys.platform).path


def _keep_apart(store: Path, vault: Path) -> None:
    """A vault in a store is pruned by the runtime, a store in a vault is none of the vault's business (G1)."""
    inner, outer = vault.expanduser().resolve(), store.expanduser().resolve()
    if inner == outer or outer in inner.parents or inner in outer.parents:
        raise BadSetting(
            f"the vault and the store {outer} lie in one another",
            thing=inner,
            next_step="name a folder beside them with --vault, best on another disk",
        )


def _place(settings: config.Settings, wish: Wish, stack: ExitStack) -> Path:
    """The store's folder; for a verb that can do without one, an empty folder that goes with it."""
    try:
        return find(settings)
    except StoreNotFound:
        if not wish.storeless:
            raise
        return stack.enter_context(scratch())


def _store(place: Path, settings: config.Settings, clock: SystemClock, *, create: bool) -> OllamaStore:
    limits = StoreLimits(lock_wait=settings.lock_wait.total_seconds(), reserve=settings.reserve)
    return OllamaStore.open(place, clock=clock, limits=limits, create=create)


def _vault(
    path: Path, ledgers: FolderLedgers, reading: Reading, settings: config.Settings, wish: Wish
) -> LocalVault | None:
    limits = VaultLimits(lock_wait=settings.lock_wait.total_seconds(), reserve=settings.reserve)
    try:
        return LocalVault.open(path, ledgers=ledgers, reading=reading, limits=limits)
    except VaultMissing:
        if wish.create_vault:
            return LocalVault.create(path, ledgers=ledgers, reading=reading, limits=limits)
        if wish.need_vault:
            raise
        return None


def _own_ledgers(vault: Path) -> Path:
    """Where receipts go while there is no vault: beside the place where it would be."""
    return vault.parent / "receipts"


def practice_store(folder: Path) -> Path:
    """A small store with one tiny real model, to try the commands on; made once."""
    from modelward.testing import FakeStore, tiny_gguf

    store = folder.expanduser().resolve() / "models"
    if not (store / "manifests").exists():
        FakeStore(store).add_model("practice", tiny_gguf(), template=b"{{ .Prompt }}", license=b"no rights reserved")
    return store


def bundle_target(path: str, settings: config.Settings, *, force: bool) -> "Target":
    """The bundle to be written at ``path``, or to standard output for ``-``."""
    from modelward.bundles.writer import BundleFile, BundleOutput

    return BundleOutput() if path == "-" else BundleFile(path, reserve=settings.reserve, force=force)


def opened_bundle(path: str) -> "AbstractContextManager[Bundle]":
    """The bundle at ``path``, or on standard input for ``-``, its header proved."""
    from modelward.bundles.reader import opened_bundle as opened

    return opened(path)


def alert_channels(settings: config.Settings, clock: Clock) -> tuple[Notifier, ...]:
    """Every way out of this machine that the settings name for alerts; raises BadSetting."""
    from modelward.notify import secret_file
    from modelward.notify.apprise_ import AppriseNotifier
    from modelward.notify.webhook import WebhookNotifier

    host = platform.node()
    found: list[Notifier] = []
    if settings.webhook_url:
        secret = settings.webhook_secret or secret_file.single(settings.webhook_secret_file, "webhook_secret_file")
        found.append(WebhookNotifier(settings.webhook_url, secret, host=host, clock=clock, environ=os.environ))
    urls = (*settings.alert_urls, *secret_file.lines(settings.alert_urls_file, "alert_urls_file"))
    found += [AppriseNotifier(url, number, host=host, environ=os.environ) for number, url in enumerate(urls, 1)]
    return tuple(found)


def deadman(settings: config.Settings) -> Deadman | None:
    """The monitor elsewhere that wants a sign of life, if the settings name one; raises BadSetting."""
    from modelward.notify.deadman import DeadmanPing

    return DeadmanPing(settings.deadman_url, environ=os.environ) if settings.deadman_url else None


def collector(settings: config.Settings) -> Collector | None:
    """Where spans and metrics are told, if the settings name a place; raises BadSetting, MissingExtra."""
    if not settings.otlp_endpoint:
        return None
    from modelward.notify import secret_file
    from modelward.notify.otlp import OtlpCollector, headers_of

    lines = (*settings.otlp_headers, *secret_file.lines(settings.otlp_headers_file, "otlp_headers_file"))
    return OtlpCollector(settings.otlp_endpoint, headers_of(lines, "otlp_headers"), os.environ)


def half_space_trees() -> "Trees":
    """The detector itself, with the time that a back-test takes; raises MissingExtra."""
    from modelward.learned.trees import HalfSpaceTrees

    return HalfSpaceTrees(os.environ, seconds=1800.0)


def learned_detector(settings: config.Settings) -> "tuple[Learned | None, tuple[str, ...]]":
    """The detector that the settings want in place of our own, or a note on what it lacks."""
    if settings.forecast_trees == "off":
        return None, ()
    from modelward.forecast.trees import HABITS
    from modelward.learned.record import record
    from modelward.learned.trees import HalfSpaceTrees
    from modelward.services.forecast import Learned

    kept = record()
    kinds = [kind for kind in HABITS if settings.forecast_trees == "on" or kind in kept.won]
    if not kinds:
        return None, ()
    try:
        trees = HalfSpaceTrees(os.environ)
    except MissingExtra as error:
        return None, (f"forecast_trees: {error}",)
    return Learned(trees=trees, right={kind: kept.precision(kind) for kind in kinds}), ()


@contextmanager
def journal_beside(settings: config.Settings, *, write: bool) -> Iterator[Journal | None]:
    """The journal, beside a guard that may be writing to it; None where there is none yet and nothing is to be kept."""
    from modelward.journal.sqlite import LARGEST, SqliteJournal, read_journal

    folder = Path(settings.state)
    journal = SqliteJournal(Folder.open(folder, create=True), LARGEST) if write else read_journal(folder)
    if journal is None:
        yield None
        return
    with closing(journal):
        yield journal
