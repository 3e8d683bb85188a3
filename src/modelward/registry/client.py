"""A registry, asked for manifests and for any range of any blob, and sent things: the one client for all of them.

Nothing here is believed: whoever takes the bytes proves them. Facts on Ollama's registry: manifests come with any
content type, blobs by a redirect to a signed address on another host, HEAD of a manifest is refused.
"""

import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING

from modelward.domain.digest import Digest
from modelward.domain.errors import BadManifest, RegistryRefused, RegistryUnreachable
from modelward.domain.host import Reach
from modelward.domain.manifest import DOCKER_MANIFEST, MAX_BYTES, Manifest
from modelward.domain.name import ModelName
from modelward.domain.wrapper import OCI_MANIFEST
from modelward.ports import Clock
from modelward.registry import challenge
from modelward.registry.address import Address, Addresses, NotReached, Origin, reach, redirected
from modelward.registry.request import Limits, Request

if TYPE_CHECKING:
    from modelward.registry.wire import Answer, Wire

_READ = {
    "Accept": f"{DOCKER_MANIFEST}, {OCI_MANIFEST}",
    "Accept-Encoding": "identity",
    "User-Agent": "modelward",
}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_OVER = frozenset({401, 403, 404, 410})
_AGAIN = frozenset({429, 500, 502, 503, 504})
_MOST_REDIRECTS = 5
_SKIPPABLE = 8 << 20
_SMALL = 64 << 10
_DEAD_SECONDS = 30.0


class RegistryClient:
    """Every registry by its name; repositories are named ``host[:port]/path``. Safe from several threads."""

    def __init__(  # noqa: PLR0913 - the clock, and each thing that settings say of registries
        self,
        clock: Clock,
        *,
        mirrors: tuple[str, ...] = (),
        plain_http: tuple[str, ...] = (),
        environ: Mapping[str, str] = MappingProxyType({}),
        limits: Limits | None = None,
        outside: Collection[str] = (),
    ) -> None:
        """``outside``: registries that may lie on the internet only; looked at anew for each that is met."""
        self._clock, self._limits = clock, limits or Limits()
        self._addresses = Addresses(mirrors, plain_http, environ, outside)
        self._made: Wire | None = None
        self._tokens: dict[tuple[str, str], tuple[challenge.Token, float]] = {}
        self._places: dict[tuple[str, Digest | None], Address] = {}
        self._dead: dict[Origin, float] = {}
        self._reach: dict[Origin, Reach] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """End all connections."""
        if self._made is not None:
            self._made.close()

    @property
    def _wire(self) -> "Wire":
        """Made when something is asked: most runs ask no registry, and do without what http.client loads."""
        with self._lock:
            if self._made is None:
                from modelward.registry.wire import Wire

                self._made = Wire(self._clock, self._addresses, self._limits)
            return self._made

    # Manifests.

    def manifest(self, name: ModelName) -> Manifest:
        """The manifest that the name's tag names now; raises BadManifest where it is none."""
        raw = self.manifest_bytes(name.repository, name.tag)
        try:
            return Manifest.parse(raw)
        except BadManifest as error:
            raise BadManifest(
                f"the registry answered with something that is no manifest: {error.what}",
                thing=name.short,
                next_step="see whether a login page or a proxy answers in its place, or name a mirror (mirrors)",
            ) from error

    def manifest_bytes(self, repository: str, reference: str) -> bytes:
        """The exact bytes of the manifest that a tag or digest names."""
        get = Request(method="GET", headers=_READ, size=MAX_BYTES)
        with self._follow(repository, f"manifests/{reference}", get) as answer:
            self._expect(answer, repository, reference, HTTPStatus.OK)
            return answer.read_up_to(MAX_BYTES)

    def put_manifest(self, repository: str, reference: str, raw: bytes, media_type: str) -> None:
        """Let a tag, or the manifest's own digest, name these bytes."""
        put = Request(method="PUT", headers={"Content-Type": media_type}, body=raw)
        with self._send(self._path(repository, f"manifests/{reference}"), repository, put) as answer:
            self._expect(answer, repository, reference, HTTPStatus.CREATED, HTTPStatus.OK)
            answer.read_up_to(_SMALL)

    # Blobs.

    def blob_size(self, repository: str, blob: Digest) -> int | None:
        """How many bytes the registry says that the blob has; None where it has none."""
        with self._follow(repository, f"blobs/{blob}", Request(method="HEAD", headers=_READ)) as answer:
            if answer.status == HTTPStatus.OK and answer.length is not None:
                return answer.length
            if answer.status == HTTPStatus.NOT_FOUND:
                return None
        with self._range(repository, blob, 0, 1) as answer:
            if answer.status == HTTPStatus.PARTIAL_CONTENT:
                answer.skip(1)
                return _total(answer)
            return answer.length if answer.status == HTTPStatus.OK else None

    def has_blob(self, repository: str, blob: Digest, size: int) -> bool:
        """Whether the registry says that it holds the blob, in this size."""
        return self.blob_size(repository, blob) == size

    def read_range(self, repository: str, blob: Digest, offset: int, view: memoryview) -> int:
        """Fill ``view`` with the blob's bytes from ``offset``; returns how many there were."""
        if not len(view):
            return 0
        with self._range(repository, blob, offset, len(view)) as answer:
            match answer.status:
                case HTTPStatus.PARTIAL_CONTENT:
                    return answer.read_into(view[: self._sound_length(answer, offset, len(view))])
                case HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    return 0
                case HTTPStatus.OK if offset <= _SKIPPABLE:
                    # It sends everything, whatever was asked for: what lies before is read and forgotten.
                    answer.skip(offset)
                    return answer.read_into(view)
                case HTTPStatus.OK:
                    raise RegistryUnreachable("it does not give ranges", thing=repository, next_step="try a mirror")
            self._expect(answer, repository, blob.short, HTTPStatus.PARTIAL_CONTENT)
        return 0

    def _range(self, repository: str, blob: Digest, offset: int, length: int) -> "Answer":
        headers = {**_READ, "Range": f"bytes={offset}-{offset + length - 1}"}
        get = Request(method="GET", headers=headers, size=length)
        return self._follow(repository, f"blobs/{blob}", get, blob)

    def _sound_length(self, answer: "Answer", offset: int, length: int) -> int:
        """How many bytes to read: what was asked for at most, and only from where it was asked for."""
        unit, _, rest = answer.headers.get("Content-Range", "").partition(" ")
        first, _, last = rest.partition("/")[0].partition("-")
        sound = unit == "bytes" and first.isdecimal() and last.isdecimal() and len(last) < 19
        if not sound or int(first) != offset or answer.headers.get("Content-Encoding", "identity") != "identity":
            raise RegistryUnreachable("it answered with another range", thing="registry", next_step="try a mirror")
        return min(length, int(last) - offset + 1)

    # Uploads.

    def upload_blob(self, repository: str, blob: Digest, size: int, parts: Iterable[bytes]) -> None:
        """Send a blob piece by piece; the registry proves its digest."""
        begin = self._path(repository, "blobs/uploads/")
        post = Request(method="POST", headers={"Content-Length": "0"}, body=b"")
        with self._send(begin, repository, post) as answer:
            self._expect(answer, repository, blob.short, HTTPStatus.ACCEPTED)
            place = redirected(begin, answer.headers.get("Location", ""))
            answer.read_up_to(_SMALL)
        if place.origin != begin.origin:
            raise RegistryRefused("it wants the bytes on another host", thing=repository, next_step="push elsewhere")
        joint = "&" if "?" in place.target else "?"
        target = Address(place.origin, f"{place.target}{joint}digest={blob}")
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        put = Request(method="PUT", headers=headers, body=parts, size=size)
        with self._send(target, repository, put) as answer:
            self._expect(answer, repository, blob.short, HTTPStatus.CREATED)
            answer.read_up_to(_SMALL)

    def _send(self, address: Address, repository: str, request: Request) -> "Answer":
        """A request that changes something: a challenge is answered before its body is sent once."""
        key = (repository, "push")
        most = self._reach_of(address.origin)
        answer = self._wire.ask(address, self._with_token(request, key), most=most)
        if answer.status == HTTPStatus.UNAUTHORIZED and isinstance(request.body, bytes):
            self._log_in(answer, address.origin, key)
            answer = self._wire.ask(address, self._with_token(request, key), most=most)
        return answer

    # Asking.

    def _follow(self, repository: str, what: str, request: Request, blob: Digest | None = None) -> "Answer":
        """Ask, follow redirects by hand, try again what may be tried again. The caller closes the answer.

        ``blob``: where its redirect led is remembered, and asked directly the next time.
        """
        first = self._path(repository, what)
        for attempt in range(1, self._limits.attempts + 1):
            place = self._places.get((repository, blob))
            try:
                answer, end = self._walk(place or first, first.origin, repository, request)
            except RegistryUnreachable:
                if attempt == self._limits.attempts or self._is_dead(first.origin):
                    raise
                self._clock.sleep(0.2 * attempt)
                continue
            if place is not None and answer.status in _OVER:
                answer.close()  # a signed address that is over: the registry gives another one
                self._places.pop((repository, blob), None)
            elif answer.status in _AGAIN and attempt < self._limits.attempts:
                self._wait(answer, attempt)
            else:
                if blob is not None and end != first and answer.status in (200, 206):
                    self._places[(repository, blob)] = end
                return answer
        raise RegistryUnreachable("it did not answer", thing=repository, next_step="run the command again later")

    def _walk(self, address: Address, registry: Origin, repository: str, request: Request) -> "tuple[Answer, Address]":
        """Follow redirects to their end; a challenge of the registry itself is answered once."""
        key, logged_in = (repository, "pull"), False
        for _ in range(_MOST_REDIRECTS + 2):
            mine = address.origin == registry
            sent = self._with_token(request, key) if mine else request
            answer = self._ask(address, sent, most=self._reach_of(registry))
            if answer.status == HTTPStatus.UNAUTHORIZED and mine and not logged_in:
                logged_in = True
                self._log_in(answer, registry, key)
            elif answer.status in _REDIRECTS and (location := answer.headers.get("Location")):
                answer.close()
                address = redirected(address, location)
            else:
                return answer, address
        raise RegistryUnreachable("it redirects without end", thing=str(registry), next_step="try a mirror")

    def _ask(self, address: Address, request: Request, *, most: Reach) -> "Answer":
        """One request; a server that could not be reached is not asked again for a while."""
        origin = address.origin
        if self._is_dead(origin):
            raise RegistryUnreachable("did not answer a moment ago", thing=str(origin), next_step="check the network")
        try:
            return self._wire.ask(address, request, most=most)
        except NotReached:
            self._dead[origin] = self._clock.monotonic() + _DEAD_SECONDS
            raise

    def _is_dead(self, origin: Origin) -> bool:
        return self._dead.get(origin, 0.0) > self._clock.monotonic()

    def _reach_of(self, registry: Origin) -> Reach:
        """How far inside the registry lay when it was first met: neither it nor what it names may lie further."""
        if registry not in self._reach:
            try:
                self._reach[registry] = reach(registry, self._addresses.most(registry))
            except NotReached:
                if self._addresses.proxy(registry) is None:
                    return Reach.INTERNET  # for now: its name may be known the next time
                self._reach[registry] = Reach.INTERNET
        return self._reach[registry]

    def _wait(self, answer: "Answer", attempt: int) -> None:
        """As long as the answer asks for, within bounds."""
        answer.close()
        text = answer.headers.get("Retry-After", "")
        seconds = 0.5 * 2**attempt
        if text.isdecimal() and len(text) < 6:
            seconds = float(text)
        elif text:
            from email.utils import parsedate_to_datetime

            try:
                seconds = (parsedate_to_datetime(text) - self._clock.now()).total_seconds()
            except (ValueError, TypeError, OverflowError):
                seconds = 1.0
        if seconds > self._limits.wait:
            raise RegistryUnreachable(
                f"it asks to wait {seconds:.0f} s", thing="registry", next_step="run the command again later"
            )
        self._clock.sleep(max(0.0, seconds))

    # Tokens.

    def _with_token(self, request: Request, key: tuple[str, str]) -> Request:
        found = self._tokens.get(key)
        if found is None or found[1] <= self._clock.monotonic():
            return request
        return replace(request, headers={**request.headers, "Authorization": found[0].text})

    def _log_in(self, answer: "Answer", registry: Origin, key: tuple[str, str]) -> None:
        answer.close()
        place = challenge.where(answer.headers.get("WWW-Authenticate", ""), registry)
        get = Request(method="GET", headers=_READ)
        with self._wire.ask(place, get, most=self._reach_of(registry)) as reply:
            if reply.status != HTTPStatus.OK:
                raise RegistryRefused(
                    f"its login answers {reply.status}", thing=str(registry), next_step="let the server pull it"
                )
            token = challenge.read(reply.read_up_to(_SMALL), registry)
        self._tokens[key] = (token, self._clock.monotonic() + token.seconds)

    # Small things.

    def _path(self, repository: str, what: str) -> Address:
        authority, _, path = repository.partition("/")
        return Address(self._addresses.of(authority), f"/v2/{path}/{what}")

    def _expect(self, answer: "Answer", repository: str, what: str, *wanted: HTTPStatus) -> None:
        if answer.status in wanted:
            return
        said = answer.read_up_to(_SMALL)[:200].decode(errors="replace").strip()
        words = {
            404: "it has no such thing",
            401: "it wants a login that Modelward does not have",
            403: "it does not let us",
            412: "it wants a newer client",
            429: "it says that we ask too much",
        }
        known = words.get(answer.status, "it answered something unexpected")
        raise RegistryRefused(
            f"{known} (status {answer.status}{': ' + said if said else ''})",
            thing=f"{repository} {what}",
            next_step="check the name; a model that was made here is on no registry",
        )


def _total(answer: "Answer") -> int | None:
    text = answer.headers.get("Content-Range", "").rpartition("/")[2]
    return int(text) if text.isdecimal() and len(text) < 19 else None
