"""The API about itself: its OpenAPI document, and the metrics for monitoring systems."""

from contextlib import suppress

from modelward import __version__
from modelward.api.at_work import place_of
from modelward.api.handlers_health import why_not_ready
from modelward.api.route import Ask, Nothing, Reply
from modelward.domain.codec import encode
from modelward.domain.errors import ModelwardError, StorageError


def openapi(ask: Ask[Nothing, None]) -> Reply:
    """The OpenAPI 3.1 document of this very program."""
    return Reply(raw=ask.runtime.once.made("openapi", _document))


def _document() -> bytes:
    from modelward.api.openapi import document
    from modelward.api.routes import ROUTES

    return encode(document(ROUTES))


def metrics(ask: Ask[Nothing, None]) -> Reply:
    """Every metric, in the format that the caller asks for."""
    from modelward.metrics import OPEN, TEXT, Figures, exposition

    seen, gauge = ask.deps.board.standing, ask.runtime.gauge
    with suppress(StorageError):  # a journal that cannot be read leaves the counts as they were
        gauge.tally.update(ask.deps.now(), [model.name for model in seen.models] if seen is not None else [])
    figures = Figures(
        version=__version__,
        ready=not why_not_ready(ask.deps),
        standing=seen,
        vault_bytes=gauge.vault_bytes(lambda: _vault_bytes(ask)),
    )
    wanted = "application/openmetrics-text" in ask.asking.headers.get("accept", "")
    body = exposition(figures, gauge.tally, openmetrics=wanted)
    return Reply(raw=body, media_type=OPEN if wanted else TEXT, headers={"cache-control": "no-store"})


def _vault_bytes(ask: Ask[Nothing, None]) -> int | None:
    """The bytes of the vault's objects; None where there is no vault, or none that can be looked at."""
    try:
        with place_of(ask) as place:
            vault = place.site.vault
            return sum(stat.file.size for stat in vault.objects().values()) if vault is not None else None
    except ModelwardError:
        return None
