"""Server-sent events: what changes on the board and in jobs, told to a bounded number of listeners (T26)."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from modelward.api.limits import Slots
from modelward.domain.codec import encode
from modelward.guard.board import Board
from modelward.guard.jobs import Jobs

if TYPE_CHECKING:
    from modelward.domain.standing import JobView

MOST = 16
HEARTBEAT = 15.0
_PAUSE = 0.1  # so that a thousand changes a second are ten messages
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


class Event(NamedTuple):
    """One message: its kind, a number that grows, and a value."""

    kind: str
    number: int
    value: object

    def encoded(self) -> bytes:
        """The message's lines."""
        return b"event: %b\nid: %d\ndata: %b\n\n" % (self.kind.encode(), self.number, encode(self.value))


class Source(Protocol):
    """Something that is followed."""

    def news(self) -> tuple[list[Event], bool]:
        """What changed since it was last asked, and whether nothing more will come."""


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """The board's short news: its revision and readiness; the whole stands at /api/v1/standing."""

    revision: int
    ready: bool
    why: str


class Streams:
    """The streams of one server. Lives in the thread of the event loop, but for ``close``."""

    def __init__(self, board: Board, *, most: int = MOST, heartbeat: float = HEARTBEAT) -> None:
        self._board, self._heartbeat = board, heartbeat
        self._slots = Slots(most, "event streams")
        self._wakes: set[asyncio.Event] = set()
        self._closed = False

    def begin(self, source: Source) -> StreamingResponse:
        """Follow a source; raises Busy when too many listen already."""
        self._slots.take()
        return _Stream(self._messages(source), self._slots)

    async def _messages(self, source: Source) -> AsyncIterator[bytes]:
        wake, loop = asyncio.Event(), asyncio.get_running_loop()

        def told(_: int) -> None:
            with suppress(RuntimeError):  # the loop has ended, and nobody listens any more
                loop.call_soon_threadsafe(wake.set)

        self._wakes.add(wake)
        end = self._board.listen(told)
        try:
            yield b"retry: 2000\n\n"
            while True:
                wake.clear()
                events, over = source.news()
                for event in events:
                    yield event.encoded()
                if over or self._closed:
                    return
                if not await _within(wake, self._heartbeat):
                    yield b": still here\n\n"
                await asyncio.sleep(_PAUSE)
        finally:
            end()
            self._wakes.discard(wake)

    def close(self) -> None:
        """End every stream: the server stops."""
        self._closed = True
        for wake in self._wakes:
            wake.set()


async def _within(wake: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await wake.wait()
    except TimeoutError:
        return False
    return True


class _Stream(StreamingResponse):
    """A stream that gives its slot back, however it ends."""

    def __init__(self, messages: AsyncIterator[bytes], slots: Slots) -> None:
        super().__init__(messages, media_type="text/event-stream", headers=_HEADERS)
        self._slots = slots

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it to its end, or until the caller goes away."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._slots.give()


class JobNews:
    """One job to its end: each change of its view, the report with the last."""

    def __init__(self, jobs: Jobs, board: Board, name: str) -> None:
        self._jobs, self._board, self._name = jobs, board, name
        self._last: JobView | None = None
        jobs.get(name)  # raises UnknownJob before anything is answered

    def news(self) -> tuple[list[Event], bool]:
        """The job's view, if it is another one than before."""
        view = self._jobs.get(self._name)
        if view is self._last:
            return [], view.over
        self._last = view
        return [Event("job", self._board.revision, view)], view.over


class AllNews:
    """The board's revisions, and every job's changes without their reports."""

    def __init__(self, jobs: Jobs, board: Board) -> None:
        self._jobs, self._board = jobs, board
        self._revision = -1
        self._views: Mapping[str, JobView] = {view.id: view for view in jobs.list() if view.over}

    def news(self) -> tuple[list[Event], bool]:
        """What changed on the board, and in jobs."""
        number, standing = self._board.revision, self._board.standing
        if number == self._revision:
            return [], False
        self._revision = number
        ready, why = (standing.ready, standing.why) if standing is not None else (False, "")
        events = [Event("standing", number, Changed(revision=number, ready=ready, why=why))]
        views = {view.id: view for view in self._jobs.list()}
        changed = [view for name, view in views.items() if view is not self._views.get(name)]
        self._views = views
        return [*events, *(Event("job", number, msgspec.structs.replace(view, report=None)) for view in changed)], False
