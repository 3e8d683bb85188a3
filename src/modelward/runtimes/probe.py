"""One real token, or one embedding, from a served model within a deadline."""

import math
from typing import TypeVar

from modelward.domain.runtime import ProbeResult
from modelward.ports import Clock
from modelward.runtimes.answers import (
    Embedded,
    Models,
    NotOllama,
    Said,
    Shown,
    overdue,
    plain,
    read,
    refusal,
    same_name,
)
from modelward.runtimes.wire import Answer, NoAnswer, Request, Wire

T = TypeVar("T")
_PROMPT = "hi"
_TOKENS = 4  # one alone may be half a character
_BUSY = "server busy"  # ErrMaxQueue in server/sched.go of Ollama v0.24.0


class _Failed(Exception):
    """The server said no; ``outcome`` is the result's word for it."""

    def __init__(self, outcome: str, why: str) -> None:
        super().__init__(why)
        self.outcome = outcome


class Probe:
    """One probe of ``name``: what it asks shares ``seconds``."""

    def __init__(self, wire: Wire, clock: Clock, name: str, seconds: float) -> None:
        self._wire, self._clock, self._name = wire, clock, name
        self._began, self._seconds = clock.monotonic(), seconds
        self._loaded = self._busy = False

    def run(self) -> ProbeResult:
        """What came of it; raises nothing."""
        try:
            return self._result("ok", answer=self._answer())
        except NoAnswer as error:
            return self._silence(error)
        except NotOllama as error:
            return self._result("unreachable", why=plain(str(error)))
        except _Failed as error:
            return self._result(error.outcome, why=str(error))

    def _silence(self, error: NoAnswer) -> ProbeResult:
        """No answer; a model that was answering someone when we came may still be at that."""
        if error.late and self._busy:
            return self._result("busy", why="no answer in time: the model was answering someone else when asked")
        return self._result("timeout" if error.late else "unreachable", why=plain(str(error)))

    def _answer(self) -> str:
        listing = self._asked("GET", "/api/ps")
        mine = [one for one in read(listing.data, Models).models or () if same_name(one.name, self._name)]
        self._loaded = bool(mine)
        shown = self._ask("/api/show", Shown, {"model": self._name})
        self._busy = any(overdue(one, listing.date) for one in mine)  # from here on the model itself is waited for
        able = shown.capabilities or ()
        if "embedding" in able and "completion" not in able:
            return self._embedding()
        return self._token(thinking="thinking" in able)

    def _token(self, *, thinking: bool) -> str:
        """The likeliest tokens; a model that thinks all the same, or ends at once, has answered too."""
        options = {"num_predict": _TOKENS, "temperature": 0, "seed": 1}
        body = {"model": self._name, "prompt": _PROMPT, "stream": False, "options": options}
        said = self._ask("/api/generate", Said, {**body, "think": False} if thinking else body)
        words = said.response or said.thinking
        if not said.done or not (words or said.eval_count > 0):
            raise _Failed("refused", "it answered without a token")
        return plain(words)

    def _embedding(self) -> str:
        rows = self._ask("/api/embed", Embedded, {"model": self._name, "input": _PROMPT}).embeddings
        if not rows or not any(rows[0]) or not all(map(math.isfinite, rows[0])):
            raise _Failed("refused", "it answered with an embedding of nothing")
        return f"{len(rows[0])} numbers"

    def _ask(self, path: str, kind: type[T], body: object) -> T:
        return read(self._asked("POST", path, body).data, kind)

    def _asked(self, method: str, path: str, body: object = None) -> Answer:
        left = self._began + self._seconds - self._clock.monotonic()
        if left <= 0:
            raise NoAnswer("no answer in time", late=True)
        answer = self._wire.ask(Request(method=method, path=path, body=body), left)
        if answer.status != 200:
            raise _no(answer)
        return answer

    def _result(self, outcome: str, *, answer: str = "", why: str = "") -> ProbeResult:
        seconds = self._clock.monotonic() - self._began
        return ProbeResult(outcome=outcome, seconds=seconds, loaded=self._loaded, answer=answer, why=why)


def _no(answer: Answer) -> Exception:
    """The server's own words where it has any; another program's page is no answer at all."""
    words = refusal(answer.data)
    if answer.status == 503 or _BUSY in words:
        return _Failed("busy", words or "status 503")
    return _Failed("refused", words) if words else NotOllama(f"status {answer.status}, and no words of Ollama")
