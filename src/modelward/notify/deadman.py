"""The sign of life to a monitor elsewhere, which raises the alarm when it stays away."""

from collections.abc import Mapping

from modelward import __version__
from modelward.notify.web import SECONDS, SecretAddress


class DeadmanPing:
    """Fetches one address."""

    def __init__(self, url: str, *, environ: Mapping[str, str], seconds: float = SECONDS) -> None:
        """Raises BadSetting for what is no address."""
        self._address = SecretAddress(url, "deadman_url", environ, seconds)

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return "dead-man ping"

    def ping(self) -> None:
        """Fetch the address; raises DeliveryFailed."""
        self._address.ask("GET", {"User-Agent": f"modelward/{__version__}"}, None)
