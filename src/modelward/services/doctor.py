"""Doctor: name the cause, from evidence, with the next command; nothing is changed but receipts."""

import msgspec

from modelward.domain.cause import Cause, Certainty, Diagnosis, Kind, StoreSeen
from modelward.domain.diagnose_scene import diagnose_scene
from modelward.domain.errors import RuntimeUnreachable
from modelward.domain.name import ModelName
from modelward.domain.reading import Level
from modelward.domain.scene import Scene
from modelward.ports import Runtime, Surroundings
from modelward.services.expect import recalled_manifests
from modelward.services.identity import store_findings
from modelward.services.site import Site
from modelward.services.verify import verify


def doctor(
    site: Site,
    around: Surroundings,
    asked: tuple[ModelName, ...] = (),
    *,
    compose: tuple[str, ...] = (),
    level: Level = Level.FULL,
) -> Diagnosis:
    """Which stores there are, which one the server reads, which one we look at; then why what is damaged is so."""
    began = site.clock.monotonic()
    inventory = site.store.inventory()
    scene = _with_server(site, around.scene(site.store, compose), around)
    scene = msgspec.structs.replace(scene, findings=store_findings(site, inventory), ours=len(inventory.models))
    report = verify(site, asked, level, inventory=inventory)
    recalled = recalled_manifests(site, inventory, asked)
    causes = (*diagnose_scene(scene), *around.damage(inventory, report, _version(site.runtime), recalled))
    return Diagnosis(
        store=site.store.path,
        server=_server(scene),
        server_store=scene.server_store,
        stores=scene.stores,
        causes=_told_once(causes) or _unexplained(report.exit_code),
        notes=(*scene.notes, *around.notes()),
        seconds=round(site.clock.monotonic() - began, 3),
    )


def _with_server(site: Site, scene: Scene, around: Surroundings) -> Scene:
    """Ask the server which store it reads: its modelfiles say so, else its process does."""
    if site.runtime is None:
        return scene
    try:
        served = site.runtime.tags()
    except RuntimeUnreachable:
        return msgspec.structs.replace(scene, url=site.runtime.url, answers=False)
    said = _says(site.runtime, [model.name for model in served])
    path = said or (scene.servers[0].store if len(scene.servers) == 1 else "")
    folder = _folder(path, scene, around)
    return msgspec.structs.replace(
        scene,
        url=site.runtime.url,
        answers=True,
        served=len(served),
        server_store=path,
        # A path that leads nowhere here is one inside a container: it proves nothing.
        elsewhere=folder not in {None, scene.folder},
        stores=tuple(_marked(store, folder, around) for store in scene.stores),
    )


def _folder(path: str, scene: Scene, around: Surroundings) -> tuple[int, int] | None:
    """Which folder the server's path is: that of the process which reads it, in its container; else the one here."""
    theirs = {server.folder for server in scene.servers if path and server.store == path}
    if len(theirs) == 1:
        (folder,) = theirs
        return None if folder == (0, 0) else folder
    return around.real(path) if path and not theirs else None


def _marked(store: StoreSeen, folder: tuple[int, int] | None, around: Surroundings) -> StoreSeen:
    """The store with whether the server reads it, where that is known now."""
    return store if folder is None else msgspec.structs.replace(store, served=around.real(store.path) == folder)


def _says(runtime: Runtime, names: list[str]) -> str:
    """The store that the modelfile of the first model that has one gives away."""
    for name in names[:5]:
        try:
            if store := runtime.show(name).store:
                return store
        except RuntimeUnreachable:
            continue
    return ""


def _version(runtime: Runtime | None) -> str:
    try:
        return runtime.version() if runtime is not None else ""
    except RuntimeUnreachable:
        return ""


def _server(scene: Scene) -> str:
    if scene.answers is None:
        return ""
    return f"{scene.url} ({scene.served} models)" if scene.answers else f"{scene.url} (does not answer)"


def _told_once(causes: tuple[Cause, ...]) -> tuple[Cause, ...]:
    """A store that is empty or not mounted explains every lost model of it: those are not told again.

    One that another server reads does not: what is lost from it is lost, and may be pruned at a start.
    """
    whole = {Kind.STORE_EMPTY, Kind.STORE_UNMOUNTED} & {cause.kind for cause in causes}
    hidden = {Kind.MANIFEST_LOST, Kind.BLOB_LOST} if whole else set()
    return tuple(dict.fromkeys(cause for cause in causes if cause.kind not in hidden))


def _unexplained(code: int) -> tuple[Cause, ...]:
    """Damage without a cause is said to be without one."""
    if not code:
        return ()
    return (
        Cause(
            kind=Kind.UNKNOWN,
            thing="the store",
            evidence=("verify finds damage, and nothing that is left says why",),
            certainty=Certainty.POSSIBLE,
            next="modelward verify, then modelward repair",
        ),
    )
