"""Ask the server and its models: is it there, what does it list, does a model give a real token in time."""

from collections.abc import Iterable
from datetime import datetime

from modelward.domain.alert import Condition, Kind
from modelward.domain.errors import BadName, RuntimeUnreachable
from modelward.domain.history import ProbeRow, ServerRow
from modelward.domain.name import ModelName
from modelward.domain.runtime import ProbeResult
from modelward.domain.standing import ModelStanding, ServerStanding
from modelward.guard.heart import Heart
from modelward.guard.memory import LastProbe
from modelward.ports import Runtime

_BELIEVED = 5  # busy probes in a row that are taken for others being served; a request that never ends looks the same


class Prober:
    """Looks at the server and probes models; owned by one thread, since a server that hangs keeps it waiting."""

    def __init__(self, heart: Heart, runtime: Runtime) -> None:
        self._heart, self._runtime = heart, runtime

    def check(self) -> bool:
        """Is the server there, and what does it list; True when it answered."""
        heart, began = self._heart, self._heart.clock.monotonic()
        try:
            version = self._runtime.version()
            listed = frozenset(_names(model.name for model in self._runtime.tags()))
        except RuntimeUnreachable as error:
            self._server(began, error=str(error))
            heart.memory.served = None
        else:
            self._server(began, version=version)
            heart.memory.served = listed
        self._tell()
        return heart.memory.server.up is True

    def _server(self, began: float, *, version: str = "", error: str = "") -> None:
        heart, now = self._heart, self._heart.clock.now()
        seconds = heart.clock.monotonic() - began
        heart.memory.server = ServerStanding(
            url=self._runtime.url, up=not error, version=version, checked_at=now, error=error
        )
        heart.record([ServerRow(at=now, up=not error, seconds=seconds, version=version, error=error)])
        heart.board.stir()

    def probe(self) -> None:
        """Probe those whose turn it is."""
        for name in self._chosen():
            result = self._runtime.probe(name.short, seconds=self._heart.settings().probe_deadline.total_seconds())
            self._note(name, result)
        self._tell()

    def _chosen(self) -> list[ModelName]:
        """By the setting: all that are protected and served, those in memory, or one of them, or none."""
        heart = self._heart
        standing, wish = heart.board.standing, heart.settings().probe
        if standing is None or wish == "off" or heart.memory.served is None:
            return []
        able = [model for model in standing.models if model.protected and model.name in heart.memory.served]
        if wish == "all":
            return [model.name for model in able]
        loaded = self._loaded()
        chosen = [model.name for model in able if model.name in loaded]
        return chosen if wish == "loaded" else (chosen or _smallest(able))[:1]

    def _loaded(self) -> frozenset[ModelName]:
        try:
            return frozenset(_names(self._runtime.loaded()))
        except RuntimeUnreachable:
            return frozenset()

    def _note(self, name: ModelName, result: ProbeResult) -> None:
        heart, now = self._heart, self._heart.clock.now()
        before = heart.memory.probes.get(name)
        heart.memory.probes[name] = _after(before, result, now)
        heart.log.say(
            "probe", model=str(name), outcome=result.outcome, seconds=round(result.seconds, 3), why=result.why
        )
        heart.record(
            [ProbeRow(at=now, model=str(name), outcome=result.outcome, seconds=result.seconds, loaded=result.loaded)]
        )

    def _tell(self) -> None:
        self._heart.alarm.observe((*self._of_server(), *self._of_models()), {Kind.SERVICE})

    def _of_server(self) -> Iterable[Condition]:
        server = self._heart.memory.server
        if server.up is False:
            yield Condition(
                kind=Kind.SERVICE,
                subject=server.url,
                detail=server.error,
                next="start the server, or name the right one with OLLAMA_HOST",
            )

    def _of_models(self) -> Iterable[Condition]:
        """Models that fail often enough in a row; a server that lists them and does not generate is an outage."""
        if self._heart.memory.server.up is False:
            return
        for name, probe in self._heart.memory.probes.items():
            if probe.failed >= max(1, self._heart.settings().probe_failures):
                yield Condition(
                    kind=Kind.SERVICE,
                    subject=name.short,
                    detail=f"{probe.failed} probes in a row gave no token ({probe.result.outcome}: {probe.result.why})",
                    next=f"ask it yourself: ollama run {name.short} hi; then restart the server",
                )


def _after(before: LastProbe | None, result: ProbeResult, now: datetime) -> LastProbe:
    failed, busy = (before.failed, before.busy) if before is not None else (0, 0)
    if result.outcome == "busy" and busy < _BELIEVED:
        return LastProbe(at=now, result=result, failed=failed, busy=busy + 1)
    return LastProbe(at=now, result=result, failed=0 if result.outcome == "ok" else failed + 1)


def _smallest(models: Iterable[ModelStanding]) -> list[ModelName]:
    return [model.name for model in sorted(models, key=lambda model: (model.size, model.name))]


def _names(words: Iterable[str]) -> Iterable[ModelName]:
    """The server's names as ours; one that no store may hold is none."""
    for word in words:
        try:
            yield ModelName.parse(word)
        except BadName:
            continue
