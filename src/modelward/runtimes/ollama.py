"""The Ollama server over HTTP: what it serves, and what it is asked to do, every call with a deadline.

Which call answers what: server/routes.go of Ollama v0.24.0.
"""

import math
import os
from collections.abc import Generator, Iterator, Mapping
from types import MappingProxyType
from typing import TypeVar

from modelward.domain.digest import Digest
from modelward.domain.errors import ChangedWhileRead, RuntimeRefused, RuntimeUnreachable
from modelward.domain.runtime import ModelCard, ProbeResult, PullStep, ServedModel
from modelward.ports import Clock
from modelward.runtimes.answers import (
    Anything,
    Models,
    NotOllama,
    Shown,
    Step,
    Version,
    overdue,
    plain,
    read,
    refusal,
    same_name,
    store_of,
)
from modelward.runtimes.host import Endpoint
from modelward.runtimes.probe import Probe
from modelward.runtimes.progress import SLOW_DISK, Progress
from modelward.runtimes.wire import Answer, NoAnswer, Request, Stream, Wire

T = TypeVar("T")
Steps = Generator[PullStep, None, None]
_PIECE = 1 << 20
_START = "start it, or set OLLAMA_HOST to where it listens"
_LOG = "read the server's log, or set OLLAMA_HOST to another server"
_LIST = "see what this server has: ollama list"
_AGAIN = "pull again: what was downloaded is kept and not asked for twice"
# Waits before the second and the third try of what is safe to repeat.
_BACK_OFF = (0.1, 0.3)
_REWRITING = 10  # create says nothing while it rewrites a model


class OllamaRuntime:
    """One server. Nothing heavy is loaded while nothing listens there.

    ``read_seconds`` bound an answer that costs the server little, ``stall_seconds`` one that costs it work, and
    the wait for the next line of a download. ``environ`` names proxies (HTTP_PROXY, HTTPS_PROXY, NO_PROXY), which
    this machine's own server is never asked by.
    """

    def __init__(  # noqa: PLR0913 - those with a name have a default
        self,
        endpoint: Endpoint,
        clock: Clock,
        *,
        connect_seconds: float = 0.5,
        read_seconds: float = 10.0,
        stall_seconds: float = 60.0,
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._url, self._clock = endpoint.url, clock
        self._wire = Wire(endpoint, clock, connect_seconds, environ)
        self._read, self._stall = read_seconds, stall_seconds

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._url

    def version(self) -> str:
        """The server's version."""
        return self._get("/api/version", Version).version

    def tags(self) -> tuple[ServedModel, ...]:
        """The models that the server lists."""
        found = self._get("/api/tags", Models).models or ()
        return tuple(ServedModel(name=model.name, digest=model.digest, size=model.size) for model in found)

    def loaded(self) -> tuple[str, ...]:
        """Names of the models that are in memory now."""
        return tuple(model.name for model in self._get("/api/ps", Models).models or ())

    def busy(self) -> tuple[str, ...]:
        """Names of the models that are surely answering someone now; of others that is not known."""
        answer = self._repeated(Request(method="GET", path="/api/ps"))
        listed = self._decode(answer, Models, "to answer /api/ps").models or ()
        return tuple(model.name for model in listed if overdue(model, answer.date))

    def unload(self, name: str) -> None:
        """Take a model out of memory: a request without a prompt that keeps it for no time.

        The server answers before it has let go (seen with v0.24.0), so its list has the last word, for a while.
        """
        request = Request(method="POST", path="/api/generate", body={"model": name, "keep_alive": 0})
        self._decode(self._once(request, self._read), Anything, f"to unload {name}")
        give_up = self._clock.monotonic() + self._read
        while any(same_name(name, other) for other in self.loaded()):
            if self._clock.monotonic() >= give_up:
                raise RuntimeUnreachable(
                    f"{name} is still in memory after {self._read:g} s",
                    thing=self.url,
                    next_step=f"end what uses it, or: ollama stop {name}",
                )
            self._clock.sleep(0.05)

    def show(self, name: str) -> ModelCard:
        """What the server says of a model, by the files that it reads."""
        request = Request(method="POST", path="/api/show", body={"model": name})
        shown = self._decode(self._repeated(request), Shown, f"to show {name}", _LIST)
        return ModelCard(
            store=store_of(shown.modelfile),
            capabilities=shown.capabilities or (),
            family=shown.details.family,
            format=shown.details.format,
            remote_host=shown.remote_host,
        )

    def pull(self, name: str, *, insecure: bool = False) -> Steps:
        """Let the server download a model; yields its progress, raises RuntimeRefused when it says that it failed.

        ``insecure`` speaks plain HTTP to the registry. Closing the iterator cancels the download. Files that the
        server finds under a blob's name are not looked at (R4). Never repeated by itself: what the server has
        downloaded and not yet checked counts as good to it the second time.
        """
        body = {"model": name, "insecure": insecure, "stream": True}
        request = Request(method="POST", path="/api/pull", body=body)
        return self._steps(request, self._stall, f"to pull {name}", _AGAIN)

    def probe(self, name: str, *, seconds: float) -> ProbeResult:
        """Ask the model for one real token, or one embedding where it makes those; never raises for a bad model."""
        return Probe(self._wire, self._clock, name, seconds).run()

    def create(self, name: str, files: Mapping[str, Digest]) -> None:
        """Make a model of blobs that the server has: file name to digest."""
        body = {"model": name, "files": {file: str(blob) for file, blob in files.items()}, "stream": True}
        request = Request(method="POST", path="/api/create", body=body)
        for _ in self._steps(request, self._stall * _REWRITING, f"to create {name}", _LOG):
            pass

    def upload(self, blob: Digest, fd: int, size: int) -> bool:
        """Give the server a blob of ``size`` bytes, which it hashes; False when a file has its name already.

        Such a file is not looked at: no upload mends it. Raises ChangedWhileRead when ``fd`` has fewer bytes.
        """
        path, doing = f"/api/blobs/{blob}", f"to take {blob}"
        held = self._repeated(Request(method="HEAD", path=path))
        if held.status == 200:
            return False
        request = Request(method="POST", path=path, content=_pieces(blob, fd, size), size=size)
        self._checked(self._once(request, self._stall + size / SLOW_DISK), doing, _LOG)
        return True

    def copy(self, source: str, target: str) -> None:
        """Give a model a second name, byte for byte; what had that name is replaced."""
        body = {"source": source, "destination": target}
        answer = self._once(Request(method="POST", path="/api/copy", body=body), self._stall)
        self._checked(answer, f"to copy {source} to {target}", _LIST)

    def delete(self, name: str) -> None:
        """Take a name away, with the blobs that no other name needs."""
        answer = self._once(Request(method="DELETE", path="/api/delete", body={"model": name}), self._stall)
        self._checked(answer, f"to delete {name}", _LIST)

    def _get(self, path: str, kind: type[T]) -> T:
        return self._decode(self._repeated(Request(method="GET", path=path)), kind, f"to answer {path}")

    def _repeated(self, request: Request) -> Answer:
        """Ask what is safe to repeat, up to three times within one deadline; not again where nobody listens."""
        give_up = self._clock.monotonic() + self._read
        for wait in _BACK_OFF:
            try:
                answer = self._wire.ask(request, give_up - self._clock.monotonic())
            except NoAnswer as error:
                if error.late or error.closed:
                    raise self._silent(error) from error
            else:
                if answer.status < 500:
                    return answer
            if self._clock.monotonic() + wait >= give_up:
                break
            self._clock.sleep(wait)
        return self._once(request, max(0.001, give_up - self._clock.monotonic()))

    def _once(self, request: Request, seconds: float) -> Answer:
        try:
            return self._wire.ask(request, seconds)
        except NoAnswer as error:
            raise self._silent(error) from error

    def _decode(self, answer: Answer, kind: type[T], doing: str, next_step: str = _LOG) -> T:
        self._checked(answer, doing, next_step)
        try:
            return read(answer.data, kind)
        except NotOllama as error:
            raise self._silent(error) from error

    def _checked(self, answer: Answer, doing: str, next_step: str) -> None:
        if answer.status in (200, 201):
            return
        if answer.status >= 400 and (words := refusal(answer.data)):
            raise self._refused(doing, words, next_step)
        raise self._silent(f"status {answer.status}: {plain(answer.data[:200].decode(errors='replace'))}")

    def _steps(self, request: Request, quiet: float, doing: str, next_step: str) -> Steps:
        try:
            with self._wire.open(request, quiet) as stream:
                if stream.status != 200:
                    self._checked(Answer(status=stream.status, data=stream.whole()), doing, next_step)
                yield from self._until_success(stream, quiet, doing, next_step)
        except (NoAnswer, NotOllama) as error:
            raise RuntimeUnreachable(
                f"the server was asked {doing} and broke off ({plain(str(error))})", thing=self.url, next_step=next_step
            ) from error

    def _until_success(self, stream: Stream, quiet: float, doing: str, next_step: str) -> Steps:
        progress = Progress(self._clock, quiet)
        for line in stream.lines():
            step = read(line, Step)
            if step.error:
                raise self._refused(doing, plain(step.error), next_step)
            stream.deadline.allow(math.inf)  # whoever reads us may take its time
            yield PullStep(status=step.status, digest=step.digest, total=step.total, completed=step.completed)
            if step.status == "success":
                return
            stream.deadline.allow(progress.patience(step))
        raise NoAnswer("its answer ends without success")

    def _refused(self, doing: str, words: str, next_step: str) -> RuntimeRefused:
        return RuntimeRefused(f"the server refused {doing} ({words})", thing=self.url, next_step=next_step)

    def _silent(self, why: object) -> RuntimeUnreachable:
        return RuntimeUnreachable(f"the server did not answer ({why})", thing=self.url, next_step=_START)


def _pieces(blob: Digest, fd: int, size: int) -> Iterator[bytes]:
    """The file's bytes, ``size`` of them."""
    start = 0
    while start < size:
        piece = os.pread(fd, min(_PIECE, size - start), start)
        if not piece:
            raise ChangedWhileRead(
                f"the file ends after {start:,} of {size:,} bytes", thing=blob, next_step="verify it, then try again"
            )
        yield piece
        start += len(piece)
