"""One bounded request to an address that is a secret: no redirect is followed, and no failure names the address."""

import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

from modelward.dial import NoWay, dial
from modelward.domain.errors import BadSetting, DeliveryFailed
from modelward.domain.host import Reach, is_loopback, reach_of

if TYPE_CHECKING:
    from http.client import HTTPConnection

CONNECT: Final = 5.0
SECONDS: Final = 20.0
_LONGEST = 8192
_PORTS = {"http": 80, "https": 443}


class SecretAddress:
    """An address that is asked by ``ask``; ``setting`` is what it is called in messages."""

    def __init__(self, url: str, setting: str, environ: Mapping[str, str], seconds: float = SECONDS) -> None:
        """``seconds`` bound a whole request. Raises BadSetting for anything but http(s) without a user name."""
        self._setting, self._seconds = setting, seconds
        self._url = _parsed(url.strip(), setting)
        self._proxy = _proxy(self._url, environ, setting)

    def ask(self, method: str, headers: Mapping[str, str], body: bytes | None) -> None:
        """Send one request; raises DeliveryFailed unless the answer says that all went well."""
        from http.client import HTTPException

        link = self._link()
        late = threading.Event()
        timer = threading.Timer(self._seconds, _cut, (link, late))
        timer.daemon = True
        timer.start()
        try:
            link.request(method, self._target(), body=body, headers={"Connection": "close", **headers})
            status = link.getresponse().status
        except (OSError, HTTPException, ValueError) as error:
            raise self._failed(_LATE if late.is_set() else _why(error)) from None  # the cause may name the address
        finally:
            timer.cancel()
            link.close()
        if late.is_set():  # cut in the middle of its head, it looks like a whole answer
            raise self._failed(_LATE)
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise self._failed(_of_status(status))

    def _link(self) -> "HTTPConnection":
        """A connection, not made yet: to the host itself, or to the proxy that leads there."""
        from http.client import HTTPConnection, HTTPSConnection

        host, port = self._url.hostname or "", self._url.port or _PORTS[self._url.scheme]
        kind = HTTPSConnection if self._url.scheme == "https" else HTTPConnection
        if self._proxy is None:
            link = kind(host, port, timeout=min(CONNECT, self._seconds))
            link._create_connection = _dial  # type: ignore[attr-defined] # noqa: SLF001 - what http.client has for it
            return link
        link = kind(self._proxy.hostname or "", self._proxy.port or _PORTS["http"], timeout=min(CONNECT, self._seconds))
        if self._url.scheme == "https":
            link.set_tunnel(host, port)
        return link

    def _target(self) -> str:
        target = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
        through = self._proxy is not None and self._url.scheme == "http"
        return f"http://{self._url.netloc}{target}" if through else target

    def _failed(self, why: str) -> DeliveryFailed:
        return DeliveryFailed(why, thing=self._setting, next_step=f"check {self._setting}: modelward alerts test")


def _parsed(url: str, setting: str) -> SplitResult:
    """The address in its parts."""
    with suppress(ValueError):
        parts = urlsplit(url)
        known = parts.scheme in _PORTS and parts.hostname and parts.port != 0 and "@" not in parts.netloc
        if known and len(url) <= _LONGEST and all(32 < ord(letter) < 127 for letter in url):
            return parts
    raise BadSetting(
        "its value is not an address of a web server",
        thing=setting,
        next_step="write http:// or https://, a host and a path, without user name and blanks",
    )


def _proxy(url: SplitResult, environ: Mapping[str, str], setting: str) -> SplitResult | None:
    """The proxy of the environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY); none between two programs here."""
    host = url.hostname or ""
    spared = [name.strip().lstrip(".").lower() for name in _of(environ, "no_proxy").split(",") if name.strip()]
    text = _of(environ, f"{url.scheme}_proxy")
    if not text or is_loopback(host) or any(name in ("*", host) or host.endswith(f".{name}") for name in spared):
        return None
    return _parsed(text if "://" in text else f"http://{text}", f"the proxy for {setting}")


def _dial(address: tuple[str, int], seconds: float, *_source: object) -> socket.socket:
    """A connection to any address but those of metadata services and the like: each is judged before it is asked."""
    found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
    ways = [(family, kind, protocol, place) for family, kind, protocol, _, place in found]
    return dial((way for way in ways if reach_of(str(way[3][0])) is not Reach.NEVER), seconds)


def _of(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name, "") or environ.get(name.upper(), "")


def _cut(link: "HTTPConnection", late: threading.Event) -> None:
    """Wake whoever waits on the connection; closing is for the one who opened."""
    late.set()
    if link.sock is not None:
        with suppress(OSError):
            socket.socket.shutdown(link.sock, socket.SHUT_RDWR)  # not that of TLS, which is not for two threads


def _of_status(status: int) -> str:
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return f"answered with a redirect ({status}), which is not followed"
    return f"answered {status}"


def _why(error: Exception) -> str:
    """What went wrong, in words that cannot hold the address."""
    import ssl

    words = (
        (ssl.SSLCertVerificationError, "has a certificate that is not valid"),
        (ssl.SSLError, "does not speak TLS as it should"),
        (NoWay, "leads to an address that is never asked"),
        (socket.gaierror, "cannot be reached: its name is not known"),
        (TimeoutError, _LATE),
        (ConnectionRefusedError, "cannot be reached: nobody listens there"),
        (ConnectionError, "ended the connection"),
        (OSError, "cannot be reached"),
    )
    return next((said for kind, said in words if isinstance(error, kind)), "did not answer as a web server")


_LATE = "gave no answer in time"
