"""A network of its own where every address is ours: who connects to which one is seen, whatever name led there.

For a process in a network namespace of its own (``unshare --net``): all addresses lie on its loopback device, a server
of ours listens on several ports of each, a resolver of ours answers, and every first packet of a connection is read
from the device, so that nothing depends on what the tested code says of itself.
"""

import json
import re
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Self

REGISTRY, OTHER, PROXY, LAN = "11.22.33.44", "45.56.67.78", "99.88.77.66", "10.20.30.40"
PORTS = (80, 443, 3128, 5000, 8484, 11434)
NAMES: Mapping[str, tuple[str, ...]] = {
    "registry.test": (REGISTRY,),
    "other.test": (OTHER,),
    "proxy.test": (PROXY,),
    "lan.test": (LAN,),
    "loop.test": ("127.0.0.1",),
    "loop6.test": ("::1",),
    "mapped.test": ("::ffff:127.0.0.1",),
    "alias.test": ("127.0.0.1",),
    "metadata.test": ("169.254.169.254",),
    "metadata6.test": ("fd00:ec2::254",),
    "metadata.google.internal": ("169.254.169.254",),
    "inside.test": ("192.168.1.1",),
    "inside6.test": ("fc00::1",),
    "both.test": (OTHER, "127.0.0.1"),
}
_TURNS = re.compile(r"turn-([0-9-]+)-\d+\.test")
_MORE = b"\r\n\r\n"


@dataclass(frozen=True)
class Heard:
    """A request: the address and port that it came to, its first line's target, and its headers."""

    address: str
    port: int
    method: str
    target: str
    headers: Mapping[str, str]


Script = Callable[[Heard], tuple[int, dict[str, str], bytes] | None]


@dataclass
class Room:
    """Opens on entering; ``script`` answers where it wants to, and everything else gets an answer that pleases."""

    script: Script = lambda _: None
    heard: list[Heard] = field(default_factory=list)
    looked_up: dict[str, int] = field(default_factory=dict)

    def __enter__(self) -> Self:
        for words in ("link set lo up", "route add local 0.0.0.0/0 dev lo", "-6 route add local ::/0 dev lo"):
            subprocess.run(["ip", *words.split()], check=True)
        self._device = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self._device.bind(("lo", 0))
        self._device.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._device.setblocking(False)  # noqa: FBT003 - the standard library's
        for port in PORTS:
            self._start(_server(self, port).serve_forever)
        self._names = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in _resolvers()]
        for link, address in zip(self._names, _resolvers(), strict=True):
            link.bind((address, 53))
            self._start(partial(self._answer_names, link))
        return self

    def __exit__(self, *_: object) -> None:
        self._device.close()

    @staticmethod
    def _start(work: Callable[[], object]) -> None:
        threading.Thread(target=work, daemon=True).start()

    def asked(self) -> set[tuple[str, int]]:
        """The addresses and ports that somebody tried to connect to since the last call."""
        found = set()
        with suppress(BlockingIOError):
            while True:
                if place := _syn(self._device.recv(65_535)):
                    found.add(place)
        return found

    def _answer_names(self, link: socket.socket) -> None:
        while True:
            query, asker = link.recvfrom(4096)
            with suppress(ValueError, IndexError):
                link.sendto(self._named(query), asker)

    def _named(self, query: bytes) -> bytes:
        """The answer to one question; a name that nobody knows leads to loopback."""
        at, labels = 12, []
        while length := query[at]:
            labels.append(query[at + 1 : at + 1 + length].decode("latin-1"))
            at += length + 1
        kind, name = struct.unpack(">H", query[at + 1 : at + 3])[0], ".".join(labels).lower()
        wanted = {1: 4, 28: 6}.get(kind)
        places = [place for place in self._places(name, kind) if ip_address(place).version == wanted]
        records = b"".join(
            b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 0, len(ip_address(place).packed)) + ip_address(place).packed
            for place in places
        )
        head = query[:2] + struct.pack(">HHHHH", 0x8580, 1, len(places), 0, 0)
        return head + query[12 : at + 5] + records

    def _places(self, name: str, kind: int) -> tuple[str, ...]:
        if turn := _TURNS.fullmatch(name):
            self.looked_up[name] = self.looked_up.get(name, 0) + (kind == 1)
            return (OTHER,) if self.looked_up[name] <= 1 else (turn[1].replace("-", "."),)
        with suppress(ValueError):
            return (str(ip_address(name)),)  # an address with a dot behind it is looked up as a name
        return NAMES.get(name, ("127.0.0.1",))


def _resolvers() -> list[str]:
    """Where this machine looks names up; those addresses are ours here too."""
    with suppress(OSError):
        text = Path("/etc/resolv.conf").read_text()
        if found := re.findall(r"^nameserver\s+(\d+\.\d+\.\d+\.\d+)\s*$", text, re.MULTILINE):
            return sorted(set(found))
    return ["127.0.0.1"]


def _syn(frame: bytes) -> tuple[str, int] | None:
    """Where a packet that begins a connection is going."""
    kind, packet = struct.unpack(">H", frame[12:14])[0], frame[14:]
    if kind == 0x0800 and packet[9] == 6:
        address, segment = str(ip_address(packet[16:20])), packet[(packet[0] & 15) * 4 :]
    elif kind == 0x86DD and packet[6] == 6:
        address, segment = str(ip_address(packet[24:40])), packet[40:]
    else:
        return None
    begins = segment[13] & 0x12 == 0x02
    return (address, struct.unpack(">H", segment[2:4])[0]) if begins else None


class _Everywhere(ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
    request_queue_size = 64

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def _server(room: Room, port: int) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            place = IPv6Address(self.connection.getsockname()[0].partition("%")[0])
            address = str(place.ipv4_mapped or place)
            heard = Heard(address, port, self.command, self.path, {k.lower(): v for k, v in self.headers.items()})
            room.heard.append(heard)
            status, headers, body = room.script(heard) or (200, {}, json.dumps({"token": "stolen"}).encode())
            self.close_connection = True
            self._send(status, headers, body)

        def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
            told = {"Content-Length": str(len(body)), "Connection": "close", **headers}
            lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
            data = f"HTTP/1.1 {status} Scripted\r\n{lines}\r\n".encode() + (body if self.command != "HEAD" else b"")
            self.wfile.write(data)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_CONNECT = _serve  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def handle(self) -> None:
            with suppress(OSError, ValueError):
                super().handle()

    return _Everywhere(("::", port), Handler)
