"""Everything that doctor looks at, in one place: the host, the Compose files, the damage, the kernel log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modelward.domain.cause import Cause
from modelward.domain.diagnose_damage import diagnose_damage
from modelward.domain.manifest import Manifest
from modelward.domain.name import ModelName
from modelward.domain.scene import Definition, Scene, ServerSeen
from modelward.domain.store import Inventory
from modelward.domain.verdict import Report
from modelward.evidence import compose, host
from modelward.evidence.damage import Help, collect
from modelward.evidence.kernel import Host, collect_kernel
from modelward.ports import Clock, Registry, Source, Store, Vault
from modelward.scan import Reading


@dataclass(kw_only=True)
class HostSurroundings:
    """This host. ``candidates`` are known places of stores, and why; ``unit`` holds the service's variables."""

    environ: Mapping[str, str]
    candidates: Sequence[tuple[Path, str]]
    unit: Mapping[str, str]
    store: Store
    vault: Vault | None
    sources: tuple[Source, ...]
    registry: Registry | None
    reading: Reading
    clock: Clock
    _notes: tuple[str, ...] = field(default=())

    def scene(self, site_store: Store, files: Sequence[str]) -> Scene:
        """Stores, server processes and definitions."""
        ours = Path(site_store.path)
        servers, notes = host.servers()
        definitions: list[Definition] = [
            found for file in files for found in compose.definitions(Path(file), self.environ)
        ]
        if (service := host.unit(self.unit)) is not None:
            definitions.append(service)
        served = servers[0].folder if len(servers) == 1 and servers[0].folder != (0, 0) else None
        return Scene(
            store=site_store.path,
            folder=host.identity(ours) or (0, 0),
            stores=tuple(host.stores(ours, [*self.candidates, *_of(servers)], served)),
            servers=tuple(servers),
            definitions=tuple(definitions),
            wanted=bool(servers or definitions or self.environ.get("OLLAMA_HOST")),
            read_only=host.read_only(ours),
            notes=tuple(notes),
        )

    def real(self, path: str) -> tuple[int, int] | None:
        """Which folder a path leads to."""
        return host.identity(Path(path))

    def damage(
        self, inventory: Inventory, report: Report, server: str, recalled: Mapping[ModelName, Manifest]
    ) -> tuple[Cause, ...]:
        """Why what the report found is damaged."""
        identity = self.store.identity()
        kernel = collect_kernel(
            Host.of(self.environ), self.clock, device=identity.device, mount_source=identity.mount_source
        )
        pins = self.vault.protected().pins if self.vault is not None else {}
        helpers = Help(
            vault=self.vault,
            recalled=recalled,
            sources=self.sources,
            registry=self.registry,
            pinned=pins,
            kernel=kernel,
            reader=None,
            server=server,
        )
        evidence = collect(self.store, inventory, report, self.reading, helpers)
        self._notes = (*evidence.notes, *kernel.notes)
        return diagnose_damage(evidence)

    def notes(self) -> tuple[str, ...]:
        """What the last look at damage could not read."""
        return self._notes


def _of(servers: Sequence[ServerSeen]) -> list[tuple[Path, str]]:
    return [(Path(server.store), f"read by process {server.pid}") for server in servers]
