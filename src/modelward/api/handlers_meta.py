"""The API about itself: its OpenAPI document, and the metrics for monitoring systems."""

from modelward.api.handlers_health import why_not_ready
from modelward.api.route import Ask, Nothing, Reply
from modelward.domain.codec import encode


def openapi(ask: Ask[Nothing, None]) -> Reply:
    """The OpenAPI 3.1 document of this very program."""
    return Reply(raw=ask.runtime.once.made("openapi", _document))


def _document() -> bytes:
    from modelward.api.openapi import document
    from modelward.api.routes import ROUTES

    return encode(document(ROUTES))


def metrics(ask: Ask[Nothing, None]) -> Reply:
    """Every metric, in the format that the caller asks for."""
    from modelward.metrics import OPEN, TEXT, exposition

    gauge = ask.runtime.gauge
    wanted = "application/openmetrics-text" in ask.asking.headers.get("accept", "")
    body = exposition(gauge.figures(ready=not why_not_ready(ask.deps)), gauge.tally, openmetrics=wanted)
    return Reply(raw=body, media_type=OPEN if wanted else TEXT, headers={"cache-control": "no-store"})
