"""What the guard works on: a workplace opened afresh for each piece of work, so that nothing is held while it waits."""

import threading
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from modelward.config import Settings
from modelward.domain.retention import Policy
from modelward.ports import OciRegistry, Progress, Runtime, Serving
from modelward.services.site import Site

if TYPE_CHECKING:
    from modelward.ports import Surroundings
    from modelward.services.forecast import Known


class Place(Protocol):
    """The settings, and the site that they lead to; ``bootstrap.Workplace`` is one."""

    @property
    def settings(self) -> Settings:
        """All settings."""

    @property
    def site(self) -> Site:
        """Store, vault and what is around them."""

    def keep_outside(self, host: str) -> None:
        """Let this registry, named by somebody far away, be asked on the public internet only, from now on."""

    def policy(self) -> Policy:
        """The retention policy."""

    def surroundings(self) -> "Surroundings":
        """What doctor looks at."""

    def oci_registry(self) -> OciRegistry:
        """The registries that snapshots are sent to and fetched from."""

    def known_to_forecasts(self) -> "Known":
        """What forecasts have to know beside the journal: windows, sizes, and what the drives say."""

    def server_at(self, url: str) -> Runtime:
        """Another server than the one of the settings."""

    def serving(self, url: str, listen: str) -> Serving:
        """A place from which the server at ``url`` can pull what the vault has."""


class Opener(Protocol):
    """Opens a workplace; a new one sees the settings, the mounts and the files as they are then."""

    def __call__(
        self, progress: Progress, stop: threading.Event, *, cause: str, hurry: bool = False, create_vault: bool = False
    ) -> AbstractContextManager[Place]:
        """Open it for one piece of work, which ``stop`` ends at its next chunk and ``cause`` names in the audit log.

        ``hurry`` asks the server for no more than a second: damage must not wait for a server that hangs.
        """
