"""The document, the reference page and the permission check are one table (T16)."""

import json

import pytest
import schemathesis

from modelward import child
from modelward.api import handlers_meta
from modelward.api.openapi import document, errors_of
from modelward.api.route import BASE, Kind
from modelward.api.routes import ROUTES
from modelward.cli.app import VERBS as CLI_VERBS
from modelward.client import Client
from modelward.domain.codec import encode
from modelward.guard.verbs import VERBS
from scripts import api_reference

DOCUMENT = json.loads(encode(document(ROUTES)))


def test_the_document_is_valid() -> None:
    """It is an OpenAPI 3.1 document by the specification's own schema."""
    schemathesis.openapi.from_dict(DOCUMENT).validate()
    assert DOCUMENT["openapi"] == "3.1.0"


def test_every_route_is_in_the_document() -> None:
    """Each operation stands there with its scope, its own status and every error that it may answer with."""
    assert len(ROUTES) > 40
    for route in ROUTES:
        found = DOCUMENT["paths"][route.template][route.method.lower()]
        assert found["x-scope"] == (route.scope or "none")
        assert {str(route.status), *(str(status) for status in errors_of(route))} <= set(found["responses"])
        assert found.get("security", DOCUMENT["security"]) == ([] if route.scope is None else [{"token": []}])


def test_every_operation_has_a_name_of_its_own_and_words() -> None:
    """No two operations share a name; each says what it does, in one sentence with a full stop."""
    names = [route.name for route in ROUTES]
    assert len(set(names)) == len(names)
    assert [route.name for route in ROUTES if not route.summary.endswith(".") or not route.group] == []
    assert [route.name for route in ROUTES if not (route.handler.__doc__ or "").strip()] == []


def test_what_changes_something_says_how_it_looks() -> None:
    """Each operation with a body shows an example of it, and each that answers JSON names its type."""
    assert [route.name for route in ROUTES if route.body is not None and route.example_body is None] == []
    assert [r.name for r in ROUTES if r.kind is Kind.JSON and r.status != 204 and r.answer is None] == []


def test_what_touches_a_disk_runs_in_a_thread() -> None:
    """Only what reads the board, the jobs or nothing at all may run in the event loop."""
    calm = {route.name for route in ROUTES if not route.blocking}
    assert calm == {
        "livez",
        "readyz",
        "health",
        "standing",
        "models",
        "model",
        "findings",
        "verbs",
        "start_job",
        "jobs",
        "job",
        "cancel_job",
        "job_events",
        "events",
        "schedules",
        "brake",
        "session",
    }


def test_the_guard_serves_its_document(anyone: Client) -> None:
    """What it serves is what was made here."""
    assert json.loads(anyone.raw("GET", "/api/v1/openapi.json").body) == DOCUMENT


def test_the_page_is_what_the_program_says() -> None:
    """docs/api.md is, byte for byte, what `make docs` writes now."""
    assert api_reference.PAGE.read_text(encoding="utf-8") == api_reference.text(), "docs/api.md is old: run make docs"


def test_every_verb_of_the_command_line_has_its_place() -> None:
    """Each one has operations or jobs that there are, or a reason why it has none; and every job has its verb."""
    assert sorted([*api_reference.COMMANDS, *api_reference.ALONE]) == sorted(CLI_VERBS)
    named = {place for places in api_reference.COMMANDS.values() for place in places.split(", ")}
    there = {f"{route.method} {route.template.removeprefix(BASE)}" for route in ROUTES}
    assert {f"job {name}" for name in VERBS} == {place for place in named if place.startswith("job ")}
    assert {place for place in named if not place.startswith("job ")} <= there


@pytest.mark.parametrize("answer", [OSError("no process can be started"), TimeoutError(), b""])
def test_without_a_child_the_document_is_made_here(monkeypatch: pytest.MonkeyPatch, answer: bytes | OSError) -> None:
    """A child saves memory, and is no condition."""

    def ask(*_: object, **__: object) -> bytes:
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(child, "ask", ask)
    assert json.loads(handlers_meta._document()) == DOCUMENT  # noqa: SLF001
