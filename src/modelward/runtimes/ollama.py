"""The Ollama server over HTTP: the little that protecting its store needs, every call with a deadline."""

import socket
from typing import TYPE_CHECKING, TypeVar

import msgspec

from modelward.domain.errors import RuntimeUnreachable
from modelward.domain.runtime import ServedModel
from modelward.ports import Clock
from modelward.runtimes.host import Endpoint

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
_LIMIT = 8 << 20
_PLAIN = {"Accept-Encoding": "identity"}  # a packed answer could be any size


class _Version(msgspec.Struct, frozen=True):
    version: str = ""


class _Model(msgspec.Struct, frozen=True):
    name: str = ""
    digest: str = ""
    size: int = 0


class _Models(msgspec.Struct, frozen=True):
    models: tuple[_Model, ...] | None = ()


class _Any(msgspec.Struct, frozen=True):
    """Any JSON object."""


class OllamaRuntime:
    """One server. Nothing heavy is loaded while nothing listens there."""

    def __init__(
        self, endpoint: Endpoint, clock: Clock, *, connect_seconds: float = 0.5, read_seconds: float = 10.0
    ) -> None:
        self._endpoint, self._clock = endpoint, clock
        self._connect, self._read = connect_seconds, read_seconds

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._endpoint.url

    def version(self) -> str:
        """The server's version."""
        return self._ask("GET", "/api/version", _Version).version

    def tags(self) -> tuple[ServedModel, ...]:
        """The models that the server lists."""
        found = self._ask("GET", "/api/tags", _Models).models or ()
        return tuple(ServedModel(name=model.name, digest=model.digest, size=model.size) for model in found)

    def loaded(self) -> tuple[str, ...]:
        """Names of the models that are in memory now."""
        return tuple(model.name for model in self._ask("GET", "/api/ps", _Models).models or ())

    def unload(self, name: str) -> None:
        """Take a model out of memory: a request without a prompt that keeps it for no time.

        The server answers before it has let go (seen with v0.24.0), so its list has the last word, for a while.
        """
        self._ask("POST", "/api/generate", _Any, {"model": name, "keep_alive": 0})
        give_up = self._clock.monotonic() + self._read
        while name in self.loaded():
            if self._clock.monotonic() >= give_up:
                raise RuntimeUnreachable(
                    f"{name} is still in memory after {self._read:g} s",
                    thing=self.url,
                    next_step=f"end what uses it, or: ollama stop {name}",
                )
            self._clock.sleep(0.05)

    def _ask(self, method: str, path: str, kind: type[T], body: object = None) -> T:
        data = self._call(method, path, body)
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._unreachable(f"an answer that is not Ollama's ({error})") from error

    def _call(self, method: str, path: str, body: object) -> bytes:
        here = _is_loopback(self._endpoint.host)
        if here:
            self._knock()
        import httpx  # 80 ms and 20 MB that nobody spends while no server runs

        timeout = httpx.Timeout(self._read, connect=self._connect)
        try:
            with (
                # A proxy has no business between two programs on one machine.
                httpx.Client(timeout=timeout, trust_env=not here, follow_redirects=False) as client,
                client.stream(method, self.url + path, json=body, headers=_PLAIN) as reply,
            ):
                data = self._limited(reply)
        # The last three: proxy and certificate settings of the environment that httpx cannot use.
        except (httpx.HTTPError, httpx.InvalidURL, _BadAnswer, OSError, ValueError, ImportError) as error:
            raise self._unreachable(f"{type(error).__name__}: {error}") from error
        if reply.status_code != 200:
            raise self._unreachable(f"status {reply.status_code}: {data[:200].decode(errors='replace')}")
        return data

    def _limited(self, reply: "httpx.Response") -> bytes:
        """The body as it comes, unpacked by nobody, within the size and the time that an answer may take."""
        data = bytearray()
        give_up = self._clock.monotonic() + self._read
        for part in reply.iter_raw():
            data += part
            if len(data) > _LIMIT:
                raise _BadAnswer(f"more than {_LIMIT:,} bytes")
            if self._clock.monotonic() > give_up:
                raise _BadAnswer(f"not complete after {self._read:g} s")
        return bytes(data)

    def _knock(self) -> None:
        """See whether anything listens."""
        try:
            socket.create_connection((self._endpoint.host, self._endpoint.port), self._connect).close()
        except (OSError, UnicodeError) as error:
            raise self._unreachable(str(error)) from error

    def _unreachable(self, why: str) -> RuntimeUnreachable:
        return RuntimeUnreachable(
            f"the server did not answer ({why})",
            thing=self.url,
            next_step="start it, or set OLLAMA_HOST to where it listens",
        )


class _BadAnswer(Exception):
    """More bytes, or more time, than any answer takes."""


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or (host.startswith("127.") and host.replace(".", "").isdecimal())
