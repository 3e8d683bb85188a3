"""Requests made from the API's own document, good ones and spoiled ones, and what the guard answers to them."""

from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode

from tests.api.test_schemathesis import CHECKS, schema
from tests.campaign.plan import Run

Operation = tuple[Any, GenerationMode]


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
        case.validate_response(response, checks=CHECKS)

    try:
        send()
    except Unsatisfiable:
        run.figures["operations that nothing can be wrong with"] += 1


def plan(count: int) -> Iterator[tuple[int, Operation, int]]:
    """Number, operation and requests for it, ``count`` of them in all at the least."""
    found = operations()
    for number, operation in enumerate(found):
        yield number, operation, -(-count * 9 // (8 * len(found)))  # some have few forms, or nothing to be wrong with
