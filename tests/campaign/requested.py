"""Requests made from the API's own document, good ones and spoiled ones, and what the guard answers to them."""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from jsonschema_rs import is_valid
from schemathesis.core.failures import AcceptedNegativeData, FailureGroup
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode

from modelward.api.openapi import document
from modelward.api.routes import ROUTES
from modelward.domain.codec import encode
from tests.api.test_schemathesis import CHECKS, schema
from tests.campaign.plan import Run

Operation = tuple[Any, GenerationMode]
DOCUMENT = json.loads(encode(document(ROUTES)))


def operations() -> list[Operation]:
    """Each operation of the document, twice: with what fits, and with what does not."""
    found = [each.ok() for each in schema.get_all_operations() if isinstance(each, Ok)]
    return [(each, mode) for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE) for each in found]


def ask(run: Run, served: tuple[Any, str, str], operation: Operation, examples: int, number: int) -> None:
    """So many requests to one operation; each answer is one that the document has. Counts operations and statuses."""
    stage, address, token = served
    target, mode = operation

    @seed(f"{run.seed}/{number}")
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=target.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:  # noqa: ANN401 - its type depends on the schema
        stage.clock.advance(seconds=10)  # so that no limit of rate is met
        response = case.call(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=60)
        run.figures["requests"] += 1
        run.figures[f"answered {response.status_code}"] += 1
        run.figures[f"asked {target.method.upper()} {target.path}"] += 1
        try:
            case.validate_response(response, checks=CHECKS)
        except FailureGroup as found:
            # A list of no items, or a blank name, is wrong in the generator and nothing at all in an address.
            if not all(isinstance(each, AcceptedNegativeData) for each in found.exceptions):
                raise
            if response.request.body or not fits(target, str(response.request.url)):
                raise
            run.figures["spoiled where no address shows it"] += 1

    try:
        send()
    except Unsatisfiable:
        run.figures["operations that nothing can be wrong with"] += 1


def fits(target: Any, url: str) -> bool:  # noqa: ANN401 - as above
    """Whether the parameters, as they went over the wire, are ones that the document takes."""
    schemas = {
        item["name"]: DOCUMENT | item["schema"]
        for item in DOCUMENT["paths"][target.path][target.method].get("parameters", ())
        if item["in"] == "query"
    }
    given = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    known = len(dict(given)) == len(given) and all(name in schemas for name, _ in given)
    return known and all(any(is_valid(schemas[name], form) for form in _forms(text)) for name, text in given)


def _forms(text: str) -> Iterator[object]:
    """What a text in an address can be."""
    yield text
    for kind in (int, float):
        with suppress(ValueError):
            yield kind(text)
    if text in ("true", "false"):
        yield text == "true"


def plan(count: int) -> Iterator[tuple[int, Operation, int]]:
    """Number, operation and requests for it, ``count`` of them in all at the least."""
    found = operations()
    for number, operation in enumerate(found):
        yield number, operation, -(-count * 9 // (8 * len(found)))  # some have few forms, or nothing to be wrong with
