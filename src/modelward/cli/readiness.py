"""Ask a guard for its readiness with nothing but the settings and a socket: a health check has no time for more."""

import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from modelward import config
from modelward.cli.plainly import options
from modelward.domain.units import parse_duration
from modelward.domain.words import printable

DEADLINE = "2s"
_LIMIT = 4096
_REQUEST = b"GET /readyz HTTP/1.0\r\nHost: %s\r\nConnection: close\r\n\r\n"


def command(words: Sequence[str], environ: Mapping[str, str]) -> int | None:
    """Carry out ``modelward health`` with these words behind it: the exit code; None for words that are none of its."""
    read = options(words, ("--config", "--deadline"), {})
    if read is None:
        return None
    given, _ = read
    flags = {"config": given["config"]} if given.get("config") else {}
    found = config.resolve(flags, environ, platform=sys.platform, home=Path.home(), cwd=Path.cwd())
    return tell(found.settings, given.get("deadline", DEADLINE))


def tell(settings: config.Settings, deadline: str) -> int:
    """Print the guard's readiness in one line: exit code 0 for a ready one, 1 for all else."""
    seconds = parse_duration(deadline).total_seconds()
    ready, words = ask(settings.listen, tls=bool(settings.tls_cert), seconds=seconds)
    print(printable(words))
    return 0 if ready else 1


def ask(listen: str, *, tls: bool, seconds: float) -> tuple[bool, str]:
    """Whether the guard that serves at ``listen`` is ready, and its line; never raises."""
    if not listen:
        return False, "the guard serves nothing: the setting listen is empty"
    give_up = time.monotonic() + seconds
    try:
        with _connected(listen, seconds, tls=tls) as wire:
            wire.sendall(_REQUEST % _host(listen).encode())
            return _verdict(_read(wire, give_up))
    except OSError as error:
        return False, f"no guard answers at {listen} ({error})"


def _connected(listen: str, seconds: float, *, tls: bool) -> socket.socket:
    if listen.startswith("unix:"):
        wire = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        wire.settimeout(seconds)
        try:
            wire.connect(listen.removeprefix("unix:"))
        except OSError:
            wire.close()
            raise
        return wire
    host, _, port = listen.rpartition(":")
    target = host.strip("[]") if host not in ("", "0.0.0.0", "[::]") else "127.0.0.1"  # noqa: S104 - a place to ask
    wire = socket.create_connection((target, int(port)), seconds)
    return _with_tls(wire, target) if tls else wire


def _with_tls(wire: socket.socket, target: str) -> socket.socket:
    """We ask our own machine, by its address: the certificate is for the name that others use."""
    import ssl

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(wire, server_hostname=target)


def _host(listen: str) -> str:
    if listen.startswith("unix:"):
        return "localhost"
    host, _, port = listen.rpartition(":")
    return f"{host if host not in ('', '0.0.0.0', '[::]') else '127.0.0.1'}:{port}"  # noqa: S104 - as above


def _read(wire: socket.socket, give_up: float) -> bytes:
    """The answer, as much of it as matters, in time."""
    data = b""
    while len(data) < _LIMIT:
        left = give_up - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        wire.settimeout(left)
        part = wire.recv(_LIMIT)
        if not part:
            break
        data += part
    return data


def _verdict(data: bytes) -> tuple[bool, str]:
    head, _, body = data.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    status = words[1].decode(errors="replace") if len(words) > 1 else ""
    said = body.decode(errors="replace").strip().partition("\n")[0]
    if status == "200":
        return True, "ready"
    return (
        False,
        f"not ready: {said}" if status == "503" and said else f"no guard answers there (status {status or '?'})",
    )
