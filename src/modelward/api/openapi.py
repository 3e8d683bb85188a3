"""The OpenAPI 3.1 document, made from the route table and from nothing else."""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec

from modelward import __version__
from modelward.api.problem import MEDIA_TYPE, phrase
from modelward.api.route import Kind, Route
from modelward.domain.answer import Problem
from modelward.domain.codec import encode
from modelward.domain.digest import Digest
from modelward.domain.name import ModelName

REFS = "#/components/schemas/{name}"
_MODEL = (
    r"^(?:(?:[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}/)?[A-Za-z0-9_][A-Za-z0-9_-]{0,79}/)?"
    r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,79})?$"
)
_PART = re.compile(r"\{(\w+)\}")
_ABOUT = """The HTTP API of a Modelward guard: everything that the command line knows and can do.

Times are RFC 3339 in UTC, sizes are bytes. Errors are problem documents (RFC 9457) with the next step. A GET carries
an ETag; send it back as If-None-Match to be told 304 while nothing changed. What changes something takes JSON, and
starting a job takes an Idempotency-Key."""
# Statuses that any operation may answer with, beside its own.
_EVERYWHERE = (400, 421, 422, 429, 500, 503)
_GUARDED = (401, 403)
_WITH_BODY = (408, 413, 415)


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The whole document; pages for browsers are left out."""
    listed = [route for route in routes if route.kind is not Kind.PAGE]
    schemas, components = _schemas(listed)
    paths: dict[str, dict[str, Any]] = {}
    for route in listed:
        paths.setdefault(route.template, {})[route.method.lower()] = _operation(route, schemas, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Modelward",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": group} for group in dict.fromkeys(route.group for route in listed)],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "made by: modelward token create NAME"}
            },
        },
    }


def schema_of(kind: Any) -> dict[str, Any]:  # noqa: ANN401 - any type
    """The JSON schema of one type, whole in itself."""
    return msgspec.json.schema(kind, schema_hook=_ours)


@cache
def _ours(kind: type) -> dict[str, Any]:
    if kind is ModelName:
        return {"type": "string", "pattern": _MODEL, "maxLength": 600, "examples": ["llama3:latest"]}
    if kind is Digest:
        return {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}
    return {"description": "a value of any form"}


def _answers(route: Route) -> tuple[Any, ...]:
    if route.answer is None:
        return ()
    return route.answer if isinstance(route.answer, tuple) else (route.answer,)


def _schemas(routes: Sequence[Route]) -> tuple[dict[Any, dict[str, Any]], dict[str, Any]]:
    """The schema of every type in the table, and the components that they name."""
    kinds: list[Any] = [Problem]
    for route in routes:
        kinds += [route.query, *_answers(route), *([route.body] if route.body is not None else [])]
    unique = list(dict.fromkeys(kinds))
    found, components = msgspec.json.schema_components(unique, schema_hook=_ours, ref_template=REFS)
    return dict(zip(unique, found, strict=True)), components


def _operation(route: Route, schemas: Mapping[Any, dict[str, Any]], components: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.group],
        "parameters": [*_in_path(route), *_in_query(schemas[route.query], components), *_in_head(route)],
        "responses": _responses(route, schemas),
        "x-scope": str(route.scope) if route.scope is not None else "none",
    }
    if route.scope is None:
        found["security"] = []
    if route.body is not None:
        content: dict[str, Any] = {"schema": schemas[route.body]}
        if route.example_body is not None:
            content["example"] = route.example_body
        found["requestBody"] = {"required": True, "content": {"application/json": content}}
    return found


def _in_path(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _part(name)} for name in _PART.findall(route.template)
    ]


def _part(name: str) -> dict[str, Any]:
    if name == "name":
        return dict(_ours(ModelName))
    return {"type": "string", "minLength": 1, "maxLength": 80, "pattern": "^[A-Za-z0-9-]+$"}


def _in_query(found: Mapping[str, Any], components: Mapping[str, Any]) -> list[dict[str, Any]]:
    schema = components[found["$ref"].rpartition("/")[2]]
    required = schema.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _plain(inner)}
        for name, inner in schema.get("properties", {}).items()
    ]


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter's schema without the null that stands for leaving it out."""
    options = [option for option in schema.get("anyOf", ()) if option.get("type") != "null"]
    found = {name: value for name, value in schema.items() if name != "anyOf"}
    if len(options) == 1:
        found |= options[0]
    elif options:
        found["anyOf"] = options
    if found.get("default", "") is None:
        del found["default"]
    if "enum" in found:
        found["enum"] = [word for word in found["enum"] if word is not None]
    return found


def _in_head(route: Route) -> list[dict[str, Any]]:
    if route.method != "POST" or not route.idempotent:
        return []
    schema = {"type": "string", "maxLength": 200, "pattern": "^[!-~]*$"}
    about = "with the same key the same answer comes, and nothing is done twice"
    return [{"name": "Idempotency-Key", "in": "header", "required": False, "schema": schema, "description": about}]


def _responses(route: Route, schemas: Mapping[Any, dict[str, Any]]) -> dict[str, Any]:
    own: dict[str, Any] = {"description": route.summary}
    if route.status != 204:
        own["content"] = {route.kind.partition(";")[0]: _content(route, schemas)}
    found = {str(route.status): own}
    if route.method == "GET" and route.kind is Kind.JSON:
        found["304"] = {"description": "What you have is what there is (If-None-Match)."}
    for status in sorted({*errors_of(route)}):
        if route.kind is Kind.TEXT and status in route.errors:
            content: dict[str, Any] = {"text/plain": {"schema": {"type": "string"}}}
            if status in _EVERYWHERE:
                content[MEDIA_TYPE] = {"schema": schemas[Problem]}
        else:
            content = {MEDIA_TYPE: {"schema": schemas[Problem]}}
        found[str(status)] = {"description": phrase(status), "content": content}
    return found


def errors_of(route: Route) -> tuple[int, ...]:
    """Every status of an error that the operation may answer with."""
    guarded = _GUARDED if route.scope is not None else ((403,) if route.method != "GET" else ())
    body = _WITH_BODY if route.body is not None else ()
    return tuple(sorted({*_EVERYWHERE, *guarded, *body, *route.errors}))


def _content(route: Route, schemas: Mapping[Any, dict[str, Any]]) -> dict[str, Any]:
    if route.kind is not Kind.JSON:
        found: dict[str, Any] = {"schema": {"type": "string"}}
    else:
        options = [schemas[kind] for kind in _answers(route)]
        found = {"schema": {"anyOf": options} if len(options) > 1 else options[0] if options else {}}
    if route.example is not None:
        found["example"] = route.example
    return found


def written() -> bytes:
    """The document of this very program, as JSON."""
    from modelward.api.routes import ROUTES

    return encode(document(ROUTES))


if __name__ == "__main__":
    sys.stdout.buffer.write(written())
