"""Spans and metrics to a collector of OpenTelemetry, sent by a process of its own: the guard cannot hang in it."""

from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from typing import Final

import msgspec

from modelward.child import ask
from modelward.domain.codec import learned
from modelward.domain.errors import BadSetting, DeliveryFailed, MissingExtra
from modelward.domain.telemetry import Parcel, Sent
from modelward.notify.web import SecretAddress

SECONDS: Final = 25.0  # two posts of 10 s each, and the start of a process
_OURS = "MODELWARD_"
_NEEDED = "opentelemetry.proto.collector"
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")  # RFC 9110


class OtlpCollector:
    """The collector at ``endpoint``: /v1/traces and /v1/metrics are added to it."""

    def __init__(self, endpoint: str, headers: Mapping[str, str], environ: Mapping[str, str]) -> None:
        """Raises BadSetting for what is no address, MissingExtra where the extra is not installed."""
        SecretAddress(endpoint, "otlp_endpoint", environ)
        require_extra()
        self._endpoint, self._headers = endpoint.strip(), dict(headers)
        self._environ = {name: value for name, value in environ.items() if not name.startswith(_OURS)}
        self._proxies = {name: value for name, value in environ.items() if name.lower().endswith("_proxy")}

    def send(self, parcel: Parcel, seconds: float = SECONDS) -> Sent:
        """Let a child deliver it within so many seconds; raises DeliveryFailed where that comes to nothing."""
        job = {"endpoint": self._endpoint, "headers": self._headers, "proxies": self._proxies, "parcel": parcel}
        try:
            return msgspec.json.decode(self._run(msgspec.json.encode(job), seconds), type=learned(Sent))
        except msgspec.DecodeError:
            raise _failed("the process that sends it failed") from None

    def _run(self, job: bytes, seconds: float) -> bytes:
        """The child's standard output; it gets the headers by its standard input, which nobody else sees."""
        try:
            return ask("modelward.notify.otlp_child", job, seconds=seconds, environ=self._environ)
        except TimeoutError:
            raise _failed(f"not sent within {seconds:g} s") from None
        except OSError as error:
            raise _failed(f"the process that sends it cannot be started ({error.strerror})") from None


def require_extra() -> None:
    """Raise MissingExtra unless the extra is installed; nothing of it is loaded here."""
    with suppress(ModuleNotFoundError):
        if find_spec(_NEEDED) is not None:
            return
    raise MissingExtra(
        "needs the extra otlp, which is not installed",
        thing="otlp_endpoint",
        next_step="pip install 'modelward[otlp]', or leave otlp_endpoint empty",
    )


def headers_of(lines: tuple[str, ...], setting: str) -> dict[str, str]:
    """Headers from ``name=value``; raises BadSetting, which names no value."""
    found: dict[str, str] = {}
    for line in lines:
        name, separator, value = (part.strip() for part in line.partition("="))
        if not separator or not name or not _TOKEN.issuperset(name) or not value.isascii() or not value.isprintable():
            raise BadSetting(
                "one of its parts is no header", thing=setting, next_step="write name=value, several by comma"
            )
        found[name] = value
    return found


def _failed(why: str) -> DeliveryFailed:
    return DeliveryFailed(why, thing="otlp_endpoint", next_step="see whether the collector runs and takes OTLP/HTTP")
