"""What doctor sees around a store: servers, and the definitions that they are started by."""

from pathlib import PurePosixPath

import msgspec

from modelward.domain.cause import StoreSeen
from modelward.domain.finding import StoreFinding


class ServerSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A server process of this host: the store that it reads as it sees it, and which folder that is.

    ``folder`` is device and inode of the store's folder, (0, 0) where it could not be looked at.
    """

    pid: int
    store: str
    folder: tuple[int, int] = (0, 0)
    listens: str = ""
    container: bool = False


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """Where a volume (its name), or a folder of the host (its path), appears in a container."""

    source: str
    target: str


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which a server is started: ``where`` says which file and service; ``models`` its OLLAMA_MODELS."""

    where: str
    models: str = ""
    mounts: tuple[Mount, ...] = ()
    container: bool = True
    home: str = "/root"

    @property
    def store(self) -> str:
        """The store's path as that server sees it."""
        return self.models or f"{self.home}/.ollama/models"

    @property
    def volume(self) -> Mount | None:
        """The mount that the store lies on: the one with the longest target above it."""
        store = PurePosixPath(self.store)
        above = [mount for mount in self.mounts if store.is_relative_to(mount.target)]
        return max(above, key=lambda mount: len(mount.target), default=None)

    @property
    def inside(self) -> str:
        """Where in the volume the store is; empty for its top, and without a volume."""
        mount = self.volume
        inside = "." if mount is None else str(PurePosixPath(self.store).relative_to(mount.target))
        return "" if inside == "." else inside

    @property
    def place(self) -> str:
        """The store's folder on the host, or below the name of its volume; empty where no volume holds it."""
        mount = self.volume
        if not self.container:
            return self.store
        return "" if mount is None else str(PurePosixPath(mount.source, self.inside))


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """All that was seen around the store at ``store``.

    ``answers`` is None where no server was looked for, ``served`` how many models it lists; ``server_store`` is the
    path that it reads, as it says, or as its process does. ``wanted`` says whether a server ought to run here.
    """

    store: str
    folder: tuple[int, int]
    stores: tuple[StoreSeen, ...] = ()
    servers: tuple[ServerSeen, ...] = ()
    definitions: tuple[Definition, ...] = ()
    url: str = ""
    answers: bool | None = None
    served: int = 0
    server_store: str = ""
    elsewhere: bool = False
    wanted: bool = False
    findings: tuple[StoreFinding, ...] = ()
    ours: int = 0
    read_only: bool = False
    notes: tuple[str, ...] = ()
