"""The API about itself: its OpenAPI document, and the metrics for monitoring systems."""

from contextlib import suppress
from typing import Final

from modelward import child
from modelward.api.handlers_health import why_not_ready
from modelward.api.route import Ask, Nothing, Reply

_PATIENCE: Final = 30.0  # seconds


def openapi(ask: Ask[Nothing, None]) -> Reply:
    """The OpenAPI 3.1 document of this very program."""
    return Reply(raw=ask.runtime.once.made("openapi", _document))


def _document() -> bytes:
    """Made by a child, for it takes a megabyte that Python never gives back; where there can be none, here."""
    with suppress(OSError):
        if made := child.ask("modelward.api.openapi", b"", seconds=_PATIENCE):
            return made
    from modelward.api.openapi import written

    return written()


def metrics(ask: Ask[Nothing, None]) -> Reply:
    """Every metric, in the format that the caller asks for."""
    from modelward.metrics import OPEN, TEXT, exposition

    gauge = ask.runtime.gauge
    wanted = "application/openmetrics-text" in ask.asking.headers.get("accept", "")
    body = exposition(gauge.figures(ready=not why_not_ready(ask.deps)), gauge.tally, openmetrics=wanted)
    return Reply(raw=body, media_type=OPEN if wanted else TEXT, headers={"cache-control": "no-store"})
