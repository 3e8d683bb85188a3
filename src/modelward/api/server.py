"""The server: uvicorn in a thread of the guard, on an address or a unix socket, with deadlines for callers (T26)."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from starlette.applications import Starlette

from modelward.api.access import Listen
from modelward.api.uvicorn_alone import Config, H11Protocol, Server
from modelward.config import Settings
from modelward.domain.errors import BadSetting, BlobMissing
from modelward.durable import Folder, remove

_HEAD_SECONDS = 10.0
_HEAD_BYTES = 32 << 10
_CONNECTIONS = 256
_START_SECONDS = 30.0
_GRACE = 3


class Bound:
    """A socket that is ours, and does not listen yet: ``listen`` has the port that was really given."""

    def __init__(self, wanted: Listen) -> None:
        self._socket = _unix(wanted.path) if wanted.path else _tcp(wanted)
        self.listen = wanted if wanted.path else wanted._replace(port=self._socket.getsockname()[1])

    def take(self) -> socket.socket:
        """The socket."""
        return self._socket

    def close(self) -> None:
        """Give it back, with its file."""
        self._socket.close()
        if self.listen.path:
            _drop(Path(self.listen.path))


def bind(text: str) -> Bound:
    """Take the place that the setting ``listen`` names; raises BadSetting where that cannot be."""
    return Bound(Listen.parse(text))


class Running:
    """A server that answers; ``address`` is a URL, or ``unix:PATH``."""

    def __init__(self, app: Starlette, bound: Bound, settings: Settings) -> None:
        self._bound = bound
        self._server = _Server(_config(app, settings), app.state.runtime.streams.close)
        self._failed: list[BaseException] = []
        scheme = "https" if settings.tls_cert else "http"
        place = bound.listen
        host = f"[{place.host}]" if ":" in place.host else place.host
        self.address = f"unix:{place.path}" if place.path else f"{scheme}://{host}:{place.port}"
        self._thread = threading.Thread(target=self._run, name="modelward-api", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._bound.take()])
        except BaseException as error:  # noqa: BLE001 - handed on to who waits for the start
            self._failed.append(error)
        finally:
            self._server.up.set()

    def wait(self) -> "Running":
        """Wait until it answers; raises BadSetting when it never will."""
        if not self._server.up.wait(_START_SECONDS) or self._failed:
            raise BadSetting(
                f"the API does not start ({self._failed[0] if self._failed else 'no answer'})",
                thing=self.address,
                next_step="check the settings listen, tls_cert and tls_key",
            )
        return self

    @property
    def alive(self) -> bool:
        """Whether it still answers."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End streams, let requests that run come to their end for a few seconds, and close; safe to repeat."""
        self._server.end()
        self._thread.join(_GRACE + 5)
        self._bound.close()


def serve(app: Starlette, settings: Settings, bound: Bound | None = None) -> Running:
    """Serve the application in a thread of its own; returns once it answers. Raises BadSetting."""
    return Running(app, bound or bind(settings.listen), settings).wait()


def _config(app: Starlette, settings: Settings) -> Config:
    config = Config(
        app,
        http=_Patient,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        h11_max_incomplete_event_size=_HEAD_BYTES,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=_GRACE,
        ssl_certfile=settings.tls_cert or None,
        ssl_keyfile=settings.tls_key or None,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise BadSetting(
            f"cannot be used ({error})", thing="tls_cert, tls_key", next_step="name a certificate and its key in PEM"
        ) from error
    return config


class _Server(Server):
    """uvicorn's server, told to end by an event instead of looking ten times a second."""

    def __init__(self, config: Config, closing: Callable[[], None]) -> None:
        super().__init__(config)
        self.up = threading.Event()
        self._closing = closing
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and tell who waits."""
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        await super().startup(sockets)
        self.up.set()

    async def main_loop(self) -> None:
        """Keep the date of answers until the end comes."""
        counter = 0
        while self._end is not None and not await self.on_tick(counter):
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._end.wait()
            counter += 10
        self._closing()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let requests end for some seconds; who is still there then is cut off."""
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            if isinstance(connection, _Patient):
                connection.transport.abort()
        await asyncio.sleep(0)

    def end(self) -> None:
        """Stop, from any thread."""
        self.should_exit = True
        with suppress(RuntimeError):  # it has ended already
            if self._loop is not None and self._end is not None:
                self._loop.call_soon_threadsafe(self._end.set)


class _Patient(H11Protocol):
    """The HTTP protocol with an end to patience: a caller has some seconds for the head of each request."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A caller: its first head is awaited from now on."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Bytes of a head or of a body."""
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._stop_waiting()
        elif (before is None or before.response_complete) and self._deadline is None:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller went away."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._deadline = self.loop.call_later(_HEAD_SECONDS, self._give_up)

    def _give_up(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _tcp(wanted: Listen) -> socket.socket:
    try:
        family, kind, number, _, address = socket.getaddrinfo(wanted.host, wanted.port, type=socket.SOCK_STREAM)[0]
        made = socket.socket(family, kind, number)
    except OSError as error:
        raise _cannot(wanted, error) from error
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except OSError as error:
        made.close()
        raise _cannot(wanted, error) from error
    return made


def _unix(path: str) -> socket.socket:
    """A socket that only this user reaches: its mode is set before it begins to listen."""
    place = Path(path)
    _require_free(place)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.bind(path)
        place.chmod(0o600)
    except OSError as error:
        made.close()
        raise _cannot(Listen(path=path), error) from error
    return made


def _require_free(path: Path) -> None:
    """Take away the socket of a process that is gone; raises BadSetting where somebody answers, or for a plain file."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        try:
            trial.connect(str(path))
        except ConnectionRefusedError:
            if path.is_socket():
                _drop(path)
            return
        except OSError:
            return  # not there, or not for us: binding says which
    raise BadSetting("another process listens there", thing=f"unix:{path}", next_step="stop it, or name another path")


def _drop(path: Path) -> None:
    with suppress(BlobMissing):
        folder = Folder.open(path.parent)
        if folder.stat(path.name) is not None:
            remove(folder, path.name)


def _cannot(wanted: Listen, error: OSError) -> BadSetting:
    where = f"unix:{wanted.path}" if wanted.path else f"{wanted.host}:{wanted.port}"
    return BadSetting(
        f"cannot listen there ({error.strerror or error})",
        thing=f"listen = {where}",
        next_step="name an address of this machine and a free port, or a path that can be written",
    )
