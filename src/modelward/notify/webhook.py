"""Notices as signed JSON, posted to an address of the user's."""

import hmac
from collections.abc import Mapping
from hashlib import sha256

import msgspec

from modelward import __version__
from modelward.domain.alert import Notice
from modelward.domain.codec import encode
from modelward.notify.web import SECONDS, SecretAddress
from modelward.ports import Clock

SIGNATURE = "X-Modelward-Signature"
SCHEMA = "modelward/notice/1"


class WebhookNotifier:
    """Posts every notice; with a secret each body is signed together with the time, so that nobody can replay it."""

    def __init__(  # noqa: PLR0913 - where, signed by what, and the world around it
        self,
        url: str,
        secret: str,
        *,
        host: str,
        clock: Clock,
        environ: Mapping[str, str],
        seconds: float = SECONDS,
    ) -> None:
        """``host`` is this machine's name, for the receiver. Raises BadSetting for what is no address."""
        self._secret, self._host, self._clock = secret, host, clock
        self._address = SecretAddress(url, "webhook_url", environ, seconds)

    @property
    def name(self) -> str:
        """What the channel is called."""
        return "webhook"

    def send(self, notice: Notice) -> None:
        """Post it; raises DeliveryFailed."""
        body = document(notice, self._host)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"modelward/{__version__}",
            "X-Modelward-Notice": notice.id,
        }
        if self._secret:
            headers[SIGNATURE] = signature(body, self._secret, int(self._clock.now().timestamp()))
        self._address.ask("POST", headers, body)


def document(notice: Notice, host: str) -> bytes:
    """The JSON that is posted: schema, program version, host, then the notice's own keys."""
    head = {"schema": SCHEMA, "modelward": __version__, "host": host}
    body: dict[str, object] = msgspec.to_builtins(notice)
    return encode(head | body)


def signature(body: bytes, secret: str, moment: int) -> str:
    """The header's value: ``t=<Unix seconds>,v1=<hex HMAC-SHA256 of "t.body">``."""
    signed = hmac.new(secret.encode(), f"{moment}.".encode() + body, sha256).hexdigest()
    return f"t={moment},v1={signed}"
