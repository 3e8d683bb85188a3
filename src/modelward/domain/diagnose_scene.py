"""Why a model seems lost though its bytes are well: another store is read, defined, mounted, or served twice."""

from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import PurePosixPath

from modelward.domain.cause import Cause, Certainty, Kind, StoreSeen
from modelward.domain.finding import StoreEmpty, StoreMoved, StoreUnmounted, WrongStore
from modelward.domain.scene import Definition, Scene
from modelward.domain.words import describe


def diagnose_scene(scene: Scene) -> tuple[Cause, ...]:
    """The causes, the most pressing first."""
    return tuple(
        cause
        for part in (_elsewhere, _unmounted, _empty, _disagree, _twice, _fleeting, _read_only, _down)
        for cause in part(scene)
    )


def _elsewhere(scene: Scene) -> Iterator[Cause]:
    wrong = [found for found in scene.findings if isinstance(found, WrongStore)]
    if not scene.elsewhere and not wrong:
        return
    evidence = [f"we look at {scene.store} ({scene.ours} models)"]
    if scene.server_store:
        evidence.append(f"the server at {scene.url} reads {scene.server_store} and lists {scene.served} models")
    evidence += [describe(found) for found in wrong]
    fuller = scene.ours > scene.served
    keep = scene.store if fuller else scene.server_store
    way = f"start the server with OLLAMA_MODELS={keep}" if fuller else f"modelward status --store {keep}"
    yield Cause(
        kind=Kind.STORE_ELSEWHERE,
        thing=scene.server_store or scene.url,
        evidence=tuple(evidence),
        certainty=Certainty.PROVED if scene.elsewhere else Certainty.LIKELY,
        next=way,
    )


def _unmounted(scene: Scene) -> Iterator[Cause]:
    for found in scene.findings:
        if isinstance(found, StoreUnmounted):
            yield Cause(
                kind=Kind.STORE_UNMOUNTED,
                thing=scene.store,
                evidence=(
                    f"the vault saw it on {found.mount_source} at {found.mount_point}, now nothing is mounted there",
                ),
                certainty=Certainty.PROVED,
                next=f"mount {found.mount_point}, then restart the server",
            )


def _empty(scene: Scene) -> Iterator[Cause]:
    for found in scene.findings:
        if isinstance(found, StoreEmpty):
            full = _fullest(scene.stores)
            evidence = [f"the store has no model and no blob, the vault knows {found.known}"]
            evidence += [f"{full.path} holds {len(full.models)} models ({full.why})"] if full else []
            yield Cause(
                kind=Kind.STORE_EMPTY,
                thing=scene.store,
                evidence=tuple(evidence),
                certainty=Certainty.PROVED,
                next=(
                    f"start the server with OLLAMA_MODELS={full.path}"
                    if full
                    else "mount the volume that held it, or fill this one: modelward restore MODEL"
                ),
            )
        elif isinstance(found, StoreMoved):
            yield Cause(
                kind=Kind.STORE_ELSEWHERE,
                thing=scene.store,
                evidence=(describe(found),),
                certainty=Certainty.LIKELY,
                next="look whether it was recreated; if it is the right one: modelward backup --accept-store",
            )


def _fullest(stores: Iterable[StoreSeen]) -> StoreSeen | None:
    others = [store for store in stores if not store.ours and store.models]
    return max(others, key=lambda store: len(store.models), default=None)


def _disagree(scene: Scene) -> Iterator[Cause]:
    """Definitions that put the store at different places of one volume, or folder: each start shows other models."""
    for one, two in combinations(scene.definitions, 2):
        shared = _shared(one, two)
        if shared and one.place != two.place:
            yield Cause(
                kind=Kind.TWO_DEFINITIONS,
                thing=shared,
                evidence=(_placed(one), _placed(two), "started by the one, the server does not see the other's models"),
                certainty=Certainty.PROVED,
                next=_agree(one, two),
            )


def _shared(one: Definition, two: Definition) -> str:
    """The volume, or folder of the host, that both keep models in; empty where there is none."""
    sources = [each.volume.source if each.volume is not None else "" for each in (one, two)]
    if sources[0] == sources[1]:
        return sources[0]
    for host, other in ((one, sources[1]), (two, sources[0])):
        if not host.container and other.startswith("/") and PurePosixPath(host.store).is_relative_to(other):
            return other
    return ""


def _placed(definition: Definition) -> str:
    volume = definition.volume
    place = f"volume {volume.source}, {definition.inside or 'at its top'}" if volume else "on the host"
    setting = f"OLLAMA_MODELS={definition.models}" if definition.models else "no OLLAMA_MODELS"
    return f"{definition.where}: {setting}, so the store is {definition.store} ({place})"


def _agree(one: Definition, two: Definition) -> str:
    if one.container and two.container:
        return f"give both the same OLLAMA_MODELS, best none: then the store is {one.home}/.ollama/models"
    return f"let both keep it at one place, {one.place} or {two.place}"


def _twice(scene: Scene) -> Iterator[Cause]:
    """Two servers on one folder: each start prunes what the other has not finished."""
    for one, two in combinations(scene.servers, 2):
        if one.folder == two.folder != (0, 0):
            yield Cause(
                kind=Kind.TWO_SERVERS,
                thing=one.store,
                evidence=(
                    f"process {one.pid} reads {one.store}" + (f" and listens on {one.listens}" if one.listens else ""),
                    f"process {two.pid} reads {two.store}" + (f" and listens on {two.listens}" if two.listens else ""),
                    "at its start a server removes blobs that no manifest names yet, the other's downloads too",
                ),
                certainty=Certainty.PROVED,
                next=f"end one of them (process {max(one.pid, two.pid)}), or give it a store of its own",
            )


def _fleeting(scene: Scene) -> Iterator[Cause]:
    for definition in scene.definitions:
        if definition.container and definition.volume is None:
            yield Cause(
                kind=Kind.NOT_PERSISTED,
                thing=definition.where,
                evidence=(f"{definition.where}: no volume holds {definition.store}",),
                certainty=Certainty.PROVED,
                next=f"add a volume for {definition.store.removesuffix('/models')}, then pull or restore into it",
            )


def _read_only(scene: Scene) -> Iterator[Cause]:
    if scene.read_only:
        yield Cause(
            kind=Kind.READ_ONLY,
            thing=scene.store,
            evidence=("its file system is mounted read-only",),
            certainty=Certainty.PROVED,
            next="look for disk errors (dmesg), then remount it read-write",
        )


def _down(scene: Scene) -> Iterator[Cause]:
    if scene.answers is False and scene.wanted:
        yield Cause(
            kind=Kind.SERVER_DOWN,
            thing=scene.url,
            evidence=(f"nothing answers at {scene.url}", *(f"process {s.pid} runs" for s in scene.servers)),
            certainty=Certainty.PROVED,
            next="start it, or set OLLAMA_HOST to where it listens",
        )
