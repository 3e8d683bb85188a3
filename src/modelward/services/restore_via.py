"""Restore where only the server's API is reachable: it pulls from an endpoint of ours and checks the digests itself."""

from modelward.domain.errors import ModelwardError, RuntimeRefused
from modelward.domain.manifest import Manifest
from modelward.domain.name import ModelName
from modelward.domain.outcome import ViaReport
from modelward.ports import Runtime, Serving
from modelward.services.restore import choose
from modelward.services.site import Site


def restore_via(  # noqa: PLR0913 - what, from where, and to where
    site: Site, server: Runtime, serving: Serving, name: ModelName, wanted: str = "", *, dry_run: bool = False
) -> ViaReport:
    """Let the server pull the version under a temporary name, copy it to the real one, and drop the temporary one.

    Raises RuntimeRefused with the server's words when it cannot; the temporary name goes in any case.
    """
    began = site.clock.monotonic()
    snapshot, manifest, notes = choose(site, name, wanted)
    before = _listed(server, name.short)
    report = ViaReport(
        model=name,
        server=server.url,
        snapshot=snapshot.id,
        manifest=manifest.digest,
        size=manifest.size,
        replaced=before if before != manifest.digest.hex else "",
        notes=notes,
        dry_run=dry_run,
    )
    if dry_run:
        return report
    with site.audited("restore --via", model=name, snapshot=snapshot.id, target=server.url) as told:
        sent = told["bytes"] = _sent(site, server, serving, name, manifest)
    if sent < manifest.size:
        notes = (*notes, "what the server had under these names it took for good: verify it where its files are")
    return report.done(sent=sent, seconds=round(site.clock.monotonic() - began, 3), notes=notes)


def _sent(site: Site, server: Runtime, serving: Serving, name: ModelName, manifest: Manifest) -> int:
    """Serve the model, let the server pull and rename it; returns the bytes that went out."""
    with serving.serving(name, manifest) as served:
        try:
            for line in server.pull(served.reference, insecure=True):
                site.progress.say("pull", status=line.status, completed=line.completed, total=line.total)
            _require(server, served.reference, manifest.digest.hex)
            server.copy(served.reference, name.short)
        finally:
            _forget(site, server, served.reference)
        _require(server, name.short, manifest.digest.hex)
        return served.sent


def _listed(server: Runtime, name: str) -> str:
    """The manifest digest (hex) that the server lists under a name; empty when it lists none."""
    return next((model.digest for model in server.tags() if model.name == name), "")


def _require(server: Runtime, name: str, digest: str) -> None:
    found = _listed(server, name)
    if found != digest:
        raise RuntimeRefused(
            f"the server lists {found[:12] or 'nothing'} and not version {digest[:12]}",
            thing=name,
            next_step="see what it says: ollama list",
        )


def _forget(site: Site, server: Runtime, name: str) -> None:
    """Take the temporary name away; a server that did not get that far has none."""
    try:
        server.delete(name)
    except ModelwardError as error:
        site.progress.say("temporary_name_left", name=name.partition("/")[2].partition("/")[2], error=str(error))
