"""Requests made from the document itself: no operation answers 5xx, or a status or a body that the document has not."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from modelward.api.openapi import document
from modelward.api.routes import ROUTES
from modelward.domain.access import Scope
from modelward.domain.codec import encode
from tests.api.stage import Stage, made

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]
schema = schemathesis.openapi.from_dict(json.loads(encode(document(ROUTES)))).exclude(operation_id=["events"])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, str, str]]:
    """A guard that holds its jobs back, its address, and an administrator's token."""
    stage = made(Path(tmp_path_factory.mktemp("schemathesis")))
    stage.look()
    stage.gate.clear()
    token = stage.token(Scope.ADMIN, timedelta(days=10_000))
    with stage.serving() as running:
        yield stage, running.address, token
    stage.close()


@schema.parametrize()
@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,  # the campaign draws new ones
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
def test_no_request_finds_a_fault(case: "schemathesis.Case[Any]", served: tuple[Stage, str, str]) -> None:
    """Whatever fits the document, or nearly does, is answered as the document says."""
    stage, address, token = served
    stage.clock.advance(seconds=10)  # so that no limit of rate is met
    case.call_and_validate(base_url=address, headers={"Authorization": f"Bearer {token}"}, checks=CHECKS, timeout=60)
